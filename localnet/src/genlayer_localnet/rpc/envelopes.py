"""Signed Ethereum transactions: legacy (EIP-155 and before), type 1 (EIP-2930) and type 2 (EIP-1559).

Which chain they are signed for does not matter, as in Studio: clients use 61127 and 61999 for the same node.
eth-account would read them too, in three times the time and with 0.4 s more of imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rlp
from eth_keys.constants import SECPK1_N
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from genlayer_localnet.address import keccak256
from genlayer_localnet.rpc.errors import invalid_params

# For each type: how many fields there are, and where the nonce, the receiver, the value and the data are.
_LAYOUTS = {0: (9, 0, 3, 4, 5), 1: (11, 1, 4, 5, 6), 2: (12, 1, 5, 6, 7)}


@dataclass(frozen=True, slots=True)
class Envelope:
    hash: str
    """Keccak-256 of the raw bytes: the id of the GenLayer transaction in it."""
    type: int
    signer: bytes
    nonce: int
    to: bytes | None
    value: int
    data: bytes


def decode(raw: bytes) -> Envelope:
    """Read a raw transaction and recover who signed it. Raises: RpcError."""
    kind = raw[0] if b"" < raw[:1] < b"\xc0" else 0
    if kind not in _LAYOUTS:
        raise invalid_params(f"transactions of type {kind} are not known here: legacy, 1 and 2 are")
    number_of_fields, nonce, to, value, data = _LAYOUTS[kind]
    fields = decoded_list(raw[1:] if kind else raw)
    if fields is None or len(fields) != number_of_fields:
        raise invalid_params(f"a signed transaction of type {kind} is an RLP list of {number_of_fields} fields")
    receiver = _text(fields[to], "to")
    if len(receiver) not in (0, 20):
        raise invalid_params(f"to: an address has 20 bytes, not {len(receiver)}")
    return Envelope(
        hash="0x" + keccak256(raw).hex(),
        type=kind,
        signer=_signer(kind, fields),
        nonce=_number(fields[nonce], "nonce"),
        to=receiver or None,
        value=_number(fields[value], "value"),
        data=_text(fields[data], "data"),
    )


def sign(key: bytes, fields: tuple[int, bytes, int, bytes], gas: int, chain_id: int) -> bytes:
    """A raw legacy transaction (EIP-155) with gas price 0, from its nonce, receiver, value and data."""
    nonce, to, value, data = fields
    unsigned = [nonce, 0, gas, to, value, data]
    v, r, s = PrivateKey(key).sign_msg_hash(keccak256(rlp.encode([*unsigned, chain_id, 0, 0]))).vrs
    return bytes(rlp.encode([*unsigned, chain_id * 2 + 35 + v, r, s]))


def decoded_list(data: bytes) -> list[Any] | None:
    """The items of an RLP list, bytes and lists; None where it is something else."""
    try:
        items = rlp.decode(data)
    except (rlp.DecodingError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def _signer(kind: int, fields: list[Any]) -> bytes:
    v, r, s = (_number(field, "signature") for field in fields[-3:])
    # The original bytes of the fields are what was signed, also where they are not in their shortest form.
    unsigned, prefix = fields[:-3], bytes([kind]) if kind else b""
    if not kind:
        if v >= 35:  # EIP-155
            unsigned += [(v - 35) // 2, 0, 0]
        v = (v - 35) % 2 if v >= 35 else v - 27
    digest = keccak256(prefix + rlp.encode(unsigned))
    try:
        if s > SECPK1_N // 2:  # EIP-2: or there would be a second transaction of the same signature
            raise BadSignature("s is too high")
        return Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(digest).to_canonical_address()
    except (BadSignature, ValidationError):
        raise invalid_params("the signature of the transaction is not valid") from None


def _number(field: Any, name: str) -> int:
    text = _text(field, name)
    if len(text.lstrip(b"\x00")) > 32:
        raise invalid_params(f"{name}: a number has at most 32 bytes")
    return int.from_bytes(text, "big")


def _text(field: Any, name: str) -> bytes:
    if not isinstance(field, bytes):
        raise invalid_params(f"{name}: a list where bytes are wanted")
    return field
