"""Strict ISO 8583: the sample messages of bank.md §5, what is refused, and three hosts without a line of code (B8)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setproto.bank.codes import MEANINGS, auth_code
from setproto.bank.dialects import ASCII_1987, BCD_1987, CODES_1993, DIALECTS, Dialect, Framing
from setproto.bank.messages import (
    BadMAC,
    Codec,
    FormatError,
    Message,
    check,
    original_data,
    read_set_data,
    replacement,
    retrieval_reference,
    set_data,
)
from setproto.crypto.macs import line_mac
from setproto.messages.codes import AuthCode
from tests.bank.people import NOW, with_changes

PURCHASE = Message(
    "0100",
    {
        2: "9999990000000006",
        3: "000000",
        4: "000000019950",
        7: "1122093000",
        11: "000123",
        12: "103000",
        13: "1122",
        14: "2812",
        18: "5942",
        22: "810",
        25: "59",
        32: "123456",
        37: "632609000123",
        41: "GW000001",
        42: "MERCHANT0000001",
        49: "978",
    },
)
RESPONSE = PURCHASE.response("00", de38="A1B2C3")
REVERSAL = Message(
    "0420",
    {n: v for n, v in PURCHASE.fields.items() if n not in (14, 18, 22)}
    | {7: "1122093045", 11: "000124", 39: "68", 90: original_data("0100", "000123", "1122093000", "123456")},
)
SIGN_ON = Message("0800", {7: "1122093000", 11: "000001", 32: "123456", 70: "001"})
TOTALS = Message(
    "0500",
    {
        7: "1122235900",
        11: "000900",
        15: "1123",
        32: "123456",
        42: "MERCHANT0000001",
        50: "978",
        **dict(zip(range(74, 78), ("0000000001", "0000000000", "0000000002", "0000000000"), strict=True)),
        **dict(
            zip(range(86, 90), ("0000000000003000", "0" * 16, "0000000000012599", "0" * 16), strict=True),
        ),
        97: "D0000000000009599",
        99: "123456",
    },
)
EXAMPLES = [PURCHASE, RESPONSE, REVERSAL, SIGN_ON, TOTALS, SIGN_ON.response("00"), PURCHASE.response("51")]
EXAMPLES += [with_changes(PURCHASE, de126=set_data(b"x" * 20, b"s" * 20)), PURCHASE.repeated(), REVERSAL.repeated()]
EXAMPLES += [with_changes(REVERSAL, de95=replacement(5))]

SAMPLES = [
    (
        PURCHASE,
        """0100 723C448108C08000 16 9999990000000006 000000 000000019950 1122093000 000123 103000 1122 2812
        5942 810 59 06 123456 632609000123 GW000001 MERCHANT0000001 978""",
    ),
    (
        RESPONSE,
        """0110 322000010EC08000 000000 000000019950 1122093000 000123 06 123456 632609000123 A1B2C3 00
        GW000001 MERCHANT0000001 978""",
    ),
    (
        REVERSAL,
        """0420 F23800810AC08000 0000004000000000 16 9999990000000006 000000 000000019950 1122093045 000124
        103000 1122 59 06 123456 632609000123 68 GW000001 MERCHANT0000001 978
        0100 000123 1122093000 00000123456 00000000000""",
    ),
    (
        TOTALS,
        """0500 8222000100404000 40780780A0000000 1122235900 000900 1123 06 123456 MERCHANT0000001 978
        0000000001 0000000000 0000000002 0000000000 0000000000003000 0000000000000000 0000000000012599
        0000000000000000 D0000000000009599 06 123456""",
    ),
    (SIGN_ON, "0800 8220000100000000 0400000000000000 1122093000 000001 06 123456 001"),
]
"""bank.md §5; of its 0500 the DE 66, which the text says to leave out, and the bit for it."""


def codec(dialect: Dialect = ASCII_1987, key: bytes | None = None) -> Codec:
    return Codec(lambda: NOW, dialect, mac_key=key)


@pytest.mark.parametrize(("message", "sample"), SAMPLES)
def test_the_samples_of_the_facts(message: Message, sample: str) -> None:
    octets = re.sub(r"\s", "", sample).encode()
    if message is TOTALS:
        octets = octets.replace(b"40780780A0000000", b"00780780A0000000")  # without DE 66
    assert codec().encode(message) == octets
    assert codec().decode(octets) == message


@pytest.mark.parametrize("key", [None, b"k" * 16, b"k" * 32], ids=["no MAC", "AES-128", "AES-256"])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.mti)
def test_B8_three_hosts_and_the_same_message(dialect: Dialect, message: Message, key: bytes | None) -> None:
    """A host is a table, a code map and a framing."""
    octets = codec(dialect, key).encode(message)
    assert codec(dialect, key).decode(octets) == message
    assert dialect.framing.length(dialect.framing.pack(octets)[: dialect.framing.size]) == len(octets)


def test_B8_the_hosts_write_differently() -> None:
    written = [codec(dialect).encode(PURCHASE) for dialect in DIALECTS.values()]
    assert len(set(written)) == len(DIALECTS)
    assert len(codec(BCD_1987).encode(PURCHASE)) < len(codec(ASCII_1987).encode(PURCHASE))
    assert written[-1].startswith(b"1100")


def test_another_host_is_data() -> None:
    """EBCDIC is not among the three; a longer DE 37 and three-digit framing are."""
    other = Dialect("other", "0", {**ASCII_1987.fields, 37: "LLan12"}, framing=Framing(size=3, digits=True))
    assert codec(other).decode(codec(other).encode(PURCHASE)) == PURCHASE
    assert other.framing.pack(b"x" * 20)[:3] == b"020"


# --- what is refused ----------------------------------------------------------------------------

WRONG = [
    ("no type", replace(PURCHASE, mti="0300")),
    ("a 1993 type", replace(PURCHASE, mti="1100")),
    ("issuer's type", replace(PURCHASE, mti="0102")),
    ("a repeated response", replace(RESPONSE, mti="0111")),
    ("letters in the type", replace(PURCHASE, mti="01o0")),
    *((f"without {n}", with_changes(PURCHASE, **{f"de{n}": None})) for n in PURCHASE.fields),
    ("with a field of another message", with_changes(PURCHASE, de90=REVERSAL[90])),
    ("with an unknown field", with_changes(PURCHASE, de60="x")),
    ("with an approval", with_changes(PURCHASE, de38="A1B2C3")),
    ("letters in the amount", with_changes(PURCHASE, de4="00000001995O")),
    ("short amount", with_changes(PURCHASE, de4="19950")),
    ("minus", with_changes(PURCHASE, de4="-00000019950")),
    ("Arabic digits", with_changes(PURCHASE, de4="٠٠٠٠٠٠٠١٩٩٥٠")),
    ("STAN 000000", with_changes(PURCHASE, de11="000000")),
    ("month 13", with_changes(PURCHASE, de7="1322093000")),
    ("hour 24", with_changes(PURCHASE, de12="240000")),
    ("expiry in month 00", with_changes(PURCHASE, de14="2800")),
    ("long PAN", with_changes(PURCHASE, de2="1" * 20)),
    ("control character", with_changes(PURCHASE, de42="MERCHANT000000\n")),
    ("newline at the end", with_changes(PURCHASE, de4="000000019950\n")),
    ("reversal without original", with_changes(REVERSAL, de90=None)),
    ("original of no type", with_changes(REVERSAL, de90="9999" + REVERSAL[90][4:])),
    ("replacement without sign", with_changes(REVERSAL, de95="0" * 42)),
    ("totals without sign", with_changes(TOTALS, de97="0" * 17)),
]


@pytest.mark.parametrize(("what", "message"), WRONG, ids=[what for what, _ in WRONG])
def test_a_wrong_message_is_neither_sent_nor_taken(what: str, message: Message) -> None:
    with pytest.raises(FormatError) as refused:
        check(message)
    assert "9999990000000006" not in str(refused.value)
    with pytest.raises(FormatError):
        codec().encode(message)


def test_what_arrives_is_checked() -> None:
    octets = codec().encode(PURCHASE).replace(b"1122093000", b"1322093000")
    with pytest.raises(FormatError, match="DE 7"):
        codec().decode(octets)
    with pytest.raises(FormatError, match="version"):
        codec().decode(b"1" + codec().encode(PURCHASE)[1:])


@given(data=st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    for dialect in DIALECTS.values():
        with pytest.raises(FormatError):
            codec(dialect).decode(data)


@given(at=st.integers(0, 180), octet=st.integers(0, 255), dialect=st.sampled_from(list(DIALECTS.values())))
def test_a_changed_octet_gives_another_message_or_none(at: int, octet: int, dialect: Dialect) -> None:
    octets = bytearray(codec(dialect).encode(PURCHASE))
    at %= len(octets)
    if octets[at] == octet:
        return
    octets[at] = octet
    try:
        message = codec(dialect).decode(bytes(octets))
    except FormatError:
        return
    check(message)
    again = codec(dialect).encode(message)
    # BCD has two ways to write a padded digit, 1993 a year and codes that are not kept here.
    assert message != PURCHASE or codec(dialect).decode(again) == message


@given(at=st.integers(0, 500), octet=st.integers(1, 255), dialect=st.sampled_from(list(DIALECTS.values())))
def test_a_mac_leaves_nothing_to_change(at: int, octet: int, dialect: Dialect) -> None:
    octets = bytearray(codec(dialect, b"k" * 16).encode(REVERSAL))
    octets[at % len(octets)] ^= octet
    with pytest.raises(FormatError):
        codec(dialect, b"k" * 16).decode(bytes(octets))


def test_a_mac_is_demanded_and_of_the_right_key() -> None:
    for sent, expected in ((None, b"k" * 16), (b"j" * 16, b"k" * 16), (b"k" * 16, None)):
        with pytest.raises(BadMAC):
            codec(key=expected).decode(codec(key=sent).encode(PURCHASE))


def test_cmac_of_the_standard() -> None:
    """NIST SP 800-38B, example 2 of AES-128; the first half of it."""
    key, message = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert line_mac(key, message).hex() == "070a16b46b4d4144"


def test_too_long_is_refused_unread() -> None:
    with pytest.raises(FormatError, match="too long"):
        codec().decode(b"0" * 5_000)


# --- names and composite fields -----------------------------------------------------------------


def test_rrn_of_the_facts() -> None:
    assert retrieval_reference(datetime.fromisoformat("2026-11-22T09:30:00+00:00"), "000123") == "632609000123"


def test_a_reversal_points_to_its_original() -> None:
    assert REVERSAL.original == PURCHASE.key
    assert REVERSAL.key != PURCHASE.key
    assert RESPONSE.match == PURCHASE.match == PURCHASE.repeated().match


def test_a_repeat_differs_in_one_digit() -> None:
    assert PURCHASE.repeated() == replace(PURCHASE, mti="0101")
    assert PURCHASE.repeated().repeated().mti == "0101"
    assert PURCHASE.repeated().response_mti == "0110"
    assert PURCHASE.repeated().is_repeat
    assert not PURCHASE.is_repeat


def test_set_data_has_its_own_bitmap() -> None:
    field = set_data(b"x" * 20, b"s" * 20, "06")
    assert read_set_data(field) == {1: b"x" * 20, 2: b"s" * 20, 6: b"06"}
    for wrong in (field[:-2], field + "00", "00" + "FF"):
        with pytest.raises(FormatError):
            read_set_data(wrong)
    with pytest.raises(ValueError, match="20 octets"):
        set_data(b"x", b"s" * 20)


def test_repr_masks_card_data() -> None:
    shown = repr(with_changes(PURCHASE, de126=set_data(b"x" * 20, b"s" * 20)))
    assert "999999…0006" in shown
    for secret in ("9999990000000006", "2812", b"s".hex() * 20):
        assert secret not in shown


@pytest.mark.parametrize("length", [0, 65_536])
def test_a_frame_has_a_length(length: int) -> None:
    with pytest.raises(ValueError, match=r"length|too long"):
        Framing().length(length.to_bytes(2, "big")) if not length else Framing().pack(b"x" * length)


def test_digits_as_length_are_digits() -> None:
    with pytest.raises(ValueError, match="no length"):
        Framing(size=4, digits=True).length(b"+123")


# --- codes --------------------------------------------------------------------------------------

AUTH_CODES = {
    AuthCode.approved: "00 08 11 85",
    AuthCode.callIssuer: "01 02",
    AuthCode.expiredCard: "33 54",
    AuthCode.amountError: "13",
    AuthCode.invalidTransaction: "12 30 57 58",
    AuthCode.noReply: "68 91",
    AuthCode.systemError: "06 09 96",
}


def test_every_code_of_the_facts_has_a_meaning_for_set() -> None:
    named = {code: name for name, codes in AUTH_CODES.items() for code in codes.split()}
    for code in [*MEANINGS, "06", "09", "ZZ", "", "000"]:
        assert auth_code(code) is named.get(code, AuthCode.declined)


def test_no_two_codes_share_an_action_code() -> None:
    assert len(set(CODES_1993.values())) == len(CODES_1993)


@pytest.mark.parametrize("code", sorted(CODES_1993))
def test_codes_survive_the_translation(code: str) -> None:
    host = codec(DIALECTS["ASCII 1993"])
    assert host.decode(host.encode(PURCHASE.response(code, de38="A1B2C3")))[39] == code


def test_an_unknown_action_code_is_a_decline() -> None:
    host = codec(DIALECTS["ASCII 1993"])
    octets = host.encode(PURCHASE.response("51")).replace(b"116GW", b"099GW")
    assert host.decode(octets)[39] == "05"
