"""Authorisations, captures and credits have one life: they are asked for, granted or refused, and may be reversed.

The merchant and the gateway both keep them in this shape, an authorisation holding its captures and a capture its
credits, and move them by these tables (set-protocol.md §4.20, in which each has states of its own).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

from pki.der import value_set
from setproto.amounts import CurrencyAmount
from setproto.roles.table import TransitionTable


@value_set(int)
class OpState(enum.IntEnum):
    """Where an authorisation, a capture or a credit stands."""

    ASKED = 1
    REFUSED = 2
    GRANTED = 3
    REVERSAL_ASKED = 4
    REVERSED = 5
    GIVEN_UP = 6
    """Asked for, and no answer came in time: it is treated as refused, and taken back whatever became of it."""


class OpSignal(enum.Enum):
    """What moves it."""

    GRANTED = "approved or done"
    REFUSED = "not approved or not done"
    ASK_REVERSAL = "the merchant takes it back"
    REVERSED = "taken back"
    REDUCED = "an authorisation stands for less"
    NOT_REVERSED = "the reversal was refused"
    GIVE_UP = "no answer came in time"


_S, _E = OpState, OpSignal
MERCHANT_OPERATION = TransitionTable(
    "operation at the merchant",
    OpState.ASKED,
    {
        (_S.ASKED, _E.GRANTED): _S.GRANTED,
        (_S.ASKED, _E.REFUSED): _S.REFUSED,
        (_S.GRANTED, _E.ASK_REVERSAL): _S.REVERSAL_ASKED,
        (_S.REVERSAL_ASKED, _E.REVERSED): _S.REVERSED,
        (_S.REVERSAL_ASKED, _E.REDUCED): _S.GRANTED,
        (_S.REVERSAL_ASKED, _E.NOT_REVERSED): _S.GRANTED,
        (_S.ASKED, _E.GIVE_UP): _S.GIVEN_UP,
        (_S.GIVEN_UP, _E.REVERSED): _S.REFUSED,
        (_S.GIVEN_UP, _E.NOT_REVERSED): _S.GIVEN_UP,
    },
)
"""A merchant asks and waits, but not for ever."""

GATEWAY_OPERATION = TransitionTable(
    "operation at the gateway",
    OpState.ASKED,
    {
        (_S.ASKED, _E.GRANTED): _S.GRANTED,
        (_S.ASKED, _E.REFUSED): _S.REFUSED,
        (_S.GRANTED, _E.REVERSED): _S.REVERSED,
        (_S.GRANTED, _E.REDUCED): _S.GRANTED,
    },
)
"""A gateway decides in one step."""

LIVE = (OpState.GRANTED, OpState.REVERSAL_ASKED)
"""States in which an operation counts: what is being taken back is not taken back yet."""


class Operation(Protocol):
    """An authorisation, a capture or a credit."""

    @property
    def state(self) -> OpState:
        """Where it stands."""

    @property
    def amount(self) -> CurrencyAmount:
        """How much it is about."""


def live_sum(operations: Iterable[Operation], like: CurrencyAmount) -> CurrencyAmount:
    """The sum of the operations that count, in currency and exponent of ``like``."""
    total = sum(operation.amount.value for operation in operations if operation.state in LIVE)
    amount, rest = divmod(total, like.step)
    if rest:
        raise ValueError("amounts of more decimals than the purchase")
    return like.with_amount(amount)


def is_finer(amount: CurrencyAmount, than: CurrencyAmount) -> bool:
    """Whether an amount has decimals that the other's exponent cannot express."""
    return amount.value % than.step != 0
