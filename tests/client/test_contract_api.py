"""Names in `contract_api` and the contract's own, held against each other both ways."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_billing.contract_api import (
    CLOSE_SECONDS,
    DAY_SECONDS,
    EVENTS,
    EVIDENCE_URL,
    EXPLANATIONS,
    JUDGE_SECONDS,
    MAX_CLAIM,
    MAX_HOLD_DAYS,
    METHODS,
    SETTLED_DAYS,
    Code,
    CourtCode,
    Event,
    Kind,
    Method,
    in_words,
    next_step,
    split_refusal,
)
from api_billing.contract_source import contract_path
from genlayer_localnet import Localnet, Receipt

SOURCE = contract_path().read_text(encoding="utf-8")
RELAY = Path(__file__).parents[1] / "contract" / "contracts" / "relay.py"
OPERATOR, HEIR, ALICE = ("0x" + each * 20 for each in ("0e", "1f", "a1"))


@pytest.fixture(scope="module")
def schema_methods() -> dict[str, dict[str, object]]:
    net = Localnet()
    receipt = net.deploy(contract_path(), sender="0x" + "0e" * 20)
    methods: dict[str, dict[str, object]] = net.schema(receipt.to)["methods"]
    return methods


def test_bounds__checked_before_sending__are_those_of_the_contracts() -> None:
    court = contract_path().with_name("usage_court.py").read_text(encoding="utf-8")
    assert f"\nMAX_HOLD_SECONDS = {MAX_HOLD_DAYS} * DAY_SECONDS\n" in SOURCE
    for line in (
        f"\nSETTLED_DAYS = {SETTLED_DAYS} ",
        f"\nJUDGE_SECONDS = {JUDGE_SECONDS // DAY_SECONDS} * DAY_SECONDS ",
        f"\nCLOSE_SECONDS = {CLOSE_SECONDS // DAY_SECONDS} * DAY_SECONDS ",
        f"\nMAX_CLAIM = {MAX_CLAIM:_} ",
    ):
        assert line in court
    assert f'\nURL = re.compile("{EVIDENCE_URL.pattern}")\n' in court


def test_methods__of_the_contract__are_all_named_and_no_others(schema_methods: dict[str, object]) -> None:
    assert {method.value for method in Method} == set(schema_methods)


@pytest.mark.parametrize("method", Method)
def test_method__parameters_and_kind__are_those_of_the_schema(
    method: Method, schema_methods: dict[str, dict[str, object]]
) -> None:
    told, signature = schema_methods[method], METHODS[method]
    params = told["params"]
    assert isinstance(params, list)
    assert tuple(param[0] for param in params) == signature.parameters
    kind = Kind.VIEW if told["readonly"] else Kind.PAYABLE if told.get("payable") else Kind.WRITE
    assert kind is signature.kind


@pytest.mark.parametrize("code", Code)
def test_code__named_here__is_one_of_the_contract(code: Code) -> None:
    # That the contract has no others: tests/contract/static.
    texts = (node.value for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Constant))
    assert any(re.search(rf"\b{code}\b", text) for text in texts if isinstance(text, str))


def a_story_of_every_event() -> Iterator[Receipt]:
    """What happens to an API with a promise in a week, and to one that is handed over."""
    net = Localnet()
    contract, court = (net.deploy(code, sender=OPERATOR).to for code in (contract_path(), RELAY))

    def call(sender: str, method: str, *args: object, value: int = 0) -> Receipt:
        return net.write(contract, method, *args, sender=sender, value=value)

    net.fund(ALICE, 10**6)
    yield call(OPERATOR, "register_api", "maps", 7, 9)
    yield call(OPERATOR, "propose_operator", "maps", HEIR)
    yield call(HEIR, "accept_operator", "maps")
    yield call(OPERATOR, "register_api", "weather", 10, 99)
    yield call(OPERATOR, "set_plan", "weather", "gold", 10, 0, 0)
    yield call(OPERATOR, "set_api_active", "weather", True)
    yield call(OPERATOR, "set_promise", "weather", str(court), 3, 100, "It answers.")
    net.advance(1 * DAY_SECONDS)
    day_id = int(net.now.timestamp()) // DAY_SECONDS
    yield call(ALICE, "subscribe", "weather", 10**6, 1_000, value=1_000)
    yield call(ALICE, "top_up_credit", 1, value=2)
    yield call(ALICE, "place_hold", "weather", 100, int(net.now.timestamp()) + 60)
    yield call(ALICE, "consume_credit", "weather", ALICE)
    entry = {"consumer": ALICE, "day_id": day_id, "calls": 100, "spend_wei": 1}
    yield call(OPERATOR, "settle_usage", "weather", 1, [entry])
    yield call(ALICE, "withdraw_credit", 880)
    net.advance(2 * DAY_SECONDS)
    for args in (("freeze_by_court", ["weather", ALICE, day_id]), ("refund_by_court", ["weather", ALICE, day_id, 5])):
        yield from net.write(court, "send", str(contract), *args, sender=OPERATOR).children
    net.advance(2 * DAY_SECONDS)
    yield call(HEIR, "collect_earnings", "weather")
    yield call(OPERATOR, "withdraw_earnings", 1)
    yield call(ALICE, "release_hold", "weather")
    yield call(ALICE, "unsubscribe", "weather")


def test_events__of_the_contract__have_the_same_names_and_fields() -> None:
    told = {}
    for receipt in a_story_of_every_event():
        assert receipt.kind == "return", receipt.message
        for event in receipt.events:
            told[str(event.name)] = set(event.fields)
    assert {event.value: {*fields.indexed, *fields.others} for event, fields in EVENTS.items()} == told
    assert set(EVENTS) == set(Event)


def test_events__indexed_fields__are_those_of_the_source() -> None:
    found = {
        node.name: tuple(arg.arg for arg in node.body[0].args.posonlyargs[1:])
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ClassDef)
        and [ast.unparse(base) for base in node.bases] == ["gl.Event"]
        and isinstance(node.body[0], ast.FunctionDef)
    }
    assert {event.value: fields.indexed for event, fields in EVENTS.items()} == found


@pytest.mark.parametrize("code", [*Code, *CourtCode])
def test_code__every__has_a_meaning_and_a_next_step(code: str) -> None:
    explanation = EXPLANATIONS[code]
    assert explanation.meaning
    assert explanation.next_step
    assert (in_words(code), next_step(code)) == (explanation.meaning, explanation.next_step)


def test_in_words__unknown_code__is_the_code_without_underscores() -> None:
    assert (in_words("later_reason"), next_step("later_reason")) == ("later reason", "")


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("[EXPECTED] api_paused: api is paused", ("api_paused", "api is paused")),
        (
            "execution failed: [EXPECTED] bad_type: wrong type of argument (calls)",
            ("bad_type", "wrong type of argument (calls)"),
        ),
        ("[EXPECTED] no_verdict", ("no_verdict", "")),
        ("exit_code 1", None),
        ("", None),
    ],
)
def test_split_refusal__of_an_error_text__is_code_and_text(message: str, refusal: tuple[str, str] | None) -> None:
    assert split_refusal(message) == refusal


def test_source__plain_ascii__so_that_genlayer_py_can_ask_for_its_schema() -> None:
    # genlayer-py encodes the source as ASCII there, and gltest builds its contracts from that schema.
    assert [number for number, line in enumerate(SOURCE.splitlines(), 1) if not line.isascii()] == []
