"""What the localnet takes as a contract's source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genlayer_localnet import Address, Localnet, Receipt

CLASS = """
from genlayer import *

class C(gl.Contract):
    def __init__(self): pass
    @gl.public.view
    def get(self) -> int:
        return 1
"""
RUNNER = '# { "Depends": "py-genlayer:test" }\n'


def _deploy(net: Localnet, alice: Address, text: str | bytes) -> Receipt:
    return net.deploy(text if isinstance(text, bytes) else text.encode(), sender=alice)


@pytest.mark.parametrize(
    "header",
    [
        RUNNER,
        "# v0.2.16\n" + RUNNER,
        '# v0.2.16\n# {\n#   "Depends": "py-genlayer:test"\n# }\n\n',
        f"# v0.2.16\n{RUNNER}\n# more words\n",
        f"# v0.2.16\n{RUNNER}\n".replace("\n", "\r\n"),
        RUNNER.replace("test", "test\u2028\\u0085"),
    ],
)
def test_deploy__runner_comment__is_accepted(localnet: Localnet, alice: Address, header: str) -> None:
    assert _deploy(localnet, alice, header + CLASS).kind == "return"


@pytest.mark.parametrize("header", ["", "# v0.2.16\n", "import os\n" + RUNNER, RUNNER + "# more words\n", "# [1, 2\n"])
def test_deploy__no_runner_comment__is_vm_error(localnet: Localnet, alice: Address, header: str) -> None:
    receipt = _deploy(localnet, alice, header + CLASS)
    assert (receipt.kind, receipt.message) == ("vm_error", "invalid_contract absent_runner_comment")


@pytest.mark.parametrize(
    ("text", "clue"),
    [
        ("\ufeff" + RUNNER + CLASS, "byte order mark"),
        ((RUNNER + CLASS).encode("utf-16"), "UTF-16"),
        ((RUNNER + CLASS).replace("\n", "\r"), "CR alone"),
        (("# v0.2.16\n" + RUNNER).replace("\n", "\r") + "\n" + CLASS, "CR alone"),
        (RUNNER + "# more words\n" + CLASS, "'more'… directly behind the runner comment"),
        (RUNNER + "#\n# more words\n" + CLASS, "`runner malformed`"),
        ("# v0.2.16\n" + RUNNER + RUNNER + CLASS, "an empty line must come between"),
        ("# v0.2.16\n# my contract\n" + RUNNER + CLASS, "is not JSON"),
        (RUNNER + "\nimport genlayer_embeddings\n" + CLASS, "that the localnet does not have"),
        (RUNNER + "\nfrom genlayer_embeddings import SentenceTransformer\n" + CLASS, "does not have"),
        (RUNNER + "\ndef (:", "SyntaxError"),
        (RUNNER + "\nfrom genlayer import *\nimport no_such_module\n", "No module named 'no_such_module'"),
        (RUNNER + "\nfrom genlayer import *\n1 / 0\n", "ZeroDivisionError"),
        (RUNNER + "\nx = 1\n", "no subclass of gl.Contract"),
        (RUNNER + CLASS + CLASS.replace("class C", "class D"), "TypeError"),
        (b"PK\x03\x04rest of a zip", "ZIP"),
        (RUNNER.encode() + b"\n\xff\xfe", "utf-8"),
        ('# { "Depends": "cpp-runner:test" }\n' + CLASS, "py-genlayer"),
    ],
)
def test_deploy__module_that_cannot_be_loaded__is_vm_error_with_the_reason(
    localnet: Localnet, alice: Address, text: str | bytes, clue: str
) -> None:
    receipt = _deploy(localnet, alice, text)
    assert receipt.kind == "vm_error"
    assert clue in receipt.stderr


def test_deploy__from_file__shows_the_file_in_errors(
    localnet: Localnet, alice: Address, tmp_path: Path, source: Callable[[str], str]
) -> None:
    path = tmp_path / "failing.py"
    path.write_text(source("class C(gl.Contract):\n    def __init__(self):\n        raise ValueError('here')\n"))
    receipt = localnet.deploy(path, sender=alice)
    assert f'File "{path}", line 8, in C.__init__' in receipt.stderr
    assert "raise ValueError('here')" in receipt.stderr


def test_deploy__new_version_of_a_file__shows_its_own_lines(
    localnet: Localnet, alice: Address, tmp_path: Path, source: Callable[[str], str]
) -> None:
    path = tmp_path / "changing.py"
    path.write_text(source("class C(gl.Contract):\n    def __init__(self):\n        raise ValueError('first')\n"))
    localnet.deploy(path, sender=alice)
    path.write_text(source("class C(gl.Contract):\n    def __init__(self):\n        raise ValueError('second')\n"))
    assert "raise ValueError('second')" in localnet.deploy(path, sender=alice).stderr


def test_deploy__address_given_twice__is_refused(localnet: Localnet, alice: Address) -> None:
    localnet.deploy(RUNNER + CLASS, sender=alice, address="0x" + "cc" * 20)
    with pytest.raises(ValueError, match="already"):
        localnet.deploy(RUNNER + CLASS, sender=alice, address="0x" + "cc" * 20)


def test_deploy__failing_constructor__leaves_no_contract(
    localnet: Localnet, alice: Address, source: Callable[[str], str]
) -> None:
    failing = source("class C(gl.Contract):\n    def __init__(self):\n        raise gl.vm.UserError('no')\n")
    receipt = localnet.deploy(failing, sender=alice, address="0x" + "cc" * 20)
    assert receipt.kind == "user_error"
    assert localnet.deploy(RUNNER + CLASS, sender=alice, address="0x" + "cc" * 20).kind == "return"


def test_deploy__same_calls_on_two_networks__give_the_same_ids_and_addresses(alice: Address) -> None:
    receipts = [Localnet().deploy(RUNNER + CLASS, sender=alice) for _ in range(2)]
    assert (receipts[0].id, receipts[0].address) == (receipts[1].id, receipts[1].address)
