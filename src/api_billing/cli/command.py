"""Makes commands of functions: the options that every command has are put into its signature, so that the function
itself only has its own.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperGroup

from api_billing.cli.options import Options
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.showing import printable


class PlainGroup(TyperGroup):
    """A group that says what is wrong with its arguments without what of them could disturb a terminal."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """As the base class does."""
        with _plain_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """As the base class does."""
        with _plain_errors():
            return super().invoke(ctx)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # of click, which typer has a copy of
            error.message = printable(error.message, keep="\n")  # type: ignore[attr-defined]
        raise


_HINTS = get_type_hints(Options, include_extras=True)


def _parameters(*, with_environment: bool, of_chain: bool = True) -> list[inspect.Parameter]:
    """The options as parameters. The environment is asked once: what stands before a command counts more than it.

    Not ``of_chain``, those that are about the chain are taken, and not shown.
    """
    found = []
    for each in fields(Options):
        kind, option = get_args(_HINTS[each.name])
        if not with_environment:
            option = copy.copy(option)
            option.envvar = None
        if not of_chain and each.name != "json":
            option.hidden = True
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
    app: typer.Typer, name: str, *, writes: bool = False, of_chain: bool = True
) -> Callable[[Callable[..., Shown | None]], Callable[..., None]]:
    """Make a command of a function that takes a `Session` first. What it returns, if anything, is printed.

    ``writes`` marks commands that send a transaction, for the reference; those that are not ``of_chain`` show none of
    its options.
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
        _sign(run, [context, *own, *_parameters(with_environment=False, of_chain=of_chain)])
        app.command(name)(run)
        return run

    return register


def _sign(function: Any, parameters: list[inspect.Parameter]) -> None:
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
