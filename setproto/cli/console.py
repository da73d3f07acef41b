"""What all commands take and say, and how: the suites, one console, one form of error."""

from __future__ import annotations

import enum
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

PLAIN_WIDTH = 120
"""Columns where there is no terminal to ask."""


class Suite(enum.StrEnum):
    """The suites, as the command line takes them: held equal to ``crypto.suites.SUITES`` by a test."""

    P256 = "p256"
    RSA3072 = "rsa3072"
    ED25519 = "ed25519"
    MLDSA65 = "mldsa65"


Algorithms = Annotated[Suite, typer.Option("--suite", help="Which algorithms to use.", case_sensitive=True)]


@contextmanager
def console() -> Iterator[Console]:
    """Standard output: in colours on a terminal, plain text of a fixed width and without padding elsewhere."""
    if sys.stdout.isatty():
        yield Console(highlight=False)
        return
    written = io.StringIO()
    yield Console(file=written, width=PLAIN_WIDTH, no_color=True, color_system=None, highlight=False)
    for line in written.getvalue().splitlines():
        typer.echo(line.rstrip())


def terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def title(out: Console, text: str) -> None:
    """A heading, underlined."""
    out.print(Text(text, style="bold underline"))
    if not out.is_terminal:
        out.print("─" * len(text))
    out.print()


def printable(text: str) -> str:
    """What somebody else wrote, for a terminal: without what would control it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def complain(message: str) -> None:
    """One line on standard error."""
    typer.echo(f"setproto: {printable(' '.join(message.split()))}", err=True)


def refuse(message: str, status: int = 2) -> NoReturn:
    """One line on standard error, and the end."""
    complain(message)
    raise typer.Exit(status)
