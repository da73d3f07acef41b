"""Ways to damage a message: octets, TLVs at any depth (with the lengths around them put right), header fields.

Everything is drawn from a ``random.Random`` that is handed in, so a mutant is named by its seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pki.der import tlv
from setproto.messages.registry import ERROR_TAG
from setproto.messages.wrapper import MAX_MESSAGE

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""Draws from the first, damages the second, may use parts of the others."""


# --- a small DER walker -------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """One TLV inside an octet string: where it starts, where its content starts, where it ends, and in which it is."""

    start: int
    content: int
    end: int
    tag: int
    parent: int
    """Index of the TLV around it, or -1."""

    @property
    def is_constructed(self) -> bool:
        return bool(self.tag & 0x20)


def head_of(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """(start of the content, end) of the TLV that begins at ``start``, if it has one that fits before ``end``."""
    place = start + 1
    if place >= end:
        return None
    if data[start] & 0x1F == 0x1F:
        while place < end and data[place] & 0x80:
            place += 1
        place += 1
    if place >= end:
        return None
    size, place = data[place], place + 1
    if size & 0x80:
        octets = size & 0x7F
        size = int.from_bytes(data[place : place + octets], "big")
        place += octets
    return (place, place + size) if place + size <= end else None


def walk(data: bytes) -> tuple[Node, ...]:
    """Every TLV in it, outermost first; also those inside octet strings that hold one SEQUENCE."""
    return _walk(data) if len(data) > 16_000 else _remembered(data)


@lru_cache(maxsize=128)
def _remembered(data: bytes) -> tuple[Node, ...]:
    return _walk(data)


def _walk(data: bytes) -> tuple[Node, ...]:
    nodes: list[Node] = []

    def descend(start: int, end: int, parent: int, depth: int = 0) -> bool:
        before = len(nodes)
        while start < end:
            found = head_of(data, start, end)
            if found is None:
                del nodes[before:]
                return False
            content, stop = found
            nodes.append(Node(start, content, stop, data[start], parent))
            mine = len(nodes) - 1
            if depth > 40:
                pass  # deep enough: what is in there is taken as one value
            elif data[start] & 0x20:
                if not descend(content, stop, mine, depth + 1):
                    del nodes[before:]
                    return False
            elif data[start] in (0x04, 0x80, 0x81, 0x82) and stop - content > 2 and data[content] == 0x30:
                inner = head_of(data, content, stop)
                if inner is not None and inner[1] == stop:
                    descend(content, stop, mine, depth + 1)
            start = stop
        return True

    descend(0, len(data), -1)
    return tuple(nodes)


def spliced(data: bytes, node: Node, new: bytes) -> bytes:
    """``data`` with the octets of ``node`` replaced, and the lengths of everything around it put right."""
    nodes = walk(data)
    start, end = node.start, node.end
    while node.parent >= 0:
        node = nodes[node.parent]
        content = data[node.content : start] + new + data[end : node.end]
        identifier = data[node.start : _after_tag(data, node.start)]
        new = identifier + tlv(0, content)[1:]
        start, end = node.start, node.end
    return data[:start] + new + data[end:]


def _after_tag(data: bytes, start: int) -> int:
    place = start + 1
    if data[start] & 0x1F == 0x1F:
        while data[place] & 0x80:
            place += 1
        place += 1
    return place


def raw(data: bytes, node: Node) -> bytes:
    """The octets of a TLV."""
    return data[node.start : node.end]


# --- octets -------------------------------------------------------------------------------------


def truncated(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data))] if data else data


def extended(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data + rng.randbytes(rng.randint(1, 64))


def flipped(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    octets = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
    return bytes(octets)


def overwritten(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    size = rng.randint(1, 16)
    place = rng.randrange(len(data))
    return data[:place] + rng.randbytes(size) + data[place + size :]


def cut_out(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + data[place + rng.randint(1, 64) :]


def doubled(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data))
    size = rng.randint(1, 64)
    return data[: place + size] + data[place:]


def crossed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of one message, the end of another."""
    other = rng.choice(others)
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


# --- TLVs ---------------------------------------------------------------------------------------


def _any(rng: random.Random, data: bytes) -> Node | None:
    nodes = walk(data)
    return rng.choice(nodes) if nodes else None


def length_changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A length field that lies, is not in its shortest form, is indefinite, or promises gigabytes."""
    node = _any(rng, data)
    if node is None:
        return data
    place = _after_tag(data, node.start)
    size = node.end - node.content
    lie = rng.choice(
        (
            tlv(0, bytes(max(0, size + rng.choice((-2, -1, 1, 2)))))[1 : 1 + node.content - place],
            b"\x80",
            b"\x84\xff\xff\xff\xff",
            b"\x88\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x83" + size.to_bytes(3, "big"),
            b"\xff",
            b"\x00",
        )
    )
    return data[:place] + lie + data[node.content :]


def removed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    node = _any(rng, data)
    return data if node is None else spliced(data, node, b"")


def duplicated(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    node = _any(rng, data)
    return data if node is None else spliced(data, node, raw(data, node) * rng.choice((2, 2, 3, 50)))


def reordered(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The elements of one constructed TLV in another order."""
    nodes = walk(data)
    parents = [i for i, node in enumerate(nodes) if node.is_constructed]
    if not parents:
        return data
    chosen = rng.choice(parents)
    children = [raw(data, node) for node in nodes if node.parent == chosen]
    rng.shuffle(children)
    node = nodes[chosen]
    return spliced(data, node, data[node.start : _after_tag(data, node.start)] + tlv(0, b"".join(children))[1:])


TAGS = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0A,
    0x0C,
    0x13,
    0x17,
    0x18,
    0x30,
    0x31,
    0x80,
    0x81,
    0x82,
    0xA0,
    0xA1,
    0xA2,
)


def retagged(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    node = _any(rng, data)
    if node is None:
        return data
    return spliced(data, node, tlv(rng.choice(TAGS), data[node.content : node.end]))


def swapped(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A value of another message in the place of one of the same tag."""
    node, other = _any(rng, data), rng.choice(others)
    if node is None:
        return data
    alike = [raw(other, its) for its in walk(other) if its.tag == node.tag]
    return spliced(data, node, rng.choice(alike)) if alike else removed(rng, data, others)


def swapped_inside(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Two values of one message in each other's place: one of them, to be exact, twice."""
    return swapped(rng, data, (data,))


def nested(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Thousands of levels in the place of one value."""
    node = _any(rng, data)
    deep = deep_sequence(rng.choice((40, 1000, 10_000)), rng.choice((0x30, 0xA0, 0x31)))
    return deep if node is None else spliced(data, node, deep)


@lru_cache(maxsize=64)
def deep_sequence(levels: int, tag: int = 0x30) -> bytes:
    """A TLV in a TLV in a TLV, built from the inside."""
    pieces: list[bytes] = []
    size = 0
    for _ in range(levels):
        octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
        header = bytes((tag, size)) if size < 0x80 else bytes((tag, 0x80 | len(octets))) + octets
        pieces.append(header)
        size += len(header)
    return b"".join(reversed(pieces))


def integer(value: int) -> bytes:
    """Content octets of an INTEGER."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


INTEGERS = tuple(
    integer(value)
    for value in (0, 1, 2, 3, 7, 28, 64, 65, 99, 100, 366, 367, 840, 978, 1000, 4200, 10**6, 10**18, 10**18 + 1)
) + tuple(
    integer(value) for value in (-1, -2, -6, -7, -4200, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63), 10**30, 10**5000)
)
DATES = (
    *(b"20260115120000Z", b"20260401000000Z", b"20270101000000Z", b"20250101000000Z", b"99991231235959Z"),
    *(b"00010101000000Z", b"20260230000000Z", b"20260115120000.5Z", b"20260115120060Z", b"20260115120000+0100", b""),
)
TEXTS = (
    b"",
    b"x",
    "é€\U0001f600".encode(),
    b"\xff\xfe",
    b"\x00",
    b"x" * 65,
    b"x" * 5000,
    b"4111111111111111",
    b"203012",
    b"199901",
    "４１１１１１１１１１１１１１１１".encode(),
    "²03012".encode(),
)
OIDS = (bytes.fromhex("550403"), bytes.fromhex("2a"), b"\x80\x01", b"\x88\x37" * 40, b"", b"\xff" * 12 + b"\x7f")


def _value(rng: random.Random, tag: int, old: bytes) -> bytes:
    """Another content for a primitive TLV of this tag."""
    if tag == 0x02:
        return rng.choice(INTEGERS)
    if tag == 0x01:
        return rng.choice((b"\x00", b"\xff", b"\x01", b""))
    if tag == 0x06:
        return rng.choice(OIDS)
    if tag in (0x17, 0x18):
        return rng.choice(DATES)
    if tag in (0x0C, 0x13):
        return rng.choice(TEXTS)
    if tag == 0x04:
        return rng.choice(
            (
                b"",
                b"\x00" * len(old),
                rng.randbytes(len(old)),
                rng.randbytes(rng.choice((1, 19, 20, 21, 32, 33))),
                old[:-1],
                old + b"\x00",
                old[:-1] + bytes((old[-1] ^ 1,)) if old else b"",
            )
        )
    return _value(rng, rng.choice((0x02, 0x04, 0x0C, 0x18, 0x06, 0x01)), old)


@lru_cache(maxsize=128)
def _leaves(data: bytes) -> tuple[Node, ...]:
    return tuple(node for node in walk(data) if not node.is_constructed)


def revalued(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One elementary value replaced by another of its type: zero, negative, huge, empty, far away, not a character."""
    leaves = _leaves(data) if len(data) <= 16_000 else tuple(n for n in walk(data) if not n.is_constructed)
    if not leaves:
        return data
    # Most of them in the later two thirds: what begins a body says whose it is, and is refused at the door.
    node = leaves[rng.randrange(len(leaves) // 3, len(leaves))] if rng.random() < 0.7 else rng.choice(leaves)
    identifier = data[node.start : _after_tag(data, node.start)]
    return spliced(data, node, identifier + tlv(0, _value(rng, node.tag, data[node.content : node.end]))[1:])


def inserted(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Something that was not there: an optional field, an extension."""
    node = _any(rng, data)
    if node is None:
        return data
    tag = rng.choice((0x80, 0x81, 0x82, 0x83, 0xA0, 0xA1, 0xA2, 0xA3, 0x02, 0x01, 0x04, 0x0A))
    extension = tlv(0x30, b"\x06\x03\x2a\x03\x04", rng.choice((b"\x01\x01\xff", b"")), b"\x04\x01x")
    content = rng.choice((extension, extension * 40, rng.choice(INTEGERS), b"\x0c\x01x", _value(rng, 0x04, b"x" * 20)))
    before = rng.random() < 0.5
    new = tlv(tag, content)
    return spliced(data, node, new + raw(data, node) if before else raw(data, node) + new)


def oversized(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """More than anybody reads, or one octet less: as trailing octets, as one huge value."""
    size = rng.choice((MAX_MESSAGE - len(data) - 16, MAX_MESSAGE, 2 * MAX_MESSAGE, 4 * MAX_MESSAGE))
    filling = bytes(max(0, size))
    node = _any(rng, data)
    if node is None or rng.random() < 0.3:
        return data + filling
    return spliced(data, node, tlv(rng.choice((data[node.start], 0x04, 0x0C, 0x30)), filling))


# --- the wrapper --------------------------------------------------------------------------------

NUMBERS = (*range(24), 30, 31, 127, 128, ERROR_TAG, ERROR_TAG + 1, 2**14, 2**28, 2**31)


def message_tag(number: int) -> bytes:
    """Identifier octets of the CHOICE alternative."""
    if number < 31:
        return bytes((0xA0 | number,))
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(0x80 | number & 0x7F)
    return bytes((0xBF, *reversed(septets)))


def _parts(data: bytes) -> tuple[bytes, Node] | None:
    """(header, message) of a wrapper."""
    outermost = [node for node in walk(data) if node.parent == 0]
    return (raw(data, outermost[0]), outermost[1]) if len(outermost) >= 2 else None


def type_confused(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The body under the number of another message, or the body of another message under this number."""
    parts = _parts(data)
    if parts is None:
        return data
    header, message = parts
    if rng.random() < 0.5:
        body = data[message.content : message.end]
        return tlv(0x30, header, message_tag(rng.choice(NUMBERS)) + tlv(0, body)[1:])
    other = _parts_of_other(rng, others)
    return data if other is None else tlv(0x30, header, data[message.start : _after_tag(data, message.start)] + other)


def _parts_of_other(rng: random.Random, others: Sequence[bytes]) -> bytes | None:
    other = rng.choice(others)
    parts = _parts(other)
    return None if parts is None else tlv(0, other[parts[1].content : parts[1].end])[1:]


def header_changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One field of the header damaged in some way, or an extension of the wrapper added."""
    parts = _parts(data)
    if parts is None:
        return data
    header, message = parts
    rest = data[message.start :]
    if rng.random() < 0.15:
        critical = rng.choice((b"\x01\x01\xff", b""))
        extension = tlv(0x30, tlv(0x06, rng.choice(OIDS)), critical, tlv(0x04, b"x"))
        return tlv(0x30, header, raw(data, message), tlv(0xA0, extension * rng.choice((1, 2, 2000))))
    damage = rng.choice(
        (revalued, revalued, revalued, removed, duplicated, retagged, inserted, swapped, length_changed)
    )
    return tlv(0x30, damage(rng, header, others), rest)


OUTER: tuple[Mutation, ...] = (
    *(truncated, extended, flipped, flipped, overwritten, cut_out, doubled, crossed),
    *(length_changed, removed, duplicated, reordered, retagged, swapped, swapped_inside, revalued, revalued, inserted),
    *(type_confused, header_changed, header_changed, nested),
)
"""What is done to whole messages.  Oversized ones are slow to make, so they are drawn apart, and less often."""

INNER: tuple[Mutation, ...] = (
    *(revalued, revalued, revalued, revalued, removed, duplicated, reordered, retagged, swapped, swapped_inside),
    *(inserted, inserted, flipped, nested),
)
"""What is done to bodies that are then signed and sealed again."""


def outer(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A damaged message."""
    if rng.random() < 0.004:
        return oversized(rng, data, others)
    mutant = rng.choice(OUTER)(rng, data, others)
    return rng.choice(OUTER)(rng, mutant, others) if mutant and rng.random() < 0.15 else mutant


def inner(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A damaged body."""
    mutant = rng.choice(INNER)(rng, data, others)
    return rng.choice(INNER)(rng, mutant, others) if mutant and rng.random() < 0.3 else mutant
