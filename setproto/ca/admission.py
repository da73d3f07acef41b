"""Merchants and gateways that apply over the wire: they wait until the operator of the hierarchy has seen them.

The CA says ``pending`` to whoever applies.  The operator looks at what waits, and admits it or turns it away; the
applicant learns it with its next inquiry (set-protocol.md §2.19).  What the operator decided is in the database, under
the reference of the application (its LID-CA).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from pki import MerchantData, MerchantName
from pki.der import Implicit, decode, encode, sequence
from setproto.ca.office import Office
from setproto.ca.parties import ISSUERS
from setproto.ca.registrar import PlainForms
from setproto.errors import Unreachable, UsageError
from setproto.messages.common import Role
from setproto.roles.authority.ports import Application, Approval, BusinessApplication, Decision, Verdict
from setproto.roles.ports import Store, Transaction

__all__ = ["Admission", "AdmissionDesk", "approval", "decide", "require_new"]

_ADMISSIONS: Final = "admissions"


@sequence
class Admission:
    """What the operator decided: ``acquirer`` and, for a merchant, how it is shown; or why it is turned away."""

    acquirer: Annotated[str | None, Implicit(0)] = None
    shown_as: Annotated[str | None, Implicit(1)] = None
    city: Annotated[str | None, Implicit(2)] = None
    country: Annotated[int | None, Implicit(3)] = None
    """Of the merchant, ISO 3166 numeric."""
    refusal: Annotated[str | None, Implicit(4)] = None


def approval(application: BusinessApplication, admission: Admission, country: str) -> Approval:
    """What is to be certified; ``country`` is that of the hierarchy.  UsageError for what no certificate can say."""
    if application.party.role is Role.gateway:
        return Approval(country, admission.acquirer or "")
    try:
        names = MerchantName(
            language="en", name=admission.shown_as or "", city=admission.city or "", country_name=country
        )
        data = MerchantData(
            mer_id=application.party.name,
            mer_acquirer_bin=application.acquirer_bin,
            mer_name_seq=(names,),
            mer_country=admission.country or 0,
        )
    except ValueError as failure:
        raise UsageError(str(failure)) from None
    return Approval(country, admission.acquirer or "", merchant_data=data)


def decide(transaction: Transaction, application: BusinessApplication, admission: Admission) -> None:
    """Write down what the operator decided about what waits."""
    transaction.put(_ADMISSIONS, application.reference, encode(admission))


def require_new(office: Office, application: BusinessApplication) -> None:
    """UsageError if somebody has a certificate in this name that is good, unless it is its holder who renews it: at a
    gateway, two merchants of one name are one merchant."""
    if application.request_type.renewal:
        return
    for issued in office.certificates():
        checked = issued.checked
        if ISSUERS.get(checked.kind) == f"{application.party.role.name}-ca" and issued.state(office.at) == "valid":
            data = checked.merchant_data
            if application.party.name == (checked.name.common_name if data is None else data.mer_id):
                raise UsageError(
                    f"{application.party.name} has a certificate that is valid: it is renewed or revoked first"
                )


@dataclass
class AdmissionDesk(PlainForms):
    """Says of every merchant or gateway what the operator has decided."""

    store: Store
    country: str
    open_account: Callable[[MerchantData], None]
    """Tells the acquirer of a new merchant; the same again changes nothing.  Unreachable, UsageError."""

    def decide(self, application: Application) -> Decision:
        """Pending until the operator has decided; a merchant has its account before it has a certificate."""
        if not isinstance(application, BusinessApplication):
            return Decision(Verdict.REFUSED, "no cardholders are certified here")
        with self.store.transaction() as transaction:
            stored = transaction.get(_ADMISSIONS, application.reference)
        if stored is None:
            return Decision(Verdict.PENDING, "waits for the operator of this hierarchy")
        admission = decode(Admission, stored)
        if admission.refusal is not None:
            return Decision(Verdict.REFUSED, admission.refusal)
        try:
            wanted = approval(application, admission, self.country)
            if wanted.merchant_data is not None:
                self.open_account(wanted.merchant_data)
        except Unreachable:
            return Decision(Verdict.IN_PROGRESS, "the bank does not answer now; ask again later")
        except UsageError as failure:
            return Decision(Verdict.REFUSED, failure.detail)
        return Decision(Verdict.APPROVED, approval=wanted)
