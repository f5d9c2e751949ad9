from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_billing.payer import PayingClient, Wallet

from .scripted import Clock, ScriptedContract, Server
from .served import contract, network, node, place, url  # noqa: F401

Client = Callable[..., PayingClient]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chain(clock: Clock) -> ScriptedContract:
    return ScriptedContract(clock)


@pytest.fixture
def server(chain: ScriptedContract) -> Server:
    return Server(chain)


@pytest.fixture
def wallets(chain: ScriptedContract, clock: Clock, tmp_path: Path) -> Iterator[Callable[[], Wallet]]:
    """Makes wallets that share a book, as processes do."""
    made: list[Wallet] = []

    def make() -> Wallet:
        client: Any = chain
        made.append(Wallet(client, file=tmp_path / "payer.db", clock=clock, sleep=clock.sleep))
        return made[-1]

    yield make
    for wallet in made:
        wallet.close()


@pytest.fixture
def wallet(wallets: Callable[[], Wallet]) -> Wallet:
    return wallets()


@pytest.fixture
def client(wallet: Wallet, server: Server) -> Iterator[Client]:
    """Makes clients of the server; with a session to be opened, unless it is said otherwise."""
    made: list[PayingClient] = []

    def make(**options: Any) -> PayingClient:
        given = {"max_wei_per_call": 1_000, "max_wei_a_day": 100_000, "open_session": 50_000, **options}
        given.setdefault("transport", httpx.MockTransport(server))
        made.append(PayingClient(given.pop("wallet", wallet), **given))
        made[-1].payer._clock = wallet._clock
        return made[-1]

    yield make
    for each in made:
        each.close()
