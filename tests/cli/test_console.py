"""What is said on a terminal."""

from __future__ import annotations

import pytest

from setproto.cli.console import complain, printable


def test_what_others_write_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("Ada \x1b[2J\x9b1m\r\N{RIGHT-TO-LEFT OVERRIDE}née") == "Ada ?[2J?1m??née"
    complain("the CA refuses:\n\x1b]0;all is well\x07")
    assert capsys.readouterr().err == "setproto: the CA refuses: ?]0;all is well?\n"
