"""What a merchant asks its gateway, and what it makes of the answers (set-protocol.md §4.11, §4.13–4.19).

One mechanism for all: a request is protected, stored as sent, and waits under its RRPID; an answer must come from the
gateway that was asked, hash that very request (PX-5), and is applied once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, ProtocolError, SignatureFailure
from setproto.messages.batch import (
    BatchAdminResData,
    BatchStatus,
    PCertResData,
    ReturnTransactionDetail,
)
from setproto.messages.codes import (
    AuthCode,
    AuthRevCode,
    BAStatus,
    BatchOperation,
    CapCode,
    CapRevOrCredCode,
    PCertCode,
)
from setproto.messages.common import MerTermIDs, Role, RRTags
from setproto.messages.payment import (
    AuthReqItem,
    AuthReqPayload,
    AuthResData,
    AuthRevResData,
    AuthTags,
    CapItem,
    CapPayload,
    CapResData,
    CapRevOrCredReqData,
    CapRevOrCredReqItem,
    CapRevOrCredResData,
    CapTokenSeq,
    CheckDigests,
    MerchData,
    PaymentInstruction,
    SaleDetail,
)
from setproto.messages.purchase import PI
from setproto.messages.registry import (
    AUTH_REQ,
    AUTH_RES,
    AUTH_REV_REQ,
    AUTH_REV_RES,
    BATCH_ADMIN_REQ,
    BATCH_ADMIN_RES,
    CAP_REQ,
    CAP_RES,
    CAP_REV_REQ,
    CAP_REV_RES,
    CRED_REQ,
    CRED_RES,
    CRED_REV_REQ,
    CRED_REV_RES,
    MESSAGES,
    PCERT_REQ,
    PCERT_RES,
    MessageType,
    Operator,
)
from setproto.messages.wrapper import MAX_AGE, MessageIDs, Wire
from setproto.roles.endpoint import Received, baggage_digest, party_of, same_purchase
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
    numbered,
)
from setproto.roles.operations import MERCHANT_OPERATION, OpSignal, OpState
from setproto.roles.ports import Event, EventKind, Outgoing, Reply, Transaction

if TYPE_CHECKING:
    from setproto.roles.merchant import Merchant

CERT_PE: Final = "cert_pe"


# --- asking -------------------------------------------------------------------------------------


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
    records.keep_request(
        transaction,
        RequestRecord(
            tag=message_type.tag,
            name=message_type.name,
            rrpid=tags.rrpid,
            content=sent.content,
            body=encode(body),
            baggage=baggage,
            sent=over.date,
            request=sent.outgoing.data,
            xid=None if record is None else record.trans_ids.xid,
            **(about or {}),
        ),
    )
    if record is not None:
        records.keep(transaction, replace(record, outstanding=tags.rrpid))
    return sent.outgoing


def ask_again(merchant: Merchant, transaction: Transaction, request: RequestRecord) -> Outgoing:
    """The same request: octet for octet while it is recent, later under a header of now, with the same content."""
    message_type = MESSAGES[request.tag]
    if merchant.clock() - request.sent.as_datetime() < MAX_AGE / 2:
        return Outgoing(message_type.recipient, request.name, request.request)
    body = decode(message_type.body, request.body)
    rrpid, trans_ids = message_type.locate(body)
    over = merchant.header(rrpid, MessageIDs.of(trans_ids))
    gateway = merchant.gateway(transaction)
    body = replace(body, head=merchant.head(message_type.content_type, body.head.recipient, over))
    recipient = None if message_type.operator is Operator.S else gateway
    sent = merchant.protect(message_type, over, body, recipient=recipient, baggage=request.baggage)
    changed = replace(request, body=encode(body), sent=over.date, request=sent.outgoing.data)
    records.keep_request(transaction, changed)
    return sent.outgoing


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
    *,
    more: bool,
) -> Outgoing:
    """§4.11: the PI goes on unopened, or the gateway's last token in its place; ``more``: another will follow."""
    tags = rr_tags(merchant)
    token = record.auth_token
    if token is None:
        instruction = PaymentInstruction(pi=decode(PI, ordered.pi))
        digests = CheckDigests(hoi_data=ordered.hoi_data, hod2=ordered.hod)
    else:
        instruction, digests = PaymentInstruction(auth_token=token), None
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
        baggage=encode(instruction),
        about={"amount": amount, "target": Target(authorization=number)},
    )


def auth_rev_req(
    merchant: Merchant,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    new_amount: CurrencyAmount,
) -> Outgoing:
    """§4.14: an authorisation shall stand for less; 0 cancels it."""
    asked = replace(authorization, state=MERCHANT_OPERATION.next(authorization.state, OpSignal.ASK_REVERSAL))
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


# --- being answered -----------------------------------------------------------------------------


def on_response(merchant: Merchant, transaction: Transaction, wire: Wire) -> Reply:
    """Any answer of the gateway: the right one, to this request, once."""
    if wire.type is None or wire.type.name not in RESPONSE_HANDLERS:
        raise ProtocolError("not for a merchant", code=ErrorCode.messageNotSupported)
    received: Received[Any] = merchant.receive(wire, wire.type)
    request = records.request(transaction, wire.header.rrpid or b"")
    if received.sender != merchant.gateway_id(transaction):
        raise SignatureFailure("not from the gateway that was asked")
    if request.tag + 1 != wire.type.tag or received.body.request_digest != request.content:
        raise ProtocolError("an answer to another request", code=ErrorCode.wrapperMsgMismatch)
    if request.answered:
        return Reply(events=(Event(EventKind.REPEATED, request.xid),))
    record = None if request.xid is None else records.purchase(transaction, request.xid)
    reply = RESPONSE_HANDLERS[wire.type.name](merchant, transaction, received, request, record)
    records.keep_request(transaction, replace(request, answered=True))
    return reply


def _on_auth_res(
    merchant: Merchant,
    transaction: Transaction,
    received: Received[AuthResData],
    request: RequestRecord,
    record: PurchaseRecord | None,
) -> Reply:
    """§4.13: then the cardholder is answered too, the first time."""
    body = received.body
    header, sale = body.auth_res_payload.auth_header, body.auth_res_payload.cap_res_payload
    record, authorization = _purchase_of(record, request)
    _same(body.auth_tags.trans_ids, record)
    baggage = received.baggage
    approved = header.auth_code is AuthCode.approved
    if approved and (not header.auth_amt.same_value(authorization.amount) or not baggage.cap_token):
        raise ProtocolError("approved with another amount or without a token", code=ErrorCode.wrapperMsgMismatch)
    authorization = replace(
        authorization,
        state=_granted(authorization.state, approved),
        date=general_time(merchant.clock()),
        code=header.auth_code,
        cap_token=baggage.cap_token,
    )
    if sale is not None and approved:
        done = sale.cap_code is CapCode.success
        if done and not sale.cap_amt.same_value(authorization.amount):
            raise ProtocolError("captured another amount", code=ErrorCode.wrapperMsgMismatch)
        capture = CaptureRecord(
            number=1,
            state=_granted(OpState.ASKED, done),
            amount=authorization.amount,
            date=authorization.date,
            code=sale.cap_code,
            batch_id=sale.batch_id,
            batch_sequence_num=sale.batch_sequence_num,
            credits=[],
        )
        capture = _unless_purged(transaction, capture)
        authorization = authorization.having(capture)
        target = Target(authorization=authorization.number, capture=1)
        _remember_member(transaction, record, target, sale.batch_id)
    record = replace(
        record.having(authorization),
        trans_ids=replace(record.trans_ids, pay_sys_id=body.auth_tags.trans_ids.pay_sys_id),
        auth_token=baggage.auth_token if approved else record.auth_token,
        acq_card_msg=baggage.acq_card_msg or record.acq_card_msg,
        outstanding=None,
    )
    records.keep(transaction, record)
    event = Event(EventKind.AUTHORIZATION, record.trans_ids.xid, header.auth_code)
    answered = (merchant.answer_preq(transaction, record),) if authorization.number == 1 else ()
    return Reply(answered, (event,))


def _on_auth_rev_res(
    merchant: Merchant,
    transaction: Transaction,
    received: Received[AuthRevResData],
    request: RequestRecord,
    record: PurchaseRecord | None,
) -> Reply:
    body = received.body
    record, authorization = _purchase_of(record, request)
    _same(body.trans_ids, record)
    done = body.auth_rev_code is AuthRevCode.approved
    if done and (request.amount is None or not body.auth_new_amt.same_value(request.amount)):
        raise ProtocolError("reversed to another amount", code=ErrorCode.wrapperMsgMismatch)
    signal = OpSignal.NOT_REVERSED
    if done:
        signal = OpSignal.REVERSED if body.auth_new_amt.amount == 0 else OpSignal.REDUCED
        authorization = replace(authorization, amount=body.auth_new_amt, cap_token=received.baggage.cap_token)
    authorization = replace(authorization, state=MERCHANT_OPERATION.next(authorization.state, signal))
    records.keep(transaction, replace(record.having(authorization), outstanding=None))
    return Reply(events=(Event(EventKind.REVERSAL, record.trans_ids.xid, body.auth_rev_code),))


def _on_cap_res(
    merchant: Merchant,
    transaction: Transaction,
    received: Received[CapResData],
    request: RequestRecord,
    record: PurchaseRecord | None,
) -> Reply:
    """§4.15, last paragraph; a request of ours has one item."""
    item = _only(received.body.cap_res_item_seq)
    record, authorization = _purchase_of(record, request)
    _same(item.trans_ids, record)
    payload, target = item.cap_res_payload, _target(request)
    done = payload.cap_code is CapCode.success
    capture = numbered(authorization.captures, target.capture)
    if done and not payload.cap_amt.same_value(capture.amount):
        raise ProtocolError("captured another amount", code=ErrorCode.wrapperMsgMismatch)
    capture = replace(
        capture,
        state=_granted(capture.state, done),
        date=general_time(merchant.clock()),
        code=payload.cap_code,
        batch_id=payload.batch_id,
        batch_sequence_num=payload.batch_sequence_num,
    )
    capture = _unless_purged(transaction, capture)
    records.keep(transaction, replace(record.having(authorization.having(capture)), outstanding=None))
    if done:
        _remember_member(transaction, record, target, payload.batch_id)
    return Reply(events=(Event(EventKind.CAPTURE, record.trans_ids.xid, payload.cap_code),))


def _on_cap_rev_or_cred_res(
    merchant: Merchant,
    transaction: Transaction,
    received: Received[CapRevOrCredResData],
    request: RequestRecord,
    record: PurchaseRecord | None,
) -> Reply:
    """The three kinds differ in which operation they move, and how."""
    item = _only(received.body.res_item_seq)
    record, authorization = _purchase_of(record, request)
    _same(item.trans_ids, record)
    done, target = item.code is CapRevOrCredCode.success, _target(request)
    if done and (request.amount is None or not item.actual_amt.same_value(request.amount)):
        raise ProtocolError("another amount", code=ErrorCode.wrapperMsgMismatch)
    capture = numbered(authorization.captures, target.capture)
    if request.tag == CAP_REV_REQ.tag:
        capture, kind = replace(capture, state=_reversed(capture.state, done)), EventKind.CAPTURE_REVERSAL
        capture = _unless_purged(transaction, capture)
    else:
        credit = numbered(capture.credits, target.credit)
        if request.tag == CRED_REQ.tag:
            credit, kind = replace(credit, state=_granted(credit.state, done), code=item.code), EventKind.CREDIT
            credit = replace(credit, batch_id=item.batch_id, batch_sequence_num=item.batch_sequence_num)
            if done:
                _remember_member(transaction, record, target, item.batch_id)
        else:
            credit, kind = replace(credit, state=_reversed(credit.state, done)), EventKind.CREDIT_REVERSAL
        capture = capture.having(_unless_purged(transaction, credit))
    records.keep(transaction, replace(record.having(authorization.having(capture)), outstanding=None))
    return Reply(events=(Event(kind, record.trans_ids.xid, item.code),))


def _on_pcert_res(
    merchant: Merchant,
    transaction: Transaction,
    received: Received[PCertResData],
    request: RequestRecord,
    record: PurchaseRecord | None,
) -> Reply:
    """The certificate named for our brand, if it is the gateway's and valid, is used from now on."""
    item = _only(received.body.pcert_res_items)
    if item.pcert_code is PCertCode.success and item.cert_thumb is not None:
        owner = merchant.gateway_id(transaction)
        certificate = merchant.exchange_certificate(item.cert_thumb, owner, received.certificates)
        transaction.put(CERT_PE, b"", certificate.der)
    return Reply(events=(Event(EventKind.CERTIFICATES, code=item.pcert_code),))


def _on_batch_admin_res(
    merchant: Merchant,
    transaction: Transaction,
    received: Received[BatchAdminResData],
    request: RequestRecord,
    record: PurchaseRecord | None,
) -> Reply:
    body = received.body
    if body.batch_id != request.batch_id:
        raise ProtocolError("another batch", code=ErrorCode.wrapperMsgMismatch)
    if body.ba_status is BAStatus.success and request.operation == BatchOperation.purge:
        records.keep_purged(transaction, body.batch_id, body.purged_below or 0)
        _purged(transaction, body.batch_id)
    return Reply(events=(Event(EventKind.BATCH, code=body.ba_status, detail=str(body.batch_id)),))


def _purged(transaction: Transaction, batch_id: int) -> None:
    """What was in a batch that was purged is taken back."""
    for number in range(1, _members(transaction, batch_id) + 1):
        stored = transaction.get(records.MEMBERS, records.member_key(batch_id, number))
        if stored is None:
            continue
        member = decode(records.Member, stored)
        record = records.purchase(transaction, member.xid)
        authorization = numbered(record.authorizations, member.target.authorization)
        capture = numbered(authorization.captures, member.target.capture)
        if member.target.credit is None:
            capture = _taken_back(capture)
        else:
            capture = capture.having(_taken_back(numbered(capture.credits, member.target.credit)))
        records.keep(transaction, record.having(authorization.having(capture)))


def _unless_purged(transaction: Transaction, operation: Any) -> Any:
    """The operation, or, if the batch was purged after it had gone there, reversed: the purge was decided later."""
    batch_id, sequence = operation.batch_id, operation.batch_sequence_num
    if batch_id is None or sequence is None or sequence >= records.purged_below(transaction, batch_id):
        return operation
    return _taken_back(operation)


def _taken_back(operation: Any) -> Any:
    """The operation reversed, if it stood."""
    if operation.state is not OpState.GRANTED:
        return operation
    state = MERCHANT_OPERATION.next(operation.state, OpSignal.ASK_REVERSAL)
    return replace(operation, state=MERCHANT_OPERATION.next(state, OpSignal.REVERSED))


def _remember_member(
    transaction: Transaction,
    record: PurchaseRecord,
    target: Target,
    batch_id: int | None,
) -> None:
    """Members are counted here: the gateway's BatchSequenceNum may be anything."""
    if batch_id is not None:
        number = _members(transaction, batch_id) + 1
        member = records.Member(xid=record.trans_ids.xid, target=target)
        transaction.put(records.MEMBERS, records.member_key(batch_id, number), encode(member))
        transaction.put(records.MEMBERS, records.member_key(batch_id, 0), number.to_bytes(8, "big"))


def _members(transaction: Transaction, batch_id: int) -> int:
    """How many have been put in a batch."""
    return int.from_bytes(transaction.get(records.MEMBERS, records.member_key(batch_id, 0)) or b"", "big")


RESPONSE_HANDLERS: Final[dict[str, Callable[..., Reply]]] = {
    AUTH_RES.name: _on_auth_res,
    AUTH_REV_RES.name: _on_auth_rev_res,
    CAP_RES.name: _on_cap_res,
    CAP_REV_RES.name: _on_cap_rev_or_cred_res,
    CRED_RES.name: _on_cap_rev_or_cred_res,
    CRED_REV_RES.name: _on_cap_rev_or_cred_res,
    PCERT_RES.name: _on_pcert_res,
    BATCH_ADMIN_RES.name: _on_batch_admin_res,
}
"""Response → what to make of it."""


def _purchase_of(record: PurchaseRecord | None, request: RequestRecord) -> tuple[PurchaseRecord, AuthorizationRecord]:
    if record is None:
        raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
    return record, numbered(record.authorizations, _target(request).authorization)


def _target(request: RequestRecord) -> Target:
    if request.target is None:
        raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
    return request.target


def _only(items: list[Any]) -> Any:
    """The answer to the one item that a request of ours has."""
    if len(items) != 1:
        raise ProtocolError("not one answer to one item", code=ErrorCode.wrapperMsgMismatch)
    return items[0]


def _same(trans_ids: Any, record: PurchaseRecord) -> None:
    if not same_purchase(trans_ids, record.trans_ids):
        raise ProtocolError("another purchase", code=ErrorCode.unknownXID)


def _granted(state: OpState, done: bool) -> OpState:
    return MERCHANT_OPERATION.next(state, OpSignal.GRANTED if done else OpSignal.REFUSED)


def _reversed(state: OpState, done: bool) -> OpState:
    return MERCHANT_OPERATION.next(state, OpSignal.REVERSED if done else OpSignal.NOT_REVERSED)
