"""Store and forward: reversals of authorisations whose outcome nobody knows, until the bank has taken them
(bank.md §5, rules 4 and 5).

A reversal is in the queue, on the disk, before the gateway is told that there is no answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pki.der import encode
from setproto.bank import records
from setproto.bank.codes import APPROVED, NOT_FOUND, TIMED_OUT, UNSETTLED, auth_code
from setproto.bank.connection import BankLine
from setproto.bank.messages import Message
from setproto.bank.records import PaymentRecord, QueuedReversal, State
from setproto.bank.requests import Requests
from setproto.messages.codes import AuthCode
from setproto.roles.ports import Clock, NoReply, Store, Transaction

_MAX_AGE: Final = 3 * 86_400
"""Seconds in the queue after which a person must look at it."""
_REMEMBERED: Final = 1000
"""Authorisations whose answer may still come late."""


class Retries:
    """What was sent and not answered, and when it is due again.  In memory: after a start everything is due."""

    def __init__(self, waits: Sequence[float]) -> None:
        """``waits``: seconds after each sending; the last one for all that follow."""
        self._waits = waits
        self._tries: dict[bytes, tuple[int, float]] = {}

    def __bool__(self) -> bool:
        """Whether anything was not answered."""
        return bool(self._tries)

    def tried(self, key: bytes) -> bool:
        """Whether it was sent before."""
        return key in self._tries

    def is_due(self, key: bytes) -> bool:
        """Whether it may be sent now."""
        return time.monotonic() >= self._tries.get(key, (0, 0.0))[1]

    def later(self, key: bytes) -> None:
        """It was sent, and not answered."""
        tries, _ = self._tries.get(key, (0, 0.0))
        wait = self._waits[min(tries, len(self._waits) - 1)]
        self._tries[key] = (tries + 1, time.monotonic() + wait)

    def answered(self, key: bytes) -> None:
        """It was answered."""
        self._tries.pop(key, None)

    def clear(self) -> None:
        """Everything is due: the bank is back, what waits need not wait longer."""
        self._tries.clear()


class Reversals:
    """The queue of one gateway process.  Safe for several threads."""

    def __init__(self, line: BankLine, requests: Requests, retries: Retries, store: Store, clock: Clock) -> None:
        """``retries`` is that of everything that is sent, so that a sign-on makes all of it due."""
        self._line = line
        self._requests = requests
        self._retries = retries
        self._store = store
        self._clock = clock
        self._given_up: dict[str, tuple[bytes, PaymentRecord]] = {}
        self._lock = threading.Lock()
        self._forwarding = threading.Lock()
        self.due = threading.Event()
        """Set when there is something to forward."""

    def give_up(self, reference: bytes, payment: PaymentRecord, reason: str) -> None:
        """Reverse it, before anybody is told that there is no answer (bank.md §5, rule 4).  ``reason``: DE 39."""
        name = self._requests.name(payment.name.terminal)
        with self._store.transaction() as transaction:
            if records.is_attempt(transaction, reference, payment, State.REQUESTED):
                records.keep_payment(transaction, reference, replace(payment, state=State.REVERSING))
                self._queue(transaction, reference, payment, reason, name)
        self.due.set()

    def give_up_unanswered(self, reference: bytes, payment: PaymentRecord, message: Message) -> None:
        """The same for want of an answer to ``message``; should one come all the same, ``came_late`` knows it."""
        with self._lock:
            self._given_up[message.key] = (reference, payment)
            while len(self._given_up) > _REMEMBERED:
                self._given_up.pop(next(iter(self._given_up)))
        self.give_up(reference, payment, TIMED_OUT)

    def came_late(self, answer: Message) -> None:
        """An answer that nobody waits for any more.  An approval is reversed, even if its reversal was sent: the bank
        may have said that it knew of nothing, and approved after that."""
        if auth_code(answer[39]) is not AuthCode.approved or answer.mti[1] != "1":
            return
        with self._lock:
            known = self._given_up.get(answer.key)
        if known is None:
            return
        reference, payment = known
        name = self._requests.name(payment.name.terminal)
        with self._store.transaction() as transaction:
            self._queue(transaction, reference, payment, TIMED_OUT, name)
        self._given_up.pop(answer.key, None)  # once, however often it comes
        self.due.set()

    def _queue(
        self, transaction: Transaction, reference: bytes, payment: PaymentRecord, reason: str, name: records.Name
    ) -> None:
        now = int(self._clock().timestamp())
        reversal = QueuedReversal(name=name, reference=reference, payment=payment, reason=reason, queued=now)
        records.queue(transaction, reversal)

    def forward(self, only: bytes | None = None) -> None:
        """Send what is due, in order, one after the other; or what there is of one payment, due or not.

        What is not answered holds up its own payment and no other.  The second that is not answered ends it: the bank
        answers nothing then.
        """
        with self._forwarding:
            with self._store.transaction() as transaction:
                waiting = records.queued(transaction)
            held: set[bytes] = set()
            unanswered = 0
            for place, reversal in waiting:
                if reversal.reference in held or only not in (None, reversal.reference):
                    continue
                held.add(reversal.reference)
                key = encode(reversal.name)
                if only is None and not self._retries.is_due(key):
                    continue
                if int(self._clock().timestamp()) - reversal.queued > _MAX_AGE:
                    self._done(place, reversal, "")
                    continue
                message, again = self._requests.reversal(reversal), self._retries.tried(key)
                try:
                    answer = self._line.signed_on().ask(message.repeated() if again else message)
                except NoReply:
                    self._retries.later(key)
                    unanswered += 1
                    if unanswered == 2:
                        return
                    continue
                if answer[39] in UNSETTLED:
                    self._retries.later(key)
                    continue
                self._done(place, reversal, answer[39])
                held.remove(reversal.reference)

    def _done(self, place: int, reversal: QueuedReversal, code: str) -> None:
        key = encode(reversal.name)
        self._retries.answered(key)
        with self._store.transaction() as transaction:
            records.unqueue(transaction, place)
            # 25: the bank never had it, and will not take it any more.
            if code not in (APPROVED, NOT_FOUND):
                records.leave_to_a_person(transaction, key, f"reversal of {reversal.payment.rrn}", code)
            elif records.is_attempt(transaction, reversal.reference, reversal.payment, State.REVERSING):
                reversed_ = replace(reversal.payment, state=State.REVERSED)
                records.keep_payment(transaction, reversal.reference, reversed_)
