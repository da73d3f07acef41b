"""What ``setproto.crypto.parts`` takes apart element by element is what the codec reads: the second reader here."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from pki.der import (
    MAX_SIZE,
    TLV,
    DecodingFailure,
    Explicit,
    Implicit,
    SetOf,
    Size,
    as_received,
    decode,
    encode,
    explicit,
    extent,
    head,
    sequence,
    tlv,
)
from setproto.crypto.cms import Enclosed, seal
from setproto.crypto.parts import (
    AUTH_ENVELOPED_DATA,
    ID_DATA,
    SIGNED_DATA,
    AuthEnvelopedData,
    SignedData,
    auth_enveloped_data,
    content_info,
    signed_data,
)
from tests.crypto.material import ORDER, SUITES, party

# --- the two objects as RFC 5652 and RFC 5083 declare them, within the profile ----------------------


@sequence
class Signer:
    version: int
    sid: Annotated[bytes, Implicit(0)]
    digest_algorithm: TLV
    signed_attrs: TLV
    signature_algorithm: TLV
    signature: bytes


@sequence
class Content:
    content_type: x509.ObjectIdentifier
    content: Annotated[bytes | None, Explicit(0)] = None


@sequence
class Signed:
    version: int
    digest_algorithms: Annotated[SetOf[TLV], Size(min=1, max=1)]
    encap_content_info: Content
    certificates: Annotated[SetOf[TLV] | None, Implicit(0)] = None
    crls: Annotated[SetOf[TLV] | None, Implicit(1)] = None
    signer_infos: Annotated[SetOf[Signer], Size(min=1, max=1)]


@sequence
class SignedInfo:
    content_type: x509.ObjectIdentifier
    content: Annotated[Signed, Explicit(0)]


@sequence
class Encrypted:
    content_type: x509.ObjectIdentifier
    algorithm: TLV
    encrypted_content: Annotated[bytes, Implicit(0)]


@sequence
class Enveloped:
    version: int
    recipient_infos: Annotated[SetOf[TLV], Size(min=1, max=1)]
    auth_encrypted_content_info: Encrypted
    mac: bytes


@sequence
class EnvelopedInfo:
    content_type: x509.ObjectIdentifier
    content: Annotated[Enveloped, Explicit(0)]


def _octets(elements: SetOf[TLV] | None) -> bytes | None:
    return None if elements is None else b"".join(map(as_received, elements.as_list()))


def signed_by_codec(data: bytes) -> SignedData:
    info = decode(SignedInfo, data)
    signed, (signer,) = info.content, info.content.signer_infos.as_list()
    tags = signer.digest_algorithm.tag_bytes, signer.signed_attrs.tag_bytes, signer.signature_algorithm.tag_bytes
    (listed,) = signed.digest_algorithms.as_list()
    if (
        encode(info.content_type) != SIGNED_DATA
        or signer.version != 3
        or (*tags, listed.tag_bytes) != (b"\x30", b"\xa0", b"\x30", b"\x30")
    ):
        raise DecodingFailure("not of the profile")
    return SignedData(
        signed.version,
        as_received(listed),
        encode(signed.encap_content_info.content_type),
        signed.encap_content_info.content,
        _octets(signed.certificates),
        _octets(signed.crls),
        signer.sid,
        as_received(signer.digest_algorithm),
        tlv(0x31, signer.signed_attrs.data),
        as_received(signer.signature_algorithm),
        signer.signature,
    )


def sealed_by_codec(data: bytes) -> AuthEnvelopedData:
    info = decode(EnvelopedInfo, data)
    enveloped, encrypted = info.content, info.content.auth_encrypted_content_info
    if (encode(info.content_type), enveloped.version, encrypted.content_type) != (
        AUTH_ENVELOPED_DATA,
        0,
        ID_DATA,
    ) or encrypted.algorithm.tag_bytes != b"\x30":
        raise DecodingFailure("not of the profile")
    (recipient,) = enveloped.recipient_infos.as_list()
    return AuthEnvelopedData(
        as_received(recipient), as_received(encrypted.algorithm), encrypted.encrypted_content, enveloped.mac
    )


def read(reader: Any, data: bytes) -> Any:
    """What was read, or None.  Anything but DecodingFailure fails the test."""
    try:
        return reader(data)
    except DecodingFailure:
        return None


# --- alike ----------------------------------------------------------------------------------------

MANIFEST = tlv(0x30, b"\x05\x00")
SIGNED = [
    party("p256").signer.sign(content, ORDER, detached=detached, certificates=others, revocation=revocation)
    for content, detached, others, revocation in (
        (b"", False, (), Enclosed()),
        (b"one apple", False, (), Enclosed()),
        (b"one apple", True, (), Enclosed()),
        (bytes(300), False, (party("p256").exchange_certificate,), Enclosed(crls=(MANIFEST,))),
        (bytes(70_000), False, (), Enclosed(bci=MANIFEST)),
    )
]
SEALED = [seal(content, party(name).recipient, context=b"C") for name in SUITES for content in (b"", bytes(300))]
BOTH = [(signed_data, signed_by_codec, SIGNED), (auth_enveloped_data, sealed_by_codec, SEALED)]
objects = st.sampled_from([(ours, theirs, data) for ours, theirs, made in BOTH for data in made if len(data) < 70_000])


@pytest.mark.parametrize(("ours", "theirs", "made"), BOTH, ids=["signed", "sealed"])
def test_the_parts_are_those_that_the_codec_reads(ours: Any, theirs: Any, made: list[bytes]) -> None:
    for data in made:
        assert ours(data) == theirs(data)
        for other in (reader for reader, _, _ in BOTH if reader is not ours):
            assert read(other, data) is None


@given(chosen=objects, place=st.integers(0, 1 << 20), octet=st.integers(0, 255))
def test_damaged_objects_are_read_as_the_codec_reads_them(chosen: Any, place: int, octet: int) -> None:
    ours, theirs, data = chosen
    changed = bytearray(data)
    changed[place % len(changed)] = octet
    alike(ours, theirs, data, bytes(changed))


@given(chosen=objects, start=st.integers(0, 1 << 20), size=st.integers(0, 40), octets=st.binary(max_size=40))
def test_spliced_objects_are_read_as_the_codec_reads_them(chosen: Any, start: int, size: int, octets: bytes) -> None:
    ours, theirs, data = chosen
    start %= len(data)
    alike(ours, theirs, data, data[:start] + octets + data[start + size :])


def alike(ours: Any, theirs: Any, original: bytes, changed: bytes) -> None:
    """The codec reads inside some elements that are only compared, or decoded later: there it may refuse more."""
    found, expected = read(ours, changed), read(theirs, changed)
    if found is not None and expected is None:
        untouched = ours(original)
        inside = {"content_type", "certificates", "crls", "recipient_info"}
        assert {name for name in found._fields if getattr(found, name) != getattr(untouched, name)} & inside
    elif isinstance(found, SignedData):  # versions over 127 are negative ones to the codec, and refused by both
        assert found == expected._replace(version=expected.version & 0xFF)
    else:
        assert found == expected


@pytest.mark.parametrize("made", [SIGNED[1], SIGNED[3], SEALED[0]], ids=["signed", "with more", "sealed"])
def test_no_part_of_an_object_and_nothing_after_it_is_an_object(made: bytes) -> None:
    for data in [*(made[:size] for size in range(len(made))), made + b"\0", made + made]:
        assert (read(signed_data, data), read(auth_enveloped_data, data)) == (None, None)


@pytest.mark.parametrize("made", [SIGNED[1], SIGNED[3], SEALED[1]], ids=["signed", "with more", "sealed"])
def test_an_element_more_anywhere_is_refused(made: bytes) -> None:
    """Wherever the structure is known, one more element is one too many."""
    ours, theirs = next((ours, theirs) for ours, theirs, objects in BOTH if made in objects)
    for more in (b"\x05\x00", b"\x04\x00", b"\x30\x00", b"\xa1\x00"):
        for changed in lengthened(made, more):
            alike(ours, theirs, made, changed)


def lengthened(der: bytes, more: bytes) -> list[bytes]:
    """The DER with one more element at the end of each constructed one, every length made to fit."""
    found, place = [], 0
    begin, end = extent(der, 0, der[0])
    if not der[0] & 0x20:
        return []
    content = der[begin:end]
    while place < len(content):
        _, after = extent(content, place, content[place])
        for inner in lengthened(content[place:after], more):
            found.append(tlv(der[0], content[:place], inner, content[after:]))
        place = after
    return [*found, tlv(der[0], content, more)]


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 129, 250, 255, 256, 257, 65_530, 65_535, 65_536, 65_537])
def test_a_content_info_is_read_at_every_size_of_its_lengths(size: int) -> None:
    for more in range(20):
        made = content_info(SIGNED_DATA, bytes(size + more))
        assert made == tlv(0x30, SIGNED_DATA, explicit(0, tlv(0x30, bytes(size + more))))
        with pytest.raises(DecodingFailure, match="no version"):
            signed_data(made)


def test_what_is_too_large_is_refused_unread() -> None:
    with pytest.raises(DecodingFailure, match="exceed the limit"):
        signed_data(content_info(SIGNED_DATA, bytes(MAX_SIZE)))


# --- one element ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_an_element_is_where_its_length_says(size: int) -> None:
    data = b"before" + tlv(0x04, bytes(size)) + b"after"
    begin = 6 + len(head(0x04, size))
    assert extent(data, 6, 0x04) == (begin, begin + size)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("0480", "indefinite"),
        ("048100", "length in two octets instead of one"),
        ("04817f" + "00" * 127, "length in two octets instead of one"),
        ("048200ff" + "00" * 255, "length in three octets instead of two"),
        ("0483000100" + "00" * 256, "length in four octets instead of three"),
        ("0402 00", "cut"),
        ("048201 00" + "00" * 255, "cut by one octet"),
        ("0484ffffffff", "far too long"),
        ("04ff" + "ff" * 127, "longest length there is"),
        ("0502 0000", "another tag"),
        ("2402 0000", "constructed"),
    ],
)
def test_an_element_that_is_no_der_is_refused(octets: str, why: str) -> None:
    with pytest.raises(DecodingFailure):
        extent(bytes.fromhex(octets), 0, 0x04)


@given(octets=st.binary(max_size=12))
def test_an_element_is_found_exactly_where_the_codec_finds_one(octets: bytes) -> None:
    def ours(data: bytes) -> bytes:
        begin, end = extent(data, 0, 0x04)
        if end != len(data):
            raise DecodingFailure("more")
        return data[begin:end]

    data = b"\x04" + octets
    expected = read(lambda given: decode(bytes, given), data)
    assert read(ours, data) == expected


@pytest.mark.parametrize("octets", ["", "04", "0482", "048201", "0481"])
def test_an_element_that_is_cut_in_its_head_is_refused(octets: str) -> None:
    with pytest.raises(DecodingFailure):
        extent(bytes.fromhex(octets), 0, 0x04)
