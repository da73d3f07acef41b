"""Bytes to trees: any message, certificate, CRL or CMS object as named values, opened as far as the keys reach.

One walker for everybody who wants to look inside: ``setproto inspect``, the demonstration and its scan.  Reading is
not verifying: nothing here decides whether to believe what it shows.
"""

from setproto.reading.found import Found, Kind, NotReadable, open_wrapper
from setproto.reading.keys import AnyOpener, CardMessageOpener, Opener, TokenOpener, load_opener
from setproto.reading.reader import Reader
from setproto.reading.values import Node, Show, mask_pan

__all__ = [
    "AnyOpener",
    "CardMessageOpener",
    "Found",
    "Kind",
    "Node",
    "NotReadable",
    "Opener",
    "Reader",
    "Show",
    "TokenOpener",
    "load_opener",
    "mask_pan",
    "open_wrapper",
]
