"""What somebody with a key that is limited, and may be public, is told of its consumer: nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api_billing.metering import Budget, Limit, Meter, Quota
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.identified import consumer_of

LIMITED = {"apis": ["weather"]}, {"cap": 500}
Opened = Callable[..., Meter]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens a meter with the consumer acme, who has 1,000 wei and a budget."""
    meters: list[Meter] = []

    def open_meter(**settings: Any) -> Meter:
        meter = Meter.open("memory://", **settings)
        meters.append(meter)
        meter.add_consumer("acme")
        meter.grant("acme", 1_000, grant_id="first")
        meter.set_budget("acme", Budget("guard", "day", 900))
        return meter

    yield open_meter
    for meter in meters:
        meter.close()


def request_with(key: str, path: str = "/forecast") -> MeteredRequest:
    return MeteredRequest("GET", path, TextHeaders([("authorization", f"Bearer {key}")]))


def serve(meter: Meter, key: str, estimate_wei: int = 10) -> tuple[dict[str, str], Answer | None]:
    terms = meter.metering("weather", estimate_wei=estimate_wei, limits=Limit("fixed", 5, hours=1, name="here"))
    exchange = Exchange(terms, request_with(key))
    refused = exchange.begin()
    return (dict(refused.headers) if refused else dict(exchange.finish(MeteredResponse(200, TextHeaders([]))))), refused


def names_in(fields: dict[str, str]) -> list[list[str]]:
    return [[item.split('"')[1] for item in fields[name].split(", ")] for name in ("ratelimit-policy", "ratelimit")]


@pytest.mark.parametrize("limited", LIMITED, ids=["apis", "cap"])
def test_served__with_a_limited_key__is_told_of_its_own_quotas_alone(opened: Opened, limited: dict[str, Any]) -> None:
    meter = opened()
    fields, _ = serve(meter, meter.create_key("acme", **limited).text)
    if "cap" in limited:
        assert names_in(fields) == [["key/cap"]] * 2
        assert fields["x-ratelimit-limit"] == "50"  # requests at this estimate
    else:
        assert fields.keys() == {"x-cost-wei"}
    other, _ = serve(meter, meter.create_key("acme").text)
    assert names_in(other) == [["month", "guard", "here"]] * 2


def test_served__with_a_limited_key_where_these_may_read__is_told_of_all_limits(opened: Opened) -> None:
    meter = opened(limited_keys_read=True)
    for limited in LIMITED:
        fields, _ = serve(meter, meter.create_key("acme", **limited).text)
        assert names_in(fields)[0][:2] == ["month", "guard"]


@pytest.mark.parametrize("limited", LIMITED, ids=["apis", "cap"])
def test_refused__with_a_limited_key__is_not_told_what_credit_there_is(opened: Opened, limited: dict[str, Any]) -> None:
    meter = opened()
    meter.remove_budget("acme", "guard")
    meter.grant("acme", -990, grant_id="taken back")
    _, refused = serve(meter, meter.create_key("acme", **limited).text, 20)
    assert refused is not None
    told = json.loads(refused.body)
    assert (told["code"], told["estimate_wei"]) == ("insufficient_credit", "20")
    assert not {"free", "free_wei"} & told.keys()
    _, refused = serve(meter, meter.create_key("acme").text, 20)
    assert refused is not None
    assert json.loads(refused.body)["free_wei"] == "10"


@pytest.mark.parametrize("limited", LIMITED, ids=["apis", "cap"])
def test_who_asks__by_a_limited_key__is_not_told_unless_the_settings_allow_it(
    opened: Opened, limited: dict[str, Any]
) -> None:
    meter = opened()
    answer = consumer_of(meter, request_with(meter.create_key("acme", **limited).text))
    assert isinstance(answer, Answer)
    assert (answer.status, json.loads(answer.body)["reason"]) == (403, "limited_key")
    assert consumer_of(meter, request_with(meter.create_key("acme").text)) == "acme"
    reading = opened(limited_keys_read=True)
    assert consumer_of(reading, request_with(reading.create_key("acme", **limited).text)) == "acme"


def refusal(meter: Meter, key: str, estimate_wei: int) -> dict[str, Any]:
    _, refused = serve(meter, key, estimate_wei)
    assert refused is not None
    problem: dict[str, Any] = json.loads(refused.body)
    return problem


def test_refused__by_the_cap_of_a_key__is_not_told_what_else_there_is_too_little_of(opened: Opened) -> None:
    meter = opened()
    meter.set_quota("acme", Quota("spending", "day", 700, unit="wei"))
    meter.grant("acme", 10_000, grant_id="more")
    key = meter.create_key("acme", cap=500).text
    told = [refusal(meter, key, wei) for wei in (501, 701, 901)]
    assert [each.get("violated-policies") for each in told] == [["key/cap"]] * 3
    assert {each["code"] for each in told} == {"quota_exceeded"}
    assert not any("spending" in str(each) or "guard" in str(each) for each in told)


@pytest.mark.parametrize("limited", LIMITED, ids=["apis", "cap"])
def test_refused__by_what_a_limited_key_is_not_told_of__has_no_name_of_it(
    opened: Opened, limited: dict[str, Any]
) -> None:
    meter = opened()
    key, secret = meter.create_key("acme", **limited).text, meter.create_key("acme").text
    for _ in range(5):
        serve(meter, secret)
    by_limit = refusal(meter, key, 10)
    assert (by_limit["code"], by_limit["violated-policies"]) == ("quota_exceeded", [])
    assert refusal(meter, secret, 10)["violated-policies"] == ["here"]
    meter.set_budget("acme", Budget("guard", "day", 20))
    by_budget = refusal(meter, key, 10)
    assert (by_budget["code"], "guard" in str(by_budget)) == ("budget_exceeded", False)
    assert refusal(meter, secret, 10)["budget"] == "guard"
