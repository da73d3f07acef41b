"""``setproto scenario``: what may happen to an order, from files, run for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from setproto.cli.console import Algorithms, Suite, console, refuse, title
from setproto.cli.timeline import SIZES, messages, timeline
from setproto.demo import Step
from setproto.demo.views import steps
from setproto.errors import UsageError
from setproto.scenario import Outcome, Scenario, load, run, shipped


def scenario(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME|FILE.toml…", help="Scenarios that are shipped, or files of your own."),
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the scenarios that are shipped.")] = False,
    run_all: Annotated[bool, typer.Option("--all", help="Run every scenario that is shipped.")] = False,
    suite: Algorithms = Suite.P256,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per scenario; a list with --all or several.")
    ] = False,
) -> None:
    """Run scenarios: one order each, and what is done with it, against real parties.

    A scenario is a TOML file; setproto/scenario.py says what may stand in it, and those that are shipped are
    examples.  The amounts in the end are those of the gateway, which have to be the merchant's and the bank's too.

    Exit status 0 only if everything went as the scenarios expect; 1 if not, 2 for a scenario that makes no sense.
    """
    if [bool(names), list_them, run_all].count(True) != 1:
        refuse("scenario wants either names or files, or --all, or --list")
    if list_them:
        _list(as_json)
        return
    chosen = list(shipped().values()) if run_all else [_find(name) for name in names or ()]
    reports, ok = [], True
    with console() as out:
        for one in chosen:
            outcome = run(one, suite.value)
            passed = steps(outcome.market, outcome.market.traffic)
            ok = ok and outcome.ok
            if as_json:
                reports.append(report(outcome, passed))
            else:
                show(outcome, passed, out)
    if as_json:
        several = run_all or len(chosen) > 1
        typer.echo(json.dumps(reports if several else reports[0], indent=2))
    raise typer.Exit(0 if ok else 1)


def _list(as_json: bool) -> None:
    known = shipped().values()
    if as_json:
        typer.echo(json.dumps([{"name": one.name, "about": one.about} for one in known], indent=2))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in known:
        table.add_row(Text(one.name, style="bold"), one.about)
    with console() as out:
        out.print(table)


def _find(name: str) -> Scenario:
    """A shipped scenario, or a file: what ends in .toml or has a directory in it is one."""
    try:
        if name.endswith(".toml") or Path(name).name != name:
            return load(Path(name))
        return shipped()[name]
    except UsageError as fault:
        refuse(fault.detail)
    except KeyError:
        refuse(f"there is no scenario {name!r}: setproto scenario --list names them, and a file ends in .toml")


def report(outcome: Outcome, passed: list[Step]) -> dict[str, Any]:
    """A scenario that was run as JSON has it."""
    return {
        "name": outcome.scenario.name,
        "ok": outcome.ok,
        "suite": outcome.market.suite,
        "messages": messages(passed),
        "amounts": outcome.amounts.in_words(),
        "problems": outcome.problems,
    }


def show(outcome: Outcome, passed: list[Step], out: Console) -> None:
    """The same for people."""
    title(out, f"{outcome.scenario.name}, suite {outcome.market.suite}")
    if outcome.scenario.about:
        out.print(Text(outcome.scenario.about))
        out.print()
    out.print(timeline(passed))
    out.print(SIZES, style="dim")
    out.print()
    for name, amount in outcome.amounts.in_words().items():
        out.print(Text.assemble((f"{name:12}", "dim"), amount))
    if outcome.ok:
        out.print(Text("all as expected", style="bold green"))
    for problem in outcome.problems:
        out.print(Text.assemble(("NOT AS EXPECTED: ", "bold red"), problem))
    out.print()
