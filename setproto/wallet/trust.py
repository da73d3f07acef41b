"""Whom a wallet believes: the root of a brand and what was published under it; and where a shop's servers are.

``setproto up`` writes all that into a file ``shop.toml``.  Only the root has to be right: everything else is signed.
A card keeps the root under which it was registered, so that a file that was changed since cannot bring in another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from pydantic import BaseModel, ConfigDict

from pki import CertificateError, PathValidator
from setproto import settings
from setproto.errors import UsageError
from setproto.reading.pem import blocks_in

__all__ = ["Shop", "Trust", "read_shop"]


@dataclass(frozen=True)
class Trust:
    """A brand: its suite, its roots (DER), and CA certificates, CRLs and BrandCRLIdentifiers to begin with."""

    brand: str
    suite: str
    roots: tuple[bytes, ...]
    cas: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    bcis: tuple[bytes, ...] = ()

    def validator(self, pinned: Sequence[bytes] | None = None) -> PathValidator:
        """What decides about certificates.  Of the roots only those ``pinned``, if there are such.

        UsageError if none is left, or something here is not what it should be.
        """
        trusted = [der for der in self.roots if pinned is None or der in pinned]
        if not trusted:
            raise UsageError("this shop is certified under another root than the card: it is not trusted")
        try:
            roots = [x509.load_der_x509_certificate(der) for der in trusted]
            made = PathValidator(roots, suite=self.suite)
            made.add_intermediates(self.cas)
            for crl in self.crls:
                made.add_crl(crl)
            for bci in self.bcis:
                made.add_bci(bci)
        except (CertificateError, ValueError) as failure:
            raise UsageError(f"what the brand {self.brand} published cannot be used: {failure}") from None
        return made


@dataclass(frozen=True)
class Shop:
    """A shop as its file describes it: the URLs of its servers."""

    trust: Trust
    ca: str
    bank: str
    merchant: str


class _Loose(BaseModel):
    # A shop may say more than a wallet wants to know.
    model_config = ConfigDict(strict=True, frozen=True)


class _ShopTable(_Loose):
    brand: str
    suite: Literal["p256", "rsa3072", "ed25519", "mldsa65"] = "p256"
    root: str
    crls: str
    bcis: str


class _ServersTable(_Loose):
    ca: str
    bank: str
    merchant: str


class _File(_Loose):
    shop: _ShopTable
    servers: _ServersTable


def read_shop(path: Path) -> Shop:
    """The shop in a file.  UsageError if there is none, or it is not one; paths in it begin at its own place."""
    if not path.is_file():
        raise UsageError(f"there is no shop {path}: setproto up makes one, or name another with --shop")
    declared = settings.parse(_File, path.read_text(encoding="utf-8"), str(path))
    shop, place = declared.shop, path.parent
    cas = (place / shop.root).with_name("cas.pem")
    trust = Trust(
        shop.brand,
        shop.suite,
        tuple(blocks_in(place / shop.root)),
        tuple(blocks_in(cas)) if cas.exists() else (),
        tuple(blocks_in(place / shop.crls)),
        tuple(blocks_in(place / shop.bcis)),
    )
    return Shop(trust, declared.servers.ca, declared.servers.bank, declared.servers.merchant)
