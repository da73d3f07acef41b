"""What a CA asks of others: which form to show, and whether the applicant is entitled (set-protocol.md §6.11, §6.13).

The protocol does not say who an applicant is; the answers in the form do, and the bank that issued the card, or that
acquires for the merchant, judges them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pki import MerchantData
from setproto.card import Card, CardSecret
from setproto.messages.codes import RequestType
from setproto.messages.common import PartyID
from setproto.messages.registration import CaMsg, ReferralData, RegField, RegFormData


@dataclass(frozen=True)
class Form:
    """A registration form.  ``acct_data_field``: what to ask a merchant or gateway about its account, if anything."""

    reg_form_data: RegFormData
    acct_data_field: RegField | None = None


class Forms(Protocol):
    """The CA's registration forms."""

    def find(self, request_type: RequestType, bin_number: str, language: str) -> Form | ReferralData:
        """The form for this BIN (six digits), request and language (RFC 5646), or where to go instead."""


@dataclass(frozen=True)
class CardApplication:
    """A cardholder wants a certificate.  Everything secret in it redacts itself."""

    reference: bytes
    """Names this application: asked again with the same one, the bank answers about the same."""
    request_type: RequestType
    card: Card
    card_secret: CardSecret
    """To be kept with the account once approved: it verifies TransStain."""
    answers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class BusinessApplication:
    """A merchant or a gateway wants certificates under the name of ``party``."""

    reference: bytes
    request_type: RequestType
    party: PartyID
    acquirer_bin: str
    account: str | None = field(repr=False)
    """The answer to AcctDataField."""
    answers: Mapping[str, str] = field(repr=False)


Application = CardApplication | BusinessApplication


class Verdict(enum.Enum):
    """What the bank says."""

    APPROVED = "approved"
    PENDING = "waits for the CA or the bank"
    IN_PROGRESS = "is being processed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Approval:
    """What the bank wants certified.

    ``country`` and ``bank`` (the issuer or acquirer) go into the subject name; ``card_name`` is the promotional name of
    a card; ``merchant_data`` is needed for merchants, and must have the merID that they applied for;
    ``card_cert_required`` is for gateways.
    """

    country: str
    bank: str
    card_name: str | None = None
    merchant_data: MerchantData | None = None
    card_cert_required: bool = True


@dataclass(frozen=True)
class Decision:
    """The bank's answer; ``approval`` exactly when approved."""

    verdict: Verdict
    ee_message: str | None = None
    """For the applicant to read."""
    ca_msg: CaMsg | None = None
    approval: Approval | None = None

    def __post_init__(self) -> None:
        if (self.approval is None) == (self.verdict is Verdict.APPROVED):
            raise ValueError("an approval comes exactly with APPROVED")


class Entitlement(Protocol):
    """The issuer or acquirer behind a CA."""

    def decide(self, application: Application) -> Decision:
        """Whether this applicant may be certified.  Asked in no transaction, perhaps more than once for one
        request: idempotent by reference."""
