"""Four attacks on a purchase that was completed, each made of its own messages and delivered to the real parties.

The attackers are as strong as the claim allows: they hold the recorded traffic, and where a party is crooked, its
keys.  Each attack has a control: the same act without the fraud goes through, so it is the fraud that is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cryptography import x509

from pki import CertificateKind, ValidatedCertificate
from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import Recipient, seal, unseal
from setproto.errors import ErrorCode
from setproto.market import ACQUIRER_BIN, Delivery, Market, credentials
from setproto.messages.codes import AuthCode
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_PAN_DATA, ID_PI_OI_LINK
from setproto.messages.payment import AuthReqData, EncB, PaymentInstruction
from setproto.messages.purchase import PI, OIData, PISeals, PReq
from setproto.messages.registry import AUTH_REQ, PREQ
from setproto.messages.wrapper import MessageIDs, wrap
from setproto.reading import Found, Kind, Opener, Reader, open_wrapper
from setproto.roles.cardholder import hod_digest
from setproto.roles.credentials import party_of
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.party import baggage_digest
from setproto.roles.ports import Event, EventKind, Outgoing, Reply
from setproto.store import MemoryStore


@dataclass(frozen=True)
class Attack:
    """What was tried, and what came of it."""

    name: str
    deed: str
    """What the attacker does."""
    reason: str
    """Why it cannot work."""
    refused_by: str
    error: str
    """Name of the code in the refusal; "none" if there was none."""
    refused: bool
    """Whether it was refused, for the expected reason, and without any effect."""


@dataclass
class Attacks:
    """The attacks, in the order in which they are made; ``traffic`` is every message that they cost."""

    market: Market
    traffic: list[Delivery] = field(default_factory=list)
    revocation: bytes = b""
    """The CRL that revokes the merchant, once it is made."""

    def run(self) -> list[Attack]:
        """All four."""
        return [self.order_changed(), self.payment_moved(), self.payment_replayed(), self.revoked_merchant()]

    # --- 1: somebody on the wire ------------------------------------------------------------------

    def order_changed(self) -> Attack:
        """Another order, with its own correct digest, in place of the one that was signed."""
        recorded = self._recorded(PREQ.name)
        wire = open_wrapper(recorded)
        preq = decode(PReq, wire.body)
        oi_data = decode(OIData, preq.oi.oi_data)
        hod = hod_digest(b"ten of everything", CurrencyAmount.of("EUR 420.00"), oi_data.od_salt, None)
        forged = replace(preq, oi=replace(preq.oi, oi_data=encode(replace(oi_data, hod=hod))))
        control = _happened(
            self._deliver(Role.cardholder, self.market.merchant, recorded, PREQ.name), EventKind.REPEATED
        )
        reply = self._deliver(Role.cardholder, self.market.merchant, wrap(PREQ, encode(forged), wire.header), PREQ.name)
        return self._attack(
            "order-changed",
            "Someone on the wire replaces the order in the PReq by another, with a digest that fits it.",
            "The dual signature covers the digest of the order; the merchant computes it from what it received.",
            Role.merchant,
            reply,
            ErrorCode.signatureFailure,
            control is not None,
        )

    # --- 2: a crooked gateway ---------------------------------------------------------------------

    def payment_moved(self) -> Attack:
        """The first gateway opens the payment instruction and seals it again, to a second one of the same brand."""
        first = self.market.gateway
        body, pi = self._auth_req()
        seals = decode(PISeals, pi.seals)
        trans_ids = body.auth_req_item.auth_tags.trans_ids
        opened = self._opened()
        second = self._second_gateway()
        certificate = first.validated(
            second.exchange_key().certificate, CertificateKind.GATEWAY_EXCHANGE, second.credentials.chain
        )

        there = {
            kind: first.context(kind, seals.cardholder, second.party, trans_ids.xid, seals.rrpid)
            for kind in (ID_PI_OI_LINK, ID_PAN_DATA)
        }
        to = Recipient(certificate)
        moved = replace(
            seals,
            sealed_pi=seal(opened["PI-OILink"], to, context=there[ID_PI_OI_LINK]),
            sealed_pan=seal(opened["PANData"], to, context=there[ID_PAN_DATA]),
        )
        control = unseal(moved.sealed_pan, second.exchange_key(), context=there[ID_PAN_DATA])
        before = self._balance()
        request = self._new_auth_req(body, certificate, replace(pi, seals=encode(moved)))
        reply = self._deliver(Role.merchant, second, request.data, AUTH_REQ.name)
        return self._attack(
            "payment-moved",
            f"A crooked {first.party.name} opens the payment and seals it to {second.party.name}, with a crooked shop.",
            f"The signature covers the seals as they were made, and the PIHead inside names {first.party.name}.",
            Role.gateway,
            reply,
            ErrorCode.signatureFailure,
            control.content == opened["PANData"] and before == self._balance(),
        )

    # --- 3 and 4: a crooked merchant --------------------------------------------------------------

    def payment_replayed(self) -> Attack:
        """The same payment instruction in a new request."""
        market = self.market
        body, pi = self._auth_req()
        before = self._balance()
        request = self._new_auth_req(body, self._own_gateway(), pi)
        reply = self._deliver(Role.merchant, market.gateway, request.data, AUTH_REQ.name)
        return self._attack(
            "payment-replayed",
            "The merchant presents the same payment instruction again, in a new AuthReq of its own.",
            "The gateway remembers the digest of every instruction that it used; the account is debited once.",
            Role.gateway,
            reply,
            AuthCode.piPreviouslyUsed,
            before == self._balance(),
        )

    def revoked_merchant(self) -> Attack:
        """The merchant's CA revokes it; its next request and its next offer are both refused."""
        market, tree = self.market, self.market.tree
        body, pi = self._auth_req()
        own = market.merchant.credentials
        for certificate in (own.signer.certificate, market.merchant.exchange_key().certificate):
            tree.mca.revoke(x509.load_der_x509_certificate(certificate).serial_number, market.clock())
        self.revocation = tree.crls(market.clock())[tree.authorities.index(tree.mca)]
        for party in (market.gateway, market.cardholder):
            party.validator.add_crl(self.revocation)
        before = self._balance()
        request = self._new_auth_req(body, self._own_gateway(), pi)
        reply = self._deliver(Role.merchant, market.gateway, request.data, AUTH_REQ.name)
        # A customer's wallet knows it as well: the next PInitRes of this merchant is refused.
        _, pinit_req = market.cardholder.start(market.order("EUR 1.00", b"one postcard"))
        offers = self._deliver(Role.cardholder, market.merchant, pinit_req.data, pinit_req.name).outgoing
        answers = [self._deliver(Role.merchant, market.cardholder, offer.data, offer.name) for offer in offers]
        codes = {event.code for answer in answers for event in answer.events}
        return self._attack(
            "revoked-merchant",
            "The merchant's CA revokes its certificates; it asks for money all the same, and makes an offer.",
            "Gateway and wallet hold the new CRL: both refuse, before they look at what the merchant wants.",
            Role.gateway,
            reply,
            ErrorCode.revokedCertificate,
            before == self._balance() and codes == {ErrorCode.revokedCertificate},
        )

    # --- what the attackers work with -------------------------------------------------------------

    def _attack(
        self,
        name: str,
        deed: str,
        reason: str,
        role: Role,
        reply: Reply,
        expected: ErrorCode | AuthCode,
        unharmed: bool,
    ) -> Attack:
        """The verdict over a reply: refused only if the code is the expected one and nothing else happened."""
        event = _happened(reply, EventKind.REFUSED) or _happened(reply, EventKind.AUTHORIZATION)
        code = None if event is None else event.code
        refused = code is expected and unharmed
        return Attack(name, deed, reason, role.name, "none" if code is None else code.name, refused)

    def _recorded(self, name: str) -> bytes:
        return next(d.message.data for d in self.market.deliveries if d.message.name == name)

    def _deliver(self, sender: Role, to: Endpoint, data: bytes, name: str) -> Reply:
        """Hand over a message and take the answers down."""
        self.traffic.append(Delivery(sender, Outgoing(to.party.role, name, data)))
        reply = to.handle(data)
        for answer in reply.outgoing:
            back = answer if answer.to is not None else replace(answer, to=sender)
            self.traffic.append(Delivery(to.party.role, back))
        return reply

    def _auth_req(self) -> tuple[AuthReqData, PI]:
        """The merchant's own AuthReq: its body, and the payment instruction that it passed on."""
        data = self._recorded(AUTH_REQ.name)
        body = next(e.data for e in self._read(data) if e.kind is Kind.PLAIN and e.name == "AuthReqTBS")
        carried = decode(PaymentInstruction, decode(EncB, open_wrapper(data).body).baggage)
        if carried.pi is None:
            raise ValueError("the first AuthReq of a purchase carries the PI")
        return decode(AuthReqData, body), carried.pi

    def _opened(self) -> dict[str, bytes]:
        """What the first gateway reads with its own key."""
        return {e.name: e.data for e in self._read(self._recorded(AUTH_REQ.name)) if e.kind is Kind.PLAIN}

    def _read(self, data: bytes) -> list[Found]:
        gateway = self.market.gateway
        reader = Reader((Opener(gateway.exchange_key(), gateway.party),))
        reader.message(data)
        return reader.found

    def _own_gateway(self) -> ValidatedCertificate:
        market = self.market
        certificate = market.gateway.exchange_key().certificate
        return market.merchant.validated(certificate, CertificateKind.GATEWAY_EXCHANGE, market.merchant.held)

    def _second_gateway(self) -> Gateway:
        """Genuine, of the same brand and acquirer, connected to the same issuer."""
        market = self.market
        name = f"gateway-{market.random(4).hex()}"
        issued = market.tree.issue_gateway(name)
        return Gateway(
            credentials(issued, PartyID(role=Role.gateway, brand=market.tree.brand, name=name), market.suite),
            market.issuer,
            market.tree.validator(market.clock()),
            MemoryStore(),
            token_key=market.random(32),
            acquirer_bin=ACQUIRER_BIN,
            clock=market.clock,
            random=market.random,
        )

    def _new_auth_req(self, body: AuthReqData, to: ValidatedCertificate, pi: PI) -> Outgoing:
        """A fresh request of the merchant, correct in everything, for this payment instruction."""
        merchant, baggage = self.market.merchant, encode(PaymentInstruction(pi=pi))
        item = body.auth_req_item
        rrpid = merchant.random(20)
        rr_tags = replace(item.auth_tags.auth_rr_tags, rrpid=rrpid, date=general_time(merchant.clock()))
        tags = replace(item.auth_tags, auth_rr_tags=rr_tags)
        over = merchant.header(rrpid, MessageIDs.of(tags.trans_ids))
        request = replace(
            body,
            head=merchant.head(AUTH_REQ.content_type, party_of(to, Role.gateway), over),
            baggage_digest=baggage_digest(AUTH_REQ, baggage),
            auth_req_item=replace(item, auth_tags=tags),
        )
        return merchant.protect(AUTH_REQ, over, request, recipient=to, baggage=baggage).outgoing

    def _balance(self) -> tuple[object, ...]:
        account = self.market.account
        return account.available, dict(account.held), dict(account.captured)


def _happened(reply: Reply, kind: EventKind) -> Event | None:
    return next((event for event in reply.events if event.kind is kind), None)
