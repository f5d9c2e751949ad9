"""What is Flask's own."""

from __future__ import annotations

import io
from typing import Any

import flask
import pytest

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.meter import Meter
from api_billing.metering.web.flask import ApiBilling, metered

from .terms import BASE_WEI, CONSUMER, TERMS, Boom, open_meter


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask("test")
    app.testing = True
    return app


def charged(meter: Meter) -> int:
    balance = meter.balance("ann")
    assert balance.reserved_wei == 0
    return balance.charged_wei


def test_view__with_a_pattern__is_recorded_by_it(app: flask.Flask, meter: Meter) -> None:
    app.get("/users/<int:number>")(metered(meter, **TERMS)(lambda number: str(number)))
    assert app.test_client().get("/users/17", headers=CONSUMER).text == "17"
    (record,) = meter.store.call(ListRecords())
    assert record.route == "/users/<int:number>"


def test_async_view__decorated__is_served(app: flask.Flask, meter: Meter) -> None:
    async def view() -> str:
        return "async"

    app.get("/it")(metered(meter, **TERMS)(view))
    assert app.test_client().get("/it", headers=CONSUMER).text == "async"
    assert charged(meter) == BASE_WEI + 5


def test_file__sent__is_charged_by_its_length(app: flask.Flask, meter: Meter) -> None:
    file = io.BytesIO(b"x" * 5000)
    app.get("/it")(metered(meter, **TERMS)(lambda: flask.send_file(file, download_name="x.bin")))
    with app.test_client().get("/it", headers=CONSUMER) as reply:
        assert len(reply.get_data()) == 5000
    assert charged(meter) == BASE_WEI + 5000
    assert file.closed


def test_stream__closed_in_the_middle__is_charged_as_far_as_it_went(app: flask.Flask, meter: Meter) -> None:
    closed: list[bool] = []

    def body() -> Any:
        try:
            yield b"four"
            yield b"more"
        finally:
            closed.append(True)

    app.get("/it")(metered(meter, **TERMS)(lambda: flask.Response(flask.stream_with_context(body()))))
    reply = app.test_client().get("/it", headers=CONSUMER, buffered=False)
    assert next(reply.iter_encoded()) == b"four"
    reply.close()
    assert closed == [True]
    assert charged(meter) == BASE_WEI + 4


@pytest.mark.parametrize("how", ["decorator", "extension"])
def test_exception__answered_with_a_500__costs_nothing(app: flask.Flask, meter: Meter, how: str) -> None:
    def view() -> str:
        raise Boom

    app.testing = False
    app.logger.disabled = True
    app.get("/it")(metered(meter, **TERMS)(view) if how == "decorator" else view)
    if how == "extension":
        ApiBilling(app, meter, **TERMS)
    assert app.test_client().get("/it", headers=CONSUMER).status_code == 500
    assert charged(meter) == 0


def test_error_handler__of_the_application__is_metered_with_its_response(app: flask.Flask, meter: Meter) -> None:
    app.register_error_handler(404, lambda error: ("lost", 404))
    app.get("/it")(metered(meter, **TERMS)(lambda: flask.abort(404)))
    reply = app.test_client().get("/it", headers=CONSUMER)
    assert (reply.text, int(reply.headers["X-Cost-Wei"])) == ("lost", BASE_WEI + 4)


@pytest.mark.parametrize("how", ["decorator", "extension"])
@pytest.mark.parametrize("free", ["", "500-599"])
def test_error__answered_with_a_page__costs_and_says_what_its_status_does(
    app: flask.Flask, how: str, free: str
) -> None:
    def failed() -> str:
        raise Boom

    def away() -> str:
        flask.abort(503)

    app.testing = False
    app.logger.disabled = True
    with open_meter(free_statuses=free) as meter:
        if how == "extension":
            ApiBilling(app, meter, **TERMS)
        for path, view in {"/failed": failed, "/away": away}.items():
            app.get(path)(metered(meter, **TERMS)(view) if how == "decorator" else view)
        client = app.test_client()
        assert client.get("/failed", headers=CONSUMER).status_code == 500
        assert charged(meter) == 0
        reply = client.get("/away", headers=CONSUMER)
        assert reply.headers["X-Cost-Wei"] == str(0 if free else BASE_WEI + len(reply.data))
        assert charged(meter) == int(reply.headers["X-Cost-Wei"])


@pytest.mark.parametrize("status", [200, 404])
def test_stream__of_an_application_that_a_view_answers_with__is_one(
    app: flask.Flask, meter: Meter, status: int
) -> None:
    served = flask.Response(iter([b"four", b"more"]), status)
    app.get("/it")(metered(meter, **TERMS)(lambda: lambda *call: served(*call)))
    with app.test_client().get("/it", headers=CONSUMER) as reply:
        assert (reply.status_code, reply.get_data(), "X-Cost-Wei" in reply.headers) == (status, b"fourmore", False)
    assert charged(meter) == BASE_WEI + 8


def test_form__parsed_before_the_view__is_compared_by_its_fields(app: flask.Flask, meter: Meter) -> None:
    app.before_request(lambda: flask.request.form.get("name") and None)
    app.post("/it")(metered(meter, **TERMS)(lambda: flask.request.files["file"].read()))

    def post(content: bytes) -> Any:
        data = {"name": "n", "file": (io.BytesIO(content), "f.txt")}
        return app.test_client().post("/it", data=data, headers={**CONSUMER, "Idempotency-Key": "k"})

    assert [post(b"text").data, post(b"text").data] == [b"text", b"text"]
    assert post(b"test").status_code == 422


# --- the extension


def test_extension__with_a_decorated_view__leaves_it_its_own_terms(app: flask.Flask, meter: Meter) -> None:
    app.get("/it")(metered(meter, api="other", estimate_wei=3)(lambda: "own"))
    ApiBilling(app, meter, **TERMS)
    assert app.test_client().get("/it", headers=CONSUMER).headers["X-Cost-Wei"] == "3"
    assert charged(meter) == 3


def test_extension__with_an_exempt_view__does_not_meter_it(app: flask.Flask, meter: Meter) -> None:
    billing = ApiBilling(meter=meter, **TERMS)
    billing.init_app(app)
    app.get("/it")(billing.exempt(lambda: "free"))
    assert app.test_client().get("/it").text == "free"


def test_extension__configured_by_the_application__opens_a_meter(app: flask.Flask) -> None:
    app.config["API_BILLING"] = {"store_url": "memory://", "new_consumers": "free", **TERMS}
    ApiBilling(app)
    app.get("/it")(lambda: "x")
    assert app.test_client().get("/it").status_code == 401
    app.extensions["api_billing"].meter.close()


def test_extension__without_an_api__says_so(app: flask.Flask, meter: Meter) -> None:
    with pytest.raises(InvalidSetting, match="api is missing"):
        ApiBilling(app, meter)


def test_extension__with_a_setting_that_does_not_exist__says_so(app: flask.Flask) -> None:
    with pytest.raises(InvalidSetting, match="stoer_url"):
        ApiBilling(app, api="demo", stoer_url="memory://")


def test_extension__twice__is_an_error(app: flask.Flask, meter: Meter) -> None:
    ApiBilling(app, meter, **TERMS)
    with pytest.raises(RuntimeError, match="metered already"):
        ApiBilling(app, meter, **TERMS)


def test_extension__for_a_path_without_a_view__is_metered_as_no_route(app: flask.Flask, meter: Meter) -> None:
    ApiBilling(app, meter, **TERMS)
    assert app.test_client().get("/nowhere/17", headers=CONSUMER).status_code == 404
    (record,) = meter.store.call(ListRecords())
    assert record.route == "(no route)"
