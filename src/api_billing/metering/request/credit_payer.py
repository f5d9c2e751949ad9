"""Credit as what pays: of whoever asks, in the store or on hold on the chain, within its limits."""

from __future__ import annotations

import logging
from typing import Final

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import (
    ClaimInProgress,
    ClaimMismatch,
    Refused,
    Replay,
    Reserve,
    ReserveReply,
    Settle,
    Settled,
    StaleProfile,
)
from api_billing.metering.limits.plan import Fields
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.claims import idempotency_claim
from api_billing.metering.request.http import MeteredResponse, cost_field
from api_billing.metering.request.identity import identify
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.prices import Priced, check_wei, price_of
from api_billing.metering.request.problems import Refusal, refusal_by
from api_billing.metering.stores.steps import Steps

_MAX_ATTEMPTS: Final = 4  # at a profile that changes while it is being used
_NEVER: Final = WindowCheck("never", 0, 1, "calls", 0)

_log = logging.getLogger("api_billing.metering")


class CreditPayer(Payer):
    """The credit of the consumer whom the request names. ``claim`` is given when no header is to be read for it."""

    __slots__ = ()

    def reserve(self) -> Steps[ReserveReply | Refusal]:
        metering, request, meter = self.metering, self.request, self.metering.meter
        for _ in range(_MAX_ATTEMPTS):
            identity = yield from identify(metering.identify or meter.identify, request)
            if isinstance(identity, Refusal):
                return identity
            self.consumer = consumer = identity.consumer
            profile = meter.profiles.known(consumer)
            if profile is None and (profile := (yield from meter.profiles.of(consumer))) is None:
                return Refusal("not_subscribed")
            if metering.model is None and type(metering.estimate_wei) is int:
                self.estimate_wei = metering.estimate_wei
            elif not self._estimate():
                return Refusal("meter_unavailable")
            refusal = yield from self._limit(identity.tier, profile)
            assert self.plan is not None
            account = meter.account_of(metering.api, consumer)
            if refusal is not None:
                return (yield from self._served_before(account, profile)) or refusal
            # A reservation of another process may be there already, and has to be looked for.
            if meter.decisions is not None and self.remote_id is None:
                believed = meter.decisions.find(self.plan, self.estimate_wei, request.at_ms)
                if believed is not None:
                    self.counts = believed.counts
                    return believed
            reply = yield from self.ask(account, request.at_ms, profile.version, self.plan.checks)
            if isinstance(reply, Refused):
                assert self.reservation is not None
                if meter.decisions is not None and self.remote_id is None:
                    meter.decisions.keep(self.plan, reply, self.estimate_wei, request.at_ms)
                meter.watcher.refused(self.plan, self.reservation, reply)
            if not isinstance(reply, StaleProfile):
                return reply
            meter.profiles.forget(consumer)
            if reply.profile is not None:
                meter.profiles.put(reply.profile)
        raise StoreUnavailable("the consumer's limits keep changing")

    def _limit(self, tier_name: str, profile: Profile) -> Steps[Refusal | None]:
        """Find the windows that the request counts in, and its claim; ask what the chain has against it."""
        metering, request = self.metering, self.request
        meter = metering.meter
        refusal: Refusal | None = None
        also: tuple[WindowCheck, ...] = ()
        if meter.on_chain is not None:
            admission = yield from meter.on_chain.admit(metering.api, self.consumer, self.estimate_wei)
            if isinstance(admission, Refusal):
                refusal = admission
            else:
                tier_name, also = tier_name or admission.plan, admission.checks
        self.plan = meter.plans.plan(
            profile,
            request.at_ms,
            api=metering.api,
            operation=self.operation,
            model=self.tags.get("model", ""),
            tier=(yield from meter.profiles.tier(tier_name)) if tier_name else None,
            also=also,
        )
        if self.claim is None and metering.idempotent and (keys := request.headers.all("idempotency-key")):
            claim = yield from idempotency_claim(keys, request, metering.api, meter.settings)
            if isinstance(claim, Refusal):
                return claim
            self.claim = claim
        return refusal

    def _estimate(self) -> bool:
        """Compute the estimate, and tag the model that is asked for; False when that fails."""
        metering, request = self.metering, self.request
        try:
            model = metering.model(request) if metering.model is not None else ""
            estimate = metering.estimate_wei
            self.estimate_wei = check_wei("the estimate", estimate(request)) if callable(estimate) else estimate
        except Exception:
            _log.exception("the estimate of %s %s failed", request.method, request.route)
            return False
        if model:
            self.tags["model"] = model
        return True

    def _served_before(self, account: str, profile: Profile) -> Steps[ReserveReply | None]:
        """What a request that is refused now was answered before: what was paid for can be had again."""
        if self.claim is None or self.plan is None:
            return None
        # A claim is looked at before the windows.
        reply = yield from self.ask(account, self.request.at_ms, profile.version, (_NEVER,))
        self.counts = ()
        return reply if isinstance(reply, Replay | ClaimInProgress | ClaimMismatch) else None

    def refusal(self, reply: ReserveReply | Refusal) -> Refusal:
        if isinstance(reply, Refused) and self.plan is not None:
            meter = self.metering.meter
            return refusal_by(self.plan, reply, self.request.at_ms, self.estimate_wei, meter.randrange)
        return super().refusal(reply)

    def price(self, response: MeteredResponse) -> Steps[Priced]:
        price, percent = self.metering.price, self.metering.meter.settings.fallback_percent
        assert price is not None
        return price_of(price, self.request, response, self.estimate_wei, percent)

    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        api, meter = self.metering.api, self.metering.meter
        assert self.plan is not None
        meter.metrics.settled(api, reply.charged_wei, settle.outcome.duration_ms, reply.uncollected_wei)
        meter.watcher.settled(self.plan, reserve, reply)
        if reply.uncollected_wei:
            _log.warning(
                "%s cost %d wei more than %s had", settle.reservation_id, reply.uncollected_wei, reserve.consumer
            )
        if len(reply.counts) == len(self.counts):
            self.counts = tuple([count for _, count in reply.counts])
        fields = self.plan.fields(self.counts, settle.now_ms, self.estimate_wei)
        return [*fields, cost_field(reply.charged_wei)]

    def released(self) -> Fields:
        assert self.plan is not None
        added = [1 if check.unit == "calls" else self.estimate_wei for check in self.plan.checks]
        self.counts = tuple([count - one for count, one in zip(self.counts, added, strict=True)])
        return super().released()
