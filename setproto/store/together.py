"""Transactions of several threads that become durable together.

A commit waits for the disk, some milliseconds, and SQLite has one writer at a time.  So while others wait for their
turn, a transaction that is done leaves the commit to the next one, and returns when that has happened: nobody learns
of a success before it is durable, and nobody reads what is lost later, since what they read is committed with what they
write.  Each runs under a savepoint of its own, so that one that fails takes nothing of the others with it.

All of it is said to SQLite by its driver, on one connection that stays open: SQLAlchemy's connections, transactions and
cursors cost several times what SQLite itself does for what is read and written here.  Errors are SQLAlchemy's all the
same.

Source: "group commit", DeWitt et al., Implementation techniques for main memory database systems (1984), section 5.2.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, InternalError, SQLAlchemyError

_AGE: Final = 0.01
"""Seconds after which a group is committed whoever waits: about the time that one commit takes."""


def run(connection: sqlite3.Connection, statement: str, values: tuple[str | bytes | int, ...] = ()) -> Any:
    """The cursor of a statement on SQLite.  SQLAlchemyError if it fails."""
    try:
        return connection.execute(statement, values)
    except sqlite3.Error as failure:
        raise _translated(statement, failure) from None


def _translated(statement: str, failure: sqlite3.Error) -> SQLAlchemyError:
    # Parameters are hidden: among them are records, and secrets in them.
    return DBAPIError.instance(statement, None, failure, sqlite3.Error, hide_parameters=True)


class _Group:
    """Transactions that are committed by one of them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.began = time.monotonic()
        self.over = threading.Event()
        self.committed = False
        self.failure: SQLAlchemyError = InternalError("COMMIT", None, Exception("not committed"), hide_parameters=True)


class Together:
    """The transactions of one process on one SQLite database."""

    def __init__(self, engine: Engine) -> None:
        """``engine``: makes connections that begin and commit nothing by themselves."""
        self._engine = engine
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._open: PoolProxiedConnection | None = None
        """The connection, whoever's turn it is."""
        self._group: _Group | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One at a time.  Durable when the block has been left without an exception; undone if it raises one."""
        with self._counting:
            self._waiting += 1
        with self._turn:
            with self._counting:
                self._waiting -= 1
            group = self._joined()
            try:
                with self._undone_if_it_fails(group):
                    yield group.connection
            finally:
                self._leave(group)
        group.over.wait()
        if not group.committed:
            raise group.failure

    def close(self) -> None:
        """Let go of the connection."""
        with self._turn:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _joined(self) -> _Group:
        """The group that is open, or a new one."""
        if self._group is None:
            connection = self._connection()
            run(connection, "BEGIN IMMEDIATE")
            self._group = _Group(connection)
        return self._group

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            try:
                self._open = self._engine.raw_connection()
            except sqlite3.Error as failure:
                raise _translated("", failure) from None
        connection: sqlite3.Connection = self._open.driver_connection  # type: ignore[assignment]
        return connection

    @contextmanager
    def _undone_if_it_fails(self, group: _Group) -> Iterator[None]:
        run(group.connection, "SAVEPOINT one")
        done = False
        try:
            yield
            done = True
        finally:
            try:
                if not done:
                    run(group.connection, "ROLLBACK TO one")
                run(group.connection, "RELEASE one")
            except SQLAlchemyError as failure:
                # SQLite itself undoes the whole transaction where the disk is full or fails, the others' with it; then
                # a COMMIT would succeed and say nothing.  The missing savepoint says it.
                self._end(group, failure)
                if done:
                    raise

    def _leave(self, group: _Group) -> None:
        """Commit, unless the next one will."""
        young = time.monotonic() - group.began < _AGE
        if self._group is not group or (self._waiting and young):
            return
        try:
            run(group.connection, "COMMIT")
        except SQLAlchemyError as failure:
            self._end(group, failure)
            raise
        self._end(group)

    def _end(self, group: _Group, failure: SQLAlchemyError | None = None) -> None:
        """Everybody's transaction has happened; or, with a failure, nobody's."""
        self._group = None
        group.committed = failure is None
        if failure is not None:
            group.failure = failure
            if self._open is not None:
                # Whatever state it is in, closing it undoes what was not committed.
                self._open.invalidate()
                self._open = None
        group.over.set()
