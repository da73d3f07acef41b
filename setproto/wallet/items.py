"""What lies in a wallet: means of payment, each an item of some kind (trade.md T11, T13).

Cards are the first kind.  Every further kind (money.md sections 2 to 5: electronic cash, cheque book, small change,
purse) takes a number in ``Kind``, a table of its own in the vault and a module of its own that pays with it; the
recorder shows all of them, by label.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from pki.der import GeneralizedTime, Implicit, Redacted, decode, encode, general_time, sequence, value_set
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret, cardholder_name
from setproto.crypto.cms import SecretKey, Signer
from setproto.crypto.possession import private_key_from, private_key_octets
from setproto.crypto.suites import suite
from setproto.errors import UsageError
from setproto.messages.common import PartyID, Role
from setproto.roles.cardholder import PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.enrolment import Certified
from setproto.roles.ports import Clock, RandomBytes, Transaction
from setproto.wallet.vault import Vault

__all__ = ["CardItem", "Kind", "Wallet"]

CARDS: Final = "cards"
SECRETS: Final = "secrets"
_ENROLMENT_KEY: Final = b"enrolment"


@value_set(int)
class Kind(enum.IntEnum):
    """The kinds of means of payment."""

    CARD = 1


@sequence
class Registered(Redacted):
    """What a registration ended with: key, certificate and the secrets of a card."""

    suite: str
    private_key: bytes
    certificate: bytes
    chain: list[bytes]
    card_secret: bytes
    pan_secret: bytes
    roots: list[bytes]
    """The roots (DER) that were trusted then: no others are from then on."""


@sequence
class CardItem(Redacted):
    """A card.  ``label``: what its holder calls it."""

    kind: Kind
    label: str
    brand: str
    pan: str
    expiry: str
    added: GeneralizedTime
    enrolment: Annotated[bytes | None, Implicit(0)] = None
    """LID-EE of the registration that is under way."""
    registered: Annotated[Registered | None, Implicit(1)] = None

    @property
    def card(self) -> Card:
        """The card itself."""
        return Card(self.brand, PAN(self.pan), CardExpiry(self.expiry))

    @property
    def state(self) -> str:
        """In words."""
        if self.registered is not None:
            return "registered"
        return "registration under way" if self.enrolment is not None else "not registered"

    def paid_with(self) -> tuple[Credentials, PaymentCard, list[bytes]]:
        """What a cardholder pays with, and the roots (DER) that are trusted.  UsageError if it is not registered."""
        own = self.registered
        if own is None:
            raise UsageError(f"the card {self.label} is not registered: setproto wallet register {self.label}")
        card, pan_secret = self.card, PANSecret(own.pan_secret)
        name = cardholder_name(card.pan, card.expiry, pan_secret)
        signer = Signer(private_key_from(own.private_key), own.certificate, suite(own.suite))
        party = PartyID(role=Role.cardholder, brand=self.brand, name=name)
        credentials = Credentials(party, signer, None, tuple(own.chain))
        return credentials, PaymentCard(card, CardSecret(own.card_secret), pan_secret), own.roots


def registered(done: Certified, roots: Sequence[bytes]) -> Registered:
    """What is kept of a registration.  UsageError if it was not a cardholder's."""
    if done.card_secret is None or done.pan_secret is None:
        raise UsageError("not the registration of a card")
    signer = done.credentials.signer
    return Registered(
        suite=done.credentials.suite,
        private_key=private_key_octets(signer.private_key),
        certificate=signer.certificate,
        chain=list(done.credentials.chain),
        card_secret=done.card_secret.reveal(),
        pan_secret=done.pan_secret.reveal(),
        roots=list(roots),
    )


class Wallet:
    """The items in a vault.  ``repr`` shows nothing of them."""

    def __init__(
        self, vault: Vault, *, clock: Clock = lambda: datetime.now(UTC), random: RandomBytes = os.urandom
    ) -> None:
        self.vault = vault
        self.clock = clock
        self.random = random

    def add_card(self, label: str, card: Card) -> CardItem:
        """Put a card in.  UsageError if the label is taken or no label, or the card is in already."""
        if not label.isprintable() or not 1 <= len(label) <= 40 or label != label.strip():
            raise UsageError("a label has 1 to 40 printable characters")
        item = CardItem(
            kind=Kind.CARD,
            label=label,
            brand=card.brand,
            pan=card.pan.reveal(),
            expiry=card.expiry.reveal(),
            added=general_time(self.clock()),
        )
        with self.vault.transaction() as transaction:
            for other in _cards(transaction):
                if other.label == label:
                    raise UsageError(f"there is a card {label} already")
                if (other.brand, other.card.pan, other.card.expiry) == (card.brand, card.pan, card.expiry):
                    raise UsageError(f"this card is in the wallet already, as {other.label}")
            transaction.put(CARDS, label.encode(), encode(item))
        return item

    def cards(self) -> list[CardItem]:
        """All cards, in the order in which they came."""
        with self.vault.transaction() as transaction:
            return sorted(_cards(transaction), key=lambda item: item.added.as_datetime())

    def card(self, label: str) -> CardItem:
        """The card of that label.  UsageError if there is none."""
        with self.vault.transaction() as transaction:
            return _card(transaction, label)

    def change_card(self, label: str, change: Callable[[CardItem], CardItem]) -> CardItem:
        """Change what is kept of a card; as it is then.  UsageError if there is none of that label."""
        with self.vault.transaction() as transaction:
            changed = change(_card(transaction, label))
            transaction.put(CARDS, label.encode(), encode(changed))
        return changed

    def enrolment_key(self) -> SecretKey:
        """What seals the secrets of registrations under way: the same as long as the wallet lives."""
        with self.vault.transaction() as transaction:
            key = transaction.get(SECRETS, _ENROLMENT_KEY)
            if key is None:
                key = self.random(32)
                transaction.put(SECRETS, _ENROLMENT_KEY, key)
        return SecretKey(key, b"wallet")


def _cards(transaction: Transaction) -> list[CardItem]:
    return [decode(CardItem, stored) for _, stored in transaction.items(CARDS)]


def _card(transaction: Transaction, label: str) -> CardItem:
    stored = transaction.get(CARDS, label.encode())
    if stored is None:
        raise UsageError(f"there is no card {label[:40]!r} in the wallet")
    return decode(CardItem, stored)
