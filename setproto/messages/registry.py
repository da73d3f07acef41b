"""Every message in one table: number, name, body, operator, from whom to whom.

A new message is a new entry here, a body type, and a handler in the roles that get it; sealing, signing,
checking and printing follow from the entry.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from cryptography.x509 import ObjectIdentifier

from setproto.messages import oids, payment, purchase
from setproto.messages.common import Role, TransIDs

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


class Operator(enum.Enum):
    """How a body is protected (set-protocol.md §1.4–1.8)."""

    PLAIN = "plain"
    S = "signed"
    DUAL = "dual-signed"
    ENC = "signed, then sealed"
    ENCB = "signed with a link to baggage, then sealed; baggage beside it"


@dataclass(frozen=True)
class MessageType(Generic[B]):
    """One kind of message.

    ``tag`` is its number in SET's Message CHOICE; ``locate`` finds, inside a body, the RRPID and the TransIDs
    that must equal those of the header (§4.1 step 11).
    """

    name: str
    tag: int
    body: type[B]
    content_type: ObjectIdentifier
    operator: Operator
    sender: Role
    recipient: Role
    locate: Callable[[B], tuple[bytes, TransIDs | None]]
    baggage: type | None = None

    def __repr__(self) -> str:
        return f"<MessageType {self.name}>"


def _direct(body: Any) -> tuple[bytes, TransIDs | None]:
    return body.rrpid, body.trans_ids


C, M, P = Role.cardholder, Role.merchant, Role.gateway

PINIT_REQ: Final = MessageType(
    "PInitReq", 0, purchase.PInitReq, oids.ID_PINIT_REQ, Operator.PLAIN, C, M, lambda body: (body.rrpid, None)
)
PINIT_RES: Final = MessageType("PInitRes", 1, purchase.PInitResData, oids.ID_PINIT_RES_DATA, Operator.S, M, C, _direct)
PREQ: Final = MessageType(
    "PReq", 2, purchase.OIData, oids.ID_OI_DATA, Operator.DUAL, C, M, _direct, baggage=purchase.PI
)
PRES: Final = MessageType("PRes", 3, purchase.PResData, oids.ID_PRES_DATA, Operator.S, M, C, _direct)
INQ_REQ: Final = MessageType("InqReq", 4, purchase.InqReqData, oids.ID_INQ_REQ_DATA, Operator.S, C, M, _direct)
INQ_RES: Final = MessageType("InqRes", 5, purchase.PResData, oids.ID_INQ_RES_DATA, Operator.S, M, C, _direct)
AUTH_REQ: Final = MessageType(
    "AuthReq",
    6,
    payment.AuthReqData,
    oids.ID_AUTH_REQ_TBS,
    Operator.ENCB,
    M,
    P,
    lambda body: (body.auth_req_item.auth_tags.auth_rr_tags.rrpid, body.auth_req_item.auth_tags.trans_ids),
    baggage=purchase.PI,
)
AUTH_RES: Final = MessageType(
    "AuthRes",
    7,
    payment.AuthResData,
    oids.ID_AUTH_RES_TBS,
    Operator.ENCB,
    P,
    M,
    lambda body: (body.auth_tags.auth_rr_tags.rrpid, body.auth_tags.trans_ids),
    baggage=payment.AuthResBaggage,
)
CAP_REQ: Final = MessageType(
    "CapReq",
    10,
    payment.CapReqData,
    oids.ID_CAP_REQ_TBS,
    Operator.ENCB,
    M,
    P,
    lambda body: (body.cap_rr_tags.rrpid, None),
    baggage=payment.CapTokenSeq,
)
CAP_RES: Final = MessageType(
    "CapRes",
    11,
    payment.CapResData,
    oids.ID_CAP_RES_DATA,
    Operator.ENC,
    P,
    M,
    lambda body: (body.cap_rr_tags.rrpid, None),
)

MESSAGES: Final[dict[int, MessageType[Any]]] = {
    entry.tag: entry
    for entry in (PINIT_REQ, PINIT_RES, PREQ, PRES, INQ_REQ, INQ_RES, AUTH_REQ, AUTH_RES, CAP_REQ, CAP_RES)
}
"""Number → message."""

ERROR_TAG: Final = 999
"""Error has no fixed sender and recipient and is in no conversation, so it stands outside the table."""
