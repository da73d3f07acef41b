"""The databases that the contract of a store is tested on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from setproto.roles.ports import Store
from setproto.store import MemoryStore
from setproto.store.sql import SQLStore
from tests.store import postgres

Opener = Callable[..., Store]
"""Space → a store.  Opened again, it holds what was in it."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """What a URL of the session's PostgreSQL server ends with."""
    with ExitStack() as stack:
        try:
            end = stack.enter_context(postgres.server())
        except postgres.Unavailable as reason:
            if os.environ.get("CI"):  # where nothing may go unchecked
                pytest.fail(f"not tested on PostgreSQL: {reason}")
            pytest.skip(f"not tested on PostgreSQL: {reason}")
        yield end


DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    with _database(request, tmp_path) as made:
        yield made


@pytest.fixture
def open_sql(url: str) -> Iterator[Callable[..., SQLStore]]:
    """Opens stores in the database of this test, and closes them after it."""
    with _opener(url) as opener:
        yield opener


@pytest.fixture(params=["memory", *DATABASES])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens stores of every kind.  What is in memory is kept here, in place of a disk."""
    if request.param == "memory":
        kept: dict[str, MemoryStore] = {}
        yield lambda space="test": kept.setdefault(space, MemoryStore())
        return
    with _database(request, tmp_path) as made, _opener(made) as opener:
        yield opener


@contextmanager
def _database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'store.db'}"
        return
    end = request.getfixturevalue("postgresql")
    url = f"postgresql+psycopg:///postgres{end}"
    administrator = create_engine(url, poolclass=NullPool)
    with administrator.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS public"))
    yield url
    deadline = time.monotonic() + postgres.PATIENCE  # the server notices a little later that a client has gone
    # Each look in a transaction of its own: within one, PostgreSQL shows the same picture again and again.
    with administrator.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while (left := connection.execute(text(OTHERS)).scalar_one()) and time.monotonic() < deadline:
            time.sleep(0.01)
    with administrator.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))  # quicker than a database for every test
    assert left == 0, "connections were left open"


OTHERS = """SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()"""


@contextmanager
def _opener(url: str) -> Iterator[Callable[..., SQLStore]]:
    with ExitStack() as opened:

        def open_store(space: str = "test") -> SQLStore:
            store = SQLStore(url, space)
            opened.callback(store.close)
            return store

        yield open_store
