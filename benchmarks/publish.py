"""``python -m benchmarks.publish``: the drawings, the full table and the README's headline table, from the report.

``make bench`` measures and then runs this.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import BenchmarkError, plots
from benchmarks.report import by_id, read

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "benchmarks" / "report"
MARKS: Final = ("<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->")
Report = Mapping[str, Any]

_COLUMNS: Final = (
    ("CMS signature", "cms.sign"),
    ("verification", "cms.verify"),
    ("dual signature", "dual.make"),
    ("verification", "dual.verify_order"),
    ("purchase", "purchase"),
)
"""The ratios of the headline table."""

_TARGETS: Final = (
    ("cms.sign.p256", 1.3, None),
    ("cms.verify.p256", 1.15, "bound.cms.verify.p256"),
    ("cms.sign.rsa3072", 1.05, None),
    ("cms.verify.rsa3072", 1.05, "bound.cms.verify.rsa3072"),
    ("cms.sign.mldsa65", 1.05, None),
    ("cms.verify.mldsa65", 1.05, "bound.cms.verify.mldsa65"),
    ("dual.make.p256", 1.3, "bound.dual.make.p256"),
    ("dual.verify_order.p256", 1.2, "bound.dual.verify_order.p256"),
    ("dual.verify_payment.p256", 1.2, "bound.dual.verify_order.p256"),
    ("chain.cached.p256", 0.2, None),
    ("purchase.p256", 1.25, "bound.purchase.p256"),
    ("purchase.rsa3072", 1.08, "bound.purchase.rsa3072"),
    ("import.setproto", 1.5, None),
)
"""What was aimed at, at most so many times the floor, and what bounds it."""
_BOUND: Final = (
    "Ratios are multiples of the raw operations, the floor. The bound is the floor, the hashes and the calls of the DER"
    " codec, done bare: with that codec and no Python in between. What lies between bound and measurement is ours;"
    " where it goes is said below: for signatures in a table, for purchases by `breakdown_s` in"
    " [report.json](report.json), which is drawn."
)
_COSTS: Final = (
    *("raw.sign", "raw.verify", "cms.sign", "cms.verify", "dual.make"),
    *("part.cms.read", "part.cms.hash", "part.dual.digest"),
)
_RIVAL_TARGET: Final = 1.4
_PROCESSES_TARGET: Final = 1.9


def headline(report: Report) -> str:
    """The table in the README, and the sentences under it: Markdown."""
    results = by_id(report["results"])
    rows = [
        ("suite", "raw signatures per second", *(f"{title}, × raw" for title, _ in _COLUMNS), "purchases per second"),
        ("---", *["---:"] * (len(_COLUMNS) + 2)),
    ]
    for suite in plots.SUITES:
        if f"purchase.{suite}" in results and f"cms.sign.{suite}" in results:
            rows.append(
                (
                    f"`{suite}`",
                    f"{results[f'raw.sign.{suite}']['ops_per_second']:,.0f}",
                    *(f"{results[f'{name}.{suite}']['ratio_to_floor']:.2f}" for _, name in _COLUMNS),
                    f"{results[f'purchase.{suite}']['ops_per_second']:,.0f}",
                )
            )
    return "\n".join([*map(_row, rows), "", *(f"* {said}" for said in (*_sentences(results), _where(report)))]) + "\n"


def _sentences(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    peer, ours = results.get("peer.joserfc.purchase"), results.get("peer.cms.purchase")
    if peer is not None and ours is not None:
        to_cms = peer["median_s"] / ours["median_s"]
        found.append(
            f"The signatures and seals of a purchase alone, in JOSE with joserfc, take {to_cms:.2f} times as long as in"
            f" our CMS, and {peer['ratio_to_rival']:.2f} times as long as our whole purchase."
        )
    two = results.get("scale.processes.2.p256")
    if two is not None:
        bare = results.get("scale.bare_processes.2.p256")
        of_bare = "" if bare is None else f" (with raw operations only: {2 * bare['efficiency']:.2f})"
        found.append(f"Two processes do {2 * two['efficiency']:.2f} times what one does{of_bare}.")
    imported = results.get("import.setproto")
    if imported is not None:
        found.append(f"`import setproto` takes {imported['ratio_to_floor']:.2f} times `import cryptography.x509`.")
    return found


def _where(report: Report) -> str:
    around = report["environment"]
    quick = " A quick run: not to be quoted." if around["quick"] else ""
    return (
        f"Measured on {around['cpu']}, {around['cores']} cores, Python {around['python']}, {around['openssl']}, "
        f"{around['date']}.{quick}"
    )


def targets(results: Mapping[str, Mapping[str, Any]]) -> str:
    """What was aimed at, what was measured, and what no Python in between can undercut: a table in Markdown."""
    rows = [("", "aimed at", "measured", "bound", ""), ("---", "---:", "---:", "---:", "---")]
    for name, target, bound in _TARGETS:
        if name in results:
            ratio = results[name]["ratio_to_floor"]
            least = "" if bound is None or bound not in results else f"{results[bound]['ratio_to_floor']:.2f}"
            rows.append((f"`{name}`", f"≤ {target}", f"{ratio:.3g}", least, "" if ratio <= target else "not met"))
    peer, ours, least_of_ours = (
        results.get(name) for name in ("peer.joserfc.purchase", "purchase.p256", "bound.purchase.p256")
    )
    if peer is not None and ours is not None and least_of_ours is not None:
        ratio = peer["ratio_to_rival"]
        most = ratio * ours["ratio_to_floor"] / least_of_ours["ratio_to_floor"]
        met = "" if ratio >= _RIVAL_TARGET else "not met"
        rows.append(("joserfc's flow ÷ `purchase.p256`", f"≥ {_RIVAL_TARGET}", f"{ratio:.2f}", f"{most:.2f}", met))
    two, bare = results.get("scale.processes.2.p256"), results.get("scale.bare_processes.2.p256")
    if two is not None and bare is not None:
        speed = 2 * two["efficiency"]
        met = "" if speed >= _PROCESSES_TARGET else "not met"
        most_of_two = f"{2 * bare['efficiency']:.2f}"
        rows.append(("two processes ÷ one", f"≥ {_PROCESSES_TARGET}", f"{speed:.2f}", most_of_two, met))
    return "\n".join(map(_row, rows))


def costs(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the time goes of what is signed and verified, beyond the raw operation: a table in Markdown, µs."""
    rows = [("beyond the raw operation, µs", "all", "of it", ""), ("---", "---:", "---:", "---")]
    for suite in plots.SUITES:
        named = {name: results.get(f"{name}.{suite}") for name in _COSTS}
        if any(result is None for result in named.values()):
            continue
        took = {name: result["median_s"] * 1e6 for name, result in named.items() if result is not None}
        made, read = took["dual.make"] - took["raw.sign"], took["cms.verify"] - took["raw.verify"]
        known, digests = took["part.cms.read"] + took["part.cms.hash"], 3 * took["part.dual.digest"]
        rows += [
            (f"`cms.verify.{suite}`", f"{read:.1f}", f"{took['part.cms.read']:.1f}", "taking the object apart"),
            ("", "", f"{took['part.cms.hash']:.1f}", "hashing the content"),
            ("", "", f"{read - known:.1f}", "certificate, algorithms and attributes compared"),
        ]
        if suite == "p256":  # elsewhere a signature takes so long that the difference drowns in its own noise
            signed = took["cms.sign"] - took["raw.sign"]
            rows += [
                (f"`dual.make.{suite}`", f"{made:.1f}", f"{digests:.1f}", "three digests of parts"),
                ("", "", f"{signed:.1f}", "the CMS signature around them"),
                ("", "", f"{made - digests - signed:.1f}", "what is signed put together, the parts kept by type"),
            ]
    return "\n".join(map(_row, rows))


def full(report: Report) -> str:
    """Every result: Markdown."""
    rows: list[Sequence[str]] = [
        ("id", "per second", "median, µs", "p95, µs", "p99, µs", "× floor", "95 % interval", "octets", "samples"),
        ("---", *["---:"] * 8),
    ]
    for result in report["results"]:
        ratio, within = result["ratio_to_floor"], result.get("ratio_interval")
        rows.append(
            (
                f"`{result['id']}`",
                f"{result['ops_per_second']:,.0f}",
                *(f"{result[name] * 1e6:,.1f}" for name in ("median_s", "p95_s", "p99_s")),
                "" if ratio is None else f"{ratio:.3f}",
                "" if within is None else f"{within[0]:.3f}–{within[1]:.3f}",
                "" if result["bytes"] is None else f"{result['bytes']:,}",
                str(result["samples"]),
            )
        )
    pictures = [f"![{name}]({name}.svg)" for name in plots.DRAWINGS if plots.has(by_id(report["results"]), name)]
    around = [f"* {name}: {value}" for name, value in report["environment"].items()]
    return (
        "\n\n".join(
            [
                "# The report",
                targets(by_id(report["results"])),
                _BOUND,
                costs(by_id(report["results"])),
                "\n".join(map(_row, rows)),
                *pictures,
                "## On what it was measured",
                "\n".join(around),
            ]
        )
        + "\n"
    )


def between(text: str) -> tuple[str, str, str]:
    """What stands before the marks, between them, and after them.  BenchmarkError if they are not there once each."""
    if any(text.count(mark) != 1 for mark in MARKS):
        raise BenchmarkError("the marks for the table of the benchmarks are not there once each")
    before, rest = text.split(MARKS[0] + "\n")
    inside, after = rest.split(MARKS[1])
    return before, inside, after


def publish(root: Path = ROOT, folder: Path = FOLDER) -> None:
    """Write everything that follows from ``report.json`` in the folder.  BenchmarkError, OSError."""
    report = read(folder / "report.json")
    results = by_id(report["results"])
    for name, drawing in plots.DRAWINGS.items():
        if plots.has(results, name):
            plots.save(folder / f"{name}.svg", [drawing], results)
    (folder / "README.md").write_text(full(report), encoding="utf-8")
    readme = root / "README.md"
    before, _, after = between(readme.read_text(encoding="utf-8"))
    readme.write_text(f"{before}{MARKS[0]}\n{headline(report)}{MARKS[1]}{after}", encoding="utf-8")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    try:
        publish()
    except (BenchmarkError, OSError) as failure:
        sys.exit(f"benchmarks.publish: {failure}")
