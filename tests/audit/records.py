"""Records to be audited: of a market in which everybody keeps one; and somebody who writes a record anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from pki.der import encode, replace
from setproto.audit import Audited, audit, evidence
from setproto.market import Market
from setproto.messages.common import Role
from setproto.messages.wrapper import unwrap
from setproto.roles import journal, recording
from setproto.roles.journal import ENTRIES, Entry, Head, JournalDamaged
from setproto.roles.recording import Handled, MessageRecord
from setproto.store import MemoryStore
from tests.roles.scenes import Scene, restore, snapshot, whole

Row = tuple[Entry, Handled]
Contents = dict[tuple[str, bytes], bytes]


@cache
def _story(suite: str) -> Scene:
    return whole(Market.open(suite, journal=True), goes_on=True)


def story(suite: str = "p256") -> Scene:
    """A purchase with everything that can be done with it, recorded by everybody.  Shared: nobody goes on with it."""
    return _story(suite)


def store_of(contents: Contents) -> MemoryStore:
    """A store with a copy of these contents."""
    store = MemoryStore()
    restore(store, contents)
    return store


def record_of(role: Role, suite: str = "p256") -> MemoryStore:
    """A copy of what this party stored in ``story``."""
    return store_of(snapshot(story(suite).market.stores[role]))


def roots(market: Market | None = None) -> tuple[bytes, ...]:
    """The trusted root of a market."""
    return (market or story().market).cardholder.validator.roots


def audited(store: MemoryStore, trusted: Iterable[bytes] | None = None, noted: Head | None = None) -> Audited:
    with store.transaction() as transaction:
        return audit(transaction, roots() if trusted is None else trusted, noted)


def rows(store: MemoryStore) -> list[Row]:
    """Every entry with what it says."""
    with store.transaction() as transaction:
        return [(entry, recording.read(entry)) for entry in journal.read(transaction)]


def written_anew(store: MemoryStore, changed: Iterable[Row]) -> MemoryStore:
    """The same store with these entries in place of its own, with good hashes and a good head."""
    contents = {key: value for key, value in snapshot(store).items() if key[0] not in (ENTRIES, journal.HEAD)}
    fresh = store_of(contents)
    with fresh.transaction() as transaction:
        for entry, handled in changed:
            journal.append(transaction, entry.at, entry.what, encode(handled))
    return fresh


def with_wire(row: Row, change: Callable[[bytes], bytes], number: int = 0) -> Row:
    """The entry with one of its messages changed."""
    entry, handled = row
    messages = list(handled.messages)
    messages[number] = MessageRecord(sent=messages[number].sent, wire=change(messages[number].wire))
    return entry, replace(handled, messages=messages)


def names(handled: Handled) -> list[tuple[bool, str]]:
    """Sent or received, and which message."""
    found = []
    for message in handled.messages:
        kind = unwrap(message.wire).type
        assert kind is not None
        found.append((message.sent, kind.name))
    return found


def flipped(octets: bytes, at: int, bit: int = 0) -> bytes:
    """The octets with one bit of one of them turned over."""
    at %= len(octets)
    return octets[:at] + bytes((octets[at] ^ 1 << bit,)) + octets[at + 1 :]


def damaged_at(store: MemoryStore) -> int:
    """The entry that an audit names.  AssertionError if it finds nothing."""
    try:
        audited(store)
    except JournalDamaged as failure:
        return failure.number
    raise AssertionError("the audit found nothing")


@cache
def evidence_of(role: Role, suite: str = "p256") -> evidence.Evidence:
    """The file that this party makes of ``story``."""
    scene = story(suite)
    xid = scene.xid
    with scene.market.stores[role].transaction() as transaction:
        return evidence.export(transaction, xid)


@cache
def later() -> tuple[bytes, dict[Role, Contents]]:
    """A second purchase by the parties of ``story``: its XID, and what they would hold then."""
    market = story().market
    before = {role: snapshot(store) for role, store in market.stores.items()}
    scene = whole(market, "EUR 7.00")
    xid, after = scene.xid, {role: snapshot(store) for role, store in market.stores.items()}
    for role, store in market.stores.items():
        restore(store, before[role])
    return xid, after


@cache
def later_evidence_of(role: Role) -> evidence.Evidence:
    """The file that this party makes of ``later``."""
    xid, stored = later()
    with store_of(stored[role]).transaction() as transaction:
        return evidence.export(transaction, xid)
