"""Order forms, prices and catalogues."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setproto.amounts import CurrencyAmount
from setproto.errors import UsageError
from setproto.shop import catalogue
from setproto.shop.catalogue import EXAMPLE, Catalogue
from setproto.shop.orders import OrderForm, quote, read_form

TODAY = date(2026, 1, 15)
SHOP = catalogue.parse(EXAMPLE, "the example")
FORM = {
    "items": [{"id": "notebook", "quantity": 2}, {"id": "pencil", "quantity": 3}],
    "recipient": "Grace Hopper",
    "deliver_to": "1 Main Street",
    "deliver_by": None,
}


def form(**changes: object) -> OrderForm:
    return read_form(json.dumps({**FORM, **changes}).encode())


def test_an_order_by_example() -> None:
    found = quote(SHOP, "Corner Bookshop", form(), TODAY)
    assert str(found.amount) == "EUR 31.10"
    assert json.loads(found.description) == {
        "merchant": "Corner Bookshop",
        "lines": [
            {"id": "notebook", "name": "Notebook", "quantity": 2, "unit_price": "EUR 12.50", "amount": "EUR 25.00"},
            {"id": "pencil", "name": "Pencil", "quantity": 3, "unit_price": "EUR 1.20", "amount": "EUR 3.60"},
        ],
        "delivery": {
            "recipient": "Grace Hopper",
            "deliver_to": "1 Main Street",
            "deliver_by": "2026-01-18",
            "cost": "EUR 2.50",
        },
        "total": "EUR 31.10",
    }


def test_the_description_is_canonical() -> None:
    described = quote(SHOP, "Bücher", form(recipient="Δ"), TODAY).description
    assert described.decode() == json.dumps(
        json.loads(described), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert "Δ".encode() in described


@given(
    st.dictionaries(st.sampled_from([item.id for item in SHOP.item]), st.integers(1, 999), min_size=1),
    st.integers(3, 400),
)
def test_lines_and_delivery_add_up_to_the_total(wanted: dict[str, int], days: int) -> None:
    items = [{"id": name, "quantity": quantity} for name, quantity in wanted.items()]
    day = (TODAY + timedelta(days=days)).isoformat()
    found = quote(SHOP, "shop", form(items=items, deliver_by=day), TODAY)
    described = json.loads(found.description)
    value = {line["id"]: CurrencyAmount.of(line["amount"]).value for line in described["lines"]}
    for line in described["lines"]:
        assert value[line["id"]] == line["quantity"] * CurrencyAmount.of(line["unit_price"]).value
    assert sum(value.values()) + CurrencyAmount.of(described["delivery"]["cost"]).value == found.amount.value
    assert (described["total"], described["delivery"]["deliver_by"]) == (str(found.amount), day)


def test_delivery_takes_as_long_as_it_takes() -> None:
    quote(SHOP, "shop", form(deliver_by="2026-01-18"), TODAY)
    with pytest.raises(UsageError, match="2026-01-18 is the earliest day"):
        quote(SHOP, "shop", form(deliver_by="2026-01-17"), TODAY)


def test_an_order_has_a_largest_amount() -> None:
    dear = catalogue.parse(EXAMPLE.replace("EUR 89.00", "EUR 9000000000000000.00"), "dear")
    quote(dear, "shop", form(items=[{"id": "globe", "quantity": 1}]), TODAY)
    with pytest.raises(UsageError, match="too large"):
        quote(dear, "shop", form(items=[{"id": "globe", "quantity": 2}]), TODAY)


@given(st.binary(max_size=200))
def test_whatever_the_octets_there_is_a_form_or_a_refusal(data: bytes) -> None:
    with pytest.raises(UsageError):
        read_form(data)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = "atlas"', 'id = "pencil"', "same id"),
        ('id = "atlas"', 'id = "An Atlas"', r"item\[1\]\.id"),
        ("EUR 24.00", "USD 24.00", "more than one currency"),
        ("EUR 24.00", "EUR 0.00", "more than nothing"),
        ("EUR 24.00", "24.00", "written like EUR 12.50"),
        ('"EUR 24.00"', "24", "written like EUR 12.50"),
        ("days = 3", "days = -1", "delivery.days"),
        ("days = 3", "hours = 3", "no such key"),
        ('name = "Pencil"', 'name = "Pen\\u0007cil"', "printable"),
        ("[[item]]", "[[article]]", "item: missing"),
        ("[delivery]", "[delivery", "the example"),
    ],
)
def test_a_catalogue_is_refused_in_words(old: str, new: str, words: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(UsageError, match=words):
        catalogue.parse(EXAMPLE.replace(old, new), "the example")


def test_a_catalogue_as_json_reads_as_it_was_written() -> None:
    again = Catalogue.model_validate_json(SHOP.model_dump_json())
    assert again == SHOP
