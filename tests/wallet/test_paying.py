"""Buying with a wallet (trade.md T59, T63, T64, T68): the steps, declines, losses, and what must not happen twice."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pki import thumbprint
from pki.der import decode
from setproto.audit import audit
from setproto.errors import SetError, UsageError
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role
from setproto.messages.purchase import PInitReq
from setproto.messages.wrapper import unwrap
from setproto.roles.merchant import records
from setproto.roles.ports import AuthorizationDecision, AuthorizationRequest, NoReply
from setproto.wallet import paying, recorder
from setproto.wallet.items import Wallet
from setproto.wallet.paying import NotGenuine, Standing, Till
from tests.wallet.world import EMPTY, FULL, Street, create, form


@pytest.fixture
def street() -> Street:
    return Street.open()


@pytest.fixture
def wallet(street: Street, tmp_path: Path) -> Iterator[Wallet]:
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        street.registered(wallet, "empty", EMPTY, "EUR 0.00")
        street.registered(wallet, "full", FULL, "EUR 1000.00")
        yield wallet


@pytest.fixture
def till(street: Street, wallet: Wallet) -> Till:
    return street.till(wallet)


def test_a_purchase_from_order_form_to_receipt(street: Street, wallet: Wallet, till: Till) -> None:
    order = till.quote(form("atlas", "pencil", "pencil"))
    assert str(order.amount) == "EUR 28.90"
    assert till.approach(order.lid_m, "full") == "Corner Bookshop"
    outcome = till.pay(order.lid_m)
    assert (outcome.standing, outcome.said) == (Standing.PAID, "approved")
    receipt = till.fetch_receipt(order.lid_m)
    assert receipt is not None
    assert receipt.receipt.authorized == order.amount
    (entry,) = recorder.entries(wallet)
    assert (entry.merchant, entry.means, entry.standing) == ("Corner Bookshop", "full", Standing.PAID)
    assert entry.receipt == receipt.receipt
    assert street.paid() == [order.lid_m]


def test_the_merchant_does_not_send_the_ca_certificates_that_came_with_the_shop(street: Street, till: Till) -> None:
    published = street.trust.cas
    assert set(street.market.merchant.credentials.chain) <= set(published)
    till.approach(till.quote(form()).lid_m, "full")
    thumbs = decode(PInitReq, unwrap(street.server.wire[0]).body).thumbs
    assert thumbs is not None
    assert thumbs.cert_thumbs == list(map(thumbprint, published))
    answer = next(value for key, value in street.market.stores[Role.merchant].dump().items() if key[0] == "answers")
    assert not any(der in answer for der in published)
    with till._wallet.vault.transaction() as transaction:
        assert audit(transaction, street.trust.roots).verified == 2, "the record has them all the same"


def test_T63_decline_then_other_card(street: Street, till: Till) -> None:
    order = till.quote(form())
    till.approach(order.lid_m, "empty")
    outcome = till.pay(order.lid_m)
    assert outcome.standing is Standing.DECLINED
    assert outcome.said in AuthCode.__members__
    till.approach(order.lid_m, "full")
    assert till.pay(order.lid_m).standing is Standing.PAID
    xids = [till._holder(one.card).purchase(one.lid_c).shop for one in paying.order(till._wallet, order.lid_m).attempts]
    assert None not in xids
    assert len({shop.trans_ids.xid for shop in xids if shop}) == 2
    assert street.paid() == [order.lid_m]


def test_T68_a_merchant_of_another_name_gets_nothing(street: Street, till: Till) -> None:
    def forge(answer: Any) -> Any:
        said = json.loads(base64.b64decode(answer["description"]))
        said["merchant"] = "Another Bookshop"
        return {**answer, "description": base64.b64encode(json.dumps(said).encode()).decode()}

    street.server.tamper = forge
    order = till.quote(form())
    with pytest.raises(NotGenuine, match="the order is of Another Bookshop, but the certificate of Corner Bookshop"):
        till.approach(order.lid_m, "full")
    assert len(street.server.wire) == 1, "only the question who it is"
    with pytest.raises(UsageError, match="no merchant has been shown"):
        till.pay(order.lid_m)


def test_T68_a_merchant_under_another_root_gets_nothing(street: Street, till: Till) -> None:
    impostor = Street.open()
    till._server = impostor.server
    order = till.quote(form())
    with pytest.raises(NotGenuine, match="refused"):
        till.approach(order.lid_m, "full")
    assert len(impostor.server.wire) == 1
    elsewhere = replace(street.trust, roots=impostor.trust.roots)
    with pytest.raises(UsageError, match="another root than the card"):
        Till(till._wallet, elsewhere, street.server, "x").approach(order.lid_m, "full")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda said: said["lines"][0].update(id="map"), "other items"),
        (lambda said: said.update(total="EUR 1.00"), "does not add up"),
        (lambda said: said["delivery"].update(recipient="Mallory"), "somebody else"),
        (lambda said: said["delivery"].update(deliver_by="2027-01-01"), "too late"),
        (lambda said: (said["delivery"].update(cost="EUR 3.50"), said.update(total="EUR 27.50")), "another amount"),
        (lambda said: said.update(extra=1), "no such key"),
    ],
)
def test_an_offer_that_is_not_what_was_asked_for_is_not_kept(
    street: Street, wallet: Wallet, till: Till, change: Any, complaint: str
) -> None:
    def forge(answer: Any) -> Any:
        said = json.loads(base64.b64decode(answer["description"]))
        change(said)
        return {**answer, "description": base64.b64encode(json.dumps(said).encode()).decode()}

    street.server.tamper = forge
    asked = form("atlas", deliver_by=(street.office.clock() + timedelta(days=30)).date())
    with pytest.raises(UsageError, match=complaint):
        till.quote(asked)
    assert recorder.entries(wallet) == []


def test_an_answer_that_is_lost_is_asked_for_again(street: Street, till: Till) -> None:
    order = till.quote(form())
    till.approach(order.lid_m, "full")
    street.server.lose = lambda name: "back" if name == "PReq" else None
    assert till.pay(order.lid_m).standing is Standing.PENDING
    assert till.unsettled() == [paying.order(till._wallet, order.lid_m)]
    with pytest.raises(UsageError, match="an earlier attempt is not decided yet"):
        till.approach(order.lid_m, "empty")
    with pytest.raises(UsageError, match="not decided yet"):
        till.pay(order.lid_m)
    street.server.lose = lambda name: None
    assert till.settle(order.lid_m).standing is Standing.PAID
    first, second = (data for data in street.server.wire if len(data) > 4000)
    assert first == second, "the same octets"
    assert street.paid() == [order.lid_m]


def test_T63_the_merchant_gives_up_and_another_card_is_tried(
    street: Street, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank does not answer the gateway, nor the gateway the merchant, until the merchant waits no longer."""
    order = till.quote(form())
    till.approach(order.lid_m, "empty")
    with monkeypatch.context() as bank:
        bank.setattr(street.market.issuer, "authorize", unanswered)
        assert till.pay(order.lid_m).standing is Standing.PENDING
        assert till.settle(order.lid_m).standing is Standing.PENDING
    with street.market.merchant.store.transaction() as transaction:
        xid = records.order(transaction, order.lid_m).xid
    assert xid is not None
    street.market.deliver(Role.merchant, street.market.merchant.give_up(xid))
    outcome = till.settle(order.lid_m)
    assert (outcome.standing, outcome.said) == (Standing.DECLINED, "noReply")
    till.approach(order.lid_m, "full")
    assert till.pay(order.lid_m).standing is Standing.PAID
    assert street.paid() == [order.lid_m]


def test_a_card_that_was_revoked_meanwhile_learns_that_it_did_not_pay(
    street: Street, wallet: Wallet, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merchant takes no inquiry of it any more; what it answered to the payment lies there."""
    order = till.quote(form())
    till.approach(order.lid_m, "full")
    merchant = street.market.merchant
    with monkeypatch.context() as bank:
        bank.setattr(street.market.issuer, "authorize", unanswered)
        till.pay(order.lid_m)
        outcome = till.settle(order.lid_m)
    assert (outcome.standing, outcome.said) == (Standing.PENDING, "orderReceived")
    own = wallet.card("full").registered
    assert own is not None
    serial = x509.load_der_x509_certificate(own.certificate).serial_number
    street.office.tree.cca.revoke(serial, street.office.clock())
    for crl in street.office.tree.crls(street.office.clock()):
        merchant.validator.add_crl(crl)
    outcome = till.settle(order.lid_m)
    assert (outcome.standing, "revokedCertificate" in outcome.said) == (Standing.PENDING, True)
    with merchant.store.transaction() as transaction:
        xid = records.order(transaction, order.lid_m).xid
    assert xid is not None
    street.market.deliver(Role.merchant, merchant.give_up(xid))
    assert till.settle(order.lid_m).standing is Standing.DECLINED
    assert street.paid() == []


def unanswered(request: AuthorizationRequest) -> AuthorizationDecision:
    raise NoReply


def test_a_payment_that_never_arrived_is_given_up_only_when_it_can_no_longer_arrive(street: Street, till: Till) -> None:
    order = till.quote(form())
    till.approach(order.lid_m, "full")
    street.server.lose = lambda name: "there" if name == "PReq" else None
    till.pay(order.lid_m)
    assert till.settle(order.lid_m).standing is Standing.PENDING
    with pytest.raises(UsageError, match="not decided yet"):
        till.approach(order.lid_m, "full")
    street.office.clock.advance(timedelta(minutes=20))
    assert till.settle(order.lid_m).standing is Standing.PENDING, "another clock may be behind this one"
    street.office.clock.advance(timedelta(minutes=11))
    assert till.settle(order.lid_m).standing is Standing.DECLINED
    street.server.lose = lambda name: None
    till.approach(order.lid_m, "full")
    assert till.pay(order.lid_m).standing is Standing.PAID
    assert street.paid() == [order.lid_m]


def test_what_becomes_of_a_payment_later_is_asked_for(street: Street, wallet: Wallet, till: Till) -> None:
    order = till.quote(form())
    till.approach(order.lid_m, "full")
    till.pay(order.lid_m)
    held = till.fetch_receipt(order.lid_m)
    (attempt,) = paying.order(wallet, order.lid_m).attempts
    shop = till._holder("full").purchase(attempt.lid_c).shop
    assert shop is not None
    street.market.deliver(Role.merchant, street.market.merchant.capture(shop.trans_ids.xid))
    assert till.refresh(order.lid_m).standing is Standing.CAPTURED
    captured = till.fetch_receipt(order.lid_m)
    assert held is not None
    assert captured is not None
    assert (held.receipt.captured.amount, captured.receipt.captured) == (0, order.amount)


def test_a_receipt_for_another_purchase_is_not_kept(street: Street, wallet: Wallet, till: Till) -> None:
    octets = []
    for _ in range(2):
        order = till.quote(form())
        till.approach(order.lid_m, "full")
        till.pay(order.lid_m)
        street.server.tamper = lambda data: octets.append(data) or data
        till.fetch_receipt(order.lid_m)
        street.server.tamper = lambda answer: answer
    street.server.tamper = lambda data: octets[0]
    before = recorder.find(wallet, order.lid_m.hex()).kept
    with pytest.raises(UsageError, match="for another purchase"):
        till.fetch_receipt(order.lid_m)
    street.server.tamper = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(SetError):
        till.fetch_receipt(order.lid_m)
    assert recorder.find(wallet, order.lid_m.hex()).kept == before
