"""The client against servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from setproto.client import MAX_ANSWER, PAYMENT, HTTPTransport
from setproto.errors import Unreachable, UsageError

GOOD = b"HTTP/1.1 200 OK\r\ncontent-type: application/set-payment\r\ncontent-length: 4\r\n\r\ngood"


@contextmanager
def answering(*connections: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each connection's requests with these octets and then closes it; what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answers in connections:
                connection, _ = listener.accept()
                with connection:
                    for answer in answers:
                        head = b""
                        while not head.endswith((b"\r\n\r\nx", b"\r\n\r\n{}")):
                            head += connection.recv(1)
                        asked.append(head)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        thread.join(30)


def test_a_connection_is_used_again() -> None:
    with answering([GOOD, GOOD]) as (url, asked), HTTPTransport(url) as client:
        assert [client.post(b"x", PAYMENT) for _ in range(2)] == [b"good", b"good"]
    assert len(asked) == 2


def test_one_that_the_server_has_closed_is_not() -> None:
    with answering([GOOD], [GOOD]) as (url, asked), HTTPTransport(url) as client:
        assert client.post(b"x", PAYMENT) == b"good"
        client._idle[0].sock.recv(1, socket.MSG_PEEK)  # until the end has arrived
        assert client.post(b"x", PAYMENT) == b"good"
    assert len(asked) == 2


BAD = [
    b"",
    b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\ncontent-type: application/set-payment\r\ncontent-length: 5\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\ngood",
    b"HTTP/1.1 202 Accepted\r\ncontent-type: application/set-payment\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: http://example.org/\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/set-payment\r\n\r\n" + bytes(MAX_ANSWER + 1),
]


@pytest.mark.parametrize("answer", BAD)
def test_whatever_is_no_answer_is_none(answer: bytes) -> None:
    with answering([answer]) as (url, _), HTTPTransport(url, timeout=30) as client, pytest.raises(Unreachable):
        client.post(b"x", PAYMENT)


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with HTTPTransport(f"http://127.0.0.1:{port}") as client, pytest.raises(Unreachable, match="Refused"):
        client.post(b"x", PAYMENT)


def test_one_who_says_nothing_is_not_waited_for_longer_than_agreed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with HTTPTransport(url, timeout=0.05) as client, pytest.raises(Unreachable, match="TimeoutError"):
            client.post(b"x", PAYMENT)


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b"", b'{"error": 7}'], ids=["broken", "deep", "empty", "not in words"]
)
def test_json_that_is_none(body: bytes) -> None:
    head = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    answer = head % (400 if b"error" in body else 200, len(body)) + body
    with answering([answer]) as (url, _), HTTPTransport(url) as client, pytest.raises(Unreachable):
        client.json("POST", "/", {})


def test_a_path_is_quoted_and_a_prefix_kept() -> None:
    with answering([GOOD]) as (url, asked), HTTPTransport(f"{url}/shop/") as client:
        client.request("POST", "/a b/ü\r\nx?y=1", b"x")
    assert asked[0].startswith(b"POST /shop/a%20b/%C3%BC%0D%0Ax?y=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://", "http://x:port", "http://[::1"])
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(UsageError, match="no URL of a server"):
        HTTPTransport(url)
