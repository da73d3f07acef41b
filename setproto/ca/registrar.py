"""The CAs of a hierarchy as parties to the registration protocol, and the operator who speaks for the banks.

``setproto ca register`` runs applicant and CA in one process, over the messages that they would send each other on a
wire.  The form is the plainest that there is; whoever runs ``setproto ca`` has seen the applicant, and approves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from pki import Credential, PathValidator, check_certificate
from setproto.ca.office import Office
from setproto.ca.parties import ISSUERS
from setproto.ca.register import StoreRegister
from setproto.ca.vault import Vault
from setproto.crypto.cms import RecipientKey, Signer
from setproto.crypto.suites import suite
from setproto.errors import UsageError
from setproto.messages.codes import RequestType
from setproto.messages.common import PartyID, Role
from setproto.messages.registration import RegField, RegFormData, RegTemplate
from setproto.roles.authority import CertificateAuthority
from setproto.roles.authority.ports import Application, Approval, Decision, Entitlement, Form, Forms, Verdict
from setproto.roles.credentials import Credentials
from setproto.roles.ports import Clock, RandomBytes, Store, Transaction

__all__ = ["POLICY", "Desk", "Operator", "PlainForms", "certificate_authority", "registration_key"]

POLICY: Final = "Certificates are issued to whom the operator of this hierarchy has seen."
_NAME: Final = RegField(field_name="Name", field_desc="of the person who applies", field_len=60, field_required=True)
_ACCOUNT: Final = RegField(field_name="Account", field_desc="at the acquirer", field_len=60, field_required=True)
"""What a merchant or gateway is asked about its account."""
_ROLES: Final = {
    Role.cardholder: ("cardholder-ca", Role.cardholder_ca),
    Role.merchant: ("merchant-ca", Role.merchant_ca),
    Role.gateway: ("gateway-ca", Role.gateway_ca),
}


class PlainForms:
    """The one form there is."""

    def find(self, request_type: RequestType, bin_number: str, language: str) -> Form:
        """The same form for everybody."""
        template = RegTemplate(reg_form_id=1, reg_field_seq=[_NAME])
        form = RegFormData(reg_template=template, policy_text=POLICY)
        return Form(form, None if request_type.applicant == Role.cardholder else _ACCOUNT)


@dataclass(frozen=True)
class Operator(PlainForms):
    """Shows the form, and approves."""

    approval: Approval

    def decide(self, application: Application) -> Decision:
        """Whoever came as far as this has been seen by the operator."""
        return Decision(Verdict.APPROVED, approval=self.approval)


class Desk(Forms, Entitlement, Protocol):
    """Forms and decisions in one."""


def certificate_authority(
    store: Store, vault: Vault, applicants: Role, brand: str, operator: Desk, *, clock: Clock, random: RandomBytes
) -> tuple[CertificateAuthority, PathValidator]:
    """The CA for these applicants of a brand, ready to take messages; and a validator for an applicant.

    UsageError if it has no message certificates.
    """
    role_name, role = _ROLES[applicants]
    with store.transaction() as transaction:
        office = Office(transaction, clock(), vault)
        name = office.named(f"{brand}/{role_name}").name
        authority = office.authority(name)
        own = _credentials(office.credential(name), role, office.hierarchy.suite)
        validator, for_applicant = office.validator(), office.validator()
    identifier = authority.checked.subject_key_identifier

    def register(transaction: Transaction) -> StoreRegister:
        return StoreRegister(transaction, name, identifier, clock().replace(microsecond=0))

    ca = CertificateAuthority(
        own,
        authority,
        register,
        operator,
        operator,
        validator,
        store,
        secret_key=registration_key(vault, name),
        clock=clock,
        random=random,
        lives={kind: office.hierarchy.life(kind) for kind in ISSUERS},
    )
    return ca, for_applicant


def registration_key(vault: Vault, name: str) -> bytes:
    """The secret key of the CA called ``name`` for its registrations: 32 octets."""
    return vault.derived(f"registration at {name}")


def _credentials(issued: Credential, role: Role, suite_name: str) -> Credentials:
    """What the hierarchy issued for messages, as the role wants it.  UsageError if there is no key-exchange key."""
    if issued.exchange_certificate is None:
        raise UsageError("a CA that registers has a key-exchange key")
    name = check_certificate(issued.signature_certificate).name
    called = name.common_name or " ".join(name.units)
    signer = Signer(issued.signature_key, issued.signature_certificate, suite(suite_name))
    exchange = RecipientKey(issued.exchange_key, issued.exchange_certificate, suite_name)
    return Credentials(PartyID(role=role, brand=name.organization, name=called), signer, exchange, issued.chain)
