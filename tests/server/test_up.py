"""`setproto up`: a whole shop from one command, and again from where it was."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from pathlib import Path

from setproto.client import HTTPTransport
from setproto.errors import Unreachable
from tests.server.running import Running, setproto, up


def test_up_says_where_everything_is_and_goes_on_where_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "shop"
    with up(directory) as shop:
        for role in ("bank", "ca", "gateway", "merchant"):
            assert shop.url(role) in shop.said
        assert "4111111111111111" in shop.said
        assert "setproto buy" in shop.said
        buyer = shop.buyer()
        bought = buyer.buy()
        before = buyer.receipt(bought)
        servers = shop.servers
    assert before is not None
    assert shop.process.returncode == 0
    with up(directory) as again:
        assert again.servers == servers
        after = again.buyer().receipt(bought)
        assert after is not None
        assert (after.xid, after.description, after.customer_code) == (
            before.xid,
            before.description,
            before.customer_code,
        )
        assert setproto("merchant", "ship", bought.lid_m.hex(), "--data", directory).stdout.endswith(": success\n")
        other = setproto("up", "--data", directory, "--database", "sqlite://")
        assert (other.returncode, "keeps the database" in other.stderr) == (2, True)


def test_what_up_makes_is_for_its_owner_alone(shop: Running) -> None:
    secret = [
        path
        for path in shop.directory.rglob("*")
        if path.parent.name != "public" and path.suffix != ".log" and path.name not in ("shop.toml", "public")
    ]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in secret}
    assert stat.S_IMODE(shop.directory.stat().st_mode) == 0o700
    assert {name: oct(mode) for name, mode in modes.items() if mode not in (0o600, 0o700)} == {}
    keys = [path for path in secret if path.name.endswith(".key.pem")]
    assert len(keys) == 4
    assert all(b"ENCRYPTED PRIVATE KEY" in path.read_bytes() for path in keys)


def test_when_a_server_dies_up_says_so_and_ends_all(tmp_path: Path) -> None:
    with up(tmp_path / "shop") as shop:
        others = [shop.pid(role) for role in ("bank", "ca", "merchant")]
        os.kill(shop.pid("gateway"), signal.SIGKILL)
        said, _ = shop.process.communicate(timeout=60)
    assert shop.process.returncode == 1
    assert "the gateway ended by itself" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in others)


def test_no_server_outlives_up(tmp_path: Path) -> None:
    with up(tmp_path / "shop") as shop:
        shop.process.kill()
        shop.process.wait()
        deadline = time.monotonic() + 60
        while any(answers(shop.url(role)) for role in ("bank", "ca", "gateway", "merchant")):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def answers(url: str) -> bool:
    with HTTPTransport(url, timeout=5) as client:
        try:
            return client.request("GET", "/health")[0] == 200
        except Unreachable:
            return False


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Grace")
    refused = setproto("up", "--data", tmp_path)
    assert (refused.returncode, "is not empty" in refused.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter"]


def test_a_port_that_is_taken_is_said_and_the_server_there_is_not_taken_for_ours(shop: Running, tmp_path: Path) -> None:
    shutil.copytree(shop.directory, tmp_path / "second")
    refused = setproto("up", "--data", tmp_path / "second")
    assert refused.returncode == 1
    assert "does not start: see " in refused.stderr
    assert "in use" in (tmp_path / "second" / "bank" / "bank.log").read_text()
