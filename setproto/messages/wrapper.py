"""MessageWrapper and MessageHeader: what a receiver can read before any cryptography (set-protocol.md §2.2, §4.1).

The header is neither signed nor encrypted.  It lets a receiver find its state and refuse what it cannot process;
everything in it that matters is repeated inside the message and compared there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import (
    TLV,
    GeneralizedTime,
    Implicit,
    Size,
    as_received,
    decode,
    encode,
    explicit,
    general_time,
    sequence,
    tlv,
)
from pki.der import DecodingFailure as NotDER
from setproto.crypto.digests import digest
from setproto.errors import DecodingFailure, ErrorCode, MessageTooBig, ProtocolError
from setproto.messages.common import (
    REVISION,
    RRPID_SIZE,
    SW_IDENT,
    VERSION,
    XID_SIZE,
    Extension,
    PartyID,
    TransIDs,
    unknown_critical,
)
from setproto.messages.registry import ERROR_TAG, MESSAGES, MessageType

MAX_MESSAGE: Final = 256 * 1024
"""Octets of a whole message: room for ML-DSA chains of five certificates, three times over."""
MAX_AGE: Final = timedelta(minutes=15)
"""How far a message's date may lie from the receiver's clock, either way: local policy (SET fixes none)."""


@sequence
class MessageIDs:
    """What is known of the purchase's identifiers."""

    lid_c: Annotated[bytes | None, Implicit(0)] = None
    lid_m: Annotated[bytes | None, Implicit(1)] = None
    xid: Annotated[bytes | None, Implicit(2)] = None

    def __post_init__(self) -> None:
        for lid in (self.lid_c, self.lid_m):
            if lid is not None and not 1 <= len(lid) <= 20:
                raise ValueError("a local identifier has 1 to 20 octets")
        if self.xid is not None and len(self.xid) != XID_SIZE:
            raise ValueError(f"an XID has {XID_SIZE} octets")

    @classmethod
    def of(cls, trans_ids: TransIDs | None) -> MessageIDs:
        """Those of a purchase, or none."""
        if trans_ids is None:
            return cls()
        return cls(lid_c=trans_ids.lid_c, lid_m=trans_ids.lid_m, xid=trans_ids.xid)


@sequence
class MessageHeader:
    """Version 2 adds ``sender``: a claim that a sealed object's context is bound to, compared with the signer."""

    version: int
    revision: int
    date: GeneralizedTime
    message_ids: MessageIDs
    rrpid: Annotated[bytes | None, Implicit(0)] = None
    sender: Annotated[PartyID | None, Implicit(1)] = None
    sw_ident: Annotated[str, Size(min=1, max=256)]

    def __post_init__(self) -> None:
        if self.rrpid is not None and len(self.rrpid) != RRPID_SIZE:
            raise ValueError(f"an RRPID has {RRPID_SIZE} octets")

    @cached_property
    def der(self) -> bytes:
        """Its encoding, made once: it is signed, hashed and sent."""
        return encode(self)

    @cached_property
    def digest(self) -> bytes:
        """What stands for it in a signed body, if its wrapper has no extensions."""
        return header_digest(self.der, None)


@sequence
class _Wrapper:
    header: TLV
    message: TLV
    mw_extensions: Annotated[list[Extension] | None, Implicit(0)] = None


@dataclass(frozen=True)
class Wire:
    """A message as it came: header read, body still closed, nothing verified."""

    header: MessageHeader
    header_der: bytes
    header_digest: bytes
    """Over the header and the wrapper's extensions: what signed bodies repeat."""
    type: MessageType[Any] | None
    """None for an Error."""
    body: bytes
    """DER inside the CHOICE alternative."""
    critical: ObjectIdentifier | None
    """A critical extension of the wrapper: none is known."""
    unsealed: list[bytes] = field(default_factory=list, repr=False, compare=False)
    """What came out of its seal, once a receiver has opened it: for the receiver's record."""


def wrap(message_type: MessageType[Any] | None, body: bytes, header: MessageHeader) -> bytes:
    """The DER of a MessageWrapper around an encoded body; ``None`` stands for Error."""
    return tlv(0x30, header.der, explicit(ERROR_TAG if message_type is None else message_type.tag, body))


def rewrapped(data: bytes, body: bytes) -> bytes:
    """A message that ``unwrap`` reads, with another body in its wrapper: header and extensions stay as they are."""
    wrapper = decode(_Wrapper, data, limit=MAX_MESSAGE)
    extensions = wrapper.mw_extensions
    more = b"" if extensions is None else tlv(0xA0, *(encode(extension) for extension in extensions))
    message = wrapper.message.tag_bytes + tlv(0, body)[1:]
    return tlv(0x30, as_received(wrapper.header), message, more)


def header(date: datetime, sender: PartyID | None, rrpid: bytes | None, ids: MessageIDs) -> MessageHeader:
    """A header of this version."""
    return MessageHeader(
        version=VERSION,
        revision=REVISION,
        date=general_time(date),
        message_ids=ids,
        rrpid=rrpid,
        sender=sender,
        sw_ident=SW_IDENT,
    )


def header_digest(header_der: bytes, extensions: list[Extension] | None) -> bytes:
    """What stands for a header and the extensions of its wrapper in a signed body: 32 octets."""
    return digest("MessageHeader", header_der, *(encode(extension) for extension in extensions or ()))


def _tag_number(tag: bytes) -> int | None:
    """The number of a context-specific constructed tag, or None for any other tag."""
    if tag[0] & 0xE0 != 0xA0:
        return None
    number = tag[0] & 0x1F
    if number < 31:
        return number
    number = 0
    for octet in tag[1:]:
        number = number << 7 | (octet & 0x7F)
    return number


def _first_integer(content: bytes) -> int:
    """The INTEGER that a header begins with.  ProtocolError (badMessageHeader) if it does not."""
    if len(content) < 2 or content[0] != 0x02 or not 1 <= content[1] <= 8 or len(content) < 2 + content[1]:
        raise ProtocolError("no version", code=ErrorCode.badMessageHeader)
    return int.from_bytes(content[2 : 2 + content[1]], "big", signed=True)


def unwrap(data: bytes) -> Wire:
    """Steps 1 to 4 of §4.1, and the first half of 7: is it a message of this protocol at all?

    Nothing is verified here.  MessageTooBig, DecodingFailure, or ProtocolError with versionTooOld, versionTooNew,
    badMessageHeader or messageNotSupported.
    """
    if len(data) > MAX_MESSAGE:
        raise MessageTooBig(f"{len(data)} octets, at most {MAX_MESSAGE} are read")
    try:
        wrapper = decode(_Wrapper, data, limit=MAX_MESSAGE)
    except NotDER as failure:
        raise DecodingFailure(str(failure)) from None
    inside = bytes(wrapper.header.data)
    # The version is the first element of every version's header: read it before assuming the rest.
    version = _first_integer(inside)
    if version != VERSION:
        code = ErrorCode.versionTooOld if version < VERSION else ErrorCode.versionTooNew
        raise ProtocolError(f"another version; this is version {VERSION}", code=code)
    header_der = as_received(wrapper.header)
    try:
        read = decode(MessageHeader, header_der)
    except NotDER as failure:
        raise ProtocolError(str(failure), code=ErrorCode.badMessageHeader) from None
    number = _tag_number(wrapper.message.tag_bytes)
    if number != ERROR_TAG and number not in MESSAGES:
        raise ProtocolError("no such message", code=ErrorCode.messageNotSupported)
    message_type = None if number == ERROR_TAG else MESSAGES[number]
    covered = header_digest(header_der, wrapper.mw_extensions)
    critical = unknown_critical(wrapper.mw_extensions)
    return Wire(read, header_der, covered, message_type, bytes(wrapper.message.data), critical)


def name_of(data: bytes) -> str:
    """What sort of message it is, by its tag alone, for logs; ``unreadable`` if it is none."""
    try:
        number = _tag_number(decode(_Wrapper, data, limit=MAX_MESSAGE).message.tag_bytes)
    except NotDER:
        return "unreadable"
    if number == ERROR_TAG:
        return "Error"
    return MESSAGES[number].name if number in MESSAGES else "unreadable"


def check_date(wire: Wire, now: datetime) -> None:
    """Step 5: ProtocolError (messageTooOld, messageTooNew) unless the date is within :data:`MAX_AGE` of ``now``.

    For requests that were not seen before.  One that was seen gets its first answer, however late it is repeated; an
    answer is as fresh as the question that it hashes.
    """
    age = now - wire.header.date.as_datetime()
    if abs(age) > MAX_AGE:
        code = ErrorCode.messageTooOld if age > MAX_AGE else ErrorCode.messageTooNew
        raise ProtocolError(f"the date is {abs(age)} away", code=code)
