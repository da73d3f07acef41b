"""What a handler of the gateway hands back: a response but for what every response has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from setproto.roles.ports import Event


@dataclass(frozen=True)
class Answer:
    """``body`` is a response type with its own fields bound (``functools.partial``).

    The gateway adds head, request digest, thumbprint of Cert-PE and, where there is baggage, its digest.
    """

    body: Callable[..., Any]
    events: tuple[Event, ...]
    baggage: bytes | None = None
    also: tuple[bytes, ...] = ()
    """Certificates to enclose."""
