"""The rows of the ledger: what they hold. At the end are the tables that stores make of them (see ``kinds``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.consumer_operations import ApiKey
from api_billing.metering.ledger.documents import (
    budgets_from_text,
    headers_from_text,
    headers_to_text,
    lines_from_text,
    names_from_text,
    names_to_text,
    quotas_from_text,
    quotas_to_text,
    windows_from_text,
    windows_to_text,
)
from api_billing.metering.ledger.kinds import Key, Kind, Row, Values, kind_of
from api_billing.metering.ledger.operations import (
    NO_BALANCE,
    NO_OUTCOME,
    Balance,
    Claim,
    GrantMade,
    Outcome,
    Record,
    Reserve,
    State,
    StoredResponse,
    UsageDay,
)
from api_billing.metering.ledger.session_rows import CHANNELS, SESSIONS
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.ledger.vouchers import BySession
from api_billing.metering.limits.moving import Moving
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier

_CUT_OFF: Final = 0  # the status of a claim that has no response to give again; its body is what was paid, as text


class AccountRow(Row):
    """The money of one account."""

    __slots__ = ("account", "basis_wei", "charged_wei", "epoch", "granted_wei", "reserved_wei")

    def __init__(self, account: str, balance: Balance = NO_BALANCE) -> None:
        self.stored = self.touched = self.gone = False
        self.account = account
        self.granted_wei, self.reserved_wei, self.charged_wei, self.basis_wei, self.epoch = balance

    def balance(self) -> Balance:
        """A snapshot to hand out."""
        return Balance(self.granted_wei, self.reserved_wei, self.charged_wei, self.basis_wei, self.epoch)

    @property
    def key(self) -> Key:
        return (self.account,)

    def values(self) -> Values:
        return (
            self.account, str(self.granted_wei), str(self.reserved_wei), str(self.charged_wei), str(self.basis_wei),
            self.epoch,
        )  # fmt: skip

    @classmethod
    def make(cls, values: Sequence[Any]) -> AccountRow:
        """The account of such values."""
        account, *money = values
        return cls(account, Balance(*map(int, money)))


@dataclass(slots=True, eq=False)
class CountRow(Row):
    """How much is counted in one window."""

    counter: str
    starts_ms: int
    ends_ms: int
    used: int = 0
    state: str = ""  # of a window that slides, and of a bucket: when what was counted; of others: when they were reset
    moving: Moving | None = None  # the same, once it was looked at

    @property
    def key(self) -> Key:
        return (self.counter, self.starts_ms)

    def values(self) -> Values:
        state = self.state if self.moving is None else self.moving.text()
        return (self.counter, self.starts_ms, self.ends_ms, str(self.used), state)

    @classmethod
    def make(cls, values: Sequence[Any]) -> CountRow:
        """The count of such values."""
        counter, starts_ms, ends_ms, used, state = values
        return cls(counter, starts_ms, ends_ms, int(used), state)


class RequestRow(Row):
    """One request from its reservation, or its refusal, on."""

    __slots__ = (
        "batch",
        "charged_wei",
        "code",
        "counts",
        "ended_ms",
        "expires_ms",
        "late",
        "more_wei",
        "outcome",
        "reserve",
        "state",
        "uncollected_wei",
        "units",
    )

    def __init__(self, reserve: Reserve, counts: list[CountRow] | None = None) -> None:
        self.stored = self.touched = self.gone = False
        self.reserve = reserve
        self.counts = counts  # of the windows it counts in, in the order of ``reserve.checks``; None: not looked up
        self.state: State = "reserved"
        self.expires_ms = reserve.expires_ms
        self.units = reserve.units
        self.more_wei = 0  # what is set aside beyond the estimate that it was reserved with
        self.charged_wei = 0
        self.uncollected_wei = 0
        self.ended_ms = 0
        self.late = False
        self.code = ""
        self.outcome = NO_OUTCOME
        self.batch = 0

    @property
    def key(self) -> Key:
        return (self.reserve.reservation_id,)

    @property
    def estimate_wei(self) -> int:
        """What is set aside for it while it is served."""
        return self.reserve.estimate_wei + self.more_wei

    def values(self) -> Values:
        made = self.reserve
        key, fingerprint = made.claim or (None, None)
        by = made.session
        paid_by = ("", "0") if by is None else (by.channel_id, str(by.cumulative_wei))
        return (
            made.reservation_id, made.now_ms, made.api, made.consumer, made.account, made.tier, made.method, made.route,
            made.request_id, str(made.estimate_wei), windows_to_text(made.checks), key, fingerprint,
            made.claim_expires_ms, *paid_by, *self.changing(),
        )  # fmt: skip

    def changing(self) -> Values:
        end = self.outcome
        return (
            self.state, self.expires_ms, self.units, str(self.more_wei), str(self.charged_wei),
            str(self.uncollected_wei), self.ended_ms, int(self.late), self.code, end.status, end.duration_ms,
            end.response_bytes, end.error, end.tags, self.batch,
        )  # fmt: skip

    @classmethod
    def make(cls, values: Sequence[Any]) -> RequestRow:
        """The request of such values, without the bodies of its outcome."""
        request = cls(reserve_of(values))
        (
            request.state, request.expires_ms, request.units, more, charged, uncollected, request.ended_ms, late,
            request.code, status, duration_ms, response_bytes, error, tags, request.batch,
        ) = values[REQUESTS.fixed :]  # fmt: skip
        request.more_wei, request.charged_wei, request.uncollected_wei = int(more), int(charged), int(uncollected)
        request.late = bool(late)
        request.outcome = Outcome(status, duration_ms, response_bytes, error, tags)
        return request

    @classmethod
    def refused(cls, record: Record) -> RequestRow:
        """The row of what was not reserved."""
        reserve = Reserve(
            record.record_id, record.at_ms, 0, record.account, record.api, record.consumer, record.estimate_wei,
            record.units, tier=record.tier, method=record.method, route=record.route, request_id=record.request_id,
        )  # fmt: skip
        request = cls(reserve, [])
        request.state, request.ended_ms, request.code, request.outcome = (
            record.state,
            record.ended_ms,
            record.code,
            record.outcome,
        )
        return request

    def record(self, bodies: BodiesRow | None = None) -> Record:
        """Its record, with the bodies that are kept of it."""
        made, outcome = self.reserve, self.outcome
        if bodies is not None:
            outcome = outcome._replace(request_body=bodies.request_body, response_body=bodies.response_body)
        return Record(
            made.reservation_id, made.now_ms, self.state, made.api, made.consumer, made.account, made.tier, made.method,
            made.route, made.request_id, self.units, self.estimate_wei, self.charged_wei, self.uncollected_wei,
            self.ended_ms, self.late, self.code, outcome, self.batch, made.checks,
        )  # fmt: skip

    def usage_line(self) -> UsageLine:
        """What a batch says of it."""
        made = self.reserve
        channel = "" if made.session is None else made.session.channel_id
        return UsageLine(
            made.reservation_id, made.api, made.account, made.consumer, made.now_ms, self.units, self.charged_wei,
            channel,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class BodiesRow(Row):
    """What the audit log was told to keep of a request's bodies."""

    record_id: str
    request_body: bytes | None
    response_body: bytes | None

    def values(self) -> Values:
        return (self.record_id, self.request_body, self.response_body)


@dataclass(slots=True, eq=False)
class ClaimRow(Row):
    """An idempotency key in use: by a request being served, with the response it got, or with what was paid for it when
    its response was cut off (``paid_wei``, the sum of all attempts).
    """

    consumer: str
    claim_key: str
    fingerprint: str
    reservation_id: str
    expires_ms: int
    response: StoredResponse | None = None
    paid_wei: int = 0

    @property
    def key(self) -> Key:
        return (self.consumer, self.claim_key)

    def values(self) -> Values:
        kept = self.response
        if kept is None and self.paid_wei:
            kept = StoredResponse(_CUT_OFF, (), str(self.paid_wei).encode())
        response = (None, None, None) if kept is None else (kept.status, headers_to_text(kept.headers), kept.body)
        return (self.consumer, self.claim_key, self.fingerprint, self.reservation_id, self.expires_ms, *response)

    @property
    def outlasts_its_request(self) -> bool:
        """Whether it stays until ``expires_ms``, whatever becomes of its request."""
        return self.response is not None or self.paid_wei > 0

    @classmethod
    def make(cls, values: Sequence[Any]) -> ClaimRow:
        """The claim of such values."""
        consumer, claim_key, fingerprint, reservation_id, expires_ms, status, headers, body = values
        row = cls(consumer, claim_key, fingerprint, reservation_id, expires_ms)
        if status == _CUT_OFF:
            row.paid_wei = int(body)
        elif status is not None:
            row.response = StoredResponse(status, headers_from_text(headers), body)
        return row


@dataclass(slots=True, eq=False)
class UsageRow(Row):
    """The sums of one API, consumer and day."""

    api: str
    consumer: str
    day: int
    calls: int = 0
    units: int = 0
    charged_wei: int = 0
    uncollected_wei: int = 0

    @property
    def key(self) -> Key:
        return (self.api, self.consumer, self.day)

    def values(self) -> Values:
        sums = (self.calls, str(self.units), str(self.charged_wei), str(self.uncollected_wei))
        return (self.api, self.consumer, self.day, *sums)

    @classmethod
    def make(cls, values: Sequence[Any]) -> UsageRow:
        """The sums of such values."""
        api, consumer, day, *sums = values
        return cls(api, consumer, day, *map(int, sums))

    def usage_day(self) -> UsageDay:
        """The sums to hand out."""
        sums = (self.calls, self.units, self.charged_wei, self.uncollected_wei)
        return UsageDay(self.api, self.consumer, self.day, *sums)


class Plain(Row):
    """A row that is only its values."""

    __slots__ = ("_values",)

    def __init__(self, *values: Any) -> None:
        self.stored = self.touched = self.gone = False
        self._values = values

    def values(self) -> Values:
        return self._values


class GrantRow(Plain):
    """A grant that was made: id, account, amount, instant, note."""

    @property
    def account(self) -> str:
        """Whose it is."""
        return self._values[1]  # type: ignore[no-any-return]

    @property
    def amount_wei(self) -> int:
        """How much was added; negative when it was taken back."""
        return int(self._values[2])

    def made(self) -> GrantMade:
        """The grant to hand out."""
        grant_id, _, amount_wei, at_ms, note = self._values
        return GrantMade(grant_id, at_ms, int(amount_wei), note)


@dataclass(slots=True, eq=False)
class ConsumerRow(Row):
    """A consumer, with its quotas and budgets as texts (see ``documents``)."""

    consumer: str
    tier: str
    disabled: int
    quotas: str
    budgets: str
    version: int

    def values(self) -> Values:
        return (self.consumer, self.tier, self.disabled, self.quotas, self.budgets, self.version)

    def profile(self, tier: Tier, tiers_version: int) -> Profile:
        """What is known of it."""
        return Profile(
            self.consumer,
            tier,
            max(self.version, tiers_version),
            bool(self.disabled),
            quotas_from_text(self.quotas),
            budgets_from_text(self.budgets),
        )


class TierRow(Plain):
    """A tier: name, monthly calls as a text, retention, quotas as a text."""

    def tier(self) -> Tier:
        """The tier."""
        name, monthly_calls, retention_days, quotas = self._values
        calls = None if monthly_calls is None else int(monthly_calls)
        return Tier(name, calls, retention_days, quotas_from_text(quotas))


class LimitsRow(Plain):
    """The limits of an API that were set at run time, as a text."""

    @property
    def api(self) -> str:
        """Which API."""
        return self._values[0]  # type: ignore[no-any-return]

    @property
    def limits(self) -> str:
        """The limits."""
        return self._values[1]  # type: ignore[no-any-return]


class KeyRow(Plain):
    """An API key: the fields of ``ApiKey`` in their order, its APIs and quotas as texts (see ``documents``)."""

    @classmethod
    def of(cls, key: ApiKey) -> KeyRow:
        """The row of a key."""
        *plain, apis, quotas, first = (getattr(key, name) for name in ApiKey.__slots__)
        return cls(*plain, names_to_text(apis), quotas_to_text(quotas), first)

    def api_key(self) -> ApiKey:
        """The key."""
        *plain, apis, quotas, first = self._values
        return ApiKey(*(*plain, names_from_text(apis), quotas_from_text(quotas), first))


@dataclass(slots=True, eq=False)
class NumberRow(Row):
    """A number under a name, as the version of profiles."""

    name: str
    value: int = 0

    def values(self) -> Values:
        return (self.name, self.value)


class FiredRow(Plain):
    """What happens once: its name, and when that may be forgotten."""

    @property
    def expires_ms(self) -> int:
        """When that is."""
        return self._values[1]  # type: ignore[no-any-return]


@dataclass(slots=True, eq=False)
class DocumentRow(Row):
    """A document of settlement, as JSON has it, under a name."""

    name: str
    content: Any = None

    @property
    def key(self) -> Key:
        return (self.name,)

    def values(self) -> Values:
        # In ASCII: what a node says went wrong may have what no encoding can write.
        return (self.name, json.dumps(self.content, separators=(",", ":")))

    @classmethod
    def make(cls, values: Sequence[Any]) -> DocumentRow:
        """The document of such values."""
        return cls(values[0], json.loads(values[1]))


class BatchRow(Plain):
    """A batch that was cut: API, sequence, instant, lines as a text, number of requests, root."""

    def batch(self) -> Batch:
        """The batch."""
        api, sequence, created_ms, lines, records, root = self._values
        return Batch(api, sequence, created_ms, lines_from_text(lines), records, root)


NUMBERS: Final = kind_of(NumberRow, "numbers", "name:name", "", "value:int")
TIERS: Final = kind_of(TierRow, "tiers", "name:name", "", "monthly_calls:text? retention_days:int quotas:text")
LIMITS: Final = kind_of(LimitsRow, "limits", "api:name", "", "limits:text")
CONSUMERS: Final = kind_of(
    ConsumerRow, "consumers", "consumer:name", "", "tier:name disabled:int quotas:text budgets:text version:int"
)
API_KEYS: Final = kind_of(
    KeyRow,
    "api_keys",
    "key_id:name",
    "",
    "digest:text consumer:name tier:text label:text created_ms:int revoked_ms:int? expires_ms:int?"
    " apis:text quotas:text first:name",
)
FIRED: Final = kind_of(FiredRow, "fired", "name:name", "expires_ms:int")
DOCUMENTS: Final = kind_of(DocumentRow, "documents", "name:name", "", "content:text")
BATCHES: Final = kind_of(
    BatchRow, "batches", "api:name sequence:int", "created_ms:int lines:text records:int root:text"
)
GRANTS: Final = kind_of(GrantRow, "grants", "grant_id:name", "account:text amount_wei:wei at_ms:int note:text")
REQUESTS: Final = kind_of(
    RequestRow,
    "requests",
    "record_id:name",
    "at_ms:int api:name consumer:name account:name tier:name method:text route:text request_id:text estimate_wei:wei"
    " windows:text claim_key:text? claim_fingerprint:text? claim_expires_ms:int channel:text voucher_wei:wei",
    "state:text expires_ms:int units:int more_wei:wei charged_wei:wei uncollected_wei:wei ended_ms:int late:int"
    " code:text status:int duration_ms:int response_bytes:int error:text tags:text batch:int",
)
BODIES: Final = kind_of(BodiesRow, "bodies", "record_id:name", "request_body:bytes? response_body:bytes?")
CLAIMS: Final = kind_of(
    ClaimRow,
    "claims",
    "consumer:name claim_key:name",
    "",
    "fingerprint:text reservation_id:text expires_ms:int status:int? headers:text? body:bytes?",
)
ACCOUNTS: Final = kind_of(
    AccountRow,
    "accounts",
    "account:name",
    "",
    "granted_wei:wei reserved_wei:wei charged_wei:wei basis_wei:wei epoch:int",
)
COUNTS: Final = kind_of(CountRow, "counts", "counter:name starts_ms:int", "", "ends_ms:int used:wei state:text")
USAGE: Final = kind_of(
    UsageRow,
    "usage_days",
    "api:name consumer:name day:int",
    "",
    "calls:int units:wei charged_wei:wei uncollected_wei:wei",
)

KINDS: Final[tuple[Kind, ...]] = (
    NUMBERS, TIERS, LIMITS, CONSUMERS, API_KEYS, FIRED, DOCUMENTS, BATCHES, GRANTS, REQUESTS, BODIES, CLAIMS, ACCOUNTS,
    COUNTS, USAGE, SESSIONS, CHANNELS,
)  # fmt: skip
"""In the order in which their rows are locked and written, by whoever locks."""


def reserve_of(values: Sequence[Any]) -> Reserve:
    """What was asked for when a request was reserved, of the columns of ``REQUESTS`` that never change."""
    (
        record_id, at_ms, api, consumer, account, tier, method, route, request_id, estimate_wei, windows, claim_key,
        fingerprint, claim_expires_ms, channel, voucher_wei,
    ) = values[: REQUESTS.fixed]  # fmt: skip
    return Reserve(
        reservation_id=record_id,
        now_ms=at_ms,
        expires_ms=0,
        account=account,
        api=api,
        consumer=consumer,
        estimate_wei=int(estimate_wei),
        checks=windows_from_text(windows),
        claim=None if claim_key is None else Claim(claim_key, fingerprint),
        claim_expires_ms=claim_expires_ms,
        tier=tier,
        method=method,
        route=route,
        request_id=request_id,
        session=BySession("", channel, cumulative_wei=int(voucher_wei)) if channel else None,
    )
