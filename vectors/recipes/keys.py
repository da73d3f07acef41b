"""The fixed keys and certificates: made once (``python -m vectors.recipes.keys``), kept in ``vectors/keys``, read here.

For tests only: everybody knows these private keys.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import Authority, BrandTree, Credential, PathValidator, build_brand_tree, key_suite
from setproto.crypto.possession import private_key_from, private_key_octets
from setproto.crypto.signed import Signer
from setproto.crypto.suites import Suite, deterministic, suite

FOLDER: Final = Path(__file__).resolve().parent.parent / "keys"
SUITES: Final = ("p256", "rsa3072", "ed25519", "mldsa65")
NOW: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
BEGIN: Final = NOW - timedelta(days=1)
CAS: Final = ("root", "brandCA", "geoCA", "cardholderCA", "merchantCA", "gatewayCA")
BRAND: Final = "Marque"


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate (DER)."""

    key: Any
    certificate: bytes

    def keys(self) -> dict[str, str]:
        """As ``keys`` of a request."""
        return {"private_key": private_key_octets(self.key).hex(), "certificate": self.certificate.hex()}


@dataclass(frozen=True)
class World:
    """The hierarchy of one suite: root, brand CA, geo-political CA, three CAs, and the parties."""

    suite: str
    pairs: dict[str, Pair]
    loose: dict[str, Any]
    """Keys without a certificate: ``nextRoot``, ``stranger``, ``strangerExchange``."""
    crls: tuple[bytes, ...]
    """Of the CAs, in the order of CAS."""
    bci: bytes

    @property
    def signing(self) -> Suite:
        """The suite, with reproducible signatures where there are such."""
        return deterministic(suite(self.suite))

    def signer(self, name: str) -> Signer:
        """The signature key of a party."""
        return Signer(self.pairs[name].key, self.pairs[name].certificate, self.signing)

    def certificate(self, name: str) -> bytes:
        """A certificate in DER."""
        return self.pairs[name].certificate

    def trust(self, *, crls: bool = True) -> dict[str, Any]:
        """The root, all CAs, and (unless told otherwise) the current revocation data."""
        return {
            "roots": [self.certificate("root").hex()],
            "certificates": [self.certificate(name).hex() for name in CAS[1:]],
            "crls": [crl.hex() for crl in self.crls] if crls else [],
            "bcis": [self.bci.hex()] if crls else [],
        }

    @cached_property
    def tree(self) -> BrandTree:
        """The authorities, ready to issue; their registers are empty."""

        def authority(name: str, above: tuple[bytes, ...]) -> Authority:
            pair = self.pairs[name]
            certificate = x509.load_der_x509_certificate(pair.certificate)
            return Authority(certificate, pair.key, superior_chain=above)

        root, brand = authority("root", ()), authority("brandCA", ())
        geo = authority("geoCA", brand.chain)
        cca, mca, pca = (authority(name, geo.chain) for name in CAS[3:])
        return BrandTree(
            suite=key_suite(self.suite),
            now=BEGIN,
            brand=BRAND,
            country="XX",
            root=root,
            brand_ca=brand,
            geo=geo,
            cca=cca,
            mca=mca,
            pca=pca,
            next_root_key=self.loose["nextRoot"],
        )

    def validator(self) -> PathValidator:
        """One that trusts the root and has all the rest."""
        made = PathValidator([self.tree.root_certificate], suite=self.suite)
        made.add_intermediates(self.certificate(name) for name in CAS[1:])
        for crl in self.crls:
            made.add_crl(crl)
        made.add_bci(self.bci)
        return made


def make(name: str) -> dict[str, Any]:
    """New keys and certificates of a suite."""
    tree = build_brand_tree(name, now=BEGIN, brand=BRAND, geo=True)
    crls = tree.crls(BEGIN)
    cas = (tree.root, tree.brand_ca, tree.geo, tree.cca, tree.mca, tree.pca)
    pairs = {
        called: Pair(authority._key, authority.certificate.public_bytes(Encoding.DER))
        for called, authority in zip(CAS, cas, strict=True)
        if authority is not None
    }

    def put(called: str, issued: Credential) -> None:
        pairs[called] = Pair(issued.signature_key, issued.signature_certificate)
        if issued.exchange_certificate is not None:
            pairs[f"{called}Exchange"] = Pair(issued.exchange_key, issued.exchange_certificate)

    put("cardholder", tree.issue_cardholder(bytes(range(20))))
    put("otherCardholder", tree.issue_cardholder(bytes(range(20, 40))))
    put("merchant", tree.issue_merchant("shop-1", "Corner Bookshop", "411111"))
    put("gateway", tree.issue_gateway("gateway-1"))
    put("otherGateway", tree.issue_gateway("gateway-2"))
    put("cardholderCAMessages", tree.issue_ca_messages(tree.cca))
    keys = tree.suite
    loose = {
        "nextRoot": tree.next_root_key,
        "stranger": keys.generate_signature_key(),
        "strangerExchange": keys.generate_exchange_key(),
    }
    return {
        "suite": name,
        "about": "Test keys: published, and of no use but for tests.",
        "pairs": {called: pair.keys() for called, pair in pairs.items()},
        "loose": {called: private_key_octets(key).hex() for called, key in loose.items()},
        "crls": [crl.hex() for crl in crls],
        "bci": tree.bci(crls, BEGIN).hex(),
    }


@cache
def world(name: str) -> World:
    """What is kept of a suite."""
    read = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    pairs = {
        called: Pair(private_key_from(bytes.fromhex(pair["private_key"])), bytes.fromhex(pair["certificate"]))
        for called, pair in read["pairs"].items()
    }
    loose = {called: private_key_from(bytes.fromhex(key)) for called, key in read["loose"].items()}
    return World(name, pairs, loose, tuple(map(bytes.fromhex, read["crls"])), bytes.fromhex(read["bci"]))


if __name__ == "__main__":
    for wanted in SUITES:
        target = FOLDER / f"{wanted}.json"
        if not target.exists():  # what exists is fixed for ever
            target.write_text(json.dumps(make(wanted), indent=1) + "\n", encoding="utf-8")
