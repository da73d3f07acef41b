"""PX-3: a list of candidate card numbers cannot be tested against anything that merchants and listeners hold.

The attacker knows the BIN, the last four digits (they stand on receipts), the expiry, and is lucky enough to have the
true number among 10,000 candidates.  It holds everything that a merchant holds of a purchase.  For every candidate it
computes every value that this protocol's own code, or plain hashing, makes of a card number together with anything
that it knows, and looks whether the value, or its first eight octets, stands anywhere in what it holds.

Each way to compute is then shown to work: where the secret that protects a value is given to the attacker, exactly the
true number is distinguished.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest

from pki.der import decode, encode
from setproto.amounts import CurrencyAmount
from setproto.card import PAN, CardExpiry, PANSecret, luhn, unique_cardholder_id
from setproto.crypto.digests import derive_key, digest, mac
from setproto.crypto.dual import Form, Part, View
from setproto.crypto.suites import deterministic
from setproto.errors import SignatureFailure
from setproto.market import ACQUIRER_BIN, Market
from setproto.messages.codes import AcqCardCode, AuthCode
from setproto.messages.common import Role
from setproto.messages.oids import ID_OI_DATA, ID_PAN_DATA, ID_PI_DATA, ID_PI_OI_LINK, ID_PI_SEALS
from setproto.messages.payment import AcqCardCodeMsg, EncB, PANToken, PaymentInstruction
from setproto.messages.purchase import PI, PURCHASE, PANData, PIData, PIHead, PIOILink, PISeals, PReq
from setproto.messages.wrapper import unwrap
from setproto.roles.gateway import Gateway
from tests.secrecy.scan import packed
from tests.secrecy.spy import Loot, Spy, element, leaves
from tests.secrecy.world import NOW, random_pan

SUITES = ("p256", "ed25519", "mldsa65")
WINDOW = 8
"""Octets of agreement that count as a hit: by chance once in 2^64 comparisons."""


def candidates(true: str, count: int, seed: int = 0) -> list[str]:
    """Card numbers with the BIN and last four digits of the true one, which is among them."""
    lot, found = random.Random(seed), {true}
    while len(found) < count:
        guess = true[:6] + f"{lot.randrange(10 ** (len(true) - 10)):0{len(true) - 10}d}" + true[-4:]
        if luhn(guess):
            found.add(guess)
    return sorted(found)


@dataclass(frozen=True)
class Case:
    """One purchase: the truth, and what the attacker holds of it."""

    market: Market
    preq: PReq
    link: PIOILink
    pan_data: PANData
    token: PANToken
    holdings: frozenset[bytes]

    @property
    def pan(self) -> str:
        """The true number."""
        return self.pan_data.pan.rstrip()


@cache
def case(suite: str) -> Case:
    """A purchase with a capture, seen by its merchant, who also listens everywhere; with deterministic signatures."""
    market = Market.open(suite, now=NOW, pan=random_pan(random.Random(suite)), expiry="203107")
    for party in market.parties.values():
        party.credentials.signer.suite = deterministic(party.credentials.signer.suite)
    market.gateway = Gateway(
        market.gateway.credentials,
        market.issuer,
        market.tree.validator(NOW),
        market.stores[Role.gateway],
        token_key=market.random(32),
        acquirer_bin=ACQUIRER_BIN,
        clock=market.clock,
        random=market.random,
        card_message=AcqCardCodeMsg(acq_card_code=AcqCardCode.accountInfo, acq_card_text="hello"),
    )
    xid = two_shipments(market)
    market.deliver(Role.merchant, market.merchant.capture(xid))
    market.deliver(Role.merchant, market.merchant.credit(xid))
    market.deliver(Role.cardholder, market.deliveries[0].message)
    wire = [delivery.message.data for delivery in market.deliveries]
    key = market.merchant.exchange_key().private_key
    store = [part for (_, k), v in market.stores[Role.merchant].dump().items() for part in (k, v)]
    spy = Spy(wire, [Loot(private_keys=(key,), notes=tuple(store))], suite=suite)
    tokens = market.gateway.token_keys
    shared = (tokens.capture.private_key, tokens.authorization.private_key, tokens.account.private_key)
    loot = Loot((market.gateway.exchange_key().private_key,), shared)
    everything = Spy(wire, [loot], suite=suite, gateways=[encode(market.gateway.party)])
    token = next(plain for plain in everything.learned if _is(PANToken, plain))
    account = next(plain for plain in everything.learned if _is(PANData, plain))
    link = next(plain for plain in everything.learned if _is(PIOILink, plain))
    [preq] = [d.message.data for d in market.deliveries if d.message.name == "PReq"]
    return Case(
        market,
        decode(PReq, body_of(preq)),
        decode(PIOILink, link),
        decode(PANData, account),
        decode(PANToken, token),
        frozenset(spy.known),
    )


def two_shipments(market: Market) -> bytes:
    """A purchase with an AuthToken, which is used: the XID."""
    lid_c, request = market.cardholder.start(market.order("EUR 42.00", b"one book", first_amount="EUR 12.00"))
    market.deliver(Role.cardholder, request)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    xid = market.result(lid_c).xid
    market.deliver(Role.merchant, market.merchant.authorize(xid, CurrencyAmount.of("EUR 30.00")))
    assert [a.code for a in market.merchant.purchase(xid).authorizations] == [AuthCode.approved] * 2
    return xid


def _is(cls: type, data: bytes) -> bool:
    try:
        decode(cls, data)
    except ValueError:
        return False
    return True


def body_of(wrapped: bytes) -> bytes:
    """The DER inside the CHOICE alternative of a wrapped message."""
    return unwrap(wrapped).body


# --- the attack -----------------------------------------------------------------------------------


def windows(holdings: Iterable[bytes]) -> frozenset[bytes]:
    """Every eight octets in a row of everything held; what is Base64 or hexadecimal text is read as that, too."""
    found: set[bytes] = set()
    seen: set[bytes] = set()
    for blob in holdings:
        texts = []
        for leaf in leaves(blob, seen):
            if re.fullmatch(rb"[A-Za-z0-9+/_-]{11,}={0,2}", leaf):
                text = leaf.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
                text = text[:-1] if len(text) % 4 == 1 else text
                texts.append(base64.b64decode(text + b"=" * (-len(text) % 4)))
            if re.fullmatch(rb"([0-9a-fA-F]{2}){8,}", leaf):
                texts.append(bytes.fromhex(leaf.decode()))
        for data in (blob, *texts):
            found.update(data[i : i + WINDOW] for i in range(len(data) - WINDOW + 1))
    return frozenset(found)


@dataclass(frozen=True)
class Known:
    """What the attacker puts into its computations beside a candidate."""

    suite: str
    expiry: str
    values: tuple[bytes, ...]
    """Every octet string of 20 or 32 in the PReq: nonces, salts, challenges, identifiers, digests."""
    pan_secrets: tuple[bytes, ...]
    """Guesses at PANSecret and pi_salt: zeros, and every one of ``values`` of 32 octets.  At EXNonce: zeros."""
    ex_nonces: tuple[bytes, ...]
    pi_salts: tuple[bytes, ...]
    pi_head: PIHead
    """PIHead as far as it can be known: with a TransStain of zeros, unless that was given away."""


def known(held: Case, **given: bytes | PIHead) -> Known:
    """The attacker's knowledge; ``given`` is what it should not have."""
    values = sorted({leaf for leaf in leaves(encode(held.preq)) if len(leaf) in (20, 32)})
    nonces = tuple(value for value in values if len(value) == 32)
    secret, nonce, salt = (given.get(name) for name in ("pan_secret", "ex_nonce", "pi_salt"))
    head = given.get("pi_head", replace(held.link.pi_head, trans_stain=bytes(20)))
    assert isinstance(head, PIHead)
    return Known(
        held.market.suite,
        held.pan_data.card_expiry,
        tuple(values),
        (secret,) if isinstance(secret, bytes) else (bytes(32), *nonces),
        (nonce,) if isinstance(nonce, bytes) else (bytes(32),),
        (salt,) if isinstance(salt, bytes) else (bytes(32), *nonces),
        head,
    )


def protocol_values(pan: str, what: Known) -> Iterator[bytes]:
    """Everything that this project's code computes from a card number."""
    number, expiry = PAN(pan), CardExpiry(what.expiry)
    for nonce in what.ex_nonces:
        in_token = encode(PANToken(pan=pan.ljust(19), card_expiry=what.expiry, ex_nonce=nonce))
        yield in_token
        yield digest("PANToken", in_token)
        yield hashlib.sha256(in_token).digest()
    for secret in what.pan_secrets:
        yield unique_cardholder_id(number, expiry, PANSecret(secret))
        for nonce in what.ex_nonces:
            data = PANData(pan=pan.ljust(19), card_expiry=what.expiry, pan_secret=secret, ex_nonce=nonce)
            account = encode(data)
            yield account
            yield digest("PANData", account)
            yield hashlib.sha256(account).digest()
            if len(what.pan_secrets) == 1 or secret == bytes(32):
                payment = encode(PIData(pi_head=what.pi_head, pan_data=data))
                yield hashlib.sha256(payment).digest()
                yield digest("PIData", payment)
                for salt in what.pi_salts:
                    yield PURCHASE.digest(Part(ID_PI_DATA, payment, salt), what.suite)
                    yield PURCHASE.digest(Part(ID_PAN_DATA, account, salt), what.suite)


def plain_values(pan: str, what: Known) -> Iterator[bytes]:
    """Hashes and MACs as anybody might have made them, over natural framings, under everything known."""
    digits, expiry = pan.encode(), what.expiry.encode()
    framings = (
        digits,
        packed(pan),
        digits + expiry,
        digits + b"|" + expiry,
        element(0x0C, digits),
        element(0x30, element(0x0C, digits), element(0x0C, expiry)),
    )
    for data in framings:
        for algorithm in ("sha1", "sha256", "sha512", "md5"):
            yield hashlib.new(algorithm, data).digest()
    for label in ("UniqueCardholderID", "PANData", "PIData", "dual part", "TransStain", "PAN"):
        yield digest(label, digits)
        yield digest(label, digits, expiry)
    for value in what.values:
        for data in (digits, digits + expiry):
            yield hmac.digest(value, data, "sha256")
            yield hashlib.sha256(value + data).digest()
            yield hashlib.sha256(data + value).digest()
        yield mac("UniqueCardholderID", value, digits, expiry)
    yield derive_key("PAN", digits)


def distinguished(
    held: Case, what: Known, numbers: Iterable[str], ways: Iterable[Callable[..., Iterator[bytes]]]
) -> set[str]:
    """The candidates for which something computed stands in the holdings."""
    here = windows(held.holdings)
    return {pan for pan in numbers for way in ways for value in way(pan, what) if value[:WINDOW] in here}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.prop("PX-3")
def test_ten_thousand_candidates_cannot_be_told_apart(suite: str) -> None:
    """By the merchant who listens everywhere, from everything that the protocol's own code computes."""
    held = case(suite)
    numbers = candidates(held.pan, 10_000)
    assert held.pan in numbers
    assert distinguished(held, known(held), numbers, [protocol_values]) == set()


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.prop("PX-3")
def test_plain_hashes_of_candidates_are_nowhere(suite: str) -> None:
    """A plain hash does not depend on the others on the list: the true number and some false ones are enough."""
    held = case(suite)
    what = known(held)
    assert len(what.values) >= 10
    assert distinguished(held, what, candidates(held.pan, 300), [plain_values]) == set()


@pytest.mark.prop("PX-3")
def test_a_lost_content_key_of_the_payment_instruction_gives_no_test_either() -> None:
    """Then PIHead and the salt of PIData are known; PANSecret and EXNonce still stand between a guess and HPIData."""
    held = case("p256")
    what = known(held, pi_salt=held.link.pi_salt, pi_head=held.link.pi_head)
    richer = replace(held, holdings=held.holdings | {encode(held.link)})
    assert distinguished(richer, what, candidates(held.pan, 10_000), [protocol_values]) == set()


@pytest.mark.prop("PX-3")
def test_neither_the_pan_secret_nor_the_nonce_alone_opens_the_payment_instruction() -> None:
    """HPIData has three protections: the salt, PANSecret and EXNonce, each of 256 bits; any one is enough."""
    held = case("p256")
    secrets = {"pi_salt": held.link.pi_salt, "ex_nonce": held.pan_data.ex_nonce, "pan_secret": held.pan_data.pan_secret}
    only_digest = replace(held, holdings=frozenset({held.preq.oi.hpi_data}))
    for kept in secrets:
        given = {name: value for name, value in secrets.items() if name != kept}
        what = known(held, pi_head=held.link.pi_head, **given)
        assert distinguished(only_digest, what, candidates(held.pan, 500), [protocol_values]) == set()


# --- the attack works where the protection is gone ------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_without_salt_and_secrets_the_attack_finds_the_number_in_the_digest_of_the_payment(suite: str) -> None:
    held = case(suite)
    secrets = {"pi_salt": held.link.pi_salt, "ex_nonce": held.pan_data.ex_nonce, "pan_secret": held.pan_data.pan_secret}
    what = known(held, pi_head=held.link.pi_head, **secrets)
    only_digest = replace(held, holdings=frozenset({held.preq.oi.hpi_data}))
    assert distinguished(only_digest, what, candidates(held.pan, 1000), [protocol_values]) == {held.pan}
    assert distinguished(held, what, candidates(held.pan, 1000), [protocol_values]) == {held.pan}


@pytest.mark.parametrize("suite", SUITES)
def test_with_the_pan_secret_the_attack_finds_the_number_in_the_certificate(suite: str) -> None:
    """The subject of the cardholder's certificate is Base64 of a MAC: nobody but PANSecret protects it."""
    held = case(suite)
    what = known(held, pan_secret=held.pan_data.pan_secret)
    assert distinguished(held, what, candidates(held.pan, 1000), [protocol_values]) == {held.pan}


@pytest.mark.parametrize(
    "leak",
    [
        lambda pan, what: hashlib.sha256(pan.encode()).digest(),
        lambda pan, what: hashlib.sha1(pan.encode()).digest(),
        lambda pan, what: hashlib.sha256(packed(pan)).hexdigest().encode(),
        lambda pan, what: base64.b64encode(hmac.digest(what.values[3], pan.encode(), "sha256")),
        lambda pan, what: hashlib.sha256(what.values[-1] + pan.encode()).digest()[:8],
        lambda pan, what: digest("PAN", pan.encode()),
        lambda pan, what: mac("UniqueCardholderID", what.values[0], pan.encode(), what.expiry.encode()),
    ],
)
def test_the_attack_finds_the_number_in_careless_hashes(leak: Callable[[str, Known], bytes]) -> None:
    held = case("p256")
    what = known(held)
    careless = replace(held, holdings=held.holdings | {element(0x30, element(0x04, leak(held.pan, what)))})
    assert distinguished(careless, what, candidates(held.pan, 200), [plain_values]) == {held.pan}


def test_the_nonce_of_a_token_keeps_a_digest_of_it_from_being_a_test() -> None:
    """There is no such digest; if there were, the nonce would protect it, and without the nonce nothing would."""
    held = case("p256")
    careless = replace(held, holdings=frozenset({hashlib.sha256(encode(held.token)).digest()}))
    numbers = candidates(held.pan, 500)
    assert distinguished(careless, known(held), numbers, [protocol_values]) == set()
    given = known(held, ex_nonce=held.token.ex_nonce)
    assert distinguished(careless, given, numbers, [protocol_values]) == {held.pan}


# --- deterministic signatures ---------------------------------------------------------------------


def verifies(held: Case, payment: Part, form: Form = PURCHASE, pi: PI | None = None) -> bool:
    """Whether the dual signature holds over a guessed payment instruction: the attacker's test with the public key."""
    pi = pi or held.preq.pi
    seals = Part(ID_PI_SEALS, pi.seals, decode(PISeals, pi.seals).rrpid)
    order = Part(ID_OI_DATA, held.preq.oi.oi_data, held.preq.oi.oi_salt)
    try:
        form.verify(
            View((payment, order, seals), {}, pi.pi_signature),
            suite=held.market.suite,
            certify=held.market.merchant.certify(Role.cardholder),
        )
    except SignatureFailure:
        return False
    return True


def guessed(held: Case, pan: str, what: Known) -> Part:
    """The payment instruction with this number, as far as it is known."""
    data = PANData(
        pan=pan.ljust(19), card_expiry=what.expiry, pan_secret=what.pan_secrets[0], ex_nonce=what.ex_nonces[0]
    )
    return Part(ID_PI_DATA, encode(PIData(pi_head=what.pi_head, pan_data=data)), what.pi_salts[0])


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.prop("PX-3")
def test_a_deterministic_signature_is_no_test_for_guesses(suite: str) -> None:
    """RFC 6979, Ed25519, and ML-DSA as it is.  Even with the true PIHead: the salt of PIData is a field of its own."""
    held = case(suite)
    what = known(held, pi_head=held.link.pi_head)
    assert not any(verifies(held, guessed(held, pan, what)) for pan in candidates(held.pan, 50))
    secrets = {"pi_salt": held.link.pi_salt, "ex_nonce": held.pan_data.ex_nonce, "pan_secret": held.pan_data.pan_secret}
    everything = known(held, pi_head=held.link.pi_head, **secrets)
    found = [pan for pan in candidates(held.pan, 50) if verifies(held, guessed(held, pan, everything))]
    assert found == [held.pan]


@pytest.mark.parametrize("suite", ["p256", "ed25519"])
def test_the_signatures_of_this_case_are_deterministic(suite: str) -> None:
    """Otherwise the test above would lean on the randomness of signing.  (OpenSSL's ML-DSA is hedged; see below.)"""
    signer = case(suite).market.cardholder.credentials.signer
    assert signer.sign(b"same", ID_PI_OI_LINK) == signer.sign(b"same", ID_PI_OI_LINK)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.prop("PX-3")
def test_the_signature_depends_on_the_card_through_the_salted_digest_only(suite: str) -> None:
    """Whatever the signature algorithm does with its input, and with whatever randomness: the input holds no card.

    The octets that are signed can be rebuilt by the merchant, from what is public.
    """
    held = case(suite)
    seals = Part(ID_PI_SEALS, held.preq.pi.seals, decode(PISeals, held.preq.pi.seals).rrpid)
    order = Part(ID_OI_DATA, held.preq.oi.oi_data, held.preq.oi.oi_salt)
    digests = {
        ID_PI_DATA: held.preq.oi.hpi_data,
        ID_OI_DATA: PURCHASE.digest(order, suite),
        ID_PI_SEALS: PURCHASE.digest(seals, suite),
    }
    view = View((order, seals), {ID_PI_DATA: digests[ID_PI_DATA]}, held.preq.pi.pi_signature)
    verified = PURCHASE.verify(view, suite=suite, certify=held.market.merchant.certify(Role.cardholder))
    assert dict(verified.digests) == digests
    assert held.pan.encode() not in PURCHASE.to_be_signed(digests, suite)


# --- lengths --------------------------------------------------------------------------------------


@pytest.mark.prop("PX-3")
def test_the_length_of_what_is_sealed_does_not_depend_on_the_card() -> None:
    """AES-GCM keeps lengths, so the PAN is padded: a merchant cannot tell a card of 15 digits from one of 19."""
    first = Market.open("ed25519", now=NOW, pan=random_pan(random.Random(1), 15))
    lengths, in_tokens = set(), set()
    for digits in (15, 16, 19):
        market = Market.within(first.tree, first.clock, pan=random_pan(random.Random(digits), digits))
        token = market.merchant.purchase(two_shipments(market)).auth_token
        assert token is None  # the last shipment gives none
        [preq] = [d.message.data for d in market.deliveries if d.message.name == "PReq"]
        sent = (d.message.data for d in market.deliveries if d.message.name == "AuthReq")
        used = [decode(PaymentInstruction, decode(EncB, body_of(data)).baggage).auth_token for data in sent]
        in_tokens |= {(len(token.sealed_pan), len(token.sealed_token)) for token in used if token is not None}
        lengths.add(len(decode(PISeals, decode(PReq, body_of(preq)).pi.seals).sealed_pan))
    assert len(lengths) == 1
    assert len(in_tokens) == 1
