"""The bank dies between any two writes; whatever it was doing is done once or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from setproto.bank.ledger import Kind
from setproto.bank.messages import Message
from setproto.card import PAN, CardExpiry
from tests.bank.conftest import Opener
from tests.bank.people import OPENING, SHOP, Till

_WRITES = ("INSERT", "UPDATE", "DELETE")


class Killed(BaseException):
    """The process ended here."""


@contextmanager
def dying_after(till: Till, writes: int) -> Iterator[list[str]]:
    """Dies at the write after so many; or, when there are no more, just before the commit."""
    seen: list[str] = []

    def on_write(connection: Any, cursor: Any, statement: str, *arguments: Any) -> None:
        if statement.startswith(_WRITES):
            if len(seen) == writes:
                raise Killed
            seen.append(statement)

    def on_commit(connection: Any) -> None:
        if len(seen) == writes:
            raise Killed

    event.listen(till.bank.engine, "before_cursor_execute", on_write)
    event.listen(till.bank.engine, "commit", on_commit)
    try:
        yield seen
    finally:
        event.remove(till.bank.engine, "before_cursor_execute", on_write)
        event.remove(till.bank.engine, "commit", on_commit)


def killed_everywhere(till: Till, message: Message, check: Callable[[], object]) -> int:
    """Kill the bank at every write of this message, each time with the books right and nothing moved; then let it
    pass.  How many writes there were."""
    before = check()
    for writes in range(100):
        try:
            with dying_after(till, writes) as seen:
                till.send(message)
        except Killed:
            assert check() == before
            assert till.sound()
        else:
            answer = till.bank.handle(message)
            assert answer == till.bank.handle(message.repeated())
            assert answer is not None
            assert answer[39] == "00"
            return len(seen)
    raise AssertionError("it never ends")


def test_B3_killed_between_any_two_writes(till: Till) -> None:
    def state() -> object:
        return till.available(), till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP)

    request = till.request(10_000)
    assert killed_everywhere(till, request, state) == 3
    paid = till.buy(5_000)
    capture = till.capture(paid, 3_000)
    assert killed_everywhere(till, capture, state) >= 6
    refund = till.refund(paid, 1_000)
    killed_everywhere(till, refund, state)
    killed_everywhere(till, till.undo(refund), state)
    killed_everywhere(till, till.undo(capture), state)
    killed_everywhere(till, till.reversal(paid, 4_000), state)
    killed_everywhere(till, till.reversal(paid), state)
    killed_everywhere(till, till.request(700, mti="0200"), state)
    assert till.available() == OPENING - 10_700
    assert till.sound()


def test_killed_at_the_end_of_the_day(till: Till) -> None:
    paid = till.buy(10_000)
    till.send(till.capture(paid, 10_000))
    for writes in range(100):
        try:
            with dying_after(till, writes):
                reports = till.bank.close_day()
        except Killed:
            assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) != 0
            assert till.sound()
        else:
            break
    assert [report.captured for report in reports] == [10_000]
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == 0
    assert till.sound()


def test_killed_while_a_card_is_opened(open_till: Opener) -> None:
    till = open_till()
    pan = PAN("6011111111111117")
    for writes in range(100):
        try:
            with dying_after(till, writes):
                till.bank.open_card(pan, CardExpiry("203012"), 7_000)
        except Killed:
            assert till.sound()
        else:
            break
    assert till.available("6011111111111117") == 7_000
    assert till.sound()
