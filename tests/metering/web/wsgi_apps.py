"""The same service for WSGI: bare and with Flask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask

from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.web.flask import ApiBilling, metered
from api_billing.metering.web.wsgi import MeteredWSGI

from .terms import EVENT_STREAM, EVENTS, OWN_COST_WEI, OWN_FIELDS, PLAIN, TERMS, Boom, chunks, growing, same


def bare(meter: Meter, seen: list[str]) -> Any:
    """No framework: an application that speaks WSGI itself."""

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        seen.append(path)
        if path == "/boom":
            raise Boom("before anything")
        if path in ("/stream", "/torn"):
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return chunks(path == "/torn")
        if path in ("/events", "/growing"):
            kind = EVENT_STREAM if path == "/events" else "application/octet-stream"
            start_response("200 OK", [("Content-Type", kind)])
            return iter(EVENTS) if path == "/events" else growing()
        body, status = PLAIN, "200 OK"
        own: list[tuple[str, str]] = []
        if path == "/missing":
            body, status = b"not here", "404 Not Found"
        elif path == "/fail":
            body, status = b"broken", "503 Service Unavailable"
        elif path == "/moved":
            body, status, own = b"", "303 See Other", [("Location", "/plain")]
        elif path == "/own":
            own = list(OWN_FIELDS.items())
        elif path == "/echo":
            size = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
            body = environ["wsgi.input"].read(size)
        elif path == "/cost":
            exchange = current_exchange()
            assert exchange is not None
            exchange.set_cost_wei(OWN_COST_WEI)
        length = str(len(body) + (path == "/short"))
        start_response(status, [("Content-Type", "application/octet-stream"), ("Content-Length", length), *own])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return MeteredWSGI(app, meter.metering(**TERMS))


def flask_service(app: flask.Flask, terms: Callable[..., Any], seen: list[str]) -> flask.Flask:
    app.testing = True

    @app.route("/plain", methods=["GET", "HEAD", "OPTIONS", "POST"])
    @terms
    def plain() -> Any:
        seen.append("/plain")
        return flask.Response(PLAIN, mimetype="application/json")

    @app.get("/stream")
    @terms
    def stream() -> Any:
        return flask.Response(chunks(False))

    @app.get("/torn")
    @terms
    def torn() -> Any:
        return flask.Response(chunks(True))

    @app.get("/boom")
    @terms
    def boom() -> Any:
        raise Boom("before anything")

    @app.route("/missing", methods=["GET", "POST"])
    @terms
    def missing() -> Any:
        seen.append("/missing")
        flask.abort(404)

    @app.get("/fail")
    @terms
    def fail() -> Any:
        return "broken", 503

    @app.post("/echo")
    @terms
    def echo() -> Any:
        return flask.request.get_data()

    @app.get("/short")
    @terms
    def short() -> Any:
        seen.append("/short")
        return flask.Response(iter([PLAIN]), headers={"Content-Length": len(PLAIN) + 1})

    @app.get("/events")
    @terms
    def events() -> Any:
        seen.append("/events")
        return flask.Response(iter(EVENTS), mimetype=EVENT_STREAM)

    @app.get("/growing")
    @terms
    def grow() -> Any:
        seen.append("/growing")
        return flask.Response(growing())

    @app.get("/moved")
    @terms
    def moved() -> Any:
        seen.append("/moved")
        return flask.redirect("/plain", 303)

    @app.get("/own")
    @terms
    def own() -> Any:
        seen.append("/own")
        return flask.Response(PLAIN, headers=OWN_FIELDS)

    @app.get("/cost")
    @terms
    def cost() -> Any:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(OWN_COST_WEI)
        return {"ok": True}

    return app


def flask_decorated(meter: Meter, seen: list[str]) -> flask.Flask:
    """Flask with decorated views, nothing installed."""
    return flask_service(flask.Flask("decorated"), metered(meter, **TERMS), seen)


def flask_extension(meter: Meter, seen: list[str]) -> flask.Flask:
    """Flask with the extension."""
    app = flask_service(flask.Flask("extended"), same, seen)
    ApiBilling(app, meter, **TERMS)
    return app
