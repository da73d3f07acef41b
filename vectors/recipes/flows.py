"""Messages delivered to a party in some state: how the vectors of ``message.receive`` are made and kept.

A market is played once.  Before each message the receiver is written down (``trader``): keys, trust, policy, what it
sent and received, and its store.  That is a group; its tests are the genuine message and messages with one deviation.

Keys and seals are random, so a file is made as a whole: it is kept as long as the recipes of its tests (:func:`recipe`)
are the same and every test still gives what it expects through our own adapter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.x509 import ObjectIdentifier

from pki import PathValidator
from pki.der import DecodingFailure, encode
from setproto.conformance.adapter import answer
from setproto.conformance.adapter.roles import OPS
from setproto.crypto.possession import private_key_octets
from setproto.errors import ErrorCode
from setproto.market import Market
from setproto.messages.common import Extension, Role
from setproto.messages.wrapper import MessageHeader, unwrap, wrap
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.party import Party
from setproto.store import MemoryStore
from vectors.recipes.hands import KIND, Scene, begin

FORMAT: Final = 1
OTHER_SUITES: Final = ("rsa3072", "ed25519", "mldsa65")
SEED: Final = b"setproto vectors 1"
HEADER: Final = (
    "message.receive: one message delivered to one party.",
    "policy holds transcript and x-setproto-state where the tests of a group share them, and what was agreed outside.",
    "keys.party is the DER of the PartyID under which the party signs; keys of parties are for tests only.",
)
NOTES: Final = {
    "Genuine": ("none", "What an honest party sends.", "Refusing it breaks the protocol."),
    "Corrupt": ("MISSING_CHECK", "Made by a peer with its own real keys, who departs from one rule.", "Fraud."),
    "Wire": ("MISSING_CHECK", "Changed on the wire, by somebody without keys.", "Forgery."),
    "Replay": ("REPLAY", "Genuine, but sent again or at another time or place.", "Something happens twice."),
    "Confusion": ("TYPE_CONFUSION", "A genuine object where another one is expected.", "A signature is misused."),
    "Certificate": ("CERTIFICATE", "A certificate that must not be accepted here.", "Impersonation."),
    "Oracle": ("ORACLE", "Does not open, for different reasons: the answers must not differ.", "Decryption oracle."),
    "Business": ("POLICY", "Refused in the ordinary answer, not with an Error.", "Money is lost."),
    "Privacy": ("LEAK", "Something in the request must not come out.", "The card number or the order leaks."),
}


def stream(label: str) -> Callable[[int], bytes]:
    """Random octets of this label: SHAKE256 over format, label and a counter."""
    count = 0

    def octets(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(b"\0".join((SEED, label.encode(), str(count).encode()))).digest(length)

    return octets


def recipe(*parts: Any) -> str:
    """Stands for what a case is made from."""
    return hashlib.sha256(json.dumps([FORMAT, *parts], sort_keys=True, default=repr).encode()).hexdigest()


def iso(moment: datetime) -> str:
    """As the files write times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- parties written down -------------------------------------------------------------------------


def trust(validator: PathValidator, brand: str) -> dict[str, Any]:
    """What a party trusts and knows."""
    known = validator.revocation(brand)
    return {
        "roots": [der.hex() for der in validator.roots],
        "certificates": [der.hex() for der in validator.known],
        "crls": [der.hex() for der in known.crls],
        "bcis": [] if known.bci is None else [known.bci.hex()],
    }


def keys(owner: Credentials) -> dict[str, Any]:
    """A party's keys and certificates."""
    found = {
        "party": encode(owner.party).hex(),
        "signature_key": private_key_octets(owner.signer.private_key).hex(),
        "signature_certificate": owner.signer.certificate.hex(),
        "chain": [der.hex() for der in owner.chain],
    }
    if owner.exchange is not None:
        found["exchange_key"] = private_key_octets(owner.exchange.private_key).hex()
        found["exchange_certificate"] = owner.exchange.certificate.hex()
    return found


def stored(store: Any) -> dict[str, dict[str, str]]:
    """A store as it is written in a file."""
    assert isinstance(store, MemoryStore)
    tables: dict[str, dict[str, str]] = {}
    for (table, key), value in sorted(store.dump().items()):
        tables.setdefault(table, {})[key.hex()] = value.hex()
    return tables


def party_group(role: str, party: Party, transcript: Sequence[Mapping[str, str]], **more: Any) -> dict[str, Any]:
    """A group for a party as it is now; ``more`` is policy."""
    policy = {"transcript": list(transcript), "x-setproto-state": stored(party.store), **more}
    if party.held:
        policy["held"] = [der.hex() for der in party.held]
    return {
        "type": "message.receive",
        "role": role,
        "now": iso(party.clock()),
        "trust": trust(party.validator, party.party.brand),
        "keys": keys(party.credentials) if isinstance(party, Endpoint) else {},
        "policy": policy,
        "tests": [],
    }


def trader(scene: Scene, role: Role | None = None) -> dict[str, Any]:
    """The party that gets the message in hand, or ``role``, as it is now."""
    market = scene.market
    if role is None:
        assert scene.hand is not None
        assert scene.hand.to is not None
        role = scene.hand.to
    transcript = []
    for message in scene.sent.values():
        if message is not scene.hand and KIND[message.name].sender is role:
            transcript.append({"sent": message.data.hex()})
        elif message is not scene.hand and KIND[message.name].recipient is role:
            transcript.append({"received": message.data.hex()})
    order = {
        "lid_m": scene.order.lid_m.hex(),
        "description": scene.order.description.hex(),
        "amount": str(scene.order.amount),
    }
    party = market.parties[role]
    if role is Role.gateway:
        card, account = market.card.card, market.account
        accounts = [
            {
                "pan": card.pan.reveal(),
                "expiry": card.expiry.reveal(),
                "card_secret": account.card_secret.reveal().hex(),
                "available": str(account.available),
            }
        ]
        group = party_group("gateway", party, transcript, accounts=accounts, acquirer_bin=market.gateway._acquirer_bin)
        group["keys"]["token_key"] = TOKEN_KEY.hex()
        return group
    if role is Role.merchant:
        cert_pe = market.merchant._cert_pe.hex()
        return party_group("merchant", party, transcript, orders=[order], cert_pe=cert_pe)
    group = party_group("cardholder", party, transcript, orders=[order])
    card = market.card.card
    group["keys"] |= {
        "brand": card.brand,
        "pan": card.pan.reveal(),
        "expiry": card.expiry.reveal(),
        "card_secret": market.card.card_secret.reveal().hex(),
        "pan_secret": market.card.pan_secret.reveal().hex(),
    }
    return group


TOKEN_KEY: Final = bytes(range(32, 64))
DESCRIPTION: Final = b"two tickets to the opera, row 7"


def open_market(label: str, suite: str, **options: Any) -> Market:
    """A market of its own for a label, with a token key that can be written down."""
    market = Market.open(suite, random=stream(label), **options)
    market.gateway.token_keys = type(market.gateway.token_keys)(TOKEN_KEY)
    return market


def open_scene(label: str, suite: str, amount: str = "EUR 42.00", **options: Any) -> Scene:
    """A purchase about to begin; the option ``terms`` is for ``Market.order``."""
    terms = options.pop("terms", {})
    scene = begin(open_market(label, suite, **options), amount, DESCRIPTION, **terms)
    scene.goes_on = True
    return scene


def secrets(scene: Scene, role: str) -> list[bytes]:
    """What must never come out of a party in this role."""
    card = scene.market.card
    account = [card.card.pan.reveal().encode(), card.card_secret.reveal(), card.pan_secret.reveal()]
    return {"merchant": account, "gateway": [*account, scene.order.description], "cardholder": account}[role]


# --- files ----------------------------------------------------------------------------------------


class Wrong(Exception):
    """Tests whose outcome is not what their recipe expects."""


@dataclass
class Book:
    """One file while it is made."""

    area: str
    suite: str = "p256"
    groups: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    guarded: list[bytes] = field(default_factory=list)
    """What must not come out of any answer from now on."""
    names: set[str] = field(default_factory=set)

    def group(self, group: dict[str, Any], guarded: Iterable[bytes] = ()) -> dict[str, Any]:
        """Begin a group."""
        self.groups.append(group)
        self.guarded = list(guarded)
        return group

    def name(self, name: str) -> str:
        """The full identifier of a test."""
        return f"{self.area}::{name}.{self.suite}"

    def good(self, name: str, wire: bytes, comment: str, covers: Iterable[str] = (), **more: Any) -> str:
        """A message that is accepted; says its name, for siblings."""
        self._add(name, wire, comment, covers, None, more.pop("flags", ("Genuine",)), **more)
        return name

    def bad(
        self,
        name: str,
        wire: bytes,
        reason: ErrorCode | str,
        of: str,
        mutation: str,
        covers: Iterable[str] = (),
        **more: Any,
    ) -> None:
        """A message with one deviation from the one called ``of``, refused for ``reason``."""
        business = isinstance(reason, str) and "." in reason
        flags = more.pop("flags", ("Business",) if business else ("Corrupt",))
        word = reason.name if isinstance(reason, ErrorCode) else reason
        covers = (*covers, word if business else f"errorCode.{word}")
        self._add(name, wire, mutation, covers, word, flags, of=of, mutation=mutation, **more)

    def _add(
        self,
        name: str,
        wire: bytes,
        comment: str,
        covers: Iterable[str],
        reason: str | None,
        flags: Iterable[str],
        *,
        of: str | None = None,
        mutation: str | None = None,
        group: dict[str, Any] | None = None,
        alternatives: Sequence[str] = (),
        **given: Any,
    ) -> None:
        group = group if group is not None else self.groups[-1]
        if name in self.names:
            self.wrong.append(f"{name}: twice")
        self.names.add(name)
        test: dict[str, Any] = {
            "tcId": self.name(name),
            "comment": comment,
            "flags": list(flags),
            "features": [],
            "covers": sorted(set(covers)),
        }
        if of is not None:
            test |= {"derived_from": self.name(of), "mutation": mutation}
        test["input"] = {"suite": self.suite, **given, "wire": wire.hex()}
        found = outcome(group, test)
        if found["result"] != ("valid" if reason is None else "invalid") or found.get("reason") != reason:
            said = found.get("reason") or found["result"]
            self.wrong.append(f"{name}: {said} instead of {reason or 'valid'}")
        test["expected"] = {
            "result": found["result"],
            "reason": reason,
            "alternatives": list(alternatives),
            "outputs": found.get("outputs", {}),
            "must_not_release": [secret.hex() for secret in self.guarded],
        }
        if reason is None:
            wire_read = unwrap(wire)
            test["intermediate"] = {
                "header": wire_read.header_der.hex(),
                "header_digest": wire_read.header_digest.hex(),
            }
        test["recipe"] = recipe(test["tcId"], comment, reason, sorted(given))
        group["tests"].append(test)

    def file(self) -> dict[str, Any]:
        """The whole file.  Wrong if a test does not give what was expected."""
        if self.wrong:
            raise Wrong("\n".join(self.wrong))
        groups = [group for group in self.groups if group["tests"]]
        used = {flag for group in groups for test in group["tests"] for flag in test["flags"]}
        return {
            "format": FORMAT,
            "schema": "vectors.schema.json",
            "area": self.area,
            "suite": self.suite,
            "numberOfTests": sum(len(group["tests"]) for group in groups),
            "header": list(HEADER),
            "notes": {
                flag: {"bugType": note[0], "description": note[1], "effect": note[2], "links": []}
                for flag, note in NOTES.items()
                if flag in used
            },
            "testGroups": groups,
        }


def outcome(group: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    """What our adapter says to a test."""
    given = {name: group[name] for name in ("trust", "keys", "policy", "role")}
    for name, value in test["input"].items():
        given[name] = {**given[name], **value} if isinstance(value, dict) and name in given else value
    return answer({"op": group["type"], "id": "1", "now": group["now"], "input": given}, dict(OPS))


def holds(file: Mapping[str, Any]) -> bool:
    """Whether every test of a file gives what it expects."""
    for group in file["testGroups"]:
        for test in group["tests"]:
            try:
                found, expected = outcome(group, test), test["expected"]
            except DecodingFailure:  # x-setproto-state is in a form of before
                return False
            if (found["result"], found.get("reason")) != (expected["result"], expected["reason"]):
                return False
            if found.get("outputs", {}) != expected["outputs"]:
                return False
    return True


def recipes(file: Mapping[str, Any]) -> list[str]:
    """What the tests of a file were made from."""
    return [test["recipe"] for group in file["testGroups"] for test in group["tests"]]


@dataclass(frozen=True)
class Played:
    """A file that is made as a whole, from a play with fresh keys: what ``vectors.generate`` asks for."""

    name: str
    make: Callable[[], dict[str, Any]]

    def whole(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """What is stored if its recipes are those of now and every test holds; otherwise all of it new."""
        made = self.make()
        if stored is None or recipes(stored) != recipes(made) or not holds(stored):
            return made
        return {**made, "testGroups": stored["testGroups"]}


def played(area: str, play: Callable[[str], Book], suites: Iterable[str] = ("p256",)) -> Iterable[Played]:
    """The files of an area."""
    return [Played(f"{area}.{suite}.json", lambda suite=suite: play(suite).file()) for suite in suites]  # type: ignore[misc]


# --- changes on the wire --------------------------------------------------------------------------

UNKNOWN: Final = Extension(extn_id=ObjectIdentifier("1.2.3.4"), critical=True, extn_value=b"?")


def under(data: bytes, **changes: Any) -> bytes:
    """The same body under another header."""
    wire = unwrap(data)
    fields = {name: getattr(wire.header, name) for name in MessageHeader.__dataclass_fields__}
    assert wire.type is not None
    return wrap(wire.type, wire.body, MessageHeader(**(fields | changes)))


def as_type(data: bytes, name: str) -> bytes:
    """The same body under another message number."""
    wire = unwrap(data)
    return wrap(KIND[name], wire.body, wire.header)


def flipped(data: bytes, at: int = -20) -> bytes:
    """With one bit of the body changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


MINUTE: Final = timedelta(minutes=1)
