"""What says the same of the same octets, worked out once per process: the tests read the same few certificates and CRLs
in hundreds of validators.

Only what is accepted is remembered; what is refused is read and refused every time.
"""

from __future__ import annotations

from functools import lru_cache

from pki import authority, checking, path, revocation, rules


def remember() -> None:
    """From now on, in this process."""
    path.check_certificate = authority.check_certificate = lru_cache(1024)(checking.check_certificate)  # type: ignore[attr-defined]
    path.check_crl = lru_cache(1024)(revocation.check_crl)  # type: ignore[attr-defined]
    # Of two certificates as these have read them.
    path.signed_by = rules.signed_by = lru_cache(1024)(rules.signed_by)  # type: ignore[attr-defined]
