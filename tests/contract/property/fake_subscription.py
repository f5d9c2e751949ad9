"""A subscription's counters in memory, as strict about its words as storage is."""

from dataclasses import dataclass, field


class Words(list[int]):
    """An `Array[u256, …]`: an assignment out of range raises OverflowError, as it does in storage."""

    def __setitem__(self, index: int, word: int) -> None:  # type: ignore[override]
        super().__setitem__(index, _checked(word))


@dataclass
class FakeSubscription:
    month: int = 0
    last_month: int = 0
    days: Words = field(default_factory=lambda: Words([0] * 400))

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, _checked(value) if isinstance(value, int) else value)


def _checked(word: int) -> int:
    if not 0 <= word < 2**256:
        raise OverflowError(word)
    return word
