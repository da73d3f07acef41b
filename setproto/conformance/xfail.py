"""Expected failures: a list with reasons, held strictly, so that it cannot outlive what it excuses.

A TOML file::

    [[xfail]]
    id = "dual::gateway-swapped.p256"
    reason = "the digest of the seals is not looked at yet"
    implementation = "example"            # optional: the name in hello; every implementation without it

An entry whose vector no longer fails, was not asked although selected, or does not exist is stale, and a stale entry
fails the run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from setproto.conformance.harness import STRICT_FAILURES, NotSound, Run

_MEMBERS = {"id", "reason", "implementation"}


@dataclass(frozen=True)
class Entry:
    """One expected failure."""

    id: str
    reason: str
    implementation: str | None = None


def load(text: str) -> tuple[Entry, ...]:
    """The entries of a file.  NotSound if it is malformed, gives no reason, or names a vector twice."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise NotSound(f"expected failures: {failure}") from None
    items = data.pop("xfail", [])
    if data or not isinstance(items, list):
        raise NotSound("expected failures: only [[xfail]] entries may stand there")
    entries = tuple(map(_entry, items))
    if len({(entry.id, entry.implementation) for entry in entries}) != len(entries):
        raise NotSound("expected failures: a vector stands there twice")
    return entries


def _entry(item: Any) -> Entry:
    if not isinstance(item, dict) or not {"id", "reason"} <= set(item) <= _MEMBERS:
        raise NotSound(f"expected failures: an entry has id, reason and perhaps implementation: {item!r}")
    if not all(isinstance(value, str) and value.strip() for value in item.values()):
        raise NotSound(f"expected failures: the members of an entry are texts, and not empty: {item!r}")
    return Entry(**item)


@dataclass(frozen=True)
class Judged:
    """A run, with what was expected to fail taken into account."""

    run: Run
    expected: frozenset[str]
    """The vectors that failed as was expected."""
    stale: tuple[Entry, ...]
    failed: frozenset[str]
    """The vectors that count against the implementation."""

    @property
    def ok(self) -> bool:
        """Whether nothing counts against it."""
        return not self.failed and not self.stale


def judge(run: Run, entries: Iterable[Entry], deselected: frozenset[str] = frozenset()) -> Judged:
    """What counts of a run.  Entries for vectors in ``deselected`` are left alone: they were not to be asked."""
    applying = {e.id: e for e in entries if e.implementation in (None, run.hello.name) and e.id not in deselected}
    # What is a failure only when strict may stand in the list all the same: one list serves both.
    excused = {r.case.id for r in run.results if r.outcome in STRICT_FAILURES and r.case.id in applying}
    stale = tuple(entry for name, entry in applying.items() if name not in excused)
    failed = frozenset(r.case.id for r in run.results if r.outcome in run.failing) - excused
    return Judged(run, frozenset(excused), stale, failed)
