"""An issuer with a handful of test accounts, in memory: for the demonstration and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from setproto.amounts import CurrencyAmount
from setproto.card import PAN, CardExpiry, CardSecret, trans_stain
from setproto.crypto.digests import equal
from setproto.messages.codes import AuthCode, CapCode
from setproto.roles.ports import AuthorizationDecision, AuthorizationRequest


@dataclass
class Account:
    """One card account.  ``available`` is what can still be spent, in the exponent of the account's currency."""

    pan: PAN
    expiry: CardExpiry
    card_secret: CardSecret
    available: CurrencyAmount
    held: dict[bytes, CurrencyAmount] = field(default_factory=dict)
    captured: dict[bytes, CurrencyAmount] = field(default_factory=dict)


class MemoryIssuer:
    """Implements ``setproto.roles.ports.Issuer``: approves what is genuine and covered."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = list(accounts)
        self._decisions: dict[bytes, AuthorizationDecision] = {}
        self._by_reference: dict[bytes, Account] = {}

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """Decide once per reference; asked again, the same answer."""
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
        if request.amount.currency != account.available.currency or not _whole(request.amount, account):
            return AuthorizationDecision(AuthCode.amountError)
        if request.amount.exceeds(account.available):
            return AuthorizationDecision(AuthCode.declined)
        self._take(account, request.amount, 1)
        account.held[request.reference] = request.amount
        self._by_reference[request.reference] = account
        return AuthorizationDecision(AuthCode.approved, f"{len(self._decisions) + 1:06d}")

    def capture(self, reference: bytes, amount: CurrencyAmount) -> CapCode:
        """Turn a hold into a charge; what is not captured becomes available again."""
        account = self._by_reference.get(reference)
        if account is None:
            return CapCode.authDataMissing
        if reference in account.captured:
            return CapCode.success if account.captured[reference].same_value(amount) else CapCode.duplicateRequest
        held = account.held.pop(reference)
        if amount.currency != held.currency or amount.exceeds(held) or not _whole(amount, account):
            account.held[reference] = held
            return CapCode.amountError
        self._take(account, held, -1)
        self._take(account, amount, 1)
        account.captured[reference] = amount
        return CapCode.success

    @staticmethod
    def _take(account: Account, amount: CurrencyAmount, sign: int) -> None:
        """Subtract (or with -1 add) an amount, in the account's exponent."""
        units = int(amount.value / account.available.with_amount(1).value)
        account.available = account.available.with_amount(account.available.amount - sign * units)


def _whole(amount: CurrencyAmount, account: Account) -> bool:
    """Whether an amount has no more decimals than the account."""
    return (amount.value / account.available.with_amount(1).value).denominator == 1
