"""``setproto serve``: one server in this process, by its configuration file."""

from __future__ import annotations

import enum
import os
import signal
import threading
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from setproto.cli.ca.desk import answering
from setproto.server.logs import configure


class Role(enum.StrEnum):
    """What can be served: each is a module of ``setproto.server``."""

    CA = "ca"
    BANK = "bank"
    GATEWAY = "gateway"
    MERCHANT = "merchant"


def serve(
    role: Annotated[Role, typer.Argument(metavar="ca|bank|gateway|merchant")],
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML, as setproto up writes it.")],
    attached: Annotated[bool, typer.Option("--attached", help="End with standard input, too.")] = False,
) -> None:
    """Run one server until it gets SIGINT or SIGTERM.  It logs JSON to standard error."""
    if attached:
        # Whoever started this holds the other end: when he is gone, however he went, so is this.
        threading.Thread(target=_end_with_input, daemon=True).start()
    configure(role.value)
    with answering():
        import_module(f"setproto.server.{role.value}").serve(config)  # and no other


def _end_with_input() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
