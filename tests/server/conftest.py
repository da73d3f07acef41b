from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running import Running, up


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One shop for all tests that do it no harm."""
    with up(tmp_path_factory.mktemp("up") / "shop") as running:
        yield running
