"""Requests that break one rule (set-protocol.md §6.11 to 6.13; W-3, W-11, W-12; PX-6, PX-13).

Every test makes the request that would be accepted, deviates in one thing, and sees that nothing was stored, nothing
certified and nobody asked.  What the CA answers to requests of applicants is here; what applicants refuse of what CAs
answer is in ``test_refused_answers``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509 import ObjectIdentifier

from pki import key_suite, thumbprint
from pki.der import GeneralizedTime, encode, general_time, tlv
from pki.suites import public_key_der
from setproto.card import Card, CardExpiry
from setproto.crypto.cms import Signer
from setproto.crypto.possession import private_key_from, prove
from setproto.errors import ErrorCode
from setproto.market import credentials
from setproto.messages.codes import CertStatusCode, RequestType
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_CERT_INQ_REQ_TBS, ID_CERT_REQ_TBS
from setproto.messages.registration import (
    AcquirerID,
    CABackKeyData,
    CertResWire,
    IDData,
    KeySigned,
    MeAqCInitReq,
    PANData0,
    PANOnly,
    RegFormItem,
)
from setproto.messages.registry import CARD_C_INIT_REQ, ME_AQ_C_INIT_REQ
from setproto.messages.wrapper import Wire, unwrap, wrap
from setproto.roles import applicant as applicants
from setproto.roles.applicant import Applicant
from setproto.roles.authority import MAX_TRIES, records
from setproto.roles.authority.ports import Verdict
from setproto.roles.credentials import Credentials
from setproto.roles.enrolment import State
from setproto.roles.party import Received, decoded
from setproto.roles.ports import EventKind, Reply
from tests.pki.forging import Draft as CertificateDraft
from tests.pki.forging import serial_of
from tests.registration.hands import (
    Draft,
    assert_completes,
    assert_declined,
    assert_refused,
    ca_of,
    draft,
    inquiry,
    reg_form_req,
    use_keys,
)
from tests.registration.office import (
    ACQUIRER_BIN,
    ANSWERS,
    BRAND,
    CARD,
    INITIAL,
    OTHER_CARD,
    OTHER_SHOP,
    SHOP,
    SUBJECTS,
    Office,
    approve,
    merchant_data,
)
from tests.roles.test_certificates import sibling

E, S = ErrorCode, CertStatusCode
BUSINESSES = (Role.merchant, Role.gateway)
RENEWAL = {
    Role.cardholder: RequestType.cardRenewalSig,
    Role.merchant: RequestType.merRenewalBoth,
    Role.gateway: RequestType.pgwyRenewalBoth,
}
P256 = key_suite("p256")
each_role = pytest.mark.parametrize("role", SUBJECTS)
each_business = pytest.mark.parametrize("role", BUSINESSES)


def renewing(office: Office, role: Role) -> Applicant:
    """An applicant that renews its certificates, and has its form."""
    certified = office.register(office.applicant(role)).certified().credentials
    return office.ready(role, request_type=RENEWAL[role], certified=certified)


@pytest.mark.prop("PX-13")
@each_role
@pytest.mark.parametrize("begin", [Office.ready, renewing], ids=["initial", "renewal"])
def test_what_is_put_together_by_hand_is_accepted(begin: Callable[[Office, Role], Applicant], role: Role) -> None:
    """So that every refusal below is for what was changed."""
    office = Office.open()
    applicant = begin(office, role)
    before = len(office.certified(role)[1])
    reply = ca_of(office, applicant).handle(draft(office, applicant).data())
    assert [event.code for event in reply.events] == [S.requestComplete]
    assert len(office.certified(role)[1]) > before


# --- one deviation --------------------------------------------------------------------------------


def another_key() -> bytes:
    return public_key_der(P256.generate_signature_key().public_key())


def another_registration(draft_: Draft) -> Applicant:
    """Of the same subject at the same CA."""
    return draft_.office.ready(draft_.applicant.party.role)


def stranger(draft_: Draft) -> PartyID:
    return replace(draft_.sender, name="ab" * 8 if draft_.sender.role is Role.cardholder else "somebody else")


def its_form(draft_: Draft) -> tuple[bytes, bytes]:
    form = another_registration(draft_).form()
    return form.lid_ca, form.chall_ca


EVERYBODY: dict[str, tuple[Callable[[Draft], Draft], ErrorCode]] = {
    "no Chall-CA worth the name": (lambda d: d.but(chall_ca=bytes(20)), E.challengeMismatch),
    "Chall-CA of another registration": (lambda d: d.but(chall_ca=its_form(d)[1]), E.challengeMismatch),
    "LID-CA that there is not": (lambda d: d.but(lid_ca=os.urandom(20)), E.unknownLID),
    "LID-CA of another registration": (lambda d: d.but(lid_ca=its_form(d)[0]), E.unknownLID),
    "LID-CA and Chall-CA of another registration": (
        lambda d: d.but(**dict(zip(("lid_ca", "chall_ca"), its_form(d), strict=True))),
        E.unknownLID,
    ),
    "another form": (lambda d: d.but(reg_form_id=8), E.wrapperMsgMismatch),
    "key of which possession is not shown": (lambda d: d.but(public_key_s=another_key()), E.signatureFailure),
    "the key has changed": (lambda d: replace(d, new_key=P256.generate_signature_key()), E.signatureFailure),
    "a signature over something else": (
        lambda d: replace(
            d, signed=KeySigned(content=b"", by_new_key=prove(d.new_key, "p256", b"else", ID_CERT_REQ_TBS))
        ),
        E.signatureFailure,
    ),
    "a signature of another type": (
        lambda d: replace(
            d, signed=KeySigned(content=b"", by_new_key=prove(d.new_key, "p256", d.content, ID_CERT_INQ_REQ_TBS))
        ),
        E.signatureFailure,
    ),
    "not signed": (lambda d: replace(d, signed=tlv(0x30, tlv(0x04, d.content))), E.decodingFailure),
    "not a key": (lambda d: d.but(public_key_s=b"not a key"), E.decodingFailure),
    "signed with a certificate that nobody asked for": (
        lambda d: replace(d, certified=stray_signer(d)),
        E.signatureFailure,
    ),
    "signed with a certificate that nobody asked for, and named": (
        lambda d: renewed_by(d, stray_signer(d)),
        E.signatureFailure,
    ),
    "for somebody else": (
        lambda d: d.head(recipient=replace(d.request.head.recipient, name="Other CA")),
        E.wrongRecipient,
    ),
    "for another role": (
        lambda d: d.head(recipient=replace(d.request.head.recipient, role=Role.gateway)),
        E.wrongRecipient,
    ),
    "of another type": (lambda d: d.head(type=ID_CERT_INQ_REQ_TBS), E.wrongRecipient),
    "of another version": (lambda d: d.head(version=1), E.wrongRecipient),
    "of another suite": (lambda d: d.head(suite="ed25519"), E.wrongRecipient),
    "from somebody else, says the head": (lambda d: d.head(sender=stranger(d)), E.wrongRecipient),
    "from somebody else, says the header": (lambda d: replace(d, sender=stranger(d)), E.wrapperMsgMismatch),
    "account data without a link": (lambda d: replace(d.but(account_digest=None), linked=False), E.signatureFailure),
    "a link without account data": (lambda d: replace(d, account=None), E.signatureFailure),
    "account data of another request": (
        lambda d: replace(d, account=draft(d.office, another_registration(d)).account, linked=False),
        E.signatureFailure,
    ),
    "another request type of its role": (
        lambda d: d.but(request_type=SIGNATURE_ONLY.get(d.sender.role, RequestType.merInitialSig)),
        E.wrapperMsgMismatch,
    ),
    "too old": (
        lambda d: d.but(request_date=earlier(d, timedelta(minutes=20))),
        E.messageTooOld,
    ),
}
SIGNATURE_ONLY = {Role.merchant: RequestType.merInitialSig, Role.gateway: RequestType.pgwyInitialSig}


def earlier(draft_: Draft, by: timedelta) -> GeneralizedTime:
    return general_time(draft_.request.request_date.as_datetime() - by)


def renewed_by(draft_: Draft, signer: Signer) -> Draft:
    return replace(draft_.but(ee_thumb=thumbprint(signer.certificate)), certified=signer)


def stray_signer(draft_: Draft) -> Signer:
    """A good certificate of the applicant's role and name."""
    office, role = draft_.office, draft_.applicant.party.role
    certified = office.register(office.applicant(role)).certified().credentials
    return certified.signer


@pytest.mark.prop("PX-13", "PX-6")
@each_role
@pytest.mark.parametrize("what", EVERYBODY)
def test_a_request_that_breaks_one_rule(what: str, role: Role) -> None:
    deviate, code = EVERYBODY[what]
    office = Office.open()
    applicant = office.ready(role)
    deviant = deviate(draft(office, applicant)).data()
    assert_refused(office, office.cas[role], deviant, code)
    assert_completes(office, applicant)


BUSINESS: dict[str, tuple[Callable[[Draft], Draft], ErrorCode]] = {
    "proof of the key-exchange key": (lambda d: d.but(key_proof=bytes(32)), E.challengeMismatch),
    "proof from another registration": (
        lambda d: d.but(key_proof=another_registration(d).form().key_proof),
        E.challengeMismatch,
    ),
    "another key-exchange key than at the beginning": (
        lambda d: d.but(public_key_e=public_key_der(P256.generate_exchange_key().public_key())),
        E.wrapperMsgMismatch,
    ),
    "no key-exchange key": (lambda d: d.but(public_key_e=None, key_proof=None), E.wrapperMsgMismatch),
    "no signature key": (lambda d: replace(d.but(public_key_s=None), new_key=None, certified=stray_signer(d)), None),
    "a key for the answer": (
        lambda d: d.but(ca_back_key_data=CABackKeyData(ca_alg_id=CARD_ALG, ca_key=bytes(32))),
        E.wrapperMsgMismatch,
    ),
    "another name, says the request": (lambda d: d.but(id_data=renamed(d)), E.wrongRecipient),
    "another name, say request and head": (
        lambda d: d.but(id_data=renamed(d)).head(sender=named(d)),
        E.wrapperMsgMismatch,
    ),
    "another name, say request, head and header": (
        lambda d: replace(d.but(id_data=renamed(d)).head(sender=named(d)), sender=named(d)),
        E.wrapperMsgMismatch,
    ),
    "no name": (lambda d: d.but(id_data=None), E.wrapperMsgMismatch),
    "a name of the other role": (lambda d: d.but(id_data=other_sort(d)), E.wrapperMsgMismatch),
}
CARD_ALG = ObjectIdentifier("2.16.840.1.101.3.4.1.46")


def renamed(draft_: Draft) -> IDData:
    """Somebody else's name."""
    id_data = draft_.request.id_data
    assert id_data is not None
    if id_data.merchant_acquirer_id is not None:
        return IDData(merchant_acquirer_id=replace(id_data.merchant_acquirer_id, merchant_id="shop-2"))
    assert id_data.acquirer_id is not None
    return IDData(acquirer_id=replace(id_data.acquirer_id, acquirer_business_id="gateway-2"))


def named(draft_: Draft) -> PartyID:
    return replace(draft_.sender, name=renamed(draft_).name)


def other_sort(draft_: Draft) -> IDData:
    if draft_.sender.role is Role.merchant:
        return IDData(acquirer_id=AcquirerID(acquirer_bin=ACQUIRER_BIN, acquirer_business_id=draft_.sender.name))
    return SHOP.id_data


@pytest.mark.prop("PX-13", "MR-7", "MR-8")
@each_business
@pytest.mark.parametrize("what", BUSINESS)
def test_a_merchants_or_gateways_request_that_breaks_one_rule(what: str, role: Role) -> None:
    deviate, code = BUSINESS[what]
    office = Office.open()
    applicant = office.ready(role)
    deviant = deviate(draft(office, applicant)).data()
    assert_refused(office, office.cas[role], deviant, code or E.signatureFailure)
    assert_completes(office, applicant)


CARDHOLDER: dict[str, tuple[Callable[[Draft], Draft], ErrorCode]] = {
    "a name": (lambda d: d.but(id_data=SHOP.id_data), E.wrapperMsgMismatch),
    "a key-exchange key": (
        lambda d: d.but(public_key_e=public_key_der(P256.generate_exchange_key().public_key()), key_proof=bytes(32)),
        E.wrapperMsgMismatch,
    ),
    "no key for the answer": (lambda d: d.but(ca_back_key_data=None), E.wrapperMsgMismatch),
    "no account": (lambda d: replace(d.but(account_digest=None), account=None), E.wrapperMsgMismatch),
    "account data that is none": (lambda d: replace(d, account=b"4111111111111111"), E.decodingFailure),
    "LID-EE of somebody else": (lambda d: d.but(lid_ee=b"somebody"), E.wrongRecipient),
}


@pytest.mark.prop("PX-13")
@pytest.mark.parametrize("what", CARDHOLDER)
def test_a_cardholders_request_that_breaks_one_rule(what: str) -> None:
    deviate, code = CARDHOLDER[what]
    office = Office.open()
    applicant = office.ready()
    assert_refused(office, office.cas[Role.cardholder], deviate(draft(office, applicant)).data(), code)
    assert_completes(office, applicant)


RENEWALS: dict[str, tuple[Callable[[Draft], Draft], ErrorCode]] = {
    "not signed with the certified key": (lambda d: replace(d, certified=None), E.signatureFailure),
    "not signed with the new key": (lambda d: replace(d, new_key=None), E.signatureFailure),
    "not signed with the certified key, nor named": (
        lambda d: replace(d.but(ee_thumb=None), certified=None),
        E.signatureFailure,
    ),
    "signed with the certified key, over something else": (
        lambda d: replace(d, signed=signed_apart(d)),
        E.signatureFailure,
    ),
    "thumbprint of another certificate": (lambda d: d.but(ee_thumb=bytes(32)), E.signatureFailure),
    "no thumbprint": (lambda d: d.but(ee_thumb=None), E.signatureFailure),
    "signed with another certificate of the same party": (
        lambda d: replace(d, certified=stray_signer(d)),
        E.signatureFailure,
    ),
    "signed with the new key twice": (
        lambda d: replace(d, certified=impostor(d)),
        E.signatureFailure,
    ),
}


def signed_apart(draft_: Draft) -> KeySigned:
    """The new key signs the request, the certified one something else."""
    assert draft_.certified is not None
    return KeySigned(
        content=b"",
        by_new_key=prove(draft_.new_key, "p256", draft_.content, ID_CERT_REQ_TBS),
        by_certified_key=draft_.certified.sign(b"else", ID_CERT_REQ_TBS, detached=True),
    )


def impostor(draft_: Draft) -> Signer:
    """Has the certificate, and another key."""
    assert draft_.certified is not None
    signer = Signer.__new__(Signer)
    signer.__dict__ |= {**draft_.certified.__dict__, "_key": draft_.new_key}
    return signer


@pytest.mark.prop("PX-13")
@each_role
@pytest.mark.parametrize("what", RENEWALS)
def test_a_renewal_that_breaks_one_rule(what: str, role: Role) -> None:
    deviate, code = RENEWALS[what]
    office = Office.open()
    applicant = renewing(office, role)
    assert_refused(office, office.cas[role], deviate(draft(office, applicant)).data(), code)
    assert_completes(office, applicant)


# --- certificates that cannot be renewed ----------------------------------------------------------


def redrafted(certified: Credentials, office: Office, role: Role, change: Callable[[CertificateDraft], None]) -> Signer:
    """The certificate with something changed, signed again by its CA."""
    made = CertificateDraft.of(certified.signer.certificate)
    change(made)
    certificate = made.signed(office.cas[role]._authority)
    return Signer(certified.signer.private_key, certificate, certified.signer.suite)


def expired(office: Office, role: Role, certified: Credentials) -> Signer:
    now = office.clock()

    def change(made: CertificateDraft) -> None:
        made.not_before, made.not_after = now - timedelta(hours=20), now - timedelta(minutes=1)
        made.put(x509.PrivateKeyUsagePeriod(made.not_before, made.not_after), critical=False)

    return redrafted(certified, office, role, change)


def revoked(office: Office, role: Role, certified: Credentials) -> Signer:
    authority = office.cas[role]._authority
    authority.revoke(serial_of(certified.signer.certificate), office.clock())
    for crl in office.tree.crls(office.clock()):
        office.cas[role].validator.add_crl(crl)
    return certified.signer


def of_another_brand(office: Office, role: Role, certified: Credentials) -> Signer:
    other = sibling(office.tree)
    if role is Role.cardholder:
        return credentials(other.issue_cardholder(bytes(32)), certified.party, "p256").signer
    if role is Role.merchant:
        return credentials(other.issue_merchant("shop-1", "Shop", ACQUIRER_BIN), certified.party, "p256").signer
    return credentials(other.issue_gateway("gateway-1"), certified.party, "p256").signer


def of_another_role(office: Office, role: Role, certified: Credentials) -> Signer:
    other = {Role.cardholder: Role.merchant, Role.merchant: Role.gateway, Role.gateway: Role.merchant}[role]
    return office.register(office.applicant(other)).certified().credentials.signer


def of_a_ca(office: Office, role: Role, certified: Credentials) -> Signer:
    return office.cas[role].credentials.signer


def of_no_ca(office: Office, role: Role, certified: Credentials) -> Signer:
    elsewhere = Office.open()
    return elsewhere.register(elsewhere.applicant(role)).certified().credentials.signer


UNRENEWABLE = {
    expired: E.expiredCertificate,
    revoked: E.revokedCertificate,
    of_another_brand: E.invalidCertificate,
    of_another_role: E.invalidCertificate,
    of_a_ca: E.invalidCertificate,
    of_no_ca: E.missingCertificate,
}


@pytest.mark.prop("PX-12", "PX-13")
@each_role
@pytest.mark.parametrize("which", UNRENEWABLE)
def test_a_certificate_that_cannot_be_renewed(which: Callable[..., Signer], role: Role) -> None:
    office = Office.open()
    certified = office.register(office.applicant(role)).certified().credentials
    signer = which(office, role, certified)
    bad = replace(certified, signer=signer)
    applicant = office.ready(role, request_type=RENEWAL[role], certified=bad)
    assert_refused(office, office.cas[role], draft(office, applicant).data(), UNRENEWABLE[which])


@pytest.mark.prop("PX-13", "CR-17")
def test_a_certificate_of_another_card_is_not_renewed_for_this_one() -> None:
    office = Office.open()
    certified = office.register(office.applicant(subject=OTHER_CARD)).certified().credentials
    applicant = office.ready(request_type=RequestType.cardRenewalSig, certified=certified)
    assert_declined(office, Role.cardholder, draft(office, applicant).data(), S.rejectedByCA)


@pytest.mark.prop("PX-13", "CR-17")
def test_a_certificate_that_was_not_issued_over_the_wire_is_not_renewed() -> None:
    """The CA cannot know for which card it is."""
    office = Office.open()
    issued = office.tree.issue_cardholder(bytes(32))
    party = PartyID(role=Role.cardholder, brand=BRAND, name="x")
    applicant = office.ready(request_type=RequestType.cardRenewalSig, certified=credentials(issued, party, "p256"))
    assert_declined(office, Role.cardholder, draft(office, applicant).data(), S.rejectedByCA)


@pytest.mark.prop("PX-13", "MR-7", "MR-8")
@pytest.mark.parametrize("request_type", [RequestType.merRenewalBoth, RequestType.merInitialEnc])
def test_a_merchant_cannot_renew_or_add_in_the_name_of_another(request_type: RequestType) -> None:
    office = Office.open()
    certified = office.register(office.applicant(Role.merchant, subject=OTHER_SHOP)).certified().credentials
    applicant = office.ready(Role.merchant, request_type=request_type, certified=certified)
    assert_declined(office, Role.merchant, draft(office, applicant).data(), S.rejectedByCA)


@pytest.mark.prop("PX-13", "MR-7", "MR-8")
def test_the_acquirer_must_know_the_merchant_under_the_name_that_is_certified() -> None:
    office = Office.open()
    office.bank.approval = lambda application: replace(approve(application), merchant_data=merchant_data("shop-2"))
    applicant = office.register(office.applicant(Role.merchant))
    assert (applicant.enrolment().state, applicant.enrolment().code) == (State.REFUSED, S.rejectedByCA)
    assert office.certified(Role.merchant) == (frozenset(), ())


# --- one key, one certificate ---------------------------------------------------------------------


@pytest.mark.prop("PX-13", "CR-18", "MR-5")
@each_role
@pytest.mark.parametrize("other", [False, True], ids=["the same party", "another party"])
def test_a_signature_key_is_certified_once(role: Role, other: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the key, in any later registration."""
    office = Office.open()
    used = office.register(office.applicant(role)).certified().credentials.signer.private_key
    use_keys(monkeypatch, "p256", signature=used)
    subject = OTHERS[role] if other else None
    applicant = office.ready(role, subject=subject)
    assert_declined(office, role, draft(office, applicant).data(), S.rejectedByCA)


OTHERS = {
    Role.cardholder: OTHER_CARD,
    Role.merchant: OTHER_SHOP,
    Role.gateway: replace(
        SUBJECTS[Role.gateway],
        id_data=IDData(acquirer_id=AcquirerID(acquirer_bin=ACQUIRER_BIN, acquirer_business_id="gateway-2")),
    ),
}


@pytest.mark.prop("PX-13", "CR-18", "MR-6")
@each_business
@pytest.mark.parametrize("other", [False, True], ids=["the same party", "another party"])
def test_a_key_exchange_key_is_certified_once(role: Role, other: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office.open()
    exchange = office.register(office.applicant(role)).certified().credentials.exchange
    assert exchange is not None
    use_keys(monkeypatch, "p256", exchange=exchange.private_key)
    applicant = office.ready(role, subject=OTHERS[role] if other else None)
    assert_declined(office, role, draft(office, applicant).data(), S.rejectedByCA)


@pytest.mark.prop("PX-13", "CR-18")
@each_role
def test_a_key_that_waits_for_its_certificate_is_taken(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two registrations with one key: the first one that applies gets it, however late the bank decides."""
    office = Office.open()
    use_keys(monkeypatch, "p256", signature=P256.generate_signature_key())
    office.bank.verdicts = [Verdict.PENDING]
    first = office.register(office.applicant(role))
    second = office.ready(role, subject=OTHERS[role])
    assert_declined(office, role, draft(office, second).data(), S.rejectedByCA)
    office.deliver(first, first.inquire())
    assert first.enrolment().state is State.COMPLETE


@pytest.mark.prop("PX-13", "CR-18")
@each_business
def test_one_key_is_not_certified_for_two_purposes(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office.open()
    key = P256.generate_signature_key()
    use_keys(monkeypatch, "p256", signature=key, exchange=key)
    applicant = office.ready(role)
    assert_declined(office, role, draft(office, applicant).data(), S.rejectedByCA)


@pytest.mark.prop("PX-13", "CR-18")
@each_role
def test_the_keys_of_the_ca_itself_are_not_certified(role: Role) -> None:
    """An applicant can name them, and cannot show that it has them."""
    office = Office.open()
    ca = office.cas[role]
    for key in (ca.credentials.signer.private_key.public_key(), ca._authority.certificate.public_key()):
        applicant = office.ready(role)
        deviant = draft(office, applicant).but(public_key_s=public_key_der(key)).data()
        assert_refused(office, ca, deviant, E.signatureFailure)


@pytest.mark.prop("PX-13", "MR-6", "MR-8")
@each_business
def test_somebody_elses_key_exchange_key_cannot_be_proved(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is asked to open something, and nobody else can (W-11)."""
    office = Office.open()
    theirs = P256.generate_exchange_key()
    applicant = office.applicant(role)
    start = unwrap(applicant.start().data)
    body = replace(decoded(MeAqCInitReq, start.body), public_key_e=public_key_der(theirs.public_key()))
    (answer,) = office.cas[role].handle(wrap(ME_AQ_C_INIT_REQ, encode(body), start.header)).outgoing
    reply = applicant.handle(answer.data)
    assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    assert applicant.enrolment().state is State.INIT_SENT


# --- forms and accounts ---------------------------------------------------------------------------

NAME_, PASSWORD_ = (RegFormItem(field_name=name, field_value=value) for name, value in ANSWERS.items())
MALFORMED: dict[str, tuple[list[RegFormItem] | None, str]] = {
    "nothing": (None, "field 1: an answer is required; field 2: an answer is required"),
    "required": ([NAME_], "field 2: an answer is required"),
    "blank": ([NAME_, replace(PASSWORD_, field_value="  ")], "field 2: an answer is required"),
    "too long": ([replace(NAME_, field_value="x" * 41), PASSWORD_], "field 1: at most 40 characters"),
    "unknown": (
        [NAME_, PASSWORD_, RegFormItem(field_name="Shoe size", field_value="44")],
        "field 0: not a field of the form, or answered twice",
    ),
    "twice": ([NAME_, NAME_, PASSWORD_], "field 0: not a field of the form, or answered twice"),
}


@each_role
@pytest.mark.parametrize("what", MALFORMED)
def test_a_form_filled_in_wrongly(what: str, role: Role) -> None:
    items, told = MALFORMED[what]
    office = Office.open()
    deviant = draft(office, office.ready(role)).but(reg_form=items)
    assert_declined(office, role, deviant.data(), S.regFormAnswerMalformed)
    if what == "twice":  # no applicant of ours could
        return
    applicant = office.register(office.applicant(role), {item.field_name: item.field_value for item in items or []})
    assert office.events[-1].detail == told
    assert_completes(office, applicant)


@each_role
def test_a_form_may_come_back_so_often_and_no_more(role: Role) -> None:
    office = Office.open()
    applicant = office.ready(role)
    for _ in range(MAX_TRIES):
        assert applicant.enrolment().state is State.FORM_RECEIVED
        office.deliver(applicant, applicant.apply({}))
    assert applicant.enrolment().state is State.REFUSED
    assert_refused(office, office.cas[role], draft(office, applicant).data(), E.unknownLID)
    assert office.bank.asked == []
    assert office.certified(role) == (frozenset(), ())


def account_of(card: Card, draft_: Draft) -> bytes:
    account = decoded(PANData0, draft_.account or b"")
    return encode(PANData0.of(card, account.secret(), account.ex_nonce))


@pytest.mark.prop("PX-13", "CR-17")
def test_the_form_was_for_another_card() -> None:
    """Of the same BIN: what counts is the number (§6.11 step 11)."""
    office = Office.open()
    applicant = office.ready()
    deviant = draft(office, applicant)
    deviant = replace(
        deviant, account=account_of(Card(BRAND, type(CARD.pan)("4111111111111129"), CARD.expiry), deviant)
    )
    assert_declined(office, Role.cardholder, deviant.data(), S.invalidBIN)


def test_a_number_that_is_no_card_number() -> None:
    office = Office.open()
    applicant = office.ready()
    deviant = draft(office, applicant)
    account = replace(decoded(PANData0, deviant.account or b""), pan="4111111111111112".ljust(19))
    assert_declined(office, Role.cardholder, replace(deviant, account=encode(account)).data(), S.invalidBIN)


@pytest.mark.prop("CR-17")
def test_a_card_that_has_expired_gets_no_certificate() -> None:
    office = Office.open()
    last_month = Card(BRAND, CARD.pan, CardExpiry("202512"))
    applicant = office.register(office.applicant(subject=last_month))
    assert (applicant.enrolment().state, applicant.enrolment().code) == (State.REFUSED, S.rejectedByCA)
    assert office.events[-1].detail == "the card has expired"
    assert office.certified() == (frozenset(), ())
    this_month = office.register(office.applicant(subject=Card(BRAND, CARD.pan, CardExpiry("202601"))))
    assert this_month.enrolment().state is State.COMPLETE


def test_an_answer_that_cannot_be_sealed_is_signed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """§6.11 step 13: another algorithm than AES-256-GCM in CABackKeyData.  Asked again, the CA says the same again."""
    office = Office.open()
    applicant = office.ready()
    monkeypatch.setattr(applicants, "CA_ALG", ObjectIdentifier("1.3.14.3.2.7"))
    for request in (applicant.apply(ANSWERS), applicant.inquire()):
        reply = assert_declined_or_told(office, request.data)
        body = decoded(CertResWire, unwrap(reply.outgoing[0].data).body)
        assert body.signed is not None
    applicant.handle(reply.outgoing[0].data)
    assert (applicant.enrolment().state, applicant.enrolment().code) == (State.REFUSED, S.unableToEncryptCertRes)
    assert office.bank.asked == []


def assert_declined_or_told(office: Office, data: bytes) -> Reply:
    reply = office.cas[Role.cardholder].handle(data)
    assert [event.code for event in reply.events] == [S.unableToEncryptCertRes]
    assert office.certified() == (frozenset(), ())
    return reply


@each_role
def test_who_did_not_hear_what_is_wrong_with_the_form_can_ask(role: Role) -> None:
    office = Office.open()
    applicant = office.ready(role)
    office.cas[role].handle(applicant.apply({"Name": "Ada"}).data)  # the answer gets lost
    office.deliver(applicant, applicant.inquire())
    assert office.events[-1].code is S.regFormAnswerMalformed
    assert office.events[-1].detail == "field 2: an answer is required"
    assert_completes(office, applicant)


@pytest.mark.prop("PX-13")
@each_role
def test_who_did_not_hear_of_a_refusal_can_ask(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office.open()
    used = office.register(office.applicant(role)).certified().credentials.signer.private_key
    use_keys(monkeypatch, "p256", signature=used)
    applicant, before = office.ready(role), office.certified(role)
    office.cas[role].handle(applicant.apply(ANSWERS).data)  # the answer gets lost
    office.deliver(applicant, applicant.inquire())
    assert (applicant.enrolment().state, applicant.enrolment().code) == (State.REFUSED, S.rejectedByCA)
    assert office.certified(role) == before


# --- first messages -------------------------------------------------------------------------------


def init_of(applicant: Applicant, **changes: object) -> bytes:
    """Me-AqCInitReq with other contents; RRPID and header are kept."""
    wire = unwrap(applicant.start().data)
    return wrap(ME_AQ_C_INIT_REQ, encode(replace(decoded(MeAqCInitReq, wire.body), **changes)), wire.header)


INIT: dict[str, tuple[Callable[[Role], dict[str, object]], ErrorCode]] = {
    "another brand": (lambda role: {"brand_id": "Other"}, E.invalidCertificate),
    "another role's name": (
        lambda role: {"id_data": SUBJECTS[next(r for r in BUSINESSES if r != role)].id_data},
        E.messageNotSupported,
    ),
    "another role's request type": (
        lambda role: {"request_type": INITIAL[next(r for r in BUSINESSES if r != role)]},
        E.messageNotSupported,
    ),
    "a cardholder's request type": (
        lambda role: {"request_type": RequestType.cardInitialSig, "public_key_e": None},
        E.messageNotSupported,
    ),
    "no key-exchange key": (lambda role: {"public_key_e": None}, E.decodingFailure),
    "a key-exchange key too many": (lambda role: {"request_type": SIGNATURE_ONLY[role]}, E.decodingFailure),
    "not a key": (lambda role: {"public_key_e": b"key"}, E.decodingFailure),
    "a key of another suite": (
        lambda role: {"public_key_e": public_key_der(key_suite("ed25519").generate_exchange_key().public_key())},
        E.decodingFailure,
    ),
    "another RRPID than the header's": (lambda role: {"rrpid": bytes(20)}, E.unknownRRPID),
}


@pytest.mark.prop("PX-13")
@each_business
@pytest.mark.parametrize("what", INIT)
def test_a_first_message_that_breaks_one_rule(what: str, role: Role) -> None:
    changes, code = INIT[what]
    office = Office.open()
    applicant = office.applicant(role)
    assert_refused(office, office.cas[role], init_of(applicant, **changes(role)), code)


def test_a_cardholders_first_message_for_another_brand() -> None:
    office = Office.open()
    wire = unwrap(office.applicant().start().data)
    body = replace(decoded(CARD_C_INIT_REQ.body, wire.body), brand_id="Other")
    ca = office.cas[Role.cardholder]
    assert_refused(office, ca, wrap(CARD_C_INIT_REQ, encode(body), wire.header), E.invalidCertificate)


def test_a_cardholders_first_message_costs_the_ca_no_registration() -> None:
    """Anybody can send one (§6.11 step 2 has the CA remember it)."""
    office = Office.open()
    applicant, ca = office.applicant(), office.cas[Role.cardholder]
    ca.handle(applicant.start().data)
    assert {table for table, _ in office.stores[Role.cardholder].dump()} == {"answers"}


REG_FORM: dict[str, tuple[dict[str, object], ErrorCode]] = {
    "reserved: key exchange": ({"request_type": RequestType.cardInitialEnc}, E.messageNotSupported),
    "reserved: both": ({"request_type": RequestType.cardInitialBoth}, E.messageNotSupported),
    "reserved: renewal of key exchange": ({"request_type": RequestType.cardRenewalEnc}, E.messageNotSupported),
    "a merchant's request": ({"request_type": RequestType.merInitialSig}, E.messageNotSupported),
    "another label": ({"lid_ee": b"somebody"}, E.wrongRecipient),
    "another link to the account data": ({"account_digest": bytes(32)}, E.signatureFailure),
    "account data that is none": ({"pan_only": b"4111"}, E.decodingFailure),
    "a number that is no card number": (
        {"pan_only": encode(PANOnly(pan="4111111111111112".ljust(19), ex_nonce=bytes(32)))},
        E.decodingFailure,
    ),
}


@pytest.mark.prop("PX-13")
@pytest.mark.parametrize("what", REG_FORM)
def test_a_question_for_the_form_that_breaks_one_rule(what: str) -> None:
    changes, code = REG_FORM[what]
    office = Office.open()
    applicant = office.ready()
    ca = office.cas[Role.cardholder]
    assert_refused(office, ca, reg_form_req(office, applicant, **changes), code)
    assert [event.kind for event in ca.handle(reg_form_req(office, applicant)).events] == []


# --- the same and other CAs -----------------------------------------------------------------------


@pytest.mark.prop("PX-6", "PX-13")
@each_role
def test_the_ca_of_another_role_takes_nothing(role: Role) -> None:
    """Not as it stands, and not sealed to that CA's own key either."""
    office = Office.open()
    applicant = office.applicant(role)
    office.register(applicant)
    to = {Role.cardholder: Role.merchant, Role.merchant: Role.gateway, Role.gateway: Role.cardholder}[role]
    for message in office.wire:
        before = office.state()
        reply = office.cas[to].handle(message.data)
        assert [event.kind for event in reply.events] in ([EventKind.REFUSED], [])
        if reply.outgoing[0].name != "Error":
            assert message.name == "Me-AqCInitReq", "plain, and for nobody in particular"
            continue
        assert office.state() == before
    ready = office.ready(role)
    deviant = draft(office, ready)
    before = office.state()
    reply = office.cas[to].handle(deviant.data(office.cas[to]))
    assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    assert office.state() == before


@pytest.mark.prop("PX-13")
@each_role
def test_the_ca_of_another_brand_takes_nothing(role: Role) -> None:
    office = Office.open()
    other = Office.open()
    applicant = office.ready(role)
    ca = other.cas[role]
    before = other.state()
    for data in (draft(office, applicant).data(ca), draft(office, applicant).head(recipient=ca.party).data(ca)):
        reply = ca.handle(data)
        assert [event.code for event in reply.events] in ([E.wrongRecipient], [E.unknownLID])
    assert other.state() == before


# --- repetitions ----------------------------------------------------------------------------------


@pytest.mark.prop("PX-9", "CR-18")
@each_role
def test_every_request_repeated_gets_the_same_answer(role: Role) -> None:
    office = Office.open()
    office.bank.verdicts = [Verdict.PENDING]
    applicant = office.register(office.applicant(role))
    office.deliver(applicant, applicant.inquire())
    ca, settled = office.cas[role], office.state()
    office.clock.advance(timedelta(days=1))
    for request, answer in zip(office.wire[::2], office.wire[1::2], strict=True):
        reply = ca.handle(request.data)
        assert [event.kind for event in reply.events] == [EventKind.REPEATED]
        assert [message.data for message in reply.outgoing] == [answer.data]
        assert office.state() == settled


@pytest.mark.prop("PX-9")
@each_role
def test_an_rrpid_stands_for_one_request(role: Role) -> None:
    office = Office.open()
    applicant = office.ready(role)
    first = draft(office, applicant)
    ca = office.cas[role]
    assert [event.code for event in ca.handle(first.data()).events] == [S.requestComplete]
    other = first.but(chall_ee3=bytes(20))
    assert_refused(office, ca, other.data(), E.rrpidConflict)


@pytest.mark.prop("PX-9", "CR-18")
@each_role
def test_a_registration_ends_once(role: Role) -> None:
    """Another request for the same form: other keys, other answers, fresh RRPID."""
    office = Office.open()
    applicant = office.ready(role)
    ca = office.cas[role]
    drafts = [draft(office, applicant), draft(office, applicant)]
    assert [event.code for event in ca.handle(drafts[0].data()).events] == [S.requestComplete]
    assert_refused(office, ca, drafts[1].data(), E.unknownLID)


# --- inquiries ------------------------------------------------------------------------------------


@pytest.mark.prop("PX-13")
@each_role
def test_nobody_else_can_ask_how_it_stands(role: Role) -> None:
    """Another applicant knows both labels, and has no part in the key."""
    office = Office.open()
    office.bank.verdicts = [Verdict.PENDING, Verdict.PENDING]
    applicant, other = (office.register(office.applicant(role, subject=who)) for who in (None, OTHERS[role]))
    mine, theirs = (
        private_key_from(each._records.opened(each.enrolment()).signature_key or b"") for each in (applicant, other)
    )
    ca, certified = office.cas[role], stray_signer(draft(office, office.ready(role)))
    for keys in ((theirs, None), (P256.generate_signature_key(), None), (None, certified)):
        assert_refused(office, ca, inquiry(office, applicant, *keys), E.signatureFailure)
    reply = ca.handle(inquiry(office, applicant, mine))
    assert [event.code for event in reply.events] == [S.requestComplete]


@pytest.mark.prop("PX-13")
def test_an_inquiry_is_about_the_request_whose_key_signed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another request takes its place after the signature was verified, and before the answer."""
    office = Office.open()
    office.bank.verdicts = [Verdict.PENDING]
    applicant, other = office.register(office.applicant(Role.merchant)), P256.generate_signature_key()
    mine = private_key_from(applicant._records.opened(applicant.enrolment()).signature_key or b"")
    ca, asked = office.cas[Role.merchant], inquiry(office, applicant, mine)
    read = ca.read

    def meanwhile(wire: Wire) -> Received[Any]:
        received = read(wire)
        with ca.store.transaction() as transaction:
            record = records.find(transaction, received.body.lid_ca, received.body.lid_ee)
            request = replace(received.baggage.request, public_key_s=public_key_der(other.public_key()))
            records.keep(transaction, replace(record, request=request))
        return received

    monkeypatch.setattr(ca, "read", meanwhile)
    (event,) = ca.handle(asked).events
    assert event.code is E.signatureFailure


@pytest.mark.prop("PX-13")
def test_an_inquiry_about_a_key_exchange_key_is_by_the_party_that_is_certified() -> None:
    """It has no new signature key, so any certified merchant could sign it: the name decides."""
    office = Office.open()
    mine, theirs = (
        office.register(office.applicant(Role.merchant, subject=who)).certified().credentials
        for who in (SHOP, OTHER_SHOP)
    )
    office.bank.verdicts = [Verdict.PENDING]
    applicant = office.applicant(Role.merchant, request_type=RequestType.merInitialEnc, certified=mine)
    office.register(applicant)
    applicant._certified = theirs
    inquiry = applicant.inquire().data
    assert_refused(office, office.cas[Role.merchant], inquiry, E.unknownLID)


@each_role
def test_there_is_nothing_to_ask_before_a_request(role: Role) -> None:
    """About a form that nobody has sent back, and about a registration that there is not."""
    office = Office.open()
    applicant = office.ready(role)
    applicant.apply(ANSWERS)  # and it gets lost
    assert_refused(office, office.cas[role], applicant.inquire().data, E.unknownLID)
