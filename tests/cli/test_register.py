"""Where ``setproto register`` keeps an application; tests/server/test_joining.py has one that is killed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from setproto.cli.register import _kept
from setproto.errors import Unreachable, UsageError

PASSPHRASE = "correct horse battery"
WORDS = (b"shop-1", b"DE 42")


def test_a_command_that_ended_before_it_applied_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """Neither when it was killed as it began, nor when something went wrong before the CA had the application."""
    file = tmp_path / "application.db"
    file.touch(mode=0o600)
    with suppress(Unreachable), _kept(file, PASSPHRASE, WORDS, "p256") as (_, _, begun):
        assert begun is None
        raise Unreachable("the CA does not answer")
    assert not file.exists()


def test_a_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "application.db"
    file.touch(mode=0o644)
    with pytest.raises(UsageError, match="others have access"), _kept(file, PASSPHRASE, WORDS, "p256"):
        pass
    assert file.exists()


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "application.db"
    file.touch(mode=0o600)
    file.write_bytes(b"a letter" * 1000)
    with pytest.raises(UsageError), _kept(file, PASSPHRASE, WORDS, "p256"):
        pass
    assert file.read_bytes() == b"a letter" * 1000
