"""Writes the table of settings in docs/metering-settings.md from the settings themselves. A test compares the two.

Run it after every change of a setting; `--check` only says whether the table is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from api_billing.metering.settings import setting_rows

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metering-settings.md"
START = "<!-- settings: written by tools/metering_settings.py -->\n"
END = "<!-- end of settings -->\n"


def main() -> int:
    """Write the table, or with --check compare it."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} has no place for the table: {START}{END}")
    made = f"{before}{START}{table()}{END}{after}"
    if "--check" in sys.argv[1:]:
        return 0 if made == text else 1
    PAGE.write_text(made, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| setting | environment | default | |", "|---|---|---|---|"]
    for row in setting_rows():
        default = f"`{row.default}`" if row.default else ""
        rows.append(f"| `{row.name}` | `{row.variable}` | {default} | {row.description.replace('|', '\\|')} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
