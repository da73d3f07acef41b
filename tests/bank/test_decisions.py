"""What the issuer says, and why: every code of bank.md §4 that a card can give, in the order of §8."""

from __future__ import annotations

from datetime import timedelta

import pytest

from setproto.bank.codes import MEANINGS
from setproto.bank.issuer import Rules
from setproto.bank.messages import FormatError, Message, set_data
from setproto.card import PAN, Card, CardExpiry, CardSecret, trans_stain
from setproto.errors import UsageError
from tests.bank.conftest import Opener
from tests.bank.people import EXPIRY, OPENING, PAN_DEBIT, PAN_POOR, PAN_SCRIPTED, SECRET, Till, with_changes

UNKNOWN, NO_NUMBER = "6011111111111117", "4111111111111112"


def test_an_approval_holds_the_money_and_has_a_code(till: Till) -> None:
    paid = till.buy(19_950)
    assert paid.code == "00"
    assert paid.answer[38].isdigit()
    assert paid.answer[37] == paid.request[37]
    assert till.available() == OPENING - 19_950
    assert till.sound()


def test_the_last_cent_can_be_spent_and_no_more(till: Till) -> None:
    assert till.buy(OPENING).code == "00"
    assert till.buy(1).code == "51"
    assert till.available() == 0


def test_a_credit_line_can_be_spent(till: Till) -> None:
    till.bank.open_card(PAN(UNKNOWN), CardExpiry(EXPIRY), 0, credit_line=500, product="credit")
    till.bank.enrol(PAN(UNKNOWN), SECRET, "another")
    assert till.buy(501, UNKNOWN).code == "51"
    assert till.buy(500, UNKNOWN).code == "00"
    assert till.available(UNKNOWN) == 0
    assert till.sound()


DECLINES = [
    ("no check digit", NO_NUMBER, {}, "14"),
    ("no card of this bank", UNKNOWN, {}, "56"),
    ("another expiry", PAN_DEBIT, {"de14": "2901"}, "14"),
    ("an unknown merchant", PAN_DEBIT, {"de42": f"{'shop-2':<15}"}, "03"),
    ("another acquirer", PAN_DEBIT, {"de32": "654321"}, "63"),
    ("without proof of the wallet", PAN_DEBIT, {"de126": None}, "63"),
    ("with an empty proof", PAN_DEBIT, {"de126": "00"}, "63"),
    ("with a proof of other size", PAN_DEBIT, {"de126": "C0AABB"}, "30"),
    ("with the secret of another", PAN_DEBIT, {"de126": set_data(b"x" * 20, b"s" * 20)}, "63"),
    ("in another currency", PAN_DEBIT, {"de49": "840"}, "13"),
    ("without money", PAN_POOR, {}, "51"),
    ("a transfer", PAN_DEBIT, {"de3": "400000"}, "40"),
    ("a refund as a request", PAN_DEBIT, {"de3": "200000"}, "40"),
    ("nothing", PAN_DEBIT, {"de4": "0" * 12}, "85"),
]


@pytest.mark.parametrize(("what", "pan", "changes", "code"), DECLINES, ids=[decline[0] for decline in DECLINES])
def test_a_decline_holds_nothing(till: Till, what: str, pan: str, changes: dict[str, str], code: str) -> None:
    paid = till.buy(1_000, pan, **changes)
    assert paid.code == code
    assert paid.answer.get(38) is None
    assert till.available() == OPENING
    assert till.sound()


@pytest.mark.parametrize("code", ["04", "07", "33", "34", "36", "38", "41", "43", "62", "75", "14"])
def test_a_blocked_card_says_why(till: Till, code: str) -> None:
    till.bank.block(PAN(PAN_DEBIT), code)
    assert till.buy(100).code == code
    till.bank.block(PAN(PAN_DEBIT), "00")
    assert till.buy(100).code == "00"


def test_every_code_can_be_provoked(till: Till) -> None:
    """Scripted cards answer with the last two digits of the amount (bank.md §6): no code leaves money held."""
    for code in sorted(set(MEANINGS) - {"00", "68", "91"}):
        paid = till.buy(50_000 + int(code), PAN_SCRIPTED)
        assert paid.code == code
        assert till.available(PAN_SCRIPTED) == OPENING
    assert till.sound()


def test_a_scripted_card_without_an_answer(till: Till) -> None:
    request = till.request(10_91, PAN_SCRIPTED)
    assert till.bank.handle(request) is None
    assert till.available(PAN_SCRIPTED) == OPENING
    assert till.buy(10_68, PAN_SCRIPTED).code == "00"
    assert till.bank.lateness(till.request(10_68, PAN_SCRIPTED)) > 0
    assert till.bank.lateness(till.request(10_68, PAN_DEBIT)) == 0


def test_an_expired_card(till: Till) -> None:
    till.clock.advance(timedelta(days=365 * 5))
    assert till.buy(100).code == "54"


def test_limits_per_payment_day_and_number(till: Till) -> None:
    limits = {"limit_payment": 5_000, "limit_day": 8_000, "limit_count": 3}
    till.bank.open_card(PAN(UNKNOWN), CardExpiry(EXPIRY), OPENING, **limits)  # type: ignore[arg-type]
    till.bank.enrol(PAN(UNKNOWN), SECRET, "another")
    assert till.buy(5_001, UNKNOWN).code == "61"
    assert till.buy(5_000, UNKNOWN).code == "00"
    assert till.buy(3_001, UNKNOWN).code == "61"
    small = till.buy(10, UNKNOWN)
    assert till.buy(10, UNKNOWN).code == "00"
    assert till.buy(10, UNKNOWN).code == "65"
    assert till.send(till.reversal(small)) == "00"
    assert till.buy(10, UNKNOWN).code == "00"
    till.clock.advance(timedelta(days=1, seconds=1))
    assert till.buy(5_000, UNKNOWN).code == "00"


def test_rules_of_the_bank(open_till: Opener) -> None:
    till = open_till(rules=Rules(blocked_categories=frozenset({"7995"}), suspect_above=50_000))
    assert till.buy(100, de18="7995").code == "57"
    assert till.buy(50_001).code == "59"
    assert till.buy(50_000).code == "00"


def test_a_card_that_is_not_for_the_internet(till: Till) -> None:
    till.bank.open_card(PAN(UNKNOWN), CardExpiry(EXPIRY), OPENING, electronic=False)
    assert till.buy(100, UNKNOWN).code == "57"
    assert till.buy(100, UNKNOWN, de22="010", de25="00", de126=None).code == "00"


def test_B9_other_devices_make_the_same_payment(till: Till) -> None:
    """A point of sale, keyed: no wallet, hence no proof of one (T79)."""
    paid = till.buy(700, de22="010", de25="08", de126=None)
    assert paid.code == "00"
    assert till.send(till.capture(paid, 700)) == "00"
    assert till.available() == OPENING - 700


def test_balance_inquiry(till: Till) -> None:
    till.buy(1_234)
    answer = till.bank.handle(till.request(0, de3="310000"))
    assert answer is not None
    assert answer[54] == f"0002978C{OPENING - 1_234:012d}"


# --- enrolment ----------------------------------------------------------------------------------


def test_each_certificate_of_a_card_has_its_secret(till: Till) -> None:
    second = CardSecret(b"2" * 32)
    till.bank.enrol(PAN(PAN_DEBIT), second, "renewed")
    till.bank.enrol(PAN(PAN_DEBIT), second, "renewed")
    xid = b"x" * 20
    for secret in (SECRET, second):
        assert till.buy(100, de126=set_data(xid, trans_stain(xid, secret))).code == "00"
    other = trans_stain(xid, CardSecret(b"3" * 32))
    assert till.buy(100, de126=set_data(xid, other)).code == "63"


def test_a_foreign_card_is_not_enrolled(till: Till) -> None:
    with pytest.raises(UsageError, match="no such card"):
        till.bank.enrol(PAN(UNKNOWN), SECRET, "stranger")


def test_a_card_is_verified_before_it_is_certified(till: Till) -> None:
    def good(pan: str, expiry: str = EXPIRY, name: str = "") -> bool:
        return till.bank.verify_card(Card("Marque", PAN(pan), CardExpiry(expiry)), name)

    till.bank.open_card(PAN("5105105105105100"), CardExpiry(EXPIRY), 0, holder="Ada Lovelace")
    assert good(PAN_DEBIT)
    assert good("5105105105105100", name="ADA  LOVELACE")
    assert not good("5105105105105100", name="Charles Babbage")
    assert not good(UNKNOWN)
    assert not good(PAN_DEBIT, "203011")
    till.bank.block(PAN(PAN_DEBIT), "41")
    assert not good(PAN_DEBIT)
    till.bank.block(PAN(PAN_DEBIT), "00")
    till.clock.advance(timedelta(days=365 * 5))
    assert not good(PAN_DEBIT)


# --- what is no proper message ------------------------------------------------------------------


def test_a_malformed_message_is_answered_if_it_can_be(till: Till) -> None:
    answer = till.bank.handle(till.request(1_000, de4="x"))
    assert answer is None or answer[39] == "30"
    answer = till.bank.handle(till.request(1_000, de14="2813"))
    assert answer is not None
    assert answer[39] == "30"
    assert till.bank.handle(with_changes(till.request(1), de7=None)) is None
    assert till.bank.handle(Message("0110", {})) is None
    assert till.bank.refuse(FormatError("nothing could be read")) is None
    assert till.available() == OPENING
