"""A throw-away key and a trust decision, so that the examples in the documentation run as they stand."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from setproto.crypto.signed import Signer
from setproto.crypto.suites import suite
from setproto.errors import CertificateRefused

_key = ec.generate_private_key(ec.SECP256R1())
_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bidder")])
_now = datetime.datetime.now(datetime.UTC)
_certificate = (
    x509.CertificateBuilder()
    .subject_name(_name)
    .issuer_name(_name)
    .public_key(_key.public_key())
    .serial_number(1)
    .not_valid_before(_now)
    .not_valid_after(_now + datetime.timedelta(days=1))
    .add_extension(x509.SubjectKeyIdentifier.from_public_key(_key.public_key()), critical=False)
    .sign(_key, hashes.SHA256())
    .public_bytes(serialization.Encoding.DER)
)

bidder: Final = Signer(_key, _certificate, suite("p256"))
"""Somebody with a P-256 key."""


@dataclass(frozen=True)
class Trusted:
    """A certificate somebody decided to trust: the least that ``certify`` may return."""

    der: bytes
    suite: str
    public_key: Any


def trust_bidder(certificate: bytes, others: Sequence[bytes]) -> Trusted:
    """Trust exactly one certificate, known beforehand.  Real programs validate a chain: ``pki.PathValidator``."""
    if certificate != _certificate:
        raise CertificateRefused("not the bidder's certificate")
    return Trusted(certificate, "p256", _key.public_key())
