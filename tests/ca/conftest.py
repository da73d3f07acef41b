"""A hierarchy as the shipped declaration says, in memory, with a passphrase that is quick to check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from setproto.ca.config import EXAMPLE
from setproto.ca.office import Office
from setproto.ca.vault import Vault
from setproto.roles.ports import Store
from setproto.store import MemoryStore

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PASSPHRASE = "correct horse battery staple"
QUICK = 1 << 4
"""scrypt's cost in tests."""

Work = Callable[..., AbstractContextManager[Office]]


def found(store: Store, declaration: str = EXAMPLE, at: datetime = NOW) -> None:
    with store.transaction() as transaction:
        Office.found(transaction, declaration, PASSPHRASE, at, n=QUICK)


@contextmanager
def at_work(store: Store, at: datetime = NOW + DAY) -> Iterator[Office]:
    """The office of the hierarchy in ``store``, with its keys, in a transaction of its own."""
    with store.transaction() as transaction:
        suite = Office(transaction, at).hierarchy.key_suite
        yield Office(transaction, at, Vault.open(transaction, PASSPHRASE, suite))


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    found(made)
    return made


@pytest.fixture
def work(store: MemoryStore) -> Work:
    """``work(at)``: the office of this test's hierarchy."""
    return lambda at=NOW + DAY: at_work(store, at)
