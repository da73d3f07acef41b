"""From an order form to an order: what is wanted, when, where and for whom; and at once what it costs (T57, T58).

The order description is canonical JSON: its octets are what customer and merchant both sign (as part of HOD), and what
the customer is shown is read from the same octets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import Field

from setproto.amounts import AMOUNT_LIMIT, CurrencyAmount
from setproto.errors import UsageError
from setproto.settings import Table, parse_json
from setproto.shop.catalogue import Catalogue, Line

__all__ = ["OrderForm", "Quote", "quote", "read_form"]


class Wanted(Table):
    """So many of one item."""

    id: Annotated[str, Field(max_length=40)]
    quantity: Annotated[int, Field(ge=1, le=999)]


class OrderForm(Table):
    """What a customer fills in.  ``deliver_by``: the last day that will do; none: as soon as the shop can."""

    items: Annotated[list[Wanted], Field(min_length=1, max_length=50)]
    recipient: Line
    deliver_to: Line
    deliver_by: date | None = None


@dataclass(frozen=True)
class Quote:
    """An order as it can be signed: its description, and what is to be paid."""

    description: bytes
    amount: CurrencyAmount


def read_form(data: bytes) -> OrderForm:
    """An order form in JSON.  UsageError names every fault."""
    return parse_json(OrderForm, data, "the order form")


def quote(catalogue: Catalogue, merchant: str, form: OrderForm, today: date) -> Quote:
    """What the order is and costs.  ``merchant``: the name that customers know.

    UsageError if something is not sold here, stands in the form twice, or cannot be there in time.
    """
    if len({wanted.id for wanted in form.items}) < len(form.items):
        raise UsageError("an item stands in the order twice")
    earliest = today + timedelta(days=catalogue.delivery.days)
    if form.deliver_by is not None and form.deliver_by < earliest:
        raise UsageError(f"delivery by {form.deliver_by} is not possible: {earliest} is the earliest day")
    lines: list[dict[str, Any]] = []
    cost = catalogue.delivery.cost
    total = cost.amount
    for wanted in form.items:
        item = catalogue.find(wanted.id)
        amount = wanted.quantity * item.unit_price.amount
        total += amount
        if total > AMOUNT_LIMIT:
            raise UsageError("the order is too large")
        lines.append(
            {
                "id": item.id,
                "name": item.name,
                "quantity": wanted.quantity,
                "unit_price": str(item.unit_price),
                "amount": str(cost.with_amount(amount)),
            }
        )
    description = {
        "merchant": merchant,
        "lines": lines,
        "delivery": {
            "recipient": form.recipient,
            "deliver_to": form.deliver_to,
            "deliver_by": (form.deliver_by or earliest).isoformat(),
            "cost": str(cost),
        },
        "total": str(cost.with_amount(total)),
    }
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Quote(text.encode(), cost.with_amount(total))
