"""The README's examples are run as they stand."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_python_examples_give_what_they_show() -> None:
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def sessions(text: str) -> list[tuple[str, list[str]]]:
    """Command and the lines that it is shown to print, for every command of the console blocks in ``text``."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_the_certification_authority_does_what_is_shown(tmp_path: Path) -> None:
    (section,) = re.findall(r"\n## A certification authority\n(.*?)\n## ", README.read_text("utf-8"), flags=re.DOTALL)
    shown = sessions(section)
    assert len(shown) > 12
    command = tmp_path / "bin/setproto"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m setproto "$@"\n')
    command.chmod(0o755)
    mark = "--- status"
    script = "".join(f'{line}\necho "{mark} $?"\n' for line, _ in shown)
    environment = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(README.parent)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=300,
    )
    printed = re.split(rf"{mark} (\d+)\n", done.stdout)
    assert len(printed) == 2 * len(shown) + 1
    for (line, expected), said, status in zip(shown, printed[::2], printed[1::2], strict=False):
        assert status == ("1" if "REFUSED" in said else "0"), (line, said)
        assert len(said.splitlines()) == len(expected), (line, said)
        for have, want in zip(said.splitlines(), expected, strict=True):
            assert re.fullmatch(re.escape(want).replace("…", ".+"), have), (line, have)


def test_the_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(targets) > 5
    missing = [target for target in targets if target[0] != "#" and not (README.parent / target).exists()]
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("##")}
    missing += [target for target in targets if target[0] == "#" and target[1:] not in headings]
    assert missing == []
