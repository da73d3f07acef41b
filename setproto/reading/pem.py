"""The textual encoding of RFC 7468: base64 of DER between two lines that say what it is."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final

from setproto.errors import UsageError

MAX_FILE: Final = 1 << 20
"""Octets of a file that are read at most."""
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s+(.*?)-----END \1-----", re.DOTALL)


def to_pem(label: str, der: bytes) -> bytes:
    """One block, in lines of 64 characters."""
    text = base64.b64encode(der).decode()
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


def labels(data: bytes) -> list[str]:
    """What the blocks in ``data`` say they are; empty if it is no PEM."""
    return [match.group(1).decode() for match in _BLOCK.finditer(data)]


def blocks(data: bytes) -> list[bytes]:
    """The DER in each block.  ValueError if one is not base64."""
    found = []
    for match in _BLOCK.finditer(data):
        try:
            found.append(base64.b64decode(b"".join(match.group(2).split()), validate=True))
        except binascii.Error:
            raise ValueError("a PEM block that is not base64") from None
    return found


def blocks_in(file: Path) -> list[bytes]:
    """The DER in each block of a file of certificates, CRLs or BCIs.  UsageError if there is none, one is not base64,
    or the file has more than ``MAX_FILE`` octets; OSError if it cannot be read."""
    with file.open("rb") as opened:
        data = opened.read(MAX_FILE + 1)
    try:
        found = blocks(data) if len(data) <= MAX_FILE else []
    except ValueError as failure:
        raise UsageError(f"{file}: {failure}") from None
    if not found:
        raise UsageError(f"{file}: no certificates in PEM")
    return found


def from_pem(data: bytes) -> bytes:
    """The DER in the first block; anything else is taken for DER and stays as it is."""
    found = blocks(data)
    return found[0] if found else data
