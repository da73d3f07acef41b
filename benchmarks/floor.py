"""The floor of a purchase: the raw operations that it really performs, counted while it runs, and done again bare.

Python's own profiling hook (``sys.setprofile``) reports every call of a function written in C, so each operation of
``cryptography`` is seen, from wherever the library calls it and however it is wrapped.  An operation that is not
known here ends the count, and so does a signature or a seal of the library's that is seen where it is asked for but not
where it is computed: nothing is left out by being overlooked.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple

from cryptography.hazmat.bindings._rust import openssl

from benchmarks import BenchmarkError
from benchmarks.raw import Raw, Run
from setproto.crypto import digests, sealed
from setproto.crypto.suites import Suite


class Operation(NamedTuple):
    """One raw operation: its kind, as :class:`benchmarks.raw.Raw` has them, and how many octets it works on."""

    kind: str
    size: int = 0


_KINDS: Final = {
    "sign": "sign",
    "verify": "verify",
    "generate_private_key": "generate",
    "generate_key": "generate",
    "from_public_bytes": "load",
    "exchange": "agree",
    "encapsulate": "encapsulate",
    "decapsulate": "decapsulate",
    "aes_key_wrap": "wrap",
    "aes_key_unwrap": "unwrap",
}
"""Name of the function or method in C → kind.  Where the name says too little, its owner is asked: ``_kind``."""
_OWNERS: Final = {
    ("AESGCM", "encrypt"): "encrypt",
    ("AESGCM", "decrypt"): "decrypt",
    ("RSAPublicKey", "encrypt"): "transport",
    ("RSAPrivateKey", "decrypt"): "untransport",
    ("HKDF", "derive"): "hkdf",
    ("X963KDF", "derive"): "x963",
}
_FREE: Final = {"public_key", "public_bytes", "public_numbers", "private_bytes", "bytes_eq"}
"""What computes nothing worth mentioning: looking at a key, or writing it down."""
_DIGESTS: Final = {"openssl_sha256": "sha256", "openssl_sha512": "sha512"}
"""Counted and shown, and not part of the floor: about half a microsecond each."""


class Recorder:
    """Counts the raw operations of whatever runs inside ``with recorder:``, in this thread."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.digests: Counter[str] = Counter()
        self._sizes: dict[str, list[int]] = {}

    def __enter__(self) -> Recorder:
        self._before = sys.getprofile()
        sys.setprofile(self._event)
        return self

    def __exit__(self, *failure: object) -> None:
        sys.setprofile(self._before)

    @property
    def operations(self) -> list[Operation]:
        """Every operation, with its size.  BenchmarkError if the library signs or seals past its own functions."""
        found = []
        for kind in sorted({*self.counts, *self._sizes}):
            count = self.counts[kind]
            sizes = self._sizes.get(kind, []) if kind in _SIZED else [0] * count
            if len(sizes) != count:
                raise BenchmarkError(
                    f"{count} × {kind}, of which {len(sizes)} sizes are known: see benchmarks/floor.py"
                )
            found += [Operation(kind, size) for size in sizes]
        return found

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            self._count(argument)
        elif event == "call" and frame.f_code in _ENTERED:
            kind, size = _ENTERED[frame.f_code]
            self._sizes.setdefault(kind, []).append(size(frame.f_locals))
        elif event == "return" and frame.f_code is _UNSEAL and argument is not None:
            self._sizes.setdefault("decrypt", []).append(len(argument.content))

    def _count(self, function: Any) -> None:
        owner, name = function.__self__, function.__name__
        home = function.__module__ if owner is None else type(owner).__module__
        if function.__module__ == "_hashlib":
            if name in _DIGESTS:
                self.digests[_DIGESTS[name]] += 1
            elif name == "hmac_digest":
                self.counts["hmac"] += 1
        elif _computes(owner, home) and name not in _FREE:
            kind = _OWNERS.get((type(owner).__name__, name)) or _KINDS.get(name)
            if kind is None:
                raise BenchmarkError(f"{home}: {name} is no operation that benchmarks/floor.py knows")
            self.counts[kind] += 1


def _computes(owner: object, home: str) -> bool:
    """Whether what lives there is cryptography, and not the codec or the parser of certificates.

    A function of cryptography's has no owner and says the last part of its module's name; a method's owner says all.
    """
    if owner is None:
        return hasattr(openssl, home)
    return home.startswith(("cryptography.hazmat.bindings._rust.openssl", "cryptography.hazmat.primitives"))


_Size = Callable[[Any], int]
_ENTERED: Final[dict[Any, tuple[str, _Size]]] = {
    Suite.sign.__code__: ("sign", lambda given: len(given["data"])),
    Suite.verify.__code__: ("verify", lambda given: len(given["data"])),
    sealed.seal.__code__: ("encrypt", lambda given: len(given["content"])),
    digests.mac.__code__: ("hmac", lambda given: sum(map(len, given["parts"]))),
}
"""The public functions that know how many octets an operation works on."""
_SIZED: Final = {kind for kind, _ in _ENTERED.values()} | {"decrypt"}
_UNSEAL: Final = sealed.unseal.__code__


def record(run: Callable[[], object]) -> Recorder:
    """What ``run`` performs."""
    recorder = Recorder()
    with recorder:
        run()
    return recorder


def replay(raw: Raw, recorder: Recorder) -> Run:
    """The same operations on as many octets, one after the other and nothing else."""
    runs = [raw.operation(kind, size) for kind, size in recorder.operations]

    def bare() -> None:
        for run in runs:
            run()

    return bare
