"""The register of one key of one CA, in the database and in the caller's transaction.

What a CA issues and revokes is written into the log by the register itself, in the same transaction: whoever holds an
``Authority`` bound to this register cannot issue unnoticed.  Every question is answered by one look at one key; only
the list of what is revoked is read through, when a CRL is made.

Sources: ``pki.register.Register``; set-protocol.md CR-18; architecture section 3.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from cryptography import x509

from pki import CertificateError, CheckedCertificate, Revocation
from pki.der import DecodingFailure, GeneralizedTime, Implicit, decode, encode, general_time, sequence
from setproto.ca.records import Noted
from setproto.errors import UsageError
from setproto.roles import journal
from setproto.roles.ports import Transaction

__all__ = ["CERTIFICATE", "REVOCATION", "Issued", "StoreRegister"]

CERTIFICATE: Final = "certificate"
REVOCATION: Final = "revocation"
"""What the entries of the log say that they are about."""

_SERIAL_SIZE: Final = 20
# RFC 5280 section 5.3.1; 0 (unspecified) is said by saying nothing, and 8 (removeFromCRL) does not exist here.
_REASONS: Final = {
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}
_NUMBERS: Final = {reason: number for number, reason in _REASONS.items()}


@sequence
class _Revocation:
    time: GeneralizedTime
    reason: Annotated[int | None, Implicit(0)] = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate of the hierarchy, as its issuer's register has it."""

    issuer: str
    """Name of the CA; a root's own certificate is its own."""
    checked: CheckedCertificate
    revocation: Revocation | None

    @property
    def serial(self) -> int:
        """The serial number."""
        return self.checked.certificate.serial_number

    def state(self, at: datetime) -> str:
        """``revoked``, ``expired``, ``not yet valid`` or ``valid``; a chain above it is not looked at."""
        if self.revocation is not None:
            return "revoked"
        if at > self.checked.not_after:
            return "expired"
        return "valid" if at >= self.checked.not_before else "not yet valid"


class StoreRegister:
    """Implements ``pki.Register`` for the CA called ``name``, on tables of its own."""

    def __init__(self, transaction: Transaction, name: str, key_identifier: bytes, at: datetime) -> None:
        """``key_identifier``: that of the CA's key, which the register is of; ``at``: the time, for the log."""
        self._transaction = transaction
        self._name = name
        self._at = at
        # By the key and not by the name: the names of tables are short, and those of brands need not be.
        space = key_identifier.hex()
        self._certificates, self._keys = f"{space}:certificates", f"{space}:keys"
        self._revocations, self._counters = f"{space}:revocations", f"{space}:counters"

    def is_certified(self, key_digest: bytes) -> bool:
        """Whether a key (SHA-256 of its SubjectPublicKeyInfo) was ever certified with this CA's key."""
        return self._transaction.get(self._keys, key_digest) is not None

    def add(self, serial: int, key_digest: bytes, certificate: bytes) -> None:
        """Note a certificate, in the log too.  CertificateError if the serial number or the key is there already."""
        if self.certificate(serial) is not None or self.is_certified(key_digest):
            raise CertificateError(
                "invalidCertificate", "serial number or key is in the register already", "set-protocol.md CR-18"
            )
        self._transaction.put(self._certificates, _key(serial), certificate)
        self._transaction.put(self._keys, key_digest, _key(serial))
        self._note(CERTIFICATE, serial, certificate)

    def certificate(self, serial: int) -> bytes | None:
        """The certificate (DER) with this serial number, or None."""
        return self._transaction.get(self._certificates, _key(serial)) if 0 < serial < 1 << 160 else None

    def certificates(self) -> Iterator[tuple[int, bytes]]:
        """Every certificate (DER) by serial number."""
        return ((_serial(key), value) for key, value in self._transaction.items(self._certificates))

    def revoke(self, serial: int, revocation: Revocation) -> None:
        """Note a revocation, in the log too.  The first one stays."""
        if self._transaction.get(self._revocations, _key(serial)) is None:
            reason = None if revocation.reason is None else _NUMBERS[revocation.reason]
            record = encode(_Revocation(time=general_time(revocation.at), reason=reason))
            self._transaction.put(self._revocations, _key(serial), record)
            self._note(REVOCATION, serial, record)

    def revocation(self, serial: int) -> Revocation | None:
        """The revocation of one certificate, or None."""
        stored = self._transaction.get(self._revocations, _key(serial))
        return None if stored is None else _revocation(stored)

    def revoked(self) -> Iterable[tuple[int, Revocation]]:
        """Every revocation by serial number.  UsageError if one cannot be read: a CRL without it must not be made."""
        return ((_serial(key), _revocation(value)) for key, value in self._transaction.items(self._revocations))

    def next_number(self, counter: str) -> int:
        """1, 2, 3, … for each counter."""
        number = int.from_bytes(self._transaction.get(self._counters, counter.encode()) or b"", "big") + 1
        self._transaction.put(self._counters, counter.encode(), number.to_bytes(8, "big"))
        return number

    def entries(self) -> Iterator[tuple[str, Noted]]:
        """What the log must say about this register, in no particular order."""
        for what, table in ((CERTIFICATE, self._certificates), (REVOCATION, self._revocations)):
            for key, value in self._transaction.items(table):
                yield what, self._noted(_serial(key), value)

    def _note(self, what: str, serial: int, content: bytes) -> None:
        journal.append(self._transaction, self._at, what, encode(self._noted(serial, content)))

    def _noted(self, serial: int, content: bytes) -> Noted:
        return Noted(about=self._name, number=serial, digest=hashlib.sha256(content).digest())


def _key(serial: int) -> bytes:
    return serial.to_bytes(_SERIAL_SIZE, "big")


def _serial(key: bytes) -> int:
    return int.from_bytes(key, "big")


def _revocation(stored: bytes) -> Revocation:
    try:
        record = decode(_Revocation, stored)
        at = record.time.as_datetime()
        return Revocation(at=at, reason=None if record.reason is None else _REASONS[record.reason])
    except (DecodingFailure, KeyError):
        raise UsageError("the database is damaged: a revocation cannot be read") from None
