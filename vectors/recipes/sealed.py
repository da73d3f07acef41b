"""Area sealed: AuthEnvelopedData objects (README section 1, Sealed objects), one file a suite.

Ephemeral keys, content keys and nonces come from the case's random octets, so that the objects of p256 and ed25519 come
out the same each time; OAEP seeds and ML-KEM encapsulations cannot be handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from pki import subject_key_identifier
from pki.der import tlv
from vectors.recipes.common import Case, File, Made, Random, note
from vectors.recipes.keys import SUITES, World, world
from vectors.recipes.signed import oid

ENVELOPED: Final = "1.2.840.113549.1.9.16.1.23"
DATA: Final = "1.2.840.113549.1.7.1"
GCM: Final = "2.16.840.1.101.3.4.1.46"
GCM_128: Final = "2.16.840.1.101.3.4.1.6"
WRAP: Final = bytes.fromhex("300b060960864801650304012d")
WRAP_128: Final = bytes.fromhex("300b0609608648016503040105")
BITS: Final = tlv(0xA2, tlv(0x04, bytes((0, 0, 1, 0))))
ORDER_P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

NOTES: Final = {
    "Oracle": note(
        "DECRYPTION_ORACLE",
        "An object that does not open, each time for another cause; the reason is always the same.",
        "Whoever can tell the causes apart decrypts with the recipient's help.",
        "RFC 3218 section 2.3",
        "CVE-2026-69247",
    ),
    "Context": note(
        "BINDING",
        "The object is opened in another context than it was made for.",
        "A sealed object is moved to another transaction, party or type.",
    ),
    "InvalidKey": note(
        "INVALID_CURVE", "The ephemeral public key or the ciphertext is none.", "The private key leaks.", "RFC 7748"
    ),
    "Tag": note("AUTH_BYPASS", "The content was changed, or its tag is shorter.", "Malleability."),
    "Encoding": note("BER_ENCODING", "Not DER, or not of the profile.", "Two readers see two objects."),
    "WrongAlgorithm": note("DOWNGRADE", "Another algorithm than the suite's.", "Weaker or unexpected cryptography."),
}


def _ephemeral(of: World, random: Callable[[str], bytes], recipient: Any) -> tuple[bytes, bytes]:
    """An ephemeral public key and the shared secret."""
    if of.suite == "p256":
        key = ec.derive_private_key(int.from_bytes(random("ephemeral"), "big") % (ORDER_P256 - 1) + 1, ec.SECP256R1())
        point = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return key.public_key().public_bytes(*point), key.exchange(ec.ECDH(), recipient)
    secret = x25519.X25519PrivateKey.from_private_bytes(random("ephemeral"))
    return secret.public_key().public_bytes_raw(), secret.exchange(recipient)


def _again(random: Random, count: int, label: str) -> bytes:
    """Other octets for the same label each time."""
    return random(label if count == 0 else f"{label} {count}")


def agreement(
    of: World,
    random: Random,
    recipient: Any,
    content_key: bytes,
    identifier: bytes,
    context: bytes,
    steps: dict[str, str],
    *,
    version_of_info: int = 3,
    shown: bytes | None = None,
    derived: bytes | None = None,
    ephemeral: Callable[[bytes], bytes] = bytes,
    wrap: bytes = WRAP,
    algorithm: bytes | None = None,
    originator: bytes | None = None,
    wrapped: Callable[[bytes], bytes] = bytes,
    bits: bytes = BITS,
    twice: bool = False,
    unused: int = 0,
) -> bytes:
    """KeyAgreeRecipientInfo.  ``unused`` bits of the ephemeral key, which then are zero as DER wants."""
    made = (_ephemeral(of, partial(_again, random, count), recipient) for count in range(99))
    public, secret = next(pair for pair in made if not pair[0][-1] & unused)
    used = context if derived is None else derived
    info = tlv(0x30, WRAP, tlv(0xA0, tlv(0x04, used)) if used else b"", bits)
    if of.suite == "p256":
        kek = X963KDF(algorithm=hashes.SHA256(), length=32, sharedinfo=info).derive(secret)
        scheme, key_algorithm = bytes.fromhex("06062b8104010b01"), bytes.fromhex("300906072a8648ce3d0201")
    else:
        kek = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
        scheme, key_algorithm = bytes.fromhex("060b2a864886f70d0109100313"), bytes.fromhex("300506032b656e")
    steps.update(shared_secret=secret.hex(), kdf_info=info.hex(), kek=kek.hex())
    shown = context if shown is None else shown
    key = tlv(0x30, tlv(0xA0, tlv(0x04, identifier)), tlv(0x04, wrapped(aes_key_wrap(kek, content_key))))
    return tlv(
        0xA1,
        bytes((2, 1, version_of_info)),
        tlv(0xA0, tlv(0xA1, originator or key_algorithm, tlv(0x03, bytes((unused,)), ephemeral(public)))),
        tlv(0xA1, tlv(0x04, shown)) if shown else b"",
        algorithm or tlv(0x30, scheme, wrap),
        tlv(0x30, key * (2 if twice else 1)),
    )


def transport(
    of: World,
    random: Random,
    recipient: Any,
    content_key: bytes,
    identifier: bytes,
    context: bytes,
    steps: dict[str, str],
    *,
    version_of_info: int = 2,
    shown: bytes | None = None,
    derived: bytes | None = None,
    null: bool = True,
    oaep: Any = None,
    algorithm: bytes | None = None,
    wrapped: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """KeyTransRecipientInfo."""
    shown = context if shown is None else shown
    sha256 = bytes.fromhex("300d06096086480165030402010500" if null else "300b0609608648016503040201")
    mgf1 = tlv(0x30, bytes.fromhex("06092a864886f70d010108"), sha256)
    source = tlv(0xA2, tlv(0x30, bytes.fromhex("06092a864886f70d010109"), tlv(0x04, shown))) if shown else b""
    written = tlv(
        0x30,
        bytes.fromhex("06092a864886f70d010107"),
        tlv(0x30, tlv(0xA0, sha256), tlv(0xA1, mgf1), source),
    )
    used = oaep or padding.OAEP(
        padding.MGF1(hashes.SHA256()), hashes.SHA256(), (context if derived is None else derived) or None
    )
    steps["encryption_algorithm"] = written.hex()
    return tlv(
        0x30,
        bytes((2, 1, version_of_info)),
        tlv(0x80, identifier),
        algorithm or written,
        tlv(0x04, wrapped(recipient.encrypt(content_key, used))),
    )


def encapsulation(
    of: World,
    random: Random,
    recipient: Any,
    content_key: bytes,
    identifier: bytes,
    context: bytes,
    steps: dict[str, str],
    *,
    version_of_info: int = 0,
    shown: bytes | None = None,
    derived: bytes | None = None,
    ori: str = "060b2a864886f70d0109100d03",
    kem: str = "300b0609608648016503040402",
    kdf: str = "300d060b2a864886f70d010910031c",
    wrap: bytes = WRAP,
    length: int = 32,
    kemct: Callable[[bytes], bytes] = bytes,
    wrapped: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """OtherRecipientInfo with KEMRecipientInfo."""
    secret, ciphertext = recipient.encapsulate()
    used = context if derived is None else derived
    info = tlv(0x30, WRAP, b"\x02\x01\x20", tlv(0xA0, tlv(0x04, used)) if used else b"")
    kek = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)
    steps.update(shared_secret=secret.hex(), kdf_info=info.hex(), kek=kek.hex())
    shown = context if shown is None else shown
    value = tlv(
        0x30,
        bytes((2, 1, version_of_info)),
        tlv(0x80, identifier),
        bytes.fromhex(kem),
        tlv(0x04, kemct(ciphertext)),
        bytes.fromhex(kdf),
        bytes((2, 1, length)),
        tlv(0xA0, tlv(0x04, shown)) if shown else b"",
        wrap,
        tlv(0x04, wrapped(aes_key_wrap(kek, content_key))),
    )
    return tlv(0xA4, bytes.fromhex(ori), value)


_INFO: Final[dict[str, Callable[..., bytes]]] = {
    "p256": agreement,
    "ed25519": agreement,
    "rsa3072": transport,
    "mldsa65": encapsulation,
}


def sealed_object(
    of: World,
    random: Random,
    content: bytes,
    context: bytes,
    *,
    to: str = "merchantExchange",
    identifier: bytes | None = None,
    outer: str = ENVELOPED,
    inner: str = DATA,
    version: int = 0,
    cipher: str = GCM,
    tag_length: int = 16,
    nonce_size: int = 12,
    key_size: int = 32,
    infos: int = 1,
    associated: bytes | None = None,
    attributes: bytes = b"",
    beside: bytes = b"",
    unauthenticated: bytes = b"",
    encrypted: Callable[[bytes], bytes] = bytes,
    tag: Callable[[bytes], bytes] = bytes,
    **info: Any,
) -> tuple[bytes, dict[str, str]]:
    """A sealed object, any part of which can be replaced, and the values on the way to it."""
    recipient = of.pairs[to].key.public_key()
    named = subject_key_identifier(of.certificate(to)) if identifier is None else identifier
    content_key, nonce = random("content key", key_size), random("nonce", nonce_size)
    steps = {"content_key": content_key.hex(), "nonce": nonce.hex()}
    ciphertext = AESGCM(content_key).encrypt(nonce, content, associated)
    recipient_info = _INFO[of.suite](of, random, recipient, content_key, named, context, steps, **info)
    steps["recipient_info"] = recipient_info.hex()
    enveloped = tlv(
        0x30,
        bytes((2, 1, version)),
        tlv(0x31, recipient_info * infos),
        tlv(
            0x30,
            oid(inner),
            tlv(0x30, oid(cipher), tlv(0x30, tlv(0x04, nonce), bytes((2, 1, tag_length)))),
            tlv(0x80, encrypted(ciphertext[:-16])),
            beside,
        ),
        attributes,
        tlv(0x04, tag(ciphertext[-16:])),
        unauthenticated,
    )
    return tlv(0x30, oid(outer), tlv(0xA0, enveloped)), steps


def flip(place: int) -> Callable[[bytes], bytes]:
    """Change one bit of the octet at this place."""

    def change(octets: bytes) -> bytes:
        changed = bytearray(octets)
        changed[place] ^= 1
        return bytes(changed)

    return change


def build() -> Iterable[File]:
    """One file a suite."""
    return [_file(name) for name in SUITES]


def _file(name: str) -> File:
    of = world(name)
    file = File(
        "sealed", name, [f"Sealed objects (CMS AuthEnvelopedData) in the suite {name}", "Every refusal is alike"], NOTES
    )
    group = file.group("cms.open", keys=of.pairs["merchantExchange"].keys())

    def good(label: str, comment: str, content: bytes | None = None, context: bytes | None = None, **how: Any) -> Case:
        def make(random: Random) -> Made:
            inside = random("content", 48) if content is None else content
            around = random("context", 60) if context is None else context
            sealed, steps = sealed_object(of, random, inside, around, **how)
            return Made(
                {"suite": name, "sealed": sealed.hex(), "context": around.hex()}, {"content": inside.hex()}, steps
            )

        return group.add(label, comment, make, covers=["PX-2", "PX-4"])

    plain = good("plain", "Some content in some context")
    good("empty-content", "Content of no octets", b"")
    bare = good("empty-context", "An empty context is an absent one", context=b"")
    good("long-content", "Lengths of two octets and more", bytes(range(256)) * 5)
    good("long-context", "A context of 600 octets", context=bytes(600))
    if name == "rsa3072":
        good("oaep-without-null", "The other spelling of the hash (RFC 4055 section 2.1)", null=False)

    def bad(label: str, comment: str, flag: str = "Oracle", sibling: Case = plain, **how: Any) -> None:
        def change(random: Random, parent: Made) -> Made:
            content, context = bytes.fromhex(parent.outputs["content"]), bytes.fromhex(parent.input["context"])
            sealed, _ = sealed_object(of, random, content, context, **how)
            return Made({**parent.input, "sealed": sealed.hex()}, must_not_release=[content.hex()] if content else [])

        group.deviate(
            sibling, label, label, "decryptionFailure", change, comment=comment, covers=["PX-2"], flags=[flag]
        )

    def altered(
        label: str,
        comment: str,
        flag: str,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        sibling: Case = plain,
    ) -> None:
        group.deviate(
            sibling,
            label,
            label,
            "decryptionFailure",
            lambda random, parent: Made(
                {**parent.input, **change(parent.input)}, must_not_release=[parent.outputs["content"]]
            ),
            comment=comment,
            covers=["PX-2"],
            flags=[flag],
        )

    def octets(change: Callable[[bytes], bytes]) -> Callable[[Mapping[str, Any]], dict[str, str]]:
        return lambda given: {"sealed": change(bytes.fromhex(given["sealed"])).hex()}

    altered(
        "other-context",
        "One bit of the opener's context",
        "Context",
        lambda given: {"context": flip(7)(bytes.fromhex(given["context"])).hex()},
    )
    altered("context-missing", "The opener has no context", "Context", lambda given: {"context": ""})
    altered(
        "context-expected",
        "The object has no context, the opener has",
        "Context",
        lambda given: {"context": "00"},
        bare,
    )
    bad(
        "context-shown-only",
        "The object shows the right context, and its key is derived with another",
        "Context",
        derived=b"another context",
    )
    bad(
        "context-rewritten",
        "Derived with the right context, but the object shows another",
        "Context",
        shown=b"another context",
    )
    bad("context-hidden", "Derived with the right context, but the object shows none", "Context", shown=b"")
    bad("other-recipient", "Sealed to another key, and says so", to="gatewayExchange")
    bad("identifier-of-another", "Sealed to this key, in the name of another", identifier=bytes(20))
    bad(
        "key-of-another",
        "Sealed to another key, in the name of this one",
        to="gatewayExchange",
        identifier=subject_key_identifier(of.certificate("merchantExchange")),
    )
    bad("ciphertext-flipped", "One bit of the ciphertext", "Tag", encrypted=flip(3))
    bad("ciphertext-truncated", "The last octet of the ciphertext is missing", "Tag", encrypted=lambda c: c[:-1])
    bad("tag-flipped", "One bit of the tag", "Tag", tag=flip(15))
    bad(
        "tag-truncated", "A tag of 12 octets, which its parameters announce", "Tag", tag=lambda t: t[:12], tag_length=12
    )
    bad("tag-length-differs", "The parameters say 12 octets, the tag has 16", "Tag", tag_length=12)
    moved: list[bytes] = []

    def shorter(encrypted: bytes) -> bytes:
        moved[:] = [encrypted[-1:]]
        return encrypted[:-1]

    bad(
        "tag-of-17-octets",
        "The last octet of the ciphertext stands before the tag: together they are the same",
        "Tag",
        encrypted=shorter,
        tag=lambda t: b"".join(moved) + t,
    )
    bad("tag-empty", "No octet of tag", "Tag", tag=lambda t: b"")
    bad("nonce-of-16-octets", "AES-GCM takes it; the profile does not", "WrongAlgorithm", nonce_size=16)
    bad("other-cipher", "The identifier of AES-128-GCM, with AES-256", "WrongAlgorithm", cipher=GCM_128)
    bad("short-content-key", "A content key of 16 octets, used with AES-128", "WrongAlgorithm", key_size=16)
    bad("associated-data", "Encrypted with associated data that the object does not have", "Tag", associated=b"more")
    bad(
        "authenticated-attributes",
        "There are attributes, which the profile has not",
        "Encoding",
        attributes=tlv(0xA1, tlv(0x30, oid(DATA), tlv(0x31, b"\x05\x00"))),
    )
    bad("version-1", "AuthEnvelopedData of version 1", "Encoding", version=1)
    bad("inner-type-differs", "The content type is not id-data", "Encoding", inner="1.2.840.113549.1.7.2")
    bad("outer-type-differs", "ContentInfo says EnvelopedData", "Encoding", outer="1.2.840.113549.1.7.3")
    bad("two-contents", "A second encrypted content after the first", "Encoding", beside=b"\x80\x00")
    bad(
        "unauthenticated-attributes",
        "There are unauthenticated attributes",
        "Encoding",
        unauthenticated=tlv(0xA2, tlv(0x30, oid(DATA), tlv(0x31, b"\x05\x00"))),
    )
    bad("two-recipients", "The same RecipientInfo twice", "Encoding", infos=2)
    bad("no-recipient", "No RecipientInfo", "Encoding", infos=0)
    bad("recipient-version", "RecipientInfo of another version", "Encoding", version_of_info=1)
    bad("wrapped-key-flipped", "One bit of the content key's wrapping", wrapped=flip(-1))
    bad("wrapped-key-truncated", "The last octets of the wrapped key are missing", wrapped=lambda w: w[:-8])
    bad("wrapped-key-empty", "No octet of wrapped key", wrapped=lambda w: b"")
    altered("trailing-octet", "An octet after the object", "Encoding", octets(lambda o: o + b"\0"))
    altered("truncated", "The last octet is missing", "Encoding", octets(lambda o: o[:-1]))
    altered(
        "not-der",
        "The outer length is indefinite (BER)",
        "Encoding",
        octets(lambda o: b"\x30\x80" + o[2 + (o[1] & 0x7F) :] + b"\0\0"),
    )
    altered("no-object", "No octets at all", "Encoding", octets(lambda o: b""))
    _of_suite(name, bad)
    return file


def _of_suite(name: str, bad: Callable[..., None]) -> None:
    """What only one way to deliver a key can get wrong."""
    if name in ("p256", "ed25519"):
        bad("wrap-of-128-bits", "AES-128 key wrap is named", "WrongAlgorithm", wrap=WRAP_128)
        bad("kdf-bits-differ", "The derivation says 128 bits", "WrongAlgorithm", bits=tlv(0xA2, tlv(0x04, bytes(4))))
        bad("two-encrypted-keys", "Two RecipientEncryptedKeys", "Encoding", twice=True)
        bad(
            "originator-algorithm",
            "The ephemeral key is said to be of another sort",
            "WrongAlgorithm",
            originator=bytes.fromhex("300506032b656f"),
        )
    if name == "p256":
        bad("point-not-on-curve", "An ephemeral point beside the curve", "InvalidKey", ephemeral=flip(64))
        bad(
            "point-compressed",
            "The ephemeral point in compressed form",
            "InvalidKey",
            ephemeral=lambda p: bytes((2 + p[64] % 2,)) + p[1:33],
        )
        bad(
            "point-hybrid",
            "The ephemeral point in hybrid form",
            "InvalidKey",
            ephemeral=lambda p: bytes((6 + p[64] % 2,)) + p[1:],
        )
        bad("point-at-infinity", "The ephemeral point is the one at infinity", "InvalidKey", ephemeral=lambda p: b"\0")
        bad(
            "sha1-kdf",
            "dhSinglePass-stdDH-sha1kdf is named",
            "WrongAlgorithm",
            algorithm=tlv(0x30, bytes.fromhex("06092b810510864 83f0002".replace(" ", "")), WRAP),
        )
    if name in ("p256", "ed25519"):
        bad(
            "ephemeral-with-an-unused-bit",
            "The last bit of the ephemeral key, which is zero, counts as unused: a second encoding of it",
            "InvalidKey",
            unused=1,
        )
    if name == "ed25519":
        bad(
            "low-order-point",
            "An ephemeral key of low order: the shared secret is zero",
            "InvalidKey",
            ephemeral=lambda p: bytes(32),
        )
        bad(
            "top-bit-set",
            "The bit that X25519 ignores",
            "InvalidKey",
            ephemeral=lambda p: p[:31] + bytes((p[31] | 128,)),
        )
        bad("ephemeral-truncated", "An ephemeral key of 31 octets", "InvalidKey", ephemeral=lambda p: p[:31])
    if name == "rsa3072":
        bad("pkcs1-v15", "Encrypted with PKCS #1 v1.5, in the name of OAEP", "WrongAlgorithm", oaep=padding.PKCS1v15())
        bad(
            "pkcs1-v15-named",
            "PKCS #1 v1.5, and says so",
            "WrongAlgorithm",
            oaep=padding.PKCS1v15(),
            algorithm=bytes.fromhex("300d06092a864886f70d0101010500"),
        )
        sha1 = hashes.SHA1()  # noqa: S303  # what is to be refused
        bad(
            "oaep-sha1",
            "OAEP with SHA-1, in the name of SHA-256",
            "WrongAlgorithm",
            oaep=padding.OAEP(padding.MGF1(sha1), sha1, None),
        )
    if name == "mldsa65":
        bad("ciphertext-of-kem-flipped", "Implicit rejection gives another secret", "InvalidKey", kemct=flip(0))
        bad("ciphertext-of-kem-truncated", "1087 octets of ciphertext", "InvalidKey", kemct=lambda c: c[:-1])
        bad("kem-512", "ML-KEM-512 is named", "WrongAlgorithm", kem="300b0609608648016503040401")
        bad("kdf-differs", "HKDF with SHA-512 is named", "WrongAlgorithm", kdf="300d060b2a864886f70d010910031e")
        bad("kek-of-16-octets", "A KEK of 16 octets is announced", "WrongAlgorithm", length=16)
        bad("wrap-of-128-bits", "AES-128 key wrap is named", "WrongAlgorithm", wrap=WRAP_128)
        bad("other-recipient-type", "OtherRecipientInfo of another type", "Encoding", ori="060b2a864886f70d0109100d04")
