"""AuthToken: shipments, instalments and recurring payments, and each way to use a token wrongly (§4.17)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from setproto.errors import UsageError
from setproto.messages.common import Role
from setproto.messages.payment import PaymentInstruction
from setproto.roles.merchant import records
from tests.roles_payment.scene import (
    NOW,
    Money,
    Scene,
    auth_payload,
    eur,
    instalments,
    instruction,
    recurring,
    token_of,
    tokens,
)


def auth_token(scene: Scene, xid: bytes) -> PaymentInstruction:
    token = scene.merchant.purchase(xid).auth_token
    assert token is not None
    return PaymentInstruction(auth_token=token)


# --- split shipment -------------------------------------------------------------------------------


def test_three_shipments(scene: Scene) -> None:
    xid = scene.buy(10_000, first=4000)
    assert scene.asks(scene.merchant.authorize(xid, eur(3500), more=True)) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(2500))) == "approved"
    assert scene.all_agree(xid) == Money(authorised=10_000)
    for number in (1, 2, 3):
        assert scene.asks(scene.merchant.capture(xid, authorization=number)) == "success"
    assert scene.all_agree(xid) == Money(10_000, 10_000)


def test_the_last_shipment_gives_no_token(scene: Scene) -> None:
    xid = scene.buy(10_000, first=4000)
    scene.asks(scene.merchant.authorize(xid, eur(3500)))
    with pytest.raises(UsageError, match="nothing to authorise again"):
        scene.merchant.authorize(xid, eur(2500))


@pytest.mark.prop("PX-7")
def test_shipments_together_stay_within_what_was_signed(scene: Scene) -> None:
    xid = scene.buy(10_000, first=4000)
    assert scene.asks(scene.merchant.authorize(xid, eur(6001), more=True)) == "amountError"
    assert scene.asks(scene.merchant.authorize(xid, eur(6000), more=True)) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(1), more=True)) == "amountError"
    assert scene.all_agree(xid) == Money(authorised=10_000)


def test_what_was_reversed_may_be_authorised_again(scene: Scene) -> None:
    xid = scene.buy(10_000, first=4000)
    scene.asks(scene.merchant.authorize(xid, eur(6000), more=True))
    scene.asks(scene.merchant.reverse(xid, authorization=1))
    assert scene.asks(scene.merchant.authorize(xid, eur(4001), more=True)) == "amountError"
    assert scene.asks(scene.merchant.authorize(xid, eur(4000), more=True)) == "approved"
    assert scene.all_agree(xid) == Money(authorised=10_000)


# --- each token once ------------------------------------------------------------------------------


@pytest.mark.prop("PX-7")
def test_an_old_token_is_refused(scene: Scene) -> None:
    xid = scene.buy(10_000, first=4000)
    old = auth_token(scene, xid)
    assert scene.asks(scene.merchant.authorize(xid, eur(1000), more=True)) == "approved"
    again = scene.lie(lambda: scene.merchant.authorize(xid, eur(1000), more=True), baggage=instruction(old))
    assert scene.asks(again) == "piPreviouslyUsed"
    assert scene.all_agree(xid) == Money(authorised=5000)


@pytest.mark.prop("PX-7")
def test_a_token_whose_use_was_declined_is_still_good() -> None:
    scene = Scene(balance="EUR 50.00")
    xid = scene.buy(10_000, first=4000)
    assert scene.asks(scene.merchant.authorize(xid, eur(2000), more=True)) == "declined"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000), more=True)) == "approved"
    assert scene.all_agree(xid) == Money(authorised=5000)


@pytest.mark.prop("PX-7")
def test_the_pi_is_no_second_token(scene: Scene) -> None:
    xid = scene.buy(10_000, first=4000)
    with scene.merchant.store.transaction() as transaction:
        records.keep(transaction, replace(records.purchase(transaction, xid), auth_token=None))
    assert scene.asks(scene.again(xid, 4000, more=True)) == "piPreviouslyUsed"
    assert scene.bank() == Money(authorised=4000)


@pytest.mark.prop("PX-7")
def test_a_token_is_void_once_the_pi_was_used_again(scene: Scene) -> None:
    """All reversed, then the PI again: the token of the first life must not add a second authorisation."""
    xid = scene.buy(10_000, first=4000)
    old = auth_token(scene, xid)
    scene.asks(scene.merchant.reverse(xid))
    with scene.merchant.store.transaction() as transaction:
        records.keep(transaction, replace(records.purchase(transaction, xid), auth_token=None))
    assert scene.asks(scene.again(xid, 4000, more=True)) == "approved"
    again = scene.lie(lambda: scene.merchant.authorize(xid, eur(1000), more=True), baggage=instruction(old))
    assert scene.asks(again) == "piPreviouslyUsed"
    assert scene.all_agree(xid) == Money(authorised=4000)


def test_a_token_of_another_purchase_is_refused(scene: Scene) -> None:
    first, second = scene.buy(10_000, first=4000), scene.buy(10_000, first=4000)
    other = auth_token(scene, first)
    again = scene.lie(lambda: scene.merchant.authorize(second, eur(1000), more=True), baggage=instruction(other))
    assert scene.asks(again) == "piAuthMismatch"
    assert scene.bank() == Money(authorised=8000)


def test_a_token_of_another_merchant_is_refused(scene: Scene) -> None:
    """The thief knows everything that the victim knows, and has its own keys and its own purchase."""
    thief = scene.another_merchant()
    stolen = auth_token(scene, scene.buy(10_000, first=4000))
    mine = thief.buy(10_000, first=4000)
    again = thief.lie(lambda: thief.merchant.authorize(mine, eur(1000), more=True), baggage=instruction(stolen))
    assert thief.asks(again) == "piAuthMismatch"
    assert scene.bank() == Money(authorised=8000)


def test_a_stolen_purchase_does_not_help_either(scene: Scene) -> None:
    """The thief asks under the victim's identifiers: the gateway knows of no such purchase of the thief's."""
    thief = scene.another_merchant()
    xid = scene.buy(10_000, first=4000)
    thief.merchant.store._tables.update(scene.merchant.store._tables)  # type: ignore[attr-defined]
    assert thief.answers(thief.merchant.authorize(xid, eur(1000), more=True)) == "piAuthMismatch"
    assert scene.all_agree(xid) == Money(authorised=4000)


def test_a_token_of_another_gateway_is_refused(scene: Scene) -> None:
    other = Scene()
    theirs, mine = other.buy(10_000, first=4000), scene.buy(10_000, first=4000)
    stranger = auth_token(other, theirs)
    again = scene.lie(lambda: scene.merchant.authorize(mine, eur(1000), more=True), baggage=instruction(stranger))
    assert scene.asks(again) == "piAuthMismatch"
    assert scene.all_agree(mine) == Money(authorised=4000)


@pytest.mark.parametrize("part", ["auth_rrpid", "sealed_token", "sealed_pan"])
def test_a_token_with_any_part_exchanged_is_refused(scene: Scene, part: str) -> None:
    first, second = scene.buy(10_000, first=4000), scene.buy(10_000, first=4000)
    mine, other = auth_token(scene, second).auth_token, auth_token(scene, first).auth_token
    mixed = PaymentInstruction(auth_token=replace(mine, **{part: getattr(other, part)}))
    again = scene.lie(lambda: scene.merchant.authorize(second, eur(1000), more=True), baggage=instruction(mixed))
    assert scene.asks(again) == "piAuthMismatch"


# --- instalments ----------------------------------------------------------------------------------


@pytest.mark.prop("PX-16")
def test_no_more_instalments_than_the_cardholder_signed(scene: Scene) -> None:
    xid = scene.buy(9000, install_recur_data=instalments(3), first=2000)
    assert scene.asks(scene.merchant.authorize(xid, eur(3000))) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(4001))) == "amountError"
    assert scene.asks(scene.merchant.authorize(xid, eur(3000))) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000))) == "installRecurMismatch"
    assert scene.all_agree(xid) == Money(authorised=8000)


@pytest.mark.prop("PX-16")
def test_an_instalment_that_was_reversed_has_been_one(scene: Scene) -> None:
    """Otherwise a merchant could have any number of them, one after the other."""
    xid = scene.buy(9000, install_recur_data=instalments(2), first=2000)
    scene.asks(scene.merchant.reverse(xid))
    assert scene.asks(scene.merchant.authorize(xid, eur(3000))) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(3000))) == "installRecurMismatch"


@pytest.mark.prop("PX-16")
@pytest.mark.parametrize("claimed", [None, instalments(9), recurring(1, NOW + timedelta(days=99))])
def test_a_merchant_cannot_raise_the_limit_later(scene: Scene, claimed: Any) -> None:
    xid = scene.buy(9000, install_recur_data=instalments(3), first=2000)
    lie = auth_payload(install_recur_data=claimed)
    assert scene.asks(scene.lie(lambda: scene.merchant.authorize(xid, eur(1000)), lie)) == "installRecurMismatch"
    assert scene.all_agree(xid) == Money(authorised=2000)


# --- recurring payments ---------------------------------------------------------------------------


@pytest.mark.prop("PX-16")
def test_not_too_soon_and_not_after_the_last_date(scene: Scene) -> None:
    last = NOW + timedelta(days=60)
    xid = scene.buy(1000, install_recur_data=recurring(28, last))
    scene.wait(days=27)
    assert scene.asks(scene.merchant.authorize(xid, eur(1000))) == "recurringTooSoon"
    scene.wait(days=1)
    assert scene.asks(scene.merchant.authorize(xid, eur(1001))) == "amountError"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000))) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000))) == "recurringTooSoon"
    scene.wait(days=32)
    assert scene.market.clock() == last
    assert scene.asks(scene.merchant.authorize(xid, eur(900))) == "approved"
    scene.wait(days=28)
    assert scene.asks(scene.merchant.authorize(xid, eur(900))) == "recurringExpired"
    assert scene.all_agree(xid) == Money(authorised=2900)


@pytest.mark.prop("PX-16")
def test_a_subscription_that_has_ended_cannot_be_begun(scene: Scene) -> None:
    xid = scene.buy(1000, install_recur_data=recurring(28, NOW - timedelta(seconds=1)))
    assert scene.market.results[xid].code.name == "recurringExpired"  # type: ignore[union-attr]
    assert scene.all_agree(xid) == Money()


@pytest.mark.prop("PX-16")
def test_reversing_does_not_make_the_next_payment_come_sooner(scene: Scene) -> None:
    xid = scene.buy(1000, install_recur_data=recurring(28, NOW + timedelta(days=100)))
    scene.asks(scene.merchant.reverse(xid))
    assert scene.asks(scene.merchant.authorize(xid, eur(1000))) == "recurringTooSoon"
    assert scene.all_agree(xid) == Money()


# --- identifiers are the merchant's choice --------------------------------------------------------


def namesake(scene: Scene, xid: bytes) -> tuple[Scene, bytes]:
    """Another merchant's purchase, of another card, for which it chose XID and RRPID of a purchase that it watched."""
    thief = scene.another_cardholder().another_merchant()
    rrpid = scene.merchant.purchase(xid).authorizations[0].auth_rrpid
    honest, chosen = thief.merchant.random, [xid]
    thief.market.merchant.random = lambda size: chosen.pop(0) if chosen and size == 20 else honest(size)
    lid_c = thief.order(10_000, first=4000)
    chosen.append(rrpid)
    thief.market.deliver(Role.cardholder, thief.market.cardholder.pay(lid_c))
    thief.market.merchant.random = honest
    assert thief.market.result(lid_c).xid == xid
    assert thief.merchant.purchase(xid).authorizations[0].auth_rrpid == rrpid
    assert thief.all_agree(xid) == Money(authorised=4000)
    return thief, xid


@pytest.mark.prop("PX-7")
def test_a_token_of_a_namesake_is_refused(scene: Scene) -> None:
    """XID, RRPID and generation are alike; with this token the thief would authorise on the victim's card."""
    victim = scene.buy(10_000, first=4000)
    thief, xid = namesake(scene, victim)
    stolen = auth_token(scene, victim)
    again = thief.lie(lambda: thief.merchant.authorize(xid, eur(1000), more=True), baggage=instruction(stolen))
    assert thief.asks(again) == "piAuthMismatch"
    assert scene.all_agree(victim) == Money(authorised=4000)
    assert thief.bank() == Money(authorised=4000)


@pytest.mark.prop("PX-7")
def test_a_cap_token_of_a_namesake_is_refused(scene: Scene) -> None:
    victim = scene.buy(10_000, first=4000)
    thief, xid = namesake(scene, victim)
    stolen = token_of(scene, victim)
    assert thief.asks(thief.lie(lambda: thief.merchant.capture(xid), baggage=tokens(stolen))) == "invalidCapToken"
    assert thief.bank() == scene.bank() == Money(authorised=4000)
