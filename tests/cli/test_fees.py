"""Commands on a network with fees: what is shown before something is sent, and what it cost."""

import re
from pathlib import Path

import pytest

from api_billing.amounts import parse_wei
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .conftest import Run

costly_server = server_fixture("function", fee_prices=(10**12, 10**9, 10**8), finality_window_seconds=0)
NOTE = re.compile(r"^fee: at most (.+), what is not used comes back$", re.MULTILINE)


@pytest.fixture
def deployed(bare: Run, costly_server: RpcServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against a network with fees, on which the contract is."""
    monkeypatch.setenv("API_BILLING_URL", costly_server.url)
    ran = bare("deploy")
    assert ran.code == 0, ran.err
    assert NOTE.search(ran.err)
    return bare


def test_write__with_fees__shows_the_highest_before_and_the_real_one_after(deployed: Run) -> None:
    ran = deployed("top-up", "1gen", "--on", "finalized")
    (most,), (paid,) = NOTE.findall(ran.err), re.findall(r"^fee: (.+)$", ran.out, re.MULTILINE)
    assert ran.code == 0
    assert 0 < parse_wei(paid.replace(" ", "").lower()) < parse_wei(most.replace(" ", "").lower())


def test_write__as_json__has_deposit_and_cost(deployed: Run) -> None:
    fee = deployed("top-up", "1gen", "--on", "finalized", "--json").json["fee"]
    assert 0 < fee["paid_wei"] < fee["deposit_wei"]


def test_tx__as_json__has_deposit_and_cost(deployed: Run) -> None:
    done = deployed("top-up", "1gen", "--on", "finalized", "--json").json
    assert deployed("tx", done["tx"], "--json").json["fee"] == done["fee"]


def test_deploy__dry_run__shows_the_fee_that_it_would_deposit(deployed: Run) -> None:
    ran = deployed("deploy", "--force", "--dry-run")
    (planned,) = re.findall(r"^ *fee +at most (.+), what is not used comes back *$", ran.out, re.MULTILINE)
    assert NOTE.findall(deployed("deploy", "--force").err) == [planned]
    planned_wei = parse_wei(planned.replace(" ", "").lower())
    as_json = deployed("deploy", "--force", "--dry-run", "--json").json
    assert as_json["fee"] == {"deposit_wei": planned_wei, "paid_wei": None}


def test_deploy__dry_run_of_what_is_there__has_no_fee(deployed: Run) -> None:
    ran = deployed("deploy", "--dry-run", "--json").json
    assert (ran["action"], ran["fee"]) == ("keep", None)


def test_tx__as_text__says_result_and_cost_in_words(deployed: Run) -> None:
    done = deployed("top-up", "1gen", "--on", "finalized", "--json").json
    shown = deployed("tx", done["tx"]).out
    (fee,) = re.findall(r"^ +fee +(.+)$", shown, re.MULTILINE)
    assert parse_wei(fee.replace(" ", "").lower()) == done["fee"]["paid_wei"]
    assert "{'" not in shown


def test_write__above_max_fee__is_refused_with_code_2_and_nothing_is_sent(deployed: Run) -> None:
    ran = deployed("top-up", "1gen", "--max-fee", "1wei")
    assert (ran.code, ran.out) == (2, "")
    assert "--max-fee (max_fee_wei) allows no more than 1 wei" in ran.err
    assert "nothing was sent" in ran.err
    assert not NOTE.search(ran.err)
    assert deployed("report", "--json").json["credit_balance_wei"] == 0


def test_write__max_fee_of_the_environment__counts_unless_another_is_named(
    deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BILLING_MAX_FEE", "1wei")
    assert deployed("top-up", "1gen").code == 2
    assert deployed("top-up", "1gen", "--max-fee", "1gen").code == 0


def test_write__fee_profile_that_is_none__is_refused_with_code_2(deployed: Run, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("{}", encoding="utf-8")
    ran = deployed("top-up", "1gen", "--fee-profile", tmp_path / "profile.json")
    assert (ran.code, ran.out) == (2, "")
    assert "is no fee profile" in ran.err


def test_read__with_fees__costs_nothing_and_says_nothing_of_them(deployed: Run) -> None:
    ran = deployed("report", "--json")
    assert (ran.code, ran.err) == (0, "")
