"""Threads that share a database are committed together: durable before any of them hears of it, and none at the cost of
another."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from setproto.store.sql import SQLStore

PATIENCE = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLStore]:
    opened = SQLStore(f"sqlite:///{tmp_path / 'shop.db'}", "merchant")
    yield opened
    opened.close()


def add_one(store: SQLStore) -> None:
    with store.transaction() as transaction:
        now = int.from_bytes(transaction.get("t", b"sum") or b"", "big")
        transaction.put("t", b"sum", (now + 1).to_bytes(8, "big"))


def total(store: SQLStore) -> int:
    return int.from_bytes(store.dump().get(("t", b"sum"), b""), "big")


def connection_of(store: SQLStore) -> sqlite3.Connection:
    """The one connection on which all transactions of the store run."""
    with store.transaction() as transaction:
        return transaction._run.args[0]  # type: ignore[attr-defined, no-any-return]


def commits(store: SQLStore) -> list[str]:
    """What is committed from now on."""
    seen: list[str] = []
    connection_of(store).set_trace_callback(lambda statement: seen.append(statement) if "COMMIT" in statement else None)
    return seen


def wait_for(store: SQLStore, waiting: int) -> None:
    """Until that many threads wait for their turn."""
    gone = threading.Event()
    together = store._together
    assert together is not None
    for _ in range(PATIENCE * 1000):
        if together._waiting == waiting:
            return
        gone.wait(0.001)
    raise AssertionError("they do not come")


def together(store: SQLStore, first: Any, others: list[Any]) -> list[Any]:
    """Run ``first`` in a transaction that stays open until all ``others`` wait for their turn."""
    started = threading.Event()

    def begin() -> Any:
        with store.transaction() as transaction:
            started.set()
            wait_for(store, len(others))
            return first(transaction)

    def follow(act: Any) -> Any:
        with store.transaction() as transaction:
            return act(transaction)

    with ThreadPoolExecutor(len(others) + 1) as pool:
        leading = pool.submit(begin)
        assert started.wait(PATIENCE)
        following = [pool.submit(follow, act) for act in others]
        return [leading, *following]


def test_nothing_is_lost_between_threads(store: SQLStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: add_one(store), range(200)))
    assert total(store) == 200


def test_those_who_wait_are_committed_together(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setproto.store.together._AGE", float("inf"))
    seen = commits(store)
    put = [lambda t, n=n: t.put("t", bytes([n]), b"") for n in range(5)]
    for result in together(store, put[0], put[1:]):
        result.result(PATIENCE)
    assert len(store.dump()) == 5
    assert len(seen) == 1


def test_an_old_group_is_committed_whoever_waits(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setproto.store.together._AGE", -1)
    seen = commits(store)
    put = [lambda t, n=n: t.put("t", bytes([n]), b"") for n in range(5)]
    for result in together(store, put[0], put[1:]):
        result.result(PATIENCE)
    assert len(seen) == 5


def test_one_that_fails_takes_nothing_of_the_others_with_it(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setproto.store.together._AGE", float("inf"))

    def fail(transaction: Any) -> None:
        transaction.put("t", b"bad", b"")
        raise ValueError("no")

    def good(transaction: Any) -> None:
        assert transaction.get("t", b"bad") is None
        transaction.put("t", b"good", b"")

    leading, following = together(store, fail, [good])
    with pytest.raises(ValueError, match="no"):
        leading.result(PATIENCE)
    following.result(PATIENCE)
    leading, following = together(store, good, [fail])
    leading.result(PATIENCE)
    with pytest.raises(ValueError, match="no"):
        following.result(PATIENCE)
    assert set(store.dump()) == {("t", b"good")}


def test_a_commit_that_fails_is_told_to_everybody_in_it(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setproto.store.together._AGE", float("inf"))

    def refuse(act: int, what: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if (act, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    connection_of(store).set_authorizer(refuse)
    put = [lambda t, n=n: t.put("t", bytes([n]), b"") for n in range(3)]
    for result in together(store, put[0], put[1:]):
        with pytest.raises(DatabaseError, match="not authorized"):
            result.result(PATIENCE)
    assert store.dump() == {}
    add_one(store)
    assert total(store) == 1


def test_a_database_that_undoes_everything_undoes_it_for_everybody(
    store: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite rolls the whole transaction back by itself where the disk is full; a savepoint is gone with it."""
    monkeypatch.setattr("setproto.store.together._AGE", float("inf"))

    def full(transaction: Any) -> None:
        transaction._run("ROLLBACK", ())
        raise OSError("disk full")

    leading, following = together(store, lambda t: t.put("t", b"a", b""), [full])
    with pytest.raises(OperationalError):
        leading.result(PATIENCE)
    with pytest.raises(OSError, match="disk full"):
        following.result(PATIENCE)
    assert store.dump() == {}
    add_one(store)
    assert total(store) == 1


def test_whoever_overlooks_that_everything_was_undone_is_told(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setproto.store.together._AGE", float("inf"))

    def overlook(transaction: Any) -> None:
        transaction._run("ROLLBACK", ())

    for result in together(store, lambda t: t.put("t", b"a", b""), [overlook]):
        with pytest.raises(OperationalError):
            result.result(PATIENCE)
    assert store.dump() == {}
