"""What is installed only where it is asked for: the package's extras, and the error that says which one is missing.

with needed_by(__name__):
    import psycopg
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from api_billing.errors import MissingExtra

# By extra: what it is for its users, and the modules that it brings.
EXTRAS: Final = {
    "alerts": ("apprise", {"apprise"}),
    "chain": (
        "genlayer-py",
        {"coincurve", "eth_abi", "eth_account", "eth_utils", "genlayer_py", "python_minifier", "requests"},
    ),
    "cli": ("typer", {"rich", "typer"}),
    "django": ("django", {"django"}),
    "fastapi": ("fastapi", {"fastapi", "starlette"}),
    "flask": ("flask", {"flask", "werkzeug"}),
    "jwt": ("pyjwt", {"cryptography", "jwt"}),
    "localnet": ("genlayer-localnet", {"genlayer_localnet"}),
    "metrics": ("prometheus-client", {"prometheus_client"}),
    "otel": ("opentelemetry-api", {"opentelemetry"}),
    "payer": ("httpx", {"anyio", "httpx"}),
    "postgresql": ("psycopg", {"psycopg"}),
    "redis": ("redis", {"redis"}),
    "serve": ("uvicorn", {"uvicorn"}),
}


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Import within this what an extra brings; any other error of the imports goes on as it is.

    Raises: MissingExtra, which names ``what`` was to be used and how to install the rest.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        for extra, (distribution, modules) in EXTRAS.items():
            if missing in modules:
                message = f"{what} needs {distribution}: pip install 'api-billing[{extra}]', of a checkout '.[{extra}]'"
                raise MissingExtra(message, name=missing) from error
        raise
