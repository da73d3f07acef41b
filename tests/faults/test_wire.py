"""Bits flipped, messages cut short, replayed, doubled, out of order: no state is hurt, no exception escapes.

The samples are random but the same in every run; ``SETPROTO_HYPOTHESIS=thorough`` tries every bit.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

import pytest

from setproto.market import TRADERS, Market
from setproto.messages.common import Role
from setproto.roles import cardholder
from setproto.roles.operations import OpState
from setproto.roles.ports import EventKind, Outgoing
from tests.roles.scenes import (
    KIND,
    LONG_STORY,
    Scene,
    Step,
    before,
    begin,
    money,
    restore,
    snapshot,
    state,
    step,
    whole,
)

THOROUGH = os.environ.get("SETPROTO_HYPOTHESIS") == "thorough"
PROTECTED = [name for name in LONG_STORY if name != "PInitReq"]


def sample(population: range, count: int, seed: str) -> Iterable[int]:
    if THOROUGH or len(population) <= count:
        return population
    return random.Random(seed).sample(population, count)


def flipped(data: bytes, bit: int) -> bytes:
    octets = bytearray(data)
    octets[bit // 8] ^= 1 << bit % 8
    return bytes(octets)


def to_whom(message: Outgoing) -> Role:
    assert message.to is not None, "everything here can be read"
    return message.to


def finish(scene: Scene) -> None:
    """The rest of the story, undisturbed."""
    while scene.hand is not None:
        scene.deliver()
    assert scene.market.cardholder.purchase(scene.lid_c).state is cardholder.State.CAPTURED
    if scene.goes_on:
        record = scene.market.merchant.purchase(scene.xid)
        (authorization,) = record.authorizations
        (capture,) = authorization.captures
        (credit,) = capture.credits
        assert {authorization.state, capture.state, credit.state} == {OpState.REVERSED}
        assert record.outstanding is None
        assert money(scene.market.account) == (1000_00, {}, {})
        return
    assert step(scene.market, scene.xid) is Step.CAPTURED
    assert money(scene.market.account)[0] == 958_00


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("name", PROTECTED)
def test_a_flipped_bit_is_noticed(name: str) -> None:
    scene = before(name)
    data, kept = scene.data, state(scene.market)
    for bit in sample(range(8 * len(data)), 1000, name):
        reply = scene.receiver.handle(flipped(data, bit))
        assert [event.kind for event in reply.events] == [EventKind.REFUSED], f"bit {bit}"
        assert {message.name for message in reply.outgoing} <= {"Error"}
        assert state(scene.market) == kept, f"bit {bit}"
    finish(scene)


@pytest.mark.prop("PX-10", "PX-11")
def test_a_flipped_bit_in_the_one_plain_message_leads_to_the_purchase_that_was_meant_or_to_none() -> None:
    scene = before("PInitReq")
    market, data = scene.market, scene.data
    stores = {role: snapshot(market.stores[role]) for role in TRADERS}
    went_on = 0
    for bit in sample(range(8 * len(data)), 400, "PInitReq"):
        for role in TRADERS:
            restore(market.stores[role], stores[role])
        for answer in market.merchant.handle(flipped(data, bit)).outgoing:
            if answer.to is not Role.cardholder:
                continue
            reply = market.cardholder.handle(answer.data)
            if any(event.kind is EventKind.MERCHANT_SHOWN for event in reply.events):
                went_on += 1
                shop = market.cardholder.purchase(scene.lid_c).shop
                assert shop is not None
                assert (shop.trans_ids.lid_c, shop.trans_ids.lid_m) == (scene.lid_c, scene.order.lid_m)
                assert (shop.merchant, shop.gateway) == (market.merchant.party, market.gateway.party)
            else:
                assert market.cardholder.purchase(scene.lid_c).state is cardholder.State.INIT_SENT
    assert went_on > 0, "the header of a plain message is not protected: this test would not notice if it were"
    assert money(market.account)[0] == 1000_00
    for role in TRADERS:
        restore(market.stores[role], stores[role])
    finish(scene)


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("suite", ["ed25519", "mldsa65"])
@pytest.mark.parametrize("name", ["PReq", "AuthReq", "AuthRes"])
def test_a_flipped_bit_is_noticed_in_other_suites(name: str, suite: str) -> None:
    scene = before(name, Market.open(suite))
    data, kept = scene.data, state(scene.market)
    for bit in sample(range(8 * len(data)), 100, name + suite):
        reply = scene.receiver.handle(flipped(data, bit))
        assert [event.kind for event in reply.events] == [EventKind.REFUSED], f"bit {bit}"
    assert state(scene.market) == kept
    finish(scene)


@pytest.mark.parametrize("name", LONG_STORY)
def test_a_message_cut_short_is_noticed(name: str) -> None:
    scene = before(name)
    data, kept = scene.data, state(scene.market)
    for length in sample(range(len(data)), 100, name):
        reply = scene.receiver.handle(data[:length])
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    for tail in (b"\x00", b"\x05\x00", data):
        reply = scene.receiver.handle(data + tail)
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    assert state(scene.market) == kept
    finish(scene)


@pytest.mark.parametrize("name", LONG_STORY)
def test_parts_overwritten_moved_or_doubled(name: str) -> None:
    """Coarser damage than a bit: runs of zeros, and slices of the message in the wrong place."""
    scene = before(name)
    data, kept, dice = scene.data, state(scene.market), random.Random(name)
    refused = 0
    for _ in range(100):
        a, b = sorted(dice.sample(range(len(data)), 2))
        for damaged in (data[:a] + bytes(b - a) + data[b:], data[:a] + data[b:], data[:b] + data[a:]):
            kinds = [event.kind for event in scene.receiver.handle(damaged).events]
            refused += kinds == [EventKind.REFUSED]
            if name != "PInitReq":
                assert kinds == [EventKind.REFUSED]
    assert refused > 250
    if name != "PInitReq":
        assert state(scene.market) == kept
        finish(scene)


@pytest.mark.parametrize("point", LONG_STORY[1:])
def test_any_earlier_message_again_at_any_later_point(point: str) -> None:
    scene = before(point)
    kept = state(scene.market)
    for message in list(scene.sent.values())[:-1]:
        scene.market.parties[KIND[message.name].recipient].handle(message.data)
        assert state(scene.market) == kept, message.name
    finish(scene)


@pytest.mark.parametrize("point", LONG_STORY)
def test_messages_of_another_purchase_at_any_point(point: str) -> None:
    """Everything of a finished purchase, from another market under another root, and from this one."""
    other = whole(goes_on=True)
    scene = before(point)
    kept = state(scene.market)
    for message in other.sent.values():
        if message.name == "PInitReq":
            continue
        reply = scene.market.parties[KIND[message.name].recipient].handle(message.data)
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    assert state(scene.market) == kept
    earlier = whole(scene.market, "EUR 1.00")
    kept = state(scene.market)
    for message in earlier.sent.values():
        scene.market.parties[KIND[message.name].recipient].handle(message.data)
    assert state(scene.market) == kept
    while scene.hand is not None:
        scene.deliver()
    assert money(scene.market.account)[0] == (999_00 if scene.goes_on else 957_00)


@pytest.mark.parametrize("seed", range(25))
def test_any_order_with_losses_and_doubles_comes_to_the_same_end(seed: int) -> None:
    """A hundred random steps on a bad wire, then retries on a good one: every purchase is captured exactly once."""
    dice, market = random.Random(seed), Market.open()
    scenes = [begin(market, f"EUR {price}.00") for price in (1, 20, 300)]
    wire: list[Outgoing] = [scene.hand for scene in scenes if scene.hand is not None]
    old = list(wire)

    def act() -> list[Outgoing]:
        """What the parties do of themselves, if they can."""
        made = []
        for scene in scenes:
            record = market.cardholder.purchase(scene.lid_c)
            if record.state is cardholder.State.INIT_SENT:
                made.append(scene.sent["PInitReq"])
            if record.shop is None:
                continue
            made.append(market.cardholder.pay(scene.lid_c))
            made.append(market.cardholder.inquire(scene.lid_c))
            reached = step(market, record.shop.trans_ids.xid)
            if reached is Step.AUTHORIZED:
                made.append(market.merchant.capture(record.shop.trans_ids.xid))
            if reached in (Step.AUTH_SENT, Step.CAP_SENT):
                made.append(market.merchant.resend(record.shop.trans_ids.xid))
        return made

    for _ in range(100):
        choice = dice.random()
        if choice < 0.5 and wire:
            message = wire.pop(dice.randrange(len(wire)))
            answers = market.parties[to_whom(message)].handle(message.data).outgoing
            wire += answers
            old += answers
        elif choice < 0.6 and wire:
            wire.pop(dice.randrange(len(wire)))
        elif choice < 0.75:
            wire.append(dice.choice(old))
        elif choice < 0.85:
            made = act()
            if made:
                wire.append(dice.choice(made))
    for _ in range(6):  # and now nothing is lost any more
        for message in act():
            waiting = [message]
            while waiting:
                message = waiting.pop(0)
                waiting += market.parties[to_whom(message)].handle(message.data).outgoing
    available, held, captured = money(market.account)
    assert (available, held, len(captured)) == (1000_00 - 321_00, {}, 3)
    for scene in scenes:
        assert market.cardholder.purchase(scene.lid_c).state is cardholder.State.CAPTURED
        assert step(market, scene.xid) is Step.CAPTURED
