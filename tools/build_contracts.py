"""Writes both editions of every contract into build/contracts/<line>/, to be pasted into Studio or compared.

NAME.py keeps names and comments, NAME.min.py is what is deployed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from api_billing.contract_source import deployed_form
from api_billing.networks import HEADERS, Line

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "contracts"


def forms(line: Line) -> Iterator[tuple[Path, str]]:
    """Of all contracts: the path in the folder of the line, and the code."""
    for path in sorted(SOURCES.rglob("*.py")):
        source, place = path.read_text(encoding="utf-8"), path.relative_to(SOURCES)
        yield place, deployed_form(source, line, minified=False)
        yield place.with_suffix(".min.py"), deployed_form(source, line)


def main(folder: Path) -> None:
    """Write them all, and say where."""
    for line in get_args(Line):
        for place, code in forms(line):
            file = folder / line / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
            print(f"{len(code.encode()):>7,} bytes  {file}")
    print(f"v0.3: in place of {HEADERS['v0.3'].pin} write the runner that the contracts on your network name")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build", "contracts"))
