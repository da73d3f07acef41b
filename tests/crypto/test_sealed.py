"""AuthEnvelopedData: opens for one key in one context, and fails in one way only."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import cms, core
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_wrap

from pki import UnknownSuiteError
from pki.der import MAX_SIZE, tlv
from setproto.crypto.cms import ID_DATA, Opened, Recipient, RecipientKey, SecretKey, seal, unseal
from setproto.crypto.recipients import KEY_MANAGEMENT, KeyManagement, NotForThisKey, SharedKey
from setproto.errors import DecryptionFailure, ErrorCode, UsageError
from tests.crypto import material
from tests.crypto.material import ORDER, PAYMENT, Party, party

CONTEXT = b"C to P, XID 7"
SECRET = SecretKey(bytes(range(32)), b"EK-1")

KINDS = (*material.SUITES, "secret")
"""Every way to name a recipient: by a certificate of each suite, or by a shared key."""


def ends(kind: str, which: int = 0) -> tuple[Recipient | SecretKey, RecipientKey | SecretKey]:
    if kind == "secret":
        key = SecretKey(bytes([which]) + bytes(range(1, 32)), b"EK-1")
        return key, key
    return party(kind, which).recipient, party(kind, which).recipient_key


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def seal_for(kind: str, content: bytes = b"PAN", context: bytes = CONTEXT) -> bytes:
    return seal(content, ends(kind)[0], context=context)


def open_as(kind: str, data: bytes, context: bytes = CONTEXT) -> Opened:
    return unseal(data, ends(kind)[1], context=context)


def signature_of(error: BaseException) -> tuple[object, ...]:
    """Everything that a caller, a log or a peer could see of an error."""
    text = "".join(traceback.format_exception_only(error))
    fields = dict(vars(error))
    return type(error), str(error), repr(error), error.args, text, tuple(sorted(fields.items())), error.__cause__


def fails(attempt: Callable[[], object]) -> tuple[object, ...]:
    """The one error, without a cause that shows; anything else fails the test."""
    with pytest.raises(DecryptionFailure) as caught:
        attempt()
    assert caught.type is DecryptionFailure
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    return signature_of(caught.value)


# --- what opens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"4000 0000", bytes(range(256)) * 300], ids=["empty", "short", "long"])
@pytest.mark.parametrize("context", [b"", b"C", bytes(200)], ids=["no context", "short context", "long context"])
def test_sealed_content_comes_back(kind: str, content: bytes, context: bytes) -> None:
    opened = open_as(kind, seal_for(kind, content, context), context)
    assert opened == Opened(content)


def test_nothing_of_the_content_shows(kind: str) -> None:
    assert b"4000 0000 0000 0002" not in seal_for(kind, b"4000 0000 0000 0002")


def test_sealing_twice_gives_different_objects(kind: str) -> None:
    content = bytes(64)
    first, second = seal_for(kind, content), seal_for(kind, content)
    assert len(first) == len(second)
    assert first[-80:-64] != second[-80:-64]
    assert first[-16:] != second[-16:]


def test_every_object_has_its_own_content_key_and_nonce(kind: str) -> None:
    keys, nonces = set(), set()
    for _ in range(3):
        # What the recipient's side finds in the object, read with the schema of RFC 5083 as asn1crypto has it.
        enveloped = cms.ContentInfo.load(seal_for(kind))["content"]
        (info,) = core.SetOf.load(enveloped["recipient_infos"].dump(), spec=core.Any)
        key = ends(kind)[1]
        keys.add(key.key_management.unwrap(info.dump(), key.private_key, key.identifier, CONTEXT))
        algorithm = enveloped["auth_encrypted_content_info"]["content_encryption_algorithm"]
        nonces.add(core.Sequence.load(algorithm["parameters"].dump())[0].native)
    assert [len(keys), len(nonces)] == [3, 3]
    assert {len(key) for key in keys} == {32}
    assert {len(nonce) for nonce in nonces} == {12}


def test_a_shared_key_can_be_used_by_either_end() -> None:
    same = SecretKey(bytes(range(32)), b"EK-1")
    data = seal(b"x", SECRET, context=CONTEXT)
    assert unseal(data, same, context=CONTEXT).content == b"x"


# --- what does not --------------------------------------------------------------------------------


def test_another_key_does_not_open(kind: str) -> None:
    data = seal_for(kind)
    fails(lambda: unseal(data, ends(kind, 1)[1], context=CONTEXT))


@pytest.mark.parametrize(
    "context",
    [b"", b"C to P, XID 8", b"C to Q, XID 7", CONTEXT + b"\0", CONTEXT[:-1]],
    ids=["none", "another transaction", "another reader", "longer", "shorter"],
)
def test_another_context_does_not_open(kind: str, context: bytes) -> None:
    fails(lambda: open_as(kind, seal_for(kind), context))
    fails(lambda: open_as(kind, seal_for(kind, context=context)))


def test_another_context_does_not_open_even_if_written_into_the_object(kind: str) -> None:
    """The context is bound to the key, not only carried beside it."""
    other = CONTEXT[:-1] + b"8"
    moved = seal_for(kind).replace(CONTEXT, other)
    fails(lambda: open_as(kind, moved, other))


def test_the_context_carried_beside_the_key_is_checked_too(kind: str) -> None:
    """It must say what the opener expects, though the opener does not need it."""
    data = seal_for(kind)
    if kind == "secret":
        assert CONTEXT not in data
        return
    assert data.count(CONTEXT) == 1
    fails(lambda: open_as(kind, data.replace(CONTEXT, CONTEXT[:-1] + b"8")))


CONTENT_TYPES = {
    "signedData": "1.2.840.113549.1.7.2",
    "envelopedData": "1.2.840.113549.1.7.3",
    "data and one arc more": "1.2.840.113549.1.7.1.1",
    "data and one arc less": "1.2.840.113549.1.7",
    "authEnvelopedData": "1.2.840.113549.1.9.16.1.23",
    "an order": ORDER.dotted_string,
    "a payment": PAYMENT.dotted_string,
}
"""Everything but id-data: what is inside is said by the context, which cannot be changed, and by nothing else."""


@pytest.mark.prop("PX-6")
@pytest.mark.parametrize("name", CONTENT_TYPES)
def test_another_content_type_than_id_data_does_not_open(kind: str, name: str) -> None:
    """… though everything else in the object is as it must be, …"""
    fails(lambda: open_as(kind, forge(kind, content_type=CONTENT_TYPES[name])))


@pytest.mark.prop("PX-6", "PX-10")
@pytest.mark.parametrize("name", ["signedData", "envelopedData"])
def test_the_content_type_cannot_be_changed_without_the_key(kind: str, name: str) -> None:
    """… nor does it when someone without the key writes another type, of the same length, into a good object."""
    data = seal_for(kind)
    assert data.count(material.oid(ID_DATA)) == 1
    fails(lambda: open_as(kind, data.replace(material.oid(ID_DATA), material.oid(CONTENT_TYPES[name]))))
    assert open_as(kind, data).content == b"PAN"


def test_neither_side_can_ask_for_a_content_type(kind: str) -> None:
    """It would be a claim that nothing authenticates."""
    for attempt in (seal, unseal):
        with pytest.raises(TypeError, match="content_type"):
            attempt(b"PAN", ends(kind)[0], content_type=PAYMENT, context=CONTEXT)  # type: ignore[operator]
    assert [field.name for field in dataclasses.fields(Opened)] == ["content"]


@pytest.mark.parametrize("other", KINDS)
def test_a_key_of_another_kind_does_not_open(kind: str, other: str) -> None:
    if kind != other:
        fails(lambda: open_as(other, seal_for(kind)))


def test_the_recipient_is_named_by_key_identifier(kind: str) -> None:
    """The same key under another name: the object is not meant for it."""
    recipient, key = ends(kind)
    renamed: Any
    if isinstance(key, SecretKey):
        renamed = SecretKey(key.private_key, b"EK-2")
    else:
        certificate = material.make_certificate(
            key.private_key.public_key(), party("p256").signing_key, ski=b"another name"
        )
        renamed = RecipientKey(key.private_key, certificate, key.suite)
    data = seal(b"x", recipient, context=CONTEXT)
    fails(lambda: unseal(data, renamed, context=CONTEXT))


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_opens(kind: str, bit: int) -> None:
    data = seal_for(kind, b"PAN" * 5)
    opened, bare = [], {}
    for position in range(len(data)):
        if kind in ("rsa3072", "mldsa65") and bit not in (0, 7) and position % 5 != bit % 5:
            continue
        changed = bytearray(data)
        changed[position] ^= 1 << bit
        try:
            open_as(kind, bytes(changed))
        except DecryptionFailure:
            continue
        except Exception as error:
            bare[position] = repr(error)
        else:
            opened.append((position, data[max(position - 2, 0) : position + 3].hex(" ")))
    assert (opened, bare) == ([], {})


@pytest.mark.prop("PX-10")
def test_no_changed_octet_of_a_p256_object_opens() -> None:
    data = seal_for("p256")
    opened = []
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        try:
            open_as("p256", bytes(changed))
        except DecryptionFailure:
            continue
        opened.append(position)
    assert opened == []


def test_no_truncation_opens(kind: str) -> None:
    data = seal_for(kind)
    for size in range(0, len(data), 1 if len(data) < 600 else 7):
        fails(lambda size=size: open_as(kind, data[:size]))  # type: ignore[misc]


def test_trailing_octets_do_not_open(kind: str) -> None:
    data = seal_for(kind)
    for trailing in (b"\0", b"\x30\x00", data):
        fails(lambda trailing=trailing: open_as(kind, data + trailing))  # type: ignore[misc]


def test_encodings_other_than_der_do_not_open(kind: str) -> None:
    data = seal_for(kind)
    assert data[1] in (0x81, 0x82)
    rest = data[3:] if data[1] == 0x81 else data[4:]
    for other in (
        bytes([0x30, data[1] + 1, 0]) + data[2:],  # a length with a leading zero octet
        b"\x30\x80" + rest + b"\0\0",  # an indefinite length
        b"",
        b"\x30\x00",
        b"\x05\x00",
        b"-----BEGIN CMS-----",
        bytes(1 << 20) + b"\0",
    ):
        fails(lambda other=other: open_as(kind, other))  # type: ignore[misc]


def test_what_cannot_be_opened_is_not_sealed(kind: str) -> None:
    """Whoever seals finds out, not whoever opens (who would not even learn why): at the limit, to the octet."""
    overhead = len(seal_for(kind, bytes(1 << 19))) - (1 << 19)
    largest = seal_for(kind, bytes(MAX_SIZE - overhead))
    assert len(largest) == MAX_SIZE
    assert open_as(kind, largest).content == bytes(MAX_SIZE - overhead)
    for size in (MAX_SIZE - overhead + 1, 1 << 20):
        with pytest.raises(UsageError, match=f"nobody reads more than {MAX_SIZE}"):
            seal_for(kind, bytes(size))
    with pytest.raises(UsageError, match="nobody reads"):  # the context is part of the object, or part of its label
        seal(b"x", party("p256").recipient, context=bytes(1 << 20))


# --- all failures look alike ----------------------------------------------------------------------


def test_all_failures_look_alike() -> None:
    """No oracle: whatever went wrong, and at whatever depth, the same error (RFC 3218 §2.3)."""
    seen = set()
    for kind in KINDS:
        data = seal_for(kind)
        seen |= {
            fails(lambda data=data, kind=kind: open_as(kind, data, b"other")),  # type: ignore[misc]
            fails(lambda data=data, kind=kind: open_as(kind, data[:-1])),  # type: ignore[misc]
            fails(lambda data=data, kind=kind: open_as(kind, data + b"\0")),  # type: ignore[misc]
            fails(lambda data=data, kind=kind: open_as(kind, data[:-1] + bytes([data[-1] ^ 1]))),  # type: ignore[misc]
            fails(lambda kind=kind: open_as(kind, b"")),  # type: ignore[misc]
            fails(lambda kind=kind: open_as(kind, bytes(2 << 20))),  # type: ignore[misc]
            fails(lambda kind=kind: open_as(kind, forge(kind, content_type=ORDER.dotted_string))),  # type: ignore[misc]
            fails(lambda data=data, kind=kind: unseal(data, ends(kind, 1)[1], context=CONTEXT)),  # type: ignore[misc]
        }
        for position in range(0, len(data), 11):
            changed = data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]
            try:
                open_as(kind, changed)
            except DecryptionFailure as error:
                seen.add(signature_of(error))
    assert len(seen) == 1
    ((error_type, text, _, args, *_),) = seen
    assert (error_type, text) == (DecryptionFailure, "decryptionFailure: the object does not open")
    assert args == ("the object does not open",)
    assert DecryptionFailure().code is ErrorCode.decryptionFailure


@pytest.mark.parametrize("error", [ValueError, TypeError, InvalidUnwrap, InvalidTag, NotForThisKey])
def test_whatever_a_key_raises_looks_alike(error: type[Exception]) -> None:
    """Keys may live elsewhere, in a token for example, and have complaints of their own."""

    class Complaining(SharedKey):
        def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
            raise error("what was wrong exactly")

    key = SecretKey(bytes(32), b"EK-1")
    data = seal(b"x", key, context=CONTEXT)
    key.key_management = Complaining()
    seen = fails(lambda: unseal(data, key, context=CONTEXT))
    assert "what was wrong" not in repr(seen)
    assert seen == fails(lambda: unseal(b"", key, context=CONTEXT))


def test_the_error_takes_no_detail() -> None:
    with pytest.raises(TypeError):
        DecryptionFailure("bad padding")  # type: ignore[call-arg]


# --- objects that only someone with the right to seal could make ----------------------------------

GCM = "2.16.840.1.101.3.4.1.46"


def forge(
    kind: str,
    *,
    content: bytes = b"x",
    content_key: bytes = bytes(32),
    nonce: bytes = bytes(12),
    icv: bytes = b"\x02\x01\x10",
    cipher: str = GCM,
    version: int = 0,
    outer: str = "1.2.840.113549.1.9.16.1.23",
    move: int = 0,
    tag_size: int = 16,
    infos: int = 1,
    authenticated: bytes = b"",
    content_type: str = "1.2.840.113549.1.7.1",
    wrap: KeyManagement | None = None,
) -> bytes:
    """A sealed object with any part replaced, otherwise good."""
    recipient = ends(kind)[0]
    encrypted = AESGCM(content_key).encrypt(nonce, content, None)
    split = len(encrypted) - 16 + move
    info = (wrap or recipient.key_management).wrap(content_key, recipient.public_key, recipient.identifier, CONTEXT)
    enveloped = tlv(
        0x30,
        tlv(0x02, bytes([version])),
        tlv(0x31, info * infos),
        tlv(
            0x30,
            material.oid(content_type),
            tlv(0x30, material.oid(cipher), tlv(0x30, tlv(0x04, nonce), icv)),
            tlv(0x80, encrypted[:split]),
        ),
        authenticated,
        tlv(0x04, encrypted[split:][:tag_size]),
    )
    return tlv(0x30, material.oid(outer), tlv(0xA0, enveloped))


def test_the_builder_of_these_tests_makes_objects_that_open(kind: str) -> None:
    assert open_as(kind, forge(kind)).content == b"x"


@pytest.mark.parametrize(
    "change",
    [
        {"outer": "1.2.840.113549.1.7.3"},
        {"version": 2},
        {"content_key": bytes(16)},
        {"content_key": bytes(24)},
        {"nonce": bytes(11)},
        {"nonce": bytes(13)},
        {"nonce": bytes(16)},
        {"icv": b"\x02\x01\x0c"},
        {"icv": b"\x02\x01\x0d"},
        {"icv": b""},
        {"cipher": "2.16.840.1.101.3.4.1.6"},
        {"cipher": "2.16.840.1.101.3.4.1.42"},
        {"move": -1},
        {"move": 1},
        {"tag_size": 12},
        {"tag_size": 0},
        {"infos": 0},
        {"infos": 2},
        {"authenticated": tlv(0xA1, material.attribute("2.25.7", b"\x05\x00"))},
    ],
    ids=[
        "enveloped, not authenticated",
        "version 2",
        "AES-128 content key",
        "AES-192 content key",
        "nonce of 11 octets",
        "nonce of 13 octets",
        "nonce of 16 octets",
        "tag said to have 12 octets",
        "tag said to have 13 octets",
        "length of the tag left out",
        "AES-128-GCM",
        "AES-256-CBC",
        "tag of 17 octets",
        "tag of 15 octets",
        "tag cut to 12 octets",
        "no tag",
        "no recipient",
        "two recipients",
        "authenticated attributes",
    ],
)
def test_an_object_outside_the_profile_does_not_open(kind: str, change: dict[str, Any]) -> None:
    fails(lambda: open_as(kind, forge(kind, **change)))


class Replacing(KeyManagement):
    """The key management of a suite, with some octets of the RecipientInfo replaced."""

    def __init__(self, inner: KeyManagement, old: bytes, new: bytes) -> None:
        self.inner, self.old, self.new = inner, old, new

    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        made = self.inner.wrap(content_key, public_key, identifier, context)
        assert made.count(self.old) >= 1, "nothing to replace"
        assert len(self.old) == len(self.new)
        return made.replace(self.old, self.new, 1)

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        raise AssertionError


_AES256_WRAP, _AES128_WRAP = (bytes.fromhex(f"300b0609608648016503040{n}") for n in ("12d", "105"))

FIELDS = [
    # what is replaced, by what: each leaves the derivation of the key alone, so only a comparison can notice
    ("p256", "version", "020103", "020102"),
    ("p256", "originator's algorithm", "300906072a8648ce3d0201", "300906072a8648ce3d0202"),
    ("p256", "originator's algorithm is a SEQUENCE", "300906072a8648ce3d0201", "310906072a8648ce3d0201"),
    ("p256", "KDF", "06062b8104010b01", "06062b8104010b02"),
    ("p256", "key wrap", _AES256_WRAP.hex(), _AES128_WRAP.hex()),
    ("p256", "unused bits of a point", "03420004", "03420104"),
    ("ed25519", "version", "020103", "020102"),
    ("ed25519", "originator's algorithm", "300506032b656e", "300506032b656f"),
    ("ed25519", "KDF", "060b2a864886f70d0109100313", "060b2a864886f70d0109100314"),
    ("ed25519", "key wrap", _AES256_WRAP.hex(), _AES128_WRAP.hex()),
    ("rsa3072", "version", "020102", "020100"),
    ("rsa3072", "label", CONTEXT.hex(), CONTEXT[::-1].hex()),
    ("rsa3072", "OAEP", "06092a864886f70d010107", "06092a864886f70d010101"),
    ("mldsa65", "version", "020100", "020101"),
    ("mldsa65", "OtherRecipientInfo", "060b2a864886f70d0109100d03", "060b2a864886f70d0109100d04"),
    ("mldsa65", "KEM", "0609608648016503040402", "0609608648016503040403"),
    ("mldsa65", "KDF", "060b2a864886f70d010910031c", "060b2a864886f70d010910031d"),
    ("mldsa65", "KEK length", "020120", "020110"),
    ("mldsa65", "key wrap", _AES256_WRAP.hex(), _AES128_WRAP.hex()),
    ("mldsa65", "context", CONTEXT.hex(), CONTEXT[::-1].hex()),
    ("secret", "version", "020104", "020103"),
    ("secret", "key wrap", _AES256_WRAP.hex(), _AES128_WRAP.hex()),
    ("secret", "identifier", b"EK-1".hex(), b"EK-2".hex()),
]


@pytest.mark.parametrize(("kind", "field", "old", "new"), FIELDS, ids=[f"{kind}-{field}" for kind, field, *_ in FIELDS])
def test_every_field_of_a_recipient_info_is_compared(kind: str, field: str, old: str, new: str) -> None:
    if field.startswith("unused bits"):
        # Padding bits must be zero in DER: only a point whose last octet is even can claim one.
        inner = EvenPoint()
    else:
        inner = SharedKey() if kind == "secret" else KEY_MANAGEMENT[kind]
    replacing = Replacing(inner, bytes.fromhex(old), bytes.fromhex(new))
    fails(lambda: open_as(kind, forge(kind, wrap=replacing)))


class EvenPoint(KeyManagement):
    def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
        while True:
            made = KEY_MANAGEMENT["p256"].wrap(content_key, public_key, identifier, context)
            start = made.index(bytes.fromhex("03420004"))
            if made[start + 2 + 0x41] % 2 == 0:
                return made

    def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
        raise AssertionError


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("form", ["compressed", "hybrid", "with an octet more"])
def test_the_point_of_an_ephemeral_key_has_one_encoding(form: str) -> None:
    """A compressed point is the same point, so the key would come out right: a second encoding of one object."""

    class Another(KeyManagement):
        def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
            made = KEY_MANAGEMENT["p256"].wrap(content_key, public_key, identifier, context)
            start = made.index(bytes.fromhex("03420004"))
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), made[start + 3 : start + 3 + 65])
            short = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
            whole = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
            octets = {  # a hybrid point says the sign of y as well: 06 or 07 (X9.62 §4.3.6)
                "compressed": short,
                "hybrid": bytes([short[0] + 4]) + whole[1:],
                "with an octet more": whole + b"\0",
            }[form]
            originator = tlv(0xA0, tlv(0xA1, bytes.fromhex("300906072a8648ce3d0201"), tlv(0x03, b"\0", octets)))
            rest = made[start + 0x44 :]
            return tlv(0xA1, b"\x02\x01\x03", originator, rest)

        def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
            raise AssertionError

    fails(lambda: open_as("p256", forge("p256", wrap=Another())))


def test_the_u_coordinate_of_an_x25519_key_has_one_encoding() -> None:
    """RFC 7748 §5 masks the top bit: an object with that bit set would open as well."""

    class Masked(KeyManagement):
        def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
            made = bytearray(KEY_MANAGEMENT["ed25519"].wrap(content_key, public_key, identifier, context))
            made[made.index(bytes.fromhex("032100")) + 34] |= 0x80
            return bytes(made)

        def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
            raise AssertionError

    fails(lambda: open_as("ed25519", forge("ed25519", wrap=Masked())))


def test_a_key_agreement_has_one_recipient() -> None:
    class Twice(KeyManagement):
        def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
            made = KEY_MANAGEMENT["p256"].wrap(content_key, public_key, identifier, context)
            keys = made[made.index(_AES256_WRAP) + len(_AES256_WRAP) :]
            body = made[2:] if made[1] < 0x80 else made[3:]
            return tlv(0xA1, body[: -len(keys)], tlv(0x30, keys[2:], keys[2:]))

        def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
            raise AssertionError

    fails(lambda: open_as("p256", forge("p256", wrap=Twice())))


@pytest.mark.parametrize(
    "point",
    [bytes(65), b"\x04" + bytes(64), b"\x04" + bytes(63) + b"\x01", b"\0", b""],
    ids=["zeros", "origin", "off the curve", "infinity", "empty"],
)
def test_a_point_off_the_curve_does_not_open(point: bytes) -> None:
    class Invalid(KeyManagement):
        def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
            made = KEY_MANAGEMENT["p256"].wrap(content_key, public_key, identifier, context)
            rest = made[made.index(bytes.fromhex("03420004")) + 0x44 :]
            key = tlv(0xA1, bytes.fromhex("300906072a8648ce3d0201"), tlv(0x03, b"\0", point))
            return tlv(0xA1, b"\x02\x01\x03", tlv(0xA0, key), rest)

        def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
            raise AssertionError

    fails(lambda: open_as("p256", forge("p256", wrap=Invalid())))


@pytest.mark.parametrize(
    "u", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"], ids=["zero", "one", "minus one"]
)
def test_an_x25519_key_of_low_order_does_not_open(u: bytes) -> None:
    """The shared secret would be zero, known to everybody (RFC 7748 §6.1)."""

    class LowOrder(KeyManagement):
        def wrap(self, content_key: bytes, public_key: Any, identifier: bytes, context: bytes) -> bytes:
            inner: Any = KEY_MANAGEMENT["ed25519"]
            made = inner.wrap(content_key, public_key, identifier, context)
            start = made.index(bytes.fromhex("032100")) + 3
            wrapped = aes_key_wrap(inner._kek(bytes(32), context), content_key)
            return made[:start] + u + made[start + 32 : -40] + wrapped

        def unwrap(self, recipient_info: bytes, private_key: Any, identifier: bytes, context: bytes) -> bytes:
            raise AssertionError

    fails(lambda: open_as("ed25519", forge("ed25519", wrap=LowOrder())))


# --- keys -----------------------------------------------------------------------------------------


def test_a_private_key_needs_its_own_certificate(who: Party) -> None:
    with pytest.raises(ValueError, match="does not belong"):
        RecipientKey(who.exchange_key, party(who.suite, 1).exchange_certificate, who.suite)


def test_a_recipient_needs_a_suite_of_the_allow_list(alice: Party) -> None:
    for name in ("rsa1024", "", "P256", "p256 "):
        with pytest.raises(UnknownSuiteError):
            Recipient(dataclasses.replace(alice.trusted_exchange, suite=name))
        with pytest.raises(UnknownSuiteError):
            RecipientKey(alice.exchange_key, alice.exchange_certificate, name)
    assert issubclass(UnknownSuiteError, ValueError)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_shared_key_has_32_octets(size: int) -> None:
    with pytest.raises(ValueError, match="32 octets"):
        SecretKey(bytes(size), b"id")


def test_a_key_encryption_key_depends_on_key_and_context() -> None:
    values = {SharedKey.derive(k, c) for k in (bytes(32), b"k" * 32) for c in (b"", b"a", b"b")}
    assert len(values) == 6
    assert {len(value) for value in values} == {32}


def test_repr_shows_nothing_secret(kind: str) -> None:
    recipient, key = ends(kind)
    name = key.identifier.hex()[:16]
    expected = f"<SecretKey {name}>" if kind == "secret" else f"<RecipientKey {kind} {name}>"
    assert repr(key) == str(key) == f"{key}" == expected
    assert "PAN" not in repr(open_as(kind, seal_for(kind)))
    assert repr(Opened(b"PAN")) == "Opened()"
    if isinstance(key, SecretKey):
        assert key.private_key.hex() not in repr(recipient)


def test_the_content_type_in_every_object_is_id_data(kind: str) -> None:
    enveloped = cms.ContentInfo.load(seal_for(kind))["content"]
    assert enveloped["auth_encrypted_content_info"]["content_type"].dotted == "1.2.840.113549.1.7.1"
