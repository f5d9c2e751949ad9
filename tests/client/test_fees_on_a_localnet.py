"""Writes on a localnet that takes fees, from the deployment on: what is deposited, what is paid, what comes back."""

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.errors import Cancelled, ContractNotFound, ContractRejected, Unfunded, WouldFail
from api_billing.fees import Fees
from api_billing.networks import Network, find_network
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .conftest import ONE_GEN, account_of

PRICES = (10**12, 10**9, 10**8)
FINALITY_SECONDS = 3_600
costly_server = server_fixture(fee_prices=PRICES, finality_window_seconds=FINALITY_SECONDS)
waiting_server = server_fixture(fee_prices=PRICES, auto_mine=False)


@pytest.fixture(scope="session")
def costly(costly_server: RpcServer) -> Network:
    return find_network("localnet", costly_server.url)


@pytest.fixture(scope="session")
def billing(costly: Network) -> str:
    """Address of the contract on the network with fees."""
    deployer: LocalAccount = Account.from_key("0x" + "0d" * 32)
    connection = Connection(costly, deployer)
    connection.fund(deployer.address, ONE_GEN)
    address = connection.follower.wait(
        connection.send_deployment(contract_path().read_bytes()), "accepted", 30
    ).contract
    assert address is not None
    return address


@pytest.fixture
def payer(request: pytest.FixtureRequest, costly: Network, billing: str) -> BillingClient:
    """A client whose account has 10 GEN."""
    client = BillingClient(costly, contract=billing, account=account_of(request, "payer"))
    client.connection.fund(client.address, 10 * ONE_GEN)
    return client


def balance(client: BillingClient) -> int:
    return client.connection.balance_wei(client.address)


def finalize(client: BillingClient) -> None:
    client.connection.provider.result("sim_increaseTime", FINALITY_SECONDS + 1)


def test_write__on_a_network_with_fees__tells_the_deposit_and_takes_it_besides_the_value(payer: BillingClient) -> None:
    told: list[Fees] = []
    payer.connection.fees.tell = told.append
    written = payer.top_up_credit(ONE_GEN)
    assert written.result.credit_wei == ONE_GEN
    assert written.fee.deposit_wei == told[0].deposit_wei > 0
    assert balance(payer) == 9 * ONE_GEN - written.fee.deposit_wei


def test_write__once_final__has_paid_what_did_not_come_back(payer: BillingClient) -> None:
    tx = payer.top_up_credit(ONE_GEN).tx
    finalize(payer)
    outcome = payer.connection.follower.look(tx)
    assert outcome is not None
    paid_wei = outcome.fee.paid_wei
    assert paid_wei is not None
    assert 0 < paid_wei < outcome.fee.deposit_wei
    assert balance(payer) == 9 * ONE_GEN - paid_wei


def test_write__with_a_payout__has_an_allocation_for_it(payer: BillingClient) -> None:
    payer.top_up_credit(ONE_GEN)
    told: list[Fees] = []
    payer.connection.fees.tell = told.append
    payer.withdraw_credit(ONE_GEN)
    (payout,) = told[0].allocations
    assert (payout.recipient.lower(), payout.is_internal) == (payer.address.lower(), False)
    before = balance(payer)
    finalize(payer)
    assert balance(payer) > before + ONE_GEN


def test_write__that_the_contract_would_refuse__costs_nothing_and_has_its_code(payer: BillingClient) -> None:
    with pytest.raises(ContractRejected) as refused:
        payer.unsubscribe("nothing-here")
    assert (refused.value.code, refused.value.tx) == ("api_not_registered", None)
    assert balance(payer) == 10 * ONE_GEN


@pytest.mark.parametrize(("address", "kind"), [("0x" + "77" * 20, ContractNotFound), (None, WouldFail)])
def test_write__that_would_fail_in_another_way__is_not_sent(
    payer: BillingClient, billing: str, address: str | None, kind: type[Exception]
) -> None:
    write = payer.connection.write
    with pytest.raises(kind):
        write(address or billing, "nothing_here", [], value_wei=ONE_GEN, phase="accepted", timeout_seconds=30)
    assert balance(payer) == 10 * ONE_GEN


def test_write__refused_by_the_contract_when_it_runs__pays_its_fee(
    payer: BillingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payer.connection.fees, "_estimated", lambda *_: None)
    with pytest.raises(ContractRejected) as refused:
        payer.unsubscribe("nothing-here")
    assert refused.value.tx is not None
    finalize(payer)
    assert 0 < 10 * ONE_GEN - balance(payer) < ONE_GEN


def test_write__above_the_most_that_is_allowed__is_not_sent(
    costly: Network, billing: str, payer: BillingClient
) -> None:
    account = payer.connection.signer
    careful = BillingClient(costly, contract=billing, account=account, max_fee_wei=1)
    with pytest.raises(Unfunded):
        careful.top_up_credit(1)
    assert balance(payer) == 10 * ONE_GEN


def test_write__value_and_fee_above_the_balance__is_not_sent(payer: BillingClient) -> None:
    with pytest.raises(Unfunded, match="besides the 10 GEN to send"):
        payer.top_up_credit(10 * ONE_GEN)
    assert balance(payer) == 10 * ONE_GEN


def test_send__price_rises_above_its_cap_while_it_waits__is_cancelled_and_all_comes_back(
    request: pytest.FixtureRequest, waiting_server: RpcServer
) -> None:
    connection = Connection(find_network("localnet", waiting_server.url), account_of(request, "payer"))
    connection.fund(connection.signer.address, ONE_GEN)
    tx = connection.send_deployment(contract_path().read_bytes())
    connection.provider.result("sim_setFeeConfig", {"policy": {"genPerTimeUnit": str(2 * PRICES[0])}})
    connection.provider.result("sim_mine")
    with pytest.raises(Cancelled, match=r"\(MaxPriceExceeded\); what was sent and the fee came back"):
        connection.follower.wait(tx, "accepted", 0)
    assert connection.balance_wei(connection.signer.address) == ONE_GEN
