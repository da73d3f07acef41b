"""``setproto register``: a merchant or a gateway gets its certificates from the CA of a running shop.

The keys are made here and never leave; until they are certified they are in this process only.  So it waits until the
operator of the hierarchy has decided; ended before, it is as if nothing had been asked, and it begins anew.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import typer

from setproto.cli.ca.desk import KeyPassphraseFile, NewFiles, Out, key_passphrase, now, say
from setproto.cli.ca.options import Account, Bin, GatewayID, MerchantID, Person, Prefix
from setproto.cli.ca.register import file_names, files_of, in_words, request_type
from setproto.cli.console import printable
from setproto.cli.opening import ShopFile, answering, default_shop
from setproto.client import HTTPTransport
from setproto.crypto.cms import SecretKey
from setproto.errors import Unreachable, UsageError
from setproto.messages.common import Role
from setproto.messages.registration import AcquirerID, IDData, MerchantAcquirerID
from setproto.roles.applicant import Applicant
from setproto.roles.enrolment import Business, State
from setproto.store import MemoryStore
from setproto.wallet.registering import send
from setproto.wallet.trust import read_shop

__all__ = ["register"]

_AGAIN_SECONDS: Final = 2.0
register = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Get the certificates of a new merchant or gateway from the CA of a running shop.",
)


@register.command()
def merchant(
    mer_id: MerchantID,
    acquirer_bin: Bin,
    account: Account,
    person: Person,
    shop: ShopFile = None,
    name: Prefix = "merchant",
    out: Out = Path(),
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """Both certificates of a merchant, once the operator of the CA has approved."""
    with answering(), in_words():
        own = IDData(merchant_acquirer_id=MerchantAcquirerID(merchant_bin=acquirer_bin, merchant_id=mer_id))
        _register(Business(Role.merchant, own, account), person, shop, name, out, key_passphrase_file)


@register.command()
def gateway(
    gateway_id: GatewayID,
    acquirer_bin: Bin,
    account: Account,
    person: Person,
    shop: ShopFile = None,
    name: Prefix = "gateway",
    out: Out = Path(),
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """Both certificates of a payment gateway, once the operator of the CA has approved."""
    with answering(), in_words():
        own = IDData(acquirer_id=AcquirerID(acquirer_bin=acquirer_bin, acquirer_business_id=gateway_id))
        _register(Business(Role.gateway, own, account), person, shop, name, out, key_passphrase_file)


def _register(
    subject: Business, person: str, shop: Path | None, name: str, out: Path, passphrase_file: Path | None
) -> None:
    known = read_shop(default_shop(shop))
    passphrase = key_passphrase(passphrase_file, new=True)
    names = file_names(name, subject.role)
    applicant = Applicant(
        subject,
        request_type(subject.role, renewal=False),
        known.trust.validator(),
        MemoryStore(),
        brand=known.trust.brand,
        lid_ee=os.urandom(8),
        vault=SecretKey(os.urandom(32), b"register"),
        clock=now,
        random=os.urandom,
    )
    with HTTPTransport(f"{known.ca}/{subject.role.name}s") as ca, NewFiles(out, names) as files:
        _ask(applicant, ca, person)
        for file, data in files_of(name, applicant.certified(), passphrase).items():
            files.write(file, data, 0o600 if "key" in file else 0o644)
    for certificate in applicant.certified().credentials.own_certificates[:2]:
        say(certificate)
    for file in names:
        typer.echo(f"written: {out / file}")


def _ask(applicant: Applicant, ca: HTTPTransport, person: str) -> None:
    """Apply, and ask until it is decided, also while the CA does not answer any more.  Unreachable if it never did;
    UsageError if it refuses."""
    send(applicant, ca, applicant.start())
    message, said = applicant.apply({"Name": person}), ""
    while True:
        try:
            told = send(applicant, ca, message)
            if told and told != said:
                typer.echo(printable(f"the CA says: {told}"))
            said = told
        except Unreachable:
            pass
        state = applicant.enrolment().state
        if state is State.COMPLETE:
            return
        if state not in (State.REQUESTED, State.PENDING):
            raise UsageError(f"the CA refuses: {said}")
        time.sleep(_AGAIN_SECONDS)
        message = applicant.inquire() if state is State.PENDING else applicant.apply({"Name": person})
