"""`api-billing settle close` on a localnet: a session ends, and what was served in it is billed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api_billing.cli.app import make_app
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Refused, Reserve, Reserved, Settle
from api_billing.metering.settlement.chain import chain_account
from api_billing.networks import find_network
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .places import ONE_GEN, Place, SessionPlace, deployed

HELD = 100_000

server = server_fixture(scope="module", finality_window_seconds=3_600)


@pytest.fixture(scope="module")
def contract(server: RpcServer) -> str:
    return deployed(find_network("localnet", server.url))


@pytest.fixture(params=[SessionPlace])
def place(
    request: pytest.FixtureRequest, server: RpcServer, contract: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Any]:
    """A session, the meter's store in a file, and the environment of its operator's commands."""
    network, url = find_network("localnet", server.url), f"sqlite:///{tmp_path}/meter.db"
    made = request.param(request.node.nodeid, network, contract, hold_wei=HELD, url=url)
    given = {"URL": server.url, "CONTRACT": contract, "ACCOUNT": "env:OPERATOR_KEY", "STORE_URL": url}
    for name, value in given.items():
        monkeypatch.setenv(f"API_BILLING_{name}", value)
    monkeypatch.setenv("OPERATOR_KEY", "0x" + made.key("operator").hex())
    with made.store:
        made.refresh()
        yield made


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(make_app(), words)
    assert result.exit_code == code, result.output
    return result


def close(place: Place, code: int = 0) -> str:
    """The state that the command comes to."""
    found: str = json.loads(run("settle", "close", place.api, place.who, "--json", code=code).stdout)["state"]
    return found


def held_wei(place: Place) -> int:
    return place.operator.get_session(place.who, place.api).hold_wei


def reserve(place: SessionPlace) -> tuple[Reserve, Any]:
    """A request of 500 wei that is being served, or the answer to it."""
    now_ms, account = place.now_ms(), chain_account(place.api, place.who)
    by = place.paid_by(500)
    asked = Reserve(new_id(now_ms), now_ms, now_ms + 60_000, account, place.api, place.who, 500, session=by)
    return asked, place.store.call(asked)


def test_settle_close__usage_that_is_not_settled__is_billed_and_the_rest_released(place: SessionPlace) -> None:
    place.serve(700, 3)
    text = run("settle", "close", place.api, place.who).stdout
    assert "is closed: settled, and nothing is held any more" in text.replace("\n", " ")
    report = place.consumer.get_usage_report(place.who)
    assert (report.held_wei, report.credit_balance_wei) == (0, ONE_GEN - 2_100)
    place.is_billed_once()
    assert close(place) == "closed"


def test_settle_close__request_being_served__waits_for_it_and_serves_no_other(place: SessionPlace) -> None:
    place.serve(700, 2)
    asked, reply = reserve(place)
    assert isinstance(reply, Reserved)
    assert close(place, code=1) == "serving"
    assert held_wei(place) == HELD - place.served_wei
    _, refused = reserve(place)
    assert isinstance(refused, Refused)
    assert refused.code == "session_closing"
    place.store.call(Settle(asked.reservation_id, asked.account, place.now_ms(), 500))
    place.served_wei += 500
    assert close(place) == "closed"
    assert held_wei(place) == 0
    place.is_billed_once()


def test_settle_close__nothing_left_to_bill__names_the_release_which_then_loses_nothing(place: SessionPlace) -> None:
    place.serve(700, 2)
    place.settle()
    assert close(place, code=1) == "nothing_to_bill"
    assert held_wei(place) == HELD - place.served_wei
    text = " ".join(run("settle", "close", place.api, place.who, code=1).stdout.split())
    release = f"session close {place.api} --consumer {place.operator.get_session(place.who, place.api).consumer}"
    assert text.lower().endswith(f"api-billing {release}".lower())
    assert f"api-billing settle close {place.api}" in run(*release.split()).stderr
    assert held_wei(place) == 0
    place.is_billed_once()


def test_settle_close__after_the_operator_released_the_hold__says_that_a_part_was_refused(place: SessionPlace) -> None:
    place.serve(700)
    told = run("hold", "release", place.api, "--consumer", place.who).stderr
    assert "is not settled cannot be billed from this hold any more" in told
    assert close(place, code=1) == "refused"
    assert place.earned_wei() == 0


@pytest.mark.parametrize("place", [Place], indirect=True)
def test_settle_close__plain_hold__is_told_the_commands_for_one(place: Place) -> None:
    assert f"api-billing settle once {place.api}, then" in run("settle", "close", place.api, place.who, code=2).stderr
    assert held_wei(place) == HELD
