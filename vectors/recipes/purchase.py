"""Cardholder and merchant: PInit, P and Inq (set-protocol.md §4.4 to 4.10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from pki.der import encode, general_time
from setproto.amounts import AMOUNT_LIMIT, Ratio
from setproto.errors import ErrorCode as E
from setproto.messages.common import PartyID, Role, Thumbs
from setproto.messages.purchase import PReq
from setproto.messages.registry import PINIT_REQ, PREQ
from setproto.messages.wrapper import MessageIDs, unwrap, wrap
from setproto.roles.credentials import label_party
from setproto.roles.party import decoded
from vectors.recipes.flows import (
    OTHER_SUITES,
    UNKNOWN,
    Book,
    Played,
    flipped,
    open_scene,
    played,
    secrets,
    trader,
    under,
)
from vectors.recipes.hands import (
    Scene,
    another_gateway,
    another_merchant,
    exchange_of,
    forced,
    in_the_name_of,
    opened,
    preq_again,
    remade,
    taken_apart,
    with_account,
)

OTHER: Final = PartyID(role=Role.merchant, brand="Marque", name="another")
TWICE: Final = Ratio(numerator=2, denominator=1)
HALF: Final = Ratio(numerator=1, denominator=2)
MESSAGES: Final = ("PInitReq", "PInitRes", "PReq", "PRes", "InqReq", "InqRes")
SIGNED: Final = ("PInitRes", "PReq", "PRes")
"""What is played in the other suites: the files there are large."""
COVERS: Final = {
    "PInitReq": ("rule 4.5", "PU-1"),
    "PInitRes": ("rule 4.6", "PU-1", "PU-11"),
    "PReq": ("rule 4.8", "PU-1", "PU-17"),
    "PRes": ("rule 4.9", "PU-1", "PU-16", "PX-18"),
    "InqReq": ("rule 4.10", "PU-1"),
    "InqRes": ("rule 4.9", "rule 4.10", "PX-18"),
}


def play(suite: str) -> Book:
    """One purchase; in p256 with everything that can be wrong with it, in the others with one thing a message."""
    book = Book("purchase", suite)
    scene = open_scene(f"purchase {suite}", suite)
    while scene.hand is not None:
        name = scene.hand.name
        if name in (MESSAGES if suite == "p256" else SIGNED):
            group = trader(scene)
            book.group(group, secrets(scene, group["role"]))
            sibling = book.good(slug(name), scene.data, f"a genuine {name}", COVERS[name])
            if suite == "p256":
                DEVIATIONS[name](book, scene, sibling)
            else:
                few(book, scene, sibling)
        if name == ("InqRes" if suite == "p256" else SIGNED[-1]):
            break
        scene.deliver()
    if suite == "p256":
        ordered_twice(book)
        asked_twice(book)
    return book


def ordered_twice(book: Book) -> None:
    """A second PReq, signed by the same cardholder, for a purchase that has its order."""
    scene = open_scene("purchase ordered twice", book.suite)
    scene.until("PReq")
    market = scene.market
    again = preq_again(market, taken_apart(market, scene.data), oi={"rrpid": bytes(20)})
    scene.deliver()
    book.group(trader(scene, Role.merchant), secrets(scene, "merchant"))
    book.bad("preq-second", again, E.unknownXID, "preq", "the purchase has its order already", ("rule 4.8", "PX-7"))


def asked_twice(book: Book) -> None:
    """The answer to an inquiry, when another one has been sent."""
    scene = open_scene("purchase asked twice", book.suite)
    scene.until("InqRes")
    late = scene.data
    scene.take(scene.market.cardholder.inquire(scene.lid_c))
    scene.hand = None
    book.group(trader(scene, Role.cardholder), secrets(scene, "cardholder"))
    mutation = "the answer to an older inquiry than the last"
    book.bad("inqres-older", late, E.unknownRRPID, "inqres", mutation, ("rule 4.10", "PX-18"), flags=("Replay",))


def shares(book: Book, scene: Scene, sibling: str) -> None:
    """What a merchant says was done, of what was ordered."""
    results = opened(scene.market, scene.hand.name, scene.data).body.pres_payload_seq[0].results if scene.hand else None
    assert results is not None
    status = "pres_payload_seq.0.results.auth_status.auth_ratio"
    changes: dict[str, tuple[dict[str, Any], E, str]] = {
        "more-authorised": ({status: TWICE}, E.unspecifiedFailure, "twice what was ordered is authorised")
    }
    for name, value, mutation in (
        ("negative", (-1, 1), "a share below nothing"),
        ("of-nothing", (1, 0), "a share of which the denominator is zero"),
        ("not-in-lowest-terms", (2, 2), "a share in two encodings: 2/2"),
        ("endless", (AMOUNT_LIMIT + 1, AMOUNT_LIMIT + 2), "a share of numbers larger than any amount"),
    ):
        ratio = forced(HALF, numerator=value[0], denominator=value[1])
        changes[f"share-{name}"] = ({status: ratio}, E.decodingFailure, mutation)
    if results.cap_status is not None:
        half = {status: HALF}
        changes["more-captured"] = (half, E.unspecifiedFailure, "more is captured than authorised")
    each(book, scene, sibling, changes, "rule 4.9", "PX-18")


def slug(name: str) -> str:
    """A message's name in identifiers."""
    return name.lower().replace("-", "")


def few(book: Book, scene: Scene, sibling: str) -> None:
    """The one deviation that each suite has to notice in its own way: a bit of what protects the body."""
    assert scene.hand is not None
    if scene.hand.name != "PInitReq":
        wire = unwrap(scene.data)
        changed = under(scene.data, date=replaced_date(scene, timedelta(minutes=1)))
        code = E.wrapperMsgMismatch
        assert wire.type is not None
        reason = "the date of the header is another than the one that was signed"
        book.bad(f"{sibling}-header-date", changed, code, sibling, reason, ("PX-10",), flags=("Wire",))


def replaced_date(scene: Scene, by: timedelta) -> Any:
    """A date that lies within the window, and is not the one that was signed."""
    return general_time(scene.market.clock() + by)


def each(
    book: Book, scene: Scene, sibling: str, changes: dict[str, tuple[dict[str, Any], E, str]], *covers: str
) -> None:
    """Bodies with fields of the sender's choice, protected with the sender's own keys."""
    for name, (fields, code, mutation) in changes.items():
        book.bad(f"{sibling}-{name}", remade(scene, fields), code, sibling, mutation, covers)


def common(book: Book, scene: Scene, sibling: str) -> None:
    """What every signed message has to withstand."""
    market = scene.market
    few(book, scene, sibling)
    bad = book.bad
    assert scene.hand is not None
    name = scene.hand.name
    bad(
        f"{sibling}-bit",
        flipped(scene.data),
        E.signatureFailure,
        sibling,
        "the last but twentieth octet",
        ("PX-10",),
        flags=("Wire",),
    ) if name not in ("PReq",) else None
    if name == "PReq":
        return
    changes: dict[str, dict[str, Any]] = {
        "type": {"head": {"type": PINIT_REQ.content_type}},
        "version": {"head": {"version": 1}},
        "suite": {"head": {"suite": "ed25519" if book.suite != "ed25519" else "p256"}},
        "sender": {"head": {"sender": replace(market.merchant.party, name="somebody else")}},
        "recipient": {"to": label_party(Role.cardholder, "Marque", b"somebody")},
    }
    for field, options in changes.items():
        bad(
            f"{sibling}-head-{field}",
            remade(scene, **options),
            E.wrongRecipient,
            sibling,
            f"the signed head names another {field}",
            ("PX-6",),
        )
    bad(
        f"{sibling}-extension",
        remade(scene, {"extensions": [UNKNOWN]}),
        E.unrecognizedExtension,
        sibling,
        "an unknown critical extension in the body",
        ("rule 4.1.12",),
    )


def pinit_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.5."""
    wire = unwrap(scene.data)
    body = decoded(PINIT_REQ.body, wire.body)
    fields: dict[str, tuple[dict[str, Any], E, str]] = {
        "lid-m": ({"lid_m": b"no such order"}, E.unknownLID, "LID-M of no order"),
        "brand": ({"brand_id": "Other"}, E.invalidCertificate, "BrandID of another brand"),
        "extension": ({"extensions": [UNKNOWN]}, E.unrecognizedExtension, "an unknown critical extension in the body"),
        "rrpid": ({"rrpid": bytes(20)}, E.unknownRRPID, "RRPID of the body is not the header's"),
    }
    for name, (changes, code, mutation) in fields.items():
        data = wrap(PINIT_REQ, encode(replace(body, **changes)), wire.header)
        book.bad(f"{sibling}-{name}", data, code, sibling, mutation, ("rule 4.5",))
    ids = MessageIDs(lid_c=b"another")
    book.bad(
        f"{sibling}-ids",
        under(scene.data, message_ids=ids),
        E.wrapperMsgMismatch,
        sibling,
        "the header has identifiers that the body has not",
        ("rule 4.1.11",),
        flags=("Wire",),
    )
    book.bad(
        f"{sibling}-sender",
        under(scene.data, sender=OTHER),
        E.wrapperMsgMismatch,
        sibling,
        "the header of a plain message names a sender",
        ("rule 4.1.11",),
        flags=("Wire",),
    )


def pinit_res(book: Book, scene: Scene, sibling: str) -> None:
    """§4.6."""
    market = scene.market
    common(book, scene, sibling)
    each(
        book,
        scene,
        sibling,
        {
            "lid-c": ({"trans_ids.lid_c": b"another wallet's"}, E.unknownLID, "LID-C is not the one that was sent"),
            "lid-m": ({"trans_ids.lid_m": b"another order"}, E.unknownLID, "LID-M is not the one that was sent"),
            "rrpid": ({"rrpid": bytes(20)}, E.unknownRRPID, "answers another request"),
            "chall-c": ({"chall_c": bytes(20)}, E.challengeMismatch, "Chall-C is not the one that was sent"),
            "request-digest": ({"request_digest": bytes(32)}, E.wrapperMsgMismatch, "hashes another PInitReq"),
            "thumbs": ({"thumbs": Thumbs(cert_thumbs=[bytes(32)])}, E.thumbsMismatch, "other Thumbs than were sent"),
            "no-thumbs": ({"thumbs": None}, E.thumbsMismatch, "Thumbs left out that were sent"),
            "gateway-role": ({"gateway_id.role": Role.merchant}, E.invalidCertificate, "Cert-PE of another role"),
            "gateway-brand": ({"gateway_id.brand": "Other"}, E.invalidCertificate, "the gateway's brand is another"),
            "gateway-name": ({"gateway_id.name": "gateway-0"}, E.invalidCertificate, "another gateway than Cert-PE's"),
            "pe-thumb": ({"pe_thumb": bytes(32)}, E.missingCertificate, "PEThumb of no certificate"),
        },
        "rule 4.6",
    )
    book.bad(
        f"{sibling}-no-cert-pe",
        remade(scene, also=()),
        E.missingCertificate,
        sibling,
        "Cert-PE left out",
        ("rule 4.6.8",),
    )
    other = exchange_of(another_gateway(market, "gateway-3"))
    book.bad(
        f"{sibling}-other-gateway",
        remade(scene, {"pe_thumb": other.thumbprint}, also=(other.der, *other.chain)),
        E.invalidCertificate,
        sibling,
        "Cert-PE is another gateway's than the one named",
        ("PU-3", "PU-14"),
    )
    own = exchange_of(market.merchant)
    book.bad(
        f"{sibling}-merchant-key",
        remade(scene, {"pe_thumb": own.thumbprint}, also=(own.der, *own.chain)),
        E.invalidCertificate,
        sibling,
        "the merchant's own key instead of the gateway's",
        ("PU-14", "PX-12"),
    )
    impostor = in_the_name_of(market, market.merchant, another_gateway(market, "gateway-4").credentials)
    book.bad(
        f"{sibling}-wrong-kind",
        remade(scene, sender=impostor),
        E.invalidCertificate,
        sibling,
        "signed with a gateway's certificate",
        ("PX-12",),
        flags=("Certificate",),
    )
    stranger = another_merchant(market, "shop-9")
    book.bad(
        f"{sibling}-other-merchant",
        remade(scene, sender=stranger, head={"sender": market.merchant.party}),
        E.wrongRecipient,
        sibling,
        "signed by another merchant of the brand in this one's name",
        ("PX-6",),
    )


def preq(book: Book, scene: Scene, sibling: str) -> None:
    """§4.8."""
    market = scene.market
    paid = taken_apart(market, scene.data)
    few(book, scene, sibling)
    fields: dict[str, tuple[dict[str, Any], E | str, str]] = {
        "xid": ({"trans_ids.xid": bytes(20)}, E.unknownXID, "XID of no purchase"),
        "lid-c": ({"trans_ids.lid_c": b"another"}, E.unknownLID, "LID-C is not the purchase's"),
        "lid-m": ({"trans_ids.lid_m": b"another"}, E.unknownLID, "LID-M is not the purchase's"),
        "chall-m": ({"chall_m": bytes(20)}, E.challengeMismatch, "Chall-M is not that of PInitRes"),
        "brand": ({"brand_id": "Other"}, E.wrongRecipient, "BrandID is another brand's"),
        "merchant": ({"merchant_id": OTHER}, E.wrongRecipient, "ordered from another merchant"),
        "gateway": ({"gateway_id": OTHER}, E.wrongRecipient, "paid through another gateway"),
        "pe-thumb": ({"pe_thumb": bytes(32)}, E.wrongRecipient, "paid to another certificate of the gateway"),
        "extension": ({"extensions": [UNKNOWN]}, E.unrecognizedExtension, "an unknown critical extension in OIData"),
        "hod": ({"hod": bytes(32)}, "CompletionCode.orderRejected", "HOD of another order"),
        "od-salt": ({"od_salt": bytes(32)}, "CompletionCode.orderRejected", "ODSalt is not the one in HOD"),
    }
    for name, (changes, code, mutation) in fields.items():
        data = preq_again(market, paid, oi=changes)
        book.bad(f"{sibling}-{name}", data, code, sibling, mutation, ("rule 4.8", "PX-11"))
    wire = unwrap(scene.data)
    sent = decoded(PReq, wire.body)

    def swapped(**changes: Any) -> bytes:
        oi, pi = replace(sent.oi, **changes.get("oi", {})), replace(sent.pi, **changes.get("pi", {}))
        return wrap(PREQ, encode(PReq(pi=pi, oi=oi)), wire.header)

    other = decoded(PReq, unwrap(preq_again(market, paid, oi={"od_salt": bytes(32)})).body)
    for name, changes, mutation in (
        ("oi-data", {"oi": {"oi_data": other.oi.oi_data}}, "OIData of another signed order"),
        ("oi-salt", {"oi": {"oi_salt": bytes(32)}}, "another salt of OIData"),
        ("hpi-data", {"oi": {"hpi_data": bytes(32)}}, "another digest of the payment"),
        ("signature", {"pi": {"pi_signature": other.pi.pi_signature}}, "the dual signature of another order"),
        ("seals", {"pi": {"seals": other.pi.seals}}, "the sealed payment of another order"),
    ):
        book.bad(
            f"{sibling}-swapped-{name}",
            swapped(**changes),
            E.signatureFailure,
            sibling,
            mutation,
            ("rule 4.8.2", "PU-17"),
            flags=("Wire",),
        )
    for name, seals, mutation in (
        ("seals-rrpid", {"rrpid": bytes(20)}, "the seals are of another request"),
        (
            "seals-cardholder",
            {"cardholder": replace(market.cardholder.party, name="ab" * 32)},
            "the seals name another cardholder",
        ),
    ):
        book.bad(
            f"{sibling}-{name}",
            preq_again(market, paid, seals=seals),
            E.wrapperMsgMismatch,
            sibling,
            mutation,
            ("PX-6",),
        )
    for name, head, code in (
        ("type", {"type": PINIT_REQ.content_type}, E.wrongRecipient),
        ("version", {"version": 1}, E.wrongRecipient),
        ("suite", {"suite": "mldsa65"}, E.wrongRecipient),
        ("recipient", {"recipient": OTHER}, E.wrongRecipient),
        ("sender", {"sender": replace(market.cardholder.party, name="ab" * 32)}, E.wrongRecipient),
        ("header-digest", {"header_digest": bytes(32)}, E.wrapperMsgMismatch),
    ):
        book.bad(
            f"{sibling}-head-{name}",
            preq_again(market, paid, head=head),
            code,
            sibling,
            f"the head of OIData has another {name}",
            ("PX-6",),
        )
    shop = another_merchant(market, "shop-8")
    crook = in_the_name_of(market, market.cardholder, shop.credentials)
    book.bad(
        f"{sibling}-merchant-signs",
        preq_again(market, paid, signer=crook),
        E.invalidCertificate,
        sibling,
        "signed with a merchant's certificate",
        ("PX-12",),
        flags=("Certificate",),
    )


def pres(book: Book, scene: Scene, sibling: str) -> None:
    """§4.9, at the cardholder."""
    market = scene.market
    common(book, scene, sibling)
    each(
        book,
        scene,
        sibling,
        {
            "xid": ({"trans_ids.xid": bytes(20)}, E.unknownXID, "XID of no purchase"),
            "lid-c": ({"trans_ids.lid_c": b"another"}, E.unknownXID, "LID-C is not the purchase's"),
            "lid-m": ({"trans_ids.lid_m": b"another"}, E.unknownXID, "LID-M is not the purchase's"),
            "rrpid": ({"rrpid": bytes(20)}, E.unknownRRPID, "answers another request"),
            "chall-c": ({"chall_c": bytes(20)}, E.challengeMismatch, "not the cardholder's challenge"),
            "request-digest": ({"request_digest": bytes(32)}, E.wrapperMsgMismatch, "hashes another request"),
            "payload-extension": (
                {"pres_payload_seq.0.extensions": [UNKNOWN]},
                E.unrecognizedExtension,
                "an unknown critical extension in a payload",
            ),
        },
        "rule 4.9",
        "PX-18",
    )
    shares(book, scene, sibling)
    book.bad(
        f"{sibling}-other-merchant",
        remade(scene, sender=another_merchant(market, f"shop-{sibling}")),
        E.signatureFailure,
        sibling,
        "signed by another merchant of the brand",
        ("PU-16",),
    )


def inq_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.10."""
    guest = with_account(scene.market).cardholder
    few(book, scene, sibling)
    each(
        book,
        scene,
        sibling,
        {
            "lid-c": ({"trans_ids.lid_c": b"another"}, E.unknownLID, "LID-C is not the purchase's"),
            "lid-m": ({"trans_ids.lid_m": b"another"}, E.unknownLID, "LID-M is not the purchase's"),
            "extension": (
                {"extensions": [UNKNOWN]},
                E.unrecognizedExtension,
                "an unknown critical extension in the body",
            ),
        },
        "rule 4.10",
    )
    book.bad(
        f"{sibling}-somebody-elses",
        remade(scene, sender=guest),
        E.signatureFailure,
        sibling,
        "another cardholder asks about this purchase",
        ("rule 4.10.2",),
    )
    book.bad(
        f"{sibling}-recipient",
        remade(scene, to=OTHER),
        E.wrongRecipient,
        sibling,
        "the signed head names another merchant",
        ("PX-6",),
    )
    book.bad(
        f"{sibling}-type",
        remade(scene, head={"type": PREQ.content_type}),
        E.wrongRecipient,
        sibling,
        "the signed head names another type",
        ("PX-6",),
    )
    book.good(
        f"{sibling}-unknown-xid",
        remade(scene, {"trans_ids.xid": bytes(20)}),
        "an inquiry about a purchase that the merchant has not received is answered with orderNotReceived",
        ("rule 4.10.3",),
    )


DEVIATIONS: Final = {
    "PInitReq": pinit_req,
    "PInitRes": pinit_res,
    "PReq": preq,
    "PRes": pres,
    "InqReq": inq_req,
    "InqRes": pres,
}


def build() -> Iterable[Played]:
    """One file a suite."""
    return played("purchase", play, ("p256", *OTHER_SUITES))
