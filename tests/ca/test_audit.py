"""The database against its log: whatever was changed behind the office's back shows."""

from __future__ import annotations

import hashlib

import pytest

from pki import check_certificate
from pki.der import encode
from setproto.ca.audit import LogDisagrees, audit, told
from setproto.ca.office import Office
from setproto.ca.records import BCIS, CRLS, HIERARCHY, Noted
from setproto.ca.register import CERTIFICATE
from setproto.roles import journal
from setproto.roles.journal import ENTRIES, HEAD, START, Entry, Head, JournalDamaged
from setproto.store import MemoryStore
from tests.ca.conftest import DAY, NOW, at_work
from tests.ca.test_office import issued, serial, shop


def check(store: MemoryStore, noted: Head | None = None) -> Head:
    with store.transaction() as transaction:
        return audit(transaction, Office(transaction, NOW), noted)


@pytest.fixture
def used(store: MemoryStore) -> MemoryStore:
    """With something issued, revoked and published."""
    with at_work(store) as office:
        der, _ = issued(office, shop(office))
        office.revoke(serial(der))
        office.publish_crl("Marque/merchant-ca.1")
        office.publish_bci("Marque")
    check(store)
    return store


def place(store: MemoryStore, suffix: str) -> tuple[str, bytes]:
    """Where in the merchant CA's register its first record of a sort lies."""
    with store.transaction() as transaction:
        ca = check_certificate(Office(transaction, NOW).named("merchant-ca").certificates[0])
    table = f"{ca.subject_key_identifier.hex()}:{suffix}"
    return table, next(key for name, key in store._tables if name == table)


def test_the_log_tells_what_was_done(used: MemoryStore) -> None:
    with used.transaction() as transaction:
        entries = list(told(transaction))
        last = entries[-5:]
        assert [one.entry.what for one in last] == ["certificate", "certificate", "revocation", "CRL", "BCI"]
        assert [one.noted.about for one in last] == [*["Marque/merchant-ca.1"] * 4, "Marque"]
        assert last[0].number == last[2].number == f"{last[0].noted.number:X}"
        assert last[3].number == last[4].number == "2"
        assert {one.entry.at for one in last} == {NOW + DAY}
        crl = Office(transaction, NOW).crls()["Marque/merchant-ca.1"]
        assert last[3].noted.digest == hashlib.sha256(crl).digest()


@pytest.mark.parametrize("suffix", ["certificates", "revocations"])
def test_what_was_removed_from_a_register_shows(used: MemoryStore, suffix: str) -> None:
    """A revocation taken back, a certificate forgotten."""
    del used._tables[place(used, suffix)]
    with pytest.raises(LogDisagrees, match=rf"{suffix[:-1]} [0-9A-F]+ of Marque/merchant-ca.1 is in the log and not"):
        check(used)


def test_what_was_smuggled_into_a_register_shows(used: MemoryStore) -> None:
    table, key = place(used, "certificates")
    used._tables[table, bytes(19) + b"\x07"] = used._tables[table, key]
    with pytest.raises(LogDisagrees, match=r"certificate 7 of Marque/merchant-ca.1 is not in the log"):
        check(used)


@pytest.mark.parametrize("suffix", ["certificates", "revocations"])
def test_what_was_altered_in_a_register_shows(used: MemoryStore, suffix: str) -> None:
    where = place(used, suffix)
    used._tables[where] = used._tables[where][:-1] + bytes([used._tables[where][-1] ^ 1])
    with pytest.raises(LogDisagrees, match="is not in the log"):
        check(used)


@pytest.mark.parametrize(
    ("table", "key", "what"), [(CRLS, b"Marque/merchant-ca.1", "CRL 2"), (BCIS, b"Marque", "BCI 2")]
)
def test_what_is_published_is_what_was_made_last(used: MemoryStore, table: str, key: bytes, what: str) -> None:
    with at_work(used, NOW + 2 * DAY) as office:
        old = used._tables[table, key]
        office.publish_crl("Marque/merchant-ca.1")
        office.publish_bci("Marque")
    check(used)
    used._tables[table, key] = old
    with pytest.raises(LogDisagrees, match=f"{what} of {key.decode()} is not in the log"):
        check(used)


def test_the_declaration_is_that_of_the_founding(used: MemoryStore) -> None:
    used._tables[HIERARCHY] = used._tables[HIERARCHY].replace(b"# crl_days = 30", b"crl_days = 3000")
    with pytest.raises(LogDisagrees, match="hierarchy 1 of Example Root"):
        check(used)


def test_an_entry_that_is_about_nothing_shows(used: MemoryStore) -> None:
    with used.transaction() as transaction:
        noted = Noted(about="Marque/merchant-ca.1", number=7, digest=bytes(32))
        journal.append(transaction, NOW, CERTIFICATE, encode(noted))
    with pytest.raises(LogDisagrees, match=r"certificate 7 of .* is in the log and not there"):
        check(used)
    with used.transaction() as transaction:
        journal.append(transaction, NOW, CERTIFICATE, b"")
    with pytest.raises(JournalDamaged, match="cannot be read"):
        check(used)


def cut(store: MemoryStore, entries: int) -> None:
    """The log ends earlier, and its head says so: what the log alone cannot show."""
    with store.transaction() as transaction:
        kept: list[Entry] = list(journal.read(transaction))[:entries]
    for name, key in list(store._tables):
        if name == ENTRIES and int.from_bytes(key, "big") > entries:
            del store._tables[name, key]
    last = kept[-1].hash if kept else START
    store._tables[HEAD, b"head"] = encode(Head(count=len(kept), last=last))


def test_a_log_that_was_cut_off_disagrees_with_the_registers(used: MemoryStore) -> None:
    noted = check(used)
    cut(used, noted.count - 3)  # the revocation, the CRL and the BCI
    with pytest.raises(LogDisagrees, match="is not in the log"):
        check(used)


def test_a_log_and_a_database_set_back_together_do_not_lead_to_the_head_that_was_noted(used: MemoryStore) -> None:
    before, early = used.dump(), check(used)
    with at_work(used) as office:
        issued(office, shop(office))
    late = check(used)
    assert check(used, early) == check(used, late) == late
    assert check(used, Head(count=0, last=START)) == late
    used._tables = before
    assert check(used, early) == early
    for noted in (late, Head(count=early.count, last=late.last), Head(count=early.count - 1, last=early.last)):
        with pytest.raises(LogDisagrees, match="does not lead to the head"):
            check(used, noted)
