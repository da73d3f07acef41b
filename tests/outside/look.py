"""What somebody finds who may look at everything of a running process and of its directory."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r[-w][-x][ps]) \S+ \S+ (\d+) *(.*)")


def memory(pid: int) -> list[bytes]:
    """All that can be written to, is shared, or belongs to no file: heap, stacks, data, mapped databases."""
    regions = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            mapping = MAPPING.fullmatch(line)
            if mapping is None or mapping[5].startswith("[v"):
                continue
            start, end, access, inode = int(mapping[1], 16), int(mapping[2], 16), mapping[3], mapping[4]
            if "w" in access or "s" in access or inode == "0":
                try:
                    regions.append(os.pread(mem.fileno(), end - start, start))
                except OSError:  # unmapped since, or a mapping beyond the end of its file
                    continue
    return regions


def opened(pid: int) -> dict[str, bytes]:
    """Its open files, those without a name included; what it was started with."""
    found = {name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if stat.S_ISREG(entry.stat().st_mode):
                found[os.readlink(entry)] = entry.read_bytes()
        except OSError:  # closed since, or open for writing by somebody else
            continue
    return found


def files(*directories: Path) -> dict[str, bytes]:
    """Every file below."""
    paths = [path for directory in directories for path in directory.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


def cells(database: Path) -> Iterator[bytes]:
    """Every value in a database of SQLite."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, (str, bytes)):
                        yield value if isinstance(value, bytes) else value.encode()
