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


def section(title: str) -> list[tuple[str, list[str]]]:
    """The commands of a section, each with what it prints."""
    (text,) = re.findall(rf"\n## {title}\n(.*?)\n## ", README.read_text("utf-8"), flags=re.DOTALL)
    return sessions(text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of somebody new here, who has ``setproto`` on his path."""
    command = tmp_path / "bin/setproto"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m setproto "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(README.parent), "HOME": str(tmp_path), "TERM": "dumb"}


def as_shown(expected: list[str], said: str) -> bool:
    """Whether this was printed, ``…`` standing for anything."""
    lines = said.splitlines()
    return len(lines) == len(expected) and all(
        re.fullmatch(re.escape(want).replace("…", ".+"), have) for have, want in zip(lines, expected, strict=True)
    )


def run(shown: list[tuple[str, list[str]]], folder: Path, environment: dict[str, str]) -> None:
    """One after the other, in one shell."""
    mark = "--- status"
    script = "".join(f'{line}\necho "{mark} $?"\n' for line, _ in shown)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
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
        assert as_shown(expected, said), (line, said)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_the_certification_authority_does_what_is_shown(tmp_path: Path, environment: dict[str, str]) -> None:
    shown = section("A certification authority")
    assert len(shown) > 12
    run(shown, tmp_path, environment)


@pytest.mark.slow
def test_the_shop_does_what_is_shown(tmp_path: Path, environment: dict[str, str]) -> None:
    (up, where), *shown = section("A shop")
    assert len(shown) > 12
    # Any free ports, since the usual ones may be taken; then what is printed differs from the README there alone.
    server = subprocess.Popen(
        [*up.split(), "--port", "0"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        said = list(iter(server.stdout.readline, "up; Ctrl-C ends it\n"))
        first = "".join(said[: len(where)])
        assert as_shown([re.sub(r":847\d", ":…", line) for line in where], first), first
        run(shown, tmp_path, environment)
        assert (tmp_path / "receipt.pdf").read_bytes().startswith(b"%PDF-")
    finally:
        server.terminate()
        rest, _ = server.communicate(timeout=60)
    assert rest == "stopped\n"
    assert server.returncode == 0


def test_the_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(targets) > 5
    missing = [target for target in targets if target[0] != "#" and not (README.parent / target).exists()]
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("##")}
    missing += [target for target in targets if target[0] == "#" and target[1:] not in headings]
    assert missing == []
