"""A client that pays, against a server that counts for itself."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_billing.errors import BadReceipt, ContractNotFound, ContractRejected, NoSession, NotPayable, TooExpensive
from api_billing.payer import PAYMENT, Wallet
from api_billing.payments import mpp, x402
from api_billing.payments.offers import Offer

from .conftest import Client
from .scripted import CHAIN_ID, CONTRACT, OPERATOR, PAYER, URL, Killed, ScriptedContract, Server

both = pytest.mark.parametrize("protocol", ["mpp", "x402"])


@both
def test_request__asked_to_pay__is_paid_with_a_session_opened_for_it(
    client: Client, server: Server, chain: ScriptedContract, protocol: str
) -> None:
    server.protocols = (protocol,)
    response = client().get(URL)
    assert (response.status_code, response.text) == (200, "sunny")
    assert (server.served, server.charged_wei, len(server.seen)) == (1, 100, 2)
    [(api, cap, amount, _, signer, most, deposit)] = chain.opened
    assert (api, cap, amount, most, deposit) == ("weather", 100_000, 50_000, 1_000, 50_000)
    assert signer.lower() != PAYER.address.lower()
    payment = response.extensions[PAYMENT]
    assert (payment.asked.name, payment.paid.cost_wei, payment.paid.charged_wei) == (protocol, 100, 100)


def test_request__that_costs_nothing__is_sent_once_and_not_paid(client: Client) -> None:
    response = client(transport=httpx.MockTransport(lambda _: httpx.Response(200, text="free"))).get(URL)
    assert (response.text, PAYMENT in response.extensions) == ("free", False)


def test_offers__of_both_protocols__are_paid_over_mpp_unless_said_otherwise(client: Client, server: Server) -> None:
    client().get(URL)
    assert mpp.read_credential(server.seen[-1].headers["Authorization"]) is not None
    client(protocols=("x402", "mpp")).get(URL)
    assert x402.SIGNATURE_FIELD in server.seen[-1].headers


@both
def test_requests__after_another__go_on_where_receipts_left_off(client: Client, server: Server, protocol: str) -> None:
    server.protocols, server.cost = (protocol,), lambda _: 30
    paying = client()
    for _ in range(20):
        assert paying.get(URL).is_success
    [sums] = server.sums.values()
    assert (server.served, sums.charged_wei) == (20, 600)
    assert sums.signed_wei <= 700


@both
def test_request__whose_voucher_became_public__is_signed_for_more(
    client: Client, server: Server, protocol: str
) -> None:
    server.protocols, server.cost = (protocol,), lambda _: 1
    paying = client()
    for _ in range(4):
        assert paying.get(URL).is_success
        server.post()
    assert server.charged_wei == 4


def test_x402__older_copy_of_the_book_with_a_public_voucher__is_corrected_twice(
    client: Client, server: Server, chain: ScriptedContract, tmp_path: Path
) -> None:
    server.protocols = ("x402",)
    paying = client()
    paying.get(URL)
    (tmp_path / "copy.db").touch(mode=0o600)
    with (
        closing(sqlite3.connect(tmp_path / "payer.db")) as book,
        closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
    ):
        book.backup(copy)
    paying.get(URL)
    server.post()
    paying.get(URL)
    contract: Any = chain
    with closing(Wallet(contract, file=tmp_path / "copy.db", clock=chain.clock, sleep=chain.clock.sleep)) as older:
        seen = len(server.seen)
        assert client(wallet=older).get(URL).is_success
        assert len(server.seen) - seen == 4  # asked, told what is public, told the sums, paid
    assert server.charged_wei == 400


def test_request__whose_voucher_became_public_and_server_says_no_sum__is_signed_for_more(
    client: Client, server: Server
) -> None:
    server.cost, server.tells_required = lambda _: 1, False
    paying = client()
    for _ in range(4):
        assert paying.get(URL).is_success
        server.post()
    [sums] = server.sums.values()
    assert sums.signed_wei <= 204


@both
def test_request__that_fails__costs_nothing_and_the_next_pays_with_what_was_signed(
    client: Client, server: Server, wallet: Wallet, protocol: str
) -> None:
    server.protocols = (protocol,)
    works, server.handler = server.handler, lambda _: httpx.Response(500)
    assert client().get(URL).status_code == 500
    assert wallet.book.signed_wei(wallet.payer) == 100
    server.handler = works
    assert client().get(URL).is_success
    [sums] = server.sums.values()
    assert sums.signed_wei == wallet.book.signed_wei(wallet.payer) == 100


# --- without being asked again


@both
def test_requests__to_where_was_paid_a_moment_ago__are_paid_at_once(
    client: Client, server: Server, protocol: str
) -> None:
    server.protocols = (protocol,)
    paying = client()
    for _ in range(3):
        assert paying.get(URL, params={"city": "paris"}).is_success
    assert len(server.seen) == 4


def test_amount__of_an_answer_that_corrects__is_not_taken_for_the_price(client: Client, server: Server) -> None:
    server.protocols, server.cost = ("x402",), lambda _: 1
    server.price_wei = 1_000
    client().get(URL)
    server.post()
    server.price_wei = 10
    paying = client()
    assert [paying.get(URL).status_code for _ in range(3)] == [200] * 3
    server.post()
    assert [paying.get(URL).status_code for _ in range(3)] == [200] * 3
    assert server.charged_wei == 7


def test_requests__to_where_was_paid_long_ago__ask_again(client: Client, server: Server) -> None:
    paying = client()
    paying.get(URL)
    server.chain.clock.sleep(60)
    paying.get(URL)
    assert len(server.seen) == 4


@both
@pytest.mark.parametrize("price_wei", [50, 200])
def test_price__that_has_changed__is_paid_as_it_is_now(
    client: Client, server: Server, protocol: str, price_wei: int
) -> None:
    server.protocols = (protocol,)
    paying = client()
    paying.get(URL)
    server.price_wei = price_wei
    assert paying.get(URL).is_success
    assert server.charged_wei == 100 + price_wei


@both
def test_price__that_has_risen_above_the_bound__is_refused(client: Client, server: Server, protocol: str) -> None:
    server.protocols = (protocol,)
    paying = client(max_wei_per_call=150)
    paying.get(URL)
    server.price_wei = 151
    with pytest.raises(TooExpensive):
        paying.get(URL)
    assert (server.served, server.charged_wei) == (1, 100)


def test_session__closed_meanwhile__is_not_paid_from(client: Client, wallet: Wallet, server: Server) -> None:
    paying = client()
    paying.get(URL)
    wallet.book.set_state(wallet.book.sessions()[0], "closed")
    server.chain.expires_at = 0
    assert paying.get(URL).is_success
    assert [len(wallet.book.sessions()), server.served] == [2, 2]


def test_request__refused_for_good__is_not_tried_for_ever(client: Client, server: Server) -> None:
    paying = client()
    paying.get(URL)
    server.chain.signer, server.chain.expires_at = "0x" + "12" * 20, 0
    first = len(server.seen)
    assert paying.get(URL).is_success
    second = len(server.seen)
    assert second - first <= 3
    server.handler = lambda _: httpx.Response(402)
    assert paying.get(URL).status_code == 402
    assert len(server.seen) - second <= 2


@pytest.mark.parametrize("tells_cost", [True, False])
def test_request__that_fails_over_mpp_and_is_charged__is_counted_when_that_is_said(
    client: Client, server: Server, wallet: Wallet, tells_cost: bool
) -> None:
    serve = server.handler

    def fails(_: httpx.Request) -> httpx.Response:
        sums = next(iter(server.sums.values()))
        sums.charged_wei += 40
        return httpx.Response(404, headers={"X-Cost-Wei": "40"} if tells_cost else {})

    server.handler = fails
    paying = client()
    assert paying.get(URL).status_code == 404
    assert wallet.book.signed_wei(wallet.payer) == 100
    server.handler = serve
    assert paying.get(URL).extensions[PAYMENT].paid.charged_wei == 140
    assert wallet.book.signed_wei(wallet.payer) == 140


def test_receipts__that_do_not_say_what_a_request_cost__say_what_all_have(
    client: Client, server: Server, wallet: Wallet
) -> None:
    server.tells_cost, server.cost = False, lambda _: 30
    paying = client()
    for _ in range(3):
        assert paying.get(URL).extensions[PAYMENT].paid.cost_wei is None
    assert (server.charged_wei, wallet.book.signed_wei(wallet.payer)) == (90, 160)


# --- bounds


def test_price__above_the_bound_of_a_call__is_refused_and_nothing_opened(
    client: Client, server: Server, chain: ScriptedContract
) -> None:
    server.price_wei = 1_001
    with pytest.raises(TooExpensive, match="the bound of a call") as caught:
        client().get(URL)
    assert (caught.value.amount_wei, caught.value.bound_wei) == (1_001, 1_000)
    assert (len(server.seen), chain.opened) == (1, [])


def test_price__at_the_bound_of_a_call__is_paid(client: Client, server: Server) -> None:
    server.price_wei = 1_000
    assert client().get(URL).is_success


def test_day__above_its_bound__is_refused_until_the_next(
    client: Client, server: Server, chain: ScriptedContract
) -> None:
    paying = client(max_wei_a_day=250)
    for _ in range(2):
        assert paying.get(URL).is_success
    with pytest.raises(TooExpensive, match="the bound of a day"):
        paying.get(URL)
    assert server.served == 2
    chain.clock.sleep(86_400)
    assert paying.get(URL).is_success


def test_day__counts_what_was_signed_and_not_twice_what_was_not_charged(client: Client, server: Server) -> None:
    server.cost = lambda _: 10
    paying = client(max_wei_a_day=250)
    assert all(paying.get(URL).is_success for _ in range(16))
    with pytest.raises(TooExpensive):
        paying.get(URL)


def test_session__that_nobody_said_to_open__is_missing(client: Client, chain: ScriptedContract) -> None:
    with pytest.raises(NoSession, match="no session with weather"):
        client(open_session=0).get(URL)
    assert chain.opened == []


# --- whom is paid


@both
@pytest.mark.parametrize(
    "wrong",
    [{"contract": "0x" + "11" * 20}, {"operator": "0x" + "11" * 20}, {"asset": "0x" + "11" * 20}, {"chain_id": 4221}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_offer__that_is_not_what_the_contract_says__is_refused(
    client: Client, server: Server, wrong: dict[str, object], protocol: str
) -> None:
    server.protocols, server.offer = (protocol,), wrong
    with pytest.raises(NotPayable):
        client().get(URL)
    assert len(server.seen) == 1


def test_operator__that_is_another_by_now__is_read_again_and_paid(
    client: Client, server: Server, chain: ScriptedContract
) -> None:
    paying = client()
    paying.get(URL)
    chain.operator = "0x" + "0f" * 20
    assert paying.get(URL).is_success
    assert chain.reads == ["weather", "weather"]


def test_contract__of_an_api__is_read_once(client: Client, chain: ScriptedContract) -> None:
    paying = client()
    for _ in range(3):
        paying.get(URL)
    assert chain.reads == ["weather"]


def test_offers__of_many_assets_that_are_none__are_looked_for_once(client: Client, chain: ScriptedContract) -> None:
    offers = [Offer("x", 1, OPERATOR, CONTRACT, f"0x{number:040x}", CHAIN_ID) for number in range(99)]
    asks = httpx.Response(402, headers={x402.REQUIRED_FIELD: x402.required_value(
        [x402.requirements(each) for each in offers], URL)})  # fmt: skip
    paying = client(transport=httpx.MockTransport(lambda _: asks))
    for _ in range(3):
        with pytest.raises(NotPayable) as caught:
            paying.get(URL)
        assert len(str(caught.value)) < 2_000
    assert sorted(chain.reads) == ["", "other", "weather"]


def test_plain_http__asks_for_payment__is_not_paid(client: Client, server: Server) -> None:
    with pytest.raises(NotPayable, match="plain http"):
        client().get(URL.replace("https", "http"))
    assert len(server.seen) == 1


def test_plain_http__on_this_machine__is_paid(client: Client) -> None:
    assert client().get("http://127.0.0.1:8000/forecast").is_success


def test_redirect__to_another_origin_that_asks__is_not_paid(client: Client, server: Server) -> None:
    moved = httpx.Response(307, headers={"Location": "https://elsewhere.example/x"})
    paying = client(
        transport=httpx.MockTransport(lambda request: moved if request.url.host == "api.example" else server(request)),
        follow_redirects=True,
    )
    with pytest.raises(NotPayable, match="redirected"):
        paying.get(URL)
    assert server.paid == []


def test_redirect__of_a_paid_request__goes_on_without_the_credential(client: Client, server: Server) -> None:
    server.handler = lambda _: httpx.Response(307, headers={"Location": "https://elsewhere.example/x"})
    seen = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.headers))
        return httpx.Response(200)

    for protocols in (("mpp",), ("x402",)):
        server.protocols = protocols
        client(
            transport=httpx.MockTransport(
                lambda request: server(request) if request.url.host == "api.example" else elsewhere(request)
            ),
            follow_redirects=True,
        ).get(URL)
    assert len(server.paid) == len(seen) == 2
    assert all("authorization" not in headers and "payment-signature" not in headers for headers in seen)


def test_redirect__within_an_origin__is_paid(client: Client, server: Server) -> None:
    def moves(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"Location": "/new"}) if request.url.path != "/new" else server(request)

    assert client(transport=httpx.MockTransport(moves), follow_redirects=True).get(URL).is_success


def test_authorization__that_is_the_callers__is_not_replaced(client: Client, server: Server) -> None:
    assert client().get(URL, headers={"Authorization": "Bearer key"}).is_success
    assert server.seen[-1].headers["Authorization"] == "Bearer key"
    assert x402.SIGNATURE_FIELD in server.seen[-1].headers


def test_body__of_a_request__is_sent_again_with_the_payment(client: Client, server: Server) -> None:
    server.handler = lambda request: httpx.Response(200, content=request.content)
    assert client().post(URL, json={"city": "paris"}).json() == {"city": "paris"}


def test_body__that_can_be_read_once__is_not_paid_for(client: Client, server: Server) -> None:
    with pytest.raises(NotPayable, match="read once"):
        client().post(URL, content=iter([b"a", b"b"]))
    assert server.paid == []


def test_challenges__that_are_none_of_ours__are_not_paid_and_said(client: Client) -> None:
    asks = httpx.Response(402, headers={"WWW-Authenticate": 'Payment id="a", realm="r", method="tempo", '
                                        'intent="charge", request="e30"'})  # fmt: skip
    with pytest.raises(NotPayable, match="tempo/charge"):
        client(transport=httpx.MockTransport(lambda _: asks)).get(URL)


def test_402__without_a_challenge__is_handed_on(client: Client) -> None:
    paying = client(transport=httpx.MockTransport(lambda _: httpx.Response(402, text="no credit")))
    assert (paying.get(URL).status_code, paying.get(URL).text) == (402, "no credit")


# --- receipts and states that cannot be so


@pytest.mark.parametrize(
    ("protocol", "lies"),
    [
        ("mpp", {"spent": "101"}),
        ("mpp", {"X-Cost-Wei": "101"}),
        ("mpp", {"X-Cost-Wei": "0"}),
        ("mpp", {"X-Cost-Wei": "1e2"}),
        ("mpp", {"reference": "0x" + "1" * 64}),
        ("mpp", {"spent": "x"}),
        ("x402", {"chargedAmount": "101"}),
        ("x402", {"chargedAmount": "0"}),
        ("x402", {"channelState": "none"}),
    ],
    ids=str,
)
def test_receipt__that_cannot_be_so__is_an_error(
    client: Client, server: Server, protocol: str, lies: dict[str, str]
) -> None:
    server.protocols, server.lies = (protocol,), lies
    with pytest.raises(BadReceipt):
        client().get(URL)


def test_channel__whose_receipt_was_wrong__pays_for_nothing_more(client: Client, server: Server) -> None:
    server.lies = {"spent": "101"}
    paying = client()
    with pytest.raises(BadReceipt):
        paying.get(URL)
    server.lies = {}
    assert paying.get(URL).is_success
    assert len(server.sums) == 2


def test_correction__that_nothing_proves__is_not_believed(client: Client, server: Server) -> None:
    server.protocols, server.cost = ("x402",), lambda _: 1
    paying = client()
    paying.get(URL)
    server.post()
    server.price_wei, server.lies = 10, {"chargedCumulativeAmount": "2"}
    with pytest.raises(NotPayable, match="nothing proves"):
        client().get(URL)


def test_sum__above_what_can_be_due__is_not_signed(client: Client, server: Server) -> None:
    paying = client()
    paying.get(URL)
    [sums] = server.sums.values()
    sums.posted_wei = 5_000
    with pytest.raises(NotPayable, match="at most 300 can be due"):
        paying.get(URL)
    assert sums.signed_wei == 200


# --- sessions that end


def test_session__that_the_operator_released__is_followed_by_one_with_another_key(
    client: Client, server: Server, chain: ScriptedContract
) -> None:
    paying = client()
    paying.get(URL)
    first, chain.signer = chain.signer, ""
    sent, server_call = [], server.__call__

    def gone(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return server.asks() if not chain.signer else server_call(request)

    paying = client(transport=httpx.MockTransport(gone))
    assert paying.get(URL).is_success
    assert chain.signer != first
    assert len(chain.opened) == 2


def test_session__that_has_expired__is_followed_by_another(
    client: Client, server: Server, chain: ScriptedContract
) -> None:
    paying = client(days=1)
    paying.get(URL)
    chain.clock.sleep(86_400)
    assert paying.get(URL).is_success
    assert len({each[4] for each in chain.opened}) == 2


@both
def test_session__closed__is_closed_by_the_server_and_pays_no_more(
    client: Client, server: Server, protocol: str
) -> None:
    server.protocols = (protocol,)
    paying = client(open_session=50_000)
    paying.get(URL)
    server.post()
    paying.close_session(URL)
    assert server.closed
    with pytest.raises(NoSession):
        client(open_session=0).get(URL)


def test_session__that_is_being_closed__is_followed_by_another_when_the_contract_has_closed_it(
    client: Client, chain: ScriptedContract, wallet: Wallet
) -> None:
    paying = client()
    paying.get(URL)
    paying.close_session(URL)
    for _ in range(2):
        with pytest.raises(NoSession, match="is being closed"):
            paying.get(URL)
    assert (len(chain.opened), wallet.book.sessions()[0].state) == (1, "closing")
    chain.expires_at = 0
    assert paying.get(URL).is_success
    assert [each.state for each in wallet.book.sessions()] == ["open", "closed"]


def test_close__of_what_is_being_closed__is_asked_for_again_until_it_is(
    client: Client, chain: ScriptedContract
) -> None:
    paying = client()
    paying.get(URL)
    for _ in range(2):
        assert paying.close_session(URL).session.state == "closing"
    chain.expires_at = 0
    with pytest.raises(NoSession, match="to close"):
        paying.close_session(URL)


def test_opening__where_a_hold_is_that_is_not_the_books__sends_nothing(client: Client, chain: ScriptedContract) -> None:
    chain.signer, chain.expires_at = "0x" + "12" * 20, int(chain.clock.now) + 1_000
    with pytest.raises(NoSession, match="whose key is not in this book"):
        client().get(URL)
    assert chain.opened == []


def test_openings__of_an_origin_that_names_many_apis__are_of_the_first(client: Client, chain: ScriptedContract) -> None:
    servers = [Server(chain, protocols=("mpp",), offer={"api": f"evil{number}", "asset": "0x" + "99" * 20})
               for number in range(3)]  # fmt: skip
    paying = client(
        transport=httpx.MockTransport(lambda request: servers[int(request.url.path[1:])](request)),
        max_wei_on_hold=10**9,
    )
    assert paying.get("https://api.example/0").is_success
    chain.expires_at = 0
    with pytest.raises(NotPayable, match="had a session with evil0 opened before"):
        paying.get("https://api.example/1")
    assert paying.get("https://other.example/1").is_success
    assert len(chain.opened) == 2


def test_openings__above_what_may_be_on_hold__are_refused(client: Client, chain: ScriptedContract) -> None:
    servers = [Server(chain, protocols=("mpp",), offer={"api": f"evil{number}", "asset": "0x" + "99" * 20})
               for number in range(3)]  # fmt: skip
    by_path = httpx.MockTransport(lambda request: servers[int(request.url.path[1:])](request))
    for options, most in (({}, 1), ({"max_wei_on_hold": 100_000}, 2)):
        paying = client(transport=by_path, **options)
        for number in range(3):
            chain.expires_at = 0
            if number < most:
                assert paying.get(f"https://api{number}.example/{number}").is_success
            else:
                with pytest.raises(TooExpensive, match="on hold") as caught:
                    paying.get(f"https://api{number}.example/{number}")
                assert caught.value.bound_wei == most * 50_000
    assert len(chain.opened) == 2


def test_openings__after_an_operator_that_closes_at_once__are_four_a_day(
    client: Client, chain: ScriptedContract, wallet: Wallet
) -> None:
    paying = client()
    for _ in range(4):
        assert paying.get(URL).is_success
        chain.expires_at = 0
        wallet.look(wallet.book.sessions()[0])
    with pytest.raises(NotPayable, match="within a day"):
        paying.get(URL)
    assert len(chain.opened) == 4


@pytest.mark.parametrize("dies", ["before", "after"])
def test_opening__killed__is_gone_on_with_by_the_next_and_the_same_key(
    wallets: Callable[[], Wallet], client: Client, server: Server, chain: ScriptedContract, dies: str
) -> None:
    first = wallets()
    chain.dies = dies
    with pytest.raises(Killed):
        client(wallet=first).get(URL)
    [begun] = first.book.sessions()
    first.close()
    chain.dies = ""
    assert client(wallet=wallets()).get(URL).is_success
    assert [each[4] for each in chain.opened] == [begun.signer]


@pytest.mark.parametrize(
    "error", [ContractNotFound("0x" + "11" * 20, "localnet"), ContractRejected("api_not_registered", "no such API")]
)
def test_opening__on_a_contract_or_api_that_is_not_final_yet__waits_for_it(
    client: Client, chain: ScriptedContract, error: Exception
) -> None:
    chain.final_after, chain.before_final = 2, error
    assert client().get(URL).status_code == 200
    assert (len(chain.opened), chain.final_after) == (1, -1)


def test_opening__by_another_process_that_lives__is_waited_for(
    wallets: Callable[[], Wallet], client: Client, chain: ScriptedContract
) -> None:
    first, second = wallets(), wallets()
    begun = first.book.begin_session(
        contract=chain.contract, chain_id=61_999, api="weather", payer=first.payer, signer="0x" + "77" * 20,
        key=b"\7" * 32, amount_wei=1, expires_at=int(chain.clock.now) + 86_400,
    )  # fmt: skip
    assert begun is not None
    sleep = chain.clock.sleep

    def opens_meanwhile(seconds: float) -> None:
        sleep(seconds)
        first.book.set_state(begun, "closed")

    second._sleep = opens_meanwhile
    with pytest.raises(NoSession, match="no session with weather was opened"):
        client(wallet=second).get(URL)
    assert chain.opened == []
