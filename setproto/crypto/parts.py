"""The parts of the two CMS objects, taken apart at the places where the profile has them (RFC 5652, RFC 5083).

Both objects are made anew for every message, and nearly everything in them is known to whoever receives them.  So
nothing is decoded here: the outer structure is followed element by element, constants are compared, and the rest is
handed on as it came, to be compared.  What does not have exactly this structure is refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509

from pki.der import MAX_SIZE, DecodingFailure, encode, extent, head

ID_SIGNED_DATA: Final = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
ID_AUTH_ENVELOPED_DATA: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.16.1.23")
ID_DATA: Final = x509.ObjectIdentifier("1.2.840.113549.1.7.1")

SIGNED_DATA: Final = encode(ID_SIGNED_DATA)
AUTH_ENVELOPED_DATA: Final = encode(ID_AUTH_ENVELOPED_DATA)
DATA: Final = encode(ID_DATA)
"""The same three in DER, as they stand in an object."""


class SignedData(NamedTuple):
    """A SignedData with one SignerInfo, of version 3: by subjectKeyIdentifier (RFC 5652 §5.1, §5.3).  Unverified."""

    version: int
    digest_algorithms: bytes
    """The one AlgorithmIdentifier in the SET, DER."""
    content_type: bytes
    """DER of the object identifier."""
    content: bytes | None
    """None if it is detached."""
    certificates: bytes | None
    """What is in the CertificateSet."""
    crls: bytes | None
    """What is in the RevocationInfoChoices."""
    sid: bytes
    """subjectKeyIdentifier."""
    digest_algorithm: bytes
    """AlgorithmIdentifier, DER."""
    signed_attributes: bytes
    """DER of the SET OF Attribute, as it is signed (RFC 5652 §5.4)."""
    signature_algorithm: bytes
    signature: bytes


class AuthEnvelopedData(NamedTuple):
    """An AuthEnvelopedData of version 0 for one recipient, of content of type id-data (RFC 5083 §2.1).  Closed."""

    recipient_info: bytes
    """What is in the RecipientInfos: one, if it is of the profile."""
    algorithm: bytes
    """contentEncryptionAlgorithm: AlgorithmIdentifier, DER."""
    encrypted_content: bytes
    mac: bytes


@lru_cache(maxsize=1024)
def _heads(content_type: bytes, size: int) -> bytes:
    """What a ContentInfo (RFC 5652 §3) begins with whose content is a SEQUENCE of ``size`` octets, up to them."""
    inside = head(0x30, size)
    explicit = head(0xA0, len(inside) + size)
    return b"".join(
        (head(0x30, len(content_type) + len(explicit) + len(inside) + size), content_type, explicit, inside)
    )


def content_info(content_type: bytes, *parts: bytes) -> bytes:
    """The DER of a ContentInfo of this type (DER of the object identifier) with a SEQUENCE of these parts."""
    content = b"".join(parts)
    return _heads(content_type, len(content)) + content


@lru_cache(maxsize=1024)
def _begins(content_type: bytes, whole: int) -> bytes:
    """What a ContentInfo of ``whole`` octets begins with.  DecodingFailure if there is none of this size."""
    for sizes in range(6, 16):  # tag and length thrice: 2 to 5 octets each
        heads = _heads(content_type, max(0, whole - len(content_type) - sizes))
        if len(heads) == len(content_type) + sizes:
            return heads
    raise DecodingFailure("a ContentInfo cannot have this size")


def _content_begins(data: bytes, content_type: bytes) -> int:
    """Where the content of a ContentInfo begins that fills ``data``."""
    if len(data) > MAX_SIZE:
        raise DecodingFailure(f"{len(data)} octets exceed the limit of {MAX_SIZE}")
    begins = _begins(content_type, len(data))
    if not data.startswith(begins):
        raise DecodingFailure("no ContentInfo of this type and size")
    return len(begins)


def signed_data(data: bytes) -> SignedData:
    """Take a ContentInfo with SignedData apart.  ``pki.der.DecodingFailure`` unless it has this structure, in DER."""
    try:
        begin = _content_begins(data, SIGNED_DATA)
        if not data.startswith(b"\x02\x01", begin):
            raise DecodingFailure("no version")
        version = data[begin + 2]
        begin, place = extent(data, begin + 3, 0x31)
        digest_algorithms = data[begin:place]
        if extent(data, begin, 0x30)[1] != place:
            raise DecodingFailure("not one digest algorithm")

        begin, end = extent(data, place, 0x30)  # EncapsulatedContentInfo
        _, place = extent(data, begin, 0x06)
        content_type, content = data[begin:place], None
        if place != end:
            begin, explicit = extent(data, place, 0xA0)
            begin, place = extent(data, begin, 0x04)
            content = data[begin:place]
            if not place == explicit == end:
                raise DecodingFailure("not one content")

        certificates = crls = None
        if data[place] == 0xA0:
            begin, place = extent(data, place, 0xA0)
            certificates = data[begin:place]
        if data[place] == 0xA1:
            begin, place = extent(data, place, 0xA1)
            crls = data[begin:place]

        begin, signers = extent(data, place, 0x31)
        begin, signer = extent(data, begin, 0x30)  # SignerInfo
        if not data.startswith(b"\x02\x01\x03", begin):
            raise DecodingFailure("not a SignerInfo of version 3")
        begin, place = extent(data, begin + 3, 0x80)
        sid = data[begin:place]
        _, attributes = extent(data, place, 0x30)
        digest_algorithm = data[place:attributes]
        _, place = extent(data, attributes, 0xA0)
        signed_attributes = b"\x31" + data[attributes + 1 : place]  # [0] IMPLICIT here, SET OF when signed (§5.4)
        _, end = extent(data, place, 0x30)
        signature_algorithm = data[place:end]
        begin, end = extent(data, end, 0x04)
        if not end == signer == signers == len(data):
            raise DecodingFailure("not one signer, or unsigned attributes")
    except IndexError:
        raise DecodingFailure("an element is missing") from None
    return SignedData(
        version,
        digest_algorithms,
        content_type,
        content,
        certificates,
        crls,
        sid,
        digest_algorithm,
        signed_attributes,
        signature_algorithm,
        data[begin:end],
    )


def auth_enveloped_data(data: bytes) -> AuthEnvelopedData:
    """Take a ContentInfo with AuthEnvelopedData apart.  ``pki.der.DecodingFailure`` as for :func:`signed_data`."""
    try:
        begin = _content_begins(data, AUTH_ENVELOPED_DATA)
        if not data.startswith(b"\x02\x01\x00", begin):
            raise DecodingFailure("not version 0")
        begin, place = extent(data, begin + 3, 0x31)
        recipient_info = data[begin:place]
        begin, mac = extent(data, place, 0x30)  # EncryptedContentInfo
        if not data.startswith(DATA, begin):
            raise DecodingFailure("content of another type than id-data")
        begin += len(DATA)
        _, place = extent(data, begin, 0x30)
        algorithm = data[begin:place]
        begin, place = extent(data, place, 0x80)
        encrypted_content = data[begin:place]
        if place != mac:
            raise DecodingFailure("more than an encrypted content")
        begin, end = extent(data, mac, 0x04)
        if end != len(data):
            raise DecodingFailure("more after the tag")
    except IndexError:
        raise DecodingFailure("an element is missing") from None
    return AuthEnvelopedData(recipient_info, algorithm, encrypted_content, data[begin:end])
