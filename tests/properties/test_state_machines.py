"""One cardholder, one merchant, one gateway and a wire that does what it likes: what must hold after every step.

hypothesis plays the people and the wire: it starts purchases, pays, captures and inquires at odd moments, and
delivers, drops, doubles, replays and damages messages in any order, with restarts in between.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pki import BrandTree, build_brand_tree
from pki.der import decode
from setproto.errors import UsageError
from setproto.market import BRAND, Clock, Market
from setproto.messages.common import Role
from setproto.roles import cardholder, gateway, merchant
from setproto.roles.ports import EventKind, Outgoing
from tests.roles.scenes import money, restarted, snapshot, state

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
BALANCE = 100_00
C, M, P = cardholder.State, merchant.State, gateway.State


@cache
def tree() -> BrandTree:
    return build_brand_tree("p256", now=NOW - timedelta(days=1), brand=BRAND)


class Marketplace(RuleBasedStateMachine):
    """The market, the messages on the wire, and every message that ever was."""

    def __init__(self) -> None:
        super().__init__()
        self.market = Market.within(tree(), Clock(NOW), balance="EUR 100.00")
        self.purchases: list[tuple[bytes, int]] = []
        """LID-C and what was agreed on, in cents."""
        self.wire: list[Outgoing] = []
        self.history: list[Outgoing] = []

    def put(self, *messages: Outgoing) -> None:
        self.wire += messages
        self.history += messages

    def pick(self, messages: list[Any], number: int) -> Any:
        return messages[number % len(messages)]

    def shop(self, lid_c: bytes) -> cardholder.Shop | None:
        return self.market.cardholder.purchase(lid_c).shop

    @initialize(cents=st.integers(0, 60_00))
    def first(self, cents: int) -> None:
        self.start(cents)

    # --- people ---

    @rule(cents=st.integers(0, 60_00))
    def start(self, cents: int) -> None:
        order = self.market.order(f"EUR {cents // 100}.{cents % 100:02d}", b"goods")
        lid_c, message = self.market.cardholder.start(order)
        self.purchases.append((lid_c, cents))
        self.put(message)

    @rule(number=st.integers(0, 99))
    def pay(self, number: int) -> None:
        lid_c, _ = self.pick(self.purchases, number)
        try:
            self.put(self.market.cardholder.pay(lid_c))
        except UsageError:
            assert self.market.cardholder.purchase(lid_c).state is C.INIT_SENT

    @rule(number=st.integers(0, 99))
    def inquire(self, number: int) -> None:
        lid_c, _ = self.pick(self.purchases, number)
        try:
            self.put(self.market.cardholder.inquire(lid_c))
        except UsageError:
            assert self.market.cardholder.purchase(lid_c).ordered is None

    @rule(number=st.integers(0, 99), share=st.sampled_from([None, 0, 50, 100, 101]))
    def capture(self, number: int, share: int | None) -> None:
        lid_c, cents = self.pick(self.purchases, number)
        shop = self.shop(lid_c)
        if shop is None:
            return
        xid = shop.trans_ids.xid
        step = self.market.merchant.purchase(xid).state
        if step is M.CAP_SENT:
            share = None
        amount = None
        if share is not None:
            amount = self.market.cardholder.purchase(lid_c).amount.with_amount(cents * share // 100)
        try:
            self.put(self.market.merchant.capture(xid, amount))
        except UsageError:
            assert step not in (M.AUTHORIZED, M.CAP_SENT)

    @rule(number=st.integers(0, 99))
    def resend(self, number: int) -> None:
        lid_c, _ = self.pick(self.purchases, number)
        shop = self.shop(lid_c)
        if shop is None:
            return
        try:
            self.put(self.market.merchant.resend(shop.trans_ids.xid))
        except UsageError:
            assert self.market.merchant.purchase(shop.trans_ids.xid).state not in (M.AUTH_SENT, M.CAP_SENT)

    @rule(role=st.sampled_from(list(Role)))
    def restart(self, role: Role) -> None:
        self.market = restarted(self.market, role)

    # --- the wire ---

    @precondition(lambda self: self.wire)
    @rule(number=st.integers(0, 99))
    def deliver(self, number: int) -> None:
        message = self.wire.pop(number % len(self.wire))
        self.put(*self.market.parties[message.to].handle(message.data).outgoing)

    @precondition(lambda self: self.wire)
    @rule()
    def deliver_all(self) -> None:
        """A while without disturbance, so that purchases get somewhere."""
        for _ in range(30):
            if not self.wire:
                break
            self.deliver(0)

    @precondition(lambda self: self.wire)
    @rule(number=st.integers(0, 99))
    def drop(self, number: int) -> None:
        self.wire.pop(number % len(self.wire))

    @rule(number=st.integers(0, 999))
    def replay(self, number: int) -> None:
        self.wire.append(self.pick(self.history, number))

    @rule(number=st.integers(0, 999), seed=st.integers(0, 2**32))
    def corrupt(self, number: int, seed: int) -> None:
        """Damaged on its way: as if it had not come, but for the one message that nobody signs."""
        message = self.pick(self.history, number)
        dice = random.Random(seed)
        octets = bytearray(message.data)
        octets[dice.randrange(len(octets))] ^= dice.randrange(1, 256)
        kept = state(self.market)
        reply = self.market.parties[message.to].handle(bytes(octets))
        if message.name != "PInitReq":
            assert {event.kind for event in reply.events} <= {EventKind.REFUSED}
            assert state(self.market) == kept

    @rule(number=st.integers(0, 999), role=st.sampled_from(list(Role)))
    def misdeliver(self, number: int, role: Role) -> None:
        message = self.pick(self.history, number)
        if role is not message.to and message.name != "Error":
            kept = state(self.market)
            self.market.parties[role].handle(message.data)
            assert state(self.market) == kept

    # --- what must hold ---

    @invariant()
    def money_is_neither_made_nor_lost(self) -> None:
        available, held, captured = money(self.market.account)
        total = available + sum(a.amount for a in held.values()) + sum(a.amount for a in captured.values())
        assert total == BALANCE

    @invariant()
    def nothing_is_taken_that_was_not_signed(self) -> None:
        authorised = self.authorisations()
        paid = {
            shop.trans_ids.xid: cents
            for lid_c, cents in self.purchases
            if (shop := self.shop(lid_c)) is not None and self.market.cardholder.purchase(lid_c).ordered is not None
        }
        for xid, record in authorised.items():
            assert record.auth_amt.amount == paid[xid]
            if record.captured is not None:
                assert record.state is P.CAPTURED
                assert record.captured.amount <= record.auth_amt.amount
        _, held, captured = money(self.market.account)
        by_state = {record.auth_rrpid: record for record in authorised.values()}
        assert len(held) == sum(record.state is P.OPEN for record in authorised.values())
        assert {amount.amount for amount in captured.values()} == {
            record.captured.amount for record in by_state.values() if record.captured is not None
        }

    @invariant()
    def nobody_is_ahead_of_the_facts(self) -> None:
        authorised = self.authorisations()
        for lid_c, cents in self.purchases:
            mine = self.market.cardholder.purchase(lid_c)
            if mine.shop is None:
                continue
            shops = self.market.merchant.purchase(mine.shop.trans_ids.xid)
            banks = authorised.get(mine.shop.trans_ids.xid)
            if shops.state in (M.AUTHORIZED, M.CAP_SENT, M.CAPTURED):
                assert banks is not None
                assert banks.state in (P.OPEN, P.CAPTURED)
                assert shops.authorization is not None
                assert banks.auth_amt == shops.authorization.amount
                assert banks.auth_amt.amount == cents
            if shops.state is M.DECLINED:
                assert banks is None or banks.state is P.DECLINED
            if shops.state is M.CAPTURED:
                assert banks is not None
                assert shops.capture is not None
                assert banks.captured == shops.capture.amount
            if mine.state is C.AUTHORIZED:
                assert shops.state in (M.AUTHORIZED, M.CAP_SENT, M.CAPTURED)
            if mine.state is C.DECLINED:
                assert shops.state is M.DECLINED
            if mine.state is C.CAPTURED:
                assert shops.state is M.CAPTURED
            assert mine.state is not C.REJECTED, "what was agreed on is not rejected"

    def authorisations(self) -> dict[bytes, gateway.AuthorizationRecord]:
        records = (
            decode(gateway.AuthorizationRecord, value)
            for (table, _), value in snapshot(self.market.stores[Role.gateway]).items()
            if table == gateway.AUTHORIZATIONS
        )
        return {record.xid: record for record in records}


@pytest.mark.prop("PX-18", "OT-2", "OT-3")
def test_purchases_under_every_disturbance() -> None:
    run_state_machine_as_test(Marketplace, settings=settings(stateful_step_count=50))
