"""What every store does with sessions: nothing is served that no voucher covers, and a posted one serves nobody."""

import pytest

from api_billing.metering.ledger.batch_operations import ListBatches
from api_billing.metering.ledger.operations import Claim, Refused, Replay, Reserved, StoredResponse, Sweep
from api_billing.metering.ledger.session_operations import CloseByVoucher, CloseSession, NotPut, SeeChannel
from api_billing.metering.ledger.settlement_operations import (
    BeginPosting,
    EndPosting,
    NextOutgoing,
    OpenBook,
    Part,
    ReopenEnded,
    RetryRefused,
)
from api_billing.metering.ledger.vouchers import MAX_CHANNELS, MAX_KEPT, BySession, ChannelSums
from api_billing.results import ChannelState

from .sessions import BY_KEY, SIGNER, SessionDesk, channel_id, voucher

OTHER = "0x" + "07" * 20


@pytest.fixture
def session(desk):
    """A session with 1,000 wei on hold, and no voucher yet."""
    return SessionDesk(desk)


def refused(reply):
    """Code, and what has to be signed for an estimate of 10."""
    assert isinstance(reply, Refused)
    return reply.code, reply.channel.required_wei(10)


# --- reserve


def test_reserve__voucher_that_covers_it__is_set_aside_in_the_channel(session):
    assert isinstance(session.reserve(10, voucher(10)), Reserved)
    assert session.sums() == (10, 0, 10, 0)
    assert session.desk.balance().reserved_wei == 10


def test_reserve__voucher_that_is_one_wei_short__says_the_sum_and_keeps_nothing(session):
    assert refused(session.reserve(10, voucher(9))) == ("voucher_required", 10)
    assert session.state().channels == ()
    assert session.desk.balance().reserved_wei == 0


def test_reserve__same_voucher_twice__never_pays_two_requests(session):
    session.reserve(10, voucher(10))
    assert refused(session.reserve(10, voucher(10))) == ("voucher_required", 20)
    assert session.sums() == (10, 0, 10, 0)


def test_reserve__voucher_for_several__is_an_authority_and_not_a_ticket(session):
    replies = [session.reserve(10, voucher(30)) for _ in range(4)]
    assert [type(reply) for reply in replies] == [Reserved] * 3 + [Refused]
    assert refused(replies[3]) == ("voucher_required", 40)


def test_reserve__vouchers_in_the_wrong_order__both_count_as_far_as_the_higher_one_covers(session):
    assert isinstance(session.reserve(10, voucher(20)), Reserved)
    assert isinstance(session.reserve(10, voucher(10)), Reserved)
    assert session.sums() == (20, 0, 20, 0)


def test_reserve__refused_for_another_reason__keeps_no_voucher(session, calls):
    reply = session.desk.reserve(10, calls(0), session=voucher(10))[1]
    assert (reply.code, reply.channel) == ("quota_exceeded", None)
    assert session.state().channels == ()


def test_reserve__hold_that_is_too_small__is_what_is_said_and_not_how_much_to_sign(desk):
    session = SessionDesk(desk, 15)
    session.served(10, voucher(10))
    assert session.reserve(10, voucher(15)).code == "insufficient_credit"
    assert session.sums() == (10, 10, 0, 0)


def test_reserve__by_key_without_a_voucher_in_store__has_to_sign(session):
    assert refused(session.reserve(10, BY_KEY)) == ("voucher_required", 10)


def test_reserve__by_key_with_a_voucher_in_store__is_paid_by_the_channel_that_covers_it(session):
    session.put(voucher(10, 1))
    session.put(voucher(25, 2))
    assert isinstance(session.reserve(20, BY_KEY), Reserved)
    assert isinstance(session.reserve(10, BY_KEY), Reserved)
    assert (session.sums(1), session.sums(2)) == ((10, 0, 10, 0), (25, 0, 20, 0))
    assert refused(session.reserve(10, BY_KEY)) == ("voucher_required", 30)


def test_reserve__that_costs_nothing_by_key__needs_no_voucher(session):
    assert isinstance(session.reserve(0, BY_KEY), Reserved)


def test_reserve__of_another_signer_than_the_store_knows__is_refused(session):
    assert refused(session.reserve(10, voucher(10, signer=OTHER))) == ("voucher_required", 10)


def test_reserve__repeated_id__is_set_aside_once(session):
    made = session.reserve_op(10, voucher(10))
    assert session.desk.call(made) == session.desk.call(made)
    assert session.sums() == (10, 0, 10, 0)


def test_reserve__seventeenth_channel__is_refused(session):
    for number in range(1, MAX_CHANNELS + 1):
        session.put(voucher(10, number))
    assert session.reserve(10, voucher(10, 17)).code == "too_many_channels"
    assert session.put(voucher(10, 17)) == NotPut("too_many_channels")
    assert isinstance(session.reserve(10, voucher(10, 16)), Reserved)


# --- the exact rule of x402


def exact(cumulative_wei, number=1):
    return voucher(cumulative_wei, number, exact=True)


def test_reserve__exact_voucher_for_what_is_charged_and_estimated__is_set_aside(session):
    session.served(10, exact(10), cost_wei=4)
    assert isinstance(session.reserve(10, exact(14)), Reserved)
    assert session.sums() == (14, 4, 10, 0)


@pytest.mark.parametrize("signed", [10, 13, 15, 24])
def test_reserve__exact_voucher_for_more_or_less__is_refused_with_the_sums_and_keeps_nothing(session, signed):
    session.served(10, exact(10), cost_wei=4)
    reply = session.reserve(10, exact(signed))
    assert refused(reply) == ("cumulative_mismatch", 14)
    assert reply.channel == session.channel()._replace(signature=voucher(10).signature)
    assert session.sums() == (10, 4, 0, 0)


def test_reserve__exact_voucher_while_a_request_is_served__is_busy_also_when_it_covers_both(session):
    session.reserve(10, exact(10))
    for signed in (10, 20):
        assert refused(session.reserve(10, exact(signed))) == ("channel_busy", 20)
    assert isinstance(session.reserve(10, exact(10, 2)), Reserved)
    assert session.sums() == (10, 0, 10, 0)


def test_reserve__exact_voucher_after_one_was_posted__is_for_one_wei_more_than_that(session):
    session.served(10, voucher(50))
    session.desk.cut()
    for signed in (20, 50, 52):
        assert refused(session.reserve(10, exact(signed))) == ("cumulative_mismatch", 51)
    assert isinstance(session.reserve(10, exact(51)), Reserved)


def test_reserve__exact_voucher_below_what_is_signed__pays_for_its_own_request(session):
    session.put(voucher(100))
    assert isinstance(session.reserve(10, exact(10)), Reserved)
    assert session.sums() == (100, 0, 10, 0)


def test_reserve__exact_voucher_for_what_costs_nothing__is_for_one_wei(session):
    assert session.reserve(0, exact(0)).code == "cumulative_mismatch"
    assert isinstance(session.reserve(0, exact(1)), Reserved)


def shown(reply):
    return reply.channel.signed_wei, reply.channel.signature


def test_refused__exact_voucher_that_is_not_public__is_shown_the_highest_one(session):
    session.served(10, voucher(10))
    session.put(voucher(30))
    assert shown(session.reserve(10, exact(15))) == (30, voucher(30).signature)
    assert shown(session.reserve(10, voucher(5, 2))) == (5, "")


def test_refused__public_exact_voucher__is_shown_only_what_is_public(session):
    session.put(voucher(30))
    session.served(10, voucher(20))
    session.desk.cut()
    assert shown(session.reserve(10, exact(20))) == (20, voucher(20).signature)
    session.served(20, BY_KEY)
    assert shown(session.reserve(10, exact(20))) == (20, "")


def test_session__read_or_answered_with__has_no_signature(session):
    made = session.reserve_op(30, voucher(100))
    answers = [session.desk.call(made).channel, session.desk.settle(made.reservation_id, 20).channel, session.channel()]
    assert [each.signature for each in answers] == [""] * 3


# --- the end of a request


def test_settle__less_than_the_estimate__leaves_the_rest_to_the_next_request(session):
    session.served(10, voucher(10), cost_wei=4)
    assert session.sums() == (10, 4, 0, 0)
    assert isinstance(session.reserve(6, voucher(10)), Reserved)


def test_settle__more_than_the_estimate__is_charged_the_estimate_and_the_rest_is_told(session):
    reservation_id, _ = session.desk.reserve(10, session=voucher(100))
    reply = session.desk.settle(reservation_id, 25)
    assert (reply.charged_wei, reply.uncollected_wei) == (10, 15)
    assert session.sums() == (100, 10, 0, 0)


def test_release__gives_the_channel_back_what_was_set_aside(session):
    reservation_id, _ = session.desk.reserve(10, session=voucher(10))
    session.desk.release(reservation_id)
    session.desk.release(reservation_id)
    assert session.sums() == (10, 0, 0, 0)
    assert isinstance(session.reserve(10, voucher(10)), Reserved)


@pytest.mark.parametrize(("signed_meanwhile", "charged"), [(20, 10), (14, 4), (10, 0)])
def test_settle__after_it_expired__is_charged_what_is_signed_and_free_by_then(session, signed_meanwhile, charged):
    reservation_id, _ = session.desk.reserve(10, session=voucher(10))
    session.desk.call(Sweep(session.desk.now_ms + 60_000))
    session.served(10, voucher(10))
    session.put(voucher(signed_meanwhile))
    reply = session.desk.settle(reservation_id, 12)
    assert (reply.charged_wei, reply.uncollected_wei, reply.late) == (charged, 12 - charged, True)
    assert session.sums() == (signed_meanwhile, 10 + charged, 0, 0)


# --- more for a request that is being served


def test_reserve_more__within_what_is_signed__sets_it_aside_and_is_charged(session):
    made = session.reserve_op(10, voucher(30))
    session.desk.call(made)
    assert isinstance(session.desk.reserve_more(made, 30), Reserved)
    assert session.sums() == (30, 0, 30, 0)
    assert session.desk.settle(made.reservation_id, 35).charged_wei == 30
    assert session.sums() == (30, 30, 0, 0)


def test_reserve_more__than_is_signed__says_what_is_missing_and_goes_on_when_it_is_signed(session):
    made = session.reserve_op(10, voucher(30))
    session.desk.call(made)
    reply = session.desk.reserve_more(made, 31)
    assert (reply.code, reply.channel.required_wei(21)) == ("voucher_required", 31)
    assert session.sums() == (30, 0, 10, 0)
    session.put(voucher(31))
    assert isinstance(session.desk.reserve_more(made, 31), Reserved)
    assert session.sums() == (31, 0, 31, 0)


def test_reserve_more__after_the_voucher_was_posted__needs_a_higher_one(session):
    made = session.reserve_op(10, voucher(100))
    session.desk.call(made)
    session.served(10, voucher(100))
    session.desk.cut()
    reply = session.desk.reserve_more(made, 20)
    assert (reply.code, reply.channel.required_wei(10)) == ("voucher_required", 101)
    session.put(voucher(101))
    assert isinstance(session.desk.reserve_more(made, 20), Reserved)


def test_reserve_more__by_key_in_the_channel_that_paid__is_set_aside_there(session):
    session.put(voucher(100, 1))
    made = session.reserve_op(10, BY_KEY)
    session.desk.call(made)
    session.put(voucher(100, 2))
    session.desk.reserve_more(made, 50)
    assert (session.sums(1), session.sums(2)) == ((100, 0, 50, 0), (100, 0, 0, 0))


def test_reserve_more__for_what_began_without_a_voucher__has_to_sign(session):
    made = session.reserve_op(0, BY_KEY)
    session.desk.call(made)
    session.put(voucher(100))
    assert session.desk.reserve_more(made, 10).code == "voucher_required"
    assert session.desk.balance().reserved_wei == 0


def test_reserve_more__of_a_session_that_is_closing_or_gone__is_refused(session):
    made = session.reserve_op(10, voucher(100))
    session.desk.call(made)
    session.close()
    assert session.desk.reserve_more(made, 20).code == "session_closing"
    session.see(1000, signer=OTHER)
    assert session.desk.reserve_more(made, 20).code == "voucher_required"


def test_reserve_more__then_released_or_expired__holds_nothing(session):
    for end in (session.desk.release, lambda _: session.desk.call(Sweep(session.desk.now_ms + 60_000))):
        made = session.reserve_op(10, voucher(100))
        session.desk.call(made)
        session.desk.reserve_more(made, 60)
        end(made.reservation_id)
        assert session.sums() == (100, 0, 0, 0)
        assert session.desk.balance().reserved_wei == 0


# --- vouchers that are put


def test_put__lower_or_equal_voucher__changes_no_sum(session):
    assert session.put(voucher(20)) == session.put(voucher(20)) == session.put(voucher(10))
    assert session.sums() == (20, 0, 0, 0)


def test_put__for_nothing__takes_no_channel(session):
    assert session.put(voucher(0)) == ChannelSums(channel_id())
    assert session.state().channels == ()


def test_put__where_no_session_is__is_refused(desk):
    session = SessionDesk(desk, signer=OTHER)
    assert session.put(voucher(10)) == NotPut("no_session")


def test_put__amounts_up_to_the_largest__are_exact(session):
    assert session.put(voucher(2**128 - 1)).signed_wei == 2**128 - 1
    session.served(10, BY_KEY)
    assert session.desk.cut().lines[0].voucher.cumulative_wei == 2**128 - 1


# --- batches


def test_batch__of_a_session__has_the_lowest_voucher_that_covers_what_was_charged(session):
    for cumulative in (10, 20, 45, 100):
        session.put(voucher(cumulative))
    session.served(15, BY_KEY)
    (line,) = session.desk.cut().lines
    assert (line.channel, line.voucher.cumulative_wei, line.voucher.salt) == (channel_id(), 20, channel_id())
    assert line.voucher.signature == voucher(20).signature
    assert session.sums() == (100, 15, 0, 20)


def test_batch__posted_voucher__serves_nobody_until_more_is_signed(session):
    session.served(10, voucher(50))
    session.desk.cut()
    for by in (voucher(50), voucher(30), BY_KEY):
        assert refused(session.reserve(10, by)) == ("voucher_required", 51)
    assert isinstance(session.reserve(10, voucher(51)), Reserved)
    assert isinstance(session.reserve(10, BY_KEY), Reserved)
    assert session.sums() == (51, 10, 20, 50)


def test_batch__of_what_cost_nothing__posts_no_voucher(session):
    session.served(100, voucher(100), 0)
    (line,) = session.desk.cut().lines
    assert (line.calls, line.amount_wei, line.voucher) == (1, 0, None)
    assert session.sums() == (100, 0, 0, 0)
    session.served(100, voucher(100, exact=True))


def test_close__with_a_channel_that_cost_nothing_after_it__is_on_the_line_with_a_voucher(session):
    session.served(10, voucher(10, 2))
    session.served(10, voucher(10, 3), 0)
    session.served(10, voucher(10, 1), 0)
    session.close()
    lines = session.desk.cut().lines
    assert sorted((line.amount_wei, line.voucher is not None, line.close) for line in lines) == [
        (0, False, False),
        (0, False, False),
        (10, True, True),
    ]


def test_batch__posted_voucher_and_a_request_for_nothing__is_refused_too(session):
    session.served(10, voucher(50))
    session.desk.cut()
    assert session.reserve(0, voucher(50)).code == "voucher_required"


def test_batch__higher_voucher_in_store__goes_on_serving(session):
    session.put(voucher(10))
    session.put(voucher(30))
    session.served(10, BY_KEY)
    session.desk.cut()
    assert isinstance(session.reserve(10, BY_KEY), Reserved)


def test_batch__request_that_was_being_served__is_in_the_next_one_under_a_voucher_that_covers_it(session):
    session.put(voucher(10))
    reservation_id, _ = session.desk.reserve(10, session=voucher(20))
    session.served(10, BY_KEY)
    assert session.desk.cut().lines[0].voucher.cumulative_wei == 10
    session.desk.settle(reservation_id, 10)
    assert session.desk.cut().lines[0].voucher.cumulative_wei == 20
    assert session.sums() == (20, 20, 0, 20)


def test_batch__several_channels_of_a_consumer__are_several_lines(session):
    session.served(10, voucher(10, 1))
    session.served(7, voucher(8, 2))
    session.served(3, voucher(20, 1))
    lines = session.desk.cut().lines
    assert [(line.channel, line.calls, line.amount_wei, line.voucher.cumulative_wei) for line in lines] == [
        (channel_id(1), 2, 13, 20),
        (channel_id(2), 1, 7, 8),
    ]


def test_batch__more_channels_than_a_settlement_takes__are_left_for_the_next(desk):
    for number in range(70):
        desk.account = f"weather/{number}"
        SessionDesk(desk).served(1, voucher(1, number))
    batches = [desk.cut(), desk.cut(), desk.cut()]
    assert [batch and len(batch.lines) for batch in batches] == [64, 6, None]


def test_batch__read_again__has_its_vouchers(session):
    session.served(10, voucher(10))
    batch = session.desk.cut()
    assert session.desk.call(ListBatches(session.desk.api)) == (batch,)


def test_batch__many_vouchers_kept__are_bounded_and_the_highest_stays(session):
    for cumulative in range(1, 3 * MAX_KEPT):
        session.put(voucher(cumulative))
    assert session.channel().signed_wei == 3 * MAX_KEPT - 1
    session.served(5, BY_KEY)
    assert session.desk.cut().lines[0].voucher.cumulative_wei == 5
    session.served(20, BY_KEY)
    assert session.desk.cut().lines[0].voucher.cumulative_wei == 3 * MAX_KEPT - 1


# --- idempotency


KEY = Claim("weather/key", "GET /")
RESPONSE = StoredResponse(200, (), b"served")


def claimed(session, by, estimate_wei=10):
    reservation_id, reply = session.desk.reserve(estimate_wei, session=by, claim=KEY)
    if isinstance(reply, Reserved):
        session.desk.settle(reservation_id, estimate_wei, response=RESPONSE)
    return reply


def test_claim__same_voucher_after_it_was_posted__gets_the_stored_response(session):
    claimed(session, voucher(10))
    session.desk.cut()
    assert isinstance(claimed(session, voucher(10)), Replay)
    assert session.sums() == (10, 10, 0, 10)


def test_claim__other_posted_voucher__gets_nothing(session):
    claimed(session, voucher(10))
    session.served(10, voucher(20))
    session.desk.cut()
    assert claimed(session, voucher(20)).code == "voucher_required"
    assert claimed(session, voucher(15)).code == "voucher_required"


def test_claim__exact_voucher_that_was_served__gets_the_stored_response_whatever_is_reserved(session):
    claimed(session, exact(10))
    session.reserve(10, exact(20))
    assert isinstance(claimed(session, exact(10)), Replay)
    assert session.sums() == (20, 10, 10, 0)


def test_claim__exact_voucher_after_its_response_was_cut_off__is_for_the_whole_estimate(session):
    reservation_id, _ = session.desk.reserve(10, session=exact(10), claim=KEY)
    session.desk.settle(reservation_id, 4)
    assert claimed(session, exact(10)).code == "cumulative_mismatch"
    assert isinstance(claimed(session, exact(14)), Reserved)
    assert session.sums() == (14, 10, 0, 0)


def test_claim__voucher_that_is_not_public__gets_the_stored_response_and_is_not_charged(session):
    claimed(session, voucher(10))
    session.desk.cut()
    assert isinstance(claimed(session, voucher(30)), Replay)
    assert session.sums() == (10, 10, 0, 10)


# --- what the chain has


def test_see_session__channel_that_the_chain_has__begins_there(desk):
    session = SessionDesk(desk, 1000, ChannelState(channel_id(), 50, 30))
    assert session.sums() == (50, 30, 0, 50)
    assert refused(session.reserve(10, voucher(50))) == ("voucher_required", 51)
    assert isinstance(session.reserve(21, voucher(51)), Reserved)


def test_see_channel__of_an_earlier_session__begins_where_the_chain_is(session):
    for _ in range(2):
        session.desk.call(SeeChannel(session.desk.account, ChannelState(channel_id(), 50, 30)))
    assert session.state().channels == ()
    assert refused(session.reserve(10, voucher(50))) == ("voucher_required", 51)
    session.served(10, voucher(51))
    assert session.sums() == (51, 40, 0, 50)
    assert session.desk.cut().lines[0].amount_wei == 10


def test_see_session__store_that_is_further_than_the_chain__keeps_its_own(session):
    session.served(10, voucher(10))
    session.see(1000, signer=OTHER)
    session.see(1000, ChannelState(channel_id(), 5, 3))
    assert session.sums() == (10, 10, 0, 5)
    assert session.desk.cut().lines[0].voucher.cumulative_wei == 10


def test_see_session__other_signer__has_no_channel_of_the_former_one(session):
    session.served(10, voucher(20))
    session.see(1000, signer=OTHER)
    assert session.state().channels == ()
    assert session.reserve(10, BySession(OTHER)).code == "voucher_required"
    assert session.reserve(10, voucher(30)).code == "voucher_required"
    assert session.state().signer == OTHER


# --- closing


def in_flight(desk):
    """The next batch, on its way."""
    desk.call(OpenBook(desk.api, "0xc0", 1))
    batch = desk.cut()
    assert desk.call(BeginPosting(desk.api, batch.sequence, desk.now_ms)) is not None
    return batch


def ended(desk, batch, code=""):
    parts = tuple(Part(0, 0, code) if code else Part(line.calls, line.amount_wei) for line in batch.lines)
    assert desk.call(EndPosting(desk.api, batch.sequence, desk.now_ms, parts)) is not None


def test_close__last_line_of_the_last_batch__closes_the_session(session):
    session.served(10, voucher(10, 1))
    session.served(10, voucher(10, 2))
    assert session.close().is_closing
    assert session.reserve(10, voucher(20)).code == "session_closing"
    assert session.put(voucher(20)) == NotPut("session_closing")
    batch = in_flight(session.desk)
    assert [line.close for line in batch.lines] == [False, True]
    assert session.state().is_closing
    ended(session.desk, batch)
    assert not session.state().is_closing
    assert session.desk.balance().free_wei == 0


def test_close__by_a_voucher__keeps_it_and_closes(session):
    session.served(10, voucher(10))
    state = session.desk.call(CloseByVoucher(session.desk.account, voucher(15)))
    assert (state.is_closing, state.channels[0].signed_wei) == (True, 15)
    assert session.desk.call(CloseByVoucher(session.desk.account, voucher(15))) == state
    assert session.desk.cut().lines[0].close


@pytest.mark.parametrize("signed", [9, 10])
def test_close__by_a_public_voucher__is_refused_with_what_is_public(session, signed):
    session.served(10, voucher(10))
    session.desk.cut()
    session.served(5, voucher(20))
    reply = session.desk.call(CloseByVoucher(session.desk.account, voucher(signed)))
    assert reply == NotPut("voucher_required", session.channel()._replace(signed_wei=10, charged_wei=10))
    assert not session.state().is_closing


@pytest.mark.parametrize(("number", "signer", "code"), [(1, OTHER, "no_session"), (17, SIGNER, "too_many_channels")])
def test_close__by_a_voucher_that_cannot_be_put__is_refused(session, number, signer, code):
    for each in range(1, MAX_CHANNELS + 1):
        session.put(voucher(10, each))
    session.served(10, BY_KEY)
    reply = session.desk.call(CloseByVoucher(session.desk.account, voucher(20, number, signer)))
    assert reply.code == code
    assert not session.state().is_closing


def test_close__while_a_request_is_served__waits_for_the_batch_that_has_it(session):
    reservation_id, _ = session.desk.reserve(10, session=voucher(20))
    session.served(10, voucher(20))
    session.close()
    assert [line.close for line in session.desk.cut().lines] == [False]
    session.desk.settle(reservation_id, 10)
    assert [line.close for line in session.desk.cut().lines] == [True]


def test_close__with_usage_beyond_the_batch__waits_for_the_last_one(session):
    for cumulative in (10, 20, 30):
        session.served(10, voucher(cumulative))
    session.close()
    assert [session.desk.cut(max_records=2).lines[-1].close for _ in range(2)] == [False, True]


@pytest.mark.parametrize("ends", ["closed", "another signer's"])
def test_settle__after_its_session_ended__is_charged_nothing(session, ends):
    reservation_id, _ = session.desk.reserve(10, session=voucher(100))
    session.served(10, voucher(100))
    session.desk.call(Sweep(session.desk.now_ms + 60_000))
    if ends == "closed":
        session.close()
        assert session.desk.cut().lines[0].close
    else:
        session.see(1000, signer=OTHER)
    reply = session.desk.settle(reservation_id, 10)
    assert (reply.charged_wei, reply.uncollected_wei, reply.late) == (0, 10, True)


def test_close__of_a_session_with_nothing_left_to_bill__is_not_closing(session):
    session.served(10, voucher(10))
    session.desk.cut()
    assert not session.close().is_closing
    assert isinstance(session.reserve(10, voucher(20)), Reserved)


def test_close__and_what_was_served_is_given_back__serves_again(session):
    reservation_id, _ = session.desk.reserve(10, session=voucher(10))
    session.close()
    session.desk.release(reservation_id)
    assert not session.state().is_closing
    assert isinstance(session.reserve(10, voucher(10)), Reserved)
    assert isinstance(session.reserve(10, voucher(20)), Reserved)


def test_close__undone_by_an_appeal__is_closing_again_and_posted_with_the_same_vouchers(session):
    session.served(10, voucher(10))
    session.close()
    batch = in_flight(session.desk)
    ended(session.desk, batch)
    assert session.desk.call(ReopenEnded(session.desk.api, 1)).sequences == (1,)
    assert session.desk.call(NextOutgoing(session.desk.api)).batch == batch
    assert session.put(voucher(20)) == NotPut("session_closing")
    ended(session.desk, batch)
    assert not session.state().is_closing


def test_retry__of_a_refused_line__has_a_voucher_again_and_still_closes(session):
    session.served(10, voucher(10))
    session.served(10, voucher(20))
    session.close()
    batch = in_flight(session.desk)
    ended(session.desk, batch, "daily_spend_exceeded")
    again = session.desk.call(RetryRefused(session.desk.api, batch.sequence, session.desk.now_ms))
    (line,) = again.lines
    assert (line.channel, line.voucher.cumulative_wei, line.close) == (channel_id(), 20, True)
    assert session.channel().batched_wei == 20
    assert session.state().is_closing


def test_close__of_an_account_without_a_session__is_none(desk):
    assert desk.call(CloseSession(desk.account)) is None


def test_reserve_and_settle__of_a_session__answer_with_the_channel_as_it_is_then(session):
    made = session.reserve_op(30, voucher(100))
    assert session.desk.call(made).channel == session.channel()
    assert session.channel()[2:5] == (100, 0, 30)
    settled = [session.desk.settle(made.reservation_id, 20).channel for _ in range(2)]
    assert settled == [session.channel()] * 2
    assert session.channel()[2:5] == (100, 20, 0)
