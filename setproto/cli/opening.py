"""What the commands of a wallet's owner share: where wallet and shop are, the passphrase, and how refusals are said.

No option takes a passphrase or a card number: a command line can be read by every user of the machine, and is kept in
histories.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from setproto.card import PAN, Card, CardExpiry
from setproto.cli.console import refuse, terminal
from setproto.client import HTTPTransport
from setproto.errors import SetError, UsageError
from setproto.settings import read_secret
from setproto.wallet.items import Wallet
from setproto.wallet.vault import Passphrase, Vault

__all__ = [
    "CardFile",
    "PassphraseFile",
    "ShopFile",
    "WalletFile",
    "answering",
    "card_data",
    "connected",
    "day",
    "default_shop",
    "default_wallet",
    "now",
    "opened",
    "passphrase",
    "read_card",
]

PASSPHRASE_FILE = "SETPROTO_PASSPHRASE_FILE"  # noqa: S105 the name of a variable

WalletFile = Annotated[
    Path | None,
    typer.Option("--wallet", metavar="FILE", envvar="SETPROTO_WALLET", help="The wallet; else ~/.setproto/wallet."),
]
ShopFile = Annotated[
    Path | None,
    typer.Option("--shop", metavar="FILE", envvar="SETPROTO_SHOP", help="The shop's file, as setproto up writes it."),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", envvar=PASSPHRASE_FILE, help="The passphrase, in a file; else asked for."
    ),
]
CardFile = Annotated[
    Path | None,
    typer.Option("--card-file", metavar="FILE", help="Card number and expiry (YYYYMM) on two lines; else asked for."),
]


def default_wallet(named: Path | None) -> Path:
    """The wallet that is meant."""
    return named or Path.home() / ".setproto" / "wallet"


def default_shop(named: Path | None) -> Path:
    """The file of the shop that is meant: by default that of ``setproto up`` in its default place."""
    return named or Path(os.environ.get("SETPROTO_DATA") or Path.home() / ".setproto" / "shop") / "shop.toml"


@contextmanager
def answering() -> Iterator[None]:
    """One clear line for whatever goes wrong: status 2 for a request that makes no sense, 1 for what others refuse."""
    try:
        yield
    except UsageError as failure:
        refuse(failure.detail)
    except SetError as failure:
        refuse(failure.detail or str(failure), status=1)
    except OSError as failure:
        refuse(f"{failure.filename or 'the wallet'}: {failure.strerror}")


def passphrase(file: Path | None, prompt: str = "Passphrase of the wallet", *, new: bool = False) -> Passphrase:
    """The passphrase, from a file of its owner's or the terminal (twice if it is new)."""
    if file is not None:
        found = read_secret(file)
    elif terminal():
        found = typer.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True)
    else:
        raise UsageError(
            f"no passphrase: there is no terminal to ask, and neither --passphrase-file nor ${PASSPHRASE_FILE}"
        )
    return Passphrase.new(found) if new else Passphrase(found)


@contextmanager
def opened(file: Path | None, passphrase_file: Path | None) -> Iterator[Wallet]:
    """The wallet, open until the end of the block."""
    with Vault.open(default_wallet(file), passphrase(passphrase_file)) as vault:
        yield Wallet(vault, clock=now)


@contextmanager
def connected(url: str) -> Iterator[HTTPTransport]:
    """A server."""
    transport = HTTPTransport(url)
    try:
        yield transport
    finally:
        transport.close()


def now() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


def day(text: str | None) -> date | None:
    """A day as ISO 8601 writes it.  UsageError if it is none."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day: it is written like 2026-12-31") from None


def card_data(file: Path | None) -> tuple[str, str]:
    """Card number and expiry (YYYYMM), from two lines of a file of its owner's or from the terminal.  UsageError if
    others have access to the file, it has not two lines, or there is neither."""
    if file is not None:
        lines = read_secret(file).split()
        if len(lines) != 2:
            raise UsageError(f"{file}: not a card number and an expiry (YYYYMM) on two lines")
        return lines[0], lines[1]
    if not terminal():
        raise UsageError("no card: there is no terminal to ask, and no --card-file")
    digits = typer.prompt("Card number", hide_input=True, err=True).replace(" ", "")
    return digits, typer.prompt("Expiry (YYYYMM)", err=True)


def read_card(file: Path | None, brand: str) -> Card:
    """The card of this brand with ``card_data``.  UsageError as there, or if it cannot be a card."""
    digits, expiry = card_data(file)
    try:
        return Card(brand, PAN(digits), CardExpiry(expiry))
    except ValueError as failure:
        raise UsageError(str(failure)) from None
