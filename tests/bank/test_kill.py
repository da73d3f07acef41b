"""The bank's process is killed again and again while a gateway buys: in the end both agree to the cent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from setproto.bank.connection import LinkConfig
from setproto.bank.link import ISO8583Link
from setproto.card import PAN, Card, CardExpiry, trans_stain
from setproto.messages.codes import AuthCode
from setproto.roles.ports import AdviceKind, AuthorizationRequest, NoReply
from setproto.store.sql import SQLStore
from tests.bank.people import EXPIRY, OPENING, PAN_CREDIT, SECRET, SHOP, VAULT_KEY, make_bank
from tests.bank.test_line import until
from tests.bank.wire import advice, euros, on_disk

SERVER = """
import sys, time
from setproto.bank.host import serve
from tests.bank.people import make_bank
host = serve(make_bank(sys.argv[1]).bank, "127.0.0.1", int(sys.argv[2]))
print(host.address[1], flush=True)
time.sleep(3600)
"""
KILLS = 5


class Server:
    def __init__(self, url: str) -> None:
        self.url, self.port = url, 0
        self.begin()

    def begin(self) -> None:
        command = [sys.executable, "-c", SERVER, self.url, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(on_disk(tmp_path))
    yield server
    server.kill()


def test_killed_while_a_gateway_buys(server: Server, tmp_path: Path) -> None:
    till = make_bank(server.url)
    store = SQLStore(f"sqlite:///{tmp_path / 'link.db'}", "link")
    config = LinkConfig(VAULT_KEY, timeout=5.0, pause=0.0, retries=(0.05,))
    link = ISO8583Link(("127.0.0.1", server.port), store, till.clock, config=config)
    bought = 0
    for number in range(8 * KILLS):
        xid = number.to_bytes(20, "big")
        card = Card("Marque", PAN(PAN_CREDIT), CardExpiry(EXPIRY))
        request = AuthorizationRequest(os.urandom(32), card, euros(100), SHOP, xid, trans_stain(xid, SECRET))
        if number % 8 == 3:
            server.kill()
            with pytest.raises(NoReply):  # whether the line has noticed or not
                link.authorize(request)
            server.begin()
        if number % 8 == 6:
            until(lambda request=request: _approved(link, request))
            server.kill()
            server.begin()
        until(lambda request=request: _approved(link, request))
        capture = advice(AdviceKind.CAPTURE, request, 100)
        until(lambda capture=capture: _told(link, capture))
        bought += 100
    until(lambda: link.waiting() == 0)
    assert link.manual() == []
    assert till.available(PAN_CREDIT) == OPENING - bought
    assert link.reconcile(SHOP, 978, "1122") == []
    assert till.bank.close_day()[0].captured == bought
    assert till.sound()
    link.close()
    store.close()
    till.bank.close()


def _approved(link: ISO8583Link, request: AuthorizationRequest) -> bool:
    try:
        return link.authorize(request).code is AuthCode.approved
    except NoReply:
        return False


def _told(link: ISO8583Link, told: object) -> bool:
    try:
        link.advise(told)  # type: ignore[arg-type]
    except NoReply:
        return False
    return True
