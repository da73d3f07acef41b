"""Every message type: immutable, one encoding per value, every limit of §2.1 held on the way out and on the way in."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from pki.der import DecodingFailure, decode, encode, general_time, tlv
from setproto.amounts import CurrencyAmount, Ratio
from setproto.card import PAN
from setproto.messages import batch, codes, common, distribution, error, payment, purchase, registration
from setproto.messages.common import (
    Extension,
    InstallRecurData,
    PartyID,
    Recurring,
    Role,
    SealContext,
    Thumbs,
    TransIDs,
    unknown_critical,
)
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import ARC
from setproto.messages.purchase import AcqBackKeyData, HODInput, PANData, PIData
from setproto.messages.registration import (
    CA_ALG,
    AcctData,
    AcquirerID,
    CABackKeyData,
    CaMsg,
    CertReqData,
    CertResData,
    CertResWire,
    CertStatus,
    FailedItem,
    IDData,
    KeySigned,
    MerchantAcquirerID,
    PANData0,
    PANOnly,
    ReferralData,
    RegField,
    RegFormOrReferral,
    RegTemplate,
)
from tests.messages.registrations import every_message
from tests.roles.scenes import begin, opened, taken_apart

OID = ObjectIdentifier(f"{ARC}.9.9")
PAN_TOKEN = payment.PANToken(pan="4111111111111111   ", card_expiry="203012", ex_nonce=b"n" * 32)
PAN_DATA = PANData(pan="4111111111111111   ", card_expiry="203012", pan_secret=b"p" * 32, ex_nonce=b"n" * 32)
PAN_ONLY = PANOnly(pan="4111111111111111   ", ex_nonce=b"n" * 32)
PAN_DATA0 = PANData0(pan="4111111111111111   ", card_expiry="203012", card_secret=b"p" * 32, ex_nonce=b"n" * 32)
BACK_KEY = CABackKeyData(ca_alg_id=CA_ALG, ca_key=b"k" * 32)
STATUS = CertStatus(
    cert_status_code=codes.CertStatusCode.regFormAnswerMalformed,
    nonce_cca=b"p" * 32,
    ee_message="once more, please",
    ca_msg=CaMsg(card_logo_url="c", brand_logo_url="b", card_currency=978, cardholder_msg="Grüße"),
    failed_item_seq=[FailedItem(item_number=1, item_reason="too short")],
)


def everything() -> dict[type, Any]:
    """One real value of every type that travels, from a real purchase and real registrations: of several the first
    of those that leave least out.  What is not in them is made by hand."""
    found: dict[type, Any] = {}

    def collect(value: Any) -> None:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            if _present(value) > _present(found.get(type(value))):
                found[type(value)] = value
            for field in dataclasses.fields(value):
                collect(getattr(value, field.name))
        elif isinstance(value, list):
            for item in value:
                collect(item)

    scene = begin()
    scene.goes_on = True
    while scene.hand is not None:
        name, data = scene.hand.name, scene.data
        received = opened(scene.market, name, data)
        collect(received.body)
        collect(received.baggage)
        if name == "PReq":
            paid = taken_apart(scene.market, data)
            collect(paid.link)
            collect(PIData(pi_head=paid.link.pi_head, pan_data=paid.pan_data))
            collect(paid.seals)
        scene.deliver()
    for message in every_message():
        for part in (message.body, *message.more):
            collect(part)
    now = general_time(scene.market.clock())
    head = opened(scene.market, "InqRes", scene.sent["InqRes"].data).body.head
    tbs = ErrorTBS(head=head, error_code=8, error_nonce=bytes(32), error_oid=OID, bad_wrapper=b"?")
    by_hand = [
        InstallRecurData(recurring=Recurring(recurring_frequency=28, recurring_expiry=now)),
        Extension(extn_id=OID, critical=True, extn_value=b"?"),
        Thumbs(cert_thumbs=[bytes(32)], crl_thumbs=[bytes(32)], brand_crl_id_thumbs=[bytes(32)]),
        RegField(field_id=OID, field_name="n", field_desc="d", field_len=1, field_required=True, field_invisible=True),
        RegTemplate(reg_form_id=1, brand_logo_url="b", card_logo_url="c", reg_field_seq=[RegField(field_name="n")]),
        STATUS,
        SealContext(type=OID, version=2, suite="p256", sender=head.sender, recipient=head.recipient, xid=bytes(20)),
        HODInput(od=b"one book", purch_amt=CurrencyAmount.of("EUR 1.00"), od_salt=bytes(32)),
        AcqBackKeyData(acq_back_alg=OID, acq_back_key=b"k" * 32),
        Error(unsigned_error=tbs),
        distribution.CRLNotificationTBS(head=head, date=now, crl_thumbprint=bytes(32)),
        distribution.CRLNotificationResTBS(head=head, date=now, crl_thumbprint=bytes(32)),
        distribution.BCIDistributionTBS(head=head, date=now, bci_thumbprint=bytes(32)),
        payment.EncB(enc=b"1", baggage=b"2"),
        payment.CapTokenData(
            xid=bytes(20), auth_rrpid=bytes(20), merchant_id="shop", auth_amt=CurrencyAmount.of("EUR 1.00")
        ),
        payment.CapResPayload(
            cap_code=payment.CapCode.success, cap_amt=CurrencyAmount.of("EUR 1.00"), batch_id=1, batch_sequence_num=2
        ),
        *_more(decode(TransIDs, encode(opened(scene.market, "InqRes", scene.sent["InqRes"].data).body.trans_ids))),
        purchase.OI(oi_data=b"1", oi_salt=bytes(32), hpi_data=bytes(32)),
        purchase.PReq(
            pi=purchase.PI(seals=b"1", pi_signature=b"2"),
            oi=purchase.OI(oi_data=b"1", oi_salt=bytes(32), hpi_data=bytes(32)),
        ),
    ]
    for value in by_hand:
        collect(value)
    return found


def _present(value: Any) -> int:
    """How many fields are not left out; of nothing, fewer than none."""
    if value is None:
        return -1
    return sum(getattr(value, field.name) is not None for field in dataclasses.fields(value))


def _more(trans_ids: TransIDs) -> list[Any]:
    """What a plain purchase without batches, tokens and messages of the bank has no use for."""
    amount, now = CurrencyAmount.of("EUR 1.00"), trans_ids.preq_date
    totals = batch.BatchTotals(
        transaction_count_credit=1,
        transaction_total_amt_credit=amount,
        transaction_count_debit=2,
        transaction_total_amt_debit=amount,
    )
    detail = batch.TransactionDetail(
        trans_ids=trans_ids,
        auth_rrpid=bytes(20),
        brand_id="Marque",
        batch_sequence_num=1,
        transaction_amt=amount,
        transaction_amt_type=codes.AmtType.debit,
        transaction_status=codes.TransactionStatus.success,
    )
    return [
        payment.SaleDetail(batch_id=1, mer_order_num="1"),
        payment.AuthToken(auth_rrpid=bytes(20), sealed_token=b"1", sealed_pan=b"2"),
        payment.AuthTokenData(
            xid=bytes(20),
            lid_c=b"c",
            lid_m=b"m",
            merchant_id="shop",
            purch_amt=amount,
            hpi_data=bytes(32),
            trans_stain=bytes(20),
            generation=1,
            prev_auth_date_time=now,
            total_auth_amount=amount,
        ),
        PAN_TOKEN,
        payment.AcqCardCodeMsg(
            acq_card_code=codes.AcqCardCode.messageOfDay, acq_card_text="t", acq_card_url="u", acq_card_phone="p"
        ),
        purchase.CreditStatus(
            credit_date=now,
            cap_rev_or_cred_code=codes.CapRevOrCredCode.success,
            credit_ratio=Ratio(numerator=1, denominator=2),
        ),
        batch.BatchStatus(
            open_date_time=now,
            closed_when=batch.ClosedWhen(close_status=codes.CloseStatus.closedByMerchant, close_date_time=now),
            batch_totals=totals,
            brand_batch_details_seq=[batch.BrandBatchDetails(brand_id="Marque", batch_totals=totals)],
        ),
        batch.TransDetails(next_starting_point=2, transaction_detail_seq=[detail]),
        batch.ReturnTransactionDetail(starting_point=0, maximum_items=10, errors_only_ind=True, brand_id="Marque"),
    ]


VALUES = everything()


def _fields(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def declared() -> Iterator[type]:
    for module in (common, purchase, payment, batch, error, registration, distribution):
        for value in vars(module).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__:
                yield value


def test_no_type_is_forgotten() -> None:
    assert set(declared()) <= set(VALUES)
    assert {Ratio, CurrencyAmount} <= set(VALUES)


@pytest.mark.parametrize("cls", list(VALUES), ids=lambda cls: cls.__name__)
def test_one_value_one_encoding(cls: type) -> None:
    value = VALUES[cls]
    encoded = encode(value)
    assert decode(cls, encoded) == value
    assert encode(decode(cls, encoded)) == encoded
    for wrong in (encoded[:-1], encoded + b"\x00", b"\x31" + encoded[1:], b""):
        with pytest.raises(DecodingFailure, match=cls.__name__):
            decode(cls, wrong)
    extra = tlv(0x30, encoded[len(encoded) - _content_size(encoded) :], b"\x05\x00")
    with pytest.raises(DecodingFailure):
        decode(cls, extra)


def _content_size(encoded: bytes) -> int:
    first = encoded[1]
    return first if first < 0x80 else int.from_bytes(encoded[2 : 2 + (first & 0x7F)], "big")


@pytest.mark.parametrize("cls", list(VALUES), ids=lambda cls: cls.__name__)
def test_a_value_does_not_change(cls: type) -> None:
    value = VALUES[cls]
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    with pytest.raises(TypeError):
        cls(*[getattr(value, field.name) for field in dataclasses.fields(value)])  # by keyword only


# --- size limits ----------------------------------------------------------------------------------

# Typed off set-protocol.md §2.1, and docs/adr for those of 256 bits: field → (least, most).
LIMITS = {
    ("TransIDs", "lid_c"): (1, 20),
    ("TransIDs", "lid_m"): (1, 20),
    ("TransIDs", "xid"): (20, 20),
    ("TransIDs", "language"): (1, 35),
    ("RRTags", "rrpid"): (20, 20),
    ("RRTags", "me_thumb"): (32, 32),
    ("MerTermIDs", "merchant_id"): (1, 30),
    ("PartyID", "brand"): (1, 40),
    ("PartyID", "name"): (1, 64),
    ("BodyHead", "suite"): (1, 16),
    ("PInitReq", "rrpid"): (20, 20),
    ("PInitReq", "language"): (1, 35),
    ("PInitReq", "lid_c"): (1, 20),
    ("PInitReq", "lid_m"): (1, 20),
    ("PInitReq", "chall_c"): (20, 20),
    ("PInitReq", "brand_id"): (1, 40),
    ("PInitResData", "request_digest"): (32, 32),
    ("PInitResData", "rrpid"): (20, 20),
    ("PInitResData", "chall_c"): (20, 20),
    ("PInitResData", "chall_m"): (20, 20),
    ("PInitResData", "pe_thumb"): (32, 32),
    ("OIData", "rrpid"): (20, 20),
    ("OIData", "chall_c"): (20, 20),
    ("OIData", "hod"): (32, 32),
    ("OIData", "od_salt"): (32, 32),
    ("OIData", "chall_m"): (20, 20),
    ("OIData", "brand_id"): (1, 40),
    ("OIData", "pe_thumb"): (32, 32),
    ("PIInputs", "hod"): (32, 32),
    ("PIHead", "pe_thumb"): (32, 32),
    ("PIHead", "trans_stain"): (20, 20),
    ("PIHead", "sw_ident"): (1, 256),
    ("PANData", "card_expiry"): (6, 6),
    ("PANData", "pan_secret"): (32, 32),
    ("PANData", "ex_nonce"): (32, 32),
    ("PANData", "pan"): (19, 19),
    ("PIOILink", "pi_salt"): (32, 32),
    ("PIOILink", "hoi_data"): (32, 32),
    ("PISeals", "rrpid"): (20, 20),
    ("OI", "oi_salt"): (32, 32),
    ("OI", "hpi_data"): (32, 32),
    ("PResData", "request_digest"): (32, 32),
    ("PResData", "rrpid"): (20, 20),
    ("PResData", "chall_c"): (20, 20),
    ("InqReqData", "rrpid"): (20, 20),
    ("InqReqData", "chall_c2"): (20, 20),
    ("CheckDigests", "hoi_data"): (32, 32),
    ("CheckDigests", "hod2"): (32, 32),
    ("AuthReqData", "baggage_digest"): (32, 32),
    ("AuthResData", "baggage_digest"): (32, 32),
    ("AuthResData", "request_digest"): (32, 32),
    ("CapReqData", "baggage_digest"): (32, 32),
    ("CapItem", "auth_rrpid"): (20, 20),
    ("CapResItem", "auth_rrpid"): (20, 20),
    ("CapResData", "request_digest"): (32, 32),
    ("CapTokenData", "auth_rrpid"): (20, 20),
    ("CapTokenData", "merchant_id"): (1, 64),
    ("HODInput", "od_salt"): (32, 32),
    ("AcqBackKeyData", "acq_back_key"): (32, 32),
    ("ErrorTBS", "error_nonce"): (32, 32),
    **{("Thumbs", name): (1, 32) for name in ("cert_thumbs", "crl_thumbs", "brand_crl_id_thumbs")},
    ("PResData", "pres_payload_seq"): (1, 64),
    ("CapReqData", "cap_item_seq"): (1, 100),
    ("CapTokenSeq", "tokens"): (1, 100),
    ("CapResData", "cap_res_item_seq"): (1, 100),
    ("AuthResData", "pe_thumb"): (32, 32),
    ("CapResData", "pe_thumb"): (32, 32),
    ("CapTokenData", "xid"): (20, 20),
    ("AuthToken", "auth_rrpid"): (20, 20),
    ("AuthTokenData", "xid"): (20, 20),
    ("AuthTokenData", "merchant_id"): (1, 64),
    ("AuthTokenData", "hpi_data"): (32, 32),
    ("AuthTokenData", "trans_stain"): (20, 20),
    ("PANToken", "pan"): (19, 19),
    ("PANToken", "card_expiry"): (6, 6),
    ("PANToken", "ex_nonce"): (32, 32),
    ("AuthRevReqData", "baggage_digest"): (32, 32),
    ("AuthRevReqData", "auth_rrpid"): (20, 20),
    ("AuthRevResData", "baggage_digest"): (32, 32),
    ("AuthRevResData", "request_digest"): (32, 32),
    ("AuthRevResData", "auth_rrpid"): (20, 20),
    ("AuthRevResData", "pe_thumb"): (32, 32),
    ("CapRevOrCredReqItem", "auth_rrpid"): (20, 20),
    ("CapRevOrCredReqData", "baggage_digest"): (32, 32),
    ("CapRevOrCredReqData", "item_seq"): (1, 100),
    ("CapRevOrCredResItem", "auth_rrpid"): (20, 20),
    ("CapRevOrCredResData", "request_digest"): (32, 32),
    ("CapRevOrCredResData", "pe_thumb"): (32, 32),
    ("CapRevOrCredResData", "res_item_seq"): (1, 100),
    ("PCertReqData", "brand_seq"): (1, 32),
    ("PCertResData", "request_digest"): (32, 32),
    ("PCertResData", "pcert_res_items"): (1, 32),
    ("BrandBatchDetails", "brand_id"): (1, 40),
    ("TransactionDetail", "auth_rrpid"): (20, 20),
    ("TransactionDetail", "brand_id"): (1, 40),
    ("BatchAdminResData", "request_digest"): (32, 32),
    ("BatchAdminResData", "pe_thumb"): (32, 32),
    ("PANOnly", "pan"): (19, 19),
    ("PANOnly", "ex_nonce"): (32, 32),
    ("PANData0", "pan"): (19, 19),
    ("PANData0", "card_expiry"): (6, 6),
    ("PANData0", "card_secret"): (32, 32),
    ("PANData0", "ex_nonce"): (32, 32),
    ("AcctData", "acct_identification"): (1, 74),
    ("AcctData", "ex_nonce"): (32, 32),
    ("RegField", "field_name"): (1, 128),
    ("RegField", "field_desc"): (1, 4096),
    ("RegTemplate", "brand_logo_url"): (1, 512),
    ("RegTemplate", "card_logo_url"): (1, 512),
    ("RegFormData", "policy_text"): (1, 4096),
    ("ReferralData", "reason"): (1, 4096),
    ("ReferralData", "referral_url_seq"): (1, 16),
    ("RegFormItem", "field_name"): (1, 128),
    ("RegFormItem", "field_value"): (0, 4096),
    ("MerchantAcquirerID", "merchant_bin"): (6, 6),
    ("MerchantAcquirerID", "merchant_id"): (1, 30),
    ("AcquirerID", "acquirer_bin"): (6, 6),
    ("AcquirerID", "acquirer_business_id"): (1, 32),
    ("CABackKeyData", "ca_key"): (32, 32),
    ("FailedItem", "item_reason"): (1, 128),
    ("CaMsg", "card_logo_url"): (1, 512),
    ("CaMsg", "brand_logo_url"): (1, 512),
    ("CaMsg", "cardholder_msg"): (1, 4096),
    ("CertStatus", "nonce_cca"): (32, 32),
    ("CertStatus", "ee_message"): (1, 4096),
    ("CertStatus", "failed_item_seq"): (1, 64),
    ("CertReqData", "reg_form"): (1, 64),
    ("CertReqData", "key_proof"): (32, 32),
    ("CertReqData", "ee_thumb"): (32, 32),
    ("CertResData", "cert_thumbs"): (1, 2),
    ("CRLNotificationTBS", "crl_thumbprint"): (32, 32),
    ("CRLNotificationResTBS", "crl_thumbprint"): (32, 32),
    ("BCIDistributionTBS", "bci_thumbprint"): (32, 32),
}
_REGISTRATION_LIMITS = {
    **dict.fromkeys(("rrpid", "chall_ee", "chall_ee2", "chall_ee3", "chall_ca"), (20, 20)),
    **dict.fromkeys(("request_digest", "account_digest", "cae_thumb"), (32, 32)),
    **dict.fromkeys(("lid_ee", "lid_ca"), (1, 20)),
    "brand_id": (1, 40),
    "language": (1, 35),
}
for _name, _fields_of in {
    "CardCInitReq": "rrpid lid_ee chall_ee brand_id",
    "CardCInitResData": "request_digest rrpid lid_ee chall_ee cae_thumb",
    "MeAqCInitReq": "rrpid lid_ee chall_ee brand_id language",
    "MeAqCInitResData": "request_digest rrpid lid_ee chall_ee lid_ca chall_ca cae_thumb",
    "RegFormReqData": "rrpid lid_ee chall_ee2 language account_digest",
    "RegFormResData": "request_digest rrpid lid_ee chall_ee2 lid_ca chall_ca cae_thumb",
    "CertReqData": "rrpid lid_ee chall_ee3 lid_ca chall_ca account_digest",
    "CertResData": "request_digest rrpid lid_ee chall_ee3 lid_ca",
    "CertInqReqData": "rrpid lid_ee chall_ee3 lid_ca",
}.items():
    LIMITS.update({(_name, field): _REGISTRATION_LIMITS[field] for field in _fields_of.split()})
BY_NAME = {cls.__name__: cls for cls in VALUES}


def wrong_sizes(least: int, most: int) -> list[int]:
    return [size for size in (least - 1, most + 1) if size >= 0]


def of_size(value: Any, size: int) -> Any:
    return (value * (size // max(len(value), 1) + 1))[:size]


@pytest.mark.parametrize(("name", "field"), LIMITS, ids=".".join)
def test_a_field_has_its_size(name: str, field: str) -> None:
    least, most = LIMITS[name, field]
    value = VALUES[BY_NAME[name]]
    own = getattr(value, field)
    for size in {least, most}:
        good = dataclasses.replace(value, **{field: of_size(own, size)})
        assert decode(type(value), encode(good)) == good
    for size in wrong_sizes(least, most):
        with pytest.raises(ValueError):  # noqa: PT011
            encode(dataclasses.replace(value, **{field: of_size(own, size)}))


@pytest.mark.parametrize(("name", "field"), LIMITS, ids=".".join)
def test_a_field_of_another_size_is_not_read(name: str, field: str) -> None:
    """From somebody who encodes without limits: the same type, declared again without them."""
    least, most = LIMITS[name, field]
    value = VALUES[BY_NAME[name]]
    free = _without_limits(type(value))
    fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    for size in wrong_sizes(least, most):
        data = asn1.encode_der(free(**{**fields, field: of_size(fields[field], size)}))
        with pytest.raises(DecodingFailure):
            decode(type(value), data)
    assert asn1.encode_der(free(**fields)) == encode(value)


def _without_limits(cls: type) -> Any:
    """The same SEQUENCE without its Size annotations."""
    from pki.der import Size, sequence

    def free(hint: Any) -> Any:
        if typing.get_origin(hint) is typing.Annotated:
            inner, *notes = typing.get_args(hint)
            notes = [note for note in notes if not isinstance(note, Size)]
            return typing.Annotated[(inner, *notes)] if notes else inner
        return hint

    hints = typing.get_type_hints(cls, include_extras=True)
    body: dict[str, Any] = {"__annotations__": {}}
    for item in dataclasses.fields(cls):
        body["__annotations__"][item.name] = free(hints[item.name])
        if item.default is not dataclasses.MISSING:
            body[item.name] = item.default
    return sequence(type(cls.__name__, (), body))


# --- invariants -----------------------------------------------------------------------------------


def test_instalments_or_recurring_but_not_both_and_not_neither() -> None:
    now = general_time(begin().market.clock())
    recurring = Recurring(recurring_frequency=28, recurring_expiry=now)
    assert InstallRecurData(install_total_trans=2).recurring is None
    assert InstallRecurData(recurring=recurring).install_total_trans is None
    for wrong in ({}, {"install_total_trans": 2, "recurring": recurring}, {"install_total_trans": 1}):
        with pytest.raises(ValueError, match="instalments"):
            InstallRecurData(**wrong)
    for octets in (b"", b"\x80\x01\x02" + b"\xa1" + encode(recurring)[1:], b"\x80\x01\x01"):
        with pytest.raises(DecodingFailure):
            decode(InstallRecurData, tlv(0x30, octets))


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_frequency_is_1_to_366_days(days: int) -> None:
    """As its docstring and §2.4 say."""
    now = general_time(begin().market.clock())
    with pytest.raises(ValueError):  # noqa: PT011
        Recurring(recurring_frequency=days, recurring_expiry=now)


def test_an_error_is_signed_or_unsigned() -> None:
    tbs = VALUES[ErrorTBS]
    for wrong in ({}, {"signed_error": b"?", "unsigned_error": tbs}):
        with pytest.raises(ValueError, match="either"):
            Error(**wrong)
    for octets in (b"", b"\x80\x01?" + b"\xa1" + encode(tbs)[1:]):
        with pytest.raises(DecodingFailure):
            decode(Error, tlv(0x30, octets))


def test_a_value_that_is_not_in_the_list_is_not_read() -> None:
    encoded = encode(PartyID(role=Role.merchant, brand="B", name="n"))
    for role in (8, 127, 255):
        with pytest.raises(DecodingFailure):
            decode(PartyID, encoded.replace(b"\x02\x01\x01", bytes((2, 1, role))))
    encoded = encode(CertStatus(cert_status_code=codes.CertStatusCode.rejectedByCA))
    assert encoded == tlv(0x30, b"\x02\x01\x0b")
    for code in (0, 13, 255):
        with pytest.raises(DecodingFailure):
            decode(CertStatus, tlv(0x30, bytes((2, 1, code))))


# --- invariants of registration -------------------------------------------------------------------

ID = MerchantAcquirerID(merchant_bin="411111", merchant_id="shop")
GATEWAY_ID = AcquirerID(acquirer_bin="411111", acquirer_business_id="gw")


def refuses(cls: type, words: str, *wrong: dict[str, Any]) -> None:
    """Neither made nor read: the octets are those of somebody who has no such rule."""
    free = _without_limits(cls)
    for fields in wrong:
        with pytest.raises(ValueError, match=words):
            cls(**fields)
        with pytest.raises(DecodingFailure):
            decode(cls, asn1.encode_der(free(**fields)))


def _given(value: Any, **changes: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)} | changes


def test_a_request_of_an_applicant_is_signed() -> None:
    assert KeySigned(content=b"?", by_new_key=b"1").by_certified_key is None
    assert KeySigned(content=b"?", by_certified_key=b"1").by_new_key is None
    assert KeySigned(content=b"?", by_new_key=b"1", by_certified_key=b"2")
    refuses(KeySigned, "not signed", {"content": b"?"})


@pytest.mark.parametrize(
    ("cls", "one", "other"),
    [
        (CertResWire, {"signed": b"1"}, {"sealed": b"1"}),
        (
            RegFormOrReferral,
            {"reg_form_data": VALUES[registration.RegFormData]},
            {"referral_data": ReferralData(reason="r")},
        ),
        (IDData, {"merchant_acquirer_id": ID}, {"acquirer_id": GATEWAY_ID}),
    ],
)
def test_exactly_one_of_two(cls: type, one: dict[str, Any], other: dict[str, Any]) -> None:
    for good in (one, other):
        assert decode(cls, encode(cls(**good))) == cls(**good)
    refuses(cls, "either", {}, one | other)


def test_a_bin_is_six_digits() -> None:
    assert (IDData(merchant_acquirer_id=ID).bin, IDData(merchant_acquirer_id=ID).name) == ("411111", "shop")
    assert (IDData(acquirer_id=GATEWAY_ID).bin, IDData(acquirer_id=GATEWAY_ID).name) == ("411111", "gw")
    for number in ("41111x", "     1", "٣" * 6):
        refuses(
            IDData,
            "six digits",
            {"merchant_acquirer_id": dataclasses.replace(ID, merchant_bin=number)},
            {"acquirer_id": dataclasses.replace(GATEWAY_ID, acquirer_bin=number)},
        )


def test_a_thumbprint_has_32_octets_and_no_list_of_them_is_empty() -> None:
    for name in ("cert_thumbs", "crl_thumbs", "brand_crl_id_thumbs"):
        assert decode(Thumbs, encode(Thumbs(**{name: [bytes(32)]}))) == Thumbs(**{name: [bytes(32)]})
        refuses(Thumbs, "32", {name: [bytes(31)]}, {name: [bytes(33)]}, {name: [bytes(32), b""]}, {name: []})
    refuses(Thumbs, "at least one list", {}, {"cert_thumbs": [bytes(32)], "crl_thumbs": []})


def test_a_form_has_1_to_64_fields_and_each_another_name() -> None:
    """A form with two fields of one name could not be answered."""
    fields = [RegField(field_name=str(number)) for number in range(65)]
    for good in (fields[:1], fields[:64]):
        form = RegTemplate(reg_form_id=1, reg_field_seq=good)
        assert decode(RegTemplate, encode(form)) == form
    for wrong in ([], fields):
        with pytest.raises(ValueError):  # noqa: PT011
            encode(RegTemplate(reg_form_id=1, reg_field_seq=wrong))
        with pytest.raises(DecodingFailure):
            decode(RegTemplate, asn1.encode_der(_without_limits(RegTemplate)(reg_form_id=1, reg_field_seq=wrong)))
    twice = [*fields[:2], RegField(field_name="1", field_len=3)]
    refuses(RegTemplate, "two fields", {"reg_form_id": 1, "reg_field_seq": twice})


def test_a_field_has_room_and_a_currency_a_number() -> None:
    for length in (1, 4096):
        assert decode(RegField, encode(RegField(field_name="n", field_len=length))).field_len == length
    refuses(RegField, "room", *({"field_name": "n", "field_len": length} for length in (-1, 0, 4097)))
    for currency in (1, 999):
        assert decode(CaMsg, encode(CaMsg(card_currency=currency))).card_currency == currency
    refuses(CaMsg, "currency", *({"card_currency": currency} for currency in (-1, 0, 1000)))


def test_a_url_has_1_to_512_octets() -> None:
    for good in ("u", "u" * 512):
        referral = ReferralData(referral_url_seq=[good])
        assert decode(ReferralData, encode(referral)) == referral
    for wrong in ("", "u" * 513):
        with pytest.raises(ValueError):  # noqa: PT011
            encode(ReferralData(referral_url_seq=["u", wrong]))
        data = tlv(0x30, tlv(0xA1, tlv(0x0C, b"u"), tlv(0x0C, wrong.encode())))
        with pytest.raises(DecodingFailure):
            decode(ReferralData, data)


def test_a_certificate_request_has_a_key_and_a_proof_for_a_key_exchange_key() -> None:
    request = VALUES[CertReqData]
    assert request.public_key_s
    assert request.public_key_e
    refuses(
        CertReqData,
        "at least one key",
        _given(request, public_key_s=None, public_key_e=None, key_proof=None),
    )
    refuses(
        CertReqData,
        "comes with its proof",
        _given(request, public_key_e=None),
        _given(request, key_proof=None),
    )
    for good in (
        dataclasses.replace(request, public_key_s=None),
        dataclasses.replace(request, public_key_e=None, key_proof=None),
    ):
        assert decode(CertReqData, encode(good)) == good


@pytest.mark.parametrize("code", codes.CertStatusCode)
def test_certificates_come_exactly_with_request_complete(code: codes.CertStatusCode) -> None:
    status = dataclasses.replace(STATUS, cert_status_code=code)
    thumbs = [bytes(32)]
    with_, without = (_given(VALUES[CertResData], cert_status=status, cert_thumbs=given) for given in (thumbs, None))
    good, wrong = (with_, without) if code is codes.CertStatusCode.requestComplete else (without, with_)
    assert decode(CertResData, encode(CertResData(**good))) == CertResData(**good)
    refuses(CertResData, "exactly with requestComplete", wrong)


def test_what_is_not_said_in_a_registration_is_not_written() -> None:
    """DEFAULT FALSE, and optional parts: nothing for nothing (X.690 §11.5)."""
    assert encode(RegField(field_name="n")) == tlv(0x30, b"\x0c\x01n")
    assert encode(RegField(field_name="n", field_required=True)) == tlv(0x30, b"\x0c\x01n\x01\x01\xff")
    assert encode(RegField(field_name="n", field_invisible=True)) == tlv(0x30, b"\x0c\x01n\x83\x01\xff")
    assert encode(CaMsg()) == encode(ReferralData()) == tlv(0x30)
    for octets in (b"\x0c\x01n\x01\x01\x00", b"\x0c\x01n\x83\x01\x00"):
        with pytest.raises(DecodingFailure):
            decode(RegField, tlv(0x30, octets))


def test_the_first_critical_extension_is_named() -> None:
    harmless = Extension(extn_id=ObjectIdentifier(f"{ARC}.9.8"), extn_value=b"")
    critical = Extension(extn_id=OID, critical=True, extn_value=b"")
    assert unknown_critical(None) is None
    assert unknown_critical([]) is None
    assert unknown_critical([harmless]) is None
    assert unknown_critical([harmless, critical]) == OID
    assert unknown_critical([replace_(VALUES[purchase.PResPayload], [harmless])]) is None
    nested = replace_(VALUES[payment.AuthReqPayload], [harmless, critical])
    item = dataclasses.replace(VALUES[payment.AuthReqItem], auth_req_payload=nested)
    assert unknown_critical(dataclasses.replace(VALUES[payment.AuthReqData], auth_req_item=item)) == OID


@pytest.mark.parametrize("cls", [cls for cls in VALUES if "extensions" in _fields(cls)], ids=lambda c: c.__name__)
def test_a_critical_extension_is_found_wherever_it_stands(cls: type) -> None:
    critical = Extension(extn_id=OID, critical=True, extn_value=b"")
    assert unknown_critical(VALUES[cls]) is None
    assert unknown_critical(replace_(VALUES[cls], [critical])) == OID
    assert unknown_critical(replace_(VALUES[cls], [dataclasses.replace(critical, critical=False)])) is None


def replace_(value: Any, extensions: list[Extension]) -> Any:
    return dataclasses.replace(value, extensions=extensions)


NUMBERS = {
    payment.AuthTags: ("auth_ret_num",),
    payment.CapPayload: ("cap_num",),
    payment.CapRevOrCredReqItem: ("cap_num", "cred_num", "new_batch_id"),
    payment.CapRevOrCredResItem: ("batch_id", "batch_sequence_num"),
    payment.CapResPayload: ("batch_id", "batch_sequence_num"),
    payment.SaleDetail: ("batch_id",),
    batch.BatchTotals: ("transaction_count_credit", "transaction_count_debit"),
    batch.TransactionDetail: ("batch_sequence_num",),
    batch.TransDetails: ("next_starting_point",),
    batch.ReturnTransactionDetail: ("starting_point", "maximum_items"),
    batch.BatchAdminReqData: ("batch_id",),
    batch.BatchAdminResData: ("batch_id", "purged_below"),
    RegTemplate: ("reg_form_id",),
    CertReqData: ("reg_form_id",),
    FailedItem: ("item_number",),
}


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls, names in NUMBERS.items() for name in names])
def test_a_number_is_not_negative_and_not_enormous(cls: type, name: str) -> None:
    value = VALUES[cls]
    for number in (0, 1, 2**63 - 1):
        good = dataclasses.replace(value, **{name: number})
        assert decode(cls, encode(good)) == good
    for wrong in (-1, 2**63, 2**64):
        with pytest.raises(ValueError):  # noqa: PT011
            encode(dataclasses.replace(value, **{name: wrong}))


@given(st.text(min_size=1, max_size=35))
def test_texts_survive_the_wire(language: str) -> None:
    ids = dataclasses.replace(VALUES[TransIDs], language=language)
    try:
        encoded = encode(ids)
    except ValueError:
        assert any(0xD800 <= ord(letter) <= 0xDFFF for letter in language) or len(language.encode()) > 35
        return
    assert decode(TransIDs, encoded) == ids


# --- what is shown --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        PAN_DATA,
        PAN_TOKEN,
        VALUES[PIData],
        VALUES[AcqBackKeyData],
        PAN_ONLY,
        PAN_DATA0,
        AcctData(acct_identification="4111", ex_nonce=b"n" * 32),
        BACK_KEY,
        STATUS,
    ],
    ids=lambda v: type(v).__name__,
)
def test_account_data_and_keys_do_not_show(value: Any) -> None:
    for shown in (
        repr(value),
        str(value),
        f"{value}",
        f"{[value]}",
        repr(dataclasses.make_dataclass("X", ["v"])(value)),
    ):
        assert "redacted" in shown
        assert "4111" not in shown
        assert "203012" not in shown
        assert "pppp" not in shown
        assert "kkkk" not in shown


def test_account_data_becomes_a_card_that_redacts_itself() -> None:
    card = PAN_DATA.card("Marque")
    assert card.pan == PAN("4111111111111111")
    assert "4111" not in repr((card, PAN_DATA.secret()))
    assert PAN_DATA.secret().reveal() == b"p" * 32
    with pytest.raises(ValueError, match="not a card number"):
        dataclasses.replace(PAN_DATA, pan="4111111111111112   ").card("Marque")


def test_account_data_of_a_registration_becomes_a_card_that_redacts_itself() -> None:
    card = PAN_DATA0.card("Marque")
    assert (card.brand, card.pan, card.expiry.reveal()) == ("Marque", PAN("4111111111111111"), "203012")
    assert "4111" not in repr((card, PAN_DATA0.secret(), PAN_ONLY.read()))
    assert PAN_DATA0.secret().reveal() == b"p" * 32
    assert PANData0.of(card, PAN_DATA0.secret(), b"n" * 32) == PAN_DATA0
    assert PAN_ONLY.read() == card.pan
    assert PANOnly.of(card.pan, b"n" * 32) == PAN_ONLY
    for wrong in ("4111111111111112   ", " " * 19, "4111 111111111111  "):
        for attempt in (dataclasses.replace(PAN_DATA0, pan=wrong).card, lambda _, pan=wrong: _read(pan)):
            with pytest.raises(ValueError, match="not a card number"):
                attempt("Marque")
    with pytest.raises(ValueError, match="YYYYMM"):
        dataclasses.replace(PAN_DATA0, card_expiry="203013").card("Marque")


def test_card_numbers_of_every_length_take_the_same_room() -> None:
    """The size of a sealed object must not tell how long the number in it is (PX-3)."""
    numbers = [PAN(number) for number in ("500000000009", "378282246310005", "4111111111111111", "6304000000000000000")]
    assert {len(encode(PANOnly.of(pan, bytes(32)))) for pan in numbers} == {len(encode(PAN_ONLY))}


def _read(pan: str) -> PAN:
    return dataclasses.replace(PAN_ONLY, pan=pan).read()


def test_a_party_is_shown_by_role_and_name() -> None:
    assert str(PartyID(role=Role.gateway, brand="Marque", name="gw")) == "gateway gw"
