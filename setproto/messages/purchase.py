"""Cardholder ↔ merchant: PInitReq/Res, PReq/PRes, InqReq/Res (set-protocol.md §2.5–2.8)."""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import Implicit, Redacted, Size, sequence
from setproto.amounts import CurrencyAmount, Ratio
from setproto.card import PAN, Card, CardExpiry, PANSecret
from setproto.crypto.dual import Form
from setproto.messages.codes import AuthCode, CapCode, CapRevOrCredCode, CompletionCode
from setproto.messages.common import (
    RRPID,
    BodyHead,
    Challenge,
    Date,
    Digest,
    Extensions,
    InstallRecurData,
    Language,
    LocalID,
    Nonce,
    PartyID,
    Sealed,
    Signed,
    Text40,
    Thumbs,
    TransIDs,
)
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS, ID_PI_TBS

PAN_FIELD: Final = 19
"""Characters of a PAN on the wire: those of the longest (ISO/IEC 7812-1)."""

PURCHASE: Final = Form(ID_PI_TBS, (ID_PI_DATA, ID_OI_DATA, ID_PI_SEALS))
"""The dual signature of a purchase: over the digests of PIData (HPIData), of OIData (HOIData), and of the sealed
objects as they travel, which merchant and gateway both see: so they agree on the envelope too (fixes W-4)."""


@sequence
class PInitReq:
    """Plain.  No BIN: a wallet tells the merchant its brand, not its bank (fixes C-7)."""

    rrpid: RRPID
    language: Language
    lid_c: LocalID
    lid_m: LocalID
    chall_c: Challenge
    brand_id: Text40
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class PInitResData:
    """Signed by the merchant; binds the unsigned request by its hash."""

    head: BodyHead
    request_digest: Digest
    trans_ids: TransIDs
    rrpid: RRPID
    chall_c: Challenge
    chall_m: Challenge
    gateway_id: PartyID
    pe_thumb: Digest
    """Thumbprint of Cert-PE, the gateway's key-exchange certificate to be used in PReq."""
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class HODInput:
    """The order as cardholder and merchant each know it.  Never sent; both build it and compare its digest."""

    od: bytes
    purch_amt: CurrencyAmount
    od_salt: Nonce
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    od_extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class OIData:
    """The order information: in full to the merchant, as a digest (HOIData) to the gateway.

    Names the merchant, the gateway and its certificate (fixes W-1, W-6).
    """

    head: BodyHead
    trans_ids: TransIDs
    rrpid: RRPID
    chall_c: Challenge
    hod: Digest
    od_salt: Nonce
    chall_m: Challenge
    brand_id: Text40
    merchant_id: PartyID
    gateway_id: PartyID
    pe_thumb: Digest
    od_ext_oids: Annotated[list[ObjectIdentifier] | None, Implicit(0)] = None
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class PIInputs:
    """HOD without the order, and the amount."""

    hod: Digest
    purch_amt: CurrencyAmount


@sequence
class AcqBackKeyData(Redacted):
    """A key with which the acquirer can answer the cardholder through the merchant, unread."""

    acq_back_alg: ObjectIdentifier
    acq_back_key: Nonce


@sequence
class PIHead:
    """The payment instruction without the account data: for the gateway alone."""

    head: BodyHead
    trans_ids: TransIDs
    inputs: PIInputs
    merchant_id: PartyID
    gateway_id: PartyID
    pe_thumb: Digest
    trans_stain: Annotated[bytes, Size.exact(20)]
    sw_ident: Annotated[str, Size(min=1, max=256)]
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    acq_back_key_data: Annotated[AcqBackKeyData | None, Implicit(1)] = None
    extensions: Annotated[Extensions, Implicit(2)] = None


@sequence
class PANData(Redacted):
    """The account data.  Sealed on its own to the gateway (PU-10); prints as a placeholder.

    The PAN is padded with blanks to 19 characters, so that the length of the sealed object does not tell how many
    digits it has (PX-3).
    """

    pan: Annotated[str, Size.exact(PAN_FIELD)]
    card_expiry: Annotated[str, Size.exact(6)]
    pan_secret: Nonce
    ex_nonce: Nonce

    @classmethod
    def of(cls, card: Card, pan_secret: PANSecret, ex_nonce: bytes) -> PANData:
        """The account data of a card; ``ex_nonce``: 32 fresh random octets."""
        pan = card.pan.reveal().ljust(PAN_FIELD)
        return cls(pan=pan, card_expiry=card.expiry.reveal(), pan_secret=pan_secret.reveal(), ex_nonce=ex_nonce)

    def card(self, brand: str) -> Card:
        """The card, in types that redact themselves.  ValueError if PAN or expiry is not well-formed."""
        return Card(brand, PAN(self.pan.rstrip(" ")), CardExpiry(self.card_expiry))

    def secret(self) -> PANSecret:
        """PANSecret, in a type that redacts itself."""
        return PANSecret(self.pan_secret)


@sequence
class PIData(Redacted):
    """What HPIData is the digest of: the whole payment instruction."""

    pi_head: PIHead
    pan_data: PANData


@sequence
class PIOILink(Redacted):
    """The bulk part of a sealed PI: PIHead, the salt of PIData, and HOIData, the link to the order."""

    pi_head: PIHead
    pi_salt: Nonce
    hoi_data: Digest


@sequence
class PISeals:
    """The payment instruction as the merchant sees it: sealed, twice, and by whom in which request.

    Two sealed objects instead of SET's account data inside the OAEP block: the property (losing the content
    key of the bulk does not reveal the PAN) stays, and suites without OAEP have it too (docs/adr/0003).
    ``cardholder`` and ``rrpid`` (of the PReq) are what the seals are bound to.
    """

    cardholder: PartyID
    rrpid: RRPID
    sealed_pi: Sealed
    sealed_pan: Sealed


@sequence
class PI:
    """PIDualSigned: what the merchant gets from the cardholder and forwards unopened.

    ``seals`` is the DER of PISeals, a part of the dual signature; its RRPID, which is fresh, is its salt.
    """

    seals: bytes
    pi_signature: Signed


@sequence
class OI:
    """OIDualSigned: OIData in full with its salt, and the digest of the payment instruction."""

    oi_data: bytes
    oi_salt: Nonce
    hpi_data: Digest


@sequence
class PReq:
    """PReqDualSigned, the only form here: unsigned purchases are left out (W-7)."""

    pi: PI
    oi: OI


@sequence
class AuthStatus:
    """What became of an authorisation."""

    auth_date: Date
    auth_code: AuthCode
    auth_ratio: Ratio


@sequence
class CapStatus:
    """What became of a capture."""

    cap_date: Date
    cap_code: CapCode
    cap_ratio: Ratio


@sequence
class CreditStatus:
    """What became of a credit."""

    credit_date: Date
    cap_rev_or_cred_code: CapRevOrCredCode
    credit_ratio: Ratio


@sequence
class Results:
    """Per authorisation: only what has happened, and was not taken back, is there."""

    acq_card_msg: Annotated[Sealed | None, Implicit(0)] = None
    auth_status: Annotated[AuthStatus | None, Implicit(1)] = None
    cap_status: Annotated[CapStatus | None, Implicit(2)] = None
    cred_status_seq: Annotated[list[CreditStatus] | None, Implicit(3)] = None


@sequence
class PResPayload:
    """One per authorisation made so far."""

    completion_code: CompletionCode
    results: Annotated[Results | None, Implicit(0)] = None
    extensions: Annotated[Extensions, Implicit(1)] = None


MAX_PAYLOADS: Final = 64
"""Of one PRes: a subscription has more authorisations in time, of which the latest are told."""


@sequence
class PResData:
    """PRes and InqRes: shares of PurchAmt, not amounts, since it is signed but not encrypted."""

    head: BodyHead
    request_digest: Digest
    trans_ids: TransIDs
    rrpid: RRPID
    chall_c: Challenge
    pres_payload_seq: Annotated[list[PResPayload], Size(min=1, max=MAX_PAYLOADS)]
    extensions: Annotated[Extensions, Implicit(0)] = None


@sequence
class InqReqData:
    """Signed with the certificate of the PReq: nobody asks about another's purchase."""

    head: BodyHead
    trans_ids: TransIDs
    rrpid: RRPID
    chall_c2: Challenge
    extensions: Annotated[Extensions, Implicit(0)] = None
