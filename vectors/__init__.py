"""The test vectors, as data: JSON files that anybody's implementation can be judged by (README.md)."""

from __future__ import annotations

import json
from importlib.resources import files as _resources
from importlib.resources.abc import Traversable
from typing import Any

__all__ = ["files", "load"]


def files() -> list[Traversable]:
    """The vector files of version 1, by name."""
    found = (entry for entry in _resources(__name__).joinpath("v1").iterdir() if entry.name.endswith(".json"))
    return sorted(found, key=lambda entry: entry.name)


def load(area_file: Traversable) -> dict[str, Any]:
    """The contents of one file."""
    read: dict[str, Any] = json.loads(area_file.read_text(encoding="utf-8"))
    return read
