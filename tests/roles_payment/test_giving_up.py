"""A merchant waits for the answer to an AuthReq, but not for ever: then it reverses (set-protocol.md §4.2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from setproto.errors import UsageError
from setproto.messages.codes import AuthRevCode, BatchOperation
from setproto.messages.common import Role
from setproto.messages.payment import PaymentInstruction
from setproto.roles import cardholder
from setproto.roles.merchant import records as merchant_records
from setproto.roles.merchant import requests
from setproto.roles.operations import OpState
from setproto.roles.ports import EventKind
from tests.roles_payment.scene import NOW, Money, Scene, eur, instalments, instruction, recurring, tokens

HOUR = timedelta(hours=1)


class Waiting(Scene):
    """A merchant that has sent an AuthReq and got no answer."""

    def begin(self, lose: str, **how: object) -> bytes:
        """An order is paid, and the message ``lose`` gets lost: the XID."""
        self.lid_c = self.order(**how)  # type: ignore[arg-type]
        self.market.lose = [lose]
        self.market.deliver(Role.cardholder, self.market.cardholder.pay(self.lid_c))
        return self.market.cardholder.purchase(self.lid_c).shop.trans_ids.xid  # type: ignore[union-attr]

    @property
    def rrpid(self) -> bytes:
        """Of the AuthReq."""
        return self.merchant.purchase(self.market.result(self.lid_c).xid).authorizations[0].auth_rrpid

    def told(self) -> tuple[str, cardholder.State]:
        """What the cardholder is told on inquiry, and what that makes of the purchase."""
        self.market.deliver(Role.cardholder, self.market.cardholder.inquire(self.lid_c))
        code = self.market.result(self.lid_c).code
        return "" if code is None else code.name, self.market.cardholder.purchase(self.lid_c).state


@pytest.mark.parametrize("lost", ["AuthReq", "AuthRes"])
def test_after_a_time_it_is_given_up_whether_it_was_approved_or_never_came(lost: str) -> None:
    scene = Waiting()
    xid = scene.begin(lost)
    assert scene.told() == ("orderReceived", cardholder.State.RECEIVED)
    scene.market.clock.advance(2 * HOUR)
    reversal = scene.merchant.again(scene.rrpid, HOUR)
    assert reversal is not None
    assert reversal.name == "AuthRevReq"
    assert scene.told() == ("noReply", cardholder.State.DECLINED)
    assert scene.asks(reversal) == "approved"
    assert scene.told() == ("noReply", cardholder.State.DECLINED)
    assert scene.all_agree(xid) == Money()


def test_before_that_time_the_same_request_is_sent_again() -> None:
    scene = Waiting()
    xid = scene.begin("AuthRes")
    again = scene.merchant.again(scene.rrpid, HOUR)
    assert again is not None
    assert scene.asks(again) == "approved"
    assert scene.merchant.again(scene.rrpid, HOUR) is None
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_who_waits_gets_an_answer_to_his_preq_too() -> None:
    scene = Waiting()
    scene.begin("AuthReq")
    scene.merchant.give_up(scene.market.result(scene.lid_c).xid)
    scene.market.deliver(Role.cardholder, scene.market.cardholder.pay(scene.lid_c))
    assert scene.market.cardholder.purchase(scene.lid_c).state is cardholder.State.DECLINED


def test_what_was_declined_counts_whenever_it_is_heard_and_what_was_approved_only_if_it_is_new() -> None:
    """Nothing that was said before a decline can be newer; an approval may have been taken back since."""
    scene = Waiting()
    for lose, expected in (("AuthReq", cardholder.State.DECLINED), ("PRes", cardholder.State.RECEIVED)):
        xid = scene.begin(lose)
        if lose == "PRes":
            scene.asks(scene.merchant.reverse(xid))
        assert scene.told() == ("orderReceived", cardholder.State.RECEIVED)
        if lose == "AuthReq":
            assert scene.merchant.told(xid) is None
            scene.merchant.give_up(xid)
        pres = scene.merchant.told(xid)
        assert pres is not None
        scene.market.cardholder.handle(pres.data)
        assert scene.market.cardholder.purchase(scene.lid_c).state is expected


def test_the_order_can_be_paid_by_another_purchase() -> None:
    scene = Waiting()
    xid = scene.begin("AuthRes")
    order = scene.market.cardholder.purchase(scene.lid_c)
    scene.merchant.give_up(xid)
    lid_c, pinit_req = scene.market.cardholder.start(
        cardholder.Order(order.lid_m, order.description, order.amount, order.install_recur_data)
    )
    scene.market.deliver(Role.cardholder, pinit_req)
    scene.market.deliver(Role.cardholder, scene.market.cardholder.pay(lid_c))
    assert scene.market.cardholder.purchase(lid_c).state is cardholder.State.AUTHORIZED
    assert scene.asks(scene.merchant.resend(xid)) == "approved"
    assert scene.bank() == Money(authorised=4200)


@pytest.mark.prop("PX-9")
def test_an_approval_that_comes_late_is_not_taken() -> None:
    """The answer had been on its way: it is genuine, and changes nothing; the reversal takes back what it approved."""
    scene = Waiting()
    xid = scene.begin("AuthRes")
    (late,) = scene.market.lost
    reversal = scene.merchant.give_up(xid)
    (event,) = scene.merchant.handle(late.message.data).events
    assert event.kind is EventKind.REPEATED
    with pytest.raises(UsageError):
        scene.merchant.capture(xid)
    assert scene.asks(reversal) == "approved"
    assert scene.merchant.purchase(xid).authorizations[0].state is OpState.REFUSED
    assert scene.all_agree(xid) == Money()


@pytest.mark.prop("PX-7")
def test_a_request_that_comes_after_its_reversal_authorises_nothing() -> None:
    scene = Waiting()
    xid = scene.begin("AuthReq")
    (late,) = scene.market.lost
    assert scene.asks(scene.merchant.give_up(xid)) == "approved"
    assert scene.answers(late.message) == "noReply"
    assert scene.all_agree(xid) == Money()


def test_what_only_the_bank_knows_of_is_released() -> None:
    """The bank approved, and the gateway was killed before it could take note of that."""
    scene = Waiting()
    xid = scene.begin("AuthReq")
    (late,) = scene.market.lost
    before = dict(scene.market.stores[Role.gateway]._tables)
    assert scene.answers(late.message) == "approved"
    scene.market.stores[Role.gateway]._tables = before
    assert scene.bank() == Money(authorised=4200)
    assert scene.asks(scene.merchant.give_up(xid)) == "approved"
    assert scene.bank() == Money()


def test_the_reversal_is_sent_again_until_it_is_answered() -> None:
    scene = Waiting()
    xid = scene.begin("AuthRes")
    reversal = scene.merchant.give_up(xid)
    assert scene.answers(reversal) == "approved"
    assert scene.asks(scene.merchant.resend(xid)) == "approved"
    assert scene.merchant.purchase(xid).outstanding is None
    assert scene.all_agree(xid) == Money()


@pytest.mark.parametrize("closed", [False, True])
def test_a_sale_is_undone_whole(closed: bool) -> None:
    """Its capture is taken back, or credited if its batch has been closed meanwhile: the cardholder has the money."""
    scene = Waiting()
    xid = scene.begin("AuthRes", capture_now=True)
    assert scene.bank() == Money(4200, 4200)
    if closed:
        assert scene.asks(scene.merchant.batch(1, BatchOperation.close)) == "success"
    assert scene.asks(scene.merchant.give_up(xid)) == "approved"
    assert scene.merchant.purchase(xid).has_failed
    assert scene.bank() == (Money(4200, 4200, 4200) if closed else Money())
    assert scene.gateway(xid) == scene.bank()


def test_a_decline_that_got_lost_is_given_up_too() -> None:
    scene = Waiting()
    xid = scene.begin("AuthRes", cents=200_000)
    assert scene.asks(scene.merchant.give_up(xid)) == "approved"
    assert scene.all_agree(xid) == Money()


@pytest.mark.parametrize("lost", ["AuthReq", "AuthRes"])
def test_a_later_shipment_is_given_up_and_the_first_one_stands(lost: str) -> None:
    """What had been approved has moved the chain of tokens on: it moves back, and the shipment can be tried again."""
    scene = Waiting()
    xid = scene.buy(4200, first=2000)
    scene.market.lose = [lost]
    scene.market.deliver(Role.merchant, scene.merchant.authorize(xid, eur(2200)))
    assert scene.asks(scene.merchant.give_up(xid)) == "approved"
    assert not scene.merchant.purchase(xid).has_failed
    assert scene.all_agree(xid) == Money(authorised=2000)
    assert scene.asks(scene.merchant.authorize(xid, eur(2200))) == "approved"
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_an_instalment_or_payment_that_is_given_up_is_not_counted() -> None:
    """Neither among the instalments agreed on, nor in the pause between two recurring payments."""
    for how in (instalments(2), recurring(30, NOW + timedelta(days=365))):
        scene = Waiting()
        xid = scene.buy(4200, first=2000, install_recur_data=how)
        scene.wait(40)
        scene.market.lose = ["AuthRes"]
        scene.market.deliver(Role.merchant, scene.merchant.authorize(xid, eur(2000)))
        assert scene.asks(scene.merchant.give_up(xid)) == "approved"
        assert scene.asks(scene.merchant.authorize(xid, eur(2000))) == "approved"
        assert scene.all_agree(xid) == Money(authorised=4000)


@pytest.mark.prop("PX-7")
def test_the_token_of_what_was_given_up_is_good_for_nothing() -> None:
    """Another one has its number by now."""
    scene = Waiting()
    xid = scene.buy(10_000, first=1000)
    scene.market.lose = ["AuthRes"]
    scene.market.deliver(Role.merchant, scene.merchant.authorize(xid, eur(1000), more=True))
    store = scene.market.stores[Role.merchant]
    before = dict(store._tables)
    scene.merchant.handle(scene.market.lost.pop().message.data)
    instead = PaymentInstruction(auth_token=scene.merchant.purchase(xid).auth_token)
    store._tables = before
    assert scene.asks(scene.merchant.give_up(xid)) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000), more=True)) == "approved"
    lie = scene.lie(lambda: scene.merchant.authorize(xid, eur(1000), more=True), baggage=instruction(instead))
    assert scene.asks(lie) == "piPreviouslyUsed"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000), more=True)) == "approved"
    assert scene.all_agree(xid) == Money(authorised=3000)


@pytest.mark.prop("PX-7")
def test_the_chain_of_tokens_moves_back_only_from_its_end() -> None:
    """A merchant that had the answer, used its token, and now says that it had none, gets no token back."""
    scene = Waiting()
    xid = scene.buy(10_000, first=1000)
    first = PaymentInstruction(auth_token=scene.merchant.purchase(xid).auth_token)
    for _ in range(2):
        assert scene.asks(scene.merchant.authorize(xid, eur(1000), more=True)) == "approved"
    lie = scene.lie(lambda: scene.merchant.reverse(xid, authorization=2), baggage=tokens(b""))
    assert scene.asks(lie) == "approved"
    old = scene.lie(lambda: scene.merchant.authorize(xid, eur(1000), more=True), baggage=instruction(first))
    assert scene.asks(old) == "piPreviouslyUsed"
    assert scene.asks(scene.merchant.authorize(xid, eur(1000), more=True)) == "approved"
    assert scene.all_agree(xid) == Money(authorised=3000)


def test_there_must_be_an_authorisation_to_give_up() -> None:
    scene = Waiting()
    xid = scene.buy()
    with pytest.raises(UsageError, match="no authorisation is outstanding"):
        scene.merchant.give_up(xid)
    scene.merchant.capture(xid)
    with pytest.raises(UsageError, match="no authorisation is outstanding"):
        scene.merchant.give_up(xid)


def test_nobody_gives_up_for_another_merchant() -> None:
    """The thief has everything that the victim has, but for its keys."""
    scene = Waiting()
    thief = scene.another_merchant()
    xid = scene.begin("AuthRes")
    thief.merchant.store._tables.update(scene.merchant.store._tables)  # type: ignore[attr-defined]
    assert thief.answers(thief.merchant.give_up(xid)) == "approved"  # of its own, which there is not
    assert scene.bank() == Money(authorised=4200)
    again = scene.merchant.again(scene.rrpid, HOUR)
    assert again is not None
    assert scene.asks(again) == "approved"
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_the_identifiers_must_be_those_of_the_purchase() -> None:
    scene = Waiting()
    xid = scene.begin("AuthRes")
    with scene.merchant.store.transaction() as transaction:
        record = merchant_records.purchase(transaction, xid)
        record = replace(record, trans_ids=replace(record.trans_ids, lid_c=b"another"))
        request = requests.auth_rev_req(scene.merchant, transaction, record, record.authorizations[0], eur(0))
    assert scene.answers(request) == "invalidTransaction"
    assert scene.bank() == Money(authorised=4200)


def test_a_reversal_that_is_refused_leaves_it_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the approval is not taken even then; the shop's books say that it waits for nobody."""
    scene = Waiting()
    xid = scene.begin("AuthRes")
    monkeypatch.setattr("setproto.roles.gateway.authorization.cancel", lambda *_: AuthRevCode.invalidAmount)
    assert scene.asks(scene.merchant.give_up(xid)) == "invalidAmount"
    record = scene.merchant.purchase(xid)
    assert record.authorizations[0].state is OpState.GIVEN_UP
    assert (record.outstanding, record.has_failed) == (None, True)
