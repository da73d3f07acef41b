"""``setproto ca register``: certificates by the registration protocol, in the hierarchy at rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pki import check_certificate
from pki.keystore import load_signature_key
from pki.suites import key_suite
from setproto.ca import card_secrets
from setproto.ca.card_secrets import dump_card_secrets, load_card_secrets
from setproto.card import PAN, CardExpiry, CardSecret, PANSecret, cardholder_name
from setproto.errors import UsageError
from setproto.reading.pem import blocks
from setproto.scan import scan
from tests.ca.test_command import KEY_PASSPHRASE, SHOP, done, founded, here, quick, refused

__all__ = ["founded", "here", "quick"]

CARD, EXPIRY = "4111111111111111", "203012"
HOLDER = ["cardholder", "--issuer", "Bank", "--person", "Ada Lovelace", "--card-file", "card.txt"]
MERCHANT = ["merchant", *SHOP, "--account", "A-1", "--person", "Bob"]
GATEWAY = ["gateway", "G-1", "--acquirer", "Bank", "--bin", "411111", "--account", "A-2", "--person", "Eve"]


@pytest.fixture
def office(founded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(dump_card_secrets.__kwdefaults__, "n", 16)
    (founded / "card.txt").touch(0o600)
    (founded / "card.txt").write_text(f"{CARD}\n{EXPIRY}\n")
    (founded / "hierarchy.toml").chmod(0o600)
    return founded


def test_a_cardholder_gets_a_certificate_that_shows_neither_holder_nor_card(office: Path) -> None:
    said = done("register", *HOLDER)
    names = [line.split(":")[0] for line in said.splitlines()]
    assert names[:4] == ["CardCInitReq", "CardCInitRes", "RegFormReq", "RegFormRes"]
    assert "CertRes" in names

    der = blocks((office / "cardholder-signature.pem").read_bytes())[0]
    secrets = load_card_secrets(blocks((office / "cardholder-secrets.pem").read_bytes())[0], KEY_PASSPHRASE)
    assert check_certificate(der).name.common_name == cardholder_name(PAN(CARD), CardExpiry(EXPIRY), secrets[1])
    assert b"Ada" not in der
    key = (office / "cardholder-signature.key.pem").read_bytes()
    load_signature_key(key, KEY_PASSPHRASE.encode(), key_suite("p256"))
    assert "good" in done("verify", "cardholder-signature.pem")
    assert "register" not in done("log", "--verify")


@pytest.mark.parametrize(("who", "name"), [(MERCHANT, "merchant"), (GATEWAY, "gateway")])
def test_a_business_gets_two_certificates_and_renews_them(office: Path, who: list[str], name: str) -> None:
    done("register", *who)
    said = done("register", *who, "--renew", name, "--name", "new")
    assert said.count("issued: ") == 2
    for file in (f"{name}-signature.pem", f"{name}-exchange.pem", "new-signature.pem", "new-exchange.pem"):
        assert "good" in done("verify", file)
    subjects = {
        check_certificate(blocks((office / f"{one}-signature.pem").read_bytes())[0]).name for one in (name, "new")
    }
    assert len(subjects) == 1


def test_a_renewal_takes_the_old_key(office: Path) -> None:
    """§6.7: a certificate that was revoked renews nothing."""
    done("register", *MERCHANT)
    done("revoke", "merchant-signature.pem")
    done("crl")
    done("bci")
    assert "revoked" in refused("register", *MERCHANT, "--renew", "merchant", "--name", "new")
    assert not list(office.glob("new-*"))


def test_a_certificate_of_another_name_is_not_renewed(office: Path) -> None:
    done("register", *MERCHANT)
    other = ["merchant", "M-2", *SHOP[1:], "--account", "A-1", "--person", "Bob"]
    said = refused("register", *other, "--renew", "merchant", "--name", "new")
    assert "another name" in said


def test_the_days_that_the_hierarchy_declares_hold_here_too(here: Path) -> None:
    text = (here / "hierarchy.toml").read_text().replace("# merchant = 730", "merchant = 30")
    (here / "hierarchy.toml").write_text(text)
    done("init", "hierarchy.toml")
    done("register", *MERCHANT)
    read = check_certificate(blocks((here / "merchant-signature.pem").read_bytes())[0])
    assert (read.not_after - read.not_before).days == 30


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        ([*HOLDER[:-1], "hierarchy.toml"], "two lines"),
        ([*HOLDER[:-1], "nowhere.txt"], "No such file"),
        (["cardholder", "--issuer", "", *HOLDER[3:]], "printable"),
        ([*MERCHANT[:6], "--bin", "41111", *MERCHANT[8:]], "BIN"),
        ([*HOLDER, "--brand", "Nobody"], "no brand"),
        ([*HOLDER, "--renew", "nobody"], "nobody-signature.pem"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(office: Path, arguments: list[str], because: str) -> None:
    assert because in refused("register", *arguments)
    assert sorted(path.name for path in office.iterdir()) == ["ca", "card.txt", "hierarchy.toml"]


def test_a_card_file_that_others_can_read_is_refused(office: Path) -> None:
    (office / "card.txt").chmod(0o644)
    assert "others" in refused("register", *HOLDER)


def test_nothing_is_overwritten(office: Path) -> None:
    done("register", *HOLDER)
    assert "exists already" in refused("register", *HOLDER)


@pytest.mark.prop("PX-1")
def test_the_card_number_is_in_no_file_and_nothing_said(office: Path) -> None:
    said = done("register", *HOLDER)
    files = [path for path in office.rglob("*") if path.is_file() and path.name != "card.txt"]
    assert not scan([said.encode(), *(path.read_bytes() for path in files)], CARD).hits
    assert scan([(office / "card.txt").read_bytes()], CARD).hits, "the scan finds what is there"


def test_card_secrets_open_with_their_passphrase_only() -> None:
    secret, other = CardSecret(bytes(range(32))), PANSecret(bytes(range(1, 33)))
    der = dump_card_secrets(secret, other, KEY_PASSPHRASE, n=16)
    assert load_card_secrets(der, KEY_PASSPHRASE) == (secret, other)
    for damaged, passphrase in (
        (der, KEY_PASSPHRASE + "!"),
        (der[:-1] + bytes([der[-1] ^ 1]), KEY_PASSPHRASE),
        (der[:-1], KEY_PASSPHRASE),
        (b"", KEY_PASSPHRASE),
    ):
        with pytest.raises(UsageError, match="cannot be opened"):
            load_card_secrets(damaged, passphrase)
    assert secret.reveal().hex() not in repr(card_secrets) + der.hex()
