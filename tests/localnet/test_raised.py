"""Whatever a contract raises is the result of its call."""

from __future__ import annotations

import signal
import textwrap

import pytest

from genlayer_localnet import Address, Localnet

HEADER = '# v0.2.16\n# { "Depends": "py-genlayer:test" }\n\nfrom genlayer import *\n\n'
BODY = """
class Odd(BaseException):
    pass


class Unprintable(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class Nameless(gl.vm.UserError):
    def __init__(self):
        super().__init__("text")

    message = property(lambda self: raised(GeneratorExit()), lambda self, value: None)


class Unequal(str):
    def __eq__(self, other):
        raise KeyboardInterrupt
    __hash__ = str.__hash__


word = "word"


def raised(error):
    raise error


class Raising(gl.Contract):
    calls: u256

    def __init__(self):
        pass

    @gl.public.write
    def run(self, code: str) -> None:
        self.calls += 1
        exec(code, globals())

    @gl.public.write
    def block(self, code: str) -> str:
        self.calls += 1
        return gl.eq_principle.strict_eq(lambda: exec(code, {"gl": gl}) or "done")

    @gl.public.view
    def count(self) -> int:
        return self.calls
"""
ENDS = [
    "KeyboardInterrupt",
    "KeyboardInterrupt()",
    "GeneratorExit",
    "StopIteration",
    "StopAsyncIteration",
    "MemoryError",
]
ENDS += ["RecursionError", "BaseException('x')", "BaseExceptionGroup('x', [KeyboardInterrupt()])", "SystemExit(3)"]
ENDS += ["SystemExit(10 ** 5000)", "SystemExit('text')", "SystemExit(Unprintable())"]
OWN = ["Odd()", "Unprintable()", "Nameless()"]


@pytest.fixture
def contract(localnet: Localnet, alice: Address) -> Address:
    return localnet.deploy(HEADER + BODY, sender=alice).address


@pytest.mark.parametrize("error", [*ENDS, *OWN])
def test_call__that_raises_anything__is_a_vm_error(
    localnet: Localnet, alice: Address, contract: Address, error: str
) -> None:
    receipt = localnet.write(contract, "run", f"raise {error}", sender=alice)
    assert (receipt.kind, localnet.view(contract, "count")) == ("vm_error", 0)


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "GeneratorExit", "BaseException"])
def test_block__that_raises_anything__is_a_vm_error(
    localnet: Localnet, alice: Address, contract: Address, error: str
) -> None:
    receipt = localnet.write(contract, "block", f"raise {error}", sender=alice)
    assert (receipt.kind, localnet.view(contract, "count")) == ("vm_error", 0)


@pytest.mark.parametrize("error", ENDS)
def test_module__that_raises_anything__is_a_vm_error(localnet: Localnet, alice: Address, error: str) -> None:
    source = HEADER + "class Unprintable: pass\n" + f"raise {error}\n"
    assert localnet.deploy(source, sender=alice).kind == "vm_error"


def test_view__that_raises_anything__is_refused(localnet: Localnet, alice: Address) -> None:
    source = HEADER + textwrap.dedent(
        """
        class Raising(gl.Contract):
            @gl.public.view
            def look(self) -> None:
                raise KeyboardInterrupt
        """
    )
    contract = localnet.deploy(source, sender=alice).address
    with pytest.raises(Exception, match="exit_code 1"):
        localnet.view(contract, "look")


def test_global__that_raises_when_compared__is_put_back(localnet: Localnet, alice: Address, contract: Address) -> None:
    assert localnet.write(contract, "run", "global word; word = Unequal('word')", sender=alice).kind == "return"
    receipt = localnet.write(contract, "run", "print(type(word).__name__)", sender=alice)
    assert receipt.stdout == "str\n"


def test_interrupt__of_this_process_while_a_contract_runs__passes(
    localnet: Localnet, alice: Address, contract: Address
) -> None:
    localnet.mock_web("", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        localnet.write(contract, "block", "gl.nondet.web.get('https://x.example')", sender=alice)
    assert localnet.view(contract, "count") == 0
