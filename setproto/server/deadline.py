"""A limit on how long the headers of a request may take to come.

uvicorn has none (Kludex/uvicorn issue 157): its time-out of idle connections begins after an answer and ends with the
first octet of what follows, so that a connection on which nothing comes, or one octet now and then, would stay for
ever.  What uvicorn offers is to be given another protocol class.  This one closes a connection on which a request is
due whose headers have not all come in time.  The time that content takes is limited where it is read (``http.Server``).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["headers_within"]


def headers_within(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of a server whose connections are closed if headers take longer than that."""

    class HeadersInTime(HttpToolsProtocol):
        _due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self._wait()
            super().data_received(data)

        def on_headers_complete(self) -> None:
            self._wait_no_more()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_no_more()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._due is None:
                self._due = self.loop.call_later(seconds, self.transport.close)

        def _wait_no_more(self) -> None:
            if self._due is not None:
                self._due.cancel()
                self._due = None

    return HeadersInTime
