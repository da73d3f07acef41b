"""Whether what a hierarchy holds is what its log says: nothing issued, revoked or taken back unnoticed.

Source: architecture section 3.10 (one recorded truth).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from pki import check_bci, check_certificate, check_crl
from pki.der import DecodingFailure, decode
from setproto.ca.office import BCI, CRL, FOUNDED, ROOT, Office
from setproto.ca.records import HIERARCHY, Noted
from setproto.ca.register import CERTIFICATE, REVOCATION
from setproto.errors import UsageError
from setproto.roles import journal
from setproto.roles.ports import Transaction

__all__ = ["LogDisagrees", "Told", "audit", "told"]

_Statement = tuple[str, str, int, bytes]
"""What, about whom, the number and the digest."""


class LogDisagrees(UsageError):
    """The log is whole, and the database is not what it says."""


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the log, read."""

    entry: journal.Entry
    noted: Noted

    @property
    def number(self) -> str:
        """The number of what it is about: serial numbers in hexadecimal, as certificates show them."""
        serial = self.entry.what in (CERTIFICATE, REVOCATION, ROOT)
        return f"{self.noted.number:X}" if serial else f"{self.noted.number}"


def told(transaction: Transaction) -> Iterator[Told]:
    """Every entry of the log, the oldest first.  JournalDamaged as for ``journal.read``."""
    for entry in journal.read(transaction):
        try:
            yield Told(entry, decode(Noted, entry.data))
        except DecodingFailure:
            raise journal.JournalDamaged(entry.number, "cannot be read") from None


def audit(transaction: Transaction, office: Office, noted_before: journal.Head | None = None) -> journal.Head:
    """Read the whole log and compare it with the registers and with what is published; returns the head.

    ``noted_before``: a head that was noted elsewhere, to which the log must still lead.  JournalDamaged where the log
    was changed; LogDisagrees, naming the first of them, where the log and the database say different things.
    """
    logged: set[_Statement] = set()
    newest: dict[tuple[str, str], _Statement] = {}
    reached = noted_before is None or noted_before == journal.Head(count=0, last=journal.START)
    for one in told(transaction):
        statement = (one.entry.what, one.noted.about, one.noted.number, one.noted.digest)
        if one.entry.what in (CRL, BCI):
            newest[one.entry.what, one.noted.about] = statement
        else:
            logged.add(statement)
        reached = reached or journal.Head(count=one.entry.number, last=one.entry.hash) == noted_before
    if not reached:
        raise LogDisagrees("the log does not lead to the head that was noted")
    logged.update(newest.values())  # of what is published only the newest is kept
    found = set(_holdings(transaction, office))
    for statements, words in ((found - logged, "is not in the log"), (logged - found, "is in the log and not there")):
        for what, about, number, _ in sorted(statements)[:1]:
            raise LogDisagrees(f"the database disagrees with its log: {what} {number:X} of {about} {words}")
    return journal.head(transaction)


def _holdings(transaction: Transaction, office: Office) -> Iterator[_Statement]:
    yield FOUNDED, office.hierarchy.root.name, 1, _sha256(transaction.get(*HIERARCHY) or b"")
    for name, record in office.records.items():
        if not record.superior:
            root = record.certificates[0]
            yield ROOT, name, check_certificate(root).certificate.serial_number, _sha256(root)
        for what, noted in office.register(name).entries():
            yield what, noted.about, noted.number, noted.digest
    for name, crl in office.crls().items():
        yield CRL, name, check_crl(crl).number, _sha256(crl)
    for brand, bci in office.bcis().items():
        yield BCI, brand, check_bci(bci).number, _sha256(bci)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
