"""The declaration of a hierarchy, and every way in which it may be wrong."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta

import pytest

from pki import PROFILES, SUITES, CertificateKind
from setproto.ca.config import EXAMPLE, Days, Hierarchy, Revocation, parse
from setproto.errors import UsageError

MINIMAL = """
suite = "p256"
country = "XX"
root = { name = "Root" }
[[brand]]
name = "Marque"
brand_ca = { name = "Brand CA" }
cardholder_ca = { name = "Cardholder CA" }
merchant_ca = { name = "Merchant CA" }
gateway_ca = { name = "Gateway CA" }
"""


def test_the_example_is_a_hierarchy() -> None:
    hierarchy = parse(EXAMPLE, "the example")
    assert [brand.name for brand in hierarchy.brand] == ["Marque"]
    assert list(hierarchy.brand[0].authorities) == [
        *("brand-ca", "geo-ca", "cardholder-ca", "merchant-ca", "gateway-ca"),
    ]


def test_what_the_example_comments_out_is_what_holds_without_it() -> None:
    uncommented = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE, flags=re.MULTILINE)
    declared, default = parse(uncommented, "the example"), parse(EXAMPLE, "the example")
    assert set(tomllib.loads(uncommented)["days"]) == set(Days.model_fields)
    assert set(tomllib.loads(uncommented)["revocation"]) == set(Revocation.model_fields)
    assert declared.revocation == default.revocation
    assert declared.days != default.days
    for kind in CertificateKind:
        assert declared.life(kind) == default.life(kind) == PROFILES[kind].validity, kind
    assert declared.start is not None


def test_lives_are_declared_in_days_and_those_of_exchange_keys_follow() -> None:
    hierarchy = parse(MINIMAL + "[days]\nmerchant = 100\nroot = 1000\n", "text")
    assert hierarchy.life(CertificateKind.ROOT) == timedelta(days=1000)
    assert hierarchy.life(CertificateKind.MERCHANT_SIGNATURE) == timedelta(days=100)
    assert hierarchy.life(CertificateKind.MERCHANT_EXCHANGE) == timedelta(days=50)
    assert hierarchy.life(CertificateKind.GATEWAY_SIGNATURE) == timedelta(days=730)


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_every_suite_can_be_declared(suite: str) -> None:
    assert parse(MINIMAL.replace("p256", suite), "text").key_suite is SUITES[suite]


def test_a_start_is_kept_in_utc() -> None:
    hierarchy = parse("start = 2029-06-01T12:00:00.5+02:00\n" + MINIMAL, "text")
    assert hierarchy.start == datetime(2029, 6, 1, 10, tzinfo=UTC)


WRONG = [
    ("p256", "p255", "suite: Input should be 'p256', 'rsa3072', 'ed25519' or 'mldsa65'"),
    ('"XX"', '"xx"', "country: countryName is two capital letters"),
    ('"XX"', "7", "country: Input should be a valid string"),
    ('country = "XX"', "", "country: missing"),
    ('country = "XX"', 'country = "XX"\ncolour = "red"', "colour: no such key"),
    ('"Root"', '""', "root.name: a part of a name"),
    ('"Root" }', '"Root", name2 = "" }', "root.name2: no such key"),
    ('"Marque"', f'"{"M" * 41}"', "brand[1].name: a part of a name is 1 to 40"),
    ('"Marque"', '"Mar/que"', "brand[1].name: no / in the name of a brand"),
    ('"Gateway CA"', '" Gateway CA"', "brand[1].gateway_ca.name: a part of a name"),
    ('"Gateway CA"', '"Gateway\\u0007"', "brand[1].gateway_ca.name: a part of a name"),
    ('"Gateway CA" }', '"Gateway CA", country = "X1" }', "brand[1].gateway_ca.country: countryName"),
    ('"Gateway CA"', '"Merchant CA"', "brand[1]: two CAs of one brand have the same name"),
    ('gateway_ca = { name = "Gateway CA" }', "", "brand[1].gateway_ca: missing"),
    ("[[brand]]", "[brand]", "brand: Input should be a valid list"),
    ("[[brand]]", "brand = []\n[[other]]", "brand: List should have at least 1 item"),
    ('suite = "p256"', 'suite = "p256"\nstart = 2029-06-01T12:00:00', "start: a time with its zone"),
    ('suite = "p256"', 'suite = "p256"\nstart = 2029-06-01', "start: Input should be a valid datetime"),
    ('suite = "p256"', "suite = ", "Invalid value (at line 2"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_what_is_wrong_is_named(old: str, new: str, said: str) -> None:
    assert parse(MINIMAL, "text")  # what the mistake is made in
    with pytest.raises(UsageError) as caught:
        parse(MINIMAL.replace(old, new), "hierarchy.toml")
    assert caught.value.detail.startswith(f"hierarchy.toml: {said}")


@pytest.mark.parametrize("value", ["0", "-1", "36501", '"30"', "1.5", "true"])
def test_days_are_counted_in_whole_numbers(value: str) -> None:
    for table, name in (("days", "root"), ("revocation", "crl_days")):
        with pytest.raises(UsageError, match=rf"text: {table}\.{name}: Input should be"):
            parse(f"{MINIMAL}[{table}]\n{name} = {value}\n", "text")


def test_every_mistake_is_named_at_once() -> None:
    text = MINIMAL.replace('"XX"', '"xx"').replace('"Brand CA"', '""')
    with pytest.raises(UsageError, match=r"country: .*; brand\[1\]\.brand_ca\.name: "):
        parse(text, "text")


def test_brands_differ() -> None:
    brand = MINIMAL[MINIMAL.index("[[brand]]") :]
    assert len(parse(MINIMAL + brand.replace("Marque", "Other"), "text").brand) == 2
    with pytest.raises(UsageError, match="two brands have the same name"):
        parse(MINIMAL + brand.replace("Marque", "MARQUE"), "text")


def test_a_brand_that_is_not_there() -> None:
    hierarchy: Hierarchy = parse(MINIMAL, "text")
    assert hierarchy.brand_named("Marque").geo_ca is None
    with pytest.raises(UsageError, match="no brand 'Other'"):
        hierarchy.brand_named("Other")
