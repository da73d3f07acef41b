"""Run the vectors against mutants, each mutant in a process of its own.

The parent has imported the library with switches; each child, a fork of it, sets one, and asks the vectors in which
that check refuses something.
"""

from __future__ import annotations

import json
import multiprocessing
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.mutants import ROOT, SWITCH, Mutant, install

VECTORS = ROOT / "vectors" / "v1"
PATIENCE = 300
"""Seconds for one mutant; one that hangs has been noticed."""


@dataclass(frozen=True)
class Verdict:
    """The first vector that noticed, and how; or None, and in how many the check refuses something all the same."""

    noticed_by: str | None
    detail: str = ""
    refused_in: int = 0


@dataclass(frozen=True)
class Question:
    """One vector: a request and what is expected."""

    id: str
    request: dict[str, Any]
    expected: dict[str, Any]


def questions(folder: Path = VECTORS) -> list[Question]:
    """Every vector.  What the group has goes into the input of each of its tests."""
    found = []
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
            shared = {key: group[key] for key in ("trust", "keys", "policy", "role") if group.get(key)}
            for test in group["tests"]:
                name, given = test["tcId"], merged(shared, test["input"])
                request = {"id": name, "op": group["type"], "now": group["now"], "input": given}
                found.append(Question(name, request, test["expected"]))
    return found


def merged(group: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """The group's data, and over it, member by member, the test's, as the harness does it."""
    both = dict(group)
    for key, value in test.items():
        known = both.get(key)
        both[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def differs(answer: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """How an answer is another than expected; None if it is not."""
    if answer["result"] != expected["result"]:
        return f"{answer['result']} instead of {expected['result']}"
    if expected["result"] == "invalid":
        reasons = {expected["reason"], *expected.get("alternatives", ())}
        return None if answer["reason"] in reasons else f"{answer['reason']} instead of {expected['reason']}"
    outputs = answer.get("outputs", {})
    wrong = [key for key, value in expected.get("outputs", {}).items() if outputs.get(key) != value]
    return f"other outputs: {', '.join(wrong)}" if wrong else None


def judge(asked: Iterable[Question]) -> Verdict:
    """The verdict on the library as its switch stands."""
    from setproto.conformance import adapter

    operations = adapter.operations()
    for question in asked:
        try:
            how = differs(adapter.answer(question.request, operations), question.expected)
        except Exception:
            how = traceback.format_exc(limit=-1).splitlines()[-1]
        if how is not None:
            return Verdict(question.id, how)
    return Verdict(None)


def refusals(asked: Iterable[Question]) -> dict[tuple[str, int], list[Question]]:
    """Check → the vectors in which it refuses something.  RuntimeError if a vector does not pass."""
    found: dict[tuple[str, int], list[Question]] = {}
    for question in asked:
        SWITCH.refusing.clear()
        if (verdict := judge([question])).noticed_by is not None:
            raise RuntimeError(f"the vectors do not pass: {question.id}: {verdict.detail}")
        for check in SWITCH.refusing:
            found.setdefault(check, []).append(question)
    return found


def in_child(work: Callable[[], Verdict]) -> Verdict:
    """What this gives in a child, so that nothing that a mutant leaves behind is there for the next."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: sender.send(work()), daemon=True)
    child.start()
    sender.close()
    try:
        if receiver.poll(PATIENCE):
            verdict: Verdict = receiver.recv()
            return verdict
        return Verdict("the run", f"no answer in {PATIENCE} s")
    except EOFError:
        return Verdict("the run", "the process ended")
    finally:
        child.kill()
        child.join()


def judge_all(chosen: Iterable[Mutant], asked: Iterable[Question]) -> Iterator[tuple[Mutant, Verdict]]:
    """Verdicts as they come.  RuntimeError if the vectors do not even pass on the library itself."""
    install()
    refused = refusals(asked)
    for mutant in chosen:
        check = (mutant.module, mutant.number)
        likely = refused.get(check, [])

        def work(check: tuple[str, int] = check, likely: list[Question] = likely) -> Verdict:
            SWITCH.out = check
            return judge(likely)

        verdict = in_child(work) if likely else Verdict(None)
        yield mutant, Verdict(verdict.noticed_by, verdict.detail, len(likely))
