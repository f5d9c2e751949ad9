# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

"""What a careless minifier breaks, each in a method that shows it."""
# ruff: noqa: B009, C416, PIE804, UP037 - that is the point of them

from __future__ import annotations

import collections
import functools
import typing
from dataclasses import dataclass, field

from genlayer import *
from genlayer.py.keccak import Keccak256 as Hash

PLACES = 3
STANDARD = "standard"


class Moved(gl.Event):
    def __init__(self, source: Address, target: Address, /, **blob): ...


class Refused(gl.vm.UserError):
    pass


class Pair(typing.NamedTuple):
    first: int
    second: int = PLACES


@allow_storage
@dataclass
class Record:
    count: u256
    label: str


@dataclass
class Answer:
    number: int
    texts: list[str] = field(default_factory=list)


def called_by_name(value, *, times: int = 2, **others: int) -> int:
    return value * times + sum(others.values())


def _handed_on(key: str, default: int = 0) -> int:
    return len(key) + default


def _unpacked(first: int, second: int = 1) -> int:
    return first - second


def _by_names(function: typing.Callable) -> typing.Callable:
    def call(number: int) -> int:
        return function(number=number, power=2)

    return call


@_by_names
def _decorated(number: int, power: int) -> int:
    return number**power


def _numbers(count: int) -> typing.Iterator[int]:
    for number in range(count):
        step: int = number * 2
        yield step


class Tricky(gl.Contract):
    a: u256
    places: Array[u256, typing.Literal[3]]
    records: TreeMap[str, Record]

    def __init__(self, label: str, /, start: int = PLACES) -> None:
        self.a = u256(start)
        self.records[label] = Record(u256(1), label=label)

    @gl.public.write
    def move(self, target: "Address", note: str = STANDARD) -> None:
        """The fields of an event keep their names."""
        Moved(gl.message.sender_address, target, note=note).emit()

    @gl.public.write
    def refuse(self, code: str) -> None:
        raise Refused(f"[EXPECTED] {code}: {'no' if code else ''}")

    @gl.public.view
    def answer(self) -> Answer:
        return Answer(1, texts=["a"])

    @gl.public.view
    def loops(self, numbers: list[int]) -> list:
        by_name = {name: dict(record) for name, record in {"x": {1: numbers}}.items()}
        again = {name: list(record) for name, record in {"y": (1, 2)}.items()}
        nested = [[list(inner) for inner in outer] for outer in [[numbers]]]
        shadowed = [[numbers for numbers in (numbers, 1)] for _ in range(2)]
        with_lambda = [(lambda number, plus=1: number + plus)(2 * number, plus=2) for number in numbers]
        return [str(by_name), again, nested, shadowed, with_lambda, list(_numbers(PLACES))]

    @gl.public.view
    def calls(self, numbers: list[int]) -> list:
        bound = functools.partial(_handed_on, default=5)
        pair = Pair(first=1)._replace(second=9)
        by_text = getattr(self, "_by_text")() + self._by_text()
        return [
            called_by_name(value=3, times=4, extra=5),
            list(map(bound, ["a", "bb"])),
            _unpacked(**{"first": 7, "second": 2}),
            _decorated(3),
            [*pair, pair._asdict()["second"]],
            by_text + self._replace(1) + self._own(2, weight=3) + sum(map(self._by_one, numbers)),
        ]

    @gl.public.view
    def storage(self) -> list:
        record = self.records["one"]
        return [
            self.a,
            list(self.places),
            record.count,
            record.label,
            len(Hash(b"").digest()),
            collections.Counter("aa"),
        ]

    def _by_text(self) -> int:
        return 10

    def _replace(self, number: int) -> int:
        return -number

    def _own(self, number: int, /, weight: int) -> int:
        return number * weight

    def _by_one(self, number: int) -> int:
        return number + 1
