"""What a party records of everything that it received, sent and decided, so that others can check it later.

One entry of the ``journal`` per transaction, written in that transaction.  A message is recorded *without its seal*:
what was sealed to this party, or by it, is there as it was signed, so that the record can be verified by whoever has
the root certificate and no private key.  What was sealed to somebody else stays sealed: payment instructions, account
data, tokens.  So no record holds card data.  The sealed messages of a registration stay as they came, too: inside are
keys and nonces of which a cardholder's secrets are made.

A message that repeats another, or is refused, is named by its digest and length only: strangers must not fill the disk
with octets of their choice.  With the messages goes what their signatures were judged by: CA certificates, CRLs and the
BrandCRLIdentifier, once for each set of them.

Sources: architecture section 3.5; set-protocol.md section 9 (OT-4, PX-8); docs/adr/0014.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final

from pki.der import DecodingFailure, Implicit, decode, encode, replace, sequence
from setproto.errors import UsageError
from setproto.messages.common import PartyID
from setproto.messages.payment import EncB
from setproto.messages.registry import Operator
from setproto.messages.wrapper import Wire, rewrapped
from setproto.roles import journal
from setproto.roles.ports import Event, EventKind, Outgoing, Reply, Transaction

if TYPE_CHECKING:
    from setproto.roles.party import Party

KNOWN: Final = "journal_known"
"""Table of the digests of what was recorded as known."""
REFUSED: Final = "refused"
"""What an entry about a refused message is called."""
MAX_ENTRY: Final = 1 << 26
"""Octets of an entry's data at most: CRLs can be large."""
_MAX_DETAIL: Final = 256
"""Characters of what was decided: some of it quotes the peer."""


@sequence
class MessageRecord:
    """A message without its seal: the wrapper as it travelled, around the body as it was signed."""

    sent: bool
    wire: bytes


@sequence
class Unkept:
    """A message that is not kept: the SHA-256 of its octets, and how many there were."""

    digest: bytes
    length: int


@sequence
class Decision:
    """What a party concluded: the name of an ``EventKind`` and what goes with it.  Nobody's signature is on it."""

    kind: str
    xid: Annotated[bytes | None, Implicit(0)] = None
    code: Annotated[str | None, Implicit(1)] = None
    detail: str


@sequence
class Knowledge:
    """What certificates were judged by: those held of CAs and peers, and revocation data; DER, public."""

    certificates: list[bytes]
    crls: list[bytes]
    bci: Annotated[bytes | None, Implicit(0)] = None


@sequence
class Handled:
    """The data of one entry.  ``knowledge`` is there where it is another than in all entries before."""

    party: PartyID
    knowledge: Annotated[Knowledge | None, Implicit(0)] = None
    messages: list[MessageRecord]
    unkept: Annotated[Unkept | None, Implicit(1)] = None
    decisions: list[Decision]


def read(entry: journal.Entry) -> Handled:
    """What an entry says.  JournalDamaged if it cannot be read."""
    try:
        return decode(Handled, entry.data, limit=MAX_ENTRY)
    except DecodingFailure:
        raise journal.JournalDamaged(entry.number, "cannot be read") from None


class Recorder:
    """Writes the record of one party."""

    def __init__(self, party: Party) -> None:
        self._party = party
        self._known: tuple[object, bytes, Knowledge] | None = None
        """What the following two were made from, a digest, and what is known."""

    def handled(self, transaction: Transaction, data: bytes, wire: Wire, reply: Reply) -> None:
        """Write down a message that was processed, what was concluded from it, and what was sent because of it."""
        if wire.type is None:
            raise UsageError("an Error is not processed")
        if any(event.kind is EventKind.REPEATED for event in reply.events):
            self._append(transaction, wire.type.name, [], reply.events, data)
            return
        received = MessageRecord(sent=False, wire=_without_seal(data, wire))
        self._append(transaction, wire.type.name, [received, *_evidence(*reply.outgoing)], reply.events)

    def began(self, transaction: Transaction, outgoing: Outgoing) -> None:
        """Write down a message with which this party begins something, or asks again."""
        self._append(transaction, outgoing.name, _evidence(outgoing), ())

    def declined(self, data: bytes, reply: Reply, what: str) -> None:
        """Write down, in a transaction of its own, that a message changed nothing: it was refused, or is an Error."""
        with self._party.store.transaction() as transaction:
            self._append(transaction, what, [], reply.events, data)

    def _append(
        self,
        transaction: Transaction,
        what: str,
        messages: list[MessageRecord],
        events: tuple[Event, ...],
        unkept: bytes | None = None,
    ) -> None:
        digest, knowledge = self._knows()
        # Looked for each time, in the same transaction: what it finds may yet be rolled back, so it is not remembered.
        is_new = transaction.get(KNOWN, digest) is None
        if is_new:
            transaction.put(KNOWN, digest, b"")
        handled = Handled(
            party=self._party.party,
            knowledge=knowledge if is_new else None,
            messages=messages,
            unkept=None if unkept is None else Unkept(digest=hashlib.sha256(unkept).digest(), length=len(unkept)),
            decisions=[_decision(event) for event in events],
        )
        journal.append(transaction, self._party.clock(), what, encode(handled))

    def _knows(self) -> tuple[bytes, Knowledge]:
        validator = self._party.validator
        of = (validator.generation, validator.known, validator.roots, self._party.held)
        if self._known is None or self._known[0] != of:
            revocation = validator.revocation(self._party.party.brand)
            held = (*validator.roots, *validator.known, *self._party.held, *self._party.own_certificates)
            knowledge = Knowledge(
                certificates=list(dict.fromkeys(held)), crls=list(revocation.crls), bci=revocation.bci
            )
            self._known = (of, hashlib.sha256(encode(knowledge)).digest(), knowledge)
        return self._known[1:]


def _without_seal(data: bytes, wire: Wire) -> bytes:
    """A message that was received, as it was signed."""
    if not wire.unsealed or wire.type is None:
        return data
    (signed,) = wire.unsealed
    if wire.type.operator is Operator.ENCB:
        signed = encode(replace(decode(EncB, wire.body), enc=signed))
    return rewrapped(data, signed)


def _evidence(*outgoing: Outgoing) -> list[MessageRecord]:
    """What was sent, where it was made just now; what is sent again was recorded the first time."""
    return [MessageRecord(sent=True, wire=one.evidence) for one in outgoing if one.evidence is not None]


def _decision(event: Event) -> Decision:
    return Decision(
        kind=event.kind.name,
        xid=event.xid,
        code=None if event.code is None else event.code.name,
        detail=event.detail[:_MAX_DETAIL],
    )
