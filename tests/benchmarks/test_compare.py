"""What counts as a change, on made-up reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.compare import compare, only_in
from benchmarks.report import write
from setproto.cli import app
from tests.benchmarks.reports import report_of, result


def verdict(before: dict[str, Any], after: dict[str, Any], **environment: Any) -> str:
    (change,) = compare(report_of(before), report_of(after, **environment))
    return f"{change.by} {change.verdict}"


def test_ratios_are_compared_across_machines() -> None:
    before = result("purchase.p256", 0.002, ratio=1.2)
    assert verdict(before, result("purchase.p256", 0.004, ratio=1.2), cpu="another") == "ratio same"
    assert verdict(before, result("purchase.p256", 0.001, ratio=1.6), cpu="another") == "ratio slower"
    assert verdict(before, result("purchase.p256", 0.009, ratio=1.1), cpu="another") == "ratio faster"


def test_times_are_compared_on_one_machine_only() -> None:
    before, after = (report_of(result("raw.sign.p256", seconds)) for seconds in (1e-5, 2e-5))
    (change,) = compare(before, after)
    assert (change.by, change.verdict, change.factor, change.time) == ("time", "slower", 2, 2)
    after["environment"]["cpu"] = "another"
    assert list(compare(before, after)) == []


def test_beside_a_ratio_stands_the_time_if_it_may_be_compared() -> None:
    before, after = (report_of(result("purchase.p256", seconds, ratio=1.2)) for seconds in (0.002, 0.001))
    (change,) = compare(before, after)
    assert (change.by, change.verdict, change.time) == ("ratio", "same", 0.5)
    after["environment"]["openssl"] = "another"
    (change,) = compare(before, after)
    assert change.time is None


def test_what_is_its_own_floor_is_compared_by_time() -> None:
    before, after = (result("raw.sign.p256", seconds, ratio=1.0) for seconds in (1e-5, 2e-5))
    for made in (before, after):
        made["floor"] = "raw.sign.p256"
    assert verdict(before, after) == "time slower"


@pytest.mark.parametrize(
    ("ratio", "spread", "expected"),
    [
        (1.5, 0.3, "same"),  # the intervals overlap: noise, however large the change
        (1.5, 0.1, "slower"),
        (1.02, 0.0001, "same"),  # well told apart, and too small to mean anything
        (1.05, 0.0001, "slower"),
        (0.95, 0.0001, "faster"),
    ],
)
def test_noise_is_not_called_a_change(ratio: float, spread: float, expected: str) -> None:
    before, after = (result("purchase.p256", 0.002, ratio=value, spread=spread) for value in (1.0, ratio))
    assert verdict(before, after) == f"ratio {expected}"


def test_results_that_only_one_report_has() -> None:
    one, other = report_of(result("a.x", 1.0), result("b.x", 1.0)), report_of(result("b.x", 1.0), result("c.x", 1.0))
    assert only_in(one, other) == ["a.x"]
    assert only_in(other, one) == ["c.x"]


def run(tmp_path: Path, before: dict[str, Any], after: dict[str, Any], *options: str) -> tuple[int, str]:
    for name, made in (("a.json", before), ("b.json", after)):
        write(made, tmp_path / name)
    done = CliRunner().invoke(app, ["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *options])
    return done.exit_code, done.output


def test_the_command_fails_only_when_told_to(tmp_path: Path) -> None:
    before = report_of(result("purchase.p256", 0.002, ratio=1.0), result("cms.sign.p256", 3e-5, ratio=1.2))
    after = report_of(result("purchase.p256", 0.002, ratio=1.4), result("chain.cold.p256", 1e-3, ratio=9.0))
    status, said = run(tmp_path, before, after)
    assert status == 0
    assert "1.400  slower  × 1.00" in said
    assert "only before: cms.sign.p256" in said
    assert "only after: chain.cold.p256" in said
    status, said = run(tmp_path, before, after, "--fail-above", "1.3")
    assert status == 1
    assert "purchase.p256 takes 1.40 times what it took; 1.3 is allowed" in said
    assert run(tmp_path, before, after, "--fail-above", "1.5")[0] == 0


def test_times_fail_nothing(tmp_path: Path) -> None:
    before, after = (report_of(result("raw.sign.p256", seconds)) for seconds in (1e-5, 9e-5))
    status, said = run(tmp_path, before, after, "--fail-above", "1.3")
    assert status == 0
    assert "9.000  slower" in said


def test_what_only_one_has_is_named_up_to_a_dozen(tmp_path: Path) -> None:
    common = result("a.x", 1.0)
    status, said = run(tmp_path, report_of(common, *(result(f"b.{n}", 1.0) for n in range(20))), report_of(common))
    assert status == 0
    assert "b.11 and 8 more" in said


def test_noise_fails_nothing(tmp_path: Path) -> None:
    before, after = (report_of(result("purchase.p256", 0.002, ratio=ratio, spread=0.5)) for ratio in (1.0, 1.9))
    assert run(tmp_path, before, after, "--fail-above", "1.3")[0] == 0


def test_reports_without_anything_in_common(tmp_path: Path) -> None:
    status, said = run(tmp_path, report_of(result("a.x", 1.0)), report_of(result("b.x", 1.0)))
    assert status == 2
    assert "nothing in common" in said


def test_files_that_are_no_reports(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("words")
    (tmp_path / "other.json").write_text('{"version": 1}')
    for name, expected, status in (
        ("words", "not JSON", 1),
        ("other.json", "not of the schema", 1),
        ("none.json", "No such file", 2),
    ):
        done = CliRunner().invoke(app, ["bench", "compare", str(tmp_path / name), str(tmp_path / name)])
        assert done.exit_code == status
        assert expected in done.output
        assert "Traceback" not in done.output
