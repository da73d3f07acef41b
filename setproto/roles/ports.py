"""What a role asks of the world outside, and what it hands back.  Nothing here has a default that weakens a check."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from setproto.amounts import CurrencyAmount
from setproto.card import Card
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role

Clock = Callable[[], datetime]
"""The current time, aware."""
RandomBytes = Callable[[int], bytes]
"""That many fresh random octets; ``os.urandom`` in earnest."""


class Transaction(Protocol):
    """A unit of work: everything put in it becomes durable together, or nothing does."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value, or None."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set or replace the value."""

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value, ascending by key.  What is put meanwhile may be among them or not."""


class Store(Protocol):
    """Where a role keeps its state: tables of octet strings.  Values are DER, so they can be inspected."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commits on leaving the block, rolls back on an exception."""


@dataclass(frozen=True)
class Outgoing:
    """A message to be delivered: to a role, or, where that could not be made out, back to whoever sent."""

    to: Role | None
    name: str
    data: bytes
    evidence: bytes | None = field(default=None, compare=False)
    """The message without its seal, for the sender's own record: neither delivered nor shown."""
    rrpid: bytes | None = field(default=None, compare=False)
    """Of a request, by which it is sent again; None where it has to be looked up in the message."""

    def __repr__(self) -> str:
        to = "the sender" if self.to is None else self.to.name
        return f"<Outgoing {self.name} to {to}, {len(self.data)} octets>"


class EventKind(enum.Enum):
    """What a role tells its owner."""

    MERCHANT_SHOWN = "the merchant is proved genuine"
    ORDER_RECEIVED = "an order arrived"
    AUTHORIZATION = "the gateway answered an authorisation"
    REVERSAL = "a reversal of an authorisation was answered"
    CAPTURE = "a capture was answered"
    CAPTURE_REVERSAL = "a reversal of a capture was answered"
    CREDIT = "a credit was answered"
    CREDIT_REVERSAL = "a reversal of a credit was answered"
    BATCH = "a batch was opened, closed, purged or looked at"
    CERTIFICATES = "the gateway named its certificates"
    MESSAGE = "the acquirer has a message for the cardholder"
    RESULT = "the merchant answered the purchase"
    CA_SHOWN = "the certification authority is proved genuine"
    FORM = "a registration form, or a referral, came"
    CERTIFICATION = "a request for certificates was answered"
    REFUSED = "a message was refused"
    ERROR_RECEIVED = "the peer sent an Error"
    REPEATED = "a repeated request got its first answer"


@dataclass(frozen=True)
class Event:
    """Something that happened.  Holds no card data."""

    kind: EventKind
    xid: bytes | None = None
    code: enum.IntEnum | None = None
    """From ``setproto.errors`` or ``setproto.messages.codes``."""
    detail: str = ""


@dataclass(frozen=True)
class Reply:
    """What comes out of handling one message."""

    outgoing: tuple[Outgoing, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class AuthorizationRequest:
    """What a gateway asks the issuer through the card network."""

    reference: bytes
    """Identifies the authorisation: asked again with the same reference, the issuer answers the same; asked something
    else under it, it does not answer."""
    card: Card
    amount: CurrencyAmount
    merchant_id: str
    xid: bytes
    trans_stain: bytes


@dataclass(frozen=True)
class AuthorizationDecision:
    """The issuer's answer."""

    code: AuthCode
    approval_code: str | None = None


class AdviceKind(enum.Enum):
    """What a bank is told: it has happened already and is accepted, however often it is repeated (bank.md §1)."""

    REVERSAL = "an authorisation now stands for this amount; 0 cancels it"
    CAPTURE = "this much is taken of an authorisation"
    CAPTURE_REVERSAL = "a capture is taken back, whole"
    CREDIT = "this much is given back of a capture"
    CREDIT_REVERSAL = "a credit is taken back, whole"


@dataclass(frozen=True)
class Advice:
    """Told to the bank.  Idempotent by ``reference``."""

    kind: AdviceKind
    reference: bytes
    """Names this advice, for ever."""
    authorization: bytes
    """The reference of the authorisation that it is about."""
    amount: CurrencyAmount


class NoReply(Exception):
    """The bank did not answer.  What it was asked or told may have reached it or not; asking again is harmless."""


class Issuer(Protocol):
    """The bank side as the gateway sees it; a real card network can take its place.

    Both methods are idempotent by reference, may raise NoReply, and are called by several threads at once, outside
    the gateway's transactions.  Should what ``authorize`` answers not be committed, the merchant's repetition asks the
    same again.  ``advise`` is told what has been committed, and told again until it does not raise.
    """

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """Decide, and hold the money if approved."""

    def advise(self, advice: Advice) -> None:
        """Take note of what has happened."""
