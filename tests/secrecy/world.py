"""Several merchants, gateways and cardholders of one brand, and a network that reorders, repeats and damages.

``World`` runs purchases event by event: whatever message is chosen next, by lot, is delivered, so concurrent purchases
interleave; messages are repeated, delivered to the wrong party and damaged on the way.  It records every octet on the
wire, and knows what each party would hand over if it were corrupt.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization

from pki import Credential, build_brand_tree
from pki.der import encode
from setproto.amounts import CurrencyAmount
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret, luhn
from setproto.errors import UsageError
from setproto.market import ACQUIRER_BIN, BRAND, Clock, certify_card, credentials
from setproto.messages.codes import AuthCode
from setproto.messages.common import PartyID, Role
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.endpoint import Credentials, Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.roles.ports import Event, EventKind
from setproto.store import MemoryStore
from tests.secrecy.scan import Scanner
from tests.secrecy.spy import Loot

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
QUICK_SUITES = ("p256", "ed25519", "mldsa65")
CAS = "CAs"


def random_pan(lot: random.Random, digits: int = 16, prefix: str = "4") -> str:
    """Digits with a good check digit."""
    body = prefix + "".join(lot.choice("0123456789") for _ in range(digits - 1 - len(prefix)))
    return next(body + check for check in "0123456789" if luhn(body + check))


def random_expiry(lot: random.Random) -> str:
    """A month in the future of ``NOW``."""
    return f"20{lot.randrange(27, 40)}{lot.randrange(1, 13):02d}"


@dataclass(frozen=True)
class Sent:
    """One message on the wire."""

    sender: str
    receiver: str
    name: str
    data: bytes


@dataclass
class World:
    """``merchants``: name → the gateway that serves it.  ``shops``: cardholder → the merchants it buys from."""

    suite: str
    merchants: dict[str, str]
    shops: dict[str, tuple[str, ...]]
    purchases: int = 2
    """Of each cardholder at each of its merchants."""
    seed: int = 1
    wire: list[Sent] = field(default_factory=list)
    damaged: set[bytes] = field(default_factory=set)
    """What nobody sent."""
    events: list[tuple[str, Event]] = field(default_factory=list)
    paid_through: dict[str, set[str]] = field(default_factory=dict)
    """Cardholder → the gateways to which a payment instruction of its own was made."""
    descriptions: list[bytes] = field(default_factory=list)
    credentials: dict[str, list[Credential]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lot = random.Random(self.seed)
        self.clock = Clock(NOW)
        self.tree = build_brand_tree(self.suite, now=NOW - timedelta(days=1), brand=BRAND)
        self.endpoints: dict[str, Endpoint] = {}
        self.stores: dict[str, MemoryStore] = {}
        self.token_keys: dict[str, bytes] = {}
        self.cards: dict[str, PaymentCard] = {}
        self.waiting: list[Sent] = []
        self._lids: dict[str, list[bytes]] = {}
        self._buyer: dict[bytes, str] = {}
        self._asked: set[bytes] = set()
        for name in self.shops:
            self._add_cardholder(name)
        accounts = [
            Account(c.card.pan, c.card.expiry, c.card_secret, CurrencyAmount.of("EUR 500.00"))
            for c in self.cards.values()
        ]
        for name in dict.fromkeys(self.merchants.values()):
            self._add_gateway(name, MemoryIssuer(accounts))
        for name, gateway in self.merchants.items():
            self._add_merchant(name, gateway)
        self.ca_messages = [self.tree.issue_ca_messages(ca) for ca in (self.tree.cca, self.tree.mca, self.tree.pca)]

    # --- parties ----------------------------------------------------------------------------------

    def _credentials(self, name: str, role: Role, issued: Credential) -> Credentials:
        self.stores[name] = MemoryStore()
        self.credentials[name] = [issued]
        return credentials(issued, PartyID(role=role, brand=BRAND, name=name), self.suite)

    def _add_cardholder(self, name: str) -> None:
        card = Card(
            BRAND,
            PAN(random_pan(self.lot, self.lot.choice((15, 16, 16, 19)))),
            CardExpiry(random_expiry(self.lot)),
        )
        self.cards[name] = paid_with = PaymentCard(card, CardSecret(os.urandom(32)), PANSecret(os.urandom(32)))
        self.stores[name] = MemoryStore()
        certified = certify_card(self.tree, paid_with)
        self.endpoints[name] = Cardholder(
            certified, paid_with, self.tree.validator(NOW), self.stores[name], clock=self.clock, random=os.urandom
        )
        self._lids[name] = []
        self.paid_through[name] = set()

    def _add_gateway(self, name: str, issuer: MemoryIssuer) -> None:
        self.token_keys[name] = os.urandom(32)
        self.endpoints[name] = Gateway(
            self._credentials(name, Role.gateway, self.tree.issue_gateway(name)),
            issuer,
            self.tree.validator(NOW),
            self.stores[name],
            token_key=self.token_keys[name],
            acquirer_bin=ACQUIRER_BIN,
            clock=self.clock,
            random=os.urandom,
        )

    def _add_merchant(self, name: str, gateway: str) -> None:
        acquirer = self.credentials[gateway][0]
        self.endpoints[name] = Merchant(
            self._credentials(name, Role.merchant, self.tree.issue_merchant(name, f"Shop {name}", ACQUIRER_BIN)),
            self.tree.validator(NOW),
            self.stores[name],
            cert_pe=acquirer.exchange_certificate or b"",
            clock=self.clock,
            random=os.urandom,
            held=acquirer.chain,
        )

    @property
    def parties(self) -> tuple[str, ...]:
        """Everybody who can be corrupt: never the root."""
        return (*self.shops, *self.merchants, *dict.fromkeys(self.merchants.values()), CAS)

    def loot(self, name: str) -> Loot:
        """Keys and notes of a party."""
        if name == CAS:
            tree = self.tree
            signing = (tree.brand_ca, tree.cca, tree.mca, tree.pca)
            keys = [getattr(authority, KEY_OF_AUTHORITY) for authority in signing]
            keys += [key for issued in self.ca_messages for key in (issued.signature_key, issued.exchange_key)]
            return Loot(private_keys=tuple(keys))
        notes = [note for entry in self.stores[name].dump().items() for note in (entry[0][1], entry[1])]
        if name in self.cards:
            paid_with = self.cards[name]
            notes += [
                paid_with.card.pan.reveal().encode(),
                paid_with.card.expiry.reveal().encode(),
                paid_with.card_secret.reveal(),
                paid_with.pan_secret.reveal(),
            ]
            return Loot((self.endpoints[name].credentials.signer._key,), notes=tuple(notes))
        issued = self.credentials[name][0]
        shared: tuple[bytes, ...] = ()
        if name in self.token_keys:
            gateway = self.endpoints[name]
            shared = (self.token_keys[name], gateway._token_key.private_key)  # type: ignore[attr-defined]
        return Loot(
            private_keys=(issued.signature_key, issued.exchange_key),
            shared_keys=shared,
            parties=(encode(self.endpoints[name].party),),
            notes=tuple(notes),
        )

    def scanner(self, name: str) -> Scanner:
        """Looks for this cardholder's secrets."""
        return scanner_for(self.cards[name])

    def private_keys(self) -> list[Any]:
        """Every private key there is, the root's two included."""
        keys = [key for name in self.parties for key in self.loot(name).private_keys]
        return [*keys, getattr(self.tree.root, KEY_OF_AUTHORITY), self.tree.next_root_key]

    # --- purchases --------------------------------------------------------------------------------

    def run(self) -> World:
        """All purchases, until the wires are silent."""
        for name, merchants in self.shops.items():
            for merchant in merchants * self.purchases:
                self.start(name, merchant)
        while self.waiting:
            self._deliver(self.waiting.pop(self.lot.randrange(len(self.waiting))))
        return self

    def start(self, cardholder: str, merchant: str) -> None:
        """Agree on an order, and send PInitReq.  One order in four is more than the account has."""
        description = f"order {len(self.descriptions)}: {self.lot.getrandbits(200):x}".encode()
        self.descriptions.append(description)
        euros = self.lot.choice((self.lot.randrange(1, 100), 12, 30, 700))
        order = Order(os.urandom(8), description, CurrencyAmount.of(f"EUR {euros}.{self.lot.randrange(100):02d}"))
        shop, wallet = self.endpoints[merchant], self.endpoints[cardholder]
        assert isinstance(shop, Merchant)
        assert isinstance(wallet, Cardholder)
        shop.add_order(order.lid_m, order.description, order.amount)
        lid_c, request = wallet.start(order)
        self._lids[cardholder].append(lid_c)
        self._buyer[lid_c] = cardholder
        self.waiting.append(Sent(cardholder, merchant, request.name, request.data))

    def _deliver(self, sent: Sent) -> None:
        self.wire.append(sent)
        reply = self.endpoints[sent.receiver].handle(sent.data)
        for event in reply.events:
            self.events.append((sent.receiver, event))
            self._react(sent, event)
        for out in reply.outgoing:
            receiver = self._address(sent, out.to, reply.events)
            if receiver is not None:
                self.waiting.append(Sent(sent.receiver, receiver, out.name, out.data))
        if len(self.wire) < 60 * len(self.descriptions):
            self._interfere(sent)

    def _interfere(self, sent: Sent) -> None:
        """Repeat, misdeliver, damage: now and then."""
        if self.lot.random() < 0.15:
            self.waiting.append(sent)
        if self.lot.random() < 0.08:
            peers = [name for name in self.endpoints if self._role(name) is self._role(sent.receiver)]
            self.waiting.append(Sent(sent.sender, self.lot.choice(peers), sent.name, sent.data))
        if self.lot.random() < 0.08:
            damaged = bytearray(sent.data)
            damaged[self.lot.randrange(len(damaged))] ^= 1 << self.lot.randrange(8)
            self.damaged.add(bytes(damaged))
            self.waiting.append(Sent(sent.sender, sent.receiver, sent.name, bytes(damaged)))

    def _role(self, name: str) -> Role:
        return self.endpoints[name].party.role

    def _address(self, sent: Sent, to: Role, events: Iterable[Event]) -> str | None:
        if self._role(sent.sender) is to:
            return sent.sender
        if to is Role.gateway:
            return self.merchants[sent.receiver]
        if to is Role.cardholder:
            for event in events:
                if event.xid is not None:
                    shop = self.endpoints[sent.receiver]
                    assert isinstance(shop, Merchant)
                    return self._buyer[shop.purchase(event.xid).trans_ids.lid_c]
        return None

    def _react(self, sent: Sent, event: Event) -> None:
        """What the owners of the roles do."""
        name, endpoint = sent.receiver, self.endpoints[sent.receiver]
        if event.kind is EventKind.MERCHANT_SHOWN and isinstance(endpoint, Cardholder):
            for lid_c in self._lids[name]:
                shop = endpoint.purchase(lid_c).shop
                if shop is not None and shop.trans_ids.xid == event.xid:
                    out = endpoint.pay(lid_c)
                    self.paid_through[name].add(shop.gateway.name)
                    self.waiting.append(Sent(name, shop.merchant.name, out.name, out.data))
        if event.kind is EventKind.RESULT and event.xid not in self._asked and isinstance(endpoint, Cardholder):
            assert event.xid is not None
            self._asked.add(event.xid)
            for lid_c in self._lids[name]:
                shop = endpoint.purchase(lid_c).shop
                if shop is not None and shop.trans_ids.xid == event.xid:
                    out = endpoint.inquire(lid_c)
                    self.waiting.append(Sent(name, shop.merchant.name, out.name, out.data))
        if event.kind is EventKind.AUTHORIZATION and event.code is AuthCode.approved and isinstance(endpoint, Merchant):
            assert event.xid is not None
            try:
                out = endpoint.capture(event.xid)
            except UsageError:
                return
            self.waiting.append(Sent(name, self.merchants[name], out.name, out.data))

    @property
    def traffic(self) -> tuple[bytes, ...]:
        """Every octet string that was on the wire."""
        return tuple(dict.fromkeys(sent.data for sent in self.wire))

    def received_by(self, name: str) -> tuple[bytes, ...]:
        """Every octet string that came to a party."""
        return tuple(dict.fromkeys(sent.data for sent in self.wire if sent.receiver == name))

    @property
    def honest_traffic(self) -> tuple[bytes, ...]:
        """Without the damaged messages."""
        return tuple(data for data in self.traffic if data not in self.damaged)


KEY_OF_AUTHORITY = "_key"


def scanner_for(paid_with: PaymentCard) -> Scanner:
    """Looks for the secrets of this card."""
    card = paid_with.card
    return Scanner(
        card.pan.reveal(), card.expiry.reveal(), paid_with.pan_secret.reveal(), paid_with.card_secret.reveal()
    )


@cache
def world(suite: str) -> World:
    """Two gateways, three merchants, three cardholders; run once per suite.

    Alice pays through Alpha only, Bob through Beta only, Carol through both.
    """
    return World(
        suite,
        merchants={"m1": "alpha", "m2": "alpha", "m3": "beta"},
        shops={"alice": ("m1",), "bob": ("m3",), "carol": ("m1", "m2", "m3")},
    ).run()


def raw_private_forms(key: Any) -> dict[str, bytes]:
    """Every natural writing of a private key."""
    serial = serialization
    forms = {
        "PKCS #8": key.private_bytes(serial.Encoding.DER, serial.PrivateFormat.PKCS8, serial.NoEncryption()),
    }
    if hasattr(key, "private_bytes_raw"):
        forms["raw"] = key.private_bytes_raw()
    numbers = getattr(key, "private_numbers", None)
    if numbers is not None:
        values = numbers()
        for name in ("private_value", "d", "p", "q", "dmp1", "dmq1", "iqmp"):
            value = getattr(values, name, None)
            if value is not None:
                size = (value.bit_length() + 7) // 8
                forms[name] = value.to_bytes(size, "big")
                forms[f"{name}, little-endian"] = value.to_bytes(size, "little")
    return forms
