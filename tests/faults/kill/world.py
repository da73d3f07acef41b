"""Many purchases at a time between processes that keep being killed, over a network that loses, repeats and reorders.

The driver is everything around the protocol: the network, the bank, and whoever owns a wallet or a shop.  An owner
knows what the protocol allows it to know: after a kill it asks its own, restarted process how things stand, and repeats
what is unfinished (the same PInitReq; ``pay`` again; ``resend``; a new inquiry).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from pki.der import decode
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, UsageError
from setproto.messages.codes import BatchOperation
from setproto.messages.common import InstallRecurData, Role
from setproto.messages.registry import AUTH_REQ, INQ_RES, PRES
from setproto.roles.cardholder import Order, Purchase, State
from setproto.roles.merchant import records
from setproto.roles.operations import OpState, live_sum
from setproto.roles.ports import Event, EventKind, Outgoing
from tests.faults.kill import material
from tests.faults.kill.books import Bank, Books, money, operations
from tests.faults.kill.hosts import Died, Host, Kill, Template

Asked = tuple[tuple[CurrencyAmount, ...], dict[str, Any]]
"""Arguments of a method of the merchant's, after the XID."""
OPENING = CurrencyAmount.of("EUR 10000000.00")
REQUESTS_OF_A_CARDHOLDER = ("PInitReq", "PReq", "InqReq")
DONE = ("approved", "success")
FIRST_NAMED = 1000
"""Batches that the merchant opens itself have numbers from there."""
AT_ONCE = 6
"""Purchases under way at the same time."""
RECORDS: Final = {Role.cardholder: Purchase, Role.merchant: records.PurchaseRecord}
"""What ``purchase`` gives there."""
PATIENCE = 5000
"""Turns without progress that are too many."""


class Killer(Protocol):
    """Chooses when to kill."""

    def choose(self, host: Host, name: str, arguments: tuple[Any, ...]) -> Kill | None:
        """How a process dies of what it is asked, or None."""


@dataclass
class AnyTime:
    """Half of the kills at a step of the process, half at any time after it was asked."""

    random: random.Random
    longest: float = 0.005

    def choose(self, host: Host, name: str, arguments: tuple[Any, ...]) -> Kill | None:
        # The gateway has least to do and most to lose; reading a record is the least interesting time to die.
        share = 0.02 if name == "purchase" else 0.5 if host.role is Role.gateway else 0.25
        if self.random.random() >= share:
            return None
        steps = host.steps.get(name)
        if steps and self.random.random() < 0.5:
            return Kill(at_step=self.random.randint(1, steps))
        return Kill(after=self.random.uniform(0, max(self.longest, 1.2 * host.took.get(name, 0.0))))


@dataclass
class EveryStep:
    """Whatever is asked dies at its first step, asked again at its second, and so on, until it outlives them all."""

    tried: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def choose(self, host: Host, name: str, arguments: tuple[Any, ...]) -> Kill | None:
        if name == "purchase":  # it only reads
            return None
        key = (host.role, name, arguments)
        self.tried[key] = self.tried.get(key, 0) + 1
        return Kill(at_step=self.tried[key])


@dataclass(eq=False)
class Journey:
    """One order and what is done with it."""

    order: Order
    shown: Order
    """What the cardholder takes the order for."""
    terms: dict[str, Any]
    script: list[str]
    """What the merchant will do, by name; "any" is what comes to its mind."""
    agreed: bool = False
    lid_c: bytes = b""
    xid: bytes = b""
    pinit_req: Outgoing | None = None
    preq: Outgoing | None = None
    request: bytes | None = None
    """The request that the merchant waits on, once it was seen."""
    settled: Any = None
    """What the merchant had when nothing was under way."""
    standing: tuple[Any, ...] = ()
    trying: tuple[str, Asked] | None = None
    """What the merchant is to ask now."""
    asked: bool = False
    """Something was asked since."""
    outcomes: set[bool] = field(default_factory=set)
    """What gateway and merchant said of it."""
    inquiry: tuple[int, Outgoing | None] = (0, None)
    """The last question: which one it is, and the InqReq."""
    done: bool = False


@dataclass(frozen=True)
class Wire:
    """A message on its way."""

    message: Outgoing
    journey: Journey | None
    """None: a repetition from long ago, whose answer interests only the auditor."""


class World:
    """Everybody and the driver."""

    def __init__(self, template: Template, folder: Path, bank: Bank, seed: int, killer: Killer | None = None) -> None:
        self.folder, self.bank = folder, bank
        self.random = random.Random(seed)
        self.killer = killer or AnyTime(self.random)
        self.cardholder = Host(template, Role.cardholder)
        self.merchant = Host(template, Role.merchant)
        self.gateway = Host(template, Role.gateway, bank)
        self.hosts = {host.role: host for host in (self.cardholder, self.merchant, self.gateway)}
        self.wires: list[Wire] = []
        self.journeys: list[Journey] = []
        self.answers: dict[tuple[Role, bytes], tuple[Outgoing, ...]] = {}
        """Every request that was answered → its first answer."""
        self.compared = 0
        self.named_batch: int | None = None
        self.batches = FIRST_NAMED
        self.resting = False

    @classmethod
    @contextmanager
    def open(cls, folder: Path, seed: int, killer: Killer | None = None) -> Iterator[World]:
        """A new one in a new folder."""
        card = material.write(folder)
        with Template.running(folder) as template:
            world = cls(template, folder, Bank.of(card, OPENING), seed, killer)
            try:
                yield world
            finally:
                for host in world.hosts.values():
                    host.close()

    @property
    def kills(self) -> int:
        return sum(host.kills for host in self.hosts.values())

    # --- asking processes -------------------------------------------------------------------------

    def ask(self, host: Host, name: str, *arguments: Any, **named: Any) -> Any:
        """Ask a process, which may die of it."""
        kill = self.killer.choose(host, name, (*arguments, *named.items()))
        result = host(name, *arguments, kill=kill, **named)
        return decode(RECORDS[host.role], result) if name == "purchase" else result

    def insist(self, host: Host, name: str, *arguments: Any, **named: Any) -> Any:
        """Ask until there is an answer."""
        while True:
            try:
                return self.ask(host, name, *arguments, **named)
            except Died:
                continue

    # --- the network ------------------------------------------------------------------------------

    def send(self, message: Outgoing, journey: Journey | None) -> None:
        self.wires.append(Wire(message, journey))

    def turn(self) -> None:
        """One thing happens: a message arrives, or somebody does the next thing or repeats the last."""
        chance = self.random.random()
        if chance < 0.02:
            self.random.choice([*self.hosts.values()]).kill()  # found dead by whoever asks next
        elif chance < 0.06 and self.answers:
            (to, data), _ = self.random.choice([*self.answers.items()])
            self.send(Outgoing(to, "a repetition", data), None)
        elif self.wires and chance < 0.65:
            wire = self.wires.pop(self.random.randrange(len(self.wires)))
            if self.random.random() >= 0.04:  # else it is lost
                self.deliver(wire)
        else:
            under_way = {wire.journey for wire in self.wires}
            waiting = [j for j in self.journeys if not j.done and j not in under_way]
            if waiting:
                self.advance(self.random.choice(waiting))

    def deliver(self, wire: Wire) -> None:
        """A message arrives; if the receiver survives it, what it sends is on its way."""
        message, journey = wire.message, wire.journey
        host = self.hosts[message.to]
        try:
            outgoing, events = self.ask(host, "handle", message.data)
        except Died:
            return
        if message.name == INQ_RES.name and self._is_stale(events):
            return
        self.check_events(message, events)
        self.check_answer(message, outgoing, journey)
        if journey is None:
            return
        journey.outcomes |= {event.code.name in DONE for event in events if self._tells(event, journey)}
        for answer in outgoing:
            if answer.to is Role.gateway:
                self._check_request(journey, answer)
            self.send(answer, journey)

    @staticmethod
    def _is_stale(events: tuple[Event, ...]) -> bool:
        """An answer to an inquiry that was followed by another one."""
        return [event.code for event in events] == [ErrorCode.unknownRRPID]

    @staticmethod
    def _tells(event: Event, journey: Journey) -> bool:
        """Whether an event says what became of what the merchant asked."""
        beside = (EventKind.RESULT, EventKind.REPEATED, EventKind.ORDER_RECEIVED, EventKind.MESSAGE)
        return event.xid == journey.xid and event.code is not None and event.kind not in beside

    def check_events(self, message: Outgoing, events: tuple[Event, ...]) -> None:
        bad = [event for event in events if event.kind in (EventKind.REFUSED, EventKind.ERROR_RECEIVED)]
        assert not bad, f"{message.to.name} refused {message.name}: {bad}"

    def check_answer(self, message: Outgoing, outgoing: tuple[Outgoing, ...], journey: Journey | None) -> None:
        """A request that was answered before has the same answer, octet for octet.

        There is one exception: a PReq is answered when the gateway has answered; until then it has the AuthReq sent
        again.
        """
        sent = [answer for answer in outgoing if answer.name == PRES.name]
        if sent and journey is not None and journey.preq is not None:
            self._first_answer((Role.merchant, journey.preq.data), tuple(sent))
        asked = message.to is Role.gateway or message.name in REQUESTS_OF_A_CARDHOLDER
        if asked or (message.to, message.data) in self.answers:
            assert outgoing, f"{message.name} was not answered"
            self._first_answer((message.to, message.data), outgoing)

    def _first_answer(self, key: tuple[Role, bytes], outgoing: tuple[Outgoing, ...]) -> None:
        first = self.answers.get(key)
        if first is not None and first[0].name == AUTH_REQ.name and outgoing[0].name == PRES.name:
            first = None
        if first is not None:
            self.compared += 1
            assert first == outgoing, f"another answer than the first: {outgoing}"
        self.answers[key] = outgoing

    def _check_request(self, journey: Journey, request: Outgoing) -> None:
        """A merchant's request is the same until it is answered."""
        assert journey.request in (None, request.data), "another request while one is outstanding"
        journey.request = request.data
        journey.asked = True

    # --- the owners -------------------------------------------------------------------------------

    def advance(self, journey: Journey) -> None:
        """Do the next thing, or repeat the last one if nothing is known to have come of it."""
        try:
            if self._pays(journey):
                return
            bought = self.ask(self.merchant, "purchase", journey.xid)
            if bought.outstanding is not None:
                request = self.ask(self.merchant, "resend", journey.xid)
                self._check_request(journey, request)
                self.send(request, journey)
                return
            self.settle(journey, bought)
            if self.resting or bought.state is records.State.INITIALISED:
                return  # in the second case the PReq got lost
            if journey.script or journey.trying is not None:
                self.operate(journey, bought)
            else:
                self.inquire(journey)
        except Died:
            return

    def _pays(self, journey: Journey) -> bool:
        """Order and pay; whether there was something left to do."""
        if not journey.agreed:
            try:
                order = journey.order
                about = (order.lid_m, order.description, order.amount, order.install_recur_data)
                self.ask(self.merchant, "add_order", *about, **journey.terms)
            except UsageError as refusal:
                if refusal.detail != "this LID-M is in use":  # noted, but the shop died before it could say so
                    raise
            journey.agreed = True
        if journey.pinit_req is None:
            journey.lid_c, journey.pinit_req = self.ask(self.cardholder, "start", journey.shown)
            self.send(journey.pinit_req, journey)
            return True
        known = self.ask(self.cardholder, "purchase", journey.lid_c)
        if known.shop is None:
            self.send(journey.pinit_req, journey)
            return True
        journey.xid = known.shop.trans_ids.xid
        if known.state not in (State.INIT_DONE, State.PREQ_SENT):
            return False
        if journey.preq is not None and self.random.random() < 0.5:
            return False  # the shop may find out first
        preq = self.ask(self.cardholder, "pay", journey.lid_c)
        assert journey.preq in (None, preq), "another PReq for the same purchase"
        journey.preq = preq
        self.send(preq, journey)
        return True

    def settle(self, journey: Journey, bought: records.PurchaseRecord) -> None:
        """Nothing is under way: what the merchant has now must not change until something is done again."""
        found, standing = operations(bought), money(bought)
        if bought.state is records.State.INITIALISED:
            assert journey.settled is None
            return
        if not journey.asked and journey.settled is not None:
            assert found == journey.settled, "changed, though nothing was done"
        assert journey.outcomes <= {standing != journey.standing}, "gateway and merchant said something else"
        journey.settled, journey.standing = found, standing
        if journey.request is not None:  # else the merchant died before it wrote down what it was to ask
            journey.trying = None
        journey.asked, journey.request, journey.outcomes = False, None, set()

    def inquire(self, journey: Journey) -> None:
        """Ask what became of it, until there is an answer: the same question, unless the wallet forgot it."""
        known = self.ask(self.cardholder, "purchase", journey.lid_c)
        asked, question = journey.inquiry
        if question is not None and known.heard == known.asked == asked:
            journey.done = True
            return
        if question is None or known.asked != asked:
            question = self.ask(self.cardholder, "inquire", journey.lid_c)
            journey.inquiry = (known.asked + 1, question)
        self.send(question, journey)

    def operate(self, journey: Journey, bought: records.PurchaseRecord) -> None:
        """Ask the gateway for something that is possible now, or, rarely, for too much."""
        if journey.trying is None:
            name = wanted = journey.script.pop(0)
            possible = self.possible(journey, bought, bold=wanted == "any")
            if wanted == "any":
                name = self.random.choice(["inquire", *possible])
            if name == "inquire":
                self.send(self.ask(self.cardholder, "inquire", journey.lid_c), journey)
                return
            assert name in possible, f"{name} is not possible now"
            journey.trying = (name, possible[name])
        name, (arguments, named) = journey.trying
        journey.asked = True  # even if it dies of it: perhaps it was written down
        request = self.ask(self.merchant, name, journey.xid, *arguments, **named)
        self._check_request(journey, request)
        self.send(request, journey)

    def possible(self, journey: Journey, bought: records.PurchaseRecord, *, bold: bool) -> dict[str, Asked]:
        """What may be asked now → with which arguments.  ``bold``: now and then for too much."""
        some = self.random.randint

        def part(whole: CurrencyAmount, left: int) -> CurrencyAmount:
            too_much = left == 0 or (bold and self.random.random() < 0.1)
            return whole.with_amount(left + 1 if too_much else some(1, left))

        result: dict[str, Asked] = {}
        standing = [a for a in bought.authorizations if a.state is OpState.GRANTED]
        if bought.auth_token is not None and standing and bought.purch_amt is not None:
            left = bought.purch_amt.amount - live_sum(bought.authorizations, bought.purch_amt).amount
            result["authorize"] = ((part(bought.purch_amt, left),), {"more": True})
        for a in standing:
            held = a.amount.amount - live_sum(a.captures, a.amount).amount
            here = {"authorization": a.number}
            if held:
                batch = self.named_batch if bold and self.random.random() < 0.5 else None
                result["capture"] = ((part(a.amount, held),), {**here, "batch_id": batch})
                less = some(1, held if bold else max(1, held // 2))
                result["reverse"] = ((a.amount.with_amount(a.amount.amount - less),), here)
            for c in (c for c in a.captures if c.state is OpState.GRANTED):
                there = {**here, "capture": c.number}
                result["reverse_capture"] = ((), there)
                uncredited = c.amount.amount - live_sum(c.credits, c.amount).amount
                if uncredited or bold:
                    result["credit"] = ((part(c.amount, uncredited),), there)
                for g in (g for g in c.credits if g.state is OpState.GRANTED):
                    result["reverse_credit"] = ((), {**there, "credit": g.number})
        return result

    # --- orders -----------------------------------------------------------------------------------

    def begin(self, script: list[str] | None = None, kind: str | None = None) -> Journey:
        """A new order, of one kind or another."""
        some = self.random.randint
        kinds = ["plain"] * 5 + ["sale", "split", "split", "instalments", "other order", "too dear"]
        kind = kind or self.random.choice(kinds)
        amount = OPENING.with_amount(OPENING.amount + 1 if kind == "too dear" else some(3, 50_000))
        agreed = InstallRecurData(install_total_trans=3) if kind == "instalments" else None
        order = Order(self.random.randbytes(8), b"what was agreed on", amount, agreed)
        terms: dict[str, Any] = {}
        if kind == "sale":
            terms["capture_now"] = True
        if kind in ("split", "instalments"):
            terms["first_amount"] = amount.with_amount(some(1, amount.amount - 1))
        shown = order
        if kind == "other order":
            shown = Order(order.lid_m, b"something else", amount, agreed)
        journey = Journey(order, shown, terms, ["any"] * some(0, 6) if script is None else script)
        self.journeys.append(journey)
        return journey

    # --- batches ----------------------------------------------------------------------------------

    def rest(self) -> None:
        """Let everything that is under way come to its end, while the killing goes on."""
        self.resting = True
        for _ in range(PATIENCE):
            while self.wires:
                self.deliver(self.wires.pop(0))
            busy = [journey for journey in self.journeys if not self._is_quiet(journey)]
            if not busy:
                self.resting = False
                return
            self.advance(self.random.choice(busy))
        raise AssertionError("the purchases do not come to rest")

    def _is_quiet(self, journey: Journey) -> bool:
        if not journey.xid:
            return True
        bought = self.insist(self.merchant, "purchase", journey.xid)
        if bought.outstanding is not None:
            return False
        self.settle(journey, bought)
        return True

    def administrate(self) -> None:
        """Open, purge, close, look at a batch, or ask for certificates, while nothing else is under way."""
        if self.named_batch is None:
            self.batches += 1
            self.exchange("batch", self.batches, BatchOperation.open)
            self.named_batch = self.batches
            return
        what = self.random.choice([BatchOperation.purge, BatchOperation.close, None, "certificates", "current"])
        if what == "certificates":
            self.exchange("ask_certificates")
        elif what == "current":
            self.exchange("batch", self._current(), BatchOperation.close)
        else:
            self.exchange("batch", self.named_batch, what)
        if what is BatchOperation.close:
            self.named_batch = None
        if what is BatchOperation.purge:
            for journey in self.journeys:
                if journey.settled is not None:
                    bought = self.insist(self.merchant, "purchase", journey.xid)
                    journey.settled, journey.standing = operations(bought), money(bought)

    def _current(self) -> int:
        """The batch of items that name none."""
        kept = Books.read(self.folder).gateway.values()
        used = {c.batch_id for record in kept for a in record.authorizations for c in a.captures}
        return max((number for number in used if number < FIRST_NAMED), default=1)

    def exchange(self, name: str, *arguments: Any) -> None:
        """Ask the gateway, and repeat the same octets until the merchant has the answer."""
        request = self.insist(self.merchant, name, *arguments)
        while True:
            try:
                outgoing, events = self.ask(self.gateway, "handle", request.data)
                self.check_events(request, events)
                self.check_answer(request, outgoing, None)
                _, events = self.ask(self.merchant, "handle", outgoing[0].data)
                self.check_events(outgoing[0], events)
                return
            except Died:
                continue

    # --- the whole --------------------------------------------------------------------------------

    def run(self, kills: int) -> None:
        """Purchases without end, until that many processes were killed; then to the end of those under way."""
        idle, before = 0, (0, 0)
        next_audit = 50
        while self.kills < kills or not all(journey.done for journey in self.journeys):
            under_way = sum(not journey.done for journey in self.journeys)
            if under_way < AT_ONCE and self.kills < kills:
                self.begin()
            self.turn()
            if self.kills >= next_audit:
                next_audit = self.kills + 50
                self.rest()
                Books.read(self.folder).audit(self.bank)
                self.administrate()
                Books.read(self.folder).audit(self.bank)
            progress = (len(self.answers), self.kills)
            idle = idle + 1 if progress == before else 0
            before = progress
            assert idle < PATIENCE, "no progress"

    def last_audit(self) -> None:
        """Nobody is killed any more: everybody asks once more, every request is repeated, and the books are read."""
        self.killer = Nobody()
        self.rest()
        for journey in (journey for journey in self.journeys if journey.preq is not None):
            question = self.ask(self.cardholder, "inquire", journey.lid_c)
            self.deliver(Wire(question, journey))
            self.rest()
        for (to, data), _ in [*self.answers.items()]:
            self.deliver(Wire(Outgoing(to, "a repetition", data), None))
        books = Books.read(self.folder)
        books.audit(self.bank)
        books.audit_cardholder()
        assert all(journey.xid in books.merchant for journey in self.journeys if journey.xid)


class Nobody:
    """Kills nobody."""

    def choose(self, host: Host, name: str, arguments: tuple[Any, ...]) -> Kill | None:
        return None
