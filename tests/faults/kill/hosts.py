"""The driver's end of the processes that are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from setproto.errors import UsageError
from setproto.messages.common import Role
from tests.faults.kill.worker import FORKED

ROOT = Path(__file__).parents[3]


class Died(Exception):
    """The process was killed, and whatever it had to say was lost."""


@dataclass
class Template:
    """The process that forks workers."""

    control: socket.socket

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Template]:
        """One, whose workers keep their files in ``folder``."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-W", "error", "-m", "tests.faults.kill.worker", str(theirs.fileno()), str(folder)]
        with ours, subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()]) as process:
            theirs.close()
            try:
                yield cls(ours)
            finally:
                ours.shutdown(socket.SHUT_RDWR)
                process.wait(30)

    def fork(self, role: Role, killed: int) -> tuple[int, Connection]:
        """A new worker: its process id and the connection to it.  ``killed``: its predecessor, to be buried."""
        ours, theirs = Pipe()
        with theirs:
            socket.send_fds(self.control, [f"{role.name} {killed}".encode()], [theirs.fileno()])
            answer = self.control.recv(FORKED)
        if len(answer) != FORKED:
            raise AssertionError("the template process is gone")
        return int.from_bytes(answer, "big"), ours


@dataclass(frozen=True)
class Kill:
    """When to kill a process that is given something to do.  Exactly one is set."""

    at_step: int | None = None
    """It kills itself there."""
    after: float | None = None
    """Seconds after it was asked, wherever it is then."""


@dataclass
class Host:
    """One party.  It is started when it is needed and killed when we like."""

    template: Template
    role: Role
    issuer: Callable[..., Any] | None = None
    kills: int = 0
    starts: int = 0
    _process: int = 0
    _connection: Connection | None = None
    steps: dict[str, int] = field(default_factory=dict)
    """Command → how many steps it took the last time that it was carried out to the end."""
    took: dict[str, float] = field(default_factory=dict)
    """Command → seconds, likewise."""

    def __call__(self, name: str, *positional: Any, kill: Kill | None = None, **named: Any) -> Any:
        """Call a method of the role there.  Died if the process was killed under it; UsageError as in the role."""
        connection = self._connected()
        kill = kill or Kill()
        start = time.monotonic()
        deadline = None if kill.after is None else start + kill.after
        try:
            connection.send((name, (positional, named), kill.at_step))
            while True:
                if deadline is not None and not _waits(connection, deadline):
                    self.kill()
                    deadline = None
                kind, *said = connection.recv()
                if kind != "issuer":
                    break
                connection.send(self._ask_issuer(said[0]))
        except (EOFError, OSError):
            self._buried()
            raise Died from None
        if kill.after is not None and deadline is not None:
            self.kill()  # it was quicker than the killer: its answer got out
        if kind == "done":
            self.steps[name], self.took[name] = said[1], time.monotonic() - start
            return said[0]
        if kind == "usage":
            raise UsageError(said[0])
        raise AssertionError(f"the {self.role.name} failed in {name}:\n{said[0]}")

    def kill(self) -> None:
        """SIGKILL, now.  It stays a zombie until its successor is forked, so the number is its own until then."""
        if self._connection is not None:
            os.kill(self._process, signal.SIGKILL)

    def close(self) -> None:
        """Let it end by itself."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._process, self._connection = self.template.fork(self.role, self._process)
            self.starts += 1
        return self._connection

    def _buried(self) -> None:
        self.kills += 1
        self.close()

    def _ask_issuer(self, question: tuple[Any, ...]) -> Any:
        if self.issuer is None:
            raise AssertionError(f"the {self.role.name} asked the bank")
        return self.issuer(*question)


def _waits(connection: Connection, deadline: float) -> bool:
    """Whether something comes before the deadline; finer than poll(), which counts in milliseconds."""
    while not connection.poll(0):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.0001)
    return True
