"""Typed digests, MACs and key derivation: no hash or MAC input without a label in front.

SET's detached digest DD(t) carries the content type beside the hash so that digests of different
types cannot be swapped (set-protocol.md §1.3).  Here the label is inside what is hashed, framed with
lengths, so that no value of one type has the digest of a value of another type (§7, §8.3 number 9).
"""

from __future__ import annotations

import hashlib
import hmac as _hmac
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import constant_time, hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pki.der import head, tlv

DIGEST_SIZE: Final = 32
"""Octets of every digest, MAC, nonce, salt and secret in this project."""


@lru_cache(maxsize=256)
def _label(label: str) -> bytes:
    return tlv(0x0C, b"setproto/2 " + label.encode())


def framed(label: str, *parts: bytes) -> bytes:
    """The contents of the DER of SEQUENCE {label UTF8String, part OCTET STRING …}: for ``digest_after``."""
    return b"".join((_label(label), *(tlv(0x04, part) for part in parts)))


def digest_after(begin: bytes, *parts: bytes) -> bytes:
    """``digest`` of a label and parts that are ``framed`` already, and these parts after them."""
    content = begin
    for part in parts:
        content += head(0x04, len(part)) + part
    return hashlib.sha256(head(0x30, len(content)) + content).digest()


def digest(label: str, *parts: bytes) -> bytes:
    """SHA-256 over the DER of SEQUENCE {label UTF8String, part OCTET STRING …}: 32 octets."""
    return digest_after(_label(label), *parts)


def mac(label: str, key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 under ``key`` (at least 16 octets) over the same framing as :func:`digest`: 32 octets."""
    if len(key) < 16:
        raise ValueError("a MAC key has at least 16 octets")
    return _hmac.digest(key, tlv(0x30, framed(label, *parts)), "sha256")


def derive_key(label: str, secret: bytes, *context: bytes, size: int = DIGEST_SIZE) -> bytes:
    """HKDF-SHA-256 (RFC 5869) of ``secret``, with the label and the context framed as ``info``."""
    info = tlv(0x30, framed(label, *context))
    return HKDF(algorithm=hashes.SHA256(), length=size, salt=None, info=info).derive(secret)


def equal(a: bytes, b: bytes) -> bool:
    """Comparison in constant time, for anything that depends on a secret."""
    return constant_time.bytes_eq(a, b)
