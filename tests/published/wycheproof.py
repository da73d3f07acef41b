"""The test vectors of Project Wycheproof (C2SP/wycheproof, commit dac1dd4, testvectors_v1, Apache License 2.0).

They are not part of this repository.  They are looked for beside it, in ``../shared/data/wycheproof``, or where the
environment variable ``SETPROTO_WYCHEPROOF`` says; tests that need them are skipped where there are none.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_NAMED = os.environ.get("SETPROTO_WYCHEPROOF")
FOLDER = Path(_NAMED) if _NAMED else Path(__file__).parents[3] / "shared" / "data" / "wycheproof"

# Who names a folder means it: then a missing one is an error and no reason to skip.
needed = pytest.mark.skipif(
    not _NAMED and not FOLDER.is_dir(),
    reason="no Wycheproof vectors beside the repository, and SETPROTO_WYCHEPROOF names none",
)


@dataclass
class Vectors:
    """One file, and the account of what became of each of its tests."""

    name: str
    groups: list[dict[str, Any]]
    total: int
    outcomes: Counter[str] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)
    _wrong: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for group in self.groups:
            for test in group["tests"]:
                yield group, test

    def count(self, test: dict[str, Any], outcome: str, *, right: bool = True) -> None:
        """Enter what became of a test, once; ``right``: whether that is what should become of it."""
        assert test["tcId"] not in self._seen
        self._seen.add(test["tcId"])
        self.outcomes[outcome] += 1
        if not right:
            self._wrong.append(f"{test['tcId']} ({test['result']}: {test.get('comment')}) {outcome}")

    def settle(self, outcomes: dict[str, int]) -> None:
        """Every test of the file was used, none had the wrong outcome, and the outcomes are so many of each."""
        assert self._wrong == []
        assert len(self._seen) == self.total
        assert dict(self.outcomes) == outcomes


def load(name: str, *, tests: int) -> Vectors:
    """The file ``name`` (without ``_test.json``), which must have this many tests."""
    data = json.loads((FOLDER / f"{name}_test.json").read_text(encoding="utf-8"))
    groups = data["testGroups"]
    assert data["numberOfTests"] == sum(len(group["tests"]) for group in groups) == tests
    return Vectors(name, groups, tests)
