"""Log records as JSON lines with the request's id, and without secrets.

The meter logs with the standard library below the logger ``api_billing``. ``configure`` is for programs that have no
logging of their own; others may add ``SecretsRemoved`` to their handlers and use ``JsonLines`` as a formatter.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, TextIO

from api_billing.showing import printable_json

# The id of the request that is being served, for records that are logged meanwhile.
request_id: Final[ContextVar[str]] = ContextVar("api_billing_request_id", default="")

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
        if known := request_id.get():
            line["request_id"] = known
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                line.setdefault(name, _clean(name, value))
        error = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if error:
            line["error"] = without_secrets(error)
        return printable_json(json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":")))


def configure(level: int | str = logging.INFO, stream: TextIO | None = None) -> None:
    """Write the records of ``api_billing`` as JSON lines, by default to standard error; the last call counts."""
    logger = logging.getLogger("api_billing")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(SecretsRemoved())
    for old in [one for one in logger.handlers if isinstance(one.formatter, JsonLines)]:
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


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
