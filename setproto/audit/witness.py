"""A recorded message, verified again by somebody who was not there.

A ``Witness`` applies the checks of every receiver (set-protocol.md §4.1) to a message whose seal is off already.  It
has no keys, and takes no message for its own: whom a message was for is what the signed body says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from cryptography import x509

from pki import CertificateError, CertificateKind, PathValidator, check_certificate
from pki.profiles import CA_KINDS
from setproto.crypto.cms import Enclosed
from setproto.errors import ErrorCode, ProtocolError, UsageError
from setproto.messages.common import BodyHead, PartyID, Role
from setproto.messages.registration import CertResWire
from setproto.messages.registry import MessageType, Operator
from setproto.messages.wrapper import Wire, unwrap
from setproto.roles.endpoint import Endpoint
from setproto.roles.party import Party, Received, decoded, take_in
from setproto.roles.ports import Reply, Transaction
from setproto.roles.recording import Knowledge
from setproto.store import MemoryStore

B = TypeVar("B")

CLOSED: Final = (Operator.EXH, Operator.ENCX, Operator.SELF)
"""Messages of a registration that stay sealed in a record, or are signed with a key that has no certificate yet."""


class Closed(ProtocolError):
    """A message of which only its octets can be shown: see CLOSED."""


@dataclass(frozen=True)
class Witnessed:
    """A message as its signatures prove it."""

    wire: Wire
    type: MessageType[Any]
    received: Received[Any]
    recipient: PartyID | None
    """Whom the signed body is for; None for a message that nobody signed."""

    @property
    def body(self) -> Any:
        """The body, of the type that the registry names."""
        return self.received.body

    @property
    def at(self) -> datetime:
        """When the sender says that it made the message: the date of the header, which the signature covers."""
        return self.wire.header.date.as_datetime()


class _Witness(Endpoint):
    """Stands where the receiver stood, at the time given, without keys."""

    def __init__(self, party: PartyID, validator: PathValidator, at: datetime) -> None:
        # Not the constructor of Endpoint: it wants the keys that a witness has not.
        Party.__init__(self, party, validator, MemoryStore(), clock=lambda: at, random=os.urandom)

    def _unsealed(self, wire: Wire, message_type: MessageType[Any], sealed: bytes) -> bytes:
        return sealed  # the record has it without its seal

    def _open(self, wire: Wire, message_type: MessageType[B], me: PartyID) -> Received[B]:
        if message_type.operator in CLOSED:
            raise Closed("sealed in the record, or signed with a key without a certificate")
        if message_type.operator is Operator.ENCK:
            signed = decoded(CertResWire, wire.body).signed
            if signed is None:
                raise Closed("sealed in the record")
            return self.read_signed(wire, message_type, signed, me)
        return super()._open(wire, message_type, me)

    def check_head(
        self,
        head: BodyHead,
        content_type: x509.ObjectIdentifier,
        signer: PartyID,
        recipient: PartyID,
        under: Wire | None,
    ) -> None:
        super().check_head(head, content_type, signer, head.recipient, under)

    def read(self, wire: Wire) -> Received[Any]:
        raise ProtocolError("a witness takes no messages", code=ErrorCode.messageNotSupported)

    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        raise ProtocolError("a witness takes no messages", code=ErrorCode.messageNotSupported)


def witness(
    octets: bytes,
    validator: PathValidator,
    brand: str,
    *,
    by: Role | None = None,
    to: Role | None = None,
    at: datetime | None = None,
) -> Witnessed:
    """Verify a message that was recorded without its seal.

    ``by``, ``to``: the role that sent or got it, where the registry leaves a choice (registration).  ``at``: the aware
    time at which certificates must have been in force; without it that of the header, which the signature covers.
    ProtocolError as for a receiver; Closed where the record cannot show it.
    """
    wire = unwrap(octets)
    if wire.type is None or wire.critical is not None:
        raise ProtocolError("no message that changes anything", code=ErrorCode.messageNotSupported)
    role = to or wire.type.recipient_from(by or wire.type.sender)
    party = PartyID(role=role, brand=brand, name="witness")
    when = wire.header.date.as_datetime() if at is None else at
    received = _Witness(party, validator, when).receive(wire, wire.type)
    head = getattr(received.body, "head", None)
    recipient = head.recipient if isinstance(head, BodyHead) else None
    if recipient is not None and recipient.role is not party.role:
        raise ProtocolError("for another role", code=ErrorCode.wrongRecipient)
    return Witnessed(wire, wire.type, received, recipient)


def validator_of(roots: Iterable[bytes]) -> PathValidator:
    """A validator that trusts these roots (DER), of one suite.  UsageError if there is none, or they are no roots."""
    ders = list(roots)
    try:
        suites = {check_certificate(der).suite.name for der in ders}
        if len(suites) != 1:
            raise UsageError("the trusted roots are not of one suite")
        return PathValidator(map(x509.load_der_x509_certificate, ders), suite=suites.pop())
    except CertificateError as refusal:
        raise UsageError(f"not a root certificate: {refusal}") from None


def teach(validator: PathValidator, knowledge: Knowledge) -> None:
    """Take in what a record says that its party knew.  CertificateRefused if revocation data is forged.

    Certificates are only candidates for chains, so one that is no CA's, or of no known profile, is left alone.
    """
    for der in knowledge.certificates:
        with suppress(CertificateError):
            kind = check_certificate(der).kind
            if kind is CertificateKind.ROOT:
                validator.add_root(der)
            elif kind in CA_KINDS:
                validator.add_certificate(der)
    take_in(validator, Enclosed(tuple(knowledge.crls), knowledge.bci), ())
