"""Scenarios: those that are shipped end as they say; a file with a mistake says where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from setproto import scenario
from setproto.errors import UsageError

SHIPPED = scenario.shipped()
NAMES = (
    *("sale", "split-shipment", "instalments", "recurring", "partial-capture", "reversal"),
    *("credit", "credit-reversal", "batch-close", "decline", "lost-response"),
)


def test_all_that_were_promised_are_there() -> None:
    assert tuple(SHIPPED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_ends_with_the_expected_money(name: str) -> None:
    outcome = scenario.run(SHIPPED[name])
    assert outcome.problems == []
    assert outcome.ok
    assert outcome.amounts.in_words() == SHIPPED[name].expect
    assert SHIPPED[name].about


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("amount", ["authorised", "captured", "credited"])
def test_another_expectation_fails(name: str, amount: str) -> None:
    from dataclasses import replace

    wrong = replace(SHIPPED[name], expect={**SHIPPED[name].expect, amount: "EUR 0.01"})
    outcome = scenario.run(wrong)
    assert not outcome.ok
    assert outcome.problems[-1].startswith(f"{amount}: ")


GOOD = """\
name = "mine"
about = "One of my own."
[order]
amount = "EUR 5.00"
[[steps]]
do = "buy"
[[steps]]
do = "capture"
amount = "EUR 2.00"
[expect]
authorised = "EUR 5.00"
captured = "EUR 2.00"
credited = "EUR 0.00"
"""


def test_one_of_my_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD, encoding="utf-8")
    assert scenario.run(scenario.load(file)).ok


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('do = "capture"', 'do = "grab"', "step 2.*grab"),
        ('do = "capture"', 'undo = "capture"', "step 2"),
        ('do = "buy"', 'do = "buy"\nbatch = 3', "step 1.*batch"),
        ('amount = "EUR 2.00"', 'amont = "EUR 2.00"', "step 2.*amont"),
        ("[order]", "[ordr]", "ordr|order"),
        ('amount = "EUR 5.00"', "", "amount"),
        ('amount = "EUR 5.00"', 'amount = "EUR 5.001"', "decimals|amount"),
        ('captured = "EUR 2.00"', 'captured = "two euros"', "currency|captured"),
        ('captured = "EUR 2.00"', "captured = 2", "mine"),
        ('name = "mine"', "", "name"),
        ('name = "mine"', 'name = "mine', "line 1"),
        ("[expect]", "", "expect|authorised"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=says) as failure:
        scenario.load(file)
    assert "mine.toml" in str(failure.value)


MISTAKES_THAT_ARE_FOUND_LATE = [
    ('amount = "EUR 2.00"', 'amount = "2 euros"'),
    ('do = "capture"\namount = "EUR 2.00"', 'do = "wait"'),
    ('do = "capture"\namount = "EUR 2.00"', 'do = "wait"\ndays = "two"'),
    ('do = "capture"\namount = "EUR 2.00"', 'do = "lose"'),
    ('do = "capture"\namount = "EUR 2.00"', 'do = "batch"'),
    ('do = "capture"\namount = "EUR 2.00"', 'do = "batch"\nbatch = 1\noperation = "burn"'),
    ('amount = "EUR 5.00"', 'amount = "EUR 5.00"\ninstalments = 1'),
    ('amount = "EUR 5.00"', 'amount = "EUR 5.00"\nevery_days = 28'),
    ('amount = "EUR 5.00"', 'amount = "EUR 5.00"\nevery_days = 0\nuntil = "2026-09-01"'),
    ('amount = "EUR 5.00"', 'amount = "EUR 5.00"\nevery_days = 9\nuntil = "soon"'),
    ('amount = "EUR 5.00"', 'amount = "EUR 5.00"\nfirst_amount = "half"'),
    ('amount = "EUR 5.00"', 'amount = "EUR 5.00"\ncapture_soon = true'),
    ('about = "One of my own."', 'balance = "lots"'),
    ('captured = "EUR 2.00"', 'grabbed = "EUR 2.00"'),
]


@pytest.mark.parametrize(("old", "new"), MISTAKES_THAT_ARE_FOUND_LATE, ids=lambda text: text[-30:])
def test_no_mistake_in_a_file_ends_in_a_traceback(tmp_path: Path, old: str, new: str) -> None:
    """Whether it is found in reading or in running: the user's own mistake is a UsageError or a problem."""
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    try:
        outcome = scenario.run(scenario.load(file))
    except UsageError:
        return
    assert outcome.problems


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml"):
        scenario.load(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        scenario.load(tmp_path / "bad.toml")
