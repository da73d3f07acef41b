"""What an authority must never forget: the keys it has certified, what it has revoked, and how far it has counted.

``Register`` is a protocol, so that the memory can be a database and a change of it part of the
caller's transaction: an authority bound to a register (``Authority.using``) does nothing that
outlives it anywhere else.  ``MemoryRegister`` is for tests and for programs that issue once.

Sources: RFC 5280 sections 5.2.3 and 5.3.1; set-protocol.md section 6.9 and property CR-18.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from cryptography import x509

from pki.errors import CertificateError

__all__ = ["MemoryRegister", "Register", "Revocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """When a certificate was revoked (an aware time; kept in UTC to the second), and why, if that is to be said.

    ValueError for a naive time, and for the reasons "removeFromCRL" (delta CRLs, which do not exist
    here) and "unspecified" (RFC 5280 section 5.3.1: absent instead).
    """

    at: datetime
    reason: x509.ReasonFlags | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a time without a time zone")
        if self.reason in (x509.ReasonFlags.remove_from_crl, x509.ReasonFlags.unspecified):
            raise ValueError("no reason for a revocation")
        object.__setattr__(self, "at", self.at.astimezone(UTC).replace(microsecond=0))


class Register(Protocol):
    """The memory of one key of one authority.  Nothing in it is ever taken back, except by undoing a transaction."""

    def is_certified(self, key_digest: bytes) -> bool:
        """Whether a key (SHA-256 of its SubjectPublicKeyInfo, 32 octets) was ever certified here (CR-18)."""
        ...

    def add(self, serial: int, key_digest: bytes, certificate: bytes) -> None:
        """Note a certificate (DER) that is about to be handed out.

        CertificateError("invalidCertificate") if the serial number or the key is there already: where two
        transactions run side by side this decides, and not ``is_certified`` before it.
        """
        ...

    def certificate(self, serial: int) -> bytes | None:
        """The certificate with this serial number in DER; None if none was issued."""
        ...

    def revoke(self, serial: int, revocation: Revocation) -> None:
        """Note a revocation; an earlier one of the same certificate stays as it is."""
        ...

    def revoked(self) -> Iterable[tuple[int, Revocation]]:
        """Everything revoked so far, by serial number, in any order."""
        ...

    def next_number(self, counter: str) -> int:
        """1, 2, 3, … for each ``counter`` ("CRL" and "BCI"): never a number twice."""
        ...


class MemoryRegister:
    """A register that forgets when the process ends."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()
        self._certificates: dict[int, bytes] = {}
        self._revoked: dict[int, Revocation] = {}
        self._numbers: dict[str, int] = {}

    def is_certified(self, key_digest: bytes) -> bool:
        """As in ``Register``."""
        return key_digest in self._keys

    def add(self, serial: int, key_digest: bytes, certificate: bytes) -> None:
        """As in ``Register``."""
        if serial in self._certificates or key_digest in self._keys:
            raise CertificateError(
                "invalidCertificate", "serial number or key is in the register already", "set-protocol.md CR-18"
            )
        self._certificates[serial] = certificate
        self._keys.add(key_digest)

    def certificate(self, serial: int) -> bytes | None:
        """As in ``Register``."""
        return self._certificates.get(serial)

    def revoke(self, serial: int, revocation: Revocation) -> None:
        """As in ``Register``."""
        self._revoked.setdefault(serial, revocation)

    def revoked(self) -> Iterable[tuple[int, Revocation]]:
        """As in ``Register``."""
        return tuple(self._revoked.items())

    def next_number(self, counter: str) -> int:
        """As in ``Register``."""
        self._numbers[counter] = number = self._numbers.get(counter, 0) + 1
        return number
