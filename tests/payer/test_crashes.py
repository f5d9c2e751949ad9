"""A process that dies between any two steps: no voucher is lost, nothing is paid twice, and the next one goes on."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_billing.payer import PayingClient, Wallet
from api_billing.payer.book import Book
from api_billing.payer.paying import Send
from api_billing.payer.wallet import Bounds

from .conftest import Client
from .scripted import URL, Clock, Killed, ScriptedContract, Server

both = pytest.mark.parametrize("protocol", ["mpp", "x402"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["", "before", "signed", "sent", "served"]), st.integers(0, 100), st.booleans()),
    min_size=1,
    max_size=12,
)  # where a request's process dies, what it costs, and whether all vouchers become public after it


@both
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=STEPS)
def test_requests__of_processes_that_die_anywhere__are_paid_once(
    tmp_path_factory: pytest.TempPathFactory, protocol: str, plan: list[tuple[str, int, bool]]
) -> None:
    clock = Clock()
    chain = ScriptedContract(clock)
    server = Server(chain, protocols=(protocol,))
    file = tmp_path_factory.mktemp("book") / "payer.db"
    answered = known_wei = lost_wei = 0
    for dies, cost_wei, is_posted in [*plan, ("", 7, False), ("", 0, False)]:
        served = server.served
        wallet = Wallet(chain, file=file, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
        transport = httpx.MockTransport(dying(server, dies, cost_wei))
        try:
            with PayingClient(
                wallet, max_wei_per_call=100, max_wei_a_day=10**6, open_session=10**6, transport=transport
            ) as client:
                client.payer._clock = clock
                if dies == "signed":
                    begin = wallet.book.begin

                    def begin_and_die(*args: object, **options: object) -> None:
                        begin(*args, **options)  # type: ignore[arg-type]  # noqa: B023
                        raise Killed

                    wallet.book.begin = begin_and_die  # type: ignore[method-assign,assignment]
                wallet.book.lost = lambda _: None  # type: ignore[method-assign]  # nobody is there to note it
                response = client.get(URL)
            assert response.is_success
            answered, known_wei = answered + 1, known_wei + cost_wei
        except Killed:
            assert dies
            lost_wei += cost_wei if server.served > served else 0
        wallet.close()
        if is_posted:
            server.post()
    assert server.charged_wei == known_wei + lost_wei
    assert len(server.sums) == 1
    [sums] = server.sums.values()
    assert sums.signed_wei <= sums.charged_wei + 101 * (2 + sum(1 for dies, *_ in plan if dies)) + len(plan)
    book = Book(file, clock=clock)
    [session] = book.sessions()
    [channel] = book.channels(session)
    assert channel.charged_wei == server.charged_wei, "the last receipt told it all"
    book.close()


def dying(server: Server, dies: str, cost_wei: int) -> Callable[[httpx.Request], httpx.Response]:
    def handle(request: httpx.Request) -> httpx.Response:
        server.cost = lambda _: cost_wei
        is_paid = "payment-signature" in request.headers or "authorization" in request.headers
        if dies == "before" or (dies == "sent" and is_paid):
            raise Killed
        response = server(request)
        if dies == "served" and is_paid and response.is_success:
            raise Killed
        return response

    return handle


@both
def test_requests__of_many_threads_and_books__are_never_signed_on_the_same_wei(
    wallets: Callable[[], Wallet], server: Server, protocol: str
) -> None:
    server.protocols = (protocol,)
    bounds = {"max_wei_per_call": 100, "max_wei_a_day": 10**6}
    first = wallets()
    first.open_session("weather", 10**6, 7, Bounds(100, 10**6))
    clients = [
        PayingClient(wallet, **bounds, transport=httpx.MockTransport(server))  # type: ignore[arg-type]
        for wallet in (first, wallets(), wallets())
    ]
    for each in clients:
        each.payer._clock = first._clock
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: clients[number % 3].get(URL).status_code, range(90)))
    assert answers == [200] * 90
    assert server.charged_wei == 9_000
    assert first.book.signed_wei(first.payer) == 9_000
    assert len(server.sums) == (1 if protocol == "mpp" else len(server.sums)) <= 16


def test_payment__of_a_process_that_was_killed__holds_nobody_up(tmp_path: Path) -> None:
    file = tmp_path / "payer.db"
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from tests.payer.scripted import ScriptedContract, Server
        from api_billing.payer import Wallet, Bounds
        wallet = Wallet(ScriptedContract(), file=Path({str(file)!r}))
        wallet._clock = wallet.book._clock = wallet.client.clock
        session = wallet.open_session("weather", 1000, 7, Bounds(100, 1000))
        for exact in (True, False):
            made = wallet.book.begin(session, Server(wallet.client).offered(), 100, Bounds(100, 1000), is_exact=exact)
        print(made.number, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, env=environ
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n"), done.stderr
    clock = Clock()
    book = Book(file, clock=clock)
    [session] = book.sessions()
    made = book.begin(session, Server(ScriptedContract()).offered(), 100, Bounds(100, 1_000), is_exact=True)
    assert made is not None
    assert (made.number, made.voucher.cumulative_wei) == (0, 100), "the same voucher again"
    assert [path.name for path in sorted(tmp_path.glob("payer.db.*"))] == [f"payer.db.{book.owner}"]
    book.close()


def test_book__after_a_fork__is_the_childs_own_and_the_parents_still(tmp_path: Path) -> None:
    book = Book(tmp_path / "payer.db")
    before = book.owner
    child = os.fork()
    if child == 0:
        os._exit(0 if book.owner != before and book.sessions() == [] and book._lives(before) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (book.owner, book.sessions()) == (before, [])
    book.close()


def test_copy__of_the_book_from_before__goes_on_as_far_as_its_own_signature_proves(
    wallets: Callable[[], Wallet], client: Client, server: Server, tmp_path: Path
) -> None:
    server.protocols = ("x402",)
    first = wallets()
    client(wallet=first).get(URL)
    first.close()
    old = (tmp_path / "payer.db").read_bytes()
    second = wallets()
    for _ in range(5):
        client(wallet=second).get(URL)
    second.close()
    (tmp_path / "payer.db").write_bytes(old)
    assert client(wallet=wallets()).get(URL).is_success
    assert server.charged_wei == 700


def test_generator__given_up_while_the_request_is_under_way__counts_as_lost(wallet: Wallet, client: Client) -> None:
    from api_billing.payer.paying import Request

    payer = client().payer
    session = wallet.open_session("weather", 1_000, 7, payer.bounds)
    steps = payer.pay(Request(URL))
    answer: object = None
    sent = 0
    while sent < 2:
        step = steps.send(answer)
        answer = None
        if isinstance(step, Send):
            sent += 1
            from .scripted import Server as Door

            if sent == 1:
                asks = Door(wallet.client).asks()  # type: ignore[arg-type]
                from api_billing.payer.httpx_client import reply_of

                answer = reply_of(asks)
        else:
            answer = step.do()  # type: ignore[union-attr]
    steps.close()
    assert wallet.book.signed_wei(wallet.payer) == 100
    [channel] = wallet.book.channels(session)
    assert (channel.charged_wei, channel.most_wei) == (0, 100)


def test_payment__that_ends_after_it_was_taken_for_lost__leaves_the_next_alone(wallet: Wallet, server: Server) -> None:
    session = wallet.open_session("weather", 1_000, 7, Bounds(100, 1_000))
    first = wallet.book.begin(session, server.offered(), 100, Bounds(100, 1_000), is_exact=True)
    server.chain.clock.sleep(301)
    second = wallet.book.begin(session, server.offered(), 100, Bounds(100, 1_000), is_exact=True)
    assert first is not None
    assert second is not None
    wallet.book.finish(first, total_wei=100, cost_wei=100)
    third = wallet.book.begin(session, server.offered(), 100, Bounds(100, 1_000), is_exact=True)
    assert third is not None
    assert (first.number, second.number, third.number) == (0, 0, 1)
