"""Extractors: who a request is from, in every way it may lie."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.identity.api_keys import KeyCache, _checksum, imported_key, new_key
from api_billing.metering.identity.extractors import (
    api_key,
    credential,
    first_of,
    from_address,
    from_header,
    from_json_field,
    from_query,
)
from api_billing.metering.ledger.consumer_operations import ApiKey, FindKey
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.request.http import AsgiHeaders, MeteredRequest, TextHeaders
from api_billing.metering.request.identity import INVALID, Extractor, Identity, identify
from api_billing.metering.request.problems import Refusal
from api_billing.metering.stores.steps import Steps, arun, run

PEPPER = b"a pepper of the tests"
KEY = new_key(PEPPER, "ann", 0, tier="pro")
WHO = Identity("ann", "pro", KEY.stored.key_id, key=KEY.stored)
REVOKED = replace(KEY.stored, revoked_ms=1)
IMPORTED = imported_key(PEPPER, "sk_live_0123456789abcdef", "bob", 0)


def request(*headers: tuple[str, str], query: bytes = b"", body: Any = None) -> MeteredRequest:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return MeteredRequest("GET", "/a", AsgiHeaders(pairs), query=query, body=body, at_ms=1_000)


def no_store(operation: Operation[Any]) -> Any:
    raise AssertionError(f"the store was asked {operation}")


def found(
    extractor: Extractor, one: MeteredRequest, call: Callable[[Operation[Any]], Any] = no_store
) -> Identity | str:
    """The identity, or the code of the refusal."""
    result = run(identify(extractor, one), call)
    return result.code if isinstance(result, Refusal) else result


def test_from_header__given__is_the_consumer() -> None:
    assert found(from_header("X-Consumer"), request(("x-consumer", "ann"))) == Identity("ann")


@pytest.mark.parametrize("headers", [[], [("x-consumer", "")]])
def test_from_header__absent_or_empty__is_missing(headers: list[tuple[str, str]]) -> None:
    assert found(from_header("X-Consumer"), request(*headers)) == "missing_identity"


def test_from_header__given_twice__is_invalid() -> None:
    assert found(from_header("X-Consumer"), request(("x-consumer", "a"), ("x-consumer", "b"))) == "invalid_identity"


def test_from_header__utf_8__is_decoded() -> None:
    assert found(from_header("X-Consumer"), request(("x-consumer", "zoë".encode().decode("latin-1")))) == Identity(
        "zoë"
    )


@pytest.mark.parametrize(("length", "taken"), [(8_192, True), (8_193, False)])
@pytest.mark.parametrize("header", ["Authorization: Bearer", "X-API-Key"])
def test_credential__longest__is_read_and_a_longer_one_is_invalid(header: str, length: int, taken: bool) -> None:
    field, _, scheme = header.partition(": ")
    text = f"{scheme} ".lstrip() + "k" * (length - len(scheme) - bool(scheme))
    read = credential(header)(request((field.lower(), text)))
    assert read == (text.rpartition(" ")[2] if taken else INVALID)


@pytest.mark.parametrize("name", ["a" * 201, "a\x00b", "a\tb", "a\x7f", " a", "a ", "\xff\xfe"])
def test_from_header__name_that_none_can_have__is_invalid(name: str) -> None:
    assert found(from_header("X-Consumer"), request(("x-consumer", name))) == "invalid_identity"


def test_from_header__longest_name__is_taken() -> None:
    assert found(from_header("X-Consumer"), request(("x-consumer", "a" * 200))) == Identity("a" * 200)


def test_from_query__given__is_the_consumer() -> None:
    assert found(from_query("user"), request(query=b"x=1&user=ann")) == Identity("ann")


def test_from_query__absent__is_missing() -> None:
    assert found(from_query("user"), request(query=b"x=1")) == "missing_identity"


@pytest.mark.parametrize("query", [b"user=a&user=b", b"user=%FF", b"user=%00", b"&".join([b"x=1"] * 2000)])
def test_from_query__ambiguous_or_hostile__is_invalid(query: bytes) -> None:
    assert found(from_query("user"), request(query=query)) == "invalid_identity"


@pytest.mark.parametrize(
    ("body", "name"),
    [(b'{"user": {"id": "ann"}}', "ann"), (b'{"user": {"id": 17}}', "17"), (b'{"user": {"id": 0}}', "0")],
)
def test_from_json_field__nested__is_the_consumer(body: bytes, name: str) -> None:
    assert found(from_json_field("user.id"), request(body=lambda: body)) == Identity(name)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"user": 5}', b'{"user": {"id": null}}', b"[1]", None])
def test_from_json_field__names_nobody__is_missing(body: bytes | None) -> None:
    assert found(from_json_field("user.id"), request(body=lambda: body)) == "missing_identity"


@pytest.mark.parametrize(
    "value", [b"true", b"1.5", b'""', b'["a"]', b'{"a": 1}', b"1" * 30, b'"\\ud800"', b"NaN", b'"a\\u0000"']
)
def test_from_json_field__no_name__is_invalid(value: bytes) -> None:
    body = b'{"id": ' + value + b"}"
    assert found(from_json_field("id"), request(body=lambda: body)) == "invalid_identity"


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe{", b"[" * 100_000, b"1" * 10_000])
def test_from_json_field__no_json__is_invalid(body: bytes) -> None:
    assert found(from_json_field("id"), request(body=lambda: body)) in ("invalid_identity", "missing_identity")


@pytest.mark.parametrize("path", ["", "a..b", ".".join("a" * 20)])
def test_from_json_field__bad_path__invalid_setting(path: str) -> None:
    with pytest.raises(InvalidSetting):
        from_json_field(path)


@pytest.mark.parametrize(
    ("header", "field", "value"),
    [
        ("Authorization: Bearer", "authorization", f"Bearer {KEY.text}"),
        ("Authorization: Bearer", "authorization", f"bearer  {KEY.text} "),
        ("X-API-Key", "x-api-key", KEY.text),
    ],
    ids=["bearer", "bearer with spaces", "own field"],
)
def test_api_key__valid__is_its_consumer_tier_and_id(header: str, field: str, value: str) -> None:
    extractor = api_key(PEPPER, header=header)
    identity = found(extractor, request((field, value)), lambda operation: KEY.stored)
    assert identity == WHO


def test_api_key__valid__asks_the_store_for_its_id() -> None:
    asked: list[Operation[Any]] = []
    found(api_key(PEPPER, header="X-API-Key"), request(("x-api-key", KEY.text)), asked.append)
    assert asked == [FindKey(KEY.stored.key_id)]


@pytest.mark.parametrize("headers", [[], [("authorization", "Basic YTpi")], [("authorization", "Bearer ")]])
def test_api_key__none_given__is_missing(headers: list[tuple[str, str]]) -> None:
    assert found(api_key(PEPPER), request(*headers)) == "missing_identity"


@pytest.mark.parametrize("text", ["x", KEY.text[:-1] + "_", KEY.text + "0", "a" * 9000, "ab_" + "é" * 47], ids=range(5))
def test_api_key__mistyped__is_invalid_without_asking_the_store(text: str) -> None:
    assert found(api_key(PEPPER, header="X-API-Key"), request(("x-api-key", text))) == "invalid_identity"


def test_api_key__unknown__is_invalid() -> None:
    one = request(("x-api-key", KEY.text))
    assert found(api_key(PEPPER, header="X-API-Key"), one, lambda _: None) == "invalid_identity"


def test_api_key__secret_of_another__is_invalid() -> None:
    other = new_key(PEPPER, "bob", 0).stored
    one = request(("x-api-key", KEY.text))
    assert found(api_key(PEPPER, header="X-API-Key"), one, lambda _: other) == "invalid_identity"


def test_api_key__revoked__is_forbidden() -> None:
    one = request(("x-api-key", KEY.text))
    assert found(api_key(PEPPER, header="X-API-Key"), one, lambda _: REVOKED) == "revoked_key"


@pytest.mark.parametrize(("expires_ms", "code"), [(1_000, "expired_key"), (1_001, "")])
@pytest.mark.parametrize("cached", [False, True])
def test_api_key__past_its_expiry__is_refused(expires_ms: int, code: str, cached: bool) -> None:
    known = replace(KEY.stored, expires_ms=expires_ms)
    cache = KeyCache(60_000)
    extractor = api_key(PEPPER, header="X-API-Key", cache=cache)
    if cached:
        cache.put(KEY.text, known, 1_000, 0)
    answer = found(extractor, request(("x-api-key", KEY.text)), no_store if cached and not code else lambda _: known)
    assert answer == (code or WHO._replace(key=known))


def test_api_key__from_elsewhere__is_its_consumer() -> None:
    one = request(("authorization", f"Bearer {IMPORTED.text}"))
    asked: list[Any] = []
    answer = found(api_key(PEPPER), one, lambda operation: asked.append(operation) or IMPORTED.stored)
    assert (answer, asked) == (
        Identity("bob", "", IMPORTED.stored.key_id, key=IMPORTED.stored),
        [FindKey(IMPORTED.stored.key_id)],
    )


def test_api_key__from_elsewhere_and_unknown__is_left_to_the_next_extractor() -> None:
    one = request(("authorization", f"Bearer {IMPORTED.text}"), ("x-consumer", "ann"))
    assert found(first_of(api_key(PEPPER), from_header("X-Consumer")), one, lambda _: None) == Identity("ann")


def test_api_key__from_elsewhere_under_another_pepper__is_not_known() -> None:
    one = request(("authorization", f"Bearer {IMPORTED.text}"))
    assert found(api_key(b"another pepper, as long"), one, lambda _: IMPORTED.stored) == "invalid_identity"


@pytest.mark.parametrize(
    "text",
    ["short", "has spaces in between", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl", "é" * 20, "x" * 5_000],
)
def test_api_key__that_can_be_no_key__asks_no_store(text: str) -> None:
    assert found(api_key(PEPPER, header="X-API-Key"), request(("x-api-key", text))) == "invalid_identity"


def test_api_key__in_the_query__is_its_consumer() -> None:
    one = request(query=f"a=1&api_key={KEY.text}".encode())
    assert found(api_key(PEPPER, query="api_key"), one, lambda _: KEY.stored) == WHO


def test_api_key__in_the_query_that_is_not_looked_at__is_missing() -> None:
    assert found(api_key(PEPPER), request(query=f"api_key={KEY.text}".encode())) == "missing_identity"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("authorization", f"Bearer {KEY.text}")], f"api_key={KEY.text}"),
        ([], f"api_key={KEY.text}&api_key={KEY.text}"),
        ([], f"api_key={'k' * 8_193}"),
        ([], "api_key=%FF"),
    ],
    ids=["both", "twice", "long", "no text"],
)
def test_api_key__in_the_query_and_ambiguous__is_invalid(headers: list[tuple[str, str]], query: str) -> None:
    extractor = api_key(PEPPER, query="api_key")
    assert found(extractor, request(*headers, query=query.encode())) == "invalid_identity"


def test_api_key__given_twice__is_invalid() -> None:
    one = request(("x-api-key", KEY.text), ("x-api-key", KEY.text))
    assert found(api_key(PEPPER, header="X-API-Key"), one) == "invalid_identity"


def test_api_key__cached__does_not_ask_the_store() -> None:
    cache = KeyCache(max_age_ms=10_000)
    extractor = api_key(PEPPER, header="X-API-Key", cache=cache)
    found(extractor, request(("x-api-key", KEY.text)), lambda _: KEY.stored)
    assert found(extractor, request(("x-api-key", KEY.text))) == Identity(
        "ann", "pro", KEY.stored.key_id, key=KEY.stored
    )


def test_api_key__wrong_secret_of_a_cached_id__is_invalid() -> None:
    cache = KeyCache(max_age_ms=10_000)
    extractor = api_key(PEPPER, header="X-API-Key", cache=cache)
    cache.put(KEY.text, KEY.stored, 1_000, 0)
    body = KEY.text[:12] + "0" * 32
    forged = request(("x-api-key", body + _checksum(body)))
    assert found(extractor, forged, lambda _: KEY.stored) == "invalid_identity"


@pytest.mark.parametrize("known", [ApiKey(KEY.stored.key_id, "0" * 64, "bob", "", "", 0), REVOKED, None])
def test_api_key__refused__is_not_cached(known: ApiKey | None) -> None:
    cache = KeyCache(max_age_ms=10_000)
    found(api_key(PEPPER, header="X-API-Key", cache=cache), request(("x-api-key", KEY.text)), lambda _: known)
    assert cache.get(KEY.text, 1_000) is None


def test_api_key__revoked_and_forgotten_while_it_was_looked_up__is_not_cached() -> None:
    cache = KeyCache(max_age_ms=10_000)

    def answer_late(_: Operation[Any]) -> ApiKey:
        cache.forget("ann")
        return KEY.stored

    found(api_key(PEPPER, header="X-API-Key", cache=cache), request(("x-api-key", KEY.text)), answer_late)
    assert cache.get(KEY.text, 1_000) is None


def test_api_key__consumer_forgotten__asks_the_store_again() -> None:
    cache = KeyCache(max_age_ms=10_000)
    extractor = api_key(PEPPER, header="X-API-Key", cache=cache)
    found(extractor, request(("x-api-key", KEY.text)), lambda _: KEY.stored)
    cache.forget("ann")
    assert found(extractor, request(("x-api-key", KEY.text)), lambda _: REVOKED) == "revoked_key"


def test_api_key__short_pepper__invalid_setting() -> None:
    with pytest.raises(InvalidSetting, match="pepper"):
        api_key("short")


def test_first_of__first_is_missing__second_decides() -> None:
    extractor = first_of(api_key(PEPPER), from_header("X-Consumer"))
    assert found(extractor, request(("x-consumer", "ann"))) == Identity("ann")


def test_first_of__first_is_wrong__second_is_not_asked() -> None:
    extractor = first_of(api_key(PEPPER), from_header("X-Consumer"))
    one = request(("authorization", "Bearer ab_wrong"), ("x-consumer", "ann"))
    assert found(extractor, one) == "invalid_identity"


def test_first_of__first_cannot_read_the_form__second_decides() -> None:
    extractor = first_of(api_key(PEPPER), lambda one: "ann")
    assert found(extractor, request(("authorization", "Bearer e30.e30.x"))) == Identity("ann")


@pytest.mark.parametrize(
    ("credential", "who"),
    [
        (None, Identity("ip:203.0.113.7", anonymous=True)),
        ("Basic YTpi", Identity("ip:203.0.113.7", anonymous=True)),
        ("Bearer mistyped-imported-key", "invalid_identity"),
        ("ab_12345678_without_its_scheme", "invalid_identity"),
    ],
)
def test_first_of__anonymous_with_a_credential_that_nobody_reads__is_invalid(
    credential: str | None, who: Identity | str
) -> None:
    fields = [("authorization", credential)] if credential else []
    one = MeteredRequest("GET", "/", TextHeaders(fields), client="203.0.113.7")
    assert found(first_of(api_key(PEPPER), from_address()), one, lambda _: None) == who


@pytest.mark.parametrize("value", ["Payment", "payment ", "Payment e30"])
def test_api_key__in_the_place_of_which_is_a_payment__is_missing(value: str) -> None:
    assert found(api_key(PEPPER), request(("authorization", value)), lambda _: None) == "missing_identity"


def test_first_of__nobody_can_read_the_form__is_invalid() -> None:
    extractor = first_of(api_key(PEPPER), from_header("X-Consumer"))
    assert found(extractor, request(("authorization", "Bearer e30.e30.x"))) == "invalid_identity"


def test_first_of__nothing_found__is_missing() -> None:
    assert found(first_of(api_key(PEPPER), from_query("user")), request()) == "missing_identity"


def test_first_of__without_extractors__invalid_setting() -> None:
    with pytest.raises(InvalidSetting):
        first_of()


async def later(_: MeteredRequest) -> str:
    return "ann"


def flow(_: MeteredRequest) -> Steps[str]:
    key: ApiKey = yield FindKey("x")
    return key.consumer


@pytest.mark.parametrize("own", [lambda _: "ann", lambda _: Identity("ann"), later])
def test_identify__own_callable__is_believed(own: Extractor) -> None:
    assert found(own, request()) == Identity("ann")


def test_identify__own_coroutine_in_a_coroutine__is_awaited() -> None:
    async def nothing(_: object) -> None: ...

    assert asyncio.run(arun(identify(later, request()), nothing)) == Identity("ann")


def test_identify__own_flow__may_ask_the_store() -> None:
    assert found(flow, request(), lambda _: KEY.stored) == Identity("ann")


def test_identify__own_callable_finds_nothing__is_missing() -> None:
    assert found(lambda _: None, request()) == "missing_identity"


@pytest.mark.parametrize("own", [lambda _: 5, lambda _: "", lambda _: b"ann", lambda _: Identity(None)])  # type: ignore[arg-type]
def test_identify__own_callable_returns_nonsense__is_invalid(own: Extractor) -> None:
    assert found(own, request()) == "invalid_identity"


def test_identify__own_callable_raises__is_refused_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert found(lambda _: 1 / 0, request()) == "invalid_identity"  # type: ignore[arg-type,return-value]
    assert "ZeroDivisionError" in caplog.text


@settings(max_examples=50)
@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_identify__hostile_bytes__are_refused_or_a_printable_name(header: bytes, query: bytes, body: bytes) -> None:
    one = MeteredRequest(
        "GET", "/", AsgiHeaders([(b"authorization", b"Bearer " + header), (b"x", header)]), query=query, body=body
    )
    for extractor in (from_header("x"), from_query("u"), from_json_field("a"), api_key(PEPPER)):
        result = run(identify(extractor, one), no_store)
        assert isinstance(result, Refusal) or result.consumer.isprintable()


@pytest.mark.parametrize(
    "make",
    [
        lambda: from_header(""),
        lambda: from_header("X User"),
        lambda: from_header("X-User:"),
        lambda: from_header(5),  # type: ignore[arg-type]
        lambda: from_query(""),
        lambda: from_query(None),  # type: ignore[arg-type]
        lambda: from_json_field(b"id"),  # type: ignore[arg-type]
        lambda: first_of(from_header("X-User"), "X-Key"),  # type: ignore[arg-type]
    ],
    ids=range(8),
)
def test_extractor__of_what_names_no_field__is_refused_where_it_is_made(make: Callable[[], Extractor]) -> None:
    with pytest.raises(InvalidSetting):
        make()


@pytest.mark.parametrize("answer", [5, b"ann", from_header("X-User"), Identity(5)], ids=range(4))  # type: ignore[arg-type]
def test_identify__answer_that_is_no_consumer__is_refused_and_logged(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(identify(lambda request: answer, request()), no_store) == replace(INVALID, why="identify: TypeError")
    assert "an extractor returned" in caplog.text
