"""Clients of x402 and MPP that nobody here wrote pay a metered API, from the first 402 to the contract's bill."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.metering.settlement.places import ONE_GEN, PRICE, SessionPlace

from .conftest import Clients
from .outsiders import MPP, X402, Outsider
from .shop import (
    CHEAP,
    EVENTS,
    PIECES,
    WAIT_SECONDS,
    Shop,
    django_application,
    flask_application,
    served_by_wsgi,
)

each = pytest.mark.parametrize("name", [*X402, *MPP])
by_x402 = pytest.mark.parametrize("name", ["x402-httpx", "x402-fetch"])
by_mpp = pytest.mark.parametrize("name", MPP)


@each
def test_client__pays_calls_of_all_kinds__is_billed_to_the_wei(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    answers = [pays(f"{shop.url}{path}") for path in ("/forecast", "/half", "/forecast", "/free", "/half")]
    answers.append(pays(f"{shop.url}/summary", method="POST", json={"text": "long"}))
    assert [each.status for each in answers] == [200] * 6, answers
    assert json.loads(answers[-1].body)["body"] == {"text": "long"}
    shop.is_billed(4 * PRICE)
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(5 * PRICE)


@each
def test_client__of_a_stream__has_all_of_it(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    answer = pays(f"{shop.url}/stream")
    assert (answer.status, answer.body) == (200, b"".join(PIECES).decode()), answer
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(2 * PRICE)


@each
def test_client__repeats_with_the_same_key__has_the_same_response_for_nothing(
    shop: Shop, client: Clients, name: str
) -> None:
    pays = client(name)
    first, again = (
        pays(f"{shop.url}/summary", method="POST", json={}, headers={"idempotency-key": "one"}) for _ in range(2)
    )
    assert (first.status, again.status, first.body) == (200, 200, again.body), (first, again)
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(2 * PRICE)


@pytest.mark.parametrize("framework", ["flask", "django"])
@pytest.mark.parametrize("name", ["x402-requests", "mppx"])
def test_client__of_another_framework__is_billed_to_the_wei(
    place: SessionPlace, running: Callable[[str], Outsider], name: str, framework: str
) -> None:
    shop = Shop(place)
    pays = running(name).begin(shop.key("consumer"), shop.key("session"))
    with shop.meter, ExitStack() as stack:
        app = flask_application(shop) if framework == "flask" else stack.enter_context(django_application(shop))
        url = stack.enter_context(served_by_wsgi(app))
        answers = [pays(f"{url}/{path}") for path in ("forecast", "stream", "forecast")]
        assert [each.status for each in answers] == [200] * 3, answers
        assert answers[1].body == b"".join(PIECES).decode()
        shop.is_billed(3 * PRICE)


@each
def test_client__whose_request_fails__pays_nothing_and_goes_on(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert [pays(f"{shop.url}{path}").status for path in ("/forecast", "/boom", "/forecast")] == [200, 500, 200]
    shop.is_billed(2 * PRICE)


@each
def test_client__whose_answer_is_an_error_that_costs__goes_on(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert [pays(f"{shop.url}{path}").status for path in ("/forecast", "/missing", "/forecast")] == [200, 404, 200]
    shop.is_billed(3 * PRICE)


@pytest.mark.parametrize("hold_wei", [2 * PRICE])
@each
def test_client__that_runs_out__is_served_again_after_a_top_up(
    shop: Shop, client: Clients, name: str, hold_wei: int
) -> None:
    pays = client(name)
    statuses = [pays(f"{shop.url}/forecast").status for _ in range(3)]
    assert statuses == [200, 200, 402]
    shop.place.place_hold(PRICE)
    if pays.is_mpp:
        assert pays(f"{shop.url}/forecast", action="topUp").status == 204
    else:
        shop.place.refresh()
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(3 * PRICE)


@each
def test_client__closes_its_session__has_the_rest_of_the_hold_back(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert pays(f"{shop.url}/half").status == 200
    closed = pays.close_session(f"{shop.url}/forecast")
    assert closed.receipt["final"] is True if pays.is_mpp else closed.told["success"], closed
    assert pays(f"{shop.url}/forecast").status == 402
    shop.is_billed(PRICE // 2)
    report = shop.place.consumer.get_usage_report(shop.place.who)
    assert (report.held_wei, report.credit_balance_wei) == (0, ONE_GEN - PRICE // 2)


# --- what the clients of one protocol do


@pytest.mark.parametrize(
    ("name", "other", "status", "charged_wei"),
    [
        ("x402-httpx", "x402-fetch", 402, PRICE),
        ("pympp", "mppx", 200, 2 * PRICE),
        ("x402-fetch", "mppx", 200, 2 * PRICE),
    ],
)
def test_clients__at_once_in_one_channel__are_served_where_the_protocol_has_it(
    shop: Shop, client: Clients, name: str, other: str, status: int, charged_wei: int
) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client(name), f"{shop.url}/slow")
        assert shop.serves.wait(WAIT_SECONDS)
        second = client(other, accepted=PRICE)(f"{shop.url}/forecast")
        shop.gate.set()
        assert (first.result().status, second.status) == (200, status), second
    shop.is_billed(charged_wei)


@by_mpp
def test_client__stream_that_runs_dry__goes_on_when_another_brings_a_voucher(
    shop: Shop, client: Clients, name: str
) -> None:
    (other,) = (each for each in MPP if each != name)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(client(name), f"{shop.url}/events")
        assert shop.streams.wait(WAIT_SECONDS)
        kept = client(other, accepted=2 * CHEAP)(f"{shop.url}/events", method="HEAD")
        assert (kept.status, kept.receipt["acceptedCumulative"]) == (204, str(3 * CHEAP)), kept
        answer = stream.result()
    events = [line for line in answer.body.splitlines() if line and not line.startswith(":")]
    assert [line for line in events if line in b"".join(EVENTS).decode()] == ["data: one", "data: two", "data: three"]
    assert events[-2] == "event: payment-receipt"
    assert json.loads(events[-1].removeprefix("data: "))["spent"] == str(3 * CHEAP)
    shop.is_billed(3 * CHEAP)


@by_mpp
def test_client__with_an_api_key__pays_in_the_field_of_its_own(shop: Shop, client: Clients, name: str) -> None:
    shop.meter.add_consumer(shop.place.who)
    key = {"authorization": f"Bearer {shop.meter.create_key(shop.place.who).text}"}
    answer = client(name)(f"{shop.url}/forecast", headers=key)
    assert (answer.status, answer.receipt["spent"]) == (200, str(PRICE)), answer
    shop.is_billed(PRICE)


@by_mpp
def test_client__falling_estimates_after_a_settlement__goes_on(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert pays(f"{shop.url}/half").status == 200
    shop.is_billed(PRICE // 2)
    assert pays(f"{shop.url}/cheap").status == 200
    shop.is_billed(PRICE // 2 + CHEAP)


@by_x402
def test_client__falling_estimates_after_a_settlement__waits_for_a_dearer_call(
    shop: Shop, client: Clients, name: str
) -> None:
    pays = client(name)
    assert pays(f"{shop.url}/half").status == 200
    shop.is_billed(PRICE // 2)
    assert [pays(f"{shop.url}{path}").status for path in ("/cheap", "/half", "/cheap")] == [402, 200, 200]
    shop.is_billed(PRICE + CHEAP)


@by_x402
def test_client__calls_for_nothing__go_on_after_a_settlement(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert [pays(f"{shop.url}/free").status for _ in range(2)] == [200, 200]
    shop.place.settle()
    assert [pays(f"{shop.url}/free").status for _ in range(2)] == [200, 200]
    assert pays(f"{shop.url}/half").status == 200
    shop.is_billed(PRICE // 2)


@by_x402
def test_client__refund_after_a_settlement__takes_one_more_call(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(PRICE)
    refused = pays.close_session(f"{shop.url}/forecast")
    assert (refused.told["success"], refused.told["errorReason"][-17:]) == (False, "refund_no_balance"), refused
    assert pays(f"{shop.url}/forecast").status == 200
    assert pays.close_session(f"{shop.url}/forecast").told["success"]
    shop.is_billed(2 * PRICE)


@by_x402
def test_client__started_again__goes_on_by_its_files_or_another_salt(
    shop: Shop, client: Clients, name: str, tmp_path: Path
) -> None:
    url, salt = f"{shop.url}/half", f"0x{7:064x}"
    assert client(name, storage=str(tmp_path))(url).status == 200
    assert client(name, storage=str(tmp_path))(url).status == 200
    assert [client(name)(url).status, client(name, salt=salt)(url).status] == [402, 200]
    shop.is_billed(3 * PRICE // 2)


@by_x402
def test_client__that_reads_the_chain__takes_over_what_was_charged(shop: Shop, client: Clients, name: str) -> None:
    url, reads = f"{shop.url}/half", ["100000", "0"]
    assert [client(name, reads=reads)(url).status for _ in range(2)] == [200, 200]
    shop.is_billed(PRICE)


@by_x402
def test_client__that_would_deposit__is_refused_and_pays_nothing(shop: Shop, client: Clients, name: str) -> None:
    answer = client(name, deposits=True)(f"{shop.url}/forecast")
    assert (answer.status, shop.charged_wei) == (402, 0), answer


def test_fetch__of_a_redirect__is_behind_unless_it_follows_by_hand(shop: Shop, client: Clients) -> None:
    pays = client("x402-fetch")
    answers = [pays(f"{shop.url}{path}", redirect="manual") for path in ("/moved", "/forecast")]
    assert [each.status for each in answers] == [307, 200]
    assert [pays(f"{shop.url}{path}").status for path in ("/moved", "/forecast")] == [402, 402]
    shop.is_billed(3 * PRICE)


def test_client__names_its_payments__has_the_same_response_for_one_name(shop: Shop, client: Clients) -> None:
    pays = client("x402-httpx", identifiers=True)
    once = {"method": "POST", "json": {}, "identifier": "a_name_of_a_payment"}
    first, again = (pays(f"{shop.url}/summary", **once) for _ in range(2))
    assert (first.status, again.status, first.body) == (200, 200, again.body), (first, again)
    assert pays(f"{shop.url}/summary", method="POST", json={}).body != first.body
    shop.is_billed(2 * PRICE)
