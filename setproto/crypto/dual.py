"""The dual signature: one signature over several parts, each verifiable by someone who sees only that part.

A cardholder signs an order (for the merchant) and a payment instruction (for the gateway) with one
signature over the pair of their digests.  Each reader gets one part in full and the digest of the other, so
it can check the signature, knows that the parts belong together, and learns nothing about the part it does
not see (SET Book 1, "dual signature"; set-protocol.md §3).  The idea has nothing to do with payments, and
neither has this module.

To use it for a protocol of your own, choose an object identifier for the whole and one for each part:

>>> from cryptography import x509
>>> TENDER = x509.ObjectIdentifier("2.25.1.1")      # an arc of your own
>>> PRICE, DRAWING = x509.ObjectIdentifier("2.25.1.2"), x509.ObjectIdentifier("2.25.1.3")
>>> tender = Form(TENDER, (PRICE, DRAWING))

The bidder signs both parts at once; each salt is fresh and random, and goes with its part only:

>>> import os
>>> from setproto.crypto.examples import bidder, trust_bidder      # a key, and a decision whom to trust
>>> parts = [Part(PRICE, b"EUR 1,200", os.urandom(32)), Part(DRAWING, b"<svg/>", os.urandom(32))]
>>> signed = tender.sign(bidder, parts)

The purchasing desk gets the price and the digest of the drawing; the workshop the reverse.  Each verifies alone:

>>> tender.verify(signed.view(PRICE), suite="p256", certify=trust_bidder)[PRICE]
b'EUR 1,200'
>>> tender.verify(signed.view(DRAWING), suite="p256", certify=trust_bidder)[DRAWING]
b'<svg/>'

And both can find out whether they hold parts of the same whole:

>>> desk = tender.verify(signed.view(PRICE), suite="p256", certify=trust_bidder)
>>> shop = tender.verify(signed.view(DRAWING), suite="p256", certify=trust_bidder)
>>> desk.digests == shop.digests
True

Design: a digest covers the suite, the form, the part's type, an explicit salt and the content, each framed, so
no part can stand in another's place, in another form or suite, and a part of little entropy (a card number, an
address) cannot be guessed from its digest.  The salt is a field of its own because randomness that happens to
be in a signature is no salt: a deterministic signature scheme would open the hidden part to a dictionary.
More than two parts work the same way, and a view may show several: a carrier or an insurer may each see their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from cryptography import x509

from pki.der import tlv
from setproto.crypto.digests import DIGEST_SIZE, digest_after, framed
from setproto.crypto.signed import Signer, TrustedCertificate, oid_tlv, verify
from setproto.errors import SignatureFailure

MIN_SALT: Final = 16
"""Octets of salt at the least: 128 bits unknown to whoever must not guess the part (PX-3)."""


@dataclass(frozen=True)
class Part:
    """One part in full: its type, its content and its salt (at least 16 fresh random octets)."""

    type: x509.ObjectIdentifier
    content: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.salt) < MIN_SALT:
            raise SignatureFailure(f"a part's salt has at least {MIN_SALT} octets")


@dataclass(frozen=True)
class View:
    """What one reader gets: its parts, the digests of the parts it does not see, and the signature.  Unverified."""

    parts: tuple[Part, ...]
    hidden: Mapping[x509.ObjectIdentifier, bytes]
    signature: bytes


@dataclass(frozen=True)
class VerifiedView:
    """Parts whose signature over the whole was verified; only :meth:`Form.verify` makes one."""

    contents: Mapping[x509.ObjectIdentifier, bytes] = field(repr=False)
    """The content of every part that the view shows."""
    digests: Mapping[x509.ObjectIdentifier, bytes]
    """The digest of every part, hidden ones included: equal maps mean parts of one whole."""
    signer: Any
    """What ``certify`` returned."""

    def __getitem__(self, part_type: x509.ObjectIdentifier) -> bytes:
        """The content of the part of this type."""
        return self.contents[part_type]


@dataclass(frozen=True)
class DualSignature:
    """One signature over several parts, on the signer's side: everything from which views are cut."""

    parts: Mapping[x509.ObjectIdentifier, Part]
    digests: Mapping[x509.ObjectIdentifier, bytes]
    signature: bytes

    def view(self, *part_types: x509.ObjectIdentifier) -> View:
        """The view of a reader who may see these parts."""
        hidden = {oid: value for oid, value in self.digests.items() if oid not in part_types}
        return View(tuple(self.parts[oid] for oid in part_types), hidden, self.signature)


@lru_cache(maxsize=256)
def _part_begins(form: x509.ObjectIdentifier, part: x509.ObjectIdentifier, suite: str) -> bytes:
    """What the input of every digest of a part of this type begins with."""
    return framed("dual part", oid_tlv(form), oid_tlv(part), suite.encode())


@lru_cache(maxsize=256)
def _before_digests(
    part_types: tuple[x509.ObjectIdentifier, ...], suite: str
) -> tuple[tuple[x509.ObjectIdentifier, bytes], ...]:
    """The type of each part, and what stands before its digest in what is signed."""
    parts = [tlv(0x30, oid_tlv(oid), tlv(0x04, bytes(DIGEST_SIZE))) for oid in part_types]
    begin = tlv(0x30, b"\x02\x01\x01", tlv(0x0C, suite.encode()), tlv(0x30, *parts))[: -sum(map(len, parts))]
    parts[0] = begin + parts[0]
    return tuple((oid, part[:-DIGEST_SIZE]) for oid, part in zip(part_types, parts, strict=True))


@dataclass(frozen=True)
class Form:
    """What is signed together: the type of the whole, and the types of its parts in order (two or more)."""

    content_type: x509.ObjectIdentifier
    part_types: tuple[x509.ObjectIdentifier, ...]

    def __post_init__(self) -> None:
        if len(self.part_types) < 2 or len(set(self.part_types)) != len(self.part_types):
            raise ValueError("a form has two or more parts of different types")

    def digest(self, part: Part, suite: str) -> bytes:
        """The digest that stands for a part: 32 octets, bound to the form, the type, the suite and the salt."""
        return digest_after(_part_begins(self.content_type, part.type, suite), part.salt, part.content)

    def to_be_signed(self, digests: Mapping[x509.ObjectIdentifier, bytes], suite: str) -> bytes:
        """SEQUENCE {version 1, suite UTF8String, SEQUENCE OF SEQUENCE {type OID, digest OCTET STRING}}."""
        signed = b""
        for oid, before in _before_digests(self.part_types, suite):
            digest = digests.get(oid, b"")
            if len(digest) != DIGEST_SIZE:  # its length is written already
                raise SignatureFailure(f"every part has a digest of {DIGEST_SIZE} octets")
            signed += before + digest
        return signed

    def sign(self, signer: Signer, parts: Iterable[Part], *, certificates: Iterable[bytes] = ()) -> DualSignature:
        """Sign all parts with one signature: exactly one part of each type of the form.

        ``certificates`` (DER) are enclosed for whoever has to validate the signer's.
        """
        parts = tuple(parts)
        by_type = {part.type: part for part in parts}
        if not len(by_type) == len(parts) == len(self.part_types):
            raise ValueError("the parts are not those of the form")
        suite = signer.suite.name
        try:
            digests = {oid: self.digest(by_type[oid], suite) for oid in self.part_types}
        except KeyError:
            raise ValueError("the parts are not those of the form") from None
        signature = signer.sign(
            self.to_be_signed(digests, suite), self.content_type, certificates=certificates, detached=True
        )
        return DualSignature(by_type, digests, signature)

    def verify(
        self, view: View, *, suite: str, certify: Callable[[bytes, Sequence[bytes]], TrustedCertificate]
    ) -> VerifiedView:
        """The parts shown, once the signature over them and over the digests of the others is verified.

        ``suite`` is the verifier's own; ``certify`` decides about the signer's certificate as in ``cms.verify``.
        What is verified is rebuilt from the contents themselves: no digest of a visible part is taken from anybody.
        SignatureFailure if a part is missing, has another type, or the signature does not hold.
        """
        # As many as the form has, and to_be_signed finds one of each type: so each is there once, shown or hidden.
        if not view.parts or len(view.parts) + len(view.hidden) != len(self.part_types):
            raise SignatureFailure("the parts are not those of the form")
        digests, contents = dict(view.hidden), {}
        for part in view.parts:
            digests[part.type] = self.digest(part, suite)
            contents[part.type] = part.content
        verified = verify(
            view.signature,
            content_type=self.content_type,
            certify=certify,
            content=self.to_be_signed(digests, suite),
        )
        if verified.signer.suite != suite:
            raise SignatureFailure("the signer is of another suite")
        return VerifiedView(contents, digests, verified.signer)
