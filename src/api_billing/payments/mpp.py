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
_NAMES: Final = frozenset((*_REQUIRED, *_OPTIONAL))
_PARAMETER: Final = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*+"|[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?=,|$)"""
)
_SCHEME: Final = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]+|$)")
_SOURCE: Final = re.compile("did:pkh:eip155:([1-9][0-9]{0,15}):(0x[0-9a-fA-F]{40})")
_LEAST_SECRET: Final = 32  # bytes


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
        """The value of ``WWW-Authenticate``. Raises: InvalidInput for a line break in it."""
        pairs = self.members()
        if any("\r" in text or "\n" in text for text in pairs.values()):
            raise InvalidInput("a challenge is one line")
        quoted = {name: text.replace("\\", "\\\\").replace('"', '\\"') for name, text in pairs.items()}
        return "Payment " + ", ".join(f'{name}="{text}"' for name, text in quoted.items())

    def members(self) -> dict[str, str]:
        """All parameters that it has, in their order."""
        pairs = ((name, getattr(self, name)) for name in (*_REQUIRED, *_OPTIONAL))
        return {name: text for name, text in pairs if text or name in _REQUIRED}

    def with_id(self, secret: bytes) -> Self:
        """The same, with the id that binds all of it to a secret of at least 32 bytes."""
        return replace(self, id=self.id_by(secret))

    def id_by(self, secret: bytes) -> str:
        """HMAC-SHA256 over all that is bound. ``header`` stands before ``opaque``, as all known implementations have
        it; nobody but who made an id checks it.
        """
        if len(secret) < _LEAST_SECRET:
            raise InvalidInput(f"the secret of challenges has at least {_LEAST_SECRET} bytes")
        header = [self.header] if self.header else []
        bound = (self.realm, self.method, self.intent, self.request, self.expires, self.digest, *header, self.opaque)
        return to_base64url(hmac.digest(secret, "|".join(bound).encode(), "sha256"))

    def is_by(self, secret: bytes) -> bool:
        """Whether its id was made with this secret, of just these terms."""
        return hmac.compare_digest(self.id.encode(), self.id_by(secret).encode())

    def expires_ms(self) -> int:
        """When it expires, in Unix time. Raises: NotReadable for none, and for one without a zone."""
        try:
            at = datetime.fromisoformat(self.expires)
        except ValueError:
            at = datetime.min
        if at.tzinfo is None or "T" not in self.expires:
            raise NotReadable("the challenge does not say when it expires")
        return int(at.timestamp() * 1000)


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
    expires = datetime.fromtimestamp(expires_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    request = to_base64url(canonical(terms))
    bound = Challenge("", offer.api, METHOD, INTENT, request, expires, "", description, "", header)
    return bound.with_id(secret)


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


def receipt_value(members: Mapping[str, Any]) -> str:
    """The value of ``Payment-Receipt``."""
    return to_base64url(canonical(members))


def read_receipt(value: str) -> dict[str, Any]:
    """What a ``Payment-Receipt`` says. Raises: NotReadable."""
    members = json_object(from_base64url(value))
    if members.get("status") != "success" or not all(
        type(members.get(name)) is str for name in ("method", "reference")
    ):
        raise NotReadable("this is no receipt")
    return members


# --- parts


def _voucher(payload: Mapping[str, Any]) -> Voucher:
    cumulative = wei_of(payload.get("cumulativeAmount"), "cumulativeAmount")
    try:
        return Voucher(payload.get("salt", NO_SALT), cumulative, payload.get("signature", ""))
    except InvalidInput as error:
        raise NotReadable("salt or signature of the voucher are none") from error


def _challenge(parameters: Mapping[str, str]) -> Challenge:
    if missing := [name for name in _REQUIRED if not parameters.get(name) and name != "realm"]:
        raise NotReadable(f"the challenge has no {missing[0]}")
    if "realm" not in parameters:
        raise NotReadable("the challenge has no realm")
    challenge = Challenge(**{name: text for name, text in parameters.items() if name in _NAMES})
    _ = challenge.terms
    if challenge.opaque:
        json_object(from_base64url(challenge.opaque))
    if challenge.header not in ("", OWN_FIELD):
        raise NotReadable("the challenge asks for a field that is none")
    return challenge


def _schemes(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Schemes and parameters of a ``WWW-Authenticate``, which may have several challenges (RFC 9110, 11.6.1)."""
    if len(field) > MAX_CHALLENGES:
        raise NotReadable("the challenge is too long")
    scheme, parameters, place = "", dict[str, str](), 0
    while place < len(field):
        found = _PARAMETER.match(field, place)
        if found is not None and scheme:
            name, text = found[1].lower(), found[2]
            if name in parameters and scheme == "payment":
                raise NotReadable("a parameter of the challenge is there twice")
            parameters[name] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
            place = found.end() + 1
            continue
        if (begins := _SCHEME.match(field, place)) is None:
            if scheme == "payment" and not all(name in parameters for name in _REQUIRED):
                raise NotReadable("the challenge cannot be read")
            place = _after_comma(field, place)
            continue
        if scheme:
            yield scheme, parameters
        scheme, parameters, place = begins[1].lower(), {}, begins.end()
    if scheme:
        yield scheme, parameters


def _after_comma(field: str, place: int) -> int:
    comma = field.find(",", place)
    return len(field) if comma < 0 else comma + 1
