"""Chain validation: what is accepted, and the lies that take more than one step (PX-12).

Every rule by itself, at every level and in every suite, is in ``test_rules``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from pki import (
    Authority,
    BrandTree,
    CertificateError,
    CertificateKind,
    Credential,
    PathValidator,
    UnknownSuiteError,
    build_brand_tree,
)
from pki.errors import ErrorCode
from pki.names import ca_name, cardholder_name, root_name
from pki.path import MAX_EXTRA
from tests.pki.forging import Draft, forged_crl, key_of, serial_of

K = CertificateKind
DAY = timedelta(days=1)


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def refused(
    validator: PathValidator,
    der: bytes,
    code: ErrorCode,
    rule: str,
    *,
    at: datetime,
    kind: CertificateKind = K.CARDHOLDER_SIGNATURE,
    brand: str = "Marque",
    extra: tuple[bytes, ...] = (),
) -> CertificateError:
    with pytest.raises(CertificateError, match=rule) as refusal:
        validator.validate(der, kind=kind, brand=brand, at=at, extra=extra)
    assert refusal.value.code == code
    assert refusal.value.source
    return refusal.value


# --- what is accepted ---


def test_a_merchant_is_known_by_its_validated_certificate(
    tree: BrandTree, validator: PathValidator, merchant: Credential, at: datetime
) -> None:
    valid = validator.validate(merchant.signature_certificate, kind=K.MERCHANT_SIGNATURE, brand="Marque", at=at)
    assert (valid.party_id, valid.brand, valid.suite, valid.kind) == (
        "M-1",
        "Marque",
        "p256",
        K.MERCHANT_SIGNATURE,
    )
    assert valid.merchant_data is not None
    assert valid.merchant_data.mer_acquirer_bin == "412345"
    assert valid.chain == (der_of(tree.mca.certificate), der_of(tree.brand_ca.certificate))
    assert merchant.signature_key is not None
    assert valid.public_key == merchant.signature_key.public_key()
    assert valid.private_key_not_after < valid.not_after
    assert len(valid.thumbprint) == 32


def test_every_kind_of_certificate_in_every_suite(suite_tree: BrandTree, at: datetime) -> None:
    tree = suite_tree
    validator = tree.validator(tree.now)
    holder = tree.issue_cardholder(tree.suite.name.encode().ljust(20))
    shop = tree.issue_merchant("M-1", "Corner Shop", "412345")
    gateway = tree.issue_gateway("GW-1")
    assert tree.geo is not None
    expected = {
        K.BRAND_CA: tree.brand_ca.chain[0],
        K.GEO_CA: tree.geo.chain[0],
        K.CARDHOLDER_CA: tree.cca.chain[0],
        K.MERCHANT_CA: tree.mca.chain[0],
        K.GATEWAY_CA: tree.pca.chain[0],
        K.CARDHOLDER_SIGNATURE: holder.signature_certificate,
        K.MERCHANT_SIGNATURE: shop.signature_certificate,
        K.MERCHANT_EXCHANGE: shop.exchange_certificate,
        K.GATEWAY_SIGNATURE: gateway.signature_certificate,
        K.GATEWAY_EXCHANGE: gateway.exchange_certificate,
    }
    for ca, signature, exchange in (
        (tree.cca, K.CARDHOLDER_CA_SIGNATURE, K.CARDHOLDER_CA_EXCHANGE),
        (tree.mca, K.MERCHANT_CA_SIGNATURE, K.MERCHANT_CA_EXCHANGE),
        (tree.pca, K.GATEWAY_CA_SIGNATURE, K.GATEWAY_CA_EXCHANGE),
    ):
        messages = tree.issue_ca_messages(ca)
        expected |= {signature: messages.signature_certificate, exchange: messages.exchange_certificate}
    for ca, signature in ((tree.brand_ca, K.BRAND_CA_SIGNATURE), (tree.geo, K.GEO_CA_SIGNATURE)):
        expected[signature] = tree.issue_ca_messages(ca).signature_certificate
    assert expected.keys() == set(K) - {K.ROOT}
    for kind, der in expected.items():
        assert der is not None
        assert validator.validate(der, kind=kind, brand="Marque", at=at).kind is kind
    root = validator.validate(der_of(tree.root_certificate), kind=K.ROOT, brand="", at=at)
    assert (root.brand, root.chain) == ("", ())


def test_intermediates_may_come_with_the_message(
    tree: BrandTree, validator: PathValidator, cardholder: Credential, at: datetime
) -> None:
    # Knows the CRLs, through validators of its own, but not the cardholder CA until it is sent along.
    fresh = PathValidator([tree.root_certificate], suite="p256")
    fresh._crls, fresh._bcis = validator._crls, validator._bcis
    refused(fresh, cardholder.signature_certificate, "missingCertificate", "no chain", at=at)
    fresh.validate(
        cardholder.signature_certificate,
        kind=K.CARDHOLDER_SIGNATURE,
        brand="Marque",
        at=at,
        extra=cardholder.chain,
    )


def test_a_renewed_ca_certificate_takes_over_from_the_expired_ones(
    tree: BrandTree, cardholder: Credential, at: datetime
) -> None:
    """However many there are with the same name and key: those in force are tried first."""
    validator = PathValidator([tree.root_certificate], suite="p256")
    for serial in range(70, 80):
        old = Draft.of(tree.cca.certificate)
        old.not_after, old.serial = at - timedelta(hours=1), serial
        validator.add_certificate(old.signed(tree.brand_ca))
    validator.add_intermediates(tree.ca_certificates)
    crls = tree.crls(tree.now)
    for crl in crls:
        validator.add_crl(crl)
    validator.add_bci(tree.bci(crls, tree.now))
    valid = validator.validate(cardholder.signature_certificate, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)
    assert valid.chain[0] == tree.cca.chain[0]


# --- PX-12: role, brand, use ---


@pytest.mark.prop("PX-12")
def test_wrong_role_is_refused(validator: PathValidator, merchant: Credential, at: datetime) -> None:
    error = refused(
        validator,
        merchant.signature_certificate,
        "invalidCertificate",
        "not a gateway signature",
        kind=K.GATEWAY_SIGNATURE,
        at=at,
    )
    assert "Corner Shop" in error.subject
    assert error.thumbprint is not None


@pytest.mark.prop("PX-12")
def test_wrong_use_is_refused(validator: PathValidator, merchant: Credential, at: datetime) -> None:
    assert merchant.exchange_certificate is not None
    refused(
        validator,
        merchant.exchange_certificate,
        "invalidCertificate",
        "not a merchant signature",
        kind=K.MERCHANT_SIGNATURE,
        at=at,
    )
    refused(
        validator,
        merchant.signature_certificate,
        "invalidCertificate",
        "not a merchant key exchange",
        kind=K.MERCHANT_EXCHANGE,
        at=at,
    )


@pytest.mark.prop("PX-12")
def test_an_end_entity_is_no_ca(
    tree: BrandTree, validator: PathValidator, merchant: Credential, cardholder: Credential, at: datetime
) -> None:
    """A merchant uses its signature key to certify a cardholder of its own invention."""
    shop = x509.load_der_x509_certificate(merchant.signature_certificate)
    ski = shop.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    draft = Draft.of(cardholder.signature_certificate)
    draft.issuer = shop.subject
    draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False)
    assert merchant.signature_key is not None
    forged = draft.signed_with(tree.suite, merchant.signature_key)
    error = refused(
        validator,
        forged,
        "invalidCertificate",
        "issued by a merchant signature",
        at=at,
        extra=(merchant.signature_certificate,),
    )
    assert error.source.endswith("rule 6")


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("brand", ["Rival", "MARQUE", "Marque "])
def test_mixed_brands_are_refused(
    tree: BrandTree, validator: PathValidator, cardholder: Credential, at: datetime, brand: str
) -> None:
    """The cardholder CA of one brand certifies a cardholder of another (letter case counts)."""
    draft = Draft.of(cardholder.signature_certificate)
    draft.subject = x509.Name(
        [x509.NameAttribute(a.oid, brand) if a.oid == x509.NameOID.ORGANIZATION_NAME else a for a in draft.subject]
    )
    refused(validator, draft.signed(tree.cca), "invalidCertificate", "brand|name", brand=brand, at=at)


@pytest.mark.prop("PX-12")
def test_mixed_brands_among_the_cas_are_refused(tree: BrandTree, validator: PathValidator, at: datetime) -> None:
    """The brand CA certifies a cardholder CA of another brand, which certifies in that brand."""
    key = tree.suite.generate_signature_key()
    draft = Draft.of(tree.cca.certificate)
    draft.subject, draft.public_key = ca_name("XX", "Rival", "Cardholder CA"), key.public_key()
    rival = Authority(
        x509.load_der_x509_certificate(draft.signed(tree.brand_ca)), key, superior_chain=tree.brand_ca.chain
    )
    leaf = rival.issue(
        K.CARDHOLDER_SIGNATURE,
        cardholder_name("XX", "Rival", "Bank", bytes(20)),
        tree.suite.generate_signature_key().public_key(),
        not_before=tree.now,
    )
    validator.add_certificate(rival.chain[0])
    with pytest.raises(CertificateError, match="mixes brands"):
        validator.add_crl(der_of_crl(rival, tree.now))
    refused(validator, der_of(leaf), "invalidCertificate", "mixes brands", brand="Rival", at=at)


def der_of_crl(authority: Authority, at: datetime, life: timedelta = 30 * DAY) -> bytes:
    return authority.crl(at, at + life).public_bytes(Encoding.DER)


# --- PX-12: time ---


@pytest.mark.prop("PX-12")
def test_an_expired_exchange_certificate_is_refused(tree: BrandTree, merchant: Credential) -> None:
    """No private key usage period here: OpenSSL alone looks at the date."""
    later = tree.now + 370 * DAY
    assert merchant.exchange_certificate is not None
    refused(
        tree.validator(later),
        merchant.exchange_certificate,
        "expiredCertificate",
        "expired",
        kind=K.MERCHANT_EXCHANGE,
        at=later,
    )


def test_a_naive_time_is_a_programming_error(validator: PathValidator, cardholder: Credential, at: datetime) -> None:
    for _ in range(2):  # cold, then with the certificate in the cache
        with pytest.raises((ValueError, TypeError)):
            validator.validate(
                cardholder.signature_certificate,
                kind=K.CARDHOLDER_SIGNATURE,
                brand="Marque",
                at=at.replace(tzinfo=None),
            )
        validator.validate(cardholder.signature_certificate, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)


def test_times_in_other_zones_are_the_same_times(tree: BrandTree, validator: PathValidator, at: datetime) -> None:
    short = tree.issue_cardholder(bytes(20), not_after=at)
    zone = dt.timezone(timedelta(hours=11))
    for moment in (at - timedelta(hours=1), (at - timedelta(hours=1)).astimezone(zone)):
        validator._cache.clear()
        validator.validate(short.signature_certificate, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=moment)
    refused(
        validator,
        short.signature_certificate,
        "expiredCertificate",
        "expired",
        at=(at + timedelta(hours=1)).astimezone(dt.timezone(-timedelta(hours=11))),
    )


# --- PX-12: revocation ---


@pytest.mark.prop("PX-12")
def test_a_newer_crl_that_revokes_counts_at_once(
    tree: BrandTree, validator: PathValidator, cardholder: Credential, at: datetime
) -> None:
    leaf = cardholder.signature_certificate
    validator.validate(leaf, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)
    tree.cca.revoke(serial_of(leaf), at)
    validator.add_crl(der_of_crl(tree.cca, at))
    refused(validator, leaf, "revokedCertificate", "revoked", at=at)


@pytest.mark.prop("PX-12")
def test_an_impostor_cannot_displace_the_crl_of_a_ca(
    tree: BrandTree, validator: PathValidator, cardholder: Credential, at: datetime
) -> None:
    """A made-up CA with the real one's name and key identifier publishes "nothing is revoked, number 999"."""
    tree.cca.revoke(serial_of(cardholder.signature_certificate), tree.now)
    validator.add_crl(der_of_crl(tree.cca, tree.now))
    key = tree.suite.generate_signature_key()
    draft = Draft.of(tree.cca.certificate)
    draft.public_key = key.public_key()
    impostor = Authority(x509.load_der_x509_certificate(draft.signed_with(tree.suite, key)), key, superior_chain=())
    validator.add_certificate(impostor.chain[0])
    with pytest.raises(CertificateError, match="signature"):
        validator.add_crl(forged_crl(impostor, tree.now, tree.now + 30 * DAY, number=999))
    refused(validator, cardholder.signature_certificate, "revokedCertificate", "revoked", at=at)


# --- PX-12: the chain ---


@pytest.mark.prop("PX-12")
def test_another_root_is_refused(cardholder: Credential, tree: BrandTree, at: datetime) -> None:
    other = build_brand_tree("p256", now=tree.now)
    refused(
        other.validator(other.now),
        cardholder.signature_certificate,
        "missingCertificate",
        "no chain",
        at=at,
        extra=(*tree.ca_certificates, der_of(tree.root_certificate)),
    )


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("position", [60, 200, -3])
def test_one_flipped_bit_is_refused(
    validator: PathValidator, cardholder: Credential, at: datetime, position: int
) -> None:
    changed = bytearray(cardholder.signature_certificate)
    changed[position] ^= 1
    with pytest.raises(CertificateError):
        validator.validate(bytes(changed), kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)


@pytest.mark.prop("PX-12")
def test_a_chain_that_is_too_long_is_refused(tree: BrandTree, validator: PathValidator, at: datetime) -> None:
    """Geo-political CAs certifying each other, deeper than any SET tree."""
    superior, extra = tree.brand_ca, []
    for level in range(3):
        key = tree.suite.generate_signature_key()
        base = build_brand_tree("p256", now=tree.now, geo=True).geo
        assert base is not None
        draft = Draft.of(base.certificate)
        draft.subject, draft.issuer = ca_name("XX", "Marque", f"Geo {level}"), superior.certificate.subject
        draft.public_key = key.public_key()
        ski = superior.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        draft.put(x509.SubjectKeyIdentifier(bytes([level] * 20)), False)
        draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False)
        superior = Authority(x509.load_der_x509_certificate(draft.signed(superior)), key, superior_chain=superior.chain)
        extra.append(superior.chain[0])
    cca = superior.issue_authority(
        K.CARDHOLDER_CA,
        ca_name("XX", "Marque", "Deep CA"),
        tree.suite.generate_signature_key(),
        not_before=tree.now,
    )
    leaf = cca.issue(
        K.CARDHOLDER_SIGNATURE,
        cardholder_name("XX", "Marque", "Bank", bytes(20)),
        tree.suite.generate_signature_key().public_key(),
        not_before=tree.now,
    )
    refused(
        validator,
        der_of(leaf),
        "invalidCertificate",
        "more than 5 certificates",
        at=at,
        extra=(*extra, cca.chain[0]),
    )


# --- suites ---


@pytest.mark.prop("PX-12")
def test_a_chain_does_not_mix_suites(
    tree: BrandTree, validator: PathValidator, suite_trees: Callable[[str], BrandTree], at: datetime
) -> None:
    other = suite_trees("ed25519")
    der = other.cca.chain[0]
    with pytest.raises(CertificateError, match="not of suite p256"):
        validator.add_certificate(der)
    refused(validator, der, "invalidCertificate", "not of suite p256", kind=K.CARDHOLDER_CA, at=at)
    # An Ed25519 key certified by a p256 CA is of neither suite.
    key = other.suite.generate_signature_key()
    draft = Draft.of(tree.cca.certificate)
    draft.public_key = key.public_key()
    with pytest.raises(CertificateError, match="not a key of suite p256"):
        validator.add_certificate(draft.signed(tree.brand_ca))


@pytest.mark.prop("PX-12")
def test_an_intermediate_of_another_suite_in_the_message_is_refused(
    validator: PathValidator,
    tree: BrandTree,
    cardholder: Credential,
    suite_trees: Callable[[str], BrandTree],
    at: datetime,
) -> None:
    """A p256 leaf that names an Ed25519 CA as its issuer."""
    other = suite_trees("ed25519").cca
    ski = other.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    draft = Draft.of(cardholder.signature_certificate)
    draft.issuer = other.certificate.subject
    draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False)
    leaf = draft.signed(tree.cca)
    with pytest.raises(CertificateError):
        validator.validate(leaf, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at, extra=other.chain)


# --- the validator itself ---


def test_no_roots_no_validator() -> None:
    with pytest.raises(ValueError, match="no trusted root"):
        PathValidator([], suite="p256")


def test_only_roots_are_roots(tree: BrandTree, suite_trees: Callable[[str], BrandTree]) -> None:
    with pytest.raises(CertificateError, match="not a root"):
        PathValidator([tree.brand_ca.certificate], suite="p256")
    with pytest.raises(CertificateError, match="not of suite"):
        PathValidator([suite_trees("ed25519").root_certificate], suite="p256")
    with pytest.raises(UnknownSuiteError):
        PathValidator([tree.root_certificate], suite="sha1rsa")
    with pytest.raises(ValueError, match="no suite"):
        PathValidator([tree.root_certificate], suite="")


def test_the_pool_takes_subordinate_cas_only(tree: BrandTree, validator: PathValidator, cardholder: Credential) -> None:
    for der in (cardholder.signature_certificate, der_of(tree.root_certificate)):
        with pytest.raises(CertificateError, match="subordinate CA"):
            validator.add_certificate(der)


def test_absurd_amounts_are_refused_before_they_are_parsed(
    validator: PathValidator, cardholder: Credential, at: datetime
) -> None:
    leaf = cardholder.signature_certificate
    refused(validator, leaf, "invalidCertificate", "more than", at=at, extra=(leaf,) * (MAX_EXTRA + 1))
    refused(validator, leaf, "invalidCertificate", "more than", at=at, extra=(bytes(65537),))
    refused(validator, bytes(1 << 20), "invalidCertificate", "not the DER", at=at)
    refused(validator, b"", "invalidCertificate", "not the DER", at=at)
    refused(validator, leaf + b"\0", "invalidCertificate", "not the DER", at=at)
    refused(validator, leaf, "invalidCertificate", "not the DER", at=at, extra=(b"junk",))


def test_a_foreign_root_with_our_roots_name_is_not_trusted(tree: BrandTree, at: datetime) -> None:
    other = build_brand_tree("p256", now=tree.now)
    assert other.root_certificate.subject == root_name("XX", "SET Root")
    refused(
        tree.validator(tree.now), der_of(other.root_certificate), "missingCertificate", "no chain",
        kind=K.ROOT, brand="", at=at,
    )  # fmt: skip


def test_the_policy_extension_is_there(tree: BrandTree) -> None:
    assert key_of(tree.root) is not None
    assert tree.root_certificate.extensions.get_extension_for_oid(ExtensionOID.CERTIFICATE_POLICIES).critical
