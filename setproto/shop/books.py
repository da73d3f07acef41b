"""What a shop knows of its orders and customers, and the receipts it writes (trade.md T55, T60, T64, T66).

It reads the merchant's records, in a transaction of the caller's.  There is no card data to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.messages.codes import AuthCode, CompletionCode
from setproto.messages.common import VERSION, PartyID
from setproto.messages.receipt import Receipt, description_digest
from setproto.roles.merchant import records
from setproto.roles.merchant.records import OrderRecord, PurchaseRecord
from setproto.roles.operations import live_sum
from setproto.roles.ports import Transaction

__all__ = ["Balance", "Entry", "balance", "customer_code", "entries", "entry", "receipt"]

CUSTOMERS: Final = "customers"
_COUNT: Final = b""


@dataclass(frozen=True)
class Balance:
    """What stands of a purchase: held, taken of that, given back of that."""

    authorized: CurrencyAmount
    captured: CurrencyAmount
    credited: CurrencyAmount

    @property
    def completion(self) -> CompletionCode | None:
        """How far it went; None if nothing stands."""
        if self.credited.amount:
            return CompletionCode.creditPerformed
        if self.captured.amount:
            return CompletionCode.capturePerformed
        return CompletionCode.authorizationPerformed if self.authorized.amount else None


@dataclass(frozen=True)
class Entry:
    """An order as the shop's people see it."""

    order: bytes
    xid: bytes | None
    customer: str | None
    amount: CurrencyAmount
    status: str
    """``open``, ``waiting``, ``declined``, ``approved``, ``captured``, ``refunded`` or ``cancelled``."""
    description: bytes
    balance: Balance | None


def balance(record: PurchaseRecord, amount: CurrencyAmount) -> Balance:
    """What stands of a purchase, in the currency and exponent of ``amount``."""
    captures = [capture for one in record.authorizations for capture in one.captures]
    credits = [credit for capture in captures for credit in capture.credits]
    sums = (live_sum(operations, amount) for operations in (record.authorizations, captures, credits))
    return Balance(*sums)


def customer_code(transaction: Transaction, cardholder: PartyID) -> str:
    """The shop's own number for whoever holds this certificate; a new customer gets the next one."""
    key = encode(cardholder)
    stored = transaction.get(CUSTOMERS, key)
    if stored is None:
        count = int.from_bytes(transaction.get(CUSTOMERS, _COUNT) or b"", "big") + 1
        stored = f"C-{count:06d}".encode()
        transaction.put(CUSTOMERS, _COUNT, count.to_bytes(8, "big"))
        transaction.put(CUSTOMERS, key, stored)
    return stored.decode()


def receipt(
    transaction: Transaction, record: PurchaseRecord, merchant: PartyID, gateway: PartyID, at: datetime
) -> Receipt | None:
    """The receipt for a purchase as it stands at ``at``; None if it was not approved, or was taken back whole."""
    ordered = record.ordered
    order = records.order(transaction, record.trans_ids.lid_m)
    stands = balance(record, order.amount)
    completion = stands.completion
    if ordered is None or order.xid != record.trans_ids.xid or completion is None:
        return None
    return Receipt(
        version=VERSION,
        xid=record.trans_ids.xid,
        lid_m=order.lid_m,
        merchant=merchant,
        cardholder=ordered.cardholder,
        gateway=gateway,
        customer_code=customer_code(transaction, ordered.cardholder),
        description_digest=description_digest(order.description),
        description=order.description,
        amount=order.amount,
        hod=ordered.hod,
        date=general_time(at),
        completion_code=completion,
        auth_code=AuthCode.approved,
        authorized=stands.authorized,
        captured=stands.captured,
        credited=stands.credited,
    )


def entries(transaction: Transaction) -> Iterator[Entry]:
    """Every order, the oldest first as far as their LID-Ms begin with the time."""
    for _, stored in transaction.items(records.ORDERS):
        yield _entry(transaction, decode(OrderRecord, stored))


def entry(transaction: Transaction, lid_m: bytes) -> Entry:
    """One order.  ProtocolError (unknownLID) if there is none."""
    return _entry(transaction, records.order(transaction, lid_m))


def _entry(transaction: Transaction, order: OrderRecord) -> Entry:
    if order.xid is None:
        return Entry(order.lid_m, None, None, order.amount, "open", order.description, None)
    record = records.purchase(transaction, order.xid)
    stands = balance(record, order.amount)
    customer = None if record.ordered is None else customer_code(transaction, record.ordered.cardholder)
    return Entry(order.lid_m, order.xid, customer, order.amount, _status(record, stands), order.description, stands)


def _status(record: PurchaseRecord, stands: Balance) -> str:
    if record.outstanding is not None and not record.has_failed:
        return "waiting"
    words = {
        CompletionCode.creditPerformed: "refunded",
        CompletionCode.capturePerformed: "captured",
        CompletionCode.authorizationPerformed: "approved",
    }
    if stands.completion is not None:
        return words[stands.completion]
    approved = any(authorization.code is AuthCode.approved for authorization in record.authorizations)
    return "cancelled" if approved else "declined"
