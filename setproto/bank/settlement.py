"""The end of the day, disputes, and the proof that the books are right (bank.md §7.2, §7.4, §9, §12)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, text, update

from setproto.bank.codes import APPROVED
from setproto.bank.ledger import Kind, Ledger, Line, move
from setproto.bank.messages import Message
from setproto.bank.tables import ACCOUNTS, BATCHES, CASES, ENTRIES, JOURNALS, PAYMENTS, POSTINGS
from setproto.errors import UsageError

OUT_OF_BALANCE: Final = "95"
_KINDS: Final = {"refund": (74, 86), "refund reversal": (75, 87), "capture": (76, 88), "capture reversal": (77, 89)}
"""Kind of entry → where its number and its sum are in 0500: credits and debits as the cardholder sees them."""


@dataclass(frozen=True)
class Report:
    """A batch as it was settled, in minor units."""

    merchant: str
    currency: int
    day: int
    captured: int
    returned: int
    interchange: int
    scheme_fees: int
    service_charges: int
    received: int
    """From the scheme."""
    paid_out: int
    """To the merchant; 0 while he owes more than he earned, which stays on his account."""


def totals_fields(sums: Iterable[tuple[str, int, int]]) -> dict[int, str]:
    """DE 74–77, 86–89 and 97 of (kind of entry, number, sum in minor units); bank.md §7.4."""
    fields = dict.fromkeys(range(74, 78), "0" * 10) | dict.fromkeys(range(86, 90), "0" * 16)
    net = 0
    for kind, number, amount in sums:
        fields[_KINDS[kind][0]], fields[_KINDS[kind][1]] = f"{number:010d}", f"{amount:016d}"
        net += amount if kind in ("capture", "refund reversal") else -amount
    return fields | {97: f"{'D' if net >= 0 else 'C'}{abs(net):016d}"}


def reconcile(connection: Connection, request: Message) -> Message:
    """0510: our totals of the batch of this merchant, currency and settlement date, and whether they are yours."""
    columns = BATCHES.c
    query = select(columns.id, columns.state).where(
        columns.merchant_id == request[42].strip(),
        columns.currency == int(request[50]),
        columns.day % 10_000 == int(request[15]),
    )
    batch = connection.execute(query.order_by(columns.day.desc()).limit(1)).one_or_none()
    if batch is None:
        ours = totals_fields([])
    else:
        entries = ENTRIES.c
        sums = select(entries.kind, func.count(), func.sum(entries.amount)).where(entries.batch_id == batch.id)
        rows = connection.execute(sums.group_by(entries.kind))
        ours = totals_fields((row[0], int(row[1]), int(row[2])) for row in rows)
    balanced = all(request[number] == value for number, value in ours.items())
    more = {f"de{number}": value for number, value in ours.items()}
    return request.response(APPROVED if balanced else OUT_OF_BALANCE, de66="1" if balanced else "2", **more)


def close_batches(connection: Connection, ledger: Ledger, at: int) -> list[Report]:
    """Close every open batch, and settle each: with the scheme, and with the merchant (bank.md §7.4).  ``at``: seconds
    since 1970."""
    connection.execute(update(BATCHES).where(BATCHES.c.state == "OPEN").values(state="CLOSING"))
    closing = connection.execute(select(BATCHES).where(BATCHES.c.state == "CLOSING").order_by(BATCHES.c.id)).all()
    reports = [_settle(connection, ledger, batch, at) for batch in closing]
    connection.execute(update(BATCHES).where(BATCHES.c.state == "CLOSING").values(state="SETTLED"))
    return reports


def _settle(connection: Connection, ledger: Ledger, batch: Row[Any], at: int) -> Report:
    currency = batch.currency

    def account(kind: Kind, owner: str = "") -> int:
        return ledger.account(connection, kind, currency, owner)

    rows = connection.execute(
        select(POSTINGS.c.account_id, func.sum(POSTINGS.c.amount))
        .join(JOURNALS, JOURNALS.c.id == POSTINGS.c.journal_id)
        .where(JOURNALS.c.batch_id == batch.id)
        .group_by(POSTINGS.c.account_id)
    )
    sums = {row[0]: int(row[1]) for row in rows}

    def of(kind: Kind, owner: str = "") -> int:
        return sums.get(account(kind, owner), 0)

    payable, receivable = -of(Kind.SCHEME_PAYABLE), of(Kind.SCHEME_RECEIVABLE)
    lines = [
        Line(account(Kind.SCHEME_PAYABLE), payable),
        Line(account(Kind.ISSUER_CASH), -payable),
        Line(account(Kind.ACQUIRER_CASH), receivable),
        Line(account(Kind.SCHEME_RECEIVABLE), -receivable),
        Line(account(Kind.SCHEME_CASH), payable - receivable),
        Line(account(Kind.SCHEME_INCOME), receivable - payable),
    ]
    if any(line.amount for line in lines):
        ledger.post(connection, f"settle:{batch.id}", "settlement", at, lines)
    owed = account(Kind.MERCHANT_PAYABLE, batch.merchant_id)
    # All that he is owed, also from days on which he owed us.
    due = -int(
        connection.execute(select(func.sum(POSTINGS.c.amount)).where(POSTINGS.c.account_id == owed)).scalar() or 0
    )
    if due > 0:
        paid = [Line(owed, due), Line(account(Kind.ACQUIRER_CASH), -due)]
        ledger.post(connection, f"payout:{batch.id}", "payout", at, paid)
    by_kind = select(ENTRIES.c.kind, func.sum(ENTRIES.c.amount)).where(ENTRIES.c.batch_id == batch.id)
    entries = {row[0]: int(row[1]) for row in connection.execute(by_kind.group_by(ENTRIES.c.kind))}
    return Report(
        merchant=batch.merchant_id,
        currency=currency,
        day=batch.day,
        captured=entries.get("capture", 0) - entries.get("capture reversal", 0),
        returned=entries.get("refund", 0) - entries.get("refund reversal", 0),
        interchange=of(Kind.INTERCHANGE_EXPENSE),
        scheme_fees=of(Kind.SCHEME_FEE_EXPENSE),
        service_charges=-of(Kind.SERVICE_INCOME),
        received=receivable,
        paid_out=max(due, 0),
    )


# --- disputes and fees --------------------------------------------------------------------------


def chargeback(connection: Connection, ledger: Ledger, rrn: str, amount: int, reason: str, at: int) -> int:
    """Provisionally give the cardholder his money; the acquirer keeps it in suspense (bank.md §9).  The number
    of the case.  ``amount`` in minor units, ``at`` in seconds since 1970.  UsageError if it cannot be charged back."""
    query = select(PAYMENTS).where(PAYMENTS.c.rrn == rrn, PAYMENTS.c.code == APPROVED).with_for_update()
    rows = connection.execute(query).all()
    if len(rows) != 1:
        raise UsageError("no payment has this retrieval reference")
    payment = rows[0]
    if not 0 < amount <= payment.captured - payment.refunded - payment.charged_back:
        raise UsageError("more than was captured and not given back")
    row = {"payment_id": payment.id, "amount": amount, "reason": reason, "state": "OPEN"}
    case: int = connection.execute(insert(CASES).values(row).returning(CASES.c.id)).scalar_one()
    _charge_back(connection, ledger, payment, amount, f"chargeback:{case}", "chargeback", at)
    return case


def _charge_back(
    connection: Connection, ledger: Ledger, payment: Any, amount: int, ref: str, kind: str, at: int
) -> None:
    """Issuer and acquirer clear it with cash; a negative amount takes it back."""
    columns = PAYMENTS.c
    counted = update(PAYMENTS).where(columns.id == payment.id).values(charged_back=columns.charged_back + amount)
    connection.execute(counted)
    currency = payment.currency
    lines = [
        Line(payment.account_id, -amount),
        Line(ledger.account(connection, Kind.ISSUER_CASH, currency), amount),
        Line(ledger.account(connection, Kind.CHARGEBACK_SUSPENSE, currency), amount),
        Line(ledger.account(connection, Kind.ACQUIRER_CASH, currency), -amount),
    ]
    ledger.post(connection, ref, kind, at, lines, payment=payment.id)
    move(connection, payment.account_id, balance=-amount)


def settle_case(connection: Connection, ledger: Ledger, case: int, *, accepted: bool, at: int) -> None:
    """The end of a dispute: the merchant accepts it and pays with a fee, or the cardholder pays after all (bank.md §9).

    ``at``: seconds since 1970.  UsageError if there is no such open case."""
    columns = CASES.c
    state = "ACCEPTED" if accepted else "REPRESENTED"
    closed = update(CASES).where(columns.id == case, columns.state == "OPEN").values(state=state).returning(CASES)
    row = connection.execute(closed).one_or_none()
    if row is None:
        raise UsageError("no open case has this number")
    payment = connection.execute(select(PAYMENTS).where(PAYMENTS.c.id == row.payment_id).with_for_update()).one()
    if not accepted:
        _charge_back(connection, ledger, payment, -row.amount, f"represented:{case}", "chargeback withdrawn", at)
        return
    currency = payment.currency
    suspense = ledger.account(connection, Kind.CHARGEBACK_SUSPENSE, currency)
    merchant = ledger.account(connection, Kind.MERCHANT_PAYABLE, currency, payment.merchant_id)
    tariff = ledger.tariff("chargeback", at)
    lines = [Line(merchant, row.amount), Line(suspense, -row.amount)]
    ledger.post(connection, f"accepted:{case}", "chargeback accepted", at, lines, payment=payment.id)
    fee = tariff.fee(row.amount)
    charge(
        connection,
        ledger,
        f"casefee:{case}",
        "chargeback fee",
        merchant,
        Kind.SERVICE_INCOME,
        currency,
        fee,
        tariff.id,
        at,
    )


def charge(
    connection: Connection,
    ledger: Ledger,
    ref: str,
    kind: str,
    payer: int,
    income: Kind,
    currency: int,
    fee: int,
    tariff: int | None,
    at: int,
) -> None:
    """Take a fee, in minor units, from an account.  Nothing is written for a fee of nothing.  ``ref`` is unique for
    ever (L3); LedgerError if there is no such account for income."""
    if fee:
        lines = [Line(payer, fee, tariff), Line(ledger.account(connection, income, currency), -fee, tariff)]
        ledger.post(connection, ref, kind, at, lines)
        if connection.execute(select(ACCOUNTS.c.minimum).where(ACCOUNTS.c.id == payer)).scalar() is not None:
            move(connection, payer, balance=fee)


# --- audit --------------------------------------------------------------------------------------

_AUDIT: Final = {
    "journals that do not balance": """
        SELECT j.id FROM bank_journals j LEFT JOIN bank_postings p ON p.journal_id = j.id
        GROUP BY j.id HAVING COALESCE(SUM(p.amount), 1) <> 0""",
    "journals in two currencies": """
        SELECT p.journal_id FROM bank_postings p JOIN bank_accounts a ON a.id = p.account_id
        GROUP BY p.journal_id HAVING MIN(a.currency) <> MAX(a.currency)""",
    "books that do not balance by themselves": """
        SELECT a.currency FROM bank_postings p JOIN bank_accounts a ON a.id = p.account_id
        GROUP BY a.currency HAVING SUM(p.amount) <> 0""",
    "customers whose balance is not the sum of the postings": """
        SELECT a.id FROM bank_accounts a LEFT JOIN bank_postings p ON p.account_id = a.id WHERE a.minimum IS NOT NULL
        GROUP BY a.id, a.balance HAVING a.balance <> COALESCE(SUM(p.amount), 0)""",
    "customers whose holds are not those of their payments": """
        SELECT a.id FROM bank_accounts a LEFT JOIN bank_payments p ON p.account_id = a.id AND p.open
        WHERE a.minimum IS NOT NULL
        GROUP BY a.id, a.held HAVING a.held <> COALESCE(SUM(p.amount - p.captured), 0)""",
    "payments whose sums are not those of their entries": """
        SELECT p.id FROM bank_payments p LEFT JOIN bank_entries e ON e.payment_id = p.id
        GROUP BY p.id, p.captured, p.refunded
        HAVING p.captured <> COALESCE(SUM(CASE e.kind
                WHEN 'capture' THEN e.amount WHEN 'capture reversal' THEN -e.amount ELSE 0 END), 0)
            OR p.refunded <> COALESCE(SUM(CASE e.kind
                WHEN 'refund' THEN e.amount WHEN 'refund reversal' THEN -e.amount ELSE 0 END), 0)""",
    "captures whose journal charges another amount": """
        SELECT e.id FROM bank_entries e
        JOIN bank_payments p ON p.id = e.payment_id
        LEFT JOIN bank_postings s ON s.journal_id = e.journal_id AND s.account_id = p.account_id
        WHERE COALESCE(s.amount, 0)
            <> CASE WHEN e.kind IN ('capture', 'refund reversal') THEN e.amount ELSE -e.amount END
        """,
}
"""Finding → a query that finds nothing in good books."""


def audit(connection: Connection) -> list[str]:
    """What is wrong with the books (B1, B2), with the numbers of the rows; nothing if they are right."""
    found = []
    for what, query in _AUDIT.items():
        rows = [str(row[0]) for row in connection.execute(text(query)).fetchmany(10)]
        if rows:
            found.append(f"{what}: {', '.join(rows)}")
    return found
