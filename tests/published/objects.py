"""Objects built around the values of published vectors, written out from the RFCs and not with the library's makers.

The key derivations are done here a second time, with ``hashlib`` and ``hmac``: a vector's shared secret then leads to
an object that opens only if the library agrees on the secret and on everything that follows from it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from pki import CertificateError, build_brand_tree
from pki.checking import check_certificate
from pki.der import as_received, tlv
from pki.signed import MAX_CERTIFICATE, signed_shape
from pki.suites import key_suite
from setproto.crypto.cms import SecretKey
from setproto.crypto.recipients import KeyManagement, SharedKey
from tests.crypto.material import oid
from tests.pki.conftest import NOW

CONTEXT = b"published vectors"
CONTENT = b"content of the test"
CONTENT_KEY = bytes(range(0x40, 0x60))
KEY_WRAP = tlv(0x30, oid("2.16.840.1.101.3.4.1.45"))  # id-aes256-wrap, RFC 3565 section 2.3.2
HKDF_SHA256 = tlv(0x30, oid("1.2.840.113549.1.9.16.3.28"))  # RFC 8619 section 2
EC_PUBLIC_KEY = oid("1.2.840.10045.2.1")
X25519 = oid("1.3.101.110")
_P256 = tlv(0x30, EC_PUBLIC_KEY, oid("1.2.840.10045.3.1.7"))


# --- keys, as they come to us: in certificates ----------------------------------------------------


@cache
def _patterns() -> tuple[bytes, bytes]:
    """A gateway's certificates, for signatures and for key exchange."""
    gateway = build_brand_tree("p256", now=NOW).issue_gateway("gateway")
    assert gateway.exchange_certificate is not None
    return gateway.signature_certificate, gateway.exchange_certificate


def certificate(suite: str, spki: bytes, *, exchange: bool = False) -> bytes:
    """A certificate of the suite that is good in everything but its signature, with ``spki`` as its key."""
    shape = signed_shape(_patterns()[exchange], limit=MAX_CERTIFICATE)
    fields = [as_received(element) for element in shape.fields]
    fields[2] = key_suite(suite).x509_algorithm
    fields[6] = spki
    return tlv(0x30, tlv(0x30, *fields), fields[2], tlv(0x03, b"\0", shape.signature))


def certified_key(suite: str, spki: bytes, *, exchange: bool = False) -> Any:
    """The key, if the complete check of a certificate lets it in; else None."""
    try:
        return check_certificate(certificate(suite, spki, exchange=exchange)).public_key
    except CertificateError as refusal:
        if refusal.code != "invalidCertificate":
            raise
        return None


def p256_spki(point: bytes) -> bytes:
    """SubjectPublicKeyInfo with the named curve (RFC 5480 section 2)."""
    return tlv(0x30, _P256, tlv(0x03, b"\0", point))


# --- key derivation -------------------------------------------------------------------------------


def x963_sha256(secret: bytes, shared_info: bytes) -> bytes:
    """The first block of the KDF of ANSI X9.63 (SEC 1 section 3.6.1): all that 32 octets need."""
    return hashlib.sha256(secret + b"\0\0\0\1" + shared_info).digest()


def hkdf_sha256(secret: bytes, info: bytes) -> bytes:
    """HKDF without salt and its first block (RFC 5869 section 2)."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\1", "sha256")


def agreed_info(context: bytes) -> bytes:
    """ECC-CMS-SharedInfo for a key-encryption key of 256 bits (RFC 5753 section 7.2)."""
    return tlv(0x30, KEY_WRAP, tlv(0xA0, tlv(0x04, context)), tlv(0xA2, tlv(0x04, (256).to_bytes(4, "big"))))


# --- recipients -----------------------------------------------------------------------------------


def key_agreement(identifier: bytes, algorithm: str, key_type: bytes, ephemeral: bytes, kek: bytes) -> bytes:
    """KeyAgreeRecipientInfo (RFC 5652 section 6.2.2) with this octet string as the originator's public key."""
    wrapped = aes_key_wrap(kek, CONTENT_KEY)
    return tlv(
        0xA1,
        tlv(0x02, b"\3"),
        tlv(0xA0, tlv(0xA1, tlv(0x30, key_type), tlv(0x03, b"\0", ephemeral))),
        tlv(0xA1, tlv(0x04, CONTEXT)),
        tlv(0x30, oid(algorithm), KEY_WRAP),
        tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0x04, identifier)), tlv(0x04, wrapped))),
    )


def ecdh_p256(identifier: bytes, point: bytes, secret: bytes) -> bytes:
    """dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753 section 7.1.4)."""
    kek = x963_sha256(secret, agreed_info(CONTEXT))
    return key_agreement(identifier, "1.3.132.1.11.1", EC_PUBLIC_KEY, point, kek)


def ecdh_x25519(identifier: bytes, public: bytes, secret: bytes) -> bytes:
    """dhSinglePass-stdDH-hkdf-sha256-scheme (RFC 8418 section 2.2)."""
    kek = hkdf_sha256(secret, agreed_info(CONTEXT))
    return key_agreement(identifier, "1.2.840.113549.1.9.16.3.19", X25519, public, kek)


def ml_kem_768(identifier: bytes, ciphertext: bytes, secret: bytes) -> bytes:
    """OtherRecipientInfo with KEMRecipientInfo (RFC 9629 section 3, RFC 9936)."""
    kek = hkdf_sha256(secret, tlv(0x30, KEY_WRAP, tlv(0x02, b"\x20"), tlv(0xA0, tlv(0x04, CONTEXT))))
    return tlv(
        0xA4,
        oid("1.2.840.113549.1.9.16.13.3"),
        tlv(
            0x30,
            tlv(0x02, b"\0"),
            tlv(0x80, identifier),
            tlv(0x30, oid("2.16.840.1.101.3.4.4.2")),
            tlv(0x04, ciphertext),
            HKDF_SHA256,
            tlv(0x02, b"\x20"),
            tlv(0xA0, tlv(0x04, CONTEXT)),
            KEY_WRAP,
            tlv(0x04, aes_key_wrap(kek, CONTENT_KEY)),
        ),
    )


def rsa_oaep(identifier: bytes, encrypted_key: bytes, label: bytes) -> bytes:
    """KeyTransRecipientInfo with RSAES-OAEP, SHA-256 throughout (RFC 4055 section 4.1)."""
    sha256 = tlv(0x30, oid("2.16.840.1.101.3.4.2.1"), b"\5\0")
    source = tlv(0xA2, tlv(0x30, oid("1.2.840.113549.1.1.9"), tlv(0x04, label))) if label else b""
    mask = tlv(0xA1, tlv(0x30, oid("1.2.840.113549.1.1.8"), sha256))
    algorithm = tlv(0x30, oid("1.2.840.113549.1.1.7"), tlv(0x30, tlv(0xA0, sha256), mask, source))
    return tlv(0x30, tlv(0x02, b"\2"), tlv(0x80, identifier), algorithm, tlv(0x04, encrypted_key))


def wrapped(identifier: bytes, encrypted_key: bytes) -> bytes:
    """KEKRecipientInfo (RFC 5652 section 6.2.3)."""
    return tlv(0xA2, tlv(0x02, b"\4"), tlv(0x30, tlv(0x04, identifier)), KEY_WRAP, tlv(0x04, encrypted_key))


# --- sealed objects -------------------------------------------------------------------------------


def envelope(recipient: bytes, nonce: bytes, encrypted: bytes, tag: bytes) -> bytes:
    """AuthEnvelopedData with AES-256-GCM (RFC 5083 section 2.1, RFC 5084 section 3.2)."""
    parameters = tlv(0x30, tlv(0x04, nonce), tlv(0x02, bytes([len(tag)])))
    cipher = tlv(0x30, oid("2.16.840.1.101.3.4.1.46"), parameters)
    content = tlv(0x30, oid("1.2.840.113549.1.7.1"), cipher, tlv(0x80, encrypted))
    enveloped = tlv(0x30, tlv(0x02, b"\0"), tlv(0x31, recipient), content, tlv(0x04, tag))
    return tlv(0x30, oid("1.2.840.113549.1.9.16.1.23"), tlv(0xA0, enveloped))


def sealed(recipient: bytes, content_key: bytes = CONTENT_KEY) -> bytes:
    """:data:`CONTENT` under this content key, which ``recipient`` delivers."""
    nonce = bytes(range(12))
    encrypted = AESGCM(content_key).encrypt(nonce, CONTENT, None)
    return envelope(recipient, nonce, encrypted[:-16], encrypted[-16:])


class BareKEK(SharedKey):
    """Key wrap under the shared key itself, without the derivation: published vectors know nothing of ours."""

    @staticmethod
    def derive(shared_key: bytes, context: bytes) -> bytes:
        return shared_key


@dataclass(frozen=True)
class GivenKey(KeyManagement):
    """Delivers a content key that the test has chosen, of any size."""

    key: bytes

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        raise NotImplementedError

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        return self.key


def opener(management: KeyManagement, key: bytes = bytes(32), identifier: bytes = b"EK") -> SecretKey:
    """What ``unseal`` takes, with another way to deliver the content key."""
    made = SecretKey(key, identifier)
    made.key_management = management
    return made
