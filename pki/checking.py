"""Reading one certificate: bytes in, a certificate that fulfils its whole profile out, or a refusal.

Nothing here says that a certificate is genuine: signatures, dates, revocation and the
chain are the business of ``pki/path.py``.  But nothing that has passed here can later
surprise: every extension that restricts the certificate is one that we enforce.  That
matters because ``engine.py`` must tell OpenSSL to ignore critical extensions (SET has
private ones, and OpenSSL's flag is all or nothing); what OpenSSL then overlooks is
refused here.

Sources: RFC 5280 sections 4.1 and 4.2; SET Book 2, certificate profile; set-protocol.md
sections 6.2 to 6.6.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from pki import der
from pki.errors import CertificateError, ErrorCode
from pki.extensions import (
    CERTIFICATE_TYPE,
    CRITICAL,
    SET_ROOT_POLICY,
    CertificateType,
    MerchantData,
    PrivateExtension,
    from_extension,
)
from pki.names import PartyName, parse_name
from pki.profiles import PROFILES, CertificateKind, Profile, Use, kind_of
from pki.signed import MAX_CERTIFICATE, SignedShape, signed_shape
from pki.suites import KeySuite, PublicKey, public_key_der, suite_of_algorithms

__all__ = ["CheckedCertificate", "check_certificate", "check_profile", "reading"]

_SET = "SET Book 2, certificate profile"

_CRITICAL: dict[x509.ObjectIdentifier, bool] = {
    ExtensionOID.KEY_USAGE: True,
    ExtensionOID.BASIC_CONSTRAINTS: True,
    ExtensionOID.CERTIFICATE_POLICIES: True,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
    ExtensionOID.PRIVATE_KEY_USAGE_PERIOD: False,
    **CRITICAL,
}
# Extensions that restrict what a certificate may be used for and that we do not enforce: refused
# whether critical or not, because to overlook a restriction is to grant what its issuer withheld.
_UNENFORCED = frozenset(
    {
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    }
)
# The fields of the signed part: version, serial, algorithm, issuer, validity, subject, key,
# extensions.  A unique identifier would stand before the last as 0x81 or 0x82 (6.2: not used).
_FIELDS = bytes.fromhex("a0 02 30 30 30 30 30 a3")
_ISSUER, _SUBJECT = 3, 5

E = TypeVar("E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedCertificate:
    """A certificate that fulfils the profile of its ``kind``.  It is **not** known to be genuine.

    ``subject`` and ``issuer`` are the names in DER; ``key_digest`` is SHA-256 over the
    SubjectPublicKeyInfo; ``thumbprint`` is SHA-256 over the signed part (4.3 with SHA-256).
    Key identifiers are the octets of the two extensions.  For kinds without a
    privateKeyUsagePeriod the ``private_key_*`` times are those of the certificate.
    """

    der: bytes
    certificate: x509.Certificate
    kind: CertificateKind
    suite: KeySuite
    name: PartyName
    subject: bytes
    issuer: bytes
    public_key: PublicKey
    key_digest: bytes
    subject_key_identifier: bytes
    authority_key_identifier: bytes
    thumbprint: bytes
    not_before: datetime
    not_after: datetime
    private_key_not_before: datetime
    private_key_not_after: datetime
    private_extensions: tuple[PrivateExtension, ...]

    @property
    def merchant_data(self) -> MerchantData | None:
        """The merchantData extension; None for all who are not merchants."""
        return next((value for value in self.private_extensions if isinstance(value, MerchantData)), None)

    @property
    def printable(self) -> str:
        """The subject's name for people, and the kind."""
        return f"{self.certificate.subject.rfc4514_string()} ({self.kind})"

    def error(self, code: ErrorCode, rule: str, source: str) -> CertificateError:
        """A refusal that names this certificate."""
        return CertificateError(code, rule, source, subject=self.printable, thumbprint=self.thumbprint)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a parser can raise into CertificateError("invalidCertificate").

    ``cryptography`` parses parts of a certificate only when they are asked for, reports some
    faults as warnings (which a program may have turned into exceptions), and has no common
    base class for the rest: so the list is long, and it is written once.
    """
    try:
        yield
    except (
        ValueError,
        TypeError,
        OverflowError,
        Warning,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as problem:
        if isinstance(problem, CertificateError):
            raise
        raise CertificateError(
            "invalidCertificate", f"malformed {what}: {type(problem).__name__}", "RFC 5280 section 4"
        ) from None


def check_certificate(data: bytes) -> CheckedCertificate:
    """Read ``data`` (DER, at most 64 KiB) and check it against the complete profile of its kind.

    CertificateError("invalidCertificate") names the first rule that is broken.
    """
    shape = signed_shape(data, limit=MAX_CERTIFICATE)
    with reading("certificate"):
        certificate = x509.load_der_x509_certificate(data)
        tbs = certificate.tbs_certificate_bytes
    thumbprint = hashlib.sha256(tbs).digest()
    subject = ""
    try:
        with reading("name"):
            subject = certificate.subject.rfc4514_string()
        return _check(data, shape, certificate, thumbprint)
    except CertificateError as refusal:
        raise refusal.about(subject, thumbprint) from None


def check_profile(certificate: x509.Certificate) -> CertificateKind:
    """The kind of a parsed certificate, after the same complete check as ``check_certificate``."""
    return check_certificate(certificate.public_bytes(Encoding.DER)).kind


def _check(data: bytes, shape: SignedShape, certificate: x509.Certificate, thumbprint: bytes) -> CheckedCertificate:
    if shape.tags != _FIELDS:
        raise _refuse("version 3, extensions and no unique identifiers", "set-protocol.md section 6.2")
    suite = suite_of_algorithms(shape.outer_algorithm, shape.inner_algorithm)
    with reading("certificate"):
        if certificate.version is not x509.Version.v3:
            raise _refuse("version 3", "set-protocol.md section 6.2")
        serial = certificate.serial_number
        name = parse_name(certificate.subject)
        parse_name(certificate.issuer)
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    # 20 octets with the sign bit clear.
    if not 0 < serial < 1 << 159:
        raise _refuse("serial number positive and at most 20 octets", "RFC 5280 section 4.1.2.2")
    if not_before >= not_after:
        raise _refuse("the validity period is empty", "RFC 5280 section 4.1.2.5")

    with reading("extensions"):
        extensions = certificate.extensions
    private = _check_every_extension(extensions)
    types = next((value for value in private.values() if isinstance(value, CertificateType)), None)
    if types is None:
        raise _refuse("certificateType missing", _SET)

    usage = _take(extensions, x509.KeyUsage, "keyUsage")
    basic = _take(extensions, x509.BasicConstraints, "basicConstraints")
    use = Use.ISSUE if basic.ca else Use.SIGN if usage.digital_signature else Use.EXCHANGE
    kind = kind_of(types, use)
    if kind is None:
        raise _refuse("no kind has this certificateType and use", "set-protocol.md section 6.3")
    profile = PROFILES[kind]
    if usage != profile.key_usage(suite):
        raise _refuse(f"keyUsage is not that of a {kind} certificate", "set-protocol.md section 6.3")
    if profile.path_length is not None and not (
        basic.path_length is not None and basic.path_length <= profile.path_length
    ):
        raise _refuse(f"pathLenConstraint at most {profile.path_length}", "RFC 5280 section 4.2.1.9")

    with reading("public key"):
        public_key = certificate.public_key()
        key_oid = certificate.public_key_algorithm_oid
    expected_oid = suite.exchange_key_oid if use is Use.EXCHANGE else suite.signature_key_oid
    # An RSA key can also be marked as one for PSS only, and load all the same: hence the identifier too.
    if key_oid != expected_oid or not profile.accepts_key(suite, public_key):
        raise _refuse(f"not a key of suite {suite.name} for {use.value}", "architecture section 3.3")
    key = cast(PublicKey, public_key)

    policies = _take(extensions, x509.CertificatePolicies, "certificatePolicies")
    if all(policy.policy_identifier != SET_ROOT_POLICY for policy in policies):
        raise _refuse("policies do not include the SET root policy", "set-protocol.md section 6.6 rule 8")

    ski = _take(extensions, x509.SubjectKeyIdentifier, "subjectKeyIdentifier").digest
    aki = _authority_key(_take(extensions, x509.AuthorityKeyIdentifier, "authorityKeyIdentifier"))
    if not 1 <= len(ski) <= 64:
        raise _refuse("subjectKeyIdentifier of 1 to 64 octets", "RFC 5280 section 4.2.1.2")

    subject, issuer = der.encode(shape.fields[_SUBJECT]), der.encode(shape.fields[_ISSUER])
    # Only the root is self-issued, so no chain can circle.
    if (subject == issuer) != (kind is CertificateKind.ROOT) or (kind is CertificateKind.ROOT and ski != aki):
        raise _refuse("only a root names itself as issuer", "set-protocol.md section 6.6")
    _check_name(profile, name)
    _check_private(profile, private)
    start, end = _key_period(profile, extensions, not_before, not_after)
    return CheckedCertificate(
        der=data,
        certificate=certificate,
        kind=kind,
        suite=suite,
        name=name,
        subject=subject,
        issuer=issuer,
        public_key=key,
        key_digest=hashlib.sha256(public_key_der(key)).digest(),
        subject_key_identifier=ski,
        authority_key_identifier=aki,
        thumbprint=thumbprint,
        not_before=not_before,
        not_after=not_after,
        private_key_not_before=start,
        private_key_not_after=end,
        private_extensions=tuple(private.values()),
    )


def _refuse(rule: str, source: str) -> CertificateError:
    return CertificateError("invalidCertificate", rule, source)


def _take(extensions: x509.Extensions, of_type: type[E], name: str) -> E:
    try:
        return extensions.get_extension_for_class(of_type).value
    except x509.ExtensionNotFound:
        raise _refuse(f"{name} missing", _SET) from None


def _check_every_extension(extensions: x509.Extensions) -> dict[x509.ObjectIdentifier, PrivateExtension]:
    """The private extensions, after criticality, and that nothing which restricts goes unenforced."""
    private: dict[x509.ObjectIdentifier, PrivateExtension] = {}
    for extension in extensions:
        critical = _CRITICAL.get(extension.oid)
        if extension.oid in _UNENFORCED or (critical is None and extension.critical):
            raise _refuse(
                f"extension {extension.oid.dotted_string} is critical or restrictive, and not enforced here",
                "RFC 5280 section 4.2",
            )
        if critical is not None and extension.critical != critical:
            must = "must" if critical else "must not"
            raise _refuse(f"extension {extension.oid.dotted_string} {must} be critical", _SET)
        if extension.oid in CRITICAL:
            if not isinstance(extension.value, x509.UnrecognizedExtension):
                raise _refuse("private extension in an unexpected form", _SET)
            private[extension.oid] = from_extension(extension.value)
    return private


def _authority_key(value: x509.AuthorityKeyIdentifier) -> bytes:
    # SET named the issuer's name and serial here, which ties a chain to one certificate of the
    # issuer and breaks on its renewal; RFC 5280 section 4.2.1.1 wants the key identifier, alone.
    if (
        value.key_identifier is None
        or value.authority_cert_issuer is not None
        or value.authority_cert_serial_number is not None
    ):
        raise _refuse("authorityKeyIdentifier is the key identifier alone", "RFC 5280 section 4.2.1.1")
    return value.key_identifier


def _check_name(profile: Profile, name: PartyName) -> None:
    fewest, most = profile.units
    if not fewest <= len(name.units) <= most or (profile.common_name and name.common_name is None):
        raise _refuse(f"subject name is not that of a {profile.kind}", "set-protocol.md section 6.4")
    if profile.kind is CertificateKind.CARDHOLDER_SIGNATURE:
        # The holder's pseudonym and nothing more telling: a keyed hash in Base64.
        with reading("unique cardholder id"):
            if not 20 <= len(base64.b64decode(name.common_name or "", validate=True)) <= 32:
                raise ValueError


def _check_private(profile: Profile, private: dict[x509.ObjectIdentifier, PrivateExtension]) -> None:
    present = private.keys() - {CERTIFICATE_TYPE}
    if missing := profile.required - present:
        raise _refuse(f"extension {min(o.dotted_string for o in missing)} missing", _SET)
    if foreign := present - profile.required - profile.optional:
        raise _refuse(f"extension {min(o.dotted_string for o in foreign)} in a {profile.kind} certificate", _SET)


def _key_period(
    profile: Profile, extensions: x509.Extensions, not_before: datetime, not_after: datetime
) -> tuple[datetime, datetime]:
    found = [e.value for e in extensions if isinstance(e.value, x509.PrivateKeyUsagePeriod)]
    if (len(found) == 1) != (profile.use is Use.SIGN):
        raise _refuse("privateKeyUsagePeriod on message signature certificates and no others", _SET)
    if not found:
        return not_before, not_after
    start, end = found[0].not_before, found[0].not_after
    if start is not None and end is not None:
        # Read from a certificate both are naive, and GeneralizedTime in UTC.
        start, end = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
        if not_before <= start < end <= not_after:
            return start, end
    raise _refuse("privateKeyUsagePeriod lies within the validity period", _SET)
