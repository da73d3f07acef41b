"""The messages of a run as a table for people, and as JSON: the same for every command that runs something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from setproto.demo import Step

SIZES: Final = "Sizes of sealed objects in parentheses, in octets."
"""To be said below a timeline."""


def messages(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The messages as JSON has them."""
    return [{"n": s.n, "name": s.name, "from": s.sender.name, "to": s.recipient.name, "bytes": s.size} for s in steps]


def timeline(steps: Sequence[Step]) -> Table:
    """One row per message."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("n", justify="right", style="dim", no_wrap=True)
    table.add_column("message", no_wrap=True)
    table.add_column("from → to", no_wrap=True)
    table.add_column("octets", justify="right", no_wrap=True)
    table.add_column("how it is protected, and who can read what", overflow="fold")
    for step in steps:
        table.add_row(
            str(step.n),
            Text(step.name, style="bold"),
            f"{step.sender.name} → {step.recipient.name}",
            f"{step.size:,}",
            Group(Text(step.protection, style="italic"), _details(step), ""),
        )
    return table


def _details(step: Step) -> Table:
    """A line per signature, per recipient of seals, per circle of readers, and on what it said and what became of it;
    long ones wrap under themselves."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for what, by in step.signed:
        grid.add_row(Text("signed", style="green"), _line([what], f"by the {by.name}"))
    for role in dict.fromkeys(to for _, to, _ in step.sealed):
        whats = [f"{what} ({size:,})" for what, to, size in step.sealed if to is role]
        grid.add_row(Text("sealed", style="magenta"), _line(whats, f"to the {role.name}"))
    if step.anyone:
        grid.add_row(Text("read", style="cyan"), _line(step.anyone, "by anyone"))
    for role, names in step.opens.items():
        others = {name for other, theirs in step.opens.items() if other is not role for name in theirs}
        alone = [name for name in names if name not in others]
        shared = [name for name in names if name in others]
        if alone:
            grid.add_row(Text("read", style="cyan"), _line(alone, f"by the {role.name} alone"))
        if shared:
            grid.add_row(Text("read", style="cyan"), _line(shared, f"by the {role.name}"))
    if step.said:
        grid.add_row(Text("said", style="yellow"), Text("; ".join(step.said), style="bold"))
    if step.again is not None:
        grid.add_row(Text("again", style="yellow"), f"the same octets as message {step.again}")
    if not step.arrived:
        grid.add_row(Text("LOST", style="bold red"), "on its way")
    return grid


def _line(what: Sequence[str], whom: str) -> Text:
    return Text.assemble(", ".join(what), (f" {whom}", "dim"))
