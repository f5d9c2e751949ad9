"""Writes what the dapp knows of the sources: what the views answer, from the typed clients and their results, and why
the contract and the meter refuse.

Run it after every change of those (a test compares the files with what this makes).
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from api_billing.answers import Answer
from api_billing.client import BillingClient
from api_billing.court_client import CourtClient
from api_billing.metering.request.problems import KINDS
from api_billing.refusal_codes import EXPLANATIONS

SOURCES = Path(__file__).resolve().parent.parent / "dapp" / "src"
HEAD = """\
// What the contracts' views take and answer. Generated from src/api_billing by tools/dapp_answers.py; do not edit.
import {
  address, anything, big, day, flag, instant, jsonOf, listOf, name, nullable, number, record, signed, text, view,
  type AnswerOf,
} from "./reading";
"""
# Amounts and counts of calls go beyond what a double holds; days, instants and sizes do not.
_NUMBERS = {
    "surplus": "signed",
    "wei": "big",
    "calls": "big",
    "sequence": "big",
    "days": "number",
    "day": "day",
    "_at": "instant",
}
_TEXTS = dict.fromkeys(("api_name", "plan_name", "subscriptions"), "name") | dict.fromkeys(
    ("consumer", "operator", "proposed_operator", "meters", "signer", "court", "billing", "asset"), "address"
)


def main() -> int:
    """Write the files; with --check only say whether they are current."""
    refusals = {code: (each.meaning, each.next_step) for code, each in EXPLANATIONS.items()}
    of_meters: dict[str, Sequence[str]] = {}
    for code, kind in KINDS.items():
        of_meters[code] = (kind.title, kind.detail)
        of_meters |= {f"{code}/{reason}": (kind.title, detail) for reason, detail in kind.reasons.items()}
    files = {
        "domain/answers.ts": _answers(),
        "domain/refusals.json": _table(refusals),
        "meter/refusals.json": _table(of_meters),
    }
    if "--check" in sys.argv[1:]:
        return 0 if all((SOURCES / name).read_text(encoding="utf-8") == text for name, text in files.items()) else 1
    for name, text in files.items():
        (SOURCES / name).write_text(text, encoding="utf-8")
    return 0


def _table(texts: Mapping[str, Sequence[str]]) -> str:
    """As JSON, a line for each name."""
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in texts.items()) + "\n}\n"


def _answers() -> str:
    """The readers of all views."""
    tables = {"VIEWS": list(_views(BillingClient)), "COURT_VIEWS": list(_views(CourtClient))}
    kinds: dict[type[Answer], None] = {}  # in an order in which each stands before what has it
    for _, _, answer in (view for views in tables.values() for view in views):
        _collect(answer, kinds)
    parts = [HEAD, *(_record(kind) for kind in kinds)]
    for name, views in tables.items():
        lines = [
            f"  {method}: view<[{', '.join(map(': '.join, taken.items()))}]>("
            f"{', '.join(json.dumps(each.rstrip('?')) for each in taken)})({_whole(answer)}),"
            for method, taken, answer in views
        ]
        parts.append(f"export const {name} = {{\n" + "\n".join(lines) + "\n};\n")
    return "\n".join(parts)


def _views(client: type) -> Iterator[tuple[str, dict[str, str], Any]]:
    """Name, arguments in TypeScript and answer of each view that the contract itself has."""
    for name, method in vars(client).items():
        hints = get_type_hints(method) if inspect.isfunction(method) else {}
        answer = hints.pop("return", None)
        if not _is_answer(answer) or f"Method.{name.upper()}" not in inspect.getsource(method):
            continue
        parameters = inspect.signature(method).parameters
        yield (
            name,
            {
                f"{_camel(each)}{'' if parameters[each].default is inspect.Parameter.empty else '?'}": (
                    "string" if hint is str else "number | bigint"
                )
                for each, hint in hints.items()
            },
            answer,
        )


def _is_answer(answer: Any) -> bool:
    kinds = get_args(answer) or (answer,)
    return get_origin(answer) in (None, tuple) and isinstance(kinds[0], type) and issubclass(kinds[0], Answer)


def _collect(hint: Any, kinds: dict[type[Answer], None]) -> None:
    for each in get_args(hint) or (hint,):
        if isinstance(each, type) and issubclass(each, Answer) and each not in kinds:
            for inner in get_type_hints(each).values():
                _collect(inner, kinds)
            kinds[each] = None


def _record(kind: type[Answer]) -> str:
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # every subclass is one
    doc = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").split("\n")
    comment = (
        f"/** {doc[0]} */" if len(doc) == 1 else "\n".join(["/**", *(f" * {line}".rstrip() for line in doc), " */"])
    )
    fields = "\n".join(f"  {name}: {_reader(hints[name], name)}," for name in names)
    name = kind.__name__
    return (
        f'export const read{name} = record("{name}", {{\n{fields}\n}});\n'
        f"{comment}\nexport interface {name} extends AnswerOf<typeof read{name}> {{}}\n"
    )


def _whole(answer: Any) -> str:
    """The reader of all that a view answers."""
    return f"jsonOf({_reader(answer, '')})" if hasattr(answer, "of_json") else _reader(answer, "")


def _reader(hint: Any, name: str) -> str:
    if NoneType in (kinds := get_args(hint)):
        return f"nullable({_reader(next(each for each in kinds if each is not NoneType), name)})"
    if get_origin(hint) is tuple:
        return f"listOf({_reader(kinds[0], name)})"
    if isinstance(hint, type) and issubclass(hint, Answer):
        return (
            f"jsonOf(read{hint.__name__})" if name == "calls" and hasattr(hint, "of_json") else f"read{hint.__name__}"
        )
    if hint is int:
        return next((reader for part, reader in _NUMBERS.items() if part in f"_{name}"), "number")
    return {str: _TEXTS.get(name, "text"), bool: "flag"}.get(hint, "anything")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


if __name__ == "__main__":
    sys.exit(main())
