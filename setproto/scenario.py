"""Scenarios: what happens to one order, written down as data, run for real, and checked to the cent.

A scenario is a TOML file (those that are shipped are in ``setproto/scenarios``)::

    name = "partial-capture"
    about = "Only part of the goods could be delivered."

    [order]
    amount = "EUR 100.00"            # also: first_amount, capture_now, instalments, every_days + until

    [[steps]]
    do = "buy"                       # PInit, P, Auth

    [[steps]]
    do = "capture"
    amount = "EUR 60.00"

    [expect]                         # the money in the end, as gateway, merchant and bank each have it
    authorised = "EUR 100.00"
    captured = "EUR 60.00"
    credited = "EUR 0.00"

Steps: ``buy``, ``authorize`` (amount, more), ``reverse`` (amount), ``capture`` (amount, batch), ``reverse-capture``,
``credit`` (amount, batch), ``reverse-credit``, ``batch`` (operation, batch), ``certificates``, ``inquire``, ``wait``
(days), ``lose`` (message), ``resend``.  Operations are named by number where the latest is not meant
(``authorization``, ``capture``, ``credit``).  A step may say ``code``: the code with which it must be answered;
without it, success is expected.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pki.der import general_time
from setproto.amounts import CurrencyAmount
from setproto.errors import UsageError
from setproto.market import Delivery, Market
from setproto.messages.codes import BatchOperation
from setproto.messages.common import InstallRecurData, Recurring, Role
from setproto.roles.gateway import records as gateway_records
from setproto.roles.operations import live_sum
from setproto.roles.ports import EventKind, Outgoing

SUCCESS: Final = ("approved", "success")
STEP_FIELDS: Final = {
    "buy": set(),
    "authorize": {"amount", "more"},
    "reverse": {"amount", "authorization"},
    "capture": {"amount", "authorization", "batch"},
    "reverse-capture": {"authorization", "capture"},
    "credit": {"amount", "authorization", "capture", "batch"},
    "reverse-credit": {"authorization", "capture", "credit"},
    "batch": {"operation", "batch"},
    "certificates": set(),
    "inquire": set(),
    "wait": {"days"},
    "lose": {"message"},
    "resend": set(),
}
"""What may be done, and with which fields besides ``do`` and ``code``."""


@dataclass(frozen=True)
class Scenario:
    """One order and what is done with it."""

    name: str
    about: str
    order: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    expect: dict[str, str]
    balance: str = "EUR 1000.00"


@dataclass(frozen=True)
class Amounts:
    """The money in the end."""

    authorised: CurrencyAmount
    captured: CurrencyAmount
    credited: CurrencyAmount

    def in_words(self) -> dict[str, str]:
        """Name → amount, for people and JSON."""
        return {name: str(getattr(self, name)) for name in ("authorised", "captured", "credited")}


@dataclass
class Outcome:
    """How a scenario went.  ``problems`` says everything that was not as expected."""

    scenario: Scenario
    deliveries: list[Delivery]
    amounts: Amounts
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything was as expected."""
        return not self.problems


# --- reading ------------------------------------------------------------------------------------


def shipped() -> dict[str, Scenario]:
    """The scenarios that come with the package, by name."""
    found = (read(item.read_text(encoding="utf-8"), item.name) for item in _shipped_files())
    return {scenario.name: scenario for scenario in found}


def _shipped_files() -> Iterable[Any]:
    folder = files("setproto").joinpath("scenarios")
    return sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)


def load(path: Path) -> Scenario:
    """A scenario of your own.  UsageError says what is wrong with the file."""
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(f"{path}: {failure}") from None


def read(text: str, where: str) -> Scenario:
    """A scenario from TOML.  UsageError names the file and the fault."""
    try:
        data = tomllib.loads(text)
        unknown = set(data) - {"name", "about", "order", "steps", "expect", "balance"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        for number, step in enumerate(data["steps"], 1):
            allowed = STEP_FIELDS.get(step.get("do"))
            if allowed is None:
                raise ValueError(f"step {number}: there is no {step.get('do')!r}")
            extra = set(step) - allowed - {"do", "code"}
            if extra:
                raise ValueError(f"step {number} ({step['do']}): unknown {', '.join(sorted(extra))}")
        for amount in (data["order"]["amount"], *data["expect"].values()):
            CurrencyAmount.of(amount)
        return Scenario(
            data["name"],
            data.get("about", ""),
            data["order"],
            tuple(data["steps"]),
            data["expect"],
            data.get("balance", "EUR 1000.00"),
        )
    except (tomllib.TOMLDecodeError, ValueError, KeyError, AttributeError, TypeError) as failure:
        detail = f"{failure} is missing" if isinstance(failure, KeyError) else failure
        raise UsageError(f"{where}: {detail}") from None


# --- running ------------------------------------------------------------------------------------


def run(scenario: Scenario, suite: str = "p256") -> Outcome:
    """Run a scenario in a market of its own."""
    market = Market.open(suite, balance=scenario.balance)
    runner = _Runner(market, scenario)
    problems: list[str] = []
    for number, step in enumerate(scenario.steps, 1):
        problem = runner.step(step)
        if problem:
            problems.append(f"step {number} ({step['do']}): {problem}")
    amounts = runner.amounts()
    problems.extend(runner.disagreements(amounts))
    expected = {name: CurrencyAmount.of(text) for name, text in scenario.expect.items()}
    for name, value in expected.items():
        if not value.same_value(getattr(amounts, name)):
            problems.append(f"{name}: {getattr(amounts, name)}, expected {value}")
    return Outcome(scenario, market.deliveries, amounts, problems)


class _Runner:
    """Carries out the steps of one scenario."""

    def __init__(self, market: Market, scenario: Scenario) -> None:
        self.market = market
        order = dict(scenario.order)
        agreed = None
        if "instalments" in order:
            agreed = InstallRecurData(install_total_trans=order["instalments"])
        elif "every_days" in order:
            until = datetime.fromisoformat(order["until"]).replace(tzinfo=UTC)
            agreed = InstallRecurData(
                recurring=Recurring(recurring_frequency=order["every_days"], recurring_expiry=general_time(until))
            )
        self.order = market.order(
            order["amount"],
            scenario.name.encode(),
            install_recur_data=agreed,
            first_amount=order.get("first_amount"),
            capture_now=order.get("capture_now", False),
        )
        self.lid_c = b""
        self.xid = b""

    def step(self, step: dict[str, Any]) -> str | None:
        """Do it; what was not as expected, or None."""
        before = len(self.market.events)
        do = step["do"]
        try:
            if do == "buy":
                self._buy()
            elif do == "wait":
                self.market.clock.advance(timedelta(days=step["days"]))
                self.market.renew_crls()
            elif do == "lose":
                self.market.lose.append(step["message"])
            elif do == "inquire":
                self.market.deliver(Role.cardholder, self.market.cardholder.inquire(self.lid_c))
            else:
                self.market.deliver(Role.merchant, self._request(step))
        except UsageError as failure:
            return str(failure)
        said = self._codes(before)
        wanted = step.get("code")
        if do in ("wait", "lose", "inquire"):
            return None
        if not said:
            return None if self._was_lost() else "no answer"
        if wanted is None and said[-1] not in SUCCESS:
            return f"answered with {said[-1]}"
        if wanted is not None and said[-1] != wanted:
            return f"answered with {said[-1]}, expected {wanted}"
        return None

    def _buy(self) -> None:
        cardholder = self.market.cardholder
        self.lid_c, pinit_req = cardholder.start(self.order)
        self.market.deliver(Role.cardholder, pinit_req)
        self.market.deliver(Role.cardholder, cardholder.pay(self.lid_c))
        self.xid = self.market.result(self.lid_c).xid

    def _request(self, step: dict[str, Any]) -> Outgoing:
        merchant, xid = self.market.merchant, self.xid
        amount = CurrencyAmount.of(step["amount"]) if "amount" in step else None
        numbers = {name: step[name] for name in ("authorization", "capture", "credit") if name in step}
        requests: dict[str, Callable[[], Outgoing]] = {
            "authorize": lambda: merchant.authorize(xid, _needed(amount), more=step.get("more", False)),
            "reverse": lambda: merchant.reverse(xid, amount, **numbers),
            "capture": lambda: merchant.capture(xid, amount, batch_id=step.get("batch"), **numbers),
            "reverse-capture": lambda: merchant.reverse_capture(xid, **numbers),
            "credit": lambda: merchant.credit(xid, amount, batch_id=step.get("batch"), **numbers),
            "reverse-credit": lambda: merchant.reverse_credit(xid, **numbers),
            "batch": lambda: merchant.batch(step["batch"], _operation(step)),
            "certificates": merchant.ask_certificates,
            "resend": lambda: merchant.resend(xid),
        }
        return requests[step["do"]]()

    def _codes(self, before: int) -> list[str]:
        """What the gateway's answers said to the merchant since then."""
        answered = set(EventKind) - {EventKind.RESULT, EventKind.REPEATED, EventKind.ORDER_RECEIVED}
        return [
            event.code.name
            for role, event in self.market.events[before:]
            if role is Role.merchant and event.kind in answered and event.code is not None
        ]

    def _was_lost(self) -> bool:
        """Whether a message that the step waited for was to get lost."""
        return bool(self.market.lost)

    def amounts(self) -> Amounts:
        """The money as the gateway has it."""
        zero = self.order.amount.with_amount(0)
        merchant = self.market.merchant.party
        with self.market.stores[Role.gateway].transaction() as transaction:
            record = gateway_records.find(transaction, merchant, self.xid)
        if record is None:
            return Amounts(zero, zero, zero)
        captures = [capture for a in record.live() for capture in a.captures]
        credits = [credit for capture in captures for credit in capture.credits]
        return Amounts(live_sum(record.authorizations, zero), live_sum(captures, zero), live_sum(credits, zero))

    def disagreements(self, amounts: Amounts) -> list[str]:
        """Where merchant or bank have other figures than the gateway."""
        if not self.xid:
            return []
        zero = self.order.amount.with_amount(0)
        record = self.market.merchant.purchase(self.xid)
        captures = [capture for a in record.authorizations for capture in a.captures]
        credits = [credit for capture in captures for credit in capture.credits]
        mine = Amounts(live_sum(record.authorizations, zero), live_sum(captures, zero), live_sum(credits, zero))
        found = []
        if record.outstanding is None and mine != amounts:
            found.append(f"the merchant has {mine.in_words()}")
        account = self.market.account
        if account.charged != amounts.captured.value - amounts.credited.value:
            found.append(f"the bank has charged {account.charged}")
        if sum(account.held.values()) != amounts.authorised.value - amounts.captured.value:
            found.append(f"the bank holds {sum(account.held.values())}")
        return found


def _needed(amount: CurrencyAmount | None) -> CurrencyAmount:
    if amount is None:
        raise UsageError("an amount is needed")
    return amount


def _operation(step: dict[str, Any]) -> BatchOperation | None:
    name = step.get("operation")
    return None if name is None else BatchOperation[name]
