"""Keccak-256 with the interface of ``hashlib``."""

from __future__ import annotations

from typing import Final

from genlayer_localnet.address import keccak256

__all__ = ("Keccak256",)


class Keccak256:
    """A Keccak-256 hash in the making. Reading the digest does not end it."""

    name: Final = "keccak256"
    digest_size: Final = 32
    block_size: Final = 136

    __slots__ = ("_data",)

    def __init__(self, data: bytes | bytearray | memoryview = b"", /) -> None:
        # The data is kept whole: the hash it stands for can be copied and pickled, which the C object cannot.
        self._data = bytearray(data)

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._data += data

    def digest(self) -> bytes:
        return keccak256(self._data)

    def hexdigest(self) -> str:
        return self.digest().hex()

    def copy(self) -> Keccak256:
        return Keccak256(self._data)
