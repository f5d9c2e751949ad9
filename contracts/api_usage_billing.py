# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

"""Prepaid, per-call billing for HTTP APIs.

Operators register APIs with plans and earn; meters are addresses they let report usage; consumers have credit.
Anyone may top up anyone. Nobody owns this contract, and its code cannot change.
Money: deposit -> credit -> (hold) -> earnings -> withdrawal. A hold pays the settlements of its one API only; where it
has a signer it is a session, which pays no more than that key has signed. Earnings under a promise wait some days,
in which the court that the promise names can freeze them and turn them back into credit.
Amounts are integer wei. Time is the transaction's, UTC: day_id = unix // 86400, month_id = year * 12 + month - 1.
A payable call with value never raises: what cannot be carried out is credited to its caller (DepositKept).
"""

import hashlib
import json
import re
import typing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from genlayer import *
from genlayer.py import calldata

DAY_SECONDS = 86_400
HISTORY_DAYS = 400
API_DAYS = 64
KEPT = 64  # requests of a ring, notices of a consumer, settlements of an API
MAX_HOLD_SECONDS = 366 * DAY_SECONDS
MAX_DISPUTE_SECONDS = 30 * DAY_SECONDS
MAX_ENTRIES = 256
MAX_VOUCHERS = 64  # entries with one, in a settlement
MAX_CHANNELS = 16  # of a session
MAX_PER_API = 64  # plans, meters, promises
MAX_PAGE = 100
MAX_WEI = 2**128 - 1
MAX_CALLS = 2**48 - 1  # what a day can count, and the limit of a plan that has none
STANDARD = "standard"
ZERO = Address(bytes(20))
NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
RECEIPT = re.compile(f"({NAME.pattern}):(0x[0-9a-f]{{40}})" + ":(0|[1-9][0-9]{0,14})" * 2 + "(?::([0-9a-f]{8}))?")
ROOT = re.compile("((0x)?[0-9a-fA-F]{64})?")
STATUS_URL = re.compile("(https://[!-~]{1,192})?")

# Vouchers are those of x402's batch settlement: EIP-712 in a domain that names no contract of ours.
VOUCHER_CONTRACT = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
# Keccak-256 of the types of domain (with its name and version), channel and voucher, as EIP-712 writes them
DOMAIN_TYPE = bytes.fromhex(
    "8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f"
    "e03c502b9066cc6f23a8f0f48ed32cb7d506f9f0a2d0055449f256846a770e9a"
    "c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6"
)
CHANNEL_TYPE = bytes.fromhex("1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308")
VOUCHER_TYPE = bytes.fromhex("1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69")
WITHDRAW_DELAY = 900  # x402 clients ask for one; a hold's expiry is what counts here
# secp256k1: y^2 = x^3 + 7 over the integers mod P, of order N
P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    1,
)

# A refusal reads "[EXPECTED] <code>: <text>", and no code is ever used for anything else. The first draft's texts stay;
# the text of all others is the code in words. What each means is in the contract reference.
TEXTS = {
    "api_name_required": "api_name is required",
    "cost_not_positive": "cost_per_call_wei must be positive",
    "daily_limit_not_positive": "daily_limit_calls must be positive",
    "max_spend_not_positive": "max_daily_spend_wei must be positive",
    "negative_deposit": "initial_deposit_wei cannot be negative",
    "amount_not_positive": "amount must be positive",
    "not_subscribed": "consumer not subscribed to api",
    "daily_limit_exceeded": "daily call limit exceeded",
    "daily_spend_exceeded": "max daily spend exceeded",
    "insufficient_credit": "insufficient prepaid credit",
}

# Events. At most three indexed fields, in alphabetical order: the library matches the arguments with the sorted names.


class ApiRegistered(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class ApiPlanChanged(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class ApiStatusChanged(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class OperatorChanged(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class EarningsWithdrawn(gl.Event):
    def __init__(self, operator: Address, /, **blob): ...


class UsageSettled(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class Subscribed(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class Unsubscribed(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class CreditToppedUp(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class DepositKept(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class CreditWithdrawn(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class CreditDepleted(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class HoldPlaced(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class HoldReleased(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class CallBilled(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class LimitExceeded(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class PromiseSet(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class EarningsCollected(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class EarningsFrozen(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class Refunded(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


# Records. Counters that a billed call changes together share one word, and a ring's word names its day:
#   day of a subscription:  day_id << 224 | calls with a receipt << 176 | settled calls << 128 | spend_wei
#   month:                  month_id << 224 | calls << 160 | spend_wei
#   day of an API:          day_id << 224 | days its earnings wait, 0: not (any more) << 216 | calls << 128 | earned_wei
#   channel:                signed_wei << 128 | billed_wei
#   kept request:           day_id << 224 | call_no << 176 | calls << 128 | cost_wei
#   schedule of promises:   of the last three: from_day << 8 | payout_days, the last in the low 40 bits


@allow_storage
@dataclass
class Plan:
    plan_name: str
    cost_per_call_wei: u256
    daily_limit_calls: u64  # 0: none
    monthly_limit_calls: u64  # 0: none
    changed_day: u32  # of the last change
    peak_price_wei: u256  # highest price of that day
    former_price_wei: u256  # highest price of the day before


@allow_storage
@dataclass
class Promise:
    from_day: u32
    court: Address  # zero: no promise from that day
    payout_days: u8
    max_refund_percent: u8
    terms: str
    status_url: str


@allow_storage
@dataclass
class Api:
    name: str
    operator_id: u32
    active: bool
    proposed_operator: Address
    plans: DynArray[Plan]  # the first is `standard`
    meters: TreeMap[Address, bool]
    subscribers: DynArray[Address]  # everybody who ever was one
    sequence: u64  # of the last settlement
    heads: DynArray[bytes]  # ring of settlements
    outcomes: DynArray[bytes]  # ring of their entries
    promises: DynArray[Promise]
    schedule: u256
    frozen_wei: u256
    days: Array[u256, Literal[64]]  # at day_id % 64


@allow_storage
@dataclass
class Operator:
    address: Address
    earnings_wei: u256
    withdrawn_wei: u256
    refunded_wei: u256
    api_ids: TreeMap[u32, bool]


@allow_storage
@dataclass
class Refund:
    """What went back, or may, of the money that a subscription paid on a day."""

    refunded_wei: u256
    frozen_wei: u256
    frozen_at: u64  # 0: never; the court has closed it when nothing is frozen


@allow_storage
@dataclass
class Requests:
    """The last 64 billed requests of one side."""

    digests: bytes  # how many there ever were, in 8 bytes, and a ring of digests of 16
    calls: Array[u256, Literal[128]]  # of each the word, and the credit after it


@allow_storage
@dataclass
class Subscription:
    active: bool
    plan_id: u32
    accepted_price_wei: u256
    accepted_day: u32
    max_daily_spend_wei: u256
    former_price_wei: u256  # the most that a call of the day before that could cost
    former_spend_wei: u256  # and the most that could be spent on it
    since_day: u32
    ended_day: u32
    hold_wei: u256
    hold_from_day: u32
    hold_expires_at: u64
    signer: Address  # of vouchers; zero: operator and meters bill without
    channels: TreeMap[u256, u256]  # by id, for ever
    session: DynArray[u256]  # ids of the channels billed since the hold began
    month: u256
    last_month: u256  # its last day may still be settled
    refunds: TreeMap[u32, Refund]  # by day_id
    own_requests: Requests
    other_requests: Requests  # of the operator and the meters
    days: Array[u256, Literal[400]]  # at day_id % 400


@allow_storage
@dataclass
class Account:
    credit_wei: u256  # free, without holds
    held_wei: u256
    topped_up_wei: u256  # credit and holds after the last top-up of its own, or a greater one after another's
    alert_percent: u8
    alerted: bool
    subscriptions: TreeMap[u32, Subscription]  # by API id
    notices: DynArray[bytes]  # ring
    notices_written: u64


class Nobody:
    """Stands for the account, subscription, earnings or refund of who has none, and for no promise."""

    credit_wei = held_wei = topped_up_wei = hold_wei = notices_written = earnings_wei = withdrawn_wei = 0
    plan_id = hold_from_day = hold_expires_at = ended_day = refunded_wei = frozen_wei = frozen_at = month = (
        last_month
    ) = 0
    alert_percent = 20
    alerted = active = False
    signer = court = ZERO
    digests = b""
    terms = status_url = ""
    payout_days = max_refund_percent = from_day = 0
    session = notices = ()
    days = (0,) * HISTORY_DAYS
    subscriptions = refunds = channels = api_ids = typing.cast(dict, {})


Nobody.own_requests = Nobody.other_requests = Nobody


class Usage(typing.NamedTuple):
    """What a subscription used on a day and in its month; `latest_month` is the word of the latest month with usage."""

    day_id: int
    receipts: int
    settled: int
    spend_wei: int
    month_id: int
    month_calls: int
    month_spend_wei: int
    latest_month: int


class Voucher(typing.NamedTuple):
    salt: bytes
    cumulative_wei: int
    signature: bytes


class Line(typing.NamedTuple):
    """An entry of a settlement."""

    consumer: Address
    day_id: int
    calls: int
    spend_wei: int
    voucher: Voucher | None
    close: bool


@dataclass
class Sums:
    """What a settlement comes to for a consumer: what was billed; of what was refused the first code, and the sums."""

    consumer: Address
    account: typing.Any
    billed_wei: int = 0
    code: str = ""
    refused_calls: int = 0
    refused_wei: int = 0


@gl.evm.contract_interface
class PlainAccount:
    class View:
        pass

    class Write:
        pass


# Arguments: nothing checks their types before the contract does.


def _fail(code: str, detail: str = "") -> typing.NoReturn:
    text = TEXTS.get(code, code.replace("_", " "))
    raise gl.vm.UserError(f"[EXPECTED] {code}: {text}{detail and f' ({detail})'}")


def _require(condition: bool, code: str) -> None:
    if not condition:
        _fail(code)


def _code_of(refusal: gl.vm.UserError) -> str:
    return refusal.message.split(" ", 1)[1].split(":", 1)[0]


def _int(
    value,
    field: str,
    too_low: str = "negative_number",
    low: int = 0,
    high: int = MAX_WEI,
    too_high: str = "number_too_large",
) -> int:
    if type(value) is not int:  # a bool is none
        _fail("bad_type", field)
    _require(value >= low, too_low)
    if value > high:
        _fail(too_high, field)
    return value


def _bool(value, field: str) -> bool:
    if type(value) is not bool:
        _fail("bad_type", field)
    return value


def _text(value, field: str) -> str:
    """Some clients turn digits into a number and 40 hex digits into an address: take both back."""
    if isinstance(value, Address):
        return _hex(value)
    if type(value) is int and 0 <= value < 10**64:
        return str(value)
    if not isinstance(value, str):
        _fail("bad_type", field)
    return value


def _name(value, field: str = "api_name") -> str:
    name = _text(value, field).strip().lower()
    if field == "api_name":
        _require(name != "", "api_name_required")
    if not NAME.fullmatch(name):
        _fail("bad_name", field)
    return name


def _address(value, field: str = "consumer_address") -> Address:
    if (isinstance(value, str) and ADDRESS.fullmatch(value)) or (isinstance(value, bytes) and len(value) == 20):
        value = Address(value)
    if not isinstance(value, Address) or value == ZERO:
        _fail("bad_address", field)
    return value


def _request_id(value) -> str:
    request_id = _text(value, "request_id")
    _require(0 < len(request_id) <= 64, "bad_request_id")
    return request_id


def _bytes(value, length: int) -> bytes:
    """Of a voucher: as they are, or in lower-case hex."""
    if isinstance(value, str) and re.fullmatch(f"0x[0-9a-f]{{{2 * length}}}", value):
        value = bytes.fromhex(value[2:])
    _require(isinstance(value, bytes) and len(value) == length, "bad_voucher")
    return value


def _voucher(value) -> Voucher | None:
    if value is None:
        return None
    _require(isinstance(value, dict) and set(value) == {"salt", "cumulative_wei", "signature"}, "bad_voucher")
    cumulative = _int(value["cumulative_wei"], "cumulative_wei", "bad_voucher")
    return Voucher(_bytes(value["salt"], 32), cumulative, _bytes(value["signature"], 65))


def _line(value) -> Line:
    needed = {"consumer", "day_id", "calls", "spend_wei"}
    if not isinstance(value, dict) or not needed <= set(value) <= needed | {"voucher", "close"}:
        _fail("bad_entry")
    consumer, day_id = _address(value["consumer"], "consumer"), _int(value["day_id"], "day_id")
    calls = _int(value["calls"], "calls", "bad_entry", 1, MAX_CALLS)
    voucher, close = _voucher(value.get("voucher")), _bool(value.get("close", False), "close")
    return Line(consumer, day_id, calls, _int(value["spend_wei"], "spend_wei"), voucher, close)


# The call: who makes it, and when. Events, rings.


def _caller() -> Address:
    return gl.message.sender_address


def _here() -> Address:
    return gl.message.contract_address


def _now() -> int:
    """Unix seconds of the transaction."""
    return int(datetime.fromisoformat(gl.message_raw["datetime"].replace("Z", "+00:00")).timestamp())


def _today() -> int:
    return _now() // DAY_SECONDS


def _month_of(day_id: int) -> int:
    day = datetime.fromtimestamp(day_id * DAY_SECONDS, UTC)
    return day.year * 12 + day.month - 1


def _hex(address: Address) -> str:
    return "0x" + address.as_bytes.hex()


def _hex_or_none(address: Address) -> str:
    return "" if address == ZERO else _hex(address)


def _announce(event: type[gl.Event], **fields) -> None:
    """Emit the event and print it, which is what Studio shows. API, consumer and operator are its indexed fields."""
    indexed = [key for key in ("api_name", "consumer", "operator") if key in fields]
    blob = {key: value for key, value in fields.items() if key not in indexed}
    event(*(fields[key] for key in indexed), **blob).emit()
    print(f"[{event.__name__}]", *(f"{k}={_hex(v) if isinstance(v, Address) else v}" for k, v in fields.items()))


def _keep(ring: DynArray[bytes], number: int, value) -> None:
    """Store entry `number` (counted from 0) of a ring of `KEPT`."""
    if number < KEPT:
        ring.append(calldata.encode(value))
    else:
        ring[number % KEPT] = calldata.encode(value)


def _kept(ring: DynArray[bytes], written: int, after, limit) -> list:
    """What a ring still has of its entries (numbered from 1) above `after`."""
    first = max(_int(after, "after"), written - KEPT)
    numbers = range(first, min(written, first + _int(limit, "limit")))
    return [calldata.decode(ring[number % KEPT]) for number in numbers]


def _page(items, offset, limit=MAX_PAGE) -> list:
    first, count = _int(offset, "offset"), min(_int(limit, "limit"), MAX_PAGE)
    return [items[i] for i in range(first, min(len(items), first + count))]


def _digest(request_id: str) -> bytes:
    return hashlib.sha256(request_id.encode()).digest()[:16] if request_id else b""


# Usage counters, holds, promises.


def _day_word(sub, day_id: int) -> int:
    word = sub.days[day_id % HISTORY_DAYS]
    return word if word >> 224 == day_id else 0


def _calls_of(word: int) -> int:
    """Of a subscription's day, with a receipt and settled."""
    return (word >> 176 & MAX_CALLS) + (word >> 128 & MAX_CALLS)


def _usage(sub, day_id: int) -> Usage:
    word, month_id = _day_word(sub, day_id), _month_of(day_id)
    latest = month = sub.month
    if latest >> 224 > month_id:
        month = sub.last_month
    if month >> 224 != month_id:
        month = 0
    day = word >> 176 & MAX_CALLS, word >> 128 & MAX_CALLS, word & MAX_WEI
    return Usage(day_id, *day, month_id, month >> 160 & 2**64 - 1, month & 2**160 - 1, latest)


def _count(sub, usage: Usage, receipts: int, settled: int, cost: int) -> None:
    """Add billed calls to the day and the month of `usage`."""
    calls = usage.receipts + receipts << 176 | usage.settled + settled << 128
    sub.days[usage.day_id % HISTORY_DAYS] = usage.day_id << 224 | calls | usage.spend_wei + cost
    calls = usage.month_calls + receipts + settled
    month = usage.month_id << 224 | calls << 160 | usage.month_spend_wei + cost
    if usage.month_id < usage.latest_month >> 224:
        sub.last_month = month
        return
    if usage.month_id > usage.latest_month >> 224:
        sub.last_month = usage.latest_month
    sub.month = month


def _affordable(calls: int, spend: int, limit: int) -> int:
    """The most of the calls whose share of the spend, spend * n // calls, stays within the limit."""
    if limit < 0:
        return 0
    return calls if spend <= limit else ((limit + 1) * calls - 1) // spend


def _in_force(sub) -> bool:
    return sub.hold_wei > 0 and _now() < sub.hold_expires_at


def _hold_on(sub, day_id: int) -> int:
    """What the hold can pay of that day: nothing from before it was placed or after it expired."""
    return sub.hold_wei if sub.hold_from_day <= day_id <= (sub.hold_expires_at - 1) // DAY_SECONDS else 0


def _payout_days(schedule: int, day_id: int) -> int:
    """How many days the earnings of today, of yesterday or of a day ahead wait; 0: there is no promise."""
    while schedule >> 8 & 2**32 - 1 > day_id:
        schedule >>= 40
    return schedule & 255


def _waits(word: int) -> int:
    return word >> 216 & 255


# Signatures: all that a strict verifier asks for, since what one side takes the other must take too.


def _keccak(data: bytes) -> bytes:
    return Keccak256(data).digest()


def _struct(*words: bytes) -> bytes:
    """EIP-712's hash of a struct: type hash and values, each in 32 bytes."""
    return _keccak(b"".join(word.rjust(32, b"\0") for word in words))


def _add(a, b):
    """Sum of two points of secp256k1 in Jacobian coordinates (x / z^2, y / z^3); None is infinity."""
    if a is None or b is None:
        return a or b
    (x1, y1, z1), (x2, y2, z2) = a, b
    square1, square2 = z1 * z1 % P, z2 * z2 % P
    u1, s1 = x1 * square2 % P, y1 * square2 * z2 % P
    h, r = (x2 * square1 - u1) % P, (y2 * square1 * z1 - s1) % P
    if h == 0:
        return None if r else _double(a)
    square = h * h % P
    cube, v = h * square % P, u1 * square % P
    x = (r * r - cube - 2 * v) % P
    return x, (r * (v - x) - s1 * cube) % P, h * z1 * z2 % P


def _double(point):
    if point is None:
        return None
    x, y, z = point
    square = y * y % P
    s, m = 4 * x * square % P, 3 * x * x
    double = (m * m - 2 * s) % P
    return double, (m * (s - double) - 8 * square * square) % P, 2 * y * z % P


def _recover(digest: bytes, signature: bytes) -> Address | None:
    """Who signed; None for what is not 65 bytes r, s, v with s in the lower half and v 27 or 28."""
    r, s, odd = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64] - 27
    square = (r**3 + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if not (0 < r < N and 0 < s <= N // 2 and odd in (0, 1)) or y * y % P != square:
        return None
    point = r, y if y % 2 == odd else P - y, 1
    inverse = pow(r, -1, N)
    times_g, times_r = -int.from_bytes(digest) * inverse % N, s * inverse % N
    both, total = _add(G, point), None
    for bit in range(255, -1, -1):
        total = _double(total)
        choice = times_g >> bit & 1 | times_r >> bit << 1 & 2
        if choice:
            total = _add(total, (G, point, both)[choice - 1])
    if total is None:
        return None
    x, y, z = total
    inverse = pow(z, -1, P)
    x, y = x * inverse**2 % P, y * inverse**3 % P
    return Address(_keccak(x.to_bytes(32) + y.to_bytes(32))[12:])


class ApiUsageBilling(gl.Contract):
    # wei; the free credit of all consumers is deposited - withdrawn - held - earnings
    deposited_wei: u256
    withdrawn_wei: u256
    held_wei: u256
    earnings_wei: u256  # of all operators, with what still waits or is frozen
    refunded_wei: u256
    instance: bytes  # tells this contract from one that had its address before a chain was reset
    # operators
    apis: DynArray[Api]
    api_ids: TreeMap[str, u32]
    operators: DynArray[Operator]
    operator_ids: TreeMap[Address, u32]
    # consumers, the only map that grows with them
    accounts: TreeMap[Address, Account]

    def __init__(self):
        contract, deployer = _here(), _caller()
        self.instance = _keccak(contract.as_bytes + deployer.as_bytes + _now().to_bytes(8))

    # ---- operator ----

    @gl.public.write
    def register_api(
        self, api_name: str, cost_per_call_wei: int, daily_limit_calls: int, monthly_limit_calls: int = 0
    ) -> None:
        """Register an API with the plan `standard`, or change that plan.

        Caller: anyone for a free name, then its operator. Emits: ApiRegistered or ApiPlanChanged.
        Fails: cost_not_positive, daily_limit_not_positive, not_operator
        """
        name = _name(api_name)
        codes = "cost_not_positive", "daily_limit_not_positive"
        limits = self._plan(STANDARD, cost_per_call_wei, daily_limit_calls, monthly_limit_calls, 1, codes)
        if name in self.api_ids:
            self._change_plan(self._operated(name), limits)
            return
        caller, api_id = _caller(), len(self.apis)
        self.api_ids[name] = api_id
        api = self.apis.append_new_get()
        api.name, api.active = name, True
        self._hand_over(api_id, api, caller)
        self._change_plan(api, limits, ApiRegistered)

    @gl.public.write
    def set_plan(
        self, api_name: str, plan_name: str, cost_per_call_wei: int, daily_limit_calls: int, monthly_limit_calls: int
    ) -> None:
        """Add or change a plan; a limit of 0 is none. Limits apply at once, a higher price to who accepts it.

        Caller: operator. Emits: ApiPlanChanged. Fails: free_plan_without_limit, not_operator, too_many_plans
        """
        name = _name(api_name)
        limits = self._plan(plan_name, cost_per_call_wei, daily_limit_calls, monthly_limit_calls)
        self._change_plan(self._operated(name), limits)

    @gl.public.write
    def set_api_active(self, api_name: str, active: bool) -> None:
        """Pause or resume billing; past usage can be settled all the same.

        Caller: operator. Emits: ApiStatusChanged. Fails: not_operator
        """
        name, active = _name(api_name), _bool(active, "active")
        self._operated(name).active = active
        _announce(ApiStatusChanged, api_name=name, operator=_caller(), active=active)

    @gl.public.write
    def set_meter(self, api_name: str, meter: str, allowed: bool) -> None:
        """Allow an address to report usage of the API, or forbid it. It cannot move money.

        Caller: operator. Fails: bad_address, not_operator, too_many_meters
        """
        name, meter, allowed = _name(api_name), _address(meter, "meter"), _bool(allowed, "allowed")
        meters = self._operated(name).meters
        if allowed:
            _require(len(meters) < MAX_PER_API or meter in meters, "too_many_meters")
            meters[meter] = True
        else:
            meters.pop(meter, None)

    @gl.public.write
    def propose_operator(self, api_name: str, operator: str) -> None:
        """Offer the API to somebody, who has to accept; a later offer replaces it.

        Caller: operator. Fails: bad_address, not_operator
        """
        name, proposed = _name(api_name), _address(operator, "operator")
        self._operated(name).proposed_operator = proposed

    @gl.public.write
    def accept_operator(self, api_name: str) -> None:
        """Take over an API; earlier earnings stay with the former operator, its meters end, vouchers to it are void.

        Caller: the proposed operator. Emits: OperatorChanged. Fails: not_proposed, promise_in_force
        """
        name, caller = _name(api_name), _caller()
        api_id, api = self._api(name)
        _require(api.proposed_operator == caller, "not_proposed")
        schedule, today = api.schedule, _today()
        promised = schedule & 255 or _payout_days(schedule, today) or _payout_days(schedule, today - 1)
        _require(not (promised or api.frozen_wei or self._pending(api)), "promise_in_force")
        former = self._operator(api)
        former.api_ids.pop(api_id)
        self._hand_over(api_id, api, caller)
        api.proposed_operator = ZERO
        api.meters.clear()
        _announce(OperatorChanged, api_name=name, operator=caller, former_operator=former.address)

    @gl.public.write
    def withdraw_earnings(self, amount: int, to: str = "") -> None:
        """Pay earnings once final: to the account `to`, else to the caller.

        Caller: operator. Emits: EarningsWithdrawn. Fails: amount_not_positive, bad_address, insufficient_earnings
        """
        amount, caller, payee = self._payout(amount, to)
        operator = self._earner(caller)
        _require(amount <= operator.earnings_wei, "insufficient_earnings")
        operator.earnings_wei -= amount
        operator.withdrawn_wei += amount
        self.earnings_wei -= amount
        self._pay(payee, amount)
        paid = {"amount_wei": amount, "earnings_wei": operator.earnings_wei, "to": payee or caller}
        _announce(EarningsWithdrawn, operator=caller, **paid)

    @gl.public.write
    def collect_earnings(self, api_name: str) -> dict:
        """Move the earnings of days that have matured to what the operator can withdraw.

        Caller: anyone. Emits: EarningsCollected
        """
        name, today = _name(api_name), _today()
        _, api = self._api(name)
        collected = through = 0
        for place, word in enumerate(api.days):
            day_id, waits = word >> 224, _waits(word)
            if waits and day_id + waits < today:
                api.days[place] = word - (waits << 216)
                collected, through = collected + (word & MAX_WEI), max(through, day_id)
        operator, what = self._operator(api), {"collected_wei": collected, "collected_through": through}
        operator.earnings_wei += collected
        if through:
            _announce(EarningsCollected, api_name=name, operator=operator.address, **what)
        return {"api_name": name, **what}

    @gl.public.write
    def set_promise(
        self,
        api_name: str,
        court: str,
        payout_days: int,
        max_refund_percent: int,
        terms: str,
        status_url: str = "",
    ) -> None:
        """Promise that earnings of a day wait 3 to 14 days, in which the contract `court` can give back up to so many
        percent of what a consumer paid. In force from tomorrow, a change as many days later as the present promise
        has; `court` "" ends it.

        Caller: operator. Emits: PromiseSet. Fails: bad_promise, promise_pending, too_many_promises
        """
        name, court = _name(api_name), ZERO if court == "" else _address(court, "court")
        if court == ZERO:
            payout_days, max_refund_percent, terms, status_url = 0, 0, "", ""
        else:
            _int(payout_days, "payout_days", "bad_promise", 3, 14, "bad_promise")
            _int(max_refund_percent, "max_refund_percent", "bad_promise", 1, 100, "bad_promise")
            terms, status_url = _text(terms, "terms"), _text(status_url, "status_url")
            _require(court != _here(), "bad_address")
            _require(len(terms) <= 2_000 and STATUS_URL.fullmatch(status_url) is not None, "bad_promise")
        api, today = self._operated(name), _today()
        promises = api.promises
        _require(len(promises) == 0 or promises[-1].from_day <= today, "promise_pending")
        _require(court == ZERO or len(promises) < MAX_PER_API, "too_many_promises")  # the last one can be ended
        from_day = today + 1 + _payout_days(api.schedule, today)
        promises.append(Promise(from_day, court, payout_days, max_refund_percent, terms, status_url))
        api.schedule = (api.schedule << 40 | from_day << 8 | payout_days) & 2**120 - 1
        what = {"payout_days": payout_days, "max_refund_percent": max_refund_percent, "from_day": from_day}
        _announce(PromiseSet, api_name=name, operator=_caller(), court=court, **what)

    @gl.public.write
    def refund(self, api_name: str, consumer_address: str, amount: int, reason: str = "", day_id: int = 0) -> None:
        """Give earnings back to a consumer's credit: withdrawable ones, or of a day whose earnings still wait.

        Caller: operator. Emits: Refunded. Fails: amount_not_positive, bad_reason, not_operator, not_subscribed,
        insufficient_earnings, day_not_pending, already_frozen, refund_above_paid
        """
        name, consumer = _name(api_name), _address(consumer_address)
        amount, day_id = _int(amount, "amount", "amount_not_positive", 1), _int(day_id, "day_id")
        reason = _text(reason, "reason")
        _require(len(reason) <= 200 and reason.isprintable(), "bad_reason")  # it is printed on a line
        api = self._operated(name)
        account, sub = self._known(consumer, self.api_ids[name])
        _require(sub is not Nobody, "not_subscribed")
        if day_id:
            _require(self._waiting(api, day_id), "day_not_pending")
            kept = sub.refunds.get(day_id, Nobody)
            _require(kept.frozen_at == 0, "already_frozen")
            _require(amount <= self._left(sub, kept, day_id), "refund_above_paid")
            sub.refunds.get_or_insert_default(day_id).refunded_wei += amount
            api.days[day_id % API_DAYS] -= amount
        else:
            operator = self._operator(api)
            _require(amount <= operator.earnings_wei, "insufficient_earnings")
            operator.earnings_wei -= amount
        self._give_back(name, consumer, api, account, amount, day_id, reason)

    # ---- court ----

    @gl.public.write
    def freeze_by_court(self, api_name: str, consumer_address: str, day_id: int) -> None:
        """Keep back what a consumer paid on a day, once: earnings that can no longer mature.

        Caller: the court promised for that day. Emits: EarningsFrozen.
        Fails: not_court, day_open, day_not_pending, already_frozen, nothing_paid
        """
        name, consumer, day_id = _name(api_name), _address(consumer_address), _int(day_id, "day_id")
        api_id, api = self._api(name)
        _require(self._promise(api, day_id).court == _caller(), "not_court")
        _require(_today() - day_id >= 2, "day_open")
        _require(self._disputable(api, day_id), "day_not_pending")
        _, sub = self._known(consumer, api_id)
        kept = sub.refunds.get(day_id, Nobody)
        _require(kept.frozen_at == 0, "already_frozen")
        amount = self._left(sub, kept, day_id)
        _require(amount > 0, "nothing_paid")
        kept = sub.refunds.get_or_insert_default(day_id)
        kept.frozen_wei, kept.frozen_at = amount, _now()
        api.frozen_wei += amount
        api.days[day_id % API_DAYS] -= amount
        _announce(EarningsFrozen, api_name=name, consumer=consumer, day_id=day_id, amount_wei=amount)

    @gl.public.write
    def refund_by_court(self, api_name: str, consumer_address: str, day_id: int, amount: int) -> None:
        """Close what the court froze: `amount` is the consumer's again, the rest the operator's.

        Caller: the same court; 30 days later anyone, with 0. Emits: Refunded.
        Fails: not_frozen, not_court, refund_above_paid
        """
        name, consumer, day_id = _name(api_name), _address(consumer_address), _int(day_id, "day_id")
        amount = _int(amount, "amount")
        api_id, api = self._api(name)
        account, sub = self._known(consumer, api_id)
        kept = sub.refunds.get(day_id, Nobody)
        frozen = kept.frozen_wei
        _require(frozen > 0, "not_frozen")
        late, promise = amount == 0 and _now() >= kept.frozen_at + MAX_DISPUTE_SECONDS, self._promise(api, day_id)
        _require(late or promise.court == _caller(), "not_court")
        refunded = kept.refunded_wei + amount
        most = (_day_word(sub, day_id) & MAX_WEI) * promise.max_refund_percent // 100
        _require(amount <= frozen and (amount == 0 or refunded <= most), "refund_above_paid")
        kept.frozen_wei, kept.refunded_wei = 0, refunded
        api.frozen_wei -= frozen
        self._operator(api).earnings_wei += frozen - amount
        self._give_back(name, consumer, api, account, amount, day_id, "court")

    # ---- consumer ----

    @gl.public.write.payable
    def subscribe(
        self,
        api_name: str,
        max_daily_spend_wei: int,
        initial_deposit_wei: int,
        plan_name: str = STANDARD,
        max_price_wei: int = 0,
    ) -> dict:
        """Subscribe, or change plan and cap; accepts the present price, up to `max_price_wei` unless that is 0. A hold
        forbids a lower cap or another plan.

        Caller: consumer. Value: initial_deposit_wei. Emits: CreditToppedUp, Subscribed or DepositKept.
        Fails: max_spend_not_positive, negative_deposit, value_mismatch, plan_not_found, price_above_max, hold_in_force
        """
        caller, value = _caller(), gl.message.value
        try:
            terms = self._terms(caller, api_name, max_daily_spend_wei, plan_name, max_price_wei)
            deposit = _int(initial_deposit_wei, "initial_deposit_wei", "negative_deposit")
            _require(deposit == value, "value_mismatch")
        except gl.vm.UserError as refusal:
            return self._keep_deposit(refusal)
        account = self._deposit(caller, value) if value else self._account(caller)
        accepted = self._accepted(terms[1], self._subscribe(caller, account, *terms))
        return {"ok": True, "credited_wei": value, "credit_wei": account.credit_wei, **accepted}

    @gl.public.write
    def unsubscribe(self, api_name: str) -> None:
        """End the subscription. A hold in force stays, for usage that is still to be settled.

        Caller: consumer. Emits: Unsubscribed, HoldReleased. Fails: not_subscribed
        """
        name, caller = _name(api_name), _caller()
        account, sub = self._known(caller, self._api(name)[0])
        _require(sub.active, "not_subscribed")
        sub.active, sub.ended_day = False, _today()
        _announce(Unsubscribed, api_name=name, consumer=caller, hold_wei=sub.hold_wei)
        if not _in_force(sub):
            self._release(name, caller, account, sub)

    @gl.public.write.payable
    def top_up_credit(self, amount: int) -> dict:
        """Add the value of the call to the caller's credit.

        Value: amount. Emits: CreditToppedUp or DepositKept. Fails: amount_not_positive, value_mismatch
        """
        return self._top_up(_caller(), amount)

    @gl.public.write.payable
    def top_up_for(self, consumer_address: str, amount: int) -> dict:
        """Add the value of the call to anyone's credit.

        Value: amount. Emits: CreditToppedUp or DepositKept. Fails: bad_address, amount_not_positive, value_mismatch
        """
        return self._top_up(consumer_address, amount)

    @gl.public.write
    def withdraw_credit(self, amount: int, to: str = "") -> None:
        """Pay free credit back once final: to the account `to`, else to the caller.

        Caller: consumer. Emits: CreditWithdrawn, CreditDepleted.
        Fails: amount_not_positive, bad_address, insufficient_credit
        """
        amount, caller, payee = self._payout(amount, to)
        account, _ = self._known(caller)
        credit = account.credit_wei - amount
        _require(credit >= 0, "insufficient_credit")
        account.credit_wei = credit
        self._pay(payee, amount)
        _announce(CreditWithdrawn, consumer=caller, amount_wei=amount, credit_wei=credit, to=payee or caller)
        self._alert(caller, account, credit, "")

    @gl.public.write
    def set_low_credit_alert(self, percent: int) -> None:
        """Choose at which percentage of the credit after the last top-up CreditDepleted goes out; 0: never.

        Caller: consumer. Fails: bad_percent
        """
        percent = _int(percent, "percent", "bad_percent", 0, 100, "bad_percent")
        account = self._account(_caller())
        account.alert_percent = percent
        self._arm(account)

    @gl.public.write
    def place_hold(self, api_name: str, amount: int, expires_at: int, signer: str = "") -> None:
        """Set `amount` more credit aside for the settlements of one API until unix time `expires_at`; 0 only prolongs.
        With a key's address as `signer`: a session, billed by vouchers of that key; "plain" ends that, "" leaves it.

        Caller: consumer. Emits: HoldPlaced, HoldReleased. Fails: bad_expiry, not_subscribed, amount_not_positive,
        hold_not_shortened, hold_in_force, insufficient_credit
        """
        name, caller = _name(api_name), _caller()
        account, sub = self._known(caller, self._api(name)[0])
        _require(sub.active, "not_subscribed")
        hold = self._hold_terms(sub, amount, expires_at, signer, account.credit_wei)
        self._place(name, caller, account, sub, *hold)

    @gl.public.write.payable
    def open_session(
        self,
        api_name: str,
        max_daily_spend_wei: int,
        amount: int,
        expires_at: int,
        signer: str,
        plan_name: str = STANDARD,
        max_price_wei: int = 0,
    ) -> dict:
        """Subscribe, unless the caller has, and place a hold with a signer; or add to one. The value is credit first.

        Caller: consumer. Value: any. Emits: CreditToppedUp, Subscribed, HoldPlaced or DepositKept.
        Fails: with the codes of subscribe and place_hold
        """
        caller, value = _caller(), gl.message.value
        try:
            name = _name(api_name)
            api_id, api = self._api(name)
            account, sub = self._known(caller, api_id)
            terms = None if sub.active else self._terms(caller, name, max_daily_spend_wei, plan_name, max_price_wei)
            hold = self._hold_terms(sub, amount, expires_at, signer, account.credit_wei + value)
        except gl.vm.UserError as refusal:
            return self._keep_deposit(refusal)
        account = self._deposit(caller, value) if value else self._account(caller)
        if terms:
            sub = self._subscribe(caller, account, *terms)
        held = self._place(name, caller, account, sub, *hold)
        return {"ok": True, "credited_wei": value, **self._accepted(api, sub), **held}

    @gl.public.write
    def release_hold(self, api_name: str, consumer_address: str = "") -> None:
        """Turn what is left of a hold into free credit.

        Caller: the consumer after expiry; the operator, naming the consumer, at any time. Emits: HoldReleased.
        Fails: not_operator, no_hold, hold_in_force
        """
        name, caller = _name(api_name), _caller()
        consumer = caller if consumer_address == "" else _address(consumer_address)
        api_id, api = self._api(name)
        is_operator = self._operator(api).address == caller
        _require(consumer == caller or is_operator, "not_operator")
        account, sub = self._known(consumer, api_id)
        _require(sub.hold_wei > 0, "no_hold")
        _require(is_operator or not _in_force(sub), "hold_in_force")
        self._release(name, consumer, account, sub)

    # ---- billing ----

    @gl.public.write
    def consume_credit(self, api_name: str, consumer_address: str, calls: int = 1, request_id: str = "") -> dict:
        """Bill calls from free credit and return the receipt; the same request_id again bills nothing.

        Caller: the consumer, the operator or a meter. Emits: CallBilled, CreditDepleted.
        Fails: calls_not_positive, bad_request_id, not_authorized, request_mismatch, session_only, and with the codes of
        quote_call
        """
        name, consumer = _name(api_name), _address(consumer_address)
        calls = _int(calls, "calls", "calls_not_positive", 1, MAX_CALLS)
        request_id = request_id if request_id == "" else _request_id(request_id)
        api_id, api = self._api(name)
        own = consumer == _caller()
        _require(own or self._may_report(api), "not_authorized")
        account, sub = self._known(consumer, api_id)
        requests = sub.own_requests if own else sub.other_requests
        code, receipt = self._recall(name, consumer, requests, request_id, calls)
        if code == "" and receipt is None:
            _require(own or sub.signer == ZERO, "session_only")
            code, receipt = self._charge(name, consumer, api, account, sub, calls, requests, request_id)
        if code:
            _fail(code)
        return receipt

    @gl.public.write
    def request_call(self, api_name: str, request_id: str) -> dict:
        """Bill one call of the calling contract and call it back, once accepted, on_call_billed(request_id, receipt) or
        on_call_denied(request_id, code). A billed request_id again bills nothing and sends the same answer; a denied
        one may be billed the next time.

        Caller: a contract. Emits: CallBilled, CreditDepleted, LimitExceeded. Fails: bad_request_id, caller_not_contract
        """
        caller, request_id = _caller(), _request_id(request_id)
        _require(caller != gl.message.origin_address, "caller_not_contract")
        account, name, receipt = self._account(caller), "", None
        try:
            name = _name(api_name)
            api_id, api = self._api(name)
        except gl.vm.UserError as refusal:
            code = _code_of(refusal)
        else:
            sub = account.subscriptions.get(api_id, Nobody)
            requests = sub.own_requests
            code, receipt = self._recall(name, caller, requests, request_id, 1)
            if code == "" and receipt is None:
                code, receipt = self._charge(name, caller, api, account, sub, 1, requests, request_id)
        callback = gl.get_contract_at(caller).emit(on="accepted")
        if code:
            self._refuse("limit", caller, account, name, code, 1, 0)
            callback.on_call_denied(request_id, code)
        else:
            callback.on_call_billed(request_id, receipt)
        return {"code": code, "receipt": receipt}

    @gl.public.write
    def settle_usage(self, api_name: str, sequence: int, entries: list, usage_root: str = "") -> dict:
        """Bill, as far as they fit, 1 to 256 entries {consumer, day_id, calls, spend_wei} of today or yesterday; in a
        session with `voucher`: {salt, cumulative_wei, signature}, and `close` to release what is left of the hold.
        usage_root: Merkle root of the usage lines. Caller: operator or meter. Emits: UsageSettled, LimitExceeded.

        Fails: too_many_entries, too_many_vouchers, bad_entry, bad_voucher, bad_usage_root, not_authorized,
        sequence_gap, sequence_forgotten, sequence_mismatch
        """
        name, sequence = _name(api_name), _int(sequence, "sequence", high=2**64 - 1)
        root = usage_root.hex() if isinstance(usage_root, bytes) else usage_root
        _require(isinstance(root, str) and ROOT.fullmatch(root) is not None, "bad_usage_root")
        if not isinstance(entries, list):
            _fail("bad_type", "entries")
        _require(0 < len(entries) <= MAX_ENTRIES, "too_many_entries")
        lines = [_line(entry) for entry in entries]
        vouchers = sum(line.voucher is not None for line in lines)
        _require(vouchers <= MAX_VOUCHERS, "too_many_vouchers")
        root = root.removeprefix("0x").lower()
        content = [[*line._replace(voucher=line.voucher.salt if line.voucher else None)] for line in lines]
        digest = hashlib.sha256(calldata.encode([root, *content])).digest()
        api_id, api = self._api(name)
        _require(self._may_report(api), "not_authorized")
        if 0 < sequence <= api.sequence:
            kept, outcome = self._settlement(api, sequence)
            _require(kept == digest, "sequence_mismatch")
            return outcome
        _require(sequence == api.sequence + 1, "sequence_gap")
        seal = self._seal(name, api) if vouchers else None
        earned, consumers = {}, {}
        outcomes = [self._settle(name, api_id, api, line, seal, earned, consumers) for line in lines]
        for day_id, (calls, amount) in earned.items():
            self._earn(api, day_id, calls, amount)
        for each in consumers.values():
            consumer, account, code = each.consumer, each.account, each.code
            if code:
                self._refuse("settlement", consumer, account, name, code, each.refused_calls, each.refused_wei)
            elif each.billed_wei:  # one notice a batch: low credit is told with the next
                self._alert(consumer, account, account.credit_wei, name)
        head = {"api_name": name, "sequence": sequence, "usage_root": root}
        for key in ("billed_calls", "billed_wei"):
            head[key] = sum(outcome[key] for outcome in outcomes)
        head["refused_entries"] = sum(outcome["code"] != "" for outcome in outcomes)
        _announce(UsageSettled, operator=self._operator(api).address, **head)
        head["settled_at"] = _now()
        _keep(api.heads, sequence - 1, {"digest": digest, **head})
        _keep(api.outcomes, sequence - 1, outcomes)
        api.sequence = sequence
        return {**head, "entries": outcomes}

    # ---- views ----

    @gl.public.view
    def get_usage_report(self, consumer_address: str, offset: int = 0, limit: int = MAX_PAGE) -> str:
        """JSON: everything a dashboard shows of a consumer, at most 100 subscriptions at a time."""
        consumer, today = _address(consumer_address), _today()
        account, _ = self._known(consumer)
        month = _month_of(today) + 1
        month_end = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        report = {
            "consumer": _hex(consumer),
            "day_id": today,
            "credit_balance_wei": account.credit_wei,
            "held_wei": account.held_wei,
            "low_credit": account.alerted,
            "notices": account.notices_written,
            "resets_at": (today + 1) * DAY_SECONDS,
            "month_resets_at": int(month_end.timestamp()),
            "total": len(account.subscriptions),
            "apis": [
                self._report_line(self.apis[i], sub, today)
                for i, sub in _page([*account.subscriptions.items()], offset, limit)
            ],
        }
        return json.dumps(report)

    @gl.public.view
    def get_api(self, api_name: str) -> dict:
        """An API with its plans and meters, what vouchers for it name, and the promise in force."""
        name = _name(api_name)
        _, api = self._api(name)
        promise = self._promise(api, _today())
        return {
            **self._api_view(api),
            "chain_id": gl.message.chain_id,
            "asset": _hex(Address(self._asset(name))),
            "voucher_domain": {
                "name": "x402 Batch Settlement",
                "version": "1",
                "chainId": gl.message.chain_id,
                "verifyingContract": VOUCHER_CONTRACT,
            },
            "promise": None if promise.court == ZERO else self._promise_view(promise),
        }

    @gl.public.view
    def get_promise(self, api_name: str, day_id: int = 0) -> dict:
        """What an API promises for a day, 0: today; and the day from which another promise follows, 0: none."""
        name, day_id = _name(api_name), _int(day_id, "day_id") or _today()
        _, api = self._api(name)
        promise, changes = self._promise(api, day_id), [each.from_day for each in api.promises]
        return {
            "api_name": name,
            "day_id": day_id,
            **self._promise_view(promise),
            "terms": promise.terms,
            "status_url": promise.status_url,
            "next_from_day": min([day for day in changes if day > day_id], default=0),
        }

    @gl.public.view
    def list_apis(self, offset: int = 0, limit: int = MAX_PAGE) -> dict:
        """APIs in the order of registration, at most 100 at a time."""
        return {"total": len(self.apis), "apis": [self._api_view(api) for api in _page(self.apis, offset, limit)]}

    @gl.public.view
    def get_account(self, consumer_address: str) -> dict:
        """Credit, holds and alert level of a consumer."""
        consumer = _address(consumer_address)
        account, _ = self._known(consumer)
        return {
            "consumer": _hex(consumer),
            "credit_wei": account.credit_wei,
            "held_wei": account.held_wei,
            "topped_up_wei": account.topped_up_wei,
            "alert_percent": account.alert_percent,
            "low_credit": account.alerted,
            "subscriptions": [self.apis[i].name for i, sub in account.subscriptions.items() if sub.active],
        }

    @gl.public.view
    def get_session(self, consumer_address: str, api_name: str, channel_id: str = "") -> dict:
        """A consumer's hold on an API, its signer, what was signed and billed of each channel that it paid, or of one
        named here, which an earlier hold may have paid. Fails: bad_voucher
        """
        consumer, name = _address(consumer_address), _name(api_name)
        _, sub = self._known(consumer, self._api(name)[0])
        ids = sub.session if channel_id == "" else [int.from_bytes(_bytes(channel_id, 32))]
        return {
            "consumer": _hex(consumer),
            "api_name": name,
            "signer": _hex_or_none(sub.signer),
            "hold_wei": sub.hold_wei,
            "hold_expires_at": sub.hold_expires_at,
            "hold_from_day": sub.hold_from_day,
            "in_force": _in_force(sub),
            "channels": [
                {"channel_id": f"0x{each:064x}", "signed_wei": word >> 128, "billed_wei": word & MAX_WEI}
                for each, word in [(each, sub.channels.get(each, 0)) for each in ids]
            ],
        }

    @gl.public.view
    def get_usage_history(
        self, consumer_address: str, api_name: str, from_day: int, to_day: int, offset: int = 0
    ) -> list:
        """The days with usage from `from_day` to `to_day`, of the last 400. With `api_name` "" at most 31 days, of 100
        subscriptions from `offset`. Fails: bad_range
        """
        consumer, today = _address(consumer_address), _today()
        first, last = _int(from_day, "from_day"), _int(to_day, "to_day")
        _require(first <= last and (api_name != "" or last - first < 31), "bad_range")
        account, _ = self._known(consumer)
        if api_name == "":
            pairs = _page([*account.subscriptions.items()], offset)
        else:
            api_id, _ = self._api(_name(api_name))
            pairs = [(api_id, account.subscriptions.get(api_id, Nobody))]
        history = []
        for api_id, sub in pairs:
            name = self.apis[api_id].name
            for day_id in range(max(first, today - HISTORY_DAYS + 1), min(last, today) + 1):
                word = _day_word(sub, day_id)
                if word:
                    usage = {"calls": _calls_of(word), "spend_wei": word & MAX_WEI}
                    history.append({"api_name": name, "day_id": day_id, **usage})
        return history

    @gl.public.view
    def get_paid_day(self, api_name: str, consumer_address: str, day_id: int) -> dict:
        """What a consumer paid on a day and what became of it. `pending`: its earnings wait, and are not frozen;
        `frozen_at`: 0 when a court never did; with nothing frozen it has closed it.
        """
        consumer, name, day_id = _address(consumer_address), _name(api_name), _int(day_id, "day_id")
        api_id, api = self._api(name)
        _, sub = self._known(consumer, api_id)
        word, kept = _day_word(sub, day_id), sub.refunds.get(day_id, Nobody)
        return {
            "api_name": name,
            "consumer": _hex(consumer),
            "day_id": day_id,
            "calls": _calls_of(word),
            "paid_wei": word & MAX_WEI,
            "refunded_wei": kept.refunded_wei,
            "frozen_wei": kept.frozen_wei,
            "frozen_at": kept.frozen_at,
            "pending": kept.frozen_at == 0 and self._disputable(api, day_id),
        }

    @gl.public.view
    def quote_call(self, api_name: str, consumer_address: str, calls: int = 1) -> dict:
        """What consume_credit would do now if the consumer called it. Codes: api_paused, not_subscribed, price_changed,
        daily_limit_exceeded, monthly_limit_exceeded, daily_spend_exceeded, insufficient_credit.
        Fails: calls_not_positive
        """
        name, consumer = _name(api_name), _address(consumer_address)
        calls = _int(calls, "calls", "calls_not_positive", 1, MAX_CALLS)
        api_id, api = self._api(name)
        account, sub = self._known(consumer, api_id)
        credit = account.credit_wei
        code, cost, _ = self._quote(api, credit, sub, calls)
        return {"allowed": code == "", "code": code, "cost_wei": cost, "credit_wei": credit}

    @gl.public.view
    def get_receipt(self, receipt_id: str) -> dict:
        """Whether the consumer was billed that call with a receipt; `remembered`: its request is among the last 64, and
        decides. Fails: bad_receipt_id
        """
        receipt = RECEIPT.fullmatch(_text(receipt_id, "receipt_id"))
        if receipt is None:
            _fail("bad_receipt_id")
        name, consumer, day_id, call_no = receipt[1], receipt[2], int(receipt[3]), int(receipt[4])
        _, sub = self._known(Address(consumer), self.api_ids.get(name, -1))
        valid, remembered = 1 <= call_no <= _day_word(sub, day_id) >> 176 & MAX_CALLS, False
        for requests in (sub.own_requests, sub.other_requests):
            digests = requests.digests
            for place in range((len(digests) - 8) // 16 if valid else 0):
                if receipt[5] and requests.calls[2 * place] >> 176 == day_id << 48 | call_no:
                    at = 8 + 16 * place
                    valid, remembered = digests[at : at + 4].hex() == receipt[5], True
        call = {"api_name": name, "consumer": consumer, "day_id": day_id, "call_no": call_no}
        return {"receipt_id": receipt[0], "valid": valid, "remembered": remembered, **call}

    @gl.public.view
    def get_earnings(self, operator_address: str, offset: int = 0) -> dict:
        """What an operator can withdraw, has withdrawn and given back, and of at most 100 of its APIs from `offset`
        what waits or is frozen.
        """
        address = _address(operator_address, "operator_address")
        operator = self._earner(address)
        apis = [self.apis[api_id] for api_id in _page([*operator.api_ids], offset)]
        return {
            "operator": _hex(address),
            "earnings_wei": operator.earnings_wei,
            "withdrawn_wei": operator.withdrawn_wei,
            "refunded_wei": operator.refunded_wei,
            "apis": [
                {"api_name": api.name, "pending_wei": self._pending(api), "frozen_wei": api.frozen_wei}
                for api in apis
                if api.schedule
            ],
        }

    @gl.public.view
    def get_api_days(self, api_name: str) -> list:
        """The last 64 days of an API: calls, what was earned less refunds and what is or was frozen, and for how many
        days that waits (0: it does not, or has been collected).
        """
        _, api = self._api(_name(api_name))
        first = _today() - API_DAYS
        return [
            {
                "day_id": word >> 224,
                "calls": word >> 128 & 2**88 - 1,
                "earned_wei": word & MAX_WEI,
                "payout_days": _waits(word),
            }
            for word in sorted(api.days)
            if word >> 224 > first
        ]

    @gl.public.view
    def list_subscribers(self, api_name: str, offset: int = 0, limit: int = MAX_PAGE) -> dict:
        """Everybody who ever subscribed to an API, at most 100 at a time."""
        api_id, api = self._api(_name(api_name))
        today, subscribers = _today(), []
        for consumer in _page(api.subscribers, offset, limit):
            sub = self.accounts[consumer].subscriptions[api_id]
            view = self._subscription_view(api, sub, _usage(sub, today))
            subscribers.append({"consumer": _hex(consumer), "active": sub.active, **view})
        return {"total": len(api.subscribers), "subscribers": subscribers}

    @gl.public.view
    def get_settlement(self, api_name: str, sequence: int = 0) -> dict:
        """The outcome of one of the last 64 settlements, 0: the last. Fails: sequence_gap, sequence_forgotten"""
        name, sequence = _name(api_name), _int(sequence, "sequence")
        _, api = self._api(name)
        last = api.sequence
        _require(sequence <= last, "sequence_gap")
        outcome = self._settlement(api, sequence or last)[1] if last else None
        return {"api_name": name, "next_sequence": last + 1, "settlement": outcome}

    @gl.public.view
    def list_settlements(self, api_name: str, after: int = 0, limit: int = KEPT) -> list:
        """Those of the last 64 settlements with a sequence above `after`, oldest first, without their entries."""
        _, api = self._api(_name(api_name))
        heads = _kept(api.heads, api.sequence, after, limit)
        return [{key: value for key, value in head.items() if key != "digest"} for head in heads]

    @gl.public.view
    def list_notices(self, consumer_address: str, after: int = 0, limit: int = KEPT) -> list:
        """Those of a consumer's last 64 notices with a number above `after`, oldest first."""
        account, _ = self._known(_address(consumer_address))
        return _kept(account.notices, account.notices_written, after, limit)

    @gl.public.view
    def get_solvency(self) -> dict:
        """What the contract holds and owes; the surplus is GEN that arrived unasked."""
        owed = self.deposited_wei - self.withdrawn_wei
        return {
            "balance_wei": self.balance,
            "owed_wei": owed,
            "surplus_wei": self.balance - owed,
            "credit_wei": owed - self.held_wei - self.earnings_wei,
            "held_wei": self.held_wei,
            "earnings_wei": self.earnings_wei,
            "deposited_wei": self.deposited_wei,
            "withdrawn_wei": self.withdrawn_wei,
            "refunded_wei": self.refunded_wei,
        }

    @gl.public.view
    def consumer_integration_example(self) -> str:
        """How a consumer contract pays per call."""
        return """billing = gl.get_contract_at(BILLING)
billing.emit(value=deposit).subscribe("weather", max_daily_spend_wei, deposit, "standard", max_price_wei)  # once
self.calls += 1  # in storage: a message can arrive again, and the same id is billed once
billing.emit(on="accepted").request_call("weather", str(self.calls))
# which answers on_call_billed(request_id, receipt) or on_call_denied(request_id, code), and may bill what it has denied
# before: check the sender there"""

    # ---- look-ups and rights ----

    def _api(self, name: str) -> tuple[int, Api]:
        api_id = self.api_ids.get(name)
        if api_id is None:
            _fail("api_not_registered", name)
        return api_id, self.apis[api_id]

    def _operator(self, api: Api) -> Operator:
        return self.operators[api.operator_id]

    def _earner(self, address: Address):
        operator_id = self.operator_ids.get(address)
        return Nobody if operator_id is None else self.operators[operator_id]

    def _operated(self, name: str) -> Api:
        _, api = self._api(name)
        _require(self._operator(api).address == _caller(), "not_operator")
        return api

    def _may_report(self, api: Api) -> bool:
        caller = _caller()
        return self._operator(api).address == caller or caller in api.meters

    def _hand_over(self, api_id: int, api: Api, address: Address) -> None:
        operator_id = self.operator_ids.get(address)
        if operator_id is None:
            operator_id = self.operator_ids[address] = len(self.operators)
            self.operators.append_new_get().address = address
        api.operator_id = operator_id
        self._operator(api).api_ids[api_id] = True

    def _account(self, consumer: Address) -> Account:
        account = self.accounts.get(consumer)
        if account is None:
            account = self.accounts.get_or_insert_default(consumer)
            account.alert_percent = Nobody.alert_percent
        return account

    def _known(self, consumer: Address, api_id: int = -1) -> tuple:
        """The consumer's account and its subscription to the API, also one that ended; `Nobody` where there is none."""
        account = self.accounts.get(consumer, Nobody)
        return account, Nobody if api_id < 0 else account.subscriptions.get(api_id, Nobody)

    # ---- plans, subscriptions, holds ----

    def _plan(self, plan_name, cost, daily, monthly, low: int = 0, too_low: tuple = ("negative_number",) * 2) -> dict:
        plan = {
            "plan_name": _name(plan_name, "plan_name"),
            "cost_per_call_wei": _int(cost, "cost_per_call_wei", too_low[0], low),
            "daily_limit_calls": _int(daily, "daily_limit_calls", too_low[1], low, MAX_CALLS),
            "monthly_limit_calls": _int(monthly, "monthly_limit_calls", high=MAX_CALLS),
        }
        _require(cost or daily or monthly, "free_plan_without_limit")
        return plan

    def _plan_id(self, api: Api, plan_name: str) -> int:
        return next((i for i, plan in enumerate(api.plans) if plan.plan_name == plan_name), -1)

    def _change_plan(self, api: Api, limits: dict, event: type[gl.Event] = ApiPlanChanged) -> None:
        plan_id, today, price = self._plan_id(api, limits["plan_name"]), _today(), limits["cost_per_call_wei"]
        peak = former = price
        if plan_id >= 0:
            plan = api.plans[plan_id]
            changed, present = plan.changed_day, plan.cost_per_call_wei
            peak = max(price, plan.peak_price_wei if changed == today else present)
            former = plan.peak_price_wei if changed == today - 1 else present
            if changed == today:
                former = plan.former_price_wei
        else:
            plan_id = len(api.plans)
            _require(plan_id < MAX_PER_API, "too_many_plans")
            plan = api.plans.append_new_get()
        api.plans[plan_id] = Plan(**limits, changed_day=today, peak_price_wei=peak, former_price_wei=former)
        _announce(event, api_name=api.name, operator=_caller(), **limits)

    def _terms(self, caller: Address, api_name, cap, plan_name, max_price_wei) -> tuple:
        """Check a subscription: what `_subscribe` takes."""
        name, plan_name = _name(api_name), _name(plan_name, "plan_name")
        cap = _int(cap, "max_daily_spend_wei", "max_spend_not_positive", 1)
        bound = _int(max_price_wei, "max_price_wei")
        api_id, api = self._api(name)
        plan_id = self._plan_id(api, plan_name)
        _require(plan_id >= 0, "plan_not_found")
        price = api.plans[plan_id].cost_per_call_wei
        _require(bound == 0 or price <= bound, "price_above_max")
        _, sub = self._known(caller, api_id)
        if _in_force(sub):
            _require(cap >= sub.max_daily_spend_wei and plan_id == sub.plan_id, "hold_in_force")
            price = max(price, sub.accepted_price_wei)  # at which usage may still be settled
        return api_id, api, plan_id, price, cap

    def _subscribe(self, caller: Address, account, api_id: int, api: Api, plan_id: int, price: int, cap: int):
        if api_id not in account.subscriptions:
            api.subscribers.append(caller)
        sub, today = account.subscriptions.get_or_insert_default(api_id), _today()
        if not sub.active and sub.ended_day < today - 1:  # else what was used until then could not be settled any more
            sub.since_day = today
        if sub.accepted_day < today:
            sub.former_price_wei = self._price_on(api, sub, today - 1)
            sub.accepted_day, sub.former_spend_wei = today, sub.max_daily_spend_wei
        sub.active, sub.plan_id, sub.accepted_price_wei, sub.max_daily_spend_wei = True, plan_id, price, cap
        _announce(Subscribed, api_name=api.name, consumer=caller, **self._accepted(api, sub))
        return sub

    def _accepted(self, api: Api, sub) -> dict:
        return {
            "plan_name": api.plans[sub.plan_id].plan_name,
            "accepted_price_wei": sub.accepted_price_wei,
            "max_daily_spend_wei": sub.max_daily_spend_wei,
        }

    def _price_on(self, api: Api, sub, day_id: int) -> int:
        """What a settled call of today or yesterday may cost: at most what was accepted, and that day's top price."""
        if day_id < sub.accepted_day:
            return sub.former_price_wei
        plan = api.plans[sub.plan_id]
        price, changed = plan.cost_per_call_wei, plan.changed_day
        if day_id <= changed:
            price = plan.peak_price_wei if day_id == changed else plan.former_price_wei
        return min(sub.accepted_price_wei, price)

    def _hold_terms(self, sub, amount, expires_at, signer, credit: int) -> tuple:
        """Check a hold: what `_place` takes. An expired one is released first, and is credit for the new one."""
        amount, expires_at = _int(amount, "amount"), _int(expires_at, "expires_at", "bad_expiry")
        _require(0 < expires_at - _now() <= MAX_HOLD_SECONDS, "bad_expiry")
        if signer == "":
            signer = sub.signer
        else:
            signer = ZERO if signer == "plain" else _address(signer, "signer")
            _require(signer != _here(), "bad_address")
        if _in_force(sub):
            _require(expires_at >= sub.hold_expires_at, "hold_not_shortened")
            _require(signer == sub.signer, "hold_in_force")
        else:
            _require(amount > 0, "amount_not_positive")
            credit += sub.hold_wei
        _require(amount <= credit, "insufficient_credit")
        return amount, expires_at, signer

    def _place(self, name: str, caller: Address, account, sub, amount: int, expires_at: int, signer: Address) -> dict:
        if not _in_force(sub):
            self._release(name, caller, account, sub)
            sub.hold_from_day, sub.signer = _today(), signer
            sub.session.clear()
        account.credit_wei -= amount
        self._hold(account, sub, amount)
        sub.hold_expires_at = expires_at
        hold = {"hold_wei": sub.hold_wei, "expires_at": expires_at, "signer": _hex_or_none(signer)}
        hold["credit_wei"] = account.credit_wei
        _announce(HoldPlaced, api_name=name, consumer=caller, amount_wei=amount, **hold)
        return hold

    def _hold(self, account: Account, sub: Subscription, change: int) -> None:
        sub.hold_wei += change
        account.held_wei += change
        self.held_wei += change

    def _release(self, name: str, consumer: Address, account: Account, sub: Subscription) -> None:
        released = sub.hold_wei
        if released:
            self._hold(account, sub, -released)
            account.credit_wei += released
            _announce(HoldReleased, api_name=name, consumer=consumer, released_wei=released)

    # ---- money in and out ----

    def _top_up(self, consumer_address, amount) -> dict:
        value = gl.message.value
        try:
            consumer = _address(consumer_address)
            _require(consumer != _here(), "bad_address")
            _int(amount, "amount", "amount_not_positive", 1)
            _require(amount == value, "value_mismatch")
        except gl.vm.UserError as refusal:
            return self._keep_deposit(refusal)
        return {"ok": True, "credited_wei": value, "credit_wei": self._deposit(consumer, value).credit_wei}

    def _keep_deposit(self, refusal: gl.vm.UserError) -> dict:
        """A refused payable call fails when it has no value, and otherwise leaves it to the caller as credit."""
        caller, value = _caller(), gl.message.value
        if value == 0:
            raise refusal
        code, account = _code_of(refusal), self._deposit(caller, value)
        _announce(DepositKept, consumer=caller, code=code, credited_wei=value)
        answer = {"ok": False, "code": code, "message": refusal.message}
        return {**answer, "credited_wei": value, "credit_wei": account.credit_wei}

    def _deposit(self, consumer: Address, amount: int) -> Account:
        payer, account = _caller(), self._account(consumer)
        account.credit_wei += amount
        total = account.credit_wei + account.held_wei
        account.topped_up_wei = total if payer == consumer else max(total, account.topped_up_wei)
        self._arm(account)
        self.deposited_wei += amount
        _announce(CreditToppedUp, consumer=consumer, payer=payer, amount_wei=amount, credit_wei=account.credit_wei)
        return account

    def _payout(self, amount, to) -> tuple[int, Address, Address | None]:
        """The amount, the caller, and the account to be paid: None when it is the caller and a contract."""
        amount, caller = _int(amount, "amount", "amount_not_positive", 1), _caller()
        is_contract = caller != gl.message.origin_address
        if to == "":
            return amount, caller, None if is_contract else caller
        to = _address(to, "to")
        _require(to != _here() and not (is_contract and to == caller), "bad_address")
        return amount, caller, to

    def _pay(self, payee: Address | None, amount: int) -> None:
        """Send what has left the books."""
        self.withdrawn_wei += amount
        if payee is None:
            contract = gl.get_contract_at(_caller())
            contract.emit(value=amount, on="finalized").receive_credit()
        else:
            PlainAccount(payee).emit_transfer(value=amount)

    # ---- earnings ----

    def _earn(self, api: Api, day_id: int, calls: int, amount: int) -> None:
        place = day_id % API_DAYS
        word = api.days[place]
        earned = 0
        if word >> 224 != day_id:
            if _waits(word):  # 64 days old, and never collected
                earned = word & MAX_WEI
            word = day_id << 224 | _payout_days(api.schedule, day_id) << 216
        api.days[place] = word + (calls << 128) + amount
        if not _waits(word):
            earned += amount
        if earned:
            self._operator(api).earnings_wei += earned
        if amount:
            self.earnings_wei += amount

    def _pending(self, api: Api) -> int:
        return sum(word & MAX_WEI for word in api.days if _waits(word))

    def _waiting(self, api: Api, day_id: int) -> int:
        """How many days the earnings of a day wait; 0: they do not, or do no more."""
        word = api.days[day_id % API_DAYS]
        return _waits(word) if word >> 224 == day_id else 0

    def _disputable(self, api: Api, day_id: int) -> bool:
        return 0 < self._waiting(api, day_id) >= _today() - day_id

    def _left(self, sub, kept, day_id: int) -> int:
        """What a consumer paid on a day and has not had back."""
        return (_day_word(sub, day_id) & MAX_WEI) - kept.refunded_wei

    def _give_back(
        self, name: str, consumer: Address, api: Api, account, amount: int, day_id: int, reason: str
    ) -> None:
        if amount:
            account.credit_wei += amount
            self._operator(api).refunded_wei += amount
            self.earnings_wei -= amount
            self.refunded_wei += amount
            self._arm(account)
            self._notice("refund", account, name, "refunded", 0, amount)
        what = {"amount_wei": amount, "credit_wei": account.credit_wei, "day_id": day_id, "reason": reason}
        _announce(Refunded, api_name=name, consumer=consumer, **what)

    def _promise(self, api: Api, day_id: int):
        promises = api.promises
        found = (promises[i] for i in range(len(promises) - 1, -1, -1) if promises[i].from_day <= day_id)
        return next(found, Nobody)

    # ---- billing ----

    def _quote(self, api: Api, credit: int, sub, calls: int) -> tuple[str, int, Usage | None]:
        """Decide on a call: the code of what stops it (or none), its cost, the usage so far."""
        if not api.active:
            return "api_paused", 0, None
        if not sub.active:
            return "not_subscribed", 0, None
        plan = api.plans[sub.plan_id]
        cost = plan.cost_per_call_wei * calls
        if cost > sub.accepted_price_wei * calls:
            return "price_changed", cost, None
        usage = _usage(sub, _today())
        code = ""
        if usage.receipts + usage.settled + calls > (plan.daily_limit_calls or MAX_CALLS):
            code = "daily_limit_exceeded"
        elif usage.month_calls + calls > (plan.monthly_limit_calls or MAX_CALLS):
            code = "monthly_limit_exceeded"
        elif usage.spend_wei + cost > sub.max_daily_spend_wei:
            code = "daily_spend_exceeded"
        elif cost > credit:
            code = "insufficient_credit"
        return code, cost, usage

    def _charge(
        self, name: str, consumer: Address, api: Api, account, sub, calls: int, requests, request_id: str
    ) -> tuple[str, dict | None]:
        """Bill calls: the code of what stops it, or the receipt."""
        credit = account.credit_wei
        code, cost, usage = self._quote(api, credit, sub, calls)
        if code:
            return code, None
        credit -= cost
        if cost:
            account.credit_wei = credit
        self._earn(api, usage.day_id, calls, cost)
        _count(sub, usage, calls, 0, cost)
        word = usage.day_id << 224 | usage.receipts + calls << 176 | calls << 128 | cost
        digest = _digest(request_id)
        if digest:
            kept = requests.digests or bytes(8)
            written = int.from_bytes(kept[:8])
            place = written % KEPT
            at = 8 + 16 * place
            requests.digests = (written + 1).to_bytes(8) + kept[8:at] + digest + kept[at + 16 :]
            requests.calls[2 * place], requests.calls[2 * place + 1] = word, credit
        receipt = self._receipt(name, consumer, word, credit, digest)
        _announce(CallBilled, **{**receipt, "consumer": consumer}, calls=calls)
        if cost:
            self._alert(consumer, account, credit, name)
        return "", receipt

    def _recall(self, name: str, consumer: Address, requests, request_id: str, calls: int) -> tuple[str, dict | None]:
        """The receipt of a request that was billed and is still kept."""
        digest, digests = _digest(request_id), requests.digests if request_id else b""
        for at in range(8, len(digests), 16):
            if digests[at : at + 16] == digest:
                word, credit = requests.calls[at // 16 * 2], requests.calls[at // 16 * 2 + 1]
                if word >> 128 & MAX_CALLS != calls:
                    return "request_mismatch", None
                return "", self._receipt(name, consumer, word, credit, digest)
        return "", None

    def _receipt(self, name: str, consumer: Address, word: int, credit: int, digest: bytes) -> dict:
        day_id, call_no = word >> 224, word >> 176 & MAX_CALLS
        tag = f":{digest[:4].hex()}" if digest else ""
        return {
            "receipt_id": f"{name}:{_hex(consumer)}:{day_id}:{call_no}{tag}",
            "api_name": name,
            "consumer": _hex(consumer),
            "day_id": day_id,
            "call_no": call_no,
            "cost_wei": word & MAX_WEI,
            "credit_wei": credit,
        }

    def _settle(self, name: str, api_id: int, api: Api, line: Line, seal, earned: dict, consumers: dict) -> dict:
        """Bill what fits of a line; add to what each day earned, and to what each consumer was billed and refused."""
        account, sub = self._known(line.consumer, api_id)
        is_session, hold, billed = sub.signer != ZERO, _hold_on(sub, line.day_id), 0
        if is_session and not _in_force(sub):
            hold = 0
        code = self._bar(api, sub, line, is_session, hold)
        if code == "":
            usage = _usage(sub, line.day_id)
            billed, code = self._fit(
                api, sub, usage, line, hold if is_session or not sub.active else hold + account.credit_wei
            )
            if is_session and billed and line.spend_wei:
                billed, code = self._draw(sub, line, seal, billed, code)
        cost = line.spend_wei * billed // line.calls
        if billed:
            from_hold = min(cost, hold)
            self._hold(account, sub, -from_hold)
            account.credit_wei -= cost - from_hold
            _count(sub, usage, 0, billed, cost)
            day = earned.setdefault(line.day_id, [0, 0])
            day[0] += billed
            day[1] += cost
        if sub is not Nobody:
            sums = consumers.setdefault(line.consumer.as_bytes, Sums(line.consumer, account))
            sums.billed_wei += cost
            if code and sub.active:
                sums.code = sums.code or code
                sums.refused_calls += line.calls - billed
                sums.refused_wei += line.spend_wei - cost
        if line.close and code == "":
            self._release(name, line.consumer, account, sub)
        what = {
            "consumer": _hex(line.consumer),
            "day_id": line.day_id,
            "calls": line.calls,
            "spend_wei": line.spend_wei,
        }
        return {**what, "billed_calls": billed, "billed_wei": cost, "code": code}

    def _bar(self, api: Api, sub, line: Line, is_session: bool, hold: int) -> str:
        """The code of what stops a whole line, if anything does."""
        day_id, spend = line.day_id, line.spend_wei
        if not 0 <= _today() - day_id <= 1:
            return "day_closed"
        if sub is Nobody:
            return "not_subscribed"
        if day_id < sub.since_day or not (sub.active or day_id <= sub.ended_day):
            return "day_closed"
        if not (sub.active or hold):
            return "not_subscribed"
        if not is_session and (line.voucher or line.close):
            return "no_session"
        if is_session and spend and not line.voucher:
            return "session_only"
        return "spend_above_price" if spend > line.calls * self._price_on(api, sub, day_id) else ""

    def _fit(self, api: Api, sub, usage: Usage, line: Line, funds: int) -> tuple[int, str]:
        """How many of the calls can be billed, and the code of what stops the rest."""
        plan, calls, spend = api.plans[sub.plan_id], line.calls, line.spend_wei
        fits, code = calls, ""
        cap = sub.former_spend_wei if usage.day_id < sub.accepted_day else sub.max_daily_spend_wei
        for most, reason in (
            ((plan.daily_limit_calls or MAX_CALLS) - usage.receipts - usage.settled, "daily_limit_exceeded"),
            ((plan.monthly_limit_calls or MAX_CALLS) - usage.month_calls, "monthly_limit_exceeded"),
            (_affordable(calls, spend, cap - usage.spend_wei), "daily_spend_exceeded"),
            (_affordable(calls, spend, funds), "insufficient_credit"),
        ):
            if max(most, 0) < fits:
                fits, code = max(most, 0), reason
        return fits, code

    def _draw(self, sub, line: Line, seal, fits: int, code: str) -> tuple[int, str]:
        """Bill a channel for as many calls as its vouchers leave: how many, and the code of what stops more."""
        (channel_of, digest_of), signer, voucher = seal, sub.signer, line.voucher
        channel = channel_of(line.consumer, signer, voucher.salt)
        channel_id = int.from_bytes(channel)
        word, is_new = sub.channels.get(channel_id, 0), channel_id not in sub.session
        if is_new and len(sub.session) >= MAX_CHANNELS:
            return 0, "too_many_channels"
        if voucher.cumulative_wei > word >> 128:
            if _recover(digest_of(channel, voucher.cumulative_wei), voucher.signature) != signer:
                return 0, "bad_signature"
            word = voucher.cumulative_wei << 128 | word & MAX_WEI
        most = _affordable(line.calls, line.spend_wei, (word >> 128) - (word & MAX_WEI))
        if most < fits:
            fits, code = most, "voucher_exceeded"
        cost = line.spend_wei * fits // line.calls
        if cost:
            sub.channels[channel_id] = word + cost
            if is_new:
                sub.session.append(channel_id)
        return fits, code

    def _asset(self, name: str) -> bytes:
        """Stands for the API in channel ids, as a token's address does elsewhere."""
        return _keccak(b"api-billing asset" + self.instance + name.encode())[12:]

    def _seal(self, name: str, api: Api) -> tuple:
        """How a channel's id is made of consumer, signer, salt, and the digest signed of id and amount. Nothing in it
        comes from the entries but the salt.
        """
        domain = _struct(DOMAIN_TYPE, gl.message.chain_id.to_bytes(32), bytes.fromhex(VOUCHER_CONTRACT[2:]))
        receiver, contract, asset = self._operator(api).address, _here(), self._asset(name)
        terms = receiver.as_bytes, contract.as_bytes, asset, WITHDRAW_DELAY.to_bytes(2)

        def digest(*words: bytes) -> bytes:
            return _keccak(b"\x19\x01" + domain + _struct(*words))

        def channel_of(consumer: Address, signer: Address, salt: bytes) -> bytes:
            return digest(CHANNEL_TYPE, consumer.as_bytes, signer.as_bytes, *terms, salt)

        def digest_of(channel: bytes, cumulative: int) -> bytes:
            return digest(VOUCHER_TYPE, channel, cumulative.to_bytes(16))

        return channel_of, digest_of

    # ---- what is remembered ----

    def _refuse(self, kind: str, consumer: Address, account, name: str, code: str, calls: int, amount: int) -> None:
        self._notice("price" if code == "price_changed" else kind, account, name, code, calls, amount)
        _announce(LimitExceeded, api_name=name, consumer=consumer, code=code, calls=calls, amount_wei=amount)

    def _notice(self, kind: str, account, name: str, code: str, calls: int, amount: int) -> None:
        number = account.notices_written + 1
        what = {"number": number, "at": _now(), "kind": kind, "api_name": name, "code": code}
        _keep(account.notices, number - 1, {**what, "calls": calls, "amount_wei": amount})
        account.notices_written = number

    def _arm(self, account) -> None:
        if account.alerted and not self._is_low(account, account.credit_wei):
            account.alerted = False

    def _is_low(self, account, credit: int) -> bool:
        total, percent = credit + account.held_wei, account.alert_percent
        return percent > 0 and total * 100 <= account.topped_up_wei * percent

    def _alert(self, consumer: Address, account, credit: int, name: str) -> None:
        """Tell, once, that credit and holds have fallen to the alert level."""
        if not account.alerted and self._is_low(account, credit):
            account.alerted, held = True, account.held_wei
            self._notice("low_credit", account, name, "low_credit", 0, credit + held)
            _announce(CreditDepleted, consumer=consumer, credit_wei=credit, held_wei=held)

    def _settlement(self, api: Api, sequence: int) -> tuple[bytes, dict]:
        """What the entries of a settlement hash to, and its outcome."""
        _require(sequence + KEPT > api.sequence, "sequence_forgotten")
        place = (sequence - 1) % KEPT
        head = calldata.decode(api.heads[place])
        return head.pop("digest"), {**head, "entries": calldata.decode(api.outcomes[place])}

    # ---- what views show ----

    def _api_view(self, api: Api) -> dict:
        return {
            "api_name": api.name,
            "operator": _hex(self._operator(api).address),
            "proposed_operator": _hex_or_none(api.proposed_operator),
            "active": api.active,
            "plans": [
                {
                    "plan_name": plan.plan_name,
                    "cost_per_call_wei": plan.cost_per_call_wei,
                    "daily_limit_calls": plan.daily_limit_calls,
                    "monthly_limit_calls": plan.monthly_limit_calls,
                }
                for plan in api.plans
            ],
            "meters": [_hex(meter) for meter in api.meters],
            "next_sequence": api.sequence + 1,
        }

    def _promise_view(self, promise) -> dict:
        return {
            "court": _hex_or_none(promise.court),
            "payout_days": promise.payout_days,
            "max_refund_percent": promise.max_refund_percent,
            "from_day": promise.from_day,
            "terms_sha256": hashlib.sha256(promise.terms.encode()).hexdigest(),
        }

    def _subscription_view(self, api: Api, sub: Subscription, usage: Usage) -> dict:
        return {
            "plan_name": api.plans[sub.plan_id].plan_name,
            "calls_today": usage.receipts + usage.settled,
            "spend_today_wei": usage.spend_wei,
            "calls_month": usage.month_calls,
            "spend_month_wei": usage.month_spend_wei,
            "hold_wei": sub.hold_wei,
            "hold_expires_at": sub.hold_expires_at,
            "signer": _hex_or_none(sub.signer),
        }

    def _report_line(self, api: Api, sub: Subscription, today: int) -> dict:
        usage, plan, cap = _usage(sub, today), api.plans[sub.plan_id], sub.max_daily_spend_wei
        view, daily, monthly = (
            self._subscription_view(api, sub, usage),
            plan.daily_limit_calls,
            plan.monthly_limit_calls,
        )
        used = (daily, view["calls_today"]), (monthly, usage.month_calls)
        return {
            **view,
            "api_name": api.name,
            "cost_per_call_wei": plan.cost_per_call_wei,
            "api_daily_limit_calls": daily,
            "api_monthly_limit_calls": monthly,
            "consumer_max_daily_spend_wei": cap,
            "accepted_price_wei": sub.accepted_price_wei,
            "calls_left_today": min([max(limit - calls, 0) for limit, calls in used if limit], default=None),
            "spend_left_today_wei": max(cap - usage.spend_wei, 0),
            "active": api.active,
            "subscribed": sub.active,
            "settlements": api.sequence,
        }
