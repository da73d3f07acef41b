"""The bank: issuer and acquirer behind one ISO 8583 message handler, on a double-entry ledger.

A simulator that a real processor can replace: the gateway knows it by its wire only.  One message is one transaction,
with its answer stored in it (L5), so a message that comes again changes nothing and gets the same answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pki import PathValidator
from setproto.bank import settlement, statements
from setproto.bank.booking import AMOUNT_ERROR, Batch, Booking, Refused
from setproto.bank.codes import APPROVED, DUPLICATE, FORMAT_ERROR, NOT_FOUND
from setproto.bank.issuer import UNANSWERED, Issuer, Rules
from setproto.bank.ledger import HOT, STANDARD, Kind, Ledger, LedgerError, Line, Tariff, add_unless_there, total
from setproto.bank.messages import PROCESSING, BadMAC, FormatError, Message, check
from setproto.bank.tables import (
    ACCOUNTS,
    CARDS,
    ENROLMENTS,
    ENTRIES,
    MERCHANTS,
    MESSAGES,
    METADATA,
    PAYMENTS,
)
from setproto.bank.vault import CardVault
from setproto.card import PAN, Card, CardExpiry, CardSecret
from setproto.crypto.digests import equal
from setproto.errors import UsageError
from setproto.messages.statement import Statement
from setproto.roles.ports import Clock
from setproto.store.sql import StoreError, open_engine

FUNCTION_NOT_SUPPORTED: Final = "40"
INVALID_MERCHANT: Final = "03"
"""Without an account in the currency of the payment: it could not be captured."""
UNKNOWN_CARD: Final = "no such card at this bank"
NO_PART: Final = "12"
"""A sale is reversed whole."""
# Statements of every message, made once: making them costs more than the database does.
_STORED: Final = select(MESSAGES).where(MESSAGES.c.key == bindparam("of"))
_STORE: Final = insert(MESSAGES)
_ENTRY: Final = (
    select(ENTRIES, PAYMENTS.c.origin.label("payment_origin")).join(PAYMENTS).where(ENTRIES.c.origin == bindparam("of"))
)
_ATTEMPTS: Final = 4
_LOCK: Final = 0x62616E6B
"""Of the schema, on PostgreSQL."""


@dataclass(frozen=True)
class BankConfig:
    """Who the bank is and what it keeps secret."""

    name: str
    vault_key: bytes = field(repr=False)
    """32 octets: what hides card numbers in the database."""
    acquirer: str = "123456"
    """DE 32 of the gateways it serves."""
    rules: Rules = field(default_factory=Rules)
    brand: str = ""
    """Of the certificates under statement requests."""
    late: float = 5.0
    """Seconds after which a scripted card's xx.68 is answered."""


class Bank:
    """Safe for several threads, and on PostgreSQL for several processes."""

    def __init__(
        self,
        engine_url: str,
        config: BankConfig,
        *,
        clock: Clock,
        validator: PathValidator | None = None,
        tariffs: Iterable[Tariff] = STANDARD,
    ) -> None:
        """``validator`` is for the certificates of who wants statements.  StoreError if the database cannot be used."""
        self.config = config
        self.clock = clock
        self.vault = CardVault(config.vault_key)
        self.ledger = Ledger()
        self._booking = Booking(self.ledger)
        self._issuer = Issuer(self.vault, config.rules)
        self._validator = validator
        try:
            self.engine = open_engine(engine_url)
            # SQLite has one writer at a time, and does not wake who waits for it but lets him look again and again.
            self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else nullcontext()
            with self.engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                METADATA.create_all(connection)
                for tariff in tariffs:
                    self.ledger.add_tariff(connection, tariff)
                self.ledger.load_tariffs(connection)
        except SQLAlchemyError as failure:
            raise StoreError(f"the database cannot be used: {type(failure).__name__}") from None

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock().timestamp())

    # --- customers ------------------------------------------------------------------------------

    def open_card(
        self,
        pan: PAN,
        expiry: CardExpiry,
        balance: int,
        currency: int = 978,
        *,
        holder: str = "",
        credit_line: int = 0,
        product: str = "debit",
        scripted: bool = False,
        electronic: bool = True,
        limit_payment: int | None = None,
        limit_day: int | None = None,
        limit_count: int | None = None,
    ) -> None:
        """A card on an account of its own with ``balance`` minor units paid in; once, however often it is called.

        ``scripted``: the last two digits of an amount are its response code (bank.md §6), for tests.
        """
        handle = self.vault.handle(pan.reveal())
        with self.engine.begin() as connection:
            if connection.execute(select(CARDS.c.id).where(CARDS.c.handle == handle)).scalar() is not None:
                return
            self._open_books(connection, currency)
            owner = handle[:32]
            self.ledger.open_account(connection, Kind.DEPOSIT, currency, owner, minimum=-credit_line)
            account = self._account(connection, Kind.DEPOSIT, currency, owner)
            row = {
                "handle": handle,
                "sealed": self.vault.seal_card(pan, expiry, holder),
                "last_four": pan.last_four(),
                "account_id": account,
                "product": product,
                "status": APPROVED,
                "scripted": scripted,
                "electronic": electronic,
                "limit_payment": limit_payment,
                "limit_day": limit_day,
                "limit_count": limit_count,
            }
            if not add_unless_there(connection, CARDS, row) or not balance:
                return
            lines = [
                Line(account, -balance),
                Line(self._account(connection, Kind.ISSUER_CASH, currency), balance),
            ]
            self.ledger.post(connection, f"open:{owner}", "deposit", self.now(), lines)
            connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account).values(balance=-balance))

    def _account(self, connection: Connection, kind: Kind, currency: int, owner: str = "") -> int:
        # Without the ledger's memory: what is opened in this transaction may yet be rolled back.
        return Ledger().account(connection, kind, currency, owner)

    def _open_books(self, connection: Connection, currency: int) -> None:
        for kind in HOT:
            self.ledger.open_account(connection, kind, currency)

    def open_merchant(self, merchant: str, name: str, currencies: Iterable[int] = (978,)) -> None:
        """A merchant of this acquirer, once.  UsageError if its id does not fit into DE 42."""
        if not 1 <= len(merchant) <= 15 or not merchant.isascii() or not merchant.isprintable():
            raise UsageError("a merchant id has 1 to 15 ASCII characters here")
        with self.engine.begin() as connection:
            add_unless_there(connection, MERCHANTS, {"id": merchant, "name": name})
            for currency in currencies:
                self._open_books(connection, currency)
                self.ledger.open_account(connection, Kind.MERCHANT_PAYABLE, currency, merchant)
                self.ledger.open_account(connection, Kind.MERCHANT_CASH, currency, merchant)

    def enrol(self, pan: PAN, card_secret: CardSecret, cardholder: str) -> None:
        """Take note of a certificate for a card: its subject's name, and the secret that makes TransStains.

        A card may have several.  The same again changes nothing; UsageError if the bank did not issue the card.
        """
        with self.engine.begin() as connection:
            card = self._card(connection, pan)
            if card is None:
                raise UsageError(UNKNOWN_CARD)
            sealed = self.vault.seal(card_secret.reveal(), cardholder)
            add_unless_there(connection, ENROLMENTS, {"card_id": card.id, "cardholder": cardholder, "sealed": sealed})

    def verify_card(self, card: Card, name: str = "") -> bool:
        """Whether the bank issued this card with this expiry, to somebody of this name, and it is good.

        Asked before it is certified.  A card that was opened without a holder's name is anybody's."""
        with self.engine.begin() as connection:
            found = self._card(connection, card.pan)
        if found is None:
            return False
        _, expiry, holder = self.vault.open_card(found.sealed)
        good: bool = found.status == APPROVED and expiry == card.expiry
        if holder and holder.casefold().split() != name.casefold().split():
            return False
        return good and not expiry.reveal() < self.clock().strftime("%Y%m")

    def block(self, pan: PAN, code: str) -> None:
        """From now on the card answers with this response code: 41 lost, 43 stolen, 62 restricted …; 00 again good.

        UsageError if the bank did not issue it."""
        with self.engine.begin() as connection:
            card = self._card(connection, pan)
            if card is None:
                raise UsageError(UNKNOWN_CARD)
            connection.execute(update(CARDS).where(CARDS.c.id == card.id).values(status=code))

    def _card(self, connection: Connection, pan: PAN) -> Any:
        handle = self.vault.handle(pan.reveal())
        return connection.execute(select(CARDS).where(CARDS.c.handle == handle)).one_or_none()

    def available(self, pan: PAN) -> int:
        """What can be spent with a card, in minor units.  UsageError if the bank did not issue it."""
        with self.engine.begin() as connection:
            card = self._card(connection, pan)
            if card is None:
                raise UsageError(UNKNOWN_CARD)
            row = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == card.account_id)).one()
        return int(-row.balance - row.held - row.minimum)

    def balance(self, kind: Kind, currency: int = 978, owner: str = "") -> int:
        """The balance of an account of the bank in minor units, summed from its postings; debit positive."""
        with self.engine.begin() as connection:
            return total(connection, self.ledger.account(connection, kind, currency, owner))

    # --- messages -------------------------------------------------------------------------------

    def handle(self, request: Message) -> Message | None:
        """The answer to a request, an advice or a network message: the same whenever the same comes again.

        None if there is none: what is malformed beyond an answer, or a scripted card that does not answer.
        """
        try:
            check(request)
        except FormatError as refused:
            return self.refuse(refused)
        if request.mti[1] == "8":
            return request.response(APPROVED)
        fingerprint = self._fingerprint(request)
        for _ in range(_ATTEMPTS - 1):
            # An IntegrityError is the same message, or one about the same payment, that was handled at the same time:
            # what it did can be read now.
            with suppress(IntegrityError), self._turn, self.engine.begin() as connection:
                return self._once(connection, request, fingerprint)
        with self._turn, self.engine.begin() as connection:
            return self._once(connection, request, fingerprint)

    def refuse(self, refused: FormatError) -> Message | None:
        """The answer to what is no proper message: 30, or 63 for its MAC, if enough of it could be read."""
        message = refused.message
        if message is None or not {7, 11, 32} <= message.fields.keys() or message.mti[2] not in "02":
            return None
        answer = message.response("63" if isinstance(refused, BadMAC) else FORMAT_ERROR)
        try:
            check(answer)
        except FormatError:
            return None
        return answer

    def lateness(self, request: Message) -> float:
        """Seconds by which the host is to delay its answer: a scripted card's xx.68 (bank.md §6), else none."""
        if request.mti[1] not in "12" or request[4][-2:] != "68":
            return 0.0
        with self.engine.begin() as connection:
            handle = self.vault.handle(request[2])
            scripted = connection.execute(select(CARDS.c.scripted).where(CARDS.c.handle == handle)).scalar()
        return self.config.late if scripted else 0.0

    def _fingerprint(self, request: Message) -> bytes:
        content = json.dumps([request.first_mti, sorted(request.fields.items())])
        return self.vault.fingerprint(content.encode())

    def _stored(self, connection: Connection, key: str) -> Any:
        return connection.execute(_STORED, {"of": key}).one_or_none()

    def _once(self, connection: Connection, request: Message, fingerprint: bytes) -> Message | None:
        stored = self._stored(connection, request.key)
        if stored is not None:
            if stored.answer is None or not equal(stored.fingerprint, fingerprint):
                return request.response(DUPLICATE)
            mti, fields = json.loads(stored.answer)
            return Message(mti, {int(number): value for number, value in fields.items()})
        try:
            if request[32] != self.config.acquirer:
                raise Refused("63")
            answer = self._ACTS[request.first_mti](self, connection, request)
        except Refused as refused:
            if refused.code == UNANSWERED:
                return None
            answer = request.response(refused.code)
        self._store(connection, request.key, fingerprint, answer)
        return answer

    def _store(self, connection: Connection, key: str, fingerprint: bytes, answer: Message | None) -> None:
        told = None if answer is None else json.dumps([answer.mti, dict(answer.fields)])
        row = {"key": key, "fingerprint": fingerprint, "answer": told, "at": self.now()}
        connection.execute(_STORE, row)

    def _authorise(self, connection: Connection, request: Message) -> Message:
        act = PROCESSING.get(request[3][:2])
        if act == "balance":
            return self._balance(connection, request)
        if act != "purchase":
            raise Refused(FUNCTION_NOT_SUPPORTED)
        try:
            self.ledger.account(connection, Kind.MERCHANT_PAYABLE, int(request[49]), request[42].strip())
        except LedgerError:
            raise Refused(INVALID_MERCHANT) from None
        decided = self._issuer.authorise(connection, request, self.now(), self.clock().strftime("%Y%m"))
        if decided.approval is None:
            return request.response(decided.code)
        more = {"de38": decided.approval}
        if request.first_mti == "0200":
            payment = self._booking.payment(connection, request.key)
            batch = self._booking.capture(connection, payment, request.key, int(request[4]), self.now())
            more["de15"] = _settlement_date(batch)
        return request.response(decided.code, **more)

    def _balance(self, connection: Connection, request: Message) -> Message:
        card = self._issuer.card(connection, request[2])
        row = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == card.account_id)).one()
        available = -row.balance - row.held - row.minimum
        sign = "C" if available >= 0 else "D"
        return request.response(APPROVED, de54=f"0002{row.currency:03d}{sign}{abs(available):012d}")

    def _advised(self, connection: Connection, request: Message) -> Message:
        """0220: a capture or a refund of an authorisation that is named by DE 90."""
        act = PROCESSING.get(request[3][:2])
        if act not in ("purchase", "refund"):
            raise Refused(FUNCTION_NOT_SUPPORTED)
        payment = self._booking.payment(connection, request.original)
        self._must_match(payment, request)
        if payment.state == "REVERSED" or payment.approval != request[38].strip():
            raise Refused(NOT_FOUND)
        book = self._booking.capture if act == "purchase" else self._booking.refund
        batch = book(connection, payment, request.key, int(request[4]), self.now())
        return request.response(APPROVED, de15=_settlement_date(batch))

    def _must_match(self, payment: Any, request: Message) -> None:
        """The message is about this payment in every respect, or about nothing (B5)."""
        if payment is None or payment.code != APPROVED:
            raise Refused(NOT_FOUND)
        about = (payment.rrn, payment.merchant_id, payment.currency)
        told = (request[37], request[42].strip(), int(request[49]))
        if about != told or not equal(payment.handle.encode(), self.vault.handle(request[2]).encode()):
            raise Refused(NOT_FOUND)

    def _reverse(self, connection: Connection, request: Message) -> Message:
        """0420: of an authorisation (whole or part, DE 95), a sale, a capture or a refund."""
        if self._stored(connection, request.original) is None:
            # It may yet arrive, on another line: then it must not be carried out.
            self._store(connection, request.original, b"", None)
            return request.response(NOT_FOUND)
        payment = self._booking.payment(connection, request.original)
        key, at = request.key, self.now()
        if payment is not None:
            if payment.code != APPROVED:
                return request.response(APPROVED)  # a decline: there is nothing to take back
            self._must_match(payment, request)
            sale = self._entry(connection, request.original)
            if sale is not None and payment.state != "REVERSED":
                if request.get(95) is not None:
                    raise Refused(NO_PART)
                self._booking.reverse_entry(connection, sale, payment, key, at)
                payment = self._booking.payment(connection, request.original)
            stands = request.get(95)
            self._booking.reverse(connection, payment, 0 if stands is None else int(stands[:12]))
            return request.response(APPROVED)
        entry = self._entry(connection, request.original)
        if entry is None:
            return request.response(NOT_FOUND)
        payment = self._booking.payment(connection, entry.payment_origin)
        self._must_match(payment, request)
        if int(request[4]) != entry.amount:
            raise Refused(AMOUNT_ERROR)
        batch = self._booking.reverse_entry(connection, entry, payment, key, at)
        return request.response(APPROVED, de15=_settlement_date(batch))

    def _entry(self, connection: Connection, key: str) -> Any:
        return connection.execute(_ENTRY, {"of": key}).one_or_none()

    def _reconcile(self, connection: Connection, request: Message) -> Message:
        return settlement.reconcile(connection, request)

    _ACTS: Final[dict[str, Callable[[Bank, Connection, Message], Message]]] = {
        "0100": _authorise,
        "0200": _authorise,
        "0220": _advised,
        "0420": _reverse,
        "0500": _reconcile,
    }

    # --- the day --------------------------------------------------------------------------------

    def close_day(self) -> list[settlement.Report]:
        """Cut-over: release old holds, close every open batch, settle with the scheme, pay the merchants out."""
        with self.engine.begin() as connection:
            self._booking.expire(connection, self.now())
        # Another transaction: accounts first and batches then is the other way round than captures lock them.
        with self.engine.begin() as connection:
            return settlement.close_batches(connection, self.ledger, self.now())

    def chargeback(self, rrn: str, amount: int, reason: str) -> int:
        """The cardholder disputes a payment: the number of the case.  UsageError if it cannot be charged back."""
        with self.engine.begin() as connection:
            return settlement.chargeback(connection, self.ledger, rrn, amount, reason, self.now())

    def settle_case(self, case: int, *, accepted: bool) -> None:
        """The merchant accepts the chargeback and pays with a fee, or represents it and the cardholder pays after all.

        UsageError if there is no such open case."""
        with self.engine.begin() as connection:
            settlement.settle_case(connection, self.ledger, case, accepted=accepted, at=self.now())

    def charge_fee(self, kind: str, ref: str, owner: PAN | str, currency: int = 978, amount: int = 0) -> int:
        """A fee from the table (T88, T89, T91) to a cardholder or merchant; what it came to.  Once per ``ref``.

        ``amount``, of which the fee may be a part, and the result are in minor units.  UsageError if the bank did not
        issue the card; LedgerError if there is no such merchant or fee.
        """
        with self.engine.begin() as connection:
            tariff = self.ledger.tariff(kind, self.now())
            fee = tariff.fee(amount)
            if isinstance(owner, PAN):
                card = self._card(connection, owner)
                if card is None:
                    raise UsageError(UNKNOWN_CARD)
                payer, income = card.account_id, Kind.FEE_INCOME
            else:
                payer = self.ledger.account(connection, Kind.MERCHANT_PAYABLE, currency, owner)
                income = Kind.NETWORK_INCOME
            settlement.charge(
                connection,
                self.ledger,
                f"fee:{ref}",
                f"{kind} fee",
                payer,
                income,
                currency,
                fee,
                tariff.id,
                self.now(),
            )
            return fee

    def audit(self) -> list[str]:
        """Everything that is wrong with the books; nothing if they are right (B1, B2)."""
        with self.engine.begin() as connection:
            return settlement.audit(connection)

    # --- statements -----------------------------------------------------------------------------

    def statement(self, cardholder: str, since: datetime) -> Statement:
        """What happened on the account of a certificate's subject.  UsageError if the bank does not know it."""
        with self.engine.begin() as connection:
            return statements.statement(connection, cardholder, since)

    def answer_statement(self, octets: bytes) -> bytes:
        """The DER of a StatementAnswer to a signed StatementRequest (``setproto.bank.statements``).

        SetError if it is not in order; UsageError if this bank has no validator for certificates."""
        if self._validator is None:
            raise UsageError("this bank has no validator for certificates")
        return statements.answer(
            self.engine, self.config.name, self.config.brand, self._validator, octets, self.clock()
        )


def _settlement_date(batch: Batch) -> str:
    return f"{batch.day % 10_000:04d}"
