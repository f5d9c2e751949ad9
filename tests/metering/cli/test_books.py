"""Whatever happened, all who are asked tell the same sums, to the smallest unit: usage as JSON and CSV, statements, the
audit log, balances, on the command line and over HTTP.
"""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import Sweep
from api_billing.metering.service import create_app
from api_billing.metering.statements import Days

SERVICE, ADMIN = "service-token-of-the-tests", "admin-token-of-the-tests"
CONSUMERS, APIS = ("acme", "=1+1,\"<'"), ("weather", "@maps")
UNIT = 10**18
EXAMPLES = 200 if settings().max_examples > 500 else 8
FILES = count()

consumers, apis = st.sampled_from(CONSUMERS), st.sampled_from(APIS)
amounts = st.integers(1, UNIT) | st.sampled_from([0, 1, UNIT])
ends = (amounts, st.integers(0, 5), st.sampled_from([200, 200, 503]))
steps = st.lists(
    st.tuples(st.just("wait"), st.sampled_from([1, 86_400_000, 11 * 86_400_000]))
    | st.tuples(st.just("end of month"), st.sampled_from([-1, 0]))
    | st.tuples(st.just("grant"), consumers, st.integers(-UNIT, 2 * UNIT))
    | st.tuples(st.just("serve"), consumers, apis, amounts, *ends)
    | st.tuples(st.just("reserve"), consumers, apis, amounts)
    | st.tuples(st.just("settle"), st.integers(0, 3), *ends)
    | st.tuples(st.just("release"), st.integers(0, 3))
    | st.tuples(st.just("sweep")),
    min_size=20,
    max_size=60,
)


class Sums(NamedTuple):
    """Of a consumer in a month."""

    calls: int
    units: int
    charged_wei: int
    uncollected_wei: int


class History:
    """A meter on which things happen, in order of time, from the end of January of a leap year on."""

    def __init__(self, url: str) -> None:
        self.at = datetime(2028, 1, 30, 12, tzinfo=UTC)
        self.meter = Meter.open(url, clock_ms=self.now_ms, randrange=lambda _: 0)
        self.client = TestClient(create_app(self.meter, service_token=SERVICE, admin_token=ADMIN))
        self.grants = count()
        self.open: list[str] = []
        self.months = {"2028-01"}
        for consumer in CONSUMERS:
            self.meter.add_consumer(consumer, tier="enterprise")
            self.do("grant", consumer, 2 * UNIT)

    def now_ms(self) -> int:
        return round(self.at.timestamp() * 1000)

    def post(self, path: str, body: Any, token: str = SERVICE) -> Any:
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})

    def get(self, path: str, **query: str) -> Any:
        answer = self.client.get(path, params=query, headers={"Authorization": f"Bearer {ADMIN}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, ms: int) -> None:
        self.at += timedelta(milliseconds=ms)
        self.months.add(f"{self.at:%Y-%m}")

    def do(self, what: str, *given: Any) -> None:
        match what, given:
            case "wait", [ms]:
                self.wait(ms)
            case "end of month", [ms]:  # the first instant of the next one, or the last of this one
                next_ms = (Days.of_month(f"{self.at:%Y-%m}").last + 1) * DAY_MS
                self.wait(max(0, next_ms + ms - self.now_ms()))
            case "grant", [consumer, wei]:  # one that takes back more than there is changes nothing
                body = {"consumer": consumer, "amount_wei": str(wei), "grant_id": str(next(self.grants))}
                assert self.post("/v1/credit", body, ADMIN).status_code in (200, 409)
            case "serve", [consumer, api, wei, *ends]:
                self.do("reserve", consumer, api, wei)
                self.do("settle", len(self.open) - 1, *ends)
            case "reserve", [consumer, api, wei]:
                made = self.post("/v1/reservations", {"api": api, "consumer": consumer, "estimate_wei": str(wei)})
                self.open += [made.json()["id"]] if made.status_code == 201 else []
            case "settle", [place, wei, units, status] if 0 <= place < len(self.open):
                body = {"cost_wei": str(wei), "units": units, "status": status}
                path = f"/v1/reservations/{self.open.pop(place)}/settle"
                assert [self.post(path, body).status_code for _ in range(2)] == [200, 200]
            case "release", [place] if place < len(self.open):
                self.post(f"/v1/reservations/{self.open.pop(place)}/release", {})
            case "sweep", []:  # what is old and open can only be settled late from then on
                self.meter.store.call(Sweep(self.now_ms()))


def of_csv(text: str, consumer: str) -> Sums:
    name = f"'{consumer}" if consumer.startswith("=") else consumer
    rows = [row for row in csv.DictReader(StringIO(text)) if row["consumer"] == name]

    def wei(column: str) -> int:
        return sum(int(Decimal(row[column]).scaleb(18)) for row in rows)

    calls, units = (sum(int(row[column]) for row in rows) for column in ("calls", "units"))
    return Sums(calls, units, wei("charged GEN"), wei("uncollected GEN"))


def of_rows(rows: list[Any]) -> Sums:
    return Sums(*(sum(int(row[name]) for row in rows) for name in Sums._fields))


def sums_told(history: History, ask: Callable[..., Any], consumer: str, month: str) -> dict[str, Sums]:
    """What each that can be asked says of a consumer and a month."""
    days = Days.of_month(month)
    first, _, last = str(days).split()
    statement = ask("statement", consumer, "--month", month, "--json").json
    over_http = history.get("/v1/statements", consumer=consumer, month=month)
    behind = datetime.fromtimestamp((days.last + 1) * DAY_MS // 1000, UTC)
    ranged = ("usage", "--consumer", consumer, "--from", first, "--until", last, "--json")
    audit = ("audit", "--consumer", consumer, "--state", "settled", "--since", first, "--until", f"{behind:%Y-%m-%d}")
    records = [{**each, "calls": 1} for each in ask(*audit, "--limit", "1000", "--json").json["records"]]
    assert ask(*audit, "--limit", "1000", "--newest-first", "--json").json["records"] == [
        {name: value for name, value in each.items() if name != "calls"} for each in reversed(records)
    ]
    usage = [row for row in ask("usage", "--month", month, "--json").json if row["consumer"] == consumer]
    return {
        "usage": of_rows(usage),
        "usage from until": of_rows(ask(*ranged).json),
        "usage as CSV": of_csv(ask("usage", "--month", month, "--csv").out, consumer),
        "usage over HTTP": of_rows(history.get("/v1/usage", consumer=consumer, since=first, until=last)["usage"]),
        "statement": of_rows([statement["total"]]),
        "lines of the statement": of_rows(statement["usage"]),
        "statement over HTTP": of_rows([over_http["total"]]),
        "audit log": of_rows(records),
    }


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=steps)
def test_books__of_any_history__agree_to_the_smallest_unit(run: Any, folder: Path, steps: list[Any]) -> None:
    url = f"sqlite:///{folder}/{next(FILES)}.db"
    history = History(url)

    def ask(*words: str) -> Any:
        return run(*words, "--store", url)

    with history.meter as meter:
        for step in steps:
            history.do(*step)
        months = sorted(history.months)
        for consumer in CONSUMERS:
            found = [sums_told(history, ask, consumer, month) for month in months]
            assert [set(each.values()) for each in found] == [{each["usage"]} for each in found], found
            charged_wei = sum(each["usage"].charged_wei for each in found)
            balance = meter.balance(consumer)
            assert charged_wei == balance.charged_wei
            made = [history.get("/v1/statements", consumer=consumer, month=month) for month in months]
            assert int(made[0]["opening_wei"]) == 0
            assert [each["closing_wei"] for each in made[:-1]] == [each["opening_wei"] for each in made[1:]]
            assert int(made[-1]["closing_wei"]) == balance.granted_wei - balance.charged_wei
            granted = [int(grant["amount_wei"]) for each in made for grant in each["grants"]]
            assert sum(granted) == balance.granted_wei
        of_all = of_rows(ask("usage", "--month", months[-1], "--json").json)
        assert of_rows([history.get("/v1/summary")["month"]]) == of_all
