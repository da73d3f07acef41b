"""Several cardholders, merchants and gateways, one bank, and a network that does to messages what networks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pki import BrandTree, PathValidator, build_brand_tree
from pki.der import decode, general_time
from setproto.amounts import CurrencyAmount
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret
from setproto.market import ACQUIRER_BIN, BRAND, Clock, certify_card, credentials
from setproto.messages.common import InstallRecurData, PartyID, Recurring, Role
from setproto.messages.wrapper import unwrap
from setproto.roles.cardholder import Cardholder, Order, PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.gateway import records as gateway_records
from setproto.roles.gateway.batches import BATCHES, BatchRecord, BatchState
from setproto.roles.merchant import Merchant
from setproto.roles.operations import LIVE, OpState
from setproto.roles.ports import EventKind, Outgoing, RandomBytes, Reply
from setproto.store import MemoryStore
from tests.conservation.model import Model, Purchase, Request, Terms

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
CARDS = (("4111111111111111", 300), ("5555555555554444", 100_000), ("378282246310005", 120))
"""Numbers that are published for tests, and what is in the accounts, in cents."""
GATEWAY_OF = (0, 0, 1)
"""Merchant → gateway."""
TOO_OLD = timedelta(minutes=15)


@cache
def tree() -> BrandTree:
    return build_brand_tree("p256", now=NOW - timedelta(days=1), brand=BRAND)


@cache
def validator(days: int) -> PathValidator:
    """What is valid on that day.  One for everybody, so that what was validated once is remembered."""
    return tree().validator(NOW + timedelta(days=days))


@cache
def cards() -> list[tuple[PaymentCard, Credentials]]:
    """Certified once per process: what takes time are signatures of CAs."""
    issued = []
    for number, (pan, _) in enumerate(CARDS):
        secret = CardSecret(bytes([number]) * 32)
        card = PaymentCard(
            Card(BRAND, PAN(pan), CardExpiry("203012")), secret, PANSecret.derive(secret, bytes(32), BRAND)
        )
        issued.append((card, certify_card(tree(), card)))
    return issued


@cache
def shops() -> list[Credentials]:
    return [
        credentials(
            tree().issue_merchant(f"shop-{number}", f"Shop {number}", ACQUIRER_BIN),
            PartyID(role=Role.merchant, brand=BRAND, name=f"shop-{number}"),
            "p256",
        )
        for number in range(len(GATEWAY_OF))
    ]


@cache
def acquirers() -> list[Credentials]:
    return [
        credentials(
            tree().issue_gateway(f"gateway-{number}"),
            PartyID(role=Role.gateway, brand=BRAND, name=f"gateway-{number}"),
            "p256",
        )
        for number in range(2)
    ]


def eur(cents: int) -> CurrencyAmount:
    return CurrencyAmount(currency=978, amount=cents, amt_exp10=-2)


Address = tuple[Role, int]


@dataclass(frozen=True)
class Letter:
    """A message on its way."""

    sender: Address
    to: Address
    name: str
    data: bytes


@dataclass
class Bought:
    """One purchase, as the test follows it."""

    number: int
    card: int
    merchant: int
    lid_c: bytes
    xid: bytes | None = None
    lied: bool = False
    """The merchant lied about it, so its own books may be wrong."""


class World:
    """Everybody.  After every delivery to a gateway, its answer is compared with the model's."""

    def __init__(self, random: RandomBytes) -> None:
        self.clock = Clock(NOW)
        self.random = random
        self.accounts = [
            Account(card.card.pan, card.card.expiry, card.card_secret, eur(cents))
            for (card, _), (_, cents) in zip(cards(), CARDS, strict=True)
        ]
        self.issuer = MemoryIssuer(self.accounts)
        self.model = Model([cents for _, cents in CARDS])
        common: dict[str, Any] = {"clock": self.clock, "random": random}
        self.gateways = [
            Gateway(
                mine,
                self.issuer,
                validator(0),
                MemoryStore(),
                token_key=bytes([number]) * 32,
                acquirer_bin=ACQUIRER_BIN,
                **common,
            )
            for number, mine in enumerate(acquirers())
        ]
        self.merchants = [
            Merchant(
                mine,
                validator(0),
                MemoryStore(),
                cert_pe=self.gateways[GATEWAY_OF[number]].exchange_key().certificate,
                held=acquirers()[GATEWAY_OF[number]].chain,
                **common,
            )
            for number, mine in enumerate(shops())
        ]
        self.cardholders = [Cardholder(mine, card, validator(0), MemoryStore(), **common) for card, mine in cards()]
        self.bought: list[Bought] = []
        self.flying: list[Letter] = []
        self.history: list[Letter] = []
        self.requests: dict[bytes, Request] = {}
        self.decided: dict[bytes, bytes] = {}
        """RRPID → the answer that was given."""
        self.twisted: set[bytes] = set()
        self.unanswered: dict[int, set[bytes]] = {number: set() for number in range(len(GATEWAY_OF))}
        """Merchant → its requests about batches that it has no answer to."""
        self.tokens: dict[bytes, tuple[int, int, bytes]] = {}
        """RRPID of an AuthReq that was approved → the AuthToken that came of it."""
        self.stash: list[tuple[int, Any]] = []
        """(merchant, AuthToken) of all that merchants ever held."""
        self.codes: dict[str, int] = {}

    def party(self, address: Address) -> Endpoint:
        parties: dict[Role, list[Any]] = {
            Role.cardholder: self.cardholders,
            Role.merchant: self.merchants,
            Role.gateway: self.gateways,
        }
        return parties[address[0]][address[1]]

    # --- who does what ----------------------------------------------------------------------------

    def buy(self, card: int, merchant: int, terms: Terms) -> None:
        agreed = None
        if terms.instalments is not None:
            agreed = InstallRecurData(install_total_trans=terms.instalments)
        elif terms.every is not None and terms.until is not None:
            agreed = InstallRecurData(
                recurring=Recurring(recurring_frequency=terms.every.days, recurring_expiry=general_time(terms.until))
            )
        order = Order(self.random(8), b"a book", eur(terms.signed), agreed)
        self.merchants[merchant].add_order(
            order.lid_m,
            order.description,
            order.amount,
            agreed,
            first_amount=None if terms.first is None else eur(terms.first),
            capture_now=terms.sale,
        )
        lid_c, pinit_req = self.cardholders[card].start(order)
        self.bought.append(Bought(len(self.bought), card, merchant, lid_c))
        self.model.purchases.append(Purchase(card, merchant, terms))
        self.send((Role.cardholder, card), pinit_req)

    def ask(self, merchant: int, make: Callable[[], Outgoing], twisted: bool = False, **meant: Any) -> None:
        """A request of a merchant to its gateway; ``twisted``: on the way out it was changed."""
        message = make()
        rrpid = unwrap(message.data).header.rrpid
        assert rrpid is not None
        self.requests[rrpid] = Request(merchant=merchant, rrpid=rrpid, **meant)
        if twisted:
            self.twisted.add(rrpid)
        if meant["kind"] == "batch":
            self.unanswered[merchant].add(rrpid)
        self.send((Role.merchant, merchant), message)

    def wait(self, by: timedelta) -> None:
        """Time passes, and everybody gets new CRLs."""
        self.clock.advance(by)
        for party in (*self.cardholders, *self.merchants, *self.gateways):
            party.validator = validator((self.clock() - NOW).days)

    def record(self, bought: Bought) -> Any:
        """The merchant's record, if it has one."""
        if bought.xid is None:
            shop = self.cardholders[bought.card].purchase(bought.lid_c).shop
            if shop is None:
                return None
            bought.xid = shop.trans_ids.xid
        return self.merchants[bought.merchant].purchase(bought.xid)

    # --- the network ------------------------------------------------------------------------------

    def send(self, sender: Address, message: Outgoing, back: Address | None = None) -> None:
        """Put a message on the wires.  ``back``: where an answer goes that does not say."""
        ids = unwrap(message.data).header.message_ids
        if message.to is Role.gateway:
            to = (Role.gateway, GATEWAY_OF[sender[1]])
        elif sender[0] is Role.merchant and message.to is Role.cardholder:
            mine = [b for b in self.bought if b.lid_c == ids.lid_c]
            to = (Role.cardholder, mine[0].card) if mine else back or sender
        elif sender[0] is Role.cardholder and back is None:
            mine = [b for b in self.bought if b.lid_c == ids.lid_c] or [self.bought[-1]]
            to = (Role.merchant, mine[0].merchant)
        else:
            assert back is not None
            to = back
        letter = Letter(sender, to, message.name, message.data)
        self.flying.append(letter)
        self.history.append(letter)

    def deliver(self, letter: Letter) -> Reply:
        """Hand over a message, check what comes of it, and put the answers on the wires."""
        party = self.party(letter.to)
        tables = dict(party.store._tables)  # type: ignore[attr-defined]
        reply = party.handle(letter.data)
        kinds = {event.kind for event in reply.events}
        if kinds & {EventKind.REFUSED, EventKind.REPEATED, EventKind.ERROR_RECEIVED}:
            assert party.store._tables == tables  # type: ignore[attr-defined]
        if letter.to[0] is Role.gateway:
            self._at_gateway(letter, reply)
        elif letter.to[0] is Role.merchant:
            self._at_merchant(letter, reply)
        for message in reply.outgoing:
            self.send(letter.to, message, letter.sender)
        return reply

    def corrupted(self, letter: Letter, bit: int) -> None:
        """Deliver a copy with a bit flipped: it is refused, but for plain messages."""
        octets = bytearray(letter.data)
        octets[bit // 8 % len(octets)] ^= 1 << bit % 8
        if letter.name in ("PInitReq", "Error"):
            self.party(letter.to).handle(bytes(octets))
            return
        party = self.party(letter.to)
        tables = dict(party.store._tables)  # type: ignore[attr-defined]
        kinds = {event.kind for event in party.handle(bytes(octets)).events}
        assert kinds <= {EventKind.REFUSED, EventKind.ERROR_RECEIVED}
        assert party.store._tables == tables  # type: ignore[attr-defined]

    def _at_gateway(self, letter: Letter, reply: Reply) -> None:
        wire = unwrap(letter.data)
        if wire.type is None:
            return
        rrpid = wire.header.rrpid
        assert rrpid is not None
        codes = [event.code.name if event.code is not None else "" for event in reply.events]
        kinds = {event.kind for event in reply.events}
        if rrpid in self.decided:
            assert kinds == {EventKind.REPEATED}
            (answer,) = reply.outgoing
            assert answer.data == self.decided[rrpid]
            return
        if EventKind.REFUSED in kinds:
            assert codes == ["messageTooOld"]
            assert self.clock() - wire.header.date.as_datetime() > TOO_OLD
            return
        request = self.requests[rrpid]
        expected = self.model.decide(request, self.clock())
        assert codes == expected, f"{codes}, expected {expected}: {request}"
        (answer,) = reply.outgoing
        self.decided[rrpid] = answer.data
        for code in codes:
            self.codes[f"{request.kind} {code}"] = self.codes.get(f"{request.kind} {code}", 0) + 1
        if request.kind == "auth" and codes == ["approved"]:
            self.tokens[rrpid] = (request.purchase, self.model.purchases[request.purchase].approved, rrpid)

    def _at_merchant(self, letter: Letter, reply: Reply) -> None:
        rrpid = unwrap(letter.data).header.rrpid or b""
        number = letter.to[1]
        if any(event.kind is EventKind.BATCH for event in reply.events):
            self.unanswered[number].discard(rrpid)
        for message in reply.outgoing:
            if message.name == "AuthReq":
                self._first_authorization(number, message)
        for bought in self.bought:
            if bought.merchant == number and bought.xid is not None:
                token = self.merchants[number].purchase(bought.xid).auth_token
                if token is not None and (number, token) not in self.stash:
                    self.stash.append((number, token))

    def _first_authorization(self, merchant: int, message: Outgoing) -> None:
        """What a merchant asks by itself when it gets a PReq."""
        header = unwrap(message.data).header
        assert header.rrpid is not None
        if header.rrpid in self.requests:
            return
        (bought,) = [b for b in self.bought if b.lid_c == header.message_ids.lid_c]
        terms = self.model.purchases[bought.number].terms
        self.requests[header.rrpid] = Request(
            "auth",
            merchant,
            header.rrpid,
            bought.number,
            terms.signed if terms.first is None else terms.first,
            more=terms.first is not None and not terms.is_agreed,
        )

    def run_quiet(self) -> None:
        """Deliver all that is under way, and what comes of it."""
        while self.flying:
            self.deliver(self.flying.pop(0))

    def resend(self, bought: Bought) -> None:
        """What a purchase waits on once more.  UsageError if it waits on nothing."""
        message = self.merchants[bought.merchant].resend(bought.xid or b"")
        rrpid = unwrap(message.data).header.rrpid
        if rrpid in self.twisted:  # the lie was told on the way out, so the merchant itself would now tell the truth
            told = [letter for letter in self.history if unwrap(letter.data).header.rrpid == rrpid]
            message = replace(message, data=next(letter.data for letter in told if letter.to[0] is Role.gateway))
        self.send((Role.merchant, bought.merchant), message)

    def settle(self) -> None:
        """A network without faults: requests that wait for an answer are sent again, until nothing waits."""
        self.run_quiet()
        for bought in self.bought:
            record = self.record(bought)
            if record is not None and record.outstanding is not None:
                self.resend(bought)
        for letter in list(self.history):
            rrpid = unwrap(letter.data).header.rrpid
            if letter.name == "BatchAdminReq" and rrpid in self.unanswered[letter.sender[1]]:
                self.flying.append(letter)
        self.run_quiet()

    # --- the books --------------------------------------------------------------------------------

    def check(self) -> None:
        """Gateways, bank and batches have what the model has; nothing exceeds what it must not exceed."""
        for bought in self.bought:
            self._check_purchase(bought)
        for card, account in enumerate(self.accounts):
            self._check_account(card, account)
        for number, merchant in enumerate(self.merchants):
            self._check_batches(number, merchant)

    def _check_purchase(self, bought: Bought) -> None:
        model = self.model.purchases[bought.number]
        if self.record(bought) is None:
            assert not model.authorizations
            return
        gateway = self.gateways[GATEWAY_OF[bought.merchant]]
        with gateway.store.transaction() as transaction:
            found = gateway_records.find(transaction, shops()[bought.merchant].party, bought.xid or b"")
        if found is None:
            assert not model.authorizations
            return
        assert {a.auth_rrpid: a.state is OpState.GRANTED for a in found.authorizations} == {
            rrpid: a.stands for rrpid, a in model.authorizations.items()
        }
        total = 0
        for authorization in found.authorizations:
            its = model.authorizations[authorization.auth_rrpid]
            assert cents(authorization) == its.amount
            captured = 0
            for capture in authorization.captures:
                assert (cents(capture), capture.state is OpState.GRANTED, capture.batch_id) == (
                    its.captures[capture.number].amount,
                    its.captures[capture.number].stands,
                    its.captures[capture.number].batch,
                )
                credited = 0
                for credit in capture.credits:
                    given = its.captures[capture.number].credits[credit.number]
                    assert (cents(credit), credit.state is OpState.GRANTED) == (given.amount, given.stands)
                    credited += cents(credit) if credit.state is OpState.GRANTED else 0
                assert credited <= cents(capture)
                captured += cents(capture) if capture.state is OpState.GRANTED else 0
            assert len(authorization.captures) == len(its.captures)
            assert captured <= cents(authorization) <= model.terms.signed
            total += cents(authorization) if authorization.state is OpState.GRANTED else 0
        assert found.generation == model.approved
        if model.terms.every is None:
            assert total <= model.terms.signed
        if model.terms.instalments is not None:
            assert found.generation <= model.terms.instalments

    def _check_account(self, card: int, account: Account) -> None:
        mine = [p for p in self.model.purchases if p.card == card]
        standing = [a for p in mine for a in p.authorizations.values() if a.stands]
        assert sum(account.held.values()) == account.opening.step * sum(a.amount - a.captured for a in standing)
        assert sum(account.captured.values()) == account.opening.step * sum(a.captured for a in standing)
        assert sum(account.credited.values()) == account.opening.step * sum(a.credited for a in standing)
        assert min((*account.held.values(), *account.captured.values()), default=0) >= 0
        assert account.spendable == account.opening.step * self.model.spendable(card)
        assert sum(account.held.values()) + account.charged + account.spendable == account.opening.value

    def _check_batches(self, number: int, merchant: Merchant) -> None:
        store = self.gateways[GATEWAY_OF[number]].store
        kept = [
            decode(BatchRecord, value)
            for (table, _), value in store._tables.items()  # type: ignore[attr-defined]
            if table == BATCHES
        ]
        mine = {batch.batch_id: batch for batch in kept if batch.merchant == merchant.party}
        assert set(mine) == {batch for its, batch in self.model.batches if its == number}
        for batch_id, batch in mine.items():
            model = self.model.batches[number, batch_id]
            assert (batch.state is BatchState.OPEN) == model.open
            if batch.totals is None:
                assert (model.debits, model.credits) == (0, 0)
                continue
            totals = batch.totals
            assert (totals.transaction_count_debit, totals.transaction_total_amt_debit) == (
                model.debits,
                eur(model.debit),
            )
            assert (totals.transaction_count_credit, totals.transaction_total_amt_credit) == (
                model.credits,
                eur(model.credit),
            )

    def check_agreement(self) -> int:
        """Where nothing is outstanding, an honest merchant has what its gateway has: how many purchases that were."""
        compared = 0
        for bought in self.bought:
            record = self.record(bought)
            quiet = record is not None and record.outstanding is None and not self.unanswered[bought.merchant]
            if record is None or not quiet or bought.lied:
                continue
            model = self.model.purchases[bought.number]
            standing = {a.auth_rrpid: a for a in record.authorizations if a.state in LIVE}
            assert set(standing) == {
                rrpid for rrpid, a in model.authorizations.items() if a.stands and rrpid not in model.given_up
            }
            for rrpid, mine in standing.items():
                theirs = model.authorizations[rrpid]
                assert cents(mine) == theirs.amount
                captures = {c.number: c for c in mine.captures if c.state in LIVE}
                assert {n: cents(c) for n, c in captures.items()} == {
                    n: c.amount for n, c in theirs.captures.items() if c.stands
                }
                for number, capture in captures.items():
                    assert {c.number: cents(c) for c in capture.credits if c.state in LIVE} == {
                        n: c.amount for n, c in theirs.captures[number].credits.items() if c.stands
                    }
            compared += 1
        return compared


def cents(operation: Any) -> int:
    amount: CurrencyAmount = operation.amount
    assert (amount.currency, amount.amt_exp10) == (978, -2)
    return amount.amount


__all__ = ["CARDS", "GATEWAY_OF", "Bought", "Letter", "World", "eur", "replace"]
