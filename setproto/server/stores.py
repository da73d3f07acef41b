"""The database of a server."""

from __future__ import annotations

import os

from setproto.store.sql import SQLStore

__all__ = ["create_private", "look", "open_store"]


def open_store(database: str, space: str) -> SQLStore:
    """The store behind a URL.  A new file of SQLite is for its owner alone.  StoreError if it cannot be used."""
    create_private(database)
    return SQLStore(database, space)


def create_private(database: str) -> None:
    """The file of SQLite, if it is one and is not there yet, for its owner alone."""
    if database.startswith("sqlite:///"):
        # Created with its final mode; SQLite gives its other files the mode of this one.
        os.close(os.open(database.removeprefix("sqlite:///"), os.O_RDWR | os.O_CREAT, 0o600))


def look(store: SQLStore) -> None:
    """Read something, to see whether the database answers."""
    with store.transaction() as transaction:
        transaction.get("health", b"")
