"""The reader shows every message, and opens everything sealed in messages and records, for whoever has the key."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from pki.der import encode
from setproto.amounts import CurrencyAmount
from setproto.crypto.digests import digest
from setproto.demo.views import everyone, openers, steps
from setproto.market import Market
from setproto.messages.codes import AcqCardCode, BatchOperation
from setproto.messages.common import Role
from setproto.messages.payment import AcqCardCodeMsg
from setproto.messages.registration import MeAqCInitResData
from setproto.messages.registry import MESSAGES, TRADE
from setproto.reading import Kind, NotReadable, Reader, Show
from setproto.reading.found import SEALED_FIELDS
from setproto.reading.values import oid_name
from setproto.roles.answers import Answer, AnswerRecord
from setproto.roles.ports import Outgoing
from tests.cli.conftest import PAN
from tests.cli.test_demo import EVERY_SUITE

TOKENS = {"CapTokenData", "AuthTokenData", "PANToken"}

SEALED_APART = {oid_name(oid) for (of_type, _), oid in SEALED_FIELDS.items() if of_type is not MeAqCInitResData}
"""What is sealed beside bodies."""


@cache
def everything(suite: str = "p256") -> Market:
    """A market in which every message was sent, and an Error."""
    market = Market.open(suite)
    market.gateway._card_message = AcqCardCodeMsg(
        acq_card_code=AcqCardCode.messageOfDay, acq_card_text="thank you for your custom"
    )
    merchant, cardholder = market.merchant, market.cardholder
    lid_c, request = cardholder.start(market.order("EUR 100.00", b"three parcels", first_amount="EUR 40.00"))
    market.deliver(Role.cardholder, request)
    market.deliver(Role.cardholder, cardholder.pay(lid_c))
    xid = market.result(lid_c).xid
    asked: list[Callable[[], Outgoing]] = [
        lambda: merchant.ask_certificates(),
        lambda: merchant.capture(xid),
        lambda: merchant.credit(xid),
        lambda: merchant.reverse_credit(xid),
        lambda: merchant.reverse_capture(xid),
        lambda: merchant.authorize(xid, CurrencyAmount.of("EUR 35.00"), more=True),
        lambda: merchant.reverse(xid, CurrencyAmount.of("EUR 30.00")),
        lambda: merchant.capture(xid),
        lambda: merchant.batch(1, BatchOperation.close),
    ]
    for ask in asked:
        market.deliver(Role.merchant, ask())
    market.deliver(Role.cardholder, cardholder.inquire(lid_c))
    market.deliver(Role.merchant, Outgoing(Role.gateway, "PInitReq", request.data))
    return market


@pytest.mark.parametrize("suite", EVERY_SUITE)
def test_every_message_is_shown_and_everything_sealed_in_it_opens(suite: str) -> None:
    market = everything(suite)
    reader = Reader(everyone(market))
    names = set()
    for delivery in market.traffic:
        name = delivery.message.name
        first = len(reader.found)
        node = reader.message(delivery.message.data)
        assert node.name == name
        names.add(node.name)
        assert not any(PAN in part.text for part in node.walk())
        for entry in reader.found[first:]:
            assert entry.kind is Kind.PLAIN or entry.content is not None, (name, entry.name)
            assert entry.name != "unknown content"
    assert names == {message.name for message in TRADE} | {"Error"}
    sealed = {entry.name for entry in reader.found if entry.kind is Kind.SEALED}
    assert sealed >= SEALED_APART
    bodies = {entry.name for entry in reader.found if entry.kind is Kind.PLAIN}
    assert bodies >= {oid_name(message.content_type) for message in TRADE} | SEALED_APART


def test_every_kind_of_record_is_read_and_everything_sealed_in_it_opens() -> None:
    market = everything()
    types, opened = set(), set()
    for role, store in market.stores.items():
        for (table, _), value in store.dump().items():
            reader = Reader(everyone(market))
            try:
                node = reader.read(value)
            except NotReadable:
                # Identifiers and counts.
                assert table in (
                    "lid_by_rrpid",
                    "used_pi",
                    "current_batch",
                    "batch_items",
                    "batch_members",
                    "waiting",
                    "purged",
                    "outbox",
                    "outbox_latest",
                ), table
                assert len(value) <= 48
                continue
            types.add((role.name, table, node.name))
            texts = [part.text for part in node.walk()]
            assert not any(PAN in text for text in texts)
            if table == "purchases":
                own = {Role.cardholder: "lid_c", Role.merchant: "chall_m", Role.gateway: "hpi_data"}[role]
                assert any(child.name == own for child in node.children)
            for entry in reader.found:
                assert entry.kind is not Kind.SEALED or entry.content is not None, (role, table, entry.name)
                if entry.kind is Kind.SEALED:
                    opened.add((role.name, table, entry.name))
    assert types == {
        ("cardholder", "purchases", "Purchase"),
        ("merchant", "orders", "OrderRecord"),
        ("merchant", "purchases", "PurchaseRecord"),
        ("merchant", "requests", "RequestRecord"),
        ("merchant", "batch_members", "Member"),
        ("merchant", "batches", "BatchStatus"),
        ("merchant", "cert_pe", "Certificate"),
        ("merchant", "answers", "AnswerRecord"),
        ("gateway", "purchases", "PurchaseRecord"),
        ("gateway", "batches", "BatchRecord"),
        ("gateway", "batch_items", "TransactionDetail"),
        ("gateway", "answers", "AnswerRecord"),
    }
    for name in SEALED_APART:
        # The message for the cardholder waits in the purchase, the instruction in the request.
        table = "purchases" if name == "AcqCardCodeMsg" else "requests"
        assert ("merchant", table, name) in opened
    assert {name for role, table, name in opened if (role, table) == ("merchant", "requests")} >= TOKENS


def test_keys_decide_who_reads() -> None:
    market = everything()
    by_name = {step.name: step for step in steps(market, market.deliveries)}
    first = next(step for step in steps(market, market.deliveries) if step.name == "AuthRes")
    assert first.opens == {
        Role.cardholder: ("AcqCardCodeMsg",),
        Role.merchant: ("AuthResTBS",),
        Role.gateway: ("CapTokenData", "AcqCardCodeMsg", "AuthTokenData", "PANToken"),
    }
    assert {(what, to) for what, to, _ in first.sealed} == {
        ("AuthResTBS", Role.merchant),
        *((token, Role.gateway) for token in TOKENS),
        ("AcqCardCodeMsg", Role.cardholder),
    }
    # Of which authorisation the new token is, only the request said that the gateway opened.
    assert by_name["AuthRevRes"].opens == {Role.merchant: ("AuthRevResTBS",), Role.gateway: ("CapTokenData",)}
    assert by_name["AuthReq"].opens == {Role.gateway: ("AuthReqTBS", "AuthTokenData", "PANToken")}
    assert by_name["PRes"].opens == {Role.cardholder: ("AcqCardCodeMsg",), Role.gateway: ("AcqCardCodeMsg",)}
    assert all(Role.merchant not in step.opens or len(step.opens[Role.merchant]) == 1 for step in by_name.values())


def test_what_each_answer_said() -> None:
    market = everything()
    said = [(step.name, step.said) for step in steps(market, market.deliveries) if step.said]
    assert said == [
        ("AuthRes", ("approved EUR 40.00",)),
        ("PRes", ("authorizationPerformed", "approved 2/5")),
        ("PCertRes", ("success",)),
        ("CapRes", ("success EUR 40.00",)),
        ("CredRes", ("success EUR 40.00",)),
        ("CredRevRes", ("success EUR 40.00",)),
        ("CapRevRes", ("success EUR 40.00",)),
        ("AuthRes", ("approved EUR 35.00",)),
        ("AuthRevRes", ("approved EUR 30.00",)),
        ("CapRes", ("success EUR 30.00",)),
        ("BatchAdminRes", ("success", "pending")),
        ("InqRes", ("authorizationPerformed", "approved 2/5", "capturePerformed", "approved 3/10", "success 3/10")),
        ("Error", ("messageNotSupported",)),
    ]


def test_a_token_moved_to_another_purchase_does_not_open() -> None:
    market = everything()
    gateway = openers(market)[Role.gateway]
    data = next(d.message.data for d in market.deliveries if d.message.name == "AuthRes")
    for message, opened in ((data, TOKENS), (data.replace(next(iter(market.results)), bytes(20)), set())):
        reader = Reader(gateway)
        reader.message(message)
        assert {entry.name for entry in reader.found if entry.content is not None} == opened


def test_card_data_in_tokens_is_shown_on_demand_only() -> None:
    market = everything()
    data = [d.message.data for d in market.deliveries if d.message.name == "AuthReq"][1]
    for show, pan in {Show.HIDDEN: "<redacted>", Show.MASKED: "411111••••••1111", Show.REVEALED: PAN}.items():
        node = Reader(everyone(market), show).message(data).find("pan")
        assert node is not None
        assert node.text.strip() == pan
    for value in market.stores[Role.cardholder].dump().values():
        if len(value) > 20:
            node = Reader().read(value).find("back_key")
            assert node is not None
            assert node.text == "<redacted>"


def test_nesting_has_an_end() -> None:
    record = b""
    for _ in range(1000):
        answers = [Answer(to=Role.merchant, name="x" * 64, data=record)]
        record = encode(AnswerRecord(content=digest("x"), answers=answers))
    assert Reader().read(record).find("data") is not None
    signer = everything().merchant.credentials.signer
    signed = b"content"
    for _ in range(60):
        signed = signer.sign(signed, MESSAGES[3].content_type, certificates=[])
    assert Reader().read(signed).name == "SignedData"
