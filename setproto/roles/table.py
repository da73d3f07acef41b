"""State machines as tables: (state, event) → state, in one place per role, so that they can be read and drawn."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from setproto.errors import ErrorCode, ProtocolError

S = TypeVar("S", bound=enum.IntEnum)
E = TypeVar("E", bound=enum.Enum)


@dataclass(frozen=True)
class TransitionTable(Generic[S, E]):
    """Every transition that exists.  What is not in the table does not happen."""

    name: str
    initial: S
    transitions: Mapping[tuple[S, E], S]

    def allows(self, state: S, event: E) -> bool:
        """Whether the event means anything in this state."""
        return (state, event) in self.transitions

    def next(self, state: S, event: E) -> S:
        """The state after the event.  ProtocolError if the table has none."""
        try:
            return self.transitions[state, event]
        except KeyError:
            raise ProtocolError(
                f"{self.name}: {event.name} in state {state.name}", code=ErrorCode.unspecifiedFailure
            ) from None
