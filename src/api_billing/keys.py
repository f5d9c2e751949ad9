"""Signing keys: encrypted keystore files, environment variables, and the open accounts of a localnet.

An account is named by

    NAME or PATH   a keystore file (Web3 Secret Storage, also those of the genlayer CLI); NAME is one in the keys folder
    env:VARIABLE   a private key in an environment variable, 0x and 64 hex digits
    localnet:N     the N-th open account of a localnet, from 0

A key is never an argument of a command, never printed, and never part of an error.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api_billing.errors import InvalidInput, KeyUnavailable
from api_billing.extras import needed_by

if TYPE_CHECKING:
    from eth_account import Account
    from eth_account.signers.local import LocalAccount

KEYS_VARIABLE: Final = "API_BILLING_KEYS"
PASSWORD_VARIABLE: Final = "API_BILLING_PASSWORD"
MIN_PASSWORD_LENGTH: Final = 8

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY: Final = re.compile("(0x)?[0-9a-fA-F]{64}")
_ENV: Final = "env:"
_LOCALNET: Final = "localnet:"

AskPassword = Callable[[str], str]
"""Gives the password of the account that the text names."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A keystore file: where it is and whose key it has, which it tells without its password."""

    name: str
    path: Path
    address: str


def keys_dir() -> Path:
    """``$API_BILLING_KEYS``, or `api-billing/keys` in the user's configuration folder."""
    chosen = os.environ.get(KEYS_VARIABLE)
    if chosen:
        return Path(chosen)
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "api-billing" / "keys"


def list_keys() -> list[KeyFile]:
    """The keystore files of the keys folder by name; what else is there is left out."""
    found = []
    for path in sorted(keys_dir().glob("*.json")):
        try:
            found.append(_key_file(path.stem, path))
        except KeyUnavailable:
            continue
    return found


def create_key(name: str, password: str, *, scrypt_n: int | None = None) -> KeyFile:
    """Make a new key and keep it encrypted under a name. ``scrypt_n`` is the work factor, by default the usual one.

    Raises: InvalidInput, for a bad or taken name and a short password.
    """
    return _store(name, _eth_account().create(), password, scrypt_n)


def import_key(name: str, key: str, password: str, *, scrypt_n: int | None = None) -> KeyFile:
    """Keep an existing private key, in hex, encrypted under a name. Raises: InvalidInput."""
    return _store(name, _account(key, "the text"), password, scrypt_n)


def _store(name: str, account: LocalAccount, password: str, scrypt_n: int | None) -> KeyFile:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name for a key", hint="use letters, digits, dot, dash and underscore")
    if len(password) < MIN_PASSWORD_LENGTH:
        raise InvalidInput(f"a password has at least {MIN_PASSWORD_LENGTH} characters")
    path = keys_dir() / f"{name}.json"
    if path.exists():
        raise _taken(path)
    encrypted = account.encrypt(password, kdf="scrypt", iterations=scrypt_n)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Readable for its owner alone from the first moment, and never over another key.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(encrypted, file)
            file.write("\n")
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
    return KeyFile(name, path, account.address)


def address_of(account: str) -> str | None:
    """The address of a named account without unlocking it; None for one that only its node knows.

    Raises: KeyUnavailable.
    """
    if account.startswith(_LOCALNET):
        return None
    if account.startswith(_ENV):
        return str(_from_environment(account.removeprefix(_ENV)).address)
    return find_key(account).address


def localnet_index(account: str) -> int | None:
    """N of ``localnet:N``, None for another account. Raises: InvalidInput, when N is no number."""
    if not account.startswith(_LOCALNET):
        return None
    number = account.removeprefix(_LOCALNET)
    if not number.isascii() or not number.isdigit():
        raise InvalidInput(f"{account!r} names no account", hint="open accounts are localnet:0, localnet:1, …")
    return int(number)


def unlock(account: str, ask_password: AskPassword) -> LocalAccount:
    """The account with its key. ``ask_password`` is called for a keystore file only.

    Raises: KeyUnavailable.
    """
    if account.startswith(_ENV):
        return _from_environment(account.removeprefix(_ENV))
    file = find_key(account)
    try:
        key = _eth_account().decrypt(file.path.read_text(encoding="utf-8"), ask_password(file.name))
    except (ValueError, KeyError, TypeError, NotImplementedError):
        raise KeyUnavailable(f"{file.path} cannot be opened", hint="is the password right?") from None
    return _account(key.hex(), str(file.path))


def given_password(file: str | None) -> str | None:
    """The password in a file or, without a file, in the environment; None where neither is. Raises: KeyUnavailable."""
    if not file:
        return os.environ.get(PASSWORD_VARIABLE)
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, ValueError) as error:
        raise KeyUnavailable(f"the password file {file} cannot be read: {error}") from error


def find_key(account: str) -> KeyFile:
    """The keystore file of a name or path. Raises: KeyUnavailable."""
    named = keys_dir() / f"{account}.json"
    path = named if _NAME.fullmatch(account) and named.is_file() else Path(account).expanduser()
    if not path.is_file():
        if _KEY.fullmatch(account):  # it is not repeated: it would end up in logs
            raise KeyUnavailable("a private key is not an argument", hint="put it into a variable: env:VARIABLE")
        raise KeyUnavailable(
            f"there is no key {account!r} in {keys_dir()}",
            hint="see: api-billing keys list; or make one with: api-billing keys create NAME",
        )
    return _key_file(path.stem, path)


def _key_file(name: str, path: Path) -> KeyFile:
    with needed_by("a key"):
        from eth_utils.address import to_checksum_address

    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if "crypto" not in content and "Crypto" not in content:
            raise ValueError("no encrypted key")
        return KeyFile(name, path, to_checksum_address("0x" + str(content["address"]).removeprefix("0x")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyUnavailable(f"{path} is no keystore file") from error


def _from_environment(variable: str) -> LocalAccount:
    key = os.environ.get(variable)
    if not key:
        raise KeyUnavailable(f"the environment variable {variable} is not set", hint="it holds a private key in hex")
    return _account(key.strip(), f"the environment variable {variable}")


def _account(key: str, where: str) -> LocalAccount:
    if not _KEY.fullmatch(key):
        raise KeyUnavailable(f"{where} is no private key", hint="a key is 0x and 64 hex digits")
    make = _eth_account()
    try:
        account: LocalAccount = make.from_key(key)
    except Exception:  # whatever eth-account says here could have the key in it
        raise KeyUnavailable(f"{where} is no valid private key") from None
    return account


def _eth_account() -> Account:
    with needed_by("a key"):
        from eth_account import Account
    return Account()


def _taken(path: Path) -> InvalidInput:
    return InvalidInput(f"there is a key at {path} already", hint="choose another name; keys are never overwritten")
