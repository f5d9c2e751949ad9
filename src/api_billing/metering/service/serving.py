"""Running the HTTP meter with uvicorn, in one process or several on one store."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.meter import Meter
from api_billing.metering.observing.logs import configure_logging
from api_billing.metering.observing.metrics import counting_together
from api_billing.metering.service.access import Access
from api_billing.metering.service.app import create_app
from api_billing.metering.settings import PREFIX, MeterSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_APP: Final = "api_billing.metering.service.serving:app_from_environment"
_LOGGERS: Final = ("api_billing", "uvicorn")
_KEEP_ALIVE_SECONDS: Final = 30  # longer than clients keep a connection for reuse, or they find it closed
_BACKLOG: Final = 2048
_CONNECTIONS: Final = 1_000  # of a process; whoever comes then gets 503
_OBJECTS_BETWEEN_COLLECTIONS: Final = 20_000


def app_from_environment() -> FastAPI:
    """The application of a meter as the environment says: what each worker process runs."""
    configure_logging(MeterSettings.load(), loggers=_LOGGERS)
    meter = Meter.open()
    tokens = {name: getattr(meter.settings, name).get_secret_value() for name in ("service_token", "admin_token")}
    app = create_app(meter, **tokens, close_meter=True)
    # What is there now stays, and requests that wait for the store have many objects that are no garbage: without this,
    # the collector works at every tenth request, and looks at everything at every thousandth.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    return app


def check(meter: Meter, service_token: str, admin_token: str) -> None:
    """Raises: InvalidSetting, as ``create_app`` would in each worker."""
    Access(meter, service_token, admin_token)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises: InvalidSetting when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, TypeError, ValueError) as error:
        raise InvalidSetting(
            f"nobody can listen on {host} port {port}: {error}", hint="is it in use? take another with --port"
        ) from error
    listening.set_inheritable(True)
    return listening


def url_of(listening: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    listening: socket.socket, *, store_url: str, service_token: str, admin_token: str = "", workers: int = 1
) -> None:
    """Serve until interrupted. Several workers share the store; each opens it itself."""
    import uvicorn

    from api_billing.metering.service.bounded import BoundedProtocol

    # Workers are started anew and read the environment; secrets are in no argument that other users could see.
    os.environ[f"{PREFIX}STORE_URL"] = store_url
    os.environ[f"{PREFIX}SERVICE_TOKEN"] = service_token
    os.environ[f"{PREFIX}ADMIN_TOKEN"] = admin_token
    together = counting_together() if workers > 1 and MeterSettings.load().metrics else nullcontext()
    with together:
        uvicorn.run(
            _APP,
            factory=True,
            fd=listening.fileno(),
            workers=workers,
            access_log=False,
            log_config=None,
            log_level=logging.ERROR,  # its warnings are of what clients send
            http=BoundedProtocol,
            ws="none",
            limit_concurrency=_CONNECTIONS,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            lifespan="on",
        )
