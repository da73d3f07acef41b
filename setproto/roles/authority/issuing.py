"""From an approved request to certificates (set-protocol.md §6.3, §6.4, §6.11 step 12).

A cardholder's certificate shows neither holder nor card: its subject is a MAC of the account under PANSecret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pki import PROFILES, Authority, CertificateKind
from pki.authority import certificate_der
from pki.extensions import CardCertRequired, PrivateExtension
from pki.names import cardholder_name, gateway_name, merchant_name
from setproto.card import Card, CardExpiry, PANSecret, unique_cardholder_id
from setproto.crypto.digests import derive_key
from setproto.crypto.possession import load_exchange_key, load_signature_key
from setproto.messages.common import Role
from setproto.messages.registration import CertReqData
from setproto.roles.authority.ports import Approval

BACKDATED: Final = timedelta(minutes=15)
"""How far before now a certificate begins: clocks differ by as much as messages may (messages.wrapper.MAX_AGE)."""


class Unfit(Exception):
    """What the bank approved cannot be certified.  The text is fit for the applicant."""


@dataclass(frozen=True)
class Issuer:
    """A CA at work: where its certificates come from, and for when."""

    authority: Authority
    """Bound to the register of the running transaction."""
    now: datetime
    lives: Mapping[CertificateKind, timedelta]
    """For how long certificates are issued, where it is not as long as their profile says."""

    def card(self, public_key_s: bytes, card: Card, pan_secret: PANSecret, approval: Approval) -> list[bytes]:
        """A cardholder's certificate, which does not outlive the card (§6.2).  CertificateError, Unfit."""
        identifier = unique_cardholder_id(card.pan, card.expiry, pan_secret)
        subject = cardholder_name(approval.country, card.brand, approval.bank, identifier, card_name=approval.card_name)
        ends = end_of(card.expiry)
        if ends <= self.now:
            raise Unfit("the card has expired")
        key = load_signature_key(public_key_s, self.authority.suite.name)
        return [self._issue(CertificateKind.CARDHOLDER_SIGNATURE, subject, key, (), ends)]

    def business(self, role: Role, name: str, request: CertReqData, approval: Approval) -> list[bytes]:
        """The certificates of a merchant or a gateway called ``name``: for signatures, for key exchange, or both."""
        suite, brand = self.authority.suite.name, self.authority.brand
        if role is Role.merchant:
            data = approval.merchant_data
            if data is None or data.mer_id != name:  # the requested name is the one certified (W-11)
                raise Unfit("the acquirer knows this merchant under another name")
            subject = merchant_name(approval.country, brand, approval.bank, data.mer_name_seq[0].name)
            kinds = CertificateKind.MERCHANT_SIGNATURE, CertificateKind.MERCHANT_EXCHANGE
            extensions: tuple[tuple[PrivateExtension, ...], ...] = ((data,), (data,))
        else:
            subject = gateway_name(approval.country, brand, approval.bank, name)
            kinds = CertificateKind.GATEWAY_SIGNATURE, CertificateKind.GATEWAY_EXCHANGE
            extensions = ((), (CardCertRequired(approval.card_cert_required),))
        # Both keys are read before the first certificate is made: both or none.
        keys = [
            None if request.public_key_s is None else load_signature_key(request.public_key_s, suite),
            None if request.public_key_e is None else load_exchange_key(request.public_key_e, suite),
        ]
        return [
            self._issue(kind, subject, key, own)
            for kind, key, own in zip(kinds, keys, extensions, strict=True)
            if key is not None
        ]

    def _issue(
        self,
        kind: CertificateKind,
        subject: Any,
        public_key: Any,
        extensions: Iterable[PrivateExtension],
        ends: datetime | None = None,
    ) -> bytes:
        certificate = self.authority.certificate
        begins = max(self.now - BACKDATED, certificate.not_valid_before_utc)
        life = self.lives.get(kind, PROFILES[kind].validity)
        limits = [begins + life, certificate.not_valid_after_utc]
        issued = self.authority.issue(
            kind,
            subject,
            public_key,
            not_before=begins,
            not_after=min([*limits, ends] if ends is not None else limits),
            extensions=extensions,
        )
        return certificate_der(issued)


def end_of(expiry: CardExpiry) -> datetime:
    """The last second of the last month in which a card is good."""
    months = int(expiry.reveal()[:4]) * 12 + int(expiry.reveal()[4:])  # that is the month after it, from 0
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC) - timedelta(seconds=1)


def nonce_cca(key: bytes, lid_ca: bytes) -> bytes:
    """Nonce-CCA of a registration: unpredictable without the CA's key, and the same when it is asked for again.

    So the CA need not keep it, and two registrations never share one (CR-13, PX-14).
    """
    return derive_key("Nonce-CCA", key, lid_ca)
