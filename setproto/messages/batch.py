"""Merchant ↔ gateway: PCertReq/Res and BatchAdminReq/Res (set-protocol.md §2.13, §2.14)."""

from __future__ import annotations

from typing import Annotated

from pki.der import Default, Implicit, Size, sequence
from setproto.amounts import CurrencyAmount
from setproto.messages.codes import (
    AmtType,
    BAStatus,
    BatchOperation,
    CloseStatus,
    PCertCode,
    TransactionStatus,
    TransmissionStatus,
)
from setproto.messages.common import (
    RRPID,
    BodyHead,
    Date,
    Digest,
    Extensions,
    RRTags,
    Text40,
    Thumbs,
    TransIDs,
    check_numbers,
)


@sequence
class PCertReqData:
    """The signed body of PCertReq: which key-exchange certificate does the gateway want used, per brand?"""

    head: BodyHead
    pcert_rr_tags: RRTags
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    brand_seq: Annotated[list[Text40], Size(min=1, max=32)]
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class PCertResItem:
    """The answer for the brand in the same place; the certificate itself is enclosed."""

    pcert_code: PCertCode
    cert_thumb: Annotated[bytes | None, Implicit(0)] = None


@sequence
class PCertResData:
    """The signed body of PCertRes."""

    head: BodyHead
    request_digest: Digest
    pcert_rr_tags: RRTags
    pcert_res_items: Annotated[list[PCertResItem], Size(min=1, max=32)]
    extensions: Annotated[Extensions, Implicit(0)] = None


@sequence
class BatchTotals:
    """Count and sum, each way.  A capture is a debit to the cardholder."""

    transaction_count_credit: int
    transaction_total_amt_credit: CurrencyAmount
    transaction_count_debit: int
    transaction_total_amt_debit: CurrencyAmount

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class BrandBatchDetails:
    """The totals of one brand in a batch."""

    brand_id: Text40
    batch_totals: BatchTotals


@sequence
class ClosedWhen:
    """By whom and when."""

    close_status: CloseStatus
    close_date_time: Date


@sequence
class BatchStatus:
    """A batch at a glance.  One currency per batch, that of its first item; without items there are no totals."""

    open_date_time: Date
    closed_when: Annotated[ClosedWhen | None, Implicit(0)] = None
    batch_totals: Annotated[BatchTotals | None, Implicit(1)] = None
    brand_batch_details_seq: Annotated[list[BrandBatchDetails] | None, Implicit(2)] = None


@sequence
class TransactionDetail:
    """One item of a batch."""

    trans_ids: TransIDs
    auth_rrpid: RRPID
    brand_id: Text40
    batch_sequence_num: int
    transaction_amt: CurrencyAmount
    transaction_amt_type: AmtType
    transaction_status: TransactionStatus

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class TransDetails:
    """A page of items; ``next_starting_point`` is 0 when there are no more."""

    next_starting_point: int
    transaction_detail_seq: list[TransactionDetail]

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class ReturnTransactionDetail:
    """Which items to return: from ``starting_point`` (0: from the first), at most ``maximum_items``."""

    starting_point: int
    maximum_items: int
    errors_only_ind: Annotated[bool, Default(False)] = False
    brand_id: Annotated[str | None, Implicit(0)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class BatchAdminReqData:
    """The signed body of BatchAdminReq.  Without an operation it only asks."""

    head: BodyHead
    batch_admin_rr_tags: RRTags
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    batch_id: int
    brand_seq: Annotated[list[str] | None, Implicit(1)] = None
    batch_operation: BatchOperation | None = None
    return_batch_summary_ind: Annotated[bool, Default(False)] = False
    return_transaction_detail: Annotated[ReturnTransactionDetail | None, Implicit(2)] = None
    batch_status: Annotated[BatchStatus | None, Implicit(3)] = None
    extensions: Annotated[Extensions, Implicit(4)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class BatchAdminResData:
    """The signed body of BatchAdminRes."""

    head: BodyHead
    request_digest: Digest
    batch_admin_rr_tags: RRTags
    pe_thumb: Digest
    batch_id: int
    ba_status: BAStatus
    batch_status: Annotated[BatchStatus | None, Implicit(0)] = None
    transmission_status: TransmissionStatus | None = None
    trans_details: Annotated[TransDetails | None, Implicit(1)] = None
    extensions: Annotated[Extensions, Implicit(2)] = None
    purged_below: Annotated[int | None, Implicit(3)] = None
    """After a purge: items with a BatchSequenceNum below this are taken back, whatever other answers say about them."""

    def __post_init__(self) -> None:
        check_numbers(self)
