"""CRLs: what is taken for one, and which one counts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import BrandTree, CertificateError, CRLStore, PathValidator, check_certificate, check_crl
from pki.signed import MAX_CRL
from tests.pki.forging import forged_crl

DAY = timedelta(days=1)
MONTH = 30 * DAY


def checked(tree: BrandTree) -> CRLStore:
    store = CRLStore()
    store.add(
        check_crl(forged_crl(tree.cca, tree.now, tree.now + MONTH, number=10)), [check_certificate(tree.cca.chain[0])]
    )
    return store


def entry(extension: x509.ExtensionType, critical: bool, now: datetime) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(serial_number=5, revocation_date=now)
    return builder.add_extension(extension, critical).build()


def test_the_newest_crl_wins_and_an_older_one_changes_nothing(tree: BrandTree) -> None:
    issuer = check_certificate(tree.cca.chain[0])
    store = checked(tree)
    generation = store.generation
    for old in (3, 9):
        held = store.add(check_crl(forged_crl(tree.cca, tree.now, tree.now + 2 * MONTH, number=old)), [issuer])
        assert held.number == 10
    assert store.generation == generation
    assert store.add(check_crl(forged_crl(tree.cca, tree.now, tree.now + MONTH, number=11)), [issuer]).number == 11
    assert store.generation > generation
    newest = store.newest(issuer)
    assert newest is not None
    assert newest.number == 11


def test_the_same_crl_again_changes_nothing(tree: BrandTree) -> None:
    issuer = check_certificate(tree.cca.chain[0])
    store = checked(tree)
    generation = store.generation
    newest = store.newest(issuer)
    assert newest is not None
    assert store.add(check_crl(newest.der), [issuer]) is newest
    assert store.generation == generation


def test_two_crls_with_one_number_are_refused(tree: BrandTree) -> None:
    store = checked(tree)
    other = forged_crl(tree.cca, tree.now, tree.now + MONTH, number=10, entries=(plain(5, tree.now),))
    with pytest.raises(CertificateError, match="one number") as refusal:
        store.add(check_crl(other), [check_certificate(tree.cca.chain[0])])
    assert refusal.value.code == "invalidCertificate"


def plain(serial: int, now: datetime) -> x509.RevokedCertificate:
    return x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=now).build()


@pytest.mark.prop("PX-12")
def test_a_crl_signed_by_somebody_else_is_refused(tree: BrandTree, validator: PathValidator) -> None:
    """In the cardholder CA's name, with its key identifier, signed by the merchant CA."""
    forged = forged_crl(tree.cca, tree.now, tree.now + MONTH, signer=tree.mca)
    generation = validator.generation
    with pytest.raises(CertificateError, match="signature of a CRL") as refusal:
        validator.add_crl(forged)
    assert refusal.value.code == "invalidCertificate"
    assert validator.generation == generation


@pytest.mark.prop("PX-12")
def test_a_crl_of_an_unknown_issuer_is_refused(tree: BrandTree, validator: PathValidator) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Nobody")])
    with pytest.raises(CertificateError, match="issuer") as refusal:
        validator.add_crl(forged_crl(tree.cca, tree.now, tree.now + MONTH, name=name))
    assert refusal.value.code == "missingCertificate"
    empty = PathValidator([tree.root_certificate], suite="p256")
    with pytest.raises(CertificateError, match="issuer"):
        empty.add_crl(forged_crl(tree.cca, tree.now, tree.now + MONTH))


@pytest.mark.prop("PX-12")
def test_an_end_entity_publishes_no_crl(tree: BrandTree) -> None:
    holder = tree.issue_cardholder(bytes(20))
    store = CRLStore()
    assert holder.signature_key is not None
    certificate = check_certificate(holder.signature_certificate)
    builder = x509.CertificateRevocationListBuilder(certificate.certificate.subject, tree.now, tree.now + MONTH)
    builder = builder.add_extension(x509.CRLNumber(1), False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(certificate.subject_key_identifier, None, None), False)
    crl = tree.suite.sign_crl(builder, holder.signature_key).public_bytes(Encoding.DER)
    with pytest.raises(CertificateError, match="no certificate of the CRL's issuer"):
        store.add(check_crl(crl), [certificate])


@pytest.mark.parametrize(
    "extra",
    [
        (x509.DeltaCRLIndicator(3), True),
        (
            x509.IssuingDistributionPoint(
                full_name=None,
                relative_name=None,
                only_contains_user_certs=True,
                only_contains_ca_certs=False,
                only_some_reasons=None,
                indirect_crl=False,
                only_contains_attribute_certs=False,
            ),
            True,
        ),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.99"), b"\x05\x00"), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.99"), b"\x05\x00"), False),
    ],
    ids=["delta", "partial", "unknown critical", "unknown"],
)
def test_partial_and_unknown_crls_are_refused(tree: BrandTree, extra: tuple[x509.ExtensionType, bool]) -> None:
    """OpenSSL is told to ignore critical extensions, so these would pass for complete lists."""
    with pytest.raises(CertificateError, match="and no others"):
        check_crl(forged_crl(tree.cca, tree.now, tree.now + MONTH, extra=extra))


def test_entries_may_give_a_reason_and_nothing_else(tree: BrandTree) -> None:
    now = tree.now
    compromised = entry(x509.CRLReason(x509.ReasonFlags.key_compromise), False, now)
    check_crl(forged_crl(tree.cca, now, now + MONTH, entries=(compromised,)))
    issuer = x509.CertificateIssuer([x509.DirectoryName(tree.mca.certificate.subject)])
    for bad in (
        entry(issuer, True, now),
        entry(x509.CRLReason(x509.ReasonFlags.key_compromise), True, now),
        entry(x509.CRLReason(x509.ReasonFlags.remove_from_crl), False, now),
    ):
        with pytest.raises(CertificateError, match=r"entries|delta"):
            check_crl(forged_crl(tree.cca, now, now + MONTH, entries=(bad,)))


def test_the_authority_key_identifier_is_needed(tree: BrandTree) -> None:
    with pytest.raises(CertificateError, match="authorityKeyIdentifier"):
        check_crl(forged_crl(tree.cca, tree.now, tree.now + MONTH, with_aki=False))


def test_junk_and_absurd_sizes_are_refused(tree: BrandTree) -> None:
    for junk in (b"", b"\x30\x00", bytes(MAX_CRL + 1), tree.cca.chain[0]):
        with pytest.raises(CertificateError):
            check_crl(junk)


def test_every_suite_signs_crls(suite_tree: BrandTree) -> None:
    for der in suite_tree.crls(suite_tree.now):
        assert check_crl(der).suite is suite_tree.suite
