"""PX-1: nothing that a merchant holds after a thousand purchases has a card in it, however it is written.

Held means: every octet received and sent, everything that the merchant's keys open (with the spy, which is not the
merchant's own code), the store, the events, the log, everything reachable in memory from the merchant object, and the
``repr`` and ``str`` of all of that.
"""

from __future__ import annotations

import base64
import copy
import logging
import os
import pickle
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import build_brand_tree
from pki.der import encode
from setproto.amounts import CurrencyAmount
from setproto.card import PAN, Card, CardExpiry, PANSecret
from setproto.errors import UsageError
from setproto.market import ACQUIRER_BIN, BRAND, TRADERS, Clock, Delivery, Market
from setproto.messages.batch import ReturnTransactionDetail
from setproto.messages.codes import AcqCardCode, AuthCode, BatchOperation
from setproto.messages.common import InstallRecurData, Role
from setproto.messages.payment import AcqCardCodeMsg
from setproto.messages.purchase import PANData
from setproto.roles.gateway import Gateway
from setproto.roles.ports import EventKind, Outgoing
from tests.secrecy import memory
from tests.secrecy.scan import Scanner, digit_forms, needles
from tests.secrecy.spy import Loot, Spy
from tests.secrecy.world import NOW, random_expiry, random_pan, scanner_for


@dataclass
class Shopping:
    """One market after its purchases, with what an attacker on the wire did to them."""

    market: Market
    purchases: int
    damaged: int = 0

    @property
    def scanner(self) -> Scanner:
        """Looks for the secrets of this market's card."""
        return scanner_for(self.market.card)

    def wire(self, role: Role) -> list[bytes]:
        """What a role received and sent."""
        here = [d.message.data for d in self.market.deliveries if role in (d.sender, d.message.to)]
        return list(dict.fromkeys(here))

    def spy(self, role: Role, tokens_too: bool = False) -> Spy:
        """What this role's keys open in that; ``tokens_too``: with what a gateway has for itself."""
        party = self.market.parties[role]
        keys = (party.exchange_key().private_key, party.credentials.signer._key)
        tokens = self.market.gateway.token_keys
        own = (tokens.capture.private_key, tokens.authorization.private_key, tokens.account.private_key)
        loot = Loot(private_keys=keys, shared_keys=own if tokens_too else ())
        return Spy(self.wire(role), [loot], suite=self.market.suite, gateways=[encode(self.market.gateway.party)])

    def told(self, role: Role) -> list[bytes]:
        """The events, as their owner may print them."""
        here = [event for to, event in self.market.events if to is role]
        return [text.encode() for event in here for text in (repr(event), str(event), event.detail)]


def buy(market: Market, lot: random.Random, description: bytes) -> None:
    """One purchase of some kind, and what the merchant does about it.  UsageError or ValueError if damage ends it."""
    merchant, euros = market.merchant, lot.randrange(4, 200)
    first, sale = lot.choice(((None, False), (None, False), (None, True), (euros // 2, False)))
    agreed = InstallRecurData(install_total_trans=2) if first is not None and lot.random() < 0.3 else None
    order = market.order(
        f"EUR {euros}.00",
        description,
        install_recur_data=agreed,
        first_amount=None if first is None else f"EUR {first}.00",
        capture_now=sale,
    )
    lid_c, request = market.cardholder.start(order)
    market.deliver(Role.cardholder, request)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    xid = market.result(lid_c).xid
    if first is not None:
        market.deliver(Role.merchant, merchant.authorize(xid, CurrencyAmount.of(f"EUR {euros - first - 1}.00")))
    after = lot.choice(
        (
            (),
            ("capture",),
            ("capture",),
            ("capture", "credit"),
            ("capture", "credit", "reverse_credit"),
            ("capture", "reverse_capture"),
            ("reverse",),
        )
    )
    for step in after[1:] if sale else after:
        market.deliver(Role.merchant, getattr(merchant, step)(xid))
    if lot.random() < 0.1:
        details = ReturnTransactionDetail(starting_point=0, maximum_items=5)
        market.deliver(Role.merchant, merchant.batch(1, details=details))
    if lot.random() < 0.02:
        market.deliver(Role.merchant, merchant.batch(1, lot.choice((BatchOperation.close, BatchOperation.purge))))
        market.deliver(Role.merchant, merchant.ask_certificates())
    if after:
        market.deliver(Role.cardholder, market.cardholder.inquire(lid_c))


def shop(tree: Any, purchases: int, lot: random.Random, expired: bool = False) -> Shopping:
    """Random orders with a random card: some declined, some repeated, some damaged on the way."""
    market = Market.within(
        tree,
        Clock(NOW),
        pan=random_pan(lot, lot.choice((13, 14, 15, 16, 16, 16, 17, 18, 19)), lot.choice("3456")),
        expiry=f"20{lot.randrange(20, 26)}{lot.randrange(1, 13):02d}" if expired else random_expiry(lot),
        balance="EUR 40000.00",
    )
    market.gateway = Gateway(
        market.gateway.credentials,
        market.issuer,
        tree.validator(NOW),
        market.stores[Role.gateway],
        token_key=os.urandom(32),
        acquirer_bin=ACQUIRER_BIN,
        clock=market.clock,
        random=os.urandom,
        card_message=AcqCardCodeMsg(acq_card_code=AcqCardCode.accountInfo, acq_card_text="There is news."),
    )
    done = Shopping(market, purchases)

    def tamper(delivery: Delivery) -> bytes:
        data, chance = delivery.message.data, lot.random()
        if chance > 0.03:
            return data
        done.damaged += 1
        if chance < 0.005:
            return os.urandom(lot.randrange(200))
        if chance < 0.01:
            return data[: lot.randrange(len(data))]
        at = lot.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << lot.randrange(8)]) + data[at + 1 :]

    market.tamper = tamper
    for _ in range(purchases):
        description = "".join(lot.choice("abcdefghij klmno") for _ in range(lot.randrange(1, 80))).encode()
        with suppress(ValueError, UsageError):  # damaged before there was anything to pay, or to ask about
            buy(market, lot, description)
        while lot.random() < 0.2:
            again = lot.choice(market.deliveries[-40:])
            market.deliver(again.sender, again.message)
        if lot.random() < 0.02:  # to the wrong party
            astray = lot.choice(market.deliveries[-40:]).message
            market.deliver(Role.cardholder, Outgoing(lot.choice(TRADERS), astray.name, astray.data))
        if lot.random() < 0.05:
            market.clock.advance(timedelta(minutes=1))
    return done


def printed(value: Any, depth: int = 4) -> Iterator[bytes]:
    """``repr`` and ``str`` of a value and of its attributes."""
    yield repr(value).encode()
    yield str(value).encode()
    if depth:
        inner = list(getattr(value, "__dict__", {}).values())
        if is_dataclass(value):
            inner += [getattr(value, field.name) for field in fields(value)]
        for part in inner:
            yield from printed(part, depth - 1)


@pytest.mark.parametrize(("suite", "markets", "each"), [("p256", 7, 120), ("ed25519", 2, 60), ("mldsa65", 2, 20)])
@pytest.mark.prop("PX-1")
def test_the_merchant_holds_no_card_after_a_thousand_purchases(
    suite: str, markets: int, each: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand in the three suites together; in every second market of a suite the card has expired."""
    caplog.set_level(logging.NOTSET)
    lot = random.Random(f"PX-1 {suite}")
    tree = build_brand_tree(suite, now=NOW - timedelta(days=1), brand=BRAND)
    kinds, codes, held_tokens = set(), set(), 0
    for number in range(markets):
        caplog.clear()
        done = shop(tree, each, lot, expired=number % 2 == 1)
        market, scanner, spy = done.market, done.scanner, done.spy(Role.merchant)
        held: dict[str, list[bytes]] = {
            "wire": done.wire(Role.merchant),
            "opened": sorted(spy.learned),
            "store": [
                part
                for (table, key), value in market.stores[Role.merchant].dump().items()
                for part in (table.encode(), key, value)
            ],
            "events": done.told(Role.merchant),
            "printed": [
                *printed(market.merchant),
                *printed(market.stores[Role.merchant]),
                *printed(held_records(done)),
            ],
            "log": [
                text.encode() for record in caplog.records for text in (record.getMessage(), repr(record.__dict__))
            ],
            "memory": sorted(memory.octets(market.merchant)),
        }
        scanned: set[bytes] = set()
        for where, blobs in held.items():
            new = set(blobs) - scanned
            assert scanner.hits(new) == set(), where
            assert scanner.expiry_hits(new) == [], where
            scanned |= new
        # Not for want of anything to look at, nor of eyes:
        assert sum(len(blob) for blob in held["wire"]) > each * 15_000
        assert len(spy.opened) >= each * 0.6  # AuthRes and CapRes; there are no captures with an expired card
        assert len(held["memory"]) > each * 5
        assert set(market.stores[Role.merchant].dump().values()) <= set(held["memory"])
        purchases = held_records(done)
        tokens = [record.auth_token for record in purchases if record.auth_token is not None]
        gateway = done.spy(Role.gateway, tokens_too=number == 0)
        opened = gateway.learned
        if number == 0:  # what the merchant holds unread has the card in it
            assert tokens or suite != "p256"
            inside = [gateway.opened[token.sealed_pan] for token in tokens if token.sealed_pan in gateway.opened]
            assert all("PAN in ASCII" in scanner.hits([plain], is_pan) for plain in inside)
            assert len(inside) == len(tokens) or suite != "p256"
        assert {"PAN in ASCII", "PANSecret in octets"} <= scanner.hits(opened)
        assert scanner.expiry_hits(opened)
        if number == 0:
            for others in (market.cardholder, market.gateway):
                assert scanner.hits(memory.octets(others), is_pan) == {"PAN in ASCII"}
        assert done.damaged >= each // 10
        messages = [record.acq_card_msg for record in purchases if record.acq_card_msg is not None]
        for raw in (*messages, *(raw for token in tokens for raw in (token.sealed_token, token.sealed_pan))):
            assert raw not in spy.opened
            assert any(raw in value for value in held["store"])
        if number % 2 == 0:  # the card has not expired
            assert len(messages) > each // 3
            held_tokens += len(tokens)
        kinds |= {event.kind for to, event in market.events if to is Role.merchant}
        codes |= {event.code for to, event in market.events if to is Role.merchant}
    assert kinds >= {EventKind.REFUSED, EventKind.ERROR_RECEIVED, EventKind.REPEATED, EventKind.CAPTURE}
    if suite == "p256":
        cleared = {EventKind.REVERSAL, EventKind.CAPTURE_REVERSAL, EventKind.CREDIT, EventKind.CREDIT_REVERSAL}
        assert kinds >= cleared | {EventKind.BATCH, EventKind.CERTIFICATES}
        assert held_tokens > 5
    assert codes >= {AuthCode.approved, AuthCode.expiredCard}


def is_pan(name: str) -> bool:
    """The plainest writing."""
    return name == "PAN in ASCII"


def held_records(done: Shopping) -> list[Any]:
    """The merchant's records, decoded."""
    merchant = done.market.merchant
    xids = {event.xid for _, event in done.market.events if event.xid is not None}
    records = []
    for xid in xids:
        try:
            records.append(merchant.purchase(xid))
        except UsageError:  # an XID that was damaged on the way
            continue
    return records


def test_declined_purchases_do_not_say_why_in_more_than_a_code() -> None:
    """The decline of an unknown number, of a wrong expiry and of a wrong CardSecret look alike at the merchant."""
    seen = set()
    for change in ("pan", "expiry", "card_secret", "amount"):
        market = Market.open("p256")
        account = market.account
        other = Market.within(market.tree, market.clock, pan="5555555555554444", expiry="203101").account
        if change == "pan":
            market.issuer._accounts.clear()
        elif change == "amount":
            account.opening = account.opening.with_amount(1)
        else:
            setattr(account, change, getattr(other, change))
        purchase = market.buy("EUR 42.00", b"one book")
        assert purchase.code is AuthCode.declined
        record = market.merchant.purchase(purchase.xid)
        [authorization] = record.authorizations
        assert (record.auth_token, record.acq_card_msg) == (None, None)
        seen.add((authorization.code, authorization.cap_token, authorization.state, record.state))
        [event] = [e for to, e in market.events if to is Role.merchant and e.kind is EventKind.AUTHORIZATION]
        assert event.detail == ""
    assert len(seen) == 1


def test_account_data_is_not_written_anywhere_by_accident() -> None:
    """As ``card.PAN`` is not (architecture §4).  At the gateway and in the wallet: the merchant never has PANData."""
    card = Card("Marque", PAN("4111111111111111"), CardExpiry("203012"))
    pan_data = PANData.of(card, PANSecret(bytes(32)), bytes(32))
    with pytest.raises(TypeError, match="by accident"):
        pickle.dumps(pan_data)
    with pytest.raises(TypeError, match="by accident"):
        copy.deepcopy(pan_data)
    assert "4111" not in f"{pan_data!r} {pan_data}"


# --- does the scanner find what there is? ---------------------------------------------------------

pans = st.integers(12, 19).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n)).filter(
    lambda digits: len(set(digits)) > 4 and digits[0] != "0"
)  # fmt: skip


def planted(digits: str) -> dict[str, bytes]:
    """Ways in which a card number might get out, written without the code under test."""
    even = digits if len(digits) % 2 == 0 else digits + "F"
    left = digits if len(digits) % 2 == 0 else "0" + digits
    track = f"{digits}D2912"
    track += "F" * (len(track) % 2)
    return {
        "text": f"card {digits} refused".encode(),
        "JSON": f'{{"pan":"{digits}"}}'.encode(),
        "grouped": " ".join(digits[i : i + 4] for i in range(0, len(digits), 4)).encode(),
        "dashes": "-".join(digits[i : i + 4] for i in range(0, len(digits), 4)).encode(),
        "UTF-16 with mark": digits.encode("utf-16"),
        "UTF-16LE": digits.encode("utf-16-le"),
        "UTF-16BE": digits.encode("utf-16-be"),
        "BCD, F after": bytes(int(even[i : i + 2], 16) for i in range(0, len(even), 2)),
        "BCD, 0 before": bytes(int(left[i : i + 2], 16) for i in range(0, len(left), 2)),
        "track 2": bytes(int(track[i : i + 2], 16) for i in range(0, len(track), 2)),
        "semi-octets": bytes(int(even[i + 1] + even[i], 16) for i in range(0, len(even), 2)),
        "half an octet later": bytes.fromhex("7" + digits + "8" * (1 - len(digits) % 2)),
        "hex": digits.encode().hex().encode(),
        "HEX of UTF-16": digits.encode("utf-16-be").hex().upper().encode(),
        "hex of BCD": even.lower().encode() if len(digits) % 2 == 0 else left.encode(),
        "hex with colons": digits.encode().hex(":").encode(),
        "reversed": digits[::-1].encode(),
        "integer": int(digits).to_bytes(8, "big"),
        "little-endian": int(digits).to_bytes(8, "little"),
        **{f"Base64 after {n}": base64.b64encode(os.urandom(n) + digits.encode() + b"tail") for n in range(4)},
        **{f"Base64 of UTF-16 after {n}": base64.b64encode(bytes(n) + digits.encode("utf-16-le")) for n in range(3)},
        **{f"URL-safe after {n}": base64.urlsafe_b64encode(b"\xff" * n + digits.encode()) for n in range(3)},
        **{f"Base64 of BCD after {n}": base64.b64encode(os.urandom(n) + bytes.fromhex(left) + b"?") for n in range(3)},
        "Base64 of an octet in the middle": base64.b64encode(b"\x02\x10" + digits[::-1].encode() + b"\0\0"),
    }


@given(digits=pans)
def test_the_scanner_finds_a_card_number_in_every_writing(digits: str) -> None:
    scanner = Scanner(digits, "203012", os.urandom(32), os.urandom(32))
    for name, data in planted(digits).items():
        assert scanner.hits([b"\x30\x80 before" + data + b"after"]), name
        assert scanner.hits([os.urandom(50), data, b""]), name


@given(digits=pans, other=pans)
def test_the_scanner_finds_nothing_where_there_is_nothing(digits: str, other: str) -> None:
    scanner = Scanner(digits, "203012", os.urandom(32), os.urandom(32))
    if digits[:-3] not in other and digits[::-1][:-3] not in other and other[:-3] not in digits:
        assert scanner.hits([os.urandom(1000), other.encode(), digits[:6].encode(), digits[-4:].encode()]) == set()


@pytest.mark.parametrize("what", ["pan_secret", "card_secret"])
def test_the_scanner_finds_secrets_in_every_writing(what: str) -> None:
    scanner = Scanner("4111111111111111", "203012", os.urandom(32), os.urandom(32))
    secret = getattr(scanner, what)
    writings = [secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(), secret.hex(":").encode()]
    writings += [base64.b64encode(bytes(n) + secret + b"!") for n in range(4)]
    writings += [base64.urlsafe_b64encode(b"\xfe" * n + secret) for n in range(4)]
    for data in writings:
        [*_, hit] = scanner.hits([b"x" + data + b"y"])
        assert hit.split()[0] == {"pan_secret": "PANSecret", "card_secret": "CardSecret"}[what]


def test_the_scanner_finds_an_expiry_that_is_a_value_of_its_own() -> None:
    scanner = Scanner("4111111111111111", "203012", os.urandom(32), os.urandom(32))
    for found in (b"expires 203012.", b"2030-12", b"valid to 12/30", b"\x0c\x06203012", b"\x04\x03\x20\x30\x12"):
        assert scanner.expiry_hits([found]) == [found]
    for not_found in (b"\x18\x0f20301231120000Z", b"7203012", b"203012a", os.urandom(100)):
        assert scanner.expiry_hits([not_found]) == []


def test_every_writing_is_looked_for_in_hexadecimal_and_base64() -> None:
    forms = digit_forms("4111111111111111")
    names = set(needles(forms).values())
    wanted = {prefix + name for name in ("ASCII", "BCD", "UTF-16LE") for prefix in ("", "hex of ", "Base64 of ")}
    assert wanted - names == {"hex of BCD"}  # which is ASCII


def test_memory_is_walked_through_attributes_slots_closures_and_bound_methods() -> None:
    class Slotted:
        __slots__ = ("inside",)

        def method(self) -> None: ...

    slotted = Slotted()
    slotted.inside = {"k": [b"deep down"]}
    secret = "in a closure"

    def closure() -> str:
        return secret

    found = memory.octets([slotted.method, {1: closure}, bytearray(b"array"), 4111111111111111])
    assert {b"deep down", b"in a closure", b"array", b"4111111111111111"} <= found
