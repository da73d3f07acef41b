"""AuthReq and AuthRevReq at the gateway (set-protocol.md §4.12–4.14, §4.17, §4.18)."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from pki.der import encode, general_time, replace
from setproto.amounts import AMOUNT_LIMIT, CurrencyAmount
from setproto.messages.codes import AuthCode, AuthRevCode, CapCode
from setproto.messages.common import PartyID, Role
from setproto.messages.payment import (
    AuthHeader,
    AuthReqData,
    AuthResBaggage,
    AuthResData,
    AuthResPayload,
    AuthRevReqData,
    AuthRevResData,
    CapResPayload,
    ResponseData,
)
from setproto.roles.credentials import party_of
from setproto.roles.gateway import outbox, records
from setproto.roles.gateway.answer import Answer
from setproto.roles.gateway.batches import Denied
from setproto.roles.gateway.cancelling import cancel
from setproto.roles.gateway.clearing import capture
from setproto.roles.gateway.instruction import (
    Instruction,
    Refused,
    auth_token,
    cap_token,
    cap_token_fits,
    check_limits,
    instruction_of,
)
from setproto.roles.gateway.records import AuthorizationRecord, PurchaseRecord
from setproto.roles.operations import GATEWAY_OPERATION, OpSignal, OpState, is_finer, live_sum
from setproto.roles.party import Received
from setproto.roles.ports import (
    Advice,
    AdviceKind,
    AuthorizationDecision,
    AuthorizationRequest,
    Event,
    EventKind,
    Transaction,
)

if TYPE_CHECKING:
    from setproto.roles.gateway import Gateway


class AskBank(Exception):
    """Internal: the bank is to be asked this outside the transaction, and the request handled again with the answer."""

    def __init__(self, request: AuthorizationRequest) -> None:
        super().__init__()
        self.request = request


def answered(received: Received[AuthReqData], decision: AuthorizationDecision) -> Received[AuthReqData]:
    """The request with what the bank said to it."""
    return dataclasses.replace(received, baggage=dataclasses.replace(received.baggage, decision=decision))


def on_auth_req(gateway: Gateway, transaction: Transaction, received: Received[AuthReqData]) -> Answer:
    """§4.12 from step 2.  The answer carries a code, whatever it is; a sale is captured in the same breath.

    AskBank, before anything is changed, if the bank has to be asked first.
    """
    body = received.body
    tags, payload = body.auth_req_item.auth_tags, body.auth_req_item.auth_req_payload
    merchant = party_of(received.signed_by(), Role.merchant)
    earlier = records.find(transaction, merchant, tags.trans_ids.xid)
    code, approval, sale, baggage = AuthCode.approved, None, None, AuthResBaggage()
    try:
        if records.cancelled(transaction, merchant, tags.auth_rr_tags.rrpid):
            raise Refused(AuthCode.noReply, "given up by the merchant")
        token = received.baggage.token
        if token is not None and records.cancelled(transaction, merchant, token.auth_rrpid):
            raise Refused(AuthCode.piPreviouslyUsed, "a token of what was given up")  # its generation is another's now
        instruction = instruction_of(gateway, received.baggage, body, earlier)
        record = _claim(transaction, instruction, body, merchant, earlier)
        check_limits(gateway, record)
        _check_amount(instruction, record, body)
        if instruction.card.expiry.reveal() < gateway.clock().strftime("%Y%m"):
            raise Refused(AuthCode.expiredCard, "the card has expired")
        decision = received.baggage.decision
        if decision is None:
            raise AskBank(_question(gateway, instruction, record, body))
        code, approval = decision.code, decision.approval_code
    except Refused as refused:
        code = refused.code
    else:
        auth_rrpid = tags.auth_rr_tags.rrpid
        signal = OpSignal.GRANTED if code is AuthCode.approved else OpSignal.REFUSED
        authorization = AuthorizationRecord(
            auth_rrpid=auth_rrpid,
            state=GATEWAY_OPERATION.next(OpState.ASKED, signal),
            amount=payload.auth_req_amt,
            generation=record.generation,
            prev_auth=record.prev_auth,
            captures=[],
        )
        record = record.having(authorization)
        if code is AuthCode.approved:
            record = replace(record, generation=record.generation + 1, prev_auth=general_time(gateway.clock()))
            more = payload.subsequent_auth_ind or record.install_recur_data is not None
            baggage = AuthResBaggage(
                cap_token=cap_token(gateway, record, authorization),
                auth_token=auth_token(gateway, record, auth_rrpid, instruction) if more else None,
                acq_card_msg=gateway.message_for_cardholder(instruction, tags.trans_ids.xid, auth_rrpid),
            )
        if body.capture_now and code is AuthCode.approved:
            record, sale = _capture_now(gateway, transaction, record, authorization, body)
        records.keep(transaction, record)
    answer = partial(
        AuthResData,
        auth_tags=tags,
        auth_res_payload=AuthResPayload(
            auth_header=AuthHeader(
                auth_amt=payload.auth_req_amt,
                auth_code=code,
                response_data=ResponseData(approval_code=approval),
            ),
            cap_res_payload=sale,
        ),
    )
    event = Event(EventKind.AUTHORIZATION, tags.trans_ids.xid, code)
    return Answer(answer, (event,), encode(baggage))


def _claim(
    transaction: Transaction,
    instruction: Instruction,
    body: AuthReqData,
    merchant: PartyID,
    earlier: PurchaseRecord | None,
) -> PurchaseRecord:
    """Use the instruction.  A PI authorises once, and again only if nothing that it authorised stands (PX-7)."""
    item = body.auth_req_item
    if instruction.generation > 0 and earlier is not None:
        return earlier  # a token: which one was checked when it was opened
    if earlier is not None:
        if earlier.hpi_data != instruction.hpi_data or any(True for _ in earlier.live()):
            raise Refused(AuthCode.piPreviouslyUsed, "authorised before")
        return earlier
    if transaction.get(records.USED_PI, instruction.hpi_data) is not None:
        raise Refused(AuthCode.piPreviouslyUsed, "authorised before")
    return PurchaseRecord(
        trans_ids=item.auth_tags.trans_ids,
        merchant=merchant,
        hpi_data=instruction.hpi_data,
        purch_amt=instruction.purch_amt,
        install_recur_data=item.auth_req_payload.install_recur_data,
        generation=0,
        authorizations=[],
    )


def _check_amount(instruction: Instruction, record: PurchaseRecord, body: AuthReqData) -> None:
    """Acquirer policy (§4.12 step 9): never more than the cardholder signed, in one go or together.

    One authorisation is for exactly what was signed; shares of it are announced as such (subsequentAuthInd, a
    token, instalments).  Of recurring payments, each may be as much as was signed.
    """
    payload, signed = body.auth_req_item.auth_req_payload, instruction.purch_amt
    amount = payload.auth_req_amt
    if amount.currency != signed.currency or is_finer(amount, signed) or amount.exceeds(signed):
        raise Refused(AuthCode.amountError, "more than the cardholder signed, or in another currency")
    agreed = record.install_recur_data
    total = sum(authorization.amount.value for authorization in record.live()) + amount.value
    if agreed is not None and agreed.recurring is not None:
        if total > signed.with_amount(AMOUNT_LIMIT).value:
            raise Refused(AuthCode.amountError, "more in all than can be counted")
        return
    in_shares = payload.subsequent_auth_ind or instruction.generation > 0 or agreed is not None
    if not in_shares and not amount.same_value(signed):
        raise Refused(AuthCode.amountError, "not the amount that the cardholder signed")
    if total > signed.value:
        raise Refused(AuthCode.amountError, "more in all than the cardholder signed")


def _question(
    gateway: Gateway, instruction: Instruction, record: PurchaseRecord, body: AuthReqData
) -> AuthorizationRequest:
    item = body.auth_req_item
    return AuthorizationRequest(
        reference=records.bank_reference(gateway.party, record.merchant, item.auth_tags.auth_rr_tags.rrpid),
        card=instruction.card,
        amount=item.auth_req_payload.auth_req_amt,
        merchant_id=record.merchant.name,
        xid=record.trans_ids.xid,
        trans_stain=instruction.trans_stain,
    )


def give_back(gateway: Gateway, transaction: Transaction, received: Received[AuthReqData]) -> None:
    """Reverse an approval that nothing in the records stands for: while the bank was asked, something else was decided.

    The request has its answer by now, so that the bank is never asked again under its reference.
    """
    decision, item = received.baggage.decision, received.body.auth_req_item
    if decision is None or decision.code is not AuthCode.approved:
        return
    merchant, rrpid = party_of(received.signed_by(), Role.merchant), item.auth_tags.auth_rr_tags.rrpid
    record = records.find(transaction, merchant, item.auth_tags.trans_ids.xid)
    if record is None or record.authorization(rrpid) is None:
        about = records.bank_reference(gateway.party, merchant, rrpid)
        nothing = item.auth_req_payload.auth_req_amt.with_amount(0)
        outbox.put(transaction, Advice(AdviceKind.REVERSAL, about + b"UNUSED", about, nothing))


def _capture_now(
    gateway: Gateway,
    transaction: Transaction,
    record: PurchaseRecord,
    authorization: AuthorizationRecord,
    body: AuthReqData,
) -> tuple[PurchaseRecord, CapResPayload]:
    """The capture half of a sale (§4.18)."""
    amount = authorization.amount
    batch_id = body.sale_detail.batch_id if body.sale_detail else None
    try:
        record, captured = capture(gateway, transaction, record, authorization, 1, amount, batch_id)
    except Denied as denied:
        return record, CapResPayload(cap_code=CapCode[denied.code], cap_amt=amount)
    return record, CapResPayload(
        cap_code=CapCode.success,
        cap_amt=amount,
        batch_id=captured.batch_id,
        batch_sequence_num=captured.batch_sequence_num,
    )


def on_auth_rev_req(gateway: Gateway, transaction: Transaction, received: Received[AuthRevReqData]) -> Answer:
    """§4.14: an authorisation stands for less, or no more; what was captured of it stays covered."""
    body, tokens = received.body, received.baggage.tokens
    merchant = party_of(received.signed_by(), Role.merchant)
    code, baggage = _reverse(gateway, transaction, body, tokens[0], merchant)
    answer = partial(
        AuthRevResData,
        auth_rev_rr_tags=body.auth_rev_rr_tags,
        trans_ids=body.trans_ids,
        auth_rrpid=body.auth_rrpid,
        auth_rev_code=code,
        auth_new_amt=body.auth_new_amt,
    )
    return Answer(answer, (Event(EventKind.REVERSAL, body.trans_ids.xid, code),), encode(baggage))


def _reverse(
    gateway: Gateway, transaction: Transaction, body: AuthRevReqData, token: bytes, merchant: PartyID
) -> tuple[AuthRevCode, AuthResBaggage]:
    nothing = AuthResBaggage()
    if not token and body.auth_new_amt.amount == 0:
        return cancel(gateway, transaction, body, merchant), nothing
    record = records.find(transaction, merchant, body.trans_ids.xid)
    authorization = None if record is None else record.authorization(body.auth_rrpid)
    if record is None or authorization is None or not records.is_same(record, body.trans_ids):
        return AuthRevCode.invalidTransaction, nothing
    if not token:
        return AuthRevCode.missingCapToken, nothing
    if authorization.state is not OpState.GRANTED or not cap_token_fits(gateway, token, record, authorization):
        return AuthRevCode.invalidCapToken, nothing
    new, old = body.auth_new_amt, authorization.amount
    if new.currency != old.currency or is_finer(new, old):
        return AuthRevCode.amountError, nothing
    if new.value >= old.value or new.value < live_sum(authorization.captures, old).value:
        return AuthRevCode.invalidAmount, nothing
    new = old.with_amount(new.value // old.step)
    signal = OpSignal.REVERSED if new.amount == 0 else OpSignal.REDUCED
    authorization = replace(authorization, state=GATEWAY_OPERATION.next(authorization.state, signal), amount=new)
    record = record.having(authorization)
    records.keep(transaction, record)
    name, about = (
        records.bank_reference(gateway.party, merchant, rrpid)
        for rrpid in (body.auth_rev_rr_tags.rrpid, authorization.auth_rrpid)
    )
    outbox.put(transaction, Advice(AdviceKind.REVERSAL, name, about, new))
    left: CurrencyAmount | None = new if new.amount else None
    return AuthRevCode.approved, AuthResBaggage(
        cap_token=None if left is None else cap_token(gateway, record, authorization)
    )
