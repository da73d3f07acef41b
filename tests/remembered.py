"""What says the same whenever it is asked the same, worked out once per process: the tests read the same certificates
and CRLs in hundreds of validators, and Typer the same commands in hundreds of calls.

Of certificates and CRLs only what is accepted is remembered; what is refused is read and refused every time.
"""

from __future__ import annotations

from functools import lru_cache

import typer.main

from pki import authority, checking, path, revocation, rules
from setproto.audit import witness
from setproto.ca import office


def remember() -> None:
    """From now on, in this process."""
    check_certificate = lru_cache(1024)(checking.check_certificate)
    for module in (authority, path, office, witness):
        module.check_certificate = check_certificate  # type: ignore[attr-defined]
    path.check_crl = lru_cache(1024)(revocation.check_crl)  # type: ignore[attr-defined]
    # Of two certificates as these have read them.
    path.signed_by = rules.signed_by = lru_cache(1024)(rules.signed_by)  # type: ignore[attr-defined]
    # The parameters of a function.
    typer.main.get_params_from_function = lru_cache(1024)(typer.main.get_params_from_function)
