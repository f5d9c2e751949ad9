"""`api-billing meter keys …`: API keys of consumers."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import RenderableType

from api_billing.cli.drawing import table
from api_billing.cli.meter_session import ConsumerName, Desk, instant_text, meter_command, plain
from api_billing.cli.output import Shown
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api_billing.metering.key_administration import KeyTerms
    from api_billing.metering.ledger.consumer_operations import ApiKey
    from api_billing.metering.limits.quotas import Quota

keys = typer.Typer(no_args_is_help=True, help="Make, import, change, list, rotate and revoke API keys of consumers.")

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST: Final = timedelta(days=36_500)
_MAX_BYTES: Final = 8_192


def span(text: str) -> timedelta:
    """A span of time as 90d, 12h, 30m, 2w. Raises: InvalidInput."""
    found = _SPAN.fullmatch(text)
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found is not None else None
    if length is None or length > _LONGEST:
        raise InvalidInput(f"{text!r} is no span of time: write it as 90d, 12h, 30m or 2w, up to 36500d")
    return length


KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key: of ours the 8 characters after ab_")]
TierName = Annotated[str, typer.Option("--tier", metavar="TIER", help="Tier of this key, instead of its consumer's.")]
Label = Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")]
Expires = Annotated[str, typer.Option(metavar="SPAN", help="How long it is good: 90d, 12h, 30m or 2w; else for ever.")]
Apis = Annotated[list[str] | None, typer.Option("--api", metavar="API", help="Good for this API only; repeatable.")]
Cap = Annotated[str, typer.Option(metavar="AMOUNT", help="At most this is spent with it in each window of --per.")]
Per = Annotated[
    str, typer.Option("--per", metavar="PERIOD", help="Of the cap: minute, hour, day, week, month (the default), year.")
]


@meter_command(keys, "create")
def create(
    desk: Desk,
    consumer: ConsumerName,
    tier: TierName = "",
    label: Label = "",
    expires: Expires = "",
    api: Apis = None,
    cap: Cap = "",
    per: Per = "",
) -> Shown:
    """Make an API key of a consumer. It is shown now and never again. One with --api and --cap may be made public."""
    return _made(desk.meter.create_key(consumer, **_terms(desk, tier, label, expires, api, cap, per)))


@meter_command(keys, "import")
def import_(
    desk: Desk,
    consumer: ConsumerName,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="File with the key; otherwise it is read from stdin.")
    ] = None,
    tier: TierName = "",
    label: Label = "",
    expires: Expires = "",
    api: Apis = None,
    cap: Cap = "",
    per: Per = "",
) -> Shown:
    """Take a key that a consumer has already, of 16 or more characters. Only its hash is kept."""
    key = desk.meter.import_key(_text(file), consumer, **_terms(desk, tier, label, expires, api, cap, per))
    return Shown(_key_data(key), f"key {key.key_id} of {plain(consumer)} is imported; only its hash is kept")


@meter_command(keys, "rotate")
def rotate(
    desk: Desk,
    key_id: KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="SPAN", help="How long the old key is good still: 7d, 12h; else it ends now.")
    ] = "",
    expires: Annotated[
        str,
        typer.Option(
            metavar="SPAN", help="How long it is good: 90d, 12h, 30m or 2w; else as long as the old one was to be."
        ),
    ] = "",
) -> Shown:
    """Make a new key in the place of one, with all that it has but its secret. It is shown now and never again."""
    _check_id(key_id)
    expires_at = _after(desk, expires)
    overlap_ = span(overlap) if overlap else timedelta()
    return _made(desk.meter.rotate_key(key_id, overlap=overlap_, expires_at=expires_at))


@meter_command(keys, "change")
def change(
    desk: Desk,
    key_id: KeyId,
    tier: Annotated[
        str | None, typer.Option(metavar="TIER", help='Tier of this key, instead of its consumer\'s; "": none.')
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    expires: Annotated[
        str, typer.Option(metavar="SPAN", help="How long it is good from now on: 90d, 12h, 30m or 2w; or never.")
    ] = "",
    api: Annotated[
        list[str] | None, typer.Option("--api", metavar="API", help="Good for this API only; repeatable; all: any.")
    ] = None,
    cap: Annotated[
        str, typer.Option(metavar="AMOUNT", help="At most this is spent with it in each window of --per; or none.")
    ] = "",
    per: Annotated[str, typer.Option("--per", metavar="PERIOD", help="Of the cap, else as it is.")] = "",
) -> Shown:
    """Change what is given of a key, from its next request on."""
    _check_id(key_id)
    terms: dict[str, Any] = {name: text for name, text in (("tier", tier), ("label", label)) if text is not None}
    if expires:
        terms["expires_at"] = None if expires == "never" else _after(desk, expires)
    if api:
        terms["apis"] = () if api == ["all"] else api
    if cap:
        terms["cap"] = None if cap == "none" else desk.amount(cap)
    if per:
        terms["per"] = per
    if not terms:
        raise InvalidInput("nothing is to be changed: give --tier, --label, --expires, --api, --cap or --per")
    changed = desk.meter.change_key(key_id, **terms)
    return Shown(_key_data(changed), lambda: _keys(desk, [changed]))


@meter_command(keys, "list")
def list_keys(
    desk: Desk,
    consumer: Annotated[str, typer.Option(metavar="CONSUMER", help="Only this consumer's.")] = "",
) -> Shown:
    """API keys by their ids, oldest first; revoked and expired ones too."""
    from api_billing.metering.ledger.consumer_operations import ListKeys

    found = desk.store.call(ListKeys(desk.consumer(consumer)))
    return Shown([_key_data(each) for each in found], lambda: _keys(desk, found))


@meter_command(keys, "revoke")
def revoke(desk: Desk, key_id: KeyId) -> Shown:
    """Refuse a key from now on, in all processes."""
    from api_billing.metering.ledger.consumer_operations import FindKey, RevokeKey

    _check_id(key_id)
    revoked = desk.store.call(RevokeKey(key_id, desk.meter.now_ms()))
    found = desk.store.call(FindKey(key_id))
    if found is None:
        raise InvalidInput(f"there is no key {key_id!r}", hint="see: api-billing meter keys list")
    text = f"key {key_id} of {found.consumer} is revoked" + ("" if revoked else ", as it was before")
    return Shown(_key_data(found), text)


def _terms(desk: Desk, tier: str, label: str, expires: str, apis: list[str] | None, cap: str, per: str) -> KeyTerms:
    terms: dict[str, Any] = {
        "tier": tier,
        "label": label,
        "expires_at": _after(desk, expires),
        "apis": apis or (),
        "cap": desk.amount(cap) if cap else None,
        "per": per or None,
    }
    return terms  # type: ignore[return-value]  # the period is checked where it is used


def _after(desk: Desk, expires: str) -> datetime | None:
    return datetime.fromtimestamp(desk.meter.now_ms() / 1000, UTC) + span(expires) if expires else None


def _check_id(key_id: str) -> None:
    if key_id.startswith("ab_"):
        raise InvalidInput(
            "name the key by its id, not by its text",
            hint="the id is the 8 characters after ab_; a whole key in a command line stays in the shell's history",
        )


def _text(file: Path | None) -> str:
    """The key in a file, or from standard input; never from the line, which others can see."""
    try:
        text = file.read_bytes()[:_MAX_BYTES].decode() if file is not None else sys.stdin.read(_MAX_BYTES)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the key cannot be read: {error}") from error
    return text.strip()


def _made(key: Any) -> Shown:
    data = {"key": key.text, **_key_data(key.stored)}
    text = f"{key.text}\nkey {key.stored.key_id} of {key.stored.consumer}: shown once; only its hash is kept"
    return Shown(data, text)


def _key_data(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "consumer": key.consumer,
        "tier": key.tier,
        "label": key.label,
        "created_ms": key.created_ms,
        "revoked_ms": key.revoked_ms,
        "expires_ms": key.expires_ms,
        "apis": list(key.apis),
        "quotas": [
            {"name": each.name, "period": each.period, "limit": each.most, "unit": each.unit} for each in key.quotas
        ],
        "first": key.first,
    }


def _keys(desk: Desk, found: Sequence[ApiKey]) -> RenderableType:
    if not found:
        return "no keys; make one with: api-billing meter keys create CONSUMER"
    now_ms = desk.meter.now_ms()
    rows = [
        (
            each.key_id,
            plain(each.consumer),
            each.tier or "-",
            plain(each.label) or "-",
            ", ".join([*map(plain, each.apis), *(_quota(desk, quota) for quota in each.quotas)]) or "-",
            instant_text(each.created_ms),
            _state(each, now_ms),
        )
        for each in found
    ]
    return table("id", "consumer", "tier", "label", "only", "made", "state", rows=rows)


def _quota(desk: Desk, quota: Quota) -> str:
    most = desk.currency.text(quota.most, exact=True) if quota.unit == "wei" else f"{quota.most:,} calls"
    return f"{quota.name} {most} a {quota.period}"


def _state(key: ApiKey, now_ms: int) -> str:
    if key.revoked_ms is not None:
        return f"revoked {instant_text(key.revoked_ms)}"
    if key.expires_ms is None:
        return "valid"
    return f"{'valid until' if key.is_good(now_ms) else 'expired'} {instant_text(key.expires_ms)}"
