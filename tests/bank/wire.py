"""A bank and a link with a wire between them that a test can spoil."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setproto.amounts import CurrencyAmount
from setproto.bank.connection import LinkConfig
from setproto.bank.dialects import Framing
from setproto.bank.host import Host, serve
from setproto.bank.lines import Closed, Line
from setproto.bank.link import ISO8583Link
from setproto.card import PAN, Card, CardExpiry, trans_stain
from setproto.roles.ports import (
    Advice,
    AdviceKind,
    AuthorizationDecision,
    AuthorizationRequest,
    Store,
)
from setproto.store import MemoryStore
from tests.bank.people import EXPIRY, PAN_DEBIT, SECRET, SHOP, VAULT_KEY, Till

Spoil = Callable[[bytes], list[bytes]]
"""A message → what arrives in its place."""


class Wire:
    """A proxy before the host.  ``to_bank`` and ``to_gateway`` say what becomes of each message; None: nothing is
    changed.  ``cut`` ends every connection."""

    def __init__(self, address: tuple[str, int], framing: Framing) -> None:
        self.to_bank: Spoil | None = None
        self.to_gateway: Spoil | None = None
        self.passed: list[bytes] = []
        self.up = True
        self._framing = framing
        self._bank = address
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lines: list[Line] = []
        self._threads = [self._thread(self._accept)]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.getsockname()
        return host, port

    def _thread(self, act: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=act, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._server.accept()
                if not self.up:
                    accepted.close()
                    continue
                near = Line(accepted, self._framing)
                far = Line(socket.create_connection(self._bank), self._framing)
                self._lines += [near, far]
                self._threads += [
                    self._thread(self._carry, near, far, True),
                    self._thread(self._carry, far, near, False),
                ]

    def _carry(self, source: Line, target: Line, to_bank: bool) -> None:
        with contextlib.suppress(Closed, OSError):
            while True:
                message = source.receive()
                self.passed.append(message)
                spoil = self.to_bank if to_bank else self.to_gateway
                for arriving in [message] if spoil is None else spoil(message):
                    target.send(arriving)
        source.close()
        target.close()

    def cut(self) -> None:
        for line in self._lines:
            line.close()
        self._lines.clear()

    def send_raw(self, octets: bytes) -> None:
        """Straight to the bank, on a connection of its own, whatever it is; until the bank hangs up."""
        with socket.create_connection(self._bank) as raw:
            raw.sendall(octets)
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(5)
            with contextlib.suppress(OSError):
                raw.recv(1)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)


@dataclass
class Connected:
    """Everything: the bank with its till, the host, the wire, and the gateway's link with its store."""

    till: Till
    host: Host
    wire: Wire
    config: LinkConfig
    store: Store
    link: ISO8583Link
    links: list[ISO8583Link] = field(default_factory=list)

    def request(
        self, amount: int, pan: str = PAN_DEBIT, *, reference: bytes | None = None, merchant: str = SHOP
    ) -> AuthorizationRequest:
        xid = os.urandom(20)
        return AuthorizationRequest(
            reference or os.urandom(32),
            Card("Marque", PAN(pan), CardExpiry(EXPIRY)),
            euros(amount),
            merchant,
            xid,
            trans_stain(xid, SECRET),
        )

    def buy(self, amount: int, pan: str = PAN_DEBIT) -> tuple[AuthorizationRequest, AuthorizationDecision]:
        request = self.request(amount, pan)
        return request, self.link.authorize(request)

    def restart(self, **changes: Any) -> ISO8583Link:
        """The gateway's process ends and begins again, with what its store holds."""
        self.link.close()
        self.link = self.another(**changes)
        self.link.start()
        return self.link

    def another(self, **changes: Any) -> ISO8583Link:
        config = LinkConfig(**{**vars(self.config), **changes})
        link = ISO8583Link(self.wire.address, self.store, self.till.clock, config=config)
        self.links.append(link)
        return link

    def settled(self) -> bool:
        """Whether the books are right and nothing waits."""
        return self.till.sound() and self.link.waiting() == 0 and self.link.manual() == []


def euros(cents: int) -> CurrencyAmount:
    return CurrencyAmount(currency=978, amount=cents, amt_exp10=-2)


def advice(kind: AdviceKind, request: AuthorizationRequest, cents: int, name: str = "1") -> Advice:
    return Advice(kind, request.reference + f"{kind.name}/{name}".encode(), request.reference, euros(cents))


@contextmanager
def connected(till: Till, *, store: Store | None = None, **config: Any) -> Iterator[Connected]:
    """Connect a gateway to a bank; short times, so that tests need not wait for long ones."""
    # Long enough for a busy machine; tests that lose messages on purpose make it shorter.
    settings = LinkConfig(VAULT_KEY, **{"timeout": 10.0, "pause": 0.0, "retries": (0.05,), **config})
    with ExitStack() as stack:
        host = serve(till.bank, "127.0.0.1", 0, dialect=settings.dialect, mac_key=settings.mac_key)
        stack.callback(host.close)
        wire = Wire(host.address, settings.dialect.framing)
        stack.callback(wire.close)
        kept = store or MemoryStore()
        link = ISO8583Link(wire.address, kept, till.clock, config=settings)
        made = Connected(till, host, wire, settings, kept, link, [link])
        stack.callback(lambda: [link.close() for link in made.links])
        yield made


def on_disk(folder: Path) -> str:
    return f"sqlite:///{folder / 'bank.db'}"
