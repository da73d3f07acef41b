"""AuthReq and AuthRes: what is approved, and each code with which something is not (set-protocol.md §4.12, §5.3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode
from setproto.messages.codes import AcqCardCode, AuthCode, CompletionCode
from setproto.messages.common import Extension, PartyID, Role
from setproto.messages.payment import AcqCardCodeMsg, PaymentInstruction, SaleDetail
from setproto.messages.purchase import PAN_FIELD, PANData, PIHead, PReq
from setproto.messages.wrapper import unwrap
from setproto.roles.ports import Advice, AuthorizationDecision, AuthorizationRequest, EventKind
from tests.faults.fuzz.captured import rng_of
from tests.faults.fuzz.wallet import Wallet
from tests.roles_payment.scene import (
    NOW,
    Money,
    Scene,
    auth_payload,
    eur,
    instalments,
    instruction,
    recurring,
)

HUNDRED = 10_000


def test_what_the_cardholder_signed_is_approved_and_held(scene: Scene) -> None:
    xid = scene.buy(4200)
    assert scene.market.results[xid].code is AuthCode.approved
    assert scene.all_agree(xid) == Money(authorised=4200)


def test_declined_by_the_issuer() -> None:
    scene = Scene(balance="EUR 41.99")
    xid = scene.buy(4200)
    assert scene.market.results[xid].code is AuthCode.declined
    assert scene.all_agree(xid) == Money()


class Says:
    """An issuer that always gives the same answer."""

    def __init__(self, code: AuthCode) -> None:
        self.code = code
        self.advices: list[Advice] = []

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        return AuthorizationDecision(self.code)

    def advise(self, advice: Advice) -> None:
        self.advices.append(advice)


@pytest.mark.parametrize("code", [c for c in AuthCode if c is not AuthCode.approved])
def test_whatever_the_issuer_says_is_passed_on_and_nothing_stands(scene: Scene, code: AuthCode) -> None:
    scene.market.gateway.issuer = Says(code)
    xid = scene.buy()
    assert scene.market.results[xid].code is code
    assert scene.shop(xid) == scene.gateway(xid) == Money()
    assert scene.merchant.purchase(xid).authorizations[0].cap_token is None


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param(eur(4201), id="a cent more"),
        pytest.param(eur(4199), id="a cent less, without a word about shares"),
        pytest.param(eur(0), id="nothing"),
        pytest.param(CurrencyAmount(currency=840, amount=4200, amt_exp10=-2), id="dollars"),
        pytest.param(CurrencyAmount(currency=978, amount=42001, amt_exp10=-3), id="a tenth of a cent more"),
        pytest.param(CurrencyAmount(currency=978, amount=4200, amt_exp10=0), id="another exponent"),
    ],
)
def test_amount_error(scene: Scene, amount: CurrencyAmount) -> None:
    lid_c = scene.order(4200)
    preq = scene.market.cardholder.pay(lid_c)
    auth_req = scene.lie(lambda: scene.merchant.handle(preq.data).outgoing[0], auth_payload(auth_req_amt=amount))
    assert scene.answers(auth_req) == "amountError"
    assert scene.bank() == Money()


def test_the_same_money_with_another_exponent_is_the_same(scene: Scene) -> None:
    lid_c = scene.order(4200)
    preq = scene.market.cardholder.pay(lid_c)
    amount = CurrencyAmount(currency=978, amount=42, amt_exp10=0)
    auth_req = scene.lie(lambda: scene.merchant.handle(preq.data).outgoing[0], auth_payload(auth_req_amt=amount))
    assert scene.answers(auth_req) == "approved"
    assert scene.bank() == Money(authorised=4200)


def test_a_share_is_announced_and_never_finer_than_what_was_signed(scene: Scene) -> None:
    lid_c = scene.order(4200, first=1000)
    preq = scene.market.cardholder.pay(lid_c)
    finer = CurrencyAmount(currency=978, amount=10_005, amt_exp10=-3)
    auth_req = scene.lie(lambda: scene.merchant.handle(preq.data).outgoing[0], auth_payload(auth_req_amt=finer))
    assert scene.answers(auth_req) == "amountError"


def test_expired_card() -> None:
    scene = Scene(expiry="202512")
    xid = scene.buy()
    assert scene.market.results[xid].code is AuthCode.expiredCard
    assert scene.bank() == Money()


def test_a_card_is_good_to_the_end_of_its_last_month() -> None:
    scene = Scene(expiry="202601")
    assert scene.market.results[scene.buy()].code is AuthCode.approved


# --- a PI works once ------------------------------------------------------------------------------


@pytest.mark.prop("PX-7")
def test_pi_previously_used(scene: Scene) -> None:
    xid = scene.buy()
    assert scene.asks(scene.again(xid, 4200)) == "piPreviouslyUsed"
    assert scene.all_agree(xid) == Money(authorised=4200)


@pytest.mark.prop("PX-7")
def test_a_pi_is_used_up_even_after_a_reduction_and_a_capture(scene: Scene) -> None:
    xid = scene.buy()
    scene.asks(scene.merchant.reverse(xid, eur(100)))
    scene.asks(scene.merchant.capture(xid))
    assert scene.asks(scene.again(xid, 4200)) == "piPreviouslyUsed"
    assert scene.all_agree(xid) == Money(100, 100)


@pytest.mark.prop("PX-7")
def test_a_pi_may_be_tried_again_when_it_was_declined() -> None:
    scene = Scene(balance="EUR 10.00")
    xid = scene.buy()
    assert scene.asks(scene.again(xid, 4200)) == "declined"
    scene.market.account.opening = eur(5000)
    assert scene.asks(scene.again(xid, 4200)) == "approved"
    assert scene.all_agree(xid) == Money(authorised=4200)


@pytest.mark.prop("PX-7")
def test_a_pi_may_be_used_again_when_all_that_it_authorised_was_reversed(scene: Scene) -> None:
    xid = scene.buy()
    assert scene.asks(scene.merchant.reverse(xid)) == "approved"
    assert scene.asks(scene.again(xid, 4200)) == "approved"
    assert scene.asks(scene.again(xid, 4200)) == "piPreviouslyUsed"
    assert scene.all_agree(xid) == Money(authorised=4200)


@pytest.mark.prop("PX-7")
def test_a_pi_does_not_work_at_two_merchants_or_under_two_names(scene: Scene) -> None:
    """USED_PI goes by what the cardholder signed, so not even the same merchant can rename a purchase."""
    xid = scene.buy()
    renamed = replace(scene.merchant.purchase(xid).trans_ids, lid_m=b"another")
    ids = lambda body: replace(  # noqa: E731
        body,
        auth_req_item=replace(body.auth_req_item, auth_tags=replace(body.auth_req_item.auth_tags, trans_ids=renamed)),
    )
    reply = scene.gateway_reply(scene.lie(lambda: scene.again(xid, 4200), ids))
    assert reply.events[0].code is ErrorCode.wrapperMsgMismatch
    assert scene.all_agree(xid) == Money(authorised=4200)


# --- order and payment belong together ------------------------------------------------------------


def digests(**changes: Any) -> Any:
    def change(body: Any) -> Any:
        auth_item = body.auth_req_item
        return replace(
            body, auth_req_item=replace(auth_item, check_digests=replace(auth_item.check_digests, **changes))
        )

    return change


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(digests(hoi_data=bytes(32)), id="another OIData"),
        pytest.param(digests(hod2=bytes(32)), id="another order"),
        pytest.param(
            lambda body: replace(body, auth_req_item=replace(body.auth_req_item, check_digests=None)), id="no digests"
        ),
    ],
)
def test_pi_auth_mismatch_when_the_orders_differ(scene: Scene, lie: Any) -> None:
    lid_c = scene.order()
    preq = scene.market.cardholder.pay(lid_c)
    auth_req = scene.lie(lambda: scene.merchant.handle(preq.data).outgoing[0], lie)
    assert scene.answers(auth_req) == "piAuthMismatch"
    assert scene.bank() == Money()


def test_pi_auth_mismatch_when_another_merchant_was_paid(scene: Scene) -> None:
    """A merchant that got hold of another's order presents its PI as its own."""
    thief = scene.another_merchant()
    preq = scene.market.cardholder.pay(scene.order())
    victim_req = scene.merchant.handle(preq.data).outgoing[0]
    xid = scene.market.deliveries[1].message  # PInitRes: the identifiers are known to whoever listens
    assert xid.name == "PInitRes"
    stolen = {key: value for key, value in scene.market.stores[Role.merchant].dump().items() if key[0] != "answers"}
    thief.market.stores[Role.merchant]._tables.update(stolen)
    theirs = next(iter(r for (t, r) in stolen if t == "purchases"))
    assert thief.answers(thief.again(theirs, 4200)) == "piAuthMismatch"
    assert scene.bank() == Money()
    assert scene.answers(victim_req) == "approved"


def test_a_pi_of_another_purchase_does_not_open(scene: Scene) -> None:
    """What is sealed is bound to its purchase: this is an Error, not a code, since nothing can be said about it."""
    scene.buy()
    preq = next(delivery.message for delivery in scene.market.deliveries if delivery.message.name == "PReq")
    second = scene.buy()
    pi = PaymentInstruction(pi=decode(PReq, unwrap(preq.data).body).pi)
    reply = scene.gateway_reply(scene.lie(lambda: scene.again(second, 4200), baggage=instruction(pi)))
    assert reply.events[0].code is ErrorCode.decryptionFailure


@pytest.mark.prop("PX-4")
def test_a_pi_for_another_gateway_does_not_open(scene: Scene) -> None:
    other = Scene()
    preq = scene.market.cardholder.pay(scene.order())
    scene.merchant.handle(preq.data)
    xid = next(key for (table, key) in scene.market.stores[Role.merchant].dump() if table == "purchases")
    scene.market.merchant._cert_pe = other.market.gateway.exchange_key().certificate
    reply = other.market.gateway.handle(scene.again(xid, 4200).data)
    assert reply.events[0].code is ErrorCode.decryptionFailure
    assert other.bank() == Money()


def changed_account(**changes: Any) -> Any:
    padded = {name: value.ljust(PAN_FIELD) if name == "pan" else value for name, value in changes.items()}
    return lambda octets: encode(replace(decode(PANData, octets), **padded))


@pytest.mark.parametrize(
    ("account", "code"),
    [
        pytest.param({"pan": "4111111111111112"}, "invalidTransaction", id="not a card number"),
        pytest.param({"pan": "4111-1111-1111-1111"}, "invalidTransaction", id="not digits"),
        pytest.param({"card_expiry": "203013"}, "invalidTransaction", id="no such month"),
        pytest.param({"pan": "5555555555554444"}, "piAuthMismatch", id="another card"),
        pytest.param({"card_expiry": "203512"}, "piAuthMismatch", id="a later expiry"),
        pytest.param({"pan_secret": bytes(32)}, "piAuthMismatch", id="another secret"),
    ],
)
def test_the_certificate_is_for_this_card(account: dict[str, Any], code: str) -> None:
    """A cardholder signs, with its own keys, a payment with an account that is not the one of its certificate."""
    wallet = Wallet()
    preq = wallet.preq(rng_of("card"), "pan_data", changed_account(**account))
    auth_req = wallet.market.merchant.handle(preq).outgoing[0]
    assert Scene(wallet.market).answers(auth_req) == code
    assert Scene(wallet.market).bank() == Money()


def changed_head(**changes: Any) -> Any:
    def change(octets: bytes) -> bytes:
        head = decode(PIHead, octets)
        inner = changes.get("trans_ids")
        new = {**changes, "trans_ids": replace(head.trans_ids, **inner)} if inner else changes
        return encode(replace(head, **new))

    return change


OTHER = PartyID(role=Role.merchant, brand="Marque", name="another")


@pytest.mark.prop("PX-4", "PX-11")
@pytest.mark.parametrize(
    ("head", "code"),
    [
        pytest.param({"pe_thumb": bytes(32)}, "piAuthMismatch", id="another certificate of the gateway"),
        pytest.param({"gateway_id": replace(OTHER, role=Role.gateway)}, "piAuthMismatch", id="another gateway"),
        pytest.param({"merchant_id": OTHER}, "piAuthMismatch", id="another merchant"),
        pytest.param({"trans_ids": {"lid_c": b"another"}}, "piAuthMismatch", id="another label of the cardholder"),
        pytest.param({"trans_ids": {"lid_m": b"another"}}, "piAuthMismatch", id="another label of the merchant"),
        pytest.param({"trans_ids": {"xid": bytes(20)}}, "piAuthMismatch", id="another purchase"),
        pytest.param({"trans_stain": bytes(20)}, "declined", id="not the registered wallet"),
        pytest.param({"install_recur_data": instalments(2)}, "installRecurMismatch", id="instalments of its own"),
        pytest.param({"trans_ids": {"language": "fr"}}, "approved", id="only the language"),
    ],
)
def test_what_the_payment_instruction_says_is_what_is_asked_for(head: dict[str, Any], code: str) -> None:
    """A cardholder whose instruction says something else than its order, both signed with its own keys."""
    wallet = Wallet()
    preq = wallet.preq(rng_of("head"), "pi_head", changed_head(**head))
    scene = Scene(wallet.market)
    assert scene.answers(wallet.market.merchant.handle(preq).outgoing[0]) == code
    assert scene.bank() == (Money(4200) if code == "approved" else Money())


@pytest.mark.prop("PX-16")
@pytest.mark.parametrize("claimed", [None, instalments(4), recurring(28, NOW + timedelta(days=99))])
def test_install_recur_mismatch_when_the_merchant_claims_other_limits(scene: Scene, claimed: Any) -> None:
    preq = scene.market.cardholder.pay(scene.order(9000, install_recur_data=instalments(3), first=3000))
    auth_req = scene.lie(lambda: scene.merchant.handle(preq.data).outgoing[0], auth_payload(install_recur_data=claimed))
    assert scene.answers(auth_req) == "installRecurMismatch"
    assert scene.bank() == Money()


def test_a_critical_extension_is_refused_wherever_it_stands(scene: Scene) -> None:
    from cryptography.x509 import ObjectIdentifier

    unknown = [Extension(extn_id=ObjectIdentifier("2.25.7"), critical=True, extn_value=b"")]
    preq = scene.market.cardholder.pay(scene.order())
    auth_req = scene.lie(lambda: scene.merchant.handle(preq.data).outgoing[0], auth_payload(extensions=unknown))
    assert scene.gateway_reply(auth_req).events[0].code is ErrorCode.unrecognizedExtension
    assert scene.bank() == Money()


# --- sales ----------------------------------------------------------------------------------------


def test_a_sale_is_authorised_and_captured_at_once(scene: Scene) -> None:
    xid = scene.buy(4200, capture_now=True)
    assert scene.market.results[xid].detail == CompletionCode.capturePerformed.name
    assert scene.all_agree(xid) == Money(4200, 4200)


def test_a_sale_that_is_declined_captures_nothing() -> None:
    scene = Scene(balance="EUR 1.00")
    xid = scene.buy(4200, capture_now=True)
    assert scene.market.results[xid].code is AuthCode.declined
    assert scene.all_agree(xid) == Money()


def test_a_sale_into_a_batch_that_does_not_exist_is_authorised_only(scene: Scene) -> None:
    preq = scene.market.cardholder.pay(scene.order(capture_now=True))
    auth_req = scene.lie(
        lambda: scene.merchant.handle(preq.data).outgoing[0],
        lambda body: replace(body, sale_detail=SaleDetail(batch_id=9)),
    )
    assert scene.asks(auth_req) == "approved"
    (xid,) = scene.market.results
    assert scene.all_agree(xid) == Money(authorised=4200)
    assert scene.asks(scene.merchant.capture(xid)) == "success"
    assert scene.all_agree(xid) == Money(4200, 4200)


# --- the acquirer's message to the cardholder -----------------------------------------------------


def test_the_acquirer_speaks_to_the_cardholder_through_the_merchant(scene: Scene) -> None:
    text = "call us about your new card"
    scene.market.gateway._card_message = AcqCardCodeMsg(acq_card_code=AcqCardCode.accountInfo, acq_card_text=text)
    xid = scene.buy()
    told = [event for role, event in scene.market.events if event.kind is EventKind.MESSAGE]
    assert [(event.xid, event.code, event.detail) for event in told] == [(xid, AcqCardCode.accountInfo, text)]
    for (_, key), value in scene.market.stores[Role.merchant].dump().items():
        assert text.encode() not in key + value


def test_a_message_that_the_merchant_exchanged_does_not_open_and_does_no_harm(scene: Scene) -> None:
    scene.market.gateway._card_message = AcqCardCodeMsg(acq_card_code=AcqCardCode.messageOfDay, acq_card_text="x")
    first, second = scene.buy(), scene.buy()
    with scene.merchant.store.transaction() as transaction:
        from setproto.roles.merchant import records

        other = records.purchase(transaction, first).acq_card_msg
        records.keep(transaction, replace(records.purchase(transaction, second), acq_card_msg=other))
    before = len(scene.market.events)
    lid_c = scene.merchant.purchase(second).trans_ids.lid_c
    scene.market.deliver(Role.cardholder, scene.market.cardholder.inquire(lid_c))
    kinds = [event.kind for _, event in scene.market.events[before:]]
    assert EventKind.RESULT in kinds
    assert EventKind.MESSAGE not in kinds
