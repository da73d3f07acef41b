"""``setproto conformance`` as a user runs it: what it prints and writes, and with which status it ends."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from setproto.cli import app
from setproto.conformance.harness import Outcome
from tests.conformance import toy
from tests.conformance.toy import BAD_MAC, EXPIRED, GOOD, IDS, OTHER_OP, OTHERS

SCRIPT = str(Path(toy.__file__))


def implementation(mode: str) -> str:
    return shlex.join([sys.executable, "-S", SCRIPT, mode])


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    directory = tmp_path / "v1"
    directory.mkdir()
    (directory / "toy.json").write_text(json.dumps(toy.a_file()), encoding="utf-8")
    return directory


def conformance(vectors: Path, *arguments: str | Path, modes: tuple[str, ...] = ("good",)) -> tuple[int, str, str]:
    implementations = [word for mode in modes for word in ("--impl", implementation(mode))]
    given = ["conformance", "--vectors", str(vectors), "--timeout", "5", *implementations, *map(str, arguments)]
    result = CliRunner().invoke(app, given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_all_is_well(vectors: Path) -> None:
    status, out, err = conformance(vectors, "--seed", "7")
    assert (status, err) == (0, "")
    assert out.startswith("seed 7\n")
    assert "7 pass" in out


def test_a_seed_is_drawn_and_printed(vectors: Path) -> None:
    seeds = {conformance(vectors)[1].splitlines()[0] for _ in range(2)}
    assert len(seeds) == 2


@pytest.mark.parametrize(
    ("mode", "arguments", "status", "words"),
    [
        ("accept-all", [], 1, "INVALID TAKEN FOR VALID: 3"),
        ("wrong-reason", [], 0, "4 pass, 3 wrong reason"),
        ("wrong-reason", ["--strict"], 1, f"wrong reason  {OTHERS}: reason unspecifiedFailure instead of"),
        ("unsupported", [], 0, "6 pass, 1 unsupported"),
        ("unsupported", ["--strict"], 1, f"unsupported   {EXPIRED}"),
        ("fewer-ops", ["--strict"], 0, "6 pass, 1 skipped"),
        ("crash", ["--seed", "1"], 1, f"crash         {EXPIRED}: it ended with status 1"),
        ("no-dates", ["--id", "toy::good*", "--id", BAD_MAC], 0, "3 pass"),
    ],
)
def test_what_fails_a_run(vectors: Path, mode: str, arguments: list[str], status: int, words: str) -> None:
    found, out, err = conformance(vectors, *arguments, modes=(mode,))
    assert (found, err) == (status, "")
    assert words in out


# --- a run that says nothing ---


def test_no_hello(vectors: Path) -> None:
    status, _, err = conformance(vectors, modes=("dead",))
    assert status == 2
    assert err == "setproto: no hello: it ended with status 7\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", ""),
        (json.dumps({**toy.a_file(), "odd": 1}), "odd"),
        (json.dumps({**toy.a_file(), "numberOfTests": 8}), "7 tests, not 8 as it says"),
        ("[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_bad_vectors(vectors: Path, content: str | bytes, why: str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (vectors / "bad.json").write_bytes(data)
    status, _, err = conformance(vectors)
    assert status == 2
    assert err.startswith("setproto: bad.json: ")
    assert why in err


def test_the_same_vector_twice(vectors: Path) -> None:
    (vectors / "again.json").write_text(json.dumps(toy.a_file()), encoding="utf-8")
    assert conformance(vectors)[::2] == (2, f"setproto: two vectors are called {GOOD}\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--area", "other"], "no vector is of this area, suite and id"),
        (["--xfail", "no-such-file"], "no-such-file: No such file or directory"),
        (["--json", "no/such/directory"], "no/such/directory: No such file or directory"),
        (["--impl", "'"], '--impl "\'": No closing quotation'),
        (["--impl", ""], "--impl wants a command"),
        (["--impl", "/no/such/command"], "no hello: cannot be started: No such file or directory"),
        (["--vectors", "no-such-vectors"], "no-such-vectors: No such file or directory"),
    ],
)
def test_what_makes_no_sense(vectors: Path, arguments: list[str], why: str) -> None:
    status, _, err = conformance(vectors, *arguments)
    assert (status, err) == (2, f"setproto: {why}\n")


# --- expected failures ---


def entry(name: str, reason: str = "not done yet", **more: str) -> str:
    members = {"id": name, "reason": reason, **more}
    return "[[xfail]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in members.items())


def test_expected_failures(vectors: Path, tmp_path: Path) -> None:
    expected = tmp_path / "xfail.toml"
    expected.write_text(entry(EXPIRED), encoding="utf-8")
    status, out, _ = conformance(vectors, "--xfail", expected, modes=("no-dates",))
    assert status == 0
    assert "1 expected to fail" in out
    expected.write_text(entry(EXPIRED) + entry(BAD_MAC), encoding="utf-8")
    status, out, _ = conformance(vectors, "--xfail", expected, modes=("no-dates",))
    assert status == 1
    assert f"stale         {BAD_MAC}: it does not fail (not done yet)" in out


def test_stale_entries(vectors: Path, tmp_path: Path) -> None:
    expected = tmp_path / "xfail.toml"

    def status(text: str, *arguments: str, mode: str = "good") -> int:
        expected.write_text(text, encoding="utf-8")
        return conformance(vectors, "--xfail", expected, *arguments, modes=(mode,))[0]

    assert status("") == 0
    assert status(entry("toy::unheard-of")) == 1
    assert status(entry(EXPIRED, implementation="another")) == 0
    assert status(entry(EXPIRED, implementation="toy"), mode="no-dates") == 0
    assert status(entry(EXPIRED), "--id", GOOD) == 0  # it was not to be asked
    assert status(entry(OTHER_OP), mode="fewer-ops") == 1  # it was, and the implementation does not claim it
    assert status(entry(OTHERS), "--id", OTHERS, mode="wrong-reason") == 0  # a warning may stand there
    assert status(entry(EXPIRED), mode="refuse-all") == 1  # the failures that are not listed


@pytest.mark.parametrize(
    "text",
    [
        "[[xfail]",
        '[[xfail]]\nid = "toy::good"\n',
        '[[xfail]]\nreason = "why"\n',
        entry(GOOD, reason=" "),
        entry(GOOD, more="x"),
        entry(GOOD) + entry(GOOD, reason="another"),
        '[[xfail]]\nid = "toy::good"\nreason = 5\n',
        'xfail = "toy::good"\n',
        "[xfail]\n",
        "xfail = [5]\n",
        "other = 1\n",
    ],
)
def test_malformed_lists(vectors: Path, tmp_path: Path, text: str) -> None:
    expected = tmp_path / "xfail.toml"
    expected.write_text(text, encoding="utf-8")
    status, _, err = conformance(vectors, "--xfail", expected)
    assert status == 2
    assert err.startswith("setproto: expected failures: ")


def test_a_list_that_is_not_text(vectors: Path, tmp_path: Path) -> None:
    expected = tmp_path / "xfail.toml"
    expected.write_bytes(b"\xff")
    assert conformance(vectors, "--xfail", expected)[0] == 2


# --- reports ---


@pytest.fixture
def reported(vectors: Path, tmp_path: Path) -> tuple[dict[str, Any], ElementTree.Element, str]:
    """Of two implementations, one with all sorts of troubles."""
    files = [tmp_path / name for name in ("report.json", "report.xml", "report.html")]
    expected = tmp_path / "xfail.toml"
    expected.write_text(entry(BAD_MAC, "<known>"), encoding="utf-8")
    options = [
        word for name, file in zip(("json", "junit", "html"), files, strict=True) for word in (f"--{name}", file)
    ]
    status, out, _ = conformance(
        vectors, *options, "--xfail", expected, "--seed", "3", modes=("good", "accept-all", "fewer-features")
    )
    assert status == 1
    assert "Where they differ" in out
    data = json.loads(files[0].read_text(encoding="utf-8"))
    return data, ElementTree.parse(files[1]).getroot(), files[2].read_text(encoding="utf-8")


def test_json(reported: tuple[dict[str, Any], ElementTree.Element, str]) -> None:
    good, wrong, fewer = reported[0]["runs"]
    assert reported[0]["format"] == 1
    assert good["implementation"]["name"] == "toy"
    assert good["implementation"]["ops"] == ["toy.check", "toy.other"]
    assert (good["ok"], good["seed"], good["strict"], good["restarts"]) == (False, 3, False, 0)
    assert good["stale"] == [{"id": BAD_MAC, "reason": "<known>"}]
    assert good["counts"] == {**dict.fromkeys(map(str, Outcome), 0), "pass": 7}
    assert [result["id"] for result in good["results"]] == list(IDS)
    assert wrong["accepted"] == sorted([BAD_MAC, EXPIRED, OTHERS])
    assert wrong["failed"] == sorted([EXPIRED, OTHERS])
    assert wrong["stale"] == []
    (expected,) = (result for result in wrong["results"] if result["id"] == BAD_MAC)
    assert expected["expected_failure"] is True
    assert expected["outcome"] == "fail"
    assert fewer["counts"]["skipped"] == 1


def test_junit(reported: tuple[dict[str, Any], ElementTree.Element, str]) -> None:
    suites = reported[1].findall("testsuite")
    numbers = [tuple(suite.get(name) for name in ("tests", "failures", "errors", "skipped")) for suite in suites]
    well, stale, wrong = ("7", "0", "0", "0"), ("1", "1", "0", "0"), ("7", "2", "0", "1")
    assert numbers == [well, stale, wrong, ("7", "0", "0", "1"), stale]
    failure = reported[1].find(f"testsuite/testcase[@name='{OTHERS}']/failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("fail: accepted; it is to be refused: wrongRecipient")


def test_html(reported: tuple[dict[str, Any], ElementTree.Element, str]) -> None:
    page = reported[2]
    for name in IDS:
        assert f"<tr><td>{name}</td>" in page
    assert "&lt;known&gt;" in page
    assert "<known>" not in page
    assert '<td class="fail accepted" title="accepted; it is to be refused: wrongRecipient' in page
    assert '<td class="expected accepted"' in page
    assert "<script" not in page
    assert "http" not in page


def test_reports_hold_no_character_that_xml_forbids(vectors: Path, tmp_path: Path) -> None:
    """The last words of an implementation are its own choice."""
    file = tmp_path / "report.xml"
    script = tmp_path / "odd.py"
    script.write_text(
        f"import json, sys\nsys.stdin.readline()\nprint(json.dumps({toy.HELLO!r}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    sys.stderr.write('\\x01\\x1b[31m<&\\ufffe'); sys.exit(3)\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(
        app,
        ["conformance", "--vectors", str(vectors), "--impl", f"{sys.executable} {script}", "--junit", str(file)],
    )
    assert result.exit_code == 1
    root = ElementTree.parse(file).getroot()
    assert {str(error.get("message")) for error in root.iter("error")} == {"crash: it ended with status 3: ��[31m<&�"}
