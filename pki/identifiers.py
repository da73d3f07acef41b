"""How a certificate is pointed at: by its subjectKeyIdentifier and by its thumbprint.

Both say nothing about whether the certificate is genuine.  They are remembered, since the same certificates come
again and again; but not those of absurd size, with which a stranger could fill the memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509

from pki.checking import reading
from pki.errors import CertificateError

__all__ = ["subject_key_identifier", "thumbprint"]


@dataclass(frozen=True, slots=True)
class _Identifiers:
    subject_key_identifier: bytes | None
    thumbprint: bytes


def _read(der: bytes) -> _Identifiers:
    with reading("certificate"):
        certificate = x509.load_der_x509_certificate(der)
        try:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            identifier = extension.value.digest
        except x509.ExtensionNotFound:
            identifier = None
        return _Identifiers(identifier, hashlib.sha256(certificate.tbs_certificate_bytes).digest())


_remembered = lru_cache(maxsize=1024)(_read)
_REMEMBERED_SIZE = 16 * 1024


def _identifiers(der: bytes) -> _Identifiers:
    return _remembered(der) if len(der) <= _REMEMBERED_SIZE else _read(der)


def subject_key_identifier(der: bytes) -> bytes:
    """The subjectKeyIdentifier of a certificate (RFC 5280 section 4.2.1.2).  CertificateError if it has none."""
    identifier = _identifiers(der).subject_key_identifier
    if identifier is None:
        raise CertificateError("invalidCertificate", "no subjectKeyIdentifier", "RFC 5280 section 4.2.1.2")
    return identifier


def thumbprint(der: bytes) -> bytes:
    """SHA-256 over the unsigned certificate (SET section 4.3): 32 octets.  CertificateError if it does not parse."""
    return _identifiers(der).thumbprint
