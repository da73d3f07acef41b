"""CMS SignedData (RFC 5652 §5): SET's operators S and SO.

What is made here, always: version 3 (5 where a BrandCRLIdentifier is enclosed: RFC 5652 §5.1), one signer named by
subjectKeyIdentifier, the signer's certificate enclosed, and four signed attributes: contentType and messageDigest
(RFC 5652 §11), the suite as CMSAlgorithmProtection (RFC 6211) and, as signingCertificateV2 (RFC 5035), the exact
certificate and every other one that is enclosed.  Nothing in the object is then left outside the signature (PX-10).
Stock ``openssl cms -verify`` checks these objects.

Beside the certificates an object may carry CRLs and the BrandCRLIdentifier of the brand, the latter as the
OtherRevocationInfoFormat that RFC 5652 §10.2.1 has for such things (docs/adr/0012).  No signer of a message vouches
for them: each is signed by the authority that made it, and is taken for nothing else.

What is accepted: the same, and the two attributes that other software adds (signingTime,
smimeCapabilities).  An attribute that is not known here is refused: a receiver accepts only what it can name.

The signed attributes of a signer and a content type are constant but for the digest, so they are built
once per signer as a template; building them per signature would cost as much as the P-256 operation.  What is received
is taken apart by ``setproto.crypto.parts``, and compared with that template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final, NamedTuple, Protocol

from cryptography import x509

from pki import CertificateError, key_suite, subject_key_identifier
from pki.der import MAX_SIZE, TLV, SetOf, Size, as_received, decode, encode, head, sequence, tlv
from pki.der import DecodingFailure as NotDER
from setproto.crypto.digests import equal
from setproto.crypto.parts import SIGNED_DATA, content_info, signed_data
from setproto.crypto.suites import Suite, suite
from setproto.errors import CertificateRefused, DecodingFailure, ErrorCode, SignatureFailure, UsageError

ID_BRAND_CRL_IDENTIFIER: Final = x509.ObjectIdentifier("2.25.137087056187701533922853352641590903349.0.110")
"""otherRevInfoFormat of a BrandCRLIdentifier, under this project's arc (setproto/messages/oids.py)."""
CONTENT_TYPE: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.4")
_SIGNING_TIME: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.5")
_SMIME_CAPABILITIES: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
_SIGNING_CERTIFICATE_V2: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
PROTECTION: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.52")

_REMEMBERED_SIZE: Final = 16 * 1024
"""Octets of a certificate, and of all in one object, that are remembered at most."""
MAX_CERTIFICATES: Final = 16
"""Certificates accepted in one object: a chain of five and a key-exchange certificate leave room."""
MAX_CRLS: Final = 64
"""CRLs accepted in one object: those of a root, a brand, a region and its three CAs are six; a brand has regions."""


@sequence
class Attribute:
    """Attribute ::= SEQUENCE { attrType, attrValues SET OF } (RFC 5652 §5.3); exactly one value is accepted."""

    type: x509.ObjectIdentifier
    values: Annotated[SetOf[TLV], Size(min=1, max=1)]


@sequence
class _Certificates:
    """The codec decodes sequences only: a SET OF is wrapped in one to be read."""

    items: Annotated[SetOf[TLV], Size(min=1, max=MAX_CERTIFICATES)]


@sequence
class _RevocationInfoChoices:
    items: Annotated[SetOf[TLV], Size(min=1, max=MAX_CRLS + 1)]


@sequence
class _OtherRevocationInfo:
    """OtherRevocationInfoFormat (RFC 5652 §10.2.1)."""

    format: x509.ObjectIdentifier
    info: TLV


@sequence
class _Attributes:
    items: SetOf[Attribute]


@lru_cache(maxsize=16)
def signed_data_begins(version: int, digest_algorithm: bytes) -> bytes:
    """The version and the digestAlgorithms of a SignedData (RFC 5652 §5.1)."""
    return bytes((2, 1, version)) + tlv(0x31, digest_algorithm)


def signer_infos(chosen: Suite, identifier: bytes, attributes: bytes, signature: bytes) -> bytes:
    """The SET OF one SignerInfo of version 3 (RFC 5652 §5.3): the signer by the TLV of its identifier."""
    signer_info = tlv(
        0x30,
        b"\x02\x01\x03",
        identifier,
        chosen.digest_algorithm,
        b"\xa0",  # [0] IMPLICIT in the message, SET OF when signed (RFC 5652 §5.4)
        attributes[1:],
        chosen.signature_algorithms[0],
        head(0x04, len(signature)),
        signature,
    )
    return head(0x31, len(signer_info)) + signer_info


class TrustedCertificate(Protocol):
    """What is needed of a certificate that the caller trusts; ``pki.ValidatedCertificate`` is one."""

    @property
    def der(self) -> bytes:
        """The certificate (DER)."""

    @property
    def suite(self) -> str:
        """The name of the suite that its key belongs to."""

    @property
    def public_key(self) -> Any:
        """The key, parsed."""


@lru_cache(maxsize=256)
def oid_tlv(oid: x509.ObjectIdentifier) -> bytes:
    """The DER encoding of an object identifier."""
    return encode(oid)


def attribute(oid: x509.ObjectIdentifier, value: bytes) -> bytes:
    """The DER of an Attribute with this one value (DER)."""
    return tlv(0x30, oid_tlv(oid), tlv(0x31, value))


@lru_cache(maxsize=1024)
def _remembered_hash(certificate: bytes) -> bytes:
    return hashlib.sha256(certificate).digest()


def _certificate_hash(certificate: bytes) -> bytes:
    """SHA-256 of a certificate.  Remembered only where that cannot fill the memory: peers choose what they send."""
    if len(certificate) > _REMEMBERED_SIZE:
        return hashlib.sha256(certificate).digest()
    return _remembered_hash(certificate)


def _signing_certificate_v2(hashes: Iterable[bytes]) -> bytes:
    """SigningCertificateV2: ESSCertIDv2 { certHash } of the signer's certificate, then of the others in DER order.

    SHA-256 is the default algorithm and therefore not written (RFC 5035 §3, §5.4.1).
    """
    return tlv(0x30, tlv(0x30, *(tlv(0x30, tlv(0x04, value)) for value in hashes)))


def algorithm_protection(chosen: Suite, signature_algorithm: bytes) -> bytes:
    """CMSAlgorithmProtection { digestAlgorithm, signatureAlgorithm [1] } (RFC 6211 §2)."""
    return tlv(0x30, chosen.digest_algorithm, b"\xa1" + signature_algorithm[1:])


@lru_cache(maxsize=1024)
def _template(suite_name: str, hashes: tuple[bytes, ...], content_type: x509.ObjectIdentifier) -> tuple[bytes, bytes]:
    """The SET OF signed attributes of a signer and a content type: the octets before and after the digest."""
    chosen = suite(suite_name)
    mark = chosen.digest(b"")
    attributes = sorted(  # DER of a SET OF: ascending octets (X.690 §11.6)
        (
            attribute(CONTENT_TYPE, oid_tlv(content_type)),
            attribute(MESSAGE_DIGEST, tlv(0x04, mark)),
            attribute(PROTECTION, algorithm_protection(chosen, chosen.signature_algorithms[0])),
            attribute(_SIGNING_CERTIFICATE_V2, _signing_certificate_v2(hashes)),
        )
    )
    before, after = tlv(0x31, *attributes).split(mark)
    return before, after


def _signed_attributes(
    chosen: Suite, hashes: tuple[bytes, ...], content_type: x509.ObjectIdentifier, content: bytes
) -> bytes:
    """The octets that are signed (RFC 5652 §5.4); ``hashes`` of the certificates enclosed, the signer's first."""
    before, after = _template(chosen.name, hashes, content_type)
    return before + chosen.digest(content) + after


def readable(data: bytes) -> bytes:
    """``data``, unless it is too large for anybody to read (UsageError)."""
    if len(data) > MAX_SIZE:
        raise UsageError(f"an object of {len(data)} octets; nobody reads more than {MAX_SIZE}")
    return data


@dataclass(frozen=True)
class Enclosed:
    """Revocation data that travels with a message: CRLs, and a brand's manifest of them, in DER; untrusted."""

    crls: tuple[bytes, ...] = ()
    bci: bytes | None = None
    """BrandCRLIdentifier."""

    def __bool__(self) -> bool:
        return bool(self.crls) or self.bci is not None

    @property
    def version(self) -> int:
        """The version of a SignedData that encloses this (RFC 5652 §5.1)."""
        return 3 if self.bci is None else 5

    def encode(self) -> bytes:
        """The ``crls`` field of a SignedData, or nothing if there is nothing."""
        if not self:
            return b""
        other = () if self.bci is None else (tlv(0xA1, oid_tlv(ID_BRAND_CRL_IDENTIFIER), self.bci),)
        return tlv(0xA1, *sorted((*self.crls, *other)))  # DER of a SET OF (X.690 §11.6)


NOTHING: Final = Enclosed()


class Verified(NamedTuple):
    """Content whose signature was verified under a certificate that the caller's policy accepted.

    Only :func:`verify` makes one, so a function that asks for a ``Verified`` cannot be given unverified data.
    """

    content: bytes
    content_type: x509.ObjectIdentifier
    signer: Any
    """What ``certify`` returned: the signer's certificate as the caller validated it."""
    certificates: tuple[bytes, ...]
    """Every certificate enclosed (DER): untrusted, for building chains."""

    def __repr__(self) -> str:
        return f"<Verified content_type={self.content_type.dotted_string}, {len(self.content)} octets>"


class Signer:
    """A private key with its certificate: signs content of any type.  The key never shows in ``repr``."""

    def __init__(self, private_key: Any, certificate_der: bytes, chosen: Suite) -> None:
        public_key = x509.load_der_x509_certificate(certificate_der).public_key()
        if private_key.public_key() != public_key:
            raise ValueError("the private key does not belong to the certificate")
        if not key_suite(chosen.name).accepts_signature_key(public_key):
            raise ValueError(f"not a signature key of suite {chosen.name}")
        self._key = private_key
        self.suite = chosen
        self.certificate = certificate_der
        self._sid = tlv(0x80, subject_key_identifier(certificate_der))

    @property
    def private_key(self) -> Any:
        """The key itself, for its owner to store."""
        return self._key

    def __repr__(self) -> str:
        return f"<Signer {self.suite.name} {self._sid[2:].hex()[:16]}>"

    def sign(
        self,
        content: bytes,
        content_type: x509.ObjectIdentifier,
        *,
        certificates: Iterable[bytes] = (),
        detached: bool = False,
        revocation: Enclosed = NOTHING,
    ) -> bytes:
        """The DER of a ContentInfo with SignedData over ``content``.

        ``certificates`` (DER) are enclosed beside the signer's own, 16 in all at most, and so is ``revocation``.  With
        ``detached`` the content is left out, and whoever verifies must rebuild it.  UsageError if the object would be
        too large to be read.
        """
        enclosed, hashes = _enclosure(self.certificate, tuple(certificates))
        if len(revocation.crls) > MAX_CRLS:
            raise UsageError(f"at most {MAX_CRLS} CRLs are enclosed")
        attributes = _signed_attributes(self.suite, hashes, content_type, content)
        signature = self.suite.sign(self._key, attributes)
        body = b"" if detached else tlv(0xA0, head(0x04, len(content)), content)
        return readable(
            content_info(
                SIGNED_DATA,
                signed_data_begins(revocation.version, self.suite.digest_algorithm),
                tlv(0x30, oid_tlv(content_type), body),
                enclosed,
                revocation.encode(),
                signer_infos(self.suite, self._sid, attributes, signature),
            )
        )


@dataclass(frozen=True)
class _Named:
    """The certificates in an object (DER), and the one of them that the signer's identifier names."""

    certificate: bytes
    certificates: tuple[bytes, ...]

    @cached_property
    def hashes(self) -> tuple[bytes, ...]:
        """Asked for when ``certify`` has accepted the signer's: before, nothing but identifiers is read of any."""
        return _hashes(self.certificate, self.certificates)


def _find(content: bytes, sid: bytes) -> _Named:
    try:
        items = decode(_Certificates, tlv(0x30, tlv(0x31, content))).items.as_list()
    except NotDER:
        raise DecodingFailure(f"not a set of 1 to {MAX_CERTIFICATES} certificates") from None
    if any(item.tag_bytes != b"\x30" for item in items):
        raise DecodingFailure("something else among the certificates")
    certificates = tuple(tlv(0x30, item.data) for item in items)
    try:
        # The certificate that the signer identifier names, not the first in the bag (CVE in rfc3161-client 1.0.6).
        named = {der for der in certificates if subject_key_identifier(der) == sid}
    except CertificateError as refusal:
        raise CertificateRefused(refusal.rule, code=ErrorCode.invalidCertificate) from None
    if len(named) != 1:
        raise CertificateRefused("no certificate, or several, for the signer", code=ErrorCode.missingCertificate)
    (certificate,) = named
    return _Named(certificate, certificates)


_remembered = lru_cache(maxsize=256)(_find)


def _named(content: bytes, sid: bytes) -> _Named:
    """What is in a CertificateSet, by its content octets; a peer encloses the same certificates every time."""
    return (_remembered if len(content) <= _REMEMBERED_SIZE else _find)(content, sid)


def _hashes(signer: bytes, enclosed: Iterable[bytes]) -> tuple[bytes, ...]:
    """The hash of the signer's certificate, then of the others."""
    return (_certificate_hash(signer), *(_certificate_hash(der) for der in enclosed if der != signer))


@lru_cache(maxsize=256)
def _enclosure(signer: bytes, others: tuple[bytes, ...]) -> tuple[bytes, tuple[bytes, ...]]:
    """The CertificateSet that a signer encloses, in DER, and the hashes of what is in it, its own first."""
    enclosed = sorted({signer, *others})  # DER of a SET OF (X.690 §11.6)
    if len(enclosed) > MAX_CERTIFICATES:
        raise UsageError(f"at most {MAX_CERTIFICATES} certificates are enclosed")
    return tlv(0xA0, *enclosed), _hashes(signer, enclosed)


def _split_revocation(choices: bytes) -> Enclosed:
    """The CRLs and the BrandCRLIdentifier in a ``crls`` field.  DecodingFailure if anything else is there."""
    try:
        items = decode(_RevocationInfoChoices, tlv(0x30, tlv(0x31, choices))).items.as_list()
    except NotDER:
        raise DecodingFailure("malformed revocation data") from None
    crls = tuple(as_received(item) for item in items if item.tag_bytes == b"\x30")
    others = [item for item in items if item.tag_bytes != b"\x30"]
    if len(crls) > MAX_CRLS or len(others) > 1 or any(item.tag_bytes != b"\xa1" for item in others):
        raise DecodingFailure(f"not 1 to {MAX_CRLS} CRLs and at most one BrandCRLIdentifier")
    if not others:
        return Enclosed(crls)
    try:
        other = decode(_OtherRevocationInfo, tlv(0x30, others[0].data))
    except NotDER:
        raise DecodingFailure("malformed revocation data") from None
    if other.format != ID_BRAND_CRL_IDENTIFIER:
        raise DecodingFailure("revocation data of an unknown format")
    return Enclosed(crls, as_received(other.info))


def verify(
    data: bytes,
    *,
    content_type: x509.ObjectIdentifier,
    certify: Callable[[bytes, Sequence[bytes]], TrustedCertificate],
    content: bytes | None = None,
    learn: Callable[[Enclosed, Sequence[bytes]], None] | None = None,
) -> Verified:
    """Verify a SignedData object and return what was signed.

    ``certify(certificate, others)`` gets the DER of the signer's certificate and of the others enclosed, and
    returns the certificate as a trusted value or raises: there is no verification without a decision about
    whose key it is, and it comes before any signature is computed.  ``learn(revocation, certificates)`` gets revocation
    data that is enclosed, before that decision, and raises if it is not genuine; without it none may be enclosed.
    ``content`` is given exactly when the content is detached.

    DecodingFailure if the object is not of this profile, SignatureFailure if anything signed does not hold.
    Source: RFC 5652 §5.4–5.6, RFC 5035 §5.4, RFC 6211 §3.
    """
    try:
        read = signed_data(data)
    except NotDER as failure:
        raise DecodingFailure(str(failure)) from None
    revocation = NOTHING if read.crls is None else _split_revocation(read.crls)
    if read.version != revocation.version:
        raise DecodingFailure(f"not a SignedData of version {revocation.version}")
    if read.content_type != oid_tlv(content_type):
        raise SignatureFailure("signed content of another type")
    if (read.content is None) == (content is None):
        raise SignatureFailure("content is enclosed where it must be detached, or the reverse")
    signed_content: bytes = read.content if content is None else content  # type: ignore[assignment]

    if read.certificates is None:
        raise DecodingFailure("certificates are mandatory")
    named = _named(read.certificates, read.sid)
    certificate, certificates = named.certificate, named.certificates
    if revocation:
        if learn is None:
            raise DecodingFailure("revocation data where none is expected")
        learn(revocation, certificates)
    signer = certify(certificate, certificates)

    chosen = suite(signer.suite)
    if (
        signer.der != certificate
        or read.digest_algorithms != chosen.digest_algorithm
        or read.digest_algorithm != chosen.digest_algorithm
        or read.signature_algorithm not in chosen.signature_algorithms
    ):
        raise SignatureFailure("algorithms are not those of the signer's suite")
    # What this library signs is known to the octet.  Anything else is read attribute by attribute.
    if read.signature_algorithm != chosen.signature_algorithms[0] or read.signed_attributes != _signed_attributes(
        chosen, named.hashes, content_type, signed_content
    ):
        required = {
            CONTENT_TYPE: oid_tlv(content_type),
            MESSAGE_DIGEST: tlv(0x04, chosen.digest(signed_content)),
            PROTECTION: algorithm_protection(chosen, read.signature_algorithm),
            _SIGNING_CERTIFICATE_V2: _signing_certificate_v2(named.hashes),
        }
        _check_attributes(read.signed_attributes, required)
    chosen.verify(signer.public_key, read.signature, read.signed_attributes)
    return Verified(signed_content, content_type, signer, certificates)


def _check_attributes(attributes: bytes, required: Mapping[x509.ObjectIdentifier, bytes]) -> None:
    """Each attribute known, once, with the one value that it must have; the two mandatory ones present."""
    seen = set()
    try:
        decoded = decode(_Attributes, tlv(0x30, attributes)).items.as_list()
    except NotDER:
        raise SignatureFailure("malformed signed attributes") from None
    for attribute in decoded:
        oid, value = attribute.type, attribute.values.as_list()[0]
        if oid in seen:
            raise SignatureFailure("a signed attribute occurs twice")
        seen.add(oid)
        if oid in required:
            if not equal(as_received(value), required[oid]):
                raise SignatureFailure(f"signed attribute {oid.dotted_string} does not match")
        elif oid not in (_SIGNING_TIME, _SMIME_CAPABILITIES):
            raise SignatureFailure(f"unknown signed attribute {oid.dotted_string}")
    if not {CONTENT_TYPE, MESSAGE_DIGEST} <= seen:
        raise SignatureFailure("contentType and messageDigest must be signed")
