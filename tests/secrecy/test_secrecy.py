"""What the spy can find out, whoever is corrupt (set-protocol.md §9.4: PU-2, PU-4 … PU-8, PU-10, PX-2).

The world has three cardholders, three merchants and two gateways (``world.world``), who exchange every kind of message;
the spy has all its traffic, the repeated, misdelivered and damaged messages included.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import chain, combinations

import pytest

from pki.der import DecodingFailure, decode, encode
from setproto.messages.payment import AcqCardCodeMsg, AuthTokenData, CapTokenData, PANToken
from setproto.messages.purchase import HODInput, PANData, PIOILink
from setproto.messages.registry import TRADE
from setproto.roles.cardholder import Cardholder
from tests.secrecy.scan import base64_cores
from tests.secrecy.spy import (
    AUTH_ENVELOPED_DATA,
    SIGNED_DATA,
    Loot,
    Sealed,
    Spy,
    content_infos,
    content_key,
    element,
    leaves,
    leaves_of,
    shared_content_key,
)
from tests.secrecy.world import QUICK_SUITES, World, raw_private_forms, world

every_suite = pytest.mark.parametrize("suite", [*QUICK_SUITES, pytest.param("rsa3072", marks=pytest.mark.slow)])


FULL = "p256"
"""The suite in which nothing is drawn by lot."""
ACCOUNT_DATA, BULK, SIGNED = PANData, PIOILink, "SignedData"
CAP_TOKEN, AUTH_TOKEN, ACCOUNT_TOKEN, MESSAGE = CapTokenData, AuthTokenData, PANToken, AcqCardCodeMsg
TOKEN_OF = {"capture": CAP_TOKEN, "authorization": AUTH_TOKEN, "account": ACCOUNT_TOKEN}
"""A gateway's key to itself → what is under it."""


@cache
def kind(plain: bytes) -> object:
    """What came out of a sealed object: outside it nothing says so but its context."""
    if plain in set(content_infos(plain, SIGNED_DATA)):
        return SIGNED
    for cls in (ACCOUNT_DATA, BULK, CAP_TOKEN, AUTH_TOKEN, ACCOUNT_TOKEN, MESSAGE):
        try:
            decode(cls, plain)
        except DecodingFailure:
            continue
        return cls
    raise AssertionError("something else was sealed")


def subsets(things: Iterable[str]) -> list[tuple[str, ...]]:
    """All of them, the empty one first."""
    things = tuple(things)
    return list(chain.from_iterable(combinations(things, size) for size in range(len(things) + 1)))


def corruptions(there: World) -> list[tuple[str, ...]]:
    """Every set of parties in one suite; in the others everybody alone, all but one, and a quarter of the rest."""
    everything = subsets(there.parties)
    if there.suite == FULL:
        return everything
    telling = [some for some in everything if not 1 < len(some) < len(there.parties) - 1]
    return telling + random.Random(there.suite).sample(everything, len(everything) // 4)


@cache
def spy_with(suite: str, corrupt: tuple[str, ...], greedy: bool = False) -> Spy:
    """A spy to whom these parties gave everything."""
    return spy_on(world(suite), [world(suite).loot(name) for name in corrupt], greedy=greedy)


def spy_on(there: World, loot: Iterable[Loot] = (), content_keys: Iterable[bytes] = (), greedy: bool = False) -> Spy:
    """A spy on a world."""
    return Spy(there.traffic, loot, content_keys, there.suite, there.gateways, greedy)


@cache
def of_kind(suite: str, *kinds: object) -> frozenset[bytes]:
    """Every sealed object that a party made, with such contents."""
    opened = spy_with(suite, world(suite).parties).opened
    return frozenset(raw for raw in made(suite) if kind(opened[raw]) in kinds)


@cache
def made(suite: str) -> frozenset[bytes]:
    """Every sealed object that a party made: not those that were damaged on the way."""
    return frozenset(raw for data in world(suite).honest_traffic for raw in content_infos(data, AUTH_ENVELOPED_DATA))


@cache
def content_keys(suite: str) -> dict[bytes, bytes]:
    """Sealed object → content key, unwrapped with the rightful key, for every object that a party made."""
    there = world(suite)
    everybody = spy_with(suite, there.parties)
    keys = {key for name in there.parties for key in there.loot(name).private_keys}
    found = {}
    for raw in made(suite):
        sealed = everybody.sealed[raw]
        tried = {key for key in (content_key(sealed, private) for private in keys) if key is not None}
        if sealed.info_tag == 0xA2:
            tried = {opening[2] for opening in everybody.openings(sealed)}
        (found[raw],) = tried  # opened by exactly one key
    return found


def owners_of_account_data(suite: str) -> dict[bytes, str]:
    """Sealed account data, in payment instructions and in tokens → whose it is."""
    there, everybody = world(suite), spy_with(suite, world(suite).parties)
    return {
        raw: name
        for raw, plain in everybody.opened.items()
        if raw in made(suite) and kind(plain) in (ACCOUNT_DATA, ACCOUNT_TOKEN)
        for name in there.cards
        if there.scanner(name).pan.encode() in plain
    }


def answered(suite: str) -> dict[bytes, tuple[str, str]]:
    """Sealed message of an acquirer → (cardholder whose key it is under, gateway that made it)."""
    there, everybody = world(suite), spy_with(suite, world(suite).parties)
    keys = {key: name for name in there.cards for key in there.back_keys(name).values()}
    found = {}
    for raw in of_kind(suite, MESSAGE):
        ((key, _, _),) = everybody.openings(everybody.sealed[raw])
        [gateway] = [name for name, text in there.texts.items() if text in everybody.opened[raw]]
        found[raw] = keys[key], gateway
    return found


class Knowledge:
    """Which cards a spy knows; remembers what it has looked through."""

    def __init__(self, there: World) -> None:
        self._scanners = {name: there.scanner(name) for name in there.cards}
        self._found: dict[bytes, frozenset[tuple[str, str]]] = {}

    def of(self, blobs: Iterable[bytes]) -> frozenset[tuple[str, str]]:
        """(whose, what) for PAN, expiry and PANSecret; in any writing, as ``scan`` knows them."""
        return frozenset().union(*(self._of(blob) for blob in blobs))

    def _of(self, blob: bytes) -> frozenset[tuple[str, str]]:
        if blob not in self._found:
            found = set()
            for name, scanner in self._scanners.items():
                found |= {(name, hit.split()[0]) for hit in scanner.hits([blob])}
                if scanner.expiry_hits([blob]):
                    found.add((name, "expiry"))
            self._found[blob] = frozenset(found)
        return self._found[blob]


@cache
def knowledge_in(suite: str) -> Knowledge:
    """For all tests, which look through the same octets."""
    return Knowledge(world(suite))


# --- is the spy any good? -------------------------------------------------------------------------


@every_suite
def test_with_all_keys_the_spy_opens_everything_that_was_sealed(suite: str) -> None:
    """Otherwise nothing below would mean anything."""
    there, everybody = world(suite), spy_with(suite, world(suite).parties)
    assert made(suite) <= everybody.opened.keys()
    kinds = Counter(kind(everybody.opened[raw]) for raw in made(suite))
    assert kinds[ACCOUNT_DATA] >= 10
    assert kinds[BULK] >= 10
    assert kinds[CAP_TOKEN] >= 15
    assert kinds[AUTH_TOKEN] >= 8
    assert kinds[ACCOUNT_TOKEN] == kinds[AUTH_TOKEN]
    assert kinds[MESSAGE] >= 10
    assert kinds[SIGNED] >= 60  # AuthReq and its kin
    owners = owners_of_account_data(suite)
    assert {owners[raw] for raw in of_kind(suite, ACCOUNT_TOKEN)} == set(there.cards)
    assert there.paid_through == {"alice": {"alpha"}, "bob": {"beta"}, "carol": {"alpha", "beta"}}


@every_suite
def test_the_traffic_has_declines_captures_repetitions_and_refusals(suite: str) -> None:
    told = {(event.kind.name, getattr(event.code, "name", "")) for _, event in world(suite).events}
    done = {"CAPTURE", "CAPTURE_REVERSAL", "CREDIT", "CREDIT_REVERSAL", "BATCH", "CERTIFICATES"}
    assert told >= {("AUTHORIZATION", "approved"), ("AUTHORIZATION", "declined"), ("REVERSAL", "approved")}
    assert told >= {("AUTHORIZATION", "recurringTooSoon"), ("MESSAGE", "callCustomerService")}
    assert told >= {(name, "success") for name in done}
    assert {kind for kind, _ in told} >= {"REPEATED", "REFUSED", "RESULT", "ERROR_RECEIVED"}
    assert {sent.name for sent in world(suite).wire} == {"Error", *(message.name for message in TRADE)}


@every_suite
def test_everything_that_was_planned_was_done(suite: str) -> None:
    """No merchant waits for anything, and every purchase went through its script."""
    there = world(suite)
    assert len(there.later) == len(there.scripts) == 15
    for name, xid in there.later:
        assert there._shop(name).purchase(xid).outstanding is None
        assert not there.steps[name, xid]


@every_suite
def test_without_keys_the_spy_opens_nothing(suite: str) -> None:
    assert spy_with(suite, (), greedy=True).opened == {}


@pytest.mark.prop("PU-8")
def test_nothing_that_travels_in_clear_or_that_merchants_read_is_a_key_of_a_token_or_message() -> None:
    """Every 32 octets that listeners, merchants and CAs know, and hashes of identifiers, in the true context.

    In one suite: what is under a shared key does not depend on it.
    """
    suite = "p256"
    there, everybody = world(suite), spy_with(suite, world(suite).parties)
    others = spy_with(suite, (*there.merchants, "CAs"), greedy=True)
    known = {leaf for blob in others.known for leaf in leaves(blob)}
    tried = {leaf for leaf in known if len(leaf) == 32}
    tried |= {hashlib.sha256(leaf).digest() for leaf in known if len(leaf) in (8, 20)}
    tried |= {leaf.ljust(32, b"\0") for leaf in known if len(leaf) == 20}
    assert len(tried) > 500
    assert len(everybody.how) >= 40
    for raw, (key, context, found) in everybody.how.items():
        sealed = everybody.sealed[raw]
        assert shared_content_key(sealed, key, context) == found
        assert key not in tried
        assert all(sealed.open(guess) is None for guess in tried)
        if raw in of_kind(suite, AUTH_TOKEN, ACCOUNT_TOKEN, MESSAGE):
            assert all(shared_content_key(sealed, guess, context) is None for guess in tried)


# --- PU-6, PU-8: the card -------------------------------------------------------------------------


@every_suite
@pytest.mark.prop("PU-6", "PU-8")
def test_a_card_is_known_exactly_if_its_holder_or_a_gateway_it_paid_through_is_corrupt(suite: str) -> None:
    """For every set of corrupt parties (``corruptions``): cardholders, merchants, gateways, and the brand's CAs.

    PAN, expiry and PANSecret of each card are known to the spy exactly then, although merchants hold the card sealed in
    tokens as well; a card's CardSecret never, unless its holder is corrupt.  And a token is opened exactly if the
    gateway that made it is corrupt; an acquirer's message, if that gateway or the cardholder is: merchants carry both.
    """
    there = world(suite)
    knowledge = knowledge_in(suite)
    loot = {name: there.loot(name) for name in there.parties}
    tokens, messages = made_by(suite), answered(suite)
    for corrupt in corruptions(there):
        expected = set()
        for name in there.cards:
            if name in corrupt:
                expected |= {(name, what) for what in ("PAN", "expiry", "PANSecret", "CardSecret")}
            elif not there.paid_through[name].isdisjoint(corrupt):
                expected |= {(name, what) for what in ("PAN", "expiry", "PANSecret")}
        spy = spy_on(there, [loot[name] for name in corrupt])
        assert knowledge.of(spy.known) == expected, corrupt
        opened = spy.opened.keys()
        assert opened & tokens.keys() == {raw for raw, gateway in tokens.items() if gateway in corrupt}
        assert opened & messages.keys() == {raw for raw, who in messages.items() if not set(who).isdisjoint(corrupt)}


def made_by(suite: str) -> dict[bytes, str]:
    """Token → the gateway that made it for itself."""
    there = world(suite)
    found = {}
    for name in there.token_keys:
        opened = spy_with(suite, (name,)).how
        found |= {raw: name for raw in opened if raw in of_kind(suite, *TOKEN_OF.values())}
    assert found.keys() == of_kind(suite, *TOKEN_OF.values())
    return found


@every_suite
@pytest.mark.prop("PU-8")
def test_each_key_of_a_gateway_to_itself_opens_one_kind_of_token(suite: str) -> None:
    """The keys are different, none opens what another does, and the secret that they come from opens nothing itself.

    The one for account data reveals PAN and expiry of those cards for which there is a token, and no PANSecret; the
    others reveal no card.
    """
    there, everybody, tokens = world(suite), spy_with(suite, world(suite).parties), made_by(suite)
    owners, knowledge = owners_of_account_data(suite), knowledge_in(suite)
    for name, secret in there.token_keys.items():
        keys = there.derived_token_keys(name)
        assert len({secret, *keys.values()}) == 4
        assert spy_on(there, [Loot(shared_keys=(secret,))], greedy=True).opened == {}
        for use, key in keys.items():
            spy = spy_on(there, [Loot(shared_keys=(key,))], greedy=True)
            own = {raw for raw in of_kind(suite, TOKEN_OF[use]) if tokens[raw] == name}
            assert own
            assert spy.opened.keys() & made(suite) == own
            expected = {(owners[raw], what) for raw in own & owners.keys() for what in ("PAN", "expiry")}
            assert knowledge.of(spy.known) == expected
            assert bool(expected) is (use == "account")
            assert all(everybody.how[raw][0] == key for raw in own)


@every_suite
@pytest.mark.prop("PU-8")
def test_the_acquirers_answer_is_under_the_key_of_that_very_purchase(suite: str) -> None:
    """A key per purchase, which stands in the payment instruction and in the wallet, and nowhere else."""
    there, everybody, messages = world(suite), spy_with(suite, world(suite).parties), answered(suite)
    keys = {xid: key for name in there.cards for xid, key in there.back_keys(name).items()}
    assert len(set(keys.values())) == len(keys) == 15
    for raw in messages:
        key, context, _ = everybody.how[raw]
        [xid] = [xid for xid, chosen in keys.items() if chosen == key]
        assert xid in context
    stored = {name: b"\xff".join(store.dump().values()) for name, store in there.stores.items()}
    for key in keys.values():
        assert {kind(plain) for plain in everybody.learned if key in plain} == {BULK}
        assert not any(key in data for data in there.traffic)
        assert [name for name, value in stored.items() if key in value and name not in there.cards] == []


@every_suite
@pytest.mark.prop("PU-8")
def test_a_stolen_database_of_a_gateway_without_its_keys_reveals_no_card(suite: str) -> None:
    """Its records have no card data, and the answers that it keeps for repetition hold it sealed to itself."""
    there = world(suite)
    notes = tuple(note for name in there.token_keys for note in there.loot(name).notes)
    spy = spy_on(there, [Loot(notes=notes), *(there.loot(name) for name in there.merchants)], greedy=True)
    assert knowledge_in(suite).of(spy.known) == frozenset()
    assert any(raw in note for raw in of_kind(suite, ACCOUNT_TOKEN) for note in notes)


@every_suite
@pytest.mark.prop("PU-6", "PU-8")
def test_everybody_but_the_gateway_together_learns_nothing_by_trying_everything_as_a_key(suite: str) -> None:
    there = world(suite)
    for gateway, cardholders in (("alpha", {"alice", "carol"}), ("beta", {"bob", "carol"})):
        others = tuple(name for name in there.parties if name != gateway and name not in cardholders)
        spy = spy_with(suite, others, greedy=True)
        only_through_it = {name for name in cardholders if there.paid_through[name] == {gateway}}
        assert only_through_it.isdisjoint(name for name, _ in knowledge_in(suite).of(spy.known))
        assert len(spy.keys) > 50


# --- PU-7: CardSecret -----------------------------------------------------------------------------


@every_suite
@pytest.mark.prop("PU-7")
def test_no_card_secret_is_in_any_message_only_its_mac(suite: str) -> None:
    """With the keys of everybody: no writing of CardSecret, no eight octets of it in a row, no plain hash of it.

    TransStain is there, and is HMAC-SHA-256 under CardSecret, computed here by hand, over the XID.
    """
    there, everybody = world(suite), spy_with(suite, world(suite).parties, greedy=True)
    haystack = b"\xff\x00".join((*there.traffic, *everybody.learned))
    for name in there.cards:
        secret = there.scanner(name).card_secret
        assert there.scanner(name).hits([haystack], lambda hit: hit.startswith("CardSecret")) == set()
        assert not any(secret[i : i + 8] in haystack for i in range(25))
        for data in (secret, secret.hex().encode(), secret[::-1]):
            for algorithm in ("md5", "sha1", "sha256", "sha512", "sha3_256"):
                assert hashlib.new(algorithm, data).digest()[:16] not in haystack
    stains = 0
    for plain in everybody.learned:
        if kind(plain) is BULK:
            head = decode(PIOILink, plain).pi_head
            framed = element(0x30, element(0x0C, b"setproto/2 TransStain"), element(0x04, head.trans_ids.xid))
            secrets = [there.scanner(name).card_secret for name in there.cards]
            assert head.trans_stain in {hmac.digest(secret, framed, "sha256")[:20] for secret in secrets}
            stains += 1
    assert stains >= 10


# --- PU-2: private keys ---------------------------------------------------------------------------


@every_suite
@pytest.mark.prop("PU-2")
def test_no_private_key_is_in_any_message_or_store(suite: str) -> None:
    """Scalars, seeds, primes and PKCS #8 of every party, CA and root, in octets, hexadecimal and Base64.

    In all traffic, in all that all keys open, and in every store.
    """
    there, everybody = world(suite), spy_with(suite, world(suite).parties)
    stored = [value for store in there.stores.values() for value in store.dump().values()]
    haystack = b"\xff\x00".join((*there.traffic, *everybody.learned, *stored))
    keys = there.private_keys()
    assert len(keys) >= 3 + 2 * 5 + 4 + 6 + 2
    for key in keys:
        for name, octets in raw_private_forms(key).items():
            assert octets not in haystack, name
            assert octets.hex().encode() not in haystack.lower(), name
            assert not any(core in haystack for core in base64_cores(octets)), name
    for name, secret in there.token_keys.items():
        for key in (secret, *there.derived_token_keys(name).values()):
            assert key not in haystack
            assert key.hex().encode() not in haystack.lower()
            assert not any(core in haystack for core in base64_cores(key))


def test_private_keys_would_be_found() -> None:
    """The search above, on a message that holds one, and the spy that goes on with a key that it finds."""
    there = world("p256")
    alpha = there.loot("alpha")
    forms = raw_private_forms(alpha.private_keys[1])
    planted = b"\x30\x82" + len(forms["PKCS #8"]).to_bytes(2, "big") + forms["PKCS #8"]
    assert forms["raw" if "raw" in forms else "private_value"] in planted
    careless = spy_on(there, [Loot(notes=(planted,))])
    assert ("alice", "PAN") in knowledge_in("p256").of(careless.known)


# --- PU-4, PU-5, PU-10: lost content keys ---------------------------------------------------------


def some_sets(things: Iterable[bytes], count: int, seed: int, suite: str) -> list[frozenset[bytes]]:
    """Each thing alone (but in ``FULL`` every fourth), all but one (of every eighth), all, none; ``count`` by lot."""
    things = sorted(things)
    lot = random.Random(seed)
    everything = frozenset(things)
    drawn = [frozenset(thing for thing in things if lot.random() < lot.choice((0.1, 0.5, 0.9))) for _ in range(count)]
    alone = [frozenset({thing}) for thing in (things if suite == FULL else things[::4])]
    return [frozenset(), everything, *alone, *(everything - one for one in alone[::8]), *drawn]


@cache
def after_losing(suite: str, lost: frozenset[bytes]) -> Spy:
    """A greedy spy with the content keys of these objects."""
    return spy_on(world(suite), content_keys=[content_keys(suite)[raw] for raw in lost], greedy=True)


@every_suite
@pytest.mark.prop("PU-4", "PU-5")
def test_lost_content_keys_open_their_own_objects_and_nothing_else(suite: str) -> None:
    """Whatever 32 octets come out are tried as keys too; no content key is used twice.

    But for one kind of object, and on purpose: who opens a payment instruction has the AcqBackKey in it, and so the
    acquirer's answer to it (as in SET).
    """
    keys = content_keys(suite)
    assert len(set(keys.values())) == len(keys)
    answer = answers_to(suite)
    assert set(answer.values()) == of_kind(suite, MESSAGE)
    for lost in some_sets(keys, 15, seed=4, suite=suite):
        spy = after_losing(suite, lost)
        assert spy.opened.keys() & made(suite) == lost | {answer[raw] for raw in lost & answer.keys()}


def answers_to(suite: str) -> dict[bytes, bytes]:
    """Sealed payment instruction (bulk) → the sealed message that answers it."""
    everybody = spy_with(suite, world(suite).parties)
    found = {}
    for bulk in of_kind(suite, BULK):
        for message in of_kind(suite, MESSAGE):
            if everybody.how[message][0] in everybody.opened[bulk]:
                assert bulk not in found
                found[bulk] = message
    return found


@every_suite
@pytest.mark.prop("PU-4", "PU-5")
def test_lost_content_keys_give_no_key_or_nonce_that_travelled_under_another(suite: str) -> None:
    """Every octet string of 20 or 32 that occurs only inside sealed objects: known exactly if one of these is open."""
    there, keys, everybody = world(suite), content_keys(suite), spy_with(suite, world(suite).parties)
    public = b"\xff\x00".join(there.traffic)
    sealed: dict[bytes, set[bytes]] = {}
    for raw in made(suite):
        for leaf in leaves(everybody.opened[raw]):
            if len(leaf) in (20, 32):
                sealed.setdefault(leaf, set()).add(raw)
    hidden = {leaf: where for leaf, where in sealed.items() if leaf not in public}
    sizes = Counter(len(leaf) for leaf in hidden)
    assert sizes[32] >= 30
    assert sizes[20] >= 10
    assert not hidden.keys() & set(keys.values())
    for lost in some_sets(keys, 15, seed=5, suite=suite):
        spy = after_losing(suite, lost)
        known = frozenset().union(*(leaves_of(plain, size) for plain in spy.learned for size in (20, 32)))
        for nonce, where in hidden.items():
            assert (nonce in known) == (not where.isdisjoint(lost))


@every_suite
@pytest.mark.prop("PU-10")
def test_no_lost_content_key_but_that_of_the_account_data_itself_reveals_a_card(suite: str) -> None:
    """PU-10, precisely.

    SET put the account data inside the OAEP block, so it was under no content key at all.  Here it has a seal of its
    own, since not every suite has OAEP; in an AuthToken as in a payment instruction.  What is claimed and tested: all
    content keys in the world together, except those of one cardholder's own account-data objects, do not reveal that
    cardholder's PAN, expiry or PANSecret, not even to a spy who also has the keys of all merchants, other cardholders,
    CAs and of the gateways that this cardholder did not pay through.  What is not claimed: the content key of an
    account-data object does reveal the card in it (and no other card): the last assertion shows it.
    """
    there, keys, owners = world(suite), content_keys(suite), owners_of_account_data(suite)
    everybody = spy_with(suite, there.parties)
    knowledge = knowledge_in(suite)
    for name in there.cards:
        own = {raw for raw, owner in owners.items() if owner == name}
        assert own
        assert {kind(everybody.opened[raw]) for raw in own} == {ACCOUNT_DATA, ACCOUNT_TOKEN}
        corrupt = [there.loot(who) for who in there.parties if who != name and who not in there.paid_through[name]]
        spy = spy_on(there, corrupt, [keys[raw] for raw in keys.keys() - own], greedy=True)
        assert spy.opened.keys() & made(suite) == keys.keys() - own
        assert name not in {whose for whose, _ in knowledge.of(spy.known)}
        for raw in own:
            unlucky = spy_on(there, content_keys=[keys[raw]])
            inside = ("PAN", "expiry", "PANSecret") if raw in of_kind(suite, ACCOUNT_DATA) else ("PAN", "expiry")
            assert knowledge.of(unlucky.known) == {(name, what) for what in inside}


# --- PX-2: who must not read what -----------------------------------------------------------------


def orders(there: World) -> list[tuple[bytes, bytes, bytes]]:
    """(OD, HODInput, ODSalt) of every order that was paid; the salt is taken from the merchant's view."""
    found = []
    for name in there.cards:
        wallet = there.endpoints[name]
        assert isinstance(wallet, Cardholder)
        for lid_c in there._lids[name]:
            record = wallet.purchase(lid_c)
            if record.ordered is None:
                continue
            for salt in {leaf for leaf in leaves(record.ordered.preq) if len(leaf) == 32}:
                hod_input = encode(
                    HODInput(
                        od=record.description,
                        purch_amt=record.amount,
                        od_salt=salt,
                        install_recur_data=record.install_recur_data,
                    )
                )
                framed = element(0x30, element(0x0C, b"setproto/2 HODInput"), element(0x04, hod_input))
                if hashlib.sha256(framed).digest() in record.ordered.preq:
                    found.append((record.description, hod_input, salt))
    return found


@every_suite
@pytest.mark.prop("PX-2")
def test_the_gateways_never_get_an_order(suite: str) -> None:
    """Neither the description nor HODInput is in any message, whoever opens it.

    And in what reaches the gateways, opened with all keys, there is no salt of an order either: what a gateway is sent
    gives it no way to test guesses of an order against HOD.  (What it could overhear is another matter:
    ``test_whoever_listens_between_cardholder_and_merchant_can_test_guesses_of_an_order``.)
    """
    there = world(suite)
    gateways = ("alpha", "beta")
    stored = [value for name in gateways for value in there.stores[name].dump().values()]
    received = [data for name in gateways for data in there.received_by(name)]
    loot = [there.loot(name) for name in there.parties if name not in (*there.cards, *there.merchants)]
    spy = Spy(received, loot, suite=suite, gateways=there.gateways)
    anywhere = spy_with(suite, there.parties).learned
    everywhere = b"\xff\x00".join((*there.traffic, *anywhere, *stored))
    theirs = b"\xff\x00".join((*spy.known, *stored))
    found = orders(there)
    assert len(found) >= 10
    for description, hod_input, salt in found:
        assert description not in everywhere
        assert hod_input not in everywhere
        assert salt not in theirs
        assert any(description in note for name in there.merchants for note in there.loot(name).notes)


@every_suite
@pytest.mark.prop("PX-2")
def test_the_merchants_never_get_a_payment_instruction(suite: str) -> None:
    """With the keys of all merchants: no PIHead, nor what only it holds (TransStain), nor the salt of PIData."""
    there, everybody = world(suite), spy_with(suite, world(suite).parties)
    spy = spy_with(suite, tuple(there.merchants), greedy=True)
    theirs = b"\xff\x00".join(spy.known)
    links = [plain for plain in everybody.learned if kind(plain) is BULK]
    assert len(links) >= 10
    for plain in links:
        link = decode(PIOILink, plain)
        assert encode(link.pi_head) in plain
        back_key = link.pi_head.acq_back_key_data
        assert back_key is not None
        hidden = (plain, encode(link.pi_head), link.pi_head.trans_stain, link.pi_salt, back_key.acq_back_key)
        for secret in hidden:
            assert secret not in theirs
    held = b"\xff\x00".join(note for name in there.merchants for note in there.loot(name).notes)
    for raw in of_kind(suite, *TOKEN_OF.values(), MESSAGE):  # held, and not read
        assert raw not in spy.opened
        assert everybody.opened[raw] not in theirs
    for token in of_kind(suite, AUTH_TOKEN):
        assert decode(AuthTokenData, everybody.opened[token]).trans_stain not in theirs
    assert any(raw in held for raw in of_kind(suite, ACCOUNT_TOKEN))
    assert any(raw in held for raw in of_kind(suite, MESSAGE))


def test_whoever_listens_between_cardholder_and_merchant_can_test_guesses_of_an_order() -> None:
    """A limit, shown so that nobody takes PX-2 for more than it is (W-8): PReq is signed, not sealed to the merchant.

    HOD and ODSalt travel in clear.  Under TLS between cardholder and merchant only the two of them see them.
    """
    there = world("p256")
    public = b"".join(there.traffic)
    assert all(salt in public for _, _, salt in orders(there))


def test_signed_objects_are_found_inside_what_was_sealed() -> None:
    """The spy reads on in what comes out: the signed body of a sealed AuthReq."""
    everybody = spy_with("p256", world("p256").parties)
    bodies = [plain for plain in everybody.learned if kind(plain) is SIGNED]
    assert len(bodies) >= 20
    assert all(isinstance(sealed, Sealed) for sealed in everybody.sealed.values())
