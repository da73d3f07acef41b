"""A value of any wire type as a tree of text: field names as they are declared, values in words.

Card data is shown only on demand: hidden by default, masked to the digits that PCI DSS 3.4.1 allows, or in full.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import GeneralizedTime
from setproto.amounts import CurrencyAmount, Ratio
from setproto.errors import ErrorCode
from setproto.messages.common import PartyID, Role
from setproto.messages.error import ErrorTBS
from setproto.messages.oids import NAMES
from setproto.messages.payment import PANToken
from setproto.messages.purchase import AcqBackKeyData, PANData
from setproto.messages.registration import AcctData, CABackKeyData, CertStatus, PANData0, PANOnly, RegFormItem
from setproto.roles import cardholder, enrolment

SHORT: Final = 32
"""Octets that are written out; of longer strings only the beginning is."""


@dataclass(frozen=True)
class Node:
    """One named value, and what is inside it."""

    name: str
    text: str = ""
    children: tuple[Node, ...] = ()

    def find(self, name: str) -> Node | None:
        """The first node of that name in this tree, this one included."""
        return next((node for node in self.walk() if node.name == name), None)

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, in the order of printing."""
        yield self
        for child in self.children:
            yield from child.walk()


class Show(enum.Enum):
    """How much of card data may be seen."""

    HIDDEN = "redacted"
    MASKED = "masked"
    REVEALED = "in clear"


SECRET: Final = {
    (PANData, "pan"),
    (PANData, "card_expiry"),
    (PANData, "pan_secret"),
    (PANToken, "pan"),
    (PANToken, "card_expiry"),
    (AcqBackKeyData, "acq_back_key"),
    (PANOnly, "pan"),
    (PANData0, "pan"),
    (PANData0, "card_expiry"),
    (PANData0, "card_secret"),
    (AcctData, "acct_identification"),
    (RegFormItem, "field_value"),  # among the answers may be a password
    (CABackKeyData, "ca_key"),
    (CertStatus, "nonce_cca"),
    *((enrolment.Secrets, field.name) for field in dataclasses.fields(enrolment.Secrets)),
    (cardholder.Ordered, "back_key"),
}
"""Fields that are shown on demand only."""
_TEXT: Final = {"description", "od"}
"""Octet strings that people wrote."""

OIDS: Final = {
    **{oid.dotted_string: name for oid, name in NAMES.items()},
    "1.2.840.113549.1.7.1": "id-data",
    "1.2.840.113549.1.7.2": "id-signedData",
    "1.2.840.113549.1.9.16.1.23": "id-ct-authEnvelopedData",
    "1.2.840.10045.2.1": "id-ecPublicKey",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.113549.1.1.7": "id-RSAES-OAEP",
    "1.2.840.113549.1.1.10": "id-RSASSA-PSS",
    "1.3.101.110": "id-X25519",
    "1.3.101.112": "id-Ed25519",
    "1.3.132.1.11.1": "dhSinglePass-stdDH-sha256kdf",
    "1.2.840.113549.1.9.16.3.19": "dhSinglePass-stdDH-hkdf-sha256",
    "2.16.840.1.101.3.4.1.45": "id-aes256-wrap",
    "2.16.840.1.101.3.4.1.46": "id-aes256-GCM",
    "2.16.840.1.101.3.4.2.1": "id-sha256",
    "2.16.840.1.101.3.4.2.3": "id-sha512",
    "2.16.840.1.101.3.4.3.18": "id-ml-dsa-65",
    "2.16.840.1.101.3.4.4.2": "id-alg-ml-kem-768",
}
"""Dotted identifier → name, for everything that occurs in the objects read here."""


def oid_name(oid: ObjectIdentifier) -> str:
    """The name of an identifier; one that has none here stays as it is."""
    return OIDS.get(oid.dotted_string, oid.dotted_string)


def octets(data: bytes) -> str:
    """Hexadecimal; of a long string only the beginning, and how long it is."""
    if not data:
        return "(empty)"
    if len(data) <= SHORT:
        return data.hex()
    return f"{data[:16].hex()}… ({len(data):,} octets)"


def mask_pan(padded: str) -> str:
    """The first six and the last four digits of a PAN that is padded with blanks."""
    pan = padded.rstrip(" ")
    return f"{pan[:6]}{'•' * (len(pan) - 10)}{pan[-4:]}"


Special = Callable[[str, Any, tuple[Any, ...]], "Node | None"]
"""(name, value, values around it from the outside in) → the node, or None for what is shown like any other value."""


def _secret(name: str, value: Any, show: Show) -> str:
    if show is Show.MASKED and name == "pan":
        return mask_pan(value)
    if show is Show.REVEALED:
        return octets(value) if isinstance(value, bytes) else str(value)
    return "<redacted>"


def value_node(name: str, value: Any, show: Show, special: Special, within: tuple[Any, ...] = ()) -> Node:
    """A value of any type that occurs in a message or a record."""
    if isinstance(value, bytes) and name in _TEXT and value.isascii() and value.decode("ascii").isprintable():
        return Node(name, f'"{value.decode("ascii")}"')
    node = special(name, value, within)
    if node is not None:
        return node
    if isinstance(value, bytes):
        return Node(name, octets(value))
    if isinstance(value, list | tuple):
        items = (value_node(f"[{number}]", item, show, special, within) for number, item in enumerate(value))
        return Node(name, f"{len(value)} item{'' if len(value) == 1 else 's'}", tuple(items))
    if isinstance(value, enum.IntEnum):
        return Node(name, value.name if isinstance(value, Role) else f"{value.name} ({int(value)})")
    if isinstance(value, PartyID):
        return Node(name, f"{value.role.name} {value.name} of {value.brand}")
    if isinstance(value, Ratio):
        return Node(name, f"{value.numerator}/{value.denominator} of the purchase amount")
    if isinstance(value, CurrencyAmount):
        return Node(name, str(value))
    if isinstance(value, GeneralizedTime):
        return Node(name, f"{value.as_datetime():%Y-%m-%d %H:%M:%S} UTC")
    if isinstance(value, ObjectIdentifier):
        return Node(name, oid_name(value))
    if isinstance(value, bool):
        return Node(name, "yes" if value else "no")
    if dataclasses.is_dataclass(value):
        title = type(value).__name__ if name[:1].islower() else ""
        return Node(name, title, fields(value, show, special, within))
    return Node(name, str(value))


def fields(value: Any, show: Show, special: Special, within: tuple[Any, ...] = ()) -> tuple[Node, ...]:
    """The fields that are there, in the order of the declaration."""
    inside = (*within, value)
    return tuple(
        _field(value, field.name, content, show, special, inside)
        for field in dataclasses.fields(value)
        if (content := getattr(value, field.name)) is not None
    )


def _field(owner: object, name: str, value: Any, show: Show, special: Special, within: tuple[Any, ...]) -> Node:
    if (type(owner), name) in SECRET:
        return Node(name, _secret(name, value, show))
    if isinstance(owner, ErrorTBS) and name == "error_code" and value in {int(code) for code in ErrorCode}:
        value = ErrorCode(value)
    return value_node(name, value, show, special, within)
