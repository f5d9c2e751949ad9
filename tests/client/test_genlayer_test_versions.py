"""The newest pre-release of genlayer-test, which needs another genlayer-py than that of the environment."""

import json
from pathlib import Path

from genlayer_localnet.testing.server import ServerProcess
from tests.other_versions import other_versions

PREVIEW = "genlayer-test-preview"


def test_direct_mode__of_the_preview__runs_on_the_fallback_library_of_the_later_line() -> None:
    other_versions(PREVIEW).pass_tests("tests/std/test_direct_mode.py", "-knot linter and not genvmroot", without=())


def test_direct_mode__of_the_preview__runs_the_later_edition_of_the_contract() -> None:
    other_versions(PREVIEW).pass_tests("tests/contract/unit/test_direct_mode.py", without=())


def test_gltest__of_the_preview__tells_the_same_stories_on_the_localnet() -> None:
    other_versions(PREVIEW).pass_tests("tests/integration", without=())


def test_gltest__of_the_preview__tells_the_same_stories_where_fees_are_paid(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    with ServerProcess("--network", "studio-next", "--finality-window", "1") as server:
        network = ("--network=studio_next", f"--rpc-url={server.url}", "--default-wait-interval=100")
        other_versions(PREVIEW).pass_tests("tests/integration", *network, f"--fee-profile={profile}", without=())
    measured = json.loads(profile.read_text(encoding="utf-8"))
    assert measured["chainId"] == 61997
    spent = {name: int(each["executionBudgetPerRound"]) for name, each in measured["methods"].items()}
    called = ("consume_credit", "register_api", "settle_usage", "subscribe", "top_up_credit", "withdraw_credit")
    assert sorted(name for name, wei in spent.items() if wei) == sorted(called)
    sending = [name for name, each in measured["methods"].items() if int(each["totalMessageFees"])]
    assert sending == ["withdraw_credit"]
