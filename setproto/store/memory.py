"""A store in memory: for tests, the demonstration and anything that may be forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Overlay:
    """Reads through to the committed tables; keeps what is put until the commit."""

    def __init__(self, committed: dict[tuple[str, bytes], bytes]) -> None:
        self._committed = committed
        self.changes: dict[tuple[str, bytes], bytes] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        found = self.changes.get((table, key))
        return self._committed.get((table, key)) if found is None else found

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self.changes[table, key] = value

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        now = {**self._committed, **self.changes}
        yield from sorted((key, value) for (name, key), value in now.items() if name == table)


class MemoryStore:
    """Implements ``setproto.roles.ports.Store``.  One transaction at a time."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, bytes], bytes] = {}
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[_Overlay]:
        """Commits on leaving the block; an exception leaves everything as it was."""
        with self._lock:
            overlay = _Overlay(self._tables)
            yield overlay
            self._keep(overlay.changes)
            self._tables.update(overlay.changes)

    def _keep(self, changes: dict[tuple[str, bytes], bytes]) -> None:
        """For those whose memory is a copy of something durable: write it there, or raise, and nothing is changed."""

    def dump(self) -> dict[tuple[str, bytes], bytes]:
        """A copy of everything, (table, key) → value: for tests that search it."""
        return dict(self._tables)
