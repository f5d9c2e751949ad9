"""Contracts in the style of public ones: wide parts of the library together, each method with what it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Receipt

WIDE = """
import datetime, json, typing
from dataclasses import asdict, dataclass, field, replace

T = typing.TypeVar("T")

@allow_storage
class Base:
    owner: Address
    when: datetime.datetime

@allow_storage
@dataclass
class Inner:
    a: u8
    tags: DynArray[str]
    scores: TreeMap[str, i64]

@allow_storage
@dataclass
class Outer(Base):
    inner: Inner
    inners: DynArray[Inner]
    fixed: Array[Inner, typing.Literal[2]]

@gl.storage.allow_storage
@dataclass
class Pair(typing.Generic[T]):
    left: T
    right: T

@allow_storage
@dataclass
class Box[I]:
    item: I
    many: DynArray[I]

@allow_storage
@dataclass(order=True)
class Ranked:
    rank: u8 = u8(3)
    tags: DynArray[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"#{self.rank}"

@gl.contract_interface
class Token:
    class View:
        def balance_of(self, who: Address, /) -> u256: ...
    class Write:
        def transfer(self, to: Address, amount: u256, /) -> None: ...

@gl.evm.contract_interface
class Erc20:
    class View:
        def balanceOf(self, who: Address, /) -> u256: ...
    class Write:
        def transfer(self, to: Address, amount: u256, /) -> bool: ...
        def batch(self, to: list[Address], data: gl.evm.bytes32, blob: bytes, /) -> None: ...

class Moved(gl.Event):
    def __init__(self, source: Address, target: Address, /, **blob): ...

type Votes = TreeMap[str, u8]

class Counting:
    extra: u8

    @gl.public.view
    def counted(self) -> int:
        return self.extra

class Wide(Counting, gl.Contract):
    outer: Outer
    outers: TreeMap[Address, Outer]
    pair: Pair[str]
    pairs: TreeMap[u256, Pair[u64]]
    box: Box[Pair[u8]]
    pointer: gl.storage.Indirection[Inner]
    growing: gl.storage.Indirection[gl.storage.VLA[u16]]
    matrix: DynArray[DynArray[u8]]
    votes: Votes
    ranked: DynArray[Ranked]
    balances: TreeMap[Address, TreeMap[Address, u256]]
    limit: typing.ClassVar[int] = 5

    def __init__(self):
        self.outers = TreeMap()
        self.extra = self.limit

    @gl.public.write
    def nested(self) -> list:
        inner = Inner(u8(1), ["a", "b"], gl.storage.inmem_allocate(TreeMap[str, i64]))
        inner.scores["x"] = i64(-5)
        self.outer.inner = inner
        self.outer.inners.extend([inner, self.outer.inner])
        self.outer.inners[1].tags.append("c")
        self.outer.fixed[1] = inner
        self.outer.fixed[1].a = u8(9)
        self.outer.when = datetime.datetime.now(datetime.timezone.utc)
        self.outers[gl.message.sender_address] = self.outer
        stored = self.outers[gl.message.sender_address]
        stored.inner.scores["y"] = i64(7)
        copied = gl.storage.copy_to_memory(self.outer)
        copied.inner.a = u8(100)
        return [stored.inner, [list(i.tags) for i in stored.inners], [i.a for i in stored.fixed], self.outer.inner.a]

    @gl.public.write
    def generic(self) -> list:
        self.pair = gl.storage.inmem_allocate(Pair[str], "l", "r")
        self.pairs[u256(1)] = Pair(u64(1), u64(2))
        self.pairs[u256(1)].left += 5
        self.box.item = Pair(u8(1), u8(2))
        self.box.many.append(Pair(u8(3), u8(4)))
        return [repr(self.pair), self.pairs[u256(1)].left, self.box.many[0].right]

    @gl.public.write
    def indirect(self) -> list:
        self.pointer.get().a = u8(3)
        self.pointer.get().tags.append("t")
        growing = self.growing.get()
        growing.extend([u16(5), u16(6), u16(7)])
        growing.truncate(2)
        return [self.pointer.get(), list(self.growing.get()), growing[-1]]

    @gl.public.write
    def collections(self) -> list:
        self.matrix.append([u8(1), u8(2)])
        self.matrix.append_new_get().extend([u8(3)])
        self.matrix[0] = [u8(9), u8(8)]
        self.votes.update({"b": 1, "a": 2})
        self.ranked.extend([Ranked(), Ranked(u8(1), ["z"]), Ranked(u8(2))])
        self.ranked = [r for r in self.ranked if r.rank != 3]
        me = gl.message.sender_address
        self.balances.get_or_insert_default(me)[me] = u256(1)
        self.balances[me][me] += 4
        return [
            self.matrix, sorted(self.matrix[0]), max(self.votes.items(), key=lambda vote: vote[1]),
            [r.label for r in sorted(self.ranked)], asdict(self.ranked[0])["tags"],
            replace(self.ranked[0], rank=7).rank,
            self.balances[me][me], f"{self.ranked}", [a < b for a, b in zip(self.ranked, self.ranked[1:])],
        ]

    @gl.public.write.payable
    def evm(self, to: Address) -> list:
        token = Erc20(to)
        token.emit().transfer(to, u256(5))
        token.emit(value=u256(2)).batch([to], b"x" * 32, b"yy")
        token.emit_transfer(value=u256(1))
        Token(to).emit(value=u256(1), on="accepted").transfer(to, u256(1))
        Moved(to, gl.message.sender_address, amount=5).emit()
        gl.advanced.emit_raw_event([b"t" * 32], {"a": 1})
        return [token.address == Token(to).address, self.balance]

    @gl.public.write
    def judge(self) -> dict:
        def fetch():
            page = gl.nondet.web.render("http://page", mode="text")
            return {"page": page, **gl.nondet.exec_prompt("classify " + page, response_format="json")}

        def validator(leaders) -> bool:
            return isinstance(leaders, gl.vm.Return) and leaders.calldata == fetch()

        return {
            "strict": gl.eq_principle.strict_eq(fetch),
            "comparative": gl.eq_principle.prompt_comparative(lambda: json.dumps(fetch()), "the same"),
            "non_comparative": gl.eq_principle.prompt_non_comparative(lambda: "text", task="t", criteria="c"),
            "custom": gl.vm.run_nondet_unsafe(fetch, validator),
            "sandbox": gl.vm.unpack_result(gl.vm.spawn_sandbox(lambda: self.limit)),
            "lazy": gl.eq_principle.strict_eq.lazy(lambda: 7).get(),
        }
"""
OUTCOMES: dict[str, Any] = {
    "nested": [
        {"a": 1, "scores": {"x": -5, "y": 7}, "tags": ["a", "b"]},
        [["a", "b"], ["a", "b", "c"]],
        [0, 9],
        1,
    ],
    "generic": ["Pair(left='l', right='r')", 6, 4],
    "indirect": [{"a": 3, "scores": {}, "tags": ["t"]}, [5, 6], 6],
    "collections": [
        [[9, 8], [3]],
        [8, 9],
        ["a", 2],
        ["#1", "#2"],
        ["z"],
        7,
        5,
        "[Ranked(rank=1, tags=['z']),Ranked(rank=2, tags=[])]",
        [True],
    ],
    "judge": {
        "strict": {"page": "hello", "k": 1},
        "comparative": '{"page": "hello", "k": 1}',
        "non_comparative": "done",
        "custom": {"page": "hello", "k": 1},
        "sandbox": 5,
        "lazy": 7,
    },
    "counted": 5,
}


@pytest.fixture
def wide(localnet: Localnet, deploy: Callable[..., Receipt]) -> Address:
    localnet.mock_web("http://page", "hello")
    localnet.mock_prompt("classify", {"k": 1})
    localnet.prompt_handler = lambda prompt, node: "done" if prompt.template == "EqNonComparativeLeader" else True
    return deploy(WIDE).address


@pytest.mark.parametrize("method", OUTCOMES)
def test_public_style__method__gives_what_it_does_on_a_network(
    localnet: Localnet, alice: Address, wide: Address, method: str
) -> None:
    receipt = localnet.write(wide, method, sender=alice)
    assert receipt.value == OUTCOMES[method], receipt.stderr


def test_public_style__evm_and_events__are_sent(
    localnet: Localnet, alice: Address, bob: Address, wide: Address
) -> None:
    receipt = localnet.write(wide, "evm", bob, sender=alice, value=100)
    assert receipt.value == [True, 96], receipt.stderr
    assert [(message.kind, message.value) for message in receipt.messages] == [
        ("EthSend", 0),
        ("EthSend", 2),
        ("EthSend", 1),
        ("PostMessage", 1),
    ]
    assert [event.name for event in receipt.events] == ["Moved", None]


def test_public_style__schema__names_every_method(localnet: Localnet, wide: Address) -> None:
    assert sorted(localnet.schema(wide)["methods"]) == sorted([*OUTCOMES, "evm"])
