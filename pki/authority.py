"""A certification authority: it issues, it revokes, it publishes its CRL, and for a brand the BrandCRLIdentifier.

An authority is a small state machine without I/O: clock, keys and randomness are handed
in, and so is the register of what it must never forget (pki/register.py).  An authority
stands for one key.  Its certificate may be renewed (``with_certificate``); a CA with a new
key is a new authority with a register of its own, and the old one goes on publishing the
CRLs of what the old key has signed.

Sources: RFC 5280; set-protocol.md sections 6.3 to 6.9, property CR-18, weakness W-13.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.bci import sign_bci
from pki.checking import CheckedCertificate, check_certificate, reading
from pki.errors import CertificateError
from pki.extensions import (
    CRITICAL,
    SET_ROOT_POLICY,
    HashedRootKey,
    PrivateExtension,
    to_extension,
)
from pki.profiles import CA_KINDS, PROFILES, CertificateKind
from pki.register import MemoryRegister, Register, Revocation
from pki.revocation import check_crl
from pki.suites import KeySuite, PublicKey, SignaturePrivateKey, key_identifier, public_key_der

__all__ = ["Authority", "RandomBytes", "create_root"]

RandomBytes = Callable[[int], bytes]
"""Given a count, that many octets that nobody can predict."""


class Authority:
    """One CA of the tree: ``certificate``, its ``kind`` and ``suite``, and ``chain``.

    ``chain`` holds the CA certificates in DER from this authority's own up to, not including, the
    root; it is what must accompany the certificates that it issues.  For the root it is empty.

    ``register`` is where it keeps what it must never forget; left out, in memory.  Two authorities must not
    share one: each counts its own CRLs, and lists what is in the register as revoked by its own key.
    """

    def __init__(
        self,
        certificate: x509.Certificate,
        private_key: SignaturePrivateKey,
        *,
        superior_chain: tuple[bytes, ...],
        register: Register | None = None,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        """CertificateError if the certificate is not a CA's, or the private key is not its key."""
        self._checked = check_certificate(certificate.public_bytes(Encoding.DER))
        if self._checked.kind not in CA_KINDS:
            raise self._refuse("not the certificate of a CA", "RFC 5280 section 4.2.1.9")
        if _digest(private_key.public_key()) != self._checked.key_digest:
            raise self._refuse("private key and certificate do not match", "pki/authority.py")
        self.certificate = certificate
        self.kind: CertificateKind = self._checked.kind
        self.suite: KeySuite = self._checked.suite
        self.chain: tuple[bytes, ...] = (
            () if self.kind is CertificateKind.ROOT else (self._checked.der, *superior_chain)
        )
        self.register: Register = MemoryRegister() if register is None else register
        self._key = private_key
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return f"<Authority {self._checked.printable}, suite {self.suite.name}>"

    @property
    def brand(self) -> str:
        """The brand, which is the organization of the CA's name; for the root the name of its operator."""
        return self._checked.name.organization

    @property
    def checked(self) -> CheckedCertificate:
        """The CA's own certificate, taken apart."""
        return self._checked

    def using(self, register: Register) -> Authority:
        """The same authority bound to another view of its register, such as one within a transaction."""
        bound = copy.copy(self)
        bound.register = register
        return bound

    def with_certificate(self, certificate: x509.Certificate, superior_chain: tuple[bytes, ...]) -> Authority:
        """The same authority, with its register, under a renewed certificate of its name and key.

        CertificateError if the key, the name, the kind or the key identifier is another: what this CA has
        issued names it by these.
        """
        renewed = Authority(
            certificate,
            self._key,
            superior_chain=superior_chain,
            register=self.register,
            random_bytes=self._random_bytes,
        )
        old, new = self._checked, renewed.checked
        if (old.kind, old.subject, old.subject_key_identifier) != (new.kind, new.subject, new.subject_key_identifier):
            raise new.error("invalidCertificate", "the certificate of another CA", "RFC 5280 section 4.2.1.1")
        return renewed

    def issue(
        self,
        kind: CertificateKind,
        subject: x509.Name,
        public_key: PublicKey,
        *,
        not_before: datetime,
        not_after: datetime | None = None,
        private_key_not_after: datetime | None = None,
        extensions: Iterable[PrivateExtension] = (),
    ) -> x509.Certificate:
        """Certify ``public_key`` for ``subject``; aware times, whole seconds.

        Left out, ``not_after`` and ``private_key_not_after`` are those of the kind's profile, cut to
        the life of this CA.  ``extensions`` are the private extensions besides certificateType.

        CertificateError("invalidCertificate") if this CA may not issue ``kind``, the key has already
        been certified here (CR-18) or is not of the suite, the brand differs, the validity reaches
        beyond the CA's own, or the result would break the profile.
        """
        profile = PROFILES[kind]
        if self.kind not in profile.issuers or kind is CertificateKind.ROOT:
            raise self._refuse(f"may not issue {kind} certificates", "set-protocol.md section 6.6 rule 6")
        if not profile.accepts_key(self.suite, public_key):
            raise self._refuse(
                f"not a key of suite {self.suite.name} for {profile.use.value}", "architecture section 3.3"
            )
        # CR-18: one key, one certificate, at this CA.  Two names for one key would let one of
        # them disown, or claim, what the other signed.  Its own key counts as certified: no CA
        # may hand its own key to somebody else.
        digest = _digest(public_key)
        if digest == self._checked.key_digest or self.register.is_certified(digest):
            raise self._refuse("this key has been certified before", "set-protocol.md CR-18")
        if not_after is None:
            not_after = min(not_before + profile.validity, self._checked.not_after)
        if not self._checked.not_before <= not_before < not_after <= self._checked.not_after:
            raise self._refuse("validity reaches beyond the CA's own", "set-protocol.md section 6.3")
        signing_ends: datetime | None = None
        if profile.private_key_usage is not None:
            signing_ends = private_key_not_after or min(not_before + profile.private_key_usage, not_after)
        elif private_key_not_after is not None:
            raise self._refuse(f"no privateKeyUsagePeriod for {kind}", "set-protocol.md section 6.5")
        builder = _template(
            kind,
            self.suite,
            subject=subject,
            issuer=self.certificate.subject,
            public_key=public_key,
            issuer_key_identifier=self._checked.subject_key_identifier,
            serial=self._serial(),
            not_before=not_before,
            not_after=not_after,
            private_key_not_after=signing_ends,
            extensions=extensions,
        )
        certificate = self.suite.sign_certificate(builder, self._key)
        # What we would refuse to read we do not issue.
        issued = check_certificate(certificate.public_bytes(Encoding.DER))
        if issued.kind is not kind:
            raise self._refuse(f"the extensions make this a {issued.kind} certificate", "pki/profiles.py")
        if self.kind is not CertificateKind.ROOT and issued.name.organization != self.brand:
            raise self._refuse("the subject is of another brand", "set-protocol.md section 6.6 rule 7")
        self.register.add(certificate.serial_number, digest, issued.der)
        return certificate

    def issue_authority(
        self,
        kind: CertificateKind,
        subject: x509.Name,
        private_key: SignaturePrivateKey,
        *,
        not_before: datetime,
        not_after: datetime | None = None,
        register: Register | None = None,
    ) -> Authority:
        """Certify a subordinate CA and return it ready for work, with its ``register``.  Errors as for ``issue``."""
        certificate = self.issue(kind, subject, private_key.public_key(), not_before=not_before, not_after=not_after)
        return Authority(
            certificate,
            private_key,
            superior_chain=self.chain,
            register=register,
            random_bytes=self._random_bytes,
        )

    def revoke(self, serial: int, at: datetime, reason: x509.ReasonFlags | None = None) -> None:
        """Put a certificate that this CA issued on all its CRLs from now on.  Revoking is for ever,
        and the first date and reason stay.  CertificateError if the serial is not one of ours;
        ValueError for a naive time or a reason that is none (``Revocation``)."""
        if self.register.certificate(serial) is None:
            raise self._refuse("no certificate with this serial number", "RFC 5280 section 5.3")
        self.register.revoke(serial, Revocation(at=at, reason=reason))

    def crl(self, at: datetime, next_update: datetime) -> x509.CertificateRevocationList:
        """A new CRL with the next cRLNumber, valid from ``at`` until ``next_update`` (aware times).

        CertificateError if that is no period, or reaches beyond the life of the CA's certificate.
        """
        if not self._checked.not_before <= at < next_update <= self._checked.not_after:
            raise self._refuse("period of a CRL", "RFC 5280 section 5.1.2.5")
        # Given all at once: added one by one, the builder would copy the list each time.
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.certificate.subject,
            last_update=_whole_seconds(at),
            next_update=_whole_seconds(next_update),
            revoked_certificates=[_entry(*revoked) for revoked in sorted(self.register.revoked(), key=lambda r: r[0])],
        )
        number = x509.CRLNumber(self.register.next_number("CRL"))
        builder = builder.add_extension(number, critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier(self._checked.subject_key_identifier, None, None), critical=False
        )
        return self.suite.sign_crl(builder, self._key)

    def brand_crl_identifier(self, crls: Iterable[bytes], *, at: datetime, not_after: datetime) -> bytes:
        """A new BrandCRLIdentifier in DER that names ``crls`` (DER) as the current ones of the brand (6.9).

        It holds from ``at`` until ``not_after`` (aware times) and has the next sequence number.  Whoever
        publishes it answers for ``crls`` being those of every CA of the brand, and of every root that a
        chain may end in.  CertificateError if this is no brand CA, a CRL breaks its profile or is of
        another suite, there is none or two of one issuer, or the period is none within the life of the
        CA's certificate.
        """
        if self.kind is not CertificateKind.BRAND_CA:
            raise self._refuse("not the brand CA", "set-protocol.md section 6.9")
        if not self._checked.not_before <= at < not_after <= self._checked.not_after:
            raise self._refuse("period of a BrandCRLIdentifier", "set-protocol.md section 6.9")
        listed = [check_crl(crl) for crl in crls]
        issuers = {(crl.issuer, crl.authority_key_identifier) for crl in listed}
        if not listed or len(issuers) < len(listed) or any(crl.suite is not self.suite for crl in listed):
            raise self._refuse("one CRL of each issuer, of this suite", "set-protocol.md section 6.9")
        return sign_bci(
            self._checked,
            self._key,
            listed,
            number=self.register.next_number("BCI"),
            not_before=at,
            not_after=not_after,
        )

    def _serial(self) -> int:
        serial = _serial(self._random_bytes)
        if self.register.certificate(serial) is not None:  # 2^-159 a time; an injected source may repeat itself
            raise self._refuse("the random source repeats itself", "RFC 5280 section 4.1.2.2")
        return serial

    def _refuse(self, rule: str, source: str) -> CertificateError:
        return self._checked.error("invalidCertificate", rule, source)


def create_root(
    suite: KeySuite,
    subject: x509.Name,
    private_key: SignaturePrivateKey,
    next_root_public_key: PublicKey,
    *,
    not_before: datetime,
    not_after: datetime | None = None,
    register: Register | None = None,
    random_bytes: RandomBytes = os.urandom,
) -> Authority:
    """A self-signed root that commits to the key of its successor (hashedRootKey, 6.8).

    CertificateError if a key is not a signature key of ``suite``, both keys are one, or the
    profile would be broken.
    """
    public_key = private_key.public_key()
    if not (suite.accepts_signature_key(public_key) and suite.accepts_signature_key(next_root_public_key)):
        raise CertificateError(
            "invalidCertificate", f"not a signature key of suite {suite.name}", "architecture section 3.3"
        )
    if _digest(public_key) == _digest(next_root_public_key):
        raise CertificateError(
            "invalidCertificate", "the next root needs a key of its own", "set-protocol.md section 6.8"
        )
    builder = _template(
        CertificateKind.ROOT,
        suite,
        subject=subject,
        issuer=subject,
        public_key=public_key,
        issuer_key_identifier=key_identifier(public_key),
        serial=_serial(random_bytes),
        not_before=not_before,
        not_after=not_after or not_before + PROFILES[CertificateKind.ROOT].validity,
        private_key_not_after=None,
        extensions=[HashedRootKey(_digest(next_root_public_key))],
    )
    certificate = suite.sign_certificate(builder, private_key)
    return Authority(certificate, private_key, superior_chain=(), register=register, random_bytes=random_bytes)


def _entry(serial: int, revocation: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=revocation.at)
    if revocation.reason is not None:
        builder = builder.add_extension(x509.CRLReason(revocation.reason), critical=False)
    return builder.build()


def certificate_der(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """The certificate or CRL in DER."""
    return certificate.public_bytes(Encoding.DER)


def _digest(public_key: PublicKey) -> bytes:
    return hashlib.sha256(public_key_der(public_key)).digest()


def _serial(random_bytes: RandomBytes) -> int:
    # 159 bits: positive, and 20 octets with the sign bit clear.  Never 0.
    return (int.from_bytes(random_bytes(20), "big") >> 1) or 1


def _whole_seconds(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    return moment.astimezone(UTC).replace(microsecond=0)


def _template(
    kind: CertificateKind,
    suite: KeySuite,
    *,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    issuer_key_identifier: bytes,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    private_key_not_after: datetime | None,
    extensions: Iterable[PrivateExtension],
) -> x509.CertificateBuilder:
    """The unsigned certificate of a kind, extensions in the order of set-protocol.md section 6.5."""
    profile = PROFILES[kind]
    not_before, not_after = _whole_seconds(not_before), _whole_seconds(not_after)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public_key,
        serial_number=serial,
        not_valid_before=not_before,
        not_valid_after=not_after,
    )
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(issuer_key_identifier, None, None), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(key_identifier(public_key)), critical=False)
    builder = builder.add_extension(profile.key_usage(suite), critical=True)
    if private_key_not_after is not None:
        period = x509.PrivateKeyUsagePeriod(not_before, _whole_seconds(private_key_not_after))
        builder = builder.add_extension(period, critical=False)
    policy = x509.PolicyInformation(SET_ROOT_POLICY, None)
    builder = builder.add_extension(x509.CertificatePolicies([policy]), critical=True)
    basic = x509.BasicConstraints(ca=profile.path_length is not None, path_length=profile.path_length)
    builder = builder.add_extension(basic, critical=True)
    with reading("extensions"):  # the builder refuses a second certificateType, or a second of any
        for value in (profile.certificate_type, *extensions):
            extension = to_extension(value)
            builder = builder.add_extension(extension, critical=CRITICAL[extension.oid])
    return builder
