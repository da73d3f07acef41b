"""§4.15 line by line: what the gateway checks before it takes the money, item by item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.x509 import ObjectIdentifier

from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.bank import MemoryIssuer
from setproto.crypto.cms import seal
from setproto.errors import ErrorCode
from setproto.market import Market
from setproto.messages.codes import AuthCode, CapCode
from setproto.messages.common import Extension, Role
from setproto.messages.oids import ARC
from setproto.messages.payment import CapTokenData, CapTokenSeq
from setproto.roles.gateway import AUTHORIZATIONS, AuthorizationRecord, State
from setproto.roles.ports import EventKind
from tests.roles.scenes import (
    Scene,
    another_gateway,
    another_merchant,
    assert_refused,
    before,
    begin,
    exchange_of,
    money,
    opened,
    remade,
    restore,
    snapshot,
    state,
    whole,
)

UNKNOWN = Extension(extn_id=ObjectIdentifier(f"{ARC}.9.9"), critical=True, extn_value=b"?")
ITEM = "cap_item_seq.0"


def says(scene: Scene, data: bytes, *codes: CapCode) -> None:
    """The gateway answers each item with its code; for none but success does money move."""
    market = scene.market
    kept, records = money(market.account), snapshot(market.stores[Role.gateway])
    reply = market.gateway.handle(data)
    assert [event.code for event in reply.events] == list(codes)
    (answer,) = reply.outgoing
    items = opened(market, "CapRes", answer.data).body.cap_res_item_seq
    assert [item.cap_res_payload.cap_code for item in items] == list(codes)
    if CapCode.success not in codes:
        assert money(market.account) == kept
        restore(market.stores[Role.gateway], records)  # so that the RRPID is free again


def token_of(scene: Scene) -> bytes:
    (token,) = opened(scene.market, "CapReq", scene.data).baggage.tokens
    assert isinstance(token, bytes)
    return token


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trans_ids.xid": bytes(20)}, CapCode.unknownXID),
        ({"trans_ids.lid_c": b"another"}, CapCode.unknownLID),
        ({"trans_ids.lid_m": b"another"}, CapCode.unknownLID),
        ({"auth_rrpid": bytes(20)}, CapCode.invalidCapToken),
        ({"cap_payload.cap_req_amt": CurrencyAmount.of("EUR 42.01")}, CapCode.amountError),
        ({"cap_payload.cap_req_amt": CurrencyAmount.of("USD 42.00")}, CapCode.amountError),
        ({"cap_payload.cap_req_amt": CurrencyAmount(currency=978, amount=1, amt_exp10=-3)}, CapCode.amountError),
    ],
    ids=str,
)
def test_a_capture_of_something_that_was_not_authorised(changes: dict[str, Any], code: CapCode) -> None:
    scene = before("CapReq")
    says(scene, remade(scene, {f"{ITEM}.{path}": new for path, new in changes.items()}), code)
    says(scene, scene.data, CapCode.success)


def test_a_capture_without_a_token() -> None:
    scene = before("CapReq")
    says(scene, remade(scene, baggage=CapTokenSeq(tokens=[b""])), CapCode.capTokenMissing)


@pytest.mark.parametrize("token", [b"\x30\x00", b"rubbish", bytes(500)])
def test_a_token_that_is_none(token: bytes) -> None:
    scene = before("CapReq")
    says(scene, remade(scene, baggage=CapTokenSeq(tokens=[token])), CapCode.invalidCapToken)


def test_a_token_with_one_bit_changed() -> None:
    scene = before("CapReq")
    token = bytearray(token_of(scene))
    token[-1] ^= 1
    says(scene, remade(scene, baggage=CapTokenSeq(tokens=[bytes(token)])), CapCode.invalidCapToken)


def test_a_token_of_another_authorisation() -> None:
    """Both are this merchant's, from this gateway, for the same amount."""
    scene = before("CapReq")
    other = before("CapReq", scene.market, "EUR 42.00", b"another book")
    says(scene, remade(scene, baggage=CapTokenSeq(tokens=[token_of(other)])), CapCode.invalidCapToken)


def test_a_token_of_another_gateway() -> None:
    """A gateway with the same merchants, even with the same records, but not the same token key."""
    scene = before("CapReq")
    other = another_gateway(scene.market)
    scene.market.gateway._token_key = other._token_key
    says(scene, scene.data, CapCode.invalidCapToken)


def test_a_token_that_is_sealed_right_but_says_something_else() -> None:
    """The gateway compares what is in the token, not only that it opens."""
    scene = before("CapReq")
    gateway = scene.market.gateway
    (record,) = (
        decode(AuthorizationRecord, value)
        for (table, _), value in snapshot(scene.market.stores[Role.gateway]).items()
        if table == AUTHORIZATIONS
    )
    good = CapTokenData(
        xid=record.xid, auth_rrpid=record.auth_rrpid, merchant_id=record.merchant.name, auth_amt=record.auth_amt
    )
    wrong: list[dict[str, Any]] = [{"xid": bytes(20)}, {"auth_rrpid": bytes(20)}, {"merchant_id": "another"}]
    for changes in (*wrong, {}):
        made = seal(encode(replace(good, **changes)), gateway._token_key, context=gateway._token_context(record))
        code = CapCode.invalidCapToken if changes else CapCode.success
        says(scene, remade(scene, baggage=CapTokenSeq(tokens=[made])), code)


@pytest.mark.prop("OT-2")
def test_an_authorisation_is_captured_once() -> None:
    scene = before("CapReq")
    again = remade(scene, {"cap_rr_tags.rrpid": bytes(20)})
    says(scene, scene.data, CapCode.success)
    says(scene, again, CapCode.duplicateRequest)


@pytest.mark.prop("OT-2")
def test_parts_that_together_are_too_much() -> None:
    """30 and then 30 of 42: the second is a second capture, whatever is left."""
    scene = before("CapReq")
    part = {f"{ITEM}.cap_payload.cap_req_amt": CurrencyAmount.of("EUR 30.00")}
    second = remade(scene, {**part, "cap_rr_tags.rrpid": bytes(20)})
    says(scene, remade(scene, part), CapCode.success)
    assert money(scene.market.account)[0] == 970_00
    says(scene, second, CapCode.duplicateRequest)


def test_nothing_is_captured_of_a_declined_authorisation() -> None:
    """With a token from elsewhere, as a declined one has none."""
    good = before("CapReq")
    market = good.market
    declined = before("PRes", market, "EUR 5000.00")
    record = market.merchant.purchase(declined.xid)
    assert record.authorization is not None
    assert record.authorization.code is AuthCode.declined
    item = {
        f"{ITEM}.trans_ids": record.trans_ids,
        f"{ITEM}.auth_rrpid": record.authorization.rrpid,
        f"{ITEM}.cap_payload.cap_req_amt": record.authorization.amount,
    }
    says(good, remade(good, item), CapCode.invalidCapToken)


def test_nothing_is_captured_of_a_declined_authorisation_even_with_a_good_token() -> None:
    """The state decides, not the possession of a token."""
    scene = before("CapReq")
    store = scene.market.stores[Role.gateway]
    for key, value in snapshot(store).items():
        if key[0] == AUTHORIZATIONS:
            declined = replace(decode(AuthorizationRecord, value), state=State.DECLINED)
            with store.transaction() as transaction:
                transaction.put(*key, encode(declined))
    says(scene, scene.data, CapCode.invalidAuthData)


@pytest.mark.prop("OT-2")
def test_another_merchant_cannot_capture() -> None:
    scene = before("CapReq")
    thief = another_merchant(scene.market)
    changes = {
        "cap_rr_tags.mer_term_ids.merchant_id": thief.party.name,
        "cap_rr_tags.me_thumb": exchange_of(thief).thumbprint,
    }
    kept = money(scene.market.account)
    (event,) = scene.market.gateway.handle(remade(scene, changes, sender=thief)).events
    assert event.code is CapCode.unknownXID
    assert money(scene.market.account) == kept


def test_good_and_bad_items_do_not_touch_each_other() -> None:
    one = before("CapReq")
    two = before("CapReq", one.market, "EUR 3.00", b"another book")
    items, tokens = [], []
    for scene in (one, two):
        received = opened(one.market, "CapReq", scene.data)
        items += received.body.cap_item_seq
        tokens += received.baggage.tokens
    unknown = replace(items[0], trans_ids=replace(items[0].trans_ids, xid=bytes(20)))
    data = remade(
        one,
        {"cap_item_seq": [unknown, items[0], items[0], items[1]]},
        baggage=CapTokenSeq(tokens=[tokens[0], tokens[0], tokens[0], b""]),
    )
    says(
        one,
        data,
        CapCode.unknownXID,
        CapCode.success,
        CapCode.duplicateRequest,
        CapCode.capTokenMissing,
    )
    assert money(one.market.account)[0] == 1000_00 - 42_00 - 3_00
    assert len(money(one.market.account)[1]) == 1, "what was held for the second purchase is still held"
    says(one, two.data, CapCode.success)


@pytest.mark.parametrize("count", [2, 3])
def test_items_and_tokens_are_as_many(count: int) -> None:
    scene = before("CapReq")
    kept = state(scene.market)
    data = remade(scene, baggage=CapTokenSeq(tokens=[token_of(scene)] * count))
    assert_refused(scene.market.gateway.handle(data), ErrorCode.decodingFailure)
    assert state(scene.market) == kept


def test_a_cap_req_with_a_critical_extension() -> None:
    scene = before("CapReq")
    kept = state(scene.market)
    error = assert_refused(
        scene.market.gateway.handle(remade(scene, {"extensions": [UNKNOWN]})), ErrorCode.unrecognizedExtension
    )
    assert error.error_oid == UNKNOWN.extn_id
    assert state(scene.market) == kept


def test_a_cap_req_of_a_merchant_of_another_acquirer_or_in_anothers_name() -> None:
    scene = before("CapReq")
    kept = state(scene.market)
    stranger = another_merchant(scene.market, "shop-3", acquirer_bin="499999")
    changes = {
        "cap_rr_tags.mer_term_ids.merchant_id": stranger.party.name,
        "cap_rr_tags.me_thumb": exchange_of(stranger).thumbprint,
    }
    reply = scene.market.gateway.handle(remade(scene, changes, sender=stranger))
    assert_refused(reply, ErrorCode.invalidCertificate)
    reply = scene.market.gateway.handle(remade(scene, {"cap_rr_tags.mer_term_ids.merchant_id": "m"}))
    assert_refused(reply, ErrorCode.wrapperMsgMismatch)
    assert state(scene.market) == kept


def test_the_issuer_has_the_last_word_on_a_capture() -> None:
    scene = before("CapReq")
    scene.market.issuer._by_reference.clear()
    says(scene, scene.data, CapCode.authDataMissing)


@pytest.mark.parametrize("wanted", ["EUR 42.01", "USD 42.00"])
def test_the_gateway_does_not_rely_on_the_issuer_for_the_limit(wanted: str) -> None:
    class Generous(MemoryIssuer):
        def capture(self, reference: bytes, amount: CurrencyAmount) -> CapCode:
            return CapCode.success

    scene = before("CapReq")
    scene.market.gateway._issuer = Generous([])
    too_much = {f"{ITEM}.cap_payload.cap_req_amt": CurrencyAmount.of(wanted)}
    says(scene, remade(scene, too_much), CapCode.amountError)


def test_a_capture_of_nothing_frees_the_hold() -> None:
    scene = before("CapReq")
    nothing = {f"{ITEM}.cap_payload.cap_req_amt": CurrencyAmount.of("EUR 0.00")}
    says(scene, remade(scene, nothing), CapCode.success)
    assert money(scene.market.account)[:2] == (1000_00, {})


def test_the_merchants_capture_of_too_much_is_refused_and_can_be_corrected() -> None:
    scene = begin()
    market = scene.market
    while scene.hand is not None and scene.hand.name != "CapReq":
        if scene.hand.name == "PRes":
            break
        scene.deliver()
    too_much = market.merchant.capture(scene.xid, CurrencyAmount.of("EUR 43.00"))
    market.deliver(Role.merchant, too_much)
    assert market.events[-1][1].kind is EventKind.CAPTURE
    assert market.events[-1][1].code is CapCode.amountError
    market.deliver(Role.merchant, market.merchant.capture(scene.xid))
    assert market.events[-1][1].code is CapCode.success
    assert money(market.account)[0] == 958_00


def test_answers_name_what_they_answer() -> None:
    scene = before("CapReq")
    request = opened(scene.market, "CapReq", scene.data)
    (answer,) = scene.deliver().outgoing
    body = opened(scene.market, "CapRes", answer.data).body
    assert body.request_digest == request.digest
    assert body.cap_rr_tags == request.body.cap_rr_tags
    assert body.head.recipient == scene.market.merchant.party
    (item,) = body.cap_res_item_seq
    assert (item.trans_ids, item.cap_res_payload.cap_amt) == (
        request.body.cap_item_seq[0].trans_ids,
        scene.order.amount,
    )


def test_the_money_of_a_whole_evening() -> None:
    market = Market.open(balance="EUR 100.00")
    for price in ("EUR 60.00", "EUR 50.00", "EUR 40.00"):
        market.buy(price, b"dinner")
    available, held, captured = money(market.account)
    assert (available, held, sorted(str(amount) for amount in captured.values())) == (0, {}, ["EUR 40.00", "EUR 60.00"])
    assert whole().hand is None
