"""A hierarchy at work, inside one transaction of its database.

An ``Office`` is opened on a transaction and a moment, and everything it does (issue, revoke, renew, publish, roll over)
becomes durable with its entries in the log when the transaction commits, or not at all.  Private keys are opened by the
``Vault``; without one, an office can do everything that needs no signature.

A CA is called ``root`` or ``BRAND/ROLE``, with the number of its key behind it: ``Marque/merchant-ca.1``.  A new key
makes a new generation.  The older ones issue no more, but go on signing the CRLs of what they issued, until their own
certificate ends.

Sources: set-protocol.md sections 6.1 and 6.7 to 6.10, weakness W-13 (docs/adr/0007: every CA has a CRL), property
CR-18; architecture section 3.5.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from pki import (
    PROFILES,
    Authority,
    CertificateKind,
    Credential,
    PathValidator,
    Revocation,
    check_bci,
    check_certificate,
    check_crl,
    create_root,
)
from pki.der import encode
from pki.extensions import AES256_GCM, PrivateExtension, Tunneling
from pki.interchange import to_der
from pki.names import brand_of
from pki.profiles import CA_KINDS
from pki.suites import PublicKey, SignaturePrivateKey
from setproto.ca.config import ROLES, Hierarchy, parse
from setproto.ca.parties import ISSUERS, Wanted
from setproto.ca.records import (
    BCIS,
    CRLS,
    HIERARCHY,
    NEXT_ROOT,
    AuthorityRecord,
    MessagesRecord,
    Noted,
    Pair,
    authorities,
    keep_authority,
    keep_messages,
    messages,
)
from setproto.ca.register import Issued, StoreRegister
from setproto.ca.vault import SCRYPT_N, Vault, WrongPassphrase
from setproto.errors import UsageError
from setproto.roles import journal
from setproto.roles.ports import RandomBytes, Transaction

__all__ = ["BCI", "CRL", "FOUNDED", "ROOT", "Office"]

_K = CertificateKind
FOUNDED: Final = "hierarchy"
ROOT: Final = "root"
CRL: Final = "CRL"
BCI: Final = "BCI"
"""What the entries of the log say that they are about, besides those that a register writes."""

_MESSAGE_KINDS: Final[dict[str, tuple[CertificateKind, CertificateKind | None]]] = {
    "brand-ca": (_K.BRAND_CA_SIGNATURE, None),
    "geo-ca": (_K.GEO_CA_SIGNATURE, None),
    "cardholder-ca": (_K.CARDHOLDER_CA_SIGNATURE, _K.CARDHOLDER_CA_EXCHANGE),
    "merchant-ca": (_K.MERCHANT_CA_SIGNATURE, _K.MERCHANT_CA_EXCHANGE),
    "gateway-ca": (_K.GATEWAY_CA_SIGNATURE, _K.GATEWAY_CA_EXCHANGE),
}


class Office:
    """The CAs of one hierarchy at one moment.  See the module for what its methods have in common."""

    def __init__(
        self, transaction: Transaction, at: datetime, vault: Vault | None = None, random: RandomBytes = os.urandom
    ) -> None:
        """Open it at the aware time ``at``.  UsageError if there is no hierarchy in the database."""
        stored = transaction.get(*HIERARCHY)
        if stored is None:
            raise UsageError("there is no hierarchy here: setproto ca init makes one")
        self.hierarchy: Hierarchy = parse(stored.decode(), "the hierarchy in the database")
        self.at = at.astimezone(UTC).replace(microsecond=0)
        self.records = authorities(transaction)
        self._transaction = transaction
        self._vault = vault
        self._random = random

    @staticmethod
    def require_none(transaction: Transaction) -> None:
        """UsageError if there is a hierarchy in the database."""
        if transaction.get(*HIERARCHY) is not None:
            raise UsageError("there is a hierarchy here already: nothing was changed")

    @classmethod
    def found(
        cls,
        transaction: Transaction,
        declaration: str,
        passphrase: str,
        at: datetime,
        *,
        random: RandomBytes = os.urandom,
        n: int = SCRYPT_N,
    ) -> Office:
        """Make the hierarchy that the TOML declares, with CRLs and BCIs.  UsageError if there is one already."""
        cls.require_none(transaction)
        hierarchy = parse(declaration, "the declaration")
        vault = Vault.create(transaction, passphrase, hierarchy.key_suite, random, n=n)
        transaction.put(*HIERARCHY, declaration.encode())
        office = cls(transaction, at, vault, random)
        start = hierarchy.start or office.at
        if start > office.at:
            raise UsageError("the hierarchy starts later than now")
        office._note(FOUNDED, hierarchy.root.name, 1, declaration.encode())
        office._new_root(hierarchy.key_suite.generate_signature_key(), start)
        for brand in hierarchy.brand:
            for role in brand.authorities:
                office._new_authority(brand.name, role, start)
        for record in list(office.records.values()):
            office.publish_crl(record.name)
        for brand in hierarchy.brand:
            office.publish_bci(brand.name)
        return office

    # --- who there is -----------------------------------------------------------------------------

    def named(self, name: str) -> AuthorityRecord:
        """A CA: ``Marque/merchant-ca.1``, or without the number the newest; without the brand if there is but one.

        UsageError if there is none, naming those that there are.
        """
        brands = self.hierarchy.brand
        for full in (name, f"{brands[0].name}/{name}" if len(brands) == 1 else name):
            if full in self.records:
                return self.records[full]
            generations = [record for record in self.records.values() if _without_number(record.name) == full]
            if generations:
                return generations[-1]
        raise UsageError(f"there is no CA {name!r}: there are {', '.join(self.records)}")

    def superior_of(self, brand: str, role: str) -> AuthorityRecord:
        """Who certifies this CA, and its message certificates, today."""
        if role == "brand-ca":
            return self.named("root")
        has_geo = self.hierarchy.brand_named(brand).geo_ca is not None
        return self.named(f"{brand}/{'geo-ca' if has_geo and role != 'geo-ca' else 'brand-ca'}")

    def chain(self, name: str) -> tuple[bytes, ...]:
        """Certificates (DER) from this CA's own up to, not including, the root: what goes with what it issued."""
        record = self.records[name]
        return () if not record.superior else (record.certificates[0], *self.chain(record.superior))

    def register(self, name: str) -> StoreRegister:
        """The register of this CA, in this transaction."""
        checked = check_certificate(self.records[name].certificates[0])
        return StoreRegister(self._transaction, name, checked.subject_key_identifier, self.at)

    def authority(self, name: str) -> Authority:
        """This CA ready for work, bound to its register in this transaction.  UsageError without a vault."""
        record = self.records[name]
        return Authority(
            x509.load_der_x509_certificate(record.certificates[0]),
            self._open().signature_key(record.private_key),
            superior_chain=self.chain(record.superior) if record.superior else (),
            register=self.register(name),
            random_bytes=self._random,
        )

    def credential(self, name: str) -> Credential:
        """The keys and certificates with which this CA takes part in the protocol.  UsageError if it has none."""
        found = dict(messages(self._transaction)).get(name)
        if found is None:
            raise UsageError(f"{name} has no message certificates")
        vault, exchange = self._open(), found.exchange
        return Credential(
            signature_key=vault.signature_key(found.signature.private_key),
            signature_certificate=found.signature.certificate,
            exchange_key=None if exchange is None else vault.exchange_key(exchange.private_key),
            exchange_certificate=None if exchange is None else exchange.certificate,
            chain=self.chain(found.superior),
        )

    def roots(self) -> list[bytes]:
        """The certificates of all roots in DER, the oldest first; expired ones too."""
        return [record.certificates[0] for record in self.records.values() if not record.superior]

    def crls(self) -> dict[str, bytes]:
        """Name of a CA → its newest CRL in DER."""
        return {key.decode(): value for key, value in self._transaction.items(CRLS)}

    def bcis(self) -> dict[str, bytes]:
        """Brand → its newest BrandCRLIdentifier in DER."""
        return {key.decode(): value for key, value in self._transaction.items(BCIS)}

    def validator(self) -> PathValidator:
        """A validator that trusts the roots of this hierarchy and holds what its CAs have published."""
        roots = [x509.load_der_x509_certificate(der) for der in self.roots()]
        validator = PathValidator(roots, suite=self.hierarchy.suite)
        for record in self.records.values():
            if record.superior:
                validator.add_intermediates(record.certificates)
        for crl in self.crls().values():
            validator.add_crl(crl)
        for bci in self.bcis().values():
            validator.add_bci(bci)
        return validator

    def certificates(self) -> Iterator[Issued]:
        """Every certificate that was ever issued here: the roots, and then by CA and serial number."""
        for name, record in self.records.items():
            if not record.superior:
                yield Issued(name, check_certificate(record.certificates[0]), None)
        for name in self.records:
            register = self.register(name)
            revoked = dict(register.revoked())
            for serial, der in register.certificates():
                yield Issued(name, check_certificate(der), revoked.get(serial))

    def find(self, serial: int) -> Issued:
        """The certificate with this serial number.  UsageError if there is none."""
        for name, record in self.records.items():
            own = check_certificate(record.certificates[0])
            if not record.superior and own.certificate.serial_number == serial:
                return Issued(name, own, None)
            register = self.register(name)
            der = register.certificate(serial)
            if der is not None:
                return Issued(name, check_certificate(der), register.revocation(serial))
        raise UsageError(f"no certificate of this hierarchy has the serial number {serial:X}")

    # --- certificates -----------------------------------------------------------------------------

    def issue(
        self, wanted: Wanted, public_key: PublicKey, *, not_after: datetime | None = None
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """A party's certificate for a key, and the chain that goes with it.  CertificateError if it may not be."""
        issuer = self.named(f"{brand_of(wanted.subject)}/{ISSUERS[wanted.kind]}").name
        certificate = self._certify(issuer, wanted.kind, wanted.subject, public_key, wanted.extensions, not_after)
        return certificate, self.chain(issuer)

    def issue_messages(self, name: str) -> MessagesRecord:
        """New message certificates with new keys for a CA; the older ones stay valid, but it uses these from now on."""
        record = self.records[name]
        if record.role not in _MESSAGE_KINDS:
            raise UsageError("a root takes no part in the protocol")
        signature, exchange = _MESSAGE_KINDS[record.role]
        made = MessagesRecord(
            superior=self.superior_of(record.brand, record.role).name,
            signature=self._message_pair(record, signature),
            exchange=None if exchange is None else self._message_pair(record, exchange),
        )
        keep_messages(self._transaction, name, made)
        return made

    def renewable(self, serial: int) -> Issued:
        """The certificate, if it may be renewed with another key; UsageError if not."""
        issued = self.find(serial)
        if issued.checked.kind is CertificateKind.ROOT:
            raise UsageError("a root is replaced by setproto ca rollover")
        if issued.checked.kind in ISSUERS and issued.revocation is not None:
            # A party that renews proves itself with its old key (6.7): a revoked one proves nothing.
            raise UsageError(f"certificate {serial:X} is revoked: issue a new one instead")
        return issued

    def renew_authority(self, serial: int) -> str:
        """A CA, or its message certificates, with new keys; returns the name of the CA.

        A CA with a new key is a new generation, with message certificates and a CRL of its own, and its brand gets a
        new BrandCRLIdentifier: without these nobody could validate what it issues.  UsageError for an old generation.
        """
        issued = self.renewable(serial)
        if issued.checked.kind not in CA_KINDS:
            for name, kept in messages(self._transaction):
                pairs = (kept.signature, kept.exchange)
                if any(pair is not None and pair.certificate == issued.checked.der for pair in pairs):
                    self.issue_messages(name)
                    return name
            raise UsageError(f"certificate {serial:X} has been replaced already")
        record = next(r for r in self.records.values() if issued.checked.der in r.certificates)
        if self.named(_without_number(record.name)) is not record:
            raise UsageError(f"{record.name} has been replaced already")
        renewed = self._new_authority(record.brand, record.role, self.at)
        self.publish_crl(renewed)
        self.publish_bci(record.brand)
        return renewed

    def revoke(self, serial: int, reason: x509.ReasonFlags | None = None) -> Issued:
        """Revoke a certificate for ever; it takes effect with the CA's next CRL.  Needs no key, so that it is quick.

        UsageError for a root: nobody stands above it, it is replaced.  The first revocation of a certificate stays.
        """
        issued = self.find(serial)
        if issued.checked.kind is CertificateKind.ROOT:
            raise UsageError("a root cannot revoke itself: replace it with setproto ca rollover")
        self.register(issued.issuer).revoke(serial, Revocation(at=self.at, reason=reason))
        return self.find(serial)

    # --- what is published ------------------------------------------------------------------------

    def publish_crl(self, name: str) -> bytes:
        """A new CRL of this CA in DER.  CertificateError if its certificate has ended."""
        authority = self.authority(name)
        life = timedelta(days=self.hierarchy.revocation.crl_days)
        crl = to_der(authority.crl(self.at, min(self.at + life, authority.checked.not_after)))
        self._transaction.put(CRLS, name.encode(), crl)
        self._note(CRL, name, check_crl(crl).number, crl)
        return crl

    def publish_bci(self, brand: str) -> bytes:
        """A new BrandCRLIdentifier (DER) of a brand: it names the newest CRL of its every CA and of every root.

        UsageError if a CA has no CRL that is current.
        """
        published, listed = self.crls(), []
        for name in self.publishers(brand):
            if name not in published or check_crl(published[name]).next_update <= self.at:
                raise UsageError(f"{name} has no current CRL: setproto ca crl makes one")
            listed.append(published[name])
        signer = self.named(f"{brand}/brand-ca").name
        self._require_unrevoked(signer)
        authority = self.authority(signer)
        life = timedelta(days=self.hierarchy.revocation.bci_days)
        not_after = min(self.at + life, authority.checked.not_after)
        bci = authority.brand_crl_identifier(listed, at=self.at, not_after=not_after)
        self._transaction.put(BCIS, brand.encode(), bci)
        self._note(BCI, brand, check_bci(bci).number, bci)
        return bci

    def publishers(self, brand: str | None = None) -> list[str]:
        """The CAs that still publish CRLs: all whose certificate has not ended; of one brand, with the roots."""
        return [
            name
            for name, record in self.records.items()
            if brand is None or record.brand in ("", brand)
            if check_certificate(record.certificates[0]).not_after > self.at
        ]

    # --- roots ------------------------------------------------------------------------------------

    def roll_over(self) -> str:
        """Replace the root by the one that it announced; returns the name of the new one (set-protocol.md section 6.8).

        The new root commits to a fresh key in turn, and certifies the brand CAs' present keys: so everything issued
        below them has a chain to either root.  The old root is trusted, and publishes its CRL, until it ends.
        """
        sealed = self._transaction.get(*NEXT_ROOT)
        if sealed is None:
            raise UsageError("the database is damaged: the key of the next root is missing")
        root = self._new_root(self._open().signature_key(sealed), self.at)
        self.publish_crl(root)
        for brand in self.hierarchy.brand:
            record = self.named(f"{brand.name}/brand-ca")
            own = self.authority(record.name)
            subject, public_key = own.certificate.subject, own.checked.public_key
            certificate = self._certify(root, CertificateKind.BRAND_CA, subject, public_key)
            self._keep(
                AuthorityRecord(
                    role=record.role,
                    brand=record.brand,
                    generation=record.generation,
                    superior=root,
                    certificates=[certificate, *record.certificates],
                    private_key=record.private_key,
                )
            )
            self.publish_bci(brand.name)
        return root

    # --- the parts of the above -------------------------------------------------------------------

    def _new_root(self, private_key: SignaturePrivateKey, start: datetime) -> str:
        suite, vault = self.hierarchy.key_suite, self._open()
        next_key = suite.generate_signature_key()
        generation = len(self.roots()) + 1
        root = create_root(
            suite,
            self.hierarchy.root_subject(),
            private_key,
            next_key.public_key(),
            not_before=start,
            not_after=start + self.hierarchy.life(CertificateKind.ROOT),
            random_bytes=self._random,
        )
        record = AuthorityRecord(
            role="root",
            brand="",
            generation=generation,
            superior="",
            certificates=[root.checked.der],
            private_key=vault.seal(private_key),
        )
        self._keep(record)
        self._transaction.put(*NEXT_ROOT, vault.seal(next_key))
        self._note(ROOT, record.name, root.certificate.serial_number, root.checked.der)
        return record.name

    def _new_authority(self, brand: str, role: str, start: datetime) -> str:
        subject = self.hierarchy.ca_subject(self.hierarchy.brand_named(brand), role)
        superior = self.superior_of(brand, role).name
        private_key = self.hierarchy.key_suite.generate_signature_key()
        certificate = self._certify(superior, ROLES[role], subject, private_key.public_key(), start=start)
        record = AuthorityRecord(
            role=role,
            brand=brand,
            generation=1 + sum((r.brand, r.role) == (brand, role) for r in self.records.values()),
            superior=superior,
            certificates=[certificate],
            private_key=self._open().seal(private_key),
        )
        self._keep(record)
        self.issue_messages(record.name)
        return record.name

    def _message_pair(self, record: AuthorityRecord, kind: CertificateKind) -> Pair:
        suite, exchange = self.hierarchy.key_suite, kind in (pair[1] for pair in _MESSAGE_KINDS.values())
        private_key = suite.generate_exchange_key() if exchange else suite.generate_signature_key()
        subject = x509.load_der_x509_certificate(record.certificates[0]).subject
        issuer = self.superior_of(record.brand, record.role).name
        # A cardholder has no key-exchange key: its CA says with which cipher it answers all the same (6.5).
        cardholders = kind is CertificateKind.CARDHOLDER_CA_EXCHANGE
        tunneling = (Tunneling(tunneling=True, algorithms=(AES256_GCM,)),) if cardholders else ()
        certificate = self._certify(issuer, kind, subject, private_key.public_key(), tunneling)
        return Pair(certificate=certificate, private_key=self._open().seal(private_key))

    def _certify(
        self,
        issuer: str,
        kind: CertificateKind,
        subject: x509.Name,
        public_key: PublicKey,
        extensions: tuple[PrivateExtension, ...] = (),
        not_after: datetime | None = None,
        start: datetime | None = None,
    ) -> bytes:
        """Issue, with the lives that the hierarchy declares, cut to that of the issuer."""
        self._require_unrevoked(issuer)
        authority, profile, start = self.authority(issuer), PROFILES[kind], start or self.at
        life = self.hierarchy.life(kind)
        ends = not_after or min(start + life, authority.checked.not_after)
        signing: datetime | None = None
        if profile.private_key_usage is not None:
            signing = min(start + life * (profile.private_key_usage / profile.validity), ends).replace(microsecond=0)
        return to_der(
            authority.issue(
                kind,
                subject,
                public_key,
                not_before=start,
                not_after=ends,
                private_key_not_after=signing,
                extensions=extensions,
            )
        )

    def _require_unrevoked(self, name: str) -> None:
        """UsageError if nobody would accept what this CA signs, since it, or one above it, is revoked."""
        record = self.records[name]
        if not record.superior:
            return
        for der in record.certificates:  # after a rollover there are several, and they are of one key
            serial = check_certificate(der).certificate.serial_number
            if self.find(serial).revocation is not None:
                raise UsageError(f"{name} is revoked: setproto ca renew {serial:X} gives it a new key")
        self._require_unrevoked(record.superior)

    def _keep(self, record: AuthorityRecord) -> None:
        keep_authority(self._transaction, record)
        self.records = authorities(self._transaction)

    def _note(self, what: str, about: str, number: int, content: bytes) -> None:
        noted = Noted(about=about, number=number, digest=hashlib.sha256(content).digest())
        journal.append(self._transaction, self.at, what, encode(noted))

    def _open(self) -> Vault:
        if self._vault is None:
            raise WrongPassphrase("this needs the passphrase")
        return self._vault


def _without_number(name: str) -> str:
    return name.rpartition(".")[0]
