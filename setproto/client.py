"""The way to a server: SET messages, and the JSON beside them, over HTTP with a limit on time and on size.

One object per server; connections are kept and used again, by several threads if need be.  Nothing is repeated here:
whoever sends a message decides whether and when to send it again, which the protocol makes harmless (§4.2).  It stands
on ``http.client``, which costs a quarter of what httpx does, and that is much of a purchase.

Sources: set-protocol.md section 2.1 (a message is the body of a request, and of its answer); RFC 9110; the media types
are those registered for SET (RFC 2046 registry of IANA: application/set-payment and the others).
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

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


def pinned(certificate: Path) -> ssl.SSLContext:
    """A context that believes one server: the one that has the key of the first certificate in the PEM file."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # it is known by its key, under whatever address
    return context


class HTTPTransport:
    """One server, by the URL under which its paths lie."""

    def __init__(self, base_url: str, *, verify: ssl.SSLContext | Path | None = None, timeout: float = 20) -> None:
        """``verify``: whom to believe that he is the server, of ``https`` URLs: a file of CA certificates in PEM, or a
        context of the caller's; None: the CAs that the system trusts.  ``timeout``: seconds to wait for a connection,
        and for each sign of life after that.  UsageError if the URL is not one of HTTP.
        """
        try:
            url = urlsplit(base_url)
            self._host, self._port = url.hostname or "", url.port
        except ValueError:
            url = urlsplit("")
        if url.scheme not in ("http", "https") or not self._host:
            raise UsageError(f"{base_url!r} is no URL of a server")
        self._context: ssl.SSLContext | None = None
        if url.scheme == "https":
            self._context = verify if isinstance(verify, ssl.SSLContext) else ssl.create_default_context(cafile=verify)
        self._url = base_url
        self._prefix = url.path.rstrip("/")
        self._timeout = timeout
        self._idle: deque[HTTPConnection] = deque()

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
        wanted = {**(headers or {}), **({"content-type": media_type} if media_type else {})}
        connection = self._connection()
        reusable = False
        try:
            connection.request(method, self._prefix + quote(path, safe="/?=&%"), data, wanted)
            response = connection.getresponse()
            body = response.read(MAX_ANSWER + 1)
            if len(body) > MAX_ANSWER:
                raise Unreachable(f"{self._url}: the answer is too long")
            if response.length:
                raise Unreachable(f"{self._url}: the answer broke off")
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            reusable = response.isclosed() and not response.will_close
        except (OSError, HTTPException) as failure:
            raise Unreachable(f"{self._url}: {type(failure).__name__}") from None
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()
        return response.status, kind, body

    def _connection(self) -> HTTPConnection:
        """One that is open, or that opens when it is used."""
        while self._idle:
            connection = self._idle.pop()
            # What can be read before anything was asked is the end of the connection.
            if connection.sock is not None and not wait([connection.sock], 0):
                return connection
            connection.close()
        if self._context is None:
            return HTTPConnection(self._host, self._port, timeout=self._timeout)
        return HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> HTTPTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
