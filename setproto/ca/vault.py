"""The private keys of a hierarchy, under one passphrase.

A key lies in the database, as encrypted PKCS#8, beside the certificate made for it: so that both come to be in one
transaction, and one copy of one file is a whole backup.  PKCS#8's own derivation of a key from a passphrase is too
quick for a passphrase that people can type (``cryptography`` writes 2,048 rounds of PBKDF2), so what encrypts the keys
is not the passphrase but 32 octets made of it by scrypt, with a salt of the hierarchy's own: every guess costs
128 MiB and a good part of a second.

Sources: RFC 7914 (scrypt); the cost is that of the OWASP Password Storage Cheat Sheet (N = 2^17, r = 8, p = 1); the
length is that of NIST SP 800-63B-4 section 3.1.1 for a password that is the only factor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pki import KeyStoreError, KeySuite
from pki.der import decode, encode, sequence
from pki.keystore import dump_private_key, load_exchange_key, load_signature_key
from pki.suites import ExchangePrivateKey, PrivateKey, SignaturePrivateKey
from setproto.crypto.digests import DIGEST_SIZE, derive_key, equal
from setproto.crypto.locked import MIN_PASSPHRASE, acceptable
from setproto.errors import UsageError
from setproto.roles.ports import RandomBytes, Transaction

__all__ = ["MIN_PASSPHRASE", "SCRYPT_N", "Vault", "WrongPassphrase", "acceptable", "stretch"]

SCRYPT_N: Final = 1 << 17
_SCRYPT_R: Final = 8
_TABLE: Final = "vault"
_KEY: Final = b"scrypt"


class WrongPassphrase(UsageError):
    """The passphrase does not open the keys, or there is none and one is needed."""


@sequence
class _Lock:
    """How the passphrase was stretched, and what tells a right one."""

    salt: bytes
    n: int
    check: bytes


class Vault:
    """Opens and seals keys.  Keys once opened are kept for the life of the object; its ``repr`` shows nothing."""

    def __init__(self, secret: bytes, suite: KeySuite) -> None:
        """``secret``: what encrypts the keys, 32 octets; ``create`` and ``open`` make it of a passphrase."""
        self._secret = derive_key("CAKeys", secret).hex().encode()
        self._suite = suite
        self._opened: dict[bytes, SignaturePrivateKey] = {}

    def __repr__(self) -> str:
        return f"<Vault suite {self._suite.name}, redacted>"

    @classmethod
    def create(
        cls, transaction: Transaction, passphrase: str, suite: KeySuite, random: RandomBytes, *, n: int = SCRYPT_N
    ) -> Vault:
        """A new one, whose salt is kept in the database.  UsageError if the passphrase is too short."""
        salt = random(DIGEST_SIZE)
        secret = stretch(acceptable(passphrase), salt, n)
        lock = _Lock(salt=salt, n=n, check=derive_key("CAPassphraseCheck", secret))
        transaction.put(_TABLE, _KEY, encode(lock))
        return cls(secret, suite)

    @classmethod
    def open(cls, transaction: Transaction, passphrase: str, suite: KeySuite) -> Vault:
        """The one in the database.  WrongPassphrase, before any key is touched, if this is not its passphrase."""
        stored = transaction.get(_TABLE, _KEY)
        if stored is None:
            raise UsageError("there are no keys here")
        lock = decode(_Lock, stored)
        # The file may have been changed by somebody who wants our memory.
        if not 2 <= lock.n <= SCRYPT_N or lock.n & (lock.n - 1):
            raise UsageError("the record of the keys is damaged")
        secret = stretch(passphrase, lock.salt, lock.n)
        if not equal(derive_key("CAPassphraseCheck", secret), lock.check):
            raise WrongPassphrase("the passphrase is wrong")
        return cls(secret, suite)

    def seal(self, key: PrivateKey) -> bytes:
        """The key as encrypted PKCS#8 in PEM."""
        return dump_private_key(key, self._secret)

    def derived(self, label: str) -> bytes:
        """32 octets for another secret purpose of the hierarchy, the same for the same label."""
        return derive_key(label, self._secret)

    def signature_key(self, pem: bytes) -> SignaturePrivateKey:
        """A signature key that was sealed.  UsageError if it does not open: then the database is damaged."""
        if pem not in self._opened:
            with _sound():
                self._opened[pem] = load_signature_key(pem, self._secret, self._suite)
        return self._opened[pem]

    def exchange_key(self, pem: bytes) -> ExchangePrivateKey:
        """A key-exchange key that was sealed.  Errors as for ``signature_key``."""
        with _sound():
            return load_exchange_key(pem, self._secret, self._suite)


@contextmanager
def _sound() -> Iterator[None]:
    try:
        yield
    except KeyStoreError as failure:
        raise UsageError(f"a private key in the database is damaged: {failure.rule}") from None


def stretch(passphrase: str, salt: bytes, n: int) -> bytes:
    """32 octets of a passphrase by scrypt (RFC 7914) at the cost ``n``."""
    # Twice what scrypt needs itself (128 * n * r octets).
    memory = 2 * 128 * n * _SCRYPT_R
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=_SCRYPT_R, p=1, maxmem=memory, dklen=DIGEST_SIZE)
