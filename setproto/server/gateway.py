"""The payment gateway's server: SET messages from merchants; the bank is told again what it did not hear."""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import Router

from setproto.client import PAYMENT
from setproto.roles.gateway import Gateway
from setproto.server.http import Server
from setproto.server.talk import Talk

__all__ = ["application"]

_LOG: Final = structlog.get_logger()
TELL_SECONDS: Final = 2.0
"""How often the bank is told again what it did not take note of."""


def application(gateway: Gateway, server: Server) -> Router:
    """The ASGI application."""

    def keep_telling() -> None:
        _tell(gateway)
        while not server.stopping.wait(TELL_SECONDS):
            _tell(gateway)

    return server.app([server.messages((PAYMENT,), Talk(gateway, server.metrics).answer)], keep_telling)


def _tell(gateway: Gateway) -> None:
    try:
        gateway.tell_bank()
    except SQLAlchemyError as failure:
        _LOG.error("database", failure=type(failure).__name__)
