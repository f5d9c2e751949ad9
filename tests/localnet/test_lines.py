"""Contracts of both lines on one chain: which line a contract is of, and what the two see of each other."""

from __future__ import annotations

import io
import textwrap
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, ContractRejected, Localnet, Node, Receipt, WebError, WebRequest, calldata
from genlayer_localnet.loading.entry_keys import for_executor, for_line
from genlayer_localnet.loading.lines import line_of

V02 = '# v0.2.16\n# { "Depends": "py-genlayer:test" }\n\nfrom genlayer import *\n\n'
V03 = (
    '# v0.3.0\n# { "Depends": "py-genlayer:test" }\n\n'
    "import genlayer as gl\nfrom genlayer.types import *\nfrom genlayer.storage import *\n\n"
)
PIN = '# { "Depends": "py-genlayer:5jycge4qabcdefgh" }\n'
CALLEE = """
class Callee(gl.contract.Contract):
    n: u256

    def __init__(self): pass

    @gl.public.write.payable
    def put(self, n: int) -> None:
        self.n = n

    @gl.public.view
    def get(self) -> int:
        return self.n

    @gl.public.view
    def refuse(self) -> int:
        raise gl.vm.UserError({"code": 7, "who": self.address})

    @gl.public.view
    def crash(self) -> int:
        return 1 // 0

    @gl.public.write
    def __handle_undefined_method__(self, name: str, args: list, kwargs: dict) -> str:
        if args == ["refuse"]:
            raise gl.vm.UserError([1, None])
        if args == ["send"]:
            try:
                gl.contract.get_at(self.address).emit().put(1)
            except SystemError as error:
                return str(error)
        return f"undefined {name!r}"
"""
OLD_CALLEE = """
class Callee(gl.Contract):
    n: u256

    def __init__(self): pass

    @gl.public.write.payable
    def put(self, n: int) -> None:
        self.n = u256(n)

    @gl.public.view
    def get(self) -> int:
        return self.n

    @gl.public.view
    def entry(self) -> bytes:
        return gl.message_raw["entry_data"]

    @gl.public.view
    def refuse(self) -> int:
        raise gl.vm.UserError("no: later")

    @gl.public.view
    def crash(self) -> int:
        return 1 // 0

    @gl.public.view
    def send(self) -> str:
        try:
            gl.get_contract_at(gl.message.contract_address).emit().put(1)
        except SystemError as error:
            return str(error)
        return "sent"
"""
CALLER = """
class Caller(gl.contract.Contract):
    target: Address

    def __init__(self, target: Address):
        self.target = target

    @gl.public.view
    def ask(self, method: str) -> object:
        return getattr(gl.contract.get_at(self.target).view(), method)()

    @gl.public.view
    def caught(self, method: str) -> list:
        try:
            answer = getattr(gl.contract.get_at(self.target).view(catch_vm_error=True), method)()
        except gl.vm.UserError as error:
            return ["user error", error.data]
        return ["vm error", answer.message] if isinstance(answer, gl.vm.VMError) else ["value", answer]

    @gl.public.write.payable
    def send(self, on: str) -> None:
        gl.contract.get_at(self.target).emit(value=gl.message.value, on=on).put(5)
"""
OLD_CALLER = """
class Caller(gl.Contract):
    target: Address

    def __init__(self, target: Address):
        self.target = target

    @gl.public.view
    def ask(self, method: str, args: list) -> object:
        return getattr(gl.get_contract_at(self.target).view(), method)(*args)

    @gl.public.view
    def caught(self, args: list) -> str:
        try:
            gl.get_contract_at(self.target).view().any(*args)
        except gl.vm.UserError as error:
            return error.message
        return "no error"

    @gl.public.write.payable
    def send(self) -> None:
        gl.get_contract_at(self.target).emit(value=gl.message.value, on="accepted").put(5)
"""

type Deploy = Callable[..., Address]


@pytest.fixture
def put(localnet: Localnet, alice: Address) -> Deploy:
    """Deploys the text with the header of its line, and fails the test where that fails."""

    def run(header: str, body: str, *args: Any) -> Address:
        receipt = localnet.deploy(header + textwrap.dedent(body), *args, sender=alice)
        assert receipt.ok, receipt.stderr
        return receipt.address

    return run


def _zip(runner: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("contract/__init__.py", "from genlayer import *\n" * 500)
        archive.writestr("runner.json", runner)
    return buffer.getvalue()


# --- which line ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (b"# v0.2.16\n# {}\n", "v0.2"),
        (b"# v0.3.0\n# {}\n", "v0.3"),
        (b"#v0.3.0\n# {}\n", "v0.3"),
        (b"# v0.4.1\n# {}\n", "v0.3"),
        (b"# v1.0.0\n# {}\n", "v0.3"),
        (b"# v0.3.0\r\n# {}\r\n", "v0.3"),
        (b'# { "Depends": "py-genlayer:test" }\n', "v0.2"),
        (b"#\n# v0.3.0\n", "v0.2"),
        (b"v0.3.0\n", "v0.2"),
        (b"# v" + b"9" * 5_000 + b".3\n", "v0.2"),
        (b"", "v0.2"),
        (PIN.encode(), "v0.3"),
        (b"# v0.2.16\n" + PIN.encode(), "v0.3"),
        (b"# v0.2.16\n# {}\n\n" + PIN.encode(), "v0.2"),
        (_zip('{"Depends": "py-genlayer:5jycge4qabcdefgh"}'), "v0.3"),
        (_zip('{"Depends": "py-genlayer:test"}'), "v0.2"),
    ],
)
def test_line__of_code__is_told_by_its_header(code: bytes, line: str) -> None:
    assert line_of(code) == line


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("# v0.3.0\n", "runner absent"),
        ("# v0.3.0\nimport genlayer\n", "runner absent"),
        ("# v0.3.0\n# {]\n", "runner malformed"),
        ('# v0.3.0\n# { "Depends": "py-genlayer:test" }\n# a comment\n', "runner malformed"),
        ('# v0.3.0\n# { "Depends": "cpp:test" }\n', "unknown_runner"),
    ],
)
def test_deploy__header_of_the_v03_line_is_wrong__is_its_vm_error(
    localnet: Localnet, alice: Address, header: str, error: str
) -> None:
    receipt = localnet.deploy(header + "\nx = 1\n", sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", f"invalid_contract {error}")


def test_deploy__not_utf8__is_a_vm_error(localnet: Localnet, alice: Address) -> None:
    receipt = localnet.deploy(b"# v0.3.0\n# {}\n\xff\n", sender=alice)
    assert receipt.message == "invalid_contract not_utf8_text"


# --- the key of the method ----------------------------------------------------------------------------------------

OLD, NEW = calldata.encode({"method": "get", "args": [1]}), calldata.encode({"": "get", "args": [1]})


def test_key__other_line__is_renamed() -> None:
    assert (for_line(OLD, "v0.3"), for_line(NEW, "v0.3")) == (NEW, NEW)
    assert (for_line(OLD, "v0.2"), for_line(NEW, "v0.2")) == (OLD, OLD)


def test_key__by_executors__is_renamed_for_the_older_line_only() -> None:
    assert (for_executor(OLD, "v0.3"), for_executor(NEW, "v0.2")) == (OLD, OLD)


@pytest.mark.parametrize("line", ["v0.2", "v0.3"])
@pytest.mark.parametrize(
    "call",
    [
        b"",
        b"\x06\0",
        b"\x0e\0",
        b"\x06method",
        calldata.encode({}),
        calldata.encode([""]),
        calldata.encode({"args": ["\x06method"]}),
        calldata.encode({"": "a", "method": "b"}),
        calldata.encode({"kwargs": {"method": "get"}}),
    ],
)
def test_key__nothing_to_rename__is_as_it_was(call: bytes, line: Any) -> None:
    assert for_line(call, line) == call


def test_receipt__of_either_key__has_the_method(localnet: Localnet, alice: Address, put: Deploy) -> None:
    for header, body in ((V03, CALLEE), (V02, OLD_CALLEE)):
        receipt = localnet.write(put(header, body), "put", 3, sender=alice)
        assert (receipt.ok, receipt.method, receipt.args) == (True, "put", (3,))


# --- views between the lines --------------------------------------------------------------------------------------


def test_view__of_the_older_line__gives_value_and_text(localnet: Localnet, put: Deploy) -> None:
    caller = put(V03, CALLER, put(V02, OLD_CALLEE))
    assert localnet.view(caller, "ask", "get") == 0
    assert localnet.view(caller, "ask", "entry") == calldata.encode({"method": "entry"})
    assert localnet.view(caller, "caught", "refuse") == ["user error", "no: later"]


def test_view__of_the_older_line_that_crashes__ends_the_caller_unless_caught(localnet: Localnet, put: Deploy) -> None:
    caller = put(V03, CALLER, put(V02, OLD_CALLEE))
    with pytest.raises(ContractRejected, match="exit_code 1") as caught:
        localnet.view(caller, "ask", "crash")
    assert caught.value.kind == "vm_error"
    assert localnet.view(caller, "caught", "crash") == ["vm error", "exit_code 1"]


def test_view__of_the_older_line__cannot_send(localnet: Localnet, put: Deploy) -> None:
    assert localnet.view(put(V03, CALLER, put(V02, OLD_CALLEE)), "ask", "send") == "6: forbidden"


def test_view__of_the_newer_line_by_name__is_a_call_without_one(localnet: Localnet, put: Deploy) -> None:
    caller = put(V02, OLD_CALLER, put(V03, CALLEE))
    assert localnet.view(caller, "ask", "get", []) == "undefined ''"
    assert localnet.view(caller, "ask", "any", ["send"]) == "6: forbidden"
    assert localnet.view(caller, "caught", ["refuse"]) == "[1,null]"


def test_view__of_the_newer_line_not_used_before__imports_its_library(
    localnet: Localnet, put: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = put(V03, CALLEE)
    caller = put(V02, OLD_CALLER, target)
    # As after a restart from a state file.
    machine = localnet._chain.machine
    monkeypatch.setattr(machine, "_library_v03", None)
    monkeypatch.setattr(machine, "_sources", {})
    assert localnet.view(caller, "ask", "get", []) == "undefined ''"
    assert localnet.view(target, "get") == 0


def test_second_contract_class__defined_after_a_view__is_still_refused(
    localnet: Localnet, alice: Address, put: Deploy
) -> None:
    bodies = {
        V02: ("gl.Contract", "gl.get_contract_at(other).view().get()"),
        V03: ("gl.contract.Contract", "gl.contract.get_at(other).view().get()"),
    }
    target = put(V02, OLD_CALLEE)
    for header, (base, view) in bodies.items():
        contract = put(
            header,
            f"""
            class C({base}):
                def __init__(self): pass
                @gl.public.view
                def get(self, other: Address) -> int:
                    {view}
                    class D({base}): pass
                    return 1
            """,
        )
        with pytest.raises(ContractRejected, match="only one contract"):
            localnet.view(contract, "get", target)


# --- messages between the lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["decided", "finalized"])
def test_message__from_the_newer_line__arrives(localnet: Localnet, alice: Address, put: Deploy, on: str) -> None:
    for header, body in ((V02, OLD_CALLEE), (V03, CALLEE)):
        target = put(header, body)
        localnet.fund(alice, 7)
        receipt = localnet.write(put(V03, CALLER, target), "send", on, sender=alice, value=7)
        assert receipt.ok, receipt.stderr
        assert receipt.messages[0].on == on
        assert bool(receipt.children) == (on == "decided")
        localnet.process("finalized")
        assert (localnet.view(target, "get"), localnet.balance(target)) == (5, 7)


def test_message__from_the_older_line__arrives(localnet: Localnet, alice: Address, put: Deploy) -> None:
    target = put(V03, CALLEE)
    localnet.fund(alice, 7)
    receipt = localnet.write(put(V02, OLD_CALLER, target), "send", sender=alice, value=7)
    assert [child.kind for child in receipt.children] == ["return"]
    assert (localnet.view(target, "get"), localnet.balance(target)) == (5, 7)


# --- what a user error carries ------------------------------------------------------------------------------------


def test_user_error__of_any_value__is_data_and_text(localnet: Localnet, alice: Address, put: Deploy) -> None:
    contract = put(V03, CALLEE)
    receipt = localnet.write(contract, "refuse", sender=alice)
    assert (receipt.kind, receipt.data) == ("user_error", {"code": 7, "who": contract})
    assert receipt.message == f'{{"code":7,"who":addr#{contract.as_bytes.hex()}}}'
    with pytest.raises(ContractRejected) as caught:
        localnet.view(contract, "refuse")
    assert (caught.value.data, caught.value.message) == (receipt.data, receipt.message)


def test_user_error__of_text__has_its_code(localnet: Localnet, alice: Address, put: Deploy) -> None:
    for header, base in ((V02, "gl.Contract"), (V03, "gl.contract.Contract")):
        contract = put(
            header,
            f"""
            class C({base}):
                def __init__(self): pass
                @gl.public.write
                def refuse(self) -> None:
                    raise gl.vm.UserError("[EXPECTED] busy: later")
            """,
        )
        receipt = localnet.write(contract, "refuse", sender=alice)
        assert (receipt.data, receipt.message, receipt.error_code) == (*["[EXPECTED] busy: later"] * 2, "busy")


def test_user_error__while_the_module_is_imported__is_a_vm_error(localnet: Localnet, alice: Address) -> None:
    receipt = localnet.deploy(V03 + "raise gl.vm.UserError('early')\n", sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", "exit_code 1")
    assert "a UserError ended the module's own code" in receipt.stderr


# --- requests -----------------------------------------------------------------------------------------------------

WIRE = """
from genlayer import calldata

class Wire(gl.contract.Contract):
    n: u256

    def __init__(self): pass

    @gl.public.write.payable
    def ask(self, name: str, body) -> object:
        try:
            descriptor = gl.wasi.gl_call(calldata.encode({name: body}))
        except SystemError as error:
            return str(error)
        if descriptor == 2**32 - 1:
            return None
        import os
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    @gl.public.view
    def get(self) -> int:
        return 5
"""
NOBODY = Address(bytes(20))
MESSAGE = {"address": NOBODY, "calldata": {"": "note"}, "value": 0, "on": "finalized"}
DEPLOY = {"calldata": {}, "code": b"x", "value": 0, "on": "decided", "salt_nonce": 0}


@pytest.mark.parametrize(
    ("late", "early", "body", "kind"),
    [
        ("EmitInternalMessage", "PostMessage", MESSAGE, "PostMessage"),
        ("EmitInternalDeployMessage", "DeployContract", DEPLOY, "DeployContract"),
        ("EmitExternalMessage", "EthSend", {"address": NOBODY, "calldata": b"", "value": 0}, "EthSend"),
    ],
)
def test_request__late_and_early_name__are_the_same(
    localnet: Localnet, alice: Address, put: Deploy, late: str, early: str, body: Any, kind: str
) -> None:
    contract = put(V03, WIRE)
    receipts = [localnet.write(contract, "ask", name, body, sender=alice) for name in (late, early)]
    assert [[message.kind for message in receipt.messages] for receipt in receipts] == [[kind], [kind]]


@pytest.mark.parametrize("key", ["storage_view", "state"])
def test_request__state_of_a_view__is_told_by_either_name(
    localnet: Localnet, alice: Address, put: Deploy, key: str
) -> None:
    contract = put(V03, WIRE)
    body = {"address": contract, "calldata": {"": "get"}, "catch_vm_error": False}
    assert localnet.write(contract, "ask", "CallContract", {**body, key: 2}, sender=alice).value == b"\0\x29"
    assert localnet.write(contract, "ask", "CallContract", {**body, key: 3}, sender=alice).value == "2: inval"


@pytest.mark.parametrize("name", ["Trace"])
@pytest.mark.parametrize("what", ["RuntimeMicroseconds", "RuntimeMicroSec"])
def test_request__time_of_the_vm__is_told_by_either_name(
    localnet: Localnet, alice: Address, put: Deploy, name: str, what: str
) -> None:
    assert localnet.write(put(V03, WIRE), "ask", name, {what: None}, sender=alice).value == b"\1"


@pytest.mark.parametrize(
    ("name", "body", "answer"),
    [
        ("EmitInternalMessage", MESSAGE | {"on": "accepted"}, "2: inval"),
        ("EmitInternalMessage", MESSAGE | {"value": 1}, "7: insufficient_balance"),
        ("EmitInternalMessage", MESSAGE | {"value": 2**256}, "2: inval"),
        ("EmitInternalMessage", MESSAGE | {"use_balance": True}, "2: inval"),
        ("EmitInternalMessage", MESSAGE | {"fee_params": {}}, "2: inval"),
        ("EmitInternalMessage", MESSAGE | {"use_balance": True, "fee_params": {}}, "6: forbidden"),
        ("EmitInternalMessage", MESSAGE | {"more": 1}, "2: inval"),
        ("EmitInternalDeployMessage", DEPLOY | {"salt_nonce": -1}, "2: inval"),
        ("Rollback", "text", "2: inval"),
        ("GetTimestamp", {}, "2: inval"),
        ("Yield", None, None),
        ("WebRequest", {}, "6: forbidden"),
        ("Sandbox", {"data": b"", "changes_on_error": "revert"}, "2: inval"),
        ("NoSuch", None, "2: inval"),
    ],
)
def test_request__of_the_v03_line__is_answered_by_its_rules(
    localnet: Localnet, alice: Address, put: Deploy, name: str, body: Any, answer: Any
) -> None:
    assert localnet.write(put(V03, WIRE), "ask", name, body, sender=alice).value == answer


@pytest.mark.parametrize("name", ["GetTimestamp", "EmitInternalMessage", "UserError"])
def test_request__of_the_v03_line__is_unknown_in_the_older_one(
    localnet: Localnet, alice: Address, put: Deploy, name: str
) -> None:
    body = WIRE.replace("gl.contract.Contract", "gl.Contract").replace("from genlayer import calldata", "")
    body = "import _genlayer_wasi\nfrom genlayer.py import calldata\n" + body.replace("gl.wasi", "_genlayer_wasi")
    assert localnet.write(put(V02, body), "ask", name, None, sender=alice).value == "2: inval"


@pytest.mark.parametrize(("name", "body"), [("RegisterRunner", {"code": b""}), ("ExternalCall", {})])
def test_request__of_what_is_not_modelled__ends_the_call_and_says_so(
    localnet: Localnet, alice: Address, put: Deploy, name: str, body: Any
) -> None:
    receipt = localnet.write(put(V03, WIRE), "ask", name, body, sender=alice)
    assert receipt.kind == "vm_error"
    assert receipt.message is not None
    assert receipt.message.startswith("unsupported ")


def test_use_balance__with_the_permission__is_taken(localnet: Localnet, alice: Address, put: Deploy) -> None:
    permitted = WIRE.replace(
        "pass\n", "Root.get().set_permission(gl.vm.ABI.Permissions.CAN_USE_BALANCE_FOR_MESSAGE_FEES)\n", 1
    )
    body = MESSAGE | {"use_balance": True, "fee_params": {}}
    receipt = localnet.write(put(V03, permitted), "ask", "EmitInternalMessage", body, sender=alice)
    assert (receipt.value, len(receipt.messages)) == (None, 1)


# --- storage ------------------------------------------------------------------------------------------------------

LOCKED = """
class Locked(gl.contract.Contract):
    def __init__(self, locked: int):
        locks = Root.get().locked_slots.get()
        locks.append(Root.get().get_vacant_slot().as_int())
        Root.get().get_vacant_slot().write(0, b"first")

    @gl.public.write
    def fill(self) -> str:
        try:
            Root.get().get_vacant_slot().write(0, b"later")
        except SystemError as error:
            return str(error)
        return "written"

    @gl.public.write
    def in_sandbox(self) -> str:
        return gl.vm.unpack_result(gl.vm.spawn_sandbox(self.fill, allow_write_storage=True))

    @gl.public.view
    def get(self) -> list:
        root = Root.get()
        return [root.get_vacant_slot().read(0, 5), root.slot().cast(u8, 0), bytes(root.get_resolved_code())[:8]]
"""


def test_locked_slot__written_later__is_forbidden(localnet: Localnet, alice: Address, put: Deploy) -> None:
    contract = put(V03, LOCKED, 0)
    assert [localnet.write(contract, name, sender=alice).value for name in ("fill", "in_sandbox")] == [
        "6: forbidden",
        "6: forbidden",
    ]
    assert localnet.view(contract, "get") == [b"first", 0, b"# v0.3.0"]


# --- nondeterminism -----------------------------------------------------------------------------------------------

ASKER = """
class Asker(gl.contract.Contract):
    def __init__(self): pass

    @gl.public.write
    def fetch(self, caught: bool) -> str:
        def leader():
            try:
                return gl.nondet.web.get("http://nowhere").body.decode()
            except gl.nondet.NondetException as error:
                if not caught:
                    raise
                return ",".join(error.causes)
        return gl.eq_principle.strict_eq(leader)

    @gl.public.view
    def read(self) -> int:
        return gl.vm.run_nondet(lambda: 1, lambda leader: True)

    @gl.public.write
    def judge(self) -> list:
        same = gl.eq_principle.prompt_comparative(lambda: gl.nondet.exec_prompt("how"), "the same")
        task = gl.eq_principle.prompt_non_comparative(lambda: "text", task="shorten", criteria="short")
        return [same, task]

    @gl.public.write
    def fails(self) -> str:
        def leader():
            raise gl.vm.UserError(["late"])
        try:
            gl.vm.run_nondet_default(leader, lambda leaders: leader())
        except gl.vm.UserError as error:
            return error.data[0]

    @gl.public.write
    def clock(self) -> int:
        return gl.vm.run_nondet(lambda: int(gl.vm.get_timestamp().timestamp()), lambda leader: True)
"""


def test_nondet__error_that_is_not_caught__is_a_vm_error(localnet: Localnet, alice: Address, put: Deploy) -> None:
    def fail(request: WebRequest, node: Node) -> str:
        raise WebError("DOWN", "no route")

    localnet.mock_web("nowhere", fail)
    contract = put(V03, ASKER)
    assert localnet.write(contract, "fetch", True, sender=alice).value == "DOWN"
    receipt = localnet.write(contract, "fetch", False, sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", "exit_code 1")


def test_nondet__in_a_read__has_no_leader(localnet: Localnet, alice: Address, put: Deploy) -> None:
    contract = put(V03, ASKER)
    with pytest.raises(ContractRejected, match="leader_fault nondet_output absent"):
        localnet.view(contract, "read")
    assert localnet.write(contract, "read", sender=alice).value == 1


def test_nondet__principles__ask_the_model_of_each_node(localnet: Localnet, alice: Address, put: Deploy) -> None:
    asked: list[str | None] = []

    def answer(request: Any, node: Node) -> Any:
        asked.append(request.template)
        return {None: "well", "EqNonComparativeLeader": "short"}.get(request.template, True)

    localnet.prompt_handler = answer
    receipt = localnet.write(put(V03, ASKER), "judge", sender=alice)
    assert receipt.value == ["well", "short"], receipt.stderr
    assert asked.count("EqComparative") == asked.count("EqNonComparativeValidator") == 4


@pytest.mark.parametrize(
    ("answer", "value"), [('{"a": [1]}', {"a": [1]}), ({"a": "é"}, {"a": "é"}), ('"yes"', "yes"), ("yes", "ValueError")]
)
def test_nondet__json__is_read_by_the_library(
    localnet: Localnet, alice: Address, put: Deploy, answer: Any, value: Any
) -> None:
    localnet.prompt_handler = lambda request, node: answer
    contract = put(
        V03,
        """
        class Asker(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.write
            def ask(self):
                def leader():
                    try:
                        return gl.nondet.exec_prompt("how", response_format="json")
                    except ValueError:
                        return "ValueError"
                return gl.eq_principle.strict_eq(leader)
        """,
    )
    receipt = localnet.write(contract, "ask", sender=alice)
    assert receipt.value == value, receipt.stderr


def test_nondet__validator_fails_as_the_leader__agrees(localnet: Localnet, alice: Address, put: Deploy) -> None:
    receipt = localnet.write(put(V03, ASKER), "fails", sender=alice)
    assert (receipt.value, set(receipt.votes.values())) == ("late", {"agree"})


def test_nondet__time__is_the_nodes_own(localnet: Localnet, alice: Address, put: Deploy) -> None:
    assert localnet.write(put(V03, ASKER), "clock", sender=alice).value > localnet.now.timestamp()


# --- what stays in memory -----------------------------------------------------------------------------------------


def test_module_body__that_reads_the_message__runs_for_every_call(
    localnet: Localnet, alice: Address, bob: Address, put: Deploy
) -> None:
    contract = put(
        V03,
        """
        from genlayer.message import sender_address
        RAW = gl.message.raw["sender_address"]
        class C(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> list:
                return [sender_address, RAW]
        """,
    )
    assert [localnet.view(contract, "get", sender=who) for who in (alice, bob)] == [[alice, alice], [bob, bob]]


def test_module_body__that_binds_the_message__is_loaded_once(
    localnet: Localnet, alice: Address, bob: Address, put: Deploy
) -> None:
    contract = put(
        V03,
        """
        from genlayer import message
        from genlayer.message import raw
        class C(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> list:
                return [message.sender_address, raw["sender_address"], gl.chain.id]
        """,
    )
    wanted = [[who, who, 61999] for who in (alice, bob)]
    assert [localnet.view(contract, "get", sender=who) for who in (alice, bob)] == wanted
    source = localnet._chain.machine._source(localnet._chain.world.contracts[contract.as_bytes].code, None)
    assert [loaded.reusable for loaded in source._idle] == [True]


PATCHES = {
    "gl": "gl.extra = 1",
    "module": "gl.vm.extra = 1",
    "class": "TreeMap.extra = 1",
    "shared class": "TreeMap.__mro__[1].extra = 1",
    "address": "Address.extra = 1",
    "message": "gl.message.extra = 1",
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_library__patched_by_a_call__is_as_before_for_others(localnet: Localnet, put: Deploy, patch: str) -> None:
    owner = patch.partition(".extra")[0]
    read = f"getattr({owner}, 'extra', 0)"
    other = put(
        V03,
        f"""
        class Other(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> int:
                return {read}
        """,
    )
    old = put(
        V02,
        f"""
        class Other(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> int:
                return {read}
        """,
    )
    patching = put(
        V03,
        f"""
        class C(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self, others: list) -> list:
                {patch}
                seen = [gl.contract.get_at(other).view().get() for other in others]
                return [seen, {read}]
        """,
    )
    others = [other, old]
    assert [localnet.view(patching, "get", others) for _ in range(2)] == [[[0, 0], 1]] * 2
    assert [localnet.view(each, "get") for each in others] == [0, 0]


def test_event__of_the_v03_line__has_its_name(localnet: Localnet, alice: Address, put: Deploy) -> None:
    contract = put(
        V03,
        """
        class Moved(gl.chain.Event):
            def __init__(self, source: Address, target: Address, /, **blob): ...
        class C(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.write
            def move(self) -> None:
                Moved(self.address, Address.ZERO, amount=5).emit()
        """,
    )
    event = localnet.write(contract, "move", sender=alice).events[0]
    assert (event.name, event.fields["amount"], event.fields["source"]) == ("Moved", 5, contract)


def test_endless_loop__in_a_sandbox_of_the_v03_line__ends_in_time(alice: Address) -> None:
    net = Localnet(contract_timeout_seconds=0.3)
    body = textwrap.dedent("""
        class C(gl.contract.Contract):
            def __init__(self): pass
            @gl.public.write
            def spin(self) -> None:
                gl.vm.spawn_sandbox(lambda: [0 for _ in iter(int, 1)])
    """)
    contract = net.deploy(V03 + body, sender=alice).address
    receipt: Receipt = net.write(contract, "spin", sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", "timeout")
