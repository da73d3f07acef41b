"""An order description, as a customer reads it: from the same octets that both sides sign (trade.md T57, T58)."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from setproto.amounts import CurrencyAmount
from setproto.errors import UsageError
from setproto.settings import Table, parse_json
from setproto.shop.catalogue import Line, Money
from setproto.shop.orders import OrderForm

__all__ = ["Description", "read"]


class Position(Table):
    """So many of one item, at a price."""

    id: Line
    name: Line
    quantity: int
    unit_price: Money
    amount: Money


class Delivery(Table):
    """To whom, where, by when, for how much."""

    recipient: Line
    deliver_to: Line
    deliver_by: date
    cost: Money


class Description(Table):
    """What is ordered."""

    merchant: Line
    lines: list[Position]
    delivery: Delivery
    total: Money

    def require(self, form: OrderForm, amount: CurrencyAmount) -> None:
        """UsageError unless this is what the form asks for, and costs ``amount``."""
        asked = {wanted.id: wanted.quantity for wanted in form.items}
        delivery = self.delivery
        if {line.id: line.quantity for line in self.lines} != asked or len(self.lines) != len(asked):
            raise UsageError("the shop offers other items than were asked for")
        if (delivery.recipient, delivery.deliver_to) != (form.recipient, form.deliver_to):
            raise UsageError("the shop would deliver to somebody else")
        if form.deliver_by is not None and delivery.deliver_by > form.deliver_by:
            raise UsageError("the shop would deliver too late")
        if not self.total.same_value(amount):
            raise UsageError("the shop asks for another amount than the order says")


@lru_cache(maxsize=16)  # it is read again at every step of a purchase
def read(octets: bytes) -> Description:
    """What the octets of a description say.  UsageError if they are none, or do not add up."""
    read = parse_json(Description, octets, "the order description")
    parts = [line.amount for line in read.lines] + [read.delivery.cost]
    right = all(line.amount.value == line.quantity * line.unit_price.value for line in read.lines)
    one_currency = {amount.currency for amount in (*parts, read.total, *(line.unit_price for line in read.lines))}
    if not right or len(one_currency) != 1 or sum(part.value for part in parts) != read.total.value:
        raise UsageError("the order description does not add up")
    return read
