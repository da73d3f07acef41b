"""RSA keys that are used again: to make one takes a fifth of a second, to read one, which is checked, a tenth of that.

The tests want hundreds of them.
"""

from __future__ import annotations

import sys
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa

from setproto.crypto import possession

SPARE = 40
"""So many keys that nobody holds any more are kept: more than any test drops and draws again."""
_KIND = (65537, 3072)


class Keys:
    """Gives the key that has been out of use for longest; or a new one while few are."""

    def __init__(self) -> None:
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
        made.append(made.pop(spare[0]) if len(spare) >= SPARE else self._genuine(*_KIND))
        return made[-1]


def deal_again() -> None:
    """From now on, in this process."""
    rsa.generate_private_key = Keys()  # type: ignore[assignment]
    possession.load_der_private_key = lru_cache(possession.load_der_private_key)  # type: ignore[assignment]
