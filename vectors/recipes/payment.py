"""Merchant and gateway: authorisation, capture, what takes them back, batches (set-protocol.md §4.11 to 4.19)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode as E
from setproto.messages.common import InstallRecurData, PartyID, Role
from setproto.messages.oids import ID_OI_DATA
from setproto.messages.payment import AuthResBaggage, CapTokenSeq, EncB, SaleDetail
from setproto.messages.purchase import PURCHASE, OIData, PISeals, PReq
from setproto.messages.registry import AUTH_REQ, PINIT_REQ, TRADE
from setproto.messages.wrapper import MessageIDs, header, unwrap, wrap
from vectors.recipes.flows import UNKNOWN, Book, Played, open_scene, played, secrets, trader, under
from vectors.recipes.hands import (
    Scene,
    another_card,
    another_gateway,
    another_merchant,
    cardholder_with,
    exchange_of,
    market_pi,
    opened,
    pi_of,
    preq_again,
    remade,
    taken_apart,
)
from vectors.recipes.purchase import few, slug
from vectors.recipes.settlement import later, states

OTHER: Final = PartyID(role=Role.merchant, brand="Marque", name="another")
MESSAGES: Final = tuple(kind.name for kind in TRADE if kind.tag >= AUTH_REQ.tag)
COVERS: Final = {
    "AuthReq": ("rule 4.12", "OT-1", "OT-3", "PU-12", "PU-18", "PU-19", "PU-20"),
    "AuthRes": ("rule 4.13", "PU-13", "PX-5"),
    "AuthRevReq": ("rule 4.14",),
    "AuthRevRes": ("rule 4.14",),
    "CapReq": ("rule 4.15", "PX-7"),
    "CapRes": ("rule 4.15",),
    "BatchAdminReq": ("rule 4.19",),
    "BatchAdminRes": ("rule 4.19",),
    "PCertReq": ("rule 2.13",),
    "PCertRes": ("rule 2.13",),
}
ITEM, TAGS, PAYLOAD = "auth_req_item", "auth_req_item.auth_tags", "auth_req_item.auth_req_payload"


def euros(text: str) -> CurrencyAmount:
    """EUR."""
    return CurrencyAmount.of(f"EUR {text}")


def play(suite: str) -> Book:
    """Everything between merchant and gateway that can be done with one purchase, and everything that is wrong."""
    book = Book("payment", suite)
    scene = open_scene(f"payment {suite}", suite)
    while scene.hand is not None:
        name = scene.hand.name
        if name in MESSAGES:
            group = trader(scene)
            book.group(group, secrets(scene, group["role"]))
            sibling = book.good(slug(name), scene.data, f"a genuine {name}", COVERS.get(name, ("rule 4.16",)))
            common(book, scene, sibling)
            if name in DEVIATIONS:
                DEVIATIONS[name](book, scene, sibling)
            later(book, scene, sibling)
        scene.deliver()
    business(book)
    states(book)
    return book


def common(book: Book, scene: Scene, sibling: str) -> None:
    """What each of these messages has to withstand."""
    assert scene.hand is not None
    assert scene.hand.to is not None
    market, name, response = scene.market, scene.hand.name, scene.hand.name.endswith("Res")
    sealed = name not in ("PCertReq", "PCertRes")
    if name in DEVIATIONS:
        few(book, scene, sibling)
    other = (
        another_merchant(market, f"m-{sibling}").party if response else another_gateway(market, f"g-{sibling}").party
    )
    heads: dict[str, dict[str, Any]] = {
        "type": {"head": {"type": PINIT_REQ.content_type}},
        "version": {"head": {"version": 1}},
        "suite": {"head": {"suite": "ed25519"}},
        "recipient": {"to": other},
    }
    for field, options in heads.items():
        if name not in DEVIATIONS and field in ("version", "suite"):
            continue  # the same code for every message; the large files are not made larger for it
        data = remade(scene, **options)
        book.bad(
            f"{sibling}-head-{field}",
            data,
            E.wrongRecipient,
            sibling,
            f"the signed head names another {field}",
            ("PX-6",),
        )
    if sealed and name in DEVIATIONS:
        moved = under(scene.data, rrpid=bytes(20))
        book.bad(
            f"{sibling}-header-rrpid",
            moved,
            E.decryptionFailure,
            sibling,
            "the header has another RRPID than the seal is bound to",
            ("PX-10",),
            flags=("Wire",),
        )
    book.bad(
        f"{sibling}-extension",
        remade(scene, {"extensions": [UNKNOWN]}),
        E.unrecognizedExtension,
        sibling,
        "an unknown critical extension in the body",
        ("rule 4.1.12",),
    )
    if response:
        book.bad(
            f"{sibling}-request-digest",
            remade(scene, {"request_digest": bytes(32)}),
            E.wrapperMsgMismatch,
            sibling,
            "hashes another request",
            ("PX-5",),
        )
        stranger = another_gateway(market, f"h-{sibling}")
        book.bad(
            f"{sibling}-other-gateway",
            remade(scene, sender=stranger),
            E.signatureFailure,
            sibling,
            "another gateway of the brand answers",
            ("PX-5", "PU-13"),
        )
        return
    far = another_merchant(market, f"f-{sibling}", acquirer_bin="422222")
    tags = {
        "AuthReq": f"{TAGS}.auth_rr_tags",
        "AuthRevReq": "auth_rev_rr_tags",
        "CapReq": "cap_rr_tags",
        "PCertReq": "pcert_rr_tags",
        "BatchAdminReq": "batch_admin_rr_tags",
    }.get(name, "rr_tags")
    till = {f"{tags}.mer_term_ids.merchant_id": far.party.name}
    book.bad(
        f"{sibling}-other-acquirer",
        remade(scene, till, sender=far),
        E.invalidCertificate,
        sibling,
        "by a merchant of another acquirer",
        ("PX-12",),
        flags=("Certificate",),
    )
    if name not in DEVIATIONS:
        return
    book.bad(
        f"{sibling}-other-till",
        remade(scene, {f"{tags}.mer_term_ids.merchant_id": "m"}),
        E.wrapperMsgMismatch,
        sibling,
        "MerchantID is not the signer's",
        ("rule 4.12.7",),
    )


def each(
    book: Book, scene: Scene, sibling: str, changes: Mapping[str, tuple[dict[str, Any], E | str, str]], *covers: str
) -> None:
    """Bodies with fields of the sender's choice."""
    for name, (fields, code, mutation) in changes.items():
        book.bad(f"{sibling}-{name}", remade(scene, fields), code, sibling, mutation, covers)


def forwarded(scene: Scene, preq: bytes) -> bytes:
    """The AuthReq in hand with the payment of another PReq and the digests that go with it: merchant and cardholder
    are in league."""
    market = scene.market
    body = opened(market, "AuthReq", scene.data).body
    oi = decode(PReq, unwrap(preq).body).oi
    hoi_data = PURCHASE.digest(Part(ID_OI_DATA, oi.oi_data, oi.oi_salt), market.suite)
    digests = replace(body.auth_req_item.check_digests, hoi_data=hoi_data, hod2=decode(OIData, oi.oi_data).hod)
    return remade(scene, {f"{ITEM}.check_digests": digests}, baggage=market_pi(market, preq))


def auth_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.12."""
    market = scene.market
    bad = book.bad
    mismatch, amount = "AuthCode.piAuthMismatch", "AuthCode.amountError"
    # What the merchant asks, against what was signed.
    each(
        book,
        scene,
        sibling,
        {
            "no-digests": ({f"{ITEM}.check_digests": None}, mismatch, "CheckDigests left out"),
            "hoi-data": ({f"{ITEM}.check_digests.hoi_data": bytes(32)}, mismatch, "the digest of another OIData"),
            "hod": ({f"{ITEM}.check_digests.hod2": bytes(32)}, mismatch, "the digest of another order"),
            "more": ({f"{PAYLOAD}.auth_req_amt": euros("42.01")}, amount, "a cent more than was signed"),
            "less": ({f"{PAYLOAD}.auth_req_amt": euros("41.99")}, amount, "a cent less, with nothing to follow"),
            "currency": ({f"{PAYLOAD}.auth_req_amt": CurrencyAmount.of("USD 42.00")}, amount, "another currency"),
            "instalments": (
                {f"{PAYLOAD}.install_recur_data": InstallRecurData(install_total_trans=2)},
                "AuthCode.installRecurMismatch",
                "instalments that the cardholder did not agree to",
            ),
            "first-of-more": (
                {f"{PAYLOAD}.subsequent_auth_ind": True, f"{PAYLOAD}.auth_req_amt": euros("42.01")},
                amount,
                "the first of several, above what was signed",
            ),
            "sale-of-more": (
                {"capture_now": True, f"{PAYLOAD}.auth_req_amt": euros("42.01")},
                amount,
                "a sale of more than was signed",
            ),
            "lid-c": ({f"{TAGS}.trans_ids.lid_c": b"another"}, mismatch, "LID-C of another purchase"),
            "lid-m": ({f"{TAGS}.trans_ids.lid_m": b"another"}, mismatch, "LID-M of another purchase"),
            "me-thumb": (
                {f"{TAGS}.auth_rr_tags.me_thumb": bytes(32)},
                E.missingCertificate,
                "the key for the answer is nobody's",
            ),
        },
        "rule 4.12",
        "OT-1",
        "PU-20",
    )
    bad(
        f"{sibling}-xid",
        remade(scene, {f"{TAGS}.trans_ids.xid": bytes(20)}),
        E.decryptionFailure,
        sibling,
        "XID of another purchase than the payment was sealed for",
        ("rule 4.12.3",),
    )
    book.good(
        f"{sibling}-exponent",
        remade(scene, {f"{PAYLOAD}.auth_req_amt": CurrencyAmount(currency=978, amount=42000, amt_exp10=-3)}),
        "the same amount in thousandths",
        ("rule 4.4", "PU-20"),
    )
    book.good(f"{sibling}-sale", remade(scene, {"capture_now": True}), "a sale", ("rule 4.18",))
    book.good(
        f"{sibling}-first-shipment",
        remade(scene, {f"{PAYLOAD}.subsequent_auth_ind": True, f"{PAYLOAD}.auth_req_amt": euros("30.00")}),
        "the first of several shipments, answered with a token",
        ("rule 4.17",),
    )
    # What the cardholder signed, against what the merchant asks.
    preq = scene.sent["PReq"].data
    paid = taken_apart(market, preq)
    named: dict[str, tuple[dict[str, Any], E | str, str]] = {
        "xid": ({"trans_ids.xid": bytes(20)}, mismatch, "XID of another purchase"),
        "lid-c": ({"trans_ids.lid_c": b"another"}, mismatch, "another LID-C"),
        "lid-m": ({"trans_ids.lid_m": b"another"}, mismatch, "another LID-M"),
        "merchant": ({"merchant_id": OTHER}, mismatch, "another merchant is to be paid"),
        "hod": ({"inputs.hod": bytes(32)}, mismatch, "another order"),
        "amount": ({"inputs.purch_amt": euros("41.99")}, amount, "a cent less"),
        "currency": ({"inputs.purch_amt": CurrencyAmount.of("USD 42.00")}, amount, "another currency"),
        "instalments": (
            {"install_recur_data": InstallRecurData(install_total_trans=3)},
            "AuthCode.installRecurMismatch",
            "instalments that the merchant does not ask for",
        ),
        "gateway": ({"gateway_id": replace(market.gateway.party, name="gateway-2")}, mismatch, "names another gateway"),
        "pe-thumb": ({"pe_thumb": bytes(32)}, mismatch, "names another certificate of the gateway"),
        "stain": ({"trans_stain": bytes(20)}, "AuthCode.declined", "TransStain of another CardSecret"),
        "recipient": ({"head.recipient": OTHER}, E.wrongRecipient, "made for another recipient"),
        "type": ({"head.type": PINIT_REQ.content_type}, E.wrongRecipient, "signed as another type"),
        "version": ({"head.version": 1}, E.wrongRecipient, "of another version"),
        "suite": ({"head.suite": "ed25519"}, E.wrongRecipient, "of another suite"),
        "extension": ({"extensions": [UNKNOWN]}, E.unrecognizedExtension, "an unknown critical extension"),
    }
    for name, (pi, code, mutation) in named.items():
        bad(
            f"{sibling}-pi-{name}",
            forwarded(scene, preq_again(market, paid, pi=pi)),
            code,
            sibling,
            f"PIHead: {mutation}",
            ("rule 4.12", "PX-11", "OT-3") + (("PX-4", "PU-N1") if "gateway" in mutation else ()),
        )
    for name, pan, code, mutation in (
        ("number", {"pan": "5500005555555559".ljust(19)}, mismatch, "a card that is not the certificate's"),
        ("pan-secret", {"pan_secret": bytes(32)}, mismatch, "a PANSecret that is not the certificate's"),
        ("expiry", {"card_expiry": "203101"}, mismatch, "an expiry that is not the certificate's"),
        ("check-digit", {"pan": "4111111111111112".ljust(19)}, "AuthCode.invalidTransaction", "a number that is none"),
    ):
        bad(
            f"{sibling}-pan-{name}",
            forwarded(scene, preq_again(market, paid, pan=pan)),
            code,
            sibling,
            f"PANData: {mutation}",
            ("rule 4.12.4c",),
        )
    crook = cardholder_with(market, another_card(market))
    stolen = forwarded(scene, preq_again(market, paid, signer=crook, pi={"head.sender": market.cardholder.party}))
    bad(
        f"{sibling}-other-signer",
        stolen,
        E.wrongRecipient,
        sibling,
        "signed by another cardholder, in the name of this one",
        ("PU-18",),
    )
    # The baggage.
    forward = pi_of(market, scene.data)
    seals = decode(PISeals, forward.seals)
    for name, changed, code, mutation in (
        (
            "seals-exchanged",
            replace(seals, sealed_pi=seals.sealed_pan, sealed_pan=seals.sealed_pi),
            E.decryptionFailure,
            "the two seals in each other's place",
        ),
        ("seals-rrpid", replace(seals, rrpid=bytes(20)), E.decryptionFailure, "another RRPID beside the seals"),
        (
            "seals-remade",
            taken_apart(market, preq_again(market, paid)).seals,
            E.signatureFailure,
            "the same contents, sealed again by somebody else than the cardholder",
        ),
    ):
        bad(
            f"{sibling}-{name}",
            remade(scene, baggage=replace(forward, seals=encode(changed))),
            code,
            sibling,
            mutation,
            ("PU-N2", "PX-11"),
        )
    bad(
        f"{sibling}-pi-signature",
        remade(
            scene,
            baggage=replace(
                forward,
                pi_signature=market_pi(market, preq_again(market, paid, pan={"ex_nonce": bytes(32)})).pi_signature,
            ),
        ),
        E.signatureFailure,
        sibling,
        "the dual signature of another payment",
        ("rule 4.12.4c",),
    )
    bad(
        f"{sibling}-no-pi",
        remade(scene, baggage=b"\x30\x00"),
        E.decodingFailure,
        sibling,
        "baggage that is no payment instruction",
        ("rule 4.1.2",),
    )
    wire = unwrap(scene.data)
    other = decode(EncB, unwrap(remade(scene, baggage=market_pi(market, preq_again(market, paid)))).body)
    swapped = replace(decode(EncB, wire.body), baggage=other.baggage)
    bad(
        f"{sibling}-baggage",
        wrap(AUTH_REQ, encode(swapped), wire.header),
        E.signatureFailure,
        sibling,
        "the baggage is not the one that the merchant signed",
        ("rule 4.1.10",),
        flags=("Wire",),
    )
    bad(
        f"{sibling}-no-sender",
        under(scene.data, sender=None),
        E.badMessageHeader,
        sibling,
        "the header of a sealed message names no sender",
        ("rule 4.1.4",),
        flags=("Wire",),
    )
    ids = MessageIDs.of(opened(market, "AuthReq", scene.data).body.auth_req_item.auth_tags.trans_ids)
    rrpid = wire.header.rrpid
    for name, over, code, mutation in (
        ("over-rrpid", header(market.clock(), market.merchant.party, bytes(20), ids), E.unknownRRPID, "RRPID"),
        (
            "over-lid-c",
            header(market.clock(), market.merchant.party, rrpid, replace(ids, lid_c=b"?")),
            E.wrapperMsgMismatch,
            "LID-C",
        ),
        (
            "over-lid-m",
            header(market.clock(), market.merchant.party, rrpid, replace(ids, lid_m=None)),
            E.wrapperMsgMismatch,
            "LID-M",
        ),
        (
            "over-xid",
            header(market.clock(), market.merchant.party, rrpid, replace(ids, xid=bytes(20))),
            E.wrapperMsgMismatch,
            "XID",
        ),
    ):
        bad(
            f"{sibling}-{name}",
            remade(scene, over=over),
            code,
            sibling,
            f"sent and signed under a header with another {mutation} than the body's",
            ("rule 4.1.11",),
        )
    # Another merchant wants the money.
    thief = another_merchant(market, "thief")
    changes = {
        f"{TAGS}.auth_rr_tags.mer_term_ids.merchant_id": thief.party.name,
        f"{TAGS}.auth_rr_tags.me_thumb": thief.own_exchange_thumb(),
    }
    bad(
        f"{sibling}-thief",
        remade(scene, changes, sender=thief),
        mismatch,
        sibling,
        "another merchant forwards the payment as its own",
        ("rule 4.12.7", "PU-12", "OT-5"),
    )
    theirs = exchange_of(thief)
    bad(
        f"{sibling}-answer-to-thief",
        remade(scene, {f"{TAGS}.auth_rr_tags.me_thumb": theirs.thumbprint}, also=(theirs.der,)),
        E.invalidCertificate,
        sibling,
        "the key for the answer is another merchant's",
        ("PX-12",),
    )


def auth_res(book: Book, scene: Scene, sibling: str) -> None:
    """§4.13 at the merchant."""
    tags = "auth_tags"
    each(
        book,
        scene,
        sibling,
        {
            "rrpid": ({f"{tags}.auth_rr_tags.rrpid": bytes(20)}, E.unknownRRPID, "answers another request"),
            "xid": ({f"{tags}.trans_ids.xid": bytes(20)}, E.unknownXID, "XID of another purchase"),
            "lid-c": ({f"{tags}.trans_ids.lid_c": b"another"}, E.unknownXID, "LID-C of another purchase"),
            "lid-m": ({f"{tags}.trans_ids.lid_m": b"another"}, E.unknownXID, "LID-M of another purchase"),
            "less": (
                {"auth_res_payload.auth_header.auth_amt": euros("41.00")},
                E.wrapperMsgMismatch,
                "another amount than was asked for",
            ),
            "currency": (
                {"auth_res_payload.auth_header.auth_amt": CurrencyAmount.of("USD 42.00")},
                E.wrapperMsgMismatch,
                "another currency than was asked for",
            ),
        },
        "rule 4.13",
        "PU-13",
    )
    book.bad(
        f"{sibling}-no-cap-token",
        remade(scene, baggage=AuthResBaggage()),
        E.wrapperMsgMismatch,
        sibling,
        "approved, without a CapToken",
        ("rule 4.13",),
    )


def cap_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.15."""
    item = "cap_item_seq.0"
    each(
        book,
        scene,
        sibling,
        {
            "xid": ({f"{item}.trans_ids.xid": bytes(20)}, "CapCode.unknownXID", "XID of no purchase"),
            "lid-c": ({f"{item}.trans_ids.lid_c": b"another"}, "CapCode.unknownLID", "LID-C of another purchase"),
            "lid-m": ({f"{item}.trans_ids.lid_m": b"another"}, "CapCode.unknownLID", "LID-M of another purchase"),
            "auth-rrpid": ({f"{item}.auth_rrpid": bytes(20)}, "CapCode.invalidCapToken", "of no authorisation"),
            "more": (
                {f"{item}.cap_payload.cap_req_amt": euros("42.01")},
                "CapCode.amountError",
                "more than was authorised",
            ),
            "currency": (
                {f"{item}.cap_payload.cap_req_amt": CurrencyAmount.of("USD 42.00")},
                "CapCode.amountError",
                "another currency",
            ),
            "finer": (
                {f"{item}.cap_payload.cap_req_amt": CurrencyAmount(currency=978, amount=1, amt_exp10=-3)},
                "CapCode.amountError",
                "a part of the smallest unit",
            ),
            "nothing": ({f"{item}.cap_payload.cap_req_amt": euros("0.00")}, "CapCode.amountError", "nothing"),
            "batch": (
                {f"{item}.cap_payload.sale_detail": SaleDetail(batch_id=7)},
                "CapCode.batchUnknown",
                "a batch that was not opened",
            ),
        },
        "rule 4.15",
        "PX-7",
    )
    book.good(
        f"{sibling}-part",
        remade(scene, {f"{item}.cap_payload.cap_req_amt": euros("20.00")}),
        "a part of what was authorised",
        ("rule 4.15", "PX-7"),
    )
    token = opened(scene.market, "CapReq", scene.data).baggage.tokens[0]
    broken = bytearray(token)
    broken[-1] ^= 1
    for name, tokens, code, mutation in (
        ("no-token", [b""], "CapCode.capTokenMissing", "no CapToken"),
        ("broken-token", [bytes(broken)], "CapCode.invalidCapToken", "a CapToken with a bit changed"),
        ("no-such-token", [b"?"], "CapCode.invalidCapToken", "a CapToken that is none"),
        ("two-tokens", [token, token], E.decodingFailure, "two tokens for one item"),
    ):
        book.bad(
            f"{sibling}-{name}",
            remade(scene, baggage=CapTokenSeq(tokens=tokens)),
            code,
            sibling,
            mutation,
            ("rule 4.15.2",),
        )


def cap_res(book: Book, scene: Scene, sibling: str) -> None:
    """§4.15 at the merchant."""
    item = "cap_res_item_seq.0"
    each(
        book,
        scene,
        sibling,
        {
            "rrpid": ({"cap_rr_tags.rrpid": bytes(20)}, E.unknownRRPID, "answers another request"),
            "xid": ({f"{item}.trans_ids.xid": bytes(20)}, E.unknownXID, "XID of another purchase"),
            "lid-c": ({f"{item}.trans_ids.lid_c": b"another"}, E.unknownXID, "LID-C of another purchase"),
            "amount": (
                {f"{item}.cap_res_payload.cap_amt": euros("41.00")},
                E.wrapperMsgMismatch,
                "another amount than was asked for",
            ),
        },
        "rule 4.15",
    )
    received = opened(scene.market, "CapRes", scene.data).body.cap_res_item_seq[0]
    book.bad(
        f"{sibling}-two-items",
        remade(scene, {"cap_res_item_seq": [received, received]}),
        E.wrapperMsgMismatch,
        sibling,
        "two results for one item",
        ("rule 4.15",),
    )


def business(book: Book) -> None:
    """What the bank says, each in a market of its own; and what is asked a second time."""
    for name, options, reason, mutation in (
        ("too-little-money", {"balance": "EUR 41.99"}, "AuthCode.declined", "the account has a cent too little"),
        ("account-currency", {"balance": "USD 100.00"}, "AuthCode.amountError", "the account is in another currency"),
        ("expired-card", {"expiry": "202512"}, "AuthCode.expiredCard", "the card has expired"),
    ):
        scene = open_scene(f"payment {name}", book.suite, **options)
        while scene.hand is not None and scene.hand.name != "AuthReq":
            scene.deliver()
        book.group(trader(scene), secrets(scene, "gateway"))
        book.bad(name, scene.data, reason, "authreq", mutation, ("rule 4.12.12", "OT-1"))
    for name, message, tags, reason, mutation in (
        (
            "pi-used-twice",
            "AuthReq",
            f"{TAGS}.auth_rr_tags.rrpid",
            "AuthCode.piPreviouslyUsed",
            "the payment instruction has authorised already",
        ),
        ("captured-twice", "CapReq", "cap_rr_tags.rrpid", "CapCode.duplicateRequest", "captured already"),
    ):
        scene = open_scene(f"payment {name}", book.suite)
        while scene.hand is not None and scene.hand.name != message:
            scene.deliver()
        again = remade(scene, {tags: bytes(20)})
        scene.deliver()
        book.group(trader(scene, Role.gateway), secrets(scene, "gateway"))
        book.bad(name, again, reason, message.lower(), mutation, ("PX-7", "rule 4.12.5"), flags=("Replay", "Business"))


DEVIATIONS: Final = {"AuthReq": auth_req, "AuthRes": auth_res, "CapReq": cap_req, "CapRes": cap_res}


def build() -> Iterable[Played]:
    """One file."""
    return played("payment", play)
