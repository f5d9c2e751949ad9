"""contracts/examples/metered_fetch.py: it asks for a billed call, is called back, and fetches over real HTTP."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from genlayer_localnet import ContractRejected, Receipt, WebError

from ..market import ALICE, API, BOB, CONTRACTS, OPERATOR, PRICE, STRANGER, TODAY, Market, all_receipts

OWNER = BOB
EXAMPLE = CONTRACTS / "examples" / "metered_fetch.py"
# Of the first request: its receipt's id ends with the first digits of this.
DIGEST = sha256(b"fetch-1").hexdigest()
VALIDATORS = 5


class Pages(BaseHTTPRequestHandler):
    """Answers every request alike, unless the path says otherwise, and writes the paths down."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = str(len(self.asked)).encode() if self.path.startswith("/changing") else b"sunny \xff"
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing: the test's output is not the place."""


@pytest.fixture
def site() -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine: its address, and the paths it was asked for."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Site", (Pages,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetcher(market: Market) -> str:
    """The example, subscribed, with credit for two calls."""
    return subscribed(market, market.deploy(EXAMPLE, market.address, API, sender=OWNER))


def subscribed(market: Market, address: str) -> str:
    market.ok("top_up_for", address, 2 * PRICE, sender=STRANGER, value=2 * PRICE)
    assert market.net.write(address, "subscribe", 1_000, sender=OWNER).kind == "return"
    market.net.process("finalized")
    assert market.account(address)["subscriptions"] == [API]
    return address


def fetch(market: Market, fetcher: str, url: str) -> Receipt:
    return market.net.write(fetcher, "fetch", url, sender=OWNER)


def request(market: Market, fetcher: str, request_id: str = "fetch-1") -> dict[str, Any]:
    shown: dict[str, Any] = market.net.view(fetcher, "get_request", request_id)
    return shown


def test_fetch__billed__leader_and_validators_all_send_the_receipt(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    url, asked = site
    asking = fetch(market, fetcher, f"{url}/page")
    assert asking.value == "fetch-1"
    receipt_id = f"{API}:{fetcher}:{TODAY}:1:{DIGEST[:8]}"
    assert asked == [f"/page?receipt={receipt_id}"] * VALIDATORS
    assert request(market, fetcher) == {
        "url": f"{url}/page",
        "status": "fetched",
        "detail": "sunny \ufffd",
        "receipt_id": receipt_id,
    }
    assert market.view("get_receipt", receipt_id)["valid"] is True
    assert market.credit(fetcher) == PRICE


def test_fetch__url_with_a_query__gets_the_receipt_appended(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    url, asked = site
    fetch(market, fetcher, f"{url}/page?city=oslo")
    assert set(asked) == {f"/page?city=oslo&receipt={API}:{fetcher}:{TODAY}:1:{DIGEST[:8]}"}


def test_fetch__out_of_credit__is_denied_and_nothing_is_fetched(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    url, asked = site
    for _ in range(3):
        fetch(market, fetcher, f"{url}/page")
    assert len(asked) == 2 * VALIDATORS
    denied = request(market, fetcher, "fetch-3")
    assert (denied["status"], denied["detail"], denied["receipt_id"]) == ("denied", "insufficient_credit", "")


def test_fetch__server_says_404__is_recorded_as_failed(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    fetch(market, fetcher, f"{site[0]}/missing")
    failed = request(market, fetcher)
    assert (failed["status"], failed["detail"]) == ("failed", "HTTP 404")


def test_fetch__no_response__is_recorded_as_failed(market: Market, fetcher: str) -> None:
    def fail(*_: object) -> str:
        raise WebError("DOWN", "no route")

    market.net.mock_web("/page", fail)
    fetch(market, fetcher, "https://down.example/page")
    failed = request(market, fetcher)
    assert (failed["status"], failed["detail"]) == ("failed", "no response")


def test_fetch__server_answers_each_differently__is_billed_but_not_fetched(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    fetch(market, fetcher, f"{site[0]}/changing")
    assert request(market, fetcher)["status"] != "fetched"
    assert market.credit(fetcher) == PRICE


@pytest.mark.parametrize(
    ("method", "argument"), [("on_call_billed", {"receipt_id": "weather:forged"}), ("on_call_denied", "not_subscribed")]
)
def test_callback__from_anyone_else__is_refused(
    market: Market, fetcher: str, site: tuple[str, list[str]], method: str, argument: object
) -> None:
    market.ok("set_api_active", API, False, sender=OPERATOR)
    fetch(market, fetcher, f"{site[0]}/page")
    before = request(market, fetcher)
    for foreigner in (ALICE, OWNER, OPERATOR):
        foreign = market.net.write(fetcher, method, "fetch-1", argument, sender=foreigner)
        assert (foreign.kind, foreign.error_code) == ("user_error", "not_billing")
    assert (request(market, fetcher), site[1]) == (before, [])


def test_callback__twice__fetches_once(market: Market, fetcher: str, site: tuple[str, list[str]]) -> None:
    url, asked = site
    callback = list(all_receipts(fetch(market, fetcher, f"{url}/page")))[-1]
    assert callback.method == "on_call_billed"
    again = market.net.write(fetcher, "on_call_billed", *callback.args, sender=market.address)
    assert (again.kind, len(asked)) == ("return", VALIDATORS)


def test_callback__for_a_request_nobody_made__does_nothing(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    answer = market.net.write(fetcher, "on_call_billed", "fetch-9", {"receipt_id": "x"}, sender=market.address)
    assert (answer.kind, site[1]) == ("return", [])


def test_callback__denied_after_billed__changes_nothing(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    fetch(market, fetcher, f"{site[0]}/page")
    market.net.write(fetcher, "on_call_denied", "fetch-1", "late", sender=market.address)
    assert request(market, fetcher)["status"] == "fetched"


def retry(market: Market, fetcher: str, request_id: str = "fetch-1") -> Receipt:
    asked = market.net.write(fetcher, "retry", request_id, sender=OWNER)
    assert asked.kind == "return", asked.message
    return asked


def test_retry__callback_that_stayed_undetermined__fetches_and_is_billed_once(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    market.net.mock_web("/page", lambda request, node: str(node.index))
    asking = fetch(market, fetcher, f"{site[0]}/page")
    callback = list(all_receipts(asking))[-1]
    assert (callback.method, callback.status) == ("on_call_billed", "undetermined")
    assert (request(market, fetcher)["status"], market.credit(fetcher)) == ("open", PRICE)
    market.net.clear_mocks()
    retry(market, fetcher)
    assert (request(market, fetcher)["status"], market.credit(fetcher)) == ("fetched", PRICE)
    assert request(market, fetcher)["receipt_id"] == callback.args[1]["receipt_id"]


def test_retry__page_that_failed__fetches_with_the_same_receipt(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    market.net.mock_web("/page", {"status": 503, "body": ""})
    fetch(market, fetcher, f"{site[0]}/page")
    failed = request(market, fetcher)
    assert (failed["status"], failed["detail"]) == ("failed", "HTTP 503")
    market.net.clear_mocks()
    retry(market, fetcher)
    assert request(market, fetcher) == failed | {"status": "fetched", "detail": "sunny \ufffd"}
    assert market.credit(fetcher) == PRICE


def test_retry__denied__is_billed_when_the_reason_is_gone(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    market.ok("set_api_active", API, False, sender=OPERATOR)
    fetch(market, fetcher, f"{site[0]}/page")
    assert request(market, fetcher)["detail"] == "api_paused"
    retry(market, fetcher)
    assert (request(market, fetcher)["status"], market.credit(fetcher)) == ("denied", 2 * PRICE)
    market.ok("set_api_active", API, True, sender=OPERATOR)
    retry(market, fetcher)
    assert (request(market, fetcher)["status"], market.credit(fetcher)) == ("fetched", PRICE)


def test_retry__fetched__is_refused(market: Market, fetcher: str, site: tuple[str, list[str]]) -> None:
    fetch(market, fetcher, f"{site[0]}/page")
    for method in ("retry", "give_up"):
        refused = market.net.write(fetcher, method, "fetch-1", sender=OWNER)
        assert (refused.error_code, refused.messages) == ("already_fetched", ())


def test_retry__request_nobody_made__is_refused(market: Market, fetcher: str) -> None:
    for method in ("retry", "give_up"):
        assert market.net.write(fetcher, method, "fetch-9", sender=OWNER).error_code == "no_such_request"


def test_give_up__answer_that_comes_later__is_not_taken(
    market: Market, fetcher: str, site: tuple[str, list[str]]
) -> None:
    market.net.mock_web("/page", lambda request, node: str(node.index))
    asking = fetch(market, fetcher, f"{site[0]}/page")
    callback = list(all_receipts(asking))[-1]
    assert market.net.write(fetcher, "give_up", "fetch-1", sender=OWNER).kind == "return"
    market.net.clear_mocks()
    assert market.net.write(fetcher, callback.method, *callback.args, sender=market.address).kind == "return"
    assert market.net.write(fetcher, "on_call_denied", "fetch-1", "late", sender=market.address).kind == "return"
    assert (request(market, fetcher)["status"], site[1]) == ("given_up", [])
    retry(market, fetcher)
    assert (request(market, fetcher)["status"], market.credit(fetcher)) == ("fetched", PRICE)


def test_callback__question_sent_again_that_is_billed_after_it_was_denied__fetches(
    market: Market, site: tuple[str, list[str]]
) -> None:
    question = "again(self, request_id: str) -> None:\n        self._request_call(request_id)\n"
    source = EXAMPLE.read_text(encoding="utf-8").replace(
        "def retry(", f"def {question}\n    @gl.public.write\n    def retry("
    )
    fetcher = subscribed(market, str(market.net.deploy(source, market.address, API, sender=OWNER).to).lower())
    market.ok("set_api_active", API, False, sender=OPERATOR)
    fetch(market, fetcher, f"{site[0]}/page")
    assert request(market, fetcher)["status"] == "denied"
    market.ok("set_api_active", API, True, sender=OPERATOR)
    for _ in range(2):
        assert market.net.write(fetcher, "again", "fetch-1", sender=OWNER).kind == "return"
    assert (request(market, fetcher)["status"], market.credit(fetcher)) == ("fetched", PRICE)
    assert len(site[1]) == VALIDATORS


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("subscribe", (1,)),
        ("fetch", ("http://127.0.0.1/",)),
        ("retry", ("fetch-1",)),
        ("give_up", ("fetch-1",)),
        ("reclaim_credit", (1,)),
        ("pay_owner", ()),
    ],
)
def test_owners_method__called_by_another__is_refused(
    market: Market, fetcher: str, method: str, arguments: tuple[object, ...]
) -> None:
    refused = market.net.write(fetcher, method, *arguments, sender=STRANGER)
    assert (refused.kind, refused.error_code) == ("user_error", "not_owner")


def test_reclaim_credit__by_the_owner__comes_back_through_the_contract(market: Market, fetcher: str) -> None:
    before = market.net.balance(OWNER)
    assert market.net.write(fetcher, "reclaim_credit", 15, sender=OWNER).kind == "return"
    market.net.process("finalized")
    assert (market.credit(fetcher), market.net.balance(fetcher)) == (5, 15)
    assert market.net.write(fetcher, "pay_owner", sender=OWNER).kind == "return"
    market.net.process("finalized")
    assert market.net.balance(OWNER) == before + 15


def test_get_request__unknown__is_refused(market: Market, fetcher: str) -> None:
    with pytest.raises(ContractRejected, match="no_such_request"):
        request(market, fetcher, "fetch-7")
