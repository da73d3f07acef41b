"""The vector files are what README.md section 3 says, and our own implementation answers as they expect."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import vectors
from setproto.conformance.files import Vector, load_all, merged, parse, vectors_of
from setproto.errors import UsageError
from vectors.recipes.common import disagreement

STATELESS = ("signed", "sealed", "dual", "codec", "chains")
MINIMUM = 420


def stateless() -> list[Vector]:
    return [vector for vector in vectors_of(load_all()) if vector.file.area in STATELESS]


def minimal() -> dict[str, Any]:
    return {
        "format": 1,
        "schema": "vectors.schema.json",
        "area": "codec",
        "suite": None,
        "numberOfTests": 1,
        "header": [],
        "notes": {},
        "testGroups": [
            {
                "type": "message.decode",
                "now": "2026-01-15T12:00:00Z",
                "tests": [
                    {
                        "tcId": "codec::one",
                        "comment": "one",
                        "covers": ["rule"],
                        "input": {"wire": "00"},
                        "expected": {"result": "valid"},
                        "intermediate": {"header": "00"},
                        "recipe": "0" * 64,
                    }
                ],
            }
        ],
    }


def test_there_are_enough_of_them_and_half_are_negative() -> None:
    found = stateless()
    assert len(found) >= MINIMUM
    assert sum(vector.test.expected.result == "invalid" for vector in found) * 2 >= len(found)
    for area in ("signed", "sealed", "dual", "chains"):
        assert {v.file.suite for v in found if v.file.area == area} == {"p256", "rsa3072", "ed25519", "mldsa65"}


OWN = [file for file in vectors.files() if file.name.split(".")[0] in STATELESS]
"""The others are held by test_flows.py."""


def test_the_readme_says_how_many_there_are() -> None:
    total = sum(len(group.tests) for file in load_all() for group in file.testGroups)
    assert f"[{total:,} vectors](vectors/README.md)" in (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_our_implementation_agrees(file: Any) -> None:
    read = vectors.load(file)
    wrong = [
        f"{test['tcId']}: {said}"
        for group in read["testGroups"]
        for test in group["tests"]
        if (said := disagreement(test, group))
    ]
    assert not wrong


def test_a_wrong_expectation_is_noticed() -> None:
    read = vectors.load(next(file for file in vectors.files() if file.name == "sealed.p256.json"))
    group = read["testGroups"][0]
    good = group["tests"][0]
    assert disagreement(good, group) is None
    other = copy.deepcopy(good)
    other["expected"]["outputs"]["content"] = "00"
    assert disagreement(other, group) == "other outputs: content"
    other["expected"] = {"result": "invalid", "reason": "decryptionFailure", "outputs": {}}
    assert "not invalid" in (disagreement(other, group) or "")


def test_every_minimal_file_parses() -> None:
    assert parse(minimal()).testGroups[0].tests[0].tcId == "codec::one"


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(format=2),
        lambda file: file.update(unknown=1),
        lambda file: file["testGroups"][0].update(now="2026-01-15 12:00"),
        lambda file: file["testGroups"][0].update(tests=[]),
        lambda file: file["testGroups"][0]["tests"][0].update(tcId="Codec::One"),
        lambda file: file["testGroups"][0]["tests"][0].update(odd=True),
        lambda file: file["testGroups"][0]["tests"][0].update(recipe="00"),
        lambda file: file["testGroups"][0]["tests"][0]["expected"].update(result="acceptable"),
        lambda file: file["testGroups"][0]["tests"][0]["expected"].update(must_not_release=["0A"]),
        lambda file: file["testGroups"][0].update(trust={"roots": ["zz"]}),
    ],
)
def test_what_the_format_does_not_know_is_refused(change: Any) -> None:
    file = minimal()
    change(file)
    with pytest.raises(UsageError):
        parse(file)


def test_private_members_are_allowed() -> None:
    file = minimal()
    file["testGroups"][0]["tests"][0]["x-mine"] = 1
    parse(file)


def test_the_members_of_a_test_go_before_those_of_its_group() -> None:
    group = {"trust": {"roots": ["00"], "crls": ["01"]}, "role": "merchant"}
    given = {"trust": {"crls": []}, "wire": "02"}
    assert merged(group, given) == {"trust": {"roots": ["00"], "crls": []}, "role": "merchant", "wire": "02"}
