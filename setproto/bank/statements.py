"""Account statements, for whoever shows a certificate that the bank enrolled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, select

from pki import CertificateError, PathValidator, ValidatedCertificate
from pki.der import encode, general_time
from setproto.amounts import CURRENCIES, CurrencyAmount
from setproto.bank.codes import APPROVED
from setproto.bank.ledger import add_unless_there
from setproto.bank.tables import ACCOUNTS, CARDS, ENROLMENTS, JOURNALS, NONCES, PAYMENTS, POSTINGS
from setproto.crypto.cms import verify
from setproto.errors import ErrorCode, ProtocolError, UsageError, WrongRecipient
from setproto.messages.common import Role
from setproto.messages.statement import (
    FRESHNESS,
    ID_STATEMENT_REQUEST,
    Statement,
    StatementAnswer,
    StatementLine,
    StatementRequest,
)
from setproto.roles.credentials import SIGNATURE_KINDS, party_of
from setproto.roles.party import decoded, refused

MAX_LINES: Final = 500
"""Of a statement: the newest; an answer is read in one piece."""


def money(amount: int, currency: int) -> CurrencyAmount:
    """Minor units as an amount."""
    return CurrencyAmount(currency=currency, amount=amount, amt_exp10=-minor_digits(currency))


def minor_digits(currency: int) -> int:
    """Decimals of a currency (ISO 4217); two for one that is not in the table."""
    return CURRENCIES.get(currency, ("", 2))[1]


def statement(connection: Connection, cardholder: str, since: datetime) -> Statement:
    """The account behind a certificate's subject name.  UsageError if the bank has not enrolled it."""
    query = (
        select(CARDS.c.id, CARDS.c.last_four, ACCOUNTS)
        .join(ACCOUNTS, ACCOUNTS.c.id == CARDS.c.account_id)
        .join(ENROLMENTS, ENROLMENTS.c.card_id == CARDS.c.id)
        .where(ENROLMENTS.c.cardholder == cardholder)
    )
    card = connection.execute(query).one_or_none()
    if card is None:
        raise UsageError("this bank has no such cardholder")
    account, currency, start = card.id_1, card.currency, int(since.timestamp())
    lines = [*_booked(connection, account, currency, start), *_pending(connection, card.id, currency, start)]
    available = -card.balance - card.held - card.minimum
    return Statement(
        card=card.last_four,
        balance=money(abs(card.balance), currency),
        overdrawn=card.balance > 0,
        held=money(card.held, currency),
        available=money(max(0, available), currency),
        lines=sorted(lines, key=lambda line: line.date.as_datetime())[-MAX_LINES:],
    )


def _booked(connection: Connection, account: int, currency: int, start: int) -> list[StatementLine]:
    query = (
        select(
            JOURNALS.c.at, JOURNALS.c.kind, POSTINGS.c.amount, PAYMENTS.c.merchant_id, PAYMENTS.c.rrn, PAYMENTS.c.xid
        )
        .join(JOURNALS, JOURNALS.c.id == POSTINGS.c.journal_id)
        .outerjoin(PAYMENTS, PAYMENTS.c.id == JOURNALS.c.payment_id)
        .where(POSTINGS.c.account_id == account, JOURNALS.c.at >= start)
        .order_by(JOURNALS.c.id.desc())
        .limit(MAX_LINES)
    )
    return [_line(row, row.kind, row.amount, currency) for row in reversed(connection.execute(query).all())]


def _pending(connection: Connection, card: int, currency: int, start: int) -> list[StatementLine]:
    """What is held and not captured, and what was declined, with the reason that the merchant is not told (T63)."""
    columns = PAYMENTS.c
    told = columns.open & (columns.amount > columns.captured) | (columns.code != APPROVED)
    query = select(PAYMENTS).where(columns.card_id == card, columns.at >= start, told).order_by(columns.id.desc())
    rows = connection.execute(query.limit(MAX_LINES)).all()
    return [
        _line(row, "held", row.amount - row.captured, currency)
        if row.open
        else _line(row, "declined", row.amount, row.currency, row.code)
        for row in reversed(rows)
    ]


def _line(row: Any, kind: str, amount: int, currency: int, code: str | None = None) -> StatementLine:
    return StatementLine(
        date=general_time(datetime.fromtimestamp(row.at, UTC)),
        kind=kind,
        amount=money(abs(amount), currency),
        credit=amount < 0,
        merchant=row.merchant_id or "",
        rrn=row.rrn or "",
        xid=bytes.fromhex(row.xid or ""),
        code=code,
    )


def answer(engine: Engine, bank: str, brand: str, validator: PathValidator, octets: bytes, now: datetime) -> bytes:
    """The DER of a StatementAnswer.  SetError unless a certified cardholder of this bank asks, now, and only once."""

    def certify(certificate: bytes, others: Sequence[bytes]) -> ValidatedCertificate:
        try:
            return validator.validate(
                certificate, kind=SIGNATURE_KINDS[Role.cardholder], brand=brand, at=now, extra=others
            )
        except CertificateError as refusal:
            raise refused(refusal) from None

    verified = verify(octets, content_type=ID_STATEMENT_REQUEST, certify=certify)
    request = decoded(StatementRequest, verified.content)
    if request.bank != bank:
        raise WrongRecipient("a request to another bank")
    if abs(now - request.time.as_datetime()) > timedelta(seconds=FRESHNESS):
        raise ProtocolError("the request is not of now", code=ErrorCode.messageTooOld)
    with engine.begin() as connection:
        # Whoever overheard a request must not get the answer to it.
        connection.execute(delete(NONCES).where(NONCES.c.at < int(now.timestamp()) - 2 * FRESHNESS))
        if not add_unless_there(connection, NONCES, {"nonce": request.nonce, "at": int(now.timestamp())}):
            raise ProtocolError("answered before", code=ErrorCode.challengeMismatch)
        name = party_of(verified.signer, Role.cardholder).name
        found = statement(connection, name, request.since.as_datetime())
    return encode(StatementAnswer(bank=bank, nonce=request.nonce, time=general_time(now), statement=found))
