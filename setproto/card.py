"""Card data that cannot be shown by accident.

A :class:`PAN` or an expiry prints as a placeholder everywhere: ``repr``, ``str``, format strings, logs,
tracebacks, and it refuses to be pickled or copied into JSON.  The one way out is :meth:`PAN.reveal`, so that
a search for that name finds every place where card data leaves its type (PCI DSS 3.4; architecture §4).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from setproto.crypto.digests import derive_key, equal, mac

_DIGITS: Final = re.compile(r"[0-9]{12,19}")
_EXPIRY: Final = re.compile(r"20[0-9]{2}(0[1-9]|1[0-2])")


class Secret:
    """A value that redacts itself.  Compared in constant time; not hashable, picklable or iterable."""

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} redacted>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and equal(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret would be a test for guesses

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not written anywhere by accident")


class PAN(Secret):
    """A primary account number: 12 to 19 digits with a good check digit (ISO/IEC 7812-1)."""

    __slots__ = ()

    def __init__(self, digits: str) -> None:
        # The message must not quote the digits: it may end up in a log.
        if not _DIGITS.fullmatch(digits) or not luhn(digits):
            raise ValueError("not a card number: 12 to 19 digits with a valid check digit are needed")
        super().__init__(digits)

    def reveal(self) -> str:
        """The digits.  Every call is a place to justify."""
        return self._value.decode()

    def last_four(self) -> str:
        """The last four digits, which PCI DSS 3.4.1 lets a cardholder see."""
        return self._value[-4:].decode()


class CardExpiry(Secret):
    """The last month in which the card is good, ``YYYYMM``."""

    __slots__ = ()

    def __init__(self, yyyymm: str) -> None:
        if not _EXPIRY.fullmatch(yyyymm):
            raise ValueError("a card expiry is YYYYMM")
        super().__init__(yyyymm)

    def reveal(self) -> str:
        """The six digits."""
        return self._value.decode()


class CardSecret(Secret):
    """32 octets that only the cardholder and the issuer's CA know (set-protocol.md §3.8)."""

    __slots__ = ()

    def __init__(self, value: bytes) -> None:
        if len(value) != 32:
            raise ValueError(f"a {type(self).__name__} has 32 octets")
        super().__init__(value)

    def reveal(self) -> bytes:
        """The octets."""
        return self._value


class PANSecret(CardSecret):
    """32 octets that bind a card to the subject name of its certificate; the gateway sees it in a PI."""

    __slots__ = ()

    @classmethod
    def derive(cls, card_secret: CardSecret, nonce_cca: bytes, brand: str) -> PANSecret:
        """From what the cardholder and its CA each contributed, 32 octets both (fixes W-5; PX-14).

        SET takes the exclusive or, so whoever speaks last chooses the result.  A key derivation function over
        both, with the brand as context, gives neither side control.
        """
        if len(nonce_cca) != 32:
            raise ValueError("Nonce-CCA has 32 octets")
        return cls(derive_key("PANSecret", card_secret.reveal() + nonce_cca, brand.encode()))


@dataclass(frozen=True, slots=True)
class Card:
    """One payment card as its holder knows it."""

    brand: str
    pan: PAN
    expiry: CardExpiry


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1 annex B)."""
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def unique_cardholder_id(pan: PAN, expiry: CardExpiry, pan_secret: PANSecret) -> bytes:
    """The pseudonym in the subject of a cardholder certificate: a MAC of 32 octets (in Base64 there).

    Keyed with PANSecret, so that the certificate is no test for guesses of the PAN (set-protocol.md §6.4; which
    octets SET hashes is unconfirmed there: PAN and expiry, framed, are taken here).
    """
    return mac("UniqueCardholderID", pan_secret.reveal(), pan.reveal().encode(), expiry.reveal().encode())


def cardholder_name(pan: PAN, expiry: CardExpiry, pan_secret: PANSecret) -> str:
    """The Unique Cardholder ID as the certificate's commonName shows it: Base64, 44 characters."""
    return base64.b64encode(unique_cardholder_id(pan, expiry, pan_secret)).decode()


TRANS_STAIN_SIZE: Final = 20


def trans_stain(xid: bytes, card_secret: CardSecret) -> bytes:
    """TransStain: proves to the issuer that the certified wallet made this transaction (set-protocol.md §3.8).

    HMAC-SHA-256 cut to SET's 20 octets, because the fields of the card network that carry it have 20 (bank.md §3.2).
    """
    return mac("TransStain", card_secret.reveal(), xid)[:TRANS_STAIN_SIZE]
