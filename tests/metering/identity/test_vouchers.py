"""The extractor of vouchers: one that can be read says who pays, and proves nothing yet."""

import json

import pytest

from api_billing.metering import first_of, from_header, from_voucher
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.request.identity import MISSING, Identity, identified
from api_billing.metering.request.problems import Refusal
from api_billing.metering.stores.steps import run
from api_billing.vouchers import Voucher

PAYER = "0x" + "ab" * 20
VOUCHER = Voucher("0x" + "05" * 32, 123, "0x" + "07" * 65)
FIELDS = {"payer": PAYER, "salt": VOUCHER.salt, "cumulative_wei": "123", "signature": VOUCHER.signature}
COMPACT = ".".join(FIELDS.values())


def found(*fields, extractor=None):
    request = MeteredRequest("GET", "/", TextHeaders(fields))
    return run(identified(extractor or from_voucher(), request), lambda step: pytest.fail("it asks the store"))


def read(text):
    return found(("payment-voucher", text))


def dumped(**changes):
    return json.dumps({**FIELDS, **changes})


@pytest.mark.parametrize("text", [COMPACT, dumped(), json.dumps(FIELDS, indent=1), f"  {COMPACT} "])
def test_voucher__compact_or_json__says_who_pays(text):
    assert read(text) == Identity(PAYER, voucher=VOUCHER)


def test_voucher__payer_in_another_spelling__is_the_same_consumer():
    assert read(COMPACT.replace(PAYER, "0x" + "aB" * 20)).consumer == PAYER


def test_voucher__in_authorization__is_read_there():
    extractor = from_voucher("Authorization: Voucher")
    assert found(("authorization", f"voucher {COMPACT}"), extractor=extractor).voucher == VOUCHER
    assert found(("authorization", f"Bearer {COMPACT}"), extractor=extractor) == MISSING


def test_voucher__none__is_left_to_the_next_extractor():
    either = first_of(from_voucher(), from_header("x-consumer"))
    assert found(("x-consumer", "acme"), extractor=either) == Identity("acme")
    assert found(extractor=either) == MISSING


@pytest.mark.parametrize(
    "text",
    [
        "x",
        COMPACT + ".",
        COMPACT.rpartition(".")[0],
        COMPACT.replace("123", "0123"),
        COMPACT.replace("123", "1_23"),
        COMPACT.replace("123", "+123"),
        COMPACT.replace("123", "-1"),
        COMPACT.replace("123", "1e3"),
        COMPACT.replace("123", "١٢٣"),
        COMPACT.replace("123", str(2**128)),
        COMPACT.replace("123", "9" * 40),
        COMPACT.replace("07" * 65, "07" * 64),
        COMPACT.replace("07" * 65, "AB" * 65),
        COMPACT.replace("05" * 32, "05" * 31),
        COMPACT.replace(PAYER, PAYER[:-1]),
        COMPACT.replace(PAYER, "acme"),
        COMPACT + " " * 10 + "x" * 1024,
        dumped(cumulative_wei=123),
        dumped(cumulative_wei=True),
        dumped(cumulative_wei=None),
        dumped(payer=[PAYER]),
        dumped(more="1"),
        dumped().replace('"salt"', '"payer"'),
        dumped()[:-1] + f', "payer": "{PAYER}"}}',
        "{" * 1000,
        '{"a":' * 200,
        "{}",
        "{\ud800}",
    ],
)
def test_voucher__in_another_form__is_refused_and_not_passed_over(text):
    refusal = found(("payment-voucher", text), extractor=first_of(from_voucher(), lambda _: "acme"))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code, refusal.reason) == (402, "invalid_voucher", "malformed_voucher")


def test_voucher__given_twice__is_refused():
    assert found(("payment-voucher", COMPACT), ("payment-voucher", COMPACT)).code == "invalid_voucher"


def test_from_voucher__header_that_is_none__is_an_invalid_setting():
    with pytest.raises(InvalidSetting):
        from_voucher("")
