"""`api-billing meter migrate`: a store that an older program has made."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from api_billing.cli.command import command
from api_billing.cli.meter_session import Store, progress, store_url
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.showing import redacted

if TYPE_CHECKING:
    from collections.abc import Callable


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "migrate", of_chain=False)(migrate)


def migrate(
    session: Session,
    store: Store = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it has to be done.")] = False,
) -> Shown:
    """Bring a store that an older program has made to this one's schema. Broken off, it can be repeated.

    Back it up and stop its processes before: PostgreSQL and Redis shut them out, SQLite waits for none.
    """
    from api_billing.metering.stores import migrate_store
    from api_billing.metering.stores.migrations import SCHEMA_VERSION

    url = store_url(store)
    with ExitStack() as shown:
        bars: dict[str, Callable[[int], None]] = {}

        def tell(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                shown.close()
                bars[what] = shown.enter_context(progress(session.printer, what, total))
            bars[what](done)

        migrated = migrate_store(url, check=check, tell=tell)
    data = {"store": redacted(url), "was": migrated.was, "schema": SCHEMA_VERSION, "backup": migrated.backup}
    if not migrated.was:
        return Shown(data, f"{redacted(url)} has no store of the meter yet, and who opens it makes it: nothing to do")
    if migrated.was == SCHEMA_VERSION:
        return Shown(data, f"{redacted(url)} has schema version {SCHEMA_VERSION}: nothing to do")
    text = f"{redacted(url)}: schema version {migrated.was} has become {SCHEMA_VERSION}"
    if migrated.backup:
        text += f"\nas it was before: {migrated.backup}"
    if migrated.ended:
        text += f"\nsessions of running processes that were ended: {migrated.ended}"
    return Shown(data, text)
