"""One valid message of every kind, caught just before it is delivered, with the state of whoever gets it.

``cases()`` plays a few purchases, with everything that a merchant can ask of a gateway, and keeps the first message of
each kind.  A case can be delivered damaged any number of times: what it changes is put back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import Recipient, seal
from setproto.errors import ErrorCode
from setproto.market import Delivery, Market
from setproto.messages.batch import ReturnTransactionDetail
from setproto.messages.codes import AcqCardCode, BatchOperation
from setproto.messages.common import InstallRecurData, Recurring, Role
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.payment import AcqCardCodeMsg, EncB
from setproto.messages.purchase import PReq
from setproto.messages.registry import TRADE, MessageType, Operator
from setproto.messages.wrapper import MessageHeader, unwrap, wrap
from setproto.roles.credentials import party_of
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import records
from setproto.roles.operations import OpState
from setproto.roles.party import baggage_digest
from setproto.roles.ports import EventKind, Outgoing, Reply
from tests.faults.fuzz.mutation import Node, head_of, walk

KINDS = (*(entry.name for entry in TRADE), "Error")
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@dataclass
class Protected:
    """What the sender had in hand before it signed and sealed."""

    sender: Endpoint
    message_type: MessageType[Any]
    over: MessageHeader
    body: bytes
    recipient: Any
    baggage: bytes | None

    def again(self, body: bytes, baggage: bytes | None) -> bytes:
        """The message with this body and baggage, signed and sealed by its real sender: only rules are in its way."""
        message_type, signer = self.message_type, self.sender.credentials.signer
        if baggage is not None and self.baggage is not None and baggage != self.baggage:
            old, new = (baggage_digest(message_type, octets) for octets in (self.baggage, baggage))
            body = body.replace(old, new)
        encoded = signer.sign(body, message_type.content_type, certificates=self.sender.credentials.own_certificates)
        if message_type.operator in (Operator.ENC, Operator.ENCB):
            to = party_of(self.recipient, message_type.recipient)
            ids = self.over.message_ids
            context = self.sender.context(message_type.content_type, self.sender.party, to, ids.xid, self.over.rrpid)
            encoded = seal(encoded, Recipient(self.recipient), context=context)
        if message_type.operator is Operator.ENCB:
            encoded = encode(EncB(enc=encoded, baggage=baggage or b""))
        return wrap(message_type, encoded, self.over)


@dataclass
class Bank:
    """The books of the issuer, copied."""

    books: list[dict[bytes, Any]]
    advised: set[bytes]


@dataclass
class Case:
    """A valid message and the moment at which it would have arrived."""

    name: str
    data: bytes
    to: Endpoint
    market: Market
    tables: dict[tuple[str, bytes], bytes]
    bank: Bank
    protected: Protected | None = None
    codes: set[object] = field(default_factory=set)
    """What was said about the mutants."""
    kinds: dict[EventKind, int] = field(default_factory=dict)
    """How many mutants ended how."""

    def keeps_what_is_signed(self, mutant: bytes) -> bool:
        """Whether everything that the sender signed, and nobody sealed, is in a mutant as it was."""
        if self.name == "PReq":
            preq = decode(PReq, unwrap(self.data).body)
            return all(part in mutant for part in (preq.oi.oi_data, preq.oi.oi_salt, preq.oi.hpi_data, preq.pi.seals))
        protected = self.protected
        return protected is not None and protected.message_type.operator is Operator.S and protected.body in mutant

    def restore(self) -> None:
        """Back to the moment before the message arrives."""
        store = self.to.store
        if store._tables != self.tables:  # type: ignore[attr-defined]
            store._tables = dict(self.tables)  # type: ignore[attr-defined]
            if self.to is self.market.gateway:  # nobody else moves money
                restore_bank(self.market, self.bank)

    def deliver(self, data: bytes) -> Reply:
        """Hand over these octets and look at everything that comes of it.  AssertionError if it is not in order."""
        try:
            reply = self.to.handle(data)
        except BaseException as escaped:
            raise AssertionError(f"{type(escaped).__name__} escaped: {escaped}") from escaped
        changed = self.to.store._tables != self.tables  # type: ignore[attr-defined]
        kinds = {event.kind for event in reply.events}
        self.codes |= {event.code for event in reply.events}
        for kind in kinds:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        try:
            for message in reply.outgoing:
                well_formed(message)
            if changed:
                assert not kinds & {EventKind.REFUSED, EventKind.ERROR_RECEIVED, EventKind.REPEATED}, "state changed"
                sound(self.market)
            if EventKind.REFUSED in kinds:
                assert {message.name for message in reply.outgoing} <= {"Error"}
        finally:
            if changed:
                self.restore()
        return reply


def bank_of(market: Market) -> Bank:
    account, issuer = market.account, market.issuer
    books = [account.held, account.captured, account.credited, issuer._decisions, issuer._by_reference]
    return Bank([dict(book) for book in books], set(issuer._advised))


def restore_bank(market: Market, bank: Bank) -> None:
    account, issuer = market.account, market.issuer
    books = [account.held, account.captured, account.credited, issuer._decisions, issuer._by_reference]
    for book, saved in zip(books, bank.books, strict=True):
        book.clear()
        book.update(saved)
    issuer._advised = set(bank.advised)


def well_formed(message: Outgoing) -> None:
    """A message that can be decoded; an Error names a code."""
    wire = unwrap(message.data)
    if message.name != "Error":
        assert wire.type is not None
        assert wire.type.name == message.name
        return
    assert wire.type is None
    error = decode(Error, wire.body)
    assert error.signed_error is not None
    body = decode(ErrorTBS, signed_content(error.signed_error))
    ErrorCode(body.error_code)


def signed_content(signed: bytes) -> bytes:
    """The content in a SignedData: ContentInfo, [0], SignedData, encapContentInfo, [0], OCTET STRING."""
    place, end = 0, len(signed)
    for index in (1, 0, 2, 1, 0):
        place, end = _child(signed, place, end, index)
    node = _node(signed, place, end)
    return signed[node.content : node.end]


def _node(data: bytes, start: int, end: int) -> Node:
    found = head_of(data, start, end)
    assert found is not None
    return Node(start, found[0], found[1], data[start], -1)


def _child(data: bytes, start: int, end: int, index: int) -> tuple[int, int]:
    outer = _node(data, start, end)
    place = outer.content
    for _ in range(index):
        place = _node(data, place, outer.end).end
    return place, outer.end


def sound(market: Market) -> None:
    """PX-7 on whatever the gateway has stored: nothing taken without leave, nothing given back that was not taken."""
    for (table, _), value in market.gateway.store._tables.items():  # type: ignore[attr-defined]
        if table != records.PURCHASES:
            continue
        purchase = decode(records.PurchaseRecord, value)
        standing = [a for a in purchase.authorizations if a.state is OpState.GRANTED]
        agreed = purchase.install_recur_data
        if agreed is None or agreed.recurring is None:
            assert sum(a.amount.value for a in standing) <= purchase.purch_amt.value
        if agreed is not None and agreed.install_total_trans is not None:
            assert purchase.generation <= agreed.install_total_trans
        for authorization in purchase.authorizations:
            assert authorization.amount.value <= purchase.purch_amt.value
            assert authorization.amount.currency == purchase.purch_amt.currency
            captures = [c for c in authorization.captures if c.state is OpState.GRANTED]
            assert sum(c.amount.value for c in captures) <= authorization.amount.value
            for capture in captures:
                credits = [c for c in capture.credits if c.state is OpState.GRANTED]
                assert sum(c.amount.value for c in credits) <= capture.amount.value


@contextmanager
def recording(endpoint: Endpoint, into: dict[bytes, Protected]) -> Iterator[None]:
    """Everything that the endpoint protects is also kept unprotected, under the message that came of it."""
    plain = endpoint.protect

    def protect(message_type: Any, over: Any, body: Any, **how: Any) -> Any:
        sent = plain(message_type, over, body, **how)
        into[sent.outgoing.data] = Protected(
            endpoint, message_type, over, encode(body), how.get("recipient"), how.get("baggage")
        )
        return sent

    endpoint.protect = protect  # type: ignore[method-assign]
    try:
        yield
    finally:
        del endpoint.protect  # type: ignore[method-assign]


@cache
def cases() -> dict[str, Case]:
    """Kind → the case, once per process."""
    market = Market.open("p256", now=NOW)
    market.gateway._card_message = AcqCardCodeMsg(acq_card_code=AcqCardCode.messageOfDay, acq_card_text="hello")
    caught: dict[str, Case] = {}
    inside: dict[bytes, Protected] = {}

    def catch(delivery: Delivery) -> bytes:
        message = delivery.message
        if message.name not in caught:
            to = market.parties[delivery.to]
            caught[message.name] = Case(
                message.name,
                message.data,
                to,
                market,
                dict(to.store._tables),  # type: ignore[attr-defined]
                bank_of(market),
                inside.get(message.data),
            )
        return message.data

    market.tamper = catch
    with recording(market.cardholder, inside), recording(market.merchant, inside), recording(market.gateway, inside):
        _play(market)
    market.tamper = None
    assert set(caught) == set(KINDS)
    return caught


def _play(market: Market) -> None:
    """Shares, with a token; captures, reversals, credits, batches, an Error; everything that there is."""
    merchant = market.merchant
    agreed = InstallRecurData(
        recurring=Recurring(recurring_frequency=1, recurring_expiry=general_time(NOW + timedelta(days=200)))
    )
    order = market.order("EUR 42.00", b"one book", install_recur_data=agreed)
    lid_c, first = market.cardholder.start(order)
    market.deliver(Role.cardholder, first)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    xid = market.result(lid_c).xid
    euro = CurrencyAmount.of
    ask = [
        lambda: merchant.reverse(xid, euro("EUR 40.00")),
        lambda: merchant.capture(xid, euro("EUR 30.00")),
        lambda: merchant.reverse_capture(xid),
        lambda: merchant.capture(xid, euro("EUR 20.00")),
        lambda: merchant.credit(xid, euro("EUR 5.00")),
        lambda: merchant.reverse_credit(xid),
        merchant.ask_certificates,
        lambda: merchant.batch(
            1, details=ReturnTransactionDetail(starting_point=0, maximum_items=3, brand_id=merchant.party.brand)
        ),
        lambda: merchant.batch(1, BatchOperation.close),
    ]
    for request in ask:
        market.deliver(Role.merchant, request())
    market.deliver(Role.cardholder, market.cardholder.inquire(lid_c))
    # A message that the gateway cannot read makes it send an Error.
    bad = merchant.batch(2, BatchOperation.open)
    market.deliver(Role.merchant, Outgoing(bad.to, bad.name, bad.data[:-1] + bytes((bad.data[-1] ^ 1,))))


def others() -> list[bytes]:
    """All the messages, to take pieces from."""
    return [case.data for case in cases().values()]


def bodies() -> list[bytes]:
    """All the bodies, to take pieces from."""
    return [case.protected.body for case in cases().values() if case.protected is not None]


def rng_of(*names: object) -> random.Random:
    """The generator that makes a mutant, named by these."""
    return random.Random("/".join(map(str, names)))


__all__ = ["KINDS", "Case", "Protected", "bodies", "cases", "others", "rng_of", "walk"]
