"""How cases are declared, made, and judged before they are written.

A :class:`File` has groups, a :class:`Group` has cases.  A case has parameters, which its recipe hash covers, and a
function that makes its input; the function is called only if the case is not there yet, its recipe has changed, or what
is there is no longer judged as expected.  So an artefact whose randomness cannot be injected is made once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from setproto.conformance.adapter import answer, operations
from setproto.conformance.files import FORMAT, merged

NOW: Final = "2026-01-15T12:00:00Z"
BRAND: Final = "Marque"


class Random:
    """Octets from SHAKE256 over (format, file, tcId, label), framed with lengths; the same label, the same octets."""

    def __init__(self, file: str, tc_id: str) -> None:
        self._place = (str(FORMAT), file, tc_id)

    def __call__(self, label: str, size: int = 32) -> bytes:
        """``size`` octets for this label."""
        framed = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in (*self._place, label))
        return hashlib.shake_256(framed).digest(size)

    def source(self, label: str) -> Callable[[int], bytes]:
        """A function n → n octets, other ones each time: what roles take as ``random``."""
        count = iter(range(1 << 62))
        return lambda size: self(f"{label} {next(count)}", size)


@dataclass(frozen=True)
class Made:
    """What a recipe has made.  Everything is JSON: octets in hexadecimal."""

    input: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    intermediate: dict[str, str] = field(default_factory=dict)
    must_not_release: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One test to be.  ``reason`` None: valid.  ``make(random, parent)``: ``parent`` is what the sibling was made to
    (its input is what is in the file), None for a case without one."""

    id: str
    comment: str
    make: Callable[[Random, Made | None], Made]
    reason: str | None = None
    parent: Case | None = None
    mutation: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    covers: Sequence[str] = ()
    flags: Sequence[str] = ()
    features: Sequence[str] = ()
    alternatives: Sequence[str] = ()
    fail_at: Mapping[str, str] | None = None


@dataclass
class Group:
    """Cases of one operation that share time, trust, keys, policy and role."""

    file: File
    type: str
    now: str = NOW
    role: str | None = None
    trust: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)

    def add(
        self, name: str, comment: str, make: Callable[[Random], Made], *, covers: Sequence[str], **more: Any
    ) -> Case:
        """A valid case.  ``more``: parameters, flags, features."""
        case = Case(self.file.id_of(name), comment, lambda random, _: make(random), covers=covers, **more)
        self.cases.append(case)
        return case

    def deviate(
        self,
        case: Case,
        name: str,
        mutation: str,
        reason: str,
        change: Callable[[Random, Made], Mapping[str, Any] | Made],
        *,
        comment: str,
        covers: Sequence[str] = (),
        **more: Any,
    ) -> Case:
        """An invalid case with one deviation from a valid one.

        ``change(random, sibling)`` returns the members of the input that differ (merged over the sibling's input), or a
        whole Made.  ``more``: parameters, flags, features, alternatives, fail_at.
        """

        def make(random: Random, parent: Made | None) -> Made:
            if parent is None:
                raise TypeError("a deviation has a sibling")
            changed = change(random, parent)
            if isinstance(changed, Made):
                return changed
            # None takes a member of the sibling's input away.
            given = {name: value for name, value in {**parent.input, **changed}.items() if value is not None}
            return Made(given, must_not_release=parent.must_not_release)

        made = Case(
            self.file.id_of(name),
            comment,
            make,
            reason,
            case,
            mutation,
            covers=(*covers, f"errorCode.{reason}") if "." not in reason else (*covers, reason),
            **more,
        )
        self.cases.append(made)
        return made

    def shared(self) -> dict[str, Any]:
        """The group's own members, as they stand in the file."""
        return {
            "type": self.type,
            "role": self.role,
            "now": self.now,
            "trust": {"roots": [], "certificates": [], "crls": [], "bcis": [], **self.trust},
            "keys": dict(self.keys),
            "policy": dict(self.policy),
        }


@dataclass
class File:
    """One vector file to be."""

    area: str
    suite: str | None
    header: Sequence[str]
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name in ``v1``."""
        return f"{self.area}.{self.suite}.json" if self.suite else f"{self.area}.json"

    def id_of(self, name: str) -> str:
        """The tcId of a case."""
        return f"{self.area}::{name}" + (f".{self.suite}" if self.suite else "")

    def group(self, type: str, **shared: Any) -> Group:
        """A new group of this operation."""
        made = Group(self, type, **shared)
        self.groups.append(made)
        return made


def note(bug_type: str, description: str, effect: str, *links: str) -> dict[str, Any]:
    """The meaning of a flag."""
    return {"bugType": bug_type, "description": description, "effect": effect, "links": list(links)}


_OPS: Final = operations()


def ask(group: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What our own adapter answers to this input within this group."""
    shared = {name: group[name] for name in ("trust", "keys", "policy", "role") if group.get(name) is not None}
    request = {"id": "1", "op": group["type"], "now": group["now"], "input": merged(shared, given)}
    return answer(request, _OPS)


def disagreement(test: Mapping[str, Any], group: Mapping[str, Any]) -> str | None:
    """How our adapter's answer differs from what the test expects; None if it does not."""
    expected = test["expected"]
    said = ask(group, test["input"])
    if said["result"] != expected["result"] or said.get("reason") != expected["reason"]:
        return f"{said['result']} {said.get('reason') or ''}, not {expected['result']} {expected['reason'] or ''}"
    found = said.get("outputs") or {}
    differing = [name for name, value in expected["outputs"].items() if found.get(name) != value]
    return f"other outputs: {', '.join(differing)}" if differing else None


def recipe_of(case: Case, group: Mapping[str, Any]) -> str:
    """SHA-256 of what the case is made from: everything that is declared, and the same of its sibling."""
    declared = {
        "format": FORMAT,
        "id": case.id,
        "mutation": case.mutation,
        "reason": case.reason,
        "parameters": dict(case.parameters),
        "group": group,
        "parent": None if case.parent is None else {"id": case.parent.id, "parameters": dict(case.parent.parameters)},
    }
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


def _made_of(test: Mapping[str, Any]) -> Made:
    expected = test["expected"]
    return Made(
        test["input"], expected["outputs"], dict(test.get("intermediate") or {}), list(expected["must_not_release"])
    )


class Disagrees(Exception):
    """Our own implementation does not say what a case expects."""


def make_file(file: File, stored: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The groups of a file as JSON, out of what is stored where it still holds.  Disagrees if a case is not judged as
    it expects."""
    before = {test["tcId"]: test for group in (stored or {}).get("testGroups", ()) for test in group["tests"]}
    results: dict[str, Made] = {}
    fresh: set[str] = set()
    for group in file.groups:
        shared = group.shared()
        tests = []
        for case in group.cases:
            recipe = recipe_of(case, shared)
            old = before.get(case.id)
            usable = old is not None and old["recipe"] == recipe
            if case.parent is not None and case.parent.id in fresh:
                usable = False
            if usable and old is not None:
                test = _test(case, _made_of(old), recipe)
                usable = disagreement(test, shared) is None
            if not usable:
                parent = None if case.parent is None else results[case.parent.id]
                test = _test(case, case.make(Random(file.name, case.id), parent), recipe)
                fresh.add(case.id)
                if said := disagreement(test, shared):
                    raise Disagrees(f"{case.id}: {said}")
            results[case.id] = _made_of(test)
            tests.append(test)
        yield {**shared, "tests": tests}


def _test(case: Case, made: Made, recipe: str) -> dict[str, Any]:
    expected = {
        "result": "valid" if case.reason is None else "invalid",
        "reason": case.reason,
        "alternatives": list(case.alternatives),
        **({"fail_at": dict(case.fail_at)} if case.fail_at else {}),
        "outputs": made.outputs if case.reason is None else {},
        "must_not_release": made.must_not_release,
    }
    return {
        "tcId": case.id,
        "comment": case.comment,
        "flags": list(case.flags),
        "features": list(case.features),
        "covers": list(case.covers),
        **({"derived_from": case.parent.id, "mutation": case.mutation} if case.parent else {}),
        "input": made.input,
        "expected": expected,
        **({"intermediate": made.intermediate} if case.reason is None else {}),
        "recipe": recipe,
    }


def whole(file: File, stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The whole file as JSON."""
    groups = list(make_file(file, stored))
    return {
        "format": FORMAT,
        "schema": "vectors.schema.json",
        "area": file.area,
        "suite": file.suite,
        "numberOfTests": sum(len(group["tests"]) for group in groups),
        "header": list(file.header),
        "notes": dict(file.notes),
        "testGroups": groups,
    }
