"""The meter's books beside those of the contract, over HTTP: what `api-billing reconcile` does."""

from __future__ import annotations

import threading
from typing import Annotated, Final

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from api_billing.errors import BillingError, NetworkError
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.meter import Meter
from api_billing.metering.service.access import Access
from api_billing.metering.service.admin import of_admins
from api_billing.metering.service.problems import ServiceProblem, documented
from api_billing.metering.stores.steps import run

RECONCILIATION: Final = "/v1/reconciliation"
_FRESH_MS: Final = 10_000
ApiQuery = Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Of this API")]

Difference = Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,77})$", description="In smallest units; signed")]


class WhyBody(BaseModel):
    """A reason for a difference: positive is counted and not billed."""

    reason: str
    calls: int
    amount_wei: Difference


class ComparisonBody(BaseModel):
    """A consumer on a day, `day` days after 1970-01-01. `receipt_calls` are calls on chain that no meter counts."""

    consumer: str
    day: int
    metered_calls: int
    metered_wei: Difference
    chain_calls: int
    chain_wei: Difference
    receipt_calls: int
    difference_wei: Difference
    unexplained_wei: Difference
    why: list[WhyBody]


class ReconciliationAnswer(BaseModel):
    """Meter, outbox and contract compared, as they were at ``at_ms``."""

    at_ms: int
    api: str
    zero: bool
    closed: bool
    unknown_settlements: int
    lines: list[ComparisonBody]


class Routes:
    """The route. It reads the chain for each consumer, so that one at a time is made, and told again for a while."""

    def __init__(self, meter: Meter, access: Access) -> None:
        self._meter = meter
        self._access = access
        self._alone = threading.Lock()
        self._told: dict[str, ReconciliationAnswer] = {}

    def add_to(self, app: FastAPI) -> None:
        """Add it."""
        responses = documented(400, 401, 409, 503)
        app.add_api_route(RECONCILIATION, self.reconcile, **of_admins(self._access), responses=responses)

    def reconcile(self, api: ApiQuery) -> ReconciliationAnswer:
        """Compare what was counted, posted and billed, line by line with the reasons."""
        with self._alone:
            told, now_ms = self._told.get(api), self._meter.now_ms()
            if told is None or not 0 <= now_ms - told.at_ms < _FRESH_MS:
                told = self._told[api] = self._compare(api, now_ms)
            return told

    def _compare(self, api: str, now_ms: int) -> ReconciliationAnswer:
        from api_billing.metering.settlement.reconcile import reconcile  # genlayer-py takes a second

        if not self._meter.settings.contract:
            raise ServiceProblem("not_possible", "This meter settles on no contract.")
        try:
            self._meter.connect(api)
            assert self._meter.on_chain is not None
            found = run(reconcile(self._meter.on_chain.chain, api, now_ms), self._meter.store.call)
        except StoreUnavailable:
            raise
        except NetworkError as error:
            raise ServiceProblem("chain_unavailable", f"The chain cannot be read: {error}") from error
        except BillingError as error:
            raise ServiceProblem("not_possible", str(error)) from error
        return ReconciliationAnswer.model_validate({"at_ms": now_ms, **_texts(found.as_dict())})


def _texts[T](value: T) -> T:
    """The same with amounts as texts, which JavaScript can read."""
    if isinstance(value, dict):
        return {name: str(each) if name.endswith("_wei") else _texts(each) for name, each in value.items()}  # type: ignore[return-value]
    return [_texts(each) for each in value] if isinstance(value, list) else value  # type: ignore[return-value]
