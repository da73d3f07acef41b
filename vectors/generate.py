"""``python -m vectors.generate [--check] [AREA…]``: make the vector files and their schema, or see that they are made.

A run that finds everything in order writes nothing.  ``--check`` never writes and fails if something would change.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from setproto.conformance.files import SCHEMA, json_schema
from vectors.recipes import AREAS
from vectors.recipes.common import Disagrees, whole
from vectors.recipes.flows import Played

FOLDER = Path(__file__).resolve().parent


def dumped(value: object) -> str:
    """As it stands in a file."""
    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def wanted(areas: Iterable[str] = ()) -> Iterator[tuple[Path, str]]:
    """Every file of these areas (all, if none is named) with the text that it should have.  Disagrees if a case is
    not judged as it expects; KeyError for an area that there is not."""
    named = list(areas)
    if not named:
        yield FOLDER / "schema" / SCHEMA, dumped(json_schema())
    for area in named or AREAS:
        if importlib.util.find_spec(AREAS[area]) is None:
            continue
        for file in importlib.import_module(AREAS[area]).build():
            path = FOLDER / "v1" / file.name
            stored: dict[str, Any] | None = None
            if path.exists():
                stored = json.loads(path.read_text(encoding="utf-8"))
            yield path, dumped(file.whole(stored) if isinstance(file, Played) else whole(file, stored))


def generate(areas: Iterable[str] = (), *, check: bool = False) -> list[str]:
    """Names of the files that were changed, or with ``check`` would be."""
    changed = []
    for path, text in wanted(areas):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changed.append(str(path.relative_to(FOLDER)))
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    return changed


def main(arguments: list[str]) -> int:
    """The command.  0: done, or nothing to do; 1: something would change, or disagrees; 2: no such area."""
    check, areas = "--check" in arguments, [name for name in arguments if name != "--check"]
    if unknown := [name for name in areas if name not in AREAS]:
        sys.stderr.write(f"no such area: {', '.join(unknown)}\n")
        return 2
    try:
        changed = generate(areas, check=check)
    except Disagrees as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write("".join(f"{'would change' if check else 'written'}: {name}\n" for name in changed))
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
