"""PX-1 from outside: what a look into the running servers of a shop, their files and their wires shows of cards.

Purchases go through real processes, with the wallet's own library objects; there are declines, shipments, refunds,
batches, damaged messages and a kill among them.  ``SETPROTO_OUTSIDE_PURCHASES=1000 python -m pytest -s tests/outside``
makes a thousand of them in place of 20; ``-s`` shows the figures.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.outside import look, wire
from tests.outside.search import PIECE, Search, expiries, is_pan, needles
from tests.outside.shopping import CARDS, Shopping
from tests.secrecy.scan import SEPARATOR, Scanner
from tests.secrecy.world import random_pan

PURCHASES = int(os.environ.get("SETPROTO_OUTSIDE_PURCHASES", "20"))
LOOKS = 4
"""How often the memories are read while purchases are made, at least twice."""
READABLE = Path("/proc/self/mem").exists()
pytestmark = pytest.mark.skipif(not READABLE, reason="needs Linux's /proc/PID/mem")


def random_scanner(seed: str) -> Scanner:
    """Secrets of a card that nobody has."""
    lot = random.Random(seed)
    return Scanner(random_pan(lot), f"2041{lot.randrange(1, 13):02d}", lot.randbytes(32), lot.randbytes(32))


PLANTED = random_scanner("planted")
"""What no party knows until a test tells the merchant."""


@dataclass
class Found:
    """What was found in one place, of which kind, and how much was looked at."""

    hits: set[str] = field(default_factory=set)
    octets: int = 0
    looks: int = 0


@dataclass
class Looking:
    """Looks again and again, for all secrets of all cards, and keeps what it found by place."""

    shopping: Shopping
    found: dict[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scanners = {**self.shopping.scanners, "planted": PLANTED}
        self.search = Search(needles(self.scanners), expiries(self.scanners))

    def look(self) -> None:
        """Into the memories and open files of merchant and gateway."""
        for role in ("merchant", "gateway"):
            pid = self.shopping.running.pid(role)
            self.scan(f"{role}: memory", look.memory(pid))
        self.scan("merchant: open files", look.opened(self.shopping.running.pid("merchant")).values())

    def look_at_rest(self) -> None:
        """Into the files of everybody, and at what passed on the wires."""
        directory = self.shopping.directory
        self.scan("merchant: files", look.files(directory / "merchant").values())
        database = list(look.cells(directory / "merchant" / "merchant.db"))
        log = (directory / "merchant" / "merchant.log").read_bytes().splitlines()
        self.scan("merchant: database and log", [*database, *log], values=True)
        self.scan("temporary files", look.files(self.shopping.temporary).values())
        for role in ("bank", "gateway", "ca"):
            self.scan(f"{role}: files", look.files(directory / role).values())
        for name, tap in self.shopping.taps.items():
            self.scan(f"{name}: wire", tap.streams)
            if name != "bank":
                bodies = [content for stream in tap.streams for content in wire.contents(stream)]
                self.scan(f"{name}: messages", bodies, values=True)

    def scan(self, place: str, blobs: Iterable[bytes], *, values: bool = False) -> None:
        """``values``: each of these is a value of its own, in which an expiry can be told from other numbers."""
        found, blobs = self.found.setdefault(place, Found()), list(blobs)
        found.hits |= self.search.hits(blobs)
        if values:
            found.hits |= {f"{card}: expiry" for card, scanner in self.scanners.items() if scanner.expiry_hits(blobs)}
        found.octets += sum(map(len, blobs))
        found.looks += 1


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looking]:
    """After all purchases; the shop is still up."""
    directory = tmp_path_factory.mktemp("outside")
    (directory / "tmp").mkdir()
    shopping = Shopping(directory / "shop", directory / "tmp")
    began = time.monotonic()
    bounds = [PURCHASES * part // LOOKS for part in range(LOOKS + 1)]
    parts = [range(*pair) for pair in pairwise(bounds)]
    try:
        with shopping.open():
            try:
                look.memory(shopping.running.pid("merchant"))
            except PermissionError:  # a kernel that lets nobody look (Yama 2 and 3)
                pytest.skip("the memory of another process cannot be read here")
            shopping.register()
            looking = Looking(shopping)
            for part in parts[: LOOKS // 2]:
                shopping.buy(part)
                looking.look()
            shopping.batch(77)
            looking.look_at_rest()
            shopping.sell_at_once()
            shopping.kill()
        with shopping.open():
            for part in parts[LOOKS // 2 :]:
                shopping.buy(part)
                looking.look()
            shopping.batch(78)
            looking.look_at_rest()
            print(f"\n{PURCHASES} purchases and all looks: {time.monotonic() - began:.0f} s; {dict(shopping.done)}")
            for place, found in sorted(looking.found.items()):
                print(f"{place}: {found.looks} looks, {found.octets / 1e6:.1f} MB, {len(found.hits)} hits")
            yield looking
    finally:
        shopping.close()


def test_everything_was_among_the_purchases(looking: Looking) -> None:
    done = looking.shopping.done
    assert done["not paid"] == 0
    assert min(done[step] for step in ("paid", "paid and captured", "captured afterwards", "refunded")) > 0
    assert done["declined"] == len(range(0, PURCHASES, 5))
    assert done["paid"] + done["paid and captured"] == PURCHASES
    assert done["damaged"] >= PURCHASES
    assert (done["batch"], done["killed"]) == (2, 1)


@pytest.mark.prop("PX-1")
def test_the_merchants_memory_holds_no_card(looking: Looking) -> None:
    assert looking.found["merchant: memory"].octets > LOOKS * 10_000_000
    assert looking.found["merchant: memory"].hits == set()


@pytest.mark.prop("PX-1")
def test_what_the_merchant_keeps_holds_no_card(looking: Looking) -> None:
    for place in ("merchant: files", "merchant: open files", "merchant: database and log", "temporary files"):
        assert looking.found[place].hits == set(), place
    names = {Path(name).name for name in look.files(looking.shopping.directory / "merchant")}
    assert {"merchant.db", "merchant.db-wal", "merchant.db-shm", "merchant.log"} <= names
    assert looking.found["merchant: database and log"].octets > PURCHASES * 2_000


@pytest.mark.prop("PX-1", "PX-2")
def test_what_passes_the_merchants_wires_shows_no_card(looking: Looking) -> None:
    for name in ("wallet", "gateway"):
        for place in (f"{name}: wire", f"{name}: messages"):
            assert looking.found[place].hits == set(), place
            assert looking.found[place].octets > PURCHASES * 5_000


def test_bank_gateway_and_ca_keep_no_card_number_in_clear(looking: Looking) -> None:
    for role in ("bank", "gateway", "ca"):
        assert looking.found[f"{role}: files"].octets > 100_000
        assert {hit for hit in looking.found[f"{role}: files"].hits if is_pan(hit.partition(": ")[2])} == set()


def test_the_same_look_finds_the_cards_where_they_are(looking: Looking) -> None:
    """In the memory of the gateway, which opens payment instructions, and on its wire to the bank."""
    in_memory = looking.found["gateway: memory"].hits
    for name in ("PAN in ASCII", "expiry", "PANSecret in octets"):  # of some card: memory is used again
        assert {f"{card}: {name}" for card in CARDS} & in_memory, name
    assert {f"{card}: PAN in ASCII" for card in CARDS} <= looking.found["bank: wire"].hits


def test_the_same_look_finds_what_a_merchant_was_told(looking: Looking) -> None:
    before, looking.found = looking.found, {}
    try:
        looking.shopping.tell_merchant(PLANTED)
        (looking.shopping.temporary / "left").write_bytes(PLANTED.pan.encode("utf-16"))
        looking.look()
        looking.look_at_rest()
    finally:
        told, looking.found = looking.found, before
    everything = {"PAN in ASCII", "PANSecret in hex of octets", "CardSecret in hex of octets", "expiry"}
    for place in ("memory", "files", "open files", "database and log"):
        assert {f"planted: {name}" for name in everything} <= told[f"merchant: {place}"].hits, place
    for place in ("wallet: wire", "wallet: messages"):
        assert {f"planted: {name}" for name in everything} <= told[place].hits, place
    assert told["temporary files"].hits == {"planted: PAN in UTF-16LE"}
    assert told["gateway: wire"].hits == set()
    assert {hit for found in looking.found.values() for hit in found.hits if hit.startswith("planted")} == set()


def test_an_expiry_is_found_where_it_stands_alone() -> None:
    expiry = SCANNER.expiry.encode()
    for piece in (expiry, b"\x0c\x06" + expiry, b"x" * (PIECE - 1) + b" " + expiry, b'"' + expiry + b'"'):
        assert SEARCH.hits([piece]) == {": expiry"}
    for piece in (b"7" + expiry, b" " + expiry + b"0", b"x" * PIECE + expiry, b"\x18\x0f" + expiry + b"12120000Z"):
        assert SEARCH.hits([piece]) == set()


# --- is the search the one that goes over everything once for each writing? -----------------------

SCANNER = random_scanner("search")
NEEDLES = needles({"": SCANNER})
SEARCH = Search(NEEDLES, expiries({"": SCANNER}))


def test_every_writing_is_found_wherever_it_stands() -> None:
    for needle, name in NEEDLES.items():
        for before in (0, 1, 4095):
            assert name in SEARCH.hits([b"", bytes(before) + needle]), name


def test_a_writing_is_found_where_two_pieces_meet() -> None:
    needle = SCANNER.pan_secret.hex().encode()
    for overlap in range(len(needle) + 1):
        assert SEARCH.hits([b"-" * (PIECE - overlap) + needle + b"-"]) == {NEEDLES[needle]}


@settings(max_examples=50)
@given(blobs=st.lists(st.one_of(st.binary(), st.sampled_from(sorted(NEEDLES)), st.just(SCANNER.pan.encode()))))
def test_the_search_finds_what_looking_for_one_after_another_finds(blobs: list[bytes]) -> None:
    haystack = SEPARATOR.join(blobs)
    assert SEARCH.hits([haystack]) == {name for needle, name in NEEDLES.items() if needle in haystack}
