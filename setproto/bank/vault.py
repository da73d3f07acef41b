"""Card data at rest: found by a keyed hash, kept sealed (PCI DSS 3.5.1, 3.5.1.1; bank.md §10)."""

from __future__ import annotations

from typing import Final

from pki.der import Redacted, decode, encode, sequence
from setproto.card import PAN, CardExpiry
from setproto.crypto.cms import SecretKey, seal, unseal
from setproto.crypto.digests import DIGEST_SIZE, derive_key, mac

_CARD: Final = b"setproto bank card"


@sequence
class _Card(Redacted):
    pan: str
    expiry: str
    holder: str


class CardVault:
    """Hides card numbers and secrets under a key from configuration.  Its ``repr`` shows nothing."""

    def __init__(self, key: bytes) -> None:
        """``key``: 32 octets; what hides and what finds are derived from it.  ValueError for another size."""
        if len(key) != DIGEST_SIZE:
            raise ValueError(f"the key of a vault has {DIGEST_SIZE} octets")
        self._index = derive_key("CardIndex", key)
        self._sealing = SecretKey(derive_key("CardSealing", key), b"card vault")

    def __repr__(self) -> str:
        return "<CardVault redacted>"

    def handle(self, digits: str) -> str:
        """What stands for a card number in the database: HMAC-SHA-256 in hexadecimal."""
        return mac("CardHandle", self._index, digits.encode()).hex()

    def fingerprint(self, message: bytes) -> bytes:
        """32 octets that tell whether two messages with card data are the same."""
        return mac("MessageFingerprint", self._index, message)

    def seal(self, secret: bytes, about: str) -> bytes:
        """Sealed octets that open only for the same ``about``."""
        return seal(secret, self._sealing, context=about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """What was sealed.  DecryptionFailure if it was changed, moved, or is of another vault."""
        return unseal(sealed, self._sealing, context=about.encode()).content

    def seal_card(self, pan: PAN, expiry: CardExpiry, holder: str = "") -> bytes:
        """Number, expiry and the name of the holder, sealed."""
        card = _Card(pan=pan.reveal(), expiry=expiry.reveal(), holder=holder)
        return seal(encode(card), self._sealing, context=_CARD)

    def open_card(self, sealed: bytes) -> tuple[PAN, CardExpiry, str]:
        """The three again.  DecryptionFailure as for ``open``."""
        card = decode(_Card, unseal(sealed, self._sealing, context=_CARD).content)
        return PAN(card.pan), CardExpiry(card.expiry), card.holder
