"""Administration over HTTP: consumers, keys, credit, tiers and statements, for whoever shows the admin token.

What is asked here is rare. So routes are plain functions, which FastAPI calls in threads, and ask the meter as any
application does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Path, Query, Security
from fastapi.security import HTTPBearer

from api_billing.metering.errors import (
    IdConflict,
    InvalidSetting,
    MeterError,
    StoreUnavailable,
    UnknownConsumer,
    UnknownKey,
    UnknownTier,
)
from api_billing.metering.ledger.consumer_operations import ListKeys, ListProfiles
from api_billing.metering.ledger.operations import ReadCounts
from api_billing.metering.limits.plan import make_plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import all_in
from api_billing.metering.meter import Meter
from api_billing.metering.request.identity import consumer_name
from api_billing.metering.service import admin_bodies as bodies
from api_billing.metering.service.access import Access
from api_billing.metering.service.bodies import BalanceBody, ConsumerBalance, LimitBody, counted
from api_billing.metering.service.body_limit import CONSUMERS, CREDIT, KEYS, STATEMENTS, SUMMARY, TIERS
from api_billing.metering.service.day_sums import DaySums
from api_billing.metering.service.problems import ServiceProblem, documented, known_query
from api_billing.metering.service.summary import Summary
from api_billing.metering.statements import Days, make_statement
from api_billing.metering.stores.steps import run

_PAGE: Final = 100

After = Annotated[str, Query(max_length=200, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Consumer = Annotated[str, Path(min_length=1, max_length=200)]
KeyId = Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,64}$")]
_NO_ROTATION: Final = bodies.RotationBody.model_validate({})


def of_admins(access: Access) -> dict[str, Any]:
    """What a route has that only the admin token opens."""
    token = HTTPBearer(auto_error=False, scheme_name="admin_token", description="The admin token")
    return {
        "dependencies": [Security(token), Depends(access.require_admin), Depends(known_query)],
        "tags": ["administration"],
    }


@contextmanager
def telling() -> Iterator[None]:
    """What the meter has against it, told to who administers it."""
    try:
        yield
    except StoreUnavailable:
        raise
    except (UnknownConsumer, UnknownKey) as error:
        raise ServiceProblem("not_found", str(error)) from error
    except (InvalidSetting, UnknownTier) as error:
        raise ServiceProblem("invalid_request", str(error)) from error
    except IdConflict as error:
        raise ServiceProblem("id_conflict", str(error)) from error
    except MeterError as error:
        raise ServiceProblem("not_possible", str(error)) from error


class Routes:
    """The routes of administration."""

    def __init__(self, meter: Meter, access: Access, days: DaySums) -> None:
        self._meter = meter
        self._access = access
        self._summary = Summary(meter, days)

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        admin = of_admins(self._access)
        one = f"{CONSUMERS}/{{consumer:path}}"
        read = {**admin, "responses": documented(400, 401, 503)}
        found = {**admin, "responses": documented(400, 401, 404, 503)}
        changed = {**admin, "responses": documented(400, 401, 404, 409, 413, 503)}
        app.add_api_route(CONSUMERS, self.consumers, **read)
        app.add_api_route(CONSUMERS, self.add_consumer, methods=["POST"], **changed)
        app.add_api_route(one, self.consumer, **found)
        app.add_api_route(one, self.change_consumer, methods=["PATCH"], **changed)
        app.add_api_route(f"{one}/reset", self.reset, methods=["POST"], **changed)
        app.add_api_route(KEYS, self.keys, **read)
        app.add_api_route(KEYS, self.make_key, methods=["POST"], status_code=201, **changed)
        app.add_api_route(f"{KEYS}/{{key_id}}", self.change_key, methods=["PATCH"], **changed)
        app.add_api_route(f"{KEYS}/{{key_id}}/rotate", self.rotate, methods=["POST"], status_code=201, **changed)
        app.add_api_route(f"{KEYS}/{{key_id}}/revoke", self.revoke, methods=["POST"], **changed)
        app.add_api_route(CREDIT, self.grant, methods=["POST"], **changed)
        app.add_api_route(TIERS, self.tiers, **read)
        app.add_api_route(TIERS, self.set_tier, methods=["PUT"], **changed)
        app.add_api_route(SUMMARY, self.summary, **read)
        app.add_api_route(STATEMENTS, self.statement, **found)

    def consumers(self, after: After = "", limit: Limit = _PAGE) -> bodies.ConsumersAnswer:
        """Consumers in the order of their names."""
        found = self._meter.store.call(ListProfiles(after, limit))
        last = found[-1].consumer if len(found) == limit else None
        return bodies.ConsumersAnswer(consumers=[bodies.ConsumerBody.of(each) for each in found], next=last)

    def add_consumer(self, body: bodies.NewConsumerBody) -> bodies.ConsumerBody:
        """Make a consumer. One that exists stays as it is, and is the answer, unless something else is asked for."""
        with telling():
            quotas = all_in(self._meter.currency, [quota.quota() for quota in body.quotas])
            budgets = all_in(self._meter.currency, [budget.budget() for budget in body.budgets])
            there = self._meter.add_consumer(body.consumer, tier=body.tier, quotas=quotas, budgets=budgets)
        asked = {
            "tier": (body.tier, there.tier.name),
            "quotas": (quotas, there.quotas),
            "budgets": (budgets, there.budgets),
        }
        if others := [name for name, (one, other) in asked.items() if name in body.model_fields_set and one != other]:
            detail = f"{there.consumer!r} exists, and differs in {', '.join(others)}: PATCH changes it"
            raise ServiceProblem("id_conflict", detail)
        return bodies.ConsumerBody.of(there)

    def consumer(self, consumer: Consumer) -> bodies.ConsumerAnswer:
        """A consumer, its credit, and what it has used of its limits."""
        with telling():
            return self._whole(self._meter.profile(consumer))

    def _whole(self, profile: Profile) -> bodies.ConsumerAnswer:
        meter = self._meter
        checks = make_plan(profile, meter.now_ms()).checks
        counts = meter.store.call(ReadCounts(checks))
        credit = None if meter.settings.contract else BalanceBody.of(meter.balance(profile.consumer))
        limits = [
            LimitBody(name=each.name, unit=each.unit, limit=str(each.limit), used=str(used), renews_ms=each.ends_ms)
            for each, used in zip(checks, counts, strict=True)
            if each.limit is not None
        ]
        of = bodies.ConsumerBody.of(profile)
        return bodies.ConsumerAnswer.model_construct(**dict(of), credit=credit, limits=limits)

    def change_consumer(self, consumer: Consumer, body: bodies.ChangeBody) -> bodies.ConsumerBody:
        """Change what is given of a consumer, from its next request on."""
        with telling():
            quotas = None if body.quotas is None else [quota.quota() for quota in body.quotas]
            budgets = None if body.budgets is None else [budget.budget() for budget in body.budgets]
            changed = self._meter.change_consumer(
                consumer, tier=body.tier, disabled=body.disabled, quotas=quotas, budgets=budgets
            )
            return bodies.ConsumerBody.of(changed)

    def reset(self, consumer: Consumer, body: bodies.ResetBody) -> bodies.ResetAnswer:
        """Let a window begin anew: goodwill, which is in the audit log."""
        with telling():
            was = self._meter.reset_window(consumer, body.window, note=body.note, **body.where())
            return bodies.ResetAnswer(window=body.window, was=str(was))

    def keys(
        self,
        consumer: Annotated[str, Query(max_length=200, description="Only this consumer's")] = "",
        after: After = "",
        limit: Limit = _PAGE,
    ) -> bodies.KeysAnswer:
        """API keys in the order of their ids; revoked and expired ones too."""
        with telling():
            name = consumer and consumer_name(consumer)
        found = self._meter.store.call(ListKeys(name, after, limit))
        last = found[-1].key_id if len(found) == limit else None
        return bodies.KeysAnswer(keys=[bodies.KeyBody.of(key) for key in found], next=last)

    def make_key(self, body: bodies.NewKeyBody) -> bodies.MadeKeyAnswer:
        """Make an API key, or import one. A request without an answer may have made one that nobody has: revoke it."""
        with telling():
            if body.text is None:
                made = self._meter.create_key(body.consumer, **body.terms())
                return bodies.MadeKeyAnswer.of(made.stored, key=made.text)
            imported = self._meter.import_key(body.text.get_secret_value(), body.consumer, **body.terms())
            return bodies.MadeKeyAnswer.of(imported, key=None)

    def change_key(self, key_id: KeyId, body: bodies.KeyChangeBody) -> bodies.KeyBody:
        """Change what is given of a key, from its next request on."""
        with telling():
            return bodies.KeyBody.of(self._meter.change_key(key_id, **body.terms()))

    def rotate(self, key_id: KeyId, body: bodies.RotationBody = _NO_ROTATION) -> bodies.MadeKeyAnswer:
        """Make a new key in the place of one, which is good for the overlap still."""
        with telling():
            overlap = timedelta(seconds=body.overlap_seconds)
            expires_at = bodies.instant(body.expires_ms)
            made = self._meter.rotate_key(key_id, overlap=overlap, expires_at=expires_at, label=body.label)
            return bodies.MadeKeyAnswer.of(made.stored, key=made.text)

    def revoke(self, key_id: KeyId) -> bodies.KeyBody:
        """Refuse a key from now on. Can be repeated."""
        with telling():
            return bodies.KeyBody.of(self._meter.revoke_key(key_id))

    def grant(self, body: bodies.GrantBody) -> ConsumerBalance:
        """Add credit, or take free credit back. Can be repeated with its `grant_id`."""
        with telling():
            balance = self._meter.grant(
                body.consumer, bodies.amount(body.amount_wei), grant_id=body.grant_id, note=body.note
            )
        of = {**BalanceBody.of(balance).model_dump(), **counted(self._meter.currency)}
        return ConsumerBalance(consumer=consumer_name(body.consumer), **of)

    def tiers(self) -> bodies.TiersAnswer:
        """All tiers."""
        return bodies.TiersAnswer(tiers=[bodies.TierBody.of(each) for each in self._meter.tiers()])

    def set_tier(self, body: bodies.TierBody) -> bodies.TierBody:
        """Define a tier, or redefine it, from its consumers' next requests on."""
        with telling():
            return bodies.TierBody.of(self._meter.set_tier(body.tier()))

    def summary(self) -> bodies.SummaryAnswer:
        """The meter at a glance. Cheap: it may be asked for every few seconds."""
        return run(self._summary.read(), self._meter.store.call)

    def statement(
        self,
        consumer: Annotated[str, Query(min_length=1, max_length=200)],
        month: Annotated[str, Query(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-11"])],
    ) -> bodies.StatementAnswer:
        """What a consumer used and paid in a month (UTC)."""
        meter = self._meter
        with telling():
            name = meter.profile(consumer).consumer
            account = "" if meter.settings.contract else meter.account_of("", name)
            made = run(make_statement(name, account, Days.of_month(month)), meter.store.call)
        return bodies.StatementAnswer.of(made, month, meter.currency)
