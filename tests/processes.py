"""Commands as processes of their own that need not import the library first, which takes a second each time.

A process that has imported it forks them (``multiprocessing``'s fork server).  What they are given, what they write and
how they end is theirs alone, and they are killed like any other.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests import rsa_keys

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        *(f"setproto.server.{role}" for role in ("bank", "ca", "gateway", "merchant")),
        *("setproto.cli", "setproto.wallet.paying", "setproto.wallet.registering", "tests.server.buyer"),
        *("sqlalchemy.dialects.sqlite", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.on"),
    ]
)


class Command:
    """``python -m module arguments``, running: what tests need of ``subprocess.Popen``."""

    def __init__(
        self,
        module: str,
        *arguments: object,
        output: Path,
        errors: Path | None = None,
        given: Path = Path(os.devnull),
        before: Callable[[], object] | None = None,
    ) -> None:
        """What it says is added to the file ``output``; ``given`` is its standard input, ``before`` its first act."""
        streams = (given, output, errors or output)
        self._process = _SERVER.Process(target=_run, args=(module, [*map(str, arguments)], streams, before))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def run(module: str, *arguments: object, given: str = "", timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """A command from its beginning to its end."""
    with tempfile.TemporaryDirectory() as folder:
        stdin, stdout, stderr = (Path(folder) / name for name in ("stdin", "stdout", "stderr"))
        stdin.write_text(given)
        command = Command(module, *arguments, given=stdin, output=stdout, errors=stderr)
        try:
            status = command.wait(timeout)
        finally:
            command.kill()
        return subprocess.CompletedProcess([module, *arguments], status, stdout.read_text(), stderr.read_text())


def _run(
    module: str, arguments: list[str], streams: tuple[Path, Path, Path], before: Callable[[], object] | None
) -> None:
    """What the new process does."""
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    rsa_keys.deal_again(spare=0)
    if before is not None:
        before()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
