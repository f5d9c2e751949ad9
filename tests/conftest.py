"""Settings for all tests. Hypothesis has no deadline: a busy machine is no bug. In CI it repeats the same examples.

HYPOTHESIS_PROFILE=thorough tries some twenty times as much, and takes as much longer: for the night, or after a change
of the contract.
"""

import gc
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

# The tests start dozens of Python processes: without compiled files each would compile all modules anew, and pytest
# would rewrite the assertions of all tests in every worker. They are in folders that git ignores.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what it leaves in the background with Ctrl-C ignored, and so would be all that the tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


LONGEST = (
    "dapp/test_dapp.py",
    "contract/invariant/test_editions.py",
    "contract/invariant/test_mutants.py",
    "demo/metered/test_metered_command.py",
    "metering/settlement/test_faulty_node.py",
    "metering/settlement/test_processes.py",
    "payments_outside/test_clients.py",
    "contract/invariant/test_billing_machine.py",
    "metering/examples/test_on_chain.py",
    "acceptance/test_networks.py",
    "payer/test_plugins.py",
    "metering/web/test_paid.py",
    "localnet/test_money_machine.py",
    "client/test_genlayer_test_versions.py",
    "contract/court/test_judge.py",
    "metering/settlement/test_service_on_chain.py",
    "client/test_genlayer_py_versions.py",
    "metering/settlement/test_process.py",
    "metering/stores/test_conformance_settlement.py",
    "js/test_ethers.py",
    "js/test_genlayer_cli.py",
    "payer/test_pay_command.py",
    "payments_outside/test_examples.py",
    "demo/test_log_biller.py",
    "metering/request/test_texts.py",
    "docs/test_documents.py",
    "contract/court/test_bonds.py",
    "rpc/test_isolated.py",
    "deploy/test_deployment.py",
    "rpc/test_fetching.py",
    "payer/test_bounds.py",
    "metering/settlement/test_door_fuzz.py",
    "metering/stores/test_conformance_sessions.py",
    "metering/settlement/test_receipts_end_to_end.py",
    "deploy/test_deploy_script.py",
    "metering/stores/test_conformance_money.py",
    "metering/examples/test_examples.py",
    "contract/static/test_deployed_form.py",
    "metering/web/test_paid_servers.py",
    "metering/stores/test_crashes.py",
)
"""What takes longest, as of a whole run's `--durations`; whatever came last would be waited for by idle workers."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Tests are kept to the end: the garbage collector need not go through twenty thousand of them over and over."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where files are shared out to workers, the longest come first; the others stay in their order."""
    if hasattr(config, "workerinput"):
        folder = Path(__file__).parent
        place = {folder / name: number for number, name in enumerate(LONGEST)}
        items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have recorded as lists of lines: how often each action of a state machine ran."""
    for report in (report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)):
        for title, lines in report.user_properties:
            if report.when == "call" and isinstance(lines, list):
                terminalreporter.section(title)
                for line in lines:
                    terminalreporter.write_line(line)
