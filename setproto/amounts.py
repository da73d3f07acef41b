"""Currency amounts and ratios: exact integers, never floating point.

SET carries an amount as {currency, amount, amtExp10}: USD 2.50 is {840, 250, -2} (set-protocol.md §2.1).  Two
amounts are compared after bringing them to one exponent (§4.4), so {840, 250, -2} equals {840, 2500, -3}.
"""

from __future__ import annotations

import re
from math import gcd
from typing import Annotated, Final

from pki.der import Implicit, sequence

CURRENCIES: Final = {
    36: ("AUD", 2),
    124: ("CAD", 2),
    156: ("CNY", 2),
    208: ("DKK", 2),
    344: ("HKD", 2),
    356: ("INR", 2),
    392: ("JPY", 0),
    410: ("KRW", 0),
    48: ("BHD", 3),
    578: ("NOK", 2),
    702: ("SGD", 2),
    752: ("SEK", 2),
    756: ("CHF", 2),
    826: ("GBP", 2),
    840: ("USD", 2),
    978: ("EUR", 2),
    985: ("PLN", 2),
}
"""ISO 4217: number → (letters, decimals), for showing amounts and reading them from people.  Amounts on the wire
carry their own exponent, so a currency that is missing here is shown by its number and works all the same."""

AMOUNT_LIMIT: Final = 10**18
"""The largest number in an amount or a ratio."""
_FINEST: Final = -6
"""The smallest exponent there is; the largest is 6."""
_STEPS: Final[tuple[int, ...]] = tuple(10**power for power in range(13))
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


@sequence
class CurrencyAmount:
    """An amount of money: ``amount`` × 10^``amt_exp10`` of the ISO 4217 ``currency``; never negative."""

    currency: int
    amount: int
    amt_exp10: int

    def __post_init__(self) -> None:
        if not 1 <= self.currency <= 999:
            raise ValueError("currency is an ISO 4217 number, 1..999")
        if not 0 <= self.amount <= AMOUNT_LIMIT or not -6 <= self.amt_exp10 <= 6:
            raise ValueError("amount out of range")

    @classmethod
    def of(cls, text: str) -> CurrencyAmount:
        """Read what a person writes: ``"EUR 12.50"``.  ValueError if it is not an amount in a known currency."""
        letters, _, number = text.strip().partition(" ")
        if not _NUMBER.fullmatch(number):
            raise ValueError("an amount is written like EUR 12.50")
        for currency, (name, decimals) in CURRENCIES.items():
            if name == letters.upper():
                whole, _, fraction = number.partition(".")
                if fraction[decimals:].strip("0"):
                    raise ValueError(f"{name} has {decimals} decimals")
                digits = whole + fraction[:decimals].ljust(decimals, "0")
                return cls(currency=currency, amount=int(digits), amt_exp10=-decimals)
        raise ValueError(f"unknown currency {letters[:10]!r}")

    @property
    def value(self) -> int:
        """The exact value in millionths of the currency's unit, the finest that an exponent can say."""
        return self.amount * self.step

    @property
    def step(self) -> int:
        """The value of one in this exponent, in millionths of the currency's unit."""
        return _STEPS[self.amt_exp10 - _FINEST]

    def same_value(self, other: CurrencyAmount) -> bool:
        """Whether both are the same money, whatever their exponents."""
        return self.currency == other.currency and self.value == other.value

    def exceeds(self, other: CurrencyAmount) -> bool:
        """Whether this is more than ``other``.  ValueError if the currencies differ."""
        if self.currency != other.currency:
            raise ValueError("amounts of different currencies are not compared")
        return self.value > other.value

    def with_amount(self, amount: int) -> CurrencyAmount:
        """Another amount in the same currency and exponent."""
        return CurrencyAmount(currency=self.currency, amount=amount, amt_exp10=self.amt_exp10)

    def __str__(self) -> str:
        letters, _ = CURRENCIES.get(self.currency, (f"currency {self.currency}", 0))
        decimals = max(0, -self.amt_exp10)
        scaled = self.value * _STEPS[decimals] // _STEPS[-_FINEST]
        digits = f"{scaled:0{decimals + 1}d}"
        return f"{letters} {digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{letters} {digits}"


@sequence
class Ratio:
    """An exact share of PurchAmt, in place of SET's REAL (docs/adr/0004): PRes is not encrypted, so it shows
    shares instead of amounts (set-protocol.md §2.7)."""

    numerator: Annotated[int, Implicit(0)]
    denominator: Annotated[int, Implicit(1)]

    def __post_init__(self) -> None:
        if self.numerator < 0 or self.denominator < 1 or max(self.numerator, self.denominator) > AMOUNT_LIMIT:
            raise ValueError("ratio out of range")
        if gcd(self.numerator, self.denominator) != 1:
            raise ValueError("a ratio is in lowest terms: one encoding for one value")

    @classmethod
    def of(cls, part: CurrencyAmount, whole: CurrencyAmount) -> Ratio:
        """``part`` ÷ ``whole``.  ValueError for two currencies or a whole of zero (SET: meaninglessRatio)."""
        if part.currency != whole.currency or whole.amount == 0:
            raise ValueError("no ratio between these amounts")
        common = gcd(part.value, whole.value)
        return cls(numerator=part.value // common, denominator=whole.value // common)

    def __str__(self) -> str:
        return str(self.numerator) if self.denominator == 1 else f"{self.numerator}/{self.denominator}"

    def times(self, whole: CurrencyAmount) -> CurrencyAmount:
        """The amount that is this share of ``whole``, in its exponent.  ValueError if it is no whole number."""
        amount, rest = divmod(self.numerator * whole.amount, self.denominator)
        if rest:
            raise ValueError("the share is not an amount in this currency")
        return whole.with_amount(amount)
