"""``setproto inspect``: any message, certificate, CRL or CMS object as a tree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from setproto.cli.console import complain, console, refuse
from setproto.errors import SetError
from setproto.reading import Node, Opener, Reader, Show, load_opener
from setproto.reading.pem import blocks, labels

MAX_FILE = 1 << 20
"""Octets that are read at most."""


def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="DER or PEM; - is standard input.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="KEY.pem", help="A key-exchange key: opens what is sealed to it.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="CERT.pem", help="Its certificate, to be sure that they match.")
    ] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show card data in clear; needs --key.")] = False,
) -> None:
    """Print messages, certificates, CRLs and CMS objects as trees with field names.

    Nested objects are read too.  Nothing is verified: this command shows what an object says, not whether to
    believe it.  Card data is redacted unless --reveal and the key are given.

    Exit status 2 if a file is none of these things; the others are printed all the same.
    """
    if (reveal or cert is not None) and key is None:
        refuse("--reveal and --cert need --key")
    openers = _openers(key, cert)
    failed = False
    for name in files:
        try:
            nodes = [
                Reader(openers, Show.REVEALED if reveal else Show.HIDDEN).read(der) for der in _objects(_load(name))
            ]
        except OSError as failure:
            complain(f"{name}: {failure.strerror or failure}")
            failed = True
        except (SetError, ValueError) as failure:
            complain(f"{name}: {failure.detail if isinstance(failure, SetError) else failure}")
            failed = True
        else:
            with console() as out:
                for node in nodes:
                    if len(files) > 1:
                        out.print(Text(name, style="dim"))
                    out.print(tree(node), soft_wrap=True)
    raise typer.Exit(2 if failed else 0)


def _openers(key: Path | None, cert: Path | None) -> tuple[Opener, ...]:
    if key is None:
        return ()
    try:
        return (load_opener(key.read_bytes(), None if cert is None else cert.read_bytes()),)
    except OSError as failure:
        refuse(f"{failure.filename}: {failure.strerror}")
    except SetError as failure:
        refuse(f"{key}: {failure.detail}")


def _load(name: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(MAX_FILE + 1)
    else:
        with open(name, "rb") as file:
            data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"more than {MAX_FILE:,} octets")
    return data


def _objects(data: bytes) -> list[bytes]:
    """The DER in a file: that of every PEM block, or the file itself."""
    if any("PRIVATE KEY" in label for label in labels(data)):
        raise ValueError("a private key; it is not shown")
    return blocks(data) or [data]


def tree(node: Node) -> Tree:
    """The tree as rich draws it."""
    root = Tree(_label(node), guide_style="dim")
    _grow(root, node)
    return root


def _grow(branch: Tree, node: Node) -> None:
    for child in node.children:
        _grow(branch.add(_label(child)), child)


def _label(node: Node) -> Text:
    return Text.assemble((node.name, "bold"), *([("  " + node.text, "")] if node.text else []))
