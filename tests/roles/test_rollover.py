"""A root is replaced while purchases go on: old and new certificates trade with each other (§6.8; PX-19)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pki import BrandTree, PathValidator, build_brand_tree
from setproto.errors import ErrorCode
from setproto.market import ACQUIRER_BIN, Market, credentials
from setproto.messages.codes import CompletionCode
from setproto.messages.common import PartyID, Role
from setproto.roles.merchant import Merchant
from setproto.roles.ports import EventKind
from setproto.store import MemoryStore


def shop_under(market: Market, tree: BrandTree, *, announces_the_root: bool = True) -> Merchant:
    """A merchant that was certified in ``tree``; whoever meets it first is shown the new root, too."""
    issued = tree.issue_merchant("new-shop", "New Bookshop", ACQUIRER_BIN)
    party = PartyID(role=Role.merchant, brand=tree.brand, name="new-shop")
    own = credentials(issued, party, tree.suite.name)
    chain = (*own.chain, tree.root_der) if announces_the_root else own.chain
    return Merchant(
        replace(own, chain=chain),
        trusting_both(market, tree) if tree.old_root is not None else tree.validator(market.clock()),
        MemoryStore(),
        cert_pe=market.gateway.exchange_key().certificate,
        clock=market.clock,
        random=market.random,
        held=market.gateway.credentials.chain,
    )


def trusting_both(market: Market, tree: BrandTree) -> PathValidator:
    """As somebody has it who knew the old root, and has been shown the new one and what is published since."""
    validator = market.tree.validator(market.clock())
    assert validator.add_root(tree.root_der)
    validator.add_intermediates(tree.ca_certificates)
    crls = tree.crls(market.clock())
    for crl in crls:
        validator.add_crl(crl)
    validator.add_bci(tree.bci(crls, market.clock()))
    return validator


def after_rollover(suite: str = "p256") -> tuple[Market, Market]:
    """A market, and the same with a merchant under the new root, of which nobody else has heard."""
    market = Market.open(suite)
    market.clock.advance(timedelta(days=1))
    new = market.tree.roll_over(market.clock())
    return market, replace(market, tree=new, merchant=shop_under(market, new))


@pytest.mark.prop("PX-19")
@pytest.mark.parametrize("suite", ["p256", "rsa3072", "ed25519", "mldsa65"])
def test_a_wallet_that_knows_the_old_root_buys_under_the_new_one(suite: str) -> None:
    market, renewed = after_rollover(suite)
    assert market.buy("EUR 10.00", b"before").completion_code is CompletionCode.capturePerformed
    assert renewed.buy("EUR 10.00", b"after").completion_code is CompletionCode.capturePerformed
    assert market.buy("EUR 10.00", b"under the old root").completion_code is CompletionCode.capturePerformed
    roots = renewed.cardholder.validator.roots
    assert set(roots) == {market.tree.root_der, renewed.tree.root_der}


@pytest.mark.prop("PX-19")
def test_a_root_to_which_nothing_committed_is_not_believed() -> None:
    market, _ = after_rollover()
    stranger = build_brand_tree("p256", now=market.clock() - timedelta(days=1), brand=market.tree.brand)
    cheated = replace(market, merchant=shop_under(market, stranger))
    lid_c, request = cheated.cardholder.start(cheated.order("EUR 10.00", b"a trap"))
    cheated.deliver(Role.cardholder, request)
    refused = [event for role, event in cheated.events if role is Role.cardholder]
    assert [event.kind for event in refused] == [EventKind.REFUSED]
    assert refused[0].code is ErrorCode.missingCertificate
    assert cheated.cardholder.purchase(lid_c).shop is None
    assert cheated.cardholder.validator.roots == (market.tree.root_der,)


@pytest.mark.prop("PX-19")
def test_whoever_is_not_shown_the_new_root_goes_by_the_old_one() -> None:
    """The brand CA has one key and a certificate under each root: what it leads to is valid under either."""
    market, renewed = after_rollover()
    silent = replace(market, merchant=shop_under(market, renewed.tree, announces_the_root=False))
    assert silent.buy("EUR 10.00", b"after").completion_code is CompletionCode.capturePerformed
    assert silent.cardholder.validator.roots == (market.tree.root_der,)
