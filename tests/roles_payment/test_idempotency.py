"""Every request may be repeated, and an answer may come twice, or be another's (set-protocol.md §4.2; PX-5, PX-9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from setproto.errors import ErrorCode
from setproto.market import TRADERS
from setproto.messages.codes import BatchOperation
from setproto.messages.common import Role
from setproto.messages.registry import CAP_REV_RES, CRED_RES
from setproto.messages.wrapper import unwrap
from setproto.roles.ports import EventKind, Outgoing
from tests.roles_payment.scene import Scene, eur, lying

Make = Callable[[Scene, bytes], Outgoing]


def _sale(scene: Scene, xid: bytes) -> Outgoing:
    preq = scene.market.cardholder.pay(scene.order(700, capture_now=True))
    return scene.merchant.handle(preq.data).outgoing[0]


REQUESTS: dict[str, Make] = {
    "AuthReq": lambda scene, xid: scene.merchant.authorize(xid, eur(1000), more=True),
    "AuthReq, a sale": _sale,
    "AuthRevReq": lambda scene, xid: scene.merchant.reverse(xid, eur(3000)),
    "CapReq": lambda scene, xid: scene.merchant.capture(xid, eur(500)),
    "CapRevReq": lambda scene, xid: scene.merchant.reverse_capture(xid, capture=2),
    "CredReq": lambda scene, xid: scene.merchant.credit(xid, eur(300), capture=1),
    "CredRevReq": lambda scene, xid: scene.merchant.reverse_credit(xid, capture=1),
    "PCertReq": lambda scene, xid: scene.merchant.ask_certificates(),
    "BatchAdminReq, open": lambda scene, xid: scene.merchant.batch(7, BatchOperation.open),
    "BatchAdminReq, purge": lambda scene, xid: scene.merchant.batch(1, BatchOperation.purge),
    "BatchAdminReq, close": lambda scene, xid: scene.merchant.batch(1, BatchOperation.close),
}
every_request = pytest.mark.parametrize("kind", REQUESTS)


@pytest.fixture
def xid(scene: Scene) -> bytes:
    """A purchase in shares, with two captures, of one of which something was credited."""
    xid = scene.buy(10_000, first=4000)
    scene.asks(scene.merchant.capture(xid, eur(1000)))
    scene.asks(scene.merchant.capture(xid, eur(1000)))
    scene.asks(scene.merchant.credit(xid, eur(100), capture=1))
    return xid


def state(scene: Scene) -> Any:
    """Everything that anybody has written down."""
    account = scene.market.account
    stores = [scene.market.stores[role].dump() for role in TRADERS]
    return stores, dict(account.held), dict(account.captured), dict(account.credited)


@pytest.mark.prop("PX-9")
@every_request
def test_a_repeated_request_gets_the_same_octets_and_does_nothing(scene: Scene, xid: bytes, kind: str) -> None:
    request = REQUESTS[kind](scene, xid)
    assert request.name == kind.split(",")[0]
    before = state(scene)
    first = scene.gateway_reply(request)
    after = state(scene)
    assert after != before
    assert EventKind.REFUSED not in {event.kind for event in first.events}
    for later in (timedelta(0), timedelta(hours=2)):
        scene.market.clock.advance(later)
        again = scene.gateway_reply(request)
        assert [message.data for message in again.outgoing] == [message.data for message in first.outgoing]
        assert [event.kind for event in again.events] == [EventKind.REPEATED]
        assert state(scene) == after


@pytest.mark.prop("PX-9")
@every_request
def test_the_same_rrpid_with_other_content_is_a_conflict(scene: Scene, xid: bytes, kind: str) -> None:
    request = REQUESTS[kind](scene, xid)
    rrpid = unwrap(request.data).header.rrpid
    assert rrpid is not None
    scene.gateway_reply(request)
    after = state(scene)[1:]
    gateway = scene.market.stores[Role.gateway].dump()
    honest, scene.market.merchant.random = scene.merchant.random, lambda size: rrpid
    other = scene.merchant.batch(9, BatchOperation.open)
    scene.market.merchant.random = honest
    reply = scene.gateway_reply(other)
    assert reply.events[0].code is ErrorCode.rrpidConflict
    assert scene.market.stores[Role.gateway].dump() == gateway
    assert state(scene)[1:] == after


def test_a_request_that_is_new_and_old_is_refused(scene: Scene, xid: bytes) -> None:
    request = scene.merchant.capture(xid)
    scene.market.clock.advance(timedelta(minutes=16))
    assert scene.gateway_reply(request).events[0].code is ErrorCode.messageTooOld


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.prop("PX-9")
@every_request
def test_an_answer_counts_once(scene: Scene, xid: bytes, kind: str) -> None:
    answer = scene.gateway_reply(REQUESTS[kind](scene, xid)).outgoing[0]
    before = scene.market.stores[Role.merchant].dump()
    assert EventKind.REFUSED not in {event.kind for event in scene.merchant.handle(answer.data).events}
    after = scene.market.stores[Role.merchant].dump()
    assert after != before
    again = scene.merchant.handle(answer.data)
    assert [event.kind for event in again.events] == [EventKind.REPEATED]
    assert again.outgoing == ()
    assert scene.market.stores[Role.merchant].dump() == after


@pytest.mark.prop("PX-9")
@every_request
def test_an_answer_counts_once_even_if_it_was_asked_for_again_much_later(scene: Scene, xid: bytes, kind: str) -> None:
    """Asked again, the request is made anew under a header of now; that it was answered stays true."""
    request = REQUESTS[kind](scene, xid)
    answer = scene.gateway_reply(request).outgoing[0]
    scene.merchant.handle(answer.data)
    before = scene.merchant.purchase(xid)
    scene.market.clock.advance(timedelta(hours=2))
    again = scene.merchant.repeat(unwrap(request.data).header.rrpid or b"")
    assert again.data != request.data
    late = scene.merchant.handle(scene.gateway_reply(again).outgoing[0].data)
    assert [event.kind for event in late.events] == [EventKind.REPEATED]
    assert scene.merchant.purchase(xid) == before


def refused(scene: Scene, answer: Outgoing) -> ErrorCode:
    """A merchant drops a bad answer, and nothing changes; the code is for its log."""
    before = scene.market.stores[Role.merchant].dump()
    reply = scene.merchant.handle(answer.data)
    assert [event.kind for event in reply.events] == [EventKind.REFUSED]
    assert reply.outgoing == ()
    assert scene.market.stores[Role.merchant].dump() == before
    code = reply.events[0].code
    assert isinstance(code, ErrorCode)
    return code


@pytest.mark.prop("PX-5")
@every_request
def test_an_answer_to_another_request_is_refused(scene: Scene, xid: bytes, kind: str) -> None:
    """The gateway answers with the digest of another request."""
    request = REQUESTS[kind](scene, xid)
    with lying(scene.market.gateway, lambda body: replace(body, request_digest=bytes(32)), None):  # type: ignore[arg-type]
        answer = scene.gateway_reply(request).outgoing[0]
    assert refused(scene, answer) is ErrorCode.wrapperMsgMismatch


@pytest.mark.prop("PX-5")
@every_request
def test_an_answer_of_another_gateway_is_refused(scene: Scene, xid: bytes, kind: str) -> None:
    """One of the same brand and acquirer, with good certificates, that learned what was asked."""
    other = Scene().market.gateway

    def protect(message_type: Any, over: Any, body: Any, **how: Any) -> Any:
        mine = other.header(over.rrpid, over.message_ids)
        head = other.head(message_type.content_type, body.head.recipient, mine)
        return other.protect(message_type, mine, replace(body, head=head), **how)

    request = REQUESTS[kind](scene, xid)
    scene.market.gateway.protect = protect  # type: ignore[method-assign]
    answer = scene.gateway_reply(request).outgoing[0]
    assert refused(scene, answer) is ErrorCode.signatureFailure


@every_request
def test_a_merchant_of_another_acquirer_is_refused(scene: Scene, xid: bytes, kind: str) -> None:
    """A merID is unique per acquirer only."""
    request = REQUESTS[kind](scene, xid)
    before = state(scene)
    scene.market.gateway._acquirer_bin = "411112"
    assert scene.gateway_reply(request).events[0].code is ErrorCode.invalidCertificate
    assert state(scene) == before


@every_request
def test_a_merchant_speaks_for_itself(scene: Scene, xid: bytes, kind: str) -> None:
    def speak(body: Any) -> Any:
        if hasattr(body, "auth_req_item"):
            auth_item = body.auth_req_item
            changed = replace(auth_item.auth_tags, auth_rr_tags=named(auth_item.auth_tags.auth_rr_tags))
            return replace(body, auth_req_item=replace(auth_item, auth_tags=changed))
        fields = [name for name in vars(body) if name.endswith("rr_tags")]
        return replace(body, **{name: named(getattr(body, name)) for name in fields})

    def named(tags: Any) -> Any:
        return replace(tags, mer_term_ids=replace(tags.mer_term_ids, merchant_id="another"))

    lie = scene.lie(lambda: REQUESTS[kind](scene, xid), speak)
    before = state(scene)
    assert scene.gateway_reply(lie).events[0].code is ErrorCode.wrapperMsgMismatch
    assert state(scene) == before


@pytest.mark.prop("PX-5")
@every_request
def test_an_answer_that_nobody_asked_for_is_refused(scene: Scene, xid: bytes, kind: str) -> None:
    request = REQUESTS[kind](scene, xid)
    answer = scene.gateway_reply(request).outgoing[0]
    rrpid = unwrap(request.data).header.rrpid
    tables = scene.market.stores[Role.merchant]._tables
    del tables["requests", rrpid]
    assert refused(scene, answer) is ErrorCode.unknownRRPID


@pytest.mark.prop("PX-5", "PX-6")
@pytest.mark.parametrize(
    ("kind", "other"), [("CredReq", CAP_REV_RES), ("CapRevReq", CRED_RES), ("CredRevReq", CRED_RES)]
)
def test_an_answer_of_another_kind_is_refused(scene: Scene, xid: bytes, kind: str, other: Any) -> None:
    """Three kinds of answers look alike; a gateway that confuses them is not believed."""
    gateway = scene.market.gateway
    honest = gateway.protect

    def protect(message_type: Any, over: Any, body: Any, **how: Any) -> Any:
        head = replace(body.head, type=other.content_type)
        return honest(other, over, replace(body, head=head), **how)

    request = REQUESTS[kind](scene, xid)
    gateway.protect = protect  # type: ignore[method-assign]
    answer = scene.gateway_reply(request).outgoing[0]
    assert refused(scene, answer) is ErrorCode.wrapperMsgMismatch


@pytest.mark.prop("PX-5")
def test_an_answer_for_another_merchant_does_not_open(scene: Scene, xid: bytes) -> None:
    other = scene.another_merchant()
    answer = scene.gateway_reply(scene.merchant.capture(xid)).outgoing[0]
    assert refused(other, answer) is ErrorCode.decryptionFailure


# --- gateways that answer wrongly -----------------------------------------------------------------


def wrong(scene: Scene, request: Outgoing, change: Any) -> ErrorCode:
    with lying(scene.market.gateway, change, None):  # type: ignore[arg-type]
        answer = scene.gateway_reply(request).outgoing[0]
    return refused(scene, answer)


def header(**changes: Any) -> Any:
    def change(body: Any) -> Any:
        payload = body.auth_res_payload
        return replace(body, auth_res_payload=replace(payload, auth_header=replace(payload.auth_header, **changes)))

    return change


def test_auth_res_with_another_amount(scene: Scene, xid: bytes) -> None:
    request = REQUESTS["AuthReq"](scene, xid)
    assert wrong(scene, request, header(auth_amt=eur(1001))) is ErrorCode.wrapperMsgMismatch


def test_auth_res_without_a_token(scene: Scene, xid: bytes) -> None:
    from pki.der import encode
    from setproto.messages.payment import AuthResBaggage

    request = REQUESTS["AuthReq"](scene, xid)
    with lying(scene.market.gateway, None, lambda _: encode(AuthResBaggage())):  # type: ignore[arg-type]
        answer = scene.gateway_reply(request).outgoing[0]
    assert refused(scene, answer) is ErrorCode.wrapperMsgMismatch


def test_a_sale_captured_for_another_amount(scene: Scene, xid: bytes) -> None:
    def change(body: Any) -> Any:
        payload = body.auth_res_payload
        captured = replace(payload.cap_res_payload, cap_amt=eur(701))
        return replace(body, auth_res_payload=replace(payload, cap_res_payload=captured))

    assert wrong(scene, _sale(scene, xid), change) is ErrorCode.wrapperMsgMismatch


def test_auth_rev_res_with_another_amount(scene: Scene, xid: bytes) -> None:
    request = REQUESTS["AuthRevReq"](scene, xid)
    assert wrong(scene, request, lambda body: replace(body, auth_new_amt=eur(2999))) is ErrorCode.wrapperMsgMismatch


def test_cap_res_with_another_amount(scene: Scene, xid: bytes) -> None:
    def change(body: Any) -> Any:
        (answer,) = body.cap_res_item_seq
        payload = replace(answer.cap_res_payload, cap_amt=eur(501))
        return replace(body, cap_res_item_seq=[replace(answer, cap_res_payload=payload)])

    assert wrong(scene, REQUESTS["CapReq"](scene, xid), change) is ErrorCode.wrapperMsgMismatch


@pytest.mark.parametrize("kind", ["CapRevReq", "CredReq", "CredRevReq"])
def test_clearing_with_another_amount(scene: Scene, xid: bytes, kind: str) -> None:
    def change(body: Any) -> Any:
        (answer,) = body.res_item_seq
        return replace(body, res_item_seq=[replace(answer, actual_amt=eur(1))])

    assert wrong(scene, REQUESTS[kind](scene, xid), change) is ErrorCode.wrapperMsgMismatch


@pytest.mark.parametrize("kind", ["CapReq", "CapRevReq", "CredReq", "CredRevReq"])
def test_an_answer_about_another_purchase(scene: Scene, xid: bytes, kind: str) -> None:
    def change(body: Any) -> Any:
        field = "cap_res_item_seq" if kind == "CapReq" else "res_item_seq"
        (answer,) = getattr(body, field)
        return replace(body, **{field: [replace(answer, trans_ids=replace(answer.trans_ids, xid=bytes(20)))]})

    assert wrong(scene, REQUESTS[kind](scene, xid), change) is ErrorCode.unknownXID


def test_an_answer_about_another_batch(scene: Scene, xid: bytes) -> None:
    request = REQUESTS["BatchAdminReq, purge"](scene, xid)
    assert wrong(scene, request, lambda body: replace(body, batch_id=2)) is ErrorCode.wrapperMsgMismatch


def test_a_batch_sequence_number_may_be_anything(scene: Scene, xid: bytes) -> None:
    """A gateway chooses it; a merchant that counted up to it would never end."""

    def change(body: Any) -> Any:
        (answer,) = body.cap_res_item_seq
        payload = replace(answer.cap_res_payload, batch_sequence_num=(1 << 63) - 1)
        return replace(body, cap_res_item_seq=[replace(answer, cap_res_payload=payload)])

    with lying(scene.market.gateway, change, None):  # type: ignore[arg-type]
        assert scene.asks(scene.merchant.capture(xid, eur(500))) == "success"
    assert scene.asks(scene.merchant.batch(1, BatchOperation.purge)) == "success"
    assert scene.shop(xid) == scene.gateway(xid)


# --- lost on the way ------------------------------------------------------------------------------


@pytest.mark.prop("PX-9")
@pytest.mark.parametrize("kind", ["AuthReq", "AuthRevReq", "CapReq", "CapRevReq", "CredReq", "CredRevReq"])
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_what_is_lost_is_sent_again_and_all_agree(scene: Scene, xid: bytes, kind: str, lost: str) -> None:
    request = REQUESTS[kind](scene, xid)
    if lost == "answer":
        scene.gateway_reply(request)
    again = scene.merchant.resend(xid)
    assert again.data == request.data
    assert scene.asks(again) in ("approved", "success")
    scene.all_agree(xid)


# --- PCertReq -------------------------------------------------------------------------------------


def test_certificates_per_brand(scene: Scene) -> None:
    def two(body: Any) -> Any:
        return replace(body, brand_seq=["Other", *body.brand_seq])

    codes: list[Any] = []

    def look(body: Any) -> Any:
        codes.extend((answer.pcert_code.name, answer.cert_thumb) for answer in body.pcert_res_items)
        return body

    with lying(scene.market.gateway, look, None):  # type: ignore[arg-type]
        scene.asks(scene.lie(scene.merchant.ask_certificates, two))
    assert codes == [("brandNotSupported", None), ("success", scene.market.gateway.own_exchange_thumb())]


def test_the_certificate_that_the_gateway_names_is_used_from_now_on(scene: Scene) -> None:
    from setproto.market import credentials
    from tests.roles_payment.scene import tree

    party = scene.market.gateway.party
    renewed = credentials(tree().issue_gateway(party.name), party, "p256")
    old = scene.market.gateway.credentials
    answer_req = scene.merchant.ask_certificates()
    scene.market.gateway.credentials = replace(old, exchange=renewed.exchange)
    assert scene.asks(answer_req) == "success"
    assert scene.market.result(scene.order()) is not None
    assert scene.gateway(scene.buy()).authorised == 4200


def test_a_certificate_of_another_gateway_is_not_taken(scene: Scene) -> None:
    other = Scene().market.gateway
    assert other.credentials.exchange is not None

    def change(body: Any) -> Any:
        (answer,) = body.pcert_res_items
        return replace(body, pcert_res_items=[replace(answer, cert_thumb=other.own_exchange_thumb())])

    scene.market.merchant.held = (*scene.merchant.held, other.credentials.exchange.certificate)
    assert wrong(scene, scene.merchant.ask_certificates(), change) is ErrorCode.invalidCertificate
