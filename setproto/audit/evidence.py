"""A small file about one purchase, cut out of a party's record: what ``statements`` needs, and nothing else.

Nothing in the file is believed for being there.  Each message is as it was signed; beside them are the order as it was
agreed on, which the cardholder's signature covers as a digest, and what the certificates were judged by at the time.
There is no card data in it, as there is none in any record.

It tells whoever reads it what was ordered, and for how much: give it to those who have to know.  A merchant that
captures several purchases in one request shows the amounts of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Final

from pki import CertificateError, check_bci, check_crl
from pki.der import DecodingFailure, GeneralizedTime, Implicit, Size, decode, encode, sequence
from setproto.amounts import CurrencyAmount
from setproto.errors import UsageError
from setproto.messages.common import XID, InstallRecurData, PartyID, Role, TransIDs
from setproto.messages.payment import EncB
from setproto.messages.purchase import OIData, PReq
from setproto.messages.registry import (
    AUTH_REQ,
    BATCH_ADMIN_REQ,
    BATCH_ADMIN_RES,
    PCERT_REQ,
    PCERT_RES,
    PINIT_REQ,
    PINIT_RES,
    PREQ,
    TRADE,
    MessageType,
    Operator,
)
from setproto.messages.wrapper import Wire, unwrap
from setproto.reading.cms import read_signed
from setproto.roles import cardholder, journal, recording
from setproto.roles.gateway import records as gateway_records
from setproto.roles.merchant import records as merchant_records
from setproto.roles.ports import Transaction
from setproto.roles.recording import Knowledge

VERSION: Final = 1
LABEL: Final = "SETPROTO EVIDENCE"
"""What a PEM block with such a file is called."""
MAX_EVIDENCE: Final = recording.MAX_ENTRY
MAX_ITEMS: Final = 10_000
ABOUT_PURCHASES: Final = tuple(
    kind for kind in TRADE if kind not in (PINIT_REQ, PINIT_RES, PCERT_REQ, PCERT_RES, BATCH_ADMIN_REQ, BATCH_ADMIN_RES)
)
"""The messages from which something follows about a purchase.  PInitRes only says that there may be one."""
_ITEMS: Final = ("cap_item_seq", "cap_res_item_seq", "item_seq", "res_item_seq")


@sequence
class Terms:
    """The order as cardholder and merchant agreed on it: with the salt in OIData it gives HOD."""

    description: bytes
    amount: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None


@sequence
class Item:
    """A message without its seal, and which ``known`` it is judged by, counted from 0."""

    known: int
    wire: bytes


@sequence
class Evidence:
    """The file.  ``hpi_data``: the digest of the payment instruction, where a gateway opened it."""

    version: int
    xid: XID
    terms: Annotated[Terms | None, Implicit(0)] = None
    hpi_data: Annotated[bytes | None, Implicit(1)] = None
    known: Annotated[list[Knowledge], Size(min=1, max=MAX_ITEMS)]
    items: Annotated[list[Item], Size(min=1, max=MAX_ITEMS)]


def purchases_of(message_type: MessageType[Any], body: Any) -> list[TransIDs]:
    """The purchases that a message is about: one, but for captures and credits, which have items."""
    _, trans_ids = message_type.locate(body)
    if trans_ids is not None:
        return [trans_ids]
    return [item.trans_ids for name in _ITEMS for item in getattr(body, name, ())]


def export(transaction: Transaction, xid: bytes, merchant: str | None = None) -> Evidence:
    """What this record holds about one purchase.

    ``merchant``: its name, where a gateway's record has the XID, which merchants choose, more than once.  UsageError
    if there is nothing, or something about several merchants; JournalDamaged if the record is not whole.
    """
    found = _Found()
    for entry in journal.read(transaction):
        handled = recording.read(entry)
        if handled.knowledge is not None:
            found.known.append(handled.knowledge)
        for message in handled.messages:
            # The octets first: of a long record most entries are about other purchases.
            if xid in message.wire:
                found.look_at(message.wire, xid, handled.party, merchant)
    if not found.items:
        raise UsageError("the record has nothing about this purchase")
    if len(found.merchants) > 1:
        raise UsageError(f"several merchants chose this XID: {', '.join(sorted(found.merchants))}; say which is meant")
    used = sorted({number for number, _ in found.items})
    return Evidence(
        version=VERSION,
        xid=xid,
        terms=found.terms(transaction),
        hpi_data=found.hpi_data(transaction, xid),
        known=[found.known[number] for number in used],
        items=[Item(known=used.index(number), wire=wire) for number, wire in found.items],
    )


class _Found:
    """What was found in a record so far."""

    def __init__(self) -> None:
        self.known: list[Knowledge] = []
        self.items: list[tuple[int, bytes]] = []
        self.merchants: set[str] = set()
        self._order: tuple[PartyID, TransIDs] | None = None
        """Whose record has the order, and its identifiers."""
        self._asked: tuple[PartyID, PartyID] | None = None
        """The gateway whose record it is, and the merchant that asked it."""

    def look_at(self, octets: bytes, xid: bytes, party: PartyID, merchant: str | None) -> None:
        """Take a message, if it is about this purchase."""
        wire = unwrap(octets)
        if wire.type not in ABOUT_PURCHASES or wire.type is None:
            return
        body = _body(wire, wire.type)
        about = [ids for ids in purchases_of(wire.type, body) if ids.xid == xid]
        named = next(end for end in (body.head.sender, body.head.recipient) if end.role is Role.merchant)
        if not about or merchant not in (None, named.name) or any(octets == taken for _, taken in self.items):
            return
        self.merchants.add(named.name)
        if wire.type is PREQ:
            self._order = (party, about[0])
        elif wire.type is AUTH_REQ and party.role is Role.gateway:
            self._asked = (party, named)
        self.items.append((self._judged_by(wire.header.date), octets))

    def _judged_by(self, date: GeneralizedTime) -> int:
        """The newest revocation data that was out when a message was made; else what is known now."""
        numbers = range(len(self.known) - 1, -1, -1)
        return next((number for number in numbers if _was_out(self.known[number], date)), len(self.known) - 1)

    def terms(self, transaction: Transaction) -> Terms | None:
        """The order that the cardholder signed, from this party's own books."""
        if self._order is None:
            return None
        party, ids = self._order
        record: Any
        if party.role is Role.cardholder:
            stored = transaction.get(cardholder.PURCHASES, ids.lid_c)
            if stored is None:
                raise UsageError("the books have no such purchase")
            record = decode(cardholder.Purchase, stored)
        else:
            record = merchant_records.order(transaction, ids.lid_m)
        return Terms(description=record.description, amount=record.amount, install_recur_data=record.install_recur_data)

    def hpi_data(self, transaction: Transaction, xid: bytes) -> bytes | None:
        """The digest of the payment instruction, which completes the cardholder's signature for a gateway."""
        if self._asked is None:
            return None
        record = gateway_records.find(transaction, self._asked[1], xid)
        return None if record is None else record.hpi_data


def _was_out(knowledge: Knowledge, date: GeneralizedTime) -> bool:
    return all(begins <= date.as_datetime() for begins in _begins(knowledge))


def _begins(knowledge: Knowledge) -> Iterator[Any]:
    with suppress(CertificateError):
        yield from (check_crl(crl).this_update for crl in knowledge.crls)
        if knowledge.bci is not None:
            yield check_bci(knowledge.bci).not_before


def _body(wire: Wire, message_type: MessageType[Any]) -> Any:
    """The body of a recorded message, read and not verified.  UsageError if it cannot be read."""
    try:
        if message_type is PREQ:
            return decode(OIData, decode(PReq, wire.body).oi.oi_data)
        signed = read_signed(decode(EncB, wire.body).enc if message_type.operator is Operator.ENCB else wire.body)
        if signed is None or signed.content is None:
            raise UsageError("the record holds a message that cannot be read")
        return decode(message_type.body, signed.content)
    except DecodingFailure:
        raise UsageError("the record holds a message that cannot be read") from None


def dump(evidence: Evidence) -> bytes:
    """The file in DER."""
    return encode(evidence)


def load(der: bytes) -> Evidence:
    """A file that was read.  UsageError if it is none."""
    try:
        return decode(Evidence, der, limit=MAX_EVIDENCE)
    except DecodingFailure:
        raise UsageError("not a file of evidence") from None
