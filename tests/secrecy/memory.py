"""Everything that can be reached from an object, as octets."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def reachable(*roots: Any) -> Iterator[Any]:
    """Every object that hangs on these: attributes, slots, containers, closures, caches, bound methods.

    Follows what the garbage collector follows, so nothing is hidden from it that is made of Python objects.  Left out
    are classes, modules and their global variables: they are the program, and in a test everybody shares them.
    """
    program = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, ModuleType)}
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or id(thing) in program or isinstance(thing, (type, ModuleType)):
            continue
        seen.add(id(thing))
        yield thing
        waiting.extend(gc.get_referents(thing))


def octets(*roots: Any) -> set[bytes]:
    """The octets of every byte string and every text that can be reached, and of integers too big to be a count."""
    found: set[bytes] = set()
    for thing in reachable(*roots):
        if isinstance(thing, str):
            found.add(thing.encode("utf-8", "surrogatepass"))
        elif isinstance(thing, (bytes, bytearray)):
            found.add(bytes(thing))
        elif isinstance(thing, memoryview):
            found.add(thing.tobytes())
        elif isinstance(thing, int) and thing.bit_length() > 32:
            found.add(thing.to_bytes((thing.bit_length() + 8) // 8, "big", signed=True))
            found.add(str(thing).encode() if thing.bit_length() < 4096 else b"")
    return found
