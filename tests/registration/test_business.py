"""A merchant or a gateway gets certificates (set-protocol.md §2.16, §2.18, §6.7, §6.12)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from pki import CertificateKind, ValidatedCertificate
from pki.der import decode
from pki.extensions import CardCertRequired, from_extension
from pki.suites import public_key_der
from setproto.errors import UsageError
from setproto.messages.codes import CertStatusCode, RequestType, Wants
from setproto.messages.common import PartyID, Role
from setproto.messages.registration import CertResWire, SealedPair
from setproto.messages.wrapper import unwrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority.ports import BusinessApplication, Verdict
from setproto.roles.credentials import EXCHANGE_KINDS, SIGNATURE_KINDS
from setproto.roles.enrolment import Certified, State
from tests.registration.office import (
    ACCOUNT,
    ANSWERS,
    FORM,
    GATEWAY,
    INITIAL,
    NOW,
    SHOP,
    SUBJECTS,
    Form,
    Office,
    approve,
)

BUSINESSES = (Role.merchant, Role.gateway)
SUITES = ("p256", "ed25519", "mldsa65", pytest.param("rsa3072", marks=pytest.mark.slow))
MESSAGES = ["Me-AqCInitReq", "Me-AqCInitRes", "CertReq", "CertRes"]
each_business = pytest.mark.parametrize("role", BUSINESSES)


def request_type(role: Role, wants: Wants, *, renewal: bool = False) -> RequestType:
    return next(
        entry for entry in RequestType if (entry.applicant, entry.wants, entry.renewal) == (int(role), wants, renewal)
    )


def validated(office: Office, certificate: bytes, kind: CertificateKind) -> ValidatedCertificate:
    return office.tree.validator(NOW).validate(certificate, kind=kind, brand=office.tree.brand, at=NOW)


def keys(certified: Certified) -> tuple[bytes, bytes]:
    """The public keys, for signatures and for key exchange."""
    exchange = certified.credentials.exchange
    assert exchange is not None
    pair = (certified.credentials.signer.private_key, exchange.private_key)
    return public_key_der(pair[0].public_key()), public_key_der(pair[1].public_key())


@pytest.mark.prop("MR-5", "MR-6", "MR-7", "MR-8")
@pytest.mark.parametrize("suite", SUITES)
@each_business
def test_a_registration(role: Role, suite: str) -> None:
    """Both certificates in one run: the name applied for, and keys of which possession was proved."""
    office = Office.open(suite)
    applicant = office.register(office.applicant(role))
    assert applicant.enrolment().state is State.COMPLETE
    assert [message.name for message in office.wire] == MESSAGES
    (asked,) = office.bank.asked
    subject = SUBJECTS[role]
    assert isinstance(asked, BusinessApplication)
    assert asked.party == PartyID(role=role, brand=office.tree.brand, name=subject.id_data.name)
    assert (asked.account, dict(asked.answers)) == (subject.account, ANSWERS)

    certified = applicant.certified()
    assert certified.credentials.party == asked.party
    assert (certified.card_secret, certified.pan_secret) == (None, None)
    _, (signature, exchange) = office.certified(role)
    assert certified.credentials.signer.certificate == signature
    assert certified.credentials.exchange is not None
    assert certified.credentials.exchange.certificate == exchange
    for der, kind, key in zip(
        (signature, exchange), (SIGNATURE_KINDS[role], EXCHANGE_KINDS[role]), keys(certified), strict=True
    ):
        certificate = validated(office, der, kind)
        assert (certificate.party_id, public_key_der(certificate.public_key)) == (asked.party.name, key)


@each_business
def test_a_registration_below_a_geo_political_ca(role: Role) -> None:
    office = Office.open(geo=True)
    assert len(office.register(office.applicant(role)).certified().credentials.chain) == 3


@pytest.mark.prop("PX-9")
@each_business
def test_everybody_may_be_switched_off_between_any_two_messages(role: Role) -> None:
    office = Office.open()
    office.restarts = True
    applicant = office.applicant(role)
    office.deliver(applicant, applicant.start())
    applicant = office.again(applicant)
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert office.again(applicant).certified().credentials.exchange is not None
    assert [message.name for message in office.wire] == MESSAGES


@pytest.mark.parametrize("required", [True, False])
def test_the_acquirer_says_whether_cards_need_certificates(required: bool) -> None:
    office = Office.open()
    office.bank.approval = lambda application: replace(approve(application), card_cert_required=required)
    office.register(office.applicant(Role.gateway))
    exchange = x509.load_der_x509_certificate(office.certified(Role.gateway)[1][1])
    private = [entry.value for entry in exchange.extensions if isinstance(entry.value, x509.UnrecognizedExtension)]
    assert CardCertRequired(required) in [from_extension(value) for value in private]


# --- one key only ---------------------------------------------------------------------------------


@each_business
def test_a_signature_certificate_alone(role: Role) -> None:
    office = Office.open()
    kind = request_type(role, Wants.SIG)
    certified = office.register(office.applicant(role, request_type=kind)).certified()
    assert certified.credentials.exchange is None
    assert len(office.certified(role)[1]) == 1


@each_business
def test_a_key_exchange_certificate_is_added_to_a_signature_certificate(role: Role) -> None:
    """§6.7: the request is signed with the key that has a certificate, and answers the CA's challenge."""
    office = Office.open()
    signer = office.register(office.applicant(role, request_type=request_type(role, Wants.SIG))).certified()
    added = office.applicant(role, request_type=request_type(role, Wants.ENC), certified=signer.credentials)
    certified = office.register(added).certified()
    assert certified.credentials.signer.certificate == signer.credentials.signer.certificate
    assert certified.credentials.exchange is not None
    assert validated(office, certified.credentials.exchange.certificate, EXCHANGE_KINDS[role])


@each_business
@pytest.mark.parametrize("wants", Wants)
def test_a_renewal(role: Role, wants: Wants) -> None:
    office = Office.open()
    first = office.register(office.applicant(role)).certified()
    kind = request_type(role, wants, renewal=True)
    second = office.register(office.applicant(role, request_type=kind, certified=first.credentials)).certified()
    assert second.credentials.party == first.credentials.party
    new = [one != other for one, other in zip(keys(first), keys(second), strict=True)]
    assert new == [wants is not Wants.ENC, wants is not Wants.SIG]
    assert len(office.certified(role)[1]) == 2 + sum(new)


# --- decisions ------------------------------------------------------------------------------------


@each_business
@pytest.mark.parametrize("wants", Wants)
def test_the_acquirer_takes_its_time(role: Role, wants: Wants) -> None:
    """The inquiry is signed with the new key; with the certified one where only a key-exchange key is new."""
    office = Office.open()
    certified = None
    if wants is Wants.ENC:
        certified = office.register(office.applicant(role)).certified().credentials
    before = office.certified(role)
    office.bank.verdicts = [Verdict.PENDING, Verdict.IN_PROGRESS]
    applicant = office.register(office.applicant(role, request_type=request_type(role, wants), certified=certified))
    assert applicant.enrolment().code == CertStatusCode.requestPended
    office.deliver(applicant, applicant.inquire())
    assert applicant.enrolment().code == CertStatusCode.requestInProgress
    assert office.certified(role) == before
    office.deliver(applicant, applicant.inquire())
    assert applicant.certified().credentials.party.name == SUBJECTS[role].id_data.name


@each_business
def test_the_acquirer_refuses(role: Role) -> None:
    office = Office.open()
    office.bank.verdicts = [Verdict.REFUSED]
    applicant = office.register(office.applicant(role))
    assert (applicant.enrolment().state, applicant.enrolment().code) == (
        State.REFUSED,
        CertStatusCode.rejectedByAquirer,
    )
    assert office.certified(role) == (frozenset(), ())


@each_business
def test_a_form_is_corrected(role: Role) -> None:
    office = Office.open()
    applicant = office.register(office.applicant(role), {"Name": "Ada"})
    assert office.events[-1].detail == "field 2: an answer is required"
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert applicant.enrolment().state is State.COMPLETE


def test_a_merchant_may_be_sent_elsewhere() -> None:
    office = Office.open()
    merchant = SHOP.id_data.merchant_acquirer_id
    assert merchant is not None
    elsewhere = replace(SHOP.id_data, merchant_acquirer_id=replace(merchant, merchant_bin="999999"))
    applicant = office.ready(Role.merchant, subject=replace(SHOP, id_data=elsewhere))
    assert applicant.enrolment().state is State.REFERRED


# --- account data ---------------------------------------------------------------------------------


@each_business
def test_the_form_says_whether_an_account_is_asked_for(role: Role) -> None:
    office = Office.open()
    applicant = office.ready(role, subject=replace(SUBJECTS[role], account=None))
    assert applicant.form().acct_data_field == ACCOUNT
    with pytest.raises(UsageError, match="asks for an account"):
        applicant.apply(ANSWERS)


@each_business
def test_without_account_data_there_is_no_seal_for_it(role: Role) -> None:
    office = Office.open()
    office.cas[role]._forms = NoAccount()
    register(office, role)
    assert pair_of(office).sealed_account is None
    asked = office.bank.asked[-1]
    assert isinstance(asked, BusinessApplication)
    assert asked.account is None
    office = Office.open()
    register(office, role)
    assert pair_of(office).sealed_account is not None


class NoAccount:
    """Asks for no account."""

    def find(self, request_type: RequestType, bin_number: str, language: str) -> Form:
        return Form(FORM)


def register(office: Office, role: Role) -> Applicant:
    return office.register(office.applicant(role))


def pair_of(office: Office) -> SealedPair:
    return decode(SealedPair, unwrap(sent(office, "CertReq")).body)


def sent(office: Office, name: str) -> bytes:
    return next(message.data for message in reversed(office.wire) if message.name == name)


@each_business
def test_the_answer_is_signed_only(role: Role) -> None:
    """Nothing in it is secret (§6.12): no Nonce-CCA, and certificates are public."""
    office = Office.open()
    register(office, role)
    body = decode(CertResWire, unwrap(sent(office, "CertRes")).body)
    assert body.signed is not None
    assert body.sealed is None


def test_every_applicant_asks_in_its_own_way() -> None:
    for role, subject in SUBJECTS.items():
        for other, kind in INITIAL.items():
            if role is not other:
                with pytest.raises(UsageError, match="is not for a"):
                    Office.open().applicant(role, subject=subject, request_type=kind)
    assert GATEWAY.account is not None
