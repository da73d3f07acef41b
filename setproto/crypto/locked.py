"""A key from a passphrase, and octets locked under a key: what keeps a file of secrets closed at rest.

The key comes from Argon2id (RFC 9106).  What one guess at the passphrase costs is data, so that it can grow with
machines, and so it is in the file; hence ``Cost`` has limits of its own, checked before any memory is asked for: a file
that somebody has altered can neither make the derivation cheap nor take all the memory of the machine.

Sources: RFC 9106 section 4 (its second recommended choice: 3 passes over 64 MiB in 4 lanes, 16 octets of salt); the
least that the OWASP Password Storage Cheat Sheet allows is 19 MiB, 2 passes, 1 lane; the length of a passphrase is that
of NIST SP 800-63B-4 section 3.1.1 for a password that is the only factor.  Ciphers: RFC 5116 (AES-256-GCM), RFC 8439
(ChaCha20-Poly1305).  Nonces are random: NIST SP 800-38D section 8.3 allows 2^32 of them under one key.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from setproto.crypto.digests import DIGEST_SIZE
from setproto.errors import DecryptionFailure, UsageError

__all__ = ["CIPHERS", "KEY_SIZE", "MIN_PASSPHRASE", "RECOMMENDED", "Cost", "acceptable", "lock", "unlock"]

KEY_SIZE: Final = DIGEST_SIZE
SALT_SIZE: Final = 16
MIN_PASSPHRASE: Final = 15
"""Characters of a new passphrase."""
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16

CIPHERS: Final[dict[str, type[AESGCM] | type[ChaCha20Poly1305]]] = {
    "aes-256-gcm": AESGCM,
    "chacha20-poly1305": ChaCha20Poly1305,
}
"""The authenticated ciphers by name.  Both have keys of 32 octets, nonces of 12 and tags of 16."""

_ONE_AT_A_TIME: Final = threading.Lock()
"""OpenSSL takes the threads of all lanes from one pool, and two derivations at once, each with a part of them, wait for
each other for ever (seen with OpenSSL 4.0.3)."""
OVERHEAD: Final = _NONCE_SIZE + _TAG_SIZE
"""Octets by which what is locked is longer than what it holds."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one derivation costs: ``memory`` in KiB, ``passes`` over it, in ``lanes``."""

    memory: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        """UsageError outside the limits: 8 KiB a lane (RFC 9106 section 3.1) to 1 GiB, 64 passes, 16 lanes."""
        if not (1 <= self.lanes <= 16 and 1 <= self.passes <= 64 and 8 * self.lanes <= self.memory <= 1 << 20):
            raise UsageError("no cost of a key: 1 to 64 passes over 8 KiB (in each of 1 to 16 lanes) to 1 GiB")

    def covers(self, least: Cost) -> bool:
        """Whether it is at least ``least``, in memory and in memory times passes."""
        return self.memory >= least.memory and self.memory * self.passes >= least.memory * least.passes

    def derive(self, passphrase: bytes, salt: bytes) -> bytes:
        """The key, 32 octets.  UsageError if the machine has not that much memory."""
        argon2 = Argon2id(salt=salt, length=KEY_SIZE, iterations=self.passes, lanes=self.lanes, memory_cost=self.memory)
        try:
            with _ONE_AT_A_TIME:
                return argon2.derive(passphrase)
        except MemoryError:
            raise UsageError(f"a key from this passphrase takes {self.memory >> 10} MiB of memory") from None

    def __str__(self) -> str:
        return f"Argon2id, memory {self.memory >> 10} MiB, passes {self.passes}, lanes {self.lanes}"


LEAST: Final = Cost(memory=19 << 10, passes=2, lanes=1)
"""OWASP."""
RECOMMENDED: Final = Cost(memory=64 << 10, passes=3, lanes=4)
"""RFC 9106 section 4, for where memory is not plentiful: about 0.15 s on the machines of 2026."""


def acceptable(passphrase: str) -> str:
    """The passphrase itself, if a new one may be like this.  UsageError if it is too short."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise UsageError(f"a passphrase has at least {MIN_PASSPHRASE} characters")
    return passphrase


def lock(cipher: str, key: bytes, content: bytes, context: bytes) -> bytes:
    """``content`` under ``key`` by the cipher of that name, with a fresh nonce in front; bound to ``context``."""
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + CIPHERS[cipher](key).encrypt(nonce, content, context)


def unlock(cipher: str, key: bytes, locked: bytes, context: bytes) -> bytes:
    """What ``lock`` was given.  DecryptionFailure, the same for every cause, if key, context or an octet differs."""
    if len(locked) < OVERHEAD:
        raise DecryptionFailure
    try:
        return CIPHERS[cipher](key).decrypt(locked[:_NONCE_SIZE], locked[_NONCE_SIZE:], context)
    except InvalidTag:
        raise DecryptionFailure from None
