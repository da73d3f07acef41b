"""Where the time of a purchase goes: by party and by kind of work.

Measured apart from the timing proper, because looking costs.  Each function of the table below is replaced, for the
duration, by one that notes when it begins and ends; time belongs to the innermost of them that is running.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from pki import PathValidator, der
from setproto.crypto import sealed, signed
from setproto.roles.cardholder import Cardholder
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant

KINDS: Final = ("signature", "verification", "seal", "open", "encode", "decode", "validate", "other")
PARTIES: Final = ("cardholder", "merchant", "gateway", "wires")
"""``wires`` is what carries the messages."""

_METHODS: Final[tuple[tuple[type, str, str], ...]] = (
    (signed.Signer, "sign", "signature"),
    (PathValidator, "validate", "validate"),
)
_FUNCTIONS: Final = (
    (signed.verify, "verification"),
    (sealed.seal, "seal"),
    (sealed.unseal, "open"),
    (der.encode, "encode"),
    (der.decode, "decode"),
)
_ENTRANCES: Final[tuple[tuple[type, tuple[str, ...]], ...]] = (
    (Cardholder, ("start", "pay", "handle")),
    (Merchant, ("handle", "capture")),
    (Gateway, ("handle",)),
)


class _Ledger:
    """Seconds by (party, kind)."""

    def __init__(self) -> None:
        self.times: dict[tuple[str, str], float] = defaultdict(float)
        self._now = ("wires", "other")
        self._since = 0.0

    def start(self) -> None:
        """Time runs from here."""
        self._since = time.perf_counter()

    def _switch(self, to: tuple[str, str]) -> tuple[str, str]:
        before, now = self._now, time.perf_counter()
        self.times[before] += now - self._since
        self._now, self._since = to, now
        return before

    def noting(self, function: Callable[..., Any], *, party: str = "", kind: str = "") -> Callable[..., Any]:
        """``function``, whose time is this party's, or of this kind."""

        @functools.wraps(function)
        def noted(*given: Any, **named: Any) -> Any:
            before = self._switch((party or self._now[0], kind or "other"))
            try:
                return function(*given, **named)
            finally:
                self._switch(before)

        return noted


def breakdown(prepare: Callable[[], Any], run: Callable[[Any], object], *, repetitions: int) -> dict[str, Any]:
    """Seconds per run as {party: {kind: seconds}}: the mean of the faster half of so many runs.

    The slower half has more of what else the machine did meanwhile.
    """
    ledgers = []
    for _ in range(repetitions):
        argument = prepare()
        ledger = _Ledger()
        with _noted(ledger):
            ledger.start()
            run(argument)
        ledgers.append(ledger)
    faster = sorted(ledgers, key=lambda ledger: sum(ledger.times.values()))[: (repetitions + 1) // 2]
    return {
        party: {
            kind: sum(ledger.times[party, kind] for ledger in faster) / len(faster)
            for kind in KINDS
            if (party, kind) in faster[0].times
        }
        for party in PARTIES
    }


@contextmanager
def _noted(ledger: _Ledger) -> Iterator[None]:
    with ExitStack() as undo:
        for owner, name, kind in _METHODS:
            _replace(undo, owner, name, ledger.noting(getattr(owner, name), kind=kind))
        for owner, names in _ENTRANCES:
            for name in names:
                _replace(undo, owner, name, ledger.noting(getattr(owner, name), party=owner.__name__.lower()))
        for function, kind in _FUNCTIONS:
            noted = ledger.noting(function, kind=kind)
            # Wherever the name was imported to.
            for module in [found for name, found in sys.modules.items() if name.startswith(("pki", "setproto"))]:
                for name in [name for name, value in vars(module).items() if value is function]:
                    _replace(undo, module, name, noted)
        yield


def _replace(undo: ExitStack, owner: Any, name: str, new: object) -> None:
    if name in vars(owner):
        undo.callback(setattr, owner, name, vars(owner)[name])
    else:  # inherited
        undo.callback(delattr, owner, name)
    setattr(owner, name, new)
