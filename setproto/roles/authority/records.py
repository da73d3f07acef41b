"""What a CA remembers of a registration.

No account data is kept in the clear: a request that waits is kept as it came, sealed to the CA's own key-exchange key,
and opened again when it is decided.  Nonce-CCA is not kept at all: it is derived from a key of the CA (``issuing``).
"""

from __future__ import annotations

import enum
from typing import Annotated

from pki.der import Implicit, decode, encode, sequence, value_set
from setproto.errors import ErrorCode, ProtocolError
from setproto.messages.codes import CertStatusCode, RequestType
from setproto.messages.common import PartyID
from setproto.messages.registration import RegField, RegFormOrReferral
from setproto.roles.ports import Transaction
from setproto.roles.table import TransitionTable

REGISTRATIONS = "registrations"
"""LID-CA → Registration."""
ACCOUNTS = "accounts"
"""Thumbprint of a cardholder's certificate → tag of its account."""
CLAIMED_KEYS = "claimed_keys"
"""SHA-256 of a key that waits for its certificate → LID-CA."""


@value_set(int)
class State(enum.IntEnum):
    """Where a registration stands."""

    ASKED = 1
    FORM_SENT = 2
    REFERRED = 3
    PENDING = 4
    COMPLETE = 5
    REFUSED = 6


class Signal(enum.Enum):
    """What moves it."""

    FORM = "there is a form for this"
    REFER = "there is none"
    WAIT = "the bank has not decided"
    APPROVE = "approved, certificates issued"
    REFUSE = "refused"


TABLE = TransitionTable(
    "registration at the CA",
    State.ASKED,
    {
        (State.ASKED, Signal.FORM): State.FORM_SENT,
        (State.ASKED, Signal.REFER): State.REFERRED,
        (State.FORM_SENT, Signal.WAIT): State.PENDING,
        (State.FORM_SENT, Signal.APPROVE): State.COMPLETE,
        (State.FORM_SENT, Signal.REFUSE): State.REFUSED,
        (State.PENDING, Signal.WAIT): State.PENDING,
        (State.PENDING, Signal.APPROVE): State.COMPLETE,
        (State.PENDING, Signal.REFUSE): State.REFUSED,
    },
)


@sequence
class Request:
    """The latest CertReq that was signed as it should be, sealed as it came, and what became of it."""

    sender: PartyID
    rrpid: bytes
    body: bytes
    public_key_s: Annotated[bytes | None, Implicit(0)] = None
    status: CertStatusCode
    ee_message: Annotated[str | None, Implicit(1)] = None
    certificates: Annotated[list[bytes] | None, Implicit(2)] = None


@sequence
class Registration:
    """One registration."""

    state: State
    lid_ee: bytes
    lid_ca: bytes
    chall_ca: bytes
    request_type: RequestType
    form: RegFormOrReferral
    acct_data_field: Annotated[RegField | None, Implicit(0)] = None
    account_tag: Annotated[bytes | None, Implicit(1)] = None
    """A keyed hash of the PAN for which the form was sent."""
    name: Annotated[str | None, Implicit(2)] = None
    """The name for which a merchant or gateway got the form."""
    public_key_e: Annotated[bytes | None, Implicit(3)] = None
    key_challenge: Annotated[bytes | None, Implicit(4)] = None
    tries: int
    """How often the form came back filled in wrongly."""
    request: Annotated[Request | None, Implicit(5)] = None


def keep(transaction: Transaction, record: Registration) -> None:
    """Store a registration."""
    transaction.put(REGISTRATIONS, record.lid_ca, encode(record))


def find(transaction: Transaction, lid_ca: bytes, lid_ee: bytes) -> Registration:
    """The registration with these labels.  ProtocolError (unknownLID) if there is none."""
    stored = transaction.get(REGISTRATIONS, lid_ca)
    if stored is None:
        raise ProtocolError("no such registration", code=ErrorCode.unknownLID)
    record = decode(Registration, stored)
    if record.lid_ee != lid_ee:
        raise ProtocolError("a registration of somebody else", code=ErrorCode.unknownLID)
    return record
