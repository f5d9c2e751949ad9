"""Where the contracts' sources are, and what of them is deployed to a network.

`python -m api_billing.contract_source FILE` prints that of any contract; see `--help`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from api_billing.contract_editions import edition, header_of, line_of
from api_billing.contract_minify import minify
from api_billing.errors import InvalidInput
from api_billing.networks import HEADERS, Header, Line, Network, find_network

PIN_VARIABLE: Final = "API_BILLING_PIN"
FILE_NAME = "api_usage_billing.py"
COURT_FILE_NAME = "usage_court.py"
_DEBUG_PINS: Final = ("py-genlayer:latest", "py-genlayer:test")


def contract_path(file_name: str = FILE_NAME) -> Path:
    """The billing contract of this checkout, or another one, or the copy that an installed package carries.

    Raises:
        FileNotFoundError: neither is there; the message names both places.
    """
    here = Path(__file__).resolve().parent
    places = (here.parents[1] / "contracts" / file_name, here / "contracts" / file_name)
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(f"the contract is neither at {places[0]} nor at {places[1]}")


def deployed_form(source: str, line: Line | None = None, pin: str | None = None, *, minified: bool = True) -> str:
    """What of a contract is deployed: its edition for a line of GenVM, its own by default, in few bytes; the same in
    every process.

    Raises:
        SyntaxError: `source` is not Python.
        ValueError: it cannot be translated or minified; says why.
        MissingExtra: python-minifier is not installed.
    """
    code = edition(source, line or line_of(header_of(source)), pin)
    return minify(code) if minified else code


@dataclass(frozen=True, slots=True)
class Source:
    """The contract's source and the form of it that is deployed."""

    source: bytes
    code: bytes
    minified: bool

    @classmethod
    def read(
        cls,
        file_name: str = FILE_NAME,
        *,
        line: Line | None = None,
        pin: str | None = None,
        minified: bool = True,
        path: Path | None = None,
    ) -> Source:
        """Read a contract of this package, or any at ``path``; ``minified`` False deploys it as it stands.

        ``line`` is that of the edition, the contract's own by default, and ``pin`` the runner to name in it.

        Raises: InvalidInput, where it is not there, or cannot be translated or minified.
        """
        try:
            text = (path or contract_path(file_name)).read_text(encoding="utf-8")
            return cls(text.encode(), deployed_form(text, line, pin, minified=minified).encode(), minified)
        except (OSError, SyntaxError, ValueError) as error:
            raise InvalidInput(f"the contract's source cannot be used: {error}") from error

    @property
    def header(self) -> Header:
        """Of what is deployed."""
        return header_of(self.code.decode())

    @property
    def line(self) -> Line:
        """Of GenVM, on which it runs."""
        return line_of(self.header)

    @property
    def source_bytes(self) -> int:
        """Size of the source."""
        return len(self.source)

    @property
    def code_bytes(self) -> int:
        """Size of what is deployed."""
        return len(self.code)

    @property
    def source_sha256(self) -> str:
        """Hash of the source."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def code_sha256(self) -> str:
        """Hash of what is deployed."""
        return hashlib.sha256(self.code).hexdigest()


def check_code(code: bytes, network: Network) -> None:
    """Raises: InvalidInput, where a node of the network would not run this, or not even take it; says why."""
    try:
        header = header_of(code.decode("utf-8"))
        line, limit = line_of(header), network.max_code_bytes
    except ValueError as error:
        raise InvalidInput(f"the contract cannot be deployed: {error}") from error
    if line not in network.lines:
        raise InvalidInput(
            f"{network.name} runs GenVM {' and '.join(network.lines)} only, and this contract is of the {line} line: "
            f"its header names {header.version or 'no version'} and {header.pin}",
            hint=f"--line {network.line} deploys the edition for it",
        )
    if header.pin in _DEBUG_PINS and not network.is_local:
        raise InvalidInput(
            f"only debug builds of GenVM know {header.pin}, and the nodes of {network.name} are none",
            hint="give a runner's whole name with --pin, or leave it out",
        )
    if header.pin == HEADERS["v0.3"].pin and not network.is_local:
        raise InvalidInput(
            f"only the beginning of the runner's name on {network.name} is known here, {header.pin}, and no node would "
            "find it",
            hint="give the whole one with --pin, or in API_BILLING_PIN: it is in the first lines of any contract there",
        )
    if limit is not None and len(code) > limit:
        raise InvalidInput(
            f"{network.name} takes contracts of up to {limit:,} bytes, and this has {len(code):,}",
            hint="the minified form is smaller",
        )


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Print what is deployed; returns what is wrong, if anything."""
    parser = argparse.ArgumentParser(prog="python -m api_billing.contract_source", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--line", choices=get_args(Line), help="of GenVM; by default the contract's own")
    parser.add_argument("--network", help="for which this is: its line, and nothing that it would not take")
    parser.add_argument("--url", help="of its node")
    parser.add_argument("--pin", default=os.environ.get(PIN_VARIABLE), help="the runner to name, py-genlayer:HASH")
    parser.add_argument("--no-minify", action="store_true", help="keep names and comments")
    given = parser.parse_args(arguments)
    try:
        network = find_network(given.network, given.url) if given.network else None
        line = given.line or (network.line if network else None)
        code = deployed_form(given.file.read_text("utf-8"), line, given.pin, minified=not given.no_minify)
        if network:
            check_code(code.encode(), network)
    except (OSError, SyntaxError, ValueError, InvalidInput) as error:
        return f"{given.file}: {error}"
    sys.stdout.write(code)
    return None


if __name__ == "__main__":
    sys.exit(main())
