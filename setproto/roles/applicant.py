"""The applicant: a cardholder, merchant or gateway that gets its first certificates, or new ones (§6.7, §6.11, §6.12).

One object per registration, named by LID-EE.  It has no certificate yet and so no key to open what is sealed to it;
a cardholder's answer is sealed under a key that the applicant made (CABackKey).  Every key pair is fresh (W-12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pki import CertificateError, CertificateKind, PathValidator, ValidatedCertificate, key_suite, thumbprint
from pki.der import encode, replace
from pki.extensions import tunneling_of
from pki.suites import public_key_der
from setproto.card import Card, CardSecret, PANSecret, cardholder_name
from setproto.crypto.cms import BareRecipientKey, RecipientKey, SecretKey, Signer, unseal
from setproto.crypto.possession import private_key_from, private_key_octets
from setproto.crypto.suites import suite
from setproto.errors import CertificateRefused, ErrorCode, ProtocolError, SignatureFailure, UsageError
from setproto.messages.codes import CertStatusCode, RequestType, Wants
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_KEY_CHALLENGE, ID_PAN_ONLY
from setproto.messages.registration import (
    CA_ALG,
    AcctData,
    CABackKeyData,
    CardCInitReq,
    CardCInitResData,
    CertInqReqData,
    CertReqData,
    CertResData,
    CertResWire,
    CertStatus,
    MeAqCInitReq,
    MeAqCInitResData,
    PANData0,
    PANOnly,
    RegFormItem,
    RegFormReqData,
    RegFormResData,
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
from setproto.messages.wrapper import MessageIDs, Wire, header
from setproto.roles.credentials import EXCHANGE_KINDS, SIGNATURE_KINDS, Credentials, label_party, party_of
from setproto.roles.enrolment import (
    TABLE,
    Asked,
    Certified,
    Enrolment,
    Enrolments,
    Form,
    Secrets,
    Signal,
    State,
    Subject,
)
from setproto.roles.party import Party, Received, Sent, content_of, decoded
from setproto.roles.ports import Clock, Event, EventKind, Outgoing, RandomBytes, Reply, Store, Transaction
from setproto.roles.registration import account_digest, account_kind, seal_pair, sign_with_keys

_ANSWERS: Final[dict[State, tuple[MessageType[Any], ...]]] = {
    State.INIT_SENT: (CARD_C_INIT_RES, ME_AQ_C_INIT_RES),
    State.FORM_ASKED: (REG_FORM_RES,),
    State.REQUESTED: (CERT_RES, CERT_INQ_RES),
    State.PENDING: (CERT_RES, CERT_INQ_RES),
}
"""What may come in each state; nothing in the others."""


class Applicant(Party):
    """One registration, from the first question to the certificates."""

    def __init__(
        self,
        subject: Subject,
        request_type: RequestType,
        validator: PathValidator,
        store: Store,
        *,
        brand: str,
        lid_ee: bytes,
        vault: SecretKey,
        clock: Clock,
        random: RandomBytes,
        certified: Credentials | None = None,
        language: str = "en",
        journal: bool = False,
    ) -> None:
        """``lid_ee``: 1 to 20 octets, new for every registration, the same to go on with one.  ``vault`` seals what
        must stay secret.  ``certified``: the credentials that are renewed, or to which a key-exchange key is added.

        UsageError if subject, request type and ``certified`` do not fit together.
        """
        role = Role.cardholder if isinstance(subject, Card) else subject.role
        me = label_party(role, brand, lid_ee)
        super().__init__(me, validator, store, clock=clock, random=random, journal=journal)
        reserved = role is Role.cardholder and request_type.wants is not Wants.SIG
        if request_type.applicant != int(role) or reserved:
            raise UsageError(f"{request_type.name} is not for a {role.name}")
        if request_type.signed_by_certified_key != (certified is not None):
            raise UsageError(f"{request_type.name} and a certificate do not go together")
        self._subject = subject
        self._request_type = request_type
        self._brand = brand
        self._lid_ee = lid_ee
        self._records = Enrolments(lid_ee, vault)
        self._certified = certified
        self._language = language

    # --- what the applicant does ------------------------------------------------------------------

    def start(self) -> Outgoing:
        """CardCInitReq or Me-AqCInitReq: nothing secret is in it."""
        rrpid, challenge, thumbs = self.random(20), self.random(20), self.thumbs
        over = self.header(rrpid, MessageIDs(), anonymous=True)
        common: dict[str, Any] = {
            "rrpid": rrpid,
            "lid_ee": self._lid_ee,
            "chall_ee": challenge,
            "brand_id": self._brand,
            "thumbs": thumbs,
        }
        secrets = Secrets()
        if isinstance(self._subject, Card):
            sent = self.plain(CARD_C_INIT_REQ, over, CardCInitReq(**common))
        else:
            public_key_e = None
            if self._request_type.wants is not Wants.SIG:
                key = key_suite(self.suite).generate_exchange_key()
                secrets = Secrets(exchange_key=private_key_octets(key))
                public_key_e = public_key_der(key.public_key())
            asks = MeAqCInitReq(
                **common,
                request_type=self._request_type,
                id_data=self._subject.id_data,
                language=self._language,
                public_key_e=public_key_e,
            )
            sent = self.plain(ME_AQ_C_INIT_REQ, over, asks)
        record = Enrolment(
            state=TABLE.initial,
            lid_ee=self._lid_ee,
            request_type=self._request_type,
            language=self._language,
            asked=Asked(rrpid=rrpid, challenge=challenge, content=sent.content, thumbs=thumbs),
            secrets=self._records.sealed(secrets),
        )
        with self.store.transaction() as transaction:
            self._records.begin(transaction, record)
            return self.begun(transaction, sent.outgoing)

    def form(self) -> Form:
        """The form that came, with the policy text; or the referral.  UsageError if none came yet."""
        form = self.enrolment().form
        if form is None:
            raise UsageError("no form yet")
        return form

    def apply(self, answers: Mapping[str, str]) -> Outgoing:
        """The form filled in: the CertReq, with fresh keys (§6.11 step 10).  Called again, the same octets again.

        UsageError if there is no form to answer.
        """
        with self.store.transaction() as transaction:
            record = self._records.find(transaction)
            if record.state in (State.REQUESTED, State.PENDING) and record.sent is not None:
                return self.begun(transaction, Outgoing(self._ca_role, CERT_REQ.name, record.sent))
            form, ca = record.form, record.ca
            if form is None or ca is None or not TABLE.allows(record.state, Signal.APPLY):
                raise UsageError(f"nothing to apply for in state {record.state.name}")
            secrets, request, account = self._request(record, form, ca, answers)
            sent = self._cert_req(record, ca, secrets, request, account)
            asked = Asked(rrpid=request.rrpid, challenge=request.chall_ee3, content=sent.content, thumbs=request.thumbs)
            state, sealed = TABLE.next(record.state, Signal.APPLY), self._records.sealed(secrets)
            changed = replace(record, state=state, asked=asked, secrets=sealed, sent=sent.outgoing.data)
            self._records.keep(transaction, changed)
            return self.begun(transaction, sent.outgoing)

    def inquire(self) -> Outgoing:
        """How does it stand?  A CertInqReq (§2.19).  UsageError if nothing was applied for."""
        with self.store.transaction() as transaction:
            record = self._records.find(transaction)
            if record.ca is None or record.form is None or record.state not in (State.REQUESTED, State.PENDING):
                raise UsageError(f"nothing to ask about in state {record.state.name}")
            rrpid, challenge = self.random(20), self.random(20)
            over = header(self.clock(), self._applying_as(record), rrpid, MessageIDs())
            body = CertInqReqData(
                head=replace(self.head(CERT_INQ_REQ.content_type, record.ca, over), sender=self._applying_as(record)),
                rrpid=rrpid,
                lid_ee=self._lid_ee,
                chall_ee3=challenge,
                lid_ca=record.form.lid_ca,
            )
            secrets = self._records.opened(record)
            new_key = None if secrets.signature_key is None else private_key_from(secrets.signature_key)
            certified = None if new_key is not None or self._certified is None else self._certified.signer
            content = encode(body)
            signed = sign_with_keys(CERT_INQ_REQ, content, self.suite, new_key, certified)
            sent = self.sent(CERT_INQ_REQ, over, signed, content_of(CERT_INQ_REQ, content, over), content)
            asked = Asked(rrpid=rrpid, challenge=challenge, content=sent.content, thumbs=record.asked.thumbs)
            self._records.keep(transaction, replace(record, asked=asked))
            return self.begun(transaction, sent.outgoing)

    def enrolment(self) -> Enrolment:
        """The record.  UsageError if nothing has begun."""
        with self.store.transaction() as transaction:
            return self._records.find(transaction)

    def certified(self) -> Certified:
        """Keys and certificates.  UsageError unless the registration is complete."""
        record = self.enrolment()
        if record.state is not State.COMPLETE or not record.certificates:
            raise UsageError(f"not certified: the registration is in state {record.state.name}")
        secrets, certificates = self._records.opened(record), list(record.certificates)
        chosen = suite(self.suite)
        if secrets.signature_key is not None:
            signer = Signer(private_key_from(secrets.signature_key), certificates.pop(0), chosen)
        elif self._certified is not None:
            signer = self._certified.signer
        else:
            raise UsageError("no signature key")
        exchange = None
        if secrets.exchange_key is not None:
            exchange = RecipientKey(private_key_from(secrets.exchange_key), certificates.pop(0), self.suite)
        elif self._certified is not None:
            exchange = self._certified.exchange
        role = self.party.role
        validated = self.validated(signer.certificate, SIGNATURE_KINDS[role], record.chain or ())
        credentials = Credentials(party_of(validated, role), signer, exchange, tuple(validated.chain))
        if secrets.card_secret is None or secrets.pan_secret is None:
            return Certified(credentials)
        return Certified(credentials, CardSecret(secrets.card_secret), PANSecret(secrets.pan_secret))

    # --- building ---------------------------------------------------------------------------------

    @property
    def _ca_role(self) -> Role:
        return CERT_REQ.recipient_from(self.party.role)

    def _applying_as(self, record: Enrolment) -> PartyID:
        """The sender of a CertReq: a cardholder's label, or the name that is to be certified (W-11)."""
        if isinstance(self._subject, Card):
            return self.party
        return PartyID(role=self.party.role, brand=self._brand, name=self._subject.id_data.name)

    def _reg_form_req(self, ca: PartyID, to: ValidatedCertificate, card: Card) -> tuple[Asked, Outgoing]:
        """§6.11 step 5."""
        rrpid, challenge, thumbs = self.random(20), self.random(20), self.thumbs
        over = self.header(rrpid, MessageIDs())
        account = encode(PANOnly.of(card.pan, self.random(32)))
        body = encode(
            RegFormReqData(
                head=self.head(REG_FORM_REQ.content_type, ca, over),
                rrpid=rrpid,
                lid_ee=self._lid_ee,
                chall_ee2=challenge,
                request_type=self._request_type,
                language=self._language,
                account_digest=account_digest(ID_PAN_ONLY, account),
                thumbs=thumbs,
            )
        )
        pair = seal_pair(self, REG_FORM_REQ, over, ca, to, body, (ID_PAN_ONLY, account))
        sent = self.sent(REG_FORM_REQ, over, pair, content_of(REG_FORM_REQ, body, over), body)
        return Asked(rrpid=rrpid, challenge=challenge, content=sent.content, thumbs=thumbs), sent.outgoing

    def _request(
        self, record: Enrolment, form: Form, ca: PartyID, answers: Mapping[str, str]
    ) -> tuple[Secrets, CertReqData, bytes | None]:
        """The CertReqData, what must be remembered to use the answer, and the account data."""
        chosen, secrets = key_suite(self.suite), self._records.opened(record)
        if self._request_type.wants is not Wants.ENC:
            secrets = replace(secrets, signature_key=private_key_octets(chosen.generate_signature_key()))
        account, back_key = None, None
        if isinstance(self._subject, Card):
            secrets = replace(secrets, card_secret=self.random(32), back_key=self.random(32))
            card_secret = CardSecret(secrets.card_secret or b"")
            account = encode(PANData0.of(self._subject, card_secret, self.random(32)))
            back_key = CABackKeyData(ca_alg_id=CA_ALG, ca_key=secrets.back_key or b"")
        elif form.acct_data_field is not None:
            if self._subject.account is None:
                raise UsageError(f"the CA asks for an account: {form.acct_data_field.field_name}")
            account = encode(AcctData(acct_identification=self._subject.account, ex_nonce=self.random(32)))
        template = form.form.reg_form_data.reg_template if form.form.reg_form_data else None
        rrpid, thumbs = self.random(20), self.thumbs
        over = header(self.clock(), self._applying_as(record), rrpid, MessageIDs())
        kind = account_kind(self.party.role)
        request = CertReqData(
            head=replace(self.head(CERT_REQ.content_type, ca, over), sender=self._applying_as(record)),
            rrpid=rrpid,
            lid_ee=self._lid_ee,
            chall_ee3=self.random(20),
            lid_ca=form.lid_ca,
            chall_ca=form.chall_ca,
            request_type=self._request_type,
            request_date=over.date,
            id_data=None if isinstance(self._subject, Card) else self._subject.id_data,
            reg_form_id=0 if template is None else template.reg_form_id,
            reg_form=[RegFormItem(field_name=name, field_value=value) for name, value in answers.items()] or None,
            ca_back_key_data=back_key,
            public_key_s=_public(secrets.signature_key),
            public_key_e=_public(secrets.exchange_key),
            key_proof=form.key_proof,
            ee_thumb=None if self._certified is None else thumbprint(self._certified.signer.certificate),
            account_digest=None if account is None else account_digest(kind, account),
            thumbs=thumbs,
        )
        return secrets, request, account

    def _cert_req(
        self, record: Enrolment, ca: PartyID, secrets: Secrets, request: CertReqData, account: bytes | None
    ) -> Sent:
        """The CertReq of a CertReqData: signed with every key that has to sign, then sealed."""
        over = header(request.request_date.as_datetime(), self._applying_as(record), request.rrpid, MessageIDs())
        content = encode(request)
        new_key = None if secrets.signature_key is None else private_key_from(secrets.signature_key)
        certified = None if self._certified is None else self._certified.signer
        signed = sign_with_keys(CERT_REQ, content, self.suite, new_key, certified)
        # Validated again now: the CA's key may have been revoked since its form came.
        to = self.validated(record.cae or b"", EXCHANGE_KINDS[ca.role], record.cae_chain or ())
        extra = None if account is None else (account_kind(self.party.role), account)
        pair = seal_pair(self, CERT_REQ, over, ca, to, signed, extra)
        return self.sent(CERT_REQ, over, pair, content_of(CERT_REQ, content, over), content)

    # --- what comes in ----------------------------------------------------------------------------

    def read(self, wire: Wire) -> Received[Any]:
        """An answer of the CA to what this applicant asked."""
        with self.store.transaction() as transaction:
            record, message_type = self._asked(transaction, wire)
        if message_type in (CERT_RES, CERT_INQ_RES):
            return self._receive_cert_res(wire, message_type, record)
        return self.receive(wire, message_type)

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """As ``read``."""
        record, message_type = self._asked(transaction, wire)
        if message_type is CARD_C_INIT_RES:
            return self._on_card_c_init(transaction, record, received)
        if message_type in (CERT_RES, CERT_INQ_RES):
            return self._on_cert_res(transaction, record, received)
        return self._on_form(transaction, record, received)

    def _asked(self, transaction: Transaction, wire: Wire) -> tuple[Enrolment, MessageType[Any]]:
        """The registration, and which of the answers that it waits for the message is."""
        record = self._records.find(transaction)
        if wire.header.rrpid != record.asked.rrpid:
            raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
        if wire.type is None or wire.type not in _ANSWERS.get(record.state, ()):
            raise ProtocolError("not an answer to anything that was asked", code=ErrorCode.messageNotSupported)
        return record, wire.type

    def _on_card_c_init(
        self, transaction: Transaction, record: Enrolment, received: Received[CardCInitResData]
    ) -> Reply:
        """§6.11 steps 4 and 5: the CA is genuine; the PAN goes to its key, and the form is asked for."""
        body = received.body
        ca = self._check_answer(record, received, body.chall_ee)
        if not isinstance(self._subject, Card):
            raise UsageError("only cardholders ask twice for a form")
        cae = self.exchange_certificate(body.cae_thumb, ca, received.certificates)
        self._check_tunneling(cae)
        asked, outgoing = self._reg_form_req(ca, cae, self._subject)
        state = TABLE.next(record.state, Signal.CA_SHOWN)
        self._records.keep(
            transaction,
            replace(record, state=state, asked=asked, ca=ca, cae=cae.der, cae_chain=list(cae.chain)),
        )
        return Reply((outgoing,), (Event(EventKind.CA_SHOWN, detail=ca.name),))

    def _on_form(
        self,
        transaction: Transaction,
        record: Enrolment,
        received: Received[RegFormResData] | Received[MeAqCInitResData],
    ) -> Reply:
        """§6.11 step 8, §6.12: the form, or where to go instead."""
        body = received.body
        if body.request_type is not self._request_type:
            raise ProtocolError("a form for another request", code=ErrorCode.wrapperMsgMismatch)
        key_proof, field = None, None
        if isinstance(body, MeAqCInitResData):
            ca = self._check_answer(record, received, body.chall_ee)
            key_proof, field = self._key_proof(record, ca, body), body.acct_data_field
        else:
            ca = self._check_answer(record, received, body.chall_ee2)
        cae = self.exchange_certificate(body.cae_thumb, ca, received.certificates)
        form = Form(
            lid_ca=body.lid_ca,
            chall_ca=body.chall_ca,
            form=body.reg_form_or_referral,
            acct_data_field=field,
            key_proof=key_proof,
        )
        referred = form.form.referral_data is not None
        state = TABLE.next(record.state, Signal.REFERRAL if referred else Signal.FORM)
        self._records.keep(
            transaction,
            replace(record, state=state, ca=ca, cae=cae.der, cae_chain=list(cae.chain), form=form),
        )
        return Reply(events=(Event(EventKind.FORM, detail=state.name),))

    def _key_proof(self, record: Enrolment, ca: PartyID, body: MeAqCInitResData) -> bytes | None:
        """What the CA sealed to the new key-exchange key: only its owner can say it (PX-13)."""
        secrets = self._records.opened(record)
        if (secrets.exchange_key is None) != (body.sealed_key_challenge is None):
            raise ProtocolError("a key challenge for no key, or none", code=ErrorCode.wrapperMsgMismatch)
        if secrets.exchange_key is None or body.sealed_key_challenge is None:
            return None
        key = BareRecipientKey(private_key_from(secrets.exchange_key), self.suite)
        context = self.context(ID_KEY_CHALLENGE, ca, self.party, None, body.rrpid)
        return unseal(body.sealed_key_challenge, key, context=context).content

    def _receive_cert_res(
        self, wire: Wire, message_type: MessageType[CertResData], record: Enrolment
    ) -> Received[CertResData]:
        """CertRes: for a cardholder sealed under the back key, unless the CA found none that it could use."""
        body = decoded(CertResWire, wire.body)
        secrets = self._records.opened(record)
        me, signed = self._applying_as(record), body.signed
        if body.sealed is not None:
            if secrets.back_key is None or record.form is None or record.ca is None:
                raise ProtocolError("sealed, but not under a key of ours", code=ErrorCode.messageNotSupported)
            key = SecretKey(secrets.back_key, record.form.lid_ca)
            context = self.context(message_type.content_type, record.ca, me, None, wire.header.rrpid)
            signed = unseal(body.sealed, key, context=context).content
        received = self.read_signed(wire, message_type, signed or b"", me)
        self.agree(wire, message_type, received)
        if body.sealed is None and secrets.back_key is not None and received.body.cert_status.nonce_cca is not None:
            raise SignatureFailure("Nonce-CCA in the clear")
        return received

    def _on_cert_res(self, transaction: Transaction, record: Enrolment, received: Received[CertResData]) -> Reply:
        """§6.11 step 14."""
        body = received.body
        self._check_answer(record, received, body.chall_ee3)
        if record.form is None or body.lid_ca != record.form.lid_ca:
            raise ProtocolError("another registration", code=ErrorCode.unknownLID)
        status = body.cert_status
        signal = {
            CertStatusCode.requestComplete: Signal.CERTIFIED,
            CertStatusCode.requestInProgress: Signal.WAIT,
            CertStatusCode.requestPended: Signal.WAIT,
            CertStatusCode.regFormAnswerMalformed: Signal.CORRECT,
        }.get(status.cert_status_code, Signal.REFUSED)
        if signal is Signal.CORRECT and not TABLE.allows(record.state, signal):
            signal = Signal.REFUSED
        changed = replace(record, state=TABLE.next(record.state, signal), code=status.cert_status_code)
        if signal is Signal.CERTIFIED:
            changed = self._with_certificates(changed, received)
        self._records.keep(transaction, changed)
        return Reply(events=(Event(EventKind.CERTIFICATION, code=status.cert_status_code, detail=_text(status)),))

    def _with_certificates(self, record: Enrolment, received: Received[CertResData]) -> Enrolment:
        """The certificates are the ones that the CA named, genuine, of the new keys and in the right name."""
        secrets, body = self._records.opened(record), received.body
        role = self.party.role
        wanted = [
            (_public(octets), kind)
            for octets, kind in (
                (secrets.signature_key, SIGNATURE_KINDS[role]),
                (secrets.exchange_key, EXCHANGE_KINDS.get(role)),
            )
            if octets is not None and kind is not None
        ]
        by_thumb = {_thumb(der): der for der in received.certificates}
        thumbs = body.cert_thumbs or []
        if len(thumbs) != len(wanted) or any(thumb not in by_thumb for thumb in thumbs):
            raise CertificateRefused("not the certificates that were asked for", code=ErrorCode.missingCertificate)
        name = self._applying_as(record).name
        if isinstance(self._subject, Card):
            nonce, card_secret = body.cert_status.nonce_cca, CardSecret(secrets.card_secret or b"")
            if nonce is None:
                raise ProtocolError("no Nonce-CCA", code=ErrorCode.decodingFailure)
            pan_secret = PANSecret.derive(card_secret, nonce, self._brand)
            secrets = replace(secrets, pan_secret=pan_secret.reveal())
            name = cardholder_name(self._subject.pan, self._subject.expiry, pan_secret)
        for thumb, (public_key, kind) in zip(thumbs, wanted, strict=True):
            certificate = self.validated(by_thumb[thumb], CertificateKind(kind), received.certificates)
            if public_key_der(certificate.public_key) != public_key or certificate.party_id != name:
                raise CertificateRefused("certified another key or name", code=ErrorCode.invalidCertificate)
        certificates = [by_thumb[thumb] for thumb in thumbs]
        return replace(
            record,
            secrets=self._records.sealed(secrets),
            certificates=certificates,
            chain=[der for der in received.certificates if der not in certificates],
        )

    def _check_answer(self, record: Enrolment, received: Received[Any], challenge: bytes) -> PartyID:
        """The answer is to the question that was asked last, by the CA that was asked (§6.11 step 4)."""
        body, ca = received.body, party_of(received.signed_by(), self._ca_role)
        if body.lid_ee != self._lid_ee:
            raise ProtocolError("another registration", code=ErrorCode.unknownLID)
        if challenge != record.asked.challenge:
            raise ProtocolError("not the challenge that was sent", code=ErrorCode.challengeMismatch)
        if body.thumbs != record.asked.thumbs:
            raise ProtocolError("not the thumbprints that were sent", code=ErrorCode.thumbsMismatch)
        if body.request_digest != record.asked.content:
            raise ProtocolError("an answer to another request", code=ErrorCode.wrapperMsgMismatch)
        if record.ca is not None and ca != record.ca:
            raise SignatureFailure("not from the CA that was asked")
        return ca

    def _check_tunneling(self, cae: ValidatedCertificate) -> None:
        """The CA can answer under an algorithm that this wallet has, or there is no point in going on (step 4)."""
        offered = tunneling_of(cae.certificate)
        if offered is None or CA_ALG not in offered.algorithms:
            raise ProtocolError("the CA offers no algorithm to answer under", code=ErrorCode.invalidCertificate)


def _public(private_octets: bytes | None) -> bytes | None:
    """SubjectPublicKeyInfo of a stored private key."""
    return None if private_octets is None else public_key_der(private_key_from(private_octets).public_key())


def _thumb(der: bytes) -> bytes:
    try:
        return thumbprint(der)
    except CertificateError as refusal:
        raise CertificateRefused(refusal.rule, code=ErrorCode.invalidCertificate) from None


def _text(status: CertStatus) -> str:
    """What the CA says to the applicant, with what is wrong in the form."""
    parts = [status.ee_message or ""]
    parts += [f"field {item.item_number}: {item.item_reason}" for item in status.failed_item_seq or []]
    return "; ".join(part for part in parts if part)


__all__ = ["Applicant"]
