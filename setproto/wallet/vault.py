"""The one file in which a wallet keeps everything, locked under a passphrase.

::

    MAGIC | length of the header (2 octets) | header (DER) | two heads | record | record | …

The *header* says in the clear how the file is locked: format, cipher, what a key from the passphrase costs, and the
salt; and it holds the master key, 32 random octets locked under the key from the passphrase with all the rest of the
header as context.  So another passphrase means another header and nothing else, and an altered header does not open.

A *record* is what one commit changed, locked under the master key and, by a chain of hashes, bound to all records
before it.  A commit appends one record and waits until it is on the disk: that is all, however much the
wallet holds.  A *head*, locked too, says how many records there are and how the last of them hashes; commits write the
two heads in turn.  When the log has grown to many times what it says, the file is written anew.

A process can be killed, and a machine lose its power, at any moment.  What has been committed stays; of a commit that
was under way all is there afterwards, or nothing.  A record is written before the head that counts it, so:

* fewer records than a head counts, or one of those that does not open: the file is damaged, and says so.  Every
  truncation of a file at rest is noticed, and every change of it either noticed or without any effect.
* whole records after those that are counted were committed, and count;
* anything else after them was being written when the end came.  It was never committed, and is cut off;
* one head alone may be torn, if there are records that the other does not count.

What cannot be noticed from the file alone: that it is, whole, an older copy of itself; and, which is the same for one
commit, that the last record *and* the last head were cut off in one another's company, because a loss of power leaves
just that.  Somebody who can write the file can therefore take the wallet back in time, but not make it pay twice: every
payment carries an XID of the merchant's choice, and an order is paid once (PU-15).

Replacement is atomic: the new file is written beside the old one, on the disk, before it takes its name.  The old one's
blocks are given back to the file system, which may keep them for a while; so may backups.  Whoever changes the
passphrase because somebody knows it should change the encryption too, which makes a new master key.

What is said of a file that does not open: without the passphrase, only whether the header is one (everybody who has the
file can see that) and that passphrase and header do not fit, whichever of them is wrong.  That something *behind* the
header is damaged is said only to those who have the passphrase.

Python cannot wipe memory: while a wallet is open its contents are in the memory of the process, until that ends.

Sources: money.md section 6; ``setproto.crypto.locked`` for the algorithms.
"""

from __future__ import annotations

import os
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pki.der import DecodingFailure, decode, encode, sequence
from setproto.card import Secret
from setproto.crypto.digests import DIGEST_SIZE, digest
from setproto.crypto.locked import (
    CIPHERS,
    KEY_SIZE,
    LEAST,
    OVERHEAD,
    RECOMMENDED,
    SALT_SIZE,
    Cost,
    acceptable,
    lock,
    unlock,
)
from setproto.errors import DecryptionFailure, UsageError
from setproto.store import MemoryStore

__all__ = ["DEFAULT_CIPHER", "Damaged", "InUse", "NotOpened", "Passphrase", "Shut", "Vault", "shut"]

MAGIC: Final = b"setproto wallet\n"
FORMAT: Final = 1
DEFAULT_CIPHER: Final = "aes-256-gcm"
_MAX_HEADER: Final = 1024
_LENGTH: Final = 4
"""Octets of the length in front of each record."""
_HEAD: Final = struct.Struct(f">Q{DIGEST_SIZE}s")
_HEAD_SIZE: Final = _HEAD.size + OVERHEAD
_HEAD_CONTEXTS: Final = tuple(digest("WalletHead", bytes([which])) for which in range(2))
_MAX_RECORD: Final = 1 << 24
"""Octets of one record at most: sixteen times what a message may have."""
_PORTION: Final = 1 << 18
"""About so many octets go into each record of a file that is written anew."""
_SLACK: Final = 1 << 20
"""Octets by which the log may always outgrow its contents before the file is written anew."""


class NotOpened(UsageError):
    """The passphrase is wrong, or the header was altered: without the passphrase nobody can tell which."""

    def __init__(self) -> None:
        super().__init__("the wallet does not open: the passphrase is wrong, or the beginning of the file is damaged")


class Damaged(UsageError):
    """This is no wallet, or not as it was written."""


class InUse(UsageError):
    """Another process has the wallet open."""


class Passphrase(Secret):
    """What opens a wallet.  Written in Unicode's form NFC, so that it is the same from every keyboard.  Redacted."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__(unicodedata.normalize("NFC", text))

    @classmethod
    def new(cls, text: str) -> Passphrase:
        """One that is being chosen.  UsageError if it is too short."""
        return cls(acceptable(unicodedata.normalize("NFC", text)))

    def reveal(self) -> bytes:
        """The octets: for the derivation of the key, and nothing else."""
        return self._value


class Shut(UsageError):
    """The wallet refuses to open until it is released with the passphrase."""


@sequence
class Profile:
    """How a file is locked."""

    format: int
    cipher: str
    memory: int
    passes: int
    lanes: int
    salt: bytes

    @classmethod
    def fresh(cls, cipher: str, cost: Cost, least: Cost) -> Profile:
        """With a new salt.  UsageError if the cipher is not known, or a guess would be too cheap."""
        if cipher not in CIPHERS:
            raise UsageError(f"no such cipher: {cipher[:40]!r}; there are {', '.join(CIPHERS)}")
        salt = os.urandom(SALT_SIZE)
        made = cls(format=FORMAT, cipher=cipher, memory=cost.memory, passes=cost.passes, lanes=cost.lanes, salt=salt)
        made.require(least)
        return made

    @property
    def cost(self) -> Cost:
        """What a guess costs.  UsageError outside the limits of ``Cost``."""
        return Cost(self.memory, self.passes, self.lanes)

    def require(self, least: Cost) -> None:
        """UsageError if a guess costs less than ``least``: such a file is neither made nor opened."""
        if not self.cost.covers(least):
            raise UsageError(f"a guess at the passphrase would cost too little: at least {least} are needed")

    def locked(self, passphrase: Passphrase, master_key: bytes) -> Header:
        """The header with the master key under the passphrase."""
        key = self.cost.derive(passphrase.reveal(), self.salt)
        return Header(profile=self, master_key=lock(self.cipher, key, master_key, MAGIC + encode(self)))


@sequence
class Header:
    """What stands in the clear."""

    profile: Profile
    master_key: bytes
    """Locked under the key from the passphrase."""

    def unlocked(self, passphrase: Passphrase) -> bytes:
        """The master key.  NotOpened if passphrase and header do not fit."""
        profile = self.profile
        key = profile.cost.derive(passphrase.reveal(), profile.salt)
        try:
            return unlock(profile.cipher, key, self.master_key, MAGIC + encode(profile))
        except DecryptionFailure:
            raise NotOpened from None

    def octets(self) -> bytes:
        """The beginning of the file."""
        encoded = encode(self)
        return MAGIC + len(encoded).to_bytes(2, "big") + encoded

    @classmethod
    def read(cls, data: bytes) -> tuple[Header, int]:
        """The header of a file, and where it ends.  Damaged if there is none; UsageError if its cost is no cost."""
        start = len(MAGIC) + 2
        length = int.from_bytes(data[len(MAGIC) : start], "big")
        try:
            if not data.startswith(MAGIC):
                raise DecodingFailure
            header = decode(cls, data[start : start + length], limit=_MAX_HEADER)
        except DecodingFailure:
            raise Damaged("this is no wallet, or the beginning of the file is damaged") from None
        profile = header.profile
        if profile.format != FORMAT or profile.cipher not in CIPHERS or len(profile.salt) != SALT_SIZE:
            raise Damaged("the wallet was written by another version of this program, or its beginning is damaged")
        return header, start + length


@sequence
class Change:
    """One value that a commit put."""

    table: str
    key: bytes
    value: bytes


@sequence
class Changes:
    """One commit."""

    changes: list[Change]


Tables = Mapping[tuple[str, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a log stands: how many records, how the last of them hashes, how many octets they take."""

    count: int = 0
    chain: bytes = digest("WalletRecords")
    size: int = 0

    def after(self, locked: bytes) -> Position:
        """With one record more."""
        return Position(self.count + 1, digest("WalletRecord", self.chain, locked), self.size + _LENGTH + len(locked))


class Vault(MemoryStore):
    """A wallet's file, open: a ``Store`` whose commits are on the disk when they return.

    Nobody else can open the file before ``close``; so it is for one command, not for a day.
    """

    def __init__(self, path: Path, header: Header, master_key: bytes, turn: int) -> None:
        """``create`` and ``open`` make one.  ``turn``: a descriptor that holds everybody else off."""
        super().__init__()
        self._path = path
        self._header = header
        self._start = len(header.octets())
        """Where the header ends."""
        self._master_key = master_key
        self._turn = turn
        self._position = Position()
        self._contents = 0
        """Octets of all values."""
        self._stale = 0  # the head that is written next: never the one that is up to date
        self._torn = False  # whether that one could not be read
        self._file = -1

    def __repr__(self) -> str:
        return f"<Vault {self._path.name}, redacted>"

    # --- opening and closing ----------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: Passphrase,
        *,
        cipher: str = DEFAULT_CIPHER,
        cost: Cost = RECOMMENDED,
        least: Cost = LEAST,
    ) -> Vault:
        """A new one, empty.  UsageError if the file exists or ``cost`` is below ``least``, which only tests lower."""
        profile = Profile.fresh(cipher, cost, least)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as undo:
            turn = _take_turn(path)
            undo.callback(os.close, turn)
            if path.exists():
                raise UsageError(f"{path} exists already: nothing was done")
            master_key = os.urandom(KEY_SIZE)
            vault = cls(path, profile.locked(passphrase, master_key), master_key, turn)
            vault._rewrite({}, vault._header, master_key)
            undo.pop_all()
        return vault

    @classmethod
    def open(cls, path: Path, passphrase: Passphrase, *, release: bool = False, least: Cost = LEAST) -> Vault:
        """An existing one; ``release`` takes back ``shut``.

        InUse; Shut; Damaged; NotOpened; UsageError if there is none, others have access to it, or a guess at its
        passphrase costs less than ``least``, which only tests lower.
        """
        if not path.exists():
            raise UsageError(f"there is no wallet {path}: setproto wallet create makes one")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise UsageError(f"others have access to {path}: chmod go= {path}")
        with ExitStack() as undo:
            turn = _take_turn(path)
            undo.callback(os.close, turn)
            if os.fstat(turn).st_size and not release:
                raise Shut(f"{path} is locked: setproto wallet unlock, with the passphrase, opens it again")
            vault, body = cls._unlocked(path, path.read_bytes(), passphrase, turn, least)
            vault._load(body)
            vault._take_up()
            os.ftruncate(turn, 0)
            undo.pop_all()
        return vault

    @classmethod
    def restore(cls, source: Path, path: Path, passphrase: Passphrase, *, least: Cost = LEAST) -> None:
        """Put a backup in the place of a wallet that is not there; errors as for ``open``.

        UsageError if there is a wallet, or no backup.
        """
        if not source.is_file():
            raise UsageError(f"there is no backup {source}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as until:
            turn = _take_turn(path)
            until.callback(os.close, turn)
            if path.exists():
                raise UsageError(f"{path} exists already: nothing was done")
            data = source.read_bytes()
            vault, body = cls._unlocked(path, data, passphrase, turn, least)
            vault._load(body)
            os.close(_put(path, data))
            _sync_folder(path.parent)

    @classmethod
    def _unlocked(cls, path: Path, data: bytes, passphrase: Passphrase, turn: int, least: Cost) -> tuple[Vault, bytes]:
        """The file with its header open, and what comes after that."""
        header, start = Header.read(data)
        header.profile.require(least)
        return cls(path, header, header.unlocked(passphrase), turn), data[start:]

    def close(self) -> None:
        """Let go of the file; others may open it."""
        self._close_file()
        if self._turn >= 0:
            os.close(self._turn)
        self._turn = -1

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- how it is protected ----------------------------------------------------------------------

    @property
    def cipher(self) -> str:
        """The name of the cipher."""
        return self._header.profile.cipher

    @property
    def cost(self) -> Cost:
        """What one guess at the passphrase costs."""
        return self._header.profile.cost

    def copy_to(self, path: Path) -> None:
        """A copy of the file, under the same passphrase.  UsageError if there is a file of that name."""
        with self._lock:
            self._require_open()
            if path.exists():
                raise UsageError(f"{path} exists already: nothing was done")
            os.close(_put(path, os.pread(self._file, self._end, 0)))
            _sync_folder(path.parent)

    def change_passphrase(self, new: Passphrase) -> None:
        """Lock the same master key under another passphrase, with a new salt; all else stays as it is."""
        with self._lock:
            self._require_open()
            profile = replace(self._header.profile, salt=os.urandom(SALT_SIZE))
            body = os.pread(self._file, self._end - self._start, self._start)
            self._replace(profile.locked(new, self._master_key), body)

    def change_protection(
        self, passphrase: Passphrase, *, cipher: str | None = None, cost: Cost | None = None, least: Cost = LEAST
    ) -> None:
        """Lock everything anew: under a new master key, by this cipher, at this cost of a guess.

        NotOpened if ``passphrase`` is not the one that the file has.
        """
        with self._lock:
            self._require_open()
            self._header.unlocked(passphrase)
            profile = Profile.fresh(cipher or self.cipher, cost or self.cost, least)
            master_key = os.urandom(KEY_SIZE)
            self._rewrite(self._tables, profile.locked(passphrase, master_key), master_key)

    # --- reading ----------------------------------------------------------------------------------

    def _load(self, body: bytes) -> None:
        """Every record into memory.  Damaged, as the description of the module has it."""
        heads = [self._read_head(body, which) for which in range(2)]
        counted = [head for head in heads if head is not None]
        count, chain = max(counted, default=(0, b""))
        while (record := self._read_record(body)) is not None:
            if self._position.count == count and self._position.chain != chain:
                raise Damaged(f"the wallet is damaged: its {count} records are not those that were counted")
            self._tables.update({(change.table, change.key): change.value for change in record.changes})
        self._contents = sum(map(len, self._tables.values()))
        read = self._position.count
        if read < count:
            raise Damaged(f"the wallet is damaged: record {read + 1} of {count} is missing or was altered")
        if not counted or (len(counted) < 2 and read == count):
            raise Damaged("the wallet is damaged: what says where it ends was altered")
        self._torn = len(counted) < 2
        self._stale = 0 if heads[0] is None or (heads[1] is not None and heads[0] <= heads[1]) else 1

    def _take_up(self) -> None:
        """Write on from where the records end.  What is there may not be on the disk yet, and will be acted on."""
        with ExitStack() as undo:
            self._file = os.open(self._path, os.O_RDWR)
            undo.callback(self._close_file)
            os.ftruncate(self._file, self._end)
            if self._torn:
                self._write_head()
            os.fsync(self._file)
            undo.pop_all()

    def _read_head(self, body: bytes, which: int) -> tuple[int, bytes] | None:
        locked = body[which * _HEAD_SIZE : (which + 1) * _HEAD_SIZE]
        try:
            count, chain = _HEAD.unpack(unlock(self.cipher, self._master_key, locked, _HEAD_CONTEXTS[which]))
        except DecryptionFailure:
            return None
        return count, chain

    def _read_record(self, body: bytes) -> Changes | None:
        """The next one; None where there is none, or none that opens."""
        start = 2 * _HEAD_SIZE + self._position.size + _LENGTH
        length = int.from_bytes(body[start - _LENGTH : start], "big")
        locked = body[start : start + length]
        if len(locked) < length:
            return None
        try:
            content = unlock(self.cipher, self._master_key, locked, self._position.chain)
            record = decode(Changes, content, limit=_MAX_RECORD)
        except DecryptionFailure:
            return None
        except DecodingFailure:
            raise Damaged("the wallet was written by another version of this program") from None
        self._position = self._position.after(locked)
        return record

    # --- writing ----------------------------------------------------------------------------------

    def _keep(self, changes: dict[tuple[str, bytes], bytes]) -> None:
        """Append a record, on the disk before this returns.  OSError if that fails: then nothing was committed."""
        if not changes:
            return
        self._require_open()
        locked = _record(changes, self.cipher, self._master_key, self._position)
        try:
            _write(self._file, _framed(locked), self._end)
            os.fsync(self._file)
        except OSError:
            self._cut_off()
            raise
        self._position = self._position.after(locked)
        self._contents += sum(len(value) - len(self._tables.get(key, b"")) for key, value in changes.items())
        # The record is what counts.  That the head is late, or lost with the power, is no loss, and neither is it that
        # the file could not be written anew.
        with suppress(OSError):
            self._write_head()
            if self._position.size > _SLACK and self._position.size > 4 * self._contents:
                self._rewrite({**self._tables, **changes}, self._header, self._master_key)

    def _cut_off(self) -> None:
        """What there is of a write that failed must not be taken for a commit; if even that fails, nothing more is."""
        try:
            os.ftruncate(self._file, self._end)
            os.fsync(self._file)
        except OSError:
            self._close_file()

    def _require_open(self) -> None:
        if self._file < 0:
            raise UsageError("the wallet is closed")

    @property
    def _end(self) -> int:
        """Where the next record goes."""
        return self._start + 2 * _HEAD_SIZE + self._position.size

    def _write_head(self) -> None:
        head = _head(self._stale, self.cipher, self._master_key, self._position)
        _write(self._file, head, self._start + self._stale * _HEAD_SIZE)
        # Not before it is written: one that was torn by an error is written again, and the other one left alone.
        self._stale = 1 - self._stale

    def _rewrite(self, tables: Tables, header: Header, master_key: bytes) -> None:
        """A new file with these contents, in as few records as they need."""
        cipher, position, records = header.profile.cipher, Position(), bytearray()
        for changes in _portions(tables):
            locked = _record(changes, cipher, master_key, position)
            records += _framed(locked)
            position = position.after(locked)
        heads = b"".join(_head(which, cipher, master_key, position) for which in range(2))
        self._replace(header, heads + records)
        self._master_key, self._position = master_key, position

    def _replace(self, header: Header, body: bytes) -> None:
        """A file with this header and body in the place of the one there is.  OSError if that fails; if it is not
        known then which of them will be there after a loss of power, nothing more is written.
        """
        file = _put(self._path, header.octets() + body)
        self._close_file()
        self._header, self._start, self._file = header, len(header.octets()), file
        try:
            _sync_folder(self._path.parent)
        except OSError:
            self._close_file()
            raise


def _record(changes: Tables, cipher: str, master_key: bytes, position: Position) -> bytes:
    """One commit, locked.  UsageError if it is too large to be read again."""
    listed = [Change(table=table, key=key, value=value) for (table, key), value in changes.items()]
    content = encode(Changes(changes=listed))
    if len(content) > _MAX_RECORD:
        raise UsageError("too much for one commit")
    return lock(cipher, master_key, content, position.chain)


def _head(which: int, cipher: str, master_key: bytes, position: Position) -> bytes:
    return lock(cipher, master_key, _HEAD.pack(position.count, position.chain), _HEAD_CONTEXTS[which])


def shut(path: Path) -> None:
    """Let the wallet refuse everything until ``Vault.open`` is told to release it.  Takes no passphrase.  UsageError if
    there is none.

    It keeps programs that know the passphrase from paying, not somebody who can write this folder: a mark is in the
    file that tells whose turn it is.  There is no agent to be stopped: nothing keeps a wallet open between commands.
    """
    if not path.exists():
        raise UsageError(f"there is no wallet {path}")
    turn = os.open(_turn_of(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _write(turn, b"locked\n", 0)
    finally:
        os.close(turn)


def _turn_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _take_turn(path: Path) -> int:
    """A descriptor that nobody else has while this process lives and keeps it open.  InUse if somebody has."""
    import fcntl  # POSIX has it, and only there are there wallets

    turn = os.open(_turn_of(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(turn)
        raise InUse(f"{path} is in use by another command") from None
    return turn


def _put(path: Path, data: bytes) -> int:
    """A file with these contents, on the disk before it takes its name; its descriptor."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with ExitStack() as undo:
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        undo.callback(beside.unlink, missing_ok=True)
        undo.callback(os.close, file)
        _write(file, data, 0)
        os.fsync(file)
        os.replace(beside, path)
        undo.pop_all()
    return file


def _sync_folder(folder: Path) -> None:
    """A new name in a folder is on the disk when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: int, data: bytes, at: int) -> None:
    """All of it: the system may take less at a time."""
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


def _framed(locked: bytes) -> bytes:
    return len(locked).to_bytes(_LENGTH, "big") + locked


def _portions(tables: Tables) -> Iterator[dict[tuple[str, bytes], bytes]]:
    """Everything, in portions of about ``_PORTION`` octets."""
    portion: dict[tuple[str, bytes], bytes] = {}
    size = 0
    for key, value in tables.items():
        portion[key] = value
        size += len(value)
        if size > _PORTION:
            yield portion
            portion, size = {}, 0
    if portion:
        yield portion
