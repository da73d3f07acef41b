"""``setproto vectors``."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from setproto.cli import app
from setproto.conformance.files import load_all, vectors_of


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["vectors", *arguments])
    assert result.exit_code == status, result.output
    return result.output


def test_list_as_json_has_every_vector_once() -> None:
    found = json.loads(run("list", "--json"))
    assert [row["id"] for row in found] == [vector.id for vector in vectors_of(load_all())]
    assert {"id", "area", "suite", "result", "reason", "derived_from"} <= found[0].keys()


def test_list_is_limited_to_area_and_suite() -> None:
    found = json.loads(run("list", "--json", "--area", "dual", "--suite", "ed25519"))
    assert found
    assert {(row["area"], row["suite"]) for row in found} == {("dual", "ed25519")}
    text = run("list", "--area", "dual", "--suite", "ed25519")
    assert f"{len(found)} vectors" in text
    assert "dual::merchant-view.ed25519" in text


def test_show_says_what_the_group_says_too() -> None:
    shown = json.loads(run("show", "sealed::tag-flipped.p256", "--json"))
    assert shown["derived_from"] == "sealed::plain.p256"
    assert shown["input"]["keys"]["certificate"]
    assert "Tag" in shown["notes"]
    assert "mutation: tag-flipped" in run("show", "sealed::tag-flipped.p256")


def test_an_unknown_id_is_refused() -> None:
    assert "no vector is called" in run("show", "sealed::nothing", status=2)


def test_extract_writes_der_and_pem(tmp_path: Path) -> None:
    run("extract", "chains::cardholder-signature.p256", str(tmp_path / "out"))
    der = (tmp_path / "out" / "certificate.der").read_bytes()
    pem = x509.load_pem_x509_certificate((tmp_path / "out" / "certificate.pem").read_bytes())
    assert pem == x509.load_der_x509_certificate(der)
    crl = x509.load_pem_x509_crl((tmp_path / "out" / "trust-crls-0.pem").read_bytes())
    assert "SET Root" in crl.issuer.rfc4514_string()
    written = json.loads((tmp_path / "out" / "vector.json").read_text())
    assert written["tcId"] == "chains::cardholder-signature.p256"


def test_extract_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run("extract", "chains::cardholder-signature.p256", str(tmp_path / "file"), status=2)


def test_lint_fails_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    command = import_module("setproto.cli.vectors")  # the package has the command of this name
    monkeypatch.setattr(command, "lint", lambda files: ["one fault"])
    assert "one fault" in run("lint", status=1)
    monkeypatch.setattr(command, "lint", lambda files: [])
    assert "nothing to complain of" in run("lint")


def test_generate_check() -> None:
    run("generate", "--check", "dual")
    run("generate", "nothing", status=2)
