"""What a merchant asks its gateway (set-protocol.md §4.11, §4.14–4.19).

One mechanism for all: a request is protected, stored as sent, and waits under its RRPID.  The answers are
the business of ``responses``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pki.der import decode, encode, general_time, replace
from setproto.amounts import CurrencyAmount
from setproto.messages.batch import (
    BatchStatus,
    ReturnTransactionDetail,
)
from setproto.messages.codes import (
    BatchOperation,
)
from setproto.messages.common import MerTermIDs, Role, RRTags
from setproto.messages.payment import (
    AuthReqItem,
    AuthReqPayload,
    AuthTags,
    AuthToken,
    CapItem,
    CapPayload,
    CapRevOrCredReqData,
    CapRevOrCredReqItem,
    CapTokenSeq,
    CheckDigests,
    EncB,
    MerchData,
    PaymentInstruction,
    SaleDetail,
)
from setproto.messages.purchase import PI
from setproto.messages.registry import (
    AUTH_REQ,
    AUTH_REV_REQ,
    BATCH_ADMIN_REQ,
    CAP_REQ,
    CAP_REV_REQ,
    CRED_REQ,
    CRED_REV_REQ,
    MESSAGES,
    PCERT_REQ,
    MessageType,
    Operator,
)
from setproto.messages.wrapper import MAX_AGE, MessageIDs, unwrap
from setproto.roles.credentials import party_of
from setproto.roles.merchant import records
from setproto.roles.merchant.records import (
    AuthorizationRecord,
    CaptureRecord,
    CreditRecord,
    OrderedRecord,
    OrderRecord,
    PurchaseRecord,
    RequestRecord,
    Target,
)
from setproto.roles.operations import MERCHANT_OPERATION, OpSignal, OpState
from setproto.roles.party import baggage_digest
from setproto.roles.ports import Outgoing, Transaction

if TYPE_CHECKING:
    from setproto.roles.merchant import Merchant


def ask(
    merchant: Merchant,
    transaction: Transaction,
    message_type: MessageType[Any],
    fields: dict[str, Any],
    *,
    tags: RRTags,
    tags_field: str | None,
    record: PurchaseRecord | None = None,
    ids: MessageIDs | None = None,
    baggage: bytes | None = None,
    about: dict[str, Any] | None = None,
) -> Outgoing:
    """Protect a request, store it as sent, and note on the purchase that it waits."""
    gateway = merchant.gateway(transaction)
    over = merchant.header(tags.rrpid, ids or MessageIDs())
    common: dict[str, Any] = {
        "head": merchant.head(message_type.content_type, party_of(gateway, Role.gateway), over),
        "m_thumbs": merchant.thumbs,
    }
    if tags_field is not None:
        common[tags_field] = tags
    if baggage is not None:
        common["baggage_digest"] = baggage_digest(message_type, baggage)
    body = message_type.body(**common, **fields)
    recipient = None if message_type.operator is Operator.S else gateway
    sent = merchant.protect(message_type, over, body, recipient=recipient, baggage=baggage)
    records.add_request(
        transaction,
        RequestRecord(
            tag=message_type.tag,
            name=message_type.name,
            rrpid=tags.rrpid,
            content=sent.content,
            body=sent.body,
            sent=over.date,
            request=sent.outgoing.data,
            xid=None if record is None else record.trans_ids.xid,
            **(about or {}),
        ),
    )
    if record is not None:
        records.keep(transaction, replace(record, outstanding=tags.rrpid))
    return replace(sent.outgoing, rrpid=tags.rrpid)


def ask_again(merchant: Merchant, transaction: Transaction, request: RequestRecord) -> Outgoing:
    """The same request: octet for octet while it is recent, later under a header of now, with the same content."""
    message_type = MESSAGES[request.tag]
    # The clock may have been set back since: a date to come would be refused as one that is long past.
    if abs(merchant.clock() - request.sent.as_datetime()) < MAX_AGE / 2:
        to = message_type.recipient_from(Role.merchant)
        return Outgoing(to, request.name, request.request, rrpid=request.rrpid)
    body = decode(message_type.body, request.body)
    rrpid, trans_ids = message_type.locate(body)
    over = merchant.header(rrpid, MessageIDs.of(trans_ids))
    gateway = merchant.gateway(transaction)
    body = replace(body, head=merchant.head(message_type.content_type, body.head.recipient, over))
    recipient = None if message_type.operator is Operator.S else gateway
    sent = merchant.protect(message_type, over, body, recipient=recipient, baggage=baggage_of(request))
    changed = replace(request, body=sent.body, sent=over.date, request=sent.outgoing.data)
    records.keep_request(transaction, changed)
    return replace(sent.outgoing, rrpid=request.rrpid)


def baggage_of(request: RequestRecord) -> bytes | None:
    """What travels in the clear beside a sealed request, if something does."""
    if MESSAGES[request.tag].operator is not Operator.ENCB:
        return None
    return decode(EncB, unwrap(request.request).body).baggage


def rr_tags(merchant: Merchant) -> RRTags:
    """Tags for a new request."""
    return RRTags(
        rrpid=merchant.random(20),
        mer_term_ids=MerTermIDs(merchant_id=merchant.party.name),
        date=general_time(merchant.clock()),
        me_thumb=merchant.own_exchange_thumb(),
    )


def auth_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    ordered: OrderedRecord,
    order: OrderRecord,
    amount: CurrencyAmount,
    instruction: PI | AuthToken,
    *,
    more: bool,
) -> Outgoing:
    """§4.11: the PI goes on unopened, or the gateway's last token in its place; ``more``: another will follow."""
    tags = rr_tags(merchant)
    if isinstance(instruction, PI):
        carried = PaymentInstruction(pi=instruction)
        digests = CheckDigests(hoi_data=ordered.hoi_data, hod2=ordered.hod)
    else:
        carried, digests = PaymentInstruction(auth_token=instruction), None
    number = len(record.authorizations) + 1
    authorization = AuthorizationRecord(
        number=number,
        auth_rrpid=tags.rrpid,
        state=MERCHANT_OPERATION.initial,
        amount=amount,
        date=tags.date,
        captures=[],
    )
    item = AuthReqItem(
        auth_tags=AuthTags(auth_rr_tags=tags, trans_ids=record.trans_ids),
        check_digests=digests,
        auth_req_payload=AuthReqPayload(
            subsequent_auth_ind=more,
            auth_req_amt=amount,
            install_recur_data=order.install_recur_data,
            merch_data=MerchData(merch_cat_code=merchant.category),
        ),
    )
    return ask(
        merchant,
        transaction,
        AUTH_REQ,
        {"auth_req_item": item, "capture_now": order.capture_now},
        tags=tags,
        tags_field=None,
        record=record.having(authorization),
        ids=MessageIDs.of(record.trans_ids),
        baggage=encode(carried),
        about={"amount": amount, "target": Target(authorization=number)},
    )


def auth_rev_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    new_amount: CurrencyAmount,
) -> Outgoing:
    """§4.14: an authorisation shall stand for less; 0 cancels it, also one of which it is not known whether it is."""
    signal = OpSignal.GIVE_UP if authorization.state is OpState.ASKED else OpSignal.ASK_REVERSAL
    asked = replace(authorization, state=MERCHANT_OPERATION.next(authorization.state, signal))
    return ask(
        merchant,
        transaction,
        AUTH_REV_REQ,
        {"trans_ids": record.trans_ids, "auth_rrpid": authorization.auth_rrpid, "auth_new_amt": new_amount},
        tags=rr_tags(merchant),
        tags_field="auth_rev_rr_tags",
        record=record.having(asked),
        ids=MessageIDs.of(record.trans_ids),
        baggage=_tokens(authorization),
        about={"amount": new_amount, "target": Target(authorization=authorization.number)},
    )


def cap_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    amount: CurrencyAmount,
    batch_id: int | None,
) -> Outgoing:
    """§2.11: one item, with the token of its authorisation."""
    tags = rr_tags(merchant)
    number = len(authorization.captures) + 1
    asked = CaptureRecord(number=number, state=MERCHANT_OPERATION.initial, amount=amount, date=tags.date, credits=[])
    item = CapItem(
        trans_ids=record.trans_ids,
        auth_rrpid=authorization.auth_rrpid,
        cap_payload=CapPayload(
            cap_date=tags.date,
            cap_req_amt=amount,
            cap_num=number,
            sale_detail=None if batch_id is None else SaleDetail(batch_id=batch_id),
        ),
    )
    return ask(
        merchant,
        transaction,
        CAP_REQ,
        {"cap_item_seq": [item]},
        tags=tags,
        tags_field="cap_rr_tags",
        record=record.having(authorization.having(asked)),
        baggage=_tokens(authorization),
        about={"amount": amount, "target": Target(authorization=authorization.number, capture=number)},
    )


def cap_rev_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    capture: CaptureRecord,
) -> Outgoing:
    """§2.12: take a capture back."""
    asked = replace(capture, state=MERCHANT_OPERATION.next(capture.state, OpSignal.ASK_REVERSAL))
    record = record.having(authorization.having(asked))
    return _clear(merchant, transaction, CAP_REV_REQ, record, authorization, capture, None, capture.amount)


def cred_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    capture: CaptureRecord,
    amount: CurrencyAmount,
    batch_id: int | None,
) -> Outgoing:
    """§2.12: give money back."""
    number = len(capture.credits) + 1
    asked = CreditRecord(
        number=number, state=MERCHANT_OPERATION.initial, amount=amount, date=general_time(merchant.clock())
    )
    record = record.having(authorization.having(capture.having(asked)))
    return _clear(merchant, transaction, CRED_REQ, record, authorization, capture, number, amount, batch_id)


def cred_rev_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    capture: CaptureRecord,
    credit: CreditRecord,
) -> Outgoing:
    """§2.12: take a credit back."""
    asked = replace(credit, state=MERCHANT_OPERATION.next(credit.state, OpSignal.ASK_REVERSAL))
    record = record.having(authorization.having(capture.having(asked)))
    return _clear(merchant, transaction, CRED_REV_REQ, record, authorization, capture, credit.number, credit.amount)


def _clear(
    merchant: Merchant,
    transaction: Transaction,
    message_type: MessageType[CapRevOrCredReqData],
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    capture: CaptureRecord,
    cred_num: int | None,
    amount: CurrencyAmount,
    batch_id: int | None = None,
) -> Outgoing:
    item = CapRevOrCredReqItem(
        trans_ids=record.trans_ids,
        auth_rrpid=authorization.auth_rrpid,
        cap_num=capture.number,
        cred_num=cred_num,
        new_batch_id=batch_id,
        date=general_time(merchant.clock()),
        amount=amount,
    )
    target = Target(authorization=authorization.number, capture=capture.number, credit=cred_num)
    return ask(
        merchant,
        transaction,
        message_type,
        {"item_seq": [item]},
        tags=rr_tags(merchant),
        tags_field="rr_tags",
        record=record,
        baggage=_tokens(authorization),
        about={"amount": amount, "target": target},
    )


def pcert_req(merchant: Merchant, transaction: Transaction) -> Outgoing:
    """§2.13: which certificate does the gateway want used?"""
    return ask(
        merchant,
        transaction,
        PCERT_REQ,
        {"brand_seq": [merchant.party.brand]},
        tags=rr_tags(merchant),
        tags_field="pcert_rr_tags",
    )


def batch_admin_req(
    merchant: Merchant,
    transaction: Transaction,
    batch_id: int,
    operation: BatchOperation | None,
    totals: BatchStatus | None,
    details: ReturnTransactionDetail | None,
) -> Outgoing:
    """§2.14: open, purge or close a batch, or look at it."""
    return ask(
        merchant,
        transaction,
        BATCH_ADMIN_REQ,
        {
            "batch_id": batch_id,
            "batch_operation": operation,
            "return_batch_summary_ind": True,
            "return_transaction_detail": details,
            "batch_status": totals,
        },
        tags=rr_tags(merchant),
        tags_field="batch_admin_rr_tags",
        about={"batch_id": batch_id, "operation": None if operation is None else int(operation)},
    )


def _tokens(authorization: AuthorizationRecord) -> bytes:
    return encode(CapTokenSeq(tokens=[authorization.cap_token or b""]))
