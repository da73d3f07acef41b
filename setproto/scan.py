"""Is a card number anywhere in these octets, however it may have been written down?

``encodings_of`` lists every way in which digits are commonly stored; ``scan`` looks for all of them.  Not found is
no proof of absence: encryption hides a number from any scan.  That is what the scan is for: whoever holds these
octets holds nothing that reads as the number.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_CASELESS: Final = "hex"
_TEXTUAL: Final = ("hex", "base64")
_SPACE: Final = b" \t\r\n"


@dataclass(frozen=True)
class Hit:
    """One place where the number was found: which octets, and how it is written there."""

    where: str
    encoding: str


@dataclass(frozen=True)
class Scan:
    """What was searched, for what, and what was found."""

    bytes_scanned: int
    encodings: tuple[str, ...]
    hits: tuple[Hit, ...]


def encodings_of(pan: str) -> dict[str, list[bytes]]:
    """Name of an encoding → the octet strings, one of which occurs wherever the number stands in that encoding."""
    ascii_digits, ebcdic = pan.encode(), bytes(0xF0 + int(digit) for digit in pan)
    wide = {"UTF-16-LE": pan.encode("utf-16-le"), "UTF-16-BE": pan.encode("utf-16-be")}
    packed = _packed(pan)
    grouped = [" ", "-"]
    result = {
        "ASCII": [ascii_digits],
        "ASCII in groups of four": [
            separator.join(pan[start : start + 4] for start in range(0, len(pan), 4)).encode() for separator in grouped
        ],
        **{name: [data] for name, data in wide.items()},
        "UTF-32": [pan.encode("utf-32-le"), pan.encode("utf-32-be")],
        "EBCDIC": [ebcdic],
        "BCD, from a whole octet": _nibbles(pan, 0),
        "BCD, from a half octet": _nibbles(pan, 1),
        "one digit per octet": [bytes(int(digit) for digit in pan)],
        "integer": [int(pan).to_bytes(8, "big"), int(pan).to_bytes(8, "little")],
        "hex of ASCII": [ascii_digits.hex().encode()],
        "hex of BCD": [ascii_digits],
        "hex of EBCDIC": [ebcdic.hex().encode()],
    }
    for name, data in wide.items():
        result[f"hex of {name}"] = [data.hex().encode()]
    for name, data in {"ASCII": ascii_digits, "BCD": packed, **wide}.items():
        result[f"base64 of {name}"] = _base64(data)
    return result


def scan(blobs: Mapping[str, bytes] | Iterable[bytes], pan: str) -> Scan:
    """Look for ``pan`` in every one of ``blobs`` in every encoding.

    Hexadecimal is found in either case, and hexadecimal and base64 also where lines are broken.
    """
    named = blobs if isinstance(blobs, Mapping) else {f"#{number}": blob for number, blob in enumerate(blobs)}
    encodings = encodings_of(pan)
    hits = []
    for where, blob in named.items():
        joined = blob.translate(None, _SPACE)
        lowered = joined.lower()
        for encoding, patterns in encodings.items():
            searched = [blob]
            if encoding.startswith(_TEXTUAL):
                searched.append(joined)
            if encoding.startswith(_CASELESS):
                searched.append(lowered)
            if any(pattern in text for pattern in patterns for text in searched):
                hits.append(Hit(where, encoding))
    return Scan(sum(map(len, named.values())), tuple(encodings), tuple(hits))


def _packed(pan: str) -> bytes:
    """Two digits per octet; an odd number of digits is filled up with F, as in ISO 8583."""
    return bytes.fromhex(pan + "F" * (len(pan) % 2))


def _nibbles(pan: str, shift: int) -> list[bytes]:
    """Packed digits whose first one is in the upper (0) or lower (1) half of its octet.

    What the other half of the first and the last octet holds is unknown, so every value is tried.
    """
    heads = [f"{value:x}" for value in range(16)] if shift else [""]
    tails = [f"{value:x}" for value in range(16)] if (len(pan) + shift) % 2 else [""]
    return [bytes.fromhex(head + pan + tail) for head in heads for tail in tails]


def _base64(data: bytes) -> list[bytes]:
    """The characters that are sure to occur, whatever stands before and after: for each place in a group of three."""
    result = []
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + data)
        # A character holds six bits; those that hold bits of neighbours are left out.
        result.append(text[-(-8 * offset // 6) : 8 * (offset + len(data)) // 6])
    return [
        *result,
        *(text.translate(bytes.maketrans(b"+/", b"-_")) for text in result if b"+" in text or b"/" in text),
    ]
