"""A stand-in for the bank until there is one: ``MemoryIssuer`` behind HTTP."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from setproto.amounts import CurrencyAmount
from setproto.bank.memory import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry, CardSecret
from setproto.client import HTTPTransport
from setproto.errors import Unreachable
from setproto.messages.codes import AuthCode
from setproto.roles.ports import Advice, AdviceKind, AuthorizationDecision, AuthorizationRequest, NoReply
from setproto.server.http import Server, reply

CARDS = (
    ("4111111111111111", "203012", "Ada Lovelace", "EUR 1000000.00"),
    ("5555555555554444", "203012", "Grace Hopper", "EUR 250.00"),
    ("4000000000000002", "203012", "Ada Lovelace", "EUR 0.00"),
)


class Link:
    """Implements ``setproto.roles.ports.Issuer`` over HTTP."""

    def __init__(self, url: str) -> None:
        self._bank = HTTPTransport(url)

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """As the port says."""
        form = {
            "reference": request.reference.hex(),
            "pan": request.card.pan.reveal(),
            "expiry": request.card.expiry.reveal(),
            "brand": request.card.brand,
            "amount": str(request.amount),
            "merchant_id": request.merchant_id,
            "xid": request.xid.hex(),
            "trans_stain": request.trans_stain.hex(),
        }
        try:
            answer = self._bank.json("POST", "/authorize", form)
        except Unreachable:
            raise NoReply from None
        return AuthorizationDecision(AuthCode[answer["code"]], answer["approval"])

    def advise(self, advice: Advice) -> None:
        """As the port says."""
        form = {
            "kind": advice.kind.name,
            "reference": advice.reference.hex(),
            "authorization": advice.authorization.hex(),
            "amount": str(advice.amount),
        }
        try:
            self._bank.json("POST", "/advise", form)
        except Unreachable:
            raise NoReply from None


def application(server: Server) -> Router:
    """The ASGI application."""
    accounts: dict[str, Account] = {}
    issuer = MemoryIssuer([])
    cards = {pan: (expiry, name, balance) for pan, expiry, name, balance in CARDS}

    async def form(request: Request) -> Any:
        return json.loads(await server.content(request, ("application/json",)))

    async def verify(request: Request) -> Response:
        asked = await form(request)
        return reply({"verified": cards.get(asked["pan"], ())[:2] == (asked["expiry"], asked["name"])})

    async def enrol(request: Request) -> Response:
        asked = await form(request)
        secret = CardSecret(bytes.fromhex(asked["card_secret"]))
        account = accounts.get(asked["pan"])
        if account is None:
            opening = CurrencyAmount.of(cards[asked["pan"]][2])
            account = Account(PAN(asked["pan"]), CardExpiry(asked["expiry"]), secret, opening)
            accounts[asked["pan"]] = account
            issuer.add(account)
        account.card_secret = secret
        return reply({"enrolled": True})

    async def authorize(request: Request) -> Response:
        asked = await form(request)
        card = Card(asked["brand"], PAN(asked["pan"]), CardExpiry(asked["expiry"]))
        decision = issuer.authorize(
            AuthorizationRequest(
                bytes.fromhex(asked["reference"]),
                card,
                CurrencyAmount.of(asked["amount"]),
                asked["merchant_id"],
                bytes.fromhex(asked["xid"]),
                bytes.fromhex(asked["trans_stain"]),
            )
        )
        return reply({"code": decision.code.name, "approval": decision.approval_code})

    async def advise(request: Request) -> Response:
        asked = await form(request)
        issuer.advise(
            Advice(
                AdviceKind[asked["kind"]],
                bytes.fromhex(asked["reference"]),
                bytes.fromhex(asked["authorization"]),
                CurrencyAmount.of(asked["amount"]),
            )
        )
        return reply({})

    return server.app(
        [
            server.route("POST", "/cards/verify", verify),
            server.route("POST", "/cards/enrol", enrol),
            server.route("POST", "/authorize", authorize),
            server.route("POST", "/advise", advise),
        ]
    )
