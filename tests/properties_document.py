"""Which test holds which security property: ``python -m tests.properties_document`` writes docs/properties.md.

Tests name the properties that they hold with ``@pytest.mark.prop("PU-8", "PX-1")``.  The markers are read from
the source, nothing is imported; a marker in a place where this reading cannot see it is an error, not an omission.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "properties.toml"
DOCUMENT = ROOT / "docs" / "properties.md"

GROUPS = {
    "PU": "Purchase",
    "OT": "From other work",
    "PX": "Of this project",
    "CR": "Cardholder registration",
    "MR": "Merchant registration",
}
PARTIES = {"all": "all", "C": "cardholder", "M": "merchant", "P": "gateway", "CA": "CA", "-": "not guaranteed in SET"}

INTRODUCTION = """\
# Security properties and their tests

<!-- Written by "make docs" from docs/properties.toml and the prop markers of the tests. Do not edit. -->

What the protocol promises, to whom, and which tests would fail if it did not. "The spy" sees, blocks, replays and \
makes messages, and has the keys of every corrupt party. Assumed: the root is never corrupt, private keys stay with \
honest owners, random values are fresh and cannot be guessed, the algorithms hold, and cardholder and merchant have \
agreed on order and amount before they pay.

A number with an N is a property that SET itself does not guarantee; the text in italics says what this project does \
about it.
"""


@dataclass(frozen=True, kw_only=True)
class Property:
    """One row of docs/properties.toml."""

    id: str
    to: str
    text: str
    due: str = ""
    answer: str = ""

    @property
    def must_be_tested(self) -> bool:
        return not self.due and not self.answer


def properties(source: Path = SOURCE) -> list[Property]:
    """The properties in the order of the file.  TypeError for a key that is missing or unknown."""
    return [Property(**row) for row in tomllib.loads(source.read_text(encoding="utf-8"))["property"]]


def is_prop(node: ast.AST) -> bool:
    """``pytest.mark.prop`` or ``mark.prop``, as it stands before its brackets."""
    return (
        isinstance(node, ast.Attribute) and node.attr == "prop" and ast.unparse(node.value) in {"pytest.mark", "mark"}
    )


class Markers:
    """The prop markers of one test module, and the tests that they stand on."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.tree = ast.parse(source, path)
        self.seen: set[ast.AST] = set()

    def ids(self, nodes: Iterable[ast.AST]) -> list[str]:
        """The ids named by the markers anywhere in these expressions (also in ``pytest.param(marks=...)``)."""
        found: list[str] = []
        for node in (inner for outer in nodes for inner in ast.walk(outer)):
            if isinstance(node, ast.Call) and is_prop(node.func):
                self.seen.add(node.func)
                for argument in node.args:
                    if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                        raise ValueError(f"{self.path}:{argument.lineno}: a property id must be a plain string")
                    found.append(argument.value)
        return found

    def collect(self) -> Iterator[tuple[str, str]]:
        """Pairs of property id and test id.  ValueError for a marker that stands on no test."""
        yield from self.body(self.tree.body, self.path, [])
        for node in ast.walk(self.tree):
            if is_prop(node) and node not in self.seen:
                line = node.lineno if isinstance(node, ast.expr) else 0
                raise ValueError(f"{self.path}:{line}: this prop marker is on no test that can be seen from the source")

    def body(self, statements: Sequence[ast.stmt], prefix: str, inherited: Sequence[str]) -> Iterator[tuple[str, str]]:
        inherited = [*inherited, *self.ids(value for node in statements for value in pytestmarks(node))]
        for node in statements:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                for name in [*inherited, *self.ids(node.decorator_list)]:
                    yield name, f"{prefix}::{node.name}"
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield from self.body(node.body, f"{prefix}::{node.name}", [*inherited, *self.ids(node.decorator_list)])


def pytestmarks(node: ast.stmt) -> list[ast.expr]:
    """What the statement assigns to ``pytestmark``, if it does."""
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return []
    named = any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)
    return [node.value] if named and node.value is not None else []


def collect(root: Path = ROOT) -> dict[str, list[str]]:
    """Property id to the tests that name it, sorted, from tests/**/test_*.py under ``root``."""
    found: dict[str, set[str]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        for name, test in Markers(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")).collect():
            found.setdefault(name, set()).add(test)
    return {name: sorted(tests) for name, tests in sorted(found.items())}


def render(rows: Sequence[Property], tests: Mapping[str, Sequence[str]]) -> str:
    """The document.  The order is that of ``rows``, grouped by the letters of the id."""
    covered = [row for row in rows if row.must_be_tested and tests.get(row.id)]
    required = [row for row in rows if row.must_be_tested]
    parts = [INTRODUCTION, f"{len(covered)} of the {len(required)} properties that apply today have tests.\n"]
    for letters, title in GROUPS.items():
        parts.append(f"## {title}\n")
        lines = ["| Property | Guaranteed to | What holds | Tests |", "| --- | --- | --- | --- |"]
        for row in rows:
            if row.id.partition("-")[0] == letters:
                to = ", ".join(PARTIES[party] for party in row.to.split(", "))
                lines.append(f"| {row.id} | {to} | {statement(row)} | {listing(row, tests.get(row.id, ()))} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def statement(row: Property) -> str:
    return f"{row.text} *{row.answer}*" if row.answer else row.text


def listing(row: Property, tests: Sequence[str]) -> str:
    later = [f"*later, with {row.due}*"] if row.due else []
    shown = [*later, *(f"`{test.removeprefix('tests/')}`" for test in tests)]
    return "<br>".join(shown) or ("**none yet**" if row.must_be_tested else "–")


if __name__ == "__main__":
    DOCUMENT.write_text(render(properties(), collect()), encoding="utf-8")
