"""What the bank has still to be told: stored with the change that it announces, told after the commit, told again
after a crash.  Telling first and committing then would let the bank know of things that, when the request is repeated,
are decided otherwise (a batch may have been closed meanwhile).  The bank takes each advice once, by its reference.
"""

from __future__ import annotations

from pki.der import decode, encode, sequence
from setproto.amounts import CurrencyAmount
from setproto.roles.ports import Advice, AdviceKind, Issuer, NoReply, Store, Transaction

OUTBOX = "outbox"
_FIRST, _NEXT = b"first", b"next"
"""Places in the queue: of the oldest advice that was not told, and of the next one."""


@sequence
class AdviceRecord:
    """An advice on its way."""

    kind: str
    reference: bytes
    authorization: bytes
    amount: CurrencyAmount


def put(transaction: Transaction, advice: Advice) -> None:
    """To be told when the transaction has been committed."""
    place = _place(transaction, _NEXT)
    record = AdviceRecord(
        kind=advice.kind.name,
        reference=advice.reference,
        authorization=advice.authorization,
        amount=advice.amount,
    )
    transaction.put(OUTBOX, _key(place), encode(record))
    transaction.put(OUTBOX, _NEXT, _key(place + 1))


def tell(store: Store, issuer: Issuer) -> None:
    """Tell the bank everything that waits, in order.  What it does not answer to goes on waiting."""
    while True:
        with store.transaction() as transaction:
            place = _place(transaction, _FIRST)
            stored = transaction.get(OUTBOX, _key(place))
        if not stored:
            return
        record = decode(AdviceRecord, stored)
        try:
            issuer.advise(Advice(AdviceKind[record.kind], record.reference, record.authorization, record.amount))
        except NoReply:
            return
        with store.transaction() as transaction:
            # Another process may have told it too, and gone further: the place never goes back.
            if _place(transaction, _FIRST) == place:
                transaction.put(OUTBOX, _FIRST, _key(place + 1))
                transaction.put(OUTBOX, _key(place), b"")


def _place(transaction: Transaction, name: bytes) -> int:
    return int.from_bytes(transaction.get(OUTBOX, name) or b"", "big")


def _key(place: int) -> bytes:
    return place.to_bytes(8, "big")
