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


def applying(shop: Parts, role: str, name: str, out: Path, said: Path) -> Command:
    """``setproto register``, which waits; what it says goes into a file."""
    options = ("--bin", "411111", "--account", "DE 42", "--person", "Grace Hopper", "--name", role)
    files = ("--shop", shop.directory / "shop.toml", "--out", out)
    passphrase = ("--key-passphrase-file", shop.directory / "merchant" / "passphrase")
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


@pytest.mark.prop("PX-13")
def test_nobody_joins_under_the_name_of_another(shop: Parts, tmp_path: Path) -> None:
    process = applying(shop, "merchant", "M-1001", tmp_path / "thief", tmp_path / "said")
    one = waiting(shop, "M-1001")
    refused = ca(shop, "approve", one["reference"], *ACQUIRER, *SHOWN)
    assert (refused.returncode, "M-1001 has a certificate that is valid" in refused.stderr) == (2, True)
    ca(shop, "refuse", one["reference"], "--reason", "you are not M-1001")
    assert process.wait(PATIENCE) == 2
