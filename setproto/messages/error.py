"""The Error message: any party → any other (set-protocol.md §2.20)."""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import Implicit, sequence
from setproto.messages.common import BodyHead, Nonce, Signed

BAD_WRAPPER_LIMIT: Final = 20_000
"""Octets of an unreadable message that an Error quotes at most ("20 kilobytes")."""


@sequence
class ErrorTBS:
    """What went wrong with which message."""

    head: BodyHead
    error_code: int
    error_nonce: Nonce
    """So that a signature is made over unpredictable data."""
    error_oid: Annotated[ObjectIdentifier | None, Implicit(0)] = None
    error_thumb: Annotated[bytes | None, Implicit(1)] = None
    message_header: Annotated[bytes | None, Implicit(2)] = None
    """DER of the header of the offending message …"""
    bad_wrapper: Annotated[bytes | None, Implicit(3)] = None
    """… or, if it could not be read, the beginning of the message."""


@sequence
class Error:
    """SignedError; the unsigned form, for parties without a certificate, is read but believed even less."""

    signed_error: Annotated[Signed | None, Implicit(0)] = None
    unsigned_error: Annotated[ErrorTBS | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if (self.signed_error is None) == (self.unsigned_error is None):
            raise ValueError("either signed or unsigned")
