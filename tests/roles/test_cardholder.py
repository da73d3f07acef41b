"""What a cardholder refuses: answers to other questions, from others, and gateways that are not what they seem."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from setproto.amounts import Ratio
from setproto.errors import CertificateRefused, ErrorCode
from setproto.market import Market
from setproto.messages.codes import AuthCode, CapCode, CapRevOrCredCode, CompletionCode
from setproto.messages.common import Extension, Role, Thumbs
from setproto.messages.oids import ARC
from setproto.messages.purchase import AuthStatus, CapStatus, CreditStatus, PResPayload, Results
from setproto.messages.registry import INQ_RES, PRES
from setproto.roles.cardholder import State
from setproto.roles.credentials import label_party
from setproto.roles.ports import EventKind
from tests.roles.scenes import (
    KIND,
    Scene,
    after,
    another_gateway,
    another_merchant,
    assert_refused,
    before,
    begin,
    change,
    exchange_of,
    opened,
    remade,
    restore,
    signed_again,
    snapshot,
    whole,
)

C = Role.cardholder
UNKNOWN = Extension(extn_id=type(PRES.content_type)(f"{ARC}.9.9"), critical=True, extn_value=b"?")
HARMLESS = replace(UNKNOWN, critical=False)


def refuses(scene: Scene, data: bytes, code: ErrorCode) -> None:
    """The cardholder refuses this message, learns nothing from it, and still accepts the genuine one."""
    kept = snapshot(scene.market.stores[C])
    assert_refused(scene.market.cardholder.handle(data), code)
    assert snapshot(scene.market.stores[C]) == kept
    (event,) = scene.market.cardholder.handle(scene.data).events
    assert event.kind in (EventKind.MERCHANT_SHOWN, EventKind.RESULT, EventKind.REPEATED)


# --- PInitRes (§4.6) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trans_ids.lid_c": b"another wallet's"}, ErrorCode.unknownLID),
        ({"trans_ids.lid_m": b"another order"}, ErrorCode.unknownLID),
        ({"rrpid": bytes(20)}, ErrorCode.unknownRRPID),
        ({"chall_c": bytes(20)}, ErrorCode.challengeMismatch),
        ({"request_digest": bytes(32)}, ErrorCode.wrapperMsgMismatch),
        ({"thumbs": Thumbs(cert_thumbs=[bytes(32)])}, ErrorCode.thumbsMismatch),
        ({"gateway_id.role": Role.merchant}, ErrorCode.invalidCertificate),
        ({"gateway_id.brand": "Other"}, ErrorCode.invalidCertificate),
        ({"gateway_id.name": "gateway-0"}, ErrorCode.invalidCertificate),
        ({"pe_thumb": bytes(32)}, ErrorCode.missingCertificate),
        ({"extensions": [UNKNOWN]}, ErrorCode.unrecognizedExtension),
    ],
    ids=str,
)
def test_a_pinit_res_that_does_not_answer_the_question(changes: dict[str, Any], code: ErrorCode) -> None:
    scene = before("PInitRes")
    refuses(scene, remade(scene, changes), code)


def test_thumbs_that_were_sent_must_come_back_unchanged() -> None:
    scene = begin()
    market = scene.market
    market.cardholder.held = market.gateway.credentials.chain
    scene = begin(market)
    scene.deliver()
    sent = opened(market, "PInitRes", scene.data).body.thumbs
    assert sent == market.cardholder.thumbs
    refuses(scene, remade(scene, {"thumbs": None}), ErrorCode.thumbsMismatch)


def test_certificates_that_the_cardholder_holds_are_not_sent_again() -> None:
    plain, held = before("PInitRes"), begin()
    held.market.cardholder.held = (
        *held.market.gateway.credentials.chain,
        held.market.gateway.exchange_key().certificate,
    )
    held = before("PInitRes", held.market)
    assert len(held.data) < len(plain.data) - 1000
    assert held.deliver().events[0].kind is EventKind.MERCHANT_SHOWN


def test_a_pinit_res_with_an_extension_that_is_not_critical_is_read() -> None:
    scene = before("PInitRes")
    (event,) = scene.market.cardholder.handle(remade(scene, {"extensions": [HARMLESS]})).events
    assert event.kind is EventKind.MERCHANT_SHOWN


def test_a_pinit_res_for_another_cardholders_question() -> None:
    scene = before("PInitRes")
    other = remade(scene, to=label_party(Role.cardholder, scene.market.tree.brand, b"somebody"))
    refuses(scene, other, ErrorCode.wrongRecipient)


def test_a_pinit_res_that_names_another_merchant_than_its_signer() -> None:
    scene = before("PInitRes")
    other = another_merchant(scene.market)
    refuses(scene, remade(scene, head={"sender": other.party}), ErrorCode.wrongRecipient)
    refuses(scene, remade(scene, sender=other, head={"sender": scene.market.merchant.party}), ErrorCode.wrongRecipient)


@pytest.mark.prop("PU-3", "PX-11")
def test_cert_pe_of_another_gateway_is_not_taken_for_the_one_that_is_named() -> None:
    """The thumbprint is signed by the merchant; here even the merchant lies about whose key it is."""
    scene = before("PInitRes")
    other = exchange_of(another_gateway(scene.market))
    lying = remade(scene, {"pe_thumb": other.thumbprint}, also=(other.der, *other.chain))
    refuses(scene, lying, ErrorCode.invalidCertificate)


@pytest.mark.prop("PU-3", "PX-12")
@pytest.mark.parametrize("role", [Role.merchant, Role.cardholder])
def test_a_merchant_cannot_name_itself_as_the_gateway(role: Role) -> None:
    """The payment would be sealed to the merchant's own key-exchange key, which has a genuine certificate."""
    scene = before("PInitRes")
    own = exchange_of(scene.market.merchant)
    changes = {"gateway_id": replace(scene.market.merchant.party, role=role), "pe_thumb": own.thumbprint}
    refuses(scene, remade(scene, changes, also=(own.der, *own.chain)), ErrorCode.invalidCertificate)


@pytest.mark.prop("PU-3")
def test_cert_pe_must_be_enclosed_or_held() -> None:
    """Swapped for another certificate in the (unsigned) bag, it is missing: the thumbprint finds what was signed."""
    scene = before("PInitRes")
    refuses(scene, remade(scene, also=()), ErrorCode.missingCertificate)


@pytest.mark.prop("PU-3", "PX-12")
def test_a_revoked_cert_pe_is_not_paid_to() -> None:
    scene = before("PInitRes")
    market = scene.market
    market.tree.pca.revoke(exchange_of(market.gateway).certificate.serial_number, market.clock())
    market.cardholder.validator.add_crl(market.tree.crls(market.clock())[-1])
    kept = snapshot(market.stores[C])
    assert_refused(market.cardholder.handle(scene.data), ErrorCode.revokedCertificate)
    assert snapshot(market.stores[C]) == kept


@pytest.mark.prop("PX-12")
def test_a_cert_pe_that_was_revoked_after_pinit_res_is_not_paid_to() -> None:
    scene = before("PInitRes")
    market = scene.market
    market.cardholder.handle(scene.data)
    market.tree.pca.revoke(exchange_of(market.gateway).certificate.serial_number, market.clock())
    market.cardholder.validator.add_crl(market.tree.crls(market.clock())[-1])
    with pytest.raises(CertificateRefused, match="revoked"):
        market.cardholder.pay(scene.lid_c)


def test_a_second_pinit_res_changes_nothing() -> None:
    """Whatever the merchant signs later: the wallet keeps to the shop and gateway that it was shown."""
    scene = before("PInitRes")
    cardholder = scene.market.cardholder
    second = scene.market.merchant  # a second XID for the same question
    other = change(opened(scene.market, "PInitRes", scene.data).body, "trans_ids.xid", bytes(20))
    cardholder.handle(scene.data)
    kept = snapshot(scene.market.stores[C])
    reply = cardholder.handle(signed_again(second, KIND["PInitRes"], other, other.head.recipient))
    assert [event.kind for event in reply.events] == [EventKind.REPEATED]
    assert snapshot(scene.market.stores[C]) == kept


def test_an_answer_to_nothing_that_was_asked() -> None:
    scene = before("PRes")
    stranger = before("PRes")
    kept = snapshot(scene.market.stores[C])
    assert_refused(scene.market.cardholder.handle(stranger.data), ErrorCode.unknownRRPID)
    assert snapshot(scene.market.stores[C]) == kept


# --- PRes and InqRes (§4.9) -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trans_ids.xid": bytes(20)}, ErrorCode.unknownXID),
        ({"trans_ids.lid_c": b"another"}, ErrorCode.unknownXID),
        ({"trans_ids.lid_m": b"another"}, ErrorCode.unknownXID),
        ({"rrpid": bytes(20)}, ErrorCode.unknownRRPID),
        ({"chall_c": bytes(20)}, ErrorCode.challengeMismatch),
        ({"request_digest": bytes(32)}, ErrorCode.wrapperMsgMismatch),
        ({"extensions": [UNKNOWN]}, ErrorCode.unrecognizedExtension),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["PRes", "InqRes"])
def test_a_result_that_does_not_answer_the_question(name: str, changes: dict[str, Any], code: ErrorCode) -> None:
    scene = before(name)
    refuses(scene, remade(scene, changes), code)


@pytest.mark.parametrize("name", ["PRes", "InqRes"])
def test_a_critical_extension_inside_a_result_is_refused(name: str) -> None:
    """PRsExtensions stand in every payload (§2.7): a critical one that nobody knows is refused there too."""
    scene = before(name)
    refuses(scene, remade(scene, {"pres_payload_seq.0.extensions": [UNKNOWN]}), ErrorCode.unrecognizedExtension)


@pytest.mark.parametrize("name", ["PRes", "InqRes"])
def test_a_result_from_another_merchant(name: str) -> None:
    """Genuine, of the same brand, with all the right numbers: but not the shop of this purchase."""
    scene = before(name)
    refuses(scene, remade(scene, sender=another_merchant(scene.market)), ErrorCode.signatureFailure)


def test_an_inq_res_is_no_pres_and_the_reverse() -> None:
    scene = before("PRes")
    body = opened(scene.market, "PRes", scene.data).body
    as_inquiry = signed_again(scene.market.merchant, INQ_RES, body, body.head.recipient)
    scene.market.cardholder.handle(
        as_inquiry
    )  # the latest question is the PReq: the same state, told under either name
    scene = before("InqRes")
    body = opened(scene.market, "InqRes", scene.data).body
    refuses(scene, signed_again(scene.market.merchant, PRES, body, body.head.recipient), ErrorCode.unknownRRPID)


def test_a_result_before_anything_was_ordered() -> None:
    """A merchant that answers an order which was never placed moves nothing, whatever it signs."""
    scene = before("PInitRes")
    market = scene.market
    market.cardholder.handle(scene.data)
    init = opened(market, "PInitRes", scene.data).body
    later = before("PRes")
    template = opened(later.market, "PRes", later.data).body
    body = replace(
        template, trans_ids=init.trans_ids, rrpid=init.rrpid, chall_c=init.chall_c, request_digest=init.request_digest
    )
    kept = snapshot(market.stores[C])
    forged = signed_again(market.merchant, PRES, body, market.cardholder.party)
    assert_refused(market.cardholder.handle(forged), ErrorCode.messageNotSupported)
    assert snapshot(market.stores[C]) == kept


@pytest.mark.prop("PX-18")
def test_an_answer_to_an_older_inquiry_is_refused() -> None:
    """An attacker who kept back "authorised" cannot show it to someone who asked again later."""
    scene = after("PRes")
    market = scene.market
    first = market.merchant.handle(market.cardholder.inquire(scene.lid_c).data).outgoing[0]
    scene.deliver()
    scene.deliver()
    second = market.merchant.handle(market.cardholder.inquire(scene.lid_c).data).outgoing[0]
    kept = snapshot(market.stores[C])
    assert_refused(market.cardholder.handle(first.data), ErrorCode.unknownRRPID)
    assert snapshot(market.stores[C]) == kept
    (event,) = market.cardholder.handle(second.data).events
    assert event.detail == "capturePerformed"
    assert market.cardholder.purchase(scene.lid_c).state is State.CAPTURED


@pytest.mark.prop("PX-18")
def test_an_old_result_does_not_take_a_purchase_back() -> None:
    scene = whole()
    cardholder = scene.market.cardholder
    assert cardholder.purchase(scene.lid_c).state is State.CAPTURED
    kept = snapshot(scene.market.stores[C])
    (event,) = cardholder.handle(scene.sent["PRes"].data).events
    assert (event.kind, event.code) == (EventKind.REPEATED, None)  # it was true once; nobody is told that it is
    assert snapshot(scene.market.stores[C]) == kept
    assert cardholder.purchase(scene.lid_c).state is State.CAPTURED


@pytest.mark.prop("PX-18")
def test_results_of_one_purchase_say_nothing_about_another() -> None:
    """Both were authorised at the same shop; swapped results are refused, with their headers as with the other's."""
    one = before("PRes")
    two = before("PRes", one.market, "EUR 3.00", b"another book")
    mine, other = opened(one.market, "PRes", one.data).body, opened(one.market, "PRes", two.data).body
    swapped = replace(other, rrpid=mine.rrpid)
    refuses(one, signed_again(one.market.merchant, PRES, swapped, mine.head.recipient), ErrorCode.unknownXID)
    swapped = replace(other, rrpid=mine.rrpid, trans_ids=mine.trans_ids)
    refuses(one, signed_again(one.market.merchant, PRES, swapped, mine.head.recipient), ErrorCode.challengeMismatch)
    swapped = replace(swapped, chall_c=mine.chall_c)
    refuses(one, signed_again(one.market.merchant, PRES, swapped, mine.head.recipient), ErrorCode.wrapperMsgMismatch)


def _result(code: CompletionCode, results: Results | None = None) -> PResPayload:
    return PResPayload(completion_code=code, results=results)


PROMISES = (CompletionCode.authorizationPerformed, CompletionCode.capturePerformed, CompletionCode.creditPerformed)


def test_what_each_completion_code_means_for_the_state() -> None:
    scene = before("PRes")
    body = opened(scene.market, "PRes", scene.data).body
    authorised = body.pres_payload_seq[0].results
    declined = change(authorised, "auth_status.auth_code", AuthCode.declined)
    captured = replace(
        authorised,
        cap_status=CapStatus(
            cap_date=authorised.auth_status.auth_date,
            cap_code=CapCode.success,
            cap_ratio=Ratio(numerator=1, denominator=1),
        ),
    )
    credited = replace(
        captured,
        cred_status_seq=[
            CreditStatus(
                credit_date=authorised.auth_status.auth_date,
                cap_rev_or_cred_code=CapRevOrCredCode.success,
                credit_ratio=Ratio(numerator=1, denominator=3),
            )
        ],
    )
    expected = {
        State.RECEIVED: _result(CompletionCode.orderReceived),
        State.REJECTED: _result(CompletionCode.orderRejected),
        State.AUTHORIZED: _result(CompletionCode.authorizationPerformed, authorised),
        State.DECLINED: _result(CompletionCode.authorizationPerformed, declined),
        State.CAPTURED: _result(CompletionCode.capturePerformed, captured),
        State.CREDITED: _result(CompletionCode.creditPerformed, credited),
        State.PREQ_SENT: _result(CompletionCode.orderNotReceived),
    }
    store = scene.market.stores[C]
    kept = snapshot(store)
    for state, payload in expected.items():
        restore(store, kept)
        scene.market.cardholder.handle(remade(scene, {"pres_payload_seq.0": payload}))
        assert scene.market.cardholder.purchase(scene.lid_c).state is state
    # Without the results that the code promises, nothing is believed.
    for code in PROMISES:
        restore(store, kept)
        scene.market.cardholder.handle(remade(scene, {"pres_payload_seq.0": _result(code)}))
        assert scene.market.cardholder.purchase(scene.lid_c).state is State.PREQ_SENT


def test_a_capture_that_failed_is_no_capture() -> None:
    """capturePerformed beside a CapCode other than success: the purchase is not shown as captured."""
    scene = before("InqRes")
    changes = {"pres_payload_seq.0.results.cap_status.cap_code": CapCode.authExpired}
    scene.market.cardholder.handle(remade(scene, changes))
    assert scene.market.cardholder.purchase(scene.lid_c).state is not State.CAPTURED


def _shares(scene: Scene, authorised: Ratio, captured: Ratio | None = None, *credited: Ratio) -> PResPayload:
    """A payload that reports these shares of the amount."""
    date = opened(scene.market, "InqRes", scene.data).body.pres_payload_seq[0].results.auth_status.auth_date
    cap_status = None
    if captured is not None:
        cap_status = CapStatus(cap_date=date, cap_code=CapCode.success, cap_ratio=captured)
    results = Results(
        auth_status=AuthStatus(auth_date=date, auth_code=AuthCode.approved, auth_ratio=authorised),
        cap_status=cap_status,
        cred_status_seq=[
            CreditStatus(credit_date=date, cap_rev_or_cred_code=CapRevOrCredCode.success, credit_ratio=ratio)
            for ratio in credited
        ]
        or None,
    )
    code = CompletionCode.authorizationPerformed if captured is None else CompletionCode.capturePerformed
    return _result(CompletionCode.creditPerformed if credited else code, results)


NONE, PART, HALF, MOST, ALL, MORE = (
    Ratio(numerator=n, denominator=d) for n, d in ((0, 1), (1, 3), (1, 2), (2, 3), (1, 1), (3, 2))
)


@pytest.mark.prop("PU-16")
@pytest.mark.parametrize(
    "shares",
    [
        [(MORE,)],
        [(ALL, MORE)],
        [(HALF, MOST)],
        [(ALL, HALF, MOST)],
        [(ALL, HALF, PART, PART)],
        [(ALL, HALF, MOST, NONE)],
        [(ALL, None, PART)],
        [(MOST,), (MOST,)],
        [(ALL,), (ALL, ALL)],
    ],
    ids=str,
)
def test_a_result_about_impossible_shares_of_the_amount_is_not_believed(shares: list[Any]) -> None:
    """Never more than was ordered is authorised, nor captured than authorised, nor credited than captured (§2.7)."""
    scene = before("InqRes")
    payloads = [_shares(scene, *each) for each in shares]
    refuses(scene, remade(scene, {"pres_payload_seq": payloads}), ErrorCode.unspecifiedFailure)


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([(HALF,), (HALF, HALF)], State.CAPTURED),
        ([(MOST, MOST), (PART,)], State.CAPTURED),
        ([(ALL, HALF)], State.CAPTURED),
        ([(ALL, MOST, PART, PART)], State.CREDITED),
        ([(PART,), (PART,)], State.AUTHORIZED),
    ],
    ids=str,
)
def test_a_result_about_shares_that_add_up_is_believed(shares: list[Any], told: State) -> None:
    scene = before("InqRes")
    (event,) = scene.market.cardholder.handle(
        remade(scene, {"pres_payload_seq": [_shares(scene, *each) for each in shares]})
    ).events
    assert event.kind is EventKind.RESULT
    assert scene.market.cardholder.purchase(scene.lid_c).state is told


@pytest.mark.prop("PX-18")
def test_what_the_merchant_says_anew_replaces_what_it_said_before() -> None:
    """Authorised, captured, credited, and each of them taken back again: a fresh answer tells how it stands now."""
    scene = whole()
    market = scene.market
    merchant, cardholder = market.merchant, market.cardholder
    told = []
    for act in (merchant.credit, merchant.reverse_credit, merchant.reverse_capture, merchant.reverse):
        market.deliver(Role.merchant, act(scene.xid))
        market.deliver(C, cardholder.inquire(scene.lid_c))
        told.append(cardholder.purchase(scene.lid_c).state)
    assert told == [State.CREDITED, State.CAPTURED, State.AUTHORIZED, State.RECEIVED]


@pytest.mark.parametrize("code", [code for code in CompletionCode if code is not CompletionCode.orderRejected])
def test_a_rejected_order_stays_rejected(code: CompletionCode) -> None:
    scene = before("PRes")
    cardholder = scene.market.cardholder
    results = opened(scene.market, "PRes", scene.data).body.pres_payload_seq[0].results
    cardholder.handle(remade(scene, {"pres_payload_seq.0": _result(CompletionCode.orderRejected)}))
    assert cardholder.purchase(scene.lid_c).state is State.REJECTED
    cardholder.handle(remade(scene, {"pres_payload_seq.0": _result(code, results)}))
    assert cardholder.purchase(scene.lid_c).state is State.REJECTED


def test_an_order_that_was_processed_is_not_rejected_afterwards() -> None:
    scene = after("PRes")
    market = scene.market
    question = market.cardholder.inquire(scene.lid_c)
    (answer,) = market.merchant.handle(question.data).outgoing
    scene.hand = answer
    market.cardholder.handle(remade(scene, {"pres_payload_seq.0": _result(CompletionCode.orderRejected)}))
    assert market.cardholder.purchase(scene.lid_c).state is State.AUTHORIZED


def test_a_cardholder_takes_no_messages_for_others() -> None:
    scene = whole()
    kept = snapshot(scene.market.stores[C])
    for message in scene.sent.values():
        if message.to is not C:
            assert_refused(scene.market.cardholder.handle(message.data), ErrorCode.messageNotSupported)
    assert snapshot(scene.market.stores[C]) == kept


def test_the_cardholder_learns_why_its_first_message_was_refused() -> None:
    """The Error to an anonymous PInitReq reaches the user with its code, though the merchant knew no name for it."""
    scene = begin()
    market = scene.market
    stranger = replace(scene.order, lid_m=b"no such order")
    _, pinit_req = market.cardholder.start(stranger)
    (error,) = market.merchant.handle(pinit_req.data).outgoing
    (event,) = market.cardholder.handle(error.data).events
    assert (event.kind, event.code) == (EventKind.ERROR_RECEIVED, ErrorCode.unknownLID)


@pytest.mark.parametrize("minutes", [16, 60, -16])
@pytest.mark.parametrize("name", ["PInitRes", "PRes", "InqRes"])
def test_an_answer_is_as_fresh_as_its_question_however_late_it_comes(name: str, minutes: int) -> None:
    """Responses are bound to the question by RRPID, challenge and digest; their date says nothing more."""
    market = Market.open()
    market.clock.advance(timedelta(hours=1))  # so that the CRLs are valid either way
    scene = before(name, market)
    market.clock.advance(timedelta(minutes=minutes))
    (event,) = scene.deliver().events
    assert event.kind in (EventKind.MERCHANT_SHOWN, EventKind.RESULT)
