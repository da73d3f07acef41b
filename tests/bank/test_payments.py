"""What becomes of an approved payment: captures, refunds, reversals, repeats, disputes, the end of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from setproto.bank.ledger import Kind
from setproto.bank.messages import Message
from setproto.bank.settlement import totals_fields
from setproto.errors import UsageError
from tests.bank.conftest import Opener
from tests.bank.people import NOW, OPENING, PAN_CREDIT, PAN_DEBIT, SHOP, Paid, Till, with_changes


def test_captures_in_parts(till: Till) -> None:
    paid = till.buy(10_000)
    for part in (4_000, 5_000):
        assert till.send(till.capture(paid, part)) == "00"
        assert till.available() == OPENING - 10_000
    assert till.send(till.capture(paid, 1_001)) == "13"
    assert till.send(till.capture(paid, 1_000)) == "00"
    assert till.send(till.capture(paid, 1)) == "13"
    assert till.available() == OPENING - 10_000
    assert till.sound()


def test_a_sale_is_captured_at_once_and_reversed_whole(till: Till) -> None:
    """T78: real-time authorisation and capture in one message."""
    sale = till.buy(3_000, mti="0200")
    assert sale.code == "00"
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == -3_000 + 44
    assert till.send(till.reversal(sale, 1_000)) == "12"
    assert till.send(till.reversal(sale)) == "00"
    assert till.available() == OPENING
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == 0
    assert till.send(till.reversal(sale)) == "00"  # another message about the same: it is reversed
    assert till.sound()


def test_refunds_up_to_what_was_captured(till: Till) -> None:
    paid = till.buy(10_000)
    assert till.send(till.refund(paid, 1)) == "13"
    assert till.send(till.capture(paid, 6_000)) == "00"
    assert till.send(till.refund(paid, 6_001)) == "13"
    assert till.send(till.refund(paid, 4_000)) == "00"
    assert till.send(till.refund(paid, 2_001)) == "13"
    assert till.send(till.refund(paid, 2_000)) == "00"
    assert till.available() == OPENING - 4_000  # still held
    assert till.sound()


def test_reversals_of_part_and_of_all(till: Till) -> None:
    paid = till.buy(10_000)
    assert till.send(till.reversal(paid, 10_000)) == "13"
    assert till.send(till.reversal(paid, 6_000)) == "00"
    assert till.available() == OPENING - 6_000
    assert till.send(till.capture(paid, 6_001)) == "13"
    assert till.send(till.capture(paid, 2_000)) == "00"
    assert till.send(till.reversal(paid, 1_999)) == "13"
    assert till.send(till.reversal(paid, 2_000)) == "00"
    assert till.available() == OPENING - 2_000
    assert till.send(till.reversal(paid)) == "13"  # something was taken of it
    other = till.buy(500)
    assert till.send(till.reversal(other)) == "00"
    assert till.send(till.capture(other, 500)) == "25"
    assert till.available() == OPENING - 2_000
    assert till.sound()


def test_a_capture_is_taken_back_whole_and_once(till: Till) -> None:
    paid = till.buy(10_000)
    capture = till.capture(paid, 4_000)
    assert till.send(capture) == "00"
    assert till.send(till.undo(capture, de4=f"{3_999:012d}")) == "13"
    refund = till.refund(paid, 100)
    assert till.send(refund) == "00"
    assert till.send(till.undo(capture)) == "13"  # something was given back of it
    assert till.send(till.undo(refund)) == "00"
    assert till.send(till.undo(capture)) == "00"
    assert till.send(till.undo(capture)) == "25"
    assert till.available() == OPENING - 10_000  # held again
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == 0
    assert till.send(till.capture(paid, 10_000)) == "00"
    assert till.sound()


def test_the_bank_gives_back_every_fee_of_a_capture_that_is_taken_back(till: Till) -> None:
    capture = till.capture(till.buy(9_999, PAN_CREDIT), 9_999)
    till.send(capture)
    till.send(till.undo(capture))
    for kind in (Kind.INTERCHANGE_INCOME, Kind.INTERCHANGE_EXPENSE, Kind.SCHEME_FEE_EXPENSE, Kind.SERVICE_INCOME):
        assert till.bank.balance(kind) == 0


WRONG = {
    "another card": {"de2": PAN_CREDIT},
    "another merchant": {"de42": f"{'shop-9':<15}"},
    "another reference": {"de37": "632609999999"},
    "another currency": {"de49": "840"},
    "another approval": {"de38": "ZZZZZZ"},
    "another original": {"de90": "0100" + "999999" + "1122093000" + "00000123456" + "0" * 11},
    "another terminal": {"de41": "TILL0002"},
}


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_B5_what_cannot_be_matched_moves_nothing(till: Till, wrong: str) -> None:
    paid = till.buy(1_000)
    capture = till.capture(paid, 400)
    assert till.send(capture) == "00"
    before = till.available()
    assert till.send(till.capture(paid, 100, **WRONG[wrong])) == "25"
    assert till.send(till.refund(paid, 100, **WRONG[wrong])) == "25"
    if wrong != "another approval":  # a reversal need not have one
        assert till.send(till.reversal(paid, 500, **WRONG[wrong])) == "25"
    if wrong not in ("another original", "another approval"):
        assert till.send(till.undo(capture, **WRONG[wrong])) == "25"
    assert till.available() == before
    assert till.sound()


def test_B5_a_declined_payment_cannot_be_captured(till: Till) -> None:
    paid = till.buy(OPENING + 1)
    assert till.send(till.capture(paid, 1, de38="000000")) == "25"
    assert till.send(till.reversal(paid)) == "00"  # there is nothing to take back
    assert till.available() == OPENING


# --- the same again -----------------------------------------------------------------------------


def test_B3_what_comes_again_changes_nothing(open_till: Opener) -> None:
    """A repeat, a duplicate, and both after a restart of the bank get the first answer."""
    till = open_till()
    paid = till.buy(1_000)
    capture, reversal = till.capture(paid, 400), till.reversal(paid, 700)
    refund = till.refund(paid, 100)
    answers = [till.bank.handle(message) for message in (capture, reversal, refund)]
    for bank in (till.bank, open_till(clock=till.clock).bank):
        for message, answer in zip((capture, reversal, refund, paid.request), (*answers, paid.answer), strict=True):
            assert bank.handle(message) == answer
            assert bank.handle(message.repeated()) == answer
    assert till.available() == OPENING - 600
    assert till.sound()


def test_a_name_that_was_used_for_something_else_is_refused(till: Till) -> None:
    paid = till.buy(1_000)
    assert till.send(with_changes(paid.request, de4=f"{1:012d}")) == "94"
    assert till.send(paid.request) == "00"
    assert till.available() == OPENING - 1_000


def test_a_reversal_that_overtakes_its_original(till: Till) -> None:
    """B4: it moves nothing, and the original, when it comes, is not carried out."""
    request = till.request(1_000)
    unknown = till.reversal(_asked(request), reason="68")
    assert till.send(unknown) == "25"
    assert till.send(request) == "94"
    assert till.send(request.repeated()) == "94"
    assert till.available() == OPENING
    assert till.sound()


def test_a_reversal_that_overtakes_a_capture(till: Till) -> None:
    paid = till.buy(1_000)
    capture = till.capture(paid, 1_000)
    assert till.send(till.undo(capture)) == "25"
    assert till.send(capture) == "94"
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == 0


def _asked(request: Message) -> Paid:
    return Paid(request, request.response("00"))


# --- holds --------------------------------------------------------------------------------------


def test_holds_expire_and_a_late_capture_is_booked_and_marked(till: Till) -> None:
    paid, part = till.buy(10_000), till.buy(5_000)
    assert till.send(till.capture(part, 2_000)) == "00"
    till.clock.advance(timedelta(days=7, seconds=1))
    till.bank.close_day()
    assert till.available() == OPENING - 2_000
    assert till.buy(OPENING - 2_000).code == "00"
    assert till.send(till.capture(paid, 10_000)) == "00"
    assert till.available() == -10_000  # forced: an advice cannot be refused
    assert till.send(till.capture(part, 3_001)) == "13"
    with till.bank.engine.begin() as connection:
        late = connection.execute(text("SELECT count(*) FROM bank_journals WHERE kind = 'late presentment'"))
        assert late.scalar_one() == 1
    assert till.sound()


# --- disputes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accepted", [True, False])
def test_a_chargeback_ends_with_one_who_pays(till: Till, accepted: bool) -> None:
    paid = till.buy(10_000)
    till.send(till.capture(paid, 10_000))
    till.send(till.refund(paid, 2_000))
    rrn = paid.request[37]
    with pytest.raises(UsageError, match="more than"):
        till.bank.chargeback(rrn, 8_001, "not received")
    case = till.bank.chargeback(rrn, 8_000, "not received")
    assert till.available() == OPENING
    assert till.send(till.refund(paid, 1)) == "13"  # refund and chargeback exclude each other
    till.bank.settle_case(case, accepted=accepted)
    with pytest.raises(UsageError, match="no open case"):
        till.bank.settle_case(case, accepted=accepted)
    assert till.bank.balance(Kind.CHARGEBACK_SUSPENSE) == 0
    assert till.available() == (OPENING if accepted else OPENING - 8_000)
    service = 128
    owed = 8_000 - service - (8_000 + 1_500 if accepted else 0)
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == -owed
    assert till.sound()
    (report,) = till.bank.close_day()
    assert report.paid_out == max(0, owed)  # what he owes stays on his account
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == -min(owed, 0)


def test_a_chargeback_needs_a_payment(till: Till) -> None:
    with pytest.raises(UsageError, match="no payment"):
        till.bank.chargeback("632609999999", 1, "fraud")


# --- the end of the day -------------------------------------------------------------------------


def totals(till: Till, day: str, **sums: tuple[int, int]) -> Message:
    fields = totals_fields((kind.replace("_", " "), *told) for kind, told in sums.items())
    head = {**till.name(), 15: day, 32: "123456", 41: till.terminal, 42: f"{SHOP:<15}", 50: "978"}
    return Message("0500", head | fields)


def test_B6_totals_agree_or_the_host_says_its_own(till: Till) -> None:
    credit, debit = till.buy(10_000, PAN_CREDIT), till.buy(2_599)
    for message in (till.capture(credit, 10_000), till.capture(debit, 2_599), till.refund(credit, 3_000)):
        answer = till.bank.handle(message)
        assert answer is not None
        assert answer[15] == "1122"
    good = till.bank.handle(totals(till, "1122", capture=(2, 12_599), refund=(1, 3_000)))
    assert good is not None
    assert (good[39], good[66], good[97]) == ("00", "1", "D0000000000009599")
    wrong = till.bank.handle(totals(till, "1122", capture=(2, 12_600), refund=(1, 3_000)))
    assert wrong is not None
    assert (wrong[39], wrong[66], wrong[88]) == ("95", "2", "0000000000012599")
    other_day = till.bank.handle(totals(till, "1121"))
    assert other_day is not None
    assert other_day[66] == "1"


def test_after_the_cut_over_a_new_batch_has_the_next_day(till: Till) -> None:
    paid = till.buy(1_000)
    till.send(till.capture(paid, 300))
    assert [report.day for report in till.bank.close_day()] == [20261122]
    assert till.bank.close_day() == []
    till.send(till.capture(paid, 300))
    till.send(till.capture(paid, 400))
    (report,) = till.bank.close_day()
    assert (report.day, report.captured) == (20261123, 700)
    till.clock.advance(timedelta(days=3))
    till.send(till.refund(paid, 10))
    (report,) = till.bank.close_day()
    assert (report.day, report.returned, report.paid_out) == (20261125, 10, 0)
    assert till.sound()


# --- statements ---------------------------------------------------------------------------------


def test_T14_a_statement_tells_everything_and_no_card_number(till: Till) -> None:
    paid, held = till.buy(1_000), till.buy(50)
    till.clock.advance(timedelta(hours=1))
    till.send(till.capture(paid, 1_000))
    till.send(till.refund(paid, 300))
    till.buy(OPENING)
    statement = till.bank.statement("holder of 1111", datetime(2026, 1, 1, tzinfo=UTC))
    told = [(line.kind, str(line.amount), line.credit, line.code) for line in statement.lines]
    assert told == [
        ("deposit", "EUR 1000.00", True, None),
        ("held", "EUR 0.50", False, None),
        ("capture", "EUR 10.00", False, None),
        ("refund", "EUR 3.00", True, None),
        ("declined", "EUR 1000.00", False, "51"),
    ]
    assert (str(statement.balance), str(statement.available)) == ("EUR 993.00", "EUR 992.50")
    assert str(statement.held) == "EUR 0.50"
    assert statement.lines[1].rrn == held.request[37]
    assert statement.lines[2].merchant == SHOP
    assert statement.card == "1111"
    assert PAN_DEBIT not in repr(statement)
    later = till.bank.statement("holder of 1111", NOW + timedelta(minutes=30))
    assert [line.kind for line in later.lines] == ["capture", "refund", "declined"]
    with pytest.raises(UsageError, match="no such cardholder"):
        till.bank.statement("stranger", NOW)
