"""RSA keys that are used again: to make one takes a fifth of a second, to read one, which is checked, a tenth of that.

The tests want hundreds of them.  The first ones are the test keys of the vectors, which are not even checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from setproto.crypto import possession

SPARE = 40
"""So many keys that nobody holds any more are kept: more than any test drops and draws again.  A command needs none."""
_KIND = (65537, 3072)
_VECTORS = Path(__file__).parent.parent / "vectors/keys/rsa3072.json"


class Keys:
    """Gives the key that has been out of use for longest; or a new one while few are, the ``first`` ones first."""

    def __init__(self, first: Sequence[bytes], spare: int) -> None:
        """``first``: PKCS #8.  ``spare``: more than so many must be out of use, or a new key is given."""
        self._first = list(first)
        self._spare = spare
        self._genuine = rsa.generate_private_key
        self._made: list[object] = [object()]
        self._unused = sys.getrefcount(self._made[0])
        self._made.clear()

    def __call__(self, public_exponent: int, key_size: int) -> object:
        """As ``rsa.generate_private_key``, which makes those of other kinds."""
        if (public_exponent, key_size) != _KIND:
            return self._genuine(public_exponent, key_size)
        made = self._made
        spare = [index for index in range(len(made)) if sys.getrefcount(made[index]) == self._unused]
        made.append(made.pop(spare[0]) if len(spare) > self._spare else self._new())
        return made[-1]

    def _new(self) -> object:
        if self._first:
            return load_der_private_key(self._first.pop(), None, unsafe_skip_rsa_key_validation=True)
        return self._genuine(*_KIND)


def of_the_vectors() -> list[bytes]:
    """Their RSA keys.  For one process only: two that talk to each other must not have the same."""
    material = json.loads(_VECTORS.read_text("utf-8"))
    return [bytes.fromhex(pair["private_key"]) for pair in material["pairs"].values()]


def deal_again(first: Sequence[bytes] = (), spare: int = SPARE) -> None:
    """From now on, in this process."""
    rsa.generate_private_key = Keys(first, spare)  # type: ignore[assignment]
    possession.load_der_private_key = lru_cache(possession.load_der_private_key)  # type: ignore[assignment]
