"""The ``setproto`` command: thin; what it shows is computed elsewhere.

Exit status: 0 if all is well, 1 if a demonstration or a scenario found something wrong or a certificate is refused, 2
for a request or a file that makes no sense.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from setproto import __version__
from setproto.cli.audit import audit, dispute
from setproto.cli.ca import ca
from setproto.cli.conformance import adapter, conformance
from setproto.cli.demo import demo
from setproto.cli.inspect import inspect
from setproto.cli.scenario import scenario
from setproto.cli.vectors import vectors

__all__ = ["app", "main"]

app = typer.Typer(
    name="setproto",
    help="A payment protocol in the style of SET: the merchant never sees a card number.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    rich_markup_mode=None,
)
app.command()(audit)
app.command()(conformance)
app.command("conformance-adapter")(adapter)
app.command()(demo)
app.command()(inspect)
app.command()(scenario)
app.add_typer(ca, name="ca")
app.add_typer(dispute, name="dispute")
app.add_typer(vectors, name="vectors")


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
