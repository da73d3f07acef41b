"""How a content key reaches its recipient: one CMS RecipientInfo per suite.

Every RecipientInfo binds the *context* of the object (who sends what to whom, in which transaction) into
the derivation of the key: as user keying material where keys are agreed or encapsulated, as the OAEP label
where they are transported.  Both are standard fields that stock ``openssl cms -decrypt`` reads, which
authenticated attributes are not (docs/adr/0003).  The opener supplies the context that it expects and never
takes it from the object, so an object moved elsewhere yields another key and does not open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from pki.der import TLV, BitString, Explicit, Implicit, Size, as_received, decode, sequence, tlv
from setproto.crypto.suites import SHA256

KEY_SIZE: Final = 32
"""Octets of content keys and key-encryption keys: AES-256 everywhere."""

_AES256_WRAP: Final = bytes.fromhex("300b060960864801650304012d")
_HKDF_SHA256: Final = bytes.fromhex("300d060b2a864886f70d010910031c")
_ML_KEM_768: Final = bytes.fromhex("300b0609608648016503040402")
_X25519: Final = bytes.fromhex("300506032b656e")
_EC_PUBLIC_KEY: Final = bytes.fromhex("300906072a8648ce3d0201")
_ECDH_X963_SHA256: Final = tlv(0x30, bytes.fromhex("06062b810401 0b01".replace(" ", "")), _AES256_WRAP)
_ECDH_HKDF_SHA256: Final = tlv(0x30, bytes.fromhex("060b2a864886f70d0109100313"), _AES256_WRAP)
_ORI_KEM: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.16.13.3")
_SHA256_IDENTIFIERS: Final = (bytes.fromhex("300d06096086480165030402010500"), SHA256)
"""SHA-256 with NULL parameters (written) and without (what openssl writes): RFC 4055 §2.1 accepts both."""
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_FIELD_25519: Final = 2**255 - 19
_POINT = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


class NotForThisKey(Exception):
    """Internal: the object does not open with this key and context.  Never leaves ``sealed.py``."""


def _same(field: TLV, *expected: bytes) -> None:
    """The field is exactly one of ``expected``: algorithms are compared, never looked up."""
    if as_received(field) not in expected:
        raise NotForThisKey


class KeyManagement(ABC):
    """Delivers a content key to the holder of a private key, bound to a context."""

    @abstractmethod
    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The DER of a RecipientInfo for the key named by ``identifier`` (its subjectKeyIdentifier)."""

    @abstractmethod
    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The content key.  NotForThisKey, or whatever ``cryptography`` raises, if there is none."""


# --- key agreement: RFC 5753 (P-256), RFC 8418 (X25519) -------------------------------------------


@sequence
class _OriginatorPublicKey:
    algorithm: TLV
    public_key: BitString


@sequence
class _OriginatorKey:
    # OriginatorIdentifierOrKey ::= CHOICE { …, originatorKey [1] OriginatorPublicKey }
    key: Annotated[_OriginatorPublicKey, Implicit(1)]


@sequence
class _RecipientKeyIdentifier:
    identifier: bytes


@sequence
class _RecipientEncryptedKey:
    rid: Annotated[_RecipientKeyIdentifier, Implicit(0)]
    encrypted_key: bytes


@sequence
class _KeyAgree:
    version: int
    originator: Annotated[_OriginatorKey, Implicit(0)]
    ukm: Annotated[bytes | None, Explicit(1)] = None
    key_encryption_algorithm: TLV
    recipients: Annotated[list[_RecipientEncryptedKey], Size(min=1, max=1)]


@sequence
class _KeyAgreeInfo:
    # A CHOICE alternative has a tag of its own; the codec reads sequences, so it is wrapped to be read.
    info: Annotated[_KeyAgree, Implicit(1)]


class KeyAgreement(KeyManagement):
    """Ephemeral-static Diffie-Hellman, a KDF over ECC-CMS-SharedInfo, AES-256 key wrap."""

    def __init__(self, algorithm: bytes, originator: bytes) -> None:
        self._algorithm = algorithm
        self._originator = originator

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

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """KeyAgreeRecipientInfo (RFC 5652 §6.2.2)."""
        ephemeral, secret = self._ephemeral(public_key)
        wrapped = aes_key_wrap(self._kek(secret, context), content_key)
        return tlv(
            0xA1,
            b"\x02\x01\x03",
            tlv(0xA0, tlv(0xA1, self._originator, tlv(0x03, b"\0", ephemeral))),
            tlv(0xA1, tlv(0x04, context)) if context else b"",
            self._algorithm,
            tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0x04, identifier)), tlv(0x04, wrapped))),
        )

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The content key out of a KeyAgreeRecipientInfo."""
        info = decode(_KeyAgreeInfo, tlv(0x30, recipient_info)).info
        recipient = info.recipients[0]
        _same(info.key_encryption_algorithm, self._algorithm)
        if info.version != 3 or (info.ukm or b"") != context or recipient.rid.identifier != identifier:
            raise NotForThisKey
        ephemeral = info.originator.key.public_key
        _same(info.originator.key.algorithm, self._originator)
        if ephemeral.padding_bits():
            raise NotForThisKey
        secret = self._agree(private_key, ephemeral.as_bytes())
        return aes_key_unwrap(self._kek(secret, context), recipient.encrypted_key)


class ECDHP256(KeyAgreement):
    """dhSinglePass-stdDH-sha256kdf (RFC 5753 §7.1.4) on P-256."""

    def __init__(self) -> None:
        super().__init__(_ECDH_X963_SHA256, _EC_PUBLIC_KEY)

    def _ephemeral(self, public_key: Any) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        return key.public_key().public_bytes(*_POINT), key.exchange(ec.ECDH(), public_key)

    def _agree(self, private_key: Any, ephemeral: bytes) -> bytes:
        if len(ephemeral) != 65 or ephemeral[0] != 4:
            raise NotForThisKey  # uncompressed: one encoding for one point
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ephemeral)
        secret: bytes = private_key.exchange(ec.ECDH(), public)
        return secret

    def _derive(self, secret: bytes, shared_info: bytes) -> bytes:
        return X963KDF(algorithm=hashes.SHA256(), length=KEY_SIZE, sharedinfo=shared_info).derive(secret)


class ECDHX25519(KeyAgreement):
    """dhSinglePass-stdDH-hkdf-sha256 (RFC 8418 §2.2) on X25519."""

    def __init__(self) -> None:
        super().__init__(_ECDH_HKDF_SHA256, _X25519)

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


@sequence
class _KeyTrans:
    version: int
    rid: Annotated[bytes, Implicit(0)]
    key_encryption_algorithm: TLV
    encrypted_key: bytes


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

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """KeyTransRecipientInfo (RFC 5652 §6.2.1)."""
        return tlv(
            0x30,
            b"\x02\x01\x02",
            tlv(0x80, identifier),
            self._algorithms(context)[0],
            tlv(0x04, public_key.encrypt(content_key, self._oaep(context))),
        )

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The content key out of a KeyTransRecipientInfo."""
        info = decode(_KeyTrans, recipient_info)
        _same(info.key_encryption_algorithm, *self._algorithms(context))
        if info.version != 2 or info.rid != identifier:
            raise NotForThisKey
        key: bytes = private_key.decrypt(info.encrypted_key, self._oaep(context))
        return key


# --- key encapsulation: RFC 9629, RFC 9936 -------------------------------------------------------


@sequence
class _KEMRecipientInfo:
    version: int
    rid: Annotated[bytes, Implicit(0)]
    kem: TLV
    kemct: bytes
    kdf: TLV
    kek_length: int
    ukm: Annotated[bytes | None, Explicit(0)] = None
    wrap: TLV
    encrypted_key: bytes


@sequence
class _OtherRecipient:
    type: x509.ObjectIdentifier
    value: _KEMRecipientInfo


@sequence
class _OtherRecipientInfo:
    info: Annotated[_OtherRecipient, Implicit(4)]


class MLKEM768(KeyManagement):
    """ML-KEM-768, HKDF-SHA-256 over CMSORIforKEMOtherInfo, AES-256 key wrap."""

    @staticmethod
    def _kek(secret: bytes, context: bytes) -> bytes:
        user = tlv(0xA0, tlv(0x04, context)) if context else b""
        other_info = tlv(0x30, _AES256_WRAP, b"\x02\x01\x20", user)
        return HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=other_info).derive(secret)

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """OtherRecipientInfo with KEMRecipientInfo (RFC 9629 §3)."""
        secret, ciphertext = public_key.encapsulate()
        value = tlv(
            0x30,
            b"\x02\x01\x00",
            tlv(0x80, identifier),
            _ML_KEM_768,
            tlv(0x04, ciphertext),
            _HKDF_SHA256,
            b"\x02\x01\x20",
            tlv(0xA0, tlv(0x04, context)) if context else b"",
            _AES256_WRAP,
            tlv(0x04, aes_key_wrap(self._kek(secret, context), content_key)),
        )
        return tlv(0xA4, bytes.fromhex("060b2a864886f70d0109100d03"), value)

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The content key out of a KEMRecipientInfo."""
        other = decode(_OtherRecipientInfo, tlv(0x30, recipient_info)).info
        info = other.value
        _same(info.kem, _ML_KEM_768)
        _same(info.kdf, _HKDF_SHA256)
        _same(info.wrap, _AES256_WRAP)
        if (
            other.type != _ORI_KEM
            or info.version != 0
            or info.kek_length != KEY_SIZE
            or info.rid != identifier
            or (info.ukm or b"") != context
        ):
            raise NotForThisKey
        secret: bytes = private_key.decapsulate(info.kemct)
        return aes_key_unwrap(self._kek(secret, context), info.encrypted_key)


# --- a symmetric key that both sides already know: SET's operator EK -----------------------------


@sequence
class _KEKIdentifier:
    identifier: bytes


@sequence
class _KEK:
    version: int
    kekid: _KEKIdentifier
    key_encryption_algorithm: TLV
    encrypted_key: bytes


@sequence
class _KEKInfo:
    info: Annotated[_KEK, Implicit(2)]


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

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        """KEKRecipientInfo."""
        wrapped = aes_key_wrap(self.derive(public_key, context), content_key)
        return tlv(0xA2, b"\x02\x01\x04", tlv(0x30, tlv(0x04, identifier)), _AES256_WRAP, tlv(0x04, wrapped))

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        """The content key out of a KEKRecipientInfo."""
        info = decode(_KEKInfo, tlv(0x30, recipient_info)).info
        _same(info.key_encryption_algorithm, _AES256_WRAP)
        if info.version != 4 or info.kekid.identifier != identifier:
            raise NotForThisKey
        return aes_key_unwrap(self.derive(private_key, context), info.encrypted_key)


KEY_MANAGEMENT: Final[dict[str, KeyManagement]] = {
    "p256": ECDHP256(),
    "rsa3072": RSAOAEP(),
    "ed25519": ECDHX25519(),
    "mldsa65": MLKEM768(),
}
"""The key management of each suite, by name."""
