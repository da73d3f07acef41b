"""Records in DER, of which the last few need not be read again.

A purchase is one record that every message about it reads and writes.  The octets come from a party's own store, where
it wrote them itself, and the value of octets never changes; so what was just written, or read, is remembered by its
octets, and whatever another process writes meanwhile has other octets and is read anew.  Nothing that a peer sends is
decoded here: it could fill the memory, and hits would depend on who shares it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from pki.der import decode, encode

R = TypeVar("R")

_REMEMBERED: Final = 128
"""Records of one type."""
_REMEMBERED_SIZE: Final = 16 * 1024
"""Octets of a record at most."""


class Remembered(Generic[R]):
    """The codec of one ``sequence`` type of record.  Values are shared: nobody changes a list in one."""

    def __init__(self, record_type: type[R]) -> None:
        self._type = record_type
        self._values: OrderedDict[bytes, R] = OrderedDict()

    def encode(self, record: R) -> bytes:
        """The DER of a record.  ValueError if a size limit is broken."""
        der = encode(record)
        self._remember(der, record)
        return der

    def decode(self, der: bytes) -> R:
        """The record.  ``pki.der.DecodingFailure`` if these are not the octets of one."""
        record = self._values.get(der)
        if record is None:
            record = decode(self._type, der)
            self._remember(der, record)
        return record

    def _remember(self, der: bytes, record: R) -> None:
        # Each line is one step for other threads; the one that was put in first goes first.
        if len(der) <= _REMEMBERED_SIZE:
            self._values[der] = record
            if len(self._values) > _REMEMBERED:
                self._values.popitem(last=False)
