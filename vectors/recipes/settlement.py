"""Merchant and gateway after the capture: credits, reversals, batches, and what the forms of the messages rule out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pki.der import general_time
from setproto.amounts import AMOUNT_LIMIT, CurrencyAmount
from setproto.errors import ErrorCode as E
from setproto.errors import ProtocolError
from setproto.messages.batch import BatchStatus, BatchTotals, ReturnTransactionDetail, TransactionDetail, TransDetails
from setproto.messages.codes import AmtType, BatchOperation, TransactionStatus
from setproto.messages.common import InstallRecurData, Recurring, Role
from setproto.messages.payment import AuthToken, CapTokenSeq, PaymentInstruction, SaleDetail
from setproto.messages.wrapper import unwrap, wrap
from vectors.recipes.flows import Book, open_scene, secrets, trader
from vectors.recipes.hands import (
    KIND,
    Scene,
    another_card,
    cardholder_with,
    forced,
    market_pi,
    opened,
    preq_again,
    remade,
    signed_again,
    taken_apart,
)

PAYLOAD: Final = "auth_req_item.auth_req_payload"
NOTHING: Final = CurrencyAmount.of("EUR 0.00")
NO_TOTALS: Final = BatchTotals(
    transaction_count_credit=0,
    transaction_total_amt_credit=NOTHING,
    transaction_count_debit=0,
    transaction_total_amt_debit=NOTHING,
)
Changes = Mapping[str, tuple[dict[str, Any], E | str, str]]


def euros(text: str) -> CurrencyAmount:
    """EUR."""
    return CurrencyAmount.of(f"EUR {text}")


def each(book: Book, scene: Scene, sibling: str, changes: Changes, *covers: str) -> None:
    """Bodies with fields of the sender's choice."""
    for name, (fields, code, mutation) in changes.items():
        book.bad(f"{sibling}-{name}", remade(scene, fields), code, sibling, mutation, covers)


def forms(book: Book, scene: Scene, sibling: str) -> None:
    """Numbers that no body may have, and other things that its form rules out."""
    assert scene.hand is not None
    name = scene.hand.name
    item = "item_seq.0" if name.endswith("Req") else "res_item_seq.0"
    instalments = InstallRecurData(install_total_trans=2)
    monthly = Recurring(recurring_frequency=30, recurring_expiry=general_time(scene.market.clock()))
    bought = scene.market.merchant.purchase(scene.xid)
    detail = TransactionDetail(
        trans_ids=bought.trans_ids,
        auth_rrpid=bytes(20),
        brand_id=scene.market.tree.brand,
        batch_sequence_num=1,
        transaction_amt=euros("42.00"),
        transaction_amt_type=AmtType.debit,
        transaction_status=TransactionStatus.success,
    )
    page = TransDetails(next_starting_point=0, transaction_detail_seq=[detail])
    fields: dict[str, dict[str, tuple[Any, str]]] = {
        "AuthReq": {
            "one-instalment": (forced(instalments, install_total_trans=1), f"{PAYLOAD}.install_recur_data"),
            "neither-nor": (forced(instalments, install_total_trans=None), f"{PAYLOAD}.install_recur_data"),
            "both": (forced(instalments, recurring=monthly), f"{PAYLOAD}.install_recur_data"),
            "frequency-zero": (
                forced(instalments, install_total_trans=None, recurring=forced(monthly, recurring_frequency=0)),
                f"{PAYLOAD}.install_recur_data",
            ),
            "frequency-367": (
                forced(instalments, install_total_trans=None, recurring=forced(monthly, recurring_frequency=367)),
                f"{PAYLOAD}.install_recur_data",
            ),
            "number-negative": (-1, "auth_req_item.auth_tags.auth_ret_num"),
            "currency-zero": (0, f"{PAYLOAD}.auth_req_amt.currency"),
            "currency-1000": (1000, f"{PAYLOAD}.auth_req_amt.currency"),
            "amount-negative": (-4200, f"{PAYLOAD}.auth_req_amt.amount"),
            "amount-endless": (AMOUNT_LIMIT + 1, f"{PAYLOAD}.auth_req_amt.amount"),
            "exponent-seven": (7, f"{PAYLOAD}.auth_req_amt.amt_exp10"),
        },
        "BatchAdminReq": {
            "batch-negative": (-1, "batch_id"),
            "count-negative": (
                BatchStatus(
                    open_date_time=general_time(scene.market.clock()),
                    batch_totals=forced(NO_TOTALS, transaction_count_debit=-1),
                ),
                "batch_status",
            ),
            "items-negative": (
                forced(ReturnTransactionDetail(starting_point=0, maximum_items=1), maximum_items=-1),
                "return_transaction_detail",
            ),
        },
        "BatchAdminRes": {
            "batch-negative": (-1, "batch_id"),
            "next-negative": (forced(page, next_starting_point=-1), "trans_details"),
            "sequence-negative": (
                forced(page, transaction_detail_seq=[forced(detail, batch_sequence_num=-1)]),
                "trans_details",
            ),
        },
        "CapReq": {
            "number-negative": (-1, "cap_item_seq.0.cap_payload.cap_num"),
            "batch-negative": (
                forced(SaleDetail(batch_id=7), batch_id=-7),
                "cap_item_seq.0.cap_payload.sale_detail",
            ),
        },
        "CapRes": {"batch-negative": (-1, "cap_res_item_seq.0.cap_res_payload.batch_id")},
        "CredReq": {"number-negative": (-1, f"{item}.cap_num")},
        "CredRes": {"batch-negative": (-1, f"{item}.batch_id")},
    }
    about = {
        "one-instalment": "instalments, one in all",
        "neither-nor": "neither instalments nor recurring payments",
        "both": "instalments and recurring payments at once",
        "frequency-zero": "recurring payments every 0 days",
        "frequency-367": "recurring payments every 367 days",
        "number-negative": "a negative number",
        "batch-negative": "a negative BatchID",
        "currency-zero": "currency 0",
        "currency-1000": "currency 1000",
        "amount-negative": "a negative amount",
        "amount-endless": "more than the largest amount",
        "exponent-seven": "an exponent above 6",
        "count-negative": "a negative count",
        "items-negative": "a negative number of items",
        "next-negative": "a negative starting point",
        "sequence-negative": "a negative BatchSequenceNum",
    }
    changes: Changes = {
        label: ({path: value}, E.decodingFailure, about[label]) for label, (value, path) in fields.get(name, {}).items()
    }
    each(book, scene, sibling, changes, "rule 4.1.2")


def later(book: Book, scene: Scene, sibling: str) -> None:
    """What is wrong with a message of this name, beside what can be wrong with any."""
    assert scene.hand is not None
    forms(book, scene, sibling)
    if scene.hand.name in MORE:
        MORE[scene.hand.name](book, scene, sibling)


# --- the gateway ----------------------------------------------------------------------------------

CODE: Final = "CapRevOrCredCode"


def cred_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.16."""
    each(
        book,
        scene,
        sibling,
        {
            "no-capture": ({"item_seq.0.cap_num": 9}, f"{CODE}.originalNotFound", "the number of no capture"),
            "unnumbered": ({"item_seq.0.cred_num": None}, f"{CODE}.missingCapData", "a credit without a number"),
            "more": ({"item_seq.0.amount": euros("42.01")}, f"{CODE}.amountError", "more than was captured"),
        },
        "rule 4.16",
        "PX-7",
    )


def cred_rev_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.16; and the reversal of a capture of which something is credited."""
    each(
        book,
        scene,
        sibling,
        {
            "no-credit": ({"item_seq.0.cred_num": 9}, f"{CODE}.originalNotFound", "the number of no credit"),
            "amount": ({"item_seq.0.amount": euros("41.99")}, f"{CODE}.amountError", "not the whole credit"),
        },
        "rule 4.16",
        "PX-7",
    )
    market = scene.market
    received = opened(market, "CredRevReq", scene.data)
    item = forced(received.body.item_seq[0], cred_num=None)
    reversal = signed_again(
        market.merchant,
        KIND["CapRevReq"],
        forced(received.body, item_seq=[item]),
        market.gateway.party,
        seal_to=market.gateway,
        baggage=received.baggage,
    )
    mutation = "the capture is taken back while a credit of it stands"
    book.bad("caprevreq-credited", reversal, f"{CODE}.amountError", "caprevreq", mutation, ("rule 4.16", "PX-7"))


def auth_rev_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.14."""
    invalid, amount = "AuthRevCode.invalidTransaction", "AuthRevCode.amountError"
    finer = CurrencyAmount(currency=978, amount=41999, amt_exp10=-3)
    each(
        book,
        scene,
        sibling,
        {
            "xid": ({"trans_ids.xid": bytes(20)}, invalid, "XID of no purchase"),
            "lid-c": ({"trans_ids.lid_c": b"another"}, invalid, "LID-C of another purchase"),
            "auth-rrpid": ({"auth_rrpid": bytes(20)}, invalid, "of no authorisation"),
            "currency": ({"auth_new_amt": CurrencyAmount.of("USD 1.00")}, amount, "another currency"),
            "finer": ({"auth_new_amt": finer}, amount, "a part of the smallest unit"),
            "no-less": ({"auth_new_amt": euros("42.00")}, "AuthRevCode.invalidAmount", "as much as before"),
        },
        "rule 4.14",
        "PX-7",
    )
    (token,) = opened(scene.market, "AuthRevReq", scene.data).baggage.tokens
    broken = token[:-1] + bytes((token[-1] ^ 1,))
    for name, value, changes, code, mutation in (
        # Without a token an AuthReq is given up: that is for 0.
        ("no-token", b"", {"auth_new_amt": euros("41.00")}, "AuthRevCode.missingCapToken", "a part, and no CapToken"),
        ("broken-token", broken, {}, "AuthRevCode.invalidCapToken", "a CapToken with a bit changed"),
    ):
        made = remade(scene, changes, baggage=CapTokenSeq(tokens=[value]))
        book.bad(f"{sibling}-{name}", made, code, sibling, mutation, ("rule 4.14",))


def batch_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.19."""
    strange = {"brand_seq": ["Other"]}
    each(
        book,
        scene,
        sibling,
        {
            "unknown": ({"batch_id": 9}, "BAStatus.unknownBatchID", "a batch that was not opened"),
            "open-again": (
                {"batch_operation": BatchOperation.open},
                "BAStatus.batchAlreadyOpen",
                "a batch that is open is opened",
            ),
            "open-other-brand": (
                {"batch_id": 9, "batch_operation": BatchOperation.open, **strange},
                "BAStatus.brandNotSupported",
                "a batch for another brand",
            ),
            "close-other-brand": (
                {"batch_operation": BatchOperation.close, **strange},
                "BAStatus.brandBatchMismatch",
                "a batch is closed for another brand",
            ),
        },
        "rule 4.19",
    )


def cap_rev_req(book: Book, scene: Scene, sibling: str) -> None:
    """§4.16."""
    changes: Changes = {
        "amount": ({"item_seq.0.amount": euros("41.99")}, f"{CODE}.amountError", "not the whole capture"),
        "no-capture": ({"item_seq.0.cap_num": 9}, f"{CODE}.originalNotFound", "the number of no capture"),
    }
    each(book, scene, sibling, changes, "rule 4.16", "PX-7")


# --- the merchant ---------------------------------------------------------------------------------


def clearing_res(book: Book, scene: Scene, sibling: str) -> None:
    """The answers to the three kinds of request that share a form."""
    each(
        book,
        scene,
        sibling,
        {
            "amount": (
                {"res_item_seq.0.actual_amt": euros("41.00")},
                E.wrapperMsgMismatch,
                "another amount than was asked for",
            )
        },
        "rule 4.16",
    )
    if scene.hand is not None and scene.hand.name == "CredRes":
        market = scene.market
        received = opened(market, "CredRes", scene.data)
        other = signed_again(
            market.gateway,
            KIND["CapRevRes"],
            received.body,
            market.merchant.party,
            seal_to=market.merchant,
        )
        mutation = "answered as if it were the reversal of a capture, which has the same form"
        book.bad(f"{sibling}-as-caprevres", other, E.wrapperMsgMismatch, sibling, mutation, ("PX-5", "rule 4.16"))


def auth_rev_res(book: Book, scene: Scene, sibling: str) -> None:
    """§4.14 at the merchant."""
    changes: Changes = {
        "amount": ({"auth_new_amt": euros("41.00")}, E.wrapperMsgMismatch, "another amount than was asked for")
    }
    each(book, scene, sibling, changes, "rule 4.14")


def batch_res(book: Book, scene: Scene, sibling: str) -> None:
    """§4.19 at the merchant."""
    each(
        book,
        scene,
        sibling,
        {"batch": ({"batch_id": 2}, E.wrapperMsgMismatch, "about another batch than was asked for")},
        "rule 4.19",
    )


MORE: Final = {
    "CredReq": cred_req,
    "CredRevReq": cred_rev_req,
    "CapRevReq": cap_rev_req,
    "AuthRevReq": auth_rev_req,
    "BatchAdminReq": batch_req,
    "CredRes": clearing_res,
    "CredRevRes": clearing_res,
    "CapRevRes": clearing_res,
    "AuthRevRes": auth_rev_res,
    "BatchAdminRes": batch_res,
}


# --- in states of their own -----------------------------------------------------------------------


def states(book: Book) -> None:
    """What only a purchase that went another way shows."""
    twice(book)
    closed(book)
    captured(book)
    purged(book)
    other_payment(book)
    given_up(book)
    in_anothers_name(book)
    sale(book)
    signed_error(book)


def twice(book: Book) -> None:
    """The same is asked for a second time, in another request."""
    for name, message, reason, mutation in (
        ("credited-twice", "CredReq", f"{CODE}.duplicateRequest", "credited under this number already"),
        ("credit-reversed-twice", "CredRevReq", f"{CODE}.originalNotFound", "the credit was taken back already"),
        ("capture-reversed-twice", "CapRevReq", f"{CODE}.originalNotFound", "the capture was taken back already"),
        ("reversed-twice", "AuthRevReq", "AuthRevCode.invalidCapToken", "the authorisation was taken back already"),
    ):
        scene = open_scene(f"payment {name}", book.suite)
        scene.until(message)
        amount = {"item_seq.0.amount": euros("2.00")} if message == "CredReq" else {}
        tags = "auth_rev_rr_tags" if message == "AuthRevReq" else "rr_tags"
        again = remade(scene, {f"{tags}.rrpid": bytes(20), **amount})
        if amount:
            scene.hand = replace(scene.hand, data=remade(scene, amount)) if scene.hand else None
        scene.market.gateway.handle(scene.data)
        book.group(trader(scene, Role.gateway), secrets(scene, "gateway"))
        book.bad(name, again, reason, message.lower(), mutation, ("PX-7", "rule 4.16"), flags=("Replay", "Business"))


def closed(book: Book) -> None:
    """A batch that is closed takes nothing more, and gives nothing back."""
    scene = open_scene("payment closed", book.suite)
    scene.until("CapReq")
    xid, merchant = scene.xid, scene.market.merchant
    scene.deliver()
    scene.deliver()
    scene.take(merchant.batch(1, BatchOperation.close))
    group = trader(scene)
    book.group(group, secrets(scene, group["role"]))
    good = book.good("batch-close", scene.data, "a batch is closed", ("rule 4.19",))
    totals = replace(NO_TOTALS, transaction_count_debit=2, transaction_total_amt_debit=euros("42.00"))
    status = BatchStatus(open_date_time=general_time(scene.market.clock()), batch_totals=totals)
    book.bad(
        "batch-close-totals",
        remade(scene, {"batch_status": status}),
        "BAStatus.totalsOutOfBalance",
        good,
        "the merchant counts two captures, the gateway one",
        ("rule 4.19",),
    )
    scene.deliver()
    scene.take(merchant.reverse_capture(xid))
    group = trader(scene)
    book.group(group, secrets(scene, group["role"]))
    book.bad(
        "caprevreq-closed",
        scene.data,
        f"{CODE}.originalProcessed",
        "caprevreq",
        "the batch of the capture is closed",
        ("rule 4.16", "rule 4.19"),
    )
    scene.hand = None
    again = scene.market.merchant.batch(1, BatchOperation.close)
    scene.take(again)
    mutation = "a batch that is closed is closed"
    book.bad("batch-close-again", scene.data, "BAStatus.unknownBatchID", good, mutation, ("rule 4.19",))
    late = open_scene("payment late", book.suite)
    late.until("CapReq")
    merchant = late.market.merchant
    capture = remade(late, {"cap_item_seq.0.cap_payload.sale_detail": SaleDetail(batch_id=7)})
    for operation in (BatchOperation.open, BatchOperation.close):
        held, late.hand = late.hand, None
        late.take(merchant.batch(7, operation))
        late.market.merchant.handle(late.market.gateway.handle(late.data).outgoing[0].data)
        late.hand = held
    book.group(trader(late, Role.gateway), secrets(late, "gateway"))
    book.bad(
        "capreq-closed",
        capture,
        "CapCode.batchClosed",
        "capreq",
        "the batch that is named is closed",
        ("rule 4.15", "rule 4.19"),
    )


def captured(book: Book) -> None:
    """An authorisation of which something is captured; a batch with something in it."""
    scene = open_scene("payment captured", book.suite)
    scene.until("InqReq")
    scene.take(scene.market.merchant.reverse(scene.xid))
    group = trader(scene)
    book.group(group, secrets(scene, group["role"]))
    mutation = "less than was captured is to stand"
    covers = ("rule 4.14", "PX-7")
    book.bad("authrevreq-captured", scene.data, "AuthRevCode.invalidAmount", "authrevreq", mutation, covers)
    dollars = open_scene("payment dollars", book.suite, "USD 42.00", balance="USD 1000.00")
    dollars.until("CapReq")
    part = remade(dollars, {"cap_item_seq.0.cap_payload.cap_req_amt": CurrencyAmount.of("USD 20.00")})
    rest = remade(
        dollars,
        {
            "cap_rr_tags.rrpid": bytes(20),
            "cap_item_seq.0.cap_payload.cap_num": 2,
            "cap_item_seq.0.cap_payload.cap_req_amt": CurrencyAmount(currency=840, amount=22, amt_exp10=0),
            "cap_item_seq.0.cap_payload.sale_detail": SaleDetail(batch_id=1),
        },
    )
    dollars.market.gateway.handle(part)
    book.group(trader(dollars, Role.gateway), secrets(dollars, "gateway"))
    mutation = "the batch that is named has another exponent"
    book.bad("capreq-other-batch", rest, "CapCode.batchUnknown", "capreq", mutation, ("rule 4.15", "rule 4.19"))


def purged(book: Book) -> None:
    """A batch is to be emptied, of which something is credited in another one."""
    scene = open_scene("payment purged", book.suite)
    scene.until("CredReq")
    credit = remade(scene, {"item_seq.0.new_batch_id": 2})
    market = scene.market
    for data in (market.merchant.batch(2, BatchOperation.open).data, credit):
        market.gateway.handle(data)
    scene.take(market.merchant.batch(1, BatchOperation.purge))
    group = trader(scene)
    book.group(group, secrets(scene, group["role"]))
    mutation = "a capture in the batch to be emptied is credited in another batch"
    book.bad("batch-purge", scene.data, "BAStatus.unspecifiedFailure", "batchadminreq", mutation, ("rule 4.19", "PX-7"))


def other_payment(book: Book) -> None:
    """A payment was declined; another one comes under the same XID."""
    scene = open_scene("payment other-payment", book.suite, balance="EUR 41.99")
    scene.until("AuthReq")
    market = scene.market
    paid = taken_apart(market, scene.sent["PReq"].data)
    fresh = preq_again(market, paid, pan={"ex_nonce": bytes(32)})
    rrpid = "auth_req_item.auth_tags.auth_rr_tags.rrpid"
    again = remade(scene, {rrpid: bytes(20)}, baggage=market_pi(market, fresh))
    market.gateway.handle(scene.data)
    book.group(trader(scene, Role.gateway), secrets(scene, "gateway"))
    book.bad(
        "authreq-other-payment",
        again,
        "AuthCode.piPreviouslyUsed",
        "authreq",
        "another payment instruction for a purchase that has one, which was declined",
        ("PX-7", "rule 4.12.5"),
        flags=("Replay", "Business"),
    )


def given_up(book: Book) -> None:
    """§4.2: the merchant waited no longer; then its request arrives after all."""
    scene = open_scene("payment given-up", book.suite)
    scene.until("AuthReq")
    market = scene.market
    market.gateway.handle(market.merchant.give_up(scene.xid).data)
    book.group(trader(scene, Role.gateway), secrets(scene, "gateway"))
    mutation = "a request that its merchant has given up, and cancelled"
    book.bad("authreq-given-up", scene.data, "AuthCode.noReply", "authreq", mutation, ("rule 4.2", "PX-9"))


def in_anothers_name(book: Book) -> None:
    """The seals of a payment name one cardholder, and another one has signed it."""
    scene = open_scene("payment name", book.suite)
    scene.until("AuthReq")
    market = scene.market
    paid = taken_apart(market, scene.sent["PReq"].data)
    crook = cardholder_with(market, another_card(market))
    stolen = preq_again(market, paid, signer=crook, seals={"cardholder": market.cardholder.party})
    group = trader(scene)
    book.group(group, secrets(scene, group["role"]))
    book.bad(
        "authreq-seals-of-another",
        remade(scene, baggage=market_pi(market, stolen)),
        E.signatureFailure,
        "authreq",
        "the seals name another cardholder than the one who signed",
        ("PU-18",),
    )
    pi = market_pi(market, scene.sent["PReq"].data)
    token = AuthToken(auth_rrpid=bytes(20), sealed_token=pi.pi_signature, sealed_pan=pi.pi_signature)
    both = remade(scene, baggage=forced(PaymentInstruction(pi=pi), auth_token=token))
    mutation = "a payment instruction, and a token too"
    book.bad("authreq-pi-and-token", both, E.decodingFailure, "authreq", mutation, ("rule 4.1.2",))


def sale(book: Book) -> None:
    """§4.18 at the merchant."""
    scene = open_scene("payment sale", book.suite, terms={"capture_now": True})
    scene.until("AuthRes")
    group = trader(scene)
    group["policy"]["orders"][0]["capture_now"] = True
    book.group(group, secrets(scene, group["role"]))
    good = book.good("authres-sale", scene.data, "the answer to a sale", ("rule 4.18",))
    changed = remade(scene, {"auth_res_payload.cap_res_payload.cap_amt": euros("41.00")})
    mutation = "another amount was captured than authorised"
    book.bad("authres-sale-amount", changed, E.wrapperMsgMismatch, good, mutation, ("rule 4.18",))


def signed_error(book: Book) -> None:
    """An Error that a gateway has signed, at the merchant."""
    scene = open_scene("payment error", book.suite)
    scene.until("AuthReq")
    market = scene.market
    refusal = ProtocolError("no", code=E.messageNotSupported)
    (error,) = market.gateway.refuse(refusal, unwrap(scene.data), scene.data).outgoing
    book.group(trader(scene, Role.merchant), secrets(scene, "merchant"))
    good = book.good("error", error.data, "an Error signed by the gateway", ("PX-17",))
    wire = unwrap(error.data)
    nameless = wrap(None, wire.body, forced(wire.header, sender=None))
    mutation = "the header of a signed Error names no sender"
    book.bad("error-senderless", nameless, E.badMessageHeader, good, mutation, ("PX-17",), flags=("Wire",))
