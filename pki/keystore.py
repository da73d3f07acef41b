"""Private keys at rest: PKCS#8 in PEM, encrypted with a passphrase.

Sources: RFC 5958, RFC 7468 section 11; the encryption is PBES2 as ``cryptography``
recommends it (BestAvailableEncryption).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from pki.errors import KeyStoreError
from pki.profiles import Use
from pki.suites import ExchangePrivateKey, KeySuite, PrivateKey, SignaturePrivateKey

__all__ = [
    "dump_private_key",
    "dump_unencrypted_for_tests",
    "load_exchange_key",
    "load_signature_key",
    "load_unencrypted_for_tests",
    "save_private_key",
]

_MAX_PEM = 64 * 1024


def dump_private_key(key: PrivateKey, passphrase: bytes) -> bytes:
    """The key as encrypted PKCS#8 PEM.  KeyStoreError if the passphrase is empty."""
    if not passphrase:
        raise _failure("an empty passphrase protects nothing")
    return _pem(key, serialization.BestAvailableEncryption(passphrase))


def dump_unencrypted_for_tests(key: PrivateKey) -> bytes:
    """The key as PKCS#8 PEM in clear: for test vectors, whose keys are public anyway."""
    return _pem(key, serialization.NoEncryption())


def save_private_key(path: Path, key: PrivateKey, passphrase: bytes) -> None:
    """Write the encrypted key to a new file that only its owner may read.

    FileExistsError if the file exists: a key is never overwritten.
    """
    pem = dump_private_key(key, passphrase)
    # Created with its final mode, so that there is no moment at which others could open it.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def load_signature_key(pem: bytes, passphrase: bytes, suite: KeySuite) -> SignaturePrivateKey:
    """The signature key in an encrypted PEM.  KeyStoreError if it cannot be opened, or is not of ``suite``."""
    return cast(SignaturePrivateKey, _load(pem, passphrase, suite, Use.SIGN))


def load_exchange_key(pem: bytes, passphrase: bytes, suite: KeySuite) -> ExchangePrivateKey:
    """The key-exchange key in an encrypted PEM.  Errors as for ``load_signature_key``."""
    return cast(ExchangePrivateKey, _load(pem, passphrase, suite, Use.EXCHANGE))


def load_unencrypted_for_tests(pem: bytes, suite: KeySuite, use: Use) -> PrivateKey:
    """The key that ``dump_unencrypted_for_tests`` wrote.  KeyStoreError if it is encrypted or not of ``suite``."""
    return _load(pem, None, suite, use)


def _load(pem: bytes, passphrase: bytes | None, suite: KeySuite, use: Use) -> PrivateKey:
    if len(pem) > _MAX_PEM:
        raise _failure("too large for a private key")
    try:
        key: PrivateKeyTypes = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # TypeError: a passphrase for a key in clear, or none for an encrypted one.  The text of the
        # parser is not passed on: it must not say how near a guess was.
        raise _failure("private key cannot be opened") from None
    accepts = suite.accepts_exchange_key if use is Use.EXCHANGE else suite.accepts_signature_key
    if not accepts(key.public_key()):
        raise _failure(f"not a private key of suite {suite.name} for {use.value}")
    return cast(PrivateKey, key)


def _pem(key: PrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _failure(rule: str) -> KeyStoreError:
    return KeyStoreError("invalidCertificate", rule, "RFC 5958")
