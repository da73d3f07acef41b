"""What a merchant makes of its gateway's answers (set-protocol.md §4.13–4.19).

One mechanism for all: an answer must come from the gateway that was asked, hash the very request that waits (PX-5), and
is applied once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pki.der import decode, encode, general_time, replace
from setproto.errors import ErrorCode, ProtocolError, SignatureFailure
from setproto.messages.batch import (
    BatchAdminResData,
    PCertResData,
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
from setproto.messages.payment import (
    AuthResData,
    AuthRevResData,
    CapResData,
    CapRevOrCredResData,
)
from setproto.messages.registry import (
    AUTH_RES,
    AUTH_REV_RES,
    BATCH_ADMIN_RES,
    CAP_RES,
    CAP_REV_REQ,
    CAP_REV_RES,
    CRED_REQ,
    CRED_RES,
    CRED_REV_RES,
    PCERT_RES,
)
from setproto.messages.wrapper import Wire
from setproto.roles.merchant import records
from setproto.roles.merchant.records import (
    AuthorizationRecord,
    CaptureRecord,
    PurchaseRecord,
    RequestRecord,
    Target,
    numbered,
)
from setproto.roles.operations import MERCHANT_OPERATION, OpSignal, OpState
from setproto.roles.party import Received, same_purchase
from setproto.roles.ports import Event, EventKind, Reply, Transaction

if TYPE_CHECKING:
    from setproto.roles.merchant import Merchant


def on_response(merchant: Merchant, transaction: Transaction, wire: Wire, received: Received[Any]) -> Reply:
    """Any answer of the gateway: the right one, to this request, once."""
    if wire.type is None:
        raise ProtocolError("not for a merchant", code=ErrorCode.messageNotSupported)
    request = records.request(transaction, wire.header.rrpid or b"")
    if received.sender != merchant.gateway_id(transaction):
        raise SignatureFailure("not from the gateway that was asked")
    if request.tag + 1 != wire.type.tag or received.body.request_digest != request.content:
        raise ProtocolError("an answer to another request", code=ErrorCode.wrapperMsgMismatch)
    if not records.is_waiting(transaction, request.rrpid):
        return Reply(events=(Event(EventKind.REPEATED, request.xid),))
    record = None if request.xid is None else records.purchase(transaction, request.xid)
    reply = RESPONSE_HANDLERS[wire.type.name](merchant, transaction, received, request, record)
    records.mark_answered(transaction, request.rrpid)
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
    if done and authorization.state is not OpState.GIVEN_UP:
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
        transaction.put(records.CERT_PE, b"", certificate.der)
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
    if body.batch_status is not None:
        records.keep_batch_status(transaction, body.batch_id, body.batch_status)
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
