"""Keys under a passphrase."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from pki import SUITES
from pki.der import decode, encode
from setproto.ca import vault
from setproto.ca.vault import MIN_PASSPHRASE, SCRYPT_N, Vault, WrongPassphrase
from setproto.errors import UsageError
from setproto.roles.ports import Store
from setproto.store import MemoryStore
from tests.ca.conftest import PASSPHRASE, QUICK

P256 = SUITES["p256"]
OPENSSL = shutil.which("openssl")


@pytest.fixture
def empty() -> MemoryStore:
    return MemoryStore()


def created(store: Store, n: int = QUICK) -> Vault:
    with store.transaction() as transaction:
        return Vault.create(transaction, PASSPHRASE, P256, os.urandom, n=n)


def opened(store: Store, passphrase: str = PASSPHRASE) -> Vault:
    with store.transaction() as transaction:
        return Vault.open(transaction, passphrase, P256)


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_keys_come_back(empty: MemoryStore, suite: str) -> None:
    created(empty)
    with empty.transaction() as transaction:
        mine = Vault.open(transaction, PASSPHRASE, SUITES[suite])
        again = Vault.open(transaction, PASSPHRASE, SUITES[suite])
    signature, exchange = SUITES[suite].generate_signature_key(), SUITES[suite].generate_exchange_key()
    assert again.signature_key(mine.seal(signature)).public_key() == signature.public_key()
    assert again.exchange_key(mine.seal(exchange)).public_key() == exchange.public_key()


@pytest.mark.parametrize("wrong", ["", PASSPHRASE + " ", PASSPHRASE.upper(), PASSPHRASE[:-1]])
def test_a_wrong_passphrase_is_refused_before_anything_is_opened(empty: MemoryStore, wrong: str) -> None:
    created(empty)
    with pytest.raises(WrongPassphrase, match="the passphrase is wrong"):
        opened(empty, wrong)


def test_a_new_passphrase_is_long_enough(empty: MemoryStore) -> None:
    with empty.transaction() as transaction:
        with pytest.raises(UsageError, match="at least 15 characters"):
            Vault.create(transaction, "x" * (MIN_PASSPHRASE - 1), P256, os.urandom, n=QUICK)
        Vault.create(transaction, "x" * MIN_PASSPHRASE, P256, os.urandom, n=QUICK)


def test_nothing_to_open(empty: MemoryStore) -> None:
    with pytest.raises(UsageError, match="no keys here"):
        opened(empty)


def test_the_cost_of_a_guess_is_that_of_the_source(empty: MemoryStore) -> None:
    created(empty, SCRYPT_N)
    assert SCRYPT_N == 1 << 17
    with empty.transaction() as transaction:
        assert decode(vault._Lock, transaction.get("vault", b"scrypt") or b"").n == SCRYPT_N
    assert opened(empty)


@pytest.mark.parametrize("n", [0, 1, 3, SCRYPT_N * 2, 1 << 60])
def test_a_cost_that_somebody_else_wrote_is_refused(empty: MemoryStore, n: int) -> None:
    created(empty)
    with empty.transaction() as transaction:
        lock = decode(vault._Lock, transaction.get("vault", b"scrypt") or b"")
        transaction.put("vault", b"scrypt", encode(vault._Lock(salt=lock.salt, n=n, check=lock.check)))
    with pytest.raises(UsageError, match="damaged"):
        opened(empty)


def test_a_damaged_key_is_no_key(empty: MemoryStore) -> None:
    mine = created(empty)
    key = P256.generate_signature_key()
    pem = mine.seal(key)
    damaged = pem.replace(pem[100:104], b"AAAA")
    assert damaged != pem
    for reader in (mine.signature_key, mine.exchange_key):
        with pytest.raises(UsageError, match="damaged"):
            reader(damaged)


def test_it_shows_nothing(empty: MemoryStore) -> None:
    mine = created(empty)
    assert "redacted" in repr(mine)
    assert mine._secret.decode() not in repr(mine)
    assert all(PASSPHRASE.encode() not in value and mine._secret not in value for value in empty.dump().values())


def test_two_hierarchies_with_one_passphrase_have_different_secrets() -> None:
    assert created(MemoryStore())._secret != created(MemoryStore())._secret


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
def test_openssl_opens_a_key_as_the_documentation_says(empty: MemoryStore) -> None:
    """docs/ca.md: what encrypts the keys can be had without this program."""
    mine = created(empty)
    with empty.transaction() as transaction:
        lock = decode(vault._Lock, transaction.get("vault", b"scrypt") or b"")
    options = [f"pass:{PASSPHRASE}", f"hexsalt:{lock.salt.hex()}", f"n:{lock.n}", "r:8", "p:1"]
    arguments = [argument for option in options for argument in ("-kdfopt", option)]
    done = subprocess.run([str(OPENSSL), "kdf", "-keylen", "32", *arguments, "SCRYPT"], capture_output=True, check=True)
    secret = bytes.fromhex(done.stdout.decode().strip().replace(":", ""))
    assert Vault(secret, P256)._secret == mine._secret
