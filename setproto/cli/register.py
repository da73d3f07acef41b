"""``setproto register``: a merchant or a gateway gets its certificates from the CA of a running shop.

The keys are made here and never leave.  It waits until the operator of the hierarchy has decided.  Meanwhile the
application with its keys, locked by the passphrase, is in a file beside those that it will write, so that the command
can be ended and called again: it goes on with the same request.  When all is written the file is removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

from pki import key_suite
from pki.der import decode, encode
from setproto.ca.vault import Vault
from setproto.cli.ca.desk import KeyPassphraseFile, NewFiles, Out, key_passphrase, now, say
from setproto.cli.ca.options import Account, Bin, GatewayID, MerchantID, Person, Prefix
from setproto.cli.ca.register import file_names, files_of, in_words, request_type
from setproto.cli.console import printable
from setproto.cli.opening import ShopFile, answering, default_shop
from setproto.client import HTTPTransport
from setproto.crypto.cms import SecretKey
from setproto.crypto.digests import equal, mac
from setproto.errors import Unreachable, UsageError
from setproto.messages.common import Role
from setproto.messages.registration import AcquirerID, IDData, MerchantAcquirerID
from setproto.roles.applicant import Applicant
from setproto.roles.enrolment import APPLICATIONS, Business, Enrolment, State
from setproto.settings import require_private
from setproto.store.sql import SQLStore
from setproto.wallet.registering import send
from setproto.wallet.trust import read_shop

__all__ = ["register"]

_AGAIN_SECONDS: Final = 2.0
_WORDS: Final = "words"
_GOES_ON: Final = (State.REQUESTED, State.PENDING, State.COMPLETE)
"""The CA may have the application: to begin anew would be another one."""
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
    validator = known.trust.validator()
    words = (encode(subject.id_data), (subject.account or "").encode(), person.encode())
    with (
        HTTPTransport(f"{known.ca}/{subject.role.name}s") as ca,
        NewFiles(out, names) as files,
        _kept(out / f"{name}-application.db", passphrase, words, validator.suite) as (store, vault, begun),
    ):
        applicant = Applicant(
            subject,
            request_type(subject.role, renewal=False),
            validator,
            store,
            brand=known.trust.brand,
            lid_ee=begun or os.urandom(8),
            vault=vault,
            clock=now,
            random=os.urandom,
        )
        if begun is None:
            send(applicant, ca, applicant.start())
        _ask(applicant, ca, person)
        certified = applicant.certified()
        for file, data in files_of(name, certified, passphrase).items():
            files.write(file, data, 0o600 if "key" in file else 0o644)
    for certificate in certified.credentials.own_certificates[:2]:
        say(certificate)
    for file in names:
        typer.echo(f"written: {out / file}")


@contextmanager
def _kept(
    file: Path, passphrase: str, words: tuple[bytes, ...], suite: str
) -> Iterator[tuple[SQLStore, SecretKey, bytes | None]]:
    """Where an application is kept while it waits, what its secrets are sealed with, and its label if it has begun.

    UsageError, and the file stays as it is, if it has another passphrase, or is about an application in other
    ``words``.  It outlives the block if that fails and the CA may have the application.
    """
    if file.exists():
        require_private(file)
    else:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    store, ended = SQLStore(f"sqlite:///{file}", "register"), False
    try:
        with store.transaction() as transaction:
            known, chosen = transaction.get(_WORDS, b""), key_suite(suite)
            if known is None:
                vault = Vault.create(transaction, passphrase, chosen, os.urandom)
            else:
                vault = Vault.open(transaction, passphrase, chosen)
            said = mac("Application", vault.derived("ApplicationWords"), *words)
            if known is not None and not equal(known, said):
                raise UsageError(f"{file} holds an application that says something else: finish or remove it first")
            transaction.put(_WORDS, b"", said)
        try:
            yield store, SecretKey(vault.derived("ApplicationKeys"), b"register"), _begun(store)
            ended = True
        finally:
            ended = ended or _begun(store) is None
    finally:
        store.close()
        if ended:
            file.unlink()


def _begun(store: SQLStore) -> bytes | None:
    """The label of the application that goes on, if there is one."""
    with store.transaction() as transaction:
        found = ((label, decode(Enrolment, stored)) for label, stored in transaction.items(APPLICATIONS))
        return next((label for label, enrolment in found if enrolment.state in _GOES_ON), None)


def _ask(applicant: Applicant, ca: HTTPTransport, person: str) -> None:
    """Apply, and ask until it is decided, also while the CA does not answer any more.  UsageError if it refuses."""
    said = ""
    while (state := applicant.enrolment().state) is not State.COMPLETE:
        message = applicant.inquire() if state is State.PENDING else applicant.apply({"Name": person})
        try:
            told = send(applicant, ca, message)
            if told and told != said:
                typer.echo(printable(f"the CA says: {told}"))
            said = told
        except Unreachable:
            pass
        state = applicant.enrolment().state
        if state not in _GOES_ON:
            raise UsageError(f"the CA refuses: {said}")
        if state is not State.COMPLETE:
            time.sleep(_AGAIN_SECONDS)
