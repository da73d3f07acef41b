"""Wycheproof vectors for key agreement, transport, encapsulation, wrapping and AES-GCM, through ``unseal``.

Around the values of each vector a whole sealed object is built (objects.py) and opened.  An object with the vector's
own shared secret must open where the vector is valid; where it is not, the object must be refused, and the only way
to refuse is DecryptionFailure.

What the vectors call "acceptable" leaves the choice to the library.  This is its choice:

=================================================  =========  =====================================================
vectors                                            choice     because
=================================================  =========  =====================================================
ECDH: keys not in DER (222), explicit parameters   refused    keys come in certificates, with the named curve
(7)                                                           (RFC 5480 section 2.1.1)
ECDH: compressed point (1)                         refused    in an object: there is one encoding for one key
                                                   accepted   in a certificate: RFC 5480 section 2.2 allows it, and
                                                              the CA has signed it so
X25519: a point of the twist (210)                 accepted   RFC 7748 section 5 makes no difference; the function
                                                              is made for them
X25519: shared secret of zero (31)                 refused    RFC 7748 section 6.1: neither side contributed
X25519: coordinate not reduced, or its top bit     refused    RFC 7748 section 5 reduces it; here every bit counts:
set (13)                                                      there is one encoding for one key
AES key wrap of 8 octets (1; 2 more under keys     refused    RFC 3394 section 2 wraps at least 16 octets
that cannot be ours)
=================================================  =========  =====================================================
"""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from pki import KeyStoreError
from pki.der import tlv
from pki.keystore import load_unencrypted_for_tests
from pki.profiles import Use
from pki.suites import key_suite
from setproto.crypto.cms import SecretKey, unseal
from setproto.crypto.recipients import KEY_MANAGEMENT, KeyManagement, NotForThisKey
from setproto.crypto.sealed import BareRecipientKey
from setproto.errors import DecryptionFailure
from tests.crypto.material import oid
from tests.published import objects, wycheproof
from tests.published.objects import BareKEK, GivenKey, opener, sealed

pytestmark = wycheproof.needed


def opens(data: bytes, key: BareRecipientKey | SecretKey, context: bytes = objects.CONTEXT) -> bool:
    """Whether it opens, to the content that was put in; any error but the one fails the test."""
    try:
        opened = unseal(data, key, context=context)
    except DecryptionFailure:
        return False
    assert opened.content == objects.CONTENT
    return True


def refused_by_key(management: KeyManagement, info: bytes, private_key: object, identifier: bytes) -> bool:
    """Whether the public key itself is refused, before there is any key to unwrap with."""
    try:
        management.unwrap(info, private_key, identifier, objects.CONTEXT)
    except InvalidUnwrap:
        return False
    except (ValueError, NotForThisKey):
        return True
    return False


def test_ecdh_p256() -> None:
    """The key of the other side as the originator's key of an object, where the vector has one of P-256 by name.

    All 612 keys, in whatever form, are tried as keys of certificates too (the next test).
    """
    vectors = wycheproof.load("ecdh_secp256r1", tests=612)
    for _, test in vectors:
        public, secret = bytes.fromhex(test["public"]), bytes.fromhex(test["shared"])
        point = next((p for p in (public[-65:], public[-33:]) if public == objects.p256_spki(p)), None)
        if point is None:
            vectors.count(test, "not in DER, or not of the named curve: a case for certificates")
            continue
        key = BareRecipientKey(ec.derive_private_key(int(test["private"], 16), ec.SECP256R1()), "p256")
        info = objects.ecdh_p256(key.identifier, point, secret)
        if opens(sealed(info), key):
            vectors.count(test, "opens", right=test["result"] == "valid")
        else:
            by_key = refused_by_key(KEY_MANAGEMENT["p256"], info, key.private_key, key.identifier)
            vectors.count(test, f"refused, {test['result']}", right=by_key and test["result"] != "valid")
    vectors.settle(
        {
            "opens": 330,
            "refused, acceptable": 2,
            "refused, invalid": 25,
            "not in DER, or not of the named curve: a case for certificates": 255,
        }
    )


def test_p256_keys_in_certificates() -> None:
    """A key is let in by its named curve and in DER only; a CA may have certified it in the compressed form."""
    vectors = wycheproof.load("ecdh_secp256r1", tests=612)
    for _, test in vectors:
        key = objects.certified_key("p256", bytes.fromhex(test["public"]), exchange=True)
        outcome = "refused" if key is None else "let in"
        expected = test["result"] == "valid" or test["flags"] == ["CompressedPublic", "CompressedPoint"]
        vectors.count(test, f"{outcome}, {test['result']}", right=(key is not None) == expected)
    vectors.settle({"let in, valid": 330, "let in, acceptable": 1, "refused, acceptable": 229, "refused, invalid": 52})


def test_x25519() -> None:
    vectors = wycheproof.load("x25519", tests=518)
    for _, test in vectors:
        public, secret = bytes.fromhex(test["public"]), bytes.fromhex(test["shared"])
        key = BareRecipientKey(x25519.X25519PrivateKey.from_private_bytes(bytes.fromhex(test["private"])), "ed25519")
        info = objects.ecdh_x25519(key.identifier, public, secret)
        zero, reduced = secret == bytes(32), int.from_bytes(public, "little") < 2**255 - 19
        assert zero == ("ZeroSharedSecret" in test["flags"])
        expected = "zero" if zero else "opens" if reduced else "not reduced"
        if opens(sealed(info), key):
            vectors.count(test, f"opens, {test['result']}", right=expected == "opens")
        else:
            by_key = refused_by_key(KEY_MANAGEMENT["ed25519"], info, key.private_key, key.identifier)
            right = by_key and expected != "opens" and test["result"] == "acceptable"
            vectors.count(test, f"refused: {expected}", right=right)
    vectors.settle({"opens, valid": 264, "opens, acceptable": 210, "refused: zero": 31, "refused: not reduced": 13})


def test_ml_kem_768() -> None:
    """A ciphertext that does not belong gives another secret (FIPS 203 section 6.3), and the vectors have it."""
    vectors = wycheproof.load("mlkem_768", tests=193)
    suite = key_suite("mldsa65")
    for _, test in vectors:
        seed, ciphertext = bytes.fromhex(test["seed"]), bytes.fromhex(test["c"])
        # RFC 9935 section 6: the seed, as [0] OCTET STRING, in an OCTET STRING.
        pkcs8 = tlv(
            0x30,
            tlv(0x02, b"\0"),
            tlv(0x30, oid("2.16.840.1.101.3.4.4.2")),
            tlv(0x04, tlv(0x80, seed)),
        )
        pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(pkcs8) + b"-----END PRIVATE KEY-----\n"
        try:
            private_key = load_unencrypted_for_tests(pem, suite, Use.EXCHANGE)
        except KeyStoreError:
            right = len(seed) != 64 and test["result"] == "invalid"
            vectors.count(test, "private key of the wrong size: not loaded", right=right)
            continue
        assert isinstance(private_key, mlkem.MLKEM768PrivateKey)
        key = BareRecipientKey(private_key, "mldsa65")
        assert private_key.public_key().public_bytes_raw().hex() == test["ek"]
        data = sealed(objects.ml_kem_768(key.identifier, ciphertext, bytes.fromhex(test["K"])))
        if opens(data, key):
            vectors.count(test, "opens", right=test["result"] == "valid")
        else:
            right = len(ciphertext) != 1088 and test["result"] == "invalid"
            vectors.count(test, "ciphertext of the wrong size: refused", right=right)
    vectors.settle(
        {
            "opens": 153,
            "private key of the wrong size: not loaded": 20,
            "ciphertext of the wrong size: refused": 20,
        }
    )


def test_rsa_oaep() -> None:
    """The label is the context; another context must not open.

    A message of 32 octets is a content key.  Any other comes out of ``unwrap``, and the object does not open.
    """
    vectors = wycheproof.load("rsa_oaep_3072_sha256_mgf1sha256", tests=37)
    (group,) = vectors.groups
    private_key = serialization.load_der_private_key(bytes.fromhex(group["privateKeyPkcs8"]), None)
    for _, test in vectors:
        key = BareRecipientKey(private_key, "rsa3072")
        label, message = bytes.fromhex(test["label"]), bytes.fromhex(test["msg"])
        info = objects.rsa_oaep(key.identifier, bytes.fromhex(test["ct"]), label)
        usable = len(message) == 32
        opened = opens(sealed(info, message if usable else objects.CONTENT_KEY), key, label)
        try:
            content_key = KEY_MANAGEMENT["rsa3072"].unwrap(info, private_key, key.identifier, label)
        except (NotForThisKey, ValueError):
            vectors.count(test, "refused", right=test["result"] == "invalid" and not opened)
            continue
        right = content_key == message and opened == usable and test["result"] == "valid"
        vectors.count(test, "opens" if opened else "the message, but no content key", right=right)
        elsewhere = label + b"\0"
        info = objects.rsa_oaep(key.identifier, bytes.fromhex(test["ct"]), elsewhere)
        with pytest.raises(ValueError, match="failed"):
            KEY_MANAGEMENT["rsa3072"].unwrap(info, private_key, key.identifier, elsewhere)
    vectors.settle({"the message, but no content key": 17, "opens": 1, "refused": 19})


def test_aes_key_wrap() -> None:
    """A key-encryption key has 32 octets and so has what it wraps; each valid vector is held to both."""
    vectors = wycheproof.load("aes_wrap", tests=165)
    for group, test in vectors:
        kek, message = bytes.fromhex(test["key"]), bytes.fromhex(test["msg"])
        if group["keySize"] != 256:
            with pytest.raises(ValueError, match="32 octets"):
                opener(BareKEK(), kek)
            vectors.count(test, "no key-encryption key of ours: not of 256 bits")
            continue
        key = opener(BareKEK(), kek)
        info = objects.wrapped(key.identifier, bytes.fromhex(test["ct"]))
        is_key = len(message) in (16, 24, 32)
        opened = opens(sealed(info, message if is_key else objects.CONTENT_KEY), key)
        try:
            content_key = key.key_management.unwrap(info, kek, key.identifier, objects.CONTEXT)
        except NotForThisKey:
            vectors.count(test, "no content key of 32 octets in it", right=len(test["ct"]) != 80 and not opened)
            continue
        except InvalidUnwrap:
            vectors.count(test, f"refused, {test['result']}", right=test["result"] != "valid" and not opened)
            continue
        right = content_key == message and opened and test["result"] == "valid"
        vectors.count(test, "opens", right=right)
    vectors.settle(
        {
            "no key-encryption key of ours: not of 256 bits": 97,
            "no content key of 32 octets in it": 52,
            "opens": 4,
            "refused, invalid": 12,
        }
    )


def test_aes_gcm() -> None:
    """Only a key of 256 bits, a nonce of 96 and no associated data exist here: the rest must not open."""
    vectors = wycheproof.load("aes_gcm", tests=316)
    for group, test in vectors:
        key, nonce, tag, content, encrypted = (bytes.fromhex(test[k]) for k in ("key", "iv", "tag", "msg", "ct"))
        ours = (group["keySize"], group["ivSize"], group["tagSize"], test["aad"]) == (256, 96, 128, "")
        try:
            opened = unseal(objects.envelope(b"\5\0", nonce, encrypted, tag), opener(GivenKey(key)), context=b"")
        except DecryptionFailure:
            outcome = test["result"] if ours else f"key, nonce or associated data not ours, {test['result']}"
            vectors.count(test, f"refused: {outcome}", right=not ours or test["result"] == "invalid")
        else:
            vectors.count(test, "opens", right=ours and opened.content == content and test["result"] == "valid")
    vectors.settle(
        {
            "refused: key, nonce or associated data not ours, valid": 208,
            "refused: key, nonce or associated data not ours, invalid": 60,
            "opens": 21,
            "refused: invalid": 27,
        }
    )
