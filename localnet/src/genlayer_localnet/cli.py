"""The command ``genlayer-localnet``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.markup import escape
from rich.segment import Segment

from genlayer_localnet.arguments import as_time
from genlayer_localnet.errors import InvalidArgument, LocalnetError
from genlayer_localnet.interpreter.time_limit import DEFAULT_SECONDS
from genlayer_localnet.printing import printable
from genlayer_localnet.rpc.isolated.process import ChainProcess
from genlayer_localnet.rpc.networks import HIGHEST_PRICE
from genlayer_localnet.rpc.options import DEFAULT_FINALITY_WINDOW_SECONDS, NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.static_files import StaticSite

DEFAULT_MEMORY_MIB = 4096
"""What one VM has on the network."""

app = typer.Typer(
    name="genlayer-localnet",
    help="A GenLayer network on this machine: no Docker, no internet.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)


class PlainConsole(Console):
    """A console that prints what it is given as `printable` has it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As the base class does, without what could disturb a terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


_console = PlainConsole()
_errors = PlainConsole(stderr=True)


class FailedValue(StrEnum):
    KEEP = "keep"
    RETURN = "return"


class FirstChildrenChoice(StrEnum):
    UNDONE = "undone"
    STAY = "stay"


class NetworkChoice(StrEnum):
    STUDIO = "studio"
    STUDIO_NEXT = "studio-next"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Library(StrEnum):
    AUTO = "auto"
    OFFICIAL = "official"
    FALLBACK = "fallback"


@app.callback()
def root() -> None:
    """A GenLayer network on this machine: no Docker, no internet."""


def _parse_time(text: str) -> datetime:
    try:
        return as_time(text)
    except InvalidArgument as error:
        raise typer.BadParameter(f"{error}; for example 2026-01-15T12:00:00Z") from None


def _in(panel: str) -> Callable[..., Any]:
    return partial(typer.Option, rich_help_panel=panel)


_network, _chain, _server = _in("Network"), _in("Chain"), _in("Server")

Port = Annotated[int, _network(min=0, max=65535, help="0 takes a free one.")]
Host = Annotated[str, _network(help="Who can connect: 127.0.0.1 this machine only.")]
AllowOrigin = Annotated[
    list[str] | None,
    _network(
        metavar="ORIGIN",
        help="Let web pages of this origin use the network, besides those of this machine: https://studio.example.",
    ),
]
AllowHost = Annotated[list[str] | None, _network(metavar="NAME", help="A further name by which clients reach it.")]
AllowWeb = Annotated[
    list[str] | None,
    _network(
        metavar="HOST",
        help="Let contracts fetch pages there, besides the public internet: localhost:8000, a name, * for everywhere.",
    ),
]
State = Annotated[
    Path | None,
    _chain(
        dir_okay=False,
        help="Keep everything in this file; the next start with it goes on there. Without it nothing is kept.",
    ),
]
FailedValueOption = Annotated[
    FailedValue | None,
    _chain(help="The value of a failed call stays with the contract (keep, as in Studio: the default) or goes back."),
]
FirstChildrenOption = Annotated[
    FirstChildrenChoice | None,
    _chain(
        help="Messages of a transaction that an appeal takes back are undone (the default), or stay beside new ones."
    ),
]
AutoMine = Annotated[bool, _chain(help="Run transactions when they arrive; without, they wait for sim_mine.")]
StrictFunds = Annotated[
    bool,
    _chain(
        "--strict-funds/--mint-missing",
        help="Refuse transactions that the sender cannot pay, or mint what is missing, as Studio does.",
    ),
]
FinalityWindow = Annotated[
    float | None, _chain(min=0, help=f"Seconds from acceptance to finality ({DEFAULT_FINALITY_WINDOW_SECONDS}).")
]
ContractTimeout = Annotated[
    float, _chain(min=0, help="Seconds after which contract code is ended with the VM error timeout; 0 is never.")
]
ContractMemory = Annotated[
    int, _chain(min=0, metavar="MIB", help="Memory that the chain and its contracts may take; 0 is no limit.")
]
Now = Annotated[
    datetime | None,
    _chain(parser=_parse_time, metavar="TIME", help="Start the clock at this ISO time; it goes on from there."),
]
Seed = Annotated[str | None, _chain(help="Text that the test accounts are derived from (localnet).")]
Accounts = Annotated[int, _chain(min=0, max=1000, help="Unlocked test accounts, with 10,000 GEN each.")]
ValidatorsOption = Annotated[int, _chain(min=1, max=100, help="How many vote, at the first start.")]
NetworkOption = Annotated[
    NetworkChoice | None,
    _chain(
        help="Be like hosted Studio (chain 61999, contracts of GenVM's v0.2 line, no fees) or Studio Next (61997, v0.3"
        " line, fees); without it contracts of both lines run, and nothing costs fees."
    ),
]
FeePrices = Annotated[
    str | None,
    _chain(
        metavar="TIME,STORAGE,RECEIPT",
        help="Fees, in wei for a time unit, a unit of storage and the gas of a receipt; 0,0,0 is none.",
    ),
]
ChainId = Annotated[int | None, _chain(min=1, help="61999 (the default) suits genlayer-py to 0.18, 61127 genlayer-js.")]
Std = Annotated[
    Library | None,
    _chain(
        envvar="GENLAYER_STD",
        help="Standard library that contracts run on; auto takes the official one where it is installed.",
    ),
]
AppDir = Annotated[
    Path | None,
    _server("--app", metavar="DIR", file_okay=False, help="Serve the built web page in this folder at /app."),
]
AppFolders = Annotated[
    list[str] | None,
    _server("--app-folder", metavar="NAME=DIR", help="Serve the files of a further folder at /app/NAME."),
]
ReadyFile = Annotated[
    Path | None, _server(dir_okay=False, help="Write address and chain id there as JSON once it runs.")
]
Level = Annotated[LogLevel, _server(help="What to log.")]


@app.command()
def up(
    port: Port = 4000,
    host: Host = "127.0.0.1",
    allow_origin: AllowOrigin = None,
    allow_host: AllowHost = None,
    allow_web: AllowWeb = None,
    network: NetworkOption = None,
    fee_prices: FeePrices = None,
    state: State = None,
    failed_value: FailedValueOption = None,
    first_children: FirstChildrenOption = None,
    auto_mine: AutoMine = True,
    strict_funds: StrictFunds = False,
    finality_window: FinalityWindow = None,
    contract_timeout: ContractTimeout = DEFAULT_SECONDS,
    contract_memory: ContractMemory = DEFAULT_MEMORY_MIB,
    now: Now = None,
    seed: Seed = None,
    accounts: Accounts = 10,
    validators: ValidatorsOption = 5,
    chain_id: ChainId = None,
    std: Std = None,
    app_dir: AppDir = None,
    app_folders: AppFolders = None,
    ready_file: ReadyFile = None,
    log_level: Level = LogLevel.WARNING,
) -> None:
    """Start the network and its JSON-RPC server; stop it with Ctrl-C.

    Clients of GenLayer connect to it as to GenLayer Studio:

        genlayer-localnet up

        genlayer-localnet up --network studio-next

        genlayer-localnet up --port 0 --state net.sqlite --ready-file ready.json
    """
    _log_to_stderr(log_level)
    options = NodeOptions(
        network=network.value if network else None,
        chain_id=chain_id,
        fee_prices=None if fee_prices is None else _prices(fee_prices),
        seed=seed,
        failed_value=failed_value.value if failed_value else None,
        first_children=first_children.value if first_children else None,
        finality_window_seconds=finality_window,
        validators=validators,
        contract_timeout_seconds=contract_timeout or None,
        auto_mine=auto_mine,
        strict_funds=strict_funds,
        accounts=accounts,
        now=now,
        std=std.value if std else None,
    )
    site = _site(app_dir, app_folders or [])
    hosts, origins = allow_host or (), allow_origin or ()
    try:
        server = RpcServer(
            options,
            host=host,
            port=port,
            state=state,
            site=site,
            allow_hosts=hosts,
            allow_origins=origins,
            start_chain=partial(ChainProcess, memory_bytes=contract_memory * 2**20 or None, allow_web=allow_web or ()),
        )
    except (LocalnetError, OSError) as error:
        _errors.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    _announce(server, state, site)
    _serve(server, ready_file)


def _serve(server: RpcServer, ready_file: Path | None) -> None:
    try:
        if ready_file is not None:
            _write_ready_file(ready_file, server)
        server.serve()
    except KeyboardInterrupt:
        _console.print("stopped")
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _site(root: Path | None, folders: Sequence[str]) -> StaticSite | None:
    named = dict(each.partition("=")[::2] for each in folders)
    if not all(named) or not all(named.values()) or (named and root is None):
        raise typer.BadParameter("--app-folder is NAME=DIR, and goes with --app")
    return None if root is None else StaticSite(root, folders={name: Path(path) for name, path in named.items()})


def _prices(text: str) -> tuple[int, int, int]:
    try:
        time, storage, receipt = map(int, text.split(","))
    except ValueError:
        raise typer.BadParameter("--fee-prices is three whole numbers of wei, as in 1000000,1000,100") from None
    if min(time, storage, receipt) < 0:
        raise typer.BadParameter("--fee-prices: a price is not negative")
    if max(time, storage, receipt) > HIGHEST_PRICE:
        raise typer.BadParameter("--fee-prices: a price is 2**96 - 1 at most")
    return time, storage, receipt


def _log_to_stderr(level: LogLevel) -> None:
    handler = RichHandler(console=_errors, show_path=False, log_time_format="%H:%M:%S")
    logging.basicConfig(level=level.value.upper(), format="%(message)s", handlers=[handler])


def _announce(server: RpcServer, state: Path | None, site: StaticSite | None) -> None:
    facts_of_chain = server.engine.facts
    _console.print(f"[bold]GenLayer localnet[/] {server.url}", highlight=False, soft_wrap=True)
    facts = {
        "network": facts_of_chain.network,
        "chain id": str(facts_of_chain.chain_id),
        "contracts run on": facts_of_chain.library,
        "state": str(state) if state is not None else "in memory only (--state FILE keeps it)",
    }
    if site is not None:
        facts["page"] = f"{server.url.removesuffix('/api')}/app/"
    for name, value in facts.items():
        _console.print(f"  {name:17} {value}", highlight=False, markup=False, soft_wrap=True)
    if facts_of_chain.accounts:
        _console.print("\nUnlocked accounts and their private keys, which are public: [bold]for tests only[/].")
        for address, key in facts_of_chain.accounts:
            _console.print(f"  {address} {key}", style="dim", highlight=False, soft_wrap=True)
    left = server.engine.unconfined
    if left:
        _errors.print(
            f"[yellow]warning:[/] this system cannot keep contracts from {', '.join(left)} of yours: run none that you "
            "do not trust.",
            highlight=False,
            soft_wrap=True,
        )
    if not server.is_loopback:
        _errors.print(
            f"[yellow]warning:[/] {server.host} is not a loopback address: anybody who can reach this machine can use "
            "this network and its accounts. There is no authentication.",
            highlight=False,
            soft_wrap=True,
        )
    _console.print()


def _write_ready_file(path: Path, server: RpcServer) -> None:
    """In one step, so that nobody reads half of it."""
    content = {"url": server.url, "port": server.port, "chain_id": server.engine.facts.chain_id, "pid": os.getpid()}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content) + "\n", "utf-8")
    draft.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or the program's; the exit code."""
    try:
        app(arguments, prog_name="genlayer-localnet")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
