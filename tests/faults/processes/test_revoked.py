"""A certificate is revoked while wallets buy: its owner pays no more, the others go on, no money hangs in the air."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from setproto.cli import app
from setproto.reading.pem import to_pem
from setproto.wallet.paying import Standing
from tests.faults.processes.ledgers import NOTHING, Ledgers
from tests.faults.processes.shopper import shopper
from tests.faults.processes.street import Street, street


def ca(shop: Street, *arguments: str | Path) -> None:
    """A command of ``setproto ca`` on the hierarchy of the shop."""
    done = CliRunner().invoke(app, ["ca", *map(str, arguments), "--dir", str(shop.directory / "ca")])
    assert done.exit_code == 0, done.output


def revoke(shop: Street, certificate: Path, authority: str, *learning: str) -> None:
    """Revoke a certificate, publish that, and have these servers learn it; the others learn it from messages."""
    passphrase = ("--passphrase-file", shop.directory / "ca" / "passphrase")
    ca(shop, "revoke", certificate, "--reason", "keyCompromise")
    ca(shop, "crl", "--ca", authority, *passphrase)
    ca(shop, "bci", *passphrase)
    ca(shop, "export", "--out", shop.directory / "public")
    for name in learning:
        shop.stop(name)
        shop.go(name)
        shop.wait(name)


def test_a_cardholder_and_then_the_merchant_is_revoked(tmp_path: Path) -> None:
    with street(tmp_path / "shop") as shop:
        with shopper(shop.wallets["wallet-1"], shop.shop_file) as one:
            one.register("card-0")
            one.register("card-2")
            assert one.buy({"pencil": 1}, ["card-0"]) is Standing.PAID
            shop.go("wallet-2")
            shop.wait_until_bought(5)
            own = one.wallet.card("card-0").registered
            assert own is not None
            (tmp_path / "revoked.pem").write_bytes(to_pem("CERTIFICATE", own.certificate))
            # The merchant, too: what it accepts and the gateway then refuses is asked again for an hour, since an
            # Error changes no state (PX-17).
            revoke(shop, tmp_path / "revoked.pem", "cardholder-ca", "gateway", "merchant")
            before = shop.bought()
            refused = [one.buy({"pencil": 1}, ["card-0"]) for _ in range(3)]
            assert not any(standing.is_paid for standing in refused)
            assert one.buy({"pencil": 1}, ["card-2"]) is Standing.PAID  # another card of the same person
        shop.wait_until_bought(before + 3)
        shop.stop_wallets()
        ledgers = shop.settled("wallet-2")
        # The revoked card cannot ask any more what became of its last payments: nothing did.
        hanging = [xid for xid, one in ledgers.wallets.items() if one.standing is Standing.PENDING]
        assert all(ledgers.bank.get(xid, NOTHING) == NOTHING for xid in hanging)
        # Then the shop itself: what was paid stays, and nothing is paid any more.
        revoke(shop, shop.directory / "merchant" / "merchant-signature.pem", "merchant-ca", "gateway")
        shop.go("wallet-2")
        shop.wait_until_refused()
        shop.stop_wallets()
        after = Ledgers.read(shop, shop.wallets.values())
    assert after.faults() == []
    assert after.bank == ledgers.bank
