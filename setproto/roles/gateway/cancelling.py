"""What a merchant has given up: an AuthReq to which it had no answer (set-protocol.md §4.2, §4.14).

It cancels it by an AuthRevReq for 0 without a CapToken, since the token is in the answer.  It is the merchant's
signature that says which AuthReq is meant, so nobody else's can be cancelled.  Whatever became of the request is
undone: here, at the bank, also what the bank approved without this gateway having come to know of it, and what the
request would do if it arrived only now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pki.der import replace
from setproto.messages.codes import AuthRevCode
from setproto.messages.common import PartyID
from setproto.messages.payment import AuthRevReqData
from setproto.messages.registry import CAP_REV_REQ, CRED_REQ
from setproto.roles.gateway import outbox, records
from setproto.roles.gateway.batches import Denied
from setproto.roles.gateway.clearing import clear
from setproto.roles.gateway.records import AuthorizationRecord, PurchaseRecord
from setproto.roles.operations import GATEWAY_OPERATION, OpSignal, OpState
from setproto.roles.ports import Advice, AdviceKind, Transaction

if TYPE_CHECKING:
    from setproto.roles.gateway import Gateway


def cancel(gateway: Gateway, transaction: Transaction, body: AuthRevReqData, merchant: PartyID) -> AuthRevCode:
    """``approved``: nothing stands of the AuthReq, and nothing ever will; also if it never came, or was declined.

    ``invalidTransaction``: it is of another purchase; ``invalidAmount``: something was credited of it already.
    """
    record = records.find(transaction, merchant, body.trans_ids.xid)
    if record is not None and not records.is_same(record, body.trans_ids):
        return AuthRevCode.invalidTransaction
    authorization = None if record is None else record.authorization(body.auth_rrpid)
    held = authorization is None  # perhaps, at the bank: this gateway may have been killed before it took note
    if record is not None and authorization is not None and authorization.state is OpState.GRANTED:
        try:
            held = _undo(gateway, transaction, record, authorization)
        except Denied:
            return AuthRevCode.invalidAmount
    if held:
        name, about = (
            records.bank_reference(gateway.party, merchant, rrpid)
            for rrpid in (body.auth_rev_rr_tags.rrpid, body.auth_rrpid)
        )
        outbox.put(transaction, Advice(AdviceKind.REVERSAL, name, about, body.auth_new_amt))
    records.keep_cancelled(transaction, merchant, body.auth_rrpid)
    return AuthRevCode.approved


def _undo(
    gateway: Gateway, transaction: Transaction, record: PurchaseRecord, authorization: AuthorizationRecord
) -> bool:
    """Take back the capture of a sale, or give it back if its batch is closed; whether the bank still holds the money
    then.  Denied if neither can be."""
    taken = [captured for captured in authorization.captures if captured.state is OpState.GRANTED]
    if len(taken) > 1:
        raise Denied("amountError")  # that takes tokens: the merchant has its answer
    for captured in taken:
        try:
            record = clear(gateway, transaction, CAP_REV_REQ, record, authorization, captured, captured.amount)
        except Denied:
            clear(gateway, transaction, CRED_REQ, record, authorization, captured, captured.amount, 1)
            return False
    standing = record.authorization(authorization.auth_rrpid) or authorization
    reversed_ = replace(standing, state=GATEWAY_OPERATION.next(standing.state, OpSignal.REVERSED))
    if record.generation == standing.generation + 1:  # it was the last: the token that it used is good again
        record = replace(record, generation=standing.generation, prev_auth=standing.prev_auth)
    records.keep(transaction, record.having(reversed_))
    return True
