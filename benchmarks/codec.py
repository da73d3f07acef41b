"""What no Python in between can undercut: the raw operations of a run, and its calls of the DER codec, done again bare.

The codec is cryptography's own, in Rust.  A run is watched once; each value that it encodes and each string of octets
that it decodes is then encoded and decoded again, with nothing around it.  Objects are made in decoding, as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any, Final
from unittest import mock

from benchmarks.floor import record, replay
from benchmarks.raw import Raw, Run

_CODEC: Final[Any] = resolve_name("pki.der:asn1")
"""As the one module has it that knows it."""


def bound(raw: Raw, run: Callable[[], object], *, again: Callable[[], object] | None = None) -> Run:
    """The raw operations that ``run`` performs, and what ``again`` (the same, if it can be run twice) has coded."""
    operations = replay(raw, record(run))
    coded = _calls(again or run)

    def bare() -> None:
        operations()
        for call in coded:
            call()

    return bare


def _calls(run: Callable[[], object]) -> list[Callable[[], Any]]:
    """Every call of the codec in ``run``, to be made again."""
    calls: list[Callable[[], Any]] = []

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            calls.append(lambda: function(*given))
            return function(*given)

        return noted

    with (
        mock.patch.object(_CODEC, "encode_der", noting(_CODEC.encode_der)),
        mock.patch.object(_CODEC, "decode_der", noting(_CODEC.decode_der)),
    ):
        run()
    return calls
