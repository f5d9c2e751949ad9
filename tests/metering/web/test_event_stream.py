"""Events of ours between those of an application."""

import json

import pytest

from api_billing.metering.request.http import TextHeaders
from api_billing.metering.web.event_stream import EventStream, is_event_stream

KIND = ("Content-Type", "text/event-stream; charset=utf-8")


@pytest.mark.parametrize(
    ("fields", "can"),
    [
        ([KIND], True),
        ([("content-type", "Text/Event-Stream")], True),
        ([KIND, ("Content-Encoding", "identity")], True),
        ([KIND, ("Content-Encoding", "gzip")], False),
        ([KIND, ("Content-Length", "5")], False),
        ([("Content-Type", "text/plain")], False),
        ([], False),
    ],
)
def test_response__of_these_fields__has_or_has_no_place_for_events(fields: list[tuple[str, str]], can: bool) -> None:
    assert is_event_stream(TextHeaders(fields)) is can


@pytest.mark.parametrize(
    ("pieces", "is_between"),
    [
        ([], True),
        ([b"data: 1\n\n"], True),
        ([b"data: 1\r\n\r\n"], True),
        ([b"data: 1\r\r"], True),
        ([b"data: 1\n", b"\n"], True),
        ([b"data: 1\r\n\r", b"\n"], True),
        ([b"data: 1\n\n", b""], True),
        ([b"data: 1\n"], False),
        ([b"data: 1\n\n", b"da"], False),
        ([b"data: 1\r\n"], False),
    ],
)
def test_event__after_these_pieces__stands_alone_or_not(pieces: list[bytes], is_between: bool) -> None:
    stream = EventStream()
    for piece in pieces:
        stream.passed(piece)
    assert stream.is_between is is_between


def test_event__is_one_line_of_json__and_ends_what_was_left_open() -> None:
    stream = EventStream()
    assert stream.event("x", {"a": "1"}) == b'event: x\ndata: {"a":"1"}\n\n'
    stream.passed(b"data: half")
    text = stream.event("x", {"a": "\n"})
    assert text.startswith(b"\n\nevent: x\n")
    assert json.loads(text.split(b"data: ")[1]) == {"a": "\n"}
