"""What the chain's terms of a consumer allow: how much may be served, whom nobody serves and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from api_billing.metering.ledger.settlement_operations import ChainTerms, Credit
from api_billing.metering.request.problems import Refusal


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """How credit follows the chain. Times in milliseconds.

    ``holds_from`` is the state of the chain that what is served rests on: of final transactions, which no appeal can
    undo, or of all that are accepted.
    ``use_free_credit`` serves on a consumer's free credit too, which it can withdraw at any time: the operator's risk.
    ``margin_ms`` before a hold ends no new request is served on it, so that the last settlement arrives in time.
    ``grace_ms`` is how long a hold is believed while the chain cannot be read; with ``fail_open`` for ever.
    ``reads_per_10_seconds`` is what the network allows for one contract: all processes of the store share it. Accounts
    without requests for ``idle_ms`` are not read.
    """

    holds_from: Literal["finalized", "accepted"] = "finalized"
    use_free_credit: bool = False
    refresh_ms: int = 30_000
    grace_ms: int = 900_000
    margin_ms: int = 900_000
    idle_ms: int = 600_000
    reads_per_10_seconds: int = 20
    fail_open: bool = False

    @property
    def soon_ms(self) -> int:
        """How often accounts in trouble are looked at."""
        return self.refresh_ms // 4


class Known(NamedTuple):
    """What this process remembers of an account. ``short_wei``: how much more is committed than the chain covers."""

    terms: ChainTerms
    refused_parts: int
    short_wei: int


def usable_wei(terms: ChainTerms, settings: CreditSettings, now_ms: int) -> int:
    """What may be reserved and not settled yet: the hold, within what may be spent today; 0 when nothing may be served.

    Usage that is not settled counts against it, also yesterday's, which has limits of its own: less is allowed rather
    than more.
    """
    if not (terms.subscribed and terms.active) or terms.price_wei > terms.accepted_price_wei:
        return 0
    # What is served last is settled last: a hold ends earlier by what waits before it.
    ends_ms = terms.hold_expires_ms - settings.margin_ms - terms.queue_ms
    held_wei = terms.hold_wei if now_ms < ends_ms else 0
    return min(held_wei + free_credit_wei(terms, settings), terms.spend_left_today_wei)


def free_credit_wei(terms: ChainTerms, settings: CreditSettings) -> int:
    """What of the free credit is served on, where that is set; never that of who has a session, who signs for all."""
    return terms.credit_wei if settings.use_free_credit and not terms.signer else 0


def cover_wei(terms: ChainTerms, settings: CreditSettings) -> int:
    """What a settlement can draw on, whether or not anything new may be served."""
    return terms.hold_wei + (free_credit_wei(terms, settings) if terms.subscribed else 0)


def offers_more(terms: ChainTerms, credit: Credit, settings: CreditSettings) -> bool:
    """Whether the chain offers more than was believed of it so far: only then it matters what is final."""
    known = credit.terms
    return (
        usable_wei(terms, settings, terms.read_ms) + credit.accounted_wei > credit.balance.granted_wei
        or terms.hold_expires_ms > known.hold_expires_ms
        or terms.accepted_price_wei > known.accepted_price_wei
        or terms.subscribed > known.subscribed
        or terms.signer != known.signer
    )


def known_of(credit: Credit, settings: CreditSettings) -> Known:
    committed_wei = credit.balance.reserved_wei + credit.balance.charged_wei
    covered_wei = cover_wei(credit.terms, settings) + credit.accounted_wei + credit.in_flight_wei
    never_read = credit.terms.read_ms == 0
    return Known(credit.terms, credit.refused_parts, 0 if never_read else max(0, committed_wei - covered_wei))


def refusal_of(known: Known, settings: CreditSettings, estimate_wei: int, now_ms: int) -> Refusal | None:
    """Why a consumer is not served now, None when the store may decide. Pure."""
    terms = known.terms
    if now_ms - terms.read_ms > settings.grace_ms and not settings.fail_open:
        return Refusal(
            "meter_unavailable", "The credit of this consumer could not be read from the chain for too long."
        )
    if known.refused_parts:
        return Refusal("insufficient_credit", reason="settlement_refused")
    if terms.is_provisional and not usable_wei(terms, settings, now_ms):
        return Refusal("insufficient_credit", reason="not_final")
    if not terms.subscribed:
        return Refusal("not_subscribed")
    if not terms.active:
        return Refusal("not_subscribed", reason="api_paused")
    if terms.price_wei > terms.accepted_price_wei:
        return Refusal("not_subscribed", reason="price_changed")
    if estimate_wei > terms.accepted_price_wei:
        return Refusal("not_subscribed", reason="above_price")
    if known.short_wei:
        return Refusal("insufficient_credit", reason="hold_short")
    on_holds_only = not settings.use_free_credit or terms.signer
    if not usable_wei(terms, settings, now_ms) and terms.hold_wei and on_holds_only:
        return Refusal("insufficient_credit", reason="hold_ends")
    return None
