"""The schemas of the conversation and of the report hold what is said and written, and nothing that must not be."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from setproto.conformance import reports, xfail
from setproto.conformance.files import load_all, parse
from setproto.conformance.harness import Runner, cases
from tests.conformance import toy


def validator(name: str, definition: str | None = None) -> Draft202012Validator:
    schema = json.loads(files("vectors").joinpath("schema", f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    if definition is not None:
        schema = {**schema["$defs"][definition], "$defs": schema["$defs"]}
    return Draft202012Validator(schema)


def test_the_conversation(tmp_path: Path) -> None:
    """Both directions, with our own adapter."""
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    script = tmp_path / "tee.sh"
    script.write_text(
        f"tee {asked} | {sys.executable} -m setproto conformance-adapter | tee {answered}\n", encoding="utf-8"
    )
    chosen = [case for file in load_all() if file.suite in ("p256", None) for case in cases(file)][::20]
    with Runner(["/bin/sh", str(script)], timeout=20) as runner:
        runner.run(chosen, seed=1)
    (hello, *requests), (me, *answers) = (
        [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in (asked, answered)
    )
    validator("protocol", "helloRequest").validate(hello)
    validator("protocol", "hello").validate(me)
    assert len(requests) == len(answers) == len(chosen)
    for request, answer in zip(requests, answers, strict=True):
        validator("protocol", "request").validate(request)
        validator("protocol", "answer").validate(answer)


@pytest.mark.parametrize(
    ("definition", "wrong"),
    [
        ("request", {"id": "0" * 16, "op": "cms.open", "now": toy.NOW, "input": {}, "expected": {}}),
        ("request", {"id": "area::name", "op": "cms.open", "now": toy.NOW, "input": {}}),
        ("answer", {"id": "1", "result": "acceptable"}),
        ("answer", {"id": "1", "result": "invalid", "outputs": {"content": ""}}),
        ("hello", {"name": "", "version": "1", "suites": [], "features": [], "ops": []}),
    ],
)
def test_what_must_not_be_said(definition: str, wrong: dict[str, Any]) -> None:
    assert not validator("protocol", definition).is_valid(wrong)


def test_the_report() -> None:
    with Runner([sys.executable, "-S", str(Path(toy.__file__)), "no-dates"], timeout=5) as runner:
        run = runner.run(list(cases(parse(toy.a_file()))), seed=1)
    entries = xfail.load(f'[[xfail]]\nid = "{toy.EXPIRED}"\nreason = "x"\n[[xfail]]\nid = "a::b"\nreason = "y"\n')
    report = json.loads(reports.as_json([xfail.judge(run, entries)]))
    validator("report").validate(report)
    report["runs"][0]["results"][0]["outcome"] = "acceptable"
    assert not validator("report").is_valid(report)


def test_the_adapter_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "setproto", "conformance-adapter"]
    given = '{"op": "hello", "protocol": 1}\n{"id": "7", "op": "tea.make", "now": "", "input": {}}\n'
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60)
    hello, answer = map(json.loads, result.stdout.splitlines())
    assert hello["name"] == "setproto"
    assert answer == {"id": "7", "result": "unsupported", "reason": "no such operation"}
