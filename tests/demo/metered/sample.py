"""Figures as a run without any flaw would have them."""

from api_billing.results import Solvency
from demo.metered.contract_consumer import Fetch
from demo.metered.figures import (
    BatchFigures,
    ConsumerFigures,
    ContractFigures,
    MeteredFigures,
    OperatorFigures,
    Used,
)
from demo.metered.plan import AT_THE_DOOR, Role
from demo.metered.redress import DisputeFigures, RefundFigures

GEN = 10**18
OK_SHARE = 10


def consumer(number: int, role: Role = Role.ORDINARY, *, replayed: int = 0) -> ConsumerFigures:
    """One that was charged 10 calls of 3 wei."""
    extra = {Role.SHORT_HOLD: (402, "insufficient_credit"), Role.TRIAL: (429, "quota_exceeded"), Role.FAILS: (500, "")}
    extra[Role.SESSION] = (402, "voucher_required")
    answers = {(200, ""): OK_SHARE + replayed} | ({extra[role]: 2} if role in extra else {})
    used = Used(OK_SHARE, 30)
    return ConsumerFigures(
        address=f"0x{number:040x}",
        role=role,
        requests=sum(answers.values()),
        answers=answers,
        replayed=replayed,
        allowed=OK_SHARE,
        days=1,
        seen=used,
        metered=used,
        billed=used,
        held_wei=100,
        hold_left_wei=70,
        signed_wei=30 if role in (Role.SESSION, *AT_THE_DOOR) else 0,
    )


def figures(ordinary: int = 2) -> MeteredFigures:
    """The seven with a role, and some without; a contract that paid two calls of 50 wei."""
    roles = [consumer(1, Role.SHORT_HOLD), consumer(2, Role.TRIAL), consumer(3, Role.REPEATS, replayed=1)]
    roles += [consumer(4, Role.FAILS), consumer(5, Role.SESSION), consumer(6, Role.X402), consumer(7, Role.MPP)]
    consumers = (*roles, *(consumer(8 + number) for number in range(ordinary)))
    billed = sum((each.billed for each in consumers), Used())
    half = Used(billed.calls // 2, billed.wei // 2)
    rest = billed - half
    earned_wei = billed.wei + 100 - 3
    answers = {key: sum(each.answers.get(key, 0) for each in consumers) for each in consumers for key in each.answers}
    return MeteredFigures(
        environment="a test",
        contract="0x" + "cc" * 20,
        answers=answers,
        load_seconds=1.5,
        latencies=tuple(number / 1000 for number in range(1, sum(answers.values()) + 1)),
        consumers=consumers,
        contract_consumer=ContractFigures(
            "0x" + "dd" * 20,
            "http://127.0.0.1:1/fixed",
            (
                Fetch("fetch-1", "fetched", '{"costs": "1 gwei"}', "demo:0xdd:1:1"),
                Fetch("fetch-2", "fetched", "[bold]not markup[/]\x1b[2J", "demo:0xdd:1:2"),
                Fetch("fetch-3", "denied", "insufficient_credit", ""),
            ),
            billed=Used(2, 100),
            redeemed=2,
        ),
        batches=(
            BatchFigures(1, "settled", 5, half, half, 0.7, True, "0x" + "11" * 32),
            BatchFigures(2, "settled", 5, rest, rest, 1.7, False, "0x" + "22" * 32),
        ),
        reconciled_lines=len(consumers),
        is_zero=True,
        reasons=(),
        refund=RefundFigures("0x" + "04" * 20, 3, 3),
        operator=OperatorFigures("0x" + "ee" * 20, earned_wei, earned_wei, 0, 10 * GEN, 10 * GEN + earned_wei, 0),
        dispute=DisputeFigures("0x" + "04" * 20, "0x" + "99" * 20, 20_000, 40, 50, "[b]no answers[/]", 20, 20, 20),
        solvency=Solvency(500, 500, 0, 80, 420, 0, 500 + earned_wei, earned_wei, 0),
    )
