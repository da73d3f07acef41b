"""What says the same whenever it is asked the same, worked out once per process: the tests read the same certificates
and CRLs in hundreds of validators, and Typer the same commands in hundreds of calls.

Of certificates and CRLs only what is accepted is remembered; what is refused is read and refused every time.  The tests
of certificates and of what is made from them alone, ``ANEW``, use the library as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import typer.main

from pki import authority, checking, path, revocation, rules
from setproto.audit import witness
from setproto.ca import office

ANEW = ("pki", "crypto", "ca", "interop", "published", "vectors", "conformance")
"""Folders in which nothing of certificates and CRLs is remembered."""

_READERS: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (checking.check_certificate, (authority, path, office, witness)),
    (revocation.check_crl, (path,)),
    (rules.signed_by, (path, rules)),  # of two certificates as these have read them
)
"""What is remembered, and the modules that have it."""


def remember() -> None:
    """From now on, in this process."""
    for function, modules in _READERS:
        _put(function.__name__, lru_cache(1024)(function), modules)
    # The parameters of a function.
    typer.main.get_params_from_function = lru_cache(1024)(typer.main.get_params_from_function)


@contextmanager
def read_anew(test: Path) -> Iterator[None]:
    """While a test in this file runs: as in production, if it is one of those."""
    if not set(ANEW) & set(test.relative_to(Path(__file__).parent).parts):
        yield
        return
    remembering = [(getattr(modules[0], function.__name__), modules) for function, modules in _READERS]
    for function, modules in _READERS:
        _put(function.__name__, function, modules)
    try:
        yield
    finally:
        for cached, modules in remembering:
            _put(cached.__name__, cached, modules)


def _put(name: str, function: Any, modules: tuple[Any, ...]) -> None:
    for module in modules:
        setattr(module, name, function)
