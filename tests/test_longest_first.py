"""Files of tests that take long are begun with where workers share them, so that none is waited for at the end."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import LONGEST, pytest_collection_modifyitems


class Item:
    def __init__(self, name: str) -> None:
        self.path = Path(__file__).parent / name


def ordered(config: object) -> list[str]:
    names = ["acceptance/test_a.py", LONGEST[1], "std/test_z.py", LONGEST[0], "rpc/test_b.py"]
    items = [Item(name) for name in names]
    pytest_collection_modifyitems(config, items)  # type: ignore[arg-type]
    return [item.path.relative_to(Path(__file__).parent).as_posix() for item in items]


def test_order__of_workers__has_the_longest_first() -> None:
    rest = ["acceptance/test_a.py", "std/test_z.py", "rpc/test_b.py"]
    assert ordered(SimpleNamespace(workerinput={})) == [*LONGEST[:2], *rest]


def test_order__of_one_process__stays() -> None:
    assert ordered(object())[0] == "acceptance/test_a.py"


@pytest.mark.parametrize("name", LONGEST)
def test_longest__listed__is_there(name: str) -> None:
    assert (Path(__file__).parent / name).is_file()
