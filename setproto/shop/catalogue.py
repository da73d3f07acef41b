"""What a shop sells, at what price, and how it delivers: one TOML file (trade.md T32, T57, T58)."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from setproto import settings
from setproto.amounts import CurrencyAmount
from setproto.errors import UsageError
from setproto.settings import Table

__all__ = ["EXAMPLE", "Catalogue", "Item", "Line", "Money", "parse"]

EXAMPLE: Final = files("setproto.shop").joinpath("catalogue.toml").read_text(encoding="utf-8")
"""The catalogue of the shop that ``setproto up`` makes."""


def _amount(written: Any) -> CurrencyAmount:
    if not isinstance(written, str):
        raise ValueError("an amount is written like EUR 12.50")
    return CurrencyAmount.of(written)


def _printable(text: str) -> str:
    # It is shown on terminals, where other characters do things.
    if not text.isprintable() or text != text.strip():
        raise ValueError("only printable characters, and none of them blank at either end")
    return text


Money = Annotated[CurrencyAmount, BeforeValidator(_amount), PlainSerializer(str)]
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
"""One line of text that can be shown to people."""


class Item(Table):
    """Something to be bought."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    name: Line
    description: Line
    unit_price: Money


class Delivery(Table):
    """What delivery costs, per order, and how long it takes."""

    cost: Money
    days: Annotated[int, Field(ge=0, le=365)]


class Catalogue(Table):
    """A whole catalogue; everything in it is in one currency."""

    delivery: Delivery
    item: Annotated[list[Item], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _consistent(self) -> Catalogue:
        if len({item.id for item in self.item}) < len(self.item):
            raise ValueError("two items have the same id")
        cost = self.delivery.cost
        if any((i.unit_price.currency, i.unit_price.amt_exp10) != (cost.currency, cost.amt_exp10) for i in self.item):
            raise ValueError("prices in more than one currency")
        if any(i.unit_price.amount == 0 for i in self.item):
            raise ValueError("a price is more than nothing")
        return self

    @property
    def currency(self) -> str:
        """Its letters."""
        return str(self.delivery.cost).partition(" ")[0]

    def find(self, item_id: str) -> Item:
        """The item.  UsageError if there is none."""
        for item in self.item:
            if item.id == item_id:
                return item
        raise UsageError(f"there is no item {item_id!r}")


def parse(text: str, where: str) -> Catalogue:
    """The catalogue that the TOML declares.  UsageError names ``where`` and every key that is wrong."""
    return settings.parse(Catalogue, text, where)
