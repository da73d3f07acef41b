"""What each party can prove to others from its record, and what nobody can make up."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pki.der import decode, encode, replace
from setproto.amounts import CurrencyAmount
from setproto.audit import evidence, prove
from setproto.audit.evidence import Evidence, Item
from setproto.audit.statements import Statement
from setproto.cli import app
from setproto.errors import ProtocolError, SetError, UsageError
from setproto.market import TRADERS, Market
from setproto.messages.common import Role
from setproto.messages.payment import AuthReqData, EncB
from setproto.messages.registry import AUTH_REQ, PINIT_RES
from setproto.messages.wrapper import MessageIDs, unwrap
from setproto.reading.cms import read_signed
from setproto.reading.pem import to_pem
from setproto.scan import scan
from setproto.scenario import run, shipped
from setproto.store.sql import SQLStore
from tests.audit.records import evidence_of, flipped, later_evidence_of, roots, rows, story
from tests.cli.test_demo import EVERY_SUITE
from tests.pki.forging import serial_of
from tests.roles.scenes import before, snapshot


def said(file: Evidence, trusted: tuple[bytes, ...] | None = None) -> list[Statement]:
    return list(prove(evidence.dump(file), roots() if trusted is None else trusted).statements)


def in_short(file: Evidence, trusted: tuple[bytes, ...] | None = None) -> list[str]:
    """Who said what, and the amount or result."""
    return [
        f"{one.by.role.name} {one.what} {one.facts.get('amount', one.facts.get('result', ''))}".strip()
        for one in said(file, trusted)
    ]


STRIDE = 149
"""Octets from one that is changed to the next: a prime, so that all eight bits come up everywhere."""
REFUND = [
    "merchant asked (CredReq) EUR 42.00",
    "gateway refunded EUR 42.00",
    "merchant asked (CredRevReq) EUR 42.00",
    "gateway refund reversed EUR 42.00",
    "merchant asked (CapRevReq) EUR 42.00",
    "gateway capture reversed EUR 42.00",
    "merchant asked (AuthRevReq) EUR 0.00",
    "gateway approval changed to EUR 0.00",
]


@pytest.mark.parametrize("suite", EVERY_SUITE)
@pytest.mark.prop("PX-8", "OT-4")
def test_a_merchant_proves_the_order_the_approval_and_what_became_of_the_money(suite: str) -> None:
    assert in_short(evidence_of(Role.merchant, suite), roots(story(suite).market)) == [
        "cardholder ordered EUR 42.00",
        "merchant asked (AuthReq) EUR 42.00",
        "gateway approved EUR 42.00",
        "merchant confirmed authorizationPerformed",
        "merchant asked (CapReq) EUR 42.00",
        "gateway captured EUR 42.00",
        "merchant confirmed capturePerformed",
        *REFUND,
    ]


@pytest.mark.parametrize("suite", EVERY_SUITE)
@pytest.mark.prop("PX-8", "OT-4")
def test_a_cardholder_proves_the_order_and_what_the_merchant_confirmed(suite: str) -> None:
    market = story(suite).market
    ordered, first, second = said(evidence_of(Role.cardholder, suite), roots(market))
    merchant, gateway = str(market.merchant.party), str(market.gateway.party)
    assert ordered.by == market.cardholder.party
    assert ordered.facts == {"order": "one book", "amount": "EUR 42.00", "from": merchant, "through": gateway}
    assert (first.by, second.by) == (market.merchant.party, market.merchant.party)
    assert first.facts == {
        "result": "authorizationPerformed",
        "authorisation": "approved",
        "authorised": "EUR 42.00",
        "to": str(market.cardholder.party),
    }
    assert second.facts["captured"] == "EUR 42.00"


@pytest.mark.parametrize("suite", EVERY_SUITE)
@pytest.mark.prop("PX-8")
def test_a_gateway_proves_what_it_was_asked_and_that_the_cardholder_signed_for_that_order(suite: str) -> None:
    trusted = roots(story(suite).market)
    file = evidence_of(Role.gateway, suite)
    assert in_short(file, trusted) == [
        "merchant asked (AuthReq) EUR 42.00",
        "cardholder signed a payment instruction sealed",
        "gateway approved EUR 42.00",
        "merchant asked (CapReq) EUR 42.00",
        "gateway captured EUR 42.00",
        *REFUND,
    ]
    # The same digest stands for the order in the merchant's file, where the order itself is.
    preq = evidence_of(Role.merchant, suite)
    assert preq.terms is not None
    assert file.terms is None
    assert said(file, trusted)[1].facts["amount"] == "sealed"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_scenario_can_be_proved(name: str) -> None:
    outcome = run(shipped()[name], journal=True)
    market = outcome.market
    xid = next(iter(market.results), None)
    assert xid is not None
    for role, store in market.stores.items():
        with store.transaction() as transaction:
            file = evidence.export(transaction, xid)
        statements = said(file, roots(market))
        assert statements
        if role is not Role.cardholder:
            units = [one.facts["amount"] for one in statements if one.what == "captured"]
            total = sum((CurrencyAmount.of(text).value for text in units), CurrencyAmount.of("EUR 0.00").value)
            assert total >= outcome.amounts.captured.value


def test_a_file_holds_no_card_data() -> None:
    market = story().market
    for role in TRADERS:
        der = evidence.dump(evidence_of(role))
        assert not scan([der], market.card.card.pan.reveal()).hits
        assert market.card.pan_secret.reveal() not in der


# --- nobody makes one up --------------------------------------------------------------------------


@given(st.data())
@settings(deadline=None)
@pytest.mark.prop("PX-8")
def test_a_changed_file_is_refused_or_says_the_same(data: st.DataObject) -> None:
    role = data.draw(st.sampled_from(TRADERS))
    der = evidence.dump(evidence_of(role))
    changed = flipped(der, data.draw(st.integers(0, len(der) - 1)), data.draw(st.integers(0, 7)))
    try:
        statements = prove(changed, roots()).statements
    except SetError:
        return
    assert statements == prove(der, roots()).statements


@pytest.mark.parametrize("role", TRADERS)
def test_every_so_many_octets(role: Role) -> None:
    der = evidence.dump(evidence_of(role))
    good = prove(der, roots()).statements
    refused = 0
    for at in range(0, len(der), STRIDE):
        try:
            assert prove(flipped(der, at, at % 8), roots()).statements == good
        except (ProtocolError, UsageError):
            refused += 1
    assert refused > len(der) // STRIDE // 2


def refusal(file: Evidence, trusted: tuple[bytes, ...] | None = None) -> str:
    with pytest.raises((ProtocolError, UsageError)) as found:
        said(file, trusted)
    return str(found.value)


def mixed(role: Role, change: Callable[[Evidence, Evidence], dict[str, Any]]) -> Evidence:
    mine, theirs = evidence_of(role), later_evidence_of(role)
    return replace(mine, **change(mine, theirs))


def test_the_other_purchase_has_a_good_file_of_its_own() -> None:
    for role in TRADERS:
        assert any("EUR 7.00" in text for text in in_short(later_evidence_of(role)))


@pytest.mark.parametrize("role", TRADERS)
@pytest.mark.prop("PX-8")
def test_parts_of_two_purchases_do_not_make_one(role: Role) -> None:
    assert "another purchase" in refusal(mixed(role, lambda mine, theirs: {"xid": theirs.xid}))
    for number in range(len(later_evidence_of(role).items)):
        added = mixed(role, lambda mine, theirs, n=number: {"items": [*mine.items, replace(theirs.items[n], known=0)]})  # type: ignore[misc]
        assert "another purchase" in refusal(added)
    if role is Role.gateway:
        assert "signature" in refusal(mixed(role, lambda mine, theirs: {"hpi_data": theirs.hpi_data}))
        assert "nobody signed" in refusal(replace(evidence_of(role), terms=evidence_of(Role.merchant).terms))
    else:
        assert "not the order" in refusal(mixed(role, lambda mine, theirs: {"terms": theirs.terms}))
        assert "nobody signed" in refusal(replace(evidence_of(Role.cardholder), hpi_data=bytes(32)))
        assert "signatureFailure" in refusal(mixed(role, lambda mine, theirs: {"hpi_data": bytes(32)}))


@pytest.mark.parametrize("change", [{"amount": CurrencyAmount.of("EUR 4.00")}, {"description": b"two books"}])
def test_no_other_order_is_stated(change: dict[str, Any]) -> None:
    file = evidence_of(Role.cardholder)
    assert file.terms is not None
    assert "not the order that was signed" in refusal(replace(file, terms=replace(file.terms, **change)))
    assert "the order is missing" in refusal(replace(file, terms=None))


@pytest.mark.parametrize("role", TRADERS)
def test_a_file_can_say_less_and_no_answer_goes_without_its_request(role: Role) -> None:
    file = evidence_of(role)
    for number, item in enumerate(file.items):
        kind = unwrap(item.wire).type
        assert kind is not None
        fewer = replace(file, items=[*file.items[:number], *file.items[number + 1 :]])
        if kind.tag % 2 == 0:
            assert refusal(fewer)
        else:
            assert set(in_short(fewer)) <= set(in_short(file))


def test_a_message_twice_and_messages_that_prove_nothing() -> None:
    file = evidence_of(Role.cardholder)
    assert "twice" in refusal(replace(file, items=[*file.items, file.items[0]]))
    pinit_res = next(
        message.wire
        for _, handled in rows(story().market.stores[Role.cardholder])
        for message in handled.messages
        if unwrap(message.wire).type is PINIT_RES
    )
    assert "proves nothing" in refusal(replace(file, items=[*file.items, Item(known=0, wire=pinit_res)]))
    assert "nothing to judge" in refusal(replace(file, items=[replace(file.items[0], known=7)]))
    assert "version" in refusal(replace(file, version=2))


def by_the_merchant(change: Callable[[AuthReqData], dict[str, Any]], to: str = "") -> Evidence:
    """The merchant's file, with an AuthReq that it signs with its own keys, changed, in place of its own."""
    file, merchant = evidence_of(Role.merchant), story().market.merchant
    preq, auth_req = file.items[:2]
    wire = unwrap(auth_req.wire)
    outer = decode(EncB, wire.body)
    signed = read_signed(outer.enc)
    assert signed is not None
    body = decode(AuthReqData, signed.content or b"")
    body = replace(body, **change(body))
    ids = body.auth_req_item.auth_tags.trans_ids
    over = merchant.header(wire.header.rrpid, MessageIDs.of(ids))
    with merchant.store.transaction() as transaction:
        gateway = merchant.gateway(transaction)
    recipient = replace(body.head.recipient, name=to or body.head.recipient.name)
    body = replace(body, head=merchant.head(AUTH_REQ.content_type, recipient, over))
    sent = merchant.protect(AUTH_REQ, over, body, recipient=gateway, baggage=outer.baggage).outgoing
    assert sent.evidence is not None
    return replace(file, items=[preq, replace(auth_req, wire=sent.evidence)])


def item_with(body: AuthReqData, **changes: Any) -> dict[str, Any]:
    return {"auth_req_item": replace(body.auth_req_item, **changes)}


def test_a_merchant_with_its_own_keys_makes_no_file_of_parts_that_do_not_fit() -> None:
    def other_order(body: AuthReqData) -> dict[str, Any]:
        assert body.auth_req_item.check_digests is not None
        return item_with(body, check_digests=replace(body.auth_req_item.check_digests, hod2=bytes(32)))

    def other_label(body: AuthReqData) -> dict[str, Any]:
        tags = body.auth_req_item.auth_tags
        return item_with(body, auth_tags=replace(tags, trans_ids=replace(tags.trans_ids, lid_m=b"another")))

    assert in_short(by_the_merchant(lambda body: {}))[:2] == in_short(evidence_of(Role.merchant))[:2]
    assert "authorised for another order" in refusal(by_the_merchant(other_order))
    assert "identifiers of different purchases" in refusal(by_the_merchant(other_label))
    assert "between different parties" in refusal(by_the_merchant(lambda body: {}, to="gateway-2"))


def test_other_keys_make_no_statement() -> None:
    """A whole market of one's own, with the same names, is worth nothing under the real root."""
    market = Market.open(journal=True)
    purchase = market.buy("EUR 1.00", b"one")
    for store in market.stores.values():
        with store.transaction() as transaction:
            file = evidence.export(transaction, purchase.xid)
        assert said(file, roots(market))
        assert refusal(file, roots())


def test_expired_later_does_not_matter_and_revoked_then_does() -> None:
    market = Market.open(journal=True)
    purchase = market.buy("EUR 1.00", b"one")
    market.tree.mca.revoke(serial_of(market.merchant.credentials.signer.certificate), market.clock())
    market.renew_crls()
    revoked = market.cardholder.validator.revocation(market.tree.brand)
    market.clock.advance(timedelta(days=20 * 365))
    for store in market.stores.values():
        with store.transaction() as transaction:
            file = evidence.export(transaction, purchase.xid)
        assert said(file, roots(market)), "judged by the lists of that day"
        known = [replace(one, crls=list(revoked.crls), bci=revoked.bci) for one in file.known]
        assert "revokedCertificate" in refusal(replace(file, known=known), roots(market))


def test_a_message_is_judged_by_the_lists_that_were_out_when_it_was_made() -> None:
    scene = before("PReq", Market.open(journal=True))
    scene.market.clock.advance(timedelta(minutes=5))
    scene.market.renew_crls()  # before the PReq arrives: lists from after its date
    while scene.hand is not None:
        scene.deliver()
    xid = scene.xid
    for store in scene.market.stores.values():
        with store.transaction() as transaction:
            file = evidence.export(transaction, xid)
        assert said(file, roots(scene.market))
    with scene.market.stores[Role.merchant].transaction() as transaction:
        assert len(evidence.export(transaction, xid).known) == 2


def test_a_record_has_nothing_about_a_purchase_that_there_is_not() -> None:
    with (
        story().market.stores[Role.merchant].transaction() as transaction,
        pytest.raises(UsageError, match="nothing about this purchase"),
    ):
        evidence.export(transaction, bytes(20))


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The merchant's database, and the root certificate."""
    store = SQLStore(f"sqlite:///{tmp_path / 'merchant.db'}", "merchant")
    with store.transaction() as transaction:
        for (table, key), value in snapshot(story().market.stores[Role.merchant]).items():
            transaction.put(table, key, value)
    store.close()
    (tmp_path / "root.pem").write_bytes(to_pem("CERTIFICATE", roots()[0]))
    return tmp_path


def arguments(shop: Path, *more: str) -> list[str]:
    return ["--store", f"sqlite:///{shop / 'merchant.db'}", "--space", "merchant", *more]


def setproto(*command: str, status: int = 0) -> str:
    """Run a command, which must end with this exit status; what it wrote."""
    result = CliRunner().invoke(app, command)
    assert result.exit_code == status, result.output
    return result.output


def test_the_commands(shop: Path) -> None:
    root = ["--root", str(shop / "root.pem")]
    whole = setproto("audit", *arguments(shop, *root))
    assert "is whole: 18 entries, 22 messages verified" in whole
    head = whole.split("head: ")[1].strip()
    told = json.loads(setproto("audit", *arguments(shop, *root, "--noted", head, "--json")))
    assert (told["head"], told["verified"]) == (head, 22)
    out = shop / "dispute.pem"
    xid = story().xid.hex()
    assert "messages" in setproto("dispute", "export", *arguments(shop, "--xid", xid, "--out", str(out)))
    text = setproto("dispute", "verify", str(out), *root)
    assert "ordered: order one book, amount EUR 42.00" in text
    assert "refunded: amount EUR 42.00" in text
    found = json.loads(setproto("dispute", "verify", str(out), *root, "--json"))
    assert found["xid"] == xid
    assert found["statements"][0]["amount"] == "EUR 42.00"


def test_the_commands_refuse(shop: Path) -> None:
    root, out = ["--root", str(shop / "root.pem")], shop / "dispute.pem"
    export = arguments(shop, "--xid", story().xid.hex(), "--out", str(out))
    setproto("dispute", "export", *export)
    setproto("dispute", "export", *export, status=2)  # never over another file
    setproto("dispute", "export", *arguments(shop, "--xid", "12", "--out", "x"), status=2)
    setproto("audit", *arguments(shop, *root)[:3], "nobody", *root, status=2)
    setproto("audit", "--store", f"sqlite:///{shop / 'other.db'}", "--space", "merchant", *root, status=2)
    assert not (shop / "other.db").exists()
    setproto("audit", "--store", "nonsense", "--space", "merchant", *root, status=2)
    setproto("audit", *arguments(shop, *root, "--noted", f"99:{'0' * 64}"), status=1)
    (shop / "other.pem").write_bytes(to_pem("CERTIFICATE", roots(Market.open())[0]))
    setproto("audit", *arguments(shop, "--root", str(shop / "other.pem")), status=1)
    setproto("dispute", "verify", str(out), "--root", str(shop / "other.pem"), status=1)
    der = bytearray(encode(evidence_of(Role.merchant)))
    der[len(der) // 2] ^= 1
    (shop / "bad.der").write_bytes(bytes(der))
    setproto("dispute", "verify", str(shop / "bad.der"), *root, status=1)
    (shop / "none.der").write_bytes(b"none")
    setproto("dispute", "verify", str(shop / "none.der"), *root, status=2)
