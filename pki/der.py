"""Strict DER for declarative Python classes: the only module that touches the ASN.1 codec.

The codec is ``cryptography.hazmat.asn1``: Rust, strict DER, inside a dependency
that is needed anyway (docs/adr/0001).  Upstream still marks it provisional, so
everything else imports it from here, and a change of codec is a change of one file.

A type is declared once::

    @sequence
    class RRTags:
        rrpid: RRPID
        date: Time

and gains keyword-only construction, immutability, comparison by value, ``encode``
and ``decode``.  ``decode(encode(x)) == x`` and ``encode(decode(T, b)) == b`` hold for
every value and for every byte string that decodes: DER has one encoding per value.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import operator
import typing

from cryptography.hazmat import asn1
from cryptography.hazmat.asn1 import (
    TLV,
    BitString,
    Default,
    Explicit,
    GeneralizedTime,
    Implicit,
    Null,
    PrintableString,
    SetOf,
    Size,
    UTCTime,
    Variant,
)

__all__ = [
    "MAX_SIZE",
    "TLV",
    "BitString",
    "DecodingFailure",
    "Default",
    "Explicit",
    "GeneralizedTime",
    "Implicit",
    "Null",
    "PrintableString",
    "Redacted",
    "SetOf",
    "Size",
    "UTCTime",
    "Variant",
    "as_received",
    "decode",
    "encode",
    "explicit",
    "extent",
    "general_time",
    "head",
    "replace",
    "sequence",
    "tlv",
    "value_set",
]

MAX_SIZE = 1 << 20
"""Octets: nothing larger is given to the parser, CRLs excepted.  Protocol layers set lower limits of their own."""

T = typing.TypeVar("T")
E = typing.TypeVar("E", bound=enum.Enum)


class DecodingFailure(ValueError):
    """The bytes are not the DER encoding of the type asked for.  The cause is named, never the content."""


@typing.dataclass_transform(kw_only_default=True, frozen_default=True)
def sequence(cls: type[T]) -> type[T]:
    """Declare ``cls`` as an ASN.1 SEQUENCE and as a frozen, keyword-only value.

    The codec's own decorator makes a mutable class without ``__eq__`` and ``__repr__``;
    dataclass() does not replace an ``__init__`` it finds, hence the ``del``.
    """
    registered = asn1.sequence(cls)
    del registered.__init__
    return dataclasses.dataclass(frozen=True, kw_only=True, repr=not issubclass(cls, Redacted))(registered)


def value_set(base: type) -> typing.Callable[[type[E]], type[E]]:
    """Declare an enumeration whose members are encoded as their values, of type ``base``."""
    register = asn1.value_set(base)

    def declare(cls: type[E]) -> type[E]:
        # The codec asks for ``value`` for every member that it writes; Enum answers with a function in Python, which
        # costs more than the encoding.
        cls.value = property(operator.attrgetter("_value_"))  # type: ignore[assignment]
        return register(cls)

    return declare


if typing.TYPE_CHECKING:
    from dataclasses import replace  # the type checker knows the fields by this name only
else:

    def replace(value: T, **changes: object) -> T:
        """A copy of a value of a ``sequence`` type with these fields changed, checked as any new value is.

        Does what ``dataclasses.replace`` does, for classes whose every field is an argument, in a third of its time:
        records are changed dozens of times in a purchase.
        """
        known = value.__dict__
        fields = value.__dataclass_fields__
        if len(known) > len(fields):  # a cached property is not carried over
            known = {name: known[name] for name in fields}
        return type(value)(**{**known, **changes})


class Redacted:
    """Base of values that hold card data or keys: they print as a placeholder and refuse to be pickled."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} redacted>"

    def __reduce_ex__(self, protocol: object) -> typing.NoReturn:
        raise TypeError(f"{type(self).__name__} is not written anywhere by accident")


def encode(value: object) -> bytes:
    """The DER encoding of a value of a ``sequence`` type.  ValueError if a size limit is broken."""
    return asn1.encode_der(value)


def decode(cls: type[T], data: bytes, *, limit: int = MAX_SIZE) -> T:
    """The value of type ``cls`` whose DER encoding is exactly ``data`` (no trailing octets).

    DecodingFailure for anything else, including input longer than ``limit`` octets:
    the size is capped before the parser sees a byte.
    """
    if len(data) > limit:
        raise DecodingFailure(f"{cls.__name__}: {len(data)} octets exceed the limit of {limit}")
    try:
        return asn1.decode_der(cls, data)
    except (ValueError, TypeError, OverflowError, RecursionError):
        # The codec's text can quote offsets and kinds that depend on secret content: name the type only.
        raise DecodingFailure(f"not the DER encoding of {cls.__name__}") from None


def general_time(moment: datetime.datetime) -> GeneralizedTime:
    """A GeneralizedTime in UTC to the second, as DER and SET want it.  ``moment`` must be aware."""
    return GeneralizedTime(moment.astimezone(datetime.UTC).replace(microsecond=0))


@functools.lru_cache(maxsize=1024)
def head(tag: int, size: int) -> bytes:
    """Tag (one octet) and definite length in the fewest octets (X.690 §10.1), of an element with ``size`` octets."""
    if size < 0x80:
        return bytes((tag, size))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, *parts: bytes | memoryview) -> bytes:
    """Tag (one octet), definite length in the fewest octets (X.690 §10.1), and the joined ``parts``."""
    content = b"".join(parts)
    return head(tag, len(content)) + content


def as_received(element: TLV) -> bytes:
    """The octets of an element that was read without being interpreted: tag, length and content as they came.

    The codec has checked that the length was in its only DER form, so this rebuilds exactly the input.
    """
    content = element.data  # asked for once: the codec makes a view of it each time
    return b"".join((element.tag_bytes, head(0, len(content))[1:], content))


def extent(data: bytes, place: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at ``place`` begins, and where it ends.

    For the few objects that are signed or sealed anew for every message: there everything but a few elements is known
    to the octet, so that comparing is stricter than decoding, and quicker.  DecodingFailure unless the element has this
    tag (one octet), a definite length in the fewest octets (X.690 §10.1) and lies within ``data`` altogether.
    """
    try:
        size, begin = data[place + 1], place + 2
        if size == 0x82 and data[begin]:  # the length of nearly everything that is longer than 127 octets
            size, begin = data[begin] << 8 | data[begin + 1], begin + 2
        elif size >= 0x80:
            octets = data[begin : begin + (size & 0x7F)]
            size, begin = int.from_bytes(octets, "big"), begin + len(octets)
            if size < 0x80 or octets[0] == 0:
                raise DecodingFailure("a length in more octets than it needs, or an indefinite one")
    except IndexError:
        raise DecodingFailure("cut off") from None
    end = begin + size
    if data[place] != tag or end > len(data):
        raise DecodingFailure(f"no whole element of tag {tag:#04x}")
    return begin, end


def explicit(number: int, content: bytes) -> bytes:
    """``content`` under the context-specific constructed tag ``number``, of any size (X.690 §8.1.2.4)."""
    if number < 31:
        return tlv(0xA0 | number, content)
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(0x80 | (number & 0x7F))
    # A long tag is the short form's octet with all tag bits set, then the number in base 128.
    return bytes((0xBF, *reversed(septets))) + tlv(0, content)[1:]
