"""BatchAdminReq at the gateway: open, purge, close, look (set-protocol.md §4.19)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pki.der import general_time, replace
from setproto.messages.batch import (
    BatchAdminReqData,
    BatchAdminResData,
    BatchStatus,
    BrandBatchDetails,
    ClosedWhen,
    ReturnTransactionDetail,
    TransactionDetail,
    TransDetails,
)
from setproto.messages.codes import BAStatus, BatchOperation, CloseStatus, TransactionStatus, TransmissionStatus
from setproto.messages.common import PartyID, Role
from setproto.roles.credentials import party_of
from setproto.roles.gateway import batches
from setproto.roles.gateway.answer import Answer
from setproto.roles.gateway.batches import BATCH_TABLE, BatchRecord, BatchState
from setproto.roles.gateway.clearing import credited_elsewhere, take_back
from setproto.roles.party import Received
from setproto.roles.ports import Event, EventKind, Transaction

if TYPE_CHECKING:
    from setproto.roles.gateway import Gateway

MAX_ITEMS_PER_ANSWER = 100


def on_batch_admin_req(gateway: Gateway, transaction: Transaction, received: Received[BatchAdminReqData]) -> Answer:
    """§4.19: open, purge, close, or only look."""
    body = received.body
    merchant = party_of(received.signed_by(), Role.merchant)
    status, batch = _operate(gateway, transaction, body, merchant)
    details = None
    if status is BAStatus.success and batch is not None and body.return_transaction_detail is not None:
        details = _page(transaction, batch, body.return_transaction_detail)
        if details is None:
            status = BAStatus.unknownStartingPoint
    shown = batch is not None and (body.return_batch_summary_ind or body.batch_operation is BatchOperation.close)
    answer = partial(
        BatchAdminResData,
        batch_admin_rr_tags=body.batch_admin_rr_tags,
        batch_id=body.batch_id,
        ba_status=status,
        batch_status=_status(batch) if shown and batch is not None else None,
        transmission_status=None if batch is None else _TRANSMISSION.get(batch.state),
        trans_details=details,
        purged_below=_purged_below(status, batch, body),
    )
    return Answer(answer, (Event(EventKind.BATCH, code=status, detail=str(body.batch_id)),))


def _purged_below(status: BAStatus, batch: BatchRecord | None, body: BatchAdminReqData) -> int | None:
    """Answers may come in another order than they were decided in; this tells the merchant what the purge took."""
    if batch is None or status is not BAStatus.success or body.batch_operation is not BatchOperation.purge:
        return None
    return batch.next_sequence


_TRANSMISSION = {
    BatchState.CLOSED: TransmissionStatus.pending,
    BatchState.TRANSMITTED: TransmissionStatus.completedSuccessfully,
}


def _operate(
    gateway: Gateway, transaction: Transaction, body: BatchAdminReqData, merchant: PartyID
) -> tuple[BAStatus, BatchRecord | None]:
    batch = batches.find(transaction, merchant, body.batch_id)
    operation = body.batch_operation
    if operation is BatchOperation.open:
        if batch is not None:
            opened = batch.state is BatchState.OPEN
            return (BAStatus.batchAlreadyOpen if opened else BAStatus.batchIDUnavailable), batch
        if any(brand != gateway.party.brand for brand in body.brand_seq or ()):
            return BAStatus.brandNotSupported, None
        batch = batches.opened(gateway, merchant, body.batch_id)
        batches.keep(transaction, batch)
        return BAStatus.success, batch
    if batch is None:
        return BAStatus.unknownBatchID, None
    if operation is None:
        return BAStatus.success, batch
    if not BATCH_TABLE.allows(batch.state, operation):
        return BAStatus.unknownBatchID, batch
    if any(brand != merchant.brand for brand in body.brand_seq or ()):
        return BAStatus.brandBatchMismatch, batch
    if operation is BatchOperation.purge:
        items = [batches.item(transaction, batch, sequence) for sequence in range(1, batch.next_sequence)]
        held = [item for item in items if item is not None]
        if any(credited_elsewhere(transaction, merchant, item, batch.batch_id) for item in held):
            return BAStatus.unspecifiedFailure, batch
        for item in reversed(held):  # credits come after what they credit, so they go first
            take_back(gateway, transaction, merchant, item, batch.batch_id)
        batch = batches.find(transaction, merchant, body.batch_id) or batch
    elif body.batch_status is not None and body.batch_status.batch_totals != batch.totals:
        return BAStatus.totalsOutOfBalance, batch
    else:
        when = ClosedWhen(close_status=CloseStatus.closedByMerchant, close_date_time=general_time(gateway.clock()))
        batch = replace(batch, closed=when)
    batch = replace(batch, state=BATCH_TABLE.next(batch.state, operation))
    batches.keep(transaction, batch)
    return BAStatus.success, batch


def _status(batch: BatchRecord) -> BatchStatus:
    by_brand = None
    if batch.totals is not None:
        by_brand = [BrandBatchDetails(brand_id=batch.merchant.brand, batch_totals=batch.totals)]
    return BatchStatus(
        open_date_time=batch.opened,
        closed_when=batch.closed,
        batch_totals=batch.totals,
        brand_batch_details_seq=by_brand,
    )


def _page(transaction: Transaction, batch: BatchRecord, wanted: ReturnTransactionDetail) -> TransDetails | None:
    """Items from a starting point on, or None if there is no such point."""
    start = wanted.starting_point or 1
    if not 1 <= start <= batch.next_sequence:
        return None
    items: list[TransactionDetail] = []
    limit = max(1, min(wanted.maximum_items, MAX_ITEMS_PER_ANSWER))
    sequence = start
    while sequence < batch.next_sequence and len(items) < limit:
        item = batches.item(transaction, batch, sequence)
        sequence += 1
        if item is None or (wanted.brand_id is not None and item.brand_id != wanted.brand_id):
            continue
        if wanted.errors_only_ind and item.transaction_status is TransactionStatus.success:
            continue
        items.append(item)
    more = sequence if sequence < batch.next_sequence else 0
    return TransDetails(next_starting_point=more, transaction_detail_seq=items)


def transmitted(transaction: Transaction, merchant: PartyID, batch_id: int) -> None:
    """The acquirer has taken a closed batch.  KeyError if there is no such batch; ProtocolError if it is not closed."""
    batch = batches.find(transaction, merchant, batch_id)
    if batch is None:
        raise KeyError(batch_id)
    batches.keep(
        transaction,
        replace(batch, state=BATCH_TABLE.next(batch.state, TransmissionStatus.completedSuccessfully)),
    )
