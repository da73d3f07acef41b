"""The payment gateway: opens payment instructions, checks that order and payment belong together, asks the issuer.

Processing rules of set-protocol.md §4.12, §4.13, §4.15.  The only role that sees a card number, and it keeps none:
its records hold codes, amounts and digests.  State is one record per authorisation, named by merchant and XID.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pki import PathValidator, ValidatedCertificate
from pki.der import Implicit, decode, encode, sequence, value_set
from setproto.amounts import CurrencyAmount
from setproto.card import cardholder_name
from setproto.crypto.cms import SecretKey, seal, unseal
from setproto.crypto.digests import derive_key, equal
from setproto.crypto.dual import Part, View
from setproto.errors import DecryptionFailure, ErrorCode, ProtocolError, SignatureFailure
from setproto.messages.codes import AuthCode, CapCode
from setproto.messages.common import PartyID, Role, RRTags, TransIDs, unknown_critical
from setproto.messages.oids import (
    ID_CAP_TOKEN_DATA,
    ID_OI_DATA,
    ID_PAN_DATA,
    ID_PI_DATA,
    ID_PI_OI_LINK,
)
from setproto.messages.payment import (
    AuthHeader,
    AuthReqData,
    AuthResBaggage,
    AuthResData,
    AuthResPayload,
    CapItem,
    CapReqData,
    CapResData,
    CapResItem,
    CapResPayload,
    CapTokenData,
    ResponseData,
)
from setproto.messages.purchase import PI, PURCHASE, PANData, PIData, PIHead, PIOILink, PISeals
from setproto.messages.registry import AUTH_REQ, AUTH_RES, CAP_REQ, CAP_RES
from setproto.messages.wrapper import MessageIDs, Wire
from setproto.roles.endpoint import Credentials, Endpoint, Received, baggage_digest, decoded, party_of, seals_part
from setproto.roles.ports import (
    AuthorizationRequest,
    Clock,
    Event,
    EventKind,
    Issuer,
    Outgoing,
    RandomBytes,
    Reply,
    Store,
    Transaction,
)
from setproto.roles.table import TransitionTable

AUTHORIZATIONS = "authorizations"
USED_PI = "used_pi"


@value_set(int)
class State(enum.IntEnum):
    """Where an authorisation stands."""

    ASKED = 1
    DECLINED = 2
    OPEN = 3
    CAPTURED = 4


class Signal(enum.Enum):
    """What moves it."""

    ASK_AGAIN = "AuthReq with a new request for a PI that was declined"
    APPROVED = "the issuer approved"
    DECLINED = "the issuer did not approve"
    CAPTURED = "CapReq"


_S, _E = State, Signal
TABLE = TransitionTable(
    "gateway",
    State.ASKED,
    {
        (_S.ASKED, _E.APPROVED): _S.OPEN,
        (_S.ASKED, _E.DECLINED): _S.DECLINED,
        (_S.DECLINED, _E.ASK_AGAIN): _S.ASKED,
        (_S.OPEN, _E.CAPTURED): _S.CAPTURED,
    },
)


@sequence
class AuthorizationRecord:
    """One authorisation: no card data in it."""

    state: State
    xid: bytes
    lid_c: bytes
    lid_m: bytes
    merchant: PartyID
    auth_rrpid: bytes
    hpi_data: bytes
    auth_amt: CurrencyAmount
    captured: Annotated[CurrencyAmount | None, Implicit(0)] = None


@dataclass(frozen=True)
class OpenedPI:
    """A payment instruction whose dual signature was verified: the cardholder agreed to exactly this."""

    head: PIHead
    pan_data: PANData
    hpi_data: bytes
    hoi_data: bytes


class Refused(Exception):
    """Internal: an AuthReq that is answered with a code other than approved."""

    def __init__(self, code: AuthCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Gateway(Endpoint):
    """One gateway of one acquirer at one brand."""

    default_peer = Role.merchant

    def __init__(
        self,
        credentials: Credentials,
        issuer: Issuer,
        validator: PathValidator,
        store: Store,
        *,
        token_key: bytes,
        acquirer_bin: str,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
    ) -> None:
        """``token_key``: 32 secret octets for tokens to itself; ``acquirer_bin``: whose merchants it serves."""
        super().__init__(credentials, validator, store, clock=clock, random=random, held=held)
        self._issuer = issuer
        self._acquirer_bin = acquirer_bin
        self._token_key = SecretKey(derive_key("CapToken", token_key), b"CapToken")

    @property
    def token_key(self) -> SecretKey:
        """The key of this gateway's tokens to itself: for its owner, as ``exchange_key`` is.  Redacted."""
        return self._token_key

    def process(self, wire: Wire, transaction: Transaction) -> Reply:
        """AuthReq and CapReq, from merchants."""
        if wire.type is AUTH_REQ:
            auth = self.receive(wire, AUTH_REQ)
            tags = auth.body.auth_req_item.auth_tags.auth_rr_tags
            self._check_merchant(auth.signed_by(), tags)
            return self.once(transaction, auth, tags.rrpid, lambda: self._on_auth_req(transaction, auth))
        if wire.type is CAP_REQ:
            cap = self.receive(wire, CAP_REQ)
            tags = cap.body.cap_rr_tags
            self._check_merchant(cap.signed_by(), tags)
            return self.once(transaction, cap, tags.rrpid, lambda: self._on_cap_req(transaction, cap))
        raise ProtocolError("not for a gateway", code=ErrorCode.messageNotSupported)

    def _check_merchant(self, merchant: ValidatedCertificate, tags: RRTags) -> None:
        """One of this acquirer's merchants, speaking for itself: a merID is unique per acquirer only."""
        data = merchant.merchant_data
        if data is None or data.mer_acquirer_bin != self._acquirer_bin:
            raise ProtocolError("a merchant of another acquirer", code=ErrorCode.invalidCertificate)
        if tags.mer_term_ids.merchant_id != merchant.party_id:
            raise ProtocolError("MerchantID is not the signer's", code=ErrorCode.wrapperMsgMismatch)

    # --- authorisation ----------------------------------------------------------------------------

    def _on_auth_req(self, transaction: Transaction, received: Received[AuthReqData]) -> Reply:
        """§4.12 from step 2; the answer carries a code, whatever it is."""
        body = received.body
        tags = body.auth_req_item.auth_tags
        amount = body.auth_req_item.auth_req_payload.auth_req_amt
        # Before anything happens at the bank: is there a key to seal the answer to?
        answer_to = self._answer_certificate(received, tags.auth_rr_tags)
        merchant = party_of(answer_to, Role.merchant)
        try:
            pi = self.open_pi(received.baggage, tags.trans_ids)
            self._check_pi(pi, body, merchant)
            record = self._claim(transaction, pi, tags.auth_rr_tags.rrpid, tags.trans_ids, merchant, amount)
        except Refused as refused:
            code, approval, token = refused.code, None, None
        else:
            decision = self._issuer.authorize(self._authorization_request(pi, record))
            code, approval = decision.code, decision.approval_code
            approved = code is AuthCode.approved
            record = replace(record, state=TABLE.next(record.state, Signal.APPROVED if approved else Signal.DECLINED))
            self._keep(transaction, record)
            token = self._cap_token(record) if approved else None
        answer = self._auth_res(received, answer_to, code, approval, token)
        return Reply((answer,), (Event(EventKind.AUTHORIZATION, tags.trans_ids.xid, code),))

    def open_pi(self, pi: PI, trans_ids: TransIDs) -> OpenedPI:
        """Open both seals and verify the dual signature over what was in them (§3.5, §4.12 steps 2 and 4c).

        The seals are bound to the cardholder and request that the PI claims; the name is then compared with the
        certificate that signed.  DecryptionFailure, SignatureFailure or another ProtocolError.
        """
        seals = decoded(PISeals, pi.seals)
        bulk = self.context(ID_PI_OI_LINK, seals.cardholder, self.party, trans_ids.xid, seals.rrpid)
        account = self.context(ID_PAN_DATA, seals.cardholder, self.party, trans_ids.xid, seals.rrpid)
        key = self.exchange_key()
        sealed_pi = unseal(seals.sealed_pi, key, context=bulk)
        sealed_pan = unseal(seals.sealed_pan, key, context=account)
        try:
            link = decoded(PIOILink, sealed_pi.content)
            pan_data = decoded(PANData, sealed_pan.content)
        except ProtocolError:
            raise DecryptionFailure from None  # what is inside must not show through the error
        payment = Part(ID_PI_DATA, encode(PIData(pi_head=link.pi_head, pan_data=pan_data)), link.pi_salt)
        view = View((payment, seals_part(pi, seals)), {ID_OI_DATA: link.hoi_data}, pi.pi_signature)
        verified = PURCHASE.verify(view, suite=self.suite, certify=self.certify(Role.cardholder))
        signer = party_of(verified.signer, Role.cardholder)
        if signer != seals.cardholder:
            raise SignatureFailure("the payment instruction is another cardholder's")
        self.check_head(link.pi_head.head, ID_PI_DATA, signer, self.party, None)
        unknown = unknown_critical(link.pi_head.extensions)
        if unknown is not None:
            raise ProtocolError("critical extension", code=ErrorCode.unrecognizedExtension, oid=unknown.dotted_string)
        return OpenedPI(link.pi_head, pan_data, verified.digests[ID_PI_DATA], link.hoi_data)

    def _check_pi(self, pi: OpenedPI, body: AuthReqData, merchant: PartyID) -> None:
        """§4.12: order, payment, merchant and gateway belong together.  The first mismatch is the answer."""
        item, head = body.auth_req_item, pi.head
        mine, theirs = item.auth_tags.trans_ids, head.trans_ids
        digests, payload = item.check_digests, item.auth_req_payload
        if (mine.xid, mine.lid_c, mine.lid_m) != (theirs.xid, theirs.lid_c, theirs.lid_m):
            raise Refused(AuthCode.piAuthMismatch, "another purchase")
        if head.gateway_id != self.party or head.pe_thumb != self.own_exchange_thumb():
            raise Refused(AuthCode.piAuthMismatch, "paid through another gateway")
        if head.merchant_id != merchant:
            raise Refused(AuthCode.piAuthMismatch, "paid to another merchant")
        if head.merchant_id.brand != self.party.brand:
            raise Refused(AuthCode.cardMerchBrandMismatch, "another brand")
        if digests is None or not equal(digests.hoi_data, pi.hoi_data) or not equal(digests.hod2, head.inputs.hod):
            raise Refused(AuthCode.piAuthMismatch, "cardholder and merchant mean different orders")
        if payload.install_recur_data != head.install_recur_data:
            raise Refused(AuthCode.installRecurMismatch, "instalments or recurring payments differ")
        if payload.subsequent_auth_ind or payload.install_recur_data is not None:
            raise Refused(AuthCode.invalidTransaction, "one authorisation per purchase in this version")
        if body.capture_now:
            raise Refused(AuthCode.captureNotSupported, "captures are requests of their own in this version")
        # Acquirer policy: exactly what the cardholder signed.
        if not payload.auth_req_amt.same_value(head.inputs.purch_amt):
            raise Refused(AuthCode.amountError, "not the amount that the cardholder signed")
        self._check_card(pi)

    def _check_card(self, pi: OpenedPI) -> None:
        """The card is a card, belongs to the certificate that signed, and has not expired."""
        try:
            card, secret = pi.pan_data.card(self.party.brand), pi.pan_data.secret()
        except ValueError:
            raise Refused(AuthCode.invalidTransaction, "not a card number") from None
        expected = cardholder_name(card.pan, card.expiry, secret)
        if not equal(expected.encode(), pi.head.head.sender.name.encode()):
            raise Refused(AuthCode.piAuthMismatch, "the certificate is for another card")
        if card.expiry.reveal() < self.clock().strftime("%Y%m"):
            raise Refused(AuthCode.expiredCard, "the card has expired")

    def _claim(
        self,
        transaction: Transaction,
        pi: OpenedPI,
        auth_rrpid: bytes,
        trans_ids: TransIDs,
        merchant: PartyID,
        amount: CurrencyAmount,
    ) -> AuthorizationRecord:
        """Use the PI, once: again only after a decline (§4.12 step 5; PX-7)."""
        key = authorization_key(merchant, trans_ids.xid)
        stored = transaction.get(AUTHORIZATIONS, key)
        if stored is not None:
            earlier = decode(AuthorizationRecord, stored)
            if not TABLE.allows(earlier.state, Signal.ASK_AGAIN) or earlier.hpi_data != pi.hpi_data:
                raise Refused(AuthCode.piPreviouslyUsed, "authorised before")
        elif transaction.get(USED_PI, pi.hpi_data) is not None:
            raise Refused(AuthCode.piPreviouslyUsed, "authorised before")
        record = AuthorizationRecord(
            state=TABLE.initial,
            xid=trans_ids.xid,
            lid_c=trans_ids.lid_c,
            lid_m=trans_ids.lid_m,
            merchant=merchant,
            auth_rrpid=auth_rrpid,
            hpi_data=pi.hpi_data,
            auth_amt=amount,
        )
        transaction.put(USED_PI, pi.hpi_data, key)
        self._keep(transaction, record)
        return record

    def _authorization_request(self, pi: OpenedPI, record: AuthorizationRecord) -> AuthorizationRequest:
        return AuthorizationRequest(
            reference=record.auth_rrpid,
            card=pi.pan_data.card(self.party.brand),
            amount=record.auth_amt,
            merchant_id=record.merchant.name,
            xid=record.xid,
            trans_stain=pi.head.trans_stain,
        )

    def _auth_res(
        self,
        received: Received[AuthReqData],
        merchant: ValidatedCertificate,
        code: AuthCode,
        approval: str | None,
        token: bytes | None,
    ) -> Outgoing:
        """§4.13: names the merchant, hashes the request, and carries the token as baggage."""
        tags = received.body.auth_req_item.auth_tags
        baggage = encode(AuthResBaggage(cap_token=token))
        over = self.header(tags.auth_rr_tags.rrpid, MessageIDs.of(tags.trans_ids))
        answer = AuthResData(
            head=self.head(AUTH_RES.content_type, party_of(merchant, Role.merchant), over),
            baggage_digest=baggage_digest(AUTH_RES, baggage),
            request_digest=received.digest,
            auth_tags=tags,
            pe_thumb=self.own_exchange_thumb(),
            auth_res_payload=AuthResPayload(
                auth_header=AuthHeader(
                    auth_amt=received.body.auth_req_item.auth_req_payload.auth_req_amt,
                    auth_code=code,
                    response_data=ResponseData(approval_code=approval),
                )
            ),
        )
        holds = received.body.m_thumbs
        return self.protect(AUTH_RES, over, answer, recipient=merchant, baggage=baggage, peer_holds=holds).outgoing

    def _answer_certificate(
        self, received: Received[AuthReqData] | Received[CapReqData], tags: RRTags
    ) -> ValidatedCertificate:
        """The merchant's key-exchange certificate that its signed request names."""
        merchant = party_of(received.signed_by(), Role.merchant)
        return self.exchange_certificate(tags.me_thumb, merchant, received.certificates)

    # --- capture ----------------------------------------------------------------------------------

    def _on_cap_req(self, transaction: Transaction, received: Received[CapReqData]) -> Reply:
        """§4.15: every item gets its own answer."""
        body, tokens = received.body, received.baggage.tokens
        if len(tokens) != len(body.cap_item_seq):
            raise ProtocolError("one token per item", code=ErrorCode.decodingFailure)
        answer_to = self._answer_certificate(received, body.cap_rr_tags)
        merchant = party_of(answer_to, Role.merchant)
        results, events = [], []
        for item, token in zip(body.cap_item_seq, tokens, strict=True):
            code = self._capture(transaction, item, token, merchant)
            payload = CapResPayload(cap_code=code, cap_amt=item.cap_payload.cap_req_amt)
            results.append(CapResItem(trans_ids=item.trans_ids, auth_rrpid=item.auth_rrpid, cap_res_payload=payload))
            events.append(Event(EventKind.CAPTURE, item.trans_ids.xid, code))
        over = self.header(body.cap_rr_tags.rrpid, MessageIDs())
        answer = CapResData(
            head=self.head(CAP_RES.content_type, merchant, over),
            request_digest=received.digest,
            cap_rr_tags=body.cap_rr_tags,
            pe_thumb=self.own_exchange_thumb(),
            cap_res_item_seq=results,
        )
        sent = self.protect(CAP_RES, over, answer, recipient=answer_to, peer_holds=body.m_thumbs)
        return Reply((sent.outgoing,), tuple(events))

    def _capture(self, transaction: Transaction, item: CapItem, token: bytes, merchant: PartyID) -> CapCode:
        """§4.15, steps 1, 2, 4 and 7; batches are not part of this version."""
        ids = item.trans_ids
        stored = transaction.get(AUTHORIZATIONS, authorization_key(merchant, ids.xid))
        if stored is None:
            return CapCode.unknownXID
        record = decode(AuthorizationRecord, stored)
        if (record.lid_c, record.lid_m) != (ids.lid_c, ids.lid_m):
            return CapCode.unknownLID
        if not token:
            return CapCode.capTokenMissing
        if not self._token_fits(token, record) or item.auth_rrpid != record.auth_rrpid:
            return CapCode.invalidCapToken
        if record.state is State.CAPTURED:
            return CapCode.duplicateRequest
        if not TABLE.allows(record.state, Signal.CAPTURED):
            return CapCode.invalidAuthData
        amount = item.cap_payload.cap_req_amt
        if amount.currency != record.auth_amt.currency or amount.exceeds(record.auth_amt):
            return CapCode.amountError
        code = self._issuer.capture(record.auth_rrpid, amount)
        if code is CapCode.success:
            self._keep(transaction, replace(record, state=TABLE.next(record.state, Signal.CAPTURED), captured=amount))
        return code

    def _cap_token(self, record: AuthorizationRecord) -> bytes:
        """Sealed by the gateway to itself: the merchant can show it, not read or change it (§3.7)."""
        token = CapTokenData(
            xid=record.xid,
            auth_rrpid=record.auth_rrpid,
            merchant_id=record.merchant.name,
            auth_amt=record.auth_amt,
        )
        context = self._token_context(record)
        return seal(encode(token), self._token_key, context=context)

    def _token_context(self, record: AuthorizationRecord) -> bytes:
        return self.context(ID_CAP_TOKEN_DATA, self.party, self.party, record.xid, record.auth_rrpid)

    def _token_fits(self, token: bytes, record: AuthorizationRecord) -> bool:
        """Whether this gateway made the token for this authorisation."""
        try:
            opened = unseal(token, self._token_key, context=self._token_context(record))
        except DecryptionFailure:
            return False
        data = decode(CapTokenData, opened.content)
        return (data.xid, data.auth_rrpid, data.merchant_id) == (record.xid, record.auth_rrpid, record.merchant.name)

    @staticmethod
    def _keep(transaction: Transaction, record: AuthorizationRecord) -> None:
        transaction.put(AUTHORIZATIONS, authorization_key(record.merchant, record.xid), encode(record))


def authorization_key(merchant: PartyID, xid: bytes) -> bytes:
    """An XID is the merchant's choice, so it names an authorisation only together with the merchant."""
    return encode(merchant) + xid
