"""Area signed: SignedData objects (README section 1, Signed objects), one file a suite."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography import x509

from pki import subject_key_identifier, thumbprint
from pki.der import encode, tlv
from setproto.crypto.signed import ID_BRAND_CRL_IDENTIFIER
from setproto.crypto.suites import SHA256, SHA512, suite
from setproto.messages.oids import ID_PINIT_RES_DATA, ID_PRES_DATA
from vectors.recipes.common import BRAND, File, Made, Random, note
from vectors.recipes.drafts import bci_of, crl_of
from vectors.recipes.keys import CAS, SUITES, World, world

TYPE: Final = "1.2.840.113549.1.9.3"
DIGEST: Final = "1.2.840.113549.1.9.4"
TIME: Final = "1.2.840.113549.1.9.5"
CAPABILITIES: Final = "1.2.840.113549.1.9.15"
CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
PROTECTION: Final = "1.2.840.113549.1.9.52"
SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
KIND: Final = "merchant signature"

NOTES: Final = {
    "Attribute": note(
        "AUTH_BYPASS",
        "A signed attribute is wrong, missing, doubled or unknown, and the signature over the attributes is good.",
        "Content, type, algorithm or certificate are not what was signed.",
        "RFC 5652 section 5.4",
        "RFC 5035 section 5.4",
        "RFC 6211 section 3",
    ),
    "Encoding": note(
        "BER_ENCODING", "The object is not in DER, or not of the profile.", "Two readers see two objects.", "X.690"
    ),
    "SignerIdentifier": note(
        "AUTH_BYPASS",
        "The certificate that the signer identifier names is not the one that verifies, or there is none.",
        "A signature is taken for that of somebody else.",
        "RFC 5652 section 5.3",
    ),
    "ModifiedSignature": note("MODIFIED_SIGNATURE", "Signature or content were changed.", "Forgery."),
    "WrongAlgorithm": note(
        "DOWNGRADE", "An algorithm is not that of the suite.", "Somebody chooses the algorithms for the verifier."
    ),
    "Trust": note("TRUST", "The signer's certificate is not to be trusted for this.", "An impostor is believed."),
    "Revocation": note(
        "TRUST", "Revocation data that is enclosed is not what it says.", "Revocation is evaded or forged."
    ),
}


def oid(dotted: str) -> bytes:
    """The DER of an object identifier."""
    return encode(x509.ObjectIdentifier(dotted))


def attribute(dotted: str, *values: bytes) -> bytes:
    """An Attribute."""
    return tlv(0x30, oid(dotted), tlv(0x31, *values))


def digest_of(name: str, content: bytes) -> bytes:
    """The digest of the suite in CMS."""
    return hashlib.new("sha256" if name in ("p256", "rsa3072") else "sha512", content).digest()


def attributes_of(
    of: World, content: bytes, content_type: str, signer: bytes, enclosed: Iterable[bytes], algorithm: bytes
) -> dict[str, bytes]:
    """The values of the four attributes, by type."""
    others = [certificate for certificate in sorted(enclosed) if certificate != signer]
    hashes = (hashlib.sha256(certificate).digest() for certificate in (signer, *others))
    chosen = suite(of.suite)
    return {
        TYPE: oid(content_type),
        DIGEST: tlv(0x04, digest_of(of.suite, content)),
        PROTECTION: tlv(0x30, chosen.digest_algorithm, b"\xa1" + algorithm[1:]),
        CERTIFICATE_V2: tlv(0x30, tlv(0x30, *(tlv(0x30, tlv(0x04, value)) for value in hashes))),
    }


def signed_object(
    of: World,
    content: bytes,
    *,
    content_type: str,
    by: str = "merchant",
    key: Any = None,
    enclosed: Sequence[bytes] | None = None,
    bound: Sequence[bytes] | None = None,
    change: Mapping[str, bytes | None] | None = None,
    extra: Sequence[bytes] = (),
    shuffled: bool = False,
    signed_as: int = 0x31,
    outer: str = SIGNED_DATA,
    inner_type: str | None = None,
    version: int = 3,
    version_tag: int = 0x02,
    signer_version: int = 3,
    beside: bytes = b"",
    sid: bytes | None = None,
    digest_algorithm: bytes | None = None,
    set_algorithm: bytes | None = None,
    algorithm: bytes | None = None,
    certificates: bytes | None = None,
    crls: bytes = b"",
    attributes_tag: int = 0xA0,
    unsigned: bytes = b"",
    signers: int = 1,
    detached: bool = False,
    spoil: Callable[[bytes], bytes] = bytes,
) -> tuple[bytes, dict[str, str]]:
    """A SignedData, any part of which can be replaced, and the values on the way to it.

    ``change``: attribute type → value, None to leave it out; ``extra``: whole attributes; ``bound``: the certificates
    that signingCertificateV2 names instead of the enclosed ones; ``beside``: after the content; ``spoil`` is applied to
    the signature.
    """
    chosen, certificate = of.signing, of.certificate(by)
    written = algorithm or chosen.signature_algorithms[0]
    enclosed = sorted([certificate] if enclosed is None else enclosed)
    values: dict[str, bytes | None] = {
        **attributes_of(of, content, content_type, certificate, bound or enclosed, written),
        **(change or {}),
    }
    listed = sorted([*(attribute(name, value) for name, value in values.items() if value is not None), *extra])
    attributes = b"".join(reversed(listed) if shuffled else listed)
    signature = spoil(chosen.sign(key or of.pairs[by].key, tlv(signed_as, attributes)))
    info = tlv(
        0x30,
        bytes((2, 1, signer_version)),
        tlv(0x80, subject_key_identifier(certificate)) if sid is None else sid,
        digest_algorithm or chosen.digest_algorithm,
        tlv(attributes_tag, attributes),
        written,
        tlv(0x04, signature),
        unsigned,
    )
    data = tlv(
        0x30,
        bytes((version_tag, 1, version)),
        tlv(0x31, set_algorithm or digest_algorithm or chosen.digest_algorithm),
        tlv(0x30, oid(inner_type or content_type), b"" if detached else tlv(0xA0, tlv(0x04, content), beside)),
        tlv(0xA0, *enclosed) if certificates is None else certificates,
        crls,
        tlv(0x31, info * signers),
    )
    values_on_the_way = {
        "message_digest": digest_of(of.suite, content).hex(),
        "signed_attributes": tlv(0x31, attributes).hex(),
        "signature": signature.hex(),
    }
    return tlv(0x30, oid(outer), tlv(0xA0, data)), values_on_the_way


def revocation(*crls: bytes, bci: bytes | None = None, format: bytes | None = None) -> bytes:
    """The ``crls`` field."""
    other = () if bci is None else (tlv(0xA1, format or encode(ID_BRAND_CRL_IDENTIFIER), bci),)
    return tlv(0xA1, *sorted((*crls, *other)))


def build() -> Iterable[File]:
    """One file a suite."""
    return [_file(name) for name in SUITES]


def _file(name: str) -> File:
    of = world(name)
    file = File(
        "signed",
        name,
        ["Signed objects (CMS SignedData) in the suite " + name, "Signer: a merchant, if nothing else is said"],
        NOTES,
    )
    trusting = file.group("cms.verify", trust=of.trust())
    learning = file.group("cms.verify", trust=of.trust(crls=False))
    wanted, other = ID_PINIT_RES_DATA.dotted_string, ID_PRES_DATA.dotted_string
    own = of.certificate("merchant")
    spare = of.certificate("merchantExchange")
    chain = [of.certificate(ca) for ca in CAS[1:]]

    def given(signed: bytes) -> dict[str, Any]:
        return {"suite": name, "content_type": wanted, "signed": signed.hex(), "kind": KIND, "brand": BRAND}

    def made(random: Random, content: bytes | None = None, **how: Any) -> Made:
        content = random("content", 40) if content is None else content
        signed, steps = signed_object(of, content, content_type=wanted, **how)
        more = {"content": content.hex()} if how.get("detached") else {}
        return Made(
            {**given(signed), **more}, {"content": content.hex(), "signer_thumbprint": thumbprint(own).hex()}, steps
        )

    def good(label: str, comment: str, group: Any = trusting, **how: Any) -> Any:
        return group.add(label, comment, lambda random: made(random, **how), covers=["PX-10", "PU-3"])

    plain = good("plain", "One certificate, content enclosed")
    good("empty-content", "Content of no octets", content=b"")
    good("long-content", "Lengths of several octets", content=bytes(range(256)) * (257 if name == "p256" else 2))
    detached = good("detached", "The content is given, not enclosed", detached=True)
    several = good("chain-enclosed", "The CA certificates are enclosed too", enclosed=[own, *chain, spare])
    good("signing-time", "Another program's attribute", extra=[attribute(TIME, tlv(0x17, b"260115115900Z"))])
    good("smime-capabilities", "Another program's attribute", extra=[attribute(CAPABILITIES, tlv(0x30))])
    good("two-attributes", "contentType and messageDigest alone", change={PROTECTION: None, CERTIFICATE_V2: None})
    good("no-algorithm-protection", "CMSAlgorithmProtection left out", change={PROTECTION: None})
    good("no-signing-certificate", "signingCertificateV2 left out", change={CERTIFICATE_V2: None})
    informed = good(
        "revocation-enclosed",
        "All revocation data comes with the object, whose version is 5",
        learning,
        version=5,
        crls=revocation(*of.crls, bci=of.bci),
    )
    good("crl-enclosed", "One CRL that is known already, and version 3", crls=revocation(of.crls[0]))
    if name == "rsa3072":
        good(
            "pss-without-null",
            "The other spelling of RSASSA-PSS (RFC 4055 section 2.1)",
            algorithm=suite(name).signature_algorithms[1],
        )

    def bad(
        label: str,
        comment: str,
        reason: str = "signatureFailure",
        flag: str = "Attribute",
        sibling: Any = plain,
        group: Any = trusting,
        covers: Sequence[str] = ("PX-10",),
        alternatives: Sequence[str] = (),
        **how: Any,
    ) -> None:
        def change(random: Random, parent: Made) -> Mapping[str, Any]:
            content = bytes.fromhex(parent.outputs["content"])
            return {"signed": signed_object(of, content, content_type=wanted, **how)[0].hex()}

        group.deviate(
            sibling,
            label,
            label,
            reason,
            change,
            comment=comment,
            covers=covers,
            flags=[flag],
            alternatives=alternatives,
        )

    def altered(
        label: str,
        comment: str,
        reason: str,
        flag: str,
        change: Any,
        sibling: Any = plain,
        group: Any = trusting,
        **more: Any,
    ) -> None:
        group.deviate(
            sibling,
            label,
            label,
            reason,
            lambda random, parent: change(parent.input),
            comment=comment,
            covers=["PX-10"],
            flags=[flag],
            **more,
        )

    def octets(change: Callable[[bytes], bytes]) -> Callable[[Mapping[str, Any]], dict[str, str]]:
        return lambda given: {"signed": change(bytes.fromhex(given["signed"])).hex()}

    # Attributes: the signature over them is good each time.
    bad("content-type-attribute-differs", "contentType is of another message", change={TYPE: oid(other)})
    bad(
        "message-digest-differs",
        "messageDigest of other content",
        change={DIGEST: tlv(0x04, digest_of(name, b"other"))},
    )
    bad("no-content-type-attribute", "contentType is mandatory", change={TYPE: None})
    bad("no-message-digest", "messageDigest is mandatory: the content would not be signed", change={DIGEST: None})
    swapped = suite("ed25519" if name != "ed25519" else "p256")
    lying = tlv(0x30, swapped.digest_algorithm, b"\xa1" + swapped.signature_algorithms[0][1:])
    bad("algorithm-protection-differs", "CMSAlgorithmProtection names other algorithms", change={PROTECTION: lying})
    bad("signing-certificate-differs", "signingCertificateV2 names another certificate", bound=[spare])
    bad(
        "certificate-not-bound",
        "A certificate is enclosed that signingCertificateV2 does not name",
        enclosed=[own, spare],
        bound=[own],
    )
    bad(
        "bound-certificate-missing",
        "signingCertificateV2 names a certificate that is not enclosed",
        sibling=several,
        enclosed=[own, *chain],
        bound=[own, *chain, spare],
    )
    bad("unknown-attribute", "An attribute that nobody here knows", extra=[attribute("2.25.99", b"\x05\x00")])
    bad(
        "attribute-twice",
        "signingTime occurs twice",
        extra=[attribute(TIME, tlv(0x17, b"260115115900Z")), attribute(TIME, tlv(0x17, b"260115115901Z"))],
    )
    bad(
        "attribute-of-two-values",
        "signingTime has two values",
        extra=[attribute(TIME, tlv(0x17, b"260115115900Z"), tlv(0x17, b"260115115901Z"))],
    )
    bad("attributes-not-sorted", "The SET OF is signed in another order than DER's", flag="Encoding", shuffled=True)
    bad("signed-with-context-tag", "The attributes are signed as they stand, tag a0", signed_as=0xA0)
    # The signature and the signer.
    bad(
        "signature-flipped",
        "One bit of the signature",
        flag="ModifiedSignature",
        spoil=lambda signature: signature[:-1] + bytes((signature[-1] ^ 1,)),
    )
    bad(
        "signature-truncated",
        "The last octet of the signature is missing",
        flag="ModifiedSignature",
        spoil=lambda signature: signature[:-1],
    )
    bad("signature-empty", "No octet of signature", flag="ModifiedSignature", spoil=lambda signature: b"")
    bad("stranger-signed", "Another key than the certificate's", flag="ModifiedSignature", key=of.loose["stranger"])
    bad(
        "sid-unknown",
        "The signer identifier names no certificate that is enclosed",
        "missingCertificate",
        "SignerIdentifier",
        sid=tlv(0x80, bytes(20)),
    )
    bad(
        "sid-names-another",
        "The signer identifier names another certificate, of another kind",
        "invalidCertificate",
        "SignerIdentifier",
        sibling=several,
        enclosed=[own, *chain, spare],
        sid=tlv(0x80, subject_key_identifier(spare)),
    )
    bad(
        "sid-issuer-and-serial",
        "IssuerAndSerialNumber instead of a key identifier",
        "decodingFailure",
        "SignerIdentifier",
        sid=tlv(0x30, of.tree.mca.checked.subject, b"\x02\x01\x01"),
    )
    bad(
        "certificate-not-enclosed",
        "Only a CA's certificate is enclosed",
        "missingCertificate",
        "SignerIdentifier",
        enclosed=[chain[0]],
        bound=[own],
    )
    # Algorithms.
    wrong = SHA512 if suite(name).digest_algorithm == SHA256 else SHA256
    bad(
        "digest-algorithm-differs",
        "The SignerInfo names another hash",
        flag="WrongAlgorithm",
        digest_algorithm=wrong,
        set_algorithm=suite(name).digest_algorithm,
    )
    bad(
        "digest-algorithms-differ",
        "The set of digest algorithms names another hash",
        flag="WrongAlgorithm",
        set_algorithm=wrong,
    )
    bad(
        "signature-algorithm-differs",
        "The signature algorithm of another suite",
        flag="WrongAlgorithm",
        algorithm=swapped.signature_algorithms[0],
    )
    # The form.
    bad("version-1", "SignedData of version 1", "decodingFailure", "Encoding", version=1)
    bad(
        "version-5-without-bci",
        "Version 5 says that there is a BrandCRLIdentifier",
        "decodingFailure",
        "Encoding",
        version=5,
    )
    bad("version-enumerated", "The version is an ENUMERATED", "decodingFailure", "Encoding", version_tag=0x0A)
    bad(
        "two-digest-algorithms",
        "The set of digest algorithms names a second one",
        "decodingFailure",
        "Encoding",
        set_algorithm=b"".join(sorted((SHA256, SHA512))),
    )
    bad("two-contents", "A second OCTET STRING after the content", "decodingFailure", "Encoding", beside=b"\x04\x00")
    bad(
        "certificates-beside-content",
        "The certificates follow the content where only the content belongs",
        "decodingFailure",
        "Encoding",
        beside=tlv(0xA0, own),
        certificates=b"",
    )
    bad("signer-version-1", "SignerInfo of version 1", "decodingFailure", "Encoding", signer_version=1)
    bad("two-signers", "Two SignerInfos", "decodingFailure", "Encoding", signers=2)
    bad("no-signer", "No SignerInfo", "decodingFailure", "Encoding", signers=0)
    bad("no-certificates", "The optional certificates are left out", "decodingFailure", "Encoding", certificates=b"")
    bad("outer-type-differs", "ContentInfo says id-data", "decodingFailure", "Encoding", outer="1.2.840.113549.1.7.1")
    bad(
        "unsigned-attributes",
        "There are unsigned attributes",
        "decodingFailure",
        "Encoding",
        unsigned=tlv(0xA1, attribute(TIME, tlv(0x17, b"260115115900Z"))),
    )
    bad(
        "inner-type-differs",
        "eContentType is another than the attribute says and than was asked for",
        flag="Attribute",
        inner_type=other,
    )
    altered(
        "other-type-asked-for",
        "The verifier expects another message",
        "signatureFailure",
        "Attribute",
        lambda given: {"content_type": other},
    )
    altered(
        "content-flipped",
        "One bit of the enclosed content",
        "signatureFailure",
        "ModifiedSignature",
        lambda given: {"signed": _flip_content(of, given["signed"])},
    )
    altered("trailing-octet", "An octet after the object", "decodingFailure", "Encoding", octets(lambda o: o + b"\0"))
    altered("truncated", "The last octet is missing", "decodingFailure", "Encoding", octets(lambda o: o[:-1]))
    altered(
        "long-form-length",
        "A length in one octet more than it needs",
        "decodingFailure",
        "Encoding",
        octets(lambda o: o[:1] + bytes((o[1] + 1, 0)) + o[2:]),
    )
    altered(
        "indefinite-length",
        "The outer length is indefinite (BER)",
        "decodingFailure",
        "Encoding",
        octets(lambda o: b"\x30\x80" + o[2 + (o[1] & 0x7F) :] + b"\0\0"),
    )
    altered(
        "detached-without-content",
        "The content is detached and not given",
        "signatureFailure",
        "Encoding",
        lambda given: {"content": None},
        detached,
    )
    altered(
        "detached-other-content",
        "Other content is given than was signed",
        "signatureFailure",
        "ModifiedSignature",
        lambda given: {"content": "00" + given["content"]},
        detached,
    )
    altered(
        "content-given-twice",
        "Content is enclosed, and given too",
        "signatureFailure",
        "Encoding",
        lambda given: {"content": "00"},
    )
    # Trust.
    altered(
        "other-kind",
        "A merchant's certificate where a gateway's is needed",
        "invalidCertificate",
        "Trust",
        lambda given: {"kind": "gateway signature"},
    )
    altered(
        "other-brand",
        "The transaction is of another brand",
        "invalidCertificate",
        "Trust",
        lambda given: {"brand": "Marquee"},
    )
    altered(
        "issuers-unknown",
        "The CA certificates are neither known nor enclosed",
        "missingCertificate",
        "Trust",
        lambda given: {"trust": {"certificates": [], "crls": [], "bcis": []}},
    )
    bad(
        "exchange-certificate",
        "Signed with a key-exchange certificate as the signer's",
        "invalidCertificate",
        "Trust",
        enclosed=[spare],
        bound=[own],
        sid=tlv(0x80, subject_key_identifier(spare)),
    )
    # Enclosed revocation data.
    everything = revocation(*of.crls, bci=of.bci)
    bad(
        "bci-withheld",
        "The BrandCRLIdentifier is not enclosed, and not known",
        "missingCertificate",
        "Revocation",
        informed,
        learning,
        ("PX-15",),
        crls=revocation(*of.crls),
    )
    bad(
        "crl-withheld",
        "The merchant CA's CRL is not enclosed, and not known",
        "missingCertificate",
        "Revocation",
        informed,
        learning,
        ("PX-15",),
        version=5,
        crls=revocation(*(crl for crl in of.crls if crl != of.crls[4]), bci=of.bci),
    )
    forged = of.crls[4][:-7] + bytes((of.crls[4][-7] ^ 1,)) + of.crls[4][-6:]
    bad(
        "crl-forged",
        "The signature of an enclosed CRL does not hold",
        "invalidCertificate",
        "Revocation",
        informed,
        learning,
        ("PX-15",),
        version=5,
        crls=revocation(*(crl if crl != of.crls[4] else forged for crl in of.crls), bci=of.bci),
    )
    bad(
        "bci-with-version-3",
        "A BrandCRLIdentifier makes the version 5",
        "decodingFailure",
        "Encoding",
        informed,
        learning,
        crls=everything,
    )
    bad(
        "other-revocation-format",
        "Revocation data of a format that nobody knows",
        "decodingFailure",
        "Revocation",
        informed,
        learning,
        version=5,
        crls=revocation(*of.crls, bci=of.bci, format=oid("2.25.99")),
    )
    if name == "p256":
        _forms(of, bad, informed, learning)
    return file


def _forms(of: World, bad: Callable[..., None], informed: Any, learning: Any) -> None:
    """What the form rules out in any suite, each time signed as it stands."""
    own, spare = of.certificate("merchant"), of.certificate("merchantExchange")
    decoding = "decodingFailure"
    other = b"\xa2" + spare[1:]  # [2] AttributeCertificateV2, which no reader here knows
    bad(
        "other-certificate-format",
        "Another kind of certificate is enclosed",
        decoding,
        "Encoding",
        certificates=tlv(0xA0, own, other),
        bound=[own, spare],
    )
    bad("certificates-tag", "The certificates under the tag [2]", decoding, "Encoding", certificates=tlv(0xA2, own))
    bad("attributes-tag", "The signed attributes under the tag [2]", decoding, "Encoding", attributes_tag=0xA2)
    bad("crls-empty", "The field for revocation data is there, and empty", decoding, "Encoding", crls=tlv(0xA1))
    many = [crl_of(of, "merchantCA", number=number) for number in range(2, 67)]
    bad("crls-65", "65 CRLs", decoding, "Revocation", crls=revocation(*many))
    lists = [tlv(0xA1, encode(ID_BRAND_CRL_IDENTIFIER), bci) for bci in (of.bci, bci_of(of, of.crls))]
    for label, comment, listed in (
        ("two-brand-lists", "Two BrandCRLIdentifiers", lists),
        ("other-revocation-tag", "A BrandCRLIdentifier under the tag [2]", [b"\xa2" + lists[0][1:]]),
    ):
        crls = tlv(0xA1, *sorted((*of.crls, *listed)))
        bad(label, comment, decoding, "Revocation", informed, learning, version=5, crls=crls)


def _flip_content(of: World, signed: str) -> str:
    """The object with one bit of its content changed: the content begins after the content type in the object."""
    data = bytearray(bytes.fromhex(signed))
    mark = tlv(0x06, oid(ID_PINIT_RES_DATA.dotted_string)[2:]) + b"\xa0"
    data[data.index(mark) + len(mark) + 5] ^= 1
    return data.hex()
