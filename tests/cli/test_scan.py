"""The scan finds a number however it is written, wherever it stands; and finds nothing where it is not."""

from __future__ import annotations

import base64
import random

import pytest

from setproto.scan import encodings_of, scan

NUMBERS = ["4111111111111111", "378282246310005", "6304000000000000000", "676770000013"]


def bcd(pan: str, shift: int) -> bytes:
    digits = "0" * shift + pan
    return bytes.fromhex(digits + "f" * (len(digits) % 2))


WRITERS = {
    "ASCII": lambda pan: pan.encode(),
    "groups": lambda pan: " ".join(pan[i : i + 4] for i in range(0, len(pan), 4)).encode(),
    "UTF-16-LE": lambda pan: pan.encode("utf-16-le"),
    "UTF-16-BE": lambda pan: pan.encode("utf-16-be"),
    "UTF-32": lambda pan: pan.encode("utf-32-le"),
    "EBCDIC": lambda pan: pan.encode("cp037"),
    "BCD": lambda pan: bcd(pan, 0),
    "BCD shifted": lambda pan: bcd(pan, 1),
    "integer": lambda pan: int(pan).to_bytes(8, "big"),
    "octets": lambda pan: bytes(map(int, pan)),
    "hex of ASCII": lambda pan: pan.encode().hex().encode(),
    "hex of UTF-16": lambda pan: pan.encode("utf-16-be").hex().encode(),
    "hex of EBCDIC, upper": lambda pan: pan.encode("cp037").hex().upper().encode(),
    "hex in lines": lambda pan: base64.b16encode(pan.encode())[:9] + b"\n  " + base64.b16encode(pan.encode())[9:],
    "hex of BCD": lambda pan: bcd(pan, 0).hex().encode(),
}


@pytest.mark.parametrize("pan", NUMBERS)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_way_of_writing_is_found(pan: str, writer: str) -> None:
    noise = random.Random(1)
    written = WRITERS[writer](pan)
    for before in range(5):
        blob = noise.randbytes(before) + written + noise.randbytes(7)
        assert scan({"note": blob}, pan).hits, writer


@pytest.mark.parametrize("pan", NUMBERS)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_base64_is_found_at_every_alignment(pan: str, encode: object) -> None:
    noise = random.Random(2)
    for inner in (pan.encode(), pan.encode("utf-16-le"), pan.encode("utf-16-be"), bcd(pan, 0)):
        for before in range(70):
            text = encode(noise.randbytes(before) + inner + noise.randbytes(11))  # type: ignore[operator]
            assert scan([text], pan).hits


def test_nothing_is_found_where_nothing_is() -> None:
    noise = random.Random(3)
    blobs = {str(number): noise.randbytes(2000) for number in range(100)}
    result = scan(blobs, NUMBERS[0])
    assert result.hits == ()
    assert result.bytes_scanned == 200_000
    assert list(result.encodings) == list(encodings_of(NUMBERS[0]))


@pytest.mark.parametrize("near", ["4111111111111112", "411111111111111", "5111111111111111"])
def test_another_number_is_not_found(near: str) -> None:
    blobs = [writer(near) for writer in WRITERS.values()]
    assert scan(blobs, NUMBERS[0]).hits == ()


def test_hits_say_where_and_how() -> None:
    (first, second) = scan({"a": b"nothing", "b": NUMBERS[0].encode()}, NUMBERS[0]).hits
    assert {first.where, second.where} == {"b"}
    assert {first.encoding, second.encoding} == {"ASCII", "hex of BCD"}
