"""What a server counts: few series, no identifiers, nothing secret."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

__all__ = ["Metrics"]

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("message",)
        self._requests = Counter(
            "setproto_requests",
            "Requests by message or path, and what became of them.",
            (*labels, "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "setproto_request_seconds",
            "Time from the request to its answer.",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._purchases = Counter(
            "setproto_purchases", "Purchases by step and outcome.", ("step", "outcome"), registry=self.registry
        )

    def request(self, message: str, outcome: str, seconds: float) -> None:
        """A request was answered.  ``message`` and ``outcome`` are from fixed sets, never from a peer."""
        self._requests.labels(message, outcome).inc()
        self._seconds.labels(message).observe(seconds)

    def purchase(self, step: str, outcome: str) -> None:
        """An authorisation, a capture or a credit was decided."""
        self._purchases.labels(step, outcome).inc()
