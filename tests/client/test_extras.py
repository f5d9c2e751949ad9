"""What is not installed: named, with the command that installs it; other errors of an import stay what they are."""

import sys

import pytest

from api_billing.errors import BillingError, MissingExtra
from api_billing.extras import needed_by
from api_billing.metering.stores import open_store


def test_needed_by__module_of_an_extra__names_who_needs_what_and_how_to_install_it() -> None:
    with pytest.raises(MissingExtra) as missing, needed_by("the shop"):
        raise ModuleNotFoundError("no", name="eth_account.signers")
    assert str(missing.value).startswith("the shop needs genlayer-py: pip install 'api-billing[chain]', of a checkout")
    assert missing.value.name == "eth_account"


def test_missing_extra__is_an_error_of_ours_and_of_an_import() -> None:
    assert issubclass(MissingExtra, BillingError) and issubclass(MissingExtra, ImportError)  # noqa: PT018 - one fact


def test_needed_by__within_another__is_told_of_the_outer() -> None:
    with pytest.raises(MissingExtra, match=r"^the shop needs redis"), needed_by("the shop"), needed_by("its till"):
        raise ModuleNotFoundError("no", name="redis")


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("no", name="api_billing.metering.stores.redis.shelf"),
        ModuleNotFoundError("no", name="another"),
        ImportError("cannot import name 'x' from 'redis'", name="redis"),
        ValueError("redis"),
    ],
    ids=repr,
)
def test_needed_by__other_error__goes_on_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, needed_by("the shop"):
        raise error
    assert raised.value is error


def test_open_store__driver_not_installed__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "api_billing.metering.stores.postgresql.store", raising=False)
    monkeypatch.delitem(sys.modules, "api_billing.metering.stores.postgresql.tables", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"^a store at postgres:// needs psycopg: .*\[postgresql\]'$"):
        open_store("postgres://localhost/meter")


def test_open_store__its_own_module_cannot_be_imported__is_no_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "api_billing.metering.stores.memory.store", None)
    with pytest.raises(ModuleNotFoundError) as broken:
        open_store("memory://")
    assert not isinstance(broken.value, MissingExtra)
