"""Log records as text or JSON lines with the request's id, and without secrets.

The meter logs with the standard library below the logger ``api_billing``. ``configure_logging`` is for programs that
have no logging of their own; others may add ``SecretsRemoved`` to their handlers and use ``JsonLines`` as a formatter.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, TextIO

from api_billing.metering.observing.watching import current_step
from api_billing.showing import printable, printable_json

HIDDEN: Final = "[hidden]"
_SAFE_ID: Final = re.compile(r"[0-9A-Za-z._:@=+/-]{1,128}", re.ASCII)
_SECRET_NAMES: Final = re.compile(
    r"authorization|cookie|api[-_]?key|secret|passw(?:or)?d|passphrase|pepper|token(?!s)|private[-_]?key|signature",
    re.IGNORECASE,
)
_SECRETS: Final = (
    # API keys of ours, also cut off ones and in the middle of a word; the id may stay.
    (re.compile(r"ab_([0-9A-Za-z]{8})_[0-9A-Za-z]+"), rf"ab_\1_{HIDDEN}"),
    # JSON Web Tokens.
    (re.compile(r"eyJ[0-9A-Za-z_-]{5,}\.[0-9A-Za-z_-]*(\.[0-9A-Za-z_-]*)?"), HIDDEN),
    (re.compile(r"\b(bearer|basic|digest)\s+[^\s\"',;]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # Credentials in URLs: redis://:password@host, postgresql://user:password@host.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']*:(?!\d+/)[^\s\"']*@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # A node's, which may be a single word.
    (re.compile(r"(\b(?:https?|wss?)://)[^\s/@\"']+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"whsec_[0-9A-Za-z+/=_-]+"), HIDDEN),
    # key=value and "key": "value" with a name that says it.
    (
        re.compile(
            r"(?P<name>[\w-]*(?:authorization|cookie|api[-_]?key|secret(?:[-_]?key)?|passw(?:or)?d|passphrase|pepper|token"
            r"|private[-_]?key)"
            r"[\"']?\s*[=:]\s*)(?P<value>\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s,;&\"'}\]]+)",
            re.IGNORECASE,
        ),
        rf"\g<name>{HIDDEN}",
    ),
)
_PLAIN: Final = logging.LogRecord("", 0, "", 0, "", None, None)
_STANDARD: Final = frozenset(_PLAIN.__dict__) | {"message", "asctime", "taskName"}


def safe_request_id(values: Sequence[str], make: Callable[[], str]) -> str:
    """The id that a client or proxy gave a request (``X-Request-Id``) when it can do no harm, else a new one."""
    if len(values) == 1 and _SAFE_ID.fullmatch(values[0]) and not holds_secret(values[0]):
        return values[0]
    return make()


def without_secrets(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def holds_secret(text: str) -> bool:
    """Whether something in a text looks like a credential."""
    return without_secrets(text) != text


class SecretsRemoved(logging.Filter):
    """A filter for handlers that replaces credentials in messages, arguments, extras and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = without_secrets(record.exc_text)
        if record.stack_info:
            record.stack_info = without_secrets(record.stack_info)
        for name in record.__dict__.keys() - _STANDARD:
            record.__dict__[name] = _clean(name, record.__dict__[name])
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, request id, extras, and a traceback if there is one.

    Secrets are replaced, with or without the filter.
    """

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        for name, value in _extras(record).items():
            line.setdefault(name, value)
        if error := _error_of(self, record):
            line["error"] = error
        return printable_json(json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":")))


class TextLines(logging.Formatter):
    """A line for people: time (UTC), level, logger, message, and what belongs to it as ``name=value``; then a traceback
    if there is one. Secrets are replaced, and no message forges another line.
    """

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.created))
        message = printable(without_secrets(record.getMessage()))
        extras = "".join([f" {name}={printable(str(value))}" for name, value in _extras(record).items()])
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name}: {message}{extras}"
        error = _error_of(self, record)
        return f"{line}\n{printable(error, keep=chr(10))}" if error else line


class LogSettings(Protocol):
    """What of a meter's settings is about logs."""

    @property
    def log_format(self) -> Literal["text", "json"]:
        """How a record is written."""

    @property
    def log_level(self) -> str:
        """From which level on."""


class _Handler(logging.StreamHandler[TextIO]):
    """Made here, so that it may be replaced."""


def configure_logging(
    settings: LogSettings, stream: TextIO | None = None, *, loggers: Sequence[str] = ("api_billing",)
) -> None:
    """Write the records of the meter as its settings say, by default to standard error; the last call counts.

    Of the application's own logging nothing is changed, unless ``loggers`` name more of it; the root logger (``""``)
    keeps its level.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    handler.addFilter(SecretsRemoved())
    for name in loggers:
        logger = logging.getLogger(name)
        for old in [one for one in logger.handlers if isinstance(one, _Handler)]:
            logger.removeHandler(old)
        logger.addHandler(handler)
        if name:
            logger.setLevel(settings.log_level.upper())
            logger.propagate = False


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    step = current_step.get()
    extras: dict[str, Any] = (
        {} if step is None else {name: _clean(name, value) for name, value in step.members().items()}
    )
    for name, value in record.__dict__.items():
        if name not in _STANDARD:
            extras[name] = _clean(name, value)
    return extras


def _error_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    error = record.exc_text or (formatter.formatException(record.exc_info) if record.exc_info else "")
    return without_secrets(error)


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, dict):
        return {str(key): _clean(str(key), part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", part) for part in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return without_secrets(value if isinstance(value, str) else str(value))
