"""Strict ISO 8583: what pyiso8583 does not check (bank.md §11.1): MTIs, presence, formats, meaning, MACs.

A :class:`Message` is in this project's form (``dialects``); a :class:`Codec` turns it into a host's octets and back.
Nothing that was not checked comes out of ``decode``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import iso8583

from setproto.bank.dialects import ASCII_1987, FIELDS_1987, Dialect, parse
from setproto.card import luhn
from setproto.crypto.digests import equal
from setproto.crypto.macs import MAC_SIZE, line_mac
from setproto.errors import SetError

MAX_MESSAGE: Final = 4096
"""Octets of a message that is read."""


class FormatError(SetError):
    """Not a message that may be sent or taken.  ``message`` is what could be read of it, if its MTI could."""

    def __init__(self, detail: str, message: Message | None = None) -> None:
        super().__init__(detail)
        self.message = message


class BadMAC(FormatError):
    """The MAC of a message is missing or wrong."""


_MASKED: Final = {14, 48, 126}


@dataclass(frozen=True)
class Message:
    """One message: MTI and fields.  ``repr`` shows no card data: of a PAN the first six and the last four digits."""

    mti: str
    fields: Mapping[int, str]

    def __getitem__(self, number: int) -> str:
        return self.fields[number]

    def get(self, number: int) -> str | None:
        """The field, or None."""
        return self.fields.get(number)

    def __repr__(self) -> str:
        shown = ", ".join(f"{n}={_shown(n, value)}" for n, value in sorted(self.fields.items()))
        return f"<Message {self.mti} {shown}>"

    @property
    def is_repeat(self) -> bool:
        """Whether it says of itself that it was sent before."""
        return self.mti[3] in "135"

    def repeated(self) -> Message:
        """The same as a repeat: everything but the last digit of the MTI unchanged (bank.md §5, rule 1)."""
        return replace(self, mti=self.mti[:3] + "1")

    @property
    def first_mti(self) -> str:
        """The MTI that it had when it was sent first."""
        return self.mti[:3] + "0"

    @property
    def response_mti(self) -> str:
        """The MTI of its response, of the first sending and of repeats alike."""
        return f"{int(self.first_mti) + 10:04d}"

    @property
    def key(self) -> str:
        """What names a request at its receiver: DE 32, 41, 11, 7 (bank.md §5, rule 5)."""
        return origin(self[32], self.get(41) or "", self[11], self[7])

    @property
    def match(self) -> tuple[str, str]:
        """What a response has in common with its request (bank.md §5, rule 3)."""
        return self.mti[:2], self.key

    @property
    def original(self) -> str:
        """The key of the message that DE 90 points to, with the terminal of this one."""
        data = self[90]
        return origin(str(int(data[20:31])), self[41], data[4:10], data[10:20])

    def response(self, code: str, **more: str) -> Message:
        """The response to this request: what is echoed, DE 39, and ``more`` (``de38="A1B2C3"``)."""
        echoed = {n: self.fields[n] for n in _ECHOED if n in self.fields and n in PRESENCE[self.response_mti].allowed}
        added = {int(name.removeprefix("de")): value for name, value in more.items()}
        return Message(self.response_mti, echoed | {39: code} | added)


def _shown(number: int, value: str) -> str:
    if number == 2:
        return f"{value[:6]}…{value[-4:]}"
    return "…" if number in _MASKED else value


def origin(acquirer: str, terminal: str, stan: str, sent: str) -> str:
    """The key of a message that was sent at ``sent`` (DE 7) under ``stan``."""
    return f"{int(acquirer)}/{terminal.strip()}/{stan}/{sent}"


_ECHOED: Final = (3, 4, 7, 11, 32, 37, 41, 42, 49, 70)


# --- what may be in a message -------------------------------------------------------------------


@dataclass(frozen=True)
class Presence:
    """Fields that must be there, and fields that may."""

    needed: frozenset[int]
    optional: frozenset[int] = frozenset()

    @property
    def allowed(self) -> frozenset[int]:
        """All that may be there.  MACs are the codec's business."""
        return self.needed | self.optional


def _presence(needed: str, optional: str = "") -> Presence:
    return Presence(*(frozenset(map(int, numbers.split())) for numbers in (needed, optional)))


_REQUEST = _presence("2 3 4 7 11 12 13 14 18 22 25 32 37 41 42 49", "19 33 43 48 126")
_RESPONSE = _presence("3 4 7 11 32 37 39 41 42 49", "12 13 15 38 44 54")
_TOTALS = "74 75 76 77 86 87 88 89 97"
PRESENCE: Final[Mapping[str, Presence]] = {
    "0100": _REQUEST,
    "0110": _RESPONSE,
    "0200": _REQUEST,
    "0210": _RESPONSE,
    "0220": _presence("2 3 4 7 11 12 13 18 22 25 32 37 38 41 42 49 90", "14 19 33 39 43 48 126"),
    "0230": _RESPONSE,
    "0420": _presence("2 3 4 7 11 12 13 25 32 37 39 41 42 49 90", "33 38 95"),
    "0430": _RESPONSE,
    "0500": _presence(f"7 11 15 32 42 50 {_TOTALS}", "41 99"),
    "0510": _presence(f"7 11 32 39 42 66 {_TOTALS}", "15 41 44 50 99"),
    "0800": _presence("7 11 32 70", "41"),
    "0810": _presence("7 11 32 39 70", "41"),
    "0820": _presence("7 11 15 32 70"),
    "0830": _presence("7 11 32 39 70"),
}
"""bank.md §3.1.  Its table has DE 43 as mandatory and its sample message has none: optional here."""

PROCESSING: Final = {"00": "purchase", "20": "refund", "30": "balance", "31": "balance"}
"""First two digits of DE 3."""
_MONTH_DAY = "(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
_CLOCK = "([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"
_MEANINGS: Final = {
    7: _MONTH_DAY + _CLOCK,
    11: "(?!000000)[0-9]{6}",
    12: _CLOCK,
    13: _MONTH_DAY,
    14: "[0-9]{2}(0[1-9]|1[0-2])",
    15: _MONTH_DAY,
    66: "[123]",
    95: "[0-9]{24}[CD][0-9]{8}[CD][0-9]{8}",
}
"""Where a format alone lets nonsense through."""


def _pattern(number: int, form: str) -> re.Pattern[str]:
    lengths, kind, size = parse(form)
    letters = {"n": "[0-9]", "an": "[0-9A-Za-z ]", "ans": "[ -~]", "b": "[0-9A-F]{2}", "xn": "[0-9]"}[kind]
    count = f"{{1,{size}}}" if lengths else f"{{{size}}}"
    plain = ("[CD]" if kind == "xn" else "") + f"(?:{letters}){count}"
    return re.compile(_MEANINGS.get(number, plain))


_PATTERNS: Final = {number: _pattern(number, form) for number, form in FIELDS_1987.items()}
_WITHOUT_MAC: Final = frozenset(FIELDS_1987) - {64, 128}


def check(message: Message) -> None:
    """FormatError if the message breaks a rule of its MTI; the message itself is not quoted."""
    presence = PRESENCE.get(message.first_mti)
    if presence is None or message.mti[3] not in "01" or (message.is_repeat and message.mti[2] in "13"):
        raise FormatError(f"no message type {message.mti[:4]!r}")
    fields = message.fields
    there = fields.keys() & _WITHOUT_MAC
    if missing := presence.needed - there:
        raise FormatError(f"{message.mti} without DE {min(missing)}", message)
    if unwanted := there - presence.allowed:
        raise FormatError(f"{message.mti} with DE {min(unwanted)}", message)
    for number, value in fields.items():
        pattern = _PATTERNS.get(number)
        if pattern is None or not pattern.fullmatch(value):
            raise FormatError(f"DE {number} is malformed", message)
    # PANs that fail the check digit pass: 14 (invalid card number) is the issuer's word.
    if 90 in fields and fields[90][:4] not in PRESENCE:
        raise FormatError("DE 90 names no message", message)


# --- composite fields ---------------------------------------------------------------------------


def original_data(mti: str, stan: str, sent: str, acquirer: str) -> str:
    """DE 90: which message a reversal or capture is about."""
    return f"{mti}{stan}{sent}{acquirer:0>11}{'0' * 11}"


def replacement(stands: int) -> str:
    """DE 95: the amount that stands after a partial reversal, in minor units."""
    return f"{stands:012d}{0:012d}" + "C00000000" * 2


def set_data(xid: bytes, trans_stain: bytes, eci: str = "05") -> str:
    """DE 126 of this project: what the issuer needs of a SET payment (bank.md §3.2).

    XID and TransStain have 20 octets, ECI two digits: ValueError otherwise."""
    if (len(xid), len(trans_stain), len(eci)) != (20, 20, 2):
        raise ValueError("XID and TransStain have 20 octets, ECI two digits")
    return f"{0b11000100:02X}{xid.hex()}{trans_stain.hex()}{eci.encode().hex()}".upper()


_SUBFIELDS: Final = {1: 20, 2: 20, 3: 16, 4: 16, 5: 32, 6: 2, 7: 20, 8: 16}


def read_set_data(field: str) -> dict[int, bytes]:
    """The subfields of DE 126 by number.  FormatError if it is not as laid out."""
    data = bytes.fromhex(field)
    at, found = 1, {}
    for number, size in _SUBFIELDS.items():
        if data[0] >> (8 - number) & 1:
            found[number] = data[at : at + size]
            at += size
    if at != len(data):
        raise FormatError("DE 126 is malformed")
    return found


def retrieval_reference(at: datetime, stan: str) -> str:
    """DE 37: YDDDhhSSSSSS (bank.md §5, rule 2)."""
    return f"{at:%Y}"[-1] + f"{at:%j%H}" + stan


# --- octets -------------------------------------------------------------------------------------


class Codec:
    """Messages of one connection to octets and back.  Without ``mac_key`` the line has no MACs."""

    def __init__(
        self, clock: Callable[[], datetime], dialect: Dialect = ASCII_1987, *, mac_key: bytes | None = None
    ) -> None:
        """``mac_key``: 16 or 32 octets."""
        self.dialect = dialect
        self._spec = dialect.spec()
        self._mac_key = mac_key
        self._clock = clock
        self._codes = dialect.codes
        self._from_codes = {theirs: ours for ours, theirs in dialect.codes.items()}

    def encode(self, message: Message) -> bytes:
        """The octets, without framing.  FormatError if the message may not be sent."""
        check(message)
        fields = dict(message.fields)
        if self._codes and 39 in fields and message.mti[2] in "13":
            fields[39] = self._codes.get(fields[39], self._codes["05"])
        fields = self.dialect.to_host(fields, f"{self._clock():%Y}")
        document = {str(number): value for number, value in fields.items()}
        document["t"] = self.dialect.version + message.mti[1:]
        if self._mac_key is None:
            return bytes(self._encoded(document))
        document["128" if any(number > 64 for number in fields) else "64"] = "00" * MAC_SIZE
        octets = bytes(self._encoded(document)[:-MAC_SIZE])
        return octets + line_mac(self._mac_key, octets)

    def _encoded(self, document: dict[str, str]) -> bytearray:
        try:
            octets, _ = iso8583.encode(document, self._spec)
        except (iso8583.EncodeError, KeyError):
            raise FormatError("cannot be written for this host") from None
        return octets

    def decode(self, octets: bytes) -> Message:
        """The message.  FormatError for anything else, BadMAC if it is not from who shares the key."""
        if len(octets) > MAX_MESSAGE:
            raise FormatError("too long")
        try:
            document, _ = iso8583.decode(octets, self._spec)
        except (iso8583.DecodeError, KeyError):
            raise FormatError("not ISO 8583 as this host writes it") from None
        mti = document.pop("t")
        fields = {int(number): value for number, value in document.items() if number.isdigit() and number != "1"}
        if mti[:1] != self.dialect.version or not mti.isdigit():
            raise FormatError("another version of ISO 8583")
        message = Message("0" + mti[1:], self.dialect.from_host(fields, f"{self._clock():%Y}"))
        if self._codes and 39 in message.fields and message.mti[2] in "13":
            # A code that is not in the table is a decline, never an approval (bank.md §4).
            message = replace(message, fields={**message.fields, 39: self._from_codes.get(message[39], "05")})
        check(message)
        self._check_mac(message, octets)
        return replace(message, fields={n: v for n, v in message.fields.items() if n not in (64, 128)})

    def _check_mac(self, message: Message, octets: bytes) -> None:
        macs = [message.fields[number] for number in (64, 128) if number in message.fields]
        if self._mac_key is None:
            if macs:
                raise BadMAC("a MAC on a line without a key", message)
            return
        expected = line_mac(self._mac_key, octets[:-MAC_SIZE])
        if len(macs) != 1 or not equal(bytes.fromhex(macs[0]), expected):
            raise BadMAC("the MAC is missing or wrong", message)


def valid_number(pan: str) -> bool:
    """Whether DE 2 can be a card number."""
    return 12 <= len(pan) <= 19 and luhn(pan)
