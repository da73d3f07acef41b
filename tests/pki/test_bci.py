"""The BrandCRLIdentifier: its form, who may sign it, and that a CRL which is withheld is missed (PX-15)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import pki.bci
import pki.path
from pki import (
    Authority,
    BrandTree,
    CertificateError,
    CertificateKind,
    Credential,
    PathValidator,
    ValidatedCertificate,
    build_brand_tree,
    check_bci,
    check_certificate,
    check_crl,
    der,
    thumbprint,
)
from pki.bci import MAX_BCI, CheckedBCI, sign_bci
from pki.errors import ErrorCode
from pki.hierarchy import CRL_LIFE
from pki.names import ca_name
from pki.signed import elements, signed_shape
from tests.pki.forging import Draft, forged_crl, key_of, serial_of

K = CertificateKind
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def crl_of(authority: Authority, at: datetime) -> bytes:
    return authority.crl(at, at + CRL_LIFE).public_bytes(Encoding.DER)


def forged(
    signer: Authority,
    crls: Sequence[bytes],
    at: datetime,
    *,
    number: int = 100,
    not_after: datetime | None = None,
    brand: str | None = None,
    name_of: Authority | None = None,
) -> bytes:
    """What ``signer``'s key signs if it does not ask its authority: in another brand, in another CA's name, …"""
    issuer = (name_of or signer).checked
    if brand is not None:
        issuer = dataclasses.replace(issuer, name=dataclasses.replace(issuer.name, organization=brand))
    return sign_bci(
        issuer,
        key_of(signer),
        [check_crl(crl) for crl in crls],
        number=number,
        not_before=at,
        not_after=not_after or at + CRL_LIFE,
    )


def told(tree: BrandTree, crls: Sequence[bytes], *bcis: bytes) -> PathValidator:
    """A validator that knows the tree's CAs and has been given these CRLs and BrandCRLIdentifiers."""
    validator = PathValidator([tree.root_certificate], suite=tree.suite.name)
    validator.add_intermediates(tree.ca_certificates)
    for crl in crls:
        validator.add_crl(crl)
    for bci in bcis:
        validator.add_bci(bci)
    return validator


def validate(validator: PathValidator, credential: Credential, at: datetime) -> ValidatedCertificate:
    return validator.validate(credential.signature_certificate, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)


def blocked(validator: PathValidator, credential: Credential, at: datetime, rule: str) -> CertificateError:
    with pytest.raises(CertificateError, match=rule) as refusal:
        validate(validator, credential, at)
    assert refusal.value.code == "missingCertificate"
    assert refusal.value.source == "set-protocol.md section 6.9"
    return refusal.value


def not_taken(validator: PathValidator, bci: bytes, code: ErrorCode, rule: str, extra: Sequence[bytes] = ()) -> None:
    generation = validator.generation
    with pytest.raises(CertificateError, match=rule) as refusal:
        validator.add_bci(bci, extra)
    assert refusal.value.code == code
    assert validator.generation == generation
    assert validator.revocation("Marque").bci != bci


# --- its form ---


def test_it_says_what_it_was_given_in_every_suite(suite_tree: BrandTree, now: datetime) -> None:
    crls = suite_tree.crls(now)
    data = suite_tree.bci(crls, now)
    bci = check_bci(data)
    expected = {(c.issuer, c.authority_key_identifier): c.number for c in map(check_crl, crls)}
    assert dict(bci.crls) == expected
    assert len(bci.crls) == len(suite_tree.authorities)
    assert (bci.brand, bci.not_before, bci.not_after) == ("Marque", now, now + CRL_LIFE)
    assert check_bci(suite_tree.bci(crls, now)).number == bci.number + 1
    assert bci.suite is suite_tree.suite
    assert suite_tree.suite.verifies(bci.tbs, bci.signature, suite_tree.brand_ca.certificate.public_key())
    assert not suite_tree.suite.verifies(bci.tbs, bci.signature, suite_tree.cca.certificate.public_key())


class _Listed(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("issuer_name", core.Any), ("key", core.OctetString), ("number", core.Integer)]


class _AllListed(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _Listed


class _Signed(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [
        ("version", core.Integer),
        ("algorithm", core.Any),
        ("issuer", core.Any),
        ("key", core.OctetString),
        ("number", core.Integer),
        ("brand", core.UTF8String),
        ("not_before", core.GeneralizedTime),
        ("not_after", core.GeneralizedTime),
        ("crls", _AllListed),
    ]


class _Identifier(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("tbs", _Signed), ("algorithm", core.Any), ("signature", core.OctetBitString)]


def test_a_second_reader_reads_the_same(tree: BrandTree, now: datetime) -> None:
    data = tree.bci(tree.crls(now), now)
    bci, read = check_bci(data), _Identifier.load(data, strict=True)
    signed = read["tbs"]
    listed = {(one["issuer_name"].dump(), one["key"].native): one["number"].native for one in signed["crls"]}
    assert listed == dict(bci.crls)
    assert (signed["version"].native, signed["number"].native, signed["brand"].native) == (2, bci.number, bci.brand)
    assert (signed["not_before"].native, signed["not_after"].native) == (bci.not_before, bci.not_after)
    assert (signed["issuer"].dump(), signed["key"].native) == (bci.issuer, bci.authority_key_identifier)
    assert signed.dump() == bci.tbs
    assert read["signature"].native == bci.signature
    assert read["algorithm"].dump() == signed["algorithm"].dump() == tree.suite.x509_algorithm


def test_thumbprints_of_all_signed_objects_are_over_the_signed_part(tree: BrandTree, now: datetime) -> None:
    crls = tree.crls(now)
    bci = tree.bci(crls, now)
    certificate, crl = tree.root_certificate, x509.load_der_x509_crl(crls[1])
    assert thumbprint(tree.root_der) == hashlib.sha256(certificate.tbs_certificate_bytes).digest()
    assert thumbprint(crls[1]) == hashlib.sha256(crl.tbs_certlist_bytes).digest()
    assert thumbprint(bci) == hashlib.sha256(check_bci(bci).tbs).digest()
    for junk in (b"", b"\x30\x00", bytes(40)):
        with pytest.raises(CertificateError):
            thumbprint(junk)


def test_nothing_that_a_ca_signs_can_be_taken_for_something_else(tree: BrandTree, now: datetime) -> None:
    """One key signs certificates, CRLs and this."""
    crl = crl_of(tree.brand_ca, now)
    bci, certificate = tree.bci([crl], now), tree.cca.chain[0]
    readers: dict[bytes, Callable[[bytes], object]] = {bci: check_bci, crl: check_crl, certificate: check_certificate}
    for data in readers:
        for own, reader in readers.items():
            if data == own:
                reader(data)
            else:
                with pytest.raises(CertificateError) as refusal:
                    reader(data)
                assert refusal.value.code == "invalidCertificate"


def changed(bci: bytes, **fields: Any) -> bytes:
    """The same with other contents, and the signature of the old ones: for ``check_bci``, which checks none."""
    checked = check_bci(bci)
    read = der.decode(pki.bci._ToBeSigned, checked.tbs)
    tbs = der.encode(dataclasses.replace(read, **fields))
    return der.tlv(0x30, tbs, checked.suite.x509_algorithm, der.tlv(3, b"\0", checked.signature))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("version", 1, "version 2"),
        ("version", 3, "version 2"),
        ("sequence_num", -1, "numbers"),
        ("sequence_num", 1 << 159, "numbers"),
        ("brand_id", "Mar\nque", "printable"),
        ("not_after", datetime(2030, 1, 1), "notBefore before"),
    ],
)
def test_form(tree: BrandTree, now: datetime, field: str, value: Any, rule: str) -> None:
    bci = tree.bci(tree.crls(now), now)
    assert check_bci(changed(bci, sequence_num=(1 << 159) - 1)).number == (1 << 159) - 1
    with pytest.raises(CertificateError, match=rule) as refusal:
        check_bci(changed(bci, **{field: der.general_time(now) if field == "not_after" else value}))
    assert refusal.value.code == "invalidCertificate"


def test_form_of_the_list(tree: BrandTree, now: datetime) -> None:
    bci = tree.bci(tree.crls(now), now)
    listed = der.decode(pki.bci._ToBeSigned, check_bci(bci).tbs).crl_identifier_seq
    twice = [*listed, dataclasses.replace(listed[0], crl_number=7)]
    with pytest.raises(CertificateError, match="listed twice"):
        check_bci(changed(bci, crl_identifier_seq=twice))
    with pytest.raises(CertificateError, match="numbers"):
        check_bci(changed(bci, crl_identifier_seq=[dataclasses.replace(listed[0], crl_number=-1)]))
    # The codec writes no empty list of this type; here is one.
    checked = check_bci(bci)
    fields = [der.as_received(element) for element in elements(checked.tbs)]
    empty = der.tlv(0x30, *fields[:-1], b"\x30\x00")
    with pytest.raises(CertificateError, match="not of the form"):
        check_bci(der.tlv(0x30, empty, checked.suite.x509_algorithm, der.tlv(3, b"\0", checked.signature)))


def test_junk_and_absurd_sizes_are_refused(tree: BrandTree, now: datetime) -> None:
    bci = tree.bci(tree.crls(now), now)
    for junk in (b"", b"\x30\x00", bytes(MAX_BCI + 1), bci + b"\0", bci[:-1]):
        with pytest.raises(CertificateError) as refusal:
            check_bci(junk)
        assert refusal.value.code == "invalidCertificate"


@pytest.mark.prop("PX-15")
def test_every_octet_is_covered_by_the_signature(tree: BrandTree, now: datetime) -> None:
    crls = tree.crls(now)
    bci = tree.bci(crls, now)
    validator = told(tree, crls)
    for position in range(len(bci)):
        bad = bytearray(bci)
        bad[position] ^= 1
        with pytest.raises(CertificateError):
            validator.add_bci(bytes(bad))
    validator.add_bci(bci)


@pytest.mark.prop("PX-12", "PX-15")
def test_a_signature_is_written_in_one_way(tree: BrandTree, now: datetime) -> None:
    """One that ends in a zero bit could also call that bit unused."""
    crls = tree.crls(now)

    def ends_in_zero(made: Callable[[], bytes]) -> bytes:
        return next(data for data in iter(made, b"") if not data[-1] & 1)

    def issued() -> bytes:
        return tree.issue_cardholder(bytes(20)).signature_certificate

    readers: tuple[tuple[Callable[[], bytes], Callable[[bytes], object]], ...] = (
        (lambda: tree.bci(crls, now), check_bci),
        (lambda: crl_of(tree.cca, now), check_crl),
        (issued, check_certificate),
    )
    for made, reader in readers:
        data = ends_in_zero(made)
        reader(data)
        signature = signed_shape(data, limit=MAX_BCI).signature
        at = len(data) - len(signature) - 1
        assert data[at] == 0
        with pytest.raises(CertificateError, match="not the DER"):
            reader(data[:at] + b"\1" + data[at + 1 :])


def test_only_a_brand_ca_makes_one_and_not_of_everything(
    tree: BrandTree, now: datetime, suite_trees: Callable[[str], BrandTree]
) -> None:
    crls, end = tree.crls(now), now + CRL_LIFE
    life = tree.brand_ca.checked.not_after
    for authority, listed, not_after, rule in (
        (tree.cca, crls, end, "not the brand CA"),
        (tree.root, crls, end, "not the brand CA"),
        (tree.brand_ca, [], end, "one CRL of each issuer"),
        (tree.brand_ca, [*crls, crl_of(tree.cca, now)], end, "one CRL of each issuer"),
        (tree.brand_ca, suite_trees("ed25519").crls(now), end, "of this suite"),
        (tree.brand_ca, crls, now, "period"),
        (tree.brand_ca, crls, life + SECOND, "period"),
        (tree.brand_ca, [tree.root_der], end, "signed X.509|CRL"),
    ):
        with pytest.raises(CertificateError, match=rule):
            authority.brand_crl_identifier(listed, at=now, not_after=not_after)
    # None of these used up a number.
    assert check_bci(tree.brand_ca.brand_crl_identifier(crls, at=now, not_after=life)).number == 1


# --- PX-15: what is held must be what is listed ---


@pytest.mark.prop("PX-15")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_listed_crl_that_is_withheld_blocks(
    tree: BrandTree, cardholder: Credential, now: datetime, level: int
) -> None:
    """The CRL of the root, the brand CA or the cardholder CA, which revokes something, does not arrive."""
    victims = (tree.brand_ca.chain[0], tree.cca.chain[0], cardholder.signature_certificate)
    old, at = tree.crls(now), now + DAY
    validator = told(tree, old, tree.bci(old, now))
    validate(validator, cardholder, at)
    tree.authorities[level].revoke(serial_of(victims[level]), at)
    new = tree.crls(at)
    validator.add_bci(tree.bci(new, at))
    for index, crl in enumerate(new):
        if index != level:
            validator.add_crl(crl)
    error = blocked(validator, cardholder, at, "CRL older than the BrandCRLIdentifier says")
    assert error.subject == tree.authorities[level].checked.printable
    validator.add_crl(new[level])
    with pytest.raises(CertificateError, match="revoked"):
        validate(validator, cardholder, at)


@pytest.mark.prop("PX-15")
def test_an_old_one_that_is_replayed_changes_nothing(tree: BrandTree, cardholder: Credential, now: datetime) -> None:
    old, at = tree.crls(now), now + DAY
    bci = tree.bci(old, now)
    validator = told(tree, old, bci, tree.bci(tree.crls(at), at))
    generation = validator.generation
    for _ in range(2):
        blocked(validator, cardholder, at, "CRL older")
        validator.add_bci(bci)
        assert validator.generation == generation
    # Whoever has seen the old one only cannot know better, until it ends.
    validate(told(tree, old, bci), cardholder, at)


@pytest.mark.prop("PX-15")
def test_a_crl_newer_than_listed_counts(tree: BrandTree, cardholder: Credential, now: datetime) -> None:
    crls, at = tree.crls(now), now + DAY
    validator = told(tree, crls, tree.bci(crls, now))
    validator.add_crl(crl_of(tree.cca, at))
    validate(validator, cardholder, at)
    tree.cca.revoke(serial_of(cardholder.signature_certificate), at)
    validator.add_crl(crl_of(tree.cca, at))
    with pytest.raises(CertificateError, match="revoked"):
        validate(validator, cardholder, at)


@pytest.mark.prop("PX-15")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_issuer_must_be_listed(tree: BrandTree, cardholder: Credential, at: datetime, level: int) -> None:
    crls = tree.crls(tree.now)
    validator = told(tree, crls, tree.bci([crl for index, crl in enumerate(crls) if index != level], tree.now))
    error = blocked(validator, cardholder, at, "not in the BrandCRLIdentifier")
    assert error.subject == tree.authorities[level].checked.printable


@pytest.mark.prop("PX-15")
def test_it_counts_within_its_period_only(tree: BrandTree, cardholder: Credential, now: datetime) -> None:
    crls = tree.crls(now)
    bci = tree.brand_ca.brand_crl_identifier(crls, at=now + DAY, not_after=now + 3 * DAY)
    for at in (now + DAY, now + 2 * DAY, now + 3 * DAY):
        validate(told(tree, crls, bci), cardholder, at)
    validator = told(tree, crls, bci)
    validate(validator, cardholder, now + 2 * DAY)  # and what the cache remembers ends there, too
    for at in (now + DAY - SECOND, now + 3 * DAY + SECOND):
        blocked(validator, cardholder, at, "no current BrandCRLIdentifier")


@pytest.mark.prop("PX-15")
def test_without_it_plain_rfc_5280_has_to_be_asked_for(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    crls = tree.crls(tree.now)
    blocked(told(tree, crls), cardholder, at, "no current BrandCRLIdentifier")
    plain = PathValidator([tree.root_certificate], suite="p256", require_bci=False)
    plain.add_intermediates(tree.ca_certificates)
    for crl in crls:
        plain.add_crl(crl)
    validate(plain, cardholder, at)
    # A root is of no brand.
    told(tree, crls).validate(tree.root_der, kind=K.ROOT, brand="", at=at)


# --- PX-15: who may say so ---


def rival_of(tree: BrandTree) -> Authority:
    """The brand CA of another brand, under the same root."""
    key = tree.suite.generate_signature_key()
    return tree.root.issue_authority(K.BRAND_CA, ca_name("XX", "Rival", "Brand CA"), key, not_before=tree.now)


@pytest.mark.prop("PX-15")
def test_the_list_of_another_brand_does_not_count(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    rival, crls = rival_of(tree), tree.crls(tree.now)
    validator = told(tree, crls)
    validator.add_bci(forged(rival, crls, tree.now), rival.chain)
    blocked(validator, cardholder, at, "no current BrandCRLIdentifier")
    not_taken(
        validator, forged(rival, crls, tree.now, brand="Marque"), "invalidCertificate", "another brand", rival.chain
    )
    blocked(validator, cardholder, at, "no current BrandCRLIdentifier")


@pytest.mark.prop("PX-15")
def test_no_other_ca_of_the_brand_may_sign_it(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    crls = tree.crls(tree.now)
    validator = told(tree, crls)
    not_taken(validator, forged(tree.cca, crls, tree.now), "missingCertificate", "no certificate of the brand CA")
    not_taken(validator, forged(tree.root, crls, tree.now, brand="Marque"), "missingCertificate", "of the brand CA")
    in_its_name = forged(tree.cca, crls, tree.now, name_of=tree.brand_ca)
    not_taken(validator, in_its_name, "invalidCertificate", "signature of a BrandCRLIdentifier")
    blocked(validator, cardholder, at, "no current BrandCRLIdentifier")


@pytest.mark.prop("PX-15")
def test_a_stranger_with_the_same_names_is_not_heard(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    """A whole hierarchy of his own with our names; then a brand CA that also has our key identifier."""
    crls = tree.crls(tree.now)
    validator = told(tree, crls, tree.bci(crls, tree.now))
    stranger = build_brand_tree("p256", now=tree.now)
    extra = (*stranger.ca_certificates, stranger.root_der)
    not_taken(validator, forged(stranger.brand_ca, crls, tree.now, number=999), "missingCertificate", "no", extra)
    draft = Draft.of(tree.brand_ca.certificate)
    key = tree.suite.generate_signature_key()
    draft.public_key = key.public_key()
    double = Authority(x509.load_der_x509_certificate(draft.signed_with(tree.suite, key)), key, superior_chain=())
    bci = forged(double, crls, tree.now, number=999)
    not_taken(validator, bci, "invalidCertificate", "signature of a BrandCRLIdentifier", double.chain)
    # He gets no place in the stores either when nobody else has that name.
    lonely = PathValidator([tree.root_certificate], suite="p256")
    not_taken(lonely, bci, "invalidCertificate", "certificate signature failure", double.chain)
    with pytest.raises(CertificateError, match="certificate signature failure"):
        lonely.add_crl(crl_of(double, tree.now), double.chain)
    validate(validator, cardholder, at)


@pytest.mark.prop("PX-15")
def test_two_with_one_number_are_refused(tree: BrandTree, now: datetime) -> None:
    crls = tree.crls(now)
    bci = tree.bci(crls, now)
    validator = told(tree, crls, bci)
    other = forged(tree.brand_ca, crls[:2], now, number=check_bci(bci).number)
    not_taken(validator, other, "invalidCertificate", "two different BrandCRLIdentifiers with one number")
    # Signed anew, what it says is the same.
    again = forged(tree.brand_ca, crls, now, number=check_bci(bci).number)
    assert again != bci
    generation = validator.generation
    validator.add_bci(again)
    assert validator.generation == generation


# --- a brand CA with two keys ---


@pytest.fixture
def second(tree: BrandTree) -> Authority:
    """The brand CA with a new key: the same name, a register of its own."""
    key = tree.suite.generate_signature_key()
    return tree.root.issue_authority(K.BRAND_CA, tree.brand_ca.certificate.subject, key, not_before=tree.now)


@pytest.mark.prop("PX-15")
def test_a_new_key_of_the_brand_ca_speaks_for_what_the_old_one_issued(
    tree: BrandTree, second: Authority, cardholder: Credential, at: datetime
) -> None:
    crls = [*tree.crls(tree.now), crl_of(second, tree.now)]
    validator = told(tree, crls[:-1])
    validator.add_crl(crls[-1], second.chain)
    validator.add_bci(second.brand_crl_identifier(crls, at=tree.now, not_after=tree.now + CRL_LIFE), second.chain)
    first = validate(validator, cardholder, at)
    assert first.chain[-1] == tree.brand_ca.chain[0]
    assert validate(validator, cardholder, at + SECOND) is first
    # The chain is as good as ever, but not who says that its CRLs are the newest.
    tree.root.revoke(serial_of(second.chain[0]), at)
    validator.add_crl(crl_of(tree.root, at))
    blocked(validator, cardholder, at, "no current BrandCRLIdentifier")


@pytest.mark.prop("PX-15")
def test_with_two_lists_in_force_every_listing_counts(
    tree: BrandTree, second: Authority, cardholder: Credential, at: datetime
) -> None:
    crls = [*tree.crls(tree.now), crl_of(second, tree.now)]
    newer = crl_of(tree.cca, at)
    validator = told(tree, crls[:-1], tree.bci(crls, tree.now))
    validate(validator, cardholder, at)
    said = forged(second, [newer], tree.now)
    validator.add_bci(said, second.chain)
    blocked(validator, cardholder, at, "CRL older")
    validator.add_crl(newer)
    valid = validate(validator, cardholder, at)
    assert validate(validator, cardholder, at + SECOND) is valid
    # Not what a revoked key says, though; and nothing is remembered that a certificate might still change.
    tree.root.revoke(serial_of(second.chain[0]), at)
    validator.add_crl(crl_of(tree.root, at))
    validator.add_bci(forged(second, [tree.crls(at)[2]], at, number=101), second.chain)
    valid = validate(validator, cardholder, at)
    assert validate(validator, cardholder, at) is not valid


@pytest.mark.prop("PX-15")
def test_a_revoked_key_does_not_come_back_through_another_ca(at: datetime) -> None:
    """The geo-political CA may certify no brand CA, and OpenSSL does not know that."""
    tree = build_brand_tree("p256", now=at - DAY, geo=True)
    assert tree.geo is not None
    second = tree.root.issue_authority(
        K.BRAND_CA, tree.brand_ca.certificate.subject, tree.suite.generate_signature_key(), not_before=tree.now
    )
    tree.root.revoke(serial_of(second.chain[0]), tree.now)
    crls = tree.crls(tree.now)
    validator = told(tree, crls)
    validator.add_bci(forged(second, crls, tree.now), second.chain)
    draft = Draft.of(second.certificate)
    draft.issuer = tree.geo.certificate.subject
    draft.put(x509.AuthorityKeyIdentifier(tree.geo.checked.subject_key_identifier, None, None), False)
    leaf = tree.issue_cardholder(bytes(20)).signature_certificate
    with pytest.raises(CertificateError, match="no current BrandCRLIdentifier"):
        validator.validate(leaf, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at, extra=[draft.signed(tree.geo)])


@pytest.mark.prop("PX-12")
def test_the_crls_of_two_keys_of_one_ca_are_two(
    tree: BrandTree, second: Authority, cardholder: Credential, at: datetime
) -> None:
    """Serial numbers belong to a key, too: what the new key's list says is not about what the old key signed."""
    entry = x509.RevokedCertificateBuilder(serial_of(tree.cca.chain[0]), tree.now).build()
    other = forged_crl(second, tree.now, tree.now + CRL_LIFE, entries=(entry,))
    crls = tree.crls(tree.now)
    validator = told(tree, [])
    validator.add_crl(other, second.chain)
    for crl in crls:
        validator.add_crl(crl)
    validator.add_bci(tree.bci([*crls, other], tree.now))
    validate(validator, cardholder, at)


# --- the cache ---


@pytest.mark.prop("PX-15")
def test_what_is_remembered_ends_with_a_signer_outside_of_the_chain(
    tree: BrandTree, cardholder: Credential, at: datetime
) -> None:
    end = tree.now + 5 * DAY
    key = tree.suite.generate_signature_key()
    second = tree.root.issue_authority(
        K.BRAND_CA, tree.brand_ca.certificate.subject, key, not_before=tree.now, not_after=end
    )
    crls = tree.crls(tree.now)
    validator = told(tree, crls)
    validator.add_bci(forged(second, crls, tree.now), second.chain)
    validate(validator, cardholder, at)
    blocked(validator, cardholder, end + SECOND, "no current BrandCRLIdentifier")


@pytest.mark.prop("PX-15")
def test_what_is_remembered_ends_when_a_later_list_begins(
    tree: BrandTree, second: Authority, cardholder: Credential, at: datetime
) -> None:
    """The old key's list is in force; the new key's begins tomorrow and knows of a newer CRL."""
    crls = tree.crls(tree.now)
    validator = told(tree, crls, tree.bci(crls, tree.now))
    validator.add_bci(forged(second, [crl_of(tree.cca, at)], at + DAY), second.chain)
    valid = validate(validator, cardholder, at)
    assert validate(validator, cardholder, at + DAY - SECOND) is valid
    blocked(validator, cardholder, at + DAY, "CRL older")


def test_what_is_remembered_under_an_ended_list_begins_after_it(
    tree: BrandTree, second: Authority, cardholder: Credential, at: datetime
) -> None:
    """The new key's list, which knows of a newer CRL, has ended; the clock goes back into its time."""
    crls = tree.crls(tree.now)
    validator = told(tree, crls, tree.bci(crls, tree.now))
    validator.add_bci(forged(second, [crl_of(tree.cca, at)], tree.now, not_after=at - SECOND), second.chain)
    validate(validator, cardholder, at)
    blocked(validator, cardholder, at - SECOND, "CRL older")


@pytest.mark.prop("PX-15")
def test_a_new_one_ends_what_is_remembered(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    crls = tree.crls(tree.now)
    validator = told(tree, crls, tree.bci(crls, tree.now))
    valid, generation = validate(validator, cardholder, at), validator.generation
    validator.add_bci(tree.bci(crls, tree.now))
    assert validator.generation > generation
    again = validate(validator, cardholder, at)
    assert again == valid
    assert again is not valid


# --- what a responder encloses ---


def test_the_newest_and_the_crls_that_it_names(tree: BrandTree, second: Authority, at: datetime) -> None:
    crls = tree.crls(tree.now)
    bci = tree.bci(crls[:3], tree.now)
    validator = told(tree, crls)
    assert validator.revocation("Marque") == (None, ())
    validator.add_bci(bci)
    found = validator.revocation("Marque")
    assert found.bci == bci
    assert set(found.crls) == set(crls[:3])
    assert validator.revocation("Rival") == (None, ())
    newer = crl_of(tree.cca, at)
    validator.add_crl(newer)
    assert newer in validator.revocation("Marque").crls
    later = forged(second, crls, at, number=1)
    validator.add_bci(later, second.chain)
    assert validator.revocation("Marque").bci == later
    # What one encloses is enough for somebody who has the root only.
    sent = validator.revocation("Marque")
    empty = PathValidator([tree.root_certificate], suite="p256")
    for crl in sent.crls:
        empty.add_crl(crl, tree.ca_certificates)
    empty.add_bci(later, second.chain)
    assert empty.revocation("Marque").bci == later
    assert set(empty.revocation("Marque").crls) == set(sent.crls)
    assert empty.known == ()
    assert set(validator.known) == set(tree.ca_certificates)


def test_what_is_held_is_not_read_again(
    tree: BrandTree, cardholder: Credential, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    crls = tree.crls(tree.now)
    bci = tree.bci(crls, tree.now)
    validator = told(tree, crls, bci)

    def never(_: bytes) -> CheckedBCI:
        raise AssertionError("read again")

    monkeypatch.setattr(pki.path, "check_bci", never)
    monkeypatch.setattr(pki.path, "check_crl", never)
    for crl in crls:
        validator.add_crl(crl)
    validator.add_bci(bci)
    validate(validator, cardholder, at)


def test_messages_of_a_revoked_ca_about_itself_cure_nothing(
    tree: BrandTree, cardholder: Credential, at: datetime
) -> None:
    """Its CRLs are taken in, since they can only concern certificates that are refused already."""
    tree.brand_ca.revoke(serial_of(tree.cca.chain[0]), tree.now)
    crls = tree.crls(tree.now)
    validator = told(tree, crls, tree.bci(crls, tree.now))
    generation = validator.generation
    validator.add_crl(crl_of(tree.cca, at))
    assert validator.generation > generation
    with pytest.raises(CertificateError, match="revoked") as refusal:
        validate(validator, cardholder, at)
    assert refusal.value.code == "revokedCertificate"
