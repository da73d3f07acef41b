"""The ``setproto`` command: thin; what it shows is computed elsewhere.

Exit status: 0 if all is well, 1 if a demonstration or a scenario found something wrong or a certificate is refused, 2
for a request or a file that makes no sense.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from setproto import __version__

__all__ = ["app", "main"]

_STYLE: Final[dict[str, Any]] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
    "rich_markup_mode": None,
}
_COMMANDS: Final = {
    "audit": "audit:audit",
    "bench": "bench:bench",
    "buy": "buy:buy",
    "ca": "ca:ca",
    "conformance": "conformance:conformance",
    "conformance-adapter": "conformance:adapter",
    "demo": "demo:demo",
    "dispute": "audit:dispute",
    "gateway": "gateway:gateway",
    "inspect": "inspect:inspect",
    "merchant": "merchant:merchant",
    "register": "register:register",
    "scenario": "scenario:scenario",
    "serve": "serve:serve",
    "shop": "buy:shop",
    "up": "up:up",
    "vectors": "vectors:vectors",
    "wallet": "wallet:wallet",
}
"""Command → module of this package, and what in it."""


class _Commands(TyperGroup):
    """Loads the command that is asked for and no other: databases, servers and printing take seconds to import."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        found = getattr(import_module(f"setproto.cli.{module}"), name)
        holder = typer.Typer(**_STYLE)
        holder.callback()(lambda: None)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=cmd_name)
        else:
            holder.command(cmd_name)(found)
        return typer.main.get_group(holder).commands[cmd_name]


app = typer.Typer(
    name="setproto",
    cls=_Commands,
    help="A payment protocol in the style of SET: the merchant never sees a card number.",
    no_args_is_help=True,
    **_STYLE,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"setproto {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that need no command."""


def main() -> None:
    """The entry point."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where a terminal has no character for an arrow or a bullet, it gets a question mark, not a traceback.
        sys.stdout.reconfigure(errors="replace")
    app(prog_name="setproto")
