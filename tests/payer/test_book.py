"""The file: for its owner alone, and told from others."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from api_billing.errors import InvalidInput
from api_billing.payer.book import Book, default_path
from api_billing.payer.wallet import Bounds, Wallet


def test_book__that_is_made__is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        book = Book(tmp_path / "new" / "payer.db")
        book.sessions()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert "payer.db" in modes
    assert set(modes.values()) == {0o600}
    book.close()


def test_book__that_others_can_read__is_not_used(tmp_path: Path) -> None:
    Book(tmp_path / "payer.db").close()
    (tmp_path / "payer.db").chmod(0o640)
    with pytest.raises(InvalidInput, match="others can read") as caught:
        Book(tmp_path / "payer.db")
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one", None])
def test_book__that_is_none__is_not_used_and_nothing_is_left_beside_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "payer.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(InvalidInput):
        Book(path)
    assert list(tmp_path.iterdir()) == [path]


def test_book__of_a_later_version__is_not_used(tmp_path: Path) -> None:
    Book(tmp_path / "payer.db").close()
    with sqlite3.connect(tmp_path / "payer.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InvalidInput, match="later version"):
        Book(tmp_path / "payer.db")


def test_book__closed__leaves_no_mark(tmp_path: Path) -> None:
    book = Book(tmp_path / "payer.db")
    book.sessions()
    book.close()
    assert [path.name for path in tmp_path.iterdir()] == ["payer.db"]


def test_path__without_a_name__is_beside_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_KEYS", "/home/alice/keys")
    monkeypatch.delenv("API_BILLING_PAYER_FILE", raising=False)
    assert default_path() == Path("/home/alice/payer.db")
    monkeypatch.setenv("API_BILLING_PAYER_FILE", "/elsewhere.db")
    assert default_path() == Path("/elsewhere.db")


def test_entry__of_a_session__does_not_show_its_key(wallet: Wallet) -> None:
    entry = wallet.open_session("weather", 1_000, 7, Bounds(100, 1_000))
    assert entry.key.hex() not in repr(entry)
    assert repr(entry.key) not in repr(entry)
