"""Merchant ↔ gateway: AuthReq/Res, CapReq/Res and the token between them (set-protocol.md §2.9, §2.11)."""

from __future__ import annotations

from typing import Annotated

from pki.der import Default, Implicit, Size, sequence
from setproto.amounts import CurrencyAmount
from setproto.messages.codes import AuthCode, CapCode
from setproto.messages.common import (
    RRPID,
    BodyHead,
    Date,
    Digest,
    Extensions,
    InstallRecurData,
    RRTags,
    Sealed,
    Thumbs,
    TransIDs,
)


@sequence
class EncB:
    """SET's operator EncB: a sealed, signed body linked to baggage that travels beside it."""

    enc: Sealed
    baggage: bytes
    """DER of the baggage; the signed body holds its digest, so it cannot be exchanged."""


@sequence
class AuthTags:
    """Which purchase, in which request."""

    auth_rr_tags: RRTags
    trans_ids: TransIDs
    auth_ret_num: Annotated[int | None, Implicit(0)] = None


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
    """What is to be authorised."""

    subsequent_auth_ind: Annotated[bool, Default(False)] = False
    auth_req_amt: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    merch_data: MerchData
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class AuthReqItem:
    """Tags, digests to be checked, payload."""

    auth_tags: AuthTags
    check_digests: Annotated[CheckDigests | None, Implicit(0)] = None
    auth_req_payload: AuthReqPayload


@sequence
class AuthReqData:
    """The signed body of AuthReq; its baggage is the PI."""

    head: BodyHead
    baggage_digest: Digest
    auth_req_item: AuthReqItem
    m_thumbs: Annotated[Thumbs | None, Implicit(0)] = None
    capture_now: Annotated[bool, Default(False)] = False
    extensions: Annotated[Extensions, Implicit(1)] = None


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
    pe_thumb: Annotated[bytes | None, Implicit(0)] = None
    auth_res_payload: AuthResPayload
    extensions: Annotated[Extensions, Implicit(1)] = None


@sequence
class AuthResBaggage:
    """What the merchant keeps unread: the token for the capture, a message for the cardholder."""

    cap_token: Annotated[Sealed | None, Implicit(0)] = None
    acq_card_msg: Annotated[Sealed | None, Implicit(1)] = None


@sequence
class CapTokenData:
    """Sealed by the gateway to itself: names the one authorisation and merchant for which it is good."""

    xid: bytes
    auth_rrpid: RRPID
    merchant_id: Annotated[str, Size(min=1, max=64)]
    auth_amt: CurrencyAmount


@sequence
class CapPayload:
    """What is to be captured."""

    cap_date: Date
    cap_req_amt: CurrencyAmount


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
    pe_thumb: Annotated[bytes | None, Implicit(0)] = None
    cap_res_item_seq: Annotated[list[CapResItem], Size(min=1, max=100)]
    extensions: Annotated[Extensions, Implicit(1)] = None
