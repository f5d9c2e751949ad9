"""Vouchers: what a consumer signs, off the chain, so that a meter can bill a session's hold up to the sum signed.

A voucher is EIP-712 typed data in the form of x402's scheme `batch-settlement`, which unmodified clients of it sign.
The domain is a constant that names no contract of ours; what binds a voucher to consumer, operator, API, contract and
chain is the id of its channel, the EIP-712 digest of a `ChannelConfig`, which the contract computes for itself.

Pure functions and values; thread-safe. Amounts are wei. What signs and verifies comes with the extra `chain`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from api_billing.errors import InvalidInput
from api_billing.extras import needed_by
from api_billing.networks import checked_address

if TYPE_CHECKING:
    from coincurve import PublicKey

DOMAIN_NAME: Final = "x402 Batch Settlement"
DOMAIN_VERSION: Final = "1"
VERIFYING_CONTRACT: Final = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
WITHDRAW_DELAY_SECONDS: Final = 900
NO_SALT: Final = "0x" + 64 * "0"
MAX_CUMULATIVE_WEI: Final = 2**128 - 1

_SALT: Final = re.compile("0x[0-9a-f]{64}")
_SIGNATURE: Final = re.compile("0x[0-9a-f]{130}")
_DOMAIN: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_VOUCHER: Final = "Voucher(bytes32 channelId,uint128 maxClaimableAmount)"
_CHANNEL: Final = (
    "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,"
    "address token,uint40 withdrawDelay,bytes32 salt)"
)
_SIGNATURE_BYTES: Final = 65
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # n of secp256k1


@dataclass(frozen=True)
class Channel:
    """Between whom vouchers pay, and for what; ``salt`` tells the channels of a session apart.

    ``payer`` is the consumer, ``signer`` the session's key, ``receiver`` the API's operator, ``contract`` the billing
    contract; ``asset`` and ``chain_id`` are what `get_api` shows. Raises: InvalidInput, for what is not 0x and hex; a
    salt is in lower case.
    """

    payer: str
    signer: str
    receiver: str
    contract: str
    asset: str
    chain_id: int
    salt: str = NO_SALT

    def __post_init__(self) -> None:
        for address in (self.payer, self.signer, self.receiver, self.contract, self.asset):
            checked_address(address)
        _check(_SALT, self.salt, "salt")

    @cached_property
    def id(self) -> str:
        """0x and 64 hex digits. Computed once: keep the object where it is asked for often."""
        parts = (self.payer, self.signer, self.receiver, self.contract, self.asset)
        fields = (*map(_bytes_of, parts), WITHDRAW_DELAY_SECONDS.to_bytes(5), _bytes_of(self.salt))
        return "0x" + _typed_digest(self.chain_id, _CHANNEL, *fields).hex()

    def digest(self, cumulative_wei: int) -> bytes:
        """The 32 bytes that a voucher for this sum signs."""
        return _voucher_digest(self.id, self.chain_id, cumulative_wei)


@dataclass(frozen=True, slots=True)
class Voucher:
    """A well-formed voucher: all that may be billed from a channel since it began, and the signature of it.

    Whose signature it is, `is_signed_by` tells. Raises: InvalidInput, where a field has not the form that the contract
    takes: salt and signature 0x and 64 and 130 hex digits in lower case, the sum 0 to 2^128 - 1.
    """

    salt: str
    cumulative_wei: int
    signature: str

    def __post_init__(self) -> None:
        _check(_SALT, self.salt, "salt")
        _check(_SIGNATURE, self.signature, "signature")
        checked_cumulative(self.cumulative_wei)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON, and as `settle_usage` takes it."""
        return asdict(self)

    def credential(self, payer: str) -> str:
        """What a consumer sends to a meter: the value of the field that `metering.from_voucher` reads."""
        return f"{payer}.{self.salt}.{self.cumulative_wei}.{self.signature}"


def domain_of(chain_id: int) -> dict[str, Any]:
    """The EIP-712 domain of vouchers on a chain, as `get_api` shows it and typed data has it."""
    return {
        "name": DOMAIN_NAME,
        "version": DOMAIN_VERSION,
        "chainId": chain_id,
        "verifyingContract": VERIFYING_CONTRACT,
    }


def checked_cumulative(amount_wei: object) -> int:
    """Return the sum if a voucher can name it. Raises: InvalidInput."""
    if type(amount_wei) is not int or not 0 <= amount_wei <= MAX_CUMULATIVE_WEI:
        raise InvalidInput(f"{str(amount_wei)[:80]!r} is not the sum of a voucher", hint="it is 0 to 2^128 - 1 wei")
    return amount_wei


def sign_voucher(key: bytes, channel: Channel, cumulative_wei: int) -> Voucher:
    """Sign with the private key of the channel's signer. Raises: InvalidInput, for another's key or a bad sum."""
    with needed_by("a voucher"):
        from coincurve import PrivateKey

    digest = channel.digest(checked_cumulative(cumulative_wei))
    signed = PrivateKey(bytes(key)).sign_recoverable(digest, hasher=None)  # r, s, parity; s is the low one
    voucher = Voucher(channel.salt, cumulative_wei, f"0x{signed[:64].hex()}{27 + signed[64]:02x}")
    if not is_signed_by(channel, voucher):
        raise InvalidInput(f"this is not the key of {channel.signer}, which signs for the session")
    return voucher


def is_signed_by(channel: Channel, voucher: Voucher) -> bool:
    """Whether the channel's signer signed this voucher for this channel: what the contract will find, too."""
    if voucher.salt != channel.salt:
        return False
    signer = recover_signer(channel.digest(voucher.cumulative_wei), _bytes_of(voucher.signature))
    return signer == channel.signer.lower()


def signer_of(channel_id: str, chain_id: int, voucher: Voucher) -> str | None:
    """Whose signature a voucher has, if it is for the channel of this id: who that channel's signer has to be."""
    return recover_signer(_voucher_digest(channel_id, chain_id, voucher.cumulative_wei), _bytes_of(voucher.signature))


def recover_signer(digest: bytes, signature: bytes) -> str | None:
    """The address whose key signed the digest, in lower case; None where the signature is none.

    Strict: 65 bytes r, s, v; 0 < r < n, 0 < s ≤ n/2, v 27 or 28. Of two signatures that mirror each other it so takes
    one, and in one notation: `eth_account` takes both, and v 0, 1 and above 34.
    """
    if len(signature) != _SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        return None
    recoverable = signature[:64] + (b"\0" if signature[64] == 27 else b"\1")
    try:
        key = _public_key().from_signature_and_message(recoverable, digest, hasher=None)
    except Exception:  # r is not on the curve, or the key would be infinity: coincurve raises nothing more special
        return None
    return _address_of(key.format(compressed=False))


def _voucher_digest(channel_id: str, chain_id: int, cumulative_wei: int) -> bytes:
    return _typed_digest(chain_id, _VOUCHER, _bytes_of(channel_id), cumulative_wei.to_bytes(16))


@lru_cache(1_024)
def _address_of(key: bytes) -> str:
    """Of who signs one voucher after the other."""
    return "0x" + _keccak()(key[1:])[12:].hex()


def _typed_digest(chain_id: int, kind: str, *fields: bytes) -> bytes:
    """EIP-712: keccak(0x1901 ‖ domain separator ‖ struct hash); numbers and addresses stand at the end of 32 bytes."""
    words = b"".join(field.rjust(32, b"\0") for field in fields)
    return _keccak()(b"\x19\x01" + _domain_separator(chain_id) + _keccak()(_hash_of(kind) + words))


@cache
def _domain_separator(chain_id: int) -> bytes:
    texts = b"".join(map(_hash_of, (_DOMAIN, DOMAIN_NAME, DOMAIN_VERSION)))
    return _keccak()(texts + chain_id.to_bytes(32) + _bytes_of(VERIFYING_CONTRACT).rjust(32, b"\0"))


@cache
def _hash_of(text: str) -> bytes:
    return _keccak()(text.encode())


@cache
def _keccak() -> Callable[[bytes], bytes]:
    # Not at the top: results and what reads them stand on this module without the extra.
    with needed_by("a voucher"):
        from eth_hash.auto import keccak
    return keccak


@cache
def _public_key() -> type[PublicKey]:
    with needed_by("a voucher"):
        from coincurve import PublicKey
    return PublicKey


def _bytes_of(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _check(form: re.Pattern[str], text: object, what: str) -> None:
    if not isinstance(text, str) or not form.fullmatch(text):
        digits = "64" if form is _SALT else "130"
        raise InvalidInput(
            f"{str(text)[:80]!r} is not the {what} of a voucher", hint=f"it is 0x and {digits} lower-case hex digits"
        )
