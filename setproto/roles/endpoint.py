"""A party with certificates: what needs its keys, on the way out and on the way in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pki import PathValidator, ValidatedCertificate, thumbprint
from pki.der import encode
from setproto.crypto.cms import NOTHING, Enclosed, Recipient, RecipientKey, seal, unseal
from setproto.crypto.digests import digest
from setproto.crypto.dual import Part, View
from setproto.errors import ErrorCode, ProtocolError, UsageError
from setproto.messages.common import PartyID, Thumbs
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.oids import ID_ERROR_TBS, ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS
from setproto.messages.payment import EncB
from setproto.messages.purchase import PI, PURCHASE, PISeals, PReq
from setproto.messages.registry import MessageType, Operator
from setproto.messages.wrapper import MessageHeader, Wire
from setproto.roles.credentials import Credentials, party_of
from setproto.roles.party import Party, Received, Sent, content_of, decoded, lacking
from setproto.roles.ports import Clock, RandomBytes, Store

B = TypeVar("B")


class Endpoint(Party):
    """One party on the wire, with its own keys and certificates."""

    def __init__(
        self,
        credentials: Credentials,
        validator: PathValidator,
        store: Store,
        *,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
        journal: bool = False,
    ) -> None:
        """``held``, ``journal`` as for ``Party``.  UsageError if the keys are of another suite than the validator."""
        super().__init__(credentials.party, validator, store, clock=clock, random=random, held=held, journal=journal)
        if credentials.suite != validator.suite:
            raise UsageError(f"keys of suite {credentials.suite}, validator of suite {validator.suite}")
        self.credentials = credentials

    @property
    def own_certificates(self) -> tuple[bytes, ...]:
        """As for ``Party``."""
        return self.credentials.own_certificates

    def own_exchange_thumb(self) -> bytes:
        """Thumbprint of this party's key-exchange certificate."""
        return thumbprint(self.exchange_key().certificate)

    def exchange_key(self) -> RecipientKey:
        """This party's key-exchange key."""
        if self.credentials.exchange is None:
            raise TypeError("a cardholder has no key-exchange key")
        return self.credentials.exchange

    # --- on the way out ---------------------------------------------------------------------------

    def protect(
        self,
        message_type: MessageType[B],
        over: MessageHeader,
        body: B,
        *,
        recipient: ValidatedCertificate | None = None,
        baggage: bytes | None = None,
        peer_holds: Thumbs | None = None,
        inform: bool = False,
        also: Sequence[bytes] = (),
    ) -> Sent:
        """The body, protected as its entry in the registry says, wrapped under its header and ready to be sent.

        ``recipient`` is the key-exchange certificate to seal to, for messages that are sealed; ``also`` are
        certificates to enclose beside this party's own.  With ``inform`` the brand's revocation data is enclosed, too,
        as responses do (§6.9).  What the peer holds is left out.
        """
        encoded = plain = encode(body)
        content = content_of(message_type, plain, over)
        operator, unsealed = message_type.operator, None
        if operator is not Operator.PLAIN:
            encoded = self.sign(message_type, encoded, peer_holds=peer_holds, inform=inform, also=also)
        if operator in (Operator.ENC, Operator.ENCB):
            if recipient is None:
                raise TypeError(f"{message_type.name} is sealed to somebody")
            to = party_of(recipient, message_type.recipient_from(self.party.role))
            context = self.context(message_type.content_type, self.party, to, over.message_ids.xid, over.rrpid)
            unsealed = encoded
            encoded = seal(encoded, Recipient(recipient), context=context)
        if operator is Operator.ENCB:
            if baggage is None:
                raise TypeError(f"{message_type.name} carries baggage")
            encoded = encode(EncB(enc=encoded, baggage=baggage))
            if self.recorder is not None:
                unsealed = encode(EncB(enc=unsealed or b"", baggage=baggage))
        return self.sent(message_type, over, encoded, content, plain, unsealed)

    def sign(
        self,
        message_type: MessageType[Any],
        encoded: bytes,
        *,
        peer_holds: Thumbs | None = None,
        inform: bool = False,
        also: Sequence[bytes] = (),
    ) -> bytes:
        """SignedData over an encoded body, with the certificates that the peer needs; arguments as for ``protect``."""
        known = set((peer_holds.cert_thumbs if peer_holds else None) or ())
        wanted = (*self.credentials.own_certificates, *also)
        enclosed = [der for der in wanted if not known or thumbprint(der) not in known]
        revocation = NOTHING
        if inform:
            held = self.validator.revocation(self.party.brand)
            revocation = lacking(Enclosed(held.crls, held.bci), peer_holds)
        return self.credentials.signer.sign(
            encoded, message_type.content_type, certificates=enclosed, revocation=revocation
        )

    def _error(self, body: ErrorTBS) -> Error:
        """The signed form."""
        signed = self.credentials.signer.sign(encode(body), ID_ERROR_TBS, certificates=self.credentials.chain)
        return Error(signed_error=signed)

    # --- on the way in ----------------------------------------------------------------------------

    def _open(self, wire: Wire, message_type: MessageType[B], me: PartyID) -> Received[B]:
        operator = message_type.operator
        if operator is Operator.DUAL:
            return self._open_dual(wire, message_type, me)
        if operator is Operator.ENC:
            return self.read_signed(wire, message_type, self._unsealed(wire, message_type, wire.body), me)
        if operator is Operator.ENCB:
            outer = decoded(EncB, wire.body)
            signed = self._unsealed(wire, message_type, outer.enc)
            return self.read_signed(wire, message_type, signed, me, outer.baggage)
        return super()._open(wire, message_type, me)

    def _unsealed(self, wire: Wire, message_type: MessageType[Any], sealed: bytes) -> bytes:
        """What was sealed to this party by whom the header names."""
        sender = wire.header.sender
        if sender is None:
            raise ProtocolError("a sealed message names its sender", code=ErrorCode.badMessageHeader)
        ids = wire.header.message_ids
        context = self.context(message_type.content_type, sender, self.party, ids.xid, wire.header.rrpid)
        content = unseal(sealed, self.exchange_key(), context=context).content
        wire.unsealed.append(content)
        return content

    def _open_dual(self, wire: Wire, message_type: MessageType[B], me: PartyID) -> Received[B]:
        preq = decoded(PReq, wire.body)
        seals = decoded(PISeals, preq.pi.seals)
        order = Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt)
        view = View((order, seals_part(preq.pi, seals)), {ID_PI_DATA: preq.oi.hpi_data}, preq.pi.pi_signature)
        role = message_type.sender_to(self.party.role)
        verified = PURCHASE.verify(view, suite=self.suite, certify=self.certify(role))
        body = decoded(message_type.body, verified[ID_OI_DATA])
        sender = party_of(verified.signer, role)
        self.check_head(body.head, message_type.content_type, sender, me, wire)  # type: ignore[attr-defined]
        if seals.cardholder != sender or seals.rrpid != wire.header.rrpid:
            raise ProtocolError("order and payment instruction differ", code=ErrorCode.wrapperMsgMismatch)
        content = digest(message_type.name, *(verified.digests[oid] for oid in PURCHASE.part_types))
        return Received(body, content, verified.signer, sender, (), preq.pi, dict(verified.digests))


def seals_part(pi: PI, seals: PISeals) -> Part:
    """The sealed objects as a part of the dual signature; the RRPID, fresh in every request, is the salt."""
    return Part(ID_PI_SEALS, pi.seals, seals.rrpid)


__all__ = ["Credentials", "Endpoint", "seals_part"]
