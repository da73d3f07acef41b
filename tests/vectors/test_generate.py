"""Making vectors: nothing changes where nothing changed, and what no longer holds is made anew or reported."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from vectors import generate
from vectors.recipes.common import Disagrees, File, Group, Made, Random, whole
from vectors.recipes.sealed import build


@pytest.mark.parametrize("area", ["signed", "sealed", "codec", "chains"])  # dual: by the command
def test_check_finds_nothing_to_change(area: str) -> None:
    assert generate.generate([area], check=True) == []


def test_random_octets_depend_on_place_and_label() -> None:
    drawn = {
        Random(file, case)(label, 16)
        for file, case, label in [("a", "b", "c"), ("a", "b", "d"), ("a", "c", "c"), ("ab", "", "c"), ("a", "bc", "")]
    }
    assert len(drawn) == 5
    assert Random("a", "b")("c", 16) == Random("a", "b")("c", 32)[:16]
    source = Random("a", "b").source("c")
    assert source(8) != source(8)


class Counting:
    """A file with one pair of cases, which counts how often they are made."""

    def __init__(self) -> None:
        self.count = 0

    def file(self, *, parameters: dict[str, Any] | None = None, broken: bool = False) -> File:
        sealed = next(iter(build()))
        file = File("sealed", "p256", [], sealed.notes)
        group: Group = file.group("cms.open", keys=sealed.groups[0].keys)
        first = sealed.groups[0].cases[0]

        def make(random: Random) -> Made:
            self.count += 1
            return first.make(random, None)

        good = group.add("plain", "one", make, covers=["x"], parameters=parameters or {})
        group.deviate(
            good,
            "bad",
            "bad",
            "decodingFailure" if broken else "decryptionFailure",
            lambda random, parent: {"context": ""},
            comment="two",
        )
        return file


def test_what_is_stored_is_kept() -> None:
    counting = Counting()
    stored = whole(counting.file(), None)
    assert counting.count == 1
    assert whole(counting.file(), stored) == stored
    assert counting.count == 1


def test_another_recipe_is_made_anew() -> None:
    counting = Counting()
    stored = whole(counting.file(), None)
    again = whole(counting.file(parameters={"size": 2}), stored)
    assert counting.count == 2
    recipes = [[test["recipe"] for test in file["testGroups"][0]["tests"]] for file in (stored, again)]
    assert all(old != new for old, new in zip(*recipes, strict=True)), "the sibling's recipe is part of a deviation's"


def test_what_is_no_longer_judged_as_expected_is_made_anew() -> None:
    counting = Counting()
    stored = whole(counting.file(), None)
    spoilt = copy.deepcopy(stored)
    spoilt["testGroups"][0]["tests"][0]["input"]["context"] = "00"
    assert whole(counting.file(), spoilt) == stored
    assert counting.count == 2


def test_a_case_with_which_we_disagree_is_never_written() -> None:
    with pytest.raises(Disagrees, match="sealed::bad"):
        whole(Counting().file(broken=True), None)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check", "nothing"]) == 2
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main(["--check", "dual"]) == 1
    assert "would change: v1/dual.p256.json" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
