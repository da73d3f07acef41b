"""What happens to a payment after it was approved: captures, refunds, reversals, chargebacks (bank.md §7.2).

Every function runs in the transaction of the message that asks for it, and locks the payment first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from setproto.bank.codes import APPROVED, NOT_FOUND
from setproto.bank.ledger import Kind, Ledger, Line, add_unless_there, move
from setproto.bank.tables import BATCHES, CARDS, ENTRIES, PAYMENTS

AMOUNT_ERROR: Final = "13"
NO_CASE: Final = "12"


# Made once: making a statement costs more than the database does.
_PAYMENT: Final = (
    select(PAYMENTS, CARDS.c.handle, CARDS.c.product)
    .join(CARDS, CARDS.c.id == PAYMENTS.c.card_id)
    .where(PAYMENTS.c.origin == bindparam("of"))
    .with_for_update(of=PAYMENTS)
)
_OPEN_BATCH: Final = (
    select(BATCHES.c.id, BATCHES.c.day)
    .where(
        BATCHES.c.merchant_id == bindparam("of"),
        BATCHES.c.currency == bindparam("in"),
        BATCHES.c.state == "OPEN",
    )
    .with_for_update(read=True)
)
_COUNT: Final = (
    update(PAYMENTS)
    .where(PAYMENTS.c.id == bindparam("of"))
    .values(
        captured=PAYMENTS.c.captured + bindparam("by_captured"),
        refunded=PAYMENTS.c.refunded + bindparam("by_refunded"),
    )
)
_ENTER: Final = insert(ENTRIES)


class Refused(Exception):
    """The message changes nothing; ``code`` goes into DE 39.  Internal to the bank."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Batch:
    """An open batch; ``day`` is its settlement date, YYYYMMDD."""

    id: int
    day: int


class Booking:
    """Books on a ledger (bank.md §7.2).  Amounts are in minor units, times in seconds since 1970; ``key`` names the
    message.  A payment is a row of PAYMENTS, locked."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def payment(self, connection: Connection, origin: str) -> Any:
        """The payment that began with this message, locked; None if there is none."""
        return connection.execute(_PAYMENT, {"of": origin}).one_or_none()

    def batch(self, connection: Connection, merchant: str, currency: int, at: int) -> Batch:
        """The merchant's open batch, kept open until the transaction ends; a new day's if the last was closed."""
        while (found := connection.execute(_OPEN_BATCH, {"of": merchant, "in": currency}).one_or_none()) is None:
            day = datetime.fromtimestamp(at, UTC).date()
            columns = BATCHES.c
            last = connection.execute(
                select(func.max(columns.day)).where(columns.merchant_id == merchant, columns.currency == currency)
            ).scalar()
            if last is not None:
                day = max(day, date.fromisoformat(str(last)) + timedelta(days=1))
            row = {"merchant_id": merchant, "currency": currency, "day": int(f"{day:%Y%m%d}"), "state": "OPEN"}
            add_unless_there(connection, BATCHES, row)
        return Batch(found.id, found.day)

    def capture(self, connection: Connection, payment: Any, key: str, amount: int, at: int) -> Batch:
        """Take part of what was authorised, or all.  Refused beyond it, whether or not the hold still stands."""
        if not 0 < amount <= payment.amount - payment.captured:
            raise Refused(AMOUNT_ERROR)
        self._count(connection, payment, captured=amount)
        held = amount if payment.open else 0
        lines = self._lines(connection, payment, amount, at)
        kind = "capture" if payment.open else "late presentment"
        return self._enter(connection, payment, key, "capture", kind, amount, at, lines, moved=amount, held=-held)

    def refund(self, connection: Connection, payment: Any, key: str, amount: int, at: int) -> Batch:
        """Give back, up to what was captured: interchange comes back, the service charge does not.
        Refused beyond that."""
        if not 0 < amount <= payment.captured - payment.refunded - payment.charged_back:
            raise Refused(AMOUNT_ERROR)
        self._count(connection, payment, refunded=amount)
        lines = self._lines(connection, payment, -amount, at)
        return self._enter(connection, payment, key, "refund", "refund", amount, at, lines, moved=-amount)

    def reverse_entry(self, connection: Connection, entry: Any, payment: Any, key: str, at: int) -> Batch:
        """Take a capture or a refund back, whole, once: a second time is a message about nothing (Refused with 25).

        Refused with 13 if less were left captured than was given back; ``entry``: a row of ENTRIES."""
        if connection.execute(select(ENTRIES.c.id).where(ENTRIES.c.reverses == entry.id)).scalar() is not None:
            raise Refused(NOT_FOUND)
        if entry.kind == "capture":
            if payment.captured - entry.amount < payment.refunded + payment.charged_back:
                raise Refused(AMOUNT_ERROR)
            self._count(connection, payment, captured=-entry.amount)
            moved, held = -entry.amount, entry.amount if payment.open else 0
        else:
            self._count(connection, payment, refunded=-entry.amount)
            moved, held = entry.amount, 0
        lines = self._ledger.mirrored(connection, entry.journal_id)
        kind = f"{entry.kind} reversal"
        return self._enter(
            connection, payment, key, kind, kind, entry.amount, at, lines, moved=moved, held=held, reverses=entry.id
        )

    def reverse(self, connection: Connection, payment: Any, stands: int) -> None:
        """An authorisation now stands for ``stands``; 0 cancels it.  Refused for less than was captured, and for
        as much as was authorised or more.  What is not approved, or was cancelled already, stays as it is."""
        if payment.code != APPROVED or payment.state == "REVERSED":
            return
        if not payment.captured <= stands < payment.amount:
            raise Refused(AMOUNT_ERROR)
        ended = {"state": "REVERSED", "open": False} if stands == 0 else {}
        connection.execute(
            update(PAYMENTS)
            .where(PAYMENTS.c.id == payment.id)
            .values(amount=stands if stands else payment.amount, **ended)
        )
        if payment.open:
            move(connection, payment.account_id, held=stands - payment.amount)

    def expire(self, connection: Connection, at: int) -> int:
        """Release holds that are past their time; how many.  A capture that comes later is booked all the same."""
        columns = PAYMENTS.c
        rows = connection.execute(select(PAYMENTS).where(columns.open, columns.expires <= at).with_for_update()).all()
        for row in rows:
            connection.execute(update(PAYMENTS).where(columns.id == row.id).values(open=False, state="EXPIRED"))
            move(connection, row.account_id, held=row.captured - row.amount)
        return len(rows)

    def _count(self, connection: Connection, payment: Any, *, captured: int = 0, refunded: int = 0) -> None:
        """The sums of a payment, by atomic UPDATE under the CHECKs of the table."""
        connection.execute(_COUNT, {"of": payment.id, "by_captured": captured, "by_refunded": refunded})

    def _lines(self, connection: Connection, payment: Any, amount: int, at: int) -> list[Line]:
        """A capture, or with a negative amount a refund, in the books of issuer and acquirer; each balances."""
        sign, size, currency = (1 if amount > 0 else -1), abs(amount), payment.currency
        interchange = self._ledger.tariff(f"interchange {payment.product}", at)
        scheme = self._ledger.tariff("scheme", at)
        service = self._ledger.tariff("service charge", at)
        shared = sign * interchange.fee(size)
        network = scheme.fee(size)
        charge = service.fee(size) if sign > 0 else 0

        def account(kind: Kind, owner: str = "") -> int:
            return self._ledger.account(connection, kind, currency, owner)

        return [
            Line(payment.account_id, amount),
            Line(account(Kind.SCHEME_PAYABLE), shared - amount),
            Line(account(Kind.INTERCHANGE_INCOME), -shared, interchange.id),
            Line(account(Kind.SCHEME_RECEIVABLE), amount - shared - network),
            Line(account(Kind.INTERCHANGE_EXPENSE), shared, interchange.id),
            Line(account(Kind.SCHEME_FEE_EXPENSE), network, scheme.id),
            Line(account(Kind.MERCHANT_PAYABLE, payment.merchant_id), charge - amount),
            Line(account(Kind.SERVICE_INCOME), -charge, service.id),
        ]

    def _enter(
        self,
        connection: Connection,
        payment: Any,
        key: str,
        kind: str,
        journal_kind: str,
        amount: int,
        at: int,
        lines: list[Line],
        *,
        moved: int,
        held: int = 0,
        reverses: int | None = None,
    ) -> Batch:
        """Journal, customer's account and place in the batch."""
        batch = self.batch(connection, payment.merchant_id, payment.currency, at)
        ref = f"{kind}:{key}"
        journal = self._ledger.post(connection, ref, journal_kind, at, lines, payment=payment.id, batch=batch.id)
        move(connection, payment.account_id, balance=moved, held=held)
        row = {
            "origin": key,
            "kind": kind,
            "payment_id": payment.id,
            "batch_id": batch.id,
            "journal_id": journal,
            "amount": amount,
            "reverses": reverses,
        }
        connection.execute(_ENTER, row)
        return batch
