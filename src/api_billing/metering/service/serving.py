"""Running the HTTP meter with uvicorn, in one process or several on one store."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import socket
import time
from contextlib import nullcontext
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Final

from api_billing.metering.errors import InvalidSetting, MeterError
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
_HUNG_SECONDS: Final = 30  # after which a worker that says nothing is killed; a busy machine takes long to start one
_CONNECTIONS: Final = 1_000  # of a process; whoever comes then gets 503
_OBJECTS_BETWEEN_COLLECTIONS: Final = 20_000
_TRY_AGAIN_SECONDS: Final = 3.0
_CANNOT_START: Final = 4  # no status of uvicorn's, which ends all workers for its own

_log = logging.getLogger("api_billing.metering.service")
_server_log = logging.getLogger("uvicorn.error")


def app_from_environment() -> FastAPI:
    """The application of a meter as the environment says: what each worker process runs."""
    configure_logging(MeterSettings.load(), loggers=_LOGGERS)
    _server_log.setLevel(logging.ERROR)  # its warnings are of what clients send
    try:
        return _app()
    except MeterError as error:
        if parent_process() is None:
            raise  # the command says so
        _log.error("a worker cannot start, and is tried again: %s", error)
        time.sleep(_TRY_AGAIN_SECONDS)
        raise SystemExit(_CANNOT_START) from error


def _app() -> FastAPI:
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


def _of_workers(record: logging.LogRecord) -> bool:
    """Whether a record of the process that starts workers is about one that ended, which is a warning."""
    if record.levelno < logging.ERROR and record.getMessage().endswith(" died"):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return record.levelno >= logging.WARNING


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
    settings = MeterSettings.load()
    configure_logging(settings, loggers=_LOGGERS)
    if workers > 1:
        _server_log.addFilter(_of_workers)
    together = counting_together() if workers > 1 and settings.metrics else nullcontext()
    with together:
        uvicorn.run(
            _APP,
            factory=True,
            fd=listening.fileno(),
            workers=workers,
            access_log=False,
            log_config=None,
            log_level=logging.INFO if workers > 1 else logging.ERROR,
            http=BoundedProtocol,
            ws="none",
            limit_concurrency=_CONNECTIONS,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_worker_healthcheck=_HUNG_SECONDS,
            lifespan="on",
        )
