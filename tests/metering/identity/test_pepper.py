"""A store knows the pepper of its API keys, and is not opened with another one."""

import errno
import os

import pytest

from api_billing.metering import Meter, MeteredRequest
from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.identity.api_keys import new_key
from api_billing.metering.ledger.consumer_operations import PutKey, RevokeKey
from api_billing.metering.request.http import TextHeaders
from api_billing.metering.request.identity import identify
from api_billing.metering.stores import open_store
from api_billing.metering.stores.steps import run

OURS, OTHER = "the pepper of all our keys", "a pepper from somewhere else"


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def url(request, folder):
    """The URL of an empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/meter.db"
        return
    url = request.getfixturevalue(f"{request.param}_url")
    if request.param == "redis":
        yield request.getfixturevalue("emptied")(url)
        return
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("create schema pepper")
        yield f"{url}&options=-csearch_path%3Dpepper"
        admin.execute("drop schema pepper cascade")


@pytest.fixture
def file_url(folder):
    return f"sqlite:///{folder}/meter.db"


def made_key(url, pepper=""):
    """A key of a new consumer."""
    with Meter.open(url, key_pepper=pepper) as meter:
        meter.add_consumer("acme")
        return meter.create_key("acme")


def consumer_of(url, key, pepper=""):
    """Whose key it is, as requests find out."""
    with Meter.open(url, key_pepper=pepper) as meter:
        headers = TextHeaders([("authorization", f"Bearer {key.text}")])
        found = run(
            identify(meter.identify, MeteredRequest("GET", "/", headers, at_ms=meter.now_ms())), meter.store.call
        )
        return getattr(found, "consumer", None)


def test_open__with_the_pepper_of_its_keys__knows_them(url):
    key = made_key(url, OURS)
    assert consumer_of(url, key, OURS) == "acme"


def test_open__with_another_pepper_than_its_keys_have__is_refused(url):
    made_key(url, OURS)
    with pytest.raises(InvalidSetting, match="another pepper"):
        Meter.open(url, key_pepper=OTHER)
    with Meter.open(url, key_pepper=OURS):
        pass


def test_open__with_another_pepper__tells_what_to_restore_and_not_what_it_is(url):
    made_key(url, OURS)
    with pytest.raises(InvalidSetting) as caught:
        Meter.open(url, key_pepper=OTHER)
    assert "restore API_BILLING_KEY_PEPPER" in caught.value.hint
    assert OTHER not in f"{caught.value} {caught.value.hint}"


def test_open__store_from_before_it_knew_its_pepper__takes_one_once(url):
    key = new_key(OURS.encode(), "acme", 1)
    with open_store(url) as store:
        with Meter.open(url) as meter:
            meter.add_consumer("acme")
        store.call(PutKey(key.stored))
    assert consumer_of(url, key, OURS) == "acme"
    with pytest.raises(InvalidSetting, match="another pepper"):
        Meter.open(url, key_pepper=OTHER)


def test_open__with_another_pepper_when_all_keys_are_revoked__takes_it(url):
    key = made_key(url, OURS)
    with open_store(url) as store:
        store.call(RevokeKey(key.stored.key_id, 2))
    assert consumer_of(url, made_key(url, OTHER), OTHER) == "acme"
    with pytest.raises(InvalidSetting, match="another pepper"):
        Meter.open(url, key_pepper=OURS)


def test_open__with_an_extractor_of_its_own__needs_no_pepper(url):
    made_key(url, OURS)
    meter = Meter.open(url, key_pepper=OTHER, identify=lambda request: "acme")
    with meter, pytest.raises(InvalidSetting, match="another pepper"):
        meter.create_key("acme")


def test_open__without_the_pepper_of_valid_keys__is_refused(url):
    key = made_key(url, OURS)
    with pytest.raises(InvalidSetting, match=r"is missing: no API key could be checked"):
        Meter.open(url)
    with Meter.open(url, checks_pepper=False) as meter:
        meter.revoke_key(key.stored.key_id)
    Meter.open(url).close()


def test_open__file_of_the_pepper_is_missing__is_refused_and_makes_no_other(file_url, folder):
    made_key(file_url)
    (folder / "meter.db.pepper").unlink()
    with pytest.raises(InvalidSetting, match=r"meter\.db\.pepper is missing"):
        Meter.open(file_url)
    assert not (folder / "meter.db.pepper").exists()


def test_open__file_of_the_pepper_is_back__knows_its_keys(file_url, folder):
    key = made_key(file_url)
    (folder / "meter.db.pepper").rename(folder / "away")
    with pytest.raises(InvalidSetting):
        Meter.open(file_url)
    (folder / "away").rename(folder / "meter.db.pepper")
    assert consumer_of(file_url, key) == "acme"


def test_open__file_of_another_store__is_refused(file_url, folder):
    made_key(file_url)
    (folder / "meter.db.pepper").write_text("00" * 32 + "\n")
    with pytest.raises(InvalidSetting, match="another pepper"):
        Meter.open(file_url)


def test_open__new_file_without_keys__makes_no_pepper(file_url, folder):
    with Meter.open(file_url):
        pass
    assert not (folder / "meter.db.pepper").exists()


def test_open__by_a_command__is_possible_with_another_pepper(url):
    made_key(url, OURS)
    with Meter.open(url, key_pepper=OTHER, checks_pepper=False) as meter:
        assert meter.profile("acme").consumer == "acme"


def test_pepper__the_disk_has_no_room_for__is_the_stores_fault(file_url, folder, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Meter.open(file_url) as meter:
        meter.add_consumer("acme")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            meter.create_key("acme")
    assert list(folder.glob("*.pepper*")) == []
