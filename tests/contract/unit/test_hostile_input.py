"""Bad input to every parameter of every public method: a code of the table, and nothing has changed."""

from typing import Any

import pytest

from genlayer_localnet import ContractRejected, InvalidArgument
from genlayer_localnet.address import Address

from ..market import ALICE, API, BOB, DEPOSIT, METER, OPERATOR, START, STRANGER, TODAY, Market, entry
from ..source import is_payable, is_view, parameters, public_methods, required
from .hostile_values import COURT, GOOD, PROMISED, hostile_to

METHODS = list(public_methods())
PARAMETERS = [(method, parameter) for method in METHODS for parameter in parameters(method)]


@pytest.fixture
def ready(market: Market) -> Market:
    """A scene in which every call of GOOD succeeds."""
    market.at("2026-01-11T12:00:00Z")
    market.register(PROMISED)
    market.ok("set_promise", PROMISED, COURT, 5, 50, "It answers.", sender=OPERATOR)
    for day in (12, 13):
        market.at(f"2026-01-{day}T12:00:00Z")
        market.subscribe(api_name=PROMISED)
        market.bill(api_name=PROMISED)
    market.at(START)
    market.ok("freeze_by_court", PROMISED, ALICE, TODAY - 3, sender=COURT)
    market.bill()
    market.ok("top_up_credit", 30, sender=BOB, value=30)
    market.ok("place_hold", API, 50, 1_768_478_430, sender=ALICE)
    market.ok("propose_operator", API, GOOD["accept_operator"][0], sender=OPERATOR)
    return market


def outcome(market: Market, relay: str, method: str, arguments: list[Any], value: int = 0) -> str:
    """What became of a call: the code of its refusal, "" when it was carried out, or the text of a VM error."""
    if is_view(method):
        return market.view_code(method, *arguments) or ""
    if method == "request_call":
        receipt = market.via(relay, method, *arguments)
    else:
        receipt = market.write(method, *arguments, sender=GOOD[method][0], value=value)
    if receipt.kind == "return":
        return str(receipt.value.get("code", "")) if isinstance(receipt.value, dict) else ""
    return str(receipt.error_code or receipt.message)


def test_table__has_every_method_with_its_parameters() -> None:
    assert {method: list(arguments) for method, (_, arguments) in GOOD.items()} == {
        method: parameters(method) for method in METHODS
    }


@pytest.mark.parametrize("method", METHODS)
def test_good_call__of_the_table__succeeds(ready: Market, method: str) -> None:
    value = 7 if method.startswith("top_up") else 0
    relay = ready.relay() if method == "request_call" else ""
    if relay:
        ready.via(relay, "subscribe", API, 100, 20, value=20)
    assert outcome(ready, relay, method, list(GOOD[method][1].values()), value) == ""


@pytest.mark.parametrize(("method", "parameter"), PARAMETERS)
def test_hostile_argument__alone_among_good_ones__is_refused_with_its_code(
    ready: Market, method: str, parameter: str
) -> None:
    relay = ready.relay() if method == "request_call" else ""
    before = ready.state()
    wrong = []
    for hostile, code in hostile_to(method, parameter):
        got = outcome(ready, relay, method, list((GOOD[method][1] | {parameter: hostile}).values()))
        if got != code:
            wrong.append((repr(hostile)[:80], code, got))
    assert wrong == []
    assert ready.state() == before


@pytest.mark.parametrize(("method", "parameter"), [pair for pair in PARAMETERS if is_payable(pair[0])])
def test_hostile_argument__of_a_call_with_value__credits_the_caller(ready: Market, method: str, parameter: str) -> None:
    sender, good = GOOD[method]
    wrong, credit, good = [], ready.credit(sender), dict(good)
    if method == "subscribe":
        good["initial_deposit_wei"] = 7
    cases = hostile_to(method, parameter)
    for hostile, code in cases:
        got = outcome(ready, "", method, list((good | {parameter: hostile}).values()), 7)
        if got != code:
            wrong.append((repr(hostile)[:80], code, got))
    assert wrong == []
    assert ready.credit(sender) == credit + 7 * len(cases)
    assert ready.view("get_solvency")["surplus_wei"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_number_of_arguments__wrong__is_a_vm_error_that_changes_nothing(ready: Market, method: str) -> None:
    sender, good = GOOD[method]
    arguments = list(good.values())
    calls: list[tuple[list[Any], dict[str, Any]]] = [([*arguments, 1], {}), (arguments, {"nonsense": 1})]
    if required(method):
        calls.append((arguments[: required(method) - 1], {}))
        calls.append((arguments, {parameters(method)[0]: arguments[0]}))
    before = ready.state()
    kinds = []
    for positional, named in calls:
        if is_view(method):
            with pytest.raises(ContractRejected) as rejected:
                ready.view(method, *positional, **named)
            kinds.append(rejected.value.kind)
        else:
            kinds.append(ready.write(method, *positional, sender=sender or ALICE, **named).kind)
    assert kinds == ["vm_error"] * len(calls)
    assert ready.state() == before


def test_arguments__by_name__are_as_good_as_by_place(ready: Market) -> None:
    receipt = ready.ok("consume_credit", consumer_address=ALICE, api_name=API, sender=ALICE)
    assert receipt.value["call_no"] == 2


@pytest.mark.parametrize("value", [1.5, float("nan"), {1, 2}, {1: 2}])
def test_argument__that_calldata_cannot_carry__never_reaches_the_contract(market: Market, value: object) -> None:
    with pytest.raises(InvalidArgument):
        market.write("withdraw_credit", value, sender=ALICE)


@pytest.mark.parametrize("method", ["nonsense", "_bill", "_pay", "_deposit", "__init__", "__class__", "accounts", ""])
def test_method__not_public__cannot_be_called(market: Market, method: str) -> None:
    before = market.state()
    assert market.write(method, ALICE, 1, sender=STRANGER).kind == "vm_error"
    assert market.state() == before


@pytest.mark.parametrize("method", [method for method in METHODS if is_view(method)])
def test_view__sent_as_a_transaction__changes_nothing(ready: Market, method: str) -> None:
    before = ready.state()
    receipt = ready.ok(method, *GOOD[method][1].values(), sender=STRANGER)
    assert (receipt.storage_writes, receipt.events) == (0, ())
    assert ready.state() == before


SPELLINGS = [
    ALICE,
    "0x" + ALICE[2:].upper(),
    Address(ALICE).as_hex,
    Address(ALICE),
    bytes.fromhex(ALICE[2:]),
]


@pytest.mark.parametrize("spelt", SPELLINGS, ids=["lower", "upper", "checksum", "Address", "bytes"])
def test_address__in_every_good_form__is_the_same_person(wide: Market, spelt: Any) -> None:
    wide.ok("top_up_for", spelt, 7, sender=STRANGER, value=7)
    wide.ok("consume_credit", API, spelt, sender=METER)
    wide.settle(entry(spelt))
    wide.ok("place_hold", API, 1, 1_768_478_430, sender=ALICE)
    wide.ok("release_hold", API, spelt, sender=OPERATOR)
    wide.ok("refund", API, spelt, 1, sender=OPERATOR)
    wide.ok("set_meter", API, spelt, True, sender=OPERATOR)
    wide.ok("propose_operator", API, spelt, sender=OPERATOR)
    assert wide.view("get_account", spelt)["credit_wei"] == DEPOSIT + 7 - 20 + 1
    assert wide.view("get_usage_history", spelt, API, 0, 10**6)[0]["calls"] == 2
    assert wide.view("quote_call", API, spelt)["allowed"] is True
    assert (wide.view("get_api", API)["meters"][-1], wide.view("get_api", API)["proposed_operator"]) == (ALICE, ALICE)
    wide.ok("accept_operator", API, sender=spelt)
    assert wide.view("get_earnings", spelt)["operator"] == ALICE
