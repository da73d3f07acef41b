"""The demonstration from beginning to end, as a value."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from setproto.amounts import CurrencyAmount
from setproto.demo.attacks import Attack, Attacks
from setproto.demo.views import Fact, Step, everyone, facts, objects, openers, steps
from setproto.market import TEST_CARD, Delivery, Market, Purchase
from setproto.messages.codes import CompletionCode
from setproto.messages.common import Role
from setproto.reading import Kind, Reader
from setproto.scan import Scan, scan

AMOUNT = "EUR 42.00"
ORDER = b"two copies of a book on ciphers, one postcard"


@dataclass
class Demonstration:
    """What happened, and the market in which it happened."""

    market: Market
    purchase: Purchase
    amount: CurrencyAmount
    test_card: str
    steps: list[Step]
    facts: list[Fact]
    crls: list[bytes]
    """Of all authorities as of the purchase, the root first."""
    attacks: list[Attack]
    traffic: list[Delivery]
    """The messages of the attacks."""
    revocation: bytes
    """The CRL that the last attack met."""
    merchant_holds: dict[str, bytes]
    """Name → octets: all that the merchant received, decrypted or stored."""
    gateway_holds: dict[str, bytes]
    merchant_scan: Scan
    seconds: float = field(default=0.0)

    @property
    def deliveries(self) -> list[Delivery]:
        """The messages of the purchase, in order."""
        return self.market.deliveries

    @property
    def completed(self) -> bool:
        """Whether the purchase went through to the capture."""
        return self.purchase.completion_code is CompletionCode.capturePerformed

    @property
    def succeeded(self) -> bool:
        """Whether everything is as it should be."""
        refused = bool(self.attacks) and all(attack.refused for attack in self.attacks)
        return self.completed and refused and not self.merchant_scan.hits


def demonstrate(suite: str = "p256", *, now: datetime | None = None) -> Demonstration:
    """Build a market, buy something in it, look at everything, attack it.  UnknownSuite for an unknown suite."""
    began = time.perf_counter()
    market = Market.open(suite, now=(now or datetime.now(UTC)).replace(microsecond=0), pan=TEST_CARD)
    purchase = market.buy(AMOUNT, ORDER)
    crls = market.tree.crls(market.clock())
    completed = purchase.completion_code is CompletionCode.capturePerformed
    attacks = Attacks(market)
    # There is nothing to compare or to attack in a purchase that did not happen.
    seen = facts(market, purchase.xid, ORDER) if completed else []
    results = attacks.run() if completed else []
    held = holdings(market, Role.merchant, attacks.traffic)
    demonstration = Demonstration(
        market=market,
        purchase=purchase,
        amount=CurrencyAmount.of(AMOUNT),
        test_card=TEST_CARD,
        steps=steps(market, market.deliveries),
        facts=seen,
        crls=crls,
        attacks=results,
        traffic=attacks.traffic,
        revocation=attacks.revocation,
        merchant_holds=held,
        gateway_holds=holdings(market, Role.gateway, attacks.traffic),
        merchant_scan=scan(held, TEST_CARD),
    )
    demonstration.seconds = time.perf_counter() - began
    return demonstration


def holdings(market: Market, role: Role, more: Iterable[Delivery] = ()) -> dict[str, bytes]:
    """Every octet string that a party sent, received, signed, decrypted or stored, by a name that says which."""
    held: dict[str, bytes] = {}
    party = market.parties[role]
    own = set(party.credentials.own_certificates)
    mine, all_of_them = Reader(openers(market)[role]), Reader(everyone(market))
    numbered = [(f"{n:02d}", d) for n, d in enumerate(market.deliveries, 1)]
    numbered += [(f"attack-{n:02d}", d) for n, d in enumerate(more, 1)]
    for label, delivery in numbered:
        sent = delivery.sender is role
        if not sent and delivery.to is not role:
            continue
        name, data = f"{label}-{delivery.message.name}", delivery.message.data
        held[f"{name}.{'sent' if sent else 'received'}.der"] = data
        for found in objects(data, mine):
            title = f"{name}.{found.kind.value}-{found.name}"
            _add(held, title, ".der", found.data)
            if found.kind is not Kind.PLAIN and found.content is not None:
                _add(held, title, ".content", found.content)
        # What it signed before it sealed it to somebody else, it has seen too.
        for found in objects(data, all_of_them) if sent else ():
            if found.kind is Kind.SIGNED and found.certificate in own and found.content is not None:
                _add(held, f"{name}.signed-{found.name}", ".der", found.data)
                _add(held, f"{name}.signed-{found.name}", ".content", found.content)
    for number, ((table, key), value) in enumerate(sorted(market.stores[role].dump().items()), 1):
        held[f"store-{number:02d}-{table}.key"] = key
        held[f"store-{number:02d}-{table}.value"] = value
    for number, certificate in enumerate((*party.credentials.own_certificates, *party.held), 1):
        held[f"certificate-{number:02d}.der"] = certificate
    return held


def _add(held: dict[str, bytes], title: str, ending: str, data: bytes) -> None:
    """Under a name of its own: a message may hold several objects of one type."""
    name, number = f"{title}{ending}", 1
    while held.get(name, data) != data:
        number += 1
        name = f"{title}-{number}{ending}"
    held[name] = data
