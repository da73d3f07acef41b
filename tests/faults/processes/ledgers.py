"""Do wallets, merchant, gateway and bank agree to the cent?  Read from what each of them has stored, by itself.

``Ledgers.read`` reads them; ``waiting`` says what is not at rest, ``faults`` what is wrong with what is at rest.  Every
amount is in cents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pki.der import decode
from setproto.amounts import CurrencyAmount
from setproto.bank import records as on_line
from setproto.bank.bank import Bank
from setproto.bank.tables import ACCOUNTS, CARDS, JOURNALS, PAYMENTS, POSTINGS
from setproto.messages.receipt import Receipt
from setproto.roles import cardholder
from setproto.roles.gateway import outbox
from setproto.roles.gateway import records as at_gateway
from setproto.roles.merchant import records as at_merchant
from setproto.roles.operations import LIVE
from setproto.server.config import GatewayConfig, MerchantConfig, load
from setproto.server.stores import open_store
from setproto.wallet.items import Wallet
from setproto.wallet.paying import ORDERS, RECEIPTS, Kept, OrderItem, Standing, attempted
from setproto.wallet.vault import Vault
from tests.faults.processes.shopper import PASSPHRASE
from tests.server.buyer import now
from tests.server.parts import Parts

Dump = dict[tuple[str, bytes], bytes]


@dataclass(frozen=True)
class Money:
    """What stands of a purchase: authorised, taken of that, given back of that."""

    authorized: int = 0
    captured: int = 0
    credited: int = 0

    @property
    def standing(self) -> Standing | None:
        """What a wallet must know that has asked; None: that nothing has moved."""
        if self.credited:
            return Standing.CREDITED
        if self.captured:
            return Standing.CAPTURED
        return Standing.PAID if self.authorized else None


NOTHING = Money()


@dataclass(frozen=True)
class Paid:
    """What a wallet knows of one attempt to pay."""

    lid_m: bytes
    standing: Standing
    due: int
    receipt: Money | None


@dataclass
class Ledgers:
    """Each party's own word, XID → money."""

    wallets: dict[bytes, Paid]
    ordered: dict[bytes, int]
    """LID-M → what the order costs, by the wallets."""
    merchant: dict[bytes, Money]
    gateway: dict[bytes, Money]
    bank: dict[bytes, Money]
    waiting: list[str]
    """What is not at rest."""
    wrong: list[str]
    """What the bank alone shows to be wrong."""

    @classmethod
    def read(cls, shop: Parts, wallets: Iterable[Path]) -> Ledgers:
        """Everything as it is now.  The wallets must be closed; servers may run."""
        config = load(MerchantConfig, shop.config("merchant"))
        merchant = _dump(config.database, "merchant")
        gateway_config = load(GatewayConfig, shop.config("gateway"))
        gateway = _dump(gateway_config.database, "gateway")
        bought = [decode(at_merchant.PurchaseRecord, value) for value in _table(merchant, at_merchant.PURCHASES)]
        waiting = [f"merchant: {record.trans_ids.xid.hex()}" for record in bought if record.outstanding is not None]
        waiting += [f"gateway: {place.hex()}" for place in _table(gateway, outbox.OUTBOX) if len(place) > 8]
        with closing(open_store(gateway_config.link_database, "link")) as store, store.transaction() as transaction:
            wrong = [f"for a person: {line}" for line in on_line.left_to_a_person(transaction)]
            waiting += [f"link: a reversal, {place}" for place, _ in on_line.queued(transaction)]
        with shop.bank() as opened:
            wrong += opened.audit()
            bank, more = _of_bank(opened)
        paid: dict[bytes, Paid] = {}
        ordered: dict[bytes, int] = {}
        for path in wallets:
            with Vault.open(path, PASSPHRASE) as vault:
                _of_wallet(Wallet(vault, clock=now), paid, ordered)
        waiting += [f"wallet: {xid.hex()}" for xid, one in paid.items() if one.standing is Standing.PENDING]
        return cls(
            paid,
            ordered,
            {record.trans_ids.xid: _stands(record.authorizations) for record in bought},
            {record.trans_ids.xid: _stands(record.authorizations) for record in _purchases(gateway)},
            bank,
            waiting,
            wrong + more,
        )

    def faults(self) -> list[str]:
        """Whatever does not agree; nothing if all is well."""
        found = list(self.wrong)
        for xid in {*self.wallets, *self.merchant, *self.gateway, *self.bank}:
            said = [one.get(xid, NOTHING) for one in (self.merchant, self.gateway, self.bank)]
            if len(set(said)) > 1:
                found.append(f"{xid.hex()}: merchant, gateway and bank say {said}")
            wallet = self.wallets.get(xid)
            if wallet is None:
                if said[2] != NOTHING:
                    found.append(f"{xid.hex()}: {said[2]}, and no wallet knows")
                continue
            if (wallet.standing if wallet.standing.is_paid else None) is not said[2].standing:
                found.append(f"{xid.hex()}: the wallet says {wallet.standing}, the bank {said[2]}")
            if wallet.standing.is_paid and (wallet.receipt != said[2] or wallet.due != said[2].authorized):
                found.append(f"{xid.hex()}: {wallet.due} due, the receipt {wallet.receipt}, the bank {said[2]}")
        for lid_m in self.ordered:
            paid = [one for one in self.wallets.values() if one.lid_m == lid_m and one.standing.is_paid]
            if len(paid) > 1:
                found.append(f"order {lid_m.hex()} was paid {len(paid)} times")
        return found

    def paid(self) -> list[Money]:
        """What was paid for, by the bank."""
        return [money for money in self.bank.values() if money != NOTHING]


def _dump(database: str, space: str) -> Dump:
    with closing(open_store(database, space)) as store:
        return store.dump()


def _table(dump: Dump, name: str) -> list[bytes]:
    return [value for (table, _), value in dump.items() if table == name]


def _purchases(gateway: Dump) -> list[at_gateway.PurchaseRecord]:
    return [decode(at_gateway.PurchaseRecord, value) for value in _table(gateway, at_gateway.PURCHASES)]


def _stands(authorizations: Any) -> Money:
    """Of the records of merchant or gateway, which have the same shape."""
    standing = list(_live(authorizations))
    captures = [capture for one in standing for capture in _live(one.captures)]
    credits = [credit for capture in captures for credit in _live(capture.credits)]
    return Money(*(sum(_cents(one.amount) for one in those) for those in (standing, captures, credits)))


def _live(operations: Any) -> Iterator[Any]:
    return (operation for operation in operations if operation.state in LIVE)


def _cents(amount: CurrencyAmount) -> int:
    cents, rest = divmod(amount.value, 10**4)
    assert rest == 0
    return cents


def _of_bank(bank: Bank) -> tuple[dict[bytes, Money], list[str]]:
    """By XID, from postings and holds; and what is wrong between these and the accounts of the cards."""
    found: dict[bytes, Money] = {}
    wrong = []
    with bank.engine.begin() as connection:
        payments = connection.execute(select(PAYMENTS).where(PAYMENTS.c.code == "00")).all()
        posted: dict[int, dict[int, int]] = {}
        columns = (JOURNALS.c.payment_id, POSTINGS.c.account_id, JOURNALS.c.kind, POSTINGS.c.amount)
        joined = POSTINGS.join(JOURNALS).join(CARDS, CARDS.c.account_id == POSTINGS.c.account_id)
        taken: dict[int, list[int]] = {}
        for row in connection.execute(select(*columns).select_from(joined)):
            posted.setdefault(row.account_id, {}).setdefault(0, 0)
            posted[row.account_id][0] += row.amount
            if row.payment_id is not None:
                both = taken.setdefault(row.payment_id, [0, 0])
                both["refund" in row.kind] += row.amount
        holds: dict[int, int] = {}
        for payment in payments:
            captured, credited = taken.get(payment.id, [0, 0])
            xid = bytes.fromhex(payment.xid)
            if payment.state == "REVERSED":
                if captured or credited or payment.open:
                    wrong.append(f"bank: {payment.rrn} is reversed, and not nothing")
                continue
            if (captured, -credited) != (payment.captured, payment.refunded):
                wrong.append(f"bank: {payment.rrn}: the postings say {captured}, {-credited}")
            if xid in found:
                wrong.append(f"bank: {xid.hex()} has two authorisations that stand")
            found[xid] = Money(payment.amount, captured, -credited)
            if payment.open:
                holds[payment.account_id] = holds.get(payment.account_id, 0) + payment.amount - payment.captured
        accounts = select(ACCOUNTS).where(ACCOUNTS.c.id.in_(select(CARDS.c.account_id)))
        for account in connection.execute(accounts):
            if account.held != holds.get(account.id, 0):
                wrong.append(f"bank: {account.held} held on account {account.id}: {holds.get(account.id, 0)} stands")
            if account.balance != posted.get(account.id, {}).get(0, 0):
                wrong.append(f"bank: the balance of account {account.id} is not the sum of its postings")
    return found, wrong


def _of_wallet(wallet: Wallet, paid: dict[bytes, Paid], ordered: dict[bytes, int]) -> None:
    with wallet.vault.transaction() as transaction:
        orders = [decode(OrderItem, stored) for _, stored in transaction.items(ORDERS)]
        kept = {key: decode(Kept, stored).receipt for key, stored in transaction.items(RECEIPTS)}
        bought = {key: decode(cardholder.Purchase, stored) for key, stored in transaction.items(cardholder.PURCHASES)}
    for order in orders:
        ordered[order.lid_m] = _cents(order.amount)
        receipt = decode(Receipt, kept[order.lid_m]) if order.lid_m in kept else None
        for attempt in order.attempts:
            shop = bought[attempt.lid_c].shop
            standing = attempted(wallet, attempt)
            if shop is None:
                assert standing is Standing.OPEN
                continue
            xid = shop.trans_ids.xid
            own = None
            if receipt is not None and receipt.xid == xid:
                own = Money(*map(_cents, (receipt.authorized, receipt.captured, receipt.credited)))
            paid[xid] = Paid(order.lid_m, standing, _cents(order.amount), own)
