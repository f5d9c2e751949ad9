"""Contract code that does not come to an end, whatever it catches; and that the host is never interrupted."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

import pytest

from genlayer_localnet import Address, ContractRejected, Localnet, Node, PromptRequest, Receipt
from genlayer_localnet.testing import GEN, named_account

LIMIT_SECONDS = 0.3
HEADER = '# { "Depends": "py-genlayer:test" }\n\nfrom genlayer import *\nimport contextlib, time\n\n'
ALICE = named_account("alice")

ENDLESS = {
    "loop": "while True: pass",
    "range": "for _ in range(10**15): pass",
    "catches": """
        while True:
            try:
                while True: pass
            except BaseException: pass
        """,
    "catches and repeats in the handler": """
        while True:
            try:
                while True: pass
            except BaseException:
                while True: pass
        """,
    "finally": """
        def again():
            try:
                while True: pass
            finally:
                again()
        again()
        """,
    "suppresses": """
        while True:
            with contextlib.suppress(BaseException):
                while True: pass
        """,
    "exit written in C": """
        class Swallow:
            __enter__ = lambda self: None
            __exit__ = "yes{}".format
        while True:
            with Swallow(): pass
        """,
    "generator under a C function": """
        def ones():
            while True:
                try: yield 1
                except BaseException: pass
        sum(ones())
        """,
    "comparison under a C function": """
        class Odd:
            def __lt__(self, other):
                while True:
                    try:
                        while True: pass
                    except BaseException: pass
        sorted([Odd(), Odd()])
        """,
    "code made at run time": 'exec("while True:\\n try: x = 1\\n except BaseException: pass")',
    "recursion that catches": """
        def down():
            try: down()
            except BaseException: down()
        down()
        """,
    "writes for ever": """
        while True:
            try: self.total = u256(self.total + 1)
            except BaseException: pass
        """,
    "calls the host with an endless argument": """
        class Endless:
            def __len__(self): return 32
            def __bytes__(self):
                while True: pass
        import _genlayer_wasi
        _genlayer_wasi.gl_call(Endless())
        """,
    "error without an end to its text": """
        class Odd(Exception):
            def __str__(self):
                while True: pass
        raise Odd()
        """,
    "sleeps": "time.sleep(10**6)",
}


def contract_with(body: str) -> str:
    return HEADER + textwrap.dedent(
        """
        class Endless(gl.Contract):
            total: u256

            @gl.public.write.payable
            def run(self) -> None:
                self.total = u256(5)
                gl.get_contract_at(gl.message.sender_address).emit_transfer(value=u256(1), on="accepted")
        {body}

            @gl.public.write
            def add(self) -> int:
                self.total = u256(self.total + 1)
                return int(self.total)

            @gl.public.view
            def read(self) -> int:
        {body}
                return 1
        """
    ).replace("{body}", textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8))


@pytest.fixture(autouse=True)
def usual_recursion_limit() -> Iterator[None]:
    """Some packages raise it a hundredfold, and the deepest recursion here is left frame by frame."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_500)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture
def net() -> Localnet:
    net = Localnet(contract_timeout_seconds=LIMIT_SECONDS)
    net.fund(ALICE, GEN)
    return net


@pytest.fixture
def loop(net: Localnet) -> Address:
    return net.deploy(contract_with(ENDLESS["loop"]), sender=ALICE).address


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS.keys())
def test_write__never_ends__is_ended(net: Localnet, body: str) -> None:
    contract = net.deploy(contract_with(body), sender=ALICE).address
    receipt = net.write(contract, "run", sender=ALICE, value=7)
    assert (receipt.kind, receipt.message) == ("vm_error", "timeout")
    assert net.write(contract, "add", sender=ALICE).value == 1, "the state of the ended call is discarded"
    assert sys.exception() is None, "no later exception has those of the contract as its context"


def test_write__out_of_time__is_leader_timeout_and_keeps_the_rule_for_failed_calls(
    net: Localnet, loop: Address
) -> None:
    receipt = net.write(loop, "run", sender=ALICE, value=7)
    assert (receipt.status, receipt.children, receipt.balance) == ("leader_timeout", (), 7)
    assert [(round_.name, dict(round_.votes)) for round_ in receipt.rounds] == [("Leader Timeout", {0: "timeout"})]
    net.process("finalized")
    assert receipt.status == "finalized"


def test_write__out_of_time__shows_the_line_and_the_limit(net: Localnet, loop: Address) -> None:
    receipt = net.write(loop, "run", sender=ALICE, value=7)
    assert "in Endless.run\n    while True: pass\n" in receipt.stderr
    assert receipt.stderr.endswith(f"the contract ran longer than its limit of {LIMIT_SECONDS} seconds\n")


def test_view__never_ends__is_rejected(net: Localnet, loop: Address) -> None:
    with pytest.raises(ContractRejected) as caught:
        net.view(loop, "read")
    assert (caught.value.kind, caught.value.message) == ("vm_error", "timeout")


def test_deploy__module_never_ends__there_is_no_contract(net: Localnet) -> None:
    receipt = net.deploy(HEADER + "while True: pass\n", sender=ALICE)
    assert (receipt.message, receipt.status) == ("timeout", "leader_timeout")


def test_module__never_lets_go_when_its_names_are_looked_at__there_is_no_contract(net: Localnet) -> None:
    odd = "class Endless(type):\n    def __getattribute__(cls, name):\n        while True: pass\n"
    source = contract_with("pass") + odd + "class Odd(metaclass=Endless): ...\n"
    assert net.deploy(source, sender=ALICE).message == "timeout"


def test_view_of_another_contract__never_ends__ends_the_caller_too(net: Localnet, loop: Address) -> None:
    calls = contract_with(
        f"""
        while True:
            try: gl.get_contract_at(Address("{loop.as_hex}")).view().read()
            except BaseException: pass
        """
    )
    receipt = net.write(net.deploy(calls, sender=ALICE).address, "run", sender=ALICE, value=7)
    assert (receipt.message, receipt.status) == ("timeout", "leader_timeout")


def test_sandbox__never_ends__ends_the_caller_too(net: Localnet) -> None:
    body = """
        def endless():
            while True: pass
        gl.vm.spawn_sandbox(endless, allow_write_ops=True)
        """
    receipt = net.write(net.deploy(contract_with(body), sender=ALICE).address, "run", sender=ALICE, value=7)
    assert (receipt.message, receipt.status) == ("timeout", "leader_timeout")


BLOCK = """
        def leader():
            while gl.nondet.exec_prompt("leader") == "slow":
                try: pass
                except BaseException: pass
            return 1

        def validator(result):
            while gl.nondet.exec_prompt("validator") == "slow": pass
            return True
        gl.vm.run_nondet_unsafe(leader, validator)
        """


def run_block(net: Localnet, *slow: int) -> Receipt:
    """The validators with these numbers never end in their part; 0 is the leader."""

    def handler(request: PromptRequest, node: Node) -> str:
        return "slow" if node.index in slow and request.prompt == node.role else "fast"

    contract = net.deploy(contract_with(BLOCK), sender=ALICE).address
    net.prompt_handler = handler
    return net.write(contract, "run", sender=ALICE, value=7)


def test_block__leader_never_ends__is_leader_timeout(net: Localnet) -> None:
    receipt = run_block(net, 0)
    assert (receipt.message, receipt.status) == ("timeout", "leader_timeout")


def test_block__some_validators_never_end__is_accepted_with_their_votes(net: Localnet) -> None:
    receipt = run_block(net, 1, 2)
    assert (receipt.kind, receipt.status) == ("return", "accepted")
    assert dict(receipt.votes) == {0: "agree", 1: "timeout", 2: "timeout", 3: "agree", 4: "agree"}


def test_block__most_validators_never_end__is_validators_timeout_and_changes_nothing(net: Localnet) -> None:
    receipt = run_block(net, 1, 2, 3)
    assert (receipt.status, len(receipt.rounds), receipt.children) == ("validators_timeout", 1, ())
    net.process("finalized")
    assert receipt.status == "finalized"


def test_handler__takes_longer_than_the_limit__is_not_interrupted(net: Localnet) -> None:
    """It belongs to the host; the contract is ended when it goes on."""
    finished = []

    def handler(request: PromptRequest, node: Node) -> str:
        while not interrupting():
            pass
        finished.append(request.prompt)
        return "fast"

    contract = net.deploy(contract_with(BLOCK), sender=ALICE).address
    net.prompt_handler = handler
    receipt = net.write(contract, "run", sender=ALICE, value=7)
    assert (receipt.message, finished) == ("timeout", ["leader"])


def interrupting() -> bool:
    return any(sys.monitoring.get_tool(tool) == "genlayer-localnet" for tool in range(6))


def test_limit__over__leaves_no_monitoring_behind(net: Localnet, loop: Address) -> None:
    net.write(loop, "run", sender=ALICE, value=7)
    assert not interrupting()


def test_limit__not_reached__does_not_monitor() -> None:
    net = Localnet(contract_timeout_seconds=3_600)
    contract = net.deploy(
        contract_with("import sys; print([sys.monitoring.get_tool(t) for t in range(6)])"), sender=ALICE
    )
    net.fund(ALICE, GEN)
    assert "genlayer-localnet" not in net.write(contract.address, "run", sender=ALICE, value=7).stdout


def test_limit__none__is_accepted() -> None:
    net = Localnet(contract_timeout_seconds=None)
    assert net.deploy(contract_with("pass"), sender=ALICE).ok


@pytest.mark.parametrize("seconds", [0, -1])
def test_limit__not_above_zero__is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Localnet(contract_timeout_seconds=seconds)
