"""Persistence of protocol state."""

from setproto.store.memory import MemoryStore

__all__ = ["MemoryStore"]
