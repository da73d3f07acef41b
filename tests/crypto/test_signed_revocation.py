"""SignedData that carries CRLs and a BrandCRLIdentifier (RFC 5652 §10.2.1): what is passed on, and what is refused.

Nothing of this is under the message's signature: each CRL, and the list of them, is signed by whoever made it, and
``learn`` has to see to that.  Here they are octets with the tags of such things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.der import tlv
from setproto.crypto.cms import NOTHING, Enclosed, Verified, verify
from setproto.crypto.signed import ID_BRAND_CRL_IDENTIFIER, MAX_CRLS
from setproto.errors import CertificateRefused, DecodingFailure, ProtocolError, SignatureFailure, UsageError
from setproto.messages import oids
from tests.crypto.material import ORDER, PAYMENT, Party, Trusted, forge, oid, party

CONTENT = b"one apple"
BCI = tlv(0x30, b"\x04\x03BCI")


def crl(number: int) -> bytes:
    return tlv(0x30, tlv(0x02, bytes([number])))


def other(info: bytes, of: bytes = oid(ID_BRAND_CRL_IDENTIFIER)) -> bytes:
    """OtherRevocationInfoFormat, [1] IMPLICIT."""
    return tlv(0xA1, of, info)


def choices(*items: bytes) -> bytes:
    """The ``crls`` field, in the order of DER."""
    return tlv(0xA1, *sorted(items))


MANY = [crl(number) for number in range(MAX_CRLS)]
BOTH = Enclosed((crl(1), crl(2)), BCI)


class Student:
    """Takes part in a verification, and remembers what was asked of it in which order."""

    def __init__(self, who: Party, refuses: type[ProtocolError] | None = None) -> None:
        self.who, self.refuses = who, refuses
        self.asked: list[str] = []
        self.learned: list[Enclosed] = []

    def learn(self, revocation: Enclosed, certificates: Sequence[bytes]) -> None:
        self.asked.append("learn")
        assert certificates == (self.who.certificate,)
        self.learned.append(revocation)
        if self.refuses is not None:
            raise self.refuses("not genuine")

    def certify(self, certificate: bytes, others: Sequence[bytes]) -> Trusted:
        self.asked.append("certify")
        return self.who.certify(certificate, others)

    def check(self, data: bytes) -> Verified:
        return verify(data, content_type=ORDER, certify=self.certify, learn=self.learn)


@pytest.mark.parametrize(
    "enclosed",
    [Enclosed((crl(1),)), Enclosed(tuple(MANY)), Enclosed((), BCI), Enclosed(tuple(MANY), BCI)],
    ids=["a CRL", "eight CRLs", "a BCI", "eight CRLs and a BCI"],
)
def test_what_is_enclosed_is_learned(who: Party, enclosed: Enclosed) -> None:
    student = Student(who)
    assert student.check(who.signer.sign(CONTENT, ORDER, revocation=enclosed)).content == CONTENT
    assert student.learned == [enclosed]


@given(st.sets(st.binary(max_size=20), max_size=MAX_CRLS), st.none() | st.binary(max_size=20))
def test_any_revocation_data_comes_back_as_it_was(contents: set[bytes], bci: bytes | None) -> None:
    """CRLs in the order of DER, whatever order they were in."""
    crls = [tlv(0x30, octets) for octets in contents]
    enclosed = Enclosed(tuple(crls), None if bci is None else tlv(0x30, bci))
    who = party("p256")
    student = Student(who)
    student.check(who.signer.sign(CONTENT, ORDER, revocation=enclosed))
    if enclosed:
        assert student.learned == [Enclosed(tuple(sorted(crls)), enclosed.bci)]
        assert student.asked == ["learn", "certify"]
    else:
        assert student.asked == ["certify"]


def test_nothing_is_nothing(who: Party) -> None:
    assert not NOTHING
    assert NOTHING.encode() == b""
    assert Enclosed((crl(1),))
    assert Enclosed((), BCI)
    ed = party("ed25519")  # signs the same octets the same way each time
    assert ed.signer.sign(CONTENT, ORDER, revocation=NOTHING) == ed.signer.sign(CONTENT, ORDER)
    student = Student(who)
    student.check(who.signer.sign(CONTENT, ORDER))
    assert student.learned == []


def test_the_builder_of_these_tests_makes_what_the_library_makes() -> None:
    ed = party("ed25519")
    by_hand = choices(crl(1), crl(2), other(BCI))
    assert BOTH.encode() == by_hand
    assert forge(ed, CONTENT, ORDER, crls=by_hand, version=5) == ed.signer.sign(CONTENT, ORDER, revocation=BOTH)


def test_the_identifier_of_the_format_is_the_one_in_the_table() -> None:
    """The cryptographic layer knows no message, so it has the number once more."""
    assert ID_BRAND_CRL_IDENTIFIER == oids.ID_BRAND_CRL_IDENTIFIER


# --- who decides, and when ------------------------------------------------------------------------


def test_what_nobody_learns_is_refused(who: Party) -> None:
    """A receiver that expects no revocation data does not ignore it: it has no use for such a message."""
    student = Student(who)
    for enclosed in (Enclosed((crl(1),)), Enclosed((), BCI), BOTH):
        data = who.signer.sign(CONTENT, ORDER, revocation=enclosed)
        with pytest.raises(DecodingFailure, match="where none is expected"):
            verify(data, content_type=ORDER, certify=student.certify)
    assert student.asked == []


def test_it_is_learned_before_the_certificate_is_judged(alice: Party) -> None:
    """A certificate that the enclosed CRL revokes must not pass this once."""
    data = alice.signer.sign(CONTENT, ORDER, revocation=BOTH)
    student = Student(alice)
    student.check(data)
    assert student.asked == ["learn", "certify"]
    student = Student(alice)
    with pytest.raises(SignatureFailure):  # and before any signature is computed
        student.check(data[:-1] + bytes([data[-1] ^ 1]))
    assert student.asked == ["learn", "certify"]


def test_what_is_not_genuine_ends_it(alice: Party) -> None:
    student = Student(alice, CertificateRefused)
    with pytest.raises(CertificateRefused, match="not genuine"):
        student.check(alice.signer.sign(CONTENT, ORDER, revocation=BOTH))
    assert student.asked == ["learn"]


@pytest.mark.parametrize(
    "broken",
    [
        lambda who: forge(who, CONTENT, PAYMENT, crls=choices(crl(1))),
        lambda who: forge(who, CONTENT, ORDER, crls=choices(crl(1)), version=5),
        lambda who: forge(who, CONTENT, ORDER, crls=choices(crl(1)), sid=bytes(20)),
        lambda who: forge(who, CONTENT, ORDER, crls=choices(crl(1)), detached=True),
    ],
    ids=["another type", "another version", "no certificate of the signer", "detached"],
)
def test_nothing_is_learned_from_an_object_that_is_refused_by_its_form(
    alice: Party, broken: Callable[[Party], bytes]
) -> None:
    student = Student(alice)
    with pytest.raises(ProtocolError):
        student.check(broken(alice))
    assert student.asked == []


def test_revocation_data_is_not_what_the_signer_signs(alice: Party) -> None:
    """Whoever passes a message on can add, take away and exchange it: hence nobody believes it for the signature."""
    data, field = alice.signer.sign(CONTENT, ORDER, revocation=BOTH), BOTH.encode()
    assert data.count(field) == 1
    for changed, learned in ((b"", []), (choices(crl(7)), [Enclosed((crl(7),))]), (field, [BOTH])):
        student = Student(alice)
        version = 5 if changed == field else 3  # RFC 5652 §5.1
        assert student.check(exchanged(data, field, changed, version)).content == CONTENT
        assert student.learned == learned


def exchanged(data: bytes, old: bytes, new: bytes, version: int) -> bytes:
    """``data``, a ContentInfo, with ``new`` in place of ``old``, and the lengths around it put right."""

    def content(octets: bytes) -> bytes:
        size = octets[1]
        return octets[2 if size < 0x80 else 2 + (size & 0x7F) :]

    outer = content(data)
    end = 2 + outer[1]
    signed_data = content(content(outer[end:]))
    inside = bytes((2, 1, version)) + signed_data[3:].replace(old, new)
    return tlv(0x30, outer[:end], tlv(0xA0, tlv(0x30, inside)))


# --- form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        choices(),
        choices(*MANY, crl(8)),
        choices(*MANY, crl(8), other(BCI)),
        choices(other(BCI), other(tlv(0x30))),
        choices(other(BCI), other(BCI)),
        choices(other(BCI, oid("1.3.6.1.5.5.7.16.2"))),
        choices(crl(1), other(BCI, oid("2.25.1"))),
        choices(crl(1), other(BCI), other(BCI, oid("2.25.1"))),
        choices(other(b"")),
        choices(other(BCI + BCI)),
        choices(tlv(0xA1)),
        choices(tlv(0xA1, tlv(0x04, b"?"), BCI)),
        choices(tlv(0xA0, oid(ID_BRAND_CRL_IDENTIFIER), BCI)),
        choices(tlv(0xA2, oid(ID_BRAND_CRL_IDENTIFIER), BCI)),
        choices(tlv(0x81, oid(ID_BRAND_CRL_IDENTIFIER), BCI)),
        choices(tlv(0x31, b"\x02\x01\x01")),
        choices(tlv(0x04, crl(1))),
        choices(crl(1), b"\x05\x00"),
        tlv(0xA1, crl(2), crl(1)),
        tlv(0xA1, other(BCI), crl(1)),
        tlv(0xA1, crl(1)[:-1]),
        tlv(0xA1, b"\x30\x80\x02\x01\x01\x00\x00"),
        tlv(0xA1, b"\x30\x81\x03\x02\x01\x01"),
        tlv(0x81, crl(1)),
        tlv(0xA2, crl(1)),
        tlv(0x31, crl(1)),
        choices(crl(1)) * 2,
    ],
    ids=[
        "empty set",
        "nine CRLs",
        "nine CRLs and a BCI",
        "two BCIs",
        "one BCI twice",
        "OCSP response",
        "unknown format",
        "unknown format beside a BCI",
        "no BCI in it",
        "two BCIs in one",
        "no format",
        "format that is none",
        "under [0]",
        "under [2]",
        "primitive",
        "a SET for a CRL",
        "a CRL in an OCTET STRING",
        "a CRL and something else",
        "CRLs out of order",
        "BCI before CRL",
        "a CRL cut",
        "BER: indefinite length",
        "BER: long length",
        "field is primitive",
        "field under [2]",
        "field is a SET",
        "two fields",
    ],
)
def test_anything_else_in_the_field_is_refused(alice: Party, field: bytes) -> None:
    student = Student(alice)
    with pytest.raises(DecodingFailure):
        student.check(forge(alice, CONTENT, ORDER, crls=field))
    assert student.asked == []


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_every_flipped_octet_is_refused_or_passed_on(alice: Party, bits: int) -> None:
    """Nothing of a change is normalised away: whoever learns sees it, and its own signature tells."""
    data, field = alice.signer.sign(CONTENT, ORDER, revocation=BOTH), BOTH.encode()
    first = data.index(field)
    passed_on = 0
    for place in range(first, first + len(field)):
        changed = bytearray(data)
        changed[place] ^= bits
        student = Student(alice)
        try:
            student.check(bytes(changed))
        except ProtocolError:
            continue
        (learned,) = student.learned
        assert learned != BOTH
        assert learned.encode() == changed[first : first + len(field)]
        passed_on += 1
    assert passed_on >= 1


@pytest.mark.parametrize(("revocation", "version"), [(Enclosed((crl(1),)), 3), (Enclosed((), BCI), 5), (BOTH, 5)])
def test_the_version_says_whether_there_is_more_than_crls(alice: Party, revocation: Enclosed, version: int) -> None:
    """RFC 5652 §5.1: 5 if one of the RevocationInfoChoices is ``other``."""
    data, field = alice.signer.sign(CONTENT, ORDER, revocation=revocation), revocation.encode()
    assert exchanged(data, field, field, version) == data
    with pytest.raises(DecodingFailure, match="version"):
        Student(alice).check(exchanged(data, field, field, 8 - version))


def test_more_crls_than_anybody_reads_are_not_sent(alice: Party) -> None:
    with pytest.raises(UsageError, match="CRLs"):
        alice.signer.sign(CONTENT, ORDER, revocation=Enclosed(tuple(crl(number) for number in range(MAX_CRLS + 1))))
