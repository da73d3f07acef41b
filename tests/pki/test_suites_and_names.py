"""The allow-list of suites, key identifiers, and distinguished names."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki import SUITES, BrandTree, CertificateError, UnknownSuiteError, build_brand_tree, key_suite
from pki.names import PartyName, brand_of, ca_name, cardholder_name, merchant_name, parse_name, root_name
from pki.suites import key_identifier, suite_of
from tests.pki.conftest import NOW
from tests.pki.forging import Draft, key_of


def test_the_four_suites() -> None:
    assert set(SUITES) == {"p256", "rsa3072", "ed25519", "mldsa65"}
    with pytest.raises(TypeError):
        SUITES["des"] = SUITES["p256"]  # type: ignore[index]
    for wrong in ("P256", "rsa2048", ""):
        with pytest.raises(UnknownSuiteError, match="no suite"):
            key_suite(wrong)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SUITES["p256"].name = "x"  # type: ignore[misc]


def test_a_key_is_of_exactly_one_suite() -> None:
    signature = {name: suite.generate_signature_key().public_key() for name, suite in SUITES.items()}
    exchange = {name: suite.generate_exchange_key().public_key() for name, suite in SUITES.items()}
    for name, suite in SUITES.items():
        assert [n for n, key in signature.items() if suite.accepts_signature_key(key)] == [name]
        assert [n for n, key in exchange.items() if suite.accepts_exchange_key(key)] == [name]


def test_near_misses_are_no_keys_of_any_suite() -> None:
    strangers = [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
        rsa.RSAPublicNumbers(3, (1 << 3071) + 1).public_key(),
        rsa.RSAPublicNumbers(65537, (1 << 8191) + 1).public_key(),
        mldsa.MLDSA44PrivateKey.generate().public_key(),
        mlkem.MLKEM1024PrivateKey.generate().public_key(),
        None,
        b"key",
    ]
    for suite in SUITES.values():
        assert not any(suite.accepts_signature_key(key) or suite.accepts_exchange_key(key) for key in strangers)
    x, e = x25519.X25519PrivateKey.generate().public_key(), ed25519.Ed25519PrivateKey.generate().public_key()
    assert not key_suite("ed25519").accepts_signature_key(x)
    assert not key_suite("ed25519").accepts_exchange_key(e)


def test_certificates_and_crls_name_their_suite(suite_tree: BrandTree) -> None:
    crl = suite_tree.root.crl(NOW, suite_tree.root.certificate.not_valid_after_utc)
    for signed in (suite_tree.root_certificate, suite_tree.cca.certificate, crl):
        assert suite_of(signed) is suite_tree.suite
        assert signed.signature_algorithm_oid == suite_tree.suite.x509_signature_oid


def test_a_suite_signs_with_its_own_keys_only(tree: BrandTree) -> None:
    other = key_suite("ed25519")
    with pytest.raises(UnknownSuiteError, match="not a signature key of suite ed25519"):
        other.sign_certificate(Draft.of(tree.cca.certificate).built(), key_of(tree.cca))


def test_a_suite_verifies_what_its_own_keys_sign(suite_tree: BrandTree) -> None:
    suite, key = suite_tree.suite, key_of(suite_tree.cca)
    signature = suite.sign(b"signed", key)
    assert suite.verifies(b"signed", signature, key.public_key())
    assert not suite.verifies(b"Signed", signature, key.public_key())
    assert not suite.verifies(b"signed", signature[:-1], key.public_key())
    assert not suite.verifies(b"signed", signature, key_of(suite_tree.mca).public_key())
    for other in SUITES.values():
        if other is not suite:
            assert not other.verifies(b"signed", signature, key.public_key())
            with pytest.raises(UnknownSuiteError):
                other.sign(b"signed", key)


def test_key_identifier_is_rfc_7093_method_1(tree: BrandTree) -> None:
    key = key_of(tree.cca).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    numbers = key.public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    assert key_identifier(key) == hashlib.sha256(point).digest()[:20]


text = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40)


common_names = st.none() | text.filter(lambda value: len(value.encode()) <= 64)


@given(st.from_regex("[A-Z]{2}", fullmatch=True), text, st.lists(text, max_size=2), common_names)
def test_names_come_back_as_they_went(country: str, brand: str, units: list[str], common: str | None) -> None:
    name = PartyName(country, brand, tuple(units), common)
    assert parse_name(name.to_x509()) == name
    assert brand_of(name.to_x509()) == brand


def test_who_is_called_what() -> None:
    assert cardholder_name("XX", "Marque", "Bank", bytes(20), card_name="Gold").rfc4514_string() == (
        "CN=AAAAAAAAAAAAAAAAAAAAAAAAAAA=,OU=Gold,OU=Bank,O=Marque,C=XX"
    )
    assert merchant_name("XX", "Marque", "Bank", "Shop").rfc4514_string() == "CN=Shop,OU=Bank,O=Marque,C=XX"
    assert ca_name("XX", "Marque", "Brand CA").rfc4514_string() == "OU=Brand CA,O=Marque,C=XX"
    assert root_name("XX", "SET Root").rfc4514_string() == "O=SET Root,C=XX"


@pytest.mark.parametrize(
    "parts",
    [
        ("xx", "B", (), None),
        ("XXX", "B", (), None),
        ("ÄÖ", "B", (), None),
        ("XX", "", (), None),
        ("XX", "B" * 41, (), None),
        ("XX", " B", (), None),
        ("XX", "B\n", (), None),
        ("XX", "B", ("a", "b", "c"), None),
        ("XX", "B", ("",), None),
        ("XX", "B", (), ""),
        ("XX", "B", (), "n" * 65),
    ],
)
def test_names_that_cannot_be(parts: tuple[str, str, tuple[str, ...], str | None]) -> None:
    with pytest.raises(ValueError, match=r"name|Name|units"):
        PartyName(*parts)


def test_a_cardholder_id_is_a_keyed_hash() -> None:
    for size in (0, 19, 33):
        with pytest.raises(ValueError, match="20 to 32 octets"):
            cardholder_name("XX", "Marque", "Bank", bytes(size))


def test_relative_names_have_one_value() -> None:
    country = x509.NameAttribute(NameOID.COUNTRY_NAME, "XX")
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Marque")
    joined = x509.Name([x509.RelativeDistinguishedName([country, organization])])
    with pytest.raises(CertificateError, match="several values"):
        brand_of(joined)


def test_trees_of_two_brands_differ_in_the_brand(tree: BrandTree) -> None:
    rival = build_brand_tree("p256", now=NOW, brand="Rival")
    assert brand_of(rival.cca.certificate.subject) == "Rival"
    assert brand_of(tree.cca.certificate.subject) == "Marque"
    with pytest.raises(UnknownSuiteError):
        build_brand_tree("rot13", now=NOW)
