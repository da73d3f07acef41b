"""``setproto bench``: every sub-command at the least that can be measured, and its report."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import benchmarks.measure
import benchmarks.purchase
import benchmarks.scale
import benchmarks.shop
from benchmarks import BenchmarkError, openssl, workers
from benchmarks.breakdown import KINDS, PARTIES
from benchmarks.importing import _seconds
from benchmarks.report import SCHEMA, by_id, read, write
from setproto.cli import app
from setproto.crypto import cms, sealed
from setproto.crypto.suites import SUITES, Suite
from tests.benchmarks.reports import MINIMAL, report_of, result

Bench = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.measure, "QUICK", MINIMAL)
    sizes = benchmarks.scale.Sizes(captures=(1, 2), order=(16, 1_024), batch=(1, 3), crl=(2, 50), store=(0, 5))
    monkeypatch.setattr(benchmarks.scale, "QUICK_SIZES", sizes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Run a sub-command; the results of its report, which is of the schema, by id."""

    def run(*arguments: str, status: int = 0) -> dict[str, dict[str, Any]]:
        file = tmp_path / "report.json"
        done = CliRunner().invoke(app, ["bench", *arguments, "--quick", "--json", str(file)])
        assert (done.exit_code, done.exception) == (status, None), done.output
        written = json.loads(file.read_text(encoding="utf-8"))
        Draft202012Validator(SCHEMA).validate(written)
        assert written["environment"]["quick"]
        for found in written["results"]:
            assert found["id"] in done.output
        return by_id(written["results"])

    return run


SIGNATURES = (
    *("raw.sign", "raw.verify", "cms.sign", "cms.verify", "dual.make", "dual.verify_order", "dual.verify_payment"),
    *("part.cms.hash", "part.cms.read", "part.dual.digest"),
    *("chain.cold", "chain.cached", "bound.cms.verify", "bound.dual.make", "bound.dual.verify_order"),
)


def test_signatures_of_every_suite(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "speed", lambda suites: {"raw.sign.p256": 50_000.0})
    results = bench("signatures")
    assert set(results) == {f"{name}.{suite}" for name in SIGNATURES for suite in SUITES}
    for suite in SUITES:
        assert results[f"cms.sign.{suite}"]["floor"] == f"raw.sign.{suite}"
        assert results[f"dual.verify_payment.{suite}"]["floor"] == f"raw.verify.{suite}"
        assert results[f"raw.sign.{suite}"]["ratio_to_floor"] == 1
        assert results[f"cms.sign.{suite}"]["bytes"] > results[f"raw.sign.{suite}"]["bytes"] > 60
    assert results["raw.sign.p256"]["openssl_ops_per_second"] == 50_000
    assert "openssl_ops_per_second" not in results["raw.verify.p256"]


def test_purchase(bench: Bench, tmp_path: Path) -> None:
    results = bench("purchase", "--suite", "p256", "--plot", str(tmp_path / "plot.svg"))
    whole, floor = results["purchase.p256"], results["floor.purchase.p256"]
    assert whole["floor"] == floor["id"] == results["bound.purchase.p256"]["floor"]
    assert whole["operations"] == floor["operations"]
    assert (whole["operations"]["sign"], whole["operations"]["verify"]) == (5, 6)
    assert results["purchase_captured.p256"]["operations"]["sign"] == 7
    assert results["purchase_captured.p256"]["bytes"] > whole["bytes"] > 10_000
    assert {f"raw.{kind}.p256" for kind in whole["operations"]} <= set(results)
    assert list(whole["breakdown_s"]) == list(PARTIES)
    cardholder, gateway = whole["breakdown_s"]["cardholder"], whole["breakdown_s"]["gateway"]
    assert set(gateway) == set(KINDS)
    assert set(KINDS) - set(cardholder) == {"open"}  # everything that it is sent is in the clear
    drawn = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    ET.fromstring(drawn)
    assert "Throughput by suite" in drawn
    assert "cardholder" in drawn
    assert "Scaling" not in drawn


def test_what_looks_at_a_purchase_leaves_no_trace(bench: Bench) -> None:
    before = [sealed.seal, cms.seal, cms.verify, cms.Signer.sign]
    bench("purchase", "--suite", "p256")
    assert [sealed.seal, cms.seal, cms.verify, cms.Signer.sign] == before
    assert sys.getprofile() is None


def test_scale(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benchmarks.scale.os, "cpu_count", lambda: 2)
    results = bench("scale", "--plot", str(tmp_path / "plot.png"))
    expected = [f"scale.{kind}.{count}.p256" for kind in workers.KINDS for count in (1, 2)]
    expected += ["scale.order.16.p256", "scale.order.1024.p256", "scale.messages.8.p256", "scale.messages.10.p256"]
    expected += ["scale.batch.1.p256", "scale.batch.3.p256"]
    expected += [f"scale.{kind}.{size}.p256" for kind in ("crl", "crl_read") for size in (2, 50)]
    expected += [f"scale.store_{kind}.{size}.p256" for kind in ("memory", "sqlite") for size in (0, 5)]
    assert list(results) == expected
    for kind in workers.KINDS:
        alone, two = (results[f"scale.{kind}.{count}.p256"] for count in (1, 2))
        assert (alone["ratio_to_floor"], alone["efficiency"]) == (1, 1)
        assert two["efficiency"] == pytest.approx(1 / two["ratio_to_floor"], rel=1e-5)
        assert two["loops"] == 2 * alone["loops"]
    assert results["scale.crl_read.50.p256"]["bytes"] > results["scale.crl_read.2.p256"]["bytes"]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_peers(bench: Bench) -> None:
    results = bench("peers")
    for name in ("joserfc", "jwcrypto", "cms"):
        peer = results[f"peer.{name}.purchase"]
        assert (peer["floor"], peer["rival"]) == ("floor.peer.purchase", "purchase.p256")
        assert peer["bytes"] > 8_000
    assert {"raw.sign.rsa1024_sha1", "raw.encrypt.3des", "raw.digest.sha1", "raw.sign.p256"} <= set(results)


def test_shop(bench: Bench, tmp_path: Path) -> None:
    few = ("--purchases", "10", "--rate", "5", "--wallets", "2")
    results = bench("shop", *few, "--plot", str(tmp_path / "plot.svg"))
    whole, half = results["shop.purchases"], results["shop.p99.half_rate"]
    assert (whole["samples"], half["samples"]) == (10, 5)
    assert (whole["wanted_per_second"], half["wanted_per_second"]) == (5, 2.5)
    assert whole["failures"] == half["failures"] == {}
    assert whole["timeline"][0][0] == 0
    processes = [f"shop.cpu.{name}" for name in ("bank", "ca", "gateway", "merchant", "wallets")]
    assert all(len(results[name]["memory_mib"]) == 3 for name in processes)
    assert results["shop.cpu.all"]["median_s"] > results["shop.cpu.merchant"]["median_s"]
    messages = {name: result["samples"] for name, result in results.items() if name.startswith("shop.message.")}
    assert messages == {
        "shop.message.gateway.authreq": 10,
        **{f"shop.message.merchant.{name}": 10 for name in ("orders", "pinitreq", "preq", "orders_receipt")},
    }
    assert "Latency over time" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_a_shop_that_sells_nothing_is_not_reported() -> None:
    with pytest.raises(BenchmarkError, match=r"nothing was bought: \{'declined': 3\}"):
        benchmarks.shop._bought("shop.purchases", benchmarks.shop._Part(rate=1.0, failures={"declined": 3}), "")


def test_import(bench: Bench) -> None:
    results = bench("import")
    assert results["import.setproto"]["floor"] == "import.cryptography_x509"
    with pytest.raises(BenchmarkError, match="import nothing_of_the_kind"):
        _seconds("import nothing_of_the_kind")


def test_all_is_everything(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    asked: list[tuple[str, list[str]]] = []

    def instead(name: str, with_suites: bool) -> Callable[..., list[dict[str, Any]]]:
        def run(*given: Any) -> list[dict[str, Any]]:
            assert len(given) == 3 if with_suites else 2
            asked.append((name, given[0] if with_suites else []))
            return [result(f"{name}.x", 1.0), result("raw.sign.x", 1.0 + len(asked))]

        return run

    subjects = {"signatures": True, "purchase": True, "scale": True, "peers": False, "importing": False}
    for name, with_suites in subjects.items():
        monkeypatch.setattr(f"benchmarks.{name}.run", instead(name, with_suites))
    results = bench("all")
    assert asked == [
        ("signatures", list(SUITES)),
        ("purchase", list(SUITES)),
        ("scale", ["p256"]),
        ("peers", []),
        ("importing", []),
    ]
    assert results["raw.sign.x"]["median_s"] == 2  # measured again and again; the first counts
    asked.clear()
    bench("all", "--suite", "ed25519")
    assert [suites for _, suites in asked] == [["ed25519"]] * 3 + [[], []]


# --- nothing wrong is timed ---------------------------------------------------------------------


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["bench", *arguments, "--quick", "--suite", "p256"])
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    return done.output


def test_verification_that_accepts_anything_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Suite, "verify", lambda *given: None)
    assert "should have been refused: a CMS object with another signature" in refused("signatures")


def test_a_signature_over_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    sign = cms.Signer.sign
    monkeypatch.setattr(cms.Signer, "sign", lambda self, content, *how, **more: sign(self, b"!", *how, **more))
    assert "does not hold: a CMS signature gives back its content" in refused("signatures")


def test_a_purchase_that_is_declined_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.purchase, "BALANCE", "EUR 1.00")
    assert "does not hold: the purchase is approved" in refused("purchase")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kind", workers.KINDS)
def test_a_worker_that_fails_is_heard_of(kind: str) -> None:
    with (
        pytest.raises(BenchmarkError, match="a worker said 'nothing more'"),
        workers._workers(kind, "no such suite", 1) as crew,
    ):
        workers._together(crew, 1)


# --- errors and the frame -----------------------------------------------------------------------


def test_without_the_extra_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("setproto.cli.bench")  # whose name in its package is the command's
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "pyperf" else name)
    done = CliRunner().invoke(app, ["bench", "signatures"])
    assert done.exit_code == 2
    assert done.output == "setproto: setproto bench needs pyperf: install setproto[bench]\n"


def test_a_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.importing.run", lambda *how: [result("import.x", 1.0)])
    done = CliRunner().invoke(app, ["bench", "import", "--quick", "--json", str(tmp_path / "none" / "report.json")])
    assert done.exit_code == 2
    assert "No such file" in done.output


def test_a_drawing_of_another_kind_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.importing.run", None)
    done = CliRunner().invoke(app, ["bench", "import", "--plot", "drawing.pdf"])
    assert done.exit_code == 1
    assert ".svg or .png" in done.output


def test_nothing_to_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.importing.run", lambda *how: [result("import.x", 1.0)])
    done = CliRunner().invoke(app, ["bench", "import", "--quick", "--plot", str(tmp_path / "drawing.svg")])
    assert done.exit_code == 1
    assert "nothing in this report can be drawn" in done.output


def test_the_command_imports_no_benchmark_until_one_is_run() -> None:
    code = (
        "import sys, setproto.cli; print(sorted({'benchmarks', 'pyperf', 'matplotlib', 'joserfc'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_environment_names_no_machine() -> None:
    around = report_of(result("a.x", 1.0))["environment"]
    assert around["cryptography"]
    assert around["openssl"].startswith("OpenSSL")
    assert around["gil"] is getattr(sys, "_is_gil_enabled", lambda: True)()
    assert sys.prefix not in json.dumps(around)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("bytes"),
        lambda found: found.update(samples=0),
        lambda found: found.update(median_s=0),
        lambda found: found.update(id="Purchase"),
        lambda found: found.update(surprise=1),
        lambda found: found.update(floor="raw.sign.x"),  # without an interval
    ],
)
def test_what_is_not_of_the_schema_is_not_written(spoil: Callable[[dict[str, Any]], object]) -> None:
    made = result("a.x", 1.0)
    spoil(made)
    with pytest.raises(BenchmarkError, match="not of the schema: results/0"):
        report_of(made)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = report_of(result("a.x", 0.5, ratio=1.25))
    write(made, tmp_path / "report.json")
    assert read(tmp_path / "report.json") == made


# --- openssl speed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("+F2:3:3072:456.000000:24844.000000\n", (456, 24844)),
        ("+H:noise\n+F4:3:256:45874.489796:16652.525253\n", (45874.489796, 16652.525253)),
        ("+F6:0:253:Ed25519:26079.797980:7332.000000\n", (26079.79798, 7332)),
        ("+F10:0:9999.000000:1500.000000:6000.000000\n", (1500, 6000)),
        ("+F4:3:256:0.000021:0.000060\n", None),  # seconds, as OpenSSL 1.1.1 has them
        ("+F4:3:256:fast:faster\n", None),
        ("+F4:3\n", None),
        ("", None),
    ],
)
def test_openssl_speed_is_read(printed: str, expected: tuple[float, float] | None) -> None:
    assert openssl.parse(printed) == expected


def test_without_openssl_there_is_nothing_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl.shutil, "which", lambda name: None)
    assert openssl.speed(SUITES) == {}
    assert openssl.version() is None


def test_an_openssl_that_does_not_know_an_algorithm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = tmp_path / "openssl"
    command.write_text("#!/bin/sh\n[ $5 = ecdsap256 ] && echo +F4:3:256:45874.5:16652.5\n")
    command.chmod(0o755)
    monkeypatch.setattr(openssl.shutil, "which", lambda name: str(command))
    assert openssl.speed(["p256", "mldsa65"]) == {"raw.sign.p256": 45874.5, "raw.verify.p256": 16652.5}
