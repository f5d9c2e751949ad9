"""Consumers named by a claim of a JSON Web Token, verified with a key or a key set (PyJWT).

The server fixes one algorithm; what a token says of itself is never believed. Unsigned tokens (``none``) are refused,
and so are keys that are too short for their algorithm (RFC 7518) and keys of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from api_billing.extras import needed_by

with needed_by(__name__):
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.identity.extractors import credential
from api_billing.metering.identity.jwks import KeySet
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import INVALID, MISSING, OTHER_FORM, Extractor, Found, Identity
from api_billing.metering.stores.steps import Blocking, Steps

_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_MIN_RSA_BITS: Final = 2048
ALGORITHMS: Final = frozenset({*_HMAC_BYTES, *_RSA, *_CURVES, "EdDSA"})


def from_jwt(
    *,
    key: str | bytes | None = None,
    jwks_url: str = "",
    claim: str = "sub",
    algorithms: Sequence[str] = ("RS256",),
    audience: str | Sequence[str] | None = None,
    issuer: str | None = None,
    leeway: int = 0,
    tier_claim: str = "",
    header: str = "Authorization: Bearer",
    require: Sequence[str] = ("exp",),
    key_set: KeySet | None = None,
) -> Extractor:
    """The consumer is a claim of a verified token.

    ``key`` is a secret (HS…) or a public key in PEM; ``jwks_url`` names a key set, fetched when needed; ``key_set``
    is one that is shared. ``algorithms`` has exactly one. A token has to have ``claim`` and all of ``require``; when
    it has an audience, ``audience`` has to be set. ``leeway`` is in seconds.

    Raises: InvalidSetting for an algorithm, key or URL that is not acceptable.
    """
    algorithm = _one_algorithm(algorithms)
    if sum((key is not None, bool(jwks_url), key_set is not None)) != 1:
        raise InvalidSetting("a JWT is verified with either key, jwks_url or key_set")
    if key is None and algorithm in _HMAC_BYTES:
        raise InvalidSetting(f"{algorithm} needs a secret key; a published key set has none")
    keys = key_set if key_set is not None else KeySet(jwks_url) if jwks_url else None
    fixed = _static_key(key, algorithm) if key is not None else None
    read = credential(header)
    decoder = jwt.PyJWT({"require": [*require, claim], "enforce_minimum_key_length": True})

    def verified(token: str, signing_key: Any) -> Found:
        try:
            claims = decoder.decode(
                token, signing_key, algorithms=[algorithm], audience=audience, issuer=issuer, leeway=leeway
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return INVALID
        name, tier = claims.get(claim), claims.get(tier_claim, "") if tier_claim else ""
        if not isinstance(name, str) or not isinstance(tier, str):
            return INVALID
        return Identity(name, tier)

    def extract(request: MeteredRequest) -> Found | Steps[Found]:
        token = read(request)
        if not isinstance(token, str):
            return token if token is not None else MISSING
        if token.count(".") != 2:
            return OTHER_FORM
        if keys is None:
            return verified(token, fixed)
        key_id = _key_id(token, algorithm)
        if key_id is None:
            return INVALID
        known = keys.find(key_id)
        if known is None:
            return fetch_and_verify(keys, token, key_id)
        return verified(token, known.key) if fits(known, algorithm) else INVALID

    def fetch_and_verify(key_set: KeySet, token: str, key_id: str) -> Steps[Found]:
        known: jwt.PyJWK | None = yield Blocking(lambda: key_set.fetch(key_id))
        return verified(token, known.key) if known is not None and fits(known, algorithm) else INVALID

    return extract


def fits(published: jwt.PyJWK, algorithm: str) -> bool:
    """Whether a key of a key set is meant for signatures of this algorithm, and strong enough."""
    data = published._jwk_data  # PyJWK has no other way to what was published
    if data.get("alg", algorithm) != algorithm:
        return False
    try:
        _check_key(published.key, algorithm)
    except InvalidSetting:
        return False
    return True


def _one_algorithm(algorithms: Sequence[str]) -> str:
    if isinstance(algorithms, str) or len(algorithms) != 1 or algorithms[0] not in ALGORITHMS:
        raise InvalidSetting(f"exactly one algorithm of {', '.join(sorted(ALGORITHMS))}, not {algorithms!r}")
    return algorithms[0]


def _static_key(key: str | bytes, algorithm: str) -> Any:
    try:
        prepared = jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except (jwt.PyJWTError, ValueError, TypeError) as exc:
        raise InvalidSetting(f"the key of the JWTs cannot be used with {algorithm}: {type(exc).__name__}") from exc
    _check_key(prepared, algorithm)
    if algorithm in _HMAC_BYTES:
        # As a PyJWK it is not examined anew for each token.
        encoded = jwt.utils.base64url_encode(prepared).decode()
        return jwt.PyJWK({"kty": "oct", "k": encoded, "alg": algorithm})
    return prepared


def _check_key(key: Any, algorithm: str) -> None:
    """Refuse a key of another kind or size than the algorithm asks for. Raises: InvalidSetting."""
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise InvalidSetting("tokens are verified with the public key; keep the private one where they are made")
    if algorithm in _HMAC_BYTES:
        wanted = f"at least {_HMAC_BYTES[algorithm]} bytes"
        good = isinstance(key, bytes) and len(key) >= _HMAC_BYTES[algorithm]
    elif algorithm in _RSA:
        wanted = f"RSA of at least {_MIN_RSA_BITS} bits"
        good = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
    elif algorithm in _CURVES:
        wanted = f"the curve {_CURVES[algorithm]}"
        good = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == _CURVES[algorithm]
    else:
        wanted = "Ed25519"
        good = isinstance(key, ed25519.Ed25519PublicKey)
    if not good:
        raise InvalidSetting(f"a key for {algorithm} has {wanted}")


def _key_id(token: str, algorithm: str) -> str | None:
    """The ``kid`` of a token whose header could be right; it only chooses among keys that are trusted anyway."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    key_id = header.get("kid", "")
    return key_id if header.get("alg") == algorithm and isinstance(key_id, str) and len(key_id) <= 256 else None
