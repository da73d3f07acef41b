"""Demonstrations that the real command kept, one per suite and test session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import processes

ROOT = Path(__file__).resolve().parent.parent.parent
PAN = "4111111111111111"


@dataclass(frozen=True)
class Kept:
    suite: str
    directory: Path
    report: str


def setproto(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """The command as a user runs it; ``given`` is its standard input."""
    return processes.run("setproto", *arguments, given=given)


@pytest.fixture(scope="session")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Kept]:
    """``keep(suite)``: the same directory whenever it is asked for."""
    made: dict[str, Kept] = {}

    def kept(suite: str) -> Kept:
        if suite not in made:
            directory = tmp_path_factory.mktemp("kept") / suite
            result = setproto("demo", "--suite", suite, "--keep", str(directory))
            assert result.returncode == 0, result.stderr
            made[suite] = Kept(suite, directory, result.stdout)
        return made[suite]

    return kept


@pytest.fixture(scope="session")
def p256(keep: Callable[[str], Kept]) -> Kept:
    return keep("p256")
