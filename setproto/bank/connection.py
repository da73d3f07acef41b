"""The gateway's connection to its bank: signed on, kept up by echoes, and made again when it breaks (bank.md §5).

Several threads ask at once, on one line; each gets the answer to what it asked.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

from setproto.bank.codes import APPROVED
from setproto.bank.dialects import ASCII_1987, Dialect
from setproto.bank.lines import CUTOVER, ECHO, SIGN_ON, Closed, Line
from setproto.bank.messages import Codec, FormatError, Message
from setproto.errors import UsageError
from setproto.roles.ports import Clock, NoReply

_LOG: Final = logging.getLogger("setproto.bank.connection")


@dataclass(frozen=True)
class LinkConfig:
    """Who the gateway is on the line, and how patient.  Times in seconds.  UsageError for a terminal that cannot be."""

    vault_key: bytes = field(repr=False)
    """32 octets: what hides card numbers in the link's store."""
    acquirer: str = "123456"
    terminal: str = "GW000001"
    """Eight characters, another one for each gateway process."""
    category: str = "5999"
    """Merchant category code (DE 18, ISO 18245)."""
    timeout: float = 12.0
    """For an answer; with everything else it must fit into the 20 s of T69."""
    connect: float = 2.0
    pause: float = 1.0
    """Between two attempts to connect."""
    idle: float = 60.0
    """Without a message, after which an echo is sent."""
    retries: tuple[float, ...] = (1.0, 4.0, 15.0, 60.0, 300.0)
    """How long after each sending what was not answered is sent again; the last one until a person must look at it
    (three days).  15, 60 and 300 are the book's (bank.md §5, rule 5); before them two quick ones, for a message that
    got lost on a line that is well.  A new sign-on does it at once."""
    dialect: Dialect = ASCII_1987
    mac_key: bytes | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        if len(self.terminal) != 8:
            raise UsageError("a terminal id has eight characters")


class Owner(Protocol):
    """Whose connection it is: says what is sent of its own accord, and hears what nobody asked for."""

    def network_message(self, function: str) -> Message:
        """0800 with a fresh trace number: sign-on, echo (DE 70)."""

    def signed_on(self) -> None:
        """The bank is there, for the first time or again."""

    def came_late(self, answer: Message) -> None:
        """An answer that nobody waits for any more."""

    def cutover(self, day: str) -> None:
        """The bank has begun another business day (MMDD)."""


class _Waiting:
    """One who waits for an answer."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Message | None = None


class Connection:
    """A line: asks, and gives every answer to who asked."""

    def __init__(self, line: Line, codec: Codec, owner: Owner, timeout: float) -> None:
        """``timeout``: seconds for an answer."""
        self._line = line
        self._codec = codec
        self._owner = owner
        self._timeout = timeout
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self.open = True
        threading.Thread(target=self._receive, name="iso8583-link", daemon=True).start()

    def ask(self, request: Message) -> Message:
        """The answer.  NoReply if there is none in time or the line breaks: the request may have arrived.

        Whoever asks what is being asked already waits for the same answer.
        """
        first = _Waiting()
        waiting = self._waiting.setdefault(request.match, first)
        try:
            if waiting is first:
                self._line.send(self._codec.encode(request))
            waiting.done.wait(self._timeout)
        except OSError:
            self.close()
        finally:
            if waiting is first:
                self._waiting.pop(request.match, None)
        if waiting.answer is None:
            raise NoReply
        return waiting.answer

    def close(self) -> None:
        """Cut it; who waits gets no answer."""
        self.open = False
        self._line.close()
        for waiting in list(self._waiting.values()):
            waiting.done.set()

    def _receive(self) -> None:
        echoing = False
        try:
            while self.open:
                try:
                    octets = self._line.receive()
                except TimeoutError:
                    if echoing:
                        _LOG.warning("no answer to an echo")
                        return
                    echoing = True
                    self._line.send(self._codec.encode(self._owner.network_message(ECHO)))
                    continue
                echoing = False
                self._take(octets)
        except (Closed, OSError) as reason:
            _LOG.info("the line to the bank is down: %s", reason)
        finally:
            self.close()

    def _take(self, octets: bytes) -> None:
        try:
            answer = self._codec.decode(octets)
        except FormatError as refused:
            _LOG.warning("refused from the bank: %s", refused)
            return
        if answer.mti[1] == "8" and answer.mti[2] in "02":
            self._line.send(self._codec.encode(answer.response(APPROVED)))
            if answer[70] == CUTOVER and (day := answer.get(15)) is not None:
                self._owner.cutover(day)
            return
        waiting = self._waiting.get(answer.match)
        if waiting is not None and answer.mti[2] in "13":
            waiting.answer = answer
            waiting.done.set()
        elif answer.mti[1] != "8":
            _LOG.warning("late or unasked: %s", answer)
            self._owner.came_late(answer)


class BankLine:
    """The way to the bank: a connection as long as there is one, and otherwise a new one."""

    def __init__(self, address: tuple[str, int], config: LinkConfig, owner: Owner, clock: Clock) -> None:
        """``address``: host and port.  Nothing is sent before the first ``signed_on``."""
        self._address = address
        self._config = config
        self._owner = owner
        self._codec = Codec(clock, config.dialect, mac_key=config.mac_key)
        self._connecting = threading.Lock()
        self._not_before = 0.0
        self._stopped = False
        self.connection: Connection | None = None
        """The last one."""

    def signed_on(self) -> Connection:
        """A line on which the bank has accepted a sign-on.  NoReply if there is none: then nothing was sent."""
        with self._connecting:
            if self.connection is not None and self.connection.open:
                return self.connection
            if self._stopped or time.monotonic() < self._not_before:
                raise NoReply
            try:
                self.connection = self._connect()
            except (OSError, NoReply) as failure:
                self._not_before = time.monotonic() + self._config.pause
                _LOG.warning("no line to the bank: %s", type(failure).__name__)
                raise NoReply from None
            self._owner.signed_on()
            return self.connection

    def _connect(self) -> Connection:
        raw = socket.create_connection(self._address, self._config.connect)
        if self._config.tls is not None:
            raw = self._config.tls.wrap_socket(raw, server_hostname=self._config.server_name or self._address[0])
        raw.settimeout(self._config.idle)
        line = Line(raw, self._config.dialect.framing)
        connection = Connection(line, self._codec, self._owner, self._config.timeout)
        try:
            answer = connection.ask(self._owner.network_message(SIGN_ON))
            if answer[39] != APPROVED:
                raise NoReply
        except NoReply:
            connection.close()
            raise
        return connection

    def stop(self) -> None:
        """No new connection from now on; the one that is there stays."""
        self._stopped = True

    def close(self) -> None:
        """Hang up, for ever."""
        self.stop()
        with self._connecting:
            if self.connection is not None:
                self.connection.close()
