"""The flow of a purchase with other libraries, side by side: five signatures, six verifications, three seals and opens.

The content is ours: the octets that a purchase of this library signs (five times), and the three largest of those
that it seals, taken from a real one.  The JOSE flow signs them with ES256 and seals them with ECDH-ES and A256GCM, in
compact form, with keys that are loaded already.  It does nothing else: no certificates, no chain, no dual signature,
no state, no check for replays, and it parses no message.  Our purchase does all of that, and seals more; so beside it
stands the same flow with our CMS objects alone (``peer.cms.purchase``): like for like, but that each signature encloses
its certificate, whose chain is looked up in the cache.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final

import joserfc.jwe
import joserfc.jwk
import joserfc.jws
import jwcrypto.jwe
import jwcrypto.jwk
import jwcrypto.jws
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from benchmarks.floor import record, replay
from benchmarks.measure import Case, Progress, Settings, check, measure
from benchmarks.purchase import Shop
from benchmarks.raw import UNIT, Raw, Run
from pki import CertificateKind
from setproto.crypto import sealed, signed
from setproto.crypto.parts import ID_DATA
from setproto.market import Market
from setproto.messages.common import Role

VERIFICATIONS: Final = (0, 1, 1, 2, 3, 4)
"""Which signatures are verified: PInitRes, the dual signature by merchant and gateway, AuthReq, AuthRes, PRes."""


@dataclass(frozen=True)
class Contents:
    """What is signed and what is sealed."""

    signed: tuple[bytes, ...]
    sealed: tuple[bytes, ...]


@dataclass(frozen=True)
class Library:
    """A library with one key for signatures and one for seals; what it makes are strings or octets."""

    sign: Callable[[bytes], Any]
    verify: Callable[[Any], bytes]
    seal: Callable[[bytes], Any]
    open: Callable[[Any], bytes]

    def flow(self, contents: Contents) -> tuple[list[bytes], list[bytes]]:
        """All that a purchase does; what was verified and what was opened."""
        signatures = [self.sign(content) for content in contents.signed]
        verified = [self.verify(signatures[index]) for index in VERIFICATIONS]
        opened = [self.open(self.seal(content)) for content in contents.sealed]
        return verified, opened

    def octets(self, contents: Contents) -> int:
        """Octets of everything that is made."""
        return sum(len(self.sign(content)) for content in contents.signed) + sum(
            len(self.seal(content)) for content in contents.sealed
        )


def run(settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """The results: our purchase and the same flow with joserfc and jwcrypto, then the algorithms of 1997, raw."""
    return [*measure(_cases(), settings, progress), *measure(_cases_1997(), settings, progress)]


def _cases() -> list[Case]:
    shop, raw = Shop("p256"), Raw("p256")
    raw.check()
    for _ in range(3):
        shop.check()
    contents = _contents(shop)
    check(len(contents.signed) == 5 and len(contents.sealed) == 3, "five contents signed and three sealed")
    order = shop.order()
    recorder = record(partial(shop.buy, order))
    octets = shop.octets
    ours, floor, flow_floor = "purchase.p256", "floor.purchase.p256", "floor.peer.purchase"
    cases = [
        Case(ours, shop.buy, prepare=shop.order, floor=floor, bytes=octets),
        Case(floor, replay(raw, recorder), floor=floor),
        Case(flow_floor, _flow_floor(raw, contents), floor=flow_floor),
    ]
    for name, library in (("joserfc", _joserfc()), ("jwcrypto", _jwcrypto()), ("cms", _cms(shop.market))):
        _check(library, contents, name)
        run_it = partial(library.flow, contents)
        size = library.octets(contents)
        cases.append(Case(f"peer.{name}.purchase", run_it, floor=flow_floor, rival=ours, bytes=size))
    return cases


def _contents(shop: Shop) -> Contents:
    """What a purchase signs and seals, looked at from outside."""
    seen: dict[Any, list[bytes]] = {signed.Signer.sign.__code__: [], sealed.seal.__code__: []}

    def look(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code in seen:
            seen[frame.f_code].append(frame.f_locals["content"])

    order = shop.order()
    sys.setprofile(look)
    try:
        shop.buy(order)
    finally:
        sys.setprofile(None)
    signings, seals = seen.values()
    return Contents(tuple(signings), tuple(sorted(seals, key=len)[-3:]))


def _flow_floor(raw: Raw, contents: Contents) -> Run:
    """The raw operations of the flow itself."""
    runs = [raw.operation("sign", len(content)) for content in contents.signed]
    runs += [raw.operation("verify", len(contents.signed[index])) for index in VERIFICATIONS]
    for content in contents.sealed:
        runs += [raw.operation(kind) for kind in ("generate", "agree", "x963", "load", "agree", "x963")]
        runs += [raw.operation(kind, len(content)) for kind in ("encrypt", "decrypt")]

    def bare() -> None:
        for operation in runs:
            operation()

    return bare


def _check(library: Library, contents: Contents, name: str) -> None:
    verified, opened = library.flow(contents)
    check(
        verified == [contents.signed[index] for index in VERIFICATIONS] and opened == list(contents.sealed),
        f"what {name} signs and seals comes back",
    )


def _cms(market: Market) -> Library:
    signer, certify = market.cardholder.credentials.signer, market.merchant.certify(Role.cardholder)
    key = market.gateway.exchange_key()
    gateway = market.gateway.credentials
    certificate = market.merchant.validated(key.certificate, CertificateKind.GATEWAY_EXCHANGE, gateway.chain)
    certify(signer.certificate, market.cardholder.credentials.chain)
    return Library(
        sign=lambda content: signer.sign(content, ID_DATA),
        verify=lambda made: signed.verify(made, content_type=ID_DATA, certify=certify).content,
        seal=lambda content: sealed.seal(content, sealed.Recipient(certificate), context=b""),
        open=lambda made: sealed.unseal(made, key, context=b"").content,
    )


def _joserfc() -> Library:
    signing, sealing = (joserfc.jwk.ECKey.generate_key("P-256", private=True) for _ in range(2))
    algorithms = {"alg": "ECDH-ES", "enc": "A256GCM"}

    def opened(token: str) -> bytes:
        content = joserfc.jwe.decrypt_compact(token, sealing).plaintext
        check(content is not None, "joserfc opens")
        return content or b""

    return Library(
        sign=lambda content: joserfc.jws.serialize_compact({"alg": "ES256"}, content, signing),
        verify=lambda token: joserfc.jws.deserialize_compact(token, signing).payload,
        seal=lambda content: joserfc.jwe.encrypt_compact(algorithms, content, sealing),
        open=opened,
    )


def _jwcrypto() -> Library:
    signing, sealing = (jwcrypto.jwk.JWK.generate(kty="EC", crv="P-256") for _ in range(2))
    es256, ecdh = json.dumps({"alg": "ES256"}), json.dumps({"alg": "ECDH-ES", "enc": "A256GCM"})

    def sign(content: bytes) -> str:
        token = jwcrypto.jws.JWS(content)
        token.add_signature(signing, None, es256)
        made: str = token.serialize(compact=True)
        return made

    def verify(token: str) -> bytes:
        read = jwcrypto.jws.JWS()
        read.deserialize(token, signing)
        content: bytes = read.payload
        return content

    def seal(content: bytes) -> str:
        made: str = jwcrypto.jwe.JWE(content, protected=ecdh, recipient=sealing).serialize(compact=True)
        return made

    def opened(token: str) -> bytes:
        read = jwcrypto.jwe.JWE()
        read.deserialize(token, key=sealing)
        content: bytes = read.payload
        return content

    return Library(sign, verify, seal, opened)


# --- 1997 ---------------------------------------------------------------------------------------


def _cases_1997() -> list[Case]:
    """RSA-1024 with SHA-1, and 3DES, beside p256; what this build of cryptography refuses is left out."""
    raw = Raw("p256")
    operations: dict[str, Run] = {
        f"raw.{kind}.p256": raw.operation(kind, UNIT) for kind in ("sign", "verify", "encrypt")
    }
    for kind, make in _of_1997():
        try:
            made = make()
            made()
        except (UnsupportedAlgorithm, ValueError):
            continue
        operations[f"raw.{kind}"] = made
    return [Case(name, made, floor=name) for name, made in operations.items()]


def _of_1997() -> Iterator[tuple[str, Callable[[], Run]]]:
    key = rsa.generate_private_key(65537, 1024)
    public, data, v15, sha1 = key.public_key(), os.urandom(UNIT), padding.PKCS1v15(), hashes.SHA1()
    oaep = padding.OAEP(padding.MGF1(sha1), sha1, None)

    def digest() -> bytes:
        hashing = hashes.Hash(sha1)
        hashing.update(data)
        return hashing.finalize()

    def encrypt() -> bytes:
        encryptor = Cipher(TripleDES(bytes(range(24))), modes.CBC(bytes(8))).encryptor()
        return encryptor.update(data) + encryptor.finalize()

    yield "sign.rsa1024_sha1", lambda: partial(key.sign, data, v15, sha1)
    yield "verify.rsa1024_sha1", lambda: partial(public.verify, key.sign(data, v15, sha1), data, v15, sha1)
    yield "transport.rsa1024", lambda: partial(public.encrypt, bytes(24), oaep)
    yield "untransport.rsa1024", lambda: partial(key.decrypt, public.encrypt(bytes(24), oaep), oaep)
    yield "digest.sha1", lambda: digest
    yield "encrypt.3des", lambda: encrypt
