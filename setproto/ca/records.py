"""What lies in the database of a hierarchy, besides the registers and the log: DER under these tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, TypeVar

from pki.der import DecodingFailure, Explicit, decode, encode, sequence
from setproto.errors import UsageError
from setproto.roles.ports import Transaction

T = TypeVar("T")

__all__ = [
    "BCIS",
    "CRLS",
    "HIERARCHY",
    "NEXT_ROOT",
    "AuthorityRecord",
    "MessagesRecord",
    "Noted",
    "Pair",
    "authorities",
    "keep_authority",
    "keep_messages",
    "messages",
]

HIERARCHY: Final = ("hierarchy", b"toml")
"""Table and key of the declaration that the hierarchy was made from."""
NEXT_ROOT: Final = ("next_root", b"key")
"""The sealed key of the root to come, which the current one has committed to (set-protocol.md section 6.8)."""
CRLS: Final = "crls"
"""Name of a CA → its newest CRL in DER."""
BCIS: Final = "bcis"
"""Brand → its newest BrandCRLIdentifier in DER."""
_AUTHORITIES: Final = "authorities"
_MESSAGES: Final = "messages"


@sequence
class AuthorityRecord:
    """A CA: one name of the hierarchy with one key.  With a new key it gets a new ``generation``."""

    role: str
    brand: str
    generation: int
    superior: str
    """Name of the CA that issued the newest certificate; empty for a root."""
    certificates: list[bytes]
    """DER, the newest first: a brand CA has one more from every root since its key was made."""
    private_key: bytes

    @property
    def name(self) -> str:
        """``root.1``, ``Marque/merchant-ca.2``."""
        return f"{f'{self.brand}/' if self.brand else ''}{self.role}.{self.generation}"


@sequence
class Pair:
    """A certificate and its sealed private key."""

    certificate: bytes
    private_key: bytes


@sequence
class MessagesRecord:
    """The certificates with which a CA takes part in the protocol."""

    superior: str
    """Name of the CA that issued them."""
    signature: Pair
    exchange: Annotated[Pair | None, Explicit(0)] = None


@sequence
class Noted:
    """What an entry of the log is about: ``number`` is a serial number, or that of a CRL or BCI."""

    about: str
    number: int
    digest: bytes
    """SHA-256 of the object in DER; of a revocation, of its record in the register."""


def keep_authority(transaction: Transaction, record: AuthorityRecord) -> None:
    """Set or replace the record of a CA."""
    transaction.put(_AUTHORITIES, record.name.encode(), encode(record))


def authorities(transaction: Transaction) -> dict[str, AuthorityRecord]:
    """Every CA by name: superiors before those below them, and the newest generation of each last."""
    records = [_decoded(AuthorityRecord, value) for _, value in transaction.items(_AUTHORITIES)]
    ranks = ("root", "brand-ca", "geo-ca", "cardholder-ca", "merchant-ca", "gateway-ca")
    records.sort(key=lambda record: (record.brand, ranks.index(record.role), record.generation))
    return {record.name: record for record in records}


def keep_messages(transaction: Transaction, name: str, record: MessagesRecord) -> None:
    """Set or replace the message certificates of a CA."""
    transaction.put(_MESSAGES, name.encode(), encode(record))


def messages(transaction: Transaction) -> Iterator[tuple[str, MessagesRecord]]:
    """Name of a CA and its message certificates, for all that have some."""
    return ((key.decode(), _decoded(MessagesRecord, value)) for key, value in transaction.items(_MESSAGES))


def _decoded(of_type: type[T], stored: bytes) -> T:
    try:
        return decode(of_type, stored)
    except DecodingFailure as failure:
        raise UsageError(f"the database is damaged: {failure}") from None
