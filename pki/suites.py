"""The suites of keys and signature algorithms that certificates may use: an allow-list of four.

A suite fixes everything at once, so that nothing is negotiated and nothing weaker
can be slipped in: the type and size of signature keys and of key-exchange keys, and
the one signature algorithm, with its parameters to the octet, of every certificate
and CRL.  A chain that mixes suites is refused (pki/path.py): its strength would be
that of its weakest member.

Sources: RFC 5758 (ECDSA), RFC 4055 (RSASSA-PSS), RFC 8410 (Ed25519, X25519),
RFC 9881 (ML-DSA), RFC 9935 (ML-KEM).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.errors import UnknownSuiteError
from pki.signed import MAX_CRL, signed_shape, subject_public_key

__all__ = [
    "SUITES",
    "ExchangePrivateKey",
    "ExchangePublicKey",
    "KeySuite",
    "PrivateKey",
    "PublicKey",
    "SignaturePrivateKey",
    "SignaturePublicKey",
    "key_identifier",
    "key_suite",
    "public_key_der",
    "suite_of",
    "suite_of_algorithms",
]

SignaturePrivateKey: TypeAlias = (
    ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey
)
ExchangePrivateKey: TypeAlias = (
    ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | x25519.X25519PrivateKey | mlkem.MLKEM768PrivateKey
)
SignaturePublicKey: TypeAlias = (
    ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey
)
ExchangePublicKey: TypeAlias = (
    ec.EllipticCurvePublicKey | rsa.RSAPublicKey | x25519.X25519PublicKey | mlkem.MLKEM768PublicKey
)
PrivateKey: TypeAlias = SignaturePrivateKey | ExchangePrivateKey
PublicKey: TypeAlias = SignaturePublicKey | ExchangePublicKey

_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_RSA_BITS = range(3072, 4097)
# Above 4096 bits a stranger's certificate would buy our time; below 3072 it is under 128-bit strength.


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySuite:
    """One suite.  ``name`` is what configuration, messages and vectors call it.

    ``x509_signature_oid`` names the signature algorithm of every certificate and CRL of the
    suite, and ``x509_algorithm`` is its whole AlgorithmIdentifier in DER: for RSA that is
    RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 octets, and nothing else.
    ``agrees``: the exchange key agrees on keys (Diffie-Hellman); otherwise keys are encrypted to it.
    """

    name: str
    x509_signature_oid: x509.ObjectIdentifier
    x509_algorithm: bytes
    signature_key_oid: x509.ObjectIdentifier
    exchange_key_oid: x509.ObjectIdentifier
    agrees: bool
    _signature_key: Callable[[], SignaturePrivateKey]
    _exchange_key: Callable[[], ExchangePrivateKey]
    _is_signature_key: Callable[[object], bool]
    _is_exchange_key: Callable[[object], bool]
    _hash: hashes.SHA256 | None
    _rsa_padding: padding.PSS | None

    def generate_signature_key(self) -> SignaturePrivateKey:
        """A fresh private key for signatures, from OpenSSL's generator."""
        return self._signature_key()

    def generate_exchange_key(self) -> ExchangePrivateKey:
        """A fresh private key for opening envelopes, from OpenSSL's generator."""
        return self._exchange_key()

    def accepts_signature_key(self, public: object) -> bool:
        """Whether ``public`` is a public signature key of exactly this suite (curve, size, exponent)."""
        return self._is_signature_key(public)

    def accepts_exchange_key(self, public: object) -> bool:
        """Whether ``public`` is a public key-exchange key of exactly this suite."""
        return self._is_exchange_key(public)

    def sign_certificate(self, builder: x509.CertificateBuilder, private_key: SignaturePrivateKey) -> x509.Certificate:
        """Sign a certificate with the suite's algorithm.  UnknownSuiteError if the key is of another suite."""
        self._require(private_key)
        return builder.sign(private_key, self._hash, rsa_padding=self._rsa_padding)

    def sign_crl(
        self, builder: x509.CertificateRevocationListBuilder, private_key: SignaturePrivateKey
    ) -> x509.CertificateRevocationList:
        """Sign a CRL with the suite's algorithm.  UnknownSuiteError if the key is of another suite."""
        self._require(private_key)
        return builder.sign(private_key, self._hash, rsa_padding=self._rsa_padding)

    def sign(self, data: bytes, private_key: SignaturePrivateKey) -> bytes:
        """A signature over ``data`` with the suite's algorithm.  UnknownSuiteError if the key is of another suite."""
        self._require(private_key)
        if isinstance(private_key, rsa.RSAPrivateKey):
            return private_key.sign(data, _PSS, hashes.SHA256())
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            return private_key.sign(data, ec.ECDSA(hashes.SHA256()))
        return private_key.sign(data)

    def verifies(self, data: bytes, signature: bytes, public_key: object) -> bool:
        """Whether ``public_key`` is of the suite and ``signature`` over ``data``, in the suite's algorithm, is its."""
        if not self.accepts_signature_key(public_key):
            return False
        try:
            if isinstance(public_key, rsa.RSAPublicKey):
                public_key.verify(signature, data, _PSS, hashes.SHA256())
            elif isinstance(public_key, ec.EllipticCurvePublicKey):
                public_key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            else:
                cast(ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey, public_key).verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def _require(self, private_key: SignaturePrivateKey) -> None:
        if not self.accepts_signature_key(private_key.public_key()):
            raise UnknownSuiteError(
                "invalidCertificate", f"not a signature key of suite {self.name}", "architecture section 3.3"
            )


def _p256(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _rsa3072(key: object) -> bool:
    return isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS and key.public_numbers().e == 65537


def _oid(dotted: str) -> x509.ObjectIdentifier:
    return x509.ObjectIdentifier(dotted)


_PSS_ALGORITHM = bytes.fromhex(
    "3041 06092a864886f70d01010a"  # id-RSASSA-PSS
    "3034 a00f 300d 0609608648016503040201 0500"  # hash: SHA-256
    "a11c 301a 06092a864886f70d010108 300d 0609608648016503040201 0500"  # mask: MGF1 with SHA-256
    "a203 020120"  # salt: 32 octets
)
_EC_PUBLIC_KEY = _oid("1.2.840.10045.2.1")
_RSA_ENCRYPTION = _oid("1.2.840.113549.1.1.1")

_ALL = (
    KeySuite(
        name="p256",
        x509_signature_oid=_oid("1.2.840.10045.4.3.2"),
        x509_algorithm=bytes.fromhex("300a 06082a8648ce3d040302"),
        signature_key_oid=_EC_PUBLIC_KEY,
        exchange_key_oid=_EC_PUBLIC_KEY,
        agrees=True,
        _signature_key=lambda: ec.generate_private_key(ec.SECP256R1()),
        _exchange_key=lambda: ec.generate_private_key(ec.SECP256R1()),
        _is_signature_key=_p256,
        _is_exchange_key=_p256,
        _hash=hashes.SHA256(),
        _rsa_padding=None,
    ),
    KeySuite(
        name="rsa3072",
        x509_signature_oid=_oid("1.2.840.113549.1.1.10"),
        x509_algorithm=_PSS_ALGORITHM,
        signature_key_oid=_RSA_ENCRYPTION,
        exchange_key_oid=_RSA_ENCRYPTION,
        agrees=False,
        _signature_key=lambda: rsa.generate_private_key(65537, 3072),
        _exchange_key=lambda: rsa.generate_private_key(65537, 3072),
        _is_signature_key=_rsa3072,
        _is_exchange_key=_rsa3072,
        _hash=hashes.SHA256(),
        _rsa_padding=_PSS,
    ),
    KeySuite(
        name="ed25519",
        x509_signature_oid=_oid("1.3.101.112"),
        x509_algorithm=bytes.fromhex("3005 06032b6570"),
        signature_key_oid=_oid("1.3.101.112"),
        exchange_key_oid=_oid("1.3.101.110"),
        agrees=True,
        _signature_key=ed25519.Ed25519PrivateKey.generate,
        _exchange_key=x25519.X25519PrivateKey.generate,
        _is_signature_key=lambda key: isinstance(key, ed25519.Ed25519PublicKey),
        _is_exchange_key=lambda key: isinstance(key, x25519.X25519PublicKey),
        _hash=None,
        _rsa_padding=None,
    ),
    KeySuite(
        name="mldsa65",
        x509_signature_oid=_oid("2.16.840.1.101.3.4.3.18"),
        x509_algorithm=bytes.fromhex("300b 0609608648016503040312"),
        signature_key_oid=_oid("2.16.840.1.101.3.4.3.18"),
        exchange_key_oid=_oid("2.16.840.1.101.3.4.4.2"),
        agrees=False,
        _signature_key=mldsa.MLDSA65PrivateKey.generate,
        _exchange_key=mlkem.MLKEM768PrivateKey.generate,
        _is_signature_key=lambda key: isinstance(key, mldsa.MLDSA65PublicKey),
        _is_exchange_key=lambda key: isinstance(key, mlkem.MLKEM768PublicKey),
        _hash=None,
        _rsa_padding=None,
    ),
)

SUITES: Mapping[str, KeySuite] = MappingProxyType({suite.name: suite for suite in _ALL})
"""Every suite there is, by name."""

_BY_ALGORITHM = {suite.x509_algorithm: suite for suite in _ALL}


def key_suite(name: str) -> KeySuite:
    """The suite called ``name``; UnknownSuiteError (a ValueError) for any other name."""
    try:
        return SUITES[name]
    except KeyError:
        raise UnknownSuiteError(
            "invalidCertificate", f"no suite is called {name!r}", "architecture section 3.3"
        ) from None


def suite_of(signed: x509.Certificate | x509.CertificateRevocationList) -> KeySuite:
    """The suite of a certificate or CRL: ``suite_of_algorithms`` of what it carries, with its errors."""
    shape = signed_shape(signed.public_bytes(Encoding.DER), limit=MAX_CRL)
    return suite_of_algorithms(shape.outer_algorithm, shape.inner_algorithm)


def suite_of_algorithms(outer_algorithm: bytes, inner_algorithm: bytes) -> KeySuite:
    """The suite whose signature algorithm a certificate or CRL carries, from its two identifiers in DER.

    UnknownSuiteError if the two differ (RFC 5280 section 4.1.1.2) or no suite has exactly this
    algorithm with exactly these parameters.
    """
    if outer_algorithm != inner_algorithm:
        raise UnknownSuiteError(
            "invalidCertificate",
            "signature algorithm differs inside and outside the signature",
            "RFC 5280 section 4.1.1.2",
        )
    suite = _BY_ALGORITHM.get(outer_algorithm)
    if suite is None:
        raise UnknownSuiteError(
            "invalidCertificate",
            "signature algorithm or its parameters are in no suite",
            "architecture section 3.3",
        )
    return suite


def public_key_der(public_key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER, always in the same form for the same key."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_identifier(public_key: PublicKey) -> bytes:
    """20 octets: the left 160 bits of SHA-256 over the subjectPublicKey (RFC 7093 section 2, method 1).

    Not RFC 5280's own method, which is SHA-1: there is no SHA-1 in this library.
    """
    return hashlib.sha256(subject_public_key(public_key_der(public_key))).digest()[:20]
