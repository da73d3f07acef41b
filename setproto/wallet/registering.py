"""A certificate for a card, over the wire (set-protocol.md §2.15 to 2.19, §6.11).

Every message is on the disk before it is sent, so a registration that was interrupted goes on where it was: an
application is repeated octet for octet, or asked about.  Before the form is answered nothing has been decided, and a
registration that ended there begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from setproto.errors import UsageError
from setproto.messages.codes import RequestType
from setproto.messages.registration import RegFormOrReferral
from setproto.roles.applicant import Applicant
from setproto.roles.enrolment import State
from setproto.roles.ports import Event, EventKind, Outgoing
from setproto.wallet.items import CardItem, Wallet, registered
from setproto.wallet.trust import Trust

__all__ = ["Answers", "Outcome", "Wire", "register", "send"]

REGISTRATION: Final = "application/set-registration"
_LID_SIZE: Final = 20

Answers = Callable[[RegFormOrReferral], Mapping[str, str]]
"""Fills in the form of the CA: field → value."""


class Wire(Protocol):
    """The way to a server (``setproto.client.HTTPTransport``)."""

    def post(self, data: bytes, media_type: str) -> bytes:
        """Send one message; the message that answers it.  Unreachable if there is none."""


@dataclass(frozen=True)
class Outcome:
    """How far a registration got; ``said``: what the CA says about it."""

    state: State
    said: str = ""
    ca: str = ""


def register(wallet: Wallet, label: str, trust: Trust, wire: Wire, answers: Answers) -> Outcome:
    """Get the certificate of a card, or go on with that.

    UsageError if the card is registered, of another brand, or the CA answers with what cannot be used; Unreachable if
    the CA does not answer: called again, it goes on.
    """
    item = wallet.card(label)
    if item.registered is not None:
        raise UsageError(f"the card {label} is registered already")
    if item.brand != trust.brand:
        raise UsageError(f"the card {label} is of the brand {item.brand}, and this shop of {trust.brand}")
    item, applicant = _applicant(wallet, item, trust)
    said, ca = "", ""
    state = _state(applicant)
    if state is None:
        ca = send(applicant, wire, applicant.start())
        state = _state(applicant)
    if state is State.FORM_RECEIVED:
        said = send(applicant, wire, applicant.apply(answers(applicant.form().form)))
    elif state is State.REQUESTED:
        said = send(applicant, wire, applicant.apply({}))
    elif state is State.PENDING:
        said = send(applicant, wire, applicant.inquire())
    state = applicant.enrolment().state
    if state is State.COMPLETE:
        done = registered(applicant.certified(), trust.roots)
        wallet.change_card(label, lambda now: replace(now, enrolment=None, registered=done))
    elif state in (State.REFUSED, State.REFERRED):
        wallet.change_card(label, lambda now: replace(now, enrolment=None))
    return Outcome(state, said, ca)


def _applicant(wallet: Wallet, item: CardItem, trust: Trust) -> tuple[CardItem, Applicant]:
    """The registration that is under way, if the CA has an application; else a new one."""

    def of(lid_ee: bytes) -> Applicant:
        return Applicant(
            item.card,
            RequestType.cardInitialSig,
            trust.validator(),
            wallet.vault,
            brand=item.brand,
            lid_ee=lid_ee,
            vault=wallet.enrolment_key(),
            clock=wallet.clock,
            random=wallet.random,
        )

    if item.enrolment is not None:
        applicant = of(item.enrolment)
        if _state(applicant) in (State.FORM_RECEIVED, State.REQUESTED, State.PENDING, State.COMPLETE):
            return item, applicant
    lid_ee = wallet.random(_LID_SIZE)
    return wallet.change_card(item.label, lambda now: replace(now, enrolment=lid_ee)), of(lid_ee)


def _state(applicant: Applicant) -> State | None:
    try:
        return applicant.enrolment().state
    except UsageError:
        return None


def send(applicant: Applicant, wire: Wire, message: Outgoing) -> str:
    """Send, and whatever comes of it; what the CA said last.  UsageError if an answer cannot be used."""
    waiting, said = [message], ""
    while waiting:
        reply = applicant.handle(wire.post(waiting.pop(0).data, REGISTRATION))
        for event in reply.events:
            said = _understood(event) or said
        waiting += reply.outgoing
    return said


def _understood(event: Event) -> str:
    if event.kind in (EventKind.REFUSED, EventKind.ERROR_RECEIVED):
        code = "" if event.code is None else event.code.name
        who = "the answer of the CA is refused" if event.kind is EventKind.REFUSED else "the CA refuses the message"
        raise UsageError(f"{who}: {code} {event.detail}".rstrip())
    return "" if event.kind is EventKind.FORM else event.detail
