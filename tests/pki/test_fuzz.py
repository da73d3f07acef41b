"""Damaged certificates, CRLs and BCIs: whatever is in them, what comes out is ours or a CertificateError."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import BrandTree, CertificateError, CertificateKind, check_bci, check_certificate, check_crl
from pki.hierarchy import CRL_LIFE
from tests.pki.conftest import NOW
from tests.pki.forging import forged_crl


def damaged(original: bytes, data: st.DataObject) -> bytes:
    octets = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(octets) - 1))
        octets[place] = data.draw(st.integers(0, 255))
    return bytes(octets)


@pytest.fixture(scope="session")
def certificates(suite_trees: Callable[[str], BrandTree]) -> list[bytes]:
    tree = suite_trees("p256")
    return [*tree.ca_certificates, tree.issue_merchant("M-fuzz", "Bücher", "412345").signature_certificate]


@pytest.fixture(scope="session")
def crl(suite_trees: Callable[[str], BrandTree]) -> bytes:
    tree = suite_trees("p256")
    entry = x509.RevokedCertificateBuilder(serial_number=5, revocation_date=NOW)
    reason = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False).build()
    return forged_crl(tree.cca, NOW, NOW + CRL_LIFE, entries=(reason,))


@pytest.mark.prop("PX-12")
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_certificates(certificates: list[bytes], data: st.DataObject) -> None:
    with suppress(CertificateError):
        check_certificate(damaged(data.draw(st.sampled_from(certificates)), data))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_crls(crl: bytes, data: st.DataObject) -> None:
    with suppress(CertificateError):
        check_crl(damaged(crl, data))


@pytest.fixture(scope="session")
def bci(suite_trees: Callable[[str], BrandTree]) -> bytes:
    tree = suite_trees("p256")
    return tree.bci(tree.crls(NOW), NOW)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_bcis(bci: bytes, data: st.DataObject) -> None:
    with suppress(CertificateError):
        check_bci(damaged(bci, data))


@pytest.mark.prop("PX-12")
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_every_single_bit_of_a_leaf_through_the_whole_validation(
    suite_trees: Callable[[str], BrandTree],
) -> None:
    """Two parsers read a certificate, and where one is laxer the other must not surprise: bit flips in the
    string types of names once came out of OpenSSL as an exception of its own."""
    tree = suite_trees("p256")
    merchant = tree.issue_merchant("M-bits", "Corner Shop", "412345")
    validator = tree.validator(NOW)
    kind = CertificateKind.MERCHANT_SIGNATURE
    original = merchant.signature_certificate
    for bit in range(len(original) * 8):
        octets = bytearray(original)
        octets[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CertificateError):
            validator.validate(bytes(octets), kind=kind, brand=tree.brand, at=NOW, extra=merchant.chain)
