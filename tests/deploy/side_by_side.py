"""The contract of `contracts/tricky.py` in several forms at once, which have to do the same."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from genlayer_localnet import Localnet, Receipt

FILE = Path(__file__).parent / "contracts" / "tricky.py"
SOURCE = FILE.read_text(encoding="utf-8")
HEADER = SOURCE[: SOURCE.index("\n\n") + 2]
SENDER, TARGET = "0x" + "a1" * 20, "0x" + "b0" * 20


class SideBySide:
    """Each of these forms on one localnet."""

    def __init__(self, forms: Collection[str]) -> None:
        self.net = Localnet()
        deployed = [self.net.deploy(code, "one", sender=SENDER) for code in forms]
        assert [each.kind for each in deployed] == ["return"] * len(forms), [each.stderr for each in deployed]
        self.addresses = [str(each.to) for each in deployed]

    def write(self, method: str, *args: Any) -> list[Receipt]:
        return [self.net.write(address, method, *args, sender=SENDER) for address in self.addresses]

    def view(self, method: str, *args: Any) -> list[Any]:
        return [self.net.view(address, method, *args) for address in self.addresses]
