"""What a role makes of a message, told to the log and the metrics in words."""

from __future__ import annotations

from setproto.messages.wrapper import name_of
from setproto.roles.endpoint import Endpoint
from setproto.roles.ports import Event, EventKind, Outgoing
from setproto.server.http import Answered
from setproto.server.metrics import Metrics

__all__ = ["Talk"]

_STEPS = {
    EventKind.AUTHORIZATION: "authorization",
    EventKind.REVERSAL: "reversal",
    EventKind.CAPTURE: "capture",
    EventKind.CAPTURE_REVERSAL: "capture reversal",
    EventKind.CREDIT: "credit",
    EventKind.CREDIT_REVERSAL: "credit reversal",
    EventKind.CERTIFICATION: "certification",
}
"""What is counted as a step of a purchase, or of a registration."""


class Talk:
    """A role that answers whoever asks: a CA or a gateway.  The merchant asks its gateway first."""

    def __init__(self, role: Endpoint, metrics: Metrics) -> None:
        self.role = role
        self._metrics = metrics

    def answer(self, data: bytes) -> Answered:
        """Handle one message and answer it."""
        reply = self.role.handle(data)
        return self.answered(data, reply.outgoing, reply.events)

    def answered(self, data: bytes, outgoing: tuple[Outgoing, ...], events: tuple[Event, ...]) -> Answered:
        """The answer to whoever sent ``data``, and what happened on the way."""
        about: dict[str, str] = {}
        outcome = "answered" if outgoing else "waiting"
        for event in events:
            code = "" if event.code is None else event.code.name
            if event.xid is not None:
                about["xid"] = event.xid.hex()
            if event.kind in _STEPS:
                self._metrics.purchase(_STEPS[event.kind], code)
                about[_STEPS[event.kind]] = code
            elif event.kind is EventKind.REFUSED:
                outcome, about["code"], about["detail"] = "refused", code, event.detail
            elif event.kind is EventKind.REPEATED:
                outcome = "repeated"
        return Answered(outgoing[0].data if outgoing else None, name_of(data), outcome, about)
