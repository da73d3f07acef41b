"""Whole purchases, every role in one process, and what each is a multiple of: the raw operations that it performs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.bound import bound
from benchmarks.breakdown import breakdown
from benchmarks.floor import record, replay
from benchmarks.measure import Case, Progress, Settings, check, measure, patience
from benchmarks.raw import UNIT, Raw
from setproto.market import Market
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
from setproto.messages.common import Role
from setproto.roles.cardholder import Order
from setproto.roles.ports import EventKind

AMOUNT = "EUR 42.00"
DESCRIPTION = b"one book"
BALANCE = "EUR 900000000.00"
"""Enough for as many purchases as anybody measures."""


class Shop:
    """A market in which purchases are made one after the other."""

    def __init__(self, suite: str) -> None:
        self.market = Market.open(suite, balance=BALANCE)

    def order(self) -> Order:
        """An order agreed on, which is outside the protocol; and the notes that the market keeps are thrown away."""
        for notes in (self.market.deliveries, self.market.traffic, self.market.events):
            notes.clear()
        self.market.results.clear()
        return self.market.order(AMOUNT, DESCRIPTION)

    def buy(self, order: Order) -> bytes:
        """PInitReq, PInitRes, PReq, AuthReq, AuthRes, PRes.  The XID."""
        market = self.market
        lid_c, first = market.cardholder.start(order)
        market.deliver(Role.cardholder, first)
        market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
        return market.result(lid_c).xid

    def buy_and_capture(self, order: Order) -> bytes:
        """The same, then CapReq and CapRes."""
        xid = self.buy(order)
        self.capture(xid)
        return xid

    def capture(self, xid: bytes) -> None:
        """CapReq, CapRes."""
        self.market.deliver(Role.merchant, self.market.merchant.capture(xid))

    @property
    def octets(self) -> int:
        """Octets of all messages since the last order."""
        return sum(len(delivery.message.data) for delivery in self.market.deliveries)

    def check(self) -> None:
        """A purchase is approved and its capture succeeds.  BenchmarkError otherwise."""
        xid = self.buy(self.order())
        result = self.market.results[xid]
        check(
            result.code is AuthCode.approved and result.detail == CompletionCode.authorizationPerformed.name,
            "the purchase is approved",
        )
        self.capture(xid)
        captured = [event.code for _, event in self.market.events if event.kind is EventKind.CAPTURE]
        check(captured == [CapCode.success] * 2, "the capture succeeds, as gateway and merchant see it")
        names = [delivery.message.name for delivery in self.market.deliveries]
        check(
            names == ["PInitReq", "PInitRes", "PReq", "AuthReq", "AuthRes", "PRes", "CapReq", "CapRes"],
            "a purchase has these messages",
        )


def run(suites: Sequence[str], settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """The results for these suites: purchases, their floors, and each kind of raw operation by itself."""
    return [found for suite in suites for found in _suite(suite, settings, progress)]


def _suite(suite: str, settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    shop, raw = Shop(suite), Raw(suite)
    raw.check()
    for _ in range(3):  # warm caches: everybody knows everybody's certificates
        shop.check()
    cases = []
    for name, buy in (("purchase", shop.buy), ("purchase_captured", shop.buy_and_capture)):
        order = shop.order()
        recorder = record(partial(buy, order))
        octets = shop.octets
        floor = f"floor.{name}.{suite}"
        counts = dict(sorted(recorder.counts.items()))
        extra = {
            "operations": counts,
            "digests": dict(sorted(recorder.digests.items())),
            "breakdown_s": breakdown(shop.order, buy, repetitions=settings.samples),
        }
        cases += [
            Case(
                f"{name}.{suite}",
                buy,
                prepare=shop.order,
                floor=floor,
                patience=patience(suite),
                bytes=octets,
                extra=extra,
            ),
            Case(floor, replay(raw, recorder), floor=floor, patience=patience(suite), extra={"operations": counts}),
            Case(
                f"bound.{name}.{suite}",
                bound(raw, partial(buy, shop.order()), again=partial(buy, shop.order())),
                floor=floor,
                patience=patience(suite),
            ),
        ]
    for kind in sorted(recorder.counts):
        own = f"raw.{kind}.{suite}"
        slow = patience(suite) if kind == "sign" else 1
        cases.append(Case(own, raw.operation(kind, UNIT), floor=own, patience=slow))
    return measure(cases, settings, progress)
