"""The README's examples are run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_python_examples_give_what_they_show() -> None:
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def test_the_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(targets) > 5
    missing = [target for target in targets if not (README.parent / target).exists()]
    assert missing == []
