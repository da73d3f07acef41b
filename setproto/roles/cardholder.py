"""The cardholder: asks a merchant, checks its answer, orders and pays, and learns what became of it.

Processing rules of set-protocol.md §4.6, §4.7, §4.9.  One object serves one card; its state is one record per
purchase, named by LID-C.  PRes and InqRes tell the merchant's view, so they move the state only forward.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Annotated, Any

from pki import CertificateKind, PathValidator, ValidatedCertificate
from pki.der import Implicit, encode, replace, sequence, value_set
from setproto.amounts import CurrencyAmount, Ratio
from setproto.card import Card, CardSecret, PANSecret, cardholder_name, trans_stain
from setproto.crypto.cms import Recipient, SecretKey, seal, unseal
from setproto.crypto.digests import digest
from setproto.crypto.dual import Part
from setproto.crypto.signed import oid_tlv
from setproto.errors import ErrorCode, ProtocolError, SignatureFailure, UsageError
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
from setproto.messages.common import SW_IDENT, InstallRecurData, PartyID, Role, Thumbs, TransIDs
from setproto.messages.oids import ID_ACQ_CARD_CODE_MSG, ID_OI_DATA, ID_PAN_DATA, ID_PI_DATA, ID_PI_OI_LINK, ID_PI_SEALS
from setproto.messages.payment import ACQ_BACK_ALG, AcqCardCodeMsg
from setproto.messages.purchase import (
    OI,
    PI,
    PURCHASE,
    AcqBackKeyData,
    HODInput,
    InqReqData,
    OIData,
    PANData,
    PIData,
    PIHead,
    PIInputs,
    PInitReq,
    PInitResData,
    PIOILink,
    PISeals,
    PReq,
    PResData,
    PResPayload,
)
from setproto.messages.registry import INQ_REQ, INQ_RES, PINIT_REQ, PINIT_RES, PREQ, PRES
from setproto.messages.wrapper import MessageIDs, Wire
from setproto.roles.credentials import Credentials, label_party, party_of
from setproto.roles.endpoint import Endpoint
from setproto.roles.party import Received, Sent, decoded, same_purchase
from setproto.roles.ports import Clock, Event, EventKind, Outgoing, RandomBytes, Reply, Store, Transaction
from setproto.roles.remembered import Remembered
from setproto.roles.table import TransitionTable

PURCHASES = "purchases"
LID_BY_RRPID = "lid_by_rrpid"


@value_set(int)
class State(enum.IntEnum):
    """Where a purchase stands, as far as this cardholder knows."""

    INIT_SENT = 1
    INIT_DONE = 2
    PREQ_SENT = 3
    RECEIVED = 4
    REJECTED = 5
    DECLINED = 6
    AUTHORIZED = 7
    CAPTURED = 8
    CREDITED = 9


class Signal(enum.Enum):
    """What moves it."""

    PINIT_RES = "PInitRes"
    PAY = "the cardholder pays"
    RECEIVED = "orderReceived"
    REJECTED = "orderRejected"
    DECLINED = "authorizationPerformed, not approved"
    AUTHORIZED = "authorizationPerformed, approved"
    CAPTURED = "capturePerformed"
    CREDITED = "creditPerformed"


REPORTED = (
    State.RECEIVED,
    State.REJECTED,
    State.DECLINED,
    State.AUTHORIZED,
    State.CAPTURED,
    State.CREDITED,
)
"""What a merchant can report.  A fresh report replaces an older one, since what was done may be taken back."""

TABLE = TransitionTable(
    "cardholder",
    State.INIT_SENT,
    {
        (State.INIT_SENT, Signal.PINIT_RES): State.INIT_DONE,
        (State.INIT_DONE, Signal.PAY): State.PREQ_SENT,
        **{
            (before, Signal[after.name]): after
            for before in (State.PREQ_SENT, *REPORTED)
            for after in REPORTED
            # A rejected order is never processed after all, and one that was processed is not rejected.
            if before in (State.PREQ_SENT, after) or State.REJECTED not in (before, after)
        },
    },
)


@dataclass(frozen=True)
class PaymentCard:
    """A card with the two secrets of its registration.  Everything in it redacts itself."""

    card: Card
    card_secret: CardSecret
    pan_secret: PANSecret


@dataclass(frozen=True)
class Order:
    """What cardholder and merchant agreed on before the protocol starts (A-6)."""

    lid_m: bytes
    description: bytes
    amount: CurrencyAmount
    install_recur_data: InstallRecurData | None = None


@sequence
class Question:
    """A request that was sent: its answer must carry the RRPID and the challenge, and hash the content."""

    rrpid: bytes
    challenge: bytes
    content: bytes


@sequence
class Shop:
    """What PInitRes established: who sells, through which gateway, to which key the payment is sealed."""

    trans_ids: TransIDs
    chall_m: bytes
    merchant: PartyID
    gateway: PartyID
    cert_pe: bytes
    pe_chain: list[bytes]


@sequence
class Ordered:
    """The PReq as it was sent, for sending it again, and the question that it asked."""

    preq: bytes
    question: Question
    back_key: bytes
    """Under which the acquirer may answer (AcqBackKey): a secret of this purchase."""


@sequence
class Purchase:
    """The record of one purchase: no card data in it."""

    state: State
    lid_c: bytes
    lid_m: bytes
    description: bytes
    amount: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    thumbs: Annotated[Thumbs | None, Implicit(1)] = None
    latest: Question
    shop: Annotated[Shop | None, Implicit(2)] = None
    ordered: Annotated[Ordered | None, Implicit(3)] = None
    heard: int
    """How many questions had been asked when the latest answer that was heard was asked for: older ones are stale."""
    asked: int


_PURCHASE = Remembered(Purchase)


class Cardholder(Endpoint):
    """One card's side of its purchases."""

    def __init__(
        self,
        credentials: Credentials,
        payment_card: PaymentCard,
        validator: PathValidator,
        store: Store,
        *,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
        journal: bool = False,
    ) -> None:
        """UsageError if the certificate is not this card's: its subject must be the Unique Cardholder ID."""
        super().__init__(credentials, validator, store, clock=clock, random=random, held=held, journal=journal)
        card = payment_card.card
        if credentials.party.name != cardholder_name(card.pan, card.expiry, payment_card.pan_secret):
            raise UsageError("the certificate is not for this card")
        self._card = payment_card

    # --- what the cardholder does -----------------------------------------------------------------

    def start(self, order: Order, *, language: str = "en") -> tuple[bytes, Outgoing]:
        """Begin a purchase: (LID-C, PInitReq).  Nothing about the cardholder is in the message."""
        lid_c, rrpid, chall_c = self.random(20), self.random(20), self.random(20)
        body = PInitReq(
            rrpid=rrpid,
            language=language,
            lid_c=lid_c,
            lid_m=order.lid_m,
            chall_c=chall_c,
            brand_id=self.party.brand,
            thumbs=self.thumbs,
        )
        sent = self.plain(PINIT_REQ, self.header(rrpid, MessageIDs(), anonymous=True), body)
        record = Purchase(
            state=TABLE.initial,
            lid_c=lid_c,
            lid_m=order.lid_m,
            description=order.description,
            amount=order.amount,
            install_recur_data=order.install_recur_data,
            thumbs=body.thumbs,
            latest=Question(rrpid=rrpid, challenge=chall_c, content=sent.content),
            heard=0,
            asked=0,
        )
        with self.store.transaction() as transaction:
            self._keep(transaction, record)
            return lid_c, self.begun(transaction, sent.outgoing)

    def pay(self, lid_c: bytes) -> Outgoing:
        """Confirm to the merchant shown, and pay: the PReq.  Called again, the same octets again (§4.2).

        UsageError if this purchase has no genuine PInitRes yet.
        """
        with self.store.transaction() as transaction:
            record = self._purchase(transaction, lid_c)
            if record.ordered is not None:
                return self.begun(transaction, Outgoing(Role.merchant, PREQ.name, record.ordered.preq))
            if record.shop is None or not TABLE.allows(record.state, Signal.PAY):
                raise UsageError(f"nothing to pay in state {record.state.name}")
            back_key = self.random(32)
            sent, rrpid, chall_c = self._preq(record, record.shop, back_key)
            question = Question(rrpid=rrpid, challenge=chall_c, content=sent.content)
            ordered = Ordered(preq=sent.outgoing.data, question=question, back_key=back_key)
            changed = replace(record, state=TABLE.next(record.state, Signal.PAY), latest=question, ordered=ordered)
            self._keep(transaction, changed)
            return self.begun(transaction, sent.outgoing)

    def inquire(self, lid_c: bytes) -> Outgoing:
        """Ask what became of an order: an InqReq with a new RRPID and challenge (§2.8)."""
        with self.store.transaction() as transaction:
            record = self._purchase(transaction, lid_c)
            if record.shop is None or record.ordered is None:
                raise UsageError(f"nothing was ordered in state {record.state.name}")
            rrpid, chall_c2 = self.random(20), self.random(20)
            over = self.header(rrpid, MessageIDs.of(record.shop.trans_ids))
            body = InqReqData(
                head=self.head(INQ_REQ.content_type, record.shop.merchant, over),
                trans_ids=record.shop.trans_ids,
                rrpid=rrpid,
                chall_c2=chall_c2,
            )
            sent = self.protect(INQ_REQ, over, body)
            question = Question(rrpid=rrpid, challenge=chall_c2, content=sent.content)
            self._keep(transaction, replace(record, latest=question, asked=record.asked + 1))
            return self.begun(transaction, sent.outgoing)

    def purchase(self, lid_c: bytes) -> Purchase:
        """The record of a purchase.  UsageError if there is none."""
        with self.store.transaction() as transaction:
            return self._purchase(transaction, lid_c)

    # --- what comes in ----------------------------------------------------------------------------

    def read(self, wire: Wire) -> Received[Any]:
        """PInitRes, PRes or InqRes: the answer to something that this cardholder asked."""
        with self.store.transaction() as transaction:
            record = self._asked(transaction, wire)
        if wire.type is PINIT_RES:
            # The merchant has not seen a certificate yet, so it names this wallet by LID-C.
            return self.receive(wire, PINIT_RES, label_party(Role.cardholder, self.party.brand, record.lid_c))
        if wire.type in (PRES, INQ_RES) and record.ordered is not None:
            return self.receive(wire, wire.type)
        raise ProtocolError("not an answer to anything that was asked", code=ErrorCode.messageNotSupported)

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """As ``read``."""
        record = self._asked(transaction, wire)
        if wire.type is PINIT_RES:
            return self._on_pinit_res(transaction, record, received)
        if wire.type is PRES and record.ordered is not None:
            return self._on_pres(transaction, record, received, record.ordered.question, 0)
        return self._on_pres(transaction, record, received, record.latest, record.asked)

    def _asked(self, transaction: Transaction, wire: Wire) -> Purchase:
        """The purchase that a message answers a question about."""
        lid_c = transaction.get(LID_BY_RRPID, wire.header.rrpid or b"")
        if lid_c is None:
            raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
        return self._purchase(transaction, lid_c)

    def _on_pinit_res(self, transaction: Transaction, record: Purchase, received: Received[PInitResData]) -> Reply:
        """§4.6."""
        body, signer = received.body, received.signed_by()
        if record.state is not State.INIT_SENT:
            return Reply(events=(Event(EventKind.REPEATED, body.trans_ids.xid),))
        if body.trans_ids.lid_c != record.lid_c or body.trans_ids.lid_m != record.lid_m:
            raise ProtocolError("not the order that was asked about", code=ErrorCode.unknownLID)
        _check_answer(record.latest, body.rrpid, body.chall_c, body.request_digest)
        if body.thumbs != record.thumbs:
            raise ProtocolError("not the thumbprints that were sent", code=ErrorCode.thumbsMismatch)
        if body.gateway_id.role is not Role.gateway or body.gateway_id.brand != self.party.brand:
            raise ProtocolError("not a gateway of this brand", code=ErrorCode.invalidCertificate)
        cert_pe = self.exchange_certificate(body.pe_thumb, body.gateway_id, received.certificates)
        shop = Shop(
            trans_ids=body.trans_ids,
            chall_m=body.chall_m,
            merchant=party_of(signer, Role.merchant),
            gateway=body.gateway_id,
            cert_pe=cert_pe.der,
            pe_chain=list(cert_pe.chain),
        )
        self._keep(transaction, replace(record, state=TABLE.next(record.state, Signal.PINIT_RES), shop=shop))
        return Reply(events=(Event(EventKind.MERCHANT_SHOWN, body.trans_ids.xid, detail=merchant_name(signer)),))

    def _on_pres(
        self, transaction: Transaction, record: Purchase, received: Received[PResData], question: Question, asked: int
    ) -> Reply:
        """§4.9: the answer to that question, fresh by its challenge; it moves the state only forward."""
        body = received.body
        if record.shop is None or received.sender != record.shop.merchant:
            raise SignatureFailure("not from the merchant of this purchase")
        if not same_purchase(body.trans_ids, record.shop.trans_ids):
            raise ProtocolError("another purchase", code=ErrorCode.unknownXID)
        _check_answer(question, body.rrpid, body.chall_c, body.request_digest)
        signal, completion, code = _signal(body.pres_payload_seq)
        # What was declined stays declined: nothing that was heard before can be newer than that.
        if asked < record.heard and signal is not Signal.DECLINED:
            return Reply(events=(Event(EventKind.REPEATED, body.trans_ids.xid),))
        _check_shares(body.pres_payload_seq, record.install_recur_data)
        state = record.state
        if signal is not None and TABLE.allows(state, signal):
            state = TABLE.next(state, signal)
        self._keep(transaction, replace(record, state=state, heard=max(asked, record.heard)))
        events = [Event(EventKind.RESULT, body.trans_ids.xid, code, completion.name)]
        message = self._card_message(record, body)
        if message is not None:
            events.append(
                Event(EventKind.MESSAGE, body.trans_ids.xid, message.acq_card_code, message.acq_card_text or "")
            )
        return Reply(events=tuple(events))

    def _card_message(self, record: Purchase, body: PResData) -> AcqCardCodeMsg | None:
        """The acquirer's message, if the merchant passed one on that opens; one that does not is left alone."""
        results = body.pres_payload_seq[0].results
        if results is None or results.acq_card_msg is None or record.ordered is None:
            return None
        xid = body.trans_ids.xid
        key = SecretKey(record.ordered.back_key, xid)
        try:
            opened = unseal(results.acq_card_msg, key, context=card_message_context(xid))
            return decoded(AcqCardCodeMsg, opened.content)
        except ProtocolError:
            return None

    # --- building PReq ----------------------------------------------------------------------------

    def _preq(self, record: Purchase, shop: Shop, back_key: bytes) -> tuple[Sent, bytes, bytes]:
        """§4.7, from top to bottom: order, payment, two seals for the gateway, one signature over all of it.

        The PReq, its RRPID and its challenge.
        """
        merchant, gateway, trans_ids = shop.merchant, shop.gateway, shop.trans_ids
        # Validated again now: Cert-PE may have been revoked since PInitRes.
        cert_pe = self.validated(shop.cert_pe, CertificateKind.GATEWAY_EXCHANGE, shop.pe_chain)
        rrpid, chall_c = self.random(20), self.random(20)
        over = self.header(rrpid, MessageIDs.of(trans_ids))

        od_salt = self.random(32)
        hod = hod_digest(record.description, record.amount, od_salt, record.install_recur_data)
        oi_data = OIData(
            head=self.head(PREQ.content_type, merchant, over),
            trans_ids=trans_ids,
            rrpid=rrpid,
            chall_c=chall_c,
            hod=hod,
            od_salt=od_salt,
            chall_m=shop.chall_m,
            brand_id=self.party.brand,
            merchant_id=merchant,
            gateway_id=gateway,
            pe_thumb=cert_pe.thumbprint,
        )
        pi_head = PIHead(
            head=self.head(ID_PI_DATA, gateway, None),
            trans_ids=trans_ids,
            inputs=PIInputs(hod=hod, purch_amt=record.amount),
            merchant_id=merchant,
            gateway_id=gateway,
            pe_thumb=cert_pe.thumbprint,
            trans_stain=trans_stain(trans_ids.xid, self._card.card_secret),
            sw_ident=SW_IDENT,
            install_recur_data=record.install_recur_data,
            acq_back_key_data=AcqBackKeyData(acq_back_alg=ACQ_BACK_ALG, acq_back_key=back_key),
        )
        pan_data = PANData.of(self._card.card, self._card.pan_secret, self.random(32))
        order = Part(ID_OI_DATA, encode(oi_data), self.random(32))
        payment = Part(ID_PI_DATA, encode(PIData(pi_head=pi_head, pan_data=pan_data)), self.random(32))

        to = Recipient(cert_pe)
        link = PIOILink(pi_head=pi_head, pi_salt=payment.salt, hoi_data=PURCHASE.digest(order, self.suite))
        bulk = self.context(ID_PI_OI_LINK, self.party, gateway, trans_ids.xid, rrpid)
        account = self.context(ID_PAN_DATA, self.party, gateway, trans_ids.xid, rrpid)
        seals = PISeals(
            cardholder=self.party,
            rrpid=rrpid,
            sealed_pi=seal(encode(link), to, context=bulk),
            sealed_pan=seal(encode(pan_data), to, context=account),
        )
        sealed = Part(ID_PI_SEALS, encode(seals), rrpid)
        signed = PURCHASE.sign(self.credentials.signer, (payment, order, sealed), certificates=self.credentials.chain)
        preq = PReq(
            pi=PI(seals=sealed.content, pi_signature=signed.signature),
            oi=OI(oi_data=order.content, oi_salt=order.salt, hpi_data=signed.digests[ID_PI_DATA]),
        )
        content = digest(PREQ.name, *(signed.digests[oid] for oid in PURCHASE.part_types))
        encoded = encode(preq)
        return self.sent(PREQ, over, encoded, content, encoded), rrpid, chall_c

    # --- records ----------------------------------------------------------------------------------

    @staticmethod
    def _purchase(transaction: Transaction, lid_c: bytes) -> Purchase:
        stored = transaction.get(PURCHASES, lid_c)
        if stored is None:
            raise UsageError("no such purchase")
        return _PURCHASE.decode(stored)

    @staticmethod
    def _keep(transaction: Transaction, record: Purchase) -> None:
        transaction.put(PURCHASES, record.lid_c, _PURCHASE.encode(record))
        transaction.put(LID_BY_RRPID, record.latest.rrpid, record.lid_c)


def _check_answer(question: Question, rrpid: bytes, challenge: bytes, content: bytes) -> None:
    """An answer is to this question, fresh, and to the request as it was sent."""
    if rrpid != question.rrpid:
        raise ProtocolError("an answer to an older question", code=ErrorCode.unknownRRPID)
    if challenge != question.challenge:
        raise ProtocolError("not the challenge that was sent", code=ErrorCode.challengeMismatch)
    if content != question.content:
        raise ProtocolError("an answer to another request", code=ErrorCode.wrapperMsgMismatch)


def merchant_name(certificate: ValidatedCertificate) -> str:
    """The merchant's name as its certificate has it, to be shown to the cardholder."""
    data = certificate.merchant_data
    return data.mer_name_seq[0].name if data is not None else certificate.party_id


def hod_digest(
    description: bytes, amount: CurrencyAmount, od_salt: bytes, install_recur_data: InstallRecurData | None
) -> bytes:
    """HOD: what cardholder and merchant both compute from the order as each knows it, and compare."""
    hod_input = HODInput(od=description, purch_amt=amount, od_salt=od_salt, install_recur_data=install_recur_data)
    return digest("HODInput", encode(hod_input))


def card_message_context(xid: bytes) -> bytes:
    """What an acquirer's message to a cardholder is bound to: its purpose and the purchase."""
    return oid_tlv(ID_ACQ_CARD_CODE_MSG) + xid


def _signal(payloads: list[PResPayload]) -> tuple[Signal | None, CompletionCode, enum.IntEnum]:
    """What the payloads together mean for the state, the completion that says most, and the code to show.

    There is one payload per authorisation: what went furthest counts.
    """
    ranked = sorted(payloads, key=_rank)
    payload = ranked[-1]
    completion, results = payload.completion_code, payload.results
    signals = {
        CompletionCode.orderReceived: Signal.RECEIVED,
        CompletionCode.orderRejected: Signal.REJECTED,
        CompletionCode.capturePerformed: Signal.CAPTURED,
        CompletionCode.creditPerformed: Signal.CREDITED,
    }
    code: enum.IntEnum = completion
    signal = signals.get(completion)
    if completion is CompletionCode.authorizationPerformed and results and results.auth_status:
        code = results.auth_status.auth_code
        signal = Signal.AUTHORIZED if code is AuthCode.approved else Signal.DECLINED
    elif completion is CompletionCode.capturePerformed:
        code = results.cap_status.cap_code if results and results.cap_status else CapCode.unspecifiedFailure
        if code is not CapCode.success:
            signal = Signal.AUTHORIZED if _rank(payload)[1] else None
    elif completion is CompletionCode.creditPerformed and not (results and results.cred_status_seq):
        signal = None
    return signal, completion, code


def _check_shares(payloads: list[PResPayload], agreed: InstallRecurData | None) -> None:
    """Captured ≤ authorised ≤ ordered, and credited ≤ captured: a merchant that reports more is not believed (§2.7)."""
    shares: list[tuple[list[Ratio], list[Ratio], list[Ratio]]] = []
    for results in (payload.results for payload in payloads if payload.results is not None):
        status, captured = results.auth_status, results.cap_status
        shares.append(
            (
                [status.auth_ratio] if status and status.auth_code is AuthCode.approved else [],
                [captured.cap_ratio] if captured else [],
                [credit.credit_ratio for credit in results.cred_status_seq or ()],
            )
        )
    whole = lcm(*(ratio.denominator for of_one in shares for ratios in of_one for ratio in ratios))

    def added(ratios: list[Ratio]) -> int:
        return sum(ratio.numerator * (whole // ratio.denominator) for ratio in ratios)

    authorised = 0
    for of_one in shares:
        held, taken, given = map(added, of_one)
        authorised = max(authorised, held) if agreed and agreed.recurring else authorised + held
        if not given <= taken <= held or authorised > whole:
            raise ProtocolError("more than was ordered", code=ErrorCode.unspecifiedFailure)


def _rank(payload: PResPayload) -> tuple[int, bool]:
    results = payload.results
    approved = bool(results and results.auth_status and results.auth_status.auth_code is AuthCode.approved)
    return int(payload.completion_code), approved
