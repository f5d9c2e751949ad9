"""The forms of a contract that tests run: its source as it stands, and what is deployed for each line of GenVM."""

from functools import cache
from pathlib import Path
from typing import Literal, get_args

from api_billing.contract_source import contract_path, deployed_form
from api_billing.networks import Line

Form = Literal["source"] | Line
FORMS: tuple[Line, ...] = get_args(Line)
"""What is deployed; that the source does the same is compared in `test_editions.py`."""


def billing_code(form: Form) -> str:
    """The billing contract."""
    return code_of(contract_path(), form)


@cache
def code_of(path: Path, form: Form) -> str:
    """Any contract's file."""
    source = path.read_text(encoding="utf-8")
    return source if form == "source" else deployed_form(source, form)
