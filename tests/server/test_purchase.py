"""Buying through the real servers."""

from __future__ import annotations

import json

import pytest

from setproto.errors import UsageError
from setproto.messages.codes import CompletionCode
from tests.server.buyer import FORM, PENNILESS, Buyer, Refused
from tests.server.running import Running


@pytest.fixture(scope="module")
def buyer(shop: Running) -> Buyer:
    return shop.buyer()


def test_a_purchase_from_order_form_to_receipt(buyer: Buyer) -> None:
    bought = buyer.buy()
    assert bought.outcome == "approved"
    receipt = buyer.receipt(bought)
    assert receipt is not None
    assert receipt.completion_code is CompletionCode.authorizationPerformed
    assert (str(receipt.amount), str(receipt.authorized), str(receipt.captured)) == (
        "EUR 27.50",
        "EUR 27.50",
        "EUR 0.00",
    )
    described = json.loads(receipt.description)
    assert described["merchant"] == "Corner Bookshop"
    assert described["delivery"]["recipient"] == "Grace Hopper"
    assert receipt.customer_code.startswith("C-")


def test_T58_unit_price_amount_and_delivery_are_answered_at_once(shop: Running) -> None:
    transport = shop.client("merchant")
    assert transport.json("GET", "/merchant") == {"name": "Corner Bookshop", "currency": "EUR", "brands": ["Marque"]}
    assert {
        "id": "pencil",
        "name": "Pencil",
        "description": "Graphite, HB",
        "unit_price": "EUR 1.20",
    } in transport.json("GET", "/catalogue")["items"]
    answer = transport.json("POST", "/orders", FORM)
    assert answer["amount"] == "EUR 27.50"
    with pytest.raises(UsageError, match="no item 'moon'"):
        transport.json("POST", "/orders", {**FORM, "items": [{"id": "moon", "quantity": 1}]})


def test_T63_decline_then_other_card(shop: Running, buyer: Buyer) -> None:
    penniless = shop.buyer(PENNILESS)
    order = penniless.order()
    first = penniless.start(order)
    assert penniless.pay(first) == "declined"
    assert penniless.receipt(first) is None
    second = buyer.start(order)
    assert buyer.pay(second) == "approved"


def test_the_bank_does_not_know_the_card(shop: Running) -> None:
    with pytest.raises(Refused, match="rejectedByIssuer"):
        shop.buyer(("4111111111111111", "Mallory"))
