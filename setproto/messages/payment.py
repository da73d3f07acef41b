"""Merchant ↔ gateway: authorisations and what is done with them (set-protocol.md §2.9–2.12).

Captures, their reversals, credits and theirs share two structures, as in SET.  Batches are in ``batch``.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.x509 import ObjectIdentifier

from pki.der import Default, Implicit, Redacted, Size, sequence
from setproto.amounts import CurrencyAmount
from setproto.messages.codes import AcqCardCode, AuthCode, AuthRevCode, CapCode, CapRevOrCredCode
from setproto.messages.common import (
    RRPID,
    XID,
    BodyHead,
    Date,
    Digest,
    Extensions,
    InstallRecurData,
    Nonce,
    RRTags,
    Sealed,
    Thumbs,
    TransIDs,
    check_numbers,
)
from setproto.messages.purchase import PAN_FIELD, PI


@sequence
class EncB:
    """SET's operator EncB: a sealed, signed body linked to baggage that travels beside it."""

    enc: Sealed
    baggage: bytes
    """DER of the baggage; the signed body holds its digest, so it cannot be exchanged."""


# --- authorisation ------------------------------------------------------------------------------


@sequence
class AuthTags:
    """Which purchase, in which request."""

    auth_rr_tags: RRTags
    trans_ids: TransIDs
    auth_ret_num: Annotated[int | None, Implicit(0)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class CheckDigests:
    """HOIData and HOD as the merchant computed them itself, for the gateway to compare."""

    hoi_data: Digest
    hod2: Digest


@sequence
class MerchData:
    """ISO 18245 category of the merchant."""

    merch_cat_code: Annotated[str | None, Implicit(0)] = None


@sequence
class AuthReqPayload:
    """What is to be authorised.  ``subsequent_auth_ind``: another authorisation will follow (split shipment)."""

    subsequent_auth_ind: Annotated[bool, Default(False)] = False
    auth_req_amt: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    merch_data: MerchData
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class AuthReqItem:
    """Tags, digests to be checked, payload.  No digests where the instruction is a token of the gateway's own."""

    auth_tags: AuthTags
    check_digests: Annotated[CheckDigests | None, Implicit(0)] = None
    auth_req_payload: AuthReqPayload


@sequence
class SaleDetail:
    """Details of a capture."""

    batch_id: Annotated[int | None, Implicit(0)] = None
    mer_order_num: Annotated[str | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class AuthReqData:
    """The signed body of AuthReq.  ``capture_now`` makes it a sale."""

    head: BodyHead
    baggage_digest: Digest
    auth_req_item: AuthReqItem
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    capture_now: Annotated[bool, Default(False)] = False
    sale_detail: Annotated[SaleDetail | None, Implicit(1)] = None
    extensions: Annotated[Extensions, Implicit(2)] = None


@sequence
class AuthToken:
    """Sealed by the gateway to itself: authorises again in place of the PI.  The merchant cannot read it.

    As in a PI, the account data has a seal of its own.
    """

    auth_rrpid: RRPID
    sealed_token: Sealed
    sealed_pan: Sealed


@sequence
class AuthTokenData:
    """What a gateway needs to know when it authorises again.

    ``generation`` counts the authorisations made (SET: RecurringCount); the gateway remembers the last one of
    every purchase, so an old token is of no use.
    """

    xid: XID
    lid_c: bytes
    lid_m: bytes
    merchant_id: Annotated[str, Size(min=1, max=64)]
    purch_amt: CurrencyAmount
    hpi_data: Digest
    trans_stain: Annotated[bytes, Size.exact(20)]
    generation: int
    prev_auth_date_time: Date
    total_auth_amount: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None


@sequence
class PANToken(Redacted):
    """Account data without PANSecret, inside a token of the gateway; the PAN padded as in PANData."""

    pan: Annotated[str, Size.exact(PAN_FIELD)]
    card_expiry: Annotated[str, Size.exact(6)]
    ex_nonce: Nonce


@sequence
class PaymentInstruction:
    """The baggage of AuthReq: the cardholder's PI, or the token of an earlier authorisation."""

    pi: Annotated[PI | None, Implicit(0)] = None
    auth_token: Annotated[AuthToken | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if (self.pi is None) == (self.auth_token is None):
            raise ValueError("either a PI or a token")


@sequence
class ResponseData:
    """What the card network said, as far as the merchant may know it."""

    approval_code: Annotated[str | None, Implicit(0)] = None
    log_ref_id: Annotated[str | None, Implicit(1)] = None


@sequence
class AuthHeader:
    """The answer to an authorisation."""

    auth_amt: CurrencyAmount
    auth_code: AuthCode
    response_data: ResponseData


@sequence
class CapResPayload:
    """The answer to one capture."""

    cap_code: CapCode
    cap_amt: CurrencyAmount
    batch_id: Annotated[int | None, Implicit(0)] = None
    batch_sequence_num: Annotated[int | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class AuthResPayload:
    """The answer, and the capture if the request was a sale."""

    auth_header: AuthHeader
    cap_res_payload: Annotated[CapResPayload | None, Implicit(0)] = None


@sequence
class AuthResData:
    """The signed body of AuthRes: names the merchant (in ``head``) and hashes the AuthReq (fixes W-2; PX-5)."""

    head: BodyHead
    baggage_digest: Digest
    request_digest: Digest
    auth_tags: AuthTags
    pe_thumb: Digest
    auth_res_payload: AuthResPayload
    extensions: Annotated[Extensions, Implicit(0)] = None


@sequence
class AuthResBaggage:
    """What the merchant keeps unread: tokens, and a message for the cardholder."""

    cap_token: Annotated[Sealed | None, Implicit(0)] = None
    acq_card_msg: Annotated[Sealed | None, Implicit(1)] = None
    auth_token: Annotated[AuthToken | None, Implicit(2)] = None


@sequence
class AcqCardCodeMsg:
    """From the acquirer to the cardholder, under the cardholder's back key, carried unread by the merchant."""

    acq_card_code: AcqCardCode
    acq_card_text: Annotated[str | None, Implicit(0)] = None
    acq_card_url: Annotated[str | None, Implicit(1)] = None
    acq_card_phone: Annotated[str | None, Implicit(2)] = None


@sequence
class CapTokenData:
    """Sealed by the gateway to itself: names the one authorisation and merchant for which it is good."""

    xid: XID
    auth_rrpid: RRPID
    merchant_id: Annotated[str, Size(min=1, max=64)]
    auth_amt: CurrencyAmount


# --- reversal of an authorisation ---------------------------------------------------------------


@sequence
class AuthRevReqData:
    """The signed body of AuthRevReq; its baggage is the CapToken.  ``auth_new_amt`` of 0 cancels."""

    head: BodyHead
    baggage_digest: Digest
    auth_rev_rr_tags: RRTags
    trans_ids: TransIDs
    auth_rrpid: RRPID
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    auth_new_amt: CurrencyAmount
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class AuthRevResData:
    """The signed body of AuthRevRes; its baggage is the CapToken for what is left, if anything is."""

    head: BodyHead
    baggage_digest: Digest
    request_digest: Digest
    auth_rev_rr_tags: RRTags
    trans_ids: TransIDs
    auth_rrpid: RRPID
    pe_thumb: Digest
    auth_rev_code: AuthRevCode
    auth_new_amt: CurrencyAmount
    extensions: Annotated[Extensions, Implicit(0)] = None


# --- capture ------------------------------------------------------------------------------------


@sequence
class CapPayload:
    """What is to be captured.

    ``cap_num`` counts the captures of one authorisation, so that several part captures are told from one that
    is asked for twice; SET knows only one capture per authorisation.
    """

    cap_date: Date
    cap_req_amt: CurrencyAmount
    cap_num: int
    sale_detail: Annotated[SaleDetail | None, Implicit(0)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class CapItem:
    """One capture; the items of a request are independent of each other."""

    trans_ids: TransIDs
    auth_rrpid: RRPID
    cap_payload: CapPayload


@sequence
class CapReqData:
    """The signed body of CapReq; its baggage is the CapTokenSeq."""

    head: BodyHead
    baggage_digest: Digest
    cap_rr_tags: RRTags
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    cap_item_seq: Annotated[list[CapItem], Size(min=1, max=100)]
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class CapTokenSeq:
    """One token per item, in order; an empty one where there is none."""

    tokens: Annotated[list[Sealed], Size(min=1, max=100)]


@sequence
class CapResItem:
    """The answer to the item in the same place."""

    trans_ids: TransIDs
    auth_rrpid: RRPID
    cap_res_payload: CapResPayload


@sequence
class CapResData:
    """The signed body of CapRes."""

    head: BodyHead
    request_digest: Digest
    cap_rr_tags: RRTags
    pe_thumb: Digest
    cap_res_item_seq: Annotated[list[CapResItem], Size(min=1, max=100)]
    extensions: Annotated[Extensions, Implicit(0)] = None


# --- capture reversal, credit, credit reversal --------------------------------------------------


@sequence
class CapRevOrCredReqItem:
    """Which capture is taken back, or credited, or which of its credits is taken back.

    ``cap_num`` names the capture, ``cred_num`` the credit, each counted from 1.  ``new_batch_id``: where a credit
    goes if not into the current batch.  There is no NewAccountInd: it would need a card number from the merchant.
    """

    trans_ids: TransIDs
    auth_rrpid: RRPID
    cap_num: int
    cred_num: Annotated[int | None, Implicit(0)] = None
    new_batch_id: Annotated[int | None, Implicit(1)] = None
    date: Date
    amount: CurrencyAmount

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class CapRevOrCredReqData:
    """The signed body of CapRevReq, CredReq and CredRevReq; its baggage is the CapTokenSeq."""

    head: BodyHead
    baggage_digest: Digest
    rr_tags: RRTags
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    item_seq: Annotated[list[CapRevOrCredReqItem], Size(min=1, max=100)]
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class CapRevOrCredResItem:
    """The answer to the item in the same place."""

    trans_ids: TransIDs
    auth_rrpid: RRPID
    code: CapRevOrCredCode
    actual_amt: CurrencyAmount
    batch_id: Annotated[int | None, Implicit(0)] = None
    batch_sequence_num: Annotated[int | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class CapRevOrCredResData:
    """The signed body of CapRevRes, CredRes and CredRevRes."""

    head: BodyHead
    request_digest: Digest
    rr_tags: RRTags
    pe_thumb: Digest
    res_item_seq: Annotated[list[CapRevOrCredResItem], Size(min=1, max=100)]
    extensions: Annotated[Extensions, Implicit(0)] = None


ACQ_BACK_ALG = ObjectIdentifier("2.16.840.1.101.3.4.1.46")
"""AES-256-GCM: the one algorithm under which an acquirer answers a cardholder."""
