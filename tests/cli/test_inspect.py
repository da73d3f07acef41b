"""``setproto inspect`` reads everything that the demonstration keeps, shows no card data, and survives garbage."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from setproto.cli import app
from setproto.market import Market
from setproto.reading import Kind, NotReadable, Opener, Reader, Show, load_opener
from setproto.reading.pem import blocks, from_pem, to_pem
from tests.cli.conftest import PAN, Kept, setproto


def inspect(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def readable(directory: Path) -> Iterator[Path]:
    for folder, endings in {
        "messages": (".der",),
        "signed": (".der", ".content"),
        "sealed": (".der", ".context"),
        "certs": (".pem",),
        "merchant": (".der", ".content"),
        "gateway": (".der", ".content"),
    }.items():
        yield from (path for path in sorted((directory / folder).iterdir()) if path.suffix in endings)


def test_every_kept_object_is_read_and_no_card_number_is_shown(p256: Kept) -> None:
    paths = list(readable(p256.directory))
    assert len(paths) > 200
    status, out, err = inspect(*paths)
    assert (status, err) == (0, "")
    assert PAN not in out
    assert "203012" not in out
    assert out.count("<redacted>") > 0
    for path in paths:
        assert str(path) in out


def test_a_message_is_a_tree_with_field_names(p256: Kept) -> None:
    status, out, _ = inspect(p256.directory / "messages/03-PReq.der")
    assert status == 0
    for text in (
        *("PReq", "xid", "oi_data", "merchant_id", "hod", "hpi_data", "sealed_pan  AuthEnvelopedData, PANData"),
        *("closed: ", "AES-256-GCM", "ecdsa-with-SHA256", "cardholder signature: ", "type  OIData", "parts  3 items"),
    ):
        assert text in out
    assert "─ pan  " not in out


def test_certificates_and_crls(p256: Kept) -> None:
    certs = p256.directory / "certs"
    status, out, _ = inspect(
        certs / "merchant-signature.pem", certs / "merchant-ca.revoking.crl.pem", certs / "root.pem"
    )
    assert status == 0
    for text in ("Certificate  merchant signature", "merchantData  shop-", "keyUsage  critical", "hashedRootKey"):
        assert text in out
    assert "revoked_certificates  2 items" in out


@pytest.mark.parametrize("file", ["messages/04-AuthReq.der", "sealed/03-PReq.PANData.der"])
def test_the_key_opens_and_only_reveal_reveals(p256: Kept, file: str) -> None:
    here = p256.directory
    key = ("--key", here / "keys/gateway-exchange.pem", "--cert", here / "certs/gateway-exchange.pem")
    status, out, _ = inspect(here / file)
    assert status == 0
    assert "─ pan  " not in out
    status, out, _ = inspect(here / file, *key)
    assert status == 0
    assert "─ pan  <redacted>" in out
    assert PAN not in out
    status, out, _ = inspect(here / file, *key, "--reveal")
    assert status == 0
    assert f"─ pan  {PAN}" in out


def test_the_wrong_key_opens_nothing(p256: Kept) -> None:
    here = p256.directory
    status, out, _ = inspect(here / "messages/04-AuthReq.der", "--key", here / "keys/merchant-exchange.pem", "--reveal")
    assert status == 0
    assert "─ pan  " not in out


def test_reveal_needs_the_key(p256: Kept) -> None:
    pan_data = p256.directory / "gateway/04-AuthReq.plain-PANData.der"
    status, out, err = inspect(pan_data, "--reveal")
    assert (status, out, err.count("\n")) == (2, "", 1)
    status, out, _ = inspect(pan_data)
    assert status == 0
    assert "─ pan  <redacted>" in out


@pytest.mark.parametrize(
    "key", ["certs/gateway-exchange.pem", "keys/gateway-signature.pem", "messages/01-PInitReq.der", "none.pem"]
)
def test_what_is_no_key_is_refused(p256: Kept, key: str) -> None:
    here = p256.directory
    if key == "keys/gateway-signature.pem":  # one curve, two uses: the certificate tells
        arguments: tuple[str | Path, ...] = ("--key", here / key, "--cert", here / "certs/gateway-exchange.pem")
    else:
        arguments = ("--key", here / key)
    status, out, err = inspect(here / "messages/04-AuthReq.der", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)


GARBAGE = {
    "empty": b"",
    "text": b"hello\n",
    "zeros": bytes(300),
    "noise": random.Random(0).randbytes(3000),
    "other DER": bytes.fromhex("300602010102017f"),
    "broken PEM": b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    "large": bytes((1 << 20) + 1),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_one_line_and_status_2(tmp_path: Path, name: str) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(GARBAGE[name])
    result = setproto("inspect", str(path))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_all_files_are_tried(p256: Kept, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"?")
    good = [p256.directory / f"messages/{name}.der" for name in ("01-PInitReq", "08-CapRes")]
    status, out, err = inspect(good[0], tmp_path / "bad", tmp_path / "none", good[1])
    assert status == 2
    assert "PInitReq" in out
    assert "CapRes" in out
    assert err.count("\n") == 2


def test_standard_input(p256: Kept) -> None:
    pem = to_pem("CMS", (p256.directory / "signed/06-PRes.PResData.der").read_bytes())
    result = setproto("inspect", "-", given=pem.decode())
    assert result.returncode == 0
    assert "authorizationPerformed (4)" in result.stdout


def test_a_private_key_is_not_shown(p256: Kept) -> None:
    status, out, err = inspect(p256.directory / "keys/merchant-signature.pem")
    assert (status, out) == (2, "")
    assert "private key" in err


def test_damaged_objects_are_read_or_refused(p256: Kept) -> None:
    """No octet that is changed, cut off or added leads to any other exception, or to the card number."""
    draw = random.Random(7)
    opener = load_opener((p256.directory / "keys/gateway-exchange.pem").read_bytes())
    for path in readable(p256.directory):
        data = from_pem(path.read_bytes())
        for change in range(6):
            changed = bytearray(data)
            for _ in range(1 + change % 3):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            if change == 4:
                changed = changed[: draw.randrange(len(changed))]
            if change == 5:
                changed += draw.randbytes(3)
            try:
                node = Reader((opener,)).read(bytes(changed))
            except NotReadable:
                continue
            assert not any(PAN in part.text for part in node.walk())


def test_the_context_is_built_as_the_roles_build_it() -> None:
    """A message moved under another header does not open, even with the right key."""
    market = Market.open()
    market.buy("EUR 1.00", b"a pencil")
    gateway = market.gateway
    data = next(d.message.data for d in market.deliveries if d.message.name == "AuthReq")
    keys = (Opener(gateway.exchange_key(), gateway.party),)

    def opened(message: bytes) -> set[str]:
        reader = Reader(keys)
        reader.message(message)
        return {found.name for found in reader.found if found.kind is Kind.SEALED and found.content is not None}

    assert opened(data) == {"AuthReqTBS", "PI-OILink", "PANData"}
    merchant = market.merchant.party.name.encode()
    moved = data.replace(merchant, merchant[:-1] + b"?", 1)
    assert opened(moved) == {"PI-OILink", "PANData"}


def test_masked_shows_no_more_than_ten_digits(p256: Kept) -> None:
    data = (p256.directory / "gateway/04-AuthReq.plain-PANData.der").read_bytes()
    node = Reader(show=Show.MASKED).read(data)
    pan, expiry = node.find("pan"), node.find("card_expiry")
    assert pan is not None
    assert pan.text == "411111••••••1111"
    assert expiry is not None
    assert expiry.text == "<redacted>"


def test_pem() -> None:
    pem = to_pem("THING", bytes(range(100)))
    assert pem.startswith(b"-----BEGIN THING-----\n")
    assert max(map(len, pem.splitlines())) == 64
    assert blocks(pem + b"text\n" + pem) == [bytes(range(100))] * 2
    assert from_pem(b"0\1\2") == b"0\1\2"
