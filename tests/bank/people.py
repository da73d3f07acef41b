"""A bank with customers, and a till that speaks ISO 8583 to it: what the tests of the bank have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from setproto.bank.bank import Bank, BankConfig
from setproto.bank.messages import Message, original_data, replacement, retrieval_reference, set_data
from setproto.card import PAN, CardExpiry, CardSecret, trans_stain
from setproto.market import Clock

PAN_DEBIT, PAN_CREDIT, PAN_SCRIPTED = "4111111111111111", "5555555555554444", "9999990000000006"
PAN_POOR = "4012888888881881"
EXPIRY = "203012"
SHOP = "shop-1"
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
VAULT_KEY = bytes(range(32))
SECRET = CardSecret(b"s" * 32)
OPENING = 100_000
"""What each card has at first, in cents."""


def make_bank(url: str, *, clock: Clock | None = None, **config: Any) -> Till:
    """A bank in this database, with four cards and a shop; the same again if they are there."""
    validator = config.pop("validator", None)
    clock = clock or Clock(NOW)
    bank = Bank(url, BankConfig("Test Bank", VAULT_KEY, **config), clock=clock, validator=validator)
    bank.open_merchant(SHOP, "Corner Bookshop")
    for digits, product in ((PAN_DEBIT, "debit"), (PAN_CREDIT, "credit")):
        bank.open_card(PAN(digits), CardExpiry(EXPIRY), OPENING, product=product)
    bank.open_card(PAN(PAN_SCRIPTED), CardExpiry(EXPIRY), OPENING, scripted=True)
    bank.open_card(PAN(PAN_POOR), CardExpiry(EXPIRY), 0)
    for digits in (PAN_DEBIT, PAN_CREDIT, PAN_SCRIPTED, PAN_POOR):
        bank.enrol(PAN(digits), SECRET, f"holder of {digits[-4:]}")
    return Till(bank, clock)


@dataclass
class Paid:
    """An authorisation: what was asked and what was answered."""

    request: Message
    answer: Message

    @property
    def code(self) -> str:
        return self.answer[39]


@dataclass
class Till:
    """Makes messages as a gateway would, by hand, so that tests can make wrong ones too."""

    bank: Bank
    clock: Clock
    stan: int = field(default=0)
    terminal: str = "TILL0001"

    def name(self) -> dict[int, str]:
        self.stan += 1
        return {7: f"{self.clock():%m%d%H%M%S}", 11: f"{self.stan:06d}"}

    def request(self, amount: int, pan: str = PAN_DEBIT, *, mti: str = "0100", **changes: Any) -> Message:
        """A purchase.  ``changes``: ``de22="010"``; None leaves a field out."""
        name, xid = self.name(), os.urandom(20)
        fields = {
            **name,
            2: pan,
            3: "000000",
            4: f"{amount:012d}",
            12: f"{self.clock():%H%M%S}",
            13: f"{self.clock():%m%d}",
            14: EXPIRY[2:],
            18: "5942",
            22: "810",
            25: "59",
            32: "123456",
            37: retrieval_reference(self.clock(), name[11]),
            41: self.terminal,
            42: f"{SHOP:<15}",
            49: "978",
            126: set_data(xid, trans_stain(xid, SECRET)),
        }
        return with_changes(Message(mti, fields), **changes)

    def send(self, message: Message) -> str:
        """The response code of a message."""
        answer = self.bank.handle(message)
        assert answer is not None
        return answer[39]

    def buy(self, amount: int, pan: str = PAN_DEBIT, **changes: Any) -> Paid:
        request = self.request(amount, pan, **changes)
        answer = self.bank.handle(request)
        assert answer is not None
        return Paid(request, answer)

    def about(self, paid: Paid, mti: str, amount: int, **changes: Any) -> Message:
        fields = {n: v for n, v in paid.request.fields.items() if n in (2, 3, 12, 13, 25, 32, 37, 41, 42, 49)}
        asked = original_data(paid.request.mti, paid.request[11], paid.request[7], paid.request[32])
        fields |= {**self.name(), 4: f"{amount:012d}", 90: asked}
        if paid.answer.get(38) is not None:
            fields[38] = paid.answer[38]
        return with_changes(Message(mti, fields), **changes)

    def capture(self, paid: Paid, amount: int, **changes: Any) -> Message:
        return self.about(paid, "0220", amount, **{"de18": "5942", "de22": "810", **changes})

    def refund(self, paid: Paid, amount: int, **changes: Any) -> Message:
        return self.capture(paid, amount, de3="200000", **changes)

    def reversal(self, paid: Paid, stands: int | None = None, reason: str = "17", **changes: Any) -> Message:
        amount = int(paid.request[4])
        part = {} if stands is None else {"de95": replacement(stands)}
        return self.about(paid, "0420", amount, de39=reason, **part, **changes)

    def undo(self, booked: Message, **changes: Any) -> Message:
        """The reversal of a capture or refund."""
        fields = {n: v for n, v in booked.fields.items() if n not in (18, 22, 90)}
        asked = original_data("0220", booked[11], booked[7], booked[32])
        return with_changes(Message("0420", {**fields, **self.name(), 39: "17", 90: asked}), **changes)

    def available(self, pan: str = PAN_DEBIT) -> int:
        return self.bank.available(PAN(pan))

    def sound(self) -> bool:
        return self.bank.audit() == []


def with_changes(message: Message, **changes: str | None) -> Message:
    fields = dict(message.fields)
    for name, value in changes.items():
        number = int(name.removeprefix("de"))
        if value is None:
            fields.pop(number, None)
        else:
            fields[number] = value
    return replace(message, fields=fields)
