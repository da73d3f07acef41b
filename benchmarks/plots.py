"""Drawings of a report: throughput by suite, where the time of a purchase goes, scaling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import BenchmarkError
from benchmarks.breakdown import KINDS
from benchmarks.report import by_id

SUITES: Final = ("p256", "rsa3072", "ed25519", "mldsa65")
_OPERATIONS: Final = (
    *("raw.sign", "cms.sign", "dual.make", "raw.verify", "cms.verify", "dual.verify_order", "dual.verify_payment"),
    *("chain.cold", "chain.cached", "floor.purchase", "purchase", "purchase_captured"),
)
_SIZE: Final = (9.0, 4.5)
"""Inches of one drawing."""
Results = Mapping[str, Mapping[str, Any]]
Drawing = Callable[[Axes, Results], None]


def draw(report: Mapping[str, Any], path: Path) -> None:
    """All drawings for which the report has results, in one file: ``.svg`` or ``.png``.

    BenchmarkError for another ending, or if there is nothing to draw; OSError.
    """
    check_ending(path)
    results = by_id(report["results"])
    wanted = [drawing for name, drawing in DRAWINGS.items() if has(results, name)]
    if not wanted:
        raise BenchmarkError("nothing in this report can be drawn")
    save(path, wanted, results)


def save(path: Path, drawings: Sequence[Drawing], results: Results) -> None:
    """These drawings, one under the other.  OSError."""
    figure = Figure((_SIZE[0], _SIZE[1] * len(drawings)), layout="constrained")
    for axes, drawing in zip(figure.subplots(len(drawings), squeeze=False).flat, drawings, strict=True):
        drawing(axes, results)
    # Text as text, and the same octets for the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "setproto"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})


def check_ending(path: Path) -> None:
    """BenchmarkError unless the name ends in .svg or .png."""
    if path.suffix not in (".svg", ".png"):
        raise BenchmarkError(f"{path}: drawings are written as .svg or .png")


def has(results: Results, name: str) -> bool:
    """Whether there is anything for the drawing of this name."""
    if name == "throughput":
        return any(_rates(results, operation) for operation in _OPERATIONS)
    if name == "breakdown":
        return any(f"purchase.{suite}" in results and "breakdown_s" in results[f"purchase.{suite}"] for suite in SUITES)
    if name.startswith("shop"):
        return "shop.purchases" in results
    return any(name.startswith("scale.processes.") for name in results)


def _rates(results: Results, operation: str) -> dict[str, float]:
    return {
        suite: results[f"{operation}.{suite}"]["ops_per_second"]
        for suite in SUITES
        if f"{operation}.{suite}" in results
    }


def _throughput(axes: Axes, results: Results) -> None:
    operations = [operation for operation in _OPERATIONS if _rates(results, operation)]
    for place, suite in enumerate(SUITES):
        rates = [_rates(results, operation).get(suite, float("nan")) for operation in operations]
        if any(rate == rate for rate in rates):  # not only NaN
            axes.bar([x + 0.2 * (place - 1.5) for x in range(len(operations))], rates, 0.2, label=suite)
    axes.set_xticks(range(len(operations)), [name.replace(".", "\n").replace("_", "\n") for name in operations])
    axes.tick_params(axis="x", labelsize=8)
    axes.set_yscale("log")
    axes.set_ylabel("per second, one core")
    axes.set_title("Throughput by suite")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=4, fontsize=8)


def _breakdown(axes: Axes, results: Results) -> None:
    bars = []
    for suite in SUITES:
        found = results.get(f"purchase.{suite}", {}).get("breakdown_s")
        if found:
            bars += [(f"{suite}\n{party}", times) for party, times in found.items() if party != "wires"]
    left = [0.0] * len(bars)
    for kind in KINDS:
        widths = [1e3 * times.get(kind, 0.0) for _, times in bars]
        axes.bar(range(len(bars)), widths, bottom=left, label=kind)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_xticks(range(len(bars)), [label for label, _ in bars])
    axes.tick_params(axis="x", labelsize=7)
    axes.set_ylabel("ms per purchase")
    axes.set_title("Where the time of a purchase goes (PInitReq to PRes)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=4, fontsize=8)


def _scaling(axes: Axes, results: Results) -> None:
    for kind in ("processes", "threads"):
        rates: dict[str, dict[int, float]] = {}
        for name, result in results.items():
            if name.startswith(f"scale.{kind}."):
                _, _, count, suite = name.split(".")
                rates.setdefault(suite, {})[int(count)] = result["ops_per_second"]
        for suite, points in rates.items():
            axes.plot(list(points), list(points.values()), marker="o", label=f"{suite}, {kind}")
            if kind == "processes":
                ideal = [points[1] * count for count in points]
                axes.plot(list(points), ideal, linestyle=":", color="grey", label=f"{suite}, ideal")
                axes.set_xticks(list(points))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("workers")
    axes.set_ylabel("purchases per second")
    axes.set_title("Scaling")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _shop_latency(axes: Axes, results: Results) -> None:
    for name in ("shop.purchases", "shop.p99.half_rate"):
        seconds, medians, longest = zip(*results[name]["timeline"], strict=True)
        rate = f"{results[name]['wanted_per_second']:.1f} per second"
        (line,) = axes.plot(seconds, medians, label=f"{rate}, median")
        axes.plot(seconds, longest, linestyle=":", color=line.get_color(), label=f"{rate}, longest")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("second of the run")
    axes.set_ylabel("s from order form to receipt")
    axes.set_title("Latency over time, by rate of arrivals")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _shop_cpu(axes: Axes, results: Results) -> None:
    spent = {
        name.removeprefix("shop.cpu."): 1e3 * result["median_s"]
        for name, result in results.items()
        if name.startswith("shop.cpu.") and name != "shop.cpu.all"
    }
    axes.barh(list(spent), list(spent.values()))
    for place, value in enumerate(spent.values()):
        axes.text(value, place, f" {value:.1f} ms, {value / sum(spent.values()):.0%}", va="center", fontsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel("ms of processor time per purchase")
    axes.set_title("Processes of the shop")
    axes.grid(axis="x", alpha=0.3)


DRAWINGS: Final[dict[str, Drawing]] = {
    "throughput": _throughput,
    "breakdown": _breakdown,
    "scaling": _scaling,
    "shop_latency": _shop_latency,
    "shop_cpu": _shop_cpu,
}
