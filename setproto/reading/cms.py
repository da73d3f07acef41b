"""The outside of signed and sealed objects: who signed, to whom it is sealed, in which context."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.x509 import ObjectIdentifier

from pki import CertificateError, subject_key_identifier
from pki.der import TLV, DecodingFailure, as_received, decode, tlv
from pki.signed import elements
from setproto.crypto.parts import auth_enveloped_data, signed_data
from setproto.messages.common import SealContext
from setproto.messages.wrapper import MAX_MESSAGE

_RECIPIENTS = {
    b"\x30": "KeyTransRecipientInfo",
    b"\xa1": "KeyAgreeRecipientInfo",
    b"\xa2": "KEKRecipientInfo",
    b"\xa4": "KEMRecipientInfo",
}


@dataclass(frozen=True)
class SignedObject:
    """A SignedData, read and not verified."""

    content_type: ObjectIdentifier
    content: bytes | None
    signer: bytes
    """subjectKeyIdentifier."""
    digest_algorithm: ObjectIdentifier
    signature_algorithm: ObjectIdentifier
    signature: bytes
    attributes: bytes
    """The signed attributes as they are signed: DER of a SET OF."""
    certificates: tuple[bytes, ...]
    """None for a proof of possession: its signer has no certificate yet."""
    revocation: tuple[bytes, ...] = ()
    """RevocationInfoChoices: CRLs, and a BrandCRLIdentifier in its envelope."""

    @property
    def certificate(self) -> bytes | None:
        """The enclosed certificate that the signer identifier names."""
        return next((der for der in self.certificates if _identifier(der) == self.signer), None)


@dataclass(frozen=True)
class SealedObject:
    """An AuthEnvelopedData, closed.  What is inside is said by its context, not by its content type (id-data)."""

    recipient_info: bytes
    recipient_kind: str
    recipient: bytes
    """subjectKeyIdentifier, or the identifier of a shared key."""
    context: SealContext | None
    """The context as the object claims it; None if it holds none, as under a shared key."""
    size: int
    """Octets of the content."""


def _identifier(der: bytes) -> bytes:
    try:
        return subject_key_identifier(der)
    except CertificateError:
        return b""


def _algorithm(identifier: bytes) -> ObjectIdentifier:
    return decode(ObjectIdentifier, as_received(elements(identifier)[0]))


def read_signed(data: bytes) -> SignedObject | None:
    """The object, if it is a SignedData of the profile here."""
    try:
        read = signed_data(data)
        return SignedObject(
            decode(ObjectIdentifier, read.content_type),
            read.content,
            read.sid,
            _algorithm(read.digest_algorithm),
            _algorithm(read.signature_algorithm),
            read.signature,
            read.signed_attributes,
            _all(read.certificates),
            _all(read.crls),
        )
    except (DecodingFailure, IndexError):
        return None


def _all(content: bytes | None) -> tuple[bytes, ...]:
    """The elements of a SET OF, by what is in it."""
    return (
        () if content is None else tuple(as_received(item) for item in elements(tlv(0x30, content), limit=MAX_MESSAGE))
    )


def read_sealed(data: bytes) -> SealedObject | None:
    """The object, if it is an AuthEnvelopedData of the profile here."""
    try:
        enveloped = auth_enveloped_data(data)
        (recipient,) = elements(tlv(0x30, enveloped.recipient_info))
        strings = _octet_strings(recipient)
    except ValueError:  # DecodingFailure is one, and so is another number of recipients
        return None
    return SealedObject(
        as_received(recipient),
        _RECIPIENTS.get(recipient.tag_bytes, "RecipientInfo"),
        _recipient(recipient.tag_bytes, strings),
        next((context for string in strings if (context := _context(string)) is not None), None),
        len(enveloped.encrypted_content),
    )


def _inside(element: TLV) -> list[TLV]:
    """The elements of a constructed one, whatever its tag."""
    return elements(tlv(0x30, element.data), limit=MAX_MESSAGE)


def _octet_strings(outer: TLV, depth: int = 0) -> list[bytes]:
    """Every primitive string in an element, in order: identifiers, key material, context."""
    found: list[bytes] = []
    if depth > 12:
        return found
    for element in _inside(outer):
        if element.tag_bytes[0] & 0x20:
            found.extend(_octet_strings(element, depth + 1))
        elif element.tag_bytes in (b"\x04", b"\x80"):
            found.append(bytes(element.data))
    return found


def _recipient(tag: bytes, strings: list[bytes]) -> bytes:
    """The identifier is the first string, except where keys are agreed: there it is the last but one."""
    if not strings:
        return b""
    return strings[-2] if tag == b"\xa1" and len(strings) > 1 else strings[0]


def _context(string: bytes) -> SealContext | None:
    try:
        return decode(SealContext, string)
    except DecodingFailure:
        return None
