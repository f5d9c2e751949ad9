"""docs/operating.md: its Python mounts the pages, and it stays short."""

import logging
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import path
from fastapi import FastAPI
from flask import Flask
from starlette.testclient import TestClient

from api_billing.metering import Meter
from tests.metering.web import django_apps  # noqa: F401 - configures Django

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def block_with(words: str) -> str:
    [block] = [block for block in BLOCKS if words in block]
    return block


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    with Meter.open("memory://") as meter:
        yield {"meter": meter, "OPS_TOKEN": "token of the operators"}


def test_page__stays_short() -> None:
    assert len(TEXT.splitlines()) <= 160


def test_python__for_fastapi__mounts_the_pages(names: dict[str, Any]) -> None:
    names["app"] = FastAPI()
    exec(block_with("operating_asgi"), names)
    assert TestClient(names["app"]).get("/ops/readyz").json() == {"status": "ok"}


def test_python__for_flask__mounts_the_pages(names: dict[str, Any]) -> None:
    names["app"] = Flask("app")
    exec(block_with("operating_wsgi"), names)
    assert names["app"].test_client().get("/ops/readyz").json == {"status": "ok"}


def test_python__for_django__mounts_the_pages(names: dict[str, Any]) -> None:
    names["path"] = path
    exec(block_with("operating_view"), names)
    urls = types.ModuleType("urls_of_the_page")
    urls.urlpatterns = names["urlpatterns"]  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF=urls):
        assert Client().get("/ops/readyz").json() == {"status": "ok"}


def test_python__for_logs__changes_the_meters_logger(names: dict[str, Any]) -> None:
    logger = logging.getLogger("api_billing")
    kept = (logger.handlers[:], logger.level, logger.propagate)
    try:
        exec(block_with("configure_logging"), names)
        assert len(logger.handlers) == len(kept[0]) + 1
    finally:
        logger.handlers[:], logger.level, logger.propagate = kept
