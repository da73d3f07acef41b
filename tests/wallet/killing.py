"""A process that ends at a chosen write: what is on the disk then is all that is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from setproto.wallet import vault as vaults


class Killed(Exception):
    """The process ends here."""


CALLS = ("pwrite", "fsync", "replace", "ftruncate")


@contextmanager
def killed_at(
    number: int, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException] = Killed
) -> Iterator[list[int]]:
    """The call of that number, counted from 0, does half its work, if it can, and then nothing works any more."""
    count = [0]
    genuine = {name: getattr(os, name) for name in CALLS}

    def broken(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            count[0] += 1
            if count[0] <= number:
                return genuine[name](*arguments)
            if count[0] == number + 1 and name == "pwrite":
                file, data, at = arguments
                genuine[name](file, data[: len(data) // 2], at)
            raise error()

        return call

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(vaults.os, name, broken(name))
        yield count
