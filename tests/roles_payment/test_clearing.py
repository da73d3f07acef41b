"""CapRevReq, CredReq, CredRevReq and their answers: three kinds, one mechanism (set-protocol.md §4.16, §5.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode
from setproto.messages.codes import BatchOperation, CompletionCode
from setproto.messages.common import Role
from setproto.roles.merchant import records
from setproto.roles.ports import Outgoing
from tests.roles_payment.scene import Money, Scene, eur, item, token_of, tokens

Ask = Callable[[Scene, bytes], Outgoing]
KINDS: dict[str, Ask] = {
    "CapRevReq": lambda scene, xid: scene.merchant.reverse_capture(xid),
    "CredReq": lambda scene, xid: scene.merchant.credit(xid, eur(1000)),
    "CredRevReq": lambda scene, xid: scene.merchant.reverse_credit(xid),
}


def ready(scene: Scene, kind: str) -> bytes:
    """A purchase of 100.00 that was captured, and of which 30.00 were credited where that is to be taken back."""
    xid = scene.bought(10_000)
    if kind == "CredRevReq":
        assert scene.asks(scene.merchant.credit(xid, eur(3000))) == "success"
    return xid


AFTER = {"CapRevReq": Money(10_000), "CredReq": Money(10_000, 10_000, 1000), "CredRevReq": Money(10_000, 10_000)}


@pytest.mark.parametrize("kind", KINDS)
def test_success(scene: Scene, kind: str) -> None:
    xid = ready(scene, kind)
    request = KINDS[kind](scene, xid)
    assert request.name == kind
    assert scene.asks(request) == "success"
    assert scene.all_agree(xid) == AFTER[kind]


def test_what_was_taken_back_may_be_captured_again(scene: Scene) -> None:
    xid = scene.bought(10_000)
    scene.asks(scene.merchant.reverse_capture(xid))
    assert scene.asks(scene.merchant.capture(xid, eur(2500))) == "success"
    assert scene.all_agree(xid) == Money(10_000, 2500)


@pytest.mark.prop("PX-7")
def test_credits_together_stay_within_the_capture(scene: Scene) -> None:
    xid = scene.bought(10_000, captured=8000)
    assert scene.asks(scene.merchant.credit(xid, eur(8001))) == "amountError"
    assert scene.asks(scene.merchant.credit(xid, eur(3000))) == "success"
    assert scene.asks(scene.merchant.credit(xid, eur(5001))) == "amountError"
    assert scene.asks(scene.merchant.credit(xid, eur(5000))) == "success"
    assert scene.asks(scene.merchant.credit(xid, eur(1))) == "amountError"
    assert scene.all_agree(xid) == Money(10_000, 8000, 8000)


def test_a_credit_belongs_to_one_capture(scene: Scene) -> None:
    xid = scene.bought(10_000, captured=2000)
    scene.asks(scene.merchant.capture(xid, eur(3000)))
    assert scene.asks(scene.merchant.credit(xid, eur(2001), capture=1)) == "amountError"
    assert scene.asks(scene.merchant.credit(xid, eur(2000), capture=1)) == "success"
    assert scene.asks(scene.merchant.credit(xid, capture=2)) == "success"
    assert scene.all_agree(xid) == Money(10_000, 5000, 5000)


@pytest.mark.parametrize(
    "amount",
    [
        eur(0),
        CurrencyAmount(currency=840, amount=1, amt_exp10=-2),
        CurrencyAmount(currency=978, amount=1, amt_exp10=-3),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_amount_error(scene: Scene, kind: str, amount: CurrencyAmount) -> None:
    xid = ready(scene, kind)
    before = scene.bank()
    assert scene.asks(scene.lie(lambda: KINDS[kind](scene, xid), item(amount=amount))) == "amountError"
    assert scene.all_agree(xid) == before


@pytest.mark.parametrize(("kind", "cents"), [("CapRevReq", 9999), ("CredRevReq", 2999), ("CredRevReq", 3001)])
def test_a_reversal_is_of_the_whole(scene: Scene, kind: str, cents: int) -> None:
    xid = ready(scene, kind)
    before = scene.bank()
    assert scene.asks(scene.lie(lambda: KINDS[kind](scene, xid), item(amount=eur(cents)))) == "amountError"
    assert scene.all_agree(xid) == before


@pytest.mark.prop("PX-7")
def test_a_capture_of_which_something_was_credited_is_not_taken_back(scene: Scene) -> None:
    xid = ready(scene, "CredRevReq")
    assert scene.asks(scene.merchant.reverse_capture(xid)) == "amountError"
    assert scene.all_agree(xid) == Money(10_000, 10_000, 3000)
    scene.asks(scene.merchant.reverse_credit(xid))
    assert scene.asks(scene.merchant.reverse_capture(xid)) == "success"
    assert scene.all_agree(xid) == Money(10_000)


@pytest.mark.prop("PX-7")
def test_duplicate_request(scene: Scene) -> None:
    xid = scene.bought(10_000)
    scene.asks(scene.merchant.credit(xid, eur(1000)))
    again = scene.lie(lambda: scene.merchant.credit(xid, eur(1000)), item(cred_num=1))
    assert scene.asks(again) == "duplicateRequest"
    scene.asks(scene.merchant.reverse_credit(xid, credit=1))
    again = scene.lie(lambda: scene.merchant.credit(xid, eur(1000)), item(cred_num=1))
    assert scene.asks(again) == "duplicateRequest"
    assert scene.all_agree(xid) == Money(10_000, 10_000)


@pytest.mark.parametrize("kind", ["CapRevReq", "CredRevReq"])
def test_original_processed_when_its_batch_is_closed(scene: Scene, kind: str) -> None:
    xid = ready(scene, kind)
    before = scene.bank()
    scene.asks(scene.merchant.batch(1, BatchOperation.close))
    request = KINDS[kind](scene, xid)
    if kind == "CapRevReq":
        assert scene.asks(request) == "originalProcessed"
    else:
        assert scene.asks(request) == "originalProcessed"
    assert scene.all_agree(xid) == before


@pytest.mark.prop("PX-7")
@pytest.mark.parametrize("kind", ["CapRevReq", "CredRevReq"])
def test_original_not_found_when_it_was_taken_back_before(scene: Scene, kind: str) -> None:
    xid = ready(scene, kind)
    with scene.merchant.store.transaction() as transaction:
        kept = records.purchase(transaction, xid)
    assert scene.asks(KINDS[kind](scene, xid)) == "success"
    after = scene.bank()
    with scene.merchant.store.transaction() as transaction:
        records.keep(transaction, kept)  # the merchant pretends that it still stands
    assert scene.asks(KINDS[kind](scene, xid)) == "originalNotFound"
    assert scene.bank() == after


@pytest.mark.prop("PX-7")
def test_nothing_is_credited_of_a_capture_that_was_taken_back(scene: Scene) -> None:
    xid = scene.bought(10_000)
    with scene.merchant.store.transaction() as transaction:
        kept = records.purchase(transaction, xid)
    scene.asks(scene.merchant.reverse_capture(xid))
    with scene.merchant.store.transaction() as transaction:
        records.keep(transaction, kept)
    assert scene.asks(scene.merchant.credit(xid)) == "originalNotFound"
    assert scene.bank() == Money(10_000)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lie", [{"cap_num": 2}, {"trans_ids": {"xid": bytes(20)}}, {"trans_ids": {"lid_c": b"x"}}], ids=str
)
def test_original_not_found(scene: Scene, kind: str, lie: dict[str, object]) -> None:
    xid = ready(scene, kind)
    before = scene.bank()
    ids = scene.merchant.purchase(xid).trans_ids
    changes = {k: replace(ids, **v) if isinstance(v, dict) else v for k, v in lie.items()}
    assert scene.answers(scene.lie(lambda: KINDS[kind](scene, xid), item(**changes))) == "originalNotFound"
    assert scene.bank() == before


@pytest.mark.parametrize("number", [None, 2])
def test_original_not_found_when_there_is_no_such_credit(scene: Scene, number: int | None) -> None:
    xid = ready(scene, "CredRevReq")
    lie = scene.lie(lambda: scene.merchant.reverse_credit(xid), item(cred_num=number))
    assert scene.answers(lie) == "originalNotFound"
    assert scene.bank() == Money(10_000, 10_000, 3000)


@pytest.mark.parametrize("kind", KINDS)
def test_original_not_found_at_another_merchant(scene: Scene, kind: str) -> None:
    thief = scene.another_merchant()
    xid = ready(scene, kind)
    before = scene.all_agree(xid)
    thief.merchant.store._tables.update(scene.merchant.store._tables)  # type: ignore[attr-defined]
    assert thief.answers(KINDS[kind](thief, xid)) == "originalNotFound"
    assert scene.all_agree(xid) == before


def test_missing_cap_data_when_a_credit_has_no_number(scene: Scene) -> None:
    xid = scene.bought(10_000)
    lie = scene.lie(lambda: scene.merchant.credit(xid), item(cred_num=None))
    assert scene.answers(lie) == "missingCapData"
    assert scene.bank() == Money(10_000, 10_000)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens(scene: Scene, kind: str) -> None:
    xid, other = ready(scene, kind), scene.buy(100)
    before = scene.bank()
    for token, code in (
        (b"", "missingCapToken"),
        (token_of(scene, other), "invalidCapToken"),
        (b"x", "invalidCapToken"),
    ):
        assert scene.asks(scene.lie(lambda: KINDS[kind](scene, xid), baggage=tokens(token))) == code
    two = tokens(token_of(scene, xid), token_of(scene, xid))
    reply = scene.gateway_reply(scene.lie(lambda: KINDS[kind](scene, xid), baggage=two))
    assert reply.events[0].code is ErrorCode.decodingFailure
    assert scene.bank() == before


def test_batch_unknown_and_batch_closed(scene: Scene) -> None:
    xid = scene.bought(10_000)
    assert scene.asks(scene.merchant.credit(xid, eur(100), batch_id=9)) == "batchUnknown"
    scene.asks(scene.merchant.batch(1, BatchOperation.close))
    assert scene.asks(scene.merchant.credit(xid, eur(100), batch_id=1)) == "batchClosed"
    assert scene.asks(scene.merchant.credit(xid, eur(100))) == "success"
    assert scene.all_agree(xid) == Money(10_000, 10_000, 100)
    (credit,) = scene.merchant.purchase(xid).authorizations[0].captures[0].credits[2:]
    assert credit.number == 3


def test_the_cardholder_is_told_of_the_credit(scene: Scene) -> None:
    xid = scene.bought(10_000)
    scene.asks(scene.merchant.credit(xid, eur(2500)))
    lid_c = scene.merchant.purchase(xid).trans_ids.lid_c
    scene.market.deliver(Role.cardholder, scene.market.cardholder.inquire(lid_c))
    assert scene.market.results[xid].detail == CompletionCode.creditPerformed.name
