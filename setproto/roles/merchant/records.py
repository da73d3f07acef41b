"""What a merchant remembers: orders, purchases with their operations, requests to the gateway.  No card data."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from pki.der import Default, Implicit, decode, encode, replace, sequence, value_set
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, ProtocolError, UsageError
from setproto.messages.batch import BatchStatus
from setproto.messages.codes import AuthCode, CapCode, CapRevOrCredCode
from setproto.messages.common import Date, InstallRecurData, PartyID, TransIDs
from setproto.messages.payment import AuthToken
from setproto.roles.operations import LIVE, OpState
from setproto.roles.ports import Transaction
from setproto.roles.remembered import Remembered
from setproto.roles.table import TransitionTable

ORDERS = "orders"
PURCHASES = "purchases"
REQUESTS = "requests"
WAITING = "waiting"
_WAITS, _ANSWERED = b"\x01", b""
MEMBERS = "batch_members"
PURGED = "purged"
CERT_PE = "cert_pe"
BATCHES = "batches"


@value_set(int)
class State(enum.IntEnum):
    """Where the order of a purchase stands; what follows are operations with states of their own."""

    INITIALISED = 1
    REJECTED = 2
    ORDERED = 3


class Signal(enum.Enum):
    """What moves it."""

    ORDER = "PReq for the order that was agreed"
    OTHER_ORDER = "PReq for another order"


TABLE = TransitionTable(
    "merchant",
    State.INITIALISED,
    {
        (State.INITIALISED, Signal.ORDER): State.ORDERED,
        (State.INITIALISED, Signal.OTHER_ORDER): State.REJECTED,
    },
)


@sequence
class OrderRecord:
    """What the shop and the customer agreed on, outside this protocol, and how the shop wants its money."""

    lid_m: bytes
    description: bytes
    amount: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    first_amount: Annotated[CurrencyAmount | None, Implicit(1)] = None
    """Authorise this much at first: the goods go in several shipments, or the money comes in instalments."""
    capture_now: Annotated[bool, Default(False)] = False
    """A sale: authorise and capture in one request."""
    xid: Annotated[bytes | None, Implicit(2)] = None
    """The purchase that pays for it: one at a time (PU-15)."""


@sequence
class OrderedRecord:
    """What the cardholder signed for the merchant."""

    cardholder: PartyID
    certificate: bytes
    rrpid: bytes
    chall_c: bytes
    content: bytes
    hoi_data: bytes
    hod: bytes


@sequence
class CreditRecord:
    """Money given back."""

    number: int
    state: OpState
    amount: CurrencyAmount
    date: Date
    code: CapRevOrCredCode | None = None
    batch_id: Annotated[int | None, Implicit(0)] = None
    batch_sequence_num: Annotated[int | None, Implicit(1)] = None


@sequence
class CaptureRecord:
    """Money taken, and what was given back of it."""

    number: int
    state: OpState
    amount: CurrencyAmount
    date: Date
    code: CapCode | None = None
    batch_id: Annotated[int | None, Implicit(0)] = None
    batch_sequence_num: Annotated[int | None, Implicit(1)] = None
    credits: list[CreditRecord]

    def having(self, credit: CreditRecord) -> CaptureRecord:
        """With this credit added, or put in the place of the one with its number."""
        return replace(self, credits=_with(self.credits, credit))


@sequence
class AuthorizationRecord:
    """Money held, and what was taken of it."""

    number: int
    auth_rrpid: bytes
    state: OpState
    amount: CurrencyAmount
    date: Date
    code: AuthCode | None = None
    cap_token: Annotated[bytes | None, Implicit(0)] = None
    captures: list[CaptureRecord]

    def having(self, capture: CaptureRecord) -> AuthorizationRecord:
        """With this capture added, or put in the place of the one with its number."""
        return replace(self, captures=_with(self.captures, capture))


@sequence
class PurchaseRecord:
    """Everything the merchant knows about a purchase."""

    state: State
    trans_ids: TransIDs
    chall_m: bytes
    ordered: Annotated[OrderedRecord | None, Implicit(0)] = None
    purch_amt: Annotated[CurrencyAmount | None, Implicit(1)] = None
    authorizations: list[AuthorizationRecord]
    auth_token: Annotated[AuthToken | None, Implicit(2)] = None
    acq_card_msg: Annotated[bytes | None, Implicit(3)] = None
    outstanding: Annotated[bytes | None, Implicit(4)] = None
    """RRPID of the request that waits for its answer: one at a time."""

    def having(self, authorization: AuthorizationRecord) -> PurchaseRecord:
        """With this authorisation added, or put in the place of the one with its number."""
        return replace(self, authorizations=_with(self.authorizations, authorization))

    @property
    def has_failed(self) -> bool:
        """Whether nothing came of it, so that the order may be paid by another purchase, say with another card."""
        if self.state is State.REJECTED:
            return True
        ended = (OpState.REFUSED, OpState.REVERSED, OpState.GIVEN_UP)
        return self.state is State.ORDERED and all(a.state in ended for a in self.authorizations)


@sequence
class Target:
    """Which operation a request is about: authorisation, capture, credit, by number, as far as it goes."""

    authorization: int
    capture: Annotated[int | None, Implicit(0)] = None
    credit: Annotated[int | None, Implicit(1)] = None


@sequence
class RequestRecord:
    """A request to the gateway, as it was sent, and what its answer must hash."""

    tag: int
    name: str
    rrpid: bytes
    content: bytes
    body: bytes
    sent: Date
    request: bytes
    """The message; its baggage is in there, in the clear."""
    amount: Annotated[CurrencyAmount | None, Implicit(0)] = None
    xid: Annotated[bytes | None, Implicit(1)] = None
    target: Annotated[Target | None, Implicit(2)] = None
    batch_id: Annotated[int | None, Implicit(3)] = None
    operation: Annotated[int | None, Implicit(4)] = None


@sequence
class Member:
    """What is in a place of a batch: for when the batch is purged."""

    xid: bytes
    target: Target


class Numbered(Protocol):
    """An operation that has a number."""

    @property
    def number(self) -> int:
        """Counted from 1."""

    @property
    def state(self) -> OpState:
        """Where it stands."""


N = TypeVar("N", bound=Numbered)


def _with(operations: Sequence[N], changed: N) -> list[N]:
    """The operations with the one of that number replaced, or the new one added."""
    others = (operation for operation in operations if operation.number != changed.number)
    return sorted([*others, changed], key=lambda operation: operation.number)


def numbered(operations: Sequence[N], number: int | None) -> N:
    """The operation with this number.  UsageError if there is none."""
    for operation in operations:
        if operation.number == number:
            return operation
    raise UsageError("no such operation")


def granted(operations: Sequence[N], number: int | None) -> N:
    """The operation with this number, or without one the latest that counts.  UsageError if it does not stand."""
    if number is not None:
        found = numbered(operations, number)
    else:
        live = [operation for operation in operations if operation.state in LIVE]
        if not live:
            raise UsageError("no such operation")
        found = live[-1]
    if found.state is not OpState.GRANTED:
        raise UsageError("no such operation")
    return found


# --- tables -------------------------------------------------------------------------------------

_ORDER = Remembered(OrderRecord)
_PURCHASE = Remembered(PurchaseRecord)
_REQUEST = Remembered(RequestRecord)


def order(transaction: Transaction, lid_m: bytes) -> OrderRecord:
    """The order.  ProtocolError (unknownLID) if there is none."""
    stored = transaction.get(ORDERS, lid_m)
    if stored is None:
        raise ProtocolError("no such order", code=ErrorCode.unknownLID)
    return _ORDER.decode(stored)


def purchase(transaction: Transaction, xid: bytes) -> PurchaseRecord:
    """The purchase.  UsageError if there is none."""
    stored = transaction.get(PURCHASES, xid)
    if stored is None:
        raise UsageError("no such purchase")
    return _PURCHASE.decode(stored)


def request(transaction: Transaction, rrpid: bytes) -> RequestRecord:
    """The request that was sent.  ProtocolError (unknownRRPID) if there is none."""
    stored = transaction.get(REQUESTS, rrpid)
    if stored is None:
        raise ProtocolError("no such request is outstanding", code=ErrorCode.unknownRRPID)
    return _REQUEST.decode(stored)


def keep(transaction: Transaction, record: PurchaseRecord) -> None:
    """Store the purchase."""
    transaction.put(PURCHASES, record.trans_ids.xid, _PURCHASE.encode(record))


def keep_order(transaction: Transaction, record: OrderRecord) -> None:
    """Store the order."""
    transaction.put(ORDERS, record.lid_m, _ORDER.encode(record))


def keep_request(transaction: Transaction, record: RequestRecord) -> None:
    """Store the request."""
    transaction.put(REQUESTS, record.rrpid, _REQUEST.encode(record))


def batch_status(transaction: Transaction, batch_id: int) -> BatchStatus | None:
    """A batch as the gateway described it last, if it did."""
    stored = transaction.get(BATCHES, encode(batch_id))
    return None if stored is None else decode(BatchStatus, stored)


def keep_batch_status(transaction: Transaction, batch_id: int, status: BatchStatus) -> None:
    """Store it (§4.15)."""
    transaction.put(BATCHES, encode(batch_id), encode(status))


def add_request(transaction: Transaction, record: RequestRecord) -> None:
    """Store a new request, which waits for its answer."""
    keep_request(transaction, record)
    transaction.put(WAITING, record.rrpid, _WAITS)


def mark_answered(transaction: Transaction, rrpid: bytes) -> None:
    """The request waits no longer.  In a place of its own: a request is large."""
    transaction.put(WAITING, rrpid, _ANSWERED)


def is_waiting(transaction: Transaction, rrpid: bytes) -> bool:
    """Whether the request was not answered yet."""
    return transaction.get(WAITING, rrpid) == _WAITS


def waiting(transaction: Transaction) -> set[bytes]:
    """RRPIDs of all requests that were not answered yet."""
    return {rrpid for rrpid, stands in transaction.items(WAITING) if stands == _WAITS}


def member_key(batch_id: int, number: int) -> bytes:
    """Where a member of a batch is stored, and as number 0 how many there are."""
    return encode(batch_id) + number.to_bytes(8, "big")


def purged_below(transaction: Transaction, batch_id: int) -> int:
    """Items of the batch below this BatchSequenceNum were purged."""
    return int.from_bytes(transaction.get(PURGED, encode(batch_id)) or b"", "big")


def keep_purged(transaction: Transaction, batch_id: int, below: int) -> None:
    """Store it; it never goes back."""
    if below > purged_below(transaction, batch_id):
        transaction.put(PURGED, encode(batch_id), below.to_bytes(8, "big"))
