"""Several authorisations of one purchase: shipments, instalments, recurring payments, and the gateway's tokens (§4.17).

The gateway gives the merchant a token with each authorisation; the next AuthReq carries it in the place of the payment
instruction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from pki.der import decode, general_time
from setproto.amounts import AMOUNT_LIMIT, CurrencyAmount
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode as E
from setproto.messages.common import InstallRecurData, Recurring, Role
from setproto.messages.oids import ID_OI_DATA
from setproto.messages.payment import AuthToken, PaymentInstruction
from setproto.messages.purchase import PURCHASE, PReq
from setproto.messages.wrapper import unwrap
from setproto.roles.merchant import Merchant
from vectors.recipes.flows import Book, Played, open_scene, played, secrets, trader
from vectors.recipes.hands import (
    Scene,
    another_merchant,
    forced,
    market_pi,
    opened,
    preq_again,
    remade,
    taken_apart,
)
from vectors.recipes.keys import NOW

ITEM, TAGS, PAYLOAD = "auth_req_item", "auth_req_item.auth_tags", "auth_req_item.auth_req_payload"
AMOUNT: Final = f"{PAYLOAD}.auth_req_amt"
RRPID: Final = f"{TAGS}.auth_rr_tags.rrpid"
COVERS: Final = ("rule 4.17", "PX-16")
MISMATCH: Final = "AuthCode.piAuthMismatch"
INSTALMENTS: Final = InstallRecurData(install_total_trans=2)
MONTHLY: Final = Recurring(recurring_frequency=30, recurring_expiry=general_time(NOW + timedelta(days=40)))
SUBSCRIPTION: Final = {"install_recur_data": InstallRecurData(recurring=MONTHLY)}
MOST: Final = f"EUR {AMOUNT_LIMIT // 100}.{AMOUNT_LIMIT % 100:02}"
"""The largest amount that there is."""


def euros(text: str) -> CurrencyAmount:
    """EUR."""
    return CurrencyAmount.of(f"EUR {text}")


def play(suite: str) -> Book:
    """All of it."""
    book = Book("recurring", suite)
    shipments(book)
    instalments(book)
    subscription(book)
    without_end(book)
    return book


def first_of(label: str, suite: str, amount: str = "EUR 42.00", **options: Any) -> Scene:
    """The first authorisation is made, and the merchant knows it."""
    scene = open_scene(f"recurring {label}", suite, amount, **options)
    scene.until("PRes")
    return scene


def opens(book: Book, scene: Scene) -> None:
    """A group for the gateway as it is now."""
    book.group(trader(scene, Role.gateway), secrets(scene, "gateway"))


def asks(scene: Scene, amount: str, *, more: bool = False) -> None:
    """The merchant has the next AuthReq in hand."""
    scene.take(scene.market.merchant.authorize(scene.xid, euros(amount), more=more))


def each(book: Book, scene: Scene, sibling: str, changes: Mapping[str, tuple[dict[str, Any], E | str, str]]) -> None:
    """Bodies with fields of the merchant's choice."""
    for name, (fields, code, mutation) in changes.items():
        book.bad(f"{sibling}-{name}", remade(scene, fields), code, sibling, mutation, COVERS)


def shipments(book: Book) -> None:
    """30.00 of 42.00, then the rest."""
    scene = first_of("shipments", book.suite, terms={"first_amount": "EUR 30.00"})
    asks(scene, "12.00")
    opens(book, scene)
    good = book.good("rest", scene.data, "the rest of an order, with the token", COVERS)
    amount = "AuthCode.amountError"
    finer = CurrencyAmount(currency=978, amount=11999, amt_exp10=-3)
    each(
        book,
        scene,
        good,
        {
            "more": ({AMOUNT: euros("12.01")}, amount, "a cent more in all than was signed"),
            "finer": ({AMOUNT: finer}, amount, "a part of the smallest unit that was signed"),
            "xid": ({f"{TAGS}.trans_ids.xid": bytes(20)}, MISMATCH, "a token of another purchase"),
            "instalments": (
                {f"{PAYLOAD}.install_recur_data": INSTALMENTS},
                "AuthCode.installRecurMismatch",
                "instalments that the cardholder did not agree to",
            ),
        },
    )
    tokens(book, scene, good)
    thieves(book, scene, good)


def tokens(book: Book, scene: Scene, sibling: str) -> None:
    """Tokens that are not the gateway's last one for this purchase."""
    baggage = opened(scene.market, "AuthReq", scene.data).baggage
    token = baggage.auth_token
    assert isinstance(token, AuthToken)
    for name, changed, mutation in (
        ("broken", forced(token, sealed_token=_flipped(token.sealed_token)), "a bit of the token"),
        ("broken-account", forced(token, sealed_pan=_flipped(token.sealed_pan)), "a bit of the account in the token"),
        ("other-rrpid", forced(token, auth_rrpid=bytes(20)), "the RRPID beside the token is another"),
        ("exchanged", forced(token, sealed_token=token.sealed_pan), "the account in the place of the token"),
    ):
        made = remade(scene, baggage=PaymentInstruction(auth_token=changed))
        book.bad(f"{sibling}-token-{name}", made, MISMATCH, sibling, mutation, COVERS)
    pi = market_pi(scene.market, scene.sent["PReq"].data)
    again = remade(scene, baggage=PaymentInstruction(pi=pi))
    mutation = "the payment instruction again, in the place of the token"
    book.bad(f"{sibling}-pi-again", again, MISMATCH, sibling, mutation, COVERS, flags=("Replay", "Business"))


def _flipped(octets: bytes) -> bytes:
    return octets[:-1] + bytes((octets[-1] ^ 1,))


def thieves(book: Book, scene: Scene, sibling: str) -> None:
    """Another merchant has the token."""
    market = scene.market
    thief = another_merchant(market, "thief")
    mine = {
        f"{TAGS}.auth_rr_tags.mer_term_ids.merchant_id": thief.party.name,
        f"{TAGS}.auth_rr_tags.me_thumb": thief.own_exchange_thumb(),
    }
    stolen = remade(scene, mine, sender=thief)
    mutation = "another merchant has the token"
    book.bad(f"{sibling}-thief", stolen, MISMATCH, sibling, mutation, (*COVERS, "PU-12"))
    # Whoever has a purchase of its own under the same XID, which a merchant chooses.
    data = own_purchase(scene, thief, mine)
    market.gateway.handle(data)
    opens(book, scene)
    again = remade(scene, {**mine, RRPID: bytes(19) + b"\x01"}, sender=thief)
    mutation = "another merchant has the token, and a purchase of its own under the same XID"
    book.bad(f"{sibling}-thief-with-xid", again, MISMATCH, sibling, mutation, (*COVERS, "PU-12"))


def own_purchase(scene: Scene, thief: Merchant, mine: Mapping[str, Any]) -> bytes:
    """The first AuthReq of a purchase at another merchant under the same XID, by the same cardholder."""
    market = scene.market
    paid = taken_apart(market, scene.sent["PReq"].data)
    preq = preq_again(market, paid, oi={"merchant_id": thief.party}, pi={"merchant_id": thief.party})
    here, scene.hand = scene.hand, scene.sent["AuthReq"]
    body = opened(market, "AuthReq", scene.data).body
    digests = forced(body.auth_req_item.check_digests, hoi_data=hoi_data_of(scene, preq))
    data = remade(
        scene,
        {**mine, RRPID: bytes(19) + b"\x02", f"{ITEM}.check_digests": digests},
        sender=thief,
        baggage=market_pi(market, preq),
    )
    scene.hand = here
    return data


def hoi_data_of(scene: Scene, preq: bytes) -> bytes:
    """The digest of the order in a PReq."""
    oi = decode(PReq, unwrap(preq).body).oi
    return PURCHASE.digest(Part(ID_OI_DATA, oi.oi_data, oi.oi_salt), scene.market.suite)


def instalments(book: Book) -> None:
    """Two instalments, and a third one."""
    terms = {"install_recur_data": INSTALMENTS, "first_amount": "EUR 14.00"}
    scene = first_of("instalments", book.suite, terms=terms)
    asks(scene, "14.00")
    opens(book, scene)
    good = book.good("instalment", scene.data, "the second instalment of two", COVERS)
    changed = {f"{PAYLOAD}.install_recur_data": InstallRecurData(install_total_trans=3)}
    mutation = "three instalments, where two were signed"
    book.bad(f"{good}-three", remade(scene, changed), "AuthCode.installRecurMismatch", good, mutation, COVERS)
    old = remade(scene, {RRPID: bytes(20)})
    scene.deliver()
    scene.deliver()
    asks(scene, "14.00")
    opens(book, scene)
    book.bad(
        f"{good}-after-the-last",
        scene.data,
        "AuthCode.installRecurMismatch",
        good,
        "a third instalment, where two were signed, with the newest token",
        COVERS,
    )
    mutation = "the token of the instalment before, once more"
    flags = ("Replay", "Business")
    book.bad(f"{good}-old-token", old, "AuthCode.piPreviouslyUsed", good, mutation, (*COVERS, "PX-7"), flags=flags)


def subscription(book: Book) -> None:
    """42.00 every thirty days, for forty days."""
    for name, days, reason, mutation in (
        ("too-soon", 29, "AuthCode.recurringTooSoon", "a day too soon"),
        ("on-the-day", 30, None, "the next payment on its first day"),
        ("expired", 41, "AuthCode.recurringExpired", "a day after the last date"),
    ):
        scene = first_of(f"subscription {name}", book.suite, terms=SUBSCRIPTION)
        scene.market.clock.advance(timedelta(days=days))
        scene.market.renew_crls()
        asks(scene, "42.00")
        opens(book, scene)
        if reason is None:
            good = book.good("payment", scene.data, mutation, COVERS)
            changed = remade(scene, {AMOUNT: euros("42.01")})
            mutation = "a cent more than was signed for each payment"
            book.bad("payment-more", changed, "AuthCode.amountError", good, mutation, COVERS)
        else:
            book.bad(f"payment-{name}", scene.data, reason, "payment", mutation, COVERS)


def without_end(book: Book) -> None:
    """Payments that are more together than can be counted."""
    scene = first_of("without-end", book.suite, MOST, terms=SUBSCRIPTION, balance=MOST)
    scene.market.clock.advance(timedelta(days=30))
    scene.market.renew_crls()
    scene.take(scene.market.merchant.authorize(scene.xid, CurrencyAmount.of(MOST)))
    opens(book, scene)
    mutation = "more in all than an amount can be"
    book.bad("payment-without-end", scene.data, "AuthCode.amountError", "payment", mutation, COVERS)


def build() -> Iterable[Played]:
    """One file."""
    return played("recurring", play)
