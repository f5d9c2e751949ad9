#!/usr/bin/env python3
"""An API with Django in one file, billed per request.

python examples/django_app.py --port 8000      shows an API key at the first start
curl -i -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/fixed

/balance and /usage want the key: a voucher of a session pays, and does not say who asks, as others get to see it.
"""

import sys
import time

import django
from demo_account import GWEI, arguments, balance_of, open_meter, usage_of
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.urls import path

from api_billing.metering import (
    MeteredRequest,
    MeteredResponse,
    by_processing_time,
    by_response_size,
    current_exchange,
)
from api_billing.metering.web.django import identified, metered
from api_billing.metering.web.django_configuration import configured_meter


def price_per_word(request: MeteredRequest, response: MeteredResponse) -> int:
    """A price of one's own: 2 gwei for each word of the query parameter ``text``."""
    return 2 * GWEI * len(request.query_values("text")[0].split())


# The meter is that of the settings. What a request is expected to cost at most is reserved first, what it has cost is
# charged then.


@metered(api="demo", estimate_wei=GWEI)
def fixed(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"costs": "1 gwei"})


@metered(api="demo", estimate_wei=100 * GWEI, price=by_response_size(GWEI, per_kib_wei=GWEI))
def by_size(request: HttpRequest) -> HttpResponse:
    kib = request.GET.get("kib", "1")
    return HttpResponse(bytes(1024 * int(kib))) if kib.isdigit() and int(kib) <= 90 else HttpResponseBadRequest()


@metered(api="demo", estimate_wei=20 * GWEI, price=by_processing_time(GWEI, per_second_wei=10 * GWEI))
def by_time(request: HttpRequest) -> HttpResponse:
    ms = request.GET.get("ms", "100")
    if not ms.isdigit() or int(ms) > 1000:
        return HttpResponseBadRequest()
    time.sleep(int(ms) / 1000)
    return JsonResponse({"slept_ms": int(ms)})


@metered(api="demo", estimate_wei=50 * GWEI, price=price_per_word)
def custom(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"reversed": request.GET["text"][::-1]}) if "text" in request.GET else HttpResponseBadRequest()


@metered(api="demo", estimate_wei=1000 * GWEI)
def locked(request: HttpRequest) -> HttpResponse:
    exchange = current_exchange()
    assert exchange is not None
    exchange.set_cost_wei(3 * GWEI)  # known only now; the rest of what is locked is given back
    return JsonResponse(balance_of(configured_meter(), exchange.consumer))


@metered(api="demo", estimate_wei=GWEI)
def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("what fails costs nothing")


@identified()
def balance(request: HttpRequest, consumer: str) -> HttpResponse:
    return JsonResponse(balance_of(configured_meter(), consumer))


@identified()
def usage(request: HttpRequest, consumer: str) -> HttpResponse:
    return JsonResponse(usage_of(configured_meter(), consumer), safe=False)


urlpatterns = [
    path("fixed", fixed),
    path("by-size", by_size),
    path("by-time", by_time),
    path("custom", custom),
    path("locked", locked),
    path("broken", broken),
    path("balance", balance),
    path("usage", usage),
]

if __name__ == "__main__":
    given = arguments(__doc__)
    with open_meter(given.database, given.consumer) as opened:
        settings.configure(
            SECRET_KEY="of an example",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=sys.modules[__name__],
            DATABASES={},
            API_BILLING={"meter": opened},
        )
        django.setup()
        call_command("runserver", f"{given.host}:{given.port}", use_reloader=False)
