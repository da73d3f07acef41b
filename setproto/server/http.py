"""What every server has in common: limits on requests, workers for what may block, health, metrics, and its end.

The roles are synchronous objects on a database, so a request is read here, answered by a worker thread, and written
here.  There is no middleware: what a request costs is the role's work and little else.

Sources: set-protocol.md section 2.1 (a message is the content of an HTTP request, and of its answer); RFC 9110
(status codes).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from pki import CertificateError
from setproto.crypto.digests import equal
from setproto.errors import SetError
from setproto.server.config import TLS, Limits
from setproto.server.deadline import headers_within
from setproto.server.metrics import Metrics
from setproto.settings import read_secret

__all__ = ["JSON", "LEARN_SECONDS", "Answered", "Refusal", "Server", "bearer", "error", "now", "reply", "run"]

T = TypeVar("T")
_LOG: Final = structlog.get_logger()
JSON: Final = ("application/json",)
LEARN_SECONDS: Final = 30.0
"""How often new revocation data are looked for."""
_STOPPING_SECONDS: Final = 10
"""How long requests that are being answered are waited for when the server stops."""


def now() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


class Refusal(Exception):
    """A request that is not answered: the HTTP status, and why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Answered:
    """What became of a SET message: the answer, if there is one yet, and what to tell the log and the metrics."""

    data: bytes | None
    message: str
    outcome: str
    about: dict[str, str]


class Server:
    """One server: its routes, and the workers behind them."""

    def __init__(self, role: str, limits: Limits, metrics: Metrics, look: Callable[[], object]) -> None:
        """``look`` raises SQLAlchemyError if the database does not answer."""
        self.role = role
        self.metrics = metrics
        self._limits = limits
        self._look = look
        self._workers = ThreadPoolExecutor(limits.workers, thread_name_prefix=role)
        self._waiting = 0
        self._stopping = threading.Event()

    # --- requests ---------------------------------------------------------------------------------

    async def content(self, request: Request, media_types: Sequence[str]) -> bytes:
        """The content of a request.  Refusal if it is of another type, too long, or too slow in coming."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in media_types:
            raise Refusal(415, f"the content is to be {' or '.join(media_types)}")
        most = self._limits.octets
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most:
            raise Refusal(413, f"at most {most} octets are read")
        content = bytearray()
        try:
            async with asyncio.timeout(self._limits.seconds):
                async for piece in request.stream():
                    content += piece
                    if len(content) > most:
                        raise Refusal(413, f"at most {most} octets are read")
        except TimeoutError:
            raise Refusal(408, f"the content did not come within {self._limits.seconds:g} seconds") from None
        except ClientDisconnect:
            raise Refusal(400, "the content broke off") from None
        return bytes(content)

    async def form(self, request: Request) -> dict[str, Any]:
        """The JSON object that a request holds.  Refusal if it holds none."""
        try:
            read = json.loads(await self.content(request, JSON))
        except (ValueError, RecursionError):
            raise Refusal(400, "not JSON") from None
        if not isinstance(read, dict):
            raise Refusal(400, "not a JSON object")
        return read

    async def work(self, act: Callable[..., T], *arguments: Any) -> T:
        """Let a worker do it.  Refusal (503) if too many wait already; TimeoutError if it takes too long, in which
        case it is done all the same."""
        if self._waiting >= self._limits.waiting:
            raise Refusal(503, "too many requests; try again")
        self._waiting += 1
        done = asyncio.get_running_loop().run_in_executor(self._workers, act, *arguments)
        done.add_done_callback(self._finished)
        async with asyncio.timeout(self._limits.seconds):
            return await asyncio.shield(done)

    def _finished(self, done: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not done.cancelled():
            done.exception()  # whoever waited for it has it; if nobody did any more, it is not reported twice

    # --- routes -----------------------------------------------------------------------------------

    def route(self, method: str, path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
        """A route that answers every refusal with {"error": why}, and is measured under its path."""

        async def answer(request: Request) -> Response:
            begun = time.perf_counter()
            try:
                response = await handler(request)
            except Refusal as refusal:
                response = error(refusal.status, refusal.text)
            except SetError as failure:
                response = error(400, failure.detail)
            except TimeoutError:
                response = error(503, "it takes too long; ask again")
            except SQLAlchemyError as failure:
                _LOG.error("database", failure=type(failure).__name__)
                response = error(503, "the database cannot be used now; try again")
            self.metrics.request(path, str(response.status_code), time.perf_counter() - begun)
            return response

        return Route(path, answer, methods=[method])

    def messages(self, media_types: Sequence[str], answer: Callable[[bytes], Answered], under: str = "") -> Route:
        """``POST under/set``: a SET message in, the one that answers it out, or 202 if there is none yet."""

        async def post(request: Request) -> Response:
            begun = time.perf_counter()
            message, outcome, about = "none", "refused", dict[str, str]()
            try:
                data = await self.content(request, media_types)
                answered = await self.work(answer, data)
                message, outcome, about = answered.message, answered.outcome, answered.about
                kind = request.headers["content-type"].partition(";")[0].strip().lower()
                response = Response(answered.data, 202 if answered.data is None else 200, media_type=kind)
            except Refusal as refusal:
                response = error(refusal.status, refusal.text)
            except TimeoutError:
                outcome, response = "late", Response(status_code=202)
            except SQLAlchemyError as failure:
                _LOG.error("database", failure=type(failure).__name__)
                outcome, response = "failed", error(503, "the database cannot be used now; try again")
            seconds = time.perf_counter() - begun
            self.metrics.request(message, outcome, seconds)
            _LOG.info("message", message=message, outcome=outcome, seconds=round(seconds, 4), **about)
            return response

        return Route(f"{under}/set", post, methods=["POST"])

    def app(self, routes: Sequence[Route], regularly: Mapping[float, Callable[[], None]]) -> Router:
        """The whole application.  ``regularly``: what is done when it starts, and again after so many seconds."""

        @asynccontextmanager
        async def lifespan(_: object) -> AsyncIterator[None]:
            beside = [
                threading.Thread(target=self._again, args=(seconds, act), daemon=True)
                for seconds, act in regularly.items()
            ]
            for thread in beside:
                thread.start()
            _LOG.info("started")
            yield
            self.close()
            for thread in beside:
                thread.join(_STOPPING_SECONDS)
            _LOG.info("stopped")

        own = [Route("/health", self._health), Route("/metrics", self._metrics)]
        return Router([*routes, *own], redirect_slashes=False, lifespan=lifespan)

    def close(self) -> None:
        """Do what was taken, and nothing after that."""
        self._stopping.set()
        self._workers.shutdown(wait=True)

    def _again(self, seconds: float, act: Callable[[], None]) -> None:
        """Do it now and every so many seconds, until the server stops.  What goes wrong is logged and tried again."""
        going = True
        while going:
            try:
                act()
            except (SetError, CertificateError, SQLAlchemyError, OSError) as failure:
                _LOG.error("background", failure=f"{type(failure).__name__}")
            going = not self._stopping.wait(seconds)

    async def _health(self, request: Request) -> Response:
        """200 if the database answers, and which process this is: another one may have its address."""
        try:
            await self.work(self._look)
        except (Refusal, TimeoutError, SQLAlchemyError):
            return reply({"role": self.role, "status": "failing", "process": os.getpid()}, 503)
        return reply({"role": self.role, "status": "ok", "process": os.getpid()})

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def bearer(request: Request, secret: str) -> None:
    """Refusal unless the request shows the secret (RFC 6750)."""
    if not equal(request.headers.get("authorization", "").encode(), f"Bearer {secret}".encode()):
        raise Refusal(401, "the secret is wrong")


def reply(body: object, status: int = 200) -> Response:
    """JSON."""
    return Response(json.dumps(body).encode(), status, media_type="application/json")


def error(status: int, text: str) -> Response:
    """{"error": why}."""
    return reply({"error": text}, status)


def run(app: Router, addresses: Sequence[tuple[str, int]], tls: TLS | None, limits: Limits) -> None:
    """Serve at these addresses until SIGINT or SIGTERM, then let those go first that are being answered.

    Of ``limits``: within how many seconds the headers of a request must come.  OSError if an address cannot be had.
    """
    sockets = [_bound(address) for address in addresses]
    passphrase = None if tls is None or tls.passphrase_file is None else read_secret(tls.passphrase_file)
    config = uvicorn.Config(
        app,
        http=headers_within(limits.seconds),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=60,
        timeout_graceful_shutdown=_STOPPING_SECONDS,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
        ssl_keyfile_password=passphrase,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # The server has its own handlers while it runs, and repeats the signal when it has stopped: all is done then.
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=sockets)


def _bound(address: tuple[str, int]) -> socket.socket:
    # That it speaks TCP is said in so many words: asyncio looks for it before it switches Nagle's algorithm off.  With
    # that on, each answer would wait 40 milliseconds for the client's acknowledgement.
    bound = socket.socket(
        socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
