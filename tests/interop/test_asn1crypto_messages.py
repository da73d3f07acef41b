"""A second reader for every message: asn1crypto, with schemas written from the field trees and not from our classes.

Each message of a real purchase is opened with the real keys and read by both; every value must be the same, and
asn1crypto, which also accepts what is not DER, must give back exactly the octets that it read.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from asn1crypto import core, parser
from cryptography.x509 import ObjectIdentifier

from pki.der import GeneralizedTime, decode, encode
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import unseal
from setproto.messages import common
from setproto.messages.common import InstallRecurData, PartyID, Recurring, Role, SealContext, Thumbs
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import ID_CAP_REQ_TBS, ID_CAP_TOKEN_DATA
from setproto.messages.payment import CapTokenData, EncB
from setproto.messages.purchase import HODInput, PIData, PInitReq, PReq
from setproto.messages.registry import Operator
from setproto.messages.wrapper import unwrap
from tests.roles.scenes import KIND, STORY, Scene, before, opened, read_error, taken_apart, whole

OPTIONAL = {"optional": True}


def implicit(number: int) -> dict[str, Any]:
    return {"implicit": number, "optional": True}


class Seq(core.Sequence):  # type: ignore[misc]
    """Octet strings, texts, numbers and times by their short names, so that the schemas read like the trees."""


class Extension(Seq):
    _fields: ClassVar = [
        ("extn_id", core.ObjectIdentifier),
        ("critical", core.Boolean, {"default": False}),
        ("extn_value", core.OctetString),
    ]


class Extensions(core.SequenceOf):  # type: ignore[misc]
    _child_spec = Extension


class Digests(core.SequenceOf):  # type: ignore[misc]
    _child_spec = core.OctetString


class OIDs(core.SequenceOf):  # type: ignore[misc]
    _child_spec = core.ObjectIdentifier


class Party(Seq):
    _fields: ClassVar = [("role", core.Integer), ("brand", core.UTF8String), ("name", core.UTF8String)]


class Ids(Seq):
    _fields: ClassVar = [
        ("lid_c", core.OctetString, implicit(0)),
        ("lid_m", core.OctetString, implicit(1)),
        ("xid", core.OctetString, implicit(2)),
    ]


class Header(Seq):
    _fields: ClassVar = [
        ("version", core.Integer),
        ("revision", core.Integer),
        ("date", core.GeneralizedTime),
        ("message_ids", Ids),
        ("rrpid", core.OctetString, implicit(0)),
        ("sender", Party, implicit(1)),
        ("sw_ident", core.UTF8String),
    ]


class Head(Seq):
    _fields: ClassVar = [
        ("type", core.ObjectIdentifier),
        ("version", core.Integer),
        ("suite", core.UTF8String),
        ("sender", Party),
        ("recipient", Party),
        ("header_digest", core.OctetString, implicit(0)),
    ]


class Context(Seq):
    _fields: ClassVar = [
        ("type", core.ObjectIdentifier),
        ("version", core.Integer),
        ("suite", core.UTF8String),
        ("sender", Party),
        ("recipient", Party),
        ("xid", core.OctetString, implicit(0)),
        ("rrpid", core.OctetString, implicit(1)),
    ]


class Trans(Seq):
    _fields: ClassVar = [
        ("lid_c", core.OctetString),
        ("lid_m", core.OctetString),
        ("xid", core.OctetString),
        ("preq_date", core.GeneralizedTime),
        ("pay_sys_id", core.UTF8String, implicit(0)),
        ("language", core.UTF8String),
    ]


class Till(Seq):
    _fields: ClassVar = [("merchant_id", core.UTF8String), ("terminal_id", core.UTF8String, implicit(0))]


class Tags(Seq):
    _fields: ClassVar = [
        ("rrpid", core.OctetString),
        ("mer_term_ids", Till),
        ("date", core.GeneralizedTime),
        ("me_thumb", core.OctetString),
    ]


class Often(Seq):
    _fields: ClassVar = [("recurring_frequency", core.Integer), ("recurring_expiry", core.GeneralizedTime)]


class Plan(Seq):
    _fields: ClassVar = [("install_total_trans", core.Integer, implicit(0)), ("recurring", Often, implicit(1))]


class CertThumbs(Seq):
    _fields: ClassVar = [("cert_thumbs", Digests)]


class Money(Seq):
    _fields: ClassVar = [("currency", core.Integer), ("amount", core.Integer), ("amt_exp10", core.Integer)]


class Share(Seq):
    _fields: ClassVar = [("numerator", core.Integer, {"implicit": 0}), ("denominator", core.Integer, {"implicit": 1})]


class PInitRequest(Seq):
    _fields: ClassVar = [
        ("rrpid", core.OctetString),
        ("language", core.UTF8String),
        ("lid_c", core.OctetString),
        ("lid_m", core.OctetString),
        ("chall_c", core.OctetString),
        ("brand_id", core.UTF8String),
        ("thumbs", CertThumbs, implicit(0)),
        ("extensions", Extensions, implicit(1)),
    ]


class PInitResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("trans_ids", Trans),
        ("rrpid", core.OctetString),
        ("chall_c", core.OctetString),
        ("chall_m", core.OctetString),
        ("gateway_id", Party),
        ("pe_thumb", core.OctetString),
        ("thumbs", CertThumbs, implicit(0)),
        ("extensions", Extensions, implicit(1)),
    ]


class OrderInput(Seq):
    _fields: ClassVar = [
        ("od", core.OctetString),
        ("purch_amt", Money),
        ("od_salt", core.OctetString),
        ("install_recur_data", Plan, implicit(0)),
        ("od_extensions", Extensions, implicit(1)),
    ]


class Order(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("trans_ids", Trans),
        ("rrpid", core.OctetString),
        ("chall_c", core.OctetString),
        ("hod", core.OctetString),
        ("od_salt", core.OctetString),
        ("chall_m", core.OctetString),
        ("brand_id", core.UTF8String),
        ("merchant_id", Party),
        ("gateway_id", Party),
        ("pe_thumb", core.OctetString),
        ("od_ext_oids", OIDs, implicit(0)),
        ("extensions", Extensions, implicit(1)),
    ]


class Inputs(Seq):
    _fields: ClassVar = [("hod", core.OctetString), ("purch_amt", Money)]


class BackKey(Seq):
    _fields: ClassVar = [("acq_back_alg", core.ObjectIdentifier), ("acq_back_key", core.OctetString)]


class PaymentHead(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("trans_ids", Trans),
        ("inputs", Inputs),
        ("merchant_id", Party),
        ("gateway_id", Party),
        ("pe_thumb", core.OctetString),
        ("trans_stain", core.OctetString),
        ("sw_ident", core.UTF8String),
        ("install_recur_data", Plan, implicit(0)),
        ("acq_back_key_data", BackKey, implicit(1)),
        ("extensions", Extensions, implicit(2)),
    ]


class AccountData(Seq):
    _fields: ClassVar = [
        ("pan", core.UTF8String),
        ("card_expiry", core.UTF8String),
        ("pan_secret", core.OctetString),
        ("ex_nonce", core.OctetString),
    ]


class Payment(Seq):
    _fields: ClassVar = [("pi_head", PaymentHead), ("pan_data", AccountData)]


class Link(Seq):
    _fields: ClassVar = [("pi_head", PaymentHead), ("pi_salt", core.OctetString), ("hoi_data", core.OctetString)]


class Seals(Seq):
    _fields: ClassVar = [
        ("cardholder", Party),
        ("rrpid", core.OctetString),
        ("sealed_pi", core.OctetString),
        ("sealed_pan", core.OctetString),
    ]


class Instruction(Seq):
    _fields: ClassVar = [("seals", core.OctetString), ("pi_signature", core.OctetString)]


class Ordering(Seq):
    _fields: ClassVar = [
        ("oi_data", core.OctetString),
        ("oi_salt", core.OctetString),
        ("hpi_data", core.OctetString),
    ]


class PRequest(Seq):
    _fields: ClassVar = [("pi", Instruction), ("oi", Ordering)]


class AuthState(Seq):
    _fields: ClassVar = [("auth_date", core.GeneralizedTime), ("auth_code", core.Integer), ("auth_ratio", Share)]


class CapState(Seq):
    _fields: ClassVar = [("cap_date", core.GeneralizedTime), ("cap_code", core.Integer), ("cap_ratio", Share)]


class Outcome(Seq):
    _fields: ClassVar = [
        ("acq_card_msg", core.OctetString, implicit(0)),
        ("auth_status", AuthState, implicit(1)),
        ("cap_status", CapState, implicit(2)),
    ]


class Payload(Seq):
    _fields: ClassVar = [
        ("completion_code", core.Integer),
        ("results", Outcome, implicit(0)),
        ("extensions", Extensions, implicit(1)),
    ]


class Payloads(core.SequenceOf):  # type: ignore[misc]
    _child_spec = Payload


class PResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("trans_ids", Trans),
        ("rrpid", core.OctetString),
        ("chall_c", core.OctetString),
        ("pres_payload_seq", Payloads),
        ("extensions", Extensions, implicit(0)),
    ]


class Inquiry(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("trans_ids", Trans),
        ("rrpid", core.OctetString),
        ("chall_c2", core.OctetString),
        ("extensions", Extensions, implicit(0)),
    ]


class Baggaged(Seq):
    _fields: ClassVar = [("enc", core.OctetString), ("baggage", core.OctetString)]


class AuthTags(Seq):
    _fields: ClassVar = [("auth_rr_tags", Tags), ("trans_ids", Trans), ("auth_ret_num", core.Integer, implicit(0))]


class Checks(Seq):
    _fields: ClassVar = [("hoi_data", core.OctetString), ("hod2", core.OctetString)]


class Category(Seq):
    _fields: ClassVar = [("merch_cat_code", core.UTF8String, implicit(0))]


class AuthPayload(Seq):
    _fields: ClassVar = [
        ("subsequent_auth_ind", core.Boolean, {"default": False}),
        ("auth_req_amt", Money),
        ("install_recur_data", Plan, implicit(0)),
        ("merch_data", Category),
        ("extensions", Extensions, implicit(1)),
    ]


class AuthItem(Seq):
    _fields: ClassVar = [
        ("auth_tags", AuthTags),
        ("check_digests", Checks, implicit(0)),
        ("auth_req_payload", AuthPayload),
    ]


class AuthRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("auth_req_item", AuthItem),
        ("m_thumbs", CertThumbs, implicit(0)),
        ("capture_now", core.Boolean, {"default": False}),
        ("extensions", Extensions, implicit(1)),
    ]


class Response(Seq):
    _fields: ClassVar = [("approval_code", core.UTF8String, implicit(0)), ("log_ref_id", core.UTF8String, implicit(1))]


class AuthHeader(Seq):
    _fields: ClassVar = [("auth_amt", Money), ("auth_code", core.Integer), ("response_data", Response)]


class CapAnswer(Seq):
    _fields: ClassVar = [
        ("cap_code", core.Integer),
        ("cap_amt", Money),
        ("batch_id", core.Integer, implicit(0)),
        ("batch_sequence_num", core.Integer, implicit(1)),
    ]


class AuthAnswer(Seq):
    _fields: ClassVar = [("auth_header", AuthHeader), ("cap_res_payload", CapAnswer, implicit(0))]


class AuthResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("request_digest", core.OctetString),
        ("auth_tags", AuthTags),
        ("pe_thumb", core.OctetString, implicit(0)),
        ("auth_res_payload", AuthAnswer),
        ("extensions", Extensions, implicit(1)),
    ]


class Token(Seq):
    _fields: ClassVar = [("cap_token", core.OctetString, implicit(0)), ("acq_card_msg", core.OctetString, implicit(1))]


class TokenData(Seq):
    _fields: ClassVar = [
        ("xid", core.OctetString),
        ("auth_rrpid", core.OctetString),
        ("merchant_id", core.UTF8String),
        ("auth_amt", Money),
    ]


class CapWish(Seq):
    _fields: ClassVar = [("cap_date", core.GeneralizedTime), ("cap_req_amt", Money)]


class CapItem(Seq):
    _fields: ClassVar = [("trans_ids", Trans), ("auth_rrpid", core.OctetString), ("cap_payload", CapWish)]


class CapItems(core.SequenceOf):  # type: ignore[misc]
    _child_spec = CapItem


class CapRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("cap_rr_tags", Tags),
        ("m_thumbs", CertThumbs, implicit(0)),
        ("cap_item_seq", CapItems),
        ("extensions", Extensions, implicit(1)),
    ]


class Tokens(Seq):
    _fields: ClassVar = [("tokens", Digests)]


class CapResult(Seq):
    _fields: ClassVar = [("trans_ids", Trans), ("auth_rrpid", core.OctetString), ("cap_res_payload", CapAnswer)]


class CapResults(core.SequenceOf):  # type: ignore[misc]
    _child_spec = CapResult


class CapResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("cap_rr_tags", Tags),
        ("pe_thumb", core.OctetString, implicit(0)),
        ("cap_res_item_seq", CapResults),
        ("extensions", Extensions, implicit(1)),
    ]


class ErrorBody(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("error_code", core.Integer),
        ("error_nonce", core.OctetString),
        ("error_oid", core.ObjectIdentifier, implicit(0)),
        ("error_thumb", core.OctetString, implicit(1)),
        ("message_header", core.OctetString, implicit(2)),
        ("bad_wrapper", core.OctetString, implicit(3)),
    ]


class ErrorChoice(Seq):
    _fields: ClassVar = [("signed_error", core.OctetString, implicit(0)), ("unsigned_error", ErrorBody, implicit(1))]


BODIES: Mapping[str, type[Seq]] = {
    "PInitReq": PInitRequest,
    "PInitRes": PInitResponse,
    "PReq": Order,
    "PRes": PResponse,
    "InqReq": Inquiry,
    "InqRes": PResponse,
    "AuthReq": AuthRequest,
    "AuthRes": AuthResponse,
    "CapReq": CapRequest,
    "CapRes": CapResponse,
}
BAGGAGE: Mapping[str, type[Seq]] = {"PReq": Instruction, "AuthReq": Instruction, "AuthRes": Token, "CapReq": Tokens}


def plain(value: Any) -> Any:
    """One of our values as dictionaries, lists, numbers, octets and texts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, ObjectIdentifier):
        return value.dotted_string
    if isinstance(value, GeneralizedTime):
        return value.as_datetime()
    if isinstance(value, enum.IntEnum):
        return int(value)
    return value


def native(value: Any) -> Any:
    """One of asn1crypto's values likewise."""
    if isinstance(value, core.Void):
        return None
    if isinstance(value, core.Sequence):
        return {name: native(value[name]) for name, *_ in value._fields}
    if isinstance(value, core.SequenceOf):
        return [native(item) for item in value]
    if isinstance(value, core.ObjectIdentifier):
        return value.dotted
    return value.native


def assert_same(schema: type[Seq], data: bytes, value: Any) -> None:
    """Both readers see the same values in these octets, and asn1crypto would write them the same way."""
    read = schema.load(data, strict=True)
    assert native(read) == plain(value)
    assert read.dump(force=True) == data
    assert encode(value) == data


@pytest.fixture(scope="module")
def scene() -> Scene:
    return whole()


@pytest.mark.parametrize("name", STORY)
def test_a_message_is_the_same_to_both_readers(scene: Scene, name: str) -> None:
    market, data = scene.market, scene.sent[name].data
    wire, kind = unwrap(data, market.clock()), KIND[name]

    # MessageWrapper: a header and one explicitly tagged message.  asn1crypto's core classes insist on parsing what
    # is inside a tag, so the wrapper is taken apart with its parser.
    _, _, sequence, _, contents, _ = parser.parse(data, strict=True)
    assert sequence == 16
    size = parser.peek(contents)
    assert_same(Header, contents[:size], wire.header)
    class_, method, tag, _, inside, _ = parser.parse(contents[size:], strict=True)
    assert (class_, method, tag, inside) == (2, 1, kind.tag, wire.body)

    received = opened(market, name, data)
    assert_same(BODIES[name], encode(received.body), received.body)
    if kind.baggage is not None:
        assert_same(BAGGAGE[name], encode(received.baggage), received.baggage)
    if kind.operator is Operator.ENCB:
        outer = decode(EncB, wire.body)
        assert_same(Baggaged, wire.body, outer)
        assert outer.baggage == encode(received.baggage)
    if kind.operator is Operator.PLAIN:
        assert_same(PInitRequest, wire.body, decode(PInitReq, wire.body))


def test_a_payment_instruction_is_the_same_to_both_readers(scene: Scene) -> None:
    data = scene.sent["PReq"].data
    wire, paid = unwrap(data, scene.market.clock()), taken_apart(scene.market, data)
    preq = decode(PReq, wire.body)
    assert_same(PRequest, wire.body, preq)
    assert_same(Order, preq.oi.oi_data, paid.oi_data)
    assert_same(Seals, preq.pi.seals, paid.seals)
    assert_same(Link, encode(paid.link), paid.link)
    assert_same(AccountData, encode(paid.pan_data), paid.pan_data)
    whole_payment = PIData(pi_head=paid.link.pi_head, pan_data=paid.pan_data)
    assert_same(Payment, encode(whole_payment), whole_payment)


def test_a_capture_token_is_the_same_to_both_readers(scene: Scene) -> None:
    gateway = scene.market.gateway
    (token,) = opened(scene.market, "CapReq", scene.sent["CapReq"].data).baggage.tokens
    record = scene.market.merchant.purchase(scene.xid)
    assert record.authorization is not None
    context = gateway.context(ID_CAP_TOKEN_DATA, gateway.party, gateway.party, scene.xid, record.authorization.rrpid)
    inside = unseal(token, gateway._token_key, context=context).content
    assert_same(TokenData, inside, decode(CapTokenData, inside))


def test_an_error_is_the_same_to_both_readers() -> None:
    scene = before("AuthReq")
    for broken in (scene.data[:-1] + b"?", b"?"):
        (message,) = scene.market.gateway.handle(broken).outgoing
        body = read_error(message)
        assert_same(ErrorBody, encode(body), body)
        wire = unwrap(message.data, scene.market.clock())
        assert_same(ErrorChoice, wire.body, decode(Error, wire.body))
        unsigned = Error(unsigned_error=ErrorTBS(head=body.head, error_code=8, error_nonce=bytes(32)))
        assert_same(ErrorChoice, encode(unsigned), unsigned)


def test_what_a_plain_purchase_does_not_have_is_the_same_too() -> None:
    """Optional parts, extensions, and what is only hashed or bound."""
    scene = before("InqRes")
    now = opened(scene.market, "InqReq", scene.sent["InqReq"].data).body.trans_ids.preq_date
    party = PartyID(role=Role.gateway, brand="Märque", name="gw")
    once = InstallRecurData(install_total_trans=300)
    often = InstallRecurData(recurring=Recurring(recurring_frequency=28, recurring_expiry=now))
    extension = common.Extension(extn_id=ID_CAP_REQ_TBS, critical=True, extn_value=bytes(200))
    amount = CurrencyAmount(currency=999, amount=10**18, amt_exp10=-6)
    for plan in (once, often):
        assert_same(Plan, encode(plan), plan)
        order = HODInput(
            od=b"", purch_amt=amount, od_salt=bytes(32), install_recur_data=plan, od_extensions=[extension]
        )
        assert_same(OrderInput, encode(order), order)
    asked = decode(PInitReq, unwrap(scene.sent["PInitReq"].data, scene.market.clock()).body)
    asked = dataclasses.replace(
        asked, thumbs=Thumbs(cert_thumbs=[bytes(32)] * 32), extensions=[dataclasses.replace(extension, critical=False)]
    )
    assert_same(PInitRequest, encode(asked), asked)
    for ids in ({}, {"xid": bytes(20)}, {"rrpid": bytes(20)}, {"xid": bytes(20), "rrpid": bytes(20)}):
        context = SealContext(type=ID_CAP_REQ_TBS, version=2, suite="mldsa65", sender=party, recipient=party, **ids)
        assert_same(Context, encode(context), context)
