"""What the bank has still to be told: stored with the change that it announces, told after the commit, told again
after a crash.  Telling first and committing then would let the bank know of things that, when the request is repeated,
are decided otherwise (a batch may have been closed meanwhile).  The bank takes each advice once, by its reference.

Whoever put something tells it, so that several threads and processes tell the bank at once; what is about one
authorisation is told in order.  ``tell_all`` is for what was left over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pki.der import Implicit, decode, encode, sequence
from setproto.amounts import CurrencyAmount
from setproto.roles.ports import Advice, AdviceKind, Issuer, NoReply, Store, Transaction

OUTBOX: Final = "outbox"
LATEST: Final = "outbox_latest"
"""Authorisation → place of the latest advice about it."""
_FIRST, _NEXT = b"first", b"next"
"""Places in the queue: of the oldest advice that was not told, and of the next one."""
_PART: Final = 256
"""Places that are looked at in one go."""
_TOLD: Final = b""
"""What is left in the place of an advice that was told."""


@sequence
class AdviceRecord:
    """An advice on its way."""

    kind: str
    reference: bytes
    authorization: bytes
    amount: CurrencyAmount
    after: Annotated[int | None, Implicit(0)] = None
    """The place of the advice about the same authorisation that must be told before."""


def put(transaction: Transaction, advice: Advice) -> None:
    """To be told when the transaction has been committed."""
    place = end(transaction)
    earlier = transaction.get(LATEST, advice.authorization)
    record = AdviceRecord(
        kind=advice.kind.name,
        reference=advice.reference,
        authorization=advice.authorization,
        amount=advice.amount,
        after=None if earlier is None else int.from_bytes(earlier, "big"),
    )
    transaction.put(OUTBOX, _key(place), encode(record))
    transaction.put(OUTBOX, _NEXT, _key(place + 1))
    transaction.put(LATEST, advice.authorization, _key(place))


def end(transaction: Transaction) -> int:
    """The place of what is put next."""
    return _place(transaction, _NEXT)


def ready(transaction: Transaction, since: int) -> dict[int, AdviceRecord]:
    """What was put at the place ``since`` or later and need not wait for others to tell something first, by place."""
    found: dict[int, AdviceRecord] = {}
    for place in range(since, end(transaction)):
        record = _waiting(transaction, place)
        if record is not None and (record.after in found or _may_be_told(transaction, record)):
            found[place] = record
    return found


def tell(store: Store, issuer: Issuer, advices: Iterable[tuple[int, AdviceRecord]]) -> None:
    """Tell the bank these, until it does not answer: the rest goes on waiting."""
    for place, record in advices:
        try:
            issuer.advise(Advice(AdviceKind[record.kind], record.reference, record.authorization, record.amount))
        except NoReply:
            return
        with store.transaction() as transaction:
            _tick_off(transaction, place)


def tell_all(store: Store, issuer: Issuer, since: int = 0) -> int:
    """Tell the bank what waits at the place ``since`` or later, the oldest first; where to go on, if the queue is long.

    What the bank does not answer to holds up nothing but what is about the same authorisation.  What others tell at the
    same time it is told twice, and takes once.
    """
    with store.transaction() as transaction:
        first = max(since, _place(transaction, _FIRST))
        places = range(first, end(transaction))
        waiting = [place for place in places[:_PART] if _waiting(transaction, place) is not None]
    for place in waiting:
        with store.transaction() as transaction:
            record = _waiting(transaction, place)  # or others have told it meanwhile
            its_turn = record is not None and _may_be_told(transaction, record)
        if record is not None and its_turn:
            tell(store, issuer, [(place, record)])
    return first + _PART if len(places) > _PART else 0


def _waiting(transaction: Transaction, place: int) -> AdviceRecord | None:
    stored = transaction.get(OUTBOX, _key(place))
    return decode(AdviceRecord, stored) if stored else None


def _may_be_told(transaction: Transaction, record: AdviceRecord) -> bool:
    """Whether nothing about the same authorisation has to be told before."""
    return record.after is None or _is_told(transaction, record.after)


def _is_told(transaction: Transaction, place: int) -> bool:
    return transaction.get(OUTBOX, _key(place)) == _TOLD


def _tick_off(transaction: Transaction, place: int) -> None:
    transaction.put(OUTBOX, _key(place), _TOLD)
    first = oldest = _place(transaction, _FIRST)
    while _is_told(transaction, first):
        first += 1
    if first != oldest:
        transaction.put(OUTBOX, _FIRST, _key(first))


def _place(transaction: Transaction, name: bytes) -> int:
    return int.from_bytes(transaction.get(OUTBOX, name) or b"", "big")


def _key(place: int) -> bytes:
    return place.to_bytes(8, "big")
