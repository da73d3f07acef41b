"""The bank's database.  Amounts are integers in minor units, times are seconds since 1970, debit is positive.

What keeps the books right even against this program: refs are unique (L3), journals are never changed or deleted
(triggers), on PostgreSQL an unbalanced one is refused at commit (L2), and the limits of accounts and payments are
CHECKs (L1; bank.md §7.5).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    event,
    text,
)

METADATA: Final = MetaData()


def _when_created(table: Table | MetaData, moment: str, dialect: str, statement: str) -> None:
    """Run ``statement`` when the tables are made, on one kind of database."""
    event.listen(table, moment, DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]


_KEY: Final = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database chooses."""


def _amount(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, server_default=None if nullable else text("0"))


def _to(table: str, *, nullable: bool = False, plural: str = "s", **more: Any) -> Column[int]:
    return Column(f"{table}_id", _KEY, ForeignKey(f"bank_{table}{plural}.id"), nullable=nullable, **more)


ACCOUNTS: Final = Table(
    "bank_accounts",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("book", String(1), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("currency", Integer, nullable=False),
    _amount("balance"),
    _amount("held"),
    _amount("minimum", nullable=True),
    _amount("forced"),
    UniqueConstraint("book", "kind", "owner", "currency"),
    CheckConstraint("minimum IS NULL OR -balance - held >= minimum - forced", name="bank_covered"),
    CheckConstraint("held >= 0 AND forced >= 0", name="bank_holds"),
)
"""Books: I issuer, A acquirer, S scheme.  ``minimum`` is NULL for hot accounts, whose balance is not kept here but
summed from postings (L4); for a customer it is minus his credit line, and -balance - held is what he can spend.
``forced``: how far bookings that cannot be refused have gone beyond that."""

JOURNALS: Final = Table(
    "bank_journals",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("ref", String(160), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    _to("payment", nullable=True),
    _to("batch", nullable=True, plural="es", index=True),
)
POSTINGS: Final = Table(
    "bank_postings",
    METADATA,
    _to("journal", primary_key=True),
    _to("account", primary_key=True, index=True),
    Column("amount", BigInteger, nullable=False),
    _to("tariff", nullable=True),
    CheckConstraint("amount <> 0", name="bank_not_nothing"),
)
TARIFFS: Final = Table(
    "bank_tariffs",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("payer", String(16), nullable=False),
    Column("flat", BigInteger, nullable=False),
    Column("bps", Integer, nullable=False),
    Column("least", BigInteger, nullable=True),
    Column("most", BigInteger, nullable=True),
    Column("valid_from", BigInteger, nullable=False),
    UniqueConstraint("kind", "valid_from"),
)
CARDS: Final = Table(
    "bank_cards",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("handle", String(64), nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("last_four", String(4), nullable=False),
    _to("account"),
    Column("product", String(6), nullable=False),
    Column("status", String(2), nullable=False),
    Column("scripted", Boolean, nullable=False),
    Column("electronic", Boolean, nullable=False),
    _amount("limit_payment", nullable=True),
    _amount("limit_day", nullable=True),
    Column("limit_count", Integer, nullable=True),
)
"""``status``: the response code that the card gives by itself; 00 if it is good."""
ENROLMENTS: Final = Table(
    "bank_enrolments",
    METADATA,
    Column("id", _KEY, primary_key=True),
    _to("card", index=True),
    Column("cardholder", String(64), nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
)
MERCHANTS: Final = Table(
    "bank_merchants",
    METADATA,
    Column("id", String(15), primary_key=True),
    Column("name", String(80), nullable=False),
)
PAYMENTS: Final = Table(
    "bank_payments",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("origin", String(64), nullable=False, unique=True),
    Column("rrn", String(12), nullable=False, index=True),
    _to("card"),
    _to("account"),
    Column("merchant_id", String(15), nullable=False),
    Column("currency", Integer, nullable=False),
    Column("xid", String(40), nullable=False),
    Column("code", String(2), nullable=False),
    Column("approval", String(6), nullable=True),
    Column("state", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    _amount("amount"),
    _amount("captured"),
    _amount("refunded"),
    _amount("charged_back"),
    CheckConstraint("captured >= 0 AND captured <= amount", name="bank_captured"),
    CheckConstraint("refunded >= 0 AND charged_back >= 0", name="bank_given_back"),
    CheckConstraint("refunded + charged_back <= captured", name="bank_not_more_than_captured"),
    Index("bank_payments_by_card", "card_id", "at"),
)
"""``open``: amount - captured is held.  Declined requests are here too, for the cardholder's statement (T63)."""
BATCHES: Final = Table(
    "bank_batches",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("merchant_id", String(15), nullable=False),
    Column("currency", Integer, nullable=False),
    Column("day", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    UniqueConstraint("merchant_id", "currency", "day"),
)
Index(
    "bank_one_open_batch",
    BATCHES.c.merchant_id,
    BATCHES.c.currency,
    unique=True,
    sqlite_where=BATCHES.c.state == "OPEN",
    postgresql_where=BATCHES.c.state == "OPEN",
)
ENTRIES: Final = Table(
    "bank_entries",
    METADATA,
    Column("id", _KEY, primary_key=True),
    Column("origin", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    _to("payment", index=True),
    _to("batch", plural="es", index=True),
    _to("journal"),
    Column("amount", BigInteger, nullable=False),
    Column("reverses", _KEY, ForeignKey("bank_entries.id"), nullable=True, unique=True),
)
"""What is in batches: captures, refunds, and reversals of either, each reversed once at most."""
CASES: Final = Table(
    "bank_cases",
    METADATA,
    Column("id", _KEY, primary_key=True),
    _to("payment"),
    Column("amount", BigInteger, nullable=False),
    Column("reason", String(80), nullable=False),
    Column("state", String(16), nullable=False),
)
"""Chargebacks: OPEN, then ACCEPTED (the merchant pays) or REPRESENTED (the cardholder does)."""
MESSAGES: Final = Table(
    "bank_messages",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("answer", String(2000), nullable=True),
    Column("at", BigInteger, nullable=False),
)
"""What was answered to whom, in the transaction that did it (L5).  No answer: reversed before it was seen."""
NONCES: Final = Table(
    "bank_nonces",
    METADATA,
    Column("nonce", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
"""Of statement requests, until they are too old to be taken again."""

for _table in (JOURNALS, POSTINGS):
    for _act in ("UPDATE", "DELETE"):
        _trigger = f"CREATE TRIGGER {_table.name}_no_{_act.lower()} BEFORE {_act} ON {_table.name} "
        _refuse = "BEGIN SELECT RAISE(ABORT, 'journals are never changed'); END"
        _when_created(_table, "after_create", "sqlite", _trigger + _refuse)
        _call = "FOR EACH STATEMENT EXECUTE FUNCTION bank_refuse_change()"
        _when_created(_table, "after_create", "postgresql", _trigger + _call)

_when_created(
    METADATA,
    "before_create",
    "postgresql",
    """CREATE OR REPLACE FUNCTION bank_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'journals are never changed' USING ERRCODE = 'check_violation'; END $$""",
)
_when_created(
    METADATA,
    "before_create",
    "postgresql",
    """CREATE OR REPLACE FUNCTION bank_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT COALESCE(SUM(amount), 1) FROM bank_postings WHERE journal_id = NEW.id) <> 0 THEN
            RAISE EXCEPTION 'the journal does not balance' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$""",
)
_when_created(
    JOURNALS,
    "after_create",
    "postgresql",
    "CREATE CONSTRAINT TRIGGER bank_balance AFTER INSERT ON bank_journals DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION bank_check_balance()",
)
