"""Log lines: JSON, with the request's id, and never a credential."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.identity.api_keys import new_key, parse_key
from api_billing.metering.observing.logs import (
    HIDDEN,
    JsonLines,
    SecretsRemoved,
    configure_logging,
    safe_request_id,
    without_secrets,
)
from api_billing.metering.observing.watching import Step, current_step
from api_billing.metering.settings import MeterSettings

KEY = new_key(b"a pepper of the tests", "ann", 0)
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.dGhpcyBpcyB0aGUgc2lnbmF0dXJl"


def secret_of(text: str) -> str:
    parsed = parse_key(text)
    assert parsed is not None
    return parsed.secret


SECRETS = [
    (f"key {KEY.text} given", secret_of(KEY.text)),
    (f"key {KEY.text[:30]}… given", KEY.text[12:30]),
    (f"x{KEY.text}x", secret_of(KEY.text)),
    (f"token {TOKEN}", "dGhpcyBpcyB0aGUgc2lnbmF0dXJl"),
    ("Authorization: Bearer s3cret-thing", "s3cret-thing"),
    ("authorization=Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    ("connect to redis://:hunter2@host:6379/0", "hunter2"),
    ("postgresql://ann:hunter2@host/db failed", "hunter2"),
    ("key_pepper='hunter2 and more'", "hunter2"),
    ('{"password": "hunter2"}', "hunter2"),
    (r'{"password": "a\"hunter2"}', "hunter2"),
    (r"password='a\'hunter2'", "hunter2"),
    ("redis://:a/hunter2@host:6379/0", "hunter2"),
    ("secret_key=hunter2", "hunter2"),
    ("passphrase: hunter2", "hunter2"),
    ("password: 'hunter2 cut off", "hunter2"),
    ("api-key: hunter2", "hunter2"),
    ("?access_token=hunter2&x=1", "hunter2"),
    ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
]

# Keys differ from run to run; names of tests must not.
SECRET_NAMES = [
    "key",
    "key cut off",
    "key in a word",
    "jwt",
    "bearer",
    "basic",
    "redis url",
    "postgresql url",
    "pepper",
    "json",
    "json with a quote",
    "quote",
    "slash in a url",
    "secret key",
    "passphrase",
    "quote cut off",
    "field",
    "query",
    "webhook",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS, ids=SECRET_NAMES)
def test_without_secrets__credential__is_hidden(text: str, secret: str) -> None:
    assert secret not in without_secrets(text)
    assert HIDDEN in without_secrets(text)


def test_without_secrets__key__keeps_its_id() -> None:
    assert KEY.stored.key_id in without_secrets(KEY.text)


@pytest.mark.parametrize(
    "text", ["", "12 tokens used", "GET /forecast?city=Bern 200", "https://host:8000/a@b", "01J9ZK3Q8M settled 5 wei"]
)
def test_without_secrets__ordinary_text__is_unchanged(text: str) -> None:
    assert without_secrets(text) == text


@given(st.text(max_size=40), st.text(max_size=40))
def test_without_secrets__key_amid_any_text__is_hidden(before: str, after: str) -> None:
    assert secret_of(KEY.text) not in without_secrets(before + KEY.text + after)


JSON = MeterSettings.load(log_format="json")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("api_billing", "of_the_app", "")]
    kept = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, kept, strict=True):
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


@pytest.fixture
def stream() -> io.StringIO:
    made = io.StringIO()
    configure_logging(JSON, made)
    return made


LOGGER = logging.getLogger("api_billing.tests")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines__record__has_time_level_logger_and_message(stream: io.StringIO) -> None:
    LOGGER.warning("charged %d wei", 5)
    (line,) = lines(stream)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "api_billing.tests", "charged 5 wei")
    assert line["time"].endswith("Z")


def test_json_lines__while_a_request_is_served__has_its_id(stream: io.StringIO) -> None:
    token = current_step.set(Step("reserve", request_id="r-1"))
    LOGGER.info("x")
    current_step.reset(token)
    LOGGER.info("y")
    assert [line.get("request_id") for line in lines(stream)] == ["r-1", None]


def test_json_lines__line_breaks_in_a_message__stay_within_one_line(stream: io.StringIO) -> None:
    LOGGER.info('a\n{"level": "forged"}')
    assert [line["level"] for line in lines(stream)] == ["info"]


def test_json_lines__extras__are_members(stream: io.StringIO) -> None:
    LOGGER.info("x", extra={"alert": {"kind": "dropped", "left": 5}})
    assert lines(stream)[0]["alert"] == {"kind": "dropped", "left": 5}


def test_json_lines__below_the_level__is_not_written(stream: io.StringIO) -> None:
    LOGGER.debug("x")
    assert lines(stream) == []


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_configure_logging__again__replaces_the_handler(stream: io.StringIO, log_format: str) -> None:
    configure_logging(MeterSettings.load(log_format=log_format), stream)
    configure_logging(JSON, stream)
    LOGGER.info("x")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e"), ("ERROR", "e")],
)
def test_configure_logging__level__is_that_of_the_settings(level: str, written: str) -> None:
    made = io.StringIO()
    configure_logging(MeterSettings.load(log_format="json", log_level=level), made)
    for letter, log in zip("diwe", (LOGGER.debug, LOGGER.info, LOGGER.warning, LOGGER.error), strict=True):
        log(letter)
    assert "".join(line["message"] for line in lines(made)) == written


def test_configure_logging__loggers_of_the_application__stay_as_they_are(stream: io.StringIO) -> None:
    root, own = logging.getLogger(), logging.getLogger("of_the_app")
    before = (root.handlers[:], root.level, own.handlers, own.level, own.propagate)
    configure_logging(JSON, stream)
    own.warning("not ours")
    assert (root.handlers[:], root.level, own.handlers, own.level, own.propagate) == before
    assert stream.getvalue() == ""


def test_configure_logging__loggers_that_it_is_given__are_written_too() -> None:
    made = io.StringIO()
    configure_logging(JSON, made, loggers=("api_billing", "of_the_app"))
    logging.getLogger("of_the_app").info("now ours")
    LOGGER.info("ours")
    assert [line["logger"] for line in lines(made)] == ["of_the_app", "api_billing.tests"]


def test_configure_logging__root_logger__keeps_its_level_and_has_each_record_once() -> None:
    made, level = io.StringIO(), logging.getLogger().level
    configure_logging(JSON, made, loggers=("api_billing", ""))
    LOGGER.info("ours")
    logging.getLogger("of_the_app").info("too fine")
    logging.getLogger("of_the_app").warning("theirs")
    assert ([line["message"] for line in lines(made)], logging.getLogger().level) == (["ours", "theirs"], level)


@pytest.fixture
def text() -> io.StringIO:
    made = io.StringIO()
    configure_logging(MeterSettings.load(), made)
    return made


def test_text_lines__record__has_time_level_logger_message_and_extras(text: io.StringIO) -> None:
    token = current_step.set(Step("reserve", request_id="r-1"))
    LOGGER.warning("charged %d wei", 5, extra={"api": "weather"})
    current_step.reset(token)
    stamp, _, rest = text.getvalue().partition("Z ")
    assert rest == "WARNING api_billing.tests: charged 5 wei request_id=r-1 api=weather\n"
    assert len(stamp) == len("2026-01-31 12:00:00.000")


def test_text_lines__line_breaks_and_escapes__stay_within_one_line(text: io.StringIO) -> None:
    LOGGER.info("a\n2026 ERROR forged\x1b[2J", extra={"note": "b\nc"})
    assert text.getvalue().count("\n") == 1
    assert "\x1b" not in text.getvalue()


def test_text_lines__exception__is_told_below(text: io.StringIO) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        LOGGER.exception("failed")
    assert text.getvalue().splitlines()[-1] == "ValueError: no"


@pytest.mark.parametrize(("text", "secret"), SECRETS, ids=SECRET_NAMES)
@pytest.mark.parametrize("way", ["message", "argument", "extra", "nested", "exception", "stack"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_configured__credential_in_any_place__is_not_in_the_log(
    log_format: str, text: str, secret: str, way: str
) -> None:
    stream = io.StringIO()
    configure_logging(MeterSettings.load(log_format=log_format), stream)
    if way == "message":
        LOGGER.info(text.replace("%", "%%"))
    elif way == "argument":
        LOGGER.info("got %s", text)
    elif way == "extra":
        LOGGER.info("got", extra={"note": text})
    elif way == "nested":
        LOGGER.info("got", extra={"note": [{"a": (text,)}]})
    elif way == "exception":
        try:
            raise ValueError(text)
        except ValueError:
            LOGGER.exception("failed")
    else:
        LOGGER.info("got %s", ValueError(text), stack_info=True)
    assert stream.getvalue()
    assert secret not in stream.getvalue()


@pytest.mark.parametrize("name", ["authorization", "x_api_key", "Cookie", "db_password", "key_pepper"])
def test_configured__extra_with_a_telling_name__is_hidden(stream: io.StringIO, name: str) -> None:
    LOGGER.info("x", extra={"headers": {name: "hunter2"}, name: "hunter2"})
    assert "hunter2" not in stream.getvalue()


def test_secrets_removed__with_another_formatter__hides_them_too() -> None:
    made = io.StringIO()
    handler = logging.StreamHandler(made)
    handler.addFilter(SecretsRemoved())
    record = logging.LogRecord("n", logging.INFO, "", 0, "got %s", (KEY.text,), None)
    handler.handle(record)
    assert secret_of(KEY.text) not in made.getvalue()


def test_json_lines__without_the_filter__hides_them_too() -> None:
    record = logging.LogRecord("n", logging.INFO, "", 0, "got %s", (KEY.text,), None)
    assert secret_of(KEY.text) not in JsonLines().format(record)


@pytest.mark.parametrize("given_id", ["a", "0a1b-2c", "x" * 128, "urn:uuid:1", "ab/cd=+@_."])
def test_safe_request_id__harmless__is_kept(given_id: str) -> None:
    assert safe_request_id([given_id], lambda: "new") == given_id


@pytest.mark.parametrize(
    "values",
    [[], [""], ["a", "b"], ["x" * 129], ["a b"], ["a\nb"], ["é"], [KEY.text], [TOKEN], ["a\n"]],
    ids=["none", "empty", "two", "long", "space", "line break", "not ascii", "key", "jwt", "line break at the end"],
)
def test_safe_request_id__absent_or_hostile__is_a_new_one(values: list[str]) -> None:
    assert safe_request_id(values, lambda: "new") == "new"
