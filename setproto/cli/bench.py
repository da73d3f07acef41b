"""``setproto bench``: what signing and paying cost, measured against the raw cryptography in the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from setproto.cli.console import Suite, console, refuse, title
from setproto.errors import SetError

bench = typer.Typer(
    help="Measure: signatures, whole purchases, scaling, other libraries; and compare two reports.",
    no_args_is_help=True,
)

_NEEDED: Final = ("pyperf", "matplotlib", "joserfc", "jwcrypto")

Suites = Annotated[list[Suite] | None, typer.Option("--suite", help="This suite; may be repeated.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few and short samples: to try it, not to quote it.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .svg or .png.")]


@bench.callback()
def _extra() -> None:
    """Measure: signatures, whole purchases, scaling, other libraries; and compare two reports."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        refuse(f"setproto bench needs {', '.join(missing)}: install setproto[bench]")


@bench.command()
def signatures(suite: Suites = None, quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """Sign and verify: raw, as CMS, dual, and certificate chains."""
    from benchmarks import signatures as subject

    _run([lambda *how: subject.run(_all(suite), *how)], quick, as_json, plot)


@bench.command()
def purchase(suite: Suites = None, quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """Whole purchases, all roles in one process, against the raw operations that they perform."""
    from benchmarks import purchase as subject

    _run([lambda *how: subject.run(_all(suite), *how)], quick, as_json, plot)


def _all(suites: list[Suite] | None) -> list[str]:
    return [suite.value for suite in suites or Suite]


def _run(
    subjects: list[Callable[..., list[dict[str, Any]]]], quick: bool, as_json: Path | None, plot: Path | None
) -> None:
    from benchmarks.measure import FULL, QUICK
    from benchmarks.report import report, write

    settings = QUICK if quick else FULL
    try:
        with _progress() as progress:
            made = report(settings, [result for subject in subjects for result in subject(settings, progress)])
        _show(made)
        if as_json is not None:
            write(made, as_json)
    except SetError as failure:
        refuse(str(failure), status=1)
    except OSError as failure:
        refuse(f"{failure.filename}: {failure.strerror}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, on standard error; nothing elsewhere."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    out = Console(stderr=True)
    with Bar(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)

        yield tell


def _show(made: dict[str, Any]) -> None:
    around = made["environment"]
    with console() as out:
        table = Table("id", box=None, header_style="bold", pad_edge=False)
        for heading in ("per second", "median", "p95", "p99", "× floor", "octets"):
            table.add_column(heading, justify="right")
        for result in made["results"]:
            ratio = result["ratio_to_floor"]
            table.add_row(
                result["id"],
                f"{result['ops_per_second']:,.0f}",
                *(_seconds(result[name]) for name in ("median_s", "p95_s", "p99_s")),
                "" if ratio is None else f"{ratio:.3f}",
                "" if result["bytes"] is None else f"{result['bytes']:,}",
            )
        out.print(table)
        for result in made["results"]:
            if "breakdown_s" in result:
                out.print()
                title(out, f"{result['id']}: where the time goes")
                out.print(_breakdown(result["breakdown_s"]))
                counted = ", ".join(f"{count} {kind}" for kind, count in result["operations"].items())
                out.print(Text(f"raw operations: {counted}"))
        out.print()
        gil = "" if around["gil"] else ", no GIL"
        out.print(
            Text(
                f"{around['cpu']}, {around['cores']} cores, load {around['load']}; Python {around['python']}{gil}, "
                f"cryptography {around['cryptography']}, {around['openssl']}; "
                f"setproto {around['setproto']} {(around['commit'] or '')[:12]}"
                + ("; quick: not to be quoted" if around["quick"] else "")
            )
        )


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value / 1e-9:.0f} ns"


def _breakdown(by_party: dict[str, dict[str, float]]) -> Table:
    """A row per kind of work, a column per party."""
    from benchmarks.breakdown import KINDS

    table = Table("", box=None, header_style="bold", pad_edge=False)
    for party in (*by_party, "all"):
        table.add_column(party, justify="right")
    kinds = [kind for kind in KINDS if any(kind in times for times in by_party.values())]
    for kind in (*kinds, "all"):
        row = [times.get(kind, 0.0) if kind != "all" else sum(times.values()) for times in by_party.values()]
        table.add_row(kind, *(_seconds(value) if value else "" for value in row), _seconds(sum(row)))
    return table
