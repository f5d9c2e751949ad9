"""Signed Ethereum transactions: legacy (EIP-155 and before), type 1 (EIP-2930) and type 2 (EIP-1559).

Which chain they are signed for does not matter, as in Studio: clients use 61127 and 61999 for the same node.
"""

from __future__ import annotations

from dataclasses import dataclass

from coincurve import PublicKey
from eth_keys.datatypes import PrivateKey

from genlayer_localnet.address import keccak256
from genlayer_localnet.rpc import rlp
from genlayer_localnet.rpc.errors import RpcError, invalid_params

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
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
    if not raw:
        raise invalid_params("the raw transaction is empty")
    kind = raw[0] if raw[0] < 0x80 else 0
    if kind not in _LAYOUTS or (raw[0] == 0):
        raise invalid_params(f"transactions of type {raw[0]} are not known here: legacy, 1 and 2 are")
    fields = _fields(raw if kind == 0 else raw[1:], kind)
    _, nonce, to, value, data = _LAYOUTS[kind]
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
    unsigned = [_bytes(nonce), b"", _bytes(gas), to, _bytes(value), data]
    digest = keccak256(rlp.encode([*unsigned, _bytes(chain_id), b"", b""]))
    signature = PrivateKey(key).sign_msg_hash(digest)
    v = chain_id * 2 + 35 + signature.v
    return rlp.encode([*unsigned, _bytes(v), _bytes(signature.r), _bytes(signature.s)])


def _fields(payload: bytes, kind: int) -> list[rlp.Item]:
    try:
        fields = rlp.decode(payload)
    except rlp.RlpError as error:
        raise invalid_params(f"not a raw transaction: {error}") from None
    expected = _LAYOUTS[kind][0]
    if not isinstance(fields, list) or len(fields) != expected:
        found = f"{len(fields)} fields" if isinstance(fields, list) else "no list"
        raise invalid_params(f"a signed transaction of type {kind} has {expected} fields, this has {found}")
    return fields


def _signer(kind: int, fields: list[rlp.Item]) -> bytes:
    v, r, s = (_number(field, "signature") for field in fields[-3:])
    # The original bytes of the fields are what was signed, also where they are not in their shortest form.
    unsigned = fields[:-3]
    if kind:
        digest = keccak256(bytes([kind]) + rlp.encode(unsigned))
        parity = v
    elif v in (27, 28):
        digest = keccak256(rlp.encode(unsigned))
        parity = v - 27
    else:
        digest = keccak256(rlp.encode([*unsigned, _bytes((v - 35) // 2 if v >= 35 else 0), b"", b""]))
        parity = (v - 35) % 2 if v >= 35 else 2
    if parity not in (0, 1) or not 0 < r < _CURVE_ORDER or not 0 < s <= _CURVE_ORDER // 2:
        raise _bad_signature()
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError:
        raise _bad_signature() from None
    return keccak256(key.format(compressed=False)[1:])[12:]


def _bad_signature() -> RpcError:
    return invalid_params("the signature of the transaction is not valid")


def _number(field: rlp.Item, name: str) -> int:
    text = _text(field, name)
    if len(text.lstrip(b"\x00")) > 32:
        raise invalid_params(f"{name}: a number has at most 32 bytes")
    return int.from_bytes(text, "big")


def _text(field: rlp.Item, name: str) -> bytes:
    if not isinstance(field, bytes):
        raise invalid_params(f"{name}: a list where bytes are wanted")
    return field


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
