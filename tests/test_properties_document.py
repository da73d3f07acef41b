"""The table of properties is current, complete, and made from every marker there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import properties_document
from tests.properties_document import DOCUMENT, Markers, Property, collect, properties, render

# The properties that a working purchase stands on: none of them may become "later" again.
CORE = {
    *(f"PU-{number}" for number in range(1, 21) if number != 9),
    *(f"OT-{number}" for number in (1, 2, 3, 5)),
    *(f"PX-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 16, 17, 18)),
}

# Every number of the protocol reference, section 9.
NUMBERED = {
    *(
        f"{letters}-{n}"
        for letters, last in {"PU": 20, "OT": 5, "PX": 19, "CR": 20, "MR": 8}.items()
        for n in range(1, last + 1)
    ),
    *(f"{letters}-N{n}" for letters, last in {"PU": 4, "CR": 2, "MR": 2}.items() for n in range(1, last + 1)),
}


def test_every_number_is_there_once() -> None:
    names = [row.id for row in properties()]
    assert len(names) == len(set(names))
    assert set(names) == NUMBERED


def test_markers_name_known_properties() -> None:
    assert set(collect()) - {row.id for row in properties()} == set()


def test_what_must_be_tested_is_tested() -> None:
    required = {row.id for row in properties() if row.must_be_tested}
    assert required >= CORE
    assert sorted(required - set(collect())) == [], "properties without a test"


def test_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(properties(), collect()), 'run "make docs"'


SYNTHETIC = """
import pytest
from pytest import mark

pytestmark = [pytest.mark.slow, pytest.mark.prop("PU-1")]

@pytest.mark.prop("PU-2", "PX-1")
def test_function(): ...

@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.prop("PU-3"))])
async def test_parameter(x): ...

def helper(): ...

@mark.prop("PU-4")
class TestClass:
    pytestmark = mark.prop("PU-5")

    @mark.prop("PU-6")
    @mark.slow
    def test_method(self): ...

    class TestInner:
        def test_deep(self): ...

    def help(self): ...
"""


def test_markers_are_found_wherever_they_stand() -> None:
    found: dict[str, list[str]] = {}
    for name, test in Markers("t.py", SYNTHETIC).collect():
        found.setdefault(test.removeprefix("t.py::"), []).append(name)
    assert found == {
        "test_function": ["PU-1", "PU-2", "PX-1"],
        "test_parameter": ["PU-1", "PU-3"],
        "TestClass::test_method": ["PU-1", "PU-4", "PU-5", "PU-6"],
        "TestClass::TestInner::test_deep": ["PU-1", "PU-4", "PU-5"],
    }


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@pytest.mark.prop(*IDS)\ndef test_a(): ...", "plain string"),
        ("@pytest.mark.prop(ID)\ndef test_a(): ...", "plain string"),
        ("@pytest.mark.prop('PU-1')\ndef helper(): ...", "on no test"),
        ("holds = pytest.mark.prop('PU-1')\n@holds\ndef test_a(): ...", "on no test"),
        ("prop = pytest.mark.prop\n@prop('PU-1')\ndef test_a(): ...", "on no test"),
        ("@pytest.mark.prop\ndef test_a(): ...", "on no test"),
        ("class Machine:\n    @pytest.mark.prop('PU-1')\n    def test_a(self): ...", "on no test"),
    ],
)
def test_marker_that_would_be_missed_is_an_error(source: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"^t\.py:\d+: .*{complaint}"):
        list(Markers("t.py", source).collect())


def test_collection_reads_every_folder(tmp_path: Path) -> None:
    for name in ("test_a.py", "deep/er/test_b.py", "deep/other.py"):
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("@pytest.mark.prop('PX-6', 'PX-6')\ndef test_it(): ...\n", encoding="utf-8")
    assert collect(tmp_path) == {"PX-6": ["tests/deep/er/test_b.py::test_it", "tests/test_a.py::test_it"]}


def test_rows_say_what_is_missing_and_why() -> None:
    rows = [
        Property(id="PX-1", to="C, M", text="One."),
        Property(id="PX-2", to="all", text="Two.", due="a feature"),
        Property(id="PX-3", to="-", text="Three.", answer="Fixed."),
        Property(id="PX-4", to="CA", text="Four."),
    ]
    text = render(rows, {"PX-4": ["tests/a.py::test_x", "tests/b.py::test_y"]})
    assert "1 of the 2 properties" in text
    assert "| PX-1 | cardholder, merchant | One. | **none yet** |" in text
    assert "| PX-2 | all | Two. | *later, with a feature* |" in text
    assert "| PX-3 | not guaranteed in SET | Three. *Fixed.* | – |" in text
    assert "| PX-4 | CA | Four. | `a.py::test_x`<br>`b.py::test_y` |" in text


def test_a_property_without_its_parts_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "properties.toml"
    broken.write_text('[[property]]\nid = "PU-1"\nto = "all"\n', encoding="utf-8")
    with pytest.raises(TypeError, match="text"):
        properties_document.properties(broken)
