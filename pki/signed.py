"""The outer shape that certificates, CRLs and BrandCRLIdentifiers share: {to be signed, algorithm, signature}.

``cryptography`` shows neither the exact bytes of the algorithm identifiers nor the
unique identifiers that X.509 version 2 brought and SET forbids.  Both are decided
here, on the DER itself.

Source: RFC 5280 sections 4.1.1 and 5.1.1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

from pki import der
from pki.errors import CertificateError

__all__ = ["MAX_CERTIFICATE", "MAX_CRL", "SignedShape", "elements", "signed_shape", "subject_public_key"]

MAX_CERTIFICATE = 64 * 1024
"""Octets.  An ML-DSA-65 certificate is about 6 KiB."""
MAX_CRL = 8 << 20
"""Octets.  About 150,000 revoked certificates with reasons.  More than ``der.MAX_SIZE``, and for CRLs only: a CRL
of that size comes from configuration or a directory, and messages have a much lower limit of their own."""


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
    """``fields``: those of the signed part, ``tags``: their tags; the algorithm identifiers are complete DER.

    ``tbs``: the signed part to the octet; ``signature``: what signs it.
    """

    fields: tuple[der.TLV, ...]
    tags: bytes
    outer_algorithm: bytes
    inner_algorithm: bytes
    tbs: bytes
    signature: bytes

    @property
    def thumbprint(self) -> bytes:
        """SHA-256 over ``tbs`` (SET section 4.3): 32 octets."""
        return hashlib.sha256(self.tbs).digest()


def elements(sequence_der: bytes, *, limit: int = MAX_CERTIFICATE) -> list[der.TLV]:
    """The elements of a SEQUENCE, each as tag and contents.  ``der.DecodingFailure`` if it is not DER."""
    return der.decode(_Elements, der.tlv(0x30, sequence_der), limit=limit + 8).items


def signed_shape(data: bytes, *, limit: int) -> SignedShape:
    """Take a certificate, a version 2 CRL or a BrandCRLIdentifier apart.

    The inner algorithm is the SEQUENCE that directly follows an INTEGER (serial number or version).
    CertificateError("invalidCertificate") if the bytes are no such structure or exceed ``limit`` octets.
    """
    try:
        signed = der.decode(_Signed, data, limit=limit)
        tbs = der.as_received(signed.tbs)
        fields = elements(tbs, limit=limit)
        inner = next(
            (field for before, field in pairwise(fields) if before.tag_bytes == b"\x02" and field.tag_bytes == b"\x30"),
            None,
        )
        if inner is None:
            raise der.DecodingFailure("no algorithm identifier")
        if signed.signature.padding_bits():
            # Else a signature that ends in zero bits could be written in several ways.
            raise der.DecodingFailure("a signature of whole octets")
        return SignedShape(
            fields=tuple(fields),
            tags=b"".join(field.tag_bytes for field in fields),
            outer_algorithm=der.encode(signed.algorithm),
            inner_algorithm=der.encode(inner),
            tbs=tbs,
            signature=signed.signature.as_bytes(),
        )
    except der.DecodingFailure:
        raise CertificateError(
            "invalidCertificate", "not the DER encoding of a signed X.509 object", "RFC 5280 section 4.1"
        ) from None


def subject_public_key(spki_der: bytes) -> bytes:
    """The octets of the subjectPublicKey BIT STRING: what key identifiers are computed over (RFC 7093)."""
    return der.decode(_SubjectPublicKeyInfo, spki_der).subject_public_key.as_bytes()
