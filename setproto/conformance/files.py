"""The vector files, typed: what ``vectors/README.md`` section 3 says of them, and the lint that holds it.

The JSON Schema in ``vectors/schema`` is generated from these models, so that the two cannot differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import vectors
from setproto.errors import ErrorCode, UsageError

FORMAT: Final = 1
SCHEMA: Final = "vectors.schema.json"
Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]


class _Strict(BaseModel):
    """Nothing unknown is allowed but what begins with ``x-``."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra=lambda schema: schema.update(
            {"additionalProperties": False, "patternProperties": {"^x-": True}}
        ),
    )

    @model_validator(mode="after")
    def _known(self) -> _Strict:
        if odd := [name for name in self.model_extra or {} if not name.startswith("x-")]:
            raise ValueError(f"unknown members: {', '.join(odd)}")
        return self


class Note(_Strict):
    """What a flag means: the class of bug that a test looks for."""

    bugType: str
    description: str
    effect: str
    links: list[str] = []


class Trust(_Strict):
    """What the verifier trusts and knows."""

    roots: list[Hex] = []
    certificates: list[Hex] = []
    crls: list[Hex] = []
    bcis: list[Hex] = []


class FailAt(_Strict):
    """Where it is to be noticed."""

    role: str
    step: str


class Expected(_Strict):
    """What an implementation must say."""

    result: Literal["valid", "invalid"]
    reason: str | None = None
    alternatives: list[str] = []
    fail_at: FailAt | None = None
    outputs: dict[str, Any] = {}
    must_not_release: list[Hex] = []


class Test(_Strict):
    """One vector."""

    tcId: Annotated[str, Field(pattern=r"^[a-z0-9-]+::[a-z0-9-]+(\.[a-z0-9]+)?$")]
    comment: Annotated[str, Field(min_length=1)]
    flags: list[str] = []
    features: list[str] = []
    covers: list[str] = []
    derived_from: str | None = None
    mutation: str | None = None
    input: dict[str, Any]
    expected: Expected
    intermediate: dict[str, Hex] | None = None
    recipe: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Group(_Strict):
    """Tests of one operation that share time, trust, keys and policy."""

    type: str
    role: str | None = None
    now: Time
    trust: Trust = Trust()
    keys: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    tests: Annotated[list[Test], Field(min_length=1)]


class VectorFile(_Strict):
    """One area, in one suite where the suite matters."""

    format: Literal[1]
    schema_: Annotated[Literal["vectors.schema.json"], Field(alias="schema")]
    area: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    suite: str | None
    numberOfTests: int
    header: list[str]
    notes: dict[str, Note] = {}
    testGroups: list[Group]


@dataclass(frozen=True)
class Vector:
    """One test with what it inherits from its group and its file."""

    file: VectorFile
    group: Group
    test: Test

    @property
    def id(self) -> str:
        """Its tcId."""
        return self.test.tcId

    def input(self) -> dict[str, Any]:
        """What goes over the pipe as ``input``: the group's data, and over it, member by member, the test's."""
        group = self.group.model_dump(include={"trust", "keys", "policy", "role"}, exclude_none=True)
        return merged(group, self.test.input)

    def summary(self) -> dict[str, Any]:
        """What ``list --json`` says of it."""
        expected = self.test.expected
        return {
            "id": self.id,
            "area": self.file.area,
            "suite": self.file.suite,
            "op": self.group.type,
            "result": expected.result,
            "reason": expected.reason,
            "derived_from": self.test.derived_from,
            "mutation": self.test.mutation,
            "flags": self.test.flags,
            "covers": self.test.covers,
            "comment": self.test.comment,
        }


def merged(group: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The group's members, and over them the test's; objects of one name are merged, the test's members first."""
    both = {
        name: {**value, **given[name]}
        for name, value in group.items()
        if isinstance(value, dict) and isinstance(given.get(name), dict)
    }
    return {**group, **given, **both}


def parse(data: Mapping[str, Any]) -> VectorFile:
    """A vector file out of its JSON.  UsageError, saying where, if it is none."""
    try:
        return VectorFile.model_validate(data)
    except ValidationError as failure:
        first = failure.errors()[0]
        raise UsageError(f"{'/'.join(map(str, first['loc']))}: {first['msg']}") from None


def load_all() -> list[VectorFile]:
    """Every file that is shipped."""
    return [parse(vectors.load(file)) for file in vectors.files()]


def vectors_of(files: Iterable[VectorFile]) -> Iterator[Vector]:
    """Every vector, in order."""
    return (Vector(file, group, test) for file in files for group in file.testGroups for test in group.tests)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a vector file."""
    schema = VectorFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


NOT_COVERED: Final[Mapping[str, str]] = {
    "signatureRequired": "unsigned purchases do not exist here, so no message lacks a signature and still decodes",
}
"""ErrorCodes that need no vector, and why."""


def lint(files: Sequence[VectorFile], *, whole: bool = True) -> list[str]:
    """What is wrong with these files; ``whole`` asks for coverage of every error code too."""
    found: list[str] = []
    tests = {vector.id: vector for vector in vectors_of(files)}
    counts = Counter(vector.id for vector in vectors_of(files))
    found += [f"{name}: the id occurs {count} times" for name, count in counts.items() if count > 1]
    for file in files:
        where = f"{file.area}{'.' + file.suite if file.suite else ''}"
        if file.numberOfTests != sum(len(group.tests) for group in file.testGroups):
            found.append(f"{where}: numberOfTests is wrong")
    inputs: dict[str, str] = {}
    for vector in tests.values():
        found += [f"{vector.id}: {fault}" for fault in _faults(vector, tests)]
        key = repr((vector.group.type, vector.group.now, vector.group.trust, vector.group.policy, vector.input()))
        if (twin := inputs.setdefault(key, vector.id)) != vector.id:
            found.append(f"{vector.id}: the same input as {twin}")
    if whole:
        found += _uncovered(tests.values())
    return found


def _faults(vector: Vector, tests: Mapping[str, Vector]) -> Iterator[str]:
    test, expected = vector.test, vector.test.expected
    if not test.tcId.startswith(f"{vector.file.area}::"):
        yield "the id does not begin with the area"
    if unknown := sorted(set(test.flags) - set(vector.file.notes)):
        yield f"flags without a note: {', '.join(unknown)}"
    if not test.covers:
        yield "covers nothing"
    if expected.result == "valid":
        if expected.reason is not None or expected.alternatives:
            yield "valid, with a reason"
        if test.derived_from is not None or test.mutation is not None:
            yield "valid, with a sibling or a mutation"
        if not test.intermediate:
            yield "valid, without intermediate values"
        return
    if expected.reason is None:
        yield "invalid, without a reason"
    if expected.outputs or test.intermediate:
        yield "invalid, with outputs or intermediate values"
    if not test.mutation:
        yield "invalid, without the deviation's name"
    sibling = tests.get(test.derived_from or "")
    if sibling is None or sibling.test.expected.result != "valid":
        yield "invalid, without a valid sibling"
    elif sibling.group.type != vector.group.type:
        yield "its sibling is of another operation"
    else:
        same = [
            other.id
            for other in tests.values()
            if (other.test.derived_from, other.test.mutation) == (test.derived_from, test.mutation)
            and other.id != test.tcId
        ]
        if same:
            yield f"the same deviation as {', '.join(same)}"


def _uncovered(tests: Iterable[Vector]) -> Iterator[str]:
    reasons = {vector.test.expected.reason for vector in tests}
    for code in ErrorCode:
        if code.name not in reasons and code.name not in NOT_COVERED:
            yield f"no vector expects {code.name}"
        if code.name in reasons and code.name in NOT_COVERED:
            yield f"{code.name} has a vector, and is listed as not covered"
