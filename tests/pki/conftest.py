"""One clock and one tree per suite for all tests of pki; nothing here looks at the real time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pki import SUITES, BrandTree, Credential, PathValidator, build_brand_tree

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def at() -> datetime:
    """A day after everything was issued."""
    return NOW + DAY


@pytest.fixture
def tree() -> BrandTree:
    """A p256 tree of its own for every test: authorities have state, and p256 keys cost nothing."""
    return build_brand_tree("p256", now=NOW)


@pytest.fixture
def cardholder(tree: BrandTree) -> Credential:
    return tree.issue_cardholder(bytes(range(20)))


@pytest.fixture
def merchant(tree: BrandTree) -> Credential:
    return tree.issue_merchant("M-1", "Corner Shop", "412345")


@pytest.fixture
def gateway(tree: BrandTree) -> Credential:
    return tree.issue_gateway("GW-1")


@pytest.fixture
def validator(tree: BrandTree) -> PathValidator:
    return tree.validator(NOW)


@pytest.fixture(scope="session")
def suite_trees() -> Callable[[str], BrandTree]:
    """The tree of a suite, made once per session, with a geo-political CA.  Do not revoke in it."""
    made: dict[str, BrandTree] = {}

    def get(name: str) -> BrandTree:
        if name not in made:
            made[name] = build_brand_tree(name, now=NOW, geo=True)
        return made[name]

    return get


@pytest.fixture(params=sorted(SUITES))
def suite_tree(request: pytest.FixtureRequest, suite_trees: Callable[[str], BrandTree]) -> BrandTree:
    name: str = request.param
    return suite_trees(name)
