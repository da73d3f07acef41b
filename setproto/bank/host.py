"""The bank's end of the line: ISO 8583 over TCP (bank.md §1, §5 rule 7).

A thread for each connection reads; what it reads is answered by workers, several messages at once and in any order:
what belongs together is found by name, and a request and its reversal may meet.
"""

from __future__ import annotations

import logging
import socketserver
import ssl
import threading
from concurrent.futures import Future, ThreadPoolExecutor
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
AT_ONCE: Final = 8
"""Messages of one connection that are being handled; while there are as many, no more is read."""
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
        free = threading.BoundedSemaphore(AT_ONCE)

        def done(handled: Future[None]) -> None:
            free.release()
            handled.result()  # what nobody expected is logged

        signed_on = False
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="iso8583-worker") as workers:
                while True:
                    octets = line.receive()
                    request, signed_on = self._read(octets, line, signed_on)
                    if request is not None:
                        free.acquire()
                        workers.submit(self._handle, request, line).add_done_callback(done)
        except (Closed, OSError) as reason:
            _LOG.info("connection ended: %s", reason)
        finally:
            self.server.lines.discard(line)
            line.close()

    def _read(self, octets: bytes, line: Line, signed_on: bool) -> tuple[Message | None, bool]:
        """What is to be handled, and whether the other side is signed on from now on."""
        bank, codec = self.server.bank, self.server.codec
        try:
            request = codec.decode(octets)
        except FormatError as refused:
            _LOG.warning("refused: %s", refused)
            self._send(line, bank.refuse(refused))
            return None, signed_on
        if request.mti == "0830":
            return None, signed_on
        if request.mti[2] not in "02":
            _LOG.warning("a response that nobody asked for: %s", request.mti)
            return None, signed_on
        if request.mti[1] == "8" and request[32] == bank.config.acquirer:
            signed_on = {SIGN_ON: True, SIGN_OFF: False}.get(request[70], signed_on)
        elif not signed_on:
            self._send(line, request.response(_NOT_SIGNED_ON))
            return None, False
        return request, signed_on

    def _handle(self, request: Message, line: Line) -> None:
        bank, late = self.server.bank, 0.0
        try:
            answer = bank.handle(request)
            if answer is not None and answer[39] == APPROVED:
                late = bank.lateness(request)
        except (SQLAlchemyError, SetError) as failure:
            # Rolled back: the gateway does not know what became of it, and asks or reverses.
            _LOG.error("message not handled: %s", type(failure).__name__)
            answer = request.response(_MALFUNCTION)
        if not late:
            self._send(line, answer)
            return
        timer = threading.Timer(late, self._send, (line, answer))
        timer.daemon = True
        timer.start()

    def _send(self, line: Line, answer: Message | None) -> None:
        """Send it, if there is anything to send and anybody to send it to: who reads notices the end of the line."""
        if answer is not None:
            with suppress(OSError):
                line.send(self.server.codec.encode(answer))


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
