"""Implementations that are wrong in one way each: every one is caught, and for the right reason."""

from __future__ import annotations

import base64
import json
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from setproto.conformance.files import parse
from setproto.conformance.harness import Case, NotSound, Outcome, Result, Run, Runner, cases, released, select
from setproto.conformance.process import Written
from tests.conformance import toy
from tests.conformance.toy import BAD_MAC, EXPIRED, FEATURE, GOOD, IDS, LATER, OTHER_OP, OTHERS

SCRIPT = str(Path(toy.__file__))
VALID = (GOOD, LATER, FEATURE, OTHER_OP)
INVALID = (BAD_MAC, EXPIRED, OTHERS)


def command(mode: str) -> list[str]:
    return [sys.executable, "-S", SCRIPT, mode]


def run(mode: str, *, strict: bool = False, seed: int = 1, suite: str | None = None, timeout: float = 5.0) -> Run:
    with Runner(command(mode), timeout=timeout, start_timeout=10) as runner:
        return runner.run(list(cases(parse(toy.a_file(suite)))), seed=seed, strict=strict)


def outcomes(found: Run) -> dict[str, str]:
    """The vectors that did not pass."""
    return {r.case.id: str(r.outcome) for r in found.results if r.outcome is not Outcome.PASS}


def detail(found: Run, name: str) -> str:
    return next(result.verdict.detail for result in found.results if result.case.id == name)


def each(names: tuple[str, ...], outcome: str) -> dict[str, str]:
    return dict.fromkeys(names, outcome)


def test_a_correct_implementation_passes() -> None:
    found = run("good", strict=True)
    assert [result.case.id for result in found.results] == list(IDS)
    assert outcomes(found) == {}
    assert found.restarts == 0


@pytest.mark.parametrize("mode", ["noisy", "logging"])
def test_standard_error_is_free(mode: str) -> None:
    """A megabyte for every request blocks nobody, and a log of requests releases nothing."""
    assert outcomes(run(mode, strict=True)) == {}


WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "accept-all": (each(INVALID, "fail"), BAD_MAC, "accepted; it is to be refused: signatureFailure"),
    "refuse-all": (
        {**each(VALID, "fail"), **each(INVALID, "wrong_reason")},
        GOOD,
        "refused (unspecifiedFailure); it is valid",
    ),
    "no-dates": ({EXPIRED: "fail"}, EXPIRED, "accepted; it is to be refused: expiredCertificate"),
    "other-outputs": (each(VALID, "fail"), LATER, "output content is later. instead of later"),
    "no-outputs": (each(VALID, "fail"), GOOD, "output content is missing"),
    "other-intermediate": ({GOOD: "fail"}, GOOD, "intermediate value mac is 00 instead of "),
    "wrong-reason": (each(INVALID, "wrong_reason"), OTHERS, "reason unspecifiedFailure instead of wrongRecipient"),
    "outputs": (each(INVALID, "fail"), OTHERS, "outputs in a refusal: state"),
    "leak-outputs": (each(INVALID, "fail"), OTHERS, "released on standard output: "),
    "leak-elsewhere": (each(INVALID, "fail"), OTHERS, "released on standard output: "),
    "leak-base64": (each(INVALID, "fail"), OTHERS, "released on standard output: "),
    "leak-stderr": (each(INVALID, "fail"), OTHERS, "released on standard error: "),
    "leak-bcd": (each(INVALID, "fail"), OTHERS, "released on standard error: 16 octets that begin with 34313131"),
    "unsupported": ({EXPIRED: "unsupported"}, EXPIRED, ""),
    "fewer-ops": ({OTHER_OP: "skipped"}, OTHER_OP, "does not claim operation toy.other"),
    "fewer-features": ({FEATURE: "skipped"}, FEATURE, "does not claim feature extra"),
    "crash": ({EXPIRED: "crash"}, EXPIRED, "it ended with status 1: RuntimeError: expired, of all things"),
    "signal": ({EXPIRED: "crash"}, EXPIRED, "it ended by signal 11"),
    "garbage": ({EXPIRED: "harness_error"}, EXPIRED, "a line that is not JSON: 'oops'"),
    "not-an-object": ({EXPIRED: "harness_error"}, EXPIRED, "a line that is not a JSON object: '[1]'"),
    "deep": ({EXPIRED: "harness_error"}, EXPIRED, "a line "),
    "long-line": ({EXPIRED: "harness_error"}, EXPIRED, "a line of more than 16,777,216 octets"),
    "wrong-id": ({EXPIRED: "harness_error"}, EXPIRED, "an answer whose id is not that of the request"),
    "no-id": ({EXPIRED: "harness_error"}, EXPIRED, "an answer whose id is not that of the request"),
    "odd-result": ({EXPIRED: "harness_error"}, EXPIRED, "the result is neither valid nor invalid nor unsupported"),
    "odd-outputs": ({EXPIRED: "harness_error"}, EXPIRED, "outputs is not an object"),
    "odd-reason": ({EXPIRED: "harness_error"}, EXPIRED, "the reason is not text"),
    "twice": ({EXPIRED: "harness_error"}, EXPIRED, "answered more than once"),
}


@pytest.mark.parametrize("mode", WRONG)
def test_a_wrong_implementation_is_caught(mode: str) -> None:
    wanted, where, why = WRONG[mode]
    found = run(mode)
    assert outcomes(found) == wanted
    assert detail(found, where).startswith(why)
    accepted = {result.case.id for result in found.results if result.verdict.accepted}
    assert accepted == {"accept-all": set(INVALID), "no-dates": {EXPIRED}}.get(mode, set())


@pytest.mark.parametrize("mode", ["hang", "half-a-line", "flood", "late"])
def test_whoever_does_not_answer_is_killed_and_started_again(mode: str) -> None:
    """An answer that comes late does not disturb what follows, and a flood that never ends is left."""
    found = run(mode, timeout=0.4, seed=expired_first())
    assert outcomes(found) == {EXPIRED: "hang"}
    assert found.restarts == 1


def test_a_closed_output_is_a_crash() -> None:
    found = run("close")
    assert outcomes(found) == {EXPIRED: "crash"}
    assert detail(found, EXPIRED) == "it closed its output and did not end"


def test_a_stray_line_is_laid_to_the_next_request() -> None:
    """Whoever writes what nobody asked for is caught, even if after the last answer of another request."""
    chosen = [case for case in cases(parse(toy.a_file())) if case.id in (EXPIRED, LATER)]
    with Runner(command("stray"), timeout=5) as runner:
        found = runner.run(chosen, seed=expired_first(chosen))
    assert outcomes(found) == {LATER: "harness_error"}
    # Which of the two depends on whether it came before that request was sent or after.
    assert detail(found, LATER).startswith(("a line that answers nothing", "an answer whose id is not that"))


def expired_first(chosen: list[Case] | None = None) -> int:
    """A seed with which the expired one is asked first."""
    chosen = list(cases(parse(toy.a_file()))) if chosen is None else chosen
    return next(seed for seed in range(1000) if order(chosen, seed)[0] == EXPIRED)


@cache
def _order(names: tuple[str, ...], seed: int) -> list[str]:
    seen: list[Result] = []
    with Runner(command("good"), timeout=5) as runner:
        runner.run([case for case in cases(parse(toy.a_file())) if case.id in names], seed=seed, progress=seen.append)
    return [result.case.id for result in seen]


def order(chosen: list[Case], seed: int) -> list[str]:
    return _order(tuple(case.id for case in chosen), seed)


def test_the_order_follows_from_the_seed() -> None:
    everything = list(cases(parse(toy.a_file())))
    first = order(everything, 1)
    _order.cache_clear()
    assert order(everything, 1) == first
    assert len({tuple(order(everything, seed)) for seed in range(4)}) > 1


def test_requests_hold_no_expectations(tmp_path: Path) -> None:
    """Everything that goes over the pipe, as the implementation reads it."""
    log = tmp_path / "requests"
    script = tmp_path / "tee.sh"
    script.write_text(f"tee {log} | {sys.executable} -S {SCRIPT} good\n", encoding="utf-8")
    with Runner(["/bin/sh", str(script)], timeout=5) as runner:
        runner.run(list(cases(parse(toy.a_file()))), seed=3)
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[0] == '{"op": "hello", "protocol": 1}'
    assert len(lines) == 1 + len(IDS)
    text = "\n".join(lines)
    for word in ("toy::", "Failure", "expired", "invalid", "valid", "wrong", "expected", "release", "comment"):
        assert word not in text


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("dead", "no hello: it ended with status 7"),
        ("garbage-hello", "no hello: a line that is not JSON: 'welcome'"),
        ("no-hello", "no hello: no answer in time"),
        ("odd-hello", "no hello: suites, features and ops in hello are not all lists of text"),
        ("nameless", "no hello: name and version in hello are not both text"),
        ("nothing", "toy supports nothing of what was to be asked: nothing was judged"),
    ],
)
def test_a_run_that_says_nothing_is_not_sound(mode: str, why: str) -> None:
    with Runner(command(mode), timeout=5, start_timeout=0.5 if mode == "no-hello" else 10) as runner:  # noqa: SIM117
        with pytest.raises(NotSound, match="^" + why.replace("(", r"\(")):
            runner.run(list(cases(parse(toy.a_file()))), seed=1)


def test_a_suite_that_is_not_claimed_is_not_asked() -> None:
    with pytest.raises(NotSound, match="nothing was judged"):
        run("fewer-suites", suite="p256")
    assert outcomes(run("fewer-suites", suite=None)) == {}


def test_a_command_that_does_not_exist() -> None:
    with (
        pytest.raises(NotSound, match="cannot be started: No such file"),
        Runner(["/no/such/file"], timeout=1) as runner,
    ):
        runner.hello()


def test_strict_takes_only_the_first_reason() -> None:
    assert outcomes(run("alternative")) == {}
    assert outcomes(run("alternative", strict=True)) == {EXPIRED: "wrong_reason"}


def test_another_hello_after_a_restart() -> None:
    found = run("fickle", seed=expired_first())
    assert outcomes(found) == dict.fromkeys(IDS, "crash")
    assert detail(found, GOOD) == "no hello after a restart: after a restart its hello is another"


def many() -> list[Case]:
    (good,) = (case for case in cases(parse(toy.a_file())) if case.id == GOOD)
    return [Case(f"toy::{n}", good.area, None, good.op, good.now, good.input, good.judge) for n in range(25)]


def test_an_answer_before_the_request_was_read(tmp_path: Path) -> None:
    """What is left of the request would be taken for the next one."""
    script = tmp_path / "hasty.py"
    script.write_text(
        "import json, os, re\n"
        f"os.read(0, 100); print(json.dumps({toy.HELLO!r}), flush=True)\n"
        """while b := os.read(0, 1000): print(b'{"id": "%s", "result": "valid"}' """
        """.decode() % re.search(rb'"id": "(.*?)"', b)[1].decode(), flush=True); input()\n""",
        encoding="utf-8",
    )
    large = [replace(case, input={**case.input, "more": "x" * (1 << 20)}) for case in many()[:2]]
    with Runner([sys.executable, "-S", str(script)], timeout=5) as runner:
        found = runner.run(large, seed=1)
    assert [result.outcome for result in found.results] == [Outcome.HARNESS_ERROR] * 2
    assert detail(found, "toy::0") == "an answer before the request was read"


def test_a_run_is_given_up_when_nobody_answers() -> None:
    with Runner(command("crash-always"), timeout=5) as runner:
        found = runner.run(many(), seed=1)
    assert sorted(outcomes(found).values()) == ["crash"] * 20 + ["skipped"] * 5


def test_one_crash_does_not_end_a_run() -> None:
    """It ends at every second request, and is started again each time."""
    with Runner(command("second"), timeout=5) as runner:
        found = runner.run(many(), seed=1)
    assert set(outcomes(found).values()) == {"crash"}
    assert len(outcomes(found)) == 12


@pytest.mark.parametrize(
    ("areas", "suites", "patterns", "chosen"),
    [
        ([], [], [], IDS),
        (["toy"], [], ["toy::good*"], (GOOD, LATER)),
        ([], ["p256"], ["*-mac", EXPIRED], (BAD_MAC, EXPIRED)),
        (["other"], [], [], ()),
        ([], ["ed25519"], [], ()),
    ],
)
def test_selection(areas: list[str], suites: list[str], patterns: list[str], chosen: tuple[str, ...]) -> None:
    found = select(cases(parse(toy.a_file("p256"))), areas, suites, patterns)
    assert tuple(case.id for case in found) == chosen


def test_nobody_is_left_behind(tmp_path: Path) -> None:
    """What the implementation started ends with it."""
    mark = tmp_path / "alive"
    script = tmp_path / "parent.sh"
    script.write_text(f"(sleep 1; touch {mark}) &\nexec {sys.executable} -S {SCRIPT} hang\n", encoding="utf-8")
    with Runner(["/bin/sh", str(script)], timeout=0.2) as runner:
        runner.run([case for case in cases(parse(toy.a_file())) if case.id == EXPIRED], seed=1)
    time.sleep(1.2)
    assert not mark.exists()


SECRET = "café, 2 cups of it".encode()
OBJECT = "30" * 100 + SECRET.hex() + "00" * 100


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (Written(stdout=bytearray(SECRET)), True),
        (Written(stdout=bytearray(json.dumps({"x": [{SECRET.decode(): 1}]}).encode())), True),  # as caf\u00e9
        (Written(stderr=bytearray(b"once " + SECRET.hex().encode() + b" more")), True),
        (Written(stderr=bytearray(base64.urlsafe_b64encode(b"a" + SECRET + b"b"))), True),
        (Written(stderr=bytearray(SECRET[:-1])), False),
        (Written(stderr=bytearray(f"in: {OBJECT}".encode())), False),  # a member of the request, as it came
        (Written(stderr=bytearray(f"in: {OBJECT[2:]}".encode())), True),
        (Written(stdout=bytearray(f"in: {OBJECT}".encode())), True),
        (Written(stdout=bytearray(b"[" * 100_000 + b"\n\xff\n")), False),
    ],
)
def test_what_counts_as_released(written: Written, found: bool) -> None:
    given = {"signed": OBJECT, "of": [OBJECT[:-2], "00" * 200], "account": SECRET.hex(), "part": SECRET.hex()[:20]}
    case = replace(many()[0], input=given, must_not_release=(b"something else", SECRET))
    assert bool(released(case, written)) is found


def test_last_words_are_short() -> None:
    assert Written(stderr=bytearray(b"first\n" + b"x" * 1000 + b"\n\n")).last_words() == "x" * 200
    assert Written().last_words() == ""
