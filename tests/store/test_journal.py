"""The log: it grows, and whatever else is done to it shows.  On every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pki.der import encode
from setproto.roles import journal
from setproto.roles.journal import ENTRIES, HEAD, START, Entry, Head, JournalDamaged
from setproto.roles.ports import Store
from tests.store.conftest import Opener

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def grown(store: Store, entries: int = 5) -> Store:
    for number in range(1, entries + 1):
        with store.transaction() as transaction:
            journal.append(transaction, NOW + timedelta(days=number), "order", b"data %d" % number)
    return store


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def change(store: Store, table: str, name: bytes, value: bytes | None) -> None:
    """Behind the log's back.  None removes, which no transaction can: it is done where the store keeps things."""
    if value is not None:
        with store.transaction() as transaction:
            transaction.put(table, name, value)
    elif hasattr(store, "_tables"):
        del store._tables[table, name]
    else:
        with store._engine.begin() as connection:  # type: ignore[attr-defined]
            statement = "DELETE FROM setproto_entries WHERE name = %s AND key = %s"
            place = "%s" if connection.dialect.name == "postgresql" else "?"
            connection.exec_driver_sql(statement.replace("%s", place), (table, name))


def verify(store: Store) -> Head:
    with store.transaction() as transaction:
        return journal.verify(transaction)


def test_it_holds_what_was_written(open_store: Opener) -> None:
    store = grown(open_store(), 300)
    with store.transaction() as transaction:
        entries = list(journal.read(transaction))
    assert [entry.number for entry in entries] == list(range(1, 301))
    assert [entry.data for entry in entries] == [b"data %d" % number for number in range(1, 301)]
    assert entries[0].at == NOW + timedelta(days=1)
    assert entries[0].what == "order"
    assert entries[0].previous == START
    assert len({entry.hash for entry in entries}) == 300
    assert verify(store) == Head(count=300, last=entries[-1].hash)
    assert str(verify(store)) == f"300:{entries[-1].hash.hex()}"


def test_an_empty_one_is_whole(open_store: Opener) -> None:
    assert verify(open_store()) == Head(count=0, last=START)


def interrupted(store: Store) -> None:
    with store.transaction() as transaction:
        journal.append(transaction, NOW, "order", b"")
        raise ZeroDivisionError


def test_it_is_written_with_what_it_tells_or_not_at_all(open_store: Opener) -> None:
    store = grown(open_store())
    before = store.dump()  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        interrupted(store)
    assert store.dump() == before  # type: ignore[attr-defined]


def forged(store: Store, place: int, **changes: object) -> bytes:
    with store.transaction() as transaction:
        entry = list(journal.read(transaction))[place - 1]
    fields = {name: getattr(entry, name) for name in ("number", "time", "what", "data", "previous")}
    return encode(Entry(**(fields | changes)))


@pytest.mark.parametrize("field", ["time", "what", "data", "previous"])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_altered_entry_shows(open_store: Opener, number: int, field: str) -> None:
    store = grown(open_store())
    other = {"time": journal.general_time(NOW), "what": "nothing", "data": b"other", "previous": bytes([1]) * 32}
    change(store, ENTRIES, key(number), forged(store, number, **{field: other[field]}))
    with pytest.raises(JournalDamaged, match=r"entry \d") as caught:
        verify(store)
    # An altered link shows where it is, or as the fault of the entry that it should lead to.
    assert caught.value.number in ({number, max(number - 1, 1)} if field == "previous" else {number})


def test_a_renumbered_entry_shows(open_store: Opener) -> None:
    store = grown(open_store())
    change(store, ENTRIES, key(2), forged(store, 2, number=7))
    with pytest.raises(JournalDamaged, match="entry 2 is numbered 7"):
        verify(store)


def test_entries_that_changed_places_show(open_store: Opener) -> None:
    store = grown(open_store())
    third, fourth = forged(store, 3), forged(store, 4)
    change(store, ENTRIES, key(3), fourth)
    change(store, ENTRIES, key(4), third)
    with pytest.raises(JournalDamaged, match="entry 3 is numbered 4"):
        verify(store)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_missing_entry_shows(open_store: Opener, number: int) -> None:
    store = grown(open_store())
    change(store, ENTRIES, key(number), None)
    with pytest.raises(JournalDamaged, match=f"entry {number} is missing"):
        verify(store)


def test_octets_that_are_no_entry_show(open_store: Opener) -> None:
    store = grown(open_store())
    change(store, ENTRIES, key(2), b"\x30\x00")
    with pytest.raises(JournalDamaged, match="entry 2 cannot be read"):
        verify(store)


def test_an_entry_beyond_the_head_shows_and_is_not_written_over(open_store: Opener) -> None:
    store = grown(open_store())
    with store.transaction() as transaction:
        end = journal.head(transaction).last
    extra = forged(store, 5, number=6, previous=end)
    change(store, ENTRIES, key(6), extra)
    with pytest.raises(JournalDamaged, match="entry 6 comes after the recorded end"):
        verify(store)
    with pytest.raises(JournalDamaged, match="entry 6"):
        grown(store, 1)
    with store.transaction() as transaction:
        assert transaction.get(ENTRIES, key(6)) == extra


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (None, "entry 1 comes after the recorded end"),
        (b"", "the record of its end cannot be read"),
        (encode(Head(count=4, last=bytes(32))), "entry 5 comes after the recorded end"),
        (encode(Head(count=6, last=bytes(32))), "entry 6 is missing"),
        (encode(Head(count=5, last=bytes(32))), "entry 5 is not the recorded end"),
    ],
    ids=["gone", "unreadable", "too few", "too many", "another hash"],
)
def test_a_wrong_head_shows(open_store: Opener, head: bytes | None, fault: str) -> None:
    store = grown(open_store())
    change(store, HEAD, b"head", head)
    with pytest.raises(JournalDamaged, match=fault):
        verify(store)


def test_cutting_off_the_end_and_the_head_with_it_does_not_show_here(open_store: Opener) -> None:
    """As the module says: this takes a head that was noted elsewhere."""
    store = grown(open_store())
    noted = verify(store)
    fourth = forged(store, 4)
    change(store, ENTRIES, key(5), None)
    change(store, HEAD, b"head", encode(Head(count=4, last=journal.digest("JournalEntry", fourth))))
    assert verify(store) != noted
