"""``setproto wallet``, ``shop list`` and ``buy``, typed in as a new user would."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from setproto.amounts import CurrencyAmount
from setproto.bank import Account
from setproto.card import PAN, CardExpiry
from setproto.cli import app, opening
from setproto.cli.wallet import Cipher
from setproto.crypto.locked import CIPHERS
from setproto.reading.pem import to_pem
from setproto.roles.authority.ports import CardApplication, Verdict
from tests.wallet.world import BRAND, EMPTY, FULL, Street

# The package has commands of the names of its modules.
buying, wallets = (import_module(f"setproto.cli.{name}") for name in ("buy", "wallet"))
PASSPHRASE = "correct horse battery staple"
SHOP = """\
[shop]
brand = "{brand}"
suite = "p256"
root = "public/root.pem"
crls = "public/crls.pem"
bcis = "public/bcis.pem"

[servers]
ca = "http://ca.example"
bank = "http://bank.example"
merchant = "http://shop.example"
"""
LEAST = ["--memory", "19", "--passes", "2", "--lanes", "1"]


@pytest.fixture
def street() -> Street:
    return Street.open()


@pytest.fixture
def place(street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a shop's file and the passphrase in a file; the servers stand behind their URLs."""
    public = tmp_path / "shop" / "public"
    public.mkdir(parents=True)
    trust = street.trust
    for name, label, ders in (
        ("root", "CERTIFICATE", trust.roots),
        ("cas", "CERTIFICATE", trust.cas),
        ("crls", "X509 CRL", trust.crls),
        ("bcis", "BRAND CRL IDENTIFIER", trust.bcis),
    ):
        (public / f"{name}.pem").write_bytes(b"".join(to_pem(label, der) for der in ders))
    (tmp_path / "shop" / "shop.toml").write_text(SHOP.format(brand=BRAND))
    secret(tmp_path / "passphrase", PASSPHRASE)
    monkeypatch.setenv("SETPROTO_DATA", str(tmp_path / "shop"))
    monkeypatch.setenv("SETPROTO_WALLET", str(tmp_path / "wallet"))
    monkeypatch.setenv("SETPROTO_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    servers = {"http://ca.example": street.ca, "http://shop.example": street.server}
    monkeypatch.setattr(opening, "HTTPTransport", lambda url: servers[url])
    for module in (opening, buying):
        monkeypatch.setattr(module, "now", lambda: street.office.clock())
    return tmp_path


def secret(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def run(*arguments: object, typed: str | None = None, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)
    assert result.exit_code == status, (arguments, result.output, result.stderr, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def ready(street: Street, place: Path) -> Path:
    """A wallet with an empty card and a full one, both registered."""
    run("wallet", "create", *LEAST)
    for label, digits, balance in (("empty", EMPTY, "EUR 0.00"), ("full", FULL, "EUR 1000.00")):
        run("wallet", "add-card", label, "--card-file", secret(place / label, f"{digits}\n203012"))
        run("wallet", "register", label, "--person", "Ada Lovelace", "--answer", "Password=sesame")
        asked = street.office.bank.asked[-1]
        assert isinstance(asked, CardApplication)
        account = Account(PAN(digits), CardExpiry("203012"), asked.card_secret, CurrencyAmount.of(balance))
        street.accounts.append(account)
        street.market.issuer.add(account)
    return place


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody to ask."""
    for module in (opening, buying, wallets):
        monkeypatch.setattr(module, "terminal", lambda: True)


BUY = ("buy", "atlas", "pencil=2", "--recipient", "Ada Lovelace", "--deliver-to", "12 St James's Square, London")


def test_a_walk_through(street: Street, ready: Path) -> None:
    assert "Atlas of Remote Islands" in run("shop", "list").output
    listed = json.loads(run("wallet", "list", "--json").output)
    assert [(item["label"], item["ends"], item["state"]) for item in listed] == [
        ("empty", "4444", "registered"),
        ("full", "1111", "registered"),
    ]
    told = run(*BUY, "--yes").output
    assert "Total EUR 28.90" in told
    assert "the merchant is genuine: Corner Bookshop" in told
    assert "empty: declined" in told
    assert "full: paid (approved)" in told
    assert len(street.paid()) == 1
    (entry,) = json.loads(run("wallet", "history", "--json").output)
    assert (entry["merchant"], entry["card"], entry["total"], entry["receipt"]) == (
        *("Corner Bookshop", "full", "EUR 28.90", "yes"),
    )
    shown = run("wallet", "show", entry["order"][:8]).output
    assert shown == run("wallet", "print").output
    assert "signed by shop-" in shown
    for form, begins in (("html", b"<!DOCTYPE html>"), ("pdf", b"%PDF-"), ("text", b"Receipt\n")):
        run("wallet", "print", "last", "--as", form, "--out", ready / f"receipt.{form}")
        data = (ready / f"receipt.{form}").read_bytes()
        assert data.startswith(begins)
        run("wallet", "print", "last", "--as", form, "--out", ready / f"receipt.{form}", status=2)
        for digits in (FULL, EMPTY):
            assert digits.encode() not in data
    (line, _) = json.loads(run("wallet", "history", "--sums", "--json").output)
    assert line == {
        "merchant": "Corner Bookshop",
        "item": "Atlas of Remote Islands",
        "quantity": "1",
        "amount": "EUR 24.00",
    }


def test_T63_decline_then_other_card(street: Street, ready: Path, terminal: None) -> None:
    """The user is asked: order, pay with the first card, and, as that is declined, with the second one."""
    told = run(*BUY, "--card", "empty", typed="y\ny\ny\n").output
    assert "full: paid" in told
    assert len(street.paid()) == 1


@pytest.mark.parametrize(("typed", "messages"), [("n\n", 0), ("y\nn\n", 1), ("y\ny\nn\n", 2)])
def test_who_says_no_pays_nothing(street: Street, ready: Path, terminal: None, typed: str, messages: int) -> None:
    before = len(street.server.wire)
    run(*BUY, typed=typed, status=1)
    assert len(street.server.wire) - before == messages
    assert street.paid() == []


def test_nobody_to_ask(street: Street, ready: Path) -> None:
    assert "no --yes" in run(*BUY, status=2).stderr
    assert "--recipient says it" in run("buy", "atlas", status=2).stderr
    assert "no card" in run("wallet", "add-card", "third", status=2).stderr
    assert street.paid() == []


def test_an_order_form_that_makes_no_sense(ready: Path) -> None:
    delivery = ("--recipient", "Ada", "--deliver-to", "London", "--yes")
    for items, complaint in (
        (("atlas=0",), "greater than or equal to 1"),
        (("atlas=many",), "is no item"),
        (("atlas", "--by", "tomorrow"), "deliver_by"),
    ):
        assert complaint in run("buy", *items, *delivery, status=2).stderr


def test_a_purchase_that_is_interrupted_is_resumed(street: Street, ready: Path) -> None:
    street.server.lose = lambda name: "back" if name in ("PReq", "InqReq", "answer") else None
    told = run(*BUY, "--card", "full", "--yes", status=1).output
    assert "setproto wallet resume" in told
    assert "the same order is not decided yet" in run(*BUY, "--card", "full", "--yes", status=2).stderr
    assert "not decided yet" in run("wallet", "resume").output
    street.server.lose = lambda name: None
    assert "paid" in run("wallet", "resume").output
    assert len(street.paid()) == 1
    (entry,) = json.loads(run("wallet", "history", "--json").output)
    assert (entry["standing"], entry["receipt"]) == ("paid", "yes")
    assert run("wallet", "resume").output == ""


def test_a_registration_that_is_interrupted_goes_on(street: Street, place: Path) -> None:
    run("wallet", "create", *LEAST)
    run("wallet", "add-card", "--card-file", secret(place / "card", f"{FULL}\n203012"))
    register = ("wallet", "register", "card-1111", "--person", "Ada", "--answer", "Password=x")
    street.ca.down = True
    assert "no answer" in run(*register, status=1).stderr
    street.ca.down = False
    street.office.bank.verdicts = [Verdict.PENDING]
    assert "not decided yet" in run(*register, status=1).output
    assert "registration under way" in run("wallet", "list").output
    assert "registered: card-1111" in run(*register).output
    assert "is registered already" in run(*register, status=2).stderr


def test_a_form_is_filled_in_at_the_terminal(street: Street, place: Path, terminal: None) -> None:
    run("wallet", "create", *LEAST)
    run("wallet", "add-card", typed="4111 1111 1111 1111\n203012\n")
    told = run("wallet", "register", "card-1111", typed="Ada Lovelace\nsesame\n").output
    assert "Be good." in told
    assert "registered: card-1111" in told
    asked = street.office.bank.asked[-1]
    assert isinstance(asked, CardApplication)
    assert dict(asked.answers) == {"Name": "Ada Lovelace", "Password": "sesame"}


def test_passphrase_protection_backup_restore_lock(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("wallet", "backup", ready / "backup")
    assert "exists already" in run("wallet", "backup", ready / "backup", status=2).stderr
    assert run("wallet", "protection").output == "aes-256-gcm; Argon2id, memory 19 MiB, passes 2, lanes 1\n"
    changed = run("wallet", "protection", "--cipher", "chacha20-poly1305", "--memory", "20").output
    assert changed == "chacha20-poly1305; Argon2id, memory 20 MiB, passes 2, lanes 1\n"
    assert "too little" in run("wallet", "protection", "--passes", "1", status=2).stderr

    other = secret(ready / "other", "another passphrase, as long")
    run("wallet", "passwd", "--new-passphrase-file", other)
    assert "does not open" in run("wallet", "list", status=2).stderr
    monkeypatch.setenv("SETPROTO_PASSPHRASE_FILE", str(other))
    run("wallet", "lock")
    for command in (("wallet", "list"), ("wallet", "show"), ("wallet", "resume"), (*BUY, "--yes")):
        assert "setproto wallet unlock" in run(*command, status=2).stderr
    run("wallet", "unlock")
    run("wallet", "list")

    monkeypatch.setenv("SETPROTO_WALLET", str(ready / "second"))
    assert "does not open" in run("wallet", "restore", ready / "backup", status=2).stderr
    run("wallet", "restore", ready / "backup", "--passphrase-file", ready / "passphrase")
    assert "exists already" in run("wallet", "restore", ready / "backup", status=2).stderr
    assert "full" in run("wallet", "list", "--passphrase-file", ready / "passphrase").output


def test_a_passphrase_file_is_the_owners_alone(place: Path) -> None:
    (place / "passphrase").chmod(0o644)
    assert "others have access" in run("wallet", "create", *LEAST, status=2).stderr
    secret(place / "passphrase", "too short")
    assert "at least 15" in run("wallet", "create", *LEAST, status=2).stderr


def test_no_wallet_no_shop(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "setproto wallet create" in run("wallet", "list", status=2).stderr
    assert "setproto up" in run("shop", "list", "--shop", place / "none.toml", status=2).stderr
    (place / "shop" / "shop.toml").write_text("[shop]\nbrand = 1\n")
    assert "shop.toml" in run("shop", "list", status=2).stderr


def test_nothing_secret_is_shown_or_in_the_clear(street: Street, ready: Path) -> None:
    """Not in what commands say, not in the files, not on the wire to the merchant."""
    said = run(*BUY, "--yes").output
    for command in (("list",), ("history",), ("show",), ("protection",), ("resume",)):
        result = run("wallet", *command)
        said += result.output + result.stderr
    files = b"".join((ready / name).read_bytes() for name in os.listdir(ready) if name.startswith("wallet"))
    wire = b"".join(street.server.wire)
    for digits in (FULL, EMPTY):
        assert digits not in said
        assert digits.encode() not in files + wire
    assert PASSPHRASE not in said
    assert PASSPHRASE.encode() not in files + wire


def test_the_ciphers_of_the_command_line_are_those_that_there_are() -> None:
    assert [cipher.value for cipher in Cipher] == list(CIPHERS)
