"""Declarations and forms that people and programs write: every key checked, none unknown, every fault named."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from setproto.errors import UsageError

__all__ = ["Table", "parse", "parse_json", "read_secret", "require_private"]


class Table(BaseModel):
    """A table of a declaration: strict, unchangeable, without unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


T = TypeVar("T", bound=BaseModel)


def parse(model: type[T], text: str, where: str, context: Any = None) -> T:
    """What the TOML declares; ``context`` is for the validators.  UsageError names ``where`` and every wrong key."""
    try:
        return model.model_validate(tomllib.loads(text), context=context)
    except tomllib.TOMLDecodeError as failure:
        raise UsageError(f"{where}: {failure}") from None
    except ValidationError as failure:
        raise UsageError(f"{where}: {_in_words(failure)}") from None


def parse_json(model: type[T], data: bytes, where: str) -> T:
    """What the JSON says.  UsageError as for ``parse``; the text quotes no values."""
    try:
        return model.model_validate_json(data)
    except ValidationError as failure:
        raise UsageError(f"{where}: {_in_words(failure)}") from None


def require_private(path: Path) -> None:
    """UsageError if others than the owner have access to the file or directory."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UsageError(f"others have access to {path}: chmod go= {path}")


def read_secret(file: Path) -> str:
    """A passphrase in a file that only its owner may read.  UsageError if others may, or it is not text, or empty.

    The line's end belongs to the file; every other character to the passphrase.
    """
    require_private(file)
    try:
        found = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{file}: not text") from None
    if not found:
        raise UsageError(f"{file}: empty")
    return found


def _in_words(failure: ValidationError) -> str:
    return "; ".join(f"{_place(fault['loc'])}{_words(fault['type'], fault['msg'])}" for fault in failure.errors())


def _place(loc: tuple[int | str, ...]) -> str:
    """``brand[1].geo_ca.name: ``, brands counted from 1 as people do."""
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc)
    return f"{text.lstrip('.')}: " if text else ""


def _words(kind: str, message: str) -> str:
    return {"extra_forbidden": "no such key", "missing": "missing"}.get(kind, message.removeprefix("Value error, "))
