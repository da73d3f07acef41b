"""CardSecret and PANSecret of a registered card in a file, under a passphrase.

The file is PEM (``LABEL``); in it the two, sealed (AES-256-GCM) under a key that scrypt makes of the passphrase, at the
cost of the keys of the hierarchy (``vault``).
"""

from __future__ import annotations

import os
from typing import Final

from pki.der import DecodingFailure, Redacted, decode, encode, sequence
from setproto.ca.vault import SCRYPT_N, acceptable, stretch
from setproto.card import CardSecret, PANSecret
from setproto.crypto.cms import SecretKey, seal, unseal
from setproto.errors import DecryptionFailure, UsageError

LABEL: Final = "SETPROTO CARD SECRETS"
_CONTEXT: Final = b"setproto card secrets"


@sequence
class _Secrets(Redacted):
    card_secret: bytes
    pan_secret: bytes


@sequence
class _File:
    salt: bytes
    n: int
    sealed: bytes


def dump_card_secrets(card_secret: CardSecret, pan_secret: PANSecret, passphrase: str, *, n: int = SCRYPT_N) -> bytes:
    """The contents of the file in DER.  UsageError if the passphrase is too short."""
    salt = os.urandom(32)
    content = encode(_Secrets(card_secret=card_secret.reveal(), pan_secret=pan_secret.reveal()))
    sealed = seal(content, _key(acceptable(passphrase), salt, n), context=_CONTEXT)
    return encode(_File(salt=salt, n=n, sealed=sealed))


def load_card_secrets(der: bytes, passphrase: str) -> tuple[CardSecret, PANSecret]:
    """What is in the file.  UsageError if it is none, damaged, or of another passphrase: which of them is not said."""
    try:
        file = decode(_File, der)
        if not 2 <= file.n <= SCRYPT_N or file.n & (file.n - 1):
            raise UsageError("the card secrets cannot be opened")
        secrets = decode(_Secrets, unseal(file.sealed, _key(passphrase, file.salt, file.n), context=_CONTEXT).content)
        return CardSecret(secrets.card_secret), PANSecret(secrets.pan_secret)
    except (DecodingFailure, DecryptionFailure, ValueError):
        raise UsageError("the card secrets cannot be opened") from None


def _key(passphrase: str, salt: bytes, n: int) -> SecretKey:
    return SecretKey(stretch(passphrase, salt, n), salt[:8])
