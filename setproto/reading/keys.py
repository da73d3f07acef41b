"""Keys with which a reader opens sealed objects."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from pki import KeyStoreError, check_certificate, subject_key_identifier
from pki.checking import CheckedCertificate
from pki.keystore import load_unencrypted_for_tests
from pki.profiles import CertificateKind, Use
from pki.suites import SUITES, key_identifier
from setproto.crypto.cms import RecipientKey, SecretKey
from setproto.crypto.recipients import KEY_MANAGEMENT
from setproto.errors import UsageError
from setproto.messages.common import PartyID, Role
from setproto.reading.pem import from_pem, labels

_ROLES = {CertificateKind.MERCHANT_EXCHANGE: Role.merchant, CertificateKind.GATEWAY_EXCHANGE: Role.gateway}


@dataclass(frozen=True)
class Opener:
    """A key, and whose it is.

    With an ``owner`` the context of a sealed object is built from the message around it, as the owner's role builds
    it.  Without one, the context is the one that the object claims.
    """

    key: RecipientKey | SecretKey
    owner: PartyID | None = None


class _BareKey(RecipientKey):
    """A key-exchange key without its certificate: it is known by its own identifier."""

    def __init__(self, private_key: object, suite_name: str) -> None:
        self.suite = suite_name
        self.certificate = b""
        self.identifier = key_identifier(private_key.public_key())  # type: ignore[attr-defined]
        self.key_management = KEY_MANAGEMENT[suite_name]
        self.private_key = private_key


def owner_of(certificate: CheckedCertificate, brand: str, party_id: str) -> PartyID:
    """How the holder of a key-exchange certificate is named on the wire."""
    return PartyID(role=_ROLES[certificate.kind], brand=brand, name=party_id)


def load_opener(pem: bytes, certificate: bytes | None = None) -> Opener:
    """The opener for a key-exchange key in a clear PEM file, of whatever suite it is.

    UsageError if it is no such key, or the ``certificate`` (PEM or DER) is not the one of the key.
    """
    if "PRIVATE KEY" not in " ".join(labels(pem)):
        raise UsageError("no private key in PEM")
    for suite in SUITES.values():
        try:
            key = load_unencrypted_for_tests(pem, suite, Use.EXCHANGE)
        except KeyStoreError:
            continue
        bare = _BareKey(key, suite.name)
        if certificate is not None:
            _belongs(certificate, bare)
        return Opener(bare)
    raise UsageError("not a key-exchange key in clear PKCS#8 of any suite here")


def _belongs(certificate: bytes, key: RecipientKey) -> None:
    """UsageError unless the certificate is the one of the key."""
    der = from_pem(certificate)
    try:
        matches = x509.load_der_x509_certificate(der).public_key() == key.private_key.public_key()
    except (ValueError, TypeError):
        raise UsageError("not a certificate") from None
    if not matches or subject_key_identifier(der) != key.identifier:
        raise UsageError("the key does not belong to the certificate")
    check_certificate(der)
