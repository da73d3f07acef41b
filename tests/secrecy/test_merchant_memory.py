"""PX-1, from outside: the whole memory of a merchant's process, freed memory included, after purchases."""

from __future__ import annotations

import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from setproto.amounts import CurrencyAmount
from setproto.market import ACQUIRER_BIN, BRAND, Market
from setproto.messages.common import Role
from setproto.roles.cardholder import Order
from tests.secrecy.merchant_process import Setup
from tests.secrecy.world import NOW, random_expiry, random_pan, scanner_for

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc/PID/mem")


class Shop:
    """The merchant's process, and the two others in this one."""

    def __init__(self) -> None:
        lot = random.Random("memory")
        self.market = Market.open("p256", now=NOW, pan=random_pan(lot), expiry=random_expiry(lot))
        tree = self.market.tree
        issued = tree.issue_merchant("shop", "Corner Bookshop", ACQUIRER_BIN)
        der = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        assert issued.signature_key is not None
        assert issued.exchange_key is not None
        crls = tree.crls(NOW)
        setup = Setup(
            suite="p256",
            brand=BRAND,
            name="shop",
            now=NOW,
            signature_key=issued.signature_key.private_bytes(*der),
            signature_certificate=issued.signature_certificate,
            exchange_key=issued.exchange_key.private_bytes(*der),
            exchange_certificate=issued.exchange_certificate or b"",
            chain=issued.chain,
            root=tree.root_certificate.public_bytes(Encoding.DER),
            authorities=tuple(tree.ca_certificates),
            crls=tuple(crls),
            bci=tree.bci(crls, NOW),
            cert_pe=self.market.gateway.exchange_key().certificate,
            held=self.market.gateway.credentials.chain,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.secrecy.merchant_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.ask(asdict(setup))

    def ask(self, request: Any) -> Any:
        """One request, one answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        pickle.dump(request, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def buy(self, description: bytes, kind: str = "plain") -> bytes:
        """PInit, P, Auth, Cap; two shipments with an AuthToken, or a sale; a credit.  The XID."""
        order = Order(os.urandom(8), description, CurrencyAmount.of("EUR 1.00"))
        first = "EUR 0.40" if kind == "shipments" else None
        self.ask(("order", order.lid_m, description, str(order.amount), first, kind == "sale"))
        wallet = self.market.cardholder
        lid_c, out = wallet.start(order)
        self._carry(self.ask(("handle", out.data)))
        self._carry(self.ask(("handle", wallet.pay(lid_c).data)))
        shop = wallet.purchase(lid_c).shop
        assert shop is not None
        xid = shop.trans_ids.xid
        if kind == "shipments":
            self._carry(self.ask(("ask", "authorize", xid, "EUR 0.60", {"more": False})))
        if kind != "sale":
            self._carry(self.ask(("ask", "capture", xid, None, {})))
        if kind != "plain":
            self._carry(self.ask(("ask", "credit", xid, "EUR 0.10", {})))
            self._carry(self.ask(("ask", "reverse_credit", xid, None, {})))
        self._carry(self.ask(("handle", wallet.inquire(lid_c).data)))
        assert wallet.purchase(lid_c).state.name == "CAPTURED"
        return xid

    def _carry(self, messages: list[tuple[int | None, str, bytes]]) -> None:
        for to, _, data in messages:
            assert to is not None
            for out in self.market.parties[Role(to)].handle(data).outgoing:
                self._carry(self.ask(("handle", out.data)))

    def memory(self) -> list[bytes]:
        """Everything that can be written to in the process: heap, stacks, data."""
        regions = []
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        with open(f"/proc/{self.process.pid}/mem", "rb", buffering=0) as mem:
            for start, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.MULTILINE):
                try:
                    mem.seek(int(start, 16))
                    regions.append(mem.read(int(end, 16) - int(start, 16)))
                except (OSError, OverflowError, ValueError):
                    continue
        return regions

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    there = Shop()
    try:
        there.memory()
    except PermissionError:  # a kernel that lets nobody look (Yama 2 and 3)
        there.close()
        pytest.skip("the memory of a child process cannot be read here")
    yield there
    there.close()


@pytest.mark.prop("PX-1")
def test_the_memory_of_a_merchants_process_holds_no_card(shop: Shop) -> None:
    for number in range(20):
        shop.buy(b"order number %d" % number, ("plain", "shipments", "sale")[number % 3])
    scanner, memory = scanner_for(shop.market.card), shop.memory()
    assert sum(map(len, memory)) > 5_000_000
    assert any(b"order number 19" in region for region in memory)  # the right process
    assert any(b"PANToken" in region for region in memory)  # it has AuthTokens
    assert scanner.hits(memory) == set()
    # A merchant that was told a card number would be found out:
    shop.ask(("handle", b"the card is " + scanner.pan.encode()))
    assert scanner.hits(shop.memory(), lambda name: name == "PAN in ASCII") == {"PAN in ASCII"}
