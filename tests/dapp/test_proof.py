"""Proofs that the page's own check is tested with: made by the meter's code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api_billing.merkle import merkle_path, merkle_root
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.settlement.proof import VERSION, _read
from demo.web_page import PAGE

PROOFS: Path = PAGE / "tests" / "unit" / "proofs.json"
CONTRACT, API = "0x" + "c0" * 20, "weather"
NAMES = ["0x" + "11" * 20, "Zoë", 'a "quoted"\\name', "tab\tand\x01control\x7f", "\u2028 😀", "", "x/y"]


def proofs() -> list[dict[str, Any]]:
    """Of every line of trees with 1 to 7 lines, also of consumers whose names are hard to write."""
    return [_proof(number, index) for number in range(1, len(NAMES) + 1) for index in range(number)]


def _proof(number: int, index: int) -> dict[str, Any]:
    lines = [
        UsageLine(f"{at:026d}", API, f"{API}/{name}", name, 1_773_576_000_000 + at, at + 1, 10**21 + at)
        for at, name in enumerate(NAMES[:number])
    ]
    leaves = [line.leaf() for line in lines]
    return {
        "version": VERSION,
        "contract": CONTRACT,
        "api": API,
        "sequence": number,
        "transactions": [],
        "root": merkle_root(leaves).hex(),
        "line": lines[index].said(),
        "index": index,
        "leaf_count": number,
        "path": [sibling.hex() for sibling in merkle_path(leaves, index)],
    }


def test_proofs__of_the_pages_tests__are_those_that_the_meter_makes() -> None:
    if os.environ.get("WRITE_PROOFS"):
        PROOFS.write_text(json.dumps(proofs(), indent=1) + "\n", encoding="utf-8")
    assert json.loads(PROOFS.read_text(encoding="utf-8")) == proofs(), "run with WRITE_PROOFS=1"


@pytest.mark.parametrize("number", [0, 11, 27])
def test_proofs__of_the_pages_tests__hold_here(number: int) -> None:
    document = proofs()[number]
    proof = _read(document)
    assert not isinstance(proof, str)
    assert proof.leads_to(document["root"])
