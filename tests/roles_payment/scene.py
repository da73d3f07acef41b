"""A stage for the messages between merchant and gateway: a market, the bank's figures, and merchants that lie.

``asks`` carries a request to the gateway and its answer back, and says with which code it was answered; ``lie``
changes a request before the merchant's real keys sign and seal it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pki import BrandTree, build_brand_tree
from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.bank import Account
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret
from setproto.market import ACQUIRER_BIN, BRAND, Clock, Market, certify_card, credentials
from setproto.messages.common import InstallRecurData, PartyID, Recurring, Role
from setproto.messages.payment import AuthResBaggage, CapTokenSeq, PaymentInstruction
from setproto.roles.cardholder import Cardholder, PaymentCard
from setproto.roles.gateway import records as gateway_records
from setproto.roles.merchant import Merchant, requests
from setproto.roles.merchant import records as merchant_records
from setproto.roles.operations import LIVE
from setproto.roles.party import baggage_digest
from setproto.roles.ports import Event, EventKind, Outgoing, Reply
from setproto.store import MemoryStore

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND_CARD = "5555555555554444"
"""Another number that is published for tests."""


@cache
def tree() -> BrandTree:
    """One hierarchy per process: certificates are what takes time."""
    return build_brand_tree("p256", now=NOW - timedelta(days=1), brand=BRAND)


def eur(cents: int) -> CurrencyAmount:
    return CurrencyAmount(currency=978, amount=cents, amt_exp10=-2)


def instalments(count: int) -> InstallRecurData:
    return InstallRecurData(install_total_trans=count)


def recurring(every_days: int, until: datetime) -> InstallRecurData:
    return InstallRecurData(recurring=Recurring(recurring_frequency=every_days, recurring_expiry=general_time(until)))


@dataclass(frozen=True)
class Money:
    """What is authorised, captured of it and credited of that, in cents."""

    authorised: int = 0
    captured: int = 0
    credited: int = 0


Change = Callable[[Any], Any]


class Scene:
    """One cardholder, one merchant, one gateway, one bank account."""

    def __init__(self, market: Market | None = None, **how: Any) -> None:
        self.market = market or Market.within(tree(), Clock(NOW), **how)

    @property
    def merchant(self) -> Merchant:
        return self.market.merchant

    # --- what happens -----------------------------------------------------------------------------

    def order(self, cents: int = 4200, **how: Any) -> bytes:
        """An order as far as PInitRes: the LID-C."""
        first = how.pop("first", None)
        if first is not None:
            how["first_amount"] = f"EUR {first / 100:.2f}"
        order = self.market.order(f"EUR {cents / 100:.2f}", b"one book", **how)
        lid_c, pinit_req = self.market.cardholder.start(order)
        self.market.deliver(Role.cardholder, pinit_req)
        return lid_c

    def buy(self, cents: int = 4200, **how: Any) -> bytes:
        """PInit, P, Auth: the XID."""
        lid_c = self.order(cents, **how)
        self.market.deliver(Role.cardholder, self.market.cardholder.pay(lid_c))
        return self.market.result(lid_c).xid

    def bought(self, cents: int = 4200, captured: int | None = None, **how: Any) -> bytes:
        """A purchase that was authorised and captured: the XID."""
        xid = self.buy(cents, **how)
        assert self.asks(self.merchant.capture(xid, None if captured is None else eur(captured))) == "success"
        return xid

    def asks(self, request: Outgoing) -> str:
        """Carry a request and its answer: what the merchant was told."""
        before = len(self.market.events)
        self.market.deliver(Role.merchant, request)
        said = [e for role, e in self.market.events[before:] if role is Role.merchant and e.code is not None]
        return _name(said[-1].code) if said else "nothing"

    def answers(self, request: Outgoing) -> str:
        """Carry a request to the gateway and lose the answer: what the gateway said."""
        return _name(self.gateway_reply(request).events[-1].code)

    def gateway_reply(self, request: Outgoing) -> Reply:
        return self.market.gateway.handle(request.data)

    def wait(self, days: int) -> None:
        """Time passes, and everybody gets new CRLs."""
        self.market.clock.advance(timedelta(days=days))
        self.market.renew_crls()

    def again(self, xid: bytes, cents: int, *, more: bool = False) -> Outgoing:
        """An AuthReq for a purchase with whatever instruction there is, even where the merchant would not ask."""
        with self.merchant.store.transaction() as transaction:
            record = merchant_records.purchase(transaction, xid)
            assert record.ordered is not None
            order = merchant_records.order(transaction, record.trans_ids.lid_m)
            record = replace(record, outstanding=None)
            first = merchant_records.request(transaction, record.authorizations[0].auth_rrpid)
            carried = decode(PaymentInstruction, requests.baggage_of(first) or b"")
            instruction = record.auth_token or carried.pi
            assert instruction is not None
            return requests.auth_req(
                self.merchant, transaction, record, record.ordered, order, eur(cents), instruction, more=more
            )

    def lie(self, make: Callable[[], Outgoing], body: Change | None = None, baggage: Change | None = None) -> Outgoing:
        """The request that ``make`` makes, with its body or its decoded baggage changed before it is signed."""
        with lying(self.merchant, body, baggage):
            return make()

    # --- the figures ------------------------------------------------------------------------------

    def bank(self) -> Money:
        """As the bank has it, over all purchases of the card."""
        account = self.market.account
        held, captured, credited = (
            _cents(sum(book.values())) for book in (account.held, account.captured, account.credited)
        )
        assert account.spendable + sum(account.held.values()) + account.charged == account.opening.value
        return Money(held + captured, captured, credited)

    def gateway(self, xid: bytes) -> Money:
        """As the gateway has it."""
        with self.market.gateway.store.transaction() as transaction:
            record = gateway_records.find(transaction, self.merchant.party, xid)
        return Money() if record is None else _money(record.authorizations)

    def shop(self, xid: bytes) -> Money:
        """As the merchant has it."""
        return _money(self.merchant.purchase(xid).authorizations)

    def all_agree(self, xid: bytes) -> Money:
        """The figures, which merchant, gateway and bank have alike (for a card with one purchase)."""
        assert self.shop(xid) == self.gateway(xid) == self.bank()
        return self.bank()

    # --- more people ------------------------------------------------------------------------------

    def another_merchant(self) -> Scene:
        """Another merchant of the same gateway, with the same cardholder."""
        market = self.market
        merchant_id = f"other-{market.random(4).hex()}"
        issued = tree().issue_merchant(merchant_id, "Corner Bakery", ACQUIRER_BIN)
        store = MemoryStore()
        merchant = Merchant(
            credentials(issued, PartyID(role=Role.merchant, brand=BRAND, name=merchant_id), "p256"),
            tree().validator(market.clock()),
            store,
            cert_pe=market.gateway.exchange_key().certificate,
            clock=market.clock,
            random=market.random,
            held=market.merchant.held,
        )
        return Scene(self._with(merchant=merchant, stores={**market.stores, Role.merchant: store}))

    def another_cardholder(self, pan: str = SECOND_CARD, balance: str = "EUR 1000.00") -> Scene:
        """Another card with an account at the same bank, at the same merchant."""
        market = self.market
        secret = CardSecret(market.random(32))
        card = PaymentCard(
            Card(BRAND, PAN(pan), CardExpiry("203012")), secret, PANSecret.derive(secret, market.random(32), BRAND)
        )
        account = Account(card.card.pan, card.card.expiry, secret, CurrencyAmount.of(balance))
        market.issuer.add(account)
        store = MemoryStore()
        cardholder = Cardholder(
            certify_card(tree(), card),
            card,
            tree().validator(market.clock()),
            store,
            clock=market.clock,
            random=market.random,
        )
        stores = {**market.stores, Role.cardholder: store}
        return Scene(self._with(cardholder=cardholder, card=card, account=account, stores=stores))

    def _with(self, **other: Any) -> Market:
        return replace(self.market, deliveries=[], events=[], results={}, lose=[], lost=[], **other)


def _name(code: enum.IntEnum | None) -> str:
    return "nothing" if code is None else code.name


def _cents(value: int) -> int:
    cents, rest = divmod(value, 10**4)
    assert rest == 0
    return cents


def _money(authorizations: Any) -> Money:
    standing = [a for a in authorizations if a.state in LIVE]
    captures = [c for a in standing for c in a.captures if c.state in LIVE]
    credits = [c for capture in captures for c in capture.credits if c.state in LIVE]
    return Money(*(sum(_cents(o.amount.value) for o in each) for each in (standing, captures, credits)))


@contextmanager
def lying(merchant: Merchant, body: Change | None, baggage: Change | None) -> Iterator[None]:
    honest = merchant.protect

    def protect(message_type: Any, over: Any, said: Any, **how: Any) -> Any:
        if baggage is not None:
            how["baggage"] = baggage(how["baggage"])
            said = replace(said, baggage_digest=baggage_digest(message_type, how["baggage"]))
        return honest(message_type, over, said if body is None else body(said), **how)

    merchant.protect = protect  # type: ignore[method-assign]
    try:
        yield
    finally:
        del merchant.protect  # type: ignore[method-assign]


# --- changes that lies are made of ----------------------------------------------------------------


def item(**changes: Any) -> Change:
    """The first item of a request with items, changed."""

    def change(body: Any) -> Any:
        field = "cap_item_seq" if hasattr(body, "cap_item_seq") else "item_seq"
        first, *rest = getattr(body, field)
        return replace(body, **{field: [replace(first, **changes), *rest]})

    return change


def cap_payload(**changes: Any) -> Change:
    """The payload of the first item of a CapReq, changed."""
    return lambda body: item(cap_payload=replace(body.cap_item_seq[0].cap_payload, **changes))(body)


def auth_payload(**changes: Any) -> Change:
    """The payload of an AuthReq, changed."""

    def change(body: Any) -> Any:
        auth_item = body.auth_req_item
        payload = replace(auth_item.auth_req_payload, **changes)
        return replace(body, auth_req_item=replace(auth_item, auth_req_payload=payload))

    return change


def tokens(*instead: bytes) -> Change:
    """Other tokens in the baggage."""
    return lambda _: encode(CapTokenSeq(tokens=list(instead)))


def instruction(instead: PaymentInstruction) -> Change:
    """Another PI or AuthToken in the baggage."""
    return lambda _: encode(instead)


def token_of(scene: Scene, xid: bytes, authorization: int = 1) -> bytes:
    """The CapToken that the merchant holds."""
    found = next(a for a in scene.merchant.purchase(xid).authorizations if a.number == authorization)
    assert found.cap_token is not None
    return found.cap_token


def lie_in_answer(gateway: Any, body: Change) -> Any:
    """The gateway itself answers wrongly, with its real keys."""
    return lying(gateway, body, None)


__all__ = ["NOW", "AuthResBaggage", "Event", "EventKind", "Money", "Scene", "eur"]
