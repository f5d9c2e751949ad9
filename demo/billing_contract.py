"""The billing contract as a run calls it: on a localnet, at a time that follows the log."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from genlayer_localnet import ContractRejected, Localnet, Receipt

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_BYTES: Final = 32 * 2**20
_BYTES_OF_A_TRANSACTION: Final = 4_096
# A settlement of many consumers is kept as bytes and as objects, with what it was called with and what it changed.
_TIMES_ITS_RESULT: Final = 16


class UnexpectedOutcomeError(Exception):
    """A call ended otherwise than it must in a run; the text has the method, the error and the contract's own line."""


class BillingContract:
    """A deployed billing contract. Calls run at once, each in a transaction of its own at the time of the clock."""

    def __init__(self, net: Localnet, address: str) -> None:
        self.net = net
        self.address = address
        self._kept = 0

    @property
    def at(self) -> int:
        """The clock in unix seconds."""
        return (self.net.now - EPOCH) // timedelta(seconds=1)

    def move_clock(self, at: int) -> None:
        """Set the clock to unix seconds; it only ever goes forward, and stays where it is otherwise."""
        if at > self.at:
            self.net.now = EPOCH + timedelta(seconds=at)

    def write(self, method: str, *args: Any, sender: str, value_wei: int = 0) -> Receipt:
        """Call a method that the contract may refuse.

        Raises: UnexpectedOutcomeError, when it crashes.
        """
        receipt = self.net.write(self.address, method, *args, sender=sender, value=value_wei)
        self._kept += len(receipt.result) * _TIMES_ITS_RESULT + _BYTES_OF_A_TRANSACTION
        if receipt.kind == "vm_error":
            raise _unexpected(method, receipt)
        return receipt

    def must(self, method: str, *args: Any, sender: str, value_wei: int = 0) -> Receipt:
        """Call a method that has to do what it is asked for.

        Raises: UnexpectedOutcomeError, also when it keeps the value as credit instead.
        """
        receipt = self.write(method, *args, sender=sender, value_wei=value_wei)
        if receipt.kind != "return" or _is_kept(receipt):
            raise _unexpected(method, receipt)
        return receipt

    def save_memory(self) -> None:
        """Have the network forget its transactions, which are all final then, when these take much memory."""
        if self._kept >= _MOST_BYTES:
            self._kept = 0
            self.net.forget()

    def view(self, method: str, *args: Any) -> Any:
        """Read from the contract. Raises: UnexpectedOutcomeError."""
        try:
            return self.net.view(self.address, method, *args)
        except ContractRejected as error:
            raise UnexpectedOutcomeError(f"{method}{args}: {error}") from error


def must_deploy(net: Localnet, path: Any, *args: Any, sender: str) -> str:
    """Deploy a contract and return its address. Raises: UnexpectedOutcomeError."""
    receipt = net.deploy(path, *args, sender=sender)
    if receipt.kind != "return":
        raise _unexpected(f"deploying {path}", receipt)
    return receipt.address.as_hex.lower()


def must_call(net: Localnet, address: str, method: str, *args: Any, sender: str, value_wei: int = 0) -> Receipt:
    """Call a method of another contract than the billing contract. Raises: UnexpectedOutcomeError."""
    receipt = net.write(address, method, *args, sender=sender, value=value_wei)
    if receipt.kind != "return" or _is_kept(receipt):
        raise _unexpected(method, receipt)
    return receipt


def _is_kept(receipt: Receipt) -> bool:
    """Whether the value was not taken for what it was sent for."""
    return isinstance(receipt.value, dict) and receipt.value.get("ok") is False


def _unexpected(what: str, receipt: Receipt) -> UnexpectedOutcomeError:
    answer = receipt.message if receipt.kind != "return" else receipt.value
    lines = receipt.stderr.rstrip().splitlines()
    where = f"\n{receipt.stderr.rstrip()}" if receipt.kind == "vm_error" and lines else ""
    return UnexpectedOutcomeError(f"{what} at {receipt.created_at:%Y-%m-%d %H:%M:%S}: {answer}{where}")
