"""Answers that an applicant refuses (set-protocol.md §6.11 steps 4, 8 and 14; §6.12; CR-3 to CR-6, W-12).

The CA here is dishonest, or somebody between it and the applicant puts one answer in place of another.  Every test
changes one thing, sees that the applicant has kept what it had, and then lets the genuine answer through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pki import CertificateKind, MemoryRegister, key_suite, thumbprint
from pki.der import encode
from pki.names import ca_name
from setproto.crypto.cms import BareRecipient, SecretKey, seal
from setproto.crypto.possession import private_key_from
from setproto.errors import ErrorCode, UsageError
from setproto.market import BRAND
from setproto.messages.codes import CertStatusCode, RequestType
from setproto.messages.common import PartyID, Role, Thumbs
from setproto.messages.oids import ID_PINIT_RES_DATA
from setproto.messages.registration import CertResWire, CertStatus, MeAqCInitResData
from setproto.messages.registry import CERT_RES
from setproto.messages.wrapper import unwrap, wrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority import CertificateAuthority
from setproto.roles.party import decoded
from setproto.roles.ports import EventKind
from setproto.store import MemoryStore
from tests.registration.hands import (
    ANSWERS_OF_CAS,
    answered,
    before,
    finish,
    kept,
    named,
    said,
)
from tests.registration.office import INITIAL, SUBJECTS, Forms, Office, certificate_authority

E = ErrorCode
P256 = key_suite("p256")
every_answer = pytest.mark.parametrize("place", ANSWERS_OF_CAS, ids=named)
each_role = pytest.mark.parametrize("role", SUBJECTS)
each_business = pytest.mark.parametrize("role", [Role.merchant, Role.gateway])
ENDS = [place for place in ANSWERS_OF_CAS if place[1].startswith("Cert")]
FORMS = [place for place in ANSWERS_OF_CAS if place[1] in ("RegFormRes", "Me-AqCInitRes")]


def assert_dropped(office: Office, applicant: Applicant, data: bytes, code: ErrorCode) -> None:
    """Refused with this code, nothing changed; the CA is told without a signature, since there is no key yet."""
    own, cas = kept(applicant), office.state()
    reply = applicant.handle(data)
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.REFUSED, code), event
    assert [message.name for message in reply.outgoing] == ["Error"]
    assert (kept(applicant), office.state()) == (own, cas)


@every_answer
def test_what_is_put_together_by_hand_is_accepted(place: tuple[Role, str]) -> None:
    """So that every refusal below is for what was changed."""
    office = Office.open()
    applicant, data = before(office, *place)
    finish(office, applicant, place[1], answered(office, applicant, data))


CHALLENGE = {"CardCInitRes": "chall_ee", "Me-AqCInitRes": "chall_ee", "RegFormRes": "chall_ee2"}
CHANGED: dict[str, tuple[Callable[[str], dict[str, Any]], ErrorCode]] = {
    "challenge": (lambda name: {CHALLENGE.get(name, "chall_ee3"): bytes(20)}, E.challengeMismatch),
    "digest of the request": (lambda name: {"request_digest": bytes(32)}, E.wrapperMsgMismatch),
    "label": (lambda name: {"lid_ee": b"somebody"}, E.unknownLID),
    "thumbprints": (lambda name: {"thumbs": Thumbs(cert_thumbs=[bytes(32)])}, E.thumbsMismatch),
    "no thumbprints": (lambda name: {"thumbs": None}, E.thumbsMismatch),
    "type": (lambda name: {"head": {"type": ID_PINIT_RES_DATA}}, E.wrongRecipient),
    "recipient": (
        lambda name: {"head": {"recipient": PartyID(role=Role.cardholder, brand=BRAND, name="somebody")}},
        E.wrongRecipient,
    ),
    "sender": (
        lambda name: {"head": {"sender": PartyID(role=Role.cardholder_ca, brand=BRAND, name="Some other CA")}},
        E.wrongRecipient,
    ),
    "suite": (lambda name: {"head": {"suite": "rsa3072"}}, E.wrongRecipient),
}


@pytest.mark.prop("CR-4", "CR-5", "CR-6", "PX-6")
@every_answer
@pytest.mark.parametrize("what", CHANGED)
def test_an_answer_with_one_thing_changed(what: str, place: tuple[Role, str]) -> None:
    changes, code = CHANGED[what]
    office = Office.open()
    applicant, data = before(office, *place)
    assert_dropped(office, applicant, answered(office, applicant, data, **changes(place[1])), code)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-4", "CR-5", "CR-6")
@every_answer
def test_an_answer_to_somebody_else(place: tuple[Role, str]) -> None:
    """To another applicant, in the same state, at the same CA, and the other way round."""
    office = Office.open()
    (one, to_one), (other, to_other) = before(office, *place), before(office, *place)
    assert_dropped(office, one, to_other, E.unknownRRPID)
    assert_dropped(office, other, to_one, E.unknownRRPID)
    finish(office, one, place[1], to_one)


@pytest.mark.prop("CR-6", "PX-9")
@each_role
def test_an_answer_to_an_older_question(role: Role) -> None:
    """The last question counts: what was true when the one before was asked may be so no more."""
    office = Office.open()
    applicant, old = before(office, role, "CertInqRes")
    (new,) = office.cas[role].handle(applicant.inquire().data).outgoing
    assert_dropped(office, applicant, old, E.unknownRRPID)
    finish(office, applicant, "CertInqRes", new.data)


@pytest.mark.prop("PX-6")
@each_role
def test_one_answer_does_not_pass_for_another(role: Role) -> None:
    """The body of a CertRes in the wrapper of a CertInqRes, and the reverse."""
    office = Office.open()
    for name, as_if in (("CertRes", "CertInqRes"), ("CertInqRes", "CertRes")):
        applicant, data = before(office, role, name)
        wire = unwrap(data)
        other = unwrap(before(office, role, as_if)[1]).type
        assert_dropped(
            office,
            applicant,
            wrap(other, wire.body, wire.header),
            E.decryptionFailure if role is Role.cardholder else E.signatureFailure,
        )
        finish(office, applicant, name, data)


# --- whose answer it is ---------------------------------------------------------------------------


def another_ca(office: Office, role: Role) -> CertificateAuthority:
    """A second CA for the same applicants, below the same brand CA."""
    ca, tree = office.cas[role], office.tree
    kind = ca._authority.kind
    name = ca_name(tree.country, tree.brand, "Second CA")
    authority = tree.brand_ca.issue_authority(kind, name, tree.suite.generate_signature_key(), not_before=tree.now)
    return certificate_authority(
        tree, ca.party.role, authority, office.bank, Forms(), MemoryStore(), office.registers[role], office.clock
    )


def of_another_role(office: Office, role: Role) -> CertificateAuthority:
    return office.cas[Role.merchant if role is Role.cardholder else Role.cardholder]


@pytest.mark.prop("CR-3", "CR-4", "CR-5", "CR-6", "MR-2")
@every_answer
def test_an_answer_by_a_ca_for_others(place: tuple[Role, str]) -> None:
    office = Office.open()
    applicant, data = before(office, *place)
    by = of_another_role(office, place[0])
    assert_dropped(office, applicant, answered(office, applicant, data, by=by), E.invalidCertificate)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-3", "CR-4", "CR-5", "CR-6", "MR-2")
@every_answer
def test_an_answer_by_a_ca_that_nobody_has_certified(place: tuple[Role, str]) -> None:
    """Another tree with the same names: everything about it is right but the root."""
    office = Office.open()
    applicant, data = before(office, *place)
    by = Office.open().cas[place[0]]
    assert_dropped(office, applicant, answered(office, applicant, data, by=by, also=()), E.missingCertificate)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-5", "CR-6")
@pytest.mark.parametrize("place", [place for place in ANSWERS_OF_CAS if "Init" not in place[1]], ids=named)
def test_an_answer_by_another_ca_of_the_brand(place: tuple[Role, str]) -> None:
    """A genuine one, for applicants of this role; but it was not asked."""
    office = Office.open()
    applicant, data = before(office, *place)
    by = another_ca(office, place[0])
    assert_dropped(office, applicant, answered(office, applicant, data, by=by), E.signatureFailure)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-3", "MR-2", "CR-15")
@pytest.mark.parametrize("place", [place for place in ANSWERS_OF_CAS if not place[1].startswith("Cert")], ids=named)
def test_the_key_to_seal_to_is_the_cas_own(place: tuple[Role, str]) -> None:
    """The account data goes to this key, so it has to be in a certificate of the CA that signs."""
    office = Office.open()
    applicant, data = before(office, *place)
    second, other_role = another_ca(office, place[0]), of_another_role(office, place[0])
    for ca in (second, other_role):
        own = ca.exchange_key().certificate
        deviant = answered(office, applicant, data, cae_thumb=thumbprint(own), also=(own,))
        assert_dropped(office, applicant, deviant, E.invalidCertificate)
    assert_dropped(office, applicant, answered(office, applicant, data, cae_thumb=bytes(32)), E.missingCertificate)
    signature = office.cas[place[0]].credentials.signer.certificate
    deviant = answered(office, applicant, data, cae_thumb=thumbprint(signature))
    assert_dropped(office, applicant, deviant, E.invalidCertificate)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-15")
def test_a_ca_that_cannot_answer_is_not_told_the_card_number() -> None:
    """§6.11 step 4: its tunneling extension offers no algorithm that the wallet has."""
    office = Office.open()
    applicant, data = before(office, Role.cardholder, "CardCInitRes")
    issued = office.tree._pair(
        office.tree.brand_ca,
        office.tree.cca.certificate.subject,
        (CertificateKind.CARDHOLDER_CA_SIGNATURE, (), None),
        (CertificateKind.CARDHOLDER_CA_EXCHANGE, (), None),
    )
    assert issued.exchange_certificate is not None
    exchange = issued.exchange_certificate
    deviant = answered(office, applicant, data, cae_thumb=thumbprint(exchange), also=(exchange,))
    assert_dropped(office, applicant, deviant, E.invalidCertificate)
    finish(office, applicant, "CardCInitRes", data)


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", FORMS, ids=named)
def test_a_form_for_another_request(place: tuple[Role, str]) -> None:
    office = Office.open()
    applicant, data = before(office, *place)
    other = {
        RequestType.cardInitialSig: RequestType.cardRenewalSig,
        RequestType.merInitialBoth: RequestType.merInitialSig,
        RequestType.pgwyInitialBoth: RequestType.pgwyRenewalBoth,
    }[INITIAL[place[0]]]
    assert_dropped(office, applicant, answered(office, applicant, data, request_type=other), E.wrapperMsgMismatch)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("PX-13")
@each_business
def test_a_challenge_that_is_none_for_this_key(role: Role) -> None:
    """None at all; one sealed to another key; one sealed for another question."""
    office = Office.open()
    applicant, data = before(office, role, "Me-AqCInitRes")
    assert_dropped(
        office, applicant, answered(office, applicant, data, sealed_key_challenge=None), E.wrapperMsgMismatch
    )
    stranger = BareRecipient(P256.generate_exchange_key().public_key(), "p256")
    other_body = said(*before(office, role, "Me-AqCInitRes")).body
    assert isinstance(other_body, MeAqCInitResData)
    for sealed in (seal(bytes(32), stranger, context=b""), other_body.sealed_key_challenge):
        deviant = answered(office, applicant, data, sealed_key_challenge=sealed)
        assert_dropped(office, applicant, deviant, E.decryptionFailure)
    finish(office, applicant, "Me-AqCInitRes", data)


# --- certificates ---------------------------------------------------------------------------------


def complete(office: Office, place: tuple[Role, str]) -> tuple[Applicant, bytes]:
    applicant, data = before(office, *place)
    assert said(applicant, data).body.cert_status.cert_status_code is CertStatusCode.requestComplete
    return applicant, data


@pytest.mark.prop("CR-6")
@pytest.mark.parametrize("place", ENDS, ids=named)
def test_an_end_of_another_registration(place: tuple[Role, str]) -> None:
    office = Office.open()
    applicant, data = complete(office, place)
    assert_dropped(office, applicant, answered(office, applicant, data, lid_ca=bytes(20)), E.unknownLID)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-17", "MR-7", "MR-8")
@pytest.mark.parametrize("place", ENDS, ids=named)
def test_certificates_that_are_not_the_ones_that_were_asked_for(place: tuple[Role, str]) -> None:
    """Of another key; of another name; too many; too few; not enclosed; in the wrong order."""
    office = Office.open()
    applicant, data = complete(office, place)
    thumbs = said(applicant, data).body.cert_thumbs
    other, to_other = complete(office, place)
    theirs = said(other, to_other).body.cert_thumbs
    enclosed = said(other, to_other).certificates
    assert_dropped(
        office,
        applicant,
        answered(office, applicant, data, cert_thumbs=theirs, also=enclosed),
        E.invalidCertificate,
    )
    assert_dropped(office, applicant, answered(office, applicant, data, cert_thumbs=theirs), E.missingCertificate)
    wrong_number = [*thumbs, *thumbs] if len(thumbs) == 1 else thumbs[:1]
    assert_dropped(office, applicant, answered(office, applicant, data, cert_thumbs=wrong_number), E.missingCertificate)
    if len(thumbs) == 2:
        for wrong in (thumbs[::-1], [thumbs[0], thumbs[0]], [thumbs[0], theirs[1]], [theirs[0], thumbs[1]]):
            deviant = answered(office, applicant, data, cert_thumbs=wrong, also=enclosed)
            assert_dropped(office, applicant, deviant, E.invalidCertificate)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("CR-17", "MR-7")
@each_role
def test_a_certificate_of_ones_own_key_in_another_name(role: Role) -> None:
    office = Office.open()
    applicant, data = complete(office, (role, "CertRes"))
    secrets = applicant._records.opened(applicant.enrolment())
    key = private_key_from(secrets.signature_key or b"").public_key()
    tree = replace(office.tree, **{field: bare(getattr(office.tree, field)) for field in ("cca", "mca", "pca")})
    if role is Role.cardholder:
        made = tree.issue_cardholder(bytes(32), key).signature_certificate
    elif role is Role.merchant:
        made = tree.issue_merchant("shop-2", "Shop", "411111", signature_public_key=key).signature_certificate
    else:
        made = tree.issue_gateway("gateway-2", signature_public_key=key).signature_certificate
    thumbs = said(applicant, data).body.cert_thumbs
    deviant = answered(office, applicant, data, cert_thumbs=[thumbprint(made), *thumbs[1:]], also=(made,))
    assert_dropped(office, applicant, deviant, E.invalidCertificate)
    finish(office, applicant, "CertRes", data)


def bare(authority: Any) -> Any:
    """The CA without its memory: it certifies a key twice."""
    return authority.using(MemoryRegister())


def status_of(applicant: Applicant, data: bytes) -> CertStatus:
    status = said(applicant, data).body.cert_status
    assert isinstance(status, CertStatus)
    return status


@pytest.mark.prop("CR-13", "PX-14")
@pytest.mark.parametrize("name", ["CertRes", "CertInqRes"])
def test_nonce_cca_in_the_clear_is_not_used(name: str) -> None:
    """Signed by the CA, but not under the key that the cardholder made for it."""
    office = Office.open()
    applicant, data = complete(office, (Role.cardholder, name))
    assert_dropped(office, applicant, answered(office, applicant, data, clear=True), E.signatureFailure)
    finish(office, applicant, name, data)


@pytest.mark.prop("PX-14", "CR-17")
def test_another_nonce_cca_or_none_does_not_fit_the_certificate() -> None:
    office = Office.open()
    applicant, data = complete(office, (Role.cardholder, "CertRes"))
    status = status_of(applicant, data)
    for nonce, code in ((bytes(32), E.invalidCertificate), (None, E.decodingFailure)):
        deviant = answered(office, applicant, data, cert_status=replace(status, nonce_cca=nonce))
        assert_dropped(office, applicant, deviant, code)
    finish(office, applicant, "CertRes", data)


@pytest.mark.prop("CR-11", "CR-19")
def test_an_answer_under_another_key_than_the_cardholders() -> None:
    office = Office.open()
    applicant, data = complete(office, (Role.cardholder, "CertRes"))
    other, to_other = complete(office, (Role.cardholder, "CertRes"))
    wire, sealed = unwrap(data), decoded(CertResWire, unwrap(to_other).body).sealed
    assert sealed is not None
    guessed = seal(b"anything", SecretKey(bytes(32), applicant.form().lid_ca), context=b"")
    for under_another in (sealed, guessed):
        deviant = wrap(CERT_RES, encode(CertResWire(sealed=under_another)), wire.header)
        assert_dropped(office, applicant, deviant, E.decryptionFailure)
    finish(office, applicant, "CertRes", data)
    finish(office, other, "CertRes", to_other)


@each_business
def test_a_merchant_or_gateway_gets_nothing_sealed(role: Role) -> None:
    office = Office.open()
    applicant, data = complete(office, (role, "CertRes"))
    wire = unwrap(data)
    sealed = seal(b"anything", SecretKey(bytes(32), b"key"), context=b"")
    deviant = wrap(CERT_RES, encode(CertResWire(sealed=sealed)), wire.header)
    assert_dropped(office, applicant, deviant, E.messageNotSupported)
    finish(office, applicant, "CertRes", data)


def test_a_ca_is_made_of_one_ca() -> None:
    """Its message certificates and its certificate-signing key are of one brand and suite."""
    one, other = Office.open(), Office.open("ed25519")
    ca, strange = one.cas[Role.merchant], other.cas[Role.merchant]
    with pytest.raises(UsageError, match="different CAs"):
        CertificateAuthority(
            ca.credentials,
            strange._authority,
            ca._register,
            ca._forms,
            ca._entitlement,
            ca.validator,
            MemoryStore(),
            secret_key=bytes(32),
            clock=one.clock,
            random=ca.random,
        )
