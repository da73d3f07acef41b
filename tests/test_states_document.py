"""docs/states.md shows the transition tables as they are."""

from __future__ import annotations

import pytest

from setproto.errors import ProtocolError
from setproto.roles.operations import MERCHANT_OPERATION, OpSignal, OpState
from tests.states_document import DOCUMENT, TABLES, diagram, render


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), 'run "make docs"'


def test_every_state_can_be_reached_and_every_transition_is_drawn() -> None:
    for title, _, table in TABLES:
        reached = {table.initial} | set(table.transitions.values())
        named = reached | {before for before, _ in table.transitions}
        assert named == reached, title  # nothing leads out of a state that nothing leads into
        drawing = diagram(table)
        for before, after in {(before, after) for (before, _), after in table.transitions.items()}:
            assert f"{before.name} --> {after.name}:" in drawing


def test_only_the_gateway_s_operations_do_without_a_state() -> None:
    left_out = {
        title: set(type(table.initial)) - {table.initial, *table.transitions.values()} for title, _, table in TABLES
    }
    assert left_out.pop("An operation, at the gateway") == {OpState.REVERSAL_ASKED, OpState.GIVEN_UP}
    assert not any(left_out.values())


def test_what_is_not_in_a_table_does_not_happen() -> None:
    with pytest.raises(ProtocolError):
        MERCHANT_OPERATION.next(OpState.REVERSED, OpSignal.GRANTED)
    assert not MERCHANT_OPERATION.allows(OpState.REFUSED, OpSignal.ASK_REVERSAL)
