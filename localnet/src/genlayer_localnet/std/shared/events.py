"""Events: what a contract announces to the outside."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from genlayer_localnet import calldata
from genlayer_localnet.address import keccak256

from .contracts import is_unpickled_class
from .requests import tell

__all__ = ("BaseEvent", "emit_raw")

_TOPIC_SIZE: Final = 32
_MANY_INDEXED: Final = 5


def emit_raw(
    topics: Sequence[bytes], blob: Mapping[str, Any], encode: Callable[[Any], bytes] = calldata.encode
) -> None:
    """Announce an event with ready topics: up to four, of 32 bytes each."""
    tell({"EmitEvent": {"topics": list(topics), "blob": blob}}, encode)


class BaseEvent:
    """Base of events: ``class Moved(Event): def __init__(self, source: Address, target: Address, /, **blob): ...``.

    Positional-only parameters are the indexed fields, all others are given by name. The positional arguments are
    matched with the indexed fields in alphabetical order of their names, whatever the order in the declaration is.
    """

    name: ClassVar[str]
    """The name in the signature, the class's unless set."""
    indexed: ClassVar[tuple[str, ...]]
    signature: ClassVar[str]

    _needs_self: ClassVar[bool] = False
    """The first parameter of a declaration has to be called so."""
    _takes_blob: ClassVar[bool]
    _topic: ClassVar[bytes]

    @staticmethod
    def _encode(value: Any) -> bytes:
        return calldata.encode(value)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if BaseEvent in cls.__bases__ or is_unpickled_class():
            return
        declaration = cls.__dict__.get("__init__")
        if declaration is not None:
            cls.indexed, cls._takes_blob = _declared_fields(cls, declaration)
            # What is declared is never run: it only names the fields.
            del cls.__init__
        elif BaseEvent in cls.__mro__[1].__bases__:
            raise TypeError(f"event {cls.__name__} declares no fields: it needs an __init__")
        if "name" not in cls.__dict__:
            cls.name = cls.__name__
        cls.signature = f"{cls.name}({','.join(cls.indexed)})"
        cls._topic = keccak256(cls.signature.encode("utf-8"))

    def __init__(self, *indexed: Any, **blob: Any) -> None:
        if not hasattr(self, "indexed"):
            raise NotImplementedError
        names = self.indexed
        if len(indexed) != len(names):
            raise TypeError(f"indexed fields mismatch, expected {names!r}, but got {len(indexed)} positional arguments")
        if blob and not self._takes_blob:
            raise TypeError(f"event {type(self).__name__} has no fields {', '.join(blob)}")
        twice = [name for name in names if name in blob]
        if twice:
            raise TypeError(f"fields are given twice: {', '.join(twice)}")
        self._fields = dict(zip(names, indexed, strict=True)) | blob

    def emit(self) -> None:
        """Announce the event. It is dropped if the call fails."""
        encode = self._encode
        topics = [self._topic, *(_topic_of(encode(self._fields[name])) for name in self.indexed)]
        emit_raw(topics, self._fields, encode)


def _declared_fields(cls: type[BaseEvent], declaration: Any) -> tuple[tuple[str, ...], bool]:
    indexed, takes_blob = [], False
    parameters = list(inspect.signature(declaration).parameters.values())
    own = parameters.pop(0).name if parameters else None
    if own is None or (cls._needs_self and own != "self"):
        raise TypeError("first argument must be `self`")
    for parameter in parameters:
        match parameter.kind:
            case inspect.Parameter.POSITIONAL_ONLY:
                indexed.append(parameter.name)
            case inspect.Parameter.VAR_KEYWORD:
                takes_blob = True
            case inspect.Parameter.VAR_POSITIONAL:
                raise TypeError("`*args` is forbidden")
            case inspect.Parameter.KEYWORD_ONLY:
                raise TypeError("keyword-only arguments are forbidden")
            case _:
                raise TypeError("specify `/` after indexed fields")
    if len(indexed) >= _MANY_INDEXED:
        warnings.warn(f"event {cls.__name__} has {len(indexed)} indexed fields", stacklevel=4)
    return tuple(sorted(indexed)), takes_blob


def _topic_of(encoded: bytes) -> bytes:
    return keccak256(encoded) if len(encoded) > _TOPIC_SIZE else encoded.ljust(_TOPIC_SIZE, b"\0")
