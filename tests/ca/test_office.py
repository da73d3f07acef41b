"""A hierarchy at work: what it makes is good, what it takes back is taken back, and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from pki import (
    SUITES,
    CertificateError,
    CertificateKind,
    CertificateType,
    MerchantData,
    PathValidator,
    check_bci,
    check_certificate,
    check_crl,
)
from pki.profiles import CA_KINDS
from setproto.ca import parties
from setproto.ca.audit import audit
from setproto.ca.config import EXAMPLE, ROLES
from setproto.ca.office import Office
from setproto.ca.parties import Wanted
from setproto.ca.vault import WrongPassphrase
from setproto.errors import UsageError
from setproto.roles import journal
from setproto.roles.ports import Transaction
from setproto.store import MemoryStore
from tests.ca.conftest import DAY, NOW, Work, at_work, found

K = CertificateKind
Reason = x509.ReasonFlags
SUITE_NAMES = ["p256", "ed25519", "mldsa65", pytest.param("rsa3072", marks=pytest.mark.slow)]
WITHOUT_GEO = "".join(line for line in EXAMPLE.splitlines(keepends=True) if not line.startswith("geo_ca"))
TWO_BRANDS = WITHOUT_GEO + WITHOUT_GEO[WITHOUT_GEO.index("\n[[brand]]") : WITHOUT_GEO.index("[revocation]")].replace(
    "Marque", "Other"
)


def shop(office: Office, brand: int = 0) -> list[Wanted]:
    hierarchy = office.hierarchy
    return parties.merchant(
        hierarchy,
        hierarchy.brand[brand],
        mer_id="M-1",
        name="Shop",
        acquirer="Bank",
        acquirer_bin="411111",
        city="Town",
        mer_country=999,
        language="en",
    )


def card(office: Office, brand: int = 0) -> list[Wanted]:
    return parties.cardholder(office.hierarchy, office.hierarchy.brand[brand], issuer="Bank", unique_id=bytes(20))


def gateway(office: Office, brand: int = 0) -> list[Wanted]:
    of = office.hierarchy.brand[brand]
    return parties.gateway(office.hierarchy, of, gateway_id="G-1", acquirer="Bank", card_cert_required=True)


def issued(office: Office, wanted: list[Wanted]) -> list[bytes]:
    suite, made = office.hierarchy.key_suite, []
    for one in wanted:
        key = suite.generate_exchange_key() if one.use == "exchange" else suite.generate_signature_key()
        made.append(office.issue(one, key.public_key())[0])
    return made


def serial(der: bytes) -> int:
    return x509.load_der_x509_certificate(der).serial_number


def validate(office: Office, der: bytes, validator: PathValidator | None = None) -> None:
    checked = check_certificate(der)
    brand = "" if checked.kind is K.ROOT else checked.name.organization
    (validator or office.validator()).validate(der, kind=checked.kind, brand=brand, at=office.at)


def refusal(office: Office, der: bytes, validator: PathValidator | None = None) -> str:
    with pytest.raises(CertificateError) as caught:
        validate(office, der, validator)
    return caught.value.code


def named(office: Office, name: str) -> bytes:
    return office.named(name).certificates[0]


# --- founding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITE_NAMES)
@pytest.mark.parametrize("declaration", [EXAMPLE, WITHOUT_GEO], ids=["geo", "no geo"])
def test_everything_that_is_made_fulfils_its_profile_and_is_valid(suite: str, declaration: str) -> None:
    store = MemoryStore()
    found(store, declaration.replace('suite = "p256"', f'suite = "{suite}"'))
    with at_work(store) as office:
        made = [*issued(office, shop(office)), *issued(office, card(office)), *issued(office, gateway(office))]
        validator = office.validator()
        everything = list(office.certificates())
        for one in everything:
            assert check_certificate(one.checked.der).suite is SUITES[suite]
            validate(office, one.checked.der, validator)
        assert {one.checked.der for one in everything} >= {*made, *office.roots()}
        kinds = {one.checked.kind for one in everything}
    geo = {K.GEO_CA, K.GEO_CA_SIGNATURE}
    assert kinds == set(CertificateKind) - (set() if declaration is EXAMPLE else geo)


def test_cas_and_their_chains(store: MemoryStore) -> None:
    with at_work(store) as office:
        assert list(office.records) == [
            "root.1",
            *(f"Marque/{role}.1" for role in ("brand-ca", "geo-ca", "cardholder-ca", "merchant-ca", "gateway-ca")),
        ]
        assert office.chain("root.1") == ()
        names = ("merchant-ca", "geo-ca", "brand-ca")
        assert office.chain("Marque/merchant-ca.1") == tuple(named(office, name) for name in names)
        for name in ("merchant-ca", "Marque/merchant-ca", "Marque/merchant-ca.1", "merchant-ca.1"):
            assert office.named(name).name == "Marque/merchant-ca.1"
        for name in ("", "merchant-ca.2", "Other/merchant-ca", "Marque", "Marque/", "."):
            with pytest.raises(UsageError, match=r"there are root\.1, Marque/brand-ca\.1"):
                office.named(name)


@pytest.mark.parametrize("role", ["brand-ca", "geo-ca", "cardholder-ca", "merchant-ca", "gateway-ca"])
def test_a_ca_has_credentials_for_messages(store: MemoryStore, role: str) -> None:
    with at_work(store) as office:
        credential = office.credential(f"Marque/{role}.1")
        subject = check_certificate(named(office, role)).subject
        assert check_certificate(credential.signature_certificate).subject == subject
        assert credential.signature_key is not None
        public = check_certificate(credential.signature_certificate).public_key
        assert credential.signature_key.public_key() == public
        validator = PathValidator([x509.load_der_x509_certificate(office.roots()[0])], suite="p256")
        for name in ("root.1", "Marque/brand-ca.1", "Marque/geo-ca.1"):
            validator.add_crl(office.crls()[name], office.chain(name))
        validator.add_bci(office.bcis()["Marque"], office.chain("Marque/brand-ca.1"))
        kind = check_certificate(credential.signature_certificate).kind
        validator.validate(
            credential.signature_certificate, kind=kind, brand="Marque", at=office.at, extra=credential.chain
        )
        assert (credential.exchange_key is None) == (role in ("brand-ca", "geo-ca"))
        if credential.exchange_key is not None and credential.exchange_certificate is not None:
            assert check_certificate(credential.exchange_certificate).public_key == credential.exchange_key.public_key()
        with pytest.raises(UsageError, match=r"root\.1 has no message certificates"):
            office.credential("root.1")


def test_a_second_founding_changes_nothing(store: MemoryStore) -> None:
    before = store.dump()
    with pytest.raises(UsageError, match="already"):
        found(store, WITHOUT_GEO)
    assert store.dump() == before


def test_no_hierarchy_no_office() -> None:
    with MemoryStore().transaction() as transaction, pytest.raises(UsageError, match="no hierarchy here"):
        Office(transaction, NOW)


def test_declared_lives_and_start_hold() -> None:
    store = MemoryStore()
    text = EXAMPLE.replace("[days]", "[days]\nroot = 1000\nmerchant = 100\nmerchant_ca = 60").replace(
        "[revocation]", "[revocation]\ncrl_days = 3\nbci_days = 2"
    )
    found(store, "start = 2029-12-01T00:00:00Z\n" + text)
    with at_work(store, NOW) as office:
        root, ca = check_certificate(office.roots()[0]), check_certificate(named(office, "merchant-ca"))
        assert root.not_after - root.not_before == 1000 * DAY
        assert root.not_before == ca.not_before == NOW - 31 * DAY
        assert ca.not_after == ca.not_before + 60 * DAY
        signature, exchange = map(check_certificate, issued(office, shop(office)))
        assert signature.not_before == NOW
        assert signature.not_after == ca.not_after  # cut: nothing outlives its issuer
        assert exchange.not_after == ca.not_after
        assert check_crl(office.crls()["root.1"]).next_update == NOW + 3 * DAY
        assert check_bci(office.bcis()["Marque"]).not_after == NOW + 2 * DAY
        holder = check_certificate(issued(office, card(office))[0])
        assert holder.not_after - holder.not_before == 2 * (holder.private_key_not_after - holder.not_before)


def test_a_start_in_the_future_is_refused_and_leaves_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(UsageError, match="starts later than now"):
        found(store, "start = 2030-01-01T00:00:01Z\n" + EXAMPLE)
    assert store.dump() == {}


# --- issuing ------------------------------------------------------------------------------------


@pytest.mark.prop("CR-18")
def test_a_key_is_certified_once_whatever_happens_in_between(store: MemoryStore) -> None:
    key = SUITES["p256"].generate_signature_key().public_key()
    with at_work(store) as office:
        der, _ = office.issue(card(office)[0], key)
    with at_work(store, NOW + 2 * DAY) as office:
        office.revoke(serial(der))
    with at_work(store, NOW + 3 * DAY) as office, pytest.raises(CertificateError, match="certified before"):
        office.issue(card(office)[0], key)


def test_a_merchant_is_who_the_certificate_says(work: Work) -> None:
    with work() as office:
        signature, exchange = map(check_certificate, issued(office, shop(office)))
        assert (signature.kind, exchange.kind) == (K.MERCHANT_SIGNATURE, K.MERCHANT_EXCHANGE)
        assert signature.merchant_data == exchange.merchant_data
        assert signature.merchant_data is not None
        assert (signature.merchant_data.mer_id, signature.merchant_data.mer_acquirer_bin) == ("M-1", "411111")
        assert signature.name.units == ("Bank",)


@pytest.mark.parametrize(
    ("make", "changes", "fault"),
    [
        (parties.cardholder, {"issuer": "B", "unique_id": bytes(19)}, "20 to 32 octets"),
        (parties.cardholder, {"issuer": "", "unique_id": bytes(20)}, "part of a name"),
        (parties.gateway, {"gateway_id": "", "acquirer": "B", "card_cert_required": True}, "part of a name"),
    ],
)
def test_what_a_certificate_cannot_say(store: MemoryStore, make: Any, changes: dict[str, Any], fault: str) -> None:
    with at_work(store) as office, pytest.raises(UsageError, match=fault):
        make(office.hierarchy, office.hierarchy.brand[0], **changes)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("mer_id", "", "merID"),
        ("acquirer_bin", "41111", "six digits"),
        ("mer_country", 1000, "merCountry"),
        ("language", "é", "language"),
        ("city", "", "printable"),
        ("acquirer", "B" * 65, "part of a name"),
    ],
)
def test_what_a_merchant_cannot_be(store: MemoryStore, field: str, value: Any, fault: str) -> None:
    given: dict[str, Any] = {"mer_id": "M", "name": "Shop", "acquirer": "Bank", "acquirer_bin": "411111"}
    given |= {"city": "Town", "mer_country": 999, "language": "en"}
    with at_work(store) as office:
        of = office.hierarchy.brand[0]
        assert parties.merchant(office.hierarchy, of, **given)
        with pytest.raises(UsageError, match=fault):
            parties.merchant(office.hierarchy, of, **{**given, field: value})


def test_brands_are_kept_apart() -> None:
    store = MemoryStore()
    found(store, TWO_BRANDS)
    with at_work(store) as office:
        with pytest.raises(UsageError, match="no CA 'merchant-ca'"):
            office.named("merchant-ca")
        (mine, _), (other, _) = issued(office, shop(office, 0)), issued(office, shop(office, 1))
        assert [check_certificate(der).name.organization for der in (mine, other)] == ["Marque", "Other"]
        assert set(office.bcis()) == {"Marque", "Other"}
        assert len(check_bci(office.bcis()["Other"]).crls) == 5  # the root's, and those of its own
        for der in (mine, other):
            validate(office, der)
        with pytest.raises(CertificateError, match="another brand"):
            office.validator().validate(other, kind=K.MERCHANT_SIGNATURE, brand="Marque", at=office.at)


# --- revoking -----------------------------------------------------------------------------------


def test_a_revocation_takes_effect_with_the_crl_and_for_ever(store: MemoryStore) -> None:
    with at_work(store) as office:
        bought, other = issued(office, shop(office))
    with store.transaction() as transaction:  # without keys
        one = Office(transaction, NOW + 2 * DAY).revoke(serial(bought), Reason.key_compromise)
        assert one.state(NOW) == "revoked"
    with at_work(store, NOW + 3 * DAY) as office:
        validate(office, bought)
        office.publish_crl("Marque/merchant-ca.1")
        assert refusal(office, bought) == "revokedCertificate"
        validate(office, other)
        entry = x509.load_der_x509_crl(office.crls()["Marque/merchant-ca.1"])[0]
        assert entry.revocation_date_utc == NOW + 2 * DAY
        assert entry.extensions[0].value.reason is Reason.key_compromise  # type: ignore[attr-defined]
        office.revoke(serial(bought))
        office.publish_bci("Marque")
    with at_work(store, NOW + 4 * DAY) as office:
        revocation = office.find(serial(bought)).revocation
        assert revocation is not None
        assert (revocation.at, revocation.reason) == (NOW + 2 * DAY, Reason.key_compromise)
        assert refusal(office, bought) == "revokedCertificate"
        with pytest.raises(UsageError, match="is revoked: issue a new one"):
            office.renewable(serial(bought))


def test_whom_nobody_knows_nobody_revokes(store: MemoryStore) -> None:
    with at_work(store) as office:
        with pytest.raises(UsageError, match="serial number 1234"):
            office.revoke(0x1234)
        with pytest.raises(UsageError, match="a root cannot revoke itself"):
            office.revoke(serial(office.roots()[0]))


@pytest.mark.parametrize("role", ["brand-ca", "geo-ca", "merchant-ca"])
def test_a_revoked_ca_issues_no_more_until_it_has_a_new_key(store: MemoryStore, role: str) -> None:
    with at_work(store) as office:
        before = issued(office, shop(office))[0]
        old = serial(named(office, role))
        office.revoke(old, Reason.ca_compromise)
        with pytest.raises(UsageError, match=rf"{role}\.1 is revoked: setproto ca renew {old:X}"):
            issued(office, shop(office))
        name = office.renew_authority(old)
        assert name == f"Marque/{role}.2"
        for each in office.publishers():
            office.publish_crl(each)
        office.publish_bci("Marque")
        assert refusal(office, before) == "revokedCertificate"
        if role == "merchant-ca":
            validate(office, issued(office, shop(office))[0])
        else:  # those below it are still certified by the revoked key, and need new keys too
            with pytest.raises(UsageError, match="is revoked"):
                issued(office, shop(office))
            below = ("geo-ca", "merchant-ca") if role == "brand-ca" else ("merchant-ca",)
            for each in below:
                office.renew_authority(serial(named(office, each)))
            validate(office, issued(office, shop(office))[0])


@pytest.mark.parametrize("place", [0, 1])
def test_after_a_rollover_a_brand_ca_with_either_certificate_revoked_stops(store: MemoryStore, place: int) -> None:
    with at_work(store) as office:
        office.roll_over()
        issued(office, shop(office))
        office.revoke(serial(office.named("brand-ca").certificates[place]), Reason.key_compromise)
        with pytest.raises(UsageError, match=r"brand-ca\.1 is revoked"):
            issued(office, shop(office))
        with pytest.raises(UsageError, match=r"brand-ca\.1 is revoked"):
            office.publish_bci("Marque")


# --- renewing -----------------------------------------------------------------------------------


def test_a_party_renews_with_the_same_name_and_another_key(store: MemoryStore) -> None:
    with at_work(store) as office:
        old = check_certificate(issued(office, shop(office))[0])
        (new,) = map(check_certificate, issued(office, parties.again(office.renewable(serial(old.der)).checked)))
        assert (new.kind, new.subject) == (old.kind, old.subject)
        assert new.key_digest != old.key_digest
        assert new.private_extensions == old.private_extensions
        assert {type(value) for value in new.private_extensions} == {CertificateType, MerchantData}
        for one in (old, new):
            validate(office, one.der)


@pytest.mark.parametrize("role", ["brand-ca", "geo-ca", "cardholder-ca", "merchant-ca", "gateway-ca"])
def test_a_ca_with_a_new_key_is_a_new_one_beside_the_old(store: MemoryStore, role: str) -> None:
    with at_work(store) as office:
        before = [*issued(office, shop(office)), *issued(office, card(office)), *issued(office, gateway(office))]
        old = named(office, role)
        assert office.renew_authority(serial(old)) == f"Marque/{role}.2"
        assert office.named(role).name == f"Marque/{role}.2"
        assert check_certificate(named(office, role)).key_digest != check_certificate(old).key_digest
        with pytest.raises(UsageError, match=rf"{role}\.1 has been replaced already"):
            office.renew_authority(serial(old))
    with at_work(store, NOW + 2 * DAY) as office:
        after = [*issued(office, shop(office)), *issued(office, card(office)), *issued(office, gateway(office))]
        for name in office.publishers():  # the old key goes on signing CRLs
            office.publish_crl(name)
        assert f"Marque/{role}.1" in office.crls()
        office.publish_bci("Marque")
        office.revoke(serial(before[0]))
        office.publish_crl(office.find(serial(before[0])).issuer)
        assert refusal(office, before[0]) == "revokedCertificate"
        for der in (*before[1:], *after):
            validate(office, der)


def test_message_certificates_get_new_keys(store: MemoryStore) -> None:
    with at_work(store) as office:
        old = office.credential("Marque/merchant-ca.1")
        assert office.renew_authority(serial(old.signature_certificate)) == "Marque/merchant-ca.1"
        new = office.credential("Marque/merchant-ca.1")
        assert new.signature_certificate != old.signature_certificate
        assert new.exchange_certificate != old.exchange_certificate
        with pytest.raises(UsageError, match="replaced already"):
            office.renew_authority(serial(old.signature_certificate))


def test_a_root_is_not_renewed(store: MemoryStore) -> None:
    with at_work(store) as office, pytest.raises(UsageError, match="rollover"):
        office.renew_authority(serial(office.roots()[0]))


# --- publishing ---------------------------------------------------------------------------------


def test_a_bci_needs_current_crls(store: MemoryStore) -> None:
    with at_work(store, NOW + 29 * DAY) as office:
        office.publish_crl("root.1")
    with at_work(store, NOW + 31 * DAY) as office:
        with pytest.raises(UsageError, match=r"Marque/brand-ca\.1 has no current CRL"):
            office.publish_bci("Marque")
        for name in office.publishers():
            office.publish_crl(name)
        office.publish_bci("Marque")
        validate(office, named(office, "merchant-ca"))


def test_who_has_ended_publishes_no_more(store: MemoryStore) -> None:
    later = NOW + 6 * 365 * DAY
    with at_work(store, later) as office:
        assert office.publishers() == ["root.1", "Marque/brand-ca.1", "Marque/geo-ca.1"]
        with pytest.raises(CertificateError, match="period of a CRL"):
            office.publish_crl("Marque/merchant-ca.1")
        for name in office.publishers():
            office.publish_crl(name)
        office.publish_bci("Marque")
        validate(office, named(office, "geo-ca"))
        assert refusal(office, named(office, "merchant-ca")) == "expiredCertificate"
        with pytest.raises(CertificateError, match="beyond the CA's own"):
            issued(office, shop(office))


# --- roots --------------------------------------------------------------------------------------


@pytest.mark.prop("PX-19")
def test_the_root_rolls_over_and_everything_stays_valid(store: MemoryStore) -> None:
    with at_work(store) as office:
        before = issued(office, shop(office))
        first = office.roots()
        # A validator out in the world, which knows the first root and nothing that is done from here on.
        outside = PathValidator([x509.load_der_x509_certificate(first[0])], suite="p256")
        names = ["root.2", "root.3"]
        assert [office.roll_over() for _ in names] == names
        assert len(set(office.roots())) == 3
        for root in office.roots()[1:]:
            assert outside.add_root(root)
        after = issued(office, shop(office))
        everything = [der for record in office.records.values() for der in record.certificates]
        for crl in office.crls().values():
            outside.add_crl(crl, everything)
        outside.add_bci(office.bcis()["Marque"], everything)
        outside.add_intermediates(office.chain("Marque/merchant-ca.1"))
        for der in (*before, *after):
            validate(office, der)
            validate(office, der, outside)
    # The chain to the old root is good too, for those who never hear of the new one.
    with at_work(store) as office:
        old = PathValidator([x509.load_der_x509_certificate(first[0])], suite="p256")
        old.add_intermediates(der for r in office.records.values() if r.superior for der in r.certificates)
        for name, crl in office.crls().items():
            if not name.startswith("root.") or name == "root.1":
                old.add_crl(crl)
        old.add_bci(office.bcis()["Marque"])
        validate(office, after[0], old)


def test_a_root_that_announced_another_key_cannot_be_followed(store: MemoryStore) -> None:
    with at_work(store) as office:
        other = MemoryStore()
        found(other)
        with at_work(other) as elsewhere:
            stranger = elsewhere.roots()[0]
        outside = PathValidator([x509.load_der_x509_certificate(office.roots()[0])], suite="p256")
        with pytest.raises(CertificateError):
            outside.add_root(stranger)


def test_the_old_root_publishes_until_it_ends(store: MemoryStore) -> None:
    with at_work(store, NOW + 20 * DAY) as office:
        office.roll_over()
        root = check_certificate(office.roots()[0])
    with at_work(store, NOW + 40 * DAY) as office:
        for name in office.publishers():
            office.publish_crl(name)
        office.publish_bci("Marque")
        assert [name for name in office.crls() if name.startswith("root")] == ["root.1", "root.2"]
        assert len(check_bci(office.bcis()["Marque"]).crls) == 7
    with at_work(store, root.not_after + timedelta(seconds=1)) as office:
        assert office.publishers() == ["root.2"]


# --- all or nothing -----------------------------------------------------------------------------


class Interrupted(BaseException):
    """The end of the process, as near as a test comes."""


class Failing:
    """A transaction that fails at the n-th write."""

    def __init__(self, inner: Transaction, at: int) -> None:
        self.inner, self.left = inner, at

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.inner.get(table, key)

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        return self.inner.items(table)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise Interrupted
        self.inner.put(table, key, value)


class FailingStore(MemoryStore):
    def __init__(self, inner: MemoryStore, at: int) -> None:
        self._inner, self._fail_at = inner, at
        self.left = at

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._inner.transaction() as transaction:
            failing = Failing(transaction, self._fail_at)
            yield failing
            self.left = failing.left


WORK = {
    "issue": lambda office: issued(office, shop(office)),
    "revoke": lambda office: office.revoke(serial(named(office, "merchant-ca"))),
    "publish a CRL": lambda office: office.publish_crl("Marque/merchant-ca.1"),
    "publish a BCI": lambda office: office.publish_bci("Marque"),
    "renew": lambda office: office.renew_authority(serial(named(office, "merchant-ca"))),
    "roll over": lambda office: office.roll_over(),
}


@pytest.mark.parametrize("what", WORK)
def test_interrupted_anywhere_it_leaves_nothing_and_can_be_done_again(store: MemoryStore, what: str) -> None:
    before, writes = store.dump(), 0
    while True:
        failing = FailingStore(store, writes)
        try:
            with at_work(failing) as office:
                WORK[what](office)
        except Interrupted:
            assert store.dump() == before
            writes += 1
        else:
            break
    assert writes >= 3  # and as many moments have been tried
    assert store.dump() != before
    with at_work(store) as office:
        audit(office._transaction, office)


def test_an_interrupted_founding_leaves_nothing() -> None:
    for writes in (0, 1, 10, 50):
        store = MemoryStore()
        with pytest.raises(Interrupted):
            found(FailingStore(store, writes))
        assert store.dump() == {}


def test_without_the_passphrase_nothing_is_signed(store: MemoryStore) -> None:
    before = store.dump()
    for work in (*list(WORK.values())[2:], lambda office: office.credential("Marque/merchant-ca.1")):
        with store.transaction() as transaction, pytest.raises(WrongPassphrase):
            work(Office(transaction, NOW))
        assert store.dump() == before


def test_everything_is_in_the_log(store: MemoryStore) -> None:
    for number, what in enumerate(WORK, 2):
        if what != "revoke":
            with at_work(store, NOW + timedelta(days=number)) as office:
                before = journal.head(office._transaction).count
                WORK[what](office)
                assert journal.head(office._transaction).count > before
                audit(office._transaction, office)


def test_the_roles_are_the_kinds_of_ca_that_the_profiles_know() -> None:
    assert {K.ROOT, *ROLES.values()} == CA_KINDS
