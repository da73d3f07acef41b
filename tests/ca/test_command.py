"""``setproto ca`` as people meet it."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12
from typer.testing import CliRunner

from pki import SUITES, CertificateKind, check_bci, check_certificate
from pki.keystore import dump_private_key, load_exchange_key, load_signature_key
from setproto.ca.config import EXAMPLE, parse
from setproto.ca.office import Office
from setproto.cli import app
from setproto.cli.ca import ca as group
from setproto.cli.ca import desk
from setproto.reading.pem import blocks, to_pem
from tests.ca.conftest import PASSPHRASE, QUICK
from tests.ca.test_office import TWO_BRANDS

ROOT = Path(__file__).parents[2]
KEY_PASSPHRASE = "another horse and battery"
OPENSSL = shutil.which("openssl")
SHOP = ["M-1", "--shown-as", "Corner Shop", "--acquirer", "Bank", "--bin", "411111", "--city", "Town"]


@dataclass
class Said:
    status: int
    out: str
    err: str


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Founding with a passphrase that is quick to check."""
    monkeypatch.setitem(Office.found.__func__.__kwdefaults__, "n", QUICK)  # type: ignore[attr-defined]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> Path:
    """An empty directory to work in, both passphrases in the environment, and the example declared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(desk.CA_PASSPHRASE, PASSPHRASE)
    monkeypatch.setenv(desk.KEY_PASSPHRASE, KEY_PASSPHRASE)
    (tmp_path / "hierarchy.toml").write_text(EXAMPLE)
    return tmp_path


def ca(*arguments: str, typed: str | None = None) -> Said:
    result = CliRunner().invoke(app, ["ca", *arguments], input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


def done(*arguments: str, typed: str | None = None) -> str:
    said = ca(*arguments, typed=typed)
    assert (said.status, said.err) == (0, ""), said
    return said.out


def refused(*arguments: str, status: int = 2) -> str:
    """What was said: one line, and nothing on standard output."""
    said = ca(*arguments)
    assert (said.status, said.out) == (status, ""), said
    assert said.err.startswith("setproto: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("setproto: ").strip()


@pytest.fixture
def founded(here: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the hierarchy in it: the same for all tests, each of which has a copy of its own."""
    made = tmp_path_factory.getbasetemp() / "founded-ca"
    if not made.exists():
        done("init", "hierarchy.toml")
        shutil.copytree(here / "ca", made)
    else:
        shutil.copytree(made, here / "ca")
    return here


def certificates(path: Path) -> list[bytes]:
    return blocks(path.read_bytes())


def serial(path: Path) -> str:
    return f"{x509.load_der_x509_certificate(certificates(path)[0]).serial_number:X}"


def everything(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


# --- making one ---------------------------------------------------------------------------------


def test_the_example_can_be_used_as_it_is(here: Path) -> None:
    text = done("example")
    assert text == EXAMPLE
    assert parse(text, "text")


def test_init_says_what_it_made(here: Path) -> None:
    said = done("init", "hierarchy.toml").splitlines()
    assert said[0].startswith("root.1, Marque/brand-ca.1, ")
    done("export", "--out", "public")
    (root,) = certificates(here / "public/root.pem")
    fingerprint = x509.load_der_x509_certificate(root).fingerprint(hashes.SHA256()).hex(":").upper()
    assert said[1] == f"fingerprint of the root: {fingerprint}"
    head = said[2].removeprefix("head of the log: ")
    assert done("log", "--head", head).endswith(f"head: {head}\n")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_nobody_else_may_read_it(founded: Path) -> None:
    assert (founded / "ca").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (founded / "ca").iterdir()} == {0o600}
    done("issue", "merchant", *SHOP, "--out", "shop")
    modes = {path.name: path.stat().st_mode & 0o077 for path in (founded / "shop").iterdir()}
    assert [name for name, mode in modes.items() if mode == 0] == [name for name in modes if ".key." in name]
    for path in (founded / "ca/ca.db", founded / "ca"):
        mode = path.stat().st_mode
        path.chmod(mode | 0o040)
        name = path.relative_to(founded)
        assert refused("list") == f"others have access to {name}: chmod go= {name}"
        path.chmod(mode)
    done("list")


def test_a_directory_that_others_can_read_is_not_used(here: Path) -> None:
    (here / "open").mkdir(mode=0o755)
    assert "others have access" in refused("init", "hierarchy.toml", "--dir", "open")
    assert list((here / "open").iterdir()) == []


def test_a_second_init_is_refused_before_a_passphrase_is_asked_for(
    founded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(founded / "ca")
    monkeypatch.delenv(desk.CA_PASSPHRASE)
    assert refused("init", "hierarchy.toml") == "there is a hierarchy here already: nothing was changed"
    assert everything(founded / "ca") == before


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (EXAMPLE.replace('"XX"', '"xx"', 1), "hierarchy.toml: country: countryName is two capital letters"),
        (EXAMPLE.replace("geo_ca", "goe_ca"), "hierarchy.toml: brand[1].goe_ca: no such key"),
        ("suite =", "hierarchy.toml: Invalid value"),
        (b"\xff\xfe", "hierarchy.toml: not text"),
        (None, "hierarchy.toml: No such file or directory"),
    ],
)
def test_a_declaration_that_makes_no_sense_makes_nothing(here: Path, text: str | bytes | None, fault: str) -> None:
    (here / "hierarchy.toml").unlink()
    if text is not None:
        (here / "hierarchy.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refused("init", "hierarchy.toml").startswith(fault)
    assert not (here / "ca").exists()


def test_an_init_that_was_interrupted_can_be_done_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Office, "publish_bci", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert CliRunner().invoke(app, ["ca", "init", "hierarchy.toml"]).exit_code != 0
    assert "no hierarchy here" in refused("list")
    done("init", "hierarchy.toml")


def test_without_a_hierarchy_nothing_is_made(here: Path) -> None:
    for command in (["list"], ["crl"], ["log"], ["issue", "merchant", *SHOP], ["revoke", "12"], ["verify", "h"]):
        (here / "h").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        assert refused(*command) == "there is no hierarchy in ca: setproto ca init makes one"
    assert sorted(path.name for path in here.iterdir()) == ["h", "hierarchy.toml"]


def test_in_a_database_by_url(here: Path) -> None:
    place = ["--database", f"sqlite:///{here / 'other.db'}"]
    done("init", "hierarchy.toml", *place)
    assert "Marque/merchant-ca.1" in done("crl", *place)
    assert not (here / "ca").exists()


# --- the passphrase -----------------------------------------------------------------------------


def commands(of: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with its path."""
    if hasattr(of, "commands"):
        for name, command in of.commands.items():
            yield from commands(command, *path, name)
    else:
        yield path, of


def test_no_option_takes_a_passphrase() -> None:
    found = dict(commands(typer.main.get_command(group)))
    assert len(found) == 22
    options = []
    for command in found.values():
        mine = [option for option in command.params if "passphrase" in str(option.opts)]
        assert {typing.get_type_hints(command.callback)[option.name] for option in mine} <= {Path | None}
        options += mine
    assert len(options) > 10
    assert {opt for option in options for opt in option.opts} == {"--passphrase-file", "--key-passphrase-file"}
    for option in options:
        assert option.envvar is None


def test_a_wrong_passphrase_changes_nothing(founded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = done("log")
    monkeypatch.setenv(desk.CA_PASSPHRASE, PASSPHRASE + "!")
    for command in (["crl"], ["bci"], ["rollover"], ["issue", "merchant", *SHOP], ["issue", "messages", "merchant-ca"]):
        assert refused(*command) == "the passphrase is wrong"
    monkeypatch.delenv(desk.CA_PASSPHRASE)
    assert refused("crl") == f"no passphrase: there is no terminal to ask, and ${desk.CA_PASSPHRASE} is not set"
    assert done("log") == before
    assert sorted(path.name for path in founded.iterdir()) == ["ca", "hierarchy.toml"]


def test_the_passphrase_from_a_file(founded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(desk.CA_PASSPHRASE)
    for text, status in ((PASSPHRASE, 0), (PASSPHRASE + "\n", 0), (PASSPHRASE + "\r\n", 0), (PASSPHRASE + "\n\n", 2)):
        (founded / "secret").write_bytes(text.encode())
        assert ca("crl", "--passphrase-file", "secret").status == status, repr(text)
    (founded / "secret").write_bytes(b"\xff")
    assert refused("crl", "--passphrase-file", "secret") == "secret: not text"
    assert refused("crl", "--passphrase-file", "none") == "none: No such file or directory"


def test_the_passphrase_from_the_terminal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(desk.CA_PASSPHRASE)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(desk, "terminal", lambda: True)
    monkeypatch.setattr(typer, "prompt", lambda text, **options: asked.append(options) or PASSPHRASE)
    done("init", "hierarchy.toml")
    done("crl")
    assert [(one["hide_input"], one["confirmation_prompt"], one["err"]) for one in asked] == [
        (True, True, True),
        (True, False, True),
    ]


def test_short_passphrases_protect_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(desk.CA_PASSPHRASE, "horse")
    assert refused("init", "hierarchy.toml") == "a passphrase has at least 15 characters"
    monkeypatch.setenv(desk.CA_PASSPHRASE, PASSPHRASE)
    done("init", "hierarchy.toml")
    monkeypatch.setenv(desk.KEY_PASSPHRASE, "horse")
    assert refused("issue", "merchant", *SHOP) == "a passphrase has at least 15 characters"


def test_no_secret_is_anywhere(founded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither passphrase, nor a private key in clear, in any file or any line: CA keys, and those of parties."""
    generated: list[Any] = []
    suite = SUITES["p256"]
    for name in ("_signature_key", "_exchange_key"):
        make = getattr(suite, name)

        def remember(make: Callable[[], Any] = make) -> Any:
            generated.append(make())
            return generated[-1]

        monkeypatch.setattr(suite.__class__, f"generate{name}", lambda _, remember=remember: remember())
    said = [done("init", "hierarchy.toml", "--dir", "other")]
    place = ["--dir", "other"]
    said.append(done("issue", "merchant", *SHOP, *place, "--out", "shop"))
    said.append(done("rollover", *place))
    number = serial(founded / "shop/merchant-signature.pem")
    said.append(done("export", number, "--key", "shop/merchant-signature.key.pem", "--out", "shop", *place))
    for command in (["list"], ["list", "--json"], ["log"], ["log", "--json"], ["show", number]):
        said.append(done(*command, *place))
    secrets = [PASSPHRASE.encode(), KEY_PASSPHRASE.encode()]
    for key in generated:
        scalar = key.private_numbers().private_value.to_bytes(32, "big")
        secrets += [scalar, scalar.hex().encode(), scalar.hex().upper().encode()]
    assert len(generated) > 15
    places = [*everything(founded).values(), *(text.encode() for text in said)]
    connection = sqlite3.connect(founded / "other/ca.db")
    places += [bytes(value) for (value,) in connection.execute("SELECT value FROM setproto_entries")]
    connection.close()
    assert sum(b"ENCRYPTED PRIVATE KEY" in place for place in places) > 10
    assert [secret for secret in secrets for place in places if secret in place] == []


# --- issuing ------------------------------------------------------------------------------------


def test_what_a_merchant_gets(founded: Path) -> None:
    said = done("issue", "merchant", *SHOP, "--country", "250", "--out", "shop", "--name", "corner")
    written = [
        *("corner-signature.pem", "corner-exchange.pem"),
        *("corner-signature.key.pem", "corner-exchange.key.pem", "corner-chain.pem"),
    ]
    assert [line for line in said.splitlines() if line.startswith("written")] == [
        f"written: shop/{name}" for name in written
    ]
    assert sorted(path.name for path in (founded / "shop").iterdir()) == sorted(written)
    signature = check_certificate(certificates(founded / "shop/corner-signature.pem")[0])
    exchange = check_certificate(certificates(founded / "shop/corner-exchange.pem")[0])
    key = (founded / "shop/corner-signature.key.pem").read_bytes()
    opened = load_signature_key(key, KEY_PASSPHRASE.encode(), SUITES["p256"])
    assert opened.public_key() == signature.public_key
    key = (founded / "shop/corner-exchange.key.pem").read_bytes()
    assert load_exchange_key(key, KEY_PASSPHRASE.encode(), SUITES["p256"]).public_key() == exchange.public_key
    assert signature.merchant_data is not None
    assert signature.merchant_data.mer_country == 250
    assert len(certificates(founded / "shop/corner-chain.pem")) == 3


def test_cardholders_and_gateways(founded: Path) -> None:
    done("issue", "cardholder", "--issuer", "Bank", "--until", "2027-12-31", "--card-name", "Gold", "--out", "a")
    done("issue", "cardholder", "--issuer", "Bank", "--id", "00" * 20, "--out", "b")
    done("issue", "cardholder", "--issuer", "Bank", "--id", "A" * 32, "--out", "c")  # 24 octets in Base64
    done("issue", "gateway", "G-1", "--acquirer", "Bank", "--no-card-cert-required", "--out", "g")
    first = check_certificate(certificates(founded / "a/cardholder-signature.pem")[0])
    assert first.name.units == ("Bank", "Gold")
    assert f"{first.not_after:%Y-%m-%d %H:%M:%S}" == "2027-12-31 23:59:59"
    names = {check_certificate(certificates(founded / f"{d}/cardholder-signature.pem")[0]).name for d in "abc"}
    assert {"A" * 27 + "=", "A" * 32} < {name.common_name for name in names}
    exchange = check_certificate(certificates(founded / "g/gateway-exchange.pem")[0])
    assert "required=False" in str(exchange.private_extensions)
    assert done("verify", *map(str, sorted(founded.rglob("[!c]*-[se]*[!y].pem")))).count("good") == 2


def test_where_there_are_several_brands_one_has_to_be_named(here: Path) -> None:
    (here / "hierarchy.toml").write_text(TWO_BRANDS)
    done("init", "hierarchy.toml")
    assert refused("issue", "merchant", *SHOP) == "--brand is needed: Marque, Other"
    done("issue", "merchant", *SHOP, "--brand", "Other", "--out", "shop")
    assert "O=Other" in done("verify", "shop/merchant-signature.pem")
    assert "there is no CA 'merchant-ca'" in refused("crl", "--ca", "merchant-ca")
    assert done("crl", "--ca", "Other/merchant-ca").startswith("CRL 2 of Other/merchant-ca.1: ")
    assert done("bci", "--brand", "Other").startswith("BCI 2 of Other: 5 CRLs")
    assert done("bci").count("BCI") == 2


@pytest.mark.parametrize(
    ("arguments", "fault", "status"),
    [
        (["cardholder", "--issuer", "B", "--id", "zz!"], "--id is neither hexadecimal nor Base64", 2),
        (["cardholder", "--issuer", "B", "--id", "00" * 33], "a unique cardholder id has 20 to 32 octets", 2),
        (["cardholder", "--issuer", "B", "--until", "soon"], "'soon' is no day: it is written like 2026-12-31", 2),
        (["cardholder", "--issuer", "B", "--until", "2020-01-01"], "invalidCertificate: validity reaches beyond", 1),
        (["cardholder", "--issuer", "B", "--until", "2200-01-01"], "invalidCertificate: validity reaches beyond", 1),
        (["cardholder", "--issuer", "B", "--brand", "Other"], "there is no brand 'Other' in this hierarchy", 2),
        (["cardholder", "--issuer", "B", "--public-key", "none"], "none: No such file or directory", 2),
        (["cardholder", "--issuer", "B", "--public-key", "hierarchy.toml"], "invalidCertificate: malformed public", 1),
        (["merchant", *SHOP, "--bin", "41111"], "merchantData: merAcquirerBIN is six digits", 2),
        (["messages", "root"], "a root takes no part in the protocol", 2),
        (["messages", "other-ca"], "there is no CA 'other-ca': there are root.1", 2),
    ],
)
def test_what_is_not_issued_leaves_nothing(founded: Path, arguments: list[str], fault: str, status: int) -> None:
    before = done("log")
    out = [] if arguments[0] == "messages" else ["--out", "out"]
    assert refused("issue", *arguments, *out, status=status).startswith(fault)
    assert done("log") == before
    assert not (founded / "out").exists() or list((founded / "out").iterdir()) == []


def test_nothing_is_written_over(founded: Path) -> None:
    done("issue", "merchant", *SHOP, "--out", "shop")
    before, log = everything(founded / "shop"), done("log")
    assert refused("issue", "merchant", *SHOP, "--out", "shop") == (
        "shop/merchant-signature.pem exists already: nothing was done"
    )
    number = serial(founded / "shop/merchant-signature.pem")
    done("export", number, "--out", "shop")
    assert "exists already" in refused("export", number, "--out", "shop")
    assert everything(founded / "shop").items() >= before.items()
    assert done("log") == log


def test_a_commit_that_fails_takes_the_keys_back(founded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = done("log")
    issue = Office.issue
    calls = []

    def second_fails(self: Office, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise sqlite3.OperationalError("disk I/O error")
        return issue(self, *arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr(Office, "issue", second_fails)
        result = CliRunner().invoke(app, ["ca", "issue", "merchant", *SHOP, "--out", "shop"])
    assert result.exit_code != 0
    assert list((founded / "shop").iterdir()) == []
    assert done("log") == before


def request(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whatever")])
    builder = x509.CertificateSigningRequestBuilder(subject_name=name)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_keys_that_are_brought(founded: Path) -> None:
    signature, exchange = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (founded / "request.pem").write_bytes(request(signature))
    public = exchange.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (founded / "public.pem").write_bytes(public)
    keys = ["--public-key", "request.pem", "--exchange-public-key", "public.pem"]
    done("issue", "merchant", *SHOP, *keys, "--out", "shop")
    assert not list((founded / "shop").glob("*.key.pem"))
    certified = check_certificate(certificates(founded / "shop/merchant-signature.pem")[0])
    assert certified.public_key == signature.public_key()
    assert certified.name.common_name == "Corner Shop"  # what the request calls itself counts for nothing
    again = refused("issue", "merchant", *SHOP, *keys, "--out", "again", status=1)
    assert "this key has been certified before (set-protocol.md CR-18)" in again


def test_keys_that_are_not_taken(founded: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = bytearray(x509.load_pem_x509_csr(request(key)).public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = to_pem("CERTIFICATE REQUEST", bytes(der))
    small = ec.generate_private_key(ec.SECP384R1()).public_key()
    files = {
        "forged.pem": forged,
        "other.pem": small.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "private.pem": dump_private_key(key, b"x"),
        "huge.pem": b"x" * 100_000,
    }
    for name, data in files.items():
        (founded / name).write_bytes(data)
        line = refused("issue", "cardholder", "--issuer", "B", "--public-key", name, "--out", "out", status=1)
        assert line.startswith("invalidCertificate: "), name
    assert "CARDHOLDER" not in done("log")


# --- revoking, publishing, validating -----------------------------------------------------------


def test_from_revocation_to_refusal(founded: Path) -> None:
    done("issue", "merchant", *SHOP)
    number = serial(founded / "merchant-signature.pem")
    both = ["merchant-signature.pem", "merchant-exchange.pem"]
    assert done("verify", *both).count(": good: CN=Corner Shop") == 2
    assert done("revoke", both[0], "--reason", "keyCompromise").startswith(f"revoked: {number} revoked, until ")
    done("verify", *both)  # not published yet
    assert done("crl", "--ca", "merchant-ca").startswith("CRL 2 of Marque/merchant-ca.1: 1 revoked, until ")
    assert done("bci").startswith("BCI 2 of Marque: 6 CRLs, until ")
    said = ca("verify", *both)
    assert said.status == 1
    assert said.out.startswith("merchant-exchange.pem: good: ")
    assert said.err == (
        "setproto: merchant-signature.pem: REFUSED: revokedCertificate: revoked (RFC 5280 section 6.3.3) "
        "[CN=Corner Shop,OU=Bank,O=Marque,C=XX (merchant signature)]\n"
    )
    assert "keyCompromise" in done("show", number)
    described = {one["serial"]: one for one in json.loads(done("list", "--json"))}
    assert (described[number]["state"], described[number]["reason"]) == ("revoked", "keyCompromise")
    assert refused("renew", number).startswith(f"certificate {number} is revoked")


def test_which_certificate_of_a_chain_is_refused_is_said(founded: Path) -> None:
    done("issue", "merchant", *SHOP)
    ca_serial = next(one["serial"] for one in json.loads(done("list", "--json")) if one["kind"] == "merchant CA")
    done("revoke", ca_serial.lower())
    done("crl")
    line = refused("verify", "merchant-signature.pem", status=1)
    assert "REFUSED: revokedCertificate" in line
    assert "[OU=Merchant CA,O=Marque,C=XX (merchant CA)]" in line
    assert refused("issue", "merchant", *SHOP, "--out", "new").startswith(
        f"Marque/merchant-ca.1 is revoked: setproto ca renew {ca_serial} gives it a new key"
    )
    done("renew", ca_serial)
    done("issue", "merchant", *SHOP, "--out", "new")
    done("verify", "new/merchant-signature.pem")


def test_validating_at_another_time(founded: Path) -> None:
    done("issue", "cardholder", "--issuer", "Bank")
    file = "cardholder-signature.pem"
    assert "not yet valid" in refused("verify", file, "--at", "2020-01-01", status=1)
    assert "expiredCertificate" in refused("verify", file, "--at", "2120-01-01T00:00:00+00:00", status=1)
    assert refused("verify", file, "--at", "noon") == "'noon' is no time: it is written like 2026-03-20T12:00"


def test_a_chain_of_another_hierarchy_is_refused(founded: Path) -> None:
    done("init", "hierarchy.toml", "--dir", "other")
    done("issue", "merchant", *SHOP, "--dir", "other", "--out", "stranger")
    done("export", "--dir", "other", "--out", "stranger")
    parts = ("merchant-signature.pem", "merchant-chain.pem", "root.pem")
    chain = b"".join((founded / "stranger" / part).read_bytes() for part in parts)
    (founded / "chain.pem").write_bytes(chain)
    assert "REFUSED: missingCertificate: no chain to a trusted root" in refused("verify", "chain.pem", status=1)
    assert done("verify", "chain.pem", "--dir", "other").startswith("chain.pem: good")


@pytest.mark.parametrize(
    ("data", "status", "fault"),
    [
        (b"", 2, "no certificates in PEM"),
        (b"\x30\x00", 2, "no certificates in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 1, "not the DER encoding"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", 2, "not base64"),
        (b"x" * ((1 << 20) + 1), 2, "no certificates in PEM"),
        (None, 2, "No such file"),
    ],
    ids=["empty", "not PEM", "no certificate", "no base64", "huge", "missing"],
)
def test_files_that_are_no_chains(founded: Path, data: bytes | None, status: int, fault: str) -> None:
    if data is not None:
        (founded / "file.pem").write_bytes(data)
    assert fault in refused("verify", "file.pem", status=status)


def test_renewing_a_party(founded: Path) -> None:
    done("issue", "gateway", "G-1", "--acquirer", "Bank")
    number = serial(founded / "gateway-exchange.pem")
    done("renew", number)
    new = check_certificate(certificates(founded / "gateway-renewed-exchange.pem")[0])
    assert new.kind is CertificateKind.GATEWAY_EXCHANGE
    assert (founded / "gateway-renewed-exchange.key.pem").exists()
    done("verify", "gateway-exchange.pem", "gateway-renewed-exchange.pem")
    root = next(one["serial"] for one in json.loads(done("list", "--json")) if one["kind"] == "root")
    assert refused("renew", root) == "a root is replaced by setproto ca rollover"
    brand = next(one["serial"] for one in json.loads(done("list", "--json")) if one["kind"] == "brand CA")
    assert "the keys of a CA are made here" in refused("renew", brand, "--until", "2030-01-01")
    assert done("renew", brand).startswith("Marque/brand-ca.2: made\nissued: ")


def test_rolling_over(founded: Path) -> None:
    done("issue", "merchant", *SHOP)
    assert done("rollover").startswith("root.2: made; the roots before it stay trusted until they end\nfingerprint")
    done("verify", "merchant-signature.pem")
    done("export", "--out", "public")
    assert len(certificates(founded / "public/root.pem")) == 2
    assert len(certificates(founded / "public/cas.pem")) == 6  # the brand CA's under both roots


def test_what_is_exported_can_be_used(founded: Path) -> None:
    done("issue", "merchant", *SHOP)
    done("export", "--out", "public")
    (bci,) = certificates(founded / "public/bcis.pem")
    assert check_bci(bci).brand == "Marque"
    number = serial(founded / "merchant-signature.pem")
    done("export", number, "--key", "merchant-signature.key.pem", "--out", "public")
    loaded = pkcs12.load_pkcs12((founded / f"public/{number}.p12").read_bytes(), KEY_PASSPHRASE.encode())
    assert loaded.cert is not None
    assert loaded.key is not None
    assert loaded.cert.certificate.public_key() == loaded.key.public_key()
    assert loaded.cert.friendly_name == b"Corner Shop"
    assert len(loaded.additional_certs) == 3
    assert (founded / f"public/{number}.pem").read_bytes() == (founded / "merchant-signature.pem").read_bytes()
    assert (founded / f"public/{number}-chain.pem").read_bytes() == (founded / "merchant-chain.pem").read_bytes()


def test_pkcs12_is_not_made_with_a_wrong_key(founded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done("issue", "merchant", *SHOP)
    number = serial(founded / "merchant-signature.pem")
    arguments = ["export", number, "--out", "out", "--key"]
    assert refused(*arguments, "merchant-exchange.key.pem") == "private key and certificate do not match"
    monkeypatch.setenv(desk.KEY_PASSPHRASE, "not the passphrase at all")
    assert refused(*arguments, "merchant-signature.key.pem") == "private key cannot be opened"
    assert refused("export", "--key", "merchant-signature.key.pem") == "--key needs its certificate"
    assert list((founded / "out").iterdir()) == []


def forged(pem: bytes) -> bytes:
    """With the last octet of its signature changed."""
    (der,) = blocks(pem)
    return to_pem("CERTIFICATE", der[:-1] + bytes([der[-1] ^ 1]))


# --- looking ------------------------------------------------------------------------------------


def test_listing_and_showing(founded: Path) -> None:
    done("issue", "merchant", *SHOP)
    number = serial(founded / "merchant-signature.pem")
    everything_ = json.loads(done("list", "--json"))
    mine = json.loads(done("list", "--json", "--ca", "merchant-ca"))
    assert len(mine) == 2
    assert all(one in everything_ for one in mine)
    assert {one["issuer"] for one in mine} == {"Marque/merchant-ca.1"}
    listed = done("list")
    assert all(one["serial"] in listed for one in everything_)
    full = number.zfill(40)
    by_number = done("show", ":".join(full[i : i + 2] for i in range(0, 40, 2)))
    assert by_number == done("show", "merchant-signature.pem")
    assert "merchantData  M-1: Corner Shop" in by_number
    assert "issued by Marque/merchant-ca.1; valid" in by_number
    assert refused("show", "12") == "no certificate of this hierarchy has the serial number 12"
    assert refused("show", "xyz") == "'xyz' is no file, and no serial number in hexadecimal"
    other = everything(founded)[founded / "merchant-signature.pem"]
    (founded / "other.pem").write_bytes(forged(other))
    assert refused("revoke", "other.pem").startswith("other.pem is not the certificate of this hierarchy")
    assert refused("revoke", "12") == "no certificate of this hierarchy has the serial number 12"


def test_the_log(founded: Path) -> None:
    done("issue", "merchant", *SHOP)
    number = serial(founded / "merchant-signature.pem")
    entries = json.loads(done("log", "--json"))
    assert [one["entry"] for one in entries] == list(range(1, len(entries) + 1))
    assert (entries[-2]["what"], entries[-2]["number"]) == ("certificate", number)
    lines = done("log").splitlines()
    assert len(lines) == len(entries)
    assert lines[-2].endswith(f" certificate {number} Marque/merchant-ca.1")
    head = f"{len(entries)}:{entries[-1]['hash']}"
    assert done("log", "--verify") == f"the log is whole, and nothing is otherwise than it says; head: {head}\n"
    assert "does not lead to the head" in refused("log", "--head", f"{len(entries)}:{'00' * 32}")
    for text in ("", "x:00", "5", "5:xyz"):
        assert "is no head of a log" in refused("log", "--head", text)


def edit(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM setproto_entries WHERE name = 'journal' AND key = x'0000000000000005'", "entry 5 is missing"),
        ("UPDATE setproto_entries SET value = x'' WHERE name = 'journal_head'", "the record of its end cannot be read"),
        ("DELETE FROM setproto_entries WHERE name LIKE '%:revocations'", "is in the log and not there"),
    ],
)
def test_a_changed_database_shows(founded: Path, statement: str, fault: str) -> None:
    done("issue", "merchant", *SHOP)
    done("revoke", serial(founded / "merchant-signature.pem"))
    done("log", "--verify")
    edit(founded / "ca/ca.db", statement)
    assert fault in refused("log", "--verify")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE setproto_entries SET value = x'' WHERE name = 'hierarchy'",
        "UPDATE setproto_entries SET value = x'ff' WHERE name = 'hierarchy'",
        "UPDATE setproto_entries SET value = x'3000' WHERE name = 'vault'",
        "UPDATE setproto_entries SET value = x'3000' WHERE name = 'authorities' AND key = CAST('root.1' AS BLOB)",
        "UPDATE setproto_entries SET value = x'00' WHERE name = 'next_root'",
        "DELETE FROM setproto_entries WHERE name = 'next_root'",
        "DELETE FROM setproto_entries WHERE name = 'vault'",
        "UPDATE setproto_schema SET version = 99",
    ],
)
def test_a_damaged_database_is_said_in_one_line_and_changes_no_further(founded: Path, statement: str) -> None:
    edit(founded / "ca/ca.db", statement)
    before = everything(founded / "ca")
    assert refused("rollover")
    assert everything(founded / "ca") == before


def test_a_file_that_is_no_database(founded: Path) -> None:
    (founded / "ca/ca.db").write_bytes(b"no database at all " * 100)
    for command in (["list"], ["crl"], ["init", "hierarchy.toml"], ["log", "--verify"]):
        assert refused(*command) == "the database cannot be used: DatabaseError"


# --- others -------------------------------------------------------------------------------------


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
@pytest.mark.parametrize("suite", ["p256", "ed25519", pytest.param("rsa3072", marks=pytest.mark.slow)])
def test_openssl_agrees(here: Path, suite: str) -> None:
    """OpenSSL 3.0 knows no ML-DSA; every other suite is verified by it from exported files alone."""
    (here / "hierarchy.toml").write_text(EXAMPLE.replace("p256", suite, 1))
    done("init", "hierarchy.toml")
    done("issue", "merchant", *SHOP)
    done("issue", "cardholder", "--issuer", "Bank")
    done("issue", "gateway", "G-1", "--acquirer", "Bank")
    leaves = [*here.glob("*-signature.pem"), *here.glob("*-exchange.pem")]
    assert len(leaves) == 5
    done("export")
    assert [openssl(here, leaf) for leaf in leaves] == [0] * 5
    done("rollover")
    done("export")
    assert [openssl(here, leaf) for leaf in leaves] == [0] * 5
    done("revoke", serial(here / "merchant-signature.pem"))
    done("crl")
    done("export")
    assert [leaf.name for leaf in leaves if openssl(here, leaf)] == ["merchant-signature.pem"]


def openssl(folder: Path, leaf: Path) -> int:
    flags = ["-x509_strict", "-crl_check_all", "-ignore_critical", "-no-CApath", "-no-CAfile"]
    inputs = ["-trusted", "root.pem", "-untrusted", "cas.pem", "-CRLfile", "crls.pem", str(leaf)]
    command = [str(OPENSSL), "verify", *flags, *inputs]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


def test_the_post_quantum_suite(here: Path) -> None:
    (here / "hierarchy.toml").write_text(EXAMPLE.replace("p256", "mldsa65", 1))
    done("init", "hierarchy.toml")
    done("issue", "merchant", *SHOP)
    done("verify", "merchant-signature.pem", "merchant-exchange.pem")
    number = serial(here / "merchant-exchange.pem")
    line = refused("export", number, "--key", "merchant-exchange.key.pem", "--out", "out")
    assert line == "PKCS#12 cannot hold a key of this sort"
    assert done("log", "--verify")


def test_two_processes_at_a_time(founded: Path) -> None:
    """Each waits for the other's transaction; nothing is lost, and the log is one chain."""
    command = [sys.executable, "-W", "error", "-m", "setproto", "ca", "issue", "merchant", *SHOP, "--out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen([*command, f"shop{n}"], cwd=founded, env=environment, stdout=subprocess.DEVNULL)
        for n in range(3)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    assert len(json.loads(done("list", "--json", "--ca", "merchant-ca"))) == 6
    done("log", "--verify")


def test_every_command_says_what_it_does() -> None:
    group = typer.main.get_command(app)
    for path, command in commands(group):
        assert command.help, path
        assert inspect.cleandoc(command.help)[0].isupper(), path
