"""CMS AuthEnvelopedData with AES-256-GCM (RFC 5083, RFC 5084): SET's operators E and EK.

A sealed object opens only for the holder of the recipient's key *and* only in the context for which it was
made: any octets, which should say what the object is, from whom and for whom (the protocol's SealContext does).
The content type in the object is always id-data: AES-GCM here has no associated data, so a type written there
would be a claim that anybody can change.  Tampering is always noticed, and
every failure to open is the same error with the same text.  Stock ``openssl cms -decrypt`` opens these
objects for the suites that it knows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from pki import key_suite, subject_key_identifier
from pki.der import DecodingFailure as NotDER
from pki.der import head, tlv
from pki.suites import key_identifier
from setproto.crypto.parts import AUTH_ENVELOPED_DATA, DATA, auth_enveloped_data, content_info
from setproto.crypto.recipients import KEY_MANAGEMENT, KEY_SIZE, KeyManagement, NotForThisKey, SharedKey
from setproto.crypto.signed import TrustedCertificate, readable
from setproto.errors import DecryptionFailure

_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_GCM_BEGINS: Final = bytes.fromhex("301e 060960864801650304012e 3011 040c")
_GCM_ENDS: Final = b"\x02\x01\x10"
"""AlgorithmIdentifier of AES-256-GCM, before the nonce and after it: a tag of 16 octets, never the default of 12, so
it is written (RFC 5084 §3.2)."""


@dataclass(frozen=True)
class Opened:
    """Content that came out of a sealed object intact and in its context.  Only :func:`unseal` makes one.

    It says nothing about who sealed it: that is what a signature inside is for.
    """

    content: bytes = field(repr=False)


class Recipient:
    """Whose key an object is sealed to: a key-exchange certificate that the caller has validated."""

    def __init__(self, certificate: TrustedCertificate) -> None:
        """ValueError if the key is not one of the certificate's suite."""
        if not key_suite(certificate.suite).accepts_exchange_key(certificate.public_key):
            raise ValueError(f"not a key-exchange key of suite {certificate.suite}")
        self.public_key = certificate.public_key
        self.identifier = subject_key_identifier(certificate.der)
        self.key_management: KeyManagement = KEY_MANAGEMENT[certificate.suite]


class RecipientKey:
    """A key-exchange private key with its certificate: opens what was sealed to it.  Redacted in ``repr``."""

    def __init__(self, private_key: Any, certificate_der: bytes, suite_name: str) -> None:
        """ValueError if the key is not the certificate's, or not one of the suite."""
        public_key = x509.load_der_x509_certificate(certificate_der).public_key()
        if private_key.public_key() != public_key:
            raise ValueError("the private key does not belong to the certificate")
        if not key_suite(suite_name).accepts_exchange_key(public_key):
            raise ValueError(f"not a key-exchange key of suite {suite_name}")
        self.suite = suite_name
        self.certificate = certificate_der
        self.identifier = subject_key_identifier(certificate_der)
        self.key_management: KeyManagement = KEY_MANAGEMENT[suite_name]
        self.private_key = private_key

    def __repr__(self) -> str:
        return f"<RecipientKey {self.suite} {self.identifier.hex()[:16]}>"


class BareRecipient:
    """A key-exchange key that has no certificate yet: only to prove that somebody has it, never for secrets of ours."""

    def __init__(self, public_key: Any, suite_name: str) -> None:
        """ValueError if the key is not one of the suite."""
        if not key_suite(suite_name).accepts_exchange_key(public_key):
            raise ValueError(f"not a key-exchange key of suite {suite_name}")
        self.public_key = public_key
        self.identifier = key_identifier(public_key)
        self.key_management: KeyManagement = KEY_MANAGEMENT[suite_name]


class BareRecipientKey:
    """The private side of a :class:`BareRecipient`.  Redacted in ``repr``."""

    def __init__(self, private_key: Any, suite_name: str) -> None:
        """ValueError if the key is not one of the suite."""
        if not key_suite(suite_name).accepts_exchange_key(private_key.public_key()):
            raise ValueError(f"not a key-exchange key of suite {suite_name}")
        self.suite = suite_name
        self.private_key = private_key
        self.identifier = key_identifier(private_key.public_key())
        self.key_management: KeyManagement = KEY_MANAGEMENT[suite_name]

    def __repr__(self) -> str:
        return f"<BareRecipientKey {self.identifier.hex()[:16]}>"


class SecretKey:
    """32 octets known to both sides, or to one that seals to itself; usable as either end.  Redacted."""

    def __init__(self, key: bytes, identifier: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a shared key has {KEY_SIZE} octets")
        self.public_key = self.private_key = key
        self.identifier = identifier
        self.key_management: KeyManagement = SharedKey()

    def __repr__(self) -> str:
        return f"<SecretKey {self.identifier.hex()[:16]}>"


def seal(content: bytes, recipient: Recipient | BareRecipient | SecretKey, *, context: bytes) -> bytes:
    """The DER of a ContentInfo with AuthEnvelopedData: ``content`` under a fresh key for ``recipient``.

    ``context`` is bound to the object; opening needs the same octets.  UsageError if the object would be too large
    for anybody to read.
    """
    content_key = os.urandom(KEY_SIZE)
    nonce = os.urandom(_NONCE_SIZE)
    encrypted = AESGCM(content_key).encrypt(nonce, content, None)
    info = recipient.key_management.wrap(content_key, recipient.public_key, recipient.identifier, context)
    # The algorithm, and [0] IMPLICIT OCTET STRING.
    cipher = (_GCM_BEGINS, nonce, _GCM_ENDS, head(0x80, len(content)), encrypted[:-_TAG_SIZE])
    return readable(
        content_info(
            AUTH_ENVELOPED_DATA,
            b"\x02\x01\x00",
            tlv(0x31, info),
            tlv(0x30, DATA, *cipher),
            head(0x04, _TAG_SIZE),
            encrypted[-_TAG_SIZE:],
        )
    )


def unseal(data: bytes, key: RecipientKey | BareRecipientKey | SecretKey, *, context: bytes) -> Opened:
    """Open a sealed object that must have been made for this key and this context.

    DecryptionFailure otherwise.  Everything that can go wrong, from bad DER to a bad tag, ends in that one
    error without detail: the opener must not be an oracle (RFC 3218 §2.3; set-protocol.md §7).
    """
    try:
        enveloped = auth_enveloped_data(data)
        nonce = enveloped.algorithm[len(_GCM_BEGINS) :][:_NONCE_SIZE]
        if enveloped.algorithm != b"".join((_GCM_BEGINS, nonce, _GCM_ENDS)) or len(enveloped.mac) != _TAG_SIZE:
            raise NotForThisKey
        content_key = key.key_management.unwrap(enveloped.recipient_info, key.private_key, key.identifier, context)
        if len(content_key) != KEY_SIZE:
            raise NotForThisKey
        content = AESGCM(content_key).decrypt(nonce, enveloped.encrypted_content + enveloped.mac, None)
    except (NotDER, NotForThisKey, InvalidTag, InvalidUnwrap, ValueError, TypeError):
        raise DecryptionFailure from None
    return Opened(content)
