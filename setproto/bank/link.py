"""The gateway's end of the line: implements ``setproto.roles.ports.Issuer`` over ISO 8583 (bank.md §3, §5).

What the gateway asks is written down, with its name on the line (STAN, time), before it is sent; so after a crash of
either side the same thing has the same name, and the bank does it once.  A request without a usable answer gets a
reversal in a durable queue before the gateway is told that there is none; until the bank has taken the reversal, the
same payment is not asked for again.

Several threads ask at once, on one line.  Nothing is asked or told within a transaction of the store.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from setproto.amounts import CurrencyAmount
from setproto.bank import records
from setproto.bank.codes import APPROVED, CANCELLED, IN_PART, MALFUNCTION, TIMED_OUT, UNSETTLED, auth_code
from setproto.bank.connection import BankLine, LinkConfig
from setproto.bank.forwarding import Retries, Reversals
from setproto.bank.messages import Message, retrieval_reference
from setproto.bank.reconciliation import Days
from setproto.bank.records import AdviceRecord, Booked, Name, PaymentRecord, State
from setproto.bank.requests import Requests
from setproto.bank.statements import money
from setproto.bank.vault import CardVault
from setproto.errors import SetError
from setproto.messages.codes import AuthCode
from setproto.roles.ports import (
    Advice,
    AdviceKind,
    AuthorizationDecision,
    AuthorizationRequest,
    Clock,
    NoReply,
    Store,
)

_LOG: Final = logging.getLogger("setproto.bank.link")
_UNDOES: Final = {
    AdviceKind.CAPTURE_REVERSAL.name: AdviceKind.CAPTURE.name,
    AdviceKind.CREDIT_REVERSAL.name: AdviceKind.CREDIT.name,
}


class ISO8583Link:
    """The bank, as a gateway sees it.  Safe for several threads."""

    def __init__(self, address: tuple[str, int], store: Store, clock: Clock, *, config: LinkConfig) -> None:
        """``address``: host and port.  ``store``: for the link alone (see the module).  Nothing is sent before
        ``start`` or the first request."""
        self._store = store
        self._clock = clock
        self._config = config
        self._vault = CardVault(config.vault_key)
        self._line = BankLine(address, config, self, clock)
        self._requests = Requests(config, self._vault, store, clock)
        self._retries = Retries(config.retries)
        self._reversals = Reversals(self._line, self._requests, self._retries, store, clock)
        self._days = Days(self._line, self._requests, self._retries, store, config.retries[-1])
        self._slots: list[int] = []
        self._slot_count = 0
        self._lock = threading.Lock()
        self._started = False
        self._stopped = threading.Event()
        self._forwarder: threading.Thread | None = None

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Take up what an earlier process left: what was asked for and not answered is reversed."""
        with self._lock:
            if self._started:
                return
            self._started = True
        with self._store.transaction() as transaction:
            references = records.in_flight(transaction, self._config.terminal)
            left = {reference: records.find_payment(transaction, reference) for reference in references}
        for reference, payment in left.items():
            if payment is not None and payment.state is State.REQUESTED:
                self._reversals.give_up(reference, payment, TIMED_OUT)
        self._forwarder = threading.Thread(target=self._forward_for_ever, name="iso8583-forward", daemon=True)
        self._forwarder.start()

    def _forward_for_ever(self) -> None:
        while not self._stopped.is_set():
            self._reversals.due.clear()
            try:
                self._reversals.forward()
                self._days.compare()
            except (SetError, SQLAlchemyError) as failure:
                _LOG.error("what waits was not sent: %s", type(failure).__name__)
            self._reversals.due.wait(min(1.0, self._config.retries[0]))

    def close(self) -> None:
        """Hang up.  What waits, waits in the store."""
        self._stopped.set()
        self._line.stop()
        self._reversals.due.set()
        if self._forwarder is not None:
            self._forwarder.join()
        self._line.close()

    def ready(self) -> bool:
        """Whether the bank answers: signs on if need be."""
        try:
            self._line.signed_on()
        except NoReply:
            return False
        return True

    def waiting(self) -> int:
        """How many reversals are in the queue."""
        with self._store.transaction() as transaction:
            return len(records.queued(transaction))

    def manual(self) -> list[str]:
        """What the bank refused although it cannot be refused, for a person to look at."""
        with self._store.transaction() as transaction:
            return records.left_to_a_person(transaction)

    def reconcile(self, merchant: str, currency: int, day: str) -> list[str]:
        """As ``Days.reconcile``."""
        return self._days.reconcile(merchant, currency, day)

    # --- what the connection asks and tells (connection.Owner) -----------------------------------

    def network_message(self, function: str) -> Message:
        """As ``Requests.network``."""
        return self._requests.network(function)

    def signed_on(self) -> None:
        """The bank is back: what waits need not wait longer."""
        self._retries.clear()
        self._reversals.due.set()

    def came_late(self, answer: Message) -> None:
        """As ``Reversals.came_late``."""
        self._reversals.came_late(answer)

    def cutover(self, day: str) -> None:
        """As ``Days.begin``."""
        self._days.begin(day)

    # --- authorisations -------------------------------------------------------------------------

    @contextmanager
    def _slot(self) -> Iterator[int]:
        """A place among those that are under way."""
        with self._lock:
            if not self._slots:
                self._slots.append(self._slot_count)
                self._slot_count += 1
            slot = self._slots.pop()
        try:
            yield slot
        finally:
            with self._lock:
                self._slots.append(slot)

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """As the port says.  After NoReply a reversal is on its way, and asking again waits until it has arrived."""
        self.start()
        amount = _minor(request.amount)
        if amount is None or len(request.merchant_id) > 15:
            wrong = AuthCode.amountError if amount is None else AuthCode.invalidTransaction
            return AuthorizationDecision(wrong)
        connection = self._line.signed_on()
        name = self._requests.name()
        with self._slot() as slot:
            payment, known = self._write_down(request, amount, name, slot)
            if payment.state is State.REVERSING:
                self._reversals.forward(request.reference)
                payment, known = self._write_down(request, amount, name, slot)
            if payment.state in (State.APPROVED, State.DECLINED):
                return _decision(payment)
            if payment.state is not State.REQUESTED:
                raise NoReply
            message = self._requests.authorization(request, payment)
            try:
                answer = connection.ask(message.repeated() if known else message)
            except NoReply:
                self._reversals.give_up_unanswered(request.reference, payment, message)
                raise
            return self._decided(request.reference, payment, message, answer)

    def _write_down(
        self, request: AuthorizationRequest, amount: int, name: Name, slot: int
    ) -> tuple[PaymentRecord, bool]:
        """The attempt under this reference, and whether it is an earlier one; a new one if none stands.

        NoReply if the earlier one is another payment: its decision is not for this one."""
        with self._store.transaction() as transaction:
            earlier = records.find_payment(transaction, request.reference)
            if earlier is not None and earlier.state is not State.REVERSED:
                if not self._is_of(earlier, request, amount):
                    _LOG.error("two payments under one reference")
                    raise NoReply
                return earlier, True
            now = self._clock()
            payment = PaymentRecord(
                state=State.REQUESTED,
                name=name,
                local=f"{now:%m%d%H%M%S}",
                rrn=retrieval_reference(now, name.stan),
                merchant=request.merchant_id,
                amount=amount,
                currency=request.amount.currency,
                card=self._vault.seal_card(request.card.pan, request.card.expiry),
                code="",
                approval="",
                booked=[],
            )
            records.keep_payment(transaction, request.reference, payment)
            records.put_in_flight(transaction, self._config.terminal, slot, request.reference)
            return payment, False

    def _is_of(self, payment: PaymentRecord, request: AuthorizationRequest, amount: int) -> bool:
        asked = (request.merchant_id, amount, request.amount.currency, request.card.pan)
        return (payment.merchant, payment.amount, payment.currency, self._vault.open_card(payment.card)[0]) == asked

    def _decided(
        self, reference: bytes, payment: PaymentRecord, message: Message, answer: Message
    ) -> AuthorizationDecision:
        """Take the answer.  NoReply if it says nothing, or not about this."""
        code, approval = answer[39], (answer.get(38) or "").strip()
        approves = auth_code(code) is AuthCode.approved
        echoed = all(answer[number] == message[number] for number in (3, 4, 37, 42, 49))
        if not echoed or (code == APPROVED and not approval):
            self._reversals.give_up(reference, payment, MALFUNCTION)
            raise NoReply
        if code in UNSETTLED:
            self._reversals.give_up(reference, payment, TIMED_OUT)
            raise NoReply
        if code == IN_PART:
            self._reversals.give_up(reference, payment, CANCELLED)
        state = State.APPROVED if approves else State.DECLINED
        decided = replace(payment, state=state, code=code, approval=approval if approves else "")
        with self._store.transaction() as transaction:
            expected = State.REVERSING if code == IN_PART else State.REQUESTED
            if records.is_attempt(transaction, reference, payment, expected):
                records.keep_payment(transaction, reference, decided)
            elif not records.is_attempt(transaction, reference, payment, state):  # else others heard the same answer
                raise NoReply  # given up by another process
        return _decision(decided)

    # --- advices --------------------------------------------------------------------------------

    def advise(self, advice: Advice) -> None:
        """As the port says.  Between two sendings of an advice that was not answered some time passes: NoReply."""
        self.start()
        cancels = advice.kind is AdviceKind.REVERSAL and not advice.amount.amount
        if cancels and not self._is_held(advice.authorization):
            return
        connection = self._line.signed_on()
        if not self._retries.is_due(advice.reference):
            raise NoReply
        told = self._note(advice)
        if told is None:
            return
        payment, record, known = told
        message = self._requests.advice(payment, record)
        try:
            answer = connection.ask(message.repeated() if known else message)
            if answer[39] in UNSETTLED:
                raise NoReply
        except NoReply:
            self._retries.later(advice.reference)
            raise
        self._taken(advice.reference, record, answer, payment.rrn)

    def _is_held(self, reference: bytes) -> bool:
        """Whether the bank approved it.  What it was asked and has not answered is reversed by way of the queue."""
        for _ in range(2):
            with self._store.transaction() as transaction:
                payment = records.find_payment(transaction, reference)
            if payment is None or payment.state is not State.REQUESTED:
                break
            self._reversals.give_up(reference, payment, CANCELLED)
        return payment is not None and payment.state is State.APPROVED

    def _note(self, advice: Advice) -> tuple[PaymentRecord, AdviceRecord, bool] | None:
        """Write the advice down under a name, and whether it was before; None if there is nothing (more) to tell."""
        name = self._requests.name()
        with self._store.transaction() as transaction:
            payment = records.find_payment(transaction, advice.authorization)
            known = records.find_advice(transaction, advice.reference)
            if known is not None and (known.code or payment is None):
                return None
            if known is not None and payment is not None:
                return payment, known, True
            amount = _minor(advice.amount)
            about = None if payment is None else _about(payment, advice.kind.name, amount)
            if payment is None or payment.state is not State.APPROVED or amount is None or about is None:
                of = "" if payment is None else f" of {payment.rrn}"
                records.leave_to_a_person(transaction, advice.reference, advice.kind.name + of, "unknown here")
                return None
            record = AdviceRecord(
                name=replace(name, terminal=payment.name.terminal),
                authorization=advice.authorization,
                kind=advice.kind.name,
                amount=amount,
                about=about,
                code="",
                settled="",
            )
            if record.name.terminal == name.terminal:
                records.keep_advice(transaction, advice.reference, record)
                return payment, record, False
        # Another gateway process asked for the payment: later messages bear its terminal, and a number of it.
        record = replace(record, name=self._requests.name(payment.name.terminal))
        with self._store.transaction() as transaction:
            known = records.find_advice(transaction, advice.reference)
            if known is not None:  # a third process was quicker; the bank books what has two names twice
                return None if known.code else (payment, known, True)
            records.keep_advice(transaction, advice.reference, record)
        return payment, record, False

    def _taken(self, reference: bytes, record: AdviceRecord, answer: Message, rrn: str) -> None:
        """The bank has answered: an advice is never told again after that."""
        self._retries.answered(reference)
        code = answer[39]
        with self._store.transaction() as transaction:
            known = records.find_advice(transaction, reference)
            if known is not None and known.code:
                return  # another process told the bank at the same time, and has written this down
            settled = answer.get(15) or ""
            records.keep_advice(transaction, reference, replace(record, code=code, settled=settled))
            if code != APPROVED:
                records.leave_to_a_person(transaction, reference, f"{record.kind} of {rrn}", code)
                return
            if settled:
                records.put_in_day(transaction, settled, reference)
            payment = records.find_payment(transaction, record.authorization)
            if payment is None or record.kind == AdviceKind.REVERSAL.name:
                return
            if record.kind in _UNDOES:
                booked = [replace(b, undone=True) if b.name == record.about else b for b in payment.booked]
            else:
                new = Booked(kind=record.kind, amount=record.amount, name=record.name, undone=False)
                booked = [*payment.booked, new]
            records.keep_payment(transaction, record.authorization, replace(payment, booked=booked))


def _about(payment: PaymentRecord, kind: str, amount: int | None) -> Name | None:
    """Which message an advice is about.  A reversal is of a booking as a whole, so one of its amount will do."""
    if kind not in _UNDOES:
        return payment.name
    for booked in payment.booked:
        if booked.kind == _UNDOES[kind] and booked.amount == amount and not booked.undone:
            return booked.name
    return None


def _decision(payment: PaymentRecord) -> AuthorizationDecision:
    return AuthorizationDecision(auth_code(payment.code), payment.approval or None)


def _minor(amount: CurrencyAmount) -> int | None:
    """Minor units, if it is a whole number of them that fits into DE 4."""
    value, rest = divmod(amount.value, money(1, amount.currency).step)
    return value if rest == 0 and value < 10**12 else None
