"""A TCP proxy that keeps all octets that pass, each direction of each connection by itself."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Tap:
    """Between whoever connects to ``port`` and a server on the loopback interface."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._streams: list[bytearray] = []
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def streams(self) -> list[bytes]:
        """What has passed so far."""
        return [bytes(stream) for stream in list(self._streams)]

    def close(self) -> None:
        """Cut everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._server))
                except OSError:  # the server is not up
                    near.close()
                    continue
                left = threading.Barrier(2, action=lambda near=near, far=far: (near.close(), far.close()))
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._ends.append(one)
                    kept = bytearray()
                    self._streams.append(kept)
                    threading.Thread(target=self._carry, args=(one, other, kept, left), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket, kept: bytearray, left: threading.Barrier) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                kept += data
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)
        left.wait()


def contents(stream: bytes) -> list[bytes]:
    """The contents of the HTTP requests or answers in a stream, all of which must say how long they are (RFC 9112)."""
    found, at = [], 0
    while at < len(stream):
        end = stream.index(b"\r\n\r\n", at)
        fields = dict(line.lower().split(b": ", 1) for line in stream[at:end].split(b"\r\n")[1:])
        assert b"transfer-encoding" not in fields
        at = end + 4 + int(fields.get(b"content-length", b"0"))
        found.append(stream[end + 4 : at])
    return found
