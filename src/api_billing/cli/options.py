"""Options that every command has, before or after its name: `api-billing --json report` is `api-billing report --json`.

`command` puts them into the signature of a command's function, so that the function itself only has its own.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Any, get_args, get_type_hints

import typer

from api_billing.cli.output import Shown
from api_billing.cli.session import Session


class On(StrEnum):
    """How far a write is followed."""

    ACCEPTED = "accepted"
    FINALIZED = "finalized"


Network = Annotated[
    str | None,
    typer.Option(
        help="localnet, studionet, testnet-asimov or testnet-bradbury.", envvar="API_BILLING_NETWORK", metavar="NAME"
    ),
]
Url = Annotated[
    str | None,
    typer.Option(help="JSON-RPC address of a node of that network.", envvar="API_BILLING_URL", metavar="URL"),
]
Contract = Annotated[
    str | None,
    typer.Option(
        help="Address of the billing contract; by default the one in deployments/NETWORK.json.",
        envvar="API_BILLING_CONTRACT",
        metavar="ADDRESS",
    ),
]
Account = Annotated[
    str | None,
    typer.Option(
        help="Who signs: a keystore's name or path, env:VARIABLE, or localnet:N.",
        envvar="API_BILLING_ACCOUNT",
        metavar="ACCOUNT",
    ),
]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        help="File with the keystore's password; otherwise API_BILLING_PASSWORD, or you are asked.",
        envvar="API_BILLING_PASSWORD_FILE",
        metavar="FILE",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, errors too; amounts in wei.")]
Until = Annotated[
    On | None,
    typer.Option("--on", help="Follow a write until it is accepted, or final.", envvar="API_BILLING_ON"),
]
Timeout = Annotated[
    float | None,
    typer.Option(help="How many seconds to follow a write; by default as suits the network.", metavar="SECONDS", min=0),
]


@dataclass
class Options:
    """The options as given; None and False where they are not."""

    network: Network = None
    url: Url = None
    contract: Contract = None
    account: Account = None
    password_file: PasswordFile = None
    json: Json = False
    on: Until = None
    timeout: Timeout = None

    def merged(self, later: Options) -> Options:
        """These, but for those that were given later in the line. A time-out of 0 is given."""
        given = {each.name: getattr(later, each.name) for each in fields(self)}
        return replace(
            self, **{name: value for name, value in given.items() if value is not None and value is not False}
        )


_HINTS = get_type_hints(Options, include_extras=True)


def _parameters(*, with_environment: bool) -> list[inspect.Parameter]:
    """The options as parameters. The environment is asked once: what stands before a command counts more than it."""
    found = []
    for each in fields(Options):
        kind, option = get_args(_HINTS[each.name])
        if not with_environment:
            option = copy.copy(option)
            option.envvar = None
        annotation: Any = Annotated[kind, option]
        parameter = inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default)
        found.append(parameter.replace(annotation=annotation))
    return found


def global_options(app: typer.Typer) -> None:
    """Let the options stand before the command."""

    def before(context: typer.Context, **given: Any) -> None:
        context.obj = Options(**given)

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    _sign(before, [context, *_parameters(with_environment=True)])
    app.callback()(before)


def command(
    app: typer.Typer, name: str, *, writes: bool = False
) -> Callable[[Callable[..., Shown | None]], Callable[..., None]]:
    """Make a command of a function that takes a `Session` first. What it returns, if anything, is printed.

    ``writes`` marks commands that send a transaction, for the reference.
    """

    def register(function: Callable[..., Shown | None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ]

        @functools.wraps(function)
        def run(context: typer.Context, **given: Any) -> None:
            later = Options(**{each.name: given.pop(each.name) for each in fields(Options)})
            options = context.obj.merged(later) if isinstance(context.obj, Options) else later
            session = Session(options, writes=writes)
            raise typer.Exit(session.report(lambda: function(session, **given)))

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        _sign(run, [context, *own, *_parameters(with_environment=False)])
        app.command(name)(run)
        return run

    return register


def _sign(function: Any, parameters: list[inspect.Parameter]) -> None:
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
