"""The gateway's end of the business day: its totals are compared with the bank's (0500, bank.md §7.4)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Final

from setproto.bank import records
from setproto.bank.codes import APPROVED
from setproto.bank.connection import BankLine
from setproto.bank.forwarding import Retries
from setproto.bank.records import AdviceRecord, PaymentRecord
from setproto.bank.requests import Requests
from setproto.bank.settlement import totals_fields
from setproto.roles.ports import AdviceKind, NoReply, Store, Transaction

_LOG: Final = logging.getLogger("setproto.bank.reconciliation")
_ENTRIES: Final = {
    AdviceKind.CAPTURE.name: "capture",
    AdviceKind.CAPTURE_REVERSAL.name: "capture reversal",
    AdviceKind.CREDIT.name: "refund",
    AdviceKind.CREDIT_REVERSAL.name: "refund reversal",
}
"""Advice → what it is in a batch."""


class Days:
    """The business days of one gateway."""

    def __init__(self, line: BankLine, requests: Requests, retries: Retries, store: Store, wait: float) -> None:
        """``wait``: seconds between a day's end and its comparison, in which what is on its way arrives."""
        self._line = line
        self._requests = requests
        self._retries = retries
        self._store = store
        self._wait = wait
        self._compare_at = 0.0
        """When to look next for days that are over."""

    def begin(self, day: str) -> None:
        """The bank has begun another business day (MMDD): the totals of those before are compared, after a while."""
        with self._store.transaction() as transaction:
            records.begin_business_day(transaction, day)
        _LOG.info("business day %s", day)
        self._compare_at = time.monotonic() + self._wait

    def compare(self) -> None:
        """``reconcile`` every day that is over, when nothing is on its way; what does not agree is for a person."""
        if time.monotonic() < self._compare_at:
            return
        self._compare_at = time.monotonic() + self._wait
        with self._store.transaction() as transaction:
            today = records.business_day(transaction)
            over = [day for day in records.open_days(transaction) if today not in (None, day)]
        if self._retries:
            return
        for day in over:
            with self._store.transaction() as transaction:
                payments = [payment for payment, _ in _booked(transaction, day)]
            try:
                missing = [
                    f"{merchant} {currency}: {rrn}"
                    for merchant, currency in sorted({(payment.merchant, payment.currency) for payment in payments})
                    for rrn in self.reconcile(merchant, currency, day)
                ]
            except NoReply:
                return
            with self._store.transaction() as transaction:
                records.close_day(transaction, day)
                if missing:
                    records.leave_to_a_person(transaction, day.encode(), "totals of a day", ", ".join(missing))

    def reconcile(self, merchant: str, currency: int, day: str) -> list[str]:
        """Compare the totals of a settlement date (MMDD) with the bank's (0500); nothing if they agree.

        ``currency``: ISO 4217, numeric.  If they do not agree, every advice of that day is repeated, and the
        retrieval references of those that the bank does not confirm are returned; ["?"] if it confirms all and has
        others that are not known here.  NoReply if the bank does not answer.
        """
        connection = self._line.signed_on()
        with self._store.transaction() as transaction:
            ours = [
                (payment, record)
                for payment, record in _booked(transaction, day)
                if (payment.merchant, payment.currency) == (merchant, currency)
            ]
        sums: dict[str, tuple[int, int]] = {}
        for _, record in ours:
            number, amount = sums.get(_ENTRIES[record.kind], (0, 0))
            sums[_ENTRIES[record.kind]] = number + 1, amount + record.amount
        totals = totals_fields((kind, *told) for kind, told in sums.items())
        if connection.ask(self._requests.totals(merchant, currency, day, totals)).get(66) == "1":
            return []
        missing = []
        for payment, record in ours:
            if connection.ask(self._requests.advice(payment, record).repeated())[39] != APPROVED:
                missing.append(payment.rrn)
        return missing or ["?"]


def _booked(transaction: Transaction, day: str) -> Iterator[tuple[PaymentRecord, AdviceRecord]]:
    """What the bank has booked on a day, with the payments that it is about."""
    for reference in records.booked(transaction, day):
        record = records.find_advice(transaction, reference)
        payment = None if record is None else records.find_payment(transaction, record.authorization)
        if record is not None and payment is not None:
            yield payment, record
