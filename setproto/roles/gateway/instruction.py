"""What authorises: the cardholder's payment instruction, or a token that the gateway made of one earlier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.x509 import ObjectIdentifier

from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.card import PAN, Card, CardExpiry, cardholder_name
from setproto.crypto.cms import SecretKey, seal, unseal
from setproto.crypto.digests import derive_key, equal
from setproto.crypto.dual import Part, View
from setproto.errors import DecryptionFailure, ErrorCode, ProtocolError, SignatureFailure
from setproto.messages.codes import AuthCode
from setproto.messages.common import PartyID, Role, TransIDs, unknown_critical
from setproto.messages.oids import (
    ID_AUTH_TOKEN_PAN,
    ID_AUTH_TOKEN_TBS,
    ID_CAP_TOKEN_DATA,
    ID_OI_DATA,
    ID_PAN_DATA,
    ID_PI_DATA,
    ID_PI_OI_LINK,
)
from setproto.messages.payment import (
    AuthReqData,
    AuthToken,
    AuthTokenData,
    CapTokenData,
    PANToken,
    PaymentInstruction,
)
from setproto.messages.purchase import (
    PAN_FIELD,
    PI,
    PURCHASE,
    AcqBackKeyData,
    PANData,
    PIData,
    PIHead,
    PIOILink,
    PISeals,
)
from setproto.roles.credentials import party_of
from setproto.roles.endpoint import seals_part
from setproto.roles.gateway.records import AuthorizationRecord, PurchaseRecord
from setproto.roles.operations import live_sum
from setproto.roles.party import Received, decoded, same_purchase
from setproto.roles.ports import AuthorizationDecision

if TYPE_CHECKING:
    from setproto.roles.gateway import Gateway


class Refused(Exception):
    """Internal: an AuthReq that is answered with a code other than approved."""

    def __init__(self, code: AuthCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Instruction:
    """What the cardholder agreed to, whether it was read from a PI or from a token made of one."""

    card: Card
    trans_stain: bytes
    hpi_data: bytes
    purch_amt: CurrencyAmount
    generation: int
    """0 for a PI; for a token, how many authorisations came before."""
    back_key: AcqBackKeyData | None = None


class TokenKeys:
    """The gateway's keys for what it seals to itself: one per kind, all from one secret of 32 octets."""

    def __init__(self, secret: bytes) -> None:
        self.capture, self.authorization, self.account = (
            SecretKey(derive_key(name, secret), name.encode()) for name in ("CapToken", "AuthToken", "PANToken")
        )


# --- the cardholder's PI ------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenedPI:
    """A payment instruction whose dual signature was verified: the cardholder agreed to exactly this."""

    head: PIHead
    pan_data: PANData
    hpi_data: bytes
    hoi_data: bytes


@dataclass(frozen=True)
class Carried:
    """What an AuthReq carries, a PI opened before the transaction, and what the bank says to it once it was asked."""

    token: AuthToken | None
    pi: Instruction | ProtocolError | Refused | None
    """Or why it is none: that is said only when it is this request's turn."""
    decision: AuthorizationDecision | None = None


def opened(gateway: Gateway, received: Received[AuthReqData]) -> Received[AuthReqData]:
    """The request with a :class:`Carried` in the place of its baggage."""
    baggage: PaymentInstruction = received.baggage
    body, merchant = received.body, party_of(received.signed_by(), Role.merchant)
    pi: Instruction | ProtocolError | Refused | None = None
    if baggage.pi is not None and baggage.auth_token is None:
        try:
            pi = from_pi(gateway, open_pi(gateway, baggage.pi, body.auth_req_item.auth_tags.trans_ids), body, merchant)
        except (ProtocolError, Refused) as failure:
            pi = failure
    return replace(received, baggage=Carried(baggage.auth_token, pi))


def open_pi(gateway: Gateway, pi: PI, trans_ids: TransIDs) -> OpenedPI:
    """Open both seals and verify the dual signature over what was in them (§3.5, §4.12 steps 2 and 4c).

    The seals are bound to the cardholder and request that the PI claims; the name is then compared with the
    certificate that signed.  DecryptionFailure, SignatureFailure or another ProtocolError.
    """
    seals = decoded(PISeals, pi.seals)
    bulk = gateway.context(ID_PI_OI_LINK, seals.cardholder, gateway.party, trans_ids.xid, seals.rrpid)
    account = gateway.context(ID_PAN_DATA, seals.cardholder, gateway.party, trans_ids.xid, seals.rrpid)
    key = gateway.exchange_key()
    sealed_pi = unseal(seals.sealed_pi, key, context=bulk)
    sealed_pan = unseal(seals.sealed_pan, key, context=account)
    try:
        link = decoded(PIOILink, sealed_pi.content)
        pan_data = decoded(PANData, sealed_pan.content)
    except ProtocolError:
        raise DecryptionFailure from None  # what is inside must not show through the error
    payment = Part(ID_PI_DATA, encode(PIData(pi_head=link.pi_head, pan_data=pan_data)), link.pi_salt)
    view = View((payment, seals_part(pi, seals)), {ID_OI_DATA: link.hoi_data}, pi.pi_signature)
    verified = PURCHASE.verify(view, suite=gateway.suite, certify=gateway.certify(Role.cardholder))
    signer = party_of(verified.signer, Role.cardholder)
    if signer != seals.cardholder:
        raise SignatureFailure("the payment instruction is another cardholder's")
    gateway.check_head(link.pi_head.head, ID_PI_DATA, signer, gateway.party, None)
    unknown = unknown_critical(link.pi_head.extensions)
    if unknown is not None:
        raise ProtocolError("critical extension", code=ErrorCode.unrecognizedExtension, oid=unknown.dotted_string)
    return OpenedPI(link.pi_head, pan_data, verified.digests[ID_PI_DATA], link.hoi_data)


def from_pi(gateway: Gateway, pi: OpenedPI, body: AuthReqData, merchant: PartyID) -> Instruction:
    """§4.12 for a PI: order, payment, merchant and gateway belong together.  The first mismatch is the answer."""
    item, head = body.auth_req_item, pi.head
    digests = item.check_digests
    if not same_purchase(item.auth_tags.trans_ids, head.trans_ids):
        raise Refused(AuthCode.piAuthMismatch, "another purchase")
    if head.gateway_id != gateway.party or head.pe_thumb != gateway.own_exchange_thumb():
        raise Refused(AuthCode.piAuthMismatch, "paid through another gateway")
    if head.merchant_id != merchant:
        raise Refused(AuthCode.piAuthMismatch, "paid to another merchant")
    if digests is None or not equal(digests.hoi_data, pi.hoi_data) or not equal(digests.hod2, head.inputs.hod):
        raise Refused(AuthCode.piAuthMismatch, "cardholder and merchant mean different orders")
    if item.auth_req_payload.install_recur_data != head.install_recur_data:
        raise Refused(AuthCode.installRecurMismatch, "instalments or recurring payments differ")
    try:
        card, secret = pi.pan_data.card(gateway.party.brand), pi.pan_data.secret()
    except ValueError:
        raise Refused(AuthCode.invalidTransaction, "not a card number") from None
    expected = cardholder_name(card.pan, card.expiry, secret)
    if not equal(expected.encode(), head.head.sender.name.encode()):
        raise Refused(AuthCode.piAuthMismatch, "the certificate is for another card")
    return Instruction(card, head.trans_stain, pi.hpi_data, head.inputs.purch_amt, 0, back_key=head.acq_back_key_data)


# --- tokens of the gateway to itself ------------------------------------------------------------


def auth_token(gateway: Gateway, record: PurchaseRecord, auth_rrpid: bytes, instruction: Instruction) -> AuthToken:
    """What stands for the PI in the next AuthReq (§2.9): the account data under a seal of its own."""
    ids = record.trans_ids
    data = AuthTokenData(
        xid=ids.xid,
        lid_c=ids.lid_c,
        lid_m=ids.lid_m,
        merchant_id=record.merchant.name,
        purch_amt=record.purch_amt,
        hpi_data=record.hpi_data,
        trans_stain=instruction.trans_stain,
        generation=record.generation,
        prev_auth_date_time=general_time(gateway.clock()),
        total_auth_amount=live_sum(record.authorizations, record.purch_amt),
        install_recur_data=record.install_recur_data,
    )
    account = PANToken(
        pan=instruction.card.pan.reveal().ljust(PAN_FIELD),
        card_expiry=instruction.card.expiry.reveal(),
        ex_nonce=gateway.random(32),
    )
    keys = gateway.token_keys
    return AuthToken(
        auth_rrpid=auth_rrpid,
        sealed_token=seal(
            encode(data), keys.authorization, context=_own(gateway, ID_AUTH_TOKEN_TBS, ids.xid, auth_rrpid)
        ),
        sealed_pan=seal(encode(account), keys.account, context=_own(gateway, ID_AUTH_TOKEN_PAN, ids.xid, auth_rrpid)),
    )


def from_token(gateway: Gateway, token: AuthToken, body: AuthReqData, record: PurchaseRecord | None) -> Instruction:
    """§4.12 step 4a: a token that this gateway made, for this purchase and merchant, and the last one it made."""
    xid = body.auth_req_item.auth_tags.trans_ids.xid
    keys = gateway.token_keys
    try:
        sealed = unseal(
            token.sealed_token, keys.authorization, context=_own(gateway, ID_AUTH_TOKEN_TBS, xid, token.auth_rrpid)
        )
        account = unseal(
            token.sealed_pan, keys.account, context=_own(gateway, ID_AUTH_TOKEN_PAN, xid, token.auth_rrpid)
        )
    except DecryptionFailure:
        raise Refused(AuthCode.piAuthMismatch, "not a token for this purchase") from None
    data, pan = decode(AuthTokenData, sealed.content), decode(PANToken, account.content)
    # The key that opened is this gateway's alone, so the token is genuine; is it this merchant's, and the latest?
    if record is None or data.hpi_data != record.hpi_data or data.merchant_id != record.merchant.name:
        raise Refused(AuthCode.piAuthMismatch, "a token of another purchase")
    if data.generation != record.generation:
        raise Refused(AuthCode.piPreviouslyUsed, "an old token")
    if body.auth_req_item.auth_req_payload.install_recur_data != record.install_recur_data:
        raise Refused(AuthCode.installRecurMismatch, "instalments or recurring payments differ")
    card = Card(gateway.party.brand, PAN(pan.pan.rstrip(" ")), CardExpiry(pan.card_expiry))
    return Instruction(card, data.trans_stain, data.hpi_data, data.purch_amt, data.generation)


def cap_token(gateway: Gateway, record: PurchaseRecord, authorization: AuthorizationRecord) -> bytes:
    """What stands for an authorisation in a capture: the merchant can show it, not read or change it (§3.7)."""
    data = CapTokenData(
        xid=record.trans_ids.xid,
        auth_rrpid=authorization.auth_rrpid,
        merchant_id=record.merchant.name,
        auth_amt=authorization.amount,
    )
    context = _own(gateway, ID_CAP_TOKEN_DATA, data.xid, data.auth_rrpid)
    return seal(encode(data), gateway.token_keys.capture, context=context)


def cap_token_fits(gateway: Gateway, token: bytes, record: PurchaseRecord, authorization: AuthorizationRecord) -> bool:
    """Whether this gateway made the token for this authorisation as it stands now (a reduction makes a new one)."""
    context = _own(gateway, ID_CAP_TOKEN_DATA, record.trans_ids.xid, authorization.auth_rrpid)
    try:
        data = decode(CapTokenData, unseal(token, gateway.token_keys.capture, context=context).content)
    except DecryptionFailure:
        return False
    return data.merchant_id == record.merchant.name and data.auth_amt == authorization.amount


def instruction_of(gateway: Gateway, carried: Carried, body: AuthReqData, record: PurchaseRecord | None) -> Instruction:
    """The instruction that an AuthReq carries, checked.  Refused with the AuthCode, or a ProtocolError."""
    if carried.token is not None:
        return from_token(gateway, carried.token, body, record)
    if carried.pi is None:
        raise ProtocolError("neither PI nor token", code=ErrorCode.decodingFailure)
    if not isinstance(carried.pi, Instruction):
        raise carried.pi
    return carried.pi


def check_limits(gateway: Gateway, record: PurchaseRecord) -> None:
    """Instalments and recurring payments stay within what the cardholder signed (§4.17; PX-16)."""
    agreed = record.install_recur_data
    if agreed is None:
        return
    now = gateway.clock()
    if agreed.install_total_trans is not None and record.generation >= agreed.install_total_trans:
        raise Refused(AuthCode.installRecurMismatch, "all instalments are authorised")
    if agreed.recurring is not None:
        if now > agreed.recurring.recurring_expiry.as_datetime():
            raise Refused(AuthCode.recurringExpired, "the last date has passed")
        pause = timedelta(days=agreed.recurring.recurring_frequency)
        if record.prev_auth is not None and now < record.prev_auth.as_datetime() + pause:
            raise Refused(AuthCode.recurringTooSoon, "too soon after the last payment")


def _own(gateway: Gateway, content_type: ObjectIdentifier, xid: bytes, auth_rrpid: bytes) -> bytes:
    """The context of what the gateway seals to itself."""
    return gateway.context(content_type, gateway.party, gateway.party, xid, auth_rrpid)
