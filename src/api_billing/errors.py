"""What goes wrong between a program and the billing contract. One tree:

BillingError
├── InvalidInput (also ValueError)     nothing was sent: an amount, address, file or option is not one
│   ├── NoContract                     it is not known where the contract is on this network
│   ├── KeyUnavailable                 the signing key cannot be had: no such file, wrong password, unset variable
│   ├── Unfunded                       the network's fee is above the highest one allowed, or than the account has
│   ├── TooExpensive                   nothing was signed: it would be above the bound for a call, or for a day
│   └── NoSession                      nothing was signed: there is no session to pay from
├── NetworkError                       nothing was changed: the node did not take the request
│   ├── Unreachable                    no connection, or no answer to a read
│   ├── RateLimited                    the node wants fewer requests
│   ├── ContractNotFound               the node knows no contract at the address
│   ├── WouldFail                      the node has tried the call, and it fails in the contract; it was not sent
│   └── RpcFailed                      any other JSON-RPC error; has its code
├── ContractRejected                   the contract refused: code, message, tx; changed nothing
│   ├── DepositKept                    …but kept the GEN sent with the call as the caller's credit
│   └── BondReturned                   …and sends the bond back, as the caller's credit in the billing contract
├── TransactionFailed                  decided but not executed: a crash, or validators disagree
│   ├── Cancelled                      the network cancelled it before it ran
│   └── ChildFailed                    it executed, but a transaction that it triggered did not
├── OutcomeUnknown                     a transaction may or may not have been taken: never send it again unseen
│   └── WaitTimedOut                   it was taken, and is not decided (or final) yet
├── UnexpectedAnswer                   an answer of another form than this version knows
│   ├── NotPayable                     nothing was signed: what a server asks for is nothing to pay from this wallet
│   └── BadReceipt                     what a server says was charged is not what was signed for
└── MissingExtra (an ImportError)      a package that only some need is not installed; says which extra brings it
"""

from __future__ import annotations

from api_billing.contract_api import in_words, next_step


class BillingError(Exception):
    """Base of everything here. ``hint`` says what to do next; it may be empty."""

    hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class InvalidInput(BillingError, ValueError):
    """Nothing was sent: what was asked for is not well formed."""


class NoContract(InvalidInput):
    """It is not known where the contract is on this network."""

    hint = "name its address with --contract 0x…, or deploy it with: api-billing deploy"


class KeyUnavailable(InvalidInput):
    """The signing key cannot be had."""


class Unfunded(InvalidInput):
    """Nothing was sent: the fee to deposit is above the highest one allowed, or the account has not so much GEN."""

    def __init__(self, message: str, deposit_wei: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.deposit_wei = deposit_wei


class TooExpensive(InvalidInput):
    """Nothing was signed: ``amount_wei`` is above ``bound_wei``, the most to be paid for a call or on a day."""

    def __init__(self, message: str, amount_wei: int, bound_wei: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.amount_wei, self.bound_wei = amount_wei, bound_wei


class NoSession(InvalidInput):
    """Nothing was signed: there is no session to pay from, and nobody said for how much to open one."""


class NetworkError(BillingError):
    """The node did not take the request, and nothing was changed."""


class Unreachable(NetworkError):
    """No connection to the node, or no answer to a read."""


class RateLimited(NetworkError):
    """The node wants fewer requests, also after the client has waited and tried again."""

    hint = "wait a little; hosted nodes allow about 20 reads in 10 seconds for one contract"


class RpcFailed(NetworkError):
    """A JSON-RPC error: its ``code``, and its ``data`` as the node sent it."""

    def __init__(self, method: str, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.method, self.code, self.message, self.data = method, code, message, data


class ContractNotFound(NetworkError):
    """The node knows no contract at the address."""

    hint = "a localnet without --state forgets its contracts when it ends; deploy again with: api-billing deploy"

    def __init__(self, address: str, network: str) -> None:
        super().__init__(f"there is no contract at {address} on {network}")
        self.address = address


class WouldFail(NetworkError):
    """Not sent: the node has tried the call, and it ends with an error that is no refusal of the contract."""

    hint = "nothing was sent; check that the address is that of the contract that is meant"

    def __init__(self, address: str, method: str, message: str) -> None:
        super().__init__(f"{method} would fail in the contract at {address}: {message or 'the node tells no reason'}")
        self.address, self.method, self.message = address, method, message


class ContractRejected(BillingError):
    """The contract refused. ``code`` is one of ``refusal_codes.Code``; ``tx`` is None for a read."""

    def __init__(self, code: str, message: str, tx: str | None = None) -> None:
        super().__init__(f"{in_words(code)} ({code})", hint=next_step(code))
        self.code, self.message, self.tx = code, message, tx


class DepositKept(ContractRejected):
    """A payable call was refused; the contract credited its value, ``credited_wei``, to the caller."""

    def __init__(self, code: str, message: str, tx: str, credited_wei: int, credit_wei: int) -> None:
        super().__init__(code, message, tx)
        self.credited_wei, self.credit_wei = credited_wei, credit_wei
        self.hint = f"{self.hint}; the GEN sent is not lost but is now your credit, which can be used or withdrawn"


class BondReturned(ContractRejected):
    """A court refused a dispute; ``returned_wei`` becomes the caller's credit when the transaction is final."""

    def __init__(self, code: str, message: str, tx: str, returned_wei: int) -> None:
        super().__init__(code, message, tx)
        self.returned_wei = returned_wei
        self.hint = f"{self.hint}; the bond sent becomes your credit when the transaction is final"


class TransactionFailed(BillingError):
    """The transaction was decided without executing: ``status`` is the network's, ``message`` the VM's."""

    def __init__(self, tx: str, status: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"transaction {tx} was not executed: {message}", hint=hint)
        self.tx, self.status, self.message = tx, status, message


class Cancelled(TransactionFailed):
    """The network cancelled it before it ran: nothing was changed."""


class ChildFailed(TransactionFailed):
    """The transaction ``tx`` executed, but ``child_tx``, which it triggered, did not."""

    def __init__(self, tx: str, child_tx: str, status: str, message: str) -> None:
        super().__init__(child_tx, status, f"{message} (it was triggered by {tx}, which did execute)")
        self.tx, self.child_tx = tx, child_tx


class OutcomeUnknown(BillingError):
    """A transaction was handed over and no answer came. ``tx`` is its hash."""

    def __init__(self, message: str, tx: str | None) -> None:
        hint = "do not send it again before you know"
        super().__init__(message, hint=f"{hint}; look it up with: api-billing tx {tx}" if tx else hint)
        self.tx = tx


class WaitTimedOut(OutcomeUnknown):
    """The transaction was taken, and has not got as far as was waited for. ``status`` is the last one seen."""

    def __init__(self, tx: str, waited_seconds: float, wanted: str, status: str) -> None:
        super().__init__(f"transaction {tx} is {status} after {waited_seconds:.0f} s, not {wanted} yet", tx)
        self.waited_seconds, self.wanted, self.status = waited_seconds, wanted, status
        self.tx: str = tx


class UnexpectedAnswer(BillingError):
    """An answer of another form than this version knows: another contract at the address, or another network."""

    hint = "check that the address is that of the billing contract, and that this version matches it"


class NotPayable(UnexpectedAnswer):
    """Nothing was signed: what a server asks for cannot be paid from this wallet, or may not; the text says why."""

    hint = "nothing was signed, and nothing paid"


class BadReceipt(UnexpectedAnswer):
    """What a server says was charged is not what was signed for. The channel pays for nothing more."""

    hint = "what was served was served; compare with: api-billing report, and ask the operator"


class MissingExtra(BillingError, ModuleNotFoundError):
    """A package that only some need is not installed: ``name`` is its module, the text says what to install."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name
