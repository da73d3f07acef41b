"""Looking for the secrets of many cards in much: for the writings of ``tests.secrecy.scan`` and ``setproto.scan``.

``Scanner.hits`` goes over the octets once for each of some hundred writings.  Here they are gone over once for all:
where the first six octets are those of something that is looked for, the rest is compared.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from setproto.scan import encodings_of
from tests.secrecy.scan import Scanner

HEAD = 6
PIECE = 1 << 16
"""Octets that are gone over at a time; a piece that was gone over before is not gone over again."""
MIXTURES = ((40503, 30011, 51749), (12829, 60923, 25147))
"""Odd numbers drawn at random."""
WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/")


def needles(scanners: Mapping[str, Scanner]) -> dict[bytes, str]:
    """What to look for → whose it is, and how it is written: "first: PAN in ASCII"."""
    found: dict[bytes, str] = {}
    for card, scanner in scanners.items():
        named = dict(scanner.needles())
        for how, writings in encodings_of(scanner.pan).items():
            for writing in writings:
                named.setdefault(writing, f"PAN in {how}")
        found |= {needle: f"{card}: {name}" for needle, name in named.items()}
    return found


def is_pan(name: str) -> bool:
    """A card number, however it is written."""
    return name.startswith("PAN in ")


def expiries(scanners: Mapping[str, Scanner]) -> dict[bytes, str]:
    """The expiries as six digits → whose they are."""
    found: dict[bytes, str] = {}
    for card, scanner in scanners.items():
        found[scanner.expiry.encode()] = f"{card}: expiry"
    return found


class Search:
    """Finds all of the needles in one go."""

    def __init__(self, wanted: Mapping[bytes, str], lone: Mapping[bytes, str] | None = None) -> None:
        """``lone``: what counts only if no digit or letter stands beside it: a text, or a DER element, of its own."""
        self._by_head: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
        self._lone = lone or {}
        self._known: dict[bytes, frozenset[str]] = {}
        both = [*wanted.items(), *self._lone.items()]
        self._longest = max(len(needle) for needle, _ in both)
        for needle, name in both:
            if len(needle) < HEAD:
                raise ValueError(f"too short to be looked for: {name}")
            self._by_head[needle[:HEAD]].append((needle, name))
        heads = np.frombuffer(b"".join(self._by_head), "<u2").reshape(-1, HEAD // 2).T
        # For each mixture of six octets: is it that of a head?
        self._heads = np.zeros((len(MIXTURES), 1 << 16), dtype=np.bool_)
        for is_head, mixture in zip(self._heads, MIXTURES, strict=True):
            is_head[_mixed(heads, mixture)] = True

    def hits(self, blobs: Iterable[bytes]) -> set[str]:
        """The names of those that occur in any of these."""
        return {name for blob in blobs for start in range(0, len(blob), PIECE) for name in self._piece(blob, start)}

    def _piece(self, blob: bytes, start: int) -> frozenset[str]:
        """Of those that begin in this piece; an octet before it, and as much after it as they take, are looked at."""
        piece = blob[max(start - 1, 0) : start + PIECE + self._longest]
        digest = hashlib.blake2b(piece, digest_size=16).digest()
        if digest not in self._known:
            self._known[digest] = frozenset(self._found(piece))
        return self._known[digest]

    def _found(self, piece: bytes) -> Iterator[str]:
        octets = np.frombuffer(piece, np.uint8)
        if len(octets) < HEAD:
            return
        pairs = octets[:-1].astype(np.uint16) | octets[1:].astype(np.uint16) << 8
        six = [pairs[:-4], pairs[2:-2], pairs[4:]]
        places = np.flatnonzero(self._heads[0][_mixed(six, MIXTURES[0])])
        places = places[self._heads[1][_mixed([pairs[places + further] for further in (0, 2, 4)], MIXTURES[1])]]
        for at in places.tolist():
            for needle, name in self._by_head.get(piece[at : at + HEAD], ()):
                if piece.startswith(needle, at) and (needle not in self._lone or _alone(piece, at, at + len(needle))):
                    yield name


def _mixed(pairs: Iterable[Any], mixture: tuple[int, ...]) -> Any:
    """Sixteen bits made from six octets, given as three pairs, at each place."""
    return sum(pair * np.uint16(factor) for pair, factor in zip(pairs, mixture, strict=True))


def _alone(blob: bytes, start: int, end: int) -> bool:
    return WORD.isdisjoint(blob[max(start - 1, 0) : start]) and WORD.isdisjoint(blob[end : end + 1])
