"""A cardholder asks his bank what happened on his account, under his certificate (trade.md T14).

The request is a SignedData over :class:`StatementRequest` by the cardholder's signature certificate.  The answer is
DER without a signature of its own: it travels back on the connection on which it was asked for (TLS), and names the
request's nonce.  Neither holds a card number.
"""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import Implicit, Size, sequence
from setproto.amounts import CurrencyAmount
from setproto.messages.common import Date
from setproto.messages.oids import ARC

ID_STATEMENT_REQUEST: Final = ObjectIdentifier(f"{ARC}.0.121")
FRESHNESS: Final = 300
"""Seconds that a request's time may be off the bank's clock."""


@sequence
class StatementRequest:
    """Of whom, since when.  ``nonce``: 32 fresh octets, so that no request is answered twice."""

    bank: str
    nonce: Annotated[bytes, Size(min=32, max=32)]
    since: Date
    time: Date


@sequence
class StatementLine:
    """Something that happened on the account.

    ``kind``: "held", "capture", "refund", "declined" …; a charge has ``credit`` false.  ``rrn``, ``xid`` and
    ``merchant`` are empty where there is no payment behind it; ``code`` says why a payment was declined (bank.md §4).
    """

    date: Date
    kind: str
    amount: CurrencyAmount
    credit: bool
    merchant: str
    rrn: str
    xid: bytes
    code: Annotated[str | None, Implicit(0)] = None


@sequence
class Statement:
    """The account: what is on it, what is held, what can be spent, and what happened, oldest first.

    ``overdrawn``: ``balance`` is owed to the bank."""

    card: str
    """The last four digits."""
    balance: CurrencyAmount
    overdrawn: bool
    held: CurrencyAmount
    available: CurrencyAmount
    lines: list[StatementLine]


@sequence
class StatementAnswer:
    """What the bank says to a request."""

    bank: str
    nonce: bytes
    time: Date
    statement: Statement
