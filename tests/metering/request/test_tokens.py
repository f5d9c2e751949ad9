"""Prices by tokens: the usage of an answer of an OpenAI-compatible API, and what a request asks for at most."""

import gzip
import json
import logging
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering import Meter, MeteredRequest, TokenPrice, by_tokens, estimate_tokens, from_header
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredResponse, TextHeaders
from api_billing.metering.request.prices import Priced, price_of
from api_billing.metering.request.tokens import MAX_ANSWER_BYTES, MAX_EVENT_BYTES

from .test_exchange import Desk, code_of

TABLE = {"small": TokenPrice(3, 10), "large": TokenPrice(30, 100, cached_wei=7)}
CHAT = {"model": "small", "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
ESTIMATE_WEI = 777


def priced(*pieces: bytes, per: int = 1, body: bytes = b"", **fields: str) -> Priced:
    """The price of an answer that comes in these pieces."""
    price = by_tokens(TABLE, per=per)
    headers = TextHeaders([(name.replace("_", "-"), value) for name, value in fields.items()])
    watcher = price.watch(headers)
    for piece in pieces:
        watcher.see(piece)
    request = MeteredRequest("POST", "/chat", TextHeaders([]), body=body)
    flow = price_of(price, request, MeteredResponse(200, headers, watcher=watcher), ESTIMATE_WEI, 10)
    with pytest.raises(StopIteration) as end:
        next(flow)
    found: Priced = end.value.value
    return found


def answer(model: str = "small", **usage: Any) -> bytes:
    return json.dumps({"model": model, "usage": usage}).encode()


def event(said: Any) -> bytes:
    return b"data: " + json.dumps(said).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("usage", "wei"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, 5 * 30 + 2 * 100),
        ({"prompt_tokens": 5}, 5 * 30),  # embeddings
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}, 30 + 4 * 7 + 200),
        ({"input_tokens": 5, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 5}}, 5 * 7 + 200),
        ({"prompt_tokens": 5, "completion_tokens": None, "prompt_tokens_details": None}, 150),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 0),
    ],
)
def test_answer__with_usage__costs_its_tokens(usage: dict[str, Any], wei: int) -> None:
    assert priced(answer("large", **usage)) == Priced(wei)


def test_answer__for_a_part_of_the_table_s_tokens__is_rounded_up() -> None:
    assert priced(answer(prompt_tokens=1), per=1_000_000) == Priced(1)
    assert priced(answer(prompt_tokens=1_000_000), per=1_000_000) == Priced(3)


@pytest.mark.parametrize("model", ["small-2024-07-18", "small-0613", "small-20240718"])
def test_model__with_a_date__is_that_of_the_table(model: str) -> None:
    assert priced(answer(model, prompt_tokens=2)) == Priced(6)


def test_model__that_the_answer_names_otherwise__is_the_one_asked_for() -> None:
    assert priced(answer("model.gguf", prompt_tokens=2), body=b'{"model": "large"}') == Priced(60)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (answer("small-mini", prompt_tokens=5), "model without a price"),
        (answer("other", prompt_tokens=5), "model without a price"),
        (b'{"usage": {"prompt_tokens": 5}}', "model without a price"),
        (b'{"model": "small"}', "no usage"),
        (b'{"model": "small", "usage": null}', "no usage"),
        (answer(prompt_tokens=-1), "no usage"),
        (answer(prompt_tokens=True), "no usage"),
        (answer(prompt_tokens=1.5), "no usage"),
        (answer(prompt_tokens=2**64), "no usage"),
        (answer(prompt_tokens=1, prompt_tokens_details={"cached_tokens": 2}), "no usage"),
        (answer(total_tokens=5), "no usage"),
        (b"[" * 100_000, "no usage"),
        (b"", "no usage"),
        (b'{"model": "small", "usage": {"prompt_to', "no usage"),
        (b'["usage"]', "no usage"),
    ],
    ids=lambda given: None if isinstance(given, bytes) else given,
)
def test_answer__that_does_not_tell_its_cost__is_charged_the_whole_estimate_and_logged(
    body: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "api_billing.metering.prices"):
        assert priced(body) == Priced(ESTIMATE_WEI, why)
    assert f"is charged its whole estimate: {why}" in caplog.text


CHUNKS = [{"model": "small", "choices": [{"delta": {"content": '"usage": {"prompt_tokens": 0}'}}], "usage": None}] * 3
STREAM = b"".join(map(event, [*CHUNKS, {**CHAT, "choices": []}])) + b"data: [DONE]\n\n"


@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_stream__in_any_pieces__costs_the_usage_of_its_last_chunk(cuts: list[int], newline: bytes) -> None:
    whole = STREAM.replace(b"\n", newline)
    bounds = [0, *cuts, len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(bounds)]
    assert priced(*pieces, content_type="text/event-stream; charset=utf-8") == Priced(5 * 3 + 2 * 10)


def test_stream__of_the_responses_api__costs_the_usage_of_what_is_completed() -> None:
    usage = {"input_tokens": 5, "output_tokens": 2}
    said = [
        {"type": "response.created", "response": {"model": "small", "usage": None}},
        {"type": "response.output_text.delta", "delta": "hi"},
        {"type": "response.completed", "response": {"model": "small", "usage": usage}},
    ]
    assert priced(*map(event, said), content_type="text/event-stream") == Priced(35)


def test_stream__that_tells_its_usage_all_along__costs_the_last_it_told() -> None:
    told = [{"model": "small", "usage": {"prompt_tokens": 5, "completion_tokens": count}} for count in (1, 2, 3)]
    assert priced(*map(event, told), content_type="text/event-stream") == Priced(5 * 3 + 3 * 10)


def test_stream__without_usage__is_charged_the_whole_estimate() -> None:
    assert priced(*map(event, CHUNKS), content_type="text/event-stream") == Priced(ESTIMATE_WEI, "no usage")


def test_stream__with_an_event_that_is_too_long__reads_the_others() -> None:
    long = [b'data: {"usage": {' + b" " * MAX_EVENT_BYTES, b" " * MAX_EVENT_BYTES + b"}}\n\n", event(CHAT)]
    assert priced(*long, content_type="text/event-stream") == Priced(35)
    assert priced(*long[:2], content_type="text/event-stream") == Priced(ESTIMATE_WEI, "no usage")


def test_answer__too_long_to_keep__is_charged_the_whole_estimate() -> None:
    long = b" " * MAX_ANSWER_BYTES
    assert priced(long[20 + len(answer(prompt_tokens=1)) :], answer(prompt_tokens=1)) == Priced(3)
    assert priced(long, answer(prompt_tokens=1)) == Priced(ESTIMATE_WEI, "no usage")


def test_stream__however_long__is_not_kept() -> None:
    watcher = by_tokens(TABLE).watch(TextHeaders([("content-type", "text/event-stream")]))
    chunk = event(CHUNKS[0])
    tracemalloc.start()
    for _ in range(20_000):
        watcher.see(chunk)
    watcher.see(event(CHAT))
    found = watcher.found()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found is not None, most < 100_000) == (True, True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_answer__packed__is_unpacked(size: int) -> None:
    for plain, kind in ((STREAM, "text/event-stream"), (json.dumps(CHAT).encode(), "application/json")):
        packed = gzip.compress(plain)
        pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
        assert priced(*pieces, content_encoding="gzip", content_type=kind) == Priced(35)


@pytest.mark.parametrize("encoding", ["br", "gzip", "zstd"])
def test_answer__packed_in_a_way_that_cannot_be_read__is_charged_the_whole_estimate(encoding: str) -> None:
    found = priced(json.dumps(CHAT).encode(), content_encoding=encoding)
    assert found == Priced(ESTIMATE_WEI, "no usage")


def test_answer__that_unpacks_to_very_much__is_not_kept() -> None:
    packed = gzip.compress(b" " * 10 * MAX_ANSWER_BYTES)
    assert priced(packed, content_encoding="gzip") == Priced(ESTIMATE_WEI, "no usage")


def request(**said: Any) -> MeteredRequest:
    return MeteredRequest("POST", "/chat", TextHeaders([]), body=json.dumps({"model": "small", **said}).encode())


@pytest.mark.parametrize(
    ("said", "output"),
    [
        ({}, 50),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 9}, 9),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ({"max_tokens": 40, "max_output_tokens": 1}, 40),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 10**12}, 50),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": None, "n": None}, 50),
    ],
)
def test_estimate__of_a_body__is_its_length_and_the_output_it_asks_for(said: dict[str, Any], output: int) -> None:
    asked = request(messages=[{"role": "user", "content": "häh?" * 50}], **said)
    body = asked.content()
    assert estimate_tokens(TABLE, max_output=50, per=1)(asked) == -(-len(body) // 3) * 3 + output * 10


@pytest.mark.parametrize(
    "said", [{"previous_response_id": "r1"}, {"conversation": {"id": "c1"}}, {"prompt": {"id": "p1"}}]
)
def test_estimate__of_what_the_api_remembers__is_at_least_of_the_most_input(said: dict[str, Any]) -> None:
    assert estimate_tokens(TABLE, max_output=50, per=1, max_input=9_000)(request(**said)) == 9_000 * 3 + 50 * 10
    long = request(input="a" * 60_000, **said)
    estimate = estimate_tokens(TABLE, max_output=50, per=1, max_input=9_000)
    assert estimate(long) == -(-len(long.content()) // 3) * 3 + 50 * 10


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        ({"model": "other"}, "no price for the model 'other'"),
        ({"model": None}, "no price for the model None"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"max_tokens": "7"}, "max_tokens is '7'"),
        ({"n": 0}, "n is 0"),
        ({"n": 10**9}, "n is 1000000000"),
        ({"previous_response_id": "r1"}, "what the API remembers"),
        ({"conversation": {"id": "c1"}}, "what the API remembers"),
        ({"prompt": {"id": "p1"}}, "what the API remembers"),
        (["small"], "no JSON object with a model"),
    ],
)
def test_estimate__of_what_cannot_be_priced__refuses_the_request_and_says_why(
    said: Any, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    terms = {"estimate_wei": estimate_tokens(TABLE, max_output=50), "price": by_tokens(TABLE)}
    body = json.dumps({"model": "small", **said} if isinstance(said, dict) else said).encode()
    exchange = Exchange(desk.metering(**terms), desk.request(method="POST", body=body))
    answer = desk.begin(exchange)
    assert code_of(answer) == (400, "not_estimable")
    assert answer is not None
    assert logged in json.loads(answer.body)["detail"]
    assert logged in desk.records[-1].outcome.error
    assert logged in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: by_tokens({}),
        lambda: by_tokens({"small": (3, 10)}),  # type: ignore[dict-item]
        lambda: by_tokens(TABLE, per=0),
        lambda: TokenPrice(-1),
        lambda: TokenPrice(1.5),  # type: ignore[arg-type]
        lambda: TokenPrice(1, 2, cached_wei=-1),
        lambda: estimate_tokens(TABLE, max_output=-1),
        lambda: Desk().metering(price=by_tokens(TABLE), estimate_wei=0),
    ],
)
def test_table__that_cannot_be__is_an_invalid_setting(make: Any) -> None:
    with pytest.raises(InvalidSetting):
        make()


def test_table__of_texts__is_in_the_meter_s_currency() -> None:
    table = {"small": TokenPrice("0.15 usd", "0.60 usd", cached_wei="0.07 usd")}
    with Meter.open("memory://", identify=from_header("X"), currency="USD", currency_decimals=9) as meter:
        metering = meter.metering("chat", estimate_wei=estimate_tokens(table, max_output=1_000), price=by_tokens(table))
        assert metering.price == by_tokens({"small": TokenPrice(150_000_000, 600_000_000, 70_000_000)})
        assert callable(metering.estimate_wei)
        assert metering.estimate_wei(request(max_tokens=1_000)) == 13 * 150 + 600_000
