"""Usage, audit log, pruning and batches on the command line."""

import csv
import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from api_billing.cli.meter_usage import line_data
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import BatchLine
from api_billing.metering.ledger.operations import Claim, Note, Outcome, Record, Release, Reserve, Settle
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores.steps import run
from api_billing.vouchers import NO_SALT, Voucher

GWEI = 10**9
HOUR_MS = 3_600_000


def serve(meter: Any, *, ago_ms: int = 0, api: str = "weather", cost_wei: int = GWEI, end: str = "settle") -> str:
    """A request that began so long ago; the id of its record."""
    from api_billing.metering.ledger.ids import new_id

    at_ms = meter.now_ms() - ago_ms
    reserve = Reserve(new_id(at_ms), at_ms, at_ms + 60_000, "acme", api, "acme", cost_wei, tier="free", route="/x")
    meter.store.call(reserve)
    if end == "settle":
        meter.store.call(
            Settle(reserve.reservation_id, "acme", at_ms + 5, cost_wei, Outcome(status=200, duration_ms=5))
        )
    elif end == "release":
        meter.store.call(Release(reserve.reservation_id, "acme", at_ms + 5))
    return reserve.reservation_id


def test_usage__of_some_days__is_per_api_and_day(acme: Any, meter: Any) -> None:
    for api, days in (("weather", 0), ("weather", 1), ("maps", 0), ("maps", 40)):
        serve(meter, api=api, ago_ms=days * DAY_MS)
    found = acme("usage", "--json").json
    today = meter.now_ms() // DAY_MS
    assert [(each["api"], today - each["day"], each["charged_wei"]) for each in found] == [
        ("maps", 0, GWEI),
        ("weather", 1, GWEI),
        ("weather", 0, GWEI),
    ]


def test_usage__for_a_person__has_a_chart(acme: Any, meter: Any) -> None:
    serve(meter)
    serve(meter, ago_ms=DAY_MS)
    serve(meter, ago_ms=DAY_MS)
    lines = acme("usage", "--api", "weather").out.splitlines()
    assert [line.count("█") for line in lines if line.endswith("█") and line.startswith("2")] == [30, 15]
    assert lines[-1].startswith("3 calls, 3 Gwei")


def test_usage__without_unicode__is_ascii(acme: Any, meter: Any) -> None:
    serve(meter)
    assert acme("usage", charset="ascii").out.isascii()


def redeem(meter: Any, number: int, *, ago_ms: int = 0, api: str = "weather") -> None:
    from api_billing.metering.ledger.ids import new_id

    at_ms = meter.now_ms() - ago_ms
    claim = Claim.of_receipt(f"{api}:{number}", "")
    reserve = Reserve(new_id(at_ms), at_ms, at_ms + 60_000, "acme", api, "acme", 0, claim=claim)
    meter.store.call(reserve)
    meter.store.call(Settle(reserve.reservation_id, "acme", at_ms + 5, 0))


def test_usage__with_receipts__counts_them_beside_what_was_charged(
    acme: Any, meter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_billing.cli.meter_usage._RECORDS", 2)
    serve(meter)
    for number in range(3):
        redeem(meter, number)
    redeem(meter, 9, api="maps")
    redeem(meter, 10, ago_ms=40 * DAY_MS)
    assert [each["calls"] for each in acme("usage", "--json").json] == [1]
    found = acme("usage", "--receipts", "--json").json
    assert [(each["api"], each["calls"], each["receipt_calls"]) for each in found] == [
        ("maps", 0, 1),
        ("weather", 1, 3),
    ]
    assert acme("usage", "--receipts").out.splitlines()[-1] == "4 calls with a receipt, billed by the contract"
    assert "receipt" not in acme("usage").out
    rows = list(csv.DictReader(StringIO(acme("usage", "--receipts", "--csv").out)))
    assert [(row["api"], row["calls with a receipt"]) for row in rows] == [
        (each["api"], str(each["receipt_calls"])) for each in found
    ]
    assert "receipt" not in acme("usage", "--csv").out


def test_usage__none__says_so(acme: Any) -> None:
    assert acme("usage", "--consumer", "acme").out == "no usage on these days\n"


def test_audit__of_a_state__has_only_that(acme: Any, meter: Any) -> None:
    serve(meter)
    released = serve(meter, end="release")
    found = acme("audit", "--state", "released", "--json").json
    assert [each["id"] for each in found["records"]] == [released]


def test_audit__page_by_page__has_each_once(acme: Any, meter: Any) -> None:
    made = [serve(meter, ago_ms=ago_ms) for ago_ms in (3000, 2000, 1000)]
    first = acme("audit", "--limit", "2", "--json").json
    second = acme("audit", "--limit", "2", "--after", first["next"], "--json").json
    assert [each["id"] for each in first["records"] + second["records"]] == made
    assert second["next"] is None


def test_audit__between_times__has_what_began_there(acme: Any, meter: Any) -> None:
    old, recent = serve(meter, ago_ms=2 * HOUR_MS), serve(meter)
    between = str(meter.now_ms() // 1000 - 3600)
    assert [each["id"] for each in acme("audit", "--since", between, "--json").json["records"]] == [recent]
    assert [each["id"] for each in acme("audit", "--until", between, "--json").json["records"]] == [old]


def test_audit__text_of_a_client__cannot_move_the_cursor(acme: Any, meter: Any) -> None:
    at_ms = meter.now_ms()
    meter.store.call(
        Note(Record("01" + "A" * 24, at_ms, "refused", "a", "", "", "", "GET", "/\x1b[2J", "", 0, 0, code="throttled"))
    )
    assert "\x1b" not in acme("audit").out


def test_audit__in_80_columns__breaks_no_code_stamp_or_amount(
    acme: Any, meter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    serve(meter, cost_wei=1_234_567 * GWEI)
    for code in ("missing_identity", "idempotency_in_progress"):
        who, route = "0x" + "ab" * 20, f"/{code}/of/a/long/route"
        record_id = ("01" + code.upper()).ljust(26, "A")[:26].replace("_", "0")
        note = Record(record_id, meter.now_ms(), "refused", "weather", who, "", "", "GET", route, "", 0, 0)
        meter.store.call(Note(replace(note, code=code, outcome=Outcome(status=409, error="bad_signature"))))
    out = acme("audit").out
    assert max(map(len, out.splitlines())) <= 80
    assert {"missing_identity", "idempotency_in_progress", "bad_signature", "settled", "409", "0.001235"} <= set(
        out.split()
    )
    assert all(len(each) == 10 for each in out.split() if each.startswith("20") and "-" in each)


def test_audit__state_that_is_none__is_refused(acme: Any) -> None:
    assert "a state is one of" in acme("audit", "--state", "lost", code=2).err


def test_audit__followed__shows_each_request_once_when_it_ends(
    acme: Any, meter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    looks = iter(
        [
            lambda: made.extend([serve(meter, end="never"), serve(meter)]),
            lambda: meter.store.call(Settle(made[0], "acme", meter.now_ms(), GWEI)),
            lambda: made.append(serve(meter, end="release")),
            lambda: None,
        ]
    )

    def sleep(_: float) -> None:
        look = next(looks, None)
        if look is None:
            raise KeyboardInterrupt
        look()

    monkeypatch.setattr("api_billing.cli.meter_records.time.sleep", sleep)
    ran = acme("audit", "--follow", "--json", code=130)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["id"] for each in lines if "id" in each] == [made[1], made[0], made[2]]


def test_audit__followed_from_before__shows_the_past_and_ends_with_until(acme: Any, meter: Any) -> None:
    past = serve(meter, ago_ms=2 * HOUR_MS)
    until = str(meter.now_ms() // 1000 - 3600)
    [line] = acme("audit", "--follow", "--since", "0", "--until", until, "--json").out.splitlines()
    assert json.loads(line)["id"] == past


def test_prune__dry_run__deletes_nothing(acme: Any, meter: Any) -> None:
    serve(meter, ago_ms=8 * DAY_MS)
    serve(meter, ago_ms=6 * DAY_MS)
    assert acme("prune", "--dry-run").out == "1 record would be deleted\n"
    assert len(acme("audit", "--json").json["records"]) == 2


def test_prune__past_retention__deletes_what_the_dry_run_said(acme: Any, meter: Any) -> None:
    serve(meter, ago_ms=8 * DAY_MS)
    kept = serve(meter, ago_ms=6 * DAY_MS)
    assert acme("prune", "--json").json == {"records": 1, "dry_run": False}
    assert [each["id"] for each in acme("audit", "--json").json["records"]] == [kept]


def test_prune__usage_not_in_a_batch__stays_with_a_contract(
    acme: Any, meter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BILLING_CONTRACT", "0x" + "11" * 20)
    serve(meter, ago_ms=8 * DAY_MS)
    assert acme("prune", "--dry-run", "--json").json["records"] == 0
    assert acme("prune", "--json").json["records"] == 0


def test_prune__somebody_looks__draws_its_progress(acme: Any, meter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    serve(meter, ago_ms=8 * DAY_MS)
    ran = acme("prune")
    assert ("deleting" in ran.err, "1 record deleted" in ran.out) == (True, True)


def test_batches__cut__are_listed(acme: Any, meter: Any) -> None:
    serve(meter)
    serve(meter)
    run(Cutter("weather").step(meter.now_ms()), meter.store.call)
    [batch] = acme("batches", "weather", "--json").json
    assert (batch["sequence"], batch["records"], batch["lines"][0]["amount_wei"]) == (1, 2, 2 * GWEI)
    assert "amount Gwei" in acme("batches", "weather").out
    assert "more" not in acme("batches", "weather").out
    assert acme("batches", "weather", "--limit", "1").out.endswith("\nmore: --after 1\n")


def test_batches__none__says_so(acme: Any) -> None:
    assert acme("batches", "weather").out == "no batches\n"


@pytest.mark.parametrize(("voucher", "signed_wei"), [(Voucher(NO_SALT, 7, "0x" + "11" * 65), 7), (None, None)])
def test_line_data__of_a_session__has_its_channel_and_what_is_signed(voucher: Any, signed_wei: int | None) -> None:
    line = BatchLine("weather/0x1", "0x1", 9, 2, 5, "0xc1", voucher, close=True)
    told = {"channel": "0xc1", "signed_wei": signed_wei, "close": True}
    assert line_data(line) == {**line_data(BatchLine("weather/0x1", "0x1", 9, 2, 5)), **told}
