"""The SET private certificate extensions, as typed values.

Each value checks itself when it is made, so one that exists can be issued; the same
checks run when one is read.  ``to_extension`` and ``from_extension`` translate.

Source: SET Book 2, certificate profile; set-protocol.md section 6.5.  The contents are
SET's, so the object identifiers are (2.23.42.7.*); only the digest of hashedRootKey is
SHA-256 where SET had SHA-1, as its own digestAlgorithm field says.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, TypeAlias

from cryptography import x509

from pki import der
from pki.errors import CertificateError
from pki.signed import elements

__all__ = [
    "CARD_CERT_REQUIRED",
    "CERTIFICATE_TYPE",
    "CRITICAL",
    "HASHED_ROOT_KEY",
    "MERCHANT_DATA",
    "SET_ROOT_POLICY",
    "TUNNELING",
    "CardCertRequired",
    "CertificateType",
    "HashedRootKey",
    "MerchantData",
    "MerchantName",
    "PrivateExtension",
    "Tunneling",
    "from_extension",
    "to_extension",
    "tunneling_of",
]

HASHED_ROOT_KEY = x509.ObjectIdentifier("2.23.42.7.0")
CERTIFICATE_TYPE = x509.ObjectIdentifier("2.23.42.7.1")
MERCHANT_DATA = x509.ObjectIdentifier("2.23.42.7.2")
CARD_CERT_REQUIRED = x509.ObjectIdentifier("2.23.42.7.3")
TUNNELING = x509.ObjectIdentifier("2.23.42.7.4")
SET_ROOT_POLICY = x509.ObjectIdentifier("2.23.42.5.0")
AES256_GCM = x509.ObjectIdentifier("2.16.840.1.101.3.4.1.46")
"""The one content cipher of this library, and so the one algorithm of Tunneling that it offers."""

CRITICAL: Mapping[x509.ObjectIdentifier, bool] = MappingProxyType(
    {HASHED_ROOT_KEY: True, CERTIFICATE_TYPE: True, MERCHANT_DATA: False}
    | {CARD_CERT_REQUIRED: False, TUNNELING: False}
)
"""The private extensions that we know, and whether each must be marked critical (6.5)."""

_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_ROOT_KEY_THUMB = x509.ObjectIdentifier("2.23.42.3.0.0")


class CertificateType(enum.IntFlag):
    """The roles that a certificate may serve.  Bit n of the BIT STRING is the flag 1 << n (5.11)."""

    CARD = 1 << 0
    MER = 1 << 1
    PGWY = 1 << 2
    CCA = 1 << 3
    MCA = 1 << 4
    PCA = 1 << 5
    GCA = 1 << 6
    BCA = 1 << 7
    RCA = 1 << 8
    ACQ = 1 << 9


@dataclass(frozen=True, slots=True)
class HashedRootKey:
    """The commitment of a root to its successor: SHA-256 (32 octets) of the next root's SubjectPublicKeyInfo."""

    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise ValueError("hashedRootKey: a SHA-256 digest has 32 octets")


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantName:
    """A merchant's name and place in one language.  Sizes in characters: language 1..35, postal code
    1..14, all others 1..50."""

    language: str
    name: str
    city: str
    country_name: str
    state_province: str | None = None
    postal_code: str | None = None

    def __post_init__(self) -> None:
        if not self.language.isascii():
            raise ValueError("merchantData: a language tag is ASCII (RFC 1766)")
        _text(self.language, 35, "language")
        for value in (self.name, self.city, self.country_name):
            _text(value, 50, "name")
        if self.state_province is not None:
            _text(self.state_province, 50, "stateProvince")
        if self.postal_code is not None:
            _text(self.postal_code, 14, "postalCode")


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantData:
    """Who the merchant is.  ``mer_id`` 1..30 characters, ``mer_acquirer_bin`` six digits, one
    ``MerchantName`` per language (1..16), ``mer_country`` ISO 3166 numeric.

    ``mer_auth_flag`` must be False.  TRUE, which is SET's default, let the acquirer hand card
    numbers to the merchant; that would undo what SET is for, so the option is left out of this
    protocol (set-protocol.md 3.7, criticism C-4) and a certificate that claims it is refused,
    when it is issued and when it is read.
    """

    mer_id: str
    mer_acquirer_bin: str
    mer_name_seq: tuple[MerchantName, ...]
    mer_country: int
    mer_auth_flag: bool = False

    def __post_init__(self) -> None:
        _text(self.mer_id, 30, "merID")
        if len(self.mer_acquirer_bin) != 6 or not _digits(self.mer_acquirer_bin):
            raise ValueError("merchantData: merAcquirerBIN is six digits")
        if not 1 <= len(self.mer_name_seq) <= 16:
            raise ValueError("merchantData: merNameSeq has 1 to 16 entries")
        if not 1 <= self.mer_country <= 999:
            raise ValueError("merchantData: merCountry is 1 to 999")
        if self.mer_auth_flag is not False:
            raise ValueError("merchantData: merAuthFlag must be FALSE: no merchant is given card numbers")


@dataclass(frozen=True, slots=True)
class CardCertRequired:
    """In a gateway's key-exchange certificate: whether cardholders must have certificates."""

    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunneling:
    """Whether messages may be tunnelled to the cardholder, and with which symmetric algorithms (1..16)."""

    tunneling: bool
    algorithms: tuple[x509.ObjectIdentifier, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.algorithms) <= 16:
            raise ValueError("tunneling: 1 to 16 algorithms")


PrivateExtension: TypeAlias = CertificateType | HashedRootKey | MerchantData | CardCertRequired | Tunneling


# --- the ASN.1 of them ---


@der.sequence
class _AlgorithmIdentifier:
    algorithm: x509.ObjectIdentifier


@der.sequence
class _ContentType:
    content_type: x509.ObjectIdentifier


@der.sequence
class _DigestedData:
    version: int
    digest_algorithm: _AlgorithmIdentifier
    content: _ContentType
    digest: bytes


@der.sequence
class _RootKeyThumb:
    root_key_thumbprint: _DigestedData


@der.sequence
class _MerchantData:
    mer_id: der.TLV
    mer_acquirer_bin: der.TLV
    mer_name_seq: list[der.TLV]
    mer_country: int
    mer_auth_flag: Annotated[bool, der.Default(True)]


@der.sequence
class _Tunneling:
    tunneling: Annotated[bool, der.Default(True)]
    algorithms: list[x509.ObjectIdentifier]


_SEQUENCE, _NUMERIC, _VISIBLE, _BMP = b"\x30", b"\x12", b"\x1a", b"\x1e"
_STATE, _POSTAL = b"\xa0", b"\xa1"  # EXPLICIT tags, for the two optional fields that look alike


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _text(value: str, limit: int, what: str) -> None:
    # BMPString reaches U+FFFF; control characters have no place in a name that a person reads.
    if not 1 <= len(value) <= limit or not value.isprintable() or any(ord(c) > 0xFFFF for c in value):
        raise ValueError(f"merchantData: {what} is 1 to {limit} printable characters of the first plane")


def _write_text(value: str) -> bytes:
    # SETString is a CHOICE.  One form per value: VisibleString whenever it suffices.
    if value.isascii():
        return der.tlv(_VISIBLE[0], value.encode("ascii"))
    return der.tlv(_BMP[0], value.encode("utf-16-be"))


def _read_text(item: der.TLV) -> str:
    if item.tag_bytes == _VISIBLE:
        return bytes(item.data).decode("ascii")
    if item.tag_bytes == _BMP:
        return bytes(item.data).decode("utf-16-be")
    raise ValueError("not a SETString")


def _write_name(name: MerchantName) -> der.TLV:
    parts = [_write_text(name.language), _write_text(name.name), _write_text(name.city)]
    if name.state_province is not None:
        parts.append(der.tlv(_STATE[0], _write_text(name.state_province)))
    if name.postal_code is not None:
        parts.append(der.tlv(_POSTAL[0], _write_text(name.postal_code)))
    parts.append(_write_text(name.country_name))
    return der.decode(der.TLV, der.tlv(_SEQUENCE[0], *parts))


def _read_name(item: der.TLV) -> MerchantName:
    if item.tag_bytes != _SEQUENCE:
        raise ValueError("not a merchant name")
    fields = elements(der.encode(item))
    optional = {field.tag_bytes: bytes(field.data) for field in fields[3:-1]}
    if len(fields) < 4 or optional.keys() - {_STATE, _POSTAL}:
        raise ValueError("not a merchant name")

    def inner(tag: bytes) -> str | None:
        return _read_text(der.decode(der.TLV, optional[tag])) if tag in optional else None

    return MerchantName(
        language=_read_text(fields[0]),
        name=_read_text(fields[1]),
        city=_read_text(fields[2]),
        state_province=inner(_STATE),
        postal_code=inner(_POSTAL),
        country_name=_read_text(fields[-1]),
    )


def _encode(value: PrivateExtension) -> tuple[x509.ObjectIdentifier, bytes]:
    match value:
        case CertificateType():
            # A named bit list drops its trailing zero bits (X.690 section 11.2.2).
            size = int(value).bit_length()
            octets = bytearray((size + 7) // 8)
            for bit in range(size):
                if value & (1 << bit):
                    octets[bit // 8] |= 0x80 >> bit % 8
            return CERTIFICATE_TYPE, der.encode(der.BitString(bytes(octets), -size % 8))
        case HashedRootKey(digest):
            data = _DigestedData(
                version=0,
                digest_algorithm=_AlgorithmIdentifier(algorithm=_SHA256),
                content=_ContentType(content_type=_ROOT_KEY_THUMB),
                digest=digest,
            )
            return HASHED_ROOT_KEY, der.encode(_RootKeyThumb(root_key_thumbprint=data))
        case MerchantData():
            return MERCHANT_DATA, der.encode(
                _MerchantData(
                    mer_id=der.decode(der.TLV, _write_text(value.mer_id)),
                    mer_acquirer_bin=der.decode(der.TLV, der.tlv(_NUMERIC[0], value.mer_acquirer_bin.encode("ascii"))),
                    mer_name_seq=[_write_name(name) for name in value.mer_name_seq],
                    mer_country=value.mer_country,
                    mer_auth_flag=value.mer_auth_flag,
                )
            )
        case CardCertRequired(required):
            return CARD_CERT_REQUIRED, der.encode(required)
        case Tunneling():
            return TUNNELING, der.encode(_Tunneling(tunneling=value.tunneling, algorithms=list(value.algorithms)))


def _decode_type(data: bytes) -> CertificateType:
    bits = der.decode(der.BitString, data)
    octets = bits.as_bytes()
    flags = 0
    for bit in range(len(octets) * 8 - bits.padding_bits()):
        if octets[bit // 8] & (0x80 >> bit % 8):
            flags |= 1 << bit
    if flags == 0 or flags >= 1 << 10:
        raise ValueError("no role, or a role that SET does not define")
    return CertificateType(flags)


def _decode_root_key(data: bytes) -> HashedRootKey:
    thumb = der.decode(_RootKeyThumb, data).root_key_thumbprint
    if (thumb.version, thumb.digest_algorithm.algorithm, thumb.content.content_type) != (
        0,
        _SHA256,
        _ROOT_KEY_THUMB,
    ):
        raise ValueError("not a SHA-256 thumbprint of a root key")
    return HashedRootKey(thumb.digest)


def _decode_merchant(data: bytes) -> MerchantData:
    raw = der.decode(_MerchantData, data)
    if raw.mer_acquirer_bin.tag_bytes != _NUMERIC:
        raise ValueError("merAcquirerBIN is not a NumericString")
    return MerchantData(
        mer_id=_read_text(raw.mer_id),
        mer_acquirer_bin=bytes(raw.mer_acquirer_bin.data).decode("ascii"),
        mer_name_seq=tuple(_read_name(item) for item in raw.mer_name_seq),
        mer_country=raw.mer_country,
        mer_auth_flag=raw.mer_auth_flag,
    )


def _decode_tunneling(data: bytes) -> Tunneling:
    raw = der.decode(_Tunneling, data)
    return Tunneling(tunneling=raw.tunneling, algorithms=tuple(raw.algorithms))


_READERS: Mapping[x509.ObjectIdentifier, Callable[[bytes], PrivateExtension]] = {
    HASHED_ROOT_KEY: _decode_root_key,
    CERTIFICATE_TYPE: _decode_type,
    MERCHANT_DATA: _decode_merchant,
    CARD_CERT_REQUIRED: lambda data: CardCertRequired(der.decode(bool, data)),
    TUNNELING: _decode_tunneling,
}


def to_extension(value: PrivateExtension) -> x509.UnrecognizedExtension:
    """The extension that holds ``value``; mark it critical as ``CRITICAL`` says."""
    return x509.UnrecognizedExtension(*_encode(value))


def from_extension(extension: x509.UnrecognizedExtension) -> PrivateExtension:
    """The value in a private extension.

    CertificateError("invalidCertificate") if the identifier is not one of ours, the value breaks a
    rule, or the bytes are not *the* DER encoding of the value: after reading, the value is written
    again and compared, so no second encoding of it is ever accepted.
    """
    oid = extension.oid.dotted_string
    reader = _READERS.get(extension.oid)
    try:
        if reader is None:
            raise ValueError("not a SET extension known here")
        value = reader(extension.value)
        if _encode(value)[1] != extension.value:
            raise ValueError("not the DER encoding of its value")
    except ValueError as problem:
        raise CertificateError(
            "invalidCertificate", f"extension {oid}: {problem}", "SET Book 2, certificate profile"
        ) from None
    return value


def tunneling_of(certificate: x509.Certificate) -> Tunneling | None:
    """What a key-exchange certificate says about messages to cardholders, if it says anything.  CertificateError."""
    for extension in certificate.extensions:
        if extension.oid == TUNNELING and isinstance(extension.value, x509.UnrecognizedExtension):
            value = from_extension(extension.value)
            return value if isinstance(value, Tunneling) else None
    return None
