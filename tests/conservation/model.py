"""What should happen to the money: a plain model in integers, written from the rules and not from the program.

A request is what a merchant means; ``Model.decide`` is the gateway, the bank and the batches in one, and says with
which code the request must be answered.  It knows nothing of messages, keys or records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass
class Terms:
    """What a cardholder signs, and how the merchant wants the money."""

    signed: int
    first: int | None = None
    sale: bool = False
    instalments: int | None = None
    every: timedelta | None = None
    until: datetime | None = None

    @property
    def is_agreed(self) -> bool:
        """Instalments or recurring payments: they go on without being announced."""
        return self.instalments is not None or self.every is not None


@dataclass
class Credit:
    amount: int
    batch: int
    stands: bool = True


@dataclass
class Capture:
    amount: int
    batch: int
    stands: bool = True
    credits: dict[int, Credit] = field(default_factory=dict)

    @property
    def credited(self) -> int:
        return sum(credit.amount for credit in self.credits.values() if credit.stands)


@dataclass
class Authorization:
    amount: int
    stands: bool
    before: tuple[int, datetime | None]
    """What was approved before: how many, and when the last."""
    captures: dict[int, Capture] = field(default_factory=dict)

    @property
    def captured(self) -> int:
        return sum(capture.amount for capture in self.captures.values() if capture.stands)

    @property
    def credited(self) -> int:
        return sum(capture.credited for capture in self.captures.values() if capture.stands)


@dataclass
class Purchase:
    card: int
    merchant: int
    terms: Terms
    approved: int = 0
    last: datetime | None = None
    given_up: set[bytes] = field(default_factory=set)
    """AuthReqs, whatever became of them."""
    authorizations: dict[bytes, Authorization] = field(default_factory=dict)

    @property
    def authorised(self) -> int:
        return sum(a.amount for a in self.authorizations.values() if a.stands)


@dataclass
class Batch:
    open: bool = True
    debits: int = 0
    debit: int = 0
    credits: int = 0
    credit: int = 0


@dataclass(frozen=True)
class Request:
    """One request of a merchant, as it is meant."""

    kind: str
    merchant: int
    rrpid: bytes
    purchase: int = -1
    amount: int = 0
    more: bool = False
    token: tuple[int, int, bytes] | None = None
    """AuthToken: (purchase, number of approvals before, AuthReq that it answered); none: the PI."""
    about: bytes = b""
    """Which authorisation."""
    shown: int = 0
    """CapToken: for which amount it was made."""
    capture: int = 0
    credit: int = 0
    batch: int | None = None
    operation: str = ""


class Refused(Exception):
    """The request is answered with this code, and changes nothing."""


@dataclass
class Model:
    cards: list[int]
    """What is in each account at first."""
    purchases: list[Purchase] = field(default_factory=list)
    batches: dict[tuple[int, int], Batch] = field(default_factory=dict)
    current: dict[int, int] = field(default_factory=dict)

    def decide(self, request: Request, now: datetime) -> list[str]:
        """Carry a request out, or not: the codes with which it is answered."""
        try:
            return getattr(self, "_" + request.kind)(request, now) or ["success"]
        except Refused as refused:
            return [str(refused)]

    # --- the bank ---------------------------------------------------------------------------------

    def spendable(self, card: int) -> int:
        mine = [a for p in self.purchases if p.card == card for a in p.authorizations.values() if a.stands]
        return self.cards[card] - sum(a.amount - a.credited for a in mine)

    # --- authorisations ---------------------------------------------------------------------------

    def _auth(self, request: Request, now: datetime) -> list[str]:
        purchase = self.purchases[request.purchase]
        terms, standing = purchase.terms, purchase.authorised
        if request.rrpid in purchase.given_up:
            raise Refused("noReply")
        if request.token is None:
            if any(a.stands for a in purchase.authorizations.values()):
                raise Refused("piPreviouslyUsed")
        elif request.token[0] != request.purchase:
            raise Refused("piAuthMismatch")
        elif request.token[1] != purchase.approved or request.token[2] in purchase.given_up:
            raise Refused("piPreviouslyUsed")
        if terms.instalments is not None and purchase.approved >= terms.instalments:
            raise Refused("installRecurMismatch")
        if terms.every is not None and terms.until is not None:
            if now > terms.until:
                raise Refused("recurringExpired")
            if purchase.last is not None and now - purchase.last < terms.every:
                raise Refused("recurringTooSoon")
        share = request.more or request.token is not None or terms.is_agreed
        if request.amount > terms.signed or (not share and request.amount != terms.signed):
            raise Refused("amountError")
        if terms.every is None and standing + request.amount > terms.signed:
            raise Refused("amountError")
        covered = request.amount <= self.spendable(purchase.card)
        purchase.authorizations[request.rrpid] = Authorization(
            request.amount, covered, (purchase.approved, purchase.last)
        )
        if not covered:
            return ["declined"]
        purchase.approved += 1
        purchase.last = now
        if terms.sale:
            self._take(purchase, request.rrpid, 1, request.amount, None)
        return ["approved"]

    def _reverse(self, request: Request, now: datetime) -> list[str]:
        authorization = self._shown(request, "invalidCapToken")
        if not authorization.captured <= request.amount < authorization.amount:
            raise Refused("invalidAmount")
        authorization.amount = request.amount
        authorization.stands = request.amount > 0
        return ["approved"]

    def _give_up(self, request: Request, now: datetime) -> list[str]:
        """Whatever became of an AuthReq is undone; a sale whose batch is closed is given back instead."""
        purchase = self.purchases[request.purchase]
        purchase.given_up.add(request.about)
        authorization = purchase.authorizations.get(request.about)
        if authorization is None or not authorization.stands:
            return ["approved"]
        for capture in (c for c in authorization.captures.values() if c.stands):
            if not self.batches[request.merchant, capture.batch].open:
                batch = self._put(request.merchant, None, 0, capture.amount)
                capture.credits[1] = Credit(capture.amount, batch)
                return ["approved"]
            self._untake(request.merchant, capture)
        authorization.stands = False
        if purchase.approved == authorization.before[0] + 1:
            purchase.approved, purchase.last = authorization.before
        return ["approved"]

    def _shown(self, request: Request, code: str) -> Authorization:
        """The authorisation that the CapToken shows, as it stands now."""
        authorization = self.purchases[request.purchase].authorizations[request.about]
        if not authorization.stands or authorization.amount != request.shown:
            raise Refused(code)
        return authorization

    # --- captures, credits ------------------------------------------------------------------------

    def _capture(self, request: Request, now: datetime) -> None:
        self._shown(request, "invalidCapToken")
        self._take(self.purchases[request.purchase], request.about, request.capture, request.amount, request.batch)

    def _take(self, purchase: Purchase, about: bytes, number: int, amount: int, batch: int | None) -> None:
        authorization = purchase.authorizations[about]
        if number in authorization.captures:
            raise Refused("duplicateRequest")
        if amount == 0 or authorization.captured + amount > authorization.amount:
            raise Refused("amountError")
        batch = self._put(purchase.merchant, batch, amount, 0)
        authorization.captures[number] = Capture(amount, batch)

    def _taken(self, request: Request) -> Capture:
        capture = self._shown(request, "invalidCapToken").captures.get(request.capture)
        if capture is None or not capture.stands:
            raise Refused("originalNotFound")
        return capture

    def _reverse_capture(self, request: Request, now: datetime) -> None:
        capture = self._taken(request)
        if request.amount != capture.amount or capture.credited:
            raise Refused("amountError")
        self._still_open(request.merchant, capture.batch)
        self._untake(request.merchant, capture)

    def _credit(self, request: Request, now: datetime) -> None:
        capture = self._taken(request)
        if request.credit in capture.credits:
            raise Refused("duplicateRequest")
        if request.amount == 0 or capture.credited + request.amount > capture.amount:
            raise Refused("amountError")
        batch = self._put(request.merchant, request.batch, 0, request.amount)
        capture.credits[request.credit] = Credit(request.amount, batch)

    def _reverse_credit(self, request: Request, now: datetime) -> None:
        credit = self._taken(request).credits.get(request.credit)
        if credit is None or not credit.stands:
            raise Refused("originalNotFound")
        if request.amount != credit.amount:
            raise Refused("amountError")
        self._still_open(request.merchant, credit.batch)
        self._ungive(request.merchant, credit)

    # --- batches ----------------------------------------------------------------------------------

    def _put(self, merchant: int, number: int | None, debit: int, credit: int) -> int:
        if number is None:
            number = self.current.get(merchant, 1)
            while (found := self.batches.get((merchant, number))) is not None and not found.open:
                number += 1
            if found is None:
                self.batches[merchant, number] = Batch()
                self.current[merchant] = number
        elif (merchant, number) not in self.batches:
            raise Refused("batchUnknown")
        batch = self.batches[merchant, number]
        if not batch.open:
            raise Refused("batchClosed")
        batch.debits, batch.debit = batch.debits + (debit > 0), batch.debit + debit
        batch.credits, batch.credit = batch.credits + (credit > 0), batch.credit + credit
        return number

    def _still_open(self, merchant: int, number: int) -> None:
        if not self.batches[merchant, number].open:
            raise Refused("originalProcessed")

    def _untake(self, merchant: int, capture: Capture) -> None:
        capture.stands = False
        batch = self.batches[merchant, capture.batch]
        batch.debits, batch.debit = batch.debits - 1, batch.debit - capture.amount

    def _ungive(self, merchant: int, credit: Credit) -> None:
        credit.stands = False
        batch = self.batches[merchant, credit.batch]
        batch.credits, batch.credit = batch.credits - 1, batch.credit - credit.amount

    def _batch(self, request: Request, now: datetime) -> None:
        assert request.batch is not None
        key = request.merchant, request.batch
        batch = self.batches.get(key)
        if request.operation == "open":
            if batch is not None:
                raise Refused("batchAlreadyOpen" if batch.open else "batchIDUnavailable")
            self.batches[key] = Batch()
            return
        if batch is None:
            raise Refused("unknownBatchID")
        if request.operation == "":
            return
        if not batch.open:
            raise Refused("unknownBatchID")
        if request.operation == "close":
            batch.open = False
            return
        mine = [
            capture
            for purchase in self.purchases
            if purchase.merchant == request.merchant
            for authorization in purchase.authorizations.values()
            for capture in authorization.captures.values()
            if capture.stands
        ]
        there = [capture for capture in mine if capture.batch == request.batch]
        if any(c.stands and c.batch != request.batch for capture in there for c in capture.credits.values()):
            raise Refused("unspecifiedFailure")
        for capture in mine:
            for credit in capture.credits.values():
                if credit.stands and credit.batch == request.batch:
                    self._ungive(request.merchant, credit)
        for capture in there:
            self._untake(request.merchant, capture)
