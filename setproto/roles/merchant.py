"""The merchant: answers wallets, forwards payment instructions it cannot open, and captures what was authorised.

Processing rules of set-protocol.md §4.5, §4.8–4.11, §4.13.  State is one record per purchase, named by XID, and one
per order, named by LID-M.  No type in this module can hold a card number: the payment instruction is octets that
are sealed to the gateway, and what comes back is a code and a token.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pki import CertificateKind, PathValidator, ValidatedCertificate
from pki.der import Implicit, decode, encode, general_time, sequence, value_set
from setproto.amounts import CurrencyAmount, Ratio
from setproto.errors import ErrorCode, ProtocolError, SignatureFailure, UsageError
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
from setproto.messages.common import Date, InstallRecurData, MerTermIDs, PartyID, Role, RRTags, TransIDs
from setproto.messages.oids import ID_OI_DATA
from setproto.messages.payment import (
    AuthReqData,
    AuthReqItem,
    AuthReqPayload,
    AuthResData,
    AuthTags,
    CapItem,
    CapPayload,
    CapReqData,
    CapResData,
    CapTokenSeq,
    CheckDigests,
    MerchData,
)
from setproto.messages.purchase import (
    AuthStatus,
    CapStatus,
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
    AUTH_RES,
    CAP_REQ,
    CAP_RES,
    INQ_REQ,
    INQ_RES,
    PINIT_REQ,
    PINIT_RES,
    PREQ,
    PRES,
    MessageType,
)
from setproto.messages.wrapper import MessageIDs, Wire
from setproto.roles.cardholder import hod_digest, lid_c_party
from setproto.roles.endpoint import (
    Credentials,
    Endpoint,
    Received,
    answer_key,
    baggage_digest,
    keep_answer,
    party_of,
    same_purchase,
)
from setproto.roles.ports import Clock, Event, EventKind, Outgoing, RandomBytes, Reply, Store, Transaction
from setproto.roles.table import TransitionTable

ORDERS = "orders"
PURCHASES = "purchases"
XID_BY_RRPID = "xid_by_rrpid"


@value_set(int)
class State(enum.IntEnum):
    """Where a purchase stands at the merchant."""

    INITIALISED = 1
    REJECTED = 2
    AUTH_SENT = 3
    DECLINED = 4
    AUTHORIZED = 5
    CAP_SENT = 6
    CAPTURED = 7


class Signal(enum.Enum):
    """What moves it."""

    ORDER = "PReq for the order that was agreed"
    OTHER_ORDER = "PReq for another order"
    APPROVED = "AuthRes, approved"
    NOT_APPROVED = "AuthRes, not approved"
    CAPTURE = "the merchant captures"
    CAPTURED = "CapRes, success"
    NOT_CAPTURED = "CapRes, not captured"


_S, _E = State, Signal
TABLE = TransitionTable(
    "merchant",
    State.INITIALISED,
    {
        (_S.INITIALISED, _E.ORDER): _S.AUTH_SENT,
        (_S.INITIALISED, _E.OTHER_ORDER): _S.REJECTED,
        (_S.AUTH_SENT, _E.APPROVED): _S.AUTHORIZED,
        (_S.AUTH_SENT, _E.NOT_APPROVED): _S.DECLINED,
        (_S.AUTHORIZED, _E.CAPTURE): _S.CAP_SENT,
        (_S.CAP_SENT, _E.CAPTURED): _S.CAPTURED,
        (_S.CAP_SENT, _E.NOT_CAPTURED): _S.AUTHORIZED,
    },
)
FAILED = (State.REJECTED, State.DECLINED)
"""States after which the same order may be paid by another purchase, for example with another card."""


@sequence
class OrderRecord:
    """What the shop and the customer agreed on, outside this protocol."""

    lid_m: bytes
    description: bytes
    amount: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    xid: Annotated[bytes | None, Implicit(1)] = None
    """The purchase that pays for it: one at a time (PU-15)."""


@sequence
class OrderedRecord:
    """What the cardholder signed for the merchant, and the sealed rest."""

    cardholder: PartyID
    certificate: bytes
    rrpid: bytes
    chall_c: bytes
    content: bytes
    hoi_data: bytes
    hod: bytes
    pi: bytes
    """DER of the PI, sealed to the gateway."""


@sequence
class AuthRecord:
    """An authorisation: the request as sent, and the answer once it is there."""

    rrpid: bytes
    content: bytes
    request: bytes
    amount: CurrencyAmount
    date: Annotated[Date | None, Implicit(0)] = None
    code: AuthCode | None = None
    cap_token: Annotated[bytes | None, Implicit(1)] = None


@sequence
class CapRecord:
    """A capture: likewise."""

    rrpid: bytes
    content: bytes
    request: bytes
    amount: CurrencyAmount
    date: Annotated[Date | None, Implicit(0)] = None
    code: CapCode | None = None


@sequence
class PurchaseRecord:
    """Everything the merchant knows about a purchase."""

    state: State
    trans_ids: TransIDs
    chall_m: bytes
    ordered: Annotated[OrderedRecord | None, Implicit(0)] = None
    authorization: Annotated[AuthRecord | None, Implicit(1)] = None
    capture: Annotated[CapRecord | None, Implicit(2)] = None


class Merchant(Endpoint):
    """One merchant at one brand and acquirer."""

    default_peer = Role.cardholder

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
    ) -> None:
        """``cert_pe``: the key-exchange certificate (DER) of the acquirer's gateway; ``category``: ISO 18245."""
        super().__init__(credentials, validator, store, clock=clock, random=random, held=held)
        self._cert_pe = cert_pe
        self._category = category

    # --- what the merchant does -------------------------------------------------------------------

    def add_order(
        self,
        lid_m: bytes,
        description: bytes,
        amount: CurrencyAmount,
        install_recur_data: InstallRecurData | None = None,
    ) -> None:
        """Remember an order that was agreed on.  UsageError if the LID-M is in use."""
        record = OrderRecord(lid_m=lid_m, description=description, amount=amount, install_recur_data=install_recur_data)
        with self.store.transaction() as transaction:
            if transaction.get(ORDERS, lid_m) is not None:
                raise UsageError("this LID-M is in use")
            transaction.put(ORDERS, lid_m, encode(record))

    def capture(self, xid: bytes, amount: CurrencyAmount | None = None) -> Outgoing:
        """Take the money that was authorised, or less: a CapReq.  Called again, the same octets again."""
        with self.store.transaction() as transaction:
            record = self._purchase(transaction, xid)
            if record.state is State.CAP_SENT and record.capture is not None:
                return Outgoing(Role.gateway, CAP_REQ.name, record.capture.request)
            authorization = record.authorization
            if not TABLE.allows(record.state, Signal.CAPTURE) or authorization is None:
                raise UsageError(f"nothing to capture in state {record.state.name}")
            wanted = authorization.amount if amount is None else amount
            outgoing, capture = self._cap_req(record, authorization, wanted)
            self._keep(transaction, replace(record, state=TABLE.next(record.state, Signal.CAPTURE), capture=capture))
            transaction.put(XID_BY_RRPID, capture.rrpid, xid)
            return outgoing

    def resend(self, xid: bytes) -> Outgoing:
        """The request that this purchase waits on, octet for octet, after a time-out.  UsageError if there is none."""
        with self.store.transaction() as transaction:
            record = self._purchase(transaction, xid)
        if record.state is State.AUTH_SENT and record.authorization is not None:
            return Outgoing(Role.gateway, AUTH_REQ.name, record.authorization.request)
        if record.state is State.CAP_SENT and record.capture is not None:
            return Outgoing(Role.gateway, CAP_REQ.name, record.capture.request)
        raise UsageError(f"nothing is outstanding in state {record.state.name}")

    def purchase(self, xid: bytes) -> PurchaseRecord:
        """The record of a purchase.  UsageError if there is none."""
        with self.store.transaction() as transaction:
            return self._purchase(transaction, xid)

    # --- what comes in ----------------------------------------------------------------------------

    def process(self, wire: Wire, transaction: Transaction) -> Reply:
        """From cardholders: PInitReq, PReq, InqReq.  From the gateway: AuthRes, CapRes."""
        if wire.type is PINIT_REQ:
            pinit = self.receive(wire, PINIT_REQ)
            return self.once(transaction, pinit, pinit.body.rrpid, lambda: self._on_pinit_req(transaction, pinit))
        if wire.type is PREQ:
            preq = self.receive(wire, PREQ)
            return self.once(transaction, preq, preq.body.rrpid, lambda: self._on_preq(transaction, preq))
        if wire.type is INQ_REQ:
            inquiry = self.receive(wire, INQ_REQ)
            return self.once(transaction, inquiry, inquiry.body.rrpid, lambda: self._on_inq_req(transaction, inquiry))
        if wire.type is AUTH_RES:
            return self._on_auth_res(transaction, self.receive(wire, AUTH_RES))
        if wire.type is CAP_RES:
            return self._on_cap_res(transaction, self.receive(wire, CAP_RES))
        raise ProtocolError("not for a merchant", code=ErrorCode.messageNotSupported)

    def refuse(self, failure: ProtocolError, wire: Wire | None, data: bytes) -> Reply:
        """A bad response of the gateway is logged and dropped; there is no arguing with it (§4.1)."""
        reply = super().refuse(failure, wire, data)
        if wire is not None and wire.type in (AUTH_RES, CAP_RES):
            return Reply(events=reply.events)
        return reply

    def _on_pinit_req(self, transaction: Transaction, received: Received[PInitReq]) -> Reply:
        """§4.5."""
        body = received.body
        if body.brand_id != self.party.brand:
            raise ProtocolError("brand not accepted here", code=ErrorCode.invalidCertificate)
        self._order(transaction, body.lid_m)
        gateway = self._gateway()
        trans_ids = TransIDs(
            lid_c=body.lid_c,
            lid_m=body.lid_m,
            xid=self.random(20),
            preq_date=general_time(self.clock()),
            language=body.language,
        )
        record = PurchaseRecord(state=TABLE.initial, trans_ids=trans_ids, chall_m=self.random(20))
        over = self.header(body.rrpid, MessageIDs.of(trans_ids))
        answer = PInitResData(
            head=self.head(PINIT_RES.content_type, lid_c_party(body.brand_id, body.lid_c), over),
            request_digest=received.digest,
            trans_ids=trans_ids,
            rrpid=body.rrpid,
            chall_c=body.chall_c,
            chall_m=record.chall_m,
            gateway_id=party_of(gateway, Role.gateway),
            pe_thumb=gateway.thumbprint,
            thumbs=body.thumbs,
        )
        self._keep(transaction, record)
        also = (gateway.der, *gateway.chain)
        return Reply((self.protect(PINIT_RES, over, answer, peer_holds=body.thumbs, also=also).outgoing,))

    def _on_preq(self, transaction: Transaction, received: Received[OIData]) -> Reply:
        """§4.8: the signature over the order is verified already; is it the order that was agreed on?"""
        body = received.body
        record = self._found(transaction, body.trans_ids)
        if body.chall_m != record.chall_m:
            raise ProtocolError("not the challenge of PInitRes", code=ErrorCode.challengeMismatch)
        gateway = self._gateway()
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
            pi=encode(received.baggage),
        )
        order = self._order(transaction, record.trans_ids.lid_m)
        event = Event(EventKind.ORDER_RECEIVED, body.trans_ids.xid)
        hod = hod_digest(order.description, order.amount, body.od_salt, order.install_recur_data)
        # The extensions of an order are agreed on with it; none are in this version.
        if hod != body.hod or body.od_ext_oids or self._is_taken(transaction, order):
            record = replace(record, state=TABLE.next(record.state, Signal.OTHER_ORDER), ordered=ordered)
            self._keep(transaction, record)
            return Reply((self._pres(record, ordered),), (event,))
        outgoing, authorization = self._auth_req(record, ordered, order)
        record = replace(
            record, state=TABLE.next(record.state, Signal.ORDER), ordered=ordered, authorization=authorization
        )
        self._keep(transaction, record)
        transaction.put(ORDERS, order.lid_m, encode(replace(order, xid=record.trans_ids.xid)))
        transaction.put(XID_BY_RRPID, authorization.rrpid, record.trans_ids.xid)
        return Reply((outgoing,), (event,))

    def _on_inq_req(self, transaction: Transaction, received: Received[InqReqData]) -> Reply:
        """§4.10: whoever ordered may ask, with the certificate that ordered."""
        body, signer = received.body, received.signed_by()
        stored = transaction.get(PURCHASES, body.trans_ids.xid)
        payload = PResPayload(completion_code=CompletionCode.orderNotReceived)
        if stored is not None:
            record = self._found(transaction, body.trans_ids)
            if record.ordered is not None:
                if record.ordered.certificate != signer.der:
                    raise SignatureFailure("not the certificate that ordered")
                payload = self._payload(record)
        question = (body.rrpid, body.chall_c2, received.digest)
        cardholder = party_of(signer, Role.cardholder)
        return Reply((self._answer(INQ_RES, body.trans_ids, question, cardholder, payload),))

    def _on_auth_res(self, transaction: Transaction, received: Received[AuthResData]) -> Reply:
        """§4.13: the gateway's answer to this very request (PX-5), then the answer to the cardholder."""
        body = received.body
        tags, header = body.auth_tags, body.auth_res_payload.auth_header
        record = self._waiting(transaction, tags.auth_rr_tags.rrpid)
        authorization, ordered = record.authorization, record.ordered
        if authorization is None or ordered is None or authorization.rrpid != tags.auth_rr_tags.rrpid:
            raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
        if received.sender != party_of(self._gateway(), Role.gateway):
            raise SignatureFailure("not from the gateway that was asked")
        if body.request_digest != authorization.content:
            raise ProtocolError("an answer to another request", code=ErrorCode.wrapperMsgMismatch)
        if not same_purchase(tags.trans_ids, record.trans_ids):
            raise ProtocolError("another purchase", code=ErrorCode.unknownXID)
        if authorization.code is not None:
            return Reply(events=(Event(EventKind.REPEATED, tags.trans_ids.xid),))
        approved = header.auth_code is AuthCode.approved
        if approved and (not header.auth_amt.same_value(authorization.amount) or not received.baggage.cap_token):
            raise ProtocolError("approved with another amount or without a token", code=ErrorCode.wrapperMsgMismatch)
        signal = Signal.APPROVED if approved else Signal.NOT_APPROVED
        record = replace(
            record,
            state=TABLE.next(record.state, signal),
            trans_ids=replace(record.trans_ids, pay_sys_id=tags.trans_ids.pay_sys_id),
            authorization=replace(
                authorization,
                date=general_time(self.clock()),
                code=header.auth_code,
                cap_token=received.baggage.cap_token,
            ),
        )
        self._keep(transaction, record)
        pres = self._pres(record, ordered)
        keep_answer(transaction, answer_key(ordered.cardholder, ordered.rrpid), ordered.content, (pres,))
        return Reply((pres,), (Event(EventKind.AUTHORIZATION, tags.trans_ids.xid, header.auth_code),))

    def _on_cap_res(self, transaction: Transaction, received: Received[CapResData]) -> Reply:
        """§4.15, last paragraph: one request has one item here."""
        body = received.body
        record = self._waiting(transaction, body.cap_rr_tags.rrpid)
        capture, item = record.capture, body.cap_res_item_seq[0]
        if capture is None or capture.rrpid != body.cap_rr_tags.rrpid:
            raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
        if received.sender != party_of(self._gateway(), Role.gateway):
            raise SignatureFailure("not from the gateway that was asked")
        if body.request_digest != capture.content or len(body.cap_res_item_seq) != 1:
            raise ProtocolError("an answer to another request", code=ErrorCode.wrapperMsgMismatch)
        if not same_purchase(item.trans_ids, record.trans_ids):
            raise ProtocolError("another purchase", code=ErrorCode.unknownXID)
        if capture.code is not None:
            return Reply(events=(Event(EventKind.REPEATED, item.trans_ids.xid),))
        code = item.cap_res_payload.cap_code
        if code is CapCode.success and not item.cap_res_payload.cap_amt.same_value(capture.amount):
            raise ProtocolError("captured another amount", code=ErrorCode.wrapperMsgMismatch)
        signal = Signal.CAPTURED if code is CapCode.success else Signal.NOT_CAPTURED
        capture = replace(capture, code=code, date=general_time(self.clock()))
        self._keep(transaction, replace(record, state=TABLE.next(record.state, signal), capture=capture))
        return Reply(events=(Event(EventKind.CAPTURE, item.trans_ids.xid, code),))

    # --- building requests to the gateway ---------------------------------------------------------

    def _rr_tags(self) -> RRTags:
        return RRTags(
            rrpid=self.random(20),
            mer_term_ids=MerTermIDs(merchant_id=self.party.name),
            date=general_time(self.clock()),
            me_thumb=self.own_exchange_thumb(),
        )

    def _auth_req(
        self, record: PurchaseRecord, ordered: OrderedRecord, order: OrderRecord
    ) -> tuple[Outgoing, AuthRecord]:
        """§4.11: the PI goes on unopened; the digests are those that this merchant computed itself."""
        gateway = self._gateway()
        tags = self._rr_tags()
        over = self.header(tags.rrpid, MessageIDs.of(record.trans_ids))
        body = AuthReqData(
            head=self.head(AUTH_REQ.content_type, party_of(gateway, Role.gateway), over),
            baggage_digest=baggage_digest(AUTH_REQ, ordered.pi),
            auth_req_item=AuthReqItem(
                auth_tags=AuthTags(auth_rr_tags=tags, trans_ids=record.trans_ids),
                check_digests=CheckDigests(hoi_data=ordered.hoi_data, hod2=ordered.hod),
                auth_req_payload=AuthReqPayload(
                    auth_req_amt=order.amount,
                    install_recur_data=order.install_recur_data,
                    merch_data=MerchData(merch_cat_code=self._category),
                ),
            ),
            m_thumbs=self.thumbs,
        )
        sent = self.protect(AUTH_REQ, over, body, recipient=gateway, baggage=ordered.pi)
        return sent.outgoing, AuthRecord(
            rrpid=tags.rrpid, content=sent.content, request=sent.outgoing.data, amount=order.amount
        )

    def _cap_req(
        self, record: PurchaseRecord, authorization: AuthRecord, amount: CurrencyAmount
    ) -> tuple[Outgoing, CapRecord]:
        """§2.11: one item, with the token of its authorisation."""
        gateway = self._gateway()
        tags = self._rr_tags()
        over = self.header(tags.rrpid, MessageIDs())
        baggage = encode(CapTokenSeq(tokens=[authorization.cap_token or b""]))
        body = CapReqData(
            head=self.head(CAP_REQ.content_type, party_of(gateway, Role.gateway), over),
            baggage_digest=baggage_digest(CAP_REQ, baggage),
            cap_rr_tags=tags,
            m_thumbs=self.thumbs,
            cap_item_seq=[
                CapItem(
                    trans_ids=record.trans_ids,
                    auth_rrpid=authorization.rrpid,
                    cap_payload=CapPayload(cap_date=general_time(self.clock()), cap_req_amt=amount),
                )
            ],
        )
        sent = self.protect(CAP_REQ, over, body, recipient=gateway, baggage=baggage)
        return sent.outgoing, CapRecord(
            rrpid=tags.rrpid, content=sent.content, request=sent.outgoing.data, amount=amount
        )

    # --- building answers to the cardholder -------------------------------------------------------

    def _pres(self, record: PurchaseRecord, ordered: OrderedRecord) -> Outgoing:
        """The answer to the PReq, from the record (§4.9)."""
        question = (ordered.rrpid, ordered.chall_c, ordered.content)
        return self._answer(PRES, record.trans_ids, question, ordered.cardholder, self._payload(record))

    def _answer(
        self,
        message_type: MessageType[PResData],
        trans_ids: TransIDs,
        question: tuple[bytes, bytes, bytes],
        cardholder: PartyID,
        payload: PResPayload,
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
            pres_payload_seq=[payload],
        )
        return self.protect(message_type, over, body).outgoing

    def _payload(self, record: PurchaseRecord) -> PResPayload:
        """What there is to tell about a purchase that was ordered."""
        authorization, capture = record.authorization, record.capture
        if record.state is State.REJECTED:
            return PResPayload(completion_code=CompletionCode.orderRejected)
        if authorization is None or authorization.code is None or authorization.date is None:
            return PResPayload(completion_code=CompletionCode.orderReceived)
        purch_amt = authorization.amount
        if purch_amt.amount == 0:
            return PResPayload(completion_code=CompletionCode.meaninglessRatio)
        auth_status = AuthStatus(
            auth_date=authorization.date,
            auth_code=authorization.code,
            auth_ratio=Ratio.of(authorization.amount, purch_amt),
        )
        if capture is None or capture.code is not CapCode.success or capture.date is None:
            return PResPayload(
                completion_code=CompletionCode.authorizationPerformed, results=Results(auth_status=auth_status)
            )
        cap_status = CapStatus(
            cap_date=capture.date, cap_code=capture.code, cap_ratio=Ratio.of(capture.amount, purch_amt)
        )
        return PResPayload(
            completion_code=CompletionCode.capturePerformed,
            results=Results(auth_status=auth_status, cap_status=cap_status),
        )

    # --- records ----------------------------------------------------------------------------------

    def _gateway(self) -> ValidatedCertificate:
        """Cert-PE of this merchant's gateway, valid now."""
        return self.validated(self._cert_pe, CertificateKind.GATEWAY_EXCHANGE, self.held)

    @staticmethod
    def _order(transaction: Transaction, lid_m: bytes) -> OrderRecord:
        stored = transaction.get(ORDERS, lid_m)
        if stored is None:
            raise ProtocolError("no such order", code=ErrorCode.unknownLID)
        return decode(OrderRecord, stored)

    def _is_taken(self, transaction: Transaction, order: OrderRecord) -> bool:
        """Whether another purchase pays for this order, or has paid."""
        return order.xid is not None and self._purchase(transaction, order.xid).state not in FAILED

    @staticmethod
    def _purchase(transaction: Transaction, xid: bytes) -> PurchaseRecord:
        stored = transaction.get(PURCHASES, xid)
        if stored is None:
            raise UsageError("no such purchase")
        return decode(PurchaseRecord, stored)

    @staticmethod
    def _found(transaction: Transaction, trans_ids: TransIDs) -> PurchaseRecord:
        """The purchase that a cardholder speaks of: XID and both local identifiers agree (§4.4)."""
        stored = transaction.get(PURCHASES, trans_ids.xid)
        if stored is None:
            raise ProtocolError("no such purchase", code=ErrorCode.unknownXID)
        record = decode(PurchaseRecord, stored)
        if not same_purchase(trans_ids, record.trans_ids):
            raise ProtocolError("identifiers do not belong together", code=ErrorCode.unknownLID)
        return record

    def _waiting(self, transaction: Transaction, rrpid: bytes) -> PurchaseRecord:
        """The purchase for which a request with this RRPID was sent to the gateway."""
        xid = transaction.get(XID_BY_RRPID, rrpid)
        if xid is None:
            raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
        return self._purchase(transaction, xid)

    @staticmethod
    def _keep(transaction: Transaction, record: PurchaseRecord) -> None:
        transaction.put(PURCHASES, record.trans_ids.xid, encode(record))
