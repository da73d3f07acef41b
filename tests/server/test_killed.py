"""The merchant is killed between any two steps of a purchase: nothing is lost, nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from setproto.client import PAYMENT, HTTPTransport
from setproto.errors import Unreachable
from setproto.server.config import MerchantConfig, load
from setproto.server.stores import open_store
from tests.server.buyer import Bought, Buyer
from tests.server.parts import PATIENCE, Parts, parts
from tests.server.running import setproto

PRICE = 2750
"""Cents."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with parts(tmp_path_factory.mktemp("killed") / "shop") as running:
        yield running


@pytest.fixture(scope="module")
def buyer(shop: Parts) -> Buyer:
    return shop.buyer()


def crash(shop: Parts) -> None:
    shop.kill("merchant")
    shop.restart("merchant")


def ask_until_told(buyer: Buyer, bought: Bought) -> str:
    """As a wallet does that was left without an answer."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if buyer.inquire(bought) not in ("", "orderReceived"):
                break
        except Unreachable:
            time.sleep(0.05)
    return bought.outcome


def test_killed_at_every_pause(shop: Parts, buyer: Buyer) -> None:
    before = shop.available()
    order = buyer.order()
    crash(shop)
    bought = buyer.start(order)
    crash(shop)
    assert buyer.pay(bought) == "approved"
    crash(shop)
    receipt = buyer.receipt(bought)
    assert receipt is not None
    assert str(receipt.authorized) == "EUR 27.50"
    crash(shop)
    assert buyer.pay(bought) == "approved"  # the same PReq again, and the same answer
    shipped = setproto("merchant", "ship", bought.lid_m.hex(), "--data", shop.directory)
    assert shipped.stdout.endswith(": success\n")
    crash(shop)
    assert buyer.inquire(bought) == "success"
    assert before - shop.available() == PRICE


@pytest.mark.parametrize("silent", ["gateway", "bank"])
def test_killed_while_it_waits_for_the_gateway(shop: Parts, buyer: Buyer, silent: str) -> None:
    """The order was taken, and the gateway, or the bank behind it, has not answered when the merchant dies."""
    before = shop.available()
    bought = buyer.start(buyer.order())
    asked = requests(shop)
    shop.freeze(silent)
    preq = buyer.role.pay(bought.lid_c).data

    def post() -> None:
        with HTTPTransport(shop.url("merchant"), timeout=PATIENCE) as client, pytest.raises(Unreachable):
            client.post(preq, PAYMENT)

    waiting = threading.Thread(target=post)
    waiting.start()
    wait_until_asked(shop, asked)
    shop.kill("merchant")
    waiting.join()
    shop.thaw(silent)
    shop.restart("merchant")
    assert ask_until_told(buyer, bought) == "approved"
    assert before - shop.available() == PRICE


def test_T69_the_wallet_is_told_that_its_order_was_taken_and_asks_again(shop: Parts, buyer: Buyer) -> None:
    """The gateway is away for longer than the merchant waits."""
    before = shop.available()
    bought = buyer.start(buyer.order())
    shop.kill("gateway")
    with pytest.raises(Unreachable, match="202"):
        buyer.pay(bought)
    assert buyer.inquire(bought) == "orderReceived"
    shop.restart("gateway")
    assert ask_until_told(buyer, bought) == "approved"
    assert before - shop.available() == PRICE


@pytest.mark.parametrize("role", ["gateway", "bank", "ca"])
def test_the_others_can_be_killed_too(shop: Parts, buyer: Buyer, role: str) -> None:
    before = shop.available()
    bought = buyer.start(buyer.order())
    shop.kill(role)
    shop.restart(role)
    try:
        buyer.pay(bought)
    except Unreachable:
        ask_until_told(buyer, bought)
    if bought.outcome != "approved":
        ask_until_told(buyer, bought)
    shop.kill(role)
    shop.restart(role)
    assert buyer.inquire(bought) == "approved"
    assert before - shop.available() == PRICE


def requests(shop: Parts) -> int:
    """How many the merchant has made to its gateway."""
    config = load(MerchantConfig, shop.directory / "merchant" / "merchant.toml")
    store = open_store(config.database, "merchant")
    try:
        with store.transaction() as transaction:
            return sum(1 for _ in transaction.items("requests"))
    finally:
        store.close()


def wait_until_asked(shop: Parts, asked: int) -> None:
    """Until the merchant has written down that it asks the gateway."""
    deadline = time.monotonic() + PATIENCE
    while requests(shop) == asked:
        assert time.monotonic() < deadline
        time.sleep(0.02)
