"""The client of a court, on a localnet server whose validators say what they are told to."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_api import COURT_METHODS, DAY_SECONDS, Code, CourtCode, CourtMethod, Kind
from api_billing.court_client import CourtClient
from api_billing.errors import BondReturned, ContractRejected, NoContract, TransactionFailed, UnexpectedAnswer
from api_billing.networks import Network
from api_billing.unlocked import unlocked_account
from genlayer_localnet.nondet.services import Services
from genlayer_localnet.rpc.server import RpcServer

from .conftest import ONE_GEN

SOURCE = Path(__file__).parents[2] / "contracts" / "usage_court.py"
PRICE = ONE_GEN // 100
BOND = 1_000


@pytest.fixture(scope="session")
def court_address(network: Network, contract: str) -> str:
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    tx = connection.send_deployment(SOURCE.read_bytes(), [contract, BOND])
    address = connection.follower.wait(tx, "accepted", 30).contract
    assert address is not None
    return address


@pytest.fixture
def court(network: Network, court_address: str, consumer: BillingClient) -> CourtClient:
    """The court as the consumer uses it."""
    return CourtClient(network, contract=court_address, account=consumer.connection.signer)


@pytest.fixture
def day_id(operator: BillingClient, consumer: BillingClient, court: CourtClient, api: str) -> int:
    """A day two days ago, on which the consumer has paid for 4 calls under a promise."""
    operator.set_promise(api, court.contract, 7, 50, "It answers.")
    pass_days(consumer, 1)
    consumer.subscribe(api, ONE_GEN, ONE_GEN)
    consumer.consume_credit(api, consumer.address, calls=4)
    paid = consumer.connection.now() // DAY_SECONDS
    pass_days(consumer, 2)
    return paid


@pytest.fixture
def verdict(server: RpcServer) -> Iterator[dict[str, object]]:
    """What all language models answer; a test may change it."""
    answer: dict[str, object] = {"refund_percent": 100, "reason": "It did not answer."}
    before = server.node.chain.services
    server.node.chain.services = Services(prompt_handler=lambda request, node: answer)
    yield answer
    server.node.chain.services = before


def pass_days(client: BillingClient, days: int) -> None:
    client.connection.provider.result("sim_increaseTime", days * DAY_SECONDS)


@pytest.mark.parametrize("method", CourtMethod)
def test_court_client__every_method_of_the_contract__is_a_typed_method(method: CourtMethod, court: CourtClient) -> None:
    schema = court.connection.schema(court.contract)["methods"]
    signature, told = COURT_METHODS[method], schema[method]
    assert set(schema) == set(CourtMethod)
    assert tuple(name for name, _ in told["params"]) == signature.parameters
    kind = Kind.VIEW if told["readonly"] else Kind.PAYABLE if told.get("payable") else Kind.WRITE
    assert kind is signature.kind
    own = inspect.signature(getattr(CourtClient, method.value))
    positional = [name for name, each in own.parameters.items() if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positional == ["self", *signature.parameters]
    assert own.return_annotation is not inspect.Signature.empty


def test_codes__of_the_court__are_all_named_and_no_others() -> None:
    raised = {
        call.args[place].value
        for call in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for name, place in (("_fail", 0), ("_require", 1))
        if ast.unparse(call.func) == name and isinstance(call.args[place], ast.Constant)
    }
    assert raised - set(Code) == set(CourtCode)


def test_court_client__no_address__says_so(network: Network) -> None:
    with pytest.raises(NoContract, match="CourtClient needs the address"):
        CourtClient(network)


def test_get_court__deployed__tells_contract_and_bond(court: CourtClient, contract: str) -> None:
    found = court.get_court()
    assert (found.billing, found.min_bond_wei) == (contract.lower(), BOND)


def test_open_dispute__of_a_paid_day__freezes_it_when_final(
    court: CourtClient, consumer: BillingClient, api: str, day_id: int
) -> None:
    opened = court.open_dispute(api, day_id, "It did not answer.", "https://log.example/", bond_wei=BOND).result
    assert (opened.day_id, opened.bond_wei, opened.paid_wei) == (day_id, BOND, 4 * PRICE)
    pass_days(consumer, 1)
    assert consumer.get_paid_day(api, consumer.address, day_id).frozen_wei == 4 * PRICE
    dispute = court.get_dispute(opened.dispute_id)
    assert (dispute.status, dispute.claim, dispute.evidence_url) == (
        "open",
        "It did not answer.",
        "https://log.example/",
    )
    (head,) = court.list_disputes(api)
    assert court.list_disputes_of(consumer.address) == (head,)
    assert (head.dispute_id, head.consumer) == (opened.dispute_id, consumer.address.lower())
    assert court.get_solvency().owed_wei >= BOND


def test_open_dispute__refused__returns_the_bond(
    court: CourtClient, consumer: BillingClient, api: str, day_id: int
) -> None:
    before = consumer.get_account(consumer.address).credit_wei
    with pytest.raises(BondReturned, match="bond_too_small") as refused:
        court.open_dispute(api, day_id, "Late.", bond_wei=BOND - 1)
    assert refused.value.returned_wei == BOND - 1
    pass_days(consumer, 1)
    assert consumer.get_account(consumer.address).credit_wei == before + BOND - 1


def test_payable__contract_of_another_kind__sends_nothing(network: Network, court: CourtClient, contract: str) -> None:
    account = court.connection.signer
    before = court.connection.balance_wei(court.address), court.connection.balance_wei(court.contract)
    with pytest.raises(UnexpectedAnswer, match="is no billing contract") as refused:
        BillingClient(network, contract=court.contract, account=account).top_up_credit(ONE_GEN)
    assert "nothing was sent" in refused.value.hint
    with pytest.raises(UnexpectedAnswer, match="is no court"):
        CourtClient(network, contract=contract, account=account).open_dispute("weather", 1, "?", bond_wei=ONE_GEN)
    assert (court.connection.balance_wei(court.address), court.connection.balance_wei(court.contract)) == before


def test_judge__refund__is_credit_when_final(
    court: CourtClient, consumer: BillingClient, api: str, day_id: int, verdict: dict[str, object]
) -> None:
    dispute_id = court.open_dispute(api, day_id, "Late.", bond_wei=BOND).result.dispute_id
    pass_days(consumer, 1)
    before = consumer.get_account(consumer.address).credit_wei
    done = court.judge(dispute_id).result
    assert (done.refund_percent, done.refund_wei, done.reason) == (100, 2 * PRICE, "It did not answer.")
    pass_days(consumer, 1)
    assert consumer.get_account(consumer.address).credit_wei == before + 2 * PRICE + BOND
    judged = court.get_dispute(dispute_id)
    assert (judged.status, judged.refund_wei, judged.reason) == ("judged", 2 * PRICE, "It did not answer.")


def test_judge__answer_that_is_none__changes_nothing(
    court: CourtClient, consumer: BillingClient, api: str, day_id: int, verdict: dict[str, object]
) -> None:
    dispute_id = court.open_dispute(api, day_id, "Late.", bond_wei=BOND).result.dispute_id
    pass_days(consumer, 1)
    verdict["refund_percent"] = 30
    with pytest.raises((ContractRejected, TransactionFailed), match="no_verdict"):
        court.judge(dispute_id)
    assert court.get_dispute(dispute_id).status == "open"


def test_close_dispute__not_judged_in_time__returns_the_bond(
    court: CourtClient, consumer: BillingClient, api: str, day_id: int
) -> None:
    dispute_id = court.open_dispute(api, day_id, "Late.", bond_wei=BOND).result.dispute_id
    with pytest.raises(ContractRejected, match="too_early"):
        court.close_dispute(dispute_id)
    pass_days(consumer, 31)
    before = consumer.get_account(consumer.address).credit_wei
    court.close_dispute(dispute_id)
    pass_days(consumer, 1)
    assert consumer.get_account(consumer.address).credit_wei == before + BOND
