"""docs/validating.md is run as it stands, and its table of codes is complete."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import get_args

from pki.errors import ErrorCode

GUIDE = Path(__file__).parent.parent / "docs" / "validating.md"


def test_the_examples_give_what_they_show() -> None:
    result = doctest.testfile(str(GUIDE), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def test_validating_takes_five_lines() -> None:
    _, after = GUIDE.read_text(encoding="utf-8").split("\nThen:\n")
    example = after.split("```")[1]
    assert example.count(">>> ") == 5
    assert "add_bci" in example


def test_every_code_is_explained_once() -> None:
    _, codes = GUIDE.read_text(encoding="utf-8").split("## The codes")
    assert sorted(re.findall(r"^\| `(\w+)` \|", codes, re.MULTILINE)) == sorted(get_args(ErrorCode))
