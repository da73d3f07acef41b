"""Transactions of several threads that become durable together.

A commit waits for the disk, some milliseconds, and SQLite has one writer at a time.  So while others wait for their
turn, a transaction that is done leaves the commit to the next one, and returns when that has happened: nobody learns
of a success before it is durable, and nobody reads what is lost later, since what they read is committed with what they
write.  Each runs under a savepoint of its own, so that one that fails takes nothing of the others with it.

Source: "group commit", DeWitt et al., Implementation techniques for main memory database systems (1984), section 5.2.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InternalError, SQLAlchemyError

_AGE: Final = 0.01
"""Seconds after which a group is committed whoever waits: about the time that one commit takes."""


def run(connection: Connection, statement: str, values: tuple[str | bytes, ...] = ()) -> Any:
    """The cursor of a statement on SQLite.  By its driver: SQLAlchemy's cursors cost several times what SQLite does for
    what is read and written here; the errors are SQLAlchemy's all the same."""
    try:
        return connection.connection.driver_connection.execute(statement, values)  # type: ignore[union-attr]
    except sqlite3.Error as failure:
        raise DBAPIError.instance(statement, None, failure, sqlite3.Error, hide_parameters=True) from None


class _Group:
    """Transactions that are committed by one of them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.began = time.monotonic()
        self.over = threading.Event()
        self.committed = False
        self.failure: SQLAlchemyError = InternalError("COMMIT", None, Exception("not committed"), hide_parameters=True)

    def end(self) -> None:
        """Commit, and let go of the connection."""
        try:
            self.connection.commit()
            self.committed = True
        except SQLAlchemyError as failure:
            self.failure = failure
            raise
        finally:
            self._let_go()

    def abandon(self, failure: SQLAlchemyError) -> None:
        """Nobody's transaction has happened."""
        self.failure = failure
        self._let_go()

    def _let_go(self) -> None:
        if not self.committed:
            self.connection.invalidate()  # whatever state it is in, closing it undoes what was not committed
        self.connection.close()
        self.over.set()


class Together:
    """The transactions of one process on one SQLite database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._group: _Group | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
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

    def _joined(self) -> _Group:
        """The group that is open, or a new one."""
        if self._group is None:
            connection = self._engine.connect()
            try:
                connection.begin()
            except SQLAlchemyError:
                connection.close()
                raise
            self._group = _Group(connection)
        return self._group

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
                self._group = None
                group.abandon(failure)
                if done:
                    raise

    def _leave(self, group: _Group) -> None:
        """Commit, unless the next one will."""
        young = time.monotonic() - group.began < _AGE
        if self._group is group and not (self._waiting and young):
            self._group = None
            group.end()
