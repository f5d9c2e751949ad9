"""Consumers named by JSON Web Tokens: nothing unverified, nothing of another algorithm, no weak key."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from api_billing.metering.errors import IdentityUnavailable, InvalidSetting
from api_billing.metering.identity.extractors import api_key, first_of
from api_billing.metering.identity.jwks import KeySet
from api_billing.metering.identity.jwt import fits, from_jwt
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.request.identity import Extractor, Identity, identify
from api_billing.metering.request.problems import Refusal
from api_billing.metering.stores.steps import Blocking, run

SECRET = "thirty-two bytes of secret, or so"
NOW = int(time.time())  # of collection: a test may run a quarter of an hour later
CLAIMS: dict[str, Any] = {"sub": "ann", "exp": NOW + 3600}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> bytes:
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


def found(extractor: Extractor, token: str, header: str = "authorization") -> Identity | str:
    value = f"Bearer {token}" if header == "authorization" else token
    request = MeteredRequest("GET", "/", TextHeaders([(header, value)]))
    result = run(identify(extractor, request), lambda operation: operation)
    return result.code if isinstance(result, Refusal) else result


def signed(claims: dict[str, Any] = CLAIMS, key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


def unsigned(header: dict[str, Any], claims: dict[str, Any] = CLAIMS, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def by_secret(**rest: Any) -> Extractor:
    return from_jwt(key=SECRET, algorithms=("HS256",), **rest)


@pytest.mark.parametrize(
    ("algorithm", "private", "public"),
    [
        ("HS256", SECRET, SECRET),
        ("RS256", RSA, pem(RSA)),
        ("PS256", RSA, pem(RSA)),
        ("ES256", CURVE, pem(CURVE)),
        ("EdDSA", EDWARDS, pem(EDWARDS)),
    ],
    ids=["HS256", "RS256", "PS256", "ES256", "EdDSA"],
)
def test_from_jwt__signed_with_the_key__is_the_claim(algorithm: str, private: Any, public: Any) -> None:
    extractor = from_jwt(key=public, algorithms=(algorithm,))
    assert found(extractor, signed(key=private, algorithm=algorithm)) == Identity("ann")


def test_from_jwt__other_claim_and_tier_claim__are_used() -> None:
    token = signed({**CLAIMS, "org": "acme", "plan": "pro"})
    assert found(by_secret(claim="org", tier_claim="plan"), token) == Identity("acme", "pro")


def test_from_jwt__own_header__is_read() -> None:
    assert found(by_secret(header="X-Token"), signed(), "x-token") == Identity("ann")


@pytest.mark.parametrize("none", ["none", "None", "NONE"])
def test_from_jwt__algorithm_none__is_invalid(none: str) -> None:
    assert found(by_secret(), unsigned({"alg": none, "typ": "JWT"})) == "invalid_identity"


def test_from_jwt__signature_cut_off__is_invalid() -> None:
    token = signed()
    assert found(by_secret(), token[: token.rindex(".") + 1]) == "invalid_identity"


def test_from_jwt__signed_with_another_key__is_invalid() -> None:
    assert found(by_secret(), signed(key=SECRET[::-1])) == "invalid_identity"


def test_from_jwt__claims_exchanged__is_invalid() -> None:
    header, _, signature = signed().split(".")
    claims = signed({**CLAIMS, "sub": "bob"}).split(".")[1]
    assert found(by_secret(), f"{header}.{claims}.{signature}") == "invalid_identity"


def test_from_jwt__public_key_used_as_secret__is_invalid() -> None:
    import hashlib
    import hmac

    unsigned_part = unsigned({"alg": "HS256", "typ": "JWT"}).rsplit(".", 1)[0]
    signature = hmac.digest(pem(RSA), unsigned_part.encode(), hashlib.sha256)
    token = f"{unsigned_part}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert found(from_jwt(key=pem(RSA), algorithms=("RS256",)), token) == "invalid_identity"


def test_from_jwt__right_key_other_algorithm__is_invalid() -> None:
    extractor = from_jwt(key=pem(RSA), algorithms=("RS256",))
    assert found(extractor, signed(key=RSA, algorithm="PS256")) == "invalid_identity"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "ann"},
        {"exp": NOW + 3600},
        {**CLAIMS, "exp": NOW - 60},
        {**CLAIMS, "nbf": NOW + 3600},
        {**CLAIMS, "aud": "somebody else"},
        {**CLAIMS, "sub": "a\x00b"},
        {**CLAIMS, "sub": "a" * 201},
        {**CLAIMS, "sub": ""},
    ],
    ids=["no exp", "no sub", "expired", "not yet", "audience", "control character", "too long", "empty"],
)
def test_from_jwt__claims_not_acceptable__is_invalid(claims: dict[str, Any]) -> None:
    assert found(by_secret(), signed(claims)) == "invalid_identity"


def test_from_jwt__claim_that_is_no_text__is_invalid() -> None:
    assert found(by_secret(claim="id"), signed({**CLAIMS, "id": 5})) == "invalid_identity"


def test_from_jwt__expired_within_leeway__is_accepted() -> None:
    assert found(by_secret(leeway=7_200), signed({**CLAIMS, "exp": NOW - 60})) == Identity("ann")


def test_from_jwt__audience_and_issuer__are_accepted() -> None:
    token = signed({**CLAIMS, "aud": "api", "iss": "https://issuer"})
    assert found(by_secret(audience="api", issuer="https://issuer"), token) == Identity("ann")


@pytest.mark.parametrize("claims", [{"aud": "api"}, {"iss": "https://issuer"}, {"aud": "x", "iss": "https://issuer"}])
def test_from_jwt__audience_or_issuer_missing_or_other__is_invalid(claims: dict[str, Any]) -> None:
    extractor = by_secret(audience="api", issuer="https://issuer")
    assert found(extractor, signed({**CLAIMS, **claims})) == "invalid_identity"


@pytest.mark.parametrize(
    "token",
    ["..", "a.b.c", "e30.e30.", "." * 9000, "é.é.é", unsigned({"alg": 5}), unsigned({"alg": "HS256", "crit": ["x"]})],
    ids=range(7),
)
def test_from_jwt__no_token__is_invalid(token: str) -> None:
    assert found(by_secret(), token) == "invalid_identity"


def test_from_jwt__deeply_nested_header__is_invalid() -> None:
    header = base64.urlsafe_b64encode(b"[" * 5000).decode()
    assert found(by_secret(), f"{header}.e30.x") == "invalid_identity"


def test_from_jwt__absent__is_missing() -> None:
    assert found(by_secret(header="X-Token"), "x", "x-other") == "missing_identity"


def test_first_of__api_key_or_token_in_one_header__token_is_understood() -> None:
    assert found(first_of(api_key("a pepper of the tests"), by_secret()), signed()) == Identity("ann")


@pytest.mark.parametrize("algorithms", [(), ("HS256", "RS256"), ("none",), "HS256", ("HS1",)])
def test_from_jwt__not_exactly_one_known_algorithm__invalid_setting(algorithms: Any) -> None:
    with pytest.raises(InvalidSetting, match="exactly one"):
        from_jwt(key=SECRET, algorithms=algorithms)


def weak_rsa() -> bytes:
    return pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        ("short", "HS256"),
        (SECRET, "HS512"),
        (pem(RSA), "HS256"),
        (pem(RSA), "ES256"),
        (pem(CURVE), "RS256"),
        (pem(CURVE), "ES384"),
        (pem(CURVE), "EdDSA"),
        ("no key", "RS256"),
        (weak_rsa(), "RS256"),
    ],
    ids=range(9),
)
def test_from_jwt__key_that_does_not_fit__invalid_setting(key: Any, algorithm: str) -> None:
    with pytest.raises(InvalidSetting):
        from_jwt(key=key, algorithms=(algorithm,))


P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(("key", "good"), [(CURVE, True), (P384, False), (RSA, False)], ids=["P-256", "P-384", "RSA"])
def test_fits__published_key_of_another_kind__does_not(key: Any, good: bool) -> None:
    kind = jwt.algorithms.RSAAlgorithm if key is RSA else jwt.algorithms.ECAlgorithm
    assert fits(jwt.PyJWK(kind.to_jwk(key.public_key(), as_dict=True)), "ES256") is good


def test_fits__key_published_for_another_algorithm__does_not() -> None:
    published = jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
    assert [fits(jwt.PyJWK({**published, "alg": name}), "RS256") for name in ("RS256", "PS256")] == [True, False]


def test_from_jwt__private_key__invalid_setting() -> None:
    private = CURVE.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(InvalidSetting, match="public key"):
        from_jwt(key=private, algorithms=("ES256",))


@pytest.mark.parametrize("source", [{}, {"key": SECRET, "jwks_url": "https://issuer/keys"}])
def test_from_jwt__not_one_source_of_keys__invalid_setting(source: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="either"):
        from_jwt(algorithms=("RS256",), **source)


def test_from_jwt__secret_algorithm_with_published_keys__invalid_setting() -> None:
    with pytest.raises(InvalidSetting, match="secret key"):
        from_jwt(jwks_url="https://issuer/keys", algorithms=("HS256",))


def test_published_key__that_nobody_publishes_at_the_moment__makes_no_token_a_bad_one() -> None:
    extractor = from_jwt(key_set=KeySet("http://127.0.0.1:9/keys", timeout_seconds=1), algorithms=("RS256",))
    with pytest.raises(IdentityUnavailable):
        found(first_of(api_key("a pepper of the tests"), extractor), signed(key=RSA, algorithm="RS256", kid="a"))


class FakeIssuer:
    """Publishes keys without a network, and counts how often it was asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        self.asked += 1
        return jwt.PyJWKSet(self.keys)


def published(key: Any, kid: str, **rest: Any) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    )
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **rest}


def by_issuer(*keys: dict[str, Any], algorithm: str = "RS256") -> Extractor:
    key_set = KeySet("https://issuer/keys", source=FakeIssuer(*keys), clock=lambda: 0.0)
    return from_jwt(key_set=key_set, algorithms=(algorithm,))


def test_published_key__token_names_it__is_accepted() -> None:
    extractor = by_issuer(published(RSA, "a"), published(CURVE, "b"))
    assert found(extractor, signed(key=RSA, algorithm="RS256", kid="a")) == Identity("ann")


def test_published_key__second_token__needs_no_fetching() -> None:
    extractor = by_issuer(published(RSA, "a"))
    token = signed(key=RSA, algorithm="RS256", kid="a")
    found(extractor, token)
    request = MeteredRequest("GET", "/", TextHeaders([("authorization", f"Bearer {token}")]))
    steps = list(identify(extractor, request))
    assert not [step for step in steps if isinstance(step, Blocking)]


def test_published_key__only_one_and_token_names_none__is_accepted() -> None:
    assert found(by_issuer(published(RSA, "a")), signed(key=RSA, algorithm="RS256")) == Identity("ann")


@pytest.mark.parametrize(
    ("key", "kid"),
    [
        (published(RSA, "a"), "unknown"),
        (published(RSA, "a", alg="PS256"), "a"),
        (published(RSA, "a", use="enc"), "a"),
        (published(CURVE, "a"), "a"),
    ],
    ids=["unknown key", "for another algorithm", "for encryption", "of another kind"],
)
def test_published_key__that_does_not_fit__is_invalid(key: dict[str, Any], kid: str) -> None:
    assert found(by_issuer(key), signed(key=RSA, algorithm="RS256", kid=kid)) == "invalid_identity"


def test_published_key__symmetric__is_invalid() -> None:
    secret = {"kty": "oct", "kid": "a", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "alg": "HS256"}
    assert found(by_issuer(secret), signed(kid="a")) == "invalid_identity"


def test_published_key__token_of_another_algorithm__is_refused_without_fetching() -> None:
    issuer = FakeIssuer(published(RSA, "a"))
    extractor = from_jwt(key_set=KeySet("https://issuer/keys", source=issuer), algorithms=("RS256",))
    assert (found(extractor, signed(kid="a")), issuer.asked) == ("invalid_identity", 0)
