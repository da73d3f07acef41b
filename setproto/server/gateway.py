"""The payment gateway's server: SET messages from merchants; the bank is told again what it did not hear."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.routing import Router

from setproto.bank.connection import LinkConfig
from setproto.bank.link import ISO8583Link
from setproto.client import PAYMENT
from setproto.messages.common import Role
from setproto.roles.gateway import Gateway
from setproto.server import public
from setproto.server.config import GatewayConfig, load, octets
from setproto.server.http import LEARN_SECONDS, Server, now, run
from setproto.server.keys import load_credentials
from setproto.server.metrics import Metrics
from setproto.server.stores import look, open_store
from setproto.server.talk import Talk

__all__ = ["LINK", "application", "serve"]

LINK: Final = "link"
"""The space of what the line to the bank remembers."""
TELL_SECONDS: Final = 2.0
"""How often the bank is told again what it did not take note of."""


def application(gateway: Gateway, server: Server, learn: Callable[[], None]) -> Router:
    """The ASGI application.  ``learn`` takes in new revocation data."""
    regularly = {TELL_SECONDS: gateway.tell_bank, LEARN_SECONDS: learn}
    return server.app([server.messages((PAYMENT,), Talk(gateway, server.metrics).answer)], regularly)


def serve(file: Path) -> None:
    """Serve by a configuration file until SIGINT or SIGTERM.  Errors: those of what it reads, and OSError for an
    address that cannot be had."""
    config = load(GatewayConfig, file)
    store = open_store(config.database, "gateway")
    validator = public.validator(config.trust.directory, config.trust.suite)
    link = ISO8583Link(
        config.bank,
        open_store(config.link_database, LINK),
        now,
        config=LinkConfig(
            octets(config.link_key), acquirer=config.acquirer_bin, terminal=config.terminal, timeout=config.bank_seconds
        ),
    )
    role = Gateway(
        load_credentials(config.keys, Role.gateway, validator, now()),
        link,
        validator,
        store,
        token_key=octets(config.token_key),
        acquirer_bin=config.acquirer_bin,
        clock=now,
        random=os.urandom,
        journal=True,
    )
    server = Server("gateway", config.limits, Metrics(), lambda: look(store))
    link.start()
    try:
        app = application(role, server, public.learning(validator, config.trust.directory))
        run(app, [config.listen], config.tls, config.limits)
    finally:
        link.close()
