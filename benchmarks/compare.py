"""What became faster or slower between two reports, and what is only noise.

Compared by the ratio to the floor, which says nothing of the machine; what has none, by its time, and only if both
reports are of the same machine and software.  A change counts if the two 95 % intervals of the medians do not touch,
and if it is larger than what one run differs from the next without any reason (``NOISE``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.report import by_id

NOISE: Final = 0.03
"""A change of less than this part is none: code that is laid out otherwise in memory does as much."""
_MACHINE: Final = ("cpu", "cores", "platform", "python", "gil", "cryptography", "openssl")


@dataclass(frozen=True)
class Change:
    """One result in both reports."""

    id: str
    by: str
    """``ratio`` or ``time``."""
    before: float
    after: float
    significant: bool
    time: float | None
    """How many times as long it takes by the clock; None if that may not be compared."""

    @property
    def factor(self) -> float:
        """How many times as much it is now."""
        return self.after / self.before

    @property
    def verdict(self) -> str:
        """In a word."""
        if not self.significant:
            return "same"
        return "slower" if self.factor > 1 else "faster"


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether times of the two reports may be compared."""
    return all(one["environment"][name] == other["environment"][name] for name in _MACHINE)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """The changes, in the order of the second report, of what both have and what may be compared."""
    earlier = by_id(before["results"])
    times = same_machine(before, after)
    for now in after["results"]:
        then = earlier.get(now["id"])
        if then is None:
            continue
        if _has_floor(then) and _has_floor(now):
            yield _change("ratio", then, now, ("ratio_to_floor", "ratio_interval"), times)
        elif times:
            yield _change("time", then, now, ("median_s", "median_interval_s"), times)


def only_in(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The ids of results that the other report does not have."""
    known = by_id(other["results"])
    return [result["id"] for result in one["results"] if result["id"] not in known]


def _has_floor(result: Mapping[str, Any]) -> bool:
    """Whether it is compared with something else: what is its own floor has the ratio 1 for ever."""
    return result["ratio_to_floor"] is not None and result.get("floor") != result["id"]


def _change(by: str, then: Mapping[str, Any], now: Mapping[str, Any], fields: tuple[str, str], times: bool) -> Change:
    value, within = fields
    (low, high), (new_low, new_high) = then.get(within, [then[value]] * 2), now.get(within, [now[value]] * 2)
    apart = high < new_low or new_high < low
    significant = apart and abs(now[value] / then[value] - 1) > NOISE
    time = now["median_s"] / then["median_s"] if times else None
    return Change(now["id"], by, then[value], now[value], significant, time)
