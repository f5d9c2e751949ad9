"""A store that cannot be opened is named without the credentials of its URL."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from api_billing.metering.errors import InvalidSetting, MeterError
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores import migrate_store, open_store

SECRET = "S3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:1/0",
        f"redis://127.0.0.1:1/0?password={SECRET}",
        f"redis://127.0.0.1:1/0?password={SECRET}&shards=0",
        f"redis://:a/{SECRET}@127.0.0.1:1/0",
        f"redis://:a?{SECRET}@127.0.0.1:1/0",
        f"redis://ann:{SECRET}/0",
        f"redis://127.0.0.1:1/0?ssl_password={SECRET}",
        f"rediss://127.0.0.1:1/0?ssl_cert_reqs=none&username=ann&passwort={SECRET}",
        f"rediss://ann:{SECRET}@127.0.0.1:1/0",
        f"postgresql://ann:{SECRET}@127.0.0.1:1/db",
        f"postgresql://ann@127.0.0.1:1/db?password={SECRET}&connect_timeout=1",
        f"postgresql://ann@127.0.0.1:1/db?{SECRET}",
        f"postgresql://ann:{SECRET}%zz@127.0.0.1:1/db",
        f"postgresql://ann:half@{SECRET}@127.0.0.1:1/db",
        f"redis://:half@{SECRET}@127.0.0.1:1/0",
        f"sqlite://meter.db?key={SECRET}",
        f"mysql://{SECRET}@127.0.0.1/db",
        f"host=127.0.0.1 password={SECRET}",
    ],
)
def test_open_store__store_that_cannot_be_had__quotes_no_secret(url: str) -> None:
    with pytest.raises(MeterError) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("open_it", [open_store, migrate_store])
def test_open_store__password_with_an_at_sign__says_how_to_write_it(open_it: Callable[[str], Any]) -> None:
    with pytest.raises(InvalidSetting, match="an @ in its user or password") as caught:
        open_it(f"postgresql://ann:half@{SECRET}@127.0.0.1:1/db")
    assert caught.value.hint == "write that @ as %40"


def test_settings__shown__have_no_secret() -> None:
    settings = MeterSettings.load(
        store_url=f"redis://:{SECRET}@h/0",
        url=f"https://{SECRET}@node.example/api",
        alert_webhook_url=f"https://hooks.example/{SECRET}",
        alert_webhook_secret=f"{SECRET}-0123456789abcdef",
    )
    assert SECRET not in f"{settings!r} {settings}"
