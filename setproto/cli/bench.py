"""``setproto bench``: what signing and paying cost, measured against the raw cryptography in the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from setproto.cli.console import Suite, complain, console, refuse, title
from setproto.errors import SetError

bench = typer.Typer(
    help="Measure: signatures, whole purchases, scaling, other libraries; and compare two reports.",
    no_args_is_help=True,
)

_NAMED: Final = 12
"""Ids that are named where there are many."""
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

    _run([partial(subject.run, _of(suite, Suite))], quick, as_json, plot)


@bench.command()
def purchase(suite: Suites = None, quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """Whole purchases, all roles in one process.

    Against the raw operations that they perform, counted; by party and kind of work.
    """
    from benchmarks import purchase as subject

    _run([partial(subject.run, _of(suite, Suite))], quick, as_json, plot)


@bench.command()
def scale(suite: Suites = None, quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """How cost grows.

    With processes and threads; messages, orders, batches, CRLs and stores.  p256 unless told otherwise.
    """
    from benchmarks import scale as subject

    _run([partial(subject.run, _of(suite, [Suite.P256]))], quick, as_json, plot)


@bench.command()
def peers(quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """The same flow in JOSE, and the algorithms of 1997.

    JOSE by joserfc and jwcrypto, over the same content; the algorithms of 1997 raw.
    """
    from benchmarks import peers as subject

    _run([subject.run], quick, as_json, plot)


@bench.command()
def shop(
    suite: Annotated[Suite, typer.Option("--suite", help="Of the shop.")] = Suite.P256,
    purchases: Annotated[int | None, typer.Option("--purchases", min=2, help="How many; 10000.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, help="Arrivals a second; 83.3.")] = None,
    wallets: Annotated[int | None, typer.Option("--wallets", min=1, help="Wallets that buy; 16.")] = None,
    durable_wallets: Annotated[
        bool, typer.Option("--durable-wallets", help="Wallet files on the disk, not in memory.")
    ] = False,
    database: Annotated[
        str | None, typer.Option("--database", metavar="URL", help="A PostgreSQL for all servers.")
    ] = None,
    quick: Quick = False,
    as_json: Json = None,
    plot: Plot = None,
) -> None:
    """Purchases through the real servers, as processes, everything durable.

    From order form to receipt, arriving at a rate and then at half of it; no part of bench all.
    """
    from benchmarks import shop as subject

    given = {"purchases": purchases, "rate": rate, "wallets": wallets, "database": database}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    load = replace(subject.QUICK if quick else subject.FULL, durable_wallets=durable_wallets, **wanted)
    _run([partial(subject.run, suite.value, load=load)], quick, as_json, plot)


@bench.command("import")
def import_(quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """What it costs to import setproto."""
    from benchmarks import importing as subject

    _run([subject.run], quick, as_json, plot)


@bench.command("all")
def all_(suite: Suites = None, quick: Quick = False, as_json: Json = None, plot: Plot = None) -> None:
    """Everything, in one report.

    Scaling with p256 unless told otherwise.
    """
    from benchmarks import importing, purchase, scale, signatures
    from benchmarks import peers as others

    chosen = _of(suite, Suite)
    scaled = partial(scale.run, _of(suite, [Suite.P256]))
    made = partial(signatures.run, chosen), partial(purchase.run, chosen)
    _run([*made, scaled, others.run, importing.run], quick, as_json, plot)


@bench.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="The earlier report.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The later one.")],
    fail_above: Annotated[
        float | None,
        typer.Option(
            "--fail-above", metavar="FACTOR", min=1.0, help="Status 1 if a ratio has grown by more than this."
        ),
    ] = None,
) -> None:
    """What became faster or slower, and what is only noise.

    By ratio to the floor; what has none by time, if both reports are of the same machine and software.
    """
    from benchmarks.compare import compare as changes
    from benchmarks.compare import only_in, same_machine
    from benchmarks.report import read

    with _refusing():
        old, new = read(before), read(after)
    found = list(changes(old, new))
    with console() as out:
        table = Table("id", "by", box=None, header_style="bold", pad_edge=False)
        for heading in ("before", "after", "factor", "", "time"):
            table.add_column(heading, justify="right")
        for change in found:
            shown = [_seconds(v) if change.by == "time" else f"{v:.3f}" for v in (change.before, change.after)]
            time = "" if change.time is None else f"× {change.time:.2f}"
            table.add_row(change.id, change.by, *shown, f"{change.factor:.3f}", change.verdict, time)
        out.print(table)
        if not same_machine(old, new):
            out.print(Text("another machine or other software: only ratios are compared"))
        for name, ids in (("before", only_in(old, new)), ("after", only_in(new, old))):
            if ids:
                more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
                out.print(Text(f"only {name}: {', '.join(ids[:_NAMED])}{more}"))
    if not found:
        refuse("the reports have nothing in common that may be compared")
    # By ratio only: a time says as much about how busy the machine was.
    slower = [change for change in found if change.by == "ratio" and change.verdict == "slower"]
    worse = [change for change in slower if fail_above and change.factor > fail_above]
    for change in worse:
        complain(f"{change.id} takes {change.factor:.2f} times what it took; {fail_above} is allowed")
    if worse:
        raise typer.Exit(1)


def _of(suites: Iterable[Suite] | None, otherwise: Iterable[Suite]) -> list[str]:
    return [suite.value for suite in suites or otherwise]


def _run(
    subjects: Sequence[Callable[..., list[dict[str, Any]]]],
    quick: bool,
    as_json: Path | None,
    plot: Path | None,
) -> None:
    """Measure, show, write and draw."""
    from benchmarks.environment import environment
    from benchmarks.measure import FULL, QUICK
    from benchmarks.plots import check_ending, draw
    from benchmarks.report import report, write

    settings = QUICK if quick else FULL
    with _refusing():
        if plot is not None:
            check_ending(plot)  # now, and not when minutes have been spent
        around = environment(settings)
        with _progress() as progress:
            made = report(around, [result for subject in subjects for result in subject(settings, progress)])
        if as_json is not None:
            write(made, as_json)
        if plot is not None:
            draw(made, plot)
    _show(made)


@contextmanager
def _refusing() -> Iterator[None]:
    """Errors as one line; status 1 for what does not hold, 2 for files."""
    try:
        yield
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
        table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))  # to fit into 80 columns
        table.add_column("id", no_wrap=True)
        for heading in ("per s", "median", "p95", "p99", "× floor", "octets"):
            table.add_column(heading, justify="right", no_wrap=True)
        for result in made["results"]:
            ratio = result["ratio_to_floor"]
            table.add_row(
                result["id"],
                f"{result['ops_per_second']:,.0f}",
                *(_seconds(result[name]) for name in ("median_s", "p95_s", "p99_s")),
                "" if ratio is None else _short(ratio, 3),
                "" if result["bytes"] is None else f"{result['bytes']:,}",
            )
        out.print(table)
        remarks = [Text(f"{result['id']}: {_remark(result)}") for result in made["results"] if _remark(result)]
        for line in [Text(), *remarks] if remarks else []:
            out.print(line)
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
                + ("; a busy machine: not to be quoted" if (around["load"] or 0) > around["cores"] / 2 else "")
            )
        )


def _remark(result: dict[str, Any]) -> str:
    if "openssl_ops_per_second" in result:
        return f"{result['openssl_ops_per_second']:,.0f} per second by openssl speed"
    if "rival" in result:
        return f"takes {result['ratio_to_rival']:.2f} times as long as {result['rival']}"
    if "efficiency" in result:
        return f"efficiency {result['efficiency']:.2f}"
    if "wanted_per_second" in result:
        loads = " to ".join(f"{load:.1f}" for load in result["system_load"])
        failed = ", ".join(f"{count} {what}" for what, count in result["failures"].items()) or "none"
        return f"{result['wanted_per_second']:.1f} arrivals per second, failed: {failed}; load {loads}"
    if "memory_mib" in result:
        return f"{' → '.join(map(str, result['memory_mib']))} MiB"
    return ""


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{_short(value / size)} {unit}"
    return f"{value / 1e-9:.0f} ns"


def _short(value: float, decimals: int = 2) -> str:
    """With as many decimals, and fewer where there are more digits in front."""
    return f"{value:.{max(0, decimals - (value >= 10) - (value >= 100))}f}"


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
