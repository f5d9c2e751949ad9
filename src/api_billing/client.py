"""`BillingClient`: the billing contract from Python, one typed method for each of the contract's.

    client = BillingClient("localnet", account=Account.from_key(key))
    client.subscribe("weather", max_daily_spend_wei=10**18, deposit_wei=5 * 10**18)
    print(client.get_usage_report(client.address).credit_balance_wei)

Errors are the tree of `errors`. Views can be repeated and are, when the node is busy or gone for a moment. Writes are
sent once and followed until they have executed, with what they triggered; `Written` has the result and the transaction.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from api_billing.extras import needed_by

with needed_by(__name__):
    from api_billing.connection import Connection, Signer
from api_billing.contract_api import KEPT_NOTICES, MAX_PAGE_APIS, STANDARD_PLAN, Method
from api_billing.errors import DepositKept, InvalidInput, NoContract, UnexpectedAnswer
from api_billing.networks import Network, checked_address, find_network, load_deployment
from api_billing.results import (
    Account,
    Api,
    ApiPage,
    CallReceipt,
    DayUsage,
    Deposit,
    Earnings,
    Notice,
    Quote,
    ReceiptCheck,
    RequestAnswer,
    Settlement,
    SettlementEntry,
    SettlementState,
    Solvency,
    Subscription,
    UsageReport,
)
from api_billing.transactions import Phase, TransactionOutcome


@dataclass(frozen=True, slots=True)
class Written[T]:
    """A write that has executed: its result, its transaction, and what that triggered."""

    result: T
    tx: str
    status: str
    children: tuple[str, ...]
    stdout: str
    """What the contract printed, a line `[Event] key=value …` for each event; nodes cut it at 5,000 characters."""


class BillingClient:
    """The billing contract on one network.

    ``network`` is a name (see ``networks.NETWORKS``) or a ``Network``; ``url`` another node of it. ``contract`` is its
    address, by default the one in `deployments/<network>.json`. ``account`` signs writes; without it only views work.
    ``on`` says how far writes are followed: ``accepted`` (validators have agreed) or ``finalized`` (payouts have
    arrived), and ``timeout_seconds`` for how long, by default as long as suits the network.

    Amounts are integer wei. Can be used from several threads. Raises: InvalidInput, NoContract.
    """

    def __init__(
        self,
        network: str | Network = "localnet",
        *,
        url: str | None = None,
        contract: str | None = None,
        account: Signer | None = None,
        on: Phase = "accepted",
        timeout_seconds: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        found = network if isinstance(network, Network) else find_network(network, url)
        if on not in ("accepted", "finalized"):
            raise InvalidInput(f"on is 'accepted' or 'finalized', not {on!r}")
        default = found.accept_seconds if on == "accepted" else found.finalize_seconds
        self.network, self.on = found, on
        self.timeout_seconds = default if timeout_seconds is None else timeout_seconds
        self.contract = checked_address(contract, "contract address") if contract else _deployed(found)
        self.connection = Connection(found, account, sleep=sleep, clock=clock)
        self._state: Phase = "accepted"

    @property
    def address(self) -> str:
        """Of the account that signs. Raises: InvalidInput, without one."""
        if self.connection.signer is None:
            raise InvalidInput("this client has no account", hint="name one with --account")
        return self.connection.signer.address

    @property
    def final(self) -> Self:
        """This client, whose views tell of final transactions only: of what no appeal can undo."""
        client = copy.copy(self)
        client._state = "finalized"
        return client

    # ---- operator ----

    def register_api(
        self, api_name: str, cost_per_call_wei: int, daily_limit_calls: int, monthly_limit_calls: int = 0
    ) -> Written[None]:
        """Register an API with the plan `standard`, or change that plan. A monthly limit of 0 is none."""
        limits = cost_per_call_wei, daily_limit_calls, monthly_limit_calls
        return self._write(Method.REGISTER_API, _nothing, api_name, *limits)

    def set_plan(
        self,
        api_name: str,
        plan_name: str,
        cost_per_call_wei: int,
        daily_limit_calls: int = 0,
        monthly_limit_calls: int = 0,
    ) -> Written[None]:
        """Add or change a plan. A limit of 0 is none; a free plan needs one."""
        limits = cost_per_call_wei, daily_limit_calls, monthly_limit_calls
        return self._write(Method.SET_PLAN, _nothing, api_name, plan_name, *limits)

    def set_api_active(self, api_name: str, active: bool) -> Written[None]:
        """Pause or resume billing; past usage can be settled all the same."""
        return self._write(Method.SET_API_ACTIVE, _nothing, api_name, active)

    def set_meter(self, api_name: str, meter: str, allowed: bool = True) -> Written[None]:
        """Allow an address to report usage of the API, or forbid it."""
        return self._write(Method.SET_METER, _nothing, api_name, checked_address(meter, "address of a meter"), allowed)

    def propose_operator(self, api_name: str, operator: str) -> Written[None]:
        """Offer the API to somebody, who has to accept it."""
        return self._write(Method.PROPOSE_OPERATOR, _nothing, api_name, checked_address(operator))

    def accept_operator(self, api_name: str) -> Written[None]:
        """Take over an API that was offered to this account."""
        return self._write(Method.ACCEPT_OPERATOR, _nothing, api_name)

    def withdraw_earnings(self, amount_wei: int) -> Written[None]:
        """Pay earnings to this account; they arrive when the transaction is final."""
        return self._write(Method.WITHDRAW_EARNINGS, _nothing, amount_wei)

    # ---- consumer ----

    def subscribe(
        self, api_name: str, max_daily_spend_wei: int, deposit_wei: int = 0, plan_name: str = STANDARD_PLAN
    ) -> Written[Subscription]:
        """Subscribe, or change plan and cap, and accept the plan's present price. Sends the deposit along.

        Raises: DepositKept, when it is refused: the deposit is credit then.
        """
        args = api_name, max_daily_spend_wei, deposit_wei, plan_name
        return self._pay(Method.SUBSCRIBE, Subscription.of, deposit_wei, *args)

    def unsubscribe(self, api_name: str) -> Written[None]:
        """End the subscription; a hold in force stays."""
        return self._write(Method.UNSUBSCRIBE, _nothing, api_name)

    def top_up_credit(self, amount_wei: int) -> Written[Deposit]:
        """Send GEN to this account's credit. Raises: DepositKept."""
        return self._pay(Method.TOP_UP_CREDIT, Deposit.of, amount_wei, amount_wei)

    def top_up_for(self, consumer: str, amount_wei: int) -> Written[Deposit]:
        """Send GEN to anyone's credit. Raises: DepositKept, with which it is this account's credit."""
        return self._pay(Method.TOP_UP_FOR, Deposit.of, amount_wei, checked_address(consumer), amount_wei)

    def withdraw_credit(self, amount_wei: int) -> Written[None]:
        """Take free credit back; it arrives when the transaction is final."""
        return self._write(Method.WITHDRAW_CREDIT, _nothing, amount_wei)

    def set_low_credit_alert(self, percent: int) -> Written[None]:
        """Be told when credit falls to this percentage of what it was after the last top-up; 0 is never."""
        return self._write(Method.SET_LOW_CREDIT_ALERT, _nothing, percent)

    def place_hold(self, api_name: str, amount_wei: int, expires_at: int) -> Written[None]:
        """Set more credit aside for the settlements of one API until a time in unix seconds; 0 wei only prolongs."""
        return self._write(Method.PLACE_HOLD, _nothing, api_name, amount_wei, expires_at)

    def release_hold(self, api_name: str, consumer: str = "") -> Written[None]:
        """Turn what is left of a hold into free credit; an operator names the consumer."""
        return self._write(Method.RELEASE_HOLD, _nothing, api_name, checked_address(consumer) if consumer else "")

    # ---- billing ----

    def consume_credit(
        self, api_name: str, consumer: str, calls: int = 1, request_id: str = ""
    ) -> Written[CallReceipt]:
        """Bill calls. With a request id it can be repeated: the same id bills nothing more and has the same receipt."""
        args = api_name, checked_address(consumer), calls, request_id
        return self._write(Method.CONSUME_CREDIT, CallReceipt.of, *args)

    def request_call(self, api_name: str, request_id: str) -> Written[RequestAnswer]:
        """What consumer contracts call; the contract refuses it from an account, with `caller_not_contract`."""
        return self._write(Method.REQUEST_CALL, RequestAnswer.of, api_name, request_id)

    def settle_usage(
        self, api_name: str, sequence: int, entries: Sequence[SettlementEntry], usage_root: str = ""
    ) -> Written[Settlement]:
        """Bill 1 to 256 entries. A sequence that is settled already answers as before and bills nothing."""
        lines = [entry.as_dict() for entry in entries]
        return self._write(Method.SETTLE_USAGE, Settlement.of, api_name, sequence, lines, usage_root)

    # ---- views ----

    def get_usage_report(self, consumer: str) -> UsageReport:
        """Everything a dashboard shows of a consumer."""
        return UsageReport.of_json(self._read(Method.GET_USAGE_REPORT, checked_address(consumer)))

    def get_api(self, api_name: str) -> Api:
        """An API with its plans and meters."""
        return Api.of(self._read(Method.GET_API, api_name))

    def list_apis(self, offset: int = 0, limit: int = MAX_PAGE_APIS) -> ApiPage:
        """APIs in the order of registration, at most 100 at a time."""
        return ApiPage.of(self._read(Method.LIST_APIS, offset, limit))

    def iterate_apis(self) -> Iterator[Api]:
        """All APIs, read page by page."""
        seen, page = 0, self.list_apis()
        while page.apis:
            yield from page.apis
            seen += len(page.apis)
            if seen >= page.total:
                return
            page = self.list_apis(seen)

    def get_account(self, consumer: str) -> Account:
        """Credit, holds and alert level of a consumer; all 0 for who has no account."""
        return Account.of(self._read(Method.GET_ACCOUNT, checked_address(consumer)))

    def get_usage_history(self, consumer: str, api_name: str, from_day: int, to_day: int) -> tuple[DayUsage, ...]:
        """The days with usage from `from_day` to `to_day`, both included, in days since 1970; at most the last 400."""
        days = self._read(Method.GET_USAGE_HISTORY, checked_address(consumer), api_name, from_day, to_day)
        return tuple(DayUsage.of(day) for day in _list(days))

    def quote_call(self, api_name: str, consumer: str, calls: int = 1) -> Quote:
        """What `consume_credit` would do now."""
        return Quote.of(self._read(Method.QUOTE_CALL, api_name, checked_address(consumer), calls))

    def get_receipt(self, receipt_id: str) -> ReceiptCheck:
        """Whether a receipt is genuine."""
        return ReceiptCheck.of(self._read(Method.GET_RECEIPT, receipt_id))

    def get_earnings(self, operator: str) -> Earnings:
        """What an operator can withdraw, and has withdrawn."""
        return Earnings.of(self._read(Method.GET_EARNINGS, checked_address(operator)))

    def get_settlement(self, api_name: str, sequence: int = 0) -> SettlementState:
        """The outcome of one of the last 64 settlements, 0: the last; and the next sequence."""
        return SettlementState.of(self._read(Method.GET_SETTLEMENT, api_name, sequence))

    def list_notices(self, consumer: str, after: int = 0, limit: int = KEPT_NOTICES) -> tuple[Notice, ...]:
        """Those of a consumer's last 64 notices with a number above `after`, oldest first."""
        notices = self._read(Method.LIST_NOTICES, checked_address(consumer), after, limit)
        return tuple(Notice.of(notice) for notice in _list(notices))

    def get_solvency(self) -> Solvency:
        """What the contract holds and owes."""
        return Solvency.of(self._read(Method.GET_SOLVENCY))

    def consumer_integration_example(self) -> str:
        """How a consumer contract pays per call, as source text."""
        return str(self._read(Method.CONSUMER_INTEGRATION_EXAMPLE))

    def is_final(self, tx: str) -> bool:
        """Whether a transaction is final: no appeal can undo it any more. One that the node does not know is not."""
        outcome = self.connection.follower.look(tx)
        return outcome is not None and outcome.status == "FINALIZED"

    # ---- private ----

    def _read(self, method: Method, *args: Any) -> Any:
        return self.connection.read(self.contract, method.value, args, state=self._state)

    def _write[T](self, method: Method, read: Callable[[Any], T], *args: Any) -> Written[T]:
        outcome = self._send(method, args, 0)
        return _written(read, outcome)

    def _pay[T](self, method: Method, read: Callable[[Any], T], value_wei: int, *args: Any) -> Written[T]:
        """A payable call does not raise when it carries value: its answer says whether it was carried out."""
        outcome = self._send(method, args, value_wei)
        answer = outcome.value
        if not isinstance(answer, Mapping) or "ok" not in answer:
            raise UnexpectedAnswer(f"{method} answered {str(answer)[:80]!r} in transaction {outcome.tx}")
        if not answer["ok"]:
            kept = Deposit.of(answer)
            code, message = str(answer.get("code", "")), str(answer.get("message", ""))
            raise DepositKept(code, message, outcome.tx, kept.credited_wei, kept.credit_wei)
        return _written(read, outcome)

    def _send(self, method: Method, args: Sequence[Any], value_wei: int) -> TransactionOutcome:
        return self.connection.write(
            self.contract,
            method.value,
            args,
            value_wei=value_wei,
            phase=self.on,
            timeout_seconds=self.timeout_seconds,
        )


def _deployed(network: Network) -> str:
    recorded = load_deployment(network.name)
    if recorded is None:
        raise NoContract(f"no billing contract is recorded for {network.name}")
    return recorded.address


def _written[T](read: Callable[[Any], T], outcome: TransactionOutcome) -> Written[T]:
    try:
        result = read(outcome.value)
    except UnexpectedAnswer as error:
        raise UnexpectedAnswer(f"transaction {outcome.tx} executed, but its answer is not known: {error}") from error
    return Written(result, outcome.tx, outcome.status, outcome.children, outcome.stdout)


def _nothing(_: object) -> None:
    return None


def _list(answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise UnexpectedAnswer(f"a list was expected, not {str(answer)[:80]!r}")
    return answer
