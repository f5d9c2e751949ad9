"""The whole command `api-billing`."""

from __future__ import annotations

from typing import Final

import typer

from api_billing import __version__
from api_billing.cli import (
    apis,
    billing,
    consumer,
    deploying,
    disputes,
    key_files,
    localnet,
    meter,
    operating,
    pay,
    promises,
    reports,
    sessions,
    settle,
    usage,
)
from api_billing.cli.command import PlainGroup, global_options
from api_billing.cli.exit_codes import MEANINGS

_HELP: Final = """Usage-based API billing on GenLayer: prepay, meter, settle, report.

Amounts are written 0.5gen, 3gwei, 7wei or as whole wei; those of a meter in its currency, as 5usd. The options below
can also stand after the command.
"""


def make_app() -> typer.Typer:
    """Build the command with all its groups."""
    codes = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
    app = typer.Typer(
        name="api-billing",
        cls=PlainGroup,
        help=_HELP,
        epilog=codes,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    global_options(app)
    app.add_typer(localnet.app, name="localnet")
    deploying.add_to(app)
    app.add_typer(apis.app, name="api")
    consumer.add_to(app)
    app.add_typer(consumer.holds, name="hold")
    app.add_typer(sessions.app, name="session")
    pay.add_to(app)
    billing.add_to(app)
    operating.add_to(app)
    settle.add_to(app)
    usage.add_to(app)
    reports.add_to(app)
    app.add_typer(promises.app, name="promise")
    app.add_typer(disputes.app, name="dispute")
    app.add_typer(key_files.app, name="keys")
    app.add_typer(meter.app, name="meter")
    app.command("version")(version)
    return app


def version() -> None:
    """The version of this package."""
    print(f"api-billing {__version__}")
