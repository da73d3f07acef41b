"""AuthRevReq and AuthRevRes: an authorisation stands for less, or for nothing (set-protocol.md §4.14, §5.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from setproto.amounts import CurrencyAmount
from setproto.roles.merchant import records, requests
from setproto.roles.operations import OpState
from tests.roles_payment.scene import Money, Scene, eur, token_of, tokens


def test_reduce_then_cancel(scene: Scene) -> None:
    xid = scene.buy(10_000)
    assert scene.asks(scene.merchant.reverse(xid, eur(7000))) == "approved"
    assert scene.all_agree(xid) == Money(authorised=7000)
    assert scene.asks(scene.merchant.reverse(xid)) == "approved"
    assert scene.all_agree(xid) == Money()
    assert scene.merchant.purchase(xid).authorizations[0].state is OpState.REVERSED


@pytest.mark.parametrize("cents", [10_000, 10_001])
def test_invalid_amount_when_it_is_not_less(scene: Scene, cents: int) -> None:
    xid = scene.buy(10_000)
    assert scene.asks(scene.merchant.reverse(xid, eur(cents))) == "invalidAmount"
    assert scene.all_agree(xid) == Money(authorised=10_000)


@pytest.mark.prop("PX-7")
def test_invalid_amount_when_more_was_captured(scene: Scene) -> None:
    xid = scene.bought(10_000, captured=6000)
    assert scene.asks(scene.merchant.reverse(xid, eur(5999))) == "invalidAmount"
    assert scene.asks(scene.merchant.reverse(xid)) == "invalidAmount"
    assert scene.asks(scene.merchant.reverse(xid, eur(6000))) == "approved"
    assert scene.all_agree(xid) == Money(6000, 6000)


@pytest.mark.parametrize(
    "amount",
    [
        CurrencyAmount(currency=840, amount=10, amt_exp10=-2),
        CurrencyAmount(currency=978, amount=10_005, amt_exp10=-3),
    ],
)
def test_amount_error(scene: Scene, amount: CurrencyAmount) -> None:
    xid = scene.buy(10_000)
    lie = scene.lie(lambda: scene.merchant.reverse(xid), lambda body: replace(body, auth_new_amt=amount))
    assert scene.asks(lie) == "amountError"
    assert scene.all_agree(xid) == Money(authorised=10_000)


def test_the_same_money_with_another_exponent(scene: Scene) -> None:
    xid = scene.buy(10_000)
    whole = CurrencyAmount(currency=978, amount=70, amt_exp10=0)
    assert scene.asks(scene.merchant.reverse(xid, whole)) == "approved"
    assert scene.all_agree(xid) == Money(authorised=7000)


def test_missing_cap_token(scene: Scene) -> None:
    xid = scene.buy()
    reduction = scene.lie(lambda: scene.merchant.reverse(xid, eur(4100)), baggage=tokens(b""))
    assert scene.asks(reduction) == "missingCapToken"
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_invalid_cap_token(scene: Scene) -> None:
    xid, other = scene.buy(), scene.buy()
    elsewhere = Scene()
    for wrong in (token_of(scene, other), token_of(elsewhere, elsewhere.buy()), b"no token"):
        request = scene.lie(lambda: scene.merchant.reverse(xid), baggage=tokens(wrong))
        assert scene.asks(request) == "invalidCapToken"
    assert scene.bank() == Money(authorised=8400)


def test_a_reduction_makes_the_token_void(scene: Scene) -> None:
    xid = scene.buy()
    old = token_of(scene, xid)
    scene.asks(scene.merchant.reverse(xid, eur(1000)))
    assert scene.asks(scene.lie(lambda: scene.merchant.reverse(xid), baggage=tokens(old))) == "invalidCapToken"
    assert scene.asks(scene.merchant.reverse(xid)) == "approved"


def test_what_was_cancelled_is_not_cancelled_again(scene: Scene) -> None:
    xid = scene.buy()
    token = token_of(scene, xid)
    assert scene.answers(scene.merchant.reverse(xid)) == "approved"
    with scene.merchant.store.transaction() as transaction:
        record = replace(records.purchase(transaction, xid), outstanding=None)
        standing = replace(record.authorizations[0], state=OpState.GRANTED)
        again = scene.lie(
            lambda: requests.auth_rev_req(scene.merchant, transaction, record, standing, eur(0)), baggage=tokens(token)
        )
    assert scene.answers(again) == "invalidCapToken"
    assert scene.bank() == Money()


def test_invalid_transaction_when_there_is_no_such_authorisation(scene: Scene) -> None:
    xid = scene.buy()
    lie = scene.lie(lambda: scene.merchant.reverse(xid), lambda body: replace(body, auth_rrpid=bytes(20)))
    assert scene.answers(lie) == "invalidTransaction"
    assert scene.bank() == Money(authorised=4200)


def test_invalid_transaction_when_it_is_another_merchants(scene: Scene) -> None:
    """The thief has everything that the victim has, but for its keys."""
    thief = scene.another_merchant()
    xid = scene.buy()
    thief.merchant.store._tables.update(scene.merchant.store._tables)  # type: ignore[attr-defined]
    assert thief.answers(thief.merchant.reverse(xid)) == "invalidTransaction"
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_invalid_transaction_when_the_local_identifiers_differ(scene: Scene) -> None:
    xid = scene.buy()
    with scene.merchant.store.transaction() as transaction:
        record = records.purchase(transaction, xid)
        record = replace(record, trans_ids=replace(record.trans_ids, lid_c=b"another"))
        request = requests.auth_rev_req(scene.merchant, transaction, record, record.authorizations[0], eur(0))
    assert scene.answers(request) == "invalidTransaction"
    assert scene.bank() == Money(authorised=4200)
