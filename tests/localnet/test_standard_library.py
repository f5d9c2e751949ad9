"""Which standard library is found, and that a contract runs on one from the official layout.

The official library itself is not on every machine: a copy of the fallback in the official folders stands in for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genlayer_localnet import Address, InvalidArgument, Localnet, StandardLibraryNotFound
from genlayer_localnet.loading.standard_library import FALLBACK_ROOT, FALLBACK_ROOT_V03, choose

HASH = "11rvqsff1q7sg8i7sk3d0jfwyh5y91cdf2b1j0kwdjj9mbhprz2z"
COUNTER = "class C(gl.Contract):\n    n: u256\n    def __init__(self):\n        self.n = u256(5)\n" + (
    "    @gl.public.view\n    def get(self) -> int:\n        return self.n\n"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without anything, and no settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GENVMROOT", raising=False)
    monkeypatch.delenv("GENLAYER_STD", raising=False)
    return tmp_path / "home"


def _put_library(folder: Path) -> Path:
    shutil.copytree(FALLBACK_ROOT / "genlayer", folder / "genlayer", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    "layout",
    [
        "runners/genlayer-py-std/src",
        "runners/py-lib-genlayer-std/src",
        f"runners/py-lib-genlayer-std/{HASH}",
        f"runners/py-lib-genlayer-std/{HASH}/src",
        f"runners/py-lib-genlayer-std/{HASH[:2]}/{HASH[2:]}",
    ],
)
def test_choose__genvmroot__has_the_official_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    place = _put_library(tmp_path / "genvm" / layout)
    monkeypatch.setenv("GENVMROOT", str(tmp_path / "genvm"))
    assert (choose().name, choose().root) == ("official", place)


def test_choose__direct_mode_cache_with_the_newer_line__is_not_the_older_lines_library(home: Path) -> None:
    cache = home / ".cache/gltest-direct/extracted"
    place = _put_library(cache / "v0.2.16/py-lib-genlayer-std" / HASH)
    shutil.copytree(FALLBACK_ROOT_V03 / "genlayer", cache / "v0.6.0/py-lib-genlayer-std" / HASH / "genlayer")
    assert choose().root == place


@pytest.mark.parametrize("inner", ["", "src"])
def test_choose__direct_mode_cache__has_the_official_library(home: Path, inner: str) -> None:
    place = _put_library(home / ".cache/gltest-direct/extracted/v0.2.16/py-lib-genlayer-std" / HASH / inner)
    assert (choose().name, choose().root) == ("official", place)


def test_choose__several_versions__takes_the_newest(home: Path) -> None:
    for version in ("v0.2.9", "v0.2.16", "v0.2.2"):
        _put_library(home / ".cache/gltest-direct/extracted" / version / "py-lib-genlayer-std" / HASH)
    assert "v0.2.16" in choose().root.parts


def test_choose__runner_that_names_the_library__comes_along(home: Path) -> None:
    version = home / ".cache/gltest-direct/extracted/v0.2.16"
    _put_library(version / "py-lib-genlayer-std" / HASH)
    runner = version / "py-genlayer" / "abc"
    runner.mkdir(parents=True)
    (runner / "runner.json").write_text(json.dumps({"Seq": [{"Depends": f"py-lib-genlayer-std:{HASH}"}]}))
    assert choose().paths[1:] == (runner,)


def test_choose__nothing_there__is_the_fallback() -> None:
    assert choose().name == "fallback"
    assert str(FALLBACK_ROOT) in choose().describe()


def test_choose__official_but_absent__says_where_it_looked(home: Path) -> None:
    with pytest.raises(StandardLibraryNotFound, match="gltest-direct") as failure:
        choose("official")
    assert "GENVMROOT" in str(failure.value)
    assert "GENLAYER_STD=fallback" in str(failure.value)


def test_choose__link_to_the_fallback__is_not_official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "runners" / "genlayer-py-std" / "src"
    link.parent.mkdir(parents=True)
    link.symlink_to(FALLBACK_ROOT, target_is_directory=True)
    monkeypatch.setenv("GENVMROOT", str(tmp_path))
    assert choose().name == "fallback"


def test_choose__environment__decides_where_no_argument_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put_library(home / ".cache/gltest-direct/extracted/v0.2.16/py-lib-genlayer-std" / HASH)
    monkeypatch.setenv("GENLAYER_STD", "fallback")
    assert (choose().name, choose("official").name) == ("fallback", "official")


def test_choose__unknown_word__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLAYER_STD", "latest")
    with pytest.raises(InvalidArgument, match="latest"):
        choose()


def test_localnet__library_in_the_official_layout__runs_contracts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alice: Address, source: Callable[[str], str]
) -> None:
    place = _put_library(tmp_path / "genvm/runners/genlayer-py-std/src")
    monkeypatch.setenv("GENVMROOT", str(tmp_path / "genvm"))
    net = Localnet(std="official")
    contract = net.deploy(source(COUNTER), sender=alice).address
    assert net.view(contract, "get") == 5
    assert net._chain.machine.library.gl.__file__.startswith(str(place))


def test_localnet__two_libraries__live_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alice: Address, source: Callable[[str], str]
) -> None:
    _put_library(tmp_path / "genvm/runners/genlayer-py-std/src")
    monkeypatch.setenv("GENVMROOT", str(tmp_path / "genvm"))
    nets = [Localnet(std="official"), Localnet(std="fallback")]
    contracts = [net.deploy(source(COUNTER), sender=alice).address for net in nets]
    assert [net.view(contract, "get") for net, contract in zip(nets * 2, contracts * 2, strict=True)] == [5] * 4
    assert nets[0]._chain.machine.library.gl is not nets[1]._chain.machine.library.gl
