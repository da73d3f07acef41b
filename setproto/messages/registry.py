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

from setproto.errors import ErrorCode, ProtocolError
from setproto.messages import batch, oids, payment, purchase, registration
from setproto.messages.common import Role, TransIDs

B = TypeVar("B")


class Operator(enum.Enum):
    """How a body is protected (set-protocol.md §1.4–1.8)."""

    PLAIN = "plain"
    S = "signed"
    DUAL = "dual-signed"
    ENC = "signed, then sealed"
    ENCB = "signed with a link to baggage, then sealed; baggage beside it"
    EXH = "sealed, with account data in a seal of its own"
    ENCX = "signed with the key to be certified, then sealed, with account data in a seal of its own"
    ENCK = "signed, then sealed under a key that the applicant made; for merchants and gateways signed only"
    SELF = "signed with the key whose certification is asked about"


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
    further: tuple[tuple[Role, Role], ...] = ()
    """Other pairs (sender, recipient): registration is the same for merchants and for gateways."""

    def recipient_from(self, sender: Role) -> Role:
        """Who gets it from a party in this role."""
        return dict(self.further).get(sender, self.recipient)

    def sender_to(self, recipient: Role) -> Role:
        """Who sends it to a party in this role.  ProtocolError (messageNotSupported) if that gets no such message."""
        if recipient is self.recipient:
            return self.sender
        for sender, to in self.further:
            if to is recipient:
                return sender
        raise ProtocolError(f"{self.name} is not for this role", code=ErrorCode.messageNotSupported)

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


def _rrpid(body: Any) -> tuple[bytes, TransIDs | None]:
    """Messages of registration: they have an RRPID and are about no purchase."""
    return body.rrpid, None


C, M, P = Role.cardholder, Role.merchant, Role.gateway
CCA, MCA, PCA = Role.cardholder_ca, Role.merchant_ca, Role.gateway_ca
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
CARD_C_INIT_REQ: Final = _T("CardCInitReq", 22, registration.CardCInitReq, oids.ID_CARD_C_INIT_REQ, PLAIN, C, CCA,
                            _rrpid)
CARD_C_INIT_RES: Final = _T("CardCInitRes", 23, registration.CardCInitResData, oids.ID_CARD_C_INIT_RES_TBS, S, CCA, C,
                            _rrpid)
ME_AQ_C_INIT_REQ: Final = _T("Me-AqCInitReq", 24, registration.MeAqCInitReq, oids.ID_ME_AQ_C_INIT_REQ, PLAIN, M, MCA,
                             _rrpid, further=((P, PCA),))
ME_AQ_C_INIT_RES: Final = _T("Me-AqCInitRes", 25, registration.MeAqCInitResData, oids.ID_ME_AQ_C_INIT_RES_TBS, S, MCA,
                             M, _rrpid, further=((PCA, P),))
REG_FORM_REQ: Final = _T("RegFormReq", 26, registration.RegFormReqData, oids.ID_REG_FORM_REQ_DATA, Operator.EXH, C, CCA,
                         _rrpid)
REG_FORM_RES: Final = _T("RegFormRes", 27, registration.RegFormResData, oids.ID_REG_FORM_RES_TBS, S, CCA, C, _rrpid)
CERT_REQ: Final = _T("CertReq", 28, registration.CertReqData, oids.ID_CERT_REQ_TBS, Operator.ENCX, C, CCA, _rrpid,
                     further=((M, MCA), (P, PCA)))
CERT_RES: Final = _T("CertRes", 29, registration.CertResData, oids.ID_CERT_RES_TBS, Operator.ENCK, CCA, C, _rrpid,
                     further=((MCA, M), (PCA, P)))
CERT_INQ_REQ: Final = _T("CertInqReq", 30, registration.CertInqReqData, oids.ID_CERT_INQ_REQ_TBS, Operator.SELF, C, CCA,
                         _rrpid, further=((M, MCA), (P, PCA)))
CERT_INQ_RES: Final = _T("CertInqRes", 31, registration.CertResData, oids.ID_CERT_INQ_RES_TBS, Operator.ENCK, CCA, C,
                         _rrpid, further=((MCA, M), (PCA, P)))
# fmt: on

MESSAGES: Final[dict[int, MessageType[Any]]] = {
    entry.tag: entry
    for entry in (
        *(PINIT_REQ, PINIT_RES, PREQ, PRES, INQ_REQ, INQ_RES),
        *(AUTH_REQ, AUTH_RES, AUTH_REV_REQ, AUTH_REV_RES, CAP_REQ, CAP_RES),
        *(CAP_REV_REQ, CAP_REV_RES, CRED_REQ, CRED_RES, CRED_REV_REQ, CRED_REV_RES),
        *(PCERT_REQ, PCERT_RES, BATCH_ADMIN_REQ, BATCH_ADMIN_RES),
        *(CARD_C_INIT_REQ, CARD_C_INIT_RES, ME_AQ_C_INIT_REQ, ME_AQ_C_INIT_RES, REG_FORM_REQ, REG_FORM_RES),
        *(CERT_REQ, CERT_RES, CERT_INQ_REQ, CERT_INQ_RES),
    )
}
"""Number → message."""

TRADE: Final = tuple(message for message in MESSAGES.values() if message.tag < CARD_C_INIT_REQ.tag)
"""What cardholder, merchant and gateway send each other about purchases; the rest is about registration."""

RESPONSES: Final[dict[int, MessageType[Any]]] = {
    request: MESSAGES[request + 1] for request in MESSAGES if request % 2 == 0
}
"""Number of a request → the message that answers it: in SET's CHOICE the response follows its request."""

ERROR_TAG: Final = 999
"""Error has no fixed sender and recipient and is in no conversation, so it stands outside the table."""
