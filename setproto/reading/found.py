"""What a reader meets: the types it knows, the objects it finds, and how it gets at a message of any age."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import ObjectIdentifier

from pki.der import sequence
from setproto.errors import SetError
from setproto.messages.common import VERSION, PartyID, SealContext
from setproto.messages.error import ErrorTBS
from setproto.messages.oids import ID_CAP_TOKEN_DATA, ID_ERROR_TBS, ID_PAN_DATA, ID_PI_OI_LINK
from setproto.messages.payment import CapTokenData
from setproto.messages.purchase import PI, PANData, PIOILink, PISeals
from setproto.messages.registry import MESSAGES
from setproto.messages.wrapper import Wire, unwrap
from setproto.reading.values import oid_name
from setproto.roles import cardholder, endpoint, gateway, merchant

BODIES: Final[dict[ObjectIdentifier, type]] = {
    **{message.content_type: message.body for message in MESSAGES.values()},
    ID_ERROR_TBS: ErrorTBS,
    ID_PI_OI_LINK: PIOILink,
    ID_PAN_DATA: PANData,
    ID_CAP_TOKEN_DATA: CapTokenData,
}
"""Content type → what stands in a signed or sealed object of that type."""

NAMES_OF: Final = {of_type: oid_name(oid) for oid, of_type in BODIES.items()}
"""Type → the name of its content type."""


@sequence
class PartDigest:
    """One part of a dual signature."""

    type: ObjectIdentifier
    digest: bytes


@sequence
class DualTBS:
    """What a dual signature signs: ``crypto.dual.Form.to_be_signed``."""

    version: int
    suite: str
    parts: list[PartDigest]


NOTES: Final = (
    cardholder.Purchase,
    merchant.PurchaseRecord,
    merchant.OrderRecord,
    gateway.AuthorizationRecord,
    endpoint.AnswerRecord,
    PI,
    PISeals,
    DualTBS,
    SealContext,
)
"""What roles keep, and parts of messages: tried when octets say nothing about themselves."""


class NotReadable(SetError):
    """Not the DER of anything that is known here."""


class Kind(enum.Enum):
    """What sort of object was met."""

    SIGNED = "signed"
    SEALED = "sealed"
    PLAIN = "plain"


@dataclass(frozen=True)
class Found:
    """One object that was met while reading."""

    kind: Kind
    name: str
    """Of the content's type."""
    data: bytes
    """The object itself: CMS, or the octets of a plain value."""
    content: bytes | None
    """What was signed, or what was sealed; None for what stayed closed and for signed content that is elsewhere."""
    party: bytes = b""
    """Key identifier of the signer or the recipient."""
    detached: bool = False
    context: bytes = b""
    """What a sealed object is bound to."""
    certificate: bytes | None = None
    """The signer's, if enclosed."""


@dataclass(frozen=True)
class Around:
    """What the message says about the sealed objects in it."""

    sender: PartyID
    suite: str
    xid: bytes | None
    rrpid: bytes | None

    def context(self, content_type: ObjectIdentifier, recipient: PartyID) -> SealContext:
        """What an object in this place is bound to, if it is sealed to ``recipient``."""
        return SealContext(
            type=content_type,
            version=VERSION,
            suite=self.suite,
            sender=self.sender,
            recipient=recipient,
            xid=self.xid,
            rrpid=self.rrpid,
        )


def open_wrapper(data: bytes) -> Wire:
    """A message of any age: whether it is too old is for its receiver to say.  ProtocolError if it is none."""
    return unwrap(data)
