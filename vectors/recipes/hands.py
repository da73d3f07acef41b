"""Corrupt parties for the vectors: what they can send with their own real keys.

A scene is a market and one purchase in it, with the next message in hand, undelivered.  Messages are opened, changed
and protected again (``remade``, ``signed_again``, ``preq_again``), so that what is refused is refused for the change
alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pki import ValidatedCertificate
from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.bank import Account
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret
from setproto.crypto.cms import Recipient, seal, unseal
from setproto.crypto.dual import Part
from setproto.market import Market, certify_card, credentials
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_OI_DATA, ID_PAN_DATA, ID_PI_DATA, ID_PI_OI_LINK, ID_PI_SEALS
from setproto.messages.payment import PaymentInstruction
from setproto.messages.purchase import OI, PAN_FIELD, PI, PURCHASE, OIData, PANData, PIData, PIOILink, PISeals, PReq
from setproto.messages.registry import MESSAGES, PREQ, MessageType, Operator
from setproto.messages.wrapper import MessageHeader, MessageIDs, Wire, header, header_digest, unwrap, wrap
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.credentials import EXCHANGE_KINDS, Credentials, label_party
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.roles.party import Received, baggage_digest
from setproto.roles.ports import Outgoing, Reply, Transaction
from setproto.store import MemoryStore

STORY = ("PInitReq", "PInitRes", "PReq", "AuthReq", "AuthRes", "PRes", "CapReq", "CapRes", "InqReq", "InqRes")
"""Every message of a whole purchase, in order."""
LATER = (
    *("CredReq", "CredRes", "CredRevReq", "CredRevRes", "CapRevReq", "CapRevRes", "AuthRevReq", "AuthRevRes"),
    *("PCertReq", "PCertRes", "BatchAdminReq", "BatchAdminRes"),
)
"""The rest: the money is given back, the credit, the capture and the authorisation are taken back, and so on."""
LONG_STORY = (*STORY, *LATER)
"""Every message that there is."""
KIND: Mapping[str, MessageType[Any]] = {kind.name: kind for kind in MESSAGES.values()}
OTHER_CARD = "5500005555555559"
"""Another well-known test number."""
WRONG_NUMBER = "4111111111111112".ljust(PAN_FIELD)
"""A number with a wrong check digit, padded as on the wire."""


@dataclass
class Scene:
    """One purchase, and the message that is delivered next."""

    market: Market
    order: Order
    lid_c: bytes
    hand: Outgoing | None
    sent: dict[str, Outgoing] = field(default_factory=dict)
    """Every message so far, the one in hand included, by name."""
    goes_on: bool = False
    """After the purchase comes everything else that can be done with it (LATER)."""

    @property
    def data(self) -> bytes:
        """The message in hand."""
        assert self.hand is not None, "the story is over"
        return self.hand.data

    @property
    def receiver(self) -> Endpoint:
        """Who gets it."""
        assert self.hand is not None, "the story is over"
        assert self.hand.to is not None, "no message of a story has an unknown receiver"
        return self.market.parties[self.hand.to]

    @property
    def xid(self) -> bytes:
        """The XID of the purchase."""
        shop = self.market.cardholder.purchase(self.lid_c).shop
        assert shop is not None
        return shop.trans_ids.xid

    def deliver(self) -> Reply:
        """Hand over the message in hand, and take the one that comes of it, or that its receiver decides to send."""
        assert self.hand is not None, "the story is over"
        name, reply, merchant = self.hand.name, self.receiver.handle(self.data), self.market.merchant
        if reply.outgoing:
            (following,) = reply.outgoing
        elif name == "PInitRes":
            following = self.market.cardholder.pay(self.lid_c)
        elif name == "PRes":
            following = merchant.capture(self.xid)
        elif name == "CapRes":
            following = self.market.cardholder.inquire(self.lid_c)
        elif name == "InqRes" and self.goes_on:
            following = merchant.credit(self.xid)
        elif name == "CredRes":
            following = merchant.reverse_credit(self.xid)
        elif name == "CredRevRes":
            following = merchant.reverse_capture(self.xid)
        elif name == "CapRevRes":
            following = merchant.reverse(self.xid)
        elif name == "AuthRevRes":
            following = merchant.ask_certificates()
        elif name == "PCertRes":
            following = merchant.batch(1)
        else:
            self.hand = None
            return reply
        self.take(following)
        return reply

    def take(self, message: Outgoing) -> None:
        """Take a message in hand; a second one of a name is known by another."""
        self.hand = message
        again = sum(message.name == other.name for other in self.sent.values())
        self.sent[f"{message.name} {again + 1}" if again else message.name] = message

    def until(self, name: str) -> Outgoing:
        """Deliver messages until one of this name is in hand."""
        while self.hand is None or self.hand.name != name:
            self.deliver()
        return self.hand


def begin(
    market: Market | None = None, amount: str = "EUR 42.00", description: bytes = b"one book", **terms: Any
) -> Scene:
    """The PInitReq of a new purchase is in hand; ``terms`` as for ``Market.order``."""
    market = market or Market.open()
    order = market.order(amount, description, **terms)
    lid_c, first = market.cardholder.start(order)
    return Scene(market, order, lid_c, first, {first.name: first})


def before(
    name: str, market: Market | None = None, amount: str = "EUR 42.00", description: bytes = b"one book"
) -> Scene:
    """Everything up to this message has happened, and it is in hand."""
    scene = begin(market, amount, description)
    scene.goes_on = name in LATER
    while scene.hand is None or scene.hand.name != name:
        scene.deliver()
    return scene


def after(
    name: str, market: Market | None = None, amount: str = "EUR 42.00", description: bytes = b"one book"
) -> Scene:
    """This message has been delivered too."""
    scene = before(name, market, amount, description)
    scene.deliver()
    return scene


def whole(market: Market | None = None, amount: str = "EUR 42.00", *, goes_on: bool = False) -> Scene:
    """The purchase is over, with ``goes_on`` and everything after it too; ``sent`` has all of it."""
    scene = begin(market, amount)
    scene.goes_on = goes_on
    while scene.hand is not None:
        scene.deliver()
    return scene


# --- more parties ---------------------------------------------------------------------------------


def another_gateway(market: Market, name: str = "gateway-2") -> Gateway:
    """A genuine gateway of the same brand, acquirer and issuer."""
    issued = market.tree.issue_gateway(name)
    return Gateway(
        credentials(issued, PartyID(role=Role.gateway, brand=market.tree.brand, name=name), market.suite),
        market.issuer,
        market.tree.validator(market.clock()),
        MemoryStore(),
        token_key=os.urandom(32),
        acquirer_bin=market.gateway._acquirer_bin,
        clock=market.clock,
        random=market.random,
    )


def another_merchant(
    market: Market, name: str = "shop-2", acquirer_bin: str | None = None, gateway: Gateway | None = None
) -> Merchant:
    """A genuine merchant of the same brand."""
    gateway = gateway or market.gateway
    issued = market.tree.issue_merchant(name, "Second Bookshop", acquirer_bin or gateway._acquirer_bin)
    return Merchant(
        credentials(issued, PartyID(role=Role.merchant, brand=market.tree.brand, name=name), market.suite),
        market.tree.validator(market.clock()),
        MemoryStore(),
        cert_pe=gateway.exchange_key().certificate,
        clock=market.clock,
        random=market.random,
        held=gateway.credentials.chain,
    )


def another_card(market: Market, pan: str = OTHER_CARD, expiry: str = "203012") -> PaymentCard:
    """Another card of the brand, with secrets of its own."""
    return PaymentCard(
        Card(market.tree.brand, PAN(pan), CardExpiry(expiry)), CardSecret(os.urandom(32)), PANSecret(os.urandom(32))
    )


def cardholder_with(market: Market, card: PaymentCard) -> Cardholder:
    """A cardholder with a genuine certificate for this card, which the issuer may or may not know."""
    return Cardholder(
        certify_card(market.tree, card),
        card,
        market.tree.validator(market.clock()),
        MemoryStore(),
        clock=market.clock,
        random=market.random,
    )


def with_account(market: Market, balance: str = "EUR 1000.00") -> Market:
    """The same market, visited by another cardholder, who has an account with the same issuer."""
    card = another_card(market)
    account = Account(card.card.pan, card.card.expiry, card.card_secret, CurrencyAmount.of(balance))
    market.issuer.add(account)
    guest = cardholder_with(market, card)
    assert isinstance(guest.store, MemoryStore)
    return replace(
        market, cardholder=guest, card=card, account=account, stores={**market.stores, Role.cardholder: guest.store}
    )


class Impostor(Endpoint):
    """Makes messages in somebody's name; takes none."""

    def read(self, wire: Wire) -> Received[Any]:
        """Refuses everything."""
        raise NotImplementedError

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """Refuses everything."""
        raise NotImplementedError


def in_the_name_of(market: Market, who: Endpoint, keys: Credentials) -> Endpoint:
    """Somebody who sends under ``who``'s name with other keys and certificates."""
    return Impostor(
        replace(keys, party=who.party), who.validator, MemoryStore(), clock=market.clock, random=market.random
    )


# --- reading --------------------------------------------------------------------------------------


def opened(market: Market, name: str, data: bytes) -> Received[Any]:
    """What the receiver makes of a message, with the receiver's real keys."""
    kind = KIND[name]
    wire = unwrap(data)
    receiver = market.parties[kind.recipient]
    me = None
    if name == "PInitRes":
        assert wire.header.message_ids.lid_c is not None
        me = label_party(Role.cardholder, market.tree.brand, wire.header.message_ids.lid_c)
    return receiver.receive(wire, kind, addressed_to=me)


# --- changing --------------------------------------------------------------------------------------


def forced(value: Any, **changes: Any) -> Any:
    """The same value with other fields, whatever its own rules say about them: what a peer without them could send."""
    made = object.__new__(type(value))
    for field_ in fields(value):
        object.__setattr__(made, field_.name, changes.get(field_.name, getattr(value, field_.name)))
    return made


def change(value: Any, path: str, new: Any) -> Any:
    """A copy with the field at this path replaced: ``change(body, "cap_item_seq.0.trans_ids.xid", xid)``."""
    name, _, rest = path.partition(".")
    if isinstance(value, list):
        inner = value[int(name)]
        return [*value[: int(name)], change(inner, rest, new) if rest else new, *value[int(name) + 1 :]]
    return forced(value, **{name: change(getattr(value, name), rest, new) if rest else new})


def exchange_of(endpoint: Endpoint) -> ValidatedCertificate:
    """A party's key-exchange certificate, for sealing to it."""
    kind = EXCHANGE_KINDS[endpoint.party.role]
    return endpoint.validated(endpoint.exchange_key().certificate, kind, endpoint.credentials.chain)


def signed_again(
    sender: Endpoint,
    kind: MessageType[Any],
    body: Any,
    to: PartyID,
    *,
    seal_to: Endpoint | None = None,
    baggage: Any = None,
    head: Mapping[str, Any] | None = None,
    over: MessageHeader | None = None,
    also: Sequence[bytes] = (),
) -> bytes:
    """A body of the sender's choice, protected with the sender's keys as its kind demands.

    ``head`` overrides fields of the BodyHead, ``over`` the header that fits the body; ``also`` are certificates to
    enclose beside the sender's.
    """
    rrpid, trans_ids = kind.locate(body)
    over = over or header(sender.clock(), sender.party, rrpid, MessageIDs.of(trans_ids))
    changed: dict[str, Any] = {"head": replace(sender.head(kind.content_type, to, over), **(head or {}))}
    packed = None
    if isinstance(baggage, PI):
        baggage = PaymentInstruction(pi=baggage)
    if baggage is not None:
        packed = baggage if isinstance(baggage, bytes) else encode(baggage)
        changed["baggage_digest"] = baggage_digest(kind, packed)
    recipient = None if seal_to is None else exchange_of(seal_to)
    fitting = forced(body, **changed)
    return sender.protect(kind, over, fitting, recipient=recipient, baggage=packed, also=also).outgoing.data


def remade(scene: Scene, changes: Mapping[str, Any] | None = None, **options: Any) -> bytes:
    """The message in hand (not a PReq), with some fields changed and protected again by its honest sender's keys.

    Options are those of ``signed_again``, and ``sender``.
    """
    assert scene.hand is not None
    market, kind = scene.market, KIND[scene.hand.name]
    received = opened(market, kind.name, scene.data)
    body = received.body
    for path, new in (changes or {}).items():
        body = change(body, path, new)
    sender = options.pop("sender", None) or market.parties[kind.sender]
    options.setdefault("baggage", received.baggage)
    if kind.name == "PInitRes":
        genuine = market.merchant.credentials.signer.certificate
        options.setdefault("also", [der for der in received.certificates if der != genuine])  # Cert-PE is among them
    if kind.name == "PCertRes":
        genuine = market.gateway.credentials.signer.certificate
        options.setdefault("also", [der for der in received.certificates if der != genuine])
    if kind.operator in (Operator.ENC, Operator.ENCB):
        options.setdefault("seal_to", market.parties[kind.recipient])
    to = options.pop("to", None) or body.head.recipient
    return signed_again(sender, kind, body, to, **options)


@dataclass
class Paid:
    """The contents of a PReq, as only cardholder and gateway together know them."""

    oi_data: OIData
    oi_salt: bytes
    link: PIOILink
    pan_data: PANData
    seals: PISeals


def taken_apart(market: Market, data: bytes) -> Paid:
    """A PReq opened with the gateway's real keys."""
    preq = decode(PReq, unwrap(data).body)
    seals, oi_data = decode(PISeals, preq.pi.seals), decode(OIData, preq.oi.oi_data)
    gateway, xid = market.gateway, oi_data.trans_ids.xid
    bulk = gateway.context(ID_PI_OI_LINK, seals.cardholder, gateway.party, xid, seals.rrpid)
    account = gateway.context(ID_PAN_DATA, seals.cardholder, gateway.party, xid, seals.rrpid)
    link = unseal(seals.sealed_pi, gateway.exchange_key(), context=bulk)
    pan_data = unseal(seals.sealed_pan, gateway.exchange_key(), context=account)
    return Paid(oi_data, preq.oi.oi_salt, decode(PIOILink, link.content), decode(PANData, pan_data.content), seals)


def market_pi(market: Market, preq: bytes) -> PI:
    """The payment instruction in a PReq, as the merchant forwards it."""
    return decode(PReq, unwrap(preq).body).pi


def pi_of(market: Market, auth_req: bytes) -> PI:
    """The payment instruction in an AuthReq."""
    pi = opened(market, "AuthReq", auth_req).baggage.pi
    assert isinstance(pi, PI)
    return pi


def sealed_for(paid: Paid, gateway: Gateway, cardholder: PartyID, rrpid: bytes, xid: bytes) -> PISeals:
    """Both seals of a payment instruction, made to a gateway: whoever knows the contents can do this."""
    to = Recipient(exchange_of(gateway))
    bulk = gateway.context(ID_PI_OI_LINK, cardholder, gateway.party, xid, rrpid)
    account = gateway.context(ID_PAN_DATA, cardholder, gateway.party, xid, rrpid)
    return PISeals(
        cardholder=cardholder,
        rrpid=rrpid,
        sealed_pi=seal(encode(paid.link), to, context=bulk),
        sealed_pan=seal(encode(paid.pan_data), to, context=account),
    )


def preq_again(
    market: Market,
    paid: Paid,
    *,
    oi: Mapping[str, Any] | None = None,
    pi: Mapping[str, Any] | None = None,
    pan: Mapping[str, Any] | None = None,
    signer: Endpoint | None = None,
    seal_to: Gateway | None = None,
    seals: Mapping[str, Any] | None = None,
    hoi_data: bytes | None = None,
    over: MessageHeader | None = None,
    head: Mapping[str, Any] | None = None,
) -> bytes:
    """A PReq with some fields changed and signed again: what a dishonest cardholder, or one with its keys, can send."""
    by = signer or market.cardholder
    oi_data, pi_head, pan_data = paid.oi_data, paid.link.pi_head, paid.pan_data
    for path, new in (oi or {}).items():
        oi_data = change(oi_data, path, new)
    over = over or header(market.clock(), by.party, oi_data.rrpid, MessageIDs.of(oi_data.trans_ids))
    named = replace(oi_data.head, sender=by.party, header_digest=header_digest(encode(over), None))
    oi_data = replace(oi_data, head=replace(named, **(head or {})))
    pi_head = change(pi_head, "head.sender", by.party)
    for path, new in (pi or {}).items():
        pi_head = change(pi_head, path, new)
    for path, new in (pan or {}).items():
        pan_data = change(pan_data, path, new)
    order = Part(ID_OI_DATA, encode(oi_data), paid.oi_salt)
    payment = Part(ID_PI_DATA, encode(PIData(pi_head=pi_head, pan_data=pan_data)), paid.link.pi_salt)
    link = PIOILink(
        pi_head=pi_head, pi_salt=paid.link.pi_salt, hoi_data=hoi_data or PURCHASE.digest(order, market.suite)
    )
    changed = replace(paid, link=link, pan_data=pan_data)
    named_in_seals = (seals or {}).get("cardholder", by.party)
    made = sealed_for(changed, seal_to or market.gateway, named_in_seals, oi_data.rrpid, oi_data.trans_ids.xid)
    made = replace(made, **(seals or {}))
    sealed = Part(ID_PI_SEALS, encode(made), made.rrpid)
    signed = PURCHASE.sign(by.credentials.signer, (payment, order, sealed), certificates=by.credentials.chain)
    preq = PReq(
        pi=PI(seals=sealed.content, pi_signature=signed.signature),
        oi=OI(oi_data=order.content, oi_salt=order.salt, hpi_data=signed.digests[ID_PI_DATA]),
    )
    return wrap(PREQ, encode(preq), over)
