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

from setproto.messages import batch, oids, payment, purchase
from setproto.messages.common import Role, TransIDs

B = TypeVar("B")


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


def _purchase(body: Any) -> tuple[bytes, TransIDs | None]:
    """Messages about one purchase that carry RRPID and TransIDs themselves."""
    return body.rrpid, body.trans_ids


def _tags(field: str) -> Callable[[Any], tuple[bytes, TransIDs | None]]:
    """Messages between merchant and gateway that are about several purchases, or none: RRTags in this field."""
    return lambda body: (getattr(body, field).rrpid, None)


def _auth_tags(tags: payment.AuthTags) -> tuple[bytes, TransIDs | None]:
    return tags.auth_rr_tags.rrpid, tags.trans_ids


def _reversal(body: Any) -> tuple[bytes, TransIDs | None]:
    return body.auth_rev_rr_tags.rrpid, body.trans_ids


C, M, P = Role.cardholder, Role.merchant, Role.gateway
PLAIN, S, DUAL, ENC, ENCB = Operator.PLAIN, Operator.S, Operator.DUAL, Operator.ENC, Operator.ENCB
_T = MessageType

# fmt: off
PINIT_REQ: Final = _T("PInitReq", 0, purchase.PInitReq, oids.ID_PINIT_REQ, PLAIN, C, M, lambda b: (b.rrpid, None))
PINIT_RES: Final = _T("PInitRes", 1, purchase.PInitResData, oids.ID_PINIT_RES_DATA, S, M, C, _purchase)
PREQ: Final = _T("PReq", 2, purchase.OIData, oids.ID_OI_DATA, DUAL, C, M, _purchase, purchase.PI)
PRES: Final = _T("PRes", 3, purchase.PResData, oids.ID_PRES_DATA, S, M, C, _purchase)
INQ_REQ: Final = _T("InqReq", 4, purchase.InqReqData, oids.ID_INQ_REQ_DATA, S, C, M, _purchase)
INQ_RES: Final = _T("InqRes", 5, purchase.PResData, oids.ID_INQ_RES_DATA, S, M, C, _purchase)
AUTH_REQ: Final = _T("AuthReq", 6, payment.AuthReqData, oids.ID_AUTH_REQ_TBS, ENCB, M, P,
                     lambda b: _auth_tags(b.auth_req_item.auth_tags), payment.PaymentInstruction)
AUTH_RES: Final = _T("AuthRes", 7, payment.AuthResData, oids.ID_AUTH_RES_TBS, ENCB, P, M,
                     lambda b: _auth_tags(b.auth_tags), payment.AuthResBaggage)
AUTH_REV_REQ: Final = _T("AuthRevReq", 8, payment.AuthRevReqData, oids.ID_AUTH_REV_REQ_TBS, ENCB, M, P,
                         _reversal, payment.CapTokenSeq)
AUTH_REV_RES: Final = _T("AuthRevRes", 9, payment.AuthRevResData, oids.ID_AUTH_REV_RES_TBS, ENCB, P, M,
                         _reversal, payment.AuthResBaggage)
CAP_REQ: Final = _T("CapReq", 10, payment.CapReqData, oids.ID_CAP_REQ_TBS, ENCB, M, P,
                    _tags("cap_rr_tags"), payment.CapTokenSeq)
CAP_RES: Final = _T("CapRes", 11, payment.CapResData, oids.ID_CAP_RES_DATA, ENC, P, M, _tags("cap_rr_tags"))
CAP_REV_REQ: Final = _T("CapRevReq", 12, payment.CapRevOrCredReqData, oids.ID_CAP_REV_REQ_TBS, ENCB, M, P,
                        _tags("rr_tags"), payment.CapTokenSeq)
CAP_REV_RES: Final = _T("CapRevRes", 13, payment.CapRevOrCredResData, oids.ID_CAP_REV_RES_DATA, ENC, P, M,
                        _tags("rr_tags"))
CRED_REQ: Final = _T("CredReq", 14, payment.CapRevOrCredReqData, oids.ID_CRED_REQ_TBS, ENCB, M, P,
                     _tags("rr_tags"), payment.CapTokenSeq)
CRED_RES: Final = _T("CredRes", 15, payment.CapRevOrCredResData, oids.ID_CRED_RES_DATA, ENC, P, M, _tags("rr_tags"))
CRED_REV_REQ: Final = _T("CredRevReq", 16, payment.CapRevOrCredReqData, oids.ID_CRED_REV_REQ_TBS, ENCB, M, P,
                         _tags("rr_tags"), payment.CapTokenSeq)
CRED_REV_RES: Final = _T("CredRevRes", 17, payment.CapRevOrCredResData, oids.ID_CRED_REV_RES_DATA, ENC, P, M,
                         _tags("rr_tags"))
PCERT_REQ: Final = _T("PCertReq", 18, batch.PCertReqData, oids.ID_PCERT_REQ_DATA, S, M, P, _tags("pcert_rr_tags"))
PCERT_RES: Final = _T("PCertRes", 19, batch.PCertResData, oids.ID_PCERT_RES_TBS, S, P, M, _tags("pcert_rr_tags"))
BATCH_ADMIN_REQ: Final = _T("BatchAdminReq", 20, batch.BatchAdminReqData, oids.ID_BATCH_ADMIN_REQ_DATA, ENC, M, P,
                            _tags("batch_admin_rr_tags"))
BATCH_ADMIN_RES: Final = _T("BatchAdminRes", 21, batch.BatchAdminResData, oids.ID_BATCH_ADMIN_RES_DATA, ENC, P, M,
                            _tags("batch_admin_rr_tags"))
# fmt: on

MESSAGES: Final[dict[int, MessageType[Any]]] = {
    entry.tag: entry
    for entry in (
        *(PINIT_REQ, PINIT_RES, PREQ, PRES, INQ_REQ, INQ_RES),
        *(AUTH_REQ, AUTH_RES, AUTH_REV_REQ, AUTH_REV_RES, CAP_REQ, CAP_RES),
        *(CAP_REV_REQ, CAP_REV_RES, CRED_REQ, CRED_RES, CRED_REV_REQ, CRED_REV_RES),
        *(PCERT_REQ, PCERT_RES, BATCH_ADMIN_REQ, BATCH_ADMIN_RES),
    )
}
"""Number → message."""

RESPONSES: Final[dict[int, MessageType[Any]]] = {
    request: MESSAGES[request + 1] for request in MESSAGES if request % 2 == 0
}
"""Number of a request → the message that answers it: in SET's CHOICE the response follows its request."""

ERROR_TAG: Final = 999
"""Error has no fixed sender and recipient and is in no conversation, so it stands outside the table."""
