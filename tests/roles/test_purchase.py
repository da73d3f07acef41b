"""The happy path, and what makes it survive repetition, loss and restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pki.der import encode
from setproto.amounts import Ratio
from setproto.errors import ErrorCode, UsageError
from setproto.market import TRADERS, Market
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
from setproto.messages.common import Role
from setproto.messages.registry import PINIT_REQ
from setproto.messages.wrapper import MessageIDs, unwrap, wrap
from setproto.roles import cardholder
from setproto.roles.gateway import batches, outbox, records
from setproto.roles.ports import EventKind
from tests.roles.scenes import (
    KIND,
    LATER,
    LONG_STORY,
    STORY,
    Step,
    another_card,
    assert_refused,
    before,
    begin,
    cardholder_with,
    money,
    opened,
    remade,
    restarted,
    snapshot,
    state,
    step,
    whole,
)

SUITES = ["p256", pytest.param("rsa3072", marks=pytest.mark.slow), "ed25519", "mldsa65"]


@pytest.mark.prop("PU-1")
@pytest.mark.parametrize("suite", SUITES)
def test_a_purchase_runs_to_its_end(suite: str) -> None:
    market = Market.open(suite)
    purchase = market.buy("EUR 42.00", b"one book")
    assert (purchase.completion_code, purchase.code) == (CompletionCode.capturePerformed, CapCode.success)
    assert [delivery.message.name for delivery in market.deliveries] == list(STORY)
    assert market.cardholder.purchase(purchase.lid_c).state is cardholder.State.CAPTURED
    assert step(market, purchase.xid) is Step.CAPTURED
    available, held, captured = money(market.account)
    assert (available, held) == (958_00, {})
    assert [str(amount) for amount in captured.values()] == ["EUR 42.00"]


def test_a_purchase_with_a_geopolitical_ca() -> None:
    purchase = Market.open(geo=True).buy("EUR 42.00", b"one book")
    assert purchase.completion_code is CompletionCode.capturePerformed


def test_the_events_tell_the_story() -> None:
    market = Market.open()
    market.buy("EUR 42.00", b"one book")
    assert [(role.name, event.kind.name) for role, event in market.events] == [
        ("cardholder", "MERCHANT_SHOWN"),
        ("merchant", "ORDER_RECEIVED"),
        ("gateway", "AUTHORIZATION"),
        ("merchant", "AUTHORIZATION"),
        ("cardholder", "RESULT"),
        ("gateway", "CAPTURE"),
        ("merchant", "CAPTURE"),
        ("cardholder", "RESULT"),
    ]
    assert market.events[0][1].detail == "Corner Bookshop"


def test_without_capture_the_money_is_only_held() -> None:
    market = Market.open()
    purchase = market.buy("EUR 42.00", b"one book", capture=False)
    assert (purchase.completion_code, purchase.code) == (CompletionCode.authorizationPerformed, AuthCode.approved)
    available, held, captured = money(market.account)
    assert (available, [str(amount) for amount in held.values()], captured) == (958_00, ["EUR 42.00"], {})
    assert step(market, purchase.xid) is Step.AUTHORIZED


def test_part_of_the_money_can_be_captured_and_the_rest_is_free_when_it_is_given_up() -> None:
    """More can be captured later, so the rest is held until the authorisation is reduced to what was captured."""
    scene = before("PRes", amount="EUR 10.00")
    market = scene.market
    market.cardholder.handle(scene.data)
    market.deliver(Role.merchant, market.merchant.capture(scene.xid, scene.order.amount.with_amount(4_00)))
    assert [str(amount) for amount in money(market.account)[1].values()] == ["EUR 6.00"]
    assert money(market.account)[0] == 1000_00 - 10_00
    (inq_res,) = market.merchant.handle(market.cardholder.inquire(scene.lid_c).data).outgoing
    (payload,) = opened(market, "InqRes", inq_res.data).body.pres_payload_seq
    assert payload.completion_code is CompletionCode.capturePerformed
    assert (payload.results.cap_status.cap_code, payload.results.auth_status.auth_code) == (
        CapCode.success,
        AuthCode.approved,
    )
    assert payload.results.cap_status.cap_ratio == Ratio(numerator=2, denominator=5)
    assert payload.results.auth_status.auth_ratio == Ratio(numerator=1, denominator=1)
    market.deliver(Role.merchant, market.merchant.reverse(scene.xid, scene.order.amount.with_amount(4_00)))
    assert money(market.account)[:2] == (1000_00 - 4_00, {})
    assert step(market, scene.xid) is Step.CAPTURED


def test_several_purchases_at_once_do_not_meet() -> None:
    market = Market.open()
    scenes = [begin(market, f"EUR {i}.00", b"%d books" % i) for i in range(1, 6)]
    while any(scene.hand for scene in scenes):
        for scene in scenes:
            if scene.hand:
                scene.deliver()
    assert {step(market, scene.xid) for scene in scenes} == {Step.CAPTURED}
    assert money(market.account)[0] == 1000_00 - 15_00


def test_an_inquiry_is_answered_at_any_time() -> None:
    scene = before("AuthReq")
    market = scene.market
    for expected in (CompletionCode.orderReceived, CompletionCode.authorizationPerformed):
        (answer,) = market.merchant.handle(market.cardholder.inquire(scene.lid_c).data).outgoing
        (event,) = market.cardholder.handle(answer.data).events
        assert (event.kind, event.detail) == (EventKind.RESULT, expected.name)
        if expected is CompletionCode.orderReceived:
            assert market.cardholder.purchase(scene.lid_c).state is cardholder.State.RECEIVED
            scene.deliver()
            scene.deliver()
    assert market.cardholder.purchase(scene.lid_c).state is cardholder.State.AUTHORIZED


# --- the same message again -----------------------------------------------------------------------


@pytest.mark.parametrize("name", LONG_STORY)
def test_a_message_that_comes_twice_has_one_effect(name: str) -> None:
    """A request gets the same octets again, a response nothing; no state and no money moves."""
    scene = before(name)
    again, receiver = scene.data, scene.receiver
    first = receiver.handle(again)
    kept = state(scene.market)
    second = receiver.handle(again)
    assert second.outgoing == (first.outgoing if name.endswith("Req") else ())
    assert state(scene.market) == kept
    if name not in ("PRes", "InqRes"):
        assert [event.kind for event in second.events] == [EventKind.REPEATED]


@pytest.mark.parametrize("name", LONG_STORY)
def test_a_message_that_comes_again_at_the_end_has_no_further_effect(name: str) -> None:
    scene = whole(goes_on=True)
    kept = state(scene.market)
    message = scene.sent[name]
    reply = scene.market.parties[KIND[name].recipient].handle(message.data)
    assert state(scene.market) == kept
    if name.endswith("Req"):
        answer = "PRes" if name == "PReq" else name.replace("Req", "Res")
        assert [message.data for message in reply.outgoing] == [scene.sent[answer].data]


@pytest.mark.parametrize("name", ["InqReq", "AuthReq", "CapReq", *(name for name in LATER if name.endswith("Req"))])
def test_the_same_request_signed_or_sealed_once_more_is_the_same_request(name: str) -> None:
    """Idempotency is about content, not octets (§4.2)."""
    scene = before(name)
    again = remade(scene, over=unwrap(scene.data).header)
    assert again != scene.data
    first = scene.receiver.handle(scene.data)
    kept = state(scene.market)
    second = scene.receiver.handle(again)
    assert [event.kind for event in second.events] == [EventKind.REPEATED]
    assert second.outgoing == first.outgoing
    assert state(scene.market) == kept


def test_a_preq_asked_for_again_is_the_same_preq() -> None:
    scene = before("PReq")
    assert scene.market.cardholder.pay(scene.lid_c).data == scene.data


def test_a_repeated_preq_before_the_gateway_answered_brings_the_same_auth_req() -> None:
    scene = before("PReq")
    preq = scene.data
    scene.deliver()
    (again,) = scene.market.merchant.handle(preq).outgoing
    assert (again.name, again.data) == ("AuthReq", scene.data)


def test_a_repeated_capture_is_the_same_cap_req() -> None:
    scene = before("CapReq")
    with pytest.raises(UsageError, match="outstanding"):
        scene.market.merchant.capture(scene.xid)
    assert scene.market.merchant.resend(scene.xid).data == scene.data


@pytest.mark.parametrize(
    ("name", "path", "new"),
    [
        ("InqReq", "chall_c2", bytes(20)),
        ("AuthReq", "auth_req_item.auth_req_payload.merch_data.merch_cat_code", "0000"),
        ("CapReq", "cap_item_seq.0.auth_rrpid", bytes(20)),
        ("CapReq", "cap_item_seq.0.cap_payload.cap_num", 2),
        ("CredReq", "item_seq.0.cred_num", 2),
        ("CredRevReq", "item_seq.0.cred_num", 2),
        ("CapRevReq", "item_seq.0.cap_num", 2),
        ("AuthRevReq", "auth_rrpid", bytes(20)),
        ("PCertReq", "brand_seq", ["Other"]),
        ("BatchAdminReq", "batch_id", 2),
    ],
)
def test_the_same_rrpid_with_other_content_is_refused_and_the_first_result_stands(
    name: str, path: str, new: object
) -> None:
    scene = before(name)
    other = remade(scene, {path: new})
    first = scene.receiver.handle(scene.data)
    kept = state(scene.market)
    assert_refused(scene.receiver.handle(other), ErrorCode.rrpidConflict)
    assert state(scene.market) == kept
    assert scene.receiver.handle(scene.data).outgoing == first.outgoing


def test_a_pinit_req_with_a_used_rrpid_and_other_content_is_refused() -> None:
    scene = before("PInitReq")
    wire = unwrap(scene.data)
    body = opened(scene.market, "PInitReq", scene.data).body
    first = scene.receiver.handle(scene.data)
    other = wrap(PINIT_REQ, encode(replace(body, chall_c=bytes(20))), wire.header)
    kept = state(scene.market)
    assert_refused(scene.receiver.handle(other), ErrorCode.rrpidConflict)
    assert state(scene.market) == kept
    assert scene.receiver.handle(scene.data).outgoing == first.outgoing


def test_an_rrpid_is_the_senders_own() -> None:
    """Two cardholders may draw the same RRPID: neither gets the other's answer, nor is one in the other's way."""
    scene = before("InqReq")
    guest = cardholder_with(scene.market, another_card(scene.market))
    first = scene.receiver.handle(scene.data)
    over = unwrap(scene.data).header
    foreign = remade(scene, sender=guest)
    assert unwrap(foreign).header.rrpid == over.rrpid
    assert_refused(scene.receiver.handle(foreign), ErrorCode.signatureFailure)  # its order is not the guest's
    assert scene.receiver.handle(scene.data).outgoing == first.outgoing


def test_a_forged_request_does_not_occupy_an_rrpid() -> None:
    scene = before("AuthReq")
    forged = bytearray(scene.data)
    forged[-1] ^= 1  # in the PI, outside the envelope
    scene.receiver.handle(bytes(forged))
    (event,) = scene.deliver().events
    assert event.code is AuthCode.approved


# --- the answer is lost ---------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [name for name in LONG_STORY if name.endswith("Res")])
def test_a_lost_answer_is_had_by_asking_again(lost: str) -> None:
    request = {"PRes": "PReq"}.get(lost, lost.replace("Res", "Req"))
    scene = before(request)
    scene.goes_on = lost in LATER
    data, receiver = scene.data, scene.receiver
    while scene.hand is not None and scene.hand.name != lost:
        scene.deliver()
    answer = scene.data
    (again,) = receiver.handle(data).outgoing
    assert again.data == answer


def test_time_outs_of_the_merchant() -> None:
    scene = before("AuthReq")
    merchant_ = scene.market.merchant
    assert merchant_.resend(scene.xid).data == scene.data
    scene.deliver()
    scene.deliver()
    with pytest.raises(UsageError, match="nothing is outstanding"):
        merchant_.resend(scene.xid)


REPEATABLE = ["PReq", "AuthReq", "CapReq", "CredReq", "CredRevReq", "CapRevReq", "AuthRevReq"]


@pytest.mark.parametrize("name", REPEATABLE)
def test_a_request_can_still_be_repeated_after_an_outage_of_an_hour(name: str) -> None:
    """§4.2: the answer got lost; whenever the sender asks again with the same RRPID, it gets that first answer."""
    scene = before(name)
    market = scene.market
    answer, kept = scene.receiver.handle(scene.data).outgoing, state(market)
    market.clock.advance(timedelta(hours=1))
    again = market.cardholder.pay(scene.lid_c) if name == "PReq" else market.merchant.resend(scene.xid)
    if name == "PReq":
        assert again.data == scene.data
    else:  # under a header of now: the same RRPID and content
        assert unwrap(again.data).header.rrpid == unwrap(scene.data).header.rrpid
        kept = state(market)
    reply = scene.receiver.handle(again.data)
    assert ([event.kind for event in reply.events], reply.outgoing) == ([EventKind.REPEATED], answer)
    assert state(market) == kept
    # The answer is an hour old too, and as good as ever: it is bound to the request.
    (response,) = answer
    if response.name != "AuthReq":  # which is no answer, but a new request
        events = market.merchant.handle(response.data).events
        assert EventKind.REFUSED not in {event.kind for event in events}


@pytest.mark.parametrize("minutes", [16, -16])
@pytest.mark.parametrize("name", [name for name in LONG_STORY if name.endswith("Req")])
def test_a_request_that_is_new_must_be_recent(name: str, minutes: int) -> None:
    """Kept back on the wire, and first delivered when nobody expects it any more."""
    market = Market.open()
    market.clock.advance(timedelta(hours=1))  # so that the CRLs are valid either way
    scene = before(name, market)
    scene.market.clock.advance(timedelta(minutes=minutes))
    kept = state(scene.market)
    code = ErrorCode.messageTooOld if minutes > 0 else ErrorCode.messageTooNew
    assert_refused(scene.receiver.handle(scene.data), code)
    assert state(scene.market) == kept


@pytest.mark.parametrize("hours", [1, -1])
def test_a_request_is_asked_again_under_a_date_of_now(hours: int) -> None:
    """The clock goes on, or is set back, before the gateway has answered."""
    market = Market.open()
    market.clock.advance(timedelta(hours=2))  # so that the CRLs are valid either way
    rrpid = unwrap(before("AuthReq", market).data).header.rrpid
    assert rrpid is not None
    market.clock.advance(timedelta(hours=hours))
    again = market.merchant.repeat(rrpid)
    assert [message.name for message in market.gateway.handle(again.data).outgoing] == ["AuthRes"]


# --- restarts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", TRADERS)
@pytest.mark.parametrize("name", STORY)
def test_nothing_is_lost_when_a_party_restarts_between_two_messages(name: str, role: Role) -> None:
    scene = before(name)
    scene.market = restarted(scene.market, role)
    while scene.hand is not None:
        scene.deliver()
    assert step(scene.market, scene.xid) is Step.CAPTURED
    assert scene.market.cardholder.purchase(scene.lid_c).state is cardholder.State.CAPTURED
    assert money(scene.market.account)[0] == 958_00


@pytest.mark.parametrize("name", [name for name in LONG_STORY if name.endswith("Req")])
def test_an_answer_given_before_a_restart_is_given_again_after_it(name: str) -> None:
    scene = before(name)
    request, role = scene.data, KIND[name].recipient
    first = scene.receiver.handle(request)
    again = restarted(scene.market, role)
    kept = state(again)
    assert again.parties[role].handle(request).outgoing == first.outgoing
    assert state(again) == kept


# --- what the owner of a role may ask -------------------------------------------------------------


def test_the_owner_cannot_ask_for_what_makes_no_sense() -> None:
    scene = before("PInitReq")
    market = scene.market
    with pytest.raises(UsageError, match="no such purchase"):
        market.cardholder.pay(b"?")
    with pytest.raises(UsageError, match="nothing to pay"):
        market.cardholder.pay(scene.lid_c)
    with pytest.raises(UsageError, match="nothing was ordered"):
        market.cardholder.inquire(scene.lid_c)
    with pytest.raises(UsageError, match="no such purchase"):
        market.merchant.capture(bytes(20))
    with pytest.raises(UsageError, match="in use"):
        market.merchant.add_order(scene.order.lid_m, b"another", scene.order.amount)
    with pytest.raises(ValueError, match="no PInitRes"):
        market.result(scene.lid_c)
    scene.deliver()
    scene.deliver()
    merchant = market.merchant
    for act in (merchant.capture, merchant.reverse, merchant.reverse_capture, merchant.credit, merchant.reverse_credit):
        with pytest.raises(UsageError, match="no such operation"):
            act(scene.xid)
    with pytest.raises(UsageError, match="nothing to authorise again"):
        merchant.authorize(scene.xid, scene.order.amount)
    with pytest.raises(UsageError, match="nothing is outstanding"):
        merchant.resend(scene.xid)


@pytest.mark.parametrize("name", ["AuthReq", "CapReq", "CredReq", "CredRevReq", "CapRevReq", "AuthRevReq"])
def test_while_a_request_waits_for_its_answer_no_other_one_is_made(name: str) -> None:
    scene = before(name)
    merchant, kept = scene.market.merchant, state(scene.market)
    acts = (merchant.capture, merchant.reverse, merchant.reverse_capture, merchant.credit, merchant.reverse_credit)
    for act in (*acts, lambda xid: merchant.authorize(xid, scene.order.amount)):
        with pytest.raises(UsageError, match="outstanding"):
            act(scene.xid)
    assert state(scene.market) == kept


def test_more_than_was_authorised_is_not_captured() -> None:
    """The merchant may ask; the gateway answers no, and the money that was taken stays what it was."""
    scene = whole()
    market = scene.market
    kept = money(market.account)
    market.deliver(Role.merchant, market.merchant.capture(scene.xid, scene.order.amount))
    assert market.events[-1][1].code is CapCode.amountError
    assert (step(market, scene.xid), money(market.account)) == (Step.CAPTURED, kept)


def test_a_capture_of_another_amount_is_not_answered_with_the_first_request() -> None:
    """Asked for half while the whole is on its way, the merchant must not silently send the whole again."""
    scene = before("CapReq")
    with pytest.raises(UsageError):
        scene.market.merchant.capture(scene.xid, scene.order.amount.with_amount(21_00))


def test_a_cardholder_is_not_set_up_with_the_certificate_of_another_card() -> None:
    market = Market.open()
    with pytest.raises(UsageError, match="not for this card"):
        cardholder.Cardholder(
            market.cardholder.credentials,
            another_card(market),
            market.tree.validator(market.clock()),
            market.stores[Role.cardholder],
            clock=market.clock,
            random=market.random,
        )


def test_the_gateway_keeps_no_card_number() -> None:
    scene = whole(goes_on=True)
    pan, expiry = scene.market.card.card.pan.reveal().encode(), scene.market.card.card.expiry.reveal().encode()
    kept = b"".join(key + value for (_, key), value in snapshot(scene.market.stores[Role.gateway]).items())
    assert pan not in kept
    assert expiry not in kept
    assert {table for table, _ in snapshot(scene.market.stores[Role.gateway])} == {
        "answers",
        records.PURCHASES,
        records.USED_PI,
        batches.BATCHES,
        batches.ITEMS,
        batches.CURRENT,
        outbox.OUTBOX,
        outbox.LATEST,
    }


def test_headers_name_the_purchase_they_belong_to() -> None:
    scene = whole(goes_on=True)
    nameless = ("PInitReq", *(name for name in LONG_STORY if name.startswith(("Cap", "Cred", "PCert", "Batch"))))
    ids = MessageIDs(lid_c=scene.lid_c, lid_m=scene.order.lid_m, xid=scene.xid)
    for name, message in scene.sent.items():
        header = unwrap(message.data).header
        assert header.message_ids == (MessageIDs() if name in nameless else ids)
        sender = None if name == "PInitReq" else scene.market.parties[KIND[name].sender].party
        assert header.sender == sender
