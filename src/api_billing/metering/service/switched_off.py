"""What services are told while the meter is switched off: serve, it costs nothing. Neither store nor chain is asked."""

from __future__ import annotations

from typing import Literal

from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import NO_BALANCE
from api_billing.metering.meter import Meter
from api_billing.metering.service.bodies import BalanceBody, ReservationAnswer, ReservationBody, SettlementAnswer
from api_billing.metering.stores.steps import Steps


def reserve(meter: Meter, body: ReservationBody) -> Steps[ReservationAnswer]:
    """Nothing is reserved."""
    yield from ()
    meter.metrics.unmetered(body.api)
    return ReservationAnswer(
        id=body.id or new_id(meter.now_ms()),
        api=body.api,
        consumer=body.consumer or "",
        estimate_wei=str(body.estimate_wei),
        expires_after_seconds=meter.reservation_ms // 1000,
        balance=BalanceBody.of(NO_BALANCE),
        limits=[],
        fields={},
    )


def end(reservation_id: str, state: Literal["settled", "released"]) -> Steps[SettlementAnswer]:
    """Nothing is charged, also of what was reserved before: that is released when it expires."""
    yield from ()
    return SettlementAnswer(
        id=reservation_id, state=state, charged_wei="0", repeated=False, balance=BalanceBody.of(NO_BALANCE), fields={}
    )
