"""The bank's end of the line: ISO 8583 over TCP, one thread per connection (bank.md §1, §5 rule 7)."""

from __future__ import annotations

import logging
import socketserver
import ssl
import threading
from contextlib import suppress
from datetime import date
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from setproto.bank.bank import Bank
from setproto.bank.codes import APPROVED
from setproto.bank.dialects import ASCII_1987, Dialect
from setproto.bank.lines import CUTOVER, SIGN_OFF, SIGN_ON, Closed, Line
from setproto.bank.messages import Codec, FormatError, Message
from setproto.errors import SetError

_LOG: Final = logging.getLogger("setproto.bank.host")
_NOT_SIGNED_ON: Final = "63"
_MALFUNCTION: Final = "96"
IDLE: Final = 180.0
"""Seconds without a message after which a connection is given up: gateways send echoes every 60."""


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        try:
            self.request.settimeout(IDLE)
            if self.server.tls is not None:
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            line = Line(self.request, self.server.codec.dialect.framing)
            self.server.lines.add(line)
        except OSError as failure:
            _LOG.warning("connection refused: %s", type(failure).__name__)
            return
        signed_on = False
        try:
            while True:
                octets = line.receive()
                answer, late, signed_on = self._answer(octets, signed_on)
                if answer is None:
                    continue
                if late:
                    timer = threading.Timer(late, _send_late, (line, answer))
                    timer.daemon = True
                    timer.start()
                else:
                    line.send(answer)
        except (Closed, OSError) as reason:
            _LOG.info("connection ended: %s", reason)
        finally:
            self.server.lines.discard(line)
            line.close()

    def _answer(self, octets: bytes, signed_on: bool) -> tuple[bytes | None, float, bool]:
        """What to send and how late, and whether the other side is signed on from now on."""
        bank, codec = self.server.bank, self.server.codec
        answer: Message | None
        try:
            request = codec.decode(octets)
        except FormatError as refused:
            _LOG.warning("refused: %s", refused)
            answer = bank.refuse(refused)
            return None if answer is None else codec.encode(answer), 0.0, signed_on
        if request.mti == "0830":
            return None, 0.0, signed_on
        if request.mti[2] not in "02":
            _LOG.warning("a response that nobody asked for: %s", request.mti)
            return None, 0.0, signed_on
        if request.mti[1] == "8" and request[32] == bank.config.acquirer:
            signed_on = {SIGN_ON: True, SIGN_OFF: False}.get(request[70], signed_on)
        elif not signed_on:
            return codec.encode(request.response(_NOT_SIGNED_ON)), 0.0, False
        try:
            answer = bank.handle(request)
        except (SQLAlchemyError, SetError) as failure:
            # Rolled back: the gateway does not know what became of it, and asks or reverses.
            _LOG.error("message not handled: %s", type(failure).__name__)
            return codec.encode(_malfunction(request)), 0.0, signed_on
        if answer is None:
            return None, 0.0, signed_on
        late = bank.lateness(request) if answer[39] == APPROVED else 0.0
        return codec.encode(answer), late, signed_on


def _malfunction(request: Message) -> Message:
    return request.response(_MALFUNCTION)


def _send_late(line: Line, octets: bytes) -> None:
    with suppress(OSError):
        line.send(octets)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    bank: Bank
    codec: Codec
    tls: ssl.SSLContext | None
    lines: set[Line]


class Host:
    """A running host.  ``close`` stops it and cuts its connections."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._told = 0
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="iso8583-host", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def cutover(self, day: date) -> None:
        """Tell every gateway that another business day has begun (bank.md §5, rule 7).  It is said once: one that does
        not hear it is told with the next, and the day of everything that is booked stands in DE 15 of its answer."""
        codec, acquirer = self._server.codec, self._server.bank.config.acquirer
        for line in list(self._server.lines):
            self._told += 1
            head = {7: f"{self._server.bank.clock():%m%d%H%M%S}", 11: f"{self._told:06d}"}
            with suppress(OSError):
                line.send(codec.encode(Message("0820", head | {15: f"{day:%m%d}", 32: acquirer, 70: CUTOVER})))

    def cut(self) -> None:
        """Cut every connection, and go on listening."""
        for line in list(self._server.lines):
            line.close()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self.cut()
        self._thread.join()


def serve(
    bank: Bank,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    dialect: Dialect = ASCII_1987,
    mac_key: bytes | None = None,
) -> Host:
    """Listen at an address; port 0 takes a free one.  ``tls``: a server's context that demands client certificates.

    Returns at once; threads do the work.  OSError if the address is taken.
    """
    server = _Server((host, port), _Connection)
    server.bank, server.codec, server.tls, server.lines = bank, Codec(bank.clock, dialect, mac_key=mac_key), tls, set()
    return Host(server)
