"""Made-up reports, and settings that take no time."""

from __future__ import annotations

from typing import Any

from benchmarks.environment import environment
from benchmarks.measure import Settings
from benchmarks.report import report

MINIMAL = Settings(samples=3, value_s=1e-4, warm_up_s=0.0, quick=True)


def result(name: str, seconds: float, *, ratio: float | None = None, spread: float = 0.01) -> dict[str, Any]:
    """A result whose intervals reach so far (as a part of the value) to both sides."""
    made: dict[str, Any] = {
        "id": name,
        "ops_per_second": 1 / seconds,
        "median_s": seconds,
        "p95_s": seconds * 1.1,
        "p99_s": seconds * 1.2,
        "median_interval_s": [seconds * (1 - spread), seconds * (1 + spread)],
        "samples": 21,
        "ratio_to_floor": ratio,
        "bytes": None,
    }
    if ratio is not None:
        made |= {"floor": "floor.x", "ratio_interval": [ratio * (1 - spread), ratio * (1 + spread)]}
    return made


def report_of(*results: dict[str, Any], **otherwise: Any) -> dict[str, Any]:
    """A report of these results, of this machine but for what is said otherwise."""
    return report(environment(MINIMAL) | otherwise, results)
