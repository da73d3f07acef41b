"""SignedData: what verifies, and everything that does not."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections.abc import Sequence

import pytest
from asn1crypto import cms
from cryptography import x509

from pki import subject_key_identifier
from pki.der import MAX_SIZE, tlv
from setproto.crypto.cms import ID_DATA, Signer, Verified, verify
from setproto.crypto.signed import MAX_CERTIFICATES
from setproto.crypto.suites import deterministic, suite
from setproto.errors import (
    CertificateRefused,
    DecodingFailure,
    ErrorCode,
    ProtocolError,
    SignatureFailure,
    UnknownSuite,
    UsageError,
)
from tests.crypto import material
from tests.crypto.material import ORDER, PAYMENT, Party, Trusted, attribute, forge, party, trust_anything


def check(data: bytes, who: Party, *, content: bytes | None = None, certify: object = None) -> Verified:
    return verify(data, content_type=ORDER, certify=certify or who.certify, content=content)  # type: ignore[arg-type]


# --- what verifies --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"one apple", bytes(range(256)) * 300], ids=["empty", "short", "long"])
def test_signed_content_comes_back_verified(who: Party, content: bytes) -> None:
    verified = check(who.signer.sign(content, ORDER), who)
    assert verified.content == content
    assert verified.content_type == ORDER
    assert verified.signer == who.trusted
    assert verified.certificates == (who.certificate,)


def test_detached_content_is_given_by_the_verifier(who: Party) -> None:
    data = who.signer.sign(b"one apple", ORDER, detached=True)
    assert b"one apple" not in data
    assert check(data, who, content=b"one apple").content == b"one apple"


def test_the_signer_is_named_by_key_identifier_wherever_its_certificate_is(alice: Party, mallory: Party) -> None:
    def other(name: str) -> bytes:
        return material.make_certificate(
            mallory.signing_key.public_key(), mallory.signing_key, name=name, ski=b"x" * 20
        )

    before, after = other("n"), other("n" * 60)  # DER sorts a SET OF: the shorter comes first
    data = alice.signer.sign(b"x", ORDER, certificates=[after, before])
    seen: list[tuple[bytes, Sequence[bytes]]] = []

    def certify(certificate: bytes, others: Sequence[bytes]) -> Trusted:
        seen.append((certificate, others))
        return alice.certify(certificate, others)

    verified = check(data, alice, certify=certify)
    assert seen == [(alice.certificate, (before, alice.certificate, after))]
    assert verified.certificates == (before, alice.certificate, after)


def test_the_same_certificate_given_twice_is_enclosed_once(alice: Party) -> None:
    data = alice.signer.sign(b"x", ORDER, certificates=[alice.certificate, alice.certificate])
    assert check(data, alice).certificates == (alice.certificate,)


def test_what_other_software_may_add_is_accepted(who: Party) -> None:
    good = material.good_attributes(who, b"x", ORDER)
    extra = [
        attribute(material.ID_SIGNING_TIME, tlv(0x17, b"260101000000Z")),
        attribute(material.ID_SMIME_CAPABILITIES, tlv(0x30)),
    ]
    both = [attribute(key, good[key]) for key in good] + extra
    assert check(forge(who, b"x", ORDER, attributes=both), who).content == b"x"


def test_content_type_and_digest_are_enough(who: Party) -> None:
    good = material.good_attributes(who, b"x", ORDER)
    least = [attribute(key, good[key]) for key in (material.ID_CONTENT_TYPE, material.ID_MESSAGE_DIGEST)]
    assert check(forge(who, b"x", ORDER, attributes=least), who).content == b"x"


def test_both_spellings_of_the_hash_in_pss_parameters_are_accepted() -> None:
    """With NULL parameters and without (RFC 4055 §2.1), from signers that do not protect the algorithms."""
    who = party("rsa3072")
    values = material.good_attributes(who, b"x", ORDER)
    del values[material.ID_ALGORITHM_PROTECTION]
    attributes = [attribute(k, v) for k, v in values.items()]
    for algorithm in suite("rsa3072").signature_algorithms:
        data = forge(who, b"x", ORDER, attributes=attributes, signature_algorithm=algorithm)
        assert check(data, who).content == b"x"


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("written", [0, 1], ids=["NULL written", "NULL left out"])
@pytest.mark.parametrize("protected", [0, 1], ids=["NULL protected", "NULL not protected"])
def test_protected_algorithms_are_those_of_the_signer_info(written: int, protected: int) -> None:
    """RFC 6211 §3: what CMSAlgorithmProtection signs is compared with what is written beside the signature.

    Otherwise anyone could rewrite the one spelling into the other, and have a second object of the same signature.
    """
    who = party("rsa3072")
    first, second = spellings = suite("rsa3072").signature_algorithms
    assert first != second
    values = material.good_attributes(who, b"x", ORDER)
    values[material.ID_ALGORITHM_PROTECTION] = tlv(
        0x30, suite("rsa3072").digest_algorithm, b"\xa1" + spellings[protected][1:]
    )
    attributes = [attribute(k, v) for k, v in values.items()]
    data = forge(who, b"x", ORDER, attributes=attributes, signature_algorithm=spellings[written])
    if written == protected:
        assert check(data, who).content == b"x"
    else:
        with pytest.raises(SignatureFailure, match=r"1\.2\.840\.113549\.1\.9\.52 does not match"):
            check(data, who)


@pytest.mark.prop("PX-10")
def test_the_spelling_of_an_algorithm_cannot_be_changed_without_the_key() -> None:
    who = party("rsa3072")
    written, other = suite("rsa3072").signature_algorithms
    data = who.signer.sign(b"x", ORDER)
    (signer_info,) = cms.ContentInfo.load(data)["content"]["signer_infos"]
    assert signer_info["signature_algorithm"].dump() == written
    attributes = tlv(0xA0, signer_info["signed_attrs"].contents)
    signature = signer_info["signature"].native
    assert by_hand(who, b"x", attributes, signature) == data
    with pytest.raises(SignatureFailure, match=r"1\.2\.840\.113549\.1\.9\.52 does not match"):
        check(by_hand(who, b"x", attributes, signature, signature_algorithm=other), who)


def test_the_builder_of_these_tests_makes_what_the_library_makes() -> None:
    who = party("ed25519")  # its signatures are deterministic
    assert who.signer.sign(b"x", ORDER) == forge(who, b"x", ORDER)
    assert who.signer.sign(b"x", ORDER, detached=True) == forge(who, b"x", ORDER, detached=True)


def test_deterministic_signing_makes_the_same_object_twice(alice: Party) -> None:
    signer = Signer(alice.signing_key, alice.certificate, deterministic(suite("p256")))
    data = signer.sign(b"x", ORDER)
    assert data == signer.sign(b"x", ORDER) != alice.signer.sign(b"x", ORDER)
    assert check(data, alice).content == b"x"


def test_a_signer_needs_its_own_certificate(alice: Party, mallory: Party) -> None:
    with pytest.raises(ValueError, match="does not belong"):
        Signer(alice.signing_key, mallory.certificate, suite("p256"))


def test_repr_names_the_suite_and_the_key_and_nothing_else(who: Party) -> None:
    shown = subject_key_identifier(who.certificate).hex()[:16]
    assert repr(who.signer) == str(who.signer) == f"<Signer {who.suite} {shown}>"


def test_repr_of_verified_content_does_not_show_it(alice: Party) -> None:
    content = b"PAN 4000000000000002"
    for data, given in (
        (alice.signer.sign(content, ORDER), None),
        (alice.signer.sign(content, ORDER, detached=True), content),
    ):
        verified = check(data, alice, content=given)
        assert verified.content == content
        for shown in (repr(verified), str(verified), f"{verified}", repr([verified])):
            assert "4000000000000002" not in shown
            assert "content_type" in shown


# --- the content and its type ---------------------------------------------------------------------


@pytest.mark.prop("PX-6")
def test_signed_content_of_another_type_is_refused(who: Party) -> None:
    with pytest.raises(SignatureFailure, match="another type"):
        verify(who.signer.sign(b"x", PAYMENT), content_type=ORDER, certify=who.certify)
    # … also when someone without the key writes the expected type into the object,
    retyped = who.signer.sign(b"x", PAYMENT).replace(
        tlv(0x30, material.oid(PAYMENT), tlv(0xA0, tlv(0x04, b"x"))),
        tlv(0x30, material.oid(ORDER), tlv(0xA0, tlv(0x04, b"x"))),
    )
    with pytest.raises(SignatureFailure, match=r"1\.2\.840\.113549\.1\.9\.3 does not match"):
        check(retyped, who)
    # … or when the two places where a signer names the type differ.
    with pytest.raises(SignatureFailure, match="another type"):
        check(forge(who, b"x", ORDER, enclosed_type=PAYMENT), who)


def test_content_beside_enclosed_content_is_refused_even_if_equal(who: Party) -> None:
    with pytest.raises(SignatureFailure, match="enclosed where it must be detached"):
        check(who.signer.sign(b"x", ORDER), who, content=b"x")


def test_detached_content_must_be_given(who: Party) -> None:
    with pytest.raises(SignatureFailure, match="enclosed where it must be detached"):
        check(who.signer.sign(b"x", ORDER, detached=True), who)


@pytest.mark.parametrize("wrong", [b"", b"two apples", b"one apple\0"], ids=["empty", "other", "longer"])
def test_wrong_detached_content_is_refused(who: Party, wrong: bytes) -> None:
    data = who.signer.sign(b"one apple", ORDER, detached=True)
    with pytest.raises(SignatureFailure):
        check(data, who, content=wrong)


def test_changed_enclosed_content_is_refused(who: Party) -> None:
    data = who.signer.sign(b"one apple", ORDER).replace(b"one apple", b"two apple")
    with pytest.raises(SignatureFailure):
        check(data, who)


# --- whose key ------------------------------------------------------------------------------------


def test_no_certificate_for_the_signer_is_refused(alice: Party, mallory: Party) -> None:
    data = forge(alice, b"x", ORDER, certificates=[mallory.certificate])
    with pytest.raises(CertificateRefused) as caught:
        check(data, alice, certify=trust_anything("p256"))
    assert caught.value.code is ErrorCode.missingCertificate


def test_two_certificates_for_the_signer_are_refused(alice: Party, mallory: Party) -> None:
    ski = subject_key_identifier(alice.certificate)
    twin = material.make_certificate(mallory.signing_key.public_key(), mallory.signing_key, ski=ski)
    data = forge(alice, b"x", ORDER, certificates=[alice.certificate, twin])
    with pytest.raises(CertificateRefused) as caught:
        check(data, alice)
    assert caught.value.code is ErrorCode.missingCertificate


def test_certify_decides_before_any_signature_is_computed(alice: Party, mallory: Party) -> None:
    class Refusal(Exception):
        pass

    def certify(certificate: bytes, others: Sequence[bytes]) -> Trusted:
        raise Refusal

    broken = alice.signer.sign(b"x", ORDER)[:-1] + b"\0"
    for data in (alice.signer.sign(b"x", ORDER), broken):
        with pytest.raises(Refusal):
            check(data, alice, certify=certify)
    with pytest.raises(CertificateRefused):
        check(mallory.signer.sign(b"x", ORDER), alice)


def test_certify_must_return_the_certificate_it_was_asked_about(alice: Party) -> None:
    renewed = material.make_certificate(alice.signing_key.public_key(), alice.signing_key, name="renewed")

    def certify(certificate: bytes, others: Sequence[bytes]) -> Trusted:
        return Trusted(renewed, "p256", alice.signing_key.public_key())

    with pytest.raises(SignatureFailure):
        check(alice.signer.sign(b"x", ORDER), alice, certify=certify)


def test_the_key_that_verifies_is_the_one_certify_returned(alice: Party, mallory: Party) -> None:
    def certify(certificate: bytes, others: Sequence[bytes]) -> Trusted:
        return Trusted(certificate, "p256", mallory.signing_key.public_key())

    with pytest.raises(SignatureFailure, match="does not verify"):
        check(alice.signer.sign(b"x", ORDER), alice, certify=certify)


@pytest.mark.parametrize("other", material.SUITES)
def test_the_suite_is_that_of_the_certificate_not_that_of_the_object(who: Party, other: str) -> None:
    if other == who.suite:
        return
    with pytest.raises(SignatureFailure, match="algorithms"):
        check(who.signer.sign(b"x", ORDER), who, certify=trust_anything(other))


def test_a_suite_off_the_allow_list_is_refused(alice: Party) -> None:
    with pytest.raises(UnknownSuite):
        check(alice.signer.sign(b"x", ORDER), alice, certify=trust_anything("p384"))


def test_an_object_re_signed_with_another_key_is_refused(who: Party) -> None:
    stranger = party(who.suite, 1)
    with pytest.raises(SignatureFailure, match="does not verify"):
        check(forge(who, b"x", ORDER, signing_key=stranger.signing_key), who)


def test_another_certificate_for_the_same_key_is_refused(who: Party) -> None:
    """signingCertificateV2 (RFC 5035): the certificate cannot be exchanged for one with other rights."""
    other = material.make_certificate(who.signing_key.public_key(), who.signing_key, name="other rights")
    data = forge(who, b"x", ORDER, certificates=[other])
    with pytest.raises(SignatureFailure, match=r"1\.9\.16\.2\.47 does not match"):
        check(data, who, certify=trust_anything(who.suite))


def test_every_certificate_enclosed_needs_a_key_identifier(alice: Party, mallory: Party) -> None:
    bare = material.make_certificate(mallory.signing_key.public_key(), mallory.signing_key, with_ski=False)
    for odd in (bare, b"\x30\x00", b"\x30\x03\x02\x01\x00"):
        with pytest.raises(CertificateRefused) as caught:
            check(forge(alice, b"x", ORDER, certificates=[alice.certificate, odd]), alice)
        assert caught.value.code is ErrorCode.invalidCertificate


def test_a_certificate_of_an_unknown_version_ends_in_an_error_of_this_library(alice: Party, mallory: Party) -> None:
    v3 = bytes.fromhex("a003020102")
    assert mallory.certificate.count(v3) == 1
    odd = mallory.certificate.replace(v3, bytes.fromhex("a003020104"))
    with pytest.raises(CertificateRefused):
        check(forge(alice, b"x", ORDER, certificates=[alice.certificate, odd]), alice)


def test_a_certificate_with_an_unsupported_name_ends_in_an_error_of_this_library(alice: Party) -> None:
    x400 = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3004a3023000"))
    odd = material.make_certificate(alice.signing_key.public_key(), alice.signing_key, ski=b"y" * 20, extensions=[x400])
    with pytest.raises(CertificateRefused):
        check(forge(alice, b"x", ORDER, certificates=[alice.certificate, odd]), alice)


# --- algorithms -----------------------------------------------------------------------------------

SHA384 = bytes.fromhex("300b0609608648016503040202")
ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
RSA_PKCS1V15_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")


@pytest.mark.parametrize(
    "change",
    [
        {"digest_algorithm": SHA384},
        {"digest_algorithm": SHA384, "set_digest_algorithm": suite("p256").digest_algorithm},
        {"set_digest_algorithm": SHA384},
        {"signature_algorithm": ECDSA_SHA384},
        {"signature_algorithm": RSA_PKCS1V15_SHA256},
        {"digest_algorithm": bytes.fromhex("300d06096086480165030402010500")},  # NULL parameters: RFC 5754 §2
    ],
    ids=["digest", "signer's digest", "set of digests", "other ECDSA", "PKCS#1 v1.5", "NULL"],
)
def test_algorithm_identifiers_are_compared_octet_by_octet(alice: Party, change: dict[str, bytes]) -> None:
    with pytest.raises(SignatureFailure, match="algorithms"):
        check(forge(alice, b"x", ORDER, **change), alice)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["digest_algorithm", "set_digest_algorithm", "signature_algorithm"])
def test_an_algorithm_identifier_is_a_sequence(alice: Party, where: str) -> None:
    chosen = suite("p256")
    good = chosen.signature_algorithms[0] if where == "signature_algorithm" else chosen.digest_algorithm
    change = {where: b"\x31" + good[1:]}
    if where == "digest_algorithm":
        change["set_digest_algorithm"] = good
    with pytest.raises(ProtocolError):
        check(forge(alice, b"x", ORDER, **change), alice)  # type: ignore[arg-type]


# --- signed attributes ----------------------------------------------------------------------------

REQUIRED = (
    material.ID_CONTENT_TYPE,
    material.ID_MESSAGE_DIGEST,
    material.ID_ALGORITHM_PROTECTION,
    material.ID_SIGNING_CERTIFICATE_V2,
)


@pytest.mark.parametrize("changed", REQUIRED)
@pytest.mark.parametrize("kind", ["last bit", "longer", "empty", "other tag"])
def test_each_signed_attribute_must_have_its_one_value(who: Party, changed: str, kind: str) -> None:
    values = material.good_attributes(who, b"x", ORDER)
    good = values[changed]
    values[changed] = {
        "last bit": good[:-1] + bytes([good[-1] ^ 1]),
        "longer": tlv(good[0], good[2:], b"\0"),
        "empty": tlv(good[0]),
        "other tag": b"\x0c" + good[1:],
    }[kind]
    data = forge(who, b"x", ORDER, attributes=[attribute(k, v) for k, v in values.items()])
    with pytest.raises(SignatureFailure, match=f"{changed} does not match"):
        check(data, who)


@pytest.mark.parametrize("twice", [*REQUIRED, material.ID_SIGNING_TIME])
def test_no_signed_attribute_may_occur_twice(who: Party, twice: str) -> None:
    values = material.good_attributes(who, b"x", ORDER) | {material.ID_SIGNING_TIME: tlv(0x17, b"260101000000Z")}
    attributes = [attribute(k, v) for k, v in values.items()] + [attribute(twice, values[twice])]
    with pytest.raises(SignatureFailure, match="occurs twice"):
        check(forge(who, b"x", ORDER, attributes=attributes), who)


@pytest.mark.parametrize("doubled", REQUIRED)
@pytest.mark.parametrize("count", [0, 2])
def test_a_signed_attribute_has_exactly_one_value(alice: Party, doubled: str, count: int) -> None:
    values = {k: [v] for k, v in material.good_attributes(alice, b"x", ORDER).items()}
    values[doubled] = [*values[doubled], b"\x05\x00"][: 2 if count == 2 else 0]
    data = forge(alice, b"x", ORDER, attributes=[attribute(k, *v) for k, v in values.items()])
    with pytest.raises(SignatureFailure, match="malformed"):
        check(data, alice)


@pytest.mark.parametrize("missing", [material.ID_CONTENT_TYPE, material.ID_MESSAGE_DIGEST])
def test_content_type_and_digest_must_be_signed(who: Party, missing: str) -> None:
    values = material.good_attributes(who, b"x", ORDER)
    del values[missing]
    data = forge(who, b"x", ORDER, attributes=[attribute(k, v) for k, v in values.items()])
    with pytest.raises(SignatureFailure, match="must be signed"):
        check(data, who)


def test_no_signed_attributes_at_all_are_refused(alice: Party) -> None:
    with pytest.raises(SignatureFailure):
        check(forge(alice, b"x", ORDER, attributes=[]), alice)


@pytest.mark.parametrize("unknown", ["1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.6", "2.25.7"])
def test_an_unknown_signed_attribute_is_refused(who: Party, unknown: str) -> None:
    values = material.good_attributes(who, b"x", ORDER) | {unknown: tlv(0x05)}
    data = forge(who, b"x", ORDER, attributes=[attribute(k, v) for k, v in values.items()])
    with pytest.raises(SignatureFailure, match="unknown signed attribute"):
        check(data, who)


def test_signed_attributes_out_of_order_are_refused(alice: Party) -> None:
    """One encoding per value: a SET OF that is not sorted is not DER (X.690 §11.6)."""
    octets = [attribute(k, v) for k, v in material.good_attributes(alice, b"x", ORDER).items()]
    shuffled = b"".join(sorted(octets, reverse=True))
    with pytest.raises(SignatureFailure, match="malformed"):
        check(forge(alice, b"x", ORDER, signed_attributes=shuffled), alice)


def test_a_signature_without_signed_attributes_is_refused(who: Party) -> None:
    """RFC 5652 §5.4 signs the bare content then: the attributes of one object could pass as content of another."""
    attributes = [attribute(k, v) for k, v in material.good_attributes(who, b"x", ORDER).items()]
    content = tlv(0x31, *sorted(attributes))
    signature = suite(who.suite).sign(who.signing_key, content)
    with pytest.raises(DecodingFailure):
        check(by_hand(who, content, b"", signature), who)


def test_a_signature_is_over_the_attributes_with_the_tag_of_a_set(who: Party) -> None:
    """RFC 5652 §5.4: signed is SET OF, enclosed is [0] IMPLICIT."""
    values = material.good_attributes(who, b"x", ORDER)
    octets = b"".join(sorted(attribute(k, v) for k, v in values.items()))
    good = suite(who.suite).sign(who.signing_key, tlv(0x31, octets))
    assert check(by_hand(who, b"x", tlv(0xA0, octets), good), who).content == b"x"
    with pytest.raises(DecodingFailure):
        check(by_hand(who, b"x", tlv(0xA1, octets), good), who)
    other = suite(who.suite).sign(who.signing_key, tlv(0xA0, octets))
    with pytest.raises(SignatureFailure, match="does not verify"):
        check(by_hand(who, b"x", tlv(0xA0, octets), other), who)


def by_hand(
    who: Party, content: bytes, signed_attributes: bytes, signature: bytes, *, signature_algorithm: bytes | None = None
) -> bytes:
    """A SignedData object around a signature made elsewhere."""
    chosen = suite(who.suite)
    signer_info = tlv(
        0x30,
        b"\x02\x01\x03",
        tlv(0x80, subject_key_identifier(who.certificate)),
        chosen.digest_algorithm,
        signed_attributes,
        signature_algorithm or chosen.signature_algorithms[0],
        tlv(0x04, signature),
    )
    signed_data = tlv(
        0x30,
        b"\x02\x01\x03",
        tlv(0x31, chosen.digest_algorithm),
        tlv(0x30, material.oid(ORDER), tlv(0xA0, tlv(0x04, content))),
        tlv(0xA0, who.certificate),
        tlv(0x31, signer_info),
    )
    return tlv(0x30, material.oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed_data))


# --- the object -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"outer_type": "1.2.840.113549.1.7.1"},
        {"outer_type": "2.25.7"},
        {"version": 1},
        {"version": 4},
        {"signer_version": 1},
        {"sid_tag": 0x81},
        {"set_digest_algorithm": suite("p256").digest_algorithm + SHA384},  # two digest algorithms
        {"signer_infos": 0},
        {"signer_infos": 2},
        {"certificates": []},
        {"certificate_set": b""},
        {"certificate_set": tlv(0xA1, party("p256").certificate)},
        {"certificate_set": tlv(0xA0, b"\xa3" + party("p256").certificate[1:])},
        {"certificate_set": tlv(0xA0, party("p256").certificate, tlv(0xA3, b"\x05\x00"))},
        {"certificate_set": tlv(0xA0, party("p256").certificate, party("p256").certificate[:-1])},
        {"unsigned_attributes": tlv(0xA1, attribute("2.25.7", b"\x05\x00"))},
    ],
    ids=[
        "data",
        "another type",
        "version 1",
        "version 4",
        "signer version 1",
        "signer named otherwise",
        "two digest algorithms",
        "no signer",
        "two signers",
        "no certificates",
        "certificates absent",
        "certificates under another tag",
        "other kind of certificate",
        "certificate and something else",
        "certificate cut",
        "unsigned attributes",
    ],
)
def test_an_object_outside_the_profile_is_refused(alice: Party, change: dict[str, object]) -> None:
    with pytest.raises(DecodingFailure):
        check(forge(alice, b"x", ORDER, **change), alice)  # type: ignore[arg-type]


def test_certificates_out_of_order_are_refused(alice: Party, mallory: Party) -> None:
    first, second = certificates = sorted([alice.certificate, mallory.certificate])
    for octets, good in ((first + second, True), (second + first, False)):
        data = forge(alice, b"x", ORDER, certificates=certificates, certificate_set=tlv(0xA0, octets))
        if good:
            assert check(data, alice).certificates == (first, second)
        else:
            with pytest.raises(DecodingFailure):
                check(data, alice)


@pytest.mark.prop("PX-10")
def test_no_certificate_can_be_added_removed_or_exchanged(who: Party) -> None:
    """signingCertificateV2 lists every certificate enclosed, so nothing in the object is unsigned."""
    one, two, three = (
        material.make_certificate(who.signing_key.public_key(), who.signing_key, ski=bytes([n]) * 20) for n in range(3)
    )
    values = material.good_attributes(who, b"x", ORDER, sorted([one, two]))
    attributes = [attribute(k, v) for k, v in values.items()]

    def carrying(*others: bytes) -> bytes:
        return forge(who, b"x", ORDER, attributes=attributes, certificates=[who.certificate, *others])

    assert check(carrying(one, two), who).content == b"x"
    for others in ([], [one], [one, three], [one, two, three], [one, one], [two[:-1] + bytes([two[-1] ^ 1]), one]):
        with pytest.raises(SignatureFailure, match=r"1\.9\.16\.2\.47 does not match"):
            check(carrying(*others), who)


def test_the_number_of_certificates_is_limited(alice: Party) -> None:
    def others(count: int) -> list[bytes]:
        key = alice.signing_key
        return [material.make_certificate(key.public_key(), key, ski=bytes([n]) * 20) for n in range(count)]

    assert MAX_CERTIFICATES == 16
    for count in (0, 1, MAX_CERTIFICATES - 1):
        verified = check(alice.signer.sign(b"x", ORDER, certificates=others(count)), alice)
        assert (verified.content, len(verified.certificates)) == (b"x", count + 1)
    # Each counts once, however often it is given, and the signer's own as well.
    fifteen = others(MAX_CERTIFICATES - 1)
    assert len(check(alice.signer.sign(b"x", ORDER, certificates=[*fifteen, *fifteen]), alice).certificates) == 16
    for count in (MAX_CERTIFICATES, MAX_CERTIFICATES + 1, 100):
        with pytest.raises(UsageError, match="at most 16 certificates"):
            alice.signer.sign(b"x", ORDER, certificates=others(count), detached=count == 100)
    with pytest.raises(DecodingFailure, match="1 to 16"):
        check(forge(alice, b"x", ORDER, certificates=[alice.certificate, *others(MAX_CERTIFICATES)]), alice)


def test_refused_objects_are_not_remembered(alice: Party) -> None:
    """A cache filled before any decision about trust would be memory at the disposal of every peer."""
    objects = [
        forge(alice, b"x", ORDER, attributes=[], certificates=[tlv(0x30, bytes([n]) + bytes(200_000))])
        for n in range(20)
    ]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for data in objects:
            with pytest.raises(ProtocolError):
                check(data, alice)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000


@pytest.mark.parametrize("trailing", [b"\0", b"\x30\x00", b"x" * 100], ids=["zero", "empty SEQUENCE", "text"])
def test_trailing_octets_are_refused(who: Party, trailing: bytes) -> None:
    with pytest.raises(DecodingFailure):
        check(who.signer.sign(b"x", ORDER) + trailing, who)


def test_every_truncation_is_refused(alice: Party) -> None:
    data = alice.signer.sign(b"x", ORDER)
    for size in range(len(data)):
        with pytest.raises(DecodingFailure):
            check(data[:size], alice)


def test_encodings_other_than_der_are_refused(alice: Party) -> None:
    data = alice.signer.sign(b"x", ORDER)
    assert data[:2] == b"\x30\x82"
    for other in (
        b"\x30\x83\x00" + data[2:],  # a length with a leading zero octet
        b"\x30\x80" + data[4:] + b"\0\0",  # an indefinite length
        b"-----BEGIN CMS-----",
        b"",
        b"\x30\x00",
        b"\x05\x00",
    ):
        with pytest.raises(DecodingFailure):
            check(other, alice)


def test_an_object_over_the_limit_is_refused_unread(alice: Party) -> None:
    with pytest.raises(DecodingFailure, match="exceed the limit"):
        check(bytes(1 << 20) + b"\0", alice)


def test_what_cannot_be_verified_is_not_signed(alice: Party) -> None:
    """Whoever signs finds out, not whoever receives: content over the limit, and certificates over it."""
    for content in (bytes(1 << 20), bytes((1 << 20) - 100)):
        with pytest.raises(UsageError, match=f"nobody reads more than {MAX_SIZE}"):
            alice.signer.sign(content, ORDER)
    with pytest.raises(UsageError, match="nobody reads"):
        alice.signer.sign(b"x", ORDER, certificates=[tlv(0x30, bytes(1 << 20))])
    # Content that is not enclosed does not count.
    data = alice.signer.sign(bytes(1 << 20), ORDER, detached=True)
    assert check(data, alice, content=bytes(1 << 20)).content == bytes(1 << 20)


@pytest.mark.parametrize("name", ["rsa3072", "ed25519", "mldsa65"])  # whose signatures have one length
def test_an_object_of_the_largest_size_is_signed_and_verified(name: str) -> None:
    who = party(name)
    size = MAX_SIZE - (len(who.signer.sign(bytes(1 << 19), ORDER)) - (1 << 19))
    largest = who.signer.sign(bytes(size), ORDER)
    assert len(largest) == MAX_SIZE
    assert check(largest, who).content == bytes(size)
    with pytest.raises(UsageError, match=f"{MAX_SIZE + 1} octets"):
        who.signer.sign(bytes(size + 1), ORDER)


@pytest.mark.prop("PX-10")
@pytest.mark.filterwarnings("ignore:Parsed a serial number:Warning")  # of the certificate; it is refused all the same
@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF], ids="{:#04x}".format)
def test_every_flipped_octet_is_refused(who: Party, bits: int) -> None:
    data = who.signer.sign(b"one apple", ORDER)
    accepted, bare = [], {}
    for position in range(len(data)):
        if who.suite == "mldsa65" and 6000 > position > 1500 and position % 7:
            continue  # the insides of a certificate's key and signatures
        changed = bytearray(data)
        changed[position] ^= bits
        try:
            check(bytes(changed), who)
        except ProtocolError:
            continue
        except Exception as error:
            bare[position] = repr(error)
        else:
            accepted.append(position)
    assert (accepted, bare) == ([], {})


def test_id_data_is_a_content_type_like_any_other(alice: Party) -> None:
    data = alice.signer.sign(b"x", ID_DATA)
    assert verify(data, content_type=ID_DATA, certify=alice.certify).content == b"x"


def test_key_identifiers_are_read_from_the_certificate(who: Party) -> None:
    expected = x509.SubjectKeyIdentifier.from_public_key(who.signing_key.public_key()).digest
    assert subject_key_identifier(who.certificate) == expected
    assert len(expected) == hashlib.sha1().digest_size
