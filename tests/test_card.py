"""Card data cannot be shown by accident, and is what it says it is."""

from __future__ import annotations

import base64
import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setproto import card as card_module
from setproto.card import (
    PAN,
    TRANS_STAIN_SIZE,
    Card,
    CardExpiry,
    CardSecret,
    PANSecret,
    cardholder_name,
    luhn,
    trans_stain,
    unique_cardholder_id,
)

NUMBER = "4111111111111111"
SECRETS = {
    "PAN": (PAN(NUMBER), NUMBER),
    "CardExpiry": (CardExpiry("203012"), "203012"),
    "CardSecret": (CardSecret(b"c" * 32), "c" * 32),
    "PANSecret": (PANSecret(b"p" * 32), "p" * 32),
}
CARD = Card("Marque", PAN(NUMBER), CardExpiry("203012"))


def with_check_digit(digits: str) -> str:
    return next(digits + str(d) for d in range(10) if luhn(digits + str(d)))


numbers = st.text("0123456789", min_size=11, max_size=18).map(with_check_digit)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>40}".format,
        lambda value: f"{value}",
        lambda value: f"{value!r}",
        lambda value: f"{value!s:5}",
        lambda value: "%s %r" % (value, value),  # noqa: UP031
        lambda value: repr([value]),
        lambda value: repr({"card": value}),
        lambda value: repr(dataclasses.make_dataclass("Order", ["card"])(value)),
        lambda value: str(ValueError(value)),
        ascii,
    ],
)
def test_a_secret_prints_as_a_placeholder(name: str, show: Callable[[object], str]) -> None:
    value, content = SECRETS[name]
    assert content not in show(value)
    assert "redacted" in show(value)


def test_a_card_prints_its_brand_only() -> None:
    assert repr(CARD) == "Card(brand='Marque', pan=<PAN redacted>, expiry=<CardExpiry redacted>)"


def test_a_secret_in_a_log() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("setproto.test_card")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.warning("paying with %s, %r", CARD.pan, CARD)
        try:
            raise ValueError(CARD)
        except ValueError:
            logger.exception("failed with %s", CARD.expiry)
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue().count("redacted") >= 5
    assert NUMBER not in stream.getvalue()
    assert "203012" not in stream.getvalue()


def test_a_secret_in_a_traceback_with_its_locals() -> None:
    def pay(pan: PAN, card: Card) -> None:
        raise RuntimeError("no connection")

    try:
        pay(CARD.pan, CARD)
    except RuntimeError as failure:
        shown = "".join(traceback.TracebackException.from_exception(failure, capture_locals=True).format())
    assert "<PAN redacted>" in shown
    assert NUMBER not in shown.replace("NUMBER", "")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_not_written_or_copied(name: str) -> None:
    value, _ = SECRETS[name]
    for write in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, bytes):
        with pytest.raises(TypeError):
            write(value)  # type: ignore[operator]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not written anywhere"):
            pickle.dumps(value, protocol)
    with pytest.raises(TypeError):
        dataclasses.asdict(CARD)
    with pytest.raises(TypeError):
        hash(value)
    with pytest.raises(TypeError):
        iter(value)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        vars(value)
    assert not hasattr(value, "__len__")


def test_what_is_wrong_with_a_number_is_said_without_the_number() -> None:
    for digits in ("4111111111111112", "41111", "4" * 20, "4111-1111-1111-1111", "٤١١١١١١١١١١١١١١١", ""):
        with pytest.raises(ValueError, match="not a card number") as refusal:
            PAN(digits)
        assert not digits or digits not in str(refusal.value)
        assert refusal.value.__cause__ is None
    for month in ("203013", "203000", "199912", "2030", "20301", "2030012", "20 012", ""):
        with pytest.raises(ValueError, match="YYYYMM"):
            CardExpiry(month)


def test_the_ways_out_say_so() -> None:
    assert PAN(NUMBER).reveal() == NUMBER
    assert PAN(NUMBER).last_four() == "1111"
    assert CardExpiry("203012").reveal() == "203012"
    assert CardSecret(b"c" * 32).reveal() == b"c" * 32


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def equal(a: bytes, b: bytes) -> bool:
        asked.append((a, b))
        return a == b

    monkeypatch.setattr(card_module, "equal", equal)
    assert PAN(NUMBER) == PAN(NUMBER)
    assert PAN(NUMBER) != PAN("5500005555555559")
    assert len(asked) == 2


def test_secrets_of_different_types_are_different() -> None:
    same = b"s" * 32
    assert CardSecret(same) != PANSecret(same)
    assert PANSecret(same) != CardSecret(same)
    assert PAN(NUMBER) != NUMBER
    assert CardExpiry("203012") != "203012"


# --- numbers --------------------------------------------------------------------------------------


@given(numbers)
def test_every_number_with_its_check_digit_is_one(digits: str) -> None:
    assert PAN(digits).reveal() == digits


@given(numbers, st.data())
def test_luhn_notices_every_wrong_digit(digits: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != digits[place]]))
    assert not luhn(digits[:place] + other + digits[place + 1 :])


@given(numbers, st.data())
def test_luhn_notices_neighbours_exchanged_but_for_09(digits: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(digits) - 2))
    a, b = digits[place : place + 2]
    exchanged = digits[:place] + b + a + digits[place + 2 :]
    assert luhn(exchanged) is (a == b or {a, b} == {"0", "9"})


@pytest.mark.parametrize("digits", ["4111111111111111", "5500005555555559", "340000000000009", "79927398713"])
def test_known_good_numbers(digits: str) -> None:
    assert luhn(digits)


# --- pseudonym and TransStain ---------------------------------------------------------------------


def test_the_pseudonym_depends_on_everything_and_shows_nothing() -> None:
    secret = PANSecret(b"p" * 32)
    first = unique_cardholder_id(CARD.pan, CARD.expiry, secret)
    assert len(first) == 32
    others = {
        unique_cardholder_id(PAN("5500005555555559"), CARD.expiry, secret),
        unique_cardholder_id(CARD.pan, CardExpiry("203011"), secret),
        unique_cardholder_id(CARD.pan, CARD.expiry, PANSecret(b"q" * 32)),
    }
    assert len({first, *others}) == 4
    assert base64.b64decode(cardholder_name(CARD.pan, CARD.expiry, secret)) == first
    assert len(cardholder_name(CARD.pan, CARD.expiry, secret)) == 44


@pytest.mark.prop("PU-7")
def test_a_trans_stain_is_a_keyed_hash_of_the_xid() -> None:
    stain = trans_stain(bytes(20), CardSecret(b"c" * 32))
    assert len(stain) == TRANS_STAIN_SIZE == 20
    assert stain != trans_stain(bytes(20), CardSecret(b"d" * 32))
    assert stain != trans_stain(bytes(19) + b"\1", CardSecret(b"c" * 32))
    assert stain == trans_stain(bytes(20), CardSecret(b"c" * 32))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_secret_of_another_size_is_none(size: int) -> None:
    for kind in (CardSecret, PANSecret):
        with pytest.raises(ValueError, match="32 octets"):
            kind(bytes(size))
