"""The gateway's end of the line: implements ``setproto.roles.ports.Issuer`` over ISO 8583 (bank.md §3, §5).

What the gateway asks is written down, with its name on the line (STAN, time), before it is sent; so after a crash of
either side the same thing has the same name, and the bank does it once.  A request without a usable answer gets a
reversal in a durable queue before the gateway is told that there is none; until the bank has taken the reversal, the
same payment is not asked for again.

Several threads ask at once, on one line.  Nothing is asked or told within a transaction of the store.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from pki.der import encode
from setproto.amounts import CurrencyAmount
from setproto.bank import records
from setproto.bank.codes import APPROVED, NOT_FOUND, auth_code
from setproto.bank.dialects import ASCII_1987, Dialect
from setproto.bank.lines import CUTOVER, ECHO, SIGN_ON, Closed, Line
from setproto.bank.messages import (
    Codec,
    FormatError,
    Message,
    original_data,
    replacement,
    retrieval_reference,
    set_data,
)
from setproto.bank.records import AdviceRecord, Booked, Name, PaymentRecord, QueuedReversal, State
from setproto.bank.settlement import totals_fields
from setproto.bank.statements import money
from setproto.bank.vault import CardVault
from setproto.card import PAN, CardExpiry
from setproto.errors import SetError, UsageError
from setproto.messages.codes import AuthCode
from setproto.roles.ports import (
    Advice,
    AdviceKind,
    AuthorizationDecision,
    AuthorizationRequest,
    Clock,
    NoReply,
    Store,
    Transaction,
)

_LOG: Final = logging.getLogger("setproto.bank.link")
_UNSETTLED: Final = frozenset(("06", "09", "68", "91", "96"))
"""Answers after which nobody knows what became of the request, or that ask to come again."""
_IN_PART: Final = "10"
_TIMED_OUT, _MALFUNCTION, _CANCELLED = "68", "22", "17"
"""Reasons of reversals (DE 39)."""
_STAN_BLOCK: Final = 50
_MAX_AGE: Final = 3 * 86_400
"""Seconds in the queue after which a person must look at it."""
_ENTRIES: Final = {
    AdviceKind.CAPTURE.name: "capture",
    AdviceKind.CAPTURE_REVERSAL.name: "capture reversal",
    AdviceKind.CREDIT.name: "refund",
    AdviceKind.CREDIT_REVERSAL.name: "refund reversal",
}
"""Advice → what it is in a batch."""
_UNDOES: Final = {
    AdviceKind.CAPTURE_REVERSAL.name: AdviceKind.CAPTURE.name,
    AdviceKind.CREDIT_REVERSAL.name: AdviceKind.CREDIT.name,
}


@dataclass(frozen=True)
class LinkConfig:
    """Who the gateway is on the line, and how patient.  Times in seconds."""

    vault_key: bytes = field(repr=False)
    """32 octets: what hides card numbers in the link's store."""
    acquirer: str = "123456"
    terminal: str = "GW000001"
    """Eight characters, another one for each gateway process."""
    category: str = "5999"
    """Merchant category code (DE 18, ISO 18245)."""
    timeout: float = 12.0
    """For an answer; with everything else it must fit into the 20 s of T69."""
    connect: float = 2.0
    pause: float = 1.0
    """Between two attempts to connect."""
    idle: float = 60.0
    """Without a message, after which an echo is sent."""
    retries: tuple[float, ...] = (1.0, 4.0, 15.0, 60.0, 300.0)
    """How long after each sending what was not answered is sent again; the last one until ``_MAX_AGE``.  15, 60 and
    300 are the book's (bank.md §5, rule 5); before them two quick ones, for a message that got lost on a line that is
    well.  A new sign-on does it at once."""
    dialect: Dialect = ASCII_1987
    mac_key: bytes | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class _Waiting:
    """One who waits for an answer."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Message | None = None


class _Connection:
    """A signed-on line: asks, and gives every answer to who asked."""

    def __init__(self, line: Line, link: ISO8583Link) -> None:
        self._line = line
        self._link = link
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self.open = True
        threading.Thread(target=self._receive, name="iso8583-link", daemon=True).start()

    def ask(self, request: Message, timeout: float) -> Message:
        """The answer.  NoReply if there is none in time or the line breaks: the request may have arrived.

        Whoever asks what is being asked already waits for the same answer.
        """
        first = _Waiting()
        waiting = self._waiting.setdefault(request.match, first)
        try:
            if waiting is first:
                self._line.send(self._link.codec.encode(request))
            waiting.done.wait(timeout)
        except OSError:
            self.close()
        finally:
            if waiting is first:
                self._waiting.pop(request.match, None)
        if waiting.answer is None:
            raise NoReply
        return waiting.answer

    def close(self) -> None:
        """Cut it; who waits gets no answer."""
        self.open = False
        self._line.close()
        for waiting in list(self._waiting.values()):
            waiting.done.set()

    def _receive(self) -> None:
        echoing = False
        try:
            while self.open:
                try:
                    octets = self._line.receive()
                except TimeoutError:
                    if echoing:
                        _LOG.warning("no answer to an echo")
                        return
                    echoing = True
                    self._line.send(self._link.codec.encode(self._link.network_message(ECHO)))
                    continue
                echoing = False
                self._take(octets)
        except (Closed, OSError) as reason:
            _LOG.info("the line to the bank is down: %s", reason)
        finally:
            self.close()

    def _take(self, octets: bytes) -> None:
        try:
            answer = self._link.codec.decode(octets)
        except FormatError as refused:
            _LOG.warning("refused from the bank: %s", refused)
            return
        if answer.mti[1] == "8" and answer.mti[2] in "02":
            self._line.send(self._link.codec.encode(answer.response(APPROVED)))
            if answer[70] == CUTOVER and (day := answer.get(15)) is not None:
                self._link.cutover(day)
            return
        waiting = self._waiting.get(answer.match)
        if waiting is not None and answer.mti[2] in "13":
            waiting.answer = answer
            waiting.done.set()
        elif answer.mti[1] != "8":
            _LOG.warning("late or unasked: %s", answer)
            self._link.came_late(answer)


class ISO8583Link:
    """The bank, as a gateway sees it.  Safe for several threads."""

    def __init__(self, address: tuple[str, int], store: Store, clock: Clock, *, config: LinkConfig) -> None:
        """``store``: for the link alone (see the module).  Nothing is sent before ``start`` or the first request."""
        if len(config.terminal) != 8:
            raise UsageError("a terminal id has eight characters")
        self._address = address
        self._store = store
        self._clock = clock
        self._config = config
        self._vault = CardVault(config.vault_key)
        self.codec = Codec(clock, config.dialect, mac_key=config.mac_key)
        self._connection: _Connection | None = None
        self._connecting = threading.Lock()
        self._not_before = 0.0
        self._stans: dict[str, list[str]] = {}
        self._slots: list[int] = []
        self._slot_count = 0
        self._lock = threading.Lock()
        self._given_up: dict[str, tuple[bytes, PaymentRecord]] = {}
        self._tries: dict[bytes, tuple[int, float]] = {}
        self._compare_at = 0.0
        """When to look next for days that are over."""
        self._started = False
        self._stopped = threading.Event()
        self._due = threading.Event()
        self._forwarding = threading.Lock()
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
                self._give_up(reference, payment, _TIMED_OUT)
        self._forwarder = threading.Thread(target=self._forward_for_ever, name="iso8583-forward", daemon=True)
        self._forwarder.start()

    def close(self) -> None:
        """Hang up.  What waits, waits in the store."""
        self._stopped.set()
        self._due.set()
        if self._forwarder is not None:
            self._forwarder.join()
        with self._connecting:
            if self._connection is not None:
                self._connection.close()

    def ready(self) -> bool:
        """Whether the bank answers: signs on if need be."""
        try:
            self._signed_on()
        except NoReply:
            return False
        return True

    def _signed_on(self) -> _Connection:
        """A line on which the bank has accepted a sign-on.  NoReply if there is none: then nothing was sent."""
        with self._connecting:
            if self._connection is not None and self._connection.open:
                return self._connection
            if self._stopped.is_set() or time.monotonic() < self._not_before:
                raise NoReply
            try:
                self._connection = self._connect()
            except (OSError, NoReply) as failure:
                self._not_before = time.monotonic() + self._config.pause
                _LOG.warning("no line to the bank: %s", type(failure).__name__)
                raise NoReply from None
            self._tries.clear()  # the bank is back: what waits need not wait longer
            self._due.set()
            return self._connection

    def _connect(self) -> _Connection:
        raw = socket.create_connection(self._address, self._config.connect)
        if self._config.tls is not None:
            raw = self._config.tls.wrap_socket(raw, server_hostname=self._config.server_name or self._address[0])
        raw.settimeout(self._config.idle)
        connection = _Connection(Line(raw, self._config.dialect.framing), self)
        try:
            answer = connection.ask(self.network_message(SIGN_ON), self._config.timeout)
            if answer[39] != APPROVED:
                raise NoReply
        except NoReply:
            connection.close()
            raise
        return connection

    def network_message(self, function: str) -> Message:
        """0800: sign-on, echo (DE 70)."""
        now = self._clock()
        fields = {7: f"{now:%m%d%H%M%S}", 11: self._stan(), 32: self._config.acquirer, 70: function}
        return Message("0800", fields)

    # --- names ----------------------------------------------------------------------------------

    def _stan(self, terminal: str | None = None) -> str:
        """The next trace number.  In a transaction of its own, so not to be called within another: a number that was
        handed out must not come back when something else is rolled back."""
        terminal = terminal or self._config.terminal
        with self._lock:
            stans = self._stans.setdefault(terminal, [])
            if not stans:
                with self._store.transaction() as transaction:
                    stans.extend(records.reserve_stans(transaction, terminal, _STAN_BLOCK))
            return stans.pop(0)

    def _name(self, terminal: str | None = None) -> Name:
        """A name for a new message of now."""
        terminal = terminal or self._config.terminal
        return Name(terminal=terminal, stan=self._stan(terminal), sent=f"{self._clock():%m%d%H%M%S}")

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

    # --- authorisations -------------------------------------------------------------------------

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """As the port says.  After NoReply a reversal is on its way, and asking again waits until it has arrived."""
        self.start()
        amount = _minor(request.amount)
        if amount is None or len(request.merchant_id) > 15:
            wrong = AuthCode.amountError if amount is None else AuthCode.invalidTransaction
            return AuthorizationDecision(wrong)
        connection = self._signed_on()
        name = self._name()
        with self._slot() as slot:
            payment, known = self._write_down(request, amount, name, slot)
            if payment.state is State.REVERSING:
                self._forward(request.reference)
                payment, known = self._write_down(request, amount, name, slot)
            if payment.state in (State.APPROVED, State.DECLINED):
                return _decision(payment)
            if payment.state is not State.REQUESTED:
                raise NoReply
            message = self._request(request, payment)
            try:
                answer = connection.ask(message.repeated() if known else message, self._config.timeout)
            except NoReply:
                with self._lock:
                    self._given_up[message.key] = (request.reference, payment)
                    while len(self._given_up) > 1000:
                        self._given_up.pop(next(iter(self._given_up)))
                self._give_up(request.reference, payment, _TIMED_OUT)
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

    def _request(self, request: AuthorizationRequest, payment: PaymentRecord) -> Message:
        card = (request.card.pan, request.card.expiry)
        fields = self._common(payment, payment.name, card)
        return Message(
            "0100",
            fields
            | {
                3: "000000",
                14: request.card.expiry.reveal()[2:],
                18: self._config.category,
                22: "810",
                126: set_data(request.xid, request.trans_stain),
            },
        )

    def _common(self, payment: PaymentRecord, name: Name, card: tuple[PAN, CardExpiry] | None = None) -> dict[int, str]:
        """What every message about a payment has."""
        pan = self._vault.open_card(payment.card)[0] if card is None else card[0]
        return {
            2: pan.reveal(),
            4: f"{payment.amount:012d}",
            7: name.sent,
            11: name.stan,
            12: payment.local[4:],
            13: payment.local[:4],
            25: "59",
            32: self._config.acquirer,
            37: payment.rrn,
            41: payment.name.terminal,
            42: f"{payment.merchant:<15}",
            49: f"{payment.currency:03d}",
        }

    def _decided(
        self, reference: bytes, payment: PaymentRecord, message: Message, answer: Message
    ) -> AuthorizationDecision:
        """Take the answer.  NoReply if it says nothing, or not about this."""
        code, approval = answer[39], (answer.get(38) or "").strip()
        approves = auth_code(code) is AuthCode.approved
        echoed = all(answer[number] == message[number] for number in (3, 4, 37, 42, 49))
        if not echoed or (code == APPROVED and not approval):
            self._give_up(reference, payment, _MALFUNCTION)
            raise NoReply
        if code in _UNSETTLED:
            self._give_up(reference, payment, _TIMED_OUT)
            raise NoReply
        if code == _IN_PART:
            self._give_up(reference, payment, _CANCELLED)
        state = State.APPROVED if approves else State.DECLINED
        decided = replace(payment, state=state, code=code, approval=approval if approves else "")
        with self._store.transaction() as transaction:
            expected = State.REVERSING if code == _IN_PART else State.REQUESTED
            if _is_attempt(transaction, reference, payment, expected):
                records.keep_payment(transaction, reference, decided)
            elif not _is_attempt(transaction, reference, payment, state):  # else others heard the same answer
                raise NoReply  # given up by another process
        return _decision(decided)

    def _give_up(self, reference: bytes, payment: PaymentRecord, reason: str) -> None:
        """Reverse it, before anybody is told that there is no answer (bank.md §5, rule 4)."""
        name = self._name(payment.name.terminal)
        with self._store.transaction() as transaction:
            if _is_attempt(transaction, reference, payment, State.REQUESTED):
                self._reverse(transaction, reference, payment, reason, name)
        self._due.set()

    def _reverse(
        self, transaction: Transaction, reference: bytes, payment: PaymentRecord, reason: str, name: Name
    ) -> None:
        records.keep_payment(transaction, reference, replace(payment, state=State.REVERSING))
        self._queue(transaction, reference, payment, reason, name)

    def _queue(
        self, transaction: Transaction, reference: bytes, payment: PaymentRecord, reason: str, name: Name
    ) -> None:
        now = int(self._clock().timestamp())
        records.queue(
            transaction,
            QueuedReversal(name=name, reference=reference, payment=payment, reason=reason, queued=now),
        )

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
        name = self._name(payment.name.terminal)
        with self._store.transaction() as transaction:
            self._queue(transaction, reference, payment, _TIMED_OUT, name)
        self._given_up.pop(answer.key, None)  # once, however often it comes
        self._due.set()

    # --- store and forward ----------------------------------------------------------------------

    def _forward_for_ever(self) -> None:
        while not self._stopped.is_set():
            self._due.clear()
            try:
                self._forward()
                self._compare_totals()
            except (SetError, SQLAlchemyError) as failure:
                _LOG.error("what waits was not sent: %s", type(failure).__name__)
            self._due.wait(min(1.0, self._config.retries[0]))

    def _forward(self, only: bytes | None = None) -> None:
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
                tries, due = self._tries.get(key, (0, 0.0))
                if only is None and time.monotonic() < due:
                    continue
                if int(self._clock().timestamp()) - reversal.queued > _MAX_AGE:
                    self._done(place, reversal, "")
                    continue
                message = self._reversal(reversal)
                try:
                    answer = self._signed_on().ask(message.repeated() if tries else message, self._config.timeout)
                except NoReply:
                    self._later(key)
                    unanswered += 1
                    if unanswered == 2:
                        return
                    continue
                if answer[39] in _UNSETTLED:
                    self._later(key)
                    continue
                self._done(place, reversal, answer[39])
                held.remove(reversal.reference)

    def _reversal(self, reversal: QueuedReversal) -> Message:
        payment, name = reversal.payment, reversal.name
        asked = original_data("0100", payment.name.stan, payment.name.sent, self._config.acquirer)
        return Message("0420", self._common(payment, name) | {3: "000000", 39: reversal.reason, 90: asked})

    def _done(self, place: int, reversal: QueuedReversal, code: str) -> None:
        self._tries.pop(encode(reversal.name), None)
        with self._store.transaction() as transaction:
            records.unqueue(transaction, place)
            # 25: the bank never had it, and will not take it any more.
            if code not in (APPROVED, NOT_FOUND):
                self._for_a_person(transaction, encode(reversal.name), "reversal", code)
            elif _is_attempt(transaction, reversal.reference, reversal.payment, State.REVERSING):
                reversed_ = replace(reversal.payment, state=State.REVERSED)
                records.keep_payment(transaction, reversal.reference, reversed_)

    def _later(self, key: bytes) -> None:
        tries, _ = self._tries.get(key, (0, 0.0))
        wait = self._config.retries[min(tries, len(self._config.retries) - 1)]
        self._tries[key] = (tries + 1, time.monotonic() + wait)

    def _for_a_person(self, transaction: Transaction, key: bytes, what: str, code: str) -> None:
        _LOG.error("%s was refused with %r: a person must look at it", what, code)
        transaction.put(records.MANUAL, key, f"{what}: {code}".encode())

    def waiting(self) -> int:
        """How many reversals are in the queue."""
        with self._store.transaction() as transaction:
            return len(records.queued(transaction))

    def manual(self) -> list[str]:
        """What the bank refused although it cannot be refused, for a person to look at."""
        with self._store.transaction() as transaction:
            return [f"{key.hex()[:16]} {value.decode()}" for key, value in transaction.items(records.MANUAL)]

    # --- advices --------------------------------------------------------------------------------

    def advise(self, advice: Advice) -> None:
        """As the port says.  Between two sendings of an advice that was not answered some time passes: NoReply."""
        self.start()
        cancels = advice.kind is AdviceKind.REVERSAL and not advice.amount.amount
        if cancels and not self._is_held(advice.authorization):
            return
        connection = self._signed_on()
        if time.monotonic() < self._tries.get(advice.reference, (0, 0.0))[1]:
            raise NoReply
        told = self._note(advice)
        if told is None:
            return
        payment, record, known = told
        message = self._advice(payment, record)
        try:
            answer = connection.ask(message.repeated() if known else message, self._config.timeout)
            if answer[39] in _UNSETTLED:
                raise NoReply
        except NoReply:
            self._later(advice.reference)
            raise
        self._taken(advice.reference, record, answer)

    def _is_held(self, reference: bytes) -> bool:
        """Whether the bank approved it.  What it was asked and has not answered is reversed by way of the queue."""
        for _ in range(2):
            with self._store.transaction() as transaction:
                payment = records.find_payment(transaction, reference)
            if payment is None or payment.state is not State.REQUESTED:
                break
            self._give_up(reference, payment, _CANCELLED)
        return payment is not None and payment.state is State.APPROVED

    def _note(self, advice: Advice) -> tuple[PaymentRecord, AdviceRecord, bool] | None:
        """Write the advice down under a name, and whether it was before; None if there is nothing (more) to tell."""
        name = self._name()
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
                self._for_a_person(transaction, advice.reference, advice.kind.name, "unknown here")
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
        record = replace(record, name=self._name(payment.name.terminal))
        with self._store.transaction() as transaction:
            known = records.find_advice(transaction, advice.reference)
            if known is not None:  # a third process was quicker; the bank books what has two names twice
                return None if known.code else (payment, known, True)
            records.keep_advice(transaction, advice.reference, record)
        return payment, record, False

    def _advice(self, payment: PaymentRecord, record: AdviceRecord) -> Message:
        fields = self._common(payment, record.name) | {38: payment.approval}
        about, kind = record.about, record.kind
        if kind in (AdviceKind.CAPTURE.name, AdviceKind.CREDIT.name):
            asked = original_data("0100", about.stan, about.sent, self._config.acquirer)
            processing = "000000" if kind == AdviceKind.CAPTURE.name else "200000"
            more = {3: processing, 4: f"{record.amount:012d}", 18: self._config.category, 22: "810", 90: asked}
            return Message("0220", fields | more)
        if kind == AdviceKind.REVERSAL.name:
            asked = original_data("0100", about.stan, about.sent, self._config.acquirer)
            more = {3: "000000", 39: _CANCELLED, 90: asked}
            return Message("0420", fields | more | ({95: replacement(record.amount)} if record.amount else {}))
        booked = original_data("0220", about.stan, about.sent, self._config.acquirer)
        processing = "000000" if kind == AdviceKind.CAPTURE_REVERSAL.name else "200000"
        more = {3: processing, 4: f"{record.amount:012d}", 39: _CANCELLED, 90: booked}
        return Message("0420", fields | more)

    def _taken(self, reference: bytes, record: AdviceRecord, answer: Message) -> None:
        """The bank has answered: an advice is never told again after that."""
        self._tries.pop(reference, None)
        code = answer[39]
        with self._store.transaction() as transaction:
            known = records.find_advice(transaction, reference)
            if known is not None and known.code:
                return  # another process told the bank at the same time, and has written this down
            settled = answer.get(15) or ""
            records.keep_advice(transaction, reference, replace(record, code=code, settled=settled))
            if code != APPROVED:
                self._for_a_person(transaction, reference, record.kind, code)
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

    # --- the end of the day ---------------------------------------------------------------------

    def cutover(self, day: str) -> None:
        """The bank has begun another business day (MMDD): the totals of those before are compared, after a while in
        which what is on its way arrives."""
        with self._store.transaction() as transaction:
            records.begin_business_day(transaction, day)
        _LOG.info("business day %s", day)
        self._compare_at = time.monotonic() + self._config.retries[-1]

    def _compare_totals(self) -> None:
        """``reconcile`` every day that is over, when nothing is on its way; what does not agree is for a person."""
        if time.monotonic() < self._compare_at:
            return
        self._compare_at = time.monotonic() + self._config.retries[-1]
        with self._store.transaction() as transaction:
            today = records.business_day(transaction)
            over = [day for day in records.open_days(transaction) if today not in (None, day)]
        if self._tries:
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
                    self._for_a_person(transaction, day.encode(), "totals of a day", ", ".join(missing))

    def reconcile(self, merchant: str, currency: int, day: str) -> list[str]:
        """Compare the totals of a settlement date (MMDD) with the bank's (0500); nothing if they agree.

        If not, every advice of that day is repeated, and the retrieval references of those that the bank does not
        confirm are returned; ["?"] if it confirms all and has others that are not known here.  NoReply as ``advise``.
        """
        connection = self._signed_on()
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
        now = self._clock()
        head = {7: f"{now:%m%d%H%M%S}", 11: self._stan(), 15: day, 32: self._config.acquirer, 50: f"{currency:03d}"}
        totals = totals_fields((kind, *told) for kind, told in sums.items())
        request = Message("0500", head | {42: f"{merchant:<15}", 41: self._config.terminal} | totals)
        if connection.ask(request, self._config.timeout).get(66) == "1":
            return []
        missing = []
        for payment, record in ours:
            message = self._advice(payment, record).repeated()
            if connection.ask(message, self._config.timeout)[39] != APPROVED:
                missing.append(payment.rrn)
        return missing or ["?"]


def _booked(transaction: Transaction, day: str) -> Iterator[tuple[PaymentRecord, AdviceRecord]]:
    """What the bank has booked on a day, with the payments that it is about."""
    for reference in records.booked(transaction, day):
        record = records.find_advice(transaction, reference)
        payment = None if record is None else records.find_payment(transaction, record.authorization)
        if record is not None and payment is not None:
            yield payment, record


def _is_attempt(transaction: Transaction, reference: bytes, payment: PaymentRecord, *states: State) -> bool:
    """Whether the payment is still the attempt that it was, in one of these states."""
    now = records.find_payment(transaction, reference)
    return now is not None and now.name == payment.name and now.state in states


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
