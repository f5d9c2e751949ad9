"""Recorded cases of the payment protocols, used where they are; no cases, and so skipped tests, where they are not."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("CONFORMANCE_PAYMENTS_DIR") or Path(__file__).parents[3] / "shared/conformance-payments")


def recorded(name: str, part: str = "scenarios") -> list[dict[str, Any]]:
    path = FOLDER / name
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[part] if path.is_file() else []
    return cases


def each(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


def one(cases: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (case for case in cases if case["name"] == name)
    return found
