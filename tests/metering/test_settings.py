"""Settings: keywords, environment, defaults, and messages that help and give nothing away."""

import os
from typing import Any

import pytest

from api_billing.amounts import GEN, Currency
from api_billing.metering.alerts.alert import Threshold
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.settings import MAX_READS, PREFIX, MeterSettings, setting_rows

SECRET = "a secret of the tests"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def test_load__nothing_given__has_safe_defaults() -> None:
    settings = MeterSettings.load()
    assert (settings.fail_open, settings.audit_bodies, settings.new_consumers) == (False, False, "refuse")


def test_load__environment__is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_FALLBACK_PERCENT", "25")
    assert MeterSettings.load().fallback_percent == 25


def test_load__keyword_and_environment__keyword_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_FALLBACK_PERCENT", "25")
    assert MeterSettings.load(fallback_percent=30).fallback_percent == 30


def test_load__amount_in_the_environment__may_have_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_ACCEPTED_UP_TO_WEI", "0.5gen")
    assert MeterSettings.load().accepted_up_to_wei == 5 * 10**17


def test_load__amount_that_is_none__is_refused() -> None:
    with pytest.raises(InvalidSetting, match="accepted_up_to_wei"):
        MeterSettings.load(accepted_up_to_wei="much")


def test_load__list_in_the_environment__is_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_EXCLUDE_PATHS", "/health, /docs/**,")
    assert MeterSettings.load().exclude_paths == ("/health", "/docs/**")


def test_load__variables_of_the_command_line__are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_PASSWORD_FILE", "x")
    assert MeterSettings.load().contract == ""


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"fallback_percent": 101}, "fallback_percent"),
        ({"fallback_percent": -1}, "fallback_percent"),
        ({"reservation_seconds": 0}, "reservation_seconds"),
        ({"cache_seconds": "soon"}, "cache_seconds"),
        ({"cache_seconds": True}, "cache_seconds"),
        ({"fail_open": "perhaps"}, "fail_open"),
        ({"free_statuses": "600"}, "free_statuses"),
        ({"free_statuses": "500-400"}, "free_statuses"),
        ({"alert_thresholds": ("101%",)}, "alert_thresholds"),
        ({"alert_thresholds": "1,000gen"}, "alert_thresholds"),  # a list of two
        ({"include_paths": ("health",)}, "include_paths"),
        ({"excluded_methods": ("GET POST",)}, "excluded_methods"),
        ({"alert_webhook_url": "https://x"}, "alert_webhook_secret"),
        ({"key_peper": SECRET}, "key_peper"),
    ],
)
def test_load__value_that_cannot_be__invalid_setting_names_it(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        MeterSettings.load(**given)


def test_load__several_wrong__all_are_named() -> None:
    with pytest.raises(InvalidSetting, match=r"fallback_percent.*; .*free_statuses"):
        MeterSettings.load(fallback_percent=101, free_statuses="x")


@pytest.mark.parametrize("name", ["key_pepper", "alert_webhook_secret"])
def test_load__short_secret__is_refused_without_showing_it(name: str) -> None:
    with pytest.raises(InvalidSetting, match=name) as refused:
        MeterSettings.load(**{name: "hunter2"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["store_url", "key_pepper", "alert_webhook_secret", "alert_urls"])
def test_repr__secrets__are_hidden(name: str) -> None:
    value: Any = (SECRET,) if name == "alert_urls" else SECRET
    settings = MeterSettings.load(**{name: value})
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings__are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        MeterSettings.load().fail_open = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("method", "path", "covered"),
    [
        ("GET", "/v1/a", True),
        ("GET", "/v1/a/b", False),
        ("GET", "/v2/a/b", True),
        ("GET", "/v2/private", False),
        ("GET", "/v2/privately", True),
        ("OPTIONS", "/v1/a", True),
        ("TRACE", "/v1/a", False),
        ("HEAD", "/v1/a", True),
        ("GET", "/other", False),
        ("GET", "/v2/a\nb", True),
    ],
)
def test_covers__paths_and_methods__decide(method: str, path: str, covered: bool) -> None:
    settings = MeterSettings.load(
        include_paths=("/v1/*", "/v2/**"), exclude_paths=("/v2/private",), excluded_methods=("OPTIONS", "TRACE")
    )
    assert settings.covers(method, path) == covered


def test_covers__defaults__are_everything() -> None:
    covers = MeterSettings.load().covers
    assert [covers(method, "/a/b") for method in ("GET", "POST", "HEAD", "OPTIONS")] == [True] * 4


def test_covers__characters_of_patterns__stand_for_themselves() -> None:
    covers = MeterSettings.load(include_paths=("/a.b+[c]",)).covers
    assert (covers("GET", "/a.b+[c]"), covers("GET", "/axbbc")) == (True, False)


def test_covers__included_nothing__is_nothing() -> None:
    assert not MeterSettings.load(include_paths=()).covers("GET", "/")


def test_free__defaults__are_server_errors() -> None:
    assert MeterSettings.load().free == frozenset(range(500, 600))


def test_free__single_and_span__are_both_in() -> None:
    assert MeterSettings.load(free_statuses="404,500-501").free == {404, 500, 501}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, MAX_READS),
        ({"network": "studionet"}, 20),
        ({"network": "studionet", "url": "http://127.0.0.1:4000/api"}, MAX_READS),
        ({"network": "studionet", "reads_per_10_seconds": 5}, 5),
        ({"reads_per_10_seconds": 7}, 7),
    ],
)
def test_reads_allowed__unless_set__is_what_the_network_allows(given: dict[str, Any], allowed: int) -> None:
    assert MeterSettings.load(**given).reads_allowed == allowed


def test_thresholds__texts__are_read() -> None:
    assert MeterSettings.load(alert_thresholds="20%,24h").thresholds == (
        Threshold(20, "percent"),
        Threshold(24, "hours"),
    )


def test_setting_rows__every_setting__has_variable_and_description() -> None:
    rows = setting_rows()
    assert [row.name for row in rows] == list(MeterSettings.model_fields)
    assert all(row.variable == PREFIX + row.name.upper() and row.description.endswith(".") for row in rows)


def test_setting_rows__shown_default__gives_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in setting_rows():
        if row.default:
            monkeypatch.setenv(row.variable, row.default)
    read = MeterSettings.load()
    monkeypatch.undo()
    assert read == MeterSettings.load()


@pytest.mark.parametrize(
    ("given", "currency"),
    [
        ({}, GEN),
        ({"currency": "usd"}, Currency("USD", 9)),
        ({"currency": "credits"}, Currency("credits", 0)),
        ({"currency": "EUR", "currency_decimals": 2}, Currency("EUR", 2)),
    ],
)
def test_money__currency_and_decimals__are_those_of_the_meter(given: dict[str, Any], currency: Currency) -> None:
    assert MeterSettings.load(**given).money == currency


def test_load__threshold_in_the_currency__is_read() -> None:
    settings = MeterSettings.load(currency="USD", alert_thresholds="20%,5 usd")
    assert settings.thresholds[1] == Threshold(5 * 10**9, "wei")


@pytest.mark.parametrize(
    ("given", "because"),
    [
        ({"currency": "$"}, r"currency \(API_BILLING_CURRENCY\): a currency is called by 3 to 16 letters"),
        ({"currency": "GEN", "currency_decimals": 9}, "GEN has 18 decimals"),
        ({"currency": "USD", "alert_thresholds": "0.5gen"}, r"alert_thresholds \(.*24h or 0.5usd, not '0.5gen'"),
        ({"currency": "USD", "contract": "0x" + "ab" * 20}, "a contract takes GEN, and no USD"),
    ],
)
def test_load__amount_or_contract_of_another_currency__says_so(given: dict[str, Any], because: str) -> None:
    with pytest.raises(InvalidSetting, match=because):
        MeterSettings.load(**given)


@pytest.mark.parametrize(("name", "told"), [("store_ur", "store_ur: is store_url meant?"), ("zzz", "zzz$")])
def test_load__setting_that_there_is_not__is_told_with_what_is_meant(name: str, told: str) -> None:
    with pytest.raises(InvalidSetting, match=f"there is no setting {told}"):
        MeterSettings.load(**{name: "x"})


def test_environment__variable_that_is_nearly_a_setting__is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("API_BILLING_ENFORCE_LIMIT", "secret")
    monkeypatch.setenv("API_BILLING_MAX_FEE", "1gen")  # of the commands
    MeterSettings.load()
    assert caplog.messages == ["API_BILLING_ENFORCE_LIMIT is no setting: is API_BILLING_ENFORCE_LIMITS meant?"]


def test_environment__variables_of_the_commands__are_no_slips_of_settings(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (
        "PIN",
        "PAYER_FILE",
        "DEPLOYMENTS",
        "PASSWORD_FILE",
        "PASSWORD",
        "KEYS",
        "ON",
        "MAX_FEE",
        "FEE_PROFILE",
    ):
        monkeypatch.setenv(f"API_BILLING_{name}", "x")
    MeterSettings.load()
    assert caplog.messages == []
