"""Certificates, CRLs and BrandCRLIdentifiers to be changed and signed again, and how cases with them are declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki import check_crl, thumbprint
from pki.bci import sign_bci
from pki.suites import key_suite
from vectors.recipes.common import BRAND, Case, File, Group, Made, Random
from vectors.recipes.keys import BEGIN, CAS, World

SECOND: Final = timedelta(seconds=1)

UNKNOWN: Final = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.99"), b"\x05\x00")
LIFE: Final = timedelta(days=30)


@dataclass
class Draft:
    """A certificate to be changed and signed again."""

    subject: x509.Name
    issuer: x509.Name
    serial: int
    begin: datetime
    end: datetime
    public_key: Any
    extensions: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)

    @classmethod
    def of(cls, der: bytes) -> Draft:
        """Taken apart."""
        read = x509.load_der_x509_certificate(der)
        extensions = []
        for extension in read.extensions:
            value = extension.value
            if isinstance(value, x509.PrivateKeyUsagePeriod) and value.not_before and value.not_after:
                value = x509.PrivateKeyUsagePeriod(
                    *(at.replace(tzinfo=UTC) for at in (value.not_before, value.not_after))
                )
            extensions.append((value, extension.critical))
        return cls(
            read.subject,
            read.issuer,
            read.serial_number,
            read.not_valid_before_utc,
            read.not_valid_after_utc,
            read.public_key(),
            extensions,
        )

    def put(self, value: x509.ExtensionType, critical: bool) -> None:
        """Replace the extension of this type, or add it."""
        self.drop(value.oid)
        self.extensions.append((value, critical))

    def drop(self, oid: x509.ObjectIdentifier) -> None:
        """Leave the extension out."""
        self.extensions = [pair for pair in self.extensions if pair[0].oid != oid]

    def lives(self, begin: datetime, end: datetime) -> None:
        """Another validity, of the private key too."""
        self.begin, self.end = begin, end
        if any(isinstance(value, x509.PrivateKeyUsagePeriod) for value, _ in self.extensions):
            self.put(x509.PrivateKeyUsagePeriod(begin, end), False)

    def signed(self, suite: str, key: Any) -> bytes:
        """Signed by this key."""
        builder = x509.CertificateBuilder(self.issuer, self.subject, self.public_key, self.serial, self.begin, self.end)
        for value, critical in self.extensions:
            builder = builder.add_extension(value, critical)
        return key_suite(suite).sign_certificate(builder, key).public_bytes(Encoding.DER)


def crl_of(
    of: World,
    ca: str,
    *,
    number: int = 2,
    begin: datetime = BEGIN,
    end: datetime = BEGIN + LIFE,
    revoked: Sequence[int] = (),
    because: x509.ReasonFlags | None = None,
    key: Any = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    issuer: x509.Name | None = None,
    numbered: bool = True,
) -> bytes:
    """A CRL of this CA."""
    certificate = x509.load_der_x509_certificate(of.certificate(ca))
    builder = x509.CertificateRevocationListBuilder(issuer or certificate.subject, begin, end)
    ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(ski.digest, None, None), False)
    if numbered:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for value, critical in extra:
        builder = builder.add_extension(value, critical)
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder(serial, BEGIN)
        if because is not None:
            entry = entry.add_extension(x509.CRLReason(because), False)
        builder = builder.add_revoked_certificate(entry.build())
    return key_suite(of.suite).sign_crl(builder, key or of.pairs[ca].key).public_bytes(Encoding.DER)


def bci_of(
    of: World,
    crls: Iterable[bytes],
    *,
    number: int = 2,
    begin: datetime = BEGIN,
    end: datetime = BEGIN + LIFE,
    key: Any = None,
) -> bytes:
    """A BrandCRLIdentifier that names these CRLs."""
    return sign_bci(
        of.tree.brand_ca.checked,
        key or of.pairs["brandCA"].key,
        [check_crl(crl) for crl in crls],
        number=number,
        not_before=begin,
        not_after=end,
    )


def serial(der: bytes) -> int:
    """The serial number of a certificate."""
    return x509.load_der_x509_certificate(der).serial_number


def good_chain(
    group: Group,
    of: World,
    called: str,
    kind: str,
    label: str,
    comment: str,
    certificate: Callable[[], bytes] | None = None,
    party: str | None = None,
    **more: Any,
) -> Case:
    """A valid case: ``called`` has a certificate of this kind.  ``more``: other members of the input."""

    def make(random: Random) -> Made:
        der = of.certificate(called) if certificate is None else certificate()
        mark = thumbprint(der).hex()
        given: dict[str, Any] = {"suite": of.suite, "certificate": der.hex(), "kind": kind, "brand": BRAND}
        given |= {key: value() if callable(value) else value for key, value in more.items()}
        signed_part = x509.load_der_x509_certificate(der).tbs_certificate_bytes
        outputs = {"party_id": party or _party(der, kind), "thumbprint": mark}
        return Made(given, outputs, {"signed_part": signed_part.hex()})

    return group.add(label, comment, make, covers=["CR-18", "rule 6.6", "PX-15"])


def _party(der: bytes, kind: str) -> str:
    if kind.startswith("merchant ") and "CA" not in kind:
        return "shop-1"
    name = x509.load_der_x509_certificate(der).subject
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME) or name.get_attributes_for_oid(
        NameOID.ORGANIZATIONAL_UNIT_NAME
    )
    return str(found[0].value)


@dataclass(frozen=True)
class Cases:
    """How deviations from a good chain are declared."""

    file: File
    group: Group
    of: World
    good: Case
    leaf: str = "cardholder"
    issuer: str = "cardholderCA"

    def bad(
        self,
        label: str,
        comment: str,
        flag: str,
        change: Callable[[], Mapping[str, Any]],
        *,
        reason: str = "invalidCertificate",
        covers: Sequence[str] = ("rule 6.6",),
        **more: Any,
    ) -> None:
        """What is different in the input."""
        self.group.deviate(
            self.good,
            label,
            label,
            reason,
            lambda random, parent: change(),
            comment=comment,
            covers=covers,
            flags=[flag],
            **more,
        )

    def draft(
        self,
        label: str,
        comment: str,
        change: Callable[[Draft], object],
        flag: str = "Profile",
        *,
        key: Any = None,
        **more: Any,
    ) -> None:
        """Another certificate of the end entity, signed by its CA."""

        def made() -> dict[str, str]:
            draft = Draft.of(self.of.certificate(self.leaf))
            change(draft)
            return {"certificate": draft.signed(self.of.suite, key or self.of.pairs[self.issuer].key).hex()}

        self.bad(label, comment, flag, made, **more)

    def revocation(self, label: str, comment: str, flag: str, ca: str, reason: str, **how: Any) -> None:
        """Another CRL of this CA."""
        self.bad(
            label, comment, flag, lambda: self.crls(**{ca: crl_of(self.of, ca, **how)}), reason=reason, covers=["PX-15"]
        )

    def crls(self, **instead: bytes | None) -> dict[str, Any]:
        """Trust with other CRLs of these CAs, None for none."""
        listed = dict(zip(CAS, self.of.crls, strict=True)) | instead
        return {"trust": {"crls": [crl.hex() for crl in listed.values() if crl is not None]}}

    def bci(self, *bcis: bytes) -> dict[str, Any]:
        """Trust with other BrandCRLIdentifiers."""
        return {"trust": {"bcis": [bci.hex() for bci in bcis]}}

    def ca(self, called: str, above: str, change: Callable[[Draft], object]) -> dict[str, Any]:
        """Trust with another certificate of a CA, signed by the one above."""
        draft = Draft.of(self.of.certificate(called))
        change(draft)
        der = draft.signed(self.of.suite, self.of.pairs[above].key)
        others = (self.of.certificate(name) for name in CAS[1:] if name != called)
        return {"trust": {"certificates": [der.hex(), *(other.hex() for other in others)]}}
