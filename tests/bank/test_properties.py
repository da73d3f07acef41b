"""Whatever happens in whatever order: the bank agrees with a model that can do nothing but add (B1, B2, B3, B7)."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from setproto.bank.ledger import Kind
from setproto.bank.messages import Message
from tests.bank.people import OPENING, PAN_CREDIT, PAN_DEBIT, SHOP, Paid, Till, make_bank
from tests.bank.wire import on_disk

AMOUNTS = st.integers(1, 60_000)


@dataclass(eq=False)
class Payment:
    paid: Paid
    pan: str
    stands: int
    captured: int = 0
    returned: int = 0
    reversed: bool = False


@dataclass(eq=False)
class Entry:
    payment: Payment
    message: Message
    amount: int
    kind: str
    undone: bool = False


class BankAndModel(RuleBasedStateMachine):
    payments = Bundle("payments")
    entries = Bundle("entries")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.till: Till = make_bank(on_disk(self.folder))
        self.all: list[Payment] = []
        self.sent: list[tuple[Message, Message]] = []
        self.paid_out = 0

    def send(self, message: Message) -> str:
        answer = self.till.bank.handle(message)
        assert answer is not None
        self.sent.append((message, answer))
        return answer[39]

    def spendable(self, pan: str) -> int:
        ours = [payment for payment in self.all if payment.pan == pan]
        held = sum(payment.stands - payment.captured for payment in ours if not payment.reversed)
        return OPENING - held - sum(payment.captured - payment.returned for payment in ours)

    @rule(target=payments, pan=st.sampled_from([PAN_DEBIT, PAN_CREDIT]), amount=AMOUNTS)
    def buy(self, pan: str, amount: int) -> Any:
        before = self.spendable(pan)
        request = self.till.request(amount, pan)
        code = self.send(request)
        assert code == ("00" if amount <= before else "51")
        if code != "00":
            return multiple()
        payment = Payment(Paid(request, self.sent[-1][1]), pan, amount)
        self.all.append(payment)
        return payment

    @rule(target=entries, payment=payments, amount=AMOUNTS)
    def capture(self, payment: Payment, amount: int) -> Any:
        message = self.till.capture(payment.paid, amount)
        code = self.send(message)
        if payment.reversed:
            assert code == "25"
        elif amount > payment.stands - payment.captured:
            assert code == "13"
        else:
            assert code == "00"
            payment.captured += amount
            return Entry(payment, message, amount, "capture")
        return multiple()

    @rule(target=entries, payment=payments, amount=AMOUNTS)
    def refund(self, payment: Payment, amount: int) -> Any:
        message = self.till.refund(payment.paid, amount)
        code = self.send(message)
        if payment.reversed:
            assert code == "25"
        elif amount > payment.captured - payment.returned:
            assert code == "13"
        else:
            assert code == "00"
            payment.returned += amount
            return Entry(payment, message, amount, "refund")
        return multiple()

    @rule(entry=entries)
    def undo(self, entry: Entry) -> None:
        code = self.send(self.till.undo(entry.message))
        payment = entry.payment
        if entry.undone:
            assert code == "25"
        elif entry.kind == "capture" and payment.captured - entry.amount < payment.returned:
            assert code == "13"
        else:
            assert code == "00"
            entry.undone = True
            if entry.kind == "capture":
                payment.captured -= entry.amount
            else:
                payment.returned -= entry.amount

    @rule(payment=payments, stands=st.integers(0, 60_000))
    def reverse(self, payment: Payment, stands: int) -> None:
        code = self.send(self.till.reversal(payment.paid, stands or None))
        if payment.reversed:
            assert code == "00"
        elif not payment.captured <= stands < payment.stands:
            assert code == "13"
        else:
            assert code == "00"
            payment.reversed = stands == 0
            payment.stands = stands or payment.stands

    @rule(payment=payments, share=st.integers(1, 100))
    def charge_back(self, payment: Payment, share: int) -> None:
        amount = (payment.captured - payment.returned) * share // 100
        if amount:
            case = self.till.bank.chargeback(payment.paid.request[37], amount, "not received")
            self.till.bank.settle_case(case, accepted=False)

    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        if self.sent:
            message, answer = data.draw(st.sampled_from(self.sent))
            assert self.till.bank.handle(message.repeated()) == answer

    @rule()
    def close_day(self) -> None:
        self.paid_out += sum(report.paid_out for report in self.till.bank.close_day())

    @rule()
    def restart(self) -> None:
        self.till.bank.close()
        stan = self.till.stan
        self.till = make_bank(on_disk(self.folder), clock=self.till.clock)
        self.till.stan = stan

    @invariant()
    def money_adds_up(self) -> None:
        if not hasattr(self, "till"):
            return
        assert self.till.sound()
        for pan in (PAN_DEBIT, PAN_CREDIT):
            assert self.till.available(pan) == self.spendable(pan)
        # B7: what the cardholders paid is what merchant, issuer, acquirer and scheme have together.
        bank = self.till.bank
        merchant = -bank.balance(Kind.MERCHANT_PAYABLE, owner=SHOP) + self.paid_out
        kinds = (Kind.SERVICE_INCOME, Kind.INTERCHANGE_EXPENSE, Kind.SCHEME_FEE_EXPENSE)
        acquirer = -sum(bank.balance(kind) for kind in kinds)
        issuer = -bank.balance(Kind.INTERCHANGE_INCOME)
        scheme = bank.balance(Kind.SCHEME_FEE_EXPENSE)
        paid = sum(payment.captured - payment.returned for payment in self.all)
        assert merchant + acquirer + issuer + scheme == paid

    def teardown(self) -> None:
        if hasattr(self, "till"):
            self.till.bank.close()
            shutil.rmtree(self.folder)


TestBank = BankAndModel.TestCase
TestBank.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=30, deadline=None)
