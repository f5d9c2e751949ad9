"""What a receipt shows: events by name, printed text, tracebacks with the contract's own line, counts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from genlayer_localnet import Address, Localnet, Receipt, calldata

NOISY = """
class Moved(gl.Event):
    def __init__(self, source: Address, target: Address, /, **blob): ...

class Renamed(gl.Event):
    name = "OtherName"
    def __init__(self): ...

class Noisy(gl.Contract):
    n: u256
    names: TreeMap[str, u256]

    def __init__(self): pass

    @gl.public.write
    def move(self, target: Address) -> None:
        Moved(gl.message.sender_address, target, amount=5).emit()
        Renamed().emit()
        gl.advanced.emit_raw_event([b"x" * 32], {"raw": 1})

    @gl.public.write
    def raw(self, topics: list) -> None:
        gl.advanced.emit_raw_event(topics, {})

    @gl.public.write
    def speak(self) -> None:
        import sys
        print("one", 2)
        sys.stdout.write("three")
        print("to the side", file=sys.stderr)

    @gl.public.write
    def replace_output(self) -> None:
        import io, sys
        sys.stdout = io.StringIO()
        print("lost")

    @gl.public.write
    def ask_user(self) -> str:
        return input()

    @gl.public.write
    def refuse(self) -> None:
        print("before")
        raise gl.vm.UserError("[EXPECTED] full: no room")

    @gl.public.write
    def chain(self) -> None:
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("outer") from error

    @gl.public.write
    def deep(self, n: int) -> None:
        self.deep(n - 1) if n else self.bad_assignment()

    def bad_assignment(self) -> None:
        self.n = u256(-1)

    @gl.public.write
    def count(self) -> int:
        self.n = u256(self.n + 1)
        return self.n
"""


@pytest.fixture
def noisy(deploy: Callable[..., Receipt]) -> Address:
    return deploy(NOISY).address


def test_event__of_a_class__has_name_fields_topics_and_blob(
    localnet: Localnet, alice: Address, bob: Address, noisy: Address
) -> None:
    event = localnet.write(noisy, "move", bob, sender=alice).events[0]
    assert (event.name, event.address) == ("Moved", noisy)
    assert event.fields == {"source": alice, "target": bob, "amount": 5}
    assert calldata.decode(event.blob) == event.fields
    assert event.topics[1] == b"\x18" + alice.as_bytes + bytes(11)


def test_event__with_another_name__has_that(localnet: Localnet, alice: Address, bob: Address, noisy: Address) -> None:
    assert localnet.write(noisy, "move", bob, sender=alice).events[1].name == "OtherName"


def test_event__without_a_class__has_no_name(localnet: Localnet, alice: Address, bob: Address, noisy: Address) -> None:
    event = localnet.write(noisy, "move", bob, sender=alice).events[2]
    assert (event.name, event.fields) == (None, {"raw": 1})


@pytest.mark.parametrize("topics", [[b"short"], [bytes(32)] * 5])
def test_event__topics_out_of_form__is_refused(
    localnet: Localnet, alice: Address, noisy: Address, topics: list[bytes]
) -> None:
    assert "2: inval" in localnet.write(noisy, "raw", topics, sender=alice).stderr


def test_output__print_and_streams__are_in_the_receipt(localnet: Localnet, alice: Address, noisy: Address) -> None:
    receipt = localnet.write(noisy, "speak", sender=alice)
    assert (receipt.stdout, receipt.stderr) == ("one 2\nthree", "to the side\n")


def test_output__nothing_of_it__reaches_this_process(
    localnet: Localnet, alice: Address, noisy: Address, capsys: pytest.CaptureFixture[str]
) -> None:
    localnet.write(noisy, "speak", sender=alice)
    assert capsys.readouterr() == ("", "")


def test_output__stream_replaced_by_the_contract__is_put_back(
    localnet: Localnet, alice: Address, noisy: Address
) -> None:
    before = sys.stdout
    localnet.write(noisy, "replace_output", sender=alice)
    assert sys.stdout is before
    assert localnet.write(noisy, "speak", sender=alice).stdout == "one 2\nthree"


def test_input__contract_asks_for_some__gets_none(localnet: Localnet, alice: Address, noisy: Address) -> None:
    assert "EOFError" in localnet.write(noisy, "ask_user", sender=alice).stderr


def test_error__user_error__has_code_output_and_line(localnet: Localnet, alice: Address, noisy: Address) -> None:
    receipt = localnet.write(noisy, "refuse", sender=alice)
    assert (receipt.error_code, receipt.message) == ("full", "[EXPECTED] full: no room")
    assert receipt.stdout == "before\n"
    assert 'raise gl.vm.UserError("[EXPECTED] full: no room")' in receipt.stderr


def test_error__with_a_cause__shows_both(localnet: Localnet, alice: Address, noisy: Address) -> None:
    stderr = localnet.write(noisy, "chain", sender=alice).stderr
    assert "KeyError: 'key'" in stderr
    assert "direct cause" in stderr
    assert stderr.endswith("ValueError: outer\n")


def test_error__in_the_library__shows_the_contracts_line(localnet: Localnet, alice: Address, noisy: Address) -> None:
    stderr = localnet.write(noisy, "deep", 2, sender=alice).stderr
    assert "self.n = u256(-1)" in stderr
    assert "genlayer_localnet/vm/dispatch.py" not in stderr


def test_error__deep_recursion__is_shown_by_its_ends(localnet: Localnet, alice: Address, noisy: Address) -> None:
    stderr = localnet.write(noisy, "deep", 10**6, sender=alice).stderr
    assert "RecursionError" in stderr
    assert len(stderr.splitlines()) < 100


def test_receipt__storage_access__is_counted(localnet: Localnet, alice: Address, noisy: Address) -> None:
    receipt = localnet.write(noisy, "count", sender=alice)
    assert (receipt.storage_reads, receipt.storage_writes) == (2, 1)


def test_receipt__call__describes_what_was_asked(
    localnet: Localnet, alice: Address, bob: Address, noisy: Address
) -> None:
    receipt = localnet.write(noisy, "move", bob, sender=alice)
    assert (receipt.sender, receipt.to, receipt.method, receipt.args, receipt.value_wei) == (
        alice, noisy, "move", (bob,), 0,
    )  # fmt: skip


def test_threads__many_writers__are_all_counted_and_keep_their_output(
    localnet: Localnet, alice: Address, noisy: Address, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    def work() -> None:
        for _ in range(25):
            seen.append(localnet.write(noisy, "count", sender=alice).value)
            sys.stdout.write("mine\n")  # print writes the end of the line apart

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 101))
    assert capsys.readouterr().out == "mine\n" * 100


def test_threads__networks_in_two_threads__do_not_mix(alice: Address, source: Callable[[str], str]) -> None:
    results: dict[int, int] = {}

    def work(number: int) -> None:
        net = Localnet()
        contract = net.deploy(source(NOISY), sender=alice).address
        for _ in range(number):
            results[number] = net.write(contract, "count", sender=alice).value

    threads = [threading.Thread(target=work, args=(number,)) for number in (5, 9, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {5: 5, 9: 9, 13: 13}
