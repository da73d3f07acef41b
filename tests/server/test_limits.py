"""What a server refuses before anything else is done: wrong type, too much, too slow, nonsense."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from pki.der import decode
from setproto.client import PAYMENT, REGISTRATION
from setproto.errors import UsageError
from setproto.messages.error import Error
from setproto.messages.wrapper import MAX_MESSAGE, unwrap
from setproto.server.config import Limits
from setproto.server.http import Answered, Server
from setproto.server.metrics import Metrics
from tests.server.buyer import FORM
from tests.server.parts import Parts, parts
from tests.server.running import Running


@pytest.mark.parametrize("role", ["merchant", "gateway"])
def test_only_the_media_types_of_SET_are_taken(shop: Running, role: str) -> None:
    client = shop.client(role)
    for kind in ("text/plain", "application/set-registration", "application/json"):
        status, _, body = client.request("POST", "/set", b"x", kind)
        assert (status, "application/set-payment" in json.loads(body)["error"]) == (415, True)
    assert client.request("POST", "/set", b"x")[0] == 415
    assert client.request("GET", "/set")[0] == 405
    assert client.request("GET", "/nothing")[0] == 404


@pytest.mark.parametrize("role", ["merchant", "gateway", "ca"])
@pytest.mark.parametrize("data", [b"", b"\x00", b"\x30\x80", os.urandom(300), b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_message_is_answered_with_an_error(shop: Running, role: str, data: bytes) -> None:
    answer = shop.client(role).post(data, REGISTRATION if role == "ca" else PAYMENT)
    wire = unwrap(answer)
    assert wire.type is None
    assert decode(Error, wire.body).signed_error is not None


def test_a_message_may_be_as_long_as_messages_are(shop: Running) -> None:
    client = shop.client("merchant")
    assert client.request("POST", "/set", bytes(MAX_MESSAGE), PAYMENT)[0] == 200
    assert client.request("POST", "/set", bytes(MAX_MESSAGE + 1), PAYMENT)[0] == 413


def test_a_length_that_was_not_announced_is_limited_too(shop: Running) -> None:
    def pieces() -> Any:
        for _ in range(MAX_MESSAGE // 1024 + 1):
            yield bytes(1024)

    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{shop.url('merchant')}/set", content=pieces(), headers={"content-type": PAYMENT})
    assert answer.status_code == 413


BAD_FORMS: list[tuple[Any, str]] = [
    ([], "object"),
    ({}, "items: missing"),
    ({**FORM, "colour": "red"}, "colour: no such key"),
    ({**FORM, "items": []}, "items"),
    ({**FORM, "items": [{"id": "pencil", "quantity": 0}]}, "greater than or equal to 1"),
    ({**FORM, "items": [{"id": "pencil", "quantity": 1.5}]}, "integer"),
    ({**FORM, "items": [{"id": "pencil", "quantity": "1"}]}, "integer"),
    ({**FORM, "items": [{"id": "pencil", "quantity": 1}] * 2}, "twice"),
    ({**FORM, "items": [{"id": "pencil", "quantity": 1}] * 51}, "at most 50"),
    ({**FORM, "recipient": "Ada\x1b[2J"}, "printable"),
    ({**FORM, "recipient": ""}, "recipient"),
    ({**FORM, "deliver_to": "x" * 201}, "deliver_to"),
    ({**FORM, "deliver_by": "2001-01-01"}, "earliest"),
    ({**FORM, "deliver_by": "soon"}, "deliver_by"),
]


@pytest.mark.parametrize(("form", "words"), BAD_FORMS)
def test_an_order_form_is_refused_in_words(shop: Running, form: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shop.client("merchant").json("POST", "/orders", form)


def test_there_is_no_receipt_for_what_was_not_bought(shop: Running) -> None:
    client = shop.client("merchant")
    for path in (
        "/orders/00/receipt?xid=00",
        "/orders/zz/receipt?xid=00",
        "/orders/00/receipt",
        "/orders/00/receipt?xid=x",
        "/orders/00/answer?xid=00",
        "/orders/zz/answer?xid=00",
    ):
        assert client.request("GET", path)[0] == 404


# --- with limits that can be reached in a test ----------------------------------------------------


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A CA that takes 2,048 octets within half a second."""
    directory = tmp_path_factory.mktemp("narrow") / "shop"
    with parts(directory, "ca") as running:
        assert running.end("ca") == 0
        config = directory / "ca" / "ca.toml"
        config.write_text(config.read_text() + "[limits]\noctets = 2048\nseconds = 0.5\n")
        running.restart("ca")
        yield running


def test_the_limits_are_configured(narrow: Parts) -> None:
    assert narrow.client("ca").request("POST", "/set", bytes(2048), REGISTRATION)[0] == 200
    assert narrow.client("ca").request("POST", "/set", bytes(2049), REGISTRATION)[0] == 413


def test_a_content_that_does_not_come_is_not_waited_for(narrow: Parts) -> None:
    host, _, port = narrow.url("ca").removeprefix("http://").partition(":")
    head = f"POST /set HTTP/1.1\r\nhost: x\r\ncontent-type: {REGISTRATION}\r\ncontent-length: 100\r\n\r\nhalf"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


GET = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def connect(narrow: Parts) -> socket.socket:
    host, _, port = narrow.url("ca").removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def healthy(connection: socket.socket) -> bool:
    """Ask, and read the answer to its end."""
    connection.sendall(GET)
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(1000)
    return answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [b"", b"GET", b"\r\n", GET[:-2]], ids=["nothing", "half a word", "a line", "headers"])
def test_headers_that_do_not_come_are_not_waited_for(narrow: Parts, begun: bytes) -> None:
    with connect(narrow) as connection:
        connection.sendall(begun)
        assert connection.recv(100) == b""


@pytest.mark.parametrize("begun", [b"GET", b"\r\n", GET[:-2]], ids=["half a word", "a line", "headers"])
def test_those_of_a_second_request_are_not_either(narrow: Parts, begun: bytes) -> None:
    with connect(narrow) as connection:
        assert healthy(connection)
        connection.sendall(begun)
        assert connection.recv(100) == b""


def test_headers_that_come_octet_by_octet_are_not_waited_for(narrow: Parts) -> None:
    with connect(narrow) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nx: ")
        connection.settimeout(0.05)
        assert any(is_closed(connection) for _ in range(600))


def is_closed(connection: socket.socket) -> bool:
    """Send one octet more, and see."""
    try:
        connection.sendall(b"x")
        return connection.recv(100) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_an_idle_connection_may_be_used_again(narrow: Parts) -> None:
    with connect(narrow) as idle, connect(narrow) as silent:
        assert healthy(idle)
        assert silent.recv(1) == b""  # so long has passed
        assert healthy(idle)


def test_a_file_that_others_may_read_is_not_used(narrow: Parts, tmp_path: Path) -> None:
    from tests.server.running import setproto

    for name in ("ca.toml", "passphrase"):
        file = narrow.directory / "ca" / name
        file.chmod(0o644)
        refused = setproto("serve", "ca", narrow.directory / "ca" / "ca.toml")
        file.chmod(0o600)
        assert (refused.returncode, f"others have access to {file}" in refused.stderr) == (2, True)


# --- the server without a role --------------------------------------------------------------------


def requests(server: Server, answer: Any, count: int) -> list[int]:
    """The status of so many requests at a time."""
    app = server.app([server.messages((PAYMENT,), answer)], {})

    async def all_of_them() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            posts = (client.post("/set", content=b"x", headers={"content-type": PAYMENT}) for _ in range(count))
            return [answer.status_code for answer in await asyncio.gather(*posts)]

    return asyncio.run(all_of_them())


def test_T69_what_takes_too_long_is_taken_and_done_all_the_same() -> None:
    may_go_on, done = threading.Event(), []

    def slow(data: bytes) -> Answered:
        may_go_on.wait(30)
        done.append(data)
        return Answered(b"answer", "PReq", "answered", {})

    server = Server("test", Limits(seconds=0.05), Metrics(), lambda: None)
    assert requests(server, slow, 1) == [202]
    may_go_on.set()
    server.close()
    assert done == [b"x"]


def test_more_than_can_wait_are_turned_away() -> None:
    may_go_on = threading.Event()

    def slow(data: bytes) -> Answered:
        may_go_on.wait(30)
        return Answered(None, "PReq", "waiting", {})

    server = Server("test", Limits(seconds=0.2, waiting=3, workers=1), Metrics(), lambda: None)
    assert sorted(requests(server, slow, 5)) == [202, 202, 202, 503, 503]
    may_go_on.set()
    server.close()
