"""§4.15 line by line: what the gateway checks before it takes the money, item by item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.x509 import ObjectIdentifier

from pki.der import encode
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import seal
from setproto.errors import ErrorCode
from setproto.market import Market
from setproto.messages.codes import AuthCode, CapCode
from setproto.messages.common import Extension, Role
from setproto.messages.oids import ARC, ID_CAP_TOKEN_DATA
from setproto.messages.payment import CapTokenData, CapTokenSeq, SaleDetail
from setproto.roles.gateway import records
from setproto.roles.operations import OpState
from setproto.roles.ports import Advice, AdviceKind, AuthorizationDecision, AuthorizationRequest, EventKind, NoReply
from tests.roles.scenes import (
    Scene,
    another_gateway,
    another_merchant,
    assert_refused,
    bank,
    before,
    begin,
    exchange_of,
    gateway_purchases,
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
    kept, stored = bank(market.account), snapshot(market.stores[Role.gateway])
    reply = market.gateway.handle(data)
    assert [event.code for event in reply.events] == list(codes)
    (answer,) = reply.outgoing
    items = opened(market, "CapRes", answer.data).body.cap_res_item_seq
    assert [item.cap_res_payload.cap_code for item in items] == list(codes)
    if CapCode.success not in codes:
        assert bank(market.account) == kept
        restore(market.stores[Role.gateway], stored)  # so that the RRPID is free again


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
        ({"cap_payload.cap_req_amt": CurrencyAmount.of("EUR 0.00")}, CapCode.amountError),
        ({"cap_payload.sale_detail": SaleDetail(batch_id=7)}, CapCode.batchUnknown),
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
    scene.market.gateway.token_keys = other.token_keys
    says(scene, scene.data, CapCode.invalidCapToken)


def test_a_token_that_is_sealed_right_but_says_something_else() -> None:
    """What it names is bound to its seal or compared: with the key alone, no other token is made good."""
    scene = before("CapReq")
    gateway = scene.market.gateway
    (record,) = gateway_purchases(scene.market)
    (authorization,) = record.authorizations
    good = CapTokenData(
        xid=record.trans_ids.xid,
        auth_rrpid=authorization.auth_rrpid,
        merchant_id=record.merchant.name,
        auth_amt=authorization.amount,
    )
    wrong: list[dict[str, Any]] = [
        {"xid": bytes(20)},
        {"auth_rrpid": bytes(20)},
        {"merchant_id": "another"},
        {"auth_amt": CurrencyAmount.of("EUR 41.99")},
    ]
    for changes in (*wrong, {}):
        data = replace(good, **changes)
        own = gateway.context(ID_CAP_TOKEN_DATA, gateway.party, gateway.party, data.xid, data.auth_rrpid)
        made = seal(encode(data), gateway.token_keys.capture, context=own)
        code = CapCode.invalidCapToken if changes else CapCode.success
        says(scene, remade(scene, baggage=CapTokenSeq(tokens=[made])), code)


@pytest.mark.parametrize("kind", ["authorization", "account"])
def test_a_token_under_another_of_the_gateways_keys(kind: str) -> None:
    """One secret, but a key for each kind of token: none stands for another."""
    scene = before("CapReq")
    gateway = scene.market.gateway
    (record,) = gateway_purchases(scene.market)
    (authorization,) = record.authorizations
    data = CapTokenData(
        xid=scene.xid,
        auth_rrpid=authorization.auth_rrpid,
        merchant_id=record.merchant.name,
        auth_amt=authorization.amount,
    )
    own = gateway.context(ID_CAP_TOKEN_DATA, gateway.party, gateway.party, data.xid, data.auth_rrpid)
    made = seal(encode(data), getattr(gateway.token_keys, kind), context=own)
    says(scene, remade(scene, baggage=CapTokenSeq(tokens=[made])), CapCode.invalidCapToken)


@pytest.mark.prop("OT-2")
def test_an_authorisation_is_captured_once() -> None:
    scene = before("CapReq")
    again = remade(scene, {"cap_rr_tags.rrpid": bytes(20)})
    says(scene, scene.data, CapCode.success)
    says(scene, again, CapCode.duplicateRequest)


@pytest.mark.prop("OT-2")
def test_parts_that_together_are_too_much() -> None:
    """Several captures of 42 are good as long as their sum is; the same one again is a repetition."""
    scene = before("CapReq")
    story = [
        (1, "EUR 30.00", CapCode.success),
        (1, "EUR 30.00", CapCode.duplicateRequest),
        (1, "EUR 12.00", CapCode.duplicateRequest),
        (2, "EUR 30.00", CapCode.amountError),
        (2, "EUR 12.01", CapCode.amountError),
        (2, "EUR 12.00", CapCode.success),
        (3, "EUR 0.01", CapCode.amountError),
    ]
    requests = [
        remade(
            scene,
            {
                f"{ITEM}.cap_payload.cap_num": number,
                f"{ITEM}.cap_payload.cap_req_amt": CurrencyAmount.of(amount),
                "cap_rr_tags.rrpid": bytes([turn] * 20),
            },
        )
        for turn, (number, amount, _) in enumerate(story)
    ]
    for request, (_, _, code) in zip(requests, story, strict=True):
        says(scene, request, code)
    assert money(scene.market.account)[:2] == (958_00, {})
    (record,) = gateway_purchases(scene.market)
    assert [str(capture.amount) for capture in record.authorizations[0].captures] == ["EUR 30.00", "EUR 12.00"]


def test_nothing_is_captured_of_a_declined_authorisation() -> None:
    """With a token from elsewhere, as a declined one has none."""
    good = before("CapReq")
    market = good.market
    declined = before("PRes", market, "EUR 5000.00")
    record = market.merchant.purchase(declined.xid)
    (authorization,) = record.authorizations
    assert authorization.code is AuthCode.declined
    item = {
        f"{ITEM}.trans_ids": record.trans_ids,
        f"{ITEM}.auth_rrpid": authorization.auth_rrpid,
        f"{ITEM}.cap_payload.cap_req_amt": authorization.amount,
    }
    says(good, remade(good, item), CapCode.invalidCapToken)


@pytest.mark.parametrize("standing", [OpState.REFUSED, OpState.REVERSED, OpState.ASKED, OpState.REVERSAL_ASKED])
def test_nothing_is_captured_of_an_authorisation_that_does_not_stand_even_with_a_good_token(standing: OpState) -> None:
    """The state decides, not the possession of a token."""
    scene = before("CapReq")
    store = scene.market.stores[Role.gateway]
    (record,) = gateway_purchases(scene.market)
    (authorization,) = record.authorizations
    with store.transaction() as transaction:
        records.keep(transaction, record.having(replace(authorization, state=standing)))
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
    (still_held,) = money(one.market.account)[1].values()
    assert str(still_held) == "EUR 3.00", "what was held for the second purchase is still held"
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


class Bank:
    """A bank that accepts whatever it is told, and forgets it, or does not answer at all."""

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.advised: list[Advice] = []

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        raise AssertionError("nothing is to be authorised")

    def advise(self, advice: Advice) -> None:
        self.advised.append(advice)
        if not self.answers:
            raise NoReply


def test_a_capture_of_which_the_bank_takes_no_note_is_told_again_until_it_does() -> None:
    """What was decided is committed and answered; the bank is told the same again whenever the gateway has a chance."""
    scene = before("CapReq")
    market, silent = scene.market, Bank(answers=False)
    market.gateway.issuer = silent
    (event,) = market.gateway.handle(scene.data).events
    assert event.code is CapCode.success
    market.gateway.tell_bank()
    first, again = silent.advised
    assert first == again
    assert (first.kind, first.amount) == (AdviceKind.CAPTURE, scene.order.amount)
    market.gateway.issuer = market.issuer
    for _ in range(2):
        market.gateway.tell_bank()
        assert money(market.account)[:2] == (958_00, {})


@pytest.mark.parametrize("wanted", ["EUR 42.01", "USD 42.00", "EUR 0.00"])
def test_the_gateway_does_not_rely_on_the_issuer_for_the_limit(wanted: str) -> None:
    scene = before("CapReq")
    generous = Bank()
    scene.market.gateway.issuer = generous
    too_much = {f"{ITEM}.cap_payload.cap_req_amt": CurrencyAmount.of(wanted)}
    says(scene, remade(scene, too_much), CapCode.amountError)
    assert generous.advised == []


def test_a_hold_is_freed_by_a_reversal_and_not_by_a_capture_of_nothing() -> None:
    scene = before("CapReq")
    market = scene.market
    nothing = {f"{ITEM}.cap_payload.cap_req_amt": CurrencyAmount.of("EUR 0.00")}
    says(scene, remade(scene, nothing), CapCode.amountError)
    assert money(market.account)[0] == 958_00
    other = before("PRes", market, "EUR 8.00")
    market.deliver(Role.merchant, market.merchant.reverse(other.xid))
    assert money(market.account)[0] == 958_00, "the second hold is free again, the first stands"


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
