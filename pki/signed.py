"""The outer shape that certificates and CRLs share: {to be signed, algorithm, signature}.

``cryptography`` shows neither the exact bytes of the algorithm identifiers nor the
unique identifiers that X.509 version 2 brought and SET forbids.  Both are decided
here, on the DER itself.

Source: RFC 5280 sections 4.1.1 and 5.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from pki import der
from pki.errors import CertificateError

__all__ = ["MAX_CERTIFICATE", "MAX_CRL", "SignedShape", "elements", "signed_shape", "subject_public_key"]

MAX_CERTIFICATE = 64 * 1024
"""Octets.  An ML-DSA-65 certificate is about 6 KiB."""
MAX_CRL = der.MAX_SIZE
"""Octets.  About 25,000 revoked certificates."""


@der.sequence
class _Signed:
    tbs: der.TLV
    algorithm: der.TLV
    signature: der.BitString


@der.sequence
class _SubjectPublicKeyInfo:
    algorithm: der.TLV
    subject_public_key: der.BitString


@der.sequence
class _Elements:
    # One field holding the list: the codec reads lists only inside a declared type.
    items: list[der.TLV]


@dataclass(frozen=True, slots=True)
class SignedShape:
    """``fields``: those of the signed part, ``tags``: their tags; the algorithm identifiers are complete DER."""

    fields: tuple[der.TLV, ...]
    tags: bytes
    outer_algorithm: bytes
    inner_algorithm: bytes


def elements(sequence_der: bytes, *, limit: int = MAX_CERTIFICATE) -> list[der.TLV]:
    """The elements of a SEQUENCE, each as tag and contents.  ``der.DecodingFailure`` if it is not DER."""
    return der.decode(_Elements, der.tlv(0x30, sequence_der), limit=limit + 8).items


def signed_shape(data: bytes, *, limit: int) -> SignedShape:
    """Take a certificate, or a version 2 CRL, apart.

    The inner algorithm is the SEQUENCE that directly follows an INTEGER (serial number or CRL version).
    CertificateError("invalidCertificate") if the bytes are no such structure or exceed ``limit`` octets.
    """
    try:
        signed = der.decode(_Signed, data, limit=limit)
        fields = elements(der.encode(signed.tbs), limit=limit)
        inner = next(
            (field for before, field in pairwise(fields) if before.tag_bytes == b"\x02" and field.tag_bytes == b"\x30"),
            None,
        )
        if inner is None:
            raise der.DecodingFailure("no algorithm identifier")
        return SignedShape(
            fields=tuple(fields),
            tags=b"".join(field.tag_bytes for field in fields),
            outer_algorithm=der.encode(signed.algorithm),
            inner_algorithm=der.encode(inner),
        )
    except der.DecodingFailure:
        raise CertificateError(
            "invalidCertificate", "not the DER encoding of a signed X.509 object", "RFC 5280 section 4.1"
        ) from None


def subject_public_key(spki_der: bytes) -> bytes:
    """The octets of the subjectPublicKey BIT STRING: what key identifiers are computed over (RFC 7093)."""
    return der.decode(_SubjectPublicKeyInfo, spki_der).subject_public_key.as_bytes()
