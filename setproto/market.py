"""A whole marketplace in one process: one brand, its CAs, a cardholder, a merchant, a gateway and an issuer.

For the demonstration, the tests, the vectors and the benchmarks, and as the shortest complete example of how the
pieces fit together::

    market = Market.open("p256")
    purchase = market.buy("EUR 42.00", b"one book")
    assert purchase.completion_code is CompletionCode.capturePerformed

Time and randomness are handed in, so a market can be repeated.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pki import BrandTree, Credential, build_brand_tree
from setproto.amounts import CurrencyAmount
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret, cardholder_name, unique_cardholder_id
from setproto.crypto.cms import RecipientKey, Signer
from setproto.crypto.suites import suite
from setproto.messages.codes import AuthCode, CompletionCode
from setproto.messages.common import InstallRecurData, PartyID, Role
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.roles.ports import Event, EventKind, Outgoing, RandomBytes
from setproto.store import MemoryStore

BRAND = "Marque"
TEST_CARD = "4111111111111111"
"""The number that payment processors publish for tests; no bank issues it."""
ACQUIRER_BIN = "411111"


TRADERS = (Role.cardholder, Role.merchant, Role.gateway)
"""Who takes part in a purchase."""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self.now += by


def credentials(issued: Credential, party: PartyID, suite_name: str) -> Credentials:
    """What a PKI issued, as a role wants it."""
    exchange = None
    if issued.exchange_certificate is not None:
        exchange = RecipientKey(issued.exchange_key, issued.exchange_certificate, suite_name)
    signer = Signer(issued.signature_key, issued.signature_certificate, suite(suite_name))
    return Credentials(party, signer, exchange, issued.chain)


@dataclass(frozen=True)
class Delivery:
    """One message on its way."""

    sender: Role
    message: Outgoing
    arrived: bool = True
    """Whether it got there."""

    @property
    def to(self) -> Role:
        """Who gets it.  ValueError if it says nobody."""
        if self.message.to is None:
            raise ValueError("somebody has to get it")
        return self.message.to


@dataclass(frozen=True)
class Purchase:
    """What became of a purchase, as the cardholder was told last."""

    xid: bytes
    lid_c: bytes
    completion_code: CompletionCode | None
    code: enum.IntEnum | None


@dataclass
class Market:
    """Everybody, and the wires between them.  ``deliveries`` and ``events`` record what happened."""

    suite: str
    tree: BrandTree
    clock: Clock
    random: RandomBytes
    card: PaymentCard
    account: Account
    issuer: MemoryIssuer
    cardholder: Cardholder
    merchant: Merchant
    gateway: Gateway
    stores: dict[Role, MemoryStore]
    deliveries: list[Delivery] = field(default_factory=list)
    events: list[tuple[Role, Event]] = field(default_factory=list)
    results: dict[bytes, Event] = field(default_factory=dict)
    """XID → what the cardholder was told last."""
    lose: list[str] = field(default_factory=list)
    """Names of messages of which the next one gets lost on its way."""
    lost: list[Delivery] = field(default_factory=list)
    """Those that did."""
    traffic: list[Delivery] = field(default_factory=list)
    """All messages in the order in which they were sent, those that got lost too."""
    tamper: Callable[[Delivery], bytes] | None = None
    """What an attacker on the wire does to each message, if there is one."""

    @classmethod
    def open(
        cls,
        suite_name: str = "p256",
        *,
        now: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC),
        random: RandomBytes = os.urandom,
        balance: str = "EUR 1000.00",
        geo: bool = False,
        pan: str = TEST_CARD,
        expiry: str = "203012",
        journal: bool = False,
    ) -> Market:
        """Build the hierarchy, certify everybody, connect them.  With ``journal`` everybody keeps a record."""
        clock = Clock(now)
        # Certificates begin a day earlier: clocks differ, and no test should depend on the very second.
        tree = build_brand_tree(suite_name, now=now - timedelta(days=1), brand=BRAND, geo=geo, random_bytes=random)
        return cls.within(tree, clock, random=random, balance=balance, pan=pan, expiry=expiry, journal=journal)

    @classmethod
    def within(
        cls,
        tree: BrandTree,
        clock: Clock,
        *,
        random: RandomBytes = os.urandom,
        balance: str = "EUR 1000.00",
        pan: str = TEST_CARD,
        expiry: str = "203012",
        journal: bool = False,
    ) -> Market:
        """The same in a hierarchy that exists."""
        suite_name = tree.suite.name
        stores = {role: MemoryStore() for role in TRADERS}
        card_secret = CardSecret(random(32))
        pan_secret = PANSecret.derive(card_secret, random(32), tree.brand)
        paid_with = PaymentCard(Card(tree.brand, PAN(pan), CardExpiry(expiry)), card_secret, pan_secret)
        account = Account(paid_with.card.pan, paid_with.card.expiry, paid_with.card_secret, CurrencyAmount.of(balance))
        issuer = MemoryIssuer([account])
        crls = tree.crls(clock())
        bci = tree.bci(crls, clock())
        merchant_id = f"shop-{random(4).hex()}"
        gateway_id = f"gateway-{random(4).hex()}"
        shop = tree.issue_merchant(merchant_id, "Corner Bookshop", ACQUIRER_BIN)
        acquirer = tree.issue_gateway(gateway_id)
        gateway = Gateway(
            credentials(acquirer, PartyID(role=Role.gateway, brand=tree.brand, name=gateway_id), suite_name),
            issuer,
            tree.validator_with(crls, bci),
            stores[Role.gateway],
            token_key=random(32),
            acquirer_bin=ACQUIRER_BIN,
            clock=clock,
            random=random,
            journal=journal,
        )
        merchant = Merchant(
            credentials(shop, PartyID(role=Role.merchant, brand=tree.brand, name=merchant_id), suite_name),
            tree.validator_with(crls, bci),
            stores[Role.merchant],
            cert_pe=gateway.exchange_key().certificate,
            clock=clock,
            random=random,
            held=acquirer.chain,
            journal=journal,
        )
        cardholder = Cardholder(
            certify_card(tree, paid_with),
            paid_with,
            tree.validator_with(crls, bci),
            stores[Role.cardholder],
            clock=clock,
            random=random,
            journal=journal,
        )
        return cls(
            suite_name,
            tree,
            clock,
            random,
            paid_with,
            account,
            issuer,
            cardholder,
            merchant,
            gateway,
            stores,
        )

    @property
    def parties(self) -> dict[Role, Endpoint]:
        """Who is who."""
        return {Role.cardholder: self.cardholder, Role.merchant: self.merchant, Role.gateway: self.gateway}

    def deliver(self, sender: Role, message: Outgoing) -> None:
        """Carry a message, and every message that comes of it, until the wires are silent."""
        waiting = [Delivery(sender, message)]
        while waiting:
            delivery = waiting.pop(0)
            if delivery.message.name in self.lose:
                self.lose.remove(delivery.message.name)
                self.lost.append(replace(delivery, arrived=False))
                self.traffic.append(self.lost[-1])
                continue
            data = delivery.message.data if self.tamper is None else self.tamper(delivery)
            to = delivery.to
            self.deliveries.append(Delivery(delivery.sender, Outgoing(to, delivery.message.name, data)))
            self.traffic.append(self.deliveries[-1])
            reply = self.parties[to].handle(data)
            for event in reply.events:
                self.events.append((to, event))
                if event.kind is EventKind.RESULT and event.xid is not None:
                    self.results[event.xid] = event
            for answer in reply.outgoing:
                back = answer if answer.to is not None else replace(answer, to=delivery.sender)
                waiting.append(Delivery(to, back))

    def renew_crls(self) -> None:
        """Give everybody new CRLs and the brand's list of them, as one would from time to time."""
        crls = self.tree.crls(self.clock())
        bci = self.tree.bci(crls, self.clock())
        for party in self.parties.values():
            for crl in crls:
                party.validator.add_crl(crl)
            party.validator.add_bci(bci)

    def order(
        self,
        amount: str,
        description: bytes,
        *,
        install_recur_data: InstallRecurData | None = None,
        first_amount: str | None = None,
        capture_now: bool = False,
    ) -> Order:
        """Agree on an order with the shop, outside the protocol: the merchant notes it too (A-6)."""
        order = Order(self.random(8), description, CurrencyAmount.of(amount), install_recur_data)
        first = None if first_amount is None else CurrencyAmount.of(first_amount)
        self.merchant.add_order(
            order.lid_m,
            order.description,
            order.amount,
            order.install_recur_data,
            first_amount=first,
            capture_now=capture_now,
        )
        return order

    def buy(self, amount: str, description: bytes, *, capture: bool = True) -> Purchase:
        """A whole purchase: PInit, P and Auth, then Cap, and an inquiry about the end of it."""
        lid_c, pinit_req = self.cardholder.start(self.order(amount, description))
        self.deliver(Role.cardholder, pinit_req)
        self.deliver(Role.cardholder, self.cardholder.pay(lid_c))
        purchase = self.result(lid_c)
        if capture and purchase.code is AuthCode.approved:
            self.deliver(Role.merchant, self.merchant.capture(purchase.xid))
            self.deliver(Role.cardholder, self.cardholder.inquire(lid_c))
            purchase = self.result(lid_c)
        return purchase

    def result(self, lid_c: bytes) -> Purchase:
        """What the cardholder knows of a purchase that has a PInitRes."""
        shop = self.cardholder.purchase(lid_c).shop
        if shop is None:
            raise ValueError("no PInitRes yet")
        xid = shop.trans_ids.xid
        told = self.results.get(xid)
        if told is None:
            return Purchase(xid, lid_c, None, None)
        return Purchase(xid, lid_c, CompletionCode[told.detail], told.code)


def certify_card(tree: BrandTree, paid_with: PaymentCard) -> Credentials:
    """A certificate for a card, as its CCA would issue it."""
    card = paid_with.card
    issued = tree.issue_cardholder(unique_cardholder_id(card.pan, card.expiry, paid_with.pan_secret))
    name = cardholder_name(card.pan, card.expiry, paid_with.pan_secret)
    return credentials(issued, PartyID(role=Role.cardholder, brand=tree.brand, name=name), tree.suite.name)
