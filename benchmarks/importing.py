"""What ``import setproto`` costs, against ``import cryptography.x509``: each in a fresh interpreter, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks import BenchmarkError
from benchmarks.measure import Case, Progress, Settings, result

_FLOOR: Final = "import.cryptography_x509"
_STATEMENTS: Final = {
    _FLOOR: "import cryptography.x509",
    "import.setproto": "import setproto",
    "import.setproto_market": "from setproto import Market",
}


def run(settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """The results.  BenchmarkError if something cannot be imported."""
    values: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for statement in _STATEMENTS.values():  # once for the disk, and for the byte code
        _seconds(statement)
    for round_ in range(settings.samples):
        for name, statement in _STATEMENTS.items():
            values[name].append(_seconds(statement))
        progress("import", round_ + 1, settings.samples)
    about = "inside the process: without the start of the interpreter"
    return [result(Case(name, _seconds, floor=_FLOOR, extra={"about": about}), values, loops=1) for name in _STATEMENTS]


def _seconds(statement: str) -> float:
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    search = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    if done.returncode != 0:
        raise BenchmarkError(f"{statement}: {done.stderr.strip()[-200:]}")
    return float(done.stdout)
