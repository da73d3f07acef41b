"""A wallet for tests: the roles Applicant and Cardholder over the wire, with nothing kept on disk."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pki import CertificateKind
from setproto.amounts import CurrencyAmount
from setproto.card import PAN, Card, CardExpiry
from setproto.client import PAYMENT, REGISTRATION, HTTPTransport
from setproto.crypto.cms import SecretKey
from setproto.messages.codes import RequestType
from setproto.messages.receipt import Receipt, verify_receipt
from setproto.roles.applicant import Applicant
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.endpoint import Party
from setproto.roles.ports import Event, EventKind, Outgoing
from setproto.server import public
from setproto.store import MemoryStore

ADA = ("4111111111111111", "Ada Lovelace")
OTHER = ("5555555555554444", "Ada Lovelace")
PENNILESS = ("4000000000000002", "Ada Lovelace")
FORM = {"items": [{"id": "notebook", "quantity": 2}], "recipient": "Grace Hopper", "deliver_to": "1 Main Street"}


def now() -> datetime:
    return datetime.now(UTC)


class Refused(Exception):
    """The CA did not certify, or the merchant refused a message."""


@dataclass
class Bought:
    """What a buyer knows of one purchase."""

    lid_c: bytes
    lid_m: bytes
    xid: bytes
    results: list[Event] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        code = self.results[-1].code if self.results else None
        return "" if code is None else code.name


class Buyer:
    """Somebody with a card, at one shop."""

    def __init__(
        self, merchant: str, ca: str, directory: Path, card: tuple[str, str] = ADA, suite: str = "p256"
    ) -> None:
        self.merchant = HTTPTransport(merchant)
        self._ca = HTTPTransport(ca)
        self.validator = public.validator(directory, suite)
        self.card = card
        self.cardholder: Cardholder | None = None

    def __enter__(self) -> Buyer:
        return self

    def __exit__(self, *_: object) -> None:
        self.merchant.close()
        self._ca.close()

    def register(self) -> None:
        pan, name = self.card
        applicant = Applicant(
            Card("Marque", PAN(pan), CardExpiry("203012")),
            RequestType.cardInitialSig,
            self.validator,
            MemoryStore(),
            brand="Marque",
            lid_ee=os.urandom(8),
            vault=SecretKey(os.urandom(32), b"test"),
            clock=now,
            random=os.urandom,
        )
        self._talk(self._ca, REGISTRATION, applicant, applicant.start())
        said = self._talk(self._ca, REGISTRATION, applicant, applicant.apply({"Name": name}))
        codes = [event.code.name for event in said if event.kind is EventKind.CERTIFICATION and event.code is not None]
        if codes != ["requestComplete"]:
            raise Refused(codes)
        done = applicant.certified()
        assert done.card_secret is not None
        assert done.pan_secret is not None
        card = PaymentCard(Card("Marque", PAN(pan), CardExpiry("203012")), done.card_secret, done.pan_secret)
        self.cardholder = Cardholder(
            done.credentials, card, self.validator, MemoryStore(), clock=now, random=os.urandom
        )

    @property
    def role(self) -> Cardholder:
        assert self.cardholder is not None
        return self.cardholder

    def order(self, form: dict[str, Any] | None = None) -> Order:
        answer = self.merchant.json("POST", "/orders", FORM if form is None else form)
        description = base64.b64decode(answer["description"])
        assert json.loads(description)["total"] == answer["amount"]
        return Order(bytes.fromhex(answer["order"]), description, CurrencyAmount.of(answer["amount"]))

    def start(self, order: Order) -> Bought:
        lid_c, pinit_req = self.role.start(order)
        self._talk(self.merchant, PAYMENT, self.role, pinit_req)
        shop = self.role.purchase(lid_c).shop
        assert shop is not None
        return Bought(lid_c, order.lid_m, shop.trans_ids.xid)

    def pay(self, bought: Bought) -> str:
        return self._results(bought, self.role.pay(bought.lid_c))

    def inquire(self, bought: Bought) -> str:
        return self._results(bought, self.role.inquire(bought.lid_c))

    def buy(self, form: dict[str, Any] | None = None) -> Bought:
        bought = self.start(self.order(form))
        self.pay(bought)
        return bought

    def receipt(self, bought: Bought) -> Receipt | None:
        path = f"/orders/{bought.lid_m.hex()}/receipt?xid={bought.xid.hex()}"
        status, kind, data = self.merchant.request("GET", path)
        if status == 404:
            return None
        assert (status, kind) == (200, "application/cms")

        def certify(certificate: bytes, others: Any) -> Any:
            return self.validator.validate(
                certificate, kind=CertificateKind.MERCHANT_SIGNATURE, brand="Marque", at=now(), extra=others
            )

        return verify_receipt(data, certify).receipt

    def _results(self, bought: Bought, message: Outgoing) -> str:
        said = self._talk(self.merchant, PAYMENT, self.role, message)
        bought.results += [event for event in said if event.kind is EventKind.RESULT]
        return bought.outcome

    @staticmethod
    def _talk(server: HTTPTransport, media_type: str, role: Party, message: Outgoing) -> list[Event]:
        """Send a message, and whatever comes of the answer, until there is nothing to send."""
        events: list[Event] = []
        waiting = [message]
        while waiting:
            reply = role.handle(server.post(waiting.pop(0).data, media_type))
            events += reply.events
            waiting += reply.outgoing
        refused = [event for event in events if event.kind in (EventKind.REFUSED, EventKind.ERROR_RECEIVED)]
        if refused:
            raise Refused(refused)
        return events
