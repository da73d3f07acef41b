"""The wire, and time: the checks before any cryptography, messages sent again, late, or elsewhere
(set-protocol.md §4.1, §4.2; PX-6, PX-9, PX-10, PX-17), and certificates that are not good at the time (PX-12,
PX-15)."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from cryptography.x509 import load_der_x509_certificate

from pki.der import TLV, as_received, decode, encode, general_time, sequence, tlv
from setproto.errors import ErrorCode as E
from setproto.messages.common import Extension, Role
from setproto.messages.registry import PINIT_REQ
from setproto.messages.wrapper import MAX_AGE, MessageIDs, unwrap, wrap
from setproto.roles.party import decoded
from vectors.recipes.flows import (
    UNKNOWN,
    Book,
    Played,
    as_type,
    iso,
    open_market,
    open_scene,
    played,
    secrets,
    trader,
    under,
)
from vectors.recipes.hands import Scene, begin, remade

STEP: Final = timedelta(minutes=1)


def at(label: str, name: str) -> Scene:
    """A purchase with this message in hand."""
    scene = open_scene(f"replay {label}", "p256")
    while scene.hand is not None and scene.hand.name != name:
        scene.deliver()
    return scene


def play(suite: str) -> Book:
    """Everything."""
    book = Book("replay", suite)
    wrapper(book)
    dates(book)
    again(book)
    elsewhere(book)
    certificates(book)
    errors(book)
    return book


def wrapper(book: Book) -> None:
    """§4.1 steps 1 to 7."""
    scene = at("wrapper", "PInitReq")
    book.group(trader(scene), secrets(scene, "merchant"))
    first = book.good("wrapper", scene.data, "a genuine PInitReq", ("rule 4.1",))
    bad = book.bad
    bad("cut", scene.data[:-1], E.decodingFailure, first, "the last octet is missing", ("rule 4.1.2",), flags=("Wire",))
    bad(
        "trailing",
        scene.data + b"\0",
        E.decodingFailure,
        first,
        "an octet after the end",
        ("rule 4.1.2",),
        flags=("Wire",),
    )
    bad("empty", b"", E.decodingFailure, first, "nothing at all", ("rule 4.1.2",), flags=("Wire",))
    bad(
        "version-old",
        under(scene.data, version=1),
        E.versionTooOld,
        first,
        "version 1",
        ("rule 4.1.3",),
        flags=("Wire",),
    )
    bad(
        "version-new",
        under(scene.data, version=3),
        E.versionTooNew,
        first,
        "version 3",
        ("rule 4.1.3",),
        flags=("Wire",),
    )
    bad(
        "no-rrpid",
        under(scene.data, rrpid=None),
        E.unknownRRPID,
        first,
        "a header without RRPID",
        ("rule 4.1.11",),
        flags=("Wire",),
    )
    extended = extended_by(scene.data, UNKNOWN)
    bad(
        "wrapper-extension",
        extended,
        E.unrecognizedExtension,
        first,
        "an unknown critical extension of the wrapper",
        ("rule 4.1.6",),
        flags=("Wire",),
    )
    harmless = extended_by(scene.data, replace(UNKNOWN, critical=False))
    book.good("wrapper-extension-harmless", harmless, "an unknown extension that is not critical", ("rule 4.1.6",))
    for name in ("PInitRes", "PRes", "AuthReq", "CapReq", "CardCInitReq", "CertReq"):
        bad(
            f"not-for-merchants-{name.lower()}",
            as_type(scene.data, name),
            E.messageNotSupported,
            first,
            f"under the number of {name}, which merchants do not get",
            ("rule 4.1.7",),
            flags=("Confusion",),
        )


def extended_by(data: bytes, extension: Extension) -> bytes:
    """The same message, its wrapper extended."""
    wire = unwrap(data)
    whole = wrap(PINIT_REQ, wire.body, wire.header)
    inside = decode(Outer, whole)
    return tlv(0x30, as_received(inside.header), as_received(inside.message), tlv(0xA0, encode(extension)))


@sequence
class Outer:
    """A MessageWrapper, unread."""

    header: TLV
    message: TLV


def dates(book: Book) -> None:
    """§4.1 step 5: the window, at both ends."""
    for name, message in (("pinitreq", "PInitReq"), ("authreq", "AuthReq")):
        scene = at(f"dates {name}", message)
        group = book.group(trader(scene), secrets(scene, "gateway" if message == "AuthReq" else "merchant"))
        sibling = book.good(f"in-time-{name}", scene.data, "of now", ("rule 4.1.5",))
        for word, by, reason in (("edge-old", MAX_AGE, None), ("old", MAX_AGE + STEP, E.messageTooOld)):
            moved = book.group({**deepcopy(group), "now": iso(scene.market.clock() + by), "tests": []}, book.guarded)
            if reason is None:
                book.good(
                    f"{word}-{name}", scene.data, "received at the end of the window", ("rule 4.1.5",), group=moved
                )
            else:
                book.bad(
                    f"{word}-{name}",
                    scene.data,
                    reason,
                    sibling,
                    "received when it was too old",
                    ("rule 4.1.5", "PX-9"),
                    group=moved,
                    flags=("Replay",),
                )
        late, later = (dated(scene, by) for by in (MAX_AGE, MAX_AGE + STEP))
        book.good(f"edge-new-{name}", late, "dated as late as the window allows", ("rule 4.1.5",), group=group)
        book.bad(
            f"new-{name}",
            later,
            E.messageTooNew,
            sibling,
            "dated later than the window allows",
            ("rule 4.1.5",),
            group=group,
        )


def dated(scene: Scene, by: timedelta) -> bytes:
    """The message in hand, made under a header of another date."""
    date = general_time(scene.market.clock() + by)
    if scene.hand is not None and scene.hand.name == "PInitReq":
        return under(scene.data, date=date)
    return remade(scene, over=replace(unwrap(scene.data).header, date=date))


REQUESTS: Final = {
    "PInitReq": "merchant",
    "InqReq": "merchant",
    "AuthReq": "gateway",
    "CapReq": "gateway",
}
"""Requests that are sent again here, and to whom."""


def again(book: Book) -> None:
    """§4.2: repeated, the same answer; another content under the same RRPID, refused."""
    for name in REQUESTS:
        scene = at(f"again {name}", name)
        first = scene.data
        other = changed(scene, name)
        scene.deliver()
        role = Role[REQUESTS[name]]
        group = trader(scene, role)
        book.group(group, secrets(scene, REQUESTS[name]))
        sibling = book.good(
            f"repeated-{name.lower()}",
            first,
            f"a {name} that came before: the first answer again",
            ("rule 4.2", "PX-9"),
            flags=("Replay",),
        )
        book.bad(
            f"conflict-{name.lower()}",
            other,
            E.rrpidConflict,
            sibling,
            "other content under an RRPID that was used",
            ("rule 4.2", "PX-9"),
            flags=("Replay",),
        )
    # Orders, and answers: taken once.
    scene = at("again PReq", "PReq")
    first = scene.data
    scene.deliver()
    book.group(trader(scene, Role.merchant), secrets(scene, "merchant"))
    book.good("repeated-preq", first, "a PReq that came before", ("rule 4.8.5", "PX-9"), flags=("Replay",))
    for name, taker in (("PInitRes", "cardholder"), ("AuthRes", "merchant"), ("CapRes", "merchant")):
        scene = at(f"again {name}", name)
        first = scene.data
        scene.deliver()
        book.group(trader(scene, Role[taker]), secrets(scene, taker))
        book.good(
            f"repeated-{name.lower()}", first, f"a {name} that came before", ("rule 4.2", "PX-9"), flags=("Replay",)
        )
    # Of another purchase of the same two.
    market = open_market("replay two", "p256")
    one, two = begin(market), begin(market)
    for scene in (one, two):
        while scene.hand is not None and scene.hand.name != "PRes":
            scene.deliver()
    book.group(trader(one), secrets(one, "cardholder"))
    sibling = book.good("pres", one.data, "a genuine PRes", ("rule 4.9",))
    book.bad(
        "pres-crossed",
        under(one.data, rrpid=unwrap(two.data).header.rrpid),
        E.wrapperMsgMismatch,
        sibling,
        "under the RRPID of another purchase's request",
        ("PX-9", "PX-10"),
        flags=("Replay",),
        alternatives=["unknownRRPID"],
    )


def changed(scene: Scene, name: str) -> bytes:
    """The request in hand with other content under the same RRPID."""
    if name == "PInitReq":
        wire = unwrap(scene.data)
        return wrap(PINIT_REQ, encode(replace(decoded(PINIT_REQ.body, wire.body), chall_c=bytes(20))), wire.header)
    if name == "InqReq":
        return remade(scene, {"chall_c2": bytes(20)})
    return remade(scene, {"extensions": [replace(UNKNOWN, critical=False)]})


def elsewhere(book: Book) -> None:
    """PX-6: signed structures under the number of another message that their receiver takes."""
    scene = open_scene("replay elsewhere", "p256")
    while scene.hand is not None:
        name = scene.hand.name
        targets = [taken_for for genuine, taken_for in CONFUSED if genuine == name]
        if targets:
            group = trader(scene)
            book.group(group, secrets(scene, group["role"]))
            sibling = book.good(f"{name.lower()}-in-place", scene.data, f"a genuine {name}", ("PX-6",))
        for taken_for in targets:
            book.bad(
                f"{name.lower()}-for-{taken_for.lower()}",
                as_type(scene.data, taken_for),
                CONFUSED[name, taken_for],
                sibling,
                f"under the number of {taken_for}",
                ("PX-6",),
                flags=("Confusion",),
            )
        if name == "CredReq":
            break
        scene.deliver()


CONFUSED: Final[dict[tuple[str, str], E]] = {
    ("PInitRes", "PRes"): E.messageNotSupported,
    ("PRes", "InqRes"): E.signatureFailure,
    ("PRes", "PInitRes"): E.signatureFailure,
    ("InqRes", "PRes"): E.signatureFailure,
    ("AuthReq", "CapReq"): E.decryptionFailure,
    ("CapReq", "CredReq"): E.decryptionFailure,
    ("CredReq", "CapRevReq"): E.decryptionFailure,
    ("AuthRes", "AuthRevRes"): E.decryptionFailure,
    ("CapRes", "CredRes"): E.decryptionFailure,
    ("InqReq", "PReq"): E.decodingFailure,
    ("PReq", "InqReq"): E.decodingFailure,
}


def certificates(book: Book) -> None:
    """PX-12 and PX-15: revoked, expired, no BrandCRLIdentifier, a CRL withheld, another root."""
    for name, message in (("preq", "PReq"), ("authreq", "AuthReq"), ("authres", "AuthRes"), ("pres", "PRes")):
        scene = at(f"certificates {name}", message)
        market = scene.market
        group = trader(scene)
        sender = {
            "PReq": market.cardholder,
            "AuthReq": market.merchant,
            "AuthRes": market.gateway,
            "PRes": market.merchant,
        }[message]
        book.group(group, secrets(scene, group["role"]))
        sibling = book.good(f"certified-{name}", scene.data, f"a genuine {message}", ("PX-12",))

        def other(
            word: str,
            trust: dict[str, Any],
            reason: E,
            mutation: str,
            *covers: str,
            group: Any = group,
            scene: Scene = scene,
            sibling: str = sibling,
            name: str = name,
        ) -> None:
            book.bad(
                f"{word}-{name}",
                scene.data,
                reason,
                sibling,
                mutation,
                covers,
                flags=("Certificate",),
                group=group,
                trust=trust,
            )

        if message in ("PReq", "AuthReq"):
            other("no-bci", {"bcis": []}, E.missingCertificate, "no BrandCRLIdentifier is known", "PX-15")
            other(
                "withheld",
                {"crls": group["trust"]["crls"][:2]},
                E.missingCertificate,
                "CRLs that the BrandCRLIdentifier names are withheld",
                "PX-15",
            )
            roots = [open_market(f"other root {name}", "p256").tree.root_der.hex()]
            other(
                "other-root",
                {"roots": roots, "certificates": [], "crls": [], "bcis": []},
                E.missingCertificate,
                "the root is another",
                "PX-12",
                "PU-3",
            )
        if message == "AuthReq":
            continue
        issuer = {"PReq": market.tree.cca, "AuthRes": market.tree.pca, "PRes": market.tree.mca}[message]

        serial = load_der_x509_certificate(sender.credentials.signer.certificate).serial_number
        now = market.clock()
        issuer.revoke(serial, now)
        crls = market.tree.crls(now)
        bci = market.tree.bci(crls, now)
        other(
            "revoked",
            {"crls": [crl.hex() for crl in crls], "bcis": [bci.hex()]},
            E.revokedCertificate,
            "the sender's certificate is on a CRL",
            "PX-12",
        )


def errors(book: Book) -> None:
    """PX-17: an Error is a hint, and changes nothing."""
    scene = at("errors", "PRes")
    refusal = scene.market.merchant.handle(b"")
    (message,) = refusal.outgoing
    book.group(trader(scene, Role.cardholder), secrets(scene, "cardholder"))
    book.good(
        "error",
        message.data,
        "a signed Error, addressed to whoever sent something that could not be read",
        ("PX-17", "rule 4.1"),
    )
    ids = MessageIDs(lid_c=b"another")
    book.bad(
        "error-header",
        error_under(message.data, ids),
        E.wrapperMsgMismatch,
        "error",
        "the header of the Error is not the one that was signed",
        ("PX-10", "PX-17"),
        flags=("Wire",),
    )


def error_under(data: bytes, ids: MessageIDs) -> bytes:
    """The same Error under other identifiers."""
    wire = unwrap(data)
    return wrap(
        None, wire.body, replace(wire.header, message_ids=ids, date=general_time(wire.header.date.as_datetime()))
    )


def build() -> Iterable[Played]:
    """One file."""
    return played("replay", play)
