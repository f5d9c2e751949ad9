"""Texts from outside as they may be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.showing import printable, printable_json, redacted

SECRET = "S3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///meter.db", "sqlite:///meter.db"),
        ("memory://", "memory://"),
        ("redis://host:6379/0?prefix=m:&durable=1", "redis://host:6379/0?prefix=m:&durable=1"),
        ("redis://:S3cr3t@host:6379/0", "redis://:…@host:6379/0"),
        ("redis://host/0?password=S3cr3t&shards=2", "redis://host/0?password=…&shards=2"),
        ("redis://host/0?username=u&PassWord=S3cr3t", "redis://host/0?username=…&PassWord=…"),
        ("postgresql://ann:S3cr3t@h1:5432,h2/db?sslmode=require", "postgresql://ann:…@h1:5432,h2/db?sslmode=require"),
        ("postgresql://ann@host/db?sslpassword=S3cr3t", "postgresql://ann@host/db?sslpassword=…"),
        ("postgresql://host/db?pass%77ord=S3cr3t", "postgresql://host/db?pass%77ord=…"),
        ("postgresql://ann:a/S3cr3t@host/db", "postgresql://ann:…@host/db"),
        ("postgresql://ann:a@S3cr3t@host/db", "postgresql://ann:…@host/db"),
        ("redis://:a?S3cr3t@host", "redis://…"),
        ("redis://host/0?password=a@S3cr3t", "redis://…"),
        ("redis://:a#S3cr3t@host/0", "redis://:…@host/0"),
        ("redis://host/0#S3cr3t", "redis://host/0#…"),
        ("redis://ann:S3cr3t", "redis://ann:…"),
        ("redis://ann:S3cr3t/0", "redis://ann:…/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("postgresql://h1:5432,ann:S3cr3t/db", "postgresql://h1:5432,ann:…/db"),
        ("host=h user=u password=S3cr3t dbname=d", "host=h user=u password=… dbname=d"),
        ("host=h password='S3cr3t S3cr3t' dbname=d", "host=h password=… dbname=d"),
        ("ann:S3cr3t@host", "…@host"),
        ("https://S3cr3t@node.example/api", "https://…@node.example/api"),
        ("https://ann:S3cr3t@node.example/api", "https://…@node.example/api"),
        ("https://node.example/api?S3cr3t", "https://node.example/api?…"),
        ("https://node.example/api?k=S3cr3t", "https://node.example/api?k=…"),
        ("https://node.example/v3/S3cr3t0123456789abcdef", "https://node.example/v3/…"),
        ("https://node.example:8443/api", "https://node.example:8443/api"),
        ("http://127.0.0.1:4000/api", "http://127.0.0.1:4000/api"),
    ],
)
def test_redacted__any_url__has_no_secret_and_says_where(url: str, shown: str) -> None:
    assert redacted(url) == shown


@given(st.text(), st.sampled_from(["redis", "postgresql", "https"]), st.sampled_from(["{}:{}@h/0", "h/0?password={1}"]))
def test_redacted__any_password__is_not_in_it(text: str, scheme: str, form: str) -> None:
    password = f"{SECRET}{text}{SECRET}"
    assert SECRET not in redacted(f"{scheme}://{form.format('ann', password)}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("weather", "weather"),
        ("Zürich 天気", "Zürich 天気"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("a\u2066b\u200eb", "a\\u2066b\\u200eb"),
        ("a\rb\nc", "a\\rb\\nc"),
        ("a\U000e0001b", "a\\U000e0001b"),
        ("a\ud800b", "a\\ud800b"),
    ],
)
def test_printable__what_a_terminal_would_act_on__is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_printable__line_ends_that_are_kept__stay() -> None:
    assert printable("a\n\x1bb", keep="\n") == "a\n\\x1bb"


@given(st.text())
def test_printable_json__any_text__is_printable_and_the_same(text: str) -> None:
    encoded = printable_json(json.dumps([text], ensure_ascii=False))
    assert encoded.isprintable()
    assert json.loads(encoded) == [text]
