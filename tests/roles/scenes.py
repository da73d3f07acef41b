"""Purchases stopped where a test wants to step in, and messages that honest roles would never make.

A scene is a market and one purchase in it, with the next message in hand, undelivered::

    scene = before("AuthReq")           # cardholder has paid; the merchant's AuthReq is on the wire
    reply = scene.deliver()             # now the gateway has it, and scene.data is its AuthRes

Dishonest parties are played with their own real keys: their messages are opened, changed, and protected again
(``signed_again``, ``preq_again``), so that what is refused is refused for the change and nothing else.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from asn1crypto import cms

from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.bank import Account
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode
from setproto.market import TRADERS, Market
from setproto.messages.codes import AuthCode
from setproto.messages.common import PartyID, Role
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS
from setproto.messages.payment import PaymentInstruction
from setproto.messages.purchase import OI, PI, PURCHASE, PIData, PIOILink, PReq
from setproto.messages.registry import PREQ, MessageType, Operator
from setproto.messages.wrapper import MessageHeader, MessageIDs, Wire, header, header_digest, unwrap, wrap
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.gateway import records as gateway_records
from setproto.roles.merchant import Merchant
from setproto.roles.merchant.records import PurchaseRecord, State
from setproto.roles.operations import OpState
from setproto.roles.party import Received, baggage_digest
from setproto.roles.ports import EventKind, Outgoing, Reply, Transaction
from setproto.store import MemoryStore
from vectors.recipes.hands import (  # noqa: F401 the tests take them from here
    KIND,
    LATER,
    LONG_STORY,
    OTHER_CARD,
    STORY,
    WRONG_NUMBER,
    Paid,
    another_gateway,
    another_merchant,
    cardholder_with,
    exchange_of,
    market_pi,
    opened,
    pi_of,
    sealed_for,
    taken_apart,
)


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
        assert self.hand is not None, "the story is over"
        return self.hand.data

    @property
    def receiver(self) -> Endpoint:
        assert self.hand is not None, "the story is over"
        assert self.hand.to is not None, "no message of a story has an unknown receiver"
        return self.market.parties[self.hand.to]

    @property
    def xid(self) -> bytes:
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
        self.hand = self.sent[following.name] = following
        return reply


def begin(market: Market | None = None, amount: str = "EUR 42.00", description: bytes = b"one book") -> Scene:
    """The PInitReq of a new purchase is in hand."""
    market = market or Market.open()
    order = market.order(amount, description)
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


# --- state ----------------------------------------------------------------------------------------


def snapshot(store: MemoryStore) -> dict[tuple[str, bytes], bytes]:
    return store.dump()


def restore(store: MemoryStore, saved: Mapping[tuple[str, bytes], bytes]) -> None:
    store._tables = dict(saved)


def money(account: Account) -> tuple[int, dict[bytes, CurrencyAmount], dict[bytes, CurrencyAmount]]:
    """Available, in cents; what is held and what was captured, as far as it is not nothing.  They must add up."""
    unit = account.opening.with_amount(1).value

    def amounts(booked: Mapping[bytes, Fraction]) -> dict[bytes, CurrencyAmount]:
        assert all(value >= 0 for value in booked.values()), "nothing is owed to the wrong side"
        cents = {key: value / unit for key, value in booked.items() if value}
        assert all(value.denominator == 1 for value in cents.values())
        return {key: account.opening.with_amount(int(value)) for key, value in cents.items()}

    amounts(account.credited)
    assert all(account.credited[key] <= account.captured[key] for key in account.credited)
    held, captured = amounts(account.held), amounts(account.captured)
    total = account.available.value + sum(account.held.values()) + account.charged
    assert total == account.opening.value, "money was made or lost"
    return account.available.amount, held, captured


def bank(account: Account) -> tuple[Any, ...]:
    """Everything that the bank has booked."""
    return money(account), dict(account.held), dict(account.captured), dict(account.credited)


def state(market: Market) -> tuple[Any, ...]:
    """Everything that anybody would still know after a crash: all stores, and the money."""
    return (*(snapshot(market.stores[role]) for role in TRADERS), bank(market.account))


class Step(enum.Enum):
    """How far a merchant has come with a purchase that is authorised once."""

    INITIALISED = enum.auto()
    REJECTED = enum.auto()
    AUTH_SENT = enum.auto()
    DECLINED = enum.auto()
    AUTHORIZED = enum.auto()
    CAP_SENT = enum.auto()
    CAPTURED = enum.auto()


def step(market: Market, xid: bytes) -> Step:
    """How far the merchant has come; its record must have everything that belongs to that, and nothing else."""
    record = market.merchant.purchase(xid)
    found = _step(record)
    assert (record.outstanding is not None) is (found in (Step.AUTH_SENT, Step.CAP_SENT))
    assert (record.ordered is None) is (found is Step.INITIALISED)
    return found


def _step(record: PurchaseRecord) -> Step:
    if record.state is not State.ORDERED:
        assert record.authorizations == []
        return Step[record.state.name]
    (authorization,) = record.authorizations
    if authorization.state is OpState.ASKED:
        assert record.outstanding == authorization.auth_rrpid
        assert (authorization.code, authorization.cap_token, authorization.captures) == (None, None, [])
        return Step.AUTH_SENT
    if authorization.state is OpState.REFUSED:
        assert authorization.code not in (None, AuthCode.approved)
        assert authorization.captures == []
        return Step.DECLINED
    assert authorization.state is OpState.GRANTED
    assert authorization.code is AuthCode.approved
    assert authorization.cap_token
    states = [capture.state for capture in authorization.captures]
    if record.outstanding is not None:
        assert states[-1] is OpState.ASKED
        return Step.CAP_SENT
    assert OpState.ASKED not in states
    return Step.CAPTURED if OpState.GRANTED in states else Step.AUTHORIZED


def gateway_purchases(market: Market) -> list[gateway_records.PurchaseRecord]:
    """Every purchase that the gateway has a record of."""
    stored = snapshot(market.stores[Role.gateway]).items()
    return [
        decode(gateway_records.PurchaseRecord, value)
        for (table, _), value in stored
        if table == gateway_records.PURCHASES
    ]


def restarted(market: Market, role: Role) -> Market:
    """The same market after one party's process was stopped and started: a new object on the old store."""
    old = market.parties[role]
    common: dict[str, Any] = {"clock": market.clock, "random": market.random, "held": old.held}
    validator, store = market.tree.validator(market.clock()), market.stores[role]
    if isinstance(old, Cardholder):
        return replace(market, cardholder=Cardholder(old.credentials, market.card, validator, store, **common))
    if isinstance(old, Merchant):
        merchant = Merchant(old.credentials, validator, store, cert_pe=old._cert_pe, category=old.category, **common)
        return replace(market, merchant=merchant)
    assert isinstance(old, Gateway)
    gateway = Gateway(
        old.credentials,
        old.issuer,
        validator,
        store,
        token_key=bytes(32),
        acquirer_bin=old._acquirer_bin,
        card_message=old._card_message,
        **common,
    )
    gateway.token_keys = old.token_keys  # the key is configuration: it does not go with the process
    return replace(market, gateway=gateway)


# --- more parties ---------------------------------------------------------------------------------


def another_card(market: Market, pan: str = OTHER_CARD, expiry: str = "203012") -> PaymentCard:
    return PaymentCard(
        Card(market.tree.brand, PAN(pan), CardExpiry(expiry)), CardSecret(os.urandom(32)), PANSecret(os.urandom(32))
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
        raise NotImplementedError

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        raise NotImplementedError


def in_the_name_of(market: Market, who: Endpoint, keys: Credentials) -> Endpoint:
    """Somebody who sends under ``who``'s name with other keys and certificates."""
    return Impostor(
        replace(keys, party=who.party), who.validator, MemoryStore(), clock=market.clock, random=market.random
    )


# --- reading --------------------------------------------------------------------------------------


def read_error(message: Outgoing) -> ErrorTBS:
    """The body of a signed Error, without looking at the signature."""
    wire = unwrap(message.data)
    assert wire.type is None, "not an Error"
    signed = decode(Error, wire.body).signed_error
    assert signed is not None
    content = cms.ContentInfo.load(signed)["content"]["encap_content_info"]["content"].native
    return decode(ErrorTBS, content)


def assert_refused(reply: Reply, code: ErrorCode) -> ErrorTBS:
    """The message was refused with this code, and the sender is told so in a signed Error."""
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.REFUSED, code), event
    (answer,) = reply.outgoing
    body = read_error(answer)
    assert body.error_code == code
    return body


def assert_dropped(reply: Reply, code: ErrorCode) -> None:
    """The message was refused with this code, and nobody is told."""
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.REFUSED, code), event
    assert reply.outgoing == ()


# --- changing -------------------------------------------------------------------------------------


def change(value: Any, path: str, new: Any) -> Any:
    """A copy with the field at this path replaced: ``change(body, "cap_item_seq.0.trans_ids.xid", xid)``."""
    name, _, rest = path.partition(".")
    if isinstance(value, list):
        inner = value[int(name)]
        return [*value[: int(name)], change(inner, rest, new) if rest else new, *value[int(name) + 1 :]]
    return replace(value, **{name: change(getattr(value, name), rest, new) if rest else new})


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
    fields: dict[str, Any] = {"head": replace(sender.head(kind.content_type, to, over), **(head or {}))}
    packed = None
    if isinstance(baggage, PI):
        baggage = PaymentInstruction(pi=baggage)
    if baggage is not None:
        packed = baggage if isinstance(baggage, bytes) else encode(baggage)
        fields["baggage_digest"] = baggage_digest(kind, packed)
    recipient = None if seal_to is None else exchange_of(seal_to)
    fitting = replace(body, **fields)
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
