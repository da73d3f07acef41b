"""The codec behind ``pki.der``: values, lengths and tags, checked against asn1crypto."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Annotated

import pytest
from asn1crypto import core, parser

from pki.der import (
    MAX_SIZE,
    TLV,
    DecodingFailure,
    Explicit,
    GeneralizedTime,
    Implicit,
    Redacted,
    SetOf,
    Size,
    decode,
    encode,
    explicit,
    general_time,
    sequence,
    tlv,
)


@sequence
class Pair:
    number: int
    name: Annotated[bytes | None, Explicit(0)] = None


@sequence
class Nested:
    pairs: list[Pair]
    tag: Annotated[bytes, Implicit(1)]


@sequence
class Secret(Redacted):
    key: bytes


@sequence
class Holder:
    value: TLV


@sequence
class Bag:
    items: Annotated[SetOf[bytes], Size(min=1, max=3)]


@sequence
class Moment:
    when: GeneralizedTime


# --- values ---------------------------------------------------------------------------------------


def test_values_are_made_by_keyword() -> None:
    assert Pair(number=1, name=b"a").number == 1
    assert Pair(number=1).name is None
    with pytest.raises(TypeError):
        Pair(1, b"a")  # type: ignore[misc]
    with pytest.raises(TypeError):
        Pair()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Pair(number=1, other=2)  # type: ignore[call-arg]


def test_values_cannot_be_changed() -> None:
    pair = Pair(number=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.number = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del pair.number  # type: ignore[misc]
    assert dataclasses.replace(pair, number=2) == Pair(number=2)
    assert pair.number == 1


def test_values_compare_by_value() -> None:
    assert Pair(number=1, name=b"a") == Pair(number=1, name=b"a")
    assert Pair(number=1, name=b"a") != Pair(number=1, name=b"b")
    assert Pair(number=1) != Pair(number=1, name=b"")
    assert hash(Pair(number=1)) == hash(Pair(number=1))
    assert Nested(pairs=[Pair(number=1)], tag=b"") == decode(Nested, encode(Nested(pairs=[Pair(number=1)], tag=b"")))


def test_repr_names_the_fields_unless_they_are_secret() -> None:
    assert repr(Pair(number=1, name=b"a")) == "Pair(number=1, name=b'a')"
    assert repr(Secret(key=b"4000")) == str(Secret(key=b"4000")) == "<Secret redacted>"
    assert Secret(key=b"4000") != Secret(key=b"4001")


# --- encode and decode ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (Pair(number=0), "3003020100"),
        (Pair(number=-1), "30030201ff"),
        (Pair(number=128), "300402020080"),
        (Pair(number=1, name=b"a"), "3008020101a003040161"),
        (Nested(pairs=[], tag=b"z"), "30053000 81017a"),
        (Nested(pairs=[Pair(number=1), Pair(number=2)], tag=b""), "300e300a 3003020101 3003020102 8100"),
    ],
)
def test_a_value_has_one_encoding(value: object, encoded: str) -> None:
    octets = bytes.fromhex(encoded)
    assert encode(value) == octets
    assert decode(type(value), octets) == value


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "30",
        "3000",
        "30030201",
        "300302010000",  # one octet after the value
        "3004020101 00",
        "3081030201 01",  # a long length where a short one does
        "3080020101 0000",  # an indefinite length
        "30040202 0001",  # an integer with a leading zero octet
        "30040202 ffff",
        "30020200",  # an integer of no octets
        "3103020101",  # a SET
        "3003040101",
        "3005020101 0500",  # an element too many
        "3008020101 a103040161",  # another tag
        "300b020101 a006040161040162",  # two values under one tag
        "3007020101 a0020161",
    ],
)
def test_anything_else_is_refused(octets: str) -> None:
    with pytest.raises(DecodingFailure, match="not the DER encoding of Pair") as caught:
        decode(Pair, bytes.fromhex(octets))
    assert caught.value.__suppress_context__


def test_a_set_is_sorted() -> None:
    assert encode(decode(Bag, bytes.fromhex("30083106 040101 040102"))) == bytes.fromhex("30083106040101040102")
    for octets in ("30083106 040102 040101", "30023100", "300e310c 040101 040102 040103 040104"):
        with pytest.raises(DecodingFailure):
            decode(Bag, bytes.fromhex(octets))


def test_the_size_is_limited_before_parsing() -> None:
    largest = tlv(0x30, tlv(0x04, bytes(MAX_SIZE - 10)))
    assert len(largest) == MAX_SIZE
    assert decode(Secret, largest)
    with pytest.raises(DecodingFailure, match=f"{MAX_SIZE + 1} octets exceed the limit of {MAX_SIZE}"):
        decode(Secret, tlv(0x30, tlv(0x04, bytes(MAX_SIZE - 9))))
    with pytest.raises(DecodingFailure, match="3 octets exceed the limit of 2"):
        decode(Pair, b"\x30\x01\x00", limit=2)


def test_a_failure_names_the_type_and_not_the_content() -> None:
    with pytest.raises(DecodingFailure) as caught:
        decode(Secret, b"\x30\x06\x04\x044000\0")
    assert str(caught.value) == "not the DER encoding of Secret"


def test_times_are_in_utc_to_the_second() -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=east)
    assert encode(Moment(when=general_time(moment))) == tlv(0x30, tlv(0x18, b"20260102010405Z"))
    assert decode(Moment, tlv(0x30, tlv(0x18, b"20260102010405Z"))).when.as_datetime() == moment.replace(microsecond=0)


@pytest.mark.parametrize("text", [b"20260102010405", b"20260102010405+0200", b"202601020104Z", b"20261302010405Z"])
def test_times_of_another_form_are_refused(text: bytes) -> None:
    with pytest.raises(DecodingFailure):
        decode(Moment, tlv(0x30, tlv(0x18, text)))


# --- tags and lengths, written by hand where the codec would be slow -------------------------------


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 24])
def test_lengths_take_the_fewest_octets(size: int) -> None:
    content = bytes(size)
    octets = tlv(0x04, content)
    assert octets == core.OctetString(content).dump()
    header = 2 if size < 128 else 2 + (size.bit_length() + 7) // 8
    assert len(octets) == header + size
    parsed = core.OctetString.load(octets, strict=True)
    assert parsed.native == content


def test_parts_are_joined() -> None:
    assert tlv(0x30) == b"\x30\x00"
    assert tlv(0x30, b"a", memoryview(b"bc"), b"") == b"\x30\x03abc"


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65535, 65536])
def test_what_tlv_writes_the_codec_reads(size: int) -> None:
    assert decode(Secret, tlv(0x30, tlv(0x04, bytes(size)))) == Secret(key=bytes(size))
    assert encode(Secret(key=bytes(size))) == tlv(0x30, tlv(0x04, bytes(size)))


@pytest.mark.parametrize("number", [0, 1, 29, 30, 31, 32, 127, 128, 129, 999, 16383, 16384, 1 << 21])
@pytest.mark.parametrize("size", [1, 130, 70000])
def test_explicit_tags_of_any_number(number: int, size: int) -> None:
    inner = core.OctetString(bytes(size))
    octets = explicit(number, inner.dump())
    assert octets == core.OctetString(bytes(size), explicit=number).dump()
    tag_class, method, tag, _, content, trailer = parser.parse(octets, strict=True)
    assert (tag_class, method, tag, content, trailer) == (2, 1, number, inner.dump(), b"")


@pytest.mark.parametrize("number", [0, 30, 31, 127, 128, 999])
def test_the_codec_reads_tags_of_any_number(number: int) -> None:
    octets = tlv(0x30, explicit(number, b"\x05\x00"))
    value = decode(Holder, octets)
    assert value.value.data == b"\x05\x00"
    assert bytes(value.value.tag_bytes) + b"\x02\x05\x00" == explicit(number, b"\x05\x00")
