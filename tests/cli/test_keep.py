"""What ``--keep`` writes, and that CHECK.sh, with nothing but the stock openssl, says yes to it and no to damage."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from setproto.messages.wrapper import MAX_MESSAGE
from setproto.reading import Kind, Reader
from tests.cli.conftest import PAN, Kept, setproto
from tests.cli.test_demo import EVERY_SUITE, MESSAGES

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")


def check(directory: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(directory / "CHECK.sh")], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def lines(result: subprocess.CompletedProcess[str], verdict: str) -> list[str]:
    return [line[10:] for line in result.stdout.splitlines() if line.startswith(verdict.ljust(10))]


def damage(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


# --- the files ------------------------------------------------------------------------------------


def test_the_directory_holds_what_it_should(p256: Kept) -> None:
    here = p256.directory
    assert sorted(path.name for path in here.iterdir()) == [
        *("CHECK.sh", "certs", "gateway", "keys", "merchant", "messages", "sealed", "signed")
    ]
    assert sorted(path.name for path in (here / "messages").iterdir()) == [
        f"{number:02d}-{name}.der" for number, name in enumerate(MESSAGES, 1)
    ]
    assert sorted(path.name for path in (here / "signed").glob("*.der")) == [
        "02-PInitRes.PInitResData.der",
        "03-PReq.PI-TBS.der",
        "04-AuthReq.AuthReqTBS.der",
        "04-AuthReq.PI-TBS.der",
        "05-AuthRes.AuthResTBS.der",
        "06-PRes.PResData.der",
        "07-CapReq.CapReqTBS.der",
        "08-CapRes.CapResData.der",
        "09-InqReq.InqReqData.der",
        "10-InqRes.InqResData.der",
    ]
    assert sorted(path.name for path in (here / "sealed").glob("*.der")) == [
        "03-PReq.PANData.der",
        "03-PReq.PI-OILink.der",
        "04-AuthReq.AuthReqTBS.der",
        "04-AuthReq.PANData.der",
        "04-AuthReq.PI-OILink.der",
        "05-AuthRes.AuthResTBS.der",
        "05-AuthRes.CapTokenData.der",
        "07-CapReq.CapReqTBS.der",
        "07-CapReq.CapTokenData.der",
        "08-CapRes.CapResData.der",
    ]


def test_only_the_owner_may_read_keys(p256: Kept) -> None:
    keys = list((p256.directory / "keys").iterdir())
    assert len(keys) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_the_card_number_is_in_clear_at_the_gateway_and_nowhere_else(p256: Kept) -> None:
    forms = [PAN.encode(), PAN.encode("utf-16-le"), bytes.fromhex(PAN), PAN.encode().hex().encode()]
    holding = {
        path.relative_to(p256.directory).parts[0]
        for path in p256.directory.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    }
    assert holding == {"gateway"}


def test_the_merchant_directory_is_what_was_scanned(tmp_path: Path) -> None:
    report = json.loads(setproto("demo", "--json", "--keep", str(tmp_path / "kept")).stdout)
    files = list((tmp_path / "kept" / "merchant").iterdir())
    assert sum(path.stat().st_size for path in files) == report["merchant_scan"]["bytes_scanned"]
    names = {path.name for path in files}
    assert {"03-PReq.received.der", "04-AuthReq.sent.der", "05-AuthRes.sealed-AuthResTBS.content"} <= names
    assert {"04-AuthReq.signed-AuthReqTBS.content", "03-PReq.sealed-PANData.der"} <= names
    assert any(name.startswith("store-") and name.endswith(".value") for name in names)
    assert "03-PReq.sealed-PANData.content" not in names


def test_every_object_in_every_message_was_kept(p256: Kept) -> None:
    kept = {path.read_bytes() for kind in ("signed", "sealed") for path in (p256.directory / kind).glob("*.der")}
    for path in sorted((p256.directory / "messages").iterdir()):
        reader = Reader()
        reader.message(path.read_bytes())
        assert {found.data for found in reader.found if found.kind is not Kind.PLAIN} <= kept
        assert path.stat().st_size <= MAX_MESSAGE


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    result = setproto("demo", "--keep", str(tmp_path))
    assert result.returncode == 2
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    result = setproto("demo", "--keep", str(tmp_path / "mine" / "below"))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert setproto("demo", "--keep", str(tmp_path)).returncode == 0


# --- CHECK.sh -------------------------------------------------------------------------------------


@needs_openssl
@pytest.mark.parametrize("suite", EVERY_SUITE)
def test_check_passes_and_leaves_nothing_out_silently(keep: Callable[[str], Kept], suite: str, tmp_path: Path) -> None:
    kept = keep(suite)
    result = check(kept.directory, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert lines(result, "FAILED") == []
    done = lines(result, "ok") + lines(result, "left out")
    for kind in ("signed", "sealed"):
        for path in (kept.directory / kind).glob("*.der"):
            assert any(line.startswith(f"{kind}/{path.name}:") for line in done), path.name
    assert list(tmp_path.iterdir()) == []
    if suite in ("p256", "rsa3072"):
        assert lines(result, "left out") == []
        assert len(lines(result, "ok")) == 47
    elif lines(result, "left out"):
        assert "Left out because this openssl does not do" in result.stdout


DAMAGE = [
    ("signed/04-AuthReq.AuthReqTBS.der", "signed/04-AuthReq.AuthReqTBS.der"),
    ("signed/03-PReq.PI-TBS.der", "signed/03-PReq.PI-TBS.der"),
    ("signed/03-PReq.PI-TBS.content", "signed/03-PReq.PI-TBS.der"),
    ("signed/09-InqReq.InqReqData.content", "signed/09-InqReq.InqReqData.der"),
    ("sealed/04-AuthReq.PANData.der", "sealed/04-AuthReq.PANData.der"),
    ("sealed/05-AuthRes.CapTokenData.der", "sealed/05-AuthRes.CapTokenData.der"),
    ("gateway/04-AuthReq.sealed-PANData.content", "sealed/04-AuthReq.PANData.der"),
    ("messages/06-PRes.der", "signed/06-PRes.PResData.der"),
    ("keys/05-AuthRes.CapTokenData.hex", "sealed/05-AuthRes.CapTokenData.der"),
]


@needs_openssl
@pytest.mark.parametrize(("file", "noticed"), DAMAGE)
def test_check_notices_damage(p256: Kept, tmp_path: Path, file: str, noticed: str) -> None:
    copy = shutil.copytree(p256.directory, tmp_path / "copy")
    damage(copy / file, 3 if file.endswith(".hex") else -1)
    result = check(copy, tmp_path)
    assert result.returncode == 1
    assert any(line.startswith(noticed) for line in lines(result, "FAILED")), result.stdout


@needs_openssl
@pytest.mark.parametrize("gone", ["certs/root.pem", "certs/brand-ca.crl.pem", "certs/merchant-ca.pem", "keys"])
def test_check_needs_every_certificate_crl_and_key(p256: Kept, tmp_path: Path, gone: str) -> None:
    copy = shutil.copytree(p256.directory, tmp_path / "copy")
    (copy / gone).rename(tmp_path / "away")
    assert check(copy, tmp_path).returncode == 1


@needs_openssl
def test_check_wants_the_right_signer(p256: Kept, tmp_path: Path) -> None:
    copy = shutil.copytree(p256.directory, tmp_path / "copy")
    shutil.copy(copy / "certs/merchant-signature.pem", copy / "certs/gateway-signature.pem")
    result = check(copy, tmp_path)
    assert any(line.startswith("signed/05-AuthRes") for line in lines(result, "FAILED"))


@needs_openssl
@pytest.mark.parametrize("file", ["signed/04-AuthReq.AuthReqTBS.der", "signed/06-PRes.PResData.content"])
def test_check_notices_damage_under_ed25519(keep: Callable[[str], Kept], tmp_path: Path, file: str) -> None:
    """Where openssl cannot take the CMS object, it still checks the bare signature in it."""
    copy = shutil.copytree(keep("ed25519").directory, tmp_path / "copy")
    damage(copy / file)
    result = check(copy, tmp_path)
    assert result.returncode == 1
    assert any(file.split("/")[1].rpartition(".")[0] in line for line in lines(result, "FAILED"))


@needs_openssl
def test_a_suite_left_out_is_no_excuse_for_lost_objects(keep: Callable[[str], Kept], tmp_path: Path) -> None:
    copy = shutil.copytree(keep("mldsa65").directory, tmp_path / "copy")
    damage(copy / "signed/02-PInitRes.PInitResData.der")
    assert check(copy, tmp_path).returncode == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_check_is_portable_shell(p256: Kept) -> None:
    text = (p256.directory / "CHECK.sh").read_text()
    assert text.startswith("#!/bin/sh\n")
    assert str(p256.directory) not in text
    for bashism in ("[[", "function ", "local ", "<(", "${!", "&>"):
        assert bashism not in text
