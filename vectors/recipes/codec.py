"""Area codec: the wrapper and header of messages, and the bodies of plain ones (README section 2).

The messages of trade are those of a market that is played once; the seals in them are made once for that reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import encode, explicit, tlv
from setproto.amounts import CurrencyAmount
from setproto.market import Clock, Market
from setproto.messages.common import BodyHead, PartyID, Role
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import ID_ERROR_TBS
from setproto.messages.registration import CardCInitReq
from setproto.messages.registry import CARD_C_INIT_REQ, MESSAGES
from setproto.messages.wrapper import MAX_MESSAGE, unwrap
from setproto.roles.authority.ports import Verdict
from vectors.recipes.common import BRAND, Case, File, Made, Random, note
from vectors.recipes.keys import NOW, world
from vectors.recipes.office import ANSWERS, Office

NOTES: Final = {
    "Encoding": note("BER_ENCODING", "Not DER.", "Two readers see two messages; a digest covers only one.", "X.690"),
    "Header": note("INPUT_VALIDATION", "The header cannot be processed.", "State is looked up by what is no header."),
    "Extension": note(
        "INPUT_VALIDATION", "A critical extension is not known.", "Something essential is overlooked.", "section 2.2"
    ),
    "Size": note("RESOURCES", "Larger than anybody reads.", "Memory is exhausted."),
    "Body": note("INPUT_VALIDATION", "A field of a plain body is out of its bounds.", "Later code meets it."),
}
TRADE: Final = tuple(message.name for tag, message in MESSAGES.items() if tag < CARD_C_INIT_REQ.tag)


ENROLMENT: Final = tuple(message.name for tag, message in MESSAGES.items() if tag > CARD_C_INIT_REQ.tag)


@cache
def played() -> dict[str, bytes]:
    """The first message of each type in a market in which everything happens once."""
    market = Market.within(world("p256").tree, Clock(NOW), random=Random("codec.json", "market").source("all"))

    def bought(amount: str) -> Any:
        lid_c, first = market.cardholder.start(market.order(amount, b"books"))
        market.deliver(Role.cardholder, first)
        market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
        market.deliver(Role.cardholder, market.cardholder.inquire(lid_c))
        return market.result(lid_c).xid

    xid, other = bought("EUR 42.00"), bought("EUR 7.00")
    merchant = market.merchant
    steps: tuple[Callable[[], Any], ...] = (
        merchant.ask_certificates,
        lambda: merchant.reverse(other, CurrencyAmount.of("EUR 0.00")),
        lambda: merchant.capture(xid),
        lambda: merchant.credit(xid, CurrencyAmount.of("EUR 2.00")),
        lambda: merchant.reverse_credit(xid),
        lambda: merchant.reverse_capture(xid),
        lambda: merchant.batch(1),
    )
    for step in steps:
        market.deliver(Role.merchant, step())
    found: dict[str, bytes] = {}
    for delivery in market.deliveries:
        found.setdefault(delivery.message.name, delivery.message.data)
    return found


@cache
def enrolled() -> dict[str, bytes]:
    """The first message of each type in the registrations of a cardholder and a merchant."""
    office = Office.open()
    found: dict[str, bytes] = {}
    for role in (Role.cardholder, Role.merchant):
        applicant = office.applicant(role)
        office.bank.verdicts = [Verdict.PENDING]
        for act in (applicant.start, lambda applicant=applicant: applicant.apply(ANSWERS), applicant.inquire):
            for message in office.steps(applicant, act()):
                found.setdefault(message.name, message.data)
    return found


def outputs_of(wire: bytes) -> dict[str, Any]:
    """What a reader says of a message."""
    read = unwrap(wire)
    sender, rrpid = read.header.sender, read.header.rrpid
    return {
        "name": "Error" if read.type is None else read.type.name,
        "rrpid": None if rrpid is None else rrpid.hex(),
        "sender": None if sender is None else {"role": sender.role.name, "brand": sender.brand, "name": sender.name},
    }


def made(wire: bytes) -> Made:
    """A valid case of this message."""
    read = unwrap(wire)
    return Made(
        {"wire": wire.hex()},
        outputs_of(wire),
        {"header": read.header_der.hex(), "header_digest": read.header_digest.hex(), "body": read.body.hex()},
    )


def header(
    random: Random,
    *,
    version: int = 2,
    date: bytes = b"20260115120000Z",
    rrpid: int = 20,
    xid: int = 20,
    local: int = 8,
    sender: bytes | None = None,
    software: bytes = b"recipe",
    more: bytes = b"",
    revision: bytes = b"\0",
) -> bytes:
    """A header written out by hand; the numbers are sizes in octets."""
    party = PartyID(role=Role.cardholder, brand=BRAND, name="label") if sender is None else None
    named = b"\xa1" + encode(party)[1:] if party is not None else (sender or b"")
    return tlv(
        0x30,
        bytes((2, 1, version & 0xFF)),
        tlv(0x02, revision),
        tlv(0x18, date),
        tlv(0x30, tlv(0x80, random("lid_c", local)), tlv(0x82, random("xid", xid)) if xid else b""),
        tlv(0x80, random("rrpid", rrpid)) if rrpid else b"",
        named,
        tlv(0x0C, software),
        more,
    )


def body(
    random: Random,
    *,
    rrpid: int = 20,
    lid: int = 8,
    challenge: int = 20,
    brand: bytes = BRAND.encode(),
    language: bytes = b"en",
    thumbs: bytes = b"",
    extensions: bytes = b"",
    tag: int = 0x30,
    more: bytes = b"",
) -> bytes:
    """A PInitReq written out by hand."""
    return tlv(
        tag,
        tlv(0x04, random("rrpid", rrpid)),
        tlv(0x0C, language),
        tlv(0x04, random("lid_c", lid)),
        tlv(0x04, random("lid_m", 8)),
        tlv(0x04, random("challenge", challenge)),
        tlv(0x0C, brand),
        thumbs,
        extensions,
        more,
    )


def message(
    random: Random,
    *,
    head: bytes | None = None,
    inside: bytes | None = None,
    tag: int = 0,
    extensions: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """A wrapper written out by hand, around a PInitReq unless told otherwise."""
    inside = body(random) if inside is None else inside
    return tlv(0x30, header(random) if head is None else head, explicit(tag, inside), extensions, more)


def extension(critical: bytes = b"", value: bytes = b"\x05\x00") -> bytes:
    """An Extension of a type that nobody knows."""
    return tlv(0x30, encode(ObjectIdentifier("2.25.99")), critical, tlv(0x04, value))


CRITICAL: Final = b"\x01\x01\xff"
_THUMBS: Final = tlv(0xA0, tlv(0xA0, tlv(0x04, bytes(32))))


def build() -> Iterable[File]:
    """One file."""
    file = File("codec", None, ["The wrapper and header of messages, and the bodies of plain ones"], NOTES)
    group = file.group("message.decode")

    def good(label: str, comment: str, make: Callable[[Random], bytes]) -> Case:
        return group.add(label, comment, lambda random: made(make(random)), covers=["section 2.2", "section 4.1"])

    for name in TRADE:
        good(name.lower(), f"A {name} of a market", lambda random, name=name: played()[name])  # type: ignore[misc]
    plain = good("by-hand", "A PInitReq that has what it needs and no more", message)
    good(
        "cardcinitreq",
        "A CardCInitReq",
        lambda random: message(
            random,
            tag=22,
            inside=encode(
                CardCInitReq(
                    rrpid=random("rrpid", 20),
                    lid_ee=random("lid_c", 8),
                    chall_ee=random("challenge", 20),
                    brand_id=BRAND,
                )
            ),
        ),
    )
    for name in ENROLMENT:
        slug = name.lower().replace("-", "")
        good(slug, f"A {name} of a registration", lambda random, name=name: enrolled()[name])  # type: ignore[misc]
    unsigned = good(
        "unsigned-error", "An unsigned Error", lambda random: message(random, tag=999, inside=_error(random))
    )
    good("no-rrpid", "A header without RRPID", lambda random: message(random, head=header(random, rrpid=0)))
    good("no-sender", "A header without a sender", lambda random: message(random, head=header(random, sender=b"")))
    good("no-xid", "A header without XID", lambda random: message(random, head=header(random, xid=0)))
    good(
        "revision-1",
        "Another revision of this version",
        lambda random: message(random, head=header(random, revision=b"\1")),
    )
    extended = good(
        "wrapper-extension",
        "An unknown extension of the wrapper, not critical",
        lambda random: message(random, extensions=tlv(0xA0, extension())),
    )
    inner = good(
        "body-extension",
        "An unknown extension of the body, not critical",
        lambda random: message(random, inside=body(random, extensions=tlv(0xA1, extension()))),
    )
    thumbed = good(
        "thumbs", "A body with a thumbprint", lambda random: message(random, inside=body(random, thumbs=_THUMBS))
    )

    def bad(
        label: str,
        comment: str,
        reason: str,
        flag: str,
        make: Callable[[Random], bytes],
        sibling: Case = plain,
        **more: Any,
    ) -> None:
        def change(random: Random, parent: Made) -> Mapping[str, Any]:
            return {"wire": make(Random("codec.json", sibling.id)).hex()}

        group.deviate(
            sibling, label, label, reason, change, comment=comment, covers=["section 4.1"], flags=[flag], **more
        )

    def octets(
        label: str,
        comment: str,
        reason: str,
        change: Callable[[bytes], bytes],
        flag: str = "Encoding",
    ) -> None:
        group.deviate(
            plain,
            label,
            label,
            reason,
            lambda random, parent: {"wire": change(bytes.fromhex(parent.input["wire"])).hex()},
            comment=comment,
            covers=["section 4.1"],
            flags=[flag],
        )

    der, head, big = "decodingFailure", "badMessageHeader", "messageTooBig"
    octets("empty", "No octets", der, lambda o: b"")
    octets("trailing-octet", "An octet after the message", der, lambda o: o + b"\0")
    octets("truncated", "The last octet is missing", der, lambda o: o[:-1])
    octets("first-half", "Half a message", der, lambda o: o[: len(o) // 2])
    octets(
        "indefinite-length",
        "The outer length is indefinite",
        der,
        lambda o: b"\x30\x80" + o[2 + (o[1] & 0x7F) :] + b"\0\0",
    )
    octets(
        "long-form-length",
        "A length in one octet more than it needs",
        der,
        lambda o: o[:1] + bytes((o[1] + 1, 0)) + o[2:],
    )
    octets("set-for-sequence", "The wrapper is a SET", der, lambda o: b"\x31" + o[1:])
    octets("twice", "The message twice", der, lambda o: o + o)
    octets("text", "An HTTP error page", der, lambda o: b"<html>502 Bad Gateway</html>")
    octets("too-big", "One octet more than anybody reads", big, lambda o: o + bytes(MAX_MESSAGE + 1 - len(o)), "Size")
    octets(
        "length-of-4-gigabytes",
        "The length says 4 gigabytes",
        der,
        lambda o: b"\x30\x84\xff\xff\xff\xff" + o[3:],
        "Size",
    )
    bad("version-1", "SET itself", "versionTooOld", "Header", lambda r: message(r, head=header(r, version=1)))
    bad("version-0", "Version 0", "versionTooOld", "Header", lambda r: message(r, head=header(r, version=0)))
    bad("version-negative", "Version −1", "versionTooOld", "Header", lambda r: message(r, head=header(r, version=255)))
    bad("version-3", "A later version", "versionTooNew", "Header", lambda r: message(r, head=header(r, version=3)))
    bad(
        "version-3-other-header",
        "A later version, whose header is another",
        "versionTooNew",
        "Header",
        lambda r: message(r, head=tlv(0x30, b"\x02\x01\x03", tlv(0x0C, b"who knows"))),
    )
    bad(
        "no-version", "The header has no version", head, "Header", lambda r: message(r, head=tlv(0x30, tlv(0x0C, b"2")))
    )
    bad(
        "version-empty",
        "A version of no octets",
        head,
        "Header",
        lambda r: message(r, head=tlv(0x30, b"\x02\x00", header(r)[1 + _length_octets(header(r)) + 3 :])),
    )
    bad(
        "version-cut-off",
        "The version is longer than the header",
        head,
        "Header",
        lambda r: message(r, head=tlv(0x30, b"\x02\x04\x03")),
    )
    bad("header-empty", "An empty header", head, "Header", lambda r: message(r, head=b"\x30\x00"))
    bad(
        "date-with-fraction",
        "A fraction of a second of 0",
        head,
        "Header",
        lambda r: message(r, head=header(r, date=b"20260115120000.0Z")),
    )
    bad(
        "date-with-offset",
        "A date in another time zone",
        head,
        "Header",
        lambda r: message(r, head=header(r, date=b"20260115130000+0100")),
    )
    bad(
        "date-impossible",
        "The 30th of February",
        head,
        "Header",
        lambda r: message(r, head=header(r, date=b"20260230120000Z")),
    )
    bad("rrpid-short", "An RRPID of 19 octets", head, "Header", lambda r: message(r, head=header(r, rrpid=19)))
    bad("rrpid-long", "An RRPID of 21 octets", head, "Header", lambda r: message(r, head=header(r, rrpid=21)))
    bad("xid-short", "An XID of 19 octets", head, "Header", lambda r: message(r, head=header(r, xid=19)))
    bad("local-id-empty", "A LID-C of no octets", head, "Header", lambda r: message(r, head=header(r, local=0)))
    bad("local-id-long", "A LID-C of 21 octets", head, "Header", lambda r: message(r, head=header(r, local=21)))
    bad("software-empty", "No octets of SWIdent", head, "Header", lambda r: message(r, head=header(r, software=b"")))
    bad(
        "software-long",
        "257 characters of SWIdent",
        head,
        "Header",
        lambda r: message(r, head=header(r, software=b"x" * 257)),
    )
    bad(
        "software-not-utf8",
        "SWIdent is not UTF-8",
        head,
        "Header",
        lambda r: message(r, head=header(r, software=b"\xff\xfe")),
    )
    bad(
        "sender-of-no-role",
        "A sender of role 8",
        head,
        "Header",
        lambda r: message(
            r, head=header(r, sender=tlv(0xA1, b"\x02\x01\x08", tlv(0x0C, b"Marque"), tlv(0x0C, b"label")))
        ),
    )
    bad(
        "header-with-more",
        "An element after the last of the header",
        head,
        "Header",
        lambda r: message(r, head=header(r, more=b"\x05\x00")),
    )
    bad(
        "revision-padded",
        "A revision in two octets, the first of them 0",
        head,
        "Encoding",
        lambda r: message(r, head=header(r, revision=b"\0\1")),
    )
    unsupported = "messageNotSupported"
    bad("number-32", "A number that no message has", unsupported, "Header", lambda r: message(r, tag=32))
    bad("number-998", "The number before Error's", unsupported, "Header", lambda r: message(r, tag=998))
    bad("number-1000", "The number after Error's", unsupported, "Header", lambda r: message(r, tag=1000))
    bad("universal-tag", "A message without a number", unsupported, "Header", lambda r: tlv(0x30, header(r), body(r)))
    bad(
        "application-tag",
        "A number of the application class",
        unsupported,
        "Header",
        lambda r: tlv(0x30, header(r), tlv(0x60, body(r))),
    )
    bad("no-message", "A header alone", der, "Encoding", lambda r: tlv(0x30, header(r)))
    bad(
        "wrapper-with-more",
        "An element after the last of the wrapper",
        der,
        "Encoding",
        lambda r: message(r, more=b"\x05\x00"),
    )
    bad(
        "critical-in-wrapper",
        "The extension of the wrapper is critical",
        "unrecognizedExtension",
        "Extension",
        lambda r: message(r, extensions=tlv(0xA0, extension(CRITICAL))),
        extended,
    )
    bad(
        "critical-in-body",
        "The extension of the body is critical",
        "unrecognizedExtension",
        "Extension",
        lambda r: message(r, inside=body(r, extensions=tlv(0xA1, extension(CRITICAL)))),
        inner,
    )
    bad(
        "critical-second",
        "The second of two extensions is critical",
        "unrecognizedExtension",
        "Extension",
        lambda r: message(r, extensions=tlv(0xA0, extension(), extension(CRITICAL))),
        extended,
    )
    bad(
        "default-written",
        "critical FALSE is written out",
        der,
        "Encoding",
        lambda r: message(r, extensions=tlv(0xA0, extension(b"\x01\x01\0"))),
        extended,
    )
    bad(
        "true-as-one",
        "critical TRUE as 01",
        der,
        "Encoding",
        lambda r: message(r, extensions=tlv(0xA0, extension(b"\x01\x01\x01"))),
        extended,
    )
    bad(
        "body-of-another",
        "The number of a PInitReq around a CardCInitReq",
        der,
        "Body",
        lambda r: message(
            r,
            inside=encode(
                CardCInitReq(rrpid=r("rrpid", 20), lid_ee=r("lid_c", 8), chall_ee=r("challenge", 20), brand_id=BRAND)
            ),
        ),
    )
    sizes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("body-rrpid-short", "19 octets of RRPID in the body", {"rrpid": 19}),
        ("body-challenge-long", "A challenge of 21 octets", {"challenge": 21}),
        ("body-local-id-empty", "No octets of LID-C in the body", {"lid": 0}),
        ("body-local-id-long", "21 octets of LID-C in the body", {"lid": 21}),
        ("body-brand-empty", "A brand of no characters", {"brand": b""}),
        ("body-brand-long", "A brand of 41 characters", {"brand": b"x" * 41}),
        ("body-brand-not-utf8", "A brand that is not UTF-8", {"brand": b"\xc3\x28"}),
        ("body-language-long", "A language of 36 characters", {"language": b"x" * 36}),
        ("body-with-more", "An element after the last of the body", {"more": b"\x05\x00"}),
        ("body-a-set", "The body is a SET", {"tag": 0x31}),
    )
    for label, comment, how in sizes:
        bad(label, comment, der, "Body", lambda r, how=how: message(r, inside=body(r, **how)))  # type: ignore[misc]
    thumbs = (
        ("thumbs-empty", "Thumbs without any list", tlv(0xA0)),
        ("thumbs-list-empty", "An empty list of thumbprints", tlv(0xA0, tlv(0xA0))),
        ("thumb-short", "A thumbprint of 31 octets", tlv(0xA0, tlv(0xA0, tlv(0x04, bytes(31))))),
        ("thumbs-33", "33 thumbprints in a list", tlv(0xA0, tlv(0xA0, tlv(0x04, bytes(32)) * 33))),
    )
    for label, comment, value in thumbs:
        bad(label, comment, der, "Body", lambda r, value=value: message(r, inside=body(r, thumbs=value)), thumbed)  # type: ignore[misc]
    bad(
        "error-with-both",
        "An Error signed and unsigned at once",
        der,
        "Body",
        lambda r: message(
            r, tag=999, inside=tlv(0x30, tlv(0x80, b"\x30\x00"), _error(r)[2 + _length_octets(_error(r)) - 1 :])
        ),
        unsigned,
    )
    bad(
        "error-with-neither",
        "An Error that is empty",
        der,
        "Body",
        lambda r: message(r, tag=999, inside=b"\x30\x00"),
        unsigned,
    )
    return [file]


def _length_octets(element: bytes) -> int:
    """Octets of its length."""
    return 1 if element[1] < 0x80 else 1 + (element[1] & 0x7F)


def _error(random: Random) -> bytes:
    parties = [PartyID(role=role, brand=BRAND, name="label") for role in (Role.cardholder, Role.merchant)]
    head = BodyHead(type=ID_ERROR_TBS, version=2, suite="p256", sender=parties[0], recipient=parties[1])
    return encode(Error(unsigned_error=ErrorTBS(head=head, error_code=3, error_nonce=random("nonce", 32))))
