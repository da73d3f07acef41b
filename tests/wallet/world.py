"""A street for wallets: a bank's CA, a bookshop with its gateway, and the wires, all in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pki.der import decode
from setproto.amounts import CurrencyAmount
from setproto.bank import Account
from setproto.card import PAN, Card, CardExpiry
from setproto.crypto.locked import Cost
from setproto.errors import Unreachable
from setproto.market import Market
from setproto.messages import receipt as receipts
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role
from setproto.messages.wrapper import unwrap
from setproto.roles.authority.ports import CardApplication
from setproto.roles.merchant import records
from setproto.roles.merchant.records import PurchaseRecord
from setproto.roles.ports import Outgoing
from setproto.shop import books, catalogue, orders
from setproto.shop.orders import OrderForm, Wanted
from setproto.wallet.items import CardItem, Wallet
from setproto.wallet.paying import Till
from setproto.wallet.registering import register
from setproto.wallet.trust import Trust
from setproto.wallet.vault import Passphrase, Vault
from tests.registration.office import BRAND, Office

QUICK = Cost(memory=8, passes=1, lanes=1)
"""Of tests only: a guess costs nothing."""
PASSPHRASE = Passphrase("correct horse battery staple")
SHOP = "http://shop.example"
FULL, EMPTY, THIRD = "4111111111111111", "5555555555554444", "378282246310005"
"""Published test numbers."""
ANSWERS = {"Name": "Ada Lovelace", "Password": "sesame"}


def create(path: Path, passphrase: Passphrase = PASSPHRASE, **how: Any) -> Vault:
    return Vault.create(path, passphrase, **{"cost": QUICK, "least": QUICK, **how})


def reopen(path: Path, passphrase: Passphrase = PASSPHRASE, **how: Any) -> Vault:
    return Vault.open(path, passphrase, **{"least": QUICK, **how})


def card(pan: str = FULL) -> Card:
    return Card(BRAND, PAN(pan), CardExpiry("203012"))


def form(*items: str, **changes: Any) -> OrderForm:
    items = items or ("atlas",)
    wanted = [Wanted(id=item, quantity=items.count(item)) for item in dict.fromkeys(items)]
    filled = {"items": wanted, "recipient": "Ada Lovelace", "deliver_to": "12 St James's Square, London"}
    return OrderForm(**{**filled, **changes})


@dataclass
class CAWire:
    """The way to the CA of the cards."""

    office: Office
    wire: list[bytes] = field(default_factory=list)
    down: bool = False
    """Messages arrive, answers do not."""

    def close(self) -> None:
        """Nothing to let go of."""

    def post(self, data: bytes, media_type: str) -> bytes:
        assert media_type == "application/set-registration"
        self.wire.append(data)
        if self.down:
            raise Unreachable("no answer")
        (answer,) = self.office.cas[Role.cardholder].handle(data).outgoing
        return answer.data


@dataclass
class Server:
    """The merchant's server, as far as a wallet sees it."""

    market: Market
    wire: list[bytes] = field(default_factory=list)
    """All that wallets have sent."""
    lose: Callable[[str], str | None] = lambda name: None
    """Name of a message → whether it gets lost on its way there ("there"), or its answer does ("back")."""
    tamper: Callable[[Any], Any] = lambda answer: answer
    """What is done to the answers of the shop."""

    def post(self, data: bytes, media_type: str) -> bytes:
        assert media_type == "application/set-payment"
        name = getattr(unwrap(data).type, "name", "Error")
        lost = self.lose(name)
        if lost == "there":
            raise Unreachable("lost on its way")
        self.wire.append(data)
        answers: list[Outgoing] = []
        waiting = [(Role.merchant, Outgoing(Role.merchant, name, data), Role.cardholder)]
        while waiting:
            to, message, sender = waiting.pop(0)
            if to is Role.cardholder:
                answers.append(message)
                continue
            reply = self.market.parties[to].handle(message.data)
            waiting += [(sender if answer.to is None else answer.to, answer, to) for answer in reply.outgoing]
        if lost == "back" or not answers:
            raise Unreachable("no answer")
        return answers[-1].data

    def json(self, method: str, path: str, sent: object = None) -> Any:
        shop = catalogue.parse(catalogue.EXAMPLE, "example")
        if (method, path) == ("GET", "/merchant"):
            return {"name": "Corner Bookshop", "currency": "EUR", "brands": [BRAND]}
        if (method, path) == ("GET", "/catalogue"):
            return {"items": [item.model_dump(mode="json") for item in shop.item]}
        assert (method, path) == ("POST", "/orders")
        form = orders.read_form(json.dumps(sent).encode())
        today = self.market.clock().date()
        quote = orders.quote(shop, "Corner Bookshop", form, today)
        order = self.market.order(str(quote.amount), quote.description)
        described = base64.b64encode(quote.description).decode()
        return self.tamper({"order": order.lid_m.hex(), "description": described, "amount": str(quote.amount)})

    def close(self) -> None:
        """Nothing to let go of."""

    def request(self, method: str, path: str) -> tuple[int, str, bytes]:
        merchant = self.market.merchant
        xid = bytes.fromhex(path.partition("?xid=")[2])
        if "/answer?" in path:
            if self.lose("answer"):
                raise Unreachable("no answer")
            told = merchant.told(xid)
            return (404, "application/json", b"{}") if told is None else (200, "application/set-payment", told.data)
        record = merchant.purchase(xid)
        with merchant.store.transaction() as transaction:
            gateway = merchant.gateway_id(transaction)
            made = books.receipt(transaction, record, merchant.party, gateway, self.market.clock())
        if made is None:
            return 404, "application/json", b"{}"
        own = merchant.credentials
        return 200, receipts.MEDIA_TYPE, self.tamper(receipts.sign(made, own.signer, own.own_certificates))


@dataclass
class Street:
    """Everybody."""

    office: Office
    market: Market
    server: Server
    ca: CAWire
    trust: Trust
    accounts: list[Account] = field(default_factory=list)

    @classmethod
    def open(cls) -> Street:
        office = Office.open()
        market = Market.within(office.tree, office.clock, pan=THIRD)
        made = office.tree.validator(office.clock())
        held = made.revocation(BRAND)
        assert held.bci is not None
        trust = Trust(BRAND, "p256", made.roots, made.known, tuple(held.crls), (held.bci,))
        return cls(office, market, Server(market), CAWire(office), trust)

    def wallet(self, vault: Vault) -> Wallet:
        return Wallet(vault, clock=self.office.clock)

    def till(self, wallet: Wallet) -> Till:
        return Till(wallet, self.trust, self.server, SHOP)

    def registered(self, wallet: Wallet, label: str, pan: str, balance: str) -> CardItem:
        """A card in the wallet, with a certificate, and an account behind it."""
        wallet.add_card(label, card(pan))
        register(wallet, label, self.trust, self.ca, lambda form: ANSWERS)
        asked = self.office.bank.asked[-1]
        assert isinstance(asked, CardApplication)
        account = Account(PAN(pan), CardExpiry("203012"), asked.card_secret, CurrencyAmount.of(balance))
        self.accounts.append(account)
        self.market.issuer.add(account)
        return wallet.card(label)

    def paid(self) -> list[bytes]:
        """The orders for which the bank holds money, each as often as it does."""
        with self.market.merchant.store.transaction() as transaction:
            every = [decode(PurchaseRecord, stored) for _, stored in transaction.items(records.PURCHASES)]
        paid = [one for one in every if any(auth.code is AuthCode.approved for auth in one.authorizations)]
        held = [value for account in self.accounts for value in account.held.values() if value]
        assert len(held) == len(paid), "merchant and bank agree"
        return [one.trans_ids.lid_m for one in paid]
