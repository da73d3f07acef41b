"""The profile of every kind, and everything that breaks it (PX-12: wrong-usage certificates)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from pki import (
    BrandTree,
    CardCertRequired,
    CertificateError,
    CertificateKind,
    CertificateType,
    Credential,
    HashedRootKey,
    MerchantData,
    MerchantName,
    check_certificate,
    check_profile,
)
from pki import der as codec
from pki.extensions import CARD_CERT_REQUIRED, CERTIFICATE_TYPE, HASHED_ROOT_KEY, MERCHANT_DATA, to_extension
from pki.profiles import CA_KINDS, PROFILES, Use, path_depth
from pki.signed import elements, signed_shape
from tests.pki.forging import Draft, key_of

K = CertificateKind
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.99"), b"\x05\x00")
MERCHANT = MerchantData(
    mer_id="M",
    mer_acquirer_bin="412345",
    mer_name_seq=(MerchantName(language="en", name="N", city="C", country_name="X"),),
    mer_country=999,
)


def test_the_table_is_the_hierarchy_of_set() -> None:
    """6.6 rule 6, as a table: who issues whom."""
    issued_by = {kind: {str(i) for i in profile.issuers} for kind, profile in PROFILES.items()}
    superior = {"brand CA", "geo-political CA"}
    assert issued_by[K.BRAND_CA] == {"root"}
    assert issued_by[K.GEO_CA] == {"brand CA"}
    assert issued_by[K.CARDHOLDER_CA] == issued_by[K.MERCHANT_CA] == issued_by[K.GATEWAY_CA] == superior
    assert issued_by[K.CARDHOLDER_SIGNATURE] == {"cardholder CA"}
    assert issued_by[K.MERCHANT_SIGNATURE] == issued_by[K.MERCHANT_EXCHANGE] == {"merchant CA"}
    assert issued_by[K.GATEWAY_SIGNATURE] == issued_by[K.GATEWAY_EXCHANGE] == {"gateway CA"}
    assert PROFILES.keys() == set(K)
    assert path_depth() == 5
    assert all(profile.issuers <= CA_KINDS for profile in PROFILES.values())


def test_every_ca_publishes_a_crl_unlike_in_set(suite_tree: BrandTree) -> None:
    """The fix of W-13: also cardholder and merchant CAs may sign CRLs."""
    for kind in CA_KINDS:
        usage = PROFILES[kind].key_usage(suite_tree.suite)
        assert usage.key_cert_sign
        assert usage.crl_sign
    assert len(suite_tree.crls(suite_tree.now)) == len(suite_tree.authorities)


def test_key_usage_of_exchange_keys_by_suite(suite_tree: BrandTree) -> None:
    usage = PROFILES[K.GATEWAY_EXCHANGE].key_usage(suite_tree.suite)
    expected = {
        "p256": (True, False, False),
        "ed25519": (True, False, False),
        "rsa3072": (False, True, True),
        "mldsa65": (False, True, False),
    }[suite_tree.suite.name]
    assert (usage.key_agreement, usage.key_encipherment, usage.data_encipherment) == expected


def test_check_profile_tells_the_kind(tree: BrandTree, merchant: Credential) -> None:
    assert check_profile(tree.root_certificate) is K.ROOT
    assert check_profile(tree.pca.certificate) is K.GATEWAY_CA
    assert check_profile(x509.load_der_x509_certificate(merchant.signature_certificate)) is K.MERCHANT_SIGNATURE


Change = Callable[[Draft], Any]


BITS = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def usage(**bits: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**(dict.fromkeys(BITS, False) | bits))


def attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value)


def subject(*attributes: x509.NameAttribute[str]) -> Change:
    return lambda draft: setattr(draft, "subject", x509.Name(attributes))


C, ORG, OU, CN = (
    attribute(NameOID.COUNTRY_NAME, "XX"),
    attribute(NameOID.ORGANIZATION_NAME, "Marque"),
    attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Bank"),
    attribute(NameOID.COMMON_NAME, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
)

CARDHOLDER_FAULTS: list[tuple[str, str, Change]] = [
    ("no key usage", "keyUsage missing", lambda d: d.drop(ExtensionOID.KEY_USAGE)),
    ("key usage not critical", "must be critical", lambda d: d.put(usage(digital_signature=True), False)),
    (
        "key usage with a CA's bit",
        "keyUsage is not",
        lambda d: d.put(usage(digital_signature=True, key_cert_sign=True), True),
    ),
    (
        "key usage with one more bit",
        "keyUsage is not",
        lambda d: d.put(usage(digital_signature=True, content_commitment=True), True),
    ),
    ("key usage of another use", "no kind", lambda d: d.put(usage(key_agreement=True), True)),
    ("no policies", "certificatePolicies missing", lambda d: d.drop(ExtensionOID.CERTIFICATE_POLICIES)),
    (
        "another policy",
        "SET root policy",
        lambda d: d.put(
            x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.42.5.1"), None)]),
            True,
        ),
    ),
    (
        "any policy",
        "SET root policy",
        lambda d: d.put(
            x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]),
            True,
        ),
    ),
    (
        "policies not critical",
        "must be critical",
        lambda d: d.put(
            x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.42.5.0"), None)]),
            False,
        ),
    ),
    ("no basic constraints", "basicConstraints missing", lambda d: d.drop(ExtensionOID.BASIC_CONSTRAINTS)),
    (
        "basic constraints not critical",
        "must be critical",
        lambda d: d.put(x509.BasicConstraints(ca=False, path_length=None), False),
    ),
    ("claims to be a CA", "no kind", lambda d: d.put(x509.BasicConstraints(ca=True, path_length=0), True)),
    ("no certificate type", "certificateType missing", lambda d: d.drop(CERTIFICATE_TYPE)),
    (
        "certificate type not critical",
        "must be critical",
        lambda d: d.put(to_extension(CertificateType.CARD), False),
    ),
    (
        "two roles",
        "no kind",
        lambda d: d.put(to_extension(CertificateType.CARD | CertificateType.MER), True),
    ),
    (
        "no subject key identifier",
        "subjectKeyIdentifier missing",
        lambda d: d.drop(ExtensionOID.SUBJECT_KEY_IDENTIFIER),
    ),
    (
        "empty subject key identifier",
        "1 to 64 octets",
        lambda d: d.put(x509.SubjectKeyIdentifier(b""), False),
    ),
    (
        "no authority key identifier",
        "authorityKeyIdentifier missing",
        lambda d: d.drop(ExtensionOID.AUTHORITY_KEY_IDENTIFIER),
    ),
    (
        "SET's own form of the authority key identifier",
        "key identifier alone",
        lambda d: d.put(x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(d.issuer)], 5), False),
    ),
    (
        "both forms of the authority key identifier",
        "key identifier alone",
        lambda d: d.put(x509.AuthorityKeyIdentifier(bytes(20), [x509.DirectoryName(d.issuer)], 5), False),
    ),
    (
        "no private key usage period",
        "privateKeyUsagePeriod",
        lambda d: d.drop(ExtensionOID.PRIVATE_KEY_USAGE_PERIOD),
    ),
    (
        "private key usage period without end",
        "lies within",
        lambda d: d.put(x509.PrivateKeyUsagePeriod(d.not_before, None), False),
    ),
    (
        "private key usage period beyond the certificate",
        "lies within",
        lambda d: d.put(x509.PrivateKeyUsagePeriod(d.not_before, d.not_after + timedelta(seconds=1)), False),
    ),
    ("unknown critical extension", "critical or restrictive", lambda d: d.put(UNKNOWN, True)),
    (
        "extended key usage",
        "critical or restrictive",
        lambda d: d.put(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ),
    (
        "name constraints",
        "critical or restrictive",
        lambda d: d.put(x509.NameConstraints([x509.DNSName("a.example")], None), True),
    ),
    (
        "subject alternative name marked critical",
        "critical or restrictive",
        lambda d: d.put(x509.SubjectAlternativeName([x509.DNSName("a.example")]), True),
    ),
    ("a root's extension", "2.23.42.7.0 in a", lambda d: d.put(to_extension(HashedRootKey(bytes(32))), True)),
    ("a merchant's extension", "2.23.42.7.2 in a", lambda d: d.put(to_extension(MERCHANT), False)),
    (
        "a gateway's extension",
        "2.23.42.7.3 in a",
        lambda d: d.put(to_extension(CardCertRequired(True)), False),
    ),
    (
        "malformed private extension",
        "extension 2.23.42.7.1",
        lambda d: d.put(x509.UnrecognizedExtension(CERTIFICATE_TYPE, b"\x03\x02\x06\x80"), True),
    ),
    (
        "malformed standard extension",
        "malformed extensions",
        lambda d: d.put(x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, b"\x01"), False),
    ),
    ("no unit in the name", "subject name", subject(C, ORG, CN)),
    ("no common name", "subject name", subject(C, ORG, OU)),
    (
        "a common name that tells something",
        "unique cardholder id",
        subject(C, ORG, OU, attribute(NameOID.COMMON_NAME, "Jane Doe")),
    ),
    ("three units", "two organizational units", subject(C, ORG, OU, OU, OU, CN)),
    ("name out of order", "out of order", subject(ORG, C, OU, CN)),
    (
        "an attribute that SET has not",
        "attribute",
        subject(C, ORG, OU, CN, attribute(NameOID.SURNAME, "Doe")),
    ),
    ("two countries", "one country", subject(C, C, ORG, OU, CN)),
    ("lower-case country", "capital", subject(attribute(NameOID.COUNTRY_NAME, "xx"), ORG, OU, CN)),
    ("brand too long", "40", subject(C, attribute(NameOID.ORGANIZATION_NAME, "B" * 41), OU, CN)),
    (
        "a key of another curve",
        "not a key of suite p256",
        lambda d: setattr(d, "public_key", ec.generate_private_key(ec.SECP384R1()).public_key()),
    ),
    (
        "a key of another type",
        "not a key of suite p256",
        lambda d: setattr(d, "public_key", ed25519.Ed25519PrivateKey.generate().public_key()),
    ),
]


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize(
    ("rule", "change"), [(r, c) for _, r, c in CARDHOLDER_FAULTS], ids=[n for n, _, _ in CARDHOLDER_FAULTS]
)
def test_a_certificate_that_breaks_its_profile_is_refused(
    tree: BrandTree, cardholder: Credential, rule: str, change: Change
) -> None:
    draft = Draft.of(cardholder.signature_certificate)
    check_certificate(draft.signed(tree.cca))  # without the fault it passes
    change(draft)
    with pytest.raises(CertificateError, match=rule) as refusal:
        check_certificate(draft.signed(tree.cca))
    assert refusal.value.code == "invalidCertificate"
    assert refusal.value.thumbprint is not None


def test_an_empty_validity_period_is_refused(tree: BrandTree, merchant: Credential) -> None:
    assert merchant.exchange_certificate is not None
    draft = Draft.of(merchant.exchange_certificate)
    draft.not_after = draft.not_before
    with pytest.raises(CertificateError, match="validity period is empty"):
        check_certificate(draft.signed(tree.mca))


def test_harmless_extensions_do_not_matter(tree: BrandTree, cardholder: Credential) -> None:
    """RFC 5280 section 4.2: what is not critical and restricts nothing may be ignored."""
    draft = Draft.of(cardholder.signature_certificate).put(UNKNOWN, False)
    draft.put(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://bank.example/")]), False)
    assert check_certificate(draft.signed(tree.cca)).kind is K.CARDHOLDER_SIGNATURE


@pytest.mark.prop("PX-12")
def test_a_private_key_usage_period_is_for_message_signatures_only(tree: BrandTree, merchant: Credential) -> None:
    assert merchant.exchange_certificate is not None
    draft = Draft.of(merchant.exchange_certificate)
    draft.put(x509.PrivateKeyUsagePeriod(draft.not_before, draft.not_after), False)
    with pytest.raises(CertificateError, match="and no others"):
        check_certificate(draft.signed(tree.mca))


@pytest.mark.prop("PX-12")
def test_required_private_extensions(tree: BrandTree, merchant: Credential, gateway: Credential) -> None:
    with pytest.raises(CertificateError, match=r"2\.23\.42\.7\.2 missing"):
        check_certificate(Draft.of(merchant.signature_certificate).drop(MERCHANT_DATA).signed(tree.mca))
    assert gateway.exchange_certificate is not None
    with pytest.raises(CertificateError, match=r"2\.23\.42\.7\.3 missing"):
        check_certificate(Draft.of(gateway.exchange_certificate).drop(CARD_CERT_REQUIRED).signed(tree.pca))
    with pytest.raises(CertificateError, match=r"2\.23\.42\.7\.0 missing"):
        check_certificate(Draft.of(tree.root_certificate).drop(HASHED_ROOT_KEY).signed(tree.root))


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("length", [None, 1, 200])
def test_a_ca_has_a_path_length_and_a_small_one(tree: BrandTree, length: int | None) -> None:
    draft = Draft.of(tree.cca.certificate).put(x509.BasicConstraints(ca=True, path_length=length), True)
    with pytest.raises(CertificateError, match="pathLenConstraint"):
        check_certificate(draft.signed(tree.brand_ca))


def test_a_root_names_its_own_key(tree: BrandTree) -> None:
    draft = Draft.of(tree.root_certificate)
    draft.put(x509.AuthorityKeyIdentifier(bytes(20), None, None), False)
    with pytest.raises(CertificateError, match="only a root"):
        check_certificate(draft.signed(tree.root))


def test_the_same_extension_twice_is_refused(tree: BrandTree, cardholder: Credential) -> None:
    """The builder cannot do that, so the bytes are made to: one extension becomes the twin of another."""
    twin = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.23.42.7.9"), b"\x03\x02\x07\x80")
    der = Draft.of(cardholder.signature_certificate).put(twin, True).signed(tree.cca)
    doubled = der.replace(bytes.fromhex("0604672a0709"), bytes.fromhex("0604672a0701"))
    assert doubled != der
    with pytest.raises(CertificateError, match="DuplicateExtension"):
        check_certificate(doubled)


def test_serial_numbers_fit_20_octets(tree: BrandTree, cardholder: Credential) -> None:
    draft = Draft.of(cardholder.signature_certificate)
    draft.serial = (1 << 159) - 1
    check_certificate(draft.signed(tree.cca))
    der = draft.signed(tree.cca)
    negative = der.replace(b"\x02\x14\x7f" + b"\xff" * 19, b"\x02\x14\x80" + b"\xff" * 19)
    assert negative != der
    with pytest.raises(CertificateError):  # the parser's warning, made an exception by pytest, is caught too
        check_certificate(negative)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CertificateError, match="serial"):
            check_certificate(negative)


def test_unique_identifiers_are_refused(cardholder: Credential) -> None:
    """6.2.  Spliced in before the extensions; the signature does not matter to the profile."""
    shape = signed_shape(cardholder.signature_certificate, limit=1 << 16)
    fields = [codec.encode(field) for field in shape.fields]
    whole = [codec.encode(item) for item in elements(cardholder.signature_certificate)]
    for unique in (bytes.fromhex("81020055"), bytes.fromhex("82020055")):
        tbs = codec.tlv(0x30, *fields[:7], unique, fields[7])
        with pytest.raises(CertificateError, match="unique identifiers"):
            check_certificate(codec.tlv(0x30, tbs, *whole[1:]))
    assert check_certificate(codec.tlv(0x30, codec.tlv(0x30, *fields), *whole[1:]))


def test_pss_parameters_are_fixed_to_the_octet(suite_trees: Callable[[str], BrandTree]) -> None:
    """Another salt length, another hash, or PKCS #1 v1.5: all verify, none is in the suite."""
    tree = suite_trees("rsa3072")
    key = key_of(tree.brand_ca)
    assert isinstance(key, rsa.RSAPrivateKey)
    builder = Draft.of(tree.cca.certificate).built()
    sha256, sha384 = hashes.SHA256(), hashes.SHA384()
    for algorithm, scheme in (
        (sha256, padding.PSS(padding.MGF1(sha256), 20)),
        (sha256, padding.PSS(padding.MGF1(sha384), 32)),
        (sha384, padding.PSS(padding.MGF1(sha384), 32)),
        (sha256, padding.PKCS1v15()),
    ):
        certificate = builder.sign(key, algorithm, rsa_padding=scheme)
        with pytest.raises(CertificateError, match="in no suite"):
            check_certificate(certificate.public_bytes(Encoding.DER))


def test_inner_and_outer_algorithm_must_agree(cardholder: Credential) -> None:
    der = cardholder.signature_certificate
    sha256, sha384 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040303")
    assert der.count(sha256) == 2
    with pytest.raises(CertificateError, match="differs inside"):
        check_certificate(der.replace(sha256, sha384, 1))
    with pytest.raises(CertificateError, match="in no suite"):
        check_certificate(der.replace(sha256, sha384))


def test_use_names() -> None:
    assert {profile.use for profile in PROFILES.values()} == set(Use)
