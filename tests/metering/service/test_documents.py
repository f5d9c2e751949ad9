"""docs/metering.md and docs/metering-http.md are complete, and their Python runs."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api_billing.metering.request.problems import KINDS
from api_billing.metering.service import problems
from api_billing.metering.settings import setting_rows
from api_billing.testing import paying

ROOT = Path(__file__).parents[3]
SETTINGS = (ROOT / "docs" / "metering-settings.md").read_text(encoding="utf-8")
OVERVIEW = (ROOT / "docs" / "metering.md").read_text(encoding="utf-8")
HTTP = (ROOT / "docs" / "metering-http.md").read_text(encoding="utf-8")


def test_settings__table_in_the_document__is_current() -> None:
    table = runpy.run_path(str(ROOT / "tools" / "metering_settings.py"))["table"]
    assert table() in SETTINGS, "run tools/metering_settings.py"


def test_settings__every_one__is_in_the_document() -> None:
    rows = {row.name for row in setting_rows()}
    assert rows == set(re.findall(r"^\| `([a-z0-9_]+)` \| `API_BILLING_", SETTINGS, re.MULTILINE))


def test_refusals__every_code__is_in_the_document() -> None:
    assert {code for code in KINDS if f"`{code}`" not in OVERVIEW} == set()


def test_problems_of_the_http_meter__every_code__is_in_the_document() -> None:
    assert {code for code in problems.CODES if f"`{code}`" not in HTTP} == set()


def test_paths_of_the_http_meter__every_one__is_in_the_document(service: Any) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    assert {path for path in paths if path not in HTTP} == set()


def test_overview__python__makes_a_metered_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, money, *_ = re.findall(r"```python\n(.*?)```", OVERVIEW, re.DOTALL)
    names: dict[str, Any] = {"__name__": "overview"}
    exec(code, names)
    with names["meter"]:
        assert "/forecast" in names["app"].openapi()["paths"]
    exec(money, names)
    with names["meter"] as meter:
        acme = paying(meter, "acme", "5 usd")
        assert TestClient(names["app"]).get("/forecast", headers=acme).headers["x-cost-wei"] == "2008301"
        assert meter.currency.text(meter.balance("acme").free_wei) == "4.997991699 USD"
