"""The merchant: answers wallets, forwards payment instructions it cannot open, and captures what was authorised.

Towards cardholders the processing rules of set-protocol.md §4.5, §4.8–4.10 are here; towards the gateway,
``requests`` has one mechanism for all.  State is one record per order (LID-M), purchase (XID) and request (RRPID).
No type in this package can hold a card number: the payment instruction is octets that are sealed to the gateway,
and what comes back is codes and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from pki import CertificateKind, PathValidator, ValidatedCertificate
from pki.der import decode, general_time, replace
from setproto.amounts import CurrencyAmount, Ratio
from setproto.errors import ErrorCode, ProtocolError, SignatureFailure, UsageError
from setproto.messages.batch import BatchStatus, ReturnTransactionDetail
from setproto.messages.codes import AuthCode, BatchOperation, CapCode, CapRevOrCredCode, CompletionCode
from setproto.messages.common import InstallRecurData, PartyID, Role, TransIDs
from setproto.messages.oids import ID_OI_DATA
from setproto.messages.purchase import (
    MAX_PAYLOADS,
    AuthStatus,
    CapStatus,
    CreditStatus,
    InqReqData,
    OIData,
    PInitReq,
    PInitResData,
    PResData,
    PResPayload,
    Results,
)
from setproto.messages.registry import (
    AUTH_REQ,
    INQ_REQ,
    INQ_RES,
    PINIT_REQ,
    PINIT_RES,
    PREQ,
    PRES,
    MessageType,
)
from setproto.messages.wrapper import MessageIDs, Wire
from setproto.roles.answers import ANSWERS, AnswerRecord, answer_key, keep_answer
from setproto.roles.cardholder import hod_digest
from setproto.roles.credentials import Credentials, label_party, party_of
from setproto.roles.endpoint import Endpoint
from setproto.roles.merchant import records, requests, responses
from setproto.roles.merchant.records import (
    TABLE,
    AuthorizationRecord,
    OrderedRecord,
    OrderRecord,
    PurchaseRecord,
    RequestRecord,
    Signal,
    State,
    granted,
    numbered,
)
from setproto.roles.operations import LIVE, OpState, is_finer, live_sum
from setproto.roles.party import Received, same_purchase
from setproto.roles.ports import Clock, Event, EventKind, Outgoing, RandomBytes, Reply, Store, Transaction


class Merchant(Endpoint):
    """One merchant at one brand and acquirer."""

    def __init__(
        self,
        credentials: Credentials,
        validator: PathValidator,
        store: Store,
        *,
        cert_pe: bytes,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
        category: str = "5999",
        journal: bool = False,
    ) -> None:
        """``cert_pe``: the key-exchange certificate (DER) of the acquirer's gateway; ``category``: ISO 18245."""
        super().__init__(credentials, validator, store, clock=clock, random=random, held=held, journal=journal)
        self._cert_pe = cert_pe
        self.category = category

    # --- orders -----------------------------------------------------------------------------------

    def add_order(
        self,
        lid_m: bytes,
        description: bytes,
        amount: CurrencyAmount,
        install_recur_data: InstallRecurData | None = None,
        *,
        first_amount: CurrencyAmount | None = None,
        capture_now: bool = False,
    ) -> None:
        """Remember an order that was agreed on, and how the money is wanted.

        ``first_amount``: authorise only this much at first (split shipment, instalments); ``capture_now``: make it
        a sale.  UsageError if the LID-M is in use or has not 1 to 20 octets.
        """
        if not 1 <= len(lid_m) <= 20:
            raise UsageError("a LID-M has 1 to 20 octets")
        if first_amount is not None:
            _like(first_amount, amount)
        record = OrderRecord(
            lid_m=lid_m,
            description=description,
            amount=amount,
            install_recur_data=install_recur_data,
            first_amount=first_amount,
            capture_now=capture_now,
        )
        with self.store.transaction() as transaction:
            if transaction.get(records.ORDERS, lid_m) is not None:
                raise UsageError("this LID-M is in use")
            records.keep_order(transaction, record)

    def purchase(self, xid: bytes) -> PurchaseRecord:
        """The record of a purchase.  UsageError if there is none."""
        with self.store.transaction() as transaction:
            return records.purchase(transaction, xid)

    # --- what the merchant asks of its gateway ----------------------------------------------------
    # Each makes a request and stores it as sent.  UsageError if it makes no sense now, or another one is outstanding;
    # CertificateRefused if the gateway's certificate is no longer good.
    # Operations are named by number, counted from 1; without one, the latest that counts is meant.

    def authorize(self, xid: bytes, amount: CurrencyAmount, *, more: bool = False) -> Outgoing:
        """Authorise again, with the gateway's token: the next shipment, instalment or recurring payment (§4.17)."""
        with self.store.transaction() as transaction:
            record = self._ready(transaction, xid)
            if record.ordered is None or record.auth_token is None:
                raise UsageError("nothing to authorise again")
            order = records.order(transaction, record.trans_ids.lid_m)
            _like(amount, order.amount)
            token = record.auth_token
            return self.begun(
                transaction,
                requests.auth_req(self, transaction, record, record.ordered, order, amount, token, more=more),
            )

    def reverse(
        self, xid: bytes, new_amount: CurrencyAmount | None = None, *, authorization: int | None = None
    ) -> Outgoing:
        """Reduce an authorisation, or without an amount cancel it (§4.14)."""
        with self.store.transaction() as transaction:
            record = self._ready(transaction, xid)
            found = granted(record.authorizations, authorization)
            new = found.amount.with_amount(0) if new_amount is None else _like(new_amount, found.amount)
            return self.begun(transaction, requests.auth_rev_req(self, transaction, record, found, new))

    def capture(
        self,
        xid: bytes,
        amount: CurrencyAmount | None = None,
        *,
        authorization: int | None = None,
        batch_id: int | None = None,
    ) -> Outgoing:
        """Take what was authorised and not yet captured, or ``amount`` of it (§4.15).  UsageError if it is nothing."""
        with self.store.transaction() as transaction:
            record = self._ready(transaction, xid)
            found = granted(record.authorizations, authorization)
            left = found.amount.value - live_sum(found.captures, found.amount).value
            if amount is None and not left:
                sale = records.order(transaction, record.trans_ids.lid_m).capture_now
                raise UsageError(f"there is nothing left to take{': it was captured with the sale' if sale else ''}")
            wanted = (
                found.amount.with_amount(left // found.amount.step) if amount is None else _like(amount, found.amount)
            )
            return self.begun(transaction, requests.cap_req(self, transaction, record, found, wanted, batch_id))

    def reverse_capture(self, xid: bytes, *, authorization: int | None = None, capture: int | None = None) -> Outgoing:
        """Take a capture back, whole, while its batch is open (§4.16)."""
        with self.store.transaction() as transaction:
            record = self._ready(transaction, xid)
            found = granted(record.authorizations, authorization)
            return self.begun(
                transaction, requests.cap_rev_req(self, transaction, record, found, granted(found.captures, capture))
            )

    def credit(
        self,
        xid: bytes,
        amount: CurrencyAmount | None = None,
        *,
        authorization: int | None = None,
        capture: int | None = None,
        batch_id: int | None = None,
    ) -> Outgoing:
        """Give money back: all of a capture, or ``amount`` (§4.16)."""
        with self.store.transaction() as transaction:
            record = self._ready(transaction, xid)
            found = granted(record.authorizations, authorization)
            captured = granted(found.captures, capture)
            wanted = captured.amount if amount is None else _like(amount, captured.amount)
            return self.begun(
                transaction, requests.cred_req(self, transaction, record, found, captured, wanted, batch_id)
            )

    def reverse_credit(
        self,
        xid: bytes,
        *,
        authorization: int | None = None,
        capture: int | None = None,
        credit: int | None = None,
    ) -> Outgoing:
        """Take a credit back, whole, while its batch is open (§4.16)."""
        with self.store.transaction() as transaction:
            record = self._ready(transaction, xid)
            found = granted(record.authorizations, authorization)
            captured = granted(found.captures, capture)
            given = granted(captured.credits, credit)
            return self.begun(transaction, requests.cred_rev_req(self, transaction, record, found, captured, given))

    def batch(
        self,
        batch_id: int,
        operation: BatchOperation | None = None,
        *,
        totals: BatchStatus | None = None,
        details: ReturnTransactionDetail | None = None,
    ) -> Outgoing:
        """Open, purge or close a batch, or look at it (§4.19)."""
        with self.store.transaction() as transaction:
            return self.begun(
                transaction, requests.batch_admin_req(self, transaction, batch_id, operation, totals, details)
            )

    def ask_certificates(self) -> Outgoing:
        """Ask which key-exchange certificate the gateway wants used (§2.13)."""
        with self.store.transaction() as transaction:
            return self.begun(transaction, requests.pcert_req(self, transaction))

    def resend(self, xid: bytes) -> Outgoing:
        """The request that a purchase waits on, after a time-out.  UsageError if there is none."""
        with self.store.transaction() as transaction:
            record = records.purchase(transaction, xid)
            if record.outstanding is None:
                raise UsageError("nothing is outstanding")
            return self.begun(
                transaction, requests.ask_again(self, transaction, records.request(transaction, record.outstanding))
            )

    def repeat(self, rrpid: bytes) -> Outgoing:
        """Any request to the gateway again, by its RRPID: for those about batches and certificates."""
        with self.store.transaction() as transaction:
            return self.begun(transaction, requests.ask_again(self, transaction, records.request(transaction, rrpid)))

    def again(self, rrpid: bytes, patience: timedelta) -> Outgoing | None:
        """What to send now for a request: None once it is answered; its reversal, if it is an AuthReq that was made
        longer than ``patience`` ago, as ``give_up`` has it; else the same request."""
        with self.store.transaction() as transaction:
            request = records.request(transaction, rrpid)
            if not records.is_waiting(transaction, rrpid):
                return None
            if request.tag == AUTH_REQ.tag and request.xid is not None and request.target is not None:
                record = records.purchase(transaction, request.xid)
                asked = numbered(record.authorizations, request.target.authorization).date.as_datetime()
                if self.clock() - asked > patience:
                    return self._given_up(transaction, record, request)
            return self.begun(transaction, requests.ask_again(self, transaction, request))

    def give_up(self, xid: bytes) -> Outgoing:
        """Wait no longer for the answer to an AuthReq (§4.2): close the purchase as not authorised, and ask for a
        reversal of whatever became of the request.  An approval that comes later is not taken.  UsageError if no
        AuthReq is outstanding."""
        with self.store.transaction() as transaction:
            record = records.purchase(transaction, xid)
            request = None if record.outstanding is None else records.request(transaction, record.outstanding)
            if request is None or request.tag != AUTH_REQ.tag:
                raise UsageError("no authorisation is outstanding")
            return self._given_up(transaction, record, request)

    def _given_up(self, transaction: Transaction, record: PurchaseRecord, request: RequestRecord) -> Outgoing:
        target = None if request.target is None else request.target.authorization
        # The code of an issuer that did not answer: so it looks from here, whoever it was (§5.3).
        closed = replace(
            numbered(record.authorizations, target), code=AuthCode.noReply, date=general_time(self.clock())
        )
        records.mark_answered(transaction, request.rrpid)
        if closed.number == 1:
            self.begun(transaction, self.answer_preq(transaction, record.having(closed)))
        nothing = closed.amount.with_amount(0)
        return self.begun(transaction, requests.auth_rev_req(self, transaction, record, closed, nothing))

    def told(self, xid: bytes) -> Outgoing | None:
        """The answer to the PReq of a purchase, if there is one: signed for its cardholder, who may not be able to ask
        for it any more.  UsageError if there is no such purchase."""
        with self.store.transaction() as transaction:
            ordered = records.purchase(transaction, xid).ordered
            stored = None
            if ordered is not None:
                stored = transaction.get(ANSWERS, answer_key(ordered.cardholder, ordered.rrpid))
        outgoing = () if stored is None else decode(AnswerRecord, stored).outgoing()
        return next((message for message in outgoing if message.to is Role.cardholder), None)

    @staticmethod
    def _ready(transaction: Transaction, xid: bytes) -> PurchaseRecord:
        record = records.purchase(transaction, xid)
        if record.outstanding is not None:
            raise UsageError("another request is outstanding: send it again first")
        return record

    # --- what comes in ----------------------------------------------------------------------------

    def read(self, wire: Wire) -> Received[Any]:
        """From cardholders: PInitReq, PReq, InqReq.  From the gateway: any response."""
        if wire.type is None or wire.type.name not in (*self._HANDLERS, *responses.RESPONSE_HANDLERS):
            raise ProtocolError("not for a merchant", code=ErrorCode.messageNotSupported)
        return self.receive(wire, wire.type)

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """As ``read``."""
        handler = None if wire.type is None else self._HANDLERS.get(wire.type.name)
        if handler is None:
            return responses.on_response(self, transaction, wire, received)
        return self.once(transaction, wire, received, lambda: handler(self, transaction, received))

    def refuse(self, failure: ProtocolError, wire: Wire | None, data: bytes) -> Reply:
        """A bad response of the gateway is logged and dropped; there is no arguing with it (§4.1)."""
        reply = super().refuse(failure, wire, data)
        if wire is not None and wire.type is not None and self._author(wire.type) is Role.gateway:
            return Reply(events=reply.events)
        return reply

    def _on_pinit_req(self, transaction: Transaction, received: Received[PInitReq]) -> Reply:
        """§4.5."""
        body = received.body
        if body.brand_id != self.party.brand:
            raise ProtocolError("brand not accepted here", code=ErrorCode.invalidCertificate)
        records.order(transaction, body.lid_m)
        gateway = self.gateway(transaction)
        trans_ids = TransIDs(
            lid_c=body.lid_c,
            lid_m=body.lid_m,
            xid=self.random(20),
            preq_date=general_time(self.clock()),
            language=body.language,
        )
        record = PurchaseRecord(state=TABLE.initial, trans_ids=trans_ids, chall_m=self.random(20), authorizations=[])
        over = self.header(body.rrpid, MessageIDs.of(trans_ids))
        answer = PInitResData(
            head=self.head(PINIT_RES.content_type, label_party(Role.cardholder, body.brand_id, body.lid_c), over),
            request_digest=received.digest,
            trans_ids=trans_ids,
            rrpid=body.rrpid,
            chall_c=body.chall_c,
            chall_m=record.chall_m,
            gateway_id=party_of(gateway, Role.gateway),
            pe_thumb=gateway.thumbprint,
            thumbs=body.thumbs,
        )
        records.keep(transaction, record)
        also = (gateway.der, *gateway.chain)
        return Reply((self.protect(PINIT_RES, over, answer, peer_holds=body.thumbs, inform=True, also=also).outgoing,))

    def _on_preq(self, transaction: Transaction, received: Received[OIData]) -> Reply:
        """§4.8: the signature over the order is verified already; is it the order that was agreed on?"""
        body = received.body
        record = self._found(transaction, body.trans_ids)
        if body.chall_m != record.chall_m:
            raise ProtocolError("not the challenge of PInitRes", code=ErrorCode.challengeMismatch)
        gateway = self.gateway(transaction)
        if body.brand_id != self.party.brand or body.merchant_id != self.party:
            raise ProtocolError("ordered from another merchant or brand", code=ErrorCode.wrongRecipient)
        if body.gateway_id != party_of(gateway, Role.gateway) or body.pe_thumb != gateway.thumbprint:
            raise ProtocolError("paid through another gateway", code=ErrorCode.wrongRecipient)
        if record.ordered is not None:
            raise ProtocolError("this purchase has its order already", code=ErrorCode.unknownXID)
        signer = received.signed_by()
        ordered = OrderedRecord(
            cardholder=party_of(signer, Role.cardholder),
            certificate=signer.der,
            rrpid=body.rrpid,
            chall_c=body.chall_c,
            content=received.digest,
            hoi_data=received.parts[ID_OI_DATA],
            hod=body.hod,
        )
        order = records.order(transaction, record.trans_ids.lid_m)
        event = Event(EventKind.ORDER_RECEIVED, body.trans_ids.xid)
        hod = hod_digest(order.description, order.amount, body.od_salt, order.install_recur_data)
        # The extensions of an order are agreed on with it; none are in this version.
        if hod != body.hod or body.od_ext_oids or self._is_taken(transaction, order):
            record = replace(record, state=TABLE.next(record.state, Signal.OTHER_ORDER), ordered=ordered)
            records.keep(transaction, record)
            return Reply((self._pres(record, ordered),), (event,))
        record = replace(
            record,
            state=TABLE.next(record.state, Signal.ORDER),
            ordered=ordered,
            purch_amt=order.amount,
        )
        records.keep_order(transaction, replace(order, xid=record.trans_ids.xid))
        first = order.first_amount or order.amount
        # Instalments and recurring payments go on by themselves; only a share of an order has to be announced.
        more = order.first_amount is not None and order.install_recur_data is None
        outgoing = requests.auth_req(self, transaction, record, ordered, order, first, received.baggage, more=more)
        return Reply((outgoing,), (event,))

    def _on_inq_req(self, transaction: Transaction, received: Received[InqReqData]) -> Reply:
        """§4.10: whoever ordered may ask, with the certificate that ordered."""
        body, signer = received.body, received.signed_by()
        stored = transaction.get(records.PURCHASES, body.trans_ids.xid)
        payloads = [PResPayload(completion_code=CompletionCode.orderNotReceived)]
        if stored is not None:
            record = self._found(transaction, body.trans_ids)
            if record.ordered is not None:
                if record.ordered.certificate != signer.der:
                    raise SignatureFailure("not the certificate that ordered")
                payloads = payloads_of(record)
        question = (body.rrpid, body.chall_c2, received.digest)
        cardholder = party_of(signer, Role.cardholder)
        return Reply((self._answer(INQ_RES, body.trans_ids, question, cardholder, payloads),))

    _HANDLERS: Final[dict[str, Callable[[Merchant, Transaction, Any], Reply]]] = {
        PINIT_REQ.name: _on_pinit_req,
        PREQ.name: _on_preq,
        INQ_REQ.name: _on_inq_req,
    }
    """Request of a cardholder → what to do."""

    # --- building answers to the cardholder -------------------------------------------------------

    def _pres(self, record: PurchaseRecord, ordered: OrderedRecord) -> Outgoing:
        """The answer to the PReq, from the record (§4.9)."""
        question = (ordered.rrpid, ordered.chall_c, ordered.content)
        return self._answer(PRES, record.trans_ids, question, ordered.cardholder, payloads_of(record))

    def _answer(
        self,
        message_type: MessageType[PResData],
        trans_ids: TransIDs,
        question: tuple[bytes, bytes, bytes],
        cardholder: PartyID,
        payloads: list[PResPayload],
    ) -> Outgoing:
        """PRes or InqRes to a question: its RRPID, its challenge and the digest of its content."""
        rrpid, challenge, content = question
        over = self.header(rrpid, MessageIDs.of(trans_ids))
        body = PResData(
            head=self.head(message_type.content_type, cardholder, over),
            request_digest=content,
            trans_ids=trans_ids,
            rrpid=rrpid,
            chall_c=challenge,
            pres_payload_seq=payloads,
        )
        return self.protect(message_type, over, body).outgoing

    def answer_preq(self, transaction: Transaction, record: PurchaseRecord) -> Outgoing:
        """The PRes to the PReq of a purchase, kept as the answer to it if it is repeated."""
        if record.ordered is None:
            raise UsageError("nothing was ordered")
        ordered = record.ordered
        pres = self._pres(record, ordered)
        keep_answer(transaction, answer_key(ordered.cardholder, ordered.rrpid), ordered.content, (pres,))
        return pres

    # --- the gateway, the records -----------------------------------------------------------------

    def gateway(self, transaction: Transaction) -> ValidatedCertificate:
        """Cert-PE of this merchant's gateway, valid now: the one configured, or named by it since."""
        certificate = transaction.get(records.CERT_PE, b"") or self._cert_pe
        return self.validated(certificate, CertificateKind.GATEWAY_EXCHANGE, self.held)

    def gateway_id(self, transaction: Transaction) -> PartyID:
        """Who this merchant's gateway is."""
        return party_of(self.gateway(transaction), Role.gateway)

    @staticmethod
    def _is_taken(transaction: Transaction, order: OrderRecord) -> bool:
        """Whether another purchase pays for this order, or has paid."""
        return order.xid is not None and not records.purchase(transaction, order.xid).has_failed

    @staticmethod
    def _found(transaction: Transaction, trans_ids: TransIDs) -> PurchaseRecord:
        """The purchase that a cardholder speaks of: XID and both local identifiers agree (§4.4)."""
        try:
            record = records.purchase(transaction, trans_ids.xid)
        except UsageError:
            raise ProtocolError("no such purchase", code=ErrorCode.unknownXID) from None
        if not same_purchase(trans_ids, record.trans_ids):
            raise ProtocolError("identifiers do not belong together", code=ErrorCode.unknownLID)
        return record


def _like(amount: CurrencyAmount, order: CurrencyAmount) -> CurrencyAmount:
    """``amount``, if it is money like that of the order.  UsageError if its currency differs or it is finer."""
    if amount.currency != order.currency or is_finer(amount, order):
        raise UsageError(f"{amount} cannot be a part of {order}")
    return amount


# --- what a cardholder is told --------------------------------------------------------------------


def payloads_of(record: PurchaseRecord) -> list[PResPayload]:
    """One payload per authorisation that was answered, the latest of them; what was taken back is not told (§2.7)."""
    if record.state is State.REJECTED:
        return [PResPayload(completion_code=CompletionCode.orderRejected)]
    payloads = [
        _payload(record, authorization)
        for authorization in record.authorizations
        if authorization.code is not None and authorization.state is not OpState.REVERSED
    ]
    return payloads[-MAX_PAYLOADS:] or [PResPayload(completion_code=CompletionCode.orderReceived)]


def _payload(record: PurchaseRecord, authorization: AuthorizationRecord) -> PResPayload:
    purch_amt = record.purch_amt
    if purch_amt is None or authorization.code is None:
        return PResPayload(completion_code=CompletionCode.orderReceived)
    if purch_amt.amount == 0:
        return PResPayload(completion_code=CompletionCode.meaninglessRatio)
    captures = [capture for capture in authorization.captures if capture.state in LIVE]
    credits = [credit for capture in captures for credit in capture.credits if credit.state in LIVE]
    completion = CompletionCode.authorizationPerformed
    if credits:
        completion = CompletionCode.creditPerformed
    elif captures:
        completion = CompletionCode.capturePerformed
    cap_status = None
    if captures:
        cap_status = CapStatus(
            cap_date=captures[-1].date,
            cap_code=CapCode.success,
            cap_ratio=Ratio.of(live_sum(captures, purch_amt), purch_amt),
        )
    cred_status = [
        CreditStatus(
            credit_date=credit.date,
            cap_rev_or_cred_code=CapRevOrCredCode.success,
            credit_ratio=Ratio.of(credit.amount, purch_amt),
        )
        for credit in credits
    ]
    results = Results(
        acq_card_msg=record.acq_card_msg,
        auth_status=AuthStatus(
            auth_date=authorization.date,
            auth_code=authorization.code,
            auth_ratio=Ratio.of(authorization.amount, purch_amt),
        ),
        cap_status=cap_status,
        cred_status_seq=cred_status or None,
    )
    return PResPayload(completion_code=completion, results=results)
