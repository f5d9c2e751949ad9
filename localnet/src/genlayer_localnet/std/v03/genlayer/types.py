"""The types contracts are written with: sized integers, addresses, hashes, lazy values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, NewType

from genlayer_localnet.address import Address as _Address
from genlayer_localnet.std.shared.integers import BIGINT, SIZES
from genlayer_localnet.std.shared.keccak import Keccak256
from genlayer_localnet.std.shared.lazy import Lazy

# Annotations: `u8(300)` is 300 and `u8("5")` is 5. Ranges are checked where the value is stored.
_INTEGERS: Final = {name: Annotated[int, size] for name, size in SIZES.items()}
globals().update(_INTEGERS)
bigint = Annotated[int, BIGINT]

__all__ = ("Address", "Keccak256", "KeccakHash", "Lazy", "SizedArray", "bigint", *_INTEGERS)

KeccakHash = NewType("KeccakHash", bytes)
"""The 32 bytes of a Keccak-256 hash."""


class Address(_Address):
    """An immutable 20-byte address, ordered by its bytes.

    Made from ``0x`` and 40 hexadecimal digits in any case, from base64 text of 28 characters, from 20 bytes or from
    another address.

    Raises:
        Exception: for anything else; letters in mixed case are not checked against their checksum.
    """

    __slots__ = ()

    ZERO: ClassVar[Address]

    def __init__(self, value: str | bytes | bytearray | memoryview | _Address, /) -> None:
        super().__init__(value.as_bytes if isinstance(value, _Address) else value)

    def __format__(self, spec: str) -> str:
        match spec:
            case "s":
                return self.as_hex
            case "cd":
                return f"addr#{self.as_bytes.hex()}"
        return super().__format__(spec)


Address.ZERO = Address(bytes(Address.SIZE))


class SizedArray[T, S](Sequence[T]):
    """A sequence whose type says its length, as that of ``storage.Array`` does."""

    __slots__ = ()

    @abstractmethod
    def __setitem__(self, index: Any, value: Any) -> None: ...
