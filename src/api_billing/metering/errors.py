"""What goes wrong in the meter. One tree:

MeterError (a BillingError)
├── StoreUnavailable        the store did not do it: nothing changed, or it is not known; the same id may be sent again
│   ├── StoreBusy           too many operations are waiting
│   ├── StoreUnusable       it answers, but cannot be used as it is: waiting does not help
│   ├── CannotBeStored      no store can ever do this one, whatever is waited for: nothing changed
│   ├── CreditUnavailable   a consumer's credit cannot be read from the chain, or was read too long ago
│   └── IdentityUnavailable whoever knows who asks does not answer: an identity provider, say
├── NotAllowed              a limit, the credit or whatever else does not allow it: nothing was charged
├── VoucherRefused          a voucher that was put is not kept: ``code`` and ``reason`` say why
├── IdConflict              an id that the caller chose was used before, for something else: nothing changed
├── UnknownConsumer         a key, quota or tier for a consumer that does not exist
├── UnknownTier             a tier that is not defined
├── UnknownKey              a key that there is none of, or that is not good any more
├── InvalidSetting          a setting that cannot be: says which, and what it may be (also ValueError)
└── MeterClosed             the meter or store was closed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from api_billing.errors import BillingError


class MeterError(BillingError):
    """Base of what the meter raises."""


class StoreUnavailable(MeterError):
    """The store did not answer, or failed. Repeating the operation with its id is safe."""


class StoreBusy(StoreUnavailable):
    """More operations are waiting for the store than are allowed to."""


class CannotBeStored(StoreUnavailable):
    """This operation has something in it that cannot be stored; the store is well, and repeating is in vain."""


class StoreUnusable(StoreUnavailable):
    """The store is of another version, may lose what it is told, or has lost some: an operator has to see to it."""


class CreditUnavailable(StoreUnavailable):
    """What a consumer may use is on the chain, and the chain does not tell."""


class IdentityUnavailable(StoreUnavailable):
    """Whoever knows who asks does not answer. Extractors raise it: nobody is served then, and no credential is said to
    be bad. ``retry_after_seconds`` from when it is worth asking again.
    """

    def __init__(self, message: str = "who asks cannot be told", retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _Refusal(Protocol):
    """A refusal, as its problem details have it."""

    @property
    def code(self) -> str: ...

    @property
    def status(self) -> int: ...

    @property
    def extra(self) -> Mapping[str, Any]: ...

    def retry_after(self) -> int | None: ...

    def problem(self) -> dict[str, Any]: ...


class NotAllowed(MeterError):
    """What was asked for is not allowed, and nothing was charged.

    ``refusal`` is what a request would be answered, ``answer`` that as status, header fields and body; ``code`` and
    ``status`` are its own. ``remaining`` is how many such calls the tightest limit leaves (None: there is none, or it
    is not known), ``renews_ms`` when that renews; ``free_wei`` the credit that is left, where that is what lacks;
    ``retry_after_seconds`` after which time it is worth asking again, where waiting helps.
    """

    def __init__(
        self,
        refusal: _Refusal,
        answer: tuple[int, tuple[tuple[str, str], ...], bytes],
        remaining: int | None = None,
        renews_ms: int | None = None,
    ) -> None:
        super().__init__(refusal.problem()["detail"])
        self.refusal = refusal
        self.answer = answer
        self.code = refusal.code
        self.status = refusal.status
        self.remaining = remaining
        self.renews_ms = renews_ms
        free_wei = refusal.extra.get("free_wei")
        self.free_wei = None if free_wei is None else int(free_wei)
        self.retry_after_seconds = refusal.retry_after()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields of ``answer`` that are not about its body: for an answer of one's own."""
        return tuple([pair for pair in self.answer[1] if not pair[0].startswith("content-")])


class VoucherRefused(MeterError):
    """A voucher is not kept. ``code`` is that of the problem which a request with it gets, ``reason`` may be empty."""

    def __init__(self, code: str, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.reason = reason


class IdConflict(MeterError):
    """An id of the caller's choice stands for something else already. With the same content it may be repeated."""


class UnknownConsumer(MeterError):
    """There is no such consumer."""

    hint = "make it with: api-billing meter consumers add NAME"


class UnknownTier(MeterError):
    """There is no such tier."""

    hint = "define it with: api-billing meter tier set NAME --monthly-calls N"


class UnknownKey(MeterError):
    """There is no such key, or it is not good any more."""

    hint = "see: api-billing meter keys list"


class InvalidSetting(MeterError, ValueError):
    """A setting has a value that it cannot have."""


class MeterClosed(MeterError):
    """It was closed before."""
