"""How a certificate is pointed at: by its subjectKeyIdentifier and by its thumbprint.

Both say nothing about whether the certificate is genuine.  They are remembered, since the same certificates come
again and again; what does not parse is not.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography import x509

from pki.checking import reading
from pki.errors import CertificateError

__all__ = ["subject_key_identifier", "thumbprint"]


@lru_cache(maxsize=4096)
def subject_key_identifier(der: bytes) -> bytes:
    """The subjectKeyIdentifier of a certificate (RFC 5280 section 4.2.1.2).  CertificateError if it has none."""
    with reading("certificate"):
        try:
            extensions = x509.load_der_x509_certificate(der).extensions
            return extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound:
            raise CertificateError(
                "invalidCertificate", "no subjectKeyIdentifier", "RFC 5280 section 4.2.1.2"
            ) from None


@lru_cache(maxsize=4096)
def thumbprint(der: bytes) -> bytes:
    """SHA-256 over the unsigned certificate (SET section 4.3): 32 octets.  CertificateError if it does not parse."""
    with reading("certificate"):
        return hashlib.sha256(x509.load_der_x509_certificate(der).tbs_certificate_bytes).digest()
