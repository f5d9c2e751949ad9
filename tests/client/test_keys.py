"""Keys: where they come from, and that they never show."""

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from api_billing.errors import InvalidInput, KeyUnavailable
from api_billing.keys import address_of, create_key, find_key, import_key, list_keys, localnet_index, unlock

KEY = "0x" + "11" * 32
ADDRESS = Account.from_key(KEY).address
PASSWORD = "correct horse"
QUICK = 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("API_BILLING_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def no_password(_: str) -> str:
    raise AssertionError("nobody needs a password here")


def test_import_key__then_unlock__is_the_same_account() -> None:
    import_key("mine", KEY, PASSWORD, scrypt_n=QUICK)
    assert unlock("mine", lambda _: PASSWORD).address == ADDRESS


def test_create_key__then_unlock__has_the_address_of_the_file() -> None:
    made = create_key("mine", PASSWORD, scrypt_n=QUICK)
    assert unlock("mine", lambda _: PASSWORD).address == made.address


def test_key_file__on_disk__is_encrypted_and_private(folder: Path) -> None:
    path = import_key("mine", KEY, PASSWORD, scrypt_n=QUICK).path
    assert "11" * 32 not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_key_file__by_default__has_the_usual_work_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def encrypt(_: object, password: str, **options: object) -> dict[str, object]:
        asked.update(options)
        return {"crypto": {}, "address": ADDRESS}

    monkeypatch.setattr("eth_account.signers.local.LocalAccount.encrypt", encrypt)
    create_key("mine", PASSWORD)
    assert asked == {"kdf": "scrypt", "iterations": None}


def test_create_key__taken_name__keeps_the_first_key() -> None:
    first = create_key("mine", PASSWORD, scrypt_n=QUICK)
    with pytest.raises(InvalidInput, match="there is a key at"):
        create_key("mine", PASSWORD, scrypt_n=QUICK)
    assert find_key("mine") == first


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 65])
def test_create_key__bad_name__is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no name for a key"):
        create_key(name, PASSWORD)


def test_create_key__short_password__is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 8 characters"):
        create_key("mine", "1234567")


def test_unlock__path__is_a_key_file_anywhere(tmp_path: Path) -> None:
    import_key("mine", KEY, PASSWORD, scrypt_n=QUICK).path.rename(tmp_path / "elsewhere.json")
    assert unlock(str(tmp_path / "elsewhere.json"), lambda _: PASSWORD).address == ADDRESS


def test_unlock__wrong_password__says_so_without_secrets() -> None:
    import_key("mine", KEY, PASSWORD, scrypt_n=QUICK)
    with pytest.raises(KeyUnavailable) as refused:
        unlock("mine", lambda _: "wrong wrong")
    assert "password" in refused.value.hint
    assert "wrong wrong" not in str(refused.value)


def test_unlock__environment__needs_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER", KEY.removeprefix("0x"))
    assert unlock("env:DEPLOYER", no_password).address == ADDRESS


@pytest.mark.parametrize("value", ["", "12", "0x" + "zz" * 32, "0x" + "00" * 32, "0x" + "ff" * 32])
def test_unlock__environment_without_a_key__does_not_repeat_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER", value)
    with pytest.raises(KeyUnavailable, match="DEPLOYER") as refused:
        unlock("env:DEPLOYER", no_password)
    assert not value or value not in str(refused.value)


def test_find_key__private_key_as_an_argument__is_refused_without_repeating_it() -> None:
    with pytest.raises(KeyUnavailable, match="not an argument") as refused:
        find_key(KEY)
    assert KEY not in str(refused.value) + refused.value.hint


def test_find_key__unknown_name__says_how_to_make_one() -> None:
    with pytest.raises(KeyUnavailable) as refused:
        find_key("nobody")
    assert "keys create" in refused.value.hint


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"crypto": {}}', '{"crypto": {}, "address": "12"}'])
def test_find_key__other_file__is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(KeyUnavailable, match="is no keystore file"):
        find_key(str(path))


def test_list_keys__folder__has_the_key_files_by_name(folder: Path) -> None:
    for name in ("zoe", "adam"):
        import_key(name, KEY, PASSWORD, scrypt_n=QUICK)
    (folder / "note.json").write_text(json.dumps({"no": "key"}))
    assert [(key.name, key.address) for key in list_keys()] == [("adam", ADDRESS), ("zoe", ADDRESS)]


def test_list_keys__no_folder__is_empty() -> None:
    assert list_keys() == []


def test_address_of__key_file__needs_no_password() -> None:
    import_key("mine", KEY, PASSWORD, scrypt_n=QUICK)
    assert address_of("mine") == ADDRESS


def test_address_of__open_account__is_known_to_its_node_only() -> None:
    assert address_of("localnet:0") is None


def test_localnet_index__of_an_open_account__is_its_number() -> None:
    assert (localnet_index("localnet:12"), localnet_index("mine")) == (12, None)


@pytest.mark.parametrize("account", ["localnet:", "localnet:-1", "localnet:one", "localnet:٣"])
def test_localnet_index__no_number__is_refused(account: str) -> None:
    with pytest.raises(InvalidInput, match="names no account"):
        localnet_index(account)
