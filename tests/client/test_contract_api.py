"""Names in `contract_api` and the contract's own, held against each other both ways."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from api_billing.contract_api import (
    EVENTS,
    EXPLANATIONS,
    METHODS,
    Code,
    Event,
    Kind,
    Method,
    in_words,
    next_step,
    split_refusal,
)
from api_billing.contract_source import contract_path
from genlayer_localnet import Localnet

ROOT = Path(__file__).parents[2]
SOURCE = contract_path().read_text(encoding="utf-8")


def _reference_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contract_reference", ROOT / "tools" / "contract_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def schema_methods() -> dict[str, dict[str, object]]:
    net = Localnet()
    receipt = net.deploy(contract_path(), sender="0x" + "0e" * 20)
    methods: dict[str, dict[str, object]] = net.schema(receipt.to)["methods"]
    return methods


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


def test_codes__of_the_contract__are_all_named_in_its_order() -> None:
    tool = _reference_tool()
    assert [code.value for code in Code] == list(tool.error_texts(tool.ast.parse(SOURCE)))


def test_events__of_the_contract__have_the_same_names_and_fields() -> None:
    tool = _reference_tool()
    rows = [line for line in tool.reference(SOURCE).splitlines() if line.startswith("| `") and line.count("|") == 4]
    told = {}
    for row in rows:
        name, indexed, others = ([word.strip(" `") for word in cell.split(",")] for cell in row.strip("|").split("|"))
        told[name[0]] = (tuple(indexed), set(others))
    assert {event.value: (fields.indexed, set(fields.others)) for event, fields in EVENTS.items()} == told
    assert set(EVENTS) == set(Event)


@pytest.mark.parametrize("code", Code)
def test_code__every__has_a_meaning_and_a_next_step(code: Code) -> None:
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
        ("exit_code 1", None),
        ("", None),
    ],
)
def test_split_refusal__of_an_error_text__is_code_and_text(message: str, refusal: tuple[str, str] | None) -> None:
    assert split_refusal(message) == refusal


def test_source__plain_ascii__so_that_genlayer_py_can_ask_for_its_schema() -> None:
    # genlayer-py encodes the source as ASCII there, and gltest builds its contracts from that schema.
    assert [number for number, line in enumerate(SOURCE.splitlines(), 1) if not line.isascii()] == []
