"""What holds of a store in a database only: versions of its schema, SQLite's settings, failures."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text

from setproto.errors import SetError
from setproto.store import sql
from setproto.store.sql import SQLStore, StoreError

OpenSQL = Callable[..., SQLStore]


def execute(url: str, *statements: str) -> list[object]:
    """Behind the store's back; the rows of the last statement."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
        rows: list[object] = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def put(store: SQLStore, key: bytes, value: bytes) -> None:
    with store.transaction() as transaction:
        transaction.put("orders", key, value)


# --- versions -----------------------------------------------------------------------------------


def test_the_version_is_written_down(url: str, open_sql: OpenSQL) -> None:
    open_sql()
    assert execute(url, "SELECT version FROM setproto_schema") == [(len(sql.MIGRATIONS),)]


def test_a_newer_version_is_refused(url: str, open_sql: OpenSQL) -> None:
    put(open_sql(), b"key", b"value")
    execute(url, "UPDATE setproto_schema SET version = version + 1")
    with pytest.raises(StoreError, match="version 2; this program knows 1"):
        open_sql()
    assert issubclass(StoreError, SetError)
    assert execute(url, "SELECT count(*) FROM setproto_entries") == [(1,)]


@pytest.mark.parametrize("versions", [[], [1, 1]], ids=["none", "two"])
def test_a_version_is_never_guessed(url: str, open_sql: OpenSQL, versions: list[int]) -> None:
    open_sql()
    execute(
        url, "DELETE FROM setproto_schema", *(f"INSERT INTO setproto_schema (version) VALUES ({v})" for v in versions)
    )
    with pytest.raises(StoreError):
        open_sql()


def _second(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE added_by_version_2 (n INTEGER)"))
    connection.execute(text("INSERT INTO added_by_version_2 VALUES (7)"))


def _fails(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE added_by_version_3 (n INTEGER)"))
    connection.execute(text("SELECT no_such_column FROM setproto_entries"))


def test_an_old_version_is_migrated_once(url: str, open_sql: OpenSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    put(open_sql(), b"key", b"value")
    monkeypatch.setattr(sql, "MIGRATIONS", (*sql.MIGRATIONS, _second))
    for _ in range(2):
        assert open_sql().dump() == {("orders", b"key"): b"value"}
    assert execute(url, "SELECT n FROM added_by_version_2") == [(7,)]
    assert execute(url, "SELECT version FROM setproto_schema") == [(2,)]


def test_a_new_database_gets_every_version(url: str, open_sql: OpenSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "MIGRATIONS", (*sql.MIGRATIONS, _second))
    put(open_sql(), b"key", b"value")
    assert execute(url, "SELECT n FROM added_by_version_2") == [(7,)]
    assert execute(url, "SELECT version FROM setproto_schema") == [(2,)]


def test_a_migration_that_fails_changes_nothing(url: str, open_sql: OpenSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    put(open_sql(), b"key", b"value")
    with monkeypatch.context() as patched:
        patched.setattr(sql, "MIGRATIONS", (*sql.MIGRATIONS, _second, _fails))
        with pytest.raises(StoreError):
            open_sql()
    assert open_sql().dump() == {("orders", b"key"): b"value"}  # still of version 1, and still good
    engine = create_engine(url)
    assert {"added_by_version_2", "added_by_version_3"}.isdisjoint(inspect(engine).get_table_names())
    engine.dispose()


def test_many_open_a_new_database_at_once(url: str, open_sql: OpenSQL) -> None:
    together = threading.Barrier(8)

    def open_and_put(number: int) -> None:
        together.wait(30)
        put(open_sql(f"space {number}"), b"key", b"value")

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(open_and_put, number) for number in range(8)]:
            future.result()
    assert execute(url, "SELECT count(*) FROM setproto_entries") == [(8,)]
    assert execute(url, "SELECT version FROM setproto_schema") == [(len(sql.MIGRATIONS),)]


# --- SQLite -------------------------------------------------------------------------------------


@pytest.fixture
def pragmas(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[object]]:
    """PRAGMA → its value on every connection that a store makes."""
    made: list[sqlite3.Connection] = []
    make = sql.open_engine

    def watched(url: str) -> Engine:
        engine = make(url)
        event.listen(engine, "connect", lambda connection, record: made.append(connection))
        return engine

    monkeypatch.setattr(sql, "open_engine", watched)
    return lambda name: [connection.execute(f"PRAGMA {name}").fetchone()[0] for connection in made]


def test_sqlite_writes_ahead_and_synchronises_fully(tmp_path: Path, pragmas: Callable[[str], list[object]]) -> None:
    path = tmp_path / "store.db"
    store = SQLStore(f"sqlite:///{path}", "test")
    put(store, b"key", b"value")
    journal_modes, synchronous = pragmas("journal_mode"), pragmas("synchronous")
    assert journal_modes
    assert set(journal_modes) == {"wal"}
    assert set(synchronous) == {2}, "2 is FULL"
    assert path.read_bytes()[18:20] == b"\x02\x02", "the file itself says WAL"
    assert path.with_name("store.db-wal").exists()
    store.close()


def test_a_reader_elsewhere_is_not_disturbed(tmp_path: Path) -> None:
    """Write-ahead logging: somebody who looks at the file during a transaction sees the last commit."""
    path = tmp_path / "store.db"
    store = SQLStore(f"sqlite:///{path}", "test")
    put(store, b"key", b"old")
    looking = sqlite3.connect(path)
    with store.transaction() as transaction:
        transaction.put("orders", b"key", b"new")
        assert looking.execute("SELECT value FROM setproto_entries").fetchall() == [(b"old",)]
    assert looking.execute("SELECT value FROM setproto_entries").fetchall() == [(b"new",)]
    looking.close()
    store.close()


# --- what cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["sqlite:////nowhere/at/all/store.db", "nosuch://host/db", "not a url", "postgresql+psycopg://127.0.0.1:1/x"]
)
def test_what_cannot_be_reached(bad: str) -> None:
    with pytest.raises(StoreError) as refused:
        SQLStore(bad, "test")
    assert "nowhere" not in str(refused.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is not a database, but long enough to be looked at " * 100)
    with pytest.raises(StoreError):
        SQLStore(f"sqlite:///{path}", "test")
    assert path.read_bytes().startswith(b"this is not")


def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="ModuleNotFoundError"):
        SQLStore("postgresql+psycopg:///x", "test")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_connection_that_broke_is_replaced(url: str, open_sql: OpenSQL) -> None:
    """The server was started anew, or a firewall forgot us: the next transaction must not suffer."""
    store = open_sql()
    put(store, b"before", b"value")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    assert (True,) in execute(url, f"{others} AND pid <> pg_backend_pid()")
    put(store, b"after", b"value")
    assert len(store.dump()) == 2


def test_values_are_not_in_error_messages(url: str, open_sql: OpenSQL) -> None:
    """What the database says when it fails must not carry a record, with the keys in it, into a log."""
    store = open_sql()
    execute(url, "DROP TABLE setproto_entries")
    with pytest.raises(Exception) as failed:  # noqa: PT011
        put(store, b"a key", b"a secret value")
    shown, cause = "", failed.value
    while cause is not None:
        shown += f"{cause}{cause!r}"
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    assert "secret" not in shown
    assert b"a secret value".hex() not in shown
