"""Two processes of one gateway on one database, between whose transactions anything may happen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from setproto.bank import MemoryIssuer
from setproto.market import ACQUIRER_BIN
from setproto.messages.codes import AuthCode
from setproto.messages.wrapper import unwrap
from setproto.roles.gateway import Gateway
from setproto.roles.ports import Advice, AuthorizationDecision, AuthorizationRequest, EventKind, Outgoing, Reply
from setproto.store.sql import SQLStore
from tests.roles_payment.scene import Money, Scene
from tests.store.conftest import open_sql, postgresql, url

__all__ = ["open_sql", "postgresql", "url"]

PATIENCE = 20


class Died(Exception):
    """The process ends here."""


@dataclass
class Bank:
    """The issuer; ``before`` is done before it answers, ``after`` before the gateway hears it."""

    issuer: MemoryIssuer
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        self.before()
        decision = self.issuer.authorize(request)
        self.after()
        return decision

    def advise(self, advice: Advice) -> None:
        self.issuer.advise(advice)


class Pair:
    """A scene with two gateways."""

    def __init__(self, open_sql: Callable[..., SQLStore]) -> None:
        self.scene = Scene()
        self.bank = Bank(self.scene.market.issuer)
        old = self.scene.market.gateway
        self.both = [
            Gateway(
                old.credentials,
                self.bank,
                old.validator,
                open_sql("gateway"),
                token_key=b"t" * 32,
                acquirer_bin=ACQUIRER_BIN,
                clock=old.clock,
                random=old.random,
                held=old.held,
                journal=True,
            )
            for _ in range(2)
        ]
        self.scene.market.gateway = self.both[0]

    def request(self) -> Outgoing:
        """The AuthReq of a new order."""
        return self.scene.merchant.handle(self.scene.market.cardholder.pay(self.scene.order()).data).outgoing[0]

    def at_once(self, *requests: Outgoing) -> list[Reply]:
        """One to each gateway; both are at the bank at the same time."""
        meeting = threading.Barrier(2)
        self.bank.before = lambda: meeting.wait(PATIENCE)
        with ThreadPoolExecutor(2) as pool:
            replies = list(pool.map(lambda one: one[0].handle(one[1].data), zip(self.both, requests, strict=True)))
        self.bank.before = lambda: None
        for gateway in self.both:
            gateway.tell_bank()
        return replies


def _xid(message: Outgoing) -> bytes:
    xid = unwrap(message.data).header.message_ids.xid
    assert xid is not None
    return xid


@pytest.fixture
def pair(open_sql: Callable[..., SQLStore]) -> Pair:
    return Pair(open_sql)


@pytest.mark.prop("PX-9")
def test_the_same_request_at_both_at_once(pair: Pair) -> None:
    request = pair.request()
    one, other = sorted(pair.at_once(request, request), key=lambda reply: reply.events[0].kind is EventKind.REPEATED)
    assert one.events[0].code is AuthCode.approved
    assert other.events[0].kind is EventKind.REPEATED
    assert one.outgoing[0].data == other.outgoing[0].data
    assert pair.scene.bank() == Money(authorised=4200)


@pytest.mark.prop("PX-7")
def test_the_same_pi_at_both_at_once(pair: Pair) -> None:
    """Both are approved by the bank; one authorises, and the money of the other is given back."""
    first = pair.request()
    second = pair.scene.again(_xid(first), 4200)
    codes = {reply.events[0].code for reply in pair.at_once(first, second)}
    assert codes == {AuthCode.approved, AuthCode.piPreviouslyUsed}
    assert pair.scene.gateway(_xid(first)) == pair.scene.bank() == Money(authorised=4200)


@pytest.mark.prop("PX-9")
def test_one_dies_between_its_transactions_and_the_other_takes_over(pair: Pair) -> None:
    def die() -> None:
        raise Died

    request = pair.request()
    pair.bank.after = die
    with pytest.raises(Died):
        pair.both[0].handle(request.data)
    pair.bank.after = lambda: None
    assert pair.both[1].handle(request.data).events[0].code is AuthCode.approved
    assert pair.scene.gateway(_xid(request)) == pair.scene.bank() == Money(authorised=4200)


def test_many_purchases_at_both(pair: Pair) -> None:
    """Each is authorised at one gateway and captured at the other."""
    requests = [pair.request() for _ in range(12)]

    def carry(number: int, request: Outgoing) -> None:
        answer = pair.both[number % 2].handle(request.data).outgoing[0]
        pair.scene.merchant.handle(answer.data)
        capture = pair.scene.merchant.capture(_xid(request))
        assert pair.both[1 - number % 2].handle(capture.data).events[0].code.name == "success"  # type: ignore[union-attr]

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(carry, number, request) for number, request in enumerate(requests)]:
            done.result(PATIENCE)
    pair.both[0].tell_bank()
    assert pair.scene.bank() == Money(12 * 4200, 12 * 4200)
    assert all(pair.scene.gateway(_xid(request)) == Money(4200, 4200) for request in requests)
