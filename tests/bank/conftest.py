"""Banks to test, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.bank.people import Till, make_bank
from tests.store.conftest import postgresql, url

__all__ = ["postgresql", "url"]

Opener = Callable[..., Till]


@pytest.fixture
def open_till(url: str) -> Iterator[Opener]:
    """Opens the bank of this test's database, with a merchant's till before it; closed after the test."""
    with ExitStack() as stack:

        def open_till(**config: Any) -> Till:
            till = make_bank(url, **config)
            stack.callback(till.bank.close)
            return till

        yield open_till


@pytest.fixture
def till(open_till: Opener) -> Till:
    return open_till()
