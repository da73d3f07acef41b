"""Several processes, or threads, that make purchases at the same time; each has a market of its own."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import pyperf

from benchmarks import BenchmarkError
from benchmarks.floor import record, replay
from benchmarks.measure import Case, Progress, Settings, result
from benchmarks.purchase import Shop
from benchmarks.raw import Raw

KINDS: Final = ("processes", "threads", "bare_processes")
"""The last do the raw operations of a purchase and nothing else: what the cores give, whatever the program does."""
_ROUND: Final = 100
"""Values' worth of time that one round takes: telling the workers, and waiting for the last, must not count."""


def run(suite: str, counts: Sequence[int], settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """The results for so many workers, of every kind: ``scale.processes.2.p256``.  ``counts`` begins with 1.

    ``ops_per_second`` is what all do together.  ``ratio_to_floor`` says how much longer a purchase takes a worker than
    it takes one who works alone; ``efficiency`` is its inverse.
    """
    found = []
    for kind in KINDS:
        with _workers(kind, suite, max(counts)) as crew:
            each = max(1, round(_ROUND * settings.value_s / _together(crew[:1], 4)))
            values: dict[int, list[float]] = {count: [] for count in counts}
            for round_ in range(settings.samples):
                for count in counts:
                    values[count].append(_together(crew[:count], each))
                progress(f"scale.{kind}", round_ + 1, settings.samples)
        found += [_result(kind, suite, count, values, each) for count in counts]
    return found


def _result(kind: str, suite: str, count: int, values: dict[int, list[float]], each: int) -> dict[str, Any]:
    name, floor = f"scale.{kind}.{count}.{suite}", f"scale.{kind}.1.{suite}"
    case = Case(name, _together, floor=floor)
    compared = result(case, {name: values[count], floor: values[1]}, loops=each)
    together = result(Case(name, _together), {name: [value / count for value in values[count]]}, loops=each * count)
    ratios = {key: compared[key] for key in ("ratio_to_floor", "ratio_interval", "floor")}
    return together | ratios | {"efficiency": 1 / compared["ratio_to_floor"]}


def _together(crew: Sequence[Connection], each: int) -> float:
    """Seconds per purchase of a worker, from the word go until the last has made so many."""
    _tell(crew, each)
    for worker in crew:
        _hear(worker, "ready")
    start = pyperf.perf_counter()
    _tell(crew, "go")
    for worker in crew:
        _hear(worker, "done")
    return float(pyperf.perf_counter() - start) / each


def _tell(crew: Sequence[Connection], what: object) -> None:
    for worker in crew:
        with suppress(OSError):  # who is gone will not be heard either
            worker.send(what)


def _hear(worker: Connection, expected: str) -> None:
    try:
        heard = worker.recv()
    except (EOFError, OSError):
        heard = "nothing more"
    if heard != expected:
        raise BenchmarkError(f"a worker said {heard!r} where {expected!r} was expected")


def _work(kind: str, suite: str, orders: Connection) -> None:
    """Make as many purchases as one is told to, or do what is raw in them, until told 0."""
    with orders:  # closed if anything fails, which the other side hears
        shop = Shop(suite)
        for _ in range(3):
            shop.check()
        bare = replay(Raw(suite), record(partial(shop.buy, shop.order()))) if kind == "bare_processes" else None
        while each := orders.recv():
            agreed = [shop.order() for _ in range(each)]
            orders.send("ready")
            orders.recv()
            for order in agreed:
                if bare is None:
                    shop.buy(order)
                else:
                    bare()
            orders.send("done")


@contextmanager
def _workers(kind: str, suite: str, count: int) -> Iterator[list[Connection]]:
    """The wires to so many workers, who go home at the end."""
    # Spawned and not forked: what a child inherits of this process's state would be part of the figure.
    context = multiprocessing.get_context("spawn")
    with ExitStack() as ending:
        crew = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            worker: Any
            if kind == "threads":
                worker = threading.Thread(target=_work, args=(kind, suite, theirs), daemon=True)
            else:
                worker = context.Process(target=_work, args=(kind, suite, theirs), daemon=True)
            worker.start()
            if kind != "threads":
                theirs.close()  # the worker has its own, and we hear it if the worker is no more
            ending.callback(ours.close)
            ending.callback(worker.join, 10)
            ending.callback(_tell, [ours], 0)
            crew.append(ours)
        yield crew
