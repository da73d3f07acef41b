"""Properties of the cryptographic layer over arbitrary contents, contexts and damage."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.der import (
    TLV,
    BitString,
    DecodingFailure,
    Explicit,
    GeneralizedTime,
    Implicit,
    SetOf,
    Size,
    decode,
    encode,
    sequence,
    tlv,
)
from setproto.crypto import signed
from setproto.crypto.cms import Opened, SecretKey, seal, unseal, verify
from setproto.crypto.digests import derive_key, digest, mac
from setproto.crypto.dual import Form, Part
from setproto.errors import DecryptionFailure, ProtocolError, SignatureFailure
from tests.crypto.material import ORDER, SUITES, party

quick = settings()
few = settings(max_examples=max(10, quick.max_examples * 3 // 10))
"""The profile of ``tests/conftest.py``; the second for what signs or seals anew for every example."""

suites = st.sampled_from(SUITES)
places = st.integers(0, 1 << 20)
"""Modulo the length of an object, which varies with its ECDSA signature: what is drawn must not."""
contents = st.binary(max_size=300)
contexts = st.binary(max_size=60)
salts = st.binary(min_size=16, max_size=40)


# --- signed and sealed ----------------------------------------------------------------------------


@few
@given(name=suites, content=contents, detached=st.booleans())
def test_what_is_signed_verifies(name: str, content: bytes, detached: bool) -> None:
    who = party(name)
    data = who.signer.sign(content, ORDER, detached=detached)
    given_content = content if detached else None
    verified = verify(data, content_type=ORDER, certify=who.certify, content=given_content)
    assert (verified.content, verified.content_type, verified.signer) == (content, ORDER, who.trusted)


@quick
@given(name=suites, content=contents, detached=st.booleans(), place=places, damage=st.integers(1, 255))
@pytest.mark.prop("PX-10")
@pytest.mark.filterwarnings("ignore:Parsed a serial number:Warning")
def test_damage_to_a_signed_object_never_yields_other_content(
    name: str, content: bytes, detached: bool, place: int, damage: int
) -> None:
    who = party(name)
    original = who.signer.sign(content, ORDER, detached=detached)
    changed = bytearray(original)
    changed[place % len(changed)] ^= damage
    try:
        verified = verify(
            bytes(changed), content_type=ORDER, certify=who.certify, content=content if detached else None
        )
    except ProtocolError:
        return
    assert (verified.content, verified.content_type, verified.signer) == (content, ORDER, who.trusted)


@quick
@given(name=suites, start=places, size=st.integers(0, 50), replacement=st.binary(max_size=50))
@pytest.mark.filterwarnings("ignore:Parsed a serial number:Warning")
def test_splices_into_a_signed_object_never_yield_other_content(
    name: str, start: int, size: int, replacement: bytes
) -> None:
    who = party(name)
    original = who.signer.sign(b"one apple", ORDER)
    start %= len(original)
    changed = original[:start] + replacement + original[start + size :]
    try:
        verified = verify(changed, content_type=ORDER, certify=who.certify)
    except ProtocolError:
        return
    assert verified.content == b"one apple"


@few
@given(name=suites, content=contents, context=contexts)
def test_what_is_sealed_opens(name: str, content: bytes, context: bytes) -> None:
    who = party(name)
    data = seal(content, who.recipient, context=context)
    opened = unseal(data, who.recipient_key, context=context)
    assert opened == Opened(content)


@quick
@given(key=st.binary(min_size=32, max_size=32), identifier=contexts, content=contents, context=contexts)
def test_what_is_sealed_under_a_shared_key_opens(key: bytes, identifier: bytes, content: bytes, context: bytes) -> None:
    data = seal(content, SecretKey(key, identifier), context=context)
    assert unseal(data, SecretKey(key, identifier), context=context).content == content


@few
@given(name=suites, made=contexts, asked=contexts)
def test_a_sealed_object_opens_in_its_own_context_only(name: str, made: bytes, asked: bytes) -> None:
    who = party(name)
    data = seal(b"PAN", who.recipient, context=made)
    if made == asked:
        return
    with pytest.raises(DecryptionFailure):
        unseal(data, who.recipient_key, context=asked)


@quick
@given(name=suites, place=places, damage=st.integers(1, 255))
@pytest.mark.prop("PX-10")
def test_damage_to_a_sealed_object_never_yields_other_content(name: str, place: int, damage: int) -> None:
    who = party(name)
    changed = bytearray(seal(b"PAN", who.recipient, context=b"C"))
    changed[place % len(changed)] ^= damage
    try:
        opened = unseal(bytes(changed), who.recipient_key, context=b"C")
    except DecryptionFailure:
        return
    assert opened.content == b"PAN"


@quick
@given(junk=st.binary(max_size=200))
def test_junk_neither_verifies_nor_opens(junk: bytes) -> None:
    who = party("p256")
    with pytest.raises(ProtocolError):
        verify(junk, content_type=ORDER, certify=who.certify)
    with pytest.raises(DecryptionFailure):
        unseal(junk, who.recipient_key, context=b"")


# --- digests and the dual signature ---------------------------------------------------------------

parts_of_a_digest = st.lists(st.binary(max_size=140), max_size=4)


@quick
@given(one=st.tuples(st.text(max_size=5), parts_of_a_digest), two=st.tuples(st.text(max_size=5), parts_of_a_digest))
def test_only_equal_labels_and_parts_have_equal_digests(
    one: tuple[str, list[bytes]], two: tuple[str, list[bytes]]
) -> None:
    key = bytes(32)
    for first, second in (
        (digest(one[0], *one[1]), digest(two[0], *two[1])),
        (mac(one[0], key, *one[1]), mac(two[0], key, *two[1])),
        (derive_key(one[0], key, *one[1]), derive_key(two[0], key, *two[1])),
    ):
        assert (first == second) == (one == two)


@quick
@given(parts=parts_of_a_digest, data=st.data())
def test_moving_the_border_between_parts_changes_the_digest(parts: list[bytes], data: st.DataObject) -> None:
    joined = b"".join(parts)
    cut = data.draw(st.integers(0, len(joined)))
    regrouped = [joined[:cut], joined[cut:]]
    assert (digest("t", *parts) == digest("t", *regrouped)) == (parts == regrouped)


OIDS = [x509.ObjectIdentifier(f"2.25.3000.{n}") for n in range(5)]


@few
@given(name=suites, bodies=st.lists(st.tuples(contents, salts), min_size=2, max_size=4), data=st.data())
def test_every_part_of_a_dual_signature_verifies_alone_and_unchanged_only(
    name: str, bodies: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    who = party(name)
    parts = [Part(oid, content, salt) for oid, (content, salt) in zip(OIDS[1:], bodies, strict=False)]
    form = Form(OIDS[0], tuple(part.type for part in parts))
    whole = form.sign(who.signer, data.draw(st.permutations(parts)))
    for part in parts:
        verified = form.verify(whole.view(part.type), suite=name, certify=who.certify)
        assert (verified.contents, verified.digests) == ({part.type: part.content}, whole.digests)
    chosen = data.draw(st.sampled_from(parts))
    other = Part(chosen.type, data.draw(contents), data.draw(salts))
    view = whole.view(chosen.type)
    if other != chosen:
        with pytest.raises(SignatureFailure):
            form.verify(type(view)((other,), view.hidden, view.signature), suite=name, certify=who.certify)


# --- DER ------------------------------------------------------------------------------------------


@sequence
class Leaf:
    number: int
    octets: Annotated[bytes | None, Explicit(0)] = None
    flag: bool


@sequence
class Tree:
    oid: x509.ObjectIdentifier
    leaves: Annotated[list[Leaf], Size(min=0, max=5)]
    bits: BitString
    tagged: Annotated[Leaf, Implicit(1)]
    things: Annotated[SetOf[bytes] | None, Implicit(2)] = None
    text: str
    rest: TLV


leaves = st.builds(
    Leaf,
    number=st.integers(-(1 << 127), (1 << 127) - 1),
    octets=st.none() | st.binary(max_size=200),
    flag=st.booleans(),
)
oids = st.builds(
    lambda first, second, rest: x509.ObjectIdentifier(".".join(map(str, (first, second, *rest)))),
    st.integers(0, 1),
    st.integers(0, 39),
    st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=6),
)
trees = st.builds(
    Tree,
    oid=oids,
    leaves=st.lists(leaves, max_size=5),
    bits=st.builds(lambda data: BitString(data, 0), st.binary(max_size=20)),
    tagged=leaves,
    things=st.none() | st.builds(lambda items: SetOf(items), st.lists(st.binary(max_size=5), max_size=4)),
    text=st.text(max_size=20),
    rest=st.builds(lambda data: decode(Holder, tlv(0x30, tlv(0x04, data))).value, st.binary(max_size=20)),
)


@sequence
class Holder:
    value: TLV


@sequence
class Moment:
    when: GeneralizedTime


@quick
@given(value=trees)
def test_every_value_decodes_to_itself(value: Tree) -> None:
    encoded = encode(value)
    again = decode(Tree, encoded)
    assert encode(again) == encoded
    for name in ("oid", "leaves", "tagged", "text", "bits"):
        assert getattr(again, name) == getattr(value, name)
    assert again.rest.data == value.rest.data
    if value.things is not None:
        assert again.things is not None
        assert sorted(again.things.as_list()) == sorted(value.things.as_list())


READABLE: list[Any] = [
    Leaf,
    Tree,
    Holder,
    Moment,
    signed._Certificates,
    signed._Attributes,
]


def decodes_to_itself_or_fails(cls: Any, octets: bytes) -> None:
    """Anything but DecodingFailure, a panic of the codec included, fails the test."""
    try:
        value = decode(cls, octets)
    except DecodingFailure:
        return
    assert encode(value) == octets


@quick
@given(cls=st.sampled_from(READABLE), octets=st.binary(max_size=200))
def test_arbitrary_octets_decode_to_themselves_or_fail(cls: Any, octets: bytes) -> None:
    decodes_to_itself_or_fails(cls, octets)


nested = st.recursive(
    st.builds(tlv, st.integers(0, 255), st.binary(max_size=8)),
    lambda inner: st.builds(
        lambda tag, items: tlv(tag, *items),
        st.sampled_from([0x30, 0x31, 0xA0, 0xA1, 0xA2, 0xA4, 0x80, 0x04]),
        st.lists(inner, max_size=5),
    ),
    max_leaves=12,
)


@quick
@given(cls=st.sampled_from(READABLE), items=st.lists(nested, max_size=6))
def test_arbitrary_structures_decode_to_themselves_or_fail(cls: Any, items: list[bytes]) -> None:
    decodes_to_itself_or_fails(cls, tlv(0x30, *items))


@quick
@given(value=trees, data=st.data())
def test_damaged_encodings_decode_to_themselves_or_fail(value: Tree, data: st.DataObject) -> None:
    octets = bytearray(encode(value))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    decodes_to_itself_or_fails(Tree, bytes(octets))


@quick
@given(text=st.from_regex(rb"\A[0-9]{14}Z\Z") | st.binary(max_size=20))
def test_times_decode_to_themselves_or_fail(text: bytes) -> None:
    decodes_to_itself_or_fails(Moment, tlv(0x30, tlv(0x18, text)))
