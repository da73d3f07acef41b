"""A merchant in a process of its own, so that all of the process's memory can be searched.

``python -m tests.secrecy.merchant_process``: pickled requests on standard input, pickled answers on standard output.
The first request is what a merchant is set up with; nothing else that the test knows gets into this process.
"""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from pki import Credential, PathValidator
from setproto.amounts import CurrencyAmount
from setproto.market import Clock, credentials
from setproto.messages.common import PartyID, Role
from setproto.roles.merchant import Merchant
from setproto.roles.ports import Outgoing
from setproto.store import MemoryStore


@dataclass(frozen=True)
class Setup:
    """Everything that a merchant needs, in octets."""

    suite: str
    brand: str
    name: str
    now: datetime
    signature_key: bytes
    signature_certificate: bytes
    exchange_key: bytes
    exchange_certificate: bytes
    chain: tuple[bytes, ...]
    root: bytes
    authorities: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    bci: bytes
    cert_pe: bytes
    held: tuple[bytes, ...]


def merchant(setup: Setup) -> Merchant:
    """As a shop would set it up."""
    validator = PathValidator([x509.load_der_x509_certificate(setup.root)], suite=setup.suite)
    for certificate in setup.authorities:
        validator.add_certificate(certificate)
    for crl in setup.crls:
        validator.add_crl(crl)
    validator.add_bci(setup.bci)
    issued = Credential(
        signature_key=load_der_private_key(setup.signature_key, None),  # type: ignore[arg-type]
        signature_certificate=setup.signature_certificate,
        exchange_key=load_der_private_key(setup.exchange_key, None),  # type: ignore[arg-type]
        exchange_certificate=setup.exchange_certificate,
        chain=setup.chain,
    )
    party = PartyID(role=Role.merchant, brand=setup.brand, name=setup.name)
    return Merchant(
        credentials(issued, party, setup.suite),
        validator,
        MemoryStore(),
        cert_pe=setup.cert_pe,
        clock=Clock(setup.now),
        random=os.urandom,
        held=setup.held,
    )


def main() -> None:
    """Serve until standard input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer

    def answer(value: Any) -> None:
        pickle.dump(value, answers)
        answers.flush()

    shop = merchant(Setup(**pickle.load(requests)))
    answer(None)
    while True:
        try:
            name, *arguments = pickle.load(requests)
        except EOFError:
            return
        if name == "order":
            lid_m, description, amount, first, sale = arguments
            shop.add_order(
                lid_m,
                description,
                CurrencyAmount.of(amount),
                first_amount=None if first is None else CurrencyAmount.of(first),
                capture_now=sale,
            )
            answer(None)
        elif name == "handle":
            reply = shop.handle(*arguments)
            answer([told(out) for out in reply.outgoing])
        elif name == "ask":  # one of the requests to the gateway
            method, xid, amount, how = arguments
            amounts = () if amount is None else (CurrencyAmount.of(amount),)
            answer([told(getattr(shop, method)(xid, *amounts, **how))])


def told(out: Outgoing) -> tuple[int | None, str, bytes]:
    """A message, in plain values."""
    return None if out.to is None else int(out.to), out.name, out.data


if __name__ == "__main__":
    main()
