"""The raw operations of each suite: ``cryptography`` called directly, with nothing around it."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from benchmarks import BenchmarkError
from benchmarks.measure import check, refused
from pki import key_suite

Run = Callable[[], object]

_ECDSA = ec.ECDSA(hashes.SHA256())
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_SIGNING: Final[dict[str, tuple[Any, ...]]] = {
    "p256": (_ECDSA,),
    "rsa3072": (_PSS, hashes.SHA256()),
    "ed25519": (),
    "mldsa65": (),
}
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_POINT = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
UNIT: Final = 512
"""Octets on which an operation is timed by itself: about an order."""
_INFO: Final = bytes(48)
"""About as long as what goes into the key derivation beside the secret."""


class Raw:
    """The operations of one suite, by kind, each under a key of its own."""

    def __init__(self, suite: str) -> None:
        """UnknownSuiteError if there is no such suite."""
        self.suite = suite
        self.key = key_suite(suite).generate_signature_key()
        self._key: Any = self.key

    @cached_property
    def _exchange(self) -> Any:
        return key_suite(self.suite).generate_exchange_key()

    def signature(self, data: bytes) -> bytes:
        """One signature."""
        signed: bytes = self._key.sign(data, *_SIGNING[self.suite])
        return signed

    def operation(self, kind: str, size: int = 0) -> Run:
        """The operation of this kind on so many octets, ready to be called again and again.

        BenchmarkError if the suite has none of this kind.
        """
        make = getattr(self, f"_{kind}", None)
        if make is None:
            raise BenchmarkError(f"no raw operation is called {kind!r}")
        made: Run = make(os.urandom(size))
        return made

    def check(self) -> None:
        """Signatures verify, and those over something else do not.  BenchmarkError otherwise."""
        data = b"what is signed"
        signature = self.signature(data)
        public: Any = self.key.public_key()
        public.verify(signature, data, *_SIGNING[self.suite])
        with refused(InvalidSignature, f"a raw {self.suite} signature over other data"):
            public.verify(signature, data + b"!", *_SIGNING[self.suite])
        for make, undo in (("encrypt", "decrypt"), ("wrap", "unwrap"), *self._pairs()):
            self.operation(make, 32)()
            check(self.operation(undo, 32)(), f"raw {undo}")

    def _pairs(self) -> Iterator[tuple[str, str]]:
        yield from {"rsa3072": [("transport", "untransport")], "mldsa65": [("encapsulate", "decapsulate")]}.get(
            self.suite, []
        )

    # --- signatures -------------------------------------------------------------------------------

    def _sign(self, data: bytes) -> Run:
        return partial(self._key.sign, data, *_SIGNING[self.suite])

    def _verify(self, data: bytes) -> Run:
        return partial(self._key.public_key().verify, self.signature(data), data, *_SIGNING[self.suite])

    # --- keys for the content key -----------------------------------------------------------------

    def _generate(self, data: bytes) -> Run:
        if self.suite == "p256":
            return partial(ec.generate_private_key, ec.SECP256R1())
        return x25519.X25519PrivateKey.generate

    def _load(self, data: bytes) -> Run:
        public = self._exchange.public_key()
        if self.suite == "p256":
            return partial(ec.EllipticCurvePublicKey.from_encoded_point, ec.SECP256R1(), public.public_bytes(*_POINT))
        return partial(x25519.X25519PublicKey.from_public_bytes, public.public_bytes(*_RAW))

    def _agree(self, data: bytes) -> Run:
        peer = key_suite(self.suite).generate_exchange_key().public_key()
        return partial(self._exchange.exchange, *((ec.ECDH(),) if self.suite == "p256" else ()), peer)

    def _encapsulate(self, data: bytes) -> Run:
        run: Run = self._exchange.public_key().encapsulate
        return run

    def _decapsulate(self, data: bytes) -> Run:
        return partial(self._exchange.decapsulate, self._exchange.public_key().encapsulate()[1])

    def _transport(self, data: bytes) -> Run:
        return partial(self._exchange.public_key().encrypt, bytes(32), _oaep())

    def _untransport(self, data: bytes) -> Run:
        return partial(self._exchange.decrypt, self._exchange.public_key().encrypt(bytes(32), _oaep()), _oaep())

    def _x963(self, data: bytes) -> Run:
        return lambda: X963KDF(algorithm=hashes.SHA256(), length=32, sharedinfo=_INFO).derive(bytes(32))

    def _hkdf(self, data: bytes) -> Run:
        return lambda: HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO).derive(bytes(32))

    # --- symmetric --------------------------------------------------------------------------------

    def _wrap(self, data: bytes) -> Run:
        return partial(aes_key_wrap, bytes(32), bytes(32))

    def _unwrap(self, data: bytes) -> Run:
        return partial(aes_key_unwrap, bytes(32), aes_key_wrap(bytes(32), bytes(32)))

    def _encrypt(self, data: bytes) -> Run:
        return lambda: AESGCM(bytes(32)).encrypt(bytes(12), data, None)

    def _decrypt(self, data: bytes) -> Run:
        sealed = AESGCM(bytes(32)).encrypt(bytes(12), data, None)
        return lambda: AESGCM(bytes(32)).decrypt(bytes(12), sealed, None)

    def _hmac(self, data: bytes) -> Run:
        return partial(hmac.digest, bytes(32), data, "sha256")


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), bytes(32))
