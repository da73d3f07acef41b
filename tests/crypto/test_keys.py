"""Keys and suites: no signer, recipient or opener is made with a key that is not one of its suite.

A suite is fixed by the certificate, so a key of another one is a mistake of whoever configures, never of a peer; it
is found where the key is loaded, before anything is signed or sealed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x448

from pki import UnknownSuiteError
from setproto.crypto.cms import Recipient, RecipientKey, Signer, seal, unseal, verify
from setproto.crypto.suites import suite
from setproto.errors import UnknownSuite
from tests.crypto import material
from tests.crypto.material import ORDER, SUITES, Party, Trusted, party

KEYS = {f"{name} {use} key": (name, use) for name in SUITES for use in ("signature", "exchange")}
"""Every key there is: two for each suite."""


def key_of(name: str) -> tuple[Any, bytes]:
    """(private key, certificate)."""
    owner, use = party(KEYS[name][0]), KEYS[name][1]
    if use == "signature":
        return owner.signing_key, owner.certificate
    return owner.exchange_key, owner.exchange_certificate


KIND_OF_KEY = {
    "p256 signature key": "EC",
    "p256 exchange key": "EC",
    "rsa3072 signature key": "RSA",
    "rsa3072 exchange key": "RSA",
    "ed25519 signature key": "Ed25519",
    "ed25519 exchange key": "X25519",
    "mldsa65 signature key": "ML-DSA",
    "mldsa65 exchange key": "ML-KEM",
}


def pairs(use: str) -> list[tuple[str, str]]:
    """Every key with every suite that has keys of another type for this use."""
    return [(key, name) for name in SUITES for key in KEYS if KIND_OF_KEY[key] != KIND_OF_KEY[f"{name} {use} key"]]


def test_no_pair_is_left_out() -> None:
    assert set(KIND_OF_KEY) == set(KEYS)
    # A key fits its own use; a P-256 or RSA key fits both.
    assert len(pairs("signature")) == len(pairs("exchange")) == 8 * 4 - (2 + 2 + 1 + 1)
    for use in ("signature", "exchange"):
        assert {(a, b) for a in SUITES for b in SUITES if a != b} <= {(KEYS[k][0], name) for k, name in pairs(use)}
    types = {(KIND_OF_KEY[name], type(key_of(name)[0])) for name in KEYS}
    assert len(types) == len(set(KIND_OF_KEY.values())) == 6


def named(use: str) -> Any:
    return pytest.mark.parametrize(("key", "name"), pairs(use), ids=[f"{key} for {name}" for key, name in pairs(use)])


@named("signature")
def test_a_signer_takes_no_key_of_another_suite(key: str, name: str) -> None:
    private_key, certificate = key_of(key)
    with pytest.raises(ValueError, match=f"not a signature key of suite {name}"):
        Signer(private_key, certificate, suite(name))


@named("exchange")
def test_an_opener_takes_no_key_of_another_suite(key: str, name: str) -> None:
    private_key, certificate = key_of(key)
    with pytest.raises(ValueError, match=f"not a key-exchange key of suite {name}"):
        RecipientKey(private_key, certificate, name)


@named("exchange")
def test_a_recipient_has_no_key_of_another_suite(key: str, name: str) -> None:
    private_key, certificate = key_of(key)
    with pytest.raises(ValueError, match=f"not a key-exchange key of suite {name}"):
        Recipient(Trusted(certificate, name, private_key.public_key()))


# --- the right sort of key, but not one of the suite ------------------------------------------------

ODD: dict[str, tuple[str, Callable[[], Any]]] = {
    "P-384": ("p256", lambda: ec.generate_private_key(ec.SECP384R1())),
    "P-521": ("p256", lambda: ec.generate_private_key(ec.SECP521R1())),
    "secp256k1": ("p256", lambda: ec.generate_private_key(ec.SECP256K1())),
    "RSA of 2048 bits": ("rsa3072", lambda: rsa.generate_private_key(65537, 2048)),
    "RSA with exponent 3": ("rsa3072", lambda: rsa.generate_private_key(3, 3072)),
    "Ed448": ("ed25519", ed448.Ed448PrivateKey.generate),
    "X448": ("ed25519", x448.X448PrivateKey.generate),
}


@cache
def odd_key(which: str) -> tuple[Any, bytes]:
    key = ODD[which][1]()
    return key, material.make_certificate(key.public_key(), party("p256").signing_key, name=which)


@pytest.mark.parametrize("which", ODD)
def test_a_key_of_another_curve_size_or_exponent_is_refused(which: str) -> None:
    (key, certificate), name = odd_key(which), ODD[which][0]
    with pytest.raises(ValueError, match=f"not a signature key of suite {name}"):
        Signer(key, certificate, suite(name))
    with pytest.raises(ValueError, match=f"not a key-exchange key of suite {name}"):
        RecipientKey(key, certificate, name)
    with pytest.raises(ValueError, match=f"not a key-exchange key of suite {name}"):
        Recipient(Trusted(certificate, name, key.public_key()))


# --- what is right ---------------------------------------------------------------------------------


def test_the_keys_of_a_suite_are_taken(who: Party) -> None:
    data = Signer(who.signing_key, who.certificate, suite(who.suite)).sign(b"x", ORDER)
    assert verify(data, content_type=ORDER, certify=who.certify).content == b"x"
    recipient = Recipient(who.trusted_exchange)
    opener = RecipientKey(who.exchange_key, who.exchange_certificate, who.suite)
    assert (opener.suite, opener.certificate) == (who.suite, who.exchange_certificate)
    assert recipient.identifier == opener.identifier
    assert unseal(seal(b"x", recipient, context=b"C"), opener, context=b"C").content == b"x"


@pytest.mark.parametrize("name", ["p256", "rsa3072"])
def test_the_use_of_a_key_is_what_the_certificate_says_where_one_type_serves_both(name: str) -> None:
    """P-256 and RSA keys sign and exchange: only pki, which reads keyUsage, tells these certificates apart."""
    who = party(name)
    assert Recipient(Trusted(who.certificate, name, who.signing_key.public_key()))
    assert Signer(who.exchange_key, who.exchange_certificate, suite(name))


@pytest.mark.parametrize("wrong", ["public key", "none", "octets"])
def test_a_recipient_has_a_public_key(who: Party, wrong: str) -> None:
    key = {"public key": who.exchange_key, "none": None, "octets": b"key"}[wrong]
    with pytest.raises(ValueError, match="not a key-exchange key"):
        Recipient(dataclasses.replace(who.trusted_exchange, public_key=key))


def test_a_suite_made_elsewhere_is_not_on_the_allow_list(alice: Party) -> None:
    """There is no way to smuggle one in as an object either."""
    for name in ("p384", "", "P256"):
        with pytest.raises(UnknownSuiteError):
            Signer(alice.signing_key, alice.certificate, dataclasses.replace(suite("p256"), name=name))
    assert issubclass(UnknownSuiteError, ValueError)
    assert not issubclass(UnknownSuite, ValueError)
