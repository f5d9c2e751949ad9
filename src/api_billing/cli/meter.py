"""`api-billing meter …`: consumers, credit and usage of the off-chain meter, and the HTTP meter."""

from __future__ import annotations

import typer

from api_billing.cli import (
    meter_consumers,
    meter_credit,
    meter_keys,
    meter_limits,
    meter_migrate,
    meter_records,
    meter_request_limits,
    meter_serve,
    meter_statement,
    meter_usage,
)

app = typer.Typer(
    no_args_is_help=True,
    help="The meter: consumers, keys, credit, limits, usage of HTTP APIs; serve it. --store stands after the command.",
)

meter_serve.add_to(app)
app.add_typer(meter_consumers.app, name="consumers")
app.add_typer(meter_keys.keys, name="keys")
app.add_typer(meter_consumers.tiers, name="tier")
app.add_typer(meter_credit.app, name="credit")
app.add_typer(meter_limits.quotas, name="quota")
app.add_typer(meter_limits.budgets, name="budget")
app.add_typer(meter_request_limits.app, name="limits")
meter_usage.add_to(app)
meter_statement.add_to(app)
meter_records.add_to(app)
meter_migrate.add_to(app)
