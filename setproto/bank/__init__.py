"""The bank side of a gateway."""

from setproto.bank.memory import Account, MemoryIssuer

__all__ = ["Account", "MemoryIssuer"]
