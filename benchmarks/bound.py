"""What no Python in between can undercut: the raw operations of a run, its hashes and its calls of the DER codec, bare.

Hashes and codec are not ours: OpenSSL, and Rust in cryptography.  A run is watched once; what it hashes, encodes and
decodes is then hashed, encoded and decoded again, with nothing around it.  Objects are made in decoding, as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any, Final
from unittest import mock

from benchmarks.floor import record, replay
from benchmarks.raw import Raw, Run

_CODEC: Final[Any] = resolve_name("pki.der:asn1")
"""As the one module has it that knows it."""


def bound(raw: Raw, run: Callable[[], object], *, again: Callable[[], object] | None = None) -> Run:
    """The raw operations that ``run`` performs, and what ``again`` (the same, if it can run twice) hashed and coded."""
    operations = replay(raw, record(run))
    calls = _calls(again or run)

    def bare() -> None:
        operations()
        for call in calls:
            call()

    return bare


def _calls(run: Callable[[], object]) -> list[Callable[[], Any]]:
    """Every call of the codec and of the hashes in ``run``, to be made again."""
    calls: list[Callable[[], Any]] = []

    def noting(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            calls.append(lambda: call(*given))
            return function(*given)

        return noted

    def hashing(function: Callable[..., Any]) -> Callable[..., Any]:
        return noting(function, lambda *given: function(*given).digest())

    with (
        mock.patch.object(_CODEC, "encode_der", noting(_CODEC.encode_der, _CODEC.encode_der)),
        mock.patch.object(_CODEC, "decode_der", noting(_CODEC.decode_der, _CODEC.decode_der)),
        mock.patch.object(hashlib, "sha256", hashing(hashlib.sha256)),
        mock.patch.object(hashlib, "sha512", hashing(hashlib.sha512)),
    ):
        run()
    return calls
