"""Wycheproof vectors for signatures, through the suites of ``setproto.crypto`` and ``pki``, and through CMS.

A vector's signature is over the vector's message, and what CMS signs are attributes of this project's own (signed.py);
the files for ECDSA, Ed25519 and ML-DSA hold no private key to sign those with.  So:

* every vector goes through ``suite(name).verify``, by which CMS, the dual signature and proofs of possession verify,
  and through ``key_suite(name).verifies``, by which certificates, CRLs and BrandCRLIdentifiers are; the two must agree;
* every public key comes out of a certificate that passed the complete check;
* every signature, good or bad, is put in a SignedData of its key that is otherwise right.  It signs something else,
  so SignatureFailure, and no other error, is the answer to octets of any form;
* the RSA key of the PSS file is, in the OAEP file, given with its private half: with it the deviations of the PSS file
  are made anew in the signature of a whole SignedData.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from pki import subject_key_identifier
from pki.suites import key_suite, public_key_der
from setproto.crypto.cms import verify
from setproto.crypto.suites import suite
from setproto.errors import SignatureFailure
from tests.crypto.material import ORDER, Party, Trusted, forge, party
from tests.published import objects, wycheproof

pytestmark = wycheproof.needed

FILES = {
    "ecdsa_secp256r1_sha256": ("p256", 484, {"good": 174, "bad": 310}),
    "rsa_pss_3072_sha256_mgf1_32": ("rsa3072", 108, {"good": 63, "bad": 45}),
    "ed25519": ("ed25519", 151, {"good": 88, "bad": 63}),
    "mldsa_65_verify": (
        "mldsa65",
        210,
        # RFC 9881 section 3 and RFC 9882 section 3.3: the context string is empty.
        {"good": 77, "bad": 122, "no certificate holds such a key": 4, "signed with a context string": 7},
    ),
}


@dataclass(frozen=True)
class Given:
    """In place of a private key: its "signature" is there already."""

    signature: bytes
    public: Any

    def sign(self, data: bytes, *parameters: object) -> bytes:
        return self.signature

    def public_key(self) -> Any:
        return self.public


@dataclass(frozen=True)
class Maker:
    """In place of an RSA private key: signs in a way of its own."""

    key: Any
    make: Callable[[Any, bytes], bytes]

    def sign(self, data: bytes, *parameters: object) -> bytes:
        return self.make(self.key, data)

    def public_key(self) -> Any:
        return self.key.public_key()


@cache
def certified(suite_name: str, spki: bytes) -> tuple[bytes, Any]:
    return objects.certificate(suite_name, spki), objects.certified_key(suite_name, spki)


def signed_with(suite_name: str, spki: bytes, key: Any) -> None:
    """Verify a SignedData that ``key`` has signed, under a certificate of ``spki``."""
    certificate, public_key = certified(suite_name, spki)
    who = Party(suite_name, key, certificate, None, b"")
    data = forge(who, b"content", ORDER, sid=subject_key_identifier(certificate))
    trusted = Trusted(certificate, suite_name, public_key)
    verified = verify(data, content_type=ORDER, certify=lambda der, others: trusted)
    assert verified.content == b"content"


def holds(suite_name: str, public_key: Any, signature: bytes, message: bytes) -> bool:
    """Whether it verifies, in which both layers must agree."""
    try:
        suite(suite_name).verify(public_key, signature, message)
    except SignatureFailure:
        good = False
    else:
        good = True
    assert key_suite(suite_name).verifies(message, signature, public_key) == good
    return good


@pytest.mark.parametrize("name", FILES)
def test_signatures(name: str) -> None:
    suite_name, tests, outcomes = FILES[name]
    vectors = wycheproof.load(name, tests=tests)
    for group, test in vectors:
        spki = bytes.fromhex(group["publicKeyDer"] if "publicKeyDer" in group else group["publicKey"]["publicKeyDer"])
        message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
        _, public_key = certified(suite_name, spki)
        if public_key is None:
            right = "IncorrectPublicKeyLength" in test["flags"] and test["result"] == "invalid"
            vectors.count(test, "no certificate holds such a key", right=right)
            continue
        good = holds(suite_name, public_key, signature, message)
        if test.get("ctx"):
            vectors.count(test, "signed with a context string", right=not good)
        else:
            vectors.count(test, "good" if good else "bad", right=good == (test["result"] == "valid"))
    vectors.settle(outcomes)


@pytest.mark.parametrize("name", FILES)
def test_signatures_that_sign_something_else(name: str) -> None:
    suite_name, tests, _ = FILES[name]
    vectors = wycheproof.load(name, tests=tests)
    for group, test in vectors:
        spki = bytes.fromhex(group["publicKeyDer"] if "publicKeyDer" in group else group["publicKey"]["publicKeyDer"])
        _, public_key = certified(suite_name, spki)
        if public_key is None:
            vectors.count(test, "no key")
            continue
        with pytest.raises(SignatureFailure, match="signature does not verify"):
            signed_with(suite_name, spki, Given(bytes.fromhex(test["sig"]), public_key))
        vectors.count(test, "refused")
    no_key = {"no key": 4} if suite_name == "mldsa65" else {}
    vectors.settle({"refused": tests - sum(no_key.values()), **no_key})


@pytest.mark.parametrize("suite_name", ["p256", "ed25519", "mldsa65"])
def test_the_same_objects_verify_when_their_signature_is_right(suite_name: str) -> None:
    """Else the refusals of the test above would say nothing about signatures."""
    key = party(suite_name).signing_key
    signed_with(suite_name, public_key_der(key.public_key()), key)


# --- the RSA key, which can sign ------------------------------------------------------------------


@cache
def rsa_key() -> Any:
    (group,) = wycheproof.load("rsa_oaep_3072_sha256_mgf1sha256", tests=37).groups
    return serialization.load_der_private_key(bytes.fromhex(group["privateKeyPkcs8"]), None)


def encoded(data: bytes, *, salt: bytes = bytes(32), separator: int = 1, padding_octet: int = 0) -> bytearray:
    """EMSA-PSS for 3072 bits before masking (RFC 8017 section 9.1.1): PS, separator, salt, H and the trailer."""
    h = hashlib.sha256(bytes(8) + hashlib.sha256(data).digest() + salt).digest()
    ps = bytes([padding_octet]) * (384 - 32 - 2 - len(salt))
    return bytearray(ps + bytes([separator]) + salt + h + b"\xbc")


def masked(em: bytearray, *, clear_top: bool = True) -> bytearray:
    h, size = bytes(em[-33:-1]), 384 - 33
    mask = b"".join(hashlib.sha256(h + i.to_bytes(4, "big")).digest() for i in range(size // 32 + 1))[:size]
    em[:size] = bytes(a ^ b for a, b in zip(em[:size], mask, strict=True))
    if clear_top:
        em[0] &= 0x7F
    return em


def raw(key: Any, em: bytearray) -> bytes:
    """The RSA operation with the private key, and nothing around it."""
    numbers = key.private_numbers()
    number: int = pow(int.from_bytes(em, "big"), numbers.d, numbers.public_numbers.n)
    return number.to_bytes(384, "big")


def spoiled(at: int, flip: int = 1, *, before: bool = False, **parts: Any) -> Callable[[Any, bytes], bytes]:
    """A signature with one octet of the encoded message changed, before or after the mask is laid on."""

    def make(key: Any, data: bytes) -> bytes:
        em = encoded(data, **parts)
        if before:
            em[at] ^= flip
        em = masked(em)
        if not before:
            em[at] ^= flip
        return raw(key, em)

    return make


def of_number(number: Callable[[int], int]) -> Callable[[Any, bytes], bytes]:
    return lambda key, data: number(key.private_numbers().public_numbers.n).to_bytes(384, "big")


def edited(edit: Callable[[bytes], bytes]) -> Callable[[Any, bytes], bytes]:
    return lambda key, data: edit(suite("rsa3072").sign(key, data))


def not_reduced(key: Any, data: bytes) -> bytes:
    """The same number modulo n, in one octet more."""
    n: int = key.private_numbers().public_numbers.n
    return (int.from_bytes(suite("rsa3072").sign(key, data), "big") + n).to_bytes(385, "big")


def pss(salt: int, mask: hashes.HashAlgorithm | None = None, digest: hashes.HashAlgorithm | None = None) -> Any:
    sha256 = hashes.SHA256()
    return lambda key, data: key.sign(data, padding.PSS(padding.MGF1(mask or sha256), salt), digest or sha256)


GOOD = {
    "as the library signs": pss(32),
    "salt is all 0": spoiled(0, 0),
    "salt is all 1": spoiled(0, 0, salt=b"\xff" * 32),
}
BAD = {
    "first byte of hash h modified": spoiled(-33),
    "last byte of hash h modified": spoiled(-2),
    "last byte in em modified": spoiled(-1),
    "first byte of ps modified": spoiled(0, before=True),
    "last byte of ps modified": spoiled(384 - 33 - 34, before=True),
    "ps followed by 0": spoiled(0, 0, separator=0),
    "ps followed by 0xff": spoiled(0, 0, separator=0xFF),
    "all bytes of ps changed to 0x80": spoiled(0, 0, padding_octet=0x80),
    "bit 7 of masked_db not cleared": lambda key, data: _top_bit(key, data),
    **{f"s_len changed to {size}": pss(size) for size in (0, 1, 20, 31, 33, 350)},
    "signature is 0": of_number(lambda n: 0),
    "signature is 1": of_number(lambda n: 1),
    "signature is n-1": of_number(lambda n: n - 1),
    "signature is n": of_number(lambda n: n),
    "signature is not reduced": not_reduced,
    "prepending 0's to signature": edited(lambda s: bytes(1) + s),
    "appending 0's to signature": edited(lambda s: s + bytes(1)),
    "truncated signature": edited(lambda s: s[:-1]),
    "empty signature": edited(lambda s: b""),
    "PKCS #1 v1.5 signature with SHA-256": lambda key, data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    # Not in the file, and of the same class: a signature of other parameters by the same key.
    "mask of another hash": pss(32, mask=hashes.SHA512()),
    "another hash": pss(32, mask=hashes.SHA512(), digest=hashes.SHA512()),
}


def _top_bit(key: Any, data: bytes) -> bytes:
    """The bit above the modulus's: a number still below n is found by another salt."""
    n = key.private_numbers().public_numbers.n
    for count in range(100):  # of random numbers with this bit, more than half are below this n
        em = masked(encoded(data, salt=count.to_bytes(32, "big")), clear_top=False)
        em[0] |= 0x80
        if int.from_bytes(em, "big") < n:
            return raw(key, em)
    raise AssertionError("no salt does it")


def test_the_deviations_are_those_of_the_file() -> None:
    file = {test["comment"] for _, test in wycheproof.load("rsa_pss_3072_sha256_mgf1_32", tests=108)}
    assert len(BAD.keys() & file) == len(BAD) - 2
    assert GOOD.keys() & file == {"salt is all 0", "salt is all 1"}


@pytest.mark.parametrize("deviation", GOOD)
def test_whole_objects_with_unusual_pss_signatures_verify(deviation: str) -> None:
    signed_with("rsa3072", public_key_der(rsa_key().public_key()), Maker(rsa_key(), GOOD[deviation]))


@pytest.mark.parametrize("deviation", BAD)
def test_whole_objects_with_wrong_pss_signatures_are_refused(deviation: str) -> None:
    with pytest.raises(SignatureFailure, match="signature does not verify"):
        signed_with("rsa3072", public_key_der(rsa_key().public_key()), Maker(rsa_key(), BAD[deviation]))
