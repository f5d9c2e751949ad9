"""The types contracts are written with: sized integers, addresses, lazy values."""

from __future__ import annotations

from typing import NewType

from genlayer_localnet.address import Address
from genlayer_localnet.std.shared.integers import BIGINT, SIZES, mark
from genlayer_localnet.std.shared.lazy import Lazy

__all__ = (
    "Address",
    "Lazy",
    "bigint",
    "i8",
    "i16",
    "i24",
    "i32",
    "i40",
    "i48",
    "i56",
    "i64",
    "i72",
    "i80",
    "i88",
    "i96",
    "i104",
    "i112",
    "i120",
    "i128",
    "i136",
    "i144",
    "i152",
    "i160",
    "i168",
    "i176",
    "i184",
    "i192",
    "i200",
    "i208",
    "i216",
    "i224",
    "i232",
    "i240",
    "i248",
    "i256",
    "u8",
    "u16",
    "u24",
    "u32",
    "u40",
    "u48",
    "u56",
    "u64",
    "u72",
    "u80",
    "u88",
    "u96",
    "u104",
    "u112",
    "u120",
    "u128",
    "u136",
    "u144",
    "u152",
    "u160",
    "u168",
    "u176",
    "u184",
    "u192",
    "u200",
    "u208",
    "u216",
    "u224",
    "u232",
    "u240",
    "u248",
    "u256",
)

# As in the official library these check nothing when called: `u8(300)` is 300 and `u8("x")` is "x".
# Ranges are checked where the value is stored.
u8 = NewType("u8", int)
u16 = NewType("u16", int)
u24 = NewType("u24", int)
u32 = NewType("u32", int)
u40 = NewType("u40", int)
u48 = NewType("u48", int)
u56 = NewType("u56", int)
u64 = NewType("u64", int)
u72 = NewType("u72", int)
u80 = NewType("u80", int)
u88 = NewType("u88", int)
u96 = NewType("u96", int)
u104 = NewType("u104", int)
u112 = NewType("u112", int)
u120 = NewType("u120", int)
u128 = NewType("u128", int)
u136 = NewType("u136", int)
u144 = NewType("u144", int)
u152 = NewType("u152", int)
u160 = NewType("u160", int)
u168 = NewType("u168", int)
u176 = NewType("u176", int)
u184 = NewType("u184", int)
u192 = NewType("u192", int)
u200 = NewType("u200", int)
u208 = NewType("u208", int)
u216 = NewType("u216", int)
u224 = NewType("u224", int)
u232 = NewType("u232", int)
u240 = NewType("u240", int)
u248 = NewType("u248", int)
u256 = NewType("u256", int)
i8 = NewType("i8", int)
i16 = NewType("i16", int)
i24 = NewType("i24", int)
i32 = NewType("i32", int)
i40 = NewType("i40", int)
i48 = NewType("i48", int)
i56 = NewType("i56", int)
i64 = NewType("i64", int)
i72 = NewType("i72", int)
i80 = NewType("i80", int)
i88 = NewType("i88", int)
i96 = NewType("i96", int)
i104 = NewType("i104", int)
i112 = NewType("i112", int)
i120 = NewType("i120", int)
i128 = NewType("i128", int)
i136 = NewType("i136", int)
i144 = NewType("i144", int)
i152 = NewType("i152", int)
i160 = NewType("i160", int)
i168 = NewType("i168", int)
i176 = NewType("i176", int)
i184 = NewType("i184", int)
i192 = NewType("i192", int)
i200 = NewType("i200", int)
i208 = NewType("i208", int)
i216 = NewType("i216", int)
i224 = NewType("i224", int)
i232 = NewType("i232", int)
i240 = NewType("i240", int)
i248 = NewType("i248", int)
i256 = NewType("i256", int)
bigint = NewType("bigint", int)

for _name, _size in SIZES.items():
    mark(globals()[_name], _size)
mark(bigint, BIGINT)
