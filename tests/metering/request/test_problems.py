"""Refusals as RFC 9457 problems."""

import json
from typing import Any

import pytest

from api_billing.metering.request.problems import KINDS, QUOTA_EXCEEDED_TYPE, Refusal

STATUSES = {
    "missing_identity": 401,
    "invalid_identity": 401,
    "revoked_key": 403,
    "expired_key": 401,
    "key_scope": 403,
    "not_subscribed": 403,
    "disabled": 403,
    "insufficient_credit": 402,
    "budget_exceeded": 402,
    "quota_exceeded": 429,
    "throttled": 429,
    "invalid_idempotency_key": 400,
    "unreadable_body": 400,
    "body_too_large": 413,
    "idempotency_mismatch": 422,
    "idempotency_in_progress": 409,
    "idempotency_used": 410,
    "voucher_required": 402,
    "invalid_voucher": 402,
    "too_many_channels": 402,
    "session_closing": 402,
    "payment_required": 402,
    "several_payments": 400,
    "malformed_payment": 400,
    "malformed_credential": 402,
    "invalid_challenge": 402,
    "payment_expired": 402,
    "offer_changed": 402,
    "cumulative_mismatch": 402,
    "channel_busy": 402,
    "deposit_refused": 402,
    "payment_id_reused": 409,
    "refund_amount_invalid": 402,
    "serving": 409,
    "nothing_to_bill": 409,
    "invalid_receipt": 402,
    "receipt_mismatch": 422,
    "receipt_in_progress": 409,
    "receipt_used": 410,
    "not_estimable": 400,
    "estimate_failed": 500,
    "meter_unavailable": 503,
}


def test_reason__of_a_code__is_told_with_its_detail() -> None:
    body = body_of(Refusal("not_subscribed", reason="api_paused"))
    assert (body["reason"], body["detail"]) == ("api_paused", "The operator has paused this API.")
    assert "reason" not in body_of(Refusal("not_subscribed"))


def body_of(refusal: Refusal, **rest: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(refusal.answer(**rest).body)
    return body


def fields_of(refusal: Refusal) -> dict[str, str]:
    return dict(refusal.answer().headers)


def test_kinds__all__have_the_documented_status() -> None:
    assert {code: kind.status for code, kind in KINDS.items()} == STATUSES


@pytest.mark.parametrize("code", KINDS)
def test_answer__each_code__is_a_complete_problem(code: str) -> None:
    body = body_of(Refusal(code))
    assert body["status"] == KINDS[code].status == Refusal(code).answer().status
    assert body["code"] == code
    assert body["type"]
    assert body["title"]
    assert body["detail"]


@pytest.mark.parametrize("code", KINDS)
def test_answer__each_code__says_type_and_length(code: str) -> None:
    answer = Refusal(code).answer()
    fields = dict(answer.headers)
    assert fields["content-type"] == "application/problem+json"
    assert fields["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("code", [code for code, status in STATUSES.items() if status == 429])
def test_answer__429__has_the_type_and_policies_of_the_draft(code: str) -> None:
    body = body_of(Refusal(code, policies=("daily", "monthly")))
    assert (body["type"], body["violated-policies"]) == (QUOTA_EXCEEDED_TYPE, ["daily", "monthly"])


@pytest.mark.parametrize("code", [code for code, status in STATUSES.items() if status != 429])
def test_answer__not_429__has_a_type_of_its_own(code: str) -> None:
    body = body_of(Refusal(code))
    assert body["type"] == f"urn:problem-type:api-billing:{code.replace('_', '-')}"
    assert "violated-policies" not in body


@pytest.mark.parametrize("code", [code for code, status in STATUSES.items() if status == 401])
def test_answer__401__has_a_challenge(code: str) -> None:
    assert fields_of(Refusal(code))["www-authenticate"] == "Bearer"


def test_answer__own_challenge__is_sent() -> None:
    assert fields_of(Refusal("invalid_identity", challenge="ApiKey"))["www-authenticate"] == "ApiKey"


@pytest.mark.parametrize(
    "code", [code for code in KINDS if KINDS[code].status in (402, 403) and code != "channel_busy"]
)
def test_answer__waiting_does_not_help__has_no_retry_after(code: str) -> None:
    assert "retry-after" not in fields_of(Refusal(code))


@pytest.mark.parametrize(("given", "sent"), [(None, "1"), (0, "1"), (1, "1"), (86_400, "86400")])
def test_answer__quota__says_when_to_retry(given: int | None, sent: str) -> None:
    assert fields_of(Refusal("quota_exceeded", retry_after_seconds=given))["retry-after"] == sent


def test_answer__extra_members__do_not_replace_standard_ones() -> None:
    body = body_of(Refusal("insufficient_credit", extra={"free_wei": "5", "status": 200, "code": "x"}))
    assert (body["free_wei"], body["status"], body["code"]) == ("5", 402, "insufficient_credit")


def test_answer__further_fields_and_instance__are_added() -> None:
    answer = Refusal("disabled").answer((("x-cost-wei", "0"),), instance="urn:request:1")
    assert answer.headers[-1] == ("x-cost-wei", "0")
    assert json.loads(answer.body)["instance"] == "urn:request:1"


def test_refusal__unknown_code__fails_loudly() -> None:
    with pytest.raises(KeyError):
        Refusal("typo").answer()
