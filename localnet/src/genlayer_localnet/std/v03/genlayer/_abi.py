"""Numbers and names that the library and the host have agreed on."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

__all__ = ("ABI",)


class ABI:
    """As ``gl.vm.ABI``."""

    class ResultCode(IntEnum):
        """The first byte of a VM's result."""

        RETURN = 0
        USER_ERROR = 1
        VM_ERROR = 2

    class StorageView(IntEnum):
        """Which state of another contract a view sees."""

        DEFAULT = 0
        LATEST_FINALIZED = 1
        LATEST_DECIDED = 2

    class EntryKind(IntEnum):
        """What a VM was started for."""

        MAIN = 0
        SANDBOX = 1
        CONSENSUS_STAGE = 2

    class Permissions(IntEnum):
        """What a contract can be permitted to do: numbers of bits."""

        CAN_USE_BALANCE_FOR_MESSAGE_FEES = 1

    class SpecialMethod(StrEnum):
        """Names of calls that are no methods."""

        GET_SCHEMA = "#get-schema"

    EVENT_MAX_TOPICS: Final = 4
