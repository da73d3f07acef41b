"""A line between two servers that a test can cut, silence, slow down or make late; or one that has several ends."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

Address = tuple[str, int]
_PIECE = 4096


class Proxy:
    """Takes connections and makes one to the next of its targets for each.  What is set holds at once."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds that everything takes that comes back."""
        self.silent = False
        """Nothing comes back, and nobody is told."""
        self.is_cut = False
        """Connections break, and new ones do, too."""
        self._targets: Iterator[Address] = iter(())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> Address:
        found: Address = self._listener.getsockname()
        return found

    def lead_to(self, *targets: Address) -> None:
        """Where connections go, in turn."""
        self._targets = itertools.cycle(targets)

    def cut(self) -> None:
        """Break every connection, and refuse new ones until ``mend``."""
        self.is_cut = True
        self.break_all()

    def break_all(self) -> None:
        """Break every connection once."""
        with self._lock:
            for one in self._open:
                _shut(one)

    def mend(self) -> None:
        """All is well again."""
        self.delay, self.silent, self.is_cut = 0.0, False, False

    def close(self) -> None:
        _shut(self._listener)
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(next(self._targets), 2)
            except (OSError, StopIteration):
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            if self.is_cut:
                _shut(near)
            for source, sink, answers in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._carry, args=(source, sink, answers))
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                if answers and self.delay:
                    time.sleep(self.delay)
                if not (answers and self.silent):
                    sink.sendall(piece)
        _shut(source)
        _shut(sink)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy() -> Iterator[Proxy]:
    """Until the end of the block."""
    made = Proxy()
    try:
        yield made
    finally:
        made.close()
