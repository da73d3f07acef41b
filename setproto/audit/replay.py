"""Reading a party's whole record again: is all of it there, and was every message in it signed by whom it names?

The chain of hashes shows what was altered, removed or moved by somebody who did not rewrite the rest; the signatures
show what nobody could rewrite.  What a party itself concluded (its decisions) is under the chain only: so note the head
of the record elsewhere, and give it to the next audit.

Sources: architecture section 3.5; set-protocol.md sections 4.1, 4.2 and 9 (OT-4, PX-8, PX-9).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from setproto.audit.witness import CLOSED, Closed, Witnessed, teach, validator_of, witness
from setproto.errors import CertificateRefused, ErrorCode, ProtocolError
from setproto.messages.common import PartyID
from setproto.messages.registry import MESSAGES, PINIT_RES, RESPONSES, TRADE
from setproto.messages.wrapper import check_date
from setproto.roles import journal, recording
from setproto.roles.credentials import label_party
from setproto.roles.ports import EventKind, Transaction

_REQUEST_OF = {response.tag: MESSAGES[tag] for tag, response in RESPONSES.items()}
_ANSWERED = {response.tag for response in RESPONSES.values()}


class RecordRefused(journal.JournalDamaged):
    """The chain of hashes is whole so far, and an entry holds what nobody signed, or what cannot have happened."""

    def __init__(self, number: int, fault: str) -> None:
        super().__init__(number, f"is refused: {fault}")


@dataclass(frozen=True)
class Audited:
    """What was read and found good."""

    head: journal.Head
    """To be noted elsewhere."""
    parties: tuple[PartyID, ...]
    """Whose record it is."""
    verified: int
    """Messages whose signatures were verified; those that nobody signs (PInitReq and the like) among them."""
    closed: int
    """Messages of registrations, of which a record can show the octets only."""
    unkept: int
    """Messages that were refused or were repetitions: digests only."""
    disbelieved: int
    """Messages that this party sent under a certificate which had been revoked: they prove nothing to anybody."""


def audit(transaction: Transaction, roots: Iterable[bytes], noted: journal.Head | None = None) -> Audited:
    """Verify a whole record with nothing but trusted roots (DER).

    ``noted``: a head that an earlier audit returned.  JournalDamaged where the chain of hashes was broken,
    RecordRefused where a signature or what was signed does not hold; both name the entry.
    """
    replay = _Replay(roots)
    for entry in journal.read(transaction, noted):
        handled = recording.read(entry)
        try:
            replay.enter(entry, handled)
        except ProtocolError as failure:
            raise RecordRefused(entry.number, str(failure)) from None
    return Audited(
        journal.head(transaction),
        tuple(replay.parties),
        replay.verified,
        replay.closed,
        replay.unkept,
        replay.disbelieved,
    )


class _Replay:
    """The record as far as it has been read."""

    def __init__(self, roots: Iterable[bytes]) -> None:
        self.validator = validator_of(roots)
        self.parties: dict[PartyID, None] = {}
        self.verified = self.closed = self.unkept = self.disbelieved = 0
        self._requests: dict[tuple[bool, PartyID | None, bytes], bytes] = {}
        """Sent or received, by whom, under which RRPID → the content."""
        self._contents: set[tuple[bool, int, bytes]] = set()
        """Sent or received, number of the message, content."""

    def enter(self, entry: journal.Entry, handled: recording.Handled) -> None:
        """One more entry."""
        self.parties[handled.party] = None
        if any(decision.kind not in EventKind.__members__ for decision in handled.decisions):
            raise ProtocolError("a decision of a kind that there is not")
        if handled.knowledge is not None:
            teach(self.validator, handled.knowledge)
        self.unkept += handled.unkept is not None
        if handled.unkept is not None and handled.messages:
            raise ProtocolError("a message that is not kept beside one that is")
        for number, message in enumerate(handled.messages):
            self._message(entry, handled.party, message, first=number == 0)

    def _message(self, entry: journal.Entry, party: PartyID, message: recording.MessageRecord, *, first: bool) -> None:
        end = {"by" if message.sent else "to": party.role}
        try:
            seen = witness(message.wire, self.validator, party.brand, **end, at=entry.at)
        except Closed:
            self.closed += 1
            return
        except CertificateRefused as refusal:
            # Whoever is revoked may not know it yet, and goes on: nobody believes it, and the record is as honest.
            # Nothing is called revoked before every signature of its chain was found good.
            if message.sent and refusal.code is ErrorCode.revokedCertificate:
                self.disbelieved += 1
                return
            raise
        if first and seen.type.name != entry.what:
            raise ProtocolError(f"called {entry.what}, and holds {seen.type.name}")
        self._check_ends(seen, party, sent=message.sent)
        is_answer = seen.type.tag in _ANSWERED
        if message.sent or not is_answer:
            check_date(seen.wire, entry.at)
        content = seen.received.digest
        if is_answer:
            self._check_answer(seen, sent=message.sent)
        else:
            key = (message.sent, seen.received.sender, seen.wire.header.rrpid or b"")
            if self._requests.setdefault(key, content) != content:
                raise ProtocolError("another message under the same RRPID")
        self._contents.add((message.sent, seen.type.tag, content))
        self.verified += 1

    @staticmethod
    def _check_ends(seen: Witnessed, party: PartyID, *, sent: bool) -> None:
        """Sent by this party, or for it.  In a registration it has another name than its certificate will have."""
        ours = (party.role, party.brand)
        named = seen.received.sender if sent else seen.recipient
        if named is None:
            return  # PInitReq and the like name nobody
        if seen.type not in TRADE:
            good = (named.role, named.brand) == ours
        elif seen.type is PINIT_RES and not sent:
            good = named == label_party(party.role, party.brand, seen.body.trans_ids.lid_c)
        else:
            good = named == party
        if not good:
            raise ProtocolError(f"neither by nor for {party}")

    def _check_answer(self, seen: Witnessed, *, sent: bool) -> None:
        """The request that an answer hashes is in the record: one received for an answer sent, and the reverse."""
        request = _REQUEST_OF[seen.type.tag]
        if request.operator in CLOSED:
            return
        if (not sent, request.tag, seen.body.request_digest) not in self._contents:
            raise ProtocolError(f"an answer to a {request.name} that is not in the record")
