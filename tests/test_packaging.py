"""What a user installs: the wheel, and the names that the packages say are theirs."""

from __future__ import annotations

import configparser
import importlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def build_wheel(room: Path) -> zipfile.ZipFile:
    """The wheel of a clean copy: setuptools would otherwise pick up what an earlier build left behind."""
    source = room / "source"
    for folder in ("pki", "setproto", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", room, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = room.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.slow
def test_wheel(tmp_path: Path) -> None:
    with build_wheel(tmp_path) as wheel:
        names = set(wheel.namelist())
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        declared = wheel.read(entry_points).decode()

    in_tree = {
        path.relative_to(ROOT).as_posix() for package in ("pki", "setproto") for path in (ROOT / package).rglob("*.py")
    }
    assert in_tree | {"pki/py.typed", "setproto/py.typed", "setproto/ca/hierarchy.toml"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"pki", "setproto"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)

    entries = configparser.ConfigParser()
    entries.read_string(declared)
    assert dict(entries["console_scripts"]) == {"setproto": "setproto.cli:main"}


def test_the_command_exists() -> None:
    assert callable(importlib.import_module("setproto.cli").main)


@pytest.mark.parametrize("package", ["pki", "setproto"])
def test_public_names_exist(package: str) -> None:
    module = importlib.import_module(package)
    names = module.__all__
    assert names, "a package without public names"
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(module, name)] == []
