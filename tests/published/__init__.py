"""Test vectors that others have published, put through this project's own layers."""

import pytest

pytest.register_assert_rewrite("tests.published.wycheproof")
