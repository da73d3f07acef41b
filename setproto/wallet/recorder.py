"""The transaction recorder: what was bought, when, from whom, with which means of payment (trade.md T15, T66).

What it shows of an order is read from the octets that wallet and merchant signed, and of a payment from the merchant's
signed receipt, where one has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from pki.der import decode
from setproto.amounts import CurrencyAmount
from setproto.errors import UsageError
from setproto.messages.receipt import Receipt
from setproto.roles.cardholder import PURCHASES, Purchase
from setproto.wallet import description
from setproto.wallet.description import Description
from setproto.wallet.items import Wallet
from setproto.wallet.paying import RECEIPTS, Attempt, Kept, OrderItem, Standing, attempted, orders, standing

__all__ = ["SHORT", "Bought", "Entry", "Query", "bought", "entries", "find", "xid"]


SHORT: Final = 12
"""Digits of an order's number that are shown where there is little room."""


@dataclass(frozen=True)
class Entry:
    """One order in the recorder."""

    order: OrderItem
    description: Description
    standing: Standing
    attempts: tuple[tuple[Attempt, Standing], ...]
    kept: Kept | None

    @property
    def number(self) -> str:
        """The order's number: the merchant's LID-M, in hexadecimal."""
        return self.order.lid_m.hex()

    @property
    def short(self) -> str:
        """As much of the number as people need to name the order."""
        return self.number[:SHORT]

    @property
    def at(self) -> datetime:
        """When it was ordered, in UTC."""
        return self.order.at.as_datetime()

    @property
    def merchant(self) -> str:
        """The name in the merchant's certificate; before that was seen, the one on the order."""
        shown = [attempt.merchant for attempt, _ in self.attempts if attempt.merchant is not None]
        return shown[-1] if shown else self.description.merchant

    @property
    def means(self) -> str | None:
        """The label of the card that was tried last."""
        return self.attempts[-1][0].card if self.attempts else None

    @property
    def receipt(self) -> Receipt | None:
        """What the merchant's receipt says."""
        return None if self.kept is None else decode(Receipt, self.kept.receipt)


@dataclass(frozen=True)
class Query:
    """What is looked for; None: anything.  Texts are found as parts of words, in capitals or not."""

    since: date | None = None
    until: date | None = None
    merchant: str | None = None
    item: str | None = None
    means: str | None = None
    shop: str | None = None
    """The place as a whole, not a part of it."""

    def matches(self, entry: Entry) -> bool:
        """Whether an entry is looked for; days are days in UTC, both of them included."""
        day = entry.at.date()
        items = " ".join(f"{line.id} {line.name}" for line in entry.description.lines)
        return (
            (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
            and _within(self.merchant, entry.merchant)
            and _within(self.item, items)
            and self.shop in (None, entry.order.shop)
            and (self.means is None or any(self.means == attempt.card for attempt, _ in entry.attempts))
        )


@dataclass(frozen=True)
class Bought:
    """How much of one item was bought and paid for, at one merchant's."""

    merchant: str
    id: str
    name: str
    quantity: int
    amount: CurrencyAmount


def entries(wallet: Wallet, query: Query = Query()) -> list[Entry]:
    """The orders that are looked for, the oldest first."""
    found = (_entry(wallet, item) for item in orders(wallet))
    return [entry for entry in found if query.matches(entry)]


def find(wallet: Wallet, number: str) -> Entry:
    """The order whose number begins so, or "last".  UsageError if there is none, or more than one."""
    every = entries(wallet)
    found = every[-1:] if number == "last" else [entry for entry in every if entry.number.startswith(number.lower())]
    if len(found) != 1:
        raise UsageError(
            f"there is no order {number[:40]}" if not found else f"several orders begin with {number[:40]}"
        )
    return found[0]


def bought(found: Iterable[Entry]) -> list[Bought]:
    """What was paid for and not given back, summed by merchant and item."""
    sums: dict[tuple[str, str, int], Bought] = {}
    for entry in found:
        if not entry.standing.is_paid or entry.standing is Standing.CREDITED:
            continue
        for line in entry.description.lines:
            key = (entry.merchant, line.id, line.amount.currency)
            before = sums.get(key)
            quantity, amount = line.quantity, line.amount
            if before is not None:
                quantity, amount = quantity + before.quantity, amount.with_amount(amount.amount + before.amount.amount)
            sums[key] = Bought(entry.merchant, line.id, line.name, quantity, amount)
    return sorted(sums.values(), key=lambda one: (one.merchant, one.id))


def _entry(wallet: Wallet, item: OrderItem) -> Entry:
    with wallet.vault.transaction() as transaction:
        stored = transaction.get(RECEIPTS, item.lid_m)
    return Entry(
        item,
        description.read(item.description),
        standing(wallet, item),
        tuple((attempt, attempted(wallet, attempt)) for attempt in item.attempts),
        None if stored is None else decode(Kept, stored),
    )


def _within(wanted: str | None, text: str) -> bool:
    return wanted is None or wanted.casefold() in text.casefold()


def xid(wallet: Wallet, entry: Entry) -> bytes | None:
    """The XID of the last attempt to pay for an order; None if there was none that the merchant answered."""
    if not entry.attempts:
        return None
    with wallet.vault.transaction() as transaction:
        stored = transaction.get(PURCHASES, entry.attempts[-1][0].lid_c)
    shop = None if stored is None else decode(Purchase, stored).shop
    return None if shop is None else shop.trans_ids.xid
