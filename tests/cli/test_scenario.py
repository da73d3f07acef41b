"""``setproto scenario``: the shipped ones, one's own, and every way in which it must say that something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from setproto.cli import app
from setproto.messages.registry import TRADE
from setproto.scenario import SILENT, STEP_FIELDS, shipped
from tests.cli.conftest import PAN, setproto
from tests.cli.test_demo import EVERY_SUITE

AMOUNTS = {
    "sale": ("EUR 42.00", "EUR 42.00", "EUR 0.00"),
    "split-shipment": ("EUR 100.00", "EUR 100.00", "EUR 0.00"),
    "instalments": ("EUR 80.00", "EUR 80.00", "EUR 0.00"),
    "recurring": ("EUR 20.00", "EUR 20.00", "EUR 0.00"),
    "partial-capture": ("EUR 100.00", "EUR 90.00", "EUR 0.00"),
    "reversal": ("EUR 0.00", "EUR 0.00", "EUR 0.00"),
    "credit": ("EUR 80.00", "EUR 80.00", "EUR 30.00"),
    "credit-reversal": ("EUR 80.00", "EUR 80.00", "EUR 5.00"),
    "batch-close": ("EUR 50.00", "EUR 50.00", "EUR 0.00"),
    "decline": ("EUR 0.00", "EUR 0.00", "EUR 0.00"),
    "lost-response": ("EUR 42.00", "EUR 42.00", "EUR 0.00"),
}
MINE = """\
name = "mine"
about = "Everything that no other scenario does."

[order]
amount = "USD 30.00"
every_days = 7
until = 2026-12-31

[[steps]]
do = "buy"
code = "approved"

[[steps]]
do = "certificates"

[[steps]]
do = "capture"
authorization = 1
amount = "USD 10.00"

[[steps]]
do = "lose"
message = "CapReq"

[[steps]]
do = "capture"

[[steps]]
do = "resend"

[[steps]]
do = "wait"
days = 7

[[steps]]
do = "authorize"
amount = "USD 30.00"

[[steps]]
do = "reverse"
authorization = 2

[[steps]]
do = "credit"
authorization = 1
capture = 1
amount = "USD 1.00"

[[steps]]
do = "inquire"
code = "creditPerformed"

[expect]
authorised = "USD 30.00"
captured = "USD 30.00"
credited = "USD 1.00"
"""


def scenario(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["scenario", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def reports(*arguments: str | Path) -> tuple[int, Any]:
    status, out, err = scenario(*arguments, "--json")
    assert err == ""
    return status, json.loads(out)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    return path


def check(report: dict[str, Any], name: str, suite: str) -> None:
    """Every field of a report in which all went well, and no other."""
    assert set(report) == {"name", "ok", "suite", "messages", "amounts", "problems"}
    assert (report["name"], report["suite"]) == (name, suite)
    assert report["ok"] is True
    assert report["problems"] == []
    assert report["messages"]
    parties = {message.name: (message.sender.name, message.recipient.name) for message in TRADE}
    for n, message in enumerate(report["messages"], 1):
        assert set(message) == {"n", "name", "from", "to", "bytes"}
        assert message["n"] == n
        assert (message["from"], message["to"]) == parties[message["name"]]
        assert type(message["bytes"]) is int
        assert message["bytes"] > 100
    assert set(report["amounts"]) == {"authorised", "captured", "credited"}


@pytest.mark.parametrize("suite", EVERY_SUITE)
def test_all_of_them(suite: str) -> None:
    result = setproto("scenario", "--all", "--json", "--suite", suite)
    assert (result.returncode, result.stderr) == (0, "")
    every = json.loads(result.stdout)
    assert [report["name"] for report in every] == list(AMOUNTS)
    for report in every:
        check(report, report["name"], suite)
        amounts = report["amounts"]
        assert (amounts["authorised"], amounts["captured"], amounts["credited"]) == AMOUNTS[report["name"]]


def test_one_is_an_object_and_several_are_a_list(mine: Path) -> None:
    status, one = reports("sale")
    assert status == 0
    check(one, "sale", "p256")
    names = [message["name"] for message in one["messages"]]
    assert names == ["PInitReq", "PInitRes", "PReq", "AuthReq", "AuthRes", "PRes", "InqReq", "InqRes"]
    status, two = reports(mine, "decline", "--suite", "ed25519")
    assert status == 0
    for report, name in zip(two, ("mine", "decline"), strict=True):
        check(report, name, "ed25519")


def test_the_list() -> None:
    status, out, _ = scenario("--list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(AMOUNTS)
    for one in shipped().values():
        assert one.about
        assert one.about in out
    status, listed = reports("--list")
    assert (status, [entry["name"] for entry in listed]) == (0, list(AMOUNTS))


# --- the timeline ---------------------------------------------------------------------------------


def test_lost_messages_are_in_the_timeline_and_in_the_messages() -> None:
    status, out, _ = scenario("lost-response")
    assert status == 0
    assert out.count("LOST    on its way") == 2
    assert "again   the same octets as message 4" in out
    assert "again   the same octets as message 10" in out
    _, report = reports("lost-response")
    names = [message["name"] for message in report["messages"]]
    assert [names.count(name) for name in ("AuthReq", "AuthRes", "CapReq", "CapRes", "PRes")] == [2, 2, 2, 2, 1]


def test_the_timeline_says_what_was_answered_and_shows_no_card_number() -> None:
    status, out, _ = scenario("split-shipment", "reversal", "batch-close")
    assert status == 0
    assert PAN not in out
    for text in (
        *("split-shipment, suite p256", "said    approved EUR 40.00", "said    amountError EUR 25.01"),
        *("said    invalidAmount EUR 40.00", "said    batchAlreadyOpen", "said    batchClosed EUR 30.00"),
        *("AuthTokenData, PANToken by the gateway alone", "signed, then sealed", "captured    EUR 100.00"),
        *("said    originalProcessed EUR 20.00", "authorised  EUR 0.00"),
    ):
        assert text in out, text
    assert out.count("all as expected") == 3
    assert max(map(len, out.splitlines())) <= 120


# --- one's own ------------------------------------------------------------------------------------


def test_a_file_of_ones_own(mine: Path) -> None:
    status, report = reports(mine)
    assert status == 0
    check(report, "mine", "p256")
    assert report["amounts"] == {"authorised": "USD 30.00", "captured": "USD 30.00", "credited": "USD 1.00"}
    assert {"PCertReq", "PCertRes", "AuthRevReq", "CredRes"} <= {message["name"] for message in report["messages"]}


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('captured = "USD 30.00"', 'captured = "USD 29.99"', "captured: USD 30.00, expected USD 29.99"),
        ('authorised = "USD 30.00"', 'authorised = "USD 30.01"', "authorised: USD 30.00, expected USD 30.01"),
        ('credited = "USD 1.00"', 'credited = "USD 1.01"', "credited: USD 1.00, expected USD 1.01"),
        ('code = "approved"', 'code = "declined"', "step 1 (buy): answered with approved, expected declined"),
        ('code = "creditPerformed"', 'code = "success"', "step 11 (inquire): answered with creditPerformed, expected"),
        ('message = "CapReq"', 'message = "CredRevReq"', "CredRevReq: to be lost, and never sent"),
        ('days = 7\n\n[[steps]]\ndo = "auth', 'days = 6\n\n[[steps]]\ndo = "auth', "answered with recurringTooSoon"),
        ("authorization = 2", "authorization = 3", "step 9 (reverse): no such operation"),
        ('days = 7\n\n[[steps]]\ndo = "auth', 'days = 366\n\n[[steps]]\ndo = "auth', "expired"),
    ],
)
def test_what_is_not_as_expected_is_status_1(mine: Path, right: str, wrong: str, problem: str) -> None:
    assert MINE.count(right) == 1
    mine.write_text(MINE.replace(right, wrong))
    status, report = reports(mine)
    assert status == 1
    assert report["ok"] is False
    assert any(problem in found for found in report["problems"]), report["problems"]
    status, every = reports("sale", mine)
    assert (status, [entry["ok"] for entry in every]) == (1, [True, False])
    status, out, _ = scenario(mine)
    assert status == 1
    assert "NOT AS EXPECTED: " in out
    assert "all as expected" not in out


def test_an_answer_that_was_lost_before_is_no_excuse(mine: Path) -> None:
    """Something got lost in an earlier step: that does not explain why a later one has no answer."""
    lost = '[[steps]]\ndo = "lose"\nmessage = "InqRes"\n\n'
    mine.write_text(MINE.replace('[[steps]]\ndo = "inquire"\ncode', f'{lost}[[steps]]\ndo = "inquire"\ncode'))
    status, report = reports(mine)
    assert (status, report["problems"]) == (1, ["step 12 (inquire): no answer"])


MISTAKES = {
    "not TOML": ("[order]", "[order", "line 4"),
    "no order": ("[order]", "[ordre]", "missing: order"),
    "no steps": ("[[steps]]", "[[stops]]", "missing: steps"),
    "no amount": ('amount = "USD 30.00"\nevery', "every", "order: missing: amount"),
    "bad amount": ('amount = "USD 10.00"', 'amount = "USD 10.001"', "step 3 (capture): amount: USD has 2 decimals"),
    "number as amount": ('amount = "USD 10.00"', "amount = 10", "step 3 (capture): amount: "),
    "other currency": ('amount = "USD 10.00"', 'amount = "EUR 10.00"', "step 3 (capture): amount: not in the"),
    "expect in another currency": ('credited = "USD', 'credited = "EUR', "expect: credited: not in the currency"),
    "unknown step": ('do = "resend"', 'do = "pray"', "step 6: there is no 'pray'"),
    "no do": ('do = "resend"', 'does = "resend"', "step 6: there is no None"),
    "unknown field": ("authorization = 1\ncapture", "auth = 1\ncapture", "step 10 (credit): unknown: auth"),
    "field of another step": ("days = 7\n\n", "days = 7\nbatch = 1\n\n", "step 7 (wait): unknown: batch"),
    "code where nobody answers": ("days = 7\n\n", 'days = 7\ncode = "success"\n\n', "step 7 (wait): unknown: code"),
    "unknown code": ('code = "approved"', 'code = "great"', "step 1 (buy): code: there is no code 'great'"),
    "no days": ("days = 7\n\n", "\n", "step 7 (wait): missing: days"),
    "days in words": ("days = 7\n\n", 'days = "seven"\n\n', "step 7 (wait): days: a number"),
    "days without end": ("days = 7\n\n", "days = 100000000000\n\n", "step 7 (wait): days: a number"),
    "unknown message": ('message = "CapReq"', 'message = "Cap"', "step 4 (lose): message: there is no message 'Cap'"),
    "number of nothing": ("authorization = 2", "authorization = 0", "step 9 (reverse): authorization: a number"),
    "no until": ("until = 2026-12-31\n", "", "order: every_days and until go together"),
    "bad date": ("until = 2026-12-31", 'until = "soon"', "order: until: "),
    "both": ("until = 2026-12-31", "until = 2026-12-31\ninstalments = 3", "either instalments or recurring payments"),
    "one instalment": ("every_days = 7\nuntil = 2026-12-31", "instalments = 1", "instalments are at least two"),
    "expect less": ('credited = "USD 1.00"\n', "", "expect: missing: credited"),
    "expect more": ('credited = "USD 1.00"', 'credited = "USD 1.00"\nlost = "USD 1.00"', "expect: unknown: lost"),
    "name": ('name = "mine"', "name = 1", "name: a text is wanted"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_one_line_that_names_the_place(mine: Path, mistake: str) -> None:
    right, wrong, place = MISTAKES[mistake]
    assert right in MINE
    mine.write_text(MINE.replace(right, wrong))
    status, out, err = scenario(mine, "--json")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"setproto: {mine}: ")
    assert place in err


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe4"')
    (tmp_path / "folder.toml").mkdir()
    for name in ("latin.toml", "folder.toml", "none.toml"):
        status, out, err = scenario(tmp_path / name)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"{name}: " in err


@pytest.mark.parametrize(
    "arguments",
    [["rainy-day"], ["sale", "rainy-day"], [], ["--all", "sale"], ["--list", "--all"], ["sale", "--suite", "rot13"]],
)
def test_usage_errors(arguments: list[str]) -> None:
    """Nothing is run if one name is wrong."""
    result = setproto("scenario", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    if "rainy-day" in arguments:
        assert result.stderr.count("\n") == 1
        assert "rainy-day" in result.stderr


def test_every_step_is_in_some_scenario_here() -> None:
    """The tables of what may be done and of what is done in these tests are the same."""
    done = {step["do"] for one in shipped().values() for step in one.steps}
    done |= {line.split('"')[1] for line in MINE.splitlines() if line.startswith("do = ")}
    assert done == set(STEP_FIELDS)
    assert set(SILENT) <= done
