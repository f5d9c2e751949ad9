"""What keys with a cap spend together, asked at once in two processes' meters: on every store that two can share."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from api_billing.metering import Meter
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders

PEPPER = "pepper of the tests, long enough"
CAP, PRICE, ASKED = 35, 3, 30


def served(meter: Meter, key: str, estimate_wei: int = PRICE) -> bool:
    """Ask once; whether it was served."""
    headers = TextHeaders([("authorization", f"Bearer {key}")])
    metering = meter.metering("weather", estimate_wei=estimate_wei, price=PRICE)
    exchange = Exchange(metering, MeteredRequest("GET", "/a", headers, at_ms=meter.now_ms(), body=b""))
    if exchange.begin() is not None:
        return False
    exchange.finish(MeteredResponse(200, TextHeaders([])))
    return True


def test_key_with_a_cap__asked_at_once_while_it_is_rotated__never_exceeds_it(shared_url: Any) -> None:
    with Meter.open(shared_url, key_pepper=PEPPER) as one, Meter.open(shared_url, key_pepper=PEPPER) as two:
        one.add_consumer("acme")
        one.grant("acme", 10_000, grant_id="first")
        old = one.create_key("acme", cap=CAP, per="year")
        assert served(two, old.text)  # the key is remembered by both
        assert served(one, old.text)
        new = two.rotate_key(old.stored.key_id, overlap=timedelta(days=1))
        tasks = [(meter, key.text) for meter in (one, two) for key in (old, new)] * (ASKED // 4)
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda task: served(*task), tasks))
        assert (2 + sum(found), one.balance("acme").charged_wei) == (CAP // PRICE, CAP // PRICE * PRICE)


def test_key_with_a_cap__asked_at_once_for_what_costs_more_than_its_estimate__is_charged_its_cap(
    shared_url: Any,
) -> None:
    with Meter.open(shared_url, key_pepper=PEPPER) as one, Meter.open(shared_url, key_pepper=PEPPER) as two:
        one.add_consumer("acme")
        one.grant("acme", 10_000, grant_id="first")
        key = one.create_key("acme", cap=CAP, per="year").text
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda meter: served(meter, key, estimate_wei=1), [one, two] * (ASKED // 2)))
        assert sum(found) > CAP // PRICE
        assert one.balance("acme").charged_wei == CAP
