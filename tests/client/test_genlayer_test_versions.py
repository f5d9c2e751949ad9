"""The newest pre-release of genlayer-test, which needs another genlayer-py than that of the environment."""

import json
from pathlib import Path

from genlayer_localnet.testing.server import ServerProcess
from tests.other_versions import other_versions

PREVIEW = "genlayer-test-preview"


# In one process, since each takes seconds to start: direct mode on the library of the later line, the later edition of
# the contract on it, and the stories by way of a localnet without fees.
STORIES = ("tests/std/test_direct_mode.py", "tests/contract/unit/test_direct_mode.py", "tests/integration")


def test_preview__tells_the_same_stories() -> None:
    other_versions(PREVIEW).pass_tests(*STORIES, "-knot linter and not genvmroot", without=())


def test_preview__where_fees_are_paid__tells_the_same_stories_and_measures_them(tmp_path: Path) -> None:
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
