"""Keys and certificates for the tests of ``setproto.crypto``, and objects that the library itself would never make.

Everything here is made once per process: RSA keys are slow.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x25519

from pki.der import tlv
from setproto.crypto.cms import Recipient, RecipientKey, Signer
from setproto.crypto.suites import suite
from setproto.errors import CertificateRefused

SUITES = ("p256", "rsa3072", "ed25519", "mldsa65")

ORDER = x509.ObjectIdentifier("2.25.1000.1")
PAYMENT = x509.ObjectIdentifier("2.25.1000.2")
"""Two content types of an imaginary protocol; their encodings differ in the last octet."""

_SIGNING_KEYS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
}
_EXCHANGE_KEYS: dict[str, Callable[[], Any]] = {
    **_SIGNING_KEYS,
    "ed25519": x25519.X25519PrivateKey.generate,
    "mldsa65": mlkem.MLKEM768PrivateKey.generate,
}


def make_certificate(
    public_key: Any,
    issuer_key: Any,
    *,
    name: str = "test",
    issuer: str | None = None,
    ski: bytes | None = None,
    serial: int | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
    with_ski: bool = True,
) -> bytes:
    """The DER of a certificate.  ``ski`` overrides the subjectKeyIdentifier that follows from the key."""
    subject, by = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (name, issuer or name))
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    if with_ski:
        identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
        builder = builder.add_extension(x509.SubjectKeyIdentifier(ski) if ski else identifier, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = hashes.SHA256() if isinstance(issuer_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None
    return builder.sign(issuer_key, algorithm).public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Trusted:
    """A certificate that somebody trusts: the least that ``verify`` and ``Recipient`` need."""

    der: bytes
    suite: str
    public_key: Any


@dataclass(frozen=True)
class Party:
    """A signature key and a key-exchange key of one suite, with certificates."""

    suite: str
    signing_key: Any
    certificate: bytes
    exchange_key: Any
    exchange_certificate: bytes

    @cached_property
    def signer(self) -> Signer:
        return Signer(self.signing_key, self.certificate, suite(self.suite))

    @cached_property
    def recipient(self) -> Recipient:
        return Recipient(self.trusted_exchange)

    @cached_property
    def recipient_key(self) -> RecipientKey:
        return RecipientKey(self.exchange_key, self.exchange_certificate, self.suite)

    @property
    def trusted(self) -> Trusted:
        return Trusted(self.certificate, self.suite, self.signing_key.public_key())

    @property
    def trusted_exchange(self) -> Trusted:
        return Trusted(self.exchange_certificate, self.suite, self.exchange_key.public_key())

    def certify(self, certificate: bytes, others: Sequence[bytes]) -> Trusted:
        """The trust decision: this party's certificate and no other."""
        if certificate != self.certificate:
            raise CertificateRefused("not the certificate of this party")
        return self.trusted


def trust_anything(suite_name: str) -> Callable[[bytes, Sequence[bytes]], Trusted]:
    """A ``certify`` without judgement: shows what verification refuses of itself."""

    def certify(certificate: bytes, others: Sequence[bytes]) -> Trusted:
        return Trusted(certificate, suite_name, x509.load_der_x509_certificate(certificate).public_key())

    return certify


@cache
def party(suite_name: str, which: int = 0) -> Party:
    """The party number ``which`` of a suite; always the same one within a process."""
    signing_key, exchange_key = _SIGNING_KEYS[suite_name](), _EXCHANGE_KEYS[suite_name]()
    name = f"{suite_name} {which}"
    return Party(
        suite_name,
        signing_key,
        make_certificate(signing_key.public_key(), signing_key, name=name),
        exchange_key,
        make_certificate(exchange_key.public_key(), signing_key, name=name),
    )


# --- objects built by hand ------------------------------------------------------------------------

ID_CONTENT_TYPE = "1.2.840.113549.1.9.3"
ID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
ID_SIGNING_TIME = "1.2.840.113549.1.9.5"
ID_SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"
ID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
ID_ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"


def oid(dotted: str | x509.ObjectIdentifier) -> bytes:
    """The DER encoding of an object identifier, after X.690 §8.19."""
    if isinstance(dotted, x509.ObjectIdentifier):
        dotted = dotted.dotted_string
    first, second, *rest = map(int, dotted.split("."))
    octets = b""
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.insert(0, 0x80 | (arc & 0x7F))
        octets += bytes(septets)
    return tlv(0x06, octets)


def attribute(dotted: str, *values: bytes) -> bytes:
    return tlv(0x30, oid(dotted), tlv(0x31, *sorted(values)))


def good_attributes(
    who: Party, content: bytes, content_type: x509.ObjectIdentifier, others: Iterable[bytes] = ()
) -> dict[str, bytes]:
    """The values of the four signed attributes, written out from the RFCs."""
    chosen = suite(who.suite)
    hash_name = "sha256" if who.suite in ("p256", "rsa3072") else "sha512"
    # SHA-256 is the default of ESSCertIDv2, so only the hash is written: the signer's own certificate first.
    cert_ids = [tlv(0x30, tlv(0x04, hashlib.sha256(der).digest())) for der in (who.certificate, *others)]
    protected = b"\xa1" + chosen.signature_algorithms[0][1:]  # [1] IMPLICIT SignatureAlgorithmIdentifier
    return {
        ID_CONTENT_TYPE: oid(content_type),
        ID_MESSAGE_DIGEST: tlv(0x04, hashlib.new(hash_name, content).digest()),
        ID_ALGORITHM_PROTECTION: tlv(0x30, chosen.digest_algorithm, protected),
        ID_SIGNING_CERTIFICATE_V2: tlv(0x30, tlv(0x30, *cert_ids)),
    }


def forge(
    who: Party,
    content: bytes,
    content_type: x509.ObjectIdentifier,
    *,
    attributes: Sequence[bytes] | None = None,
    signed_attributes: bytes | None = None,
    signing_key: Any = None,
    certificates: Sequence[bytes] | None = None,
    certificate_set: bytes | None = None,
    sid: bytes | None = None,
    sid_tag: int = 0x80,
    version: int = 3,
    signer_version: int = 3,
    digest_algorithm: bytes | None = None,
    set_digest_algorithm: bytes | None = None,
    signature_algorithm: bytes | None = None,
    enclosed_type: x509.ObjectIdentifier | None = None,
    outer_type: str = "1.2.840.113549.1.7.2",
    crls: bytes = b"",
    unsigned_attributes: bytes = b"",
    signer_infos: int = 1,
    detached: bool = False,
) -> bytes:
    """A SignedData object with any part replaced, whose signature over its own attributes is good.

    ``attributes`` are whole Attribute encodings, put in DER order; ``signed_attributes`` replaces the set itself.
    """
    chosen = suite(who.suite)
    enclosed = sorted([who.certificate] if certificates is None else certificates)
    if attributes is None:
        others = [der for der in enclosed if der != who.certificate]
        attributes = [attribute(k, v) for k, v in good_attributes(who, content, content_type, others).items()]
    octets = b"".join(sorted(attributes)) if signed_attributes is None else signed_attributes
    signature = chosen.sign(signing_key or who.signing_key, tlv(0x31, octets))
    ski = x509.SubjectKeyIdentifier.from_public_key(who.signing_key.public_key()).digest
    digest_algorithm = digest_algorithm or chosen.digest_algorithm
    signer_info = tlv(
        0x30,
        tlv(0x02, bytes([signer_version])),
        tlv(sid_tag, ski if sid is None else sid),
        digest_algorithm,
        tlv(0xA0, octets),
        signature_algorithm or chosen.signature_algorithms[0],
        tlv(0x04, signature),
        unsigned_attributes,
    )
    signed_data = tlv(
        0x30,
        tlv(0x02, bytes([version])),
        tlv(0x31, set_digest_algorithm or digest_algorithm),
        tlv(0x30, oid(enclosed_type or content_type), b"" if detached else tlv(0xA0, tlv(0x04, content))),
        tlv(0xA0, *enclosed) if certificate_set is None else certificate_set,
        crls,
        tlv(0x31, signer_info * signer_infos),
    )
    return tlv(0x30, oid(outer_type), tlv(0xA0, signed_data))
