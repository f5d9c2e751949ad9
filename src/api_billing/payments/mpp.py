"""MPP: the HTTP authentication scheme "Payment" (draft-httpauth-payment), with method ``genlayer``, intent ``session``.

The server's 402 has a ``Challenge`` in ``WWW-Authenticate``; the client answers with a ``Credential``, which repeats
the challenge as it was; a paid success has a receipt. docs/mpp-genlayer-session.md says what a session's payload is.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, Self

from api_billing.errors import InvalidInput
from api_billing.payments.encoding import NotReadable, canonical, compact, from_base64url, json_object, to_base64url
from api_billing.payments.offers import Offer, address_in, wei_of, word_in
from api_billing.vouchers import NO_SALT, WITHDRAW_DELAY_SECONDS, Voucher

METHOD: Final = "genlayer"
INTENT: Final = "session"
CURRENCY: Final = "GEN"
OWN_FIELD: Final = "Payment-Authorization"  # of a credential, where Authorization has the identity
PROBLEMS: Final = "https://paymentauth.org/problems/"
MAX_CREDENTIAL: Final = 8_192  # characters
MAX_CHALLENGES: Final = 16_384  # characters of one field
Action = Literal["open", "voucher", "topUp", "close"]
ACTIONS: Final = ("open", "voucher", "topUp", "close")

_REQUIRED: Final = ("id", "realm", "method", "intent", "request")
_OPTIONAL: Final = ("expires", "digest", "description", "opaque", "header")
_IN_ORDER: Final = (*_REQUIRED, *_OPTIONAL)
_NAMES: Final = frozenset(_IN_ORDER)
_TOKEN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_PARAMETER: Final = re.compile(
    rf"""[ \t]*+({_TOKEN})[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|({_TOKEN})(?=[ \t]*(?:,|$)))[^,]*+,?""", re.DOTALL
)
_SCHEME: Final = re.compile(rf"[ \t]*+({_TOKEN})(?:[ \t]+|$)")
_PREFERENCE: Final = re.compile(
    r"([a-z][a-z0-9:_-]*|\*)/([A-Za-z0-9-]+|\*)(?:[ \t]*;[ \t]*[qQ]=(1(?:\.0{0,3})?|0(?:\.[0-9]{0,3})?))?"
)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_METHOD: Final = re.compile("[a-z][a-z0-9:_-]*")
_UNPRINTED: Final = re.compile(r"[^\t -~]")
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")  # halves of pairs, which UTF-8 has not
_SOURCE: Final = re.compile("did:pkh:eip155:([1-9][0-9]{0,15}):(0x[0-9a-fA-F]{40})")
_LEAST_SECRET: Final = 32  # bytes
_MAX_KNOWN: Final = 256  # challenges that were read: for a minute each credential of a route repeats the same one


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a 402 asks for. ``request`` and ``opaque`` are as on the wire: base64url of canonical JSON."""

    id: str
    realm: str
    method: str
    intent: str
    request: str
    expires: str = ""
    digest: str = ""
    description: str = ""
    opaque: str = ""
    header: str = ""

    @property
    def terms(self) -> dict[str, Any]:
        """What ``request`` says. Raises: NotReadable."""
        return json_object(from_base64url(self.request))

    def value(self) -> str:
        """The value of ``WWW-Authenticate``. Raises: InvalidInput for what is not one line of ASCII."""
        pairs = self.members()
        if any(map(_UNPRINTED.search, pairs.values())):
            raise InvalidInput("a challenge is one line of ASCII")
        quoted = {name: text.replace("\\", "\\\\").replace('"', '\\"') for name, text in pairs.items()}
        return "Payment " + ", ".join(f'{name}="{text}"' for name, text in quoted.items())

    def members(self) -> dict[str, str]:
        """All parameters that it has, in their order."""
        pairs = ((name, getattr(self, name)) for name in _IN_ORDER)
        return {name: text for name, text in pairs if text or name in _REQUIRED}

    def with_id(self, secret: bytes) -> Self:
        """The same, with the id that binds all of it to a secret. Raises: InvalidInput for one below 32 bytes."""
        if len(secret) < _LEAST_SECRET:
            raise InvalidInput(f"the secret of challenges has at least {_LEAST_SECRET} bytes")
        return replace(self, id=self.id_by(secret))

    def id_by(self, secret: bytes) -> str:
        """HMAC-SHA256 over all that is bound. ``header`` stands before ``opaque``, as all known implementations have
        it; nobody but who made an id checks it.
        """
        return to_base64url(hmac.digest(secret, "|".join(self._bound()).encode(), "sha256"))

    def is_by(self, secret: bytes) -> bool:
        """Whether its id was made with this secret, of just these terms."""
        # A bar in a term could pass as the bar between two.
        same = hmac.compare_digest(self.id.encode(), self.id_by(secret).encode())
        return same and not any("|" in text for text in self._bound())

    def _bound(self) -> list[str]:
        header = [self.header] if self.header else []
        return [self.realm, self.method, self.intent, self.request, self.expires, self.digest, *header, self.opaque]

    def expires_ms(self) -> int:
        """When it expires, in Unix time. Raises: NotReadable for none, and for one without a zone."""
        return _instant_ms(self.expires)


@dataclass(frozen=True, slots=True)
class Credential:
    """A client's answer: the challenge as it was, and the payload of its method. ``source`` says who pays."""

    challenge: Challenge
    payload: Mapping[str, Any]
    source: str = ""

    def value(self) -> str:
        """The value of ``Authorization``, or of ``Payment-Authorization``."""
        members = {"challenge": self.challenge.members(), "payload": self.payload}
        return "Payment " + to_base64url(compact({**members, "source": self.source} if self.source else members))


@dataclass(frozen=True, slots=True)
class SessionPayload:
    """The payload of intent ``session``, method ``genlayer``.

    ``payer`` is the credential's source. ``voucher`` is None for ``open`` and ``topUp`` that come without one.
    """

    action: Action
    payer: str
    channel_id: str
    voucher: Voucher | None = None


# --- reading


def challenges_in(fields: Iterable[str]) -> list[Challenge]:
    """All challenges of scheme "Payment" in the values of ``WWW-Authenticate``; other schemes are passed over.

    Raises: NotReadable, when one of them is malformed, or a field is too long.
    """
    return [_challenge(parameters) for field in fields for scheme, parameters in _schemes(field) if scheme == "payment"]


def read_credential(value: str) -> Credential | None:
    """The credential in a field's value; None when it is of another scheme. Raises: NotReadable."""
    if len(value) > MAX_CREDENTIAL:
        raise NotReadable("the credential is too long")
    scheme, _, text = value.strip(" \t").partition(" ")
    if scheme.lower() != "payment":
        return None
    members = json_object(from_base64url(text.strip(" \t")))
    challenge, payload, source = members.get("challenge"), members.get("payload"), members.get("source", "")
    if type(challenge) is not dict or type(payload) is not dict or type(source) is not str:
        raise NotReadable("the credential has no challenge or no payload")
    known = {name: text for name, text in challenge.items() if name in _NAMES}
    if not all(type(text) is str for text in known.values()):
        raise NotReadable("a parameter of the challenge is no text")
    return Credential(_challenge(known), payload, source)


def session_payload(credential: Credential, chain_id: int) -> SessionPayload:
    """What a credential of our method says. Raises: NotReadable."""
    payload, source = credential.payload, _SOURCE.fullmatch(credential.source)
    if source is None or int(source[1]) != chain_id:
        raise NotReadable("the source is not did:pkh:eip155, the chain and an address")
    action = payload.get("action")
    if action not in ACTIONS:
        raise NotReadable("the action is none of a session")
    voucher = None
    if action in ("voucher", "close") or "signature" in payload:
        voucher = _voucher(payload)
    if action in ("open", "topUp") and payload.get("type", "hash") != "hash":
        raise NotReadable("the consumer opens and tops up the session itself: type is hash")
    return SessionPayload(
        action, address_in(source[2], "the source"), word_in(payload.get("channelId"), "channelId"), voucher
    )


# --- ours


def session_challenge(
    offer: Offer, *, expires_ms: int, secret: bytes, header: str = "", description: str = ""
) -> Challenge:
    """The challenge of an offer."""
    terms = {
        "amount": str(offer.amount_wei),
        "currency": CURRENCY,
        "recipient": offer.operator,
        "unitType": "call",
        "methodDetails": {
            "api": offer.api,
            "asset": offer.asset,
            "chainId": offer.chain_id,
            "escrowContract": offer.contract,
            "withdrawDelay": WITHDRAW_DELAY_SECONDS,
        },
    }
    request, expires = to_base64url(canonical(terms)), instant_of(expires_ms // 1000)
    bound = Challenge("", offer.api, METHOD, INTENT, request, expires, "", description, "", header)
    return bound.with_id(secret)


def takes_sessions(value: str) -> bool:
    """Whether a field ``Accept-Payment`` leaves room for our method and intent: so, too, one that cannot be read.

    The most special of its ranges counts: `genlayer/session`, `genlayer/*`, `*/session`, `*/*`.
    """
    weights = dict[tuple[str, str], bool]()
    for text in value.split(",") if len(value) <= MAX_CREDENTIAL else ():
        if found := _PREFERENCE.fullmatch(text.strip(" \t")):
            weights[found[1], found[2].lower()] = found[3] is None or float(found[3]) > 0
    ranges = ((METHOD, INTENT), (METHOD, "*"), ("*", INTENT), ("*", "*"))
    return not weights or next((weights[each] for each in ranges if each in weights), False)


def offer_of(challenge: Challenge) -> Offer:
    """What a challenge of our method offers, for who pays. Raises: NotReadable."""
    terms = challenge.terms
    details = terms.get("methodDetails")
    if (challenge.method, challenge.intent, terms.get("currency")) != (METHOD, INTENT, CURRENCY):
        raise NotReadable("this is not a session in GEN")
    if type(details) is not dict or type(details.get("chainId")) is not int or type(details.get("api")) is not str:
        raise NotReadable("methodDetails lack what a session needs")
    return Offer(
        details["api"],
        wei_of(terms.get("amount"), "amount"),
        address_in(terms.get("recipient"), "recipient"),
        address_in(details.get("escrowContract"), "escrowContract"),
        address_in(details.get("asset"), "asset"),
        details["chainId"],
    )


def source_of(chain_id: int, payer: str) -> str:
    """How a credential names who pays."""
    return f"did:pkh:eip155:{chain_id}:{payer}"


def voucher_payload(channel_id: str, voucher: Voucher, action: Action = "voucher") -> dict[str, str]:
    """The payload of a voucher, or of what else comes with one."""
    return {
        "action": action,
        "channelId": channel_id,
        "cumulativeAmount": str(voucher.cumulative_wei),
        "salt": voucher.salt,
        "signature": voucher.signature,
    }


@lru_cache(256)
def instant_of(seconds: int) -> str:
    """Unix time as challenges and receipts say it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def receipt_value(members: Mapping[str, Any]) -> str:
    """The value of ``Payment-Receipt``."""
    return to_base64url(canonical(members))


def read_receipt(value: str) -> dict[str, Any]:
    """What a ``Payment-Receipt`` says. Raises: NotReadable."""
    if len(value) > MAX_CREDENTIAL:
        raise NotReadable("the receipt is too long")
    members = json_object(from_base64url(value))
    method, reference, timestamp = (members.get(name) for name in ("method", "reference", "timestamp"))
    if type(method) is not str or not _METHOD.fullmatch(method) or type(reference) is not str or not reference:
        raise NotReadable("this receipt lacks its method or its reference")
    if members.get("status") != "success" or type(timestamp) is not str:
        raise NotReadable("this is no receipt of a success")
    _instant_ms(timestamp)
    return members


# --- parts


def _voucher(payload: Mapping[str, Any]) -> Voucher:
    cumulative = wei_of(payload.get("cumulativeAmount"), "cumulativeAmount")
    try:
        return Voucher(payload.get("salt", NO_SALT), cumulative, payload.get("signature", ""))
    except InvalidInput as error:
        raise NotReadable("salt or signature of the voucher are none") from error


def _challenge(parameters: Mapping[str, str]) -> Challenge:
    return _read(tuple(parameters.items()))


@lru_cache(_MAX_KNOWN)
def _read(items: tuple[tuple[str, str], ...]) -> Challenge:
    parameters = dict(items)
    if missing := [name for name in _REQUIRED if not parameters.get(name) and name != "realm"]:
        raise NotReadable(f"the challenge has no {missing[0]}")
    if "realm" not in parameters:
        raise NotReadable("the challenge has no realm")
    challenge = Challenge(*[parameters.get(name, "") for name in _IN_ORDER])
    _ = challenge.terms
    if challenge.opaque:
        json_object(from_base64url(challenge.opaque))
    if challenge.header not in ("", OWN_FIELD):
        raise NotReadable("the challenge asks for a field that is none")
    return challenge


def _schemes(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Schemes and parameters of a ``WWW-Authenticate``, which may have several challenges (RFC 9110, 11.6.1).

    A parameter ends at its closing quote; what else there is before the next comma, and what is no parameter, is
    passed over, as the public test vectors have it.
    """
    if len(field) > MAX_CHALLENGES or _NO_TEXT.search(field):
        raise NotReadable("the challenge is too long, or no text")
    scheme, parameters, place = "", dict[str, str](), 0
    while place < len(field):
        if scheme and (found := _PARAMETER.match(field, place)):
            name, quoted, token = found[1].lower(), found[2], found[3]
            if name in parameters and scheme == "payment":
                raise NotReadable("a parameter of the challenge is there twice")
            parameters[name] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            place = found.end()
        elif begins := _SCHEME.match(field, place):
            if scheme:
                yield scheme, parameters
            scheme, parameters, place = begins[1].lower(), {}, begins.end()
        else:
            place = field.find(",", place) + 1 or len(field)
    if scheme:
        yield scheme, parameters


@lru_cache(_MAX_KNOWN)
def _instant_ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text if _INSTANT.fullmatch(text) else "").timestamp() * 1000)
    except ValueError as error:
        raise NotReadable("an instant is not of RFC 3339, with its zone") from error
