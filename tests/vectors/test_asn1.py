"""``vectors/setproto.asn1``, compiled by a compiler that is not ours, against what this library really sends.

Every message of a purchase with all that can follow, and of registrations in each role, is opened with the real keys.
The compiled module reads each structure, with its size and value limits; the values are ours, and writing them again
gives the octets that were read.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asn1tools
import pytest
from cryptography import x509
from cryptography.x509 import ObjectIdentifier

from pki.der import GeneralizedTime, decode, encode
from pki.extensions import CertificateType, HashedRootKey, MerchantData, MerchantName, Tunneling, to_extension
from setproto.amounts import CurrencyAmount
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode
from setproto.market import Market
from setproto.messages import batch, codes, common, distribution, error, payment, purchase, registration, wrapper
from setproto.messages.batch import ReturnTransactionDetail
from setproto.messages.codes import AcqCardCode, BatchOperation
from setproto.messages.common import Extension, InstallRecurData, PartyID, Recurring, Role, SealContext
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import ARC, ID_BCI_DISTRIBUTION_TBS, ID_PAN_DATA, ID_PI_DATA, NAMES
from setproto.messages.payment import AcqCardCodeMsg, AuthTokenData, CapTokenData, EncB, PANToken
from setproto.messages.purchase import PURCHASE, HODInput, PIData, PInitReq, PReq
from setproto.messages.registration import CaMsg, FailedItem, KeySigned, RegField, RegTemplate
from setproto.messages.registry import MESSAGES
from setproto.messages.wrapper import unwrap
from tests.messages.registrations import INITIAL, registered
from tests.registration.office import NOW
from tests.roles.scenes import LONG_STORY, before, opened, read_error, taken_apart, whole

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "vectors" / "setproto.asn1"
SUITES = ("p256", "rsa3072", "ed25519", "mldsa65")
PARTY = PartyID(role=Role.gateway, brand="Märque", name="gw")


@functools.cache
def compiled() -> Any:
    return asn1tools.compile_files(str(MODULE), "der")


def read(name: str, data: bytes) -> Any:
    """The value, and that its encoding is exactly what was read."""
    value = compiled().decode(name, data, check_constraints=True)
    assert compiled().encode(name, value, check_constraints=True) == data
    return value


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def plain(value: Any) -> Any:
    """A value of ours as the compiler shows it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {camel(field.name): getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(inner) for name, inner in fields.items() if inner is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, GeneralizedTime):
        return value.as_datetime()
    if isinstance(value, ObjectIdentifier):
        return value.dotted_string
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def aware(value: Any) -> Any:
    """The compiler shows times without their zone."""
    if isinstance(value, dict):
        return {name: aware(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [aware(item) for item in value]
    return value.replace(tzinfo=datetime.UTC) if isinstance(value, datetime.datetime) else value


def assert_same(value: Any) -> None:
    assert aware(read(type(value).__name__, encode(value))) == plain(value)


def sequences() -> Iterator[type]:
    modules = (batch, codes, common, distribution, error, payment, purchase, registration, wrapper)
    for module in (importlib.import_module("setproto.amounts"), *modules):
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and dataclasses.is_dataclass(cls) and hasattr(cls, "__asn1_root__"):
                yield cls


# --- the module -----------------------------------------------------------------------------------


def test_every_structure_is_in_the_module_with_its_fields_in_order() -> None:
    types = asn1tools.parse_files(str(MODULE))["SetprotoMessages"]["types"]
    ours = {cls.__name__.replace("_Wrapper", "MessageWrapper"): cls for cls in sequences()}
    assert len(ours) > 90
    for name, cls in ours.items():
        fields = [camel(field.name) for field in dataclasses.fields(cls)]
        assert name == "MessageWrapper" or [member["name"] for member in types[name]["members"]] == fields, name


def test_every_object_identifier_is_in_the_module() -> None:
    values = asn1tools.parse_files(str(MODULE))["SetprotoMessages"]["values"]
    numbers = {name: value["value"][-1] for name, value in values.items() if name != "id-setproto"}
    assert {f"{ARC}.0.{number}": name for name, number in numbers.items()} == {
        oid.dotted_string: f"id-{name}" for oid, name in NAMES.items()
    }
    assert f"uuid(25) {ARC.removeprefix('2.25.')} }}" in MODULE.read_text()


def test_every_message_and_every_code_has_its_number() -> None:
    types = asn1tools.parse_files(str(MODULE))["SetprotoMessages"]["types"]
    alternatives = {member["name"].lower(): member["tag"]["number"] for member in types["Message"]["members"]}
    assert alternatives == {
        **{kind.name.replace("-", "").lower(): number for number, kind in MESSAGES.items()},
        "error": 999,
    }
    lists = [cls for _, cls in inspect.getmembers(codes, inspect.isclass) if issubclass(cls, codes.enum.IntEnum)]
    for cls in (*lists, ErrorCode):
        if cls is not codes.enum.IntEnum:
            names = {name: int(number) for name, number in numbers_of(cls.__name__).items()}
            assert names == {item.name: item.value for item in cls}


def numbers_of(name: str) -> dict[str, str]:
    """The named numbers of an INTEGER type, from the text: the compiler drops them."""
    _, _, rest = MODULE.read_text().partition(f"\n{name} ::= INTEGER {{")
    inside, _, _ = rest.partition("}")
    return dict(item.strip().rstrip(")").split("(") for item in inside.split(","))  # type: ignore[misc]


def test_a_value_that_breaks_a_limit_is_refused() -> None:
    good = encode(CurrencyAmount(currency=978, amount=1, amt_exp10=-2))
    read("CurrencyAmount", good)
    with pytest.raises(asn1tools.ConstraintsError):
        read("CurrencyAmount", good.replace(bytes((2, 1, 1)), bytes((2, 1, 0xFF))))


# --- what is sent ---------------------------------------------------------------------------------


def test_every_message_of_a_purchase_and_its_body() -> None:
    scene = before(LONG_STORY[0])
    scene.goes_on = True
    market, seen = scene.market, []
    while scene.hand is not None:
        name, data = scene.hand.name, scene.data
        read("MessageWrapper", data)
        if name == "PReq":
            paid = taken_apart(market, data)
            for value in (decode(PReq, unwrap(data).body), paid.oi_data, paid.link, paid.pan_data, paid.seals):
                assert_same(value)
            assert_same(PIData(pi_head=paid.link.pi_head, pan_data=paid.pan_data))
        else:
            received = opened(market, name, data)
            assert_same(received.body)
            if received.baggage is not None:
                assert_same(received.baggage)
        seen.append(name)
        scene.deliver()
    assert tuple(seen) == LONG_STORY


@pytest.mark.parametrize("role", INITIAL, ids=lambda role: role.name)
def test_every_message_of_a_registration_and_its_body(role: Role) -> None:
    for message in registered(role):
        read("MessageWrapper", message.data)
        for value in (message.body, *message.more):
            assert_same(value)
            if isinstance(value, KeySigned):
                for signed in (value.by_new_key, value.by_certified_key):
                    assert signed is None or read("SignedObject", signed)


@pytest.mark.parametrize("suite", SUITES[1:])
def test_a_purchase_in_every_suite(suite: str) -> None:
    for message in whole(Market.open(suite)).sent.values():
        value = read("MessageWrapper", message.data)
        if message.name == "AuthReq":  # the sealed object inside; the message has it as octets
            read("SealedObject", value["message"][1]["enc"])
            instruction = read("PaymentInstruction", value["message"][1]["baggage"])["pi"]
            read("SignedObject", instruction["piSignature"])
            seals = read("PISeals", instruction["seals"])
            for sealed in (seals["sealedPi"], seals["sealedPan"]):
                read("SealedObject", sealed)


def test_errors_batches_and_what_no_purchase_has() -> None:
    scene = before("AuthReq")
    for broken in (scene.data[:-1] + bytes([scene.data[-1] ^ 1]), b"?"):
        (message,) = scene.market.gateway.handle(broken).outgoing
        read("MessageWrapper", message.data)
        body = read_error(message)
        assert_same(body)
        assert_same(Error(unsigned_error=ErrorTBS(head=body.head, error_code=8, error_nonce=bytes(32))))
    market = whole().market
    page = ReturnTransactionDetail(starting_point=0, maximum_items=10, errors_only_ind=False, brand_id="Marque")
    first = len(market.deliveries)
    market.deliver(Role.merchant, market.merchant.batch(1, details=page))
    told = opened(market, "BatchAdminRes", market.deliveries[-1].message.data).body
    market.deliver(Role.merchant, market.merchant.batch(1, BatchOperation.close, totals=told.batch_status))
    market.deliver(Role.merchant, market.merchant.batch(1, details=page))
    for delivery in market.deliveries[first:]:
        assert_same(opened(market, delivery.message.name, delivery.message.data).body)


def test_what_only_some_messages_have() -> None:
    now = GeneralizedTime(NOW)
    amount = CurrencyAmount(currency=999, amount=10**18, amt_exp10=-6)
    extension = Extension(extn_id=ID_PAN_DATA, critical=True, extn_value=bytes(200))
    once = InstallRecurData(install_total_trans=300)
    often = InstallRecurData(recurring=Recurring(recurring_frequency=28, recurring_expiry=now))
    head = common.BodyHead(type=ID_BCI_DISTRIBUTION_TBS, version=2, suite="p256", sender=PARTY, recipient=PARTY)
    for plan in (once, often):
        assert_same(
            HODInput(od=b"", purch_amt=amount, od_salt=bytes(32), install_recur_data=plan, od_extensions=[extension])
        )
    for context in ({}, {"xid": bytes(20)}, {"rrpid": bytes(20)}):
        assert_same(SealContext(type=ID_PAN_DATA, version=2, suite="mldsa65", sender=PARTY, recipient=PARTY, **context))
    for value in (
        distribution.CRLNotificationTBS(head=head, date=now, crl_thumbprint=bytes(32)),
        distribution.CRLNotificationResTBS(head=head, date=now, crl_thumbprint=bytes(32)),
        distribution.BCIDistributionTBS(head=head, date=now, bci_thumbprint=bytes(32)),
        AcqCardCodeMsg(acq_card_code=AcqCardCode.accountInfo, acq_card_text="ä", acq_card_url="u", acq_card_phone="1"),
        CapTokenData(xid=bytes(20), auth_rrpid=bytes(20), merchant_id="m", auth_amt=amount),
        PANToken(pan="4111111111111111   ", card_expiry="203012", ex_nonce=bytes(32)),
        AuthTokenData(
            xid=bytes(20),
            lid_c=b"c",
            lid_m=b"m",
            merchant_id="m",
            purch_amt=amount,
            hpi_data=bytes(32),
            trans_stain=bytes(20),
            generation=1,
            prev_auth_date_time=now,
            total_auth_amount=amount,
            install_recur_data=often,
        ),
        EncB(enc=b"?", baggage=b"?"),
        RegTemplate(
            reg_form_id=1,
            brand_logo_url="u",
            card_logo_url="u",
            reg_field_seq=[RegField(field_id=ID_PAN_DATA, field_name="n", field_len=9, field_invisible=True)],
        ),
        CaMsg(card_logo_url="u", brand_logo_url="u", card_currency=978, cardholder_msg="ä"),
        FailedItem(item_number=1, item_reason="ä"),
    ):
        assert_same(value)
    asked = decode(PInitReq, unwrap(before("PInitReq").data).body)
    assert_same(dataclasses.replace(asked, extensions=[dataclasses.replace(extension, critical=False)]))


# --- certificates and what is only signed ---------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_certificates_crls_and_the_list_of_them(suite: str) -> None:
    market = Market.open(suite)
    validator = market.tree.validator(market.clock())
    for der in (*validator.roots, *validator.known, market.merchant.credentials.signer.certificate):
        read("Certificate", der)
    revocation = validator.revocation(market.tree.brand)
    assert revocation.bci is not None
    assert revocation.crls
    read("BrandCRLIdentifier", revocation.bci)
    for crl in revocation.crls:
        read("CertificateList", crl)


def test_the_private_extensions() -> None:
    name = MerchantName(language="en", name="Bücher", city="C", country_name="X", state_province="S", postal_code="1 2")
    merchant = MerchantData(mer_id="m", mer_acquirer_bin="123456", mer_name_seq=(name,), mer_country=999)
    values = {
        "HashedRootKey": HashedRootKey(bytes(32)),
        "CertificateType": CertificateType.RCA,
        "MerchantData": merchant,
        "Tunneling": Tunneling(tunneling=False, algorithms=(x509.ObjectIdentifier("2.16.840.1.101.3.4.1.46"),)),
    }
    read_values = {name: read(name, to_extension(value).value) for name, value in values.items()}  # type: ignore[arg-type]
    assert read_values["HashedRootKey"]["rootKeyThumbprint"]["digest"] == bytes(32)
    assert read_values["CertificateType"] == (b"\x00\x80", 9)
    assert read_values["MerchantData"]["merNameSeq"][0]["name"] == ("bmpString", "Bücher")
    assert read_values["MerchantData"]["merAuthFlag"] is False


def test_the_content_of_a_dual_signature() -> None:
    parts = [Part(oid, b"?", bytes(32)) for oid in PURCHASE.part_types]
    digests = {part.type: PURCHASE.digest(part, "p256") for part in parts}
    value = read("DualToBeSigned", PURCHASE.to_be_signed(digests, "p256"))
    assert value["parts"][0] == {"type": ID_PI_DATA.dotted_string, "digest": digests[ID_PI_DATA]}


# --- the vectors ----------------------------------------------------------------------------------

UNREADABLE = {"decodingFailure", "messageTooBig", "badMessageHeader", "messageNotSupported"}
UNREADABLE |= {"versionTooOld", "versionTooNew"}


def wires() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "vectors" / "v1").glob("*.json")):
        for group in json.loads(path.read_text())["testGroups"]:
            for step in group["policy"].get("transcript", ()):
                for message in step.values():
                    yield message, path.name
            for test in group["tests"]:
                readable = test["expected"]["reason"] not in UNREADABLE
                if "wire" in test["input"] and readable:
                    yield test["input"]["wire"], test["tcId"]
                for step in test["input"].get("transcript", ()):
                    for message in step.values():
                        yield message, test["tcId"]


def test_every_message_of_the_vectors() -> None:
    seen = dict(wires())
    if not seen:
        pytest.skip("no vectors with messages in vectors/v1")
    for message, case in seen.items():
        assert read("MessageWrapper", bytes.fromhex(message)), case
