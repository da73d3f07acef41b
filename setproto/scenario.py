"""Scenarios: what happens to one order, written down as data, run for real, and checked to the cent.

A scenario is a TOML file (those that are shipped are in ``setproto/scenarios``)::

    name = "partial-capture"
    about = "Only part of the goods could be delivered."

    [order]
    amount = "EUR 100.00"            # also: first_amount, capture_now, instalments, every_days + until;
                                     # and beside name and about: balance, of the card account

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
(``authorization``, ``capture``, ``credit``).  A step that is answered may say ``code``: the code of the answer;
without it, success is expected (of ``inquire``: any answer).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pki.der import general_time
from setproto.amounts import CurrencyAmount
from setproto.errors import ErrorCode, SetError, UsageError
from setproto.market import Market
from setproto.messages import codes
from setproto.messages.common import InstallRecurData, Recurring, Role
from setproto.messages.registry import TRADE
from setproto.roles.gateway import records as gateway_records
from setproto.roles.operations import live_sum
from setproto.roles.ports import EventKind, Outgoing

SUCCESS: Final = ("approved", "success")
STEP_FIELDS: Final[dict[str, tuple[set[str], set[str]]]] = {
    "buy": (set(), set()),
    "authorize": ({"amount"}, {"more"}),
    "reverse": (set(), {"amount", "authorization"}),
    "capture": (set(), {"amount", "authorization", "batch"}),
    "reverse-capture": (set(), {"authorization", "capture"}),
    "credit": (set(), {"amount", "authorization", "capture", "batch"}),
    "reverse-credit": (set(), {"authorization", "capture", "credit"}),
    "batch": ({"batch"}, {"operation"}),
    "certificates": (set(), set()),
    "inquire": (set(), set()),
    "wait": ({"days"}, set()),
    "lose": ({"message"}, set()),
    "resend": (set(), set()),
}
"""What may be done, with the fields that it needs and those that it may have, besides ``do`` and ``code``."""
SILENT: Final = ("wait", "lose")
"""Steps that nobody answers."""
ORDER_FIELDS: Final = {"amount", "first_amount", "capture_now", "instalments", "every_days", "until"}
AMOUNTS: Final = ("authorised", "captured", "credited")


@dataclass(frozen=True)
class Scenario:
    """One order and what is done with it."""

    name: str
    about: str
    order: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    expect: dict[str, str]
    balance: str
    """What the card account holds in the beginning; 1000 in the currency of the order unless said."""


@dataclass(frozen=True)
class Amounts:
    """The money in the end."""

    authorised: CurrencyAmount
    captured: CurrencyAmount
    credited: CurrencyAmount

    def in_words(self) -> dict[str, str]:
        """Name → amount, for people and JSON."""
        return {name: str(getattr(self, name)) for name in AMOUNTS}


@dataclass
class Outcome:
    """How a scenario went.  ``problems`` says everything that was not as expected."""

    scenario: Scenario
    market: Market
    """Where it took place; its ``traffic`` is every message."""
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
        text = path.read_text(encoding="utf-8")
    except OSError as failure:
        raise UsageError(f"{path}: {failure.strerror or failure}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8") from None
    return read(text, str(path))


def read(text: str, where: str) -> Scenario:
    """A scenario from TOML.  UsageError names the file, the place in it, and the fault."""
    try:
        data = tomllib.loads(text)
        _check("", data, {"name", "order", "steps", "expect"}, {"about", "balance"})
        _check("order: ", data["order"], {"amount"}, ORDER_FIELDS)
        _check("expect: ", data["expect"], set(AMOUNTS), set())
        agreed(data["order"])
        for number, step in enumerate(data["steps"], 1):
            do = step.get("do") if isinstance(step, dict) else None
            if not isinstance(do, str) or do not in STEP_FIELDS:
                raise ValueError(f"step {number}: there is no {do!r}")
            needed, more = STEP_FIELDS[do]
            _check(f"step {number} ({do}): ", step, needed | {"do"}, more if do in SILENT else more | {"code"})
        _check_currency(data)
    except (ValueError, RecursionError) as failure:
        raise UsageError(f"{where}: {failure}") from None
    return Scenario(
        data["name"],
        data.get("about", ""),
        data["order"],
        tuple(data["steps"]),
        data["expect"],
        data.get("balance", f"{data['order']['amount'].split()[0]} 1000"),
    )


def agreed(order: dict[str, Any]) -> InstallRecurData | None:
    """Instalments or recurring payments, if that is what an order is about.  ValueError if it cannot be both."""
    recurring = None
    if ("every_days" in order) != ("until" in order):
        raise ValueError("order: every_days and until go together")
    if "every_days" in order:
        last = general_time(_date(order["until"]))
        recurring = Recurring(recurring_frequency=order["every_days"], recurring_expiry=last)
    if recurring is None and "instalments" not in order:
        return None
    return InstallRecurData(install_total_trans=order.get("instalments"), recurring=recurring)


def _check(place: str, table: Any, needed: set[str], more: set[str]) -> None:
    """ValueError unless a table has what it needs, nothing that is not known, and values that make sense."""
    if not isinstance(table, dict):
        raise ValueError(f"{place}not a table")
    for fault, names in (("missing", needed - set(table)), ("unknown", set(table) - needed - more)):
        if names:
            raise ValueError(f"{place}{fault}: {', '.join(sorted(names))}")
    for name, value in table.items():
        try:
            FIELDS[name](value)
        except (ValueError, TypeError, AttributeError) as failure:
            raise ValueError(f"{place}{name}: {failure}") from None


def _check_currency(data: dict[str, Any]) -> None:
    """ValueError unless a scenario is about money of one kind."""
    currency = CurrencyAmount.of(data["order"]["amount"]).currency
    tables = {"": data, "order: ": data["order"], "expect: ": data["expect"]}
    tables |= {f"step {number} ({step['do']}): ": step for number, step in enumerate(data["steps"], 1)}
    for place, table in tables.items():
        for name in ("amount", "first_amount", "balance", *AMOUNTS):
            if name in table and CurrencyAmount.of(table[name]).currency != currency:
                raise ValueError(f"{place}{name}: not in the currency of the order")


def _is(of_type: type, words: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if type(value) is not of_type:
            raise ValueError(f"{words} is wanted")

    return check


def _number(limit: int) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if type(value) is not int or not 1 <= value <= limit:
            raise ValueError(f"a number from 1 to {limit:,} is wanted")

    return check


def _one_of(words: str, names: Iterable[str]) -> Callable[[Any], None]:
    known = frozenset(names)

    def check(value: Any) -> None:
        if value not in known:
            raise ValueError(f"there is no {words} {value!r}")

    return check


def _amount(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError('an amount is written like "EUR 12.50"')
    CurrencyAmount.of(value)


def _date(value: Any) -> datetime:
    day = date.fromisoformat(value) if isinstance(value, str) else value
    if type(day) is not date:
        raise ValueError("a date is wanted, like 2026-03-20")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_LISTS: Final = (
    *(codes.CompletionCode, codes.AuthCode, codes.CapCode, codes.AuthRevCode, codes.CapRevOrCredCode),
    *(codes.PCertCode, codes.BAStatus, ErrorCode),
)
FIELDS: Final[dict[str, Callable[[Any], object]]] = {
    **{name: _is(str, "a text") for name in ("name", "about", "do")},
    **{name: _is(dict, "a table") for name in ("order", "expect")},
    **{name: _is(bool, "true or false") for name in ("capture_now", "more")},
    **dict.fromkeys(("amount", "first_amount", "balance", *AMOUNTS), _amount),
    **dict.fromkeys(("authorization", "capture", "credit", "instalments"), _number(1_000)),
    **dict.fromkeys(("days", "every_days"), _number(366)),
    "steps": _is(list, "a list of steps"),
    "until": _date,
    "batch": _number(1_000_000_000),
    "code": _one_of("code", (code.name for of_list in _LISTS for code in of_list)),
    "message": _one_of("message", (message.name for message in TRADE)),
    "operation": _one_of("operation", (operation.name for operation in codes.BatchOperation)),
}
"""Field, wherever it stands → ValueError, TypeError or AttributeError for a value that makes no sense."""


# --- running ------------------------------------------------------------------------------------


def run(scenario: Scenario, suite: str = "p256", *, journal: bool = False) -> Outcome:
    """Run a scenario in a market of its own; with ``journal`` everybody keeps a record."""
    market = Market.open(suite, balance=scenario.balance, journal=journal)
    runner = _Runner(market, scenario)
    problems: list[str] = []
    for number, step in enumerate(scenario.steps, 1):
        problem = runner.step(step)
        if problem:
            problems.append(f"step {number} ({step['do']}): {problem}")
    problems.extend(f"{name}: to be lost, and never sent" for name in market.lose)
    amounts = runner.amounts()
    problems.extend(runner.disagreements(amounts))
    expected = {name: CurrencyAmount.of(text) for name, text in scenario.expect.items()}
    for name, value in expected.items():
        if not value.same_value(getattr(amounts, name)):
            problems.append(f"{name}: {getattr(amounts, name)}, expected {value}")
    return Outcome(scenario, market, amounts, problems)


class _Runner:
    """Carries out the steps of one scenario."""

    def __init__(self, market: Market, scenario: Scenario) -> None:
        self.market = market
        order = scenario.order
        self.order = market.order(
            order["amount"],
            scenario.name.encode(),
            install_recur_data=agreed(order),
            first_amount=order.get("first_amount"),
            capture_now=order.get("capture_now", False),
        )
        self.lid_c = b""
        self.xid = b""

    def step(self, step: dict[str, Any]) -> str | None:
        """Do it; what was not as expected, or None."""
        before, lost = len(self.market.events), len(self.market.lost)
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
        except SetError as failure:
            return failure.detail
        if do in SILENT:
            return None
        said = self._results(before) if do == "inquire" else self._codes(before)
        wanted = step.get("code")
        if not said:
            return None if len(self.market.lost) > lost and wanted is None else "no answer"
        if wanted is None and do != "inquire" and said[-1] not in SUCCESS:
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

    def _results(self, before: int) -> list[str]:
        """What the merchant's answers said to the cardholder since then."""
        return [event.detail for _, event in self.market.events[before:] if event.kind is EventKind.RESULT]

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
            found.append(f"the bank has charged {account.charged // account.opening.step} cents")
        if sum(account.held.values()) != amounts.authorised.value - amounts.captured.value:
            found.append(f"the bank holds {sum(account.held.values()) // account.opening.step} cents")
        return found


def _needed(amount: CurrencyAmount | None) -> CurrencyAmount:
    if amount is None:
        raise UsageError("an amount is needed")
    return amount


def _operation(step: dict[str, Any]) -> codes.BatchOperation | None:
    name = step.get("operation")
    return None if name is None else codes.BatchOperation[name]
