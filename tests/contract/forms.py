"""The two forms of a contract that the tests run: its source as it stands, and what is deployed."""

from functools import cache
from pathlib import Path
from typing import Literal, get_args

from api_billing.contract_source import contract_path, minify

Form = Literal["source", "deployed"]
FORMS: tuple[Form, ...] = get_args(Form)


def billing_code(form: Form) -> str:
    """The billing contract."""
    return code_of(contract_path(), form)


@cache
def code_of(path: Path, form: Form) -> str:
    """Any contract's file."""
    source = path.read_text(encoding="utf-8")
    return minify(source) if form == "deployed" else source
