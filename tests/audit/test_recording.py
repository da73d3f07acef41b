"""Every role records what it received, sent and decided, and nothing that it must not keep."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest

from pki.der import encode
from setproto.market import TRADERS, Market
from setproto.messages.common import Role
from setproto.messages.registry import AUTH_REQ
from setproto.messages.wrapper import rewrapped, unwrap
from setproto.roles import journal
from setproto.roles.ports import Outgoing
from setproto.roles.recording import KNOWN, REFUSED, Recorder
from setproto.scan import scan
from setproto.scenario import run, shipped
from tests.audit.records import audited, names, record_of, roots, rows, story
from tests.cli.test_demo import EVERY_SUITE
from tests.registration.office import ANSWERS, Office
from tests.roles.scenes import after, before, begin, snapshot
from tests.secrecy.world import scanner_for


@pytest.mark.parametrize("suite", EVERY_SUITE)
def test_every_message_is_in_the_records_of_both_ends_and_every_record_is_good(suite: str) -> None:
    scene = story(suite)
    sent, received = Counter[tuple[Role, str]](), Counter[tuple[Role, str]]()
    for role, store in scene.market.stores.items():
        for _, handled in rows(store):
            for was_sent, name in names(handled):
                (sent if was_sent else received)[role, name] += 1
    assert set(scene.sent) == {name for _, name in sent} == {name for _, name in received}
    assert {*sent.values(), *received.values()} == {1}
    for store in scene.market.stores.values():
        done = audited(store, roots(scene.market))
        assert (done.closed, done.unkept) == (0, 0)
        assert done.verified == sum(len(handled.messages) for _, handled in rows(store))


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_records_of_every_scenario_are_good(name: str) -> None:
    outcome = run(shipped()[name], journal=True)
    assert outcome.ok
    for store in outcome.market.stores.values():
        assert audited(store, roots(outcome.market)).verified


@pytest.mark.parametrize("applicant_role", [Role.cardholder, Role.merchant, Role.gateway])
def test_the_records_of_a_registration_are_good(applicant_role: Role) -> None:
    office = Office.open()
    applicant = office.applicant(applicant_role)
    ca = office.cas[applicant_role]
    applicant.recorder, ca.recorder = Recorder(applicant), Recorder(ca)
    office.deliver(applicant, applicant.start())
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert applicant.certified()
    for party in (applicant, ca):
        done = audited(party.store, applicant.validator.roots)  # type: ignore[arg-type]
        assert done.verified
        assert done.closed, "a CertReq stays as it came"
        what = [name for _, handled in rows(party.store) for _, name in names(handled)]  # type: ignore[arg-type]
        assert what == [message.name for message in office.wire]


def test_what_certificates_are_judged_by_is_recorded_even_if_a_transaction_that_found_it_recorded_is_undone() -> None:
    market = Market.open(journal=True)
    holder, store = market.cardholder, market.stores[Role.cardholder]
    message = Outgoing(Role.merchant, "PInitReq", b"", b"as it was sent")

    def undone() -> None:
        with store.transaction() as transaction:
            holder.begun(transaction, message)
            holder.begun(transaction, message)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        undone()
    with store.transaction() as transaction:
        holder.begun(transaction, message)
    assert [handled.knowledge is not None for _, handled in rows(store)] == [True]


def test_nobody_keeps_a_record_unless_told_to() -> None:
    scene = after("AuthReq", Market.open())
    for store in scene.market.stores.values():
        assert not {table for table, _ in snapshot(store)} & {journal.ENTRIES, journal.HEAD, KNOWN}
    assert all(outgoing.evidence is None for outgoing in scene.sent.values())


def test_what_is_recorded_is_neither_shown_nor_compared() -> None:
    outgoing = Outgoing(Role.gateway, "AuthReq", b"sealed", b"in the clear")
    assert "clear" not in repr(outgoing)
    assert outgoing == Outgoing(Role.gateway, "AuthReq", b"sealed")
    scene = before("AuthReq", Market.open(journal=True))
    wire = unwrap(scene.data)
    scene.market.gateway.receive(wire, AUTH_REQ)
    assert wire.unsealed
    assert wire.unsealed[0].hex() not in repr(wire)
    assert str(wire.unsealed[0]) not in repr(wire)


def test_a_repetition_is_recorded_as_a_decision_only() -> None:
    scene = before("AuthReq", Market.open(journal=True))
    for _ in range(2):
        scene.market.gateway.handle(scene.data)
    store = scene.market.stores[Role.gateway]
    _, (entry, handled) = rows(store)
    assert (entry.what, handled.messages) == ("AuthReq", [])
    assert [decision.kind for decision in handled.decisions] == ["REPEATED"]
    assert audited(store, roots(scene.market)).unkept == 1


def test_a_refused_message_leaves_its_digest_and_none_of_its_octets() -> None:
    scene = begin(Market.open(journal=True))
    strange = b"\x30\x03strange octets of somebody's choice"
    scene.market.merchant.handle(strange)
    store = scene.market.stores[Role.merchant]
    ((entry, handled),) = rows(store)
    assert entry.what == REFUSED
    assert handled.unkept is not None
    assert (handled.unkept.digest, handled.unkept.length) == (hashlib.sha256(strange).digest(), len(strange))
    assert [(decision.kind, decision.code) for decision in handled.decisions] == [("REFUSED", "decodingFailure")]
    assert all(b"strange octets" not in value for value in snapshot(store).values())


def test_an_error_is_recorded_and_its_octets_are_not() -> None:
    scene = begin(Market.open(journal=True))
    (error,) = scene.market.gateway.handle(b"nonsense").outgoing
    scene.market.merchant.handle(error.data)
    ((entry, handled),) = rows(scene.market.stores[Role.merchant])
    assert (entry.what, handled.messages) == ("Error", [])
    assert [(decision.kind, decision.code) for decision in handled.decisions] == [("ERROR_RECEIVED", "decodingFailure")]


def test_what_is_rolled_back_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = before("AuthReq", Market.open(journal=True))
    store = scene.market.stores[Role.gateway]
    kept = snapshot(store)

    def crash(*anything: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            scene.deliver()
    assert snapshot(store) == kept
    scene.deliver()
    ((_, handled),) = rows(store)
    assert handled.knowledge is not None


def test_what_is_known_is_recorded_once_and_again_when_it_changes() -> None:
    market = Market.open(journal=True)
    market.buy("EUR 1.00", b"one")
    market.renew_crls()
    market.buy("EUR 2.00", b"two")
    for store in market.stores.values():
        told = [handled.knowledge is not None for _, handled in rows(store)]
        assert told[0]
        assert sum(told) == 2
        assert audited(store, roots(market)).verified


def test_wrapper_extensions_stay_with_a_message_without_its_seal() -> None:
    data = begin(Market.open()).data
    extended = rewrapped(data, unwrap(data).body)
    assert extended == data


@pytest.mark.parametrize("suite", EVERY_SUITE)
@pytest.mark.prop("PX-1", "PU-8")
def test_no_record_holds_card_data(suite: str) -> None:
    market = story(suite).market
    scanner, pan = scanner_for(market.card), market.card.card.pan.reveal()
    ordered = market.cardholder.purchase(story(suite).lid_c).ordered
    assert ordered is not None
    for role in TRADERS:
        entries = [encode(entry) for entry, _ in rows(market.stores[role])]
        assert not scanner.hits(entries)
        assert not scan(entries, pan).hits
        assert all(ordered.back_key not in entry for entry in entries)
        # The same scan finds a number that is there.
        assert scan([*entries, b"number " + pan.encode()], pan).hits


@pytest.mark.parametrize("role", TRADERS)
def test_an_audit_needs_no_key(role: Role) -> None:
    assert audited(record_of(role)).verified
