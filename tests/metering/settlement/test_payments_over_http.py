"""Payment at the door of a service elsewhere: it sends on what its request came with, and what it is told to answer."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.ledger.operations import GetRecord, ListRecords
from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.ledger.vouchers import ChannelSums
from api_billing.metering.service import create_app
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.payments import mpp, x402

from .signing import OTHER_KEY, WHO, open_session, salt_of, sign
from .world import API, World

TOKEN = "service-token-of-the-tests-0123456789"
URL = "https://api.example.com/forecast?city=paris"
ESTIMATE_WEI = 50
VALUES = st.text(min_size=1, max_size=60) | st.text(max_size=20).map(lambda text: f"Payment {text}")
checks.load_all_checks()
CHECKS = checks.CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


class Service:
    """An HTTP meter on the world's store and chain; each is a process of its own."""

    def __init__(self, world: World, **given: Any) -> None:
        values = {"store_url": "memory://", "contract": world.chain.contract, "payments": "x402,mpp", **given}
        settings = MeterSettings.load(**{"key_pepper": "pepper of the tests, long enough", **values})
        self.world = world
        self.meter = Meter(world.store, settings, clock_ms=lambda: world.now_ms)
        chain: Any = world.chain
        self.meter.on_chain = OnChain(chain, world.store, settings, lambda: world.now_ms, world.alerts.append)
        self.meter.on_chain.start = lambda: None  # type: ignore[method-assign]
        self.meter.keeper.start = lambda: None  # type: ignore[method-assign]
        # Without a context: the application does not end the store that the other one uses.
        self.client = TestClient(create_app(self.meter, service_token=TOKEN), raise_server_exceptions=False)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})

    def reserve(self, payment: dict[str, Any] | None = None, **given: Any) -> Any:
        body = {"api": API, "estimate_wei": str(ESTIMATE_WEI), "method": "GET", "payment": payment or {"url": URL}}
        return self.post("/v1/reservations", **{**body, **given})

    def verify(self, payment: dict[str, Any], **given: Any) -> Any:
        body = {"api": API, "estimate_wei": str(ESTIMATE_WEI), "payment": payment, **given}
        answer = self.post("/v1/payments/verify", **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settle(self, reservation: Any, **body: Any) -> Any:
        return self.post(f"/v1/reservations/{reservation.json()['id']}/settle", **body)

    def by_mpp(self, cumulative_wei: int, action: mpp.Action = "voucher", **signed: Any) -> dict[str, Any]:
        (challenge,) = mpp.challenges_in([self.reserve().headers["www-authenticate"]])
        channel = self.world.chain.channel(API, WHO, salt_of(0))
        payload = mpp.voucher_payload(channel.id, sign(self.world, cumulative_wei, **signed), action)
        credential = mpp.Credential(challenge, payload, mpp.source_of(channel.chain_id, WHO))
        return {"url": URL, "authorization": credential.value()}

    def by_x402(self, cumulative_wei: int, payment_id: str = "", **given: Any) -> dict[str, Any]:
        ((_, accepted),), _ = x402.offers_in(self.reserve().headers["payment-required"])
        channel = self.world.chain.channel(API, WHO, salt_of(0))
        value = x402.payment_value(channel, sign(self.world, cumulative_wei), accepted, payment_id=payment_id)
        return {"url": URL, "payment_signature": value, **given}

    def channel(self) -> ChannelSums:
        session = self.world.call(ReadSession(chain_account(API, WHO)))
        return session.channels[0] if session is not None and session.channels else ChannelSums("")


@pytest.fixture
def service(world: World) -> Service:
    open_session(world)
    return Service(world)


PAYING = ["by_mpp", "by_x402"]


def problem_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def told(fields: dict[str, str]) -> tuple[str, str]:
    """What was charged of the channel in all, as the receipts in header fields say, over MPP and x402."""
    receipt, response = fields.get("payment-receipt"), fields.get("payment-response")
    spent = mpp.read_receipt(receipt)["spent"] if receipt else ""
    charged = x402.read_response(response)["extra"]["channelState"]["chargedCumulativeAmount"] if response else ""
    return spent, charged


# ---- what it costs ----


def test_reserve__of_who_does_not_pay__has_the_challenges_of_both_to_send_on(service: Service) -> None:
    answer = service.reserve()
    assert problem_of(answer) == (402, "payment_required")
    (challenge,) = mpp.challenges_in([answer.headers["www-authenticate"]])
    ((offer, _),), message = x402.offers_in(answer.headers["payment-required"])
    assert mpp.offer_of(challenge).amount_wei == offer.amount_wei == ESTIMATE_WEI
    assert message["resource"]["url"] == URL
    assert answer.headers["cache-control"] == "no-store"
    assert "PAYMENT-REQUIRED" in answer.headers["access-control-expose-headers"]


def test_reserve__of_who_does_not_pay__leaves_nothing_in_the_store(service: Service) -> None:
    service.reserve()
    assert service.world.call(ListRecords()) == ()


def test_reserve__by_key_of_who_has_signed_for_more__is_asked_for_a_voucher(service: Service) -> None:
    assert service.reserve(service.by_mpp(100)).status_code == 201
    by_key = {"url": URL, "authorization": f"Bearer {service.meter.create_key(WHO).text}"}
    asked = service.reserve(by_key)
    assert problem_of(asked) == (402, "voucher_required")
    assert mpp.challenges_in([asked.headers["www-authenticate"]])
    assert not service.verify(by_key)["is_good"]
    named = service.post("/v1/reservations", api=API, estimate_wei=str(ESTIMATE_WEI), consumer=WHO)
    assert problem_of(named) == (402, "voucher_required")


def test_reserve__of_who_has_another_authorization__asks_for_the_own_field(service: Service) -> None:
    answer = service.reserve({"url": URL, "authorization": "Basic YTpi"})
    (challenge,) = mpp.challenges_in([answer.headers["www-authenticate"]])
    assert challenge.header == "Payment-Authorization"


def test_reserve__with_a_wrong_key_beside__is_not_asked_for_payment(service: Service) -> None:
    answer = service.reserve({"url": URL, "authorization": "Bearer ab_" + 48 * "x"})
    assert problem_of(answer) == (401, "invalid_identity")
    assert "payment-required" not in answer.headers


def test_reserve__with_a_payment_where_none_are_taken__is_the_services_mistake(world: World) -> None:
    answer = Service(world, payments="").reserve()
    assert problem_of(answer) == (400, "invalid_request")


# ---- paying ----


@pytest.mark.parametrize("by", PAYING)
def test_settle__of_a_request_that_was_paid__charges_what_it_cost_and_has_the_receipt(
    service: Service, by: str
) -> None:
    reserved = service.reserve(getattr(service, by)(ESTIMATE_WEI))
    assert (reserved.status_code, reserved.json()["consumer"]) == (201, WHO)
    assert reserved.json()["protocol"] == by.removeprefix("by_")
    answer = service.settle(reserved, cost_wei="30")
    assert (answer.json()["charged_wei"], service.channel().charged_wei) == ("30", 30)
    assert told(answer.json()["fields"]) == (("30", "") if by == "by_mpp" else ("", "30"))


@pytest.mark.parametrize("by", PAYING)
def test_settle__by_another_process__has_the_receipt_when_it_gets_the_payment_again(
    service: Service, world: World, by: str
) -> None:
    payment = getattr(service, by)(ESTIMATE_WEI)
    reserved = service.reserve(payment)
    other = Service(world)
    answer = other.settle(reserved, cost_wei="30", payment=payment)
    assert told(answer.json()["fields"]) == (("30", "") if by == "by_mpp" else ("", "30"))
    again = other.settle(reserved, cost_wei="30", payment=payment)
    assert again.json()["repeated"]
    assert told(again.json()["fields"]) == told(answer.json()["fields"])


@pytest.mark.parametrize("process", ["same", "other"])
def test_settle__of_a_response_that_began__costs_over_x402_what_it_said(
    service: Service, world: World, process: str
) -> None:
    payment = service.by_x402(ESTIMATE_WEI)
    reserved = service.reserve(payment)
    assert told(reserved.json()["begun_fields"]) == ("", "50")
    ending = service if process == "same" else Service(world)
    answer = ending.settle(reserved, cost_wei="30", has_begun=True, payment=payment)
    assert answer.json()["charged_wei"] == "50"


def test_settle__of_a_response_that_began__costs_over_mpp_what_it_cost(service: Service) -> None:
    reserved = service.reserve(service.by_mpp(ESTIMATE_WEI))
    assert service.settle(reserved, cost_wei="30", has_begun=True).json()["charged_wei"] == "30"


def test_settle__by_the_payment_of_somebody_else__has_no_receipt(service: Service, world: World) -> None:
    payment = service.by_mpp(ESTIMATE_WEI)
    reserved = service.reserve(payment)
    forged = payment | {"authorization": service.by_mpp(ESTIMATE_WEI)["authorization"][:-20]}
    answer = Service(world).settle(reserved, payment=forged)
    assert (answer.status_code, told(answer.json()["fields"])) == (200, ("", ""))


@pytest.mark.parametrize("by", PAYING)
def test_settle__of_an_error_of_the_service__charges_nothing_and_has_no_receipt(service: Service, by: str) -> None:
    reserved = service.reserve(getattr(service, by)(ESTIMATE_WEI))
    answer = service.settle(reserved, status=500)
    assert (answer.json()["state"], service.channel().charged_wei) == ("released", 0)
    assert told(answer.json()["fields"]) == ("", "")


def test_settle__of_a_response_of_another_status__has_no_receipt_of_mpp(service: Service) -> None:
    reserved = service.reserve(service.by_mpp(ESTIMATE_WEI))
    assert told(service.settle(reserved, status=404).json()["fields"]) == ("", "")


@pytest.mark.parametrize("by", PAYING)
def test_reserve__by_a_voucher_that_covers_nothing_more__is_asked_for_more(service: Service, by: str) -> None:
    payment = getattr(service, by)(ESTIMATE_WEI)
    service.settle(service.reserve(payment))
    answer = service.reserve(payment)
    assert problem_of(answer)[0] == 402
    assert answer.headers["payment-required"]


def test_reserve__repeated_by_its_id__is_the_same_reservation(service: Service) -> None:
    from api_billing.metering.ledger.ids import new_id

    payment, chosen = service.by_x402(ESTIMATE_WEI), new_id(service.world.now_ms)
    first, second = (service.reserve(payment, id=chosen) for _ in range(2))
    assert (first.status_code, second.status_code, second.json()["id"]) == (201, 201, chosen)
    assert service.channel().reserved_wei == ESTIMATE_WEI


def test_reserve__by_a_forged_voucher__is_refused_with_a_fresh_challenge(service: Service) -> None:
    payment = service.by_mpp(ESTIMATE_WEI)
    credential = mpp.read_credential(payment["authorization"])
    assert credential is not None
    signature = "0x" + "11" * 64 + "1b"
    forged = replace(credential, payload={**credential.payload, "signature": signature}).value()
    answer = service.reserve({"url": URL, "authorization": forged})
    assert answer.status_code == 402
    assert mpp.challenges_in([answer.headers["www-authenticate"]])
    assert signature not in answer.text


@pytest.mark.parametrize("value", ["Payment !!!", "Payment e30", "Payment " + "A" * 3_000])
def test_reserve__by_what_is_no_payment__is_refused(service: Service, value: str) -> None:
    answer = service.reserve({"url": URL, "authorization": value})
    assert answer.status_code == 402
    answer = service.reserve({"url": URL, "payment_signature": value})
    assert answer.status_code == 400


def test_reserve__of_both_protocols_at_once__is_refused(service: Service) -> None:
    both = service.by_mpp(ESTIMATE_WEI) | service.by_x402(ESTIMATE_WEI)
    assert service.reserve(both).status_code == 400


# ---- again, and without serving ----


def test_reserve__with_a_key_that_was_served__answers_with_what_was_stored(service: Service) -> None:
    again = {"idempotency_key": "k1", "fingerprint": "none"}
    kept = {
        "status": 200,
        "headers": [["content-type", "text/plain"]],
        "body_base64": base64.b64encode(b"sun").decode(),
    }
    payment = service.by_mpp(ESTIMATE_WEI) | again
    service.settle(service.reserve(payment), response=kept)
    answer = service.reserve(payment)
    assert (answer.status_code, answer.json()["state"]) == (200, "answered")
    assert base64.b64decode(answer.json()["response"]["body_base64"]) == b"sun"
    assert told({name.lower(): value for name, value in answer.json()["response"]["headers"]})[0] == "50"
    assert service.channel().charged_wei == ESTIMATE_WEI


@pytest.mark.parametrize(("fingerprint", "status"), [("none", 200), ("other", 409), (None, 402)])
def test_reserve__with_a_payment_id_that_was_served__is_that_of_the_same_request(
    service: Service, fingerprint: str | None, status: int
) -> None:
    payment = service.by_x402(ESTIMATE_WEI, payment_id="p" * 16, fingerprint="none")
    kept = {"status": 200, "headers": [], "body_base64": ""}
    service.settle(service.reserve(payment), response=kept)
    given = payment if fingerprint == "none" else {**payment, "fingerprint": fingerprint}
    assert service.reserve({name: value for name, value in given.items() if value}).status_code == status


def test_reserve__that_closes_the_session__is_answered_and_serves_nothing(service: Service) -> None:
    service.settle(service.reserve(service.by_mpp(ESTIMATE_WEI)))
    answer = service.reserve(service.by_mpp(ESTIMATE_WEI + 1, "close"))
    assert (answer.status_code, answer.json()["state"], answer.json()["response"]["status"]) == (200, "answered", 204)
    session = service.world.call(ReadSession(chain_account(API, WHO)))
    assert session.is_closing
    assert problem_of(service.reserve(service.by_mpp(500)))[1] == "session_closing"


@pytest.mark.parametrize(("method", "action"), [("HEAD", "voucher"), ("GET", "open"), ("GET", "topUp")])
def test_reserve__that_brings_a_voucher_only__is_kept_and_answered(
    service: Service, method: str, action: mpp.Action
) -> None:
    payment = service.by_mpp(0 if action == "open" else ESTIMATE_WEI, action)
    answer = service.reserve(payment, method=method)
    assert (answer.status_code, answer.json()["response"]["status"]) == (200, 204)
    assert not any(record.state == "reserved" for record in service.world.call(ListRecords()))


# ---- verifying ----


@pytest.mark.parametrize("by", PAYING)
def test_verify__of_a_payment_that_is_good__says_whose_it_is_and_reserves_nothing(service: Service, by: str) -> None:
    found = service.verify(getattr(service, by)(ESTIMATE_WEI))
    assert found == {"is_good": True, "protocol": by.removeprefix("by_"), "consumer": WHO, "response": None}
    assert service.world.call(ListRecords()) == ()
    assert service.channel() == ChannelSums("")


@pytest.mark.parametrize("by", PAYING)
def test_verify__of_a_payment_that_was_used__has_what_would_be_answered(service: Service, by: str) -> None:
    payment = getattr(service, by)(ESTIMATE_WEI)
    service.settle(service.reserve(payment))
    found, answer = service.verify(payment), service.reserve(payment)
    assert (found["is_good"], found["response"]["status"]) == (False, answer.status_code)
    body = json.loads(base64.b64decode(found["response"]["body_base64"]))
    assert (body["code"], body.get("required_wei")) == (answer.json()["code"], answer.json().get("required_wei"))


@pytest.mark.parametrize("by", PAYING)
def test_verify__of_a_payment_for_less__is_not_good(service: Service, by: str) -> None:
    found = service.verify(getattr(service, by)(ESTIMATE_WEI), estimate_wei="51")
    assert (found["is_good"], found["response"]["status"]) == (False, 402)


def test_verify__of_a_close__closes_nothing(service: Service) -> None:
    service.settle(service.reserve(service.by_mpp(ESTIMATE_WEI)))
    found = service.verify(service.by_mpp(ESTIMATE_WEI + 1, "close"))
    assert found["is_good"]
    assert not service.world.call(ReadSession(chain_account(API, WHO))).is_closing


def test_verify__of_no_payment__has_the_challenges(service: Service) -> None:
    found = service.verify({"url": URL})
    names = {name.lower() for name, _ in found["response"]["headers"]}
    assert (found["is_good"], found["consumer"]) == (False, "")
    assert {"www-authenticate", "payment-required"} <= names


def test_verify__by_another_key__is_not_good(service: Service) -> None:
    (challenge,) = mpp.challenges_in([service.reserve().headers["www-authenticate"]])
    channel = service.world.chain.channel(API, WHO, salt_of(0))
    other = replace(channel, signer="0x" + "ab" * 20)
    assert other.id != channel.id
    payload = mpp.voucher_payload(other.id, sign(service.world, ESTIMATE_WEI))
    value = mpp.Credential(challenge, payload, mpp.source_of(channel.chain_id, WHO)).value()
    assert not service.verify({"url": URL, "authorization": value})["is_good"]


@pytest.mark.parametrize("path", ["/v1/payments/verify", "/v1/reservations"])
def test_payment__for_an_api_that_cannot_be_one__is_the_services_mistake(service: Service, path: str) -> None:
    body = {"api": "Weather!", "estimate_wei": "1", "payment": {"url": URL}}
    assert problem_of(service.post(path, **body)) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/v1/payments/verify", "/v1/payments/verify/"])
def test_verify__without_the_token__is_refused_unread(service: Service, path: str) -> None:
    answer = service.client.post(path, content=b"x", headers={"Authorization": "Bearer x"})
    assert problem_of(answer) == (401, "invalid_service_token")


# ---- bodies ----


@pytest.mark.parametrize(
    "payment",
    [
        {},
        {"url": "ftp://a/"},
        {"url": "https://a/ b"},
        {"url": "https://a/" + "b" * 3_000},
        {"url": URL, "authorization": ""},
        {"url": URL, "authorization": "A" * 20_000},
        {"url": URL, "payment_signature": 1},
        {"url": URL, "fingerprint": "a b"},
        {"url": URL, "x_payment": "1"},
    ],
    ids=lambda payment: str(payment)[:40],
)
def test_payment__that_is_none__is_the_services_mistake_and_not_repeated(
    service: Service, payment: dict[str, Any]
) -> None:
    answer = service.reserve(payment or {"": ""})
    assert problem_of(answer) == (400, "invalid_request")
    assert "AAAA" not in answer.text


@pytest.mark.parametrize(
    "other", [{"consumer": "acme"}, {"api_key": "k"}, {"idempotency": {"key": "k", "fingerprint": "f"}}]
)
def test_payment__beside_another_identity_or_claim__is_the_services_mistake(
    service: Service, other: dict[str, Any]
) -> None:
    assert problem_of(service.reserve(**other)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "url", ["http://a", "https://a:1/%ff%00", "https://[/", "http:///", "http://a?x#y", "http://@?"]
)
def test_payment__with_an_odd_url__is_asked_for_payment(service: Service, url: str) -> None:
    assert service.reserve({"url": url}).status_code == 402


def test_payment__whatever_becomes_of_it__is_in_no_log(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    payments = [service.by_mpp(ESTIMATE_WEI), service.by_x402(ESTIMATE_WEI + 1), service.by_mpp(ESTIMATE_WEI)]
    payments.append({"url": URL, "authorization": payments[0]["authorization"][:-9]})
    answers = [service.reserve(payment) for payment in payments]
    assert [answer.status_code for answer in answers] == [201, 402, 402, 402]
    secrets = [value.split()[-1][-80:] for payment in payments for name, value in payment.items() if name != "url"]
    secrets.append(sign(service.world, ESTIMATE_WEI).signature[2:])
    records = "".join(map(repr, service.world.call(ListRecords())))
    assert not [secret for secret in secrets if secret in caplog.text + records]


def test_record__of_a_request_that_was_paid__has_method_route_and_payer(service: Service) -> None:
    reserved = service.reserve(service.by_mpp(ESTIMATE_WEI), route="/forecast", request_id="r1")
    record = service.world.call(GetRecord(reserved.json()["id"]))
    assert (record.consumer, record.method, record.route, record.request_id) == (WHO, "GET", "/forecast", "r1")


def test_signer__of_another_session__is_not_believed(service: Service) -> None:
    with pytest.raises(Exception, match="not the key"):
        service.by_mpp(ESTIMATE_WEI, key=OTHER_KEY)


@pytest.mark.parametrize("path", ["/v1/payments/verify", "/v1/reservations"])
def test_description__requests_made_from_it__are_answered_as_it_says(service: Service, path: str) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", service.client.app)

    @settings(max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=described[path]["POST"].as_strategy(), authorization=st.none() | VALUES, signature=st.none() | VALUES)
    def conforms(case: Any, authorization: str | None, signature: str | None) -> None:
        payment = {"url": URL, "authorization": authorization, "payment_signature": signature}
        payment = {name: value for name, value in payment.items() if value is not None}
        if isinstance(case.body, dict) and isinstance(case.body.get("payment"), dict):
            case.body = case.body | {"payment": payment, "api": API}
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    conforms()
