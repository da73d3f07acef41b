"""Proofs of possession: by a signature over the request, and by opening what was sealed to a bare key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from pki.der import tlv
from pki.suites import key_identifier, public_key_der
from setproto.crypto.cms import BareRecipient, BareRecipientKey, seal, unseal, verify
from setproto.crypto.possession import (
    check_possession,
    load_exchange_key,
    load_signature_key,
    private_key_from,
    private_key_octets,
    prove,
)
from setproto.crypto.suites import suite
from setproto.errors import DecodingFailure, DecryptionFailure, ProtocolError, SignatureFailure, UnknownSuite
from tests.crypto import material
from tests.crypto.material import ORDER, PAYMENT, SUITES, Party, attribute, oid, party

CONTENT = b"certify this key"
CONTEXT = b"CA to EE"
OTHERS = [(name, other) for name in SUITES for other in SUITES if name != other]


def prove_as(who: Party, content: bytes = CONTENT) -> bytes:
    return prove(who.signing_key, who.suite, content, ORDER)


def check(proof: bytes, who: Party, content: bytes = CONTENT) -> None:
    check_possession(proof, who.signing_key.public_key(), who.suite, content, ORDER)


def refuses(proof: bytes, who: Party, error: type[ProtocolError] = SignatureFailure) -> None:
    with pytest.raises(error) as caught:
        check(proof, who)
    assert caught.type is error


# --- signatures -----------------------------------------------------------------------------------


@pytest.mark.prop("PX-13")
@pytest.mark.parametrize("content", [b"", CONTENT, bytes(range(256)) * 300], ids=["empty", "short", "long"])
def test_the_owner_of_a_key_can_prove_it(who: Party, content: bytes) -> None:
    check(prove_as(who, content), who, content)


def test_a_proof_holds_neither_content_nor_certificate_nor_key(who: Party) -> None:
    proof = prove_as(who)
    for absent in (CONTENT, who.certificate, public_key_der(who.signing_key.public_key())):
        assert absent not in proof


@pytest.mark.prop("PX-13")
def test_nobody_else_can(who: Party) -> None:
    """Not with another key; not if the other key goes by the identifier of the one to be certified."""
    other = party(who.suite, 1)
    proof = prove_as(other)
    refuses(proof, who)
    own, foreign = (key_identifier(party.signing_key.public_key()) for party in (who, other))
    assert proof.count(foreign) == 1
    refuses(proof.replace(foreign, own), who)
    refuses(prove_as(who).replace(own, foreign), who)


@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_a_key_of_another_suite_proves_nothing(name: str, other: str) -> None:
    one, two = party(name), party(other)
    refuses(prove_as(one), two)
    for key in (one, two):
        with pytest.raises(SignatureFailure):
            check_possession(prove_as(one), key.signing_key.public_key(), other, CONTENT, ORDER)


def test_a_suite_off_the_allow_list_proves_nothing(alice: Party) -> None:
    with pytest.raises(UnknownSuite):
        check_possession(prove_as(alice), alice.signing_key.public_key(), "p384", CONTENT, ORDER)
    with pytest.raises(UnknownSuite):
        prove(alice.signing_key, "p384", CONTENT, ORDER)


def test_a_proof_for_another_type_proves_nothing(who: Party) -> None:
    proof = prove(who.signing_key, who.suite, CONTENT, PAYMENT)
    refuses(proof, who)
    assert proof.count(oid(PAYMENT)) == 2
    for number in (1, 2):  # the one beside the signature, then the one under it too
        refuses(proof.replace(oid(PAYMENT), oid(ORDER), number), who)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_other_content_is_refused(content: bytes, other: bytes) -> None:
    who = party("p256")
    proof = prove_as(who, content)
    check(proof, who, content)
    if content != other:
        with pytest.raises(SignatureFailure):
            check(proof, who, other)


@given(st.data())
def test_only_the_proven_combination_is_accepted(data: st.DataObject) -> None:
    """Whichever of content, key, suite and type differs."""

    def drawn() -> tuple[bytes, Party, Any]:
        name = data.draw(st.sampled_from(("p256", "ed25519")))
        which = data.draw(st.integers(0, 1))
        return data.draw(st.binary(max_size=3)), party(name, which), data.draw(st.sampled_from((ORDER, PAYMENT)))

    proven, claimed = drawn(), drawn()
    content, who, content_type = proven
    proof = prove(who.signing_key, who.suite, content, content_type)
    content, who, content_type = claimed
    arguments = (proof, who.signing_key.public_key(), who.suite, content, content_type)
    if proven == claimed:
        check_possession(*arguments)
    else:
        with pytest.raises(SignatureFailure):
            check_possession(*arguments)


@given(st.binary(max_size=300))
def test_noise_is_no_proof(data: bytes) -> None:
    with pytest.raises(DecodingFailure):
        check(data, party("p256"))


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_every_flipped_octet_is_refused(alice: Party, bits: int) -> None:
    proof = prove_as(alice)
    for place in range(len(proof)):
        changed = bytearray(proof)
        changed[place] ^= bits
        with pytest.raises((DecodingFailure, SignatureFailure)):
            check(bytes(changed), alice)
    check(proof, alice)


def test_every_truncation_and_every_addition_is_refused(alice: Party) -> None:
    proof = prove_as(alice)
    for size in range(len(proof)):
        refuses(proof[:size], alice, DecodingFailure)
    for more in (b"\x00", b"\x05\x00", proof):
        refuses(proof + more, alice, DecodingFailure)


# --- what is made here and nothing else -----------------------------------------------------------


def forge(
    who: Party,
    *,
    attributes: Sequence[bytes] | None = None,
    order: Callable[[Sequence[bytes]], list[bytes]] = sorted,
    sid: bytes | None = None,
    sid_tag: int = 0x80,
    version: int = 3,
    signer_version: int = 3,
    digest_algorithm: bytes | None = None,
    set_digest_algorithm: bytes | None = None,
    signature_algorithm: bytes | None = None,
    outer_type: str = "1.2.840.113549.1.7.2",
    content: bytes = b"",
    certificates: bytes = b"",
    crls: bytes = b"",
    unsigned_attributes: bytes = b"",
    signer_infos: int = 1,
) -> bytes:
    """A proof with any part replaced, whose signature over its own attributes is good."""
    chosen = suite(who.suite)
    octets = b"".join(order(good_attributes(who) if attributes is None else attributes))
    digest_algorithm = digest_algorithm or chosen.digest_algorithm
    signer_info = tlv(
        0x30,
        tlv(0x02, bytes([signer_version])),
        tlv(sid_tag, sid or key_identifier(who.signing_key.public_key())),
        digest_algorithm,
        tlv(0xA0, octets),
        signature_algorithm or chosen.signature_algorithms[0],
        tlv(0x04, chosen.sign(who.signing_key, tlv(0x31, octets))),
        unsigned_attributes,
    )
    signed_data = tlv(
        0x30,
        tlv(0x02, bytes([version])),
        tlv(0x31, set_digest_algorithm or digest_algorithm),
        tlv(0x30, oid(ORDER), content),
        certificates,
        crls,
        tlv(0x31, signer_info * signer_infos),
    )
    return tlv(0x30, oid(outer_type), tlv(0xA0, signed_data))


def good_attributes(who: Party) -> list[bytes]:
    """contentType, messageDigest and CMSAlgorithmProtection; a signed message has signingCertificateV2 besides."""
    values = material.good_attributes(who, CONTENT, ORDER)
    del values[material.ID_SIGNING_CERTIFICATE_V2]
    return [attribute(kind, value) for kind, value in values.items()]


def test_the_builder_of_these_tests_makes_what_the_library_makes() -> None:
    ed = party("ed25519")  # signs the same octets the same way each time
    assert forge(ed) == prove_as(ed)


def test_the_builder_of_these_tests_makes_proofs(who: Party) -> None:
    check(forge(who), who)


SHA512 = bytes.fromhex("300b0609608648016503040203")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": 4},
        {"signer_version": 1},
        {"outer_type": "1.2.840.113549.1.7.1"},
        {"sid_tag": 0x04},
        {"sid_tag": 0x30},
        {"certificates": tlv(0xA0)},
        {"certificates": tlv(0xA0, party("p256").certificate)},
        {"crls": tlv(0xA1)},
        {"crls": tlv(0xA1, tlv(0x30))},
        {"unsigned_attributes": tlv(0xA1, attribute("2.25.1", b"\x05\x00"))},
        {"signer_infos": 0},
        {"signer_infos": 2},
        {"set_digest_algorithm": suite("p256").digest_algorithm + SHA512},
        {"content": tlv(0xA0, tlv(0x04, CONTENT)) + b"\x05\x00"},
    ],
    ids=[
        "version 1",
        "version 4",
        "signer version 1",
        "not SignedData",
        "key identifier under another tag",
        "issuer and serial number",
        "no certificates",
        "a certificate",
        "no CRLs",
        "a CRL",
        "unsigned attributes",
        "no signer",
        "two signers",
        "two digest algorithms",
        "content and something else",
    ],
)
def test_an_object_outside_the_profile_is_refused(alice: Party, change: dict[str, Any]) -> None:
    refuses(forge(alice, **change), alice, DecodingFailure)


@pytest.mark.parametrize(
    "change",
    [
        {"content": tlv(0xA0, tlv(0x04, CONTENT))},
        {"content": tlv(0xA0, tlv(0x04))},
        {"sid": bytes(20)},
        {"digest_algorithm": SHA512},
        {"set_digest_algorithm": SHA512},
        {"signature_algorithm": bytes.fromhex("300a06082a8648ce3d040303")},
        {"order": lambda attributes: sorted(attributes, reverse=True)},
        {"attributes": good_attributes(party("p256"))[:2]},
        {"attributes": good_attributes(party("p256"))[1:]},
        {"attributes": [*good_attributes(party("p256")), good_attributes(party("p256"))[0]]},
        {
            "attributes": [
                *good_attributes(party("p256")),
                attribute(material.ID_SIGNING_TIME, tlv(0x17, b"260101000000Z")),
            ]
        },
        {"attributes": [attribute(*item) for item in material.good_attributes(party("p256"), CONTENT, ORDER).items()]},
    ],
    ids=[
        "content enclosed",
        "empty content enclosed",
        "another key identifier",
        "another digest algorithm",
        "another digest algorithm listed",
        "another signature algorithm",
        "attributes out of order",
        "no algorithm protection",
        "no content type",
        "an attribute twice",
        "signing time",
        "signing certificate",
    ],
)
def test_what_a_proof_says_is_known_to_the_octet(alice: Party, change: dict[str, Any]) -> None:
    refuses(forge(alice, **change), alice)


def test_the_other_spelling_of_pss_parameters_is_refused() -> None:
    who = party("rsa3072")
    refuses(forge(who, signature_algorithm=suite("rsa3072").signature_algorithms[1]), who)


def test_a_signed_message_is_no_proof_and_a_proof_no_signed_message(who: Party) -> None:
    """Whoever has a certificate signs with it; that signature shows no key to be certified, nor the reverse."""
    refuses(who.signer.sign(CONTENT, ORDER, detached=True), who, DecodingFailure)
    with pytest.raises(DecodingFailure):
        verify(prove_as(who), content_type=ORDER, certify=who.certify, content=CONTENT)


# --- keys to be certified -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUITES)
def test_a_public_key_is_read_as_it_was_written(name: str) -> None:
    who = party(name)
    for key, load in ((who.signing_key, load_signature_key), (who.exchange_key, load_exchange_key)):
        octets = public_key_der(key.public_key())
        assert load(octets, name) == key.public_key()
        assert public_key_der(load(octets, name)) == octets


@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_a_public_key_of_another_suite_is_refused(name: str, other: str) -> None:
    who = party(name)
    for key, load in ((who.signing_key, load_signature_key), (who.exchange_key, load_exchange_key)):
        with pytest.raises(DecodingFailure, match=f"key of suite {other}"):
            load(public_key_der(key.public_key()), other)


@pytest.mark.parametrize("name", ["ed25519", "mldsa65"])
def test_a_key_for_the_other_purpose_is_refused(name: str) -> None:
    """Where the suite has two sorts of keys."""
    who = party(name)
    with pytest.raises(DecodingFailure):
        load_signature_key(public_key_der(who.exchange_key.public_key()), name)
    with pytest.raises(DecodingFailure):
        load_exchange_key(public_key_der(who.signing_key.public_key()), name)


STRANGE = (
    *("P-384", "secp256k1", "RSA 2048", "RSA exponent 3", "Ed448", "X448"),
    *("compressed point", "point at infinity", "off the curve", "RSA for PSS only", "RSA without NULL"),
    *("trailing octet", "BER", "cut", "empty", "PEM", "private key", "certificate"),
)


def test_no_strange_key_is_forgotten() -> None:
    assert set(STRANGE) == set(strange_keys())


@cache
def strange_keys() -> dict[str, bytes]:
    """SubjectPublicKeyInfos that are in no suite, or a second spelling of a key that is in one."""
    p256, rsa3072 = (party(name).signing_key.public_key() for name in ("p256", "rsa3072"))
    compressed = p256.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    whole, rsa_whole = public_key_der(p256), public_key_der(rsa3072)
    algorithm = tlv(0x30, oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
    assert whole.count(algorithm) == 1
    pkcs1 = tlv(0x30, oid("1.2.840.113549.1.1.1"), b"\x05\x00")
    assert rsa_whole.count(pkcs1) == 1

    def of_rsa(new: bytes) -> bytes:
        bits = rsa_whole[rsa_whole.index(pkcs1) + len(pkcs1) :]
        return tlv(0x30, new, bits)

    return {
        "P-384": public_key_der(ec.generate_private_key(ec.SECP384R1()).public_key()),
        "secp256k1": public_key_der(ec.generate_private_key(ec.SECP256K1()).public_key()),
        "RSA 2048": public_key_der(rsa.generate_private_key(65537, 2048).public_key()),
        "RSA exponent 3": public_key_der(rsa.generate_private_key(3, 3072).public_key()),
        "Ed448": ed448.Ed448PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "X448": x448.X448PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "compressed point": tlv(0x30, algorithm, tlv(0x03, b"\0", compressed)),
        "point at infinity": tlv(0x30, algorithm, tlv(0x03, b"\0\0")),
        "off the curve": whole[:-1] + bytes([whole[-1] ^ 1]),
        "RSA for PSS only": of_rsa(tlv(0x30, oid("1.2.840.113549.1.1.10"))),
        "RSA without NULL": of_rsa(tlv(0x30, oid("1.2.840.113549.1.1.1"))),
        "trailing octet": whole + b"\0",
        "BER": b"\x30\x80" + whole[2:] + b"\0\0",
        "cut": whole[:-1],
        "empty": b"",
        "PEM": p256.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "private key": private_key_octets(party("p256").signing_key),
        "certificate": party("p256").certificate,
    }


@pytest.mark.prop("CR-18")
@pytest.mark.parametrize("what", STRANGE)
def test_a_key_is_of_its_suite_and_has_one_encoding(what: str) -> None:
    """Two spellings of one key would pass a CA's list of keys that it has certified as two."""
    for name in SUITES:
        for load in (load_signature_key, load_exchange_key):
            with pytest.raises(DecodingFailure):
                load(strange_keys()[what], name)


@given(st.binary(max_size=200))
def test_noise_is_no_key(data: bytes) -> None:
    for name in SUITES:
        for load in (load_signature_key, load_exchange_key):
            with pytest.raises(DecodingFailure):
                load(data, name)


def test_no_changed_octet_of_a_p256_key_is_read_as_that_key() -> None:
    own = party("p256").signing_key.public_key()
    octets = public_key_der(own)
    for place in range(len(octets)):
        for bits in (1, 0x80, 0xFF):
            changed = octets[:place] + bytes([octets[place] ^ bits]) + octets[place + 1 :]
            with pytest.raises(DecodingFailure):
                load_signature_key(changed, "p256")


def test_a_private_key_comes_back(who: Party) -> None:
    for key in (who.signing_key, who.exchange_key):
        assert private_key_from(private_key_octets(key)).public_key() == key.public_key()


# --- key-exchange keys ----------------------------------------------------------------------------


def bare(who: Party) -> tuple[BareRecipient, BareRecipientKey]:
    key = who.exchange_key
    return BareRecipient(key.public_key(), who.suite), BareRecipientKey(key, who.suite)


@pytest.mark.prop("PX-13")
def test_the_owner_of_a_key_exchange_key_opens_what_is_sealed_to_it(who: Party) -> None:
    to, key = bare(who)
    assert unseal(seal(CONTENT, to, context=CONTEXT), key, context=CONTEXT).content == CONTENT


@pytest.mark.prop("PX-13")
def test_no_other_key_opens_it(who: Party) -> None:
    data = seal(CONTENT, bare(who)[0], context=CONTEXT)
    for name in SUITES:
        with pytest.raises(DecryptionFailure):
            unseal(data, bare(party(name, 1))[1], context=CONTEXT)


@given(st.binary(max_size=50))
def test_it_opens_in_its_context_only(context: bytes) -> None:
    to, key = bare(party("p256"))
    data = seal(CONTENT, to, context=CONTEXT)
    if context == CONTEXT:
        return
    with pytest.raises(DecryptionFailure):
        unseal(data, key, context=context)


@pytest.mark.parametrize("bits", [0x01, 0x80])
def test_no_changed_octet_opens(bits: int) -> None:
    to, key = bare(party("p256"))
    data = seal(CONTENT, to, context=CONTEXT)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]
        with pytest.raises(DecryptionFailure):
            unseal(changed, key, context=CONTEXT)


def test_a_bare_key_is_named_as_its_certificate_will_name_it(who: Party) -> None:
    to, key = bare(who)
    assert to.identifier == key.identifier == key_identifier(who.exchange_key.public_key())
    assert to.identifier in seal(CONTENT, to, context=CONTEXT)


@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_a_bare_key_is_of_its_suite(name: str, other: str) -> None:
    key = party(name).exchange_key
    with pytest.raises(ValueError, match=f"not a key-exchange key of suite {other}"):
        BareRecipient(key.public_key(), other)
    with pytest.raises(ValueError, match=f"not a key-exchange key of suite {other}"):
        BareRecipientKey(key, other)


def test_a_signature_key_is_no_bare_recipient() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(ValueError, match="not a key-exchange key"):
        BareRecipient(key.public_key(), "ed25519")
    with pytest.raises(ValueError, match="not a key-exchange key"):
        BareRecipientKey(key, "ed25519")


def test_the_private_side_does_not_show(who: Party) -> None:
    key = bare(who)[1]
    assert repr(key) == str(key) == f"<BareRecipientKey {key.identifier.hex()[:16]}>"
