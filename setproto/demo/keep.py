"""A demonstration as files, for whoever wants to look at it without this library.

Only ``gateway/`` holds the card number in clear: there, and nowhere else, it was ever in clear on this side of the
wallet.  What CHECK.sh compares the sealed objects with is therefore in the directory of whoever opened them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pki.keystore import dump_unencrypted_for_tests
from setproto.crypto.recipients import SharedKey
from setproto.demo.check import Chain, Check, Lies, Revoked, Sealed, Signed, Token, script
from setproto.demo.run import Demonstration
from setproto.demo.views import everyone, objects, token_keys
from setproto.errors import UsageError
from setproto.messages.common import Role
from setproto.reading import Found, Kind, Reader
from setproto.reading.cms import read_signed
from setproto.reading.pem import to_pem
from setproto.roles.endpoint import Endpoint


class KeepRefused(UsageError):
    """The directory is not one to write into."""


def prepare(directory: Path) -> Path:
    """Make the directory, or see that it is empty.  KeepRefused if it is not; OSError if it cannot be made."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise KeepRefused(f"{directory} is not an empty directory: nothing was written")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def keep(shown: Demonstration, directory: Path) -> None:
    """Write everything.  The directory must be empty."""
    _Keeper(shown, directory).write()


@dataclass
class _Keeper:
    shown: Demonstration
    directory: Path

    def write(self) -> None:
        for name, data in self.shown.merchant_holds.items():
            self._write(f"merchant/{name}", data)
        for name, data in self.shown.gateway_holds.items():
            self._write(f"gateway/{name}", data)
        self._authorities()
        checks: list[Check] = [*self._parties()]
        market = self.shown.market
        reader = Reader(everyone(market))
        for n, delivery in enumerate(self.shown.deliveries, 1):
            name, data = f"{n:02d}-{delivery.message.name}", delivery.message.data
            self._write(f"messages/{name}.der", data)
            checks.extend(self._objects(name, data, objects(data, reader)))
        text = script(market.suite, int(market.clock().timestamp()), self._authority_names(), checks)
        self._write("CHECK.sh", text.encode(), mode=0o755)

    def _write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        # Created with its final mode, so that there is no moment at which others could read a key.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)

    # --- certificates and keys --------------------------------------------------------------------

    def _authority_names(self) -> list[str]:
        tree = self.shown.market.tree
        names = {id(tree.root): "root", id(tree.brand_ca): "brand-ca", id(tree.geo): "geo-ca"}
        names |= {id(tree.cca): "cardholder-ca", id(tree.mca): "merchant-ca", id(tree.pca): "gateway-ca"}
        return [names[id(authority)] for authority in tree.authorities]

    def _authorities(self) -> None:
        tree = self.shown.market.tree
        certificates = [tree.root_der, *tree.ca_certificates]
        for name, certificate, crl in zip(self._authority_names(), certificates, self.shown.crls, strict=True):
            self._write(f"certs/{name}.pem", to_pem("CERTIFICATE", certificate))
            self._write(f"certs/{name}.crl.pem", to_pem("X509 CRL", crl))
        if self.shown.revocation:
            self._write("certs/merchant-ca.revoking.crl.pem", to_pem("X509 CRL", self.shown.revocation))

    def _parties(self) -> list[Check]:
        checks: list[Check] = []
        for role, party in self.shown.market.parties.items():
            for name, certificate, key in _pairs(role, party):
                self._write(f"certs/{name}.pem", to_pem("CERTIFICATE", certificate))
                self._write(f"keys/{name}.pem", key, mode=0o600)
                checks.append(Chain(name))
                if role is Role.merchant and self.shown.revocation:
                    checks.append(Revoked(name, "merchant-ca"))
        return checks

    # --- signed and sealed objects ----------------------------------------------------------------

    def _objects(self, message: str, data: bytes, found_in_it: list[Found]) -> list[Check]:
        """Every object in a message, with what is needed to check it; and where it lies."""
        checks: list[Check] = []
        places = {f"messages/{message}.der": data}
        for found in found_in_it:
            if found.kind is Kind.PLAIN:
                continue
            if found.content is None:
                raise ValueError(f"{found.name} in {message} does not open")
            name = f"{message}.{found.name}"
            path = f"{found.kind.value}/{name}.der"
            self._write(path, found.data)
            place = next(place for place, octets in places.items() if found.data in octets)
            checks.append(Lies(path, place, places[place].index(found.data), len(found.data)))
            if found.kind is Kind.SIGNED:
                checks.append(self._signed(name, found))
            else:
                opened, check = self._sealed(name, found)
                places[opened] = found.content
                checks.append(check)
        return checks

    def _signed(self, name: str, found: Found) -> Signed:
        """The signed octets; and attributes and signature apart, for an openssl that cannot take CMS apart."""
        read = read_signed(found.data)
        if read is None or found.content is None:
            raise ValueError(f"{name} is not signed")
        self._write(f"signed/{name}.content", found.content)
        self._write(f"signed/{name}.attributes", read.attributes)
        self._write(f"signed/{name}.signature", read.signature)
        signer = next(
            certificate_name
            for role, party in self.shown.market.parties.items()
            for certificate_name, certificate, _ in _pairs(role, party)
            if certificate == found.certificate
        )
        self._write(f"signed/{name}.signer", f"certs/{signer}.pem\n".encode())
        return Signed(name, signer, found.detached)

    def _sealed(self, name: str, found: Found) -> tuple[str, Check]:
        market = self.shown.market
        self._write(f"sealed/{name}.context", found.context)
        token = next((key for key in token_keys(market) if key.identifier == found.party), None)
        if token is not None:
            opened = self._opened(Role.gateway, found)
            derived = SharedKey.derive(token.private_key, found.context).hex()
            self._write(f"keys/{name}.hex", f"{derived}\n".encode(), mode=0o600)
            self._write(f"sealed/{name}.recipient", f"keys/{name}.hex\n".encode())
            return opened, Token(name, token.identifier.hex(), opened)
        role, recipient = next(
            (role, party)
            for role, party in market.parties.items()
            if role is not Role.cardholder and party.exchange_key().identifier == found.party
        )
        opened = self._opened(role, found)
        self._write(f"sealed/{name}.recipient", f"certs/{role.name}-exchange.pem {recipient.party}\n".encode())
        return opened, Sealed(name, f"{role.name}-exchange", opened)

    def _opened(self, role: Role, found: Found) -> str:
        """Where its recipient holds what was sealed; the gateway gets the objects of a PReq in an AuthReq."""
        held = self.shown.gateway_holds if role is Role.gateway else self.shown.merchant_holds
        return f"{role.name}/{next(name for name, data in held.items() if data == found.content)}"


def _pairs(role: Role, party: Endpoint) -> list[tuple[str, bytes, bytes]]:
    """(name, certificate, key in PEM) of each pair of a party."""
    mine = party.credentials
    key = dump_unencrypted_for_tests(mine.signer.private_key)
    pairs = [(f"{role.name}-signature", mine.signer.certificate, key)]
    if mine.exchange is not None:
        key = dump_unencrypted_for_tests(mine.exchange.private_key)
        pairs.append((f"{role.name}-exchange", mine.exchange.certificate, key))
    return pairs
