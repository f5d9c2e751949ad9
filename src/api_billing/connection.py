"""One contract on one network: reads, writes that are followed to their end, deployments.

Knows nothing of billing but the form of its refusals. Safe to use from several threads; writes of one account run one
after the other, since each needs the number of the one before.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from api_billing.extras import needed_by

with needed_by(__name__):
    from eth_abi.exceptions import EncodingError

from api_billing.amounts import format_wei
from api_billing.errors import (
    BillingError,
    Cancelled,
    ChildFailed,
    ContractNotFound,
    ContractRejected,
    InvalidInput,
    OutcomeUnknown,
    RpcFailed,
    TransactionFailed,
    UnexpectedAnswer,
)
from api_billing.fee_desk import FeeDesk
from api_billing.fee_profile import FeeProfile
from api_billing.fees import Fees
from api_billing.genlayer_sdk import (
    NO_METHOD,
    NOT_FOUND,
    GenLayerError,
    Transactions,
    calldata,
    is_studio,
    plain,
    serialize,
)
from api_billing.networks import Network
from api_billing.sending import NOBODY, Payload, Sender, Signer, call, call_data, deployment
from api_billing.transactions import (
    Execution,
    FeeOutcome,
    Follower,
    Phase,
    TransactionOutcome,
    error_of_receipt,
    refusal_of,
)
from api_billing.transport import ReadPacer, RpcProvider

_VARIANTS: Final[Mapping[Phase, str]] = {"accepted": "latest-nonfinal", "finalized": "latest-final"}


class Connection:
    """A node and who signs. ``max_fee_wei`` and ``fee_profile`` are for networks with fees, see ``fees``. ``sleep`` and
    ``clock`` are for tests that must not wait.
    """

    def __init__(
        self,
        network: Network,
        signer: Signer | None = None,
        *,
        max_fee_wei: int | None = None,
        fee_profile: FeeProfile | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.network, self.signer = network, signer
        pace = network.reads_per_10_seconds
        self.provider = RpcProvider(network.rpc_url, pacer=ReadPacer(pace, sleep, clock) if pace else None, sleep=sleep)
        known = Transactions(network, self.provider)
        self.follower = Follower(known, poll_seconds=network.poll_seconds, sleep=sleep, clock=clock)
        self.fees = FeeDesk(network, self.provider, max_wei=max_fee_wei, profile=fee_profile)
        self._sender = Sender(network, self.provider, self.now, sleep=sleep, clock=clock)
        self._writing = threading.Lock()

    # ---- accounts and the node ----

    def now(self) -> int:
        """Unix seconds of the latest block; of a localnet its clock, as it makes blocks only when it is used."""
        if is_studio(self.network):  # which a localnet may stand for
            with suppress(RpcFailed):  # Studio has no such method
                return int(self.provider.result("sim_getTime")["timestamp"])
        block = self.provider.result("eth_getBlockByNumber", "latest", False)
        return int(str(block["timestamp"]), 16) if isinstance(block, dict) else int(time.time())

    def chain_id(self) -> int:
        """The node's chain id."""
        return int(str(self.provider.result("eth_chainId")), 16)

    def balance_wei(self, address: str) -> int:
        """GEN of an account or a contract."""
        return int(str(self.provider.result("eth_getBalance", address, "latest")), 16)

    def fund(self, address: str, amount_wei: int) -> str:
        """Have the faucet of a localnet or of Studio pay; returns the transaction.

        Raises: InvalidInput, where there is none.
        """
        if not self.network.faucet:
            raise InvalidInput(f"there is no faucet on {self.network.name}")
        return str(self.provider.result("sim_fundAccount", address, amount_wei))

    def code(self, address: str) -> bytes | None:
        """The source at an address, None where there is no contract. Raises: RpcFailed, where nodes do not tell."""
        try:
            told = self.provider.result("gen_getContractCode", address)
            return base64.b64decode(str(told)) if told else None
        except RpcFailed as error:
            if error.code == NO_METHOD:
                raise
            return None

    def has_code(self, address: str) -> bool:
        """Whether there is a contract; False also where nodes do not tell."""
        with suppress(RpcFailed):
            return self.code(address) is not None
        return False

    def schema(self, address: str) -> Mapping[str, Any]:
        """Constructor and methods of a contract. Raises: RpcFailed, where nodes do not tell."""
        schema = self.provider.result("gen_getContractSchema", address)
        if not isinstance(schema, dict):
            raise UnexpectedAnswer(f"the schema of {address} is {str(schema)[:80]!r}")
        return schema

    # ---- contracts ----

    def read(self, address: str, method: str, args: Sequence[Any] = (), *, state: Phase = "accepted") -> Any:
        """Call a view of the state of accepted transactions, or of final ones only, which no appeal can undo.

        Raises: ContractRejected, ContractNotFound, NetworkError, UnexpectedAnswer.
        """
        request = {
            "type": "read",
            "to": address,
            "from": NOBODY,
            "data": serialize([call_data(method, args), b"\x00"]),
            "transaction_hash_variant": _VARIANTS[state],
        }
        try:
            return plain(calldata.decode(bytes.fromhex(str(self.provider.result("gen_call", request)))))
        except RpcFailed as error:
            raise self._refusal(error, address, method) from error
        except (GenLayerError, LookupError, ValueError, TypeError, AssertionError) as error:  # from its decoder
            raise UnexpectedAnswer(f"{method} answered what is no calldata: {error}") from error

    def write(
        self, address: str, method: str, args: Sequence[Any], *, value_wei: int, phase: Phase, timeout_seconds: float
    ) -> TransactionOutcome:
        """Call a method in a transaction and follow it to its end; it is sent once.

        Raises: ContractRejected, TransactionFailed, ChildFailed, OutcomeUnknown, NetworkError, InvalidInput.
        """
        tx, fees = self._handed_over(lambda: call(address, method, args, value_wei), args)
        try:
            outcome = self.follower.wait(tx, phase, timeout_seconds)
        except (ContractRejected, TransactionFailed) as error:
            if value_wei and not isinstance(error, ChildFailed | Cancelled):
                sent = f"the {format_wei(value_wei, exact=True)} sent along may have stayed at {address}"
                error.hint = f"{error.hint}; {sent}" if error.hint else sent
            raise
        if fees is not None and not outcome.fee.deposit_wei:  # the node does not tell
            return replace(outcome, fee=FeeOutcome(fees.deposit_wei))
        return outcome

    def send_deployment(self, code: bytes, args: Sequence[Any] = ()) -> str:
        """Hand over a contract with its constructor's arguments; returns the transaction, still to be followed.

        Raises: OutcomeUnknown, NetworkError, InvalidInput.
        """
        return self._handed_over(lambda: deployment(code, args), args)[0]

    def _signer(self) -> Signer:
        if self.signer is None:
            raise InvalidInput("a transaction needs an account that signs it", hint="name one with --account")
        return self.signer

    def _handed_over(self, make: Callable[[], Payload], args: Sequence[Any]) -> tuple[str, Fees | None]:
        """The transaction's id, and what it deposited.

        Once the node may have it, every error means that its end is not known.
        """
        signer = self._signer()
        with self._writing:
            self.provider.forget_sent()
            try:
                payload = make()
                fees = self.fees.fees_of(signer.address, payload, args)
                return self._sender.send(signer, payload, fees), fees
            except OutcomeUnknown:
                raise
            except (BillingError, GenLayerError, EncodingError, ValueError, TypeError, LookupError) as error:
                sent = self.provider.sent_hash
                if sent is not None:
                    raise OutcomeUnknown(f"transaction {sent} was sent, but then: {error}", sent) from error
                if isinstance(error, BillingError):
                    raise
                raise InvalidInput(f"the transaction could not be made: {error}") from error

    def _refusal(self, error: RpcFailed, address: str, method: str) -> BillingError:
        """What an error of a read says: Studio has the contract's text in a receipt, others in the message."""
        refusal = refusal_of(error)
        if refusal is not None:
            return refusal
        execution, message = error_of_receipt(error.data)
        if execution in (Execution.USER_ERROR, Execution.VM_ERROR):
            return UnexpectedAnswer(f"{method} failed in the contract at {address}: {message}")
        if error.code == NOT_FOUND:
            return ContractNotFound(address, self.network.name)
        return error
