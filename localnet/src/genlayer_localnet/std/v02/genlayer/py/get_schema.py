"""The schema of a contract: its constructor and public methods with the types of what goes in and comes out."""

from __future__ import annotations

from typing import Final

from genlayer_localnet.std.shared.schema import Schema

__all__ = ("get_schema",)


class _Schema(Schema):
    unlisted = frozenset({"__on_errored_message__"})


_schema: Final = _Schema()
get_schema = _schema.of
