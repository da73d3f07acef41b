"""Proof that somebody has the private key that they want certified (set-protocol.md §1.4, §6.13; PX-13).

SET signs a certificate request with the new key itself, in a SignerInfo that names its signer with a null name, since
there is no certificate yet.  Here that is a detached CMS SignedData (RFC 5652 §5) without certificates, whose signer
is named by the identifier that the key will have in its certificate.  Three signed attributes: contentType,
messageDigest and CMSAlgorithmProtection; which key it is follows from the signed request, which holds it.

A key-exchange key cannot sign.  Whoever has it proves that by opening what was sealed to it (``sealed.BareRecipient``).
"""

from __future__ import annotations

from typing import Any

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
from pki.der import DecodingFailure as NotDER
from pki.der import tlv
from pki.suites import key_identifier, public_key_der
from setproto.crypto.parts import SIGNED_DATA, content_info, signed_data
from setproto.crypto.signed import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    PROTECTION,
    algorithm_protection,
    attribute,
    oid_tlv,
    signed_data_begins,
    signer_infos,
)
from setproto.crypto.suites import Suite, suite
from setproto.errors import DecodingFailure, SignatureFailure


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
    return content_info(
        SIGNED_DATA,
        signed_data_begins(3, chosen.digest_algorithm),
        tlv(0x30, oid_tlv(content_type)),
        signer_infos(
            chosen,
            tlv(0x80, key_identifier(private_key.public_key())),
            attributes,
            chosen.sign(private_key, attributes),
        ),
    )


def check_possession(
    proof: bytes, public_key: Any, suite_name: str, content: bytes, content_type: x509.ObjectIdentifier
) -> None:
    """Return if ``proof`` is what :func:`prove` makes of ``content`` with the private key of ``public_key``.

    DecodingFailure if it is no such object; SignatureFailure if it is one, but of another key, content or type.
    """
    chosen = suite(suite_name)
    try:
        read = signed_data(proof)
    except NotDER as failure:
        raise DecodingFailure(str(failure)) from None
    if read.version != 3 or (read.certificates, read.crls) != (None, None):
        raise DecodingFailure("not a SignedData of version 3 without certificates")
    expected = _attributes(chosen, content_type, content)
    if (
        read.content_type != oid_tlv(content_type)
        or read.content is not None
        or read.sid != key_identifier(public_key)
        or read.digest_algorithms != chosen.digest_algorithm
        or read.digest_algorithm != chosen.digest_algorithm
        or read.signature_algorithm != chosen.signature_algorithms[0]
        or read.signed_attributes != expected
    ):
        raise SignatureFailure("not a proof of possession of this key for this content")
    chosen.verify(public_key, read.signature, expected)


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
