"""Messages that are handled at once: what takes long happens outside the store's transactions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from setproto.market import TRADERS, Market
from setproto.messages.common import Role
from setproto.messages.wrapper import unwrap
from setproto.roles.party import Party
from setproto.roles.ports import EventKind

PATIENCE = 20


def is_in_use(party: Party) -> bool:
    """Whether a transaction is under way on its store."""
    return bool(party.store._lock.locked())  # type: ignore[attr-defined]


def test_no_role_verifies_in_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    received: set[Role] = set()
    receive = Party.receive

    def watched(party: Party, *arguments: Any) -> Any:
        assert not is_in_use(party)
        received.add(party.party.role)
        return receive(party, *arguments)

    monkeypatch.setattr(Party, "receive", watched)
    market = Market.open()
    purchase = market.buy("EUR 42.00", b"one book")
    market.deliver(Role.merchant, market.merchant.credit(purchase.xid))
    market.deliver(Role.merchant, market.merchant.batch(7))
    assert received == set(TRADERS)


def test_one_message_is_verified_while_another_is_decided() -> None:
    market = Market.open()
    market.buy("EUR 42.00", b"one book")
    request = next(sent.message.data for sent in market.traffic if sent.message.name == "AuthReq")
    read = threading.Event()
    gateway, receive = market.gateway, market.gateway.read

    def watched(*arguments: Any) -> Any:
        received = receive(*arguments)
        read.set()
        return received

    gateway.read = watched  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        with gateway.store.transaction():
            handled = pool.submit(gateway.handle, request)
            assert read.wait(PATIENCE)
            assert not handled.done()
        assert [event.kind for event in handled.result(PATIENCE).events] == [EventKind.REPEATED]


def test_threads_share_a_validator() -> None:
    """They find the same, whoever validates first."""
    market = Market.open()
    market.buy("EUR 42.00", b"one book")
    request = unwrap(next(sent.message.data for sent in market.traffic if sent.message.name == "AuthReq"))
    market.gateway.validator._cache.clear()
    start = threading.Barrier(8)

    def read(_: int) -> bytes:
        start.wait(PATIENCE)
        return market.gateway.read(request).digest

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read, range(8)))) == 1
