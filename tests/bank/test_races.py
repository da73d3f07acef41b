"""Many at once: money is neither made nor lost, on either database (bank.md §7.5; B2, B3)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from setproto.bank.ledger import Kind
from setproto.bank.messages import Message
from setproto.card import PAN, CardExpiry
from tests.bank.conftest import Opener
from tests.bank.people import EXPIRY, OPENING, PAN_CREDIT, PAN_DEBIT, SECRET, SHOP, Paid, Till

THREADS = 8


def at_once(till: Till, messages: list[Message]) -> list[str]:
    """The codes of messages that are handled by eight threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(till.send, messages))


def run(acts: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act) for act in acts]:
            done.result()


def test_an_account_is_spent_to_the_cent_and_no_further(till: Till) -> None:
    """480 payments of 3.00 from 1,000.00: 333 are approved."""
    codes = at_once(till, [till.request(300) for _ in range(480)])
    assert (codes.count("00"), codes.count("51")) == (333, 147)
    assert till.available() == OPENING - 333 * 300
    assert till.sound()


def test_the_same_message_at_once_is_handled_once(till: Till) -> None:
    request = till.request(1_000)
    assert set(at_once(till, [request] * 24)) == {"00"}
    paid = till.buy(2_000)
    capture = till.capture(paid, 2_000)
    assert set(at_once(till, [capture, capture.repeated()] * 12)) == {"00"}
    assert till.available() == OPENING - 3_000
    assert till.sound()


def test_captures_of_one_payment_never_exceed_it(till: Till) -> None:
    paid = till.buy(10_000)
    codes = at_once(till, [till.capture(paid, 700) for _ in range(30)])
    assert (codes.count("00"), codes.count("13")) == (14, 16)
    codes = at_once(till, [till.refund(paid, 900) for _ in range(24)])
    assert (codes.count("00"), codes.count("13")) == (10, 14)
    assert till.available() == OPENING - 10_000 + 9_000
    assert till.sound()


def test_a_reversal_and_a_capture_meet(till: Till) -> None:
    """Whichever is first: what was captured stays covered, and nothing is held that is reversed."""
    for _ in range(12):
        paid = till.buy(1_000)
        capture, reversal = till.capture(paid, 1_000), till.reversal(paid)
        told = tuple(at_once(till, [capture, reversal]))
        assert told in {("00", "13"), ("25", "00")}
    captured = -till.bank.balance(Kind.SCHEME_PAYABLE) - till.bank.balance(Kind.INTERCHANGE_INCOME)
    assert till.available() == OPENING - captured
    assert till.sound()


def test_a_request_and_its_reversal_meet(till: Till) -> None:
    """B4 without an order: afterwards nothing is held."""
    for _ in range(12):
        request = till.request(1_000)
        reversal = till.reversal(_as_asked(request), reason="68")
        told = tuple(at_once(till, [request, reversal]))
        assert told in {("00", "00"), ("94", "25")}
    assert till.available() == OPENING
    assert till.sound()


def _as_asked(request: Message) -> Paid:
    return Paid(request, request.response("00"))


def test_limits_hold_at_once(open_till: Opener) -> None:
    till = open_till()
    digits = "6011111111111117"
    till.bank.open_card(PAN(digits), CardExpiry(EXPIRY), OPENING, limit_count=5)
    till.bank.enrol(PAN(digits), SECRET, "counted")
    codes = at_once(till, [till.request(100, digits) for _ in range(24)])
    assert (codes.count("00"), codes.count("65")) == (5, 19)


def test_the_day_is_closed_while_everybody_pays(till: Till) -> None:
    """Every entry is in exactly one batch, and what was settled is what was captured."""
    paid = [till.buy(500, pan) for pan in (PAN_DEBIT, PAN_CREDIT) for _ in range(24)]
    captures = [till.capture(one, 500) for one in paid]
    reports: list[int] = []
    acts: list[Callable[[], object]] = [lambda message=message: till.send(message) for message in captures]  # type: ignore[misc]
    for at in (8, 20, 32):
        acts.insert(at, lambda: reports.extend(report.captured for report in till.bank.close_day()))
    run(acts)
    reports.extend(report.captured for report in till.bank.close_day())
    assert sum(reports) == 500 * len(captures)
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == 0
    assert till.bank.balance(Kind.SCHEME_RECEIVABLE) == 0
    assert till.sound()
