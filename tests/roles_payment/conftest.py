import pytest

from tests.roles_payment.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()
