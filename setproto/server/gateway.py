"""The payment gateway's server: SET messages from merchants; the bank is told again what it did not hear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.routing import Router

from setproto.client import PAYMENT
from setproto.roles.gateway import Gateway
from setproto.server.http import LEARN_SECONDS, Server
from setproto.server.talk import Talk

__all__ = ["application"]

TELL_SECONDS: Final = 2.0
"""How often the bank is told again what it did not take note of."""


def application(gateway: Gateway, server: Server, learn: Callable[[], None]) -> Router:
    """The ASGI application.  ``learn`` takes in new revocation data."""
    regularly = {TELL_SECONDS: gateway.tell_bank, LEARN_SECONDS: learn}
    return server.app([server.messages((PAYMENT,), Talk(gateway, server.metrics).answer)], regularly)
