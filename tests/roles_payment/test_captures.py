"""CapReq and CapRes: what is taken of an authorisation (set-protocol.md §4.15, §5.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, UsageError
from setproto.messages.codes import BatchOperation, CapCode
from setproto.messages.payment import SaleDetail
from setproto.roles.merchant import records, requests
from tests.roles_payment.scene import Money, Scene, cap_payload, eur, item, token_of, tokens


def test_all_of_it(scene: Scene) -> None:
    xid = scene.bought(4200)
    assert scene.all_agree(xid) == Money(4200, 4200)


def test_part_by_part(scene: Scene) -> None:
    xid = scene.buy(10_000)
    for cents in (6000, 3000):
        assert scene.asks(scene.merchant.capture(xid, eur(cents))) == "success"
    assert scene.asks(scene.merchant.capture(xid)) == "success"
    assert scene.all_agree(xid) == Money(10_000, 10_000)
    batches = {capture.batch_id for capture in scene.merchant.purchase(xid).authorizations[0].captures}
    assert batches == {1}


@pytest.mark.parametrize("sale", [True, False])
def test_where_nothing_is_left_to_take_nothing_is_asked(scene: Scene, sale: bool) -> None:
    """After a sale, or a second time: the shop is told so at once, and may go on."""
    xid = scene.buy(4200, capture_now=True) if sale else scene.bought(4200)
    with pytest.raises(UsageError, match="left to take: it was captured with the sale$" if sale else "left to take$"):
        scene.merchant.capture(xid)
    assert scene.merchant.purchase(xid).outstanding is None
    assert scene.all_agree(xid) == Money(4200, 4200)


@pytest.mark.prop("PX-7")
def test_amount_error_above_what_was_authorised(scene: Scene) -> None:
    xid = scene.bought(10_000, captured=6000)
    assert scene.asks(scene.merchant.capture(xid, eur(4001))) == "amountError"
    assert scene.all_agree(xid) == Money(10_000, 6000)


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param(eur(0), id="nothing"),
        pytest.param(CurrencyAmount(currency=840, amount=1, amt_exp10=-2), id="a dollar cent"),
        pytest.param(CurrencyAmount(currency=978, amount=1, amt_exp10=-3), id="a tenth of a cent"),
        pytest.param(CurrencyAmount(currency=978, amount=10_000, amt_exp10=0), id="another exponent"),
    ],
)
def test_amount_error(scene: Scene, amount: CurrencyAmount) -> None:
    xid = scene.buy(10_000)
    lie = scene.lie(lambda: scene.merchant.capture(xid, eur(100)), cap_payload(cap_req_amt=amount))
    assert scene.asks(lie) == "amountError"
    assert scene.all_agree(xid) == Money(10_000)


@pytest.mark.prop("PX-7")
def test_duplicate_request(scene: Scene) -> None:
    """A capture has a number; asked for again in a new request, it is not made again, nor after it was reversed."""
    xid = scene.bought(10_000, captured=3000)
    again = scene.lie(lambda: scene.merchant.capture(xid, eur(3000)), cap_payload(cap_num=1))
    assert scene.asks(again) == "duplicateRequest"
    scene.asks(scene.merchant.reverse_capture(xid))
    again = scene.lie(lambda: scene.merchant.capture(xid, eur(3000)), cap_payload(cap_num=1))
    assert scene.asks(again) == "duplicateRequest"
    assert scene.all_agree(xid) == Money(10_000)


def test_cap_token_missing(scene: Scene) -> None:
    xid = scene.buy()
    assert scene.asks(scene.lie(lambda: scene.merchant.capture(xid), baggage=tokens(b""))) == "capTokenMissing"
    assert scene.all_agree(xid) == Money(4200)


def test_invalid_cap_token(scene: Scene) -> None:
    xid, other = scene.buy(), scene.buy()
    elsewhere = Scene()
    for wrong in (token_of(scene, other), token_of(elsewhere, elsewhere.buy()), b"no token"):
        request = scene.lie(lambda: scene.merchant.capture(xid), baggage=tokens(wrong))
        assert scene.asks(request) == "invalidCapToken"
    assert scene.bank() == Money(8400)


@pytest.mark.prop("PX-7")
def test_the_token_of_before_a_reduction_is_void(scene: Scene) -> None:
    xid = scene.buy()
    old = token_of(scene, xid)
    scene.asks(scene.merchant.reverse(xid, eur(1000)))
    assert scene.asks(scene.lie(lambda: scene.merchant.capture(xid), baggage=tokens(old))) == "invalidCapToken"
    assert scene.asks(scene.merchant.capture(xid, eur(1001))) == "amountError"
    assert scene.asks(scene.merchant.capture(xid)) == "success"
    assert scene.all_agree(xid) == Money(1000, 1000)


@pytest.mark.prop("PX-7")
def test_nothing_is_captured_of_what_was_cancelled(scene: Scene) -> None:
    xid = scene.buy()
    token = token_of(scene, xid)
    request = scene.merchant.capture(xid)  # on its way, when the authorisation is cancelled
    with scene.merchant.store.transaction() as transaction:
        record = records.purchase(transaction, xid)
        cancel = requests.auth_rev_req(scene.merchant, transaction, record, record.authorizations[0], eur(0))
    assert scene.answers(cancel) == "approved"
    assert scene.answers(request) == "invalidCapToken"
    assert token
    assert scene.bank() == Money()


def test_invalid_cap_token_for_an_authorisation_that_is_none(scene: Scene) -> None:
    xid = scene.buy()
    assert (
        scene.answers(scene.lie(lambda: scene.merchant.capture(xid), item(auth_rrpid=bytes(20)))) == "invalidCapToken"
    )
    assert scene.bank() == Money(4200)


def test_unknown_xid(scene: Scene) -> None:
    xid = scene.buy()
    ids = replace(scene.merchant.purchase(xid).trans_ids, xid=bytes(20))
    assert scene.answers(scene.lie(lambda: scene.merchant.capture(xid), item(trans_ids=ids))) == "unknownXID"


def test_unknown_xid_for_another_merchants_purchase(scene: Scene) -> None:
    thief = scene.another_merchant()
    xid = scene.buy()
    thief.merchant.store._tables.update(scene.merchant.store._tables)  # type: ignore[attr-defined]
    assert thief.answers(thief.merchant.capture(xid)) == "unknownXID"
    assert scene.all_agree(xid) == Money(4200)


@pytest.mark.parametrize("lid", ["lid_c", "lid_m"])
def test_unknown_lid(scene: Scene, lid: str) -> None:
    xid = scene.buy()
    ids = replace(scene.merchant.purchase(xid).trans_ids, **{lid: b"another"})
    assert scene.answers(scene.lie(lambda: scene.merchant.capture(xid), item(trans_ids=ids))) == "unknownLID"
    assert scene.bank() == Money(4200)


def test_batch_unknown_and_batch_closed(scene: Scene) -> None:
    xid = scene.buy()
    assert scene.asks(scene.merchant.capture(xid, batch_id=7)) == "batchUnknown"
    assert scene.asks(scene.merchant.batch(7, BatchOperation.open)) == "success"
    assert scene.asks(scene.merchant.capture(xid, eur(200), batch_id=7)) == "success"
    assert scene.asks(scene.merchant.batch(7, BatchOperation.close)) == "success"
    assert scene.asks(scene.merchant.capture(xid, batch_id=7)) == "batchClosed"
    assert scene.all_agree(xid) == Money(4200, 200)


def test_a_batch_has_one_currency_and_exponent(scene: Scene) -> None:
    xid = scene.bought(4200, captured=200)
    whole = CurrencyAmount(currency=978, amount=3, amt_exp10=0)
    assert scene.asks(scene.merchant.capture(xid, whole, batch_id=1)) == "batchUnknown"
    assert scene.asks(scene.merchant.capture(xid, whole)) == "success"
    assert [c.batch_id for c in scene.merchant.purchase(xid).authorizations[0].captures] == [1, None, 2]
    assert scene.all_agree(xid) == Money(4200, 500)


# --- several items in one request -----------------------------------------------------------------


def several(*amounts: int, numbers: list[int] | None = None) -> object:
    def change(body: object) -> object:
        first = body.cap_item_seq[0]  # type: ignore[attr-defined]
        items = [
            replace(first, cap_payload=replace(first.cap_payload, cap_req_amt=eur(cents), cap_num=number))
            for cents, number in zip(amounts, numbers or range(1, 101), strict=False)
        ]
        return replace(body, cap_item_seq=items)  # type: ignore[type-var]

    return change


@pytest.mark.prop("PX-7")
def test_items_are_independent_but_share_the_authorisation(scene: Scene) -> None:
    xid = scene.buy(10_000)
    token = token_of(scene, xid)
    lie = several(6000, 5000, 4000, 1, 6000, numbers=[1, 2, 3, 4, 1])
    reply = scene.gateway_reply(scene.lie(lambda: scene.merchant.capture(xid), lie, tokens(*[token] * 5)))
    codes = [event.code for event in reply.events]
    assert codes == [
        CapCode.success,
        CapCode.amountError,
        CapCode.success,
        CapCode.amountError,
        CapCode.duplicateRequest,
    ]
    assert scene.bank() == Money(10_000, 10_000)


@pytest.mark.parametrize("count", [1, 3])
def test_one_token_per_item(scene: Scene, count: int) -> None:
    xid = scene.buy(10_000)
    lie = several(100, 100)
    reply = scene.gateway_reply(
        scene.lie(lambda: scene.merchant.capture(xid), lie, tokens(*[token_of(scene, xid)] * count))
    )
    assert reply.events[0].code is ErrorCode.decodingFailure
    assert scene.bank() == Money(10_000)


def test_tokens_belong_to_the_items_in_their_places(scene: Scene) -> None:
    first, second = scene.buy(1000), scene.buy(2000)
    other = scene.merchant.purchase(second)

    def two(body: object) -> object:
        mine = body.cap_item_seq[0]  # type: ignore[attr-defined]
        theirs = replace(mine, trans_ids=other.trans_ids, auth_rrpid=other.authorizations[0].auth_rrpid)
        return replace(body, cap_item_seq=[mine, theirs])  # type: ignore[type-var]

    crossed = tokens(token_of(scene, second), token_of(scene, first))
    reply = scene.gateway_reply(scene.lie(lambda: scene.merchant.capture(first), two, crossed))
    assert [event.code for event in reply.events] == [CapCode.invalidCapToken, CapCode.invalidCapToken]
    assert scene.bank() == Money(3000)


def test_what_makes_no_sense_is_not_even_asked(scene: Scene) -> None:
    xid = scene.buy()
    for wrong in (
        lambda: scene.merchant.reverse_capture(xid),
        lambda: scene.merchant.credit(xid),
        lambda: scene.merchant.capture(xid, authorization=2),
        lambda: scene.merchant.capture(b"no such purchase"),
        lambda: scene.merchant.resend(xid),
    ):
        with pytest.raises(UsageError):
            wrong()
    scene.merchant.capture(xid)
    with pytest.raises(UsageError, match="outstanding"):
        scene.merchant.capture(xid)


def test_a_batch_may_be_named_in_a_capture(scene: Scene) -> None:
    xid = scene.buy()
    scene.asks(scene.merchant.batch(5, BatchOperation.open))
    request = scene.lie(lambda: scene.merchant.capture(xid), cap_payload(sale_detail=SaleDetail(batch_id=5)))
    assert scene.asks(request) == "success"
    assert scene.merchant.purchase(xid).authorizations[0].captures[0].batch_id == 5
