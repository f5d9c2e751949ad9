"""Settings of a meter: keyword arguments, or environment variables ``API_BILLING_…``. Keywords win."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from api_billing.amounts import MAX_DECIMALS, Currency, parse_wei
from api_billing.metering.addresses import TrustedProxies
from api_billing.metering.alerts.alert import Threshold
from api_billing.metering.errors import InvalidSetting
from api_billing.networks import checked_address, find_network

PREFIX: Final = "API_BILLING_"
MAX_READS: Final = 1_000
# Header fields of ours that can be renamed, or left out.
FIELD_NAMES: Final = frozenset(
    {"ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-cost-wei"}
)
_RENAMED: Final = re.compile(r"([A-Za-z0-9-]+)=([A-Za-z0-9-]{0,64})")
SWITCHES: Final = ("enabled", "enforce_limits", "enforce_budgets", "send_alerts", "idempotency", "record_refusals")
_STATUS: Final = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9!#$%&'*+.^_`|~-]{0,31}")
# As browsers write it: they leave a scheme's own port out.
_ORIGIN: Final = re.compile(r"(http(?!.*:80$)|https(?!.*:443$))://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_CLOSE: Final = 0.85  # how alike names are, of 1, that one is taken for a slip of the other

_log = logging.getLogger("api_billing.metering")


def _split(value: object) -> object:
    # In the environment a list is written with commas.
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Wei = Annotated[int, BeforeValidator(lambda value: parse_wei(value) if isinstance(value, str) else value), Field(ge=0)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]


class MeterSettings(BaseSettings):
    """Everything that can be set. Immutable; make one with ``load``, which raises errors that say what to change."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    store_url: SecretStr = Field(
        SecretStr("sqlite:///meter.db"),
        description="Where usage is kept: `sqlite:///FILE`, `postgresql://…`, `redis://…`, or `memory://` for tests.",
    )
    currency: str = Field(
        "GEN", description="What money is counted in: `USD`, `credits` and so on; `GEN`, which a contract needs."
    )
    currency_decimals: int = Field(
        -1,
        ge=-1,
        le=MAX_DECIMALS,
        description="Decimals of the smallest amount; -1: `GEN` 18, money (three letters, or capitals) 9, else 0.",
    )
    include_paths: Texts = Field(
        ("**",),
        description="Paths that middleware meters, as the application's routes have them: `*` stands for a part without"
        " a slash, `**` for anything. What is decorated is metered in any case.",
    )
    exclude_paths: Texts = Field((), description="Paths that middleware lets pass unmetered, although included.")
    excluded_methods: Texts = Field(
        ("OPTIONS",),
        description="Methods that are not metered; of `OPTIONS` only CORS preflights that middleware lets pass.",
    )
    enabled: bool = Field(
        True, description="Off: everything is served unmetered, and nothing is asked of the store or the chain."
    )
    enforce_limits: bool = Field(
        True, description="Off: quotas, months of tiers and limits are counted, and refuse nothing."
    )
    enforce_budgets: bool = Field(True, description="Off: budgets are counted and warn, and refuse nothing.")
    send_alerts: bool = Field(True, description="Off: nobody is alerted, and nothing is looked at for it.")
    idempotency: bool = Field(
        True, description="Off: `Idempotency-Key` is ignored, so that each request is served and charged."
    )
    record_refusals: bool = Field(True, description="Off: refused requests leave no record in the audit log.")
    fail_open: bool = Field(
        False,
        description="Serve, and log, when the store is not available, at the start too; otherwise such requests get"
        " a 503. The HTTP meter answers 503 in any case: its services decide whether they serve.",
    )
    cache_seconds: int = Field(
        60, ge=0, le=86_400, description="How long API keys and profiles are believed without being looked up again."
    )
    budget_cache_seconds: int = Field(
        0, ge=0, le=3_600, description="How long a refusal by a budget is repeated without asking the store; 0: never."
    )
    trusted_proxies: Texts = Field(
        (),
        description="Addresses and networks of proxies that say for whom they ask, such as `10.0.0.0/8,unix` (`unix`:"
        " peers on a socket); of nobody else a header field is believed.",
    )
    proxy_header: str = Field(
        "X-Forwarded-For",
        max_length=64,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header field in which they say so: `X-Forwarded-For`, `Forwarded`, or one of theirs.",
    )
    reservation_seconds: int = Field(
        120, ge=1, le=86_400, description="After this time the reservation of a process that died is released."
    )
    sweep_seconds: int = Field(
        10, ge=1, le=3_600, description="How often reservations that have expired are looked for."
    )
    idempotency_hours: int = Field(
        24, ge=1, le=8_760, description="How long a response is kept for requests with the same `Idempotency-Key`."
    )
    max_stored_bytes: int = Field(
        262_144, ge=0, le=2**26, description="Larger response bodies are not kept for replay; a retry is refused (410)."
    )
    max_fingerprint_bytes: int = Field(
        1_048_576,
        ge=0,
        le=2**28,
        description="Larger request bodies are refused together with an `Idempotency-Key`, and where a callable of the"
        " terms asks for them.",
    )
    audit_bodies: bool = Field(
        False,
        description="Keep bodies in the audit log: of responses, and of requests as far as they were read for an"
        " `Idempotency-Key` or a term (`reads_body=True`).",
    )
    audit_body_bytes: int = Field(2_048, ge=0, le=2**20, description="How much of each body the audit log keeps.")
    key_pepper: SecretStr = Field(
        SecretStr(""),
        description="Secret for hashing API keys, at least 16 bytes; without it one is made next to an SQLite store.",
    )
    key_query: str = Field(
        "",
        max_length=64,
        pattern=r"^[A-Za-z0-9._~-]*$",
        description="Query parameter that may have an API key instead of a header, such as `api_key`; empty: none. URLs"
        " are kept in many places: for keys that are limited.",
    )
    limited_keys_read: bool = Field(
        False,
        description="Let API keys that are limited to some APIs, or have a cap, read their consumer's usage, and what"
        " is left of its limits, too.",
    )
    new_consumers: str = Field(
        "refuse",
        max_length=64,
        description="What becomes of an unknown identity: `refuse`, or the tier it starts with.",
    )
    fallback_percent: int = Field(
        10, ge=0, le=100, description="Share of the estimate that is charged when a price fails."
    )
    free_statuses: Texts = Field(
        ("500-599",), description="Responses with these statuses cost nothing, such as `500-599,404`."
    )
    renamed_fields: Texts = Field(
        (),
        description="Other names for header fields of ours, such as `X-Cost-Wei=X-Credits-Used`; `X-RateLimit-Reset=`"
        " leaves one out.",
    )
    contract: str = Field(
        "",
        description="Address of the billing contract: consumers are addresses then, and their holds on it pay."
        " Without it, credit is in the store.",
    )
    network: str = Field("localnet", description="Network of the billing contract.")
    url: str = Field(
        "", description="JSON-RPC address of a node of that network; by default its usual one.", repr=False
    )
    holds_from: Literal["finalized", "accepted"] = Field(
        "finalized",
        description="Serve on holds when they are final, or when they are `accepted`: an appeal can undo those.",
    )
    use_free_credit: bool = Field(
        False, description="Serve on consumers' free credit too, which they may withdraw before it is settled."
    )
    credit_refresh_seconds: int = Field(
        30, ge=1, le=3_600, description="How often holds, plans and prices of active consumers are read anew."
    )
    chain_grace_seconds: int = Field(
        900, ge=0, le=86_400, description="How long a known hold is served on while the chain cannot be read; then 503."
    )
    hold_margin_seconds: int = Field(
        900, ge=0, le=604_800, description="So long before a hold ends nothing new is served on it: time to settle."
    )
    reads_per_10_seconds: int = Field(
        0,
        ge=0,
        le=MAX_READS,
        description="How often the contract may be read in 10 seconds, by all processes of the store;"
        " 0: as often as the network allows.",
    )
    receipt_header: str = Field(
        "X-Receipt-Id",
        max_length=64,
        pattern=r"^[A-Za-z0-9-]*$",
        description="Header with the receipt of a call that the contract has billed; empty: none is looked for there.",
    )
    receipt_query: str = Field(
        "receipt",
        max_length=64,
        pattern=r"^[A-Za-z0-9._~-]*$",
        description="Query parameter with such a receipt; empty: none is looked for there.",
    )
    receipt_days: int = Field(
        2, ge=0, le=365, description="So many days after the day of its call a receipt can be used."
    )
    accepted_up_to_wei: Wei = Field(
        10**17,
        description="Serve for receipts that are accepted and not final while a consumer's spending at the API that is"
        " not final is at most this, such as `0.1gen`; 0: only for final ones.",
    )
    receipt_wait_seconds: int = Field(
        20, ge=0, le=300, description="How long requests with one receipt wait for the response to the first; then 409."
    )
    payments: Texts = Field(
        (),
        description="How unknown callers may pay, from sessions on the contract: `x402`, `mpp`, or both, the preferred"
        " one first; none: not at all.",
    )
    settle_apis: Texts = Field((), description="APIs that are settled here; none: `api-billing settle run` does.")
    settle_in: Literal["process", "thread"] = Field(
        "process",
        description="Settle in a `process` of its own, of which requests feel nothing, or in a `thread` of this one.",
    )
    settle_seconds: int = Field(60, ge=1, le=86_400, description="Pause between two rounds of settling.")
    settle_on: Literal["accepted", "finalized"] = Field(
        "accepted",
        description="Record settlements when `accepted` (what an appeal undoes is posted again) or `finalized`.",
    )
    settle_fee_budget_wei: Wei = Field(
        0,
        description="On a network with fees: what the settlements of one API may cost in a day (UTC), such as `0.5gen`;"
        " what is beyond it waits. 0: any amount, as far as the account has it.",
    )
    account: str = Field(
        "", description="Who signs settlements: a keystore's name or path, `env:VARIABLE`, or `localnet:N`."
    )
    alert_thresholds: Texts = Field(
        ("20%",),
        description="Credit left at which an alert is sent: `20%`, `24h` at the recent rate, or `0.5gen` (`5usd`, …).",
    )
    alert_webhook_url: str = Field(
        "", description="HTTPS URL that alerts are posted to; `http://` for this machine only.", repr=False
    )
    alert_webhook_secret: SecretStr = Field(
        SecretStr(""), description="Secret that posted alerts are signed with, at least 16 bytes."
    )
    alert_urls: Secrets = Field((), description="Further channels for alerts, as URLs of apprise (needs the package).")
    service_token: SecretStr = Field(
        SecretStr(""),
        description="Secret that services show the HTTP meter (`api-billing meter serve`), 16 bytes or more; with"
        " commas several, to change it: `new,old`.",
    )
    admin_token: SecretStr = Field(
        SecretStr(""),
        description="Secret that whoever administers the HTTP meter shows it, another one, or several as well; without"
        " it, it is not administered over HTTP.",
    )
    admin_origins: Texts = Field(
        (),
        description="Web pages that may ask the HTTP meter from a browser, with the admin token, such as the dapp at"
        " `http://127.0.0.1:4000`: scheme, host and port.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="How the meter's programs, and `configure_logging`, write log records: `text`, or `json` lines.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="From which level on they are written."
    )
    log_requests: bool = Field(False, description="Log a line for each metered request, beside the audit log.")
    tracing: bool = Field(
        False, description="Spans and figures for OpenTelemetry, whose SDK is the application's (needs `[otel]`)."
    )
    traced_consumers: Literal["none", "hash"] = Field(
        "none",
        description="Whether spans have a `hash` of the consumer's name, with `key_pepper` in it.",
    )
    metrics: bool = Field(False, description="Count for Prometheus (needs the package prometheus-client).")

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment, and what is given instead; a variable that is a slip of the pen is logged.

        Raises: InvalidSetting, which shows no values.
        """
        _tell_slips()
        try:
            return cls(**given)
        except ValidationError as exc:
            raise InvalidSetting("; ".join(_problem(error) for error in exc.errors(include_input=False))) from None
        except SettingsError as exc:
            raise InvalidSetting(f"an {PREFIX}… variable cannot be read: {exc}") from None

    @field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, value: object, info: ValidationInfo) -> object:
        # Pydantic takes True for 1.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is int:
            raise ValueError("a whole number is wanted, and no bool")
        return value

    @field_validator("include_paths", "exclude_paths")
    @classmethod
    def _paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not path.startswith(("/", "*")):
                raise ValueError(f"a path begins with / or *, not {path!r}")
        return paths

    @field_validator("excluded_methods")
    @classmethod
    def _methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        upper = tuple(method.upper() for method in methods)
        if not all(_METHOD.fullmatch(method) for method in upper):
            raise ValueError("methods are words like OPTIONS")
        return upper

    @field_validator("free_statuses", mode="after")
    @classmethod
    def _statuses(cls, statuses: tuple[str, ...]) -> tuple[str, ...]:
        for text in statuses:
            span = _STATUS.fullmatch(text)
            if span is None or int(span[2] or span[1]) < int(span[1]):
                raise ValueError("statuses are like 404 or 500-599")
        return statuses

    @field_validator("renamed_fields")
    @classmethod
    def _renamed(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        for pair in pairs:
            if (found := _RENAMED.fullmatch(pair)) is None or found[1].lower() not in FIELD_NAMES:
                raise ValueError(f"fields are renamed like X-Cost-Wei=X-Credits-Used: {', '.join(sorted(FIELD_NAMES))}")
        return pairs

    @field_validator("key_pepper", "alert_webhook_secret", "service_token", "admin_token")
    @classmethod
    def _secret(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value().encode()) < 16:
            raise ValueError("a secret has at least 16 bytes; make one with: openssl rand -hex 32")
        return secret

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, trusted: tuple[str, ...]) -> tuple[str, ...]:
        try:
            TrustedProxies(trusted, "")
        except ValueError as error:
            raise ValueError(f"proxies are addresses, networks such as 10.0.0.0/8, or unix: {error}") from None
        return trusted

    @field_validator("admin_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [each for each in origins if not _ORIGIN.fullmatch(each)]:
            raise ValueError(f"an origin is like https://dapp.example, without a path: {wrong[0]!r} is none")
        return origins

    @field_validator("contract")
    @classmethod
    def _contract(cls, contract: str) -> str:
        return checked_address(contract) if contract else ""

    @field_validator("network")
    @classmethod
    def _network(cls, network: str) -> str:
        return find_network(network).name

    @field_validator("payments")
    @classmethod
    def _protocols(cls, payments: tuple[str, ...]) -> tuple[str, ...]:
        if not set(payments) <= {"x402", "mpp"} or len(set(payments)) != len(payments):
            raise ValueError("payments are x402, mpp, or both")
        return payments

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        name = "currency"
        try:
            money = self.money
            if self.contract and not money.is_gen:
                raise ValueError(f"a contract takes GEN, and no {money.code}")
            name = "alert_thresholds"
            _ = self.thresholds
        except ValueError as error:
            raise ValueError(f"{name} ({PREFIX}{name.upper()}): {error}") from error
        return self

    @model_validator(mode="after")
    def _paying(self) -> Self:
        if self.payments and not self.contract:
            raise ValueError("payments needs contract, on which sessions are opened")
        return self

    @model_validator(mode="after")
    def _settling(self) -> Self:
        if self.settle_apis and not (self.contract and self.account):
            raise ValueError("settle_apis needs contract, and account, which signs settlements")
        return self

    @model_validator(mode="after")
    def _webhook(self) -> Self:
        if self.alert_webhook_url and not self.alert_webhook_secret.get_secret_value():
            raise ValueError("alert_webhook_url needs alert_webhook_secret, which alerts are signed with")
        return self

    @property
    def switched_off(self) -> list[str]:
        """The switches for an emergency that are off."""
        return [name for name in SWITCHES if not getattr(self, name)]

    @property
    def reads_allowed(self) -> int:
        """How often the contract may be read in 10 seconds."""
        network = find_network(self.network, self.url or None)
        return self.reads_per_10_seconds or network.reads_per_10_seconds or MAX_READS

    @cached_property
    def free(self) -> frozenset[int]:
        """The statuses of responses that cost nothing."""
        spans = [_STATUS.fullmatch(text) for text in self.free_statuses]
        return frozenset(
            status for span in spans if span for status in range(int(span[1]), int(span[2] or span[1]) + 1)
        )

    @cached_property
    def field_names(self) -> Mapping[str, str]:
        """The names of header fields that have another one, all in small letters; empty: it is left out."""
        return dict([pair.lower().split("=") for pair in self.renamed_fields])

    @cached_property
    def proxies(self) -> TrustedProxies | None:
        """Who may say for whom they ask; None: nobody."""
        return TrustedProxies(self.trusted_proxies, self.proxy_header) if self.trusted_proxies else None

    @cached_property
    def thresholds(self) -> tuple[Threshold, ...]:
        """When alerts about credit are sent."""
        return tuple(Threshold.parse(text, self.money) for text in self.alert_thresholds)

    @cached_property
    def money(self) -> Currency:
        """The currency that money is counted in."""
        return Currency(self.currency, self.currency_decimals)

    @cached_property
    def unmetered_methods(self) -> frozenset[str]:
        """Methods whose requests are not metered. Those of ``OPTIONS`` are, as what answers them may be any handler:
        see ``web.preflights``.
        """
        return frozenset(self.excluded_methods) - {"OPTIONS"}

    @cached_property
    def covers(self) -> Callable[[str, str, str], bool]:
        """A function of method, path and what stands before it (an ASGI ``root_path``): whether middleware meters such
        requests. A path is what the application's routes are found by; it is included by its whole, too.
        """
        # Patterns of routes that end in "$" match a line end behind the path, too.
        included, excluded = _pattern(self.include_paths, "\n?"), _pattern(self.exclude_paths)
        methods = self.unmetered_methods

        @lru_cache(1_000)
        def covers(method: str, path: str, mount: str = "") -> bool:
            is_included = included(path) or (mount and included(mount + path))
            return method not in methods and bool(is_included) and not excluded(path)

        return covers


class SettingRow(NamedTuple):
    """One setting, as the documentation's table has it."""

    name: str
    variable: str
    default: str
    description: str


def setting_rows() -> list[SettingRow]:
    """All settings in their order: what the table in the documentation is made of."""
    return [
        SettingRow(name, PREFIX + name.upper(), _shown(field.default), field.description or "")
        for name, field in MeterSettings.model_fields.items()
    ]


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _tell_slips() -> None:
    """Log variables that are no setting, but nearly: a switch that nobody hears is believed to be thrown."""
    settings = MeterSettings.model_fields
    given = [name.upper().removeprefix(PREFIX).lower() for name in os.environ if name.upper().startswith(PREFIX)]
    for name in set(given) - settings.keys():
        for close in get_close_matches(name, settings, 1, _CLOSE):
            _log.warning("%s%s is no setting: is %s%s meant?", PREFIX, name.upper(), PREFIX, close.upper())


def _problem(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    text = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        close = get_close_matches(name, MeterSettings.model_fields, 1, _CLOSE)
        return f"there is no setting {name}" + (f": is {close[0]} meant?" if close else "")
    return f"{name} ({PREFIX}{name.upper()}): {text}" if name else text


def _pattern(paths: Iterable[str], end: str = "") -> Callable[[str], object]:
    parts = ["".join(_glob(piece) for piece in re.split(r"(\*\*|\*)", path)) for path in paths]
    return re.compile("|".join(f"(?:{part}{end})" for part in parts) if parts else r"(?!)", re.DOTALL).fullmatch


def _glob(piece: str) -> str:
    return {"**": ".*", "*": "[^/]*"}.get(piece) or re.escape(piece)
