"""What other programs bring and take: public keys, certification requests, PKCS#12.

Sources: RFC 5280 section 4.1.2.7 (SubjectPublicKeyInfo), RFC 2986 (PKCS #10), RFC 7292 (PKCS #12), RFC 7468.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from pki.checking import reading
from pki.errors import CertificateError, KeyStoreError
from pki.keystore import load_exchange_key, load_signature_key
from pki.suites import KeySuite, PrivateKey, PublicKey

__all__ = ["dump_pkcs12", "load_public_key", "to_der"]

_MAX_PEM = 64 * 1024


def load_public_key(pem: bytes) -> PublicKey:
    """The key in a PEM of SubjectPublicKeyInfo ("PUBLIC KEY") or in a certification request.

    Of a request only the key is taken: what its subject may be called is not for it to say.  Its signature must hold,
    which proves that whoever asks has the private key (RFC 2986 section 3); a bare key proves nothing.
    CertificateError("invalidCertificate") for anything else.  The suite of the key is for ``Authority.issue`` to check.
    """
    if len(pem) > _MAX_PEM:
        raise _refuse("too large for a public key")
    with reading("public key"):
        if b"CERTIFICATE REQUEST" not in pem:
            return cast(PublicKey, serialization.load_pem_public_key(pem))
        request = x509.load_pem_x509_csr(pem)
        if not request.is_signature_valid:
            raise _refuse("signature of a certification request")
        return cast(PublicKey, request.public_key())


def to_der(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """A certificate or CRL in DER: for callers that keep away from the primitives."""
    return signed.public_bytes(serialization.Encoding.DER)


def dump_pkcs12(
    certificate: bytes, private_key_pem: bytes, chain: Iterable[bytes], *, suite: KeySuite, passphrase: bytes, name: str
) -> bytes:
    """A certificate (DER), its key and its chain as encrypted PKCS#12 for other software.

    ``private_key_pem``: encrypted PKCS#8, under ``passphrase`` as the result is; ``name`` is shown to people.
    KeyStoreError if the key does not open or belong, or PKCS#12 cannot hold keys of this sort here.
    """
    key = _private_key(private_key_pem, passphrase, suite)
    leaf = x509.load_der_x509_certificate(certificate)
    if key.public_key() != leaf.public_key():
        raise KeyStoreError("invalidCertificate", "private key and certificate do not match", "RFC 7292")
    others = [x509.load_der_x509_certificate(der) for der in chain]
    encryption = serialization.BestAvailableEncryption(passphrase)
    try:
        return pkcs12.serialize_key_and_certificates(name.encode(), key, leaf, others, encryption)  # type: ignore[arg-type]
    except (TypeError, UnsupportedAlgorithm):
        raise KeyStoreError("invalidCertificate", "PKCS#12 cannot hold a key of this sort", "RFC 7292") from None


def _private_key(pem: bytes, passphrase: bytes, suite: KeySuite) -> PrivateKey:
    try:
        return load_signature_key(pem, passphrase, suite)
    except KeyStoreError:
        return load_exchange_key(pem, passphrase, suite)


def _refuse(rule: str) -> CertificateError:
    return CertificateError("invalidCertificate", rule, "RFC 2986 section 3")
