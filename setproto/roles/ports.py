"""What a role asks of the world outside, and what it hands back.  Nothing here has a default that weakens a check."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from setproto.amounts import CurrencyAmount
from setproto.card import Card
from setproto.errors import ErrorCode
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
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


class Store(Protocol):
    """Where a role keeps its state: tables of octet strings.  Values are DER, so they can be inspected."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commits on leaving the block, rolls back on an exception."""


@dataclass(frozen=True)
class Outgoing:
    """A message to be delivered."""

    to: Role
    name: str
    data: bytes

    def __repr__(self) -> str:
        return f"<Outgoing {self.name} to {self.to.name}, {len(self.data)} octets>"


class EventKind(enum.Enum):
    """What a role tells its owner."""

    MERCHANT_SHOWN = "the merchant is proved genuine"
    ORDER_RECEIVED = "an order arrived"
    AUTHORIZATION = "the gateway answered an authorisation"
    CAPTURE = "a capture was answered"
    RESULT = "the merchant answered the purchase"
    REFUSED = "a message was refused"
    ERROR_RECEIVED = "the peer sent an Error"
    REPEATED = "a repeated request got its first answer"


@dataclass(frozen=True)
class Event:
    """Something that happened.  Holds no card data."""

    kind: EventKind
    xid: bytes | None = None
    code: ErrorCode | AuthCode | CapCode | CompletionCode | None = None
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
    """Identifies the authorisation: asked again with the same reference, the issuer answers the same."""
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


class Issuer(Protocol):
    """The bank side as the gateway sees it; a real card network can take its place."""

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """Decide.  Idempotent by ``request.reference``."""

    def capture(self, reference: bytes, amount: CurrencyAmount) -> CapCode:
        """Take the money held under an authorisation.  Idempotent by ``reference``."""
