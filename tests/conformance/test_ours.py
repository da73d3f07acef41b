"""This library behind the pipe, by the vectors that are shipped; and what they say when a check is taken out of it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from setproto.conformance.files import load_all
from setproto.conformance.harness import Outcome, Run, Runner, cases, select
from tests.cli.conftest import ROOT, setproto


def test_ours_passes_every_vector_strictly(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    command = shlex.join([sys.executable, "-m", "setproto", "conformance-adapter"])
    result = setproto("conformance", "--impl", command, "--json", str(file), "--strict")
    assert file.exists(), result.stderr
    (run,) = json.loads(file.read_text(encoding="utf-8"))["runs"]
    wrong = {result["id"]: result["detail"] for result in run["results"] if result["outcome"] != "pass"}
    assert wrong == {}
    assert (result.returncode, run["ok"], run["restarts"]) == (0, True, 0)


def broken(mode: str) -> Run:
    command = ["/usr/bin/env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.conformance.broken", mode]
    chosen = select((case for file in load_all() for case in cases(file)), ["signed"], ["p256"], [])
    with Runner(command, timeout=20) as runner:
        return runner.run(chosen, seed=1)


def test_without_signatures() -> None:
    run = broken("no-signatures")
    accepted = {result.case.id for result in run.results if result.verdict.accepted}
    assert accepted
    assert {result.case.id for result in run.results if result.outcome is Outcome.FAIL} == accepted


def test_without_signed_attributes() -> None:
    assert any(result.verdict.accepted for result in broken("no-attributes").results)


def test_without_reasons() -> None:
    """Only warnings, since everything invalid was refused."""
    outcomes = [result.outcome for result in broken("vague").results]
    assert set(outcomes) == {Outcome.PASS, Outcome.WRONG_REASON}
    assert outcomes.count(Outcome.WRONG_REASON) > 20
