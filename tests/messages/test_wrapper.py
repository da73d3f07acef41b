"""The checks before any cryptography (§4.1, rules 1 to 7), each with its error code.

The date is looked at last, and only of requests that are new; a critical extension by whoever handles the message.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509 import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from pki.der import GeneralizedTime, encode, explicit, general_time, tlv
from setproto.errors import ErrorCode, ProtocolError
from setproto.market import Market
from setproto.messages.common import Extension, PartyID, Role, TransIDs
from setproto.messages.oids import ARC
from setproto.messages.registry import ERROR_TAG, MESSAGES, PINIT_REQ
from setproto.messages.wrapper import (
    MAX_AGE,
    MAX_MESSAGE,
    MessageHeader,
    MessageIDs,
    check_date,
    header,
    name_of,
    unwrap,
    wrap,
)
from setproto.roles.ports import EventKind
from setproto.store import MemoryStore
from tests.registration.office import ANSWERS, INITIAL, Office
from tests.roles.scenes import LONG_STORY, before, read_error, state

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SENDER = PartyID(role=Role.merchant, brand="Marque", name="shop")
HEADER = header(NOW, SENDER, bytes(20), MessageIDs(lid_c=b"c", lid_m=b"m", xid=bytes(20)))
BODY = tlv(0x30, b"\x04\x01?")
GOOD = wrap(PINIT_REQ, BODY, HEADER)
UNKNOWN = ObjectIdentifier(f"{ARC}.9.9")


def refused(data: bytes, code: ErrorCode) -> ProtocolError:
    with pytest.raises(ProtocolError) as refusal:
        unwrap(data)
    assert refusal.value.code is code
    return refusal.value


def wrapped(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def with_extensions(*extensions: Extension) -> bytes:
    encoded = [encode(extension) for extension in extensions]
    return wrapped(encode(HEADER), explicit(0, BODY), tlv(0xA0, *encoded))


def test_a_good_wrapper_is_read() -> None:
    wire = unwrap(GOOD)
    assert (wire.type, wire.header, wire.body) == (PINIT_REQ, HEADER, BODY)
    assert wire.header_der == encode(HEADER)
    assert (wire.header.version, wire.header.revision) == (2, 0)


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=repr)
def test_every_message_has_its_tag(kind: object) -> None:
    assert unwrap(wrap(kind, BODY, HEADER)).type is kind  # type: ignore[arg-type]
    assert name_of(wrap(kind, BODY, HEADER)) == kind.name  # type: ignore[arg-type, attr-defined]


def test_an_error_has_no_type() -> None:
    assert unwrap(wrap(None, BODY, HEADER)).type is None
    assert name_of(wrap(None, BODY, HEADER)) == "Error"


@pytest.mark.parametrize("data", [b"", b"?", GOOD + b"?", tlv(0x30, HEADER.der, explicit(99, BODY)), b"0" * (1 << 19)])
def test_what_is_no_message_has_no_name(data: bytes) -> None:
    assert name_of(data) == "unreadable"


# --- 1: size --------------------------------------------------------------------------------------


def test_too_big() -> None:
    """Refused before anything is parsed: it need not even be DER."""
    refused(b"?" * (MAX_MESSAGE + 1), ErrorCode.messageTooBig)
    refused(GOOD + bytes(MAX_MESSAGE), ErrorCode.messageTooBig)


@given(st.integers(0, 5))
def test_the_limit_is_exact(over: int) -> None:
    fill = MAX_MESSAGE - len(GOOD) - 6 + over
    data = wrap(PINIT_REQ, BODY + bytes(fill), HEADER)
    if len(data) > MAX_MESSAGE:
        refused(data, ErrorCode.messageTooBig)
    else:
        assert len(unwrap(data).body) == len(BODY) + fill


# --- 2: decoding ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        GOOD[:-1],
        GOOD + b"\x00",
        b"\x31" + GOOD[1:],
        b"<html>",
        wrapped(encode(HEADER)),
        wrapped(explicit(0, BODY)),
        wrapped(encode(HEADER), explicit(0, BODY), explicit(1, BODY)),
        wrapped(encode(HEADER), explicit(0, BODY), tlv(0xA0, b"\x05\x00")),
    ],
)
def test_not_a_wrapper(data: bytes) -> None:
    refused(data, ErrorCode.decodingFailure)


@given(st.binary(max_size=300))
def test_noise_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unwrap(data)


@given(st.data())
def test_any_change_of_one_octet_is_read_or_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD) - 1))
    octet = data.draw(st.integers(0, 255))
    changed = GOOD[:place] + bytes([octet]) + GOOD[place + 1 :]
    try:
        wire = unwrap(changed)
    except ProtocolError:
        return
    # What is read is what was sent: nothing of the change is normalised away.
    rebuilt = tlv(0x30, wire.header_der, explicit(ERROR_TAG if wire.type is None else wire.type.tag, wire.body))
    assert rebuilt == changed


def test_a_tag_has_one_encoding() -> None:
    """[2] written in the long form is not DER (X.690 §8.1.2.2): the same message would have two spellings."""
    long_form = bytes((0xBF, 2)) + explicit(2, BODY)[1:]
    refused(wrapped(encode(HEADER), long_form), ErrorCode.decodingFailure)
    padded = bytes((0xBF, 0x80, 0x87, 0x67)) + explicit(999, BODY)[3:]
    refused(wrapped(encode(HEADER), padded), ErrorCode.decodingFailure)


# --- 3: version -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (0, ErrorCode.versionTooOld),
        (1, ErrorCode.versionTooOld),
        (3, ErrorCode.versionTooNew),
        (127, ErrorCode.versionTooNew),
        (128, ErrorCode.versionTooNew),
        (1000, ErrorCode.versionTooNew),
        (-1, ErrorCode.versionTooOld),
    ],
)
def test_another_version(version: int, code: ErrorCode) -> None:
    refused(wrap(PINIT_REQ, BODY, replace(HEADER, version=version)), code)


def test_the_version_is_read_before_the_rest_of_the_header() -> None:
    """SET 1.0's header has other fields: its sender is told that the version is too old, not that it is garbled."""
    refused(wrapped(tlv(0x30, b"\x02\x01\x01", b"\x0c\x03SET"), explicit(0, BODY)), ErrorCode.versionTooOld)


# --- 4: header ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b"\x02\x01",
        b"\x0c\x012",
        b"\x02\x01\x02",
        encode(HEADER)[2:-1],
        encode(HEADER)[2:] + b"\x05\x00",
        b"\x02\x02\x00\x02" + encode(HEADER)[5:],
    ],
)
def test_a_header_that_cannot_be_read(inside: bytes) -> None:
    refused(wrapped(tlv(0x30, inside), explicit(0, BODY)), ErrorCode.badMessageHeader)
    refused(wrapped(tlv(0x31, encode(HEADER)[2:]), explicit(0, BODY)), ErrorCode.badMessageHeader)


@pytest.mark.parametrize(
    ("good", "wrong"),
    [
        (tlv(0x80, bytes(20)) + encode(SENDER).replace(b"\x30", b"\xa1", 1), 19),
        (tlv(0x80, bytes(20)) + encode(SENDER).replace(b"\x30", b"\xa1", 1), 21),
        (tlv(0x80, b"c"), 0),
        (tlv(0x80, b"c"), 21),
        (tlv(0x81, b"m"), 0),
        (tlv(0x81, b"m"), 21),
        (tlv(0x82, bytes(20)), 19),
        (tlv(0x82, bytes(20)), 50_000),
    ],
    ids=["RRPID 19", "RRPID 21", "LID-C 0", "LID-C 21", "LID-M 0", "LID-M 21", "XID 19", "XID 50000"],
)
def test_identifiers_in_a_header_have_the_sizes_of_identifiers(good: bytes, wrong: int) -> None:
    """An XID or RRPID of another size than 20 octets, or a local identifier beyond 1..20, is no header (§2.1)."""
    own = encode(HEADER.message_ids)
    size = good[1]
    bad = tlv(good[0], bytes(wrong)) + good[2 + size :]
    ids = own if good not in own else tlv(0x30, own[2:].replace(good, bad))
    octets = encode(HEADER)[2:].replace(own, ids)
    if ids == own:
        assert octets.count(good) == 1
        octets = octets.replace(good, bad)
    refused(wrapped(tlv(0x30, octets), explicit(0, BODY)), ErrorCode.badMessageHeader)


def test_a_header_without_software_or_with_too_much() -> None:
    for name in ("", "x" * 257):
        with pytest.raises(ValueError):  # noqa: PT011
            encode(replace(HEADER, sw_ident=name))


# --- 5: date --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (-MAX_AGE.total_seconds() - 1, ErrorCode.messageTooNew),
        (-MAX_AGE.total_seconds(), None),
        (0, None),
        (MAX_AGE.total_seconds(), None),
        (MAX_AGE.total_seconds() + 1, ErrorCode.messageTooOld),
        (86400 * 365, ErrorCode.messageTooOld),
    ],
)
def test_the_window_of_time(seconds: float, code: ErrorCode | None) -> None:
    """``seconds`` after it was dated, the message arrives."""
    at = NOW + timedelta(seconds=seconds)
    wire = unwrap(GOOD)  # when it is read has nothing to do with when it was dated
    if code is None:
        check_date(wire, at)
        return
    with pytest.raises(ProtocolError) as refusal:
        check_date(wire, at)
    assert refusal.value.code is code


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_time(year: int) -> None:
    far = replace(HEADER, date=GeneralizedTime(datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)))
    wire = unwrap(wrap(PINIT_REQ, BODY, far))
    with pytest.raises(ProtocolError) as refusal:
        check_date(wire, NOW)
    assert refusal.value.code is (ErrorCode.messageTooOld if year == 1 else ErrorCode.messageTooNew)


def test_time_is_to_the_second_and_in_utc() -> None:
    wire = unwrap(wrap(PINIT_REQ, BODY, header(NOW + timedelta(microseconds=999_999), None, None, MessageIDs())))
    assert wire.header.date == general_time(NOW)
    assert b"20260115120000Z" in wire.header_der


# --- 6: extensions --------------------------------------------------------------------------------


def test_a_critical_extension_is_found() -> None:
    critical = Extension(extn_id=UNKNOWN, critical=True, extn_value=b"?")
    harmless = replace(critical, critical=False)
    other = replace(harmless, extn_id=ObjectIdentifier(f"{ARC}.9.8"))
    for found in ((critical,), (other, critical), (harmless, critical), (critical, other)):
        assert unwrap(with_extensions(*found)).critical == UNKNOWN
    for nothing in ((harmless,), (harmless, other)):
        assert unwrap(with_extensions(*nothing)).critical is None
    assert unwrap(GOOD).critical is None


@pytest.mark.parametrize("name", LONG_STORY)
def test_a_message_with_a_critical_extension_is_refused_by_name(name: str) -> None:
    """Whoever gets it, before anything else is looked at: nothing is verified, nothing changes."""
    scene = before(name)
    wire, kept = unwrap(scene.data), state(scene.market)
    critical = Extension(extn_id=UNKNOWN, critical=True, extn_value=b"?")
    number = 0 if wire.type is None else wire.type.tag
    data = wrapped(wire.header_der, explicit(number, wire.body), tlv(0xA0, encode(critical)))
    (event,) = scene.receiver.handle(data).events
    assert (event.kind, event.code) == (EventKind.REFUSED, ErrorCode.unrecognizedExtension)
    for answer in scene.receiver.handle(data).outgoing:
        assert read_error(answer).error_oid == UNKNOWN
    assert state(scene.market) == kept


@pytest.mark.parametrize("role", INITIAL, ids=lambda role: role.name)
def test_a_message_of_a_registration_with_a_critical_extension_is_refused_by_name(role: Role) -> None:
    """By CAs and applicants; and the registration goes on as if it had never come."""
    office, mine = Office.open(), MemoryStore()
    applicant = office.applicant(role, store=mine)
    critical = Extension(extn_id=UNKNOWN, critical=True, extn_value=b"?")
    seen = []
    for begin in (applicant.start, lambda: applicant.apply(ANSWERS)):
        for message in office.steps(applicant, begin()):
            wire = unwrap(message.data)
            assert wire.type is not None
            data = wrapped(wire.header_der, explicit(wire.type.tag, wire.body), tlv(0xA0, encode(critical)))
            receiver = office.cas[role] if wire.type.tag % 2 == 0 else applicant
            kept = (office.stores[role].dump(), mine.dump())
            reply = receiver.handle(data)
            assert [(event.kind, event.code) for event in reply.events] == [
                (EventKind.REFUSED, ErrorCode.unrecognizedExtension)
            ]
            assert [answer.name for answer in reply.outgoing] == ["Error"]
            assert (office.stores[role].dump(), mine.dump()) == kept
            seen.append(message.name)
    assert len(seen) == (6 if role is Role.cardholder else 4)
    assert applicant.certified()


def test_an_error_with_a_critical_extension_is_not_read_nor_answered() -> None:
    scene = before("AuthReq")
    critical = Extension(extn_id=UNKNOWN, critical=True, extn_value=b"?")
    data = wrapped(encode(HEADER), explicit(ERROR_TAG, BODY), tlv(0xA0, encode(critical)))
    for party in scene.market.parties.values():
        reply = party.handle(data)
        assert [event.code for event in reply.events] == [ErrorCode.unrecognizedExtension]
        assert reply.outgoing == ()


def test_an_extension_that_is_not_critical_is_ignored_but_covered() -> None:
    one = unwrap(with_extensions(Extension(extn_id=UNKNOWN, extn_value=b"1")))
    two = unwrap(with_extensions(Extension(extn_id=UNKNOWN, extn_value=b"2")))
    none = unwrap(GOOD)
    assert len({wire.header_digest for wire in (one, two, none)}) == 3
    assert one.header == none.header


def test_critical_is_false_unless_said() -> None:
    """As in X.509; and FALSE written out is not DER."""
    short = tlv(0x30, encode(UNKNOWN), b"\x04\x01?")
    assert encode(Extension(extn_id=UNKNOWN, extn_value=b"?")) == short
    written = tlv(0x30, encode(UNKNOWN), b"\x01\x01\x00", b"\x04\x01?")
    refused(wrapped(encode(HEADER), explicit(0, BODY), tlv(0xA0, written)), ErrorCode.decodingFailure)


# --- 7: type --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [32, 33, 100, 998, 1000, 99999])
def test_a_message_that_does_not_exist(tag: int) -> None:
    refused(wrapped(encode(HEADER), explicit(tag, BODY)), ErrorCode.messageNotSupported)


@pytest.mark.parametrize("message", [b"\x80\x01?", b"\x04\x01?", b"\x60\x00", b"\x05\x00"])
def test_something_else_in_the_place_of_the_message(message: bytes) -> None:
    refused(wrapped(encode(HEADER), message), ErrorCode.messageNotSupported)


def test_the_checks_come_in_order() -> None:
    """A message with everything wrong is refused for the first: nothing later is looked at."""
    critical = Extension(extn_id=UNKNOWN, critical=True, extn_value=b"?")
    late = replace(HEADER, date=general_time(NOW - timedelta(hours=1)))

    def message(over: MessageHeader, tag: int) -> bytes:
        return wrapped(encode(over), explicit(tag, BODY), tlv(0xA0, encode(critical)))

    refused(message(replace(late, version=1), 32), ErrorCode.versionTooOld)
    refused(message(late, 32), ErrorCode.messageNotSupported)
    wire = unwrap(message(late, 6))
    assert wire.critical == UNKNOWN
    market = Market.open(now=NOW)
    for party in market.parties.values():  # the extension comes before the receiver, and the date comes last
        (event,) = party.handle(message(late, 6)).events
        assert event.code is ErrorCode.unrecognizedExtension
    (event,) = market.merchant.handle(wrapped(encode(late), explicit(6, BODY))).events
    assert event.code is ErrorCode.messageNotSupported
    (event,) = market.gateway.handle(wrapped(encode(late), explicit(6, BODY))).events
    assert event.code is ErrorCode.decodingFailure


def test_identifiers_of_a_purchase() -> None:
    ids = TransIDs(lid_c=b"c", lid_m=b"m", xid=bytes(20), preq_date=general_time(NOW), language="en")
    assert MessageIDs.of(ids) == HEADER.message_ids
    assert MessageIDs.of(None) == MessageIDs()
