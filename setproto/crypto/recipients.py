"""How a content key reaches its recipient: one CMS RecipientInfo per suite.

Every RecipientInfo binds the *context* of the object (who sends what to whom, in which transaction) into
the derivation of the key: as user keying material where keys are agreed or encapsulated, as the OAEP label
where they are transported.  Both are standard fields that stock ``openssl cms -decrypt`` reads, which
authenticated attributes are not (docs/adr/0003).  The opener supplies the context that it expects and never
takes it from the object, so an object moved elsewhere yields another key and does not open.

Nothing is parsed here.  For a key and a context everything in a RecipientInfo is known but the octets that carry the
content key, and their sizes are known, too: so what is read is compared with the form that is written, and the gaps
in it are cut out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from pki.der import head, tlv
from setproto.crypto.suites import SHA256

KEY_SIZE: Final = 32
"""Octets of content keys and key-encryption keys: AES-256 everywhere."""
_WRAPPED: Final = KEY_SIZE + 8
"""Octets of a content key under AES key wrap (RFC 3394 §2.2.1)."""

_AES256_WRAP: Final = bytes.fromhex("300b060960864801650304012d")
_HKDF_SHA256: Final = bytes.fromhex("300d060b2a864886f70d010910031c")
_ML_KEM_768: Final = bytes.fromhex("300b0609608648016503040402")
_X25519: Final = bytes.fromhex("300506032b656e")
_EC_PUBLIC_KEY: Final = bytes.fromhex("300906072a8648ce3d0201")
_ECDH_X963_SHA256: Final = tlv(0x30, bytes.fromhex("06062b810401 0b01".replace(" ", "")), _AES256_WRAP)
_ECDH_HKDF_SHA256: Final = tlv(0x30, bytes.fromhex("060b2a864886f70d0109100313"), _AES256_WRAP)
_ORI_KEM: Final = bytes.fromhex("060b2a864886f70d0109100d03")
_SHA256_IDENTIFIERS: Final = (bytes.fromhex("300d06096086480165030402010500"), SHA256)
"""SHA-256 with NULL parameters (written) and without (what openssl writes): RFC 4055 §2.1 accepts both."""
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_FIELD_25519: Final = 2**255 - 19
_POINT = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


class NotForThisKey(Exception):
    """Internal: the object does not open with this key and context.  Never leaves ``sealed.py``."""


def _gaps(data: bytes, *form: bytes | int) -> list[bytes]:
    """The octets in the gaps of a form: constant octets, and for each gap its size.

    NotForThisKey if anything else is there: algorithms are compared, never looked up.
    """
    place, found = 0, []
    for part in form:
        size = part if isinstance(part, int) else len(part)
        octets = data[place : place + size]
        if isinstance(part, int):
            found.append(octets)
        elif octets != part:
            raise NotForThisKey
        place += size
    if place != len(data):
        raise NotForThisKey
    return found


class KeyManagement(ABC):
    """Delivers a content key to the holder of a private key, bound to a context."""

    @abstractmethod
    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The DER of a RecipientInfo for the key named by ``identifier`` (its subjectKeyIdentifier)."""

    @abstractmethod
    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The content key.  NotForThisKey, or whatever ``cryptography`` raises, if there is none."""


# --- key agreement: RFC 5753 (P-256), RFC 8418 (X25519) -------------------------------------------


@lru_cache(maxsize=256)
def _recipient_begins(identifier: bytes) -> bytes:
    """RecipientEncryptedKeys for this key, up to the wrapped key at its end."""
    key = tlv(0x30, tlv(0xA0, tlv(0x04, identifier)), tlv(0x04, bytes(_WRAPPED)))
    return tlv(0x30, key)[:-_WRAPPED]


class KeyAgreement(KeyManagement):
    """Ephemeral-static Diffie-Hellman, a KDF over ECC-CMS-SharedInfo, AES-256 key wrap."""

    def __init__(self, algorithm: bytes, originator: bytes, size: int) -> None:
        """AlgorithmIdentifiers of the key agreement and of the ephemeral key, and the latter's size in octets."""
        self._algorithm = algorithm
        self._size = size
        # The version, and OriginatorPublicKey up to the ephemeral key at its end.
        ephemeral = tlv(0xA0, tlv(0xA1, originator, tlv(0x03, b"\0", bytes(size))))
        self._begins = b"\x02\x01\x03" + ephemeral[:-size]

    @abstractmethod
    def _ephemeral(self, public_key: Any) -> tuple[bytes, bytes]:
        """(ephemeral public key octets, shared secret)."""

    @abstractmethod
    def _agree(self, private_key: Any, ephemeral: bytes) -> bytes:
        """The shared secret."""

    @abstractmethod
    def _derive(self, secret: bytes, shared_info: bytes) -> bytes:
        """The key-encryption key."""

    def _kek(self, secret: bytes, context: bytes) -> bytes:
        # ECC-CMS-SharedInfo { keyInfo, entityUInfo [0] = ukm, suppPubInfo [2] = KEK bits } (RFC 5753 §7.2)
        user = tlv(0xA0, tlv(0x04, context)) if context else b""
        bits = tlv(0xA2, tlv(0x04, (KEY_SIZE * 8).to_bytes(4, "big")))
        return self._derive(secret, tlv(0x30, _AES256_WRAP, user, bits))

    def _form(self, identifier: bytes, context: bytes) -> tuple[bytes, bytes]:
        """KeyAgreeRecipientInfo (RFC 5652 §6.2.2): what is before the ephemeral key, and from there to the wrapped
        key at the end."""
        user = tlv(0xA1, tlv(0x04, context)) if context else b""
        between = b"".join((user, self._algorithm, _recipient_begins(identifier)))
        return head(0xA1, len(self._begins) + self._size + len(between) + _WRAPPED) + self._begins, between

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        ephemeral, secret = self._ephemeral(public_key)
        before, between = self._form(identifier, context)
        return b"".join((before, ephemeral, between, aes_key_wrap(self._kek(secret, context), content_key)))

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        before, between = self._form(identifier, context)
        ephemeral, wrapped = _gaps(recipient_info, before, self._size, between, _WRAPPED)
        return aes_key_unwrap(self._kek(self._agree(private_key, ephemeral), context), wrapped)


class ECDHP256(KeyAgreement):
    """dhSinglePass-stdDH-sha256kdf (RFC 5753 §7.1.4) on P-256."""

    def __init__(self) -> None:
        super().__init__(_ECDH_X963_SHA256, _EC_PUBLIC_KEY, 65)

    def _ephemeral(self, public_key: Any) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        return key.public_key().public_bytes(*_POINT), key.exchange(ec.ECDH(), public_key)

    def _agree(self, private_key: Any, ephemeral: bytes) -> bytes:
        if ephemeral[0] != 4:
            raise NotForThisKey  # uncompressed: one encoding for one point
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ephemeral)
        secret: bytes = private_key.exchange(ec.ECDH(), public)
        return secret

    def _derive(self, secret: bytes, shared_info: bytes) -> bytes:
        return X963KDF(algorithm=hashes.SHA256(), length=KEY_SIZE, sharedinfo=shared_info).derive(secret)


class ECDHX25519(KeyAgreement):
    """dhSinglePass-stdDH-hkdf-sha256 (RFC 8418 §2.2) on X25519."""

    def __init__(self) -> None:
        super().__init__(_ECDH_HKDF_SHA256, _X25519, 32)

    def _ephemeral(self, public_key: Any) -> tuple[bytes, bytes]:
        key = x25519.X25519PrivateKey.generate()
        return key.public_key().public_bytes(*_RAW), key.exchange(public_key)

    def _agree(self, private_key: Any, ephemeral: bytes) -> bytes:
        if int.from_bytes(ephemeral, "little") >= _FIELD_25519:
            raise NotForThisKey  # X25519 would ignore the top bit (RFC 7748 §5); here every bit counts
        # cryptography refuses an all-zero shared secret (RFC 7748 §6.1) with ValueError.
        secret: bytes = private_key.exchange(x25519.X25519PublicKey.from_public_bytes(ephemeral))
        return secret

    def _derive(self, secret: bytes, shared_info: bytes) -> bytes:
        return HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=shared_info).derive(secret)


# --- key transport: RFC 4055, RFC 3560 -----------------------------------------------------------


class RSAOAEP(KeyManagement):
    """RSAES-OAEP with SHA-256 and MGF1-SHA-256; the context is the label (pSourceAlgorithm)."""

    @staticmethod
    def _algorithms(context: bytes) -> tuple[bytes, ...]:
        """RSAES-OAEP-params with the label, in each accepted spelling of the hash; the first is written."""
        label = tlv(0xA2, tlv(0x30, bytes.fromhex("06092a864886f70d010109"), tlv(0x04, context))) if context else b""
        mgf1 = bytes.fromhex("06092a864886f70d010108")
        return tuple(
            tlv(
                0x30,
                bytes.fromhex("06092a864886f70d010107"),
                tlv(0x30, tlv(0xA0, sha256), tlv(0xA1, tlv(0x30, mgf1, sha256)), label),
            )
            for sha256 in _SHA256_IDENTIFIERS
        )

    @staticmethod
    def _oaep(context: bytes) -> padding.OAEP:
        return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), context or None)

    @staticmethod
    def _form(identifier: bytes, algorithm: bytes, size: int) -> bytes:
        """KeyTransRecipientInfo (RFC 5652 §6.2.1), up to the encrypted key at its end."""
        return tlv(0x30, b"\x02\x01\x02", tlv(0x80, identifier), algorithm, tlv(0x04, bytes(size)))[:-size]

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        encrypted = public_key.encrypt(content_key, self._oaep(context))
        form = self._form(identifier, self._algorithms(context)[0], len(encrypted))
        return form + bytes(encrypted)

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        size = private_key.key_size // 8
        forms = [self._form(identifier, algorithm, size) for algorithm in self._algorithms(context)]
        form = next((form for form in forms if recipient_info.startswith(form)), forms[0])
        (encrypted,) = _gaps(recipient_info, form, size)
        key: bytes = private_key.decrypt(encrypted, self._oaep(context))
        return key


# --- key encapsulation: RFC 9629, RFC 9936 -------------------------------------------------------


_CIPHERTEXT: Final = 1088
"""Octets of an ML-KEM-768 ciphertext (FIPS 203 §8, table 3)."""


class MLKEM768(KeyManagement):
    """ML-KEM-768, HKDF-SHA-256 over CMSORIforKEMOtherInfo, AES-256 key wrap."""

    @staticmethod
    def _kek(secret: bytes, context: bytes) -> bytes:
        user = tlv(0xA0, tlv(0x04, context)) if context else b""
        other_info = tlv(0x30, _AES256_WRAP, b"\x02\x01\x20", user)
        return HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=other_info).derive(secret)

    @staticmethod
    def _form(identifier: bytes, context: bytes) -> tuple[bytes, bytes]:
        """OtherRecipientInfo with KEMRecipientInfo (RFC 9629 §3): what is before the ciphertext, and from there to the
        wrapped key at the end."""
        user = tlv(0xA0, tlv(0x04, context)) if context else b""
        between = b"".join((_HKDF_SHA256, b"\x02\x01\x20", user, _AES256_WRAP, head(0x04, _WRAPPED)))
        gaps = tlv(0x04, bytes(_CIPHERTEXT)), between, bytes(_WRAPPED)
        value = tlv(0x30, b"\x02\x01\x00", tlv(0x80, identifier), _ML_KEM_768, *gaps)
        return tlv(0xA4, _ORI_KEM, value)[: -_CIPHERTEXT - len(between) - _WRAPPED], between

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        secret, ciphertext = public_key.encapsulate()
        before, between = self._form(identifier, context)
        return b"".join((before, ciphertext, between, aes_key_wrap(self._kek(secret, context), content_key)))

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        before, between = self._form(identifier, context)
        ciphertext, wrapped = _gaps(recipient_info, before, _CIPHERTEXT, between, _WRAPPED)
        return aes_key_unwrap(self._kek(private_key.decapsulate(ciphertext), context), wrapped)


# --- a symmetric key that both sides already know: SET's operator EK -----------------------------


class SharedKey(KeyManagement):
    """AES-256 key wrap under a key derived from a shared key and the context (RFC 5652 §6.2.3).

    For what a party seals to itself (CapToken, AuthToken) and for answers under a key that the peer supplied
    (AcqBackKey): ``public_key`` and ``private_key`` are the same 32 octets.
    """

    @staticmethod
    def derive(shared_key: bytes, context: bytes) -> bytes:
        """The key-encryption key for this context: what ``openssl cms -decrypt -secretkey`` takes."""
        return HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=b"setproto/2 KEK" + context).derive(
            shared_key
        )

    @staticmethod
    def _form(identifier: bytes) -> bytes:
        """KEKRecipientInfo (RFC 5652 §6.2.3), up to the wrapped key at its end."""
        named = tlv(0x30, tlv(0x04, identifier))
        return tlv(0xA2, b"\x02\x01\x04", named, _AES256_WRAP, tlv(0x04, bytes(_WRAPPED)))[:-_WRAPPED]

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        return self._form(identifier) + aes_key_wrap(self.derive(public_key, context), content_key)

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """As for ``KeyManagement``."""
        (wrapped,) = _gaps(recipient_info, self._form(identifier), _WRAPPED)
        return aes_key_unwrap(self.derive(private_key, context), wrapped)


KEY_MANAGEMENT: Final[dict[str, KeyManagement]] = {
    "p256": ECDHP256(),
    "rsa3072": RSAOAEP(),
    "ed25519": ECDHX25519(),
    "mldsa65": MLKEM768(),
}
"""The key management of each suite, by name."""
