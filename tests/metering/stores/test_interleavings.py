"""Any interleaving of grants, reservations, more of them, vouchers, settlements, releases, expiry, batches, the end of
sessions and clock moves, compared with a model.

The model keeps requests in a list and adds everything up anew each time; it shares no code with the ledger.
"""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    Extend,
    Grant,
    ReadBalance,
    ReadCounts,
    Refused,
    Release,
    Reserve,
    Reserved,
    ReserveMore,
    Settle,
    Sweep,
)
from api_billing.metering.ledger.session_operations import CloseByVoucher, NotPut, PutVoucher, ReadSession
from api_billing.metering.ledger.settlement_operations import (
    NEVER_READ,
    BeginPosting,
    EndPosting,
    OpenBook,
    Part,
    ReadCredit,
    SetGranted,
)
from api_billing.metering.ledger.vouchers import MAX_KEPT
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores.steps import run

from .sessions import BY_KEY, SIGNER, channel_id, voucher

HOUR_MS = 3_600_000
START_MS = 1_773_576_000_000
ACCOUNTS = ("a", "b")
LARGE_WEI = 2**255
AMOUNTS = st.sampled_from([0, 1, 2, 3, 5, 7, 8, 10, 12, 15, 20, 30, 10**15 - 1, 10**15, LARGE_WEI])
PICKS = st.integers(0, 1000)
SESSION = "s"  # the account that has one
CHANNELS = (1, 2)
SUMS = st.integers(0, 120)


@dataclass
class Request:
    """What the model knows of a request."""

    operation: Reserve
    state: str = "reserved"
    more: int = 0
    charged: int = 0
    expires_ms: int = 0
    channel: str = ""
    is_batched: bool = False

    @property
    def estimate(self) -> int:
        return self.operation.estimate_wei + self.more

    @property
    def counts_calls(self) -> bool:
        return self.state in ("reserved", "settled")

    @property
    def counts_wei(self) -> int:
        return self.estimate if self.state == "reserved" else self.charged


@dataclass
class Channel:
    """What the model knows of a channel: the vouchers that were accepted, and the highest that is public."""

    accepted: set[int] = field(default_factory=set)
    posted: int = 0

    @property
    def signed(self) -> int:
        return max(self.accepted, default=0)


class Interleavings(RuleBasedStateMachine):
    """One store, two accounts whose windows are their own (calls) and shared (wei), and one with a session."""

    examples = 0

    def __init__(self, store, done):
        super().__init__()
        Interleavings.examples += 1
        self.store = store
        self.done = done
        self.name = f"{Interleavings.examples}"
        self.now_ms = START_MS
        self.granted = Counter()
        self.grants: list[Grant] = []
        self.made: list[Request] = []
        self.closing = ""  # or asked for, or in a batch
        self.to_post = []

    @initialize(credit=st.lists(st.sampled_from([50, 1000, LARGE_WEI]), min_size=2, max_size=2))
    def begin(self, credit):
        for letter, amount in zip(ACCOUNTS, credit, strict=True):
            self.grant(letter, amount, False)
        account = self.account(SESSION)
        self.granted[account] = 100
        self.channels = {channel_id(self.unique(number)): Channel() for number in CHANNELS}
        self.store.call(SetGranted(account, 0, 0, 100, 100, NEVER_READ._replace(read_ms=1, signer=SIGNER), ()))
        self.store.call(OpenBook(self.name, "0xc0", 1))

    # --- the model

    def money(self, account):
        """Granted, reserved and charged of an account, added up."""
        mine = [request for request in self.made if request.operation.account == account]
        reserved = sum(request.estimate for request in mine if request.state == "reserved")
        return self.granted[account], reserved, sum(request.charged for request in mine)

    def free(self, account):
        granted, reserved, charged = self.money(account)
        return granted - reserved - charged

    def used(self, check):
        """What counts in a window, added up."""
        inside = [
            request
            for request in self.made
            for window in request.operation.checks
            if (window.counter, window.starts_ms) == (check.counter, check.starts_ms) and request.counts_calls
        ]
        return len(inside) if check.unit == "calls" else sum(request.counts_wei for request in inside)

    def windows(self, account, limit_calls=None, limit_wei=None):
        hour, day = (self.now_ms // length * length for length in (HOUR_MS, 24 * HOUR_MS))
        return (
            WindowCheck(f"{account}/hour", hour, hour + HOUR_MS, "calls", limit_calls),
            WindowCheck(f"{self.name}/day", day, day + 24 * HOUR_MS, "wei", limit_wei),
        )

    def account(self, letter):
        return f"{self.name}/{letter}"

    def unique(self, number):
        """Of a channel: another one in each example, as the store is used again."""
        return 10 * int(self.name) + number

    def sums(self, channel):
        """Charged and reserved of a channel, added up."""
        mine = [request for request in self.made if request.channel == channel]
        reserved = sum(request.estimate for request in mine if request.state == "reserved")
        return sum(request.charged for request in mine), reserved

    def left(self, channel):
        """What is signed and free."""
        return self.channels[channel].signed - sum(self.sums(channel))

    def is_pending(self):
        """Whether a channel pays for what is being served, or is in no batch yet."""
        mine = [request for request in self.made if request.channel]
        return any(one.estimate if one.state == "reserved" else one.charged and not one.is_batched for one in mine)

    def is_closing(self):
        return self.closing == "in a batch" or (self.closing == "asked" and self.is_pending())

    # --- what may happen

    @rule(letter=st.sampled_from(ACCOUNTS), amount=AMOUNTS, take=st.booleans())
    def grant(self, letter, amount, take):
        operation = Grant(new_id(self.now_ms), self.account(letter), -amount if take else amount, self.now_ms)
        account = operation.account
        fits = self.free(account) + operation.amount_wei >= 0
        fits = fits and self.granted[account] + operation.amount_wei < 2**256
        reply = self.store.call(operation)
        assert (type(reply).__name__, getattr(reply, "repeated", False)) == (
            "Granted" if fits else "GrantRefused",
            False,
        )
        if fits:
            self.granted[account] += operation.amount_wei
            self.grants.append(operation)
        self.done["grant"] += 1

    @precondition(lambda self: self.grants)
    @rule(pick=PICKS)
    def grant_again(self, pick):
        assert self.store.call(self.grants[pick % len(self.grants)]).repeated
        self.done["grant again"] += 1

    @rule(
        letter=st.sampled_from(ACCOUNTS),
        estimate=AMOUNTS,
        limit_calls=st.sampled_from([None, None, None, 0, 1, 3]),
        limit_wei=st.sampled_from([None, None, None, 20, LARGE_WEI]),
        lasts_ms=st.integers(0, 2 * HOUR_MS),
    )
    def reserve(self, letter, estimate, limit_calls, limit_wei, lasts_ms):
        account = self.account(letter)
        checks = self.windows(account, limit_calls, limit_wei)
        operation = Reserve(
            new_id(self.now_ms), self.now_ms, self.now_ms + lasts_ms, account, "api", account, estimate, checks=checks
        )
        full = tuple(
            index
            for index, check in enumerate(checks)
            if check.limit is not None and self.used(check) + (1 if check.unit == "calls" else estimate) > check.limit
        )
        reply = self.store.call(operation)
        self.done["reserve"] += 1
        if full or self.free(account) < estimate:
            assert isinstance(reply, Refused)
            assert reply.violated == full
            assert reply.code == ("quota_exceeded" if full else "insufficient_credit")
            self.done["refused"] += 1
            return
        request = Request(operation, expires_ms=operation.expires_ms)
        self.made.append(request)
        assert isinstance(reply, Reserved)
        assert reply.counts == tuple(self.used(check) for check in checks)

    @rule(number=st.sampled_from(CHANNELS), cumulative=SUMS)
    def put_voucher(self, number, cumulative):
        number = self.unique(number)
        channel = self.channels[channel_id(number)]
        reply = self.store.call(PutVoucher(self.account(SESSION), voucher(cumulative, number)))
        self.done["put voucher"] += 1
        if self.is_closing():
            assert reply == NotPut("session_closing")
            return
        if cumulative > channel.posted:
            channel.accepted.add(cumulative)
        assert (reply.signed_wei, reply.posted_wei) == (channel.signed, channel.posted)

    @rule(
        number=st.sampled_from(CHANNELS),
        cumulative=SUMS,
        estimate=st.integers(0, 40),
        by_key=st.booleans(),
        lasts_ms=st.integers(0, 2 * HOUR_MS),
    )
    def reserve_in_session(self, number, cumulative, estimate, by_key, lasts_ms):
        account, number = self.account(SESSION), self.unique(number)
        by = BY_KEY if by_key else voucher(cumulative, number)
        operation = Reserve(
            new_id(self.now_ms), self.now_ms, self.now_ms + lasts_ms, account, self.name, account, estimate, session=by
        )
        is_free = by_key and not estimate
        if is_free:
            paying = [""]
        elif self.is_closing():
            paying = []
        elif by_key:
            paying = [name for name, each in self.channels.items() if each.signed > each.posted]
            paying = [name for name in paying if self.left(name) >= estimate]
        else:
            name = channel_id(number)
            channel = self.channels[name]
            would_be_left = max(channel.signed, cumulative) - sum(self.sums(name))
            paying = [name] if cumulative > channel.posted and would_be_left >= estimate else []
        reply = self.store.call(operation)
        self.done["reserve in session"] += 1
        if self.free(account) < estimate or not paying:
            self.is_refused(reply, estimate, "voucher_required")
            return
        assert isinstance(reply, Reserved)
        if not by_key:
            self.channels[paying[0]].accepted.add(cumulative)
        found = self.store.call(ReadSession(account)).channels
        grown = [each for each in found if each.reserved_wei != self.sums(each.channel_id)[1]]
        channel = paying[0] if not by_key or not estimate else grown[0].channel_id
        assert channel in paying
        self.made.append(Request(operation, expires_ms=operation.expires_ms, channel=channel))
        self.closing = self.closing if is_free else ""

    def is_refused(self, reply, more, code):
        """In the session: for its credit, that it is closing, or for a reason of its channel."""
        assert isinstance(reply, Refused)
        code = "session_closing" if self.is_closing() else code
        assert reply.code == ("insufficient_credit" if self.free(self.account(SESSION)) < more else code)
        self.done[f"refused {reply.code}"] += 1

    @rule(number=st.sampled_from(CHANNELS), beyond=st.sampled_from([0, 0, 0, -1, 1]), estimate=st.integers(0, 20))
    def reserve_exactly(self, number, beyond, estimate):
        """By the rule of x402: for what is charged and the estimate, or close to it."""
        account, number = self.account(SESSION), self.unique(number)
        name = channel_id(number)
        channel, (charged, reserved) = self.channels[name], self.sums(name)
        cumulative = max(charged + max(estimate, 1), channel.posted + 1) + beyond
        operation = Reserve(
            new_id(self.now_ms), self.now_ms, self.now_ms + HOUR_MS, account, self.name, account, estimate,
            session=voucher(cumulative, number, exact=True),
        )  # fmt: skip
        reply = self.store.call(operation)
        self.done["reserve exactly"] += 1
        if self.free(account) < estimate or self.is_closing() or reserved or beyond:
            in_batches = sum(one.charged for one in self.made if one.channel == name and one.is_batched)
            is_anybodys = cumulative <= in_batches or cumulative == channel.posted  # who is not told what is going on
            self.is_refused(reply, estimate, "channel_busy" if reserved and not is_anybodys else "cumulative_mismatch")
            return
        assert isinstance(reply, Reserved)
        channel.accepted.add(cumulative)
        self.made.append(Request(operation, expires_ms=operation.expires_ms, channel=name))
        self.closing = ""

    @precondition(lambda self: self.made)
    @rule(pick=PICKS, more=st.sampled_from([-3, 0, 1, 2, 5, 10, 40, 10**15]))
    def reserve_more(self, pick, more):
        request = self.made[pick % len(self.made)]
        operation = request.operation
        reply = self.store.call(ReserveMore.of(operation, max(0, request.estimate + more)))
        self.done[f"reserve more {request.state}"] += 1
        if request.state != "reserved":
            assert reply.state == request.state
            return
        if more > 0 and self.lacks(request, reply, more):
            self.done["refused more"] += 1
            return
        request.more += max(0, more)
        assert isinstance(reply, Reserved)
        assert reply.counts == tuple(self.used(check) for check in operation.checks)

    def lacks(self, request, reply, more):
        """Whether so much more cannot be set aside; then it was refused for that."""
        operation, channel = request.operation, self.channels.get(request.channel)
        full = tuple(
            index
            for index, check in enumerate(operation.checks)
            if check.unit == "wei" and check.limit is not None and self.used(check) + more > check.limit
        )
        if operation.session is None:
            if full or self.free(operation.account) < more:
                assert (reply.code, reply.violated) == ("quota_exceeded" if full else "insufficient_credit", full)
                return True
            return False
        is_signed = channel is not None and channel.signed > channel.posted and self.left(request.channel) >= more
        if self.free(operation.account) < more or (channel and self.is_closing()) or not is_signed:
            self.is_refused(reply, more, "voucher_required") if channel else self.is_unpaid(reply)
            return True
        return False

    def is_unpaid(self, reply):
        """What began without a voucher never costs anything."""
        assert reply.code in ("voucher_required", "insufficient_credit")

    @rule(number=st.sampled_from(CHANNELS), cumulative=SUMS)
    def close(self, number, cumulative):
        number = self.unique(number)
        channel = self.channels[channel_id(number)]
        was_closing = self.is_closing()
        reply = self.store.call(CloseByVoucher(self.account(SESSION), voucher(cumulative, number)))
        self.done["close"] += 1
        if cumulative <= channel.posted:
            assert reply.code == "voucher_required"
            return
        if not was_closing:
            channel.accepted.add(cumulative)
        if not self.closing and self.is_pending():
            self.closing = "asked"
        assert reply.is_closing == self.is_closing()

    @rule(number=st.sampled_from(CHANNELS))
    def end_session(self, number):
        """What it takes to close one, in a row; it goes on when something else is being served."""
        self.serve_in_session(number, 4, 3)
        self.close(number, self.channels[channel_id(self.unique(number))].posted + 1)
        self.cut()
        self.post()

    @rule()
    def post(self):
        """What was cut is settled; then whoever had a session closed has a hold again, of the same signer."""
        for batch in self.to_post:
            parts = tuple(Part(line.calls, line.amount_wei) for line in batch.lines)
            assert self.store.call(BeginPosting(self.name, batch.sequence, self.now_ms)) is not None
            assert self.store.call(EndPosting(self.name, batch.sequence, self.now_ms, parts)) is not None
            if any(line.close for line in batch.lines):
                self.closing = ""
                self.done["closed"] += 1
                account = self.account(SESSION)
                _, reserved, charged = self.money(account)
                assert self.store.call(ReadBalance(account)).granted_wei == reserved + charged
                credit = self.store.call(ReadCredit(account))
                terms = NEVER_READ._replace(read_ms=self.now_ms, signer=SIGNER)
                set_ = self.store.call(SetGranted(account, credit.revision, credit.accounted_wei, 100, 100, terms))
                self.granted[account] = set_.balance.granted_wei
        self.to_post.clear()

    @rule(number=st.sampled_from(CHANNELS), estimate=st.integers(0, 20), part=st.integers(0, 4))
    def serve_in_session(self, number, estimate, part):
        """A request with a voucher for just so much more, that is settled at once."""
        channel = self.channels[channel_id(self.unique(number))]
        required = max(sum(self.sums(channel_id(self.unique(number)))) + estimate, channel.posted + 1)
        made = len(self.made)
        self.reserve_in_session(number, required, estimate, False, HOUR_MS)
        if len(self.made) > made:
            self.settle(made, estimate * part // 4)

    @rule()
    def cut(self):
        """Batches of all that is settled of this example's session."""
        cutter = Cutter(self.name)
        while (added := run(cutter.step(self.now_ms), self.store.call)) is not None:
            self.to_post += [] if added.batch is None else [added.batch]
            for line in added.batch.lines if added.batch is not None else ():
                mine = [
                    request
                    for request in self.made
                    if (request.state, request.is_batched, request.channel) == ("settled", False, line.channel)
                    and request.operation.now_ms // (24 * HOUR_MS) == line.day
                    and request.operation.api == self.name
                ]
                assert (line.calls, line.amount_wei) == (len(mine), sum(request.charged for request in mine))
                for request in mine:
                    request.is_batched = True
                if line.channel and line.amount_wei:
                    self.is_covered(line)
                else:
                    assert line.voucher is None
                self.done["batch line"] += 1
            if added.batch is not None:
                paid = [line for line in added.batch.lines if line.amount_wei]
                is_last = bool(paid) and self.closing == "asked" and not self.is_pending()
                assert [line.close for line in paid] == [False] * (len(paid) - 1) + [is_last] * bool(paid)
                self.closing = "in a batch" if is_last else self.closing

    def is_covered(self, line):
        """The lowest accepted voucher that covers all that was charged goes with a line, and is public from now on."""
        channel, (charged, _) = self.channels[line.channel], self.sums(line.channel)
        covering = sorted(wei for wei in channel.accepted if wei >= charged)
        assert line.voucher.cumulative_wei in covering
        assert line.voucher.signature == voucher(line.voucher.cumulative_wei).signature
        if len(channel.accepted) <= MAX_KEPT:
            assert line.voucher.cumulative_wei == covering[0]
        channel.posted = max(channel.posted, line.voucher.cumulative_wei)

    @precondition(lambda self: self.made)
    @rule(pick=PICKS)
    def reserve_again(self, pick):
        request = self.made[pick % len(self.made)]
        reply = self.store.call(request.operation)
        assert isinstance(reply, Reserved if request.state == "reserved" else Refused)
        self.done["reserve again"] += 1

    @precondition(lambda self: self.made)
    @rule(pick=PICKS, actual=AMOUNTS)
    def settle(self, pick, actual):
        request = self.made[pick % len(self.made)]
        operation = request.operation
        reply = self.store.call(Settle(operation.reservation_id, operation.account, self.now_ms, actual))
        self.done[f"settle {request.state}"] += 1
        if request.state == "settled":
            assert (reply.repeated, reply.charged_wei) == (True, request.charged)
        elif request.state == "released":
            assert reply.state == "released"
        else:
            held = request.estimate if request.state == "reserved" else 0
            late = request.state == "expired"
            charged = min(actual, held + self.free(operation.account))
            if operation.session is not None:
                charged = min(charged, request.estimate)
            if request.channel:
                charged = min(charged, held + self.left(request.channel))
            if request.channel and late and self.closing == "in a batch":
                charged = 0
            request.state, request.charged = "settled", charged
            assert (reply.charged_wei, reply.uncollected_wei, reply.late) == (charged, actual - charged, late)
            assert [count for _, count in reply.counts] == [self.used(check) for check in operation.checks]

    @precondition(lambda self: self.made)
    @rule(pick=PICKS)
    def release(self, pick):
        request = self.made[pick % len(self.made)]
        reply = self.store.call(Release(request.operation.reservation_id, request.operation.account, self.now_ms))
        self.done[f"release {request.state}"] += 1
        if request.state == "settled":
            assert reply.state == "settled"
        else:
            assert reply.repeated == (request.state != "reserved")
            request.state = "expired" if request.state == "expired" else "released"

    @precondition(lambda self: self.made)
    @rule(pick=PICKS, lasts_ms=st.integers(0, 2 * HOUR_MS))
    def extend(self, pick, lasts_ms):
        request = self.made[pick % len(self.made)]
        until_ms = self.now_ms + lasts_ms
        longer = request.state == "reserved" and until_ms > request.expires_ms
        assert self.store.call(Extend((request.operation.reservation_id,), until_ms)) == int(longer)
        if longer:
            request.expires_ms = until_ms
        self.done["extend"] += 1

    @rule(later_ms=st.sampled_from([1, HOUR_MS // 2, 5 * HOUR_MS]))
    def sweep_later(self, later_ms):
        self.now_ms += later_ms
        overdue = [one for one in self.made if one.state == "reserved" and one.expires_ms <= self.now_ms]
        assert self.store.call(Sweep(self.now_ms)) == len(overdue)
        for request in overdue:
            request.state = "expired"
        self.done["sweep"] += 1
        self.done["expired"] += len(overdue)

    @invariant()
    def adds_up(self):
        accounts = [self.account(letter) for letter in (*ACCOUNTS, SESSION)]
        checks = (*self.windows(accounts[0]), *self.windows(accounts[1]))
        *balances, counts = self.store._perform([*map(ReadBalance, accounts), ReadCounts(checks)])
        for account, balance in zip(accounts, balances, strict=True):
            assert balance[:3] == self.money(account)
            assert balance.free_wei >= 0
            assert balance.free_wei + balance.reserved_wei + balance.charged_wei == balance.granted_wei
        assert counts == tuple(self.used(check) for check in checks)
        for state in self.store.call(ReadSession(accounts[2])).channels:
            channel, (charged, reserved) = self.channels[state.channel_id], self.sums(state.channel_id)
            assert state[2:6] == (channel.signed, charged, reserved, channel.posted)
            assert charged + reserved <= channel.signed

    def teardown(self):
        # The store is used again: nothing of this example may be swept in the next.
        for request in self.made:
            if request.state == "reserved":
                self.store.call(Release(request.operation.reservation_id, request.operation.account, self.now_ms))


# In percent of the profile's examples: a server's answers take longer.
SHARES = {"MemoryStore": 25, "SqliteStore": 15, "PostgresqlStore": 8, "RedisStore": 8}


# What has to have happened for a run to prove anything; more rounds are played until it has.
NEEDED = {
    "grant", "reserve", "settle settled", "sweep", "reserve in session", "refused voucher_required", "batch line",
    "reserve exactly", "refused channel_busy", "refused cumulative_mismatch", "reserve more reserved", "refused more",
    "close", "refused session_closing", "closed",
}  # fmt: skip
ROUNDS = 10


def test_store__any_interleaving__adds_up_as_in_the_model(store, record_property):
    done: Counter[str] = Counter()
    kind = type(store).__name__
    examples = max(settings().max_examples * SHARES[kind] // 100, 1)
    for number in range(ROUNDS):
        if done.keys() >= NEEDED:
            break
        run_state_machine_as_test(
            seed(number)(lambda: Interleavings(store, done)),
            settings=settings(max_examples=examples, stateful_step_count=30, derandomize=False, database=None),
        )
    lines = [f"{name:20}{number}" for name, number in sorted(done.items())]
    record_property(f"{kind}: {examples} interleavings", lines)
    assert done.keys() >= NEEDED
