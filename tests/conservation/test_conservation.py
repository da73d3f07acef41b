"""Money is conserved, whatever happens (issue 3, point 3; PX-7, PX-9, PX-16).

Hypothesis plays cardholders, merchants and the network, honest or not, and a plain model is the judge after every step.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pki.der import decode, encode
from setproto.errors import UsageError
from setproto.messages.codes import BatchOperation
from setproto.messages.common import Role
from setproto.messages.payment import EncB, PaymentInstruction
from setproto.messages.wrapper import unwrap
from setproto.roles.operations import OpState
from tests.conservation.model import Terms
from tests.conservation.world import NOW, World, cents, eur
from tests.roles_payment.scene import cap_payload, item, lying

SEED = int(os.environ.get("SETPROTO_FUZZ_SEED", "1"))
THOROUGH = os.environ.get("SETPROTO_HYPOTHESIS") == "thorough"

anything = st.integers(0, 1 << 16)
amounts = st.integers(1, 60)


class Conservation(RuleBasedStateMachine):
    """Rules that cannot apply do nothing: the merchant refuses them itself, or there is nothing to choose from."""

    @initialize(seed=st.integers(0, 1 << 32))
    def begin(self, seed: int) -> None:
        self.world = World(random.Random(seed).randbytes)
        for card, merchant, terms in (
            (1, 0, Terms(100)),
            (1, 1, Terms(90, first=30)),
            (0, 2, Terms(80, first=20, instalments=3)),
            (2, 0, Terms(40, every=timedelta(days=1), until=NOW + timedelta(days=7))),
        ):
            self.world.buy(card, merchant, terms)
            self.world.run_quiet()
            self.pay(len(self.world.bought) - 1)
            self.world.run_quiet()

    def chosen(self, number: int) -> tuple[Any, Any, Any]:
        """A purchase, its merchant and what the merchant has written down; UsageError if nothing yet."""
        bought = self.world.bought[number % len(self.world.bought)]
        record = self.world.record(bought)
        if record is None:
            raise UsageError("no PInitRes yet")
        return bought, self.world.merchants[bought.merchant], record

    @staticmethod
    def of(operations: list[Any], number: int) -> Any:
        standing = [o for o in operations if o.state is OpState.GRANTED]
        if not standing:
            raise UsageError("nothing there")
        return standing[number % len(standing)]

    def is_purging(self, merchant: int) -> bool:
        """A merchant lets nothing else happen while it purges a batch, and has no request under way when it does."""
        return any(self.world.requests[rrpid].operation == "purge" for rrpid in self.world.unanswered[merchant])

    # --- cardholders ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.bought) < 9)
    @rule(
        card=st.integers(0, 2),
        merchant=st.integers(0, 2),
        signed=st.integers(2, 150),
        how=st.sampled_from(["whole", "sale", "shares", "instalments", "recurring"]),
        number=st.integers(2, 4),
        pays=st.booleans(),
    )
    def buy(self, card: int, merchant: int, signed: int, how: str, number: int, pays: bool) -> None:
        share = max(1, signed // number)
        terms = {
            "whole": Terms(signed),
            "sale": Terms(signed, sale=True),
            "shares": Terms(signed, first=share),
            "instalments": Terms(signed, first=share, instalments=number),
            "recurring": Terms(
                signed, every=timedelta(days=number), until=self.world.clock() + timedelta(days=number * 3)
            ),
        }[how]
        self.world.buy(card, merchant, terms)
        if pays:  # mostly, a purchase begins without trouble
            self.world.run_quiet()
            self.pay(len(self.world.bought) - 1)
            self.world.run_quiet()

    @rule(which=anything)
    def pay(self, which: int) -> None:
        bought = self.world.bought[which % len(self.world.bought)]
        if self.is_purging(bought.merchant):
            return
        try:
            message = self.world.cardholders[bought.card].pay(bought.lid_c)
        except UsageError:
            return
        self.world.send((Role.cardholder, bought.card), message)

    @rule(which=anything)
    def inquire(self, which: int) -> None:
        bought = self.world.bought[which % len(self.world.bought)]
        try:
            message = self.world.cardholders[bought.card].inquire(bought.lid_c)
        except UsageError:
            return
        self.world.send((Role.cardholder, bought.card), message)

    # --- merchants --------------------------------------------------------------------------------

    def attempt(self, which: int, make: Any) -> None:
        """Let a merchant ask something about a purchase: this one, or the next for which it makes sense.

        Half of the time the network then delivers everything; otherwise what was asked is under way.
        """
        for number in range(len(self.world.bought)):
            try:
                bought, merchant, record = self.chosen(which + number)
                if record.outstanding is None and not self.is_purging(bought.merchant):
                    make(bought, merchant, record)
                    break
            except UsageError:
                continue
        if which % 2:
            self.world.run_quiet()

    @rule(which=anything, amount=amounts, more=st.booleans(), stolen=st.none() | anything)
    def authorize(self, which: int, amount: int, more: bool, stolen: int | None) -> None:
        def make(bought: Any, merchant: Any, record: Any) -> None:
            token, baggage = record.auth_token, None
            mine = [t for number, t in self.world.stash if number == bought.merchant]
            if stolen is not None and mine:
                token = mine[stolen % len(mine)]  # an old one, or one of another purchase
                baggage = lambda _: encode(PaymentInstruction(auth_token=token))  # noqa: E731
            meant = None if token is None else self.world.tokens[token.auth_rrpid]
            with lying(merchant, None, baggage):
                self.world.ask(
                    bought.merchant,
                    lambda: merchant.authorize(bought.xid, eur(amount), more=more),
                    twisted=baggage is not None,
                    kind="auth",
                    purchase=bought.number,
                    amount=amount,
                    more=more,
                    token=meant,
                )

        self.attempt(which, make)

    @rule(which=anything)
    def authorize_with_the_pi(self, which: int) -> None:
        """Again, after whatever became of it."""

        def make(bought: Any, merchant: Any, record: Any) -> None:
            from dataclasses import replace

            from setproto.roles.merchant import records, requests

            if record.ordered is None or record.state is not records.State.ORDERED:
                raise UsageError("no PI")
            terms = self.world.model.purchases[bought.number].terms
            amount = terms.signed if terms.first is None else terms.first
            with merchant.store.transaction() as transaction:
                order = records.order(transaction, record.trans_ids.lid_m)
                first = records.request(transaction, record.authorizations[0].auth_rrpid).request
                pi = decode(PaymentInstruction, decode(EncB, unwrap(first).body).baggage).pi
                assert pi is not None
                bare = replace(record, auth_token=None)
                message = requests.auth_req(
                    merchant, transaction, bare, record.ordered, order, eur(amount), pi, more=terms.first is not None
                )
                kept = records.purchase(transaction, bought.xid)
                records.keep(transaction, replace(kept, auth_token=record.auth_token))
            self.world.ask(
                bought.merchant,
                lambda: message,
                kind="auth",
                purchase=bought.number,
                amount=amount,
                more=terms.first is not None,
            )

        self.attempt(which, make)

    @rule(which=anything, auth=anything, amount=st.just(0) | amounts)
    def reverse(self, which: int, auth: int, amount: int) -> None:
        def make(bought: Any, merchant: Any, record: Any) -> None:
            found = self.of(record.authorizations, auth)
            self.world.ask(
                bought.merchant,
                lambda: merchant.reverse(bought.xid, eur(amount), authorization=found.number),
                kind="reverse",
                purchase=bought.number,
                amount=amount,
                about=found.auth_rrpid,
                shown=cents(found),
            )

        self.attempt(which, make)

    @rule(
        which=anything,
        auth=anything,
        amount=st.none() | amounts,
        batch=st.sampled_from([None, None, None, 1, 1, 2]),
        again=st.sampled_from([False] * 5 + [True]),
    )
    def capture(self, which: int, auth: int, amount: int | None, batch: int | None, again: bool) -> None:
        def make(bought: Any, merchant: Any, record: Any) -> None:
            found = self.of(record.authorizations, auth)
            left = cents(found) - sum(cents(c) for c in found.captures if c.state is OpState.GRANTED)
            wanted = left if amount is None else amount
            number = 1 if again else len(found.captures) + 1
            bought.lied |= again
            with lying(merchant, cap_payload(cap_num=1) if again else None, None):
                self.world.ask(
                    bought.merchant,
                    lambda: merchant.capture(bought.xid, eur(wanted), authorization=found.number, batch_id=batch),
                    twisted=again,
                    kind="capture",
                    purchase=bought.number,
                    amount=wanted,
                    about=found.auth_rrpid,
                    shown=cents(found),
                    capture=number,
                    batch=batch,
                )

        self.attempt(which, make)

    @rule(which=anything, auth=anything, capture=anything, amount=st.sampled_from([None, None, None, 7]))
    def reverse_capture(self, which: int, auth: int, capture: int, amount: int | None) -> None:
        def make(bought: Any, merchant: Any, record: Any) -> None:
            found = self.of(record.authorizations, auth)
            taken = self.of(found.captures, capture)
            said = cents(taken) if amount is None else amount
            bought.lied |= said != cents(taken)
            with lying(merchant, item(amount=eur(said)), None):
                self.world.ask(
                    bought.merchant,
                    lambda: merchant.reverse_capture(bought.xid, authorization=found.number, capture=taken.number),
                    twisted=said != cents(taken),
                    kind="reverse_capture",
                    purchase=bought.number,
                    amount=said,
                    about=found.auth_rrpid,
                    shown=cents(found),
                    capture=taken.number,
                )

        self.attempt(which, make)

    @rule(
        which=anything,
        auth=anything,
        capture=anything,
        amount=st.none() | amounts,
        batch=st.sampled_from([None, None, None, 1, 1, 2]),
        again=st.sampled_from([False] * 5 + [True]),
    )
    def credit(self, which: int, auth: int, capture: int, amount: int | None, batch: int | None, again: bool) -> None:
        def make(bought: Any, merchant: Any, record: Any) -> None:
            found = self.of(record.authorizations, auth)
            taken = self.of(found.captures, capture)
            wanted = cents(taken) if amount is None else amount
            number = 1 if again else len(taken.credits) + 1
            bought.lied |= again
            with lying(merchant, item(cred_num=1) if again else None, None):
                self.world.ask(
                    bought.merchant,
                    lambda: merchant.credit(
                        bought.xid,
                        eur(wanted),
                        authorization=found.number,
                        capture=taken.number,
                        batch_id=batch,
                    ),
                    twisted=again,
                    kind="credit",
                    purchase=bought.number,
                    amount=wanted,
                    about=found.auth_rrpid,
                    shown=cents(found),
                    capture=taken.number,
                    credit=number,
                    batch=batch,
                )

        self.attempt(which, make)

    @rule(which=anything, auth=anything, capture=anything, credit=anything)
    def reverse_credit(self, which: int, auth: int, capture: int, credit: int) -> None:
        def make(bought: Any, merchant: Any, record: Any) -> None:
            found = self.of(record.authorizations, auth)
            taken = self.of(found.captures, capture)
            given = self.of(taken.credits, credit)
            self.world.ask(
                bought.merchant,
                lambda: merchant.reverse_credit(
                    bought.xid, authorization=found.number, capture=taken.number, credit=given.number
                ),
                kind="reverse_credit",
                purchase=bought.number,
                amount=cents(given),
                about=found.auth_rrpid,
                shown=cents(found),
                capture=taken.number,
                credit=given.number,
            )

        self.attempt(which, make)

    @rule(
        merchant=st.integers(0, 2),
        number=st.integers(1, 3),
        operation=st.sampled_from([None, BatchOperation.open, BatchOperation.close, BatchOperation.purge]),
    )
    def batch(self, merchant: int, number: int, operation: BatchOperation | None) -> None:
        if operation is BatchOperation.purge and not self.is_idle(merchant):
            return
        self.world.ask(
            merchant,
            lambda: self.world.merchants[merchant].batch(number, operation),
            kind="batch",
            batch=number,
            operation="" if operation is None else operation.name,
        )

    def is_idle(self, merchant: int) -> bool:
        """Nothing that this merchant asked, or will ask when a PReq arrives, is under way."""
        mine = [self.world.record(bought) for bought in self.world.bought if bought.merchant == merchant]
        waiting = any(record is not None and record.outstanding is not None for record in mine)
        coming = any(letter.name == "PReq" for letter in self.world.flying)
        return not waiting and not coming and not self.is_purging(merchant)

    @rule(which=anything)
    def give_up(self, which: int) -> None:
        """The answer to an AuthReq does not come: it may be on its way, or the request."""
        waiting = [b for b in self.world.bought if (record := self.world.record(b)) is not None and record.outstanding]
        if not waiting:
            return
        bought, merchant, record = self.chosen(self.world.bought.index(waiting[which % len(waiting)]))
        asked = [a for a in record.authorizations if a.auth_rrpid == record.outstanding]
        if asked and not self.is_purging(bought.merchant):
            self.world.ask(
                bought.merchant,
                lambda: merchant.give_up(bought.xid),
                kind="give_up",
                purchase=bought.number,
                about=asked[0].auth_rrpid,
            )

    @rule(which=anything)
    def resend(self, which: int) -> None:
        try:
            bought, _, _ = self.chosen(which)
            self.world.resend(bought)
        except UsageError:
            return

    # --- the network ------------------------------------------------------------------------------

    @precondition(lambda self: self.world.flying)
    @rule(which=anything)
    def deliver(self, which: int) -> None:
        """Any of them next: the others are late."""
        self.world.deliver(self.world.flying.pop(which % len(self.world.flying)))

    @precondition(lambda self: self.world.flying)
    @rule()
    def deliver_everything(self) -> None:
        self.world.run_quiet()

    @precondition(lambda self: self.world.flying)
    @rule(which=anything)
    def drop(self, which: int) -> None:
        self.world.flying.pop(which % len(self.world.flying))

    @precondition(lambda self: self.world.flying)
    @rule(which=anything)
    def duplicate(self, which: int) -> None:
        self.world.deliver(self.world.flying[which % len(self.world.flying)])

    @precondition(lambda self: self.world.history)
    @rule(which=anything)
    def replay(self, which: int) -> None:
        letter = self.world.history[which % len(self.world.history)]
        if letter.name == "PReq" and self.is_purging(letter.to[1]):
            return
        self.world.deliver(letter)

    @precondition(lambda self: self.world.history)
    @rule(which=anything, bit=anything)
    def corrupt(self, which: int, bit: int) -> None:
        self.world.corrupted(self.world.history[which % len(self.world.history)], bit)

    @rule(by=st.sampled_from([timedelta(minutes=5), timedelta(days=1), timedelta(days=3)]))
    def wait(self, by: timedelta) -> None:
        if self.world.clock() - NOW < timedelta(days=60):
            self.world.wait(by)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    # --- always -----------------------------------------------------------------------------------

    @invariant()
    def the_books_are_in_order(self) -> None:
        self.world.check()
        self.world.check_agreement()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.settle()
        self.world.check()
        self.world.check_agreement()


COVERED: Counter[str] = Counter()
"""Answers that gateways gave in all examples of this process."""


EXPECTED = {
    *(f"auth {code}" for code in ("approved", "declined", "amountError", "piPreviouslyUsed", "piAuthMismatch")),
    *(f"auth {code}" for code in ("recurringTooSoon", "recurringExpired", "installRecurMismatch")),
    *(f"reverse {code}" for code in ("approved", "invalidAmount")),
    *("auth noReply", "give_up approved"),
    *(f"capture {code}" for code in ("success", "amountError", "batchUnknown", "batchClosed", "duplicateRequest")),
    *(f"reverse_capture {code}" for code in ("success", "amountError", "originalProcessed")),
    *(f"credit {code}" for code in ("success", "amountError", "duplicateRequest")),
    *(f"reverse_credit {code}" for code in ("success", "originalProcessed")),
    *(f"batch {code}" for code in ("success", "batchAlreadyOpen", "batchIDUnavailable", "unknownBatchID")),
}
"""What long walks must have come across, or they have not tried hard enough."""


@pytest.mark.prop("PX-7", "PX-9", "PX-16")
@pytest.mark.slow
def test_money_is_conserved() -> None:
    run_state_machine_as_test(
        Conservation,
        settings=settings(
            max_examples=3000 if THOROUGH else 80,
            stateful_step_count=80 if THOROUGH else 50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


STEPS: dict[str, int] = {
    "buy": 3,
    "pay": 2,
    "inquire": 1,
    "authorize": 5,
    "authorize_with_the_pi": 2,
    "give_up": 2,
    "reverse": 3,
    "capture": 10,
    "reverse_capture": 3,
    "credit": 6,
    "reverse_credit": 4,
    "batch": 4,
    "resend": 2,
    "deliver": 6,
    "deliver_everything": 4,
    "drop": 1,
    "duplicate": 2,
    "replay": 3,
    "corrupt": 2,
    "wait": 2,
    "settle": 2,
}
"""Rule → how often it is taken in a long walk."""


def arguments(dice: random.Random, step: str) -> dict[str, Any]:
    """Of a rule, at random."""
    some: dict[str, Any] = {name: dice.randrange(1 << 16) for name in ("which", "auth", "capture", "credit", "bit")}
    taken = {
        "buy": ("card", "merchant", "signed", "how", "number", "pays"),
        "authorize": ("which", "amount", "more", "stolen"),
        "reverse": ("which", "auth", "amount"),
        "capture": ("which", "auth", "amount", "batch", "again"),
        "reverse_capture": ("which", "auth", "capture", "amount"),
        "credit": ("which", "auth", "capture", "amount", "batch", "again"),
        "reverse_credit": ("which", "auth", "capture", "credit"),
        "batch": ("merchant", "number", "operation"),
        "corrupt": ("which", "bit"),
        "wait": ("by",),
        **dict.fromkeys(("deliver_everything", "settle"), ()),
    }.get(step, ("which",))
    optional = step in ("capture", "credit", "reverse_capture") and dice.random() < 0.5
    some |= {
        "card": dice.randrange(3),
        "merchant": dice.randrange(3),
        "signed": dice.randint(2, 150),
        "how": dice.choice(["whole", "sale", "shares", "instalments", "recurring"]),
        "number": dice.choice((1, 1, 2)) if step == "batch" else dice.randint(2, 4),
        "pays": dice.random() < 0.8,
        "amount": None if optional else dice.choice((dice.randint(1, 60), dice.randint(1, 15), 0)),
        "more": dice.random() < 0.7,
        "stolen": dice.randrange(1 << 16) if dice.random() < 0.3 else None,
        "batch": dice.choice((None, None, None, 1, 2)),
        "again": dice.random() < 0.1,
        "operation": dice.choice([None, *BatchOperation]),
        "by": dice.choice((timedelta(minutes=5), timedelta(days=1), timedelta(days=4))),
    }
    return {name: some[name] for name in taken}


@pytest.mark.prop("PX-7", "PX-9", "PX-16")
@pytest.mark.slow
def test_long_walks() -> None:
    """The same rules, drawn with weights, further than hypothesis goes; what fails is named by its seed."""
    COVERED.clear()
    compared = 0
    for seed in range(SEED, SEED + (2000 if THOROUGH else 45)):
        machine, dice, walked = Conservation(), random.Random(seed), []
        try:
            machine.begin(seed)
            for step in dice.choices(list(STEPS), list(STEPS.values()), k=100):
                if step in ("deliver", "drop", "duplicate") and not machine.world.flying:
                    continue
                if step == "buy" and len(machine.world.bought) > 12:
                    continue
                chosen = arguments(dice, step)
                walked.append((step, chosen))
                getattr(machine, step)(**chosen)
                machine.the_books_are_in_order()
            machine.world.settle()
            machine.world.check()
            compared += machine.world.check_agreement()
        except Exception as failure:
            raise AssertionError(f"seed {seed}, step {len(walked)}: {walked[-3:]}") from failure
        COVERED.update(machine.world.codes)
    if os.environ.get("SETPROTO_SHOW"):
        print(compared, COVERED)
    if SEED == 1 or THOROUGH:
        assert set(COVERED) >= EXPECTED
    assert compared > 45
