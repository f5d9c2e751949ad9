"""Signed Ethereum transactions: legacy (EIP-155 and before), type 1 (EIP-2930) and type 2 (EIP-1559).

eth-account would read them too, in ten times the time and with 0.4 s more of imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey, PublicKey

from genlayer_localnet.address import keccak256
from genlayer_localnet.rpc import rlp
from genlayer_localnet.rpc.errors import invalid_params

_HALF_OF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_FIELDS = {0: 9, 1: 11, 2: 12}
"""For each type: how many fields there are."""


@dataclass(frozen=True, slots=True)
class Envelope:
    raw: bytes
    hash: str
    """Keccak-256 of the raw bytes: the id of the GenLayer transaction in it."""
    type: int
    chain_id: int | None
    """For which chain it is signed; None is for any (before EIP-155)."""
    signer: bytes
    nonce: int
    tip: int
    """Wei for a unit of gas, and so is ``max_fee``; equal but in type 2. Nothing is paid for gas here."""
    max_fee: int
    gas: int
    to: bytes | None
    value: int
    data: bytes
    access_list: list[tuple[bytes, list[bytes]]]
    v: int
    r: int
    s: int


def decode(raw: bytes, signer: bytes | None = None) -> Envelope:
    """Read a raw transaction, and recover who signed it where ``signer`` is not known. Raises: RpcError."""
    kind = raw[0] if b"" < raw[:1] < b"\xc0" else 0
    if kind not in _FIELDS:
        raise invalid_params(f"transactions of type {kind} are not known here: legacy, 1 and 2 are")
    fields = decoded_list(raw[1:] if kind else raw)
    if fields is None or len(fields) != _FIELDS[kind]:
        raise invalid_params(f"a signed transaction of type {kind} is an RLP list of {_FIELDS[kind]} fields")
    v, r, s = (_number(field, "signature") for field in fields[-3:])
    chain_id = _number(fields[0], "chain id") if kind else (v - 35) // 2 if v >= 35 else None
    nonce, tip, *rest = fields[1 if kind else 0 :]
    max_fee = rest.pop(0) if kind == 2 else tip
    gas, to, value, data, *listed = rest[:-3]
    receiver = _text(to, "to")
    if len(receiver) not in (0, 20):
        raise invalid_params(f"to: an address has 20 bytes, not {len(receiver)}")
    return Envelope(
        raw=raw,
        hash="0x" + keccak256(raw).hex(),
        type=kind,
        chain_id=chain_id,
        signer=signer or _signer(kind, fields, chain_id, (v, r, s)),
        nonce=_number(nonce, "nonce"),
        tip=_number(tip, "gas price"),
        max_fee=_number(max_fee, "gas price"),
        gas=_number(gas, "gas"),
        to=receiver or None,
        value=_number(value, "value"),
        data=_text(data, "data"),
        access_list=_access_list(listed[0]) if listed else [],
        v=v,
        r=r,
        s=s,
    )


def sign(key: bytes, fields: tuple[int, int, int, bytes, int, bytes], chain_id: int) -> bytes:
    """A raw legacy transaction (EIP-155) from its nonce, gas price, gas, receiver, value and data."""
    texts = [rlp.number(field) if isinstance(field, int) else field for field in fields]
    r, s, v = _signed(key, rlp.encode([*texts, rlp.number(chain_id), b"", b""]))
    return rlp.encode([*texts, rlp.number(chain_id * 2 + 35 + v), rlp.number(r), rlp.number(s)])


def sign_message(key: bytes, message: bytes) -> bytes:
    """The signature of a message (EIP-191): 65 bytes."""
    r, s, v = _signed(key, b"\x19Ethereum Signed Message:\n%d" % len(message) + message)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + v])


def address_of(key: bytes) -> bytes:
    """The account of a private key."""
    return _address(PrivateKey(key).public_key)


def _signed(key: bytes, what: bytes) -> tuple[int, int, int]:
    signature = PrivateKey(key).sign_recoverable(keccak256(what), hasher=None)
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]


def _address(key: PublicKey) -> bytes:
    return keccak256(key.format(compressed=False)[1:])[-20:]


def decoded_list(data: bytes) -> list[Any] | None:
    """The items of an RLP list, bytes and lists; None where it is something else."""
    try:
        items = rlp.decode(data)
    except ValueError:
        return None
    return items if isinstance(items, list) else None


def _signer(kind: int, fields: list[Any], chain_id: int | None, signature: tuple[int, int, int]) -> bytes:
    v, r, s = signature
    # The original bytes of the fields are what was signed, also where they are not in their shortest form.
    unsigned, prefix = fields[:-3], bytes([kind]) if kind else b""
    if not kind:
        if chain_id is not None:  # EIP-155
            unsigned += [rlp.number(chain_id), b"", b""]
        v = (v - 35) % 2 if chain_id is not None else v - 27
    digest = keccak256(prefix + rlp.encode(unsigned))
    try:
        if s > _HALF_OF_ORDER or v not in (0, 1):  # EIP-2: or there would be a second transaction of one signature
            raise ValueError("s is too high")
        joined = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))
        return _address(PublicKey.from_signature_and_message(joined, digest, hasher=None))
    except Exception:  # older versions of coincurve raise nothing more special
        raise invalid_params("the signature of the transaction is not valid") from None


def _access_list(field: Any) -> list[tuple[bytes, list[bytes]]]:
    try:
        found = [(address, list(keys)) for address, keys in field]
    except (TypeError, ValueError):
        found = [(b"", [])]
    for address, keys in found:
        if not _is_text(address, 20) or not all(_is_text(key, 32) for key in keys):
            raise invalid_params("the access list is a list of addresses, each with a list of 32-byte keys")
    return found


def _is_text(field: Any, length: int) -> bool:
    return isinstance(field, bytes) and len(field) == length


def _number(field: Any, name: str) -> int:
    text = _text(field, name)
    if len(text.lstrip(b"\x00")) > 32:
        raise invalid_params(f"{name}: a number has at most 32 bytes")
    return int.from_bytes(text, "big")


def _text(field: Any, name: str) -> bytes:
    if not isinstance(field, bytes):
        raise invalid_params(f"{name}: a list where bytes are wanted")
    return field
