"""A second reader: asn1crypto parses every object, and the test does the cryptography again from what it found.

asn1crypto accepts what is not DER, even with ``strict=True``; so each object is also re-encoded from the parsed
values (``dump(force=True)``) and compared with what came in.  Where it lacks a type, the schema is declared here.
Nothing of ``setproto.crypto`` is used to read: only to make the objects.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import pytest
from asn1crypto import algos, cms, core
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import SubjectKeyIdentifier

from setproto.crypto.cms import Enclosed, SecretKey, seal
from setproto.crypto.possession import prove
from tests.crypto.material import ORDER, SUITES, Party, party
from tests.interop.brand import revocation

CONTENT = b"one apple"
CONTEXT = b"C to P, XID 7"
BRAND_CRL_IDENTIFIER = "2.25.137087056187701533922853352641590903349.0.110"
SECRET = SecretKey(bytes(range(32)), b"EK-1")


class Certificates(core.SetOf):  # type: ignore[misc]
    """asn1crypto knows no ML-DSA keys: certificates are left as they are, and looked at one by one."""

    _child_spec = core.Any


class SignedData(cms.SignedData):  # type: ignore[misc]
    _fields: ClassVar = [
        (name, Certificates if name == "certificates" else spec, *options)
        for name, spec, *options in cms.SignedData._fields
    ]


class ContentInfo(cms.ContentInfo):  # type: ignore[misc]
    _oid_specs: ClassVar = cms.ContentInfo._oid_specs | {"signed_data": SignedData}


def load(data: bytes, spec: Any = ContentInfo) -> Any:
    """The parsed ContentInfo, after checking that its values say all that the bytes say."""
    parsed = spec.load(data, strict=True)
    assert parsed.dump(force=True) == data
    return parsed


def key_identifier(key: Any) -> bytes:
    return SubjectKeyIdentifier.from_public_key(key.public_key()).digest


class AlgorithmIdentifier(core.Sequence):  # type: ignore[misc]
    """Without asn1crypto's habit of adding NULL parameters."""

    _fields: ClassVar = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]


class SubjectPublicKeyInfo(core.Sequence):  # type: ignore[misc]
    """Of keys that asn1crypto does not know, too."""

    _fields: ClassVar = [("algorithm", AlgorithmIdentifier), ("public_key", core.OctetBitString)]


# --- signed ---------------------------------------------------------------------------------------


class ESSCertIDv2(core.Sequence):  # type: ignore[misc]
    """RFC 5035 §4; the hash algorithm defaults to SHA-256."""

    _fields: ClassVar = [
        ("hash_algorithm", algos.DigestAlgorithm, {"default": {"algorithm": "sha256"}}),
        ("cert_hash", core.OctetString),
    ]


class ESSCertIDv2s(core.SequenceOf):  # type: ignore[misc]
    _child_spec = ESSCertIDv2


class SigningCertificateV2(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("certs", ESSCertIDv2s)]


SIGNATURES = {
    # digest of the content; OIDs of digest and signature; verification
    "p256": ("sha256", "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"),
    "rsa3072": ("sha256", "2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.10"),
    "ed25519": ("sha512", "2.16.840.1.101.3.4.2.3", "1.3.101.112"),
    "mldsa65": ("sha512", "2.16.840.1.101.3.4.2.3", "2.16.840.1.101.3.4.3.18"),
}


def raw_verify(who: Party, signature: bytes, data: bytes) -> None:
    key = who.signing_key.public_key()
    if who.suite == "p256":
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    elif who.suite == "rsa3072":
        key.verify(signature, data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    else:
        key.verify(signature, data)


def attributes_of(signer: Any, count: int, hash_name: str) -> dict[str, Any]:
    """The signed attributes, by type: each of one value, and those that every signer has as they must be."""
    attributes = {a["type"].dotted: a["values"] for a in signer["signed_attrs"]}
    assert all(len(values) == 1 for values in attributes.values())
    assert len(signer["signed_attrs"]) == len(attributes) == count
    assert attributes["1.2.840.113549.1.9.3"][0].dotted == ORDER.dotted_string
    assert attributes["1.2.840.113549.1.9.4"][0].native == hashlib.new(hash_name, CONTENT).digest()
    protection = attributes["1.2.840.113549.1.9.52"][0]
    assert protection["digest_algorithm"].dump(force=True) == signer["digest_algorithm"].dump(force=True)
    protected = protection["signature_algorithm"].untag()
    assert protected.dump(force=True) == signer["signature_algorithm"].dump(force=True)
    return attributes


@pytest.mark.parametrize("detached", [False, True], ids=["enclosed", "detached"])
@pytest.mark.parametrize("name", SUITES)
def test_every_value_of_a_signed_object(name: str, detached: bool) -> None:
    who, other = party(name), party("p256", 1)
    hash_name, digest_oid, signature_oid = SIGNATURES[name]
    info = load(who.signer.sign(CONTENT, ORDER, certificates=[other.certificate], detached=detached))
    assert info["content_type"].native == "signed_data"
    signed = info["content"]
    assert signed["version"].native == "v3"
    assert [a["algorithm"].dotted for a in signed["digest_algorithms"]] == [digest_oid]
    assert isinstance(signed["digest_algorithms"][0]["parameters"], core.Void), "absent: RFC 5754 §2"
    assert signed["encap_content_info"]["content_type"].dotted == ORDER.dotted_string
    assert signed["encap_content_info"]["content"].native == (None if detached else CONTENT)
    assert {certificate.dump() for certificate in signed["certificates"]} == {who.certificate, other.certificate}
    assert isinstance(signed["crls"], core.Void)

    (signer,) = signed["signer_infos"]
    assert signer["version"].native == "v3"
    assert signer["sid"].name == "subject_key_identifier"
    assert signer["sid"].native == key_identifier(who.signing_key)
    assert signer["digest_algorithm"]["algorithm"].dotted == digest_oid
    assert isinstance(signer["digest_algorithm"]["parameters"], core.Void)
    assert signer["signature_algorithm"]["algorithm"].dotted == signature_oid
    assert isinstance(signer["unsigned_attrs"], core.Void)
    parameters = signer["signature_algorithm"]["parameters"]
    if name == "rsa3072":
        assert parameters["hash_algorithm"]["algorithm"].native == "sha256"
        assert parameters["mask_gen_algorithm"]["algorithm"].native == "mgf1"
        assert parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native == "sha256"
        assert parameters["salt_length"].native == 32
        assert parameters["trailer_field"].native == "trailer_field_bc"
    else:
        assert isinstance(parameters, core.Void)

    attributes = attributes_of(signer, 4, hash_name)
    protection = attributes["1.2.840.113549.1.9.52"][0]
    assert isinstance(protection["mac_algorithm"], core.Void)
    encoded = attributes["1.2.840.113549.1.9.16.2.47"][0].dump()
    binding = SigningCertificateV2.load(encoded, strict=True)
    assert binding.dump(force=True) == encoded
    assert {identified["hash_algorithm"]["algorithm"].native for identified in binding["certs"]} == {"sha256"}
    # The signer's certificate first, then every other that is enclosed (RFC 5035 §5.4.1).
    hashes_found = [identified["cert_hash"].native for identified in binding["certs"]]
    assert hashes_found == [hashlib.sha256(der).digest() for der in (who.certificate, other.certificate)]


@pytest.mark.parametrize("name", ["p256", "rsa3072", "ed25519"])
def test_a_signed_object_is_one_to_asn1crypto_as_it_comes(name: str) -> None:
    """Without a schema of ours, where asn1crypto knows the keys in the certificates."""
    who = party(name)
    info = load(who.signer.sign(CONTENT, ORDER), cms.ContentInfo)
    (certificate,) = info["content"]["certificates"]
    assert certificate.chosen.key_identifier == info["content"]["signer_infos"][0]["sid"].native
    assert info["content"]["encap_content_info"]["content"].native == CONTENT


@pytest.mark.parametrize("name", SUITES)
def test_the_signature_verifies_over_the_attributes_as_parsed(name: str) -> None:
    who = party(name)
    (signer,) = load(who.signer.sign(CONTENT, ORDER))["content"]["signer_infos"]
    to_be_signed = signer["signed_attrs"].untag().dump(force=True)  # with the tag of a SET, RFC 5652 §5.4
    assert to_be_signed[0] == 0x31
    raw_verify(who, signer["signature"].native, to_be_signed)
    with pytest.raises(InvalidSignature):
        raw_verify(who, signer["signature"].native, to_be_signed[:-1] + bytes([to_be_signed[-1] ^ 1]))


@pytest.mark.parametrize("name", SUITES)
def test_revocation_data_in_a_signed_object(name: str) -> None:
    """RevocationInfoChoices (RFC 5652 §10.2.1): CRLs, and the BrandCRLIdentifier as another format."""
    who, enclosed = party(name), revocation(name)
    for given in (enclosed, Enclosed(enclosed.crls[:1]), Enclosed((), enclosed.bci)):
        signed = load(who.signer.sign(CONTENT, ORDER, revocation=given))["content"]
        choices = [(choice.name, choice.chosen) for choice in signed["crls"]]
        assert sorted(chosen.dump() for kind, chosen in choices if kind == "crl") == sorted(given.crls)
        others = [chosen for kind, chosen in choices if kind == "other"]
        assert [info["other_rev_info_format"].dotted for info in others] == [BRAND_CRL_IDENTIFIER] * len(others)
        assert [info["other_rev_info"].dump() for info in others] == ([] if given.bci is None else [given.bci])
        encoded = [choice.dump() for choice in signed["crls"]]
        assert encoded == sorted(encoded), "the order of DER (X.690 §11.6)"
        (signer,) = signed["signer_infos"]
        assert len(signer["signed_attrs"]) == 4, "as without"


@pytest.mark.parametrize("name", SUITES)
def test_every_value_of_a_proof_of_possession(name: str) -> None:
    who = party(name)
    hash_name, digest_oid, signature_oid = SIGNATURES[name]
    info = load(prove(who.signing_key, name, CONTENT, ORDER))
    assert info["content_type"].native == "signed_data"
    signed = info["content"]
    assert signed["version"].native == "v3"
    assert [a["algorithm"].dotted for a in signed["digest_algorithms"]] == [digest_oid]
    assert signed["encap_content_info"]["content_type"].dotted == ORDER.dotted_string
    for absent in (signed["encap_content_info"]["content"], signed["certificates"], signed["crls"]):
        assert isinstance(absent, core.Void)
    (signer,) = signed["signer_infos"]
    assert signer["version"].native == "v3"
    assert signer["sid"].name == "subject_key_identifier"
    # RFC 7093 §2, method 1, over the bits of the key: the last element of a SubjectPublicKeyInfo.
    spki = who.signing_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bits = SubjectPublicKeyInfo.load(spki, strict=True)["public_key"].native
    assert signer["sid"].native == hashlib.sha256(bits).digest()[:20]
    assert signer["digest_algorithm"]["algorithm"].dotted == digest_oid
    assert signer["signature_algorithm"]["algorithm"].dotted == signature_oid
    assert isinstance(signer["unsigned_attrs"], core.Void)
    attributes_of(signer, 3, hash_name)
    to_be_signed = signer["signed_attrs"].untag().dump(force=True)
    raw_verify(who, signer["signature"].native, to_be_signed)
    with pytest.raises(InvalidSignature):
        raw_verify(who, signer["signature"].native, to_be_signed[:-1] + bytes([to_be_signed[-1] ^ 1]))


# --- sealed ---------------------------------------------------------------------------------------


class GCMParameters(core.Sequence):  # type: ignore[misc]
    """RFC 5084 §3.2."""

    _fields: ClassVar = [("aes_nonce", core.OctetString), ("aes_icv_len", core.Integer, {"default": 12})]


class SharedInfo(core.Sequence):  # type: ignore[misc]
    """ECC-CMS-SharedInfo, RFC 5753 §7.2."""

    _fields: ClassVar = [
        ("key_info", AlgorithmIdentifier),
        ("entity_u_info", core.OctetString, {"explicit": 0, "optional": True}),
        ("supp_pub_info", core.OctetString, {"explicit": 2}),
    ]


class KEMRecipientInfo(core.Sequence):  # type: ignore[misc]
    """RFC 9629 §3."""

    _fields: ClassVar = [
        ("version", core.Integer),
        ("rid", cms.RecipientIdentifier),
        ("kem", AlgorithmIdentifier),
        ("kemct", core.OctetString),
        ("kdf", AlgorithmIdentifier),
        ("kek_length", core.Integer),
        ("ukm", core.OctetString, {"explicit": 0, "optional": True}),
        ("wrap", AlgorithmIdentifier),
        ("encrypted_key", core.OctetString),
    ]


class CMSORIforKEMOtherInfo(core.Sequence):  # type: ignore[misc]
    """RFC 9629 §5."""

    _fields: ClassVar = [
        ("wrap", AlgorithmIdentifier),
        ("kek_length", core.Integer),
        ("ukm", core.OctetString, {"explicit": 0, "optional": True}),
    ]


class OriginatorPublicKey(core.Sequence):  # type: ignore[misc]
    """RFC 5652 §6.2.2.  asn1crypto reads a SubjectPublicKeyInfo here, which asks for a named curve."""

    _fields: ClassVar = [("algorithm", AlgorithmIdentifier), ("public_key", core.OctetBitString)]


class OriginatorIdentifierOrKey(core.Choice):  # type: ignore[misc]
    _alternatives: ClassVar = [
        ("issuer_and_serial_number", cms.IssuerAndSerialNumber),
        ("subject_key_identifier", core.OctetString, {"implicit": 0}),
        ("originator_key", OriginatorPublicKey, {"implicit": 1}),
    ]


class KeyAgreeRecipientInfo(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [
        ("version", cms.CMSVersion),
        ("originator", OriginatorIdentifierOrKey, {"explicit": 0}),
        ("ukm", core.OctetString, {"explicit": 1, "optional": True}),
        ("key_encryption_algorithm", AlgorithmIdentifier),
        ("recipient_encrypted_keys", cms.RecipientEncryptedKeys),
    ]


class RecipientInfo(core.Choice):  # type: ignore[misc]
    _alternatives: ClassVar = [
        ("ktri", cms.KeyTransRecipientInfo),
        ("kari", KeyAgreeRecipientInfo, {"implicit": 1}),
        ("kekri", cms.KEKRecipientInfo, {"implicit": 2}),
        ("ori", cms.OtherRecipientInfo, {"implicit": 4}),
    ]


AES256_WRAP = {"algorithm": "2.16.840.1.101.3.4.1.45"}


def reload(spec: Any, value: Any) -> Any:
    """``value`` read again by a schema declared here."""
    encoded = value.dump()
    parsed = spec.load(encoded, strict=True)
    assert parsed.dump(force=True) == encoded
    return parsed


def is_aes256_wrap(value: Any) -> bool:
    wrap = reload(AlgorithmIdentifier, value)
    return wrap["algorithm"].native == AES256_WRAP["algorithm"] and isinstance(wrap["parameters"], core.Void)


def content_key_p256(info: Any, who: Party, context: bytes) -> bytes:
    agreed = agreement(info, who, context, "1.2.840.10045.2.1", "1.3.132.1.11.1")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), agreed["public"])
    assert len(agreed["public"]) == 65
    secret = who.exchange_key.exchange(ec.ECDH(), point)
    kek = X963KDF(algorithm=hashes.SHA256(), length=32, sharedinfo=agreed["shared_info"]).derive(secret)
    return aes_key_unwrap(kek, agreed["wrapped"])


def content_key_ed25519(info: Any, who: Party, context: bytes) -> bytes:
    agreed = agreement(info, who, context, "1.3.101.110", "1.2.840.113549.1.9.16.3.19")
    secret = who.exchange_key.exchange(x25519.X25519PublicKey.from_public_bytes(agreed["public"]))
    kek = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=agreed["shared_info"]).derive(secret)
    return aes_key_unwrap(kek, agreed["wrapped"])


def agreement(info: Any, who: Party, context: bytes, key_oid: str, kdf_oid: str) -> dict[str, bytes]:
    """What a KeyAgreeRecipientInfo holds, with ECC-CMS-SharedInfo built from it (RFC 5753 §7.2, RFC 8418 §2)."""
    assert info.name == "kari"
    chosen = info.chosen
    assert chosen["version"].native == "v3"
    assert chosen["originator"].name == "originator_key"
    originator = chosen["originator"].chosen
    assert originator["algorithm"]["algorithm"].native == key_oid
    assert isinstance(originator["algorithm"]["parameters"], core.Void)
    assert chosen["ukm"].native == (context or None)
    algorithm = chosen["key_encryption_algorithm"]
    assert algorithm["algorithm"].native == kdf_oid
    assert is_aes256_wrap(algorithm["parameters"])
    (recipient,) = chosen["recipient_encrypted_keys"]
    assert recipient["rid"].name == "r_key_id"
    assert recipient["rid"].chosen[0].native == key_identifier(who.exchange_key)
    values: dict[str, Any] = {"key_info": AES256_WRAP, "supp_pub_info": (256).to_bytes(4, "big")}
    if chosen["ukm"].native is not None:
        values["entity_u_info"] = chosen["ukm"].native
    return {
        "public": originator["public_key"].native,  # an OctetBitString has no unused bits
        "wrapped": recipient["encrypted_key"].native,
        "shared_info": SharedInfo(values).dump(),
    }


def content_key_rsa3072(info: Any, who: Party, context: bytes) -> bytes:
    assert info.name == "ktri"
    chosen = info.chosen
    assert chosen["version"].native == "v2"
    assert chosen["rid"].name == "subject_key_identifier"
    assert chosen["rid"].native == key_identifier(who.exchange_key)
    assert chosen["key_encryption_algorithm"]["algorithm"].native == "rsaes_oaep"
    parameters = chosen["key_encryption_algorithm"]["parameters"]
    assert parameters["hash_algorithm"]["algorithm"].native == "sha256"
    assert parameters["mask_gen_algorithm"]["algorithm"].native == "mgf1"
    assert parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native == "sha256"
    assert parameters["p_source_algorithm"]["algorithm"].native == "p_specified"
    label = parameters["p_source_algorithm"]["parameters"].native
    assert label == context
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)
    key: bytes = who.exchange_key.decrypt(chosen["encrypted_key"].native, oaep)
    return key


def content_key_mldsa65(info: Any, who: Party, context: bytes) -> bytes:
    assert info.name == "ori"
    assert info.chosen["ori_type"].native == "1.2.840.113549.1.9.16.13.3"
    kem = reload(KEMRecipientInfo, info.chosen["ori_value"])
    assert kem["version"].native == 0
    assert kem["rid"].name == "subject_key_identifier"
    assert kem["rid"].native == key_identifier(who.exchange_key)
    assert kem["kem"]["algorithm"].native == "2.16.840.1.101.3.4.4.2"
    assert kem["kdf"]["algorithm"].native == "1.2.840.113549.1.9.16.3.28"
    assert isinstance(kem["kem"]["parameters"], core.Void)
    assert isinstance(kem["kdf"]["parameters"], core.Void)
    assert kem["kek_length"].native == 32
    assert kem["ukm"].native == (context or None)
    assert is_aes256_wrap(kem["wrap"])
    assert len(kem["kemct"].native) == 1088
    values: dict[str, Any] = {"wrap": AES256_WRAP, "kek_length": kem["kek_length"].native}
    if kem["ukm"].native is not None:
        values["ukm"] = kem["ukm"].native
    secret = who.exchange_key.decapsulate(kem["kemct"].native)
    other_info = CMSORIforKEMOtherInfo(values).dump()
    kek = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=other_info).derive(secret)
    return aes_key_unwrap(kek, kem["encrypted_key"].native)


def content_key_secret(info: Any, who: Party, context: bytes) -> bytes:
    assert info.name == "kekri"
    chosen = info.chosen
    assert chosen["version"].native == "v4"
    assert chosen["kekid"]["key_identifier"].native == b"EK-1"
    assert isinstance(chosen["kekid"]["date"], core.Void)
    assert isinstance(chosen["kekid"]["other"], core.Void)
    assert is_aes256_wrap(chosen["key_encryption_algorithm"])
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"setproto/2 KEK" + context)
    return aes_key_unwrap(hkdf.derive(bytes(range(32))), chosen["encrypted_key"].native)


CONTENT_KEY = {
    "p256": content_key_p256,
    "rsa3072": content_key_rsa3072,
    "ed25519": content_key_ed25519,
    "mldsa65": content_key_mldsa65,
    "secret": content_key_secret,
}


@pytest.mark.parametrize("context", [b"", CONTEXT], ids=["no context", "context"])
@pytest.mark.parametrize("name", CONTENT_KEY)
def test_a_sealed_object_opens_by_hand(name: str, context: bytes) -> None:
    who = party("p256" if name == "secret" else name)
    recipient = SECRET if name == "secret" else who.recipient
    data = seal(CONTENT, recipient, context=context)
    # asn1crypto's own types first; its KeyAgreeRecipientInfo and KeyEncryptionAlgorithm are replaced where they
    # would add or ask for parameters that CMS leaves out.
    parsed = cms.ContentInfo.load(data, strict=True)
    assert parsed["content_type"].native == "authenticated_enveloped_data"
    enveloped = parsed["content"]
    assert enveloped["version"].native == "v0"
    for absent in ("originator_info", "auth_attrs", "unauth_attrs"):
        assert isinstance(enveloped[absent], core.Void)
    encrypted = enveloped["auth_encrypted_content_info"]
    assert encrypted["content_type"].native == "data"
    algorithm = reload(AlgorithmIdentifier, encrypted["content_encryption_algorithm"])
    assert algorithm["algorithm"].native == "2.16.840.1.101.3.4.1.46"
    parameters = reload(GCMParameters, algorithm["parameters"])
    assert parameters["aes_icv_len"].native == 16
    assert len(parameters["aes_nonce"].native) == 12
    assert len(enveloped["mac"].native) == 16
    assert len(encrypted["encrypted_content"].native) == len(CONTENT)

    infos = enveloped["recipient_infos"].dump()
    encoded = core.SetOf.load(infos, spec=core.Any, strict=True)
    assert len(encoded) == 1
    info = RecipientInfo.load(encoded[0].dump(), strict=True)
    assert info.dump(force=True) == encoded[0].dump()
    key = CONTENT_KEY[name](info, who, context)
    sealed = encrypted["encrypted_content"].native + enveloped["mac"].native
    assert AESGCM(key).decrypt(parameters["aes_nonce"].native, sealed, None) == CONTENT
    assert reencoded(enveloped, algorithm, info) == data


def reencoded(enveloped: Any, algorithm: Any, info: Any) -> bytes:
    """The whole object again, from nothing but the parsed values."""

    class Encrypted(core.Sequence):  # type: ignore[misc]
        _fields: ClassVar = [
            ("content_type", core.ObjectIdentifier),
            ("algorithm", AlgorithmIdentifier),
            ("encrypted_content", core.OctetString, {"implicit": 0}),
        ]

    class Infos(core.SetOf):  # type: ignore[misc]
        _child_spec = RecipientInfo

    class Enveloped(core.Sequence):  # type: ignore[misc]
        _fields: ClassVar = [
            ("version", core.Integer),
            ("recipient_infos", Infos),
            ("encrypted", Encrypted),
            ("mac", core.OctetString),
        ]

    class Outer(core.Sequence):  # type: ignore[misc]
        _fields: ClassVar = [("content_type", core.ObjectIdentifier), ("content", Enveloped, {"explicit": 0})]

    encrypted = enveloped["auth_encrypted_content_info"]
    encoded: bytes = Outer(
        {
            "content_type": "1.2.840.113549.1.9.16.1.23",
            "content": {
                "version": 0,
                "recipient_infos": Infos([info]),
                "encrypted": {
                    "content_type": encrypted["content_type"].dotted,
                    "algorithm": algorithm,
                    "encrypted_content": encrypted["encrypted_content"].native,
                },
                "mac": enveloped["mac"].native,
            },
        }
    ).dump(force=True)
    return encoded
