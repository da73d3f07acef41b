"""Amounts and ratios: exact, in every exponent, and one encoding for one ratio."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pki.der import DecodingFailure, decode, encode, tlv
from setproto.amounts import CURRENCIES, CurrencyAmount, Ratio

EUR, USD, JPY, BHD = 978, 840, 392, 48


def eur(amount: int, exponent: int = -2) -> CurrencyAmount:
    return CurrencyAmount(currency=EUR, amount=amount, amt_exp10=exponent)


amounts = st.builds(
    CurrencyAmount, currency=st.integers(1, 999), amount=st.integers(0, 10**18), amt_exp10=st.integers(-6, 6)
)
euros = st.builds(eur, st.integers(0, 10**9), st.integers(-6, 6))
positive = st.builds(eur, st.integers(1, 10**6), st.integers(-3, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("USD 2.50", CurrencyAmount(currency=USD, amount=250, amt_exp10=-2)),
        ("EUR 42.00", eur(4200)),
        ("EUR 42", eur(4200)),
        ("eur 0.01", eur(1)),
        ("  EUR 12.50 ", eur(1250)),
        ("JPY 500", CurrencyAmount(currency=JPY, amount=500, amt_exp10=0)),
        ("BHD 1.234", CurrencyAmount(currency=BHD, amount=1234, amt_exp10=-3)),
        ("EUR 0", eur(0)),
    ],
)
def test_what_a_person_writes(text: str, expected: CurrencyAmount) -> None:
    assert CurrencyAmount.of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EUR",
        "EUR ",
        "42.00",
        "XXX 1.00",
        "EUR 1.005",
        "JPY 0.5",
        "EUR -1.00",
        "EUR 1,00",
        "EUR one",
        "EUR nan",
        "EUR inf",
    ],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        CurrencyAmount.of(text)


@pytest.mark.parametrize("text", ["EUR 1/0", "EUR 1/2", "EUR 1e2", "EUR 1_000.00", "EUR ٤٢"])
def test_what_nobody_writes_on_a_bill_is_no_amount(text: str) -> None:
    """Only digits and one point: not whatever else Python's Fraction reads (and "1e999999999" would take for ever)."""
    with pytest.raises(ValueError):  # noqa: PT011
        CurrencyAmount.of(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (eur(4200), "EUR 42.00"),
        (eur(5), "EUR 0.05"),
        (eur(0), "EUR 0.00"),
        (eur(42, 0), "EUR 42"),
        (eur(42, 3), "EUR 42000"),
        (CurrencyAmount(currency=JPY, amount=500, amt_exp10=0), "JPY 500"),
        (CurrencyAmount(currency=999, amount=1, amt_exp10=-1), "currency 999 0.1"),
    ],
)
def test_what_is_shown(amount: CurrencyAmount, text: str) -> None:
    assert str(amount) == text


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(0, 10**12))
def test_shown_and_read_again(currency: int, units: int) -> None:
    amount = CurrencyAmount(currency=currency, amount=units, amt_exp10=-CURRENCIES[currency][1])
    assert CurrencyAmount.of(str(amount)) == amount


@given(amounts)
def test_what_is_shown_is_the_value(amount: CurrencyAmount) -> None:
    assert (
        Fraction(str(amount).rpartition(" ")[2])
        == Fraction(amount.value, 10**6)
        == amount.amount * Fraction(10) ** amount.amt_exp10
    )


@given(euros, euros)
def test_comparison_is_of_values(one: CurrencyAmount, other: CurrencyAmount) -> None:
    assert one.same_value(other) is (one.value == other.value)
    assert one.exceeds(other) is (one.value > other.value)
    assert [one.exceeds(other), one.same_value(other), other.exceeds(one)].count(True) == 1


@given(st.integers(0, 10**12), st.integers(-6, 5))
def test_the_exponent_does_not_matter(amount: int, exponent: int) -> None:
    assert eur(amount * 10, exponent).same_value(eur(amount, exponent + 1))
    assert (eur(amount * 10, exponent) == eur(amount, exponent + 1)) is False


def test_currencies_are_not_compared() -> None:
    assert not eur(100).same_value(CurrencyAmount(currency=USD, amount=100, amt_exp10=-2))
    with pytest.raises(ValueError, match="different currencies"):
        eur(100).exceeds(CurrencyAmount(currency=USD, amount=1, amt_exp10=-2))


@pytest.mark.parametrize(
    ("currency", "amount", "exponent"),
    [(0, 1, 0), (1000, 1, 0), (-1, 1, 0), (EUR, -1, 0), (EUR, 10**18 + 1, 0), (EUR, 1, 7), (EUR, 1, -7)],
)
def test_bounds(currency: int, amount: int, exponent: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        CurrencyAmount(currency=currency, amount=amount, amt_exp10=exponent)
    octets = (_integer(currency), _integer(amount), _integer(exponent))
    with pytest.raises(DecodingFailure):  # nor does one come in from outside
        decode(CurrencyAmount, tlv(0x30, *octets))


def _integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes((value.bit_length() // 8) + 1, "big", signed=True))


def test_the_edges_are_inside() -> None:
    for amount in (eur(0, 6), eur(10**18, -6), CurrencyAmount(currency=999, amount=1, amt_exp10=0)):
        assert decode(CurrencyAmount, encode(amount)) == amount


@given(amounts)
def test_an_amount_survives_the_wire(amount: CurrencyAmount) -> None:
    assert decode(CurrencyAmount, encode(amount)) == amount
    with pytest.raises(dataclasses.FrozenInstanceError):
        amount.amount = 0  # type: ignore[misc]


def test_another_amount_of_the_same_kind() -> None:
    assert eur(4200).with_amount(100) == eur(100)
    with pytest.raises(ValueError, match="out of range"):
        eur(4200).with_amount(-1)


# --- ratios ---------------------------------------------------------------------------------------


@given(positive, positive)
def test_a_ratio_is_exact_and_in_lowest_terms(part: CurrencyAmount, whole: CurrencyAmount) -> None:
    exact = Fraction(part.value, whole.value)
    assume(max(exact.as_integer_ratio()) <= 10**18)
    ratio = Ratio.of(part, whole)
    assert (ratio.numerator, ratio.denominator) == exact.as_integer_ratio()
    assert decode(Ratio, encode(ratio)) == ratio


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_of_the_whole_is_the_part_again(part: int, whole: int) -> None:
    assert Ratio.of(eur(part), eur(whole)).times(eur(whole)) == eur(part)


@pytest.mark.parametrize(
    ("numerator", "denominator"), [(2, 4), (0, 2), (-1, 2), (1, 0), (1, -2), (10**18 + 1, 1), (1, 10**18 + 1)]
)
def test_one_value_has_one_encoding(numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Ratio(numerator=numerator, denominator=denominator)
    fields = (b"\x80" + _integer(numerator)[1:], b"\x81" + _integer(denominator)[1:])
    with pytest.raises(DecodingFailure):
        decode(Ratio, tlv(0x30, *fields))


def test_ratios_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="no ratio"):
        Ratio.of(eur(1), eur(0))
    with pytest.raises(ValueError, match="no ratio"):
        Ratio.of(eur(1), CurrencyAmount(currency=USD, amount=1, amt_exp10=-2))
    with pytest.raises(ValueError, match="not an amount"):
        Ratio(numerator=1, denominator=3).times(eur(100))
