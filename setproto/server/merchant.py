"""The shop's server: the JSON interface of the shop, SET messages from wallets, and what the shop's own people do.

A PReq is answered when the gateway has answered: the AuthReq goes out while the wallet waits.  If the gateway takes too
long, the wallet is told that its order was taken (202), the AuthReq is sent again until it is answered, also after
the process was killed, and the wallet asks again (T69).
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from pki import CertificateKind
from setproto.amounts import CurrencyAmount
from setproto.client import PAYMENT, PAYMENT_INITIATION, HTTPTransport
from setproto.errors import SetError, Unreachable, UsageError
from setproto.messages import receipt as receipts
from setproto.messages.batch import BatchStatus
from setproto.messages.codes import BatchOperation
from setproto.messages.common import Role
from setproto.messages.wrapper import unwrap
from setproto.reading.pem import blocks_in
from setproto.roles.cardholder import merchant_name
from setproto.roles.merchant import Merchant, records
from setproto.roles.ports import Event, EventKind, Outgoing, Reply
from setproto.server import public
from setproto.server.config import GIVE_UP_SECONDS, MerchantConfig, load
from setproto.server.http import JSON, LEARN_SECONDS, Answered, Refusal, Server, bearer, now, reply, run
from setproto.server.keys import load_credentials
from setproto.server.metrics import Metrics
from setproto.server.stores import look, open_store
from setproto.server.talk import Talk
from setproto.shop import books, orders
from setproto.shop.books import Entry
from setproto.shop.catalogue import Catalogue, parse

__all__ = ["Shop", "application", "serve"]

_LOG: Final = structlog.get_logger()
AGAIN_SECONDS: Final = 2.0
"""How often a request that the gateway did not answer is sent again."""


class Shop:
    """A merchant with its catalogue and its gateway."""

    def __init__(
        self,
        merchant: Merchant,
        gateway: HTTPTransport,
        catalogue: Catalogue,
        talk: Talk,
        *,
        capture_now: bool,
        patience: timedelta = timedelta(seconds=GIVE_UP_SECONDS),
    ) -> None:
        """``capture_now``: take the money with the authorisation; ``patience``: when one without answer is given up."""
        self.merchant = merchant
        self.catalogue = catalogue
        own = merchant.credentials
        certificate = merchant.validated(own.signer.certificate, CertificateKind.MERCHANT_SIGNATURE, own.chain)
        self.name = merchant_name(certificate)
        self._gateway = gateway
        self._talk = talk
        self._capture_now = capture_now
        self._patience = patience
        self._waiting: set[bytes] = set()
        self._under_way: set[bytes] = set()
        self._lock = threading.Lock()

    # --- SET messages -----------------------------------------------------------------------------

    def answer(self, data: bytes) -> Answered:
        """Handle a wallet's message, and ask the gateway if that is what it takes."""
        outgoing, events = self._carry(self.merchant.handle(data))
        if not outgoing and any(event.kind is EventKind.REPEATED for event in events):
            # Sent twice, and the gateway's answer came on the other way: it is there now.
            outgoing = tuple(m for m in self.merchant.handle(data).outgoing if m.to is not Role.gateway)
        return self._talk.answered(data, outgoing, events)

    def ask(self, message: Outgoing) -> tuple[Event, ...]:
        """Send the gateway a request, and take in what it answers; nothing if it does not answer now."""
        answer = self._ask(message)
        if answer is None:
            return ()
        self._talk.answered(message.data, answer.outgoing, answer.events)
        return answer.events

    def _carry(self, reply: Reply) -> tuple[tuple[Outgoing, ...], tuple[Event, ...]]:
        """What is left to be sent to the wallet when the gateway has been asked, and all that happened."""
        outgoing, events = [], list(reply.events)
        for message in reply.outgoing:
            if message.to is not Role.gateway:
                outgoing.append(message)
            elif (answer := self._ask(message)) is not None:
                outgoing += answer.outgoing
                events += answer.events
        return tuple(outgoing), tuple(events)

    def _ask(self, message: Outgoing) -> Reply | None:
        rrpid = message.rrpid or unwrap(message.data).header.rrpid or b""
        with self._lock:
            self._waiting.add(rrpid)
            self._under_way.add(rrpid)
        try:
            answer = self.merchant.handle(self._gateway.post(message.data, PAYMENT))
        except Unreachable as failure:
            _LOG.warning("gateway", message=message.name, failure=failure.detail)
            return None
        finally:
            with self._lock:
                self._under_way.discard(rrpid)
        for event in answer.events:
            if event.kind in (EventKind.ERROR_RECEIVED, EventKind.REFUSED):
                code = "" if event.code is None else event.code.name
                _LOG.warning("gateway", message=message.name, failure=f"{event.kind.value}: {code} {event.detail}")
                return None
        with self._lock:
            self._waiting.discard(rrpid)
        return answer

    def find_waiting(self) -> None:
        """Look in the database for requests that were not answered: when the server starts."""
        with self.merchant.store.transaction() as transaction:
            found = records.waiting(transaction)
        with self._lock:
            self._waiting |= found

    def ask_again(self) -> None:
        """Send everything again that was not answered; an authorisation that waits for too long is given up.  What is
        being asked just now is left to whoever asks it: the answer counts once, and he wants to tell it."""
        with self._lock:
            waiting = list(self._waiting - self._under_way)
        for rrpid in waiting:
            try:
                message = self.merchant.again(rrpid, self._patience)
                if message is None or message.rrpid != rrpid:
                    with self._lock:
                        self._waiting.discard(rrpid)
                if message is not None:
                    self.ask(message)
            except SetError as failure:
                _LOG.warning("gateway", failure=str(failure))

    # --- the shop ---------------------------------------------------------------------------------

    def order(self, form: bytes) -> dict[str, str]:
        """Price an order form and remember the order.  UsageError for what cannot be ordered."""
        now = self.merchant.clock()
        quote = orders.quote(self.catalogue, self.name, orders.read_form(form), now.date())
        # Ordered by time, so that lists are, and databases like it; the rest cannot be guessed.
        lid_m = int(now.timestamp() * 1000).to_bytes(6, "big") + self.merchant.random(14)
        self.merchant.add_order(lid_m, quote.description, quote.amount, capture_now=self._capture_now)
        description = base64.b64encode(quote.description).decode()
        return {"order": lid_m.hex(), "description": description, "amount": str(quote.amount)}

    def receipt(self, lid_m: bytes, xid: bytes) -> bytes | None:
        """The receipt for a purchase, if there is something to receipt."""
        merchant = self.merchant
        with merchant.store.transaction() as transaction:
            try:
                record = records.purchase(transaction, xid)
            except UsageError:
                return None
            if record.trans_ids.lid_m != lid_m:
                return None
            gateway = merchant.gateway_id(transaction)
            found = books.receipt(transaction, record, merchant.party, gateway, merchant.clock())
        own = merchant.credentials
        return None if found is None else receipts.sign(found, own.signer, own.chain)

    def told(self, lid_m: bytes, xid: bytes) -> bytes | None:
        """What the buyer was answered to his PReq, if he was: for a card that was revoked since and cannot ask."""
        with self.merchant.store.transaction() as transaction:
            try:
                known = records.purchase(transaction, xid).trans_ids.lid_m == lid_m
            except UsageError:
                known = False
        answer = self.merchant.told(xid) if known else None
        return None if answer is None else answer.data

    # --- the shop's people ------------------------------------------------------------------------

    def orders(self) -> list[dict[str, Any]]:
        """Every order, the oldest first."""
        with self.merchant.store.transaction() as transaction:
            return [_shown(entry) for entry in books.entries(transaction)]

    def ship(self, lid_m: bytes) -> dict[str, Any]:
        """The goods go out: take the money.  UsageError if there is none to take."""
        return self._act(lid_m, self.merchant.capture)

    def refund(self, lid_m: bytes, amount: str | None) -> dict[str, Any]:
        """Goods come back: give back the money, or ``amount`` of it.  UsageError if it was not taken."""
        try:
            part = None if amount is None else CurrencyAmount.of(amount)
        except ValueError as failure:
            raise UsageError(str(failure)) from None
        return self._act(lid_m, lambda xid: self.merchant.credit(xid, part))

    def batch(self, batch_id: int, operation: str) -> dict[str, Any]:
        """Open, close or purge a batch of captures and credits, or ``look`` at it; with its totals, if the gateway
        said them.  UsageError for another word."""
        named = {"look": None, **{one.name: one for one in BatchOperation}}
        if operation not in named:
            raise UsageError(f"a batch operation is one of {', '.join(named)}")
        events = self.ask(self.merchant.batch(batch_id, named[operation]))
        with self.merchant.store.transaction() as transaction:
            status = records.batch_status(transaction, batch_id) if events else None
        return _outcome(events, {"batch": batch_id, **({} if status is None else _totals(status))})

    def _act(self, lid_m: bytes, request: Callable[[bytes], Outgoing]) -> dict[str, Any]:
        with self.merchant.store.transaction() as transaction:
            entry = books.entry(transaction, lid_m)
        if entry.xid is None:
            raise UsageError("this order was not paid")
        events = self.ask(request(entry.xid))
        with self.merchant.store.transaction() as transaction:
            return _outcome(events, _shown(books.entry(transaction, lid_m)))


def _outcome(events: tuple[Event, ...], about: dict[str, Any]) -> dict[str, Any]:
    """What the gateway said; ``waiting`` if nothing yet: then it is asked again."""
    codes = [event.code.name for event in events if event.code is not None]
    return {"result": codes[-1] if codes else "waiting", **about}


def _totals(status: BatchStatus) -> dict[str, Any]:
    """When a batch was opened and closed, and what is in it; nothing of the last if there is nothing in it."""
    opened, closed, totals = status.open_date_time, status.closed_when, status.batch_totals
    shown: dict[str, Any] = {
        "opened": opened.as_datetime().isoformat(),
        "closed": None if closed is None else closed.close_date_time.as_datetime().isoformat(),
    }
    if totals is not None:
        shown |= {
            "captures": totals.transaction_count_debit,
            "captured": str(totals.transaction_total_amt_debit),
            "refunds": totals.transaction_count_credit,
            "refunded": str(totals.transaction_total_amt_credit),
        }
    return shown


def _shown(entry: Entry) -> dict[str, Any]:
    stands = entry.balance
    return {
        "order": entry.order.hex(),
        "xid": None if entry.xid is None else entry.xid.hex(),
        "customer": entry.customer,
        "status": entry.status,
        "amount": str(entry.amount),
        "authorized": None if stands is None else str(stands.authorized),
        "captured": None if stands is None else str(stands.captured),
        "credited": None if stands is None else str(stands.credited),
        "description": json.loads(entry.description),
    }


# --- HTTP -----------------------------------------------------------------------------------------


def application(shop: Shop, server: Server, config: MerchantConfig, learn: Callable[[], None]) -> Router:
    """The ASGI application.  ``learn`` takes in new revocation data."""
    catalogue = {"items": [item.model_dump(mode="json") for item in shop.catalogue.item]}
    party = shop.merchant.party
    about = {"name": shop.name, "currency": shop.catalogue.currency, "brands": [party.brand]}

    async def get_merchant(request: Request) -> Response:
        return reply(about)

    async def get_catalogue(request: Request) -> Response:
        return reply(catalogue)

    async def post_order(request: Request) -> Response:
        return reply(await server.work(shop.order, await server.content(request, JSON)), 201)

    async def get_receipt(request: Request) -> Response:
        lid_m, xid = _octets(request.path_params["order"]), _octets(request.query_params.get("xid", ""))
        found = await server.work(shop.receipt, lid_m, xid)
        if found is None:
            raise Refusal(404, "there is no receipt")
        return Response(found, media_type=receipts.MEDIA_TYPE)

    async def get_answer(request: Request) -> Response:
        lid_m, xid = _octets(request.path_params["order"]), _octets(request.query_params.get("xid", ""))
        found = await server.work(shop.told, lid_m, xid)
        if found is None:
            raise Refusal(404, "there is no answer yet")
        return Response(found, media_type=PAYMENT)

    def for_operator(request: Request) -> None:
        """Elsewhere this interface is not there; here it opens to the secret."""
        if request.scope["server"][1] != config.operator.listen[1]:
            raise Refusal(404, "there is nothing here")
        bearer(request, config.operator.secret.get_secret_value())

    async def get_orders(request: Request) -> Response:
        for_operator(request)
        return reply({"orders": await server.work(shop.orders)})

    async def post_ship(request: Request) -> Response:
        for_operator(request)
        return reply(await server.work(shop.ship, _octets(request.path_params["order"])))

    async def post_refund(request: Request) -> Response:
        for_operator(request)
        amount = (await server.form(request)).get("amount")
        if amount is not None and not isinstance(amount, str):
            raise Refusal(400, "an amount is written like EUR 12.50")
        return reply(await server.work(shop.refund, _octets(request.path_params["order"]), amount))

    async def post_batch(request: Request) -> Response:
        for_operator(request)
        wanted = await server.form(request)
        number, operation = wanted.get("batch"), wanted.get("operation")
        if type(number) is not int or not isinstance(operation, str):
            raise Refusal(400, "a batch has a number, and an operation a name")
        return reply(await server.work(shop.batch, number, operation))

    shop.find_waiting()
    return server.app(
        [
            server.messages((PAYMENT, PAYMENT_INITIATION), shop.answer),
            server.route("POST", "/orders", post_order),
            server.route("GET", "/orders/{order}/receipt", get_receipt),
            server.route("GET", "/orders/{order}/answer", get_answer),
            server.route("GET", "/merchant", get_merchant),
            server.route("GET", "/catalogue", get_catalogue),
            server.route("GET", "/operator/orders", get_orders),
            server.route("POST", "/operator/orders/{order}/ship", post_ship),
            server.route("POST", "/operator/orders/{order}/refund", post_refund),
            server.route("POST", "/operator/batch", post_batch),
        ],
        {AGAIN_SECONDS: shop.ask_again, LEARN_SECONDS: learn},
    )


def serve(file: Path) -> None:
    """Serve by a configuration file until SIGINT or SIGTERM.  Errors: those of what it reads, and OSError for an
    address that cannot be had."""
    config = load(MerchantConfig, file)
    store = open_store(config.database, "merchant")
    validator = public.validator(config.trust.directory, config.trust.suite)
    cert_pe, *held = blocks_in(config.gateway_certificate)
    role = Merchant(
        load_credentials(config.keys, Role.merchant, validator, now()),
        validator,
        store,
        cert_pe=cert_pe,
        clock=now,
        random=os.urandom,
        held=held,
        category=config.category,
        journal=True,
    )
    metrics = Metrics()
    shop = Shop(
        role,
        HTTPTransport(config.gateway, verify=config.gateway_verify, timeout=config.gateway_seconds),
        parse(config.catalogue.read_text(encoding="utf-8"), str(config.catalogue)),
        Talk(role, metrics),
        capture_now=config.capture == "sale",
        patience=timedelta(seconds=config.give_up_seconds),
    )
    server = Server("merchant", config.limits, metrics, lambda: look(store))
    app = application(shop, server, config, public.learning(validator, config.trust.directory))
    run(app, [config.listen, config.operator.listen], config.tls, config.limits)


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Refusal(404, "not an identifier in hexadecimal") from None
