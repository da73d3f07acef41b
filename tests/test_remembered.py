"""Where the tests use the library as it is, and where what it read is remembered."""

from pathlib import Path

import pytest

from pki import checking, path, revocation, rules
from tests import remembered

HERE = Path(__file__).parent


@pytest.mark.parametrize("folder", remembered.ANEW)
def test_certificates_are_read_anew_where_they_are_the_subject(folder: str) -> None:
    assert (HERE / folder).is_dir()
    with remembered.read_anew(HERE / folder / "test_any.py"):
        assert (path.check_certificate, path.check_crl) == (checking.check_certificate, revocation.check_crl)
        assert path.signed_by is rules.signed_by
        assert not hasattr(rules.signed_by, "cache_info")
    assert path.check_certificate is not checking.check_certificate


def test_elsewhere_they_are_remembered() -> None:
    with remembered.read_anew(HERE / "roles" / "test_any.py"):
        assert all(hasattr(reader, "cache_info") for reader in (path.check_certificate, path.check_crl, path.signed_by))
