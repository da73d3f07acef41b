"""What the roles rely on in every store: MemoryStore, SQLite, PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from setproto.roles.ports import Store
from setproto.store.sql import SQLStore
from tests.store.conftest import Opener
from tests.store.counting import count, encode, increment

ROOT = Path(__file__).parents[2]


class Interrupted(Exception):
    """What goes wrong in a transaction."""


def read(store: Store, table: str, key: bytes) -> bytes | None:
    with store.transaction() as transaction:
        return transaction.get(table, key)


def write(store: Store, table: str, key: bytes, value: bytes) -> None:
    with store.transaction() as transaction:
        transaction.put(table, key, value)


def interrupted(store: Store, failure: type[BaseException], **values: bytes) -> None:
    with store.transaction() as transaction:
        for key, value in values.items():
            transaction.put("orders", key.encode(), value)
        raise failure


# --- one transaction after the other ------------------------------------------------------------


def test_nothing_is_none(open_store: Opener) -> None:
    assert read(open_store(), "orders", b"key") is None


@pytest.mark.parametrize(
    "value",
    [b"", b"\x00", bytes(range(256)), b"\x00" * 70_000, bytes(1_000_000)],
    ids=["empty", "zero", "all octets", "70 kB", "1 MB"],
)
def test_octets_come_back(open_store: Opener, value: bytes) -> None:
    store = open_store()
    write(store, "orders", b"\x00key\xff", value)
    found = read(store, "orders", b"\x00key\xff")
    assert found == value
    assert type(found) is bytes


def test_empty_key(open_store: Opener) -> None:
    store = open_store()
    write(store, "orders", b"", b"value")
    assert read(store, "orders", b"") == b"value"


def test_last_put_counts(open_store: Opener) -> None:
    store = open_store()
    for value in (b"one", b"two", b"two", b"one"):
        write(store, "orders", b"key", value)
        assert read(store, "orders", b"key") == value


def test_tables_and_keys_are_separate(open_store: Opener) -> None:
    store = open_store()
    places = [("orders", b"a"), ("orders", b"ab"), ("orders", b"A"), ("ordersa", b"b"), ("orders", b"a\x00")]
    for number, (table, key) in enumerate(places):
        write(store, table, key, encode(number))
    for number, (table, key) in enumerate(places):
        assert read(store, table, key) == encode(number)


def test_spaces_are_separate(open_store: Opener) -> None:
    one, other = open_store("one"), open_store("other")
    write(one, "orders", b"key", b"of one")
    assert read(other, "orders", b"key") is None
    write(other, "orders", b"key", b"of the other")
    assert read(one, "orders", b"key") == b"of one"
    assert one.dump() == {("orders", b"key"): b"of one"}  # type: ignore[attr-defined]


def test_dump_is_everything(open_store: Opener) -> None:
    store = open_store()
    write(store, "orders", b"1", b"a")
    write(store, "answers", b"2", b"b")
    write(store, "orders", b"1", b"c")
    assert store.dump() == {("orders", b"1"): b"c", ("answers", b"2"): b"b"}  # type: ignore[attr-defined]


def test_a_transaction_reads_what_it_put(open_store: Opener) -> None:
    store = open_store()
    write(store, "orders", b"key", b"old")
    with store.transaction() as transaction:
        transaction.put("orders", b"key", b"new")
        transaction.put("orders", b"other", b"")
        assert transaction.get("orders", b"key") == b"new"
        assert transaction.get("orders", b"other") == b""


def test_items_are_all_of_one_table_in_the_order_of_their_keys(open_store: Opener) -> None:
    store = open_store()
    keys = [b"", b"\x00", b"\x00\x00", b"\x01", b"A", b"a", b"ab", b"b", b"\x7f", b"\x80", b"\xff", b"\xff\x00"]
    for key in reversed(keys):
        write(store, "orders", key, b"of " + key)
    write(store, "ordersa", b"key", b"of another table")
    with store.transaction() as transaction:
        assert list(transaction.items("orders")) == [(key, b"of " + key) for key in keys]
        assert list(transaction.items("nothing")) == []
        assert all(type(key) is bytes and type(value) is bytes for key, value in transaction.items("orders"))


def test_items_of_a_long_table_and_of_this_transaction(open_store: Opener) -> None:
    store, numbers = open_store(), range(600)  # more than is read at a time
    with store.transaction() as transaction:
        for number in numbers:
            transaction.put("orders", encode(number), b"old")
    with store.transaction() as transaction:
        transaction.put("orders", encode(300), b"new")
        for key, _ in transaction.items("orders"):  # and writing does not disturb the reading
            transaction.put("orders", key, key)
        transaction.put("orders", encode(600), encode(600))
        assert list(transaction.items("orders")) == [(encode(number), encode(number)) for number in range(601)]


# --- all or nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Interrupted, KeyboardInterrupt, GeneratorExit])
def test_an_exception_leaves_everything_as_it_was(open_store: Opener, failure: type[BaseException]) -> None:
    store = open_store()
    write(store, "orders", b"kept", b"before")
    with pytest.raises(failure):
        interrupted(store, failure, kept=b"after", new=b"value")
    assert store.dump() == {("orders", b"kept"): b"before"}  # type: ignore[attr-defined]
    write(store, "orders", b"kept", b"later")  # and the store is not blocked
    assert read(store, "orders", b"kept") == b"later"


def test_durable_after_reopening(open_store: Opener) -> None:
    store = open_store()
    write(store, "orders", b"key", b"value")
    with pytest.raises(Interrupted):
        interrupted(store, Interrupted, lost=b"value")
    if isinstance(store, SQLStore):
        store.close()
    again = open_store()
    assert again.dump() == {("orders", b"key"): b"value"}  # type: ignore[attr-defined]


# --- several at a time --------------------------------------------------------------------------


def test_no_update_of_a_thread_is_lost(open_store: Opener) -> None:
    store = open_store()
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(increment, store, 25) for _ in range(4)]:
            future.result()
    assert count(read(store, "counters", b"n")) == 100


def test_no_update_through_another_object_is_lost(open_store: Opener) -> None:
    stores = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(increment, store, 25) for store in stores]:
            future.result()
    assert count(read(stores[0], "counters", b"n")) == 100


def test_nothing_is_seen_before_the_commit(open_store: Opener) -> None:
    """Whoever reads during a transaction sees all of it or nothing: here, two places that are always equal."""
    store = open_store()
    done = threading.Event()

    def read_all() -> list[tuple[bytes | None, bytes | None]]:
        seen = []
        while not done.is_set():
            with store.transaction() as transaction:
                seen.append((transaction.get("orders", b"left"), transaction.get("orders", b"right")))
            time.sleep(0.001)
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read_all)
        for number in range(20):
            with store.transaction() as transaction:
                transaction.put("orders", b"left", encode(number))
                time.sleep(0.001)
                transaction.put("orders", b"right", encode(number))
            time.sleep(0.001)
        done.set()
        seen = reader.result()
    assert seen
    assert [pair for pair in seen if pair[0] != pair[1]] == []


def test_no_update_of_a_process_is_lost(url: str, open_sql: Callable[..., SQLStore]) -> None:
    """The processes open the new database at the same moment, so that its making is contended too."""
    processes, times, start = 4, 50, time.time() + 2.0
    command = [sys.executable, "-W", "error", "-m", "tests.store.counting", url, str(times), str(start)]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(processes)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert said == [""] * processes
    assert count(read(open_sql(), "counters", b"n")) == processes * times
