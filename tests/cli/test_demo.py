"""``setproto demo`` as people and programs meet it, and every way in which it must say that something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from pki.authority import Authority
from setproto.cli import app
from setproto.cli.console import Suite
from setproto.crypto.suites import SUITES
from setproto.demo import attacks, run
from setproto.messages.common import Role
from setproto.roles.gateway.records import PurchaseRecord
from tests.cli.conftest import PAN, ROOT, Kept, setproto

EVERY_SUITE = ["p256", "ed25519", "mldsa65", pytest.param("rsa3072", marks=pytest.mark.slow)]
MESSAGES = ["PInitReq", "PInitRes", "PReq", "AuthReq", "AuthRes", "PRes", "CapReq", "CapRes", "InqReq", "InqRes"]
REFUSALS = {
    "order-changed": ("merchant", "signatureFailure"),
    "payment-moved": ("gateway", "signatureFailure"),
    "payment-replayed": ("gateway", "piPreviouslyUsed"),
    "revoked-merchant": ("gateway", "revokedCertificate"),
}


def demo(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["demo", "--json", *arguments])
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize("suite", EVERY_SUITE)
def test_json(suite: str) -> None:
    result = setproto("demo", "--suite", suite, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert report["suite"] == suite
    assert report["completion_code"] == "capturePerformed"
    assert report["amount"] == "EUR 42.00"
    assert report["test_card"] == PAN
    assert [message["name"] for message in report["messages"]] == MESSAGES
    assert [message["n"] for message in report["messages"]] == list(range(1, 11))
    assert all(message["bytes"] > 100 for message in report["messages"])
    assert report["messages"][3]["from"] == "merchant"
    assert report["messages"][3]["to"] == "gateway"
    assert {a["name"]: (a["refused_by"], a["error"]) for a in report["attacks"]} == REFUSALS
    scan = report["merchant_scan"]
    assert scan["hits"] == 0
    assert scan["bytes_scanned"] > 100_000
    assert {"ASCII", "UTF-16-LE", "hex of ASCII", "base64 of ASCII"} <= set(scan["encodings"])
    assert report["seconds"] > 0


def test_the_suites_of_the_command_are_those_of_the_library() -> None:
    assert [suite.value for suite in Suite] == list(SUITES)


def test_the_report_shows_who_sees_what_and_never_the_card_number(p256: Kept) -> None:
    report = p256.report
    assert PAN not in report
    assert "411111••••••1111" in report
    for name in MESSAGES:
        assert name in report
    for attack, (by, error) in REFUSALS.items():
        assert attack in report
        assert f"refused by the {by}: {error}" in report
    assert "PI-OILink, PANData by the gateway alone" in report
    assert "capturePerformed; 4 of 4 attacks refused; card number found 0 times" in report
    assert max(map(len, report.partition("\nKept in")[0].splitlines())) <= 120
    assert "\x1b" not in report


def test_what_each_party_reads_comes_from_opening_the_messages() -> None:
    steps = {step.name: step for step in run.demonstrate().steps}
    assert steps["PReq"].anyone == ("OIData",)
    assert steps["PReq"].opens == {Role.gateway: ("PI-OILink", "PANData")}
    assert steps["PReq"].signed == (("PI-TBS", Role.cardholder),)
    assert steps["AuthReq"].anyone == ()
    assert steps["AuthRes"].opens == {Role.merchant: ("AuthResTBS",), Role.gateway: ("CapTokenData",)}
    assert [what for what, _, _ in steps["AuthReq"].sealed] == ["AuthReqTBS", "PI-OILink", "PANData"]


def test_merchant_and_gateway_side_by_side() -> None:
    facts = {fact.about: fact for fact in run.demonstrate().facts}
    assert facts["card number"].merchant.startswith("sealed:")
    assert facts["digest of order"].gateway.endswith("the same")
    assert facts["digest of payment"].merchant.endswith("the same")
    assert facts["amount"].merchant == facts["amount"].gateway == "EUR 42.00"
    assert run.ORDER.decode() not in facts["what was bought"].gateway


# --- what must end in status 1 --------------------------------------------------------------------


@pytest.mark.parametrize("leak", [PAN.encode(), PAN.encode("utf-16-le"), bytes.fromhex(PAN)])
def test_a_leak_is_found(monkeypatch: pytest.MonkeyPatch, leak: bytes) -> None:
    holdings = run.holdings
    monkeypatch.setattr(run, "holdings", lambda *given: {**holdings(*given), "log": b"card " + leak + b" ok"})
    status, report = demo()
    assert status == 1
    assert report["merchant_scan"]["hits"] > 0
    assert any(place.startswith("log: ") for place in report["merchant_scan"]["places"])


@pytest.mark.parametrize("name", REFUSALS)
def test_an_attack_that_succeeds_is_reported(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = attacks.Attacks.run

    def one_succeeds(self: attacks.Attacks) -> list[attacks.Attack]:
        return [replace(attack, refused=attack.name != name) for attack in real(self)]

    monkeypatch.setattr(attacks.Attacks, "run", one_succeeds)
    status, report = demo()
    assert status == 1
    assert [a["name"] for a in report["attacks"] if a["refused_by"] is None] == [name]
    shown = CliRunner().invoke(app, ["demo"])
    assert shown.exit_code == 1
    assert "NOT REFUSED" in shown.stdout


def succeeded(report: dict[str, Any]) -> set[str]:
    return {attack["name"] for attack in report["attacks"] if attack["refused_by"] is None}


def test_a_gateway_that_forgets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself removed: a payment instruction may be used again."""
    monkeypatch.setattr(PurchaseRecord, "live", lambda self: iter(()))
    status, report = demo()
    assert status == 1
    assert "payment-replayed" in succeeded(report)
    assert {a["name"]: a["error"] for a in report["attacks"]}["payment-replayed"] == "approved"


def test_an_authority_that_does_not_revoke_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authority, "revoke", lambda *given: None)
    status, report = demo()
    assert (status, succeeded(report)) == (1, {"revoked-merchant"})


def test_a_second_debit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused in words, but the money moved all the same."""
    balances = iter(range(100))
    monkeypatch.setattr(attacks.Attacks, "_balance", lambda self: (next(balances),))
    status, report = demo()
    assert status == 1
    assert "payment-replayed" in succeeded(report)


def test_a_purchase_that_fails_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "AMOUNT", "EUR 4200.00")
    status, report = demo()
    assert status == 1
    assert report["completion_code"] == "authorizationPerformed"
    assert report["attacks"] == []


# --- the command line -----------------------------------------------------------------------------


def test_version_and_help() -> None:
    assert setproto("--version").stdout == "setproto 0.1.0\n"
    for arguments in (["--help"], ["demo", "--help"], ["inspect", "-h"]):
        result = setproto(*arguments)
        assert result.returncode == 0
        assert "Usage: setproto" in result.stdout


@pytest.mark.parametrize("arguments", [["demo", "--suite", "rot13"], ["demo", "extra"], ["dance"], ["inspect"], []])
def test_usage_errors(arguments: list[str]) -> None:
    result = setproto(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_the_library_does_not_need_the_terminal() -> None:
    code = "import sys, setproto, setproto.demo; sys.exit(bool({'rich', 'typer', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
