"""How hosts write ISO 8583: field tables as data.  A new host is a table, a code map and a framing (bank.md §1, §2).

Inside the program every message is in one form, that of 1987 with text and upper-case hexadecimal for octets
(``messages``).  A :class:`Dialect` says what a host has on its wire instead: how fields are encoded, what they are
called, what its response codes are and how long messages are told apart on the line.

Formats are written as in the standard: ``n6`` six digits; ``LLn19`` up to nineteen, two-digit length in front;
``an``, ``ans`` letters, digits (and signs); ``xn8`` a sign letter C or D and eight digits; ``b8`` eight octets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FIELDS_1987: Final[Mapping[int, str]] = {
    2: "LLn19",
    3: "n6",
    4: "n12",
    7: "n10",
    11: "n6",
    12: "n6",
    13: "n4",
    14: "n4",
    15: "n4",
    18: "n4",
    19: "n3",
    22: "n3",
    25: "n2",
    32: "LLn11",
    33: "LLn11",
    37: "an12",
    38: "an6",
    39: "an2",
    41: "ans8",
    42: "ans15",
    43: "ans40",
    44: "LLan25",
    48: "LLLans999",
    49: "n3",
    50: "n3",
    54: "LLLan120",
    64: "b8",
    66: "n1",
    70: "n3",
    **dict.fromkeys(range(74, 78), "n10"),
    **dict.fromkeys(range(86, 90), "n16"),
    90: "n42",
    95: "an42",
    97: "xn16",
    99: "LLn11",
    126: "LLLb255",
    128: "b8",
}
"""The fields that this project sends or takes (bank.md §2).  Any other is a format error."""

FIELDS_1993: Final[Mapping[int, str]] = {
    **{n: f for n, f in FIELDS_1987.items() if n not in (13, 18, 25, 70, 90, 95)},
    12: "n12",
    22: "an12",
    24: "n3",
    25: "n4",
    26: "n4",
    30: "n24",
    37: "an12",
    39: "n3",
    49: "n3",
    56: "LLn42",
}
"""The same content where 1993 puts it.  DE 56 has its MTI and is longer here than the standard's 35, which has no
second institution; a host that is strict about it gets a table of its own."""

_CODES_1993: Final = (
    "00:000 08:001 10:002 11:003 01:107 02:108 03:109 04:200 05:100 07:207 12:902 13:110 "
    "14:111 15:908 25:914 30:904 33:201 34:202 36:204 38:206 40:115 41:208 43:209 51:116 "
    "54:101 55:117 56:118 57:119 58:120 59:102 61:121 62:104 63:122 65:123 75:106 85:085 "
    "91:907 92:905 94:913 95:501 96:909"
)
CODES_1993: Final[Mapping[str, str]] = {pair[:2]: pair[3:] for pair in _CODES_1993.split()}
"""Response code of 1987 → action code of 1993 (bank.md §4).  One table per host; what is missing is a decline."""

REASONS_1993: Final[Mapping[str, str]] = {"17": "4000", "22": "4020", "68": "4021"}
"""DE 39 of a reversal of 1987 → reason (DE 25) of 1993: cancelled, invalid answer, time-out."""

NETWORK_1993: Final[Mapping[str, str]] = {"001": "801", "002": "802", "301": "831"}
"""DE 70 of 1987 → function code (DE 24) of 1993: sign-on, sign-off, echo."""


@dataclass(frozen=True)
class Framing:
    """How the length of a message is written in front of it: ``size`` octets, binary or digits, with itself or not."""

    size: int = 2
    digits: bool = False
    inclusive: bool = False

    def pack(self, message: bytes) -> bytes:
        """The message with its length in front.  ValueError if it is too long for this framing."""
        length = len(message) + (self.size if self.inclusive else 0)
        try:
            front = f"{length:0{self.size}d}".encode() if self.digits else length.to_bytes(self.size, "big")
        except OverflowError:
            raise ValueError("too long for this framing") from None
        if len(front) != self.size:
            raise ValueError("too long for this framing")
        return front + message

    def length(self, front: bytes) -> int:
        """How many octets follow.  ValueError if ``front`` is no length."""
        if self.digits and not front.isdigit():
            raise ValueError("no length in front of the message")
        told = int(front) if self.digits else int.from_bytes(front, "big")
        length = told - (self.size if self.inclusive else 0)
        if length < 1:
            raise ValueError("no message has this length")
        return length


def _same(fields: dict[int, str], year: str) -> dict[int, str]:
    return fields


@dataclass(frozen=True)
class Dialect:
    """One host's way of writing.  ``packed``: digits as BCD, bitmaps and lengths binary."""

    name: str
    version: str
    """First digit of the MTI."""
    fields: Mapping[int, str]
    packed: bool = False
    codes: Mapping[str, str] = field(default_factory=dict)
    """Our response code → the host's; empty: they are ours."""
    framing: Framing = Framing()
    to_host: Callable[[dict[int, str], str], dict[int, str]] = _same
    """Our fields, year → the host's fields."""
    from_host: Callable[[dict[int, str], str], dict[int, str]] = _same

    def spec(self) -> dict[str, dict[str, Any]]:
        """The table as pyiso8583 wants it."""
        head = "b" if self.packed else "ascii"
        base = {"len_enc": "ascii", "len_type": 0, "max_len": 0, "desc": ""}
        made = {
            "h": {**base, "data_enc": "ascii"},
            "t": {**base, "data_enc": head, "max_len": 4},
            "p": {**base, "data_enc": head, "max_len": 16},
            "1": {**base, "data_enc": head, "max_len": 16},
        }
        return made | {str(number): self._field(form) for number, form in self.fields.items()}

    def _field(self, form: str) -> dict[str, Any]:
        lengths, kind, size = parse(form)
        packed = self.packed and kind == "n"
        made: dict[str, Any] = {
            "data_enc": "b" if packed or kind == "b" else "ascii",
            "len_enc": "bcd" if self.packed else "ascii",
            "len_type": (lengths + 1) // 2 if self.packed else lengths,
            "max_len": size + (1 if kind == "xn" else 0),
            "desc": "",
        }
        return made | ({"len_count": "nibbles", "left_pad": "0"} if packed else {})


def parse(form: str) -> tuple[int, str, int]:
    """A format of a field, like ``LLan19``: digits of the length in front, kind, size.  ValueError if it is none."""
    found = re.fullmatch(r"(L*)(xn|ans|an|n|b)(\d+)", form)
    if found is None:
        raise ValueError(f"no format of a field: {form}")
    return len(found[1]), found[2], int(found[3])


def _to_1993(fields: dict[int, str], year: str) -> dict[int, str]:
    made = dict(fields)
    local, day = made.pop(12, None), made.pop(13, None)
    if local is not None and day is not None:
        made[12] = year[2:] + day + local
    for old, new in _MOVED.items():
        if old in made:
            made[new] = made.pop(old)
    if 70 in made:
        made[24] = NETWORK_1993[made.pop(70)]
    if 22 in made:
        made[22] = made[22] + "0" * 9
    if 95 in made:
        made[30] = made.pop(95)[:24]
    if 25 in made:
        made[25] = made[25].zfill(4)
    if 56 in made and 39 in made:  # a reversal
        made[24] = "401" if 30 in made else "400"
        made[25] = REASONS_1993[made.pop(39)]
    elif 24 not in made and 18 in fields:
        made[24] = "201" if 56 in made else "100"
    return made


def _from_1993(fields: dict[int, str], year: str) -> dict[int, str]:
    made = dict(fields)
    function = made.pop(24, None)
    if function is not None and function.startswith("8"):
        made[70] = {new: old for old, new in NETWORK_1993.items()}.get(function, function)
    if 12 in made:
        made[13], made[12] = made[12][2:6], made[12][6:]
    for old, new in _MOVED.items():
        if new in made:
            made[old] = made.pop(new)
    if 22 in made:
        made[22] = made[22][:3]
    if 30 in made:
        made[95] = made.pop(30) + "C00000000" * 2
    if 25 in made:
        reasons = {new: old for old, new in REASONS_1993.items()}
        if made[25] in reasons:
            made[39], made[25] = reasons[made[25]], "59"  # 1993 has the reason in the place of the condition
        made[25] = made[25][-2:]
    return made


_MOVED: Final = {18: 26, 90: 56}

ASCII_1987: Final = Dialect("ASCII 1987", "0", FIELDS_1987)
"""This project's own: hexadecimal bitmaps, octets raw."""
BCD_1987: Final = Dialect("BCD 1987", "0", FIELDS_1987, packed=True, framing=Framing(inclusive=True))
ASCII_1993: Final = Dialect(
    "ASCII 1993",
    "1",
    FIELDS_1993,
    codes=CODES_1993,
    framing=Framing(size=4, digits=True),
    to_host=_to_1993,
    from_host=_from_1993,
)
DIALECTS: Final = {dialect.name: dialect for dialect in (ASCII_1987, BCD_1987, ASCII_1993)}
