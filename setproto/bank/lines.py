"""Whole messages over a stream."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final

from setproto.bank.dialects import Framing
from setproto.bank.messages import MAX_MESSAGE

SIGN_ON: Final = "001"
SIGN_OFF: Final = "002"
CUTOVER: Final = "201"
ECHO: Final = "301"
"""DE 70."""


class Closed(Exception):
    """The other side has gone, or sends what is no length: then nothing after it can be read either."""


class Line:
    """One connection.  Several threads may send, one receives."""

    def __init__(self, connection: socket.socket, framing: Framing) -> None:
        with suppress(OSError):  # not a TCP socket, in some tests
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._framing = framing
        self._sending = threading.Lock()
        self._left = b""

    def send(self, message: bytes) -> None:
        """Send one message.  OSError if that fails: then it may have arrived or not."""
        framed = self._framing.pack(message)
        with self._sending:
            self._socket.sendall(framed)

    def receive(self) -> bytes:
        """The next message.  Closed at the end of the line; TimeoutError when nothing comes, between two messages or
        within one: what has come is kept."""
        size = self._framing.size
        try:
            self._fill(size)
            length = self._framing.length(self._left[:size])
            if length > MAX_MESSAGE:
                raise Closed("a message of more than the limit")
        except ValueError as reason:
            raise Closed(str(reason)) from None
        self._fill(size + length)
        message, self._left = self._left[size : size + length], self._left[size + length :]
        return message

    def _fill(self, size: int) -> None:
        while len(self._left) < size:
            part = self._socket.recv(65_536)
            if not part:
                raise Closed("the other side has gone")
            self._left += part

    def close(self) -> None:
        """Cut it: whoever receives on it notices."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._socket.close()
