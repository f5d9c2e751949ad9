"""What goes wrong in the meter. One tree:

MeterError (a BillingError)
├── StoreUnavailable        the store did not do it: nothing changed, or it is not known; the same id may be sent again
│   ├── StoreBusy           too many operations are waiting
│   ├── StoreUnusable       it answers, but cannot be used as it is: waiting does not help
│   ├── CannotBeStored      no store can ever do this one, whatever is waited for: nothing changed
│   └── CreditUnavailable   a consumer's credit cannot be read from the chain, or was read too long ago
├── VoucherRefused          a voucher that was put is not kept: ``code`` and ``reason`` say why
├── IdConflict              an id that the caller chose was used before, for something else: nothing changed
├── UnknownConsumer         a key, quota or tier for a consumer that does not exist
├── UnknownTier             a tier that is not defined
├── InvalidSetting          a setting that cannot be: says which, and what it may be (also ValueError)
└── MeterClosed             the meter or store was closed
"""

from __future__ import annotations

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


class InvalidSetting(MeterError, ValueError):
    """A setting has a value that it cannot have."""


class MeterClosed(MeterError):
    """It was closed before."""
