"""What clients of a contract have in common: the network, who signs, how far a write is followed, what it came to."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from api_billing.extras import needed_by

with needed_by(__name__):
    from api_billing.connection import Connection
    from api_billing.fee_profile import FeeProfile
    from api_billing.sending import Signer
from api_billing.contract_api import CourtMethod, Method
from api_billing.court_results import ReturnedBond
from api_billing.errors import BondReturned, ContractRejected, DepositKept, InvalidInput, NoContract, UnexpectedAnswer
from api_billing.networks import Network, checked_address, find_network
from api_billing.results import Deposit
from api_billing.transactions import NO_FEE, FeeOutcome, Phase, TransactionOutcome


@dataclass(frozen=True, slots=True)
class Written[T]:
    """A write that has executed: its result, its transaction, and what that triggered."""

    result: T
    tx: str
    status: str
    children: tuple[str, ...]
    stdout: str
    """What the contract printed, a line `[Event] key=value …` for each event; nodes cut it at 5,000 characters."""
    fee: FeeOutcome = NO_FEE
    """What it deposited for the network's fees, and when it is final, what of that came back."""


class ContractClient:
    """A contract on one network.

    ``network`` is a name (see ``networks.NETWORKS``) or a ``Network``; ``url`` another node of it. ``contract`` is its
    address. ``account`` signs writes; without it only views work. ``on`` says how far writes are followed: ``accepted``
    (validators have agreed) or ``finalized`` (payouts have arrived), and ``timeout_seconds`` for how long, by default
    as long as suits the network. On a network with fees ``max_fee_wei`` is the most that one write may deposit for it,
    and ``fee_profile`` says what to deposit where a node cannot estimate.

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
        max_fee_wei: int | None = None,
        fee_profile: FeeProfile | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        found = network if isinstance(network, Network) else find_network(network, url)
        if on not in ("accepted", "finalized"):
            raise InvalidInput(f"on is 'accepted' or 'finalized', not {on!r}")
        default = found.accept_seconds if on == "accepted" else found.finalize_seconds
        self.network, self.on = found, on
        self.timeout_seconds = default if timeout_seconds is None else timeout_seconds
        self.contract = checked_address(contract, "contract address") if contract else self._recorded(found)
        self.connection = Connection(
            found, account, max_fee_wei=max_fee_wei, fee_profile=fee_profile, sleep=sleep, clock=clock
        )
        self.connection.fees.billing = self._billing
        self._state: Phase = "accepted"
        self._is_known = False  # to be what this is a client of
        self._max_fee_wei = max_fee_wei

    @classmethod
    def _recorded(cls, network: Network) -> str:
        """The address where none is named."""
        raise NoContract(f"{cls.__name__} needs the address of a contract")

    def _billing(self) -> str:
        """The billing contract, to which it or its users send messages."""
        return self.contract

    _not_this = "another contract"

    def _recognize(self) -> None:
        """Read what only such a contract answers. Raises: ContractNotFound, UnexpectedAnswer, NetworkError."""
        raise NotImplementedError

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

    def is_final(self, tx: str) -> bool:
        """Whether a transaction is final: no appeal can undo it any more. One that the node does not know is not."""
        outcome = self.connection.follower.look(tx)
        return outcome is not None and outcome.status == "FINALIZED"

    def allow_fee(self, most_wei: int) -> None:
        """From now on deposit no more than this for one write, nor than ``max_fee_wei``."""
        self.connection.fees.max_wei = most_wei if self._max_fee_wei is None else min(most_wei, self._max_fee_wei)

    def fee_of(self, tx: str) -> FeeOutcome:
        """What a transaction deposited for the network's fees, and what of it came back; nothing if it is not known."""
        outcome = self.connection.follower.look(tx)
        return NO_FEE if outcome is None else outcome.fee

    def _read(self, method: Method | CourtMethod, *args: Any) -> Any:
        return self.connection.read(self.contract, method.value, args, state=self._state)

    def _write[T](self, method: Method | CourtMethod, read: Callable[[Any], T], *args: Any) -> Written[T]:
        return _written(read, self._send(method, args, 0))

    def _pay[T](self, method: Method | CourtMethod, read: Callable[[Any], T], value_wei: int, *args: Any) -> Written[T]:
        """A payable call does not raise when it carries value: its answer says whether it was carried out.

        Before the first one that carries any, the contract has to answer as ours: GEN sent to another stays there.
        """
        if value_wei and not self._is_known:
            try:
                self._recognize()
            except (ContractRejected, UnexpectedAnswer) as error:
                hint = f"nothing was sent; {UnexpectedAnswer.hint}"
                raise UnexpectedAnswer(f"{self.contract} is {self._not_this}: {error}", hint=hint) from error
            self._is_known = True
        outcome = self._send(method, args, value_wei)
        answer = outcome.value
        if not isinstance(answer, Mapping) or "ok" not in answer:
            raise UnexpectedAnswer(f"{method} answered {str(answer)[:80]!r} in transaction {outcome.tx}")
        if not answer["ok"]:
            raise _refusal(answer, outcome.tx)
        return _written(read, outcome)

    def _send(self, method: Method | CourtMethod, args: Sequence[Any], value_wei: int) -> TransactionOutcome:
        return self.connection.write(
            self.contract,
            method.value,
            args,
            value_wei=value_wei,
            phase=self.on,
            timeout_seconds=self.timeout_seconds,
        )


def nothing(_: Any) -> None:
    """The result of a write that answers nothing of interest."""


def all_of[T](read: Callable[[Any], T], answer: object) -> tuple[T, ...]:
    """Read each member of a list that a view answered. Raises: UnexpectedAnswer."""
    if not isinstance(answer, list):
        raise UnexpectedAnswer(f"a list was expected, not {str(answer)[:80]!r}")
    return tuple(map(read, answer))


def _refusal(answer: Mapping[str, Any], tx: str) -> ContractRejected:
    code, message = str(answer.get("code", "")), str(answer.get("message", ""))
    if "returned_wei" in answer:
        return BondReturned(code, message, tx, ReturnedBond.of(answer).returned_wei)
    kept = Deposit.of(answer)
    return DepositKept(code, message, tx, kept.credited_wei, kept.credit_wei)


def _written[T](read: Callable[[Any], T], outcome: TransactionOutcome) -> Written[T]:
    try:
        result = read(outcome.value)
    except UnexpectedAnswer as error:
        raise UnexpectedAnswer(f"transaction {outcome.tx} executed, but its answer is not known: {error}") from error
    return Written(result, outcome.tx, outcome.status, outcome.children, outcome.stdout, outcome.fee)
