"""`api-billing meter serve`: the HTTP meter."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from api_billing.cli.command import command
from api_billing.cli.meter_session import Store, opened
from api_billing.cli.session import Session
from api_billing.errors import InvalidInput
from api_billing.extras import needed_by


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "serve", of_chain=False)(serve)


def serve(
    session: Session,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Who can connect: 127.0.0.1 this machine only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(metavar="N", help="0 takes a free one.", min=0, max=65_535)] = 8790,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes that share the store.", min=1, max=64)] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the service token; otherwise API_BILLING_SERVICE_TOKEN."),
    ] = None,
    admin_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the admin token; otherwise API_BILLING_ADMIN_TOKEN, or no administration."
        ),
    ] = None,
    store: Store = None,
) -> None:
    """Serve reserve, settle, release and usage over HTTP, for services in any language. Ends with Ctrl-C."""
    # Told now, and not by each worker: a store that cannot be opened, a token or a pepper that is missing.
    with opened(store, serves=True) as meter:
        serving = _serving()
        token = _token(token_file) or meter.settings.service_token.get_secret_value()
        admin_token = _token(admin_token_file) or meter.settings.admin_token.get_secret_value()
        serving.check(meter, token, admin_token)
        url = meter.settings.store_url.get_secret_value()
        if workers > 1 and url.startswith("memory:"):
            raise InvalidInput("each worker would have a memory:// store of its own: --workers 1")
    from api_billing.showing import redacted

    with serving.listen(host, port) as listening:
        where = serving.url_of(listening)
        if session.printer.as_json:
            session.printer.json({"url": where, "pid": os.getpid(), "workers": workers, "store": redacted(url)})
        else:
            session.printer.text(f"HTTP meter on {where}, store {redacted(url)}; its description: {where}/openapi.json")
        if not serving.is_loopback(host):
            session.printer.note(
                "warning: others can connect, and what they send, tokens and API keys included, is not encrypted; "
                "put a proxy with TLS in front"
            )
        serving.serve(listening, store_url=url, service_token=token, admin_token=admin_token, workers=workers)


def _serving() -> ModuleType:
    with needed_by("the HTTP meter"):
        import uvicorn  # noqa: F401 - its extra brings all that serving needs

        from api_billing.metering.service import serving
    return serving


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the token file {file} cannot be read: {error}") from error
    if not token:
        raise InvalidInput(f"the token file {file} is empty")
    return token
