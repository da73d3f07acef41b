"""The register on a store: it forgets nothing, and nothing enters it without the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki import CertificateError, MemoryRegister, Register, Revocation
from pki.der import encode
from setproto.ca.records import Noted
from setproto.ca.register import CERTIFICATE, REVOCATION, StoreRegister
from setproto.errors import UsageError
from setproto.roles import journal
from setproto.roles.ports import Transaction
from setproto.store import MemoryStore
from setproto.store.sql import SQLStore
from tests.ca.conftest import DAY, NOW

KEY = bytes(range(20))
SERIAL = (1 << 159) - 1
Reason = x509.ReasonFlags


def register(transaction: Transaction, name: str = "A", key: bytes = KEY) -> StoreRegister:
    return StoreRegister(transaction, name, key, NOW)


@pytest.fixture(params=["memory", "sqlite"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryStore | SQLStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    store = SQLStore(f"sqlite:///{tmp_path / 'ca.db'}", "ca")
    yield store
    store.close()


def test_it_holds_what_was_entered(empty: MemoryStore) -> None:
    with empty.transaction() as transaction:
        for serial in (SERIAL, 1, 77):
            register(transaction).add(serial, b"key of %d" % serial, b"certificate %d" % serial)
    with empty.transaction() as transaction:
        again = register(transaction)
        assert again.certificate(77) == b"certificate 77"
        assert again.certificate(78) is None
        assert again.certificate(0) is again.certificate(-1) is again.certificate(1 << 160) is None
        assert again.is_certified(b"key of 1")
        assert not again.is_certified(b"key of 2")
        assert [serial for serial, _ in again.certificates()] == [1, 77, SERIAL]


@pytest.mark.prop("CR-18")
def test_a_key_or_a_serial_number_enters_once(empty: MemoryStore) -> None:
    with empty.transaction() as transaction:
        register(transaction).add(1, b"key", b"certificate")
    with empty.transaction() as transaction:
        before = list(journal.read(transaction))
        for serial, key in ((1, b"other key"), (2, b"key")):
            with pytest.raises(CertificateError, match="in the register already"):
                register(transaction).add(serial, key, b"other")
        assert register(transaction).certificate(1) == b"certificate"
        assert register(transaction).certificate(2) is None
        assert list(journal.read(transaction)) == before


@pytest.mark.parametrize(
    "reason", [None, *(flag for flag in Reason if flag not in (Reason.remove_from_crl, Reason.unspecified))]
)
def test_revocations_come_back_and_the_first_one_stays(empty: MemoryStore, reason: Reason | None) -> None:
    first = Revocation(at=NOW, reason=reason)
    with empty.transaction() as transaction:
        register(transaction).revoke(SERIAL, first)
    with empty.transaction() as transaction:
        register(transaction).revoke(SERIAL, Revocation(at=NOW + DAY, reason=Reason.key_compromise))
        assert list(register(transaction).revoked()) == [(SERIAL, first)]
        assert register(transaction).revocation(SERIAL) == first
        assert register(transaction).revocation(1) is None
        assert len(list(journal.read(transaction))) == 1


def test_a_revocation_that_cannot_be_read_stops_the_crl(empty: MemoryStore) -> None:
    with empty.transaction() as transaction:
        register(transaction).revoke(5, Revocation(at=NOW))
        transaction.put(f"{KEY.hex()}:revocations", (5).to_bytes(20, "big"), b"")
        with pytest.raises(UsageError, match="a revocation cannot be read"):
            list(register(transaction).revoked())


def test_counters_never_go_back(empty: MemoryStore) -> None:
    counted = []
    for _ in range(3):
        with empty.transaction() as transaction:
            counted += [register(transaction).next_number("CRL"), register(transaction).next_number("CRL")]
    with empty.transaction() as transaction:
        assert counted == [1, 2, 3, 4, 5, 6]
        assert register(transaction).next_number("BCI") == 1


def test_registers_are_separate(empty: MemoryStore) -> None:
    with empty.transaction() as transaction:
        one, other = register(transaction), register(transaction, "B", bytes(20))
        one.add(1, b"key", b"certificate")
        one.revoke(1, Revocation(at=NOW))
        one.next_number("CRL")
        assert other.certificate(1) is None
        assert not other.is_certified(b"key")
        assert list(other.revoked()) == []
        assert other.next_number("CRL") == 1


def test_everything_that_enters_is_in_the_log(empty: MemoryStore) -> None:
    with empty.transaction() as transaction:
        mine = register(transaction)
        mine.add(1, b"key", b"certificate")
        mine.revoke(1, Revocation(at=NOW, reason=Reason.superseded))
        entries = list(journal.read(transaction))
        assert [(entry.what, entry.at) for entry in entries] == [(CERTIFICATE, NOW), (REVOCATION, NOW)]
        assert {(entry.what, entry.data) for entry in entries} == {
            (what, encode(noted)) for what, noted in mine.entries()
        }
        assert {noted.about for _, noted in mine.entries()} == {"A"}
        assert isinstance(next(mine.entries())[1], Noted)


def interrupted(store: MemoryStore) -> None:
    with store.transaction() as transaction:
        register(transaction).add(1, b"key", b"certificate")
        register(transaction).revoke(1, Revocation(at=NOW))
        register(transaction).next_number("CRL")
        raise ZeroDivisionError


def test_an_interrupted_transaction_leaves_nothing(empty: MemoryStore) -> None:
    with pytest.raises(ZeroDivisionError):
        interrupted(empty)
    assert empty.dump() == {}


def test_a_look_is_one_look(empty: MemoryStore) -> None:
    """However many certificates there are: nothing but the list of revocations is ever read through."""

    class Counting:
        def __init__(self, inner: Transaction) -> None:
            self.inner, self.gets = inner, 0

        def get(self, table: str, key: bytes) -> bytes | None:
            self.gets += 1
            return self.inner.get(table, key)

        def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
            raise AssertionError("read through")

    with empty.transaction() as transaction:
        for serial in range(1, 300):
            register(transaction).add(serial, b"key %d" % serial, b"certificate")
        counting = Counting(transaction)
        mine = register(counting)  # type: ignore[arg-type]
        assert mine.certificate(250) is not None
        assert mine.is_certified(b"key 250")
        assert mine.revocation(250) is None
        assert counting.gets == 3


def test_it_does_what_the_one_in_memory_does(empty: MemoryStore) -> None:
    def use(one: Register) -> list[object]:
        one.add(3, b"key 3", b"three")
        one.add(2, b"key 2", b"two")
        for serial, days in ((3, 1), (3, 2), (2, 3)):
            one.revoke(serial, Revocation(at=NOW + timedelta(days=days)))
        return [
            *(one.is_certified(b"key 3"), one.is_certified(b"key 4"), one.certificate(2), one.certificate(4)),
            *sorted(one.revoked(), key=lambda pair: pair[0]),
            *(one.next_number("CRL"), one.next_number("CRL"), one.next_number("BCI")),
        ]

    with empty.transaction() as transaction:
        assert use(register(transaction)) == use(MemoryRegister())
