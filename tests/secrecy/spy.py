"""A spy with real keys and real bytes (set-protocol.md §9.1, A-1 and A-2).

It has all traffic, and of every corrupt party the private keys, the shared keys and the notes.  It finds every sealed
CMS object in every byte string that it holds, tries every key on it, and goes on with whatever comes out, until
nothing new appears: so the key that a cardholder puts into a payment instruction for the acquirer's answer is used as
soon as the instruction is open.  Keys that anybody would guess are tried on everything.  Everything here is written
against the RFCs (5083, 5084, 5652, 5753, 8418, 9629, 4055), with a DER reader, HKDF and X9.63 KDF of its own: no code
of ``setproto`` or ``pki`` takes part, so a mistake there is not repeated.

What it cannot do: break a cipher, and act.  Those who act are in ``test_corrupt_merchants``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import chain, islice, product
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

AUTH_ENVELOPED_DATA = bytes.fromhex("060b2a864886f70d0109100117")
ARC = "2.25.137087056187701533922853352641590903349.0."
AUTH_TOKEN_DATA, CAP_TOKEN_DATA, ACQ_CARD_CODE_MSG, AUTH_TOKEN_PAN = (f"{ARC}{last}" for last in (19, 20, 22, 103))
TO_ITSELF = (AUTH_TOKEN_DATA, CAP_TOKEN_DATA, AUTH_TOKEN_PAN)
"""What a gateway seals to itself; these and AcqCardCodeMsg are the types whose context does not travel with them."""
BACK_KEY = bytes.fromhex("060960864801650304012e0420")
"""What stands before the key in AcqBackKeyData: AES-256-GCM, and the head of 32 octets."""
GUESSES = (bytes(32), b"\xff" * 32)
"""Keys that anybody would try."""
TELLING = 8
"""Identifiers in a byte string with a sealed object that are worth trying; what holds more, holds other things too."""
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


# --- DER, generically -----------------------------------------------------------------------------


def header(data: bytes, at: int, limit: int) -> tuple[int, int, int]:
    """(first tag octet, where the content begins, where the element ends); ValueError if there is no element."""
    if at + 2 > limit:
        raise ValueError("no element")
    tag = data[at]
    at += 1
    if tag & 0x1F == 0x1F:
        while at < limit and data[at] & 0x80:
            at += 1
        at += 1
    if at >= limit:
        raise ValueError("no length")
    size = data[at]
    at += 1
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or at + count > limit:
            raise ValueError("bad length")
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > limit:
        raise ValueError("cut short")
    return tag, at, at + size


def children(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """(tag octet, content, whole) of the elements that ``data`` is a sequence of; ValueError if it is none."""
    found, at = [], 0
    while at < len(data):
        tag, start, end = header(data, at, len(data))
        found.append((tag, data[start:end], data[at:end]))
        at = end
    return found


def leaves(data: bytes, seen: set[bytes] | None = None) -> Iterator[bytes]:
    """The contents of all primitive elements, whatever they are wrapped in: octet strings that hold DER, too.

    With ``seen``, an element met before (a certificate, mostly) is not entered again.
    """
    try:
        elements = children(data)
    except ValueError:
        return
    for tag, content, whole in elements:
        if len(content) > 64 and seen is not None:
            if whole in seen:
                continue
            seen.add(whole)
        if not tag & 0x20:
            yield content
        if tag & 0x20 or ((tag in (0x04, 0x03) or tag & 0xC0) and len(content) > 4):
            yield from leaves(content[1:] if tag == 0x03 else content, seen)


def outer_leaves(data: bytes) -> Iterator[bytes]:
    """The contents of all primitive elements, without looking into octet strings; of damaged ones, none."""
    try:
        elements = children(data)
    except ValueError:
        return
    for tag, content, _ in elements:
        if tag & 0x20:
            yield from outer_leaves(content)
        else:
            yield content


def content_infos(data: bytes, content_type: bytes) -> Iterator[bytes]:
    """Every ContentInfo of this type anywhere in the octets, whether or not the octets around it are DER."""
    at = data.find(content_type)
    while at >= 0:
        for size in (2, 3, 4, 5, 6):
            if at >= size and data[at - size] == 0x30:
                try:
                    _, start, end = header(data, at - size, len(data))
                except ValueError:
                    continue
                if start == at:
                    yield data[at - size : end]
        at = data.find(content_type, at + 1)


def element(tag: int, *parts: bytes) -> bytes:
    """DER of one element."""
    content = b"".join(parts)
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


@cache
def oid(dotted: str) -> bytes:
    """The content octets of an object identifier."""
    first, second, *rest = map(int, dotted.split("."))
    octets = b""
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return octets


# --- key derivation, by hand ----------------------------------------------------------------------


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 without salt, 32 octets (RFC 5869)."""
    return hmac.digest(extracted(secret), info + b"\x01", "sha256")


@cache
def extracted(secret: bytes) -> bytes:
    """The first step of HKDF."""
    return hmac.digest(bytes(32), secret, "sha256")


def x963(secret: bytes, shared_info: bytes) -> bytes:
    """ANSI X9.63 KDF with SHA-256, 32 octets."""
    return hashlib.sha256(secret + b"\0\0\0\1" + shared_info).digest()


# --- sealed objects -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sealed:
    """An AuthEnvelopedData object as it was found.  One per object (``parsed``), so compared by identity."""

    raw: bytes
    info_tag: int
    info: bytes
    nonce: bytes
    ciphertext: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Sealed:
        """ValueError if it only looked like one."""
        try:
            ((_, content_info, _),) = children(raw)
            (_, (_, explicit, _)) = children(content_info)
            ((_, enveloped, _),) = children(explicit)
            (_, (_, infos, _), (_, encrypted, _), (_, mac, _)) = children(enveloped)
            ((info_tag, info, _),) = children(infos)
            (_, (_, algorithm, _), (_, ciphertext, _)) = children(encrypted)
            (_, (_, parameters, _)) = children(algorithm)
            nonce = children(parameters)[0][1]
        except (TypeError, IndexError) as failure:
            raise ValueError("not AuthEnvelopedData") from failure
        return cls(raw, info_tag, info, nonce, ciphertext + mac)

    @cached_property
    def under_shared_key(self) -> tuple[bytes, bytes]:
        """Of a KEKRecipientInfo: which shared key it says that it is for, and the content key wrapped with it."""
        _, (_, identifier, _), *_, (_, wrapped, _) = children(self.info)
        return children(identifier)[0][1], wrapped

    @cache  # noqa: B019  # there is one object per sealed object, for as long as the tests run
    def open(self, content_key: bytes) -> bytes | None:
        """The plaintext, if this is the content key."""
        try:
            return AESGCM(content_key).decrypt(self.nonce, self.ciphertext, None)
        except (InvalidTag, ValueError):
            return None


@cache
def parsed(raw: bytes) -> Sealed | None:
    """The object, if it is one."""
    try:
        return Sealed.parse(raw)
    except ValueError:
        return None


def context_of(ukm: list[tuple[int, bytes, bytes]]) -> bytes:
    """[0] EXPLICIT entityUInfo or ukm, if the object has keying material."""
    return element(0xA0, ukm[0][2]) if ukm else b""


def agreed(sealed: Sealed, key: Any) -> bytes:
    """KeyAgreeRecipientInfo (RFC 5753, RFC 8418): the content key."""
    parts = children(sealed.info)
    originator = children(children(parts[1][1])[0][1])
    ephemeral = originator[1][1][1:]
    ukm = children(parts[2][1]) if parts[2][0] == 0xA1 else []
    algorithm = children(parts[-2][1])
    wrapped = children(children(parts[-1][1])[0][1])[1][1]
    shared_info = element(0x30, algorithm[1][2], context_of(ukm), element(0xA2, element(0x04, b"\0\0\1\0")))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        public = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, ephemeral)
        return aes_key_unwrap(x963(key.exchange(ec.ECDH(), public), shared_info), wrapped)
    secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(ephemeral))
    return aes_key_unwrap(hkdf(secret, shared_info), wrapped)


def transported(sealed: Sealed, key: rsa.RSAPrivateKey) -> bytes:
    """KeyTransRecipientInfo with RSAES-OAEP (RFC 4055): the content key."""
    parts = children(sealed.info)
    label = None
    for tag, content, _ in children(children(parts[2][1])[1][1]):
        if tag == 0xA2:
            label = children(children(content)[0][1])[1][1]
    return key.decrypt(parts[3][1], padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label))


def encapsulated(sealed: Sealed, key: Any) -> bytes:
    """KEMRecipientInfo (RFC 9629): the content key."""
    parts = children(children(sealed.info)[1][1])
    ukm = children(parts[6][1]) if parts[6][0] == 0xA0 else []
    other_info = element(0x30, parts[-2][2], b"\x02\x01\x20", context_of(ukm))
    return aes_key_unwrap(hkdf(key.decapsulate(parts[3][1]), other_info), parts[-1][1])


WAYS = (
    (0xA1, (ec.EllipticCurvePrivateKey, x25519.X25519PrivateKey), agreed),
    (0x30, (rsa.RSAPrivateKey,), transported),
    (0xA4, (mlkem.MLKEM768PrivateKey,), encapsulated),
)
UNOPENED = (InvalidUnwrap, ValueError, TypeError, IndexError)


@cache
def content_key(sealed: Sealed, key: Any) -> bytes | None:
    """The content key that this private key gives, whomever the object names; None if it does not open it."""
    for tag, kinds, unwrap in WAYS:
        if sealed.info_tag == tag and isinstance(key, kinds):
            try:
                found = unwrap(sealed, key)
            except UNOPENED:
                return None
            return found if sealed.open(found) is not None else None
    return None


@cache
def shared_content_key(sealed: Sealed, key: bytes, context: bytes) -> bytes | None:
    """The content key of a KEKRecipientInfo under a shared key, the context being known or guessed."""
    if sealed.info_tag != 0xA2:
        return None
    try:
        found = aes_key_unwrap(hkdf(key, b"setproto/2 KEK" + context), sealed.under_shared_key[1])
    except UNOPENED:
        return None
    return found if sealed.open(found) is not None else None


@cache
def contexts(
    suite: str, parties: frozenset[bytes], beside: frozenset[bytes], near: frozenset[bytes]
) -> tuple[bytes, ...]:
    """What a party that seals to itself may have bound an object to: any of the types, any identifier that stood beside
    the object as XID, any of those and of their neighbours as RRPID.
    """
    pairs = set(product(beside, near | beside))
    found = []
    for content_type, party in product(TO_ITSELF, sorted(parties)):
        head = (element(0x06, oid(content_type)), b"\x02\x01\x02", element(0x0C, suite.encode()), party, party)
        for xid, rrpid in sorted(pairs):
            found.append(element(0x30, *head, element(0x80, xid), element(0x81, rrpid)))
    return tuple(found)


@cache
def message_contexts(beside: frozenset[bytes]) -> tuple[bytes, ...]:
    """What an acquirer may have bound a message to a cardholder to."""
    return tuple(element(0x06, oid(ACQ_CARD_CODE_MSG)) + xid for xid in sorted(beside))


Opening = tuple[bytes, bytes, bytes]
"""Shared key, context, content key."""


@cache
def with_shared_key(sealed: Sealed, key: bytes, tried: tuple[bytes, ...]) -> Opening | None:
    """How a shared key opens the object, in one of these contexts, if it does."""
    for context in tried:
        found = shared_content_key(sealed, key, context)
        if found is not None:
            return key, context, found
    return None


# --- the spy --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loot:
    """What a corrupt party hands over."""

    private_keys: tuple[Any, ...] = ()
    shared_keys: tuple[bytes, ...] = ()
    """What a gateway seals to itself with."""
    back_keys: tuple[bytes, ...] = ()
    """What a cardholder chose for the acquirer's answers."""
    notes: tuple[bytes, ...] = ()


@dataclass
class Spy:
    """The closure of what it was given under decryption.

    ``gateways``: DER of their names, which everybody knows: part of the contexts of what they seal to themselves.
    ``greedy``: every octet string of 32 in a note or plaintext is tried as a content key, and as the key of an
    acquirer's message, as well.
    """

    traffic: Iterable[bytes]
    loot: Iterable[Loot] = ()
    content_keys: Iterable[bytes] = ()
    suite: str = ""
    gateways: Iterable[bytes] = ()
    greedy: bool = False
    known: set[bytes] = field(default_factory=set)
    """Every byte string that it has."""
    sealed: dict[bytes, Sealed] = field(default_factory=dict)
    """Every sealed object in them."""
    opened: dict[bytes, bytes] = field(default_factory=dict)
    """Sealed object → plaintext."""
    how: dict[bytes, Opening] = field(default_factory=dict)
    """Sealed object that a shared key opened → how."""

    def __post_init__(self) -> None:
        self.traffic, self.loot = tuple(self.traffic), tuple(self.loot)
        self.private_keys = {key for loot in self.loot for key in loot.private_keys}
        self.keys = dict.fromkeys((*self.content_keys, *GUESSES))
        """In the order in which they were learned."""
        self.shared_keys = {*GUESSES, *(key for loot in self.loot for key in loot.shared_keys)}
        self.back_keys = {*GUESSES, *(key for loot in self.loot for key in loot.back_keys)}
        self.gateways = frozenset(self.gateways)
        self._neighbours = neighbours(self.traffic)
        self._beside: dict[bytes, set[frozenset[bytes]]] = {}
        self._tried: dict[bytes, list[int]] = {}
        """Sealed object → how many keys and places there were when everything was tried on it."""
        new = {*self.traffic, *(note for loot in self.loot for note in loot.notes)}
        public = set(self.traffic)
        while new:
            for blob in new:
                self._look_into(blob, blob not in public)
            self.known |= new
            new = {plain for plain in self._try_all() if plain not in self.known}

    def _look_into(self, blob: bytes, secret: bool) -> None:
        for raw in sealed_in(blob):
            self.sealed.setdefault(raw.raw, raw)
            if raw.info_tag == 0xA2:
                self._beside.setdefault(raw.raw, set()).add(leaves_of(blob, 20))
        if secret:
            self.private_keys |= set(private_keys_in(blob))
            self.back_keys |= back_keys_in(blob)
            if self.greedy:
                self.keys |= dict.fromkeys(leaves_of(blob, 32))

    def _try_all(self) -> Iterator[bytes]:
        for raw, sealed in self.sealed.items():
            state = [len(self.keys), len(self.private_keys)]
            if sealed.info_tag == 0xA2:
                state += [len(self.back_keys), len(self._beside[raw])]
            if raw in self.opened or self._tried.get(raw) == state:
                continue
            before = self._tried.get(raw, [0])[0]
            self._tried[raw] = state
            for found in chain(islice(self.keys, before, None), self._content_keys(sealed, before)):
                plain = None if found is None else sealed.open(found)
                if plain is not None:
                    self.opened[raw] = plain
                    yield plain
                    break

    def _content_keys(self, sealed: Sealed, before: int) -> Iterator[bytes | None]:
        for key in self.private_keys:
            yield content_key(sealed, key)
        for opening in self.openings(sealed, before):
            self.how[sealed.raw] = opening
            yield opening[2]

    def openings(self, sealed: Sealed, before: int = 0) -> Iterator[Opening]:
        """Each shared key that opens an object, and how.  ``before``: so many of ``keys`` were tried already."""
        if sealed.info_tag != 0xA2:
            return
        recipients, near = self._neighbours
        places = (place - recipients for place in self._beside[sealed.raw])
        beside = frozenset().union(*(place for place in places if len(place) <= TELLING))
        related = frozenset().union(*(near.get(identifier, frozenset()) for identifier in beside))
        to_itself = contexts(self.suite, self.gateways, beside, related)
        for_cardholder = message_contexts(beside | {sealed.under_shared_key[0]})
        for keys, tried in ((self.shared_keys, to_itself), (self.back_keys, for_cardholder)):
            for key in keys:
                opening = with_shared_key(sealed, key, tried)
                if opening is not None:
                    yield opening
        if self.greedy:
            context = element(0x06, oid(ACQ_CARD_CODE_MSG)) + sealed.under_shared_key[0]
            for key in islice(self.keys, before, None):
                found = None if key in self.back_keys else shared_content_key(sealed, key, context)
                if found is not None:
                    yield key, context, found

    @property
    def learned(self) -> set[bytes]:
        """What it did not have to begin with: the plaintexts."""
        return set(self.opened.values())


@cache
def sealed_in(blob: bytes) -> tuple[Sealed, ...]:
    """Every sealed object anywhere in a byte string."""
    found = (parsed(raw) for raw in content_infos(blob, AUTH_ENVELOPED_DATA))
    return tuple(sealed for sealed in found if sealed is not None)


@cache
def neighbours(traffic: tuple[bytes, ...]) -> tuple[frozenset[bytes], dict[bytes, frozenset[bytes]]]:
    """(Identifiers of recipients' keys, identifier → those that stood with it in the same message)."""
    asymmetric = (sealed for blob in traffic for sealed in sealed_in(blob) if sealed.info_tag != 0xA2)
    recipients = frozenset(leaf for sealed in asymmetric for leaf in outer_leaves(sealed.info) if len(leaf) == 20)
    near: dict[bytes, set[bytes]] = {}
    for blob in traffic:
        place = leaves_of(blob, 20) - recipients
        if len(place) <= TELLING:
            for identifier in place:
                near.setdefault(identifier, set()).update(place)
    return recipients, {identifier: frozenset(found) for identifier, found in near.items()}


@cache
def leaves_of(blob: bytes, size: int) -> frozenset[bytes]:
    """Its primitive elements of this size."""
    return frozenset(leaf for leaf in leaves(blob) if len(leaf) == size)


@cache
def back_keys_in(blob: bytes) -> frozenset[bytes]:
    """Every AcqBackKey in a byte string."""
    return frozenset(rest[:32] for rest in blob.split(BACK_KEY)[1:] if len(rest) >= 32)


@cache
def private_keys_in(blob: bytes) -> tuple[Any, ...]:
    """Every PKCS #8 key that stands anywhere in a byte string as a DER element of its own."""
    found = []
    at = blob.find(b"\x02\x01\x00\x30")
    while at >= 0:
        for size in (2, 3, 4):
            try:
                tag, start, end = header(blob, at - size, len(blob)) if at >= size else (0, 0, 0)
                if tag == 0x30 and start == at:
                    found.append(serialization.load_der_private_key(blob[at - size : end], None))
            except (ValueError, TypeError):
                continue
        at = blob.find(b"\x02\x01\x00\x30", at + 1)
    return tuple(found)
