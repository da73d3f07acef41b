"""PU-8 against a merchant who acts: it tries to have the payment instruction sealed to a key of its own.

The merchant runs this project's code but for one thing: it names whatever certificate it likes as the gateway's, with
its good signature.  The cardholder must not pay.  PU-14 and PU-3 say the same from another side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import CertificateKind, build_brand_tree, thumbprint
from pki.extensions import MerchantData, MerchantName
from pki.names import gateway_name
from setproto.errors import UsageError
from setproto.market import ACQUIRER_BIN, Market
from setproto.messages.common import Role
from setproto.roles.ports import EventKind
from tests.secrecy.spy import Loot, Spy
from tests.secrecy.world import NOW, scanner_for


@dataclass(frozen=True)
class Claimed:
    """A certificate that the merchant says is its gateway's, and the key to it."""

    der: bytes
    chain: tuple[bytes, ...]
    party_id: str
    key: Any
    brand: str
    kind: CertificateKind = CertificateKind.GATEWAY_EXCHANGE

    @property
    def thumbprint(self) -> bytes:
        return thumbprint(self.der)


def honest_gateway(market: Market) -> Claimed:
    """The truth: to see that the attack is built right."""
    credentials = market.gateway.credentials
    key = market.gateway.exchange_key()
    return Claimed(key.certificate, credentials.chain, credentials.party.name, None, market.tree.brand)


def own_exchange_certificate(market: Market) -> Claimed:
    """The merchant's own, under its own name or the gateway's."""
    key = market.merchant.exchange_key()
    name = market.gateway.party.name
    return Claimed(key.certificate, market.merchant.credentials.chain, name, key.private_key, market.tree.brand)


def own_exchange_certificate_and_name(market: Market) -> Claimed:
    key = market.merchant.exchange_key()
    name = market.merchant.party.name
    return Claimed(key.certificate, market.merchant.credentials.chain, name, key.private_key, market.tree.brand)


def gateway_of_another_root(market: Market) -> Claimed:
    """The same names all the way up, but the keys are the attacker's."""
    tree = build_brand_tree(market.suite, now=NOW - timedelta(days=1), brand=market.tree.brand)
    issued = tree.issue_gateway(market.gateway.party.name)
    return Claimed(
        issued.exchange_certificate or b"",
        issued.chain,
        market.gateway.party.name,
        issued.exchange_key,
        market.tree.brand,
    )


def gateway_by_another_ca(market: Market) -> Claimed:
    """A gateway's name in a certificate that the merchant CA issued: it may not issue another kind."""
    tree, key = market.tree, market.tree.suite.generate_exchange_key()
    certificate = tree.mca.issue(
        CertificateKind.MERCHANT_EXCHANGE,
        gateway_name(tree.country, tree.brand, "Acquiring Bank", "gateway-x"),
        key.public_key(),
        not_before=tree.now,
        extensions=merchant_data(market),
    )
    return Claimed(certificate.public_bytes(Encoding.DER), tree.mca.chain, "gateway-x", key, tree.brand)


def merchant_data(market: Market) -> tuple[Any, ...]:
    """As every merchant certificate has it."""
    name = MerchantName(language="en", name="Shop", city="Capital", country_name=market.tree.country)
    return (MerchantData(mer_id="x", mer_acquirer_bin=ACQUIRER_BIN, mer_name_seq=(name,), mer_country=999),)


def gateways_signature_certificate(market: Market) -> Claimed:
    """A good gateway's certificate for the other purpose."""
    credentials = market.gateway.credentials
    return Claimed(credentials.signer.certificate, credentials.chain, credentials.party.name, None, market.tree.brand)


def another_gateway_under_this_name(market: Market) -> Claimed:
    """A corrupt gateway's good certificate, called by the honest one's name."""
    issued = market.tree.issue_gateway("mallory")
    return Claimed(
        issued.exchange_certificate or b"",
        issued.chain,
        market.gateway.party.name,
        issued.exchange_key,
        market.tree.brand,
    )


def corrupt_gateway_of_the_brand(market: Market) -> Claimed:
    """Not an attack that can be stopped: the brand says that this is a gateway."""
    issued = market.tree.issue_gateway("mallory")
    return Claimed(issued.exchange_certificate or b"", issued.chain, "mallory", issued.exchange_key, market.tree.brand)


def try_to_buy(market: Market, claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, Spy]:
    """(whether the cardholder paid, what merchant and claimed gateway together know)."""
    monkeypatch.setattr(market.merchant, "gateway", lambda transaction: claimed)
    lid_c, request = market.cardholder.start(market.order("EUR 42.00", b"one book"))
    market.deliver(Role.cardholder, request)
    wire = [delivery.message.data for delivery in market.deliveries]
    try:
        wire.append(market.cardholder.pay(lid_c).data)
        paid = True
    except UsageError:
        paid = False
    keys = [market.merchant.exchange_key().private_key, market.merchant.credentials.signer._key]
    keys += [] if claimed.key is None else [claimed.key]
    return paid, Spy(wire, [Loot(private_keys=tuple(keys))], suite=market.suite)


FALSE_GATEWAYS = [
    own_exchange_certificate,
    own_exchange_certificate_and_name,
    gateway_of_another_root,
    gateway_by_another_ca,
    gateways_signature_certificate,
    another_gateway_under_this_name,
]


@pytest.mark.parametrize("claim", FALSE_GATEWAYS, ids=lambda claim: claim.__name__)
@pytest.mark.prop("PU-8", "PU-14")
def test_a_merchant_cannot_have_the_payment_sealed_to_a_key_of_its_choice(
    claim: Callable[[Market], Claimed], monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market.open("p256", now=NOW)
    paid, spy = try_to_buy(market, claim(market), monkeypatch)
    assert not paid
    assert scanner_for(market.card).hits(spy.known) == set()
    assert any(to is Role.cardholder and event.kind is EventKind.REFUSED for to, event in market.events)


@pytest.mark.parametrize(
    ("claim", "expected"), [(honest_gateway, False), (corrupt_gateway_of_the_brand, True)], ids=["honest", "corrupt"]
)
def test_the_same_merchant_with_a_gateway_of_the_brand_is_paid(
    claim: Callable[[Market], Claimed], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacks above are built right; and a gateway is believed because the brand's CA says so (A-7).

    So whoever has the gateway CA's key (or the brand's) and a merchant's can make a gateway, and gets the cards of
    those who then pay: it is what PU-8 calls a corrupt gateway.  CRLs and the BrandCRLIdentifier are for this.
    """
    market = Market.open("p256", now=NOW)
    paid, spy = try_to_buy(market, claim(market), monkeypatch)
    assert paid
    assert ("PAN in ASCII" in scanner_for(market.card).hits(spy.known)) is expected


@pytest.mark.prop("PU-8")
def test_a_gateway_that_was_revoked_after_the_offer_is_not_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is known to be corrupt is corrupt no more: even between PInitRes and PReq."""
    market = Market.open("p256", now=NOW)
    lid_c, request = market.cardholder.start(market.order("EUR 42.00", b"one book"))
    market.deliver(Role.cardholder, request)
    market.clock.advance(timedelta(seconds=1))
    certificate = x509.load_der_x509_certificate(market.gateway.exchange_key().certificate)
    market.tree.pca.revoke(certificate.serial_number, market.clock())
    for crl in market.tree.crls(market.clock()):
        market.cardholder.validator.add_crl(crl)
    with pytest.raises(Exception, match=r"revoked"):
        market.cardholder.pay(lid_c)
