"""The table of methods in docs/rpc.md: as long as the server's list, and with all that the installed clients send."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import requests

from genlayer_localnet.rpc.errors import METHOD_NOT_FOUND
from genlayer_localnet.testing.server import RpcFailure, ServerProcess

DOCUMENT = Path(__file__).parents[2] / "docs" / "rpc.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)
ROWS = {name: answer for name, _, answer in ROW.findall(DOCUMENT.read_text("utf-8"))}
METHOD = re.compile(
    r"""["'](ping|(?:sim|gen|eth|dev|admin)_(?:dbg_)?[a-z]+[A-Z][a-zA-Z0-9]*|(?:sim|gen|eth)_call)["']"""
)
ANSWERED = sorted(name for name, answer in ROWS.items() if not answer.startswith("-32601"))
REFUSED = sorted(ROWS.keys() - set(ANSWERED))


def sent_by(package: str) -> set[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    files = [path for path in Path(spec.origin).parent.rglob("*.py") if not {"glsim", "direct"} & set(path.parts)]
    return {name for path in files for name in METHOD.findall(path.read_text("utf-8"))}


def test_table__of_methods__is_the_servers_list(rpc_server: ServerProcess) -> None:
    page = requests.get(rpc_server.url, timeout=10).text
    assert sorted(re.findall(r"<code>(ping|[a-z0-9]+_\w+)</code>", page)) == ANSWERED


@pytest.mark.parametrize("package", ["genlayer_py", "gltest"])
def test_table__of_methods__has_what_clients_send(package: str) -> None:
    sent = sent_by(package)
    assert sent, "the pattern finds nothing any more"
    assert sent <= ROWS.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_method__in_the_table_as_unknown__is_unknown(rpc_server: ServerProcess, name: str) -> None:
    with pytest.raises(RpcFailure) as caught:
        rpc_server.call(name)
    assert caught.value.code == METHOD_NOT_FOUND
