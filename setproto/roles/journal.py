"""A log that can only grow: every entry carries the hash of the one before.

It lies in the store of whoever keeps it and is written in the transaction that does what it tells, so that nothing is
done without being told and nothing told without being done.  Whoever alters, removes or reorders entries breaks the
chain of hashes, and ``verify`` names the entry.

The chain has no key: whoever can write the database can also write the log anew, or cut entries off at its end and
adjust the head.  The log alone cannot show that.  So note ``head`` elsewhere from time to time, on paper or with
somebody else; a log that still leads to a head noted earlier has kept everything up to it.

Sources: architecture sections 3.5 and 3.10; the chain is that of Haber and Stornetta, How to time-stamp a digital
document (1991), section 5.1; hashes are framed with a label (docs/adr/0008).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pki.der import DecodingFailure, GeneralizedTime, decode, encode, general_time, sequence
from setproto.crypto.digests import DIGEST_SIZE, digest
from setproto.errors import UsageError
from setproto.roles.ports import Transaction

ENTRIES: Final = "journal"
HEAD: Final = "journal_head"
START: Final = bytes(DIGEST_SIZE)
"""What stands for the hash of an entry before the first."""
_HEAD_KEY: Final = b"head"


class JournalDamaged(UsageError):
    """The log is not as it was written.  ``number``: the first entry that is wrong or missing; 0 for the head."""

    def __init__(self, number: int, fault: str) -> None:
        super().__init__(f"the log is damaged: entry {number} {fault}" if number else f"the log is damaged: {fault}")
        self.number = number


@sequence
class Entry:
    """One thing that was done.  ``number`` counts from 1; ``what`` says it in words, ``data`` in octets."""

    number: int
    time: GeneralizedTime
    what: str
    data: bytes
    previous: bytes

    @property
    def at(self) -> datetime:
        """When it was done, in UTC, to the second."""
        return self.time.as_datetime()

    @property
    def hash(self) -> bytes:
        """What the next entry carries as ``previous``: 32 octets."""
        return digest("JournalEntry", encode(self))


@sequence
class Head:
    """How many entries there are, and the hash of the last one."""

    count: int
    last: bytes

    def __str__(self) -> str:
        return f"{self.count}:{self.last.hex()}"


def append(transaction: Transaction, at: datetime, what: str, data: bytes) -> Entry:
    """Write down that something was done at the aware time ``at``.

    JournalDamaged rather than writing over an entry that is there already.
    """
    before = head(transaction)
    entry = Entry(number=before.count + 1, time=general_time(at), what=what, data=data, previous=before.last)
    if transaction.get(ENTRIES, _key(entry.number)) is not None:
        raise JournalDamaged(entry.number, "comes after the recorded end")
    transaction.put(ENTRIES, _key(entry.number), encode(entry))
    transaction.put(HEAD, _HEAD_KEY, encode(Head(count=entry.number, last=entry.hash)))
    return entry


def head(transaction: Transaction) -> Head:
    """The end of the log as recorded, to be noted elsewhere.  JournalDamaged if the record cannot be read."""
    stored = transaction.get(HEAD, _HEAD_KEY)
    try:
        return Head(count=0, last=START) if stored is None else decode(Head, stored)
    except DecodingFailure:
        raise JournalDamaged(0, "the record of its end cannot be read") from None


def read(transaction: Transaction, noted: Head | None = None) -> Iterator[Entry]:
    """Every entry, the oldest first.  ``noted``: a head that was noted elsewhere, to which the log must still lead.

    JournalDamaged where one was altered, removed, moved or cut off.  An entry is proved by the one after it, and the
    last by the head: only when all have been read without an error are all of them as they were written.
    """
    end, last, number = head(transaction), START, 0
    if noted is not None and noted.count > end.count:
        raise JournalDamaged(end.count + 1, "is missing: a later head was noted")
    for number, (key, stored) in enumerate(transaction.items(ENTRIES), 1):
        if key != _key(number):
            raise JournalDamaged(number, "is missing")
        try:
            entry = decode(Entry, stored)
        except DecodingFailure:
            raise JournalDamaged(number, "cannot be read") from None
        if entry.number != number:
            raise JournalDamaged(number, f"is numbered {entry.number}")
        if entry.previous != last:
            # Either may be the altered one; what the later one says of the earlier one is taken for true.
            raise JournalDamaged(max(number - 1, 1), "is not the one that the next follows from")
        if number > end.count:
            raise JournalDamaged(number, "comes after the recorded end")
        last = entry.hash
        if noted is not None and noted.count == number and noted.last != last:
            raise JournalDamaged(number, "is not the one to which the head leads that was noted")
        yield entry
    if number < end.count:
        raise JournalDamaged(number + 1, "is missing")
    if last != end.last:
        raise JournalDamaged(number, "is not the recorded end")


def verify(transaction: Transaction) -> Head:
    """Read all of it; the head, if nothing is wrong.  JournalDamaged as for ``read``."""
    for _ in read(transaction):
        pass
    return head(transaction)


def head_from(text: str) -> Head:
    """A head as ``str`` writes it.  UsageError for anything else."""
    count, _, last = text.partition(":")
    if not (count.isdecimal() and len(last) == 2 * DIGEST_SIZE and set(last.lower()) <= set("0123456789abcdef")):
        raise UsageError(f"{text!r} is no head of a log: it is a number, a colon and 64 hexadecimal digits")
    return Head(count=int(count), last=bytes.fromhex(last))


def _key(number: int) -> bytes:
    # Of one length, so that the order of the keys is that of the numbers.
    return number.to_bytes(8, "big")
