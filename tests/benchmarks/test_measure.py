"""Calibration, interleaving and ratios, by a clock that the test moves: no test asserts a real time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pyperf
import pytest

from benchmarks import BenchmarkError
from benchmarks.measure import FULL, QUICK, Case, Settings, check, measure, patience, refused
from tests.benchmarks.reports import MINIMAL


class Clock:
    """Stands still unless something is done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def takes(self, name: str, *seconds: float) -> Callable[..., None]:
        durations = itertools.cycle(seconds)

        def run(*argument: object) -> None:
            self.done.append(name)
            self.now += next(durations)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pyperf, "perf_counter", lambda: found.now)
    return found


def quiet(what: str, done: int, of: int) -> None:
    """No progress bar."""


def test_a_ratio_is_of_two_things_timed_side_by_side(clock: Clock) -> None:
    floor = Case("raw.sign.x", clock.takes("raw", 0.001), floor="raw.sign.x")
    case = Case("cms.sign.x", clock.takes("cms", 0.0013), floor="raw.sign.x", rival="raw.sign.x", bytes=70)
    raw, cms = measure([floor, case], QUICK, quiet)
    assert raw["ratio_to_floor"] == 1
    assert cms["ratio_to_floor"] == pytest.approx(1.3)
    assert cms["ratio_to_rival"] == pytest.approx(1.3)
    assert [cms[name] for name in ("median_s", "p95_s", "p99_s")] == pytest.approx([0.0013] * 3)
    assert cms["ops_per_second"] == pytest.approx(1 / 0.0013)
    assert (cms["samples"], cms["bytes"]) == (QUICK.samples, 70)


def test_a_machine_that_slows_down_changes_no_ratio(clock: Clock) -> None:
    def slowing(name: str, seconds: float) -> Callable[..., None]:
        def run() -> None:
            clock.now += seconds * (1 + clock.now)

        return run

    one, two = measure([Case("a.x", slowing("a", 0.002)), Case("b.x", slowing("b", 0.002), floor="a.x")], QUICK, quiet)
    assert two["ratio_to_floor"] == pytest.approx(1, abs=0.01)
    assert one["median_interval_s"][0] < one["median_s"] < one["median_interval_s"][1]


def test_values_are_taken_in_turn_and_another_begins_each_time(clock: Clock) -> None:
    settings = Settings(samples=2, value_s=0.001, warm_up_s=0.0)
    measure([Case(f"{name}.x", clock.takes(name, 0.001)) for name in "abc"], settings, quiet)
    assert clock.done == [*"abc", *"abc", *"bca"]  # the first three to calibrate


def test_short_calls_are_timed_many_at_a_time(clock: Clock) -> None:
    (found,) = measure([Case("a.x", clock.takes("a", 0.0001))], FULL, quiet)
    assert found["loops"] * 0.0001 >= FULL.value_s > found["loops"] * 0.0001 / 2
    assert found["median_s"] == pytest.approx(0.0001)


def test_warm_up_lasts_as_long_as_asked(clock: Clock) -> None:
    settings = Settings(samples=1, value_s=0.001, warm_up_s=0.5)
    measure([Case("a.x", clock.takes("a", 0.125))], settings, quiet)
    assert len(clock.done) == 4 + 1


def test_preparing_is_not_timed(clock: Clock) -> None:
    case = Case("a.x", clock.takes("a", 0.001), prepare=clock.takes("preparing", 5.0))
    (found,) = measure([case], MINIMAL, quiet)
    assert found["median_s"] == pytest.approx(0.001)
    assert clock.done.count("preparing") == clock.done.count("a")


def test_a_call_that_does_several_things_is_divided(clock: Clock) -> None:
    (found,) = measure([Case("a.x", clock.takes("a", 0.008), calls=8)], MINIMAL, quiet)
    assert found["median_s"] == pytest.approx(0.001)


def test_progress_is_told(clock: Clock) -> None:
    told: list[tuple[str, int, int]] = []
    measure([Case("a.x", clock.takes("a", 1.0))], MINIMAL, lambda *how: told.append(how))
    assert told == [("a.x", 1, 3), ("a.x", 2, 3), ("a.x", 3, 3)]


@pytest.mark.parametrize(
    "cases",
    [
        [Case("a.x", int, floor="b.x")],
        [Case("a.x", int, rival="b.x")],
        [Case("a.x", int), Case("a.x", int)],
    ],
    ids=["unknown floor", "unknown rival", "twice"],
)
def test_cases_that_make_no_sense(cases: list[Case]) -> None:
    with pytest.raises(BenchmarkError, match="cases"):
        measure(cases, MINIMAL, quiet)


def test_settings_take_enough_samples() -> None:
    assert min(FULL.samples, QUICK.samples) >= 20


def test_what_takes_a_random_time_is_timed_for_longer(clock: Clock) -> None:
    cases = [Case(f"{suite}.x", clock.takes(suite, 0.001), patience=patience(suite)) for suite in ("p256", "mldsa65")]
    one, other = measure(cases, QUICK, quiet)
    assert other["loops"] == 8 * one["loops"]


def test_what_does_not_hold_is_not_timed() -> None:
    check(True, "this holds")
    with pytest.raises(BenchmarkError, match=r"not timed.*this"):
        check(False, "this")
    with refused(ValueError, "words"):
        int("words")
    with pytest.raises(BenchmarkError, match="should have been refused: digits"), refused(ValueError, "digits"):
        int("1")
    with pytest.raises(TypeError), refused(ValueError, "another error"):
        int([])  # type: ignore[call-overload]
