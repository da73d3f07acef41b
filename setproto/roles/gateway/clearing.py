"""Captures, their reversals, credits and theirs at the gateway: one mechanism (set-protocol.md §4.15, §4.16).

Each request has items that are independent of each other; each item names an authorisation with its token, and
takes from it or gives back to it under one rule: captured ≤ authorised, credited ≤ captured, each thing once (PX-7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pki.der import replace
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, ProtocolError
from setproto.messages.batch import TransactionDetail
from setproto.messages.codes import AmtType, CapCode, CapRevOrCredCode
from setproto.messages.common import PartyID, Role, TransIDs
from setproto.messages.payment import (
    CapItem,
    CapReqData,
    CapResData,
    CapResItem,
    CapResPayload,
    CapRevOrCredReqData,
    CapRevOrCredReqItem,
    CapRevOrCredResData,
    CapRevOrCredResItem,
)
from setproto.messages.registry import CAP_REV_REQ, CRED_REQ, CRED_REV_REQ, MessageType
from setproto.roles.credentials import party_of
from setproto.roles.gateway import batches, outbox, records
from setproto.roles.gateway.answer import Answer
from setproto.roles.gateway.batches import Denied, Place
from setproto.roles.gateway.instruction import cap_token_fits
from setproto.roles.gateway.records import AuthorizationRecord, CaptureRecord, CreditRecord, PurchaseRecord
from setproto.roles.operations import GATEWAY_OPERATION, OpSignal, OpState, is_finer, live_sum
from setproto.roles.party import Received
from setproto.roles.ports import Advice, AdviceKind, Event, EventKind, Transaction

if TYPE_CHECKING:
    from setproto.roles.gateway import Gateway


# --- capture ------------------------------------------------------------------------------------


def on_cap_req(gateway: Gateway, transaction: Transaction, received: Received[CapReqData]) -> Answer:
    """§4.15: every item gets its own answer."""
    body = received.body
    merchant = party_of(received.signed_by(), Role.merchant)
    answers, events = [], []
    for item, token in _with_tokens(body.cap_item_seq, received.baggage.tokens):
        payload = _captured(gateway, transaction, item, token, merchant)
        answers.append(CapResItem(trans_ids=item.trans_ids, auth_rrpid=item.auth_rrpid, cap_res_payload=payload))
        events.append(Event(EventKind.CAPTURE, item.trans_ids.xid, payload.cap_code))
    answer = partial(CapResData, cap_rr_tags=body.cap_rr_tags, cap_res_item_seq=answers)
    return Answer(answer, tuple(events))


def _captured(
    gateway: Gateway, transaction: Transaction, item: CapItem, token: bytes, merchant: PartyID
) -> CapResPayload:
    asked = item.cap_payload
    batch_id = asked.sale_detail.batch_id if asked.sale_detail else None
    try:
        record, authorization = _original(
            gateway, transaction, item.trans_ids, item.auth_rrpid, token, merchant, CAPTURE_DENIALS
        )
        record, done = capture(gateway, transaction, record, authorization, asked.cap_num, asked.cap_req_amt, batch_id)
    except Denied as denied:
        return CapResPayload(cap_code=CapCode[denied.code], cap_amt=asked.cap_req_amt)
    records.keep(transaction, record)
    return CapResPayload(
        cap_code=CapCode.success,
        cap_amt=asked.cap_req_amt,
        batch_id=done.batch_id,
        batch_sequence_num=done.batch_sequence_num,
    )


def capture(
    gateway: Gateway,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    number: int,
    amount: CurrencyAmount,
    batch_id: int | None,
) -> tuple[PurchaseRecord, CaptureRecord]:
    """Take ``amount`` of an authorisation, as its capture ``number``, into a batch; the record is still to be kept.

    Denied with a CapCode's name."""
    if authorization.capture(number) is not None:
        raise Denied("duplicateRequest")
    _within(amount, authorization.amount, live_sum(authorization.captures, authorization.amount))
    place = Place(record.trans_ids, authorization.auth_rrpid, amount, AmtType.debit)
    batch_id, sequence = batches.add(gateway, transaction, record.merchant, place, batch_id)
    done = CaptureRecord(
        number=number,
        state=GATEWAY_OPERATION.next(OpState.ASKED, OpSignal.GRANTED),
        amount=amount,
        batch_id=batch_id,
        batch_sequence_num=sequence,
        credits=[],
    )
    record = record.having(authorization.having(done))
    _advise(gateway, transaction, AdviceKind.CAPTURE, record, authorization, amount, number)
    return record, done


# --- what is done with captures -----------------------------------------------------------------


@dataclass(frozen=True)
class Clearing:
    """One of the three kinds that share a structure: what to do, and what to call it."""

    act: Callable[..., tuple[CaptureRecord, Any]]
    advice: AdviceKind
    event: EventKind


def on_cap_rev_or_cred_req(
    gateway: Gateway,
    transaction: Transaction,
    received: Received[CapRevOrCredReqData],
    kind: MessageType[CapRevOrCredReqData],
) -> Answer:
    """§4.16, for CapRevReq, CredReq and CredRevReq."""
    body, clearing = received.body, CLEARINGS[kind.name]
    merchant = party_of(received.signed_by(), Role.merchant)
    answers, events = [], []
    for item, token in _with_tokens(body.item_seq, received.baggage.tokens):
        result = _cleared(gateway, transaction, clearing, item, token, merchant)
        answers.append(result)
        events.append(Event(clearing.event, item.trans_ids.xid, result.code))
    answer = partial(CapRevOrCredResData, rr_tags=body.rr_tags, res_item_seq=answers)
    return Answer(answer, tuple(events))


def _cleared(
    gateway: Gateway,
    transaction: Transaction,
    clearing: Clearing,
    item: CapRevOrCredReqItem,
    token: bytes,
    merchant: PartyID,
) -> CapRevOrCredResItem:
    answer = partial(CapRevOrCredResItem, trans_ids=item.trans_ids, auth_rrpid=item.auth_rrpid, actual_amt=item.amount)
    try:
        record, authorization = _original(
            gateway, transaction, item.trans_ids, item.auth_rrpid, token, merchant, CLEARING_DENIALS
        )
        captured = authorization.capture(item.cap_num)
        if captured is None or captured.state is not OpState.GRANTED:
            raise Denied("originalNotFound")
        changed, place = clearing.act(gateway, transaction, record, authorization, captured, item)
    except Denied as denied:
        return answer(code=CapRevOrCredCode[denied.code])
    records.keep(transaction, record.having(authorization.having(changed)))
    _advise(gateway, transaction, clearing.advice, record, authorization, item.amount, item.cap_num, item.cred_num)
    return answer(code=CapRevOrCredCode.success, batch_id=place.batch_id, batch_sequence_num=place.batch_sequence_num)


def _reverse_capture(
    gateway: Gateway,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    captured: CaptureRecord,
    item: CapRevOrCredReqItem,
) -> tuple[CaptureRecord, CaptureRecord]:
    """Take a capture back: whole, and only before its batch is cleared and anything was credited."""
    if not item.amount.same_value(captured.amount) or any(c.state is OpState.GRANTED for c in captured.credits):
        raise Denied("amountError")
    batches.remove(transaction, record.merchant, captured.batch_id, captured.batch_sequence_num)
    changed = replace(captured, state=GATEWAY_OPERATION.next(captured.state, OpSignal.REVERSED))
    return changed, changed


def _credit(
    gateway: Gateway,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    captured: CaptureRecord,
    item: CapRevOrCredReqItem,
) -> tuple[CaptureRecord, CreditRecord]:
    """Give money back, up to what was captured."""
    if item.cred_num is None:
        raise Denied("missingCapData")
    if captured.credit(item.cred_num) is not None:
        raise Denied("duplicateRequest")
    _within(item.amount, captured.amount, live_sum(captured.credits, captured.amount))
    place = Place(record.trans_ids, authorization.auth_rrpid, item.amount, AmtType.credit)
    batch_id, sequence = batches.add(gateway, transaction, record.merchant, place, item.new_batch_id)
    credit = CreditRecord(
        number=item.cred_num,
        state=GATEWAY_OPERATION.next(OpState.ASKED, OpSignal.GRANTED),
        amount=item.amount,
        batch_id=batch_id,
        batch_sequence_num=sequence,
    )
    return captured.having(credit), credit


def _reverse_credit(
    gateway: Gateway,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    captured: CaptureRecord,
    item: CapRevOrCredReqItem,
) -> tuple[CaptureRecord, CreditRecord]:
    """Take a credit back: whole, and only before its batch is cleared."""
    credit = captured.credit(item.cred_num)
    if credit is None or credit.state is not OpState.GRANTED:
        raise Denied("originalNotFound")
    if not item.amount.same_value(credit.amount):
        raise Denied("amountError")
    batches.remove(transaction, record.merchant, credit.batch_id, credit.batch_sequence_num)
    changed = replace(credit, state=GATEWAY_OPERATION.next(credit.state, OpSignal.REVERSED))
    return captured.having(changed), changed


CLEARINGS = {
    CAP_REV_REQ.name: Clearing(_reverse_capture, AdviceKind.CAPTURE_REVERSAL, EventKind.CAPTURE_REVERSAL),
    CRED_REQ.name: Clearing(_credit, AdviceKind.CREDIT, EventKind.CREDIT),
    CRED_REV_REQ.name: Clearing(_reverse_credit, AdviceKind.CREDIT_REVERSAL, EventKind.CREDIT_REVERSAL),
}


def credited_elsewhere(transaction: Transaction, merchant: PartyID, detail: TransactionDetail, batch_id: int) -> bool:
    """Whether the item is a capture of which something was credited in another batch: it cannot be taken back."""
    _, _, captured, credit = _behind(transaction, merchant, detail, batch_id)
    return credit is None and any(c.state is OpState.GRANTED and c.batch_id != batch_id for c in captured.credits)


def take_back(
    gateway: Gateway, transaction: Transaction, merchant: PartyID, detail: TransactionDetail, batch_id: int
) -> None:
    """Take an item of an open batch back, as its reversal would: what purging a batch does to each."""
    record, authorization, captured, credit = _behind(transaction, merchant, detail, batch_id)
    if credit is None:
        clear(gateway, transaction, CAP_REV_REQ, record, authorization, captured, captured.amount)
    else:
        clear(gateway, transaction, CRED_REV_REQ, record, authorization, captured, credit.amount, credit.number)


def clear(
    gateway: Gateway,
    transaction: Transaction,
    kind: MessageType[CapRevOrCredReqData],
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    captured: CaptureRecord,
    amount: CurrencyAmount,
    cred_num: int | None = None,
) -> PurchaseRecord:
    """Do what a request of this kind about one capture would do; the purchase as it is then.  Denied."""
    item = CapRevOrCredReqItem(
        trans_ids=record.trans_ids,
        auth_rrpid=authorization.auth_rrpid,
        cap_num=captured.number,
        cred_num=cred_num,
        date=record.trans_ids.preq_date,
        amount=amount,
    )
    clearing = CLEARINGS[kind.name]
    changed, _ = clearing.act(gateway, transaction, record, authorization, captured, item)
    record = record.having(authorization.having(changed))
    records.keep(transaction, record)
    _advise(gateway, transaction, clearing.advice, record, authorization, amount, captured.number, cred_num)
    return record


def _behind(
    transaction: Transaction, merchant: PartyID, detail: TransactionDetail, batch_id: int
) -> tuple[PurchaseRecord, AuthorizationRecord, CaptureRecord, CreditRecord | None]:
    """The capture that an item of a batch stands for, and the credit if it stands for one."""
    place = (batch_id, detail.batch_sequence_num)
    record = records.find(transaction, merchant, detail.trans_ids.xid)
    authorization = None if record is None else record.authorization(detail.auth_rrpid)
    if record is not None and authorization is not None:
        for captured in authorization.captures:
            if (captured.batch_id, captured.batch_sequence_num) == place:
                return record, authorization, captured, None
            for credit in captured.credits:
                if (credit.batch_id, credit.batch_sequence_num) == place:
                    return record, authorization, captured, credit
    raise Denied("originalNotFound")


# --- shared -------------------------------------------------------------------------------------

CAPTURE_DENIALS = {
    "unknown": "unknownXID",
    "ids": "unknownLID",
    "no token": "capTokenMissing",
    "token": "invalidCapToken",
    "authorization": "invalidAuthData",
}
CLEARING_DENIALS = {
    "unknown": "originalNotFound",
    "ids": "originalNotFound",
    "no token": "missingCapToken",
    "token": "invalidCapToken",
    "authorization": "originalNotFound",
}
"""The same findings have other names in the two code lists (§5.5, §5.6)."""


def _original(
    gateway: Gateway,
    transaction: Transaction,
    trans_ids: TransIDs,
    auth_rrpid: bytes,
    token: bytes,
    merchant: PartyID,
    names: dict[str, str],
) -> tuple[PurchaseRecord, AuthorizationRecord]:
    """The authorisation that an item is about: this merchant's, standing, and shown by its token."""
    record = records.find(transaction, merchant, trans_ids.xid)
    if record is None:
        raise Denied(names["unknown"])
    if not records.is_same(record, trans_ids):
        raise Denied(names["ids"])
    if not token:
        raise Denied(names["no token"])
    authorization = record.authorization(auth_rrpid)
    if authorization is None or not cap_token_fits(gateway, token, record, authorization):
        raise Denied(names["token"])
    if authorization.state is not OpState.GRANTED:
        raise Denied(names["authorization"])
    return record, authorization


def _with_tokens(items: list[Any], tokens: list[bytes]) -> list[tuple[Any, bytes]]:
    if len(items) != len(tokens):
        raise ProtocolError("one token per item", code=ErrorCode.decodingFailure)
    return list(zip(items, tokens, strict=True))


def _within(amount: CurrencyAmount, limit: CurrencyAmount, used: CurrencyAmount) -> None:
    """More than nothing, and with what was used before no more than the limit."""
    if amount.currency != limit.currency or amount.amount == 0 or is_finer(amount, limit):
        raise Denied("amountError")
    if amount.value + used.value > limit.value:
        raise Denied("amountError")


def _advise(
    gateway: Gateway,
    transaction: Transaction,
    kind: AdviceKind,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    amount: CurrencyAmount,
    *numbers: int | None,
) -> None:
    """Tell the bank.  The reference names the thing done, so that telling twice is telling once."""
    name = "/".join([kind.name, *(str(number) for number in numbers if number is not None)])
    about = records.bank_reference(gateway.party, record.merchant, authorization.auth_rrpid)
    outbox.put(transaction, Advice(kind, about + name.encode(), about, amount))
