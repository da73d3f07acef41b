"""What must not come out: the ways in which a sealed payment does not open all look alike (no decryption oracle), and
neither card number nor order shows in any answer (set-protocol.md §3.3 to 3.5; PX-1, PX-2, PX-3, PU-6 to PU-10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pki.der import decode, encode
from setproto.crypto.cms import Recipient, seal
from setproto.errors import ErrorCode as E
from setproto.messages.common import Role
from setproto.messages.oids import ID_PAN_DATA, ID_PI_OI_LINK
from setproto.messages.purchase import PISeals
from vectors.recipes.flows import Book, Played, open_scene, played, secrets, trader
from vectors.recipes.hands import another_gateway, change, exchange_of, pi_of, remade, taken_apart


def play(suite: str) -> Book:
    """One AuthReq, its payment spoilt in several ways."""
    book = Book("privacy", suite)
    scene = open_scene(f"privacy {suite}", suite)
    while scene.hand is not None and scene.hand.name != "PReq":
        scene.deliver()
    book.group(trader(scene), secrets(scene, "merchant"))
    book.good(
        "order",
        scene.data,
        "the merchant takes the order, and shows nothing of the card",
        ("PX-1", "PX-3", "PU-8"),
        flags=("Privacy",),
    )
    preq = scene.data
    scene.deliver()
    market = scene.market
    book.group(trader(scene, Role.gateway), secrets(scene, "gateway"))
    sibling = book.good(
        "payment",
        scene.data,
        "the gateway opens the payment, and shows nothing of card and order",
        ("PX-1", "PX-2", "PU-7"),
        flags=("Privacy",),
    )
    pi = pi_of(market, scene.data)
    seals = decode(PISeals, pi.seals)
    paid = taken_apart(market, preq)
    gateway, xid = market.gateway, paid.oi_data.trans_ids.xid
    elsewhere = another_gateway(market, "gateway-2")
    contexts = {
        "pi": (gateway.context(ID_PI_OI_LINK, seals.cardholder, gateway.party, xid, seals.rrpid), encode(paid.link)),
        "pan": (gateway.context(ID_PAN_DATA, seals.cardholder, gateway.party, xid, seals.rrpid), encode(paid.pan_data)),
    }
    spoilt: bytes
    for part, (context, content) in contexts.items():
        genuine = getattr(seals, f"sealed_{part}")
        wrong_context = gateway.context(ID_PAN_DATA, seals.cardholder, elsewhere.party, xid, seals.rrpid)
        broken, early = bytearray(genuine), bytearray(genuine)
        broken[-1] ^= 1
        early[len(genuine) // 3] ^= 1
        for name, spoilt, mutation in (
            ("tag", bytes(broken), "the last octet, of the authentication tag, changed"),
            ("key", bytes(early), "an octet in the first third changed"),
            ("cut", genuine[:-1], "the last octet missing"),
            ("nothing", b"?", "one octet that is no sealed object"),
            (
                "elsewhere",
                seal(content, Recipient(exchange_of(elsewhere)), context=context),
                "sealed to another gateway",
            ),
            (
                "context",
                seal(content, Recipient(exchange_of(gateway)), context=wrong_context),
                "sealed in another context",
            ),
        ):
            changed = replace(pi, seals=encode(change(seals, f"sealed_{part}", spoilt)))
            book.bad(
                f"sealed-{part}-{name}",
                remade(scene, baggage=changed),
                E.decryptionFailure,
                sibling,
                f"sealed {part}: {mutation}",
                ("PX-3", "PX-10", "PU-10"),
                flags=("Oracle",),
            )
    return book


def build() -> Iterable[Played]:
    """One file."""
    return played("privacy", play)
