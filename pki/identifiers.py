"""How a certificate is pointed at, by its subjectKeyIdentifier and its thumbprint, and CRLs and BCIs by the latter.

Both say nothing about whether the object is genuine.  They are remembered, since the same objects come
again and again; but not those of absurd size, with which a stranger could fill the memory.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509

from pki.checking import reading
from pki.errors import CertificateError
from pki.signed import MAX_CRL, signed_shape

__all__ = ["subject_key_identifier", "thumbprint"]

_REMEMBERED_SIZE = 16 * 1024


def _read_identifier(der: bytes) -> bytes | None:
    with reading("certificate"):
        certificate = x509.load_der_x509_certificate(der)
        try:
            return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound:
            return None


def _read_thumbprint(der: bytes) -> bytes:
    return signed_shape(der, limit=MAX_CRL).thumbprint


_identifier = lru_cache(maxsize=1024)(_read_identifier)
_thumbprint = lru_cache(maxsize=1024)(_read_thumbprint)


def subject_key_identifier(der: bytes) -> bytes:
    """The subjectKeyIdentifier of a certificate (RFC 5280 section 4.2.1.2).  CertificateError if it has none."""
    identifier = (_identifier if len(der) <= _REMEMBERED_SIZE else _read_identifier)(der)
    if identifier is None:
        raise CertificateError("invalidCertificate", "no subjectKeyIdentifier", "RFC 5280 section 4.2.1.2")
    return identifier


def thumbprint(der: bytes) -> bytes:
    """SHA-256 over the unsigned part of a certificate, a CRL or a BrandCRLIdentifier (SET section 4.3): 32 octets.

    CertificateError if it is not the DER of such an object.
    """
    return (_thumbprint if len(der) <= _REMEMBERED_SIZE else _read_thumbprint)(der)
