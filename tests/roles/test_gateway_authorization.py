"""§4.12 line by line: what the gateway checks before it asks the issuer, and the code it answers with.

The dishonest party of each test has its own genuine keys and certificates, and uses them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import core
from cryptography.x509 import ObjectIdentifier

from pki.der import decode, encode, general_time, tlv
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import Recipient, RecipientKey, seal
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode
from setproto.market import TRADERS, Market
from setproto.messages.codes import AuthCode, CapCode, CompletionCode
from setproto.messages.common import Extension, InstallRecurData, PartyID, Role, Thumbs
from setproto.messages.oids import ARC, ID_OI_DATA, ID_PAN_DATA
from setproto.messages.payment import CapTokenSeq, EncB, PaymentInstruction
from setproto.messages.purchase import PAN_FIELD, PURCHASE, OIData, PISeals, PReq
from setproto.messages.registry import AUTH_REQ, MessageType
from setproto.messages.wrapper import MessageIDs, header, unwrap, wrap
from setproto.roles.cardholder import PaymentCard
from setproto.roles.gateway import records
from setproto.roles.party import Received
from setproto.roles.ports import Advice, AuthorizationDecision, AuthorizationRequest, EventKind, NoReply, Reply
from tests.pki.forging import Draft
from tests.roles.scenes import (
    KIND,
    OTHER_CARD,
    WRONG_NUMBER,
    Scene,
    another_card,
    another_gateway,
    another_merchant,
    assert_refused,
    before,
    begin,
    cardholder_with,
    change,
    exchange_of,
    market_pi,
    money,
    opened,
    pi_of,
    preq_again,
    remade,
    restarted,
    restore,
    sealed_for,
    signed_again,
    snapshot,
    state,
    taken_apart,
    whole,
)

P = Role.gateway
UNKNOWN = Extension(extn_id=ObjectIdentifier(f"{ARC}.9.9"), critical=True, extn_value=b"?")
TOO_MUCH = CurrencyAmount.of("EUR 42.01")
ITEM, TAGS, PAYLOAD = "auth_req_item", "auth_req_item.auth_tags", "auth_req_item.auth_req_payload"


def auth_res(market: Market, reply: Reply) -> Any:
    """The body of the AuthRes that came out, and its baggage."""
    (answer,) = reply.outgoing
    assert answer.name == "AuthRes"
    return opened(market, "AuthRes", answer.data)


def says(scene: Scene, data: bytes, code: AuthCode) -> None:
    """The gateway answers with this code and no token, no money is held, and the genuine request still works."""
    market = scene.market
    kept, records = money(market.account), snapshot(market.stores[P])
    reply = market.gateway.handle(data)
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.AUTHORIZATION, code)
    received: Received[Any] = auth_res(market, reply)
    assert received.body.auth_res_payload.auth_header.auth_code is code
    assert received.baggage.cap_token is None
    assert money(market.account) == kept
    assert not [key for key in snapshot(market.stores[P]) if key[0] != "answers"]
    restore(market.stores[P], records)  # so that the RRPID is free again
    (event,) = market.gateway.handle(scene.data).events
    assert event.code is AuthCode.approved


def refuses(scene: Scene, data: bytes, code: ErrorCode) -> None:
    """The gateway refuses the message as such and keeps nothing of it; the genuine one still works."""
    kept, records = state(scene.market), snapshot(scene.market.stores[P])
    assert_refused(scene.market.gateway.handle(data), code)
    assert state(scene.market) == kept
    (event,) = scene.market.gateway.handle(scene.data).events
    assert event.code is AuthCode.approved
    restore(scene.market.stores[P], records)


def forwarded(scene: Scene, preq: bytes) -> bytes:
    """The AuthReq in hand, with the payment instruction of another PReq and the digests that go with it.

    For a merchant in league with the cardholder: it forwards what an honest one would refuse.
    """
    market = scene.market
    body = opened(market, "AuthReq", scene.data).body
    oi = decode(PReq, unwrap(preq).body).oi
    hoi_data = PURCHASE.digest(Part(ID_OI_DATA, oi.oi_data, oi.oi_salt), market.suite)
    hod = decode(OIData, oi.oi_data).hod
    digests = replace(body.auth_req_item.check_digests, hoi_data=hoi_data, hod2=hod)
    return remade(scene, {f"{ITEM}.check_digests": digests}, baggage=market_pi(market, preq))


# --- step 1: the message --------------------------------------------------------------------------


def test_a_merchant_of_another_acquirer() -> None:
    market = Market.open()
    stranger = another_merchant(market, acquirer_bin="499999")
    market = replace(market, merchant=stranger, stores={**market.stores, Role.merchant: stranger.store})
    scene = before("AuthReq", market)
    kept = state(market)
    assert_refused(market.gateway.handle(scene.data), ErrorCode.invalidCertificate)
    assert state(market) == kept


def test_a_merchant_that_speaks_for_another_till() -> None:
    scene = before("AuthReq")
    refuses(scene, remade(scene, {f"{TAGS}.auth_rr_tags.mer_term_ids.merchant_id": "m"}), ErrorCode.wrapperMsgMismatch)


@pytest.mark.parametrize(
    ("thumb", "code"),
    [("nobody's", ErrorCode.missingCertificate), ("another merchant's", ErrorCode.missingCertificate)],
)
def test_a_key_for_the_answer_that_is_not_at_hand(thumb: str, code: ErrorCode) -> None:
    scene = before("AuthReq")
    other = exchange_of(another_merchant(scene.market)).thumbprint
    me_thumb = bytes(32) if thumb == "nobody's" else other
    refuses(scene, remade(scene, {f"{TAGS}.auth_rr_tags.me_thumb": me_thumb}), code)


@pytest.mark.prop("PX-12")
def test_a_key_for_the_answer_that_is_another_partys() -> None:
    """Enclosed and valid, but not the signer's: the answer would go to somebody else."""
    scene = before("AuthReq")
    for other in (another_merchant(scene.market), another_gateway(scene.market)):
        theirs = exchange_of(other)
        changed = {f"{TAGS}.auth_rr_tags.me_thumb": theirs.thumbprint}
        refuses(scene, remade(scene, changed, also=(theirs.der,)), ErrorCode.invalidCertificate)


@pytest.mark.parametrize("where", ["extensions", f"{PAYLOAD}.extensions"])
def test_a_critical_extension_that_nobody_knows(where: str) -> None:
    scene = before("AuthReq")
    refuses(scene, remade(scene, {where: [UNKNOWN]}), ErrorCode.unrecognizedExtension)


def test_an_extension_that_is_not_critical_does_no_harm() -> None:
    scene = before("AuthReq")
    (event,) = scene.market.gateway.handle(remade(scene, {"extensions": [replace(UNKNOWN, critical=False)]})).events
    assert event.code is AuthCode.approved


def test_a_sealed_message_without_a_sender_in_its_header() -> None:
    scene = before("AuthReq")
    wire = unwrap(scene.data)
    nameless = wrap(AUTH_REQ, wire.body, replace(wire.header, sender=None))
    refuses(scene, nameless, ErrorCode.badMessageHeader)


@pytest.mark.prop("PU-12")
@pytest.mark.parametrize("field", ["sender", "rrpid", "message_ids"])
def test_an_envelope_does_not_open_under_another_header(field: str) -> None:
    scene = before("AuthReq")
    wire = unwrap(scene.data)
    other = {
        "sender": another_merchant(scene.market).party,
        "rrpid": bytes(20),
        "message_ids": replace(wire.header.message_ids, xid=bytes(20)),
    }
    moved = wrap(AUTH_REQ, wire.body, replace(wire.header, **{field: other[field]}))
    refuses(scene, moved, ErrorCode.decryptionFailure)


@pytest.mark.prop("PX-10")
def test_a_header_that_is_not_the_one_that_was_signed() -> None:
    """A minute later, the rest equal: only the digest of the header in the body shows it."""
    scene = before("AuthReq")
    wire = unwrap(scene.data)
    later = replace(wire.header, date=general_time(scene.market.clock() + timedelta(minutes=1)))
    refuses(scene, wrap(AUTH_REQ, wire.body, later), ErrorCode.wrapperMsgMismatch)


def test_header_and_body_must_name_the_same_purchase() -> None:
    scene = before("AuthReq")
    market = scene.market
    body = opened(market, "AuthReq", scene.data).body
    tags = body.auth_req_item.auth_tags
    rrpid, ids = tags.auth_rr_tags.rrpid, MessageIDs.of(tags.trans_ids)
    for over, code in (
        (header(market.clock(), market.merchant.party, bytes(20), ids), ErrorCode.unknownRRPID),
        (header(market.clock(), market.merchant.party, rrpid, replace(ids, lid_c=b"?")), ErrorCode.wrapperMsgMismatch),
        (header(market.clock(), market.merchant.party, rrpid, replace(ids, lid_m=None)), ErrorCode.wrapperMsgMismatch),
        (
            header(market.clock(), market.merchant.party, rrpid, replace(ids, xid=bytes(20))),
            ErrorCode.wrapperMsgMismatch,
        ),
    ):
        refuses(scene, remade(scene, over=over), code)


def test_the_baggage_is_the_one_that_was_signed() -> None:
    one = before("AuthReq")
    two = before("AuthReq", one.market, "EUR 3.00")
    mine, other = (unwrap(scene.data) for scene in (one, two))
    swapped = replace(decode(EncB, mine.body), baggage=decode(EncB, other.body).baggage)
    refuses(one, wrap(AUTH_REQ, encode(swapped), mine.header), ErrorCode.signatureFailure)


def test_baggage_that_is_no_payment_instruction() -> None:
    scene = before("AuthReq")
    refuses(scene, remade(scene, baggage=b"\x30\x00"), ErrorCode.decodingFailure)


@pytest.mark.prop("PX-6")
def test_an_auth_req_to_another_gateway_that_was_sealed_to_this_one() -> None:
    scene = before("AuthReq")
    refuses(scene, remade(scene, to=another_gateway(scene.market).party), ErrorCode.wrongRecipient)


# --- step 2 and 4c: the payment instruction -------------------------------------------------------


@pytest.mark.prop("PX-4")
def test_a_crooked_gateway_cannot_pass_a_payment_on() -> None:
    """W-1: gateway 1 opens the instruction that it was meant to get, and seals it again to gateway 2."""
    scene = before("AuthReq")
    market = scene.market
    paid = taken_apart(market, scene.sent["PReq"].data)  # with gateway 1's key
    second = another_gateway(market)
    honest = pi_of(market, scene.data)
    moved = sealed_for(paid, second, paid.seals.cardholder, paid.seals.rrpid, scene.xid)
    data = remade(scene, baggage=replace(honest, seals=encode(moved)), seal_to=second, to=second.party)
    kept = money(market.account)
    assert_refused(second.handle(data), ErrorCode.signatureFailure)
    assert money(market.account) == kept
    # Unsealed and moved as it is, it does not even open.
    data = remade(scene, seal_to=second, to=second.party)
    assert_refused(second.handle(data), ErrorCode.decryptionFailure)
    assert money(market.account) == kept


@pytest.mark.prop("PX-4", "PU-18")
@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, ErrorCode.wrongRecipient),
        ({"head.recipient": "second"}, AuthCode.piAuthMismatch),
        ({"head.recipient": "second", "pe_thumb": "second"}, AuthCode.piAuthMismatch),
        ({"head.recipient": "second", "gateway_id": "second"}, AuthCode.piAuthMismatch),
        ({"head.recipient": "second", "gateway_id": "second", "pe_thumb": "second"}, AuthCode.approved),
    ],
)
def test_a_payment_instruction_names_its_gateway_and_its_certificate(
    changes: dict[str, str], outcome: ErrorCode | AuthCode
) -> None:
    """Even the cardholder cannot send a payment for one gateway through another."""
    scene = before("AuthReq")
    market = scene.market
    second = another_gateway(market)
    thumb = exchange_of(second).thumbprint
    pi = {path: thumb if path == "pe_thumb" else second.party for path in changes}
    paid = taken_apart(market, scene.sent["PReq"].data)
    preq = preq_again(market, paid, pi=pi, seal_to=second)
    reply = second.handle(_through(scene, preq, second))
    (event,) = reply.events
    assert event.code is outcome


def _through(scene: Scene, preq: bytes, gateway: Any) -> bytes:
    """The payment instruction of this PReq in an AuthReq of the honest merchant's keys, to that gateway."""
    pi = market_pi(scene.market, preq)
    return remade(scene, baggage=pi, seal_to=gateway, to=gateway.party)


@pytest.mark.prop("PX-4")
def test_a_payment_to_a_certificate_that_the_gateway_has_replaced() -> None:
    """The instruction names the old Cert-PE; the same gateway, same key, has a new one."""
    scene = before("AuthReq")
    market = scene.market
    old = market.gateway.credentials
    assert old.exchange is not None
    key = old.exchange.private_key
    draft = Draft.of(old.exchange.certificate)
    draft.serial += 1
    renewed = RecipientKey(key, draft.signed(market.tree.pca), market.suite)
    market.gateway.credentials = replace(old, exchange=renewed)
    (event,) = market.gateway.handle(scene.data).events
    assert event.code is AuthCode.piAuthMismatch


def test_what_was_sealed_for_another_purchase_does_not_open() -> None:
    """Seals swapped between two purchases of the same people (§4.12 step 2)."""
    one = before("AuthReq")
    two = before("AuthReq", one.market, "EUR 42.00", b"another book")
    refuses(one, remade(one, baggage=pi_of(one.market, two.data)), ErrorCode.decryptionFailure)


@pytest.mark.parametrize("part", ["sealed_pi", "sealed_pan"])
def test_one_seal_of_another_purchase(part: str) -> None:
    one = before("AuthReq")
    two = before("AuthReq", one.market, "EUR 42.00", b"another book")
    mine, other = (pi_of(one.market, scene.data) for scene in (one, two))
    seals = replace(decode(PISeals, mine.seals), **{part: getattr(decode(PISeals, other.seals), part)})
    refuses(one, remade(one, baggage=replace(mine, seals=encode(seals))), ErrorCode.decryptionFailure)


def test_the_two_seals_are_not_exchangeable() -> None:
    scene = before("AuthReq")
    pi = pi_of(scene.market, scene.data)
    seals = decode(PISeals, pi.seals)
    swapped = replace(seals, sealed_pi=seals.sealed_pan, sealed_pan=seals.sealed_pi)
    refuses(scene, remade(scene, baggage=replace(pi, seals=encode(swapped))), ErrorCode.decryptionFailure)


def test_what_is_inside_the_seals_does_not_show_through_the_error() -> None:
    """Sealed by somebody who knows the gateway's public key, as everybody does: rubbish, in the right context."""
    scene = before("AuthReq")
    market = scene.market
    pi = pi_of(market, scene.data)
    seals = decode(PISeals, pi.seals)
    gateway = market.gateway
    context = gateway.context(ID_PAN_DATA, seals.cardholder, gateway.party, scene.xid, seals.rrpid)
    rubbish = seal(b"\x30\x00", Recipient(exchange_of(gateway)), context=context)
    forged = replace(pi, seals=encode(replace(seals, sealed_pan=rubbish)))
    kept = state(market)
    first = assert_refused(gateway.handle(remade(scene, baggage=forged)), ErrorCode.decryptionFailure)
    second = assert_refused(
        gateway.handle(remade(scene, baggage=replace(pi, seals=encode(replace(seals, sealed_pan=b"?"))))),
        ErrorCode.decryptionFailure,
    )
    assert (first.error_thumb, first.error_oid) == (second.error_thumb, second.error_oid) == (None, None)
    assert state(market) == kept


@pytest.mark.prop("OT-3", "PU-18")
def test_a_payment_that_nobody_signed() -> None:
    """The merchant knows the card from elsewhere, and makes the whole instruction itself: but for the signature."""
    scene = before("AuthReq")
    market = scene.market
    paid = taken_apart(market, scene.sent["PReq"].data)
    crook = cardholder_with(market, another_card(market))
    pi = pi_of(market, scene.data)
    # Signed with the crook's own genuine certificate, in the victim's name.
    preq = preq_again(market, paid, signer=crook, pi={"head.sender": market.cardholder.party})
    refuses(scene, remade(scene, baggage=market_pi(market, preq)), ErrorCode.wrongRecipient)
    stolen = replace(market_pi(market, preq), pi_signature=pi.pi_signature)
    refuses(scene, remade(scene, baggage=stolen), ErrorCode.signatureFailure)


def test_seals_in_the_name_of_another_cardholder_than_the_signer() -> None:
    scene = before("AuthReq")
    market = scene.market
    paid = taken_apart(market, scene.sent["PReq"].data)
    victim = market.cardholder.party
    crook = cardholder_with(market, another_card(market))
    preq = preq_again(market, paid, signer=crook, seals={"cardholder": victim})
    refuses(scene, remade(scene, baggage=market_pi(market, preq)), ErrorCode.signatureFailure)


@pytest.mark.prop("PX-6")
@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("head.version", 1),
        ("head.suite", "ed25519"),
        ("head.type", AUTH_REQ.content_type),
        ("head.header_digest", bytes(32)),
    ],
)
def test_a_payment_instruction_says_what_it_is(path: str, new: object) -> None:
    scene = before("AuthReq")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    code = ErrorCode.wrapperMsgMismatch if path == "head.header_digest" else ErrorCode.wrongRecipient
    refuses(scene, forwarded(scene, preq_again(scene.market, paid, pi={path: new})), code)


def test_a_critical_extension_in_the_payment_instruction() -> None:
    scene = before("AuthReq")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    data = forwarded(scene, preq_again(scene.market, paid, pi={"extensions": [UNKNOWN]}))
    refuses(scene, data, ErrorCode.unrecognizedExtension)


# --- steps 3, 6, 7: one purchase ------------------------------------------------------------------


@pytest.mark.prop("PX-11", "OT-3", "PU-19")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trans_ids.xid": bytes(20)}, AuthCode.piAuthMismatch),
        ({"trans_ids.lid_c": b"another"}, AuthCode.piAuthMismatch),
        ({"trans_ids.lid_m": b"another"}, AuthCode.piAuthMismatch),
        ({"merchant_id": PartyID(role=Role.merchant, brand="Marque", name="another")}, AuthCode.piAuthMismatch),
        ({"merchant_id.brand": "Other"}, AuthCode.piAuthMismatch),
        ({"merchant_id.role": Role.gateway}, AuthCode.piAuthMismatch),
        ({"inputs.hod": bytes(32)}, AuthCode.piAuthMismatch),
        ({"inputs.purch_amt": CurrencyAmount.of("EUR 41.99")}, AuthCode.amountError),
        ({"inputs.purch_amt": CurrencyAmount.of("EUR 42.01")}, AuthCode.amountError),
        ({"inputs.purch_amt": CurrencyAmount.of("USD 42.00")}, AuthCode.amountError),
        ({"install_recur_data": InstallRecurData(install_total_trans=3)}, AuthCode.installRecurMismatch),
    ],
    ids=str,
)
def test_an_instruction_for_another_purchase_than_the_request(changes: dict[str, Any], code: AuthCode) -> None:
    """What the cardholder signed for the gateway differs from what it signed for the merchant, in one place."""
    scene = before("AuthReq")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    says(scene, forwarded(scene, preq_again(scene.market, paid, pi=changes)), code)


@pytest.mark.prop("OT-1", "OT-3", "PU-19", "PU-20")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({f"{ITEM}.check_digests": None}, AuthCode.piAuthMismatch),
        ({f"{ITEM}.check_digests.hoi_data": bytes(32)}, AuthCode.piAuthMismatch),
        ({f"{ITEM}.check_digests.hod2": bytes(32)}, AuthCode.piAuthMismatch),
        ({f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of("EUR 42.01")}, AuthCode.amountError),
        ({f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of("EUR 41.99")}, AuthCode.amountError),
        ({f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of("USD 42.00")}, AuthCode.amountError),
        ({f"{PAYLOAD}.install_recur_data": InstallRecurData(install_total_trans=2)}, AuthCode.installRecurMismatch),
        ({f"{PAYLOAD}.subsequent_auth_ind": True, f"{PAYLOAD}.auth_req_amt": TOO_MUCH}, AuthCode.amountError),
        ({"capture_now": True, f"{PAYLOAD}.auth_req_amt": TOO_MUCH}, AuthCode.amountError),
        ({"capture_now": True, f"{ITEM}.check_digests.hod2": bytes(32)}, AuthCode.piAuthMismatch),
    ],
    ids=str,
)
def test_a_merchant_that_asks_for_something_else_than_was_signed(changes: dict[str, Any], code: AuthCode) -> None:
    scene = before("AuthReq")
    says(scene, remade(scene, changes), code)


@pytest.mark.prop("PX-11", "PU-19")
@pytest.mark.parametrize("name", ["xid", "lid_c", "lid_m"])
def test_a_merchant_that_asks_for_another_purchase(name: str) -> None:
    scene = before("AuthReq")
    other = bytes(20) if name == "xid" else b"another"
    data = remade(scene, {f"{TAGS}.trans_ids.{name}": other})
    if name == "xid":  # the seals are bound to the XID
        refuses(scene, data, ErrorCode.decryptionFailure)
    else:
        says(scene, data, AuthCode.piAuthMismatch)


@pytest.mark.prop("OT-2")
def test_a_sale_takes_what_was_signed_and_no_more() -> None:
    scene = before("AuthReq")
    market = scene.market
    received = auth_res(market, market.gateway.handle(remade(scene, {"capture_now": True})))
    sale = received.body.auth_res_payload.cap_res_payload
    assert (sale.cap_code, sale.cap_amt) == (CapCode.success, scene.order.amount)
    available, held, captured = money(market.account)
    assert (available, held, list(captured.values())) == (958_00, {}, [scene.order.amount])


@pytest.mark.prop("OT-2")
def test_more_to_follow_is_no_more_than_was_signed() -> None:
    """The token that takes the place of the instruction authorises what is left of the amount, and not a cent more."""
    scene = before("AuthReq")
    market = scene.market
    share = {f"{PAYLOAD}.subsequent_auth_ind": True, f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of("EUR 30.00")}
    first = auth_res(market, market.gateway.handle(remade(scene, share)))
    token = first.baggage.auth_token
    assert token is not None
    assert money(market.account)[0] == 970_00
    for number, (rest, code) in enumerate((("EUR 12.01", AuthCode.amountError), ("EUR 12.00", AuthCode.approved)), 1):
        changes = {
            f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of(rest),
            f"{TAGS}.auth_rr_tags.rrpid": bytes([number] * 20),
            f"{ITEM}.check_digests": None,
        }
        next_ = remade(scene, changes, baggage=PaymentInstruction(auth_token=token))
        (event,) = market.gateway.handle(next_).events
        assert event.code is code
    assert money(market.account)[0] == 958_00
    # The PI is used, and so is the token.
    used = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes([7] * 20)})
    assert market.gateway.handle(used).events[0].code is AuthCode.piPreviouslyUsed
    again = {f"{TAGS}.auth_rr_tags.rrpid": bytes([8] * 20), f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of("EUR 0.01")}
    stale = remade(scene, again, baggage=PaymentInstruction(auth_token=token))
    assert market.gateway.handle(stale).events[0].code is AuthCode.piPreviouslyUsed
    assert money(market.account)[0] == 958_00


def test_baggage_is_a_payment_instruction_or_a_token_and_not_both() -> None:
    scene = before("AuthReq")
    market = scene.market
    share = {f"{PAYLOAD}.subsequent_auth_ind": True}
    token = auth_res(market, market.gateway.handle(remade(scene, share))).baggage.auth_token
    pi, instead = PaymentInstruction(pi=pi_of(market, scene.data)), PaymentInstruction(auth_token=token)
    both = tlv(0x30, inside(pi), inside(instead))
    other = before("AuthReq", market)
    kept = state(market)
    for wrong in (both, b"\x30\x00"):
        assert_refused(market.gateway.handle(remade(other, baggage=wrong)), ErrorCode.decodingFailure)
    assert state(market) == kept


def inside(value: object) -> bytes:
    """The content octets of a SEQUENCE."""
    content: bytes = core.Sequence.load(encode(value)).contents
    return content


@pytest.mark.prop("PX-16")
def test_instalments_that_all_agreed_on_are_served_as_agreed() -> None:
    market = Market.open()
    plan = InstallRecurData(install_total_trans=3)
    order = market.order("EUR 42.00", b"one book", install_recur_data=plan, first_amount="EUR 14.00")
    lid_c, first = market.cardholder.start(order)
    market.deliver(Role.cardholder, first)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    purchase = market.result(lid_c)
    assert purchase.code is AuthCode.approved
    codes = []
    for amount in ("EUR 14.00", "EUR 10.00", "EUR 1.00"):
        market.deliver(Role.merchant, market.merchant.authorize(purchase.xid, CurrencyAmount.of(amount)))
        codes.append(market.events[-1][1].code)
    assert codes == [AuthCode.approved, AuthCode.approved, AuthCode.installRecurMismatch]
    assert money(market.account)[0] == 1000_00 - 38_00


def test_the_same_amount_in_another_exponent_is_what_was_signed() -> None:
    scene = before("AuthReq")
    thousandths = CurrencyAmount(currency=978, amount=42000, amt_exp10=-3)
    (event,) = scene.market.gateway.handle(remade(scene, {f"{PAYLOAD}.auth_req_amt": thousandths})).events
    assert event.code is AuthCode.approved


@pytest.mark.prop("OT-2", "OT-3")
def test_a_second_merchant_cannot_cash_in_a_payment_to_the_first() -> None:
    scene = before("AuthReq")
    thief = another_merchant(scene.market)
    theirs = exchange_of(thief)
    changes = {
        f"{TAGS}.auth_rr_tags.mer_term_ids.merchant_id": thief.party.name,
        f"{TAGS}.auth_rr_tags.me_thumb": theirs.thumbprint,
    }
    kept = money(scene.market.account)
    (event,) = scene.market.gateway.handle(remade(scene, changes, sender=thief)).events
    assert event.code is AuthCode.piAuthMismatch
    assert money(scene.market.account) == kept


# --- the card -------------------------------------------------------------------------------------


def with_card(scene: Scene, card: PaymentCard) -> bytes:
    """A certified cardholder with this card takes over the order in hand, with everything made to fit."""
    holder = cardholder_with(scene.market, card)
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    pan = {
        "pan": card.card.pan.reveal().ljust(PAN_FIELD),
        "card_expiry": card.card.expiry.reveal(),
        "pan_secret": card.pan_secret.reveal(),
    }
    return forwarded(scene, preq_again(scene.market, paid, signer=holder, pan=pan))


def test_a_card_that_the_issuer_does_not_know() -> None:
    scene = before("AuthReq")
    (event,) = scene.market.gateway.handle(with_card(scene, another_card(scene.market))).events
    assert event.code is AuthCode.declined


def test_a_card_that_has_expired() -> None:
    scene = before("AuthReq")
    old = another_card(scene.market, expiry="202512")
    says(scene, with_card(scene, old), AuthCode.expiredCard)
    # It is good to the end of its month.
    this_month = another_card(scene.market, expiry="202601")
    scene = before("AuthReq", scene.market)
    (event,) = scene.market.gateway.handle(with_card(scene, this_month)).events
    assert event.code is AuthCode.declined  # by the issuer, who was asked


def test_an_expired_card_is_told_to_the_cardholder() -> None:
    market = Market.open(expiry="202512")
    purchase = market.buy("EUR 42.00", b"one book")
    assert (purchase.completion_code, purchase.code) == (CompletionCode.authorizationPerformed, AuthCode.expiredCard)


def test_too_little_money() -> None:
    market = Market.open(balance="EUR 41.99")
    assert market.buy("EUR 42.00", b"one book").code is AuthCode.declined
    assert market.buy("EUR 41.99", b"one book").code is not AuthCode.declined
    assert money(market.account)[0] == 0


def test_another_currency_than_the_accounts() -> None:
    assert Market.open(balance="USD 100.00").buy("EUR 42.00", b"one book").code is AuthCode.amountError


def test_a_card_number_with_a_wrong_check_digit() -> None:
    scene = before("AuthReq")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    data = forwarded(scene, preq_again(scene.market, paid, pan={"pan": WRONG_NUMBER}))
    says(scene, data, AuthCode.invalidTransaction)


@pytest.mark.parametrize(
    "pan",
    [{"pan": OTHER_CARD.ljust(PAN_FIELD)}, {"card_expiry": "203112"}, {"pan_secret": bytes(32)}],
    ids=["PAN", "expiry", "secret"],
)
def test_a_card_that_is_not_the_certificates(pan: dict[str, Any]) -> None:
    """Somebody else's number, or the right number without the secret of its registration (§3.8)."""
    scene = before("AuthReq")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    says(scene, forwarded(scene, preq_again(scene.market, paid, pan=pan)), AuthCode.piAuthMismatch)


def test_a_wallet_that_is_not_the_registered_one() -> None:
    """TransStain comes from another CardSecret: the issuer sees it, and only the issuer."""
    scene = before("AuthReq")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    data = forwarded(scene, preq_again(scene.market, paid, pi={"trans_stain": bytes(20)}))
    (event,) = scene.market.gateway.handle(data).events
    assert event.code is AuthCode.declined
    assert money(scene.market.account)[0] == 1000_00


def test_a_trans_stain_of_another_purchase() -> None:
    scene = before("AuthReq")
    other = taken_apart(scene.market, before("PReq", scene.market).data)
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    stain = other.link.pi_head.trans_stain
    (event,) = scene.market.gateway.handle(
        forwarded(scene, preq_again(scene.market, paid, pi={"trans_stain": stain}))
    ).events
    assert event.code is AuthCode.declined


# --- step 5: once ---------------------------------------------------------------------------------


@pytest.mark.prop("OT-2")
@pytest.mark.parametrize("so_far", ["AuthRes", "CapReq", "InqReq"])
def test_a_payment_instruction_authorises_once(so_far: str) -> None:
    scene = before("AuthReq")
    again = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes(20)})
    while scene.hand is not None and scene.hand.name != so_far:
        scene.deliver()
    kept = money(scene.market.account)
    (event,) = scene.market.gateway.handle(again).events
    assert event.code is AuthCode.piPreviouslyUsed
    assert money(scene.market.account) == kept


def test_a_declined_payment_instruction_may_be_tried_again() -> None:
    scene = before("AuthReq", Market.open(balance="EUR 10.00"))
    again = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes(20)})
    (event,) = scene.market.gateway.handle(scene.data).events
    assert event.code is AuthCode.declined
    scene.market.account.opening = CurrencyAmount.of("EUR 100.00")
    (event,) = scene.market.gateway.handle(again).events
    assert event.code is AuthCode.approved
    once_more = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes([1] * 20)})
    (event,) = scene.market.gateway.handle(once_more).events
    assert event.code is AuthCode.piPreviouslyUsed


def test_another_instruction_for_a_purchase_that_was_declined() -> None:
    """One XID at one merchant is one payment instruction."""
    scene = before("AuthReq", Market.open(balance="EUR 10.00"))
    scene.market.gateway.handle(scene.data)
    scene.market.account.opening = CurrencyAmount.of("EUR 100.00")
    paid = taken_apart(scene.market, scene.sent["PReq"].data)
    other = forwarded(scene, preq_again(scene.market, paid, oi={"rrpid": bytes(20)}, pan={"ex_nonce": bytes(32)}))
    received = opened(scene.market, "AuthReq", other)
    body = _with_rrpid(received.body)
    again = signed_again(
        scene.market.merchant,
        KIND["AuthReq"],
        body,
        scene.market.gateway.party,
        seal_to=scene.market.gateway,
        baggage=received.baggage,
    )
    (event,) = scene.market.gateway.handle(again).events
    assert event.code is AuthCode.piPreviouslyUsed


def _with_rrpid(body: Any) -> Any:
    return change(body, f"{TAGS}.auth_rr_tags.rrpid", bytes(20))


def test_a_used_instruction_is_known_under_its_digest_too() -> None:
    """The record of the authorisation is lost or filed elsewhere: HPIData still says that it was used."""
    scene = before("AuthReq")
    again = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes(20)})
    scene.deliver()
    store = scene.market.stores[P]
    store._tables = {key: value for key, value in snapshot(store).items() if key[0] != records.PURCHASES}
    (event,) = scene.market.gateway.handle(again).events
    assert event.code is AuthCode.piPreviouslyUsed


def test_use_survives_a_restart() -> None:
    scene = before("AuthReq")
    again = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes(20)})
    scene.deliver()
    market = restarted(scene.market, P)
    (event,) = market.gateway.handle(again).events
    assert event.code is AuthCode.piPreviouslyUsed


@pytest.mark.prop("OT-2", "OT-3")
def test_an_rrpid_that_another_merchant_used_brings_no_authorisation_of_its_own() -> None:
    """RRPIDs travel in clear, so a dishonest merchant can use the one of an authorisation that the issuer approved.

    It must not inherit that approval (no money is held for it), nor be able to capture what is held for the other.
    """
    first = before("AuthReq", amount="EUR 900.00")
    market = first.market
    rrpid = unwrap(first.data).header.rrpid
    first.deliver()
    crook = another_merchant(market)
    theirs = replace(market, merchant=crook, stores={**market.stores, Role.merchant: crook.store})
    second = before("AuthReq", theirs, "EUR 500.00", b"on credit")  # more than the EUR 100 that are left
    (event,) = market.gateway.handle(remade(second, {f"{TAGS}.auth_rr_tags.rrpid": rrpid})).events
    assert event.code is AuthCode.declined


@pytest.mark.prop("OT-2")
def test_an_rrpid_that_another_merchant_used_does_not_reach_that_merchants_money() -> None:
    """The dishonest merchant captures under the borrowed RRPID; the honest one still gets what is held for it."""
    first = before("CapReq", amount="EUR 900.00")
    market = first.market
    record = market.merchant.purchase(first.xid)
    (authorization,) = record.authorizations
    crook = another_merchant(market)
    theirs = replace(market, merchant=crook, stores={**market.stores, Role.merchant: crook.store})
    second = before("AuthReq", theirs, "EUR 50.00", b"a trifle")
    forged = remade(second, {f"{TAGS}.auth_rr_tags.rrpid": authorization.auth_rrpid})
    answer = auth_res(theirs, market.gateway.handle(forged))
    cap = before("CapReq", market, "EUR 1.00", b"for the form of a CapReq")
    body = opened(market, "CapReq", cap.data).body
    changes = {
        "cap_item_seq.0.trans_ids": answer.body.auth_tags.trans_ids,
        "cap_item_seq.0.auth_rrpid": authorization.auth_rrpid,
        "cap_item_seq.0.cap_payload.cap_req_amt": CurrencyAmount.of("EUR 50.00"),
        "cap_rr_tags.rrpid": bytes(20),
        "cap_rr_tags.mer_term_ids.merchant_id": crook.party.name,
        "cap_rr_tags.me_thumb": exchange_of(crook).thumbprint,
    }
    for path, new in changes.items():
        body = change(body, path, new)
    tokens = CapTokenSeq(tokens=[answer.baggage.cap_token or b""])
    to = market.gateway
    market.gateway.handle(signed_again(crook, KIND["CapReq"], body, to.party, seal_to=to, baggage=tokens))
    (event,) = market.gateway.handle(first.data).events
    assert event.code is CapCode.success
    assert sorted(amount.amount for amount in money(market.account)[2].values())[-1] == 900_00


@pytest.mark.parametrize(
    "code", [AuthCode.callIssuer, AuthCode.noReply, AuthCode.systemError, AuthCode.invalidTransaction]
)
def test_whatever_the_issuer_says_is_passed_on_and_is_no_use_of_the_instruction(code: AuthCode) -> None:
    class Undecided:
        def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
            assert "redacted" in repr(request)
            return AuthorizationDecision(code)

        def advise(self, advice: Advice) -> None:
            raise AssertionError("nothing is authorised")

    scene = before("AuthReq")
    again = remade(scene, {f"{TAGS}.auth_rr_tags.rrpid": bytes(20)})
    scene.market.gateway.issuer = Undecided()
    received = auth_res(scene.market, scene.market.gateway.handle(scene.data))
    assert received.body.auth_res_payload.auth_header.auth_code is code
    assert received.baggage.cap_token is None
    scene.market.gateway.issuer = scene.market.issuer
    (event,) = scene.market.gateway.handle(again).events
    assert event.code is AuthCode.approved


def test_a_bank_that_does_not_answer_uses_nothing_up() -> None:
    """Whether the question reached it or not, the merchant's repetition asks again, under the same reference."""
    scene = before("AuthReq")
    market = scene.market
    asked: list[bytes] = []

    class Silent:
        def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
            asked.append(request.reference)
            if len(asked) == 2:
                market.issuer.authorize(request)  # this time it is the answer that gets lost
            raise NoReply

        def advise(self, advice: Advice) -> None:
            raise AssertionError("nothing is authorised")

    kept = state(market)
    market.gateway.issuer = Silent()
    assert_refused(market.gateway.handle(scene.data), ErrorCode.unspecifiedFailure)
    assert state(market) == kept
    assert_refused(market.gateway.handle(scene.data), ErrorCode.unspecifiedFailure)
    assert snapshot(market.stores[P]) == kept[TRADERS.index(P)]
    market.gateway.issuer = market.issuer
    (event,) = market.gateway.handle(scene.data).events
    assert event.code is AuthCode.approved
    assert len(set(asked)) == 1
    assert [str(amount) for amount in money(market.account)[1].values()] == ["EUR 42.00"]


# --- the answer -----------------------------------------------------------------------------------


@pytest.mark.prop("PX-5", "PU-13")
def test_an_auth_res_names_merchant_purchase_amount_and_request() -> None:
    scene = before("AuthReq")
    request = opened(scene.market, "AuthReq", scene.data)
    received = auth_res(scene.market, scene.deliver())
    body = received.body
    assert body.head.recipient == scene.market.merchant.party
    assert body.request_digest == request.digest
    assert body.auth_tags == request.body.auth_req_item.auth_tags
    assert body.auth_res_payload.auth_header.auth_amt == scene.order.amount
    assert body.auth_res_payload.auth_header.response_data.approval_code == "000001"
    assert body.pe_thumb == exchange_of(scene.market.gateway).thumbprint


def test_certificates_that_the_merchant_holds_are_left_out() -> None:
    with_thumbs, without = before("AuthReq"), before("AuthReq")
    few = with_thumbs.deliver().outgoing[0].data
    many = without.market.gateway.handle(remade(without, {"m_thumbs": None})).outgoing[0].data
    assert len(few) < len(many) - 1000
    nonsense = before("AuthReq")
    thumbs = Thumbs(cert_thumbs=[bytes(32), b"x" * 32])
    assert nonsense.market.gateway.handle(remade(nonsense, {"m_thumbs": thumbs})).events[0].code is AuthCode.approved


def test_a_gateway_takes_no_messages_for_others() -> None:
    scene = whole()
    kept = state(scene.market)
    for message in scene.sent.values():
        if message.to is not P:
            assert_refused(scene.market.gateway.handle(message.data), ErrorCode.messageNotSupported)
    assert state(scene.market) == kept


@pytest.mark.prop("PX-2")
def test_the_gateway_never_gets_the_order_and_the_merchant_never_the_instruction() -> None:
    """Everything that each received, opened with its own keys, and everything that it kept."""
    order = b"four pounds of the finest unmarked order description"
    scene = begin(description=order)
    salts, seen = [], {Role.merchant: b"", Role.gateway: b""}
    while scene.hand is not None:
        name, data, to = scene.hand.name, scene.data, scene.hand.to
        if name == "PReq":
            paid = taken_apart(scene.market, data)
            salts.append(paid.oi_data.od_salt)
        if to is not Role.cardholder:
            kind: MessageType[Any] = opened(scene.market, name, data).body
            seen[to] += data + encode(kind)
        scene.deliver()
    for role in seen:
        kept = snapshot(scene.market.stores[role])
        seen[role] += b"".join(key + value for (_, key), value in kept.items())
    assert order not in seen[Role.gateway]
    assert salts[0] not in seen[Role.gateway], "with the salt, the gateway could try orders against HOD"
    assert order in seen[Role.merchant]
    head = paid.link.pi_head
    for secret in (head.trans_stain, paid.link.pi_salt, paid.pan_data.pan.encode(), paid.pan_data.pan_secret):
        assert secret not in seen[Role.merchant]
    assert encode(head) not in seen[Role.merchant]
