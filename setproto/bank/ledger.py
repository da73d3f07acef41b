"""Double entry: journals that balance, accounts that never go wrong, fees by tariff (bank.md §7).

Everything here runs in the caller's transaction.  Debit is positive, credit negative; a customer's deposit is the
bank's debt, so money that he has is a negative balance.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Table, bindparam, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from setproto.bank.tables import ACCOUNTS, JOURNALS, POSTINGS, TARIFFS
from setproto.errors import SetError


class LedgerError(SetError):
    """The books would be wrong.  Nothing was written."""


class Kind(enum.StrEnum):
    """Kinds of accounts, with the book that they are in: I issuer, A acquirer, S scheme."""

    DEPOSIT = "I customer"
    SCHEME_PAYABLE = "I scheme payable"
    INTERCHANGE_INCOME = "I interchange income"
    FEE_INCOME = "I fee income"
    ISSUER_CASH = "I cash"
    SCHEME_RECEIVABLE = "A scheme receivable"
    INTERCHANGE_EXPENSE = "A interchange expense"
    SCHEME_FEE_EXPENSE = "A scheme fee expense"
    MERCHANT_PAYABLE = "A merchant payable"
    MERCHANT_CASH = "A merchant bank account"
    SERVICE_INCOME = "A service charge income"
    CHARGEBACK_SUSPENSE = "A chargeback suspense"
    NETWORK_INCOME = "A network fee income"
    ACQUIRER_CASH = "A cash"
    SCHEME_CASH = "S cash"
    SCHEME_INCOME = "S fee income"


HOT: Final = tuple(kind for kind in Kind if kind not in (Kind.DEPOSIT, Kind.MERCHANT_PAYABLE, Kind.MERCHANT_CASH))
"""One per currency, touched by every payment: their balances are summed, not kept (L4)."""


@dataclass(frozen=True)
class Tariff:
    """A row of the fee table: ``flat`` + ``bps``/10,000 of the amount, at least ``least``, at most ``most``."""

    kind: str
    payer: str
    flat: int = 0
    bps: int = 0
    least: int | None = None
    most: int | None = None
    valid_from: int = 0
    id: int | None = None

    def fee(self, amount: int) -> int:
        """In minor units.  Rounded half-even, once; the flat part needs none (bank.md §7.3)."""
        fee = self.flat + half_even(amount * self.bps, 10_000)
        fee = fee if self.least is None else max(fee, self.least)
        return fee if self.most is None else min(fee, self.most)


STANDARD: Final = (
    Tariff("interchange credit", "acquirer", bps=30),
    Tariff("interchange debit", "acquirer", bps=20),
    Tariff("scheme", "acquirer", flat=2, bps=6),
    Tariff("service charge", "merchant", flat=8, bps=120),
    Tariff("chargeback", "merchant", flat=1500),
    Tariff("card", "cardholder", flat=1200),
    Tariff("cheque", "cardholder", flat=50),
    Tariff("network", "merchant", flat=500),
)
"""bank.md §7.3 (T90), and the plain fees of T88, T89 and T91."""


_COLUMNS: Final = ACCOUNTS.c
_BY: Final = bindparam("by", type_=BigInteger)
_MORE: Final = bindparam("more", type_=BigInteger)
_BEYOND: Final = _COLUMNS.minimum + _COLUMNS.balance + _BY + _COLUMNS.held + _MORE
# Made once: making a statement costs more than the database does.
_HOLD: Final = (
    update(ACCOUNTS)
    .where(_COLUMNS.id == bindparam("of"), -_COLUMNS.balance - _COLUMNS.held - _MORE >= _COLUMNS.minimum)
    .values(held=_COLUMNS.held + _MORE)
)
_MOVE: Final = (
    update(ACCOUNTS)
    .where(_COLUMNS.id == bindparam("of"))
    .values(
        balance=_COLUMNS.balance + _BY,
        held=_COLUMNS.held + _MORE,
        forced=case((_BEYOND > 0, _BEYOND), else_=0),
    )
)
_JOURNAL: Final = insert(JOURNALS).returning(JOURNALS.c.id)
_POSTINGS: Final = insert(POSTINGS)


def half_even(numerator: int, denominator: int) -> int:
    """The quotient, rounded to the even neighbour if it lies halfway."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))


@dataclass(frozen=True)
class Line:
    """One side of a journal; ``tariff`` is the row that a fee comes from."""

    account: int
    amount: int
    tariff: int | None = None


def add_unless_there(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert; False if a row with one of its unique keys is there, in an open transaction too."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(table).values(row).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(added).one_or_none() is not None


class Ledger:
    """Finds accounts and tariffs, and posts."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str, int], int] = {}
        self._tariffs: list[Tariff] = []

    def open_account(
        self, connection: Connection, kind: Kind, currency: int, owner: str = "", minimum: int | None = None
    ) -> None:
        """An account, unless there is one."""
        row = {"book": kind[0], "kind": kind[2:], "owner": owner, "currency": currency, "minimum": minimum}
        add_unless_there(connection, ACCOUNTS, row)

    def account(self, connection: Connection, kind: Kind, currency: int, owner: str = "") -> int:
        """Its number.  LedgerError if there is none."""
        key = (kind.value, owner, currency)
        if key not in self._accounts:
            columns = ACCOUNTS.c
            found = connection.execute(
                select(columns.id).where(
                    columns.book == kind[0],
                    columns.kind == kind[2:],
                    columns.owner == owner,
                    columns.currency == currency,
                )
            ).scalar()
            if found is None:
                raise LedgerError(f"no account {kind[2:]!r} in currency {currency}")
            self._accounts[key] = found
        return self._accounts[key]

    def add_tariff(self, connection: Connection, tariff: Tariff) -> None:
        """A new row, good from its ``valid_from`` on.  Rows are never changed: fees that were charged cite them."""
        row = {name: getattr(tariff, name) for name in TARIFFS.c.keys() if name != "id"}  # noqa: SIM118
        add_unless_there(connection, TARIFFS, row)

    def load_tariffs(self, connection: Connection) -> None:
        """Read the fee table, the newest rows first."""
        rows = connection.execute(select(TARIFFS).order_by(TARIFFS.c.valid_from.desc()))
        self._tariffs = [Tariff(**row) for row in rows.mappings()]

    def tariff(self, kind: str, at: int) -> Tariff:
        """The row in force at a time.  LedgerError if there is none: no fee is charged without a tariff."""
        for tariff in self._tariffs:
            if tariff.kind == kind and tariff.valid_from <= at:
                return tariff
        raise LedgerError(f"no tariff for {kind!r}")

    def post(
        self,
        connection: Connection,
        ref: str,
        kind: str,
        at: int,
        lines: Iterable[Line],
        *,
        payment: int | None = None,
        batch: int | None = None,
    ) -> int:
        """Write a journal; its number.  LedgerError if it does not balance.  ``ref`` is unique for ever (L3)."""
        told = [line for line in lines if line.amount]
        if sum(line.amount for line in told) or not told:
            raise LedgerError("the journal does not balance")
        row = {"ref": ref, "kind": kind, "at": at, "payment_id": payment, "batch_id": batch}
        number: int = connection.execute(_JOURNAL, row).scalar_one()
        connection.execute(
            _POSTINGS,
            [
                {"journal_id": number, "account_id": line.account, "amount": line.amount, "tariff_id": line.tariff}
                for line in told
            ],
        )
        return number

    def mirrored(self, connection: Connection, journal: int) -> list[Line]:
        """What takes a journal back: a new one with every sign turned."""
        rows = connection.execute(select(POSTINGS).where(POSTINGS.c.journal_id == journal))
        return [Line(row.account_id, -row.amount, row.tariff_id) for row in rows]


def hold(connection: Connection, account: int, amount: int) -> bool:
    """Hold money if there is enough: one statement, so that two cannot spend the same (L1)."""
    return connection.execute(_HOLD, {"of": account, "more": amount}).rowcount == 1


def move(connection: Connection, account: int, *, balance: int = 0, held: int = 0) -> None:
    """Change a customer's account by what was posted and what is no longer held.  Is not refused for want of money:
    what goes beyond the minimum is counted in ``forced``, and authorisations find nothing available."""
    connection.execute(_MOVE, {"of": account, "by": balance, "more": held})


def total(connection: Connection, account: int) -> int:
    """The balance of any account, summed from its postings."""
    found = connection.execute(select(func.sum(POSTINGS.c.amount)).where(POSTINGS.c.account_id == account))
    return int(found.scalar() or 0)
