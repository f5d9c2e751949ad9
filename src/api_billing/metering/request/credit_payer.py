"""Credit as what pays: of whoever asks, in the store or on hold on the chain, within its limits."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Final, cast

from api_billing.metering.addresses import counted_as
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.consumer_operations import FindKey
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
from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.ledger.vouchers import BySession, ChannelSums, SessionState
from api_billing.metering.limits.plan import Fields, KeyQuotas
from api_billing.metering.limits.profile import Profile, nobody
from api_billing.metering.limits.scopes import NOWHERE
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.claims import idempotency_claim
from api_billing.metering.request.http import MeteredResponse, cost_field
from api_billing.metering.request.identity import Identity, identify
from api_billing.metering.request.metering import is_units
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.prices import Priced, Watcher, is_amount, price_of
from api_billing.metering.request.problems import Answer, Refusal, by_channel, refusal_by
from api_billing.metering.request.request_meter import Admitted, ChainSide
from api_billing.metering.request.telling import is_bool, is_text, read_bounded
from api_billing.metering.stores.steps import Steps, is_waiting

_MAX_ATTEMPTS: Final = 4  # at a profile that changes while it is being used
_NEVER: Final = WindowCheck("never", 0, 1, "calls", 0)

_log = logging.getLogger("api_billing.metering")


class CreditPayer(Payer):
    """The credit of the consumer whom the request names. ``claim`` is given when no header is to be read for it."""

    __slots__ = ()

    def reserve(self) -> Steps[ReserveReply | Refusal | Answer]:
        return (yield from self.reserve_as(self.identify))

    def identify(self) -> Steps[Identity | Refusal]:
        """Who the request says it is from."""
        meter = self.metering.meter
        extractor = self.metering.identify or meter.identify
        return identify(extractor, self.request, meter.seldom, meter.settings.max_fingerprint_bytes)

    def reserve_as(
        self, who: Callable[[], Steps[Identity | Refusal]], new_tier: str = ""
    ) -> Steps[ReserveReply | Refusal]:
        """Reserve from the credit of whom ``who`` tells; one that is new gets a tier, where that is named."""
        metering, request, meter = self.metering, self.request, self.metering.meter
        for _ in range(_MAX_ATTEMPTS):
            identity = yield from who()
            if isinstance(identity, Refusal):
                return identity
            self.session = None
            if identity.voucher is not None and (not_proven := (yield from self.prove(identity))) is not None:
                return not_proven
            self.consumer = consumer = identity.consumer
            if (key := identity.key) is not None and key.apis and metering.api not in key.apis:
                if (yield FindKey(key.key_id)) == key:
                    return Refusal("key_scope")
                meter.profiles.forget(consumer)  # and its keys: this one is another by now
                continue
            profile = nobody(consumer) if identity.anonymous else meter.profiles.known(consumer)
            if profile is None and (profile := (yield from meter.profiles.of(consumer, new_tier))) is None:
                return Refusal("not_subscribed")
            if (cannot := (yield from self.estimate())) is not None:
                return cannot
            if identity.anonymous and self.estimate_wei:
                extra = {"free_wei": "0", "estimate_wei": str(self.estimate_wei)}
                return Refusal("insufficient_credit", "Who is not known has no credit.", extra=extra)
            refusal = yield from self._limit(identity, profile)
            assert self.plan is not None
            account = meter.account_of(metering.api, consumer)
            if refusal is not None:
                return (yield from self._served_before(account, profile)) or refusal
            # A reservation of another process may be there already, and has to be looked for.
            if meter.decisions is not None and self.remote_id is None:
                believed = meter.decisions.find(self.plan, self.estimate_wei, request.at_ms)
                if believed is not None:
                    self.counts, self.frees = believed.counts, believed.frees
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

    def prove(self, identity: Identity) -> Steps[Refusal | None]:
        """Check the voucher that says who the request is from: why it is refused. It is not known who, until then."""
        meter = self.metering.meter
        assert identity.voucher is not None
        if meter.on_chain is None:
            return Refusal("invalid_voucher", "This API takes no vouchers.", reason="no_session")
        self.session = BySession("")  # whatever comes of it
        found = yield from meter.on_chain.check_voucher(self.metering.api, identity.consumer, identity.voucher)
        if isinstance(found, Refusal):
            return found
        self.session = found
        return None

    def _limit(self, identity: Identity, profile: Profile) -> Steps[Refusal | None]:
        """Find the windows that the request counts in, and its claim; ask what the chain has against it."""
        metering, request = self.metering, self.request
        meter = metering.meter
        refusal: Refusal | None = None
        tier_name, key = identity.tier, identity.key
        also: tuple[WindowCheck, ...] = ()
        if meter.on_chain is not None and not identity.anonymous:
            admission = yield from self.admission(meter.on_chain)
            if isinstance(admission, Refusal):
                refusal = admission
            else:
                tier_name, also = tier_name or admission.plan, admission.checks
                if self.session is None and admission.signer:
                    self.session = BySession(admission.signer)
                    refusal = yield from self.lacks_voucher()
        in_force = meter.limits_in_force
        if not in_force.are_known(profile.version, request.at_ms):
            yield from in_force.read(request.at_ms)
        limits, place = in_force.over(metering.api, metering.scoped), NOWHERE
        if limits is not None:
            if metering.exempts is not None and (yield from self._is_exempt(identity)):
                limits = None
            else:
                family = identity.key_id if key is None else key.family
                address = counted_as(request.address) if limits.by_address else ""
                place = limits.place(self.operation, request.method, family, address)
        hides = meter.hides_usage(key)
        tier = (yield from meter.profiles.tier(tier_name)) if tier_name else None
        if identity.tier and tier is None:
            message = "there is no tier %.200r, which a credential of %.200r names: it has that of its consumer"
            meter.seldom.log(_log, logging.WARNING, message, identity.tier, identity.consumer)
        plan = meter.plans.plan(
            profile,
            request.at_ms,
            api=metering.api,
            operation=self.operation,
            model=self.tags.get("model", ""),
            tier=tier,
            also=also,
            own=KeyQuotas(key.family, key.quotas, hides) if key is not None and (hides or key.quotas) else None,
            limits=limits,
            place=place,
        )
        self.plan = plan if self.units == 1 else plan.weighing(self.units)
        # Who is anonymous shares its name with others, to whom no response is to be given again.
        if self.claim is None and metering.idempotent and not identity.anonymous and (keys := self.keys()):
            claim = yield from idempotency_claim(keys, request, metering.api, meter.settings)
            if isinstance(claim, Refusal):
                return claim
            self.claim = claim
        return refusal

    def _is_exempt(self, identity: Identity) -> Steps[bool]:
        """Whether the request has no limits; one of which that cannot be told has them."""
        exempts = self.metering.exempts
        assert exempts is not None
        by_request = functools.wraps(exempts)(lambda request: exempts(request, identity))
        return (yield from self.told("exemption", by_request, is_bool)) is True

    def uncounted(self, response: MeteredResponse) -> Steps[tuple[int, ...]]:
        """The limits in calls that a served request does not count in. Never raises."""
        count_when, plan = self.metering.count_when, self.plan
        if count_when is None or plan is None or plan.weighed_from == len(plan.checks):
            return ()
        try:
            counts = count_when(self.request, response)
            if is_waiting(counts):
                counts = yield cast("Awaitable[bool]", counts)
        except Exception:
            where = (self.request.method, self.request.route)
            seldom = self.metering.meter.seldom
            seldom.log(_log, logging.ERROR, "count_when failed at %.20r %.200r: it counts", *where, exc_info=True)
            return ()
        if counts is not False:
            return ()
        return tuple(
            [place for place in range(plan.weighed_from, len(plan.checks)) if plan.checks[place].unit == "calls"]
        )

    def admission(self, on_chain: ChainSide) -> Steps[Admitted | Refusal]:
        """What the chain has against the request. Raises: StoreUnavailable, CreditUnavailable."""
        return (yield from on_chain.admit(self.metering.api, self.consumer, self.estimate_wei))

    def lacks_voucher(self) -> Steps[Refusal | None]:
        """Why who has a session is not served by name alone: where payments are taken each request brings its voucher,
        so that nothing else spends what is signed. None for what costs nothing, and where none are taken.
        """
        if self.metering.meter.door is None or not self.estimate_wei:
            return None
        account = self.metering.meter.account_of(self.metering.api, self.consumer)
        session: SessionState | None = yield ReadSession(account)
        if session is not None and session.is_closing:
            return Refusal("session_closing")
        newest = session.channels[0] if session is not None and session.channels else ChannelSums("")
        return by_channel("voucher_required", newest, self.estimate_wei)

    def keys(self) -> list[str]:
        """The values of its idempotency key."""
        return self.request.headers.all("idempotency-key") if self.metering.meter.settings.idempotency else []

    def estimate(self) -> Steps[Refusal | None]:
        """Ask for the model, the operation and the estimate; why the request is refused when they cannot be told."""
        metering = self.metering
        if metering.asks_nothing:
            self.estimate_wei = cast(int, metering.estimate_wei)
            return None
        if (cannot := (yield from self.tell_names())) is not None:
            return cannot
        return (yield from self.tell_estimate())

    def tell_names(self) -> Steps[Refusal | None]:
        """Ask for the model, the units and the operation, where the terms can tell them; and read the body,
        where a price wants it.
        """
        metering, limit = self.metering, self.metering.meter.settings.max_fingerprint_bytes
        if metering.reads_body and isinstance(body := (yield from read_bounded(self.request, limit)), Refusal):
            return body
        if metering.model is not None:
            model = yield from self.told("model", metering.model, is_text)
            if isinstance(model, Refusal):
                return model
            if model:
                self.tags["model"] = model
        if callable(metering.units):
            units = yield from self.told("units", metering.units, is_units)
            if isinstance(units, Refusal):
                return units
            self.units = units
        return (yield from self.tell_operation())

    def tell_estimate(self) -> Steps[Refusal | None]:
        """Ask for the estimate."""
        estimate, meter = self.metering.estimate_wei, self.metering.meter
        if callable(estimate):
            estimate = yield from self.told("estimate", estimate, lambda found: is_amount(meter.currency, found))
        if isinstance(estimate, Refusal):
            return estimate
        self.estimate_wei = meter.amount("the estimate", estimate) if type(estimate) is str else cast(int, estimate)
        return None

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
            return refusal_by(self.plan, reply, self.request.at_ms, self.estimate_wei, meter.randrange, meter.currency)
        return super().refusal(reply)

    def price(self, response: MeteredResponse) -> Steps[Priced]:
        price, meter = self.metering.price, self.metering.meter
        assert price is not None
        assert not isinstance(price, int | str)  # it was made a fixed price
        priced = price_of(
            price,
            self.request,
            response,
            self.estimate_wei,
            meter.settings.fallback_percent,
            meter.seldom,
            meter.currency,
        )
        return priced if response.watcher is None else self._tagged(priced, response.watcher)

    def _tagged(self, steps: Steps[Priced], watcher: Watcher) -> Steps[Priced]:
        priced = yield from steps
        if isinstance(tags := getattr(watcher, "tags", None), dict):
            self.tags.update(tags)
        return priced

    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        api, meter = self.metering.api, self.metering.meter
        assert self.plan is not None
        meter.metrics.settled(api, reply.charged_wei, settle.outcome.duration_ms, reply.uncollected_wei)
        meter.watcher.settled(self.plan, reserve, reply)
        if reply.uncollected_wei:
            more = meter.currency.text(reply.uncollected_wei, exact=True)
            what = (settle.reservation_id, more, reserve.consumer)
            meter.seldom.log(_log, logging.WARNING, "%s cost %s more than %s had", *what)
        if len(reply.counts) == len(self.counts):
            self.counts, self.frees = tuple([count for _, count in reply.counts]), reply.frees
        fields = self.plan.fields(self.counts, settle.now_ms, self.estimate_wei, self.frees)
        return [*fields, cost_field(reply.charged_wei)]

    def released(self) -> Fields:
        assert self.plan is not None
        added = [check.weight if check.unit == "calls" else self.estimate_wei for check in self.plan.checks]
        self.counts = tuple([count - one for count, one in zip(self.counts, added, strict=True)])
        return super().released()
