"""`api-billing keys …`: encrypted keystore files. A private key is never an argument and never printed."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from api_billing.cli.command import command
from api_billing.cli.drawing import table
from api_billing.cli.output import Shown
from api_billing.cli.session import Session, ask_password
from api_billing.errors import InvalidInput, KeyUnavailable
from api_billing.keys import PASSWORD_VARIABLE, KeyFile, create_key, import_key, keys_dir, list_keys

app = typer.Typer(no_args_is_help=True, help="Make, import and list encrypted keys.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called: --account NAME")]


@command(app, "create")
def create(session: Session, name: Name) -> Shown:
    """Make a new key, encrypted with a password."""
    made = create_key(name, _new_password(session, name))
    return Shown(_data(made), f"key {name} of {made.address} is in {made.path}")


@command(app, "import")
def import_(
    session: Session,
    name: Name,
    from_env: Annotated[str | None, typer.Option(metavar="VARIABLE", help="Environment variable with the key.")] = None,
    from_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the key.")] = None,
) -> Shown:
    """Encrypt an existing private key; without an option you are asked for it."""
    key = _existing_key(from_env, from_file)
    made = import_key(name, key, _new_password(session, name))
    return Shown(_data(made), f"key {name} of {made.address} is in {made.path}")


@command(app, "list")
def list_(session: Session) -> Shown:
    """The keys there are; no password is needed."""
    found = list_keys()
    return Shown([_data(each) for each in found], lambda: _list(found))


def _existing_key(variable: str | None, file: Path | None) -> str:
    if variable and file:
        raise InvalidInput("say either --from-env or --from-file")
    if variable:
        key = os.environ.get(variable)
        if not key:
            raise KeyUnavailable(f"the environment variable {variable} is not set")
        return key.strip()
    if file:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise KeyUnavailable(f"{file} cannot be read") from error
    if not sys.stdin.isatty():
        raise KeyUnavailable("nobody is there to ask for the key", hint="use --from-env or --from-file")
    return getpass.getpass("private key (not shown): ").strip()


def _new_password(session: Session, name: str) -> str:
    """A password that was typed is typed twice, as nobody can see it."""
    file = session.options.password_file
    password = ask_password(f"new password of {name}: ", file)
    typed = not file and PASSWORD_VARIABLE not in os.environ
    if typed and getpass.getpass("the same again: ") != password:
        raise InvalidInput("the passwords differ")
    return password


def _data(key: KeyFile) -> dict[str, str]:
    return {"name": key.name, "address": key.address, "path": str(key.path)}


def _list(found: list[KeyFile]) -> RenderableType:
    if not found:
        return Text(f"no keys in {keys_dir()}; make one with: api-billing keys create NAME")
    return table("name", "address", rows=[(key.name, key.address) for key in found])
