"""The allow-list of suites: what is not on it does not exist."""

from __future__ import annotations

import pytest

from setproto.crypto.suites import SUITES, deterministic, suite
from setproto.errors import SignatureFailure, UnknownSuite, UsageError
from tests.crypto import material
from tests.crypto.material import Party, party


def test_there_are_exactly_four_suites() -> None:
    assert tuple(SUITES) == material.SUITES == ("p256", "rsa3072", "ed25519", "mldsa65")
    assert [SUITES[name].name for name in SUITES] == list(SUITES)


@pytest.mark.parametrize(
    "name",
    ["", "P256", "p256 ", "rsa2048", "sha1", "des", "p384", "p256\0"],
    ids=["empty", "P256", "p256 and a space", "rsa2048", "sha1", "des", "p384", "p256 and NUL"],
)
def test_an_unknown_suite_is_refused_and_never_replaced_by_a_default(name: str) -> None:
    with pytest.raises(UnknownSuite) as caught:
        suite(name)
    assert isinstance(caught.value, UsageError)
    assert caught.value.__suppress_context__


def test_a_long_unknown_name_is_cut_in_the_error() -> None:
    with pytest.raises(UnknownSuite) as caught:
        suite("x" * 10_000)
    assert len(str(caught.value)) < 100


def test_a_suite_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        suite("p256").name = "p384"  # type: ignore[misc]


def test_the_digest_is_the_one_of_the_rfc() -> None:
    assert {name: len(SUITES[name].digest(b"")) for name in SUITES} == {
        "p256": 32,
        "rsa3072": 32,
        "ed25519": 64,  # RFC 8419 §3
        "mldsa65": 64,  # RFC 9882 §3.3
    }


def test_a_signature_holds_for_its_data_and_key_only(who: Party) -> None:
    chosen = suite(who.suite)
    signature = chosen.sign(who.signing_key, b"data")
    public_key = who.signing_key.public_key()
    chosen.verify(public_key, signature, b"data")
    stranger = party(who.suite, 1).signing_key.public_key()
    for key, octets, data in (
        (public_key, signature, b"date"),
        (public_key, signature[:-1] + bytes([signature[-1] ^ 1]), b"data"),
        (public_key, signature[:-1], b"data"),
        (public_key, signature + b"\0", b"data"),
        (public_key, b"", b"data"),
        (stranger, signature, b"data"),
    ):
        with pytest.raises(SignatureFailure) as caught:
            chosen.verify(key, octets, data)
        assert str(caught.value) == "signatureFailure: signature does not verify"
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("other", material.SUITES)
def test_a_key_of_another_suite_verifies_nothing(who: Party, other: str) -> None:
    if other == who.suite:
        return
    signature = suite(other).sign(party(other).signing_key, b"data")
    with pytest.raises(SignatureFailure):
        suite(other).verify(who.signing_key.public_key(), signature, b"data")
    with pytest.raises(SignatureFailure):
        suite(other).verify(party(other, 0).exchange_key, signature, b"data")  # not even a public key


def test_deterministic_signatures_are_for_vectors() -> None:
    key = party("p256").signing_key
    chosen = deterministic(suite("p256"))
    assert chosen.sign(key, b"data") == chosen.sign(key, b"data")
    assert chosen.sign(key, b"data") != chosen.sign(key, b"date")
    assert suite("p256").sign(key, b"data") != suite("p256").sign(key, b"data")
    suite("p256").verify(key.public_key(), chosen.sign(key, b"data"), b"data")
    assert chosen.name == "p256"


@pytest.mark.parametrize("name", ["rsa3072", "ed25519", "mldsa65"])
def test_deterministic_leaves_the_other_suites_alone(name: str) -> None:
    assert deterministic(suite(name)) is suite(name)
