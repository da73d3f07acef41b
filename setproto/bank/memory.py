"""An issuer with a handful of test accounts, in memory: for the demonstration and for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from setproto.amounts import CurrencyAmount
from setproto.card import PAN, CardExpiry, CardSecret, trans_stain
from setproto.crypto.digests import equal
from setproto.messages.codes import AuthCode
from setproto.roles.ports import Advice, AdviceKind, AuthorizationDecision, AuthorizationRequest, NoReply


class Sums(dict[bytes, int]):
    """Amounts by reference, and what they add up to, which is not counted again for each question."""

    total = 0

    def __setitem__(self, key: bytes, value: int) -> None:
        self.total += value - self.get(key, 0)
        super().__setitem__(key, value)


@dataclass
class Account:
    """One card account: what can be spent, what is held, what was charged.  The three add up to the opening balance."""

    pan: PAN
    expiry: CardExpiry
    card_secret: CardSecret
    opening: CurrencyAmount
    held: Sums = field(default_factory=Sums)
    """Authorisation → what is authorised and not captured."""
    captured: Sums = field(default_factory=Sums)
    credited: Sums = field(default_factory=Sums)

    @property
    def spendable(self) -> int:
        """In millionths of the currency's unit; negative if a credit was taken back after it had been spent."""
        return self.opening.value - self.held.total - self.charged

    @property
    def charged(self) -> int:
        """What was captured and not given back, in millionths of the currency's unit."""
        return self.captured.total - self.credited.total

    @property
    def available(self) -> CurrencyAmount:
        """What can be spent, as an amount."""
        return self.opening.with_amount(max(0, self.spendable // self.opening.step))


class MemoryIssuer:
    """Implements ``setproto.roles.ports.Issuer``: approves what is genuine and covered."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = list(accounts)
        self._asked: dict[bytes, AuthorizationRequest] = {}
        self._decisions: dict[bytes, AuthorizationDecision] = {}
        self._by_reference: dict[bytes, Account] = {}
        self._advised: set[bytes] = set()
        self._lock = threading.Lock()

    def add(self, account: Account) -> None:
        """One more account."""
        self._accounts.append(account)

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """Decide once per reference; asked again, the same answer.  NoReply if something else is asked under it."""
        with self._lock:
            if self._asked.setdefault(request.reference, request) != request:
                raise NoReply
            decision = self._decisions.get(request.reference)
            if decision is None:
                decision = self._decide(request)
                self._decisions[request.reference] = decision
            return decision

    def _decide(self, request: AuthorizationRequest) -> AuthorizationDecision:
        account = next((known for known in self._accounts if known.pan == request.card.pan), None)
        if account is None or account.expiry != request.card.expiry:
            return AuthorizationDecision(AuthCode.declined)  # unknown number and wrong expiry look alike
        if not equal(trans_stain(request.xid, account.card_secret), request.trans_stain):
            return AuthorizationDecision(AuthCode.declined)  # not the registered wallet (set-protocol.md §3.8)
        if request.amount.currency != account.opening.currency:
            return AuthorizationDecision(AuthCode.amountError)
        if request.amount.value > account.spendable:
            return AuthorizationDecision(AuthCode.declined)
        account.held[request.reference] = request.amount.value
        account.captured[request.reference] = account.credited[request.reference] = 0
        self._by_reference[request.reference] = account
        return AuthorizationDecision(AuthCode.approved, f"{len(self._decisions) + 1:06d}")

    def advise(self, advice: Advice) -> None:
        """Book what has happened, once per reference."""
        with self._lock:
            if advice.reference not in self._advised:
                self._advised.add(advice.reference)
                self._book(advice)

    def _book(self, advice: Advice) -> None:
        if advice.kind is AdviceKind.REVERSAL and advice.authorization not in self._by_reference:
            return  # of what was never approved
        account, key, amount = self._by_reference[advice.authorization], advice.authorization, advice.amount.value
        if advice.kind is AdviceKind.REVERSAL:
            account.held[key] = amount - account.captured[key]
            return
        taken, given = {
            AdviceKind.CAPTURE: (amount, 0),
            AdviceKind.CAPTURE_REVERSAL: (-amount, 0),
            AdviceKind.CREDIT: (0, amount),
            AdviceKind.CREDIT_REVERSAL: (0, -amount),
        }[advice.kind]
        account.held[key] -= taken
        account.captured[key] += taken
        account.credited[key] += given
