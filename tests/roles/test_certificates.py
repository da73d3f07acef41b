"""Every role refuses messages signed under the wrong certificate, whatever else is right about them (PX-12).

The same message, made again by its genuine sender's name and numbers, under each wrong certificate in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from pki import Authority, BrandTree, CertificateKind, build_brand_tree
from pki.names import ca_name
from setproto.crypto.cms import Signer
from setproto.errors import CertificateRefused, ErrorCode
from setproto.market import TRADERS, Market, certify_card, credentials
from setproto.messages.common import Role
from setproto.roles.credentials import Credentials, party_of
from setproto.roles.ports import Reply
from tests.pki.forging import Draft, key_of, serial_of
from tests.roles.scenes import (
    KIND,
    LONG_STORY,
    Scene,
    assert_dropped,
    assert_refused,
    before,
    exchange_of,
    in_the_name_of,
    market_pi,
    opened,
    preq_again,
    remade,
    signed_again,
    state,
    taken_apart,
)

DAY = timedelta(days=1)


def sibling(tree: BrandTree, brand: str = "Other") -> BrandTree:
    """Another brand under the same root."""
    suite = tree.suite

    def below(superior: Authority, kind: CertificateKind, text: str) -> Authority:
        name = ca_name(tree.country, brand, text)
        return superior.issue_authority(kind, name, suite.generate_signature_key(), not_before=tree.now)

    brand_ca = below(tree.root, CertificateKind.BRAND_CA, "Brand CA")
    return replace(
        tree,
        brand=brand,
        brand_ca=brand_ca,
        cca=below(brand_ca, CertificateKind.CARDHOLDER_CA, "Cardholder CA"),
        mca=below(brand_ca, CertificateKind.MERCHANT_CA, "Merchant CA"),
        pca=below(brand_ca, CertificateKind.GATEWAY_CA, "Payment Gateway CA"),
    )


def issued_by(tree: BrandTree, market: Market, role: Role) -> Credentials:
    """Credentials for the market's party in this role, from the CAs of this tree."""
    party = market.parties[role].party
    if role is Role.cardholder:
        return certify_card(tree, market.card)
    if role is Role.merchant:
        issued = tree.issue_merchant(party.name, "Corner Bookshop", market.gateway._acquirer_bin)
    else:
        issued = tree.issue_gateway(party.name)
    return credentials(issued, party, market.suite)


def ca_of(tree: BrandTree, role: Role) -> Authority:
    return {Role.cardholder: tree.cca, Role.merchant: tree.mca, Role.gateway: tree.pca}[role]


def redrafted(market: Market, role: Role, change: Callable[[Draft], Draft], by: Authority | None = None) -> Credentials:
    """The party's own certificate with something changed, signed again by its CA or another."""
    own = market.parties[role].credentials
    changed = change(Draft.of(own.signer.certificate)).signed(by or ca_of(market.tree, role))
    chain = own.chain if by is None else by.chain
    return replace(own, signer=Signer(own.signer._key, changed, own.signer.suite), chain=chain)


def valid(draft: Draft, since: datetime, until: datetime) -> Draft:
    """Validity and private key usage period moved."""
    draft.not_before, draft.not_after = since, until
    if any(isinstance(value, x509.PrivateKeyUsagePeriod) for value, _ in draft.extensions):
        draft.put(x509.PrivateKeyUsagePeriod(since, until), critical=False)
    return draft


def expired(market: Market, role: Role) -> Credentials:
    now = market.clock()
    return redrafted(market, role, lambda draft: valid(draft, now - DAY, now - timedelta(minutes=1)))


def not_yet_valid(market: Market, role: Role) -> Credentials:
    now = market.clock()
    return redrafted(market, role, lambda draft: valid(draft, now + timedelta(minutes=1), now + DAY))


def mixed_brand(market: Market, role: Role) -> Credentials:
    """The subject is of this brand, the CA that signed it is of another one under the same root."""
    other = ca_of(sibling(market.tree), role)

    def change(draft: Draft) -> Draft:
        draft.issuer = other.certificate.subject
        ski = other.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)

    return redrafted(market, role, change, by=other)


def wrong_role(market: Market, role: Role) -> Credentials:
    other = {Role.cardholder: Role.merchant, Role.merchant: Role.gateway, Role.gateway: Role.merchant}[role]
    return market.parties[other].credentials


def wrong_usage(market: Market, role: Role) -> Credentials:
    """The party's own key-exchange key and certificate, used to sign."""
    own = market.parties[role].credentials
    assert own.exchange is not None
    return replace(own, signer=Signer(own.exchange.private_key, own.exchange.certificate, own.signer.suite))


def untrusted_root(market: Market, role: Role) -> Credentials:
    tree = build_brand_tree(market.suite, now=market.tree.now, brand=market.tree.brand)
    return issued_by(tree, market, role)


def other_brand(market: Market, role: Role) -> Credentials:
    return issued_by(sibling(market.tree), market, role)


def ca_as_party(market: Market, role: Role) -> Credentials:
    """The CA signs the message itself."""
    ca, own = ca_of(market.tree, role), market.parties[role].credentials
    return replace(own, signer=Signer(key_of(ca), ca.chain[0], own.signer.suite))


WRONG = {
    expired: ErrorCode.expiredCertificate,
    not_yet_valid: ErrorCode.invalidCertificate,
    mixed_brand: ErrorCode.invalidCertificate,
    wrong_role: ErrorCode.invalidCertificate,
    wrong_usage: ErrorCode.invalidCertificate,
    untrusted_root: ErrorCode.missingCertificate,
    other_brand: ErrorCode.invalidCertificate,
    ca_as_party: ErrorCode.invalidCertificate,
}
SIGNED = [name for name in LONG_STORY if name != "PInitReq"]


def made_by(scene: Scene, keys: Callable[[Market, Role], Credentials]) -> bytes:
    """The message in hand again, under other keys."""
    assert scene.hand is not None
    role = KIND[scene.hand.name].sender
    sender = in_the_name_of(scene.market, scene.market.parties[role], keys(scene.market, role))
    if scene.hand.name == "PReq":
        return preq_again(scene.market, taken_apart(scene.market, scene.data), signer=sender)
    return remade(scene, sender=sender)


def assert_not_taken(name: str, reply: Reply, code: ErrorCode) -> None:
    (assert_dropped if KIND[name].sender is Role.gateway else assert_refused)(reply, code)


CASES = [
    pytest.param(keys, name, id=f"{keys.__name__}-{name}")
    for keys in WRONG
    for name in SIGNED
    if not (keys is wrong_usage and KIND[name].sender is Role.cardholder)  # who has no other key
]


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize(("keys", "name"), CASES)
def test_a_message_under_a_certificate_that_is_not_good_for_it(
    keys: Callable[[Market, Role], Credentials], name: str
) -> None:
    scene = before(name)
    data, kept = made_by(scene, keys), state(scene.market)
    assert_not_taken(name, scene.receiver.handle(data), WRONG[keys])
    assert state(scene.market) == kept


@pytest.mark.parametrize("name", SIGNED)
def test_the_same_message_under_the_right_certificate_is_taken(name: str) -> None:
    """So that the refusals above are for the certificate, and not for how the message was made."""
    scene = before(name)
    data = made_by(scene, lambda market, role: market.parties[role].credentials)
    reply = scene.receiver.handle(data)
    assert "REFUSED" not in {event.kind.name for event in reply.events}


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("name", SIGNED)
def test_a_message_under_a_certificate_that_was_revoked(name: str) -> None:
    """Revoked after it was used and cached, minutes before."""
    scene = before(name)
    market, role = scene.market, KIND[name].sender
    ca_of(market.tree, role).revoke(serial_of(market.parties[role].credentials.signer.certificate), market.clock())
    for crl in market.tree.crls(market.clock()):
        scene.receiver.validator.add_crl(crl)
    kept = state(market)
    assert_not_taken(name, scene.receiver.handle(scene.data), ErrorCode.revokedCertificate)
    assert state(market) == kept


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize(
    "keys", [expired, mixed_brand, wrong_role, untrusted_root, other_brand], ids=lambda k: k.__name__
)
def test_a_payment_instruction_under_a_cardholder_certificate_that_is_not_good(
    keys: Callable[[Market, Role], Credentials],
) -> None:
    """At the gateway, which does not rely on the merchant's having looked."""
    scene = before("AuthReq")
    market = scene.market
    holder = in_the_name_of(market, market.cardholder, keys(market, Role.cardholder))
    preq = preq_again(market, taken_apart(market, scene.sent["PReq"].data), signer=holder)
    data, kept = remade(scene, baggage=market_pi(market, preq)), state(market)
    assert_refused(market.gateway.handle(data), WRONG[keys])
    assert state(market) == kept


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("role", TRADERS)
def test_without_current_revocation_lists_nobody_is_believed(role: Role) -> None:
    """31 days later every CRL has run out; messages of that day meet no current list."""
    name = {Role.cardholder: "PInitRes", Role.merchant: "InqReq", Role.gateway: "CapReq"}[role]
    scene = before(name)
    market = scene.market
    fresh = market.tree.validator(market.clock() + timedelta(days=31))
    received = opened(market, name, scene.data)
    market.clock.advance(timedelta(days=31))
    sender = market.parties[KIND[name].sender]
    sender.validator = fresh  # the sender is up to date, the receiver is not
    seal_to = market.gateway if role is Role.gateway else None
    to, options = received.body.head.recipient, {"seal_to": seal_to, "baggage": received.baggage}
    if role is Role.gateway:
        old, market.gateway.validator = market.gateway.validator, fresh
        data = signed_again(sender, KIND[name], received.body, to, **options)
        market.gateway.validator = old
    else:
        data = signed_again(sender, KIND[name], received.body, to, **options)
    kept = state(market)
    assert_refused(market.parties[role].handle(data), ErrorCode.missingCertificate)
    assert state(market) == kept


def test_a_certificate_names_a_party_of_its_own_role_only() -> None:
    certificate = exchange_of(Market.open().gateway)
    assert party_of(certificate, Role.gateway).role is Role.gateway
    for role in (Role.cardholder, Role.merchant):
        with pytest.raises(CertificateRefused, match="another role"):
            party_of(certificate, role)
