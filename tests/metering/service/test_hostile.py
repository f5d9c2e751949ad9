"""Whatever is sent, the answer is one of the documented ones, and never a 500."""

import asyncio
import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.service import create_app

TOKEN = "service-token-of-the-tests-0123456789"
ADMIN = "admin-token-of-the-tests-0123456789"
OPERATIONS = (
    ("/v1/reservations", "POST"),
    ("/v1/reservations/{reservation_id}/settle", "POST"),
    ("/v1/reservations/{reservation_id}/release", "POST"),
    ("/v1/reservations/{reservation_id}/extend", "POST"),
    ("/v1/payments/verify", "POST"),
    ("/v1/balance", "GET"),
    ("/v1/usage", "GET"),
    ("/v1/records", "GET"),
)
OF_ADMINS = (
    ("/v1/consumers", "GET"),
    ("/v1/consumers", "POST"),
    ("/v1/consumers/{consumer}", "GET"),
    ("/v1/consumers/{consumer}", "PATCH"),
    ("/v1/consumers/{consumer}/reset", "POST"),
    ("/v1/keys", "GET"),
    ("/v1/keys", "POST"),
    ("/v1/keys/{key_id}", "PATCH"),
    ("/v1/keys/{key_id}/rotate", "POST"),
    ("/v1/keys/{key_id}/revoke", "POST"),
    ("/v1/credit", "POST"),
    ("/v1/tiers", "GET"),
    ("/v1/tiers", "PUT"),
    ("/v1/limits", "GET"),
    ("/v1/limits", "PUT"),
    ("/v1/limits", "DELETE"),
    ("/v1/status", "GET"),
    ("/v1/summary", "GET"),
    ("/v1/statements", "GET"),
    ("/v1/reconciliation", "GET"),
)
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
checks.load_all_checks()
EXAMPLES = 200 if settings().max_examples > 500 else 15
CHECKS = checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "ignored_auth",
    ]
)


def test_operations__all_that_are_described__are_tried(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    described = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    assert {each for each in described if each[0].startswith("/v1/")} <= {*OPERATIONS, *OF_ADMINS}


def test_description__as_a_document__is_openapi(described: Any) -> None:
    described.validate()  # by the schema of OpenAPI itself


def test_body__larger_than_allowed__is_refused_unread(service: Any) -> None:
    answer = service.client.post("/v1/reservations", content=b" " * 10**6, headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_body__larger_than_allowed_in_chunks__is_refused(service: Any) -> None:
    answer = service.client.post("/v1/reservations", content=iter([b" " * 2**16] * 10), headers=HEADERS)
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/v1/reservations", "/v1/reservations/01KAMZC8M0S5QZ3V8C9W2F7B4D/settle"])
def test_body__of_somebody_without_the_token__is_not_read(service: Any, path: str) -> None:

    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("it is read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"authorization", b"Bearer x")]}
    asyncio.run(service.client.app(scope, receive, send))
    assert (sent[0]["status"], (b"connection", b"close") in sent[0]["headers"]) == (401, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"api":' * 5_000,
        b'{"api":"weather","estimate_wei":' + b"9" * 5_000 + b"}",
        b'{"api":"weather","estimate_wei":NaN,"consumer":"acme"}',
        b'{"api":"weather","estimate_wei":"1","consumer":"\\ud800"}',
        b'{"api":"weather","estimate_wei":"1","consumer":"a\\u0000b"}',
    ],
)
def test_body__that_is_no_request__is_refused(service: Any, body: bytes) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    answer = service.client.post("/v1/reservations", content=body, headers=headers)
    assert answer.status_code in (400, 401)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "junk", ""])
def test_body__of_another_type__is_refused_and_told_which_one_it_has(service: Any, kind: str) -> None:
    headers = {**HEADERS, "Content-Type": kind}
    body = json.dumps({"api": "weather", "estimate_wei": "1", "consumer": "acme"})
    answer = service.client.post("/v1/reservations", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize(("path", "method"), OPERATIONS + OF_ADMINS)
def test_query__parameter_that_there_is_not__is_refused(client: TestClient, path: str, method: str) -> None:
    headers = HEADERS if (path, method) in OPERATIONS else {"Authorization": f"Bearer {ADMIN}"}
    path = path.format(reservation_id="01KAMZC8M0S5QZ3V8C9W2F7B4D", consumer="acme", key_id="12345678")
    answer = client.request(method, path, params={"consumr": "a", "x": ""}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [each["field"] for each in answer.json()["errors"]] == ["query.consumr", "query.x"]


def test_query__of_a_mounted_meter__is_checked_too(client: TestClient) -> None:
    outer = Starlette(routes=[Mount("/billing", client.app)])
    headers = {"Authorization": f"Bearer {ADMIN}"}
    answer = TestClient(outer).get("/billing/v1/keys?consumr=acme", headers=headers)
    problem = "query.consumr: There is no such parameter, but: after, consumer, limit"
    assert (answer.status_code, answer.json()["detail"]) == (400, problem)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json"])
def test_query__of_a_page_or_a_probe__may_be_anything(client: TestClient, path: str) -> None:
    assert client.get(f"{path}?at=5").status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/reservations"), ("DELETE", "/v1/balance"), ("GET", "/x")])
def test_route__that_is_none__is_a_problem(service: Any, method: str, path: str) -> None:
    answer = service.client.request(method, path)
    assert answer.json()["code"] in ("not_found", "method_not_allowed")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture(scope="module")
def client() -> Any:
    """An HTTP meter that is shared: what one example leaves does not matter to the next."""
    with Meter.open("memory://") as meter:
        meter.add_consumer("acme")
        meter.add_consumer("other", tier="enterprise")
        with TestClient(
            create_app(meter, service_token=TOKEN, admin_token=ADMIN), raise_server_exceptions=False
        ) as client:
            yield client


@pytest.fixture(scope="module")
def described(client: TestClient) -> Any:
    """The meter's description, for schemathesis."""
    return schemathesis.openapi.from_asgi("/openapi.json", client.app)


header_names = st.from_regex(r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}\Z").filter(
    lambda name: name.lower() not in ("content-length", "transfer-encoding", "host", "connection")
)
header_values = st.binary(max_size=200).map(lambda raw: raw.translate(None, b"\r\n\x00").strip())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.lists(st.tuples(header_names.map(str.encode) | st.just(b"authorization"), header_values), max_size=8))
def test_headers__whatever_they_are__do_no_harm(client: TestClient, fields: list[tuple[bytes, bytes]]) -> None:
    body = {"api": "weather", "estimate_wei": "1", "consumer": "acme"}
    answer = client.post("/v1/reservations", json=body, headers=[*fields])
    assert answer.status_code < 500


def there_is(client: TestClient, name: str) -> str:
    """Something that is there, for a parameter of a path."""
    if name == "consumer":
        return "acme"
    if name == "key_id":
        made = client.post("/v1/keys", json={"consumer": "other"}, headers={"Authorization": f"Bearer {ADMIN}"})
        return str(made.json()["key_id"])
    asked = {"api": "weather", "estimate_wei": "0", "consumer": "other"}
    return str(client.post("/v1/reservations", json=asked, headers=HEADERS).json()["id"])


@pytest.mark.parametrize(("path", "method"), OPERATIONS + OF_ADMINS)
def test_description__requests_made_from_it__are_answered_as_it_says(
    client: TestClient, described: Any, path: str, method: str
) -> None:
    operation = described[path][method]
    token = ADMIN if (path, method) in OF_ADMINS else TOKEN

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), is_there=st.booleans())
    def conforms(case: Any, is_there: bool) -> None:
        for name in case.path_parameters if is_there else ():
            case.path_parameters[name] = there_is(client, name)
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

    conforms()
