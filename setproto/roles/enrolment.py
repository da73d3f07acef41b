"""What an applicant remembers of one registration: where it stands, what was asked, what the CA said (§6.11, §6.12).

What must be kept secret until the certificates arrive is stored under a key of the owner's, never in the clear.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from pki.der import Implicit, Redacted, decode, encode, sequence, value_set
from setproto.card import Card, CardSecret, PANSecret
from setproto.crypto.cms import SecretKey, seal, unseal
from setproto.errors import UsageError
from setproto.messages.codes import RequestType
from setproto.messages.common import PartyID, Role, Thumbs
from setproto.messages.registration import IDData, RegField, RegFormOrReferral
from setproto.roles.credentials import Credentials
from setproto.roles.ports import Transaction
from setproto.roles.table import TransitionTable

APPLICATIONS = "applications"


@value_set(int)
class State(enum.IntEnum):
    """Where a registration stands, as far as the applicant knows."""

    INIT_SENT = 1
    FORM_ASKED = 2
    FORM_RECEIVED = 3
    REFERRED = 4
    REQUESTED = 5
    PENDING = 6
    COMPLETE = 7
    REFUSED = 8


class Signal(enum.Enum):
    """What moves it."""

    CA_SHOWN = "the CA is proved genuine"
    FORM = "the form came"
    REFERRAL = "a referral came"
    APPLY = "the form is filled in"
    CORRECT = "the form came back filled in wrongly"
    WAIT = "not decided yet"
    CERTIFIED = "certificates came"
    REFUSED = "refused"


_S, _E = State, Signal
TABLE = TransitionTable(
    "applicant",
    State.INIT_SENT,
    {
        (_S.INIT_SENT, _E.CA_SHOWN): _S.FORM_ASKED,
        **{(state, _E.FORM): _S.FORM_RECEIVED for state in (_S.INIT_SENT, _S.FORM_ASKED)},
        **{(state, _E.REFERRAL): _S.REFERRED for state in (_S.INIT_SENT, _S.FORM_ASKED)},
        (_S.FORM_RECEIVED, _E.APPLY): _S.REQUESTED,
        (_S.REQUESTED, _E.CORRECT): _S.FORM_RECEIVED,
        **{(state, _E.WAIT): _S.PENDING for state in (_S.REQUESTED, _S.PENDING)},
        **{(state, _E.CERTIFIED): _S.COMPLETE for state in (_S.REQUESTED, _S.PENDING)},
        **{(state, _E.REFUSED): _S.REFUSED for state in (_S.REQUESTED, _S.PENDING)},
    },
)


@dataclass(frozen=True)
class Business:
    """A merchant or gateway that wants certificates; ``account`` answers AcctDataField."""

    role: Role
    id_data: IDData
    account: str | None = None


Subject = Card | Business


@sequence
class Secrets(Redacted):
    """What only the applicant may know until the certificates are there; kept sealed."""

    signature_key: Annotated[bytes | None, Implicit(0)] = None
    exchange_key: Annotated[bytes | None, Implicit(1)] = None
    card_secret: Annotated[bytes | None, Implicit(2)] = None
    back_key: Annotated[bytes | None, Implicit(3)] = None
    pan_secret: Annotated[bytes | None, Implicit(4)] = None


@sequence
class Asked:
    """The latest request: its answer must carry RRPID and challenge, and hash the content."""

    rrpid: bytes
    challenge: bytes
    content: bytes
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None


@sequence
class Form:
    """What the CA's form said, and where the CertReq goes."""

    lid_ca: bytes
    chall_ca: bytes
    form: RegFormOrReferral
    acct_data_field: Annotated[RegField | None, Implicit(0)] = None
    key_proof: Annotated[bytes | None, Implicit(1)] = None


@sequence
class Enrolment:
    """The record of one registration."""

    state: State
    lid_ee: bytes
    request_type: RequestType
    language: str
    asked: Asked
    secrets: bytes
    """Secrets, sealed."""
    ca: Annotated[PartyID | None, Implicit(0)] = None
    cae: Annotated[bytes | None, Implicit(1)] = None
    cae_chain: Annotated[list[bytes] | None, Implicit(2)] = None
    form: Annotated[Form | None, Implicit(3)] = None
    sent: Annotated[bytes | None, Implicit(4)] = None
    """The CertReq, for sending it again."""
    code: Annotated[int | None, Implicit(5)] = None
    certificates: Annotated[list[bytes] | None, Implicit(6)] = None
    chain: Annotated[list[bytes] | None, Implicit(7)] = None


@dataclass(frozen=True)
class Certified:
    """What a registration ends with.  ``card_secret`` and ``pan_secret`` are a cardholder's."""

    credentials: Credentials
    card_secret: CardSecret | None = None
    pan_secret: PANSecret | None = None


class Enrolments:
    """The record of one registration in its owner's store."""

    def __init__(self, lid_ee: bytes, vault: SecretKey) -> None:
        """``lid_ee``: its name, 1 to 20 octets.  ``vault`` seals what must stay secret."""
        self._lid_ee = lid_ee
        self._vault = vault
        self._context = b"setproto enrolment " + lid_ee

    def find(self, transaction: Transaction) -> Enrolment:
        """The record.  UsageError if nothing has begun."""
        stored = transaction.get(APPLICATIONS, self._lid_ee)
        if stored is None:
            raise UsageError("no registration has begun")
        return decode(Enrolment, stored)

    def begin(self, transaction: Transaction, record: Enrolment) -> None:
        """The first.  UsageError if there is one."""
        if transaction.get(APPLICATIONS, self._lid_ee) is not None:
            raise UsageError("a registration with this label has begun already")
        self.keep(transaction, record)

    def keep(self, transaction: Transaction, record: Enrolment) -> None:
        """Store it."""
        transaction.put(APPLICATIONS, self._lid_ee, encode(record))

    def sealed(self, secrets: Secrets) -> bytes:
        """Octets that only ``opened`` of the same registration can read."""
        return seal(encode(secrets), self._vault, context=self._context)

    def opened(self, record: Enrolment) -> Secrets:
        """What ``sealed`` sealed.  DecryptionFailure under another key, or of another registration."""
        return decode(Secrets, unseal(record.secrets, self._vault, context=self._context).content)
