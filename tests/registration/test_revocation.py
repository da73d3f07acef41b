"""CRLs and BrandCRLIdentifiers that travel with answers (set-protocol.md §4.3, §6.9; PX-12, PX-15).

Whoever knows the brand's CAs, and no CRL, learns from CardCInitRes, Me-AqCInitRes or PInitRes what is revoked; nobody
can make it believe less than is known.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from pki import BrandTree, PathValidator, Revocation, thumbprint
from pki.der import tlv
from pki.path import RevocationData
from pki.signed import signed_shape
from setproto.crypto.cms import Enclosed
from setproto.errors import ErrorCode
from setproto.market import BRAND, Market
from setproto.messages.codes import CompletionCode
from setproto.messages.common import Role
from setproto.messages.registration import CardCInitReq, MeAqCInitReq
from setproto.messages.wrapper import unwrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority import CertificateAuthority
from setproto.roles.enrolment import State
from setproto.roles.party import ENCLOSED_CRLS, decoded
from setproto.roles.ports import EventKind
from tests.pki.forging import serial_of
from tests.registration.hands import answered, ca_of, finish, kept
from tests.registration.office import ANSWERS, NOW, SUBJECTS, Office

E = ErrorCode
NOTHING_YET = RevocationData(None, ())
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
each_role = pytest.mark.parametrize("role", SUBJECTS)


def uninformed(tree: BrandTree) -> PathValidator:
    """Knows the root and the CAs' certificates, and no CRL."""
    validator = PathValidator([tree.root_certificate], suite=tree.suite.name)
    validator.add_intermediates(tree.ca_certificates)
    return validator


def newcomer(office: Office, role: Role = Role.cardholder) -> Applicant:
    """Has heard of no CRL yet."""
    return office.applicant(role, validator=uninformed(office.tree))


def known(party: Applicant | CertificateAuthority) -> RevocationData:
    return party.validator.revocation(BRAND)


def first_answer(office: Office, applicant: Applicant) -> bytes:
    """Not delivered yet."""
    (answer,) = ca_of(office, applicant).handle(applicant.start().data).outgoing
    return answer.data


def instead(office: Office, applicant: Applicant, data: bytes, revocation: Enclosed) -> bytes:
    """The same answer with other revocation data enclosed, by the CA that answers."""
    own, applicant.validator = applicant.validator, office.tree.validator(office.clock())  # to read the genuine one
    try:
        return answered(office, applicant, data, revocation=revocation)
    finally:
        applicant.validator = own


def current(office: Office, role: Role = Role.cardholder) -> Enclosed:
    held = known(office.cas[role])
    return Enclosed(held.crls, held.bci)


def assert_not_believed(applicant: Applicant, data: bytes, code: ErrorCode) -> None:
    """Refused; nothing is stored, and nothing learned."""
    own, learned = kept(applicant), known(applicant)
    reply = applicant.handle(data)
    assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, code)]
    assert kept(applicant) == own
    assert known(applicant) == learned


@pytest.mark.prop("PX-15")
@pytest.mark.parametrize("geo", [False, True])
@each_role
def test_a_newcomer_learns_from_the_first_answer(role: Role, geo: bool) -> None:
    office = Office.open(geo=geo)
    applicant = newcomer(office, role)
    assert known(applicant) == NOTHING_YET
    assert applicant.thumbs is None
    applicant.handle(first_answer(office, applicant))
    learned, held = known(applicant), known(office.cas[role])
    assert learned.bci == held.bci
    assert set(learned.crls) == set(held.crls)


@pytest.mark.prop("PX-15")
@each_role
def test_a_whole_registration_of_a_newcomer(role: Role) -> None:
    office = Office.open()
    applicant = office.register(newcomer(office, role))
    assert applicant.enrolment().state is State.COMPLETE


@pytest.mark.prop("PX-15")
@each_role
def test_who_has_only_the_root_learns_the_rest(role: Role) -> None:
    """The CRLs enclosed are those of all CAs of the brand, the certificates those of the chain only: what is signed by
    somebody that no root leads to is left alone."""
    office = Office.open()
    validator = PathValidator([office.tree.root_certificate], suite=office.tree.suite.name)
    applicant = office.ready(role, validator=validator)
    assert applicant.enrolment().state is State.FORM_RECEIVED


@each_role
def test_what_the_applicant_holds_is_not_sent_again(role: Role) -> None:
    """§4.3: its thumbprints say what it has."""
    office = Office.open()
    applicant = office.register(newcomer(office, role))
    crls, bci = known(applicant).crls, known(applicant).bci or b""
    first, *later = [message.data for message in office.wire if message.name.endswith("Res")]
    assert all(item in first for item in (*crls, bci))
    for answer in later:
        assert not any(item in answer for item in (*crls, bci))
    thumbs = applicant.thumbs
    assert thumbs is not None
    assert set(thumbs.crl_thumbs or ()) == {thumbprint(crl) for crl in crls}
    assert thumbs.brand_crl_id_thumbs == [thumbprint(bci)]
    start = office.applicant(role, validator=applicant.validator)
    request = decoded(CardCInitReq if role is Role.cardholder else MeAqCInitReq, unwrap(start.start().data).body)
    assert request.thumbs == thumbs


# --- less than there is ---------------------------------------------------------------------------


def shorter(office: Office, what: str) -> Enclosed:
    held = current(office)
    by_issuer = {x509.load_der_x509_crl(crl).issuer.rfc4514_string(): crl for crl in held.crls}
    needed = [crl for issuer, crl in by_issuer.items() if "Root" in issuer or "Brand CA" in issuer]
    assert len(needed) == 2
    without = {
        "everything": Enclosed(),
        "the list of CRLs": Enclosed(held.crls),
        "all CRLs": Enclosed((), held.bci),
        "the root's CRL": Enclosed(tuple(crl for crl in held.crls if crl != needed[0]), held.bci),
        "the brand CA's CRL": Enclosed(tuple(crl for crl in held.crls if crl != needed[1]), held.bci),
    }
    return without[what]


@pytest.mark.prop("PX-15")
@pytest.mark.parametrize("what", ["everything", "the list of CRLs", "all CRLs", "the root's CRL", "the brand CA's CRL"])
def test_what_is_withheld_is_missed(what: str) -> None:
    """Nothing was signed wrongly, and still nothing goes on until the rest comes."""
    office = Office.open()
    applicant = newcomer(office)
    genuine = first_answer(office, applicant)
    own = kept(applicant)
    reply = applicant.handle(instead(office, applicant, genuine, shorter(office, what)))
    assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, E.missingCertificate)]
    assert kept(applicant) == own
    finish(office, applicant, "CardCInitRes", genuine)


@pytest.mark.prop("PX-15", "PX-12")
@each_role
def test_a_ca_certificate_revoked_since(role: Role) -> None:
    """The newcomer learns of it from the very answer that is signed with it, or, if a dishonest CA encloses what was
    current before, from having heard of the newer list."""
    office = Office.open()
    ca = office.cas[role]
    old = current(office, role)
    office.tree.brand_ca.revoke(serial_of(ca.credentials.signer.certificate), office.clock())
    crls = office.tree.crls(office.clock())
    bci = office.tree.bci(crls, office.clock())
    new = Enclosed(tuple(crls), bci)
    applicant = newcomer(office, role)
    body = first_answer(office, applicant)
    assert_refused_as(applicant, signed_by(office, applicant, body, new), E.revokedCertificate)

    for informed, code in ((crls, E.revokedCertificate), ((), E.missingCertificate)):
        applicant = newcomer(office, role)
        genuine = first_answer(office, applicant)
        for crl in informed:
            applicant.validator.add_crl(crl)
        applicant.validator.add_bci(bci)
        assert_refused_as(applicant, signed_by(office, applicant, genuine, old), code)
        assert known(applicant).bci == bci, "an older list changes nothing"


def signed_by(office: Office, applicant: Applicant, data: bytes, revocation: Enclosed) -> bytes:
    """As ``instead``, read by somebody who knows of no revocation."""
    own, applicant.validator = applicant.validator, ca_of(office, applicant).validator
    try:
        return answered(office, applicant, data, revocation=revocation)
    finally:
        applicant.validator = own


def assert_refused_as(applicant: Applicant, data: bytes, code: ErrorCode) -> None:
    own = kept(applicant)
    reply = applicant.handle(data)
    assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, code)]
    assert kept(applicant) == own


@pytest.mark.prop("PX-15")
def test_what_has_run_out_is_no_list() -> None:
    office = Office.open()
    office.clock.advance(timedelta(days=31))
    applicant = newcomer(office)
    own, applicant_start = None, applicant.start()
    assert own is None
    (answer,) = office.cas[Role.cardholder].handle(applicant_start.data).outgoing
    assert_refused_as(applicant, answer.data, E.missingCertificate)


# --- other than there is --------------------------------------------------------------------------


@pytest.mark.prop("PX-15", "PX-10")
@pytest.mark.parametrize("at", [60, -10])
@pytest.mark.parametrize("what", ["CRL", "BrandCRLIdentifier"])
def test_altered_revocation_data_is_refused_with_the_whole_answer(what: str, at: int) -> None:
    office = Office.open()
    applicant = newcomer(office)
    genuine, held = first_answer(office, applicant), current(office)
    assert held.bci is not None

    def altered(der: bytes) -> bytes:
        octets = bytearray(der)
        octets[at] ^= 1
        return bytes(octets)

    if what == "CRL":
        wrong = Enclosed((altered(held.crls[0]), *held.crls[1:]), held.bci)
    else:
        wrong = Enclosed(held.crls, altered(held.bci))
    reply = applicant.handle(instead(office, applicant, genuine, wrong))
    assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    assert known(applicant).bci is None
    finish(office, applicant, "CardCInitRes", genuine)


@pytest.mark.prop("PX-15", "PX-12")
def test_a_stranger_with_the_same_names_has_no_say() -> None:
    """Another root, all names equal; its CRL revokes our CA, or nothing."""
    office, stranger = Office.open(), Office.open()
    applicant = newcomer(office)
    genuine, ours, theirs = first_answer(office, applicant), current(office), current(stranger)
    own = kept(applicant)
    for wrong in (theirs, Enclosed(theirs.crls, ours.bci), Enclosed(ours.crls, theirs.bci)):
        applicant.validator = uninformed(office.tree)
        reply = applicant.handle(instead(office, applicant, genuine, wrong))
        assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, E.missingCertificate)]
        assert kept(applicant) == own
        assert not {*known(applicant).crls, known(applicant).bci} & {*theirs.crls, theirs.bci}
    finish(office, applicant, "CardCInitRes", genuine)


@pytest.mark.prop("PX-15")
def test_a_crl_by_somebody_who_is_no_ca() -> None:
    """A merchant's CA publishes no list of the brand, and a merchant none of any."""
    office = Office.open()
    applicant = newcomer(office)
    genuine, held = first_answer(office, applicant), current(office)
    shape = signed_shape(held.bci or b"", limit=1 << 16)
    key = office.cas[Role.merchant].credentials.signer.private_key
    suite = office.cas[Role.merchant].credentials.signer.suite
    forged = tlv(0x30, shape.tbs, shape.outer_algorithm, tlv(0x03, b"\x00" + suite.sign(key, shape.tbs)))
    reply = applicant.handle(instead(office, applicant, genuine, Enclosed(held.crls, forged)))
    assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, E.invalidCertificate)]
    finish(office, applicant, "CardCInitRes", genuine)


@pytest.mark.prop("PX-15")
def test_a_second_signature_on_a_crl_does_not_keep_the_first_one_out() -> None:
    """Of one signature by ECDSA anybody makes another, (r, n - s).  Who was sent such a CRL still takes the genuine
    one, and one whose signature is written with other padding is refused."""
    office = Office.open()
    applicant = newcomer(office)
    genuine, held = first_answer(office, applicant), current(office)
    twins = tuple(twin(crl) for crl in held.crls)
    for one, other in zip(twins, held.crls, strict=True):
        assert one != other
    applicant.handle(instead(office, applicant, genuine, Enclosed(twins, held.bci)))
    assert set(known(applicant).crls) == set(twins)
    again = newcomer(office)
    again.validator = applicant.validator
    answer = first_answer(office, again)
    finish(office, again, "CardCInitRes", instead(office, again, answer, held))

    for crl in held.crls:
        shape = signed_shape(crl, limit=1 << 20)
        if not shape.signature[-1] & 1:
            padded = tlv(0x30, shape.tbs, shape.outer_algorithm, tlv(0x03, b"\x01" + shape.signature))
            third = newcomer(office)
            deviant = instead(office, third, first_answer(office, third), Enclosed((padded,), held.bci))
            assert_not_believed(third, deviant, E.invalidCertificate)


def twin(crl: bytes) -> bytes:
    """The same CRL under the other signature."""
    shape = signed_shape(crl, limit=1 << 20)
    r, s = decode_dss_signature(shape.signature)
    signature = encode_dss_signature(r, P256_ORDER - s)
    return tlv(0x30, shape.tbs, shape.outer_algorithm, tlv(0x03, b"\x00" + signature))


# --- too much -------------------------------------------------------------------------------------


@pytest.mark.prop("PX-15")
def test_a_crl_that_is_too_large_for_a_message_is_left_out() -> None:
    """Who needs it has to fetch it; the others do not notice."""
    office = Office.open()
    for number in range(2500):
        office.tree.pca.register.revoke(1 << 100 | number, Revocation(at=NOW))
    crls = office.tree.crls(NOW)
    bci = office.tree.bci(crls, NOW)
    (large,) = [crl for crl in crls if len(crl) > ENCLOSED_CRLS]
    for ca in office.cas.values():
        for crl in crls:
            ca.validator.add_crl(crl)
        ca.validator.add_bci(bci)
    cardholder = office.register(newcomer(office))
    assert cardholder.enrolment().state is State.COMPLETE
    assert large not in known(cardholder).crls
    assert known(cardholder).bci == bci
    assert len(known(cardholder).crls) == len(crls) - 1

    gateway = newcomer(office, Role.gateway)
    office.deliver(gateway, gateway.start())
    (answer,) = office.cas[Role.gateway].handle(gateway.apply(ANSWERS).data).outgoing
    assert_not_believed(gateway, answer.data, E.missingCertificate)
    gateway.validator.add_crl(large)
    finish(office, gateway, "CertRes", answer.data)


# --- purchases ------------------------------------------------------------------------------------


@pytest.mark.prop("PX-15")
def test_a_cardholder_learns_from_pinit_res() -> None:
    market = Market.open()
    market.cardholder.validator = uninformed(market.tree)
    assert market.buy("EUR 42.00", b"one book").completion_code is CompletionCode.capturePerformed
    assert market.cardholder.validator.revocation(BRAND).bci == market.merchant.validator.revocation(BRAND).bci


@pytest.mark.prop("PX-15")
def test_without_it_a_cardholder_does_not_buy(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market.open()
    held = market.merchant.validator.revocation(BRAND)
    for withheld in (NOTHING_YET, RevocationData(held.bci, ()), RevocationData(None, held.crls)):
        market.cardholder.validator = uninformed(market.tree)
        with monkeypatch.context() as patch:
            patch.setattr(market.merchant.validator, "revocation", lambda brand, says=withheld: says)
            lid_c, request = market.cardholder.start(market.order("EUR 42.00", b"one book"))
            (answer,) = market.merchant.handle(request.data).outgoing
            reply = market.cardholder.handle(answer.data)
        assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, E.missingCertificate)]
        assert market.cardholder.purchase(lid_c).shop is None
