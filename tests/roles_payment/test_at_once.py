"""What happens while the bank is asked or told: the gateway waits for it in no transaction, so anything may.

Whatever was decided meanwhile counts, and an approval that nobody can use any more is given back (PX-7).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from setproto.bank import MemoryIssuer
from setproto.errors import ErrorCode
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role
from setproto.roles.gateway import outbox, records
from setproto.roles.ports import (
    Advice,
    AdviceKind,
    AuthorizationDecision,
    AuthorizationRequest,
    EventKind,
    NoReply,
    Outgoing,
    Reply,
)
from tests.roles_payment.scene import Money, Scene, auth_payload, eur

PATIENCE = 20


@dataclass
class Bank:
    """The issuer, and what happens elsewhere while it is first asked, or first told something."""

    issuer: MemoryIssuer
    while_asked: list[Callable[[], Any]] = field(default_factory=list)
    while_told: list[Callable[[], Any]] = field(default_factory=list)
    asked: int = 0
    told: list[AdviceKind] = field(default_factory=list)
    silent: bool = False

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        self.asked += 1
        decision = self.issuer.authorize(request)
        for happens in (self.while_asked.pop() for _ in tuple(self.while_asked)):
            happens()
        return decision

    def advise(self, advice: Advice) -> None:
        if self.silent:
            raise NoReply
        for happens in (self.while_told.pop() for _ in tuple(self.while_told)):
            happens()
        self.issuer.advise(advice)
        self.told.append(advice.kind)


@pytest.fixture
def bank(scene: Scene) -> Bank:
    """Between the gateway and the issuer of the scene."""
    between = Bank(scene.market.issuer)
    scene.market.gateway.issuer = between
    return between


def first_request(scene: Scene, **how: Any) -> Outgoing:
    """The AuthReq of an order, on its way."""
    return scene.merchant.handle(scene.market.cardholder.pay(scene.order(**how)).data).outgoing[0]


def xid_of(scene: Scene) -> bytes:
    return next(key for table, key in scene.market.stores[Role.merchant].dump() if table == "purchases")


# --- authorisations -----------------------------------------------------------------------------


@pytest.mark.prop("PX-7")
def test_a_pi_is_used_by_another_request_while_the_bank_is_asked(scene: Scene, bank: Bank) -> None:
    slow = first_request(scene)
    quick = scene.again(xid_of(scene), 4200)
    bank.while_asked.append(lambda: said.append(scene.answers(quick)))
    said: list[str] = []
    assert scene.answers(slow) == "piPreviouslyUsed"
    assert said == ["approved"]
    assert bank.told == [AdviceKind.REVERSAL]
    assert scene.gateway(xid_of(scene)) == scene.bank() == Money(authorised=4200)
    (again,) = scene.gateway_reply(slow).events
    assert again.kind is EventKind.REPEATED
    assert bank.asked == 2


@pytest.mark.prop("PX-9")
def test_the_same_request_comes_twice_at_once(scene: Scene, bank: Bank) -> None:
    request = first_request(scene)
    bank.while_asked.append(lambda: replies.append(scene.gateway_reply(request)))
    replies: list[Reply] = []
    last = scene.gateway_reply(request)
    assert [event.code for event in replies[0].events] == [AuthCode.approved]
    assert [event.kind for event in last.events] == [EventKind.REPEATED]
    assert last.outgoing[0].data == replies[0].outgoing[0].data
    assert bank.told == []
    assert scene.gateway(xid_of(scene)) == scene.bank() == Money(authorised=4200)


@pytest.mark.prop("PX-7", "PX-9")
def test_the_request_was_refused_on_the_other_way(scene: Scene, bank: Bank) -> None:
    slow = first_request(scene)
    quick = scene.again(xid_of(scene), 4200)
    bank.while_asked.append(lambda: said.extend([scene.answers(quick), scene.answers(slow)]))
    said: list[str] = []
    (last,) = scene.gateway_reply(slow).events
    assert said == ["approved", "piPreviouslyUsed"]
    assert last.kind is EventKind.REPEATED
    assert scene.gateway(xid_of(scene)) == scene.bank() == Money(authorised=4200)


@pytest.mark.prop("PX-7", "PX-9")
def test_its_rrpid_is_used_for_something_else_while_the_bank_is_asked(scene: Scene, bank: Bank) -> None:
    preq = scene.market.cardholder.pay(scene.order())
    scene.merchant.handle(preq.data)
    random, scene.merchant.random = scene.merchant.random, lambda size: b"r" * size
    request = scene.again(xid_of(scene), 4200)
    other = scene.lie(lambda: scene.again(xid_of(scene), 4200), auth_payload(auth_req_amt=eur(4201)))
    scene.merchant.random = random
    bank.while_asked.append(lambda: said.append(scene.answers(other)))
    said: list[str] = []
    (event,) = scene.gateway_reply(request).events
    assert (said, event.code) == (["amountError"], ErrorCode.rrpidConflict)
    scene.market.gateway.tell_bank()
    assert scene.gateway(xid_of(scene)) == scene.bank() == Money()


@pytest.mark.prop("PX-7")
def test_a_token_is_used_by_another_request_while_the_bank_is_asked(scene: Scene, bank: Bank) -> None:
    xid = scene.buy(10_000, first=3000)
    slow, quick = (scene.again(xid, cents, more=True) for cents in (2000, 1000))
    bank.while_asked.append(lambda: said.append(scene.answers(quick)))
    said: list[str] = []
    assert scene.answers(slow) == "piPreviouslyUsed"
    assert said == ["approved"]
    assert scene.gateway(xid) == scene.bank() == Money(authorised=4000)


@pytest.mark.parametrize("before", [True, False], ids=["before the bank decides", "after it"])
def test_the_merchant_gives_up_while_the_bank_is_asked(
    scene: Scene, bank: Bank, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = first_request(scene)
    reversal, honest, said = scene.merchant.give_up(xid_of(scene)), bank.authorize, []

    def authorize(request: AuthorizationRequest) -> AuthorizationDecision:
        if before:
            said.append(scene.asks(reversal))
        decision = honest(request)
        if not before:
            said.append(scene.asks(reversal))
        return decision

    monkeypatch.setattr(bank, "authorize", authorize)
    assert scene.answers(slow) == "noReply"
    assert said == ["approved"]
    scene.market.gateway.tell_bank()
    assert scene.gateway(xid_of(scene)) == scene.bank() == Money()


def test_the_money_is_held_for_the_slower_request(scene: Scene, bank: Bank) -> None:
    """The quicker one is declined, so that the PI may be used once more."""
    scene.market.account.opening = eur(5000)
    slow = first_request(scene)
    quick = scene.again(xid_of(scene), 4200)
    bank.while_asked.append(lambda: said.append(scene.answers(quick)))
    said: list[str] = []
    assert scene.answers(slow) == "approved"
    assert said == ["declined"]
    assert bank.told == []
    assert scene.gateway(xid_of(scene)) == scene.bank() == Money(authorised=4200)


def test_two_purchases_are_at_the_bank_at_once(scene: Scene, bank: Bank) -> None:
    both = threading.Barrier(2)
    requests = [first_request(scene), first_request(scene)]
    honest = bank.authorize

    def authorize(request: AuthorizationRequest) -> AuthorizationDecision:
        both.wait(PATIENCE)
        return honest(request)

    bank.authorize = authorize  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(scene.answers, requests)) == ["approved", "approved"]
    assert scene.bank() == Money(authorised=8400)


# --- what the bank is told ----------------------------------------------------------------------


def test_captures_of_two_purchases_are_told_at_once(scene: Scene, bank: Bank) -> None:
    requests = [scene.merchant.capture(scene.buy()) for _ in range(2)]
    both = threading.Barrier(2)
    honest = bank.advise

    def advise(advice: Advice) -> None:
        both.wait(PATIENCE)
        honest(advice)

    bank.advise = advise  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(scene.answers, requests)) == ["success", "success"]
    assert scene.bank() == Money(8400, 8400)


def test_what_is_about_one_authorisation_is_told_in_order(scene: Scene, bank: Bank) -> None:
    """The reversal comes while the capture is being told: it waits, and is told after it."""
    xid = scene.buy()
    capture = scene.merchant.capture(xid)

    def reverse() -> None:
        scene.merchant.handle(scene.gateway_reply(capture).outgoing[0].data)
        assert scene.asks(scene.merchant.reverse_capture(xid)) == "success"
        assert bank.told == []

    bank.while_told.append(reverse)
    assert scene.answers(capture) == "success"
    assert bank.told == [AdviceKind.CAPTURE]
    scene.market.gateway.tell_bank()
    assert bank.told == [AdviceKind.CAPTURE, AdviceKind.CAPTURE_REVERSAL]
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_what_the_bank_does_not_answer_to_holds_up_only_what_is_about_the_same(scene: Scene, bank: Bank) -> None:
    bank.silent = True
    xid, other = scene.bought(), scene.bought()
    assert scene.asks(scene.merchant.reverse_capture(xid)) == "success"
    bank.silent = False
    honest, poison = bank.advise, _reference(scene, xid)

    def advise(advice: Advice) -> None:
        if advice.authorization == poison and advice.kind is AdviceKind.CAPTURE:
            raise NoReply
        honest(advice)

    bank.advise = advise  # type: ignore[method-assign]
    scene.market.gateway.tell_bank()
    assert bank.told == [AdviceKind.CAPTURE]
    assert scene.gateway(other) == scene.shop(other) == Money(4200, 4200)
    bank.advise = honest  # type: ignore[method-assign]
    scene.market.gateway.tell_bank()
    assert bank.told == [AdviceKind.CAPTURE, AdviceKind.CAPTURE, AdviceKind.CAPTURE_REVERSAL]


def _reference(scene: Scene, xid: bytes) -> bytes:
    """Under which the bank knows the first authorisation of a purchase."""
    gateway, merchant = scene.market.gateway, scene.merchant.party
    with gateway.store.transaction() as transaction:
        record = records.find(transaction, merchant, xid)
    assert record is not None
    return records.bank_reference(gateway.party, merchant, record.authorizations[0].auth_rrpid)


def test_a_long_queue_is_told_part_by_part(scene: Scene, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_PART", 2)
    bank.silent = True
    for _ in range(3):
        scene.bought()
    bank.silent = False
    for told in (2, 3, 3):
        scene.market.gateway.tell_bank()
        assert bank.told == [AdviceKind.CAPTURE] * told
    assert scene.bank() == Money(3 * 4200, 3 * 4200)


def test_what_was_left_over_is_told_in_order(scene: Scene, bank: Bank) -> None:
    bank.silent = True
    xid = scene.bought()
    assert scene.asks(scene.merchant.reverse_capture(xid)) == "success"
    bank.silent = False
    other = scene.bought()  # about another authorisation: it need not wait
    assert bank.told == [AdviceKind.CAPTURE]
    for _ in range(2):  # the second time there is nothing left
        scene.market.gateway.tell_bank()
        assert bank.told == [AdviceKind.CAPTURE, AdviceKind.CAPTURE, AdviceKind.CAPTURE_REVERSAL]
    assert scene.gateway(xid) == Money(authorised=4200)
    assert scene.bank() == Money(8400, 4200)
    assert scene.gateway(other) == Money(4200, 4200)
