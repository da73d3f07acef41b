"""BatchAdminReq and BatchAdminRes: open, purge, close, look (set-protocol.md §4.19, §5.8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from setproto.messages.batch import BatchAdminResData, BatchStatus, BatchTotals, ReturnTransactionDetail
from setproto.messages.codes import AmtType, BAStatus, BatchOperation, CloseStatus, TransmissionStatus
from setproto.roles.operations import OpState
from setproto.roles.ports import Outgoing
from tests.roles_payment.scene import Money, Scene, eur, lying

OPEN, PURGE, CLOSE = BatchOperation.open, BatchOperation.purge, BatchOperation.close


def answered(scene: Scene, request: Outgoing) -> BatchAdminResData:
    """The body of the gateway's answer, which the merchant gets too."""
    bodies: list[Any] = []
    with lying(scene.market.gateway, lambda body: bodies.append(body) or body, None):  # type: ignore[arg-type,func-returns-value]
        scene.asks(request)
    assert isinstance(bodies[0], BatchAdminResData)
    return bodies[0]


def totals(credits: int, credit: int, debits: int, debit: int) -> BatchTotals:
    return BatchTotals(
        transaction_count_credit=credits,
        transaction_total_amt_credit=eur(credit),
        transaction_count_debit=debits,
        transaction_total_amt_debit=eur(debit),
    )


def look(number: int = 1, **details: Any) -> dict[str, Any]:
    return {"batch_id": number, "details": ReturnTransactionDetail(**{"starting_point": 0, **details})}


# --- opening --------------------------------------------------------------------------------------


def test_open_fill_close(scene: Scene) -> None:
    assert scene.asks(scene.merchant.batch(7, OPEN)) == "success"
    xid = scene.buy(5000)
    assert scene.asks(scene.merchant.capture(xid, eur(2000), batch_id=7)) == "success"
    answer = answered(scene, scene.merchant.batch(7, CLOSE))
    assert answer.ba_status is BAStatus.success
    assert answer.transmission_status is TransmissionStatus.pending
    status = answer.batch_status
    assert status is not None
    assert status.closed_when is not None
    assert status.closed_when.close_status is CloseStatus.closedByMerchant
    assert status.batch_totals == totals(0, 0, 1, 2000)
    assert scene.all_agree(xid) == Money(5000, 2000)


def test_batch_already_open_and_batch_id_unavailable(scene: Scene) -> None:
    scene.asks(scene.merchant.batch(7, OPEN))
    assert scene.asks(scene.merchant.batch(7, OPEN)) == "batchAlreadyOpen"
    scene.asks(scene.merchant.batch(7, CLOSE))
    assert scene.asks(scene.merchant.batch(7, OPEN)) == "batchIDUnavailable"


def test_brand_not_supported(scene: Scene) -> None:
    lie = scene.lie(lambda: scene.merchant.batch(7, OPEN), lambda body: replace(body, brand_seq=["Other"]))
    assert scene.asks(lie) == "brandNotSupported"
    assert scene.asks(scene.merchant.batch(7)) == "unknownBatchID"
    fits = scene.lie(
        lambda: scene.merchant.batch(7, OPEN), lambda body: replace(body, brand_seq=[scene.merchant.party.brand])
    )
    assert scene.asks(fits) == "success"


@pytest.mark.parametrize("operation", [None, PURGE, CLOSE])
def test_unknown_batch_id(scene: Scene, operation: BatchOperation | None) -> None:
    assert scene.asks(scene.merchant.batch(7, operation)) == "unknownBatchID"


@pytest.mark.parametrize("operation", [PURGE, CLOSE])
def test_unknown_batch_id_when_it_is_closed(scene: Scene, operation: BatchOperation) -> None:
    xid = scene.bought(5000)
    scene.asks(scene.merchant.batch(1, CLOSE))
    assert scene.asks(scene.merchant.batch(1, operation)) == "unknownBatchID"
    assert scene.all_agree(xid) == Money(5000, 5000)


@pytest.mark.parametrize("operation", [PURGE, CLOSE])
def test_brand_batch_mismatch(scene: Scene, operation: BatchOperation) -> None:
    xid = scene.bought(5000)
    lie = scene.lie(lambda: scene.merchant.batch(1, operation), lambda body: replace(body, brand_seq=["Other"]))
    assert scene.asks(lie) == "brandBatchMismatch"
    assert answered(scene, scene.merchant.batch(1)).batch_status.closed_when is None  # type: ignore[union-attr]
    assert scene.all_agree(xid) == Money(5000, 5000)


def test_batches_of_two_merchants_have_nothing_to_do_with_each_other(scene: Scene) -> None:
    other = scene.another_merchant()
    scene.bought(5000)
    assert other.asks(other.merchant.batch(1)) == "unknownBatchID"
    assert other.asks(other.merchant.batch(1, OPEN)) == "success"
    assert other.asks(other.merchant.batch(1, CLOSE)) == "success"
    assert scene.asks(scene.merchant.batch(1, CLOSE)) == "success"


# --- totals ---------------------------------------------------------------------------------------


def test_totals_count_both_ways_and_forget_what_was_taken_back(scene: Scene) -> None:
    first, second = scene.bought(10_000, captured=6000), scene.bought(3000)
    scene.asks(scene.merchant.capture(first, eur(1000)))
    scene.asks(scene.merchant.credit(first, eur(500), capture=1))
    scene.asks(scene.merchant.credit(first, eur(700), capture=1))
    status = answered(scene, scene.merchant.batch(1)).batch_status
    assert status is not None
    assert status.batch_totals == totals(2, 1200, 3, 10_000)
    assert status.brand_batch_details_seq is not None
    (by_brand,) = status.brand_batch_details_seq
    assert (by_brand.brand_id, by_brand.batch_totals) == (scene.merchant.party.brand, status.batch_totals)
    scene.asks(scene.merchant.reverse_credit(first, capture=1, credit=1))
    scene.asks(scene.merchant.reverse_capture(second))
    status = answered(scene, scene.merchant.batch(1)).batch_status
    assert status is not None
    assert status.batch_totals == totals(1, 700, 2, 7000)


def test_an_empty_batch_has_no_totals(scene: Scene) -> None:
    scene.asks(scene.merchant.batch(7, OPEN))
    status = answered(scene, scene.merchant.batch(7)).batch_status
    assert status is not None
    assert status.batch_totals is None
    assert status.brand_batch_details_seq is None


@pytest.mark.parametrize(
    "mine",
    [totals(0, 0, 1, 4999), totals(0, 0, 2, 5000), totals(1, 0, 1, 5000), totals(0, 1, 1, 5000), None],
    ids=["sum", "count", "credits", "credit sum", "none at all"],
)
def test_totals_out_of_balance(scene: Scene, mine: BatchTotals | None) -> None:
    xid = scene.bought(5000)
    status = answered(scene, scene.merchant.batch(1)).batch_status
    assert status is not None
    wrong = replace(status, batch_totals=mine)
    assert scene.asks(scene.merchant.batch(1, CLOSE, totals=wrong)) == "totalsOutOfBalance"
    assert scene.asks(scene.merchant.capture(xid, eur(1))) == "amountError"
    assert scene.asks(scene.merchant.batch(1, CLOSE, totals=status)) == "success"


def test_totals_are_compared_only_on_closing(scene: Scene) -> None:
    scene.bought(5000)
    status = BatchStatus(
        open_date_time=answered(scene, scene.merchant.batch(1)).batch_status.open_date_time,  # type: ignore[union-attr]
        batch_totals=totals(9, 9, 9, 9),
    )
    assert scene.asks(scene.merchant.batch(1, None, totals=status)) == "success"


# --- purging --------------------------------------------------------------------------------------


@pytest.mark.prop("PX-7")
def test_purging_takes_everything_back(scene: Scene) -> None:
    xid = scene.bought(10_000, captured=6000)
    scene.asks(scene.merchant.capture(xid, eur(3000)))
    scene.asks(scene.merchant.credit(xid, eur(1000), capture=1))
    scene.asks(scene.merchant.credit(xid, eur(500), capture=2))
    scene.asks(scene.merchant.reverse_credit(xid, capture=2))
    assert scene.asks(scene.merchant.batch(1, PURGE)) == "success"
    assert scene.all_agree(xid) == Money(10_000)
    captures = scene.merchant.purchase(xid).authorizations[0].captures
    assert {capture.state for capture in captures} == {OpState.REVERSED}
    status = answered(
        scene, scene.merchant.batch(1, details=ReturnTransactionDetail(starting_point=0, maximum_items=9))
    )
    assert status.batch_status is not None
    assert status.batch_status.batch_totals == totals(0, 0, 0, 0)
    assert status.trans_details is not None
    assert status.trans_details.transaction_detail_seq == []


def test_a_purged_batch_goes_on(scene: Scene) -> None:
    xid = scene.bought(10_000)
    scene.asks(scene.merchant.batch(1, PURGE))
    assert scene.asks(scene.merchant.capture(xid, eur(700))) == "success"
    assert scene.asks(scene.merchant.batch(1, PURGE)) == "success"
    assert scene.asks(scene.merchant.capture(xid, eur(800))) == "success"
    assert scene.all_agree(xid) == Money(10_000, 800)


@pytest.mark.prop("PX-7")
def test_a_capture_that_was_credited_in_another_batch_is_not_purged(scene: Scene) -> None:
    xid = scene.bought(10_000)
    scene.asks(scene.merchant.batch(2, OPEN))
    scene.asks(scene.merchant.credit(xid, eur(4000), batch_id=2))
    assert scene.asks(scene.merchant.batch(1, PURGE)) == "unspecifiedFailure"
    assert scene.all_agree(xid) == Money(10_000, 10_000, 4000)
    assert scene.asks(scene.merchant.batch(2, PURGE)) == "success"
    assert scene.all_agree(xid) == Money(10_000, 10_000)
    assert scene.asks(scene.merchant.batch(1, PURGE)) == "success"
    assert scene.all_agree(xid) == Money(10_000)


def test_purging_leaves_the_batches_of_others_alone(scene: Scene) -> None:
    other = scene.another_merchant()
    mine, theirs = scene.bought(5000), other.bought(3000)
    assert scene.asks(scene.merchant.batch(1, PURGE)) == "success"
    assert scene.gateway(mine) == Money(5000)
    assert other.gateway(theirs) == other.shop(theirs) == Money(3000, 3000)
    assert scene.bank() == Money(8000, 3000)


# --- items ----------------------------------------------------------------------------------------


def items(answer: BatchAdminResData) -> tuple[list[int], int]:
    assert answer.trans_details is not None
    details = answer.trans_details
    return [detail.batch_sequence_num for detail in details.transaction_detail_seq], details.next_starting_point


def filled(scene: Scene) -> bytes:
    """Five captures, of which the second was taken back, and a credit."""
    xid = scene.buy(10_000)
    for cents in (100, 200, 300, 400, 500):
        scene.asks(scene.merchant.capture(xid, eur(cents)))
    scene.asks(scene.merchant.reverse_capture(xid, capture=2))
    scene.asks(scene.merchant.credit(xid, eur(50), capture=1))
    return xid


def test_items_are_what_was_captured_and_credited(scene: Scene) -> None:
    xid = filled(scene)
    answer = answered(scene, scene.merchant.batch(**look(maximum_items=100)))
    assert items(answer) == ([1, 3, 4, 5, 6], 0)
    assert answer.trans_details is not None
    amounts = [(d.transaction_amt, d.transaction_amt_type) for d in answer.trans_details.transaction_detail_seq]
    assert amounts == [(eur(cents), AmtType.debit) for cents in (100, 300, 400, 500)] + [(eur(50), AmtType.credit)]
    assert {d.trans_ids.xid for d in answer.trans_details.transaction_detail_seq} == {xid}


def test_items_page_by_page(scene: Scene) -> None:
    filled(scene)
    point, pages = 0, []
    while True:
        answer = answered(scene, scene.merchant.batch(**look(starting_point=point, maximum_items=2)))
        page, point = items(answer)
        pages.append(page)
        if point == 0:
            break
    assert pages == [[1, 3], [4, 5], [6]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param({"maximum_items": 0}, ([1], 2), id="at least one, or paging would not end"),
        pytest.param({"maximum_items": 9, "brand_id": "Other"}, ([], 0), id="of another brand"),
        pytest.param({"maximum_items": 9, "brand_id": "Marque"}, ([1, 3, 4, 5, 6], 0), id="of this brand"),
        pytest.param({"maximum_items": 9, "errors_only_ind": True}, ([], 0), id="errors only"),
        pytest.param({"maximum_items": 9, "starting_point": 6}, ([6], 0), id="the last"),
        pytest.param({"maximum_items": 9, "starting_point": 7}, ([], 0), id="after the last"),
    ],
)
def test_which_items(scene: Scene, wanted: dict[str, Any], found: tuple[list[int], int]) -> None:
    filled(scene)
    assert items(answered(scene, scene.merchant.batch(**look(**wanted)))) == found


def test_unknown_starting_point(scene: Scene) -> None:
    filled(scene)
    answer = answered(scene, scene.merchant.batch(**look(starting_point=8, maximum_items=9)))
    assert answer.ba_status is BAStatus.unknownStartingPoint
    assert answer.trans_details is None


def test_no_more_than_a_hundred_items_in_one_answer(scene: Scene) -> None:
    from setproto.roles.gateway import batch_admin

    filled(scene)
    assert batch_admin.MAX_ITEMS_PER_ANSWER == 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_admin, "MAX_ITEMS_PER_ANSWER", 3)
        answer = answered(scene, scene.merchant.batch(**look(maximum_items=1 << 62)))
    assert items(answer) == ([1, 3, 4], 5)


def test_details_are_for_those_who_ask(scene: Scene) -> None:
    filled(scene)
    plain = answered(
        scene, scene.lie(lambda: scene.merchant.batch(1), lambda b: replace(b, return_batch_summary_ind=False))
    )
    assert plain.batch_status is None
    assert plain.trans_details is None


# --- on the way to the acquirer -------------------------------------------------------------------


def test_transmission(scene: Scene) -> None:
    xid = scene.bought(5000)
    merchant, gateway = scene.merchant.party, scene.market.gateway
    assert answered(scene, scene.merchant.batch(1)).transmission_status is None
    with pytest.raises(KeyError):
        gateway.transmit(merchant, 9)
    scene.asks(scene.merchant.batch(1, CLOSE))
    gateway.transmit(merchant, 1)
    answer = answered(scene, scene.merchant.batch(1))
    assert answer.transmission_status is TransmissionStatus.completedSuccessfully
    assert scene.asks(scene.merchant.reverse_capture(xid)) == "originalProcessed"
    assert scene.asks(scene.merchant.batch(1, PURGE)) == "unknownBatchID"
    assert scene.asks(scene.merchant.credit(xid)) == "success"
    assert scene.all_agree(xid) == Money(5000, 5000, 5000)


def test_after_closing_a_new_batch_is_opened_by_itself(scene: Scene) -> None:
    xid = scene.bought(5000, captured=1000)
    scene.asks(scene.merchant.batch(1, CLOSE))
    scene.asks(scene.merchant.capture(xid, eur(1000)))
    scene.asks(scene.merchant.batch(3, OPEN))
    scene.asks(scene.merchant.batch(2, CLOSE))
    scene.asks(scene.merchant.capture(xid, eur(1000)))
    assert [c.batch_id for c in scene.merchant.purchase(xid).authorizations[0].captures] == [1, 2, 3]
