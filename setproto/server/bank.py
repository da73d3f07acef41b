"""The bank as a server: ISO 8583 with gateways (``setproto.bank.host``), and HTTP with the CA and with wallets.

The CA asks whether a card is genuine, enrols it, and tells of new merchants; whoever asks for a statement shows his
certificate by signing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from pki import PathValidator
from setproto.bank import host
from setproto.bank.bank import Bank, BankConfig
from setproto.card import PAN, Card, CardExpiry, CardSecret
from setproto.errors import UsageError
from setproto.roles.ports import Clock
from setproto.server import config, public
from setproto.server.config import load, octets
from setproto.server.http import LEARN_SECONDS, Refusal, Server, bearer, now, reply, run
from setproto.server.metrics import Metrics

__all__ = ["application", "look", "opened", "serve"]

STATEMENT: Final = "application/cms"
"""Media type of a request for a statement (RFC 7193)."""
DAY_SECONDS: Final = 20.0
"""How often the bank looks whether a new day has begun."""


def opened(configured: config.BankConfig, validator: PathValidator, clock: Clock) -> Bank:
    """The bank that is configured.  StoreError if its database cannot be used."""
    own = BankConfig(
        configured.name, octets(configured.vault_key), acquirer=configured.acquirer, brand=configured.brand
    )
    return Bank(configured.database, own, clock=clock, validator=validator)


def look(bank: Bank) -> None:
    """See whether the database answers."""
    with bank.engine.begin() as connection:
        connection.execute(select(1))


def application(
    bank: Bank, server: Server, secret: str, learn: Callable[[], None], cutover: Callable[[date], None]
) -> Router:
    """The ASGI application.  ``secret`` is the CA's; ``learn`` takes in new revocation data; ``cutover`` tells gateways
    of a new business day."""

    async def verify(request: Request) -> Response:
        bearer(request, secret)
        form = await server.form(request)
        card, name = _card(form, bank.config.brand), _text(form, "name")
        return reply({"verified": await server.work(bank.verify_card, card, name)})

    async def enrol(request: Request) -> Response:
        bearer(request, secret)
        form = await server.form(request)
        card, cardholder = _card(form, bank.config.brand), _text(form, "cardholder")
        try:
            card_secret = CardSecret(bytes.fromhex(_text(form, "card_secret")))
        except ValueError:
            raise Refusal(400, "not a secret of 32 octets") from None
        await server.work(bank.enrol, card.pan, card_secret, cardholder)
        return reply({"enrolled": True})

    async def open_merchant(request: Request) -> Response:
        bearer(request, secret)
        form = await server.form(request)
        await server.work(bank.open_merchant, _text(form, "merchant"), _text(form, "name"))
        return reply({"opened": True})

    async def statement(request: Request) -> Response:
        asked = await server.content(request, (STATEMENT,))
        return Response(await server.work(bank.answer_statement, asked), media_type="application/octet-stream")

    day = bank.clock().date()

    def close_day() -> None:
        nonlocal day
        today = bank.clock().date()
        if today > day:
            bank.close_day()
            day = today
            cutover(today)

    return server.app(
        [
            server.route("POST", "/cards/verify", verify),
            server.route("POST", "/cards/enrol", enrol),
            server.route("POST", "/merchants/open", open_merchant),
            server.route("POST", "/statement", statement),
        ],
        {DAY_SECONDS: close_day, LEARN_SECONDS: learn},
    )


def _text(form: dict[str, object], name: str) -> str:
    value = form.get(name)
    if not isinstance(value, str):
        raise UsageError(f"{name} is missing")
    return value


def _card(form: dict[str, object], brand: str) -> Card:
    try:
        return Card(brand, PAN(_text(form, "pan")), CardExpiry(_text(form, "expiry")))
    except ValueError as failure:
        raise UsageError(str(failure)) from None


def serve(file: Path) -> None:
    """Serve by a configuration file until SIGINT or SIGTERM.  Errors: those of what it reads, and OSError for an
    address that cannot be had."""
    configured = load(config.BankConfig, file)
    validator = public.validator(configured.trust.directory, configured.trust.suite)
    role = opened(configured, validator, now)
    server = Server("bank", configured.limits, Metrics(), lambda: look(role))
    secret = configured.secret.get_secret_value()
    line = host.serve(role, *configured.iso8583)
    try:
        run(
            application(role, server, secret, public.learning(validator, configured.trust.directory), line.cutover),
            [configured.listen],
            configured.tls,
            configured.limits,
        )
    finally:
        line.close()
        role.close()
