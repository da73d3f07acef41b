"""The way to a server: SET messages, and the JSON beside them, over HTTP with a limit on time and on size.

One object per server; connections are kept and used again, by several threads if need be.  Nothing is repeated here:
whoever sends a message decides whether and when to send it again, which the protocol makes harmless (§4.2).  Answers
are read with ``httptools``, as the servers read requests: ``http.client`` costs several times as much, and httpx four
times that, which is much of a purchase.

Sources: set-protocol.md section 2.1 (a message is the body of a request, and of its answer); RFC 9110; the media types
are those registered for SET (RFC 2046 registry of IANA: application/set-payment and the others).
"""

from __future__ import annotations

import json
import socket
import ssl
from collections import deque
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from httptools import HttpParserError, HttpResponseParser

from setproto.errors import Unreachable, UsageError
from setproto.messages.wrapper import MAX_MESSAGE

__all__ = [
    "MAX_ANSWER",
    "PAYMENT",
    "PAYMENT_INITIATION",
    "REGISTRATION",
    "REGISTRATION_INITIATION",
    "HTTPTransport",
    "pinned",
]

PAYMENT: Final = "application/set-payment"
PAYMENT_INITIATION: Final = "application/set-payment-initiation"
REGISTRATION: Final = "application/set-registration"
REGISTRATION_INITIATION: Final = "application/set-registration-initiation"

MAX_ANSWER: Final = 4 * MAX_MESSAGE
"""Octets that are read of an answer: more than any message, catalogue or receipt has."""
_MAX_HEAD: Final = 64 * 1024
"""Octets after which the head of an answer must have come to its end."""
_PORTION: Final = 64 * 1024


def pinned(certificate: Path) -> ssl.SSLContext:
    """A context that believes one server: the one that has the key of the first certificate in the PEM file."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # it is known by its key, under whatever address
    return context


class _Answer:
    """An answer while it comes: what the parser calls, and what it has told."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._received = 0
        self._in_head = True
        self.status = 0
        self.kind = ""
        self.body = bytearray()
        self.complete = False
        self.is_last = False
        """Whether nothing more is to be asked on this connection."""

    def take(self, octets: bytes) -> None:
        """The next octets.  Unreachable where the answer ends too soon or not at all, HttpParserError if it is none."""
        # What has no length is not taken: nobody could tell whether it is whole.
        if not octets:
            raise Unreachable("the answer broke off")
        self._parser.feed_data(octets)
        self._received += len(octets)
        if len(self.body) > MAX_ANSWER or (self._in_head and self._received > _MAX_HEAD):
            raise Unreachable("the answer is too long")

    def on_message_begin(self) -> None:
        self.kind = ""
        if self.complete:
            raise HttpParserError("more than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.kind = value.decode("latin-1").partition(";")[0].strip().lower()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._in_head = self.status < 200

    def on_body(self, octets: bytes) -> None:
        self.body += octets

    def on_message_complete(self) -> None:
        if self.status >= 200:  # else an announcement: the answer follows
            self.complete = True
            self.is_last = not self._parser.should_keep_alive()


class HTTPTransport:
    """One server, by the URL under which its paths lie."""

    def __init__(self, base_url: str, *, verify: ssl.SSLContext | Path | None = None, timeout: float = 20) -> None:
        """``verify``: whom to believe that he is the server, of ``https`` URLs: a file of CA certificates in PEM, or a
        context of the caller's; None: the CAs that the system trusts.  ``timeout``: seconds to wait for a connection,
        and for each sign of life after that.  UsageError if the URL is not one of HTTP.
        """
        try:
            url = urlsplit(base_url)
            secure = url.scheme == "https"
            self._address = url.hostname or "", url.port or (443 if secure else 80)
            host = url.netloc.rpartition("@")[2].encode("idna").decode()
        except ValueError:
            url = urlsplit("")
        if url.scheme not in ("http", "https") or not self._address[0]:
            raise UsageError(f"{base_url!r} is no URL of a server")
        self._context: ssl.SSLContext | None = None
        if secure:
            self._context = verify if isinstance(verify, ssl.SSLContext) else ssl.create_default_context(cafile=verify)
        self._url = base_url
        self._prefix = url.path.rstrip("/")
        self._timeout = timeout
        self._common = {"host": host, "accept": "*/*"}
        self._idle: deque[socket.socket] = deque()

    def post(self, data: bytes, media_type: str) -> bytes:
        """Send one SET message; the message that answers it.

        Unreachable if there is none: the server cannot be reached, takes too long, or says that it has taken the
        message and cannot answer yet.  The message may have arrived or not: ask, or send it again.
        """
        status, answered, body = self.request("POST", "/set", data, media_type)
        if status != 200 or answered != media_type:
            raise Unreachable(f"{self._url}: answered {status} without a message")
        return body

    def json(self, method: str, path: str, form: object = None, headers: dict[str, str] | None = None) -> Any:
        """Ask the JSON API.  UsageError with the server's words if it refuses; Unreachable as for ``post``."""
        data, kind = (None, None) if form is None else (json.dumps(form).encode(), "application/json")
        status, answered, body = self.request(method, path, data, kind, headers)
        try:
            read = json.loads(body) if answered == "application/json" else None
        except (ValueError, RecursionError):
            read = None
        if 400 <= status < 500 and isinstance(read, dict) and isinstance(read.get("error"), str):
            raise UsageError(read["error"])
        if not 200 <= status < 300 or read is None:
            raise Unreachable(f"{self._url}: answered {status} without what was asked for")
        return read

    def request(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        media_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str, bytes]:
        """Any request: the status, the media type without parameters, and the content of the answer.

        Unreachable if there is no answer, or it is longer than ``MAX_ANSWER``.
        """
        content = data or b""
        wanted = {**self._common, **(headers or {}), "content-length": str(len(content))}
        if media_type is not None:
            wanted["content-type"] = media_type
        if not all(text.isprintable() for text in wanted.values()):
            raise UsageError("a header is printable text")
        head = [f"{method} {self._prefix}{quote(path, safe='/?=&%')} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in wanted.items()]
        answer, reusable = _Answer(), False
        try:
            connection = self._connection()
            try:
                connection.sendall("\r\n".join([*head, "\r\n"]).encode("latin-1") + content)
                while not answer.complete:
                    answer.take(connection.recv(_PORTION))
                reusable = not answer.is_last
            finally:
                if reusable:
                    self._idle.append(connection)
                else:
                    connection.close()
        except (OSError, HttpParserError) as failure:
            raise Unreachable(f"{self._url}: {type(failure).__name__}") from None
        except Unreachable as failure:
            raise Unreachable(f"{self._url}: {failure.detail}") from None
        return answer.status, answer.kind, bytes(answer.body)

    def _connection(self) -> socket.socket:
        """One that is open, or a new one.  OSError."""
        while self._idle:
            connection = self._idle.pop()
            # What can be read before anything was asked is the end of the connection.
            if not wait([connection], 0):
                return connection
            connection.close()
        connection = socket.create_connection(self._address, self._timeout)
        try:
            # Else an answer to a request in two pieces waits for the acknowledgement of the first.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                return connection
            return self._context.wrap_socket(connection, server_hostname=self._address[0])
        except OSError:
            connection.close()
            raise

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> HTTPTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
