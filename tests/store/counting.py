"""What the processes of the isolation tests run."""

from __future__ import annotations

import sys
import time

from setproto.roles.ports import Store
from setproto.store.sql import SQLStore


def increment(store: Store, times: int) -> None:
    """Count up that many times, reading and writing in one transaction."""
    for _ in range(times):
        with store.transaction() as transaction:
            transaction.put("counters", b"n", encode(count(transaction.get("counters", b"n")) + 1))


def count(stored: bytes | None) -> int:
    return int.from_bytes(stored or b"", "big")


def encode(number: int) -> bytes:
    return number.to_bytes(8, "big")


def main(url: str, times: str, start: str) -> None:
    """Open the store at the moment ``start``, together with others, and count."""
    time.sleep(max(0.0, float(start) - time.time()))
    store = SQLStore(url, "test")
    increment(store, int(times))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
