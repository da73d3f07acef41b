"""Private keys at rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pki import BrandTree, KeyStoreError, key_suite
from pki.keystore import (
    dump_private_key,
    dump_unencrypted_for_tests,
    load_exchange_key,
    load_signature_key,
    load_unencrypted_for_tests,
    save_private_key,
)
from pki.profiles import Use
from pki.suites import public_key_der
from tests.pki.forging import key_of

PASSPHRASE = b"correct horse"


def test_what_is_saved_is_loaded(suite_tree: BrandTree, tmp_path: Path) -> None:
    suite, key = suite_tree.suite, key_of(suite_tree.cca)
    path = tmp_path / "cca.pem"
    save_private_key(path, key, PASSPHRASE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    loaded = load_signature_key(path.read_bytes(), PASSPHRASE, suite)
    assert public_key_der(loaded.public_key()) == public_key_der(key.public_key())
    with pytest.raises(FileExistsError):
        save_private_key(path, key, PASSPHRASE)


def test_exchange_keys_are_another_sort(suite_tree: BrandTree) -> None:
    exchange = suite_tree.issue_gateway("GW").exchange_key
    assert exchange is not None
    pem = dump_private_key(exchange, PASSPHRASE)
    loaded = load_exchange_key(pem, PASSPHRASE, suite_tree.suite)
    assert public_key_der(loaded.public_key()) == public_key_der(exchange.public_key())
    if suite_tree.suite.signature_key_oid != suite_tree.suite.exchange_key_oid:
        with pytest.raises(KeyStoreError, match="not a private key of suite"):
            load_signature_key(pem, PASSPHRASE, suite_tree.suite)


def test_a_key_of_another_suite_is_refused(tree: BrandTree) -> None:
    pem = dump_private_key(key_of(tree.cca), PASSPHRASE)
    with pytest.raises(KeyStoreError, match="not a private key of suite ed25519"):
        load_signature_key(pem, PASSPHRASE, key_suite("ed25519"))


def test_every_failure_to_open_looks_alike(tree: BrandTree) -> None:
    pem = dump_private_key(key_of(tree.cca), PASSPHRASE)
    clear = dump_unencrypted_for_tests(key_of(tree.cca))
    for data, passphrase in (
        (pem, b"wrong"),
        (pem, b""),
        (clear, PASSPHRASE),
        (b"junk", b"x"),
        (pem[:-90], PASSPHRASE),
    ):
        with pytest.raises(KeyStoreError, match="cannot be opened"):
            load_signature_key(data, passphrase, tree.suite)
    with pytest.raises(KeyStoreError, match="too large"):
        load_signature_key(bytes(1 << 20), PASSPHRASE, tree.suite)


def test_an_empty_passphrase_is_refused(tree: BrandTree) -> None:
    with pytest.raises(KeyStoreError, match="empty passphrase"):
        dump_private_key(key_of(tree.cca), b"")


def test_in_clear_only_by_name(tree: BrandTree) -> None:
    key = key_of(tree.cca)
    clear = dump_unencrypted_for_tests(key)
    assert load_pem_private_key(clear, None).public_key() == key.public_key()
    load_unencrypted_for_tests(clear, tree.suite, Use.SIGN)
    with pytest.raises(KeyStoreError):
        load_unencrypted_for_tests(dump_private_key(key, PASSPHRASE), tree.suite, Use.SIGN)
