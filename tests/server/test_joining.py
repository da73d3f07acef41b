"""A second merchant joins a running shop: it applies to the CA over HTTP, the operator approves, it opens, it sells."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Command
from tests.server.buyer import Buyer
from tests.server.parts import PATIENCE, Parts, parts
from tests.server.running import setproto

ACQUIRER = ("--acquirer", "Acquiring Bank")
SHOWN = ("--shown-as", "Second Hand Books", "--city", "Capital")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with parts(tmp_path_factory.mktemp("joining") / "shop") as running:
        yield running


def ca(shop: Parts, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator, while the server runs."""
    place = ("--dir", shop.directory / "ca", "--passphrase-file", shop.directory / "ca" / "passphrase")
    return setproto("ca", *arguments, *place)


def applying(
    shop: Parts, role: str, name: str, out: Path, said: Path, *, account: str = "DE 42", locked: Path | None = None
) -> Command:
    """``setproto register``, which waits; what it says goes into a file."""
    options = ("--bin", "411111", "--account", account, "--person", "Grace Hopper", "--name", role)
    files = ("--shop", shop.directory / "shop.toml", "--out", out)
    passphrase = ("--key-passphrase-file", locked or shop.directory / "merchant" / "passphrase")
    return Command("setproto", "register", role, name, *options, *files, *passphrase, output=said)


def waiting(shop: Parts, name: str) -> dict[str, Any]:
    """What waits under a name, as soon as it does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        listed = ca(shop, "waiting", "--json")
        assert listed.returncode == 0, listed.stderr
        for one in json.loads(listed.stdout):
            if one["name"] == name:
                return dict(one)
    raise AssertionError(f"{name} does not apply")


def test_a_second_merchant_joins_and_sells(shop: Parts, tmp_path: Path) -> None:
    said = tmp_path / "said"
    process = applying(shop, "merchant", "M-2002", shop.directory / "merchant-2", said)
    one = waiting(shop, "M-2002")
    assert (one["role"], one["bin"], one["account"], one["answers"]) == (
        "merchant",
        "411111",
        "DE 42",
        {"Name": "Grace Hopper"},
    )
    incomplete = ca(shop, "approve", one["reference"][:12], *ACQUIRER)
    assert incomplete.returncode == 2
    approved = ca(shop, "approve", one["reference"][:12], *ACQUIRER, *SHOWN)
    assert approved.stdout == "approved: M-2002\n"
    assert process.wait(PATIENCE) == 0, said.read_text()
    assert "the CA says: waits for the operator of this hierarchy" in said.read_text()
    assert "CN=Second Hand Books" in said.read_text()
    assert "nothing waits" in ca(shop, "refuse", one["reference"], "--reason", "too late").stderr

    config = (shop.directory / "merchant" / "merchant.toml").read_text()
    for was, becomes in (
        ("merchant.db", "merchant-2.db"),
        ('directory = "."', 'directory = "../merchant-2"'),
        ("M-1001", "M-2002"),
    ):
        config = config.replace(was, becomes)
    ports = iter((free_port(), free_port()))
    lines = [
        f'listen = "127.0.0.1:{next(ports)}"' if line.startswith("listen") else line for line in config.splitlines()
    ]
    other = shop.config("merchant-2")
    other.write_text("\n".join(lines))
    other.chmod(0o600)
    shop.restart("merchant-2")
    assert shop.client("merchant-2").json("GET", "/merchant")["name"] == "Second Hand Books"
    with Buyer(shop.url("merchant-2"), shop.servers["ca"], shop.directory / "public") as buyer:
        buyer.register()
        assert buyer.buy().outcome == "approved"
    assert shop.available() == 100_000 - 2750


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_a_gateway_applies_too_and_can_be_turned_away(shop: Parts, tmp_path: Path) -> None:
    said = tmp_path / "said"
    process = applying(shop, "gateway", "gateway-2", tmp_path / "gateway", said)
    one = waiting(shop, "gateway-2")
    assert "gateway gateway-2, BIN 411111" in ca(shop, "waiting").stdout
    assert ca(shop, "refuse", one["reference"], "--reason", "not known here").returncode == 0
    assert process.wait(PATIENCE) == 2
    assert "the CA refuses: not known here" in said.read_text()
    assert not list((tmp_path / "gateway").iterdir()), "nothing is left behind"


def test_an_application_outlives_the_command_that_made_it(shop: Parts, tmp_path: Path) -> None:
    """Killed while it waits, and called again with the same words, it goes on with the same request and keys."""
    out, said = tmp_path / "gateway", tmp_path / "said"
    first = applying(shop, "gateway", "gateway-3", out, said)
    one = waiting(shop, "gateway-3")
    first.kill()
    first.wait(PATIENCE)
    kept = out / "gateway-application.db"
    assert kept.stat().st_mode & 0o777 == 0o600

    wrong = tmp_path / "wrong"
    wrong.write_text("quite another passphrase")
    for how, complaint in (
        ({"locked": wrong}, "the passphrase is wrong"),
        ({"account": "DE 43"}, "holds an application that says something else"),
    ):
        refused = tmp_path / "refused"
        assert applying(shop, "gateway", "gateway-3", out, refused, **how).wait(PATIENCE) == 2  # type: ignore[arg-type]
        assert complaint in refused.read_text()
    assert kept.exists()

    assert ca(shop, "approve", one["reference"], *ACQUIRER).returncode == 0
    assert applying(shop, "gateway", "gateway-3", out, said).wait(PATIENCE) == 0, said.read_text()
    assert "nothing waits" in ca(shop, "refuse", "", "--reason", "there was one application").stderr
    assert sorted(path.name for path in out.iterdir()) == [
        *("gateway-chain.pem", "gateway-exchange.key.pem", "gateway-exchange.pem"),
        *("gateway-signature.key.pem", "gateway-signature.pem"),
    ]


@pytest.mark.prop("PX-13")
def test_nobody_joins_under_the_name_of_another(shop: Parts, tmp_path: Path) -> None:
    process = applying(shop, "merchant", "M-1001", tmp_path / "thief", tmp_path / "said")
    one = waiting(shop, "M-1001")
    refused = ca(shop, "approve", one["reference"], *ACQUIRER, *SHOWN)
    assert (refused.returncode, "M-1001 has a certificate that is valid" in refused.stderr) == (2, True)
    ca(shop, "refuse", one["reference"], "--reason", "you are not M-1001")
    assert process.wait(PATIENCE) == 2
