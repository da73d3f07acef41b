"""The payment gateway: opens payment instructions, checks that order and payment belong together, asks the issuer.

The only role that sees a card number, and it keeps none: its records hold codes, amounts and digests, and its tokens
are sealed to itself.  ``instruction`` says what authorises, ``authorization`` and ``clearing`` what is done with it,
``batches`` where it goes; here is what every request of a merchant has in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from pki import PathValidator, ValidatedCertificate
from pki.der import encode
from setproto.crypto.cms import SecretKey, seal
from setproto.errors import ErrorCode, ProtocolError, RRPIDConflict
from setproto.messages.batch import PCertReqData, PCertResData, PCertResItem
from setproto.messages.codes import PCertCode
from setproto.messages.common import PartyID, Role, RRTags
from setproto.messages.payment import ACQ_BACK_ALG, AcqCardCodeMsg
from setproto.messages.registry import (
    AUTH_REQ,
    AUTH_REV_REQ,
    BATCH_ADMIN_REQ,
    CAP_REQ,
    CAP_REV_REQ,
    CRED_REQ,
    CRED_REV_REQ,
    PCERT_REQ,
    RESPONSES,
    MessageType,
    Operator,
)
from setproto.messages.wrapper import Wire
from setproto.roles.cardholder import card_message_context
from setproto.roles.credentials import Credentials, party_of
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import outbox
from setproto.roles.gateway.answer import Answer
from setproto.roles.gateway.authorization import AskBank, answered, give_back, on_auth_req, on_auth_rev_req
from setproto.roles.gateway.batch_admin import on_batch_admin_req, transmitted
from setproto.roles.gateway.clearing import on_cap_req, on_cap_rev_or_cred_req
from setproto.roles.gateway.instruction import Instruction, TokenKeys, opened
from setproto.roles.party import Received, baggage_digest
from setproto.roles.ports import (
    AuthorizationDecision,
    AuthorizationRequest,
    Clock,
    Event,
    EventKind,
    Issuer,
    NoReply,
    Outgoing,
    RandomBytes,
    Reply,
    Store,
    Transaction,
)

Handler = Callable[["Gateway", Transaction, Any], Answer]


def on_pcert_req(gateway: Gateway, transaction: Transaction, received: Received[PCertReqData]) -> Answer:
    """§2.13: which key-exchange certificate to use, per brand."""
    items = [
        PCertResItem(pcert_code=PCertCode.success, cert_thumb=gateway.own_exchange_thumb())
        if brand == gateway.party.brand
        else PCertResItem(pcert_code=PCertCode.brandNotSupported)
        for brand in received.body.brand_seq
    ]
    answer = partial(PCertResData, pcert_rr_tags=received.body.pcert_rr_tags, pcert_res_items=items)
    return Answer(answer, (Event(EventKind.CERTIFICATES),))


HANDLERS: Final[dict[str, tuple[str, Handler]]] = {
    AUTH_REQ.name: ("auth_req_item", on_auth_req),
    AUTH_REV_REQ.name: ("auth_rev_rr_tags", on_auth_rev_req),
    CAP_REQ.name: ("cap_rr_tags", on_cap_req),
    CAP_REV_REQ.name: ("rr_tags", partial(on_cap_rev_or_cred_req, kind=CAP_REV_REQ)),
    CRED_REQ.name: ("rr_tags", partial(on_cap_rev_or_cred_req, kind=CRED_REQ)),
    CRED_REV_REQ.name: ("rr_tags", partial(on_cap_rev_or_cred_req, kind=CRED_REV_REQ)),
    PCERT_REQ.name: ("pcert_rr_tags", on_pcert_req),
    BATCH_ADMIN_REQ.name: ("batch_admin_rr_tags", on_batch_admin_req),
}
"""Request → where its RRTags are, and what to do."""


class Gateway(Endpoint):
    """One gateway of one acquirer at one brand."""

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
        card_message: AcqCardCodeMsg | None = None,
        journal: bool = False,
    ) -> None:
        """``token_key``: 32 secret octets for tokens to itself; ``acquirer_bin``: whose merchants it serves;
        ``card_message``: what to tell every cardholder whose payment was approved, if anything."""
        super().__init__(credentials, validator, store, clock=clock, random=random, held=held, journal=journal)
        self.issuer = issuer
        self.token_keys = TokenKeys(token_key)
        self._acquirer_bin = acquirer_bin
        self._card_message = card_message
        self._told_to = 0
        """Where ``tell_bank`` goes on."""

    def decide(self, data: bytes, wire: Wire, received: Received[Any]) -> Reply:
        """As every role, but nobody has to wait while the bank is asked or told.

        A handler that needs the bank's word raises AskBank and has changed nothing.  It is run again with the answer,
        in another transaction, so that whatever was decided meanwhile counts; after a crash between the two the
        merchant's repetition asks the bank the same.  Then the bank is told what was decided.
        """
        try:
            reply, advices = self._attempt(data, wire, received)
        except AskBank as question:
            received = answered(received, self._decision(question.request))
            try:
                reply, advices = self._attempt(data, wire, received)
            except RRPIDConflict:
                with self.store.transaction() as transaction:
                    give_back(self, transaction, received)
                raise
        outbox.tell(self.store, self.issuer, advices.items())
        return reply

    def _attempt(
        self, data: bytes, wire: Wire, received: Received[Any]
    ) -> tuple[Reply, dict[int, outbox.AdviceRecord]]:
        """One transaction: the reply, and what the bank is to be told now."""
        with self.store.transaction() as transaction:
            before = outbox.end(transaction)
            reply = self.settle(data, wire, received, transaction)
            return reply, outbox.ready(transaction, before)

    def _decision(self, request: AuthorizationRequest) -> AuthorizationDecision:
        try:
            return self.issuer.authorize(request)
        except NoReply:
            # Nothing is recorded, so the merchant's repetition asks the bank again, which is idempotent.
            raise ProtocolError("the bank does not answer; ask again") from None

    def tell_bank(self) -> None:
        """Tell the bank what it has not taken note of yet: when the gateway starts, and from time to time."""
        self._told_to = outbox.tell_all(self.store, self.issuer, self._told_to)

    def read(self, wire: Wire) -> Received[Any]:
        """Any request of a merchant."""
        if wire.type is None or wire.type.name not in HANDLERS:
            raise ProtocolError("not for a gateway", code=ErrorCode.messageNotSupported)
        received = self.receive(wire, wire.type)
        self._check_merchant(received.signed_by(), _tags(wire.type, received.body))
        return opened(self, received) if wire.type is AUTH_REQ else received

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """Do once, answer sealed to the key that the request names."""
        request = wire.type
        if request is None:
            raise ProtocolError("not for a gateway", code=ErrorCode.messageNotSupported)

        def act() -> Reply:
            # Before anything happens at the bank: is there a key to seal the answer to?
            merchant = party_of(received.signed_by(), Role.merchant)
            me_thumb = _tags(request, received.body).me_thumb
            answer_to = self.exchange_certificate(me_thumb, merchant, received.certificates)
            answer = HANDLERS[request.name][1](self, transaction, received)
            return Reply((self._respond(request, received, answer_to, answer, wire),), answer.events)

        reply = self.once(transaction, wire, received, act)
        if request is AUTH_REQ:
            give_back(self, transaction, received)
        return reply

    def _check_merchant(self, merchant: ValidatedCertificate, tags: RRTags) -> None:
        """One of this acquirer's merchants, speaking for itself: a merID is unique per acquirer only."""
        data = merchant.merchant_data
        if data is None or data.mer_acquirer_bin != self._acquirer_bin:
            raise ProtocolError("a merchant of another acquirer", code=ErrorCode.invalidCertificate)
        if tags.mer_term_ids.merchant_id != merchant.party_id:
            raise ProtocolError("MerchantID is not the signer's", code=ErrorCode.wrapperMsgMismatch)

    def _respond(
        self,
        request: MessageType[Any],
        received: Received[Any],
        answer_to: ValidatedCertificate,
        answer: Answer,
        wire: Wire,
    ) -> Outgoing:
        """Complete an answer with what every response has, and protect it."""
        response = RESPONSES[request.tag]
        over = self.header(wire.header.rrpid, wire.header.message_ids)
        common: dict[str, Any] = {
            "head": self.head(response.content_type, party_of(answer_to, Role.merchant), over),
            "request_digest": received.digest,
        }
        if response.operator is not Operator.S:  # PCertRes names certificates of its own
            common["pe_thumb"] = self.own_exchange_thumb()
        if answer.baggage is not None:
            common["baggage_digest"] = baggage_digest(response, answer.baggage)
        sent = self.protect(
            response,
            over,
            answer.body(**common),
            recipient=answer_to,
            baggage=answer.baggage,
            peer_holds=received.body.m_thumbs,
            inform=True,
            also=answer.also,
        )
        return sent.outgoing

    def message_for_cardholder(self, instruction: Instruction, xid: bytes, auth_rrpid: bytes) -> bytes | None:
        """AcqCardMsg under the key that the cardholder put in the PI, if there is one and something to say (§2.9)."""
        back = instruction.back_key
        if self._card_message is None or back is None or back.acq_back_alg != ACQ_BACK_ALG:
            return None
        key = SecretKey(back.acq_back_key, xid)
        return seal(encode(self._card_message), key, context=card_message_context(xid))

    def transmit(self, merchant: PartyID, batch_id: int) -> None:
        """Note that the acquirer has taken a closed batch."""
        with self.store.transaction() as transaction:
            transmitted(transaction, merchant, batch_id)


def _tags(request: MessageType[Any], body: Any) -> RRTags:
    """The RRTags of a request."""
    tags = getattr(body, HANDLERS[request.name][0])
    found: RRTags = tags.auth_tags.auth_rr_tags if request is AUTH_REQ else tags
    return found


__all__ = ["Gateway"]
