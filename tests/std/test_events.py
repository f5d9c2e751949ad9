from __future__ import annotations

from typing import Any

import pytest

from genlayer_localnet.address import Address, keccak256

A = Address(b"\xaa" * 20)
B = Address(b"\xbb" * 20)


@pytest.fixture
def transfer(std: Any) -> Any:
    class Tr(std.gl.Event):
        def __init__(self, frm: Address, dst: Address, /, **blob: Any): ...

    return Tr


def test_emit__fields__are_matched_with_sorted_names(transfer: Any, host: Any) -> None:
    transfer(A, B, amount=5).emit()
    (request,) = host.requests
    assert request["EmitEvent"] == {
        "topics": [
            keccak256(b"Tr(dst,frm)"),
            b"\x18" + A.as_bytes + bytes(11),
            b"\x18" + B.as_bytes + bytes(11),
        ],
        "blob": {"dst": A, "frm": B, "amount": 5},
    }


def test_emit__long_indexed_value__is_hashed(std: Any, host: Any) -> None:
    class Named(std.gl.Event):
        name = "RenamedEvent"

        def __init__(self, key: str, /): ...

    Named("a long key that does not fit in thirty-two bytes").emit()
    assert [topic.hex() for topic in host.requests[0]["EmitEvent"]["topics"]] == [
        "83f9fa2cd88a9fc4fb65f4f5c1f32828c057dea381ce766f1e378706d0425d0f",
        "f998372eb33231d02302ec11c78b5a1c77ebd2fd247b69704554a0e8b2a0dc5c",
    ]


def test_emit__no_fields__has_the_signature_only(std: Any, host: Any) -> None:
    class Bare(std.gl.Event):
        def __init__(self): ...

    Bare().emit()
    assert host.requests == [{"EmitEvent": {"topics": [keccak256(b"Bare()")], "blob": {}}}]


def test_event__missing_indexed_field__raises_type_error(transfer: Any) -> None:
    with pytest.raises(TypeError) as caught:
        transfer(A)
    assert str(caught.value) == ("indexed fields mismatch, expected ('dst', 'frm'), but got 1 positional arguments")


def test_event__field_that_is_not_declared__raises_type_error(std: Any) -> None:
    class Closed(std.gl.Event):
        def __init__(self, key: str, /): ...

    with pytest.raises(TypeError, match="has no fields extra"):
        Closed("k", extra=1)


def test_event__field_given_twice__raises_type_error(transfer: Any) -> None:
    with pytest.raises(TypeError, match="given twice: dst"):
        transfer(A, B, dst=A)


@pytest.mark.parametrize("parameters", ["self, key", "self, *keys", "self, *, key", "self, a, /, b", ""])
def test_event__other_kinds_of_parameters__raise_type_error(std: Any, parameters: str) -> None:
    with pytest.raises(TypeError):
        std.load(f"from genlayer import *\nclass E(gl.Event):\n    def __init__({parameters}): ...")


def test_event__without_declaration__raises_type_error(std: Any) -> None:
    with pytest.raises(TypeError, match="declares no fields"):
        type("E", (std.gl.Event,), {})


def test_event__inherited_declaration__has_its_own_name(transfer: Any) -> None:
    child = type("Child", (transfer,), {})
    assert (child.signature, transfer.signature) == ("Child(dst,frm)", "Tr(dst,frm)")


def test_event__five_indexed__warns(std: Any) -> None:
    with pytest.warns(UserWarning, match="5 indexed"):
        std.load("from genlayer import *\nclass E(gl.Event):\n    def __init__(self, a, b, c, d, e, /): ...")


def test_emit__value_that_is_not_encodable__raises_type_error(transfer: Any) -> None:
    with pytest.raises(TypeError, match="not calldata encodable"):
        transfer(A, B, amount=1.5).emit()


def test_emit_raw_event__topics__are_sent_as_they_are(std: Any, host: Any) -> None:
    std.gl.advanced.emit_raw_event([b"\1" * 32], {"a": 1})
    assert host.requests == [{"EmitEvent": {"topics": [b"\1" * 32], "blob": {"a": 1}}}]
