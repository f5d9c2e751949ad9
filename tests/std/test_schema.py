from __future__ import annotations

import json
from typing import Any

import pytest

SOURCE = """
{future}
import typing
from dataclasses import dataclass
from genlayer import *

@allow_storage
@dataclass
class Point:
    x: u64
    y: i32

@allow_storage
@dataclass
class Box[T]:
    item: T

class Sample(gl.Contract):
    n: u8

    def __init__(self, start: int, *, name: str = "x"):
        pass

    {method}
"""


def schema_of(std: Any, method: str, future: str = "") -> Any:
    module = std.load(SOURCE.format(method=method, future=future))
    return std.module("genlayer.py.get_schema").get_schema(module.Sample)


def test_schema__example__has_the_order_of_keys_that_was_recorded(std: Any) -> None:
    method = "@gl.public.write\n    def set(self, v: int, *, times: u8 = 1) -> None: ...\n"
    method += "    @gl.public.view\n    def get(self) -> int: ...\n    def hidden(self): ..."
    assert json.dumps(schema_of(std, method), separators=(",", ":")) == (
        '{"ctor":{"params":[["start","int"]],"kwparams":{"name":"string"}},"methods":{'
        '"get":{"params":[],"kwparams":{},"readonly":true,"ret":"int"},'
        '"set":{"params":[["v","int"]],"kwparams":{"times":"int"},"readonly":false,"ret":"null","payable":false}}}'
    )


def test_schema__payable_and_gas__are_told(std: Any) -> None:
    method = "@gl.public.write.min_gas(leader=5, validator=3).payable\n    def pay(self): ..."
    assert schema_of(std, method)["methods"]["pay"] == {
        "params": [],
        "kwparams": {},
        "readonly": False,
        "ret": "any",
        "payable": True,
        "min_gas_leader": 5,
        "min_gas_validator": 3,
    }


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        ("None", "null"),
        ("bool", "bool"),
        ("u256", "int"),
        ("bigint", "int"),
        ("str", "string"),
        ("bytes", "bytes"),
        ("Address", "address"),
        ("list", "array"),
        ("dict", "dict"),
        ("typing.Any", "any"),
        ("object", "any"),
        ("list[u8]", [{"$rep": "int"}]),
        ("DynArray[str]", [{"$rep": "string"}]),
        ("Array[str, typing.Literal[2]]", [{"$rep": "string"}]),
        ("tuple[str, u8]", ["string", "int"]),
        ("tuple[u8, ...]", [{"$rep": "int"}]),
        ("dict[str, list[u8]]", {"$dict": [{"$rep": "int"}]}),
        ("TreeMap[str, TreeMap[str, u256]]", {"$dict": {"$dict": "int"}}),
        ("u8 | None", {"$or": ["int", "null"]}),
        ("typing.Optional[str]", {"$or": ["string", "null"]}),
        ("Point", {"x": "int", "y": "int"}),
        ("Box[str]", {"item": "string"}),
    ],
)
def test_type__storable_or_encodable__is_described(std: Any, annotation: str, described: Any, future: str) -> None:
    schema = schema_of(std, f"@gl.public.view\n    def get(self, a: {annotation}) -> {annotation}: ...", future)
    method = schema["methods"]["get"]
    assert (method["params"], method["ret"]) == ([["a", described]], described)


@pytest.mark.parametrize(
    "annotation", ["float", "set[u8]", "dict[u8, str]", "TreeMap[Address, u8]", "gl.Contract", "typing.Literal[1]"]
)
def test_type__not_encodable__raises_type_error_with_the_place(std: Any, annotation: str) -> None:
    with pytest.raises(TypeError, match=r"parameter 'a' of Sample\.get, {'line': \d+}"):
        schema_of(std, f"@gl.public.view\n    def get(self, a: {annotation}): ...")


@pytest.mark.parametrize("parameters", ["self, *args", "self, **kwargs"])
def test_parameters__any_number__raise_type_error(std: Any, parameters: str) -> None:
    with pytest.raises(TypeError, match="any number"):
        schema_of(std, f"@gl.public.view\n    def get({parameters}): ...")


def test_contract__without_constructor__raises_type_error(std: Any) -> None:
    contract = std.load("from genlayer import *\nclass C(gl.Contract):\n    n: u8").C
    with pytest.raises(TypeError, match="no __init__"):
        std.module("genlayer.py.get_schema").get_schema(contract)


@pytest.mark.parametrize("name", ["__receive__", "__handle_undefined_method__", "__str__"])
def test_public__reserved_name__raises_type_error(std: Any, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        schema_of(std, f"@gl.public.write\n    def {name}(self): ...")


def test_public__error_handler__is_not_listed(std: Any) -> None:
    assert schema_of(std, "@gl.public.write\n    def __on_errored_message__(self): ...")["methods"] == {}


def test_public__constructor__raises_type_error(std: Any) -> None:
    source = "from genlayer import *\nclass C(gl.Contract):\n    @gl.public.write\n    def __init__(self): ..."
    with pytest.raises(TypeError, match="must not be public"):
        std.module("genlayer.py.get_schema").get_schema(std.load(source).C)
