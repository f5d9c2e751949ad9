"""genlayer-py, whichever of 0.16.3 to 0.19 is installed: the one place that knows how they differ.

All have the same calldata, RLP and table of chains, and these we use. Requests are our own, as its helpers are not the
same: 0.19 writes another key for a method's name, gives a transaction a ``lifecycle`` in the place of its ``status``,
hides what the node answered, has another chain id for a localnet, and knows Studio by ids that 0.16 does not have. Only
transactions of testnets are read by genlayer-py, as they are put together from several contracts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api_billing.errors import RpcFailed, UnexpectedAnswer
from api_billing.extras import needed_by
from api_billing.networks import Network

with needed_by(__name__):
    from genlayer_py.abi import calldata
    from genlayer_py.abi.transactions import serialize
    from genlayer_py.client import GenLayerClient
    from genlayer_py.exceptions import GenLayerError

from api_billing.transport import RpcProvider

__all__ = [
    "NOT_FOUND",
    "NO_METHOD",
    "GenLayerError",
    "Transactions",
    "calldata",
    "error_text",
    "is_studio",
    "plain",
    "serialize",
]

NO_METHOD: Final = -32601
NOT_FOUND: Final = -32001
_TESTNETS: Final = frozenset({"testnet_asimov", "testnet_bradbury"})
_STATUSES: Final = frozenset(
    {
        *("UNINITIALIZED", "PENDING", "PROPOSING", "COMMITTING", "REVEALING", "LEADER_REVEALING"),
        *("APPEAL_COMMITTING", "APPEAL_REVEALING", "ACCEPTED", "READY_TO_FINALIZE", "FINALIZED"),
        *("UNDETERMINED", "LEADER_TIMEOUT", "VALIDATORS_TIMEOUT", "CANCELED"),
    }
)
# Results of votes with which a final transaction has changed nothing, whatever its leader's receipt says.
_NOT_AGREED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("DISAGREE", "MAJORITY_DISAGREE", "DETERMINISTIC_VIOLATION", "NO_MAJORITY"), "UNDETERMINED"),
    **dict.fromkeys(("TIMEOUT", "MAJORITY_TIMEOUT"), "VALIDATORS_TIMEOUT"),
}


def is_studio(network: Network) -> bool:
    """Whether its nodes are Studio's or a localnet's: not told by the chain id, which several have in common."""
    return network.chain not in _TESTNETS


class Transactions:
    """Transactions of one network, with a ``status_name`` on all of them."""

    def __init__(self, network: Network, provider: RpcProvider) -> None:
        self._provider = provider
        self._client = None if is_studio(network) else _client(network, provider)

    def find(self, tx: str) -> dict[str, Any] | None:
        """What is known of it now, None where the node does not know it. Raises: NetworkError, UnexpectedAnswer."""
        try:
            if self._client is None:
                found = self._provider.result("eth_getTransactionByHash", tx)
            else:
                found = self._client.get_transaction(transaction_hash=tx)
        except RpcFailed as error:
            if error.code == NOT_FOUND:
                return None
            raise
        return None if found is None else {**found, "status_name": _status_name(found)}

    def trace(self, tx: str) -> dict[str, Any]:
        """What a node of a testnet tells of how it ran; empty where it tells nothing."""
        try:
            trace = self._provider.result("gen_dbg_traceTransaction", {"txID": tx, "round": 0})
        except RpcFailed:
            return {}
        return trace if isinstance(trace, dict) else {}


def _client(network: Network, provider: RpcProvider) -> GenLayerClient:
    client = GenLayerClient(network.genlayer_chain())
    client.provider = client.w3.provider = provider
    return client


def _status_name(found: Mapping[str, Any]) -> str:
    """Studio's and genlayer-py's up to 0.18, or what the ``lifecycle`` of later ones says."""
    lifecycle = found.get("lifecycle")
    if isinstance(lifecycle, Mapping):
        status = _status_of_lifecycle(**lifecycle)
    else:
        status = found.get("status_name", found.get("status"))
    name = str(getattr(status, "value", status))
    if name == "ACTIVATED":
        return "PENDING"
    if name not in _STATUSES:
        raise UnexpectedAnswer(f"the node gives the unknown status {name!r}")
    return _NOT_AGREED.get(str(found.get("result_name")), name) if name == "FINALIZED" else name


def _status_of_lifecycle(state: str = "", phase: str = "", outcome: str = "accepted") -> str:
    if state == "processing":
        return phase.upper()
    if outcome == "accepted" and state in ("decided", "finalized"):
        return "ACCEPTED" if state == "decided" else "FINALIZED"
    return state.upper() if state == "canceled" else outcome.upper()


def error_text(payload: bytes) -> str:
    """The text of a contract's error: v0.3 has calldata there, which is a text as a rule; v0.2 the text itself."""
    text = payload.decode("utf-8", "replace")
    try:
        value = calldata.decode(payload)
        if calldata.encode(value) != payload:  # 0.16 does not mind when the end is missing
            return text
    except (GenLayerError, LookupError, ValueError, TypeError, AssertionError):
        return text
    if isinstance(value, str):
        return value
    return text if text.isprintable() else str(plain(value))


def plain(value: Any) -> Any:
    """Calldata without the classes of genlayer-py: addresses as lower-case hex, bytes as bytes."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    as_hex = getattr(value, "as_hex", None)
    return as_hex.lower() if isinstance(as_hex, str) else value
