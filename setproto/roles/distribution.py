"""Revocation data between the CAs of a brand and its gateways (set-protocol.md §2.21, §6.10).

A CA that made a CRL tells the brand CA (CRLNotification), which answers (CRLNotificationRes), makes a new
BrandCRLIdentifier, and gives it with the CRLs that it lists to everybody who asks (BCIDistribution).  What is
distributed is signed by its makers and believed for that alone; the signature of the message says who is to be
blamed, and until when the message is fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final, TypeVar

from cryptography.x509 import ObjectIdentifier

from pki import Authority, CertificateError, CheckedCRL, PathValidator, ValidatedCertificate, check_crl, thumbprint
from pki.der import encode, general_time
from setproto.crypto.cms import Enclosed, verify
from setproto.errors import CertificateRefused, ErrorCode, ProtocolError, WrongRecipient
from setproto.messages.common import VERSION, BodyHead, PartyID, Role
from setproto.messages.distribution import BCIDistributionTBS, CRLNotificationResTBS, CRLNotificationTBS
from setproto.messages.oids import ID_BCI_DISTRIBUTION_TBS, ID_CRL_NOTIFICATION_RES_TBS, ID_CRL_NOTIFICATION_TBS
from setproto.messages.wrapper import MAX_AGE
from setproto.roles.credentials import SIGNATURE_KINDS, Credentials, party_of
from setproto.roles.party import decoded, refused, take_in
from setproto.roles.ports import Clock

T = TypeVar("T", CRLNotificationTBS, CRLNotificationResTBS, BCIDistributionTBS)

PUBLISHERS: Final = (Role.cardholder_ca, Role.merchant_ca, Role.gateway_ca, Role.geo_ca, Role.brand_ca)
"""Whose CRLNotifications a brand CA takes.  The root is offline: its CRL is brought by hand."""


class Correspondent:
    """A CA or a gateway, as it exchanges revocation data with the brand CA."""

    def __init__(self, credentials: Credentials, validator: PathValidator, *, clock: Clock) -> None:
        self.credentials = credentials
        self.party = credentials.party
        self.validator = validator
        self.clock = clock

    def notify(self, crl: bytes, brand_ca: PartyID) -> bytes:
        """CRLNotification: ``crl`` (DER), which this CA made, for the brand CA."""
        body = CRLNotificationTBS(
            head=self._head(ID_CRL_NOTIFICATION_TBS, brand_ca),
            date=general_time(self.clock()),
            crl_thumbprint=thumbprint(crl),
        )
        return self._signed(body, ID_CRL_NOTIFICATION_TBS, Enclosed((crl,)))

    def read_acknowledgement(self, data: bytes, crl: bytes) -> None:
        """CRLNotificationRes: the brand CA has this CRL.  ProtocolError if it says something else."""
        body, _ = self._verified(data, CRLNotificationResTBS, ID_CRL_NOTIFICATION_RES_TBS, (Role.brand_ca,))
        if body.crl_thumbprint != thumbprint(crl):
            raise ProtocolError("the brand CA acknowledges another CRL", code=ErrorCode.wrapperMsgMismatch)

    def read_distribution(self, data: bytes) -> None:
        """BCIDistribution: take in the BrandCRLIdentifier and the CRLs.  ProtocolError if not genuine or fresh."""
        body, enclosed = self._verified(data, BCIDistributionTBS, ID_BCI_DISTRIBUTION_TBS, (Role.brand_ca,))
        if enclosed.bci is None or thumbprint(enclosed.bci) != body.bci_thumbprint:
            raise ProtocolError("not the BrandCRLIdentifier that was signed for", code=ErrorCode.wrapperMsgMismatch)

    # --- messages ---------------------------------------------------------------------------------

    def _head(self, content_type: ObjectIdentifier, recipient: PartyID) -> BodyHead:
        suite = self.credentials.suite
        return BodyHead(type=content_type, version=VERSION, suite=suite, sender=self.party, recipient=recipient)

    def _signed(self, body: Any, content_type: ObjectIdentifier, revocation: Enclosed) -> bytes:
        return self.credentials.signer.sign(
            encode(body), content_type, certificates=self.credentials.chain, revocation=revocation
        )

    def _verified(
        self, data: bytes, cls: type[T], content_type: ObjectIdentifier, senders: Iterable[Role]
    ) -> tuple[T, Enclosed]:
        """The body, by one of ``senders``, for this party, recent; and what was enclosed, which is taken in."""
        found: list[Enclosed] = []

        def learn(enclosed: Enclosed, certificates: Any) -> None:
            found.append(enclosed)
            take_in(self.validator, enclosed, certificates)

        verified = verify(data, content_type=content_type, certify=self._certify(senders), learn=learn)
        body = decoded(cls, verified.content)
        head, suite = body.head, self.credentials.suite
        if (head.type, head.version, head.suite, head.header_digest) != (content_type, VERSION, suite, None):
            raise WrongRecipient("signed for another type, version or suite")
        if head.sender != party_of(verified.signer, head.sender.role) or head.recipient != self.party:
            raise WrongRecipient("signed by or for somebody else")
        if abs(self.clock() - body.date.as_datetime()) > MAX_AGE:
            raise ProtocolError("the date is too far away", code=ErrorCode.messageTooOld)
        return body, found[0] if found else Enclosed()

    def _certify(self, senders: Iterable[Role]) -> Callable[[bytes, Any], ValidatedCertificate]:
        def decide(certificate: bytes, others: Any) -> ValidatedCertificate:
            first: CertificateError | None = None
            for role in senders:
                try:
                    return self.validator.validate(
                        certificate, kind=SIGNATURE_KINDS[role], brand=self.party.brand, at=self.clock(), extra=others
                    )
                except CertificateError as refusal:
                    first = first or refusal
            if first is None:
                raise CertificateRefused("nobody may send this", code=ErrorCode.invalidCertificate)
            raise refused(first) from None

        return decide


class BrandAuthority(Correspondent):
    """The brand CA: it keeps the manifest of its brand's CRLs."""

    def __init__(
        self,
        credentials: Credentials,
        authority: Authority,
        validator: PathValidator,
        crls: Iterable[bytes],
        *,
        life: timedelta,
        clock: Clock,
    ) -> None:
        """``authority`` is the brand CA's own, ``life`` how long a BrandCRLIdentifier is good for.

        ``crls``: the newest CRL (DER) of every CA of the brand and of the root.  CertificateError if one is forged.
        """
        super().__init__(credentials, validator, clock=clock)
        self._authority = authority
        self._life = life
        self._crls: dict[tuple[bytes, bytes], CheckedCRL] = {}
        for crl in crls:
            self.add_crl(crl)
        self.publish()

    def add_crl(self, crl: bytes) -> bool:
        """A CRL (DER) of the root or a CA of the brand; whether it is news.  CertificateError if it is not genuine."""
        self.validator.add_crl(crl)
        checked = check_crl(crl)
        place = (checked.issuer, checked.authority_key_identifier)
        held = self._crls.get(place)
        if held is not None and checked.number <= held.number:
            return False
        self._crls[place] = checked
        return True

    def publish(self) -> bytes:
        """A new BrandCRLIdentifier over the CRLs that are held now; DER."""
        now = self.clock()
        crls = [crl.der for crl in self._crls.values()]
        bci = self._authority.brand_crl_identifier(crls, at=now, not_after=now + self._life)
        self.validator.add_bci(bci)
        return bci

    def on_notification(self, data: bytes) -> bytes:
        """CRLNotification → CRLNotificationRes; a CRL that is new makes a new BrandCRLIdentifier.

        ProtocolError if the CRL is not enclosed, or not genuine.  Whose it is does not matter: it is signed.
        """
        body, enclosed = self._verified(data, CRLNotificationTBS, ID_CRL_NOTIFICATION_TBS, PUBLISHERS)
        if [thumbprint(crl) for crl in enclosed.crls] != [body.crl_thumbprint]:
            raise ProtocolError("not the CRL that was signed for", code=ErrorCode.wrapperMsgMismatch)
        try:
            if self.add_crl(enclosed.crls[0]):
                self.publish()
        except CertificateError as refusal:
            raise refused(refusal) from None
        answer = CRLNotificationResTBS(
            head=self._head(ID_CRL_NOTIFICATION_RES_TBS, body.head.sender),
            date=general_time(self.clock()),
            crl_thumbprint=body.crl_thumbprint,
        )
        return self._signed(answer, ID_CRL_NOTIFICATION_RES_TBS, Enclosed())

    def distribute(self, recipient: PartyID) -> bytes:
        """BCIDistribution for a CA or a gateway of the brand: the BrandCRLIdentifier and the CRLs."""
        held = self.validator.revocation(self.party.brand)
        if held.bci is None:
            raise CertificateRefused("no BrandCRLIdentifier", code=ErrorCode.missingCertificate)
        body = BCIDistributionTBS(
            head=self._head(ID_BCI_DISTRIBUTION_TBS, recipient),
            date=general_time(self.clock()),
            bci_thumbprint=thumbprint(held.bci),
        )
        return self._signed(body, ID_BCI_DISTRIBUTION_TBS, Enclosed(tuple(held.crls), held.bci))
