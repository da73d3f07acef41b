"""Purchases at a shop that `setproto up` runs, with wallets that pay over HTTP, and taps on the wires."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from setproto.card import PAN, Card, CardExpiry
from setproto.client import PAYMENT, HTTPTransport
from setproto.messages.wrapper import name_of
from setproto.server import bank, public
from setproto.server.config import BankConfig, MerchantConfig, load
from setproto.server.founding import BRAND
from setproto.shop.orders import OrderForm, Wanted
from setproto.wallet.items import Wallet
from setproto.wallet.paying import Standing, Till
from setproto.wallet.registering import register
from setproto.wallet.trust import read_shop
from tests.outside.wire import Tap
from tests.secrecy.scan import Scanner
from tests.secrecy.world import random_pan, scanner_for
from tests.server.parts import PATIENCE, founded
from tests.server.running import Running, up
from tests.wallet.world import create

HOLDER = "Ada Lovelace"
EMPTY = "empty"
CARDS = {"first": 16, "second": 16, "third": 19, "fourth": 15, EMPTY: 16}
"""What its holder calls a card → how many digits its number has."""
RICH = 10**8
"""Cents."""
SPOILS = 4
"""Of so many purchases, one has its messages sent damaged as well."""


@dataclass
class Spoiling:
    """The way to a merchant on which, if it is wished, everything goes there damaged, too, before it goes there."""

    merchant: HTTPTransport
    gateway: HTTPTransport
    lot: random.Random
    done: Counter[str]
    active: bool = False

    def post(self, data: bytes, media_type: str) -> bytes:
        if self.active:
            middle = self.lot.randrange(len(data))
            flipped = data[:middle] + bytes([data[middle] ^ 1 << self.lot.randrange(8)]) + data[middle + 1 :]
            # A PInitReq is not signed, so with one bit changed it may be a good one that is not ours.
            signed = name_of(data) != "PInitReq"
            for server in (self.merchant, self.gateway):
                for damaged in ([flipped] if signed else []) + [data[:middle], data + data]:
                    self.done["damaged"] += 1
                    assert server.request("POST", "/set", damaged, media_type)[0] in (200, 400)
            self.gateway.post(data, media_type)  # whole, but not for a gateway
        return self.merchant.post(data, media_type)

    def json(self, method: str, path: str, form: object = None) -> Any:
        return self.merchant.json(method, path, form)

    def request(self, method: str, path: str) -> tuple[int, str, bytes]:
        return self.merchant.request(method, path)


@dataclass
class Shopping:
    """A shop, its customers, and the octets that passed between it and others."""

    directory: Path
    temporary: Path
    lot: random.Random = field(default_factory=lambda: random.Random("outside"))
    done: Counter[str] = field(default_factory=Counter)
    taps: dict[str, Tap] = field(default_factory=dict)
    scanners: dict[str, Scanner] = field(default_factory=dict)
    """By label of the card; when it is registered."""
    wallet: Wallet = field(init=False)
    running: Running = field(init=False)

    def __post_init__(self) -> None:
        founded(self.directory)
        self._tap("wallet", self.directory / "shop.toml", 'merchant = "http://127.0.0.1:')
        self._tap("gateway", self.directory / "merchant" / "merchant.toml", 'gateway = "http://127.0.0.1:')
        self._tap("bank", self.directory / "gateway" / "gateway.toml", 'bank = "127.0.0.1:')
        self.wallet = Wallet(create(self.directory.parent / "wallet" / "wallet"))
        config = load(BankConfig, self.directory / "bank" / "bank.toml")
        opened = bank.opened(
            config, public.validator(config.trust.directory, config.trust.suite), lambda: datetime.now(UTC)
        )
        try:
            for label, digits in CARDS.items():
                pan = PAN(random_pan(self.lot, digits))
                expiry = CardExpiry(f"20{self.lot.randrange(32, 40)}{self.lot.randrange(1, 13):02d}")
                opened.open_card(pan, expiry, 0 if label == EMPTY else RICH, holder=HOLDER)
                self.wallet.add_card(label, Card(BRAND, pan, expiry))
        finally:
            opened.close()

    def _tap(self, name: str, config: Path, before: str) -> None:
        """Have whoever reads this configuration go through a tap."""
        text = config.read_text()
        head, _, tail = text.partition(before)
        port = tail.partition('"')[0]
        self.taps[name] = tap = Tap(int(port))
        config.write_text(f'{head}{before}{tap.port}"{tail[len(port) + 1 :]}')

    @contextmanager
    def open(self) -> Iterator[None]:
        """The shop is up, and no file of its servers is left out that they make elsewhere."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(self.temporary))
            with up(self.directory) as self.running:
                yield

    def register(self) -> None:
        """All cards."""
        place = read_shop(self.directory / "shop.toml")
        with HTTPTransport(place.ca) as ca:
            for label in CARDS:
                register(self.wallet, label, place.trust, ca, lambda form: {"Name": HOLDER})
                _, paid_with, _ = self.wallet.card(label).paid_with()
                self.scanners[label] = scanner_for(paid_with)

    def buy(self, numbers: range) -> None:
        """Purchases: each with another card, some declined first, some damaged, some shipped, some refunded."""
        place = read_shop(self.directory / "shop.toml")
        with (
            HTTPTransport(place.merchant) as merchant,
            HTTPTransport(f"http://127.0.0.1:{self.taps['gateway'].port}") as gateway,
        ):
            server = Spoiling(merchant, gateway, self.lot, self.done)
            till = Till(self.wallet, place.trust, server, place.merchant)
            rich = [label for label in CARDS if label != EMPTY]
            for number in numbers:
                server.active = number % SPOILS == 0
                self._buy(till, number, rich[number % len(rich)])

    def _buy(self, till: Till, number: int, card: str) -> None:
        lid_m = till.quote(self.form(f"Customer number {number}")).lid_m
        cards = [EMPTY, card] if number % 5 == 0 else [card]
        for label in cards:
            till.approach(lid_m, label)
            standing = till.pay(lid_m).standing
            self.done[standing.value] += 1
        assert standing.is_paid
        assert till.fetch_receipt(lid_m) is not None
        if number % 2 == 0 and standing is Standing.PAID:
            self._do(f"/orders/{lid_m.hex()}/ship", {})
            self._await(till, lid_m, Standing.CAPTURED)
            self.done["captured afterwards"] += 1
        if number % 4 == 0:
            self._do(f"/orders/{lid_m.hex()}/refund", {"amount": "EUR 1.00"})
            self._await(till, lid_m, Standing.CREDITED)
            self.done["refunded"] += 1

    @staticmethod
    def form(recipient: str) -> OrderForm:
        return OrderForm(items=[Wanted(id="pencil", quantity=3)], recipient=recipient, deliver_to="1 Main Street")

    def batch(self, number: int) -> None:
        """Opened, looked at and closed."""
        for operation in ("open", "look", "close"):
            self._do("/batch", {"batch": number, "operation": operation})
        self.done["batch"] += 1

    def _do(self, path: str, form: dict[str, Any]) -> None:
        """As `setproto merchant` does."""
        operator = load(MerchantConfig, self.directory / "merchant" / "merchant.toml").operator
        host, port = operator.listen
        with HTTPTransport(f"http://{host}:{port}") as server:
            secret = {"authorization": f"Bearer {operator.secret.get_secret_value()}"}
            said = server.json("POST", f"/operator{path}", form, secret)
        # What was sent again while it was being answered may have been answered the second time.
        assert said["result"] in ("success", "waiting"), said

    @staticmethod
    def _await(till: Till, lid_m: bytes, standing: Standing) -> None:
        deadline = time.monotonic() + PATIENCE
        while till.refresh(lid_m).standing is not standing:
            assert time.monotonic() < deadline, standing
            time.sleep(0.05)

    def kill(self) -> None:
        """The merchant, and with it all of the shop, end without a word."""
        os.kill(self.running.pid("merchant"), signal.SIGKILL)
        self.running.process.wait(60)
        self.done["killed"] += 1

    def sell_at_once(self) -> None:
        """Take the money with the authorisation from now on: from the next start."""
        config = self.directory / "merchant" / "merchant.toml"
        config.write_text(config.read_text().replace('capture = "shipment"', 'capture = "sale"'))

    def tell_merchant(self, scanner: Scanner) -> None:
        """What should never happen: the secrets of a card are written on an order, and into something not readable."""
        place = read_shop(self.directory / "shop.toml")
        written = f"{scanner.pan} {scanner.expiry} {scanner.pan_secret.hex()} {scanner.card_secret.hex()}"
        with HTTPTransport(place.merchant) as merchant:
            merchant.json("POST", "/orders", self.form(written).model_dump(mode="json"))
            merchant.post(b"no message: " + written.encode(), PAYMENT)

    def close(self) -> None:
        self.wallet.vault.close()
        for tap in self.taps.values():
            with suppress(OSError):
                tap.close()
