"""Sessions, refunds, promises and the views for people, from the client, on a localnet server."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from api_billing.client import BillingClient
from api_billing.contract_api import DAY_SECONDS, PLAIN_HOLD
from api_billing.errors import ContractRejected, DepositKept, InvalidInput, UnexpectedAnswer
from api_billing.results import ChannelState, SettlementEntry
from api_billing.vouchers import sign_voucher

from .conftest import ONE_GEN, MakeClient

PRICE = ONE_GEN // 100
COURT = "0x" + "c0" * 20
OTHER_SALT = "0x" + 64 * "5"


def today(client: BillingClient) -> int:
    return client.connection.now() // DAY_SECONDS


def pass_days(client: BillingClient, days: int) -> None:
    client.connection.provider.result("sim_increaseTime", days * DAY_SECONDS)


@pytest.fixture
def signer(request: pytest.FixtureRequest) -> LocalAccount:
    """The key of a session."""
    account: LocalAccount = Account.from_key(keccak(text=f"session of {request.node.nodeid}"))
    return account


@pytest.fixture
def opened(consumer: BillingClient, api: str, signer: LocalAccount) -> BillingClient:
    """The consumer, with a session of 1 GEN for a day and 1 GEN besides."""
    expires_at = consumer.connection.now() + DAY_SECONDS
    consumer.open_session(api, ONE_GEN, ONE_GEN, expires_at, signer.address, deposit_wei=2 * ONE_GEN)
    return consumer


@pytest.fixture
def promised(operator: BillingClient, consumer: BillingClient, api: str) -> BillingClient:
    """The operator, whose promise is in force, and whose consumer has paid for 3 calls today."""
    operator.set_promise(api, COURT, 3, 50, "It answers.", "https://status.example/")
    pass_days(operator, 1)
    consumer.subscribe(api, ONE_GEN, ONE_GEN)
    consumer.consume_credit(api, consumer.address, calls=3)
    return operator


def entry(consumer: BillingClient, calls: int, **more: Any) -> SettlementEntry:
    return SettlementEntry(consumer.address, today(consumer), calls, calls * PRICE, **more)


# ---- what is accepted, and who is paid ----


def test_subscribe__price_at_the_maximum__is_accepted(consumer: BillingClient, api: str) -> None:
    assert consumer.subscribe(api, ONE_GEN, max_price_wei=PRICE).result.accepted_price_wei == PRICE


def test_subscribe__price_above_the_maximum__is_refused(consumer: BillingClient, api: str) -> None:
    with pytest.raises(DepositKept, match="price_above_max"):
        consumer.subscribe(api, ONE_GEN, 5, max_price_wei=PRICE - 1)


def test_withdraw_credit__to_another__arrives_there(client: MakeClient) -> None:
    consumer, payee = client("consumer", on="finalized", sleep=lambda _: pass_days(consumer, 1)), client("payee")
    consumer.top_up_credit(7)
    before = payee.connection.balance_wei(payee.address)
    consumer.withdraw_credit(7, to=payee.address)
    assert payee.connection.balance_wei(payee.address) == before + 7


def test_withdraw_earnings__to_another__arrives_there(
    client: MakeClient, operator: BillingClient, opened: BillingClient, api: str
) -> None:
    opened.consume_credit(api, opened.address)
    patient, payee = client("operator", on="finalized", sleep=lambda _: pass_days(operator, 1)), client("payee")
    before = payee.connection.balance_wei(payee.address)
    patient.withdraw_earnings(PRICE, to=payee.address)
    assert payee.connection.balance_wei(payee.address) == before + PRICE


@pytest.mark.parametrize("method", ["withdraw_credit", "withdraw_earnings"])
def test_withdraw__to_what_is_no_address__is_not_sent(consumer: BillingClient, method: str) -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        getattr(consumer, method)(1, to="friend")


# ---- sessions ----


def test_open_session__new_consumer__deposits_subscribes_and_holds(
    consumer: BillingClient, api: str, signer: LocalAccount
) -> None:
    expires_at = consumer.connection.now() + DAY_SECONDS
    terms = consumer.open_session(
        api, ONE_GEN, 2 * ONE_GEN, expires_at, signer.address, "standard", PRICE, deposit_wei=3 * ONE_GEN
    ).result
    assert (terms.credited_wei, terms.credit_wei, terms.hold_wei) == (3 * ONE_GEN, ONE_GEN, 2 * ONE_GEN)
    assert (terms.accepted_price_wei, terms.max_daily_spend_wei) == (PRICE, ONE_GEN)
    assert (terms.expires_at, terms.signer) == (expires_at, signer.address.lower())


def test_open_session__refused__keeps_the_deposit(consumer: BillingClient, api: str, signer: LocalAccount) -> None:
    with pytest.raises(DepositKept, match="bad_expiry") as kept:
        consumer.open_session(api, ONE_GEN, 1, 5, signer.address, deposit_wei=9)
    assert kept.value.credited_wei == 9


def test_settle_usage__voucher_of_the_session__bills_its_channel(
    operator: BillingClient, opened: BillingClient, api: str, signer: LocalAccount
) -> None:
    channel = operator.get_channel(api, opened.address)
    voucher = sign_voucher(signer.key, channel, 5 * PRICE)
    (settled,) = operator.settle_usage(api, 1, [entry(opened, 3, voucher=voucher)]).result.entries
    assert (settled.billed_wei, settled.code) == (3 * PRICE, "")
    session = opened.get_session(opened.address, api)
    assert session.channels == (ChannelState(channel.id, 5 * PRICE, 3 * PRICE),)
    assert (session.signer, session.hold_wei, session.in_force) == (
        signer.address.lower(),
        ONE_GEN - 3 * PRICE,
        True,
    )


def test_settle_usage__several_channels__are_billed_one_by_one(
    operator: BillingClient, opened: BillingClient, api: str, signer: LocalAccount
) -> None:
    channels = [operator.get_channel(api, opened.address), operator.get_channel(api, opened.address, OTHER_SALT)]
    entries = [entry(opened, 1, voucher=sign_voucher(signer.key, each, PRICE)) for each in channels]
    assert operator.settle_usage(api, 1, entries).result.billed_calls == 2
    assert operator.get_session(opened.address, api, channels[1].id).channels[0].billed_wei == PRICE


def test_settle_usage__more_than_was_signed__bills_what_was(
    operator: BillingClient, opened: BillingClient, api: str, signer: LocalAccount
) -> None:
    voucher = sign_voucher(signer.key, operator.get_channel(api, opened.address), 2 * PRICE)
    (settled,) = operator.settle_usage(api, 1, [entry(opened, 3, voucher=voucher)]).result.entries
    assert (settled.billed_calls, settled.code) == (2, "voucher_exceeded")


def test_settle_usage__no_voucher_in_a_session__bills_nothing(
    operator: BillingClient, opened: BillingClient, api: str
) -> None:
    (settled,) = operator.settle_usage(api, 1, [entry(opened, 3)]).result.entries
    assert (settled.billed_wei, settled.code) == (0, "session_only")


def test_settle_usage__that_closes__releases_the_rest(
    operator: BillingClient, opened: BillingClient, api: str, signer: LocalAccount
) -> None:
    voucher = sign_voucher(signer.key, operator.get_channel(api, opened.address), PRICE)
    operator.settle_usage(api, 1, [entry(opened, 1, voucher=voucher, close=True)])
    account = opened.get_account(opened.address)
    assert (account.credit_wei, account.held_wei) == (2 * ONE_GEN - PRICE, 0)


def test_get_channel__consumer_without_a_session__says_so(consumer: BillingClient, api: str) -> None:
    with pytest.raises(InvalidInput, match="has no session"):
        consumer.get_channel(api, consumer.address)


def test_get_channel__contract_with_another_domain__is_not_signed_for(
    opened: BillingClient, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_billing.client.domain_of", lambda chain_id: {"chainId": chain_id})
    with pytest.raises(UnexpectedAnswer, match="another domain"):
        opened.get_channel(api, opened.address)


def test_place_hold__plain_after_the_session__is_billed_without_vouchers(
    operator: BillingClient, opened: BillingClient, api: str
) -> None:
    expires_at = opened.connection.now() + 3 * DAY_SECONDS
    pass_days(operator, 2)
    opened.place_hold(api, 5 * PRICE, expires_at, PLAIN_HOLD)
    assert opened.get_session(opened.address, api).signer == ""
    assert operator.settle_usage(api, 1, [entry(opened, 1)]).result.billed_calls == 1


def test_place_hold__signer_of_another_while_one_is_in_force__is_refused(opened: BillingClient, api: str) -> None:
    with pytest.raises(ContractRejected, match="hold_in_force"):
        opened.place_hold(api, 0, opened.connection.now() + 2 * DAY_SECONDS, opened.address)


# ---- refunds and promises ----


def test_refund__earned__is_the_consumers_credit(operator: BillingClient, opened: BillingClient, api: str) -> None:
    opened.consume_credit(api, opened.address, calls=2)
    operator.refund(api, opened.address, PRICE, "sorry")
    assert opened.get_account(opened.address).credit_wei == ONE_GEN - PRICE
    earnings = operator.get_earnings(operator.address)
    assert (earnings.earnings_wei, earnings.refunded_wei) == (PRICE, PRICE)
    (notice,) = opened.list_notices(opened.address)
    assert (notice.kind, notice.amount_wei) == ("refund", PRICE)


def test_promise__in_force__is_told_with_and_without_its_text(promised: BillingClient, api: str) -> None:
    promise = promised.get_promise(api)
    assert (promise.court, promise.payout_days, promise.max_refund_percent) == (COURT, 3, 50)
    assert (promise.terms, promise.status_url) == ("It answers.", "https://status.example/")
    head = promised.get_api(api).promise
    assert head is not None
    assert (head.court, head.terms_sha256, head.from_day) == (COURT, promise.terms_sha256, promise.from_day)


def test_promise__ended__is_told_ahead(promised: BillingClient, api: str) -> None:
    promised.set_promise(api, "", 0, 0, "")
    promise = promised.get_promise(api)
    assert promise.next_from_day == today(promised) + 1 + 3
    assert promised.get_promise(api, promise.next_from_day).court == ""


def test_promise__earnings__wait_and_are_collected(promised: BillingClient, api: str) -> None:
    day = today(promised)
    (waiting,) = promised.get_earnings(promised.address).apis
    assert (waiting.api_name, waiting.pending_wei, waiting.frozen_wei) == (api, 3 * PRICE, 0)
    pass_days(promised, 4)
    collected = promised.collect_earnings(api).result
    assert (collected.collected_wei, collected.collected_through) == (3 * PRICE, day)
    assert promised.get_earnings(promised.address).earnings_wei == 3 * PRICE


def test_refund__of_a_day_that_waits__is_in_the_facts_of_the_day(
    promised: BillingClient, consumer: BillingClient, api: str
) -> None:
    day = today(promised)
    promised.refund(api, consumer.address, PRICE, day_id=day)
    paid = promised.get_paid_day(api, consumer.address, day)
    assert (paid.calls, paid.paid_wei, paid.refunded_wei, paid.frozen_wei) == (3, 3 * PRICE, PRICE, 0)
    assert paid.pending
    (of_api,) = promised.get_api_days(api)
    assert (of_api.day_id, of_api.calls, of_api.earned_wei, of_api.payout_days) == (day, 3, 2 * PRICE, 3)


def test_freeze_by_court__by_an_account__is_refused(promised: BillingClient, consumer: BillingClient, api: str) -> None:
    with pytest.raises(ContractRejected, match="not_court"):
        promised.freeze_by_court(api, consumer.address, today(promised))
    with pytest.raises(ContractRejected, match="not_frozen"):
        promised.refund_by_court(api, consumer.address, today(promised), 0)


# ---- views for people ----


def test_list_subscribers__with_a_session__shows_hold_and_signer(
    operator: BillingClient, opened: BillingClient, api: str, signer: LocalAccount
) -> None:
    opened.consume_credit(api, opened.address, calls=2)
    page = operator.list_subscribers(api)
    (line,) = page.subscribers
    assert (page.total, line.consumer, line.calls_today, line.spend_month_wei) == (
        1,
        opened.address.lower(),
        2,
        2 * PRICE,
    )
    assert (line.hold_wei, line.signer, line.active) == (ONE_GEN, signer.address.lower(), True)


def test_list_settlements__above_a_number__are_heads(operator: BillingClient, opened: BillingClient, api: str) -> None:
    for sequence in (1, 2):
        operator.settle_usage(api, sequence, [entry(opened, sequence)])
    (head,) = operator.list_settlements(api, after=1)
    assert (head.sequence, head.billed_calls, head.refused_entries) == (2, 0, 1)


def test_get_usage_history__of_all_apis__names_them(operator: BillingClient, opened: BillingClient, api: str) -> None:
    second = f"{api}-b"
    operator.register_api(second, PRICE, 9)
    opened.subscribe(second, ONE_GEN)
    for name in (api, second):
        opened.consume_credit(name, opened.address)
    days = opened.get_usage_history(opened.address, "", today(opened) - 30, today(opened))
    assert [(day.api_name, day.calls) for day in days] == [(api, 1), (second, 1)]


def test_get_whole_usage_report__more_subscriptions_than_a_page__has_them_all(
    operator: BillingClient, opened: BillingClient, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [api, f"{api}-b", f"{api}-c"]
    for name in names[1:]:
        operator.register_api(name, PRICE, 9)
        opened.subscribe(name, ONE_GEN)
    read_page = BillingClient.get_usage_report
    monkeypatch.setattr(
        BillingClient, "get_usage_report", lambda self, consumer, offset=0: read_page(self, consumer, offset, 1)
    )
    report = opened.get_whole_usage_report(opened.address)
    assert ([line.api_name for line in report.apis], report.total) == (names, 3)
