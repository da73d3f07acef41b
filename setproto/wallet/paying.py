"""Paying an order: write the intent, send, receive, write the result, tell the user (money.md section 6).

An order may be tried with one card after another (T63): each attempt is a purchase of its own, with an XID of its own,
for the same order; a new one begins only when none before it can succeed any more.  Every message is on the disk before
it is sent.  So after an interruption at any point ``settle`` finds out what became of the order: it repeats the payment
octet for octet, to which the merchant gives its first answer again, or asks (InqReq).  No card data leave the wallet
before the merchant's certificate has been verified and its name is the one on the order (T68).
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

from pki.der import GeneralizedTime, Implicit, decode, encode, general_time, sequence
from setproto.amounts import CurrencyAmount
from setproto.errors import SetError, Unreachable, UsageError
from setproto.messages.common import Role
from setproto.messages.receipt import MEDIA_TYPE, VerifiedReceipt, verify_receipt
from setproto.messages.wrapper import MAX_AGE
from setproto.roles.cardholder import PURCHASES, Cardholder, Order, Purchase, State
from setproto.roles.ports import Event, EventKind, Outgoing
from setproto.shop.orders import OrderForm
from setproto.wallet import description
from setproto.wallet.items import Wallet
from setproto.wallet.trust import Trust

__all__ = [
    "Attempt",
    "Kept",
    "NotGenuine",
    "OrderItem",
    "Outcome",
    "Server",
    "Standing",
    "Till",
    "order",
    "orders",
    "quote",
]

PAYMENT: Final = "application/set-payment"
ORDERS: Final = "orders"
RECEIPTS: Final = "receipts"


class Server(Protocol):
    """The way to a merchant (``setproto.client.HTTPTransport``).  All three raise Unreachable."""

    def post(self, data: bytes, media_type: str) -> bytes:
        """Send one message; the message that answers it."""

    def json(self, method: str, path: str, form: object = None) -> Any:
        """Ask the shop.  UsageError with its words if it refuses."""

    def request(self, method: str, path: str) -> tuple[int, str, bytes]:
        """Status, media type and content of an answer."""


class NotGenuine(SetError):
    """The merchant could not prove who it is: nothing was ordered, and no card data have left the wallet."""


@sequence
class Attempt:
    """One card tried for one order."""

    card: str
    lid_c: bytes
    at: GeneralizedTime
    merchant: Annotated[str | None, Implicit(0)] = None
    """The name in the merchant's certificate, once that was verified."""
    said: Annotated[str | None, Implicit(1)] = None
    """What the merchant answered last, in words."""
    lost: Annotated[GeneralizedTime | None, Implicit(2)] = None
    """When it was certain that the payment never arrived and can no longer arrive."""


@sequence
class OrderItem:
    """An order as it was agreed on, and what was tried to pay for it."""

    lid_m: bytes
    shop: str
    description: bytes
    amount: CurrencyAmount
    at: GeneralizedTime
    attempts: list[Attempt]

    def with_latest(self, attempt: Attempt) -> OrderItem:
        """With another last attempt."""
        return replace(self, attempts=[*self.attempts[:-1], attempt])


@sequence
class Kept:
    """A receipt: as the merchant signed it, and what it says, verified when it came."""

    at: GeneralizedTime
    signed: bytes
    receipt: bytes


class Standing(enum.Enum):
    """Where an order stands."""

    OPEN = "not paid"
    PENDING = "not decided yet"
    DECLINED = "declined"
    REJECTED = "refused by the merchant"
    PAID = "paid"
    CAPTURED = "paid and captured"
    CREDITED = "refunded"

    @property
    def is_paid(self) -> bool:
        """Whether money has moved, or is held."""
        return self in (Standing.PAID, Standing.CAPTURED, Standing.CREDITED)


_STANDING: Final = {
    State.INIT_SENT: Standing.OPEN,
    State.INIT_DONE: Standing.OPEN,
    State.PREQ_SENT: Standing.PENDING,
    State.RECEIVED: Standing.PENDING,
    State.REJECTED: Standing.REJECTED,
    State.DECLINED: Standing.DECLINED,
    State.AUTHORIZED: Standing.PAID,
    State.CAPTURED: Standing.CAPTURED,
    State.CREDITED: Standing.CREDITED,
}


@dataclass(frozen=True)
class Outcome:
    """Where an order stands now, and what the merchant or the network said about it."""

    standing: Standing
    said: str = ""


def quote(server: Server, form: OrderForm, shop: str, at: datetime) -> OrderItem:
    """Have an order made out, and check that it is what was asked for (T57, T58); it needs no wallet.

    ``shop``: what the recorder calls the place; ``at``: the time.  UsageError if the shop refuses, or offers something
    else; Unreachable.
    """
    answer = server.json("POST", "/orders", form.model_dump(mode="json"))
    try:
        lid_m = bytes.fromhex(answer["order"])
        octets = base64.b64decode(answer["description"], validate=True)
        amount = CurrencyAmount.of(answer["amount"])
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise UsageError("the shop's answer is not an order") from None
    description.read(octets).require(form, amount)
    return OrderItem(lid_m=lid_m, shop=shop, description=octets, amount=amount, at=general_time(at), attempts=[])


class Till:
    """Pays the orders of one shop out of one wallet."""

    def __init__(self, wallet: Wallet, trust: Trust, server: Server, shop: str) -> None:
        """``shop``: what the recorder calls this place, for instance its URL."""
        self._wallet = wallet
        self._trust = trust
        self._server = server
        self._shop = shop
        self._holders: dict[str, Cardholder] = {}

    # --- the steps of a purchase ------------------------------------------------------------------

    def quote(self, form: OrderForm) -> OrderItem:
        """``quote``, and take it into the wallet."""
        made = quote(self._server, form, self._shop, self._wallet.clock())
        self.take(made)
        return made

    def take(self, made: OrderItem) -> None:
        """Take an order into the wallet; nothing is paid yet.  UsageError if there is one of that number."""
        with self._wallet.vault.transaction() as transaction:
            if transaction.get(ORDERS, made.lid_m) is not None:
                raise UsageError("the shop gives two orders one number")
            transaction.put(ORDERS, made.lid_m, encode(made))

    def approach(self, lid_m: bytes, card: str) -> str:
        """Have the merchant prove who it is, for a new attempt with this card; its name (T68).

        Nothing about card or holder is sent.  NotGenuine; UsageError while an earlier attempt may still succeed;
        Unreachable.
        """
        wanted = order(self._wallet, lid_m)
        holder = self._holder(card)
        for before in wanted.attempts:
            if self._attempted(before) not in (Standing.OPEN, Standing.DECLINED):
                raise UsageError(f"an earlier attempt is {self._attempted(before).value}: another card is not tried")
        lid_c, message = holder.start(Order(wanted.lid_m, wanted.description, wanted.amount))
        now = general_time(self._wallet.clock())
        wanted = self._keep(replace(wanted, attempts=[*wanted.attempts, Attempt(card=card, lid_c=lid_c, at=now)]))
        shown = [
            event
            for event in _heard(holder, self._server.post(message.data, PAYMENT))
            if event.kind is EventKind.MERCHANT_SHOWN
        ]
        if not shown:
            raise NotGenuine("the merchant has not proved who it is")
        name, agreed = shown[0].detail, description.read(wanted.description).merchant
        if name != agreed:
            raise NotGenuine(f"the order is of {agreed}, but the certificate of {name}")
        self._keep(wanted.with_latest(replace(wanted.attempts[-1], merchant=name)))
        return name

    def pay(self, lid_m: bytes) -> Outcome:
        """Pay with the card of the latest attempt, whose merchant has been shown.  PENDING if no answer came.

        UsageError if there is no such attempt, or it was paid with already.
        """
        wanted = order(self._wallet, lid_m)
        if not wanted.attempts or wanted.attempts[-1].merchant is None:
            raise UsageError("no merchant has been shown for this order")
        latest = wanted.attempts[-1]
        if self._attempted(latest) is not Standing.OPEN:
            raise UsageError(f"this attempt is {self._attempted(latest).value}")
        holder = self._holder(latest.card)
        self._keep(wanted.with_latest(replace(latest, at=general_time(self._wallet.clock()))))
        return self._ask(wanted, holder, self._sending(holder.pay(latest.lid_c)))

    def settle(self, lid_m: bytes) -> Outcome:
        """Find out where an order stands; repeat its payment, or ask about it, if that is not known.

        PENDING if nobody answers.  UsageError if there is no such order."""
        wanted = order(self._wallet, lid_m)
        if self.standing(wanted) is not Standing.PENDING:
            return Outcome(self.standing(wanted))
        latest = wanted.attempts[-1]
        holder = self._holder(latest.card)
        sent = holder.purchase(latest.lid_c).state is State.PREQ_SENT
        outcome = Outcome(Standing.PENDING)
        if sent:
            outcome = self._ask(wanted, holder, self._sending(holder.pay(latest.lid_c)))
        if outcome.standing is Standing.PENDING:
            outcome = self._ask(order(self._wallet, lid_m), holder, self._sending(holder.inquire(latest.lid_c)))
        if outcome.standing is Standing.PENDING:
            found = self._ask(order(self._wallet, lid_m), holder, self._published(lid_m, holder, latest))
            outcome = found if found.standing is not Standing.PENDING else outcome
        return outcome

    def refresh(self, lid_m: bytes) -> Outcome:
        """Ask what has become of a payment: captured or refunded since.  Errors as for ``settle``."""
        wanted = order(self._wallet, lid_m)
        if not self.standing(wanted).is_paid:
            return self.settle(lid_m)
        latest = wanted.attempts[-1]
        holder = self._holder(latest.card)
        return self._ask(wanted, holder, self._sending(holder.inquire(latest.lid_c)))

    def fetch_receipt(self, lid_m: bytes) -> VerifiedReceipt | None:
        """The merchant's receipt, verified and kept; None if there is none yet.

        UsageError if there is no such order, or the receipt is of another purchase; SetError if it is not genuine;
        Unreachable.
        """
        wanted = order(self._wallet, lid_m)
        if not wanted.attempts:
            return None
        latest = wanted.attempts[-1]
        holder = self._holder(latest.card)
        shop = holder.purchase(latest.lid_c).shop
        if shop is None:
            return None
        xid = shop.trans_ids.xid
        status, kind, data = self._server.request("GET", f"/orders/{lid_m.hex()}/receipt?xid={xid.hex()}")
        if status == 404:
            return None
        if (status, kind) != (200, MEDIA_TYPE):
            raise Unreachable(f"{self._shop}: answered {status} without a receipt")
        verified = verify_receipt(data, holder.certify(Role.merchant))
        receipt = verified.receipt
        expected = (xid, lid_m, shop.merchant, holder.party, shop.gateway, wanted.description)
        said = (receipt.xid, receipt.lid_m, receipt.merchant, receipt.cardholder, receipt.gateway, receipt.description)
        if (
            said != expected
            or not receipt.amount.same_value(wanted.amount)
            or receipt.authorized.exceeds(wanted.amount)
        ):
            raise UsageError("the receipt is genuine, but for another purchase")
        kept = Kept(at=general_time(self._wallet.clock()), signed=data, receipt=encode(receipt))
        with self._wallet.vault.transaction() as transaction:
            transaction.put(RECEIPTS, lid_m, encode(kept))
        return verified

    # --- where it stands --------------------------------------------------------------------------

    def standing(self, wanted: OrderItem) -> Standing:
        """Where an order stands as far as the wallet knows: where its latest attempt does."""
        return standing(self._wallet, wanted)

    def unsettled(self) -> list[OrderItem]:
        """The orders of this shop of which it is not known what became of them."""
        mine = [item for item in orders(self._wallet) if item.shop == self._shop]
        return [item for item in mine if self.standing(item) is Standing.PENDING]

    def _attempted(self, attempt: Attempt) -> Standing:
        return attempted(self._wallet, attempt)

    # --- talking ----------------------------------------------------------------------------------

    def _holder(self, label: str) -> Cardholder:
        if label not in self._holders:
            credentials, payment_card, roots = self._wallet.card(label).paid_with()
            self._holders[label] = Cardholder(
                credentials,
                payment_card,
                self._trust.validator(roots),
                self._wallet.vault,
                clock=self._wallet.clock,
                random=self._wallet.random,
                held=self._trust.cas,
                journal=True,
            )
        return self._holders[label]

    def _sending(self, message: Outgoing) -> Callable[[], bytes]:
        return lambda: self._server.post(message.data, PAYMENT)

    def _published(self, lid_m: bytes, holder: Cardholder, attempt: Attempt) -> Callable[[], bytes]:
        """The answer to the payment as it lies at the merchant: one whose card was revoked is not answered any more."""

        def get() -> bytes:
            shop = holder.purchase(attempt.lid_c).shop
            xid = b"" if shop is None else shop.trans_ids.xid
            status, kind, data = self._server.request("GET", f"/orders/{lid_m.hex()}/answer?xid={xid.hex()}")
            if (status, kind) != (200, PAYMENT):
                raise Unreachable("there is no answer yet")
            return data

        return get

    def _ask(self, wanted: OrderItem, holder: Cardholder, answer: Callable[[], bytes]) -> Outcome:
        """Hear an answer that is about the latest attempt; what is known afterwards, whatever it was."""
        attempt, said = wanted.attempts[-1], ""
        try:
            events = _heard(holder, answer())
        except (Unreachable, NotGenuine) as failure:
            return Outcome(self.standing(wanted), failure.detail)
        for event in events:
            if event.kind is EventKind.RESULT and event.code is not None:
                said = event.code.name
                attempt = self._noted(attempt, said)
            elif event.kind is EventKind.MESSAGE:
                said = f"{said} ({event.detail})"
        if attempt != wanted.attempts[-1]:
            wanted = self._keep(wanted.with_latest(attempt))
        return Outcome(self.standing(wanted), said)

    def _noted(self, attempt: Attempt, said: str) -> Attempt:
        """What was answered; and if that is that nothing arrived, and it is too old to be accepted, it is lost."""
        now = self._wallet.clock()
        late = now - attempt.at.as_datetime().astimezone(now.tzinfo) > 2 * MAX_AGE
        lost = general_time(now) if said == "orderNotReceived" and late else attempt.lost
        return replace(attempt, said=said, lost=lost)

    def _keep(self, changed: OrderItem) -> OrderItem:
        with self._wallet.vault.transaction() as transaction:
            transaction.put(ORDERS, changed.lid_m, encode(changed))
        return changed


def _heard(holder: Cardholder, data: bytes) -> Sequence[Event]:
    """What the cardholder makes of an answer.  NotGenuine if it is refused; Unreachable if it is an Error."""
    events = holder.handle(data).events
    for event in events:
        code = "" if event.code is None else event.code.name
        if event.kind is EventKind.REFUSED:
            raise NotGenuine(f"the answer of the merchant is refused: {code} {event.detail}")
        if event.kind is EventKind.ERROR_RECEIVED:
            raise Unreachable(f"the merchant cannot process the message: {code}")
    return events


# --- reading --------------------------------------------------------------------------------------


def orders(wallet: Wallet) -> list[OrderItem]:
    """All orders, the oldest first."""
    with wallet.vault.transaction() as transaction:
        found = [decode(OrderItem, stored) for _, stored in transaction.items(ORDERS)]
    return sorted(found, key=lambda item: (item.at.as_datetime(), item.lid_m))


def order(wallet: Wallet, lid_m: bytes) -> OrderItem:
    """One order.  UsageError if there is none."""
    with wallet.vault.transaction() as transaction:
        stored = transaction.get(ORDERS, lid_m)
    if stored is None:
        raise UsageError("there is no such order in the wallet")
    return decode(OrderItem, stored)


def standing(wallet: Wallet, wanted: OrderItem) -> Standing:
    """Where an order stands as far as the wallet knows: where its latest attempt does."""
    return attempted(wallet, wanted.attempts[-1]) if wanted.attempts else Standing.OPEN


def attempted(wallet: Wallet, attempt: Attempt) -> Standing:
    """Where an attempt stands."""
    if attempt.lost is not None:
        return Standing.DECLINED
    with wallet.vault.transaction() as transaction:
        stored = transaction.get(PURCHASES, attempt.lid_c)
    return Standing.OPEN if stored is None else _STANDING[decode(Purchase, stored).state]
