"""The clients of the packages `x402` and `pympp` with our plugins, at the door of an API on a localnet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api_billing.networks import Network
from genlayer_localnet.testing.plugin import server_fixture
from tests.metering.settlement.places import PRICE, SessionPlace

from .outsiders import Outsider
from .shop import CHEAP, PIECES, Shop

# Sessions are served when they are final.
server = server_fixture(scope="module", finality_window_seconds=0)
BOUNDS = {"max_wei_per_call": PRICE, "max_wei_a_day": 100 * PRICE, "open_session": 50 * PRICE}


class PayersPlace(SessionPlace):
    """An API, and a consumer who has GEN and nothing else."""

    def place_hold(self, hold_wei: int) -> None:
        pass


@pytest.fixture
def place(request: pytest.FixtureRequest, network: Network, contract: str) -> Iterator[PayersPlace]:
    made = PayersPlace(request.node.nodeid, network, contract)
    with made.store:
        yield made


@pytest.fixture(params=["x402", "mpp"])
def pays(request: pytest.FixtureRequest, shop: Shop, running: Callable[[str], Outsider], tmp_path: Path) -> Outsider:
    place = shop.place
    told = {"node": place.network.url, "contract": place.contract, "storage": str(tmp_path)}
    return running("plugins").begin(shop.key("consumer"), "", **told, bounds=BOUNDS, speaks=request.param)


def test_client__with_our_plugin__opens_a_session_and_is_billed_to_the_wei(shop: Shop, pays: Outsider) -> None:
    answers = [pays(f"{shop.url}/{path}") for path in ("forecast", "stream", "half", "free", "forecast")]
    assert [each.status for each in answers] == [200] * 5, answers
    assert answers[1].body == b"".join(PIECES).decode()
    shop.is_billed(7 * PRICE // 2)


def test_client__with_our_plugin_and_falling_estimates__goes_on_after_a_settlement(shop: Shop, pays: Outsider) -> None:
    assert pays(f"{shop.url}/half").status == 200
    shop.is_billed(PRICE // 2)
    assert [pays(f"{shop.url}/{path}").status for path in ("cheap", "cheap", "half")] == [200] * 3
    shop.is_billed(PRICE + 2 * CHEAP)
