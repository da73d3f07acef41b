"""``setproto conformance`` judges implementations by the vectors; ``setproto conformance-adapter`` is ours."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import vectors
from setproto.cli.console import Suite, console, refuse, title
from setproto.conformance import generated, reports, xfail
from setproto.conformance.adapter import serve
from setproto.conformance.files import parse
from setproto.conformance.harness import Case, Hello, NotSound, Outcome, Runner, cases, select
from setproto.conformance.xfail import Judged
from setproto.errors import UsageError

SHOWN = 40
"""Vectors that are listed one by one, for each implementation."""
_STYLES = {Outcome.PASS: "green", Outcome.WRONG_REASON: "yellow", Outcome.UNSUPPORTED: "dim", Outcome.SKIPPED: "dim"}

Files = Annotated[list[Path] | None, typer.Option("--vectors", metavar="PATH", help="Files or directories of vectors.")]


def conformance(
    implementations: Annotated[
        list[str], typer.Option("--impl", metavar="COMMAND", help="The implementation; several are compared.")
    ],
    areas: Annotated[list[str] | None, typer.Option("--area", help="Only this area; may be repeated.")] = None,
    suites: Annotated[
        list[Suite] | None, typer.Option("--suite", help="Only this suite; may be repeated.", case_sensitive=True)
    ] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only these vectors; * and ? match; may be repeated.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The order of a run that is to be repeated.", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.01, help="Seconds for one answer.")] = 10.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Only the first reason will do, and what hello promises must be there.")
    ] = False,
    expected: Annotated[
        Path | None, typer.Option("--xfail", metavar="FILE", help="Expected failures, with reasons (TOML).")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write a report as JSON.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page: vectors by implementations.")
    ] = None,
    paths: Files = None,
) -> None:
    """Judge an implementation of the protocol, in any language, by the vectors.

    COMMAND is started and gets one JSON object a line on its standard input, and answers with one a line on its
    standard output (vectors/README.md).  It is asked all vectors in a random order, without what is expected; it is
    also asked to sign and to seal, and what it makes is verified (area "generated").

    Exit status 0 if nothing failed, 1 if something did, 2 if the run says nothing: bad vectors, no hello, an
    unreadable list of expected failures, nothing to judge.  To take what is invalid for valid always fails; to
    refuse it for another reason is a warning, and a failure with --strict.
    """
    chosen_seed = secrets.randbits(32) if seed is None else seed
    wanted = [suite.value for suite in suites or ()]
    try:
        commands = [_command(text) for text in implementations]
        entries = () if expected is None else xfail.load(expected.read_text(encoding="utf-8"))
        typer.echo(f"seed {chosen_seed}")
        judged = []
        with ExitStack() as stack:
            runners = [stack.enter_context(Runner(command, timeout=timeout)) for command in commands]
            everything = _everything(paths or (), [runner.hello() for runner in runners])
            chosen = select(everything, areas or (), wanted, ids or ())
            if not chosen:
                refuse("no vector is of this area, suite and id")
            deselected = frozenset(case.id for case in everything) - {case.id for case in chosen}
            for runner in runners:
                run = runner.run(chosen, seed=chosen_seed, strict=strict)
                judged.append(xfail.judge(run, entries, deselected))
        _write(judged, json_file, junit_file, html_file)
    except NotSound as failure:
        refuse(str(failure))
    except UnicodeDecodeError as failure:
        refuse(f"{expected}: {failure}")
    except OSError as failure:
        refuse(f"{failure.filename}: {failure.strerror or failure}")
    with console() as out:
        for one in judged:
            show(one, out)
        if len(judged) > 1:
            _matrix(judged, out)
    raise typer.Exit(0 if all(one.ok for one in judged) else 1)


def adapter() -> None:
    """Be the implementation under test: this library behind the pipe that "setproto conformance" speaks through.

    Reads one JSON object a line on standard input and writes one a line on standard output, until the input ends.
    """
    serve(sys.stdin.buffer, sys.stdout.buffer)


def _command(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as failure:
        raise NotSound(f"--impl {text!r}: {failure}") from None
    if not words:
        raise NotSound("--impl wants a command")
    return words


def _everything(paths: Sequence[Path], hellos: Iterable[Hello]) -> list[Case]:
    """All vectors of these files, or of those that are shipped, and what is generated for what is claimed."""
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    found = [case for file in files or vectors.files() for case in _cases(file)]
    if not found:
        raise NotSound("there are no vectors")
    claimed = {suite for hello in hellos if hello.ops.intersection(generated.OPS) for suite in hello.suites}
    found += generated.cases(suite.value for suite in Suite if suite.value in claimed)
    twice = [name for name, number in Counter(case.id for case in found).items() if number > 1]
    if twice:
        raise NotSound(f"two vectors are called {twice[0]}")
    return found


def _cases(file: Path | Traversable) -> list[Case]:
    try:
        parsed = parse(vectors.load(file))
    except UsageError as failure:
        raise NotSound(f"{file.name}: {failure.detail}") from None
    except (ValueError, RecursionError) as failure:
        raise NotSound(f"{file.name}: {failure}") from None
    found = list(cases(parsed))
    if len(found) != parsed.numberOfTests:
        raise NotSound(f"{file.name}: {len(found)} tests, not {parsed.numberOfTests} as it says")
    return found


def _write(judged: Sequence[Judged], *files: Path | None) -> None:
    makers: Iterable[Callable[[Sequence[Judged]], str]] = (reports.as_json, reports.as_junit, reports.as_html)
    for path, make in zip(files, makers, strict=True):
        if path is not None:
            path.write_text(make(judged), encoding="utf-8")


def show(judged: Judged, out: Console) -> None:
    """One implementation: a row per area and suite, then what is not as it should be."""
    run = judged.run
    title(out, f"{run.hello.name} {run.hello.version}")
    rows: dict[tuple[str, str], Counter[Outcome]] = {}
    for result in run.results:
        rows.setdefault((result.case.area, result.case.suite or ""), Counter())[result.outcome] += 1
    present = [outcome for outcome in Outcome if any(row[outcome] for row in rows.values())]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("area")
    table.add_column("suite")
    for outcome in present:
        table.add_column(outcome.replace("_", " "), justify="right")
    for (area, suite), row in sorted(rows.items()):
        table.add_row(area, suite, *(Text(str(row[o] or "·"), style=_STYLES.get(o, "bold red")) for o in present))
    out.print(table)
    out.print()
    _list(judged, out)
    found = reports.counts(judged)
    summary = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in found.items() if number)
    accepted = sum(result.verdict.accepted for result in run.results)
    if accepted:
        summary += f"; INVALID TAKEN FOR VALID: {accepted}"
    if judged.expected:
        summary += f"; {len(judged.expected)} expected to fail"
    if judged.stale:
        summary += f"; {len(judged.stale)} stale expected failures"
    restarts = f", {run.restarts} restarts" if run.restarts else ""
    style = "bold green" if judged.ok else "bold red"
    out.print(Text(f"{summary} ({run.seconds:.1f} s{restarts})", style=style))
    out.print()


def _list(judged: Judged, out: Console) -> None:
    quiet = (Outcome.PASS, Outcome.SKIPPED, Outcome.UNSUPPORTED)
    listed = [
        result
        for result in judged.run.results
        if result.case.id in judged.failed or (result.outcome not in quiet and result.case.id not in judged.expected)
    ]
    listed.sort(key=lambda result: (not result.verdict.accepted, result.case.id not in judged.failed))
    for result in listed[:SHOWN]:
        style = "bold red" if result.case.id in judged.failed else "yellow"
        text = Text.assemble(
            (f"{result.outcome.replace('_', ' '):13}", style), f" {result.case.id}: {result.verdict.detail}"
        )
        out.print(text, soft_wrap=True)
    if len(listed) > SHOWN:
        out.print(f"… and {len(listed) - SHOWN} more; --json has them all")
    for entry in judged.stale:
        out.print(Text.assemble(("stale        ", "bold red"), f" {entry.id}: it does not fail ({entry.reason})"))
    if listed or judged.stale:
        out.print()


def _matrix(judged: Sequence[Judged], out: Console) -> None:
    """What became of the vectors on which the implementations differ."""
    title(out, "Where they differ")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("vector", overflow="fold")
    for one in judged:
        table.add_column(one.run.hello.name)
    differing = 0
    for row in zip(*(one.run.results for one in judged), strict=True):
        if len({result.outcome for result in row}) > 1:
            differing += 1
            if differing <= SHOWN:
                texts = (Text(str(result.outcome), style=_STYLES.get(result.outcome, "bold red")) for result in row)
                table.add_row(row[0].case.id, *texts)
    out.print(table)
    out.print(
        f"{differing} of {len(judged[0].run.results)} vectors" + ("; --html has them all" if differing > SHOWN else "")
    )
