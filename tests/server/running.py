"""Shops that really run: `setproto up` and `setproto serve` as subprocesses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from setproto.client import HTTPTransport
from tests import processes
from tests.server.buyer import ADA, Buyer

ROOT = Path(__file__).resolve().parents[2]


class Place:
    """A shop in a directory, and the clients that tests open to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.closing = ExitStack()

    @property
    def servers(self) -> dict[str, str]:
        return tomllib.loads((self.directory / "shop.toml").read_text())["servers"]

    def config(self, name: str) -> Path:
        """The configuration of a server.  The second gateway, for instance, is ``gateway-2``."""
        return self.directory / name.partition("-")[0] / f"{name}.toml"

    def url(self, role: str) -> str:
        config = tomllib.loads(self.config(role).read_text())
        return f"{'https' if 'tls' in config else 'http'}://{config['listen']}"

    def client(self, role: str) -> HTTPTransport:
        return self.closing.enter_context(HTTPTransport(self.url(role)))

    def buyer(self, card: tuple[str, str] = ADA) -> Buyer:
        servers = self.servers
        buyer = self.closing.enter_context(Buyer(servers["merchant"], servers["ca"], self.directory / "public", card))
        buyer.register()
        return buyer

    def log(self, role: str) -> str:
        return self.config(role).with_suffix(".log").read_text()


class Running(Place):
    """A shop that is up."""

    def __init__(self, directory: Path, process: subprocess.Popen[str], said: str) -> None:
        super().__init__(directory)
        self.process = process
        self.said = said

    def pid(self, role: str) -> int:
        """Of the process that serves: found by its command line, among the children of `up`."""
        for name in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            if f"\0{role}\0" in Path(f"/proc/{name}/cmdline").read_text():
                return int(name)
        raise LookupError(role)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def up(directory: Path, *options: str) -> Iterator[Running]:
    """`setproto up` until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "setproto", "up", "--data", str(directory), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("up;"):
                break
        else:
            raise AssertionError("".join(said))
        running = Running(directory, process, "".join(said))
        with running.closing:
            yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def setproto(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One command."""
    return processes.run("setproto", *arguments)
