"""The cache of validated certificates: it saves work and never decides anything."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import pki.path
from pki import BrandTree, CertificateError, CertificateKind, Credential, PathValidator, build_brand_tree
from pki.hierarchy import CRL_LIFE
from tests.pki.forging import Draft, serial_of

K = CertificateKind
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def validate(validator: PathValidator, credential: Credential, at: datetime) -> pki.path.ValidatedCertificate:
    return validator.validate(credential.signature_certificate, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)


def without_bci(tree: BrandTree, at: datetime) -> PathValidator:
    """One for which nothing ends when the CRLs do."""
    validator = PathValidator([tree.root_certificate], suite="p256", require_bci=False)
    validator.add_intermediates(tree.ca_certificates)
    for crl in tree.crls(at):
        validator.add_crl(crl)
    return validator


def test_a_hit_gives_the_same_value(validator: PathValidator, cardholder: Credential, at: datetime) -> None:
    first = validate(validator, cardholder, at)
    assert validate(validator, cardholder, at + SECOND) is first


def test_a_hit_does_no_work(
    validator: PathValidator, cardholder: Credential, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate(validator, cardholder, at)

    def never(*_: object) -> None:
        raise AssertionError("a cached certificate was looked at again")

    monkeypatch.setattr(PathValidator, "_validate", never)
    validate(validator, cardholder, at)


@pytest.mark.prop("PX-12")
def test_never_past_the_end_of_the_certificate(tree: BrandTree, at: datetime) -> None:
    short = tree.issue_cardholder(bytes(20), not_after=tree.now + 5 * DAY)
    validator = tree.validator(tree.now)
    validate(validator, short, at)
    validate(validator, short, tree.now + 5 * DAY - SECOND)
    with pytest.raises(CertificateError, match="expired"):
        validate(validator, short, tree.now + 5 * DAY + SECOND)
    with pytest.raises(CertificateError, match="not yet valid"):
        validate(validator, short, tree.now - SECOND)


@pytest.mark.prop("PX-12")
def test_never_past_the_end_of_a_ca_or_of_an_exchange_certificate(
    tree: BrandTree, gateway: Credential, at: datetime
) -> None:
    """Here neither a CRL nor a private key usage period ends first."""
    end = tree.now + 5 * DAY
    exchange, pca = gateway.exchange_certificate, Draft.of(tree.pca.certificate)
    assert exchange is not None
    short = Draft.of(exchange)
    short.not_after = pca.not_after = end
    for leaf, ca in ((short.signed(tree.pca), tree.pca.chain[0]), (exchange, pca.signed(tree.brand_ca))):
        validator = PathValidator([tree.root_certificate], suite="p256", require_bci=False)
        validator.add_intermediates([ca, tree.brand_ca.chain[0]])
        for authority in (tree.root, tree.brand_ca, tree.pca):
            validator.add_crl(authority.crl(tree.now, tree.now + CRL_LIFE).public_bytes(Encoding.DER))
        validator.validate(leaf, kind=K.GATEWAY_EXCHANGE, brand="Marque", at=at)
        with pytest.raises(CertificateError, match="expired"):
            validator.validate(leaf, kind=K.GATEWAY_EXCHANGE, brand="Marque", at=end + SECOND)


@pytest.mark.prop("PX-12")
def test_never_past_the_private_key_usage_period(tree: BrandTree, cardholder: Credential) -> None:
    end = tree.now + 365 * DAY
    validator = tree.validator(end - DAY)
    validate(validator, cardholder, end - SECOND)
    with pytest.raises(CertificateError, match="private key usage"):
        validate(validator, cardholder, end + SECOND)


@pytest.mark.prop("PX-12")
def test_never_past_the_end_of_a_crl(tree: BrandTree, cardholder: Credential) -> None:
    validator = without_bci(tree, tree.now)
    validate(validator, cardholder, tree.now + CRL_LIFE - SECOND)
    with pytest.raises(CertificateError, match="CRL expired"):
        validate(validator, cardholder, tree.now + CRL_LIFE + SECOND)


@pytest.mark.prop("PX-12")
def test_never_before_a_crl_begins(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    validator = without_bci(tree, at)
    validate(validator, cardholder, at)
    with pytest.raises(CertificateError, match="CRL not yet valid"):
        validate(validator, cardholder, at - SECOND)


@pytest.mark.prop("PX-12")
def test_never_past_a_new_crl(tree: BrandTree, validator: PathValidator, cardholder: Credential, at: datetime) -> None:
    first = validate(validator, cardholder, at)
    validator.add_crl(tree.mca.crl(at, at + CRL_LIFE).public_bytes(Encoding.DER))
    again = validate(validator, cardholder, at)
    assert again is not first  # validated anew, even though this CRL was another CA's
    assert again == first
    tree.brand_ca.revoke(serial_of(tree.cca.chain[0]), at)
    validator.add_crl(tree.brand_ca.crl(at, at + CRL_LIFE).public_bytes(Encoding.DER))
    with pytest.raises(CertificateError, match="revoked"):
        validate(validator, cardholder, at)


@pytest.mark.prop("PX-12")
def test_never_under_another_trust_anchor(
    tree: BrandTree, validator: PathValidator, cardholder: Credential, at: datetime
) -> None:
    validate(validator, cardholder, at)
    other = build_brand_tree("p256", now=tree.now)
    with pytest.raises(CertificateError, match="no chain"):
        validate(other.validator(other.now), cardholder, at)


@pytest.mark.prop("PX-12")
def test_never_for_another_kind_or_brand(validator: PathValidator, cardholder: Credential, at: datetime) -> None:
    validate(validator, cardholder, at)
    der = cardholder.signature_certificate
    with pytest.raises(CertificateError, match="not a merchant"):
        validator.validate(der, kind=K.MERCHANT_SIGNATURE, brand="Marque", at=at)
    with pytest.raises(CertificateError, match="another brand"):
        validator.validate(der, kind=K.CARDHOLDER_SIGNATURE, brand="Rival", at=at)


def test_failures_are_not_remembered(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    validator = PathValidator([tree.root_certificate], suite="p256")
    with pytest.raises(CertificateError, match="no chain"):
        validate(validator, cardholder, at)
    validator.add_intermediates(tree.ca_certificates)
    with pytest.raises(CertificateError, match="CRL missing"):
        validate(validator, cardholder, at)
    crls = tree.crls(tree.now)
    for crl in crls:
        validator.add_crl(crl)
    with pytest.raises(CertificateError, match="no current BrandCRLIdentifier"):
        validate(validator, cardholder, at)
    validator.add_bci(tree.bci(crls, tree.now))
    validate(validator, cardholder, at)


def test_the_cache_is_bounded(
    tree: BrandTree, validator: PathValidator, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pki.path, "_CACHE_SIZE", 3)
    holders = [tree.issue_cardholder(bytes([i]) * 20) for i in range(4)]
    first = [validate(validator, holder, at) for holder in holders[:3]]
    assert validate(validator, holders[0], at) is first[0]  # used again, so number 1 is the oldest now
    validate(validator, holders[3], at)
    assert len(validator._cache) == 3
    assert validate(validator, holders[0], at) is first[0]
    assert validate(validator, holders[1], at) is not first[1]


@pytest.mark.prop("PX-12")
def test_the_ends_of_a_crl_are_in_force(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    """As OpenSSL has it: both ends belong to the period, and a fraction of a second does not count."""
    validator = without_bci(tree, at)
    microsecond = timedelta(microseconds=1)
    for moment in (at, at + CRL_LIFE, at + CRL_LIFE + microsecond):
        validate(validator, cardholder, moment)
    for moment in (at - microsecond, at + CRL_LIFE + SECOND):
        with pytest.raises(CertificateError, match=r"CRL (not yet valid|expired)"):
            validate(validator, cardholder, moment)
