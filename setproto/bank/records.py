"""What a gateway's link to its bank remembers: how the gateway's references are called on the line.  No card number
in clear."""

from __future__ import annotations

import enum
import logging
from typing import Final

from pki.der import decode, encode, sequence, value_set
from setproto.roles.ports import Transaction

_LOG: Final = logging.getLogger("setproto.bank.records")
PAYMENTS: Final = "link payments"
ADVICES: Final = "link advices"
_MANUAL: Final = "link manual"
_STANS: Final = "link stans"
_SLOTS: Final = "link in flight"
_DAYS: Final = "link days"
_TODAY, _OPEN = b"today", b"open"
_QUEUE: Final = "link store and forward"
_FIRST, _NEXT = b"first", b"next"
STANS: Final = 999_999
"""How many trace numbers there are: 000001 to 999999 (bank.md §5, rule 1)."""


@value_set(int)
class State(enum.IntEnum):
    """Of an authorisation, as far as this side knows."""

    REQUESTED = 0
    APPROVED = 1
    DECLINED = 2
    REVERSING = 3
    """Without an answer, or with one that cannot be used: its reversal is queued."""
    REVERSED = 4
    """The bank has taken note of that: the payment may be asked for anew."""


@sequence
class Name:
    """What a message is called on the line: DE 41, 11 and 7."""

    terminal: str
    stan: str
    sent: str


@sequence
class Booked:
    """An advice that the bank took, and whether it was taken back."""

    kind: str
    amount: int
    name: Name
    undone: bool


@sequence
class PaymentRecord:
    """An authorisation: everything that later messages about it must repeat.  Amounts in minor units."""

    state: State
    name: Name
    local: str
    """DE 13 and DE 12."""
    rrn: str
    merchant: str
    amount: int
    currency: int
    card: bytes
    """Sealed."""
    code: str
    approval: str
    booked: list[Booked]


@sequence
class AdviceRecord:
    """An advice under its name on the line; ``code`` is the bank's, empty while there is none."""

    name: Name
    authorization: bytes
    kind: str
    amount: int
    about: Name
    code: str
    settled: str
    """DE 15 of the answer."""


@sequence
class QueuedReversal:
    """A reversal that has to reach the bank, of ``payment`` as it was asked for."""

    name: Name
    reference: bytes
    payment: PaymentRecord
    reason: str
    queued: int
    """Seconds since 1970."""


def find_payment(transaction: Transaction, reference: bytes) -> PaymentRecord | None:
    """The last attempt under this reference (``AuthorizationRequest.reference``); None if there was none."""
    stored = transaction.get(PAYMENTS, reference)
    return None if stored is None else decode(PaymentRecord, stored)


def keep_payment(transaction: Transaction, reference: bytes, record: PaymentRecord) -> None:
    """Store it, in the place of what was there."""
    transaction.put(PAYMENTS, reference, encode(record))


def is_attempt(transaction: Transaction, reference: bytes, payment: PaymentRecord, *states: State) -> bool:
    """Whether the payment is still the attempt that it was, in one of these states."""
    now = find_payment(transaction, reference)
    return now is not None and now.name == payment.name and now.state in states


def find_advice(transaction: Transaction, reference: bytes) -> AdviceRecord | None:
    """The advice under this reference (``Advice.reference``); None if there was none."""
    stored = transaction.get(ADVICES, reference)
    return None if stored is None else decode(AdviceRecord, stored)


def keep_advice(transaction: Transaction, reference: bytes, record: AdviceRecord) -> None:
    """Store it, in the place of what was there."""
    transaction.put(ADVICES, reference, encode(record))


def leave_to_a_person(transaction: Transaction, key: bytes, what: str, code: str) -> None:
    """Something was refused that cannot be refused: nothing is done about it, and an operator must hear of it."""
    _LOG.error("%s was refused with %r: a person must look at it", what, code)
    transaction.put(_MANUAL, key, f"{what}: {code}".encode())


def left_to_a_person(transaction: Transaction) -> list[str]:
    """All of that, a line each: sixteen hexadecimal digits, what was refused, and the code."""
    return [f"{key.hex()[:16]} {value.decode()}" for key, value in transaction.items(_MANUAL) if value]


def looked_at(transaction: Transaction, digits: str) -> int:
    """A person has looked at what begins with these digits: it is not listed any more.  How many there were."""
    meant = [key for key, value in transaction.items(_MANUAL) if value and key.hex().startswith(digits.lower())]
    for key in meant:
        transaction.put(_MANUAL, key, b"")
    return len(meant)


def business_day(transaction: Transaction) -> str | None:
    """The bank's business day (MMDD), if it ever told."""
    stored = transaction.get(_DAYS, _TODAY)
    return None if stored is None else stored.decode()


def begin_business_day(transaction: Transaction, day: str) -> None:
    """Another one (MMDD)."""
    transaction.put(_DAYS, _TODAY, day.encode())


def put_in_day(transaction: Transaction, day: str, reference: bytes) -> None:
    """The advice of this reference was booked on this day (DE 15, MMDD)."""
    transaction.put(_day(day), reference, _OPEN)
    if transaction.get(_DAYS, day.encode()) != _OPEN:
        transaction.put(_DAYS, day.encode(), _OPEN)


def booked(transaction: Transaction, day: str) -> list[bytes]:
    """References of what was booked on a day whose totals were not compared yet."""
    return [reference for reference, state in transaction.items(_day(day)) if state == _OPEN]


def open_days(transaction: Transaction) -> list[str]:
    """Days (MMDD) whose totals were not compared yet."""
    return [day.decode() for day, state in transaction.items(_DAYS) if state == _OPEN]


def close_day(transaction: Transaction, day: str) -> None:
    """Its totals were compared: in a year there is another day of that name."""
    for reference in booked(transaction, day):
        transaction.put(_day(day), reference, b"")
    transaction.put(_DAYS, day.encode(), b"")


def _day(day: str) -> str:
    return f"link day {day}"


def reserve_stans(transaction: Transaction, terminal: str, count: int) -> list[str]:
    """The next trace numbers of a terminal, never 000000; reserved ones that a crash leaves unused are skipped."""
    last = int.from_bytes(transaction.get(_STANS, terminal.encode()) or b"", "big")
    taken = [(last + step) % STANS + 1 for step in range(count)]
    transaction.put(_STANS, terminal.encode(), taken[-1].to_bytes(4, "big"))
    return [f"{stan:06d}" for stan in taken]


def put_in_flight(transaction: Transaction, terminal: str, slot: int, reference: bytes) -> None:
    """Note what is asked for now; each of the requests under way at a time has a slot, so the table stays short."""
    transaction.put(_SLOTS, terminal.encode() + b"/" + slot.to_bytes(4, "big"), reference)


def in_flight(transaction: Transaction, terminal: str) -> list[bytes]:
    """References of what was asked for last in every slot of a terminal."""
    front = terminal.encode() + b"/"
    return [value for key, value in transaction.items(_SLOTS) if key.startswith(front)]


def queue(transaction: Transaction, reversal: QueuedReversal) -> None:
    """At the end of the store-and-forward queue."""
    place = int.from_bytes(transaction.get(_QUEUE, _NEXT) or b"", "big")
    transaction.put(_QUEUE, place.to_bytes(8, "big"), encode(reversal))
    transaction.put(_QUEUE, _NEXT, (place + 1).to_bytes(8, "big"))


def queued(transaction: Transaction) -> list[tuple[int, QueuedReversal]]:
    """Everything that waits, in order, each with its place in the queue."""
    first, following = (int.from_bytes(transaction.get(_QUEUE, name) or b"", "big") for name in (_FIRST, _NEXT))
    waiting = []
    for place in range(first, following):
        stored = transaction.get(_QUEUE, place.to_bytes(8, "big"))
        if stored:
            waiting.append((place, decode(QueuedReversal, stored)))
    return waiting


def unqueue(transaction: Transaction, place: int) -> None:
    """What is at this place was answered."""
    transaction.put(_QUEUE, place.to_bytes(8, "big"), b"")
    first, following = (int.from_bytes(transaction.get(_QUEUE, name) or b"", "big") for name in (_FIRST, _NEXT))
    while first < following and not transaction.get(_QUEUE, first.to_bytes(8, "big")):
        first += 1
    transaction.put(_QUEUE, _FIRST, first.to_bytes(8, "big"))
