"""Fixtures of the cryptographic tests: one party for each suite."""

from __future__ import annotations

import pytest

from tests.crypto.material import SUITES, Party, party


@pytest.fixture(params=SUITES, scope="session")
def who(request: pytest.FixtureRequest) -> Party:
    """A party of each suite in turn."""
    return party(request.param)


@pytest.fixture(scope="session")
def alice() -> Party:
    """A party of the default suite."""
    return party("p256")


@pytest.fixture(scope="session")
def mallory() -> Party:
    """Another party of the default suite."""
    return party("p256", 1)
