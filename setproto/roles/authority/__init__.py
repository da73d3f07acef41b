"""The CA that certifies cardholders, merchants or gateways over the wire (set-protocol.md §6.11–6.13).

One class for the three: they differ in who applies, in the account data, and in how the answer goes back.  What the
formal analyses of SET found missing is here: a key is certified at most once, the name that is certified is the
sender's, Chall-CA must come back, every key shows that its owner has the private one (W-11, W-12; CR-18, PX-13).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pki import Authority, CertificateError, CertificateKind, PathValidator, Register, thumbprint
from pki.der import decode, encode, replace
from setproto.card import PANSecret
from setproto.crypto.cms import BareRecipient, SecretKey, seal
from setproto.crypto.digests import equal, mac
from setproto.crypto.possession import load_exchange_key
from setproto.errors import DecodingFailure, ErrorCode, ProtocolError, SignatureFailure, UsageError
from setproto.messages.codes import CertStatusCode, RequestType, Wants
from setproto.messages.common import PartyID, Role, Thumbs
from setproto.messages.oids import ID_KEY_CHALLENGE
from setproto.messages.registration import (
    CA_ALG,
    MAX_FIELDS,
    AcctData,
    CardCInitReq,
    CertInqReqData,
    CertReqData,
    CertResData,
    CertResWire,
    CertStatus,
    FailedItem,
    KeySigned,
    MeAqCInitReq,
    PANData0,
    PANOnly,
    ReferralData,
    RegFormItem,
    RegFormOrReferral,
    RegFormReqData,
)
from setproto.messages.registry import (
    CARD_C_INIT_REQ,
    CARD_C_INIT_RES,
    CERT_INQ_REQ,
    CERT_INQ_RES,
    CERT_REQ,
    CERT_RES,
    ME_AQ_C_INIT_REQ,
    ME_AQ_C_INIT_RES,
    REG_FORM_REQ,
    REG_FORM_RES,
    MessageType,
)
from setproto.messages.wrapper import MessageIDs, Wire
from setproto.roles.authority import records
from setproto.roles.authority.issuing import Issuer, Unfit, nonce_cca
from setproto.roles.authority.ports import (
    Application,
    BusinessApplication,
    CardApplication,
    Decision,
    Entitlement,
    Form,
    Forms,
    Verdict,
)
from setproto.roles.authority.records import TABLE, Registration, Request, Signal, State
from setproto.roles.credentials import Credentials, label_party
from setproto.roles.endpoint import Endpoint
from setproto.roles.party import Received, content_digest, content_of, decoded
from setproto.roles.ports import Clock, Event, EventKind, RandomBytes, Reply, Store, Transaction
from setproto.roles.registration import (
    Came,
    check_key_signed,
    open_cert_req,
    receive_cert_req,
    receive_reg_form_req,
)

MAX_TRIES: Final = 5
"""How often a form may come back filled in wrongly."""
_WAITING: Final = {
    Verdict.PENDING: CertStatusCode.requestPended,
    Verdict.IN_PROGRESS: CertStatusCode.requestInProgress,
}
_REFUSED: Final = {
    Role.cardholder: CertStatusCode.rejectedByIssuer,
    Role.merchant: CertStatusCode.rejectedByAquirer,
    Role.gateway: CertStatusCode.rejectedByAquirer,
}


class AskBank(Exception):
    """Internal: the bank is to be asked this outside the transaction, and the request handled again with the answer."""

    def __init__(self, application: Application) -> None:
        super().__init__()
        self.application = application


@dataclasses.dataclass(frozen=True)
class Inquired:
    """The request that a CertInqReq is about, and what the bank says to it once it was asked."""

    request: Request
    decision: Decision | None = None


class CertificateAuthority(Endpoint):
    """A CCA, MCA or PCA."""

    def __init__(
        self,
        credentials: Credentials,
        authority: Authority,
        register: Callable[[Transaction], Register],
        forms: Forms,
        entitlement: Entitlement,
        validator: PathValidator,
        store: Store,
        *,
        secret_key: bytes,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
        lives: Mapping[CertificateKind, timedelta] | None = None,
        journal: bool = False,
    ) -> None:
        """``credentials`` are its message certificates, ``authority`` its certificate-signing key (§6.3 keeps the two
        apart), ``register`` the authority's register within a transaction of ``store``.

        ``secret_key``: 32 octets from which Nonce-CCA and the tags of accounts are derived; losing it means that
        registrations under way must begin again.  ``lives``: how long certificates are good for, where it is not as
        long as their profile says.  UsageError if the two are not one CA.
        """
        super().__init__(credentials, validator, store, clock=clock, random=random, held=held, journal=journal)
        if authority.brand != self.party.brand or authority.suite.name != self.suite:
            raise UsageError("message certificates and certificate-signing key are of different CAs")
        if len(secret_key) != 32:
            raise ValueError("the secret key has 32 octets")
        self._authority = authority
        self._register = register
        self._forms = forms
        self._entitlement = entitlement
        self._secret_key = secret_key
        self._lives = lives or {}
        self._applicants = CERT_REQ.sender_to(self.party.role)

    def read(self, wire: Wire) -> Received[Any]:
        """A request of an applicant."""
        if wire.type in (CARD_C_INIT_REQ, ME_AQ_C_INIT_REQ):
            return self.receive(wire, wire.type)
        if wire.type is REG_FORM_REQ:
            return receive_reg_form_req(self, wire)
        if wire.type is CERT_REQ:
            return receive_cert_req(self, wire)
        if wire.type is CERT_INQ_REQ:
            return self._receive_inquiry(wire)
        raise ProtocolError("not a request to a CA", code=ErrorCode.messageNotSupported)

    def decide(self, data: bytes, wire: Wire, received: Received[Any]) -> Reply:
        """As every role, but nobody has to wait while the bank is asked.

        A handler that needs the bank's word raises AskBank and has changed nothing.  It is run again with the answer,
        in another transaction, so that whatever was decided meanwhile counts (docs/adr/0016).
        """
        try:
            return super().decide(data, wire, received)
        except AskBank as question:
            decision = self._entitlement.decide(question.application)
        came = dataclasses.replace(received.baggage, decision=decision)
        return super().decide(data, wire, dataclasses.replace(received, baggage=came))

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """As ``read``."""
        if wire.type is CERT_INQ_REQ:
            record = self._asked_about(transaction, received)
            return self.once(transaction, wire, received, lambda: self._on_inquiry(transaction, record, received))
        if wire.type is CERT_REQ:
            return self.once(transaction, wire, received, lambda: self._on_cert_req(transaction, wire, received))
        if wire.type is REG_FORM_REQ:
            return self.once(transaction, wire, received, lambda: self._on_reg_form(transaction, received))
        if wire.type is ME_AQ_C_INIT_REQ:
            return self.once(transaction, wire, received, lambda: self._on_me_aq_c_init(transaction, received))
        return self.once(transaction, wire, received, lambda: self._on_card_c_init(received))

    # --- forms ------------------------------------------------------------------------------------

    def _on_card_c_init(self, received: Received[CardCInitReq]) -> Reply:
        """§6.11 step 3."""
        body = received.body
        self._check_brand(body.brand_id)
        return self._answer(CARD_C_INIT_RES, received, chall_ee=body.chall_ee)

    def _on_reg_form(self, transaction: Transaction, received: Received[RegFormReqData]) -> Reply:
        """§6.11 step 7: the form for this card, or where to go instead."""
        body = received.body
        self._check_type(body.request_type)
        try:
            pan = decoded(PANOnly, received.baggage).read()
        except ValueError:
            raise DecodingFailure("not a card number") from None
        form = self._forms.find(body.request_type, pan.reveal()[:6], body.language)
        record = self._begun(form, body.request_type, body.lid_ee)
        record = replace(record, account_tag=self._tag(pan.reveal()))
        records.keep(transaction, record)
        return self._answer(
            REG_FORM_RES,
            received,
            chall_ee2=body.chall_ee2,
            lid_ca=record.lid_ca,
            chall_ca=record.chall_ca,
            request_type=body.request_type,
            reg_form_or_referral=record.form,
        )

    def _on_me_aq_c_init(self, transaction: Transaction, received: Received[MeAqCInitReq]) -> Reply:
        """§6.12: the form, and for a key-exchange key something that only its owner can open."""
        body = received.body
        self._check_brand(body.brand_id)
        self._check_type(body.request_type)
        if (body.id_data.merchant_acquirer_id is not None) != (self._applicants is Role.merchant):
            raise ProtocolError("a name of another role", code=ErrorCode.messageNotSupported)
        if (body.request_type.wants is Wants.SIG) != (body.public_key_e is None):
            raise ProtocolError("a key-exchange key where none is asked for, or none", code=ErrorCode.decodingFailure)
        form = self._forms.find(body.request_type, body.id_data.bin, body.language)
        record = replace(self._begun(form, body.request_type, body.lid_ee), name=body.id_data.name)
        sealed = None
        if body.public_key_e is not None:
            to, challenge = self._label(body.lid_ee), self.random(32)
            key = BareRecipient(load_exchange_key(body.public_key_e, self.suite), self.suite)
            sealed = seal(challenge, key, context=self.context(ID_KEY_CHALLENGE, self.party, to, None, body.rrpid))
            record = replace(record, public_key_e=body.public_key_e, key_challenge=challenge)
        records.keep(transaction, record)
        return self._answer(
            ME_AQ_C_INIT_RES,
            received,
            chall_ee=body.chall_ee,
            lid_ca=record.lid_ca,
            chall_ca=record.chall_ca,
            request_type=body.request_type,
            reg_form_or_referral=record.form,
            acct_data_field=record.acct_data_field,
            sealed_key_challenge=sealed,
        )

    def _label(self, lid_ee: bytes) -> PartyID:
        return label_party(self._applicants, self.party.brand, lid_ee)

    def _answer(self, response: MessageType[Any], received: Received[Any], **fields: Any) -> Reply:
        """An answer on the way to a form: signed, with all that the applicant needs to believe it."""
        body = received.body
        over = self.header(body.rrpid, MessageIDs())
        answer = response.body(
            head=self.head(response.content_type, self._label(body.lid_ee), over),
            request_digest=received.digest,
            rrpid=body.rrpid,
            lid_ee=body.lid_ee,
            cae_thumb=self.own_exchange_thumb(),
            thumbs=body.thumbs,
            **fields,
        )
        return Reply((self.protect(response, over, answer, peer_holds=body.thumbs, inform=True).outgoing,))

    def _begun(self, form: Form | ReferralData, request_type: RequestType, lid_ee: bytes) -> Registration:
        """A new registration.  Each request for a form opens one of its own, so that nobody can spoil another's."""
        referred = isinstance(form, ReferralData)
        return Registration(
            state=TABLE.next(TABLE.initial, Signal.REFER if referred else Signal.FORM),
            lid_ee=lid_ee,
            lid_ca=self.random(20),
            chall_ca=self.random(20),
            request_type=request_type,
            form=RegFormOrReferral(referral_data=form)
            if isinstance(form, ReferralData)
            else RegFormOrReferral(reg_form_data=form.reg_form_data),
            acct_data_field=None if isinstance(form, ReferralData) else form.acct_data_field,
            tries=0,
        )

    # --- requests ---------------------------------------------------------------------------------

    def _on_cert_req(self, transaction: Transaction, wire: Wire, received: Received[CertReqData]) -> Reply:
        """§6.11 steps 11 to 13."""
        body, came = received.body, received.baggage
        record = records.find(transaction, body.lid_ca, body.lid_ee)
        if not equal(body.chall_ca, record.chall_ca):
            raise ProtocolError("not the challenge that was sent", code=ErrorCode.challengeMismatch)
        if record.state is not State.FORM_SENT:
            raise ProtocolError("this registration was decided", code=ErrorCode.unknownLID)
        self._check_request(record, body)
        status = self._fitness(transaction, record, body, came)
        # Kept whatever becomes of it: an applicant that did not hear the answer can ask (§2.19).
        request = Request(
            sender=body.head.sender,
            rrpid=body.rrpid,
            body=wire.body,
            public_key_s=body.public_key_s,
            status=CertStatusCode.requestPended,
        )
        record = replace(record, request=request)
        if status is None:
            record, status = self._decide(transaction, record, body, came.account, came.decision)
        elif status.cert_status_code is not CertStatusCode.regFormAnswerMalformed:
            record = self._moved(record, Signal.REFUSE, request, status)
        elif record.tries + 1 < MAX_TRIES:
            record = replace(record, tries=record.tries + 1, request=replace(request, status=status.cert_status_code))
        else:
            status = _refusal(CertStatusCode.rejectedByCA, "the form was filled in wrongly too often")
            record = self._moved(record, Signal.REFUSE, request, status)
        records.keep(transaction, record)
        return self._respond(CERT_RES, received, record, body, status, thumbs=body.thumbs)

    def _check_request(self, record: Registration, body: CertReqData) -> None:
        """The request is about what the form was sent for.  ProtocolError otherwise."""
        wants = record.request_type.wants
        form = record.form.reg_form_data
        template = form.reg_template if form is not None else None
        if (
            body.request_type is not record.request_type
            or (body.public_key_s is None) != (wants is Wants.ENC)
            or body.public_key_e != record.public_key_e
            or (body.id_data.name if body.id_data else None) != record.name
            or body.reg_form_id != (template.reg_form_id if template is not None else 0)
            or (body.ca_back_key_data is None) != (self._applicants is not Role.cardholder)
            or (body.account_digest is not None)
            != (self._applicants is Role.cardholder or record.acct_data_field is not None)
        ):
            raise ProtocolError("not the request for which the form was sent", code=ErrorCode.wrapperMsgMismatch)
        # Possession of the key-exchange key: the challenge could be read by nobody else.
        if record.key_challenge is not None and not equal(body.key_proof or b"", record.key_challenge):
            raise ProtocolError("the key-exchange key did not open the challenge", code=ErrorCode.challengeMismatch)

    def _fitness(
        self, transaction: Transaction, record: Registration, body: CertReqData, came: Came
    ) -> CertStatus | None:
        """What speaks against a request before the bank is asked, or None."""
        back = body.ca_back_key_data
        if back is not None and back.ca_alg_id != CA_ALG:
            return _refusal(CertStatusCode.unableToEncryptCertRes, "only AES-256-GCM can be used")
        register = self._register(transaction)
        for spki in (body.public_key_s, body.public_key_e):
            if spki is None:
                continue
            digest = hashlib.sha256(spki).digest()
            if register.is_certified(digest) or transaction.get(records.CLAIMED_KEYS, digest) is not None:
                return _refusal(CertStatusCode.rejectedByCA, "this key has been certified, or applied for, before")
        if body.public_key_s is not None and body.public_key_s == body.public_key_e:
            return _refusal(CertStatusCode.rejectedByCA, "one key for two purposes")
        business = self._applicants is not Role.cardholder
        if business and came.certified is not None and came.certified.party_id != record.name:
            return _refusal(CertStatusCode.rejectedByCA, "the certificate is of another name")
        if not business:
            account = decoded(PANData0, came.account or b"")
            try:
                card = account.card(self.party.brand)
            except ValueError:
                return _refusal(CertStatusCode.invalidBIN, "not a card number and expiry")
            tag = self._tag(card.pan.reveal())
            if not equal(tag, record.account_tag or b""):
                return _refusal(CertStatusCode.invalidBIN, "the form was sent for another card")
            if came.certified is not None:
                of = transaction.get(records.ACCOUNTS, came.certified.thumbprint)
                if of is None or not equal(of, tag):
                    return _refusal(CertStatusCode.rejectedByCA, "the certificate is of another card")
        failed = _failed_items(record, body.reg_form or [])
        if failed:
            return CertStatus(cert_status_code=CertStatusCode.regFormAnswerMalformed, failed_item_seq=failed)
        return None

    def _decide(
        self,
        transaction: Transaction,
        record: Registration,
        body: CertReqData,
        account: bytes | None,
        decision: Decision | None,
    ) -> tuple[Registration, CertStatus]:
        """Do what the bank says: issue, wait or refuse.  AskBank, before anything is changed, if it has to be asked."""
        request = record.request
        if request is None:
            raise UsageError("no request to decide")
        application, pan_secret, nonce = self._application(record, body, account)
        if decision is None:
            raise AskBank(application)
        if decision.verdict in _WAITING:
            for spki in (body.public_key_s, body.public_key_e):
                if spki is not None:  # while it waits nobody else gets a certificate for it
                    transaction.put(records.CLAIMED_KEYS, hashlib.sha256(spki).digest(), record.lid_ca)
            status = CertStatus(cert_status_code=_WAITING[decision.verdict], ee_message=decision.ee_message)
            return self._moved(record, Signal.WAIT, request, status), status
        if decision.approval is None:
            status = CertStatus(cert_status_code=_REFUSED[self._applicants], ee_message=decision.ee_message)
            return self._moved(record, Signal.REFUSE, request, status), status
        issuer = Issuer(self._authority.using(self._register(transaction)), self.clock(), self._lives)
        try:
            if isinstance(application, CardApplication):
                if pan_secret is None or body.public_key_s is None:
                    raise UsageError("a cardholder has a signature key and a PANSecret")
                issued = issuer.card(body.public_key_s, application.card, pan_secret, decision.approval)
                transaction.put(records.ACCOUNTS, thumbprint(issued[0]), record.account_tag or b"")
            else:
                issued = issuer.business(self._applicants, application.party.name, body, decision.approval)
        except (CertificateError, Unfit, ValueError) as refusal:
            text = refusal.rule if isinstance(refusal, CertificateError) else str(refusal)
            status = _refusal(CertStatusCode.rejectedByCA, text)
            return self._moved(record, Signal.REFUSE, request, status), status
        status = CertStatus(
            cert_status_code=CertStatusCode.requestComplete,
            nonce_cca=nonce,
            ee_message=decision.ee_message,
            ca_msg=decision.ca_msg,
        )
        return self._moved(record, Signal.APPROVE, replace(request, certificates=issued), status), status

    def _moved(self, record: Registration, signal: Signal, request: Request, status: CertStatus) -> Registration:
        state = TABLE.next(record.state, signal)
        known = replace(request, status=status.cert_status_code, ee_message=status.ee_message)
        return replace(record, state=state, request=known)

    def _application(
        self, record: Registration, body: CertReqData, account: bytes | None
    ) -> tuple[Application, PANSecret | None, bytes | None]:
        """What the bank is asked about; for a cardholder also PANSecret, and Nonce-CCA which makes it."""
        answers = {item.field_name: item.field_value for item in body.reg_form or []}
        if self._applicants is Role.cardholder:
            data = decoded(PANData0, account or b"")
            nonce = nonce_cca(self._secret_key, record.lid_ca)
            card_secret = data.secret()
            card = CardApplication(
                record.lid_ca, record.request_type, data.card(self.party.brand), card_secret, answers
            )
            return card, PANSecret.derive(card_secret, nonce, self.party.brand), nonce
        identification = None if account is None else decoded(AcctData, account).acct_identification
        if body.id_data is None:
            raise UsageError("a merchant or gateway has a name")
        business = BusinessApplication(
            record.lid_ca, record.request_type, body.head.sender, body.id_data.bin, identification, answers
        )
        return business, None, None

    def waiting(self) -> list[Application]:
        """What waits for the bank's decision, as the bank is asked about it."""
        found = []
        with self.store.transaction() as transaction:
            for _, stored in transaction.items(records.REGISTRATIONS):
                record = decode(Registration, stored)
                request = record.request
                if record.state is State.PENDING and request is not None and self._certifies(record.request_type):
                    applied, _, account = open_cert_req(self, request.sender, request.rrpid, request.body)
                    found.append(self._application(record, applied, account)[0])
        return found

    def _certifies(self, request_type: RequestType) -> bool:
        return request_type.applicant == int(self._applicants)

    # --- inquiries --------------------------------------------------------------------------------

    def _receive_inquiry(self, wire: Wire) -> Received[CertInqReqData]:
        """Signed with the key whose certification is asked about, or, if that cannot sign, with the certified one.

        ``baggage`` is an :class:`Inquired`."""
        signed = decoded(KeySigned, wire.body)
        body = decoded(CertInqReqData, signed.content)
        with self.store.transaction() as transaction:
            record, request = self._applied_for(transaction, body)
        certified = check_key_signed(self, CERT_INQ_REQ, signed, request.public_key_s)
        if certified is not None and certified.party_id != record.name:
            raise ProtocolError("a registration of somebody else", code=ErrorCode.unknownLID)
        self.check_head(body.head, CERT_INQ_REQ.content_type, request.sender, self.party, wire)
        digested = content_digest(CERT_INQ_REQ, signed.content, wire.header_digest)
        received = Received(body, digested, certified, body.head.sender, (), Inquired(request), {})
        self.agree(wire, CERT_INQ_REQ, received)
        return received

    def _asked_about(self, transaction: Transaction, received: Received[CertInqReqData]) -> Registration:
        """The registration as it stands now.  SignatureFailure if meanwhile it is one of another key."""
        record, request = self._applied_for(transaction, received.body)
        verified_by = received.baggage.request
        if (request.public_key_s, request.sender) != (verified_by.public_key_s, verified_by.sender):
            raise SignatureFailure("not signed with the key whose certification is asked about")
        return record

    @staticmethod
    def _applied_for(transaction: Transaction, body: CertInqReqData) -> tuple[Registration, Request]:
        record = records.find(transaction, body.lid_ca, body.lid_ee)
        if record.request is None:
            raise ProtocolError("nothing was applied for", code=ErrorCode.unknownLID)
        return record, record.request

    def _on_inquiry(self, transaction: Transaction, record: Registration, received: Received[CertInqReqData]) -> Reply:
        """§2.19: how the request stands; one that waits is decided now, if the bank has made up its mind."""
        request = record.request
        if request is None:
            raise UsageError("no request to ask about")
        applied, _, account = open_cert_req(self, request.sender, request.rrpid, request.body)
        if record.state is State.PENDING:
            record, status = self._decide(transaction, record, applied, account, received.baggage.decision)
            records.keep(transaction, record)
        else:
            nonce = self._application(record, applied, account)[2] if record.state is State.COMPLETE else None
            malformed = request.status is CertStatusCode.regFormAnswerMalformed
            status = CertStatus(
                cert_status_code=request.status,
                nonce_cca=nonce,
                ee_message=request.ee_message,
                failed_item_seq=_failed_items(record, applied.reg_form or []) if malformed else None,
            )
        inquiry = replace(applied, rrpid=received.body.rrpid, chall_ee3=received.body.chall_ee3)
        return self._respond(CERT_INQ_RES, received, record, inquiry, status, thumbs=applied.thumbs)

    # --- answers ----------------------------------------------------------------------------------

    def _respond(
        self,
        response: MessageType[CertResData],
        received: Received[CertReqData] | Received[CertInqReqData],
        record: Registration,
        body: CertReqData,
        status: CertStatus,
        *,
        thumbs: Thumbs | None,
    ) -> Reply:
        """CertRes or CertInqRes: signed, with the certificates; to a cardholder under the key that it made (§2.18)."""
        to = body.head.sender
        issued = (record.request.certificates if record.request else None) or []
        back = body.ca_back_key_data
        usable = back is not None and status.cert_status_code is not CertStatusCode.unableToEncryptCertRes
        key = SecretKey(back.ca_key, record.lid_ca) if back is not None and usable else None
        over = self.header(body.rrpid, MessageIDs())
        answer = CertResData(
            head=self.head(response.content_type, to, over),
            request_digest=received.digest,
            rrpid=body.rrpid,
            lid_ee=body.lid_ee,
            chall_ee3=body.chall_ee3,
            lid_ca=record.lid_ca,
            cert_status=status,
            cert_thumbs=[thumbprint(der) for der in issued] or None,
            thumbs=thumbs,
        )
        encoded = encode(answer)
        also = (*issued, *self._authority.chain)
        signed = self.sign(response, encoded, peer_holds=thumbs, inform=True, also=also)
        if key is None:
            body_wire = CertResWire(signed=signed)
        else:
            context = self.context(response.content_type, self.party, to, None, body.rrpid)
            body_wire = CertResWire(sealed=seal(signed, key, context=context))
        sent = self.sent(response, over, encode(body_wire), content_of(response, encoded, over), encoded)
        event = Event(EventKind.CERTIFICATION, code=status.cert_status_code, detail=str(to))
        return Reply((sent.outgoing,), (event,))

    def _check_brand(self, brand: str) -> None:
        if brand != self.party.brand:
            raise ProtocolError("another brand", code=ErrorCode.invalidCertificate)

    def _check_type(self, request_type: RequestType) -> None:
        """ProtocolError unless applicants of this CA may ask for that; the reserved types of cardholders are not."""
        reserved = self._applicants is Role.cardholder and request_type.wants is not Wants.SIG
        if not self._certifies(request_type) or reserved:
            raise ProtocolError("not certified here", code=ErrorCode.messageNotSupported)

    def _tag(self, pan: str) -> bytes:
        """Tells two card numbers apart without keeping either: a MAC, since a hash of a PAN can be searched (PX-3)."""
        return mac("Account", self._secret_key, pan.encode())


def _refusal(code: CertStatusCode, text: str) -> CertStatus:
    return CertStatus(cert_status_code=code, ee_message=text)


def _failed_items(record: Registration, answers: Sequence[RegFormItem]) -> list[FailedItem]:
    """What is wrong with the answers to the form, field by field, as they are counted there from 1; 0 is no field."""
    form = record.form.reg_form_data
    fields = form.reg_template.reg_field_seq if form is not None and form.reg_template is not None else []
    given: dict[str, str] = {}
    failed = []
    for item in answers:
        if item.field_name in given or item.field_name not in {field.field_name for field in fields}:
            failed.append(FailedItem(item_number=0, item_reason="not a field of the form, or answered twice"))
        given[item.field_name] = item.field_value
    for number, field in enumerate(fields, 1):
        value = given.get(field.field_name, "")
        if field.field_required and not value.strip():
            failed.append(FailedItem(item_number=number, item_reason="an answer is required"))
        elif field.field_len is not None and len(value) > field.field_len:
            failed.append(FailedItem(item_number=number, item_reason=f"at most {field.field_len} characters"))
    return failed[:MAX_FIELDS]


__all__ = ["CertificateAuthority", "Decision", "Form"]
