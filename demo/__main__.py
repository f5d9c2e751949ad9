"""`python -m demo [LOG ...] [--json FILE] [--serve]`: bill an access log and print the usage report.

With `--meter` no log is billed but a real API under load, see `demo.metered`.
"""

import argparse
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console

from api_billing.cli.drawing import PlainConsole
from api_billing.showing import printable
from demo import ROOT
from demo.access_log import STANDARD_INPUT, AccessLog, AccessLogError, EmptyLogError, merged, read_log
from demo.billing_contract import UnexpectedOutcomeError
from demo.layout import make_console
from demo.live_meter import LiveMeter, can_run, running
from demo.log_line import Forwarded
from demo.metered.processes import ending_on_signals
from demo.people import CARL, PEOPLE
from demo.present import DAYS, Present, present
from demo.progress import Progress, progress
from demo.report import print_report
from demo.run import run
from demo.serving import DEFAULT_PORT, links, server_of
from demo.summary import SummaryNotWrittenError, write_json
from demo.terms import KIB
from demo.web_page import PageNotBuiltError, built_page
from genlayer_localnet import InvalidArgument, StandardLibraryNotFound
from genlayer_localnet.loading.standard_library import StandardLibrary, choose
from genlayer_localnet.rpc.server import PortInUse

OK: Final = 0
CONTRADICTION: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

_DESCRIPTION: Final = """\
Bill every request of an access log on an embedded GenLayer network, and print
the usage report.

The log is in Apache's common or combined format, plain or gz. Known prefixes
(a virtual host, syslog, docker, Kubernetes) are skipped; also read are JSON as
Caddy, Traefik, nginx and docker write it, the format of the W3C (IIS,
CloudFront) and that of AWS application load balancers. Several files are read
as one, in the order of time.

Each first segment of a path is an API (/ is "root"), each client is a consumer
with prepaid credit. The contract contracts/api_usage_billing.py bills every
request at the time it has in the log: those to the busiest APIs in batches that
their operators settle every hour, the others call by call. In a long log these,
too, are settled, once a day, while the client's credit is not low: with the
same result. Prices, limits and deposits are chosen from the log so that a few
clients run into each limit.

With --meter there is no log: the example API with its meter, a localnet and
2,000 HTTP requests of 50 consumers, each in processes of their own, from holds
to what the operator withdrew. It needs FastAPI and takes half a minute."""

_EPILOG: Final = """\
examples:
  python -m demo                        the project's own small log
  python -m demo access.log.1.gz        your own
  python -m demo access.log*            several
  zcat access.log.gz | python -m demo - from standard input
  python -m demo access.log --json usage.json
                                                    and the figures for machines
  python -m demo --serve                look at it in the browser
  python -m demo --meter                an API, paid per request

With nothing installed, in the project's folder:
  make demo LOG=... XFF=... JSON=... SERVE=1 PORT=...
  make demo METER=1 JSON=... REQUESTS=... CONSUMERS=...

exit codes:
  0  all is billed, and the books agree with the contract's own
  1  they do not, or the contract did what it must not: please report this bug
  2  the log cannot be read, the figures cannot be written, the command is
     wrong, or a process of the run has ended"""


class _BadInputError(Exception):
    """The command asks for what cannot be done."""


class _Arguments(argparse.Namespace):
    log: list[Path]
    xff: Forwarded | None
    json: Path | None
    std: str | None
    serve: bool
    port: int | None
    meter: bool
    requests: int | None
    consumers: int | None
    network: str | None


class _Parser(argparse.ArgumentParser):
    """Whose messages quote the command line without what could disturb a terminal."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and end."""
        super().error(printable(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code. Errors are one message on standard error."""
    try:
        options = _parser().parse_args(arguments, namespace=_Arguments())
        _require_one_demo(options)
        return _bill_requests(options) if options.meter else _bill(options)
    except (_BadInputError, AccessLogError, SummaryNotWrittenError) as error:
        return _fail(str(error), BAD_INPUT)
    except UnexpectedOutcomeError as error:
        return _fail(f"the contract did what it must not: {error}", CONTRADICTION)
    except OSError as error:
        return _fail(f"the run broke off: {error}", BAD_INPUT)
    except KeyboardInterrupt:
        return _fail("interrupted: nothing was written", INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    default = _sample_log()
    parser.add_argument(
        "log",
        metavar="LOG",
        nargs="*",
        type=Path,
        help=f"the logs to bill, - for standard input; {default} unless given",
    )
    parser.add_argument(
        "--xff",
        choices=("first", "last"),
        help="the client is the first or last address of the X-Forwarded-For that ends each line, and the one in front "
        "where that is -; the first is what clients say of themselves",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures as JSON too; wei as integers")
    parser.add_argument(
        "--std",
        choices=("auto", "official", "fallback"),
        help="the standard library contracts run on: the official one, the project's own, or the official one where "
        "it is on this machine (auto, the default; the environment variable GENLAYER_STD sets another)",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="afterwards leave a network running until ctrl-c, where the log's days came again and again up to now, "
        "with people that can act, and the web page at /app; npm builds the page",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=int,
        help=f"where to serve it ({DEFAULT_PORT}); 0 takes a free port",
    )
    parser.add_argument("--meter", action="store_true", help="bill real HTTP requests to an API instead of a log")
    parser.add_argument("--requests", metavar="N", type=int, help="with --meter: how many in all (2000)")
    parser.add_argument(
        "--consumers", metavar="N", type=int, help="with --meter: how many, of which one is a contract (50)"
    )
    parser.add_argument(
        "--network",
        choices=("studionet", "studio-next"),
        help="with --meter: have the localnet be like this network, with its contracts and fees",
    )
    return parser


def _sample_log() -> Path:
    """The project's own log, as a path from here where that is shorter."""
    path = ROOT / "examples" / "sample_access.log"
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _require_one_demo(options: _Arguments) -> None:
    """An option of the one demo is no wish for the other."""
    of_log = {
        "LOG": options.log or None,
        "--xff": options.xff,
        "--serve": options.serve or None,
        "--port": options.port,
    }
    of_meter = {"--requests": options.requests, "--consumers": options.consumers, "--network": options.network}
    for name, value in (of_log if options.meter else of_meter).items():
        if value is not None:
            how = "does not go with --meter, which bills" if options.meter else "goes with --meter, which bills"
            raise _BadInputError(f"{name} {how} real requests instead of a log")


def _bill_requests(options: _Arguments) -> int:
    # Loaded only here: it takes a second, and needs packages that a log does not.
    from demo.metered.processes import BrokeOffError
    from demo.metered.report import print_metered_report
    from demo.metered.run import run_metered

    std = _standard_library(options.std)
    if options.json is not None:
        _require_writable(options.json)
    try:
        with progress(_errors()) as shown:
            figures = run_metered(options.requests, options.consumers, std, shown.phase, options.network or "localnet")
    except BrokeOffError as error:
        return _fail(f"the run broke off: {error}", BAD_INPUT)
    except ValueError as error:
        raise _BadInputError(str(error)) from error
    with suppress(BrokenPipeError):
        print_metered_report(figures, make_console())
        sys.stdout.flush()
    if options.json is not None:
        write_json(figures.to_json(), options.json)
    return _verdict(figures.contradictions())


def _bill(options: _Arguments) -> int:
    std, paths = _standard_library(options.std), options.log or [_sample_log()]
    if options.json is not None:
        _require_writable(options.json, *paths)
    page = _page() if options.serve else None
    with progress(_errors()) as shown:
        log = _read(paths, options.xff, shown)
        result = run(log, std, shown.phase, shown.expect)
        made = present(log, std, shown.phase) if page is not None else None
    with suppress(BrokenPipeError):  # `| head` has seen enough; the verdict counts all the same
        print_report(result.summary, make_console(), is_brief=made is not None)
        sys.stdout.flush()
    if options.json is not None:
        write_json(result.summary.to_json(), options.json)
    if page is not None and made is not None:
        _serve(made, page, DEFAULT_PORT if options.port is None else options.port)
    return _verdict(result.contradictions)


def _page() -> Path:
    """The web page, built before the run, so that what is missing is known at once."""
    try:
        return built_page(lambda text: print(f"{text} ...", file=sys.stderr))
    except PageNotBuiltError as error:
        raise _BadInputError(str(error)) from error


def _serve(made: Present, page: Path, port: int) -> None:
    """Until ctrl-c, which is how it is meant to end."""
    meter = LiveMeter(made.metered_api) if can_run() else None
    try:
        server = server_of(made, page, meter=meter, port=port)
    except (PortInUse, OverflowError) as error:
        raise _BadInputError(f"{error}; --port (PORT= for make) names another port") from error
    beside = running(meter, server.url, made.contract) if meter is not None else nullcontext()
    with suppress(KeyboardInterrupt), ending_on_signals(), server, beside:
        people = "\n".join(f"  {each.name:<22} {each.question}" for each in PEOPLE)
        ways = "\n".join(f"  {url}\n    {text}" for url, text in links(server))
        print(
            f"\nA network with {DAYS} days of such usage, up to now, is at {server.url}. At the command line:\n\n"
            f"  {_api_billing()} report {CARL.account} --url {server.url} --contract {made.contract}\n\n"
            "Who is there, and what to find out or to do; the page has a key of each of them:\n\n"
            f"{people}\n\n"
            f"Look at it in the browser; ctrl-c ends it:\n\n{ways}",
            flush=True,
        )
        threading.Event().wait()
    print("\nended", flush=True)


def _api_billing() -> str:
    """The command as it can be typed here: its name, or where it is beside this interpreter."""
    beside = Path(sys.executable).with_name("api-billing")
    if shutil.which("api-billing") or not beside.is_file():
        return "api-billing"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _standard_library(choice: str | None) -> StandardLibrary:
    try:
        return choose(choice)
    except (StandardLibraryNotFound, InvalidArgument) as error:
        raise _BadInputError(str(error)) from error


def _require_writable(path: Path, *logs: Path) -> None:
    """Find out before the run whether its figures can be written after it; leaves no file behind."""
    try:
        if path.exists() and any(log.exists() and path.samefile(log) for log in logs if log != STANDARD_INPUT):
            raise _BadInputError(f"{path}: this is the log itself, which the figures would overwrite")
        was_there = path.exists()
        if was_there and not (path.is_file() or path.is_dir()):
            return  # a pipe or a device: opening it would already be heard at the other end
        with path.open("ab"):
            pass
        if not was_there:
            path.unlink()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _BadInputError(f"{path}: the figures cannot be written there: {reason}") from error


def _errors() -> Console:
    """Standard error, so that the report can be sent elsewhere."""
    return PlainConsole(stderr=True, highlight=False, markup=False, emoji=False)


def _read(paths: Sequence[Path], forwarded: Forwarded | None, shown: Progress) -> AccessLog:
    """All the logs as one; among several an empty one, fresh from a rotation, does not matter."""
    logs, empty = [], None
    for path in paths:
        try:
            logs.append(read_log(path, shown.shown("reading the log (KiB)", unit=KIB), forwarded))
        except EmptyLogError as error:
            empty = error
    if empty and not logs:
        raise empty
    return merged(logs)


def _verdict(contradictions: Sequence[str]) -> int:
    if not contradictions:
        return OK
    return _fail("the books do not agree:\n" + "\n".join(f"  {each}" for each in contradictions), CONTRADICTION)


def _fail(message: str, code: int) -> int:
    print("api-billing:", "\n".join(map(printable, message.split("\n"))), file=sys.stderr)
    return code


def _exit(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # or the interpreter complains when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    _exit(main())
