"""The database of a server."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from setproto.store.sql import SQLStore

__all__ = ["Turns", "create_private", "open_store"]


class Turns:
    """A store whose transactions in this process take turns.

    Of several connections SQLite lets one write, and the others poll for the lock, which is slow and unfair.
    """

    def __init__(self, store: SQLStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """As the store's own."""
        with self._lock, self._store.transaction() as transaction:
            yield transaction

    def look(self) -> None:
        """Read something, to see whether the database answers."""
        with self.transaction() as transaction:
            transaction.get("health", b"")

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()


def open_store(database: str, space: str) -> Turns:
    """The store behind a URL.  A new file of SQLite is for its owner alone.  StoreError if it cannot be used."""
    create_private(database)
    return Turns(SQLStore(database, space))


def create_private(database: str) -> None:
    """The file of SQLite, if it is one and is not there yet, for its owner alone."""
    if database.startswith("sqlite:///"):
        # Created with its final mode; SQLite gives its other files the mode of this one.
        os.close(os.open(database.removeprefix("sqlite:///"), os.O_RDWR | os.O_CREAT, 0o600))
