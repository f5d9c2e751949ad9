"""Where the contracts' sources are, and what of them is deployed to a network.

`python -m api_billing.contract_source FILE` prints that of any contract; see `--help`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from api_billing.contract_editions import edition
from api_billing.contract_minify import minify
from api_billing.networks import Line

FILE_NAME = "api_usage_billing.py"
COURT_FILE_NAME = "usage_court.py"


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


def deployed_form(source: str, line: Line = "v0.2", pin: str | None = None, *, minified: bool = True) -> str:
    """What of a contract is deployed: its edition for a line of GenVM, in few bytes; the same in every process.

    Raises:
        SyntaxError: `source` is not Python.
        ValueError: it cannot be translated or minified; says why.
        MissingExtra: python-minifier is not installed.
    """
    code = edition(source, line, pin)
    return minify(code) if minified else code


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Print what is deployed; returns what is wrong, if anything."""
    parser = argparse.ArgumentParser(prog="python -m api_billing.contract_source", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--line", choices=get_args(Line), default="v0.2", help="of GenVM")
    parser.add_argument("--pin", help="the runner to name, py-genlayer:HASH")
    parser.add_argument("--no-minify", action="store_true", help="keep names and comments")
    given = parser.parse_args(arguments)
    try:
        code = deployed_form(given.file.read_text("utf-8"), given.line, given.pin, minified=not given.no_minify)
    except (OSError, SyntaxError, ValueError) as error:
        return f"{given.file}: {error}"
    sys.stdout.write(code)
    return None


if __name__ == "__main__":
    sys.exit(main())
