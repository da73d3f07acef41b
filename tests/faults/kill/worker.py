"""The processes that are killed.

``python -m tests.faults.kill.worker FD FOLDER`` is the template: it has imported everything, and forks a worker
whenever the driver asks on the socket FD, so that a restart costs what reading the files costs and not a new
interpreter.  A worker hosts one role on an SQLite store, and does what comes over its connection:

    driver → worker   ("handle", octets) or (name of a method, arguments), and the step at which to die, if any
    worker → driver   ("issuer", question) when the gateway asks the bank; the driver answers; and in the end
                      ("done", result, steps) or ("usage", text) or ("failed", traceback)

A *step* is anything after which something else is on the disk or outside: beginning, writing, being about to commit,
having committed, asking the bank, having heard from it.  Reading is none: who dies of it leaves what the step before
left.  A worker dies by sending itself SIGKILL, so that nothing is cleaned up and no handler runs.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pki.der import encode
from setproto.errors import UsageError
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.ports import Advice, AuthorizationDecision, AuthorizationRequest, Transaction
from setproto.store.sql import SQLStore
from tests.faults.kill.material import Material

FORKED = 4
"""Octets of a process id on the template's socket."""


@dataclass
class Steps:
    """Counts steps, and dies at the one it was told."""

    done: int = 0
    die_at: int | None = None

    def __call__(self) -> None:
        self.done += 1
        if self.done == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class WatchedTransaction:
    """A transaction in which writing is a step."""

    inner: Transaction
    step: Callable[[], None]

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.inner.get(table, key)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self.inner.put(table, key, value)
        self.step()


class WatchedStore(SQLStore):
    """The real store, with steps."""

    def __init__(self, url: str, space: str, step: Callable[[], None]) -> None:
        super().__init__(url, space)
        self._step = step

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self._step()
        with super().transaction() as transaction:
            yield WatchedTransaction(transaction, self._step)
            self._step()  # everything is done but the commit
        self._step()  # the commit is done, and nobody knows


@dataclass
class BankByWire:
    """The gateway's way to the bank: a question to the driver, where the bank is."""

    connection: Connection
    step: Callable[[], None]
    asked: int = field(default=0)

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        card, amount = request.card, request.amount
        question = (request.reference, card.brand, card.pan.reveal(), card.expiry.reveal(), amount)
        code, approval = self._ask("authorize", *question, request.merchant_id, request.xid, request.trans_stain)
        return AuthorizationDecision(AuthCode(code), approval)

    def advise(self, advice: Advice) -> None:
        self._ask("advise", advice.kind.name, advice.reference, advice.authorization, advice.amount)

    def _ask(self, *question: Any) -> Any:
        self.asked += 1
        self.step()
        self.connection.send(("issuer", question))
        answer = self.connection.recv()
        self.step()
        return answer


def serve(role: Role, material: Material, connection: Connection) -> None:
    """One life of a party."""
    step = Steps()
    store = WatchedStore(f"sqlite:///{material.folder / role.name}.db", role.name, step)
    party = material.party(role, store, BankByWire(connection, step))
    while True:
        try:
            name, arguments, die_at = connection.recv()
        except EOFError:  # the driver is done with us
            store.close()
            return
        step.done, step.die_at = 0, die_at
        answer: tuple[Any, ...]
        try:
            answer = ("done", _perform(party, name, arguments), step.done)
        except UsageError as refusal:
            answer = ("usage", refusal.detail)
        except Exception:
            answer = ("failed", traceback.format_exc())
        connection.send(answer)


def _perform(party: Endpoint, name: str, arguments: tuple[Any, dict[str, Any]]) -> Any:
    positional, named = arguments
    if name == "handle":
        reply = party.handle(*positional)
        if isinstance(party, Gateway):
            party.tell_bank()  # as its server does from time to time
        return reply.outgoing, reply.events
    result = getattr(party, name)(*positional, **named)
    return encode(result) if name == "purchase" else result


# --- the template -------------------------------------------------------------------------------


def template(control: socket.socket, folder: Path) -> None:
    """Fork a worker for each request, until the driver hangs up."""
    material = Material(folder)
    _rehearse(material)
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not request:
            return
        role, killed = request.decode().split()  # whom to be, and which child was killed before (0: none)
        if int(killed):
            os.waitpid(int(killed), 0)
        child = os.fork()
        if child == 0:
            control.close()
            with Connection(descriptors[0]) as connection:
                try:
                    serve(Role[role], material, connection)
                except Exception:
                    connection.send(("failed", traceback.format_exc()))
            os._exit(0)
        os.close(descriptors[0])
        control.sendall(child.to_bytes(FORKED, "big"))


def _rehearse(material: Material) -> None:
    """Do once what every worker does when it starts: much is loaded and made at its first use only."""
    for role in (Role.cardholder, Role.merchant, Role.gateway):
        store = SQLStore(f"sqlite:///{material.folder / 'rehearsal.db'}", role.name)
        material.party(role, store, None)  # type: ignore[arg-type]
        with store.transaction() as transaction:
            transaction.put("rehearsal", b"", transaction.get("rehearsal", b"") or b"")
        store.close()
    gc.freeze()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as wire:
        template(wire, Path(sys.argv[2]))
