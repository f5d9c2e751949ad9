"""`BillingClient`: the billing contract from Python, one typed method for each of the contract's.

    client = BillingClient("localnet", account=Account.from_key(key))
    client.subscribe("weather", max_daily_spend_wei=10**18, deposit_wei=5 * 10**18)
    print(client.get_usage_report(client.address).credit_balance_wei)

Errors are the tree of `errors`. Views can be repeated and are, when the node is busy or gone for a moment. Writes are
sent once and followed until they have executed, with what they triggered; `Written` has the result and the transaction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from api_billing.extras import needed_by

with needed_by(__name__):
    from api_billing.contract_client import ContractClient, Written, all_of, nothing
from api_billing.contract_api import KEPT, MAX_PAGE, PLAIN_HOLD, STANDARD_PLAN, Method
from api_billing.errors import InvalidInput, NoContract, UnexpectedAnswer
from api_billing.networks import Network, checked_address, load_deployment
from api_billing.results import (
    Account,
    Api,
    ApiDay,
    ApiDetails,
    ApiPage,
    CallReceipt,
    Collected,
    DayUsage,
    Deposit,
    Earnings,
    Notice,
    OpenedSession,
    PaidDay,
    Promise,
    Quote,
    ReceiptCheck,
    RequestAnswer,
    Session,
    Settlement,
    SettlementEntry,
    SettlementHead,
    SettlementState,
    Solvency,
    SubscriberPage,
    Subscription,
    UsageReport,
)
from api_billing.vouchers import NO_SALT, Channel, domain_of

__all__ = ["BillingClient", "Written"]


class BillingClient(ContractClient):
    """The billing contract on one network; by default the one that is recorded in `deployments/<network>.json`."""

    @classmethod
    def _recorded(cls, network: Network) -> str:
        recorded = load_deployment(network.name)
        if recorded is None:
            raise NoContract(f"no billing contract is recorded for {network.name}")
        return recorded.address

    _not_this = "no billing contract"

    def _recognize(self) -> None:
        self.get_solvency()

    # ---- operator ----

    def register_api(
        self, api_name: str, cost_per_call_wei: int, daily_limit_calls: int, monthly_limit_calls: int = 0
    ) -> Written[None]:
        """Register an API with the plan `standard`, or change that plan. A monthly limit of 0 is none."""
        limits = cost_per_call_wei, daily_limit_calls, monthly_limit_calls
        return self._write(Method.REGISTER_API, nothing, api_name, *limits)

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
        return self._write(Method.SET_PLAN, nothing, api_name, plan_name, *limits)

    def set_api_active(self, api_name: str, active: bool) -> Written[None]:
        """Pause or resume billing; past usage can be settled all the same."""
        return self._write(Method.SET_API_ACTIVE, nothing, api_name, active)

    def set_meter(self, api_name: str, meter: str, allowed: bool = True) -> Written[None]:
        """Allow an address to report usage of the API, or forbid it."""
        return self._write(Method.SET_METER, nothing, api_name, checked_address(meter, "address of a meter"), allowed)

    def propose_operator(self, api_name: str, operator: str) -> Written[None]:
        """Offer the API to somebody, who has to accept it."""
        return self._write(Method.PROPOSE_OPERATOR, nothing, api_name, checked_address(operator))

    def accept_operator(self, api_name: str) -> Written[None]:
        """Take over an API that was offered to this account."""
        return self._write(Method.ACCEPT_OPERATOR, nothing, api_name)

    def withdraw_earnings(self, amount_wei: int, to: str = "") -> Written[None]:
        """Pay earnings to this account, or to another; they arrive when the transaction is final."""
        return self._write(Method.WITHDRAW_EARNINGS, nothing, amount_wei, _maybe_address(to))

    def refund(self, api_name: str, consumer: str, amount_wei: int, reason: str = "", day_id: int = 0) -> Written[None]:
        """Give earnings back as a consumer's credit: those of a day that still wait, or without a day other ones.

        Sent twice it refunds twice. A reason has at most 200 characters.
        """
        return self._write(Method.REFUND, nothing, api_name, checked_address(consumer), amount_wei, reason, day_id)

    def set_promise(
        self, api_name: str, court: str, payout_days: int, max_refund_percent: int, terms: str, status_url: str = ""
    ) -> Written[None]:
        """Promise what the terms say, under a court; earnings of a day then wait 3 to 14 days. Without a court: end it.

        The first begins tomorrow, a change or end after the earnings that wait under the present one.
        """
        args = api_name, _maybe_address(court), payout_days, max_refund_percent, terms, status_url
        return self._write(Method.SET_PROMISE, nothing, *args)

    def collect_earnings(self, api_name: str) -> Written[Collected]:
        """Move the earnings of matured days to the operator. Anyone may."""
        return self._write(Method.COLLECT_EARNINGS, Collected.of, api_name)

    # ---- consumer ----

    def subscribe(
        self,
        api_name: str,
        max_daily_spend_wei: int,
        deposit_wei: int = 0,
        plan_name: str = STANDARD_PLAN,
        max_price_wei: int = 0,
    ) -> Written[Subscription]:
        """Subscribe, or change plan and cap, and accept the plan's present price. Sends the deposit along.

        ``max_price_wei`` is the highest price to accept, 0 any: pass the one that was decided on, since the operator
        may raise it at any time. Raises: DepositKept, when it is refused: the deposit is credit then.
        """
        args = api_name, max_daily_spend_wei, deposit_wei, plan_name, max_price_wei
        return self._pay(Method.SUBSCRIBE, Subscription.of, deposit_wei, *args)

    def unsubscribe(self, api_name: str) -> Written[None]:
        """End the subscription; a hold in force stays."""
        return self._write(Method.UNSUBSCRIBE, nothing, api_name)

    def top_up_credit(self, amount_wei: int) -> Written[Deposit]:
        """Send GEN to this account's credit. Raises: DepositKept."""
        return self._pay(Method.TOP_UP_CREDIT, Deposit.of, amount_wei, amount_wei)

    def top_up_for(self, consumer: str, amount_wei: int) -> Written[Deposit]:
        """Send GEN to anyone's credit. Raises: DepositKept, with which it is this account's credit."""
        return self._pay(Method.TOP_UP_FOR, Deposit.of, amount_wei, checked_address(consumer), amount_wei)

    def withdraw_credit(self, amount_wei: int, to: str = "") -> Written[None]:
        """Take free credit back, to this account or to another; it arrives when the transaction is final."""
        return self._write(Method.WITHDRAW_CREDIT, nothing, amount_wei, _maybe_address(to))

    def set_low_credit_alert(self, percent: int) -> Written[None]:
        """Be told when credit falls to this percentage of what it was after the last top-up; 0 is never."""
        return self._write(Method.SET_LOW_CREDIT_ALERT, nothing, percent)

    def place_hold(self, api_name: str, amount_wei: int, expires_at: int, signer: str = "") -> Written[None]:
        """Set more credit aside for the settlements of one API until a time in unix seconds; 0 wei only prolongs.

        An address as ``signer`` makes it a session, billed by that key's vouchers; "plain" ends being billed so.
        """
        signer = signer if signer == PLAIN_HOLD else _maybe_address(signer)
        return self._write(Method.PLACE_HOLD, nothing, api_name, amount_wei, expires_at, signer)

    def open_session(
        self,
        api_name: str,
        max_daily_spend_wei: int,
        amount_wei: int,
        expires_at: int,
        signer: str,
        plan_name: str = STANDARD_PLAN,
        max_price_wei: int = 0,
        *,
        deposit_wei: int = 0,
    ) -> Written[OpenedSession]:
        """Deposit, subscribe unless subscribed, and place a session's hold, in one; later: top it up and prolong it.

        Use a key made for this session: what another signed and was not billed can be billed from a later hold with
        the same signer. Raises: DepositKept, when it is refused: the deposit is credit then.
        """
        args = api_name, max_daily_spend_wei, amount_wei, expires_at, checked_address(signer), plan_name, max_price_wei
        return self._pay(Method.OPEN_SESSION, OpenedSession.of, deposit_wei, *args)

    def release_hold(self, api_name: str, consumer: str = "") -> Written[None]:
        """Turn what is left of a hold into free credit; an operator names the consumer."""
        return self._write(Method.RELEASE_HOLD, nothing, api_name, _maybe_address(consumer))

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
        """Bill 1 to 256 entries, at most 64 of them with vouchers. A sequence that is settled bills nothing more.

        It answers as before, and refuses another content. A voucher may be a higher one: it is no content.
        """
        lines = [entry.as_dict() for entry in entries]
        return self._write(Method.SETTLE_USAGE, Settlement.of, api_name, sequence, lines, usage_root)

    # ---- court ----

    def freeze_by_court(self, api_name: str, consumer: str, day_id: int) -> Written[None]:
        """What courts call; the contract refuses it from an account, with `not_court`."""
        return self._write(Method.FREEZE_BY_COURT, nothing, api_name, checked_address(consumer), day_id)

    def refund_by_court(self, api_name: str, consumer: str, day_id: int, amount_wei: int) -> Written[None]:
        """What courts call; 30 days after the freeze anyone may give what is frozen to the operator, with 0 wei."""
        return self._write(Method.REFUND_BY_COURT, nothing, api_name, checked_address(consumer), day_id, amount_wei)

    # ---- views ----

    def get_usage_report(self, consumer: str, offset: int = 0, limit: int = MAX_PAGE) -> UsageReport:
        """Everything a dashboard shows of a consumer, with at most 100 of its subscriptions."""
        return UsageReport.of_json(self._read(Method.GET_USAGE_REPORT, checked_address(consumer), offset, limit))

    def get_whole_usage_report(self, consumer: str) -> UsageReport:
        """The usage report with all subscriptions, read page by page."""
        report = page = self.get_usage_report(consumer)
        while page.apis and len(report.apis) < report.total:
            page = self.get_usage_report(consumer, len(report.apis))
            report = dataclasses.replace(report, apis=report.apis + page.apis)
        return report

    def get_api(self, api_name: str) -> ApiDetails:
        """An API with its plans, its meters, its promise, and what its vouchers are made of."""
        return ApiDetails.of(self._read(Method.GET_API, api_name))

    def get_channel(self, api_name: str, consumer: str, salt: str = NO_SALT) -> Channel:
        """The channel of a consumer's session, for which its signer makes vouchers. Two reads.

        Raises: InvalidInput, where no signing key is set; UnexpectedAnswer, where vouchers are signed in another form.
        """
        api, session = self.get_api(api_name), self.get_session(consumer, api_name)
        if not session.signer:
            hint = "open one with: api-billing session open"
            raise InvalidInput(f"{consumer} has no session with {api.api_name}", hint=hint)
        if api.voucher_domain != domain_of(api.chain_id):
            raise UnexpectedAnswer(f"vouchers of {api.api_name} are signed under another domain: {api.voucher_domain}")
        addresses = session.consumer, session.signer, api.operator, self.contract, api.asset
        return Channel(*addresses, api.chain_id, salt)

    def list_apis(self, offset: int = 0, limit: int = MAX_PAGE) -> ApiPage:
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

    def get_usage_history(
        self, consumer: str, api_name: str, from_day: int, to_day: int, offset: int = 0
    ) -> tuple[DayUsage, ...]:
        """The days with usage from `from_day` to `to_day`, both included, in days since 1970; at most the last 400.

        Without a name those of all subscriptions, 100 of them from `offset`; then at most 31 days.
        """
        args = checked_address(consumer), api_name, from_day, to_day, offset
        return all_of(DayUsage.of, self._read(Method.GET_USAGE_HISTORY, *args))

    def get_session(self, consumer: str, api_name: str, channel_id: str = "") -> Session:
        """A consumer's hold for an API, whose vouchers it takes, and what was signed and billed of each channel.

        The channels are those that this hold has paid, or one that is named, which an earlier hold may have.
        """
        return Session.of(self._read(Method.GET_SESSION, checked_address(consumer), api_name, channel_id))

    def quote_call(self, api_name: str, consumer: str, calls: int = 1) -> Quote:
        """What `consume_credit` would do now."""
        return Quote.of(self._read(Method.QUOTE_CALL, api_name, checked_address(consumer), calls))

    def get_receipt(self, receipt_id: str) -> ReceiptCheck:
        """Whether a receipt is genuine."""
        return ReceiptCheck.of(self._read(Method.GET_RECEIPT, receipt_id))

    def get_earnings(self, operator: str, offset: int = 0) -> Earnings:
        """What an operator can withdraw, has withdrawn and refunded; what waits, of 100 APIs from `offset`."""
        return Earnings.of(self._read(Method.GET_EARNINGS, checked_address(operator), offset))

    def get_api_days(self, api_name: str) -> tuple[ApiDay, ...]:
        """What an API earned on each of the last 64 days that have calls, the oldest first."""
        return all_of(ApiDay.of, self._read(Method.GET_API_DAYS, api_name))

    def list_subscribers(self, api_name: str, offset: int = 0, limit: int = MAX_PAGE) -> SubscriberPage:
        """Who ever subscribed, in that order, at most 100 at a time: limits, usage, hold, session."""
        return SubscriberPage.of(self._read(Method.LIST_SUBSCRIBERS, api_name, offset, limit))

    def get_promise(self, api_name: str, day_id: int = 0) -> Promise:
        """What an API promises for a day, 0: today; without a court it promises nothing."""
        return Promise.of(self._read(Method.GET_PROMISE, api_name, day_id))

    def get_paid_day(self, api_name: str, consumer: str, day_id: int) -> PaidDay:
        """What a consumer paid an API on a day, and what became of it: what a court goes by."""
        return PaidDay.of(self._read(Method.GET_PAID_DAY, api_name, checked_address(consumer), day_id))

    def get_settlement(self, api_name: str, sequence: int = 0) -> SettlementState:
        """The outcome of one of the last 64 settlements, 0: the last; and the next sequence."""
        return SettlementState.of(self._read(Method.GET_SETTLEMENT, api_name, sequence))

    def list_settlements(self, api_name: str, after: int = 0, limit: int = KEPT) -> tuple[SettlementHead, ...]:
        """Those of an API's last 64 settlements with a sequence above `after`, oldest first, without their entries."""
        return all_of(SettlementHead.of, self._read(Method.LIST_SETTLEMENTS, api_name, after, limit))

    def list_notices(self, consumer: str, after: int = 0, limit: int = KEPT) -> tuple[Notice, ...]:
        """Those of a consumer's last 64 notices with a number above `after`, oldest first."""
        return all_of(Notice.of, self._read(Method.LIST_NOTICES, checked_address(consumer), after, limit))

    def get_solvency(self) -> Solvency:
        """What the contract holds and owes."""
        return Solvency.of(self._read(Method.GET_SOLVENCY))

    def consumer_integration_example(self) -> str:
        """How a consumer contract pays per call, as source text."""
        return str(self._read(Method.CONSUMER_INTEGRATION_EXAMPLE))


def _maybe_address(text: str) -> str:
    return checked_address(text) if text else ""
