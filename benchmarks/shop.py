"""The whole shop under load: real processes, everything durable, purchases from order form to verified receipt.

Arrivals are open-loop: a purchase begins when its time has come, whether earlier ones are done or not, and its latency
counts from that time.  Wallets are real ones, in one process beside the servers; they compete with them for the cores.
Their files lie in memory, if the machine has a directory there, and are then encrypted and written but never waited
for; ``durable_wallets`` puts them on the disk.  The servers always write to the disk, as configured.

Sources: issue 7 point 8 (10,000 purchases in two minutes, p99 under 0.5 s at half that rate, flat memory), trade.md T23
and T69.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyperf
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import BenchmarkError
from benchmarks.measure import Case, Progress, Settings, result
from setproto.card import PAN, Card, CardExpiry, luhn
from setproto.client import HTTPTransport
from setproto.errors import SetError
from setproto.server.founding import BRAND, ROLES, SHOP_FILE, SampleCard, found
from setproto.shop.orders import read_form
from setproto.wallet.items import Wallet
from setproto.wallet.paying import Till
from setproto.wallet.registering import register
from setproto.wallet.trust import read_shop
from setproto.wallet.vault import Passphrase, Vault

__all__ = ["FULL", "QUICK", "Load", "run"]

_HOLDER: Final = "Ada Lovelace"
_EXPIRY: Final = "203012"
_PASSPHRASE: Final = "of a wallet that pays for a benchmark"
_FORM: Final = read_form(
    b'{"items": [{"id": "pencil", "quantity": 1}], "recipient": "Ada", "deliver_to": "1 Main Street"}'
)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True)
class Load:
    """What is to be bought: ``purchases`` at ``rate`` a second, and then half of them at half that rate."""

    purchases: int = 10_000
    rate: float = 10_000 / 120
    wallets: int = 16
    durable_wallets: bool = False
    database: str | None = None
    """A URL of PostgreSQL for all servers, in place of files of SQLite."""


FULL: Final = Load()
QUICK: Final = Load(purchases=200, rate=20.0, wallets=4)


@dataclass
class _Part:
    """What one rate of arrivals came to.  Times in seconds."""

    rate: float
    elapsed: float = 0.0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """When the purchase was due, since the beginning, and how long it took from then to the receipt."""
    failures: dict[str, int] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    """Process → processor time in all."""
    written: dict[str, int] = field(default_factory=dict)
    """Process → octets that it had written to the disk."""
    memory: dict[str, list[float]] = field(default_factory=dict)
    """Process → resident memory in MiB at the beginning, half-way and at the end."""
    messages: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Server and message → how many, and how long they took in all."""
    system: list[float] = field(default_factory=list)
    """Processes that wanted to run, in the minute before the beginning and before the end."""


def run(suite: str, settings: Settings, progress: Progress, load: Load | None = None) -> list[dict[str, Any]]:
    """Found a shop, start it, register the wallets, and buy.  BenchmarkError if nothing could be bought."""
    load = load or (QUICK if settings.quick else FULL)
    with tempfile.TemporaryDirectory(prefix="setproto-bench-") as folder, ExitStack() as until:
        directory = Path(folder) / "shop"
        cards = [SampleCard(_number(n), _EXPIRY, _HOLDER, 10**11) for n in range(load.wallets)]
        found(directory, datetime.now(UTC), suite=suite, database=load.database, cards=cards)
        servers = {role: until.enter_context(HTTPTransport(_url(directory, role))) for role in ROLES}
        processes = until.enter_context(_up(directory, servers))
        in_memory = _MEMORY.is_dir() and not load.durable_wallets
        place = until.enter_context(tempfile.TemporaryDirectory(dir=_MEMORY if in_memory else folder))
        tills = _wallets(directory, Path(place), cards, until, progress)
        for till in tills:  # connections are open and code is warm before the clock runs
            failure = _buy(till)
            if failure is not None:
                raise BenchmarkError(f"not timed, because nothing can be bought: {failure}")
        about = f"suite {suite}, {load.wallets} wallets {'in memory' if in_memory else 'on the disk'}"
        full = _drive(load.purchases, load.rate, tills, processes, servers, progress)
        half = _drive(load.purchases // 2, load.rate / 2, tills, processes, servers, progress)
    return [
        _bought("shop.purchases", full, about),
        _bought("shop.p99.half_rate", half, about),
        *_processes(full),
        *_messages(full),
    ]


# --- what the report says -------------------------------------------------------------------------


def _bought(name: str, part: _Part, about: str) -> dict[str, Any]:
    """The latencies of one rate; ``ops_per_second`` is what was reached, from the first arrival to the last receipt."""
    if not part.latencies:
        raise BenchmarkError(f"nothing was bought: {part.failures}")
    seconds = [taken for _, taken in sorted(part.latencies)]
    return result(Case(name, _drive), {name: seconds}, loops=1) | {
        "ops_per_second": len(seconds) / part.elapsed,
        "wanted_per_second": part.rate,
        "failures": part.failures,
        "timeline": _timeline(part),
        "system_load": part.system,
        "about": f"{about}; {part.elapsed:.1f} s",
    }


def _timeline(part: _Part) -> list[list[float]]:
    """Second, median and longest latency of the purchases that were due in it."""
    by_second: dict[int, list[float]] = {}
    for due, taken in sorted(part.latencies):
        by_second.setdefault(int(due), []).append(taken)
    return [[second, sorted(taken)[len(taken) // 2], max(taken)] for second, taken in by_second.items()]


def _processes(part: _Part) -> Iterator[dict[str, Any]]:
    """Processor time, octets written and memory of each process; time and octets are means per purchase."""
    done = len(part.latencies)
    for name, spent in part.cpu.items():
        written = {"bytes": part.written[name] // done, "memory_mib": part.memory[name]}
        yield _mean(f"shop.cpu.{name}", max(spent, 1 / _TICKS), done) | written
    yield _mean("shop.cpu.all", sum(part.cpu.values()), done)


def _messages(part: _Part) -> Iterator[dict[str, Any]]:
    """How long each server took for each sort of message, waiting included: means, by its own metrics."""
    for name, (count, seconds) in part.messages.items():
        yield _mean(f"shop.message.{name}", seconds, count)


def _mean(name: str, total: float, count: int) -> dict[str, Any]:
    """A result of which only the mean is known."""
    one = total / count
    return result(Case(name, _drive), {name: [one]}, loops=1) | {"samples": count, "about": "a mean"}


# --- buying ---------------------------------------------------------------------------------------


def _drive(
    purchases: int,
    rate: float,
    tills: list[Till],
    processes: Mapping[str, int],
    servers: Mapping[str, HTTPTransport],
    progress: Progress,
) -> _Part:
    """Let arrivals come at their times; whichever wallet is free takes the next."""
    part = _Part(rate)
    arrivals: queue.Queue[float | None] = queue.Queue()
    lock = threading.Lock()

    def serve(till: Till) -> None:
        while (due := arrivals.get()) is not None:
            failure = _buy(till)
            taken = pyperf.perf_counter() - began - due
            with lock:
                if failure is None:
                    part.latencies.append((due, taken))
                else:
                    part.failures[failure] = part.failures.get(failure, 0) + 1

    part.system.append(os.getloadavg()[0])
    cpu = {name: _cpu(pid) for name, pid in processes.items()}
    written = {name: _written(pid) for name, pid in processes.items()}
    messages = _told(servers)
    part.memory = {name: [_memory(pid)] for name, pid in processes.items()}
    threads = [threading.Thread(target=serve, args=(till,)) for till in tills]
    began = pyperf.perf_counter()
    for thread in threads:
        thread.start()
    for number in range(purchases):
        due = number / rate
        time.sleep(max(0.0, began + due - pyperf.perf_counter()))
        arrivals.put(due)
        progress(f"shop at {rate:.1f}/s", number + 1, purchases)
        if number == purchases // 2:
            for name, pid in processes.items():
                part.memory[name].append(_memory(pid))
    for _ in threads:
        arrivals.put(None)
    for thread in threads:
        thread.join()
    part.elapsed = pyperf.perf_counter() - began
    for name, pid in processes.items():
        part.cpu[name] = _cpu(pid) - cpu[name]
        part.written[name] = _written(pid) - written[name]
        part.memory[name].append(_memory(pid))
    for name, (count, seconds) in _told(servers).items():
        before = messages.get(name, (0, 0.0))
        if count > before[0]:
            part.messages[name] = count - before[0], seconds - before[1]
    part.system.append(os.getloadavg()[0])
    return part


def _buy(till: Till) -> str | None:
    """One purchase, to the receipt; what went wrong, if something did."""
    try:
        order = till.quote(_FORM)
        till.approach(order.lid_m, "card")
        outcome = till.pay(order.lid_m)
        if not outcome.standing.is_paid:
            return outcome.standing.value
        return None if till.fetch_receipt(order.lid_m) is not None else "no receipt"
    except SetError as failure:
        return type(failure).__name__


def _wallets(
    directory: Path, folder: Path, cards: list[SampleCard], until: ExitStack, progress: Progress
) -> list[Till]:
    shop = read_shop(directory / SHOP_FILE)

    def made(number: int) -> Till:
        card = cards[number]
        vault = Vault.create(folder / str(number), Passphrase.new(_PASSPHRASE))
        until.callback(vault.close)
        wallet = Wallet(vault)
        wallet.add_card("card", Card(BRAND, PAN(card.number), CardExpiry(card.expiry)))
        with HTTPTransport(shop.ca) as ca:
            register(wallet, "card", shop.trust, ca, lambda _: {"Name": _HOLDER})
        server = HTTPTransport(shop.merchant)
        until.callback(server.close)
        progress("wallets", number + 1, len(cards))
        return Till(wallet, shop.trust, server, shop.merchant)

    # One after the other: OpenSSL's Argon2id, with lanes in threads of its own, hangs if two of ours ask for it.
    return [made(number) for number in range(len(cards))]


@contextmanager
def _up(directory: Path, servers: Mapping[str, HTTPTransport]) -> Iterator[dict[str, int]]:
    """`setproto up`; process → its id, this one with the wallets among them."""
    command = [sys.executable, "-m", "setproto", "up", "--data", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if not any(line.startswith("up;") for line in process.stdout or ()):
            raise BenchmarkError(f"the shop did not start: exit status {process.wait()}")
        pids = {role: int(server.json("GET", "/health")["process"]) for role, server in servers.items()}
        yield {**pids, "wallets": os.getpid()}
    finally:
        process.terminate()
        process.communicate()


def _told(servers: Mapping[str, HTTPTransport]) -> dict[str, tuple[int, float]]:
    """Server and message → how many and how long in all, as the servers count them."""
    found: dict[str, dict[str, float]] = {}
    for role, server in servers.items():
        _, _, text = server.request("GET", "/metrics")
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                kind = sample.name.removeprefix("setproto_request_seconds_")
                if kind in ("count", "sum"):
                    message = sample.labels["message"].replace("{order}", "").strip("/").replace("//", "_").lower()
                    found.setdefault(f"{role}.{message}", {})[kind] = sample.value
    return {name: (int(values["count"]), values["sum"]) for name, values in found.items()}


def _url(directory: Path, role: str) -> str:
    return f"http://{tomllib.loads((directory / role / f'{role}.toml').read_text())['listen']}"


def _number(n: int) -> str:
    """The n-th number that could be a card's, in a range that is used for tests."""
    body = f"4000000{n:08d}"
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has used, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> float:
    """Resident memory in MiB."""
    return round(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20, 1)


def _written(pid: int) -> int:
    """Octets that a process has had written to the disk; 0 if the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))
