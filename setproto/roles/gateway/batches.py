"""Batches at the gateway: what was captured and credited, on its way to the acquirer (set-protocol.md §4.19).

A batch belongs to one merchant and has one currency, that of its first item.  Items that name no batch go into the
merchant's current one, which is opened when it is needed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pki.der import Implicit, decode, encode, general_time, replace, sequence, value_set
from setproto.amounts import AMOUNT_LIMIT, CurrencyAmount
from setproto.messages.batch import (
    BatchTotals,
    ClosedWhen,
    TransactionDetail,
)
from setproto.messages.codes import (
    AmtType,
    BatchOperation,
    TransactionStatus,
    TransmissionStatus,
)
from setproto.messages.common import Date, PartyID, TransIDs
from setproto.roles.ports import Transaction
from setproto.roles.remembered import Remembered
from setproto.roles.table import TransitionTable

if TYPE_CHECKING:
    from setproto.roles.gateway import Gateway

BATCHES = "batches"
ITEMS = "batch_items"
CURRENT = "current_batch"
MAX_ITEMS_PER_ANSWER = 100


class Denied(Exception):
    """Internal: an item that is answered with the code of this name."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@value_set(int)
class BatchState(enum.IntEnum):
    """Where a batch stands."""

    OPEN = 1
    CLOSED = 2
    TRANSMITTED = 3


BATCH_TABLE = TransitionTable(
    "batch",
    BatchState.OPEN,
    {
        (BatchState.OPEN, BatchOperation.purge): BatchState.OPEN,
        (BatchState.OPEN, BatchOperation.close): BatchState.CLOSED,
        (BatchState.CLOSED, TransmissionStatus.completedSuccessfully): BatchState.TRANSMITTED,
    },
)


@sequence
class BatchRecord:
    """One batch: counts and sums are kept as items come and go; the items are stored apart."""

    batch_id: int
    merchant: PartyID
    state: BatchState
    opened: Date
    closed: Annotated[ClosedWhen | None, Implicit(0)] = None
    next_sequence: int
    totals: Annotated[BatchTotals | None, Implicit(1)] = None


@dataclass(frozen=True)
class Place:
    """What goes into a batch."""

    trans_ids: TransIDs
    auth_rrpid: bytes
    amount: CurrencyAmount
    amount_type: AmtType


# --- items --------------------------------------------------------------------------------------


def add(
    gateway: Gateway, transaction: Transaction, merchant: PartyID, place: Place, batch_id: int | None
) -> tuple[int, int]:
    """Put an item in a batch: (BatchID, BatchSequenceNum).  Denied with batchUnknown or batchClosed."""
    batch = _batch_for(gateway, transaction, merchant, place.amount, batch_id)
    sequence = batch.next_sequence
    detail = TransactionDetail(
        trans_ids=place.trans_ids,
        auth_rrpid=place.auth_rrpid,
        brand_id=merchant.brand,
        batch_sequence_num=sequence,
        transaction_amt=place.amount,
        transaction_amt_type=place.amount_type,
        transaction_status=TransactionStatus.success,
    )
    transaction.put(ITEMS, item_key(batch, sequence), encode(detail))
    totals = _counted(batch.totals, place.amount, place.amount_type, 1)
    keep(transaction, replace(batch, next_sequence=sequence + 1, totals=totals))
    return batch.batch_id, sequence


def remove(transaction: Transaction, merchant: PartyID, batch_id: int, sequence: int) -> None:
    """Take an item out of its batch.  Denied with originalProcessed if the batch is no longer open."""
    batch = find(transaction, merchant, batch_id)
    if batch is None or batch.state is not BatchState.OPEN:
        raise Denied("originalProcessed")
    taken = item(transaction, batch, sequence)
    if taken is None:
        raise Denied("capPurged")
    transaction.put(ITEMS, item_key(batch, sequence), b"")
    totals = _counted(batch.totals, taken.transaction_amt, taken.transaction_amt_type, -1)
    keep(transaction, replace(batch, totals=totals))


def _batch_for(
    gateway: Gateway, transaction: Transaction, merchant: PartyID, amount: CurrencyAmount, batch_id: int | None
) -> BatchRecord:
    if batch_id is not None:
        named = find(transaction, merchant, batch_id)
        if named is None or not _takes(named, amount):
            raise Denied("batchUnknown")
        if named.state is not BatchState.OPEN:
            raise Denied("batchClosed")
        return named
    number = _current(transaction, merchant)
    current = find(transaction, merchant, number)
    while current is not None and (current.state is not BatchState.OPEN or not _takes(current, amount)):
        number += 1
        current = find(transaction, merchant, number)
    if current is None:
        current = opened(gateway, merchant, number)
        transaction.put(CURRENT, merchant.der, number.to_bytes(8, "big"))
    return current


def _takes(batch: BatchRecord, amount: CurrencyAmount) -> bool:
    """Whether an amount is in the currency and exponent of the batch and can be counted; an empty one takes any."""
    if batch.totals is None:
        return True
    total, credit = batch.totals.transaction_total_amt_debit, batch.totals.transaction_total_amt_credit
    if max(total.amount, credit.amount) + amount.amount > AMOUNT_LIMIT:
        return False
    return (total.currency, total.amt_exp10) == (amount.currency, amount.amt_exp10)


def _counted(totals: BatchTotals | None, amount: CurrencyAmount, kind: AmtType, sign: int) -> BatchTotals:
    """The totals with an item more, or with -1 one less."""
    if totals is None:
        zero = amount.with_amount(0)
        totals = BatchTotals(
            transaction_count_credit=0,
            transaction_total_amt_credit=zero,
            transaction_count_debit=0,
            transaction_total_amt_debit=zero,
        )
    if kind is AmtType.credit:
        total = totals.transaction_total_amt_credit
        return replace(
            totals,
            transaction_count_credit=totals.transaction_count_credit + sign,
            transaction_total_amt_credit=total.with_amount(total.amount + sign * amount.amount),
        )
    total = totals.transaction_total_amt_debit
    return replace(
        totals,
        transaction_count_debit=totals.transaction_count_debit + sign,
        transaction_total_amt_debit=total.with_amount(total.amount + sign * amount.amount),
    )


# --- records ------------------------------------------------------------------------------------


def opened(gateway: Gateway, merchant: PartyID, batch_id: int) -> BatchRecord:
    """A new batch."""
    return BatchRecord(
        batch_id=batch_id,
        merchant=merchant,
        state=BATCH_TABLE.initial,
        opened=general_time(gateway.clock()),
        next_sequence=1,
    )


def _current(transaction: Transaction, merchant: PartyID) -> int:
    stored = transaction.get(CURRENT, merchant.der)
    return 1 if stored is None else int.from_bytes(stored, "big")


def _key(merchant: PartyID, batch_id: int) -> bytes:
    return merchant.der + encode(batch_id)


def item_key(batch: BatchRecord, sequence: int) -> bytes:
    """Where an item is stored."""
    return _key(batch.merchant, batch.batch_id) + sequence.to_bytes(8, "big")


_BATCH = Remembered(BatchRecord)


def find(transaction: Transaction, merchant: PartyID, batch_id: int) -> BatchRecord | None:
    """The batch, if there is one."""
    stored = transaction.get(BATCHES, _key(merchant, batch_id))
    return None if stored is None else _BATCH.decode(stored)


def item(transaction: Transaction, batch: BatchRecord, sequence: int) -> TransactionDetail | None:
    """The item, unless it was taken out."""
    stored = transaction.get(ITEMS, item_key(batch, sequence))
    return decode(TransactionDetail, stored) if stored else None


def keep(transaction: Transaction, batch: BatchRecord) -> None:
    """Store the batch."""
    transaction.put(BATCHES, _key(batch.merchant, batch.batch_id), _BATCH.encode(batch))
