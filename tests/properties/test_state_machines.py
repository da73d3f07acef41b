"""One cardholder, one merchant, one gateway and a wire that does what it likes: what must hold after every step.

hypothesis plays the people and the wire: it starts purchases, pays, captures, credits, takes back and inquires at odd
moments, and delivers, drops, doubles, replays and damages messages in any order, with restarts in between.
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
from setproto.errors import UsageError
from setproto.market import BRAND, TRADERS, Clock, Market
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role
from setproto.roles import cardholder
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import records as gateway_records
from setproto.roles.merchant import records as merchant_records
from setproto.roles.operations import LIVE, OpState, live_sum
from setproto.roles.ports import EventKind, Outgoing
from tests.roles.scenes import gateway_purchases, money, restarted, state

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
BALANCE = 100_00
C, M = cardholder.State, merchant_records.State
SHARES = st.sampled_from([None, 0, 30, 50, 100, 101])
"""Of the amount that was agreed on, in per cent."""


ACTS = ["capture", "credit", "reverse_credit", "reverse_capture", "reverse"]
"""What a merchant does with a purchase."""
WHOLE = ("reverse_capture", "reverse_credit")


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
        self.buy(cents)

    # --- people ---

    @rule(cents=st.integers(0, 60_00))
    def start(self, cents: int) -> None:
        order = self.market.order(f"EUR {cents // 100}.{cents % 100:02d}", b"goods")
        lid_c, message = self.market.cardholder.start(order)
        self.purchases.append((lid_c, cents))
        self.put(message)

    @rule(cents=st.integers(0, 60_00))
    def buy(self, cents: int) -> None:
        """Undisturbed, as far as what else is on the wire lets it."""
        self.start(cents)
        self.deliver_all()
        self.pay(len(self.purchases) - 1)
        self.deliver_all()

    @rule(number=st.integers(0, 99), acts=st.lists(st.tuples(st.integers(0, 5), SHARES), min_size=1, max_size=4))
    def settle(self, number: int, acts: list[tuple[int, int | None]]) -> None:
        """Something that can be done with a purchase is done, and more with what came of it; everybody hears of it."""
        authorised = [lid_c for lid_c, _ in self.purchases if self.possible(lid_c)]
        if not authorised:
            return
        lid_c = self.pick(authorised, number)
        place = [known for known, _ in self.purchases].index(lid_c)
        for choice, share in acts:
            possible = self.possible(lid_c)
            if possible:
                what = self.pick(possible, choice)
                self.ask(place, what, None if what in WHOLE else share)
                self.deliver_all()
            self.resend(place)
            self.inquire(place)
            self.deliver_all()

    def possible(self, lid_c: bytes) -> list[str]:
        """What the merchant can do with a purchase."""
        shop = self.shop(lid_c)
        if shop is None:
            return []
        record = self.market.merchant.purchase(shop.trans_ids.xid)
        return [what for what in ACTS if self.has_object(record, what)]

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

    def ask(self, number: int, what: str, share: int | None = None) -> None:
        """The merchant of a purchase asks its gateway for something, if it may."""
        lid_c, cents = self.pick(self.purchases, number)
        shop = self.shop(lid_c)
        if shop is None:
            return
        xid, merchant = shop.trans_ids.xid, self.market.merchant
        amount = self.market.cardholder.purchase(lid_c).amount.with_amount(cents * (share or 0) // 100)
        record = merchant.purchase(xid)
        try:
            asked = getattr(merchant, what)(xid, *(() if share is None else (amount,)))
        except UsageError:
            assert record.outstanding is not None or not self.has_object(record, what, whole=share is None)
            assert merchant.purchase(xid) == record
        else:
            assert record.outstanding is None
            assert merchant.purchase(xid).outstanding is not None
            self.put(asked)

    def has_object(self, record: merchant_records.PurchaseRecord, what: str, *, whole: bool = False) -> bool:
        """Whether there is something that this could be done to, as the merchant knows it; ``whole``: to all of it."""
        live = [a for a in record.authorizations if a.state in LIVE]
        if live and what == "capture" and whole:
            return not live_sum(live[-1].captures, live[-1].amount).same_value(live[-1].amount)
        if what in ("capture", "reverse"):
            return bool(live)
        captures = [c for c in live[-1].captures if c.state in LIVE] if live else []
        if what in ("credit", "reverse_capture"):
            return bool(captures)
        return bool(captures) and any(credit.state in LIVE for credit in captures[-1].credits)

    @rule(number=st.integers(0, 99), share=SHARES)
    def capture(self, number: int, share: int | None) -> None:
        self.ask(number, "capture", share)

    @rule(number=st.integers(0, 99), share=SHARES)
    def credit(self, number: int, share: int | None) -> None:
        self.ask(number, "credit", share)

    @rule(number=st.integers(0, 99), share=SHARES)
    def reverse(self, number: int, share: int | None) -> None:
        self.ask(number, "reverse", share)

    @rule(number=st.integers(0, 99), what=st.sampled_from(WHOLE))
    def take_back(self, number: int, what: str) -> None:
        self.ask(number, what)

    @rule(number=st.integers(0, 99))
    def resend(self, number: int) -> None:
        lid_c, _ = self.pick(self.purchases, number)
        shop = self.shop(lid_c)
        if shop is None:
            return
        record = self.market.merchant.purchase(shop.trans_ids.xid)
        try:
            self.put(self.market.merchant.resend(shop.trans_ids.xid))
        except UsageError:
            assert record.outstanding is None

    @rule(number=st.integers(0, 99))
    def give_up(self, number: int) -> None:
        """The merchant waits no longer for an authorisation, whether it never came, was decided, or is on its way."""
        lid_c, _ = self.pick(self.purchases, number)
        shop = self.shop(lid_c)
        if shop is None:
            return
        record = self.market.merchant.purchase(shop.trans_ids.xid)
        waits = any(authorization.state is OpState.ASKED for authorization in record.authorizations)
        try:
            self.put(self.market.merchant.give_up(shop.trans_ids.xid))
        except UsageError:
            assert not waits
        else:
            assert waits
            assert self.market.merchant.purchase(shop.trans_ids.xid).has_failed

    @rule(role=st.sampled_from(TRADERS))
    def restart(self, role: Role) -> None:
        self.market = restarted(self.market, role)

    # --- the wire ---

    def receiver(self, message: Outgoing) -> Endpoint:
        assert message.to is not None, "everything on this wire could be read"
        return self.market.parties[message.to]

    @precondition(lambda self: self.wire)
    @rule(number=st.integers(0, 99))
    def deliver(self, number: int) -> None:
        message = self.wire.pop(number % len(self.wire))
        self.put(*self.receiver(message).handle(message.data).outgoing)

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
        reply = self.receiver(message).handle(bytes(octets))
        if message.name != "PInitReq":
            assert {event.kind for event in reply.events} <= {EventKind.REFUSED}
            assert state(self.market) == kept

    @rule(number=st.integers(0, 999), role=st.sampled_from(TRADERS))
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
        credited = sum(self.market.account.credited.values()) // self.market.account.opening.step
        total = available + sum(a.amount for a in held.values()) + sum(a.amount for a in captured.values()) - credited
        assert total == BALANCE

    @invariant()
    def nothing_is_taken_that_was_not_signed(self) -> None:
        """Captured ≤ authorised ≤ signed, credited ≤ captured, and the bank's books say the same as the gateway's."""
        signed = {
            shop.trans_ids.xid: cents
            for lid_c, cents in self.purchases
            if (shop := self.shop(lid_c)) is not None and self.market.cardholder.purchase(lid_c).ordered is not None
        }
        authorised = captured = credited = 0
        for record in gateway_purchases(self.market):
            zero = record.purch_amt.with_amount(0)
            assert record.purch_amt.amount == signed[record.trans_ids.xid]
            assert live_sum(record.authorizations, zero).amount <= signed[record.trans_ids.xid]
            for authorization in record.authorizations:
                if authorization.state is not OpState.GRANTED:
                    assert not any(capture.state is OpState.GRANTED for capture in authorization.captures)
                    continue
                taken = live_sum(authorization.captures, zero).amount
                assert taken <= authorization.amount.amount
                for capture in authorization.captures:
                    given = live_sum(capture.credits, zero).amount
                    assert given == 0 if capture.state is not OpState.GRANTED else given <= capture.amount.amount
                    credited += given
                authorised += authorization.amount.amount
                captured += taken
        account = self.market.account
        assert sum(account.held.values()) == account.opening.step * (authorised - captured)
        assert sum(account.captured.values()) == account.opening.step * captured
        assert sum(account.credited.values()) == account.opening.step * credited

    @invariant()
    def nobody_is_ahead_of_the_facts(self) -> None:
        """What the merchant believes is so, and nothing is so that it did not ask for."""
        at_gateway = {record.trans_ids.xid: record for record in gateway_purchases(self.market)}
        for lid_c, cents in self.purchases:
            mine = self.market.cardholder.purchase(lid_c)
            if mine.shop is None:
                continue
            xid = mine.shop.trans_ids.xid
            shops = self.market.merchant.purchase(xid)
            assert shops.state is not M.REJECTED, "what was agreed on is not rejected"
            theirs = operations(at_gateway.get(xid))
            ours = operations(shops)
            for key, (standing, amount) in ours.items():
                found = theirs.get(key)
                if standing is OpState.GRANTED:
                    assert found == (OpState.GRANTED, amount)
                elif standing is OpState.REVERSED:
                    assert found is not None
                    assert found[0] is OpState.REVERSED
                elif standing is OpState.REFUSED:
                    assert found is None or found[0] in (OpState.REFUSED, OpState.REVERSED)
                elif standing is OpState.REVERSAL_ASKED:
                    assert found is not None
                    assert found[0] in (OpState.GRANTED, OpState.REVERSED)
                if standing in UNDECIDED:
                    assert shops.outstanding is not None
            assert set(theirs) <= set(ours)
            waiting = [key for key, (standing, _) in ours.items() if standing in UNDECIDED]
            assert len(waiting) == (shops.outstanding is not None)
            self.knows_only_what_was(mine, shops, cents)

    def knows_only_what_was(
        self, mine: cardholder.Purchase, shops: merchant_records.PurchaseRecord, cents: int
    ) -> None:
        """The cardholder may be behind, but was never told what was not so at some time."""
        codes = {authorization.code for authorization in shops.authorizations}
        captures = [capture for authorization in shops.authorizations for capture in authorization.captures]
        credits = [credit for capture in captures for credit in capture.credits]
        assert mine.state is not C.REJECTED
        if mine.state in (C.AUTHORIZED, C.CAPTURED, C.CREDITED):
            assert codes == {AuthCode.approved}
            assert cents > 0
        if mine.state is C.DECLINED:
            assert codes
            assert AuthCode.approved not in codes
        if mine.state is C.CAPTURED:
            assert any(capture.state in HAPPENED for capture in captures)
        if mine.state is C.CREDITED:
            assert any(credit.state in HAPPENED for credit in credits)


UNDECIDED = (OpState.ASKED, OpState.REVERSAL_ASKED, OpState.GIVEN_UP)
HAPPENED = (*LIVE, OpState.REVERSED)


def operations(
    record: merchant_records.PurchaseRecord | gateway_records.PurchaseRecord | None,
) -> dict[tuple[Any, ...], tuple[OpState, int]]:
    """Every operation of a purchase: what it is called → where it stands, and its amount in cents."""
    found: dict[tuple[Any, ...], tuple[OpState, int]] = {}
    for authorization in record.authorizations if record is not None else ():
        name = authorization.auth_rrpid
        found[(name,)] = (authorization.state, authorization.amount.amount)
        for capture in authorization.captures:
            found[name, capture.number] = (capture.state, capture.amount.amount)
            for credit in capture.credits:
                found[name, capture.number, credit.number] = (credit.state, credit.amount.amount)
    return found


@pytest.mark.prop("PX-18", "OT-2", "OT-3")
def test_purchases_under_every_disturbance() -> None:
    sixty = settings(max_examples=settings().max_examples * 3 // 5, stateful_step_count=50)
    run_state_machine_as_test(Marketplace, settings=sixty)
