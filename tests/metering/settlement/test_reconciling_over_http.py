"""The books of the HTTP meter beside those of the real contract, as an operator's page asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.service import create_app
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores.steps import run
from api_billing.networks import Network
from genlayer_localnet.testing.plugin import server_fixture

from .places import Place

SERVICE, ADMIN = "service-token-of-the-tests-0123456789", "admin-token-of-the-tests-0123456789"
NOTHING = {"calls": 0, "units": 0, "charged_wei": "0", "uncollected_wei": "0"}
server = server_fixture(scope="module", finality_window_seconds=3_600)


@pytest.fixture
def place(request, network, contract, tmp_path) -> Iterator[Place]:
    made = Place(request.node.nodeid, network, contract, url=f"sqlite:///{tmp_path}/meter.db")
    with made.store:
        made.refresh()
        yield made


@pytest.fixture
def ask(place: Place, network: Network):
    now_ms = [place.now_ms()]
    with Meter.open(
        place.url,
        contract=place.contract,
        url=network.rpc_url,
        key_pepper="pepper of the tests, long enough",
        clock_ms=lambda: now_ms[0],
    ) as meter:
        client = TestClient(create_app(meter, service_token=SERVICE, admin_token=ADMIN))

        def ask(api: str, token: str = ADMIN, later_ms: int = 0, what: str = "reconciliation"):
            now_ms[0] += later_ms
            of = {"api": api} if what == "reconciliation" else {}
            return client.get(f"/v1/{what}", params=of, headers={"authorization": f"Bearer {token}"})

        yield ask


def test_reconciliation__before_and_after_settling__tells_the_difference_and_why(place, ask):
    place.serve(700)
    place.serve(300)
    before = ask(place.api).json()
    (line,) = before["lines"]
    assert not before["zero"]
    assert (line["consumer"], line["metered_wei"], line["chain_wei"], line["difference_wei"]) == (
        place.who,
        "1000",
        "0",
        "1000",
    )
    assert line["why"] == [{"reason": "not in a batch yet", "calls": 2, "amount_wei": "1000"}]
    assert place.settle().status == "done"
    assert ask(place.api, later_ms=1_000).json() == before  # told again as it was
    after = ask(place.api, later_ms=10_000).json()
    assert (after["zero"], after["lines"][0]["chain_wei"], after["lines"][0]["why"]) == (True, "1000", [])


def test_summary__of_a_meter_that_settles__says_where_and_what_waits(place, ask):
    def waits(later_ms: int = 2_000) -> list[tuple[int, str, int, str, bool]]:
        told = ask(place.api, what="summary", later_ms=later_ms).json()
        assert (told["contract"], told["network"]) == (place.contract, "localnet")
        fields = ("batches", "amount_wei", "requests", "requests_wei", "is_complete")
        return [tuple(each[name] for name in fields) for each in told["unsettled"]]

    place.serve(700)
    place.serve(300)
    assert waits() == [(0, "0", 2, "1000", True)]
    cutter = Cutter(place.api, max_step=1)
    run(cutter.step(place.now_ms()), place.store.call)  # one of them is in a batch that goes on
    assert waits() == [(0, "0", 2, "1000", True)]
    run(cutter.step(place.now_ms()), place.store.call)
    assert waits() == [(1, "1000", 0, "0", True)]
    assert place.settle().status == "done"
    assert waits() == []


def test_summary__in_the_next_month__still_tells_what_waits(place, ask):
    place.serve(700)
    now_ms = place.now_ms()
    first = datetime.fromtimestamp(now_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0)
    next_month = (first + timedelta(days=31)).replace(day=1)
    later = ask(place.api, what="summary", later_ms=int(next_month.timestamp() * 1000) - now_ms + 60_000).json()
    assert [each["requests_wei"] for each in later["unsettled"]] == ["700"]
    assert later["apis"] == [{"api": place.api, "today": NOTHING, "month": NOTHING}]


def test_reconciliation__of_an_api_that_is_not_on_the_contract__says_so(ask):
    answer = ask("nobodys")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_possible")


def test_reconciliation__node_that_does_not_answer__can_be_asked_for_again(contract):
    away = {"url": "http://127.0.0.1:9/api", "key_pepper": "pepper of the tests, long enough"}
    with Meter.open("memory://", contract=contract, **away) as meter:
        client = TestClient(create_app(meter, service_token=SERVICE, admin_token=ADMIN))
        answer = client.get(
            "/v1/reconciliation", params={"api": "weather"}, headers={"authorization": f"Bearer {ADMIN}"}
        )
    assert (answer.status_code, answer.json()["code"]) == (503, "chain_unavailable")
    assert "The chain cannot be read" in answer.json()["detail"]


@pytest.mark.parametrize("token", ["", SERVICE])
def test_reconciliation__without_the_admin_token__is_refused(place, ask, token):
    assert ask(place.api, token).status_code == 401


def test_reconciliation__of_a_meter_without_a_contract__is_not_possible():
    with Meter.open("memory://", key_pepper="pepper of the tests, long enough") as meter:
        client = TestClient(create_app(meter, service_token=SERVICE, admin_token=ADMIN))
        answer = client.get(
            "/v1/reconciliation", params={"api": "weather"}, headers={"authorization": f"Bearer {ADMIN}"}
        )
    assert (answer.status_code, answer.json()["code"]) == (409, "not_possible")
