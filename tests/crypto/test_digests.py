"""Typed digests: the label and the framing are part of what is hashed."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from setproto.crypto.digests import DIGEST_SIZE, derive_key, digest, equal, mac

KEY = bytes(range(32))


def framed(label: bytes, *parts: bytes) -> bytes:
    """SEQUENCE { UTF8String, OCTET STRING … } for short parts, written out."""
    body = bytes([0x0C, len(label)]) + label + b"".join(bytes([0x04, len(part)]) + part for part in parts)
    return bytes([0x30, len(body)]) + body


def test_a_digest_is_sha256_of_the_framed_parts() -> None:
    assert digest("HOD", b"a", b"bc") == hashlib.sha256(framed(b"setproto/2 HOD", b"a", b"bc")).digest()
    assert len(digest("HOD")) == DIGEST_SIZE == 32


def test_a_mac_is_hmac_sha256_of_the_framed_parts() -> None:
    assert mac("M", KEY, b"a", b"bc") == hmac.digest(KEY, framed(b"setproto/2 M", b"a", b"bc"), "sha256")


def test_a_derived_key_is_hkdf_sha256_with_the_framed_context() -> None:
    extracted = hmac.digest(bytes(32), b"secret", "sha256")  # RFC 5869 §2.2, salt absent
    info = framed(b"setproto/2 K", b"ctx")
    first = hmac.digest(extracted, info + b"\x01", "sha256")  # §2.3
    second = hmac.digest(extracted, first + info + b"\x02", "sha256")
    assert derive_key("K", b"secret", b"ctx") == first
    assert derive_key("K", b"secret", b"ctx", size=48) == (first + second)[:48]


FUNCTIONS = {
    "digest": lambda label, *parts: digest(label, *parts),
    "mac": lambda label, *parts: mac(label, KEY, *parts),
    "derive_key": lambda label, *parts: derive_key(label, KEY, *parts),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_parts_under_another_label_give_another_value(name: str) -> None:
    function = FUNCTIONS[name]
    assert function("OIData", b"x") == function("OIData", b"x")
    values = [function(label, b"x") for label in ("OIData", "PIData", "OIDatax", "OIDat", "")]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_do_not_run_into_each_other(name: str) -> None:
    function = FUNCTIONS[name]
    values = [
        function("t", *parts)
        for parts in (
            (b"a", b"bc"),
            (b"ab", b"c"),
            (b"abc",),
            (b"abc", b""),
            (b"", b"abc"),
            (b"bc", b"a"),
            (b"\x04\x01a\x04\x02bc",),
            (b"",),
            (),
        )
    ]
    assert len(set(values)) == len(values)


def test_label_and_first_part_do_not_run_into_each_other() -> None:
    assert digest("ab", b"c") != digest("a", b"bc")
    assert digest("a\x04\x01c") != digest("a", b"c")


def test_long_parts_are_framed_too() -> None:
    values = [digest("t", bytes(127), bytes(129)), digest("t", bytes(128), bytes(128)), digest("t", bytes(256))]
    assert len(set(values)) == 3


def test_a_mac_needs_its_key() -> None:
    assert mac("t", KEY, b"x") != mac("t", KEY[::-1], b"x")
    mac("t", bytes(16), b"x")
    for short in (b"", bytes(15)):
        with pytest.raises(ValueError, match="at least 16 octets"):
            mac("t", short, b"x")


def test_a_derived_key_depends_on_the_secret_and_its_context() -> None:
    values = [derive_key("t", s, *c) for s, c in ((b"s", ()), (b"S", ()), (b"s", (b"",)), (b"s", (b"c",)))]
    assert len(set(values)) == len(values)


def test_equal_compares_whole_values() -> None:
    assert equal(b"same", b"same")
    assert not equal(b"same", b"sane")
    assert not equal(b"same", b"same\0")
    assert not equal(b"", b"x")
