"""A second reader for every message: asn1crypto, with schemas written from the field trees and not from our classes.

Each message of a real purchase is opened with the real keys and read by both; every value must be the same, and
asn1crypto, which also accepts what is not DER, must give back exactly the octets that it read.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from asn1crypto import cms, core, keys, parser
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509 import ObjectIdentifier

from pki.der import GeneralizedTime, decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import unseal
from setproto.market import Market
from setproto.messages import common
from setproto.messages.batch import ReturnTransactionDetail
from setproto.messages.codes import AcqCardCode, BatchOperation, CertStatusCode
from setproto.messages.common import BodyHead, InstallRecurData, PartyID, Recurring, Role, SealContext, Thumbs
from setproto.messages.distribution import BCIDistributionTBS, CRLNotificationResTBS, CRLNotificationTBS
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import (
    ID_AUTH_TOKEN_PAN,
    ID_AUTH_TOKEN_TBS,
    ID_BCI_DISTRIBUTION_TBS,
    ID_CAP_REQ_TBS,
    ID_CAP_TOKEN_DATA,
)
from setproto.messages.payment import AcqCardCodeMsg, AuthToken, AuthTokenData, CapTokenData, EncB, PANToken
from setproto.messages.purchase import HODInput, PIData, PInitReq, PReq
from setproto.messages.registration import (
    AcctData,
    CaMsg,
    CertResWire,
    CertStatus,
    FailedItem,
    KeySigned,
    PANData0,
    PANOnly,
    ReferralData,
    RegField,
    RegFormData,
    RegTemplate,
    SealedPair,
)
from setproto.messages.registry import MessageType, Operator
from setproto.messages.wrapper import Wire, unwrap
from setproto.roles.cardholder import Order as AgreedOrder
from tests.messages.registrations import INITIAL, registered
from tests.registration.office import NOW
from tests.roles.scenes import KIND, LONG_STORY, Scene, before, opened, read_error, taken_apart, whole

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


class Prints(Seq):
    _fields: ClassVar = [
        ("cert_thumbs", Digests, implicit(0)),
        ("crl_thumbs", Digests, implicit(1)),
        ("brand_crl_id_thumbs", Digests, implicit(2)),
    ]


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
        ("thumbs", Prints, implicit(0)),
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
        ("thumbs", Prints, implicit(0)),
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


class CreditState(Seq):
    _fields: ClassVar = [
        ("credit_date", core.GeneralizedTime),
        ("cap_rev_or_cred_code", core.Integer),
        ("credit_ratio", Share),
    ]


class CreditStates(core.SequenceOf):  # type: ignore[misc]
    _child_spec = CreditState


class Outcome(Seq):
    _fields: ClassVar = [
        ("acq_card_msg", core.OctetString, implicit(0)),
        ("auth_status", AuthState, implicit(1)),
        ("cap_status", CapState, implicit(2)),
        ("cred_status_seq", CreditStates, implicit(3)),
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


class Sale(Seq):
    _fields: ClassVar = [("batch_id", core.Integer, implicit(0)), ("mer_order_num", core.UTF8String, implicit(1))]


class Again(Seq):
    _fields: ClassVar = [
        ("auth_rrpid", core.OctetString),
        ("sealed_token", core.OctetString),
        ("sealed_pan", core.OctetString),
    ]


class PayBy(Seq):
    _fields: ClassVar = [("pi", Instruction, implicit(0)), ("auth_token", Again, implicit(1))]


class AuthRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("auth_req_item", AuthItem),
        ("m_thumbs", Prints, implicit(0)),
        ("capture_now", core.Boolean, {"default": False}),
        ("sale_detail", Sale, implicit(1)),
        ("extensions", Extensions, implicit(2)),
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
        ("pe_thumb", core.OctetString),
        ("auth_res_payload", AuthAnswer),
        ("extensions", Extensions, implicit(0)),
    ]


class Token(Seq):
    _fields: ClassVar = [
        ("cap_token", core.OctetString, implicit(0)),
        ("acq_card_msg", core.OctetString, implicit(1)),
        ("auth_token", Again, implicit(2)),
    ]


class TokenData(Seq):
    _fields: ClassVar = [
        ("xid", core.OctetString),
        ("auth_rrpid", core.OctetString),
        ("merchant_id", core.UTF8String),
        ("auth_amt", Money),
    ]


class CapWish(Seq):
    _fields: ClassVar = [
        ("cap_date", core.GeneralizedTime),
        ("cap_req_amt", Money),
        ("cap_num", core.Integer),
        ("sale_detail", Sale, implicit(0)),
    ]


class CapItem(Seq):
    _fields: ClassVar = [("trans_ids", Trans), ("auth_rrpid", core.OctetString), ("cap_payload", CapWish)]


class CapItems(core.SequenceOf):  # type: ignore[misc]
    _child_spec = CapItem


class CapRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("cap_rr_tags", Tags),
        ("m_thumbs", Prints, implicit(0)),
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
        ("pe_thumb", core.OctetString),
        ("cap_res_item_seq", CapResults),
        ("extensions", Extensions, implicit(0)),
    ]


class AgainData(Seq):
    _fields: ClassVar = [
        ("xid", core.OctetString),
        ("lid_c", core.OctetString),
        ("lid_m", core.OctetString),
        ("merchant_id", core.UTF8String),
        ("purch_amt", Money),
        ("hpi_data", core.OctetString),
        ("trans_stain", core.OctetString),
        ("generation", core.Integer),
        ("prev_auth_date_time", core.GeneralizedTime),
        ("total_auth_amount", Money),
        ("install_recur_data", Plan, implicit(0)),
    ]


class AgainAccount(Seq):
    _fields: ClassVar = [
        ("pan", core.UTF8String),
        ("card_expiry", core.UTF8String),
        ("ex_nonce", core.OctetString),
    ]


class CardMessage(Seq):
    _fields: ClassVar = [
        ("acq_card_code", core.Integer),
        ("acq_card_text", core.UTF8String, implicit(0)),
        ("acq_card_url", core.UTF8String, implicit(1)),
        ("acq_card_phone", core.UTF8String, implicit(2)),
    ]


class AuthReversal(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("auth_rev_rr_tags", Tags),
        ("trans_ids", Trans),
        ("auth_rrpid", core.OctetString),
        ("m_thumbs", Prints, implicit(0)),
        ("auth_new_amt", Money),
        ("extensions", Extensions, implicit(1)),
    ]


class AuthReversed(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("request_digest", core.OctetString),
        ("auth_rev_rr_tags", Tags),
        ("trans_ids", Trans),
        ("auth_rrpid", core.OctetString),
        ("pe_thumb", core.OctetString),
        ("auth_rev_code", core.Integer),
        ("auth_new_amt", Money),
        ("extensions", Extensions, implicit(0)),
    ]


class ClearItem(Seq):
    _fields: ClassVar = [
        ("trans_ids", Trans),
        ("auth_rrpid", core.OctetString),
        ("cap_num", core.Integer),
        ("cred_num", core.Integer, implicit(0)),
        ("new_batch_id", core.Integer, implicit(1)),
        ("date", core.GeneralizedTime),
        ("amount", Money),
    ]


class ClearItems(core.SequenceOf):  # type: ignore[misc]
    _child_spec = ClearItem


class ClearRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("baggage_digest", core.OctetString),
        ("rr_tags", Tags),
        ("m_thumbs", Prints, implicit(0)),
        ("item_seq", ClearItems),
        ("extensions", Extensions, implicit(1)),
    ]


class ClearResult(Seq):
    _fields: ClassVar = [
        ("trans_ids", Trans),
        ("auth_rrpid", core.OctetString),
        ("code", core.Integer),
        ("actual_amt", Money),
        ("batch_id", core.Integer, implicit(0)),
        ("batch_sequence_num", core.Integer, implicit(1)),
    ]


class ClearResults(core.SequenceOf):  # type: ignore[misc]
    _child_spec = ClearResult


class ClearResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("rr_tags", Tags),
        ("pe_thumb", core.OctetString),
        ("res_item_seq", ClearResults),
        ("extensions", Extensions, implicit(0)),
    ]


class Names(core.SequenceOf):  # type: ignore[misc]
    _child_spec = core.UTF8String


class CertRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("pcert_rr_tags", Tags),
        ("m_thumbs", Prints, implicit(0)),
        ("brand_seq", Names),
        ("extensions", Extensions, implicit(1)),
    ]


class CertItem(Seq):
    _fields: ClassVar = [("pcert_code", core.Integer), ("cert_thumb", core.OctetString, implicit(0))]


class CertItems(core.SequenceOf):  # type: ignore[misc]
    _child_spec = CertItem


class CertResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("pcert_rr_tags", Tags),
        ("pcert_res_items", CertItems),
        ("extensions", Extensions, implicit(0)),
    ]


class Totals(Seq):
    _fields: ClassVar = [
        ("transaction_count_credit", core.Integer),
        ("transaction_total_amt_credit", Money),
        ("transaction_count_debit", core.Integer),
        ("transaction_total_amt_debit", Money),
    ]


class BrandTotals(Seq):
    _fields: ClassVar = [("brand_id", core.UTF8String), ("batch_totals", Totals)]


class BrandsTotals(core.SequenceOf):  # type: ignore[misc]
    _child_spec = BrandTotals


class Closed(Seq):
    _fields: ClassVar = [("close_status", core.Integer), ("close_date_time", core.GeneralizedTime)]


class BatchState(Seq):
    _fields: ClassVar = [
        ("open_date_time", core.GeneralizedTime),
        ("closed_when", Closed, implicit(0)),
        ("batch_totals", Totals, implicit(1)),
        ("brand_batch_details_seq", BrandsTotals, implicit(2)),
    ]


class Detail(Seq):
    _fields: ClassVar = [
        ("trans_ids", Trans),
        ("auth_rrpid", core.OctetString),
        ("brand_id", core.UTF8String),
        ("batch_sequence_num", core.Integer),
        ("transaction_amt", Money),
        ("transaction_amt_type", core.Integer),
        ("transaction_status", core.Integer),
    ]


class DetailSeq(core.SequenceOf):  # type: ignore[misc]
    _child_spec = Detail


class Page(Seq):
    _fields: ClassVar = [("next_starting_point", core.Integer), ("transaction_detail_seq", DetailSeq)]


class PageWish(Seq):
    _fields: ClassVar = [
        ("starting_point", core.Integer),
        ("maximum_items", core.Integer),
        ("errors_only_ind", core.Boolean, {"default": False}),
        ("brand_id", core.UTF8String, implicit(0)),
    ]


class BatchRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("batch_admin_rr_tags", Tags),
        ("m_thumbs", Prints, implicit(0)),
        ("batch_id", core.Integer),
        ("brand_seq", Names, implicit(1)),
        ("batch_operation", core.Integer, OPTIONAL),
        ("return_batch_summary_ind", core.Boolean, {"default": False}),
        ("return_transaction_detail", PageWish, implicit(2)),
        ("batch_status", BatchState, implicit(3)),
        ("extensions", Extensions, implicit(4)),
    ]


class BatchResponse(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("batch_admin_rr_tags", Tags),
        ("pe_thumb", core.OctetString),
        ("batch_id", core.Integer),
        ("ba_status", core.Integer),
        ("batch_status", BatchState, implicit(0)),
        ("transmission_status", core.Integer, OPTIONAL),
        ("trans_details", Page, implicit(1)),
        ("extensions", Extensions, implicit(2)),
        ("purged_below", core.Integer, implicit(3)),
    ]


# Registration (§2.15–2.19).


class PANAlone(Seq):
    _fields: ClassVar = [("pan", core.UTF8String), ("ex_nonce", core.OctetString)]


class PANForRegistration(Seq):
    _fields: ClassVar = [
        ("pan", core.UTF8String),
        ("card_expiry", core.UTF8String),
        ("card_secret", core.OctetString),
        ("ex_nonce", core.OctetString),
    ]


class BusinessAccount(Seq):
    _fields: ClassVar = [("acct_identification", core.UTF8String), ("ex_nonce", core.OctetString)]


class Pair(Seq):
    _fields: ClassVar = [("sealed", core.OctetString), ("sealed_account", core.OctetString, implicit(0))]


class ByKeys(Seq):
    _fields: ClassVar = [
        ("content", core.OctetString),
        ("by_new_key", core.OctetString, implicit(0)),
        ("by_certified_key", core.OctetString, implicit(1)),
    ]


class Answer(Seq):
    _fields: ClassVar = [("signed", core.OctetString, implicit(0)), ("sealed", core.OctetString, implicit(1))]


class FormField(Seq):
    _fields: ClassVar = [
        ("field_id", core.ObjectIdentifier, implicit(0)),
        ("field_name", core.UTF8String),
        ("field_desc", core.UTF8String, implicit(1)),
        ("field_len", core.Integer, implicit(2)),
        ("field_required", core.Boolean, {"default": False}),
        ("field_invisible", core.Boolean, {"implicit": 3, "default": False}),
    ]


class FormFields(core.SequenceOf):  # type: ignore[misc]
    _child_spec = FormField


class Template(Seq):
    _fields: ClassVar = [
        ("reg_form_id", core.Integer),
        ("brand_logo_url", core.UTF8String, implicit(0)),
        ("card_logo_url", core.UTF8String, implicit(1)),
        ("reg_field_seq", FormFields),
    ]


class FormData(Seq):
    _fields: ClassVar = [("reg_template", Template, implicit(0)), ("policy_text", core.UTF8String)]


class Referral(Seq):
    _fields: ClassVar = [("reason", core.UTF8String, implicit(0)), ("referral_url_seq", Names, implicit(1))]


class FormOrReferral(Seq):
    _fields: ClassVar = [("reg_form_data", FormData, implicit(0)), ("referral_data", Referral, implicit(1))]


class FormItem(Seq):
    _fields: ClassVar = [("field_name", core.UTF8String), ("field_value", core.UTF8String)]


class FormItems(core.SequenceOf):  # type: ignore[misc]
    _child_spec = FormItem


class AtAcquirer(Seq):
    _fields: ClassVar = [("merchant_bin", core.UTF8String), ("merchant_id", core.UTF8String)]


class OfAcquirer(Seq):
    _fields: ClassVar = [("acquirer_bin", core.UTF8String), ("acquirer_business_id", core.UTF8String)]


class WantedName(Seq):
    _fields: ClassVar = [
        ("merchant_acquirer_id", AtAcquirer, implicit(0)),
        ("acquirer_id", OfAcquirer, implicit(1)),
    ]


class CardInit(Seq):
    _fields: ClassVar = [
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee", core.OctetString),
        ("brand_id", core.UTF8String),
        ("thumbs", Prints, implicit(0)),
    ]


class CardInitAnswer(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee", core.OctetString),
        ("cae_thumb", core.OctetString),
        ("thumbs", Prints, implicit(0)),
    ]


class BusinessInit(Seq):
    _fields: ClassVar = [
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee", core.OctetString),
        ("request_type", core.Integer),
        ("id_data", WantedName),
        ("brand_id", core.UTF8String),
        ("language", core.UTF8String),
        ("public_key_e", core.OctetString, implicit(0)),
        ("thumbs", Prints, implicit(1)),
    ]


class BusinessInitAnswer(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee", core.OctetString),
        ("lid_ca", core.OctetString),
        ("chall_ca", core.OctetString),
        ("request_type", core.Integer),
        ("reg_form_or_referral", FormOrReferral),
        ("acct_data_field", FormField, implicit(0)),
        ("cae_thumb", core.OctetString),
        ("sealed_key_challenge", core.OctetString, implicit(1)),
        ("thumbs", Prints, implicit(2)),
    ]


class FormRequest(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee2", core.OctetString),
        ("request_type", core.Integer),
        ("language", core.UTF8String),
        ("account_digest", core.OctetString),
        ("thumbs", Prints, implicit(0)),
    ]


class FormAnswer(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee2", core.OctetString),
        ("lid_ca", core.OctetString),
        ("chall_ca", core.OctetString),
        ("cae_thumb", core.OctetString),
        ("request_type", core.Integer),
        ("reg_form_or_referral", FormOrReferral),
        ("thumbs", Prints, implicit(0)),
    ]


class CABackKey(Seq):
    _fields: ClassVar = [("ca_alg_id", core.ObjectIdentifier), ("ca_key", core.OctetString)]


class CertificateWish(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee3", core.OctetString),
        ("lid_ca", core.OctetString),
        ("chall_ca", core.OctetString),
        ("request_type", core.Integer),
        ("request_date", core.GeneralizedTime),
        ("id_data", WantedName, implicit(0)),
        ("reg_form_id", core.Integer),
        ("reg_form", FormItems, implicit(1)),
        ("ca_back_key_data", CABackKey, implicit(2)),
        ("public_key_s", core.OctetString, implicit(3)),
        ("public_key_e", core.OctetString, implicit(4)),
        ("key_proof", core.OctetString, implicit(5)),
        ("ee_thumb", core.OctetString, implicit(6)),
        ("account_digest", core.OctetString, implicit(7)),
        ("thumbs", Prints, implicit(8)),
    ]


class Failed(Seq):
    _fields: ClassVar = [("item_number", core.Integer), ("item_reason", core.UTF8String)]


class FailedItems(core.SequenceOf):  # type: ignore[misc]
    _child_spec = Failed


class Told(Seq):
    _fields: ClassVar = [
        ("card_logo_url", core.UTF8String, implicit(0)),
        ("brand_logo_url", core.UTF8String, implicit(1)),
        ("card_currency", core.Integer, implicit(2)),
        ("cardholder_msg", core.UTF8String, implicit(3)),
    ]


class Status(Seq):
    _fields: ClassVar = [
        ("cert_status_code", core.Integer),
        ("nonce_cca", core.OctetString, implicit(0)),
        ("ee_message", core.UTF8String, implicit(1)),
        ("ca_msg", Told, implicit(2)),
        ("failed_item_seq", FailedItems, implicit(3)),
    ]


class CertificateAnswer(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("request_digest", core.OctetString),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee3", core.OctetString),
        ("lid_ca", core.OctetString),
        ("cert_status", Status),
        ("cert_thumbs", Digests, implicit(0)),
        ("thumbs", Prints, implicit(1)),
    ]


class CertificateInquiry(Seq):
    _fields: ClassVar = [
        ("head", Head),
        ("rrpid", core.OctetString),
        ("lid_ee", core.OctetString),
        ("chall_ee3", core.OctetString),
        ("lid_ca", core.OctetString),
    ]


# Distribution of revocation data (§2.21).


class CRLNote(Seq):
    _fields: ClassVar = [("head", Head), ("date", core.GeneralizedTime), ("crl_thumbprint", core.OctetString)]


class BCINote(Seq):
    _fields: ClassVar = [("head", Head), ("date", core.GeneralizedTime), ("bci_thumbprint", core.OctetString)]


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
    "AuthRevReq": AuthReversal,
    "AuthRevRes": AuthReversed,
    **dict.fromkeys(("CapRevReq", "CredReq", "CredRevReq"), ClearRequest),
    **dict.fromkeys(("CapRevRes", "CredRes", "CredRevRes"), ClearResponse),
    "PCertReq": CertRequest,
    "PCertRes": CertResponse,
    "BatchAdminReq": BatchRequest,
    "BatchAdminRes": BatchResponse,
    "CardCInitReq": CardInit,
    "CardCInitRes": CardInitAnswer,
    "Me-AqCInitReq": BusinessInit,
    "Me-AqCInitRes": BusinessInitAnswer,
    "RegFormReq": FormRequest,
    "RegFormRes": FormAnswer,
    "CertReq": CertificateWish,
    "CertInqReq": CertificateInquiry,
    **dict.fromkeys(("CertRes", "CertInqRes"), CertificateAnswer),
}
BAGGAGE: Mapping[str, type[Seq]] = {
    "PReq": Instruction,
    "AuthReq": PayBy,
    **dict.fromkeys(("AuthRes", "AuthRevRes"), Token),
    **dict.fromkeys(("CapReq", "CapRevReq", "CredReq", "CredRevReq", "AuthRevReq"), Tokens),
}
PARTS: Mapping[type, type[Seq]] = {
    SealedPair: Pair,
    KeySigned: ByKeys,
    CertResWire: Answer,
    PANOnly: PANAlone,
    PANData0: PANForRegistration,
    AcctData: BusinessAccount,
}
"""What messages of a registration have beside their bodies."""


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
    return whole(goes_on=True)


def test_every_message_has_a_second_reader() -> None:
    assert set(BODIES) == set(KIND)
    assert set(BAGGAGE) == {name for name, kind in KIND.items() if kind.baggage is not None}


def assert_same_wrapper(data: bytes, kind: MessageType[Any]) -> Wire:
    """MessageWrapper: a header and one explicitly tagged message.

    asn1crypto's core classes insist on parsing what is inside a tag, so the wrapper is taken apart with its parser.
    """
    wire = unwrap(data)
    _, _, sequence, _, contents, _ = parser.parse(data, strict=True)
    assert sequence == 16
    size = parser.peek(contents)
    assert_same(Header, contents[:size], wire.header)
    class_, method, tag, _, inside, _ = parser.parse(contents[size:], strict=True)
    assert (class_, method, tag, inside) == (2, 1, kind.tag, wire.body)
    return wire


@pytest.mark.parametrize("name", LONG_STORY)
def test_a_message_is_the_same_to_both_readers(scene: Scene, name: str) -> None:
    market, data = scene.market, scene.sent[name].data
    kind = KIND[name]
    wire = assert_same_wrapper(data, kind)
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


@pytest.mark.parametrize("role", INITIAL, ids=lambda role: role.name)
def test_a_registration_is_the_same_to_both_readers(role: Role) -> None:
    for message in registered(role):
        wire = assert_same_wrapper(message.data, message.kind)
        assert_same(BODIES[message.kind.name], encode(message.body), message.body)
        for part in message.more:
            assert_same(PARTS[type(part)], encode(part), part)
        if message.kind.operator is not Operator.S:  # whose wire form is the SignedData itself
            outer = message.body if message.kind.operator is Operator.PLAIN else message.more[0]
            assert wire.body == encode(outer)


@pytest.mark.parametrize("role", INITIAL, ids=lambda role: role.name)
def test_a_key_proves_itself_in_signed_data_without_certificates(role: Role) -> None:
    """As asn1crypto reads it: a detached SignedData of version 3, whose signer is named by its key identifier."""
    proofs = 0
    for message in registered(role):
        for signed in (part for part in message.more if isinstance(part, KeySigned)):
            assert signed.by_new_key is not None
            info = cms.ContentInfo.load(signed.by_new_key, strict=True)
            assert info.dump(force=True) == signed.by_new_key
            assert info["content_type"].native == "signed_data"
            assert (info["content"]["version"].native, info["content"]["certificates"].native) == ("v3", None)
            assert info["content"]["crls"].native is None
            encapsulated = info["content"]["encap_content_info"]
            assert encapsulated["content_type"].dotted == message.kind.content_type.dotted_string
            assert encapsulated["content"].native is None
            (signer,) = info["content"]["signer_infos"]
            if message.kind.name == "CertReq":
                key = load_der_public_key(message.body.public_key_s)
            point = keys.PublicKeyInfo.load(encode_key(key), strict=True)["public_key"].native
            assert signer["sid"].chosen.native == hashlib.sha256(point).digest()[:20]  # RFC 7093 §2, method 1
            attributes = {attribute["type"].native: attribute["values"][0] for attribute in signer["signed_attrs"]}
            assert list(attributes) == ["content_type", "cms_algorithm_protection", "message_digest"]
            assert attributes["message_digest"].native == hashlib.sha256(signed.content).digest()
            to_be_signed = signer["signed_attrs"].untag().dump(force=True)
            key.verify(signer["signature"].native, to_be_signed, ec.ECDSA(hashes.SHA256()))
            proofs += 1
    assert proofs == 6, "two requests and an inquiry, twice"


def encode_key(key: Any) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def test_what_a_registration_can_have_besides_is_the_same_to_both_readers() -> None:
    field = RegField(
        field_id=ID_CAP_REQ_TBS,
        field_name="Straße",
        field_desc="where you live",
        field_len=300,
        field_required=True,
        field_invisible=True,
    )
    told = CaMsg(card_logo_url="c", brand_logo_url="b", card_currency=978, cardholder_msg="Grüße")
    failed = [FailedItem(item_number=200, item_reason="too long"), FailedItem(item_number=0, item_reason="unknown")]
    status = CertStatus(
        cert_status_code=CertStatusCode.regFormAnswerMalformed,
        nonce_cca=bytes(32),
        ee_message="once more, please",
        ca_msg=told,
        failed_item_seq=failed,
    )
    template = RegTemplate(reg_form_id=2**62, brand_logo_url="b", card_logo_url="c", reg_field_seq=[field])
    digests = [bytes(32)] * 32
    for schema, value in (
        (FormField, field),
        (Template, template),
        (FormData, RegFormData(policy_text="Read this.")),
        (Referral, ReferralData()),
        (Told, told),
        (Told, CaMsg()),
        (Status, status),
        (ByKeys, KeySigned(content=b"", by_certified_key=b"1")),
        (Pair, SealedPair(sealed=b"1")),
        (Prints, Thumbs(cert_thumbs=digests, crl_thumbs=digests, brand_crl_id_thumbs=digests)),
        (Prints, Thumbs(brand_crl_id_thumbs=digests[:1])),
    ):
        assert_same(schema, encode(value), value)


def test_what_cas_tell_each_other_is_the_same_to_both_readers() -> None:
    brand_ca, gateway = (PartyID(role=role, brand="Märque", name="x") for role in (Role.brand_ca, Role.gateway))
    head = BodyHead(type=ID_BCI_DISTRIBUTION_TBS, version=2, suite="p256", sender=brand_ca, recipient=gateway)
    date, digest = general_time(NOW), bytes(range(32))
    for schema, value in (
        (CRLNote, CRLNotificationTBS(head=head, date=date, crl_thumbprint=digest)),
        (CRLNote, CRLNotificationResTBS(head=head, date=date, crl_thumbprint=digest)),
        (BCINote, BCIDistributionTBS(head=head, date=date, bci_thumbprint=digest)),
    ):
        assert_same(schema, encode(value), value)


def test_a_payment_instruction_is_the_same_to_both_readers(scene: Scene) -> None:
    data = scene.sent["PReq"].data
    wire, paid = unwrap(data), taken_apart(scene.market, data)
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
    (authorization,) = scene.market.merchant.purchase(scene.xid).authorizations
    context = gateway.context(ID_CAP_TOKEN_DATA, gateway.party, gateway.party, scene.xid, authorization.auth_rrpid)
    inside = unseal(token, gateway.token_keys.capture, context=context).content
    assert_same(TokenData, inside, decode(CapTokenData, inside))


def bought(order: AgreedOrder, market: Market) -> bytes:
    """An order is paid: the XID."""
    lid_c, first = market.cardholder.start(order)
    market.deliver(Role.cardholder, first)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    return market.result(lid_c).xid


def test_what_a_split_shipment_or_a_sale_has_besides_is_the_same_to_both_readers() -> None:
    """Tokens instead of the PI, instalments, a sale, and a message of the bank."""
    market = Market.open()
    words = AcqCardCodeMsg(acq_card_code=AcqCardCode.messageOfDay, acq_card_text="Grüße", acq_card_phone="1")
    market.gateway._card_message = words
    assert_same(CardMessage, encode(words), words)
    plan = InstallRecurData(install_total_trans=3)
    shares = market.order("EUR 42.00", b"books", install_recur_data=plan, first_amount="EUR 10.00")
    xid = bought(shares, market)
    market.deliver(Role.merchant, market.merchant.authorize(xid, CurrencyAmount.of("EUR 20.00")))
    bought(market.order("EUR 7.00", b"a sale", capture_now=True), market)
    seen = []
    for delivery in market.deliveries:
        name = delivery.message.name
        if name not in ("AuthReq", "AuthRes"):
            continue
        received = opened(market, name, delivery.message.data)
        assert_same(BODIES[name], encode(received.body), received.body)
        assert_same(BAGGAGE[name], encode(received.baggage), received.baggage)
        if name == "AuthRes" and received.baggage.auth_token is not None:
            assert_token(market, received.body.auth_tags.trans_ids.xid, received.baggage.auth_token)
        fields = {**vars(received.baggage), "sale": getattr(received.body, "capture_now", False)}
        seen.append({field for field, value in fields.items() if value})
    assert seen == [
        {"pi"},
        {"cap_token", "auth_token", "acq_card_msg"},
        {"auth_token"},
        {"cap_token", "auth_token"},
        {"pi", "sale"},
        {"cap_token", "acq_card_msg"},
    ]


def assert_token(market: Market, xid: bytes, token: AuthToken) -> None:
    gateway, keys = market.gateway, market.gateway.token_keys
    for kind, sealed, key, schema, cls in (
        (ID_AUTH_TOKEN_TBS, token.sealed_token, keys.authorization, AgainData, AuthTokenData),
        (ID_AUTH_TOKEN_PAN, token.sealed_pan, keys.account, AgainAccount, PANToken),
    ):
        context = gateway.context(kind, gateway.party, gateway.party, xid, token.auth_rrpid)
        inside = unseal(sealed, key, context=context).content
        assert_same(schema, inside, decode(cls, inside))


def test_batches_are_the_same_to_both_readers() -> None:
    scene = whole()
    market = scene.market
    page = ReturnTransactionDetail(starting_point=0, maximum_items=10, errors_only_ind=False, brand_id="Marque")
    first = len(market.deliveries)
    market.deliver(Role.merchant, market.merchant.batch(1, details=page))
    (_, told) = market.deliveries[first:]
    answer = opened(market, "BatchAdminRes", told.message.data).body
    assert answer.trans_details.transaction_detail_seq
    market.deliver(Role.merchant, market.merchant.batch(1, BatchOperation.close, totals=answer.batch_status))
    market.deliver(Role.merchant, market.merchant.batch(1, details=page))
    for delivery in market.deliveries[first:]:
        received = opened(market, delivery.message.name, delivery.message.data)
        assert_same(BODIES[delivery.message.name], encode(received.body), received.body)
    assert received.body.batch_status.closed_when is not None


def test_an_error_is_the_same_to_both_readers() -> None:
    scene = before("AuthReq")
    for broken in (scene.data[:-1] + bytes([scene.data[-1] ^ 1]), b"?"):
        (message,) = scene.market.gateway.handle(broken).outgoing
        body = read_error(message)
        assert_same(ErrorBody, encode(body), body)
        wire = unwrap(message.data)
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
    asked = decode(PInitReq, unwrap(scene.sent["PInitReq"].data).body)
    asked = dataclasses.replace(
        asked, thumbs=Thumbs(cert_thumbs=[bytes(32)] * 32), extensions=[dataclasses.replace(extension, critical=False)]
    )
    assert_same(PInitRequest, encode(asked), asked)
    for ids in ({}, {"xid": bytes(20)}, {"rrpid": bytes(20)}, {"xid": bytes(20), "rrpid": bytes(20)}):
        context = SealContext(type=ID_CAP_REQ_TBS, version=2, suite="mldsa65", sender=party, recipient=party, **ids)
        assert_same(Context, encode(context), context)
