"""Timing: calibrated, warmed up, and interleaved, so that every ratio compares things timed side by side.

The statistics are pyperf's.  Its runner is not used: it times one function after the other, in processes of their own,
and a ratio of things timed at different moments says as much about the machine's mood as about the things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

import pyperf

from benchmarks import BenchmarkError

Progress = Callable[[str, int, int], None]
"""Told what is being measured, how many samples are taken, and how many there will be."""


@dataclass(frozen=True)
class Settings:
    """How hard to measure."""

    samples: int
    """Values of each case; a value is the mean of as many calls as ``value_s`` takes."""
    value_s: float
    warm_up_s: float
    quick: bool = False


FULL: Final = Settings(samples=100, value_s=0.004, warm_up_s=0.25)
QUICK: Final = Settings(samples=21, value_s=0.001, warm_up_s=0.02, quick=True)


@dataclass(frozen=True)
class Case:
    """One thing to time, and what it is compared with."""

    id: str
    run: Callable[..., object]
    prepare: Callable[[], Any] | None = None
    """Makes the one argument of each call of ``run``, outside the timed part."""
    floor: str | None = None
    """The id of the case, of the same group, that this one is a multiple of."""
    rival: str | None = None
    """The id of a case of the group to be compared with that is no floor."""
    calls: int = 1
    """How many of what is counted one call of ``run`` does."""
    patience: int = 1
    """How many times as long its values are: see :func:`patience`."""
    bytes: int | None = None
    """Octets that go over the wire."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What else the report says of it."""


def patience(suite: str) -> int:
    """Of a case that signs: ML-DSA does so by trial and rejection, so that single signatures take a random time."""
    return 8 if suite == "mldsa65" else 1


def measure(cases: Sequence[Case], settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """Time a group of cases, one value of each in turn; the results as the report has them, in the order given.

    BenchmarkError if a case is compared with one that is not in the group.
    """
    ids = [case.id for case in cases]
    strangers = sorted({name for case in cases for name in (case.floor, case.rival) if name} - set(ids))
    if strangers or len(set(ids)) != len(ids):
        raise BenchmarkError(f"cases not named once, or compared with what is not measured: {strangers or ids}")
    loops = [_calibrate(case, settings) for case in cases]
    values: list[list[float]] = [[] for _ in cases]
    for round_ in range(settings.samples):
        # Another one begins each time, so that none always runs in the wake of the same other.
        for index in _rotated(len(cases), round_):
            values[index].append(_value(cases[index], loops[index]))
        progress(cases[0].id, round_ + 1, settings.samples)
    by_id = dict(zip(ids, values, strict=True))
    return [result(case, by_id, loops=count) for case, count in zip(cases, loops, strict=True)]


def result(case: Case, by_id: Mapping[str, Sequence[float]], *, loops: int) -> dict[str, Any]:
    """What the report says of a case, from the values (in seconds) of all cases of its group."""
    values = by_id[case.id]
    times = _statistics(case.id, values)
    low, high = interval(times)
    found = {
        "id": case.id,
        "ops_per_second": 1 / times.median(),
        "median_s": times.median(),
        "p95_s": times.percentile(95),
        "p99_s": times.percentile(99),
        "median_interval_s": [low, high],
        "samples": len(values),
        "loops": loops,
        "ratio_to_floor": None,
        "bytes": case.bytes,
    }
    if case.floor is not None:
        ratio, within = _ratio(values, by_id[case.floor])
        found |= {"ratio_to_floor": ratio, "ratio_interval": within, "floor": case.floor}
    if case.rival is not None:
        ratio, within = _ratio(values, by_id[case.rival])
        found |= {"ratio_to_rival": ratio, "rival_interval": within, "rival": case.rival}
    return found | case.extra


def _ratio(values: Sequence[float], others: Sequence[float]) -> tuple[float, list[float]]:
    """The median of the ratios of neighbours, and its interval.

    Of neighbours, because what slows the machine for a moment slows both.
    """
    ratios = _statistics("ratio", [mine / its for mine, its in zip(values, others, strict=True)])
    return ratios.median(), list(interval(ratios))


def interval(benchmark: Any) -> tuple[float, float]:
    """Where the true median lies with 95 % confidence: the values of rank n/2 ± 0.98 √n, whatever the distribution."""
    reach = 98 / len(benchmark.get_values()) ** 0.5
    return benchmark.percentile(max(0.0, 50 - reach)), benchmark.percentile(min(100.0, 50 + reach))


def _statistics(name: str, values: Sequence[float]) -> Any:
    return pyperf.Benchmark([pyperf.Run(list(values), metadata={"name": name}, collect_metadata=False)])


def _value(case: Case, loops: int) -> float:
    """Seconds per call, over so many calls."""
    run, calls = case.run, loops * case.calls
    if case.prepare is None:
        start = pyperf.perf_counter()
        for _ in repeat(None, loops):
            run()
        return float(pyperf.perf_counter() - start) / calls
    arguments = [case.prepare() for _ in range(loops)]
    start = pyperf.perf_counter()
    for argument in arguments:
        run(argument)
    return float(pyperf.perf_counter() - start) / calls


def _calibrate(case: Case, settings: Settings) -> int:
    """How many calls make one value, found by doubling; and a warm-up, for caches and the processor's clock."""
    loops, spent = 1, 0.0
    while True:
        per_call = _value(case, loops)
        taken = per_call * loops * case.calls
        spent += taken
        if taken < settings.value_s * case.patience:
            loops *= 2
        elif spent >= settings.warm_up_s:
            return loops


def _rotated(count: int, by: int) -> Iterator[int]:
    return ((index + by) % count for index in range(count))


def check(holds: object, what: str) -> None:
    """Before anything is timed it is seen to be right.  BenchmarkError if it is not."""
    if not holds:
        raise BenchmarkError(f"not timed, because it does not hold: {what}")


@contextmanager
def refused(by: type[Exception] | tuple[type[Exception], ...], what: str) -> Iterator[None]:
    """What is done in this block must be refused.  BenchmarkError if it is not."""
    try:
        yield
    except by:
        return
    raise BenchmarkError(f"not timed, because it should have been refused: {what}")
