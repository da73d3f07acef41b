"""CMAC for lines to card hosts, which do not know HMAC (bank.md §5, rule 6)."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

MAC_SIZE: Final = 8
"""Octets of DE 64 and DE 128."""


def line_mac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC (NIST SP 800-38B) of ``message`` under a session key of 16 or 32 octets, its first 8 octets."""
    cmac = CMAC(AES(key))
    cmac.update(message)
    return cmac.finalize()[:MAC_SIZE]
