"""Proof that somebody has the private key that they want certified (set-protocol.md §1.4, §6.13; PX-13).

SET signs a certificate request with the new key itself, in a SignerInfo that names its signer with a null name, since
there is no certificate yet.  Here that is a detached CMS SignedData (RFC 5652 §5) without certificates, whose signer
is named by the identifier that the key will have in its certificate.  Three signed attributes: contentType,
messageDigest and CMSAlgorithmProtection; which key it is follows from the signed request, which holds it.

A key-exchange key cannot sign.  Whoever has it proves that by opening what was sealed to it (``sealed.BareRecipient``).
"""

from __future__ import annotations

from typing import Annotated, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)

from pki import key_suite
from pki.der import TLV, Explicit, SetOf, Size, as_received, decode, sequence, tlv
from pki.der import DecodingFailure as NotDER
from pki.suites import key_identifier, public_key_der
from setproto.crypto.digests import equal
from setproto.crypto.signed import (
    CONTENT_TYPE,
    ID_SIGNED_DATA,
    MESSAGE_DIGEST,
    PROTECTION,
    EncapsulatedContentInfo,
    SignerInfo,
    algorithm_protection,
    attribute,
    oid_tlv,
)
from setproto.crypto.suites import Suite, suite
from setproto.errors import DecodingFailure, SignatureFailure


@sequence
class BareSignedData:
    """SignedData with one signer and no certificate."""

    version: int
    digest_algorithms: Annotated[SetOf[TLV], Size(min=1, max=1)]
    encap_content_info: EncapsulatedContentInfo
    signer_infos: Annotated[SetOf[SignerInfo], Size(min=1, max=1)]


@sequence
class BareContentInfo:
    """ContentInfo holding it."""

    content_type: x509.ObjectIdentifier
    content: Annotated[BareSignedData, Explicit(0)]


def _attributes(chosen: Suite, content_type: x509.ObjectIdentifier, content: bytes) -> bytes:
    """The SET OF signed attributes: all that is signed."""
    values = (
        attribute(CONTENT_TYPE, oid_tlv(content_type)),
        attribute(MESSAGE_DIGEST, tlv(0x04, chosen.digest(content))),
        attribute(PROTECTION, algorithm_protection(chosen, chosen.signature_algorithms[0])),
    )
    return tlv(0x31, *sorted(values))  # DER of a SET OF (X.690 §11.6)


def prove(private_key: Any, suite_name: str, content: bytes, content_type: x509.ObjectIdentifier) -> bytes:
    """A detached signature over ``content`` by a key that has no certificate; DER of a ContentInfo."""
    chosen = suite(suite_name)
    attributes = _attributes(chosen, content_type, content)
    signer_info = tlv(
        0x30,
        b"\x02\x01\x03",
        tlv(0x80, key_identifier(private_key.public_key())),
        chosen.digest_algorithm,
        b"\xa0" + attributes[1:],
        chosen.signature_algorithms[0],
        tlv(0x04, chosen.sign(private_key, attributes)),
    )
    signed_data = tlv(
        0x30,
        b"\x02\x01\x03",
        tlv(0x31, chosen.digest_algorithm),
        tlv(0x30, oid_tlv(content_type)),
        tlv(0x31, signer_info),
    )
    return tlv(0x30, oid_tlv(ID_SIGNED_DATA), tlv(0xA0, signed_data))


def check_possession(
    proof: bytes, public_key: Any, suite_name: str, content: bytes, content_type: x509.ObjectIdentifier
) -> None:
    """Return if ``proof`` is what :func:`prove` makes of ``content`` with the private key of ``public_key``.

    DecodingFailure if it is no such object; SignatureFailure if it is one, but of another key, content or type.
    """
    chosen = suite(suite_name)
    try:
        info = decode(BareContentInfo, proof)
    except NotDER as failure:
        raise DecodingFailure(str(failure)) from None
    signed_data, signer_info = info.content, info.content.signer_infos.as_list()[0]
    if info.content_type != ID_SIGNED_DATA or (signed_data.version, signer_info.version) != (3, 3):
        raise DecodingFailure("not a SignedData of version 3")
    expected = _attributes(chosen, content_type, content)
    if (
        signed_data.encap_content_info.content_type != content_type
        or signed_data.encap_content_info.content is not None
        or signer_info.sid != key_identifier(public_key)
        or as_received(signed_data.digest_algorithms.as_list()[0]) != chosen.digest_algorithm
        or as_received(signer_info.digest_algorithm) != chosen.digest_algorithm
        or as_received(signer_info.signature_algorithm) != chosen.signature_algorithms[0]
        or not equal(as_received(signer_info.signed_attrs), b"\xa0" + expected[1:])
    ):
        raise SignatureFailure("not a proof of possession of this key for this content")
    chosen.verify(public_key, signer_info.signature, expected)


def load_signature_key(spki: bytes, suite_name: str) -> Any:
    """The public signature key in a SubjectPublicKeyInfo.  DecodingFailure unless it is one of this suite, in DER."""
    return _load(spki, key_suite(suite_name).accepts_signature_key, f"a signature key of suite {suite_name}")


def load_exchange_key(spki: bytes, suite_name: str) -> Any:
    """The public key-exchange key in a SubjectPublicKeyInfo.  DecodingFailure unless it is one of this suite."""
    return _load(spki, key_suite(suite_name).accepts_exchange_key, f"a key-exchange key of suite {suite_name}")


def _load(spki: bytes, accepts: Any, what: str) -> Any:
    try:
        key: Any = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DecodingFailure(f"not {what}") from None
    # One key has one encoding: a second one would look like a second key to whoever keeps a list of them (CR-18).
    if not accepts(key) or public_key_der(key) != spki:
        raise DecodingFailure(f"not {what}")
    return key


def private_key_octets(key: Any) -> bytes:
    """A private key as PKCS#8 in DER: to be sealed at once, never to be stored like this."""
    octets: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return octets


def private_key_from(octets: bytes) -> Any:
    """The key in what :func:`private_key_octets` made; it comes out of a seal of our own."""
    return load_der_private_key(octets, None)
