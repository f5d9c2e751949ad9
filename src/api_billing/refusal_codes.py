"""Why the billing contract and a court refuse: their codes, what each means, and what to do next.

`[EXPECTED] <code>: <text>` is what they raise. A test holds the codes against those of the contracts, both ways.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

_EXPECTED: Final = re.compile(r"\[EXPECTED\] ([a-z0-9_]+)(?:: ?(.*))?", re.DOTALL)


class Code(StrEnum):
    """Error codes of the billing contract."""

    BAD_TYPE = "bad_type"
    BAD_ADDRESS = "bad_address"
    BAD_NAME = "bad_name"
    NUMBER_TOO_LARGE = "number_too_large"
    NEGATIVE_NUMBER = "negative_number"
    API_NAME_REQUIRED = "api_name_required"
    COST_NOT_POSITIVE = "cost_not_positive"
    DAILY_LIMIT_NOT_POSITIVE = "daily_limit_not_positive"
    FREE_PLAN_WITHOUT_LIMIT = "free_plan_without_limit"
    MAX_SPEND_NOT_POSITIVE = "max_spend_not_positive"
    NEGATIVE_DEPOSIT = "negative_deposit"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    VALUE_MISMATCH = "value_mismatch"
    CALLS_NOT_POSITIVE = "calls_not_positive"
    BAD_PERCENT = "bad_percent"
    BAD_REQUEST_ID = "bad_request_id"
    BAD_RECEIPT_ID = "bad_receipt_id"
    BAD_EXPIRY = "bad_expiry"
    BAD_RANGE = "bad_range"
    BAD_ENTRY = "bad_entry"
    BAD_USAGE_ROOT = "bad_usage_root"
    TOO_MANY_ENTRIES = "too_many_entries"
    API_NOT_REGISTERED = "api_not_registered"
    PLAN_NOT_FOUND = "plan_not_found"
    TOO_MANY_PLANS = "too_many_plans"
    TOO_MANY_METERS = "too_many_meters"
    NOT_OPERATOR = "not_operator"
    NOT_PROPOSED = "not_proposed"
    NOT_AUTHORIZED = "not_authorized"
    CALLER_NOT_CONTRACT = "caller_not_contract"
    HOLD_IN_FORCE = "hold_in_force"
    HOLD_NOT_SHORTENED = "hold_not_shortened"
    NO_HOLD = "no_hold"
    INSUFFICIENT_EARNINGS = "insufficient_earnings"
    SEQUENCE_GAP = "sequence_gap"
    SEQUENCE_FORGOTTEN = "sequence_forgotten"
    API_PAUSED = "api_paused"
    NOT_SUBSCRIBED = "not_subscribed"
    PRICE_CHANGED = "price_changed"
    DAILY_LIMIT_EXCEEDED = "daily_limit_exceeded"
    MONTHLY_LIMIT_EXCEEDED = "monthly_limit_exceeded"
    DAILY_SPEND_EXCEEDED = "daily_spend_exceeded"
    INSUFFICIENT_CREDIT = "insufficient_credit"
    DAY_CLOSED = "day_closed"
    SPEND_ABOVE_PRICE = "spend_above_price"
    PRICE_ABOVE_MAX = "price_above_max"
    SESSION_ONLY = "session_only"
    NO_SESSION = "no_session"
    BAD_VOUCHER = "bad_voucher"
    TOO_MANY_VOUCHERS = "too_many_vouchers"
    BAD_SIGNATURE = "bad_signature"
    VOUCHER_EXCEEDED = "voucher_exceeded"
    TOO_MANY_CHANNELS = "too_many_channels"
    REQUEST_MISMATCH = "request_mismatch"
    SEQUENCE_MISMATCH = "sequence_mismatch"
    BAD_REASON = "bad_reason"
    DAY_NOT_PENDING = "day_not_pending"
    REFUND_ABOVE_PAID = "refund_above_paid"
    BAD_PROMISE = "bad_promise"
    PROMISE_PENDING = "promise_pending"
    TOO_MANY_PROMISES = "too_many_promises"
    PROMISE_IN_FORCE = "promise_in_force"
    NOT_COURT = "not_court"
    DAY_OPEN = "day_open"
    ALREADY_FROZEN = "already_frozen"
    NOTHING_PAID = "nothing_paid"
    NOT_FROZEN = "not_frozen"


class CourtCode(StrEnum):
    """Error codes of a court that the billing contract has not."""

    BAD_CLAIM = "bad_claim"
    BAD_URL = "bad_url"
    BOND_TOO_SMALL = "bond_too_small"
    ALREADY_DISPUTED = "already_disputed"
    DISPUTE_NOT_FOUND = "dispute_not_found"
    NOT_OPEN = "not_open"
    TOO_LATE = "too_late"
    TOO_EARLY = "too_early"
    NO_VERDICT = "no_verdict"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code for a person: what is the case, and what to do next."""

    meaning: str
    next_step: str


_TABLE: Final = """\
bad_type | an argument has the wrong type | pass texts and whole numbers as in the contract reference
bad_address | an address is not 0x and 40 hex digits, or is the zero address | check the address
bad_name | a name is not made of a-z, 0-9, dot, dash and underscore, or is longer than 64 | choose another name
number_too_large | a number is beyond what the contract counts | pass a smaller number; amounts are wei
negative_number | a number is below 0 | pass 0 or more
api_name_required | the name of the API is empty | name the API
cost_not_positive | the standard plan has no price | set a price above 0; free plans are further plans
daily_limit_not_positive | the standard plan has no daily limit | set how many calls a day are allowed
free_plan_without_limit | a plan without a price needs a limit | give the plan a daily or a monthly limit
max_spend_not_positive | the cap on a day's spend is 0 | set how much may be spent a day
negative_deposit | the deposit is below 0 | deposit 0 or more
amount_not_positive | the amount is 0 | name an amount above 0
value_mismatch | the GEN sent differs from the amount named | send exactly the amount that the call names
calls_not_positive | no call was asked for | ask for at least 1 call
bad_percent | the alert level is not a percentage | choose 0 to 100; 0 turns the alert off
bad_request_id | the request id is empty or longer than 64 characters | choose an id of 1 to 64 characters
bad_receipt_id | this is not the id of a receipt | copy the whole id: api_name:consumer:day_id:call_no and what follows
bad_expiry | the hold would end in the past or after more than 366 days | choose an end within the next 366 days
bad_range | the first day comes after the last, or of all APIs more than 31 days are asked for | ask for fewer days
bad_entry | a settlement entry has not the fields it needs, or others, or no calls | correct the entry
bad_usage_root | the usage root is not 32 bytes in hex | pass 64 hex digits, or leave it empty
too_many_entries | a settlement has no entries, or more than 256 | split it into batches of 1 to 256 entries
api_not_registered | nobody has registered this API | check the name, or register the API
plan_not_found | the API has no such plan | look at the API's plans and choose one of them
too_many_plans | the API has 64 plans already | change one of its plans instead
too_many_meters | the API has 64 meters already | forbid a meter that is no longer used first
not_operator | the account is not the operator of this API | use the operator's account
not_proposed | the API was not offered to this account | have the operator propose this account first
not_authorized | the account may not bill this consumer | use the consumer's, the operator's or a meter's account
caller_not_contract | only contracts may ask for a call this way | bill an account's call with consume_credit
hold_in_force | the hold has not expired, and keeps plan, cap and signer | wait until then; the operator can release it
hold_not_shortened | a hold cannot be made to end earlier | choose an end that is not before the present one
no_hold | there is no hold on this API | nothing is held, so nothing has to be released
insufficient_earnings | the operator has less than that to withdraw | look at the earnings and take at most those
sequence_gap | the settlement is not the next in line | read the API's next_sequence and settle with that number
sequence_forgotten | the outcome of this settlement is no longer kept | only the last 64 are; read the notices instead
api_paused | the operator has paused the API | wait until the operator resumes it
not_subscribed | the client has no subscription to the API | subscribe first
price_changed | the price rose above the one the client accepted | subscribe again to accept the new price
daily_limit_exceeded | all calls of the day were used up | wait until midnight UTC, or choose a larger plan
monthly_limit_exceeded | all calls of the month were used up | wait until next month, or choose a larger plan
daily_spend_exceeded | the daily spending cap was reached | raise the cap by subscribing again, or wait a day
insufficient_credit | not covered by free credit or, in a session, by its hold | top up, take less, or place a hold
day_closed | the day is over, or was before or after the subscription | settle usage on its day or on the day after
spend_above_price | more was charged than the accepted price | charge at most calls times the accepted price
price_above_max | the price is above the highest to be accepted | look at the price, and raise the maximum or leave it
session_only | the client is billed by its vouchers only | settle the usage with a voucher of the session
no_session | a voucher of a client that has no signing key | settle without it, or have the client open a session
bad_voucher | a voucher is not {salt, cumulative_wei, signature} | correct it: 0x and lower-case hex, and whole wei
too_many_vouchers | more than 64 entries of a settlement have vouchers | split it into batches
bad_signature | the voucher is not signed by the session's key | sign for the contract's channel with that key
voucher_exceeded | more was charged than the client signed | have the client sign a higher sum
too_many_channels | the session has used 16 channels already | go on with one of them, or open a new session
request_mismatch | the request id was billed for another number of calls | ask with the same calls, or choose a new id
sequence_mismatch | the settlement was posted with other content | read it, and post the rest with the next number
bad_reason | the reason has more than 200 characters, or others than printable ones | shorten it
day_not_pending | the earnings of that day do not wait, or no longer | an operator can refund without naming a day
refund_above_paid | that is more than the client paid on the day and has not got back | refund at most that
bad_promise | a promise has 3 to 14 days, 1 to 100 percent, at most 2,000 characters, an https page | correct it
promise_pending | a change of the promise is ahead already | wait until it is in force
too_many_promises | the API has had 64 promises | keep the one in force
promise_in_force | a promise is or will be in force, or earnings wait | end the promise, and collect the earnings, first
not_court | this court does not judge what is promised for that day | look at the promise of that day
day_open | the usage of that day can still be settled | wait until two days after it
already_frozen | the earnings of that day from this client were frozen before | look at the dispute there was
nothing_paid | the client paid nothing on that day that was not refunded | dispute another day
not_frozen | nothing is frozen of that day and client | wait until the freeze is final, or look at the dispute
bad_claim | a claim has 1 to 2,000 characters | shorten it
bad_url | the evidence is not at an https address of at most 200 characters | publish it at such an address
bond_too_small | the court wants a higher bond | send at least what the court says
already_disputed | the client has disputed this day before | look at the dispute there was
dispute_not_found | the court has no dispute of this number | look at the list of disputes
not_open | the dispute is judged or closed | look at how it ended
too_late | a dispute is judged in its first 28 days | close it 30 days after it was opened
too_early | a dispute is closed from 30 days after it was opened on | have it judged in its first 28 days, or wait
no_verdict | the answer of a language model was no verdict | ask for the verdict again"""


def _read_table() -> dict[str, Explanation]:
    rows = (line.split(" | ") for line in _TABLE.splitlines())
    return {code: Explanation(meaning, next_step) for code, meaning, next_step in rows}


EXPLANATIONS: Final[Mapping[str, Explanation]] = MappingProxyType(_read_table())


def in_words(code: str) -> str:
    """Return why a call was refused; a code without words of its own is shown as it is, without underscores."""
    explanation = EXPLANATIONS.get(code)
    return explanation.meaning if explanation else code.replace("_", " ")


def next_step(code: str) -> str:
    """Return what to do about a refusal; empty for a code that is not known here."""
    explanation = EXPLANATIONS.get(code)
    return explanation.next_step if explanation else ""


def split_refusal(message: str) -> tuple[str, str] | None:
    """Return code and text of a contract's error text wherever it stands in `message`, None where there is none."""
    found = _EXPECTED.search(message)
    return (found[1], (found[2] or "").strip()) if found else None
