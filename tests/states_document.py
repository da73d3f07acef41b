"""Writes docs/states.md: the state diagrams, drawn from the transition tables, so that they cannot drift.

``python -m tests.states_document`` writes the file; ``tests/test_states_document.py`` checks that it is current.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from setproto.roles import cardholder, enrolment, operations
from setproto.roles.authority import records as registrations
from setproto.roles.gateway import batches
from setproto.roles.merchant import records
from setproto.roles.table import TransitionTable

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "states.md"

TABLES: tuple[tuple[str, str, TransitionTable[Any, Any]], ...] = (
    (
        "A purchase, as the cardholder knows it",
        "What the merchant reports replaces what it reported before, if the report is fresh.",
        cardholder.TABLE,
    ),
    ("An order, at the merchant", "What follows are operations.", records.TABLE),
    (
        "An operation, at the merchant",
        "Authorisations, captures and credits have one life; only an authorisation is given up.",
        operations.MERCHANT_OPERATION,
    ),
    ("An operation, at the gateway", "A gateway decides in one step.", operations.GATEWAY_OPERATION),
    ("A batch, at the gateway", "", batches.BATCH_TABLE),
    ("A registration, as the applicant knows it", "", enrolment.TABLE),
    (
        "A registration, at the CA",
        "",
        registrations.TABLE,
    ),
)


def diagram(table: TransitionTable[Any, Any]) -> str:
    """A table as a Mermaid state diagram; transitions with the same ends share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in table.transitions.items():
        label = event.value if isinstance(event.value, str) else event.name
        arrows.setdefault((before.name, after.name), []).append(label)
    lines = ["stateDiagram-v2", f"    [*] --> {table.initial.name}"]
    lines += [f"    {before} --> {after}: {' / '.join(labels)}" for (before, after), labels in arrows.items()]
    return "\n".join(lines)


def render() -> str:
    """The whole document."""
    parts = [
        "# State machines",
        '<!-- Written by "make docs" from the transition tables. Do not edit. -->',
        "What is not drawn does not happen.",
    ]
    for title, text, table in TABLES:
        parts.append(f"## {title}")
        if text:
            parts.append(text)
        parts.append(f"```mermaid\n{diagram(table)}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
