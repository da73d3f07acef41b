"""What a reader meets: the types it knows, the objects it finds, and how it gets at a message of any age."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import ObjectIdentifier

from pki.der import sequence
from setproto.errors import SetError
from setproto.messages.batch import BatchStatus, TransactionDetail
from setproto.messages.common import VERSION, PartyID, SealContext
from setproto.messages.error import ErrorTBS
from setproto.messages.oids import (
    ID_ACCT_DATA,
    ID_ACQ_CARD_CODE_MSG,
    ID_AUTH_TOKEN_PAN,
    ID_AUTH_TOKEN_TBS,
    ID_CAP_TOKEN_DATA,
    ID_ERROR_TBS,
    ID_KEY_CHALLENGE,
    ID_PAN_DATA,
    ID_PAN_DATA0,
    ID_PAN_ONLY,
    ID_PI_OI_LINK,
)
from setproto.messages.payment import (
    AcqCardCodeMsg,
    AuthResBaggage,
    AuthToken,
    AuthTokenData,
    CapTokenData,
    CapTokenSeq,
    PANToken,
)
from setproto.messages.purchase import PI, PANData, PIOILink, PISeals, Results
from setproto.messages.registration import AcctData, MeAqCInitResData, PANData0, PANOnly
from setproto.messages.registry import MESSAGES
from setproto.messages.wrapper import Wire, unwrap
from setproto.roles import answers, cardholder, enrolment
from setproto.roles.authority import records as registrations
from setproto.roles.gateway import batches, outbox
from setproto.roles.gateway import records as gateway_records
from setproto.roles.merchant import records as merchant_records

BODIES: Final[dict[ObjectIdentifier, type]] = {
    **{message.content_type: message.body for message in MESSAGES.values()},
    ID_ERROR_TBS: ErrorTBS,
    ID_PI_OI_LINK: PIOILink,
    ID_PAN_DATA: PANData,
    ID_PAN_ONLY: PANOnly,
    ID_PAN_DATA0: PANData0,
    ID_ACCT_DATA: AcctData,
    ID_CAP_TOKEN_DATA: CapTokenData,
    ID_AUTH_TOKEN_TBS: AuthTokenData,
    ID_AUTH_TOKEN_PAN: PANToken,
    ID_ACQ_CARD_CODE_MSG: AcqCardCodeMsg,
}
"""Content type → what stands in a signed or sealed object of that type."""

SEALED_FIELDS: Final[dict[tuple[type, str], ObjectIdentifier]] = {
    (MeAqCInitResData, "sealed_key_challenge"): ID_KEY_CHALLENGE,
    (PISeals, "sealed_pi"): ID_PI_OI_LINK,
    (PISeals, "sealed_pan"): ID_PAN_DATA,
    (AuthToken, "sealed_token"): ID_AUTH_TOKEN_TBS,
    (AuthToken, "sealed_pan"): ID_AUTH_TOKEN_PAN,
    (AuthResBaggage, "cap_token"): ID_CAP_TOKEN_DATA,
    (CapTokenSeq, "tokens"): ID_CAP_TOKEN_DATA,
    (merchant_records.AuthorizationRecord, "cap_token"): ID_CAP_TOKEN_DATA,
    (AuthResBaggage, "acq_card_msg"): ID_ACQ_CARD_CODE_MSG,
    (Results, "acq_card_msg"): ID_ACQ_CARD_CODE_MSG,
    (merchant_records.PurchaseRecord, "acq_card_msg"): ID_ACQ_CARD_CODE_MSG,
}
"""Field of a message or a record → what is sealed in it."""


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
    merchant_records.PurchaseRecord,
    merchant_records.OrderRecord,
    merchant_records.RequestRecord,
    merchant_records.Member,
    gateway_records.PurchaseRecord,
    batches.BatchRecord,
    outbox.AdviceRecord,
    enrolment.Enrolment,
    registrations.Registration,
    BatchStatus,
    TransactionDetail,
    answers.AnswerRecord,
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
    """What is known about the place of a sealed object: who made it, in which purchase, for which request."""

    sender: PartyID | None = None
    """None if the object stands alone."""
    xid: bytes | None = None
    rrpid: bytes | None = None

    def context(self, content_type: ObjectIdentifier, suite: str, sender: PartyID, recipient: PartyID) -> SealContext:
        """What an object in this place is bound to."""
        return SealContext(
            type=content_type,
            version=VERSION,
            suite=suite,
            sender=sender,
            recipient=recipient,
            xid=self.xid,
            rrpid=self.rrpid,
        )


def open_wrapper(data: bytes) -> Wire:
    """A message of any age: whether it is too old is for its receiver to say.  ProtocolError if it is none."""
    return unwrap(data)
