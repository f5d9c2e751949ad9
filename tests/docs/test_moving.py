"""Both codes of each move do the same: what a limiter serves and refuses, the meter serves and refuses."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from flask import Flask

from api_billing.metering import Meter, from_address
from api_billing.metering.web.fastapi import MeterDependency, install
from api_billing.metering.web.flask import ApiBilling, metered
from api_billing.testing import paying

from .test_documents import FENCE, text_of


def codes_of(heading: str) -> list[str]:
    section = text_of("docs/moving.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [block for kind, block in FENCE.findall(section) if kind in ("python", "py")]


def asking(app: Any) -> Callable[[], int]:
    if isinstance(app, Flask):
        client = app.test_client()
        return lambda: client.get("/forecast").status_code
    asgi = TestClient(app)
    return lambda: asgi.get("/forecast").status_code


@pytest.mark.filterwarnings("ignore::DeprecationWarning:slowapi", "ignore:Using the in-memory storage:UserWarning")
@pytest.mark.parametrize("limiter", ["slowapi", "Flask-Limiter", "fastapi-limiter"])
def test_limiter__three_in_a_minute__both_refuse_the_fourth(
    limiter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Its windows begin with the minute, which may not end meanwhile.
    monkeypatch.setattr(Meter, "open", partial(Meter.open, clock_ms=lambda: 1_800_000_000_000))
    before, after = codes_of(limiter)
    answers = []
    for code in (before, after):
        names: dict[str, Any] = {"__name__": __name__}
        exec(code, names)
        ask = asking(names["app"])
        answers.append([ask() for _ in range(5)])
        if "meter" in names:
            names["meter"].close()
    assert answers[0] == answers[1] == [HTTPStatus.OK] * 3 + [HTTPStatus.TOO_MANY_REQUESTS] * 2


def names_of(code: str, **given: Any) -> dict[str, Any]:
    given["__name__"] = __name__
    exec(code, given)
    return given


def paid(names: dict[str, Any], path: str, **asked: Any) -> int:
    """What a request of a consumer with a dollar costs."""
    with names["meter"] as meter:
        acme = paying(meter, "acme", 10**9)
        response = TestClient(names["app"]).post(path, headers=acme, **asked)
        assert response.status_code == HTTPStatus.OK, response.text
        return int(response.headers["x-cost-wei"])


def test_stripe__words_of_a_text__are_charged_as_they_were_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, after, webhook = codes_of("A meter of Stripe")
    assert compile(before, "before", "exec")
    names = names_of(after)
    for _ in range(2):
        exec(webhook, names | {"customer": "cus_1", "event": {"id": "evt_1"}})
    assert names["meter"].balance("cus_1").free_wei == 20 * 10**9
    assert paid(names, "/summary?text=to+be+or+not") == 4 * 10**5


def test_litellm__tokens_of_an_answer__are_charged_and_the_estimate_is_bounded_by_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, after, budget = codes_of("Budgets of LiteLLM")
    assert compile(before, "before", "exec")

    async def completion(asked: dict[str, Any]) -> dict[str, Any]:
        return {"model": asked["model"], "usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}

    names = names_of(after, completion=completion)
    exec(budget, names)
    assert names["meter"].balance("acme").free_wei == 1_000 * 10**9
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    assert paid(names, "/chat/completions", json=asked) == 1_000 * 150 + 100 * 600


def test_flask__view_with_limits_of_its_own__has_those_instead_of_the_applications() -> None:
    app = Flask("weather")
    with Meter.open("memory://", identify=from_address()) as meter:
        ApiBilling(app, meter, api="weather", limits=["1/minute"])
        app.get("/tides", endpoint="tides")(lambda: "high")
        app.get("/forecast")(metered(meter, api="weather", limits=["2/minute"])(lambda: "sunny"))
        client = app.test_client()
        assert [client.get("/tides").status_code for _ in range(2)] == [200, 429]
        assert [client.get("/forecast").status_code for _ in range(3)] == [200, 200, 429]


def test_fastapi__several_dependencies__have_the_limits_of_the_last() -> None:
    app = FastAPI()
    install(app)
    with Meter.open("memory://", identify=from_address()) as meter:
        one, two = (MeterDependency(meter.metering(f"{most}", limits=f"{most}/minute")) for most in (1, 2))
        router = APIRouter(dependencies=[Depends(one)])
        app.get("/at-the-route", dependencies=[Depends(one), Depends(two)])(lambda: "sunny")
        router.get("/at-the-router", dependencies=[Depends(two)])(lambda: "sunny")
        app.include_router(router)
        client = TestClient(app)
        for path in ("/at-the-route", "/at-the-router"):
            assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]
