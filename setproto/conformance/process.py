"""An implementation under test as a child process: one line in, one line out, and nothing it does can stop the run.

The child gets JSON Lines on its standard input and answers on its standard output; its standard error is free.  All
three pipes are served in one loop without threads, so that a child that writes much to one of them cannot block, and
so that whatever it wrote before its answer has been read when the answer is judged.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAX_LINE: Final = 16 << 20
"""Octets of an answer; the longest that any vector asks for is far below."""
MAX_KEPT: Final = 4 << 20
"""Octets kept of what the child writes to standard error during one request; the rest is read and dropped."""
_CHUNK: Final = 1 << 16
_GRACE: Final = 2.0
"""Seconds for a child to end by itself once its standard input is closed."""


class Trouble(Exception):
    """No answer was had.  ``str()`` says why."""


class Hang(Trouble):
    """The time limit passed."""


class Crash(Trouble):
    """The process ended, or closed its standard output, before it answered."""


class Breach(Trouble):
    """What it wrote is not an answer to what was asked."""


@dataclass
class Written:
    """What the child wrote from one request to the next."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def last_words(self) -> str:
        """The last line of standard error, shortened: it often says why."""
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else ""


class Process:
    """A running child.  Any :class:`Trouble` kills it; the caller starts another."""

    def __init__(self, command: Sequence[str]) -> None:
        """OSError if the command cannot be started."""
        self._child = subprocess.Popen(  # noqa: S603  # the command is the user's own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own, so that its children end with it
        )
        self._pipes = [pipe for pipe in (self._child.stdin, self._child.stdout, self._child.stderr) if pipe is not None]
        self._stdin, self._stdout, self._stderr = (pipe.fileno() for pipe in self._pipes)
        self._selector = selectors.DefaultSelector()
        for descriptor in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(descriptor, False)
        for descriptor in (self._stdout, self._stderr):
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._to_write = b""
        self._line = bytearray()
        self._stray: bytes | None = None
        self._closed = False
        self._ended: set[int] = set()
        self._answered: set[str] = set()
        self.written = Written()
        """Since the last request."""
        self.repeated: set[str] = set()
        """Identifiers of requests that were answered again."""

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The answer to ``request`` within ``timeout`` seconds, as JSON objects.

        The answer carries the ``id`` of the request, if that has one.  Hang, Crash or Breach otherwise; the process
        is dead then.
        """
        deadline = time.monotonic() + timeout
        self.settle()
        self.written = Written()
        self._to_write = json.dumps(request).encode() + b"\n"
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        try:
            while True:
                answer = self._answer(self._next_line(deadline), request.get("id"))
                if answer is not None:
                    if self._to_write:
                        raise Breach("an answer before the request was read")
                    self._drain()
                    return answer
        except Trouble:
            self.kill()
            raise
        finally:
            self._stop_writing()

    def settle(self) -> None:
        """Read what has been written since the last answer, without waiting."""
        if not self._closed:
            self._drain()
            while b"\n" in self._line:
                self._surplus(self._take())

    def finish(self) -> None:
        """Close the child's standard input, as at the end of a run, and read what it still has to say."""
        if self._closed:
            return
        self._pipes[0].close()
        with contextlib.suppress(Trouble):
            deadline = time.monotonic() + _GRACE
            while True:
                self._surplus(self._next_line(deadline))
        self.kill()

    def kill(self) -> None:
        """End the child and whatever it started; read what is left in its pipes."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._drain()
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()

    # --- answers ---

    def _answer(self, line: bytes, expected: str | None) -> dict[str, Any] | None:
        """The answer in a line; None if it answers an earlier request once more."""
        try:
            answer = json.loads(line)
        except ValueError:  # not UTF-8 included
            raise Breach(f"a line that is not JSON: {_shown(line)}") from None
        except RecursionError:
            raise Breach("a line nested too deeply") from None
        if not isinstance(answer, dict):
            raise Breach(f"a line that is not a JSON object: {_shown(line)}")
        if expected is None:
            return answer
        identifier = answer.get("id")
        if identifier == expected:
            self._answered.add(expected)
            return answer
        if isinstance(identifier, str) and identifier in self._answered:
            self.repeated.add(identifier)
            return None
        raise Breach(f"an answer whose id is not that of the request: {_shown(line)}")

    def _surplus(self, line: bytes) -> None:
        """A line that nobody waits for: noted if it answers something again, otherwise left to the next request."""
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("id"), str) and answer["id"] in self._answered:
            self.repeated.add(answer["id"])
        else:
            self._stray = line

    # --- octets ---

    def _next_line(self, deadline: float) -> bytes:
        if self._stray is not None:
            raise Breach(f"a line that answers nothing: {_shown(self._stray)}")
        while b"\n" not in self._line:
            if len(self._line) > MAX_LINE:
                raise Breach(f"a line of more than {MAX_LINE:,} octets")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Hang("no answer in time")
            if self._stdout in self._ended:
                raise Crash(self._end())
            self._serve(left)
        if self._line.index(b"\n") > MAX_LINE:
            raise Breach(f"a line of more than {MAX_LINE:,} octets")
        return self._take()

    def _take(self) -> bytes:
        line, _, rest = bytes(self._line).partition(b"\n")
        self._line = bytearray(rest)
        return line

    def _serve(self, wait: float) -> None:
        """Move octets in whichever direction is ready."""
        for key, _ in self._selector.select(wait):
            if key.fd == self._stdin:
                self._write()
            else:
                self._read(key.fd)

    def _write(self) -> None:
        try:
            self._to_write = self._to_write[os.write(self._stdin, self._to_write[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more; whether it answers all the same shows on its output
            self._to_write = b""
        if not self._to_write:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if not self._closed and self._stdin in self._selector.get_map():
            self._selector.unregister(self._stdin)

    def _read(self, descriptor: int) -> bool:
        """Read once; False if there is nothing, now or ever."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
                self._ended.add(descriptor)
            return False
        written, limit = (self.written.stderr, MAX_KEPT)
        if descriptor == self._stdout:
            self._line += data
            written, limit = (self.written.stdout, MAX_LINE)
        written += data[: max(0, limit - len(written))]
        return True

    def _drain(self) -> None:
        """Read what is there, without waiting for more; from a child that never stops writing, a limited amount."""
        for descriptor in (self._stdout, self._stderr):
            for _ in range(MAX_KEPT // _CHUNK):
                if not self._read(descriptor):
                    break

    def _end(self) -> str:
        try:
            status = self._child.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            return "it closed its output and did not end"
        self._drain()
        how = f"it ended by signal {-status}" if status < 0 else f"it ended with status {status}"
        words = self.written.last_words()
        return f"{how}: {words}" if words else how


def _shown(line: bytes) -> str:
    return repr(line[:120].decode(errors="replace")) + ("…" if len(line) > 120 else "")
