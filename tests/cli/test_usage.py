"""Options, errors and help: what the command says when it is not used as it should be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from api_billing import errors
from api_billing.cli.exit_codes import MEANINGS, ExitCode
from api_billing.cli.output import exit_code

from .conftest import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ContractRejected("api_paused", ""), ExitCode.REFUSED),
        (errors.DepositKept("api_paused", "", "0x", 1, 1), ExitCode.REFUSED),
        (errors.InvalidInput("x"), ExitCode.USAGE),
        (errors.NoContract("x"), ExitCode.USAGE),
        (errors.KeyUnavailable("x"), ExitCode.USAGE),
        (errors.Unreachable("x"), ExitCode.NETWORK),
        (errors.RateLimited("x"), ExitCode.NETWORK),
        (errors.RpcFailed("m", -1, "x"), ExitCode.NETWORK),
        (errors.ContractNotFound("0x", "localnet"), ExitCode.NETWORK),
        (errors.OutcomeUnknown("x", None), ExitCode.UNKNOWN_OUTCOME),
        (errors.WaitTimedOut("0x", 1, "ACCEPTED", "PENDING"), ExitCode.UNKNOWN_OUTCOME),
        (errors.TransactionFailed("0x", "ACCEPTED", "x"), ExitCode.NOT_EXECUTED),
        (errors.ChildFailed("0x", "0x", "ACCEPTED", "x"), ExitCode.NOT_EXECUTED),
        (errors.UnexpectedAnswer("x"), ExitCode.NOT_EXECUTED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_exit_code__of_every_error__is_the_documented_one(error: BaseException, code: ExitCode) -> None:
    assert exit_code(error) is code


def test_exit_codes__all__have_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_error_tree__every_class__is_drawn_in_the_docstring() -> None:
    classes = [name for name, each in vars(errors).items() if isinstance(each, type)]
    assert {name for name in classes if name not in str(errors.__doc__)} == set()


def test_reference__of_the_command__is_current() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "cli_reference.py"), "--check"]
    assert subprocess.run(tool, check=False).returncode == 0, "run tools/cli_reference.py"


def test_command__in_a_process_of_its_own__shows_its_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api_billing.cli", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Exit codes: 0 done" in done.stdout


LOADED_BY_HELP = """
import sys
from api_billing.cli.__main__ import main

sys.argv = sys.argv[1:]
try:
    main()
except SystemExit:
    print(sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("command", ["", "meter", "meter serve", "settle", "report", "deploy"])
def test_command__help__loads_nothing_of_what_commands_do(command: str) -> None:
    arguments = ["api-billing", *command.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_HELP, *arguments], capture_output=True, text=True, check=True
    )
    loaded = set(ast.literal_eval(done.stderr))
    assert "api_billing.cli.app" in loaded
    ours = {"api_billing.client", "api_billing.connection", "api_billing.metering"}
    theirs = {"asyncio", "eth_account", "fastapi", "genlayer_localnet", "genlayer_py", "requests", "web3"}
    drawings = {"rich.live", "rich.markdown", "rich.progress", "rich.table", "typer.rich_utils"}
    assert loaded.isdisjoint(ours | theirs | drawings)
    # typer itself loads pydantic as soon as a group or command has options of its own.
    assert command or "pydantic" not in loaded


def test_command__nothing_deployed__says_how(run: Run) -> None:
    ran = run("report")
    assert ran.code == 2
    assert "api-billing deploy" in ran.err


def test_command__nobody_listens__says_how_to_start(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_billing.transport.RETRY_PAUSES_SECONDS", ())
    ran = bare("solvency", "--url", "http://127.0.0.1:1/api", "--contract", "0x" + "11" * 20)
    assert ran.code == 3
    assert "api-billing localnet up" in ran.err


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (["top-up", "0.5"], "name the unit, as in 0.5gen"),
        (["top-up", "half"], "is not an amount"),
        (["hold", "place", "a", "1gen", "--for", "soon"], "is no duration"),
        (["hold", "place", "a", "1gen", "--until", "soon"], "is no time"),
        (["alert", "101"], "100"),
        (["report", "0x12"], "'0x12' is not an address"),
        (["report", "--network", "mainnet"], "there is no network 'mainnet'"),
        (["report", "--url", "nowhere"], "is not the URL of a node"),
        (["report", "--account", "nobody"], "there is no key 'nobody'"),
        (["solvency", "--contract", "0x12"], "is not an contract address"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_command__wrong_value__is_refused_with_code_2(bare: Run, arguments: list[str], because: str) -> None:
    ran = bare(*arguments)
    assert ran.code == 2
    assert because in " ".join(ran.err.split())


def test_command__hosted_network_without_account__asks_for_one(bare: Run) -> None:
    ran = bare("top-up", "1gen", "--network", "studionet", "--contract", "0x" + "11" * 20)
    assert ran.code == 2
    assert "--account" in ran.err


def test_options__given_twice__the_later_counts(bare: Run) -> None:
    ran = bare("--network", "studionet", "report", "--network", "mainnet")
    assert "there is no network 'mainnet'" in ran.err


def test_options__from_the_environment__are_used(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_NETWORK", "nowhere")
    assert "there is no network 'nowhere'" in bare("report").err


def test_options__after_an_environment_variable__count(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_NETWORK", "nowhere")
    assert "there is no network 'mainnet'" in bare("--network", "mainnet", "report").err


def test_keys__created_and_imported__are_listed(bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API_BILLING_PASSWORD", "correct horse")
    monkeypatch.setenv("OLD_KEY", "0x" + "11" * 32)
    (tmp_path / "key.txt").write_text("22" * 32 + "\n")
    assert bare("keys", "create", "new").code == 0
    assert bare("keys", "import", "old", "--from-env", "OLD_KEY").code == 0
    assert bare("keys", "import", "file", "--from-file", tmp_path / "key.txt").code == 0
    assert [each["name"] for each in bare("keys", "list", "--json").json] == ["file", "new", "old"]


def test_keys__printed__have_no_private_key(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_PASSWORD", "correct horse")
    monkeypatch.setenv("OLD_KEY", "0x" + "11" * 32)
    ran = bare("keys", "import", "old", "--from-env", "OLD_KEY", "--json")
    assert "11" * 32 not in ran.out + ran.err


def test_keys__password_from_a_file__is_its_first_line(bare: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    assert bare("keys", "create", "new", "--password-file", tmp_path / "password").code == 0


def test_keys__nobody_to_ask__says_where_the_password_can_be(bare: Run) -> None:
    ran = bare("keys", "create", "new")
    assert ran.code == 2
    assert "API_BILLING_PASSWORD" in ran.err


def test_keys__import_without_a_source__says_where_it_can_come_from(bare: Run) -> None:
    assert "--from-env or --from-file" in bare("keys", "import", "old").err


def test_keys__password_typed_twice_differently__is_refused(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_billing.cli.key_files.ask_password", lambda *_: "correct horse")
    monkeypatch.setattr("getpass.getpass", lambda _: "battery staple")
    ran = bare("keys", "create", "new")
    assert (ran.code, "the passwords differ" in ran.err) == (2, True)


def test_version__of_the_package__is_printed(bare: Run) -> None:
    assert bare("version").out.startswith("api-billing 0.")
