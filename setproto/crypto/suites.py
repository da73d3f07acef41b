"""The crypto suites: an allow-list of complete choices of algorithms.

A suite names one signature algorithm, one way to deliver a content key, one content
cipher (AES-256-GCM everywhere) and one hash.  The certificates of a party fix its
suite; no message negotiates, so none can negotiate downwards.  What is not in
``SUITES`` does not exist: there is no way to spell SHA-1, DES or PKCS #1 v1.5 here.

==========  ================================  ===========================================
name        signature                         content key
==========  ================================  ===========================================
p256        ECDSA P-256, SHA-256              ECDH-ES P-256, X9.63 KDF, AES-256 key wrap
rsa3072     RSASSA-PSS 3072, SHA-256          RSAES-OAEP, SHA-256
ed25519     Ed25519 (RFC 8419)                X25519, HKDF (RFC 8418), AES-256 key wrap
mldsa65     ML-DSA-65 (RFC 9882)              ML-KEM-768 (RFC 9629, 9936), AES-256 key wrap
==========  ================================  ===========================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from pki.der import tlv
from setproto.errors import SignatureFailure, UnknownSuite

SHA256: Final = bytes.fromhex("300b0609608648016503040201")
"""AlgorithmIdentifier of SHA-256, parameters absent (RFC 5754 §2)."""
SHA512: Final = bytes.fromhex("300b0609608648016503040203")


def _pss(sha256: bytes) -> bytes:
    """id-RSASSA-PSS with SHA-256, MGF1 with SHA-256, 32 octets of salt (RFC 4055 §3.1)."""
    mgf1 = tlv(0x30, bytes.fromhex("06092a864886f70d010108"), sha256)
    parameters = tlv(0x30, tlv(0xA0, sha256), tlv(0xA1, mgf1), tlv(0xA2, b"\x02\x01\x20"))
    return tlv(0x30, bytes.fromhex("06092a864886f70d01010a"), parameters)


_RSA_PSS: Final = tuple(_pss(sha256) for sha256 in (bytes.fromhex("300d06096086480165030402010500"), SHA256))
"""With NULL parameters of the hash and without: RFC 4055 §2.1 has both accepted; the first is written."""

_ECDSA = ec.ECDSA(hashes.SHA256())
_ECDSA_DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_SHA256_HASH = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class Suite:
    """One complete choice of algorithms.  Compare by ``name``; obtain with :func:`suite`."""

    name: str
    digest_algorithm: bytes
    """DER AlgorithmIdentifier of the hash in a SignerInfo."""
    signature_algorithms: tuple[bytes, ...]
    """DER AlgorithmIdentifiers accepted for the signature in a SignerInfo; the first is the one written."""
    digest: Callable[[bytes], bytes]
    """Content → messageDigest octets: SHA-256, or SHA-512 where RFC 8419 §3 and RFC 9882 §3.3 ask for it."""
    _sign: Callable[[Any, bytes], bytes]
    _verify: Callable[[Any, bytes, bytes], None]

    def sign(self, private_key: Any, data: bytes) -> bytes:
        """The raw signature over ``data``.  The key must be of this suite (checked where keys are loaded)."""
        return self._sign(private_key, data)

    def verify(self, public_key: Any, signature: bytes, data: bytes) -> None:
        """Return if ``signature`` over ``data`` is good; SignatureFailure otherwise, whatever was wrong."""
        try:
            self._verify(public_key, signature, data)
        except (InvalidSignature, ValueError, TypeError, AttributeError):
            raise SignatureFailure("signature does not verify") from None


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


SUITES: Final[dict[str, Suite]] = {
    suite.name: suite
    for suite in (
        # OpenSSL draws the ECDSA nonce from the RNG, the private key and the message together, so a weak RNG
        # does not reveal the key; RFC 6979 (for reproducible vectors) is asked for with deterministic(suite).
        Suite(
            "p256",
            SHA256,
            (bytes.fromhex("300a06082a8648ce3d040302"),),  # ecdsa-with-SHA256, RFC 5758 §3.2
            _sha256,
            lambda key, data: key.sign(data, _ECDSA),
            lambda key, signature, data: key.verify(signature, data, _ECDSA),
        ),
        Suite(
            "rsa3072",
            SHA256,
            _RSA_PSS,
            _sha256,
            lambda key, data: key.sign(data, _PSS, _SHA256_HASH),
            lambda key, signature, data: key.verify(signature, data, _PSS, _SHA256_HASH),
        ),
        Suite(
            "ed25519",
            SHA512,
            (bytes.fromhex("300506032b6570"),),  # id-Ed25519, RFC 8419 §2
            _sha512,
            lambda key, data: key.sign(data),
            lambda key, signature, data: key.verify(signature, data),
        ),
        Suite(
            "mldsa65",
            SHA512,
            (bytes.fromhex("300b0609608648016503040312"),),  # id-ml-dsa-65, RFC 9882 §3.3
            _sha512,
            lambda key, data: key.sign(data),
            lambda key, signature, data: key.verify(signature, data),
        ),
    )
}
"""Every suite there is, by name; ``p256`` is the default of the commands."""


def suite(name: str) -> Suite:
    """The suite called ``name``.  UnknownSuite if it is not on the allow-list."""
    try:
        return SUITES[name]
    except KeyError:
        raise UnknownSuite(f"unknown suite {name[:40]!r}") from None


def deterministic(base: Suite) -> Suite:
    """``base`` with RFC 6979 nonces where it signs with ECDSA: same key and data, same signature."""
    if base.name != "p256":
        return base
    return replace(base, _sign=lambda key, data: key.sign(data, _ECDSA_DETERMINISTIC))
