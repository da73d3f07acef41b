"""Several merchants, gateways and cardholders of one brand, and a network that reorders, repeats and damages.

Every kind of message takes part: each purchase follows one of the scripts in ``SCRIPTS`` (split shipments, sales,
instalments, recurring payments, reversals, credits, batches), and each gateway has something to tell its cardholders.

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
from typing import Any, Final

from cryptography.hazmat.primitives import serialization

from pki import Credential, build_brand_tree
from pki.der import encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret, luhn
from setproto.market import ACQUIRER_BIN, BRAND, Clock, certify_card, credentials
from setproto.messages.batch import ReturnTransactionDetail
from setproto.messages.codes import AcqCardCode, AuthCode, BatchOperation
from setproto.messages.common import InstallRecurData, PartyID, Recurring, Role
from setproto.messages.payment import AcqCardCodeMsg
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.roles.ports import Event, EventKind, Outgoing
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


BATCH = 77
"""Opened and closed by name."""


@dataclass(frozen=True)
class Script:
    """What is ordered, and what the merchant does about it: names of ``Merchant``'s methods, amounts in cents."""

    cents: int
    first: int | None = None
    sale: bool = False
    agreed: InstallRecurData | None = None
    steps: tuple[tuple[str, dict[str, Any]], ...] = ()
    later: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Done a month after everything else."""


MONTHLY = InstallRecurData(
    recurring=Recurring(recurring_frequency=28, recurring_expiry=general_time(NOW + timedelta(days=300)))
)
SCRIPTS: Final[dict[str, Script]] = {
    "shipments": Script(
        9000,
        first=4000,
        steps=(
            ("capture", {}),
            ("authorize", {"amount": 3500, "more": True}),
            ("reverse_capture", {"authorization": 1}),
            ("authorize", {"amount": 1500}),
            ("capture", {"authorization": 3}),
        ),
    ),
    "clearing": Script(
        8000,
        steps=(
            ("capture", {"amount": 3000}),
            ("capture", {}),
            ("credit", {"capture": 1, "amount": 1000}),
            ("reverse_credit", {"capture": 1}),
            ("reverse_capture", {"capture": 2}),
            ("credit", {"capture": 1}),
        ),
    ),
    "instalments": Script(
        6000,
        first=2000,
        agreed=InstallRecurData(install_total_trans=3),
        steps=(("capture", {}), ("authorize", {"amount": 2000}), ("authorize", {"amount": 2000}), ("capture", {})),
    ),
    "recurring": Script(
        1000,
        agreed=MONTHLY,
        steps=(("capture", {}), ("authorize", {"amount": 1000})),  # too soon
        later=(("authorize", {"amount": 1000}), ("capture", {})),
    ),
    "sale": Script(3000, sale=True, steps=(("credit", {"amount": 500}),)),
    "cancel": Script(5000, steps=(("reverse", {"new_amount": 2000}), ("reverse", {}))),
    "declined": Script(700_000),
    "batch": Script(2000, steps=(("capture", {"batch_id": BATCH}),)),
}


def eur(cents: int) -> CurrencyAmount:
    """So much money."""
    return CurrencyAmount(currency=978, amount=cents, amt_exp10=-2)


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
    purchases: int = 3
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
        self.texts: dict[str, bytes] = {}
        """Gateway → what it tells its cardholders."""
        self.steps: dict[tuple[str, bytes], list[tuple[str, dict[str, Any]]]] = {}
        """(Merchant, XID) → what is still to be done."""
        self.later: dict[tuple[str, bytes], list[tuple[str, dict[str, Any]]]] = {}
        self.scripts: dict[bytes, Script] = {}
        """By LID-M."""
        self.cards: dict[str, PaymentCard] = {}
        self.waiting: list[Sent] = []
        self._lids: dict[str, list[bytes]] = {}
        self._buyer: dict[bytes, str] = {}
        self._asked: set[bytes] = set()
        for name in self.shops:
            self._add_cardholder(name)
        accounts = [
            Account(c.card.pan, c.card.expiry, c.card_secret, CurrencyAmount.of("EUR 5000.00"))
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
        text = f"{name} asks you to call {self.lot.getrandbits(64):x}"
        self.texts[name] = text.encode()
        self.endpoints[name] = Gateway(
            self._credentials(name, Role.gateway, self.tree.issue_gateway(name)),
            issuer,
            self.tree.validator(NOW),
            self.stores[name],
            token_key=self.token_keys[name],
            acquirer_bin=ACQUIRER_BIN,
            clock=self.clock,
            random=os.urandom,
            card_message=AcqCardCodeMsg(acq_card_code=AcqCardCode.callCustomerService, acq_card_text=text),
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
            return Loot(
                (self.endpoints[name].credentials.signer._key,),
                back_keys=tuple(self.back_keys(name).values()),
                notes=tuple(notes),
            )
        issued = self.credentials[name][0]
        shared: tuple[bytes, ...] = ()
        if name in self.token_keys:
            shared = (self.token_keys[name], *self.derived_token_keys(name).values())
        return Loot(
            private_keys=(issued.signature_key, issued.exchange_key),
            shared_keys=shared,
            notes=tuple(notes),
        )

    def derived_token_keys(self, name: str) -> dict[str, bytes]:
        """What a gateway makes of its token key."""
        gateway = self.endpoints[name]
        assert isinstance(gateway, Gateway)
        keys = gateway.token_keys
        return {kind: getattr(keys, kind).private_key for kind in ("capture", "authorization", "account")}

    def back_keys(self, name: str) -> dict[bytes, bytes]:
        """XID → the key that this cardholder chose for the acquirer's answer."""
        wallet, found = self.endpoints[name], {}
        assert isinstance(wallet, Cardholder)
        for lid_c in self._lids[name]:
            record = wallet.purchase(lid_c)
            if record.ordered is not None and record.shop is not None:
                found[record.shop.trans_ids.xid] = record.ordered.back_key
        return found

    @property
    def gateways(self) -> tuple[bytes, ...]:
        """DER of their names: everybody knows them."""
        return tuple(encode(self.endpoints[name].party) for name in self.token_keys)

    def scanner(self, name: str) -> Scanner:
        """Looks for this cardholder's secrets."""
        return scanner_for(self.cards[name])

    def private_keys(self) -> list[Any]:
        """Every private key there is, the root's two included."""
        keys = [key for name in self.parties for key in self.loot(name).private_keys]
        return [*keys, getattr(self.tree.root, KEY_OF_AUTHORITY), self.tree.next_root_key]

    # --- purchases --------------------------------------------------------------------------------

    def run(self) -> World:
        """All purchases, until the wires are silent and there is nothing more to do."""
        for name in self.merchants:
            self._batch(name, BatchOperation.open)
        self._settle()
        for number, (name, merchants) in enumerate(self.shops.items()):
            for index, merchant in enumerate(merchants * self.purchases):
                self.start(name, merchant, list(SCRIPTS.values())[(3 * number + index) % len(SCRIPTS)])
        self._settle()
        self.clock.advance(timedelta(days=28))
        crls = self.tree.crls(self.clock())
        bci = self.tree.bci(crls, self.clock())
        for endpoint in self.endpoints.values():
            for crl in crls:
                endpoint.validator.add_crl(crl)
            endpoint.validator.add_bci(bci)
        self.steps |= self.later
        for name in self.merchants:
            shop = self._shop(name)
            self._ask(name, shop.ask_certificates())
            self._batch(name, BatchOperation.close)
            self._batch(name, BatchOperation.purge, batch_id=2)  # there is no such batch
            if name == "m1":
                self._batch(name, BatchOperation.purge, batch_id=1)
            self._batch(name, details=ReturnTransactionDetail(starting_point=0, maximum_items=50))
        self._settle()
        for name, lids in self._lids.items():
            wallet = self.endpoints[name]
            assert isinstance(wallet, Cardholder)
            for lid_c in lids:
                shop = wallet.purchase(lid_c).shop
                assert shop is not None
                out = wallet.inquire(lid_c)
                self.waiting.append(Sent(name, shop.merchant.name, out.name, out.data))
        self._settle()
        return self

    def _settle(self) -> None:
        """Until the wires are silent; then whoever still waits for an answer asks again, and so on."""
        for _ in range(100):
            while self.waiting:
                self._deliver(self.waiting.pop(self.lot.randrange(len(self.waiting))))
            for name, xid in list(self.steps):
                self._step(name, xid)
            if not self.waiting:
                return
        raise AssertionError("this does not end")

    def _batch(self, name: str, operation: BatchOperation | None = None, batch_id: int = BATCH, **how: Any) -> None:
        self._ask(name, self._shop(name).batch(batch_id, operation, **how))

    def _shop(self, name: str) -> Merchant:
        shop = self.endpoints[name]
        assert isinstance(shop, Merchant)
        return shop

    def _ask(self, name: str, out: Outgoing) -> None:
        self.waiting.append(Sent(name, self.merchants[name], out.name, out.data))

    def _step(self, name: str, xid: bytes) -> None:
        """The next thing that a merchant does about a purchase, if it waits for nothing; else it asks again."""
        shop, steps = self._shop(name), self.steps.get((name, xid), [])
        if shop.purchase(xid).outstanding is not None:
            self._ask(name, shop.resend(xid))
        elif steps:
            method, how = steps.pop(0)
            how = {key: eur(value) if "amount" in key else value for key, value in how.items()}
            self._ask(name, getattr(shop, method)(xid, **how))

    def start(self, cardholder: str, merchant: str, script: Script) -> None:
        """Agree on an order, and send PInitReq."""
        description = f"order {len(self.descriptions)}: {self.lot.getrandbits(200):x}".encode()
        self.descriptions.append(description)
        order = Order(os.urandom(8), description, eur(script.cents), script.agreed)
        wallet = self.endpoints[cardholder]
        assert isinstance(wallet, Cardholder)
        self.scripts[order.lid_m] = script
        self._shop(merchant).add_order(
            order.lid_m,
            order.description,
            order.amount,
            order.install_recur_data,
            first_amount=None if script.first is None else eur(script.first),
            capture_now=script.sale,
        )
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
        if len(self.wire) < 100 * len(self.descriptions):
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

    def _address(self, sent: Sent, to: Role | None, events: Iterable[Event]) -> str | None:
        if to is None or self._role(sent.sender) is to:
            return sent.sender
        if to is Role.gateway:
            return self.merchants[sent.receiver]
        if to is Role.cardholder:
            for event in events:
                if event.xid is not None:
                    return self._buyer[self._shop(sent.receiver).purchase(event.xid).trans_ids.lid_c]
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
        if event.kind is EventKind.ORDER_RECEIVED and isinstance(endpoint, Merchant):
            assert event.xid is not None
            script = self.scripts[endpoint.purchase(event.xid).trans_ids.lid_m]
            self.steps[name, event.xid] = list(script.steps)
            self.later[name, event.xid] = list(script.later)
        first = event.kind is EventKind.AUTHORIZATION and event.code is AuthCode.approved
        if isinstance(endpoint, Merchant) and (first or event.kind in CLEARED):
            assert event.xid is not None
            if endpoint.purchase(event.xid).outstanding is None:
                self._step(name, event.xid)

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
CLEARED = (
    EventKind.REVERSAL,
    EventKind.CAPTURE,
    EventKind.CAPTURE_REVERSAL,
    EventKind.CREDIT,
    EventKind.CREDIT_REVERSAL,
)


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
