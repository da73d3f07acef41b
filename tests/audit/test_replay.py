"""Whatever is done to a record, the audit names the entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.der import decode, encode, general_time, replace
from setproto.audit import RecordRefused, audit
from setproto.errors import UsageError
from setproto.market import TRADERS, Market
from setproto.messages.common import PartyID, Role
from setproto.roles import journal
from setproto.roles.journal import ENTRIES, Entry, Head, JournalDamaged
from setproto.roles.recording import Decision, Unkept
from setproto.store import MemoryStore
from setproto.store.sql import SQLStore
from tests.audit.records import (
    Row,
    audited,
    damaged_at,
    flipped,
    names,
    record_of,
    roots,
    rows,
    store_of,
    story,
    with_wire,
    written_anew,
)
from tests.pki.forging import serial_of
from tests.roles.scenes import snapshot

FIELDS: dict[str, Callable[[Entry], Entry]] = {
    "number": lambda entry: replace(entry, number=entry.number + 1),
    "time": lambda entry: replace(entry, time=general_time(entry.at + timedelta(seconds=1))),
    "what": lambda entry: replace(entry, what=entry.what + "!"),
    "data": lambda entry: replace(entry, data=flipped(entry.data, len(entry.data) - 1)),
    "previous": lambda entry: replace(entry, previous=flipped(entry.previous, 0)),
}


def entries_of(store: MemoryStore) -> list[tuple[bytes, Entry]]:
    return sorted((key, decode(Entry, value)) for (table, key), value in snapshot(store).items() if table == ENTRIES)


# --- without rewriting the rest -------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("role", TRADERS)
@pytest.mark.prop("PX-8")
def test_an_altered_entry_is_named(role: Role, field: str) -> None:
    store = record_of(role)
    for key, entry in entries_of(store):
        bad = store_of({**snapshot(store), (ENTRIES, key): encode(FIELDS[field](entry))})
        # The hash that does not fit is in the entry or in the next one: the one before is named for "previous".
        assert damaged_at(bad) in (entry.number, max(entry.number - 1, 1))


@pytest.mark.parametrize("role", TRADERS)
def test_a_removed_entry_is_named(role: Role) -> None:
    store = record_of(role)
    for key, entry in entries_of(store):
        contents = snapshot(store)
        del contents[ENTRIES, key]
        assert damaged_at(store_of(contents)) == entry.number


@pytest.mark.parametrize("role", TRADERS)
def test_swapped_entries_are_named(role: Role) -> None:
    store = record_of(role)
    found = entries_of(store)
    for (first, one), (second, other) in pairwise(found):
        contents = snapshot(store)
        contents[ENTRIES, first], contents[ENTRIES, second] = encode(other), encode(one)
        assert damaged_at(store_of(contents)) == one.number


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_is_found(data: st.DataObject) -> None:
    contents = snapshot(record_of(data.draw(st.sampled_from(TRADERS))))
    key = data.draw(st.sampled_from(sorted(key for key in contents if key[0] in (ENTRIES, journal.HEAD))))
    value = contents[key]
    match data.draw(st.sampled_from(["flip", "cut", "grow", "remove"])):
        case "flip":
            contents[key] = flipped(value, data.draw(st.integers(0, len(value) - 1)), data.draw(st.integers(0, 7)))
        case "cut":
            contents[key] = value[: data.draw(st.integers(0, len(value) - 1))]
        case "grow":
            contents[key] = value + data.draw(st.binary(min_size=1, max_size=4))
        case "remove":
            del contents[key]
    assert damaged_at(store_of(contents)) >= 0


def test_a_changed_octet_in_the_database_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "merchant.db"
    store = SQLStore(f"sqlite:///{path}", "merchant")
    with store.transaction() as transaction:
        for (table, key), value in snapshot(record_of(Role.merchant)).items():
            transaction.put(table, key, value)
    with store.transaction() as transaction:
        (entry, *_) = list(journal.read(transaction))
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    octets = path.read_bytes()
    at = octets.index(entry.data[-40:]) + 20
    path.write_bytes(flipped(octets, at))
    store = SQLStore(f"sqlite:///{path}", "merchant")
    with store.transaction() as transaction, pytest.raises(JournalDamaged) as found:
        audit(transaction, roots())
    store.close()
    assert found.value.number == 1


# --- by somebody who rewrites all the hashes ------------------------------------------------------


def anew(role: Role, change: Callable[[list[Row]], list[Row]]) -> MemoryStore:
    store = record_of(role)
    return written_anew(store, change(rows(store)))


def test_a_record_that_is_written_anew_without_a_change_is_good() -> None:
    for role in TRADERS:
        store = record_of(role)
        assert audited(written_anew(store, rows(store))).head == audited(store).head


@pytest.mark.parametrize("role", TRADERS)
def test_no_signed_octet_can_be_changed(role: Role) -> None:
    """All but the octets of plain messages, which nobody signs, and whose answers hash them."""
    store = record_of(role)
    found = rows(store)
    for number, (_, handled) in enumerate(found):
        for which, message in enumerate(handled.messages):
            for at in range(0, len(message.wire), 397):
                changed = [*found]
                changed[number] = with_wire(found[number], lambda wire, at=at: flipped(wire, at), which)  # type: ignore[misc]
                with pytest.raises(JournalDamaged) as refusal:
                    audited(written_anew(store, changed))
                plain = names(handled)[which][1] == "PInitReq"
                assert refusal.value.number == number + 1 or plain


@pytest.mark.parametrize("role", TRADERS)
def test_an_answer_without_its_request_is_named(role: Role) -> None:
    store = record_of(role)
    found = rows(store)
    asks = [n for n, (entry, _) in enumerate(found) if entry.what in ("PReq", "CapReq", "AuthReq")]
    for number in asks:
        _, handled = found[number]
        fewer = replace(handled, messages=handled.messages[1:])
        with pytest.raises(RecordRefused) as refusal:
            audited(written_anew(store, [*found[:number], (found[number][0], fewer), *found[number + 1 :]]))
        assert refusal.value.number > number


def test_an_answer_before_its_request_is_named() -> None:
    store = record_of(Role.merchant)
    found = rows(store)
    place = next(n for n, (entry, _) in enumerate(found) if entry.what == "CapRes")
    found[place - 1], found[place] = found[place], found[place - 1]
    with pytest.raises(RecordRefused, match="an answer to a CapReq that is not in the record") as refusal:
        audited(written_anew(store, found))
    assert refusal.value.number == place


def test_messages_of_others_do_not_belong_in_a_record() -> None:
    gateway = rows(record_of(Role.gateway))
    with pytest.raises(RecordRefused, match="neither by nor for"):
        audited(anew(Role.merchant, lambda mine: [*mine, (gateway[0][0], replace(gateway[0][1], party=other()))]))
    with pytest.raises(RecordRefused):
        audited(anew(Role.merchant, lambda mine: [*mine, with_merchant(gateway[0])]))


def other() -> PartyID:
    party = story().market.gateway.party
    return replace(party, name="another")


def with_merchant(row: Row) -> Row:
    """A message of the gateway's in the merchant's name."""
    return row[0], replace(row[1], party=story().market.merchant.party)


def test_a_message_under_another_name_is_named() -> None:
    with pytest.raises(RecordRefused, match="called CapReq"):
        audited(anew(Role.gateway, lambda mine: [(replace(mine[0][0], what="CapReq"), mine[0][1]), *mine[1:]]))


def test_a_request_long_after_its_date_is_named() -> None:
    def later(mine: list[Row]) -> list[Row]:
        return [(replace(e, time=general_time(e.at + timedelta(hours=1))), handled) for e, handled in mine]

    with pytest.raises(RecordRefused, match="messageTooOld"):
        audited(anew(Role.gateway, later))


def test_two_requests_under_one_rrpid_are_named() -> None:
    """The second PInitReq has another challenge, which nobody signs: but its RRPID is taken."""
    store = record_of(Role.cardholder)
    found = rows(store)
    first = found[0][1].messages[0].wire
    challenge = story().market.cardholder.purchase(story().lid_c).latest.challenge
    assert challenge
    second = with_wire(found[0], lambda wire: flipped(wire, first.rindex(b"Marque") - 3))
    with pytest.raises(RecordRefused, match="another message under the same RRPID") as refusal:
        audited(written_anew(store, [found[0], second, *found[1:]]))
    assert refusal.value.number == 2


def test_a_decision_that_there_is_not_and_octets_in_two_places() -> None:
    made_up = Decision(kind="MADE_UP", detail="")
    with pytest.raises(RecordRefused, match="a kind that there is not"):
        audited(anew(Role.gateway, lambda mine: [(mine[0][0], replace(mine[0][1], decisions=[made_up])), *mine[1:]]))
    unkept = Unkept(digest=bytes(32), length=3)
    with pytest.raises(RecordRefused, match="not kept beside one that is"):
        audited(anew(Role.gateway, lambda mine: [(mine[0][0], replace(mine[0][1], unkept=unkept)), *mine[1:]]))


def test_a_cut_record_is_found_by_a_head_that_was_noted() -> None:
    store = record_of(Role.merchant)
    head = audited(store).head
    cut = written_anew(store, rows(store)[:-1])
    assert audited(cut).head.count == head.count - 1
    with pytest.raises(JournalDamaged, match="is missing") as refusal:
        audited(cut, noted=head)
    assert refusal.value.number == head.count
    other_end = written_anew(cut, [*rows(cut), rows(record_of(Role.merchant))[-2]])
    with pytest.raises(JournalDamaged, match="not the one to which the head leads") as refusal:
        audited(store_of(snapshot(store)), noted=Head(count=2, last=bytes(32)))
    assert refusal.value.number == 2
    assert rows(other_end)
    assert audited(store, noted=head).head == head
    assert journal.head_from(str(head)) == head
    with pytest.raises(UsageError, match="no head of a log"):
        journal.head_from("12")


# --- certificates ---------------------------------------------------------------------------------


def test_under_another_root_nothing_is_good() -> None:
    for role in TRADERS:
        with pytest.raises(RecordRefused) as refusal:
            audited(record_of(role), roots(Market.open()))
        assert refusal.value.number in (1, 2)


def test_roots_that_are_none() -> None:
    with pytest.raises(UsageError, match="not of one suite"):
        audited(record_of(Role.gateway), ())
    with pytest.raises(UsageError, match="not a root"):
        audited(record_of(Role.gateway), [b"nonsense"])


def test_a_certificate_that_expires_later_does_not_matter_and_one_revoked_then_does() -> None:
    market = Market.open(journal=True)
    market.buy("EUR 1.00", b"one")
    market.tree.mca.revoke(serial_of(market.merchant.credentials.signer.certificate), market.clock())
    market.clock.advance(timedelta(minutes=1))
    market.renew_crls()
    with pytest.raises(UsageError, match="nothing to pay"):  # the cardholder refuses the PInitRes
        market.buy("EUR 2.00", b"two")
    store = market.stores[Role.cardholder]
    found = rows(store)
    refused = [handled for _, handled in found if handled.unkept is not None]
    assert [decision.code for handled in refused for decision in handled.decisions] == ["revokedCertificate"]
    assert audited(store, roots(market)).disbelieved == 0
    assert audited(market.stores[Role.merchant], roots(market)).disbelieved == 1
    # Put what was signed before under the lists that revoke it, and it is good no more.
    told = next(handled.knowledge for _, handled in reversed(found) if handled.knowledge is not None)
    late = [
        (replace(entry, time=general_time(market.clock())), replace(handled, knowledge=told if n == 0 else None))
        for n, (entry, handled) in enumerate(found)
    ]
    with pytest.raises(RecordRefused, match="revokedCertificate"):
        audited(written_anew(store, late), roots(market))
