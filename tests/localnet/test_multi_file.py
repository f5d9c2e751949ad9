"""Contracts of several files: the ZIP that gltest makes of a folder."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from gltest.artifacts.contract import compute_contract_code

from genlayer_localnet import Address, ContractRejected, Localnet, Receipt

RUNNER = '{"Depends": "py-genlayer-multi:test"}'
MAIN = """from genlayer import *

from contract.words import greeting
from . import numbers
import contract.deep.rules as rules


class Shop(gl.Contract):
    sold: u256

    def __init__(self, start: int):
        self.sold = u256(start)

    @gl.public.write
    def sell(self, number: int) -> int:
        numbers.seen.append(number)
        self.sold = u256(numbers.add(self.sold, rules.checked(number)))
        return len(numbers.seen)

    @gl.public.write
    def ask(self) -> str:
        return gl.eq_principle.strict_eq(lambda: greeting(gl.nondet.exec_prompt("who")))

    @gl.public.view
    def get(self) -> int:
        from .late import half
        return half(int(self.sold))
"""
FILES = {
    "__init__.py": MAIN,
    "words.py": "def greeting(name):\n    return f'hello {name}'\n",
    "numbers.py": "seen = []\n\ndef add(a, b):\n    return int(a) + b\n",
    "late.py": "def half(number):\n    return number // 2\n",
    "deep/__init__.py": "",
    "deep/rules.py": (
        "from genlayer import *\n\ndef checked(number):\n    if number < 0:\n"
        "        raise gl.vm.UserError('[EXPECTED] negative: no')\n"
        "    return number + [][0] if number == 13 else number\n"
    ),
    "notes.txt": "not code",
}


def zipped(files: Mapping[str, str | bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def made_by_gltest(folder: Path, files: Mapping[str, str] = FILES) -> bytes:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "runner.json").write_text(RUNNER)
    code = compute_contract_code(folder / "__init__.py", folder / "runner.json")
    assert isinstance(code, bytes)
    return code


@pytest.fixture
def shop(localnet: Localnet, alice: Address, tmp_path: Path) -> Receipt:
    # gltest leaves out every __init__.py but the first, so the inner folder has none on the network either.
    receipt = localnet.deploy(made_by_gltest(tmp_path), 10, sender=alice)
    assert receipt.ok, receipt.stderr
    return receipt


def test_deploy__made_by_gltest__runs(localnet: Localnet, shop: Receipt, alice: Address) -> None:
    assert localnet.write(shop.address, "sell", 4, sender=alice).ok
    assert localnet.view(shop.address, "get") == 7


def test_modules__changed_by_a_call__are_fresh_for_the_next(localnet: Localnet, shop: Receipt, alice: Address) -> None:
    assert [localnet.write(shop.address, "sell", 1, sender=alice).value for _ in range(2)] == [1, 1]


def test_modules__after_calls__are_gone(localnet: Localnet, shop: Receipt, alice: Address, tmp_path: Path) -> None:
    package = made_by_gltest(tmp_path)
    before = set(sys.modules), list(sys.meta_path)
    second = localnet.deploy(package, 10, sender=alice)
    localnet.write(second.address, "sell", 1, sender=alice)
    assert (set(sys.modules), list(sys.meta_path)) == before


def test_block__function_of_another_file__crosses(localnet: Localnet, shop: Receipt, alice: Address) -> None:
    localnet.mock_prompt("who", "you")
    assert localnet.write(shop.address, "ask", sender=alice).value == "hello you"


def test_schema__several_files__is_there(localnet: Localnet, shop: Receipt) -> None:
    schema = localnet.schema(shop.address)
    assert (schema["ctor"]["params"], sorted(schema["methods"])) == ([["start", "int"]], ["ask", "get", "sell"])


def test_error__in_another_file__shows_its_line(localnet: Localnet, shop: Receipt, alice: Address) -> None:
    receipt = localnet.write(shop.address, "sell", 13, sender=alice)
    assert "contract/deep/rules.py" in receipt.stderr
    assert "return number + [][0] if number == 13 else number" in receipt.stderr


def test_refusal__in_another_file__has_its_code(localnet: Localnet, shop: Receipt, alice: Address) -> None:
    assert localnet.write(shop.address, "sell", -1, sender=alice).error_code == "negative"


def test_two_contracts__with_files_of_the_same_names__do_not_mix(
    localnet: Localnet, shop: Receipt, alice: Address, tmp_path: Path
) -> None:
    other = made_by_gltest(tmp_path / "other", FILES | {"late.py": "def half(number):\n    return -1\n"})
    second = localnet.deploy(other, 10, sender=alice).address
    assert [localnet.view(one, "get") for one in (shop.address, second, shop.address)] == [5, -1, 5]


def test_module__with_a_byte_order_mark__is_imported(localnet: Localnet, alice: Address, tmp_path: Path) -> None:
    package = made_by_gltest(tmp_path, FILES | {"late.py": "\ufeffdef half(number):\n    return 5\n"})
    assert localnet.view(localnet.deploy(package, 10, sender=alice).address, "get") == 5


GOOD = {"contract/__init__.py": MAIN, "runner.json": RUNNER}


def bomb() -> bytes:
    """A small ZIP of which a large file is listed a hundred times."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in GOOD.items():
            archive.writestr(name, text)
        archive.writestr("large.bin", bytes(100_000))
        archive.filelist += [archive.filelist[-1]] * 100
    return packed.getvalue()


BROKEN = {
    "absent_runner_json": zipped({"contract/__init__.py": MAIN}),
    "malformed_runner_json": zipped(GOOD | {"runner.json": "{"}),
    "unknown_runner": zipped(GOOD | {"runner.json": '{"Depends": "wasm:1"}'}),
    "absent_contract": zipped({"runner.json": RUNNER, "other.py": ""}),
    "compressed_zip": zipped(GOOD, zipfile.ZIP_DEFLATED),
    "malformed_zip": zipped(GOOD)[:60],
    "non_utf8": zipped(GOOD | {"contract/__init__.py": b"\xff"}),
}


@pytest.mark.parametrize(("error", "code"), BROKEN.items(), ids=BROKEN)
def test_deploy__zip_that_cannot_be_run__says_why(localnet: Localnet, alice: Address, error: str, code: bytes) -> None:
    receipt = localnet.deploy(code, sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", f"invalid_contract {error}")
    assert receipt.stderr.strip()


def test_deploy__zip_with_one_file_many_times__is_not_read(localnet: Localnet, alice: Address) -> None:
    assert localnet.deploy(bomb(), sender=alice).message == "invalid_contract malformed_zip"


def test_deploy__runner_json_with_a_byte_order_mark__names_it(localnet: Localnet, alice: Address) -> None:
    receipt = localnet.deploy(zipped(GOOD | {"runner.json": "\ufeff" + RUNNER}), sender=alice)
    assert receipt.message == "invalid_contract malformed_runner_json"
    assert "BOM" in receipt.stderr


def test_deploy__file_that_does_not_import__shows_the_error(localnet: Localnet, alice: Address) -> None:
    receipt = localnet.deploy(zipped(GOOD | {"contract/words.py": "1 +"}), 1, sender=alice)
    assert receipt.message == "exit_code 1"
    assert "SyntaxError" in receipt.stderr


def test_view__no_such_file__is_vm_error(localnet: Localnet, alice: Address) -> None:
    files = GOOD | {f"contract/{name}": text for name, text in FILES.items() if name != "late.py"}
    contract = localnet.deploy(zipped(files), 1, sender=alice).address
    with pytest.raises(ContractRejected, match=r"contract\.late"):
        localnet.view(contract, "get")
