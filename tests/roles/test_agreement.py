"""What each party may conclude about the others at the end of a run, and what cheats get (spec §9.4, §9.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pki import thumbprint
from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode
from setproto.market import TRADERS, Market
from setproto.messages.codes import AuthCode
from setproto.messages.common import InstallRecurData, PartyID, Role
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS
from setproto.messages.payment import PaymentInstruction
from setproto.messages.purchase import PAN_FIELD, PURCHASE, OIData, PIData, PReq
from setproto.messages.wrapper import unwrap
from setproto.roles import cardholder
from setproto.roles.cardholder import Order, hod_digest
from setproto.roles.gateway.instruction import open_pi
from setproto.roles.operations import LIVE
from tests.roles.scenes import (
    KIND,
    OTHER_CARD,
    Paid,
    Scene,
    Step,
    another_gateway,
    another_merchant,
    assert_refused,
    before,
    gateway_purchases,
    market_pi,
    money,
    opened,
    preq_again,
    remade,
    signed_again,
    snapshot,
    step,
    taken_apart,
    whole,
)


@pytest.mark.prop("PU-3", "PU-11", "PU-14")
def test_the_cardholder_knows_gateway_and_key_from_the_merchant_and_the_root() -> None:
    """With two genuine gateways about, the one that the merchant noted is the one that is paid through."""
    market = Market.open()
    second = another_gateway(market)
    shop = another_merchant(market, gateway=second)
    market = replace(market, merchant=shop, gateway=second, stores={**market.stores, Role.merchant: shop.store})
    scene = before("AuthReq", market)
    noted = scene.market.cardholder.purchase(scene.lid_c).shop
    assert noted is not None
    assert noted.gateway == second.party
    assert noted.cert_pe == second.exchange_key().certificate
    paid = taken_apart(market, scene.sent["PReq"].data)  # opens with the second gateway's key
    assert paid.link.pi_head.gateway_id == second.party
    (event,) = scene.deliver().events
    assert event.code is AuthCode.approved


@pytest.mark.prop("PU-12")
def test_an_auth_req_carries_the_instruction_that_the_merchant_received_and_its_own_digests() -> None:
    scene = before("AuthReq")
    market = scene.market
    request = opened(market, "AuthReq", scene.data)
    preq = decode(PReq, unwrap(scene.sent["PReq"].data).body)
    assert request.baggage == PaymentInstruction(pi=preq.pi)
    assert request.sender == market.merchant.party
    assert request.body.head.recipient == market.gateway.party
    order, oi_data = scene.order, decode(OIData, preq.oi.oi_data)
    digests = request.body.auth_req_item.check_digests
    assert digests.hoi_data == PURCHASE.digest(Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt), market.suite)
    assert digests.hod2 == hod_digest(order.description, order.amount, oi_data.od_salt, None)


@pytest.mark.prop("PU-13", "PU-16")
def test_everybody_has_the_same_purchase_at_the_end() -> None:
    scene = whole()
    market = scene.market
    mine = market.cardholder.purchase(scene.lid_c)
    shops = market.merchant.purchase(scene.xid)
    (banks,) = gateway_purchases(market)
    assert mine.shop is not None
    assert shops.ordered is not None
    assert {mine.shop.trans_ids.xid, shops.trans_ids.xid, banks.trans_ids.xid} == {scene.xid}
    assert {mine.lid_m, shops.trans_ids.lid_m, banks.trans_ids.lid_m} == {scene.order.lid_m}
    assert {mine.lid_c, shops.trans_ids.lid_c, banks.trans_ids.lid_c} == {scene.lid_c}
    assert mine.amount == shops.purch_amt == banks.purch_amt == scene.order.amount
    (asked,), (given,) = shops.authorizations, banks.authorizations
    assert asked.auth_rrpid == given.auth_rrpid
    assert asked.amount == given.amount == scene.order.amount
    (taken,), (booked,) = asked.captures, given.captures
    assert (taken.number, taken.state, taken.amount) == (booked.number, booked.state, booked.amount)
    assert taken.amount == scene.order.amount
    assert mine.shop.merchant == market.merchant.party == banks.merchant
    assert shops.ordered.cardholder == market.cardholder.party


@pytest.mark.prop("PU-15")
def test_one_order_many_questions_one_purchase() -> None:
    """However many wallets begin to pay for a LID-M, one purchase is authorised for it."""
    market = Market.open()
    order = market.order("EUR 42.00", b"one book")
    started = []
    for _ in range(4):
        lid_c, first = market.cardholder.start(order)
        market.deliver(Role.cardholder, first)
        started.append(lid_c)
    for lid_c in started:
        market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    states = sorted(step(market, market.result(lid_c).xid).name for lid_c in started)
    assert states == ["AUTHORIZED", "REJECTED", "REJECTED", "REJECTED"]
    assert money(market.account)[0] == 958_00


@pytest.mark.prop("PU-17", "PU-18", "PU-19")
def test_merchant_and_gateway_verify_the_same_three_digests() -> None:
    """The merchant sees the order and the digest of the payment, the gateway the reverse; both see the seals."""
    scene = before("AuthReq")
    market = scene.market
    at_merchant = opened(market, "PReq", scene.sent["PReq"].data).parts
    request = opened(market, "AuthReq", scene.data)
    at_gateway = open_pi(market.gateway, request.baggage.pi, request.body.auth_req_item.auth_tags.trans_ids)
    assert at_merchant[ID_PI_DATA] == at_gateway.hpi_data
    assert at_merchant[ID_OI_DATA] == at_gateway.hoi_data == request.body.auth_req_item.check_digests.hoi_data
    paid = taken_apart(market, scene.sent["PReq"].data)
    payment = Part(ID_PI_DATA, encode(PIData(pi_head=at_gateway.head, pan_data=at_gateway.pan_data)), paid.link.pi_salt)
    assert PURCHASE.digest(payment, market.suite) == at_merchant[ID_PI_DATA]
    assert set(at_merchant) == {ID_PI_DATA, ID_OI_DATA, ID_PI_SEALS}
    assert at_gateway.head.inputs.purch_amt == scene.order.amount
    assert at_gateway.head.inputs.hod == paid.oi_data.hod
    assert at_gateway.head.merchant_id == paid.oi_data.merchant_id == market.merchant.party
    assert at_gateway.head.pe_thumb == thumbprint(market.gateway.exchange_key().certificate)


@pytest.mark.prop("PU-2")
@pytest.mark.parametrize("suite", ["p256", "ed25519", "mldsa65"])
def test_no_private_key_is_part_of_a_message(suite: str) -> None:
    """Neither in what travels nor in what is inside the envelopes."""
    scene = whole(Market.open(suite))
    market, seen = scene.market, b""
    for name, message in scene.sent.items():
        received = opened(market, name, message.data)
        seen += message.data + encode(received.body)
        if name == "PReq":
            paid = taken_apart(market, message.data)
            seen += encode(paid.link) + encode(paid.pan_data)
    keys = 0
    for party in market.parties.values():
        own = party.credentials
        for key in (own.signer._key, None if own.exchange is None else own.exchange.private_key):
            for secret in raw_private(key):
                keys += 1
                assert secret not in seen
    assert keys >= 5


def raw_private(key: Any) -> list[bytes]:
    if key is None:
        return []
    if hasattr(key, "private_numbers"):
        return [key.private_numbers().private_value.to_bytes(32, "big")]
    return [key.private_bytes_raw()]


@pytest.mark.prop("PU-7")
def test_the_card_secret_is_nowhere_in_a_purchase() -> None:
    scene = whole()
    market = scene.market
    secret = market.card.card_secret.reveal()
    paid = taken_apart(market, scene.sent["PReq"].data)
    inside = encode(paid.link) + encode(paid.pan_data)
    for name, message in scene.sent.items():
        inside += message.data + encode(opened(market, name, message.data).body)
    kept = b"".join(value for role in TRADERS for value in snapshot(market.stores[role]).values())
    assert secret not in inside + kept


# --- cheats ---------------------------------------------------------------------------------------


@dataclass
class Cheat:
    """A dishonest cardholder: what it tells the merchant, and what it signs for the gateway."""

    oi: dict[str, Any]
    pi: dict[str, Any]
    pan: dict[str, Any]


def _less(paid: Paid, order: Order, amount: str) -> dict[str, Any]:
    hod = hod_digest(order.description, CurrencyAmount.of(amount), paid.oi_data.od_salt, None)
    return {"hod": hod}


CHEATS: dict[str, Callable[[Scene, Paid], Cheat]] = {
    "a lower amount for the bank": lambda s, p: Cheat({}, {"inputs.purch_amt": CurrencyAmount.of("EUR 0.42")}, {}),
    "a lower amount for both": lambda s, p: Cheat(
        _less(p, s.order, "EUR 0.42"),
        {"inputs.purch_amt": CurrencyAmount.of("EUR 0.42"), "inputs.hod": _less(p, s.order, "EUR 0.42")["hod"]},
        {},
    ),
    "another currency for the bank": lambda s, p: Cheat({}, {"inputs.purch_amt": CurrencyAmount.of("JPY 42")}, {}),
    "an order that is not this one": lambda s, p: Cheat({"hod": bytes(32)}, {"inputs.hod": bytes(32)}, {}),
    "an order for the bank only": lambda s, p: Cheat({}, {"inputs.hod": bytes(32)}, {}),
    "payment to a friend": lambda s, p: Cheat(
        {}, {"merchant_id": PartyID(role=Role.merchant, brand="Marque", name="friend")}, {}
    ),
    "payment for another purchase": lambda s, p: Cheat({}, {"trans_ids.xid": bytes(20)}, {}),
    "somebody else's card": lambda s, p: Cheat({}, {}, {"pan": OTHER_CARD.ljust(PAN_FIELD)}),
    "a made-up wallet": lambda s, p: Cheat({}, {"trans_stain": bytes(20)}, {}),
}


@pytest.mark.prop("OT-1", "OT-2", "OT-3", "OT-5")
@pytest.mark.parametrize("how", CHEATS)
def test_a_dishonest_cardholder_gets_no_goods_for_less(how: str) -> None:
    """The merchant, who delivers when it is told "approved", is never told so; and no money moves for it."""
    scene = before("PReq")
    market = scene.market
    paid = taken_apart(market, scene.data)
    cheat = CHEATS[how](scene, paid)
    waiting = [(Role.merchant, preq_again(market, paid, oi=cheat.oi, pi=cheat.pi, pan=cheat.pan))]
    while waiting:
        to, data = waiting.pop(0)
        for message in market.parties[to].handle(data).outgoing:
            assert message.to is not None
            waiting.append((message.to, message.data))
    assert step(market, scene.xid) in (Step.REJECTED, Step.DECLINED, Step.AUTH_SENT)
    for authorization in market.merchant.purchase(scene.xid).authorizations:
        assert authorization.code is not AuthCode.approved
    assert (money(market.account)[0], money(market.account)[1]) == (1000_00, {})


MERCHANT_CHEATS: dict[str, dict[str, Any]] = {
    "more money": {"auth_req_item.auth_req_payload.auth_req_amt": CurrencyAmount.of("EUR 420.00")},
    "another currency": {"auth_req_item.auth_req_payload.auth_req_amt": CurrencyAmount.of("BHD 42.000")},
    "another order": {"auth_req_item.check_digests.hod2": bytes(32)},
    "another order information": {"auth_req_item.check_digests.hoi_data": bytes(32)},
    "no order": {"auth_req_item.check_digests": None},
    "another wallet": {"auth_req_item.auth_tags.trans_ids.lid_c": b"another"},
    "a second time": {"auth_req_item.auth_tags.auth_rr_tags.rrpid": bytes(20)},
    "money at once, and more": {
        "capture_now": True,
        "auth_req_item.auth_req_payload.auth_req_amt": CurrencyAmount.of("EUR 42.01"),
    },
    "more to follow, and more now": {
        "auth_req_item.auth_req_payload.subsequent_auth_ind": True,
        "auth_req_item.auth_req_payload.auth_req_amt": CurrencyAmount.of("EUR 42.01"),
    },
    "instalments": {"auth_req_item.auth_req_payload.install_recur_data": InstallRecurData(install_total_trans=2)},
    "money at once": {"capture_now": True},
    "more to follow": {"auth_req_item.auth_req_payload.subsequent_auth_ind": True},
}
AS_AGREED = ("a second time", "money at once", "more to follow")
"""Here the cardholder loses what it agreed to, and no more."""


@pytest.mark.prop("OT-1", "OT-2", "OT-3")
@pytest.mark.parametrize("how", MERCHANT_CHEATS)
def test_a_dishonest_merchant_gets_no_money_that_was_not_agreed_on(how: str) -> None:
    """Whatever it asks, the account loses at most what the cardholder signed, once, and only for this purchase."""
    scene = before("AuthReq")
    market = scene.market
    forged = remade(scene, MERCHANT_CHEATS[how])
    if how == "a second time":
        scene.deliver()
    market.gateway.handle(forged)
    records = gateway_purchases(market)
    live = [a.amount for record in records for a in record.authorizations if a.state in LIVE]
    assert live == ([scene.order.amount] if how in AS_AGREED else [])
    available, held, captured = money(market.account)
    assert available == (958_00 if how in AS_AGREED else 1000_00)
    assert list(captured.values()) == ([scene.order.amount] if how == "money at once" else [])
    assert list(held.values()) == (live if not captured else [])


@pytest.mark.prop("OT-2")
def test_a_merchant_cannot_keep_the_approval_and_change_the_order() -> None:
    """The cardholder is told the merchant's own signature over what it asked for: nothing else is accepted."""
    scene = before("PRes")
    other = before("PRes", scene.market, "EUR 1.00", b"a trifle")
    changed = remade(scene, {"request_digest": opened(scene.market, "PRes", other.data).body.request_digest})
    scene.market.cardholder.handle(changed)
    assert scene.market.cardholder.purchase(scene.lid_c).state is cardholder.State.PREQ_SENT


@pytest.mark.prop("OT-3", "PU-12")
def test_a_cardholder_cannot_play_the_merchant() -> None:
    """Its payment instruction is genuine; only a merchant's certificate makes an AuthReq."""
    scene = before("PReq")
    market = scene.market
    template = before("AuthReq")
    body = opened(template.market, "AuthReq", template.data).body
    pi = market_pi(market, scene.data)
    forged = signed_again(
        market.cardholder, KIND["AuthReq"], body, market.gateway.party, seal_to=market.gateway, baggage=pi
    )
    assert_refused(market.gateway.handle(forged), ErrorCode.invalidCertificate)
    assert money(market.account)[0] == 1000_00
