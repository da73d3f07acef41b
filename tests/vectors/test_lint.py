"""The lint finds what it is for: each rule is seen to fail."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

import vectors
from setproto.conformance.files import json_schema, lint, load_all, parse
from tests.vectors.test_files import minimal


def pair() -> dict[str, Any]:
    """A valid test and its deviation."""
    file = minimal()
    tests = file["testGroups"][0]["tests"]
    tests.append(
        {
            "tcId": "codec::two",
            "comment": "two",
            "covers": ["rule"],
            "derived_from": "codec::one",
            "mutation": "shorter",
            "input": {"wire": ""},
            "expected": {"result": "invalid", "reason": "decodingFailure"},
            "recipe": "0" * 64,
        }
    )
    file["numberOfTests"] = 2
    return file


def faults(file: dict[str, Any], *, whole: bool = False) -> list[str]:
    return lint([parse(file)], whole=whole)


def test_a_good_pair_has_no_faults() -> None:
    assert faults(pair()) == []


@pytest.mark.parametrize(
    ("index", "change", "fault"),
    [
        (1, {"derived_from": None}, "without a valid sibling"),
        (1, {"derived_from": "codec::two"}, "without a valid sibling"),
        (1, {"mutation": None}, "without the deviation's name"),
        (1, {"expected": {"result": "invalid"}}, "without a reason"),
        (1, {"expected": {"result": "invalid", "reason": "x", "outputs": {"a": 1}}}, "with outputs"),
        (1, {"covers": []}, "covers nothing"),
        (1, {"flags": ["Odd"]}, "flags without a note"),
        (1, {"tcId": "codec::one"}, "occurs 2 times"),
        (1, {"tcId": "signed::two"}, "does not begin with the area"),
        (1, {"input": {"wire": "00"}}, "the same input as"),
        (0, {"intermediate": {}}, "without intermediate values"),
        (0, {"mutation": "x"}, "with a sibling or a mutation"),
        (0, {"expected": {"result": "valid", "reason": "x"}}, "valid, with a reason"),
    ],
)
def test_each_rule_can_fail(index: int, change: dict[str, Any], fault: str) -> None:
    file = pair()
    file["testGroups"][0]["tests"][index].update(change)
    assert any(fault in found for found in faults(file))


def test_a_wrong_number_is_a_fault() -> None:
    assert faults({**pair(), "numberOfTests": 3}) == ["codec: numberOfTests is wrong"]


def test_one_deviation_is_not_used_twice() -> None:
    file = pair()
    tests = file["testGroups"][0]["tests"]
    tests.append({**tests[1], "tcId": "codec::three", "input": {"wire": "01"}})
    file["numberOfTests"] = 3
    assert any("the same deviation as" in found for found in faults(file))


def test_a_code_without_a_vector_is_a_fault() -> None:
    found = faults(pair(), whole=True)
    assert "no vector expects signatureFailure" in found
    assert "no vector expects decodingFailure" not in found


def test_what_is_shipped_has_no_faults() -> None:
    assert lint(load_all()) == []


def test_what_is_shipped_fulfils_its_schema() -> None:
    checker = Draft202012Validator(json_schema())
    for file in vectors.files():
        assert not list(checker.iter_errors(vectors.load(file)))
    assert list(checker.iter_errors({**minimal(), "unknown": 1}))
