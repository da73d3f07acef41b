"""A wallet as a process: buys and buys at one shop, with one card after the other, until it is killed.

``python -m tests.faults.processes.shopper WALLET SHOP SEED``.  Started again on the same file it first finds out what
became of what was interrupted.  Whatever is not one of our errors ends it, and the test sees that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from setproto.client import HTTPTransport
from setproto.errors import SetError
from setproto.shop.orders import OrderForm
from setproto.wallet.items import Wallet
from setproto.wallet.paying import Standing, Till
from setproto.wallet.registering import register
from setproto.wallet.trust import read_shop
from setproto.wallet.vault import Passphrase, Vault
from tests.server.buyer import now

PASSPHRASE = Passphrase("nobody's secret but everybody's")
HOLDER = "Ada Lovelace"
ITEMS = ("notebook", "pencil", "atlas")


class Shopper:
    """Somebody with a wallet at a shop."""

    def __init__(self, wallet: Wallet, shop: Path, timeout: float = 20) -> None:
        place = read_shop(shop)
        self.wallet = wallet
        self.trust = place.trust
        self.ca = HTTPTransport(place.ca, timeout=timeout)
        self.merchant = HTTPTransport(place.merchant, timeout=timeout)
        self.till = Till(wallet, place.trust, self.merchant, place.merchant)

    def register(self, label: str) -> None:
        """Get the certificate of a card, or go on with that."""
        register(self.wallet, label, self.trust, self.ca, lambda form: {"Name": HOLDER})

    def settle(self) -> None:
        """As ``setproto wallet resume``."""
        for item in self.till.unsettled():
            outcome = self.till.settle(item.lid_m)
            if outcome.standing.is_paid:
                self.till.fetch_receipt(item.lid_m)
            elif outcome.standing is Standing.PENDING:
                print(outcome.standing, outcome.said, flush=True)

    def buy(self, items: dict[str, int], cards: list[str]) -> Standing:
        """Order, and pay with the first of the cards that is not declined."""
        wanted = [{"id": name, "quantity": quantity} for name, quantity in items.items()]
        form = {"items": wanted, "recipient": HOLDER, "deliver_to": "12 St James's Square"}
        order = self.till.quote(OrderForm.model_validate(form))
        standing = Standing.OPEN
        for label in cards:
            self.till.approach(order.lid_m, label)
            standing = self.till.pay(order.lid_m).standing
            if standing is not Standing.DECLINED:
                break
        if standing.is_paid:
            self.till.fetch_receipt(order.lid_m)
        return standing

    def at_random(self, rng: Random) -> None:
        """Something that somebody with a wallet does."""
        self.settle()
        cards = self.wallet.cards()
        ready = [card.label for card in cards if card.registered is not None]
        fresh = [card.label for card in cards if card.registered is None]
        if fresh and (not ready or rng.random() < 0.1):
            self.register(fresh[0])
            return
        quantity = {name: rng.randint(1, 3) for name in rng.sample(ITEMS, rng.randint(1, 2))}
        self.buy(quantity, rng.sample(ready, min(3, len(ready))))

    def close(self) -> None:
        """Hang up."""
        self.ca.close()
        self.merchant.close()


@contextmanager
def shopper(path: Path, shop: Path) -> Iterator[Shopper]:
    """With the wallet in a file, open until the end of the block."""
    with Vault.open(path, PASSPHRASE) as vault:
        opened = Shopper(Wallet(vault, clock=now), shop)
        try:
            yield opened
        finally:
            opened.close()


def main(path: str, shop: str, seed: str) -> None:
    """Until it is killed."""
    rng = Random(seed)
    with shopper(Path(path), Path(shop)) as one:
        while True:
            try:
                one.at_random(rng)
            except SetError as failure:
                print(type(failure).__name__, failure, flush=True)
                time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
