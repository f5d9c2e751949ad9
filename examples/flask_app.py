#!/usr/bin/env python3
"""An API with Flask, billed per request.

python examples/flask_app.py --port 8000       shows an API key at the first start
curl -i -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/fixed

/balance and /usage want the key: a voucher of a session pays, and does not say who asks, as others get to see it.
"""

import time

from demo_account import GWEI, arguments, balance_of, open_meter, usage_of
from flask import Flask, Response, abort, jsonify, request

from api_billing.metering import (
    Meter,
    MeteredRequest,
    MeteredResponse,
    by_processing_time,
    by_response_size,
    current_exchange,
)
from api_billing.metering.web.flask import identified, metered


def price_per_word(request: MeteredRequest, response: MeteredResponse) -> int:
    """A price of one's own: 2 gwei for each word of the query parameter ``text``."""
    return 2 * GWEI * len(request.query_values("text")[0].split())


def number(name: str, default: int, largest: int) -> int:
    """A query parameter that is a number from 0 on."""
    value = request.args.get(name, default, type=int)
    return value if 0 <= value <= largest else abort(400)


def make_app(meter: Meter) -> Flask:
    """The API. What a request is expected to cost at most is reserved first, what it has cost is charged then."""
    app = Flask(__name__)

    @app.get("/fixed")
    @metered(meter, api="demo", estimate_wei=GWEI)
    def fixed() -> dict[str, str]:
        return {"costs": "1 gwei"}

    @app.get("/by-size")
    @metered(meter, api="demo", estimate_wei=100 * GWEI, price=by_response_size(GWEI, per_kib_wei=GWEI))
    def by_size() -> Response:
        return Response(bytes(1024 * number("kib", 1, 90)), mimetype="application/octet-stream")

    @app.get("/by-time")
    @metered(meter, api="demo", estimate_wei=20 * GWEI, price=by_processing_time(GWEI, per_second_wei=10 * GWEI))
    def by_time() -> dict[str, int]:
        time.sleep(number("ms", 100, 1000) / 1000)
        return {"slept_ms": number("ms", 100, 1000)}

    @app.get("/custom")
    @metered(meter, api="demo", estimate_wei=50 * GWEI, price=price_per_word)
    def custom() -> dict[str, str]:
        return {"reversed": request.args["text"][::-1]}

    @app.get("/locked")
    @metered(meter, api="demo", estimate_wei=1000 * GWEI)
    def locked() -> dict[str, str]:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(3 * GWEI)  # known only now; the rest of what is locked is given back
        return balance_of(meter, exchange.consumer)

    @app.get("/broken")
    @metered(meter, api="demo", estimate_wei=GWEI)
    def broken() -> str:
        raise RuntimeError("what fails costs nothing")

    @app.get("/balance")
    @identified(meter)
    def balance(consumer: str) -> dict[str, str]:
        return balance_of(meter, consumer)

    @app.get("/usage")
    @identified(meter)
    def usage(consumer: str) -> Response:
        return jsonify(usage_of(meter, consumer))

    return app


if __name__ == "__main__":
    given = arguments(__doc__)
    with open_meter(given.database, given.consumer) as opened:
        make_app(opened).run(given.host, given.port)
