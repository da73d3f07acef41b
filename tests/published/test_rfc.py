"""Values printed in RFCs and published by NIST, through this project's own functions.

A function is given here as an RFC gives it only where it can be reached so: the key derivations of ``recipients.py``
take no salt and give 32 octets, so of RFC 5869 only test case 3 (no salt, no info) fits, and of longer outputs the
first 32 octets.  Not reachable at all: RFC 5649 (padded key wrap is not used: it must be refused), the contexts and
pre-hashes of RFC 8032, the test cases of RFC 5869 with a salt.  The examples of RFC 9882 are SignedData without the
attributes that are mandatory here.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from pki.keystore import load_unencrypted_for_tests
from pki.profiles import Use
from pki.suites import key_suite, public_key_der
from setproto.crypto.cms import Signer, unseal, verify
from setproto.crypto.recipients import ECDHP256, ECDHX25519
from setproto.crypto.sealed import BareRecipientKey
from setproto.crypto.suites import Suite, deterministic, suite
from setproto.errors import DecryptionFailure
from tests.crypto.material import ORDER, Trusted
from tests.published import objects
from tests.published.objects import BareKEK, opener, sealed


def h(text: str) -> bytes:
    return bytes.fromhex(text)


# --- hashes: FIPS 180-4, the example "abc" (also RFC 6234 section 8.5) -----------------------------


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("p256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "ed25519",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ],
    ids=["SHA-256", "SHA-512"],
)
def test_the_hash_of_a_suite(name: str, digest: str) -> None:
    assert suite(name).digest(b"abc") == h(digest)


# --- signatures -----------------------------------------------------------------------------------

RFC_6979_KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC_6979 = {
    b"sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    b"test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}
"""RFC 6979 appendix A.2.5, with SHA-256."""

RFC_8032 = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        hashlib.sha512(b"abc").digest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}
"""RFC 8032 section 7.1."""


@pytest.mark.parametrize("message", RFC_6979, ids=["sample", "test"])
def test_deterministic_ecdsa(message: bytes) -> None:
    key = ec.derive_private_key(RFC_6979_KEY, ec.SECP256R1())
    signature = encode_dss_signature(*RFC_6979[message])
    assert deterministic(suite("p256")).sign(key, message) == signature
    suite("p256").verify(key.public_key(), signature, message)
    assert key_suite("p256").verifies(message, signature, key.public_key())


@pytest.mark.parametrize("test", RFC_8032)
def test_ed25519(test: str) -> None:
    seed, message, signature = RFC_8032[test]
    key = ed25519.Ed25519PrivateKey.from_private_bytes(h(seed))
    assert suite("ed25519").sign(key, message) == h(signature)
    suite("ed25519").verify(key.public_key(), h(signature), message)
    assert key_suite("ed25519").verifies(message, h(signature), key.public_key())


@pytest.mark.parametrize(
    ("chosen", "key"),
    [
        (deterministic(suite("p256")), ec.derive_private_key(RFC_6979_KEY, ec.SECP256R1())),
        (suite("ed25519"), ed25519.Ed25519PrivateKey.from_private_bytes(h(RFC_8032["TEST 1"][0]))),
    ],
    ids=["RFC 6979", "RFC 8032"],
)
def test_the_keys_of_the_rfcs_sign_whole_objects_reproducibly(chosen: Suite, key: Any) -> None:
    certificate = objects.certificate(chosen.name, public_key_der(key.public_key()))
    signer = Signer(key, certificate, chosen)
    data = signer.sign(b"content", ORDER)
    assert data == signer.sign(b"content", ORDER)
    trusted = Trusted(certificate, chosen.name, key.public_key())
    assert verify(data, content_type=ORDER, certify=lambda der, others: trusted).content == b"content"


# --- key derivation -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "shared_info", "block"),
    [
        (
            "96c05619d56c328ab95fe84b18264b08725b85e33fd34f08",
            "",
            "443024c3dae66b95e6f5670601558f719ed3a643e77c96a6f2a709b732b036cc",
        ),
        (
            "22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d",
            "75eef81aa3041e33b80971203d2c0c52",
            "c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e",
        ),
    ],
    ids=["no shared info", "shared info"],
)
def test_x963_kdf(secret: str, shared_info: str, block: str) -> None:
    """NIST CAVS 12.0, 'ANS X9.63-2001', SHA-256: counts 0 of the two sections, the first block (K1)."""
    assert ECDHP256()._derive(h(secret), h(shared_info)) == h(block)
    assert objects.x963_sha256(h(secret), h(shared_info)) == h(block)  # the second opinion of the other tests


def test_hkdf() -> None:
    """RFC 5869 appendix A.3: no salt, no info; the first 32 of 42 octets."""
    expected = h("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d")
    assert ECDHX25519()._derive(b"\x0b" * 22, b"") == expected
    assert objects.hkdf_sha256(b"\x0b" * 22, b"") == expected


# --- key wrap -------------------------------------------------------------------------------------

KEY_WRAP = {
    "RFC 3394 section 4.6": (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
    ),
    "NIST KW_AD_256, 256 bits, count 0": (
        "049c7bcba03e04395c2a22e6a9215cdae0f762b077b1244b443147f5695799fa",
        "e617831c7db8038fda4c59403775c3d435136a566f3509c273e1da1ef9f50aea",
        "776b1e91e935d1f80a537902186d6b00dfc6afc12000f1bde913df5d67407061db8227fcd08953d4",
    ),
}
NOT_KEY_WRAP = {
    "NIST KW_AD_256, 256 bits, count 3: FAIL": (
        "605b22935f1eee56ba884bc7a869febc159ac306b66fb9767a7cc6ab7068dffa",
        "6607f5a64c8f9fd96dc6f9f735b06a193762cdbacfc367e410926c1bfe6dd715490adbad5b9697a6",
    ),
}


@pytest.mark.parametrize("name", KEY_WRAP)
def test_key_wrap(name: str) -> None:
    kek, content_key, wrapped = map(h, KEY_WRAP[name])
    key = opener(BareKEK(), kek)
    assert BareKEK().wrap(content_key, kek, key.identifier, b"") == objects.wrapped(key.identifier, wrapped)
    assert unseal(sealed(objects.wrapped(key.identifier, wrapped), content_key), key, context=b"").content
    spoiled = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    with pytest.raises(DecryptionFailure):  # the integrity check value (RFC 3394 section 2.2.3)
        unseal(sealed(objects.wrapped(key.identifier, spoiled), content_key), key, context=b"")


@pytest.mark.parametrize("name", NOT_KEY_WRAP)
def test_what_is_not_key_wrap(name: str) -> None:
    kek, wrapped = map(h, NOT_KEY_WRAP[name])
    key = opener(BareKEK(), kek)
    info = objects.wrapped(key.identifier, wrapped)
    with pytest.raises(InvalidUnwrap):
        BareKEK().unwrap(info, kek, key.identifier, b"")
    with pytest.raises(DecryptionFailure):
        unseal(sealed(info), key, context=b"")


# --- key agreement --------------------------------------------------------------------------------


def test_ecdh_p256() -> None:
    """RFC 5903 section 8.1: either side's private key opens what the other side's public key leads to."""
    i = ec.derive_private_key(0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433, ec.SECP256R1())
    r = ec.derive_private_key(0xC6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53, ec.SECP256R1())
    point_i = h(
        "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811"
        "805271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3"
    )
    point_r = h(
        "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
        "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
    )
    secret = h("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de")
    for private_key, point in ((i, point_r), (r, point_i)):
        key = BareRecipientKey(private_key, "p256")
        data = sealed(objects.ecdh_p256(key.identifier, point, secret))
        assert unseal(data, key, context=objects.CONTEXT).content == objects.CONTENT


X25519 = {
    "section 5.2, first": (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    "section 5.2, one iteration": (
        "0900000000000000000000000000000000000000000000000000000000000000",
        "0900000000000000000000000000000000000000000000000000000000000000",
        "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
    ),
    "section 6.1, Alice's private key": (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
    "section 6.1, Bob's private key": (
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
}
"""RFC 7748: scalar, u-coordinate, result."""


def x25519_object(scalar: str, u: str, secret: str) -> tuple[BareRecipientKey, bytes]:
    key = BareRecipientKey(x25519.X25519PrivateKey.from_private_bytes(h(scalar)), "ed25519")
    return key, sealed(objects.ecdh_x25519(key.identifier, h(u), h(secret)))


@pytest.mark.parametrize("name", X25519)
def test_x25519(name: str) -> None:
    key, data = x25519_object(*X25519[name])
    assert unseal(data, key, context=objects.CONTEXT).content == objects.CONTENT


def test_x25519_does_not_ignore_the_top_bit() -> None:
    """The second value of RFC 7748 section 5.2 has it set.  The RFC masks it; here the same key written so is refused,

    and written without it gives the RFC's result.
    """
    scalar = "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"
    u = "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a4"
    secret = "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
    key, data = x25519_object(scalar, u + "13", secret)
    assert unseal(data, key, context=objects.CONTEXT).content == objects.CONTENT
    key, data = x25519_object(scalar, u + "93", secret)
    with pytest.raises(DecryptionFailure):
        unseal(data, key, context=objects.CONTEXT)


# --- private keys, as other software writes them --------------------------------------------------


def pem(body: str) -> bytes:
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n".encode()


def test_the_private_key_of_rfc_8410() -> None:
    """RFC 8410 section 10.3, with the public key of section 10.1."""
    key = load_unencrypted_for_tests(
        pem("MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC"), key_suite("ed25519"), Use.SIGN
    )
    expected = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    assert public_key_der(key.public_key()) == base64.b64decode(expected)


def test_the_private_key_of_rfc_9881() -> None:
    """Appendix C.1.2.1: ML-DSA-65, as a seed."""
    key = load_unencrypted_for_tests(
        pem("MDQCAQAwCwYJYIZIAWUDBAMSBCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZ\nGhscHR4f"),
        key_suite("mldsa65"),
        Use.SIGN,
    )
    assert isinstance(key, mldsa.MLDSA65PrivateKey)
    assert key.private_bytes_raw() == bytes(range(32))


def test_the_private_key_of_rfc_9935() -> None:
    """Appendix C.1.2.1: ML-KEM-768, as a seed."""
    key = load_unencrypted_for_tests(
        pem(
            "MFQCAQAwCwYJYIZIAWUDBAQCBEKAQAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZ\n"
            "GhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
        ),
        key_suite("mldsa65"),
        Use.EXCHANGE,
    )
    assert isinstance(key, mlkem.MLKEM768PrivateKey)
    assert key.private_bytes_raw() == bytes(range(64))
