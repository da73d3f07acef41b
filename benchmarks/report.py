"""Reports: JSON of one schema (report.schema.json), checked before it is written and after it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from benchmarks import BenchmarkError

Result = dict[str, Any]
"""One entry of ``results``."""
SCHEMA: Final[dict[str, Any]] = json.loads(
    files("benchmarks").joinpath("report.schema.json").read_text(encoding="utf-8")
)


def report(environment: dict[str, Any], results: Iterable[Result]) -> dict[str, Any]:
    """A report of these results, taken in this environment.  Of results with the same id the first is kept.

    BenchmarkError if it is not of the schema.
    """
    by_id: dict[str, Result] = {}
    for result in results:
        by_id.setdefault(result["id"], result)
    made = {"version": 1, "environment": environment, "results": list(by_id.values())}
    return _valid(made, "the report")


def write(made: dict[str, Any], path: Path) -> None:
    """Write a report; seven digits of each figure, which is more than anything here is exact to.  OSError."""
    path.write_text(json.dumps(_rounded(made), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a report.  BenchmarkError if it is none, OSError if it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise BenchmarkError(f"{path}: not JSON: {failure}") from None
    return _valid(found, str(path))


def by_id(results: Sequence[Result]) -> dict[str, Result]:
    """The results by their ids."""
    return {result["id"]: result for result in results}


def _valid(found: dict[str, Any], what: str) -> dict[str, Any]:
    for fault in Draft202012Validator(SCHEMA).iter_errors(found):
        place = "/".join(map(str, fault.absolute_path))
        raise BenchmarkError(f"{what} is not of the schema: {place}: {fault.message[:200]}")
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
