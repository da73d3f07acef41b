"""A list of 100,000 revoked certificates: read once, looked up ever after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import pki.path
import pki.revocation
from pki import BrandTree, CertificateError, CertificateKind, CheckedCRL, Revocation, check_crl
from pki.hierarchy import CRL_LIFE
from pki.signed import MAX_CRL

K = CertificateKind
DAY = timedelta(days=1)
MANY = 100_000
FIRST = 1 << 158  # serial numbers of 20 octets, as large as any


def test_a_hundred_thousand_entries(tree: BrandTree, at: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = (tree.issue_cardholder(bytes([i] * 20)).signature_certificate for i in range(2))
    validator = tree.validator(tree.now)

    register = tree.cca.register
    revocation = Revocation(at=tree.now, reason=x509.ReasonFlags.cessation_of_operation)
    for number in range(MANY):
        register.revoke(FIRST + number, revocation)
    tree.cca.revoke(x509.load_der_x509_certificate(bad).serial_number, at)
    crl = tree.cca.crl(tree.now, tree.now + CRL_LIFE).public_bytes(Encoding.DER)
    assert len(crl) < MAX_CRL

    read: list[CheckedCRL] = []
    verified: list[CheckedCRL] = []
    counted(monkeypatch, pki.path, "check_crl", read)
    counted(monkeypatch, pki.revocation, "_verifies", verified)
    validator.add_crl(crl)
    (checked,) = read
    assert len(checked.revoked) == MANY + 1
    assert {FIRST, FIRST + MANY - 1} <= checked.revoked
    assert FIRST + MANY not in checked.revoked
    # From here on nobody may look into it again: neither the object that parses nor the octets are there any more.
    object.__setattr__(checked, "crl", None)
    object.__setattr__(checked, "der", b"")
    for _ in range(3):
        validator._cache.clear()
        validator.validate(good, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)
        with pytest.raises(CertificateError, match="revoked") as refusal:
            validator.validate(bad, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)
        assert refusal.value.code == "revokedCertificate"
    assert len(read) == len(verified) == 1


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str, seen: list[CheckedCRL]) -> None:
    original: Callable[..., object] = getattr(module, name)

    def counting(*arguments: object) -> object:
        found = original(*arguments)
        seen.append(found if isinstance(found, CheckedCRL) else arguments[0])  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(module, name, counting)


def test_absurd_sizes_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x509, "load_der_x509_crl", None)
    with pytest.raises(CertificateError) as refusal:
        check_crl(bytes(MAX_CRL + 1))
    assert refusal.value.code == "invalidCertificate"
