"""What the contract holds beside what it owes, as both demos show it."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.results import Solvency as SolvencyView
from demo.layout import amounts_table, indented
from demo.summary import Solvency


def solvency_lines(solvency: Solvency | SolvencyView) -> Iterator[RenderableType]:
    """Yield the amounts, and the verdict below them."""
    amounts = {
        "the contract holds": solvency.balance_wei,
        "it owes": solvency.owed_wei,
        "  credit of consumers": solvency.credit_wei,
        "  on hold": solvency.held_wei,
        "  earnings of operators": solvency.earnings_wei,
    }
    scale = Scale.of(amounts.values(), exact=True)
    yield amounts_table({label: scale.text(amount_wei) for label, amount_wei in amounts.items()})
    surplus_wei = solvency.surplus_wei
    if surplus_wei < 0:
        verdict = Text(f"NOT SOLVENT: {format_wei(-surplus_wei, exact=True)} are missing", style="bold red")
    elif surplus_wei:
        verdict = Text(f"solvent, and {format_wei(surplus_wei, exact=True)} more than it owes", style="bold green")
    else:
        verdict = Text("solvent: it holds exactly what it owes", style="bold green")
    yield indented(verdict)
