"""Looking for secrets in byte strings, however they are written."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from tests.secrecy.spy import leaves


def packed(digits: str) -> bytes:
    """Two digits in an octet (BCD)."""
    return bytes.fromhex(digits)


def swapped(digits: str) -> bytes:
    """The same with the nibbles of each octet exchanged (semi-octets)."""
    return bytes.fromhex("".join(digits[i + 1] + digits[i] for i in range(0, len(digits), 2)))


def alignments(digits: str) -> tuple[str, str]:
    """The whole octets of packed digits that begin on an octet, and that begin half an octet later.

    What fills up an odd number (0, F, on either side, or the neighbour field) then does not matter.
    """
    late = digits[1:]
    return digits[: len(digits) & ~1], late[: len(late) & ~1]


def base64_cores(data: bytes) -> Iterator[bytes]:
    """The characters that ``data`` alone decides, for each place in a group of three; both alphabets."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + data)
        core = text[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))


def digit_forms(digits: str) -> dict[str, bytes]:
    """Ways to write a number of digits in octets."""
    forms: dict[str, bytes] = {}
    for name, text in (("", digits), ("reversed ", digits[::-1])):
        forms |= {
            name + "ASCII": text.encode(),
            name + "UTF-16LE": text.encode("utf-16-le"),
            name + "UTF-16BE": text.encode("utf-16-be"),
        }
        for place, part in zip(("", " half an octet later"), alignments(text), strict=True):
            forms[name + "BCD" + place] = packed(part)
            forms[name + "BCD, nibbles exchanged" + place] = swapped(part)
    for separator in (" ", "-"):
        forms[f"ASCII, groups of four, {separator!r}"] = separator.join(re.findall("....", digits)).encode()
    number = int(digits)
    size = (number.bit_length() + 7) // 8
    forms["integer"] = number.to_bytes(size, "big")
    forms["integer, little-endian"] = number.to_bytes(size, "little")
    return forms


def octet_forms(octets: bytes) -> dict[str, bytes]:
    """Ways to write octets: as they are, and backwards."""
    return {"octets": octets, "reversed octets": octets[::-1]}


def needles(forms: dict[str, bytes]) -> dict[bytes, str]:
    """Octets to look for → how they are written: each form as it is, in hexadecimal and in Base64."""
    found: dict[bytes, str] = {}
    for name, data in forms.items():
        found.setdefault(data, name)
        found.setdefault(data.hex().encode(), f"hex of {name}")
        found.setdefault(data.hex().upper().encode(), f"HEX of {name}")
        found.setdefault(data.hex(":").encode(), f"hex with colons of {name}")
        for core in base64_cores(data):
            found.setdefault(core, f"Base64 of {name}")
    return found


SEPARATOR = b"\xff\x00\xff\x7f"


@dataclass(frozen=True)
class Scanner:
    """Looks for one card's secrets."""

    pan: str
    expiry: str
    pan_secret: bytes
    card_secret: bytes

    @cache  # noqa: B019  # there are as many as there are cards
    def needles(self) -> dict[bytes, str]:
        """Everything to look for but the expiry, which is too short to be looked for among random octets."""
        named: dict[bytes, str] = {}
        for what, forms in (
            ("PAN", digit_forms(self.pan)),
            ("PANSecret", octet_forms(self.pan_secret)),
            ("CardSecret", octet_forms(self.card_secret)),
        ):
            named |= {needle: f"{what} in {how}" for needle, how in needles(forms).items()}
        return named

    def hits(self, blobs: Iterable[bytes], wanted: Callable[[str], bool] = lambda name: True) -> set[str]:
        """What is found, and how it is written."""
        haystack = SEPARATOR.join(blobs)
        return {name for needle, name in self.needles().items() if wanted(name) and needle in haystack}

    def expiry_hits(self, blobs: Iterable[bytes]) -> list[bytes]:
        """Blobs with the expiry as a value of its own: a whole DER element, or digits with no digit beside them.

        Written YYYYMM, YYMM or MMYY with a separator, in ASCII, or YYYYMM in BCD as a whole element.
        """
        year, month = self.expiry[:4], self.expiry[4:]
        values = {self.expiry.encode(), packed(self.expiry), self.expiry[::-1].encode(), f"{month}/{year[2:]}".encode()}
        values |= {self.expiry.encode(code) for code in ("utf-16-le", "utf-16-be")}
        text = re.compile(
            rf"(?<![0-9A-Za-z+/]){self.expiry}(?![0-9A-Za-z+/])|{year}-{month}(?![-0-9])|{month}/{year[2:]}"
        )
        seen: set[bytes] = set()
        found = []
        digits = (self.expiry.encode(), f"{year}-{month}".encode(), f"{month}/{year[2:]}".encode())
        for blob in blobs:
            if not any(octets in blob for octets in (*digits, *values)):
                continue
            is_text = blob.isascii() and blob.decode("ascii").isprintable()
            if (is_text and text.search(blob.decode("ascii"))) or not values.isdisjoint(leaves(blob, seen)):
                found.append(blob)
        return found
