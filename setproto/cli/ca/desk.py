"""What all ``setproto ca`` commands share: where the hierarchy lies, its passphrase, and how refusals are said.

No option takes a passphrase: a command line can be read by every user of the machine, and is kept in histories.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from pki import CertificateError, KeyStoreError, check_certificate
from pki.der import DecodingFailure
from setproto.ca.office import Office
from setproto.ca.register import Issued
from setproto.ca.vault import Vault, acceptable
from setproto.cli.console import refuse, terminal
from setproto.errors import UsageError
from setproto.reading.pem import blocks_in
from setproto.roles.ports import Transaction
from setproto.settings import require_private
from setproto.store.sql import SQLStore

DATABASE_FILE = "ca.db"
SPACE = "ca"
"""The space of the store, so that a database can be shared with others."""
CA_PASSPHRASE = "SETPROTO_CA_PASSPHRASE"  # noqa: S105 the name of a variable
KEY_PASSPHRASE = "SETPROTO_KEY_PASSPHRASE"  # noqa: S105

DIR = Path("ca")
Which = Annotated[
    str, typer.Argument(metavar="CERT.pem|SERIAL", help="A certificate, or its serial number in hexadecimal.")
]
Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", envvar="SETPROTO_CA_DIR", help="Where the hierarchy lies.")
]
Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", envvar="SETPROTO_CA_DATABASE", help="A database instead of DIR/ca.db."),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help=f"Its passphrase; else ${CA_PASSPHRASE}, else asked for."),
]
KeyPassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--key-passphrase-file", metavar="FILE", help=f"That of key files; else ${KEY_PASSPHRASE}, else asked for."
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def now() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


@contextmanager
def answering() -> Iterator[None]:
    """One clear line for whatever goes wrong: status 1 if something is refused by a rule, 2 for everything else."""
    try:
        yield
    except KeyStoreError as failure:
        refuse(failure.rule)
    except CertificateError as refusal:
        refuse(str(refusal), status=1)
    except UsageError as failure:
        refuse(failure.detail)
    except OSError as failure:
        refuse(f"{failure.filename}: {failure.strerror}")
    except (SQLAlchemyError, DecodingFailure, UnicodeDecodeError) as failure:
        refuse(f"the database is damaged or cannot be used: {type(failure).__name__}")


@contextmanager
def opened(directory: Path, database: str | None) -> Iterator[SQLStore]:
    """The store.  UsageError if it does not exist, or others may read or write it."""
    if database is None:
        for path in (directory / DATABASE_FILE, directory):
            if not path.exists():
                raise UsageError(f"there is no hierarchy in {directory}: setproto ca init makes one")
            require_private(path)
    store = SQLStore(database or _url(directory), SPACE)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def created(directory: Path, database: str | None) -> Iterator[SQLStore]:
    """The same before there is one: the directory and an empty database, for nobody but their owner."""
    if database is None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(directory)
        # Created with its final mode; SQLite gives its other files the mode of this one.
        os.close(os.open(directory / DATABASE_FILE, os.O_RDWR | os.O_CREAT, 0o600))
    with opened(directory, database) as store:
        yield store


def _url(directory: Path) -> str:
    return f"sqlite:///{directory / DATABASE_FILE}"


@contextmanager
def looking(directory: Path, database: str | None) -> Iterator[tuple[Transaction, Office]]:
    """The office without its keys, for commands that sign nothing."""
    with answering(), opened(directory, database) as store, store.transaction() as transaction:
        yield transaction, Office(transaction, now())


@contextmanager
def working(directory: Path, database: str | None, passphrase_file: Path | None) -> Iterator[Office]:
    """The office with its keys; what is done in the block becomes durable at its end, or not at all."""
    with unlocked(directory, database, passphrase_file) as (store, vault), store.transaction() as transaction:
        yield Office(transaction, now(), vault)


@contextmanager
def unlocked(directory: Path, database: str | None, passphrase_file: Path | None) -> Iterator[tuple[SQLStore, Vault]]:
    """The store and the keys, for what takes several transactions."""
    with answering(), opened(directory, database) as store:
        with store.transaction() as transaction:
            suite = Office(transaction, now()).hierarchy.key_suite
        # Asked for while nobody else is kept waiting for the database.
        passphrase = ca_passphrase(passphrase_file)
        with store.transaction() as transaction:
            vault = Vault.open(transaction, passphrase, suite)
        yield store, vault


def ca_passphrase(file: Path | None, *, new: bool = False) -> str:
    """The passphrase of the hierarchy: from a file, the environment, or the terminal (twice if it is new)."""
    return _passphrase(file, CA_PASSPHRASE, "Passphrase of the hierarchy", new)


def key_passphrase(file: Path | None, *, new: bool) -> str:
    """The passphrase of a party's key files, from the like places."""
    return _passphrase(file, KEY_PASSPHRASE, "Passphrase of the key files", new)


def _passphrase(file: Path | None, variable: str, prompt: str, new: bool) -> str:
    if file is not None:
        try:
            # The line's end belongs to the file; every other character to the passphrase.
            found = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UsageError(f"{file}: not text") from None
    elif variable in os.environ:
        found = os.environ[variable]
    elif terminal():
        found = typer.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True)
    else:
        raise UsageError(f"no passphrase: there is no terminal to ask, and ${variable} is not set")
    return acceptable(found) if new else found


class NewFiles:
    """Files that must not exist yet, and that vanish again if the block around them fails."""

    def __init__(self, directory: Path, names: list[str]) -> None:
        """UsageError if one of them exists, before anything is done."""
        for name in names:
            if (directory / name).exists():
                raise UsageError(f"{directory / name} exists already: nothing was done")
        self._directory = directory
        self._undo = ExitStack()

    def __enter__(self) -> NewFiles:
        self._directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._undo.pop_all()
        self._undo.close()

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Write one with its final mode from the start.  FileExistsError if somebody was quicker."""
        path = self._directory / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            self._undo.callback(path.unlink, missing_ok=True)
            file.write(data)


def meant(office: Office, what: str) -> Issued:
    """The certificate that is in the file ``what``, or else has it as serial number, in hexadecimal.

    UsageError if this hierarchy has not issued it.
    """
    if Path(what).is_file():
        der = blocks_in(Path(what))[0]
        issued = office.find(check_certificate(der).certificate.serial_number)
        if issued.checked.der != der:
            raise UsageError(f"{what} is not the certificate of this hierarchy with its serial number")
        return issued
    try:
        return office.find(int(what.replace(":", ""), 16))
    except ValueError:
        raise UsageError(f"{what!r} is no file, and no serial number in hexadecimal") from None


def moment(text: str | None) -> datetime:
    """A time as ISO 8601 writes it, in UTC if it names no zone; now for None.  UsageError for anything else."""
    if text is None:
        return now()
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: it is written like 2026-03-20T12:00") from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def last_second(day: str) -> datetime:
    """The end of a day in UTC.  UsageError if it is none."""
    try:
        read = date.fromisoformat(day)
    except ValueError:
        raise UsageError(f"{day!r} is no day: it is written like 2026-12-31") from None
    return datetime(read.year, read.month, read.day, 23, 59, 59, tzinfo=UTC)


def line(issued: Issued, at: datetime) -> str:
    """A certificate in one line."""
    checked = issued.checked
    return f"{issued.serial:X} {issued.state(at)}, until {checked.not_after:%Y-%m-%d}: {checked.printable}"


def say(certificate: bytes) -> None:
    """A certificate that was issued, in one line."""
    checked = check_certificate(certificate)
    serial = checked.certificate.serial_number
    typer.echo(f"issued: {serial:X}, until {checked.not_after:%Y-%m-%d}: {checked.printable}")


def fingerprint(certificate: bytes) -> str:
    """SHA-256 over a whole certificate, as ``openssl x509 -fingerprint -sha256`` shows it."""
    return hashlib.sha256(certificate).digest().hex(":").upper()
