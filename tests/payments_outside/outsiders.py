"""Clients that nobody here wrote, each in a process of its own that takes orders a line."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.npm_packages import npm_packages
from tests.other_versions import ROOT, other_versions

HERE = Path(__file__).parent
SCRIPTS = ROOT / "tests" / "js" / "payments"
ANSWER_SECONDS = 60
X402 = ("x402-httpx", "x402-requests", "x402-fetch")
MPP = ("pympp", "mppx")


def python_line(script: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, str(HERE / script)], other_versions("payment-clients").environ


def node_line(script: str) -> tuple[list[str], dict[str, str]]:
    """A script runs beside node_modules, where node looks for packages."""
    folder = npm_packages(SCRIPTS, "js-payments").parent
    shutil.copy(SCRIPTS / script, folder / script)
    return ["node", str(folder / script)], dict(os.environ)


LINES: dict[str, Callable[[], tuple[list[str], dict[str, str]]]] = {
    "x402-httpx": lambda: python_line("by_x402.py"),
    "x402-requests": lambda: python_line("by_x402.py"),
    "x402-fetch": lambda: node_line("by_x402.mjs"),
    "pympp": lambda: python_line("by_mpp.py"),
    "mppx": lambda: node_line("by_mppx.mjs"),
    "plugins": lambda: python_line("by_plugins.py"),
}


class Seen:
    """What a client got: a response, an ``error`` that it raised, or what its refund became."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.error: str = told.get("error", "")
        self.status: int = told.get("status", 0)
        self.body: str = told.get("body", "")
        self.fields: dict[str, str] = told.get("fields", {})

    @property
    def charged_wei(self) -> int:
        """What PAYMENT-RESPONSE says that this request cost."""
        return int(json.loads(b64decode(self.fields["payment-response"]))["extra"]["chargedAmount"])

    @property
    def receipt(self) -> dict[str, Any]:
        """What Payment-Receipt says."""
        return dict(json.loads(urlsafe_b64decode(self.fields["payment-receipt"] + "==")))

    def __repr__(self) -> str:
        return f"{self.told}"


class Outsider:
    """A client in its process; ``begin`` makes it one that knows nothing yet. Used with ``with``."""

    def __init__(self, name: str) -> None:
        line, environ = LINES[name]()
        self.name, self.is_mpp = name, name in MPP
        self._process = subprocess.Popen(
            line, cwd=Path(line[1]).parent, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, payer: str, signer: str, **options: Any) -> Self:
        """With the keys of a consumer's account and of its session."""
        told = {"payer": payer, "signer": signer, "allow": False, "http": self.name.removeprefix("x402-"), **options}
        assert not self._obey({"begin": told}).error
        return self

    def __call__(self, url: str, **order: Any) -> Seen:
        """Let it ask for a URL, and pay where it is asked to."""
        return self._obey({"url": url, **order})

    def close_session(self, url: str) -> Seen:
        """As its protocol has it: the action close, or a refund of all."""
        return self._obey({"url": url, "action": "close"} if self.is_mpp else {"refund": url})

    def _obey(self, order: dict[str, Any]) -> Seen:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(ANSWER_SECONDS), f"{self.name} does not answer {order}"
        return Seen(json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
