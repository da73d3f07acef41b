"""What a merchant refuses: orders that were not agreed on, questions from strangers, and answers it did not ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509 import ObjectIdentifier

from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, UsageError
from setproto.market import Market
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
from setproto.messages.common import Extension, PartyID, Role
from setproto.messages.oids import ARC, ID_OI_DATA, ID_PI_SEALS
from setproto.messages.payment import AuthResBaggage, EncB
from setproto.messages.purchase import PURCHASE, PReq
from setproto.messages.registry import PINIT_REQ, PREQ
from setproto.messages.wrapper import MessageIDs, header, unwrap, wrap
from setproto.roles.ports import EventKind, Reply
from tests.pki.forging import serial_of
from tests.roles.scenes import (
    KIND,
    LONG_STORY,
    Scene,
    Step,
    after,
    another_card,
    another_gateway,
    another_merchant,
    assert_dropped,
    assert_refused,
    before,
    begin,
    cardholder_with,
    change,
    exchange_of,
    money,
    opened,
    preq_again,
    remade,
    restore,
    signed_again,
    snapshot,
    state,
    step,
    taken_apart,
    with_account,
)

M = Role.merchant
UNKNOWN = Extension(extn_id=ObjectIdentifier(f"{ARC}.9.9"), critical=True, extn_value=b"?")


def refuses(scene: Scene, data: bytes, code: ErrorCode) -> None:
    """The merchant refuses a request, keeps nothing of it, says so, and still takes the genuine one."""
    store = scene.market.stores[M]
    kept = snapshot(store)
    assert_refused(scene.market.merchant.handle(data), code)
    assert snapshot(store) == kept
    good = scene.market.merchant.handle(scene.data)
    assert EventKind.REFUSED not in {event.kind for event in good.events}
    restore(store, kept)


def drops(scene: Scene, data: bytes, code: ErrorCode) -> None:
    """The merchant drops a gateway's answer without a word, keeps nothing of it, and still takes the genuine one."""
    kept = snapshot(scene.market.stores[M])
    assert_dropped(scene.market.merchant.handle(data), code)
    assert snapshot(scene.market.stores[M]) == kept
    (event,) = scene.market.merchant.handle(scene.data).events
    assert event.kind in (EventKind.AUTHORIZATION, EventKind.CAPTURE)


def completion(scene: Scene, reply: Reply) -> CompletionCode:
    """The CompletionCode of the PRes or InqRes that came out."""
    (answer,) = reply.outgoing
    code: CompletionCode = opened(scene.market, answer.name, answer.data).body.pres_payload_seq[0].completion_code
    return code


# --- PInitReq (§4.5) ------------------------------------------------------------------------------


def pinit_again(scene: Scene, **changes: Any) -> bytes:
    """A PInitReq with other fields: it is plain, so anybody can do this."""
    body = replace(opened(scene.market, "PInitReq", scene.data).body, **changes)
    return wrap(PINIT_REQ, encode(body), header(scene.market.clock(), None, body.rrpid, MessageIDs()))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lid_m": b"no such order"}, ErrorCode.unknownLID),
        ({"brand_id": "Other"}, ErrorCode.invalidCertificate),
        ({"extensions": [UNKNOWN]}, ErrorCode.unrecognizedExtension),
    ],
    ids=str,
)
def test_a_pinit_req_for_an_order_or_brand_that_the_merchant_does_not_have(
    changes: dict[str, Any], code: ErrorCode
) -> None:
    scene = begin()
    refuses(scene, pinit_again(scene, **changes), code)


def test_a_plain_message_that_claims_a_sender() -> None:
    scene = begin()
    body = opened(scene.market, "PInitReq", scene.data).body
    named = header(scene.market.clock(), scene.market.cardholder.party, body.rrpid, MessageIDs())
    refuses(scene, wrap(PINIT_REQ, encode(body), named), ErrorCode.wrapperMsgMismatch)
    other = header(scene.market.clock(), None, bytes(20), MessageIDs())
    refuses(scene, wrap(PINIT_REQ, encode(body), other), ErrorCode.unknownRRPID)
    ids = header(scene.market.clock(), None, body.rrpid, MessageIDs(lid_m=body.lid_m))
    refuses(scene, wrap(PINIT_REQ, encode(body), ids), ErrorCode.wrapperMsgMismatch)


@pytest.mark.prop("PU-11", "PU-14")
def test_pinit_res_names_the_gateway_that_the_merchant_chose() -> None:
    scene = before("PInitRes")
    received = opened(scene.market, "PInitRes", scene.data)
    body, chosen = received.body, exchange_of(scene.market.gateway)
    assert (body.gateway_id, body.pe_thumb) == (scene.market.gateway.party, chosen.thumbprint)
    assert (body.trans_ids.lid_m, body.head.sender) == (scene.order.lid_m, scene.market.merchant.party)
    assert chosen.der in received.certificates
    scene.deliver()
    # … and the cardholder pays through that one, to that key.
    paid = taken_apart(scene.market, scene.data)  # it opens with the chosen gateway's key
    for named in (paid.oi_data, paid.link.pi_head):
        assert (named.gateway_id, named.pe_thumb) == (scene.market.gateway.party, chosen.thumbprint)


def test_identifiers_and_challenges_are_fresh() -> None:
    market = Market.open()
    bodies = []
    for _ in range(3):
        scene = before("PInitRes", market)
        bodies.append(opened(market, "PInitRes", scene.data).body)
    for name in ("rrpid", "chall_c", "chall_m"):
        assert len({getattr(body, name) for body in bodies}) == 3
    assert len({body.trans_ids.xid for body in bodies}) == 3


# --- PReq (§4.8) ----------------------------------------------------------------------------------

OTHER = PartyID(role=Role.merchant, brand="Marque", name="another")


@pytest.mark.prop("PX-11")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trans_ids.xid": bytes(20)}, ErrorCode.unknownXID),
        ({"trans_ids.lid_c": b"another"}, ErrorCode.unknownLID),
        ({"trans_ids.lid_m": b"another"}, ErrorCode.unknownLID),
        ({"chall_m": bytes(20)}, ErrorCode.challengeMismatch),
        ({"brand_id": "Other"}, ErrorCode.wrongRecipient),
        ({"merchant_id": OTHER}, ErrorCode.wrongRecipient),
        ({"gateway_id": OTHER}, ErrorCode.wrongRecipient),
        ({"pe_thumb": bytes(32)}, ErrorCode.wrongRecipient),
        ({"extensions": [UNKNOWN]}, ErrorCode.unrecognizedExtension),
    ],
    ids=str,
)
def test_an_order_of_something_else_than_the_merchant_offered(changes: dict[str, Any], code: ErrorCode) -> None:
    """The cardholder itself signed this; the merchant does not act on it."""
    scene = before("PReq")
    refuses(scene, preq_again(scene.market, taken_apart(scene.market, scene.data), oi=changes), code)


@pytest.mark.prop("PX-11", "PU-20")
@pytest.mark.parametrize(
    "changes", [{"hod": bytes(32)}, {"od_salt": bytes(32)}, {"od_ext_oids": [UNKNOWN.extn_id]}], ids=str
)
def test_another_order_or_amount_than_agreed_is_rejected(changes: dict[str, Any]) -> None:
    scene = before("PReq")
    reply = scene.market.merchant.handle(preq_again(scene.market, taken_apart(scene.market, scene.data), oi=changes))
    assert completion(scene, reply) is CompletionCode.orderRejected
    assert step(scene.market, scene.xid) is Step.REJECTED


@pytest.mark.prop("OT-1", "OT-2", "PU-20")
@pytest.mark.parametrize("understood", ["EUR 41.99", "EUR 42.01", "USD 42.00", "EUR 0.42"])
def test_a_cardholder_that_means_another_amount_gets_no_authorisation(understood: str) -> None:
    """Goods for less, or a bill for more: both are seen by the merchant before it asks the gateway."""
    market = Market.open()
    order = replace(market.order("EUR 42.00", b"one book"), amount=CurrencyAmount.of(understood))
    lid_c, first = market.cardholder.start(order)
    market.deliver(Role.cardholder, first)
    before_ = money(market.account)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    assert market.result(lid_c).completion_code is CompletionCode.orderRejected
    assert "AuthReq" not in [delivery.message.name for delivery in market.deliveries]
    assert money(market.account) == before_


@pytest.mark.prop("OT-1")
def test_a_cardholder_that_means_other_goods_gets_no_authorisation() -> None:
    market = Market.open()
    order = replace(market.order("EUR 42.00", b"one book"), description=b"two books")
    lid_c, first = market.cardholder.start(order)
    market.deliver(Role.cardholder, first)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    assert market.result(lid_c).completion_code is CompletionCode.orderRejected


def test_the_parts_of_a_preq_belong_together() -> None:
    """Same cardholder, same merchant, both genuine: but order and payment of two purchases."""
    one = before("PReq")
    two = before("PReq", one.market, "EUR 3.00", b"another book")
    first, second = (unwrap(scene.data) for scene in (one, two))
    a, b = decode(PReq, first.body), decode(PReq, second.body)
    mixed = {
        "payment of the other": replace(a, pi=b.pi),
        "order of the other": replace(a, oi=b.oi),
        "seals of the other": replace(a, pi=replace(a.pi, seals=b.pi.seals)),
        "signature of the other": replace(a, pi=replace(a.pi, pi_signature=b.pi.pi_signature)),
        "digest of the other": replace(a, oi=replace(a.oi, hpi_data=b.oi.hpi_data)),
        "salt of the other": replace(a, oi=replace(a.oi, oi_salt=b.oi.oi_salt)),
    }
    for preq in mixed.values():
        refuses(one, wrap(PREQ, encode(preq), first.header), ErrorCode.signatureFailure)


@pytest.mark.prop("PU-17")
def test_seals_of_another_purchase_or_cardholder_are_seen_though_the_signature_holds() -> None:
    scene = before("PReq")
    paid = taken_apart(scene.market, scene.data)
    for wrong in ({"rrpid": bytes(20)}, {"cardholder": change(paid.seals.cardholder, "name", "another")}):
        refuses(scene, preq_again(scene.market, paid, seals=wrong), ErrorCode.wrapperMsgMismatch)


def test_an_order_that_another_cardholder_signed_under_the_first_ones_name() -> None:
    scene = before("PReq")
    paid = taken_apart(scene.market, scene.data)
    guest = cardholder_with(scene.market, another_card(scene.market))
    over = unwrap(scene.data).header
    wrong = preq_again(scene.market, paid, signer=guest, head={"sender": scene.market.cardholder.party}, over=over)
    refuses(scene, wrong, ErrorCode.wrongRecipient)


def test_a_purchase_takes_one_order() -> None:
    """A second PReq for the same XID, with a new RRPID, whoever signs it."""
    scene = before("PReq")
    market, paid = scene.market, taken_apart(scene.market, scene.data)
    scene.deliver()
    kept = snapshot(market.stores[M])
    guest = cardholder_with(market, another_card(market))
    for signer in (market.cardholder, guest):
        again = preq_again(market, paid, oi={"rrpid": bytes(20)}, signer=signer)
        assert_refused(market.merchant.handle(again), ErrorCode.unknownXID)
    assert snapshot(market.stores[M]) == kept


@pytest.mark.prop("PU-15")
@pytest.mark.parametrize("so_far", ["AuthRes", "CapReq", "InqReq"])
def test_an_order_is_paid_once(so_far: str) -> None:
    """While one purchase pays for an order, or has paid, another purchase of the same LID-M is rejected."""
    scene = before(so_far)
    market = scene.market
    kept = money(market.account)
    lid_c, first = market.cardholder.start(scene.order)
    market.deliver(Role.cardholder, first)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    assert market.result(lid_c).completion_code is CompletionCode.orderRejected
    assert money(market.account) == kept


@pytest.mark.prop("PU-15")
def test_after_a_decline_the_same_order_can_be_paid_with_another_card() -> None:
    scene = begin(Market.open(balance="EUR 10.00"))
    market = scene.market
    while scene.hand is not None and scene.hand.name != "PRes":
        scene.deliver()
    market.cardholder.handle(scene.data)
    assert step(market, scene.xid) is Step.DECLINED
    second = with_account(market)
    lid_c, first = second.cardholder.start(scene.order)
    second.deliver(Role.cardholder, first)
    second.deliver(Role.cardholder, second.cardholder.pay(lid_c))
    assert second.result(lid_c).code is AuthCode.approved
    assert (money(market.account)[0], money(second.account)[0]) == (10_00, 958_00)


def test_after_a_rejection_the_same_order_can_be_paid() -> None:
    market = Market.open()
    agreed = market.order("EUR 42.00", b"one book")
    for order, expected in (
        (replace(agreed, description=b"two books"), CompletionCode.orderRejected),
        (agreed, CompletionCode.authorizationPerformed),
    ):
        lid_c, first = market.cardholder.start(order)
        market.deliver(Role.cardholder, first)
        market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
        assert market.result(lid_c).completion_code is expected


# --- InqReq (§4.10) -------------------------------------------------------------------------------


def test_an_inquiry_with_another_cards_certificate() -> None:
    scene = before("InqReq")
    guest = cardholder_with(scene.market, another_card(scene.market))
    refuses(scene, remade(scene, sender=guest), ErrorCode.signatureFailure)


def test_an_inquiry_with_a_renewed_certificate_of_the_same_card_is_still_another() -> None:
    """M must check that it is *the* certificate of the PReq (§2.8)."""
    scene = before("InqReq")
    renewed = cardholder_with(scene.market, scene.market.card)
    assert renewed.party == scene.market.cardholder.party
    refuses(scene, remade(scene, sender=renewed), ErrorCode.signatureFailure)


def test_an_inquiry_about_an_order_that_never_came() -> None:
    scene = before("InqReq")
    unknown = remade(scene, {"trans_ids.xid": bytes(20)})
    assert completion(scene, scene.market.merchant.handle(unknown)) is CompletionCode.orderNotReceived


def test_an_inquiry_before_the_order_came() -> None:
    scene = before("PReq")  # the wallet has sent it, the merchant has not got it
    question = scene.market.cardholder.inquire(scene.lid_c)
    assert completion(scene, scene.market.merchant.handle(question.data)) is CompletionCode.orderNotReceived


def test_an_inquiry_about_a_rejected_order() -> None:
    scene = before("PReq")
    merchant = scene.market.merchant
    merchant.handle(preq_again(scene.market, taken_apart(scene.market, scene.data), oi={"hod": bytes(32)}))
    question = scene.market.cardholder.inquire(scene.lid_c)
    assert completion(scene, merchant.handle(question.data)) is CompletionCode.orderRejected


@pytest.mark.parametrize("name", ["lid_c", "lid_m"])
def test_an_inquiry_with_identifiers_that_do_not_belong_together(name: str) -> None:
    scene = before("InqReq")
    refuses(scene, remade(scene, {f"trans_ids.{name}": b"another"}), ErrorCode.unknownLID)


def test_an_inquiry_with_a_critical_extension() -> None:
    scene = before("InqReq")
    refuses(scene, remade(scene, {"extensions": [UNKNOWN]}), ErrorCode.unrecognizedExtension)


def test_a_purchase_for_nothing_has_no_ratio() -> None:
    scene = before("PRes", amount="EUR 0.00")
    (payload,) = opened(scene.market, "PRes", scene.data).body.pres_payload_seq
    assert (payload.completion_code, payload.results) == (CompletionCode.meaninglessRatio, None)


# --- AuthRes (§4.13) ------------------------------------------------------------------------------

AUTH_RES: list[tuple[Mapping[str, Any], ErrorCode]] = [
    ({"auth_tags.auth_rr_tags.rrpid": bytes(20)}, ErrorCode.unknownRRPID),
    ({"request_digest": bytes(32)}, ErrorCode.wrapperMsgMismatch),
    ({"auth_tags.trans_ids.xid": bytes(20)}, ErrorCode.unknownXID),
    ({"auth_tags.trans_ids.lid_c": b"another"}, ErrorCode.unknownXID),
    ({"auth_tags.trans_ids.lid_m": b"another"}, ErrorCode.unknownXID),
    ({"auth_res_payload.auth_header.auth_amt": CurrencyAmount.of("EUR 41.00")}, ErrorCode.wrapperMsgMismatch),
    ({"auth_res_payload.auth_header.auth_amt": CurrencyAmount.of("USD 42.00")}, ErrorCode.wrapperMsgMismatch),
    ({"extensions": [UNKNOWN]}, ErrorCode.unrecognizedExtension),
]


@pytest.mark.prop("PX-5", "PU-13")
@pytest.mark.parametrize(("changes", "code"), AUTH_RES, ids=str)
def test_an_auth_res_that_does_not_answer_this_request(changes: Mapping[str, Any], code: ErrorCode) -> None:
    """Signed by the genuine gateway, all of them."""
    scene = before("AuthRes")
    drops(scene, remade(scene, changes), code)


@pytest.mark.prop("PX-5")
def test_an_auth_res_for_another_merchant() -> None:
    scene = before("AuthRes")
    drops(scene, remade(scene, to=another_merchant(scene.market).party), ErrorCode.wrongRecipient)


@pytest.mark.prop("PX-5", "PU-13")
def test_an_auth_res_to_another_request_of_the_same_purchase() -> None:
    """The gateway's answer to a request that this merchant never sent, with every identifier right."""
    scene = before("AuthReq")
    other = remade(scene, {"auth_req_item.auth_req_payload.merch_data.merch_cat_code": "0000"})
    (answer,) = scene.market.gateway.handle(other).outgoing
    assert_dropped(scene.market.merchant.handle(answer.data), ErrorCode.wrapperMsgMismatch)
    assert step(scene.market, scene.xid) is Step.AUTH_SENT


@pytest.mark.prop("PX-5")
def test_an_auth_res_from_another_gateway() -> None:
    scene = before("AuthRes")
    drops(scene, remade(scene, sender=another_gateway(scene.market)), ErrorCode.signatureFailure)


@pytest.mark.parametrize("token", [None, b""])
def test_an_approval_without_a_capture_token(token: bytes | None) -> None:
    scene = before("AuthRes")
    drops(scene, remade(scene, baggage=AuthResBaggage(cap_token=token)), ErrorCode.wrapperMsgMismatch)


def test_an_auth_res_whose_baggage_was_exchanged() -> None:
    one = before("AuthRes")
    two = before("AuthRes", one.market, "EUR 3.00")
    token = opened(one.market, "AuthRes", two.data).baggage
    body = opened(one.market, "AuthRes", one.data).body
    wire = unwrap(one.data)
    outer = replace(decode(EncB, wire.body), baggage=encode(token))
    drops(one, wrap(wire.type, encode(outer), wire.header), ErrorCode.signatureFailure)
    assert body.auth_res_payload.auth_header.auth_code is AuthCode.approved


def test_the_same_amount_with_another_exponent_is_the_same_amount() -> None:
    scene = before("AuthRes")
    thousandths = CurrencyAmount(currency=978, amount=42000, amt_exp10=-3)
    (event,) = scene.market.merchant.handle(
        remade(scene, {"auth_res_payload.auth_header.auth_amt": thousandths})
    ).events
    assert event.code is AuthCode.approved


def test_a_decline_is_passed_on_and_nothing_can_be_captured() -> None:
    scene = before("PRes", amount="EUR 5000.00")
    (payload,) = opened(scene.market, "PRes", scene.data).body.pres_payload_seq
    assert payload.results.auth_status.auth_code is AuthCode.declined
    assert step(scene.market, scene.xid) is Step.DECLINED
    (authorization,) = scene.market.merchant.purchase(scene.xid).authorizations
    assert authorization.code is AuthCode.declined
    assert authorization.cap_token is None
    for act in (scene.market.merchant.capture, scene.market.merchant.reverse):
        with pytest.raises(UsageError, match="no such operation"):
            act(scene.xid)


def test_a_critical_extension_in_an_answer_to_an_inquiry_names_itself() -> None:
    scene = before("InqReq")
    reply = scene.market.merchant.handle(remade(scene, {"extensions": [UNKNOWN]}))
    error = assert_refused(reply, ErrorCode.unrecognizedExtension)
    assert error.error_oid == UNKNOWN.extn_id


def test_an_auth_res_when_the_gateways_certificate_was_revoked_meanwhile() -> None:
    scene = before("AuthRes")
    market = scene.market
    signature = market.gateway.credentials.signer.certificate
    market.tree.pca.revoke(serial_of(signature), market.clock())
    market.merchant.validator.add_crl(market.tree.crls(market.clock())[-1])
    kept = snapshot(market.stores[M])
    assert_dropped(market.merchant.handle(scene.data), ErrorCode.revokedCertificate)
    assert snapshot(market.stores[M]) == kept


@pytest.mark.prop("OT-5", "OT-2")
def test_the_merchant_delivers_only_for_an_approval_of_this_order_at_this_merchant() -> None:
    """Brlek et al.: a client and a second merchant try to pass the approval of a cheap purchase off as another's."""
    target = before("AuthReq", amount="EUR 900.00")
    market = target.market
    accomplice = another_merchant(market)
    cheap_market = replace(market, merchant=accomplice, stores={**market.stores, M: accomplice.store})
    cheap = before("AuthRes", cheap_market, "EUR 1.00", b"a trifle")  # approved, for the accomplice
    assert_dropped(market.merchant.handle(cheap.data), ErrorCode.decryptionFailure)
    # The accomplice opens it and would need the gateway's signature to change anything in it.
    assert step(market, target.xid) is Step.AUTH_SENT
    (event,) = target.deliver().events
    assert event.code is AuthCode.approved


# --- CapRes (§4.15) -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cap_rr_tags.rrpid": bytes(20)}, ErrorCode.unknownRRPID),
        ({"request_digest": bytes(32)}, ErrorCode.wrapperMsgMismatch),
        ({"cap_res_item_seq.0.trans_ids.xid": bytes(20)}, ErrorCode.unknownXID),
        ({"cap_res_item_seq.0.trans_ids.lid_c": b"another"}, ErrorCode.unknownXID),
        ({"cap_res_item_seq.0.cap_res_payload.cap_amt": CurrencyAmount.of("EUR 41.00")}, ErrorCode.wrapperMsgMismatch),
        ({"extensions": [UNKNOWN]}, ErrorCode.unrecognizedExtension),
    ],
    ids=str,
)
def test_a_cap_res_that_does_not_answer_this_request(changes: dict[str, Any], code: ErrorCode) -> None:
    scene = before("CapRes")
    drops(scene, remade(scene, changes), code)


def test_a_cap_res_from_another_gateway_or_for_another_merchant() -> None:
    scene = before("CapRes")
    kept = snapshot(scene.market.stores[M])
    other = remade(scene, sender=another_gateway(scene.market))
    assert_dropped(scene.market.merchant.handle(other), ErrorCode.signatureFailure)
    other = remade(scene, to=another_merchant(scene.market).party)
    assert_dropped(scene.market.merchant.handle(other), ErrorCode.wrongRecipient)
    assert snapshot(scene.market.stores[M]) == kept


def test_a_cap_res_with_the_rrpid_of_an_authorisation() -> None:
    """The RRPID is known, but no capture was asked for under it."""
    scene = before("CapRes")
    (authorization,) = scene.market.merchant.purchase(scene.xid).authorizations
    drops(scene, remade(scene, {"cap_rr_tags.rrpid": authorization.auth_rrpid}), ErrorCode.wrapperMsgMismatch)


def test_an_auth_res_with_the_rrpid_of_a_capture() -> None:
    scene = before("AuthRes")
    market, answer = scene.market, scene.data
    body = opened(market, "AuthRes", answer)
    scene.deliver()
    scene.deliver()
    capture = unwrap(scene.data).header.rrpid
    assert capture is not None
    other = signed_again(
        market.gateway,
        KIND["AuthRes"],
        change(body.body, "auth_tags.auth_rr_tags.rrpid", capture),
        market.merchant.party,
        seal_to=market.merchant,
        baggage=body.baggage,
    )
    kept = snapshot(market.stores[M])
    assert_dropped(market.merchant.handle(other), ErrorCode.wrapperMsgMismatch)
    assert snapshot(market.stores[M]) == kept


def test_a_capture_that_was_refused_can_be_tried_again() -> None:
    scene = before("CapRes")
    market = scene.market
    refused = remade(scene, {"cap_res_item_seq.0.cap_res_payload.cap_code": CapCode.batchClosed})
    (event,) = market.merchant.handle(refused).events
    assert (event.kind, event.code) == (EventKind.CAPTURE, CapCode.batchClosed)
    assert step(market, scene.xid) is Step.AUTHORIZED
    again = market.merchant.capture(scene.xid)
    assert step(market, scene.xid) is Step.CAP_SENT
    assert again.data != scene.sent["CapReq"].data


# --- anything else --------------------------------------------------------------------------------


def test_a_merchant_takes_no_messages_for_others() -> None:
    scene = after("InqReq")
    kept = snapshot(scene.market.stores[M])
    for message in scene.sent.values():
        if message.to is not M:
            assert_refused(scene.market.merchant.handle(message.data), ErrorCode.messageNotSupported)
    assert snapshot(scene.market.stores[M]) == kept


@pytest.mark.parametrize("name", [name for name in LONG_STORY if KIND[name].sender is Role.gateway])
def test_a_garbled_answer_of_the_gateway_is_not_argued_about(name: str) -> None:
    """A bad response of the gateway is logged and dropped (§4.1): no Error to it, nor to the cardholder."""
    scene = before(name)
    kept = state(scene.market)
    wire = unwrap(scene.data)
    for data in (
        wrap(wire.type, wire.body[:-1] + bytes([wire.body[-1] ^ 1]), wire.header),
        wrap(wire.type, b"\x30\x00", wire.header),
        wrap(wire.type, wire.body, replace(wire.header, rrpid=bytes(20))),
        wrap(wire.type, wire.body, replace(wire.header, sender=None)),
    ):
        reply = scene.market.merchant.handle(data)
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
        assert reply.outgoing == ()
        assert state(scene.market) == kept


@pytest.mark.parametrize("name", [name for name in LONG_STORY if KIND[name].sender is Role.gateway])
def test_a_late_answer_of_the_gateway_is_taken(name: str) -> None:
    """It hashes the request: it is as fresh as that, and who waits for it must not wait for ever."""
    scene = before(name)
    scene.market.clock.advance(timedelta(hours=1))
    (event,) = scene.market.merchant.handle(scene.data).events
    assert event.kind not in (EventKind.REFUSED, EventKind.REPEATED)


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("CapRes", "cap_res_item_seq"),
        ("CredRes", "res_item_seq"),
        ("CredRevRes", "res_item_seq"),
        ("CapRevRes", "res_item_seq"),
        ("PCertRes", "pcert_res_items"),
    ],
)
def test_two_answers_to_one_item(name: str, items: str) -> None:
    scene = before(name)
    (item,) = getattr(opened(scene.market, name, scene.data).body, items)
    kept = state(scene.market)
    reply = scene.market.merchant.handle(remade(scene, {items: [item, item]}))
    assert_dropped(reply, ErrorCode.wrapperMsgMismatch)
    assert state(scene.market) == kept


@pytest.mark.prop("PU-16")
def test_a_pres_comes_after_the_gateways_answer_and_says_what_it_said() -> None:
    scene = before("AuthReq")
    assert "PRes" not in scene.sent
    scene.deliver()
    answer = opened(scene.market, "AuthRes", scene.data).body
    scene.deliver()
    (payload,) = opened(scene.market, "PRes", scene.data).body.pres_payload_seq
    assert payload.results.auth_status.auth_code is answer.auth_res_payload.auth_header.auth_code
    assert opened(scene.market, "PRes", scene.data).body.trans_ids.xid == answer.auth_tags.trans_ids.xid


@pytest.mark.prop("PU-16")
@pytest.mark.parametrize("code", [code for code in AuthCode if code is not AuthCode.approved])
def test_whatever_the_gateway_says_the_cardholder_is_told(code: AuthCode) -> None:
    scene = before("AuthRes")
    reply = scene.market.merchant.handle(remade(scene, {"auth_res_payload.auth_header.auth_code": code}))
    (pres,) = reply.outgoing
    (event,) = scene.market.cardholder.handle(pres.data).events
    assert event.code is code
    assert step(scene.market, scene.xid) is Step.DECLINED


def test_the_dual_signature_covers_what_each_party_sees() -> None:
    scene = before("PReq")
    received = opened(scene.market, "PReq", scene.data)
    assert set(received.parts) == set(PURCHASE.part_types)
    assert {ID_OI_DATA, ID_PI_SEALS} < set(received.parts)
    assert state(scene.market)
