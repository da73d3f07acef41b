"""The servers of a shop one by one, each of which can be killed, stopped for a while and started again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from setproto.bank.bank import Bank
from setproto.ca.office import Office
from setproto.card import PAN
from setproto.client import HTTPTransport
from setproto.errors import Unreachable
from setproto.server import bank, public
from setproto.server.config import BankConfig, load
from setproto.server.founding import ROLES, found
from tests.processes import Command
from tests.server.buyer import ADA
from tests.server.running import Place

PATIENCE = 60
"""Seconds after which a server that does not start is a failure."""


class Parts(Place):
    """A shop whose servers are started by the test."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._running: dict[str, Command] = {}

    def start(self, role: str, *, before: Callable[[], object] | None = None, program: str = "setproto") -> None:
        """``before``: what the new process does first; ``program``: the module that takes the command."""
        config = self.config(role)
        log = config.with_suffix(".log")
        self._running[role] = Command(program, "serve", config.parent.name, config, output=log, before=before)

    def wait(self, role: str, client: HTTPTransport | None = None) -> None:
        """Until it is healthy."""
        deadline = time.monotonic() + PATIENCE
        with client or HTTPTransport(self.url(role), timeout=5) as server:
            while True:
                try:
                    if server.request("GET", "/health")[0] == 200:
                        return
                except Unreachable:
                    pass
                if time.monotonic() > deadline or self._running[role].poll() is not None:
                    raise AssertionError(self.log(role))
                time.sleep(0.02)

    def restart(self, role: str) -> None:
        self.start(role)
        self.wait(role)

    def kill(self, role: str) -> None:
        """As by SIGKILL, the power, or the kernel when memory is short."""
        self._running[role].kill()
        self._running.pop(role).wait()

    def end(self, role: str) -> int:
        """As asked to; the exit status."""
        self._running[role].terminate()
        return self._running.pop(role).wait(PATIENCE)

    def freeze(self, role: str) -> None:
        self._running[role].send_signal(signal.SIGSTOP)

    def thaw(self, role: str) -> None:
        self._running[role].send_signal(signal.SIGCONT)

    @contextmanager
    def bank(self) -> Iterator[Bank]:
        """The bank's own books."""
        config = load(BankConfig, self.directory / "bank" / "bank.toml")
        trust = public.validator(config.trust.directory, config.trust.suite)
        opened = bank.opened(config, trust, lambda: datetime.now(UTC))
        try:
            yield opened
        finally:
            opened.close()

    def available(self, number: str = ADA[0]) -> int:
        """What can be spent with a card, in cents, from the bank's own books."""
        with self.bank() as opened:
            assert opened.audit() == []
            return opened.available(PAN(number))

    def kill_all(self) -> None:
        for role in list(self._running):
            self.thaw(role)
            self.kill(role)


def founded(directory: Path, *, database: str | None = None) -> None:
    """A new shop, whose CA is quick to check its passphrase."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Office.found.__func__.__kwdefaults__, "n", 1 << 4)  # type: ignore[attr-defined]
        found(directory, datetime.now(UTC), database=database)


@contextmanager
def parts(directory: Path, *roles: str) -> Iterator[Parts]:
    """A new shop with these servers, or all, running and healthy."""
    if not directory.exists():
        founded(directory)
    running = Parts(directory)
    try:
        with running.closing:
            for role in roles or ROLES:
                running.start(role)
            for role in roles or ROLES:
                running.wait(role)
            yield running
    finally:
        running.kill_all()
