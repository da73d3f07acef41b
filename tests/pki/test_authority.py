"""Issuing: an authority refuses what it may not certify."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import Authority, BrandTree, CardCertRequired, CertificateError, CertificateKind, CertificateType, create_root
from pki.extensions import HASHED_ROOT_KEY, HashedRootKey, from_extension
from pki.names import ca_name, cardholder_name, gateway_name, root_name
from pki.suites import key_suite
from tests.pki.forging import key_of

K = CertificateKind
DAY = timedelta(days=1)
NAME = cardholder_name("XX", "Marque", "Bank", bytes(20))


def fresh(tree: BrandTree) -> ec.EllipticCurvePublicKey:
    key = tree.suite.generate_signature_key().public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@pytest.mark.prop("CR-18")
def test_a_key_is_certified_once(tree: BrandTree) -> None:
    """Not for another name, and not for the same name again either."""
    key = fresh(tree)
    tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, key, not_before=tree.now)
    other = cardholder_name("XX", "Marque", "Bank", bytes(range(20)))
    for name in (NAME, other):
        with pytest.raises(CertificateError, match="certified before"):
            tree.cca.issue(K.CARDHOLDER_SIGNATURE, name, key, not_before=tree.now)


@pytest.mark.prop("CR-18")
def test_a_key_serves_one_use(tree: BrandTree) -> None:
    """One key for signatures and for key exchange would be two certificates for one key."""
    key = fresh(tree)
    with pytest.raises(CertificateError, match="certified before"):
        tree.issue_merchant("M-1", "Shop", "412345", signature_public_key=key, exchange_public_key=key)


@pytest.mark.prop("CR-18")
def test_a_ca_does_not_certify_its_own_key(tree: BrandTree) -> None:
    with pytest.raises(CertificateError, match="certified before"):
        tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, key_of(tree.cca).public_key(), not_before=tree.now)


@pytest.mark.prop("CR-18")
def test_a_refused_request_does_not_use_up_the_key(tree: BrandTree) -> None:
    key = fresh(tree)
    foreign = cardholder_name("XX", "Rival", "Bank", bytes(20))
    with pytest.raises(CertificateError, match="another brand"):
        tree.cca.issue(K.CARDHOLDER_SIGNATURE, foreign, key, not_before=tree.now)
    tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, key, not_before=tree.now)


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("kind", sorted(set(K) - {K.CARDHOLDER_SIGNATURE}))
def test_the_cardholder_ca_issues_cardholder_certificates_only(tree: BrandTree, kind: CertificateKind) -> None:
    with pytest.raises(CertificateError, match="may not issue"):
        tree.cca.issue(kind, NAME, fresh(tree), not_before=tree.now)


def test_a_root_is_made_not_issued(tree: BrandTree) -> None:
    with pytest.raises(CertificateError, match="may not issue root"):
        tree.root.issue(K.ROOT, root_name("XX", "Other"), fresh(tree), not_before=tree.now)


def test_nothing_outlives_its_issuer(tree: BrandTree) -> None:
    end = tree.cca.certificate.not_valid_after_utc
    for not_before, not_after in (
        (tree.now, end + timedelta(seconds=1)),
        (tree.now - timedelta(seconds=1), end),
        (tree.now + DAY, tree.now),
    ):
        with pytest.raises(CertificateError, match="beyond the CA's own"):
            tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, fresh(tree), not_before=not_before, not_after=not_after)
    # Left out, the end is cut to the CA's.
    late = tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, fresh(tree), not_before=end - DAY)
    assert late.not_valid_after_utc == end


def test_keys_of_other_suites_are_not_certified(tree: BrandTree) -> None:
    key = key_suite("ed25519").generate_signature_key().public_key()
    with pytest.raises(CertificateError, match="not a key of suite p256"):
        tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, key, not_before=tree.now)


def test_extensions_must_fit_the_kind(tree: BrandTree) -> None:
    with pytest.raises(CertificateError, match=r"2\.23\.42\.7\.3 in a"):
        tree.cca.issue(
            K.CARDHOLDER_SIGNATURE, NAME, fresh(tree), not_before=tree.now, extensions=[CardCertRequired(True)]
        )
    with pytest.raises(CertificateError, match="malformed extensions"):
        tree.cca.issue(K.CARDHOLDER_SIGNATURE, NAME, fresh(tree), not_before=tree.now, extensions=[CertificateType.MER])
    gateway = gateway_name("XX", "Marque", "Bank", "GW")
    with pytest.raises(CertificateError, match="no privateKeyUsagePeriod"):
        tree.pca.issue(
            K.GATEWAY_EXCHANGE,
            gateway,
            fresh(tree),
            not_before=tree.now,
            private_key_not_after=tree.now + DAY,
            extensions=[CardCertRequired(True)],
        )


def test_serial_numbers_come_from_the_given_source_and_do_not_repeat(tree: BrandTree) -> None:
    authority = Authority(
        tree.cca.certificate, key_of(tree.cca), superior_chain=tree.brand_ca.chain, random_bytes=lambda n: b"\xff" * n
    )
    first = authority.issue(K.CARDHOLDER_SIGNATURE, NAME, fresh(tree), not_before=tree.now)
    assert first.serial_number == (1 << 159) - 1
    with pytest.raises(CertificateError, match="repeats itself"):
        authority.issue(K.CARDHOLDER_SIGNATURE, NAME, fresh(tree), not_before=tree.now)


def test_an_authority_needs_its_own_key_and_a_ca_certificate(tree: BrandTree) -> None:
    with pytest.raises(CertificateError, match="do not match"):
        Authority(tree.cca.certificate, key_of(tree.mca), superior_chain=())
    holder = tree.issue_cardholder(bytes(20))
    assert holder.signature_key is not None
    with pytest.raises(CertificateError, match="not the certificate of a CA"):
        Authority(x509.load_der_x509_certificate(holder.signature_certificate), holder.signature_key, superior_chain=())


def test_crl_numbers_grow_and_the_first_revocation_date_stays(tree: BrandTree, now: datetime) -> None:
    holder = x509.load_der_x509_certificate(tree.issue_cardholder(bytes(20)).signature_certificate)
    tree.cca.revoke(holder.serial_number, now + DAY)
    tree.cca.revoke(holder.serial_number, now + 2 * DAY)
    first, second = (tree.cca.crl(now + 3 * DAY, now + 9 * DAY) for _ in range(2))
    numbers = [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (first, second)]
    assert numbers == [1, 2]
    entry = second.get_revoked_certificate_by_serial_number(holder.serial_number)
    assert entry is not None
    assert entry.revocation_date_utc == now + DAY


def test_only_own_certificates_are_revoked(tree: BrandTree, now: datetime) -> None:
    with pytest.raises(CertificateError, match="no certificate with this serial"):
        tree.mca.revoke(tree.cca.certificate.serial_number, now)
    with pytest.raises(CertificateError, match="period of a CRL"):
        tree.cca.crl(now, now)
    with pytest.raises(CertificateError, match="period of a CRL"):
        tree.cca.crl(now, now + 10000 * DAY)


def test_a_root_commits_to_the_next(tree: BrandTree, now: datetime) -> None:
    extension = tree.root_certificate.extensions.get_extension_for_oid(HASHED_ROOT_KEY)
    assert extension.critical
    assert isinstance(extension.value, x509.UnrecognizedExtension)
    assert isinstance(from_extension(extension.value), HashedRootKey)
    key = tree.suite.generate_signature_key()
    with pytest.raises(CertificateError, match="a key of its own"):
        create_root(tree.suite, root_name("XX", "R"), key, key.public_key(), not_before=now)
    other = key_suite("ed25519").generate_signature_key()
    with pytest.raises(CertificateError, match="not a signature key"):
        create_root(tree.suite, root_name("XX", "R"), key, other.public_key(), not_before=now)


def test_times_need_a_zone(tree: BrandTree, now: datetime) -> None:
    holder = x509.load_der_x509_certificate(tree.issue_cardholder(bytes(20)).signature_certificate)
    with pytest.raises(ValueError, match="time zone"):
        tree.cca.revoke(holder.serial_number, now.replace(tzinfo=None))


def test_no_private_key_in_any_repr(tree: BrandTree) -> None:
    holder = tree.issue_cardholder(bytes(20))
    for value in (tree, tree.cca, holder, tree.validator(tree.now)):
        assert "PrivateKey" not in repr(value)
    assert {f.name for f in dataclasses.fields(tree) if not f.repr} == {"next_root_key"}
    assert "redacted" in repr(holder)


def test_sub_cas_carry_their_chain(tree: BrandTree) -> None:
    key = tree.suite.generate_signature_key()
    deputy = tree.brand_ca.issue_authority(
        K.CARDHOLDER_CA, ca_name("XX", "Marque", "Second CCA", "2"), key, not_before=tree.now
    )
    assert deputy.chain[1:] == tree.brand_ca.chain
    assert len(deputy.chain) == 2
    assert tree.root.chain == ()
