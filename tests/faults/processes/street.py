"""A shop whose servers, and wallets that buy there, are processes of their own: started, killed, and audited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from sqlalchemy import func, select

from setproto.bank.tables import PAYMENTS
from setproto.card import PAN, Card, CardExpiry, luhn
from setproto.client import HTTPTransport
from setproto.errors import SetError
from setproto.server.config import MerchantConfig, load
from setproto.server.founding import BRAND, ROLES
from setproto.wallet.items import Wallet
from setproto.wallet.paying import orders
from setproto.wallet.vault import Vault
from tests.faults.processes.ledgers import Ledgers
from tests.faults.processes.shopper import HOLDER, PASSPHRASE, shopper
from tests.processes import Command
from tests.server.parts import PATIENCE, Parts, founded

EXPIRY = CardExpiry("203012")
BALANCES = (500_000_00, 40_00, 300_000_00, 0, 90_00, 200_000_00)
"""Of the cards in a wallet, in cents: some are soon empty."""


def number(count: int) -> str:
    """A number of a card of the test range, with its check digit (ISO/IEC 7812-1, annex B)."""
    front = f"400000{count:09d}"
    return next(f"{front}{digit}" for digit in range(10) if luhn(f"{front}{digit}"))


class Street(Parts):
    """Servers by role; wallets are called ``wallet-1``, ``wallet-2`` …"""

    def __init__(self, directory: Path, wallets: int) -> None:
        super().__init__(directory)
        self.wallets = {f"wallet-{count}": directory / f"wallet-{count}" for count in range(1, wallets + 1)}
        self._shopping: dict[str, Command] = {}
        self._visits = 0

    @property
    def shop_file(self) -> Path:
        return self.directory / "shop.toml"

    def issue_cards(self) -> None:
        """The bank opens accounts for the cards of all wallets, and they are put in."""
        with self.bank() as bank:
            for count, path in enumerate(self.wallets.values()):
                with Vault.create(path, PASSPHRASE) as vault:
                    for place, balance in enumerate(BALANCES):
                        pan = PAN(number(100 * (count + 1) + place))
                        bank.open_card(pan, EXPIRY, balance, holder=HOLDER)
                        Wallet(vault).add_card(f"card-{place}", Card(BRAND, pan, EXPIRY))

    def change(self, name: str, old: str, new: str) -> None:
        """Change the configuration of a server."""
        written = self.config(name).read_text()
        assert written.count(old) == 1, (old, written)
        self.config(name).write_text(written.replace(old, new))

    # --- processes --------------------------------------------------------------------------------

    def go(self, name: str, seed: object = "") -> None:
        """Start a server or a wallet."""
        if name not in self.wallets:
            self.start(name)
            return
        self._visits += 1
        given = (self.wallets[name], self.shop_file, f"{seed}{name}{self._visits}")
        self._shopping[name] = Command("tests.faults.processes.shopper", *given, output=self._log(name))

    def stop(self, name: str) -> None:
        """SIGKILL.  A process that has ended by itself before is a failure."""
        processes = self._shopping if name in self.wallets else self._running
        ended = processes[name].poll()
        processes[name].kill()
        processes.pop(name).wait()
        if ended is not None:
            raise AssertionError(f"{name} ended by itself: {self._said(name)}")

    def stop_wallets(self) -> None:
        for name in list(self._shopping):
            self.stop(name)

    def kill_all(self) -> None:
        for process in self._shopping.values():
            process.kill()
            process.wait()
        super().kill_all()

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _said(self, name: str) -> str:
        return self._log(name).read_text()[-3000:] if name in self.wallets else self.log(name)[-3000:]

    # --- watching ---------------------------------------------------------------------------------

    def bought(self) -> int:
        """How many payments the bank has decided."""
        with self.bank() as bank, bank.engine.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(PAYMENTS)).scalar_one())

    def wait_until_bought(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.bought() < count:
            assert time.monotonic() < deadline, "nobody buys"
            time.sleep(0.1)

    def wait_until_refused(self, count: int = 3) -> None:
        """Until wallets have been told so often that something cannot be done."""
        deadline, before = time.monotonic() + PATIENCE, self._refusals()
        while self._refusals() < before + count:
            assert time.monotonic() < deadline, "all goes well"
            time.sleep(0.1)

    def _refusals(self) -> int:
        return sum(self._log(name).read_bytes().count(b"\n") for name in self.wallets if self._log(name).exists())

    # --- the shop's people ------------------------------------------------------------------------

    @contextmanager
    def busy(self, rng: Random) -> Iterator[None]:
        """Somebody at the shop ships and takes back at random, until the end of the block."""
        over = threading.Event()
        worker = threading.Thread(target=self._work, args=(rng, over))
        worker.start()
        try:
            yield
        finally:
            over.set()
            worker.join()

    def _work(self, rng: Random, over: threading.Event) -> None:
        config = load(MerchantConfig, self.config("merchant"))
        host, port = config.operator.listen
        secret = {"authorization": f"Bearer {config.operator.secret.get_secret_value()}"}
        with HTTPTransport(f"http://{host}:{port}", timeout=20) as server:
            while not over.wait(0.1):
                with suppress(SetError):
                    orders = server.json("GET", "/operator/orders", None, secret)["orders"][-60:]
                    for status, act in (("approved", "ship"), ("captured", "refund")):
                        those = [one for one in orders if one["status"] == status]
                        for one in rng.sample(those, len(those) // 3):
                            form = {} if act == "ship" or rng.random() < 0.5 else {"amount": "EUR 1.00"}
                            server.json("POST", f"/operator/orders/{one['order']}/{act}", form, secret)

    # --- afterwards -------------------------------------------------------------------------------

    def settled(self, *names: str) -> Ledgers:
        """When all servers run and no wallet: let these wallets, or all, find out, and compare.

        AssertionError names the faults."""
        wallets = [self.wallets[name] for name in names or self.wallets]
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(SetError):
                for path in wallets:
                    with shopper(path, self.shop_file) as one:
                        for card in one.wallet.cards():
                            if card.enrolment is not None and card.registered is None:
                                one.register(card.label)
                        one.settle()
            found = Ledgers.read(self, ())
            if not found.waiting:
                self._ask(wallets)
                found = Ledgers.read(self, wallets)
            if not found.waiting:
                found = Ledgers.read(self, self.wallets.values())
                faults = found.faults()
                assert not faults, "\n".join(faults)
                return found
            assert time.monotonic() < deadline, found.waiting
            time.sleep(0.1)

    def _ask(self, wallets: list[Path]) -> None:
        """Each wallet asks what has become of its payments since, and gets the newest receipts."""
        for path in wallets:
            with shopper(path, self.shop_file) as one, suppress(SetError):
                for order in orders(one.wallet):
                    if one.till.refresh(order.lid_m).standing.is_paid:
                        one.till.fetch_receipt(order.lid_m)


@contextmanager
def street(
    directory: Path,
    wallets: int = 2,
    *,
    database: str | None = None,
    changed: Callable[[Street], object] = lambda made: None,
    servers: tuple[str, ...] = ROLES,
) -> Iterator[Street]:
    """A new shop, running and healthy, and wallets that do not buy yet.  ``changed``: what is done before it starts."""
    founded(directory, database=database)
    made = Street(directory, wallets)
    made.issue_cards()
    changed(made)
    try:
        with made.closing:
            for name in servers:
                made.start(name)
            for name in servers:
                made.wait(name)
            yield made
    finally:
        made.kill_all()
