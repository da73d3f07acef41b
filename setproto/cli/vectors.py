"""``setproto vectors``: look at the test vectors, take one apart, check and make them."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from jsonschema import Draft202012Validator
from rich.table import Table
from rich.text import Text

import vectors as data
from setproto.cli.console import Suite, complain, console, refuse
from setproto.conformance.files import Vector, json_schema, lint, load_all, vectors_of
from setproto.errors import SetError

vectors = typer.Typer(help="The test vectors: list, show, extract, lint, generate.", no_args_is_help=True)

_LABELS = {"certificate": "CERTIFICATE", "certificates": "CERTIFICATE", "roots": "CERTIFICATE", "extra": "CERTIFICATE"}
_LABELS |= {"crls": "X509 CRL", "private_key": "PRIVATE KEY", "signed": "CMS", "sealed": "CMS", "signature": "CMS"}
_LABELS |= {"signature_certificate": "CERTIFICATE", "exchange_certificate": "CERTIFICATE", "chain": "CERTIFICATE"}
_LABELS |= {"signature_key": "PRIVATE KEY", "exchange_key": "PRIVATE KEY"}
Name = Annotated[str, typer.Argument(metavar="ID", help="The tcId.")]
_SHOWN = 96
"""Characters of octets that ``show`` prints; --json prints all."""


@vectors.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per vector, in an array.")] = False,
    area: Annotated[str | None, typer.Option("--area", help="Of this area only.")] = None,
    suite: Annotated[Suite | None, typer.Option("--suite", help="Of this suite only.")] = None,
) -> None:
    """List the vectors: what each expects and from which it is derived."""
    found = [
        vector.summary() for vector in _all() if area in (None, vector.file.area) and suite in (None, vector.file.suite)
    ]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    with console() as out:
        table = Table("id", "result", "reason", "about", box=None, header_style="bold")
        for row in found:
            table.add_row(row["id"], row["result"], row["reason"] or "", row["comment"])
        out.print(table)
        invalid = sum(row["result"] == "invalid" for row in found)
        out.print(Text(f"{len(found)} vectors, {invalid} of them invalid"))


@vectors.command()
def show(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="The whole vector as JSON.")] = False,
) -> None:
    """Show one vector, with what its group and its flags say."""
    vector = _one(name)
    whole = {
        **vector.test.model_dump(exclude_none=True),
        "op": vector.group.type,
        "now": vector.group.now,
        "input": vector.input(),
        "notes": {flag: vector.file.notes[flag].model_dump() for flag in vector.test.flags},
    }
    if as_json:
        typer.echo(json.dumps(whole, indent=1))
        return
    typer.echo("\n".join(_lines(whole, "")))


def _lines(value: Any, indent: str) -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list) and item:
            yield f"{indent}{key}:"
            yield from _lines(item, indent + "  ")
        elif item not in ({}, []):
            text = str(item)
            more = f"… ({len(text) // 2} octets)" if len(text) > _SHOWN and " " not in text else ""
            yield f"{indent}{key}: {text[:_SHOWN] + more if more else text}"


@vectors.command()
def extract(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if it is not there.")],
) -> None:
    """Write the octets of one vector as files: DER, PEM where there is a label for it, and the vector as JSON."""
    vector = _one(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vector.json").write_text(vector.test.model_dump_json(indent=1) + "\n", encoding="utf-8")
        count = 0
        for path, octets in _octets(vector.input(), ()):
            (folder / ("-".join(path) + ".der")).write_bytes(octets)
            label = next((_LABELS[part] for part in reversed(path) if part in _LABELS), None)
            if label is not None:
                (folder / ("-".join(path) + ".pem")).write_text(_pem(label, octets), encoding="ascii")
            count += 1
    except OSError as failure:
        refuse(f"{failure.filename}: {failure.strerror}")
    typer.echo(f"{count} objects in {folder}")


def _octets(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _octets(item, (*path, str(key)))
    elif isinstance(value, str) and value and path[-1] not in ("suite", "kind", "brand", "content_type", "type"):
        try:
            yield path, bytes.fromhex(value)
        except ValueError:
            return


def _pem(label: str, octets: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(octets).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


@vectors.command("lint")
def lint_() -> None:
    """Check the files: schema, one sibling and one deviation per invalid vector, no repetition, coverage of all codes.

    Exit status 1 if something is wrong.
    """
    checker = Draft202012Validator(json_schema())
    found = [
        f"{file.name}: {'/'.join(map(str, fault.absolute_path))}: {fault.message[:200]}"
        for file in data.files()
        for fault in checker.iter_errors(data.load(file))
    ]
    if not found:
        found = lint(_files())
    for fault in found:
        complain(fault)
    if found:
        raise typer.Exit(1)
    count = sum(1 for _ in _all())
    typer.echo(f"{count} vectors, nothing to complain of")


@vectors.command()
def generate(
    areas: Annotated[list[str] | None, typer.Argument(metavar="[AREA]…", help="These areas only.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; status 1 if something would change.")] = False,
) -> None:
    """Make the vector files anew where their recipes have changed."""
    from vectors.generate import main  # only here: the recipes build a market and an office

    raise typer.Exit(main([*(areas or ()), *(["--check"] if check else [])]))


def _files() -> Any:
    try:
        return load_all()
    except (SetError, ValueError) as failure:
        refuse(f"the vectors cannot be read: {failure}")


def _all() -> Iterator[Vector]:
    return vectors_of(_files())


def _one(name: str) -> Vector:
    return next((vector for vector in _all() if vector.id == name), None) or _unknown(name)


def _unknown(name: str) -> NoReturn:
    refuse(f"no vector is called {name!r}; see: setproto vectors list")
