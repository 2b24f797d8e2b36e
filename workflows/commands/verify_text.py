"""What `neq verify` prints."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from workflows.commands.verify import RELATIVE, Verdict
from workflows.labels import cell_text
from workflows.progress import say

MOST_ROWS = 50


def tell(verdict: Verdict, console: Console) -> None:
    """Print what was compared, how, and what differs."""
    how = [f"{verdict.n_exact} bit by bit"] if verdict.n_exact else []
    if verdict.n_cell > verdict.n_exact:
        how.append(f"{verdict.n_cell - verdict.n_exact} to {RELATIVE:g} relative")
    say(console, f"{verdict.n_cell} cells computed again and compared {', '.join(how)}")
    for reason in verdict.reasons:
        say(console, f"not bit by bit: {reason}")
    if not verdict.mismatches:
        say(console, "all agree")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("cell", "variable", "stored", "recomputed"):
        table.add_column(title, overflow="fold")
    for one in verdict.mismatches[:MOST_ROWS]:
        table.add_row(cell_text(one.cell), one.variable, one.stored, one.recomputed)
    console.print(table, highlight=False, markup=False)
    cells = {tuple(one.cell.items()) for one in verdict.mismatches}
    say(console, f"{len(verdict.mismatches)} values in {len(cells)} cells differ")
