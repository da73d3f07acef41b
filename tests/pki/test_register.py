"""What an authority must never forget, kept where the caller says (CR-18; RFC 5280 sections 5.2.3 and 5.3.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import (
    Authority,
    BrandTree,
    CertificateError,
    CertificateKind,
    MemoryRegister,
    Revocation,
    check_bci,
    check_crl,
)
from pki.names import cardholder_name
from pki.suites import PublicKey
from tests.pki.forging import key_of

K = CertificateKind
DAY = timedelta(days=1)
NAME = cardholder_name("XX", "Marque", "Bank", bytes(20))


def restarted(authority: Authority) -> Authority:
    """The same authority in the next process: certificate, key and register come from where they are kept."""
    return Authority(
        authority.certificate, key_of(authority), superior_chain=authority.chain[1:], register=authority.register
    )


def fresh(tree: BrandTree) -> PublicKey:
    return tree.suite.generate_signature_key().public_key()


def issue(authority: Authority, key: PublicKey, at: datetime) -> x509.Certificate:
    return authority.issue(K.CARDHOLDER_SIGNATURE, NAME, key, not_before=at)


def listed(authority: Authority, at: datetime) -> dict[int, tuple[datetime, x509.ReasonFlags | None]]:
    """Serial number → date and reason, from a new CRL."""
    found = {}
    for entry in authority.crl(at, at + DAY):
        reasons = [extension.value for extension in entry.extensions]
        assert not any(extension.critical for extension in entry.extensions)
        assert all(isinstance(reason, x509.CRLReason) for reason in reasons)
        found[entry.serial_number] = (entry.revocation_date_utc, reasons[0].reason if reasons else None)  # type: ignore[attr-defined]
    return found


@pytest.mark.prop("CR-18")
def test_a_key_is_certified_once_even_after_a_restart(tree: BrandTree, now: datetime) -> None:
    key = fresh(tree)
    issue(tree.cca, key, now)
    again = restarted(tree.cca)
    with pytest.raises(CertificateError, match="certified before"):
        issue(again, key, now)
    issue(again, fresh(tree), now)
    # And without its register it does not know: the register is what carries it.
    again.register = MemoryRegister()
    issue(again, key, now)


@pytest.mark.prop("CR-18")
def test_its_own_key_needs_no_entry(tree: BrandTree, now: datetime) -> None:
    with pytest.raises(CertificateError, match="certified before"):
        issue(restarted(tree.cca).using(MemoryRegister()), key_of(tree.cca).public_key(), now)


@pytest.mark.prop("CR-18")
def test_two_transactions_side_by_side_do_not_certify_one_key_twice(tree: BrandTree, now: datetime) -> None:
    """Both have asked whether the key is known before either has written: what ``add`` says is final."""

    class Late(MemoryRegister):
        def is_certified(self, key_digest: bytes) -> bool:
            return False

    authority, key = tree.cca.using(Late()), fresh(tree)
    issue(authority, key, now)
    with pytest.raises(CertificateError, match="in the register already"):
        issue(authority, key, now)


def test_a_serial_number_is_given_once(tree: BrandTree, now: datetime) -> None:
    register = MemoryRegister()
    register.add(5, bytes(32), b"one")
    with pytest.raises(CertificateError, match="in the register already"):
        register.add(5, bytes(31) + b"1", b"two")
    assert register.certificate(5) == b"one"
    assert not register.is_certified(bytes(31) + b"1")


def test_what_is_issued_is_in_the_register(tree: BrandTree, now: datetime) -> None:
    certificate = issue(tree.cca, fresh(tree), now)
    register = restarted(tree.cca).register
    assert register.certificate(certificate.serial_number) == certificate.public_bytes(Encoding.DER)
    assert register.certificate(1) is None


def test_a_refused_request_leaves_no_trace(tree: BrandTree, now: datetime) -> None:
    register = MemoryRegister()
    foreign = cardholder_name("XX", "Rival", "Bank", bytes(20))
    with pytest.raises(CertificateError, match="another brand"):
        tree.cca.using(register).issue(K.CARDHOLDER_SIGNATURE, foreign, fresh(tree), not_before=now)
    assert vars(register) == vars(MemoryRegister())


def test_bound_to_another_register_it_writes_nowhere_else(tree: BrandTree, now: datetime) -> None:
    mine = MemoryRegister()
    bound = tree.cca.using(mine)
    certificate = issue(bound, fresh(tree), now)
    bound.revoke(certificate.serial_number, now)
    assert list(listed(bound, now)) == [certificate.serial_number]
    assert bound.register is mine
    assert tree.cca.register is not mine
    assert vars(tree.cca.register) == vars(MemoryRegister())
    with pytest.raises(CertificateError, match="no certificate with this serial"):
        tree.cca.revoke(certificate.serial_number, now)


def test_revoked_is_for_ever_and_the_first_word_stays(tree: BrandTree, now: datetime) -> None:
    serial = issue(tree.cca, fresh(tree), now).serial_number
    tree.cca.revoke(serial, now, x509.ReasonFlags.key_compromise)
    again = restarted(tree.cca)
    again.revoke(serial, now + DAY, x509.ReasonFlags.superseded)
    again.revoke(serial, now + DAY)
    for at in (now, now + 1000 * DAY):
        assert listed(restarted(again), at) == {serial: (now, x509.ReasonFlags.key_compromise)}


NO_REASONS = (x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl)


@pytest.mark.parametrize("reason", [None, *(reason for reason in x509.ReasonFlags if reason not in NO_REASONS)])
def test_every_reason_comes_through(tree: BrandTree, now: datetime, reason: x509.ReasonFlags | None) -> None:
    certificate = issue(tree.cca, fresh(tree), now)
    tree.cca.revoke(certificate.serial_number, now, reason)
    assert listed(tree.cca, now) == {certificate.serial_number: (now, reason)}
    assert check_crl(tree.cca.crl(now, now + DAY).public_bytes(Encoding.DER)).revoked == {certificate.serial_number}


def test_what_is_no_revocation(tree: BrandTree, now: datetime) -> None:
    serial = issue(tree.cca, fresh(tree), now).serial_number
    for reason in NO_REASONS:
        with pytest.raises(ValueError, match="no reason"):
            tree.cca.revoke(serial, now, reason)
    with pytest.raises(ValueError, match="time zone"):
        tree.cca.revoke(serial, now.replace(tzinfo=None))
    assert listed(tree.cca, now) == {}


def test_times_are_kept_in_utc_to_the_second() -> None:
    east = datetime(2030, 1, 1, 11, 0, 0, 999999, tzinfo=timezone(timedelta(hours=11)))
    assert Revocation(at=east).at == datetime(2030, 1, 1, tzinfo=UTC)
    assert Revocation(at=east).at.tzinfo is UTC


def test_counters_never_go_back(tree: BrandTree, now: datetime) -> None:
    """Across restarts; CRLs and BrandCRLIdentifiers are counted apart."""
    ca = tree.brand_ca
    crls = [tree.root.crl(now, now + DAY).public_bytes(Encoding.DER)]
    seen = []
    for _ in range(3):
        crl = ca.crl(now, now + DAY).public_bytes(Encoding.DER)
        bci = ca.brand_crl_identifier(crls, at=now, not_after=now + DAY)
        seen.append((check_crl(crl).number, check_bci(bci).number))
        ca = restarted(ca)
    assert seen == [(1, 1), (2, 2), (3, 3)]
    ca.crl(now, now + DAY)
    assert check_bci(ca.brand_crl_identifier(crls, at=now, not_after=now + DAY)).number == 4
    with pytest.raises(CertificateError, match="period"):
        ca.crl(now, now)
    assert ca.register.next_number("CRL") == 5
