"""The committed report, and what is written from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import BenchmarkError, plots
from benchmarks.publish import FOLDER, MARKS, ROOT, between, costs, full, headline, publish, targets
from benchmarks.report import by_id, read


def test_the_readme_shows_the_report() -> None:
    _, inside, _ = between((ROOT / "README.md").read_text(encoding="utf-8"))
    assert inside == headline(read(FOLDER / "report.json"))


def test_the_full_table_is_that_of_the_report() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == full(read(FOLDER / "report.json"))


def test_what_was_aimed_at_stands_beside_what_was_measured() -> None:
    results = {
        "cms.verify.p256": {"ratio_to_floor": 1.36},
        "bound.cms.verify.p256": {"ratio_to_floor": 1.12},
        "cms.sign.p256": {"ratio_to_floor": 1.25},
        "scale.processes.2.p256": {"efficiency": 0.9},
        "scale.bare_processes.2.p256": {"efficiency": 0.95},
    }
    assert targets(results).splitlines()[2:] == [
        "| `cms.sign.p256` | ≤ 1.3 | 1.25 |  |  |",
        "| `cms.verify.p256` | ≤ 1.15 | 1.36 | 1.12 | not met |",
        "| two processes ÷ one | ≥ 1.9 | 1.80 | 1.90 | not met |",
    ]


def test_where_the_time_goes_adds_up() -> None:
    took = {"raw.sign": 22.0, "raw.verify": 60.0, "cms.sign": 26.0, "cms.verify": 68.5, "dual.make": 33.0}
    parts = {"part.cms.read": 4.0, "part.cms.hash": 1.0, "part.dual.digest": 1.5}
    results = {f"{name}.p256": {"median_s": micros / 1e6} for name, micros in (took | parts).items()}
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in costs(results).splitlines()[2:]]
    assert [(name, whole, part) for name, whole, part, _ in cells] == [
        ("`cms.verify.p256`", "8.5", "4.0"),
        ("", "", "1.0"),
        ("", "", "3.5"),
        ("`dual.make.p256`", "11.0", "4.5"),
        ("", "", "4.0"),
        ("", "", "2.5"),
    ]


def test_the_report_has_every_suite_and_every_drawing() -> None:
    results = by_id(read(FOLDER / "report.json")["results"])
    drawn = {name for name in plots.DRAWINGS if plots.has(results, name)}
    assert {"throughput", "breakdown", "scaling"} <= drawn  # the shop's are those of a report of its own
    assert all((FOLDER / f"{name}.svg").is_file() for name in drawn)
    assert {f"purchase.{suite}" for suite in plots.SUITES} <= set(results)
    assert {"peer.joserfc.purchase", "peer.cms.purchase", "scale.processes.2.p256", "import.setproto"} <= set(results)


def test_publishing_writes_it_all_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    shutil.copy(FOLDER / "report.json", folder)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, after = between(text)
    (tmp_path / "README.md").write_text(f"{before}{MARKS[0]}\nold\n{MARKS[1]}{after}", encoding="utf-8")
    publish(tmp_path, folder)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text
    results = by_id(read(FOLDER / "report.json")["results"])
    assert {file.name for file in folder.iterdir()} == {"report.json", "README.md"} | {
        f"{name}.svg" for name in plots.DRAWINGS if plots.has(results, name)
    }
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    publish(tmp_path, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first


def test_marks_that_are_missing_or_doubled() -> None:
    for text in ("", MARKS[0], f"{MARKS[0]}\n{MARKS[0]}\n{MARKS[1]}"):
        with pytest.raises(BenchmarkError, match="marks"):
            between(text)
