"""``setproto up``: CA, bank, gateway and merchant as processes on this machine, until one ends or all are told to.

What happened before is found again: each process has its own durable state under the directory, or in the database.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from setproto.amounts import CurrencyAmount
from setproto.cli.ca.desk import answering, now
from setproto.cli.console import Suite, refuse
from setproto.client import HTTPTransport, pinned
from setproto.errors import Unreachable, UsageError
from setproto.server.config import BankConfig, CAConfig, GatewayConfig, MerchantConfig, ServerConfig, load
from setproto.server.founding import CARDS, ROLES, SHOP_FILE, found
from setproto.settings import require_private

DATA: Final = Path("~/.setproto/shop")
DATA_VARIABLE: Final = "SETPROTO_DATA"
FIRST_PORT: Final = 8470
_HEALTHY_SECONDS: Final = 60
_STOP_SECONDS: Final = 15
_CONFIGS: Final[dict[str, type[ServerConfig]]] = {
    "ca": CAConfig,
    "bank": BankConfig,
    "gateway": GatewayConfig,
    "merchant": MerchantConfig,
}

Data = Annotated[
    Path, typer.Option("--data", metavar="DIR", envvar=DATA_VARIABLE, help="Where the shop lies.", show_default=True)
]


def up(
    data: Data = DATA,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            envvar="SETPROTO_DATABASE",
            help="A PostgreSQL for all of it; else a file of SQLite for each.",
        ),
    ] = None,
    suite: Annotated[Suite, typer.Option("--suite", help="Of a new shop.")] = Suite.P256,
    port: Annotated[int, typer.Option("--port", help="First of the six ports of a new shop; 0: any.")] = FIRST_PORT,
) -> None:
    """Start the whole shop; the first time, make it.  It runs until SIGINT (Ctrl-C) or SIGTERM."""
    directory = data.expanduser().absolute()
    with answering():
        if not (directory / SHOP_FILE).exists():
            found(directory, now(), suite=suite.value, database=database, port=port)
            typer.echo(f"made a shop in {directory}")
        elif database is not None:
            raise UsageError("a shop keeps the database that it was made with: it stands in its configuration files")
        require_private(directory)
        configs = {role: load(_CONFIGS[role], directory / role / f"{role}.toml") for role in ROLES}
    with _stopped_by_signals() as stopping, _children(directory) as children:
        _wait_until_healthy(directory, configs, children, stopping)
        if not stopping:
            _explain(directory, configs)
        while not stopping:
            ended = [role for role, child in children.items() if child.poll() is not None]
            if ended:
                refuse(f"the {ended[0]} ended by itself: see {_log(directory, ended[0])}", status=1)
            time.sleep(0.2)
    typer.echo("stopped")


@contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGINT or SIGTERM came."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _children(directory: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """One process for each role; at the end of the block the merchant is ended first, so that it finds its gateway."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for role in ROLES:
            config = str(directory / role / f"{role}.toml")
            command = [sys.executable, "-m", "setproto", "serve", "--attached", role, config]
            with _log(directory, role).open("ab") as log:
                # In a session of their own: Ctrl-C is for this process, which ends them in the right order.
                running[role] = subprocess.Popen(  # noqa: S603 our own program
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
        yield running
    finally:
        for roles in (["merchant"], [role for role in ROLES if role != "merchant"]):
            _end([running[role] for role in roles if role in running])


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask them to end, and make those end that do not."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _wait_until_healthy(
    directory: Path, configs: dict[str, ServerConfig], children: dict[str, subprocess.Popen[bytes]], stopping: list[int]
) -> None:
    deadline = time.monotonic() + _HEALTHY_SECONDS
    for role, config in configs.items():
        server = reach(config, config.listen, timeout=2)
        while not stopping and not _healthy(server, children[role].pid):
            if children[role].poll() is not None:
                refuse(f"the {role} does not start: see {_log(directory, role)}", status=1)
            if time.monotonic() > deadline:
                refuse(f"the {role} is not healthy after {_HEALTHY_SECONDS} seconds", status=1)
            time.sleep(0.05)
        server.close()


def _healthy(server: HTTPTransport, process: int) -> bool:
    """Whether it is this process that answers, and well."""
    try:
        found = server.json("GET", "/health")
    except (Unreachable, UsageError):
        return False
    return isinstance(found, dict) and found.get("process") == process


def _explain(directory: Path, configs: dict[str, ServerConfig]) -> None:
    """Where everything is, and how to buy something."""
    for role, config in configs.items():
        typer.echo(f"{role:<9}{url(config, config.listen)}  log: {_log(directory, role)}")
    typer.echo("")
    typer.echo("cards that the bank opened, with numbers that are published for tests:")
    for card in CARDS:
        balance = CurrencyAmount.of(f"EUR {card.balance // 100}.{card.balance % 100:02d}")
        typer.echo(f"  {card.number}  {card.expiry}  {card.holder}  {balance}")
    typer.echo("")
    typer.echo("to buy something, in another terminal:")
    option = "" if directory == DATA.expanduser() else f" --shop {directory / SHOP_FILE}"
    typer.echo("  setproto wallet create")
    typer.echo("  setproto wallet add-card main")
    typer.echo(f'  setproto wallet register main --person "Ada Lovelace"{option}')
    typer.echo(f"  setproto shop list{option}")
    typer.echo(f'  setproto buy notebook=2 --recipient "Grace Hopper" --deliver-to "1 Main Street"{option}')
    typer.echo("")
    typer.echo("up; Ctrl-C ends it")


def reach(config: ServerConfig, address: tuple[str, int], *, timeout: float) -> HTTPTransport:
    """A server by its own configuration: with TLS it is known by its certificate."""
    verify = None if config.tls is None else pinned(config.tls.certificate)
    return HTTPTransport(url(config, address), verify=verify, timeout=timeout)


def url(config: ServerConfig, address: tuple[str, int]) -> str:
    """The URL of one of a server's addresses."""
    host, port = address
    return f"{'http' if config.tls is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"


def _log(directory: Path, role: str) -> Path:
    return directory / role / f"{role}.log"
