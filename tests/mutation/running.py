"""Run the vectors against a mutant, each mutant in a process of its own.

The parent has imported nothing of the library, so that the child, a fork of it, can import the mutant.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tests.mutation.mutants import ROOT, Mutant, inject

VECTORS = ROOT / "vectors" / "v1"
PATIENCE = 300
"""Seconds for one mutant; one that hangs has been noticed."""


@dataclass(frozen=True)
class Verdict:
    """The first vector that noticed, and how; or None."""

    noticed_by: str | None
    detail: str = ""


@dataclass(frozen=True)
class Question:
    """One vector: a request and what is expected."""

    id: str
    request: dict[str, Any]
    expected: dict[str, Any]


def questions() -> list[Question]:
    """Every vector.  What the group has goes into the input of each of its tests."""
    found = []
    for path in sorted(VECTORS.glob("*.json")):
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


RELEVANT = {
    "pki": ("chains", "signed", "dual"),
    "setproto.crypto.sealed": ("sealed",),
    "setproto.crypto.recipients": ("sealed",),
    "setproto.crypto.dual": ("dual",),
    "setproto.crypto.possession": ("registration",),
    "setproto.messages.registration": ("registration", "codec"),
    "setproto.messages": ("codec", "payment", "purchase"),
    "setproto.roles.applicant": ("registration",),
    "setproto.roles.authority": ("registration",),
    "setproto.roles.registration": ("registration",),
    "setproto.roles.gateway": ("payment", "purchase"),
    "setproto.roles": ("purchase", "payment", "replay", "registration"),
}
"""Module → the areas whose vectors are likely to notice, which are asked first."""


def likely_first(mutant: Mutant, asked: list[Question]) -> list[Question]:
    """All of them, those that are likely to notice before the others, P-256 before the slower suites."""
    areas = next((areas for prefix, areas in RELEVANT.items() if mutant.module.startswith(prefix)), ("signed",))
    places = {area: place for place, area in enumerate(areas)}
    slow = ("rsa3072", "mldsa65", "ed25519")
    return sorted(asked, key=lambda one: (places.get(one.id.split("::")[0], len(places)), one.id.endswith(slow)))


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


def judge(asked: list[Question]) -> Verdict:
    """In a child: the verdict on the library as it is imported now."""
    try:
        from setproto.conformance import adapter

        operations = adapter.operations()
    except Exception:
        return Verdict("import", traceback.format_exc(limit=-1).splitlines()[-1])
    for question in asked:
        try:
            how = differs(adapter.answer(question.request, operations), question.expected)
        except Exception:
            how = traceback.format_exc(limit=-1).splitlines()[-1]
        if how is not None:
            return Verdict(question.id, how)
    return Verdict(None)


def _child(mutant: Mutant | None, asked: list[Question], out: Connection) -> None:
    if mutant is not None:
        inject(mutant)
    out.send(judge(asked))


def judge_one(mutant: Mutant | None, asked: list[Question]) -> Verdict:
    """The verdict on one mutant, or on the library itself, in a child."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(mutant, asked, sender), daemon=True)
    child.start()
    sender.close()
    try:
        if receiver.poll(PATIENCE):
            verdict: Verdict = receiver.recv()
            return verdict
        return Verdict("time", f"no answer in {PATIENCE} s")
    except EOFError:
        return Verdict("crash", "the process ended")
    finally:
        child.kill()
        child.join()


@functools.cache
def sound_questions() -> list[Question]:
    """Every vector.  RuntimeError if they do not even pass on the library itself."""
    asked = questions()
    sound = judge_one(None, asked)
    if not asked or sound.noticed_by is not None:
        raise RuntimeError(f"the vectors do not pass: {sound.noticed_by}: {sound.detail}")
    return asked


def judge_all(chosen: Iterable[Mutant], workers: int) -> Iterator[tuple[Mutant, Verdict]]:
    """Verdicts as they come.  RuntimeError if the vectors do not even pass on the library itself."""
    asked = sound_questions()
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(judge_one, mutant, likely_first(mutant, asked)): mutant for mutant in chosen}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
