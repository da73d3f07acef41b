"""Keys with which a reader opens sealed objects."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509 import ObjectIdentifier

from pki import KeyStoreError, check_certificate, subject_key_identifier
from pki.der import encode
from pki.keystore import load_unencrypted_for_tests
from pki.profiles import Use
from pki.suites import SUITES
from setproto.crypto.cms import BareRecipientKey, RecipientKey, SecretKey
from setproto.errors import UsageError
from setproto.messages.common import PartyID, SealContext
from setproto.messages.purchase import AcqBackKeyData
from setproto.reading.found import Around
from setproto.reading.pem import from_pem, labels
from setproto.roles.cardholder import card_message_context


@dataclass(frozen=True)
class Opener:
    """A key-exchange key, and whose it is.

    With an ``owner`` the context of a sealed object is built from what is around it, as the owner's role builds it.
    Without one, and for an object that stands alone, the context is the one that the object claims.
    """

    key: RecipientKey | BareRecipientKey
    owner: PartyID | None = None

    def context(self, around: Around, named: ObjectIdentifier | None, claimed: SealContext | None) -> bytes | None:
        """What an object of the type that is ``named`` in its place has to be bound to; None if that is unknown."""
        if self.owner is not None and around.sender is not None and named is not None:
            return encode(around.context(named, self.key.suite, around.sender, self.owner))
        return None if claimed is None else encode(claimed)


@dataclass(frozen=True)
class TokenOpener:
    """A key under which a gateway seals tokens to itself."""

    key: SecretKey
    owner: PartyID
    suite: str

    def context(self, around: Around, named: ObjectIdentifier | None, claimed: SealContext | None) -> bytes | None:
        """As for ``Opener``; a token claims nothing, so nothing can be said about one that stands alone."""
        if named is None or around.xid is None or around.rrpid is None:
            return None
        return encode(around.context(named, self.suite, self.owner, self.owner))


@dataclass(frozen=True)
class CardMessageOpener:
    """The key that a cardholder chose for the acquirer's message about one purchase."""

    key: SecretKey
    """Its identifier is the XID."""

    @classmethod
    def of(cls, back_key: AcqBackKeyData, xid: bytes) -> CardMessageOpener:
        """From a payment instruction that was opened."""
        return cls(SecretKey(back_key.acq_back_key, xid))

    def context(self, around: Around, named: ObjectIdentifier | None, claimed: SealContext | None) -> bytes | None:
        """The same in every place: the message is about the purchase and nothing else."""
        return card_message_context(self.key.identifier)


@dataclass(frozen=True)
class BackKeyOpener:
    """The key that a cardholder chose for its CA's answer."""

    key: SecretKey
    """Its identifier is LID-CA."""
    owner: PartyID
    suite: str

    def context(self, around: Around, named: ObjectIdentifier | None, claimed: SealContext | None) -> bytes | None:
        """As for ``Opener``; an answer that stands alone claims nothing."""
        if named is None or around.sender is None:
            return None
        return encode(around.context(named, self.suite, around.sender, self.owner))


AnyOpener = Opener | TokenOpener | CardMessageOpener | BackKeyOpener


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
        bare = BareRecipientKey(key, suite.name)
        if certificate is not None:
            _belongs(certificate, bare)
        return Opener(bare)
    raise UsageError("not a key-exchange key in clear PKCS#8 of any suite here")


def _belongs(certificate: bytes, key: BareRecipientKey) -> None:
    """UsageError unless the certificate is the one of the key."""
    der = from_pem(certificate)
    try:
        matches = x509.load_der_x509_certificate(der).public_key() == key.private_key.public_key()
    except (ValueError, TypeError):
        raise UsageError("not a certificate") from None
    if not matches or subject_key_identifier(der) != key.identifier:
        raise UsageError("the key does not belong to the certificate")
    check_certificate(der)
