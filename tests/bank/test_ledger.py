"""The books: the worked example of bank.md §7.3 to the cent, tariffs, and what the database itself refuses."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from setproto.bank.ledger import Kind, LedgerError, Line, Tariff, half_even, move
from setproto.bank.tables import ACCOUNTS, JOURNALS, POSTINGS
from setproto.card import PAN
from tests.bank.people import OPENING, PAN_CREDIT, PAN_DEBIT, PAN_POOR, SHOP, Till


def test_the_worked_example_to_the_cent(till: Till) -> None:
    """A credit sale of 100.00, a debit sale of 25.99, a refund of 30.00; then the batch is settled."""
    credit, debit = till.buy(10_000, PAN_CREDIT), till.buy(2_599, PAN_DEBIT)
    assert till.send(till.capture(credit, 10_000)) == "00"
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == -9_872
    assert till.bank.balance(Kind.SCHEME_PAYABLE) == -9_970
    assert till.bank.balance(Kind.INTERCHANGE_EXPENSE) == 30
    assert till.bank.balance(Kind.SCHEME_FEE_EXPENSE) == 8
    assert till.bank.balance(Kind.SERVICE_INCOME) == -128
    assert till.send(till.capture(debit, 2_599)) == "00"
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == -9_872 - 2_560
    assert till.bank.balance(Kind.SCHEME_PAYABLE) == -9_970 - 2_594
    assert till.bank.balance(Kind.INTERCHANGE_INCOME) == -35
    assert till.send(till.refund(credit, 3_000)) == "00"
    assert till.available(PAN_CREDIT) == OPENING - 7_000
    (batch,) = till.bank.close_day()
    assert (batch.captured, batch.returned) == (12_599, 3_000)
    assert (batch.interchange, batch.scheme_fees, batch.service_charges) == (26, 16, 167)
    assert (batch.received, batch.paid_out) == (9_557, 9_432)
    assert till.bank.balance(Kind.SCHEME_INCOME) == -16
    assert till.bank.balance(Kind.ACQUIRER_CASH) == 9_557 - 9_432 == 125
    for settled in (Kind.SCHEME_PAYABLE, Kind.SCHEME_RECEIVABLE):
        assert till.bank.balance(settled) == 0
    assert till.bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) == 0
    assert till.sound()


@pytest.mark.parametrize(
    ("kind", "amount", "fee"),
    [
        ("interchange credit", 120_144, 360),
        ("scheme", 120_144, 74),
        ("service charge", 120_144, 1_450),
        ("interchange debit", 2_599, 5),
        ("scheme", 2_599, 4),
        ("service charge", 2_599, 39),
    ],
)
def test_fees_of_the_examples(till: Till, kind: str, amount: int, fee: int) -> None:
    assert till.bank.ledger.tariff(kind, 0).fee(amount) == fee


@given(numerator=st.integers(0, 10**15), denominator=st.integers(1, 10**6))
def test_rounding_is_half_even(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_a_tariff_has_a_floor_and_a_ceiling_and_a_beginning(till: Till) -> None:
    tariff = Tariff("card", "cardholder", flat=10, bps=100, least=50, most=200, valid_from=1_000)
    assert [tariff.fee(amount) for amount in (100, 10_000, 100_000)] == [50, 110, 200]
    with till.bank.engine.begin() as connection:
        till.bank.ledger.add_tariff(connection, tariff)
        till.bank.ledger.load_tariffs(connection)
    assert till.bank.ledger.tariff("card", 999).valid_from == 0
    assert till.bank.ledger.tariff("card", 1_000).valid_from == 1_000
    with pytest.raises(LedgerError, match="no tariff"):
        till.bank.ledger.tariff("telephone", 0)


def test_T88_T91_plain_fees_cite_their_tariff(till: Till) -> None:
    assert till.bank.charge_fee("card", "2026", PAN(PAN_DEBIT)) == 1_200
    assert till.bank.charge_fee("cheque", "cheque 1", PAN(PAN_DEBIT)) == 50
    assert till.bank.charge_fee("network", "2026-11", SHOP) == 500
    assert till.available() == OPENING - 1_250
    with till.bank.engine.begin() as connection:
        without = connection.execute(
            text(
                "SELECT count(*) FROM bank_postings p JOIN bank_journals j ON j.id = p.journal_id "
                "WHERE j.kind LIKE '%fee' AND p.tariff_id IS NULL"
            )
        ).scalar_one()
    assert without == 0
    assert till.sound()


def test_a_fee_is_charged_once_per_reference(till: Till) -> None:
    till.bank.charge_fee("card", "2026", PAN(PAN_DEBIT))
    with pytest.raises(IntegrityError):
        till.bank.charge_fee("card", "2026", PAN(PAN_DEBIT))
    assert till.available() == OPENING - 1_200


def test_the_shares_of_a_payment_add_up(till: Till) -> None:
    """B7: issuer, scheme, acquirer and merchant together get what the cardholder paid, whatever the amount."""
    for amount in (1, 2, 7, 49, 99, 1_234, 33_333):
        paid = till.buy(amount, PAN_CREDIT)
        assert till.send(till.capture(paid, amount)) == "00"
    assert till.sound()  # every journal balances, and each book in it


@pytest.mark.parametrize("lines", [[], [Line(1, 5)], [Line(1, 5), Line(2, -4)], [Line(1, 0), Line(2, 0)]])
def test_a_journal_that_does_not_balance_is_refused(till: Till, lines: list[Line]) -> None:
    with till.bank.engine.begin() as connection, pytest.raises(LedgerError, match="balance"):
        till.bank.ledger.post(connection, "bad", "bad", 0, lines)


@pytest.mark.parametrize(
    "act", [update(POSTINGS).values(amount=1), delete(JOURNALS), update(JOURNALS).values(kind="x")]
)
def test_the_database_refuses_to_change_a_journal(till: Till, act: object) -> None:
    with pytest.raises(DatabaseError, match="never changed"), till.bank.engine.begin() as connection:
        connection.execute(act)  # type: ignore[call-overload]
    assert till.sound()


def test_the_database_or_the_audit_finds_an_unbalanced_journal(till: Till) -> None:
    """PostgreSQL refuses it at commit (L2); SQLite has no such trigger, and the audit finds it (B1)."""
    row = {"ref": "smuggled", "kind": "bad", "at": 0}
    try:
        with till.bank.engine.begin() as connection:
            number = connection.execute(insert(JOURNALS).values(row).returning(JOURNALS.c.id)).scalar_one()
            connection.execute(insert(POSTINGS).values(journal_id=number, account_id=1, amount=5))
    except IntegrityError:
        assert till.bank.engine.dialect.name == "postgresql"
    else:
        assert any("do not balance" in finding for finding in till.bank.audit())


def test_the_audit_finds_a_wrong_balance_and_a_wrong_hold(till: Till) -> None:
    till.buy(500)
    with till.bank.engine.begin() as connection:
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.held == 500).values(held=400, balance=-1_000_000))
    findings = " ".join(till.bank.audit())
    assert "balance is not the sum" in findings
    assert "holds are not those" in findings


def test_the_database_refuses_to_overdraw(till: Till) -> None:
    with pytest.raises(IntegrityError), till.bank.engine.begin() as connection:
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.minimum == 0).values(held=OPENING + 1))


def test_what_cannot_be_refused_is_counted_as_forced(till: Till) -> None:
    """A refund, spent, and then taken back: the account is overdrawn by so much, and nothing is available."""
    paid = till.buy(OPENING)
    assert till.send(till.capture(paid, OPENING)) == "00"
    refund = till.refund(paid, 400)
    assert till.send(refund) == "00"
    assert till.buy(400).code == "00"
    assert till.send(till.undo(refund)) == "00"
    assert till.available() == -400
    assert till.buy(1).code == "51"
    assert till.sound()
    with till.bank.engine.begin() as connection:
        account = till.bank._card(connection, PAN(PAN_DEBIT)).account_id
        move(connection, account, balance=-400)  # he pays it back
        assert connection.execute(text(f"SELECT forced FROM bank_accounts WHERE id = {account}")).scalar_one() == 0


def test_opening_again_changes_nothing(till: Till) -> None:
    till.bank.open_card(PAN(PAN_POOR), till.bank.vault.open_card(_sealed(till))[1], 5_000)
    till.bank.open_merchant(SHOP, "Another name")
    assert till.available(PAN_POOR) == 0


def _sealed(till: Till) -> bytes:
    with till.bank.engine.begin() as connection:
        sealed: bytes = till.bank._card(connection, PAN(PAN_POOR)).sealed
    return sealed
