"""Elementary types and the structures that several messages share (set-protocol.md §2.1, §2.4).

Octet strings that SET fixes at 160 bits keep that size where they only have to be unique (XID, RRPID,
challenges) and have 256 bits where they keep something secret (salts, nonces, secrets).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing
from typing import Annotated, Any, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import Default, GeneralizedTime, Implicit, Size, encode, sequence, tlv, value_set
from setproto.crypto.signed import oid_tlv

VERSION: Final = 2
"""SET is version 1; this protocol is not wire-compatible with it and says so in every header and signed body."""
REVISION: Final = 0
SW_IDENT: Final = "setproto 0.1"

XID_SIZE: Final = 20
RRPID_SIZE: Final = 20
NONCE_SIZE: Final = 32

LocalID = Annotated[bytes, Size(min=1, max=20)]
XID = Annotated[bytes, Size.exact(XID_SIZE)]
RRPID = Annotated[bytes, Size.exact(RRPID_SIZE)]
Challenge = Annotated[bytes, Size.exact(20)]
Nonce = Annotated[bytes, Size.exact(NONCE_SIZE)]
Digest = Annotated[bytes, Size.exact(32)]
Signed = bytes
"""OCTET STRING CONTAINING a ContentInfo with SignedData."""
Sealed = bytes
"""OCTET STRING CONTAINING a ContentInfo with AuthEnvelopedData."""
Text40 = Annotated[str, Size(min=1, max=40)]
Language = Annotated[str, Size(min=1, max=35)]
Date = GeneralizedTime


NUMBER_LIMIT: Final = 1 << 63
"""BatchIDs, counts and places are below this.  An INTEGER has no limit of its own, and one of thousands of digits is
not even printed by Python."""


def check_numbers(value_of_type: Any) -> None:
    """For the ``__post_init__`` of types that hold numbers.  ValueError if one is negative or too large."""
    for field in dataclasses.fields(value_of_type):
        value = getattr(value_of_type, field.name)
        if type(value) is int and not 0 <= value < NUMBER_LIMIT:
            raise ValueError(f"{field.name} is out of range")


@value_set(int)
class Role(enum.IntEnum):
    """Who takes part; the numbers are the bits of certificateType (set-protocol.md §5.11)."""

    cardholder = 0
    merchant = 1
    gateway = 2
    cardholder_ca = 3
    merchant_ca = 4
    gateway_ca = 5
    geo_ca = 6
    brand_ca = 7


@sequence
class PartyID:
    """How a party is named in headers and signed bodies: by what its certificate says.

    ``name`` is the Unique Cardholder ID, the merchant's merID, the identifier of a gateway or a CA.  Until a party
    has shown a certificate it is known by its own label, LID-C or LID-EE, and named by that in hexadecimal.
    """

    role: Role
    brand: Annotated[str, Size(min=1, max=40)]
    name: Annotated[str, Size(min=1, max=64)]

    def __str__(self) -> str:
        return f"{self.role.name} {self.name}"

    @functools.cached_property
    def der(self) -> bytes:
        """Its encoding, remembered: seals are bound to it, and records are found by it."""
        return _party_der(self)


@functools.lru_cache(maxsize=1024)
def _party_der(party: PartyID) -> bytes:
    """By value: the same parties are read anew with every message."""
    return encode(party)


@sequence
class BodyHead:
    """First field of every signed body: what it is, and from whom to whom (fixes W-3; PX-6).

    ``header_digest`` brings the header and the wrapper's extensions under the signature, which SET left bare
    (PX-10).  Every message has it; only a part that is read without its wrapper (PIHead) has none.
    """

    type: ObjectIdentifier
    version: int
    suite: Annotated[str, Size(min=1, max=16)]
    sender: PartyID
    recipient: PartyID
    header_digest: Annotated[bytes | None, Implicit(0)] = None


@sequence
class SealContext:
    """What a sealed object is bound to: who seals what for whom, in which transaction and request."""

    type: ObjectIdentifier
    version: int
    suite: Annotated[str, Size(min=1, max=16)]
    sender: PartyID
    recipient: PartyID
    xid: Annotated[bytes | None, Implicit(0)] = None
    rrpid: Annotated[bytes | None, Implicit(1)] = None


def seal_context(
    content_type: ObjectIdentifier,
    suite: str,
    sender: PartyID,
    recipient: PartyID,
    xid: bytes | None = None,
    rrpid: bytes | None = None,
) -> bytes:
    """The DER of a SealContext of this version: one is made for every object that is sealed or opened."""
    ids = (b"" if xid is None else tlv(0x80, xid), b"" if rrpid is None else tlv(0x81, rrpid))
    return tlv(0x30, _context_begins(content_type, suite), sender.der, recipient.der, *ids)


@functools.lru_cache(maxsize=256)
def _context_begins(content_type: ObjectIdentifier, suite: str) -> bytes:
    return oid_tlv(content_type) + encode(VERSION) + encode(suite)


@sequence
class Extension:
    """A message extension.  ``critical`` is FALSE unless said, as in X.509 (set-protocol.md §2.2)."""

    extn_id: ObjectIdentifier
    critical: Annotated[bool, Default(False)] = False
    extn_value: bytes


Extensions = list[Extension] | None


@sequence
class TransIDs:
    """Identifies one purchase."""

    lid_c: LocalID
    lid_m: LocalID
    """Mandatory here (fixes W-9): the order is found by it, not by free text."""
    xid: XID
    preq_date: Date
    pay_sys_id: Annotated[str | None, Implicit(0)] = None
    """Identifier of the card network: set by the gateway, repeated by the merchant."""
    language: Language


@sequence
class MerTermIDs:
    """Which till of which merchant asks."""

    merchant_id: Annotated[str, Size(min=1, max=30)]
    terminal_id: Annotated[str | None, Implicit(0)] = None


@sequence
class RRTags:
    """Starts every request of a merchant to a gateway."""

    rrpid: RRPID
    mer_term_ids: MerTermIDs
    date: Date
    me_thumb: Digest
    """Thumbprint of the merchant's key-exchange certificate: to which key the answer is to be sealed (W-4)."""


@sequence
class Recurring:
    """At least ``recurring_frequency`` days (1..366) between authorisations, none after ``recurring_expiry``."""

    recurring_frequency: int
    recurring_expiry: Date

    def __post_init__(self) -> None:
        if not 1 <= self.recurring_frequency <= 366:
            raise ValueError("a frequency is 1 to 366 days")


@sequence
class InstallRecurData:
    """What the cardholder agreed to beyond one payment: exactly one of instalments and recurring payments."""

    install_total_trans: Annotated[int | None, Implicit(0)] = None
    recurring: Annotated[Recurring | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if (self.install_total_trans is None) == (self.recurring is None):
            raise ValueError("either instalments or recurring payments")
        if self.install_total_trans is not None and self.install_total_trans < 2:
            raise ValueError("instalments are at least two")


@sequence
class Thumbs:
    """Thumbprints of what the sender holds, so that the answer can leave it out (§4.3): at most 32 in each list."""

    cert_thumbs: Annotated[list[bytes] | None, Implicit(0)] = None
    crl_thumbs: Annotated[list[bytes] | None, Implicit(1)] = None
    brand_crl_id_thumbs: Annotated[list[bytes] | None, Implicit(2)] = None

    def __post_init__(self) -> None:
        fields = (self.cert_thumbs, self.crl_thumbs, self.brand_crl_id_thumbs)
        lists = [thumbs for thumbs in fields if thumbs is not None]
        if not lists or not all(1 <= len(thumbs) <= 32 for thumbs in lists):
            raise ValueError("a list of thumbprints has 1 to 32, and there is at least one list")
        if any(len(thumb) != 32 for thumbs in lists for thumb in thumbs):
            raise ValueError("a thumbprint has 32 octets")


def unknown_critical(value: Any) -> ObjectIdentifier | None:
    """The first critical extension anywhere in a value: none is known in this version, so any is a reason to refuse."""
    if isinstance(value, Extension):
        return value.extn_id if value.critical else None
    if isinstance(value, list):
        return next((found for part in value if (found := unknown_critical(part)) is not None), None)
    of_type: Any = type(value)
    for name in _where_extensions_are(of_type):
        found = unknown_critical(getattr(value, name))
        if found is not None:
            return found
    return None


@functools.lru_cache(maxsize=1024)
def _where_extensions_are(cls: type) -> tuple[str, ...]:
    """The fields of a type that can hold an extension, at whatever depth: most types have none."""
    if not dataclasses.is_dataclass(cls):
        return ()
    hints = typing.get_type_hints(cls)
    return tuple(field.name for field in dataclasses.fields(cls) if _can_hold_extensions(hints[field.name]))


def _can_hold_extensions(hint: Any) -> bool:
    arguments = typing.get_args(hint)
    if arguments:
        return any(_can_hold_extensions(argument) for argument in arguments)
    return hint is Extension or (isinstance(hint, type) and bool(_where_extensions_are(hint)))
