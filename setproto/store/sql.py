"""A store in a database: SQLite beside the program by default, PostgreSQL by URL, the same code.

Everything is one table of octets under (space, table, key); what the octets mean is the roles' business.  SQLite runs
in write-ahead-logging mode with full synchronisation, so what was committed survives a power cut; a transaction takes
the write lock when it begins, so it never has to be repeated half-way; threads that wait for each other are committed
together (``together``).  On PostgreSQL the same is had from an advisory
lock per space, and another one while the schema is made or migrated.  Several roles may share a database, each in a
space of its own.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from setproto.errors import UsageError
from setproto.store.together import Together, run

_METADATA: Final = MetaData()
_ENTRIES: Final = Table(
    "setproto_entries",
    _METADATA,
    Column("space", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
_GET: Final = "SELECT value FROM setproto_entries WHERE space = ? AND name = ? AND key = ?"
_PUT: Final = (
    "INSERT INTO setproto_entries (space, name, key, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (space, name, key) DO UPDATE SET value = excluded.value"
)
_FIRST: Final = "SELECT key, value FROM setproto_entries WHERE space = ? AND name = ? ORDER BY key LIMIT ?"
_NEXT: Final = _FIRST.replace(" ORDER", " AND key > ? ORDER")
_PATIENCE: Final = 30
"""Seconds to wait for a lock that others hold."""
_PAGE: Final = 256
"""Entries that are read at a time when all of a table are wanted."""
_SCHEMA: Final = Table("setproto_schema", _METADATA, Column("version", Integer, nullable=False))

MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (lambda connection: _METADATA.create_all(connection),)
"""What makes version n+1 out of version n.  A version is never guessed: it is written in the database."""


class StoreError(UsageError):
    """The database cannot be used: it cannot be reached, or was made by a newer version of this program."""


class _Transaction:
    """One unit of work.  Both databases read the same SQL but for the mark of a value."""

    def __init__(self, run: Callable[[str, tuple[str | bytes | int, ...]], Any], space: str) -> None:
        """``run``: statement, values → cursor."""
        self._run = run
        self._space = space

    def get(self, table: str, key: bytes) -> bytes | None:
        found = self._run(_GET, (self._space, table, key)).fetchone()
        return None if found is None else bytes(found[0])

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._run(_PUT, (self._space, table, key, value)).close()

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        # By pages, so that a long table need not fit into memory, and no cursor stays open while others are written.
        rows = self._run(_FIRST, (self._space, table, _PAGE)).fetchall()
        while rows:
            yield from ((bytes(key), bytes(value)) for key, value in rows)
            rows = self._run(_NEXT, (self._space, table, rows[-1][0], _PAGE)).fetchall()


class SQLStore:
    """Implements ``setproto.roles.ports.Store`` on a database.  Safe for several threads and processes."""

    def __init__(self, url: str, space: str) -> None:
        """``url`` as SQLAlchemy writes it: ``sqlite:///shop.db``, ``postgresql+psycopg://…``; ``space`` names the role.

        StoreError if the database cannot be reached or is of a newer version.
        """
        self._space = space
        try:
            self._engine = open_engine(url)
        except (SQLAlchemyError, ImportError) as failure:
            raise _unusable(failure) from None
        try:
            with self._engine.begin() as connection:
                _lock(connection, _SCHEMA.name)
                _migrate(connection)
        except SQLAlchemyError as failure:
            self._engine.dispose()
            raise _unusable(failure) from None
        except StoreError:
            self._engine.dispose()
            raise
        sqlite = self._engine.dialect.name == "sqlite"
        self._together = Together(self._engine) if sqlite else None

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Commits on leaving the block; an exception leaves everything as it was."""
        if self._together is not None:
            with self._together.transaction() as connection:
                yield _Transaction(partial(run, connection), self._space)
        else:
            with self._engine.begin() as locked:
                _lock(locked, f"space {self._space}")
                yield _Transaction(
                    lambda statement, values: locked.exec_driver_sql(statement.replace("?", "%s"), values), self._space
                )

    def dump(self) -> dict[tuple[str, bytes], bytes]:
        """A copy of everything in this space, (table, key) → value: for tests that search it."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                select(_ENTRIES.c.name, _ENTRIES.c.key, _ENTRIES.c.value).where(_ENTRIES.c.space == self._space)
            )
            return {(row.name, bytes(row.key)): bytes(row.value) for row in rows}

    def close(self) -> None:
        """Let go of the database."""
        if self._together is not None:
            self._together.close()
        self._engine.dispose()


def _unusable(failure: Exception) -> StoreError:
    return StoreError(f"the database cannot be used: {type(failure).__name__}")


def _write_ahead(connection: Any) -> None:
    """Switch to write-ahead logging.  SQLite does not wait for a lock here, as it does elsewhere, so this does."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def open_engine(url: str) -> Engine:
    """An engine as durable as this project needs it, whatever the database."""
    # Parameters are hidden from error messages: among them are records, and secrets in them.
    if not url.startswith("sqlite"):
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _PATIENCE})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        # The driver's own idea of transactions is switched off: BEGIN is ours, below.
        connection.isolation_level = None
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _lock(connection: Connection, name: str) -> None:
    """One at a time until the transaction ends.  SQLite has its lock since BEGIN IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": zlib.crc32(name.encode())})


def _migrate(connection: Connection) -> None:
    """Bring the database to this version, step by step.  StoreError if it is of a newer one."""
    version = 0
    if inspect(connection).has_table(_SCHEMA.name):
        version = connection.execute(select(_SCHEMA.c.version)).scalar_one()
    if version > len(MIGRATIONS):
        raise StoreError(f"the database is of version {version}; this program knows {len(MIGRATIONS)}")
    for step in MIGRATIONS[version:]:
        step(connection)
    if version == 0:
        connection.execute(insert(_SCHEMA).values(version=len(MIGRATIONS)))
    elif version < len(MIGRATIONS):
        connection.execute(update(_SCHEMA).values(version=len(MIGRATIONS)))
