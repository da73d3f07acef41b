"""The transaction recorder (trade.md T15): what was bought and how many, found again and printed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from setproto.errors import UsageError
from setproto.wallet import printing, recorder
from setproto.wallet.items import Wallet
from setproto.wallet.paying import Standing
from setproto.wallet.recorder import Query
from tests.wallet.world import EMPTY, FULL, Street, create, form


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wallet]:
    """Three orders on three days: an atlas paid; a declined globe; an atlas and pencils paid with the second card."""
    street = Street.open()
    with create(tmp_path_factory.mktemp("recorder") / "wallet") as vault:
        wallet = street.wallet(vault)
        street.registered(wallet, "empty", EMPTY, "EUR 0.00")
        street.registered(wallet, "full", FULL, "EUR 1000.00")
        till = street.till(wallet)
        for items, cards in (
            (("atlas",), ("full",)),
            (("globe",), ("empty",)),
            (("atlas", "pencil", "pencil"), ("empty", "full")),
        ):
            order = till.quote(form(*items, recipient="<Bob & Łucja>"))
            for label in cards:
                till.approach(order.lid_m, label)
                till.pay(order.lid_m)
            till.fetch_receipt(order.lid_m)
            street.office.clock.advance(timedelta(days=1))
        yield wallet


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), [0, 1, 2]),
        (Query(since=date(2026, 1, 16)), [1, 2]),
        (Query(until=date(2026, 1, 16)), [0, 1]),
        (Query(since=date(2026, 1, 16), until=date(2026, 1, 16)), [1]),
        (Query(merchant="BOOK"), [0, 1, 2]),
        (Query(merchant="butcher"), []),
        (Query(item="remote islands"), [0, 2]),
        (Query(item="pencil"), [2]),
        (Query(means="full"), [0, 2]),
        (Query(means="empty"), [1, 2]),
        (Query(means="empty", item="globe"), [1]),
        (Query(shop="http://shop.example"), [0, 1, 2]),
        (Query(shop="http://shop"), []),
    ],
)
def test_T15_what_was_bought_is_found(wallet: Wallet, query: Query, found: list[int]) -> None:
    every = [entry.number for entry in recorder.entries(wallet)]
    assert [entry.number for entry in recorder.entries(wallet, query)] == [every[number] for number in found]


def test_T15_how_many_were_bought(wallet: Wallet) -> None:
    """The globe was declined, so it was not bought."""
    sums = [(one.id, one.quantity, str(one.amount)) for one in recorder.bought(recorder.entries(wallet))]
    assert sums == [("atlas", 2, "EUR 48.00"), ("pencil", 2, "EUR 2.40")]


def test_an_order_is_named_by_the_beginning_of_its_number(wallet: Wallet) -> None:
    first, _, last = recorder.entries(wallet)
    assert recorder.find(wallet, first.short).number == first.number
    assert recorder.find(wallet, "last").number == last.number
    with pytest.raises(UsageError, match="no order"):
        recorder.find(wallet, "zz")
    with pytest.raises(UsageError, match="several"):
        recorder.find(wallet, "")


def test_every_attempt_is_told(wallet: Wallet) -> None:
    last = recorder.find(wallet, "last")
    assert [(attempt.card, standing) for attempt, standing in last.attempts] == [
        ("empty", Standing.DECLINED),
        ("full", Standing.PAID),
    ]


def test_a_receipt_as_text(wallet: Wallet) -> None:
    text = printing.as_text(recorder.find(wallet, "last"))
    assert text.startswith("Receipt\n=======\n\nMerchant  Corner Bookshop\n")
    for said in ("2 × Pencil (pencil) at EUR 1.20: EUR 2.40", "Total     EUR 28.90", "held EUR 28.90"):
        assert said in text
    assert FULL not in text


def test_an_order_that_was_not_paid_is_no_receipt(wallet: Wallet) -> None:
    _, declined, _ = recorder.entries(wallet)
    assert declined.kept is None
    assert printing.as_text(declined).startswith("Order\n")
    assert "declined" in printing.as_text(declined)


def test_html_shows_what_was_written_and_runs_none_of_it(wallet: Wallet) -> None:
    page = printing.as_html(recorder.find(wallet, "last"))
    assert "&lt;Bob &amp; Łucja&gt;" in page
    assert "<Bob" not in page
    assert "http" not in page.replace("http://", ""), "nothing is loaded"


def test_a_pdf_is_the_same_every_time(wallet: Wallet) -> None:
    entry = recorder.find(wallet, "last")
    data = printing.as_pdf(entry)
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert printing.as_pdf(entry) == data
