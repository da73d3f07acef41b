"""The wallet's file: what it keeps, what it notices, what it survives."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setproto.crypto.locked import CIPHERS, LEAST, RECOMMENDED, Cost, lock, unlock
from setproto.errors import DecryptionFailure, SetError, UsageError
from setproto.wallet import vault as vaults
from setproto.wallet.vault import Damaged, Header, InUse, NotOpened, Passphrase, Shut, Vault, shut
from tests.wallet.killing import Killed, killed_at
from tests.wallet.world import PASSPHRASE, QUICK, create, reopen

OTHER = Passphrase("another passphrase, as long")


def put(vault: Vault, key: bytes, value: bytes, table: str = "t") -> None:
    with vault.transaction() as transaction:
        transaction.put(table, key, value)


def contents(path: Path, passphrase: Passphrase = PASSPHRASE) -> dict[tuple[str, bytes], bytes]:
    with reopen(path, passphrase) as vault:
        return vault.dump()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A wallet with three commits in it."""
    path = tmp_path / "wallet"
    with create(path) as vault:
        for number in range(3):
            put(vault, bytes([number]), b"value %d" % number)
    return path


def test_what_was_committed_is_there_again(path: Path) -> None:
    assert contents(path) == {("t", bytes([number])): b"value %d" % number for number in range(3)}


def test_what_was_not_committed_is_not(path: Path) -> None:
    with reopen(path) as vault:
        with pytest.raises(RuntimeError), vault.transaction() as transaction:  # noqa: PT012 all of it fails
            transaction.put("t", b"\0", b"never")
            raise RuntimeError
        with vault.transaction() as transaction:
            assert transaction.get("t", b"\0") == b"value 0"
    assert contents(path)["t", b"\0"] == b"value 0"


@pytest.mark.parametrize("cipher", CIPHERS)
def test_both_ciphers(tmp_path: Path, cipher: str) -> None:
    with create(tmp_path / "wallet", cipher=cipher) as vault:
        put(vault, b"k", b"v")
        assert vault.cipher == cipher
    assert contents(tmp_path / "wallet") == {("t", b"k"): b"v"}


def test_nobody_else_may_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others have access"):
        reopen(path)


def test_a_wallet_is_never_written_over(path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        create(path)
    with reopen(path) as vault, pytest.raises(UsageError, match="exists already"):
        vault.copy_to(path)
    assert len(contents(path)) == 3


# --- the passphrase -------------------------------------------------------------------------------


def test_another_passphrase_does_not_open_it(path: Path) -> None:
    with pytest.raises(NotOpened):
        reopen(path, OTHER)
    assert len(contents(path)) == 3, "and nobody keeps it open"


def test_a_passphrase_is_the_same_from_every_keyboard(tmp_path: Path) -> None:
    with create(tmp_path / "wallet", Passphrase.new("gar\u00e7on et deux caf\u00e9s")):
        pass
    with reopen(tmp_path / "wallet", Passphrase("garc\u0327on et deux cafe\u0301s")):
        pass


def test_a_new_passphrase_is_long_enough() -> None:
    with pytest.raises(UsageError, match="at least 15"):
        Passphrase.new("x" * 14)
    Passphrase.new("x" * 15)


def test_a_new_passphrase_locks_the_same_octets(path: Path) -> None:
    with reopen(path) as vault:
        before = path.read_bytes()
        vault.change_passphrase(OTHER)
        after = path.read_bytes()
        put(vault, b"later", b"value")
    (old, start), (new, begin) = Header.read(before), Header.read(after)
    assert before[start:] == after[begin:]
    assert old.profile.salt != new.profile.salt
    assert len(contents(path, OTHER)) == 4
    with pytest.raises(NotOpened):
        reopen(path)


def test_a_new_encryption_leaves_nothing_of_the_old_one(path: Path) -> None:
    with reopen(path) as vault:
        before = path.read_bytes()
        vault.change_protection(PASSPHRASE, cipher="chacha20-poly1305", cost=replace(QUICK, passes=2), least=QUICK)
        put(vault, b"later", b"value")
        assert (vault.cipher, vault.cost.passes) == ("chacha20-poly1305", 2)
    after = path.read_bytes()
    assert not any(before[start : start + 16] in after for start in range(200, len(before) - 16))
    assert len(contents(path)) == 4


def test_protection_is_changed_only_by_who_knows_the_passphrase(path: Path) -> None:
    with reopen(path) as vault, pytest.raises(NotOpened):
        vault.change_protection(OTHER, cipher="chacha20-poly1305", least=QUICK)
    assert len(contents(path)) == 3


def test_the_least_cost_is_that_of_owasp(tmp_path: Path) -> None:
    assert RECOMMENDED.covers(LEAST)
    for cheap in (replace(LEAST, memory=LEAST.memory - 1, passes=3), replace(LEAST, passes=1)):
        with pytest.raises(UsageError, match="too little"):
            Vault.create(tmp_path / "wallet", PASSPHRASE, cost=cheap)
    assert not (tmp_path / "wallet").exists()


def test_a_file_that_makes_guessing_cheap_is_not_opened(path: Path) -> None:
    with pytest.raises(UsageError, match="too little"):
        Vault.open(path, PASSPHRASE)


@pytest.mark.parametrize(
    "cost", [{"memory": 1 << 40}, {"passes": 1 << 40}, {"lanes": 17}, {"memory": 0}, {"passes": 0}, {"lanes": 0}]
)
def test_a_file_cannot_ask_for_any_cost(path: Path, cost: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    header, start = Header.read(path.read_bytes())
    forged = replace(header, profile=replace(header.profile, **cost)).octets()
    path.write_bytes(forged + path.read_bytes()[start:])
    monkeypatch.setattr(Cost, "derive", lambda *_: pytest.fail("the cost is checked first"))
    with pytest.raises(UsageError, match="no cost of a key"):
        reopen(path)


def test_a_recommended_wallet() -> None:
    """The one test at full cost."""
    assert len(RECOMMENDED.derive(PASSPHRASE.reveal(), bytes(16))) == 32


# --- damage ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def octets(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("wallet") / "wallet"
    with create(path) as vault:
        for number in range(3):
            put(vault, bytes([number]), b"value %d" % number)
    return path.read_bytes()


def opened(folder: Path, data: bytes) -> dict[tuple[str, bytes], bytes] | type[SetError]:
    """What a wallet with these octets holds, or how it is refused."""
    path = folder / "wallet"
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        return contents(path)
    except SetError as refusal:
        return type(refusal)


def test_every_bit(octets: bytes, tmp_path: Path) -> None:
    """One bit of the file is flipped, whichever: an error, or no effect at all (in a head that is behind)."""
    whole = opened(tmp_path, octets)
    outcomes: dict[Any, int] = {}
    for place in range(len(octets)):
        data = octets[:place] + bytes([octets[place] ^ 1 << place % 8]) + octets[place + 1 :]
        got = opened(tmp_path, data)
        assert got == whole or got in (Damaged, NotOpened, UsageError), place
        outcomes["same" if got == whole else got] = outcomes.get("same" if got == whole else got, 0) + 1
    _, start = Header.read(octets)
    assert outcomes["same"] == vaults._HEAD_SIZE, "of the two heads, only one is needed"
    assert outcomes[Damaged] > len(octets) - start - 2 * vaults._HEAD_SIZE


@given(data=st.data())
def test_any_change(octets: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Some octets are replaced by others: never another plaintext."""
    start = data.draw(st.integers(0, len(octets) - 1))
    other = data.draw(st.binary(min_size=1, max_size=40))
    changed = octets[:start] + other + octets[start + len(other) :]
    folder = tmp_path_factory.mktemp("wallet")
    whole = opened(folder, octets)
    assert opened(folder, changed) in (whole, Damaged, NotOpened, UsageError)


def test_every_truncation_is_noticed(octets: bytes, tmp_path: Path) -> None:
    for length in range(len(octets)):
        assert opened(tmp_path, octets[:length]) in (Damaged, NotOpened, UsageError), length


@given(tail=st.binary(min_size=1, max_size=200))
def test_what_was_being_written_when_the_power_failed_is_cut_off(
    octets: bytes, tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("wallet")
    whole = opened(folder, octets)
    assert opened(folder, octets + tail) == whole
    assert (folder / "wallet").read_bytes() == octets


def test_records_of_another_time_do_not_fit(octets: bytes, tmp_path: Path) -> None:
    """Exchanged, left out, repeated, or from an earlier writing of the same wallet under the same key."""
    _, start = Header.read(octets)
    begin = start + 2 * vaults._HEAD_SIZE
    records, at = [], begin
    while at < len(octets):
        end = at + 4 + int.from_bytes(octets[at : at + 4], "big")
        records.append(octets[at:end])
        at = end
    first, second, third = records
    for wrong in ([second, first, third], [first, third], [first, first, second, third], [third]):
        assert opened(tmp_path, octets[:begin] + b"".join(wrong)) is Damaged
    (tmp_path / "wallet").write_bytes(octets)
    with reopen(tmp_path / "wallet") as vault:
        vault._rewrite(vault._tables, vault._header, vault._master_key)
    anew = (tmp_path / "wallet").read_bytes()
    assert opened(tmp_path, anew[:begin] + b"".join(records)) is Damaged
    assert opened(tmp_path, octets[:begin] + anew[begin:]) is Damaged


def test_going_back_is_noticed_unless_the_whole_file_does(path: Path) -> None:
    """What cannot be noticed is said in the description of the module; here it is seen."""
    older = path.read_bytes()
    with reopen(path) as vault:
        put(vault, b"later", b"value")
    newer = path.read_bytes()
    _, start = Header.read(older)
    begin = start + 2 * vaults._HEAD_SIZE
    assert opened(path.parent, newer[: len(older)]) is Damaged, "the last record is cut off"
    assert opened(path.parent, newer[:begin] + older[begin:]) is Damaged
    assert len(opened(path.parent, older)) == 3, "an older copy, whole"  # type: ignore[arg-type]


def test_a_file_of_a_later_program_is_not_touched(path: Path) -> None:
    header, start = Header.read(path.read_bytes())
    later = replace(header.profile, format=2).locked(PASSPHRASE, header.unlocked(PASSPHRASE))
    path.write_bytes(later.octets() + path.read_bytes()[start:])
    with pytest.raises(Damaged, match="another version"):
        reopen(path)


# --- the end may come at any moment ---------------------------------------------------------------


def work(vault: Vault, acknowledged: list[int]) -> None:
    for number in range(4):
        put(vault, b"counter", bytes([number]))
        acknowledged.append(number)
    vault.change_passphrase(OTHER)
    acknowledged.append(4)
    vault.change_protection(OTHER, cipher="chacha20-poly1305", least=QUICK)
    put(vault, b"counter", bytes([5]))
    acknowledged.append(5)


def test_killed_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the process ends, what was acknowledged is there, and at most one commit more."""
    for number in range(100):
        path = tmp_path / str(number) / "wallet"
        vault = create(path)
        acknowledged: list[int] = []
        with killed_at(number, monkeypatch) as count:
            with suppress(Killed):
                work(vault, acknowledged)
            done = count[0] <= number
        vault.close()
        last = acknowledged[-1] if acknowledged else -1
        try:
            found = contents(path)
            assert last < 4, "the passphrase was changed"
        except NotOpened:
            found = contents(path, OTHER)
            assert last >= 3
        counter = found.get(("t", b"counter"), b"\xff")[0]
        assert counter in {-1: (255, 0), 3: (3,), 4: (3, 5)}.get(last, (last, last + 1)), number
        assert not list(path.parent.glob("*.new")) or last >= 3
        if done:
            assert last == 5
            return
    pytest.fail("there is no end to it")


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call fails in its turn; the wallet that is open and the file both stay as they were."""
    failures = 0
    for number in range(12):
        path = tmp_path / str(number) / "wallet"
        with create(path) as vault:
            put(vault, b"before", b"value")
            with killed_at(number, monkeypatch, lambda: OSError(28, "No space left on device")):
                try:
                    put(vault, b"after", b"value")
                except OSError:
                    failures += 1
                    assert ("t", b"after") not in vault.dump()
            expected = set(vault.dump())
            if vault._file >= 0:
                put(vault, b"later", b"value")
                expected = set(vault.dump())
            else:
                with pytest.raises(UsageError, match="closed"):
                    put(vault, b"later", b"value")
        found = set(contents(path))
        # A record that could not be cut off may be whole: then it counts after all, and nothing came after it.
        assert found - {("t", b"after")} == expected - {("t", b"after")}
    assert failures == 2, "the record is written, and brought to the disk: what comes later may fail"


def test_a_rewrite_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    with reopen(path) as vault:
        for number in range(2):
            with killed_at(number, monkeypatch, lambda: OSError(28, "No space left on device")):
                with pytest.raises(OSError, match="No space"):
                    vault.change_passphrase(OTHER)
                with pytest.raises(OSError, match="No space"):
                    vault.change_protection(PASSPHRASE, cipher="chacha20-poly1305", least=QUICK)
            assert path.read_bytes() == before
        put(vault, b"later", b"value")
        assert vault.cipher == "aes-256-gcm"
    assert len(contents(path)) == 4
    assert {entry.name for entry in path.parent.iterdir()} == {"wallet", "wallet.lock"}


def test_a_head_torn_by_the_end_is_mended(path: Path) -> None:
    """A record is on the disk, and its head only half: again and again."""
    for number in range(4):
        with reopen(path) as vault:
            put(vault, b"later", bytes([number]))
        data = bytearray(path.read_bytes())
        _, start = Header.read(bytes(data))
        which = (number + 1) % 2
        place = start + which * vaults._HEAD_SIZE
        data[place : place + 10] = bytes(10)
        path.write_bytes(data)
        assert contents(path)["t", b"later"] == bytes([number])
        whole = path.read_bytes()
        assert opened(path.parent, whole[:-1]) is Damaged, "and counts again"
        path.write_bytes(whole)


def test_a_log_that_grows_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults, "_SLACK", 10_000)
    path = tmp_path / "wallet"
    with create(path) as vault:
        sizes = []
        for number in range(200):
            put(vault, b"same", os.urandom(500) + bytes([number]))
            sizes.append(path.stat().st_size)
        last = vault.dump()
        assert max(sizes) < 12_000
        assert any(after < before for before, after in pairwise(sizes))
    assert contents(path) == last


@settings(max_examples=25)
@given(
    commits=st.lists(
        st.dictionaries(st.tuples(st.sampled_from("ab"), st.binary(max_size=2)), st.binary(max_size=99), max_size=4),
        max_size=12,
    ),
    ends=st.sets(st.integers(0, 11)),
)
def test_a_vault_is_a_dictionary(
    commits: list[dict[tuple[str, bytes], bytes]], ends: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is put and however often it is closed, passphrases and ciphers changed: the same as in memory."""
    path = tmp_path_factory.mktemp("wallet") / "wallet"
    vault, model = create(path), {}
    for number, commit in enumerate(commits):
        with vault.transaction() as transaction:
            for (table, key), value in commit.items():
                transaction.put(table, key, value)
        model.update(commit)
        if number in ends:
            if number % 3 == 0:
                vault.change_protection(PASSPHRASE, cipher=list(CIPHERS)[number % 2], least=QUICK)
            vault.close()
            vault = reopen(path)
        assert vault.dump() == model
    vault.close()


# --- one at a time --------------------------------------------------------------------------------


def test_two_processes_take_turns(path: Path) -> None:
    """While one has the wallet open another is refused; a process that dies lets go."""
    program = (
        "import sys; from pathlib import Path; from tests.wallet.world import reopen;"
        f"vault = reopen(Path({str(path)!r})); print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(InUse, match="in use by another command"):
            reopen(path)
        process.kill()
    assert len(contents(path)) == 3


def test_the_same_process_takes_turns_too(path: Path) -> None:
    with reopen(path), pytest.raises(InUse):
        reopen(path)


def test_a_wallet_that_is_locked_opens_only_to_be_unlocked(path: Path) -> None:
    shut(path)
    with pytest.raises(Shut, match="setproto wallet unlock"):
        reopen(path)
    with pytest.raises(NotOpened):
        reopen(path, OTHER, release=True)
    with pytest.raises(Shut):
        reopen(path)
    with reopen(path, release=True):
        pass
    assert len(contents(path)) == 3


# --- secrecy --------------------------------------------------------------------------------------


def test_nothing_shows_the_passphrase_or_what_is_kept(path: Path) -> None:
    secret = b"4111111111111111"
    with reopen(path) as vault:
        put(vault, secret, secret, secret.decode())
        shown = [repr(vault), str(PASSPHRASE), f"{PASSPHRASE}", repr(PASSPHRASE)]
        for act in (lambda: reopen(path, OTHER), lambda: vault.change_protection(OTHER, least=QUICK)):
            with pytest.raises(SetError) as caught:
                act()
            shown.append("".join(traceback.format_exception(caught.value)))
    data = path.read_bytes()
    for hidden in (secret, PASSPHRASE.reveal(), vault._master_key):
        assert hidden not in data
        assert not any(hidden.hex() in text or repr(hidden)[2:-1] in text for text in shown)


def test_behind_the_header_the_file_looks_like_noise(tmp_path: Path) -> None:
    """All octets are about as frequent as in noise, though what is kept is all zeros; only lengths stand out."""
    path = tmp_path / "wallet"
    with create(path) as vault:
        put(vault, b"zeros", bytes(1 << 17))
    data = path.read_bytes()
    _, start = Header.read(data)
    body = data[start + 2 * vaults._HEAD_SIZE + 4 :]
    expected = len(body) / 256
    chi_squared = sum((body.count(octet) - expected) ** 2 / expected for octet in range(256))
    # 255 degrees of freedom: beyond 400 once in 10^8 runs.
    assert chi_squared < 400


def test_a_copy_opens_with_the_same_passphrase(path: Path, tmp_path: Path) -> None:
    with reopen(path) as vault:
        vault.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert contents(tmp_path / "copy") == contents(path)


def test_locked_octets_open_only_with_key_and_context() -> None:
    key, other = bytes(32), bytes(31) + b"\1"
    for cipher in CIPHERS:
        locked = lock(cipher, key, b"content", b"context")
        assert unlock(cipher, key, locked, b"context") == b"content"
        assert lock(cipher, key, b"content", b"context") != locked
        for wrong in ((other, locked, b"context"), (key, locked, b""), (key, locked[:-1], b"context"), (key, b"", b"")):
            with pytest.raises(DecryptionFailure):
                unlock(cipher, *wrong)
