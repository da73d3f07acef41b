"""What a gateway remembers: per purchase its authorisations, captures and credits.  No card data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from pki.der import MAX_SIZE, Default, Implicit, replace, sequence
from setproto.amounts import CurrencyAmount
from setproto.crypto.digests import digest
from setproto.errors import ErrorCode, ProtocolError
from setproto.messages.common import Date, InstallRecurData, PartyID, TransIDs
from setproto.roles.operations import OpState
from setproto.roles.party import same_purchase
from setproto.roles.ports import Transaction
from setproto.roles.remembered import Remembered

PURCHASES = "purchases"
USED_PI = "used_pi"
CANCELLED = "cancelled"
MAX_RECORD: Final = MAX_SIZE - 65_536
"""Octets of a purchase that is still continued: what one request of 100 items adds can be read again."""


@sequence
class CreditRecord:
    """Money given back."""

    number: int
    state: OpState
    amount: CurrencyAmount
    batch_id: int
    batch_sequence_num: int


@sequence
class CaptureRecord:
    """Money taken, and what was given back of it."""

    number: int
    state: OpState
    amount: CurrencyAmount
    batch_id: int
    batch_sequence_num: int
    credits: list[CreditRecord]

    def credit(self, number: int | None) -> CreditRecord | None:
        """The credit with this number."""
        return next((credit for credit in self.credits if credit.number == number), None)

    def having(self, credit: CreditRecord) -> CaptureRecord:
        """With this credit added, or put in the place of the one with its number."""
        return replace(self, credits=[*(c for c in self.credits if c.number != credit.number), credit])


@sequence
class AuthorizationRecord:
    """Money held, and what was taken of it."""

    auth_rrpid: bytes
    state: OpState
    amount: CurrencyAmount
    captures: list[CaptureRecord]
    generation: Annotated[int, Default(0)] = 0
    """How many were approved before."""
    prev_auth: Annotated[Date | None, Implicit(0)] = None
    """When the last one before was approved."""

    def capture(self, number: int) -> CaptureRecord | None:
        """The capture with this number."""
        return next((capture for capture in self.captures if capture.number == number), None)

    def having(self, capture: CaptureRecord) -> AuthorizationRecord:
        """With this capture added, or put in the place of the one with its number."""
        return replace(self, captures=[*(c for c in self.captures if c.number != capture.number), capture])


@sequence
class PurchaseRecord:
    """One purchase: what the cardholder signed, and every authorisation made of it."""

    trans_ids: TransIDs
    merchant: PartyID
    hpi_data: bytes
    purch_amt: CurrencyAmount
    install_recur_data: Annotated[InstallRecurData | None, Implicit(0)] = None
    generation: int
    """How many authorisations were approved and not given up: the only AuthToken that is good carries this number."""
    prev_auth: Annotated[Date | None, Implicit(1)] = None
    authorizations: list[AuthorizationRecord]

    def authorization(self, auth_rrpid: bytes) -> AuthorizationRecord | None:
        """The authorisation made by this request."""
        return next((a for a in self.authorizations if a.auth_rrpid == auth_rrpid), None)

    def having(self, authorization: AuthorizationRecord) -> PurchaseRecord:
        """With this authorisation added, or put in the place of the one of the same request."""
        others = (a for a in self.authorizations if a.auth_rrpid != authorization.auth_rrpid)
        return replace(self, authorizations=[*others, authorization])

    def live(self) -> Iterator[AuthorizationRecord]:
        """Authorisations that stand: what keeps the PI from being used again (PX-7)."""
        return (a for a in self.authorizations if a.state is OpState.GRANTED)


_PURCHASE = Remembered(PurchaseRecord)


def purchase_key(merchant: PartyID, xid: bytes) -> bytes:
    """An XID is the merchant's choice, so it names a purchase only together with the merchant."""
    return merchant.der + xid


def find(transaction: Transaction, merchant: PartyID, xid: bytes) -> PurchaseRecord | None:
    """The purchase, if there is one.  ProtocolError if so much was done with it that no more could be written down."""
    stored = transaction.get(PURCHASES, purchase_key(merchant, xid))
    if stored is not None and len(stored) > MAX_RECORD:
        raise ProtocolError("too many operations on one purchase", code=ErrorCode.unspecifiedFailure)
    return None if stored is None else _PURCHASE.decode(stored)


def keep(transaction: Transaction, record: PurchaseRecord) -> None:
    """Store the purchase, and that its PI was used for it."""
    key = purchase_key(record.merchant, record.trans_ids.xid)
    transaction.put(PURCHASES, key, _PURCHASE.encode(record))
    transaction.put(USED_PI, record.hpi_data, key)


def cancelled(transaction: Transaction, merchant: PartyID, auth_rrpid: bytes) -> bool:
    """Whether the merchant has given up this AuthReq: it authorises nothing any more, whenever it comes."""
    return transaction.get(CANCELLED, merchant.der + auth_rrpid) is not None


def keep_cancelled(transaction: Transaction, merchant: PartyID, auth_rrpid: bytes) -> None:
    """Note it, for ever."""
    transaction.put(CANCELLED, merchant.der + auth_rrpid, b"")


def bank_reference(gateway: PartyID, merchant: PartyID, rrpid: bytes) -> bytes:
    """How the bank knows what a merchant asked for: RRPIDs are chosen by merchants and seen by everybody, so one
    merchant's must not stand for another's."""
    return digest("BankReference", gateway.der, merchant.der, rrpid)


def is_same(record: PurchaseRecord, trans_ids: TransIDs) -> bool:
    """Whether a merchant's identifiers are those of the purchase."""
    return same_purchase(record.trans_ids, trans_ids)
