"""Certificates and CRLs that our own authorities would never make: for the tests that must see them refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import Authority
from pki.suites import KeySuite, SignaturePrivateKey


def key_of(authority: Authority) -> SignaturePrivateKey:
    """The issuing key.  Only a test that plays a dishonest CA needs it."""
    return authority._key


@dataclass
class Draft:
    """A certificate taken apart, to be changed and signed again."""

    subject: x509.Name
    issuer: x509.Name
    serial: int
    not_before: datetime
    not_after: datetime
    public_key: Any
    extensions: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)

    @classmethod
    def of(cls, certificate: x509.Certificate | bytes) -> Draft:
        if isinstance(certificate, bytes):
            certificate = x509.load_der_x509_certificate(certificate)
        extensions: list[tuple[x509.ExtensionType, bool]] = []
        for extension in certificate.extensions:
            value: x509.ExtensionType = extension.value
            if isinstance(value, x509.PrivateKeyUsagePeriod):
                assert value.not_before is not None
                assert value.not_after is not None
                value = x509.PrivateKeyUsagePeriod(
                    value.not_before.replace(tzinfo=UTC), value.not_after.replace(tzinfo=UTC)
                )
            extensions.append((value, extension.critical))
        return cls(
            subject=certificate.subject,
            issuer=certificate.issuer,
            serial=certificate.serial_number,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            public_key=certificate.public_key(),
            extensions=extensions,
        )

    def drop(self, oid: x509.ObjectIdentifier) -> Draft:
        before = len(self.extensions)
        self.extensions = [pair for pair in self.extensions if pair[0].oid != oid]
        assert len(self.extensions) < before
        return self

    def put(self, value: x509.ExtensionType, critical: bool) -> Draft:
        """Replace the extension of the same identifier, or add it."""
        self.extensions = [pair for pair in self.extensions if pair[0].oid != value.oid]
        self.extensions.append((value, critical))
        return self

    def built(self) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(
            issuer_name=self.issuer,
            subject_name=self.subject,
            public_key=self.public_key,
            serial_number=self.serial,
            not_valid_before=self.not_before,
            not_valid_after=self.not_after,
        )
        for value, critical in self.extensions:
            builder = builder.add_extension(value, critical)
        return builder

    def signed(self, by: Authority) -> bytes:
        return by.suite.sign_certificate(self.built(), key_of(by)).public_bytes(Encoding.DER)

    def signed_with(self, suite: KeySuite, key: SignaturePrivateKey) -> bytes:
        return suite.sign_certificate(self.built(), key).public_bytes(Encoding.DER)


def forged_crl(
    issuer: Authority,
    at: datetime,
    next_update: datetime,
    *,
    number: int = 100,
    signer: Authority | None = None,
    name: x509.Name | None = None,
    extra: tuple[x509.ExtensionType, bool] | None = None,
    entries: tuple[x509.RevokedCertificate, ...] = (),
    with_aki: bool = True,
) -> bytes:
    """A CRL in the name of ``issuer`` with the given oddities, signed by ``signer`` (default: the issuer)."""
    signer = signer or issuer
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=name or issuer.certificate.subject, last_update=at, next_update=next_update
    )
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if with_aki:
        ski = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False
        )
    if extra is not None:
        builder = builder.add_extension(*extra)
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    return signer.suite.sign_crl(builder, key_of(signer)).public_bytes(Encoding.DER)


def serial_of(der: bytes) -> int:
    return x509.load_der_x509_certificate(der).serial_number
