"""Finds everything mutable that can be reached from a module that was just loaded."""

from __future__ import annotations

import enum
import functools
import operator
import re
import struct
import types
from collections import deque, namedtuple
from collections.abc import Callable, Iterable
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

# Any: this module looks at whatever objects a contract made.
MAX_OBJECTS = 50_000
"""More than this, and executing the module anew is cheaper than comparing."""

_FieldOfNamedTuple: Any = type(vars(namedtuple("_", "field"))["field"])
CELL = ("cell_contents",)
FUNCTION_INTERNALS = ("__defaults__", "__kwdefaults__", "__code__")
_NUMBERS = (bool, int, float, complex)
_ATOMS = (
    *_NUMBERS, str, bytes, types.NoneType, types.EllipsisType, types.NotImplementedType, range, slice, types.CodeType,
    types.ModuleType, types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType,
    types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GenericAlias, types.UnionType, re.Pattern,
    struct.Struct, date, time, timedelta, tzinfo, Decimal, operator.itemgetter, operator.attrgetter,
    operator.methodcaller, _FieldOfNamedTuple,
)  # fmt: skip
_SILENT_MODULES = {"typing", "typing_extensions", "_abc", "_typing"}
"""Types of these modules make objects that only describe types."""
_LruCache = type(functools.lru_cache(lambda: None))
_BUILT_IN_CONTAINERS = (dict, list, deque, bytearray, set, frozenset, tuple)
_EMPTY_SIZE, _SLOT_SIZE = object.__basicsize__, struct.calcsize("P")


def is_plain_number(value: Any) -> bool:
    return type(value) in _NUMBERS


class Reachable:
    """A walk over the objects of one module.

    ``owns`` decides by the name of their module which classes and functions belong to it: others are not looked into.
    """

    def __init__(
        self,
        owns: Callable[[str], bool],
        ignored: Iterable[Any] = (),
        immutable: tuple[Any, ...] = (),
    ) -> None:
        self.namespaces: list[dict[str, Any]] = []
        """Attributes of modules, functions and instances."""
        self.dicts: list[dict[Any, Any]] = []
        self.classes: list[type] = []
        self.lists: list[list[Any]] = []
        self.deques: list[deque[Any]] = []
        self.bytearrays: list[bytearray] = []
        self.sets: list[set[Any]] = []
        self.attributes: list[tuple[Any, tuple[str, ...]]] = []
        self.caches: list[Callable[[], None]] = []
        self.opaque: str | None = None
        self._owns = owns
        self._immutable = immutable
        self._seen = {id(ignored_object) for ignored_object in ignored}
        self._kept: list[Any] = []  # so that no id is reused during the walk
        self._waiting: list[Any] = []

    def walk(self, roots: Iterable[dict[str, Any]]) -> Reachable:
        """Look at everything from the dicts of modules on."""
        for root in roots:
            self._seen.add(id(root))
            self.namespaces.append(root)
            self._waiting += [value for name, value in root.items() if name != "__builtins__"]
        while self._waiting and self.opaque is None:
            found = self._waiting.pop()
            if isinstance(found, _ATOMS) and not self._is_mutable_atom(found):
                continue
            if id(found) in self._seen or type(found) in self._immutable:
                continue
            self._seen.add(id(found))
            self._kept.append(found)
            if len(self._seen) > MAX_OBJECTS:
                self.opaque = f"more than {MAX_OBJECTS} objects"
                break
            self._visit(found)
        return self

    @staticmethod
    def _is_mutable_atom(found: Any) -> bool:
        """Members of enumerations and other instances of subclasses can have attributes of their own."""
        return not isinstance(found, types.ModuleType) and getattr(found, "__dict__", None) is not None

    def _visit(self, found: Any) -> None:
        if isinstance(found, type):
            self._visit_class(found)
        elif isinstance(found, types.FunctionType):
            self._visit_function(found)
        elif isinstance(found, types.CellType):
            self._add_attributes(found, CELL)
        elif isinstance(found, _LruCache):
            self.caches.append(found.cache_clear)
            self._visit_instance_dict(found)
        elif not self._visit_wrapper(found) and not self._visit_container(found):
            self._visit_instance(found)

    def _visit_class(self, cls: type) -> None:
        if not self._owns(cls.__module__):
            return
        self.classes.append(cls)
        self._waiting += cls.__mro__
        self._waiting += [
            value
            for name, value in cls.__dict__.items()
            if name not in ("__dict__", "__weakref__") and type(value).__module__ != "_abc"
        ]

    def _visit_function(self, function: types.FunctionType) -> None:
        if not self._owns(function.__module__ or ""):
            return
        self._visit_instance_dict(function)
        self._add_attributes(function, FUNCTION_INTERNALS)
        self._waiting += (function.__defaults__, function.__kwdefaults__, *(function.__closure__ or ()))

    def _visit_wrapper(self, found: Any) -> bool:
        """Immutable objects that lead to others."""
        if isinstance(found, staticmethod | classmethod):
            self._waiting.append(found.__func__)
        elif isinstance(found, property):
            self._waiting += (found.fget, found.fset, found.fdel)
        elif isinstance(found, types.MethodType):
            self._waiting += (found.__self__, found.__func__)
        elif isinstance(found, types.BuiltinMethodType | types.MethodWrapperType):
            owner = found.__self__
            if owner is not None and not isinstance(owner, types.ModuleType | type):
                self._waiting.append(owner)
        elif isinstance(found, functools.partial):
            self._waiting += (found.func, found.args, found.keywords)
            self._visit_instance_dict(found)
        elif isinstance(found, types.MappingProxyType):
            self._waiting += found.values()
        else:
            return False
        return True

    def _visit_container(self, found: Any) -> bool:
        if isinstance(found, dict):
            self.dicts.append(found)
            self._waiting += dict.values(found)
            self._waiting += [key for key in dict.keys(found) if type(key) is not str]
            self._waiting.append(getattr(found, "default_factory", None))
        elif isinstance(found, list | deque):
            (self.lists if isinstance(found, list) else self.deques).append(found)  # type: ignore[arg-type]
            self._waiting += list.__iter__(found) if isinstance(found, list) else deque.__iter__(found)
        elif isinstance(found, bytearray):
            self.bytearrays.append(found)
        elif isinstance(found, set | frozenset):
            if isinstance(found, set):
                self.sets.append(found)
            self._waiting += found
        elif isinstance(found, tuple):
            self._waiting += tuple.__iter__(found)
        else:
            return False
        if type(found) not in _BUILT_IN_CONTAINERS:
            self._visit_attributes_of(found)
        return True

    def _visit_instance(self, found: Any) -> None:
        kind = type(found)
        if kind.__module__ in _SILENT_MODULES:
            return
        if isinstance(found, enum.Enum | BaseException) or _is_python_class(kind) or isinstance(found, _ATOMS):
            self._visit_attributes_of(found)
        else:
            self.opaque = f"an object of {kind.__module__}.{kind.__qualname__}"

    def _visit_attributes_of(self, found: Any) -> None:
        self._visit_instance_dict(found)
        slots = tuple(_slot_names(type(found)))
        if slots:
            self._add_attributes(found, slots)
        self._waiting.append(type(found))

    def _visit_instance_dict(self, found: Any) -> None:
        attributes = getattr(found, "__dict__", None)
        if isinstance(attributes, dict) and id(attributes) not in self._seen:
            self._seen.add(id(attributes))
            self.namespaces.append(attributes)
            self._waiting += attributes.values()

    def _add_attributes(self, owner: Any, names: tuple[str, ...]) -> None:
        self.attributes.append((owner, names))
        for name in names:
            try:
                self._waiting.append(object.__getattribute__(owner, name))
            except (AttributeError, ValueError):
                continue


def _is_python_class(kind: type) -> bool:
    """Whether instances hold nothing but ``__dict__`` and ``__slots__``: the size leaves no room for more."""
    return kind.__itemsize__ == 0 and kind.__basicsize__ == _EMPTY_SIZE + _SLOT_SIZE * len(tuple(_slot_names(kind)))


def _slot_names(kind: type) -> Iterable[str]:
    for cls in kind.__mro__:
        names = cls.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            if name in ("__dict__", "__weakref__"):
                continue
            mangled = (
                f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            )
            if isinstance(cls.__dict__.get(mangled), types.MemberDescriptorType):
                yield mangled
